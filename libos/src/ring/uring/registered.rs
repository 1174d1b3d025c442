//! Files and buffers that a guest has registered, to name them by their places in a table.
//!
//! The one idea: a table is a list of places, each with a [`Resource`] or free. A resource with a tag tells of its end when nobody uses it any
//! more, be it in the table or in an operation.

use std::sync::{Arc, Weak};

use super::{Cqe, Uring, completion::Kind};
use crate::{
    errno::{Errno, SysResult},
    vfs::{GuestRange, OpenFile},
};

/// The most files of a table, and buffers.
pub(super) const MAX_FILES: usize = 1 << 15;
pub(super) const MAX_BUFFERS: usize = 1 << 14;

/// A registered file or buffer.
pub(super) struct Resource<T> {
    what: T,
    tag: u64,
    ring: Weak<Uring>,
}

impl<T> Resource<T> {
    pub(super) fn new(what: T, tag: u64, ring: Weak<Uring>) -> Arc<Self> {
        Arc::new(Self { what, tag, ring })
    }

    pub(super) fn get(&self) -> &T {
        &self.what
    }
}

impl<T> Drop for Resource<T> {
    fn drop(&mut self) {
        if self.tag != 0
            && let Some(ring) = self.ring.upgrade()
        {
            ring.completions.post(&[Cqe { user_data: self.tag, res: 0, flags: 0 }], Kind::Late);
        }
    }
}

/// A table; `None` until one is registered.
pub(super) struct Table<T> {
    places: Option<Vec<Option<Arc<Resource<T>>>>>,
    /// Where free places are looked for.
    range: std::ops::Range<usize>,
}

/// What was in places of a table: to be dropped when nothing is locked.
pub(super) type Taken<T> = Vec<Option<Arc<Resource<T>>>>;

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { places: None, range: 0..0 }
    }
}

impl<T> Table<T> {
    /// Registers a table. `EBUSY` if there is one.
    pub(super) fn register(&mut self, places: Taken<T>) -> SysResult<()> {
        if self.places.is_some() {
            return Err(Errno::EBUSY);
        }
        self.range = 0..places.len();
        self.places = Some(places);
        Ok(())
    }

    /// Whether there is one.
    pub(super) fn is_registered(&self) -> bool {
        self.places.is_some()
    }

    /// Ends it. `ENXIO` if there is none.
    pub(super) fn unregister(&mut self) -> SysResult<Taken<T>> {
        self.places.take().ok_or(Errno::ENXIO)
    }

    /// What is at `index`, if something is.
    pub(super) fn get(&self, index: usize) -> Option<Arc<Resource<T>>> {
        self.places.as_ref()?.get(index)?.clone()
    }

    /// How many places there are; `ENXIO` without a table.
    pub(super) fn len(&self) -> SysResult<usize> {
        self.places.as_ref().map(Vec::len).ok_or(Errno::ENXIO)
    }

    /// Puts something at `index`, or nothing, in place of what is returned. `ENXIO` without a table, `EINVAL` beyond it.
    pub(super) fn replace(
        &mut self,
        index: usize,
        with: Option<Arc<Resource<T>>>,
    ) -> SysResult<Option<Arc<Resource<T>>>> {
        let place = self.places.as_mut().ok_or(Errno::ENXIO)?.get_mut(index);
        Ok(std::mem::replace(place.ok_or(Errno::EINVAL)?, with))
    }

    /// A free place. `ENFILE`.
    pub(super) fn free(&self) -> SysResult<usize> {
        let places = self.places.as_ref().ok_or(Errno::ENFILE)?;
        let mut free = self.range.clone().filter(|&at| matches!(places.get(at), Some(None)));
        free.next().ok_or(Errno::ENFILE)
    }

    /// Where free places are to be looked for from now on. `EINVAL`, `EOVERFLOW`.
    pub(super) fn limit(&mut self, first: u32, count: u32) -> SysResult<()> {
        let end = first.checked_add(count).ok_or(Errno::EOVERFLOW)? as usize;
        if end > self.places.as_ref().map_or(0, Vec::len) {
            return Err(Errno::EINVAL);
        }
        self.range = first as usize..end;
        Ok(())
    }
}

/// Registered files.
pub(super) type Files = Table<Arc<OpenFile>>;
/// Registered buffers.
pub(super) type Buffers = Table<GuestRange>;

impl Buffers {
    /// Whether `len` bytes at `address` are in the buffer at `index`. `EFAULT`.
    pub(super) fn check(&self, index: u16, address: u64, len: u64) -> SysResult<()> {
        let buffer = self.get(index.into()).ok_or(Errno::EFAULT)?;
        let GuestRange { va, len: size } = *buffer.get();
        let end = va.saturating_add(size as u64);
        let within = address >= va && address.checked_add(len).is_some_and(|last| last <= end);
        if within { Ok(()) } else { Err(Errno::EFAULT) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(va: u64, len: usize) -> Option<Arc<Resource<GuestRange>>> {
        Some(Resource::new(GuestRange { va, len }, 0, Weak::new()))
    }

    #[test]
    fn places_are_found_filled_and_freed() {
        let mut table = Buffers::default();
        assert_eq!((table.free(), table.len()), (Err(Errno::ENFILE), Err(Errno::ENXIO)));
        table.register(vec![buffer(0x1000, 0x100), None, None]).unwrap();
        assert_eq!(table.register(Vec::new()), Err(Errno::EBUSY));
        assert_eq!(table.free(), Ok(1));
        table.limit(2, 1).unwrap();
        assert_eq!(table.free(), Ok(2));
        assert!(table.replace(2, buffer(0, 1)).unwrap().is_none());
        assert_eq!(table.free(), Err(Errno::ENFILE));
        assert_eq!(table.replace(3, None).err(), Some(Errno::EINVAL));
        assert_eq!(table.limit(3, 1), Err(Errno::EINVAL));
        assert_eq!(table.limit(3, u32::MAX), Err(Errno::EOVERFLOW));
    }

    #[test]
    fn a_transfer_is_within_its_buffer() {
        let mut table = Buffers::default();
        table.register(vec![buffer(0x1000, 0x100)]).unwrap();
        assert_eq!(table.check(0, 0x1000, 0x100), Ok(()));
        for (index, address, len) in
            [(0, 0x1001, 0x100), (0, 0xfff, 1), (1, 0x1000, 1), (0, 0x1010, u64::MAX)]
        {
            assert_eq!(table.check(index, address, len), Err(Errno::EFAULT));
        }
    }
}
