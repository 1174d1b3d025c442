//! Tests of pagers: requests, supplies, failures, clones, ends.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures::{FutureExt, executor::block_on};
use hal::aspace::{Access, AddressSpace};

use super::*;
use crate::{
    Handle, MapArgs, Vmar, VmoOptions,
    port::{PageCommand, PageRequestPacket, Payload},
    vmo::{ChildOptions, RangeOp},
};

pub(super) const PAGE: u64 = PAGE_SIZE as u64;
const NONE: PagerVmoOptions = PagerVmoOptions::empty();
const TRAP: PagerVmoOptions = PagerVmoOptions::TRAP_DIRTY;
const RESIZABLE: PagerVmoOptions = PagerVmoOptions::RESIZABLE;

mod dirty;
mod streams;

/// A pager, its port and one VMO of it.
pub(super) struct Service {
    pub(super) memory: Arc<PhysicalMemory>,
    pub(super) pager: Arc<Pager>,
    pub(super) port: Arc<Port>,
    pub(super) vmo: Arc<Vmo>,
}

pub(super) fn service(options: PagerVmoOptions, pages: u64) -> Service {
    limited(None, options, pages)
}

fn limited(limit: Option<u64>, options: PagerVmoOptions, pages: u64) -> Service {
    let memory = PhysicalMemory::new(limit).unwrap();
    let (pager, port) = (Pager::create(), Port::create());
    let vmo = pager.create_vmo(&memory, options, &port, 9, pages * PAGE).unwrap();
    Service { memory, pager, port, vmo }
}

impl Service {
    /// The next request, in pages, if there is one.
    fn request(&self) -> Option<(PageCommand, u64, u64)> {
        let packet = self.port.try_wait().ok()?;
        assert_eq!((packet.key, packet.status), (9, 0));
        let Payload::PageRequest(PageRequestPacket { command, offset, length }) = packet.payload
        else {
            panic!("not a request: {packet:?}");
        };
        assert!(offset.is_multiple_of(PAGE) && length.is_multiple_of(PAGE));
        Some((command, offset / PAGE, length / PAGE))
    }

    pub(super) fn aux(&self, pages: u64, byte: u8) -> Arc<Vmo> {
        let aux = Vmo::create(&self.memory, pages * PAGE, VmoOptions::default()).unwrap();
        aux.write(0, &vec![byte; (pages * PAGE) as usize]).unwrap();
        aux
    }

    /// Supplies pages full of `byte`.
    fn supply(&self, page: u64, pages: u64, byte: u8) {
        let aux = self.aux(pages, byte);
        assert_eq!(self.pager.supply_pages(&self.vmo, page * PAGE, pages * PAGE, &aux, 0), Ok(()));
    }

    pub(super) fn op(&self, op: PagerOp, page: u64, pages: u64) -> Result {
        self.pager.op_range(op, &self.vmo, page * PAGE, pages * PAGE)
    }

    fn begin(&self, page: u64, pages: u64) {
        assert_eq!(self.op(PagerOp::WritebackBegin { only_zero: false }, page, pages), Ok(()));
    }

    fn end(&self, page: u64, pages: u64) {
        assert_eq!(self.op(PagerOp::WritebackEnd, page, pages), Ok(()));
    }

    /// What is dirty: first page, pages, whether they are zero.
    pub(super) fn dirty(&self) -> Vec<(u64, u64, bool)> {
        let ranges = self.pager.query_dirty_ranges(&self.vmo, 0, self.vmo.size()).unwrap();
        ranges.iter().map(|r| (r.offset / PAGE, r.length / PAGE, r.is_zero)).collect()
    }

    pub(super) fn modified(&self, reset: bool) -> bool {
        self.pager.query_vmo_stats(&self.vmo, reset).unwrap().modified
    }

