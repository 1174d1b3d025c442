//! Tests of regions: placement, files, limits, truncation, children.

mod refusals;

use std::sync::atomic::{AtomicBool, Ordering};

use hal::{
    aspace::Access,
    pmem::{GUEST_BOUNDARY, PhysicalMemory},
};

use super::*;
use crate::vmo::{PageSink, PageSource, RangeOp, VmoOptions};

const RW: Prot = Prot::READ.union(Prot::WRITE);

fn root() -> (Arc<PhysicalMemory>, Arc<Vmar>) {
    limited(None)
}

fn limited(limit: Option<u64>) -> (Arc<PhysicalMemory>, Arc<Vmar>) {
    let memory = PhysicalMemory::new(limit).unwrap();
    let space = AddressSpace::new(&memory).unwrap();
    (memory, Vmar::create_root(&space).unwrap())
}

fn anonymous(vmar: &Vmar, len: u64) -> Arc<Vmo> {
    Vmo::create(vmar.aspace().memory(), len, VmoOptions::default()).unwrap()
}

fn map(vmar: &Vmar, placement: Placement, len: u64) -> Result<u64> {
    vmar.map(MapArgs { placement, ..MapArgs::new(anonymous(vmar, len), len) })
}

fn byte(vmar: &Vmar, addr: u64) -> u8 {
    let mut buf = [0xee];
    vmar.read(addr, &mut buf).unwrap();
    buf[0]
}

/// Every byte of page `n` is `n + 1`, modulo 256.
struct File;

impl PageSource for File {
    fn fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> Result<()> {
        for at in (offset..offset + len).step_by(PAGE_SIZE) {
            sink.write(at, &[((at / PAGE) as u8).wrapping_add(1); PAGE_SIZE]);
        }
        Ok(())
    }

    fn try_fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> Result<()> {
        self.fill(offset, len, sink)
    }
}

fn file(vmar: &Vmar, len: u64) -> Arc<Vmo> {
    Vmo::create_with_source(vmar.aspace().memory(), len, Arc::new(File)).unwrap()
}

#[test]
fn a_hole_that_was_passed_more_than_once_is_still_found() {
    let (_memory, vmar) = root();
    let hole = map(&vmar, Placement::TopDown, 2 * PAGE).unwrap();
    let below = map(&vmar, Placement::TopDown, 4 * PAGE).unwrap();
    vmar.unmap(hole, 2 * PAGE).unwrap();
    for n in 1..=3 {
        assert_eq!(map(&vmar, Placement::TopDown, 4 * PAGE), Ok(below - n * 4 * PAGE));
    }
    assert_eq!(map(&vmar, Placement::TopDown, 2 * PAGE), Ok(hole));
}

#[test]
fn free_choice_goes_from_the_top_down_and_fills_holes() {
    let (_memory, vmar) = root();
    let top = vmar.aspace().window().end;
    let a = map(&vmar, Placement::TopDown, 4 * PAGE).unwrap();
    let b = map(&vmar, Placement::TopDown, 4 * PAGE).unwrap();
    let c = map(&vmar, Placement::TopDown, 4 * PAGE).unwrap();
    assert_eq!((a, b, c), (top - 4 * PAGE, top - 8 * PAGE, top - 12 * PAGE));
    vmar.unmap(b, 4 * PAGE).unwrap();
    assert_eq!(map(&vmar, Placement::TopDown, 5 * PAGE), Ok(c - 5 * PAGE));
    assert_eq!(map(&vmar, Placement::TopDown, 3 * PAGE), Ok(b + PAGE));
    assert_eq!(map(&vmar, Placement::TopDown, PAGE), Ok(b));
    assert_eq!(map(&vmar, Placement::TopDown, PAGE), Ok(c - 6 * PAGE));
    vmar.unmap(a, 4 * PAGE).unwrap();
    assert_eq!(map(&vmar, Placement::TopDown, 4 * PAGE), Ok(a));
    assert_eq!(map(&vmar, Placement::BottomUp, PAGE), Ok(vmar.aspace().window().start));
    let args = MapArgs { align: 2 << 20, ..MapArgs::new(anonymous(&vmar, PAGE), PAGE) };
    assert!(vmar.map(args).unwrap().is_multiple_of(2 << 20));
    assert_eq!(map(&vmar, Placement::TopDown, 1 << 46), Err(Error::NoResources));
}

#[test]
fn what_is_larger_than_the_window_goes_elsewhere_and_its_place_is_used_again() {
    const TIB: u64 = 1 << 40;
    let (_memory, vmar) = root();
    let window = vmar.aspace().window();
    let first = map(&vmar, Placement::TopDown, TIB).unwrap();
    assert!(first + TIB <= window.start || first >= window.end);
    let second = map(&vmar, Placement::TopDown, TIB).unwrap();
    assert!(second + TIB <= first || second >= first + TIB);
    vmar.unmap(first, TIB).unwrap();
    for _ in 0..200 {
        assert_eq!(map(&vmar, Placement::TopDown, TIB), Ok(first));
        vmar.unmap(first, TIB).unwrap();
    }
    // The window is where the next small one goes.
    assert!(window.contains(&map(&vmar, Placement::TopDown, PAGE).unwrap()));
    let vmo = anonymous(&vmar, PAGE);
    let args = MapArgs { align: 4 * TIB, ..MapArgs::new(vmo, TIB) };
    assert!(vmar.map(args).unwrap().is_multiple_of(4 * TIB));
}

