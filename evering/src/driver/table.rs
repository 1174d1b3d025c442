//! The operations that there are: their states, by number.
//!
//! The one idea: a number is a place and the generation of its use. A place that is used again has another generation, so
//! an answer that comes twice, or to an operation that is over, finds nobody.

use alloc::{collections::BTreeSet, vec::Vec};
use core::{mem, task::Waker};
use std::time::Instant;

use slab::Slab;

use super::OperationError;

/// What is to be woken and dropped when nothing is borrowed or locked any more: foreign code, both.
pub(super) struct Later<L> {
    pub(super) wakers: Vec<Waker>,
    pub(super) lent: Vec<L>,
}

impl<L> Default for Later<L> {
    fn default() -> Self {
        Later { wakers: Vec::new(), lent: Vec::new() }
    }
}

impl<L> Later<L> {
    pub(super) fn is_empty(&self) -> bool {
        self.wakers.is_empty() && self.lent.is_empty()
    }

    /// Wakes and drops them, and keeps the room for more.
    pub(super) fn run(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
        self.lent.clear();
    }
}

pub(super) struct Table<A, L> {
    records: Slab<Record<A, L>>,
    next_generation: u32,
    /// When operations end that have a deadline and wait.
    deadlines: BTreeSet<(Instant, u64)>,
    /// How many answers no operation waited for.
    pub(super) strays: u64,
}

struct Record<A, L> {
    generation: u32,
    progress: Progress<A>,
    deadline: Option<Instant>,
    /// What the peer may be using until it has answered.
    lent: L,
}

enum Progress<A> {
    /// Sent. The waker is that of the task that polled last.
    Waiting(Option<Waker>),
    /// Sent; its deadline has passed, which nobody has seen yet.
    Overdue,
    /// Sent; nobody wants the answer.
    Abandoned,
    /// The answer is here.
    Answered(A),
    /// There will be no answer.
    Lost,
}

/// What a future finds.
pub(super) enum Look<A, L> {
    /// Nothing, and its task will be woken.
    Wait,
    /// Nothing, and its task is not known.
    Register,
    /// The deadline has passed; the peer has it still.
    TimedOut,
    /// It is over, and the place is free.
    Over(Result<(A, L), OperationError<L>>),
}

/// What became of an operation whose future was dropped.
pub(super) enum Dropped<L> {
    /// The peer has it still. There may have been a waker, to be dropped.
    Abandoned(Option<Waker>),
    /// It is over: this was lent, and the place is free.
    Over(L),
    /// It was over before.
    Unknown,
}

fn number(index: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | index as u64
}

