//! A Linux thread as the rest of the kernel sees it: shared, and independent of the registers it runs with.
//!
//! The one idea: [`Thread`] is what others may touch (signal it, read its name), [`Current`] is what only its own loop
//! touches (its registers). A system-call handler gets the former, unless it is about the registers themselves.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    task::{Poll, Waker},
};

use futures::FutureExt;
use hal::context::{Kicker, UserContext};
use parking_lot::Mutex;

use super::{FdTable, FsState, Process, ThreadAttributes};
use crate::{
    errno::Errno, futex::Waiter, memory::UserMemory, signal::ThreadSignals,
    syscall::restart::Restart, timer::CpuTime,
};

/// Why a thread should look up from what it does; a set of bits in [`Thread::work`].
pub mod work {
    /// A signal may be deliverable.
    pub const SIGNAL: u32 = 1;
    /// The thread must end: its process exits or executes another program.
    pub const EXIT: u32 = 2;
    /// The process is stopped; wait for it to go on.
    pub const STOP: u32 = 4;
}

/// A wait ended because [`Thread::notify`] was called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interrupted;

impl From<Interrupted> for Errno {
    /// The usual meaning: restart the call if the handler says so.
    fn from(_: Interrupted) -> Self {
        Self::ERESTARTSYS
    }
}

/// A thread of a process.
pub struct Thread {
    /// Its number; that of the first thread is the process's.
    pub tid: i32,
    /// The process it belongs to.
    pub process: Arc<Process>,
    /// The memory it runs in.
    pub memory: Arc<UserMemory>,
    /// The descriptors it uses.
    pub files: Arc<FdTable>,
    /// Root, working directory, umask.
    pub fs: Arc<FsState>,
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
    /// How long it has run.
    pub cpu_time: Arc<CpuTime>,
    /// What it has said about itself.
    pub attributes: Mutex<ThreadAttributes>,
    /// Its name, at most 15 bytes, prctl(2) `PR_SET_NAME`.
    name: Mutex<Vec<u8>>,
    exit_code: AtomicU8,
    work: AtomicU32,
    /// The waker of the thread's task, from its first turn on. It stays the same for life, so nobody ever takes it out.
    waker: Arc<OnceLock<Waker>>,
    kicker: Arc<Kicker>,
}

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
    /// Its signal mask and the rest of its signal state.
    pub signals: ThreadSignals,
    /// How long it has run; that of the thread it replaces in execve(2).
    pub cpu_time: Arc<CpuTime>,
    /// Its name.
    pub name: Vec<u8>,
    /// What it has said about itself.
    pub attributes: ThreadAttributes,
}

impl Thread {
    /// A thread numbered `tid` of `parts`; `kicker` is that of the context it will run with.
    pub fn new(tid: i32, parts: ThreadParts, kicker: Arc<Kicker>) -> Arc<Self> {
        let ThreadParts { process, memory, files, fs, signals, cpu_time, name, attributes } = parts;
        let waker = Arc::new(OnceLock::new());
        Arc::new(Self {
            tid,
            process,
            memory,
            files,
            fs,
            signals,
            clear_child_tid: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            futex_waiter: Arc::new(Waiter::of_task(Arc::clone(&waker))),
            restart: Mutex::default(),
            cpu_time,
            attributes: Mutex::new(attributes),
            name: Mutex::new(name),
            exit_code: AtomicU8::new(0),
            work: AtomicU32::new(0),
            waker,
            kicker,
        })
    }

    /// Its name, without NUL.
    pub fn name(&self) -> Vec<u8> {
        self.name.lock().clone()
    }

    /// Names it; what follows a NUL or the fifteenth byte is left out.
    pub fn set_name(&self, name: &[u8]) {
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len()).min(15);
        *self.name.lock() = name[..end].to_vec();
    }

    /// The status it ends with unless its process's end decides otherwise.
    pub fn exit_code(&self) -> u8 {
        self.exit_code.load(Ordering::Relaxed)
    }

    /// Sets the status that exit(2) gave.
    pub fn set_exit_code(&self, code: u8) {
        self.exit_code.store(code, Ordering::Relaxed);
    }

    /// The [`work`] bits that are set.
    pub fn work(&self) -> u32 {
        self.work.load(Ordering::Acquire)
    }

    /// Clears `bits`; the caller then looks at what they stood for.
    pub fn clear_work(&self, bits: u32) {
        self.work.fetch_and(!bits, Ordering::AcqRel);
    }

    /// Sets `bits` and makes the thread see them soon: an interruptible wait ends, a guest in user mode traps.
    pub fn notify(&self, bits: u32) {
        if self.work.fetch_or(bits, Ordering::AcqRel) & bits != bits {
            if let Some(waker) = self.waker.get() {
                waker.wake_by_ref();
            }
            self.kicker.kick();
        }
    }

    /// Sets `bits` for the thread's own loop, which looks at them when the call or trap that it carries out is done; a kick
    /// would cost a barrier on all CPUs.
    pub fn note(&self, bits: u32) {
        self.work.fetch_or(bits, Ordering::AcqRel);
    }

    /// Says which task the thread is, before it does anything that others may want to interrupt.
    pub(super) fn set_waker(&self, waker: &Waker) {
        let _ = self.waker.set(waker.clone());
    }

    /// Makes its memory and its descriptors cheaper to use, unless another thread has been before. Called by the thread's own loop.
    pub(super) fn favour(&self) {
        self.memory.address_space().favour();
        self.files.favour();
    }

    /// Goes on as the same task as `old`.
    pub(super) fn inherit_waker(&self, old: &Self) {
        if let Some(waker) = old.waker.get() {
            self.set_waker(waker);
        }
    }

    /// Waits for `future` unless there is work; what is ready wins.
    ///
    /// Only the thread's own loop may call this, for it is the loop's task that is woken.
    pub async fn interruptible<F: Future>(&self, future: F) -> Result<F::Output, Interrupted> {
        let mut future = pin!(future);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            if self.work() != 0 { Poll::Ready(Err(Interrupted)) } else { Poll::Pending }
        })
        .await
    }
}

impl Thread {
    /// Runs `job`, which may block, off the CPUs and waits for it; signals do not cut that short, as none does a wait for a disk
    /// on Linux, but the thread's end does. The job goes on then.
    pub async fn off_cpu<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Interrupted> {
        let mut job = hal::cpu::spawn_blocking(job);
        poll_fn(|context| {
            if let Poll::Ready(output) = job.poll_unpin(context) {
                return Poll::Ready(Ok(output));
            }
            let ends = self.work() & work::EXIT != 0;
            if ends { Poll::Ready(Err(Interrupted)) } else { Poll::Pending }
        })
        .await
    }
}

/// A thread together with the registers it runs with; owned by the thread's loop.
pub struct Current {
    pub(super) thread: Arc<Thread>,
    /// Whether its calls are shown: found out once, as every call asks.
    pub(super) traced: bool,
    /// The registers and the vector state.
    pub context: UserContext,
}

impl Current {
    /// The thread that starts with `context`.
    pub fn new(thread: Arc<Thread>, context: UserContext) -> Self {
        Self { traced: thread.process.kernel.strace.is_some(), thread, context }
    }

    /// The thread.
    pub fn thread(&self) -> &Arc<Thread> {
        &self.thread
    }
}
