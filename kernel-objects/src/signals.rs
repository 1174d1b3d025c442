//! The 32 signal bits of an object, and waiting for them.
//!
//! A [`SignalState`] is a word of bits and a slab of watchers behind one lock. Every change of the
//! word is made under that lock and shown to every watcher, so that a signal which is set and cleared
//! again at once is still seen by those who wait for it. A watcher is a task (a [`WaitOne`] future,
//! or a share of a [`WaitMany`](crate::wait_many::WaitMany)) or a sink such as a port. A future that
//! is dropped takes its watcher with it.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Weak,
    task::{Context, Poll, Waker},
};

use bitflags::bitflags;
use futures::future::FusedFuture;
use slab::Slab;
use smallvec::SmallVec;

use crate::{
    error::{Error, Result},
    sync::{
        BiasedMutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

bitflags! {
    /// Signals of an object: `zx_signals_t` (`zircon/types.h`).
    ///
    /// Bits 0–22 mean something else for each type of object, as their several names say; the names
    /// of one bit are equal. Bits 24–31 mean what their users agree on.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Signals: u32 {
        /// Something can be read: channels, FIFOs, sockets, debug logs.
        const READABLE = 1 << 0;
        /// Something can be written.
        const WRITABLE = 1 << 1;
        /// The other end is closed.
        const PEER_CLOSED = 1 << 2;
        /// Events, event pairs, timers: signaled.
        const SIGNALED = 1 << 3;
        /// Jobs, processes, threads: terminated.
        const TASK_TERMINATED = 1 << 3;
        /// VMOs: no child is left.
        const VMO_ZERO_CHILDREN = 1 << 3;
        /// Threads: running.
        const THREAD_RUNNING = 1 << 4;
        /// Jobs: no child job is alive.
        const JOB_NO_JOBS = 1 << 4;
        /// Clocks: started.
        const CLOCK_STARTED = 1 << 4;
        /// Virtual interrupts: not triggered, or acknowledged since.
        const VIRTUAL_INTERRUPT_UNTRIGGERED = 1 << 4;
        /// Counters: the value is not positive.
        const COUNTER_NON_POSITIVE = 1 << 4;
        /// Sockets: the peer does not write any more.
        const SOCKET_PEER_WRITE_DISABLED = 1 << 4;
        /// Threads: suspended.
        const THREAD_SUSPENDED = 1 << 5;
        /// Clocks: updated. Shown to those who wait when it happens, never set in an object's state.
        const CLOCK_UPDATED = 1 << 5;
        /// Jobs: no process in it is alive.
        const JOB_NO_PROCESSES = 1 << 5;
        /// Counters: the value is positive.
        const COUNTER_POSITIVE = 1 << 5;
        /// Sockets: this end does not write any more.
        const SOCKET_WRITE_DISABLED = 1 << 5;
        /// Jobs: neither a child job nor a process is alive.
        const JOB_NO_CHILDREN = 1 << 6;
        /// Sockets: as much as the read threshold can be read.
        const SOCKET_READ_THRESHOLD = 1 << 10;
        /// Sockets: as much as the write threshold can be written.
        const SOCKET_WRITE_THRESHOLD = 1 << 11;
        /// The handle through which one waited was closed. Never set in an object's state.
        const HANDLE_CLOSED = 1 << 23;
        /// User signal 0.
        const USER_0 = 1 << 24;
        /// User signal 1.
        const USER_1 = 1 << 25;
        /// User signal 2.
        const USER_2 = 1 << 26;
        /// User signal 3.
        const USER_3 = 1 << 27;
        /// User signal 4.
        const USER_4 = 1 << 28;
        /// User signal 5.
        const USER_5 = 1 << 29;
        /// User signal 6.
        const USER_6 = 1 << 30;
        /// User signal 7.
        const USER_7 = 1 << 31;
        /// Every user signal.
        const USER_ALL = 0xff00_0000;
        // The remaining bits are assigned to no name but may be waited for.
        const _ = !0;
    }
}

/// Identifies the handle through which a wait was made; 0 is none. See
/// [`SignalState::cancel_handle`].
pub type HandleId = u64;

/// Takes what happens to watched objects: a port.
///
/// Called without any lock of the object held.
pub trait SignalSink: Send + Sync {
    /// The watch that was registered with `token` has ended since the object's signals, now or for
    /// a moment, were `observed`.
    fn deliver(&self, token: u64, observed: Signals);

    /// The watch registered with `token` has ended since the handle it was made through was closed.
    fn cancel(&self, token: u64);
}

/// Names one watch of a sink on one object; never reused by that object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WatchKey {
    index: usize,
    serial: u64,
}

