//! Threads: what runs.
//!
//! A thread's work is a future, its *body*; [`Thread::start`] wraps it in a [`Run`] that whoever
//! starts the thread gives to an executor. A thread that is killed loses its body where that waits; one that is suspended is
//! left alone until it is resumed. A body that is in user mode instead is brought back by the thread's
//! [`Kick`], and looks at its [`work`](Thread::work).

use std::{
    any::Any,
    fmt,
    future::Future,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use hal::context::UserContext;
use parking_lot::Mutex;

use super::{
    exception::{Exception, ExceptionChannelType, ThreadExceptions},
    interrupt::{Kick, work},
    process::Process,
    run::Run,
    runtime::{Runtime, TaskRuntime},
    waker::TaskWaker,
};
use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, Koid, ObjectType},
    profile::{CpuSet, Scheduling},
    signals::{Calls, Signals},
};

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

impl BlockedReason {
    const ALL: [Self; 9] = [
        Self::Exception,
        Self::Sleeping,
        Self::Futex,
        Self::Port,
        Self::Channel,
        Self::WaitOne,
        Self::WaitMany,
        Self::Interrupt,
        Self::Pager,
    ];

    fn from_raw(raw: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|&reason| reason as u32 == raw)
    }
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
    /// By which channel the exception that it waits in went to a handler.
    pub wait_exception_channel: ExceptionChannelType,
    /// The CPUs that it is to run on, if a profile has said so.
    pub affinity: Option<CpuSet>,
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
    /// The bits of [`work`].
    pub(super) work: AtomicU32,
    /// A [`BlockedReason`], or 0. Written by the thread's body only.
    blocked: AtomicU32,
    /// The CPU's number plus 1; 0 for none. Written by the thread's run only.
    last_cpu: AtomicU32,
    pub(super) runtime: Runtime,
    pub(super) waker: TaskWaker,
    pub(super) exceptions: ThreadExceptions,
    /// What its body leaves to others while it waits.
    pub(super) registers: Mutex<Option<Box<UserContext>>>,
    inner: Mutex<Inner>,
}

/// What a personality knows its threads by; see [`Thread::set_cookie`].
pub type Cookie = Weak<dyn Any + Send + Sync>;

