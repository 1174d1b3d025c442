//! What regions refuse, and that nothing has changed then; and what they say of themselves.

use hal::aspace::Fault;

use super::*;
use crate::vmo::ChildOptions;

/// A region with two mappings side by side, of two pages each, and two pages free on either side.
fn region() -> (Arc<PhysicalMemory>, Arc<Vmar>, u64) {
    let (memory, vmar) = root();
    let child = vmar.allocate(Placement::TopDown, 8 * PAGE).unwrap();
    let at = child.range().start + 2 * PAGE;
    for (n, tag) in [(0, 1), (1, 2)] {
        let placement = Placement::Exact(at + n * 2 * PAGE);
        let vmo = anonymous(&vmar, 2 * PAGE);
        child.map(MapArgs { placement, tag, ..MapArgs::new(vmo, 2 * PAGE) }).unwrap();
    }
    (memory, child, at)
}

#[test]
fn a_mapping_may_do_no_more_than_its_vmo_and_what_it_may_ever() {
    let (_memory, vmar) = root();
    let vmo = anonymous(&vmar, PAGE);
    let options = ChildOptions::SLICE | ChildOptions::NO_WRITE;
    let fixed = vmo.create_child(options, 0, PAGE).unwrap();
    assert_eq!(vmar.map(MapArgs::new(fixed.clone(), PAGE)), Err(Error::AccessDenied));
    let args = MapArgs { perms: Prot::READ, ..MapArgs::new(fixed, PAGE) };
    let at = vmar.map(args).unwrap();
    assert_eq!(vmar.find(at).map(|m| m.max_perms), Some(Prot::all() - Prot::WRITE));
    assert_eq!(vmar.protect(at, PAGE, RW), Err(Error::AccessDenied));
    let args = MapArgs { max_perms: Prot::READ, ..MapArgs::new(vmo.clone(), PAGE) };
    assert_eq!(vmar.map(args.clone()), Err(Error::InvalidArgs));
    let at = vmar.map(MapArgs { perms: Prot::READ, ..args }).unwrap();
    assert_eq!(vmar.protect(at, PAGE, RW), Err(Error::AccessDenied));
    assert_eq!(vmar.protect(at, PAGE, Prot::READ), Ok(()));
    assert_eq!(vmar.map(MapArgs::new(vmo.clone(), 0)), Err(Error::InvalidArgs));
    let args = MapArgs { vmo_offset: 1, ..MapArgs::new(vmo, PAGE) };
    assert_eq!(vmar.map(args), Err(Error::InvalidArgs));
    assert_eq!(vmar.mappings().len(), 2);
}

#[test]
fn where_one_may_not_say_where_things_go_only_a_free_choice_is_made() {
    const ALIGN: u64 = 4 * PAGE;
    let (_memory, vmar) = root();
    let child = vmar.allocate_with(Placement::TopDown, 16 * PAGE, ALIGN, false).unwrap();
    let range = child.range();
    assert!(range.start.is_multiple_of(ALIGN));
    let places = [
        Placement::Exact(range.start),
        Placement::Replace(range.start),
        Placement::Between(range.start, range.end),
    ];
    for placement in places {
        assert_eq!(map(&child, placement, PAGE), Err(Error::AccessDenied));
        assert_eq!(child.allocate(placement, PAGE).err(), Some(Error::AccessDenied));
    }
    assert_eq!(map(&child, Placement::Hint(range.start), PAGE), Ok(range.start));
    assert!(child.allocate(Placement::BottomUp, PAGE).is_ok());
    // Elsewhere one may, but not beside what is aligned.
    let args = |placement| MapArgs {
        placement,
        align: ALIGN,
        ..MapArgs::new(anonymous(&vmar, PAGE), PAGE)
    };
    let low = vmar.aspace().window().start.next_multiple_of(ALIGN);
    for placement in [Placement::Exact(low + PAGE), Placement::Replace(low + PAGE)] {
        assert_eq!(vmar.map(args(placement)), Err(Error::InvalidArgs));
        let made = vmar.allocate_with(placement, PAGE, ALIGN, true);
        assert_eq!(made.err(), Some(Error::InvalidArgs));
    }
    assert_eq!(vmar.map(args(Placement::Exact(low))), Ok(low));
}

