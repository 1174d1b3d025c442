//! Kicks: taking a guest out of user mode from another thread. The idea: the fast path (a guest entering and leaving)
//! pays two plain stores and a load; the kicker pays for the ordering with a `membarrier`, and only when the
//! context is not parked.

use std::sync::atomic::{AtomicI32, AtomicU8, Ordering, fence};

use super::signals;

/// The context waits for something and is on no worker; set by [`UserContext::suspend`](super::UserContext::suspend).
pub(super) const PARKED: i32 = -1;
/// The context is with a kernel thread, but not in the guest.
pub(super) const IN_KERNEL: i32 = 0;

/// Takes one context out of guest mode, from any thread. Shared by reference counting with the context.
///
/// A kick is never lost: if the context is in the guest, its `run` returns
/// [`Trap::Interrupted`](super::Trap::Interrupted); if it is not, its next `run` returns so at once.
/// Several kicks before that are one.
#[derive(Debug)]
pub struct Kicker {
    /// 1 from `kick` until `run` has reported it. The door's asm reads it on the way in.
    pending: AtomicU8,
    /// [`PARKED`], [`IN_KERNEL`], or the host tid of the thread that runs the guest.
    location: AtomicI32,
}

impl Kicker {
    pub(super) fn new() -> Self {
        Self { pending: AtomicU8::new(0), location: AtomicI32::new(PARKED) }
    }

    /// Asks the context to leave the guest. Costs no host call when it is suspended, and at most two when not.
    pub fn kick(&self) {
        self.pending.store(1, Ordering::Relaxed);
        // Pairs with the fence in `unpark`.
        fence(Ordering::SeqCst);
        if self.location.load(Ordering::Relaxed) == PARKED {
            return;
        }
        // The guest's side is "store location; load pending" without a fence: make every thread pass one.
        signals::heavy_barrier();
        let tid = self.location.load(Ordering::Relaxed);
        if tid > 0 {
            signals::send_kick(tid);
        }
    }

    /// Whether a kick has not been reported yet.
    pub fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed) != 0
    }

    pub(super) fn pending_flag(&self) -> *const AtomicU8 {
        &raw const self.pending
    }

    /// Takes the pending kick.
    pub(super) fn take(&self) -> bool {
        // What the kicker wrote before the kick is visible to whoever takes it.
        self.pending.swap(0, Ordering::AcqRel) != 0
    }

    pub(super) fn park(&self) {
        self.location.store(PARKED, Ordering::Release);
    }

    #[inline]
    pub(super) fn unpark(&self) {
        if self.location.load(Ordering::Relaxed) == PARKED {
            self.location.store(IN_KERNEL, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
    }

    #[inline]
    pub(super) fn set_location(&self, location: i32) {
        self.location.store(location, Ordering::Relaxed);
    }
}

/// Makes every thread of this process, guest code on other virtual CPUs included, pass a full memory barrier (membarrier(2), private expedited).
pub fn barrier_all() {
    super::signals::heavy_barrier();
}
