//! Calls that are on their way without a thread.
//!
//! The one idea: a call from a ring that has to wait becomes a task of its own, in the name of a [stand-in](Thread::stand_in) of the thread
//! that asked for it, so every handler works as it does behind a trap. The tasks belong to the process: its [sets](OperationSets) end
//! with it, however it ends, and what ends an operation then is that its future is dropped, which all waits are made for.
//!
//! ```text
//!   begin ──► polled in place ──► done
//!                  │ waits          ▲
//!                  ▼                │ says so itself
//!               a task ─────────────┘
//!                  │ ▲
//!      cancel ─────┘ │ interrupted, it ends by itself, with what it has done so far
//!      end ──────────┘ dropped where it waits, says nothing
//! ```
//!
//! The future lies beside its task, under a lock that is taken to poll it, so whoever ends it drops it there and then: what it had of the
//! process is let go of before the process is said to have ended.

use std::{
    collections::BTreeSet,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::Poll,
};

use hal::time::timeout_at;
use parking_lot::Mutex;
use slab::Slab;

use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    syscall::{Arguments, table},
};

/// How many stand-ins are kept for the next operations.
const IDLE: usize = 64;

/// The operations of one ring.
#[derive(Default)]
pub(crate) struct Operations {
    /// Nothing begins any more. Written with the state locked.
    over: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Slab<Running>,
    /// By their ids, which need not be different.
    by_id: BTreeSet<(u64, usize)>,
    idle: Vec<Arc<Thread>>,
}

/// What an operation is known by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Label {
    /// Its id, which others may have, too.
    pub(crate) id: u64,
    /// What it does, in the terms of its ring.
    pub(crate) kind: u8,
    /// The file that it is about: its address, which is not used as one; 0 is none.
    pub(crate) file: usize,
}

/// An operation as others see it.
struct Running {
    label: Label,
    stand_in: Arc<Thread>,
    shared: Arc<Shared>,
}

/// What an operation and those who end it have in common.
#[derive(Default)]
struct Shared {
    /// One of [`end`], or 0.
    end: AtomicU8,
    /// What it does, until it is done or ended. Locked while it does something.
    body: Mutex<Option<Body>>,
}

type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Running {
    /// Called with the state locked, so it is for the one that is known by the label now.
    fn cancel(&self) {
        self.shared.end.store(end::CANCELED, Ordering::Release);
        self.stand_in.object.interrupt();
    }
}

/// Why an operation is to end early.
mod end {
    pub(super) const CANCELED: u8 = 1;
    pub(super) const LATE: u8 = 2;
}

impl State {
    fn relabel(&mut self, key: usize, change: impl FnOnce(&mut Label)) {
        let Some(running) = self.running.get_mut(key) else { return };
        let old = running.label.id;
        change(&mut running.label);
        if running.label.id != old {
            self.by_id.remove(&(old, key));
            self.by_id.insert((running.label.id, key));
        }
    }
}

/// An operation for its own future, which has it as long as it lasts.
pub(crate) struct Operation {
    set: Arc<Operations>,
    key: usize,
    stand_in: Arc<Thread>,
    shared: Arc<Shared>,
}

