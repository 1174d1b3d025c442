//! Processes and threads.
//!
//! The one idea: a Linux thread is one async task, the loop in `run`; a process is what its threads share. Nothing here blocks a
//! virtual CPU: a thread that waits is a suspended future.

mod attributes;
mod exec;
mod exit;
mod fd_table;
mod ids;
mod limits;
pub(crate) mod pids;
mod run;
mod thread;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use kernel_objects::WaitQueue;
use parking_lot::{Mutex, RwLock};

pub use self::{
    attributes::{ProcessAttributes, Scheduling, ThreadAttributes},
    exec::Command,
    exit::ExitStatus,
    fd_table::{Descriptor, FdTable, NR_OPEN},
    ids::Ids,
    limits::{INFINITY, Limit, Limits, Resource},
    pids::PidTable,
    run::CutShort,
    thread::{Current, Interrupted, Thread, ThreadParts, work},
};
use crate::{
    kernel::Kernel, memory::UserMemory, signal::ProcessSignals, timer::ProcessTimers,
    vfs::FsContext,
};

/// Root, working directory, umask and credentials; shared by threads (`CLONE_FS`).
pub type FsState = RwLock<FsContext>;

/// What the threads of a process share.
pub struct Process {
    /// Its number, that of its first thread.
    pub pid: i32,
    /// The kernel it runs in.
    pub kernel: Arc<Kernel>,
    /// Its parent; none for the first process.
    pub parent: Weak<Process>,
    /// Process group.
    pub pgid: Mutex<i32>,
    /// Session.
    pub sid: Mutex<i32>,
    /// Signal handlers and signals for any of its threads.
    pub signals: ProcessSignals,
    /// Its user and group ids.
    pub ids: Mutex<Ids>,
    /// Its interval timers and POSIX timers.
    pub timers: ProcessTimers,
    /// Its resource limits.
    pub limits: RwLock<Limits>,
    /// When it started: nanoseconds of the boot clock.
    pub started: u64,
    /// What it has said about itself.
    pub attributes: Mutex<ProcessAttributes>,
    /// It may use membarrier(2)'s expedited command.
    pub membarrier: AtomicBool,
    /// Its memory, for those who look from outside; the threads have their own reference.
    memory: Mutex<Option<Arc<UserMemory>>>,
    /// Its threads by number; weak, for each belongs to its own loop.
    threads: Mutex<BTreeMap<i32, Weak<Thread>>>,
    /// CPU time of the threads that have ended, ns. Changed with the lock of `threads`.
    past_cpu_time: AtomicU64,
    /// Set once, by whichever comes first: exit_group(2), the last thread's exit, a deadly signal.
    exit: OnceLock<ExitStatus>,
    /// Wakes those who wait for the end.
    ended: WaitQueue,
}

impl Process {
    /// A process without threads.
    pub fn new(
        kernel: Arc<Kernel>,
        pid: i32,
        parent: Weak<Process>,
        signals: ProcessSignals,
        ids: Ids,
        limits: Limits,
    ) -> Arc<Self> {
        let (pgid, sid) = match parent.upgrade() {
            Some(parent) => (*parent.pgid.lock(), *parent.sid.lock()),
            None => (pid, pid),
        };
        Arc::new(Self {
            pid,
            kernel,
            parent,
            pgid: Mutex::new(pgid),
            sid: Mutex::new(sid),
            signals,
            ids: Mutex::new(ids),
            timers: ProcessTimers::default(),
            limits: RwLock::new(limits),
            started: hal::time::boottime(),
            attributes: Mutex::default(),
            membarrier: AtomicBool::new(false),
            memory: Mutex::new(None),
            threads: Mutex::default(),
            past_cpu_time: AtomicU64::new(0),
            exit: OnceLock::new(),
            ended: WaitQueue::new(),
        })
    }

    /// The number of its parent; 0 when it has none.
    pub fn ppid(&self) -> i32 {
        self.parent.upgrade().map_or(0, |parent| parent.pid)
    }

    /// Its memory, unless it has ended.
    pub fn memory(&self) -> Option<Arc<UserMemory>> {
        self.memory.lock().clone()
    }

    /// Its threads that have not ended, by ascending number.
    pub fn threads(&self) -> Vec<Arc<Thread>> {
        self.threads.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// The thread `tid`, if it is one of this process.
    pub fn thread(&self, tid: i32) -> Option<Arc<Thread>> {
        self.threads.lock().get(&tid).and_then(Weak::upgrade)
    }

    /// The CPU time of all its threads, ended ones too, ns.
    pub fn cpu_time(&self) -> u64 {
        let threads = self.threads.lock();
        let running =
            threads.values().filter_map(Weak::upgrade).map(|thread| thread.cpu_time.now());
        running.sum::<u64>() + self.past_cpu_time.load(Ordering::Relaxed)
    }

    /// How many threads have not ended.
    pub fn thread_count(&self) -> usize {
        self.threads.lock().len()
    }

    /// The soft limit of `resource`.
    pub fn limit(&self, resource: Resource) -> u64 {
        self.limits.read().get(resource).soft
    }

    /// Makes `thread` one of its threads; false when the process is exiting and takes no more.
    pub(crate) fn adopt(&self, thread: &Arc<Thread>) -> bool {
        let mut threads = self.threads.lock();
        if self.exit.get().is_some() {
            return false;
        }
        *self.memory.lock() = Some(Arc::clone(&thread.memory));
        threads.insert(thread.tid, Arc::downgrade(thread));
        true
    }
}
