//! Tests of the dirty states of pages: trapped and untrapped writes, writeback, other sizes, zeroing, mappings, reclaim.

use super::*;

#[test]
fn untrapped_writes_make_pages_dirty_by_themselves() {
    let s = service(NONE, 8);
    let mut write = writing(&s.vmo, 1, 2);
    assert_eq!(poll(&mut write), None);
    assert_eq!(s.request(), Some((PageCommand::Read, 1, 2)));
    assert!(!s.modified(false));
    s.supply(0, 8, 1);
    assert_eq!(s.dirty(), []);
    assert_eq!(poll(&mut write), Some(Ok(())));
    assert_eq!((s.dirty(), s.request()), (vec![(1, 2, false)], None));
    assert!(s.modified(false) && s.modified(true) && !s.modified(true));
    // A read changes nothing.
    assert_eq!(byte(&s.vmo, 5), 1);
    assert!(!s.modified(false));
    // Written pages can be committed, and the range may be unaligned.
    assert_eq!(s.pager.query_dirty_ranges(&s.vmo, PAGE + 5, 1).unwrap().len(), 1);
    let too_far = s.pager.query_dirty_ranges(&s.vmo, 7 * PAGE, PAGE + 1);
    assert_eq!(too_far, Err(Error::OutOfRange));
    assert_eq!(s.pager.query_dirty_ranges(&s.vmo, u64::MAX, 2), Err(Error::OutOfRange));
    let other = service(NONE, 8);
    assert_eq!(s.pager.query_dirty_ranges(&other.vmo, 0, PAGE), Err(Error::InvalidArgs));
    assert_eq!(s.pager.query_vmo_stats(&other.vmo, true), Err(Error::InvalidArgs));
    assert_eq!(s.pager.detach_vmo(&other.vmo), Err(Error::InvalidArgs));
}

#[test]
fn trapped_writes_wait_for_agreement_on_each_run_of_clean_pages() {
    let s = service(TRAP, 20);
    s.supply(0, 20, 1);
    let mut write = writing(&s.vmo, 11, 5);
    assert_eq!(poll(&mut write), None);
    assert_eq!(s.request(), Some((PageCommand::Dirty, 11, 5)));
    let mut next = writing(&s.vmo, 15, 4);
    assert_eq!((poll(&mut next), s.request()), (None, None));
    assert_eq!(s.op(PagerOp::Dirty, 11, 5), Ok(()));
    assert!(!s.modified(false));
    assert_eq!(poll(&mut write), Some(Ok(())));
    assert!(s.modified(false));
    assert_eq!(poll(&mut next), None);
    assert_eq!(s.request(), Some((PageCommand::Dirty, 16, 3)));
    assert_eq!(s.op(PagerOp::Dirty, 16, 3), Ok(()));
    assert_eq!(poll(&mut next), Some(Ok(())));
    assert_eq!((s.dirty(), s.waiting()), (vec![(11, 8, false)], 0));
    // Dirty already.
    assert_eq!(s.vmo.write(12 * PAGE, &[1]), Ok(()));
    assert_eq!(s.vmo.write(12 * PAGE, &[1; 10 * PAGE_SIZE]), Err(Error::OutOfRange));
    assert_eq!(s.vmo.write(18 * PAGE, &[1; 2 * PAGE_SIZE]), Err(Error::ShouldWait));
}

#[test]
fn missing_pages_are_read_before_they_are_made_dirty() {
    let s = service(TRAP, 4);
    let mut write = writing(&s.vmo, 0, 4);
    s.supply(1, 1, 1);
    assert_eq!(poll(&mut write), None);
    assert_eq!(s.request(), Some((PageCommand::Read, 0, 1)));
    s.supply(0, 1, 1);
    assert_eq!(poll(&mut write), None);
    assert_eq!(s.request(), Some((PageCommand::Dirty, 0, 2)));
    assert_eq!(s.op(PagerOp::Dirty, 0, 2), Ok(()));
    assert_eq!(poll(&mut write), None);
    assert_eq!(s.request(), Some((PageCommand::Read, 2, 2)));
    s.supply(2, 2, 1);
    assert_eq!(poll(&mut write), None);
    assert_eq!(s.op(PagerOp::Dirty, 2, 2), Ok(()));
    assert_eq!(poll(&mut write), Some(Ok(())));
}

