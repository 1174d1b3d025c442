//! Events for those who want to know when threads wait too long for memory.
//!
//! The one idea: whoever watches says how much of a window may be lost. Somebody looks at the clock of stalls several times in each
//! window as long as the event has a handle; it is signalled while the clock has run for so much since a window ago.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Duration,
};

use hal::pmem::{PhysicalMemory, StallTimes};
use kernel_objects::{Event, KernelObject, Signals};

use super::Machine;

/// The longest window: 10 s.
pub(crate) const MAX_WINDOW: u64 = 10_000_000_000;

/// How many times the clock is looked at in a window.
const LOOKS: u64 = 10;

/// At least this much time is between them: 1 ms.
const MIN_PERIOD: u64 = 1_000_000;

/// Which clock is watched.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stall {
    /// That of time in which a thread waited.
    Some,
    /// That of time in which nothing else was done.
    Full,
}

impl Stall {
    fn of(self, times: StallTimes) -> u64 {
        match self {
            Self::Some => times.some,
            Self::Full => times.full,
        }
    }
}

/// What the clock showed, in the last window.
struct Window {
    /// In nanoseconds, as the rest.
    length: u64,
    threshold: u64,
    /// When it was looked at and what it showed, oldest first: the last one from before the window, and those in it.
    seen: VecDeque<(u64, u64)>,
}

impl Window {
    fn new(length: u64, threshold: u64) -> Self {
        Self { length, threshold, seen: VecDeque::new() }
    }

    /// The clock shows `value` at `now`; whether that is too much.
    fn look(&mut self, now: u64, value: u64) -> bool {
        let start = now.saturating_sub(self.length);
        while self.seen.get(1).is_some_and(|&(at, _)| at <= start) {
            self.seen.pop_front();
        }
        self.seen.push_back((now, value));
        let before = self.seen.front().map_or(value, |&(_, value)| value);
        value.saturating_sub(before) >= self.threshold
    }
}

/// An event that is signalled while threads were stalled for `threshold` of the last `window`, in nanoseconds both.
pub(crate) fn watch(machine: &Machine, stall: Stall, threshold: u64, window: u64) -> Arc<Event> {
    let event = Event::create();
    let memory = machine.memory().clone();
    let watching = look(memory, Arc::downgrade(&event), stall, Window::new(window, threshold));
    machine.kernel.cpus.spawn(watching).detach();
    event
}

async fn look(memory: Arc<PhysicalMemory>, event: Weak<Event>, stall: Stall, mut window: Window) {
    let period = Duration::from_nanos((window.length / LOOKS).max(MIN_PERIOD));
    while let Some(event) = event.upgrade() {
        let too_much = window.look(hal::time::monotonic(), stall.of(memory.stall_times()));
        let signals = event.base().signal_state();
        match too_much {
            true => signals.set(Signals::SIGNALED),
            false => signals.clear(Signals::SIGNALED),
        }
        drop(event);
        hal::time::sleep(period).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_sees_what_the_clock_ran_since_it_began() {
        let mut window = Window::new(100, 30);
        assert!(!window.look(1000, 500), "what was before is nobody's business");
        assert!(!window.look(1050, 529));
        assert!(window.look(1060, 530));
        assert!(window.look(1100, 530));
        // What is from before the window began, but the last, is forgotten.
        assert!(!window.look(1150, 530));
        assert!(!window.look(1200, 559));
        assert!(window.look(1240, 560));
        assert!(window.look(1301, 590));
        assert!(!window.look(1500, 590));
        assert_eq!(window.seen.len(), 2);
    }

    #[test]
    fn each_clock_is_told_from_the_other() {
        let times = StallTimes { some: 5, full: 3 };
        assert_eq!((Stall::Some.of(times), Stall::Full.of(times)), (5, 3));
    }
}
