//! Threads: what runs.
//!
//! A thread's work is a future, its *body*; [`Thread::start`] wraps it in a [`Run`] that whoever
//! starts the thread gives to an executor. Between two polls of the body the run looks whether the
//! thread has been killed, and drops the body then, or suspended, and leaves it alone until it is
//! resumed. So both take effect where the body waits; a body that is in user mode instead is brought
//! back by the thread's [`Kick`], and one that computes calls [`Thread::checkpoint`].
//!
//! The body's destructors are the thread's clean-up: they run when it ends in any way, even when the
//! run itself is dropped by an executor that shuts down.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

use super::process::Process;
use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, Koid, ObjectType},
    signals::{Calls, Signals},
};

/// Brings a thread out of user mode soon, from any other thread.
pub trait Kick: Send + Sync {
    /// Has the thread trap, now or when it next enters user mode.
    fn kick(&self);
}

/// What a thread is doing: `zx_thread_state_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadState {
    /// It has not been started.
    New,
    /// It runs or could run.
    Running,
    /// It is suspended.
    Suspended,
    /// It waits for something.
    Blocked(BlockedReason),
    /// It has been killed and has not noticed.
    Dying,
    /// It has ended.
    Dead,
}

/// What a thread waits for: `ZX_THREAD_STATE_BLOCKED_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum BlockedReason {
    /// The handler of its exception.
    Exception = 0x0103,
    /// A point in time.
    Sleeping = 0x0203,
    /// A futex.
    Futex = 0x0303,
    /// A packet of a port.
    Port = 0x0403,
    /// An answer to a channel call.
    Channel = 0x0503,
    /// One object.
    WaitOne = 0x0603,
    /// One of many objects.
    WaitMany = 0x0703,
    /// An interrupt.
    Interrupt = 0x0803,
    /// A page that a pager supplies.
    Pager = 0x0903,
}

impl ThreadState {
    /// The number of this state in `zx_info_thread_t`.
    pub const fn raw(self) -> u32 {
        match self {
            ThreadState::New => 0,
            ThreadState::Running => 1,
            ThreadState::Suspended => 2,
            ThreadState::Blocked(reason) => reason as u32,
            ThreadState::Dying => 4,
            ThreadState::Dead => 5,
        }
    }
}

/// What a thread is: `zx_info_thread_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadInfo {
    /// What it is doing.
    pub state: ThreadState,
}

/// What a thread has used: `zx_info_thread_stats_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadStats {
    /// For how long its body was polled, in ns.
    pub total_runtime: u64,
    /// The CPU that last did it, if it was one of the machine's.
    pub last_scheduled_cpu: Option<usize>,
}

/// One that runs in a process (`zx_thread_create`).
///
/// ```
/// use futures::executor::block_on;
/// use kernel_objects::{KernelObject, Signals};
/// use kernel_objects::task::{Job, Process, Thread, ThreadState};
///
/// let process = Process::create(&Job::root(), "p").unwrap();
/// let thread = Thread::create(&process, "main").unwrap();
/// let run = process.start(&thread, std::future::pending()).unwrap();
/// assert_eq!(thread.info().state, ThreadState::Running);
/// thread.kill();
/// block_on(run); // it ends though its body would wait for ever
/// assert_eq!(thread.signals(), Signals::TASK_TERMINATED);
/// ```
pub struct Thread {
    base: KObjectBase,
    process: Arc<Process>,
    /// Set once, with the lock held: a cheap look for the thread itself.
    dying: AtomicBool,
    /// Written by the thread's run only.
    runtime: AtomicU64,
    /// The CPU's number plus 1; 0 for none.
    last_cpu: AtomicU64,
    inner: Mutex<Inner>,
}

struct Inner {
    life: Life,
    /// How many suspensions there are at present.
    suspensions: u32,
    /// Whether the run has noticed a suspension and leaves the body alone.
    parked: bool,
    blocked: Option<BlockedReason>,
    /// Of the task that runs it.
    waker: Option<Waker>,
    kick: Option<Arc<dyn Kick>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    New,
    Started,
    Dead,
}

