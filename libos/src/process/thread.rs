//! A Linux thread as the rest of the kernel sees it: shared, and independent of the registers it runs with.
//!
//! The one idea: [`Thread`] is what others may touch (signal it, read its name), [`Current`] is what only its own loop
//! touches (its registers). A system-call handler gets the former, unless it is about the registers themselves.

use std::{
    future::Future,
    sync::{
        Arc, Weak,
        atomic::{AtomicI32, AtomicU64},
    },
};

use futures::channel::oneshot;
use hal::{
    context::{Kicker, UserContext},
    pmem::Charge,
};
use kernel_objects::{
    KernelObject,
    task::{BlockedReason, Interrupted, Run},
};
use parking_lot::{Mutex, RwLock};

use super::{
    FdTable, FsState, IpcNamespace, Namespaces, NetNamespace, Process, Share, ThreadAttributes,
    trace::{Steps, Tracee},
};
use crate::{
    errno::{Errno, SysResult},
    futex::Waiter,
    memory::UserMemory,
    signal::{SigSet, ThreadSignals},
    syscall::restart::Restart,
    trace::Recorded,
    vfs::{FsContext, OpenFile},
};

impl From<Interrupted> for Errno {
    /// The usual meaning: restart the call if the handler says so.
    fn from(_: Interrupted) -> Self {
        Self::ERESTARTSYS
    }
}

/// A thread of a process.
pub struct Thread {
    /// Its number within the kernel; that of the first thread is the process's.
    pub tid: i32,
    /// Its number as its process knows it.
    pub own_tid: i32,
    /// Its life: whether it runs, waits, is stopped or ends, its name, its running time. The new program of execve(2) has the same.
    pub object: Arc<kernel_objects::Thread>,
    /// The process it belongs to.
    pub process: Arc<Process>,
    /// The memory it runs in.
    pub memory: Arc<UserMemory>,
    /// The descriptors it uses.
    pub files: Share<FdTable>,
    /// Root, working directory, umask.
    pub fs: Share<FsState>,
    /// The namespaces it is in, but that of mounts.
    pub namespaces: RwLock<Namespaces>,
    /// Its mask, its pending signals, its alternate stack.
    pub signals: ThreadSignals,
    /// The word to clear and wake when it ends, set_tid_address(2); 0 is none.
    pub clear_child_tid: AtomicU64,
    /// The head of its list of robust futexes, set_robust_list(2); 0 is none.
    pub robust_list: AtomicU64,
    /// What it waits on futexes with.
    pub(crate) futex_waiter: Arc<Waiter>,
    /// What restart_syscall(2) goes on with.
    pub(crate) restart: Mutex<Restart>,
    /// Dropped when it has left the memory that it borrows from its maker, who waits for that (`CLONE_VFORK`).
    pub(super) borrows: Mutex<Option<oneshot::Sender<()>>>,
    /// What it has said about itself.
    pub attributes: Mutex<ThreadAttributes>,
    /// The rings that it names by their places here, `IORING_REGISTER_RING_FDS`.
    pub(crate) rings: Mutex<Vec<Option<Arc<OpenFile>>>>,
    /// The status word of its own exit(2).
    pub(super) exit_code: AtomicI32,
    /// The record of its being traced.
    pub(super) tracee: Mutex<Option<Arc<Tracee>>>,
    _charge: Charge,
}

/// Bytes of the kernel's memory that count for a thread: more than it takes, and what Linux takes for its stack.
const THREAD: u64 = 16 << 10;

/// What a new thread is made of.
pub struct ThreadParts {
    /// The process it joins.
    pub process: Arc<Process>,
    /// The memory it runs in.
    pub memory: Arc<UserMemory>,
    /// The descriptors it uses.
    pub files: Arc<FdTable>,
    /// Root, working directory, umask.
    pub fs: Arc<FsState>,
    /// The namespaces it is in, but that of mounts.
    pub namespaces: Namespaces,
    /// Its signal mask and the rest of its signal state.
    pub signals: ThreadSignals,
    /// What it has said about itself.
    pub attributes: ThreadAttributes,
}

impl Thread {
    /// A thread numbered `tid` of `parts`; `kicker` is that of the context it will run with. `EAGAIN` when the process is ending,
    /// `ENOMEM` at the memory limit.
    pub fn create(
        tid: i32,
        parts: ThreadParts,
        name: &[u8],
        kicker: Arc<Kicker>,
    ) -> SysResult<Arc<Self>> {
        let charge = parts.process.kernel.memory.charge(THREAD).map_err(|_| Errno::ENOMEM)?;
        let object = kernel_objects::Thread::create(&parts.process.object, "");
        let object = object.map_err(|_| Errno::EAGAIN)?;
        let thread = Self::around(object, tid, parts, kicker, charge);
        thread.set_name(name);
        Ok(thread)
    }

