//! What there is to know about a VMO: `ZX_INFO_VMO`.
//!
//! The one idea: memory is told three ways. Of all the pages that a VMO shows and that are its own or are shared with snapshots it
//! has so many in memory (*committed*); so many would be free without it (*private*); and if each page is split evenly among those
//! who show it, so much is its part (*scaled*), so that the parts of all VMOs make up what is used. The pages of a page cache are
//! the cache's alone, those of a slice or a reference their owner's.

use std::{
    collections::BTreeMap,
    ops::{ControlFlow, Range},
    sync::atomic::Ordering,
};

use bitflags::bitflags;
use rangemap::RangeMap;

use super::{CachePolicy, Kind, PAGE, Vmo};
use crate::object::{KOID_INVALID, KernelObject, Koid};

bitflags! {
    /// What kind of VMO it is: `ZX_INFO_VMO_*`. How it was found, by a handle or a mapping, is for whoever found it to add.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct VmoFlags: u32 {
        /// Ordinary memory, not a window on a device's.
        const PAGED = 1 << 0;
        /// Its size can change.
        const RESIZABLE = 1 << 1;
        /// It began as a copy of another.
        const COW_CLONE = 1 << 2;
        /// Found by a handle.
        const VIA_HANDLE = 1 << 3;
        /// Found by a mapping.
        const VIA_MAPPING = 1 << 4;
        /// A page cache, or a copy of one.
        const PAGER_BACKED = 1 << 5;
        /// In one piece of physical memory.
        const CONTIGUOUS = 1 << 6;
        /// It may lose its pages while it is not locked.
        const DISCARDABLE = 1 << 7;
        /// A snapshot that cannot be written to and cannot be resized: it never changes.
        const IMMUTABLE = 1 << 8;
    }
}

/// What is known about a VMO: `zx_info_vmo_t`. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmoInfo {
    /// Its identity.
    pub koid: Koid,
    /// Its name, which need not be UTF-8.
    pub name: Vec<u8>,
    /// Its size, a page multiple.
    pub size: u64,
    /// The VMO that it was made from, or [`KOID_INVALID`].
    pub parent_koid: Koid,
    /// See [`Vmo::children`].
    pub children: usize,
    /// Mappings of it, in all address spaces.
    pub mappings: usize,
    /// Address spaces that map it.
    pub share_count: usize,
    /// What kind it is.
    pub flags: VmoFlags,
    /// How it is to be cached.
    pub cache_policy: CachePolicy,
    /// What the kernel keeps to know it and where its pages are. What snapshots share of that counts in each.
    pub metadata_bytes: u64,
    /// How many times the kernel took memory from it of its own accord: discarded it, or reclaimed pages that can be had again.
    pub committed_change_events: u64,
    /// In memory, of pages that are its own or shared with snapshots.
    pub committed_bytes: u64,
    /// Of those, not shared.
    pub committed_private_bytes: u64,
    /// Of those, each page divided by how many VMOs share it.
    pub committed_scaled_bytes: u64,
    /// What that is too small by for being rounded down, in units of 2^-63 bytes.
    pub committed_fractional_scaled_bytes: u64,
}

/// How many VMOs have the pages of an extent, by offset there; extents by where they are.
type Sharers = BTreeMap<u64, RangeMap<u64, u64>>;