    pub(super) fn waiting(&self) -> usize {
        self.pager.requests(&self.vmo).unwrap().waiting()
    }
}

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Option<F::Output> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A task that reads the first byte of a page.
pub(super) fn reading(
    vmo: &Arc<Vmo>,
    page: u64,
) -> Pin<Box<dyn Future<Output = Result<u8>> + Send>> {
    let vmo = vmo.clone();
    async move {
        let mut byte = [0];
        vmo.read_async(page * PAGE, &mut byte).await.map(|()| byte[0])
    }
    .boxed()
}

/// A task that writes whole pages.
fn writing(vmo: &Arc<Vmo>, page: u64, pages: u64) -> Pin<Box<dyn Future<Output = Result> + Send>> {
    let vmo = vmo.clone();
    async move { vmo.write_async(page * PAGE, &vec![0x77; (pages * PAGE) as usize]).await }.boxed()
}

fn byte(vmo: &Vmo, page: u64) -> u8 {
    let mut byte = [0];
    vmo.read(page * PAGE, &mut byte).unwrap();
    byte[0]
}

/// Reads a page of a mapping.
fn touching(
    vmar: &Arc<Vmar>,
    va: u64,
    access: Access,
) -> Pin<Box<dyn Future<Output = Result> + Send>> {
    let vmar = vmar.clone();
    async move { vmar.fault_async(va, access).await }.boxed()
}

pub(super) fn mapped(service: &Service) -> (Arc<Vmar>, u64) {
    let aspace = AddressSpace::new(&service.memory).unwrap();
    let vmar = Vmar::create_root(&aspace).unwrap();
    let va = vmar.map(MapArgs::new(service.vmo.clone(), service.vmo.size())).unwrap();
    (vmar, va)
}

#[test]
fn a_read_waits_for_the_missing_pages_in_one_request() {
    let s = service(NONE, 8);
    assert!(s.vmo.is_pager_backed());
    assert_eq!(s.vmo.read(0, &mut [0]), Err(Error::ShouldWait));
    assert_eq!(s.request(), None);
    let vmo = s.vmo.clone();
    let mut buf = vec![0; 4 * PAGE_SIZE];
    let mut read = async { vmo.read_async(PAGE + 100, &mut buf).await }.boxed();
    assert_eq!(poll(&mut read), None);
    assert_eq!(s.request(), Some((PageCommand::Read, 1, 5)));
    // A part does not end the request; the rest does.
    s.supply(1, 2, 1);
    assert_eq!(poll(&mut read), None);
    assert_eq!(s.request(), None);
    s.supply(2, 4, 2);
    assert_eq!(poll(&mut read), Some(Ok(())));
    drop(read);
    assert_eq!((buf[0], buf[2 * PAGE_SIZE - 101], buf[2 * PAGE_SIZE - 100]), (1, 1, 2));
    assert_eq!((s.waiting(), s.request()), (0, None));
    // What is there needs no request.
    assert_eq!(block_on(reading(&s.vmo, 5)), Ok(2));
}

#[test]
fn who_lacks_the_same_pages_waits_for_the_same_request() {
    let s = service(NONE, 16);
    let mut first = writing(&s.vmo, 4, 5);
    assert_eq!(poll(&mut first), None);
    let mut second = writing(&s.vmo, 2, 7);
    assert_eq!(poll(&mut second), None);
    let mut third = reading(&s.vmo, 6);
    assert_eq!(poll(&mut third), None);
    assert_eq!(s.request(), Some((PageCommand::Read, 4, 5)));
    assert_eq!(s.request(), Some((PageCommand::Read, 2, 2)));
    assert_eq!((s.request(), s.waiting()), (None, 3));
    s.supply(4, 5, 3);
    assert_eq!(poll(&mut third), Some(Ok(3)));
    assert_eq!(poll(&mut first), Some(Ok(())));
    assert_eq!(poll(&mut second), None);
    s.supply(2, 2, 3);
    assert_eq!(poll(&mut second), Some(Ok(())));
    assert_eq!((s.request(), s.waiting()), (None, 0));
}

