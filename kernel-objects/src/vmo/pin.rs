//! Pinning: pages that stay where they are for as long as a device may touch them.
//!
//! A [`Pin`] makes the pages of a range present, this VMO's own where it is a snapshot, and keeps them: they are not decommitted,
//! not cut off by a smaller size, and not reclaimed when memory is short. Pages never move in any case, so their physical
//! addresses hold until the pin is dropped. Pins add up: a page is free again when the last pin on it has gone.

use std::{
    fmt,
    ops::{ControlFlow, Range},
    sync::Arc,
};

use hal::pmem::PhysAddr;
use rangemap::RangeMap;

use super::{PAGE, Vmo};
use crate::error::{Error, Result};

/// How many pins there are on each page of a VMO.
#[derive(Debug, Default)]
pub(super) struct Pins(RangeMap<u64, usize>);

impl Pins {
    fn change(&mut self, range: &Range<u64>, change: impl Fn(usize) -> usize) {
        let unpinned: Vec<_> = self.0.gaps(range).map(|gap| (gap, 0)).collect();
        let pinned = self
            .0
            .overlapping(range)
            .map(|(piece, &count)| (piece.start.max(range.start)..piece.end.min(range.end), count));
        let pieces: Vec<_> = pinned.chain(unpinned).collect();
        for (piece, count) in pieces {
            match change(count) {
                0 => self.0.remove(piece),
                count => self.0.insert(piece, count),
            }
        }
    }

    /// Whether a page of `range` is pinned.
    pub(super) fn overlap(&self, range: &Range<u64>) -> bool {
        self.0.overlaps(range)
    }

    /// The parts of `range` that are pinned.
    pub(super) fn pinned(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let pieces = self.0.overlapping(range);
        pieces.map(|(piece, _)| piece.start.max(range.start)..piece.end.min(range.end)).collect()
    }

    /// The parts of `range` that are not.
    pub(super) fn unpinned(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        self.0.gaps(range).collect()
    }
}

/// Keeps pages of a VMO, and the VMO, where they are while it exists. Made by [`Vmo::pin`].
///
/// ```
/// use hal::pmem::PhysicalMemory;
/// use kernel_objects::{Error, Vmo, VmoOptions};
///
/// let memory = PhysicalMemory::new(None).unwrap();
/// let vmo = Vmo::create(&memory, 0x2000, VmoOptions { resizable: true, charged: false }).unwrap();
/// let pin = vmo.pin(0x1000, 0x1000).unwrap();
/// memory.write(pin.runs()[0].0, b"from a device");
/// assert_eq!(vmo.set_size(0x1000), Err(Error::BadState));
/// drop(pin);
/// assert_eq!(vmo.set_size(0x1000), Ok(()));
/// ```
pub struct Pin {
    /// What was pinned, perhaps a slice of the owner.
    vmo: Arc<Vmo>,
    /// Who has the pages.
    owner: Arc<Vmo>,
    range: Range<u64>,
}

impl Pin {
    /// The VMO that was pinned.
    #[must_use]
    pub fn vmo(&self) -> &Arc<Vmo> {
        &self.vmo
    }

    /// How many bytes are pinned: a page multiple, not zero.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a pin is never empty")]
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Where the pages are: physical addresses and lengths in bytes, in order.
    #[must_use]
    pub fn runs(&self) -> Vec<(PhysAddr, u64)> {
        let mut runs: Vec<(PhysAddr, u64)> = Vec::new();
        let _ = self.owner.for_each_present(self.range.clone(), &mut |run| {
            match runs.last_mut() {
                Some((pa, len)) if pa.offset(*len) == run.pa => *len += run.len,
                _ => runs.push((run.pa, run.len)),
            }
            ControlFlow::Continue(())
        });
        runs
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.owner.contents.write().pins.change(&self.range, |count| count.saturating_sub(1));
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pin").field("owner", &self.owner).field("range", &self.range).finish()
    }
}

impl Vmo {
    /// Pins `len` bytes from `offset` on, page multiples both, after making those pages present. May block.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] if one of them is not a page multiple or `len` is zero, [`Error::OutOfRange`] beyond the end; else as
    /// [`prepare`](Self::prepare).
    pub fn pin(self: &Arc<Self>, offset: u64, len: u64) -> Result<Pin> {
        if !offset.is_multiple_of(PAGE) || !len.is_multiple_of(PAGE) || len == 0 {
            return Err(Error::InvalidArgs);
        }
        let range = self.check(offset, len)?;
        let (owner, base) = self.shared_owner();
        let range = base + range.start..base + range.end;
        loop {
            owner.access(range.clone(), owner.copies_on_write(), |_, _, _| Ok::<_, Error>(()))?;
            // Whoever takes pages away, or shares them, holds this too.
            let _changing = owner.changing.lock();
            if owner.is_all_present(&range) {
                owner.contents.write().pins.change(&range, |count| count + 1);
                break;
            }
        }
        Ok(Pin { vmo: self.clone(), owner, range })
    }

