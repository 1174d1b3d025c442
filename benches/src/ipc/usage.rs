//! What a process has used: CPU time and page faults; and on which CPU a thread may run.

use std::{error::Error, ops, time::Duration};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::resource::{UsageWho, getrusage},
    unistd::Pid,
};

/// What a process has used since it began, all threads together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time, the kernel's on its behalf included.
    pub cpu: Duration,
    /// Page faults that needed no reading from disk.
    pub faults: u64,
}

impl Usage {
    /// This process's.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn now() -> Result<Self, Box<dyn Error>> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let duration = |time: nix::sys::time::TimeVal| {
            Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000)
        };
        Ok(Usage {
            cpu: duration(usage.user_time()) + duration(usage.system_time()),
            faults: usage.minor_page_faults() as u64,
        })
    }
}

impl ops::Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Usage { cpu: self.cpu + other.cpu, faults: self.faults + other.faults }
    }
}

impl ops::Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Usage {
            cpu: self.cpu.saturating_sub(before.cpu),
            faults: self.faults.saturating_sub(before.faults),
        }
    }
}

/// Lets this thread, and those that it starts from now on, run on one CPU only.
///
/// # Errors
///
/// The host's, if there is no such CPU.
pub fn pin(cpu: usize) -> Result<(), Box<dyn Error>> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}