#[test]
fn a_dropped_waiter_leaves_and_the_last_takes_the_request_back() {
    let s = service(NONE, 4);
    let mut first = reading(&s.vmo, 1);
    let mut second = reading(&s.vmo, 1);
    assert_eq!((poll(&mut first), poll(&mut second)), (None, None));
    assert_eq!((s.waiting(), s.port.len()), (2, 1));
    drop(first);
    assert_eq!((s.waiting(), s.port.len()), (1, 1));
    drop(second);
    assert_eq!((s.waiting(), s.port.len()), (0, 0));
    assert_eq!(s.request(), None);
    // It can be asked for again, also if the service has read the request by then.
    let mut third = reading(&s.vmo, 1);
    assert_eq!(poll(&mut third), None);
    assert_eq!(s.request(), Some((PageCommand::Read, 1, 1)));
    drop(third);
    let mut fourth = reading(&s.vmo, 1);
    assert_eq!(poll(&mut fourth), None);
    assert_eq!(s.request(), Some((PageCommand::Read, 1, 1)));
    s.supply(1, 1, 5);
    assert_eq!(poll(&mut fourth), Some(Ok(5)));
}

#[test]
fn supplying_moves_pages_and_replaces_none() {
    let s = service(NONE, 8);
    s.supply(2, 1, 1);
    let aux = s.aux(4, 7);
    // A page that was never touched is zero.
    aux.decommit(2 * PAGE..3 * PAGE);
    assert_eq!(s.pager.supply_pages(&s.vmo, PAGE, 3 * PAGE, &aux, PAGE), Ok(()));
    assert_eq!([1, 2, 3].map(|page| byte(&s.vmo, page)), [7, 1, 7]);
    assert_eq!(aux.committed(0..4 * PAGE), vec![0..PAGE]);
    assert_eq!(byte(&aux, 1), 0);
    let hole = s.aux(1, 9);
    hole.decommit(0..PAGE);
    assert_eq!(s.pager.supply_pages(&s.vmo, 6 * PAGE, PAGE, &hole, 0), Ok(()));
    assert_eq!(byte(&s.vmo, 6), 0);
    assert!(s.dirty().is_empty() && !s.modified(false));
}

#[test]
fn long_runs_are_moved_as_they_lie_and_short_ones_copied() {
    let s = service(NONE, 64);
    let place = |vmo: &Vmo, page: u64| vmo.resolve_run(page * PAGE, false, PAGE).unwrap().pa;
    let aux = s.aux(64, 3);
    let (from, short) = (place(&aux, 8), place(&aux, 40));
    let held = s.memory.committed();
    // Some are there already: those stay, and what was meant for them is freed.
    s.supply(4, 2, 9);
    let supplied = s.pager.supply_pages(&s.vmo, 0, 32 * PAGE, &aux, 2 * PAGE);
    assert_eq!(supplied, Ok(()));
    let shown: Vec<u8> = (0..32).map(|page| byte(&s.vmo, page)).collect();
    let mut expected = vec![3; 32];
    expected[4..6].fill(9);
    assert_eq!(shown, expected);
    assert_eq!(place(&s.vmo, 6), from, "26 of them as they lay");
    assert_eq!(s.memory.committed(), held);
    assert_eq!(s.pager.supply_pages(&s.vmo, 40 * PAGE, 8 * PAGE, &aux, 40 * PAGE), Ok(()));
    assert_ne!(place(&s.vmo, 40), short);
    assert_eq!((byte(&s.vmo, 47), s.memory.committed()), (3, held));
    // What was given away is zero and can be used again, and is another's no more.
    assert_eq!((byte(&aux, 2), byte(&aux, 33), byte(&aux, 34)), (0, 0, 3));
    assert_eq!((byte(&aux, 1), byte(&aux, 40), byte(&aux, 48)), (3, 0, 3));
    aux.write(0, &vec![5; 64 * PAGE_SIZE]).unwrap();
    assert_eq!((byte(&s.vmo, 0), byte(&s.vmo, 31), byte(&s.vmo, 47)), (3, 3, 3));
    s.vmo.write(31 * PAGE, &[8]).unwrap();
    assert_eq!((byte(&aux, 33), s.dirty()), (5, vec![(31, 1, false)]));
    assert_eq!(s.memory.cached_content(), 40 * PAGE);
    drop((s.vmo, aux));
    assert_eq!(s.memory.cached_content(), 0);
}

