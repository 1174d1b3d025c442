//! Tests of the wait queue.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};

use futures::{
    FutureExt,
    executor::block_on,
    task::{ArcWake, noop_waker_ref, waker},
};

use parking_lot::Mutex;

use super::*;

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl ArcWake for Count {
    fn wake_by_ref(arc: &Arc<Self>) {
        arc.0.fetch_add(1, SeqCst);
    }
}

impl Observer for Count {
    fn notify(&self, events: u32) -> bool {
        self.0.fetch_add(events as usize, SeqCst);
        // One that wakes somebody only if it is asked to by this bit.
        events & 0b1000 != 0
    }
}

fn poll(wait: &mut Wait<&WaitQueue>, count: &Arc<Count>) -> bool {
    let waker = waker(count.clone());
    wait.poll_unpin(&mut Context::from_waker(&waker)).is_ready()
}

#[test]
fn waiters_are_woken_in_order_of_arrival() {
    let queue = WaitQueue::new();
    let counts: Vec<_> = (0..3).map(|_| Arc::new(Count::default())).collect();
    let mut waits: Vec<_> = (0..3).map(|_| queue.wait()).collect();
    for (wait, count) in waits.iter_mut().zip(&counts) {
        assert!(!poll(wait, count));
    }
    assert_eq!(queue.waiting(), 3);
    assert!(queue.notify_one());
    let woken = |counts: &[Arc<Count>]| counts.iter().map(|c| c.0.load(SeqCst)).collect::<Vec<_>>();
    assert_eq!(woken(&counts), [1, 0, 0]);
    assert_eq!(queue.notify_n(5), 2);
    assert_eq!(woken(&counts), [1, 1, 1]);
    for (wait, count) in waits.iter_mut().zip(&counts) {
        assert!(poll(wait, count));
        assert!(poll(wait, count), "stays ready");
        assert!(wait.is_terminated());
    }
    assert_eq!(queue.entries(), 0);
}

#[test]
fn notifying_nobody_is_not_remembered() {
    let queue = WaitQueue::new();
    assert!(!queue.notify_one());
    assert_eq!(queue.notify_all(), 0);
    let count = Arc::new(Count::default());
    assert!(!poll(&mut queue.wait(), &count));
}

#[test]
fn an_armed_wait_sees_a_notification_before_its_first_poll() {
    let queue = WaitQueue::new();
    let mut wait = queue.wait();
    assert!(!wait.is_notified());
    wait.arm();
    wait.arm();
    assert_eq!(queue.waiting(), 1);
    queue.notify_all();
    assert!(wait.is_notified());
    assert!(wait.now_or_never().is_some());
}

#[test]
fn the_task_that_polls_last_is_woken() {
    let queue = WaitQueue::new();
    let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let mut wait = queue.wait();
    assert!(!poll(&mut wait, &first));
    assert!(!poll(&mut wait, &second));
    assert!(!poll(&mut wait, &second));
    queue.notify_one();
    assert_eq!((first.0.load(SeqCst), second.0.load(SeqCst)), (0, 1));
    assert_eq!(Arc::strong_count(&first), 1, "the replaced waker is gone");
}

#[test]
fn a_dropped_wait_leaves_the_queue_from_any_position() {
    let queue = WaitQueue::new();
    let mut waits: Vec<_> = (0..5).map(|_| Some(queue.wait())).collect();
    waits.iter_mut().flatten().for_each(Wait::arm);
    for i in [2, 0, 4] {
        waits[i] = None;
    }
    assert_eq!(queue.waiting(), 2);
    queue.notify_one();
    assert!(waits[1].as_ref().is_some_and(Wait::is_notified));
    assert!(!waits[3].as_ref().is_some_and(Wait::is_notified));
    drop(waits);
    assert_eq!(queue.entries(), 0);
    assert!(queue.is_empty());
}

