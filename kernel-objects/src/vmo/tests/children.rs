//! Tests of children: what each kind shows, what may be asked of it, long chains, mappings, threads.

use std::{sync::atomic::AtomicBool, thread, time::Instant};

use hal::aspace::{Access, Prot};

use super::*;
use crate::vmar::{MapArgs, Vmar};

use ChildOptions as C;

/// Without a cache of freed frames, so that what the host holds is what is used.
fn tight() -> Arc<PhysicalMemory> {
    PhysicalMemory::new(Some(PAGE)).unwrap()
}

fn anonymous(memory: &Arc<PhysicalMemory>, pages: u64, resizable: bool) -> Arc<Vmo> {
    Vmo::create(memory, pages * PAGE, VmoOptions { resizable, charged: false }).unwrap()
}

#[test]
fn a_child_is_of_one_kind_aligned_and_possible() {
    let memory = memory();
    let (fixed, large) = (anonymous(&memory, 4, false), anonymous(&memory, 4, true));
    let error =
        |vmo: &Arc<Vmo>, options, offset, size| vmo.create_child(options, offset, size).err();
    for options in [C::empty(), C::SNAPSHOT | C::SLICE, C::RESIZABLE, C::from_bits_retain(1 << 20)]
    {
        assert_eq!(error(&fixed, options, 0, PAGE), Some(Error::InvalidArgs), "{options:?}");
    }
    for kind in [C::SNAPSHOT, C::SNAPSHOT_MODIFIED, C::SNAPSHOT_AT_LEAST_ON_WRITE, C::SLICE] {
        let both = kind | C::RESIZABLE | C::NO_WRITE;
        assert_eq!(error(&fixed, both, 0, PAGE), Some(Error::InvalidArgs));
        assert_eq!(error(&fixed, kind, 1, PAGE), Some(Error::InvalidArgs));
        assert_eq!(error(&fixed, kind, PAGE, u64::MAX), Some(Error::OutOfRange));
    }
    assert_eq!(error(&fixed, C::SNAPSHOT, 0, 1 << 63), Some(Error::OutOfRange));
    assert_eq!(error(&fixed, C::SLICE | C::RESIZABLE, 0, PAGE), Some(Error::InvalidArgs));
    assert_eq!(error(&fixed, C::SLICE, 3 * PAGE, 2 * PAGE), Some(Error::OutOfRange));
    assert_eq!(error(&large, C::SLICE, 0, PAGE), Some(Error::NotSupported));
    assert_eq!(error(&fixed, C::REFERENCE, PAGE, 0), Some(Error::InvalidArgs));
    assert_eq!(error(&fixed, C::REFERENCE, 0, PAGE), Some(Error::InvalidArgs));
    assert_eq!(error(&fixed, C::REFERENCE | C::RESIZABLE, 0, 0), Some(Error::NotSupported));
    let (_, file) = file(&memory, 4 * PAGE);
    assert_eq!(error(&file, C::SNAPSHOT, 0, PAGE), Some(Error::NotSupported));
    let clone = file.create_child(C::SNAPSHOT_MODIFIED, 0, PAGE).unwrap();
    assert_eq!(error(&clone, C::SNAPSHOT, 0, PAGE), Some(Error::NotSupported));
    let pin = fixed.pin(0, PAGE).unwrap();
    assert_eq!(error(&fixed, C::SNAPSHOT, 0, PAGE), Some(Error::BadState));
    assert!(fixed.create_child(C::SLICE, 0, PAGE).is_ok());
    drop(pin);
    let child = fixed.create_child(C::SNAPSHOT, 0, PAGE + 1).unwrap();
    assert_eq!((child.size(), child.content_size()), (2 * PAGE, PAGE + 1));
}