    /// Whether every page of `range` is here; a copy's its own.
    fn is_all_present(&self, range: &Range<u64>) -> bool {
        let mut at = range.start;
        let _ = self.for_each_present(range.clone(), &mut |run| {
            if run.offset == at && (run.writable || !self.copies_on_write()) {
                at += run.len;
            }
            ControlFlow::Continue(())
        });
        at >= range.end
    }

    /// Whether a page of `range` is pinned.
    #[must_use]
    pub fn is_pinned(&self, range: Range<u64>) -> bool {
        let (owner, base) = self.owner();
        let range = base.saturating_add(range.start)..base.saturating_add(range.end);
        owner.contents.read().pins.overlap(&range)
    }
}

#[cfg(test)]
mod tests {
    use hal::pmem::{PhysicalMemory, Reclaim};

    use super::{
        super::{ChildOptions, PageSink, PageSource, RangeOp, VmoOptions},
        *,
    };

    const RESIZABLE: VmoOptions = VmoOptions { resizable: true, charged: false };

    fn vmo(pages: u64) -> Arc<Vmo> {
        let memory = PhysicalMemory::new(None).unwrap();
        Vmo::create(&memory, pages * PAGE, RESIZABLE).unwrap()
    }

    fn byte(vmo: &Vmo, offset: u64) -> u8 {
        let mut buf = [0xee];
        vmo.read(offset, &mut buf).unwrap();
        buf[0]
    }

    #[test]
    fn a_range_to_pin_is_of_whole_pages_inside() {
        let vmo = vmo(4);
        for (offset, len) in [(1, PAGE), (0, 1), (0, 0), (PAGE, PAGE + 8)] {
            assert_eq!(vmo.pin(offset, len).err(), Some(Error::InvalidArgs));
        }
        for (offset, len) in [(0, 5 * PAGE), (4 * PAGE, PAGE), (u64::MAX - PAGE + 1, PAGE)] {
            assert_eq!(vmo.pin(offset, len).err(), Some(Error::OutOfRange));
        }
        let pin = vmo.pin(PAGE, 3 * PAGE).unwrap();
        assert_eq!((pin.len(), pin.vmo().size()), (3 * PAGE, 4 * PAGE));
    }

    #[test]
    fn pinned_pages_are_present_and_their_addresses_are_theirs() {
        let vmo = vmo(4);
        assert_eq!(vmo.present_run(PAGE, PAGE), None);
        let pin = vmo.pin(PAGE, 2 * PAGE).unwrap();
        let total: u64 = pin.runs().iter().map(|(_, len)| len).sum();
        assert_eq!(total, 2 * PAGE);
        vmo.write(PAGE + 5, b"x").unwrap();
        let mut seen = [0];
        vmo.memory().read(pin.runs()[0].0.offset(5), &mut seen);
        assert_eq!(&seen, b"x");
    }

    #[test]
    fn pinned_pages_are_not_decommitted_until_the_last_pin_goes() {
        let vmo = vmo(4);
        vmo.write(PAGE, b"x").unwrap();
        let (first, second) = (vmo.pin(0, 2 * PAGE).unwrap(), vmo.pin(PAGE, 2 * PAGE).unwrap());
        let decommit = |page| vmo.op_range(RangeOp::Decommit, page * PAGE, PAGE);
        assert_eq!((decommit(0), decommit(3)), (Err(Error::BadState), Ok(())));
        drop(first);
        assert_eq!((decommit(0), decommit(1)), (Ok(()), Err(Error::BadState)));
        assert_eq!(byte(&vmo, PAGE), b'x');
        assert!(vmo.is_pinned(0..2 * PAGE) && !vmo.is_pinned(0..PAGE));
        drop(second);
        assert_eq!((decommit(1), byte(&vmo, PAGE)), (Ok(()), 0));
        assert!(!vmo.is_pinned(0..4 * PAGE));
    }

    #[test]
    fn of_pinned_pages_those_are_zeroed_that_are_asked_for() {
        let vmo = vmo(4);
        vmo.write(0, &[1; 4 * PAGE as usize]).unwrap();
        let _pin = vmo.pin(0, 4 * PAGE).unwrap();
        vmo.op_range(RangeOp::Zero, PAGE, PAGE).unwrap();
        assert_eq!([0, 1, 2, 3].map(|page| byte(&vmo, page * PAGE)), [1, 0, 1, 1]);
        assert_eq!((byte(&vmo, PAGE - 1), byte(&vmo, 2 * PAGE - 1)), (1, 0));
    }

