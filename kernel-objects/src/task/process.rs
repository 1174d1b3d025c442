//! Processes: an address space, handles and threads that share them.
//!
//! A process runs nothing itself. It starts with its first thread, ends when the last one has ended,
//! when one of them says so, or when it or its job is killed; then its handles are closed and it says
//! `TASK_TERMINATED`. The code it ended with stays readable as long as someone refers to it.
//!
//! A process that has been told to end is *dying* until its last thread has noticed. It takes no new
//! threads then, and the first code it was given remains.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, Weak, atomic::Ordering::SeqCst},
};

use hal::aspace::Watcher;
use parking_lot::Mutex;

use super::{
    exception::TaskHandlers,
    interrupt::work,
    job::{Critical, Job},
    policy::JobPolicy,
    properties::Properties,
    retcode,
    run::Run,
    runtime::TaskRuntime,
    shared::Shared,
    thread::Thread,
};
use crate::{
    error::{Error, Result},
    futex::FutexTable,
    handle::HandleTable,
    object::{KObjectBase, KernelObject, Koid, ObjectType},
    signals::Signals,
    vmar::Vmar,
};

/// What a process is: `zx_info_process_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Why it ended, once it has.
    pub return_code: i64,
    /// When its first thread was started, in ns of the monotonic clock; 0 before.
    pub start_time: u64,
    /// Whether it was ever started.
    pub started: bool,
    /// Whether it has ended.
    pub exited: bool,
    /// Whether somebody debugs it.
    pub debugger_attached: bool,
}

/// Threads with an address space and handles in common (`zx_process_create`).
///
/// ```
/// use futures::executor::block_on;
/// use kernel_objects::{KernelObject, Signals};
/// use kernel_objects::task::{Job, Process, Thread};
///
/// let process = Process::create(&Job::root(), "hello").unwrap();
/// let thread = Thread::create(&process, "main").unwrap();
/// // What the thread does is a future; whoever starts it decides where that runs.
/// let run = process.start(&thread, async { println!("hello") }).unwrap();
/// block_on(run);
/// assert_eq!(process.signals(), Signals::TASK_TERMINATED);
/// assert_eq!(process.info().return_code, 0);
/// ```
pub struct Process {
    base: KObjectBase,
    job: Arc<Job>,
    /// Its job's, which cannot change as long as the process is there.
    policy: JobPolicy,
    handles: HandleTable,
    futexes: FutexTable,
    pub(super) handlers: TaskHandlers,
    pub(super) properties: Properties,
    pub(super) inner: Mutex<Inner>,
}

pub(super) struct Inner {
    state: State,
    /// The address space, until the end.
    pub(super) vmar: Option<Arc<Vmar>>,
    pub(super) shared: Shared,
    /// Fixed by the first who ends the process.
    return_code: i64,
    start_time: u64,
    /// Those that were started and have not ended, by koid.
    threads: BTreeMap<Koid, Weak<Thread>>,
    /// Where the time of those went that have ended.
    past_runtime: TaskRuntime,
    /// How many suspensions of the whole process there are; a thread that is started has one while there are.
    suspensions: u32,
    critical: Option<(Weak<Job>, Critical)>,
    clean_up: Option<CleanUp>,
}

/// What a personality does once the threads have ended; see [`Process::set_clean_up`].
type CleanUp = Box<dyn FnOnce() + Send>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Never started.
    Initial,
    /// Has threads.
    Running,
    /// Is to end; its threads have not all noticed.
    Dying,
    /// Has ended. Final.
    Dead,
}

impl Inner {
    pub(super) fn has_ended(&self) -> bool {
        self.state == State::Dead
    }

    fn list(&self) -> Vec<Arc<Thread>> {
        self.threads.values().filter_map(Weak::upgrade).collect()
    }
}

impl Process {
    /// A process in `job`, with no thread and no memory; see [`set_root_vmar`](Self::set_root_vmar).
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if the job has been killed.
    pub fn create(job: &Arc<Job>, name: &str) -> Result<Arc<Process>> {
        job.add_process(|policy| {
            Arc::new(Process {
                base: KObjectBase::with(name, Signals::empty()),
                job: job.clone(),
                policy,
                handles: HandleTable::new(),
                futexes: FutexTable::new(),
                handlers: TaskHandlers::default(),
                properties: Properties::default(),
                inner: Mutex::new(Inner {
                    state: State::Initial,
                    vmar: None,
                    shared: Shared::default(),
                    return_code: 0,
                    start_time: 0,
                    threads: BTreeMap::new(),
                    past_runtime: TaskRuntime::default(),
                    suspensions: 0,
                    critical: None,
                    clean_up: None,
                }),
            })
        })
    }

