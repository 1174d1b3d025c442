//! Signals that come, go and are waited for, by futures and sinks.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures::{FutureExt, executor::block_on, task::noop_waker_ref};
use parking_lot::Mutex;

use super::*;
use crate::error::Error;

fn poll(wait: &mut WaitOne<'_>) -> Poll<Result<Signals>> {
    wait.poll_unpin(&mut Context::from_waker(noop_waker_ref()))
}

#[test]
fn values_are_zircons() {
    use Signals as S;
    for (bit, signals) in [
        (0, vec![S::READABLE]),
        (1, vec![S::WRITABLE]),
        (2, vec![S::PEER_CLOSED]),
        (3, vec![S::SIGNALED, S::TASK_TERMINATED, S::VMO_ZERO_CHILDREN]),
        (4, vec![S::THREAD_RUNNING, S::JOB_NO_JOBS, S::CLOCK_STARTED]),
        (4, vec![S::VIRTUAL_INTERRUPT_UNTRIGGERED, S::COUNTER_NON_POSITIVE]),
        (4, vec![S::SOCKET_PEER_WRITE_DISABLED]),
        (5, vec![S::THREAD_SUSPENDED, S::CLOCK_UPDATED, S::JOB_NO_PROCESSES]),
        (5, vec![S::COUNTER_POSITIVE, S::SOCKET_WRITE_DISABLED]),
        (6, vec![S::JOB_NO_CHILDREN]),
        (10, vec![S::SOCKET_READ_THRESHOLD]),
        (11, vec![S::SOCKET_WRITE_THRESHOLD]),
        (23, vec![S::HANDLE_CLOSED]),
        (24, vec![S::USER_0]),
        (25, vec![S::USER_1]),
        (26, vec![S::USER_2]),
        (27, vec![S::USER_3]),
        (28, vec![S::USER_4]),
        (29, vec![S::USER_5]),
        (30, vec![S::USER_6]),
        (31, vec![S::USER_7]),
    ] {
        assert!(signals.iter().all(|signal| signal.bits() == 1 << bit), "{signals:?}");
    }
    assert_eq!(Signals::USER_ALL.bits(), 0xff00_0000);
}

#[test]
fn update_clears_before_it_sets() {
    let state = SignalState::new(Signals::USER_0 | Signals::USER_1);
    state.update(Signals::USER_0 | Signals::USER_2, Signals::USER_2);
    assert_eq!(state.get(), Signals::USER_1 | Signals::USER_2);
}

#[test]
fn a_wait_for_what_is_set_ends_at_once() {
    let state = SignalState::new(Signals::READABLE | Signals::WRITABLE);
    let ended = state.wait(Signals::READABLE | Signals::USER_0, 0).now_or_never();
    assert_eq!(ended, Some(Ok(Signals::READABLE | Signals::WRITABLE)));
    assert_eq!(state.watchers(), 0);
}

#[test]
fn a_signal_set_and_cleared_at_once_is_still_seen() {
    let state = SignalState::default();
    let mut wait = state.wait(Signals::USER_3, 0);
    assert!(poll(&mut wait).is_pending());
    state.set(Signals::USER_4);
    assert!(poll(&mut wait).is_pending(), "not what it waits for");
    state.set(Signals::USER_3);
    state.clear(Signals::USER_ALL);
    assert_eq!(poll(&mut wait), Poll::Ready(Ok(Signals::USER_3 | Signals::USER_4)));
    assert!(wait.is_terminated());
    assert_eq!(state.watchers(), 0);
}

#[test]
fn a_wait_for_nothing_never_ends() {
    let state = SignalState::new(Signals::all());
    assert!(poll(&mut state.wait(Signals::empty(), 0)).is_pending());
}

#[test]
fn closing_the_handle_cancels_its_waits_only() {
    let state = SignalState::default();
    let (mut a, mut b) = (state.wait(Signals::USER_0, 1), state.wait(Signals::USER_0, 2));
    assert!(poll(&mut a).is_pending() && poll(&mut b).is_pending());
    state.cancel_handle(1);
    assert_eq!(poll(&mut a), Poll::Ready(Err(Error::Canceled)));
    assert!(poll(&mut b).is_pending());
    state.set(Signals::USER_0);
    state.cancel_handle(2);
    assert_eq!(poll(&mut b), Poll::Ready(Ok(Signals::USER_0)), "it had ended before");
}

#[test]
fn of_many_waits_those_of_a_handle_are_cancelled_and_no_others() {
    let state = SignalState::default();
    const HANDLES: u64 = 300;
    let wait = |n: u64| Box::pin(state.wait(Signals::USER_0, n % HANDLES + 1));
    let is_pending = |wait: &mut Pin<Box<WaitOne<'_>>>| poll(wait).is_pending();
    // Some begin while there are few, most when there are many; some end early, and others take their places.
    let mut waits: Vec<_> = (0..2 * HANDLES).map(wait).collect();
    assert!(waits.iter_mut().all(is_pending));
    for n in (0..2 * HANDLES).step_by(7) {
        waits[n as usize] = wait(n + 1);
        assert!(is_pending(&mut waits[n as usize]));
    }
    let handle_of = |n: u64| (n + u64::from(n.is_multiple_of(7))) % HANDLES + 1;
    for handle in (1..=HANDLES).step_by(2) {
        state.cancel_handle(handle);
    }
    for (n, wait) in (0..).zip(&mut waits) {
        let expected = match handle_of(n).is_multiple_of(2) {
            true => Poll::Pending,
            false => Poll::Ready(Err(Error::Canceled)),
        };
        assert_eq!(poll(wait), expected, "{n}");
    }
    drop(waits);
    assert_eq!(state.watchers(), 0);
    // A handle's number comes back, and what was known of it does not.
    let mut late = wait(0);
    assert!(is_pending(&mut late));
    state.cancel_handle(1);
    assert_eq!(poll(&mut late), Poll::Ready(Err(Error::Canceled)));
}

