//! Events: signals and nothing else.
//!
//! An [`Event`] is an object whose users set and clear its signals; whoever waits for one of them is
//! woken when it is set. It stays set until someone clears it, so an event works as a flag and as a
//! wake-up. Besides `SIGNALED` it has the eight user signals of every object.
//!
//! An [`EventPair`] is two events that know of each other: each side can signal the other's bits, and
//! when one goes the other gets `PEER_CLOSED`. That makes it a token: hold one end, give the other
//! away, and learn when the receiver has dropped it.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, Koid, ObjectType},
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

/// One of two connected events (`zx_eventpair_create`).
///
/// ```
/// use kernel_objects::{EventPair, KernelObject, Signals};
///
/// let (here, there) = EventPair::create();
/// here.signal_peer(Signals::empty(), Signals::USER_0).unwrap();
/// assert_eq!(there.signals(), Signals::USER_0);
/// drop(here);
/// assert!(there.signals().contains(Signals::PEER_CLOSED));
/// ```
pub struct EventPair {
    base: KObjectBase,
    peer: Weak<EventPair>,
    peer_koid: Koid,
}

impl EventPair {
    /// Two new events, each the other's peer, with no signal set.
    pub fn create() -> (Arc<EventPair>, Arc<EventPair>) {
        let (base, other) = (KObjectBase::new(), KObjectBase::new());
        let (koid, other_koid) = (base.koid(), other.koid());
        let mut second = None;
        let first = Arc::new_cyclic(|first: &Weak<EventPair>| {
            let peer = EventPair { base: other, peer: first.clone(), peer_koid: koid };
            let peer = second.insert(Arc::new(peer));
            EventPair { base, peer: Arc::downgrade(peer), peer_koid: other_koid }
        });
        match second {
            Some(second) => (first, second),
            None => unreachable!("new_cyclic calls its closure"),
        }
    }

    fn close(&self) {
        if let Some(peer) = self.peer.upgrade() {
            peer.base.signal_state().set(Signals::PEER_CLOSED);
        }
    }
}

impl KernelObject for EventPair {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::EventPair
    }

    fn related_koid(&self) -> Koid {
        self.peer_koid
    }

    fn user_signals(&self) -> Signals {
        Signals::USER_ALL | Signals::SIGNALED
    }

    fn peer(&self) -> Result<Arc<dyn KernelObject>> {
        if self.signals().contains(Signals::PEER_CLOSED) {
            return Err(Error::PeerClosed);
        }
        match self.peer.upgrade() {
            Some(peer) => Ok(peer),
            None => Err(Error::PeerClosed),
        }
    }

    fn on_zero_handles(&self) {
        self.close();
    }
}

impl Drop for EventPair {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for EventPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventPair")
            .field("base", &self.base)
            .field("peer", &self.peer_koid)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, executor::block_on};

    use super::*;
    use crate::handle::Handle;

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

    #[test]
    fn the_ends_of_a_pair_know_each_other() {
        let (a, b) = EventPair::create();
        assert_eq!(a.related_koid(), b.koid());
        assert_eq!(b.related_koid(), a.koid());
        assert_eq!(a.signal_peer(Signals::empty(), Signals::SIGNALED), Ok(()));
        assert_eq!((a.signals(), b.signals()), (Signals::empty(), Signals::SIGNALED));
        assert_eq!(a.signal(Signals::empty(), Signals::USER_1), Ok(()));
        assert_eq!(b.signal_peer(Signals::USER_1, Signals::empty()), Ok(()));
        assert_eq!(a.signals(), Signals::empty());
    }

    #[test]
    fn a_user_cannot_fake_a_closed_peer() {
        let (a, b) = EventPair::create();
        assert_eq!(a.signal(Signals::empty(), Signals::PEER_CLOSED), Err(Error::InvalidArgs));
        let fake = || a.signal_peer(Signals::empty(), Signals::PEER_CLOSED);
        assert_eq!(fake(), Err(Error::InvalidArgs));
        drop(b);
        assert_eq!(fake(), Err(Error::InvalidArgs), "whether there is a peer or not");
    }

    #[test]
    fn the_last_handle_closes_an_end_though_references_remain() {
        let (a, b) = EventPair::create();
        let handle = Handle::new(a.clone());
        let second = Handle::new(a.clone());
        drop(handle);
        assert_eq!(b.signals(), Signals::empty());
        let waiter = std::thread::spawn({
            let b = b.clone();
            move || block_on(b.wait_one(Signals::PEER_CLOSED))
        });
        drop(second);
        assert_eq!(waiter.join().ok(), Some(Ok(Signals::PEER_CLOSED)));
        assert_eq!(b.signal_peer(Signals::empty(), Signals::USER_0), Err(Error::PeerClosed));
        assert_eq!(a.handle_count(), 0);
    }
}
