//! The host's futex on a bell's word, or loom's idea of one.
//!
//! What the host promises, and all that is relied on: whether the word still has the value is checked under the lock
//! that a wake takes, so a wake after a change of the word is never missed; and a wait may end for no reason. The word
//! may be in memory that several processes map, so the futex is a shared one.

#[cfg(not(loom))]
pub(super) use host::{wait, wake};
#[cfg(loom)]
pub(super) use model::{wait, wake};

#[cfg(not(loom))]
mod host {
    use core::ptr;
    use std::time::{Duration, Instant};

    use crate::sync::AtomicU32;

    /// Sleeps while the word is `expected`: until a [`wake`], or `deadline`, or for no reason.
    pub(crate) fn wait(word: &AtomicU32, expected: u32, deadline: Option<Instant>) {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return;
        }
        let timeout = left.map(|left| libc::timespec {
            tv_sec: libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(left.subsec_nanos() as i32),
        });
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the word is a live, aligned u32 for the whole call, and the timeout is null or points to a timespec on
        // this frame. Every error (EAGAIN, EINTR, ETIMEDOUT) means "look again".
        unsafe {
            libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, timeout)
        };
    }

    /// Wakes one that sleeps on the word.
    pub(crate) fn wake(word: &AtomicU32) {
        // SAFETY: the word is live; FUTEX_WAKE does not touch memory.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
    }
}

#[cfg(loom)]
mod model {
    use std::time::Instant;

    use loom::sync::{Mutex, Notify};

    use crate::sync::{AtomicU32, Ordering};

    // One for all words: a model has one that somebody sleeps on.
    loom::lazy_static! {
        static ref SLEEPERS: (Mutex<u32>, Notify) = (Mutex::new(0), Notify::new());
    }

    /// A deadline is no help to a protocol, so in models there is none.
    pub(crate) fn wait(word: &AtomicU32, expected: u32, _: Option<Instant>) {
        let mut sleepers = SLEEPERS.0.lock().expect("no panic");
        if word.load(Ordering::Relaxed) == expected {
            *sleepers += 1;
            drop(sleepers);
            SLEEPERS.1.wait();
        }
    }

    pub(crate) fn wake(_: &AtomicU32) {
        let mut sleepers = SLEEPERS.0.lock().expect("no panic");
        if *sleepers > 0 {
            *sleepers -= 1;
            SLEEPERS.1.notify();
        }
    }
}
