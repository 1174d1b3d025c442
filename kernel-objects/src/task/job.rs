//! Jobs: groups of processes and of further jobs.
//!
//! Every process belongs to a job, every job but the root to another. A job's policy holds for all
//! that is created in it, killing a job kills all that is in it, and through a job one finds tasks to
//! which nobody has a handle.
//!
//! A job that is killed takes no new children. It is dead once the last child has ended, and says so
//! with `TASK_TERMINATED`; the news travels up the tree in a loop. `JOB_NO_JOBS`, `JOB_NO_PROCESSES`
//! and `JOB_NO_CHILDREN` say whether it is empty at present.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
};

use hal::pmem::Shortage;
use parking_lot::Mutex;

use super::{
    exception::TaskHandlers,
    policy::{BasicPolicy, JobPolicy, PolicyMode, TimerSlack},
    process::Process,
    retcode,
    runtime::TaskRuntime,
};
use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, Koid, ObjectType},
    signals::{Calls, Signals},
};

/// How many levels of jobs there can be below a root. (Zircon has 32; nothing here depends on it.)
pub const MAX_JOB_HEIGHT: u32 = 4096;

/// When the end of a critical process kills the job: the options of `zx_job_set_critical`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Critical {
    /// Always.
    Always,
    /// If its return code is not 0: `ZX_JOB_CRITICAL_PROCESS_RETCODE_NONZERO`.
    RetcodeNonzero,
}

impl Critical {
    /// What these options ask for.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for others.
    pub fn from_options(options: u32) -> Result<Self> {
        match options {
            0 => Ok(Self::Always),
            1 => Ok(Self::RetcodeNonzero),
            _ => Err(Error::InvalidArgs),
        }
    }
}

/// What a job is: `zx_info_job_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobInfo {
    /// Why it ended, once it has.
    pub return_code: i64,
    /// Whether it is dead.
    pub exited: bool,
    /// Whether it is to be killed when the system is out of memory.
    pub kill_on_oom: bool,
    /// Whether somebody debugs it.
    pub debugger_attached: bool,
}

/// A group of processes and jobs (`zx_job_create`).
///
/// ```
/// use kernel_objects::{KernelObject, Signals};
/// use kernel_objects::task::{Job, Process};
///
/// let root = Job::root();
/// let job = Job::create(&root).unwrap();
/// let process = Process::create(&job, "init").unwrap();
/// assert_eq!(job.processes().len(), 1);
///
/// root.kill();
/// assert!(process.signals().contains(Signals::TASK_TERMINATED));
/// assert!(root.signals().contains(Signals::TASK_TERMINATED));
/// ```
pub struct Job {
    base: KObjectBase,
    me: Weak<Job>,
    /// Taken by `drop` only.
    parent: Option<Arc<Job>>,
    parent_koid: Koid,
    /// How many levels of jobs may be below.
    height: u32,
    pub(super) handlers: TaskHandlers,
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    return_code: i64,
    kill_on_oom: bool,
    policy: JobPolicy,
    /// Where the time of those processes went that have ended.
    past_runtime: TaskRuntime,
    /// By koid, so in the order of their creation.
    jobs: BTreeMap<Koid, Weak<Job>>,
    processes: BTreeMap<Koid, Weak<Process>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Takes children.
    Ready,
    /// Killed; its children have not all ended.
    Killing,
    /// Killed and empty. Final.
    Dead,
}

/// Why a child was not adopted.
enum Refusal {
    /// The job has been killed.
    BadState,
    /// The child was made with a policy that the job has no more.
    PolicyChanged,
}