#[test]
fn what_is_written_to_the_source_after_its_pages_moved_does_not_arrive() {
    for _ in 0..100 {
        let s = service(NONE, 16);
        let aux = s.aux(16, 1);
        let (vmar, va) = {
            let aspace = AddressSpace::new(&s.memory).unwrap();
            let vmar = Vmar::create_root(&aspace).unwrap();
            (vmar.clone(), vmar.map(MapArgs::new(s.vmo.clone(), 16 * PAGE)).unwrap())
        };
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for value in 1_u64.. {
                    aux.write(0, &value.to_ne_bytes()).unwrap();
                    if done.load(std::sync::atomic::Ordering::Relaxed) {
                        return;
                    }
                }
            });
            let supplied = s.pager.supply_pages(&s.vmo, 0, 16 * PAGE, &aux, 0);
            let (mut first, mut then, mut mapped) = ([0; 8], [0; 8], [0; 8]);
            s.vmo.read(0, &mut first).unwrap();
            std::thread::yield_now();
            s.vmo.read(0, &mut then).unwrap();
            vmar.read(va, &mut mapped).unwrap();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!((supplied, first, first), (Ok(()), then, mapped));
        });
    }
}

#[test]
fn supplying_refuses_what_it_documents() {
    let s = service(NONE, 8);
    let aux = s.aux(4, 1);
    let supply =
        |vmo: &Vmo, offset, len, aux: &Vmo, from| s.pager.supply_pages(vmo, offset, len, aux, from);
    for (offset, len, from) in [(1, PAGE, 0), (0, 1, 0), (0, PAGE, 1)] {
        assert_eq!(supply(&s.vmo, offset, len, &aux, from), Err(Error::InvalidArgs));
    }
    assert_eq!(supply(&aux, 0, PAGE, &aux, 0), Err(Error::InvalidArgs));
    let other = service(NONE, 1);
    assert_eq!(supply(&other.vmo, 0, PAGE, &aux, 0), Err(Error::InvalidArgs));
    assert_eq!(supply(&s.vmo, 8 * PAGE, PAGE, &aux, 0), Err(Error::OutOfRange));
    assert_eq!(supply(&s.vmo, 0, 5 * PAGE, &aux, 0), Err(Error::OutOfRange));
    assert_eq!(supply(&s.vmo, 0, PAGE, &aux, 4 * PAGE), Err(Error::OutOfRange));
    assert_eq!(supply(&s.vmo, 0u64.wrapping_sub(PAGE), 2 * PAGE, &aux, 0), Err(Error::OutOfRange));
    // What cannot give its pages away.
    let child = aux.create_child(ChildOptions::SLICE, 0, PAGE).unwrap();
    assert_eq!(supply(&s.vmo, 0, PAGE, &aux, 0), Err(Error::BadState));
    assert_eq!(supply(&s.vmo, 0, PAGE, &child, 0), Err(Error::BadState));
    drop(child);
    assert_eq!(supply(&s.vmo, 0, PAGE, &s.vmo, 0), Err(Error::BadState));
    let vmar = Vmar::create_root(&AddressSpace::new(&s.memory).unwrap()).unwrap();
    let va = vmar.map(MapArgs::new(aux.clone(), PAGE)).unwrap();
    assert_eq!(supply(&s.vmo, 0, PAGE, &aux, 0), Err(Error::BadState));
    vmar.unmap(va, PAGE).unwrap();
    let pin = aux.pin(0, PAGE).unwrap();
    assert_eq!(supply(&s.vmo, 0, PAGE, &aux, 0), Err(Error::BadState));
    drop(pin);
    let contiguous = Vmo::create_contiguous(&s.memory, PAGE, 0).unwrap();
    assert_eq!(supply(&s.vmo, 0, PAGE, &contiguous, 0), Err(Error::BadState));
    let machine = crate::resource::ResourceSpace::new();
    let device = machine.add_device_memory(s.memory.allocate(PAGE_SIZE).unwrap());
    let physical = Vmo::create_physical(&machine.root(), device.base().0, PAGE).unwrap();
    assert_eq!(supply(&s.vmo, 0, PAGE, &physical, 0), Err(Error::NotSupported));
    assert_eq!(byte(&aux, 0), 1);
    assert_eq!(supply(&s.vmo, 0, PAGE, &aux, 0), Ok(()));
    assert_eq!(s.pager.detach_vmo(&s.vmo), Ok(()));
    assert_eq!(supply(&s.vmo, PAGE, PAGE, &aux, PAGE), Err(Error::BadState));
}

