//! Resource limits, getrlimit(2).
//!
//! The one idea: a table indexed by the ABI's numbers, with the defaults that a login on Debian has; those that the kernel enforces are
//! read where the resource is taken.

use linux_raw_sys::general as raw;

use crate::errno::{Errno, SysResult};

/// "No limit": `RLIM_INFINITY`.
pub const INFINITY: u64 = u64::MAX;

const COUNT: usize = 16;

/// A resource that has a limit; the discriminant is the ABI's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Resource {
    /// Bytes a file may grow to.
    FileSize = raw::RLIMIT_FSIZE,
    /// Bytes of the data segment.
    Data = raw::RLIMIT_DATA,
    /// Bytes of a core file.
    Core = raw::RLIMIT_CORE,
    /// Bytes of the initial stack.
    Stack = raw::RLIMIT_STACK,
    /// Threads of a user.
    Processes = raw::RLIMIT_NPROC,
    /// Bytes that may be locked in memory.
    LockedMemory = raw::RLIMIT_MEMLOCK,
    /// One more than the highest descriptor.
    OpenFiles = raw::RLIMIT_NOFILE,
    /// Bytes of address space.
    AddressSpace = raw::RLIMIT_AS,
    /// Queued signals.
    PendingSignals = raw::RLIMIT_SIGPENDING,
    /// Bytes of POSIX message queues of a user.
    MessageQueues = raw::RLIMIT_MSGQUEUE,
    /// 20 less the lowest nice value.
    Nice = raw::RLIMIT_NICE,
    /// The highest realtime priority.
    RealtimePriority = raw::RLIMIT_RTPRIO,
    /// Seconds of CPU time.
    CpuTime = raw::RLIMIT_CPU,
}

/// Soft limit (enforced) and hard limit (its ceiling).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// What is enforced.
    pub soft: u64,
    /// What an unprivileged process may raise `soft` to.
    pub hard: u64,
}

/// All limits of one process.
#[derive(Clone, Debug)]
pub struct Limits([Limit; COUNT]);

impl Limits {
    /// The limit of `resource`.
    pub fn get(&self, resource: Resource) -> Limit {
        self.0[resource as usize]
    }

    /// The limit with the ABI's number; `EINVAL`.
    pub fn by_number(&self, number: u32) -> SysResult<Limit> {
        self.0.get(number as usize).copied().ok_or(Errno::EINVAL)
    }

    /// Replaces a limit. `EINVAL` for an unknown number or `soft > hard`, `EPERM` when the hard limit would rise
    /// without `privileged`.
    pub fn set(&mut self, number: u32, new: Limit, privileged: bool) -> SysResult<()> {
        let old = self.0.get_mut(number as usize).ok_or(Errno::EINVAL)?;
        if new.soft > new.hard {
            return Err(Errno::EINVAL);
        }
        if new.hard > old.hard && !privileged {
            return Err(Errno::EPERM);
        }
        *old = new;
        Ok(())
    }

    /// The limits that the host gives its processes, with the number and value of each.
    pub fn with_host_values(values: impl IntoIterator<Item = (u32, u64, u64)>) -> Self {
        let mut limits = Self([Limit { soft: INFINITY, hard: INFINITY }; COUNT]);
        for (number, soft, hard) in values {
            if let Some(limit) = limits.0.get_mut(number as usize) {
                *limit = Limit { soft, hard };
            }
        }
        limits
    }
}

impl Default for Limits {
    fn default() -> Self {
        let megabyte = 1 << 20;
        Self::with_host_values([
            (raw::RLIMIT_STACK, 8 * megabyte, INFINITY),
            (raw::RLIMIT_CORE, 0, INFINITY),
            (raw::RLIMIT_NPROC, 96_000, 96_000),
            (raw::RLIMIT_NOFILE, 1024, 1 << 20),
            (raw::RLIMIT_MEMLOCK, 8 * megabyte, 8 * megabyte),
            (raw::RLIMIT_SIGPENDING, 96_000, 96_000),
            (raw::RLIMIT_MSGQUEUE, 819_200, 819_200),
            (raw::RLIMIT_NICE, 0, 0),
            (raw::RLIMIT_RTPRIO, 0, 0),
        ])
    }
}
