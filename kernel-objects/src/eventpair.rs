//! Event pairs: two events that know of each other.
//!
//! Each end of an [`EventPair`] has signals of its own, which its users and those of the other end set and clear. It carries
//! nothing else.
//!
//! When one end goes, the other gets `PEER_CLOSED`. That makes it a token: hold one end, give the other away, and learn when
//! the receiver has dropped it.

use std::{fmt, mem, sync::Arc};

use crate::{
    error::Result,
    object::{KObjectBase, KernelObject, Koid, ObjectType},
    peer::Half,
    signals::Signals,
};

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
    half: Half<EventPair, ()>,
}

impl EventPair {
    /// Two new events, each the other's peer, with no signal set.
    pub fn create() -> (Arc<EventPair>, Arc<EventPair>) {
        Half::pair(Signals::empty(), |base, half| EventPair { base, half })
    }

    fn close(&self) {
        let first = !mem::replace(&mut self.half.lock().closed, true);
        if first {
            self.half.peer_signals().set(Signals::PEER_CLOSED);
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
        self.half.peer_koid()
    }

    fn user_signals(&self) -> Signals {
        Signals::USER_ALL | Signals::SIGNALED
    }

    fn peer(&self) -> Result<Arc<dyn KernelObject>> {
        self.half.open_peer()
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
            .field("peer", &self.half.peer_koid())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::{error::Error, handle::Handle};

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
    fn an_end_that_nobody_has_is_closed_though_it_never_had_a_handle() {
        let (a, b) = EventPair::create();
        drop(a);
        assert_eq!(b.signals(), Signals::PEER_CLOSED);
        assert_eq!(b.signal_peer(Signals::empty(), Signals::USER_0), Err(Error::PeerClosed));
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

    #[test]
    fn a_pair_whose_ends_close_at_once_from_two_threads_is_gone() {
        for _ in 0..500 {
            let (a, b) = EventPair::create();
            let (weak_a, weak_b) = (Arc::downgrade(&a), Arc::downgrade(&b));
            let waiter = b.clone();
            std::thread::scope(|scope| {
                scope.spawn(move || drop(Handle::new(a)));
                scope.spawn(move || drop(b));
                assert_eq!(
                    block_on(waiter.wait_one(Signals::PEER_CLOSED)),
                    Ok(Signals::PEER_CLOSED)
                );
            });
            drop(waiter);
            assert_eq!((weak_a.strong_count(), weak_b.strong_count()), (0, 0));
        }
    }
}