#[test]
fn what_is_not_for_writing_refuses_it() {
    let memory = memory();
    let vmo = anonymous(&memory, 2, false);
    let child = vmo.create_child(C::SLICE | C::NO_WRITE, 0, 2 * PAGE).unwrap();
    assert_eq!(child.write(0, b"x"), Err(Error::AccessDenied));
    for op in [RangeOp::Zero, RangeOp::Commit, RangeOp::Decommit] {
        assert_eq!(child.op_range(op, 0, PAGE), Err(Error::AccessDenied));
    }
    let vmar = Vmar::create_root(&AddressSpace::new(&memory).unwrap()).unwrap();
    let map = |perms| vmar.map(MapArgs { perms, ..MapArgs::new(child.clone(), PAGE) });
    assert_eq!(map(Prot::READ | Prot::WRITE), Err(Error::AccessDenied));
    let addr = map(Prot::READ).unwrap();
    assert_eq!(vmar.protect(addr, PAGE, Prot::READ | Prot::WRITE), Err(Error::AccessDenied));
    let inner = child.create_child(C::SLICE, 0, PAGE).unwrap();
    assert_eq!(inner.write(0, b"x"), Err(Error::AccessDenied), "a slice of it is not either");
    let copy = child.create_child(C::SNAPSHOT, 0, PAGE).unwrap();
    assert_eq!(copy.write(0, b"x"), Ok(()), "a copy is");
}

#[test]
fn rights_of_a_child_follow_from_its_kind() {
    let all = Rights::IO | Rights::EXECUTE | Rights::MAP | Rights::RESIZE;
    let property = Rights::PROPERTY;
    assert_eq!(C::SLICE.rights(all), (all - Rights::RESIZE) | property);
    assert_eq!((C::REFERENCE | C::RESIZABLE).rights(all), all | property);
    assert_eq!(
        (C::SLICE | C::NO_WRITE).rights(all),
        (all - Rights::RESIZE - Rights::WRITE) | property
    );
    for copy in [C::SNAPSHOT, C::SNAPSHOT_MODIFIED, C::SNAPSHOT_AT_LEAST_ON_WRITE] {
        let writable = Rights::READ | Rights::WRITE | property;
        assert_eq!(copy.rights(Rights::READ | Rights::EXECUTE), writable);
        let read = Rights::READ | Rights::EXECUTE;
        assert_eq!((copy | C::NO_WRITE).rights(read), read | property);
    }
    let memory = memory();
    let of = |vmo: &Vmo| vmo.default_rights();
    assert!(of(&anonymous(&memory, 1, true)).contains(Rights::RESIZE));
    assert!(!of(&anonymous(&memory, 1, false)).contains(Rights::RESIZE));
}

#[test]
fn a_snapshot_shows_what_was_and_neither_shows_the_other_what_is() {
    let memory = tight();
    let vmo = anonymous(&memory, 4, false);
    vmo.write(0, &[1; 3 * PAGE as usize]).unwrap();
    let snapshot = vmo.create_child(C::SNAPSHOT, 0, 6 * PAGE).unwrap();
    assert_eq!(memory.committed(), 3 * PAGE);
    vmo.write(0, &[2; 10]).unwrap();
    snapshot.write(PAGE, &[3; 10]).unwrap();
    assert_eq!((get(&vmo, 9, 2), get(&snapshot, 0, 2)), (vec![2, 1], vec![1, 1]));
    assert_eq!((get(&vmo, PAGE, 2), get(&snapshot, PAGE + 9, 2)), (vec![1, 1], vec![3, 1]));
    assert_eq!(get(&snapshot, 4 * PAGE, 2), [0, 0], "beyond the parent's end");
    snapshot.write(5 * PAGE, &[4]).unwrap();
    assert_eq!(memory.committed(), 6 * PAGE);
    drop(vmo);
    assert_eq!(memory.committed(), 4 * PAGE);
    let run = snapshot.present_run(2 * PAGE, PAGE).unwrap();
    snapshot.write(2 * PAGE, &[5]).unwrap();
    assert_eq!(snapshot.present_run(2 * PAGE, PAGE).unwrap().pa, run.pa, "its own by now");
}