impl Vmo {
    /// What there is to know (`ZX_INFO_VMO`). It takes as long as there are pieces in the VMOs that it shares pages with.
    ///
    /// ```
    /// use hal::pmem::PhysicalMemory;
    /// use kernel_objects::{Vmo, VmoOptions, vmo::ChildOptions};
    ///
    /// let memory = PhysicalMemory::new(None).unwrap();
    /// let vmo = Vmo::create(&memory, 0x4000, VmoOptions::default()).unwrap();
    /// vmo.write(0, &[1; 0x3000]).unwrap();
    /// let snapshot = vmo.create_child(ChildOptions::SNAPSHOT, 0, 0x4000).unwrap();
    /// snapshot.write(0, b"own").unwrap();
    /// let info = snapshot.info();
    /// assert_eq!((info.committed_bytes, info.committed_private_bytes), (0x3000, 0x1000));
    /// assert_eq!(info.committed_scaled_bytes, 0x2000);
    /// ```
    #[must_use]
    pub fn info(&self) -> VmoInfo {
        let (owner, _) = self.owner();
        let mappers = owner.links.lock().mappers.live();
        let counts = mappers.iter().map(|mapper| mapper.count(self)).filter(|&count| count > 0);
        let (share_count, mappings) = counts.fold((0, 0), |(spaces, sum), n| (spaces + 1, sum + n));
        let used = self.committed_memory(0..self.size());
        VmoInfo {
            koid: self.koid(),
            name: self.name_bytes(),
            size: self.size(),
            parent_koid: self.parent_koid,
            children: self.children(),
            mappings,
            share_count,
            flags: self.flags(),
            cache_policy: self.cache_policy(),
            metadata_bytes: size_of::<Vmo>() as u64 + self.contents.read().pages.bytes(),
            committed_change_events: self.losses.load(Ordering::Relaxed),
            committed_bytes: used.committed,
            committed_private_bytes: used.private,
            committed_scaled_bytes: used.scaled_bytes(),
            committed_fractional_scaled_bytes: used.fraction(),
        }
    }

    /// What is in memory of what it shows in `range`, whosever pages those are; those of a page cache are the cache's alone.
    #[must_use]
    pub fn memory_in(&self, range: Range<u64>) -> CommittedMemory {
        let (owner, base) = self.owner();
        let end = range.end.min(self.size()).max(range.start);
        owner.committed_memory(base.saturating_add(range.start)..base.saturating_add(end))
    }

    /// How many address spaces map its pages.
    #[must_use]
    pub fn share_count(&self) -> usize {
        let (owner, _) = self.owner();
        let mappers = owner.links.lock().mappers.live();
        mappers.iter().filter(|mapper| mapper.maps(owner)).count()
    }

    fn flags(&self) -> VmoFlags {
        let (owner, _) = self.owner();
        let clone = self.parent_koid != KOID_INVALID && std::ptr::eq(owner, self);
        let cached = matches!(owner.kind, Kind::Source { .. } | Kind::Over { .. });
        let mut flags = VmoFlags::empty();
        flags.set(VmoFlags::PAGED, !self.is_physical());
        flags.set(VmoFlags::RESIZABLE, owner.options.resizable);
        flags.set(VmoFlags::COW_CLONE, clone);
        flags.set(VmoFlags::PAGER_BACKED, cached);
        flags.set(VmoFlags::CONTIGUOUS, self.is_contiguous() && !self.is_physical());
        flags.set(VmoFlags::DISCARDABLE, owner.is_discardable());
        // Only of a snapshot is it promised; its parent's pages never show in it again.
        let immutable = clone && self.is_anonymous() && !self.writable && !self.options.resizable;
        flags.set(VmoFlags::IMMUTABLE, immutable);
        flags
    }

    /// Calls `each(extent, part, alone)` for the parts of extents that are this VMO's in `range` and that the host holds.
    fn each_committed(&self, range: Range<u64>, each: &mut dyn FnMut(u64, Range<u64>, bool)) {
        if !std::ptr::eq(self.owner().0, self) || self.is_physical() {
            return;
        }
        let over = matches!(self.kind, Kind::Over { .. });
        let _ = self.visit(range, &mut |run, place| {
            match place {
                Some((piece, part)) => {
                    let (extent, start) = piece.place();
                    for held in self.memory.committed_ranges(run.pa, run.len) {
                        let from = start + part.start + (held.start - run.pa.0);
                        each(extent, from..from + (held.end - held.start), run.writable);
                    }
                }
                // The page cache behind has them.
                None if over => {}
                None => each(run.pa.0, 0..run.len, true),
            }
            ControlFlow::Continue(())
        });
    }

