//! From a Unix socket to a connection.
//!
//! The one idea: what the socket carries is the region's file and, by the kernel's word, who is at the other end. Once both
//! sides have mapped the region and watch each other's process the socket has done its work.
//!
//! ```text
//!      offer                                          accept
//!        │ create a region, take its first end          │
//!        │ ── hello: version, the region's file, ─────► │ check the seals, the size, the header;
//!        │     perhaps two eventfds                     │
//!        │     (kernel: my pid)                         │ take the second end; watch that pid
//!        │ ◄───────────────── hello: version, accepted ─│
//!        │     (kernel: my pid)                         │
//!        │ watch that pid                               │
//!        │ ── hello: version, go ─────────────────────► │
//! ```
//!
//! Each side says its name by `SCM_CREDENTIALS`, which the kernel checks, and looks whether the socket is still connected
//! after it has opened the other's `pidfd`: so that is not a later process with the same number.

use std::{
    error::Error,
    fmt,
    io::{self, IoSlice, IoSliceMut},
    mem,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    vec,
    vec::Vec,
};

use nix::{
    cmsg_space,
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg, UnixCredentials, recvmsg, sendmsg,
        setsockopt, sockopt::PassCred,
    },
};

use super::{End, Peer, Role, Watch, link::Events};
use crate::{
    Entry, Producers,
    region::{Options, Region, RegionError},
    wake::EventFd,
};

/// What a hello begins with: "evhl" and the version of this exchange.
const HELLO: [u8; 8] = *b"evhl\x01\0\0\0";

/// How long a hello is.
const LENGTH: usize = HELLO.len() + 1;

/// What a hello says after its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Word {
    /// Go on; the two know what each other's role is.
    Fine = 0,
    /// The region was refused.
    Refused = 1,
    /// Go on: the first side asks.
    FirstAsks = 2,
    /// Go on: the second side asks.
    SecondAsks = 3,
}

impl Word {
    fn read(byte: u8) -> Result<Self, ConnectError> {
        let all = [Word::Fine, Word::Refused, Word::FirstAsks, Word::SecondAsks];
        all.into_iter().find(|&word| word as u8 == byte).ok_or(ConnectError::Hello)
    }
}

/// How many files the kernel lets one message have (`SCM_MAX_FD`).
const MOST_FILES: usize = 253;

/// Why there is no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host refused, or the socket's timeout has passed.
    Host(io::Error),
    /// The other side has hung up.
    Closed,
    /// The other side talks of something else, or is of another version.
    Hello,
    /// The other side has refused the region.
    Refused,
    /// The region is not as it should be.
    Region(RegionError),
    /// The other side's process has no number here, as when it is in a container and we are in another.
    Invisible,
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        ConnectError::Host(error)
    }
}

impl From<Errno> for ConnectError {
    fn from(error: Errno) -> Self {
        match error {
            Errno::EPIPE | Errno::ECONNRESET => ConnectError::Closed,
            other => ConnectError::Host(other.into()),
        }
    }
}

impl From<RegionError> for ConnectError {
    fn from(error: RegionError) -> Self {
        ConnectError::Region(error)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Host(error) => error.fmt(f),
            ConnectError::Closed => f.write_str("the other side has hung up"),
            ConnectError::Hello => f.write_str("the other side does not speak of regions"),
            ConnectError::Refused => f.write_str("the other side has refused the region"),
            ConnectError::Region(error) => error.fmt(f),
            ConnectError::Invisible => f.write_str("the other side's process cannot be seen"),
        }
    }
}

impl Error for ConnectError {}

/// Makes a region and connects over it with whoever [accepts](accept) at the other end of the socket. Blocks until that is
/// done, or as long as the socket's timeouts say.
///
/// # Errors
///
/// [`ConnectError`].
pub fn offer<F: Entry, S: Entry>(
    socket: &UnixStream,
    options: &Options,
) -> Result<Peer<F, S>, ConnectError> {
    offer_as(socket, options)
}

/// [`offer`] for sides with one sender or many, which must be the same for the other side.
///
/// # Errors
///
/// [`ConnectError`].
pub fn offer_as<F: Entry, S: Entry, PF: Producers, PS: Producers>(
    socket: &UnixStream,
    options: &Options,
) -> Result<Peer<F, S, PF, PS>, ConnectError> {
    offer_saying(Word::Fine, socket, options)
}