#[test]
fn what_a_parent_loses_never_comes_back_in_a_child() {
    let memory = memory();
    let (_, cache) = file(&memory, 4 * PAGE);
    let clone = cache.create_child(C::SNAPSHOT_AT_LEAST_ON_WRITE, PAGE, 3 * PAGE).unwrap();
    clone.write(2 * PAGE, b"own").unwrap();
    assert_eq!(get(&clone, PAGE, 1), [3]);
    cache.set_size(2 * PAGE).unwrap();
    assert_eq!((get(&clone, 0, 1), get(&clone, PAGE, 1)), (vec![2], vec![0]));
    assert_eq!(get(&clone, 2 * PAGE, 3), b"own", "what it had copied stays");
    cache.set_size(4 * PAGE).unwrap();
    assert_eq!((get(&cache, 2 * PAGE, 1), get(&clone, PAGE, 1)), (vec![3], vec![0]));
    // And neither in a child that was smaller itself for a while.
    let clone = cache.create_child(C::SNAPSHOT_MODIFIED | C::RESIZABLE, 0, 4 * PAGE).unwrap();
    clone.set_size(PAGE).unwrap();
    clone.set_size(4 * PAGE).unwrap();
    assert_eq!((get(&clone, 0, 1), get(&clone, PAGE, 1)), (vec![1], vec![0]));
    let vmo = anonymous(&memory, 2, true);
    vmo.write(0, &[1; 2 * PAGE as usize]).unwrap();
    let snapshot = vmo.create_child(C::SNAPSHOT | C::RESIZABLE, 0, 2 * PAGE).unwrap();
    snapshot.set_size(PAGE + 10).unwrap();
    snapshot.set_size(2 * PAGE).unwrap();
    assert_eq!((get(&snapshot, PAGE + 9, 2), get(&vmo, PAGE + 10, 1)), (vec![1, 0], vec![1]));
}

#[test]
fn a_clone_of_a_clone_keeps_what_was_modified() {
    let memory = memory();
    let (_, cache) = file(&memory, 4 * PAGE);
    let clone = cache.create_child(C::SNAPSHOT_MODIFIED, PAGE, 3 * PAGE).unwrap();
    clone.write(PAGE, b"old").unwrap();
    let inner = clone.create_child(C::SNAPSHOT_MODIFIED, PAGE, 2 * PAGE).unwrap();
    clone.write(PAGE, b"new").unwrap();
    assert_eq!(
        (get(&inner, 0, 4), get(&clone, PAGE, 4)),
        (b"old\x03".to_vec(), b"new\x03".to_vec())
    );
    cache.write(3 * PAGE, b"live").unwrap();
    assert_eq!(get(&inner, PAGE, 4), b"live", "not copied yet");
    inner.write(PAGE + 10, b"x").unwrap();
    cache.write(3 * PAGE, b"gone").unwrap();
    assert_eq!(get(&inner, PAGE, 4), b"live");
}

#[test]
fn a_reference_is_its_parent_size_and_content_included() {
    let memory = memory();
    let vmo = anonymous(&memory, 2, true);
    let reference = vmo.create_child(C::REFERENCE | C::RESIZABLE, 0, 0).unwrap();
    let fixed = reference.create_child(C::REFERENCE, 0, 0).unwrap();
    reference.write(0, b"shared").unwrap();
    assert_eq!(get(&vmo, 0, 6), b"shared");
    reference.set_size(3 * PAGE - 5).unwrap();
    for vmo in [&vmo, &reference, &fixed] {
        assert_eq!((vmo.size(), vmo.content_size()), (3 * PAGE, 3 * PAGE - 5));
    }
    assert_eq!(fixed.set_size(PAGE), Err(Error::Unavailable));
    assert_eq!(fixed.related_koid(), reference.koid());
    fixed.set_content_size(3).unwrap();
    assert_eq!((vmo.content_size(), get(&vmo, 0, 6)), (3, b"sha\0\0\0".to_vec()));
    assert_eq!(vmo.set_content_size(3 * PAGE + 1), Err(Error::OutOfRange));
    drop((vmo, reference));
    assert_eq!(get(&fixed, 0, 3), b"sha");
}

