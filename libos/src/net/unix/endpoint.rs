//! What others can hold of a Unix socket: its name, its options, who waits for it, and what senders without a connection left there.
//!
//! The one idea: an [`Endpoint`] outlives the descriptors of its socket for as long as somebody refers to it, and says then that it is closed.
//! Whoever finds no room there leaves a reference to itself, and is notified *by its own wait queue* when there is; so a socket has one wait queue for all
//! that can happen to it, which poll(2) and epoll(7) need anyway.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use hal::sync::BiasedMutex;
use parking_lot::Mutex;

use super::{
    Namespace, datagram::Inbox, listen::Backlog, name::Name, socket::UnixSocket, stream::Pair,
};
use crate::{
    errno::{Errno, SysResult},
    net::{
        Options, SocketKind, Ucred,
        core::{Core, SENDABLE},
        inet::diag::{CLOSE, ESTABLISHED, LISTEN},
    },
};

/// A socket as others see it.
pub struct Endpoint {
    core: Core,
    space: Arc<Namespace>,
    kind: SocketKind,
    name: OnceLock<Arc<Name>>,
    closed: AtomicBool,
    /// Connected, and not yet accepted.
    unaccepted: AtomicBool,
    /// Who found no room here, by address.
    waiting: Mutex<BTreeMap<usize, Weak<Endpoint>>>,
    /// Connections to accept, if it listens.
    pub(super) listening: Mutex<Option<Backlog>>,
    /// Datagrams.
    pub(super) inbox: BiasedMutex<Inbox>,
    /// What it is charged for datagrams that others have not read yet.
    sent: AtomicUsize,
    pub(super) peer_credentials: Mutex<Ucred>,
    /// What it is connected by, which its socket owns.
    pair: OnceLock<Weak<Pair>>,
}

/// What is told about a socket to who asks about all of them.
pub struct Told {
    /// What it carries.
    pub kind: SocketKind,
    /// With TCP's numbers.
    pub state: u8,
    /// Its number.
    pub ino: u64,
    /// `sun_path`, if it has a name.
    pub name: Vec<u8>,
    /// The number of the one that it is connected to.
    pub peer: Option<u64>,
    /// Of one that listens, the clients that wait.
    pub pending: Vec<u64>,
    /// What it has received and what it has sent; of one that listens how many connections wait, and may.
    pub queues: (usize, usize),
    /// `SO_SNDBUF`, `SO_RCVBUF`
    pub buffers: (usize, usize),
    /// Who made it.
    pub uid: u32,
    /// The halves that are shut down.
    pub shut: u8,
}

impl Deref for Endpoint {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl Endpoint {
    /// A new one of `space`, made by `owner`. `ENOMEM`.
    pub(super) fn new(
        space: &Arc<Namespace>,
        kind: SocketKind,
        owner: Ucred,
    ) -> SysResult<Arc<Self>> {
        let core = Core::new(&space.memory, &space.inodes, owner, Options::default())?;
        let endpoint = Arc::new(Self {
            core,
            space: space.clone(),
            kind,
            name: OnceLock::new(),
            closed: AtomicBool::new(false),
            unaccepted: AtomicBool::new(false),
            waiting: Mutex::default(),
            listening: Mutex::default(),
            inbox: BiasedMutex::new(Inbox::new(&space.memory)),
            sent: AtomicUsize::new(0),
            peer_credentials: Mutex::new(Ucred::NOBODY),
            pair: OnceLock::new(),
        });
        space.enter(&endpoint);
        Ok(endpoint)
    }

    pub(super) fn space(&self) -> &Arc<Namespace> {
        &self.space
    }

    pub(super) fn kind(&self) -> SocketKind {
        self.kind
    }

    /// Its name, if it has one.
    pub(super) fn name(&self) -> Option<&Name> {
        self.name.get().map(|name| &**name)
    }

    /// Names it. `EINVAL` if it has a name.
    pub(super) fn set_name(&self, name: Name) -> SysResult<()> {
        self.name.set(Arc::new(name)).map_err(|_| Errno::EINVAL)
    }

    /// Has the name of the socket that accepts it.
    pub(super) fn share_name(&self, of: &Endpoint) {
        if let Some(name) = of.name.get() {
            let _ = self.name.set(name.clone());
        }
    }

    /// Whether its last descriptor is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn set_closed(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_unaccepted(&self) -> bool {
        self.unaccepted.load(Ordering::Relaxed)
    }

    pub(super) fn wait_to_be_accepted(&self) {
        self.unaccepted.store(true, Ordering::Relaxed);
    }

