//! Which pages of a VMO differ from what its pager has: the dirty states.
//!
//! ```text
//!                 supply               write, or the pager agrees
//!    missing ────────────────▶ clean ─────────────────────────────▶ dirty ◀──┐
//!       ▲   ◀────────────────   ▲ ▲                                 │  ▲     │ write
//!       │        reclaim        │ └───── writeback ends ─────┐      │  │     │
//!       │                       │                            │      │  └─────┤
//!       │                       │                     awaiting clean ◀───────┘
//!       │ writeback ends        │                         writeback begins
//!       │ (and it was not read) │
//!       │                       │ (and it was)
//!    zero, awaiting clean ──────┘            zero ──── write ────▶ dirty
//!       ▲                                     │  ▲
//!       └────────── writeback begins ─────────┘  │
//!                                                └── the VMO grows; zeroing, in any state
//! ```
//!
//! A page is *zero* when it reads as zero although the pager never supplied it: the VMO grew over it, or it was zeroed whole.
//! It may or may not have a place in memory. Pages that are missing or clean have no entry here; whether a page is present
//! is not known here.

use std::ops::Range;

use rangemap::RangeMap;

/// How a page differs from the pager's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Differs {
    /// It was written to.
    Dirty,
    /// It was, and is being written back.
    AwaitingClean,
    /// It is zero, which the pager does not know.
    Zero,
    /// It is zero, which is being written back.
    ZeroAwaitingClean,
}

impl Differs {
    fn is_zero(self) -> bool {
        matches!(self, Self::Zero | Self::ZeroAwaitingClean)
    }
}

/// Pages that a pager is to write back: `zx_vmo_dirty_range_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirtyRange {
    /// The first byte, a page multiple.
    pub offset: u64,
    /// Bytes, a page multiple.
    pub length: u64,
    /// They are all zero (`ZX_VMO_DIRTY_RANGE_IS_ZERO`).
    pub is_zero: bool,
}

/// The states of a VMO's pages. Ranges are of whole pages.
#[derive(Debug, Default)]
pub(super) struct Tracking(RangeMap<u64, Differs>);

impl Tracking {
    pub(super) fn get(&self, offset: u64) -> Option<Differs> {
        self.0.get(&offset).copied()
    }

    /// Whether the page is known to be zero, so that nobody need be asked for it.
    pub(super) fn is_zero(&self, offset: u64) -> bool {
        self.get(offset).is_some_and(Differs::is_zero)
    }

    pub(super) fn is_dirty(&self, offset: u64) -> bool {
        self.get(offset) == Some(Differs::Dirty)
    }

    pub(super) fn set_dirty(&mut self, range: Range<u64>) {
        self.set(range, Differs::Dirty);
    }

    /// Notes that `range` reads as zero from now on. What was zero stays as it is, being written back perhaps.
    pub(super) fn set_zero(&mut self, range: Range<u64>) {
        let zero = self.overlapping(&range).filter(|(_, differs)| differs.is_zero());
        let keep: Vec<_> = zero.collect();
        self.set(range, Differs::Zero);
        keep.into_iter().for_each(|(part, differs)| self.set(part, differs));
    }

    fn set(&mut self, range: Range<u64>, differs: Differs) {
        if !range.is_empty() {
            self.0.insert(range, differs);
        }
    }

    /// The pages of `range` are gone.
    pub(super) fn forget(&mut self, range: Range<u64>) {
        if !range.is_empty() {
            self.0.remove(range);
        }
    }

    /// The pieces of `range` that differ, in order.
    pub(super) fn overlapping(
        &self,
        range: &Range<u64>,
    ) -> impl Iterator<Item = (Range<u64>, Differs)> {
        let (start, end) = (range.start, range.end.max(range.start));
        // The map's own query takes no empty range.
        let query = (start < end).then(|| self.0.overlapping(start..end));
        query
            .into_iter()
            .flatten()
            .map(move |(piece, &differs)| (piece.start.max(start)..piece.end.min(end), differs))
    }

    /// The pieces of `range` that are zero.
    pub(super) fn zero_parts(&self, range: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
        self.overlapping(range).filter(|(_, differs)| differs.is_zero()).map(|(part, _)| part)
    }

    /// The pieces of `range` whose bytes are the pager's, or zero: they can be dropped.
    pub(super) fn saved_parts(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut saved = Vec::new();
        let mut at = range.start;
        for (part, _) in self.overlapping(range).filter(|(_, differs)| !differs.is_zero()) {
            saved.push(at..part.start);
            at = part.end;
        }
        saved.push(at..range.end);
        saved.retain(|part| part.start < part.end);
        saved
    }

    /// Cuts `range` into pieces that can be written to as they are and pieces that cannot, in order.
    pub(super) fn writable_parts(&self, range: Range<u64>) -> Vec<(Range<u64>, bool)> {
        let mut parts = Vec::new();
        let mut at = range.start;
        let dirty = self.overlapping(&range).filter(|(_, differs)| *differs == Differs::Dirty);
        for (piece, _) in dirty {
            if at < piece.start {
                parts.push((at..piece.start, false));
            }
            at = piece.end;
            parts.push((piece, true));
        }
        if at < range.end {
            parts.push((at..range.end, false));
        }
        parts
    }

