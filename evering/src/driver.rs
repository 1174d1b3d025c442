//! Operations as futures, over a queue of requests and one of answers.
//!
//! A [`Driver`] numbers the requests that it sends and keeps an *operation* for each until the answer
//! with its number has come. The operation's future may be dropped at any time: what it lent to the
//! peer, a buffer for instance, stays with the driver until the peer is done with it.
//!
//! ```text
//!                 submit                     answer            polled
//!      (free) ─────────────► Waiting ─────────────► Answered ────────► (free)
//!        ▲                      │                      │
//!        │                      │ future dropped       │ future dropped
//!        │       answer         ▼                      │
//!        ├───────────────── Abandoned                  │
//!        └─────────────────────────────────────────────┘
//! ```
//!
//! Each way to *free* gives the place a new generation, which is half of the operation's number: an
//! answer that comes twice, or to an operation that is over, finds nobody and is counted as a
//! [stray](Driver::strays). A peer that goes away ends every operation with [`Lost`].
//!
//! Nothing here runs by itself. Someone calls [`Driver::turn`] when answers may have come: an event
//! loop, a task of its own, or whoever waits. Wakers are plain [`Waker`]s and are called when no lock
//! is held.

use alloc::{sync::Arc, vec::Vec};
use core::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use std::sync::{Mutex, MutexGuard, PoisonError};

use slab::Slab;

use crate::{Allocation, Receiver, RecvError, SendError, Sender};

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
/// Clones share the queues. The last one to go closes them; operations keep it alive.
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
pub struct Driver<Q: Tagged, A: Tagged, L = (), KQ = Arc<Allocation<Q>>, KA = Arc<Allocation<A>>> {
    state: Shared<Q, A, L, KQ, KA>,
}

type Shared<Q, A, L, KQ, KA> = Arc<Mutex<State<Q, A, L, KQ, KA>>>;

struct State<Q: Tagged, A: Tagged, L, KQ, KA> {
    requests: Sender<Q, KQ>,
    answers: Receiver<A, KA>,
    /// How many operations there may be, abandoned ones among them.
    limit: usize,
    operations: Slab<Record<A, L>>,
    next_generation: u32,
    /// Tasks that wait for a place.
    submitters: Slab<Option<Waker>>,
    /// How to tell the peer that nobody wants an answer any more.
    cancel: Option<fn(u64) -> Q>,
    /// Operations of which the peer could not be told yet, for the queue was full.
    cancels: Vec<u64>,
    strays: u64,
    /// The peer is gone, or talks nonsense.
    lost: bool,
}

struct Record<A, L> {
    generation: u32,
    progress: Progress<A>,
    /// What the peer may be using, in every state but the last two.
    lent: L,
}

enum Progress<A> {
    /// Sent. The waker is that of the task that polled last.
    Waiting(Option<Waker>),
    /// Sent; nobody wants the answer.
    Abandoned,
    /// The answer is here.
    Answered(A),
    /// There will be no answer.
    Lost,
}

/// What has to be woken and dropped once the lock is released: foreign code, both.
struct Later<L> {
    wakers: Vec<Waker>,
    lent: Vec<L>,
}

impl<L> Later<L> {
    fn new() -> Self {
        Later { wakers: Vec::new(), lent: Vec::new() }
    }

    fn run(self) {
        self.wakers.into_iter().for_each(Waker::wake);
        drop(self.lent);
    }
}

fn number(index: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | index as u64
}

impl<Q: Tagged, A: Tagged, L, KQ, KA> State<Q, A, L, KQ, KA> {
    fn entry(&mut self, id: u64) -> Option<&mut Record<A, L>> {
        let entry = self.operations.get_mut(id as u32 as usize)?;
        (entry.generation == (id >> 32) as u32).then_some(entry)
    }

    fn remove(&mut self, id: u64, later: &mut Later<L>) -> Option<Record<A, L>> {
        self.entry(id)?;
        let entry = self.operations.try_remove(id as u32 as usize);
        if entry.is_some() {
            self.wake_submitter(later);
        }
        entry
    }