    pub(super) fn accepted(&self) {
        self.unaccepted.store(false, Ordering::Relaxed);
    }

    /// Whether a sender that is charged `bytes` may be told that it can send more: there is plenty of room then.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        bytes.saturating_mul(4) <= self.options.send_buffer()
    }

    /// What it is charged for datagrams on the way.
    pub(super) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) fn add_sent(&self, charge: usize) {
        self.sent.fetch_add(charge, Ordering::Relaxed);
    }

    /// A datagram of it was read or lost.
    pub(super) fn release_sent(&self, charge: usize) {
        let left = self.sent.fetch_sub(charge, Ordering::Relaxed).saturating_sub(charge);
        if self.has_room(left) {
            self.notify(SENDABLE);
        }
    }

    /// `who` has found no room here and is notified when there is. The caller has locked what is full.
    pub(super) fn wait_for_room(&self, who: &Arc<Endpoint>) {
        self.waiting.lock().insert(Arc::as_ptr(who).addr(), Arc::downgrade(who));
    }

    /// Tells those who found no room.
    pub(super) fn room_came(&self) {
        let waiting = {
            let mut waiting = self.waiting.lock();
            if waiting.is_empty() {
                return;
            }
            std::mem::take(&mut *waiting)
        };
        waiting.values().filter_map(Weak::upgrade).for_each(|who| who.notify(SENDABLE));
    }

    pub(super) fn is_listening(&self) -> bool {
        self.listening.lock().is_some()
    }

    pub(super) fn set_pair(&self, pair: &Arc<Pair>) {
        let _ = self.pair.set(Arc::downgrade(pair));
    }

    /// What there is to tell about it.
    pub(super) fn tell(&self) -> Told {
        let pair = self.pair.get().and_then(Weak::upgrade);
        let mut told = Told {
            kind: self.kind,
            state: CLOSE,
            ino: self.ino(),
            name: self.name().map_or_else(Vec::new, |name| name.bytes().to_vec()),
            peer: None,
            pending: Vec::new(),
            queues: (0, self.sent()),
            buffers: (self.options.send_buffer(), self.options.receive_buffer()),
            uid: self.owner().uid,
            shut: self.shut().bits(),
        };
        if let Some(pair) = pair {
            let peer = pair.other(self);
            let number = if peer.is_unaccepted() { 0 } else { peer.ino() };
            (told.state, told.peer) = (ESTABLISHED, Some(number));
            told.queues = pair.queues_of(self);
        } else if self.kind == SocketKind::Datagram {
            let inbox = self.inbox.lock();
            told.queues.0 = inbox.messages.first();
            if let Some(peer) = &inbox.peer {
                (told.state, told.peer) = (ESTABLISHED, Some(peer.ino()));
            }
        } else if let Some(backlog) = &*self.listening.lock() {
            told.state = LISTEN;
            told.queues = (backlog.pending().len(), backlog.limit());
            let clients = backlog.pending().iter().filter_map(|server| server.connection());
            told.pending = clients.map(|connection| connection.peer().ino()).collect();
        }
        told
    }

    /// Its line of /proc/net/unix.
    pub(super) fn line(self: &Arc<Self>) -> String {
        const ACCEPTS: u32 = 1 << 16;
        const UNCONNECTED: u8 = 1;
        const CONNECTED: u8 = 3;
        let listens = self.is_listening();
        let connected = match self.kind {
            SocketKind::Datagram => self.inbox.lock().peer.is_some(),
            _ => *self.peer_credentials.lock() != Ucred::NOBODY && !listens,
        };
        let mut line = format!(
            "{:016x}: {:08X} {:08X} {:08X} {:04X} {:02X} {:5}",
            0,
            Arc::strong_count(self),
            0,
            if listens { ACCEPTS } else { 0 },
            self.kind as u16,
            if connected { CONNECTED } else { UNCONNECTED },
            self.ino(),
        );
        if let Some(name) = self.name() {
            line.push(' ');
            line.push_str(&name.to_text());
        }
        line
    }

    /// Its socket is closed: nothing comes in any more, and nobody waits for room in vain. What was there is returned, to be dropped without locks.
    pub(super) fn close(&self) -> (Vec<Arc<UnixSocket>>, Inbox) {
        let backlog = self.listening.lock().take();
        let inbox = {
            let mut inbox = self.inbox.lock();
            self.set_closed();
            std::mem::replace(&mut *inbox, Inbox::new(&self.space.memory))
        };
        self.space.leave(self);
        (backlog.map_or_else(Vec::new, Backlog::into_pending), inbox)
    }
}