#[test]
fn a_region_is_made_where_there_is_room_for_it() {
    let (_memory, child, at) = region();
    let range = child.range();
    let made = |placement, len| child.allocate(placement, len).map(|made| made.range());
    assert_eq!(made(Placement::TopDown, 0), Err(Error::InvalidArgs));
    assert_eq!(made(Placement::Exact(range.start + 1), PAGE), Err(Error::InvalidArgs));
    let unaligned = child.allocate_with(Placement::TopDown, PAGE, 3 * PAGE, true);
    assert_eq!(unaligned.err(), Some(Error::InvalidArgs));
    assert_eq!(made(Placement::Exact(at + PAGE), PAGE), Err(Error::AlreadyExists));
    assert_eq!(made(Placement::Replace(at), PAGE), Err(Error::AlreadyExists));
    assert_eq!(made(Placement::TopDown, 3 * PAGE), Err(Error::NoResources));
    assert_eq!(made(Placement::BottomUp, 3 * PAGE), Err(Error::NoResources));
    for outside in [range.start - PAGE, range.end - PAGE] {
        assert_eq!(made(Placement::Exact(outside), 2 * PAGE), Err(Error::OutOfRange));
    }
    let top = range.end - PAGE..range.end;
    assert_eq!(made(Placement::Hint(at), 1), Ok(top), "as there it is not free");
    let top = range.end - 2 * PAGE..range.end - PAGE;
    assert_eq!(made(Placement::Exact(top.start), 1), Ok(top));
    child.destroy().unwrap();
    assert_eq!(made(Placement::TopDown, PAGE), Err(Error::BadState));
    assert_eq!(made(Placement::Exact(range.start), PAGE), Err(Error::BadState));
}

#[test]
fn ranges_to_change_are_of_whole_pages_and_in_a_region_that_lives() {
    let (_memory, child, at) = region();
    let range = child.range();
    let all = |addr, len| {
        [
            child.unmap(addr, len),
            child.protect(addr, len, Prot::READ),
            child.discard(addr, len),
            child.set_locked(addr, len, true),
            child.set_tag(addr, len, 9),
        ]
    };
    for (addr, len) in [(at + 1, PAGE), (at, 0), (u64::MAX - PAGE + 1, PAGE)] {
        assert_eq!(all(addr, len), [Err(Error::InvalidArgs); 5]);
    }
    for addr in [range.start - PAGE, range.end - PAGE] {
        assert_eq!(all(addr, 2 * PAGE), [Err(Error::OutOfRange); 5]);
    }
    for mapping in child.mappings() {
        assert_eq!((mapping.perms, mapping.flags), (RW, MappingFlags::empty()));
        assert_ne!(mapping.tag, 9);
    }
    child.destroy().unwrap();
    assert_eq!(child.unmap(at, PAGE), Err(Error::BadState));
    assert_eq!(child.protect(at, PAGE, Prot::READ), Err(Error::BadState));
    assert_eq!(child.remap(at, PAGE, PAGE, Remap::MayMove), Err(Error::BadState));
    assert_eq!(child.remap_keeping(at, PAGE, None), Err(Error::BadState));
    assert_eq!(child.find_free(PAGE, PAGE), Err(Error::BadState));
    assert_eq!(child.own_nodes().err(), Some(Error::BadState));
}

#[test]
fn a_protection_is_changed_everywhere_or_nowhere() {
    let (_memory, child, at) = region();
    let perms = || child.mappings().iter().map(|mapping| mapping.perms).collect::<Vec<_>>();
    assert_eq!(child.protect(at - PAGE, 2 * PAGE, Prot::READ), Err(Error::NotFound));
    assert_eq!(child.protect(at + 3 * PAGE, 2 * PAGE, Prot::READ), Err(Error::NotFound));
    let placement = Placement::Exact(at + 4 * PAGE);
    let args = MapArgs { placement, ..MapArgs::new(anonymous(&child, PAGE), PAGE) };
    child.map(MapArgs { perms: Prot::READ, max_perms: Prot::READ, ..args }).unwrap();
    assert_eq!(child.protect(at, 5 * PAGE, Prot::all()), Err(Error::AccessDenied));
    assert_eq!(perms(), [RW, RW, Prot::READ]);
    assert_eq!(child.protect(at + PAGE, 2 * PAGE, Prot::READ), Ok(()));
    assert_eq!(perms(), [RW, Prot::READ, Prot::READ, RW, Prot::READ]);
    assert_eq!(child.write(at + PAGE, &[1]).map_err(|fault| fault.addr), Err(at + PAGE));
    assert_eq!(child.write(at + 3 * PAGE, &[1]), Ok(()));
    assert_eq!(child.protect(at, 4 * PAGE, RW), Ok(()));
    assert_eq!(perms(), [RW, RW, Prot::READ], "what continues each other is one again");
    assert_eq!(child.write(at + PAGE, &[1]), Ok(()));
}

