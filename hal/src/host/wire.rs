//! A wire that several kernels of one user share: what one of them sends, one other or all others receive.
//!
//! The one idea: there is no switch. A segment is a folder, and each card on it a Unix socket for datagrams of that name; so a frame is one call
//! of the sender's, whoever begins and ends meanwhile. A card is its process's as long as that holds the lock beside the socket ([`Folder`]), and what a dead
//! one has left is cleared away by whoever meets it.
//!
//! A receiver that is slower than a sender is waited for, by some frames; those beyond are lost, as on any wire.

use std::{
    collections::{HashMap, VecDeque},
    fmt, fs,
    io::ErrorKind,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{fs::PermissionsExt, net::UnixDatagram},
    },
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt};
use parking_lot::Mutex;

use super::{HostError, Result, local::Folder};
use crate::reactor::{Ready, Watch};

/// Frames that wait for a receiver to make room.
const WAITING: usize = 256;
/// Bytes on their way from one card to another that the host is asked for. It may give less.
const ROOM: usize = 2 << 20;
/// How often a card is asked for that somebody else has, and how long after each time: whoever clears a dead one away has it for a moment.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(2);

/// The address of a card (EUI-48).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Card(pub [u8; 6]);

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}-{b:02x}-{c:02x}-{d:02x}-{e:02x}-{g:02x}")
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Card {
    fn parse(name: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut parts = name.split('-');
        for byte in &mut bytes {
            let part = parts.next()?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        let card = Self(bytes);
        (card.to_string() == name).then_some(card)
    }
}

/// A card on a segment. Dropped, it leaves.
pub struct Wire {
    folder: Folder,
    card: Card,
    socket: UnixDatagram,
    peers: Arc<Mutex<HashMap<Card, Peer>>>,
    _lock: OwnedFd,
}

/// The way to another card.
struct Peer {
    socket: UnixDatagram,
    /// Frames that it has no room for yet.
    waiting: VecDeque<Box<[u8]>>,
    /// Calls when there is room, once that was missing.
    watch: Option<Watch>,
}

impl Peer {
    fn open(folder: &Folder, card: Card) -> Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        // Less room is slower, and nothing else.
        let _ = setsockopt(&socket, sockopt::SndBuf, &ROOM);
        socket.connect(folder.file(&card.to_string(), "sock"))?;
        Ok(Self { socket, waiting: VecDeque::new(), watch: None })
    }

    /// Sends what waits, as far as there is room.
    fn flush(&mut self) -> Result<()> {
        while let Some(frame) = self.waiting.front() {
            match self.socket.send(frame).map_err(HostError::from) {
                Err(error) if error.would_block() => return Ok(()),
                Err(error) => return Err(error),
                Ok(_) => drop(self.waiting.pop_front()),
            }
        }
        Ok(())
    }

    /// Sends a frame, or keeps it until there is room. The host's errors, when nobody is there.
    fn send(&mut self, frame: &[u8], watch: impl FnOnce(OwnedFd) -> Result<Watch>) -> Result<()> {
        self.flush()?;
        if self.waiting.is_empty() {
            match self.socket.send(frame).map_err(HostError::from) {
                Err(error) if error.would_block() => {}
                result => return result.map(drop),
            }
        }
        if self.waiting.len() >= WAITING {
            return Ok(());
        }
        self.waiting.push_back(frame.into());
        if self.watch.is_none() {
            self.watch = Some(watch(self.socket.as_fd().try_clone_to_owned()?)?);
            // There may have been room again before anybody watched.
            self.flush()?;
        }
        Ok(())
    }
}

impl Wire {
    /// Joins the segment of that name, which is a folder in `folder`, with the first of `cards` that nobody else has there.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE` when there is none; `EPERM` when the folder is not this user's alone; the host's.
    pub fn join(
        folder: &Folder,
        segment: &str,
        cards: impl IntoIterator<Item = Card>,
    ) -> Result<Self> {
        let folder = folder.within(&format!("{segment}.ethernet"))?;
        let mut cards = cards.into_iter().peekable();
        while let Some(card) = cards.next() {
            let tries = if cards.peek().is_some() { 1 } else { TRIES };
            match claim(&folder, card, tries) {
                Ok(lock) => return Self::take(folder, card, lock),
                Err(error) if error.errno() == libc::EADDRINUSE => {}
                Err(error) => return Err(error),
            }
        }
        Err(HostError::from_errno(libc::EADDRINUSE))
    }

