//! The ends of a connection.

#[cfg(feature = "std")]
pub mod connect;
#[cfg(feature = "std")]
mod deaths;
mod link;
mod role;
#[cfg(feature = "std")]
mod watch;

#[cfg(feature = "std")]
pub use self::watch::Watch;
pub use self::{
    link::Link,
    role::{End, Role},
};

use core::fmt;

use crate::{
    Entry, One, Producers,
    heap::Arena,
    region::{Keeper, Options, Region, RegionError},
};

/// One end of a connection, which sends `Out` and receives `In`.
///
/// Its parts are for whoever uses them, together or in different threads. Let the [`link`](Self::link) go last: it
/// says that this end is gone.
///
/// Where one side has [`Many`](crate::Many) senders, its own is to be cloned.
pub struct Peer<Out: Entry, In: Entry, PO: Producers = One, PI: Producers = One> {
    /// Sends.
    pub sender: PO::Sender<Out, Keeper>,
    /// Receives.
    pub receiver: PI::Receiver<In, Keeper>,
    /// What a [`Heap`](crate::heap::Heap) is made of.
    pub arena: Arena,
    /// The bells, and whether the other end is there.
    pub link: Link,
}

impl<Out: Entry, In: Entry, PO: Producers, PI: Producers> fmt::Debug for Peer<Out, In, PO, PI> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("link", &self.link).finish_non_exhaustive()
    }
}

/// The end that sends requests `Q` and receives answers `A`.
pub type Requester<Q, A> = Peer<Q, A>;

/// The end that receives requests `Q` and sends answers `A`.
pub type Responder<Q, A> = Peer<A, Q>;

/// Both ends of a connection, the first of which sends `F` and the second `S`.
pub type Ends<F, S> = (Peer<F, S>, Peer<S, F>);

/// Both ends of a new connection between threads, in memory of its own on the heap.
///
/// # Errors
///
/// [`RegionError::Layout`], [`RegionError::Geometry`].
pub fn pair<F: Entry, S: Entry>(options: &Options) -> Result<Ends<F, S>, RegionError> {
    let region = Region::on_heap(options)?;
    Ok((region.first()?, region.second()?))
}

#[cfg(all(test, feature = "std"))]
mod tests;