#[test]
fn committing_reads_and_dirties_nothing() {
    let s = service(TRAP, 4);
    assert_eq!(s.vmo.op_range(RangeOp::Commit, 0, PAGE), Err(Error::ShouldWait));
    let vmo = s.vmo.clone();
    let mut commit = async { vmo.op_range_async(RangeOp::Commit, 10, 3 * PAGE).await }.boxed();
    assert_eq!(poll(&mut commit), None);
    assert_eq!(s.request(), Some((PageCommand::Read, 0, 4)));
    s.supply(0, 4, 1);
    assert_eq!((poll(&mut commit), s.dirty()), (Some(Ok(())), vec![]));
    assert_eq!(s.vmo.op_range(RangeOp::Decommit, 0, PAGE), Err(Error::NotSupported));
    s.vmo.decommit(0..PAGE);
    assert_eq!(byte(&s.vmo, 0), 1);
}

#[test]
fn a_page_written_while_it_is_written_back_stays_dirty() {
    let s = service(NONE, 4);
    s.supply(0, 4, 1);
    s.vmo.write(0, &[2; 3 * PAGE_SIZE]).unwrap();
    s.begin(0, 4);
    assert_eq!(s.dirty(), [(0, 3, false)]);
    s.vmo.write(PAGE, &[3]).unwrap();
    s.end(0, 4);
    assert_eq!(s.dirty(), [(1, 1, false)]);
    // Without a beginning an end means nothing.
    s.end(0, 4);
    assert_eq!(s.dirty(), [(1, 1, false)]);
    s.begin(1, 1);
    s.end(1, 1);
    assert_eq!((s.dirty(), byte(&s.vmo, 1)), (vec![], 3));
    // Trapped anew, if that is wanted.
    let s = service(TRAP, 1);
    s.supply(0, 1, 1);
    assert_eq!(s.op(PagerOp::Dirty, 0, 1), Ok(()));
    assert_eq!(s.vmo.write(0, &[1]), Ok(()));
    s.begin(0, 1);
    assert_eq!(s.vmo.write(0, &[1]), Err(Error::ShouldWait));
}

#[test]
fn growth_is_zero_and_dirty_without_the_service() {
    let s = service(RESIZABLE | TRAP, 2);
    s.supply(0, 2, 1);
    s.vmo.set_size(6 * PAGE).unwrap();
    assert!(s.modified(true));
    assert_eq!(s.dirty(), [(2, 4, true)]);
    assert_eq!([1, 2, 5].map(|page| byte(&s.vmo, page)), [1, 0, 0]);
    assert_eq!((s.dirty(), s.request()), (vec![(2, 4, true)], None));
    // What is written needs a place at the service's.
    let mut write = writing(&s.vmo, 3, 1);
    assert_eq!(poll(&mut write), None);
    assert_eq!(s.request(), Some((PageCommand::Dirty, 3, 1)));
    // Zero counts as there: it is not replaced, and can become dirty.
    s.supply(2, 4, 9);
    assert_eq!(byte(&s.vmo, 4), 0);
    assert_eq!(s.op(PagerOp::Dirty, 3, 1), Ok(()));
    assert_eq!(poll(&mut write), Some(Ok(())));
    assert_eq!(s.dirty(), [(2, 1, true), (3, 1, false), (4, 2, true)]);
    // Only what is still zero is written back as zeroes.
    assert_eq!(s.op(PagerOp::WritebackBegin { only_zero: true }, 2, 4), Ok(()));
    s.end(2, 4);
    assert_eq!(s.dirty(), [(3, 1, false)]);
    // Those that were never read are the service's now.
    assert_eq!(byte(&s.vmo, 2), 0);
    let grown = service(RESIZABLE, 0);
    grown.vmo.set_size(PAGE).unwrap();
    grown.begin(0, 1);
    grown.end(0, 1);
    let mut read = reading(&grown.vmo, 0);
    assert_eq!(poll(&mut read), None);
    assert_eq!(grown.request(), Some((PageCommand::Read, 0, 1)));
}

