//! A queue of timers: who is to be woken when.
//!
//! An ordered map by (deadline, number), so that insertion, removal and finding the earliest are O(log n) and a removed
//! timer leaves nothing behind. Beside it, the earliest deadline as an atomic, which a CPU's loop reads for a nanosecond.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use smallvec::SmallVec;

use super::{monotonic, virtual_time};

/// Deadline of an empty queue.
const NEVER: u64 = u64::MAX;

/// The timers of one CPU, or of all threads that are none.
#[derive(Debug)]
pub(crate) struct TimerQueue {
    timers: Mutex<Timers>,
    /// The earliest deadline, `NEVER` when empty; written under the lock.
    next: AtomicU64,
    /// Told when the earliest deadline moves forward. For the queue that a thread of its own serves:
    /// a CPU's is only added to by the CPU itself, which is awake then.
    earlier: Condvar,
}

#[derive(Debug, Default)]
struct Timers {
    by_deadline: BTreeMap<Key, Waker>,
    count: u64,
    closed: bool,
    /// The thread that serves the queue is to look again before it waits.
    look: bool,
}

/// Names a timer in its queue: its deadline, and a number that no other timer had or will have.
pub(super) type Key = (u64, u64);

impl TimerQueue {
    pub(crate) fn new() -> Self {
        Self { timers: Mutex::default(), next: AtomicU64::new(NEVER), earlier: Condvar::new() }
    }

