//! Waits and wakes by their effects, then the table against a plain model, then under threads.

use std::{
    cell::RefCell,
    collections::VecDeque,
    sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst},
};

use futures::{FutureExt, executor::block_on};
use hal::{
    aspace::AddressSpace,
    pmem::{PAGE_SIZE, PhysicalMemory},
    time::monotonic,
};
use proptest::prelude::*;

use super::*;
use crate::{
    task::{Job, SlackMode},
    vmar::{MapArgs, Vmar},
    vmo::{Vmo, VmoOptions},
};

const A: FutexAddress = 0x1000;
const B: FutexAddress = 0x2000;

/// A process with started threads that do nothing, and their runs, which keep them alive.
fn threads<const N: usize>() -> (Arc<Process>, [Arc<Thread>; N], impl Sized) {
    let process = Process::create(&Job::root(), "p").unwrap();
    let mut runs = Vec::new();
    let threads = std::array::from_fn(|i| {
        let thread = Thread::create(&process, "t").unwrap();
        let body = std::future::pending::<()>();
        runs.push(match i {
            0 => process.start(&thread, body).unwrap(),
            _ => thread.start(body).unwrap(),
        });
        thread
    });
    (process, threads, runs)
}

fn new_thread(process: &Arc<Process>) -> Arc<Thread> {
    Thread::create(process, "new").unwrap()
}

fn enter<'a>(table: &'a FutexTable, thread: &Arc<Thread>, at: FutexAddress) -> FutexWait<'a> {
    table.wait(thread, at, || Ok(true), Ok(None)).unwrap()
}

fn own(
    table: &FutexTable,
    thread: &Arc<Thread>,
    at: FutexAddress,
    owner: &Arc<Thread>,
) -> Result<()> {
    table.wait(thread, at, || Ok(true), Ok(Some(owner.clone()))).map(std::mem::forget)
}

fn is_woken(wait: &mut FutexWait<'_>) -> bool {
    wait.now_or_never().is_some()
}

#[test]
fn a_wait_looks_at_the_word_first() {
    let (_process, [t, owner], _runs) = threads();
    let table = FutexTable::new();
    let other = || Ok(false);
    assert_eq!(table.wait(&t, A, other, Ok(None)).err(), Some(Error::BadState));
    let bad = table.wait(&t, A, other, Err(Error::BadHandle));
    assert_eq!(bad.err(), Some(Error::BadState), "whatever the owner");
    let bad = table.wait(&t, A, || Ok(true), Err(Error::WrongType));
    assert_eq!(bad.err(), Some(Error::WrongType));
    let fault = table.wait(&t, A, || Err(Error::InvalidArgs), Ok(None));
    assert_eq!(fault.err(), Some(Error::InvalidArgs));
    assert_eq!(table.waiters(), 0);
    // One that fails leaves the owner.
    assert_eq!(own(&table, &t, A, &owner), Ok(()));
    assert_eq!(table.wait(&t, A, other, Ok(None)).err(), Some(Error::BadState));
    assert_eq!(table.owner(A), Ok(owner.koid()));
}

#[test]
fn addresses_are_aligned() {
    let (_process, [t], _runs) = threads();
    let table = FutexTable::new();
    let bad = Err(Error::InvalidArgs);
    for at in [0, A + 1, A + 2] {
        assert_eq!(table.wait(&t, at, || Ok(true), Ok(None)).map(|_| ()), bad);
        assert_eq!(table.wake(at, 1), bad);
        assert_eq!(table.wake_single_owner(at), bad);
        assert_eq!(table.owner(at), Err(Error::InvalidArgs));
        let wake = RequeueWake::Count(1);
        assert_eq!(table.requeue(at, wake, || Ok(true), B, 1, Ok(None)), bad);
        assert_eq!(table.requeue(B, wake, || Ok(true), at, 1, Ok(None)), bad);
    }
    assert_eq!(table.requeue(B, RequeueWake::Count(1), || Ok(true), B, 1, Ok(None)), bad);
    assert_eq!(table.wake(A, 1), Ok(()), "nobody is no error");
}