/// [`offer`] in a role that is chosen at run time; the other side [takes](accept_role) the other one.
///
/// # Errors
///
/// [`ConnectError`].
pub fn offer_role<Q: Entry, A: Entry>(
    socket: &UnixStream,
    options: &Options,
    role: Role,
) -> Result<End<Q, A>, ConnectError> {
    Ok(match role {
        Role::Requester => End::Requester(offer_saying(Word::FirstAsks, socket, options)?),
        Role::Responder => End::Responder(offer_saying(Word::SecondAsks, socket, options)?),
    })
}

/// [`offer`] of a region that is there already: one that was [renewed](Region::renew) after the peer before had died. The first end
/// is taken.
///
/// # Errors
///
/// [`ConnectError`]: [`RegionError::NoFile`] if the region is not in a file, [`RegionError::Taken`] if its first end is
/// taken.
pub fn offer_region<F: Entry, S: Entry, PF: Producers, PS: Producers>(
    socket: &UnixStream,
    region: &Region<F, S, PF, PS>,
) -> Result<Peer<F, S, PF, PS>, ConnectError> {
    offer_with(Word::Fine, socket, region, None)
}

fn offer_saying<F: Entry, S: Entry, PF: Producers, PS: Producers>(
    word: Word,
    socket: &UnixStream,
    options: &Options,
) -> Result<Peer<F, S, PF, PS>, ConnectError> {
    let region = Region::create(options)?;
    let events = if options.has_events() { Some((EventFd::new()?, EventFd::new()?)) } else { None };
    offer_with(word, socket, &region, events)
}

fn offer_with<F: Entry, S: Entry, PF: Producers, PS: Producers>(
    word: Word,
    socket: &UnixStream,
    region: &Region<F, S, PF, PS>,
    events: Option<(EventFd, EventFd)>,
) -> Result<Peer<F, S, PF, PS>, ConnectError> {
    setsockopt(socket, PassCred, &true)?;
    let mut files = vec![region.as_fd().ok_or(RegionError::NoFile)?];
    let mut peer = region.first()?;
    peer.link.tell_cpus();
    if let Some((own, peers)) = &events {
        files.extend([own.as_fd(), peers.as_fd()]);
    }
    send(socket, word, &files)?;
    let hello = Hello::receive(socket)?;
    if hello.word != Word::Fine {
        return Err(ConnectError::Refused);
    }
    if let Some((own, peers)) = events {
        peer.link.set_events(Events { own, peers });
    }
    peer.link.set_watch(watch(socket, &hello)?)?;
    send(socket, Word::Fine, &[])?;
    Ok(peer)
}

/// Connects over the region that whoever is at the other end of the socket [offers](offer). Blocks until that is done, or as
/// long as the socket's timeouts say.
///
/// # Errors
///
/// [`ConnectError`]; the other side is told, if it has offered something.
pub fn accept<F: Entry, S: Entry>(
    socket: &UnixStream,
    prefault: bool,
) -> Result<Peer<S, F>, ConnectError> {
    accept_as(socket, prefault)
}

/// [`accept`] for sides with one sender or many, which must be the same for the other side.
///
/// # Errors
///
/// As [`accept`].
pub fn accept_as<F: Entry, S: Entry, PF: Producers, PS: Producers>(
    socket: &UnixStream,
    prefault: bool,
) -> Result<Peer<S, F, PS, PF>, ConnectError> {
    answer(socket, |hello| take_second::<F, S, PF, PS>(socket, hello, prefault))
}

/// [`accept`] in the role that the other side has [left](offer_role).
///
/// # Errors
///
/// As [`accept`].
pub fn accept_role<Q: Entry, A: Entry>(
    socket: &UnixStream,
    prefault: bool,
) -> Result<End<Q, A>, ConnectError> {
    answer(socket, |hello| match hello.word {
        Word::FirstAsks => Ok(End::Responder(take_second(socket, hello, prefault)?)),
        Word::SecondAsks => Ok(End::Requester(take_second(socket, hello, prefault)?)),
        Word::Fine | Word::Refused => Err(ConnectError::Hello),
    })
}