    /// A place, or room in the queue, has become free.
    fn wake_submitter(&mut self, later: &mut Later<L>) {
        let waker = self.submitters.iter_mut().find_map(|(_, waker)| waker.take());
        later.wakers.extend(waker);
    }

    fn submit(&mut self, mut request: Q, lent: L) -> Result<u64, SubmitError<Q, L>> {
        if self.lost {
            return Err(SubmitError::Lost(request, lent));
        }
        if self.operations.len() >= self.limit {
            return Err(SubmitError::Busy(request, lent));
        }
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        let id = number(self.operations.vacant_key(), generation);
        request.set_id(id);
        match self.requests.send(request) {
            Ok(()) => {
                let progress = Progress::Waiting(None);
                self.operations.insert(Record { generation, progress, lent });
                Ok(id)
            }
            Err(SendError::Full(request)) => Err(SubmitError::Busy(request, lent)),
            Err(error) => Err(SubmitError::Lost(error.into_inner(), lent)),
        }
    }

    fn answer(&mut self, answer: A, later: &mut Later<L>) {
        let id = answer.id();
        match self.entry(id).map(|entry| &mut entry.progress) {
            Some(progress @ Progress::Waiting(_)) => {
                if let Progress::Waiting(waker) = mem::replace(progress, Progress::Answered(answer))
                {
                    later.wakers.extend(waker);
                }
            }
            Some(Progress::Abandoned) => {
                let entry = self.remove(id, later);
                later.lent.extend(entry.map(|entry| entry.lent));
            }
            Some(Progress::Answered(_) | Progress::Lost) | None => self.strays += 1,
        }
    }

    /// The peer is gone: nobody uses what was lent, and nobody will answer.
    fn lose(&mut self, later: &mut Later<L>) {
        self.lost = true;
        self.cancels.clear();
        let mut abandoned = Vec::new();
        for (index, entry) in &mut self.operations {
            match &mut entry.progress {
                Progress::Waiting(waker) => {
                    later.wakers.extend(waker.take());
                    entry.progress = Progress::Lost;
                }
                Progress::Abandoned => abandoned.push(index),
                Progress::Answered(_) | Progress::Lost => {}
            }
        }
        for index in abandoned {
            later.lent.extend(self.operations.try_remove(index).map(|entry| entry.lent));
        }
        later.wakers.extend(self.submitters.iter_mut().filter_map(|(_, waker)| waker.take()));
    }