#[test]
fn supplying_needs_memory_that_dirty_pages_may_have_taken() {
    // A megabyte may be cached at least.
    let s = limited(Some(1 << 20), NONE, 1024);
    s.supply(0, 256, 1);
    // Clean pages make room.
    s.supply(256, 128, 2);
    assert!(s.memory.cached_content() <= 1 << 20);
    let mut read = reading(&s.vmo, 0);
    assert_eq!(poll(&mut read), None);
    drop(read);
    for page in 300..384 {
        assert_eq!(s.vmo.write(page * PAGE, &[3]), Ok(()));
    }
    assert_eq!(s.op(PagerOp::Dirty, 256, 128), Ok(()));
    s.supply(0, 128, 1);
    assert_eq!(s.op(PagerOp::Dirty, 0, 128), Ok(()));
    let aux = s.aux(1, 4);
    let supply = || s.pager.supply_pages(&s.vmo, 600 * PAGE, PAGE, &aux, 0);
    assert_eq!(supply(), Err(Error::NoMemory));
    s.begin(0, 1024);
    assert_eq!(supply(), Err(Error::NoMemory));
    s.end(0, 1024);
    assert_eq!(supply(), Ok(()));
    assert_eq!(byte(&s.vmo, 600), 4);
}

#[test]
fn failed_requests_end_with_the_error() {
    let s = service(TRAP, 8);
    let mut many = writing(&s.vmo, 1, 4);
    let mut one = reading(&s.vmo, 6);
    assert_eq!((poll(&mut many), poll(&mut one)), (None, None));
    // No page is not, and one of a request is enough.
    assert_eq!(s.op(PagerOp::Fail(Error::Io), 2, 0), Ok(()));
    assert_eq!((poll(&mut many), s.waiting()), (None, 2));
    assert_eq!(s.op(PagerOp::Fail(Error::IoDataIntegrity), 4, 2), Ok(()));
    assert_eq!(poll(&mut many), Some(Err(Error::IoDataIntegrity)));
    assert_eq!(poll(&mut one), None);
    s.supply(0, 8, 1);
    assert_eq!(poll(&mut one), Some(Ok(1)));
    let mut write = writing(&s.vmo, 2, 1);
    assert_eq!(poll(&mut write), None);
    assert_eq!(s.op(PagerOp::Fail(Error::NoSpace), 2, 1), Ok(()));
    assert_eq!(poll(&mut write), Some(Err(Error::NoSpace)));
    assert_eq!((byte(&s.vmo, 2), s.dirty()), (1, vec![]));
    // Nobody waits.
    assert_eq!(s.op(PagerOp::Fail(Error::Io), 0, 8), Ok(()));
    assert_eq!((s.request(), s.waiting()), (None, 0));
}

