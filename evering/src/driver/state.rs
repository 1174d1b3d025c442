//! What a driver's handles share: the queues' ends, the operations, and who waits.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::ops::Deref;

use super::{
    SubmitError, Tagged,
    table::{Later, Orphan, Table},
};
use crate::{
    Receiver, RecvError, SendError, Sender,
    waiters::Waiters,
    wake::{Bell, Ringer},
};

/// A ringer on whatever keeps its bell.
pub(super) trait Ring: Send {
    fn ring(&self);
}

impl<B: Deref<Target = Bell> + Send> Ring for Ringer<B> {
    fn ring(&self) {
        Ringer::ring(self);
    }
}

pub(super) struct State<Q: Tagged, A: Tagged, L, KQ, KA> {
    requests: Sender<Q, KQ>,
    answers: Receiver<A, KA>,
    /// Wakes the peer. It goes after the queues: it tells of their close as well.
    pub(super) ringer: Option<Box<dyn Ring>>,
    /// How many operations there may be, abandoned ones among them.
    limit: usize,
    pub(super) table: Table<A, L>,
    /// How many places are kept for permits.
    pub(super) permits: usize,
    /// Tasks that wait for a place.
    pub(super) waiters: Waiters,
    /// Requests for which there was no room in the queue: the peer may answer before it frees their slots.
    backlog: VecDeque<Q>,
    /// How to tell the peer that nobody wants an answer any more.
    pub(super) cancel: Option<fn(u64) -> Q>,
    /// What takes the answers that nobody wants.
    pub(super) orphan: Option<Orphan<A, L>>,
    /// Operations of which the peer has not been told yet.
    cancels: Vec<u64>,
    /// Requests wait for a turn or a flush.
    pub(super) batching: bool,
    /// The peer is gone, or talks nonsense.
    pub(super) lost: bool,
    /// Kept for its room.
    spare: Later<A, L>,
}

impl<Q: Tagged, A: Tagged, L, KQ, KA> State<Q, A, L, KQ, KA> {
    pub(super) fn new(requests: Sender<Q, KQ>, answers: Receiver<A, KA>, limit: usize) -> Self {
        let limit = limit.min(answers.capacity());
        State {
            requests,
            answers,
            ringer: None,
            limit,
            table: Table::new(),
            permits: 0,
            waiters: Waiters::default(),
            backlog: VecDeque::new(),
            cancel: None,
            orphan: None,
            cancels: Vec::new(),
            batching: false,
            lost: false,
            spare: Later::default(),
        }
    }

    #[inline]
    pub(super) fn has_place(&self) -> bool {
        self.table.len() + self.permits < self.limit
    }

    /// Begins an operation if there is a place; its number.
    #[inline]
    pub(super) fn submit(&mut self, mut request: Q, lent: L) -> Result<u64, SubmitError<Q, L>> {
        if self.lost {
            return Err(SubmitError::Lost(request, lent));
        }
        if !self.has_place() {
            return Err(SubmitError::Busy(request, lent));
        }
        let id = self.table.next_id();
        request.set_id(id);
        if self.backlog.is_empty() {
            match self.requests.stage(request) {
                Ok(()) => {}
                Err(SendError::Full(request)) => self.backlog.push_back(request),
                Err(error) => return Err(SubmitError::Lost(error.into_inner(), lent)),
            }
        } else {
            self.backlog.push_back(request);
        }
        self.table.insert(lent);
        if !self.batching {
            self.flush();
        }
        Ok(id)
    }

    /// Nobody wants an operation's answer any more.
    pub(super) fn cancel(&mut self, id: u64) {
        if self.cancel.is_some() && !self.lost {
            self.cancels.push(id);
            if !self.batching {
                self.flush();
            }
        }
    }

    /// Stages what has waited for room, as far as there is some.
    fn catch_up(&mut self) {
        while let Some(&request) = self.backlog.front() {
            if self.requests.stage(request).is_err() {
                return;
            }
            self.backlog.pop_front();
        }
        let Some(cancel) = self.cancel else { return };
        while let Some(&id) = self.cancels.last() {
            // An answer that came meanwhile has made it needless.
            if self.table.is_abandoned(id) && self.requests.stage(cancel(id)).is_err() {
                return;
            }
            self.cancels.pop();
        }
    }

    /// Publishes what is staged, and rings if that was something; how many requests.
    #[inline]
    pub(super) fn flush(&mut self) -> usize {
        if !self.backlog.is_empty() || !self.cancels.is_empty() {
            self.catch_up();
        }
        let count = self.requests.publish();
        if count > 0
            && let Some(ringer) = &self.ringer
        {
            ringer.ring();
        }
        count
    }

    /// Publishes requests and takes answers; how many. What is to be done when nothing is borrowed comes with
    /// it, if there is something, and goes [back](Self::keep).
    pub(super) fn turn(&mut self) -> (Result<usize, RecvError>, Option<Later<A, L>>) {
        self.flush();
        let mut later = core::mem::take(&mut self.spare);
        later.orphan = self.orphan;
        let mut count = 0;
        let mut free = false;
        let (answers, table) = (&mut self.answers, &mut self.table);
        let mut take = |answers: &mut Receiver<A, KA>| {
            answers.drain().map(|answers| {
                for answer in answers {
                    free |= table.answer(answer.id(), answer, &mut later);
                    count += 1;
                }
            })
        };
        let mut taken = take(answers);
        if taken.is_ok() && answers.is_closed() {
            // That was all, probably, and then it need not wait for another turn.
            taken = take(answers);
        }
        if free {
            later.next = self.waiters.next();
            self.table.rest(&mut later.idle);
        }
        let result = match taken {
            Ok(()) | Err(RecvError::Empty) => Ok(count),
            Err(end) => {
                self.lose(&mut later);
                Err(end)
            }
        };
        if later.is_empty() {
            self.spare = later;
            return (result, None);
        }
        (result, Some(later))
    }

    /// Keeps the room for later, and what can be used again. The rest is to be dropped when nothing is borrowed.
    pub(super) fn keep(&mut self, mut later: Later<A, L>) -> Option<Later<A, L>> {
        self.table.keep(&mut later);
        if later.is_empty() {
            self.spare = later;
            return None;
        }
        Some(later)
    }

    /// The peer is gone: nobody uses what was lent, and nobody will answer.
    pub(super) fn lose(&mut self, later: &mut Later<A, L>) {
        self.lost = true;
        self.cancels.clear();
        self.backlog.clear();
        self.table.lose(later);
        // The first wakes the next, and so on.
        if later.next.is_none() {
            later.next = self.waiters.next();
        }
    }
}