    fn tell_cancels(&mut self) {
        let Some(cancel) = self.cancel else { return };
        while let Some(&id) = self.cancels.last() {
            // An answer that came meanwhile has made it needless.
            let wanted =
                matches!(self.entry(id), Some(Record { progress: Progress::Abandoned, .. }));
            if wanted && self.requests.send(cancel(id)).is_err() {
                return;
            }
            self.cancels.pop();
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic runs under the lock.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<Q: Tagged, A: Tagged, L, KQ, KA> Clone for Driver<Q, A, L, KQ, KA> {
    fn clone(&self) -> Self {
        Driver { state: self.state.clone() }
    }
}

impl<Q: Tagged, A: Tagged, L, KQ, KA> Driver<Q, A, L, KQ, KA> {
    /// A driver of up to `limit` operations at a time, but no more than answers fit in their queue: so
    /// the peer always has room for an answer.
    pub fn new(requests: Sender<Q, KQ>, answers: Receiver<A, KA>, limit: usize) -> Self {
        let limit = limit.min(answers.capacity());
        let state = State {
            requests,
            answers,
            limit,
            operations: Slab::new(),
            next_generation: 0,
            submitters: Slab::new(),
            cancel: None,
            cancels: Vec::new(),
            strays: 0,
            lost: false,
        };
        Driver { state: Arc::new(Mutex::new(state)) }
    }

    /// Has the peer told, by the request that `cancel` makes of its number, when nobody wants an
    /// operation's answer any more. The peer still answers the operation, and not the telling.
    #[must_use]
    pub fn with_cancel(self, cancel: fn(u64) -> Q) -> Self {
        lock(&self.state).cancel = Some(cancel);
        self
    }

    /// Sends a request and lends `lent` to the peer until it has answered.
    ///
    /// # Errors
    ///
    /// [`SubmitError`], with both in it.
    pub fn try_submit(&self, request: Q, lent: L) -> Submitted<Q, A, L, KQ, KA> {
        let id = lock(&self.state).submit(request, lent)?;
        Ok(Operation { driver: self.clone(), id, done: false })
    }

    /// Sends a request as soon as there is a place and room for it: back-pressure. Wakes up when
    /// someone calls [`turn`](Self::turn).
    pub fn submit(&self, request: Q, lent: L) -> Submit<'_, Q, A, L, KQ, KA> {
        Submit { driver: self, held: Some((request, lent)), key: None }
    }

    /// Takes the answers that are there to their operations; returns how many there were.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] if the peer is gone, [`RecvError::Corrupt`] if it talks nonsense: every
    /// operation has ended with [`Lost`] then.
    pub fn turn(&self) -> Result<usize, RecvError> {
        let mut later = Later::new();
        let mut state = lock(&self.state);
        let mut count = 0;
        let end = loop {
            match state.answers.recv() {
                Ok(answer) => {
                    state.answer(answer, &mut later);
                    count += 1;
                }
                Err(end) => break end,
            }
        };
        let result = if end == RecvError::Empty {
            state.tell_cancels();
            // The peer has taken requests too: there may be room.
            state.wake_submitter(&mut later);
            Ok(count)
        } else {
            state.lose(&mut later);
            Err(end)
        };
        drop(state);
        later.run();
        result
    }

    /// How many operations there are, abandoned and finished but not polled ones among them.
    pub fn len(&self) -> usize {
        lock(&self.state).operations.len()
    }

    /// Whether there is no operation.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many answers came that no operation waited for: a sign of a faulty peer.
    pub fn strays(&self) -> u64 {
        lock(&self.state).strays
    }
}

impl<Q: Tagged, A: Tagged, L, KQ, KA> fmt::Debug for Driver<Q, A, L, KQ, KA> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("operations", &self.len()).finish_non_exhaustive()
    }
}

/// A request that was not sent, what was to be lent with it, and why.
pub enum SubmitError<Q, L> {
    /// There are as many operations as there may be, or the queue is full.
    Busy(Q, L),
    /// The peer is gone, or talks nonsense.
    Lost(Q, L),
}

// Both are left out, so that they need not be printable.
impl<Q, L> fmt::Debug for SubmitError<Q, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SubmitError::Busy(..) => "Busy(..)",
            SubmitError::Lost(..) => "Lost(..)",
        })
    }
}

impl<Q, L> fmt::Display for SubmitError<Q, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SubmitError::Busy(..) => "too many operations",
            SubmitError::Lost(..) => "the peer is gone",
        })
    }
}

impl<Q, L> core::error::Error for SubmitError<Q, L> {}

/// What submitting gives: the operation, or why there is none.
pub type Submitted<Q, A, L = (), KQ = Arc<Allocation<Q>>, KA = Arc<Allocation<A>>> =
    Result<Operation<Q, A, L, KQ, KA>, SubmitError<Q, L>>;

/// The peer went away before it answered. What was lent to it comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Lost<L>(pub L);

impl<L> fmt::Debug for Lost<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lost(..)")
    }
}

impl<L> fmt::Display for Lost<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer went away before it answered")
    }
}

impl<L> core::error::Error for Lost<L> {}

/// A request that was sent: ready with its answer and what was lent, or with [`Lost`].
///
/// Wakes the task that polled it last. Dropped, it abandons the operation.
#[must_use = "dropping it abandons the operation"]
pub struct Operation<Q: Tagged, A: Tagged, L = (), KQ = Arc<Allocation<Q>>, KA = Arc<Allocation<A>>>
{
    driver: Driver<Q, A, L, KQ, KA>,
    id: u64,
    done: bool,
}