    /// The queue to put a timer of this thread in.
    pub(super) fn current() -> Arc<TimerQueue> {
        crate::cpu::current_timers().unwrap_or_else(|| fallback().clone())
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<u64> {
        // Relaxed: the CPU that sleeps by it is the one that adds; a deadline that another thread just removed
        // costs one wake-up in vain.
        Some(self.next.load(Ordering::Relaxed)).filter(|&next| next != NEVER)
    }

    /// Adds a timer; `Err` when the queue is served no more.
    pub(super) fn insert(&self, deadline: u64, waker: &Waker) -> Result<Key, Closed> {
        let mut timers = self.timers.lock();
        if timers.closed {
            return Err(Closed);
        }
        timers.count += 1;
        let key = (deadline, timers.count);
        timers.by_deadline.insert(key, waker.clone());
        if deadline < self.next.load(Ordering::Relaxed) {
            self.next.store(deadline, Ordering::Relaxed);
            self.earlier.notify_one();
        }
        Ok(key)
    }

    /// Has the timer wake `waker` from now on; false when it has fired already.
    pub(super) fn update(&self, key: Key, waker: &Waker) -> bool {
        match self.timers.lock().by_deadline.get_mut(&key) {
            Some(old) => {
                old.clone_from(waker);
                true
            }
            None => false,
        }
    }

    /// Takes a timer out, if it has not fired.
    pub(super) fn remove(&self, key: Key) {
        let mut timers = self.timers.lock();
        let waker = timers.by_deadline.remove(&key);
        if waker.is_some() && self.next.load(Ordering::Relaxed) == key.0 {
            self.note_next(&timers);
        }
        drop(timers);
        // Outside of the lock: dropping the last waker of a task drops its future, with its timers.
        drop(waker);
    }

    fn note_next(&self, timers: &Timers) {
        let next = timers.by_deadline.first_key_value().map_or(NEVER, |(key, _)| key.0);
        self.next.store(next, Ordering::Relaxed);
    }

    /// Wakes all whose deadline has come; says how many.
    pub(crate) fn fire(&self) -> usize {
        let now = monotonic();
        let mut due = SmallVec::<[Waker; 16]>::new();
        let mut timers = self.timers.lock();
        while let Some(first) = timers.by_deadline.first_entry() {
            if first.key().0 > now {
                break;
            }
            due.push(first.remove());
        }
        self.note_next(&timers);
        drop(timers);
        let count = due.len();
        due.into_iter().for_each(Waker::wake);
        count
    }

    /// Ends the queue: wakes everybody, so that they wait elsewhere.
    pub(crate) fn close(&self) {
        let mut timers = self.timers.lock();
        timers.closed = true;
        let all = std::mem::take(&mut timers.by_deadline);
        self.note_next(&timers);
        drop(timers);
        all.into_values().for_each(Waker::wake);
    }

    /// Serves the queue on this thread, for ever.
    fn serve(&self) {
        // SAFETY: PR_SET_TIMERSLACK takes a number and touches no memory.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1usize, 0usize, 0usize, 0usize) };
        loop {
            self.fire();
            if virtual_time::is_virtual() {
                virtual_time::skip();
            }
            let mut timers = self.timers.lock();
            // Read under the lock, under which it is written before `earlier` is told.
            let next = self.next.load(Ordering::Relaxed);
            if std::mem::take(&mut timers.look) {
                continue;
            }
            if next == NEVER {
                self.earlier.wait(&mut timers);
            } else {
                let rest = next.saturating_sub(monotonic());
                self.earlier.wait_for(&mut timers, Duration::from_nanos(rest));
            }
        }
    }

    /// Has the thread that serves the queue look at the clock.
    fn look_again(&self) {
        self.timers.lock().look = true;
        self.earlier.notify_one();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.timers.lock().by_deadline.len()
    }
}

/// The queue is served no more.
#[derive(Debug)]
pub(super) struct Closed;

/// The earliest deadline of all queues.
pub(super) fn earliest() -> Option<u64> {
    let fallback = FALLBACK.get().and_then(|queue| queue.next());
    fallback.into_iter().chain(crate::cpu::earliest_deadline()).min()
}

/// Has all who sleep by a deadline look at the clock.
pub(super) fn look_again() {
    if let Some(queue) = FALLBACK.get() {
        queue.look_again();
    }
    crate::cpu::wake_sleepers();
}

/// Has a thread without locks see whether time is to be skipped.
pub(super) fn have_skipped() {
    fallback().look_again();
}

static FALLBACK: OnceLock<Arc<TimerQueue>> = OnceLock::new();

/// The queue of threads that are no CPUs.
pub(super) fn fallback() -> &'static Arc<TimerQueue> {
    FALLBACK.get_or_init(|| {
        let queue = Arc::new(TimerQueue::new());
        let served = queue.clone();
        // libc clears the new thread's memory with registers that may be a guest's.
        crate::context::release_registers();
        let thread = thread::Builder::new().name("timers".into()).spawn(move || served.serve());
        if let Err(error) = thread {
            // Sleepers outside of the CPUs would hang; better to say why.
            log::error!("no thread for timers: {error}");
        }
        queue
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn due_timers_fire_once_and_the_rest_stays() {
        let (queue, count) = (TimerQueue::new(), Arc::new(Count(AtomicUsize::new(0))));
        let waker = Waker::from(count.clone());
        let now = monotonic();
        for deadline in [now, now - 1, now + 3_600_000_000_000, now] {
            queue.insert(deadline, &waker).unwrap();
        }
        assert_eq!(queue.next(), Some(now - 1));
        assert_eq!((queue.fire(), queue.fire()), (3, 0));
        assert_eq!(count.0.load(Ordering::Relaxed), 3);
        assert_eq!((queue.len(), queue.next()), (1, Some(now + 3_600_000_000_000)));
    }

    #[test]
    fn removal_moves_the_next_deadline() {
        let queue = TimerQueue::new();
        let a = queue.insert(10, Waker::noop()).unwrap();
        let b = queue.insert(20, Waker::noop()).unwrap();
        queue.remove(a);
        assert_eq!(queue.next(), Some(20));
        assert!(!queue.update(a, Waker::noop()) && queue.update(b, Waker::noop()));
        queue.remove(b);
        queue.remove(b);
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn a_closed_queue_wakes_all_and_takes_none() {
        let (queue, count) = (TimerQueue::new(), Arc::new(Count(AtomicUsize::new(0))));
        queue.insert(NEVER - 1, &count.clone().into()).unwrap();
        queue.close();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(queue.insert(0, Waker::noop()).is_err());
    }
}