    /// The lock of `card` is held.
    fn take(folder: Folder, card: Card, lock: OwnedFd) -> Result<Self> {
        let name = card.to_string();
        let path = folder.file(&name, "sock");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let bound = || -> Result<UnixDatagram> {
            let socket = UnixDatagram::bind(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let socket = bound().inspect_err(|_| folder.remove(&name))?;
        Ok(Self { folder, card, socket, peers: Arc::default(), _lock: lock })
    }

    /// Its address.
    pub fn card(&self) -> Card {
        self.card
    }

    /// Sends a frame to one card.
    ///
    /// # Errors
    ///
    /// `EHOSTUNREACH` when nobody has it.
    pub fn send(&self, to: Card, frame: &[u8]) -> Result<()> {
        let mut peers = self.peers.lock();
        let all = Arc::downgrade(&self.peers);
        let watch = |fd| Ok(Watch::new(fd, move |ready| make_progress(&all, to, ready))?);
        if let Some(peer) = peers.get_mut(&to) {
            if peer.send(frame, watch.clone()).is_ok() {
                return Ok(());
            }
            // Somebody else may have the card by now.
            peers.remove(&to);
        }
        let mut peer = Peer::open(&self.folder, to).map_err(|error| self.is_gone(to, error))?;
        peer.send(frame, watch).map_err(|error| self.is_gone(to, error))?;
        peers.insert(to, peer);
        Ok(())
    }

    /// Sends a frame to all other cards.
    pub fn send_to_all(&self, frame: &[u8]) {
        for card in self.cards() {
            if card != self.card {
                // Who has just gone needs none.
                let _ = self.send(card, frame);
            }
        }
    }

    /// The cards of the segment, in order; dead ones may be among them.
    pub fn cards(&self) -> Vec<Card> {
        let names = self.folder.names().unwrap_or_default();
        names.iter().filter_map(|name| Card::parse(name)).collect()
    }

    /// Whether somebody has that card now.
    pub fn has(&self, card: Card) -> bool {
        card == self.card || Peer::open(&self.folder, card).is_ok()
    }

    /// A frame did not find its way: nobody is there.
    fn is_gone(&self, card: Card, error: HostError) -> HostError {
        match error.errno() {
            // What a dead one has left.
            libc::ECONNREFUSED => {
                // Somebody may be about to take its place, and clears it away as well.
                let _ = self.folder.sweep(&card.to_string());
            }
            libc::ENOENT | libc::ECONNRESET | libc::ENOTCONN | libc::EPIPE => {}
            _ => return error,
        }
        HostError::from_errno(libc::EHOSTUNREACH)
    }

    /// Receives a frame; how many bytes. `EAGAIN` when there is none. What is longer than `buf` is cut.
    pub fn receive(&self, buf: &mut [u8]) -> Result<usize> {
        Ok(self.socket.recv(buf)?)
    }

    /// Calls when frames have come, until the watch is dropped.
    pub fn watch(&self, on_ready: impl Fn(Ready) + Send + Sync + 'static) -> Result<Watch> {
        Ok(Watch::new(self.socket.as_fd().try_clone_to_owned()?, on_ready)?)
    }

    /// Leaves before it is dropped: nobody finds it any more.
    pub fn leave(&self) {
        self.folder.remove(&self.card.to_string());
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.socket.as_raw_fd();
        f.debug_struct("Wire").field("card", &self.card).field("socket", &number).finish()
    }
}

/// The lock of `card`. `EADDRINUSE` while somebody else has it.
fn claim(folder: &Folder, card: Card, tries: usize) -> Result<OwnedFd> {
    let name = card.to_string();
    for _ in 1..tries {
        match folder.lock(&name) {
            Err(error) if error.errno() == libc::EADDRINUSE => thread::sleep(PAUSE),
            result => return result,
        }
    }
    folder.lock(&name)
}

/// A peer may have room again.
fn make_progress(peers: &Weak<Mutex<HashMap<Card, Peer>>>, card: Card, ready: Ready) {
    let Some(peers) = peers.upgrade().filter(|_| ready.writable || ready.error) else { return };
    let mut peers = peers.lock();
    let gone = match peers.get_mut(&card) {
        Some(peer) => peer.flush().is_err(),
        None => false,
    };
    // Who sends next finds out why. The watch that this is called by is not to be dropped under the lock that it takes.
    let gone = if gone { peers.remove(&card) } else { None };
    drop(peers);
    drop(gone);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LATE: Duration = Duration::from_secs(10);

    fn segment() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let user = nix::unistd::geteuid().as_raw();
        let folder = Folder::at(dir.path().join("libos"), user).unwrap();
        (dir, folder)
    }

    fn card(number: u8) -> Card {
        Card([2, 0x42, 10, 77, 0, number])
    }

    fn cards() -> impl Iterator<Item = Card> {
        (1..=3).map(card)
    }

    fn receive(wire: &Wire) -> Option<Vec<u8>> {
        let mut buf = [0; 99];
        let len = wire.receive(&mut buf).ok()?;
        Some(buf[..len].to_vec())
    }

    #[test]
    fn who_joins_gets_the_first_free_card_and_one_is_nobodys_twice() {
        let (_dir, folder) = segment();
        let join = |cards: &mut dyn Iterator<Item = Card>| Wire::join(&folder, "lab", cards);
        let one = join(&mut cards()).unwrap();
        let two = join(&mut cards()).unwrap();
        assert_eq!((one.card(), two.card()), (card(1), card(2)));
        let taken = join(&mut std::iter::once(card(2))).unwrap_err();
        assert_eq!(taken.errno(), libc::EADDRINUSE);
        drop(one);
        let again = join(&mut cards()).unwrap();
        assert_eq!((again.card(), two.cards()), (card(1), vec![card(1), card(2)]));
        let _third = join(&mut cards()).unwrap();
        assert_eq!(join(&mut cards()).unwrap_err().errno(), libc::EADDRINUSE);
    }

    #[test]
    fn many_at_once_get_different_cards() {
        let (_dir, folder) = segment();
        let joined: Vec<_> = (0..8)
            .map(|_| {
                let folder = folder.clone();
                thread::spawn(move || Wire::join(&folder, "lab", (1..=200).map(card)).unwrap())
            })
            .collect();
        let mut all: Vec<_> = joined.into_iter().map(|one| one.join().unwrap()).collect();
        all.sort_by_key(Wire::card);
        all.dedup_by_key(|wire| wire.card());
        assert_eq!(all.len(), 8);
    }

    #[test]
    fn a_frame_reaches_one_or_all_and_nobody_who_is_gone() {
        let (_dir, folder) = segment();
        let join = || Wire::join(&folder, "lab", cards()).unwrap();
        let (one, two, three) = (join(), join(), join());
        one.send(card(2), b"to two").unwrap();
        one.send_to_all(b"to all");
        assert_eq!(receive(&two).unwrap(), b"to two");
        assert_eq!(receive(&two).unwrap(), b"to all");
        assert_eq!((receive(&three).unwrap(), receive(&one)), (b"to all".to_vec(), None));
        let gone = |result: Result<()>| result.unwrap_err().errno() == libc::EHOSTUNREACH;
        assert!(gone(one.send(card(9), b"to nobody")));
        assert!(one.has(card(2)));
        drop(two);
        assert!(!one.has(card(2)));
        assert!(gone(one.send(card(2), b"x")) && gone(one.send(card(2), b"x")));
        one.send(card(3), b"first").unwrap();
        drop(three);
        // The next one of that card gets what is sent from then on.
        let (_two, three) = (join(), join());
        one.send(card(3), b"second").unwrap();
        assert_eq!(receive(&three).unwrap(), b"second");
    }

    #[test]
    fn what_a_dead_one_has_left_is_cleared_away() {
        let (_dir, folder) = segment();
        let one = Wire::join(&folder, "lab", cards()).unwrap();
        let segment = one.folder.clone();
        // A process that is killed leaves both files, and no lock.
        let path = segment.file(&card(2).to_string(), "sock");
        drop(UnixDatagram::bind(&path).unwrap());
        fs::write(segment.file(&card(2).to_string(), "lock"), "").unwrap();
        assert_eq!(one.cards(), [card(1), card(2)]);
        one.send_to_all(b"x");
        assert_eq!(one.cards(), [card(1)]);
        drop(UnixDatagram::bind(&path).unwrap());
        assert_eq!(Wire::join(&folder, "lab", cards()).unwrap().card(), card(2));
    }

    #[test]
    fn frames_wait_for_a_slow_receiver_in_order_and_not_for_ever() {
        let (_dir, folder) = segment();
        let one = Wire::join(&folder, "lab", cards()).unwrap();
        let two = Wire::join(&folder, "lab", cards()).unwrap();
        let (news, has_news) = mpsc::channel();
        let _watch = two.watch(move |_| news.send(()).unwrap()).unwrap();
        for number in 0..200_u32 {
            one.send(card(2), &number.to_ne_bytes()).unwrap();
        }
        let mut next = 0_u32;
        while next < 200 {
            match receive(&two) {
                Some(frame) => {
                    assert_eq!(frame, next.to_ne_bytes());
                    next += 1;
                }
                None => has_news.recv_timeout(LATE).unwrap(),
            }
        }
        for _ in 0..10_000 {
            one.send(card(2), b"more than there is room for").unwrap();
        }
        assert!(one.peers.lock()[&card(2)].waiting.len() <= WAITING);
    }

    #[test]
    fn a_cards_name_is_read_back() {
        assert_eq!(Card::parse(&card(7).to_string()), Some(card(7)));
        for wrong in
            ["", "02-42-0a-4d-00", "2-42-0a-4d-0-1", "02-42-0a-4d-00-01-02", "+2-42-0a-4d-00-01"]
        {
            assert_eq!(Card::parse(wrong), None, "{wrong}");
        }
    }
}
