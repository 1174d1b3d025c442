//! A queue of tasks (and callbacks) that wait for something to change: the one blocking primitive
//! under pipes, futexes, sockets, `poll` and `epoll`.
//!
//! The idea: waiting and notifying meet in a slab behind one lock, and a counter beside the lock says
//! whether anybody is there at all. A notification with nobody waiting is therefore one atomic load.
//! A waiter is a slab entry in a first-in-first-out list; the future that owns it takes it out again
//! when it is dropped, and if it had already been chosen by [`WaitQueue::notify_one`] it hands that
//! notification to the next in line, so a cancelled wait never swallows a wake-up.
//!
//! # No lost wake-ups
//!
//! A waiter must be registered *before* it looks at its condition for the last time, and a notifier
//! must change the condition *before* it notifies. [`WaitQueue::wait_until`] does the former. The
//! condition itself must be read and written either under one lock or with sequentially consistent
//! atomics: both make the notifier's look at the counter see the registration whenever the waiter's
//! look at the condition did not see the change.

use std::{
    fmt,
    future::Future,
    ops::Deref,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use futures::future::FusedFuture;
use parking_lot::Mutex;
use slab::Slab;
use smallvec::SmallVec;

/// Interest in every event.
pub const ALL_EVENTS: u32 = u32::MAX;

/// A notification of more waiters than this allocates.
const INLINE: usize = 16;

/// A slab that has become empty is given back when it had grown beyond this many entries.
const KEEP: usize = 64;

/// The end of the list of waiters.
const NIL: usize = usize::MAX;

/// Someone who is called, rather than woken, at each notification: an `epoll` instance's entry for a
/// file, for example.
///
/// It is called without any lock of the queue held, on the notifier's stack. It may register or
/// unregister observers and notify other queues; it must not block.
pub trait Observer: Send + Sync {
    /// `events` of those this observer registered for have happened.
    fn notify(&self, events: u32);
}

/// Names a registered [`Observer`] of one queue; never reused by that queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObserverKey {
    index: usize,
    serial: u64,
}

/// A first-in-first-out queue of waiting tasks, with callback observers beside them.
///
/// Events are 32 bits whose meaning the owner defines (`EPOLLIN`, a futex bitset); who does not care
/// uses the methods without `_for`, which stand for [`ALL_EVENTS`].
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU32, Ordering::SeqCst}};
/// use futures::executor::block_on;
/// use kernel_objects::wait_queue::WaitQueue;
///
/// let queue = Arc::new((WaitQueue::new(), AtomicU32::new(0)));
/// let setter = std::thread::spawn({
///     let queue = queue.clone();
///     move || {
///         queue.1.store(7, SeqCst); // first the change ...
///         queue.0.notify_all(); // ... then the notification
///     }
/// });
/// let value = block_on(queue.0.wait_until(|| match queue.1.load(SeqCst) {
///     0 => None,
///     n => Some(n),
/// }));
/// assert_eq!(value, 7);
/// setter.join().unwrap();
/// ```
#[derive(Default)]
pub struct WaitQueue {
    /// Listed waiters plus observers. Written under the lock; see the module about its ordering.
    occupants: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    waiters: Slab<Waiter>,
    head: usize,
    tail: usize,
    /// How many waiters are in the list, as opposed to notified ones that are still in the slab.
    listed: usize,
    /// Tells an observer's key from those of earlier ones at the same index.
    next_serial: u64,
    observers: Slab<Registered>,
}

struct Waiter {
    /// `None` until the future is first polled.
    waker: Option<Waker>,
    interest: u32,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    /// In the list, between two others.
    Listed { prev: usize, next: usize },
    /// Taken off the list by a notification of `events`. `exclusive`: that notification was for a
    /// counted number of waiters, so it has to reach another one if this one goes away.
    Notified { events: u32, exclusive: bool },
}

struct Registered {
    observer: Arc<dyn Observer>,
    interest: u32,
    serial: u64,
}