impl Inner {
    fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.processes.is_empty()
    }

    /// Shows in the signals what children there are; a killed job without any dies. True if it did.
    fn settle(&mut self, base: &KObjectBase) -> (bool, Calls) {
        let died = self.state == State::Killing && self.is_empty();
        if died {
            self.state = State::Dead;
        }
        let shown = [
            (self.jobs.is_empty(), Signals::JOB_NO_JOBS),
            (self.processes.is_empty(), Signals::JOB_NO_PROCESSES),
            (self.is_empty(), Signals::JOB_NO_CHILDREN),
            (self.state == State::Dead, Signals::TASK_TERMINATED),
        ];
        let (mut clear, mut set) = (Signals::empty(), Signals::empty());
        for (holds, signal) in shown {
            if holds { set |= signal } else { clear |= signal }
        }
        (died, base.signal_state().change(clear, set))
    }
}

impl Job {
    /// A job without a parent.
    pub fn root() -> Arc<Job> {
        Self::new(None, MAX_JOB_HEIGHT, JobPolicy::default())
    }

    fn new(parent: Option<Arc<Job>>, height: u32, policy: JobPolicy) -> Arc<Job> {
        let empty = Signals::JOB_NO_JOBS | Signals::JOB_NO_PROCESSES | Signals::JOB_NO_CHILDREN;
        Arc::new_cyclic(|me| Job {
            base: KObjectBase::with("", empty),
            me: me.clone(),
            parent_koid: parent.as_ref().map_or(0, |parent| parent.koid()),
            parent,
            height,
            handlers: TaskHandlers::default(),
            inner: Mutex::new(Inner {
                state: State::Ready,
                return_code: 0,
                kill_on_oom: false,
                policy,
                past_runtime: TaskRuntime::default(),
                jobs: BTreeMap::new(),
                processes: BTreeMap::new(),
            }),
        })
    }

    /// A job in `parent`, with its policy.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if the tree would become too high, [`Error::BadState`] if the parent has
    /// been killed.
    pub fn create(parent: &Arc<Job>) -> Result<Arc<Job>> {
        let height = parent.height.checked_sub(1).ok_or(Error::OutOfRange)?;
        parent.adopt(
            |policy| Self::new(Some(parent.clone()), height, policy),
            |inner, job| {
                inner.jobs.insert(job.koid(), Arc::downgrade(job));
            },
        )
    }

    /// Makes a child with the policy that the job has when the child joins it.
    fn adopt<T>(
        &self,
        make: impl Fn(JobPolicy) -> Arc<T>,
        insert: impl Fn(&mut Inner, &Arc<T>),
    ) -> Result<Arc<T>> {
        loop {
            let policy = self.policy();
            // Not under the lock, which the child's destructor takes.
            let child = make(policy);
            match self.try_adopt(&policy, |inner| insert(inner, &child)) {
                Ok(()) => return Ok(child),
                Err(Refusal::BadState) => return Err(Error::BadState),
                Err(Refusal::PolicyChanged) => {}
            }
        }
    }

    fn try_adopt(
        &self,
        policy: &JobPolicy,
        insert: impl FnOnce(&mut Inner),
    ) -> Result<(), Refusal> {
        let mut inner = self.inner.lock();
        if inner.state != State::Ready {
            return Err(Refusal::BadState);
        }
        if inner.policy != *policy {
            return Err(Refusal::PolicyChanged);
        }
        insert(&mut inner);
        let (_, calls) = inner.settle(&self.base);
        drop(inner);
        calls.run();
        Ok(())
    }

    pub(super) fn add_process(
        &self,
        make: impl Fn(JobPolicy) -> Arc<Process>,
    ) -> Result<Arc<Process>> {
        self.adopt(make, |inner, process| {
            inner.processes.insert(process.koid(), Arc::downgrade(process));
        })
    }

    pub(super) fn remove_process(&self, process: &Process) {
        let (koid, runtime) = (process.koid(), process.runtimes());
        let removed = self.remove(|inner| {
            let removed = inner.processes.remove(&koid).is_some();
            if removed {
                inner.past_runtime += runtime;
            }
            removed
        });
        if removed {
            self.announce_death();
        }
    }