/// An object's signals and those who wait for them.
pub struct SignalState {
    /// Written under the lock of `watchers` only.
    bits: AtomicU32,
    /// How many entries the slab has; written under its lock.
    count: AtomicUsize,
    watchers: BiasedMutex<Watchers>,
}

#[derive(Default)]
struct Watchers {
    slab: Slab<Watcher>,
    next_serial: u64,
}

struct Watcher {
    mask: Signals,
    handle: HandleId,
    serial: u64,
    kind: Kind,
}

enum Kind {
    /// A future. It takes itself out; until then the outcome waits for it here.
    Task { waker: Waker, outcome: Option<Result<Signals>> },
    /// A sink: taken out when it fires. `edge`: only a bit that was clear before counts.
    Sink { sink: Weak<dyn SignalSink>, token: u64, edge: bool },
}

/// What a change of signals leaves to be called once no lock is held any more.
#[derive(Default)]
#[must_use = "those who wait would not learn of the change"]
pub(crate) struct Calls {
    observed: Signals,
    wakers: SmallVec<[Waker; 4]>,
    sinks: SmallVec<[(Weak<dyn SignalSink>, u64); 2]>,
}

impl Calls {
    fn sinks(self, call: impl Fn(&dyn SignalSink, u64, Signals)) {
        self.wakers.into_iter().for_each(Waker::wake);
        for (sink, token) in self.sinks {
            if let Some(sink) = sink.upgrade() {
                call(&*sink, token, self.observed);
            }
        }
    }

    /// Wakes those who waited and tells the sinks.
    pub(crate) fn run(self) {
        self.sinks(|sink, token, observed| sink.deliver(token, observed));
    }
}

impl SignalState {
    /// A state with these bits set and no watcher.
    pub fn new(bits: Signals) -> Self {
        SignalState {
            bits: AtomicU32::new(bits.bits()),
            count: AtomicUsize::new(0),
            watchers: BiasedMutex::default(),
        }
    }

    /// The bits that are set now.
    pub fn get(&self) -> Signals {
        Signals::from_bits_retain(self.bits.load(Ordering::SeqCst))
    }

    /// How many waits are registered.
    pub fn watchers(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Clears and then sets bits, and tells those who wait for one of the bits that are then set.
    pub fn update(&self, clear: Signals, set: Signals) {
        let bits = self.get();
        if (bits - clear) | set != bits {
            self.change(clear, set).run();
        }
    }

    /// As [`update`](Self::update), leaving the calls to the caller: for one who holds a lock that
    /// orders its changes.
    pub(crate) fn change(&self, clear: Signals, set: Signals) -> Calls {
        self.change_and_strobe(clear, set, Signals::empty())
    }

    /// Sets bits, and shows others to those who wait now, for whom they become set and are clear again at once.
    pub fn set_and_strobe(&self, set: Signals, strobe: Signals) {
        self.change_and_strobe(Signals::empty(), set, strobe).run();
    }

    fn change_and_strobe(&self, clear: Signals, set: Signals, strobe: Signals) -> Calls {
        let mut watchers = self.watchers.lock();
        let before = self.get();
        let stays = (before - clear) | set;
        let now = stays | strobe;
        let mut calls = Calls { observed: now, ..Calls::default() };
        self.bits.store(stays.bits(), Ordering::SeqCst);
        if watchers.slab.is_empty() || now == before {
            return calls;
        }
        watchers.slab.retain(|_, watcher| {
            if !now.intersects(watcher.mask) {
                return true;
            }
            match &mut watcher.kind {
                Kind::Task { outcome: Some(_), .. } => true,
                Kind::Task { waker, outcome } => {
                    *outcome = Some(Ok(now));
                    calls.wakers.push(waker.clone());
                    true
                }
                Kind::Sink { edge: true, .. } if !(now - before).intersects(watcher.mask) => true,
                Kind::Sink { sink, token, .. } => {
                    calls.sinks.push((sink.clone(), *token));
                    false
                }
            }
        });
        self.count.store(watchers.slab.len(), Ordering::SeqCst);
        calls
    }

    /// Sets bits.
    pub fn set(&self, set: Signals) {
        self.update(Signals::empty(), set);
    }

    /// Clears bits.
    pub fn clear(&self, clear: Signals) {
        self.update(clear, Signals::empty());
    }

    /// A future that is ready as soon as one of `mask` is set, with all that were set at that moment.
    pub fn wait(&self, mask: Signals, handle: HandleId) -> WaitOne<'_> {
        WaitOne { state: self, mask, handle, progress: Progress::New }
    }

