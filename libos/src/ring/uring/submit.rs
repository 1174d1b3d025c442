//! Taking submissions: a batch of them, put together to chains by their links, each chain begun when it is whole.
//!
//! The one idea: what ends at once is told of when the batch has ended, all together; and before anything is begun that may tell of
//! its end itself, so completions come in the order of their submissions as far as that is one.

use std::sync::{Arc, Weak};

use linux_raw_sys::io_uring as raw;
use smallvec::SmallVec;

use super::{
    Cqe, Uring,
    completion::Kind,
    entry::Sqe,
    op,
    request::{self, Outcome, Request},
    submission::Submissions,
};
use crate::{errno::Errno, process::Thread, ring::Operation, trace};

/// So many submissions are taken before others have their turn.
pub(crate) const PIECE: u32 = 64;

/// What became of an attempt to take submissions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// How many were taken.
    pub(crate) count: u32,
    /// There are no more to take, for now.
    pub(crate) ended: bool,
}

/// So many completions at most are held back.
const BATCH: usize = 32;

/// Linked submissions; nearly always it is one, linked to none.
type Chain = SmallVec<[Request; 1]>;

/// What takes submissions, one thread at a time.
pub(super) struct Intake {
    submissions: Submissions,
    /// The next one that is not linked to the one before drains.
    drains_next: bool,
    /// A submission without a completion was seen: nobody could tell what to drain.
    skips: bool,
}

impl Intake {
    pub(super) fn new(submissions: Submissions) -> Self {
        Self { submissions, drains_next: false, skips: false }
    }

    /// How many there are to take.
    pub(super) fn pending(&self) -> u32 {
        self.submissions.pending()
    }

    /// Whether a submission drains, by its flags; in the middle of a chain all of the chain does.
    fn drains(&mut self, sqe: &Sqe, in_chain: bool) -> Result<bool, Errno> {
        self.skips |= sqe.flags & request::CQE_SKIP != 0;
        if sqe.flags & request::DRAIN == 0 {
            return Ok(!in_chain && std::mem::take(&mut self.drains_next));
        }
        if self.skips {
            return Err(Errno::EOPNOTSUPP);
        }
        self.drains_next = in_chain;
        Ok(true)
    }
}

/// Completions that are told of together.
#[derive(Default)]
struct Batch(SmallVec<[Cqe; BATCH]>);

impl Batch {
    fn push(&mut self, ring: &Uring, request: &Request, outcome: Outcome) {
        request.ends(&outcome);
        if !outcome.is_told(request) {
            return;
        }
        if self.0.len() == BATCH {
            self.flush(ring);
        }
        self.0.push(outcome.completion(request));
    }

    fn flush(&mut self, ring: &Uring) {
        ring.completions.post(&self.0, Kind::AtOnce);
        self.0.clear();
    }
}

impl Uring {
    /// Takes up to `count` submissions in `thread`'s name, and no more than [`PIECE`] and what is linked to those.
    pub(super) fn take_submissions(&self, thread: &Thread, count: u32) -> Taken {
        let mut intake = self.intake.lock();
        let count = count.min(intake.pending());
        let (mut batch, mut chain) = (Batch::default(), Chain::new());
        let mut taken = Taken { count: 0, ended: true };
        let traced = thread.process.kernel.trace.is_some();
        let mut drains = false;
        while taken.count < count {
            if taken.count >= PIECE && chain.is_empty() {
                taken.ended = false;
                break;
            }
            let Some(sqe) = intake.submissions.take() else { break };
            taken.count += 1;
            let mut request = Request::new(sqe);
            if traced {
                request.record(&thread.process);
            }
            let checked = match intake.drains(&sqe, !chain.is_empty()) {
                Ok(one) => {
                    drains |= one;
                    request.prepare(self, thread, chain.last())
                }
                Err(error) => Err(error),
            };
            request.refused = checked.err();
            let (refused, linked) = (request.refused.is_some(), request.is_linked());
            chain.push(request);
            if !linked {
                self.start(thread, std::mem::take(&mut chain), drains, &mut batch);
                drains = false;
            }
            // One that is refused in the middle of a chain fails the chain, and no more.
            if refused && !linked && !self.has(raw::IORING_SETUP_SUBMIT_ALL) {
                break;
            }
        }
        if !chain.is_empty() {
            self.start(thread, chain, drains, &mut batch);
        }
        intake.submissions.publish();
        batch.flush(self);
        if traced {
            let (process, door) = (&thread.process, trace::Door::IoUring);
            let (on_their_way, done) = (self.operations.count(), self.completions.available());
            trace::depth(process, door, self.number, on_their_way, done);
        }
        taken
    }

