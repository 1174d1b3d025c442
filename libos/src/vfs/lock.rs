//! Advisory locks on files: whole-file locks of flock(2) and the record locks of fcntl(2).
//!
//! The one idea: every lock is a range with an owner, and an owner is either a process or an open file. flock(2) takes the
//! whole range for an open file in a list of its own, for the two kinds do not see each other on Linux either.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use kernel_objects::WaitQueue;
use parking_lot::Mutex;

use super::{OpenFile, file::CloseWatcher};
use crate::errno::SysResult;

/// Whom a lock belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockOwner {
    /// A process, by number: record locks.
    Process(i32),
    /// An open file, by its address while it lives: flock(2) and `F_OFD_SETLK`.
    OpenFile(usize),
}

impl LockOwner {
    /// The owner that `file` is.
    pub fn of(file: &OpenFile) -> Self {
        Self::OpenFile(std::ptr::from_ref(file).addr())
    }
}

/// A locked range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLock {
    /// Whose it is.
    pub owner: LockOwner,
    /// The process that took it.
    pub pid: i32,
    /// The first byte.
    pub start: u64,
    /// The last byte.
    pub last: u64,
    /// A write lock, or `LOCK_EX`.
    pub exclusive: bool,
}

impl FileLock {
    fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.last && other.start <= self.last
    }

    fn conflicts(&self, other: &Self) -> bool {
        self.owner != other.owner && self.overlaps(other) && (self.exclusive || other.exclusive)
    }
}

/// Which of the two lists of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// flock(2).
    Whole,
    /// fcntl(2).
    Record,
}

/// The locks of one file.
#[derive(Default)]
struct Locks {
    whole: Vec<FileLock>,
    record: Vec<FileLock>,
}

impl Locks {
    fn of(&mut self, kind: LockKind) -> &mut Vec<FileLock> {
        match kind {
            LockKind::Whole => &mut self.whole,
            LockKind::Record => &mut self.record,
        }
    }

    fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.record.is_empty()
    }

    fn remove_owner(&mut self, owner: LockOwner) {
        self.whole.retain(|lock| lock.owner != owner);
        self.record.retain(|lock| lock.owner != owner);
    }
}

/// What of `range` the owner holds is cut out of its locks.
fn cut(locks: &mut Vec<FileLock>, range: &FileLock) {
    let mut kept = Vec::with_capacity(locks.len() + 1);
    for lock in locks.drain(..) {
        if lock.owner != range.owner || !lock.overlaps(range) {
            kept.push(lock);
            continue;
        }
        if lock.start < range.start {
            kept.push(FileLock { last: range.start - 1, ..lock });
        }
        if lock.last > range.last {
            kept.push(FileLock { start: range.last + 1, ..lock });
        }
    }
    *locks = kept;
}

/// A file's device and inode number.
pub type Key = (u64, u64);

/// The locks of all files of a machine.
pub struct LockTable {
    files: Mutex<HashMap<Key, Locks>>,
    /// How many files have locks: so that a close in a machine without any costs a load.
    count: AtomicUsize,
    /// Notified when a lock has gone.
    changed: WaitQueue,
    this: Weak<Self>,
}

impl CloseWatcher for LockTable {
    fn closed(&self, file: &OpenFile) {
        self.release_everywhere(LockOwner::of(file));
    }
}