    /// Removes a child; true if the job died of it.
    fn remove(&self, remove: impl FnOnce(&mut Inner) -> bool) -> bool {
        let mut inner = self.inner.lock();
        if !remove(&mut inner) {
            return false;
        }
        let (died, calls) = inner.settle(&self.base);
        drop(inner);
        calls.run();
        died
    }

    /// This job has died: its parent loses a child, and may die of it, and so on.
    fn announce_death(&self) {
        self.handlers.shut();
        let mut job = self;
        while let Some(parent) = &job.parent
            && parent.remove(|inner| inner.jobs.remove(&job.koid()).is_some())
        {
            parent.handlers.shut();
            job = parent;
        }
    }

    /// The job that this one is in.
    pub fn parent(&self) -> Option<&Arc<Job>> {
        self.parent.as_ref()
    }

    /// Whether `self` is `other` or one of the jobs above it.
    pub fn contains(&self, other: &Job) -> bool {
        let mut job = Some(other);
        while let Some(one) = job {
            if one.koid() == self.koid() {
                return true;
            }
            job = one.parent.as_deref();
        }
        false
    }

    /// The jobs in this one that are alive, in the order of their creation (`ZX_INFO_JOB_CHILDREN`).
    pub fn children(&self) -> Vec<Arc<Job>> {
        self.inner.lock().jobs.values().filter_map(Weak::upgrade).collect()
    }

    /// The processes in this job that are alive, in the order of their creation
    /// (`ZX_INFO_JOB_PROCESSES`).
    pub fn processes(&self) -> Vec<Arc<Process>> {
        let inner = self.inner.lock();
        let mut processes: Vec<_> = inner.processes.values().filter_map(Weak::upgrade).collect();
        drop(inner);
        // One says that it has ended before it leaves the job.
        processes.retain(|process| !process.info().exited);
        processes
    }

    /// The child, job or process, with this koid (`zx_object_get_child`).
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    pub fn child(&self, koid: Koid) -> Result<Arc<dyn KernelObject>> {
        let inner = self.inner.lock();
        if let Some(job) = inner.jobs.get(&koid).and_then(Weak::upgrade) {
            return Ok(job);
        }
        match inner.processes.get(&koid).and_then(Weak::upgrade) {
            Some(process) => Ok(process),
            None => Err(Error::NotFound),
        }
    }

    /// For how long its processes have run, in ns, those that have ended too.
    pub fn runtime(&self) -> u64 {
        self.runtimes().cpu
    }

    /// Where the time of its processes went, of those that have ended too (`ZX_INFO_TASK_RUNTIME`).
    pub fn runtimes(&self) -> TaskRuntime {
        let inner = self.inner.lock();
        let mut sum = inner.past_runtime;
        let processes: Vec<_> = inner.processes.values().filter_map(Weak::upgrade).collect();
        drop(inner);
        // One that ends meanwhile counts, and is not yet among those that have ended.
        processes.iter().for_each(|process| sum += process.runtimes());
        sum
    }

    /// What the processes in it may do.
    pub fn policy(&self) -> JobPolicy {
        self.inner.lock().policy
    }

    /// Changes what the processes in it may do (`zx_job_set_policy`, `ZX_JOB_POL_BASIC_V2`).
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it has children; otherwise as [`JobPolicy::set`].
    pub fn set_policy(&self, mode: PolicyMode, lines: &[BasicPolicy]) -> Result {
        let mut inner = self.inner.lock();
        if !inner.is_empty() {
            return Err(Error::BadState);
        }
        inner.policy.set(mode, lines)
    }

    /// Changes how far deadlines of its processes may be moved (`ZX_JOB_POL_TIMER_SLACK`).
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it has children.
    pub fn set_timer_slack(&self, slack: TimerSlack) -> Result {
        let mut inner = self.inner.lock();
        if !inner.is_empty() {
            return Err(Error::BadState);
        }
        inner.policy.set_timer_slack(slack);
        Ok(())
    }