impl Operations {
    /// Begins `body`, known by `id`, on behalf of `thread`: polled here once, and made a task if it waits. `EAGAIN` for a
    /// process that ends, `ENOMEM` at the memory limit.
    pub(crate) fn begin<F>(
        self: &Arc<Self>,
        id: u64,
        thread: &Thread,
        body: impl FnOnce(Operation) -> F,
    ) -> SysResult<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.begin_as(Label { id, ..Label::default() }, thread, body)
    }

    /// As [`begin`](Self::begin), known by all of `label`.
    pub(crate) fn begin_as<F>(
        self: &Arc<Self>,
        label: Label,
        thread: &Thread,
        body: impl FnOnce(Operation) -> F,
    ) -> SysResult<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        hal::cpu::spawn_here(self.task(label, thread, body)?).detach();
        Ok(())
    }

    /// As [`begin_as`](Self::begin_as), on another CPU if one is idle and not polled here: for what goes on for long.
    pub(crate) fn begin_apart<F>(
        self: &Arc<Self>,
        label: Label,
        thread: &Thread,
        body: impl FnOnce(Operation) -> F,
    ) -> SysResult<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        hal::cpu::spawn_spread(self.task(label, thread, body)?).detach();
        Ok(())
    }

    /// Adds an operation: its task, which is then to be spawned.
    fn task<F>(
        self: &Arc<Self>,
        label: Label,
        thread: &Thread,
        body: impl FnOnce(Operation) -> F,
    ) -> SysResult<impl Future<Output = ()> + Send + 'static>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let operation = self.enter(label, thread)?;
        let (stand_in, shared) = (Arc::clone(&operation.stand_in), Arc::clone(&operation.shared));
        *shared.body.lock() = Some(Box::pin(body(operation)));
        let set = Arc::downgrade(self);
        Ok(poll_fn(move |context| {
            stand_in.object.woken_by(context.waker());
            let mut body = shared.body.lock();
            let Some(future) = body.as_mut() else { return Poll::Ready(()) };
            // It may be ended by what it does itself.
            if future.as_mut().poll(context).is_pending()
                && set.upgrade().is_some_and(|set| !set.is_over())
            {
                return Poll::Pending;
            }
            let done = body.take();
            drop(body);
            drop(done);
            Poll::Ready(())
        }))
    }

    fn enter(self: &Arc<Self>, label: Label, thread: &Thread) -> SysResult<Operation> {
        let shared = Arc::<Shared>::default();
        let mut state = self.state.lock();
        if self.is_over() {
            return Err(Errno::EAGAIN);
        }
        // One that was made before the thread has unshared something is of no use to it.
        let idle = state.idle.iter().rposition(|idle| idle.uses_same(thread));
        let stand_in = match idle.map(|index| state.idle.swap_remove(index)) {
            Some(idle) => idle,
            None => thread.stand_in()?,
        };
        let running =
            Running { label, stand_in: Arc::clone(&stand_in), shared: Arc::clone(&shared) };
        let key = state.running.insert(running);
        state.by_id.insert((label.id, key));
        drop(state);
        Ok(Operation { set: Arc::clone(self), key, stand_in, shared })
    }

    /// Has the operation `id` end early; `ENOENT` when there is none.
    pub(crate) fn cancel(&self, id: u64) -> SysResult<()> {
        let state = self.state.lock();
        let (_, key) = state.by_id.range((id, 0)..=(id, usize::MAX)).next().ok_or(Errno::ENOENT)?;
        let running = state.running.get(*key).ok_or(Errno::ENOENT)?;
        running.cancel();
        Ok(())
    }

    /// Has those that are `wanted` end early, all of them or the first found; how many.
    pub(crate) fn cancel_where(&self, all: bool, wanted: impl Fn(&Label) -> bool) -> usize {
        let state = self.state.lock();
        let found = state.running.iter().filter(|(_, running)| wanted(&running.label));
        let most = if all { usize::MAX } else { 1 };
        found.take(most).map(|(_, running)| running.cancel()).count()
    }

    /// Whether they have been ended, with their process or its program.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.state.lock().running.len()
    }

    /// Ends all where they wait; what is done to files and memory meanwhile is as if each had been killed. Nothing is left of them when this
    /// returns. Not for operations themselves.
    pub(crate) fn end(&self) {
        for (shared, stand_in) in self.take() {
            let ended = shared.body.lock().take();
            drop(ended);
            // The task finds that there is nothing to do any more.
            stand_in.object.wake();
        }
    }

    /// As [`end`](Self::end), for whoever may be an operation of this set: those that do something just now end right after it.
    pub(crate) fn end_soon(&self) {
        for (shared, stand_in) in self.take() {
            let ended = shared.body.try_lock().and_then(|mut body| body.take());
            drop(ended);
            stand_in.object.wake();
        }
    }

    fn take(&self) -> Vec<(Arc<Shared>, Arc<Thread>)> {
        let mut state = self.state.lock();
        self.over.store(true, Ordering::Release);
        let idle = std::mem::take(&mut state.idle);
        let parts =
            |running: &Running| (Arc::clone(&running.shared), Arc::clone(&running.stand_in));
        let all = state.running.iter().map(|(_, running)| parts(running)).collect();
        drop(state);
        drop(idle);
        all
    }

    fn leave(&self, key: usize, stand_in: Arc<Thread>) {
        let mut state = self.state.lock();
        let Some(running) = state.running.try_remove(key) else { return };
        state.by_id.remove(&(running.label.id, key));
        if !self.is_over() && state.idle.len() < IDLE {
            stand_in.object.take_interrupt();
            state.idle.push(stand_in);
        }
        // The last reference to a thread may be the last one to this ring.
        drop(state);
        drop(running);
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.set.leave(self.key, Arc::clone(&self.stand_in));
    }
}