    /// The job it is in.
    pub fn job(&self) -> &Arc<Job> {
        &self.job
    }

    /// What it may do: its job's policy.
    pub fn policy(&self) -> &JobPolicy {
        &self.policy
    }

    /// Its handles by value.
    pub fn handles(&self) -> &HandleTable {
        &self.handles
    }

    /// The futexes that its threads wait at.
    pub fn futexes(&self) -> &FutexTable {
        &self.futexes
    }

    /// Starts it with its first thread, which will do `body` (`zx_process_start`). Nothing happens
    /// until the returned future is run.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if the thread belongs to another process; [`Error::BadState`] if the
    /// process was started before or has ended, or the thread was.
    pub fn start<F: Future<Output = ()>>(
        self: &Arc<Self>,
        thread: &Arc<Thread>,
        body: F,
    ) -> Result<Run<F>> {
        if !Arc::ptr_eq(self, thread.process()) {
            return Err(Error::AccessDenied);
        }
        thread.start_as(true, body)
    }

    /// Takes a thread among those that run; true if it is suspended with the others. `first`: it starts the process.
    pub(super) fn add_thread(&self, thread: &Arc<Thread>, first: bool) -> Result<bool> {
        let mut inner = self.inner.lock();
        match inner.state {
            State::Initial if first => {
                inner.state = State::Running;
                inner.start_time = hal::time::monotonic();
            }
            State::Running if !first => {}
            _ => return Err(Error::BadState),
        }
        inner.threads.insert(thread.koid(), Arc::downgrade(thread));
        Ok(inner.suspensions > 0)
    }

    /// A thread that was started has ended; true if it was the last one, and the caller is to call [`finish`](Self::finish).
    pub(super) fn remove_thread(&self, thread: &Thread) -> bool {
        let mut inner = self.inner.lock();
        inner.threads.remove(&thread.koid());
        inner.past_runtime += thread.runtimes();
        let last = inner.threads.is_empty() && inner.state != State::Dead;
        if last {
            inner.state = State::Dead;
        }
        last
    }

    /// Ends the process with a code of its own (`zx_process_exit`). Its threads end when they next
    /// wait, or leave user mode.
    pub fn exit(&self, code: i64) {
        self.kill_with(code);
    }

    /// Ends the process (`zx_task_kill`). Killing it again does nothing.
    pub fn kill(&self) {
        self.kill_with(retcode::SYSCALL_KILL);
    }

    pub(super) fn kill_with(&self, return_code: i64) {
        let mut inner = self.inner.lock();
        if matches!(inner.state, State::Dying | State::Dead) {
            return;
        }
        inner.return_code = return_code;
        let threads = inner.list();
        inner.state = if inner.threads.is_empty() { State::Dead } else { State::Dying };
        let dead = inner.state == State::Dead;
        drop(inner);
        if dead {
            self.finish();
        }
        for thread in threads {
            thread.kill();
        }
    }

    /// What the process will have ended with if nobody ends it and its threads end one by one; 0 unless set.
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if its end is decided.
    pub fn set_return_code(&self, code: i64) -> Result {
        let mut inner = self.inner.lock();
        if matches!(inner.state, State::Dying | State::Dead) {
            return Err(Error::BadState);
        }
        inner.return_code = code;
        Ok(())
    }

    /// Has `clean_up` called when the last thread has ended and before the process says so: for what a personality
    /// keeps of a process, as its handles are closed then.
    pub fn set_clean_up(&self, clean_up: impl FnOnce() + Send + 'static) {
        let old = self.inner.lock().clean_up.replace(Box::new(clean_up));
        drop(old);
    }

    /// Kills all threads but `survivor`, which makes the call: Linux's execve. Returns those that have not ended yet; another
    /// one may be started by one of them meanwhile, so ask again when they have.
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if `survivor` has been killed itself: of two that do this at once one wins.
    pub fn kill_others(&self, survivor: &Thread) -> Result<Vec<Arc<Thread>>> {
        let inner = self.inner.lock();
        if survivor.is_dying() {
            return Err(Error::BadState);
        }
        let others = inner.threads.iter().filter(|&(&koid, _)| koid != survivor.koid());
        let others: Vec<_> = others.filter_map(|(_, thread)| thread.upgrade()).collect();
        let newly: Vec<_> = others
            .iter()
            .filter(|thread| {
                thread.work.fetch_or(work::KILL | work::KILLED, SeqCst) & work::KILLED == 0
            })
            .collect();
        drop(inner);
        newly.into_iter().for_each(|thread| thread.prod(thread.kick()));
        Ok(others)
    }

