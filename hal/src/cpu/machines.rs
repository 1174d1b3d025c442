//! The machines of this process, for what is about the time of all of them: virtual time goes on when none has anything to do.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::worker::Machine;
use crate::time;

/// The machines of this process.
static MACHINES: Mutex<Vec<Weak<Machine>>> = Mutex::new(Vec::new());

/// Has the machine be known to [`earliest_deadline`] and [`wake_sleepers`].
pub(super) fn note(machine: &Arc<Machine>) {
    let mut machines = MACHINES.lock();
    machines.retain(|other| other.strong_count() > 0);
    machines.push(Arc::downgrade(machine));
    time::note_machine();
}

fn machines() -> Vec<Arc<Machine>> {
    MACHINES.lock().iter().filter_map(Weak::upgrade).collect()
}

/// The earliest deadline of any CPU's timers.
pub(crate) fn earliest_deadline() -> Option<u64> {
    machines().iter().filter_map(|machine| machine.earliest_deadline()).min()
}

/// Has all CPUs that sleep until a deadline look at the clock.
pub(crate) fn wake_sleepers() {
    machines().iter().for_each(|machine| machine.wake_sleepers());
}