#[test]
fn a_space_that_is_isolated_has_all_addresses_and_what_it_had() {
    let (_memory, vmar) = root();
    let high = Placement::Replace(GUEST_BOUNDARY);
    assert_eq!(map(&vmar, high, PAGE), Err(Error::OutOfRange));
    let before = map(&vmar, Placement::TopDown, PAGE).unwrap();
    vmar.fault(before, Access::Write).unwrap();
    vmar.aspace().write(before, b"kept").unwrap();
    vmar.aspace().isolate().unwrap();
    let mut bytes = [0; 4];
    vmar.aspace().read(before, &mut bytes).unwrap();
    assert_eq!(&bytes, b"kept");
    assert_eq!(map(&vmar, high, PAGE), Ok(GUEST_BOUNDARY));
    assert_eq!(map(&vmar, Placement::Exact(GUEST_END - PAGE), PAGE), Ok(GUEST_END - PAGE));
    assert_eq!(map(&vmar, Placement::Exact(GUEST_END), PAGE), Err(Error::OutOfRange));
    let large = map(&vmar, Placement::TopDown, 1 << 45).unwrap();
    assert!(large + (1 << 45) <= GUEST_END);
    // Everywhere but where its host process has something itself.
    let own = vmar.aspace().own();
    let stubs = own[1].end..own[0].start;
    for at in [stubs.start, stubs.end - PAGE] {
        assert_eq!(map(&vmar, Placement::Replace(at), PAGE), Err(Error::OutOfRange));
    }
    vmar.unmap(GUEST_FLOOR, GUEST_END - GUEST_FLOOR).unwrap();
    assert!(vmar.mappings().is_empty());
}

#[test]
fn an_aligned_choice_is_aligned_behind_what_is_in_its_way() {
    const ALIGN: u64 = 16 * PAGE;
    let (_memory, vmar) = root();
    let aligned = |placement| {
        let vmo = anonymous(&vmar, PAGE);
        vmar.map(MapArgs { placement, align: ALIGN, ..MapArgs::new(vmo, PAGE) }).unwrap()
    };
    let low = aligned(Placement::BottomUp);
    assert_eq!(low, vmar.aspace().window().start.next_multiple_of(ALIGN));
    assert_eq!(aligned(Placement::BottomUp), low + ALIGN);
    let high = aligned(Placement::TopDown);
    assert!(high.is_multiple_of(ALIGN));
    assert_eq!(aligned(Placement::TopDown), high - ALIGN);
}

#[test]
fn a_mapping_that_memory_does_not_suffice_for_is_refused() {
    let (memory, vmar) = root();
    let small = anonymous(&vmar, PAGE);
    let mut taken = Vec::new();
    let mut len = 1usize << 43;
    while len >= PAGE_SIZE {
        match memory.allocate(len) {
            Ok(extent) => taken.push(extent),
            Err(_) => len /= 2,
        }
    }
    assert_eq!(vmar.map(MapArgs::new(small.clone(), PAGE)), Err(Error::NoMemory));
    taken.clear();
    vmar.map(MapArgs::new(small, PAGE)).unwrap();
}

#[test]
fn fixed_places_are_exact() {
    let (_memory, vmar) = root();
    let at = 0x8_5000_0000;
    assert_eq!(map(&vmar, Placement::Exact(at), 2 * PAGE), Ok(at));
    assert_eq!(map(&vmar, Placement::Exact(at + PAGE), PAGE), Err(Error::AlreadyExists));
    let hinted = map(&vmar, Placement::Hint(at + PAGE), PAGE).unwrap();
    assert!(vmar.aspace().window().contains(&hinted));
    assert_eq!(map(&vmar, Placement::Hint(at + 2 * PAGE), PAGE), Ok(at + 2 * PAGE));
    assert_eq!(map(&vmar, Placement::Replace(at + PAGE), PAGE), Ok(at + PAGE));
    assert_eq!(map(&vmar, Placement::Exact(0), PAGE), Err(Error::OutOfRange));
    assert_eq!(map(&vmar, Placement::Exact(at + 1), PAGE), Err(Error::InvalidArgs));
    assert_eq!(map(&vmar, Placement::Replace(GUEST_BOUNDARY), PAGE), Err(Error::OutOfRange));
    assert_eq!(map(&vmar, Placement::Exact(u64::MAX - 4095), PAGE), Err(Error::InvalidArgs));
    let (_other_memory, other) = root();
    assert_eq!(map(&other, Placement::Replace(at), PAGE), Err(Error::Unavailable));
}

#[test]
fn a_choice_may_be_limited_to_low_addresses() {
    let (_memory, vmar) = root();
    let low = Placement::Between(0x6000_0000, 0x6001_0000);
    assert_eq!(map(&vmar, low, 8 * PAGE), Ok(0x6000_8000));
    assert_eq!(map(&vmar, low, 8 * PAGE), Ok(0x6000_0000));
    assert_eq!(map(&vmar, low, PAGE), Err(Error::NoResources));
    let (_other_memory, other) = root();
    assert_eq!(map(&other, low, PAGE), Err(Error::NoResources));
}

