//! Locking memory: mlock(2) and its family.
//!
//! The one idea: who may lock how much is checked as Linux does; that a page stays where it is needs nobody's help here, see
//! [`crate::memory`].

use std::ops::Range;

use hal::{aspace::Prot, pmem::PAGE_SIZE};
use linux_raw_sys::general as raw;

use super::memory::{pages, populate};
use crate::{
    errno::{Errno, SysResult},
    memory::Presence,
    process::{Resource, Thread},
    syscall::argument::{Flags, UserAddr},
    vfs::Capabilities,
};

/// How many bytes the caller may have locked; `EPERM` when none.
fn limit(thread: &Thread) -> SysResult<u64> {
    if thread.fs.read().cred.has(Capabilities::IPC_LOCK) {
        return Ok(u64::MAX);
    }
    match thread.process.limit(Resource::LockedMemory) {
        0 => Err(Errno::EPERM),
        limit => Ok(limit),
    }
}

/// `EAGAIN` when `more` bytes of locked memory would be too many.
pub(super) fn check_more(thread: &Thread, more: u64) -> SysResult<()> {
    let limit = limit(thread).unwrap_or(0);
    let all = thread.memory.locked_bytes().saturating_add(more);
    if all <= limit { Ok(()) } else { Err(Errno::EAGAIN) }
}

/// Whether `len` bytes may be mapped, which are locked if `locked` or if all that is new is: `EPERM`, `EAGAIN`.
pub(super) fn check_new(thread: &Thread, len: u64, locked: bool) -> SysResult<()> {
    if locked {
        limit(thread)?;
    }
    let counts = locked || thread.memory.locks_new().is_some();
    if counts { check_more(thread, len) } else { Ok(()) }
}

/// The pages that mlock(2) is about; `EINVAL`. Linux rounds a length that is too large to nothing.
fn range(addr: UserAddr, len: u64) -> SysResult<Range<u64>> {
    let start = addr.0 & !(PAGE_SIZE as u64 - 1);
    let len = len.checked_add(addr.0 - start).and_then(pages).unwrap_or(0);
    let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
    Ok(start..end)
}

async fn lock(thread: &Thread, addr: UserAddr, len: u64, presence: Presence) -> SysResult<()> {
    let limit = limit(thread)?;
    let range = range(addr, len)?;
    let again = thread.memory.vmar().locked_bytes(&range);
    let others = thread.memory.locked_bytes().saturating_sub(again);
    if others.saturating_add(range.end - range.start) > limit {
        return Err(Errno::ENOMEM);
    }
    if range.is_empty() {
        return Ok(());
    }
    thread.memory.set_locked(range.clone(), true)?;
    if presence == Presence::OnFault {
        return Ok(());
    }
    // What is mapped but forbids access is locked as soon as it allows it.
    populate(thread, range, false).await.map_err(|_| Errno::ENOMEM)
}

/// mlock(2)
pub(crate) async fn mlock(thread: &Thread, addr: UserAddr, len: u64) -> SysResult<()> {
    lock(thread, addr, len, Presence::Now).await
}

/// mlock2(2)
pub(crate) async fn mlock2(
    thread: &Thread,
    addr: UserAddr,
    len: u64,
    flags: Flags,
) -> SysResult<()> {
    if flags.0 & !raw::MLOCK_ONFAULT != 0 {
        return Err(Errno::EINVAL);
    }
    let on_fault = flags.0 & raw::MLOCK_ONFAULT != 0;
    let presence = if on_fault { Presence::OnFault } else { Presence::Now };
    lock(thread, addr, len, presence).await
}

/// munlock(2)
pub(crate) fn munlock(thread: &Thread, addr: UserAddr, len: u64) -> SysResult<()> {
    let range = range(addr, len)?;
    if range.is_empty() { Ok(()) } else { thread.memory.set_locked(range, false) }
}

/// mlockall(2)
pub(crate) async fn mlockall(thread: &Thread, flags: Flags) -> SysResult<()> {
    let has = |flag: u32| flags.0 & flag != 0;
    let known = raw::MCL_CURRENT | raw::MCL_FUTURE | raw::MCL_ONFAULT;
    if flags.0 == 0 || flags.0 & !known != 0 || flags.0 == raw::MCL_ONFAULT {
        return Err(Errno::EINVAL);
    }
    let limit = limit(thread)?;
    let memory = &thread.memory;
    if has(raw::MCL_CURRENT) && memory.vmar().mapped_bytes() > limit {
        return Err(Errno::ENOMEM);
    }
    let presence = if has(raw::MCL_ONFAULT) { Presence::OnFault } else { Presence::Now };
    memory.set_locks_new(has(raw::MCL_FUTURE).then_some(presence));
    if !has(raw::MCL_CURRENT) {
        return Ok(());
    }
    memory.set_all_locked(true);
    if presence == Presence::Now {
        let mappings = memory.vmar().mappings().into_iter();
        for mapping in mappings.filter(|mapping| mapping.perms.contains(Prot::READ)) {
            // What can not be had now faults later.
            let _ = populate(thread, mapping.range, false).await;
        }
    }
    Ok(())
}

/// munlockall(2)
pub(crate) fn munlockall(thread: &Thread) -> SysResult<()> {
    thread.memory.set_locks_new(None);
    thread.memory.set_all_locked(false);
    Ok(())
}
