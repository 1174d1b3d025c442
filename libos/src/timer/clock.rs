//! The clocks that a guest can name, clock_getres(2).
//!
//! The one idea: there are few real clocks; the many ids are names for them, decoded once.

use std::sync::Arc;

use crate::{
    errno::{Errno, SysResult},
    process::{Process, Thread},
};

/// A clock of a guest.
#[derive(Clone)]
pub enum ClockId {
    /// Time since the epoch. `CLOCK_TAI` is the same, as no leap seconds are configured.
    Realtime,
    /// Time since some start, without the host's suspends.
    Monotonic,
    /// The same with them.
    Boottime,
    /// CPU time of a process.
    ProcessCpu(Arc<Process>),
    /// CPU time of a thread.
    ThreadCpu(Arc<Thread>),
}

const PER_THREAD: i32 = 4;
const KIND_MASK: i32 = 3;
/// The kind that means a descriptor of a device.
const KIND_FD: i32 = 3;

impl ClockId {
    /// The clock that `id` names for `thread`; `EINVAL`.
    pub fn from_raw(id: i32, thread: &Thread) -> SysResult<Self> {
        Ok(match id {
            // Those that wake a sleeping machine (8, 9) need a clock chip, and there is none.
            0 | 5 | 11 => Self::Realtime,
            1 | 4 | 6 => Self::Monotonic,
            7 => Self::Boottime,
            2 => Self::ProcessCpu(Arc::clone(&thread.process)),
            3 => Self::ThreadCpu(Self::thread(thread, 0)?),
            id if id < 0 && id & KIND_MASK != KIND_FD => {
                let number = !(id >> 3);
                if id & PER_THREAD != 0 {
                    Self::ThreadCpu(Self::thread(thread, number)?)
                } else if number == 0 {
                    Self::ProcessCpu(Arc::clone(&thread.process))
                } else {
                    let pids = thread.process.visible();
                    Self::ProcessCpu(pids.process(number).ok_or(Errno::EINVAL)?)
                }
            }
            _ => return Err(Errno::EINVAL),
        })
    }

    /// The thread of the caller's process with the number, the caller for 0.
    fn thread(thread: &Thread, number: i32) -> SysResult<Arc<Thread>> {
        let tid = if number == 0 { thread.own_tid } else { number };
        thread.process.thread_called(tid).ok_or(Errno::EINVAL)
    }

    /// What it shows, ns.
    pub fn now(&self) -> u64 {
        match self {
            Self::Realtime => hal::time::realtime(),
            Self::Monotonic => hal::time::monotonic(),
            Self::Boottime => hal::time::boottime(),
            Self::ProcessCpu(process) => process.object.runtime(),
            Self::ThreadCpu(thread) => thread.cpu_time(),
        }
    }

    /// Whether it stands still while nothing of its process runs.
    pub fn is_cpu(&self) -> bool {
        matches!(self, Self::ProcessCpu(_) | Self::ThreadCpu(_))
    }

    /// The time of the monotonic clock at which this one will show `time`; for a CPU clock the earliest possible.
    pub fn to_monotonic(&self, time: u64) -> u64 {
        match self {
            Self::Monotonic => time,
            _ => {
                let (now, monotonic) = (self.now(), hal::time::monotonic());
                if time >= now {
                    monotonic.saturating_add(time - now)
                } else {
                    monotonic.saturating_sub(now - time)
                }
            }
        }
    }

    /// What a timer that has just expired does before it waits for `next`: when that is too near, it lets others have the CPU first. However short its
    /// interval is, it expires no more often than this; what it missed is counted.
    pub async fn pause_before(&self, next: u64) {
        /// In ns.
        const PAUSE: u64 = 50_000;
        if next.saturating_sub(self.now()) < PAUSE {
            hal::time::sleep_until(hal::time::monotonic().saturating_add(PAUSE)).await;
        }
    }

    /// Waits until it shows `time`.
    pub async fn sleep_until(&self, time: u64) {
        /// How often a CPU clock that may go faster than the monotonic one is looked at.
        const LOOK: u64 = 1_000_000;
        if !self.is_cpu() {
            return hal::time::sleep_until(self.to_monotonic(time)).await;
        }
        loop {
            let now = self.now();
            if now >= time {
                return;
            }
            // Several threads may spend it at a time.
            let pace = match self {
                Self::ProcessCpu(process) => process.object.thread_count().max(1) as u64,
                _ => 1,
            };
            let least = ((time - now) / pace).max(LOOK);
            hal::time::sleep_until(hal::time::monotonic().saturating_add(least)).await;
        }
    }
}