    fn committed_memory(&self, range: Range<u64>) -> CommittedMemory {
        let mut used = CommittedMemory::default();
        let mut sharers = Sharers::new();
        self.each_committed(range, &mut |extent, part, alone| {
            used.committed += part.end - part.start;
            if alone {
                used.private += part.end - part.start;
            } else {
                sharers.entry(extent).or_default().insert(part, 1);
            }
        });
        used.scaled = u128::from(used.private) << 63;
        if sharers.is_empty() {
            return used;
        }
        for other in self.relatives() {
            if std::ptr::eq(&*other, self) {
                continue;
            }
            other.each_committed(0..other.size(), &mut |extent, part, alone| {
                let Some(counts) = sharers.get_mut(&extent).filter(|_| !alone) else { return };
                let shared: Vec<(Range<u64>, u64)> = counts
                    .overlapping(&part)
                    .map(|(of, &n)| (of.start.max(part.start)..of.end.min(part.end), n + 1))
                    .collect();
                shared.into_iter().for_each(|(of, n)| counts.insert(of, n));
            });
        }
        for (range, &count) in sharers.values().flat_map(RangeMap::iter) {
            let page = (u128::from(PAGE) << 63) / u128::from(count);
            used.scaled += page * u128::from((range.end - range.start) / PAGE);
        }
        used
    }
}

/// Bytes in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommittedMemory {
    /// All.
    pub committed: u64,
    /// Those that nobody else has a copy of.
    pub private: u64,
    /// All, each page divided by how many VMOs share it, in units of 2^-63.
    pub scaled: u128,
}

impl CommittedMemory {
    /// What `scaled` is in whole bytes.
    pub fn scaled_bytes(&self) -> u64 {
        (self.scaled >> 63) as u64
    }