#[test]
fn free_choice_avoids_trampolines() {
    let (_memory, vmar) = root();
    let a = map(&vmar, Placement::TopDown, PAGE).unwrap();
    let trampoline = vmar.aspace().map_trampoline(a, PAGE).unwrap();
    let mut low = a;
    while low > trampoline - (64 << 20) {
        low = map(&vmar, Placement::TopDown, 48 << 20).unwrap();
        assert!(low > trampoline || low + (48 << 20) <= trampoline);
    }
    assert_eq!(map(&vmar, Placement::Exact(trampoline), PAGE), Err(Error::Unavailable));
    assert_eq!(map(&vmar, Placement::Replace(trampoline), PAGE), Err(Error::Unavailable));
    let space = vmar.aspace();
    assert_eq!(
        space.trampoline_in(trampoline..trampoline + PAGE),
        Some(trampoline..trampoline + PAGE)
    );
}

#[test]
fn a_guard_is_cut_out_of_anonymous_memory() {
    let (memory, vmar) = root();
    let args =
        MapArgs { perms: Prot::empty(), ..MapArgs::new(anonymous(&vmar, 64 << 20), 64 << 20) };
    let heap = vmar.map(args).unwrap();
    assert_eq!(memory.allocated(), 0);
    assert!(vmar.read(heap, &mut [0]).is_err());
    vmar.protect(heap, 8 * PAGE, RW).unwrap();
    vmar.write(heap + 7 * PAGE, &[1]).unwrap();
    assert!(vmar.write(heap + 8 * PAGE, &[1]).is_err());
    vmar.protect(heap + 8 * PAGE, 8 * PAGE, RW).unwrap();
    vmar.write(heap + 8 * PAGE, &[2]).unwrap();
    vmar.protect(heap, PAGE, Prot::empty()).unwrap();
    assert!(vmar.read(heap, &mut [0]).is_err());
    assert_eq!(byte(&vmar, heap + 7 * PAGE), 1);
    assert_eq!(vmar.mappings().len(), 3);
    assert_eq!(vmar.protect(heap - PAGE, 2 * PAGE, RW), Err(Error::NotFound));
    assert_eq!(memory.committed(), 2 * PAGE);
}

#[test]
fn huge_reservations_cost_nothing_until_they_are_touched() {
    let (memory, vmar) = root();
    let len = 200 << 30;
    let at = map(&vmar, Placement::TopDown, len).unwrap();
    for place in [0, len / 2, len - 1] {
        vmar.write(at + place, &[7]).unwrap();
        assert_eq!(byte(&vmar, at + place), 7);
    }
    assert_eq!(memory.committed(), 3 * PAGE);
}

#[test]
fn a_file_is_mapped_as_it_is_read() {
    let (_memory, vmar) = root();
    let file = file(&vmar, 1 << 20);
    let args = MapArgs { perms: Prot::READ, ..MapArgs::new(file.clone(), 2 << 20) };
    let at = vmar.map(args.clone()).unwrap();
    assert_eq!(byte(&vmar, at + 5 * PAGE), 6);
    // Present pages were mapped along.
    assert!(vmar.aspace().read(at + 31 * PAGE, &mut [0]).is_ok());
    assert!(vmar.aspace().read(at + 32 * PAGE, &mut [0]).is_err());
    assert_eq!(vmar.fault(at, Access::Write), Err(Error::AccessDenied));
    assert_eq!(vmar.fault(at + (1 << 20), Access::Read), Err(Error::OutOfRange));
    assert_eq!(vmar.fault(at - PAGE, Access::Read), Err(Error::NotFound));
    // A second mapping has them at once.
    let again = vmar.map(args).unwrap();
    assert!(vmar.aspace().read(again + 31 * PAGE, &mut [0]).is_ok());
    assert_eq!(vmar.major_faults(), 1);
    let all = MapArgs { populate: true, ..MapArgs::new(file, 1 << 20) };
    let all = vmar.map(all).unwrap();
    assert!(vmar.aspace().read(all + (1 << 20) - 1, &mut [0]).is_ok());
}

/// A file on a disk that is read when the test says so.
struct Slow {
    ready: AtomicBool,
}

impl PageSource for Slow {
    fn fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> Result<()> {
        self.ready.store(true, Ordering::Relaxed);
        self.try_fill(offset, len, sink)
    }

    fn try_fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> Result<()> {
        if !self.ready.load(Ordering::Relaxed) {
            return Err(Error::ShouldWait);
        }
        sink.write(offset, &vec![7; len as usize]);
        Ok(())
    }
}

#[test]
fn a_fault_that_would_block_says_so_until_the_page_is_there() {
    let (memory, vmar) = root();
    for private in [false, true] {
        let source = Arc::new(Slow { ready: AtomicBool::new(false) });
        let file = Vmo::create_with_source(&memory, 1 << 20, source).unwrap();
        let vmo = match private {
            true => file.create_private(0, 1 << 20, false).unwrap(),
            false => file.clone(),
        };
        let at = vmar.map(MapArgs::new(vmo, 1 << 20)).unwrap();
        assert_eq!(vmar.try_fault(at, Access::Write), Err(Error::ShouldWait));
        assert_eq!(file.try_prepare_range(0..PAGE), Ok(0));
        assert_eq!(vmar.fault(at, Access::Write), Ok(()));
        assert_eq!(file.try_prepare_range(0..PAGE), Ok(PAGE));
        assert_eq!(vmar.try_fault(at + PAGE, Access::Write), Ok(()));
        assert_eq!(byte(&vmar, at + PAGE), 7);
    }
}

