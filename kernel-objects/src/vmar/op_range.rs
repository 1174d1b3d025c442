//! Operations on whatever is mapped in a range of addresses: each VMO there gets its part of the range.

use std::{ops::Range, sync::Arc};

use hal::aspace::{Access, Prot};

use super::{Mapping, Vmar, page_range};
use crate::{
    error::{Error, Result},
    vmo::{RangeOp, Vmo},
};

/// How much is entered in the page table before others get a turn.
const PIECE: u64 = 64 << 20;

/// What is done to a range of addresses by [`Vmar::op_range`]: `ZX_VMAR_OP_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmarOp {
    /// As [`RangeOp::Commit`], and [map](Self::MapRange) the pages; to write to them if the mapping is writable.
    Commit,
    /// As [`RangeOp::Decommit`].
    Decommit,
    /// Enter the pages that are present in the page table.
    MapRange,
    /// As [`RangeOp::Zero`].
    Zero,
    /// As [`RangeOp::DontNeed`].
    DontNeed,
    /// As [`RangeOp::AlwaysNeed`].
    AlwaysNeed,
    /// As [`RangeOp::Prefetch`], and [map](Self::MapRange) the pages.
    Prefetch,
}

impl VmarOp {
    /// The operation with this number.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`].
    pub fn from_raw(raw: u32) -> Result<Self> {
        Ok(match raw {
            1 => Self::Commit,
            2 => Self::Decommit,
            3 => Self::MapRange,
            10 => Self::Zero,
            12 => Self::DontNeed,
            13 => Self::AlwaysNeed,
            14 => Self::Prefetch,
            _ => return Err(Error::InvalidArgs),
        })
    }

    /// What is done to the VMOs.
    fn on_vmo(self) -> Option<RangeOp> {
        match self {
            Self::Commit => Some(RangeOp::Commit),
            Self::Decommit => Some(RangeOp::Decommit),
            Self::Zero => Some(RangeOp::Zero),
            Self::DontNeed => Some(RangeOp::DontNeed),
            Self::AlwaysNeed => Some(RangeOp::AlwaysNeed),
            Self::Prefetch => Some(RangeOp::Prefetch),
            Self::MapRange => None,
        }
    }

    /// Whether it is only for mappings that are writable.
    fn writes(self) -> bool {
        matches!(self, Self::Commit | Self::Decommit | Self::Zero)
    }

    /// Whether pages are entered in the page table, once they are there.
    fn maps(self) -> bool {
        matches!(self, Self::Commit | Self::MapRange | Self::Prefetch)
    }
}

impl Vmar {
    /// Does `op` to what is mapped in a range, from one mapping to the next; waits for pages as a future (`zx_vmar_op_range`).
    /// What comes before an error has been done.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if `addr` is not aligned, or `len` is 0 or, but for hints, no page multiple; [`Error::OutOfRange`]
    /// outside of this region; [`Error::BadState`] if something there is not mapped or the region is destroyed;
    /// [`Error::AccessDenied`] if a mapping may not be written to, to commit, decommit or zero; as [`Vmo::op_range`] and
    /// [`Vmo::fetch`].
    pub async fn op_range(&self, op: VmarOp, addr: u64, len: u64) -> Result {
        let aligned = page_range(addr, len)?;
        let hint = matches!(op, VmarOp::DontNeed | VmarOp::AlwaysNeed);
        if !hint && aligned.end - aligned.start != len {
            return Err(Error::InvalidArgs);
        }
        let range = self.own_range(addr, len)?;
        self.tree.state.lock().check_alive(self.region)?;
        let mut at = range.start;
        while at < range.end {
            let mapping = self.find(at).ok_or(Error::BadState)?;
            let part = at..mapping.range.end.min(range.end);
            self.op_mapping(op, &mapping, &part).await?;
            at = part.end;
        }
        Ok(())
    }

    /// Does `op` to `part` of a mapping.
    async fn op_mapping(&self, op: VmarOp, mapping: &Mapping, part: &Range<u64>) -> Result {
        if op.writes() && !mapping.perms.contains(Prot::WRITE) {
            return Err(Error::AccessDenied);
        }
        let vmo: &Arc<Vmo> = &mapping.vmo;
        let offset = mapping.vmo_offset.saturating_add(part.start - mapping.range.start);
        let len = part.end - part.start;
        if let Some(op) = op.on_vmo() {
            vmo.op_range_async(op, offset, len).await?;
        }
        if !op.maps() || mapping.perms.is_empty() {
            return Ok(());
        }
        let mut at = part.start;
        while at < part.end {
            let end = part.end.min(at.saturating_add(PIECE));
            self.map_present(&(at..end), op.writes())?;
            at = end;
            if at < part.end {
                hal::cpu::yield_now().await;
            }
        }
        Ok(())
    }