impl Inner {
    /// Shows the state in the signals.
    fn settle(&self, base: &KObjectBase) -> Calls {
        let all = Signals::THREAD_RUNNING | Signals::THREAD_SUSPENDED | Signals::TASK_TERMINATED;
        let set = match self.life {
            Life::New => Signals::empty(),
            Life::Started if self.parked => Signals::THREAD_SUSPENDED,
            Life::Started => Signals::THREAD_RUNNING,
            Life::Dead => Signals::TASK_TERMINATED,
        };
        base.signal_state().change(all - set, set)
    }
}

impl Thread {
    /// A thread of `process`, not started.
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if the process is ending or has ended.
    pub fn create(process: &Arc<Process>, name: &str) -> Result<Arc<Thread>> {
        if process.is_ending() {
            return Err(Error::BadState);
        }
        Ok(Arc::new(Thread {
            base: KObjectBase::with(name, Signals::empty()),
            process: process.clone(),
            dying: AtomicBool::new(false),
            runtime: AtomicU64::new(0),
            last_cpu: AtomicU64::new(0),
            inner: Mutex::new(Inner {
                life: Life::New,
                suspensions: 0,
                parked: false,
                blocked: None,
                waker: None,
                kick: None,
            }),
        }))
    }

    /// The process it belongs to.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Starts it, in a process that runs; it will do `body` (`zx_thread_start`). Nothing happens until
    /// the returned future is run.
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it was started before or killed, or the process does not run.
    pub fn start<F: Future<Output = ()>>(self: &Arc<Self>, body: F) -> Result<Run<F>> {
        self.start_as(false, body)
    }

    pub(super) fn start_as<F: Future<Output = ()>>(
        self: &Arc<Self>,
        first: bool,
        body: F,
    ) -> Result<Run<F>> {
        let mut inner = self.inner.lock();
        if inner.life != Life::New {
            return Err(Error::BadState);
        }
        self.process.add_thread(self, first)?;
        inner.life = Life::Started;
        let calls = inner.settle(&self.base);
        drop(inner);
        calls.run();
        Ok(Run { thread: self.clone(), body: Some(Box::pin(body)) })
    }

    /// Ends it (`zx_task_kill`, `zx_thread_exit`): the body is dropped where it waits.
    pub fn kill(&self) {
        let mut inner = self.inner.lock();
        self.dying.store(true, Ordering::Release);
        if inner.life == Life::New {
            inner.life = Life::Dead;
            let calls = inner.settle(&self.base);
            drop(inner);
            calls.run();
            return;
        }
        self.prod(inner);
    }

