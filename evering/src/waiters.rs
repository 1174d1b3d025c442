//! Tasks that wait for room, in an arena or among a driver's operations, in the order in which they came.
//!
//! The one idea: only the first is woken, and wakes the next when it has what it wants; so a large request is not
//! starved by small ones behind it.

use alloc::collections::VecDeque;
use core::{mem, task::Waker};

#[derive(Debug)]
enum Place {
    Waiting(Waker),
    Woken,
    Gone,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// The first one is not `Gone`.
    places: VecDeque<Place>,
    /// The number of the first one.
    first: u64,
}

impl Waiters {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Goes to the end of the queue; returns the number there.
    pub(crate) fn join(&mut self, waker: Waker) -> u64 {
        self.places.push_back(Place::Waiting(waker));
        self.first + self.places.len() as u64 - 1
    }

    pub(crate) fn is_first(&self, number: u64) -> bool {
        number == self.first
    }

    fn place(&mut self, number: u64) -> Option<&mut Place> {
        self.places.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Waits on with this waker. Gives the one before, which is not to be dropped here.
    #[must_use]
    pub(crate) fn stay(&mut self, number: u64, waker: Waker) -> Option<Waker> {
        match mem::replace(self.place(number)?, Place::Waiting(waker)) {
            Place::Waiting(before) => Some(before),
            Place::Woken | Place::Gone => None,
        }
    }

    /// Leaves the queue. Gives the waker, which is not to be dropped here.
    #[must_use]
    pub(crate) fn leave(&mut self, number: u64) -> Option<Waker> {
        let left = mem::replace(self.place(number)?, Place::Gone);
        while let Some(Place::Gone) = self.places.front() {
            self.places.pop_front();
            self.first += 1;
        }
        match left {
            Place::Waiting(waker) => Some(waker),
            Place::Woken | Place::Gone => None,
        }
    }

    /// There may be room: whom to wake.
    #[must_use]
    pub(crate) fn next(&mut self) -> Option<Waker> {
        let first = self.places.front_mut()?;
        match mem::replace(first, Place::Woken) {
            Place::Waiting(waker) => Some(waker),
            Place::Woken | Place::Gone => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_woken_in_the_order_in_which_they_came() {
        let mut waiters = Waiters::default();
        let waker = || Waker::noop().clone();
        let [a, b, c] = core::array::from_fn(|_| waiters.join(waker()));
        assert!(waiters.is_first(a) && !waiters.is_first(b));
        assert!(waiters.next().is_some());
        assert!(waiters.next().is_none(), "the first has been woken");
        assert!(waiters.stay(a, waker()).is_none());
        assert!(waiters.leave(b).is_some());
        assert!(waiters.next().is_some());
        assert!(waiters.leave(a).is_none());
        assert!(waiters.is_first(c) && waiters.leave(a).is_none());
        assert!(waiters.leave(c).is_some() && waiters.is_empty() && waiters.next().is_none());
        let d = waiters.join(waker());
        assert!(waiters.is_first(d));
    }
}
