//! The need-wakeup flag: who sleeps says so, and who has news looks.
//!
//! The one idea is Dekker's: the sleeper writes the flag and then looks for news, the other writes the
//! news and then looks at the flag, and between its two each has a full fence. So at least one of them
//! sees what the other wrote, and no wake-up is lost; and while nobody sleeps, news cost one fence and
//! one load of a line that nobody writes.
//!
//! ```text
//!        sleeper: arm            sleeper: looks, finds nothing
//!    0 ───────────────► how ─────────────────────────────────► asleep
//!    ▲                   │ │                                     │
//!    │   disarm (news    │ │  answer: swap 0, then wake it       │ answer: the same
//!    ├───────────────────┘ │                                     │
//!    └─────────────────────┴─────────────────────────────────────┘
//! ```
//!
//! The flag is in memory that a peer writes. Nonsense there can wake a sleeper for nothing or leave it
//! asleep, as a peer that never rings can; what it waits for it looks up itself, and a deadline or the
//! news of the peer's death ends its sleep.

use core::{fmt, ops::Deref, ptr::NonNull};

use crate::sync::{AtomicU32, Ordering, full_fence};

/// How a sleeper is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum How {
    /// By a futex wake on the flag itself.
    Futex = 1,
    /// By a write to the eventfd that the sleeper has given to the other side.
    EventFd = 2,
}

/// The flag of one sleeper. Zeroed memory is a bell that nobody listens to.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Bell(AtomicU32);

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}

impl Bell {
    /// A bell that nobody listens to.
    pub fn new() -> Self {
        Bell(AtomicU32::new(0))
    }

    /// Says that the caller is about to sleep. It must look for news after this, and sleep only if there
    /// is none. Who [answers](Self::answer) it sees what the caller did before.
    pub fn arm(&self, how: How) {
        #[cfg(not(loom))]
        self.0.store(how as u32, Ordering::Release);
        // Loom does not know that a store follows the answer before it.
        #[cfg(loom)]
        self.0.swap(how as u32, Ordering::Release);
        full_fence();
    }

    /// Says that the caller is awake. Whether somebody has answered in between, whose news the caller sees then.
    pub fn disarm(&self) -> bool {
        // Who was woken has been answered, mostly, and saves the locked instruction.
        self.0.load(Ordering::Acquire) == 0 || self.0.swap(0, Ordering::Acquire) == 0
    }

    /// Whether the sleeper has not been answered yet. Who sees that it has not, and finds no news *after* this, need not [arm](Self::arm) it
    /// again: whoever has some sees it, too.
    pub fn is_armed(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }

    /// For who has published news: how the sleeper has to be woken, if there is one. Each sleep is
    /// answered once. Call it once for a batch of news.
    #[inline]
    pub fn answer(&self) -> Option<How> {
        full_fence();
        if self.0.load(Ordering::Relaxed) == 0 { None } else { self.take() }
    }

    #[cold]
    fn take(&self) -> Option<How> {
        // Acquire, for what the sleeper did before; the fence has put the news before it already.
        match self.0.swap(0, Ordering::Acquire) {
            0 => None,
            2 => Some(How::EventFd),
            // Whatever else it says: to wake a futex in vain is harmless.
            _ => Some(How::Futex),
        }
    }

    /// The word that a futex sleeps on.
    #[cfg(feature = "std")]
    pub(super) fn word(&self) -> &AtomicU32 {
        &self.0
    }
}

/// A bell in memory that `keeper` keeps: in a region that a peer maps as well, for instance.
pub struct SharedBell<K> {
    at: NonNull<Bell>,
    keeper: K,
}

// SAFETY: a bell is an atomic word, which any thread may use, and its keeper goes where it goes.
unsafe impl<K: Send> Send for SharedBell<K> {}
// SAFETY: the same.
unsafe impl<K: Sync> Sync for SharedBell<K> {}

impl<K> SharedBell<K> {
    /// The bell at `at`, for whose life `keeper` cares. Zeroed memory is a bell.
    ///
    /// # Safety
    ///
    /// There must be `size_of::<Bell>()` initialised bytes at `at`, aligned for a [`Bell`], valid for reads and writes until
    /// `keeper` is gone. While it is there, nothing in this process may access them but by atomic operations. (What
    /// other processes do with them does not matter.)
    pub unsafe fn new(at: NonNull<u8>, keeper: K) -> Self {
        SharedBell { at: at.cast(), keeper }
    }

    /// What keeps the memory.
    pub fn keeper(&self) -> &K {
        &self.keeper
    }
}

impl<K> Deref for SharedBell<K> {
    type Target = Bell;

    #[inline]
    fn deref(&self) -> &Bell {
        // SAFETY: by the constructor's contract it is there while the keeper lives, which is in `self`; it is an atomic
        // word, to which any bytes are valid and which others may write.
        unsafe { self.at.as_ref() }
    }
}

impl<K: Clone> Clone for SharedBell<K> {
    fn clone(&self) -> Self {
        SharedBell { at: self.at, keeper: self.keeper.clone() }
    }
}

impl<K> fmt::Debug for SharedBell<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedBell").field(&**self).finish()
    }
}

#[cfg(all(test, loom))]
mod models;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_answered_once() {
        let bell = Bell::new();
        assert_eq!(bell.answer(), None);
        bell.arm(How::EventFd);
        assert!(bell.is_armed());
        assert_eq!((bell.answer(), bell.answer()), (Some(How::EventFd), None));
        assert!(bell.disarm());
        bell.arm(How::Futex);
        assert!(!bell.disarm());
        assert_eq!(bell.answer(), None);
    }

    #[test]
    fn nonsense_in_the_flag_is_a_wake_up() {
        let bell = Bell::new();
        bell.0.store(77, Ordering::Relaxed);
        assert_eq!(bell.answer(), Some(How::Futex));
    }
}