impl<Q: Tagged, A: Tagged, L, KQ, KA> Operation<Q, A, L, KQ, KA> {
    /// The number that its request has.
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl<Q: Tagged, A: Tagged, L, KQ, KA> Future for Operation<Q, A, L, KQ, KA> {
    type Output = Result<(A, L), Lost<L>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.done {
            return Poll::Pending; // fused: there is nothing to come
        }
        let mut later = Later::new();
        let mut state = lock(&self.driver.state);
        let mut replaced = None;
        if let Some(Record { progress: Progress::Waiting(waker), .. }) = state.entry(self.id) {
            if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                replaced = waker.replace(cx.waker().clone());
            }
            drop(state);
            drop(replaced);
            return Poll::Pending;
        }
        let entry = state.remove(self.id, &mut later);
        drop(state);
        later.run();
        self.done = true;
        match entry {
            Some(Record { progress: Progress::Answered(answer), lent, .. }) => {
                Poll::Ready(Ok((answer, lent)))
            }
            Some(entry) => Poll::Ready(Err(Lost(entry.lent))),
            // Only its own future removes an entry that is not abandoned.
            None => Poll::Pending,
        }
    }
}

impl<Q: Tagged, A: Tagged, L, KQ, KA> Drop for Operation<Q, A, L, KQ, KA> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut later = Later::new();
        let mut state = lock(&self.driver.state);
        let id = self.id;
        let mut waker = None;
        match state.entry(id).map(|entry| &mut entry.progress) {
            Some(progress @ Progress::Waiting(_)) => {
                if let Progress::Waiting(known) = mem::replace(progress, Progress::Abandoned) {
                    waker = known;
                }
                if state.cancel.is_some() {
                    state.cancels.push(id);
                    state.tell_cancels();
                }
            }
            Some(_) => {
                let entry = state.remove(id, &mut later);
                later.lent.extend(entry.map(|entry| entry.lent));
            }
            None => {}
        }
        drop(state);
        drop(waker);
        later.run();
    }
}

impl<Q: Tagged, A: Tagged, L, KQ, KA> fmt::Debug for Operation<Q, A, L, KQ, KA> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A request that waits for a place, made by [`Driver::submit`]. Dropped, it was never sent.
#[must_use = "futures do nothing unless polled"]
pub struct Submit<'a, Q: Tagged, A: Tagged, L, KQ, KA> {
    driver: &'a Driver<Q, A, L, KQ, KA>,
    held: Option<(Q, L)>,
    /// Its place among those who wait.
    key: Option<usize>,
}

// Nothing in it is pinned.
impl<Q: Tagged, A: Tagged, L, KQ, KA> Unpin for Submit<'_, Q, A, L, KQ, KA> {}

impl<Q: Tagged, A: Tagged, L, KQ, KA> Future for Submit<'_, Q, A, L, KQ, KA> {
    type Output = Submitted<Q, A, L, KQ, KA>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some((request, lent)) = this.held.take() else { return Poll::Pending };
        let waker = cx.waker().clone();
        let mut state = lock(&this.driver.state);
        let result = match state.submit(request, lent) {
            Err(SubmitError::Busy(request, lent)) => {
                this.held = Some((request, lent));
                let replaced = match this.key.and_then(|key| state.submitters.get_mut(key)) {
                    Some(known) => known.replace(waker),
                    None => {
                        this.key = Some(state.submitters.insert(Some(waker)));
                        None
                    }
                };
                drop(state);
                drop(replaced);
                return Poll::Pending;
            }
            Ok(id) => Ok(Operation { driver: this.driver.clone(), id, done: false }),
            Err(error) => Err(error),
        };
        drop(state);
        Poll::Ready(result)
    }
}

impl<Q: Tagged, A: Tagged, L, KQ, KA> Drop for Submit<'_, Q, A, L, KQ, KA> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut later = Later::new();
        let mut state = lock(&self.driver.state);
        let waker = state.submitters.try_remove(key).flatten();
        // It was woken, or has just been served: whoever is next may be as lucky.
        if waker.is_none() {
            state.wake_submitter(&mut later);
        }
        drop(state);
        drop(waker);
        later.run();
    }
}

impl<Q: Tagged, A: Tagged, L, KQ, KA> fmt::Debug for Submit<'_, Q, A, L, KQ, KA> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submit").field("waiting", &self.key.is_some()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
