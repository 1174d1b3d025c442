//! Memory calls: mmap(2) and its family.
//!
//! The one idea: check what the ABI says about the arguments here, in pages and ranges; what a mapping is, is the business of [`crate::memory`].

use std::sync::Arc;

use hal::{
    aspace::Prot,
    pmem::{GUEST_END, PAGE_SIZE},
};
use linux_raw_sys::general as raw;

use crate::{
    errno::{Errno, SysResult},
    memory::{Backing, MapRequest, Placement, Presence, UserMemory},
    process::{INFINITY, Resource, Thread},
    syscall::{
        argument::{Fd, Flags, UserAddr},
        locked,
        pace::{self, PIECE},
    },
    vfs::devices,
};

const PAGE: u64 = PAGE_SIZE as u64;

/// `len` rounded up to pages; `None` on overflow.
pub(super) fn pages(len: u64) -> Option<u64> {
    len.checked_next_multiple_of(PAGE)
}

/// The page range `addr..addr + len`; `EINVAL` when `addr` is not at a page, `ENOMEM` when the end is out of reach.
fn range(addr: u64, len: u64) -> SysResult<std::ops::Range<u64>> {
    if !addr.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let end = pages(len).and_then(|len| addr.checked_add(len)).ok_or(Errno::ENOMEM)?;
    Ok(addr..end)
}

fn protection(bits: u32) -> SysResult<Prot> {
    let known = raw::PROT_READ | raw::PROT_WRITE | raw::PROT_EXEC;
    if bits & !(known | raw::PROT_SEM) != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(Prot::from_bits_truncate((bits & known) as u8))
}

/// brk(2): the end of the heap, moved if that could be done.
pub(crate) fn brk(thread: &Thread, end: u64) -> SysResult<u64> {
    let heap = thread.memory.heap();
    let more = end.saturating_sub(heap.end);
    if check_space(thread, more).is_err() || locked::check_new(thread, more, false).is_err() {
        return Ok(heap.end);
    }
    Ok(thread.memory.set_break(end, thread.process.limit(Resource::Data)))
}

/// `ENOMEM` when `more` bytes would take the process over its limit of address space.
pub(crate) fn check_space(thread: &Thread, more: u64) -> SysResult<()> {
    let limit = thread.process.limit(Resource::AddressSpace);
    if limit == INFINITY || more == 0 {
        return Ok(());
    }
    let mapped = thread.memory.vmar().mapped_bytes();
    if mapped.saturating_add(more) > limit { Err(Errno::ENOMEM) } else { Ok(()) }
}

/// `flags`, with what mlockall(2) adds to them.
fn with_presence(thread: &Thread, flags: Flags) -> Flags {
    let now = thread.memory.locks_new() == Some(Presence::Now);
    Flags(if now { flags.0 | raw::MAP_POPULATE } else { flags.0 })
}

/// Whether a mapping is to be populated by as much as should be done in pieces.
fn populates_much(len: u64, flags: Flags) -> bool {
    flags.0 & (raw::MAP_POPULATE | raw::MAP_LOCKED) != 0 && len > PIECE as u64
}

/// mmap(2) that does not take long.
pub(crate) fn mmap_at_once(
    thread: &Thread,
    addr: UserAddr,
    len: u64,
    prot: u32,
    flags: Flags,
    fd: Fd,
    offset: u64,
) -> Option<SysResult<u64>> {
    let flags = with_presence(thread, flags);
    let brief = !populates_much(len, flags);
    brief.then(|| map(thread, addr, len, prot, flags, fd, offset))
}

/// mmap(2)
pub(crate) async fn mmap(
    thread: &Thread,
    addr: UserAddr,
    len: u64,
    prot: u32,
    flags: Flags,
    fd: Fd,
    offset: u64,
) -> SysResult<u64> {
    let flags = with_presence(thread, flags);
    let lazy = Flags(flags.0 & !raw::MAP_POPULATE);
    let start = map(thread, addr, len, prot, lazy, fd, offset)?;
    if populates_much(len, flags) {
        // What can not be had now faults later.
        let end = start.saturating_add(pages(len).unwrap_or(len));
        let _ = populate(thread, start..end, prot & raw::PROT_WRITE != 0).await;
    }
    Ok(start)
}

