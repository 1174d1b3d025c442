//! Where the pages of a VMO go: extents of physical memory that were set aside for them.
//!
//! The one idea: an extent costs nothing before it is touched, so one is set aside for much of a VMO at once, and each page has
//! its place there: neighbouring pages of a VMO are neighbours in physical memory, and one host mapping serves long runs.

use std::{ops::Range, sync::Arc};

use hal::pmem::{Extent, PhysAddr, PhysicalMemory};
use smallvec::SmallVec;

use super::frames::{Frames, Piece};
use crate::error::{Error, Result};

/// Largest extent, in bytes.
const MAX_EXTENT: u64 = 1 << 30;
/// Smallest extent of a VMO that may grow.
const MIN_GROWING: u64 = 64 << 10;
/// Largest extent for copies of pages. Snapshots that copy a page each are given one each.
const MAX_COPIES: u64 = 256 << 10;

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

/// The range around `offset` that a VMO of `size` bytes should have in one extent, as far as it lies in `free`.
pub(super) fn chunk_around(offset: u64, size: u64, growing: bool, free: &Range<u64>) -> Range<u64> {
    let mut chunk = size;
    if growing {
        chunk = size.checked_next_power_of_two().unwrap_or(MAX_EXTENT).max(MIN_GROWING);
    }
    let chunk = chunk.clamp(1, MAX_EXTENT);
    let base = offset / chunk * chunk;
    let mut end = base.saturating_add(chunk).min(free.end);
    if !growing {
        end = end.min(size);
    }
    base.max(free.start)..end
}

/// An extent for `range`.
pub(super) fn allocate(memory: &Arc<PhysicalMemory>, range: &Range<u64>) -> Result<Extent> {
    let len = range.end.saturating_sub(range.start);
    let len = usize::try_from(len).map_err(|_| Error::NoMemory)?;
    memory.allocate(len).map_err(|_| Error::NoMemory)
}

/// Extents with places for single pages, by offset: sorted, disjoint.
#[derive(Debug, Default)]
pub(super) struct Segments {
    list: SmallVec<[(u64, Arc<Frames>); 1]>,
}

impl Segments {
    /// Index of the first segment that ends after `offset`.
    fn index(&self, offset: u64) -> usize {
        self.list.partition_point(|(start, frames)| start + frames.len() <= offset)
    }

    /// The free places for the first pages of `range`: one at least.
    pub(super) fn take(&mut self, range: &Range<u64>) -> Option<Piece> {
        let (start, frames) = self.list.get(self.index(range.start))?;
        let end = range.end.min(start + frames.len());
        frames.take(range.start.checked_sub(*start)?..end.saturating_sub(*start))
    }

    /// As [`take`](Self::take) for a VMO of `size` bytes that fills its pages one by one, after setting aside what is missing.
    pub(super) fn place(
        &mut self,
        memory: &Arc<PhysicalMemory>,
        range: &Range<u64>,
        size: u64,
        growing: bool,
    ) -> Result<Piece> {
        if let Some(piece) = self.take(range) {
            return Ok(piece);
        }
        let index = self.index(range.start);
        let below = index.checked_sub(1).and_then(|below| self.list.get(below));
        let floor = below.map_or(0, |(start, frames)| start + frames.len());
        let ceiling = self.list.get(index).map_or(u64::MAX, |(start, _)| *start);
        let chunk = chunk_around(range.start, size, growing, &(floor..ceiling));
        self.list.insert(index, (chunk.start, Frames::unused(allocate(memory, &chunk)?)));
        self.take(range).ok_or(Error::Internal)
    }

    /// As [`take`](Self::take), for copies of pages of a VMO of `size` bytes: where a place is taken, by a page that others have
    /// as well, new ones are set aside.
    pub(super) fn place_copy(
        &mut self,
        memory: &Arc<PhysicalMemory>,
        range: &Range<u64>,
        size: u64,
    ) -> Result<Piece> {
        if let Some(piece) = self.take(range) {
            return Ok(piece);
        }
        let base = range.start / MAX_COPIES * MAX_COPIES;
        let chunk = base..base.saturating_add(MAX_COPIES).min(size.max(range.end));
        let frames = Frames::unused(allocate(memory, &chunk)?);
        self.list.retain(|(start, old)| *start + old.len() <= base || *start >= chunk.end);
        let index = self.index(base);
        self.list.insert(index, (base, frames));
        self.take(range).ok_or(Error::Internal)
    }

    /// Forgets the places that begin at or after `offset`.
    pub(super) fn truncate(&mut self, offset: u64) {
        self.list.retain(|(start, _)| *start < offset);
    }
}