    /// A thread numbered `tid` of `parts` around `object`, whose cookie it becomes; `kicker` is that of the context it will run with.
    pub(super) fn around(
        object: Arc<kernel_objects::Thread>,
        tid: i32,
        parts: ThreadParts,
        kicker: Arc<Kicker>,
        charge: Charge,
    ) -> Arc<Self> {
        parts.files.attach();
        let thread = Self::new(object, tid, parts, charge);
        thread.object.set_kick(Some(kicker));
        thread
    }

    /// One that never runs, in whose name tasks carry out calls that `self` has asked for: as far as those can tell it is `self`. Signals
    /// do not look for it, and its [interrupt](kernel_objects::Thread::interrupt) cuts its call short.
    pub(crate) fn stand_in(&self) -> SysResult<Arc<Self>> {
        let process = Arc::clone(&self.process);
        let charge = process.kernel.memory.charge(THREAD).map_err(|_| Errno::ENOMEM)?;
        let object = kernel_objects::Thread::create(&process.object, "");
        let object = object.map_err(|_| Errno::EAGAIN)?;
        let parts = ThreadParts {
            process,
            memory: Arc::clone(&self.memory),
            files: Arc::clone(Share::get(&self.files)),
            fs: Arc::clone(Share::get(&self.fs)),
            namespaces: self.namespaces.read().clone(),
            signals: ThreadSignals::new(SigSet::FULL),
            attributes: self.attributes.lock().clone(),
        };
        let thread = Self::new(object, self.tid, parts, charge);
        thread.object.set_name_bytes(&self.name());
        Ok(thread)
    }

    fn new(
        object: Arc<kernel_objects::Thread>,
        tid: i32,
        parts: ThreadParts,
        charge: Charge,
    ) -> Arc<Self> {
        let ThreadParts { process, memory, files, fs, namespaces, signals, attributes } = parts;
        let futex_waiter = Waiter::of_thread(Arc::clone(&object));
        futex_waiter.set_priority(attributes.scheduling.priority);
        let thread = Arc::new(Self {
            tid,
            own_tid: process.sees(tid),
            process,
            memory,
            files: Share::new(files),
            fs: Share::new(fs),
            namespaces: RwLock::new(namespaces),
            signals,
            clear_child_tid: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            futex_waiter: Arc::new(futex_waiter),
            restart: Mutex::default(),
            borrows: Mutex::default(),
            attributes: Mutex::new(attributes),
            rings: Mutex::default(),
            exit_code: AtomicI32::new(0),
            tracee: Mutex::default(),
            object,
            _charge: charge,
        });
        let weak: Weak<Self> = Arc::downgrade(&thread);
        thread.object.set_cookie(weak);
        thread
    }

    /// The Linux thread that has `object`, unless it has ended.
    pub fn of(object: &kernel_objects::Thread) -> Option<Arc<Self>> {
        object.cookie()?.downcast().ok()
    }

    /// The System V objects that it sees.
    pub fn ipc(&self) -> Arc<IpcNamespace> {
        Arc::clone(&self.namespaces.read().ipc)
    }

    /// The network that it sees.
    pub fn net(&self) -> Arc<NetNamespace> {
        Arc::clone(&self.namespaces.read().net)
    }

    /// Whether it uses what `other` uses: its descriptors, and where it is.
    pub(crate) fn uses_same(&self, other: &Self) -> bool {
        let same_namespaces = || {
            let (own, others) = (self.namespaces.read(), other.namespaces.read());
            Arc::ptr_eq(&own.ipc, &others.ipc)
                && Arc::ptr_eq(&own.uts, &others.uts)
                && Arc::ptr_eq(&own.net, &others.net)
        };
        Arc::ptr_eq(Share::get(&self.files), Share::get(&other.files))
            && Arc::ptr_eq(Share::get(&self.fs), Share::get(&other.fs))
            && same_namespaces()
    }

