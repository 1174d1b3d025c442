//! Unix sockets (unix(7)): streams, datagrams and messages in order, between processes of one kernel.
//!
//! Read in this order: [`name`] (what a socket can be found by), [`queue`] (what it has received), [`endpoint`] (what others hold of a socket),
//! [`socket`] (the open file), then `stream`, `datagram` and `listen` (what it does), and [`rights`] (open files on their way).
//!
//! The one idea: the open file of a socket, a [`UnixSocket`], owns an [`Endpoint`], which is all that others can hold
//! of it: names, peers, senders. So a socket is closed when its last descriptor is, whoever still refers to it. The two ends of a connection share a pair of queues,
//! as those of a pipe do, and a transfer takes one lock, one copy and no reference count.

pub mod endpoint;
pub mod name;
pub mod queue;
pub mod rights;
pub mod socket;

mod datagram;
mod listen;
mod stream;
#[cfg(test)]
pub(super) mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use hal::pmem::PhysicalMemory;
use parking_lot::Mutex;

use self::{endpoint::Endpoint, name::Name, rights::Transit};
pub use self::{endpoint::Told, name::Binding, socket::UnixSocket};
use super::{SocketKind, core::InodeNumbers};
use crate::errno::{Errno, SysResult};

/// The most messages that wait at a socket from senders that it is not connected to (`net.unix.max_dgram_qlen`); one more is let in.
pub const DATAGRAMS_MAX: usize = 10;

/// How many names bind(2) can find by itself: five hexadecimal digits.
const AUTO_NAMES: u32 = 1 << 20;

/// Sockets of different kinds may have the same abstract name.
type AbstractName = (SocketKind, Box<[u8]>);

/// The sockets of one network namespace. Paths lead from each to all, as they do on Linux.
pub struct Namespace {
    memory: Arc<PhysicalMemory>,
    /// By their abstract names.
    names: Mutex<HashMap<AbstractName, Weak<Endpoint>>>,
    /// All, by inode number.
    sockets: Mutex<BTreeMap<u64, Weak<Endpoint>>>,
    inodes: Arc<InodeNumbers>,
    next_name: AtomicU32,
    /// One for all namespaces: a socket of one may be on its way through one of another.
    transit: Arc<Transit>,
}

impl Namespace {
    /// One without sockets, whose queues are in `memory`.
    pub fn new(memory: &Arc<PhysicalMemory>, inodes: &Arc<InodeNumbers>) -> Arc<Self> {
        Arc::new(Self {
            memory: memory.clone(),
            names: Mutex::default(),
            sockets: Mutex::default(),
            inodes: Arc::clone(inodes),
            next_name: AtomicU32::new(0),
            transit: Arc::default(),
        })
    }

    /// Another one of the same kernel, without sockets.
    pub fn another(&self) -> Arc<Self> {
        Arc::new(Self {
            memory: Arc::clone(&self.memory),
            names: Mutex::default(),
            sockets: Mutex::default(),
            inodes: Arc::clone(&self.inodes),
            next_name: AtomicU32::new(0),
            transit: Arc::clone(&self.transit),
        })
    }

    fn enter(&self, endpoint: &Arc<Endpoint>) {
        self.sockets.lock().insert(endpoint.ino(), Arc::downgrade(endpoint));
    }

    fn leave(&self, endpoint: &Endpoint) {
        self.sockets.lock().remove(&endpoint.ino());
        if let Some(name) = endpoint.name().and_then(Name::as_abstract) {
            let key = (endpoint.kind(), Box::from(name));
            let mut names = self.names.lock();
            // Sockets that were accepted have the name of the one that listens.
            if names.get(&key).is_some_and(|owner| std::ptr::eq(owner.as_ptr(), endpoint)) {
                names.remove(&key);
            }
        }
    }

    /// Gives `endpoint` an abstract name; `EADDRINUSE`, or `EINVAL` if it has a name.
    fn bind_abstract(&self, endpoint: &Arc<Endpoint>, name: &[u8]) -> SysResult<()> {
        let mut names = self.names.lock();
        let key = (endpoint.kind(), Box::from(name));
        if names.get(&key).is_some_and(|owner| owner.strong_count() > 0) {
            return Err(Errno::EADDRINUSE);
        }
        endpoint.set_name(Name::of_abstract(name))?;
        names.insert(key, Arc::downgrade(endpoint));
        Ok(())
    }

    /// Gives `endpoint` an abstract name that is free, unless it has a name. `ENOSPC` when all are taken.
    fn autobind(&self, endpoint: &Arc<Endpoint>) -> SysResult<()> {
        for _ in 0..AUTO_NAMES {
            if endpoint.name().is_some() {
                return Ok(());
            }
            let number = self.next_name.fetch_add(1, Ordering::Relaxed) % AUTO_NAMES;
            match self.bind_abstract(endpoint, format!("\0{number:05x}").as_bytes()) {
                Err(Errno::EADDRINUSE) => {}
                // Somebody else has just named it.
                Err(Errno::EINVAL) => return Ok(()),
                result => return result,
            }
        }
        Err(Errno::ENOSPC)
    }

    /// The socket of that kind and abstract name.
    fn find_abstract(&self, kind: SocketKind, name: &[u8]) -> Option<Arc<Endpoint>> {
        let found = self.names.lock().get(&(kind, Box::from(name)))?.upgrade();
        found.filter(|endpoint| !endpoint.is_closed())
    }

    /// All sockets.
    fn all(&self) -> Vec<Arc<Endpoint>> {
        self.sockets.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// What there is to tell about each socket; nothing of one that is still to be accepted.
    pub fn tell(&self) -> Vec<Told> {
        let all = self.all();
        all.iter().filter(|end| !end.is_unaccepted()).map(|end| end.tell()).collect()
    }

    /// The text of /proc/net/unix.
    pub fn table(&self) -> String {
        let mut text = String::from("Num       RefCount Protocol Flags    Type St Inode Path\n");
        for endpoint in self.all() {
            let _ = writeln!(text, "{}", endpoint.line());
        }
        text
    }
}