#[test]
fn wakes_reach_so_many_in_the_order_of_their_arrival() {
    let (_process, [t], _runs) = threads();
    let table = FutexTable::new();
    let mut waits = [(); 4].map(|()| enter(&table, &t, A));
    let mut other = enter(&table, &t, B);
    assert_eq!(table.wake(A, 0), Ok(()));
    assert_eq!(waits.each_mut().map(is_woken), [false; 4]);
    assert_eq!(table.wake(A, 3), Ok(()));
    assert_eq!(waits.each_mut().map(is_woken), [true, true, true, false]);
    assert_eq!(table.wake(A, u32::MAX), Ok(()));
    assert!(is_woken(&mut waits[3]) && !is_woken(&mut other));
    drop(other);
    assert_eq!((table.waiters(), table.inner.lock().queues.len()), (0, 0));
}

#[test]
fn the_owner_is_who_the_last_wait_said() {
    let (process, [a, b, c], _runs) = threads();
    let table = FutexTable::new();
    assert_eq!(own(&table, &a, A, &b), Ok(()));
    assert_eq!(table.owner(A), Ok(b.koid()));
    assert_eq!(table.owner(B), Ok(KOID_INVALID));
    assert_eq!(own(&table, &a, A, &c), Ok(()));
    assert_eq!(table.owner(A), Ok(c.koid()));
    for bad in [&a, &b, &new_thread(&process)] {
        // One that waits there, the waiter itself, one that has not been started.
        assert_eq!(own(&table, &b, A, bad), Err(Error::InvalidArgs));
    }
    assert_eq!(table.owner(A), Ok(c.koid()));
    let wait = enter(&table, &b, A);
    assert_eq!(table.owner(A), Ok(KOID_INVALID));
    drop(wait);
}

#[test]
fn an_owner_that_has_exited_is_none() {
    let (process, [a, b], runs) = threads();
    let table = FutexTable::new();
    assert_eq!(own(&table, &a, A, &b), Ok(()));
    process.kill();
    drop(runs);
    assert_eq!(b.info().state, ThreadState::Dead);
    assert_eq!(table.owner(A), Ok(KOID_INVALID));
    assert_eq!(own(&table, &a, B, &b), Ok(()));
    assert_eq!(table.owner(B), Ok(KOID_INVALID));
}

#[test]
fn a_wake_disowns_and_a_wake_of_a_single_owner_hands_over() {
    let (_process, [a, b, c, owner], _runs) = threads();
    let table = FutexTable::new();
    assert_eq!(own(&table, &a, A, &owner), Ok(()));
    assert_eq!(table.wake(A, 0), Ok(()));
    assert_eq!(table.owner(A), Ok(KOID_INVALID), "whatever the count");
    assert_eq!(own(&table, &b, A, &owner), Ok(()));
    assert_eq!(own(&table, &c, A, &owner), Ok(()));
    assert_eq!(table.wake_single_owner(A), Ok(()));
    assert_eq!(table.owner(A), Ok(a.koid()));
    assert_eq!(table.wake_single_owner(A), Ok(()));
    assert_eq!(table.owner(A), Ok(b.koid()));
    assert_eq!(table.wake_single_owner(A), Ok(()));
    assert_eq!(table.owner(A), Ok(KOID_INVALID), "a futex without waiters has no owner");
    assert_eq!(table.wake_single_owner(A), Ok(()));
}

#[test]
fn requeue_wakes_some_and_moves_others_behind_those_who_wait_there() {
    let (_process, [t, owner], _runs) = threads();
    let table = FutexTable::new();
    let mut waits = [(); 5].map(|()| enter(&table, &t, A));
    let mut there = enter(&table, &t, B);
    let requeue = |matches| {
        let owner = Ok(Some(owner.clone()));
        table.requeue(A, RequeueWake::Count(1), || Ok(matches), B, 2, owner)
    };
    assert_eq!(requeue(false), Err(Error::BadState));
    assert_eq!(table.owner(B), Ok(KOID_INVALID));
    assert_eq!(requeue(true), Ok(()));
    assert_eq!(table.owner(B), Ok(owner.koid()));
    assert_eq!(table.owner(A), Ok(KOID_INVALID));
    assert_eq!(waits.each_mut().map(is_woken), [true, false, false, false, false]);
    assert_eq!(table.wake(B, 2), Ok(()));
    assert!(is_woken(&mut there));
    assert_eq!(waits.each_mut().map(is_woken), [true, true, false, false, false]);
    assert_eq!(table.wake(A, 9), Ok(()));
    assert_eq!(waits.each_mut().map(is_woken), [true, true, false, true, true]);
    assert_eq!(table.wake(B, 9), Ok(()));
    assert!(is_woken(&mut waits[2]));
}

