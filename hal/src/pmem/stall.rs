//! How long threads wait until memory is free.
//!
//! The one idea: a thread that finds too much in caches has to free some before it goes on, and is *stalled* meanwhile. One clock runs
//! while a thread is, another while no CPU does anything else. How many CPUs do is looked at when a stall begins or ends and when
//! somebody asks: in between it is taken for what it was.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::PhysicalMemory;
use crate::{cpu, time::monotonic};

/// For how long threads have been stalled, in nanoseconds of the monotonic clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StallTimes {
    /// While at least one thread was.
    pub some: u64,
    /// While all that ran were.
    pub full: u64,
}

#[derive(Debug, Default)]
struct State {
    stalled: usize,
    /// Whether no CPU does anything else.
    full: bool,
    since: u64,
    times: StallTimes,
}

impl State {
    /// Until `now` it was as it is.
    fn advance(&mut self, now: u64) {
        let passed = now.saturating_sub(self.since);
        if self.stalled > 0 {
            self.times.some += passed;
            if self.full {
                self.times.full += passed;
            }
        }
        self.since = now;
    }

    /// From now on so many threads are stalled, and so many CPUs do something.
    fn change(&mut self, now: u64, stalled: usize, busy: usize) {
        self.advance(now);
        self.stalled = stalled;
        self.full = stalled >= busy;
    }
}

/// The clocks.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    state: Mutex<State>,
    /// How often a thread was stalled.
    count: AtomicU64,
}

/// A thread is stalled while this lives.
struct Stalled<'a>(&'a Stalls);

impl Stalls {
    fn step(&self, change: impl FnOnce(usize) -> usize) {
        let mut state = self.state.lock();
        let stalled = change(state.stalled);
        state.change(monotonic(), stalled, cpu::busy());
    }

    /// Does `work`, for which a thread is stalled.
    pub(super) fn stall<T>(&self, work: impl FnOnce() -> T) -> T {
        self.step(|stalled| stalled + 1);
        self.count.fetch_add(1, Ordering::Relaxed);
        let stalled = Stalled(self);
        let done = work();
        drop(stalled);
        done
    }
}

impl Drop for Stalled<'_> {
    fn drop(&mut self) {
        self.0.step(|stalled| stalled.saturating_sub(1));
    }
}

impl PhysicalMemory {
    /// For how long threads have waited until memory was free.
    #[must_use]
    pub fn stall_times(&self) -> StallTimes {
        let stalls = self.stalls();
        // Nobody ever was: then there is nothing to settle.
        if stalls.count.load(Ordering::Relaxed) > 0 {
            stalls.step(|stalled| stalled);
        }
        stalls.state.lock().times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_clock_runs_while_a_thread_is_stalled_the_other_while_nothing_else_is_done() {
        let mut state = State::default();
        state.advance(100);
        assert_eq!(state.times, StallTimes::default());
        state.change(100, 1, 2);
        state.change(130, 2, 2);
        state.change(170, 1, 2);
        assert_eq!(state.times, StallTimes { some: 70, full: 40 });
        state.change(200, 1, 1);
        state.change(220, 0, 1);
        state.advance(1000);
        assert_eq!(state.times, StallTimes { some: 120, full: 60 });
        // A clock that seems to go back stands still.
        state.change(1000, 1, 1);
        state.advance(900);
        assert_eq!(state.times, StallTimes { some: 120, full: 60 });
    }

    #[test]
    fn work_that_stalls_is_timed_even_if_it_panics() {
        let stalls = Stalls::default();
        let begin = monotonic();
        stalls.stall(|| {
            let begin = monotonic();
            while monotonic() < begin + 2_000_000 {}
        });
        let took = monotonic() - begin;
        let times = stalls.state.lock().times;
        assert!((2_000_000..=took).contains(&times.some));
        let panics = || stalls.stall(|| panic!("on purpose"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
        assert_eq!(stalls.state.lock().stalled, 0);
    }
}
