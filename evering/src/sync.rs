//! The atomics in use: the machine's, or loom's when its models run.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// A sequentially consistent fence.
#[inline]
pub(crate) fn full_fence() {
    // A locked instruction orders as much of normal memory as `mfence` does, which is what the compiler
    // takes, in a third of the time. It is written as assembly since to the language only a fence is a fence.
    #[cfg(all(not(loom), target_arch = "x86_64", not(miri)))]
    // SAFETY: the word on the stack is written with what it holds; the block may be taken for a fence since it is
    // not said to leave memory alone.
    unsafe {
        core::arch::asm!("lock or dword ptr [rsp], 0")
    };
    #[cfg(all(not(loom), any(not(target_arch = "x86_64"), miri)))]
    fence(Ordering::SeqCst);
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}