    /// Suspends all its threads, and those that will be started, once more.
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it is ending or has ended.
    pub(super) fn suspend(&self) -> Result {
        let mut inner = self.inner.lock();
        if matches!(inner.state, State::Dying | State::Dead) {
            return Err(Error::BadState);
        }
        inner.suspensions = inner.suspensions.checked_add(1).ok_or(Error::NoResources)?;
        if inner.suspensions == 1 {
            let threads = inner.list();
            drop(inner);
            // One that ends meanwhile needs no suspension.
            for thread in threads {
                let _ = thread.suspend();
            }
        }
        Ok(())
    }

    /// Takes one suspension of all its threads back.
    pub(super) fn resume(&self) {
        let mut inner = self.inner.lock();
        inner.suspensions = inner.suspensions.saturating_sub(1);
        if inner.suspensions == 0 {
            let threads = inner.list();
            drop(inner);
            threads.iter().for_each(|thread| thread.resume());
        }
    }

    /// Lets go of everything: called once, by whoever made it dead.
    pub(super) fn finish(&self) {
        self.handles.clear();
        let (memory, critical, clean_up, return_code) = {
            let mut inner = self.inner.lock();
            let inner = &mut *inner;
            let memory = (inner.vmar.take(), inner.shared.restricted.take());
            (memory, inner.critical.take(), inner.clean_up.take(), inner.return_code)
        };
        drop(memory);
        if let Some(clean_up) = clean_up {
            clean_up();
        }
        self.handlers.shut();
        self.base.signal_state().set(Signals::TASK_TERMINATED);
        self.job.remove_process(self);
        if let Some((job, when)) = critical
            && (when == Critical::Always || return_code != 0)
            && let Some(job) = job.upgrade()
        {
            job.kill_with(retcode::CRITICAL_PROCESS_KILL);
        }
    }

    pub(super) fn set_critical(&self, job: Weak<Job>, critical: Critical) -> Result {
        let mut inner = self.inner.lock();
        if inner.critical.is_some() {
            return Err(Error::AlreadyBound);
        }
        inner.critical = Some((job, critical));
        Ok(())
    }

    /// The threads that were started and have not ended, in the order of their creation
    /// (`ZX_INFO_PROCESS_THREADS`).
    pub fn threads(&self) -> Vec<Arc<Thread>> {
        self.inner.lock().list()
    }

    /// How many threads were started and have not ended.
    pub fn thread_count(&self) -> usize {
        self.inner.lock().threads.len()
    }

    /// For how long its threads have run, in ns, those that have ended too.
    pub fn runtime(&self) -> u64 {
        self.runtimes().cpu
    }

    /// Where the time of its threads went, of those that have ended too (`ZX_INFO_TASK_RUNTIME`).
    pub fn runtimes(&self) -> TaskRuntime {
        let inner = self.inner.lock();
        let mut sum = inner.past_runtime;
        let running = inner.threads.values().filter_map(Weak::upgrade);
        running.for_each(|thread| sum += thread.runtimes());
        sum
    }

    /// The thread with this koid (`zx_object_get_child`).
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    pub fn child(&self, koid: Koid) -> Result<Arc<Thread>> {
        self.inner.lock().threads.get(&koid).and_then(Weak::upgrade).ok_or(Error::NotFound)
    }

    /// Whether it has been told to end, or has.
    pub fn is_ending(&self) -> bool {
        matches!(self.inner.lock().state, State::Dying | State::Dead)
    }

    /// What it is now.
    pub fn info(&self) -> ProcessInfo {
        let inner = self.inner.lock();
        ProcessInfo {
            return_code: inner.return_code,
            start_time: inner.start_time,
            started: inner.start_time != 0,
            exited: inner.state == State::Dead,
            debugger_attached: self.handlers.debugger.is_bound(),
        }
    }
}

impl KernelObject for Process {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Process
    }

    fn related_koid(&self) -> Koid {
        self.job.koid()
    }
}

