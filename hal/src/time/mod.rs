//! Clocks, and futures that wait for one of them: the hardware timer.
//!
//! All times are nanoseconds in a `u64`. Deadlines are absolute times of the *monotonic* clock. Reading a
//! clock is a vDSO call (some 20 ns); [`Clock::now`] is the one place where time enters the
//! kernel, and where it may be a [virtual](make_virtual) one.
//!
//! Each virtual CPU has a timer queue that its worker looks at between tasks and sleeps by when idle, and
//! for whose earliest deadline a guest is taken off the CPU; for other threads there is one more, served
//! by a thread that starts at its first use. zCore's `timer_set` is [`sleep_until`], its `timer_tick` the
//! worker's look at the queue.

mod clock;
mod queue;
mod sleep;
mod virtual_time;

mod cycles;

pub(crate) use clock::host_monotonic;
pub use clock::{Clock, NANOS_PER_SEC, boottime, monotonic, process_cpu, realtime, thread_cpu};
pub use cycles::{cycles, cycles_to_nanos};
pub(crate) use cycles::{host_cycles, start as start_cycles};
pub(crate) use queue::TimerQueue;
pub use sleep::{Elapsed, Sleep, sleep, sleep_until, timeout, timeout_at};
pub use virtual_time::{Hold, TooLate, hold, is_virtual, make_virtual};
pub(crate) use virtual_time::{
    advance, begin_work, end_work, is_stepping, make_stepping, note_machine, step, take_back,
    to_host,
};
