//! Operations as futures, over a queue of requests and one of answers.
//!
//! A [`Driver`] numbers the requests that it sends and keeps an *operation* for each until the answer
//! with its number has come. The operation's future may be dropped at any time: what it lent to the
//! peer, a buffer for instance, stays with the driver until the peer is done with it.
//!
//! ```text
//!                 submit                     answer            polled
//!      (free) ─────────────► Waiting ─────────────► Answered ────────► (free)
//!        ▲                    │   │                  ▲  │
//!        │           deadline │   │ future           │  │ future dropped
//!        │                    ▼   │ dropped          │  │
//!        │                Overdue ├─────► answer ────┘  │
//!        │   polled (TimedOut) │  │                     │
//!        │        or dropped   ▼  ▼                     │
//!        ├─────────────────── Abandoned                 │
//!        │       answer                                 │
//!        └──────────────────────────────────────────────┘
//! ```
//!
//! Each way to *free* gives the place a new generation, which is half of the operation's number: an
//! answer that comes twice, or to an operation that is over, finds nobody and is counted as a
//! [stray](Driver::strays). A peer that goes away ends every operation with [`OperationError::Lost`].
//!
//! Nothing here runs by itself. Someone calls [`Driver::turn`] when answers may have come: an event
//! loop, a task of its own, or [`Driver::block_on`]. Wakers are plain [`Waker`](core::task::Waker)s and are called when
//! nothing is locked or borrowed, so any executor will do. A task's waker is kept for what it may ask next, until no operation is
//! left. Time is what the caller says that it is.
//!
//! A driver for one thread has no lock ([`LocalDriver`]); one [that batches](Driver::batching) publishes what is
//! submitted between two turns at once, and rings once for it. On the other side, a [`Server`] does the same for answers.

mod block_on;
mod error;
mod operation;
mod permit;
mod server;
mod state;
mod table;

use alloc::{boxed::Box, sync::Arc};
use core::{fmt, ops::Deref};
use std::time::Instant;

pub use self::{
    error::{Disconnected, OperationError, SubmitError},
    operation::Operation,
    permit::{Acquire, Permit},
    server::Server,
};
use self::{
    state::State,
    table::{Idle, Later},
};
use crate::{
    Allocation, Receiver, RecvError, Sender,
    sharing::{Local, Sharing, Threads},
    wake::{Bell, Ringer},
};

/// An entry with the number of the operation it belongs to.
///
/// The driver writes it into requests; the peer copies it into the answer and gives it no meaning.
pub trait Tagged: crate::Entry {
    /// The number.
    fn id(&self) -> u64;

    /// Sets the number.
    fn set_id(&mut self, id: u64);
}

/// Sends requests `Q` and matches them with answers `A`; `L` is what an operation lends to the peer.
///
/// `S` says whether several threads share it. Clones share the queues. The last one to go closes them; operations keep it
/// alive.
///
/// ```
/// use evering::driver::{Driver, Tagged};
/// use futures::{executor::block_on, future::join};
/// use zerocopy::{FromBytes, Immutable, IntoBytes};
///
/// #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
/// #[repr(C)]
/// struct Message { id: u64, n: u64 }
///
/// impl Tagged for Message {
///     fn id(&self) -> u64 { self.id }
///     fn set_id(&mut self, id: u64) { self.id = id }
/// }
///
/// let (requests, mut server_in) = evering::channel::<Message>(8).unwrap();
/// let (mut server_out, answers) = evering::channel::<Message>(8).unwrap();
/// let driver = Driver::<Message, Message>::new(requests, answers, 8);
///
/// let first = driver.try_submit(Message { id: 0, n: 1 }, ()).unwrap();
/// let second = driver.try_submit(Message { id: 0, n: 2 }, ()).unwrap();
/// // The server answers in whatever order it likes.
/// let (a, b) = (server_in.recv().unwrap(), server_in.recv().unwrap());
/// server_out.send(Message { n: b.n * 10, ..b }).unwrap();
/// server_out.send(Message { n: a.n * 10, ..a }).unwrap();
///
/// assert_eq!(driver.turn(), Ok(2));
/// let (first, second) = block_on(join(first, second));
/// assert_eq!((first.unwrap().0.n, second.unwrap().0.n), (10, 20));
/// ```
pub struct Driver<
    Q: Tagged,
    A: Tagged,
    L = (),
    S: Sharing = Threads,
    KQ = Arc<Allocation<Q>>,
    KA = Arc<Allocation<A>>,
> {
    state: S::Shared<State<Q, A, L, KQ, KA>>,
}

/// A driver for one thread.
pub type LocalDriver<Q, A, L = (), KQ = Arc<Allocation<Q>>, KA = Arc<Allocation<A>>> =
    Driver<Q, A, L, Local, KQ, KA>;

/// What submitting gives: the operation, or why there is none.
pub type Submitted<Q, A, L = (), S = Threads, KQ = Arc<Allocation<Q>>, KA = Arc<Allocation<A>>> =
    Result<Operation<Q, A, L, S, KQ, KA>, SubmitError<Q, L>>;

impl<Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> Clone for Driver<Q, A, L, S, KQ, KA> {
    #[inline]
    fn clone(&self) -> Self {
        Driver { state: self.state.clone() }
    }
}

impl<Q: Tagged, A: Tagged, L, KQ, KA> Driver<Q, A, L, Threads, KQ, KA> {
    /// A driver of up to `limit` operations at a time, but no more than answers fit in their queue: so
    /// the peer always has room for an answer. Any thread may use it.
    pub fn new(requests: Sender<Q, KQ>, answers: Receiver<A, KA>, limit: usize) -> Self {
        Driver { state: Threads::share(State::new(requests, answers, limit)) }
    }
}