    /// Has the run look at the thread's state.
    fn prod(&self, mut inner: parking_lot::MutexGuard<'_, Inner>) {
        let (waker, kick) = (inner.waker.take(), inner.kick.clone());
        drop(inner);
        if let Some(kick) = kick {
            kick.kick();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether it has been killed. A body that goes round a loop looks here before it enters user
    /// mode again.
    pub fn is_dying(&self) -> bool {
        self.dying.load(Ordering::Acquire)
    }

    /// Suspends it once more; see [`SuspendToken`](super::SuspendToken).
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it has been killed or has ended.
    pub(super) fn suspend(&self) -> Result {
        let mut inner = self.inner.lock();
        if inner.life == Life::Dead || self.is_dying() {
            return Err(Error::BadState);
        }
        inner.suspensions = inner.suspensions.checked_add(1).ok_or(Error::NoResources)?;
        if inner.suspensions == 1 {
            self.prod(inner);
        }
        Ok(())
    }

    /// Takes one suspension back.
    pub(super) fn resume(&self) {
        let mut inner = self.inner.lock();
        inner.suspensions = inner.suspensions.saturating_sub(1);
        if inner.suspensions == 0 {
            self.prod(inner);
        }
    }

    /// A point at which a body that does not wait can be suspended or killed.
    pub async fn checkpoint(&self) {
        let mut looked = false;
        std::future::poll_fn(|cx| {
            let stop = !looked && (self.is_dying() || self.inner.lock().suspensions > 0);
            looked = true;
            if stop {
                // The run looks next, and polls again when the thread may go on.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await
    }

    /// How to bring it out of user mode; `None` when it never goes there.
    pub fn set_kick(&self, kick: Option<Arc<dyn Kick>>) {
        self.inner.lock().kick = kick;
    }

    /// Records what it waits for while `operation` runs, for those who ask.
    pub async fn blocked<T>(&self, on: BlockedReason, operation: impl Future<Output = T>) -> T {
        struct Unblock<'a>(&'a Thread, Option<BlockedReason>);
        impl Drop for Unblock<'_> {
            fn drop(&mut self) {
                self.0.inner.lock().blocked = self.1;
            }
        }
        let before = self.inner.lock().blocked.replace(on);
        let _unblock = Unblock(self, before);
        operation.await
    }

    /// What it is now.
    pub fn info(&self) -> ThreadInfo {
        let inner = self.inner.lock();
        let state = match inner.life {
            Life::Dead => ThreadState::Dead,
            _ if self.is_dying() => ThreadState::Dying,
            Life::New => ThreadState::New,
            Life::Started if inner.parked => ThreadState::Suspended,
            Life::Started => inner.blocked.map_or(ThreadState::Running, ThreadState::Blocked),
        };
        ThreadInfo { state }
    }

    /// What it has used.
    pub fn stats(&self) -> ThreadStats {
        ThreadStats {
            total_runtime: self.runtime.load(Ordering::Relaxed),
            last_scheduled_cpu: (self.last_cpu.load(Ordering::Relaxed) as usize).checked_sub(1),
        }
    }

    /// Whether the run may poll the body; if not, whether it is to end.
    fn admit(&self, waker: &Waker) -> Admission {
        let mut inner = self.inner.lock();
        if self.is_dying() {
            return Admission::End;
        }
        if !inner.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            inner.waker = Some(waker.clone());
        }
        let park = inner.suspensions > 0;
        if park == inner.parked {
            return if park { Admission::Wait } else { Admission::Go };
        }
        inner.parked = park;
        let calls = inner.settle(&self.base);
        drop(inner);
        calls.run();
        if park { Admission::Wait } else { Admission::Go }
    }

    fn finish(&self) {
        let mut inner = self.inner.lock();
        self.dying.store(true, Ordering::Release);
        inner.life = Life::Dead;
        let (waker, kick) = (inner.waker.take(), inner.kick.take());
        let calls = inner.settle(&self.base);
        drop(inner);
        drop((waker, kick));
        // First the thread, then what it was the last of.
        calls.run();
        self.process.remove_thread(self.koid());
    }
}

enum Admission {
    Go,
    Wait,
    End,
}

impl KernelObject for Thread {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Thread
    }

    fn related_koid(&self) -> Koid {
        self.process.koid()
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("base", &self.base)
            .field("state", &self.info().state)
            .finish_non_exhaustive()
    }
}

/// A started thread: done when the thread has ended. Dropped before that, it ends it.
#[must_use = "the thread runs only when this is polled"]
pub struct Run<F: Future<Output = ()>> {
    thread: Arc<Thread>,
    /// `None` once the thread has ended.
    body: Option<Pin<Box<F>>>,
}

impl<F: Future<Output = ()>> Run<F> {
    /// The thread.
    pub fn thread(&self) -> &Arc<Thread> {
        &self.thread
    }

    fn end(&mut self) {
        if let Some(body) = self.body.take() {
            drop(body); // its destructors may still use the process
            self.thread.finish();
        }
    }
}

impl<F: Future<Output = ()>> Future for Run<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        match this.thread.admit(cx.waker()) {
            Admission::Go => {}
            Admission::Wait => return Poll::Pending,
            Admission::End => {
                this.end();
                return Poll::Ready(());
            }
        }
        let Some(body) = &mut this.body else { return Poll::Ready(()) };
        let start = hal::time::monotonic();
        let poll = body.as_mut().poll(cx);
        let thread = &this.thread;
        let runtime = thread.runtime.load(Ordering::Relaxed);
        let used = hal::time::monotonic().saturating_sub(start);
        thread.runtime.store(runtime.saturating_add(used), Ordering::Relaxed);
        let cpu = hal::cpu::current_cpu().map_or(0, |cpu| cpu as u64 + 1);
        thread.last_cpu.store(cpu, Ordering::Relaxed);
        if poll.is_ready() {
            this.end();
        }
        poll
    }
}