#[test]
fn operations_refuse_what_they_document() {
    let s = service(TRAP, 8);
    s.supply(0, 4, 1);
    let ops = [
        PagerOp::Fail(Error::Io),
        PagerOp::Dirty,
        PagerOp::WritebackBegin { only_zero: false },
        PagerOp::WritebackBegin { only_zero: true },
        PagerOp::WritebackEnd,
    ];
    let other = service(NONE, 8);
    let child = s.vmo.create_private(0, PAGE, false).unwrap();
    for op in ops {
        let at = |vmo: &Vmo, offset, len| s.pager.op_range(op, vmo, offset, len);
        assert_eq!(at(&other.vmo, 0, PAGE), Err(Error::InvalidArgs));
        assert_eq!(at(&child, 0, PAGE), Err(Error::InvalidArgs));
        assert_eq!(at(&s.vmo, 1, PAGE), Err(Error::InvalidArgs));
        assert_eq!(at(&s.vmo, 0, 1), Err(Error::InvalidArgs));
        assert_eq!(at(&s.vmo, 0, 9 * PAGE), Err(Error::OutOfRange), "{op:?}");
        assert_eq!(at(&s.vmo, 0u64.wrapping_sub(PAGE), 2 * PAGE), Err(Error::OutOfRange));
        assert_eq!(at(&s.vmo, 0, 4 * PAGE), Ok(()));
        assert_eq!(at(&s.vmo, 8 * PAGE, 0), Ok(()));
    }
    assert_eq!(s.op(PagerOp::Dirty, 3, 2), Err(Error::NotFound));
    for error in Error::ALL {
        use Error::*;
        let allowed = matches!(error, Io | IoDataIntegrity | BadState | NoSpace | BufferTooSmall);
        let expected = if allowed { Ok(()) } else { Err(InvalidArgs) };
        assert_eq!(s.op(PagerOp::Fail(*error), 0, 1), expected);
    }
    assert_eq!(s.pager.detach_vmo(&s.vmo), Ok(()));
    assert_eq!(s.op(PagerOp::Fail(Error::Io), 0, 1), Err(Error::BadState));
    assert_eq!(s.op(PagerOp::Dirty, 0, 1), Err(Error::BadState));
    assert_eq!(s.op(PagerOp::WritebackBegin { only_zero: false }, 0, 1), Ok(()));
    assert_eq!(s.op(PagerOp::WritebackEnd, 0, 1), Ok(()));
}

#[test]
fn operations_have_zircons_numbers() {
    let io = Error::Io.status() as i64 as u64;
    assert_eq!(PagerOp::from_raw(1, io), Ok(PagerOp::Fail(Error::Io)));
    assert_eq!(PagerOp::from_raw(2, 0), Ok(PagerOp::Dirty));
    let begin = |only_zero| Ok(PagerOp::WritebackBegin { only_zero });
    assert_eq!(PagerOp::from_raw(3, 0), begin(false));
    assert_eq!(PagerOp::from_raw(3, 1), begin(true));
    assert_eq!(PagerOp::from_raw(4, 0), Ok(PagerOp::WritebackEnd));
    for op in [0, 5, u32::MAX] {
        assert_eq!(PagerOp::from_raw(op, 0), Err(Error::NotSupported));
    }
    let not_allowed = Error::NoMemory.status() as i64 as u64;
    let not_extended = u64::from(Error::Io.status() as u32);
    for (op, data) in [(1, 0), (1, not_allowed), (1, not_extended), (2, 1), (3, 2), (4, 1)] {
        assert_eq!(PagerOp::from_raw(op, data), Err(Error::InvalidArgs), "{op} {data:#x}");
    }
    let commands = [PageCommand::Read, PageCommand::Complete, PageCommand::Dirty];
    assert_eq!(commands.map(|command| command as u16), [0, 1, 2]);
    let packet = PageRequestPacket { command: PageCommand::Read, offset: 0, length: 0 };
    assert_eq!(Payload::PageRequest(packet).packet_type(), 9);
    assert_eq!((RESIZABLE.bits(), TRAP.bits()), (2, 8));
}

