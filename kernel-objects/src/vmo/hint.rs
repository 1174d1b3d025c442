//! What users say about the use of pages, and of the processor's caches.
//!
//! Hints are about pages that can be had again, those of a source: which may be reclaimed first, and which last. The caches of
//! the host's processor are coherent, and nothing but the processor writes to the memory here, so that an operation on them has
//! nothing to do once it is known to be permitted.

use std::ops::Range;

use super::{Kind, RangeOp, Vmo};
use crate::{
    error::{Error, Result},
    rights::Rights,
};

impl RangeOp {
    /// The operation with this number: `ZX_VMO_OP_*`, but for `ZX_VMO_OP_LOCK`, which is [`Vmo::lock`].
    ///
    /// # Errors
    /// [`Error::InvalidArgs`].
    pub fn from_raw(raw: u32) -> Result<Self> {
        Ok(match raw {
            1 => Self::Commit,
            2 => Self::Decommit,
            4 => Self::Unlock,
            6 => Self::CacheSync,
            7 => Self::CacheInvalidate,
            8 => Self::CacheClean,
            9 => Self::CacheCleanInvalidate,
            10 => Self::Zero,
            11 => Self::TryLock,
            12 => Self::DontNeed,
            13 => Self::AlwaysNeed,
            14 => Self::Prefetch,
            _ => return Err(Error::InvalidArgs),
        })
    }

    /// Checks that a handle with `rights` may do it.
    ///
    /// # Errors
    /// [`Error::AccessDenied`].
    pub fn require(self, rights: Rights) -> Result {
        match self {
            Self::Commit | Self::Decommit | Self::Zero | Self::CacheInvalidate => {
                rights.require(Rights::WRITE)
            }
            Self::CacheSync | Self::CacheClean | Self::CacheCleanInvalidate | Self::Prefetch => {
                rights.require(Rights::READ)
            }
            // Either will do.
            Self::TryLock | Self::Unlock => {
                rights.require(Rights::READ).or_else(|_| rights.require(Rights::WRITE))
            }
            Self::DontNeed | Self::AlwaysNeed => Ok(()),
        }
    }

    pub(super) fn is_cache_op(self) -> bool {
        use RangeOp::*;
        matches!(self, CacheSync | CacheInvalidate | CacheClean | CacheCleanInvalidate)
    }
}

impl Vmo {
    /// An operation on the processor's caches.
    pub(super) fn cache_op(&self, op: RangeOp, range: &Range<u64>) -> Result {
        if range.is_empty() {
            return Err(Error::InvalidArgs);
        }
        match op {
            // What was written and not cleaned could be lost.
            RangeOp::CacheInvalidate => self.check_writable(),
            _ => Ok(()),
        }
    }

    /// Makes pages present that can be read.
    pub(super) fn prefetch(&self, range: Range<u64>) -> Result {
        match &self.owner().0.kind {
            Kind::Source { .. } | Kind::Over { .. } => {
                self.access(range, false, |_, _, _| Ok::<_, Error>(()))
            }
            // Nobody need be asked for them.
            Kind::Anonymous | Kind::Placed(_) | Kind::Slice { .. } | Kind::Reference { .. } => {
                Ok(())
            }
        }
    }

    /// The VMO with a source whose pages `range` shows, and where they are there.
    fn behind_range(&self, range: &Range<u64>) -> Option<(&Vmo, Range<u64>)> {
        let (owner, base) = self.owner();
        let range = base + range.start..base + range.end;
        match &owner.kind {
            Kind::Source { .. } => Some((owner, range)),
            Kind::Over { source, offset, .. } => {
                let end = range.end.min(owner.shown()).max(range.start);
                Some((source, offset.checked_add(range.start)?..offset.checked_add(end)?))
            }
            _ => None,
        }
    }

    /// Makes pages present, and lets them go last when memory is short.
    pub(super) fn always_need(&self, range: Range<u64>) -> Result {
        self.prefetch(range.clone())?;
        if let Some((vmo, range)) = self.behind_range(&range)
            && !range.is_empty()
        {
            vmo.contents.write().needed.insert(range);
        }
        Ok(())
    }

