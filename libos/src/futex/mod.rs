//! Futexes: waiting for a word of guest memory to change, futex(2).
//!
//! The one idea: the kernel keeps nothing about a futex but the queue of those who wait on it, found by a hash of what the word
//! *is* (a place in an address space, or in a memory object that several share). Looking at the word and joining the queue happen under the
//! lock of one bucket, so a wake between the two is impossible.

pub mod key;
pub mod pi;
pub mod robust;
pub mod table;
pub mod wake_op;

use std::sync::atomic::Ordering;

use hal::aspace::Access;

pub use self::{
    key::FutexKey,
    table::{FutexTable, Queued, Waiter},
    wake_op::WakeOp,
};
use crate::{
    errno::{Errno, SysResult},
    memory::UserMemory,
    process::Thread,
};

/// What the word at `address` is: a place in this memory, or the page behind it if `shared` with other processes.
///
/// `EINVAL` when it is not aligned; `EFAULT`, for a shared one only, when nothing is mapped there.
#[inline(always)]
pub fn key_of(memory: &UserMemory, address: u64, shared: bool) -> SysResult<FutexKey> {
    if !address.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    if shared {
        return shared_key_of(memory, address);
    }
    if address >= hal::pmem::GUEST_END {
        return Err(Errno::EFAULT);
    }
    // No two memories that have waiters are at one place in the kernel.
    Ok(FutexKey::private(std::ptr::from_ref(memory).addr() as u64, address))
}

fn shared_key_of(memory: &UserMemory, address: u64) -> SysResult<FutexKey> {
    let place = memory.with_faults(|space| space.translate(address, Access::Read))?;
    Ok(FutexKey::shared(0, place.0))
}

/// Wakes one waiter of the word at `address`, which may be shared or private.
pub(crate) fn wake_one(thread: &Thread, address: u64) {
    for shared in [false, true] {
        if let Ok(key) = key_of(&thread.memory, address, shared) {
            thread.process.kernel.futexes.wake(key, 1, table::MATCH_ANY);
        }
    }
}

/// Gives up the robust locks of a thread that ends.
pub(crate) fn exit_robust_list(thread: &Thread) {
    let head = thread.robust_list.swap(0, Ordering::Relaxed);
    if head != 0 {
        let table = &thread.process.kernel.futexes;
        robust::release_all(table, &thread.memory, head, thread.own_tid as u32);
    }
}
