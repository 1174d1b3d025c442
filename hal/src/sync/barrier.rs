//! A pair of fences of unequal cost: the frequent side pays nothing, the rare one for both.
//!
//! Two threads that each store one thing and then load the other's want a full fence in between, or both may miss the other's store.
//! Here one side passes [`light`], which only keeps the compiler from reordering, and the other [`heavy`], a membarrier(2) that makes every
//! thread of the process pass a full fence at some point while it lasts: before that point the one side's store is seen, after it
//! its load sees. To loom both are full fences, which is what the pair amounts to.

#[cfg(not(loom))]
pub(crate) use crate::context::{has_heavy_barrier as is_there, heavy_barrier as heavy};

/// The side that is passed often.
#[inline]
pub(crate) fn light() {
    #[cfg(not(loom))]
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
    #[cfg(loom)]
    loom::sync::atomic::fence(loom::sync::atomic::Ordering::SeqCst);
}

/// The side that is passed rarely.
#[cfg(loom)]
pub(crate) fn heavy() {
    loom::sync::atomic::fence(loom::sync::atomic::Ordering::SeqCst);
}
