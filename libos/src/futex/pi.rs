//! Locks that the kernel hands over: the operations with priority inheritance.
//!
//! The one idea: the word holds the owner's number, so an unlock can make the longest waiter the owner before it wakes. There are no
//! priorities here to inherit; what remains of FUTEX_LOCK_PI is the hand-over, and its errors.

use std::sync::Arc;

use super::{
    FutexKey, FutexTable, Queued, Waiter,
    robust::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS},
};
use crate::{
    errno::{Errno, SysResult},
    memory::UserMemory,
};

/// What an attempt to lock came to.
pub enum Attempt<'table> {
    /// The caller is the owner.
    Locked,
    /// The caller is in line; once woken, it is the owner unless the owner before died.
    Queued(Queued<'table>),
}

/// Takes the lock at `word` for thread `tid`, or gets in line for it if `wait`.
///
/// `EDEADLK` when `tid` has it already, `EAGAIN` when somebody has it and `wait` is false, `ESRCH` when its owner, which `exists`
/// is asked about, is no thread.
pub fn lock<'table>(
    table: &'table FutexTable,
    memory: &UserMemory,
    (word, key): (u64, FutexKey),
    (tid, waiter): (u32, &'table Arc<Waiter>),
    wait: bool,
    exists: impl Fn(u32) -> bool,
) -> SysResult<Attempt<'table>> {
    let mut locked = false;
    let mut place = table.place(waiter);
    let joined = place.join_lock(key, tid, || {
        loop {
            let old = memory.with_faults(|space| space.load_u32(word))?;
            let owner = old & FUTEX_TID_MASK;
            if owner == tid {
                return Err(Errno::EDEADLK);
            }
            let new = if owner == 0 {
                old & (FUTEX_OWNER_DIED | FUTEX_WAITERS) | tid
            } else if !wait {
                return Err(Errno::EAGAIN);
            } else if !exists(owner) {
                return Err(Errno::ESRCH);
            } else {
                old | FUTEX_WAITERS
            };
            if memory.with_faults(|space| space.compare_exchange_u32(word, old, new))?.is_ok() {
                locked = owner == 0;
                // An error keeps it out of the queue; it is not told to anybody.
                return if locked { Err(Errno::EALREADY) } else { Ok(()) };
            }
        }
    });
    match joined {
        Err(_) if locked => Ok(Attempt::Locked),
        Err(error) => Err(error),
        Ok(()) => Ok(Attempt::Queued(place)),
    }
}

/// Gives the lock at `word` up, to whoever waits longest. `EPERM` when thread `tid` does not have it.
pub fn unlock(
    table: &FutexTable,
    memory: &UserMemory,
    (word, key): (u64, FutexKey),
    tid: u32,
) -> SysResult<()> {
    table.hand_over(key, |next| {
        loop {
            let old = memory.with_faults(|space| space.load_u32(word))?;
            if old & FUTEX_TID_MASK != tid {
                return Err(Errno::EPERM);
            }
            let new = next.map_or(0, |next| next | FUTEX_WAITERS);
            if memory.with_faults(|space| space.compare_exchange_u32(word, old, new))?.is_ok() {
                return Ok(());
            }
        }
    })
}

/// Hands the lock at `word`, whose owner died, to the longest waiter, who learns of the death from the word.
pub(super) fn bequeath(
    table: &FutexTable,
    memory: &UserMemory,
    (word, key): (u64, FutexKey),
) -> SysResult<()> {
    table.hand_over(key, |next| {
        let Some(next) = next else { return Ok(()) };
        let update = |old: u32| match old & FUTEX_TID_MASK {
            0 => next | FUTEX_WAITERS | old & FUTEX_OWNER_DIED,
            _ => old,
        };
        memory.with_faults(|space| space.fetch_update_u32(word, update)).map(drop)
    })
}
