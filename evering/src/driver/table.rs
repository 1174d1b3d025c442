//! The operations that there are: their states, by number.
//!
//! The one idea: a number is a place and the generation of its use. A place that is used again has another generation, so
//! an answer that comes twice, or to an operation that is over, finds nobody.

use alloc::{collections::BTreeSet, vec::Vec};
use core::task::Waker;
use std::time::Instant;

use super::OperationError;
use crate::Entry;

/// What is to be woken and dropped when nothing is borrowed or locked any more: foreign code, both.
pub(super) struct Later<A, L> {
    /// Of operations, each with its place, to which it [goes back](Table::keep).
    wakers: Vec<(u32, Waker)>,
    /// Of a task that waits for a place.
    pub(super) next: Option<Waker>,
    /// Wakers that nobody needs any more.
    pub(super) idle: Idle,
    /// What nobody uses any more, with the answer that nobody wants, if there is one.
    pub(super) lent: Vec<(Option<A>, L)>,
    /// What takes such an answer.
    pub(super) orphan: Option<Orphan<A, L>>,
}

/// What takes an answer that nobody wants.
pub(super) type Orphan<A, L> = fn(A, L);

/// Has `orphan` see the answer that nobody wants; without either what was lent is dropped.
pub(super) fn lay_to_rest<A, L>(orphan: Option<Orphan<A, L>>, answer: Option<A>, lent: L) {
    if let (Some(orphan), Some(answer)) = (orphan, answer) {
        orphan(answer, lent);
    }
}

/// Some wakers. One takes no memory of its own.
#[derive(Default)]
pub(super) struct Idle {
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Idle {
    fn push(&mut self, waker: Waker) {
        match self.first {
            None => self.first = Some(waker),
            Some(_) => self.others.push(waker),
        }
    }

    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn clear(&mut self) {
        self.first = None;
        self.others.clear();
    }
}

impl<A, L> Default for Later<A, L> {
    fn default() -> Self {
        Later {
            wakers: Vec::new(),
            next: None,
            idle: Idle::default(),
            lent: Vec::new(),
            orphan: None,
        }
    }
}

impl<A, L> Later<A, L> {
    pub(super) fn is_empty(&self) -> bool {
        self.wakers.is_empty()
            && self.next.is_none()
            && self.idle.is_empty()
            && self.lent.is_empty()
    }