#[test]
fn decommitting_is_for_memory_that_nobody_else_has() {
    let memory = memory();
    let vmo = anonymous(&memory, 4, false);
    let slice = vmo.create_child(C::SLICE, 0, 2 * PAGE).unwrap();
    let decommit = |vmo: &Vmo, offset, len| vmo.op_range(RangeOp::Decommit, offset, len);
    assert_eq!(decommit(&vmo, 1, PAGE), Err(Error::InvalidArgs));
    assert_eq!(decommit(&vmo, 0, PAGE + 1), Err(Error::InvalidArgs));
    assert_eq!(decommit(&vmo, 0, 5 * PAGE), Err(Error::OutOfRange));
    assert_eq!((decommit(&vmo, 0, PAGE), decommit(&slice, 0, PAGE)), (Ok(()), Ok(())));
    let copy = slice.create_child(C::SNAPSHOT, 0, PAGE).unwrap();
    for vmo in [&vmo, &slice, &copy] {
        assert_eq!(decommit(vmo, 0, PAGE), Err(Error::NotSupported));
    }
    drop(copy);
    assert_eq!((decommit(&vmo, 0, PAGE), decommit(&slice, 0, PAGE)), (Ok(()), Ok(())));
    let (_, file) = file(&memory, PAGE);
    assert_eq!(decommit(&file, 0, PAGE), Err(Error::NotSupported));
}

#[test]
fn the_signal_comes_when_the_last_descendant_has_gone() {
    let memory = memory();
    let zero = |vmo: &Vmo| vmo.signals().contains(Signals::VMO_ZERO_CHILDREN);
    let root = anonymous(&memory, 2, false);
    assert!(zero(&root));
    let child = root.create_child(C::SNAPSHOT, 0, PAGE).unwrap();
    let inner = child.create_child(C::SNAPSHOT, 0, PAGE).unwrap();
    let slice = child.create_child(C::SLICE, 0, PAGE).unwrap();
    assert_eq!((zero(&root), root.children(), child.children()), (false, 1, 2));
    let koid = child.koid();
    drop((slice, child));
    assert_eq!((zero(&root), root.children()), (false, 1));
    assert_eq!(inner.related_koid(), koid, "for ever");
    // A mapping keeps a child as well.
    let vmar = Vmar::create_root(&AddressSpace::new(&memory).unwrap()).unwrap();
    let addr = vmar.map(MapArgs::new(inner, PAGE)).unwrap();
    assert!(!zero(&root));
    vmar.unmap(addr, PAGE).unwrap();
    assert_eq!((zero(&root), root.children()), (true, 0));
}

/// Chains of children of children, and the order in which they go.
#[test]
fn ten_thousand_generations_cost_no_more_than_their_pages() {
    const GENERATIONS: u64 = 10_000;
    let kinds = [C::SNAPSHOT, C::SNAPSHOT_MODIFIED, C::SLICE, C::REFERENCE];
    let begin = Instant::now();
    for kind in kinds {
        for order in 0..3 {
            let memory = tight();
            let root = match kind {
                C::SNAPSHOT_MODIFIED => file(&memory, 16 * PAGE).1,
                _ => anonymous(&memory, 16, false),
            };
            root.write(0, &[1; 16 * PAGE as usize]).unwrap();
            let size = if kind == C::REFERENCE { 0 } else { 16 * PAGE };
            let mut chain = vec![root];
            for generation in 1..GENERATIONS {
                let child = chain[generation as usize - 1].create_child(kind, 0, size).unwrap();
                child.write(generation % 16 * PAGE, &generation.to_le_bytes()).unwrap();
                chain.push(child);
            }
            let copies = kind == C::SNAPSHOT || kind == C::SNAPSHOT_MODIFIED;
            let own = if copies { GENERATIONS - 1 } else { 0 };
            assert_eq!(memory.committed() / PAGE, 16 + own, "{kind:?}");
            let last = chain.pop().unwrap();
            let check = |last: &Vmo| {
                for generation in GENERATIONS - 16..GENERATIONS {
                    let bytes = get(last, generation % 16 * PAGE, 8);
                    assert_eq!(bytes, generation.to_le_bytes(), "{kind:?}");
                }
            };
            check(&last);
            match order {
                0 => chain.drain(..).for_each(drop),
                1 => chain.drain(..).rev().for_each(drop),
                // Every third, and then the rest.
                _ => (0..3).for_each(|_| {
                    let mut index = 0;
                    chain.retain(|_| {
                        index += 1;
                        index % 3 != 0
                    });
                }),
            }
            drop(chain);
            check(&last);
            if kind == C::SNAPSHOT {
                assert_eq!(memory.committed() / PAGE, 16);
            }
            drop(last);
            assert_eq!(memory.allocated(), 0);
        }
    }
    // It takes a few seconds where every step is slow, and hours if it grew with the square.
    assert!(begin.elapsed().as_secs() < 120);
}

