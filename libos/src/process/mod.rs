//! Processes and threads.
//!
//! The one idea: a Linux process *has* a process of [`kernel_objects`], and each of its threads a thread of that. The objects are the
//! life of it: the list of threads, starting, stopping, ending and how it ended, who waits for that, the root VMAR, the running time.
//! Around them is what only Linux has: numbers, signals, ids, limits, timers, descriptors. From an object to what Linux keeps of
//! it leads the thread's cookie; so no list is kept twice.
//!
//! A thread's body is the loop in `run`. Nothing here blocks a virtual CPU: a thread that waits is a suspended future. One that is
//! killed loses its body where that waits, and settles what it owes others when the body is dropped (`exit`).
//!
//! All processes are in the root job of their kernel. A job can not be left, so it is no session or process group, which
//! setsid(2) and setpgid(2) leave.

mod attributes;
mod clone;
mod exec;
mod exit;
mod family;
mod fd_table;
mod fs_state;
mod ids;
pub(crate) mod init;
mod limits;
pub mod namespaces;
pub(crate) mod pid_namespace;
pub(crate) mod pids;
mod placement;
mod program;
mod run;
mod session;
mod share;
mod thread;
pub(crate) mod trace;
mod user_namespace;
mod wait;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering},
};

use kernel_objects::WaitQueue;
use parking_lot::{Mutex, RwLock};

pub(crate) use self::clone::{
    ALL_NAMESPACES, CLONE_CLEAR_SIGHAND, CLONE_INTO_CGROUP, CloneRequest, check_namespaces,
    install_pidfd, open_pidfd, users_for,
};
pub use self::{
    attributes::{Login, OomAdjustment, ProcessAttributes, Scheduling, ThreadAttributes},
    exec::{ByDescriptor, Command, Surroundings},
    exit::ExitStatus,
    family::Birth,
    fd_table::{Descriptor, FdTable, NR_OPEN},
    fs_state::FsState,
    ids::Ids,
    limits::{INFINITY, Limit, Limits, Resource},
    namespaces::{IpcNamespace, Namespace, Namespaces, NetNamespace},
    pid_namespace::PidNamespace,
    pids::PidTable,
    program::Program,
    run::CutShort,
    session::Session,
    share::Share,
    thread::{Current, Thread, ThreadParts},
    user_namespace::{IdKind, NAMESPACES_MAX, OVERFLOW_ID, UserNamespace},
    wait::{Usage, Waited, Whom, Wish},
};
use crate::{
    errno::{Errno, SysResult},
    kernel::Kernel,
    memory::UserMemory,
    ring::OperationSets,
    signal::{ProcessSignals, Stop},
    timer::ProcessTimers,
    tty::Controlling,
    vfs::Credentials,
};

/// What the threads of a process share.
pub struct Process {
    /// Its number within the kernel, that of its first thread.
    pub pid: i32,
    /// Its number as it knows it itself.
    pub own_pid: i32,
    /// The namespace that it knows numbers by.
    pub pid_namespace: Arc<PidNamespace>,
    /// Its life: its threads, its root VMAR, how it ended.
    pub object: Arc<kernel_objects::Process>,
    /// The kernel it runs in.
    pub kernel: Arc<Kernel>,
    /// The number of its parent. This and the two after it are written with the table of processes locked.
    ppid: AtomicI32,
    pgid: AtomicI32,
    session: RwLock<Arc<Session>>,
    /// It has executed a program since it was made, or began with one.
    executed: AtomicBool,
    /// The kernel plays it: [`init`].
    init: AtomicBool,
    /// Which thread of its parent made it; 0 for one that the kernel has started.
    made_by: AtomicI32,
    /// Notified when one of its children has ended, stopped or gone on.
    children_changed: WaitQueue,
    children_usage: Mutex<Usage>,
    /// How many bytes were in memory when its last thread left.
    last_resident: AtomicU64,
    /// It has ended; written with the table of processes locked.
    over: AtomicBool,
    /// Notified when it has ended.
    pub ended: WaitQueue,
    /// Notified when one of its threads has ended.
    pub(crate) thread_ended: WaitQueue,
    /// Its controlling terminal.
    pub(crate) controlling: Mutex<Controlling>,
    /// Signal handlers and signals for any of its threads.
    pub signals: ProcessSignals,
    /// Its user and group ids.
    pub ids: Mutex<Ids>,
    /// It is not in the first namespace of users, and never will be again.
    left_users: AtomicBool,
    /// Its interval timers and POSIX timers.
    pub timers: ProcessTimers,
    /// Its resource limits.
    pub limits: RwLock<Limits>,
    /// When it started: nanoseconds of the boot clock.
    pub started: u64,
    /// What it has said about itself.
    pub attributes: Mutex<ProcessAttributes>,
    /// It has something to keep what its end gives back of semaphores in: kcmp(2) tells.
    pub has_undo_list: AtomicBool,
    /// It may use membarrier(2)'s expedited command.
    pub membarrier: AtomicBool,
    /// Whether it is stopped (SIGSTOP).
    pub stop: Stop,
    /// Its calls that are on their way without a thread.
    pub(crate) operations: OperationSets,
}