    /// `EOPNOTSUPP` for a [stand-in](Self::stand_in): what it had of its own would be nobody's.
    pub(crate) fn check_itself(&self) -> SysResult<()> {
        match self.process.thread(self.tid) {
            Some(thread) if std::ptr::eq(&*thread, self) => Ok(()),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// Has descriptors of its own from now on: a copy of those that it shares, if it shares them. `ENOSPC` when that was done too often.
    pub(crate) fn unshare_files(&self) -> SysResult<()> {
        self.check_itself()?;
        let old = Arc::clone(Share::get(&self.files));
        if !old.is_shared() {
            return Ok(());
        }
        let new = old.duplicate();
        Share::replace(&self.files, Arc::clone(&new))?;
        new.attach();
        old.detach();
        Ok(())
    }

    /// Has root, working directory and umask of its own from now on, as `change` makes them. `ENOSPC` when that was done too often.
    pub(crate) fn unshare_fs(
        &self,
        change: impl FnOnce(&mut FsContext) -> SysResult<()>,
    ) -> SysResult<()> {
        if !self.shares_fs() {
            return self.fs.change(change);
        }
        let old = Arc::clone(Share::get(&self.fs));
        let mut context = old.read().clone();
        change(&mut context)?;
        Share::replace(&self.fs, Arc::new(FsState::new(context)))?;
        if !self.process.threads().iter().any(|other| Arc::ptr_eq(Share::get(&other.fs), &old)) {
            old.leave();
        }
        Ok(())
    }

    /// Whether another thread or process has the same root, working directory and umask.
    pub(crate) fn shares_fs(&self) -> bool {
        let fs = Share::get(&self.fs);
        let others = self.process.threads();
        let has_same = |other: &Arc<Self>| Arc::ptr_eq(Share::get(&other.fs), fs);
        fs.is_shared() || others.iter().filter(|other| has_same(other)).count() > 1
    }

    /// Its name, without NUL.
    pub fn name(&self) -> Vec<u8> {
        self.object.name_bytes()
    }

    /// Names it; what follows a NUL or the fifteenth byte is left out.
    pub fn set_name(&self, name: &[u8]) {
        self.object.set_name_bytes(&name[..name.len().min(15)]);
        if let Some(recorder) = self.recorder() {
            recorder.thread_is(self.who(), &self.name());
        }
    }

    /// How long it has run, ns.
    pub fn cpu_time(&self) -> u64 {
        self.object.runtime()
    }

    /// Makes its memory and its descriptors cheaper to use, unless another thread has been before. Called by the thread's own loop.
    pub(super) fn favour(&self) {
        self.memory.address_space().favour();
        self.files.favour();
    }

    /// Waits for `future`, something becoming ready, unless there is work; what is ready wins.
    ///
    /// Only the thread's own loop may call this, for it is the loop's task that is woken.
    pub fn interruptible<F: Future>(
        &self,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Interrupted>> {
        self.object.interruptible(BlockedReason::WaitOne, future)
    }

    /// Runs `job`, which may block, off the CPUs and waits for it; signals do not cut that short, as none does a wait for a disk
    /// on Linux. The thread's end does, and the job goes on then.
    pub async fn off_cpu<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        self.object.blocked(BlockedReason::Pager, hal::cpu::spawn_blocking(job)).await
    }
}

/// A thread together with the registers it runs with; owned by the thread's loop.
pub struct Current {
    pub(super) thread: Arc<Thread>,
    /// Whether its calls are shown, recorded or told to a tracer: found out beforehand, as every call asks.
    pub(super) traced: bool,
    /// How its tracer lets it go on.
    pub(super) steps: Steps,
    /// The registers and the vector state.
    pub context: UserContext,
}

impl Current {
    /// Starts `thread` with `context`: what the result does, once a CPU runs it. The process starts with its first thread. `EAGAIN`
    /// when the process is ending.
    pub fn start(
        thread: Arc<Thread>,
        context: UserContext,
    ) -> SysResult<Run<impl Future<Output = ()>>> {
        let (object, process) = (Arc::clone(&thread.object), Arc::clone(&thread.process.object));
        let is_first = thread.tid == thread.process.pid;
        // Should the object not start, this is dropped and the thread leaves.
        let traced = thread.process.kernel.watches_calls();
        let body = Self { thread, traced, steps: Steps::default(), context }.run();
        let run = if is_first { process.start(&object, body) } else { object.start(body) };
        run.map_err(|_| Errno::EAGAIN)
    }

    /// The thread.
    pub fn thread(&self) -> &Arc<Thread> {
        &self.thread
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        // The registers are of no use to anybody; the context must be off this CPU before it is freed.
        self.context.suspend();
        self.thread.leave();
    }
}