#[test]
fn zero_pages_that_two_make_dirty_at_once_get_one_place_each() {
    const PAGES: u64 = 16;
    for round in 0..300 {
        let s = service(TRAP | RESIZABLE, 0);
        assert_eq!(s.vmo.set_size(PAGES * PAGE), Ok(()));
        let start = std::sync::Barrier::new(2);
        let each = |who: u64| {
            start.wait();
            assert_eq!(s.op(PagerOp::Dirty, 0, PAGES), Ok(()));
            for page in 0..PAGES {
                assert_eq!(s.vmo.write(page * PAGE + who, &[who as u8 + 1]), Ok(()));
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| each(0));
            each(1);
        });
        for page in 0..PAGES {
            let mut bytes = [0; 2];
            assert_eq!(s.vmo.read(page * PAGE, &mut bytes), Ok(()));
            assert_eq!(bytes, [1, 2], "round {round}, page {page}: nobody's write is lost");
        }
        assert_eq!(s.memory.committed(), PAGES * PAGE);
    }
}

#[test]
fn shrinking_forgets_pages_and_ends_the_waits_for_them() {
    let s = service(RESIZABLE, 4);
    s.supply(0, 2, 1);
    s.vmo.write(PAGE, &[2]).unwrap();
    let mut cut = reading(&s.vmo, 3);
    let mut kept = reading(&s.vmo, 2);
    assert_eq!((poll(&mut cut), poll(&mut kept)), (None, None));
    s.vmo.set_size(3 * PAGE).unwrap();
    assert_eq!(poll(&mut cut), Some(Err(Error::OutOfRange)));
    assert_eq!(poll(&mut kept), None);
    s.vmo.set_size(PAGE).unwrap();
    assert_eq!(s.dirty(), []);
    // A request may have pages on both sides.
    s.vmo.set_size(4 * PAGE).unwrap();
    assert_eq!(poll(&mut kept), Some(Ok(0)));
    assert_eq!((s.dirty(), byte(&s.vmo, 1)), (vec![(1, 3, true)], 0));
}

#[test]
fn a_new_end_inside_a_page_zeroes_the_rest_of_it() {
    let s = service(RESIZABLE | TRAP, 2);
    assert_eq!(s.vmo.set_size(100), Err(Error::ShouldWait));
    assert_eq!(s.vmo.size(), 2 * PAGE);
    let vmo = s.vmo.clone();
    let mut resize = async { vmo.set_size_async(100).await }.boxed();
    assert_eq!(poll(&mut resize), None);
    assert_eq!(s.request(), Some((PageCommand::Read, 0, 1)));
    s.supply(0, 1, 1);
    assert_eq!(poll(&mut resize), None);
    assert_eq!(s.request(), Some((PageCommand::Dirty, 0, 1)));
    assert_eq!(s.op(PagerOp::Dirty, 0, 1), Ok(()));
    assert_eq!(poll(&mut resize), Some(Ok(())));
    let mut bytes = [9; 102];
    s.vmo.read(0, &mut bytes).unwrap();
    assert_eq!((bytes[99], bytes[100], s.vmo.size()), (1, 0, PAGE));
    assert_eq!(s.dirty(), [(0, 1, false)]);
    // At a page's border there is nothing to zero.
    let s = service(RESIZABLE | TRAP, 2);
    assert_eq!(s.vmo.set_size(PAGE), Ok(()));
}