#[test]
fn a_dropped_wait_passes_its_notification_on() {
    let queue = WaitQueue::new();
    let (mut a, mut b, mut c) = (queue.wait_for(1), queue.wait_for(2), queue.wait_for(3));
    for wait in [&mut a, &mut b, &mut c] {
        wait.arm();
    }
    queue.notify_n_for(1, 3);
    assert!(a.is_notified());
    drop(a);
    assert!(b.is_notified(), "with all the events of the notification, not only those of `a`");
    drop(b);
    assert!(c.is_notified());
}

#[test]
fn a_notification_of_all_is_not_passed_on() {
    let queue = WaitQueue::new();
    let mut a = queue.wait();
    a.arm();
    queue.notify_all();
    let mut late = queue.wait();
    late.arm();
    drop(a);
    assert!(!late.is_notified());
}

#[test]
fn a_wait_that_a_notification_of_all_took_out_leaves_its_successor_alone() {
    let queue = WaitQueue::new();
    let (mut polled, mut dropped) = (queue.wait(), queue.wait());
    polled.arm();
    dropped.arm();
    assert_eq!(queue.notify_all(), 2);
    assert_eq!(queue.entries(), 0);
    // At the same places of the slab.
    let mut successors = [queue.wait(), queue.wait()];
    successors.iter_mut().for_each(Wait::arm);
    assert!(polled.is_notified() && dropped.is_notified());
    assert!((&mut polled).now_or_never().is_some());
    drop(dropped);
    assert_eq!(queue.waiting(), 2);
    assert!(!successors.iter().any(Wait::is_notified));
}

#[test]
fn events_choose_the_waiters() {
    let queue = WaitQueue::new();
    let (mut read, mut write) = (queue.wait_for(1), queue.wait_for(4));
    for wait in [&mut read, &mut write] {
        wait.arm();
    }
    assert_eq!(queue.notify_all_for(2), 0);
    assert_eq!(queue.notify_n_for(1, 4), 1);
    assert!(!read.is_notified());
    assert!(write.is_notified());
}

#[test]
fn observers_are_called_until_unregistered() {
    let queue = WaitQueue::new();
    let count = Arc::new(Count::default());
    let key = queue.register(0b101, count.clone());
    assert!(!queue.is_empty());
    queue.notify_all_for(0b110);
    assert_eq!(count.0.load(SeqCst), 0b100);
    queue.notify_one();
    assert_eq!(count.0.load(SeqCst), 0b1001);
    assert!(queue.set_interest(key, 0));
    queue.notify_all();
    assert_eq!(count.0.load(SeqCst), 0b1001);
    assert!(queue.unregister(key).is_some());
    assert!(queue.unregister(key).is_none());
    assert!(!queue.set_interest(key, 1));
    let other = queue.register(1, count.clone());
    assert!(queue.unregister(key).is_none(), "an old key never names a new observer");
    assert!(queue.unregister(other).is_some());
    assert!(queue.is_empty());
    assert_eq!(Arc::strong_count(&count), 1);
}

#[test]
fn exclusive_observers_are_called_until_one_has_woken_somebody() {
    let queue = WaitQueue::new();
    let counts: Vec<_> = (0..4).map(|_| Arc::new(Count::default())).collect();
    queue.register(0b1111, counts[0].clone());
    queue.register_exclusive(0b0111, counts[1].clone());
    queue.register_exclusive(0b1111, counts[2].clone());
    queue.register_exclusive(0b1111, counts[3].clone());
    let called = || counts.iter().map(|c| c.0.load(SeqCst)).collect::<Vec<_>>();
    queue.notify_all_for(0b0001);
    assert_eq!(called(), [1, 1, 1, 1]);
    queue.notify_all_for(0b1001);
    assert_eq!(called(), [10, 2, 10, 1], "the first woke nobody, the second did");
}

