//! All timers of a process.
//!
//! The one idea: three interval timers that are made at their first use, since most processes never do, and the table of POSIX timers.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::{
    Alarm,
    alarm::{Notice, Setting},
    clock::ClockId,
    posix::PosixTimers,
};
use crate::{
    errno::{Errno, SysResult},
    process::Process,
    signal::{SigInfo, Signal, info::code},
};

/// Which of the interval timers, setitimer(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// Real time, SIGALRM.
    Real,
    /// CPU time in user mode, SIGVTALRM.
    Virtual,
    /// All CPU time, SIGPROF.
    Prof,
}

impl Which {
    /// `ITIMER_*`; `EINVAL`.
    pub fn from_raw(raw: i32) -> SysResult<Self> {
        match raw {
            0 => Ok(Self::Real),
            1 => Ok(Self::Virtual),
            2 => Ok(Self::Prof),
            _ => Err(Errno::EINVAL),
        }
    }

    const fn signal(self) -> Signal {
        match self {
            Self::Real => Signal::SIGALRM,
            Self::Virtual => Signal::SIGVTALRM,
            Self::Prof => Signal::SIGPROF,
        }
    }

    fn clock(self, process: &Arc<Process>) -> ClockId {
        match self {
            Self::Real => ClockId::Monotonic,
            Self::Virtual | Self::Prof => ClockId::ProcessCpu(Arc::clone(process)),
        }
    }
}

/// The timers of a process.
#[derive(Default)]
pub struct ProcessTimers {
    interval: [OnceLock<Arc<Alarm>>; 3],
    /// The POSIX timers.
    pub posix: Mutex<PosixTimers>,
}

impl ProcessTimers {
    /// What an interval timer shows.
    pub fn get(&self, which: Which) -> Setting {
        self.interval[which as usize].get().map_or(Setting::default(), |alarm| alarm.get())
    }

    /// Sets an interval timer of `process`, whose timers these are, to expire in `first` ns (0: disarm). What it showed before.
    pub fn set(&self, process: &Arc<Process>, which: Which, first: u64, interval: u64) -> Setting {
        let slot = &self.interval[which as usize];
        if first == 0 && slot.get().is_none() {
            return Setting::default();
        }
        let alarm = slot
            .get_or_init(|| Alarm::new(Arc::downgrade(process), Notice::Kernel(which.signal())));
        if first == 0 {
            return alarm.set(None, 0);
        }
        let clock = which.clock(process);
        let at = clock.now().saturating_add(first);
        alarm.set(Some((clock, at)), interval)
    }

    /// A signal of this process is being taken; if it is a timer's, its overrun count is what the guest may ask for.
    pub fn signal_taken(&self, info: &SigInfo) {
        if info.code == code::SI_TIMER {
            self.posix.lock().signal_taken(info);
        }
    }

    /// Deletes the POSIX timers: execve(2).
    pub fn clear_posix(&self) {
        let gone = self.posix.lock().clear();
        drop(gone);
    }

    /// Disarms and deletes all: the process ends.
    pub fn clear(&self) {
        for alarm in self.interval.iter().filter_map(OnceLock::get) {
            alarm.set(None, 0);
        }
        self.clear_posix();
    }
}