    /// Enters the pages of a range that are present in the page table: to be written to, if that needs nobody's leave, if `write`.
    fn map_present(&self, range: &Range<u64>, write: bool) -> Result {
        let mut at = range.start;
        while at < range.end {
            let mapping = self.find(at).ok_or(Error::BadState)?;
            let end = mapping.range.end.min(range.end);
            let offset = mapping.vmo_offset.saturating_add(at - mapping.range.start);
            let Some(run) = mapping.vmo.next_present(offset..offset.saturating_add(end - at))
            else {
                at = end;
                continue;
            };
            let start = at + (run.offset - offset);
            let access = if write && run.writable { Access::Write } else { Access::Read };
            // It may go again, or somebody unmap it; then there is nothing to enter.
            let _ = self.try_fault(start, access);
            at = self.mapped_until(start, start + run.len);
        }
        Ok(())
    }

    /// How far beyond the page at `start`, and at most to `end`, the page table goes on with the same run.
    fn mapped_until(&self, start: u64, end: u64) -> u64 {
        let run = self.tree.aspace.query(start).map_or(0, |run| run.range.end);
        run.min(end).max(start + super::PAGE)
    }
}

#[cfg(test)]
mod tests {
    use hal::{
        aspace::AddressSpace,
        pmem::{PAGE_SIZE, PhysicalMemory},
    };

    use futures::FutureExt;

    use super::*;
    use crate::{MapArgs, PageSink, PageSource, VmoOptions, vmo::ChildOptions};

    const PAGE: u64 = PAGE_SIZE as u64;

    fn done(vmar: &Vmar, op: VmarOp, addr: u64, len: u64) -> Result {
        futures::executor::block_on(vmar.op_range(op, addr, len))
    }

    fn root() -> (Arc<PhysicalMemory>, Arc<Vmar>) {
        let memory = PhysicalMemory::new(None).unwrap();
        let aspace = AddressSpace::new(&memory).unwrap();
        let vmar = Vmar::create_root(&aspace).unwrap();
        (memory, vmar)
    }

    fn vmo(memory: &Arc<PhysicalMemory>, pages: u64) -> Arc<Vmo> {
        Vmo::create(memory, pages * PAGE, VmoOptions::default()).unwrap()
    }

    #[test]
    fn each_mapping_in_the_range_has_its_part_changed() {
        let (memory, vmar) = root();
        let (one, two) = (vmo(&memory, 4), vmo(&memory, 4));
        let base = vmar.find_free(8 * PAGE, PAGE).unwrap();
        let map = |vmo: &Arc<Vmo>, at| {
            let placement = super::super::Placement::Exact(at);
            vmar.map(MapArgs { placement, ..MapArgs::new(vmo.clone(), 4 * PAGE) }).unwrap()
        };
        map(&one, base);
        map(&two, base + 4 * PAGE);
        for vmo in [&one, &two] {
            vmo.write(0, &[7; 4 * PAGE_SIZE]).unwrap();
        }
        assert_eq!(done(&vmar, VmarOp::Decommit, base + 3 * PAGE, 2 * PAGE), Ok(()));
        let byte = |va| {
            let mut byte = [9];
            vmar.read(va, &mut byte).unwrap();
            byte[0]
        };
        let bytes: Vec<u8> = (0..8).map(|page| byte(base + page * PAGE)).collect();
        assert_eq!(bytes, [7, 7, 7, 0, 0, 7, 7, 7]);
        assert_eq!(done(&vmar, VmarOp::Zero, base, PAGE), Ok(()));
        assert_eq!((byte(base), byte(base + PAGE)), (0, 7));
        assert_eq!(done(&vmar, VmarOp::Commit, base, 8 * PAGE), Ok(()));
        assert_eq!(one.info().committed_bytes, 4 * PAGE);
    }

    #[test]
    fn copies_are_made_and_mapped_before_they_are_touched() {
        let (memory, vmar) = root();
        let parent = vmo(&memory, 4);
        parent.write(0, &[7; 4 * PAGE_SIZE]).unwrap();
        let child = parent.create_child(ChildOptions::SNAPSHOT, 0, 4 * PAGE).unwrap();
        let at = vmar.map(MapArgs::new(child, 4 * PAGE)).unwrap();
        let entered = |page: u64, access| {
            let run = vmar.aspace().query(at + page * PAGE).unwrap();
            !run.flags.contains(hal::aspace::MapFlags::RESERVED) && run.prot.allows(access)
        };
        assert_eq!(done(&vmar, VmarOp::MapRange, at, 2 * PAGE), Ok(()));
        assert!(entered(0, Access::Read) && !entered(0, Access::Write));
        assert_eq!(done(&vmar, VmarOp::Commit, at, 4 * PAGE), Ok(()));
        assert!((0..4).all(|page| entered(page, Access::Write)));
    }

    /// A file of 64 pages with content in the second half, mapped before any page was there.
    fn half_there(memory: &Arc<PhysicalMemory>, vmar: &Vmar) -> (Arc<Vmo>, u64) {
        let file = Vmo::create_with_source(memory, 64 * PAGE, Arc::new(Zeroes)).unwrap();
        let at = vmar.map(MapArgs::new(file.clone(), 64 * PAGE)).unwrap();
        file.read(40 * PAGE, &mut [0]).unwrap();
        assert!(!file.committed(32 * PAGE..64 * PAGE).is_empty());
        (file, at)
    }

