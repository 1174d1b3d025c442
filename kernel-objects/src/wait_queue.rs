//! A queue of tasks (and callbacks) that wait for something to change: the one blocking primitive
//! under pipes, futexes, sockets, `poll` and `epoll`.
//!
//! The idea: waiting and notifying meet in a slab behind one lock, and a counter beside the lock says
//! whether anybody is there at all. A notification with nobody waiting is therefore one atomic load.
//! A waiter is a slab entry in a first-in-first-out list; the future that owns it takes it out again
//! when it is dropped, and if it had already been chosen by [`WaitQueue::notify_one`] it hands that
//! notification to the next in line, so a cancelled wait never swallows a wake-up. A notification of
//! all takes its waiters out itself, so the last of them to be polled finds the counter at zero and
//! needs no lock either.
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
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures::future::FusedFuture;
use slab::Slab;
use smallvec::SmallVec;

use crate::sync::{BiasedGuard, Change, Waiters};

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
    /// `events` of those this observer registered for have happened. True if somebody was woken for it, so that no other
    /// [exclusive](WaitQueue::register_exclusive) observer need be told.
    fn notify(&self, events: u32) -> bool;
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
    /// Counts waiters in the slab plus observers; see the module about its ordering.
    state: Waiters<State>,
}

struct State {
    waiters: Slab<Waiter>,
    head: usize,
    tail: usize,
    /// How many waiters are in the list, as opposed to notified ones that are still in the slab.
    listed: usize,
    /// Tells an entry from earlier ones at the same index.
    next_serial: u64,
    observers: Slab<Registered>,
}

struct Waiter {
    /// `None` until the future is first polled.
    waker: Option<Waker>,
    interest: u32,
    serial: u64,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    /// In the list, between two others.
    Listed { prev: usize, next: usize },
    /// Taken off the list by a notification of `events` for a counted number of waiters, which has to
    /// reach another one if this one goes away. A notification of all leaves no entry behind.
    Notified { events: u32 },
}

/// Names a waiter: its place in the slab, which others had before it.
#[derive(Clone, Copy)]
struct Ticket {
    index: usize,
    serial: u64,
}

/// The wakers that a notification took out of a queue, to be woken when its lock is free. Nearly always it is one, which
/// costs no list.
#[derive(Default)]
struct Woken {
    first: Option<Waker>,
    rest: SmallVec<[Waker; INLINE]>,
}

impl Woken {
    #[inline]
    fn push(&mut self, waker: Waker) {
        match self.first {
            None => self.first = Some(waker),
            Some(_) => self.rest.push(waker),
        }
    }

    #[inline]
    fn wake(mut self) {
        if let Some(waker) = self.first.take() {
            waker.wake();
        }
        if !self.rest.is_empty() {
            self.rest.drain(..).for_each(Waker::wake);
        }
    }
}

/// An observer that is to be called, with which events, and whether it is exclusive.
type Called = (Arc<dyn Observer>, u32, bool);

struct Registered {
    observer: Arc<dyn Observer>,
    interest: u32,
    serial: u64,
    exclusive: bool,
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
    fn push(&mut self, waker: Option<Waker>, interest: u32) -> Ticket {
        let place = Place::Listed { prev: self.tail, next: NIL };
        self.next_serial += 1;
        let serial = self.next_serial;
        let key = self.waiters.insert(Waiter { waker, interest, serial, place });
        match self.tail {
            NIL => self.head = key,
            tail => self.set_next(tail, key),
        }
        self.tail = key;
        self.listed += 1;
        Ticket { index: key, serial }
    }

    /// The waiter of that ticket, unless a notification of all took it out.
    fn waiter(&mut self, ticket: Ticket) -> Option<&mut Waiter> {
        self.waiters.get_mut(ticket.index).filter(|waiter| waiter.serial == ticket.serial)
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
        self.waiters.len() + self.observers.len()
    }

    /// The observers of `events`, each with those of them that it is to be told of, and whether it is exclusive.
    #[cold]
    fn observers_of(&self, events: u32) -> SmallVec<[Called; 4]> {
        let concerned = self.observers.iter().filter(|(_, o)| o.interest & events != 0);
        concerned.map(|(_, o)| (o.observer.clone(), o.interest & events, o.exclusive)).collect()
    }
}