struct Inner {
    life: Life,
    /// How many suspensions there are at present.
    suspensions: u32,
    /// Whether the run has noticed a suspension and leaves the body alone.
    parked: bool,
    kick: Option<Arc<dyn Kick>>,
    cookie: Option<Cookie>,
    scheduling: Scheduling,
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
            work: AtomicU32::new(0),
            blocked: AtomicU32::new(0),
            last_cpu: AtomicU32::new(0),
            runtime: Runtime::default(),
            waker: TaskWaker::default(),
            exceptions: ThreadExceptions::default(),
            registers: Mutex::default(),
            inner: Mutex::new(Inner {
                life: Life::New,
                suspensions: 0,
                parked: false,
                kick: None,
                cookie: None,
                scheduling: Scheduling::default(),
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
        if self.process.add_thread(self, first)? {
            self.add_suspension(&mut inner);
        }
        inner.life = Life::Started;
        let calls = inner.settle(&self.base);
        drop(inner);
        calls.run();
        Ok(Run::new(self.clone(), body, first))
    }

    /// Ends it (`zx_task_kill`): the body is dropped where it waits.
    pub fn kill(&self) {
        let mut inner = self.inner.lock();
        let before = self.work.fetch_or(work::KILL | work::KILLED, Ordering::SeqCst);
        if inner.life == Life::New {
            inner.life = Life::Dead;
            let calls = inner.settle(&self.base);
            drop(inner);
            calls.run();
            return;
        }
        // Taken with the lock held, for the run may end the thread at once.
        let kick = inner.kick.clone();
        drop(inner);
        if before & work::KILLED == 0 {
            // One that has ended itself is not in user mode, and will not be again.
            self.prod(kick.filter(|_| before & work::KILL == 0));
        }
    }

    /// Ends it, for its own body (`zx_thread_exit`): it takes effect where that waits next, if it does not return before.
    pub fn exit(&self) {
        self.work.fetch_or(work::KILL, Ordering::SeqCst);
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
        let first = self.add_suspension(&mut inner);
        let kick = inner.kick.clone();
        drop(inner);
        if first {
            self.prod(kick);
        }
        Ok(())
    }

    /// True if it is the only one.
    fn add_suspension(&self, inner: &mut Inner) -> bool {
        // Each is an object in memory: there are never so many.
        inner.suspensions = inner.suspensions.saturating_add(1);
        self.work.fetch_or(work::SUSPEND, Ordering::SeqCst);
        inner.suspensions == 1
    }

    /// Takes one suspension back.
    pub(super) fn resume(&self) {
        let mut inner = self.inner.lock();
        inner.suspensions = inner.suspensions.saturating_sub(1);
        if inner.suspensions == 0 {
            self.work.fetch_and(!work::SUSPEND, Ordering::SeqCst);
            drop(inner);
            self.wake();
        }
    }

    /// How to bring it out of user mode; `None` when it never goes there.
    pub fn set_kick(&self, kick: Option<Arc<dyn Kick>>) {
        self.inner.lock().kick = kick;
    }

    pub(super) fn kick(&self) -> Option<Arc<dyn Kick>> {
        self.inner.lock().kick.clone()
    }

    /// How it is to be scheduled.
    pub fn scheduling(&self) -> Scheduling {
        self.inner.lock().scheduling
    }

    /// Says how it is to be scheduled; see [`Profile::apply`](crate::Profile::apply).
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it has been killed or has ended.
    pub(crate) fn set_scheduling(&self, scheduling: Scheduling) -> Result {
        let mut inner = self.inner.lock();
        if inner.life == Life::Dead || self.is_dying() {
            return Err(Error::BadState);
        }
        inner.scheduling = scheduling;
        Ok(())
    }

    /// What the personality that the thread belongs to knows it by: a reference to what it keeps of the thread itself.
    pub fn cookie(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.inner.lock().cookie.as_ref().and_then(Weak::upgrade)
    }

    /// Attaches `cookie`, in place of the one before.
    pub fn set_cookie(&self, cookie: Cookie) {
        let old = self.inner.lock().cookie.replace(cookie);
        drop(old);
    }

    /// Records what it waits for while `operation` runs, for those who ask.
    pub async fn blocked<T>(&self, on: BlockedReason, operation: impl Future<Output = T>) -> T {
        let _blocked = self.block(on);
        operation.await
    }

    /// Records what it waits for until the result is dropped.
    #[inline]
    pub fn block(&self, on: BlockedReason) -> Blocked<'_> {
        let before = self.blocked.load(Ordering::Relaxed);
        self.blocked.store(on as u32, Ordering::Relaxed);
        Blocked { thread: self, before }
    }

    /// What it is now.
    pub fn info(&self) -> ThreadInfo {
        let inner = self.inner.lock();
        let state = match inner.life {
            Life::Dead => ThreadState::Dead,
            _ if self.is_dying() => ThreadState::Dying,
            Life::New => ThreadState::New,
            Life::Started if inner.parked => ThreadState::Suspended,
            Life::Started => BlockedReason::from_raw(self.blocked.load(Ordering::Relaxed))
                .map_or(ThreadState::Running, ThreadState::Blocked),
        };
        let affinity = inner.scheduling.affinity;
        drop(inner);
        let exception = self.exceptions.current();
        let channel = exception.as_deref().map_or_else(Default::default, Exception::channel_type);
        ThreadInfo { state, wait_exception_channel: channel, affinity }
    }

    /// For how long it has run, in ns.
    pub fn runtime(&self) -> u64 {
        hal::time::cycles_to_nanos(self.runtime.cycles())
    }

    /// Where its time went (`ZX_INFO_TASK_RUNTIME`).
    pub fn runtimes(&self) -> TaskRuntime {
        self.runtime.all()
    }

    /// A page fault of its took so many cycles. For its own run.
    pub fn note_page_fault(&self, cycles: u64) {
        self.runtime.note_page_fault(cycles);
    }