fn map(
    thread: &Thread,
    addr: UserAddr,
    len: u64,
    prot: u32,
    flags: Flags,
    fd: Fd,
    offset: u64,
) -> SysResult<u64> {
    let flags = flags.0;
    if !offset.is_multiple_of(PAGE) || len == 0 {
        return Err(Errno::EINVAL);
    }
    let len = pages(len).filter(|&len| len > 0).ok_or(Errno::ENOMEM)?;
    let kind = flags & raw::MAP_TYPE;
    let shared = match kind {
        raw::MAP_PRIVATE => false,
        raw::MAP_SHARED | raw::MAP_SHARED_VALIDATE => true,
        _ => return Err(Errno::EINVAL),
    };
    if kind == raw::MAP_SHARED_VALIDATE && flags & raw::MAP_ANONYMOUS != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & raw::MAP_HUGETLB != 0 {
        // No huge page is ever free here, which is what a host without any says.
        return Err(Errno::ENOMEM);
    }
    let prot = Prot::from_bits_truncate((prot & 7) as u8);
    let fixed = flags & (raw::MAP_FIXED | raw::MAP_FIXED_NOREPLACE) != 0;
    if fixed && !addr.0.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let placement = match () {
        () if flags & raw::MAP_FIXED_NOREPLACE != 0 => Placement::Free(addr.0),
        () if flags & raw::MAP_FIXED != 0 => Placement::Replace(addr.0),
        () => Placement::Anywhere(addr.0 & !(PAGE - 1)),
    };
    let backing = if flags & raw::MAP_ANONYMOUS != 0 {
        Backing::Anonymous
    } else {
        let file = thread.files.get(fd)?;
        // Where it could go is asked before what it would show.
        let lowest = if fixed { addr.0 } else { 0 };
        if len > GUEST_END.saturating_sub(lowest) {
            return Err(Errno::ENOMEM);
        }
        if offset.checked_add(len).is_none_or(|end| end > i64::MAX as u64) {
            return Err(Errno::EOVERFLOW);
        }
        if !file.readable() || shared && prot.contains(Prot::WRITE) && !file.writable() {
            return Err(Errno::EACCES);
        }
        let runs = prot.contains(Prot::EXEC);
        if runs && file.path().is_some_and(|path| path.mount().executable().is_err()) {
            return Err(Errno::EPERM);
        }
        // Memory of zeroes, as old programs ask for it.
        if devices::is_zero(&file) { Backing::Anonymous } else { Backing::File { file, offset } }
    };
    check_space(thread, len)?;
    let locked = flags & raw::MAP_LOCKED != 0;
    locked::check_new(thread, len, locked)?;
    let request = MapRequest {
        placement,
        len,
        prot,
        shared,
        backing,
        populate: flags & raw::MAP_POPULATE != 0 || locked && len <= PIECE as u64,
        reserve: flags & raw::MAP_NORESERVE == 0,
        locked,
    };
    match thread.memory.map(&request) {
        // Sanitizers and garbage collectors want addresses that guests of the kernel's own process do not have.
        Err(Errno::ENOMEM) if thread.memory.is_too_narrow(placement, len) && thread.isolate() => {
            thread.memory.map(&request)
        }
        mapped => mapped,
    }
}

/// munmap(2)
pub(crate) fn munmap(thread: &Thread, addr: UserAddr, len: u64) -> SysResult<()> {
    let range = range(addr.0, len).map_err(|_| Errno::EINVAL)?;
    if range.is_empty() || range.end > GUEST_END {
        return Err(Errno::EINVAL);
    }
    thread.memory.unmap(range)
}

