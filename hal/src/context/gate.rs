//! The gate between an address space's text and those who execute it: whoever changes the text closes it and waits until nobody is inside.
//!
//! The one idea: entering is frequent and closing is rare, so a thread that enters pays two plain stores and a load, and the one
//! who closes pays for the order with a membarrier. **Nobody is inside while the text changes**: a thread (1) says that it is inside and (2)
//! looks *after that* whether the gate is closed, and stays out if it is; the closer (a) closes and (b) looks *after that* who is inside.
//! Whom (b) does not find sees (a), and whom it finds it waits for.

use std::ptr;

use crate::sync::{
    atomic::{AtomicBool, AtomicPtr, Ordering},
    barrier,
};

/// Threads go in and out. Set by the closer, who is alone, when it is done.
const OPEN: bool = false;
/// Nobody may go in. Set by the closer, who holds a lock for that.
const CLOSED: bool = true;

/// The gate of one address space.
#[derive(Debug)]
pub(crate) struct Gate(AtomicBool);

/// Where one thread is: null when it is outside, else the address of what it is inside of. Set by the thread alone.
#[derive(Debug)]
pub(crate) struct Place(AtomicPtr<()>);

impl Default for Gate {
    fn default() -> Self {
        Self(AtomicBool::new(OPEN))
    }
}

impl Gate {
    /// Goes in to `space`, which this gate is of. While it is closed, `wait` is called with the thread outside; it should return when the
    /// closer is done.
    #[inline]
    pub(crate) fn enter(&self, place: &Place, space: *mut (), mut wait: impl FnMut()) {
        loop {
            place.0.store(space, Ordering::Relaxed);
            // Pairs with the one in `close`.
            barrier::light();
            // Acquires what the closer did.
            if self.0.load(Ordering::Acquire) == OPEN {
                return;
            }
            place.leave();
            wait();
        }
    }

    /// Keeps everybody out who is not in, until the result is dropped. The caller then waits for each other thread until it
    /// [is not inside](Place::is_inside). Callers exclude each other.
    pub(crate) fn close(&self) -> Closed<'_> {
        self.0.store(CLOSED, Ordering::Relaxed);
        barrier::heavy();
        Closed(self)
    }
}

/// While it lives, nobody goes in.
pub(crate) struct Closed<'a>(&'a Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.0.store(OPEN, Ordering::Release);
    }
}

impl Place {
    /// Outside.
    pub(crate) fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Goes out.
    #[inline]
    pub(crate) fn leave(&self) {
        // What was executed inside came before.
        self.0.store(ptr::null_mut(), Ordering::Release);
    }

    /// Whether the thread is inside of `space`, for who has [closed](Gate::close) its gate.
    pub(crate) fn is_inside(&self, space: *mut ()) -> bool {
        ptr::eq(self.0.load(Ordering::Acquire), space)
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::{
        cell::UnsafeCell,
        sync::{Arc, Mutex},
        thread,
    };

    use super::*;
    use crate::sync::model;

    /// An address space's text, whose every change and execution loom checks for overlap.
    struct Space {
        gate: Gate,
        places: [Place; 2],
        text: UnsafeCell<u32>,
        lock: Mutex<()>,
    }

    // SAFETY: loom checks every access to the text and panics at an overlap.
    unsafe impl Sync for Space {}
    // SAFETY: as above; the rest may move between threads anyway.
    unsafe impl Send for Space {}

    impl Space {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                gate: Gate::default(),
                places: [Place::new(), Place::new()],
                text: UnsafeCell::new(0),
                lock: Mutex::new(()),
            })
        }

        fn id(&self) -> *mut () {
            ptr::from_ref(self).cast_mut().cast()
        }

        fn execute(&self, thread: usize) -> u32 {
            let place = &self.places[thread];
            self.gate.enter(place, self.id(), || drop(self.lock.lock().unwrap()));
            // SAFETY: loom has checked that nobody writes.
            let seen = self.text.with(|text| unsafe { *text });
            place.leave();
            seen
        }

        fn change(&self, others: &[usize]) {
            let _alone = self.lock.lock().unwrap();
            let _closed = self.gate.close();
            for &other in others {
                while self.places[other].is_inside(self.id()) {
                    thread::yield_now();
                }
            }
            // SAFETY: loom has checked that nobody else has access.
            self.text.with_mut(|text| unsafe { *text += 1 });
        }
    }

    #[test]
    fn text_changes_only_while_nobody_executes_it() {
        model(|| {
            let space = Space::new();
            let other = space.clone();
            let executes = thread::spawn(move || {
                let first = other.execute(0);
                assert!(first <= other.execute(0));
            });
            space.change(&[0]);
            executes.join().unwrap();
            assert_eq!(space.execute(1), 1);
        });
    }

    #[test]
    fn two_threads_that_execute_and_change_the_text_wait_for_each_other() {
        model(|| {
            let space = Space::new();
            let other = space.clone();
            let thread = thread::spawn(move || {
                other.execute(0);
                other.change(&[1]);
            });
            space.execute(1);
            space.change(&[0]);
            thread.join().unwrap();
            assert_eq!(space.execute(1), 2);
        });
    }
}
