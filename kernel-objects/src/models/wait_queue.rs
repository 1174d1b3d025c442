//! Notifications that meet waits which begin, move and end.

use shuttle::sync::atomic::AtomicBool;

use super::*;
use crate::WaitQueue;

#[test]
fn a_wait_that_begins_while_it_is_notified_ends() {
    model(|| {
        let (queue, done) = (WaitQueue::new(), AtomicBool::new(false));
        let wait = || block_on(queue.wait_until(|| done.load(SeqCst).then_some(())));
        race!(wait, wait, || {
            done.store(true, SeqCst);
            queue.notify_all();
        });
        assert_eq!(queue.entries(), 0);
    });
}

#[test]
fn a_notification_of_one_that_gives_up_reaches_another() {
    model(|| {
        let queue = WaitQueue::new();
        let [mut first, mut second] = [queue.wait(), queue.wait()];
        first.arm();
        second.arm();
        race!(|| drop(first), || block_on(second), || assert!(queue.notify_one()));
        assert_eq!(queue.entries(), 0);
    });
}

#[test]
fn each_of_two_notifications_wakes_one() {
    model(|| {
        let queue = WaitQueue::new();
        let [mut first, mut second, mut third] = [queue.wait(), queue.wait(), queue.wait()];
        first.arm();
        second.arm();
        third.arm();
        race!(
            || drop(first),
            || block_on(second),
            || block_on(third),
            || assert!(queue.notify_one()),
            || assert_eq!(queue.notify_n(1), 1),
        );
        assert_eq!(queue.entries(), 0);
    });
}

#[test]
fn a_wait_that_moves_to_another_task_wakes_that_one() {
    model(|| {
        let queue = WaitQueue::new();
        let mut wait = queue.wait();
        assert!(poll_once(&mut wait).is_pending());
        race!(|| block_on(wait), || assert_eq!(queue.notify_all(), 1));
        assert_eq!(queue.entries(), 0);
    });
}