#[test]
fn writing_a_large_private_file_mapping_copies_a_few_pages() {
    let (memory, vmar) = root();
    let file = file(&vmar, 4 << 20);
    let copy = file.create_private(0, 4 << 20, false).unwrap();
    let at = vmar.map(MapArgs::new(copy, 4 << 20)).unwrap();
    assert_eq!(byte(&vmar, at + 100 * PAGE), 101);
    let before = memory.committed();
    vmar.write(at + 100 * PAGE, b"mine").unwrap();
    assert!(memory.committed() <= before + (32 << 10));
    assert_eq!(byte(&vmar, at + 100 * PAGE), b'm');
    assert_eq!(byte(&vmar, at + 101 * PAGE), 102);
    let mut original = [0];
    file.read(100 * PAGE, &mut original).unwrap();
    assert_eq!(original, [101]);
    vmar.discard(at + 100 * PAGE, PAGE).unwrap();
    assert_eq!(byte(&vmar, at + 100 * PAGE), 101);
}

/// A [`File`] that nobody writes to.
struct Fixed;

impl PageSource for Fixed {
    fn fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> Result<()> {
        File.fill(offset, len, sink)
    }

    fn try_fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> Result<()> {
        self.fill(offset, len, sink)
    }

    fn may_change(&self) -> bool {
        false
    }
}

#[test]
fn a_private_mapping_is_copied_at_once_if_it_is_writable_and_its_file_does_not_change() {
    let (memory, vmar) = root();
    let len = 8 * PAGE;
    let fixed = Vmo::create_with_source(&memory, len, Arc::new(Fixed)).unwrap();
    for (file, perms, copied) in
        [(file(&vmar, len), RW, 0), (fixed.clone(), Prot::READ, 0), (fixed, RW, len)]
    {
        file.read(0, &mut vec![0; len as usize]).unwrap();
        let copy = file.create_private(0, len, false).unwrap();
        let before = memory.committed();
        let at = vmar.map(MapArgs { perms, ..MapArgs::new(copy, len) }).unwrap();
        assert_eq!(memory.committed() - before, copied, "{perms:?}");
        assert_eq!(byte(&vmar, at + 5 * PAGE), 6);
    }
}

#[test]
fn truncating_a_file_cuts_its_mappings() {
    let (_memory, vmar) = root();
    let file = file(&vmar, 64 * PAGE);
    let shared = vmar.map(MapArgs::new(file.clone(), 64 * PAGE)).unwrap();
    let private = file.create_private(0, 64 * PAGE, false).unwrap();
    let private = vmar.map(MapArgs::new(private, 64 * PAGE)).unwrap();
    for at in [shared, private] {
        vmar.write(at + 40 * PAGE, &[9]).unwrap();
        assert_eq!(byte(&vmar, at + 3 * PAGE), 4);
    }
    file.set_size(20 * PAGE).unwrap();
    for at in [shared, private] {
        assert_eq!(byte(&vmar, at + 3 * PAGE), 4);
        assert!(vmar.read(at + 40 * PAGE, &mut [0]).is_err());
        assert_eq!(vmar.fault(at + 20 * PAGE, Access::Read), Err(Error::OutOfRange));
        // The host mapping has gone too.
        assert!(vmar.aspace().read(at + 20 * PAGE, &mut [0]).is_err());
    }
    file.set_size(64 * PAGE).unwrap();
    assert_eq!(byte(&vmar, shared + 40 * PAGE), 41);
}

#[test]
fn the_limit_counts_what_can_be_written() {
    let (memory, vmar) = limited(Some(16 * PAGE));
    let args = |pages: u64, perms| MapArgs {
        perms,
        flags: MappingFlags::ACCOUNT | MappingFlags::DISCARD,
        ..MapArgs::new(anonymous(&vmar, pages * PAGE), pages * PAGE)
    };
    let none = vmar.map(args(1000, Prot::empty())).unwrap();
    assert_eq!(memory.charged(), 0);
    vmar.protect(none, 10 * PAGE, RW).unwrap();
    assert_eq!(memory.charged(), 10 * PAGE);
    assert_eq!(vmar.map(args(7, RW)).unwrap_err(), Error::NoMemory);
    let six = vmar.map(args(6, RW)).unwrap();
    assert_eq!(vmar.protect(none, 11 * PAGE, RW), Err(Error::NoMemory));
    assert_eq!(vmar.remap(six, 6 * PAGE, 7 * PAGE, Remap::MayMove), Err(Error::NoMemory));
    // What was charged stays so when it becomes read-only, and goes with the mapping.
    vmar.protect(none, 10 * PAGE, Prot::READ).unwrap();
    assert_eq!(memory.charged(), 16 * PAGE);
    vmar.unmap(none + 5 * PAGE, 995 * PAGE).unwrap();
    assert_eq!(memory.charged(), 11 * PAGE);
    drop(vmar);
    assert_eq!(memory.charged(), 0);
}

#[test]
fn unmapped_parts_of_anonymous_memory_are_given_back() {
    let (memory, vmar) = root();
    let len = 64 * PAGE;
    let flags = MappingFlags::DISCARD;
    let at = vmar.map(MapArgs { flags, ..MapArgs::new(anonymous(&vmar, len), len) }).unwrap();
    vmar.write(at, &vec![1; len as usize]).unwrap();
    assert_eq!(memory.committed(), len);
    vmar.unmap(at + PAGE, len - 2 * PAGE).unwrap();
    assert_eq!(memory.committed(), 2 * PAGE);
    assert_eq!((byte(&vmar, at), byte(&vmar, at + len - 1)), (1, 1));
    vmar.discard(at, PAGE).unwrap();
    assert_eq!(byte(&vmar, at), 0);
    assert_eq!(vmar.discard(at, len), Err(Error::NotFound));
}