#[test]
fn zeroing_whole_pages_asks_nobody_and_parts_of_them_do() {
    let s = service(TRAP, 6);
    s.supply(1, 2, 1);
    assert_eq!(s.op(PagerOp::Dirty, 1, 1), Ok(()));
    let mut read = reading(&s.vmo, 4);
    assert_eq!(poll(&mut read), None);
    assert_eq!(s.request(), Some((PageCommand::Read, 4, 1)));
    assert_eq!(s.vmo.op_range(RangeOp::Zero, PAGE, 4 * PAGE), Ok(()));
    assert_eq!(poll(&mut read), Some(Ok(0)));
    assert_eq!((s.dirty(), s.modified(true)), (vec![(1, 4, true)], true));
    assert_eq!([1, 2, 3].map(|page| byte(&s.vmo, page)), [0; 3]);
    // A pinned page stays where it is, and a device may write to it.
    let pin = s.vmo.pin(2 * PAGE, PAGE).unwrap();
    s.memory.write(pin.runs()[0].0, &[4]);
    assert_eq!(s.vmo.op_range(RangeOp::Zero, PAGE, 4 * PAGE), Ok(()));
    assert_eq!((s.dirty(), byte(&s.vmo, 2)), (vec![(1, 1, true), (2, 1, false), (3, 2, true)], 0));
    drop(pin);
    assert_eq!(s.vmo.op_range(RangeOp::Zero, PAGE, 4 * PAGE), Ok(()));
    // Zero already: no part of it needs anybody either.
    assert_eq!(s.vmo.op_range(RangeOp::Zero, PAGE + 1, 1), Ok(()));
    assert_eq!(s.dirty(), [(1, 4, true)]);
    let vmo = s.vmo.clone();
    let mut zero = async { vmo.op_range_async(RangeOp::Zero, 100, 6 * PAGE - 200).await }.boxed();
    for page in [0, 5] {
        assert_eq!(poll(&mut zero), None);
        assert_eq!(s.request(), Some((PageCommand::Read, page, 1)));
        s.supply(page, 1, 3);
        assert_eq!(poll(&mut zero), None);
        assert_eq!(s.request(), Some((PageCommand::Dirty, page, 1)));
        assert_eq!(s.op(PagerOp::Dirty, page, 1), Ok(()));
    }
    assert_eq!(poll(&mut zero), Some(Ok(())));
    let mut bytes = vec![0; 6 * PAGE_SIZE];
    s.vmo.read(0, &mut bytes).unwrap();
    let expected = |at| if (100..6 * PAGE_SIZE - 100).contains(&at) { 0 } else { 3 };
    assert!(bytes.iter().enumerate().all(|(at, &byte)| byte == expected(at)));
    assert_eq!(s.dirty(), [(0, 1, false), (1, 4, true), (5, 1, false)]);
}