impl<Q: Tagged, A: Tagged, L, KQ, KA> LocalDriver<Q, A, L, KQ, KA> {
    /// A driver for this thread, otherwise as [`Driver::new`] makes it.
    pub fn local(requests: Sender<Q, KQ>, answers: Receiver<A, KA>, limit: usize) -> Self {
        Driver { state: Local::share(State::new(requests, answers, limit)) }
    }
}

impl<Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> Driver<Q, A, L, S, KQ, KA> {
    /// Has the peer told, by the request that `cancel` makes of its number, when nobody wants an
    /// operation's answer any more. The peer still answers the operation, and not the telling.
    #[must_use]
    pub fn with_cancel(self, cancel: fn(u64) -> Q) -> Self {
        S::with(&self.state, |state| state.cancel = Some(cancel));
        self
    }

    /// Has `orphan` called with the answer that comes after all to an operation whose future is gone, and what that has lent: for
    /// answers that are worth something, as an opened file is. Otherwise both are dropped.
    #[must_use]
    pub fn with_orphans(self, orphan: fn(A, L)) -> Self {
        S::with(&self.state, |state| state.orphan = Some(orphan));
        self
    }

    /// Has the peer woken when there are requests for it, once for all that are published together, and when the driver
    /// is gone.
    #[must_use]
    pub fn with_ringer<B>(self, ringer: Ringer<B>) -> Self
    where
        B: Deref<Target = Bell> + Send + 'static,
    {
        let before = S::with(&self.state, |state| state.ringer.replace(Box::new(ringer)));
        drop(before);
        self
    }

    /// Publishes requests at the next [`turn`](Self::turn) or [`flush`](Self::flush), not each when it is submitted. For
    /// whoever calls one of them after each round of tasks: on the way to another CPU, requests that go together
    /// cost little more than one.
    #[must_use]
    pub fn batching(self) -> Self {
        S::with(&self.state, |state| state.batching = true);
        self
    }

    /// Sends a request and lends `lent` to the peer until it has answered.
    ///
    /// `lent` is whatever belongs to the operation and comes back with the answer: buffers, and data of one's own.
    ///
    /// # Errors
    ///
    /// [`SubmitError`], with both in it.
    #[inline]
    pub fn try_submit(&self, request: Q, lent: L) -> Submitted<Q, A, L, S, KQ, KA> {
        let id = S::with(&self.state, |state| state.submit(request, lent))?;
        Ok(Operation::new(self.clone(), id))
    }

    /// Sends a request as soon as there is a place for its operation.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Lost`], with both in it.
    pub async fn submit(&self, request: Q, lent: L) -> Submitted<Q, A, L, S, KQ, KA> {
        match self.try_submit(request, lent) {
            Err(SubmitError::Busy(request, lent)) => match self.permit().await {
                Ok(permit) => permit.submit(request, lent),
                Err(Disconnected) => Err(SubmitError::Lost(request, lent)),
            },
            result => result,
        }
    }

    /// A place for an operation, as soon as there is one: back-pressure. Those who wait are served in turn. Places become free
    /// as operations end, which takes someone who calls [`turn`](Self::turn).
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    pub fn permit(&self) -> Acquire<'_, Q, A, L, S, KQ, KA> {
        Acquire::new(self)
    }

    /// Publishes the requests that were submitted; returns how many that were.
    pub fn flush(&self) -> usize {
        S::with(&self.state, State::flush)
    }

    /// Publishes the requests that were submitted, and takes the answers that are there to their operations; returns how
    /// many answers there were.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] if the peer is gone, [`RecvError::Corrupt`] if it talks nonsense: every
    /// operation has ended with [`OperationError::Lost`] then.
    pub fn turn(&self) -> Result<usize, RecvError> {
        let (result, later) = S::with(&self.state, State::turn);
        if let Some(later) = later {
            self.run(later);
        }
        result
    }

    /// Says that the peer is dead, which cannot say it itself any more: every operation ends with
    /// [`OperationError::Lost`], and what was lent comes back. The peer must not run any more.
    pub fn lose(&self) {
        let mut later = Later::default();
        S::with(&self.state, |state| state.lose(&mut later));
        self.run(later);
    }

    /// Ends operations whose [deadline](Operation::with_deadline) is not after `now`; returns how many.
    pub fn expire(&self, now: Instant) -> usize {
        let mut later = Later::default();
        let count = S::with(&self.state, |state| state.table.expire(now, &mut later));
        self.run(later);
        count
    }

    /// When to call [`expire`](Self::expire) next.
    pub fn next_deadline(&self) -> Option<Instant> {
        S::with(&self.state, |state| state.table.next_deadline())
    }

    /// How many operations there are, abandoned and finished but not polled ones among them.
    pub fn len(&self) -> usize {
        S::with(&self.state, |state| state.table.len())
    }

    /// Whether there is no operation.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many answers came that no operation waited for: a sign of a faulty peer.
    pub fn strays(&self) -> u64 {
        S::with(&self.state, |state| state.table.strays)
    }

    /// Calls foreign code, when nothing is borrowed.
    fn run(&self, mut later: Later<A, L>) {
        later.run();
        let left = S::with(&self.state, |state| state.keep(later));
        drop(left);
    }

    /// Lets go of the tasks, if there is no operation.
    #[cold]
    fn rest(&self) {
        let mut idle = Idle::default();
        S::with(&self.state, |state| state.table.rest(&mut idle));
        drop(idle);
    }

    /// Wakes whoever waits for a place next.
    fn wake_next(&self) {
        if let Some(waker) = S::with(&self.state, |state| state.waiters.next()) {
            waker.wake();
        }
    }
}

impl<Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> fmt::Debug for Driver<Q, A, L, S, KQ, KA> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("operations", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