#[test]
fn neighbours_of_one_object_are_one_mapping() {
    let (_memory, vmar) = root();
    let heap =
        Vmo::create(vmar.aspace().memory(), 0, VmoOptions { resizable: true, charged: false })
            .unwrap();
    let at = vmar.aspace().window().start;
    for page in 0..10 {
        heap.set_size((page + 1) * PAGE).unwrap();
        let args = MapArgs {
            placement: Placement::Exact(at + page * PAGE),
            vmo_offset: page * PAGE,
            ..MapArgs::new(heap.clone(), PAGE)
        };
        vmar.map(args).unwrap();
        vmar.write(at + page * PAGE, &[page as u8]).unwrap();
    }
    assert_eq!(vmar.mappings().len(), 1);
    assert_eq!(vmar.aspace().runs().len(), 1);
    vmar.unmap(at + 2 * PAGE, PAGE).unwrap();
    assert_eq!(vmar.mappings().len(), 2);
    let placement = Placement::Exact(at + 2 * PAGE);
    let args = MapArgs { placement, vmo_offset: 2 * PAGE, ..MapArgs::new(heap.clone(), PAGE) };
    vmar.map(args).unwrap();
    assert_eq!(vmar.mappings().len(), 1, "on both sides");
    vmar.unmap(at + 5 * PAGE, 5 * PAGE).unwrap();
    heap.set_size(5 * PAGE).unwrap();
    assert_eq!(byte(&vmar, at + 4 * PAGE), 4);
}

#[test]
fn a_heap_stays_one_mapping() {
    let (memory, vmar) = root();
    let start = vmar.aspace().window().start;
    let flags = MappingFlags::DISCARD | MappingFlags::ACCOUNT;
    for i in 0..100 {
        let placement = Placement::Exact(start + i * 33 * PAGE);
        let vmo = anonymous(&vmar, 33 * PAGE);
        vmar.map(MapArgs { placement, flags, ..MapArgs::new(vmo, 33 * PAGE) }).unwrap();
        vmar.write(start + i * 33 * PAGE, &[i as u8 + 1]).unwrap();
    }
    assert_eq!(vmar.mappings().len(), 1);
    assert!(vmar.aspace().runs().len() < 10);
    assert_eq!(memory.charged(), 3300 * PAGE);
    assert_eq!((byte(&vmar, start + 33 * 50 * PAGE), byte(&vmar, start + PAGE)), (51, 0));
    vmar.unmap(start + 1000 * PAGE, 2300 * PAGE).unwrap();
    // The pages behind are gone; what comes there again is fresh.
    let placement = Placement::Exact(start + 1000 * PAGE);
    let vmo = anonymous(&vmar, 2300 * PAGE);
    vmar.map(MapArgs { placement, flags, ..MapArgs::new(vmo, 2300 * PAGE) }).unwrap();
    assert_eq!(byte(&vmar, start + 33 * 50 * PAGE), 0);
    drop(vmar);
    assert_eq!((memory.allocated(), memory.charged()), (0, 0));
}

#[test]
fn an_alignment_is_a_power_of_two_and_a_tag_can_be_replaced() {
    let (_memory, vmar) = root();
    let args = |align| MapArgs { align, tag: 1, ..MapArgs::new(anonymous(&vmar, PAGE), PAGE) };
    assert_eq!(vmar.map(args(3 * PAGE)), Err(Error::InvalidArgs));
    let addr = vmar.map(args(1 << 20)).unwrap();
    assert!(addr.is_multiple_of(1 << 20));
    assert_eq!(vmar.find(addr).map(|mapping| mapping.tag), Some(1));
    vmar.set_tag(addr, PAGE, 2).unwrap();
    assert_eq!(vmar.find(addr).map(|mapping| mapping.tag), Some(2));
}

#[test]
fn with_a_region_all_regions_in_it_are_destroyed_and_the_root_never_is() {
    let (_memory, vmar) = root();
    let child = vmar.allocate(Placement::TopDown, 16 * PAGE).unwrap();
    let grandchild = child.allocate(Placement::TopDown, 4 * PAGE).unwrap();
    let last = grandchild.allocate(Placement::TopDown, 2 * PAGE).unwrap();
    map(&last, Placement::TopDown, PAGE).unwrap();
    assert_eq!(vmar.destroy(), Err(Error::NotSupported));
    assert_eq!(vmar.mappings().len(), 1);
    child.destroy().unwrap();
    assert!(vmar.mappings().is_empty());
    for region in [&child, &grandchild, &last] {
        assert_eq!(map(region, Placement::TopDown, PAGE), Err(Error::BadState));
        assert_eq!(region.destroy(), Err(Error::BadState));
        let at = region.range().start;
        assert_eq!(region.discard(at, PAGE), Err(Error::BadState));
        assert_eq!(region.set_locked(at, PAGE, true), Err(Error::BadState));
        assert_eq!(region.set_tag(at, PAGE, 1), Err(Error::BadState));
    }
}