impl LockTable {
    /// A table without locks.
    pub fn new() -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            files: Mutex::default(),
            count: AtomicUsize::new(0),
            changed: WaitQueue::new(),
            this: this.clone(),
        })
    }

    /// Notified whenever a lock has gone: try again then.
    pub fn changed(&self) -> &WaitQueue {
        &self.changed
    }

    /// Takes `lock` on `file` in the place of what its owner held there. If another's is in the way, that one is
    /// returned and nothing has changed.
    ///
    /// # Errors
    ///
    /// Those of stat on the file.
    pub fn acquire(
        &self,
        file: &OpenFile,
        kind: LockKind,
        lock: FileLock,
    ) -> SysResult<Option<FileLock>> {
        let key = key(file)?;
        let mut files = self.files.lock();
        let locks = files.entry(key).or_default().of(kind);
        if let Some(other) = locks.iter().find(|other| other.conflicts(&lock)) {
            return Ok(Some(*other));
        }
        cut(locks, &lock);
        locks.push(lock);
        self.count.store(files.len(), Ordering::Release);
        drop(files);
        if lock.owner == LockOwner::of(file) {
            let watcher: Weak<dyn CloseWatcher> = self.this.clone();
            file.unwatch_close(&watcher);
            file.watch_close(watcher);
        }
        // A write lock that became a read lock lets others in.
        self.changed.notify_all();
        Ok(None)
    }

    /// The lock that is in the way of `lock`, if there is one.
    ///
    /// # Errors
    ///
    /// Those of stat on the file.
    pub fn conflict(
        &self,
        file: &OpenFile,
        kind: LockKind,
        lock: &FileLock,
    ) -> SysResult<Option<FileLock>> {
        let key = key(file)?;
        let mut files = self.files.lock();
        let locks = files.get_mut(&key).map(|locks| locks.of(kind));
        Ok(locks.and_then(|locks| locks.iter().find(|other| other.conflicts(lock)).copied()))
    }

    /// Gives up what the owner of `range` holds of it.
    ///
    /// # Errors
    ///
    /// Those of stat on the file.
    pub fn release(&self, file: &OpenFile, kind: LockKind, range: FileLock) -> SysResult<()> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let key = key(file)?;
        let mut files = self.files.lock();
        if let Entry::Occupied(mut entry) = files.entry(key) {
            cut(entry.get_mut().of(kind), &range);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
        self.count.store(files.len(), Ordering::Release);
        drop(files);
        self.changed.notify_all();
        Ok(())
    }

    /// A process has closed a descriptor of `file`: its record locks go, whichever descriptor they were taken by.
    pub fn closed_by(&self, file: &OpenFile, pid: i32) {
        let owner = LockOwner::Process(pid);
        let all = FileLock { owner, pid, start: 0, last: u64::MAX, exclusive: false };
        // A file that can not be asked who it is never had locks.
        let _ = self.release(file, LockKind::Record, all);
    }

    /// All locks, file by file.
    pub fn all(&self) -> Vec<(Key, LockKind, FileLock)> {
        let files = self.files.lock();
        let mut all = Vec::new();
        for (&key, locks) in files.iter() {
            all.extend(locks.whole.iter().map(|lock| (key, LockKind::Whole, *lock)));
            all.extend(locks.record.iter().map(|lock| (key, LockKind::Record, *lock)));
        }
        drop(files);
        all.sort_by_key(|(key, ..)| *key);
        all
    }

    /// The owner is gone.
    pub fn release_everywhere(&self, owner: LockOwner) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut files = self.files.lock();
        files.retain(|_, locks| {
            locks.remove_owner(owner);
            !locks.is_empty()
        });
        self.count.store(files.len(), Ordering::Release);
        drop(files);
        self.changed.notify_all();
    }
}

fn key(file: &OpenFile) -> SysResult<Key> {
    let metadata = file.metadata()?;
    Ok((metadata.dev.0, metadata.ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(owner: i32, start: u64, last: u64, exclusive: bool) -> FileLock {
        FileLock { owner: LockOwner::Process(owner), pid: owner, start, last, exclusive }
    }

    #[test]
    fn a_hole_in_the_middle_leaves_both_ends() {
        let mut locks = vec![lock(1, 0, 99, true), lock(2, 0, 99, false)];
        cut(&mut locks, &lock(1, 10, 19, true));
        assert_eq!(locks, [lock(1, 0, 9, true), lock(1, 20, 99, true), lock(2, 0, 99, false)]);
    }

    #[test]
    fn a_range_to_the_end_is_cut_without_overflow() {
        let mut locks = vec![lock(1, 5, u64::MAX, true)];
        cut(&mut locks, &lock(1, 0, u64::MAX, true));
        assert_eq!(locks, []);
    }

    #[test]
    fn readers_share_and_writers_do_not() {
        assert!(!lock(1, 0, 9, false).conflicts(&lock(2, 5, 6, false)));
        assert!(lock(1, 0, 9, false).conflicts(&lock(2, 9, 9, true)));
        assert!(!lock(1, 0, 9, true).conflicts(&lock(2, 10, 11, true)));
        assert!(!lock(1, 0, 9, true).conflicts(&lock(1, 0, 9, true)));
    }
}