impl<F: Future<Output = ()>> Drop for Run<F> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<F: Future<Output = ()>> fmt::Debug for Run<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Run").field(&self.thread).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use futures::{FutureExt, executor::block_on, task::noop_waker_ref};

    use super::*;
    use crate::{
        event::Event,
        task::{Job, SuspendToken},
    };

    fn started<F: Future<Output = ()>>(body: impl FnOnce(Arc<Thread>) -> F) -> Run<F> {
        let made = Process::create(&Job::root(), "test").and_then(|process| {
            let thread = Thread::create(&process, "main")?;
            let body = body(thread.clone());
            process.start(&thread, body)
        });
        made.unwrap_or_else(|error| panic!("{error}"))
    }

    fn poll<F: Future<Output = ()>>(run: &mut Run<F>) -> Poll<()> {
        run.poll_unpin(&mut Context::from_waker(noop_waker_ref()))
    }

    #[test]
    fn it_goes_from_new_over_running_to_dead() {
        let process = Process::create(&Job::root(), "");
        let process = process.unwrap_or_else(|error| panic!("{error}"));
        let thread = Thread::create(&process, "").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((thread.info().state, thread.signals()), (ThreadState::New, Signals::empty()));
        assert_eq!(thread.related_koid(), process.koid());
        let run = process.start(&thread, async {});
        assert_eq!(thread.info().state, ThreadState::Running);
        assert_eq!(thread.signals(), Signals::THREAD_RUNNING);
        assert_eq!(thread.start(async {}).err(), Some(Error::BadState));
        block_on(run.unwrap_or_else(|error| panic!("{error}")));
        assert_eq!(thread.info().state, ThreadState::Dead);
        assert_eq!(thread.signals(), Signals::TASK_TERMINATED);
        assert_eq!(thread.start(async {}).err(), Some(Error::BadState));
    }

    #[test]
    fn states_have_zircons_numbers() {
        assert_eq!(ThreadState::Suspended.raw(), 2);
        assert_eq!(ThreadState::Blocked(BlockedReason::Futex).raw(), 0x0303);
        assert_eq!(ThreadState::Dead.raw(), 5);
    }

    #[test]
    fn killed_it_drops_its_body_where_it_waits() {
        let event = Event::create();
        let waited = event.clone();
        let mut run = started(|_| async move {
            let _ = waited.wait_one(Signals::SIGNALED).await;
            unreachable!("nobody signals")
        });
        assert!(poll(&mut run).is_pending());
        assert_eq!(event.base().signal_state().watchers(), 1);
        let thread = run.thread().clone();
        thread.kill();
        assert_eq!(thread.info().state, ThreadState::Dying);
        assert!(poll(&mut run).is_ready());
        assert_eq!(event.base().signal_state().watchers(), 0);
        assert_eq!(thread.info().state, ThreadState::Dead);
        thread.kill();
    }

    #[test]
    fn one_that_never_started_dies_at_once_when_killed() {
        let process = Process::create(&Job::root(), "");
        let process = process.unwrap_or_else(|error| panic!("{error}"));
        let thread = Thread::create(&process, "").unwrap_or_else(|error| panic!("{error}"));
        thread.kill();
        assert_eq!(thread.signals(), Signals::TASK_TERMINATED);
        assert_eq!(process.start(&thread, async {}).err(), Some(Error::BadState));
    }

    #[test]
    fn a_run_that_is_dropped_ends_the_thread_and_the_process() {
        let run = started(|_| pending());
        let thread = run.thread().clone();
        drop(run);
        assert_eq!(thread.info().state, ThreadState::Dead);
        assert!(thread.process().info().exited);
    }

    #[test]
    fn a_kill_wakes_the_task_and_kicks_the_guest() {
        struct Kicks(AtomicUsize);
        impl Kick for Kicks {
            fn kick(&self) {
                self.0.fetch_add(1, SeqCst);
            }
        }
        let kicks = Arc::new(Kicks(AtomicUsize::new(0)));
        let run = started(|_| pending());
        let thread = run.thread().clone();
        thread.set_kick(Some(kicks.clone()));
        let task = std::thread::spawn(move || block_on(run));
        thread.kill();
        assert!(task.join().is_ok());
        assert_eq!(kicks.0.load(SeqCst), 1);
        assert_eq!(Arc::strong_count(&kicks), 1, "a dead thread keeps no kick");
    }

    #[test]
    fn suspended_its_body_is_left_alone_until_the_last_token_goes() {
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = polls.clone();
        let mut run = started(|_| {
            std::future::poll_fn(move |_| {
                counted.fetch_add(1, SeqCst);
                Poll::<()>::Pending
            })
        });
        assert!(poll(&mut run).is_pending());
        let thread = run.thread().clone();
        let suspend = || SuspendToken::create(&thread).unwrap_or_else(|error| panic!("{error}"));
        let (a, b) = (suspend(), suspend());
        assert_eq!(thread.info().state, ThreadState::Running, "it has not noticed yet");
        assert!(poll(&mut run).is_pending());
        assert_eq!(thread.signals(), Signals::THREAD_SUSPENDED);
        assert_eq!(thread.info().state, ThreadState::Suspended);
        drop(a);
        assert!(poll(&mut run).is_pending());
        assert_eq!(polls.load(SeqCst), 1);
        drop(b);
        assert!(poll(&mut run).is_pending());
        assert_eq!(polls.load(SeqCst), 2);
        assert_eq!(thread.signals(), Signals::THREAD_RUNNING);
    }

    #[test]
    fn a_suspended_thread_can_be_killed() {
        let mut run = started(|_| pending());
        let thread = run.thread().clone();
        let _token = SuspendToken::create(&thread);
        assert!(poll(&mut run).is_pending());
        thread.kill();
        assert!(poll(&mut run).is_ready());
        assert_eq!(SuspendToken::create(&thread).err(), Some(Error::BadState));
    }

    #[test]
    fn a_body_that_computes_stops_at_its_checkpoint() {
        let rounds = Arc::new(AtomicUsize::new(0));
        let counted = rounds.clone();
        let mut run = started(|thread| async move {
            loop {
                if counted.fetch_add(1, SeqCst) == 10 {
                    thread.kill();
                }
                thread.checkpoint().await;
            }
        });
        assert!(poll(&mut run).is_pending());
        assert!(poll(&mut run).is_ready());
        assert_eq!(rounds.load(SeqCst), 11);
    }

    #[test]
    fn what_it_waits_for_can_be_seen() {
        let event = Event::create();
        let waited = event.clone();
        let mut run = started(|thread| async move {
            let wait = waited.wait_one(Signals::SIGNALED);
            assert!(thread.blocked(BlockedReason::WaitOne, wait).await.is_ok());
            pending().await
        });
        let thread = run.thread().clone();
        assert!(poll(&mut run).is_pending());
        assert_eq!(thread.info().state, ThreadState::Blocked(BlockedReason::WaitOne));
        event.base().signal_state().set(Signals::SIGNALED);
        assert!(poll(&mut run).is_pending());
        assert_eq!(thread.info().state, ThreadState::Running);
    }

    #[test]
    fn its_running_time_is_counted() {
        let run = started(|_| async {
            let start = hal::time::monotonic();
            while hal::time::monotonic() < start + 1_000_000 {}
        });
        let thread = run.thread().clone();
        assert_eq!(thread.stats().total_runtime, 0);
        block_on(run);
        assert!(thread.stats().total_runtime >= 1_000_000);
        assert_eq!(thread.stats().last_scheduled_cpu, None);
    }

    #[test]
    fn threads_killed_while_they_start_and_end_are_all_reaped() {
        for _ in 0..200 {
            let run = started(|_| pending());
            let thread = run.thread().clone();
            let process = thread.process().clone();
            let more: Vec<_> = (0..3)
                .filter_map(|_| Thread::create(&process, "").and_then(|t| t.start(pending())).ok())
                .collect();
            std::thread::scope(|scope| {
                scope.spawn(|| process.exit(1));
                scope.spawn(|| thread.kill());
                for run in more {
                    scope.spawn(|| block_on(run));
                }
                scope.spawn(|| block_on(run));
            });
            assert!(process.info().exited);
            assert!(process.threads().is_empty());
        }
    }
}