    /// Wakes and drops them, and keeps the room for more, and the wakers of operations.
    pub(super) fn run(&mut self) {
        self.wakers.iter().for_each(|(_, waker)| waker.wake_by_ref());
        if let Some(next) = self.next.take() {
            next.wake();
        }
        self.idle.clear();
        for (answer, lent) in self.lent.drain(..) {
            lay_to_rest(self.orphan, answer, lent);
        }
    }
}

pub(super) struct Table<A, L> {
    places: Vec<Place<A, L>>,
    /// The place that became free last, if there is one: the number of places else.
    free: u32,
    /// How many places are in use.
    len: usize,
    next_generation: u32,
    /// How many places have a waker.
    wakers: usize,
    /// When operations end that have a deadline and wait.
    deadlines: BTreeSet<(Instant, u64)>,
    /// How many answers no operation waited for.
    pub(super) strays: u64,
}

/// A place for an operation. Its parts lie side by side and not in an enum, so that an answer is copied once on its way in and once
/// on its way out: a copy of what has just been written piece by piece makes the processor wait.
struct Place<A, L> {
    progress: Progress,
    /// The operation's task is to be woken, by the waker.
    polled: bool,
    generation: u32,
    /// Of a free place: the one that became free before it, or the number of places then.
    next: u32,
    deadline: Option<Instant>,
    /// Of the task that polled last, be it for the operation before: it is likely the same that comes next, and a clone
    /// and a drop are two locked instructions.
    waker: Option<Waker>,
    /// What the peer may be using until it has answered. None in a free place only.
    lent: Option<L>,
    /// Of an answered operation: the answer.
    answer: A,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// There is no operation.
    Free,
    /// Sent.
    Waiting,
    /// Sent; its deadline has passed, which nobody has seen yet.
    Overdue,
    /// Sent; nobody wants the answer.
    Abandoned,
    /// The answer is here.
    Answered,
    /// There will be no answer.
    Lost,
}

/// What a future finds.
#[derive(Clone, Copy)]
pub(super) enum Look {
    /// Nothing, and its task will be woken.
    Wait,
    /// Nothing, and its task is not known.
    Register,
    /// The deadline has passed; the peer has it still.
    TimedOut,
    /// It is over, and its end is to be [taken](Table::take).
    Over,
}

/// What became of an operation whose future was dropped.
pub(super) enum Dropped<A, L> {
    /// The peer has it still. There may have been a waker, to be dropped.
    Abandoned(Option<Waker>),
    /// It is over: this was the answer, if there was one, and this was lent, and the place is free.
    Over(Option<A>, L),
    /// It was over before.
    Unknown,
}

fn number(index: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(index)
}

impl<A: Entry, L> Table<A, L> {
    pub(super) fn new() -> Self {
        Table {
            places: Vec::new(),
            free: 0,
            len: 0,
            next_generation: 0,
            wakers: 0,
            deadlines: BTreeSet::new(),
            strays: 0,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The number that the next operation will have.
    #[inline]
    pub(super) fn next_id(&self) -> u64 {
        number(self.free, self.next_generation)
    }

    /// A new operation; its number is what [`next_id`](Self::next_id) said.
    #[inline]
    pub(super) fn insert(&mut self, lent: L) {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        self.len += 1;
        match self.places.get_mut(self.free as usize) {
            Some(place) => {
                place.generation = generation;
                place.progress = Progress::Waiting;
                place.polled = false;
                place.lent = Some(lent);
                self.free = place.next;
            }
            None => self.grow(generation, lent),
        }
    }

    #[cold]
    fn grow(&mut self, generation: u32, lent: L) {
        self.places.push(Place {
            progress: Progress::Waiting,
            polled: false,
            generation,
            next: 0,
            deadline: None,
            waker: None,
            lent: Some(lent),
            answer: A::new_zeroed(),
        });
        self.free = self.places.len() as u32;
    }

    /// The place of an operation, unless it is over and done with.
    #[inline]
    fn place(&mut self, id: u64) -> Option<&mut Place<A, L>> {
        let place = self.places.get_mut(id as u32 as usize)?;
        let here = place.generation == (id >> 32) as u32 && place.progress != Progress::Free;
        here.then_some(place)
    }

    /// Makes the place of an operation free. What was lent.
    #[inline]
    fn remove(&mut self, id: u64) -> Option<L> {
        let free = self.free;
        let place = self.place(id)?;
        place.progress = Progress::Free;
        place.next = free;
        let (lent, deadline) = (place.lent.take(), place.deadline.take());
        self.free = id as u32;
        self.len -= 1;
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, id));
        }
        lent
    }

    /// Takes the answer to an operation. Whether a place has become free.
    #[inline]
    pub(super) fn answer(&mut self, id: u64, answer: A, later: &mut Later<A, L>) -> bool {
        let Some(place) = self.place(id) else {
            self.strays += 1;
            return false;
        };
        match place.progress {
            Progress::Waiting | Progress::Overdue => {
                place.progress = Progress::Answered;
                place.answer = answer;
                self.wake(id as u32, later);
                false
            }
            Progress::Abandoned => {
                later.lent.extend(self.remove(id).map(|lent| (Some(answer), lent)));
                true
            }
            Progress::Answered | Progress::Lost | Progress::Free => {
                self.strays += 1;
                false
            }
        }
    }

    /// Has the task woken that has polled the operation at that place, if one has.
    #[inline]
    fn wake(&mut self, index: u32, later: &mut Later<A, L>) {
        let Some(place) = self.places.get_mut(index as usize) else { return };
        if core::mem::take(&mut place.polled)
            && let Some(waker) = place.waker.take()
        {
            self.wakers -= 1;
            later.wakers.push((index, waker));
        }
    }

    /// Takes back the wakers of tasks that were woken, for the next operations at their places. Those that are left in `later` are of no
    /// use any more.
    pub(super) fn keep(&mut self, later: &mut Later<A, L>) {
        for (index, waker) in later.wakers.drain(..) {
            match self.places.get_mut(index as usize) {
                Some(place) if place.waker.is_none() && self.len > 0 => {
                    place.waker = Some(waker);
                    self.wakers += 1;
                }
                _ => later.idle.push(waker),
            }
        }
    }

    /// Whether there are wakers and no operation that needs them, but for `ending` ones that end now.
    #[inline]
    pub(super) fn is_idle(&self, ending: usize) -> bool {
        self.len == ending && self.wakers > 0
    }

    /// Lets go of all wakers if there is no operation: a task is not kept for those that may come. An executor may take it for one that
    /// nothing will wake any more, and be right.
    pub(super) fn rest(&mut self, idle: &mut Idle) {
        if !self.is_idle(0) {
            return;
        }
        // Those that became free last come first, and all that had no waker the last time after them.
        let mut index = self.free;
        while self.wakers > 0
            && let Some(place) = self.places.get_mut(index as usize)
        {
            index = place.next;
            if let Some(waker) = place.waker.take() {
                self.wakers -= 1;
                idle.push(waker);
            }
        }
    }

