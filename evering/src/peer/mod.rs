//! The ends of a connection.

#[cfg(feature = "std")]
pub mod connect;
#[cfg(feature = "std")]
mod deaths;
mod link;
#[cfg(feature = "std")]
mod watch;

pub use self::link::Link;
#[cfg(feature = "std")]
pub use self::watch::Watch;
use crate::{
    Entry, Receiver, Sender,
    heap::Arena,
    region::{Keeper, Options, Region, RegionError},
};

/// One end of a connection, which sends `Out` and receives `In`.
///
/// Its parts are for whoever uses them, together or in different threads. Let the [`link`](Self::link) go last: it
/// says that this end is gone.
#[derive(Debug)]
pub struct Peer<Out: Entry, In: Entry> {
    /// Sends.
    pub sender: Sender<Out, Keeper>,
    /// Receives.
    pub receiver: Receiver<In, Keeper>,
    /// What a [`Heap`](crate::heap::Heap) is made of.
    pub arena: Arena,
    /// The bells, and whether the other end is there.
    pub link: Link,
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
