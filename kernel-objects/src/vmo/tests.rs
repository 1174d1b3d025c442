//! Tests of VMOs: content, growth, sources, snapshots.

mod children;

use std::{ops::ControlFlow, sync::atomic::AtomicUsize};

use hal::aspace::AddressSpace;

use super::*;

const RESIZABLE: VmoOptions = VmoOptions { resizable: true, charged: false };

fn memory() -> Arc<PhysicalMemory> {
    PhysicalMemory::new(None).unwrap()
}

pub(super) fn get(vmo: &Vmo, offset: u64, len: usize) -> Vec<u8> {
    let mut buf = vec![0xee; len];
    vmo.read(offset, &mut buf).unwrap();
    buf
}

/// Byte `n` of the file is `n / 4096 + 1`.
#[derive(Default)]
struct Pattern {
    fills: AtomicUsize,
    fail: AtomicUsize,
    len: u64,
}

impl PageSource for Pattern {
    fn fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> Result<()> {
        if self.fail.load(Ordering::Relaxed) > 0 {
            return Err(Error::Io);
        }
        self.fills.fetch_add(1, Ordering::Relaxed);
        assert_eq!((sink.offset(), sink.len()), (offset, len));
        for byte in (offset..offset + len).step_by(PAGE_SIZE) {
            let len = self.len.saturating_sub(byte).min(PAGE) as usize;
            sink.write(byte, &vec![(byte / PAGE + 1) as u8; len]);
        }
        Ok(())
    }
}

fn file(memory: &Arc<PhysicalMemory>, len: u64) -> (Arc<Pattern>, Arc<Vmo>) {
    let source = Arc::new(Pattern { len, ..Pattern::default() });
    let vmo = Vmo::create_with_source(memory, len, source.clone()).unwrap();
    (source, vmo)
}

