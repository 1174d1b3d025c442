//! Pairs: two objects, each the other's peer.
//!
//! Whatever goes from one end to the other is in one place that both share, behind one lock: so writing, reading and
//! closing happen in one order, the same for both ends, and the signals that tell of them are changed under that lock too.
//! An end knows its peer by a weak reference: ends do not keep each other alive. Their signals, which each changes of the other, are
//! in one place as well, so that this takes no reference.

use std::sync::{Arc, Weak};

use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, Koid},
    signals::{SignalState, Signals},
    sync::{BiasedGuard, BiasedMutex},
};

/// What the ends share: for each what is its own, such as what was written to it.
pub(crate) struct Pair<S> {
    /// One of the ends is closed, and nothing goes from one to the other any more.
    pub(crate) closed: bool,
    ends: [S; 2],
}

/// An end's part of a pair; each end embeds one.
pub(crate) struct Half<T, S> {
    peer: Weak<T>,
    peer_koid: Koid,
    /// Which of the two this is.
    side: usize,
    pair: Arc<BiasedMutex<Pair<S>>>,
    signals: Arc<[SignalState; 2]>,
}

impl<T: KernelObject, S: Default> Half<T, S> {
    /// Makes both ends, with these signals set from the start.
    pub(crate) fn pair(
        signals: Signals,
        make: impl Fn(KObjectBase, Half<T, S>) -> T,
    ) -> (Arc<T>, Arc<T>) {
        let pair = Pair { closed: false, ends: [S::default(), S::default()] };
        let pair = Arc::new(BiasedMutex::new(pair));
        let signals = Arc::new([SignalState::new(signals), SignalState::new(signals)]);
        let bases = [0, 1].map(|side| KObjectBase::of_pair(signals.clone(), side));
        let koids = [bases[0].koid(), bases[1].koid()];
        let half = |side: usize, peer| Half {
            peer,
            peer_koid: koids[1 - side],
            side,
            pair: pair.clone(),
            signals: signals.clone(),
        };
        let [base, other] = bases;
        let mut second = None;
        let first = Arc::new_cyclic(|first| {
            let peer = second.insert(Arc::new(make(other, half(1, first.clone()))));
            make(base, half(0, Arc::downgrade(peer)))
        });
        match second {
            Some(second) => (first, second),
            None => unreachable!("new_cyclic calls its closure"),
        }
    }
}

impl<T: KernelObject, S> Half<T, S> {
    /// The other end's koid, even when that is gone.
    pub(crate) fn peer_koid(&self) -> Koid {
        self.peer_koid
    }

    /// The other end, unless it is gone. To be let go of only when the pair is not locked, for it may be the last reference.
    pub(crate) fn peer(&self) -> Option<Arc<T>> {
        self.peer.upgrade()
    }

    /// The other end, unless one of the two is closed: for [`KernelObject::peer`].
    pub(crate) fn open_peer(&self) -> Result<Arc<dyn KernelObject>> {
        match self.peer() {
            Some(peer) if !self.lock().closed => Ok(peer),
            _ => Err(Error::PeerClosed),
        }
    }

    /// The other end's signals. Those of one that is gone nobody sees.
    pub(crate) fn peer_signals(&self) -> &SignalState {
        &self.signals[1 - self.side]
    }

    /// Locks what both share.
    pub(crate) fn lock(&self) -> BiasedGuard<'_, Pair<S>> {
        self.pair.lock()
    }

    /// This end's part, and the other's.
    pub(crate) fn both<'a>(&self, pair: &'a mut Pair<S>) -> (&'a mut S, &'a mut S) {
        let [first, second] = &mut pair.ends;
        if self.side == 0 { (first, second) } else { (second, first) }
    }
}