    /// What that is too small by, in units of 2^-63.
    pub fn fraction(&self) -> u64 {
        self.scaled as u64 & (u64::MAX >> 1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hal::{
        aspace::{AddressSpace, Prot},
        pmem::PhysicalMemory,
    };

    use super::{
        super::{ChildOptions, PageSink, PageSource, RangeOp, VmoOptions},
        *,
    };
    use crate::{
        error::Result,
        vmar::{MapArgs, Vmar},
    };

    fn memory() -> Arc<PhysicalMemory> {
        PhysicalMemory::new(Some(PAGE)).unwrap()
    }

    fn vmo(memory: &Arc<PhysicalMemory>, pages: u64) -> Arc<Vmo> {
        Vmo::create(memory, pages * PAGE, VmoOptions::default()).unwrap()
    }

    fn flags(vmo: &Vmo) -> VmoFlags {
        vmo.info().flags
    }

    struct Zeroes;

    impl PageSource for Zeroes {
        fn fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> Result<()> {
            sink.write(offset, &vec![0; len as usize]);
            Ok(())
        }
    }

    #[test]
    fn it_says_who_a_vmo_is_and_where_it_comes_from() {
        let vmo = vmo(&memory(), 4);
        vmo.set_name("parent");
        let info = vmo.info();
        assert_eq!((info.koid, &info.name[..], info.size), (vmo.koid(), &b"parent"[..], 4 * PAGE));
        assert_eq!((info.parent_koid, info.children), (KOID_INVALID, 0));
        assert_eq!((info.flags, info.cache_policy), (VmoFlags::PAGED, CachePolicy::Cached));
        let child = vmo.create_child(ChildOptions::SNAPSHOT, PAGE, PAGE).unwrap();
        assert_eq!((child.info().parent_koid, vmo.info().children), (vmo.koid(), 1));
        let koid = vmo.koid();
        drop(vmo);
        assert_eq!(child.info().parent_koid, koid, "for ever");
    }

    #[test]
    fn what_the_kernel_keeps_grows_with_the_pieces() {
        let vmo = vmo(&memory(), 64);
        let empty = vmo.info().metadata_bytes;
        assert!(empty >= size_of::<Vmo>() as u64);
        vmo.write(0, &[1]).unwrap();
        let one = vmo.info().metadata_bytes;
        assert!(one > empty);
        let copy = vmo.create_child(ChildOptions::SNAPSHOT, 0, 64 * PAGE).unwrap();
        for page in (1..64).step_by(2) {
            copy.write(page * PAGE, &[2]).unwrap();
        }
        // 32 copies, and what is between and behind them.
        assert_eq!(copy.info().metadata_bytes - empty, 64 * (one - empty));
    }

    #[test]
    fn what_is_taken_from_it_is_counted() {
        let memory = PhysicalMemory::new(Some(64 * PAGE)).unwrap();
        let file = Vmo::create_with_source(&memory, 4 * PAGE, Arc::new(Zeroes)).unwrap();
        let discardable =
            Vmo::create_discardable(&memory, 4 * PAGE, VmoOptions::default()).unwrap();
        let events = || [&file, &discardable].map(|vmo| vmo.info().committed_change_events);
        discardable.lock(0, 4 * PAGE).unwrap();
        discardable.write(0, &[1]).unwrap();
        file.read(0, &mut [0]).unwrap();
        discardable.op_range(RangeOp::Decommit, 0, 4 * PAGE).unwrap();
        assert_eq!(events(), [0, 0], "what is asked for does not count");
        discardable.unlock(0, 4 * PAGE).unwrap();
        assert!(!memory.reclaim(1 << 40), "it has no more");
        assert_eq!(events(), [1, 1]);
        assert_eq!(file.info().committed_bytes, 0);
    }

    #[test]
    fn flags_tell_the_kinds_apart() {
        use ChildOptions as C;
        let memory = memory();
        let resizable = VmoOptions { resizable: true, charged: false };
        let vmo = vmo(&memory, 4);
        let child = |options| vmo.create_child(options, 0, PAGE).unwrap();
        let copy = VmoFlags::PAGED | VmoFlags::COW_CLONE;
        assert_eq!(flags(&child(C::SNAPSHOT)), copy);
        assert_eq!(flags(&child(C::SNAPSHOT | C::NO_WRITE)), copy | VmoFlags::IMMUTABLE);
        assert_eq!(flags(&child(C::SNAPSHOT | C::RESIZABLE)), copy | VmoFlags::RESIZABLE);
        assert_eq!(flags(&child(C::SLICE | C::NO_WRITE)), VmoFlags::PAGED);
        let large = Vmo::create(&memory, 0, resizable).unwrap();
        let reference = large.create_child(C::REFERENCE, 0, 0).unwrap();
        assert_eq!(flags(&large), VmoFlags::PAGED | VmoFlags::RESIZABLE);
        assert_eq!(flags(&reference), VmoFlags::PAGED | VmoFlags::RESIZABLE);
        let file = Vmo::create_with_source(&memory, PAGE, Arc::new(Zeroes)).unwrap();
        let clone = file.create_child(C::SNAPSHOT_AT_LEAST_ON_WRITE, 0, PAGE).unwrap();
        assert_eq!(flags(&clone), copy | VmoFlags::PAGER_BACKED);
        assert!(flags(&file).contains(VmoFlags::PAGER_BACKED));
    }

    #[test]
    fn mappings_and_those_who_share_them_are_counted() {
        let memory = memory();
        let spaces =
            [(); 2].map(|()| Vmar::create_root(&AddressSpace::new(&memory).unwrap()).unwrap());
        let vmo = vmo(&memory, 4);
        let slice = vmo.create_child(ChildOptions::SLICE, PAGE, PAGE).unwrap();
        let map = |vmar: &Vmar, vmo: &Arc<Vmo>| {
            vmar.map(MapArgs { perms: Prot::READ, ..MapArgs::new(vmo.clone(), PAGE) }).unwrap()
        };
        let first = map(&spaces[0], &vmo);
        map(&spaces[0], &vmo);
        map(&spaces[1], &vmo);
        map(&spaces[1], &slice);
        assert_eq!((vmo.info().mappings, vmo.info().share_count), (3, 2));
        assert_eq!((slice.info().mappings, slice.info().share_count), (1, 1));
        spaces[0].unmap(first, PAGE).unwrap();
        assert_eq!((vmo.info().mappings, vmo.info().share_count), (2, 2));
    }

    #[test]
    fn the_parts_of_shared_memory_make_up_what_is_used() {
        let memory = memory();
        let vmo = vmo(&memory, 8);
        vmo.write(0, &[1; 5 * PAGE as usize]).unwrap();
        let all: Vec<Arc<Vmo>> = (0..3)
            .map(|i| {
                let copy = vmo.create_child(ChildOptions::SNAPSHOT, 0, 8 * PAGE).unwrap();
                copy.write(i * PAGE, b"own").unwrap();
                copy
            })
            .chain([vmo.clone()])
            .collect();
        let slice = vmo.create_child(ChildOptions::SLICE, 0, 8 * PAGE).unwrap();
        assert_eq!((slice.info().committed_bytes, slice.info().committed_scaled_bytes), (0, 0));
        let copy = all[0].info();
        assert_eq!((copy.committed_bytes, copy.committed_private_bytes), (5 * PAGE, PAGE));
        // Pages 1 and 2 are in three VMOs, 3 and 4 in four.
        let scaled = (u128::from(PAGE) << 63) / 3 * 2
            + (u128::from(PAGE) << 63) / 2
            + (u128::from(PAGE) << 63);
        assert_eq!(u128::from(copy.committed_scaled_bytes), scaled >> 63);
        let sum: u128 = all
            .iter()
            .map(|vmo| {
                let info = vmo.info();
                (u128::from(info.committed_scaled_bytes) << 63)
                    + u128::from(info.committed_fractional_scaled_bytes)
            })
            .sum();
        let used = u128::from(memory.committed()) << 63;
        assert!(used - sum < 1 << 20, "but for rounding: {used} {sum}");
        drop((all, slice));
        let last = vmo.info();
        assert_eq!((last.committed_bytes, last.committed_private_bytes), (5 * PAGE, 5 * PAGE));
        assert_eq!(last.committed_scaled_bytes, 5 * PAGE);
    }

    #[test]
    fn of_a_part_those_count_who_have_that_part() {
        let vmo = vmo(&memory(), 4);
        vmo.write(0, &[1; 4 * PAGE as usize]).unwrap();
        let _copy = vmo.create_child(ChildOptions::SNAPSHOT, 2 * PAGE, 2 * PAGE).unwrap();
        let used = |from: u64, to: u64| {
            let used = vmo.memory_in(from * PAGE..to * PAGE);
            (used.committed, used.private, used.scaled_bytes())
        };
        assert_eq!(used(0, 2), (2 * PAGE, 2 * PAGE, 2 * PAGE));
        assert_eq!(used(2, 4), (2 * PAGE, 0, PAGE));
        assert_eq!(used(3, 4), (PAGE, 0, PAGE / 2));
        assert_eq!(used(1, 3), (2 * PAGE, PAGE, PAGE + PAGE / 2));
    }

    #[test]
    fn a_clone_of_a_page_cache_counts_what_it_copied() {
        let memory = memory();
        let file = Vmo::create_with_source(&memory, 4 * PAGE, Arc::new(Zeroes)).unwrap();
        let clone = file.create_child(ChildOptions::SNAPSHOT_MODIFIED, 0, 4 * PAGE).unwrap();
        clone.write(PAGE, b"own").unwrap();
        assert_eq!(file.info().committed_bytes, 4 * PAGE);
        assert_eq!(
            (clone.info().committed_bytes, clone.info().committed_private_bytes),
            (PAGE, PAGE)
        );
    }
}
