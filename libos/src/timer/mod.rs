//! Time for guests: clocks, interval timers, POSIX timers, and the CPU time of threads.
//!
//! The one idea: every timer is an [`Alarm`], a small task that sleeps until the next expiry and then sends a signal; to disarm it is to drop the task.

pub mod abi;
pub mod alarm;
pub mod clock;
pub mod posix;
pub mod process;

pub use self::{
    abi::{Itimerspec, Itimerval, NANOS, Timespec, Timeval, ticks},
    alarm::Alarm,
    clock::ClockId,
    process::ProcessTimers,
};