    /// What it has used.
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it has ended.
    pub fn stats(&self) -> Result<ThreadStats> {
        if self.inner.lock().life == Life::Dead {
            return Err(Error::BadState);
        }
        let last_cpu = self.last_cpu.load(Ordering::Relaxed) as usize;
        Ok(ThreadStats {
            total_runtime: self.runtime(),
            last_scheduled_cpu: last_cpu.checked_sub(1),
        })
    }

    /// Whether it waits for somebody to handle its exception, for its own run.
    pub(super) fn is_in_exception(&self) -> bool {
        self.blocked.load(Ordering::Relaxed) == BlockedReason::Exception as u32
    }

    /// The run is about to poll the body.
    #[inline]
    pub(super) fn scheduled(&self) {
        let cpu = hal::cpu::current_cpu().map_or(0, |cpu| cpu as u32 + 1);
        if self.last_cpu.load(Ordering::Relaxed) != cpu {
            self.last_cpu.store(cpu, Ordering::Relaxed);
        }
    }

    /// The run leaves the body alone from now on, or no more; true if it is to. It asks again when it is woken.
    pub(super) fn settle_suspension(&self) -> bool {
        let mut inner = self.inner.lock();
        let park = inner.suspensions > 0;
        if inner.parked != park {
            inner.parked = park;
            let calls = inner.settle(&self.base);
            drop(inner);
            calls.run();
        }
        park
    }

    /// The run has ended, and its body with it.
    pub(super) fn finish(&self) {
        let last = self.process.remove_thread(self);
        let mut inner = self.inner.lock();
        self.work.fetch_or(work::KILL, Ordering::SeqCst);
        inner.life = Life::Dead;
        let (kick, cookie) = (inner.kick.take(), inner.cookie.take());
        let calls = inner.settle(&self.base);
        drop(inner);
        drop((kick, cookie));
        self.exceptions.handler.shut();
        drop(self.withdraw());
        // First the thread, then what it was the last of.
        calls.run();
        if last {
            self.process.finish();
        }
    }
}

/// As long as it exists its thread is seen to wait; see [`Thread::block`].
#[must_use = "dropped, it ends what it records"]
#[derive(Debug)]
pub struct Blocked<'a> {
    thread: &'a Thread,
    /// What it was seen to wait for before.
    before: u32,
}