/// remap_file_pages(2): the protection is that of before, and says nothing here.
pub(crate) fn remap_file_pages(
    thread: &Thread,
    addr: UserAddr,
    len: u64,
    prot: u32,
    page: u64,
    _flags: Flags,
) -> SysResult<()> {
    let start = addr.0 & !(PAGE - 1);
    let len = len & !(PAGE - 1);
    let end = start.checked_add(len).filter(|&end| end > start).ok_or(Errno::EINVAL)?;
    if prot != 0 || page.checked_add(len / PAGE).is_none() {
        return Err(Errno::EINVAL);
    }
    let within = |offset: &u64| offset.checked_add(len).is_some_and(|end| end <= i64::MAX as u64);
    let offset = page.checked_mul(PAGE).filter(within).ok_or(Errno::EOVERFLOW);
    thread.memory.show_other_pages(start..end, offset?)
}

/// More mappings than this are changed off the CPUs.
const FEW_MAPPINGS: usize = 256;

/// mprotect(2) of a few mappings.
pub(crate) fn mprotect_at_once(
    thread: &Thread,
    addr: UserAddr,
    len: u64,
    prot: u32,
) -> Option<SysResult<()>> {
    let few = !thread.memory.vmar().has_more_mappings(addr.0, len, FEW_MAPPINGS);
    few.then(|| protect(&thread.memory, addr, len, prot))
}

/// mprotect(2)
pub(crate) async fn mprotect(
    thread: &Thread,
    addr: UserAddr,
    len: u64,
    prot: u32,
) -> SysResult<()> {
    let memory = Arc::clone(&thread.memory);
    thread.off_cpu(move || protect(&memory, addr, len, prot)).await
}

fn protect(memory: &UserMemory, addr: UserAddr, len: u64, prot: u32) -> SysResult<()> {
    let grows = prot & (raw::PROT_GROWSDOWN | raw::PROT_GROWSUP);
    let mut range = range(addr.0, len)?;
    let prot = protection(prot & !grows)?;
    match grows {
        0 => {}
        raw::PROT_GROWSDOWN => {
            // From the beginning of what grows, of which there is the first stack.
            let mappings = memory.vmar().mappings_in(range.clone());
            let first = mappings.first().ok_or(Errno::ENOMEM)?;
            if !memory.image().stack.contains(&range.start) {
                return Err(Errno::EINVAL);
            }
            range.start = range.start.min(first.range.start);
        }
        _ => return Err(Errno::EINVAL),
    }
    if range.is_empty() { Ok(()) } else { memory.protect(range, prot) }
}

/// pkey_mprotect(2): without keys, which pkey_alloc(2) never gives out, it is mprotect(2).
pub(crate) fn pkey_mprotect(
    thread: &Thread,
    addr: UserAddr,
    len: u64,
    prot: u32,
    key: i32,
) -> SysResult<()> {
    if key == -1 { protect(&thread.memory, addr, len, prot) } else { Err(Errno::EINVAL) }
}

/// mremap(2)
pub(crate) fn mremap(
    thread: &Thread,
    addr: UserAddr,
    old_len: u64,
    new_len: u64,
    flags: Flags,
    new_addr: UserAddr,
) -> SysResult<u64> {
    let flags = flags.0;
    let known = raw::MREMAP_MAYMOVE | raw::MREMAP_FIXED | raw::MREMAP_DONTUNMAP;
    if flags & !known != 0 || !addr.0.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let keeps = flags & raw::MREMAP_DONTUNMAP != 0;
    let may_move = flags & raw::MREMAP_MAYMOVE != 0;
    let fixed = flags & raw::MREMAP_FIXED != 0;
    let new_len = pages(new_len).filter(|&len| len > 0).ok_or(Errno::EINVAL)?;
    let old = range(addr.0, old_len).map_err(|_| Errno::EINVAL)?;
    if fixed || keeps {
        let overlaps = new_addr.0 < old.end && old.start < new_addr.0.saturating_add(new_len);
        if !may_move || !new_addr.0.is_multiple_of(PAGE) || overlaps {
            return Err(Errno::EINVAL);
        }
    }
    let to = fixed.then_some(new_addr.0);
    if keeps {
        if !may_move || old.end - old.start != new_len {
            return Err(Errno::EINVAL);
        }
        check_space(thread, new_len)?;
        return thread.memory.remap_keeping(old, to);
    }
    let more = new_len.saturating_sub(old.end - old.start);
    check_space(thread, more)?;
    if more > 0 && thread.memory.vmar().locked_bytes(&old) > 0 {
        locked::check_more(thread, more)?;
    }
    if old.is_empty() {
        return thread.memory.duplicate(old.start, new_len, may_move, to);
    }
    thread.memory.remap(old, new_len, may_move, to)
}