impl Default for State {
    fn default() -> Self {
        State {
            waiters: Slab::new(),
            head: NIL,
            tail: NIL,
            listed: 0,
            next_serial: 0,
            observers: Slab::new(),
        }
    }
}

impl State {
    fn push(&mut self, waker: Option<Waker>, interest: u32) -> usize {
        let place = Place::Listed { prev: self.tail, next: NIL };
        let key = self.waiters.insert(Waiter { waker, interest, place });
        match self.tail {
            NIL => self.head = key,
            tail => self.set_next(tail, key),
        }
        self.tail = key;
        self.listed += 1;
        key
    }

    /// Takes `key` off the list, leaving it in the slab.
    fn unlink(&mut self, key: usize) {
        let Some(Waiter { place: Place::Listed { prev, next }, .. }) = self.waiters.get(key) else {
            return;
        };
        let (prev, next) = (*prev, *next);
        match prev {
            NIL => self.head = next,
            prev => self.set_next(prev, next),
        }
        match next {
            NIL => self.tail = prev,
            next => self.set_prev(next, prev),
        }
        self.listed -= 1;
    }

    fn set_next(&mut self, key: usize, to: usize) {
        if let Some(Waiter { place: Place::Listed { next, .. }, .. }) = self.waiters.get_mut(key) {
            *next = to;
        }
    }

    fn set_prev(&mut self, key: usize, to: usize) {
        if let Some(Waiter { place: Place::Listed { prev, .. }, .. }) = self.waiters.get_mut(key) {
            *prev = to;
        }
    }

    fn remove(&mut self, key: usize) -> Option<Waiter> {
        self.unlink(key);
        let waiter = self.waiters.try_remove(key);
        if self.waiters.is_empty() && self.waiters.capacity() > KEEP {
            self.waiters = Slab::new();
        }
        waiter
    }

    fn occupants(&self) -> usize {
        self.listed + self.observers.len()
    }
}

impl WaitQueue {
    /// An empty queue. Allocates nothing until someone waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// True when neither a task nor an observer is there: a notification would do nothing.
    pub fn is_empty(&self) -> bool {
        self.occupants.load(Ordering::SeqCst) == 0
    }

    /// How many tasks wait and have not been notified.
    pub fn waiting(&self) -> usize {
        self.state.lock().listed
    }

    /// How many entries of any kind are held: waiting, notified but not yet polled, observing.
    pub fn entries(&self) -> usize {
        let state = self.state.lock();
        state.waiters.len() + state.observers.len()
    }

    fn publish(&self, state: &State) {
        self.occupants.store(state.occupants(), Ordering::SeqCst);
    }

    /// A future that is ready after the next notification that chooses it. It is registered at its
    /// first poll, or by [`Wait::arm`].
    pub fn wait(&self) -> Wait<&WaitQueue> {
        Wait::new(self, ALL_EVENTS)
    }

    /// As [`wait`](Self::wait), for notifications of one of `events` only.
    pub fn wait_for(&self, events: u32) -> Wait<&WaitQueue> {
        Wait::new(self, events)
    }

    /// Waits until `condition` gives a value. Costs nothing but the call when it does at once.
    pub async fn wait_until<T>(&self, condition: impl FnMut() -> Option<T>) -> T {
        self.wait_until_for(ALL_EVENTS, condition).await
    }

    /// As [`wait_until`](Self::wait_until); looks again only after notifications of one of `events`.
    pub async fn wait_until_for<T>(
        &self,
        events: u32,
        mut condition: impl FnMut() -> Option<T>,
    ) -> T {
        loop {
            if let Some(value) = condition() {
                return value;
            }
            let mut wait = self.wait_for(events);
            wait.arm();
            // Between the look above and the registration the condition may have come true.
            if let Some(value) = condition() {
                return value;
            }
            wait.await;
        }
    }

    /// Wakes the task that has waited longest. True if there was one.
    pub fn notify_one(&self) -> bool {
        self.notify_n_for(1, ALL_EVENTS) == 1
    }