#[test]
fn requeue_of_a_single_owner_hands_over_what_is_left() {
    let (process, [a, b, c, owner], _runs) = threads();
    let table = FutexTable::new();
    for thread in [&a, &b, &c] {
        assert_eq!(own(&table, thread, A, &owner), Ok(()));
    }
    let requeue = |owner: &Arc<Thread>| {
        let owner = Ok(Some(owner.clone()));
        table.requeue(A, RequeueWake::SingleOwner, || Ok(true), B, 1, owner)
    };
    assert_eq!(requeue(&b), Err(Error::InvalidArgs), "it waits at the one");
    assert_eq!(own(&table, &a, B, &owner), Ok(()));
    assert_eq!(requeue(&a), Err(Error::InvalidArgs), "it waits at the other");
    assert_eq!(requeue(&new_thread(&process)), Err(Error::InvalidArgs));
    let bad = table.requeue(A, RequeueWake::SingleOwner, || Ok(true), B, 1, Err(Error::BadHandle));
    assert_eq!(bad, Err(Error::BadHandle));
    assert_eq!(table.owner(A), Ok(owner.koid()), "what fails changes nothing");
    assert_eq!(requeue(&owner), Ok(()));
    assert_eq!(table.owner(A), Ok(a.koid()));
    assert_eq!(table.owner(B), Ok(owner.koid()));
}

#[test]
fn a_requeue_to_a_futex_that_nobody_waits_at_owns_nothing() {
    let (_process, [owner], _runs) = threads();
    let table = FutexTable::new();
    let owner = Ok(Some(owner));
    let wake = RequeueWake::Count(1);
    assert_eq!(table.requeue(A, wake, || Ok(true), B, 1, owner), Ok(()));
    assert_eq!(table.owner(B), Ok(KOID_INVALID));
    assert_eq!(table.inner.lock().queues.len(), 0);
}

#[test]
fn a_dropped_wait_leaves_the_queue_and_passes_its_wake_on() {
    let (_process, [a, b, c], _runs) = threads();
    let table = FutexTable::new();
    let (first, mut second) = (enter(&table, &a, A), enter(&table, &b, A));
    drop(enter(&table, &c, A));
    assert_eq!(table.waiters(), 2);
    assert_eq!(table.wake(A, 1), Ok(()));
    assert!(!is_woken(&mut second));
    drop(first);
    assert!(is_woken(&mut second));
    // An ownership that came with it goes on too.
    let (first, mut second, _third) =
        (enter(&table, &a, A), enter(&table, &b, A), enter(&table, &c, A));
    assert_eq!(table.wake_single_owner(A), Ok(()));
    drop(first);
    assert!(is_woken(&mut second));
    assert_eq!(table.owner(A), Ok(b.koid()));
}

/// A process with a page of memory, and where that is.
fn with_page() -> (Arc<Process>, Arc<Thread>, u64, impl Sized) {
    let (process, [thread], runs) = threads();
    let memory = PhysicalMemory::new(None).unwrap();
    let vmar = Vmar::create_root(&AddressSpace::new(&memory).unwrap()).unwrap();
    let vmo = Vmo::create(&memory, PAGE_SIZE as u64, VmoOptions::default()).unwrap();
    let at = vmar.map(MapArgs::new(vmo, PAGE_SIZE as u64)).unwrap();
    assert!(process.set_root_vmar(vmar).is_ok());
    (process, thread, at, runs)
}

#[test]
fn the_word_is_the_processs_own() {
    let (process, t, at, _runs) = with_page();
    process.write_memory(at + 4, &(-7i32).to_le_bytes()).unwrap();
    let look = |at, value| process.futex_wait(&t, at, value, Ok(None), 0).now_or_never().unwrap();
    assert_eq!(look(at + 4, -6), Err(Error::BadState));
    assert_eq!(look(at + 4, -7), Err(Error::TimedOut));
    assert_eq!(look(at + PAGE_SIZE as u64, 0), Err(Error::InvalidArgs), "not mapped");
    assert_eq!(look(at + 2, 0), Err(Error::InvalidArgs));
    let requeue = |from, value, to| {
        process.futex_requeue(from, RequeueWake::Count(1), value, to, 1, Ok(None))
    };
    assert_eq!(requeue(at, 1, at + 8), Err(Error::BadState));
    assert_eq!(requeue(at, 0, at + 8), Ok(()));
    assert_eq!(requeue(at, 0, 1 << 63), Err(Error::InvalidArgs));
    assert_eq!(requeue(at + PAGE_SIZE as u64, 0, at), Err(Error::InvalidArgs));
    assert_eq!(process.futexes().waiters(), 0);
}