impl Drop for Blocked<'_> {
    #[inline]
    fn drop(&mut self) {
        self.thread.blocked.store(self.before, Ordering::Relaxed);
    }
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

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::executor::block_on;
    use hal::cpu::{Config, Cpus};

    use super::{
        super::run::tests::{poll, started},
        *,
    };
    use crate::{event::Event, task::Job};

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
    fn those_who_wait_for_it_to_run_and_to_end_are_woken() {
        let process = Process::create(&Job::root(), "");
        let process = process.unwrap_or_else(|error| panic!("{error}"));
        let thread = Thread::create(&process, "").unwrap_or_else(|error| panic!("{error}"));
        let wait = |signal| {
            let thread = thread.clone();
            std::thread::spawn(move || block_on(thread.wait_one(signal)))
        };
        let (running, ended) = (wait(Signals::THREAD_RUNNING), wait(Signals::TASK_TERMINATED));
        while thread.base.signal_state().watchers() < 2 {
            std::thread::yield_now();
        }
        let run = process.start(&thread, async {}).unwrap_or_else(|error| panic!("{error}"));
        assert!(running.join().is_ok_and(|woken| woken.is_ok()));
        block_on(run);
        assert!(ended.join().is_ok_and(|woken| woken.is_ok()));
    }

    #[test]
    fn states_have_zircons_numbers() {
        let states = [
            ThreadState::New,
            ThreadState::Running,
            ThreadState::Suspended,
            ThreadState::Dying,
            ThreadState::Dead,
        ];
        assert_eq!(states.map(ThreadState::raw), [0, 1, 2, 4, 5]);
        let run = started(|_| pending());
        let thread = run.thread();
        for (n, reason) in (1..).zip(BlockedReason::ALL) {
            assert_eq!(ThreadState::Blocked(reason).raw(), n << 8 | 3);
            let blocked = thread.block(reason);
            assert_eq!(thread.info().state, ThreadState::Blocked(reason));
            drop(blocked);
        }
        assert_eq!(thread.info().state, ThreadState::Running);
    }

    #[test]
    fn a_wait_in_a_wait_is_seen_while_it_lasts() {
        let run = started(|_| pending());
        let thread = run.thread();
        let outer = thread.block(BlockedReason::Port);
        drop(thread.block(BlockedReason::Pager));
        assert_eq!(thread.info().state, ThreadState::Blocked(BlockedReason::Port));
        drop(outer);
        assert_eq!(thread.info().state, ThreadState::Running);
    }

    #[test]
    fn one_that_is_dying_is_neither_suspended_nor_scheduled() {
        let affinity = Some(CpuSet::default());
        let scheduling = Scheduling { affinity, ..Scheduling::default() };
        for exits in [true, false] {
            let run = started(|_| pending());
            let thread = run.thread().clone();
            assert_eq!(thread.set_scheduling(scheduling), Ok(()));
            assert_eq!((thread.scheduling(), thread.info().affinity), (scheduling, affinity));
            if exits {
                thread.exit()
            } else {
                thread.kill()
            }
            assert_eq!(thread.info().state, ThreadState::Dying);
            assert_eq!(thread.suspend(), Err(Error::BadState));
            assert_eq!(thread.set_scheduling(Scheduling::default()), Err(Error::BadState));
            assert_eq!(thread.scheduling(), scheduling);
            drop(run);
            assert_eq!(thread.suspend(), Err(Error::BadState));
            assert_eq!(thread.set_scheduling(Scheduling::default()), Err(Error::BadState));
        }
    }

    #[test]
    fn it_is_kicked_once_however_often_it_is_killed_and_not_if_it_exits() {
        struct Kicks(AtomicU32);
        impl Kick for Kicks {
            fn kick(&self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let kicks = Arc::new(Kicks(AtomicU32::new(0)));
        let count = || kicks.0.swap(0, Ordering::SeqCst);
        for (exits, expected) in [(false, 1), (true, 0)] {
            let run = started(|_| pending());
            let thread = run.thread().clone();
            thread.set_kick(Some(kicks.clone()));
            thread.interrupt();
            thread.interrupt();
            assert_eq!(count(), 1, "it has not looked yet");
            thread.take_interrupt();
            thread.interrupt_self();
            assert_eq!((thread.work(), count()), (work::SIGNAL, 0));
            if exits {
                thread.exit();
            }
            thread.kill();
            thread.kill();
            assert_eq!(count(), expected);
            assert_eq!(thread.work(), work::SIGNAL | work::KILL | work::KILLED);
        }
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
        let unused = ThreadStats { total_runtime: 0, last_scheduled_cpu: None };
        assert_eq!(thread.stats(), Ok(unused));
        block_on(run);
        assert!(thread.runtime() >= 1_000_000);
        assert_eq!(thread.stats(), Err(Error::BadState), "it has ended");
    }

    #[test]
    fn the_cpu_that_ran_it_last_is_known() {
        let cpus = Cpus::start(Config { cpus: 2, ..Config::default() });
        let cpus = cpus.unwrap_or_else(|error| panic!("{error}"));
        let mut run = started(|_| pending());
        let thread = run.thread().clone();
        let last = || thread.stats().map(|stats| stats.last_scheduled_cpu);
        for cpu in [1, 0, 1] {
            [run] = cpus.block_on(cpus.spawn_on(cpu, async move {
                assert!(poll(&mut run).is_pending());
                [run] // in something that cannot be awaited by mistake
            }));
            assert_eq!(last(), Ok(Some(cpu)));
        }
        assert!(poll(&mut run).is_pending());
        assert_eq!(last(), Ok(None), "this is none of the machine's");
    }

    #[test]
    fn a_personality_knows_it_by_its_cookie() {
        let run = started(|_| pending());
        let thread = run.thread().clone();
        assert!(thread.cookie().is_none());
        let mine = Arc::new(7_u32);
        let weak: Weak<u32> = Arc::downgrade(&mine);
        thread.set_cookie(weak);
        assert_eq!(thread.cookie().and_then(|cookie| cookie.downcast().ok()), Some(mine.clone()));
        drop(mine);
        assert!(thread.cookie().is_none(), "it keeps nothing alive");
    }
}
