//! What a slot says of itself: nothing, or for which index it was filled or given up last.

use crate::sync::{AtomicU32, Ordering};

/// What stands beside the entry in a slot.
pub trait Stamp: Send + Sync + Sized {
    /// Of a slot that was never filled.
    #[cfg(loom)]
    fn zeroed() -> Self;
}

/// Nothing: the sender's index says it for all.
#[derive(Debug)]
pub struct NoStamp;

impl Stamp for NoStamp {
    #[cfg(loom)]
    fn zeroed() -> Self {
        NoStamp
    }
}

/// One more than the index that the slot was filled for, so that a new ring's zeros are nobody's; with the highest bit flipped
/// if it was given up instead. (A slot's next index is at most 2³⁰ further on, so that is no other index's stamp.)
#[derive(Debug)]
#[repr(transparent)]
pub struct Lap(AtomicU32);

impl Stamp for Lap {
    #[cfg(loom)]
    fn zeroed() -> Self {
        Lap(AtomicU32::new(0))
    }
}

/// In a [`Lap`].
const GIVEN_UP: u32 = 1 << 31;

impl Lap {
    /// The entry for `index` is there. By the one sender who has claimed it.
    #[inline]
    pub(crate) fn fill(&self, index: u32) {
        self.0.store(index.wrapping_add(1), Ordering::Release);
    }

    /// There will be no entry for `index`. By the one sender who has claimed it.
    #[inline]
    pub(crate) fn give_up(&self, index: u32) {
        self.0.store(index.wrapping_add(1) ^ GIVEN_UP, Ordering::Release);
    }

    /// Whether there will be no entry for `index`.
    #[inline]
    pub(crate) fn is_given_up(&self, index: u32) -> bool {
        self.0.load(Ordering::Acquire) == index.wrapping_add(1) ^ GIVEN_UP
    }

    /// Whether the entry for `index` is there, and may be read then.
    #[inline]
    pub(crate) fn is_filled(&self, index: u32) -> bool {
        self.0.load(Ordering::Acquire) == index.wrapping_add(1)
    }
}
