//! Wakes and requeues that meet waits which begin and end.

use shuttle::sync::atomic::AtomicI32;

use super::*;
use crate::{
    Error, Job, Process, Thread,
    futex::{FutexTable, RequeueWake},
    object::KOID_INVALID,
};

/// The addresses of two futexes.
const HERE: u64 = 0x1000;
const THERE: u64 = 0x2000;

fn threads<const N: usize>() -> [Arc<Thread>; N] {
    let process = Process::create(&Job::root(), "p").unwrap();
    [(); N].map(|()| Thread::create(&process, "t").unwrap())
}

#[test]
fn a_wait_that_begins_while_the_word_changes_is_refused_or_woken() {
    model(|| {
        let ([thread], table, word) = (threads(), FutexTable::new(), AtomicI32::new(0));
        race!(
            || match table.wait(&thread, HERE, || Ok(word.load(SeqCst) == 0), Ok(None)) {
                Ok(wait) => block_on(wait),
                Err(error) => assert_eq!(error, Error::BadState),
            },
            || {
                word.store(1, SeqCst);
                assert_eq!(table.wake(HERE, 1), Ok(()));
            },
        );
        assert_eq!(table.waiters(), 0);
    });
}

#[test]
fn a_wake_of_one_that_gives_up_reaches_the_next() {
    model(|| {
        let ([a, b], table) = (threads(), FutexTable::new());
        let [first, second] =
            [&a, &b].map(|thread| table.wait(thread, HERE, || Ok(true), Ok(None)).unwrap());
        race!(|| drop(first), || block_on(second), || assert_eq!(table.wake(HERE, 1), Ok(())));
        assert_eq!(table.waiters(), 0);
    });
}

#[test]
fn none_is_lost_on_the_way_to_another_futex() {
    model(|| {
        let ([a, b, c], table) = (threads(), FutexTable::new());
        let [first, second, third] =
            [&a, &b, &c].map(|thread| table.wait(thread, HERE, || Ok(true), Ok(None)).unwrap());
        race!(
            || drop(second),
            || block_on(first),
            || block_on(third),
            || {
                let wake = RequeueWake::Count(1);
                assert_eq!(
                    table.requeue(HERE, wake, || Ok(true), THERE, u32::MAX, Ok(None)),
                    Ok(())
                );
                assert_eq!(table.wake(THERE, u32::MAX), Ok(()));
            },
            // Those that it meets were not moved yet.
            || assert_eq!(table.wake(HERE, 1), Ok(())),
        );
        assert_eq!(table.waiters(), 0);
    });
}

#[test]
fn a_wait_that_is_moved_and_woken_where_it_is_now_ends() {
    model(|| {
        let ([thread], table) = (threads(), FutexTable::new());
        let mut wait = table.wait(&thread, HERE, || Ok(true), Ok(None)).unwrap();
        assert!(poll_once(&mut wait).is_pending());
        race!(|| block_on(wait), || {
            let wake = RequeueWake::Count(0);
            let moved = table.requeue(HERE, wake, || Ok(true), THERE, 1, Ok(None));
            assert_eq!(moved, Ok(()));
            assert_eq!(table.wake(THERE, 1), Ok(()));
        },);
        assert_eq!(table.waiters(), 0);
    });
}

#[test]
fn ownership_goes_to_the_next_when_the_one_woken_gives_up() {
    model(|| {
        let ([a, b], table) = (threads(), FutexTable::new());
        let [first, second] =
            [&a, &b].map(|thread| table.wait(thread, HERE, || Ok(true), Ok(None)).unwrap());
        race!(|| drop(first), || assert_eq!(table.wake_single_owner(HERE), Ok(())), || block_on(
            second
        ),);
        assert_eq!((table.owner(HERE), table.waiters()), (Ok(KOID_INVALID), 0));
    });
}
