//! Kicks: taking a guest out of user mode from another thread. The idea: the fast path (a guest entering and leaving)
//! pays two plain stores and a load; the kicker pays for the ordering with a `membarrier`, and only when the
//! context is not parked.
//!
//! **No kick is lost.** The owner (1) says where it is and (2) looks for a kick *after that*; the kicker (a) leaves the kick and (b) looks
//! *after that* where the owner is. Either the owner finds the kick on its way in, or the kicker finds the owner's thread and
//! sends it the host's signal, whose handler finds the kick. What a kick was for is visible to whoever takes it.

use crate::sync::{
    atomic::{AtomicI32, AtomicU8, Ordering, fence},
    barrier,
};

/// No kick. Set by the owner when it reports one, and at the start.
const NONE: u8 = 0;
/// A kick that has not been reported. Set by anybody.
const PENDING: u8 = 1;

/// The context waits for something and is on no worker. Set by the owner, by
/// `UserContext::suspend`; so it is at the start.
const PARKED: i32 = -1;
/// The context is with a kernel thread, but not in the guest. Set by the owner: when it is about to run after it was
/// parked, and when it has left the guest.
const IN_KERNEL: i32 = 0;
// Any other location is the host tid of the thread that is in the guest or on its way in or out. Set by the owner before it enters.

/// Takes one context out of guest mode, from any thread. Shared by reference counting with the context.
///
/// A kick is never lost: if the context is in the guest, its `run` returns
/// `Trap::Interrupted`; if it is not, its next `run` returns so at once.
/// Several kicks before that are one.
#[derive(Debug)]
pub struct Kicker {
    /// [`NONE`] or [`PENDING`]. The door's asm reads it on the way in.
    pending: AtomicU8,
    /// [`PARKED`], [`IN_KERNEL`], or a host tid.
    location: AtomicI32,
}

impl Kicker {
    pub(crate) fn new() -> Self {
        Self { pending: AtomicU8::new(NONE), location: AtomicI32::new(PARKED) }
    }

    /// Asks the context to leave the guest. Costs no host call when it is suspended, and at most two when not.
    #[cfg(not(loom))]
    pub fn kick(&self) {
        self.kick_by(super::signals::send_kick);
    }

    /// As `kick`, with the host's signal as an argument: it must reach the thread's handler however late it comes.
    pub(crate) fn kick_by(&self, send: impl FnOnce(i32)) {
        // Released for the one who takes it; a plain store would cut it off from the kicks before, which it merges with.
        self.pending.swap(PENDING, Ordering::Release);
        // Pairs with the fence in `unpark`.
        fence(Ordering::SeqCst);
        if self.location.load(Ordering::Relaxed) == PARKED {
            return;
        }
        // Pairs with the barrier in `enter`.
        barrier::heavy();
        let tid = self.location.load(Ordering::Relaxed);
        if tid > 0 {
            send(tid);
        }
    }

    /// Whether a kick has not been reported yet.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed) == PENDING
    }

    #[cfg(not(loom))]
    pub(super) fn pending_flag(&self) -> *const AtomicU8 {
        &raw const self.pending
    }

    /// Takes the pending kick.
    pub(crate) fn take(&self) -> bool {
        // What the kicker wrote before the kick is visible to whoever takes it.
        self.pending.swap(NONE, Ordering::Acquire) == PENDING
    }

    /// The owner waits from now on.
    pub(crate) fn park(&self) {
        self.location.store(PARKED, Ordering::Relaxed);
    }

    /// The owner runs on thread `tid` from now on and is about to enter the guest. To be followed by a look for a kick.
    #[inline]
    pub(crate) fn enter(&self, tid: i32) {
        if self.location.load(Ordering::Relaxed) == PARKED {
            self.location.store(IN_KERNEL, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
        self.location.store(tid, Ordering::Relaxed);
        barrier::light();
    }

    /// The owner has left the guest.
    #[inline]
    pub(crate) fn leave(&self) {
        self.location.store(IN_KERNEL, Ordering::Relaxed);
    }
}

/// Makes every thread of this process, guest code on other virtual CPUs included, pass a full memory barrier (membarrier(2), private expedited).
#[cfg(not(loom))]
pub fn barrier_all() {
    barrier::heavy();
}

/// Makes every thread of the machine pass a full memory barrier, those of isolated guests included (membarrier(2), global). Takes milliseconds;
/// false on a host that has set CPUs apart and so cannot (`nohz_full`).
#[cfg(not(loom))]
#[must_use]
pub fn barrier_everywhere() -> bool {
    super::signals::global_barrier()
}

#[cfg(all(test, loom))]
mod models {
    use loom::{
        sync::{Arc, Notify},
        thread,
    };

    use super::*;
    use crate::sync::{atomic::AtomicU32, model, model_within};

    const TID: i32 = 7;

    /// A context, its thread's signal, and what the kick is for.
    struct Guest {
        kicker: Kicker,
        signal: Notify,
        news: [AtomicU32; 2],
    }

    impl Guest {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                kicker: Kicker::new(),
                signal: Notify::new(),
                news: [0, 1].map(|_| AtomicU32::new(0)),
            })
        }

        fn kick(&self, number: usize) {
            self.news[number].store(1, Ordering::Relaxed);
            self.kicker.kick_by(|tid| {
                assert_eq!(tid, TID);
                self.signal.notify();
            });
        }

        fn has_heard(&self, number: usize) -> bool {
            self.news[number].load(Ordering::Relaxed) == 1
        }

        /// Enters and leaves by a system call, unless a kick is found on the way in. Whether one was.
        fn call(&self) -> bool {
            self.kicker.enter(TID);
            let kicked = self.kicker.is_pending();
            self.kicker.leave();
            kicked && self.kicker.take()
        }

        /// Enters a guest that never leaves by itself. A signal that came for an earlier stay finds nothing to do.
        fn spin(&self) {
            self.kicker.enter(TID);
            while !self.kicker.is_pending() {
                self.signal.wait();
            }
            self.kicker.leave();
            assert!(self.kicker.take());
        }
    }

    #[test]
    fn a_kick_meets_the_guest_wherever_it_is() {
        model(|| {
            let guest = Guest::new();
            let other = guest.clone();
            let kicks = thread::spawn(move || other.kick(0));
            if !guest.call() {
                guest.kicker.park();
                guest.spin();
            }
            assert!(guest.has_heard(0));
            kicks.join().unwrap();
        });
    }

    #[test]
    fn a_kick_meets_a_guest_that_never_parks() {
        model(|| {
            let guest = Guest::new();
            assert!(!guest.call());
            let other = guest.clone();
            let kicks = thread::spawn(move || other.kick(0));
            if !guest.call() {
                guest.spin();
            }
            assert!(guest.has_heard(0));
            kicks.join().unwrap();
        });
    }

    #[test]
    fn each_of_two_kicks_is_reported_with_its_news() {
        model_within(2, || {
            let guest = Guest::new();
            let threads = [0, 1].map(|number| {
                let other = guest.clone();
                thread::spawn(move || other.kick(number))
            });
            while !(guest.has_heard(0) && guest.has_heard(1)) {
                guest.spin();
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}
