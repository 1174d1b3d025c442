//! How a worker sleeps: a futex word that is touched only when somebody sleeps.
//!
//! **No wake-up is lost.** A worker that finds nothing to do (1) marks itself asleep, (2) looks
//! *once more* at its inbox, under the inbox's lock, and (3) only then waits on the word. Whoever has work for it (a)
//! puts the work in the inbox, under the same lock, and (b) looks at the word after. If (a)'s critical
//! section comes before (2)'s, the worker sees the work. If it comes after, the lock orders (1) before (b),
//! so the waker sees the mark, takes it back and wakes the futex; and the futex itself does not sleep when
//! the word has changed between (3)'s decision and the host's check.

use std::{
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

/// The owner runs, or has been told to.
const AWAKE: u32 = 0;
/// The owner sleeps or is about to: set by the owner alone, taken back by anybody.
const ASLEEP: u32 = 1;

/// One sleeper's futex word.
#[derive(Debug)]
pub(super) struct Parker {
    state: AtomicU32,
}

impl Parker {
    pub(super) const fn new() -> Self {
        Self { state: AtomicU32::new(AWAKE) }
    }

    /// Step 1: marks the owner as asleep. It must now check for work before [`Parker::sleep`].
    pub(super) fn prepare(&self) {
        self.state.store(ASLEEP, Ordering::SeqCst);
    }

    /// Ends what [`Parker::prepare`] began, however it ended.
    pub(super) fn cancel(&self) {
        self.state.store(AWAKE, Ordering::Relaxed);
    }

    /// Whether the owner sleeps, or is about to.
    pub(super) fn is_asleep(&self) -> bool {
        self.state.load(Ordering::SeqCst) == ASLEEP
    }

    /// Step 3: sleeps until [`Parker::wake`], or `deadline` (ns of the monotonic clock), or for no reason.
    pub(super) fn sleep(&self, deadline: Option<u64>) {
        let timeout = deadline.map(|ns| libc::timespec {
            tv_sec: (ns / 1_000_000_000).min(i64::MAX as u64) as libc::time_t,
            tv_nsec: (ns % 1_000_000_000) as libc::c_long,
        });
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the word is a live, aligned u32 for the whole call, and the timeout is null or
        // points to a timespec on this frame. Errors (EAGAIN, EINTR, ETIMEDOUT) all mean "look again".
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.state.as_ptr(),
                libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG,
                ASLEEP,
                timeout,
                ptr::null::<u32>(),
                libc::FUTEX_BITSET_MATCH_ANY,
            );
        }
    }

    /// Wakes the owner if it sleeps; says whether it did. Costs one load when it does not.
    pub(super) fn wake(&self) -> bool {
        if !self.is_asleep() || self.state.swap(AWAKE, Ordering::AcqRel) != ASLEEP {
            return false;
        }
        // SAFETY: the word is live; FUTEX_WAKE does not touch memory.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.state.as_ptr(),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                1,
            );
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;
    use crate::time;

    #[test]
    fn sleep_ends_at_its_deadline() {
        let parker = Parker::new();
        let deadline = time::monotonic() + 5_000_000;
        parker.prepare();
        while time::monotonic() < deadline {
            parker.sleep(Some(deadline));
        }
        assert!(parker.is_asleep());
        parker.cancel();
        assert!(!parker.wake());
    }

    #[test]
    fn wake_ends_a_sleep_without_deadline() {
        let parker = Arc::new(Parker::new());
        parker.prepare();
        let other = parker.clone();
        let waker = thread::spawn(move || assert!(other.wake()));
        while parker.is_asleep() {
            parker.sleep(None);
        }
        waker.join().unwrap();
    }
}
