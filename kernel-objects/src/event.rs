//! Events: signals and nothing else.
//!
//! An [`Event`] is an object whose users set and clear its signals; whoever waits for one of them is
//! woken when it is set. It stays set until someone clears it, so an event works as a flag and as a
//! wake-up. Besides `SIGNALED` it has the eight user signals of every object.

use std::sync::Arc;

use crate::{
    object::{KObjectBase, KernelObject, ObjectType},
    signals::Signals,
};

/// A signal that can be waited for (`zx_event_create`).
///
/// ```
/// use futures::executor::block_on;
/// use kernel_objects::{Event, KernelObject, Signals};
///
/// let event = Event::create();
/// let signaler = std::thread::spawn({
///     let event = event.clone();
///     move || event.signal(Signals::empty(), Signals::SIGNALED)
/// });
/// assert_eq!(block_on(event.wait_one(Signals::SIGNALED)), Ok(Signals::SIGNALED));
/// signaler.join().unwrap().unwrap();
/// ```
#[derive(Debug, Default)]
pub struct Event {
    base: KObjectBase,
}

impl Event {
    /// A new event with no signal set.
    pub fn create() -> Arc<Event> {
        Arc::default()
    }
}

impl KernelObject for Event {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Event
    }

    fn user_signals(&self) -> Signals {
        Signals::USER_ALL | Signals::SIGNALED
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn an_event_stays_signaled_until_it_is_cleared() {
        let event = Event::create();
        assert!(event.wait_one(Signals::SIGNALED).now_or_never().is_none());
        assert_eq!(event.signal(Signals::empty(), Signals::SIGNALED), Ok(()));
        for _ in 0..2 {
            assert!(event.wait_one(Signals::SIGNALED).now_or_never().is_some());
        }
        assert_eq!(event.signal(Signals::SIGNALED, Signals::empty()), Ok(()));
        assert!(event.wait_one(Signals::SIGNALED).now_or_never().is_none());
    }
}