#[test]
fn anonymous_memory_is_zero_and_keeps_what_is_written() {
    let memory = memory();
    let vmo = Vmo::create(&memory, 10_000, VmoOptions::default()).unwrap();
    assert_eq!((vmo.size(), vmo.content_size()), (12_288, 10_000));
    assert_eq!(get(&vmo, 4000, 200), vec![0; 200]);
    vmo.write(4090, b"across pages").unwrap();
    assert_eq!(get(&vmo, 4090, 12), b"across pages");
    assert_eq!(vmo.read(12_280, &mut [0; 9]), Err(Error::OutOfRange));
    assert_eq!(vmo.write(u64::MAX, &[0; 9]), Err(Error::OutOfRange));
    assert_eq!(vmo.set_size(1), Err(Error::Unavailable));
    drop(vmo);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn growth_adds_segments_and_keeps_bytes() {
    let memory = memory();
    let vmo = Vmo::create(&memory, 0, RESIZABLE).unwrap();
    let mut size = 1;
    while size < 8 << 20 {
        vmo.set_size(size).unwrap();
        vmo.write(size - 1, &[size as u8]).unwrap();
        size = size * 3 + 1;
    }
    let mut at = 1;
    while at < size && at - 1 < vmo.content_size() {
        assert_eq!(get(&vmo, at - 1, 1), [at as u8]);
        at = at * 3 + 1;
    }
    let mut pieces = 0;
    vmo.contents.read().pages.visit::<()>(&(0..vmo.size()), |_, _, _, _| {
        pieces += 1;
        None
    });
    assert!(pieces < 12);
}

#[test]
fn what_is_cut_off_is_zero_when_it_comes_back() {
    let memory = memory();
    let vmo = Vmo::create(&memory, 20_000, RESIZABLE).unwrap();
    vmo.write(0, &[7; 20_000]).unwrap();
    vmo.set_size(5_000).unwrap();
    assert_eq!((vmo.size(), vmo.content_size()), (8192, 5000));
    vmo.set_size(20_000).unwrap();
    assert_eq!(get(&vmo, 0, 5_000), vec![7; 5_000]);
    assert_eq!(get(&vmo, 5_000, 15_000), vec![0; 15_000]);
}

#[test]
fn a_charged_vmo_stays_inside_the_limit() {
    let memory = PhysicalMemory::new(Some(40_960)).unwrap();
    let options = VmoOptions { resizable: true, charged: true };
    let vmo = Vmo::create(&memory, 40_000, options).unwrap();
    assert_eq!(Vmo::create(&memory, 1, options).unwrap_err(), Error::NoMemory);
    assert_eq!(vmo.set_size(50_000), Err(Error::NoMemory));
    assert_eq!(vmo.size(), 40_960);
    vmo.set_size(4_096).unwrap();
    assert_eq!(memory.charged(), 4_096);
    drop(vmo);
    assert_eq!(memory.charged(), 0);
}

#[test]
fn a_source_fills_pages_once_and_around() {
    let memory = memory();
    let (source, vmo) = file(&memory, 300_000);
    assert_eq!(get(&vmo, 4095, 2), [1, 2]);
    assert_eq!(get(&vmo, 100_000, 1), [25]);
    assert_eq!(source.fills.load(Ordering::Relaxed), 1);
    assert_eq!(get(&vmo, 299_999, 2), [74, 0]);
    assert_eq!(source.fills.load(Ordering::Relaxed), 2);
    vmo.write(5000, b"new").unwrap();
    assert_eq!(get(&vmo, 4999, 5), b"\x02new\x02");
    vmo.decommit(4096..8192);
    assert_eq!(get(&vmo, 4999, 5), [2; 5]);
    assert_eq!(vmo.committed(0..300_000), vec![0..131_072, 262_144..300_000]);
}

#[test]
fn a_failing_source_leaves_the_pages_missing() {
    let memory = memory();
    let (source, vmo) = file(&memory, 8192);
    source.fail.store(1, Ordering::Relaxed);
    assert_eq!(vmo.read(0, &mut [0]), Err(Error::Io));
    source.fail.store(0, Ordering::Relaxed);
    assert_eq!(get(&vmo, 0, 1), [1]);
}

#[test]
fn runs_are_as_long_as_pages_are_present() {
    let memory = memory();
    let (_, vmo) = file(&memory, 1 << 20);
    assert_eq!(vmo.present_run(0, 1 << 20), None);
    let run = vmo.resolve_run(5000, false, 1 << 20).unwrap();
    assert_eq!((run.offset, run.len, run.writable), (4096, (128 << 10) - 4096, true));
    assert_eq!(vmo.resolve_run(1 << 20, false, 1), Err(Error::OutOfRange));
    let anonymous = Vmo::create(&memory, 1 << 20, VmoOptions::default()).unwrap();
    assert_eq!(anonymous.resolve_run(0, true, u64::MAX).unwrap().len, 1 << 20);
}

#[test]
fn a_snapshot_has_its_own_pages_once_written() {
    let memory = memory();
    let (_, parent) = file(&memory, 1 << 20);
    let child = parent.create_private(PAGE, 1 << 19, false).unwrap();
    assert_eq!(get(&child, 0, 1), [2]);
    assert!(!child.present_run(0, PAGE).unwrap().writable);
    child.write(1, b"mine").unwrap();
    assert!(child.present_run(0, PAGE).unwrap().writable);
    assert_eq!(get(&child, 0, 6), b"\x02mine\x02");
    assert_eq!(get(&parent, PAGE, 6), [2; 6]);
    // Unwritten pages follow the parent, written ones do not.
    parent.write(PAGE, b"theirs").unwrap();
    parent.write(PAGE * 100, b"theirs").unwrap();
    assert_eq!(get(&child, 0, 6), b"\x02mine\x02");
    assert_eq!(get(&child, PAGE * 99, 6), b"theirs");
    child.decommit(0..PAGE);
    assert_eq!(get(&child, 0, 6), b"theirs");
    assert_eq!(parent.children(), 1);
    drop(child);
    assert_eq!(parent.children(), 0);
    drop(parent);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn of_two_who_extend_it_at_once_the_smaller_takes_nothing_away() {
    let memory = memory();
    let vmo = Vmo::create(&memory, 0, RESIZABLE).unwrap();
    let contents = vmo.contents.read();
    std::thread::scope(|scope| {
        for pages in [2, 1] {
            let vmo = &vmo;
            scope.spawn(move || assert_eq!(vmo.extend(pages * PAGE), Ok(())));
            // Most likely enough for it to get to where it waits.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        drop(contents);
    });
    assert_eq!(vmo.size(), 2 * PAGE);
}

#[test]
fn a_snapshot_ends_where_its_parent_ends() {
    let memory = memory();
    let (_, parent) = file(&memory, 16 * PAGE);
    let child = parent.create_private(0, 32 * PAGE, false).unwrap();
    assert_eq!(child.size(), 16 * PAGE);
    child.write(10 * PAGE, b"mine").unwrap();
    assert_eq!(child.read(16 * PAGE, &mut [0]), Err(Error::OutOfRange));
    parent.set_size(8 * PAGE).unwrap();
    assert_eq!(child.read(10 * PAGE, &mut [0]), Err(Error::OutOfRange));
    assert_eq!(child.write(8 * PAGE, &[0]), Err(Error::OutOfRange));
    parent.set_size(16 * PAGE).unwrap();
    // The copy went with the parent's page.
    assert_ne!(get(&child, 10 * PAGE, 4), b"mine");
    assert_eq!(child.resolve_run(0, true, PAGE).unwrap().len, PAGE);
}

#[test]
fn a_private_mapping_of_a_files_end_ends_where_the_file_does() {
    let memory = memory();
    let (_, file) = file(&memory, 32 * PAGE);
    let child = file.create_private(12 * PAGE, 16 * PAGE, false).unwrap();
    assert_eq!(child.size(), 16 * PAGE);
    for (len, size) in [(20, 8), (12, 0), (4, 0), (64, 16)] {
        file.set_size(len * PAGE).unwrap();
        assert_eq!(child.size(), size * PAGE, "{len}");
    }
}

#[test]
fn a_slice_is_a_part_of_its_parent() {
    let memory = memory();
    let parent = Vmo::create(&memory, 8 * PAGE, VmoOptions::default()).unwrap();
    let slice = parent.create_child(ChildOptions::SLICE, 2 * PAGE, 3 * PAGE).unwrap();
    slice.write(0, b"slice").unwrap();
    assert_eq!(get(&parent, 2 * PAGE, 5), b"slice");
    assert_eq!(slice.read(3 * PAGE, &mut [0]), Err(Error::OutOfRange));
    assert_eq!(slice.set_size(PAGE), Err(Error::Unavailable));
    let inner = slice.create_child(ChildOptions::SLICE, PAGE, PAGE).unwrap();
    inner.write(1, b"inner").unwrap();
    assert_eq!(get(&parent, 3 * PAGE, 6), b"\0inner");
    slice.op_range(RangeOp::Decommit, 0, PAGE).unwrap();
    assert_eq!(get(&parent, 2 * PAGE, 5), [0; 5]);
    drop((parent, slice));
    assert_eq!(get(&inner, 0, 6), b"\0inner");
    drop(inner);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn operations_on_ranges() {
    let memory = memory();
    let vmo = Vmo::create(&memory, 1 << 20, VmoOptions::default()).unwrap();
    vmo.write(0, &vec![1; 1 << 20]).unwrap();
    assert_eq!(memory.committed(), 1 << 20);
    vmo.op_range(RangeOp::Zero, 100, (1 << 20) - 200).unwrap();
    assert_eq!(memory.committed(), 2 * PAGE);
    assert_eq!(get(&vmo, 99, 3), [1, 0, 0]);
    assert_eq!(get(&vmo, (1 << 20) - 101, 2), [0, 1]);
    vmo.op_range(RangeOp::Decommit, 0, 1 << 20).unwrap();
    assert_eq!(memory.committed(), 0);
    assert_eq!(vmo.op_range(RangeOp::Commit, 0, 2 << 20), Err(Error::OutOfRange));
    let (source, file) = file(&memory, 1 << 20);
    file.op_range(RangeOp::Commit, 0, 1 << 20).unwrap();
    assert_eq!(source.fills.load(Ordering::Relaxed), 8);
    let copy = file.create_private(0, 1 << 20, false).unwrap();
    copy.op_range(RangeOp::Commit, 0, 1 << 20).unwrap();
    let mut own = 0;
    let _ = copy.for_each_present(0..1 << 20, &mut |run| {
        assert!(run.writable && run.len >= 256 << 10);
        own += run.len;
        ControlFlow::Continue(())
    });
    assert_eq!(own, 1 << 20);
}

#[test]
fn bytes_go_to_guest_memory_without_a_bounce() {
    use hal::aspace::{MapFlags, Prot};
    let memory = memory();
    let space = AddressSpace::new(&memory).unwrap();
    let extent = memory.allocate(2 * PAGE_SIZE).unwrap();
    let va = space.window().start;
    let rw = Prot::READ | Prot::WRITE;
    space.map(va, extent.base(), 2 * PAGE, rw, MapFlags::empty()).unwrap();
    let (_, vmo) = file(&memory, 1 << 20);
    vmo.copy_to_guest(PAGE - 2, &space, va + PAGE - 3, 4).unwrap();
    assert_eq!(space.read_cstr(va + PAGE - 3, 9).unwrap(), [1, 1, 2, 2]);
    space.write(va, b"to the file").unwrap();
    vmo.copy_from_guest(PAGE - 2, &space, va, 11).unwrap();
    assert_eq!(get(&vmo, PAGE - 3, 13), b"\x01to the file\x02");
    let error = vmo.copy_to_guest(0, &space, va + PAGE, 2 * PAGE).unwrap_err();
    assert!(matches!(error, CopyError::Guest(fault) if fault.addr == va + 2 * PAGE));
}

#[test]
fn pages_that_are_there_are_not_asked_for_again_with_their_neighbours() {
    let memory = memory();
    let (source, vmo) = file(&memory, 4 * PAGE);
    assert_eq!(get(&vmo, 0, 1), [1]);
    vmo.write(PAGE, b"mine").unwrap();
    vmo.write(3 * PAGE, b"mine").unwrap();
    vmo.decommit(2 * PAGE..3 * PAGE);
    assert_eq!(get(&vmo, 2 * PAGE, 1), [3]);
    assert_eq!(source.fills.load(Ordering::Relaxed), 2);
    assert_eq!((get(&vmo, PAGE, 4), get(&vmo, 3 * PAGE, 4)), (b"mine".to_vec(), b"mine".to_vec()));
}

#[test]
fn pages_that_were_all_touched_are_known_to_be_until_one_is_given_back() {
    let memory = memory();
    let vmo = Vmo::create(&memory, 4 * PAGE, VmoOptions::default()).unwrap();
    vmo.write(0, &[1; 4 * PAGE as usize]).unwrap();
    let all_warm = || {
        let mut warm = true;
        let _ = vmo.for_each_present(0..4 * PAGE, &mut |run| {
            warm &= run.warm;
            ControlFlow::Continue(())
        });
        warm
    };
    assert!(!all_warm(), "nobody has said so");
    vmo.set_warm(0..2 * PAGE);
    assert!(!all_warm(), "half of them");
    vmo.set_warm(0..4 * PAGE);
    assert!(all_warm());
    vmo.op_range(RangeOp::Decommit, 0, PAGE).unwrap();
    vmo.write(0, &[1]).unwrap();
    assert!(!all_warm());
}

#[test]
fn a_clone_of_a_page_cache_is_its_own_memory_beyond_the_end() {
    let memory = memory();
    let (source, vmo) = file(&memory, PAGE);
    let options = ChildOptions::SNAPSHOT_AT_LEAST_ON_WRITE;
    let clone = vmo.create_child(options, 0, 4 * PAGE).unwrap();
    clone.prepare(2 * PAGE, true).unwrap();
    assert!(clone.present_run(2 * PAGE, PAGE).is_some_and(|run| run.writable));
    clone.write(3 * PAGE, b"mine").unwrap();
    assert_eq!((get(&clone, PAGE, 2), get(&clone, 3 * PAGE, 4)), (vec![0; 2], b"mine".to_vec()));
    assert_eq!(source.fills.load(Ordering::Relaxed), 0, "none of this is in the cache");
}

#[test]
fn its_debug_output_says_of_which_kind_it_is() {
    use ChildOptions as C;
    let memory = memory();
    let anonymous = Vmo::create(&memory, PAGE, RESIZABLE).unwrap();
    let child = |kind, len| anonymous.create_child(kind, 0, len).unwrap();
    let (snapshot, reference) = (child(C::SNAPSHOT, PAGE), child(C::REFERENCE, 0));
    let fixed = Vmo::create(&memory, PAGE, VmoOptions::default()).unwrap();
    let (_, source) = file(&memory, PAGE);
    for (vmo, kind) in [
        (&anonymous, "anonymous"),
        (&snapshot, "anonymous"),
        (&reference, "reference"),
        (&fixed.create_child(C::SLICE, 0, PAGE).unwrap(), "slice"),
        (&source, "source"),
        (&source.create_private(0, PAGE, false).unwrap(), "clone"),
    ] {
        assert_eq!(format!("{vmo:?}"), format!("Vmo {{ kind: {kind:?}, size: 4096 }}"));
    }
}

#[test]
fn a_size_has_an_upper_bound_and_is_rounded_up_below_it() {
    let memory = memory();
    let made = |size| Vmo::create(&memory, size, RESIZABLE).map(|vmo| vmo.size());
    for (size, rounded) in [(0, 0), (1, PAGE), (PAGE, PAGE), (PAGE + 1, 2 * PAGE)] {
        assert_eq!(made(size), Ok(rounded));
    }
    assert_eq!(made(MAX_SIZE), Ok(MAX_SIZE));
    let largest = Vmo::create(&memory, MAX_SIZE, RESIZABLE).unwrap();
    let last = largest.create_child(ChildOptions::SNAPSHOT, MAX_SIZE - PAGE, PAGE);
    assert_eq!(last.map(|child| child.size()), Ok(PAGE));
    for absurd in [MAX_SIZE + 1, u64::MAX] {
        assert_eq!(made(absurd), Err(Error::OutOfRange));
        assert_eq!(Vmo::create_unbounded(&memory, absurd).err(), Some(Error::OutOfRange));
        let vmo = Vmo::create(&memory, PAGE, RESIZABLE).unwrap();
        assert_eq!(vmo.set_size(absurd), Err(Error::OutOfRange));
        assert_eq!(vmo.extend(absurd), Err(Error::OutOfRange));
        assert_eq!((vmo.size(), vmo.content_size()), (PAGE, PAGE));
    }
    assert_eq!(made(MAX_SIZE), Ok(MAX_SIZE));
    let unbounded = Vmo::create_unbounded(&memory, 5).unwrap();
    assert_eq!((unbounded.size(), unbounded.content_size()), (MAX_SIZE, 5));
    assert_eq!(unbounded.options(), VmoOptions::default());
}

#[test]
fn the_content_ends_inside_and_what_lies_behind_is_zeroed() {
    let memory = memory();
    let vmo = Vmo::create(&memory, 3 * PAGE, VmoOptions::default()).unwrap();
    vmo.write(0, &[7; 3 * PAGE_SIZE]).unwrap();
    assert_eq!(vmo.set_content_size(3 * PAGE + 1), Err(Error::OutOfRange));
    assert_eq!((vmo.content_size(), get(&vmo, 3 * PAGE - 1, 1)), (3 * PAGE, vec![7]));
    assert_eq!(vmo.set_content_size(PAGE + 5), Ok(()));
    assert_eq!((vmo.size(), vmo.content_size()), (3 * PAGE, PAGE + 5));
    assert_eq!(get(&vmo, PAGE + 4, 2), [7, 0]);
    assert_eq!(get(&vmo, 2 * PAGE, PAGE_SIZE), vec![0; PAGE_SIZE]);
    assert_eq!(vmo.set_content_size(3 * PAGE), Ok(()));
    assert_eq!((vmo.content_size(), get(&vmo, PAGE + 4, 2)), (3 * PAGE, vec![7, 0]));
    vmo.note_content(PAGE);
    assert_eq!(vmo.content_size(), 3 * PAGE, "it was more already");
    let contiguous = Vmo::create_contiguous(&memory, PAGE, 0).unwrap();
    assert_eq!(contiguous.set_content_size(0), Err(Error::NotSupported));
}

#[test]
fn only_what_is_resizable_is_extended_and_never_made_smaller() {
    let memory = memory();
    let fixed = Vmo::create(&memory, PAGE, VmoOptions::default()).unwrap();
    assert_eq!(fixed.extend(2 * PAGE), Err(Error::Unavailable));
    let options = VmoOptions { resizable: true, charged: true };
    let limited = PhysicalMemory::new(Some(2 * PAGE)).unwrap();
    let vmo = Vmo::create(&limited, 10, options).unwrap();
    let both = ChildOptions::REFERENCE | ChildOptions::RESIZABLE;
    let reference = vmo.create_child(both, 0, 0).unwrap();
    assert_eq!(reference.extend(PAGE + 1), Ok(()));
    assert_eq!((vmo.size(), vmo.content_size(), limited.charged()), (2 * PAGE, 10, 2 * PAGE));
    assert_eq!(vmo.extend(2 * PAGE + 1), Err(Error::NoMemory));
    assert_eq!(vmo.extend(1), Ok(()));
    assert_eq!((vmo.size(), reference.size()), (2 * PAGE, 2 * PAGE));
    assert_eq!(reference.set_size(3), Ok(()));
    assert_eq!((vmo.size(), vmo.content_size(), limited.charged()), (PAGE, 3, PAGE));
}

#[test]
fn a_private_mapping_is_aligned_possible_and_within_the_limit() {
    let memory = PhysicalMemory::new(Some(64 * PAGE)).unwrap();
    let (_, cache) = file(&memory, 4 * PAGE);
    let made = |of: &Arc<Vmo>, offset, size, charged| {
        of.create_private(offset, size, charged).map(|made| made.size())
    };
    assert_eq!(made(&cache, 1, PAGE, false), Err(Error::InvalidArgs));
    assert_eq!(made(&cache, PAGE, u64::MAX, false), Err(Error::OutOfRange));
    assert_eq!(made(&cache, 0, MAX_SIZE + 1, false), Err(Error::OutOfRange));
    assert_eq!(made(&cache, 0, 65 * PAGE, true), Err(Error::NoMemory));
    assert_eq!(made(&cache, 0, 65 * PAGE, false), Ok(4 * PAGE));
    assert_eq!(made(&cache, 3 * PAGE, 2 * PAGE, true), Ok(PAGE));
    let contiguous = Vmo::create_contiguous(&memory, PAGE, 0).unwrap();
    assert_eq!(made(&contiguous, 0, PAGE, false), Err(Error::NotSupported));
    let discardable = Vmo::create_discardable(&memory, PAGE, VmoOptions::default()).unwrap();
    assert_eq!(made(&discardable, 0, PAGE, false), Err(Error::NotSupported));
}

#[test]
fn a_cookie_of_what_is_shown_is_seen_until_there_is_one_of_its_own() {
    let vmo = Vmo::create(&memory(), 2 * PAGE, VmoOptions::default()).unwrap();
    let slice = vmo.create_child(ChildOptions::SLICE, PAGE, PAGE).unwrap();
    let copy = vmo.create_child(ChildOptions::SNAPSHOT, 0, PAGE).unwrap();
    let seen = |vmo: &Vmo| vmo.cookie().and_then(|cookie| cookie.downcast_ref::<u8>().copied());
    assert!([&vmo, &slice, &copy].into_iter().all(|vmo| seen(vmo).is_none()));
    vmo.set_cookie(Arc::new(1_u8));
    assert_eq!((seen(&vmo), seen(&slice), seen(&copy)), (Some(1), Some(1), None));
    slice.set_cookie(Arc::new(2_u8));
    assert_eq!((seen(&vmo), seen(&slice)), (Some(1), Some(2)));
    let behind = |vmo: &Vmo| vmo.behind().map(|(behind, offset)| (behind.koid(), offset));
    assert_eq!((behind(&slice), behind(&copy)), (Some((vmo.koid(), PAGE)), None));
}

#[test]
fn references_that_are_dead_do_not_pile_up() {
    let mut list = WeakList::<u32>::default();
    let kept: Vec<Arc<u32>> = (0..5).map(Arc::new).collect();
    kept.iter().for_each(|one| list.push(Arc::downgrade(one)));
    for other in 0..1000 {
        list.push(Arc::downgrade(&Arc::new(other)));
        assert!(list.list.len() <= 10);
    }
    assert_eq!(list.live(), kept);
}

#[test]
fn a_range_is_not_committed_when_its_last_pages_only_can_be_had() {
    const HALF: u64 = 64 << 10;
    let memory = memory();
    let vmo = Vmo::create(&memory, HALF, RESIZABLE).unwrap();
    vmo.write(0, &[1]).unwrap();
    vmo.set_size(2 * HALF).unwrap();
    let commit = |offset, len| vmo.op_range(RangeOp::Commit, offset, len);
    assert_eq!(commit(HALF, HALF), Ok(()));
    // The host has nothing more to give: its file has shrunk.
    nix::unistd::ftruncate(&memory, 0).unwrap();
    assert_eq!(commit(HALF, HALF), Ok(()), "they are there already");
    assert_eq!(commit(0, HALF), Err(Error::NoMemory));
    assert_eq!(commit(0, 2 * HALF), Err(Error::NoMemory));
}
