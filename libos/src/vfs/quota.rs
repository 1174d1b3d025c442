//! How much a file system in memory may hold: the options `size`, `nr_blocks` and `nr_inodes` of tmpfs(5).
//!
//! The one idea: what a file takes is counted where its memory is charged, so that both follow one another.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use hal::pmem::{Charge, OutOfMemory, PAGE_SIZE, PhysicalMemory};

use crate::errno::{Errno, SysResult};

const PAGE: u64 = PAGE_SIZE as u64;

/// What there may be of something, and how much of it there is.
#[derive(Debug)]
struct Count {
    most: AtomicU64,
    used: AtomicU64,
}

impl Count {
    const fn without_limit() -> Self {
        Self { most: AtomicU64::new(u64::MAX), used: AtomicU64::new(0) }
    }

    fn add(&self, more: u64) -> Result<(), OutOfMemory> {
        let most = self.most.load(Ordering::Relaxed);
        let added = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(more).filter(|&sum| sum <= most)
        });
        added.map(drop).map_err(|_| OutOfMemory)
    }

    fn remove(&self, less: u64) {
        self.used.fetch_sub(less, Ordering::Relaxed);
    }

    fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn most(&self) -> Option<u64> {
        Some(self.most.load(Ordering::Relaxed)).filter(|&most| most != u64::MAX)
    }
}

/// The limits of a file system: content in bytes, and inodes.
#[derive(Debug)]
pub struct Quota {
    bytes: Count,
    inodes: Count,
}

/// New limits; `None` stays, `Some(0)` is none.
#[derive(Clone, Copy, Default, Debug)]
pub struct Limits {
    /// Bytes of content, rounded up to pages.
    pub bytes: Option<u64>,
    /// Inodes.
    pub inodes: Option<u64>,
}

impl Default for Quota {
    fn default() -> Self {
        Self { bytes: Count::without_limit(), inodes: Count::without_limit() }
    }
}

impl Quota {
    /// Sets limits. `EINVAL` when there is more already.
    pub fn set(&self, limits: Limits) -> SysResult<()> {
        let or_none = |limit: u64| if limit == 0 { u64::MAX } else { limit };
        let bytes =
            limits.bytes.map(|bytes| or_none(bytes.checked_next_multiple_of(PAGE).unwrap_or(0)));
        let inodes = limits.inodes.map(or_none);
        for (count, limit) in [(&self.bytes, bytes), (&self.inodes, inodes)] {
            if limit.is_some_and(|limit| limit < count.used()) {
                return Err(Errno::EINVAL);
            }
        }
        for (count, limit) in [(&self.bytes, bytes), (&self.inodes, inodes)] {
            if let Some(limit) = limit {
                count.most.store(limit, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// The limit of bytes, and how many are used; `None` if there is none.
    pub fn bytes(&self) -> Option<(u64, u64)> {
        self.bytes.most().map(|most| (most, self.bytes.used()))
    }

    /// The limit of inodes, and how many are used; `None` if there is none.
    pub fn inodes(&self) -> Option<(u64, u64)> {
        self.inodes.most().map(|most| (most, self.inodes.used()))
    }

    /// An inode more, for as long as the result lives; `ENOSPC`.
    pub fn inode(self: &Arc<Self>) -> SysResult<InodeShare> {
        self.inodes.add(1).map_err(|_| Errno::ENOSPC)?;
        Ok(InodeShare(Arc::clone(self)))
    }
}

/// An inode that counts.
#[derive(Debug)]
pub struct InodeShare(Arc<Quota>);

impl Drop for InodeShare {
    fn drop(&mut self) {
        self.0.inodes.remove(1);
    }
}

/// The bytes of a file's content, counted against the memory limit and its file system's, if that has one.
#[derive(Debug)]
pub struct Space {
    charge: Charge,
    quota: Option<Arc<Quota>>,
}

impl Space {
    /// No bytes.
    pub fn new(memory: &Arc<PhysicalMemory>, quota: Option<Arc<Quota>>) -> Self {
        Self { charge: memory.no_charge(), quota }
    }

    /// Counts `bytes` in all from now on. Becoming smaller cannot fail.
    ///
    /// # Errors
    /// [`OutOfMemory`] if a limit would be passed; nothing has changed then.
    pub fn resize(&mut self, bytes: u64) -> Result<(), OutOfMemory> {
        let old = self.charge.bytes();
        let Some(quota) = &self.quota else { return self.charge.resize(bytes) };
        let more = bytes.saturating_sub(old);
        quota.bytes.add(more)?;
        let charged = self.charge.resize(bytes);
        match charged {
            Ok(()) => quota.bytes.remove(old.saturating_sub(bytes)),
            Err(_) => quota.bytes.remove(more),
        }
        charged
    }

    /// How many bytes more the file system has room for.
    pub fn left(&self) -> u64 {
        let limited = self.quota.as_ref().and_then(|quota| quota.bytes());
        limited.map_or(u64::MAX, |(most, used)| most.saturating_sub(used))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if let Some(quota) = &self.quota {
            quota.bytes.remove(self.charge.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_can_be_had_again() {
        let memory = PhysicalMemory::new(Some(8 * PAGE)).unwrap();
        let quota = Arc::new(Quota::default());
        quota.set(Limits { bytes: Some(4 * PAGE - 1), inodes: Some(1) }).unwrap();
        let mut one = Space::new(&memory, Some(quota.clone()));
        let mut other = Space::new(&memory, Some(quota.clone()));
        one.resize(3 * PAGE).unwrap();
        assert!(other.resize(2 * PAGE).is_err());
        assert_eq!(quota.bytes(), Some((4 * PAGE, 3 * PAGE)));
        assert_eq!(quota.set(Limits { bytes: Some(2 * PAGE), inodes: None }), Err(Errno::EINVAL));
        one.resize(PAGE).unwrap();
        other.resize(3 * PAGE).unwrap();
        assert_eq!(other.left(), 0);
        drop(other);
        quota.set(Limits { bytes: Some(0), inodes: None }).unwrap();
        assert!(one.resize(9 * PAGE).is_err(), "the memory's own limit");
        assert_eq!((one.left(), memory.charged()), (u64::MAX, PAGE));
        let inode = quota.inode().unwrap();
        assert_eq!(quota.inode().err(), Some(Errno::ENOSPC));
        drop(inode);
        quota.inode().unwrap();
    }
}
