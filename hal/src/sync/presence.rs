//! How many wait, so that nobody is looked for where nobody is.
//!
//! **No wake-up is lost.** Who wants to wait (1) counts itself in and (2) looks *after that* at what it would wait for. Who changes
//! that (a) changes it and (b) looks *after that* whether somebody is counted. One of the two looks comes second, so either the
//! waiter sees the change or the changer sees the waiter. That much needs an order between a store and a later load of something else,
//! on both sides: (1) is followed by a full fence, and (b) counts on (a) being in the order of sequentially consistent operations, by being
//! one, by a fence behind it, or by having taken a lock that (2) takes as well.

use super::atomic::{AtomicUsize, Ordering, fence};

/// Nobody waits, nor is about to.
const NOBODY: usize = 0;

/// A number of those who wait or are about to. It may be too high for a moment, and never too low.
#[derive(Debug)]
pub struct Presence(AtomicUsize);

impl Presence {
    /// Nobody.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self(AtomicUsize::new(NOBODY))
    }

    /// Nobody.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(AtomicUsize::new(NOBODY))
    }

    /// Step 1, for one more. To be undone by [`leave`](Self::leave).
    #[inline]
    pub fn enter(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Counts one out, whoever found it or gave up.
    #[inline]
    pub fn leave(&self) {
        // Too high for a moment is harmless, so this may come late.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Step b: whether there is nobody to look for.
    #[inline]
    pub fn is_empty(&self) -> bool {
        // Loom takes a sequentially consistent load for an acquiring one.
        #[cfg(loom)]
        fence(Ordering::SeqCst);
        self.0.load(Ordering::SeqCst) == NOBODY
    }

    /// The number, for a guess.
    #[inline]
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::{
        sync::{Arc, Mutex, Notify},
        thread,
    };

    use super::*;
    use crate::sync::{atomic::AtomicU32, model};

    /// Changes, and wakes who is there; a lost wake-up leaves the waiter for ever, which loom reports.
    fn meet(look: fn(&Thing) -> bool, change: fn(&Thing)) {
        model(move || {
            let shared = Arc::new((Presence::new(), Thing::default(), Notify::new()));
            let waker = shared.clone();
            let changer = thread::spawn(move || {
                change(&waker.1);
                if !waker.0.is_empty() {
                    waker.2.notify();
                }
            });
            let (presence, thing, called) = &*shared;
            presence.enter();
            while !look(thing) {
                called.wait();
            }
            presence.leave();
            changer.join().unwrap();
            assert_eq!(presence.count(), NOBODY);
        });
    }

    #[derive(Default)]
    struct Thing {
        atomic: AtomicU32,
        locked: Mutex<bool>,
    }

    #[test]
    fn a_condition_in_an_atomic_is_seen_or_its_waiter_is() {
        meet(
            |thing| thing.atomic.load(Ordering::Relaxed) == 1,
            // `is_empty` makes it part of the one order.
            |thing| thing.atomic.store(1, Ordering::Relaxed),
        );
    }

    #[test]
    fn a_condition_under_a_lock_is_seen_or_its_waiter_is() {
        meet(|thing| *thing.locked.lock().unwrap(), |thing| *thing.locked.lock().unwrap() = true);
    }

    /// As an idle CPU does: it counts itself in, then looks at two inboxes; work may come to either.
    #[test]
    fn one_of_two_changers_wakes_the_waiter() {
        model(|| {
            let shared =
                Arc::new((Presence::new(), [Thing::default(), Thing::default()], Notify::new()));
            let threads = [0, 1].map(|index| {
                let shared = shared.clone();
                thread::spawn(move || {
                    *shared.1[index].locked.lock().unwrap() = true;
                    if !shared.0.is_empty() {
                        shared.2.notify();
                    }
                })
            });
            shared.0.enter();
            while !shared.1.iter().all(|thing| *thing.locked.lock().unwrap()) {
                shared.2.wait();
            }
            shared.0.leave();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}
