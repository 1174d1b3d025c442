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

use parking_lot::Mutex;

use super::{
    exception::TaskHandlers,
    policy::{BasicPolicy, JobPolicy, PolicyMode, TimerSlack},
    process::Process,
    retcode,
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
        Arc::new(Job {
            base: KObjectBase::with("", empty),
            parent_koid: parent.as_ref().map_or(0, |parent| parent.koid()),
            parent,
            height,
            handlers: TaskHandlers::default(),
            inner: Mutex::new(Inner {
                state: State::Ready,
                return_code: 0,
                kill_on_oom: false,
                policy,
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

    pub(super) fn remove_process(&self, koid: Koid) {
        let removed = self.remove(|inner| inner.processes.remove(&koid).is_some());
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

    /// Whether to kill it when the system is out of memory (`ZX_PROP_JOB_KILL_ON_OOM`).
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
mod tests {
    use super::*;
    use crate::task::{PolicyAction, PolicyCondition, PolicyOverride, SlackMode, Thread};

    const NO_CHILDREN: Signals = Signals::JOB_NO_CHILDREN;

    fn created<T>(made: Result<Arc<T>>) -> Arc<T> {
        made.unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn children_are_listed_in_order_and_found_by_koid() {
        let root = Job::root();
        let jobs: Vec<_> = (0..3).map(|_| created(Job::create(&root))).collect();
        let process = created(Process::create(&root, "p"));
        let koids = |jobs: &[Arc<Job>]| jobs.iter().map(|j| j.koid()).collect::<Vec<_>>();
        assert_eq!(koids(&root.children()), koids(&jobs));
        assert_eq!(root.processes()[0].koid(), process.koid());
        assert_eq!(jobs[0].related_koid(), root.koid());
        assert_eq!(root.related_koid(), 0);
        for koid in [jobs[1].koid(), process.koid()] {
            assert!(root.child(koid).is_ok_and(|child| child.koid() == koid));
        }
        assert_eq!(root.child(root.koid()).err(), Some(Error::NotFound));
    }

    #[test]
    fn signals_tell_whether_it_is_empty() {
        let root = Job::root();
        let (no_jobs, no_processes) = (Signals::JOB_NO_JOBS, Signals::JOB_NO_PROCESSES);
        assert_eq!(root.signals(), no_jobs | no_processes | NO_CHILDREN);
        let job = created(Job::create(&root));
        assert_eq!(root.signals(), no_processes);
        let process = created(Process::create(&root, ""));
        assert_eq!(root.signals(), Signals::empty());
        drop(job);
        assert_eq!(root.signals(), no_jobs);
        process.kill();
        assert_eq!(root.signals(), no_jobs | no_processes | NO_CHILDREN);
    }

    #[test]
    fn killing_it_kills_the_tree_and_takes_no_more_children() {
        let root = Job::root();
        let (a, b) = (created(Job::create(&root)), created(Job::create(&root)));
        let inner = created(Job::create(&a));
        let process = created(Process::create(&inner, ""));
        a.kill();
        for dead in [&a, &inner] {
            assert!(dead.signals().contains(Signals::TASK_TERMINATED));
            let info = dead.info();
            assert_eq!((info.exited, info.return_code), (true, retcode::SYSCALL_KILL));
            assert_eq!(Job::create(dead).err(), Some(Error::BadState));
            assert_eq!(Process::create(dead, "").err(), Some(Error::BadState));
        }
        assert_eq!(process.info().return_code, retcode::SYSCALL_KILL);
        assert!(!b.info().exited && !root.info().exited);
        assert_eq!(root.children().len(), 1);
        a.kill();
    }

    #[test]
    fn a_killed_job_is_dead_only_when_its_last_thread_has_noticed() {
        let root = Job::root();
        let process = created(Process::create(&root, ""));
        let thread = created(Thread::create(&process, ""));
        let run = process.start(&thread, std::future::pending());
        root.kill();
        assert!(!root.info().exited && !process.info().exited);
        assert_eq!(Process::create(&root, "").err(), Some(Error::BadState));
        drop(run);
        assert!(root.info().exited && process.info().exited);
        assert!(root.signals().contains(Signals::TASK_TERMINATED));
    }

    #[test]
    fn an_empty_job_dies_at_once_when_killed() {
        let root = Job::root();
        root.kill();
        assert!(root.info().exited);
    }

    #[test]
    fn policies_are_inherited_and_fixed_once_there_are_children() {
        let root = Job::root();
        let line = BasicPolicy {
            condition: PolicyCondition::NewVmo,
            action: PolicyAction::Deny,
            overridable: PolicyOverride::Deny,
        };
        let slack = TimerSlack { amount: 9, mode: SlackMode::Late };
        assert_eq!(root.set_policy(PolicyMode::Absolute, &[line]), Ok(()));
        assert_eq!(root.set_timer_slack(slack), Ok(()));
        let job = created(Job::create(&root));
        assert_eq!(job.policy().action(PolicyCondition::NewVmo), PolicyAction::Deny);
        assert_eq!(job.policy().timer_slack(), slack);
        assert_eq!(root.set_policy(PolicyMode::Absolute, &[line]), Err(Error::BadState));
        assert_eq!(root.set_timer_slack(slack), Err(Error::BadState));
        let allow = BasicPolicy { action: PolicyAction::Allow, ..line };
        assert_eq!(job.set_policy(PolicyMode::Absolute, &[allow]), Err(Error::AlreadyExists));
        assert_eq!(job.set_policy(PolicyMode::Relative, &[]), Err(Error::InvalidArgs));
        drop(job);
        assert_eq!(root.set_policy(PolicyMode::Relative, &[line]), Ok(()));
    }

    #[test]
    fn a_critical_process_takes_its_job_along() {
        let root = Job::root();
        let job = created(Job::create(&root));
        let inner = created(Job::create(&job));
        let process = created(Process::create(&inner, ""));
        assert_eq!(
            created(Job::create(&root)).set_critical(Critical::Always, &process),
            Err(Error::InvalidArgs)
        );
        assert_eq!(job.set_critical(Critical::Always, &process), Ok(()));
        assert_eq!(inner.set_critical(Critical::Always, &process), Err(Error::AlreadyBound));
        process.kill();
        assert!(job.info().exited);
        assert_eq!(job.info().return_code, retcode::CRITICAL_PROCESS_KILL);
        assert!(!root.info().exited);
    }

    #[test]
    fn kill_on_oom_is_remembered() {
        let root = Job::root();
        root.set_kill_on_oom(true);
        assert!(root.info().kill_on_oom);
    }

    #[test]
    fn a_tree_of_thousands_of_levels_is_killed_and_dropped_without_recursion() {
        let root = Job::root();
        let mut chain = vec![root.clone()];
        let mut job = root.clone();
        loop {
            match Job::create(&job) {
                Ok(next) => job = next,
                Err(error) => break assert_eq!(error, Error::OutOfRange),
            }
            chain.push(job.clone());
        }
        assert_eq!(chain.len() as u32, MAX_JOB_HEIGHT + 1);
        assert!(root.contains(&job) && !job.contains(&root));
        let process = created(Process::create(&job, ""));
        chain.clear();
        root.kill();
        assert!(process.info().exited && root.info().exited);
        drop((process, job));

        let root = Job::root();
        let mut job = root.clone();
        while let Ok(next) = Job::create(&job) {
            job = next;
        }
        assert_eq!(root.children().len(), 1);
        drop(job); // the only reference to the whole chain
        assert!(root.children().is_empty());
        assert!(root.signals().contains(NO_CHILDREN));
    }

    #[test]
    fn threads_that_create_and_kill_leave_a_dead_and_empty_tree() {
        let root = Job::root();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for i in 0..500 {
                        let Ok(job) = Job::create(&root) else { return };
                        let process = Process::create(&job, "");
                        if i % 2 == 0 {
                            job.kill();
                            assert!(job.info().exited);
                        }
                        drop((job, process));
                    }
                });
            }
            scope.spawn(|| {
                std::thread::yield_now();
                root.kill();
            });
        });
        assert!(root.info().exited);
        assert!(root.children().is_empty());
    }
}
