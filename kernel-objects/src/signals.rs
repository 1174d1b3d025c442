//! The 32 signal bits of an object, and waiting for them.
//!
//! A [`SignalState`] is a word of bits and a list of watchers behind one lock. Every change of the
//! word is made under that lock and shown to every watcher, so that a signal which is set and cleared
//! again at once is still seen by those who wait for it. A watcher is a task (a [`WaitOne`] future,
//! or a share of a [`WaitMany`](crate::wait_many::WaitMany)) or a sink such as a port. A future that
//! is dropped takes its watcher with it.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Wake, Waker},
};

use bitflags::bitflags;
use futures::future::FusedFuture;

use crate::{
    error::{Error, Result},
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

/// The watchers, by index. An entry is filled and emptied where it is: what moves right after it was written waits in the store buffer.
#[derive(Default)]
struct Watchers {
    entries: Vec<Watcher>,
    /// The entry that was emptied last; each such names the one before.
    free: Option<usize>,
    len: usize,
    next_serial: u64,
}

struct Watcher {
    mask: Signals,
    handle: HandleId,
    serial: u64,
    kind: Kind,
}

enum Kind {
    Free {
        next: Option<usize>,
    },
    /// A future, and whom to wake for it.
    Task(Waker),
    /// A future whose wait has ended. It takes itself out; until then the outcome waits for it here.
    Ended(Result<Signals>),
    /// A sink: taken out when it fires. `edge`: only a bit that was clear before counts.
    Sink {
        sink: Weak<dyn SignalSink>,
        token: u64,
        edge: bool,
    },
}

/// As many entries are kept when all are empty.
const KEEP: usize = 64;

impl Watchers {
    #[inline]
    fn insert(&mut self, mask: Signals, handle: HandleId, kind: Kind) -> WatchKey {
        self.next_serial += 1;
        self.len += 1;
        let serial = self.next_serial;
        let free = self.free.and_then(|index| Some((index, self.entries.get_mut(index)?)));
        if let Some((index, entry)) = free
            && let Kind::Free { next } = entry.kind
        {
            self.free = next;
            (entry.mask, entry.handle, entry.serial) = (mask, handle, serial);
            entry.kind = kind;
            return WatchKey { index, serial };
        }
        let index = self.entries.len();
        self.entries.push(Watcher { mask, handle, serial, kind });
        WatchKey { index, serial }
    }

    #[inline]
    fn get(&mut self, key: WatchKey) -> Option<&mut Kind> {
        let entry = self.entries.get_mut(key.index).filter(|entry| entry.serial == key.serial)?;
        Some(&mut entry.kind)
    }

    /// Empties an entry; what it was.
    #[inline]
    fn remove(&mut self, key: WatchKey) -> Option<Kind> {
        let next = self.free;
        let kind = self.get(key).filter(|kind| !matches!(kind, Kind::Free { .. }))?;
        let kind = mem::replace(kind, Kind::Free { next });
        self.free = Some(key.index);
        self.len -= 1;
        self.shrink();
        Some(kind)
    }

    #[inline]
    fn shrink(&mut self) {
        if self.len == 0 && self.entries.len() > KEEP {
            (self.entries, self.free) = (Vec::new(), None);
        }
    }

    /// Ends those watches that `chosen` says, and tells whom to call for them.
    #[inline]
    fn end(&mut self, outcome: Result<Signals>, chosen: impl Fn(&Watcher) -> bool) -> Calls {
        let (mut first, mut others) = (None, Vec::new());
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if !chosen(entry) {
                continue;
            }
            if matches!(entry.kind, Kind::Task(_)) {
                let kind = mem::replace(&mut entry.kind, Kind::Ended(outcome));
                let Kind::Task(waker) = kind else { continue };
                match first {
                    None => first = Some(waker),
                    Some(_) => others.push(Call::Wake(waker)),
                }
            } else if matches!(entry.kind, Kind::Sink { .. }) {
                let kind = mem::replace(&mut entry.kind, Kind::Free { next: self.free });
                let Kind::Sink { sink, token, .. } = kind else { continue };
                self.free = Some(index);
                self.len -= 1;
                others.push(Call::Tell(sink, token, outcome));
            }
        }
        self.shrink();
        if others.is_empty() { Calls(first) } else { Calls::of_many(first, others) }
    }
}

/// What a change of signals leaves to be called once no lock is held any more: nearly always one waker at most, and so it is
/// of the size of one, which takes no memory to pass on.
#[derive(Default)]
#[must_use = "those who wait would not learn of the change"]
pub(crate) struct Calls(Option<Waker>);

/// Several to be called, as one waker.
struct Many(Vec<Call>);

enum Call {
    Wake(Waker),
    Tell(Weak<dyn SignalSink>, u64, Result<Signals>),
}

impl Calls {
    /// Wakes this one.
    pub(crate) fn wake(waker: Option<Waker>) -> Calls {
        Calls(waker)
    }

    #[cold]
    fn of_many(first: Option<Waker>, mut others: Vec<Call>) -> Calls {
        // In the order in which they came.
        others.splice(..0, first.map(Call::Wake));
        Calls(Some(Waker::from(Arc::new(Many(others)))))
    }

    /// Wakes those who waited and tells the sinks.
    #[inline]
    pub(crate) fn run(self) {
        if let Some(waker) = self.0 {
            waker.wake();
        }
    }
}

impl Wake for Many {
    fn wake(self: Arc<Self>) {
        let calls = Arc::into_inner(self).into_iter().flat_map(|many| many.0);
        for call in calls {
            match call {
                Call::Wake(waker) => waker.wake(),
                Call::Tell(sink, token, outcome) => match (sink.upgrade(), outcome) {
                    (Some(sink), Ok(observed)) => sink.deliver(token, observed),
                    (Some(sink), Err(_)) => sink.cancel(token),
                    (None, _) => {}
                },
            }
        }
    }
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
        self.watchers.lock().len
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
        if watchers.len == 0 || now == before {
            return Calls::default();
        }
        watchers.end(Ok(now), |watcher| {
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

    /// Ends every wait that was made through `handle`: futures with [`Error::Canceled`], watches of
    /// sinks by [`SignalSink::cancel`]. Called when that handle is closed or leaves its process.
    pub fn cancel_handle(&self, handle: HandleId) {
        let mut watchers = self.watchers.lock();
        if watchers.len == 0 {
            return;
        }
        let calls = watchers.end(Err(Error::Canceled), |watcher| watcher.handle == handle);
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