    /// What differs now is being written back: all of it, or only what is zero. Returns what can no longer be written to as it
    /// is.
    pub(super) fn begin_writeback(
        &mut self,
        range: &Range<u64>,
        only_zero: bool,
    ) -> Vec<Range<u64>> {
        let all: Vec<_> = self.overlapping(range).collect();
        let mut protected = Vec::new();
        for (part, differs) in all {
            match differs {
                Differs::Zero => self.set(part, Differs::ZeroAwaitingClean),
                Differs::Dirty if !only_zero => {
                    self.set(part.clone(), Differs::AwaitingClean);
                    protected.push(part);
                }
                _ => {}
            }
        }
        protected
    }

    /// What was being written back, and has not changed since, is the pager's.
    pub(super) fn end_writeback(&mut self, range: &Range<u64>) {
        let all: Vec<_> = self.overlapping(range).collect();
        for (part, differs) in all {
            if matches!(differs, Differs::AwaitingClean | Differs::ZeroAwaitingClean) {
                self.forget(part);
            }
        }
    }

    /// What differs in `range`, being written back or not, in order and as few pieces as can be.
    pub(super) fn dirty_ranges(&self, range: &Range<u64>) -> Vec<DirtyRange> {
        let mut ranges: Vec<DirtyRange> = Vec::new();
        for (part, differs) in self.overlapping(range) {
            let (length, is_zero) = (part.end - part.start, differs.is_zero());
            match ranges.last_mut() {
                Some(last)
                    if last.offset + last.length == part.start && last.is_zero == is_zero =>
                {
                    last.length += length;
                }
                _ => ranges.push(DirtyRange { offset: part.start, length, is_zero }),
            }
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: u64 = 4096;

    fn zero(offset: u64, length: u64) -> DirtyRange {
        DirtyRange { offset: offset * P, length: length * P, is_zero: true }
    }

    fn dirty(offset: u64, length: u64) -> DirtyRange {
        DirtyRange { is_zero: false, ..zero(offset, length) }
    }

    #[test]
    fn pages_that_are_written_back_are_still_reported_and_merged() {
        let mut tracking = Tracking::default();
        let all = 0..10 * P;
        tracking.set_dirty(0..4 * P);
        tracking.set_zero(6 * P..8 * P);
        let protected = tracking.begin_writeback(&(2 * P..7 * P), false);
        assert_eq!((protected.len(), &protected[0]), (1, &(2 * P..4 * P)));
        assert_eq!(tracking.get(3 * P), Some(Differs::AwaitingClean));
        assert_eq!(tracking.get(6 * P), Some(Differs::ZeroAwaitingClean));
        assert_eq!(tracking.dirty_ranges(&all), [dirty(0, 4), zero(6, 2)]);
        tracking.end_writeback(&all);
        assert_eq!(tracking.dirty_ranges(&all), [dirty(0, 2), zero(7, 1)]);
    }

    #[test]
    fn a_page_written_again_stays_dirty_when_writeback_ends() {
        let mut tracking = Tracking::default();
        tracking.set_dirty(0..3 * P);
        tracking.begin_writeback(&(0..3 * P), false);
        tracking.set_dirty(P..2 * P);
        tracking.end_writeback(&(0..3 * P));
        assert_eq!(tracking.dirty_ranges(&(0..3 * P)), [dirty(1, 1)]);
    }

    #[test]
    fn writing_zeroes_back_leaves_what_is_not_zero() {
        let mut tracking = Tracking::default();
        tracking.set_zero(0..4 * P);
        tracking.set_dirty(P..2 * P);
        assert_eq!(tracking.begin_writeback(&(0..4 * P), true), []);
        tracking.end_writeback(&(0..4 * P));
        assert_eq!(tracking.dirty_ranges(&(0..4 * P)), [dirty(1, 1)]);
    }

    #[test]
    fn what_is_zero_and_being_written_back_stays_so_when_zeroed() {
        let mut tracking = Tracking::default();
        tracking.set_zero(0..P);
        tracking.begin_writeback(&(0..P), false);
        tracking.set_dirty(P..2 * P);
        tracking.begin_writeback(&(P..2 * P), false);
        tracking.set_zero(0..2 * P);
        assert_eq!(tracking.get(0), Some(Differs::ZeroAwaitingClean));
        // This was not zero when its writing back began.
        assert_eq!(tracking.get(P), Some(Differs::Zero));
    }

    #[test]
    fn only_dirty_pages_can_be_written_to() {
        let mut tracking = Tracking::default();
        tracking.set_dirty(P..3 * P);
        tracking.begin_writeback(&(2 * P..3 * P), false);
        let parts = [(0..P, false), (P..2 * P, true), (2 * P..4 * P, false)];
        assert_eq!(tracking.writable_parts(0..4 * P), parts);
        assert_eq!(tracking.dirty_ranges(&(P..P)), []);
    }
}