#[test]
fn mappings_of_both_follow_when_pages_part() {
    let memory = tight();
    let vmar = Vmar::create_root(&AddressSpace::new(&memory).unwrap()).unwrap();
    let vmo = anonymous(&memory, 4, false);
    vmo.write(0, &[1; 4 * PAGE as usize]).unwrap();
    let here = vmar.map(MapArgs::new(vmo.clone(), 4 * PAGE)).unwrap();
    vmar.write(here, &[1]).unwrap();
    let copy = vmo.create_child(C::SNAPSHOT, 0, 4 * PAGE).unwrap();
    let there = vmar.map(MapArgs::new(copy.clone(), 4 * PAGE)).unwrap();
    let byte = |addr| {
        let mut byte = [0];
        vmar.read(addr, &mut byte).unwrap();
        byte[0]
    };
    let writable = |addr| vmar.aspace().query(addr).unwrap().prot.contains(Prot::WRITE);
    assert!(!writable(here) && byte(there) == 1, "protected once there is a snapshot");
    vmar.write(here, &[2]).unwrap();
    vmar.write(there + PAGE, &[3]).unwrap();
    vmo.write(2 * PAGE, &[4]).unwrap();
    copy.op_range(RangeOp::Zero, 3 * PAGE, PAGE).unwrap();
    let shown = |addr| [0, 1, 2, 3].map(|page| byte(addr + page * PAGE));
    assert_eq!((shown(here), shown(there)), ([2, 1, 4, 1], [1, 3, 1, 0]));
    // Where the other has gone, nothing is copied any more.
    vmar.unmap(there, 4 * PAGE).unwrap();
    drop(copy);
    let before = memory.committed();
    vmar.fault(here + PAGE, Access::Write).unwrap();
    vmar.write(here + PAGE, &[5]).unwrap();
    assert_eq!((shown(here), memory.committed()), ([2, 5, 4, 1], before));
}

/// A writer counts in two pages, first in the one and then in the other; no snapshot has them in another order or changes.
#[test]
fn snapshots_are_taken_at_one_moment_while_others_write() {
    let memory = memory();
    let vmo = anonymous(&memory, 8, false);
    let stop = AtomicBool::new(false);
    let count = |vmo: &Vmo, page: u64| {
        let bytes = get(vmo, page * PAGE, 8);
        u64::from_le_bytes(bytes.try_into().unwrap())
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 1u64;
            while !stop.load(Ordering::Relaxed) {
                vmo.write(0, &n.to_le_bytes()).unwrap();
                vmo.write(7 * PAGE, &n.to_le_bytes()).unwrap();
                n += 1;
            }
        });
        scope.spawn(|| {
            let vmar = Vmar::create_root(&AddressSpace::new(&memory).unwrap()).unwrap();
            let addr = vmar.map(MapArgs::new(vmo.clone(), 8 * PAGE)).unwrap();
            let mut n = 1u64;
            while !stop.load(Ordering::Relaxed) {
                vmar.write(addr + 2 * PAGE, &n.to_le_bytes()).unwrap();
                vmar.write(addr + 5 * PAGE, &n.to_le_bytes()).unwrap();
                n += 1;
            }
        });
        let mut kept = Vec::new();
        for round in 0..2_000 {
            let snapshot = vmo.create_child(C::SNAPSHOT, 0, 8 * PAGE).unwrap();
            let seen = [0, 7, 2, 5].map(|page| count(&snapshot, page));
            assert!(seen[0] == seen[1] || seen[0] == seen[1] + 1, "{seen:?}");
            kept.push((snapshot, seen));
            if round % 7 == 0 {
                kept.truncate(3);
            }
            for (snapshot, seen) in &kept {
                assert_eq!([0, 7, 2, 5].map(|page| count(snapshot, page)), *seen);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    drop(vmo);
    assert_eq!(memory.allocated(), 0);
}