#[test]
fn pages_are_locked_up_to_the_first_that_is_not_mapped() {
    let (_memory, child, at) = region();
    let range = child.range();
    let locked = || child.locked_bytes(&range);
    assert_eq!((locked(), child.set_locked(at + PAGE, 2 * PAGE, true)), (0, Ok(())));
    assert_eq!(locked(), 2 * PAGE);
    assert_eq!(child.locked_bytes(&(at + 2 * PAGE..range.end)), PAGE);
    assert_eq!(child.locked_bytes(&(at..at + 2 * PAGE)), PAGE);
    assert_eq!(child.set_locked(at + 3 * PAGE, 2 * PAGE, true), Err(Error::NotFound));
    assert_eq!(locked(), 3 * PAGE);
    assert_eq!(child.set_locked(at - PAGE, 3 * PAGE, true), Err(Error::NotFound));
    assert_eq!(locked(), 3 * PAGE, "the first page already");
    let part = at + 2 * PAGE..at + 3 * PAGE;
    assert_eq!(child.locked_bytes(&part), PAGE, "the mapping goes on behind it");
    assert_eq!(child.set_locked(at + PAGE, PAGE, false), Ok(()));
    assert_eq!(locked(), 2 * PAGE);
}

#[test]
fn mappings_are_counted_and_listed_with_the_region_that_they_are_in() {
    let (_memory, child, at) = region();
    let range = child.range();
    let more = |addr, len, n| child.has_more_mappings(addr, len, n);
    assert!(more(at, 4 * PAGE, 1) && !more(at, 4 * PAGE, 2));
    assert!(more(at + PAGE, PAGE, 0) && !more(at, 2 * PAGE, 1));
    assert!(!more(range.start, 2 * PAGE, 0) && more(at + 3 * PAGE, u64::MAX, 0));
    child.set_tag(at + PAGE, 2 * PAGE, 2).unwrap();
    let tags = || child.mappings().iter().map(|m| (m.range.start, m.tag)).collect::<Vec<_>>();
    assert_eq!(tags(), [(at, 1), (at + PAGE, 2), (at + 2 * PAGE, 2)]);
    let inner = child.allocate(Placement::BottomUp, 2 * PAGE).unwrap();
    let deep = map(&inner, Placement::Exact(range.start), PAGE).unwrap();
    let nodes = |vmar: &Vmar| {
        let nodes = vmar.own_nodes().unwrap();
        let shown = |n: &MapNode| (n.range.start, n.depth, n.mapping.is_some());
        nodes.iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(nodes(&inner), [(deep, 0, false), (deep, 1, true)]);
    let of_child = [
        (deep, 0, false),
        (deep, 1, false),
        (deep, 2, true),
        (at, 1, true),
        (at + PAGE, 1, true),
        (at + 2 * PAGE, 1, true),
    ];
    assert_eq!(nodes(&child), of_child);
    let all = child.map_nodes();
    assert_eq!((all.len(), all[0].depth, all[1].depth), (7, 0, 1));
}

#[test]
fn what_is_moved_lies_in_the_region_and_goes_beside_itself() {
    let (_memory, child, at) = region();
    let range = child.range();
    child.write(at, &[7]).unwrap();
    let to = |to| child.remap(at, 2 * PAGE, 2 * PAGE, Remap::To(to));
    for overlapping in [at - PAGE, at, at + PAGE, range.start - PAGE, range.end - PAGE, at + 1] {
        assert_eq!(to(overlapping), Err(Error::InvalidArgs));
        let kept = child.remap_keeping(at, 2 * PAGE, Some(overlapping));
        assert_eq!(kept, Err(Error::InvalidArgs));
    }
    for (addr, old, new) in [(at + 1, PAGE, PAGE), (at, 0, PAGE), (at, PAGE, 0)] {
        assert_eq!(child.remap(addr, old, new, Remap::MayMove), Err(Error::InvalidArgs));
    }
    for addr in [range.start - PAGE, range.end - PAGE, range.start] {
        assert_eq!(child.remap(addr, 2 * PAGE, PAGE, Remap::MayMove), Err(Error::NotFound));
        assert_eq!(child.remap_keeping(addr, 2 * PAGE, None), Err(Error::NotFound));
    }
    assert_eq!(child.mappings().len(), 2);
    let grown = child.remap(at, 2 * PAGE, 3 * PAGE, Remap::MayMove);
    assert_eq!(grown, Err(Error::NoResources), "no hole is so large");
    assert_eq!(byte(&child, at), 7);
    assert_eq!(to(at - 2 * PAGE), Ok(range.start));
    assert_eq!(byte(&child, range.start), 7);
    assert_eq!(child.remap(range.start, 2 * PAGE, 4 * PAGE, Remap::InPlace), Ok(range.start));
    let back = child.remap(range.start, 4 * PAGE, PAGE, Remap::To(range.end - 2 * PAGE));
    assert_eq!(back, Ok(range.end - 2 * PAGE));
    assert!(child.is_free(range.start..at + 2 * PAGE), "the tail goes too");
}

#[test]
fn a_copy_is_of_a_root_without_regions_and_of_what_no_device_uses() {
    let (memory, vmar) = root();
    let flags = MappingFlags::PRIVATE | MappingFlags::LOCKED;
    let vmo = anonymous(&vmar, PAGE);
    let at = vmar.map(MapArgs { flags, tag: 5, ..MapArgs::new(vmo.clone(), PAGE) }).unwrap();
    let fork = |vmar: &Vmar| vmar.fork(&vmar.aspace().new_copy().unwrap());
    let pin = vmo.pin(0, PAGE).unwrap();
    assert_eq!(fork(&vmar).err(), Some(Error::BadState));
    drop(pin);
    let copy = fork(&vmar).unwrap();
    let mapping = copy.find(at).unwrap();
    assert_eq!((mapping.flags, mapping.tag), (MappingFlags::PRIVATE, 5), "it is not locked");
    assert_eq!(vmar.locked_bytes(&(at..at + PAGE)), PAGE);
    let child = vmar.allocate(Placement::TopDown, PAGE).unwrap();
    assert_eq!(fork(&vmar).err(), Some(Error::NotSupported));
    assert_eq!(fork(&child).err(), Some(Error::NotSupported));
    child.destroy().unwrap();
    assert!(fork(&vmar).is_ok());
    drop((copy, mapping, vmar, vmo, child));
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn what_the_page_table_refuses_is_told_in_zircons_words() {
    use AspaceError as E;
    for (error, expected) in [
        (E::Taken, Error::Unavailable),
        (E::OutOfRange, Error::OutOfRange),
        (E::Unaligned, Error::InvalidArgs),
        (E::NotPatchable, Error::InvalidArgs),
        (E::NoMemory, Error::NoMemory),
        (E::NoWindow, Error::NoMemory),
        (E::NoStub, Error::NoMemory),
    ] {
        assert_eq!(refusal(error), expected);
    }
}

#[test]
fn faults_and_words_say_why_they_fail() {
    let (_memory, child, at) = region();
    let (none, below) = (child.range().start, at - PAGE);
    assert_eq!(child.fault(below, Access::Read), Err(Error::NotFound));
    assert_eq!(child.try_fault(none, Access::Read), Err(Error::NotFound));
    child.protect(at, PAGE, Prot::READ).unwrap();
    assert_eq!(child.fault(at, Access::Write), Err(Error::AccessDenied));
    assert_eq!(child.fault(at, Access::Read), Ok(()));
    assert_eq!(child.populate(at, 2 * PAGE, Access::Write), Err(Error::AccessDenied));
    assert_eq!(child.populate(at + 2 * PAGE, 3 * PAGE, Access::Write), Err(Error::NotFound));
    let vmo = anonymous(&child, PAGE);
    let long = child.map(MapArgs::new(vmo, 2 * PAGE)).unwrap();
    assert_eq!(child.fault(long, Access::Write), Ok(()));
    assert_eq!(child.fault(long + PAGE, Access::Read), Err(Error::OutOfRange));
    let fault = |access, addr| Fault { addr, access, present: true };
    for addr in [long + 1, long + 2, long + 3] {
        let write = fault(Access::Write, addr);
        assert_eq!(child.load_u32(addr), Err(fault(Access::Read, addr)));
        assert_eq!(child.store_u32(addr, 1), Err(write));
        assert_eq!(child.compare_exchange_u32(addr, 0, 1), Err(write));
        assert_eq!(child.fetch_update_u32(addr, |word| word + 1), Err(write));
    }
    assert_eq!(child.store_u32(long + 4, 6), Ok(()));
    assert_eq!(child.compare_exchange_u32(long + 4, 5, 1), Ok(Err(6)));
    assert_eq!(child.compare_exchange_u32(long + 4, 6, 1), Ok(Ok(6)));
    assert_eq!(child.fetch_update_u32(long + 4, |word| word + 1), Ok(1));
    assert_eq!((child.load_u32(long + 4), child.load_u32(long)), (Ok(2), Ok(0)));
}
