//! How scarce memory is, as events that programs wait for.
//!
//! The one idea: there are five levels, each with an event, and the present level's event is the only one that is signalled. Nobody looks
//! before a program has asked for one; from then on somebody does ten times a second, since nothing tells when memory comes and goes.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use hal::pmem::PhysicalMemory;
use kernel_objects::{Event, KernelObject, Signals};

use super::Machine;

/// How often it is looked at.
const PERIOD: Duration = Duration::from_millis(100);

/// How scarce memory is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(usize)]
pub(crate) enum Level {
    /// There is enough.
    Normal,
    /// A fifth is left.
    Warning,
    /// A tenth is left.
    Critical,
    /// A twentieth is left: a time to write down why.
    ImminentOutOfMemory,
    /// Next to nothing is left.
    OutOfMemory,
}

impl Level {
    const ALL: [Self; 5] =
        [Self::Normal, Self::Warning, Self::Critical, Self::ImminentOutOfMemory, Self::OutOfMemory];

    /// That of so many bytes of `total`.
    fn of(total: u64, free: u64) -> Self {
        match u128::from(free) * 100 / u128::from(total.max(1)) {
            20.. => Self::Normal,
            10.. => Self::Warning,
            5.. => Self::Critical,
            2.. => Self::ImminentOutOfMemory,
            _ => Self::OutOfMemory,
        }
    }

    fn now(memory: &PhysicalMemory) -> Self {
        match memory.limit() {
            // What is promised can not be had by others.
            Some(limit) => Self::of(limit, limit.saturating_sub(memory.charged())),
            None => Self::of(memory.size(), memory.size().saturating_sub(memory.committed())),
        }
    }
}

/// The events, once somebody has asked for one.
#[derive(Default)]
pub(crate) struct Pressure(OnceLock<[Arc<Event>; 5]>);

impl Pressure {
    /// The event that is signalled while it is so.
    pub(crate) fn event(machine: &Arc<Machine>, level: Level) -> Arc<Event> {
        let mut first = false;
        let events = machine.pressure.0.get_or_init(|| {
            first = true;
            Level::ALL.map(|_| Event::create())
        });
        if first {
            show(events, Level::now(machine.memory()));
            machine.kernel.cpus.spawn(watch(Arc::downgrade(machine))).detach();
        }
        let [normal, warning, critical, imminent, out] = events;
        match level {
            Level::Normal => normal,
            Level::Warning => warning,
            Level::Critical => critical,
            Level::ImminentOutOfMemory => imminent,
            Level::OutOfMemory => out,
        }
        .clone()
    }
}

async fn watch(machine: Weak<Machine>) {
    while let Some(machine) = machine.upgrade() {
        if let Some(events) = machine.pressure.0.get() {
            show(events, Level::now(machine.memory()));
        }
        drop(machine);
        hal::time::sleep(PERIOD).await;
    }
}

/// Signals the event of `level` alone. In between there may be none: nobody sees two.
fn show(events: &[Arc<Event>; 5], level: Level) {
    let signalled = |event: &Event| event.signals().contains(Signals::SIGNALED);
    for (event, of) in events.iter().zip(Level::ALL) {
        if of != level && signalled(event) {
            event.base().signal_state().clear(Signals::SIGNALED);
        }
    }
    for (event, of) in events.iter().zip(Level::ALL) {
        if of == level && !signalled(event) {
            event.base().signal_state().set(Signals::SIGNALED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_is_left_the_higher_is_the_level() {
        let levels = [100, 20, 19, 10, 9, 5, 4, 2, 1, 0].map(|free| Level::of(100, free) as usize);
        assert_eq!(levels, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
        assert_eq!(Level::of(0, 0), Level::OutOfMemory);
        assert_eq!(Level::of(u64::MAX, u64::MAX), Level::Normal);
    }

    #[test]
    fn a_level_is_that_of_what_is_promised_under_a_limit() {
        let memory = PhysicalMemory::new(Some(100 << 20)).unwrap();
        assert_eq!(Level::now(&memory), Level::Normal);
        let charge = memory.charge(85 << 20).unwrap();
        assert_eq!(Level::now(&memory), Level::Warning);
        drop(charge);
        assert_eq!(Level::now(&memory), Level::Normal);
    }

    #[test]
    fn exactly_one_event_is_signalled() {
        let events = Level::ALL.map(|_| Event::create());
        for level in [Level::Normal, Level::Critical, Level::OutOfMemory, Level::Warning] {
            show(&events, level);
            let signalled = events.iter().map(|event| event.signals() == Signals::SIGNALED);
            let signalled: Vec<_> = signalled.collect();
            assert_eq!(signalled, Level::ALL.map(|of| of == level));
        }
    }
}