impl WaitQueue {
    /// An empty queue. Allocates nothing until someone waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// True when neither a task nor an observer is there, waiting or notified but not yet polled: a
    /// notification would do nothing.
    pub fn is_empty(&self) -> bool {
        self.state.is_empty_after(Change::Ordered)
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

    /// Tells notifiers of one more occupant; sequentially consistent, see the module.
    fn publish_more(&self, state: &mut BiasedGuard<'_, State>) {
        let occupants = state.occupants();
        self.state.enter(state, occupants);
    }

    /// Tells of fewer: who sees too many only takes the lock in vain.
    fn publish_fewer(&self, state: &mut BiasedGuard<'_, State>) {
        let occupants = state.occupants();
        self.state.leave(state, occupants);
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

    fn notify_slow(&self, n: usize, events: u32, exclusive: bool) -> usize {
        let mut woken = Woken::default();
        let mut count = 0;
        let mut state = self.state.lock();
        let observers = match state.observers.is_empty() {
            true => None,
            false => Some(state.observers_of(events)),
        };
        let mut cursor = state.head;
        while count < n {
            let Some(waiter) = state.waiters.get_mut(cursor) else { break };
            let Place::Listed { next, .. } = waiter.place else { break };
            let key = std::mem::replace(&mut cursor, next);
            if waiter.interest & events == 0 {
                continue;
            }
            if let Some(waker) = waiter.waker.take() {
                woken.push(waker);
            }
            if exclusive {
                state.unlink(key);
                if let Some(waiter) = state.waiters.get_mut(key) {
                    waiter.place = Place::Notified { events };
                }
            } else {
                state.remove(key);
            }
            count += 1;
        }
        self.publish_fewer(&mut state);
        drop(state);
        // Wakers and observers are foreign code that may come back to this queue.
        woken.wake();
        let mut taken = false;
        for (observer, events, exclusive) in observers.into_iter().flatten() {
            if !(exclusive && taken) {
                taken |= observer.notify(events) && exclusive;
            }
        }
        count
    }

    /// Registers `observer` to be called at each notification of one of `events` until
    /// [`unregister`](Self::unregister). It is not called for what happened before: look at the
    /// state after registering.
    pub fn register(&self, events: u32, observer: Arc<dyn Observer>) -> ObserverKey {
        self.register_as(events, observer, false)
    }

    /// As [`register`](Self::register), but of all observers that are registered so only as many are called as it takes until
    /// one has woken somebody (`EPOLLEXCLUSIVE`).
    pub fn register_exclusive(&self, events: u32, observer: Arc<dyn Observer>) -> ObserverKey {
        self.register_as(events, observer, true)
    }

    fn register_as(
        &self,
        interest: u32,
        observer: Arc<dyn Observer>,
        exclusive: bool,
    ) -> ObserverKey {
        let mut state = self.state.lock();
        state.next_serial += 1;
        let serial = state.next_serial;
        let index = state.observers.insert(Registered { observer, interest, serial, exclusive });
        self.publish_more(&mut state);
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
        self.publish_fewer(&mut state);
        drop(state);
        registered.map(|r| r.observer)
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue").field("occupants", &self.state.count()).finish_non_exhaustive()
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
    /// It was put into the slab with this ticket; a notification of all has taken it out since if it is not there.
    Queued(Ticket),
    Done,
}

impl<Q: Deref<Target = WaitQueue>> Wait<Q> {
    /// A wait on `queue` for one of `events`.
    pub fn new(queue: Q, events: u32) -> Self {
        Wait { queue, interest: events, progress: Progress::New }
    }

    /// What it waits for, as it was given.
    pub fn queue(&self) -> &Q {
        &self.queue
    }

    /// Registers now rather than at the first poll, so that no notification after this is missed.
    pub fn arm(&mut self) {
        if let Progress::New = self.progress {
            self.enqueue(None);
        }
    }

    fn enqueue(&mut self, waker: Option<Waker>) {
        let mut state = self.queue.state.lock();
        let ticket = state.push(waker, self.interest);
        self.queue.publish_more(&mut state);
        self.progress = Progress::Queued(ticket);
    }

    /// Whether a notification has chosen this wait. Does not consume it.
    pub fn is_notified(&self) -> bool {
        match self.progress {
            Progress::New => false,
            Progress::Done => true,
            Progress::Queued(ticket) => {
                let mut state = self.queue.state.lock();
                !matches!(state.waiter(ticket), Some(Waiter { place: Place::Listed { .. }, .. }))
            }
        }
    }
}

impl<Q: Deref<Target = WaitQueue> + Unpin> Future for Wait<Q> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let ticket = match self.progress {
            Progress::Done => return Poll::Ready(()),
            Progress::New => {
                self.enqueue(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            Progress::Queued(ticket) => ticket,
        };
        // Nobody is there, so this one is not either: a notification of all took it out.
        if !self.queue.is_empty() {
            let mut state = self.queue.state.lock();
            let mut replaced = None;
            if let Some(waiter) = state.waiter(ticket) {
                if let Place::Listed { .. } = waiter.place {
                    // The task that polls last is the one to wake.
                    if !waiter.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                        replaced = waiter.waker.replace(cx.waker().clone());
                    }
                    drop(state);
                    drop(replaced); // a waker's drop is foreign code: not under the lock
                    return Poll::Pending;
                }
                let waiter = state.remove(ticket.index);
                self.queue.publish_fewer(&mut state);
                drop(state);
                drop(waiter);
            }
        }
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
        let Progress::Queued(ticket) = self.progress else { return };
        if self.queue.is_empty() {
            return;
        }
        let mut state = self.queue.state.lock();
        if state.waiter(ticket).is_none() {
            return;
        }
        let waiter = state.remove(ticket.index);
        self.queue.publish_fewer(&mut state);
        drop(state);
        if let Some(Waiter { place: Place::Notified { events }, .. }) = waiter {
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
mod tests;
