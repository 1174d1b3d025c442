//! What every socket has, whatever its family: who made it, its options, who waits for it, what is shut down and what went wrong.
//!
//! The one idea: a family's endpoint *is* a [`Core`] (by `Deref`) with names and queues of its own, so that what stat(2), poll(2) and
//! `SO_ERROR` tell of a socket is told in one place.

use std::sync::{
    Arc,
    atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering},
};

use hal::pmem::{Charge, PhysicalMemory};
use kernel_objects::WaitQueue;

use super::{Options, Shutdown, Ucred, completions::Completions};
use crate::{
    errno::{Errno, SysResult},
    vfs::{Attributes, DeviceNumber, FileType, Metadata, NewNode, PollEvents},
};

/// What is told when a socket may send again.
pub const SENDABLE: PollEvents = PollEvents::WRITABLE.union(PollEvents::WRBAND);

/// The device of sockets, as Linux's sockfs has one of its own.
const SOCKFS: DeviceNumber = DeviceNumber::new(0, 8);

/// Bytes of the kernel's memory that count for a socket beside what is in its queues.
const SOCKET: u64 = 2048;

/// The first of the numbers of sockets.
const FIRST_NUMBER: u64 = 4096;

/// The inode numbers of a kernel's sockets, which are all of one file system.
#[derive(Debug)]
pub struct InodeNumbers(AtomicU64);

impl Default for InodeNumbers {
    fn default() -> Self {
        // Programs that look for `socket:[…]` expect numbers of some digits.
        Self(AtomicU64::new(FIRST_NUMBER))
    }
}

impl InodeNumbers {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// What every socket has.
pub struct Core {
    ino: u64,
    /// Who made it, with the real ids.
    owner: Ucred,
    attributes: Attributes,
    pub(super) queue: WaitQueue,
    pub(super) options: Options,
    /// The calls that wanted no copy.
    pub(crate) completions: Completions,
    /// Bits of [`Shutdown`].
    shut: AtomicU8,
    /// A pending error, 0 for none.
    error: AtomicI32,
    _charge: Charge,
}

impl Core {
    /// That of a socket made by `owner`. `ENOMEM`.
    pub(super) fn new(
        memory: &Arc<PhysicalMemory>,
        numbers: &InodeNumbers,
        owner: Ucred,
        options: Options,
    ) -> SysResult<Self> {
        let node = NewNode::new(FileType::Socket, 0o777, owner.uid, owner.gid);
        Ok(Self {
            ino: numbers.next(),
            owner,
            attributes: Attributes::new(&node, 1),
            queue: WaitQueue::new(),
            options,
            completions: Completions::default(),
            shut: AtomicU8::new(0),
            error: AtomicI32::new(0),
            _charge: memory.charge(SOCKET).map_err(|_| Errno::ENOMEM)?,
        })
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    pub(super) fn owner(&self) -> Ucred {
        self.owner
    }

    /// The halves that are shut down.
    pub(super) fn shut(&self) -> Shutdown {
        Shutdown::from_bits_truncate(self.shut.load(Ordering::Acquire))
    }

    /// Shuts halves down; the caller has locked the queues that this is about, and notifies afterwards.
    pub(super) fn set_shut(&self, halves: Shutdown) {
        self.shut.fetch_or(halves.bits(), Ordering::Release);
    }

    /// Nothing is shut down any more.
    pub(super) fn reopen(&self) {
        self.shut.store(0, Ordering::Release);
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

    /// Whether there is something to read that is no data: an error, or that a call is done.
    pub(super) fn has_news(&self) -> bool {
        self.has_error() || self.completions.is_pending()
    }

    pub(super) fn set_error(&self, error: Errno) {
        self.error.store(error.raw(), Ordering::Relaxed);
    }

    /// Tells whoever waits for one of `events`.
    pub(crate) fn notify(&self, events: PollEvents) {
        self.queue.notify_all_for(events.bits());
    }

    /// How long a call waits that wants `events`.
    pub(super) fn wait_limit(&self, events: PollEvents) -> Option<u64> {
        if events.contains(PollEvents::IN) {
            self.options.receive_timeout()
        } else {
            self.options.send_timeout()
        }
    }

    /// What stat(2) tells.
    pub(super) fn metadata(&self) -> Metadata {
        self.attributes.of_nameless(SOCKFS, self.ino, FileType::Socket)
    }

    /// Where it keeps its mode and times.
    pub(super) fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// What the link in /proc/PID/fd says.
    pub(super) fn link_text(&self) -> Vec<u8> {
        format!("socket:[{}]", self.ino).into_bytes()
    }
}