impl<A, L> Table<A, L> {
    pub(super) fn new() -> Self {
        Table { records: Slab::new(), next_generation: 0, deadlines: BTreeSet::new(), strays: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// The number that the next operation will have.
    #[inline]
    pub(super) fn next_id(&self) -> u64 {
        number(self.records.vacant_key(), self.next_generation)
    }

    /// A new operation; its number is what [`next_id`](Self::next_id) said.
    #[inline]
    pub(super) fn insert(&mut self, lent: L) {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let progress = Progress::Waiting(None);
        self.records.insert(Record { generation, progress, deadline: None, lent });
    }

    #[inline]
    fn record(&mut self, id: u64) -> Option<&mut Record<A, L>> {
        let record = self.records.get_mut(id as u32 as usize)?;
        (record.generation == (id >> 32) as u32).then_some(record)
    }

    fn remove(&mut self, id: u64) -> Option<Record<A, L>> {
        self.record(id)?;
        let record = self.records.try_remove(id as u32 as usize)?;
        if let Some(deadline) = record.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        Some(record)
    }

    /// Takes the answer to an operation. Whether a place has become free.
    #[inline]
    pub(super) fn answer(&mut self, id: u64, answer: A, later: &mut Later<L>) -> bool {
        match self.record(id).map(|record| &mut record.progress) {
            Some(progress @ (Progress::Waiting(_) | Progress::Overdue)) => {
                if let Progress::Waiting(Some(waker)) =
                    mem::replace(progress, Progress::Answered(answer))
                {
                    later.wakers.push(waker);
                }
                false
            }
            Some(Progress::Abandoned) => {
                let record = self.remove(id);
                later.lent.extend(record.map(|record| record.lent));
                true
            }
            Some(Progress::Answered(_) | Progress::Lost) | None => {
                self.strays += 1;
                false
            }
        }
    }

    /// Looks at an operation for the future of the task that `waker` wakes. Ready means that the future is done; the place
    /// is free then, unless the deadline was it.
    #[inline]
    pub(super) fn look(&mut self, id: u64, waker: &Waker) -> Look<A, L> {
        match self.record(id).map(|record| &mut record.progress) {
            Some(Progress::Waiting(Some(known))) if known.will_wake(waker) => Look::Wait,
            Some(Progress::Waiting(_)) => Look::Register,
            Some(progress @ Progress::Overdue) => {
                *progress = Progress::Abandoned;
                Look::TimedOut
            }
            _ => match self.remove(id) {
                Some(Record { progress: Progress::Answered(answer), lent, .. }) => {
                    Look::Over(Ok((answer, lent)))
                }
                Some(record) => Look::Over(Err(OperationError::Lost(record.lent))),
                // Only its own future removes an operation that is not abandoned.
                None => Look::Wait,
            },
        }
    }

    /// Whom to wake when an operation's state changes; or the waker back if it has changed already. Gives the one before, which
    /// is not to be dropped here.
    #[inline]
    pub(super) fn register(&mut self, id: u64, waker: Waker) -> Result<Option<Waker>, Waker> {
        match self.record(id).map(|record| &mut record.progress) {
            Some(Progress::Waiting(known)) => Ok(known.replace(waker)),
            _ => Err(waker),
        }
    }

    /// The future of an operation is gone.
    pub(super) fn drop_future(&mut self, id: u64) -> Dropped<L> {
        match self.record(id).map(|record| &mut record.progress) {
            Some(progress @ (Progress::Waiting(_) | Progress::Overdue)) => {
                match mem::replace(progress, Progress::Abandoned) {
                    Progress::Waiting(waker) => Dropped::Abandoned(waker),
                    _ => Dropped::Abandoned(None),
                }
            }
            Some(_) => match self.remove(id) {
                Some(record) => Dropped::Over(record.lent),
                None => Dropped::Unknown,
            },
            None => Dropped::Unknown,
        }
    }

    /// Whether nobody wants an operation's answer, and the peer has not given it.
    pub(super) fn is_abandoned(&mut self, id: u64) -> bool {
        matches!(self.record(id), Some(Record { progress: Progress::Abandoned, .. }))
    }

    /// Sets the deadline of an operation that waits, in place of the one before.
    pub(super) fn set_deadline(&mut self, id: u64, deadline: Instant) {
        let Some(record) = self.record(id) else { return };
        if !matches!(record.progress, Progress::Waiting(_)) {
            return;
        }
        if let Some(before) = record.deadline.replace(deadline) {
            self.deadlines.remove(&(before, id));
        }
        self.deadlines.insert((deadline, id));
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Ends what is due by `now`; returns how many operations.
    pub(super) fn expire(&mut self, now: Instant, later: &mut Later<L>) -> usize {
        let mut count = 0;
        while let Some(&(deadline, id)) = self.deadlines.first().filter(|first| first.0 <= now) {
            self.deadlines.remove(&(deadline, id));
            let Some(record) = self.record(id) else { continue };
            record.deadline = None;
            if let Progress::Waiting(waker) = &mut record.progress {
                later.wakers.extend(waker.take());
                record.progress = Progress::Overdue;
                count += 1;
            }
        }
        count
    }

    /// Nobody will answer: ends every operation.
    pub(super) fn lose(&mut self, later: &mut Later<L>) {
        self.deadlines.clear();
        let mut abandoned = Vec::new();
        for (index, record) in &mut self.records {
            record.deadline = None;
            match &mut record.progress {
                Progress::Waiting(waker) => {
                    later.wakers.extend(waker.take());
                    record.progress = Progress::Lost;
                }
                Progress::Overdue => record.progress = Progress::Lost,
                Progress::Abandoned => abandoned.push(index),
                Progress::Answered(_) | Progress::Lost => {}
            }
        }
        for index in abandoned {
            later.lent.extend(self.records.try_remove(index).map(|record| record.lent));
        }
    }
}