    /// Wakes up to `n` tasks in the order of their arrival; returns how many.
    pub fn notify_n(&self, n: usize) -> usize {
        self.notify_n_for(n, ALL_EVENTS)
    }

    /// Wakes every task that waits now; returns how many.
    pub fn notify_all(&self) -> usize {
        self.notify_all_for(ALL_EVENTS)
    }

    /// Wakes up to `n` of the tasks that wait for one of `events`, in the order of their arrival, and
    /// calls every observer of them. Returns how many tasks were woken.
    pub fn notify_n_for(&self, n: usize, events: u32) -> usize {
        if self.is_empty() {
            return 0;
        }
        self.notify_slow(n, events, true)
    }

    /// Wakes every task that waits for one of `events` now, and calls every observer of them. Returns
    /// how many tasks were woken.
    pub fn notify_all_for(&self, events: u32) -> usize {
        if self.is_empty() {
            return 0;
        }
        self.notify_slow(usize::MAX, events, false)
    }

    #[cold]
    fn notify_slow(&self, n: usize, events: u32, exclusive: bool) -> usize {
        let mut state = self.state.lock();
        let observers: SmallVec<[(Arc<dyn Observer>, u32); 4]> = state
            .observers
            .iter()
            .filter(|(_, o)| o.interest & events != 0)
            .map(|(_, o)| (o.observer.clone(), o.interest & events))
            .collect();
        let mut wakers: SmallVec<[Waker; INLINE]> = SmallVec::new();
        let mut woken = 0;
        let mut cursor = state.head;
        while woken < n {
            let Some(waiter) = state.waiters.get_mut(cursor) else { break };
            let Place::Listed { next, .. } = waiter.place else { break };
            let key = std::mem::replace(&mut cursor, next);
            if waiter.interest & events == 0 {
                continue;
            }
            wakers.extend(waiter.waker.take());
            state.unlink(key);
            if let Some(waiter) = state.waiters.get_mut(key) {
                waiter.place = Place::Notified { events, exclusive };
            }
            woken += 1;
        }
        self.publish(&state);
        drop(state);
        // Wakers and observers are foreign code that may come back to this queue.
        for waker in wakers {
            waker.wake();
        }
        for (observer, events) in observers {
            observer.notify(events);
        }
        woken
    }

    /// Registers `observer` to be called at each notification of one of `events` until
    /// [`unregister`](Self::unregister). It is not called for what happened before: look at the
    /// state after registering.
    pub fn register(&self, events: u32, observer: Arc<dyn Observer>) -> ObserverKey {
        let mut state = self.state.lock();
        state.next_serial += 1;
        let serial = state.next_serial;
        let index = state.observers.insert(Registered { observer, interest: events, serial });
        self.publish(&state);
        ObserverKey { index, serial }
    }

    /// Changes what a registered observer is called for. False if `key` is not registered.
    pub fn set_interest(&self, key: ObserverKey, events: u32) -> bool {
        let mut state = self.state.lock();
        match state.observers.get_mut(key.index).filter(|o| o.serial == key.serial) {
            Some(registered) => {
                registered.interest = events;
                true
            }
            None => false,
        }
    }

    /// Takes an observer out and returns it; `None` if `key` is not registered. A notification that
    /// runs at the same time on another thread may still call the observer once after this.
    pub fn unregister(&self, key: ObserverKey) -> Option<Arc<dyn Observer>> {
        let mut state = self.state.lock();
        state.observers.get(key.index).filter(|o| o.serial == key.serial)?;
        let registered = state.observers.try_remove(key.index);
        if state.observers.is_empty() && state.observers.capacity() > KEEP {
            state.observers = Slab::new();
        }
        self.publish(&state);
        drop(state);
        registered.map(|r| r.observer)
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue").field("occupants", &self.occupants).finish_non_exhaustive()
    }
}