    /// Lets pages that are present go first when memory is short.
    pub(super) fn dont_need(&self, range: Range<u64>) -> Result {
        let Some((vmo, range)) = self.behind_range(&range) else { return Ok(()) };
        if let Kind::Source { me, .. } = &vmo.kind
            && !range.is_empty()
        {
            vmo.contents.write().needed.remove(range.clone());
            vmo.memory.note_unneeded(me.clone(), range);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hal::pmem::PhysicalMemory;

    use super::{super::PAGE, *};
    use crate::vmo::{ChildOptions, PageSink, PageSource, VmoOptions};

    const ALL: [RangeOp; 12] = [
        RangeOp::Commit,
        RangeOp::Decommit,
        RangeOp::Zero,
        RangeOp::TryLock,
        RangeOp::Unlock,
        RangeOp::CacheSync,
        RangeOp::CacheInvalidate,
        RangeOp::CacheClean,
        RangeOp::CacheCleanInvalidate,
        RangeOp::DontNeed,
        RangeOp::AlwaysNeed,
        RangeOp::Prefetch,
    ];

    struct Ones;

    impl PageSource for Ones {
        fn fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> Result {
            sink.write(offset, &vec![1; len as usize]);
            Ok(())
        }
    }

    #[test]
    fn operations_have_zircons_numbers_and_rights() {
        let raw = [1, 2, 10, 11, 4, 6, 7, 8, 9, 12, 13, 14];
        assert_eq!(raw.map(|raw| RangeOp::from_raw(raw).unwrap()), ALL);
        for raw in [0, 3, 5, 15, u32::MAX] {
            assert_eq!(RangeOp::from_raw(raw), Err(Error::InvalidArgs));
        }
        let allowed = |rights: Rights| ALL.map(|op| op.require(rights).is_ok() as u8);
        assert_eq!(allowed(Rights::READ), [0, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1, 1]);
        assert_eq!(allowed(Rights::WRITE), [1, 1, 1, 1, 1, 0, 1, 0, 0, 1, 1, 0]);
        assert_eq!(allowed(Rights::empty()), [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0]);
        assert_eq!(RangeOp::Commit.require(Rights::READ), Err(Error::AccessDenied));
    }

    #[test]
    fn operations_on_caches_check_what_they_are_given() {
        let memory = PhysicalMemory::new(None).unwrap();
        let vmo = Vmo::create(&memory, 2 * PAGE, VmoOptions::default()).unwrap();
        vmo.write(0, &[7; 10]).unwrap();
        let options = ChildOptions::SLICE | ChildOptions::NO_WRITE;
        let read_only = vmo.create_child(options, 0, PAGE).unwrap();
        for op in ALL.into_iter().filter(|op| op.is_cache_op()) {
            assert_eq!(vmo.op_range(op, 1, PAGE), Ok(()));
            assert_eq!(vmo.op_range(op, 0, 0), Err(Error::InvalidArgs));
            assert_eq!(vmo.op_range(op, PAGE, PAGE + 1), Err(Error::OutOfRange));
            let invalidates = op == RangeOp::CacheInvalidate;
            let expected = if invalidates { Err(Error::AccessDenied) } else { Ok(()) };
            assert_eq!(read_only.op_range(op, 0, PAGE), expected);
        }
        let mut bytes = [0; 10];
        vmo.read(0, &mut bytes).unwrap();
        assert_eq!(bytes, [7; 10]);
    }

    #[test]
    fn hints_make_pages_present_and_say_which_go_first() {
        const MIB: u64 = 1 << 20;
        let memory = PhysicalMemory::new(Some(MIB)).unwrap();
        let file = |pages| Vmo::create_with_source(&memory, pages * PAGE, Arc::new(Ones)).unwrap();
        let present = |vmo: &Vmo| !vmo.committed(0..vmo.size()).is_empty();
        let (needed, old, unneeded) = (file(32), file(32), file(32));
        assert_eq!(needed.op_range(RangeOp::AlwaysNeed, 1, PAGE), Ok(()));
        let whole = std::iter::once(0..32 * PAGE).collect::<Vec<_>>();
        assert_eq!(needed.committed(0..MIB), whole);
        assert_eq!(old.op_range(RangeOp::Prefetch, 0, 32 * PAGE), Ok(()));
        // A hint alone makes nothing present.
        assert_eq!(unneeded.op_range(RangeOp::DontNeed, 0, PAGE), Ok(()));
        assert!(!present(&unneeded));
        // Through a clone, as well.
        let clone = unneeded.create_private(0, 32 * PAGE, false).unwrap();
        assert_eq!(clone.op_range(RangeOp::AlwaysNeed, 0, 32 * PAGE), Ok(()));
        assert!(present(&unneeded));
        assert_eq!(clone.op_range(RangeOp::DontNeed, 0, 32 * PAGE), Ok(()));
        let held = memory.cached_content();
        assert!(memory.reclaim(MIB - held + PAGE));
        assert!(present(&needed) && present(&old) && !present(&unneeded));
        assert!(memory.reclaim(MIB - 32 * PAGE));
        assert!(present(&needed) && !present(&old));
        // Nothing else is left.
        assert!(memory.reclaim(MIB));
        assert!(!present(&needed));
        let plain = Vmo::create(&memory, PAGE, VmoOptions::default()).unwrap();
        for op in [RangeOp::AlwaysNeed, RangeOp::DontNeed, RangeOp::Prefetch] {
            assert_eq!(plain.op_range(op, 0, PAGE), Ok(()));
            assert_eq!(plain.op_range(op, 0, PAGE + 1), Err(Error::OutOfRange));
        }
        assert_eq!(memory.cached_content(), 0);
    }
}