#[test]
fn faults_wait_and_writes_through_mappings_are_noted() {
    let s = service(TRAP, 4);
    let (vmar, va) = mapped(&s);
    let mut fault = touching(&vmar, va + PAGE, Access::Write);
    assert_eq!(poll(&mut fault), None);
    assert_eq!(s.request(), Some((PageCommand::Read, 1, 1)));
    s.supply(0, 4, 1);
    assert_eq!(poll(&mut fault), None);
    assert_eq!(s.request(), Some((PageCommand::Dirty, 1, 1)));
    // What can be read cannot be written to.
    assert_eq!(block_on(touching(&vmar, va + PAGE, Access::Read)), Ok(()));
    assert!(vmar.aspace().write(va + PAGE, &[5]).is_err());
    assert_eq!((s.dirty(), s.modified(false)), (vec![], false));
    assert_eq!(s.op(PagerOp::Dirty, 1, 1), Ok(()));
    assert_eq!(poll(&mut fault), Some(Ok(())));
    assert_eq!((s.dirty(), s.modified(true)), (vec![(1, 1, false)], true));
    vmar.aspace().write(va + PAGE, &[5]).unwrap();
    assert_eq!(byte(&s.vmo, 1), 5);
    // From the beginning of a writeback on, mappings are caught again.
    s.begin(0, 4);
    assert!(vmar.aspace().write(va + PAGE, &[6]).is_err());
    let mut read = [0];
    vmar.aspace().read(va + PAGE, &mut read).unwrap();
    assert_eq!(read, [5]);
    let mut fault = touching(&vmar, va + PAGE, Access::Write);
    assert_eq!(poll(&mut fault), None);
    assert_eq!(s.request(), Some((PageCommand::Dirty, 1, 1)));
    assert_eq!(s.op(PagerOp::Fail(Error::Io), 1, 1), Ok(()));
    assert_eq!(poll(&mut fault), Some(Err(Error::Io)));
    // Giving a mapping back its permissions does not get around that.
    use hal::aspace::Prot;
    vmar.protect(va, 4 * PAGE, Prot::READ).unwrap();
    vmar.protect(va, 4 * PAGE, Prot::READ | Prot::WRITE).unwrap();
    assert!(vmar.aspace().write(va + PAGE, &[6]).is_err());
    assert!(vmar.aspace().write(va, &[6]).is_err());
}

#[test]
fn an_untrapped_mapping_notes_the_first_write_to_each_page() {
    let s = service(NONE, 4);
    let (vmar, va) = mapped(&s);
    s.supply(0, 4, 1);
    assert_eq!(block_on(touching(&vmar, va, Access::Read)), Ok(()));
    assert_eq!(vmar.write(va + 2 * PAGE, &[2]), Ok(()));
    assert_eq!((s.dirty(), s.modified(true)), (vec![(2, 1, false)], true));
    s.begin(0, 4);
    assert_eq!(vmar.write(va + 2 * PAGE + 1, &[2]), Ok(()));
    assert!(s.modified(false));
    s.end(0, 4);
    assert_eq!(s.dirty(), [(2, 1, false)]);
    // Zeroed pages are gone from mappings.
    s.vmo.op_range(RangeOp::Zero, 0, 4 * PAGE).unwrap();
    let mut byte = [1];
    assert_eq!(vmar.read(va + 2 * PAGE, &mut byte), Ok(()));
    assert_eq!((byte, s.dirty()), ([0], vec![(0, 4, true)]));
    assert_eq!(vmar.write(va + 2 * PAGE, &[7]), Ok(()));
    assert_eq!(s.dirty(), [(0, 2, true), (2, 1, false), (3, 1, true)]);
}

#[test]
fn reclaiming_takes_clean_pages_alone_and_dirty_waits_go_back_to_reading() {
    use hal::pmem::Reclaim;
    let s = service(TRAP, 4);
    s.supply(0, 4, 1);
    assert_eq!(s.op(PagerOp::Dirty, 1, 2), Ok(()));
    s.begin(2, 1);
    let mut write = writing(&s.vmo, 0, 1);
    assert_eq!(poll(&mut write), None);
    assert_eq!(s.request(), Some((PageCommand::Dirty, 0, 1)));
    assert!(!s.vmo.reclaim(&(0..4 * PAGE), false));
    assert_eq!(s.vmo.committed(0..4 * PAGE), vec![PAGE..3 * PAGE]);
    assert_eq!(s.op(PagerOp::Dirty, 0, 1), Err(Error::NotFound));
    assert_eq!(poll(&mut write), None);
    assert_eq!(s.request(), Some((PageCommand::Read, 0, 1)));
    s.supply(0, 1, 1);
    assert_eq!(poll(&mut write), None);
    assert_eq!(s.op(PagerOp::Dirty, 0, 1), Ok(()));
    assert_eq!(poll(&mut write), Some(Ok(())));
    s.begin(0, 4);
    s.end(0, 4);
    assert!(s.vmo.reclaim(&(0..4 * PAGE), false));
    assert!(s.vmo.committed(0..4 * PAGE).is_empty());
}