/// One wait on a [`WaitQueue`], made by [`WaitQueue::wait`]; `Q` is how it holds the queue, such as
/// `&WaitQueue` or `Arc<WaitQueue>`.
///
/// Dropped, it leaves the queue, and passes an unused [`notify_one`](WaitQueue::notify_one) on. Polled
/// from another task, it wakes that one. Once ready it stays ready.
#[must_use = "futures do nothing unless polled"]
pub struct Wait<Q: Deref<Target = WaitQueue>> {
    queue: Q,
    interest: u32,
    progress: Progress,
}

#[derive(Clone, Copy)]
enum Progress {
    /// Not in the queue yet.
    New,
    /// In the slab under this key, listed or notified.
    Queued(usize),
    Done,
}

impl<Q: Deref<Target = WaitQueue>> Wait<Q> {
    /// A wait on `queue` for one of `events`.
    pub fn new(queue: Q, events: u32) -> Self {
        Wait { queue, interest: events, progress: Progress::New }
    }

    /// Registers now rather than at the first poll, so that no notification after this is missed.
    pub fn arm(&mut self) {
        if let Progress::New = self.progress {
            self.enqueue(None);
        }
    }

    fn enqueue(&mut self, waker: Option<Waker>) {
        let mut state = self.queue.state.lock();
        let key = state.push(waker, self.interest);
        self.queue.publish(&state);
        self.progress = Progress::Queued(key);
    }

    /// Whether a notification has chosen this wait. Does not consume it.
    pub fn is_notified(&self) -> bool {
        match self.progress {
            Progress::New => false,
            Progress::Done => true,
            Progress::Queued(key) => {
                let state = self.queue.state.lock();
                matches!(state.waiters.get(key), Some(Waiter { place: Place::Notified { .. }, .. }))
            }
        }
    }
}

impl<Q: Deref<Target = WaitQueue> + Unpin> Future for Wait<Q> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let key = match self.progress {
            Progress::Done => return Poll::Ready(()),
            Progress::New => {
                self.enqueue(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            Progress::Queued(key) => key,
        };
        let mut state = self.queue.state.lock();
        let mut replaced = None;
        if let Some(waiter) = state.waiters.get_mut(key)
            && let Place::Listed { .. } = waiter.place
        {
            // The task that polls last is the one to wake.
            if !waiter.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                replaced = waiter.waker.replace(cx.waker().clone());
            }
            drop(state);
            drop(replaced); // a waker's drop is foreign code: not under the lock
            return Poll::Pending;
        }
        let waiter = state.remove(key);
        drop(state);
        drop(waiter);
        self.progress = Progress::Done;
        Poll::Ready(())
    }
}

impl<Q: Deref<Target = WaitQueue> + Unpin> FusedFuture for Wait<Q> {
    fn is_terminated(&self) -> bool {
        matches!(self.progress, Progress::Done)
    }
}

impl<Q: Deref<Target = WaitQueue>> Drop for Wait<Q> {
    fn drop(&mut self) {
        let Progress::Queued(key) = self.progress else { return };
        let mut state = self.queue.state.lock();
        let waiter = state.remove(key);
        self.queue.publish(&state);
        drop(state);
        if let Some(Waiter { place: Place::Notified { events, exclusive: true }, .. }) = waiter {
            // Observers heard of it the first time; calling them again only makes them look twice.
            self.queue.notify_n_for(1, events);
        }
    }
}

impl<Q: Deref<Target = WaitQueue>> fmt::Debug for Wait<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("notified", &self.is_notified()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};

    use futures::{
        FutureExt,
        executor::block_on,
        task::{ArcWake, noop_waker_ref, waker},
    };

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
        fn notify(&self, events: u32) {
            self.0.fetch_add(events as usize, SeqCst);
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
        let woken =
            |counts: &[Arc<Count>]| counts.iter().map(|c| c.0.load(SeqCst)).collect::<Vec<_>>();
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
    fn an_observer_may_come_back_to_the_queue() {
        struct Again(Arc<WaitQueue>, Mutex<Option<ObserverKey>>);
        impl Observer for Again {
            fn notify(&self, _: u32) {
                if let Some(key) = self.1.lock().take() {
                    self.0.unregister(key);
                }
                self.0.notify_one();
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
}