    /// Begins a chain.
    fn start(&self, thread: &Thread, chain: Chain, drains: bool, batch: &mut Batch) {
        if chain.iter().any(|request| request.refused.is_some()) {
            for request in &chain {
                let error = request.refused.unwrap_or(Errno::ECANCELED);
                batch.push(self, request, Outcome::error(error));
            }
            return;
        }
        if let [request] = &chain[..]
            && !drains
            && self.gate.is_open()
            && let Some(outcome) = op::try_now(self, thread, request)
        {
            return batch.push(self, request, outcome);
        }
        batch.flush(self);
        let ticket = self.gate.enter(chain.len(), drains);
        let label = match (ticket, chain.first()) {
            (None, Some(first)) => first.label(),
            _ => request::hidden(),
        };
        let entries: SmallVec<[Sqe; 1]> = chain.iter().map(|request| request.sqe).collect();
        let ring = self.me.clone();
        let begun = self
            .operations
            .begin_as(label, thread, |operation| carry_out(ring, operation, chain, ticket));
        if let Err(error) = begun {
            for sqe in entries {
                self.end(&Request::new(sqe), Outcome::error(error));
            }
        }
    }

    /// Tells of a request's end.
    pub(super) fn end(&self, request: &Request, outcome: Outcome) {
        request.ends(&outcome);
        if outcome.is_told(request) {
            self.completions.post(&[outcome.completion(request)], outcome.kind);
        }
        self.gate.leave(1);
    }
}

/// Carries a chain out, one request after the other.
async fn carry_out(ring: Weak<Uring>, operation: Operation, chain: Chain, ticket: Option<u64>) {
    if let Some(ticket) = ticket {
        let Some(gate) = ring.upgrade().map(|ring| Arc::clone(&ring.gate)) else { return };
        gate.wait(ticket).await;
    }
    let mut goes_on = true;
    let mut requests = chain.iter().peekable();
    let mut named = ticket.is_none();
    loop {
        let Some(request) = requests.next() else { return };
        let limit = requests.next_if(|next| next.is_link_timeout());
        let (outcome, late) = if goes_on {
            if !std::mem::replace(&mut named, false) {
                operation.renew(request.label());
            }
            limited(&ring, &operation, request, limit).await
        } else {
            (Outcome::error(Errno::ECANCELED), false)
        };
        goes_on &= !outcome.failed || request.is_hard_linked();
        let Some(ring) = ring.upgrade() else { return };
        let tell = || {
            ring.end(request, outcome);
            if let Some(limit) = limit {
                let error = if late { Errno::ETIME } else { Errno::ECANCELED };
                ring.end(limit, Outcome::error(error));
            }
        };
        // Whoever has seen a completion does not find its operation any more.
        if requests.peek().is_none() {
            drop(operation);
            return tell();
        }
        operation.renew(request::hidden());
        tell();
    }
}

/// Does what a request wants, for no longer than `limit` says: what became of it, and whether its time was up.
async fn limited(
    ring: &Weak<Uring>,
    operation: &Operation,
    request: &Request,
    limit: Option<&Request>,
) -> (Outcome, bool) {
    let until = limit.and_then(Request::deadline);
    let mut outcome = op::perform(ring, operation, request, until).await;
    let late = limit.is_some() && operation.is_late();
    if late && outcome.res == -Errno::ETIME.raw() {
        // It is the limit that tells of the time.
        outcome.res = -Errno::ECANCELED.raw();
    }
    (outcome, late)
}
