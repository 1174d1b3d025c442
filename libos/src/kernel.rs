//! A kernel: what the processes of one machine share.
//!
//! The one idea: a kernel is a value. A test makes one, runs programs in it and drops it; nothing about it is global.

use std::sync::{Arc, Weak};

use hal::{cpu::Cpus, pmem::PhysicalMemory};
use kernel_objects::{Job, KernelObject, Signals};
use parking_lot::Mutex;

use crate::{
    config::Isolation,
    event::{aio, inotify::Instances},
    futex::FutexTable,
    gdb::Debugger,
    process::{IpcNamespace, Namespaces, PidTable},
    syscall::{strace, syslog::KernelLog},
    trace::Trace,
    tty::Terminals,
    vfs::{Mount, MountNamespace, lock::LockTable},
};

/// What a machine is called, uname(2).
#[derive(Clone, Debug)]
pub struct Names {
    /// sethostname(2)
    pub host: Vec<u8>,
    /// setdomainname(2)
    pub domain: Vec<u8>,
}

impl Default for Names {
    fn default() -> Self {
        // The files are the host's, /etc/hosts among them, which has this name.
        let host = hal::host::system::host_uname().map(|names| names.nodename.into_bytes());
        Self { host: host.unwrap_or_else(|_| b"libos".to_vec()), domain: b"(none)".to_vec() }
    }
}

/// One machine with its memory, its CPUs, its files and its processes.
pub struct Kernel {
    /// Physical memory.
    pub memory: Arc<PhysicalMemory>,
    /// The virtual CPUs.
    pub cpus: Arc<Cpus>,
    /// The root job, which all processes are in.
    pub job: Arc<Job>,
    /// The tree of mounts that the first process is in.
    pub mounts: Arc<MountNamespace>,
    /// Who waits on which futex.
    pub futexes: FutexTable,
    /// Who has locked which file.
    pub locks: Arc<LockTable>,
    /// The terminals.
    pub terminals: Arc<Terminals>,
    /// The other namespaces of the first process.
    pub namespaces: Namespaces,
    /// All namespaces of System V objects but the first, as long as they are used.
    pub(crate) ipcs: Mutex<Vec<Weak<IpcNamespace>>>,
    /// POSIX message queues: a file system of its own, wherever it is mounted besides.
    pub mqueues: Arc<Mount>,
    /// How many inotify instances each user has.
    pub inotify: Arc<Instances>,
    /// Its log.
    pub log: KernelLog,
    /// How many operations of asynchronous I/O there may be.
    pub aio: Arc<aio::Total>,
    /// Processes and threads by number.
    pub pids: PidTable,
    /// Where the guests run.
    pub isolation: Isolation,
    /// Where a debugger may come, `--gdb`.
    pub(crate) debugger: Option<Arc<Debugger>>,
    /// Where `--strace` writes.
    pub strace: Option<strace::Log>,
    /// What `--trace` writes.
    pub trace: Option<Trace>,
    /// When it was made: nanoseconds of the host's boot clock.
    pub started: u64,
}

impl Kernel {
    /// Nanoseconds since it was made.
    pub fn uptime(&self) -> u64 {
        hal::time::boottime().saturating_sub(self.started)
    }

    /// All namespaces of System V objects that are in use.
    pub fn ipcs(&self) -> Vec<Arc<IpcNamespace>> {
        let mut all = vec![Arc::clone(&self.namespaces.ipc)];
        all.extend(self.ipcs.lock().iter().filter_map(Weak::upgrade));
        all
    }

    /// Has `ipc` among [`ipcs`](Self::ipcs).
    pub(crate) fn know_ipc(&self, ipc: &Arc<IpcNamespace>) {
        let mut all = self.ipcs.lock();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(ipc));
    }

    /// A bit for each virtual CPU that an affinity mask can name.
    pub fn online_cpus(&self) -> u64 {
        u64::MAX >> (64 - self.cpus.count().clamp(1, 64))
    }

    /// Whether somebody wants to see every system call.
    pub(crate) fn watches_calls(&self) -> bool {
        self.strace.is_some() || self.trace.is_some()
    }

    /// Ends all processes and waits until they have; no more can be started. The trace ends with them. To be called from outside of the
    /// virtual CPUs.
    pub fn shut_down(&self) {
        self.job.kill();
        // It fails for handles only.
        let _ = self.cpus.block_on(self.job.wait_one(Signals::TASK_TERMINATED));
        if let Some(trace) = &self.trace {
            trace.finish();
        }
    }

    /// Bytes of memory: all, and what is not in use.
    pub fn memory_size(&self) -> (u64, u64) {
        memory_size(&self.memory)
    }
}

/// Bytes of a machine's memory: all, and what is not in use. Without a limit they are the host's.
pub(crate) fn memory_size(memory: &PhysicalMemory) -> (u64, u64) {
    match memory.limit() {
        Some(total) => (total, total.saturating_sub(memory.committed())),
        None => hal::host::system::memory(),
    }
}
