//! The 32 signal bits of an object, and waiting for them.
//!
//! A [`SignalState`] is a word of bits and a list of watchers behind one lock. Every change of the
//! word is made under that lock and shown to every watcher, so that a signal which is set and cleared
//! again at once is still seen by those who wait for it. A watcher is a task (a [`WaitOne`] future,
//! or a share of a [`WaitMany`](crate::wait_many::WaitMany)) or a sink such as a port. A future that
//! is dropped takes its watcher with it.

mod watchers;

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Weak,
    task::{Context, Poll, Waker},
};

use bitflags::bitflags;
use futures::future::FusedFuture;

pub(crate) use self::watchers::Calls;
use self::watchers::{Kind, Watchers};
use crate::{
    error::Result,
    sync::{
        BiasedMutex,
        atomic::{AtomicU32, Ordering},
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
        /// Shared regions of IOBuffers: a message was written. Shown to those who wait when it happens, never set in an object's state.
        const IOB_SHARED_REGION_UPDATED = 1 << 3;
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
    watchers: BiasedMutex<Watchers>,
}

impl SignalState {
    /// A state with these bits set and no watcher.
    pub fn new(bits: Signals) -> Self {
        SignalState { bits: AtomicU32::new(bits.bits()), watchers: BiasedMutex::default() }
    }

    /// The bits that are set now.
    pub fn get(&self) -> Signals {
        Signals::from_bits_retain(self.bits.load(Ordering::Acquire))
    }

    /// How many waits are registered.
    pub fn watchers(&self) -> usize {
        self.watchers.lock().len()
    }

    /// Clears and then sets bits, and tells those who wait for one of the bits that are then set.
    pub fn update(&self, clear: Signals, set: Signals) {
        // Also if nothing changes: only under the lock that is certain, and what was done before is seen by who clears a bit after.
        self.change(clear, set).run();
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
        self.bits.store(stays.bits(), Ordering::Release);
        if watchers.len() == 0 || now == before {
            return Calls::default();
        }
        watchers.end(now, |watcher| {
            let edge = matches!(watcher.kind, Kind::Sink { edge: true, .. });
            (if edge { now - before } else { now }).intersects(watcher.mask)
        })
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

    /// Ends every wait that was made through `handle`: futures with [`Error::Canceled`](crate::Error::Canceled), watches of
    /// sinks by [`SignalSink::cancel`]. Called when that handle is closed or leaves its process.
    pub fn cancel_handle(&self, handle: HandleId) {
        let mut watchers = self.watchers.lock();
        if watchers.len() == 0 {
            return;
        }
        let calls = watchers.cancel(handle);
        drop(watchers);
        calls.run();
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
        Ok(watchers.insert(mask, handle, Kind::Sink { sink, token, edge }))
    }

    /// Ends a sink's watch without a call. False if it has ended before.
    pub fn unwatch(&self, key: WatchKey) -> bool {
        let kind = self.watchers.lock().remove(key);
        kind.is_some()
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
        Ok(watchers.insert(mask, handle, Kind::Task(waker.clone())))
    }

    /// Ends a task's watch if it has an outcome, which is returned; with none yet, `waker` is the one to wake.
    pub(crate) fn poll_task(&self, key: WatchKey, waker: &Waker) -> Option<Result<Signals>> {
        let mut watchers = self.watchers.lock();
        match watchers.get(key)? {
            Kind::Task(registered) => {
                if !registered.will_wake(waker) {
                    let replaced = mem::replace(registered, waker.clone());
                    drop(watchers);
                    drop(replaced); // a waker's drop is foreign code: not under the lock
                }
                None
            }
            Kind::Ended(outcome) => {
                let outcome = *outcome;
                watchers.remove(key);
                Some(outcome)
            }
            Kind::Sink { .. } | Kind::Free { .. } => None,
        }
    }

    /// Ends a task's watch and returns its outcome.
    pub(crate) fn unwatch_task(&self, key: WatchKey) -> Option<Result<Signals>> {
        // In two steps: what is taken out goes when the lock is free.
        let kind = self.watchers.lock().remove(key);
        match kind? {
            Kind::Ended(outcome) => Some(outcome),
            _ => None,
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
/// [`Error::Canceled`](crate::Error::Canceled) when the handle waited through was closed. It deregisters when dropped, and
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
mod tests;