#[test]
fn creating_refuses_unknown_options_and_absurd_sizes() {
    let s = service(NONE, 1);
    let create = |options, size| {
        s.pager.create_vmo(&s.memory, PagerVmoOptions::from_bits_retain(options), &s.port, 1, size)
    };
    // Discardable is no option here.
    for options in [1, 1 << 2, 1 << 4] {
        assert_eq!(create(options, PAGE).unwrap_err(), Error::InvalidArgs);
    }
    assert_eq!(create(0, u64::MAX).unwrap_err(), Error::OutOfRange);
    assert_eq!(s.request(), None, "there was none that could be complete");
    let vmo = create(0, 5000).unwrap();
    assert_eq!((vmo.size(), vmo.content_size()), (8192, 5000));
    assert_eq!(vmo.set_size(PAGE), Err(Error::Unavailable));
    assert_eq!(create(2, 0).unwrap().set_size(PAGE), Ok(()));
    s.pager.close();
    assert_eq!(create(0, PAGE).unwrap_err(), Error::BadState);
}

#[test]
fn clones_read_through_the_pager_and_keep_their_writes() {
    let s = service(TRAP, 4);
    let clone = s.vmo.create_private(PAGE, 3 * PAGE, false).unwrap();
    assert!(clone.is_pager_backed());
    let mut write = writing(&clone, 0, 1);
    assert_eq!(poll(&mut write), None);
    assert_eq!(s.request(), Some((PageCommand::Read, 1, 1)));
    s.supply(1, 1, 1);
    assert_eq!(poll(&mut write), Some(Ok(())));
    assert_eq!((byte(&clone, 0), byte(&s.vmo, 1)), (0x77, 1));
    assert_eq!((s.dirty(), s.modified(false), s.request()), (vec![], false, None));
    let mut read = reading(&clone, 2);
    assert_eq!(poll(&mut read), None);
    assert_eq!(s.request(), Some((PageCommand::Read, 3, 1)));
    s.supply(3, 1, 3);
    assert_eq!(poll(&mut read), Some(Ok(3)));
    // Reading across own pages asks for the others alone.
    let vmo = clone.clone();
    let mut buf = vec![0; 3 * PAGE_SIZE];
    let mut all = async { vmo.read_async(0, &mut buf).await }.boxed();
    assert_eq!(poll(&mut all), None);
    assert_eq!(s.request(), Some((PageCommand::Read, 2, 1)));
    s.supply(2, 1, 2);
    assert_eq!(poll(&mut all), Some(Ok(())));
    drop(all);
    assert_eq!([0, 1, 2].map(|page| buf[page * PAGE_SIZE]), [0x77, 2, 3]);
    // A slice is the VMO itself.
    let slice = s.vmo.create_child(ChildOptions::SLICE, 2 * PAGE, PAGE).unwrap();
    let mut write = writing(&slice, 0, 1);
    assert_eq!(poll(&mut write), None);
    assert_eq!(s.request(), Some((PageCommand::Dirty, 2, 1)));
    assert_eq!(s.op(PagerOp::Dirty, 2, 1), Ok(()));
    assert_eq!(poll(&mut write), Some(Ok(())));
    assert_eq!((s.dirty(), s.modified(true)), (vec![(2, 1, false)], true));
    // The page is known by now, and nobody has to be asked.
    assert!(!s.modified(false));
    assert_eq!((poll(&mut writing(&slice, 0, 1)), s.modified(true)), (Some(Ok(())), true));
    slice.op_range(RangeOp::Zero, 0, PAGE).unwrap();
    assert_eq!((s.dirty(), s.modified(true)), (vec![(2, 1, true)], true));
    assert_eq!(slice.op_range(RangeOp::Decommit, 0, PAGE), Err(Error::NotSupported));
}

