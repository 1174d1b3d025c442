//! Open files on their way through sockets (`SCM_RIGHTS`), and the collector of those that nobody can receive any more.
//!
//! The one idea: a socket may be on its way through itself, or two through each other, and then no descriptor leads to them and yet something refers to them.
//! So the kernel counts, of each socket, the references that are on the way. One that has no others is a candidate; what can be reached from
//! no socket but candidates is garbage, and its queues are emptied of files. All that puts files on the way or takes them off it holds one lock,
//! [`Flight`], so the collector sees no file between two places. Messages without files never take it.
//!
//! The collector runs when sockets are closed and when many are put on the way. A cycle that is closed last of all stays until the next of these.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
};

use parking_lot::{Mutex, MutexGuard};

use super::{Namespace, socket::UnixSocket};
use crate::{
    errno::{Errno, SysResult},
    vfs::OpenFile,
};

/// The most files in one message (`SCM_MAX_FD`).
pub const FILES_MAX: usize = 253;

/// How many sockets may be on the way before the collector looks for the first time.
const FIRST_LOOK: usize = 64;

/// A socket that is on the way at least once.
struct InFlight {
    file: Weak<OpenFile>,
    /// How many references to it are on the way.
    count: usize,
}

/// What is on the way.
pub struct Flight {
    /// Unix sockets, by the address of the open file.
    sockets: HashMap<usize, InFlight>,
    /// How many files, by the user who sent them.
    users: HashMap<u32, usize>,
    /// How many sockets were closed since the collector ran.
    closes: usize,
    /// At so many sockets the collector runs.
    look_at: usize,
}

impl Default for Flight {
    fn default() -> Self {
        Self { sockets: HashMap::new(), users: HashMap::new(), closes: 0, look_at: FIRST_LOOK }
    }
}

fn address(file: &Arc<OpenFile>) -> usize {
    Arc::as_ptr(file).addr()
}

fn is_socket(file: &OpenFile) -> bool {
    file.downcast::<UnixSocket>().is_some()
}

impl Flight {
    /// `ETOOMANYREFS` when `user` has more than `limit` files on the way.
    pub fn check(&self, user: u32, limit: u64) -> SysResult<()> {
        let count = self.users.get(&user).copied().unwrap_or(0);
        if count as u64 > limit { Err(Errno::ETOOMANYREFS) } else { Ok(()) }
    }

    fn add(&mut self, user: u32, files: &[Arc<OpenFile>]) {
        *self.users.entry(user).or_default() += files.len();
        for file in files.iter().filter(|file| is_socket(file)) {
            let new = || InFlight { file: Arc::downgrade(file), count: 0 };
            self.sockets.entry(address(file)).or_insert_with(new).count += 1;
        }
    }

    fn remove(&mut self, user: u32, files: &[Arc<OpenFile>]) {
        if let Some(count) = self.users.get_mut(&user) {
            *count = count.saturating_sub(files.len());
            if *count == 0 {
                self.users.remove(&user);
            }
        }
        for file in files.iter().filter(|file| is_socket(file)) {
            if let Some(entry) = self.sockets.get_mut(&address(file)) {
                entry.count -= 1;
                if entry.count == 0 {
                    self.sockets.remove(&address(file));
                }
            }
        }
    }

    /// A socket was closed: whether it is time to look for garbage. Rarer than every time where many sockets are on the way, as a look
    /// costs as much as there are.
    fn is_due(&mut self, closed: bool) -> bool {
        self.closes += usize::from(closed);
        let due = self.closes * 8 >= self.sockets.len() || self.sockets.len() >= self.look_at;
        due && !self.sockets.is_empty()
    }

