//! The waker of the task that runs a thread, for all who have the thread to wake.
//!
//! An executor gives a task one waker for life, so the first one is kept for good and used without a lock or a count. Should
//! the run move to another task all the same, the last waker is kept beside it and takes over.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering, fence},
};
use std::task::Waker;

use parking_lot::Mutex;

/// Empty until the run is first polled.
#[derive(Debug, Default)]
pub(super) struct TaskWaker {
    /// Of the first task.
    first: OnceLock<Waker>,
    /// Whether `last` is the one that counts. Set by the run, once.
    moved: AtomicBool,
    last: Mutex<Option<Waker>>,
}

impl TaskWaker {
    /// From now on `waker` is woken. The caller looks afterwards at what it could have been woken for.
    #[inline]
    pub(super) fn register(&self, waker: &Waker) {
        let first = self.first.get_or_init(|| waker.clone());
        if !first.will_wake(waker) || self.moved.load(Ordering::Relaxed) {
            self.replace(waker);
        }
    }

    #[cold]
    fn replace(&self, waker: &Waker) {
        let old = self.last.lock().replace(waker.clone());
        drop(old);
        self.moved.store(true, Ordering::SeqCst);
        // One who has set a bit of work and still sees the first waker set it before the caller looks.
        fence(Ordering::SeqCst);
    }

    /// Wakes the task, if there is one yet.
    #[inline]
    pub(super) fn wake(&self) {
        if self.moved.load(Ordering::SeqCst) {
            // Cloned, for nothing is woken with a lock held.
            let last = self.last.lock().clone();
            last.inspect(Waker::wake_by_ref);
        } else if let Some(first) = self.first.get() {
            first.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, atomic::AtomicUsize},
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_task_that_polled_last_is_woken() {
        let (a, b) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (of_a, of_b) = (Waker::from(a.clone()), Waker::from(b.clone()));
        let count = || (a.0.load(Ordering::SeqCst), b.0.load(Ordering::SeqCst));
        let waker = TaskWaker::default();
        waker.wake();
        waker.register(&of_a);
        waker.wake();
        waker.register(&of_a);
        waker.wake();
        assert_eq!(count(), (2, 0));
        waker.register(&of_b);
        waker.wake();
        assert_eq!(count(), (2, 1));
        waker.register(&of_a);
        waker.wake();
        assert_eq!(count(), (3, 1));
    }
}