#[test]
fn child_regions_own_their_addresses() {
    let (memory, vmar) = root();
    let child = vmar.allocate(Placement::TopDown, 16 * PAGE).unwrap();
    let range = child.range();
    assert_eq!(map(&vmar, Placement::Exact(range.start), PAGE), Err(Error::AlreadyExists));
    assert_eq!(map(&vmar, Placement::Replace(range.start), PAGE), Err(Error::InvalidArgs));
    assert_eq!(map(&vmar, Placement::TopDown, PAGE), Ok(range.start - PAGE));
    assert_eq!(map(&child, Placement::TopDown, PAGE), Ok(range.end - PAGE));
    assert_eq!(map(&child, Placement::BottomUp, PAGE), Ok(range.start));
    assert_eq!(map(&child, Placement::TopDown, 15 * PAGE), Err(Error::NoResources));
    assert_eq!(map(&child, Placement::Exact(range.end), PAGE), Err(Error::OutOfRange));
    let grandchild = child.allocate(Placement::Exact(range.start + PAGE), 2 * PAGE).unwrap();
    assert!(child.allocate(Placement::Exact(range.start), 2 * PAGE).is_err());
    assert_eq!(vmar.unmap(range.start, PAGE), Err(Error::InvalidArgs));
    assert_eq!(child.mappings().len(), 2);
    child.unmap(range.end - PAGE, PAGE).unwrap();
    assert_eq!(map(&child, Placement::Exact(range.end - PAGE), PAGE), Ok(range.end - PAGE));
    child.destroy().unwrap();
    assert_eq!(child.destroy(), Err(Error::BadState));
    assert_eq!(map(&grandchild, Placement::TopDown, PAGE), Err(Error::BadState));
    assert_eq!(vmar.mappings().len(), 1);
    assert_eq!(map(&vmar, Placement::Exact(range.start), 16 * PAGE), Ok(range.start));
    vmar.unmap(range.start - PAGE, 17 * PAGE).unwrap();
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn free_choice_keeps_out_of_a_child_region_whatever_is_mapped_there() {
    let (_memory, vmar) = root();
    let window = vmar.aspace().window();
    let high = vmar.allocate(Placement::TopDown, 16 * PAGE).unwrap();
    let low = vmar.allocate(Placement::BottomUp, 16 * PAGE).unwrap();
    for child in [&high, &low] {
        map(child, Placement::Exact(child.range().start + PAGE), PAGE).unwrap();
    }
    let (high, low) = (high.range(), low.range());
    assert_eq!((high.end, low.start), (window.end, window.start));
    assert_eq!(map(&vmar, Placement::TopDown, 4 * PAGE), Ok(high.start - 4 * PAGE));
    assert_eq!(map(&vmar, Placement::BottomUp, 4 * PAGE), Ok(low.end));
    let inside = Placement::Between(high.start, high.end);
    assert_eq!(map(&vmar, inside, 4 * PAGE), Err(Error::NoResources));
}

#[test]
fn a_choice_among_low_addresses_stays_in_the_region() {
    let (_memory, vmar) = root();
    let child = vmar.allocate(Placement::TopDown, 16 * PAGE).unwrap();
    let range = child.range();
    for between in [0..range.start + 2 * PAGE, range.end - 2 * PAGE..u64::MAX] {
        let between = Placement::Between(between.start, between.end);
        let made = child.allocate(between, PAGE).unwrap().range();
        assert!(range.start <= made.start && made.end <= range.end);
        let at = map(&child, between, PAGE).unwrap();
        assert!(range.start <= at && at + PAGE <= range.end);
        assert_eq!(map(&child, between, PAGE), Err(Error::NoResources));
    }
}

#[test]
fn what_is_plain_memory_no_more_is_not_mapped_whole() {
    let (_memory, vmar) = root();
    let at = vmar.map(MapArgs::new(file(&vmar, 2 * PAGE), 2 * PAGE)).unwrap();
    let plain = map(&vmar, Placement::TopDown, PAGE).unwrap();
    let state = vmar.tree.state.lock();
    for (at, whole) in [(at, false), (plain, true)] {
        let (start, entry) = state.find(at).unwrap();
        assert_eq!(vmar.tree.install_whole(entry, start, &(at..at + PAGE), false), Ok(whole));
    }
}

#[test]
fn nothing_overlaps_a_child_region_wherever_it_begins() {
    let (_memory, vmar) = root();
    let start = vmar.range().start + 16 * PAGE;
    let child = vmar.allocate(Placement::Exact(start), 4 * PAGE).unwrap();
    for (first, pages) in [(15, 2), (15, 6), (16, 4), (17, 1), (19, 2)] {
        let (at, len) = (vmar.range().start + first * PAGE, pages * PAGE);
        assert_eq!(map(&vmar, Placement::Exact(at), len), Err(Error::AlreadyExists), "{first}");
        assert_eq!(map(&vmar, Placement::Replace(at), len), Err(Error::InvalidArgs), "{first}");
        let other = vmar.allocate(Placement::Exact(at), len);
        assert_eq!(other.err(), Some(Error::AlreadyExists), "{first}");
        assert!(!vmar.is_free(at..at + len), "{first}");
    }
    assert!(child.mappings().is_empty() && vmar.mappings().is_empty());
    assert_eq!(map(&vmar, Placement::Exact(start - PAGE), PAGE), Ok(start - PAGE));
    assert_eq!(map(&vmar, Placement::Exact(start + 4 * PAGE), PAGE), Ok(start + 4 * PAGE));
}

#[test]
fn file_and_guest_memory_are_copied_directly() {
    let (_memory, vmar) = root();
    let file = file(&vmar, 1 << 20);
    let text = vmar.map(MapArgs::new(file.clone(), 1 << 20)).unwrap();
    let heap = map(&vmar, Placement::TopDown, 1 << 20).unwrap();
    vmar.copy_from_vmo(heap + 100, &file, 300_000, 500_000).unwrap();
    assert_eq!(byte(&vmar, heap + 100), (300_000 / PAGE) as u8 + 1);
    // From a file mapping that is not read yet, through faults.
    let other = self::file(&vmar, 1 << 20);
    let lazy = vmar.map(MapArgs::new(other.clone(), 1 << 20)).unwrap();
    vmar.copy_to_vmo(lazy, &file, 0, 1 << 20).unwrap();
    assert_eq!(byte(&vmar, text + 200 * PAGE), 201);
    assert_eq!(vmar.load_u32(text).unwrap(), 0x0101_0101);
    assert!(vmar.load_u32(text + 1).is_err());
    assert_eq!(vmar.fetch_update_u32(text, |_| 5).unwrap(), 0x0101_0101);
    assert_eq!(vmar.compare_exchange_u32(text, 5, 6).unwrap(), Ok(5));
    let error = vmar.copy_from_vmo(text + (1 << 20) - 5, &other, 0, 10).unwrap_err();
    assert!(matches!(error, crate::vmo::CopyError::Guest(fault) if fault.addr == text + (1 << 20)));
}

#[test]
fn a_copy_goes_on_behind_each_fault_where_it_stopped() {
    let (memory, vmar) = root();
    // More than is copied when it is mapped.
    const LEN: u64 = 2 << 20;
    let bytes: Vec<u8> = (0..LEN).map(|at| (at / PAGE) as u8 ^ at as u8).collect();
    let from = anonymous(&vmar, LEN);
    from.write(0, &bytes).unwrap();
    // Pages become the clone's own a few at a time, so that there are several faults.
    let clone = file(&vmar, LEN)
        .create_child(crate::vmo::ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE, 0, LEN)
        .unwrap();
    let to = vmar.map(MapArgs { perms: RW, ..MapArgs::new(clone.clone(), LEN) }).unwrap();
    vmar.copy_from_vmo(to + 1, &from, 0, LEN - 1).unwrap();
    let mut copied = vec![0; LEN as usize - 1];
    clone.read(1, &mut copied).unwrap();
    assert!(copied == bytes[..LEN as usize - 1]);
    let back = Vmo::create(&memory, LEN, VmoOptions::default()).unwrap();
    vmar.copy_to_vmo(to + 1, &back, 1, LEN - 1).unwrap();
    back.read(1, &mut copied).unwrap();
    assert!(copied == bytes[..LEN as usize - 1]);
}

#[test]
fn faults_of_many_threads_agree() {
    let (_memory, vmar) = root();
    let file = file(&vmar, 8 << 20);
    let copy = file.create_private(0, 8 << 20, false).unwrap();
    let at = vmar.map(MapArgs::new(copy, 8 << 20)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let vmar = &vmar;
            scope.spawn(move || {
                for i in 0..512 {
                    let va = at + i * 4 * PAGE;
                    vmar.write(va + thread, &[thread as u8]).unwrap();
                    assert_eq!(byte(vmar, va + 100), ((i * 4) as u8).wrapping_add(1));
                }
            });
        }
    });
    for i in 0..512 {
        let mut bytes = [0; 5];
        vmar.read(at + i * 4 * PAGE, &mut bytes).unwrap();
        assert_eq!(bytes, [0, 1, 2, 3, ((i * 4) as u8).wrapping_add(1)]);
    }
}

