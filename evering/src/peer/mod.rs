//! The two ends of a connection: what each sends by, receives by, allocates in, and knows of the other.
//!
//! The one idea: an end is a plain struct of its parts, since who needs which differs. A requester makes a
//! [driver](crate::driver) of its two queues; a responder serves them; equals do both. One thread can have them all, or
//! several share them.
//!
//! ```text
//!           Peer<Out, In>
//!      ┌──────────────────────┐
//!      │ sender    ───────────┼──► Driver::new, Server::new, or as it is
//!      │ receiver  ───────────┼──► the same
//!      │ arena     ───────────┼──► Heap::new
//!      │ link      ───────────┼──► waiter() to sleep, ringer() to wake the peer, peer() to know whether it is there
//!      └──────────────────────┘
//! ```
//!
//! # Roles
//!
//! Chosen at compile time they are types: [`Requester`], [`Responder`], or `Peer<T, T>` for equals, who send
//! requests and answers over the same queues. Chosen at run time, they are an [`End`] in a [`Role`], which the two sides
//! agree on when they [connect](connect::offer_role).
//!
//! # How they meet
//!
//! Threads make a [`pair`]. Processes need a Unix socket between them for a moment: one [offers](connect::offer) a
//! region, the other one [accepts](connect::accept) it. Where there is no socket, the region's
//! [descriptor](crate::region::Region::as_fd) can be inherited, through `fork` or `exec`, and [opened](crate::region::Region::open);
//! the parent knows the child's process to [watch](Link::set_watch), and the child its parent's.
//!
//! # How one learns that the other is gone
//!
//! ```text
//!                      dropped: says so, closes, rings
//!        ┌────────┐ ───────────────────────────────────► Left ─┐
//!        │  Here  │                                            ├─► the queues are closed: what was sent is still received,
//!        └────────┘ ───────────────────────────────────► Dead ─┘   operations end, buffers can be reclaimed
//!                      killed: the host says so, to the
//!                      thread that watches for all; it
//!                      closes and rings in its place
//! ```
//!
//! So a death is found in the same place as a departure, by whoever is awake and by whoever sleeps. The host says it of a process,
//! by a `pidfd`: a peer cannot feign it, and cannot be mistaken for a later process with the same number. A peer that is stopped, or
//! loops, is not dead. For those there are deadlines.
//!
//! A child that is forked off has the memory too. It must not return to where its parent's ends are dropped, which would say
//! that they are gone: it either executes another program or leaves by `_exit`.
//!
//! # How to go on after that
//!
//! An end is taken once. But the survivor can [renew](crate::region::Region::renew) the region when it has let go of everything that it had of
//! the old connection, and [offer](connect::offer_region) it to another process: the file, the mapping and the pages are there already.
//!
//! ```text
//!      generation n                                            generation n + 1
//!      ┌──────┬──────┐  killed  ┌──────┬──────┐ ends, heap and ┌────────┬────────┐  offer_region  ┌──────┬──────┐
//!      │ Here │ Here │ ───────► │ Here │ Dead │ ─────────────► │ Vacant │ Vacant │ ─────────────► │ Here │ Here │
//!      └──────┴──────┘          └──────┴──────┘ buffers        └────────┴────────┘                └──────┴──────┘
//!                                               dropped, renew
//! ```
//!
//! Queues cannot be taken up where the dead one left them, on purpose: what it had claimed, lent and half written is known to
//! nobody. So nothing is carried over but the memory.

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