impl Watcher for Process {
    /// Whoever has ended the host process that it runs in has killed it.
    fn lost(&self) {
        self.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that was never started; the others have left the job when they ended.
        self.job.remove_process(self);
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("base", &self.base).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::{FutureExt, executor::block_on};

    use super::*;
    use crate::{eventpair::EventPair, handle::Handle};

    fn process() -> Arc<Process> {
        Process::create(&Job::root(), "test").unwrap_or_else(|error| panic!("{error}"))
    }

    fn thread(process: &Arc<Process>) -> Arc<Thread> {
        Thread::create(process, "").unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn it_has_the_name_that_it_was_given() {
        let process = process();
        assert_eq!(process.name(), "test");
        process.set_name("other");
        assert_eq!(process.name(), "other");
    }

    #[test]
    fn it_ends_with_its_last_thread_and_closes_its_handles() {
        let process = process();
        let (end, other) = EventPair::create();
        assert!(process.handles().insert(Handle::new(end)).is_ok());
        let second = thread(&process);
        assert_eq!(second.start(async {}).err(), Some(Error::BadState), "the first starts it");
        let main = process.start(&thread(&process), async {});
        let second = second.start(async {});
        assert_eq!(process.threads().len(), 2);
        block_on(main.unwrap_or_else(|error| panic!("{error}")));
        assert_eq!(process.signals(), Signals::empty());
        block_on(second.unwrap_or_else(|error| panic!("{error}")));
        assert_eq!(process.signals(), Signals::TASK_TERMINATED);
        assert_eq!(other.signals(), Signals::PEER_CLOSED);
        let info = process.info();
        assert_eq!((info.started, info.exited, info.return_code), (true, true, 0));
        assert!(process.threads().is_empty() && process.job().processes().is_empty());
    }

    #[test]
    fn it_can_be_started_once_and_with_its_own_thread() {
        let (a, b) = (process(), process());
        let (of_a, of_b) = (thread(&a), thread(&b));
        assert_eq!(a.start(&of_b, async {}).err(), Some(Error::AccessDenied));
        assert_eq!(of_a.start(async {}).err(), Some(Error::BadState), "not by zx_thread_start");
        let run = a.start(&of_a, pending());
        assert!(run.is_ok());
        assert_eq!(a.start(&of_a, async {}).err(), Some(Error::BadState));
        assert_eq!(a.start(&thread(&a), async {}).err(), Some(Error::BadState));
        assert_eq!(a.child(of_a.koid()).map(|t| t.koid()), Ok(of_a.koid()));
        assert_eq!(a.child(of_b.koid()).err(), Some(Error::NotFound));
    }

    #[test]
    fn exit_ends_every_thread_and_the_first_code_remains() {
        let process = process();
        let main = process.start(&thread(&process), {
            let process = process.clone();
            async move {
                process.exit(42);
                pending().await
            }
        });
        let second = thread(&process).start(pending());
        assert!(second.is_ok());
        block_on(main.unwrap_or_else(|error| panic!("{error}")));
        process.kill();
        assert!(process.is_ending() && !process.info().exited);
        assert_eq!(Thread::create(&process, "").err(), Some(Error::BadState));
        block_on(second.unwrap_or_else(|error| panic!("{error}")));
        assert_eq!((process.info().exited, process.info().return_code), (true, 42));
    }

    #[test]
    fn one_that_never_started_can_be_killed() {
        let process = process();
        let thread = thread(&process);
        process.kill();
        assert_eq!(process.signals(), Signals::TASK_TERMINATED);
        let info = process.info();
        assert_eq!((info.started, info.return_code), (false, retcode::SYSCALL_KILL));
        assert_eq!(process.start(&thread, async {}).err(), Some(Error::BadState));
    }

    #[test]
    fn one_that_never_started_leaves_its_job_when_nobody_refers_to_it() {
        let job = Job::root();
        drop(Process::create(&job, ""));
        assert!(job.signals().contains(Signals::JOB_NO_PROCESSES));
        assert!(!job.info().exited);
    }

    #[test]
    fn a_critical_process_may_end_well() {
        let job = Job::root();
        for (code, exited) in [(0, false), (1, true)] {
            let process = Process::create(&job, "").unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(job.set_critical(Critical::RetcodeNonzero, &process), Ok(()));
            process.exit(code);
            assert_eq!(job.info().exited, exited);
        }
    }

    #[test]
    fn a_process_may_be_critical_however_it_ends() {
        let job = Job::root();
        let process = Process::create(&job, "").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(process.related_koid(), job.koid());
        assert_eq!(job.set_critical(Critical::Always, &process), Ok(()));
        process.exit(0);
        let info = job.info();
        assert_eq!((info.exited, info.return_code), (true, retcode::CRITICAL_PROCESS_KILL));
    }

    #[test]
    fn it_is_started_at_some_time_and_killed_if_it_is_lost() {
        let process = process();
        let info = process.info();
        assert_eq!((info.start_time, info.started, info.exited), (0, false, false));
        let before = hal::time::monotonic();
        let run = process.start(&thread(&process), pending());
        let info = process.info();
        assert!((before..=hal::time::monotonic()).contains(&info.start_time));
        assert!(info.started && !info.exited && !info.debugger_attached);
        process.lost();
        assert_eq!(process.set_return_code(7), Err(Error::BadState), "its end is decided");
        process.exit(8);
        drop(run);
        let ended = process.info();
        assert_eq!((ended.exited, ended.return_code), (true, retcode::SYSCALL_KILL));
        assert_eq!(ended.start_time, info.start_time);
    }

    #[test]
    fn only_the_last_clean_up_that_was_set_is_done_and_once() {
        let process = process();
        let done = Arc::new(Mutex::new(Vec::new()));
        for n in [1, 2] {
            let done = done.clone();
            process.set_clean_up(move || done.lock().push(n));
        }
        process.kill();
        process.kill();
        assert_eq!(*done.lock(), [2]);
    }

    #[test]
    fn it_is_suspended_as_often_as_it_was_and_not_while_it_dies() {
        let process = process();
        let main = thread(&process);
        let run = process.start(&main, pending());
        assert_eq!((process.suspend(), process.suspend()), (Ok(()), Ok(())));
        assert_eq!(main.work(), work::SUSPEND);
        process.resume();
        assert_eq!(main.work(), work::SUSPEND, "once more");
        let late = thread(&process);
        let late_run = late.start(pending());
        assert_eq!(late.work(), work::SUSPEND, "with the others");
        process.resume();
        assert_eq!((main.work(), late.work()), (0, 0));
        process.kill();
        assert_eq!(process.suspend(), Err(Error::BadState));
        assert!(!process.info().exited);
        drop((run, late_run));
        assert_eq!(process.suspend(), Err(Error::BadState));
        assert!(process.info().exited);
    }

    #[test]
    fn waiting_for_its_end_is_a_future() {
        let process = process();
        assert!(process.wait_one(Signals::TASK_TERMINATED).now_or_never().is_none());
        process.exit(3);
        assert!(process.wait_one(Signals::TASK_TERMINATED).now_or_never().is_some());
    }

    #[test]
    fn the_threads_may_say_what_it_ends_with_if_nobody_ends_it() {
        let process = process();
        let run = process.start(&thread(&process), async {});
        assert_eq!(process.set_return_code(7), Ok(()));
        block_on(run.unwrap_or_else(|error| panic!("{error}")));
        assert_eq!(process.info().return_code, 7);
        assert_eq!(process.set_return_code(8), Err(Error::BadState));
    }

    #[test]
    fn the_clean_up_comes_after_the_last_thread_and_before_the_news() {
        let process = process();
        let weak = Arc::downgrade(&process);
        let seen = Arc::new(Mutex::new(None));
        let see = seen.clone();
        process.set_clean_up(move || {
            let process = weak.upgrade();
            *see.lock() = process.map(|process| (process.thread_count(), process.signals()));
        });
        let run = process.start(&thread(&process), async {});
        assert!(seen.lock().is_none());
        block_on(run.unwrap_or_else(|error| panic!("{error}")));
        assert_eq!(*seen.lock(), Some((0, Signals::empty())));
        assert_eq!(process.signals(), Signals::TASK_TERMINATED);
    }

    #[test]
    fn of_two_threads_that_kill_the_others_one_wins() {
        let process = process();
        let (a, b) = (thread(&process), thread(&process));
        let run_a = process.start(&a, pending());
        let run_b = b.start(pending());
        let koids = |killed: Vec<Arc<Thread>>| killed.iter().map(|t| t.koid()).collect::<Vec<_>>();
        assert_eq!(process.kill_others(&a).map(koids), Ok(vec![b.koid()]));
        assert_eq!(process.kill_others(&b).err(), Some(Error::BadState));
        assert_eq!(process.kill_others(&a).map(koids), Ok(vec![b.koid()]), "it has not ended");
        block_on(run_b.unwrap_or_else(|error| panic!("{error}")));
        assert_eq!(process.kill_others(&a).map(koids), Ok(vec![]));
        assert!(!process.is_ending());
        drop(run_a);
    }

    #[test]
    fn its_running_time_is_that_of_all_its_threads() {
        let process = process();
        let spin = |for_nanos| async move {
            let end = hal::time::monotonic() + for_nanos;
            while hal::time::monotonic() < end {}
        };
        let first = process.start(&thread(&process), pending());
        let second = thread(&process).start(spin(2_000_000));
        block_on(second.unwrap_or_else(|error| panic!("{error}")));
        assert!(process.runtime() >= 1_900_000);
        drop(first);
        assert!(process.runtime() >= 1_900_000);
    }
}