    struct Zeroes;

    impl PageSource for Zeroes {
        fn fill(&self, _: u64, _: u64, _: &mut PageSink<'_>) -> Result {
            Ok(())
        }
    }

    #[test]
    fn pages_that_came_after_the_mapping_are_mapped_where_they_are() {
        let (memory, vmar) = root();
        let (file, at) = half_there(&memory, &vmar);
        let entered = |page: u64| {
            let run = vmar.aspace().query(at + page * PAGE);
            run.is_some_and(|run| !run.flags.contains(hal::aspace::MapFlags::RESERVED))
        };
        let before = [0, 31, 32, 40, 63].map(entered);
        assert_eq!(before, [false; 5]);
        for op in [VmarOp::DontNeed, VmarOp::AlwaysNeed] {
            assert_eq!(done(&vmar, op, at + 32 * PAGE, 32 * PAGE), Ok(()));
            assert!(!entered(40), "{op:?}");
        }
        file.read(40 * PAGE, &mut [0]).unwrap();
        assert_eq!(done(&vmar, VmarOp::MapRange, at + 24 * PAGE, 40 * PAGE), Ok(()));
        assert_eq!([0, 31, 32, 40, 63].map(entered), [false, false, true, true, true]);
    }

    #[test]
    fn what_is_unmapped_meanwhile_is_not_mapped_again() {
        let (memory, vmar) = root();
        let at = vmar.map(MapArgs::new(vmo(&memory, 3 * PIECE / PAGE), 3 * PIECE)).unwrap();
        let mut op = Box::pin(vmar.op_range(VmarOp::MapRange, at, 3 * PIECE));
        assert!((&mut op).now_or_never().is_none(), "others have their turn");
        vmar.unmap(at, 3 * PIECE).unwrap();
        assert_eq!(futures::executor::block_on(op), Err(Error::BadState));
        assert!(vmar.aspace().query(at).is_none());
    }

    #[test]
    fn what_is_documented_to_fail_fails() {
        let (memory, vmar) = root();
        let child = vmar.allocate(super::super::Placement::TopDown, 8 * PAGE).unwrap();
        let base = child.range().start;
        let args = MapArgs {
            placement: super::super::Placement::Exact(base),
            perms: Prot::READ,
            ..MapArgs::new(vmo(&memory, 2), 2 * PAGE)
        };
        child.map(args).unwrap();
        for op in [VmarOp::Commit, VmarOp::Decommit, VmarOp::Zero] {
            assert_eq!(done(&child, op, base, PAGE), Err(Error::AccessDenied));
        }
        assert_eq!(done(&child, VmarOp::MapRange, base, 3 * PAGE), Err(Error::BadState));
        assert_eq!(done(&child, VmarOp::MapRange, base, 0), Err(Error::InvalidArgs));
        assert_eq!(done(&child, VmarOp::MapRange, base + 1, PAGE), Err(Error::InvalidArgs));
        assert_eq!(done(&child, VmarOp::Prefetch, base, PAGE + 1), Err(Error::InvalidArgs));
        assert_eq!(done(&child, VmarOp::DontNeed, base, PAGE + 1), Ok(()), "a hint is rounded");
        assert_eq!(done(&child, VmarOp::MapRange, base, 9 * PAGE), Err(Error::OutOfRange));
        child.destroy().unwrap();
        assert_eq!(done(&child, VmarOp::MapRange, base, PAGE), Err(Error::BadState));
    }

    #[test]
    fn operations_have_zircons_numbers_and_what_they_do_to_vmos() {
        use VmarOp::*;
        let all = [Commit, Decommit, MapRange, Zero, DontNeed, AlwaysNeed, Prefetch];
        let raw = [1, 2, 3, 10, 12, 13, 14];
        assert_eq!(raw.map(VmarOp::from_raw), all.map(Ok));
        for raw in [0, 4, 6, 9, 11, 15, u32::MAX] {
            assert_eq!(VmarOp::from_raw(raw), Err(Error::InvalidArgs));
        }
        for (raw, op) in raw.into_iter().zip(all) {
            assert_eq!(op.on_vmo(), RangeOp::from_raw(raw).ok(), "the same number, if it is one");
        }
    }

    #[test]
    fn what_only_looks_may_be_done_to_what_cannot_be_written() {
        let (memory, vmar) = root();
        let args = MapArgs { perms: Prot::READ, ..MapArgs::new(vmo(&memory, 4), 4 * PAGE) };
        let at = vmar.map(args).unwrap();
        for op in [VmarOp::MapRange, VmarOp::Prefetch, VmarOp::DontNeed, VmarOp::AlwaysNeed] {
            assert_eq!(done(&vmar, op, at, PAGE), Ok(()), "{op:?}");
        }
        vmar.protect(at, 4 * PAGE, Prot::empty()).unwrap();
        assert_eq!(done(&vmar, VmarOp::MapRange, at, PAGE), Ok(()), "there is nothing to enter");
        assert_eq!(done(&vmar, VmarOp::Commit, at, PAGE), Err(Error::AccessDenied));
    }
}