#[test]
fn what_is_made_ready_to_read_is_not_copied() {
    let (_memory, vmar) = root();
    let clone = file(&vmar, 4 * PAGE).create_private(0, 4 * PAGE, false).unwrap();
    assert_eq!(clone.try_prepare_range(0..2 * PAGE), Ok(2 * PAGE));
    assert!(clone.present_run(0, PAGE).is_some_and(|run| !run.writable));
    assert_eq!(clone.info().committed_bytes, 0);
}

#[test]
fn populated_pages_are_resident() {
    let (_memory, vmar) = root();
    let heap = map(&vmar, Placement::TopDown, 64 * PAGE).unwrap();
    let all = heap..heap + 64 * PAGE;
    assert!(vmar.resident(all.clone()).is_empty());
    vmar.write(heap + 9 * PAGE, &[1]).unwrap();
    vmar.populate(heap, 4 * PAGE, Access::Write).unwrap();
    let expected = [heap..heap + 4 * PAGE, heap + 9 * PAGE..heap + 10 * PAGE];
    assert_eq!(vmar.resident(all), expected);
    let full = MapArgs { populate: true, ..MapArgs::new(anonymous(&vmar, 8 * PAGE), 8 * PAGE) };
    let full = vmar.map(full).unwrap();
    assert_eq!(vmar.resident(full..full + 8 * PAGE), vec![full..full + 8 * PAGE]);
    let file = file(&vmar, 64 * PAGE);
    let text = vmar.map(MapArgs { perms: Prot::READ, ..MapArgs::new(file, 80 * PAGE) }).unwrap();
    vmar.populate(text, 64 * PAGE, Access::Read).unwrap();
    assert_eq!(vmar.resident(text..text + 80 * PAGE), vec![text..text + 64 * PAGE]);
    assert_eq!(vmar.populate(text, 80 * PAGE, Access::Read), Err(Error::OutOfRange));
    assert_eq!(vmar.populate(text, PAGE, Access::Write), Err(Error::AccessDenied));
    assert_eq!(vmar.populate(text - PAGE, 2 * PAGE, Access::Read), Err(Error::NotFound));
}

