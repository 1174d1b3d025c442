//! A word that threads sleep on: the host's futex, or loom's idea of one.
//!
//! What the host promises, and all that may be relied on: whether the word still has the expected value is checked under the same lock
//! that a wake takes, so a wake after a change of the word is never missed; and a wait may end for no reason.

#[cfg(not(loom))]
use std::ptr;

use super::atomic::AtomicU32;

/// An atomic word and those who sleep on it.
#[derive(Debug)]
pub(crate) struct FutexWord {
    word: AtomicU32,
    /// Those who sleep, under the lock that the host has for that.
    #[cfg(loom)]
    sleepers: (loom::sync::Mutex<()>, loom::sync::Condvar),
}

impl FutexWord {
    #[cfg(not(loom))]
    pub(crate) const fn new(value: u32) -> Self {
        Self { word: AtomicU32::new(value) }
    }

    #[cfg(loom)]
    pub(crate) fn new(value: u32) -> Self {
        let sleepers = (loom::sync::Mutex::new(()), loom::sync::Condvar::new());
        Self { word: AtomicU32::new(value), sleepers }
    }

    /// The word itself.
    #[inline]
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.word
    }

    /// Sleeps while the word is `expected`: until a [`wake`](Self::wake), or `deadline` (ns of the host's monotonic clock), or for no reason.
    #[cfg(not(loom))]
    pub(crate) fn wait(&self, expected: u32, deadline: Option<u64>) {
        self.wait_with(libc::FUTEX_PRIVATE_FLAG, expected, deadline);
    }

    /// As [`wait`](Self::wait), of a word in memory that other processes have as well.
    #[cfg(not(loom))]
    pub(crate) fn wait_shared(&self, expected: u32, deadline: Option<u64>) {
        self.wait_with(0, expected, deadline);
    }

    #[cfg(loom)]
    pub(crate) fn wait_shared(&self, expected: u32, deadline: Option<u64>) {
        self.wait(expected, deadline);
    }

    #[cfg(not(loom))]
    fn wait_with(&self, scope: i32, expected: u32, deadline: Option<u64>) {
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
                self.word.as_ptr(),
                libc::FUTEX_WAIT_BITSET | scope,
                expected,
                timeout,
                ptr::null::<u32>(),
                libc::FUTEX_BITSET_MATCH_ANY,
            );
        }
    }

    /// A deadline is no help to a protocol, so in models there is none.
    #[cfg(loom)]
    pub(crate) fn wait(&self, expected: u32, _: Option<u64>) {
        let lock = self.sleepers.0.lock().unwrap();
        if self.word.load(super::atomic::Ordering::Relaxed) == expected {
            drop(self.sleepers.1.wait(lock).unwrap());
        }
    }

    /// Wakes one sleeper. Async-signal-safe, and touches no thread-local variable.
    #[cfg(not(loom))]
    pub(crate) fn wake(&self) {
        self.wake_with(libc::FUTEX_PRIVATE_FLAG);
    }

    /// As [`wake`](Self::wake), of a sleeper in [`wait_shared`](Self::wait_shared).
    #[cfg(not(loom))]
    pub(crate) fn wake_shared(&self) {
        self.wake_with(0);
    }

    #[cfg(loom)]
    pub(crate) fn wake_shared(&self) {
        self.wake();
    }

    #[cfg(not(loom))]
    fn wake_with(&self, scope: i32) {
        let operation = (libc::FUTEX_WAKE | scope) as usize;
        // SAFETY: the word is live; FUTEX_WAKE does not touch memory.
        unsafe {
            crate::raw_call::syscall4(libc::SYS_futex, self.word.as_ptr() as usize, operation, 1, 0)
        };
    }

    /// Whether somebody is in [`wait_shared`](Self::wait_shared).
    #[cfg(not(loom))]
    pub(crate) fn is_waited_for(&self) -> bool {
        let word = self.word.as_ptr() as usize;
        // Moves a sleeper from the word to itself, and tells how many those were.
        // SAFETY: the word is live; FUTEX_REQUEUE does not touch memory.
        let moved = unsafe {
            libc::syscall(libc::SYS_futex, word, libc::FUTEX_REQUEUE, 0_usize, 1_usize, word, 0)
        };
        moved > 0
    }

    #[cfg(loom)]
    pub(crate) fn wake(&self) {
        let _lock = self.sleepers.0.lock().unwrap();
        self.sleepers.1.notify_one();
    }
}