#[test]
fn detaching_ends_waits_and_says_so_last() {
    let s = service(TRAP, 4);
    s.supply(0, 2, 1);
    assert_eq!(s.op(PagerOp::Dirty, 0, 1), Ok(()));
    let (vmar, va) = mapped(&s);
    let mut waits = [
        writing(&s.vmo, 0, 2),
        writing(&s.vmo, 2, 1),
        touching(&vmar, va + 3 * PAGE, Access::Read),
    ];
    assert!(waits.iter_mut().all(|wait| poll(wait).is_none()));
    assert_eq!(s.request(), Some((PageCommand::Dirty, 1, 1)));
    assert_eq!(s.pager.detach_vmo(&s.vmo), Ok(()));
    assert!(waits.iter_mut().all(|wait| poll(wait) == Some(Err(Error::BadState))));
    // Requests that nobody has read are gone.
    assert_eq!(s.request(), Some((PageCommand::Complete, 0, 0)));
    assert_eq!((s.pager.detach_vmo(&s.vmo), s.request()), (Ok(()), None));
    // Accesses that need nobody still succeed, others fail at once.
    assert_eq!(byte(&s.vmo, 1), 1);
    assert_eq!(s.vmo.write(0, &[4]), Ok(()));
    assert_eq!(s.vmo.write(PAGE, &[4]), Err(Error::BadState));
    assert_eq!(s.vmo.read(2 * PAGE, &mut [0]), Err(Error::BadState));
    assert_eq!(block_on(reading(&s.vmo, 2)), Err(Error::BadState));
    assert_eq!(block_on(touching(&vmar, va + 3 * PAGE, Access::Read)), Err(Error::BadState));
    // Dirty pages are written back after that.
    assert_eq!(s.dirty(), [(0, 1, false)]);
    s.begin(0, 1);
    s.end(0, 1);
    assert_eq!(s.dirty(), []);
    drop((waits, vmar));
    let Service { port, vmo, .. } = s;
    drop(vmo);
    assert!(port.is_empty());
}

#[test]
fn a_vmo_that_is_gone_sends_complete_and_leaves_its_pager() {
    let s = service(NONE, 4);
    let child = s.vmo.create_private(0, PAGE, false).unwrap();
    let Service { memory, pager, port, vmo } = s;
    drop(vmo);
    assert!(port.is_empty());
    drop(child);
    let packet = port.try_wait().unwrap();
    assert!(
        matches!(packet.payload, Payload::PageRequest(r) if r.command == PageCommand::Complete)
    );
    assert!(pager.inner.lock().vmos.is_empty());
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn closing_the_pager_ends_waits_without_a_word() {
    let s = service(NONE, 4);
    s.supply(0, 1, 1);
    let mut wait = reading(&s.vmo, 2);
    assert_eq!(poll(&mut wait), None);
    drop(Handle::new(s.pager.clone()));
    assert_eq!(poll(&mut wait), Some(Err(Error::BadState)));
    assert_eq!((byte(&s.vmo, 0), s.vmo.read(PAGE, &mut [0])), (1, Err(Error::BadState)));
    let Service { port, vmo, .. } = s;
    drop((vmo, wait));
    assert!(port.is_empty());
}

#[test]
fn closing_the_port_ends_what_nobody_has_read() {
    let s = service(NONE, 4);
    let mut read_by_service = reading(&s.vmo, 0);
    assert_eq!(poll(&mut read_by_service), None);
    assert_eq!(s.request(), Some((PageCommand::Read, 0, 1)));
    let mut unread = reading(&s.vmo, 1);
    assert_eq!(poll(&mut unread), None);
    s.port.on_zero_handles();
    assert_eq!(poll(&mut unread), Some(Err(Error::BadState)));
    assert_eq!(block_on(reading(&s.vmo, 2)), Err(Error::BadState));
    // The service may still answer what it has read.
    assert_eq!(poll(&mut read_by_service), None);
    s.supply(0, 1, 6);
    assert_eq!(poll(&mut read_by_service), Some(Ok(6)));
    // A port that is gone altogether is as one that is closed.
    let s = service(NONE, 4);
    let mut wait = reading(&s.vmo, 0);
    assert_eq!(poll(&mut wait), None);
    let Service { pager, port, vmo, .. } = s;
    drop(port);
    assert_eq!(poll(&mut wait), Some(Err(Error::BadState)));
    assert_eq!(block_on(reading(&vmo, 0)), Err(Error::BadState));
    drop(pager);
}