impl Operation {
    /// In whose name calls are made.
    pub(crate) fn thread(&self) -> &Arc<Thread> {
        &self.stand_in
    }

    /// From now on it is known by `id`.
    pub(crate) fn rename(&self, id: u64) {
        self.set.state.lock().relabel(self.key, |label| label.id = id);
    }

    /// From now on it is known by `label` and begins anew: what was to end it early was about what it was before.
    pub(crate) fn renew(&self, label: Label) {
        let mut state = self.set.state.lock();
        state.relabel(self.key, |known| *known = label);
        self.shared.end.store(0, Ordering::Release);
        self.stand_in.object.take_interrupt();
    }

    /// It is about `file` from now on, see [`Label::file`].
    pub(crate) fn concerns(&self, file: usize) {
        self.set.state.lock().relabel(self.key, |label| label.file = file);
    }

    /// Whether it has been cancelled.
    pub(crate) fn is_canceled(&self) -> bool {
        self.shared.end.load(Ordering::Acquire) == end::CANCELED
    }

    /// Whether its time was up.
    pub(crate) fn is_late(&self) -> bool {
        self.shared.end.load(Ordering::Acquire) == end::LATE
    }

    /// Whether it is to end where it waits next: for what goes on without waiting.
    pub(crate) fn is_over(&self) -> bool {
        self.set.is_over()
    }

    /// Makes a system call that could not be finished at once; no longer than until `deadline` on the monotonic clock.
    pub(crate) async fn call(
        &self,
        number: u64,
        arguments: &Arguments,
        deadline: Option<u64>,
    ) -> SysResult<u64> {
        if self.is_canceled() {
            return Err(Errno::ECANCELED);
        }
        self.until(deadline, table::dispatch_for(&self.stand_in, number, arguments)).await
    }

    /// Waits for `work`, which an interrupt cuts short; no longer than until `deadline`.
    pub(crate) async fn until(
        &self,
        deadline: Option<u64>,
        work: impl Future<Output = SysResult<u64>>,
    ) -> SysResult<u64> {
        let mut work = std::pin::pin!(work);
        let result = match deadline {
            None => work.await,
            Some(deadline) => match timeout_at(deadline, work.as_mut()).await {
                Ok(result) => result,
                Err(_) => {
                    let _ = self.shared.end.compare_exchange(
                        0,
                        end::LATE,
                        Ordering::AcqRel,
                        Ordering::Acquire,
                    );
                    self.stand_in.object.interrupt();
                    // Not dropped: what cannot be cut short may still use the caller's buffers.
                    work.await
                }
            },
        };
        let cut_short =
            |error: &Errno| error.is_restart() || matches!(*error, Errno::EINTR | Errno::ECANCELED);
        result.map_err(|error| match self.shared.end.load(Ordering::Acquire) {
            end::CANCELED if cut_short(&error) => Errno::ECANCELED,
            end::LATE if cut_short(&error) => Errno::ETIME,
            _ if error.is_restart() => Errno::EINTR,
            _ => error,
        })
    }
}

/// What ends with its process.
pub(crate) trait End: Send + Sync {
    /// Nothing is left of it when this returns, and nothing begins any more.
    fn end(&self);
}

impl End for Operations {
    fn end(&self) {
        Operations::end(self);
    }
}

/// The operations of a process: a set for each of its rings.
#[derive(Default)]
pub(crate) struct OperationSets(Mutex<Vec<Weak<dyn End>>>);

impl OperationSets {
    /// One more.
    pub(crate) fn create(&self) -> Arc<Operations> {
        let set = Arc::new(Operations::default());
        self.add(&(Arc::clone(&set) as Arc<dyn End>));
        set
    }

    /// One more, of another kind.
    pub(crate) fn add(&self, set: &Arc<dyn End>) {
        let mut sets = self.0.lock();
        sets.retain(|set| set.strong_count() > 0);
        sets.push(Arc::downgrade(set));
    }

    fn take(&self) -> Vec<Arc<dyn End>> {
        std::mem::take(&mut *self.0.lock()).iter().filter_map(Weak::upgrade).collect()
    }

    /// Ends all operations: nothing is left of them when this returns.
    pub(crate) fn end(&self) {
        self.take().iter().for_each(|set| set.end());
    }
}