#[test]
fn a_wait_tells_what_its_thread_is_blocked_by_and_ends_at_the_deadline() {
    let (process, t, at, _runs) = with_page();
    let start = monotonic();
    let mut wait = Box::pin(process.futex_wait(&t, at, 0, Ok(None), start + 5_000_000));
    assert!((&mut wait).now_or_never().is_none());
    assert_eq!(t.info().state, ThreadState::Blocked(BlockedReason::Futex));
    assert_eq!(block_on(wait), Err(Error::TimedOut));
    assert!(monotonic() >= start + 5_000_000);
    assert_eq!(process.futexes().waiters(), 0);

    let waker = std::thread::spawn({
        let process = process.clone();
        move || {
            while process.futexes().waiters() == 0 {
                std::thread::yield_now();
            }
            process.futexes().wake(at, 1)
        }
    });
    assert_eq!(block_on(process.futex_wait(&t, at, 0, Ok(None), INFINITE)), Ok(()));
    assert_eq!(waker.join().unwrap(), Ok(()));
}

#[test]
fn the_jobs_slack_moves_the_deadline() {
    let job = Job::create(&Job::root()).unwrap();
    let slack = TimerSlack { amount: 3_600_000_000_000, mode: SlackMode::Early };
    assert_eq!(job.set_timer_slack(slack), Ok(()));
    let process = Process::create(&job, "slack").unwrap();
    let thread = Thread::create(&process, "t").unwrap();
    let (donor, _, at, _runs) = with_page();
    assert!(process.set_root_vmar(donor.root_vmar().unwrap()).is_ok());
    let start = monotonic();
    let _timer = crate::deadline::Due::new(start + 5_000_000, TimerSlack::default());
    let wait = process.futex_wait(&thread, at, 0, Ok(None), start + 3_600_000_000_000);
    assert_eq!(block_on(wait), Err(Error::TimedOut));
}

/// One thing that is done to futexes 4, 8 and 12 or to a wait.
#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Drop(usize),
    Poll(usize),
    Wake(u64, u32),
    Requeue(u64, u32, u64, u32),
}

fn step() -> impl Strategy<Value = Step> {
    let at = || (1..4u64).prop_map(|n| n * 4);
    prop_oneof![
        4 => at().prop_map(Step::Wait),
        2 => any::<usize>().prop_map(Step::Drop),
        2 => any::<usize>().prop_map(Step::Poll),
        2 => (at(), 0..3u32).prop_map(|(at, n)| Step::Wake(at, n)),
        2 => (at(), 0..3u32, at(), 0..4u32).prop_map(|(a, n, b, m)| Step::Requeue(a, n, b, m)),
    ]
}

/// What the table should do: queues of the numbers of waits, and those that were woken, with where.
#[derive(Default)]
struct Model {
    queues: [VecDeque<usize>; 4],
    woken: HashMap<usize, u64>,
}

impl Model {
    fn queue(&mut self, at: u64) -> &mut VecDeque<usize> {
        &mut self.queues[(at / 4) as usize]
    }

    fn wake(&mut self, at: u64, count: u32) {
        for _ in 0..count {
            let Some(wait) = self.queue(at).pop_front() else { break };
            self.woken.insert(wait, at);
        }
    }

