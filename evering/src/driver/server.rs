//! The other side: takes requests in batches, and publishes its answers once for each.
//!
//! The one idea: what costs is to move a cache line, not to fill it. So requests are taken all together, and answers are
//! published together, as soon as there is no more to answer or a good handful of answers.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc};
use core::{fmt, ops::Deref};

use super::{Tagged, state::Ring};
use crate::{
    Allocation, Receiver, RecvError, Sender,
    queue::spsc::NoRoom,
    wake::{Bell, Ringer},
};

/// After so many answers they are published although there is more to answer, lest the requester idles.
const HANDFUL: usize = 32;

/// Receives requests `Q` and answers them with `A`s that have their numbers.
///
/// ```
/// # use evering::driver::{LocalDriver, Server, Tagged};
/// # use zerocopy::{FromBytes, Immutable, IntoBytes};
/// # #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
/// # #[repr(C)]
/// # struct Message { id: u64, n: u64 }
/// # impl Tagged for Message {
/// #     fn id(&self) -> u64 { self.id }
/// #     fn set_id(&mut self, id: u64) { self.id = id }
/// # }
/// let (requests, server_in) = evering::channel::<Message>(8).unwrap();
/// let (server_out, answers) = evering::channel::<Message>(8).unwrap();
/// let driver = LocalDriver::<Message, Message>::local(requests, answers, 8);
/// let mut server = Server::new(server_in, server_out);
///
/// let operation = driver.try_submit(Message { id: 0, n: 1 }, ()).unwrap();
/// let served = server.serve(|request| Some(Message { n: request.n + 1, ..request }));
/// assert_eq!((served, driver.turn()), (Ok(1), Ok(1)));
/// assert_eq!(futures::executor::block_on(operation).unwrap().0.n, 2);
/// ```
pub struct Server<Q: Tagged, A: Tagged, KQ = Arc<Allocation<Q>>, KA = Arc<Allocation<A>>> {
    requests: Receiver<Q, KQ>,
    answers: Sender<A, KA>,
    /// It goes after the queues: it tells of their close as well.
    ringer: Option<Box<dyn Ring>>,
    /// Answers for which there was no room. A requester that keeps to its limit leaves room.
    backlog: VecDeque<A>,
}

impl<Q: Tagged, A: Tagged, KQ, KA> Server<Q, A, KQ, KA> {
    /// One between these queues.
    pub fn new(requests: Receiver<Q, KQ>, answers: Sender<A, KA>) -> Self {
        Server { requests, answers, ringer: None, backlog: VecDeque::new() }
    }

    /// Has the requester woken when there are answers for it, once for all that are published together, and when this is gone.
    #[must_use]
    pub fn with_ringer<B>(mut self, ringer: Ringer<B>) -> Self
    where
        B: Deref<Target = Bell> + Send + 'static,
    {
        self.ringer = Some(Box::new(ringer));
        self
    }

    /// Has `handle` see each request that is there, and publishes the answers that it gives; those that it does not give
    /// are to come by [`answer`](Self::answer). Returns how many requests there were.
    ///
    /// While there are answers that the requester has no room for, it is given no more to do.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] if the requester is gone, [`RecvError::Corrupt`] if it talks nonsense.
    pub fn serve(&mut self, mut handle: impl FnMut(Q) -> Option<A>) -> Result<usize, RecvError> {
        self.flush();
        if !self.backlog.is_empty() {
            return if self.answers.is_closed() { Err(RecvError::Closed) } else { Ok(0) };
        }
        let requests = match self.requests.drain() {
            Ok(requests) => requests,
            Err(RecvError::Empty) => return Ok(0),
            Err(end) => return Err(end),
        };
        let mut count = 0;
        for request in requests {
            count += 1;
            if let Some(answer) = &handle(request) {
                stage(&mut self.answers, &mut self.backlog, answer);
                if self.answers.staged() >= HANDFUL {
                    publish(&mut self.answers, self.ringer.as_deref());
                }
            }
        }
        self.flush();
        Ok(count)
    }

    /// Answers a request that was [taken](Self::serve) before; the requester sees it after the next
    /// [`flush`](Self::flush) or [`serve`](Self::serve).
    pub fn answer(&mut self, answer: A) {
        stage(&mut self.answers, &mut self.backlog, &answer);
    }

    /// Publishes what was answered, as far as there is room.
    pub fn flush(&mut self) {
        while let Some(&answer) = self.backlog.front() {
            if self.answers.stage(answer).is_err() {
                break;
            }
            self.backlog.pop_front();
        }
        publish(&mut self.answers, self.ringer.as_deref());
    }

    /// Whether the requester is gone.
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed() || self.answers.is_closed()
    }
}

#[inline]
fn stage<A: Tagged, K>(answers: &mut Sender<A, K>, backlog: &mut VecDeque<A>, answer: &A) {
    // Nobody is there to read an answer that finds the queue closed or corrupt.
    if !backlog.is_empty() || matches!(answers.stage_from(answer), Err(NoRoom::Full)) {
        backlog.push_back(*answer);
    }
}

#[inline]
fn publish<A: Tagged, K>(answers: &mut Sender<A, K>, ringer: Option<&dyn Ring>) {
    if answers.publish() > 0
        && let Some(ringer) = ringer
    {
        ringer.ring();
    }
}

impl<Q: Tagged, A: Tagged, KQ, KA> fmt::Debug for Server<Q, A, KQ, KA> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("backlog", &self.backlog.len()).finish_non_exhaustive()
    }
}
