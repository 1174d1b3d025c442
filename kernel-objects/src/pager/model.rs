//! A pager's VMO against a model that knows only single pages, and many tasks that fault at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use hal::{aspace::Access, pmem::Reclaim};
use proptest::prelude::*;

use super::{
    tests::{PAGE, Service, mapped, reading, service},
    *,
};
use crate::{
    port::{PageCommand, Payload},
    vmo::RangeOp,
};

/// Bytes are compared in cells of a quarter of a page: the first of each.
const CELL: u64 = PAGE / 4;
const PAGES: u64 = 10;

#[derive(Clone, Copy, Debug)]
enum Op {
    Supply { page: u64, pages: u64, value: u8 },
    Agree { page: u64, pages: u64 },
    Begin { page: u64, pages: u64, only_zero: bool },
    End { page: u64, pages: u64 },
    Write { cell: u64, cells: u64, value: u8 },
    Read { cell: u64, cells: u64 },
    Zero { cell: u64, cells: u64 },
    Resize { cells: u64 },
    Reclaim { page: u64, pages: u64 },
    Touch { cell: u64 },
    Store { cell: u64, value: u8 },
    Ask { reset: bool },
}

fn op() -> impl Strategy<Value = Op> {
    let pages = (0..PAGES + 2, 0..5u64);
    let cells = (0..PAGES * 4 + 4, 0..20u64);
    prop_oneof![
        4 => (pages.clone(), 1u8..90).prop_map(|((page, pages), value)| Op::Supply { page, pages, value }),
        3 => pages.clone().prop_map(|(page, pages)| Op::Agree { page, pages }),
        3 => (pages.clone(), any::<bool>()).prop_map(|((page, pages), only_zero)| Op::Begin { page, pages, only_zero }),
        3 => pages.clone().prop_map(|(page, pages)| Op::End { page, pages }),
        5 => (cells.clone(), 100u8..190).prop_map(|((cell, cells), value)| Op::Write { cell, cells, value }),
        3 => cells.clone().prop_map(|(cell, cells)| Op::Read { cell, cells }),
        3 => cells.prop_map(|(cell, cells)| Op::Zero { cell, cells }),
        2 => (0..PAGES * 4).prop_map(|cells| Op::Resize { cells }),
        2 => pages.prop_map(|(page, pages)| Op::Reclaim { page, pages: pages + 1 }),
        2 => (0..PAGES * 4).prop_map(|cell| Op::Touch { cell }),
        3 => ((0..PAGES * 4), 200u8..250).prop_map(|(cell, value)| Op::Store { cell, value }),
        2 => any::<bool>().prop_map(|reset| Op::Ask { reset }),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Missing,
    Clean([u8; 4]),
    Dirty([u8; 4]),
    AwaitingClean([u8; 4]),
    /// Not supplied, and whether it is being written back and has been read.
    Zero {
        awaiting: bool,
        read: bool,
    },
}

impl Page {
    /// Its cells; `None` if somebody has to be asked for them.
    fn cells(self) -> Option<[u8; 4]> {
        match self {
            Page::Missing => None,
            Page::Clean(cells) | Page::Dirty(cells) | Page::AwaitingClean(cells) => Some(cells),
            Page::Zero { .. } => Some([0; 4]),
        }
    }

    fn differs(self) -> Option<bool> {
        match self {
            Page::Missing | Page::Clean(_) => None,
            Page::Dirty(_) | Page::AwaitingClean(_) => Some(false),
            Page::Zero { .. } => Some(true),
        }
    }
}

struct Pair {
    service: Service,
    vmar: Arc<crate::Vmar>,
    va: u64,
    traps: bool,
    pages: Vec<Page>,
    /// `None` after a write through a mapping that may have been noticed or not.
    modified: Option<bool>,
}

impl Pair {
    fn new(traps: bool) -> Self {
        let mut options = PagerVmoOptions::RESIZABLE;
        options.set(PagerVmoOptions::TRAP_DIRTY, traps);
        let service = service(options, PAGES);
        let (vmar, va) = mapped(&service);
        let pages = vec![Page::Missing; PAGES as usize];
        Self { service, vmar, va, traps, pages, modified: Some(false) }
    }

    fn vmo(&self) -> &Arc<Vmo> {
        &self.service.vmo
    }

    fn size(&self) -> u64 {
        self.pages.len() as u64 * PAGE
    }

    fn in_range(&self, offset: u64, len: u64) -> Result {
        if offset + len <= self.size() { Ok(()) } else { Err(Error::OutOfRange) }
    }

    fn slice(&mut self, page: u64, pages: u64) -> &mut [Page] {
        &mut self.pages[page as usize..(page + pages) as usize]
    }

    /// Whether the page can be written to, which makes it dirty.
    fn write_page(&mut self, page: u64) -> Result<&mut [u8; 4]> {
        let traps = self.traps;
        let page = &mut self.pages[page as usize];
        match *page {
            Page::Missing => return Err(Error::ShouldWait),
            Page::Dirty(_) => {}
            _ if traps => return Err(Error::ShouldWait),
            other => *page = Page::Dirty(other.cells().unwrap_or_default()),
        }
        match page {
            Page::Dirty(cells) => Ok(cells),
            _ => unreachable!(),
        }
    }

    fn write(&mut self, cell: u64, cells: u64, value: u8) -> Result {
        self.in_range(cell * CELL, cells * CELL)?;
        for cell in cell..cell + cells {
            self.write_page(cell / 4)?[(cell % 4) as usize] = value;
            self.modified = Some(true);
        }
        Ok(())
    }

    fn read_page(&mut self, page: u64) -> Result<[u8; 4]> {
        let page = &mut self.pages[page as usize];
        if let Page::Zero { read, .. } = page {
            *read = true;
        }
        page.cells().ok_or(Error::ShouldWait)
    }

    fn zero_part(&mut self, cell: u64, end: u64) -> Result {
        let zero = cell < end && matches!(self.pages[(cell / 4) as usize], Page::Zero { .. });
        if zero || cell >= end { Ok(()) } else { self.write(cell, end - cell, 0) }
    }

    fn zero(&mut self, cell: u64, cells: u64) -> Result {
        self.in_range(cell * CELL, cells * CELL)?;
        let end = cell + cells;
        let whole = cell.next_multiple_of(4)..end / 4 * 4;
        if whole.start > whole.end {
            return self.zero_part(cell, end);
        }
        self.zero_part(cell, whole.start)?;
        self.zero_part(whole.end, end)?;
        for page in whole.start / 4..whole.end / 4 {
            let page = &mut self.pages[page as usize];
            let awaiting = matches!(page, Page::Zero { awaiting: true, .. });
            *page = Page::Zero { awaiting, read: false };
            self.modified = Some(true);
        }
        Ok(())
    }

    fn resize(&mut self, cells: u64) -> Result {
        let size = cells * CELL;
        if size < self.size() {
            self.zero_part(cells, cells.next_multiple_of(4).min(self.size() / CELL))?;
        }
        let zero = Page::Zero { awaiting: false, read: false };
        self.pages.resize(size.div_ceil(PAGE) as usize, zero);
        self.modified = Some(true);
        Ok(())
    }

    fn ranges(&self) -> Vec<(u64, u64, bool)> {
        let mut ranges: Vec<(u64, u64, bool)> = Vec::new();
        for (number, page) in self.pages.iter().enumerate() {
            let number = number as u64;
            match (page.differs(), ranges.last_mut()) {
                (None, _) => {}
                (Some(zero), Some(last)) if last.0 + last.1 == number && last.2 == zero => {
                    last.1 += 1;
                }
                (Some(zero), _) => ranges.push((number, 1, zero)),
            }
        }
        ranges
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Supply { page, pages, value } => {
                let aux = self.service.aux(pages, value);
                let (offset, len) = (page * PAGE, pages * PAGE);
                let done = self.service.pager.supply_pages(self.vmo(), offset, len, &aux, 0);
                assert_eq!(done, self.in_range(offset, len));
                if done.is_ok() {
                    for page in self.slice(page, pages) {
                        if *page == Page::Missing {
                            *page = Page::Clean([value; 4]);
                        }
                    }
                }
            }
            Op::Agree { page, pages } => {
                let done = self.service.op(PagerOp::Dirty, page, pages);
                let mut expected = self.in_range(page * PAGE, pages * PAGE);
                if expected.is_ok() && self.slice(page, pages).contains(&Page::Missing) {
                    expected = Err(Error::NotFound);
                }
                assert_eq!(done, expected);
                if done.is_ok() {
                    for page in self.slice(page, pages) {
                        *page = Page::Dirty(page.cells().unwrap());
                    }
                }
            }
            Op::Begin { page, pages, only_zero } => {
                let done = self.service.op(PagerOp::WritebackBegin { only_zero }, page, pages);
                assert_eq!(done, self.in_range(page * PAGE, pages * PAGE));
                if done.is_ok() {
                    for page in self.slice(page, pages) {
                        match page {
                            Page::Dirty(cells) if !only_zero => *page = Page::AwaitingClean(*cells),
                            Page::Zero { awaiting, .. } => *awaiting = true,
                            _ => {}
                        }
                    }
                }
            }
            Op::End { page, pages } => {
                let done = self.service.op(PagerOp::WritebackEnd, page, pages);
                assert_eq!(done, self.in_range(page * PAGE, pages * PAGE));
                if done.is_ok() {
                    for page in self.slice(page, pages) {
                        *page = match *page {
                            Page::AwaitingClean(cells) => Page::Clean(cells),
                            Page::Zero { awaiting: true, read: true } => Page::Clean([0; 4]),
                            Page::Zero { awaiting: true, .. } => Page::Missing,
                            other => other,
                        };
                    }
                }
            }
            Op::Write { cell, cells, value } => {
                let bytes = vec![value; (cells * CELL) as usize];
                let done = self.vmo().write(cell * CELL, &bytes);
                assert_eq!(done, self.write(cell, cells, value));
            }
            Op::Read { cell, cells } => self.read(cell, cells),
            Op::Zero { cell, cells } => {
                let done = self.vmo().op_range(RangeOp::Zero, cell * CELL, cells * CELL);
                assert_eq!(done, self.zero(cell, cells));
            }
            Op::Resize { cells } => {
                let done = self.vmo().set_size(cells * CELL);
                assert_eq!(done, self.resize(cells));
                assert_eq!(self.vmo().size(), self.size());
            }
            Op::Reclaim { page, pages } => {
                self.vmo().reclaim(&(page * PAGE..(page + pages) * PAGE), false);
                let end = (page + pages).min(self.pages.len() as u64);
                for page in page..end {
                    let page = &mut self.pages[page as usize];
                    match page {
                        Page::Clean(_) => *page = Page::Missing,
                        Page::Zero { read, .. } => *read = false,
                        _ => {}
                    }
                }
            }
            Op::Touch { cell } => {
                let done = self.vmar.try_fault(self.va + cell * CELL, Access::Read);
                let mut expected = self.in_range(cell * CELL, 1);
                if expected.is_ok() {
                    expected = self.read_page(cell / 4).map(drop);
                }
                assert_eq!(done, expected);
            }
            Op::Store { cell, value } => {
                let there = self.pages.get((cell / 4) as usize).copied();
                let va = self.va + cell * CELL;
                // A mapping lets nothing pass that is not dirty.
                let direct = self.vmar.aspace().write(va, &[value]).is_ok();
                assert!(!direct || matches!(there, Some(Page::Dirty(_))), "{there:?}");
                let done = self.vmar.write(va, &[value]).is_ok();
                let modified = self.modified;
                let expected = there.is_some() && self.write(cell, 1, value).is_ok();
                assert_eq!(done, expected);
                self.modified = match there {
                    Some(Page::Dirty(_)) if modified != Some(true) => None,
                    _ if done => Some(true),
                    _ => modified,
                };
            }
            Op::Ask { reset } => {
                let modified = self.service.modified(reset);
                assert_eq!(modified, self.modified.unwrap_or(modified));
                self.modified = Some(modified && !reset);
            }
        }
        assert_eq!(self.service.dirty(), self.ranges());
    }

    fn read(&mut self, cell: u64, cells: u64) {
        let mut bytes = vec![0xee; (cells * CELL) as usize];
        let done = self.vmo().read(cell * CELL, &mut bytes);
        let mut expected = self.in_range(cell * CELL, cells * CELL);
        if expected.is_ok() {
            for (at, cell) in (cell..cell + cells).enumerate() {
                match self.read_page(cell / 4) {
                    Ok(page) => {
                        assert_eq!(bytes[at * CELL as usize], page[(cell % 4) as usize]);
                    }
                    Err(error) => {
                        expected = Err(error);
                        break;
                    }
                }
            }
        }
        assert_eq!(done, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn a_pagers_vmo_agrees_with_a_list_of_pages(
        traps in any::<bool>(),
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let mut pair = Pair::new(traps);
        for op in ops {
            pair.apply(op);
        }
        for cell in 0..pair.pages.len() as u64 * 4 {
            pair.read(cell, 1);
        }
        let memory = pair.service.memory.clone();
        drop(pair);
        prop_assert_eq!(memory.allocated(), 0);
    }
}

/// What a task did to a page.
fn ended(result: Result<u8>, page: u64) -> bool {
    match result {
        Ok(byte) => assert_eq!(u64::from(byte), page % 251),
        Err(error) => assert_eq!(error, Error::BadState),
    }
    result.is_ok()
}

#[test]
fn many_tasks_fault_while_pages_come_and_go_until_the_vmo_is_detached() {
    const PAGES: u64 = 64;
    const TASKS: u64 = 2000;
    let s = service(PagerVmoOptions::empty(), PAGES);
    let (vmar, va) = mapped(&s);
    let served = AtomicUsize::new(0);
    let succeeded = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // Two services share the port.
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let packet = futures::executor::block_on(s.port.wait());
                    // The other one's word that this is the end.
                    let Payload::PageRequest(request) = packet.payload else { return };
                    if request.command == PageCommand::Complete {
                        s.port.queue(0, 0, [0; 32]).unwrap();
                        return;
                    }
                    let aux = s.aux(1, ((request.offset / PAGE) % 251) as u8);
                    let _ = s.pager.supply_pages(&s.vmo, request.offset, PAGE, &aux, 0);
                    if served.fetch_add(1, Ordering::Relaxed) == 200 {
                        s.pager.detach_vmo(&s.vmo).unwrap();
                    }
                }
            });
        }
        let clean = scope.spawn(|| {
            while served.load(Ordering::Relaxed) <= 200 {
                s.vmo.reclaim(&(0..PAGES * PAGE), false);
                std::thread::yield_now();
            }
        });
        for thread in 0..3u64 {
            let (s, vmar, served, succeeded) = (&s, &vmar, &served, &succeeded);
            scope.spawn(move || {
                let tasks = (0..TASKS).map(|task| async move {
                    let page = (task * 7 + thread * 13) % PAGES;
                    let result = if task % 3 == 0 {
                        let mut byte = [0];
                        match vmar.fault_async(va + page * PAGE, Access::Read).await {
                            Err(error) => Err(error),
                            // It may have gone again.
                            Ok(()) if vmar.aspace().read(va + page * PAGE, &mut byte).is_err() => {
                                return;
                            }
                            Ok(()) => Ok(byte[0]),
                        }
                    } else {
                        reading(&s.vmo, page).await
                    };
                    if ended(result, page) {
                        succeeded.fetch_add(1, Ordering::Relaxed);
                    }
                });
                futures::executor::block_on(join_all(tasks));
                // Whoever comes later finds out at once, if the page has gone.
                while served.load(Ordering::Relaxed) <= 200 {
                    let _ = futures::executor::block_on(reading(&s.vmo, thread));
                }
            });
        }
        clean.join().unwrap();
    });
    assert!(succeeded.load(Ordering::Relaxed) > 0);
    assert_eq!(s.waiting(), 0);
    assert!(s.port.len() <= 1);
}