    /// Whether it may be killed when the system is out of memory (`ZX_PROP_JOB_KILL_ON_OOM`): when the limit of a memory whose
    /// shortages [it or a job above is told of](hal::pmem::PhysicalMemory::tell_of_shortage) refuses something, of the jobs below that are marked so the one
    /// that was created last is. What was refused stays so.
    pub fn set_kill_on_oom(&self, kill: bool) {
        self.inner.lock().kill_on_oom = kill;
    }

    /// Has the end of `process` kill this job (`zx_job_set_critical`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if the process is not in this job or one below,
    /// [`Error::AlreadyBound`] if it is critical to a job already.
    pub fn set_critical(self: &Arc<Self>, critical: Critical, process: &Process) -> Result {
        if !self.contains(process.job()) {
            return Err(Error::InvalidArgs);
        }
        process.set_critical(Arc::downgrade(self), critical)
    }

    /// Kills all that is in it, and with that the job (`zx_task_kill`). Killing it again does nothing.
    pub fn kill(self: &Arc<Self>) {
        self.kill_with(retcode::SYSCALL_KILL);
    }

    pub(super) fn kill_with(self: &Arc<Self>, return_code: i64) {
        let mut jobs = vec![self.clone()];
        while let Some(job) = jobs.pop() {
            let mut inner = job.inner.lock();
            if inner.state != State::Ready {
                continue;
            }
            inner.state = State::Killing;
            inner.return_code = return_code;
            jobs.extend(inner.jobs.values().filter_map(Weak::upgrade));
            let processes: Vec<_> = inner.processes.values().filter_map(Weak::upgrade).collect();
            let (died, calls) = inner.settle(&job.base);
            drop(inner);
            calls.run();
            if died {
                job.announce_death();
            }
            for process in processes {
                process.kill_with(return_code);
            }
        }
    }

    /// Of this job and those below that are marked for it and not killed yet, the one that was created last.
    fn last_to_kill_on_oom(self: &Arc<Self>) -> Option<Arc<Job>> {
        let mut jobs = vec![self.clone()];
        let mut found: Option<Arc<Job>> = None;
        while let Some(job) = jobs.pop() {
            let inner = job.inner.lock();
            jobs.extend(inner.jobs.values().filter_map(Weak::upgrade));
            let marked = inner.kill_on_oom && inner.state == State::Ready;
            drop(inner);
            if marked && found.as_ref().is_none_or(|found| found.koid() < job.koid()) {
                found = Some(job);
            }
        }
        found
    }

    /// Whether it has been killed.
    pub fn is_ending(&self) -> bool {
        self.inner.lock().state != State::Ready
    }

    /// What it is now.
    pub fn info(&self) -> JobInfo {
        let inner = self.inner.lock();
        JobInfo {
            return_code: inner.return_code,
            exited: inner.state == State::Dead,
            kill_on_oom: inner.kill_on_oom,
            debugger_attached: self.handlers.debugger.is_bound(),
        }
    }
}

impl Shortage for Job {
    fn memory_is_short(&self) {
        let Some(me) = self.me.upgrade() else { return };
        match me.last_to_kill_on_oom() {
            Some(job) => {
                log::warn!("out of memory: job {} is killed", job.koid());
                job.kill_with(retcode::OOM_KILL);
            }
            None => log::info!("out of memory: no job is marked to be killed then"),
        }
    }
}

impl KernelObject for Job {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Job
    }

    fn related_koid(&self) -> Koid {
        self.parent_koid
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // If this was the last reference to the parent, and so on, each is dropped here, with no
        // parent left to drop: a chain of any length does not recurse.
        let mut koid = self.koid();
        let mut next = self.parent.take();
        while let Some(parent) = next {
            if parent.remove(|inner| inner.jobs.remove(&koid).is_some()) {
                parent.announce_death();
            }
            let Some(mut orphan) = Arc::into_inner(parent) else { break };
            koid = orphan.koid();
            next = orphan.parent.take();
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("base", &self.base).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