    /// Looks at an operation for the future of the task that `waker` wakes.
    #[inline]
    pub(super) fn look(&mut self, id: u64, waker: &Waker) -> Look {
        // Only its own future removes an operation that is not abandoned.
        let Some(place) = self.place(id) else { return Look::Wait };
        match place.progress {
            Progress::Waiting => match &place.waker {
                Some(known) if known.will_wake(waker) => {
                    place.polled = true;
                    Look::Wait
                }
                _ => Look::Register,
            },
            Progress::Overdue => {
                place.progress = Progress::Abandoned;
                Look::TimedOut
            }
            Progress::Answered | Progress::Lost => Look::Over,
            Progress::Abandoned | Progress::Free => Look::Wait,
        }
    }

    /// Takes the end of an operation that is [over](Look::Over). The place is free then.
    #[inline]
    pub(super) fn take(&mut self, id: u64) -> Option<Result<(A, L), OperationError<L>>> {
        let place = self.place(id)?;
        let (answer, answered) = (place.answer, place.progress == Progress::Answered);
        let lent = self.remove(id)?;
        Some(if answered { Ok((answer, lent)) } else { Err(OperationError::Lost(lent)) })
    }

    /// Whom to wake when an operation's state changes; or the waker back if it has changed already. Gives the one before, which
    /// is not to be dropped here.
    #[inline]
    pub(super) fn register(&mut self, id: u64, waker: Waker) -> Result<Option<Waker>, Waker> {
        match self.place(id) {
            Some(place) if place.progress == Progress::Waiting => {
                place.polled = true;
                let before = place.waker.replace(waker);
                self.wakers += usize::from(before.is_none());
                Ok(before)
            }
            _ => Err(waker),
        }
    }

    /// The future of an operation is gone.
    pub(super) fn drop_future(&mut self, id: u64) -> Dropped<A, L> {
        let Some(place) = self.place(id) else { return Dropped::Unknown };
        match place.progress {
            Progress::Waiting | Progress::Overdue => {
                place.progress = Progress::Abandoned;
                let waker = place.waker.take();
                self.wakers -= usize::from(waker.is_some());
                Dropped::Abandoned(waker)
            }
            Progress::Answered => {
                let answer = place.answer;
                self.remove(id).map_or(Dropped::Unknown, |lent| Dropped::Over(Some(answer), lent))
            }
            Progress::Lost => {
                self.remove(id).map_or(Dropped::Unknown, |lent| Dropped::Over(None, lent))
            }
            Progress::Abandoned | Progress::Free => Dropped::Unknown,
        }
    }

    /// Whether nobody wants an operation's answer, and the peer has not given it.
    pub(super) fn is_abandoned(&mut self, id: u64) -> bool {
        self.place(id).is_some_and(|place| place.progress == Progress::Abandoned)
    }

    /// Sets the deadline of an operation that waits, in place of the one before.
    pub(super) fn set_deadline(&mut self, id: u64, deadline: Instant) {
        let Some(place) = self.place(id) else { return };
        if place.progress != Progress::Waiting {
            return;
        }
        if let Some(before) = place.deadline.replace(deadline) {
            self.deadlines.remove(&(before, id));
        }
        self.deadlines.insert((deadline, id));
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Ends what is due by `now`; returns how many operations.
    pub(super) fn expire(&mut self, now: Instant, later: &mut Later<A, L>) -> usize {
        let mut count = 0;
        while let Some(&(deadline, id)) = self.deadlines.first().filter(|first| first.0 <= now) {
            self.deadlines.remove(&(deadline, id));
            let Some(place) = self.place(id) else { continue };
            place.deadline = None;
            if place.progress == Progress::Waiting {
                place.progress = Progress::Overdue;
                self.wake(id as u32, later);
                count += 1;
            }
        }
        count
    }

    /// Nobody will answer: ends every operation.
    pub(super) fn lose(&mut self, later: &mut Later<A, L>) {
        self.deadlines.clear();
        for index in 0..self.places.len() {
            let place = &mut self.places[index];
            place.deadline = None;
            match place.progress {
                Progress::Waiting | Progress::Overdue => {
                    place.progress = Progress::Lost;
                    self.wake(index as u32, later);
                }
                Progress::Abandoned => {
                    let id = number(index as u32, place.generation);
                    later.lent.extend(self.remove(id).map(|lent| (None, lent)));
                }
                Progress::Free | Progress::Answered | Progress::Lost => {}
            }
        }
    }
}