    /// The rights in the queues of those sockets that nobody can reach, taken out of them.
    fn take_garbage(&mut self) -> Vec<Rights> {
        self.closes = 0;
        self.look_at = FIRST_LOOK.max(2 * self.sockets.len());
        // Those that only messages refer to. (A reference more, for a moment, from a system call is one that will be there next time no more.)
        let mut candidates: HashMap<usize, (Arc<OpenFile>, usize)> = HashMap::new();
        for (address, entry) in &self.sockets {
            if let Some(file) = entry.file.upgrade()
                && Arc::strong_count(&file) - 1 <= entry.count
            {
                candidates.insert(*address, (file, entry.count));
            }
        }
        // Those of them that a message refers to which is in no candidate's queue can still be received, and what is in their queues.
        let mut inner: HashMap<usize, usize> = HashMap::new();
        for (file, _) in candidates.values() {
            each_inside(file, |other| *inner.entry(address(other)).or_default() += 1);
        }
        let from_outside =
            |address: &usize, count: usize| inner.get(address).copied().unwrap_or(0) < count;
        let mut todo: Vec<usize> = candidates
            .iter()
            .filter(|(address, (_, count))| from_outside(address, *count))
            .map(|(address, _)| *address)
            .collect();
        let mut alive: HashSet<usize> = todo.iter().copied().collect();
        while let Some(address_of_it) = todo.pop() {
            if let Some((file, _)) = candidates.get(&address_of_it) {
                each_inside(file, |other| {
                    if alive.insert(address(other)) {
                        todo.push(address(other));
                    }
                });
            }
        }
        let garbage = candidates.iter().filter(|(address, _)| !alive.contains(address));
        garbage
            .filter_map(|(_, (file, _))| file.downcast::<UnixSocket>())
            .flat_map(UnixSocket::take_rights)
            .collect()
    }
}

/// Calls `each` for every file in the queues of the socket `file`.
fn each_inside(file: &OpenFile, mut each: impl FnMut(&Arc<OpenFile>)) {
    if let Some(socket) = file.downcast::<UnixSocket>() {
        socket.each_right(&mut |rights| rights.files.iter().for_each(&mut each));
    }
}

/// Open files on their way in one message. Dropped, they are closed.
pub struct Rights {
    space: Arc<Namespace>,
    user: u32,
    files: Vec<Arc<OpenFile>>,
}

impl Rights {
    /// Puts `files`, which `user` sends, on their way. The message that has them is queued under the same lock.
    pub fn send(
        flight: &mut Flight,
        space: &Arc<Namespace>,
        user: u32,
        files: Vec<Arc<OpenFile>>,
    ) -> Self {
        flight.add(user, &files);
        Self { space: space.clone(), user, files }
    }

    /// Takes them off their way: the message that had them was taken out of its queue under the same lock.
    pub fn receive(mut self, flight: &mut Flight) -> Vec<Arc<OpenFile>> {
        let files = std::mem::take(&mut self.files);
        flight.remove(self.user, &files);
        files
    }

    /// The files.
    pub fn files(&self) -> &[Arc<OpenFile>] {
        &self.files
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        let files = std::mem::take(&mut self.files);
        if !files.is_empty() {
            let space = self.space.clone();
            space.flight().remove(self.user, &files);
            space.dispose(files);
        }
    }
}

/// The open files that are on the way through a kernel's sockets, and those that came from there and are to be dropped.
#[derive(Default)]
pub(super) struct Transit {
    flight: Mutex<Flight>,
    disposal: Mutex<Disposal>,
}

/// Files that are to be dropped.
#[derive(Default)]
struct Disposal {
    files: Vec<Arc<OpenFile>>,
    /// Somebody is dropping them.
    busy: bool,
}

impl Namespace {
    /// Locks what is on the way. Before any socket's own lock.
    pub(super) fn flight(&self) -> MutexGuard<'_, Flight> {
        self.transit.flight.lock()
    }

    /// Drops `files`. What their sockets have in their queues is dropped in turn and not within: a guest decides how long such a chain is.
    fn dispose(&self, files: Vec<Arc<OpenFile>>) {
        let mut disposal = self.transit.disposal.lock();
        disposal.files.extend(files);
        if disposal.busy {
            return;
        }
        disposal.busy = true;
        while let Some(file) = disposal.files.pop() {
            MutexGuard::unlocked(&mut disposal, || drop(file));
        }
        disposal.busy = false;
    }

    /// Looks for sockets that nobody can reach, if it is time to; `closed`: one was just closed.
    pub(super) fn collect(&self, closed: bool) {
        let garbage = {
            let mut flight = self.flight();
            if flight.is_due(closed) { flight.take_garbage() } else { Vec::new() }
        };
        // Without the lock: they take it.
        drop(garbage);
    }

    /// How many sockets are on the way.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> usize {
        self.flight().sockets.len()
    }
}
