//! Where the bytes of a VMO are: extents of physical memory at offsets, and which of their pages
//! hold content.
//!
//! An extent costs nothing before it is touched, so a segment is as large as the VMO may need:
//! neighbouring pages of a VMO are neighbours in physical memory, and one host mapping serves long
//! runs. Growth adds segments and never moves data.

use std::{ops::Range, sync::Arc};

use hal::pmem::{Extent, PhysAddr, PhysicalMemory};
use smallvec::SmallVec;

use crate::error::{Error, Result};

/// Largest segment, in bytes.
pub(super) const MAX_SEGMENT: u64 = 1 << 30;
/// Smallest segment of a VMO that may grow.
const MIN_GROWING: u64 = 64 << 10;

/// A contiguous piece of a VMO that lies contiguously in physical memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRun {
    /// Offset in the VMO.
    pub offset: u64,
    /// Where it is.
    pub pa: PhysAddr,
    /// Bytes.
    pub len: u64,
    /// A mapping of the VMO may write here; false for pages that a snapshot still shares with its
    /// parent.
    pub writable: bool,
    /// All pages are known to be committed on the host.
    pub warm: bool,
}

impl PageRun {
    /// The part of the run that lies in `range`, offsets in the VMO.
    #[must_use]
    pub fn clip(self, range: &Range<u64>) -> Option<Self> {
        let start = self.offset.max(range.start);
        let end = (self.offset + self.len).min(range.end);
        let pa = self.pa.offset(start.saturating_sub(self.offset));
        (start < end).then(|| Self { offset: start, pa, len: end - start, ..self })
    }
}

/// Extents by offset: sorted, disjoint.
#[derive(Debug, Default)]
pub(super) struct Segments {
    list: SmallVec<[(u64, Extent); 1]>,
}

impl Segments {
    /// Index of the first segment that ends after `offset`.
    fn index(&self, offset: u64) -> usize {
        self.list.partition_point(|(start, extent)| start + extent.len() <= offset)
    }

    /// Whether nothing has a place.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether `offset` has a place.
    pub(super) fn covers(&self, offset: u64) -> bool {
        self.list.get(self.index(offset)).is_some_and(|(start, _)| *start <= offset)
    }

    /// The pieces of `range` that have a place, in order.
    pub(super) fn runs(&self, range: Range<u64>) -> impl Iterator<Item = PageRun> {
        let from = self.index(range.start);
        let tail = self.list.get(from..).unwrap_or_default();
        tail.iter().map_while(move |(start, extent)| {
            let (pa, len, warm) = (extent.base(), extent.len(), extent.is_warm());
            PageRun { offset: *start, pa, len, writable: true, warm }.clip(&range)
        })
    }

    /// Makes a place for `offset`, and for as much around it as a VMO of `size` bytes should have
    /// in one piece.
    pub(super) fn reserve(
        &mut self,
        memory: &Arc<PhysicalMemory>,
        offset: u64,
        size: u64,
        growing: bool,
    ) -> Result<()> {
        if self.covers(offset) {
            return Ok(());
        }
        let mut chunk = size;
        if growing {
            chunk = size.checked_next_power_of_two().unwrap_or(MAX_SEGMENT).max(MIN_GROWING);
        }
        let chunk = chunk.clamp(1, MAX_SEGMENT);
        let index = self.index(offset);
        let floor = match index.checked_sub(1).and_then(|below| self.list.get(below)) {
            Some((start, extent)) => start + extent.len(),
            None => 0,
        };
        let ceiling = self.list.get(index).map_or(u64::MAX, |(start, _)| *start);
        let base = offset / chunk * chunk;
        let start = base.max(floor);
        let mut end = base.saturating_add(chunk).min(ceiling);
        if !growing {
            end = end.min(size);
        }
        let len = usize::try_from(end.saturating_sub(start)).map_err(|_| Error::NoMemory)?;
        let extent = memory.allocate(len).map_err(|_| Error::NoMemory)?;
        self.list.insert(index, (start, extent));
        Ok(())
    }

    /// Takes out the segments that lie wholly at or after `offset`.
    pub(super) fn split_off(&mut self, offset: u64) -> SmallVec<[(u64, Extent); 1]> {
        let index = self.list.partition_point(|(start, _)| *start < offset);
        self.list.drain(index..).collect()
    }

    /// Notes that the pages of `range` may be given back to the host.
    pub(super) fn set_cold(&self, range: &Range<u64>) {
        for (start, extent) in &self.list {
            if *start < range.end && start + extent.len() > range.start {
                extent.set_cold();
            }
        }
    }

    /// Notes that the pages of `range` have all been touched.
    pub(super) fn set_warm(&self, range: &Range<u64>) {
        for (start, extent) in &self.list {
            if range.start <= *start && start + extent.len() <= range.end {
                extent.set_warm();
            }
        }
    }
}
