//! A pair of fences of unequal cost: the frequent side pays nothing, the rare one for both.
//!
//! Two threads that each store one thing and then load the other's want a full fence in between, or both may miss the other's store.
//! Here one side passes [`light`], which only keeps the compiler from reordering, and the other [`heavy`], a membarrier(2) that makes every
//! thread of the process pass a full fence at some point while it lasts: before that point the one side's store is seen, after it
//! its load sees. To loom they are read-modify-writes of one word, of which the later sees what came before the earlier; not fences, because
//! a light one makes no pair with anybody's fence.

#[cfg(not(loom))]
pub(crate) use crate::context::{has_heavy_barrier as is_there, heavy_barrier as heavy};

/// The side that is passed often.
#[cfg(not(loom))]
#[inline]
pub(crate) fn light() {
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
}

#[cfg(loom)]
pub(crate) use pair as heavy;
#[cfg(loom)]
pub(crate) use pair as light;

#[cfg(loom)]
loom::lazy_static! {
    static ref WORD: loom::sync::atomic::AtomicU32 = loom::sync::atomic::AtomicU32::new(0);
}

/// Either side.
#[cfg(loom)]
pub(crate) fn pair() {
    WORD.fetch_add(1, loom::sync::atomic::Ordering::AcqRel);
}