#[test]
fn threads_that_map_truncate_and_access_at_once_neither_hang_nor_see_strange_bytes() {
    let (memory, vmar) = root();
    let file = file(&vmar, 64 * PAGE);
    let at = vmar.aspace().window().start + (1 << 30);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let done = || stop.load(std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..400u64 {
                let (vmo, perms) = match i % 3 {
                    0 => (file.clone(), Prot::READ),
                    1 => (file.create_private(0, 64 * PAGE, false).unwrap(), RW),
                    _ => (file.create_private(0, 600 * PAGE, false).unwrap(), RW),
                };
                let placement = Placement::Replace(at);
                vmar.map(MapArgs { placement, perms, ..MapArgs::new(vmo, 600 * PAGE) }).unwrap();
                vmar.protect(at + 8 * PAGE, 8 * PAGE, Prot::READ).unwrap();
                vmar.unmap(at + 16 * PAGE, 4 * PAGE).unwrap();
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        scope.spawn(|| {
            while !done() {
                file.set_size(12 * PAGE).unwrap();
                file.set_size(64 * PAGE).unwrap();
                let _ = vmar.discard(at, 600 * PAGE);
            }
        });
        scope.spawn(|| {
            let mut i = 0;
            while !done() {
                i = (i + 7) % 64;
                let mut byte = [0];
                // The page's own byte, what is written below, or nothing: never another page's.
                if vmar.read(at + i * PAGE, &mut byte).is_ok() {
                    assert!(byte[0] == i as u8 + 1 || byte[0] == 0xaa, "{i}: {byte:?}");
                }
            }
        });
        scope.spawn(|| {
            let mut i = 0;
            while !done() {
                i = (i + 5) % 64;
                let _ = vmar.write(at + i * PAGE, &[0xaa]);
            }
        });
    });
    drop((vmar, file));
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn ten_thousand_guests_leave_nothing_behind() {
    let memory = PhysicalMemory::new(Some(1 << 30)).unwrap();
    let file = Vmo::create_with_source(&memory, 64 * PAGE, Arc::new(File)).unwrap();
    file.op_range(RangeOp::Commit, 0, 64 * PAGE).unwrap();
    let before = (memory.allocated(), memory.committed());
    for _ in 0..10_000 {
        let space = AddressSpace::new(&memory).unwrap();
        let vmar = Vmar::create_root(&space).unwrap();
        let vmo = Vmo::create(&memory, 16 * PAGE, VmoOptions::default()).unwrap();
        let heap = vmar.map(MapArgs::new(vmo, 16 * PAGE)).unwrap();
        vmar.write(heap, b"guest").unwrap();
        let copy = file.create_private(0, 4 * PAGE, false).unwrap();
        vmar.map(MapArgs::new(copy, 4 * PAGE)).unwrap();
    }
    memory.trim();
    assert_eq!((memory.allocated(), memory.committed()), before);
    assert_eq!((memory.charged(), file.children()), (0, 0));
}

/// A file that is stored when its pages are dropped.
struct Stored(parking_lot::Mutex<Vec<u8>>);

impl PageSource for Stored {
    fn fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> Result<()> {
        sink.write(offset, &self.0.lock()[offset as usize..(offset + len) as usize]);
        Ok(())
    }

    fn write_back(
        &self,
        offset: u64,
        memory: &Arc<PhysicalMemory>,
        pa: hal::pmem::PhysAddr,
        len: u64,
    ) -> Result<()> {
        memory.read(pa, &mut self.0.lock()[offset as usize..(offset + len) as usize]);
        Ok(())
    }
}

#[test]
fn files_larger_than_memory_are_used_a_part_at_a_time_and_keep_what_is_written() {
    const MIB: u64 = 1 << 20;
    let (memory, vmar) = limited(Some(4 * MIB));
    let _promise = memory.charge(2 * MIB).unwrap();
    let stored = Arc::new(Stored(parking_lot::Mutex::new(vec![7; 8 << 20])));
    let written = Vmo::create_with_source(&memory, 8 * MIB, stored.clone()).unwrap();
    let read = file(&vmar, 8 * MIB);
    let flags = MappingFlags::empty();
    let args = MapArgs { flags, ..MapArgs::new(written, 8 * MIB) };
    let to = vmar.map(args).unwrap();
    let args =
        MapArgs { perms: Prot::READ, max_perms: Prot::READ, flags, ..MapArgs::new(read, 8 * MIB) };
    let from = vmar.map(args).unwrap();
    for page in 0..2048 {
        assert_eq!(byte(&vmar, from + page * PAGE), (page as u8).wrapping_add(1));
        vmar.write(to + page * PAGE, &page.to_ne_bytes()).unwrap();
        assert!(memory.cached_content() <= 2 * MIB);
    }
    assert!(memory.committed() <= 3 * MIB, "{}", memory.committed());
    assert_eq!(stored.0.lock()[..9], [0, 0, 0, 0, 0, 0, 0, 0, 7]);
    for page in 0..2048 {
        let mut bytes = [0; 9];
        vmar.read(to + page * PAGE, &mut bytes).unwrap();
        assert_eq!((&bytes[..8], bytes[8]), (&page.to_ne_bytes()[..], 7));
    }
    vmar.unmap(to, 8 * MIB).unwrap();
    vmar.unmap(from, 8 * MIB).unwrap();
    assert_eq!(memory.cached_content(), 0);
}