    fn drop(&mut self, wait: usize) {
        self.queues.iter_mut().for_each(|queue| queue.retain(|&other| other != wait));
        if let Some(at) = self.woken.remove(&wait) {
            self.wake(at, 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_table_does_what_a_plain_model_does(steps in prop::collection::vec(step(), 1..80)) {
        let (_process, [t], _runs) = threads();
        let (table, mut model) = (FutexTable::new(), Model::default());
        let waits = RefCell::new(Vec::<(usize, FutexWait<'_>)>::new());
        let pick = |n: usize| Some(n % waits.borrow().len().max(1)).filter(|&i| i < waits.borrow().len());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Wait(at) => {
                    waits.borrow_mut().push((number, enter(&table, &t, at)));
                    model.queue(at).push_back(number);
                }
                Step::Drop(n) => if let Some(i) = pick(n) {
                    let (number, wait) = waits.borrow_mut().swap_remove(i);
                    drop(wait);
                    model.drop(number);
                },
                Step::Poll(n) => if let Some(i) = pick(n) {
                    let (number, ref mut wait) = waits.borrow_mut()[i];
                    let expected = model.woken.contains_key(&number);
                    prop_assert_eq!(is_woken(wait), expected);
                    if expected {
                        // It is over: its wake has been used.
                        model.woken.remove(&number);
                    }
                },
                Step::Wake(at, count) => {
                    prop_assert_eq!(table.wake(at, count), Ok(()));
                    model.wake(at, count);
                }
                Step::Requeue(from, wake, to, count) => {
                    let result = table.requeue(from, RequeueWake::Count(wake), || Ok(true), to, count, Ok(None));
                    prop_assert_eq!(result.is_ok(), from != to);
                    if from != to {
                        model.wake(from, wake);
                        for _ in 0..count {
                            let Some(wait) = model.queue(from).pop_front() else { break };
                            model.queue(to).push_back(wait);
                        }
                    }
                }
            }
            waits.borrow_mut().retain(|(_, wait)| wait.index.is_some());
            for at in [4, 8, 12] {
                let inner = table.inner.lock();
                let length = inner.queues.get(&at).map_or(0, |queue| queue.line.len());
                prop_assert_eq!(length, model.queue(at).len());
            }
        }
        waits.borrow_mut().clear();
        prop_assert_eq!((table.waiters(), table.inner.lock().queues.len()), (0, 0));
    }
}

/// A lock made of a futex, with the protocol of 0 free, 1 taken, 2 taken and contended.
fn with_lock(table: &FutexTable, thread: &Arc<Thread>, word: &AtomicI32, critical: impl FnOnce()) {
    if word.compare_exchange(0, 1, SeqCst, SeqCst).is_err() {
        while word.swap(2, SeqCst) != 0 {
            if let Ok(wait) = table.wait(thread, A, || Ok(word.load(SeqCst) == 2), Ok(None)) {
                block_on(wait);
            }
        }
    }
    critical();
    if word.swap(0, SeqCst) == 2 {
        table.wake(A, 1).unwrap();
    }
}

#[test]
fn a_lock_of_eight_threads_excludes_and_loses_no_wake() {
    const ROUNDS: usize = 3000;
    let (_process, threads, _runs) = threads::<8>();
    let (table, word, inside, done) =
        (FutexTable::new(), AtomicI32::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in &threads {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    if round % 3 == 0 {
                        // One that gives up at once must not keep a wake.
                        drop(table.wait(thread, A, || Ok(word.load(SeqCst) == 2), Ok(None)));
                    }
                    with_lock(&table, thread, &word, || {
                        assert_eq!(inside.fetch_add(1, SeqCst), 0);
                        done.fetch_add(1, SeqCst);
                        assert_eq!(inside.fetch_sub(1, SeqCst), 1);
                    });
                }
            });
        }
    });
    assert_eq!((done.into_inner(), table.waiters()), (8 * ROUNDS, 0));
}

#[test]
fn eight_threads_that_wait_wake_and_requeue_lose_nobody() {
    const ROUNDS: usize = 2000;
    let (_process, threads, _runs) = threads::<8>();
    let (table, waiting) = (FutexTable::new(), AtomicUsize::new(4));
    std::thread::scope(|scope| {
        for thread in &threads[..4] {
            scope.spawn(|| {
                for i in 0..ROUNDS {
                    let at = if i % 2 == 0 { A } else { B };
                    block_on(table.wait(thread, at, || Ok(true), Ok(None)).unwrap());
                }
                waiting.fetch_sub(1, SeqCst);
            });
        }
        for waker in 0..4 {
            let (table, waiting) = (&table, &waiting);
            scope.spawn(move || {
                while waiting.load(SeqCst) > 0 {
                    let moved = RequeueWake::Count(0);
                    match waker {
                        0 => table.wake(A, 1).unwrap(),
                        1 => table.wake_single_owner(B).unwrap(),
                        2 => table.requeue(A, moved, || Ok(true), B, 2, Ok(None)).unwrap(),
                        _ => table.requeue(B, moved, || Ok(true), A, 2, Ok(None)).unwrap(),
                    }
                }
            });
        }
    });
    let inner = table.inner.lock();
    assert_eq!((inner.waiters.len(), inner.queues.len()), (0, 0));
}