    #[test]
    fn a_size_that_would_cut_pinned_pages_off_is_refused() {
        let vmo = vmo(4);
        let pin = vmo.pin(2 * PAGE, PAGE).unwrap();
        for size in [0, PAGE, 2 * PAGE] {
            assert_eq!(vmo.set_size(size), Err(Error::BadState));
        }
        assert_eq!((vmo.size(), vmo.content_size()), (4 * PAGE, 4 * PAGE));
        assert_eq!(vmo.set_size(3 * PAGE), Ok(()));
        assert_eq!(vmo.set_size(8 * PAGE), Ok(()));
        drop(pin);
        assert_eq!(vmo.set_size(0), Ok(()));
    }

    #[test]
    fn zeroing_pinned_pages_keeps_them_in_place() {
        let vmo = vmo(256);
        let text = [7; 256 * PAGE as usize];
        vmo.write(0, &text).unwrap();
        let pin = vmo.pin(PAGE, PAGE).unwrap();
        let before = vmo.memory().committed();
        assert_eq!(vmo.op_range(RangeOp::Zero, 0, 256 * PAGE), Ok(()));
        assert_eq!((byte(&vmo, 0), byte(&vmo, PAGE), byte(&vmo, 255 * PAGE)), (0, 0, 0));
        assert!(vmo.memory().committed() < before, "the others were given back");
        let committed = vmo.memory().committed_ranges(pin.runs()[0].0, PAGE);
        assert_eq!(committed.len(), 1, "this one was not");
    }

    #[test]
    fn a_slice_pins_the_pages_of_its_parent_and_is_kept() {
        let vmo = Vmo::create(vmo(0).memory(), 4 * PAGE, VmoOptions::default()).unwrap();
        let slice = vmo.create_child(ChildOptions::SLICE, PAGE, 2 * PAGE).unwrap();
        let pin = slice.pin(PAGE, PAGE).unwrap();
        assert!(vmo.is_pinned(2 * PAGE..3 * PAGE) && slice.is_pinned(PAGE..2 * PAGE));
        assert!(!vmo.is_pinned(0..2 * PAGE) && !slice.is_pinned(0..PAGE));
        assert_eq!(slice.op_range(RangeOp::Decommit, 0, 2 * PAGE), Err(Error::BadState));
        drop(slice);
        assert_eq!(vmo.children(), 1);
        drop(pin);
        assert_eq!((vmo.children(), vmo.is_pinned(0..4 * PAGE)), (0, false));
    }

    #[test]
    fn a_snapshot_pins_pages_of_its_own() {
        let vmo = vmo(4);
        vmo.write(0, b"before").unwrap();
        let snapshot = vmo.create_child(ChildOptions::SNAPSHOT, 0, 4 * PAGE).unwrap();
        let pin = snapshot.pin(0, PAGE).unwrap();
        assert!(!vmo.is_pinned(0..4 * PAGE));
        vmo.memory().write(pin.runs()[0].0, b"device");
        assert_eq!((byte(&snapshot, 0), byte(&vmo, 0)), (b'd', b'b'));
        snapshot.decommit(0..PAGE);
        assert_eq!(byte(&snapshot, 0), 0);
        vmo.memory().write(pin.runs()[0].0, b"device");
        assert_eq!(byte(&snapshot, 0), b'd', "kept in spite of whoever does not ask");
        let other = snapshot.create_child(ChildOptions::SNAPSHOT, 0, PAGE);
        assert_eq!(other.err(), Some(Error::BadState));
    }

    struct Ones;

    impl PageSource for Ones {
        fn fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> Result<()> {
            sink.write(offset, &vec![1; len as usize]);
            Ok(())
        }
    }

    #[test]
    fn pinned_pages_of_a_cache_are_not_reclaimed() {
        let memory = PhysicalMemory::new(None).unwrap();
        let file = Vmo::create_with_source(&memory, 4 * PAGE, Arc::new(Ones)).unwrap();
        let pin = file.pin(PAGE, PAGE).unwrap();
        assert_eq!(byte(&file, PAGE), 1, "the source was asked");
        assert!(!file.reclaim(&(0..4 * PAGE), false));
        assert!(file.present_run(PAGE, PAGE).is_some());
        drop(pin);
        assert!(file.reclaim(&(0..4 * PAGE), false));
        assert_eq!(file.present_run(PAGE, PAGE), None);
    }

    #[test]
    fn pins_count_each_page_by_itself() {
        let mut pins = Pins::default();
        let more = |count: usize| count + 1;
        let fewer = |count: usize| count.saturating_sub(1);
        pins.change(&(0..10), more);
        pins.change(&(5..15), more);
        pins.change(&(0..10), fewer);
        assert_eq!(pins.pinned(&(0..20)), vec![5..15; 1]);
        assert_eq!(pins.unpinned(&(0..20)), [0..5, 15..20]);
        assert!(pins.overlap(&(14..30)) && !pins.overlap(&(15..30)));
        pins.change(&(5..15), fewer);
        assert_eq!(pins.pinned(&(0..20)), []);
    }
}
