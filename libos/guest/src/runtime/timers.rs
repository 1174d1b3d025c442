//! When to wake whom.
//!
//! The one idea: a timer is an entry of a map of the thread's, and the first one bounds how long the thread waits for answers. So it costs
//! the kernel nothing.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    task::Waker,
    time::Instant,
};

/// A timer: when it is due, and a number of its own.
pub(crate) type Key = (Instant, u64);

/// The timers of a thread.
#[derive(Default)]
pub(crate) struct Timers {
    waiting: RefCell<BTreeMap<Key, Waker>>,
    next: Cell<u64>,
}

impl Timers {
    /// A new one, which wakes when it is due.
    pub(crate) fn insert(&self, at: Instant, waker: Waker) -> Key {
        let key = (at, self.next.get());
        self.next.set(key.1.wrapping_add(1));
        self.waiting.borrow_mut().insert(key, waker);
        key
    }

    /// Has it wake another.
    pub(crate) fn update(&self, key: Key, waker: &Waker) {
        if let Some(before) = self.waiting.borrow_mut().get_mut(&key) {
            before.clone_from(waker);
        }
    }

    pub(crate) fn remove(&self, key: Key) {
        let removed = self.waiting.borrow_mut().remove(&key);
        drop(removed);
    }

    /// Wakes for what is due.
    pub(super) fn fire(&self) {
        let Some(next) = self.next() else { return };
        let now = Instant::now();
        if next > now {
            return;
        }
        let later = self.waiting.borrow_mut().split_off(&(now, u64::MAX));
        let due = self.waiting.replace(later);
        due.into_values().for_each(Waker::wake);
    }

    /// When the first one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.borrow().first_key_value().map(|((at, _), _)| *at)
    }
}