#[derive(Default)]
struct Sink(Mutex<Vec<(u64, Option<Signals>)>>);

impl SignalSink for Sink {
    fn deliver(&self, token: u64, observed: Signals) {
        self.0.lock().push((token, Some(observed)));
    }
    fn cancel(&self, token: u64) {
        self.0.lock().push((token, None));
    }
}

#[test]
fn a_sink_is_told_once() {
    let state = SignalState::default();
    let sink = Arc::new(Sink::default());
    let weak =
        || -> Weak<dyn SignalSink> { Arc::downgrade(&(sink.clone() as Arc<dyn SignalSink>)) };
    assert!(state.watch(Signals::USER_0, 0, false, weak(), 7).is_ok());
    state.set(Signals::USER_0);
    state.clear(Signals::USER_0);
    state.set(Signals::USER_0);
    assert_eq!(*sink.0.lock(), [(7, Some(Signals::USER_0))]);
    assert_eq!(state.watch(Signals::USER_0, 0, false, weak(), 8), Err(Signals::USER_0));
    assert_eq!(state.watchers(), 0);
}

#[test]
fn an_edge_needs_a_bit_that_becomes_set() {
    let state = SignalState::new(Signals::USER_0);
    let sink = Arc::new(Sink::default());
    let weak: Weak<dyn SignalSink> = Arc::downgrade(&(sink.clone() as Arc<dyn SignalSink>));
    assert!(state.watch(Signals::USER_0, 0, true, weak, 1).is_ok());
    state.set(Signals::USER_1);
    assert!(sink.0.lock().is_empty());
    state.clear(Signals::USER_0);
    state.set(Signals::USER_0);
    assert_eq!(*sink.0.lock(), [(1, Some(Signals::USER_0 | Signals::USER_1))]);
}

#[test]
fn a_sinks_watch_ends_by_unwatch_by_its_handle_and_by_its_death() {
    let state = SignalState::default();
    let sink = Arc::new(Sink::default());
    let weak =
        || -> Weak<dyn SignalSink> { Arc::downgrade(&(sink.clone() as Arc<dyn SignalSink>)) };
    let key = state.watch(Signals::USER_0, 0, false, weak(), 1);
    assert!(key.is_ok_and(|key| state.unwatch(key) && !state.unwatch(key)));
    assert!(state.watch(Signals::USER_0, 5, false, weak(), 2).is_ok());
    state.cancel_handle(5);
    assert_eq!(*sink.0.lock(), [(2, None)]);
    assert!(state.watch(Signals::USER_0, 0, false, weak(), 3).is_ok());
    drop(sink);
    state.set(Signals::USER_0);
    assert_eq!(state.watchers(), 0);
}

#[test]
fn a_watch_that_has_ended_gives_its_name_to_no_other() {
    let state = SignalState::default();
    let sink = Arc::new(Sink::default());
    let watch = |token| {
        let weak: Weak<dyn SignalSink> = Arc::downgrade(&(sink.clone() as Arc<dyn SignalSink>));
        state.watch(Signals::USER_0, 0, false, weak, token)
    };
    let Ok(old) = watch(1) else { panic!("nothing is set") };
    assert!(state.unwatch(old));
    // In the same place.
    let Ok(new) = watch(2) else { panic!("nothing is set") };
    assert!(old != new && !state.unwatch(old));
    state.set(Signals::USER_0);
    assert_eq!(*sink.0.lock(), [(2, Some(Signals::USER_0))]);
}

#[test]
fn a_million_waits_started_and_dropped_leave_nothing() {
    let state = SignalState::default();
    let mut window = std::collections::VecDeque::new();
    for i in 0..1_000_000u32 {
        let mut wait = state.wait(Signals::from_bits_retain(1 << (i % 32)), 0);
        assert!(poll(&mut wait).is_pending());
        window.push_back(wait);
        if window.len() > 100 {
            window.pop_front();
        }
    }
    window.clear();
    assert_eq!(state.watchers(), 0);
    assert!(state.watchers.lock().capacity() <= 64);
}

#[test]
fn composes_with_select() {
    let state = SignalState::default();
    let first = block_on(async {
        futures::select_biased! {
            _ = state.wait(Signals::USER_0, 0) => "signal",
            () = futures::future::ready(()) => "deadline",
        }
    });
    assert_eq!((first, state.watchers()), ("deadline", 0));
}

#[test]
fn eight_threads_signal_and_wait_without_a_lost_wake_up() {
    const ROUNDS: usize = 2_000;
    let bits: Vec<_> = (0..4).map(|i| Signals::from_bits_retain(1 << (24 + i))).collect();
    let request = SignalState::default();
    let reply = SignalState::default();
    let served = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for &bit in &bits {
            let (request, reply, served) = (&request, &reply, &served);
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    request.set(bit);
                    assert!(block_on(reply.wait(bit, 0)).is_ok());
                    reply.clear(bit);
                }
            });
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    assert!(block_on(request.wait(bit, 0)).is_ok());
                    request.clear(bit);
                    served.fetch_add(1, SeqCst);
                    reply.set(bit);
                }
            });
        }
    });
    assert_eq!(served.load(SeqCst), 4 * ROUNDS);
    assert_eq!(request.watchers() + reply.watchers(), 0);
}