#[test]
fn an_observer_may_come_back_to_the_queue() {
    struct Again(Arc<WaitQueue>, Mutex<Option<ObserverKey>>);
    impl Observer for Again {
        fn notify(&self, _: u32) -> bool {
            if let Some(key) = self.1.lock().take() {
                self.0.unregister(key);
            }
            self.0.notify_one()
        }
    }
    let queue = Arc::new(WaitQueue::new());
    let again = Arc::new(Again(queue.clone(), Mutex::new(None)));
    *again.1.lock() = Some(queue.register(1, again.clone()));
    queue.notify_all();
    assert!(queue.is_empty());
}

#[test]
fn a_million_waits_started_and_dropped_leave_nothing() {
    let queue = WaitQueue::new();
    let mut cx = Context::from_waker(noop_waker_ref());
    let mut window = std::collections::VecDeque::new();
    for _ in 0..1_000_000 {
        let mut wait = queue.wait();
        assert!(wait.poll_unpin(&mut cx).is_pending());
        window.push_back(wait);
        if window.len() > 100 {
            window.pop_front();
        }
    }
    window.clear();
    assert_eq!(queue.entries(), 0);
    assert!(queue.is_empty());
    assert!(queue.state.lock().waiters.capacity() <= KEEP);
}

#[test]
fn wait_until_does_not_register_when_the_condition_holds() {
    let queue = WaitQueue::new();
    assert_eq!(queue.wait_until(|| Some(1)).now_or_never(), Some(1));
    assert_eq!(queue.state.lock().waiters.capacity(), 0);
}

#[test]
fn wait_until_is_registered_before_it_looks_a_second_time() {
    let queue = WaitQueue::new();
    let mut entries = Vec::new();
    let look = || {
        entries.push(queue.entries());
        // What comes true behind this look is notified, and that wakes it.
        (entries.len() == 3 || (entries.len() == 2 && !queue.notify_one())).then_some(())
    };
    assert_eq!(queue.wait_until(look).now_or_never(), Some(()));
    assert_eq!(entries, [0, 1, 0]);
    assert_eq!(queue.entries(), 0);
}

#[test]
fn an_owned_wait_outlives_its_maker() {
    let queue = Arc::new(WaitQueue::new());
    let mut wait = Wait::new(queue.clone(), ALL_EVENTS);
    wait.arm();
    queue.notify_one();
    drop(queue);
    block_on(wait);
}

/// A counting semaphore made of the queue: every permit given is taken, whoever cancels.
#[test]
fn no_wake_up_is_lost_between_threads_that_take_cancel_and_give() {
    const TAKES: u32 = 20_000;
    let queue = WaitQueue::new();
    let (permits, started, ended) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let take = || permits.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).ok();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while started.fetch_add(1, SeqCst) < TAKES {
                    block_on(queue.wait_until(take));
                }
                ended.fetch_add(1, SeqCst);
            });
        }
        // This one always gives up, sometimes after it has been chosen.
        scope.spawn(|| {
            while ended.load(SeqCst) < 3 {
                let mut wait = queue.wait();
                wait.arm();
                std::thread::yield_now();
                drop(wait);
            }
        });
        for _ in 0..TAKES {
            permits.fetch_add(1, SeqCst);
            queue.notify_one();
        }
    });
    assert_eq!(permits.load(SeqCst), 0);
    assert_eq!(queue.entries(), 0);
}

#[test]
fn ping_pong_over_two_queues() {
    let (ping, pong, turn) = (WaitQueue::new(), WaitQueue::new(), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..5_000 {
                block_on(ping.wait_until(|| (turn.load(SeqCst) == 2 * i + 1).then_some(())));
                turn.store(2 * i + 2, SeqCst);
                pong.notify_one();
            }
        });
        for i in 0..5_000 {
            turn.store(2 * i + 1, SeqCst);
            ping.notify_one();
            block_on(pong.wait_until(|| (turn.load(SeqCst) == 2 * i + 2).then_some(())));
        }
    });
}