impl Process {
    /// A process without threads that has a name in `pid_namespace`, in no group and no session yet. `EAGAIN` when the kernel takes no more.
    pub fn new(
        kernel: Arc<Kernel>,
        pid: i32,
        pid_namespace: Arc<PidNamespace>,
        signals: ProcessSignals,
        ids: Ids,
        limits: Limits,
    ) -> SysResult<Arc<Self>> {
        let object = kernel_objects::Process::create(&kernel.job, "").map_err(|_| Errno::EAGAIN)?;
        let process = Arc::new(Self {
            pid,
            own_pid: pid_namespace.shown(pid),
            pid_namespace,
            object,
            kernel,
            ppid: AtomicI32::new(0),
            pgid: AtomicI32::new(0),
            session: RwLock::new(Session::new(pid)),
            executed: AtomicBool::new(false),
            init: AtomicBool::new(false),
            made_by: AtomicI32::new(0),
            children_changed: WaitQueue::new(),
            children_usage: Mutex::default(),
            last_resident: AtomicU64::new(0),
            over: AtomicBool::new(false),
            ended: WaitQueue::new(),
            thread_ended: WaitQueue::new(),
            controlling: Mutex::default(),
            signals,
            left_users: AtomicBool::new(!ids.namespace.is_first()),
            ids: Mutex::new(ids),
            timers: ProcessTimers::default(),
            limits: RwLock::new(limits),
            started: hal::time::boottime(),
            attributes: Mutex::default(),
            has_undo_list: AtomicBool::new(false),
            membarrier: AtomicBool::new(false),
            stop: Stop::default(),
            operations: OperationSets::default(),
        });
        let weak = Arc::downgrade(&process);
        process.object.set_clean_up(move || {
            if let Some(process) = weak.upgrade() {
                process.clean_up();
            }
        });
        Ok(process)
    }

    /// Notified when one of its children, or of those that it traces, has ended, stopped or gone on.
    pub(crate) fn children_changed(&self) -> &WaitQueue {
        &self.children_changed
    }

    /// Its namespace of users.
    pub fn user_namespace(&self) -> UserNamespace {
        match self.left_users.load(Ordering::Relaxed) {
            true => self.ids.lock().namespace.clone(),
            false => UserNamespace::FIRST,
        }
    }

    /// Puts it, whose credentials are `cred`, into a namespace of users, where it has all capabilities.
    pub(crate) fn enter_users(&self, namespace: UserNamespace, cred: &mut Credentials) {
        self.ids.lock().enter(namespace, cred);
        self.left_users.store(true, Ordering::Relaxed);
    }

    /// Its memory, unless it has ended.
    pub fn memory(&self) -> Option<Arc<UserMemory>> {
        self.threads().first().map(|thread| Arc::clone(&thread.memory))
    }

    /// Its threads that have not ended, in the order of their creation.
    pub fn threads(&self) -> Vec<Arc<Thread>> {
        self.object.threads().iter().filter_map(|object| Thread::of(object)).collect()
    }

    /// The thread that the kernel calls `tid`, if it is one of this process.
    pub fn thread(&self, tid: i32) -> Option<Arc<Thread>> {
        let thread = self.kernel.pids.thread(tid)?;
        std::ptr::eq(&*thread.process, self).then_some(thread)
    }

    /// The soft limit of `resource`.
    pub fn limit(&self, resource: Resource) -> u64 {
        self.limits.read().get(resource).soft
    }
}
