//! Robust futexes: what happens to the locks that a thread holds when it dies, set_robust_list(2).
//!
//! The one idea: the list is in the guest's memory and the guest's word, so the walk is bounded, every read may fail, and failing just ends it.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{FutexTable, table::MATCH_ANY};
use crate::{errno::SysResult, memory::UserMemory, syscall::argument::UserPtr};

/// Who holds the lock.
pub const FUTEX_TID_MASK: u32 = 0x3fff_ffff;
/// The holder died.
pub const FUTEX_OWNER_DIED: u32 = 0x4000_0000;
/// Somebody waits.
pub const FUTEX_WAITERS: u32 = 0x8000_0000;

/// More locks than this are not looked at: the list may be a loop.
const LIMIT: usize = 2048;

/// `struct robust_list_head`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct RobustListHead {
    /// The first entry; the last one points back to the head.
    next: u64,
    /// From an entry to its futex word.
    futex_offset: i64,
    /// A lock that is being taken or released just now, on the list or not.
    pending: u64,
}

/// Bit 0 of a pointer in the list: the futex is one with priority inheritance.
const PI: u64 = 1;

/// Walks the list at `head` of thread `tid`, marks the locks it holds and wakes one waiter of each.
pub(super) fn release_all(table: &FutexTable, memory: &UserMemory, head: u64, tid: u32) {
    let head = UserPtr::<RobustListHead>::new(head);
    let Ok(list) = head.read(memory) else { return };
    let word_of = |entry: u64| (entry & !PI).wrapping_add_signed(list.futex_offset);
    let mut entry = list.next;
    for _ in 0..LIMIT {
        if entry & !PI == head.addr() {
            break;
        }
        // Read before the word is changed: whoever takes the lock then may free the entry.
        let next = UserPtr::<u64>::new(entry & !PI).read(memory);
        if entry & !PI != list.pending & !PI
            && release(table, memory, word_of(entry), entry & PI != 0, tid, false).is_err()
        {
            return;
        }
        match next {
            Ok(next) => entry = next,
            Err(_) => return,
        }
    }
    if list.pending & !PI != 0 {
        let pi = list.pending & PI != 0;
        let _ = release(table, memory, word_of(list.pending), pi, tid, true);
    }
}

/// Marks one lock if `tid` holds it, and wakes one of its waiters.
fn release(
    table: &FutexTable,
    memory: &UserMemory,
    address: u64,
    pi: bool,
    tid: u32,
    pending: bool,
) -> SysResult<()> {
    if !address.is_multiple_of(4) {
        return Err(crate::errno::Errno::EINVAL);
    }
    let wake = || -> SysResult<()> {
        // The lock may be shared with another process or not; a waiter knows, we do not.
        for shared in [false, true] {
            let key = super::key_of(memory, address, shared)?;
            if pi {
                super::pi::bequeath(table, memory, (address, key))?;
            } else {
                table.wake(key, 1, MATCH_ANY);
            }
        }
        Ok(())
    };
    let word = memory.with_faults(|space| space.load_u32(address))?;
    if pending && !pi && word == 0 {
        // It died between releasing the lock and waking the next one.
        return wake();
    }
    if word & FUTEX_TID_MASK != tid {
        return Ok(());
    }
    let old = memory.with_faults(|space| {
        space.fetch_update_u32(address, |word| {
            if word & FUTEX_TID_MASK == tid {
                word & FUTEX_WAITERS | FUTEX_OWNER_DIED
            } else {
                word
            }
        })
    })?;
    if old & FUTEX_TID_MASK == tid && old & FUTEX_WAITERS != 0 { wake() } else { Ok(()) }
}