/// madvise(2): `DONTNEED`, `FREE` and `REMOVE` act, what is only a hint is checked and taken.
pub(crate) async fn madvise(
    thread: &Thread,
    addr: UserAddr,
    len: u64,
    advice: u32,
) -> SysResult<()> {
    let known = match advice {
        raw::MADV_NORMAL
        | raw::MADV_RANDOM
        | raw::MADV_SEQUENTIAL
        | raw::MADV_WILLNEED
        | raw::MADV_DONTFORK
        | raw::MADV_DOFORK
        | raw::MADV_HUGEPAGE
        | raw::MADV_NOHUGEPAGE
        | raw::MADV_DONTDUMP
        | raw::MADV_DODUMP
        | raw::MADV_COLD
        | raw::MADV_PAGEOUT => None,
        raw::MADV_DONTNEED | raw::MADV_FREE => Some(advice),
        raw::MADV_POPULATE_READ | raw::MADV_POPULATE_WRITE => Some(advice),
        _ => return Err(Errno::EINVAL),
    };
    if !addr.0.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let len = pages(len).ok_or(Errno::EINVAL)?;
    let end = addr.0.checked_add(len).ok_or(Errno::EINVAL)?;
    if len == 0 {
        return Ok(());
    }
    let range = addr.0..end;
    match known {
        Some(raw::MADV_DONTNEED | raw::MADV_FREE) => thread.memory.discard(range),
        Some(advice) => populate(thread, range, advice == raw::MADV_POPULATE_WRITE).await,
        None => thread.memory.check_mapped(&range),
    }
}

/// Makes the pages of a range present: in pieces, or off the CPUs if a disk may have to be read.
pub(crate) async fn populate(
    thread: &Thread,
    range: std::ops::Range<u64>,
    write: bool,
) -> SysResult<()> {
    if !thread.memory.shows_files(range.clone()) {
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at.saturating_add(PIECE as u64));
            thread.memory.populate(at..end, write)?;
            at = end;
            if at < range.end {
                pace::give_way(thread).await;
            }
        }
        return Ok(());
    }
    let memory = Arc::clone(&thread.memory);
    thread.off_cpu(move || memory.populate(range, write)).await
}

/// msync(2)
pub(crate) fn msync(thread: &Thread, addr: UserAddr, len: u64, flags: Flags) -> SysResult<()> {
    let known = raw::MS_ASYNC | raw::MS_INVALIDATE | raw::MS_SYNC;
    if flags.0 & !known != 0 || flags.0 & raw::MS_ASYNC != 0 && flags.0 & raw::MS_SYNC != 0 {
        return Err(Errno::EINVAL);
    }
    // Linux rounds a length that is too large to nothing.
    let range = range(addr.0, pages(len).unwrap_or(0))?;
    let invalidate = flags.0 & raw::MS_INVALIDATE != 0;
    if range.is_empty() { Ok(()) } else { thread.memory.sync(range, invalidate) }
}

/// mincore(2)
pub(crate) async fn mincore(
    thread: &Thread,
    addr: UserAddr,
    len: u64,
    vector: UserAddr,
) -> SysResult<()> {
    let range = range(addr.0, len)?;
    if range.end > GUEST_END {
        return Err(Errno::ENOMEM);
    }
    let mut at = range.start;
    let mut into = vector;
    while at < range.end {
        // In bounded steps, for the range may be anything.
        let end = range.end.min(at + 4096 * PAGE);
        let residency = thread.memory.residency(at..end)?;
        thread.memory.write_bytes(into.0, &residency)?;
        into = into.offset(residency.len() as u64)?;
        at = end;
        pace::give_way(thread).await;
    }
    Ok(())
}
