//! Events and event pairs.

use kernel_objects::{Error, Event, EventPair, Handle, Result, task::PolicyCondition};

use super::{argument::Out, no_options};
use crate::zircon::{Thread, abi::ZxHandle};

/// zx_event_create
pub(super) fn event_create(thread: &Thread, options: u32, out: Out<ZxHandle>) -> Result {
    no_options(options)?;
    thread.policy(PolicyCondition::NewEvent)?;
    thread.give([(Handle::new(Event::create()), out)])
}

/// zx_eventpair_create
pub(super) fn eventpair_create(
    thread: &Thread,
    options: u32,
    out0: Out<ZxHandle>,
    out1: Out<ZxHandle>,
) -> Result {
    // Alone of all calls it says so of an option.
    if options != 0 {
        return Err(Error::NotSupported);
    }
    thread.policy(PolicyCondition::NewEventPair)?;
    let (one, other) = EventPair::create();
    thread.give([(Handle::new(one), out0), (Handle::new(other), out1)])
}