    /// Ends every wait that was made through `handle`: futures with [`Error::Canceled`], watches of
    /// sinks by [`SignalSink::cancel`]. Called when that handle is closed or leaves its process.
    pub fn cancel_handle(&self, handle: HandleId) {
        if self.watchers() == 0 {
            return;
        }
        let mut calls = Calls::default();
        let mut watchers = self.watchers.lock();
        watchers.slab.retain(|_, watcher| {
            if watcher.handle != handle {
                return true;
            }
            match &mut watcher.kind {
                Kind::Task { waker, outcome } => {
                    if outcome.is_none() {
                        *outcome = Some(Err(Error::Canceled));
                        calls.wakers.push(waker.clone());
                    }
                    true
                }
                Kind::Sink { sink, token, .. } => {
                    calls.sinks.push((sink.clone(), *token));
                    false
                }
            }
        });
        self.count.store(watchers.slab.len(), Ordering::SeqCst);
        drop(watchers);
        calls.sinks(|sink, token, _| sink.cancel(token));
    }

    /// Registers a sink for one delivery when one of `mask` is set: `Ok` with the watch's name, or
    /// `Err` with the signals when that is so already. With `edge`, only a bit that becomes set later
    /// counts.
    pub fn watch(
        &self,
        mask: Signals,
        handle: HandleId,
        edge: bool,
        sink: Weak<dyn SignalSink>,
        token: u64,
    ) -> Result<WatchKey, Signals> {
        let mut watchers = self.watchers.lock();
        let bits = self.get();
        if !edge && bits.intersects(mask) {
            return Err(bits);
        }
        Ok(self.insert(&mut watchers, mask, handle, Kind::Sink { sink, token, edge }))
    }

    /// Ends a sink's watch without a call. False if it has ended before.
    pub fn unwatch(&self, key: WatchKey) -> bool {
        self.remove(key).is_some()
    }

    fn insert(
        &self,
        watchers: &mut Watchers,
        mask: Signals,
        handle: HandleId,
        kind: Kind,
    ) -> WatchKey {
        watchers.next_serial += 1;
        let serial = watchers.next_serial;
        let index = watchers.slab.insert(Watcher { mask, handle, serial, kind });
        self.count.store(watchers.slab.len(), Ordering::SeqCst);
        WatchKey { index, serial }
    }

    fn remove(&self, key: WatchKey) -> Option<Watcher> {
        let mut watchers = self.watchers.lock();
        watchers.slab.get(key.index).filter(|w| w.serial == key.serial)?;
        let watcher = watchers.slab.try_remove(key.index);
        if watchers.slab.is_empty() && watchers.slab.capacity() > 64 {
            watchers.slab = Slab::new();
        }
        self.count.store(watchers.slab.len(), Ordering::SeqCst);
        watcher
    }

    /// Registers a task unless one of `mask` is set already: then `Err` with the signals.
    pub(crate) fn watch_task(
        &self,
        mask: Signals,
        handle: HandleId,
        waker: &Waker,
    ) -> Result<WatchKey, Signals> {
        let mut watchers = self.watchers.lock();
        let bits = self.get();
        if bits.intersects(mask) {
            return Err(bits);
        }
        let kind = Kind::Task { waker: waker.clone(), outcome: None };
        Ok(self.insert(&mut watchers, mask, handle, kind))
    }