/// Receives a hello, and tells the other side what comes of it.
fn answer<T>(
    socket: &UnixStream,
    take: impl FnOnce(Hello) -> Result<T, ConnectError>,
) -> Result<T, ConnectError> {
    setsockopt(socket, PassCred, &true)?;
    let result = take(Hello::receive(socket)?);
    let told = send(socket, if result.is_ok() { Word::Fine } else { Word::Refused }, &[]);
    let peer = result?;
    told?;
    // It has seen us by now, so the socket may go.
    if Hello::receive(socket)?.word != Word::Fine {
        return Err(ConnectError::Refused);
    }
    Ok(peer)
}

fn take_second<F: Entry, S: Entry, PF: Producers, PS: Producers>(
    socket: &UnixStream,
    mut hello: Hello,
    prefault: bool,
) -> Result<Peer<S, F, PS, PF>, ConnectError> {
    let mut files = mem::take(&mut hello.files).into_iter();
    let file = files.next().ok_or(ConnectError::Hello)?;
    let mut peer = Region::<F, S, PF, PS>::open(file, prefault)?.second()?;
    peer.link.tell_cpus();
    match (files.next(), files.next(), files.next()) {
        (None, ..) => {}
        (Some(peers), Some(own), None) => {
            let (own, peers) = (EventFd::from_peer(own)?, EventFd::from_peer(peers)?);
            peer.link.set_events(Events { own, peers });
        }
        _ => return Err(ConnectError::Hello),
    }
    peer.link.set_watch(watch(socket, &hello)?)?;
    Ok(peer)
}

fn watch(socket: &UnixStream, hello: &Hello) -> Result<Watch, ConnectError> {
    let watch = Watch::of_process(hello.pid)?;
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO)?;
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
    if fds[0].revents().is_none_or(|events| events.intersects(gone)) {
        return Err(ConnectError::Closed);
    }
    Ok(watch)
}

fn send(socket: &UnixStream, word: Word, files: &[BorrowedFd<'_>]) -> Result<(), ConnectError> {
    let mut bytes = [word as u8; LENGTH];
    bytes[..HELLO.len()].copy_from_slice(&HELLO);
    let credentials = UnixCredentials::new();
    let name = ControlMessage::ScmCredentials(&credentials);
    let files: Vec<_> = files.iter().map(AsRawFd::as_raw_fd).collect();
    let with_files = [name, ControlMessage::ScmRights(&files)];
    let control = if files.is_empty() { &with_files[..1] } else { &with_files[..] };
    // So short a message is sent whole or not at all.
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(&bytes)],
        control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}

struct Hello {
    word: Word,
    /// The other side's process, by the kernel's word.
    pid: u32,
    files: Vec<OwnedFd>,
}

impl Hello {
    fn receive(socket: &UnixStream) -> Result<Self, ConnectError> {
        let mut bytes = [0; LENGTH];
        let mut parts = [IoSliceMut::new(&mut bytes)];
        // Room for as many files as a message can have, since those that came before a cut could not be closed.
        let mut control = cmsg_space!([i32; MOST_FILES], UnixCredentials);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let received = loop {
            match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
                Err(Errno::EINTR) => {}
                other => break other?,
            }
        };
        let (files, pid) = controls(&received)?;
        let length = received.bytes;
        if length == 0 {
            return Err(ConnectError::Closed);
        }
        if length != bytes.len() || bytes[..HELLO.len()] != HELLO {
            return Err(ConnectError::Hello);
        }
        let pid = pid.filter(|&pid| pid > 0).ok_or(ConnectError::Invisible)?;
        Ok(Hello { word: Word::read(bytes[LENGTH - 1])?, pid: pid as u32, files })
    }
}

fn controls(received: &RecvMsg<'_, '_, ()>) -> Result<(Vec<OwnedFd>, Option<i32>), ConnectError> {
    let (mut files, mut pid) = (Vec::new(), None);
    for message in received.cmsgs().map_err(|_| ConnectError::Hello)? {
        match message {
            ControlMessageOwned::ScmRights(fds) => {
                // SAFETY: the kernel has just made them for us, and nobody else knows them.
                files.extend(fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
            ControlMessageOwned::ScmCredentials(credentials) => pid = Some(credentials.pid()),
            _ => {}
        }
    }
    Ok((files, pid))
}
