//! What others can hold of a Unix socket: its name, its options, who waits for it, and what senders without a connection left there.
//!
//! The one idea: an [`Endpoint`] outlives the descriptors of its socket for as long as somebody refers to it, and says then that it is closed.
//! Whoever finds no room there leaves a reference to itself, and is notified *by its own wait queue* when there is; so a socket has one wait queue for all
//! that can happen to it, which poll(2) and epoll(7) need anyway.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicUsize, Ordering},
    },
};

use hal::{pmem::Charge, sync::BiasedMutex};
use kernel_objects::WaitQueue;
use parking_lot::Mutex;

use super::{Namespace, datagram::Inbox, listen::Backlog, name::Name, socket::UnixSocket};
use crate::{
    errno::{Errno, SysResult},
    net::{Options, Shutdown, SocketKind, Ucred},
    vfs::{PollEvents, Timespec},
};

/// What is told when a socket may send again.
pub const SENDABLE: PollEvents = PollEvents::WRITABLE.union(PollEvents::WRBAND);

/// Bytes of the kernel's memory that count for a socket beside what is in its queues.
const SOCKET: u64 = 2048;

/// A socket as others see it.
pub struct Endpoint {
    space: Arc<Namespace>,
    kind: SocketKind,
    ino: u64,
    /// Who made it, with the real ids.
    owner: Ucred,
    created: Timespec,
    pub(super) queue: WaitQueue,
    pub(super) options: Options,
    name: OnceLock<Arc<Name>>,
    /// Bits of [`Shutdown`], changed with the queues locked that they are about.
    shut: AtomicU8,
    /// A pending error, 0 for none.
    error: AtomicI32,
    closed: AtomicBool,
    /// Who found no room here, by address.
    waiting: Mutex<BTreeMap<usize, Weak<Endpoint>>>,
    /// Connections to accept, if it listens.
    pub(super) listening: Mutex<Option<Backlog>>,
    /// Datagrams.
    pub(super) inbox: BiasedMutex<Inbox>,
    /// What it is charged for datagrams that others have not read yet.
    sent: AtomicUsize,
    pub(super) peer_credentials: Mutex<Ucred>,
    _charge: Charge,
}

impl Endpoint {
    /// A new one of `space`, made by `owner`. `ENOMEM`.
    pub(super) fn new(
        space: &Arc<Namespace>,
        kind: SocketKind,
        owner: Ucred,
    ) -> SysResult<Arc<Self>> {
        let charge = space.memory.charge(SOCKET).map_err(|_| Errno::ENOMEM)?;
        let endpoint = Arc::new(Self {
            space: space.clone(),
            kind,
            ino: space.next_ino.fetch_add(1, Ordering::Relaxed),
            owner,
            created: Timespec::now(),
            queue: WaitQueue::new(),
            options: Options::default(),
            name: OnceLock::new(),
            shut: AtomicU8::new(0),
            error: AtomicI32::new(0),
            closed: AtomicBool::new(false),
            waiting: Mutex::default(),
            listening: Mutex::default(),
            inbox: BiasedMutex::new(Inbox::new(&space.memory)),
            sent: AtomicUsize::new(0),
            peer_credentials: Mutex::new(Ucred::NOBODY),
            _charge: charge,
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

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    pub(super) fn owner(&self) -> Ucred {
        self.owner
    }

    pub(super) fn created(&self) -> Timespec {
        self.created
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

    /// The halves that are shut down.
    pub(super) fn shut(&self) -> Shutdown {
        Shutdown::from_bits_truncate(self.shut.load(Ordering::Acquire))
    }

    /// Shuts halves down; the caller has locked the queues that this is about, and notifies afterwards.
    pub(super) fn set_shut(&self, halves: Shutdown) {
        self.shut.fetch_or(halves.bits(), Ordering::Release);
    }

    /// The pending error, which is no more then.
    pub(super) fn take_error(&self) -> Option<Errno> {
        if self.error.load(Ordering::Relaxed) == 0 {
            return None;
        }
        Some(self.error.swap(0, Ordering::Relaxed)).filter(|&error| error != 0).map(Errno::from_raw)
    }

    pub(super) fn has_error(&self) -> bool {
        self.error.load(Ordering::Relaxed) != 0
    }

    pub(super) fn set_error(&self, error: Errno) {
        self.error.store(error.raw(), Ordering::Relaxed);
    }

    /// Tells whoever waits for one of `events`.
    pub(super) fn notify(&self, events: PollEvents) {
        self.queue.notify_all_for(events.bits());
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
            self.ino,
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