    /// The outcome of a task's watch, which stays; with none yet, `waker` is the one to wake.
    pub(crate) fn poll_task(&self, key: WatchKey, waker: &Waker) -> Option<Result<Signals>> {
        let mut watchers = self.watchers.lock();
        let watcher = watchers.slab.get_mut(key.index).filter(|w| w.serial == key.serial)?;
        let Kind::Task { waker: registered, outcome } = &mut watcher.kind else { return None };
        if outcome.is_some() || registered.will_wake(waker) {
            return *outcome;
        }
        let replaced = std::mem::replace(registered, waker.clone());
        drop(watchers);
        drop(replaced);
        None
    }

    /// Ends a task's watch and returns its outcome.
    pub(crate) fn unwatch_task(&self, key: WatchKey) -> Option<Result<Signals>> {
        match self.remove(key)?.kind {
            Kind::Task { outcome, .. } => outcome,
            Kind::Sink { .. } => None,
        }
    }
}

impl Default for SignalState {
    fn default() -> Self {
        Self::new(Signals::empty())
    }
}

impl fmt::Debug for SignalState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalState")
            .field("bits", &self.get())
            .field("watchers", &self.watchers())
            .finish()
    }
}

/// A wait for one object's signals, made by [`SignalState::wait`] or an object's `wait_one`.
///
/// Ready with the object's signals at the moment when one of those waited for was set, or with
/// [`Error::Canceled`] when the handle waited through was closed. It deregisters when dropped, and
/// wakes the task that polled it last. It looks at the object at its first poll, not before.
#[must_use = "futures do nothing unless polled"]
pub struct WaitOne<'a> {
    state: &'a SignalState,
    mask: Signals,
    handle: HandleId,
    progress: Progress,
}

enum Progress {
    New,
    Watching(WatchKey),
    Done,
}

impl Future for WaitOne<'_> {
    type Output = Result<Signals>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Signals>> {
        match self.progress {
            Progress::New => match self.state.watch_task(self.mask, self.handle, cx.waker()) {
                Ok(key) => {
                    self.progress = Progress::Watching(key);
                    Poll::Pending
                }
                Err(signals) => {
                    self.progress = Progress::Done;
                    Poll::Ready(Ok(signals))
                }
            },
            Progress::Watching(key) => match self.state.poll_task(key, cx.waker()) {
                None => Poll::Pending,
                Some(outcome) => {
                    self.state.unwatch_task(key);
                    self.progress = Progress::Done;
                    Poll::Ready(outcome)
                }
            },
            // Polled after its end, as a fused future is: there is nothing to come.
            Progress::Done => Poll::Pending,
        }
    }
}

impl FusedFuture for WaitOne<'_> {
    fn is_terminated(&self) -> bool {
        matches!(self.progress, Progress::Done)
    }
}

impl Drop for WaitOne<'_> {
    fn drop(&mut self) {
        if let Progress::Watching(key) = self.progress {
            self.state.unwatch_task(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use futures::{FutureExt, executor::block_on, task::noop_waker_ref};
    use parking_lot::Mutex;

    use super::*;

    fn poll(wait: &mut WaitOne<'_>) -> Poll<Result<Signals>> {
        wait.poll_unpin(&mut Context::from_waker(noop_waker_ref()))
    }

    #[test]
    fn values_are_zircons() {
        assert_eq!(Signals::SIGNALED.bits(), 8);
        assert_eq!(Signals::TASK_TERMINATED, Signals::SIGNALED);
        assert_eq!(Signals::USER_0.bits(), 1 << 24);
        assert_eq!(Signals::USER_ALL.bits(), 0xff00_0000);
        assert_eq!(Signals::HANDLE_CLOSED.bits(), 1 << 23);
        assert_eq!(Signals::SOCKET_WRITE_THRESHOLD.bits(), 1 << 11);
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
        assert!(state.watchers.lock().slab.capacity() <= 64);
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
}
