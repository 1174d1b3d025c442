//! Waiting for several files: poll, ppoll, select, pselect.
//!
//! The one idea: all four become a list of files with the events that are wanted. It is looked at once for nothing; only when nothing is
//! ready is it waited for (`any_ready`).

use std::sync::Arc;

use kernel_objects::task::Interrupted;
use linux_raw_sys::general as raw;
use smallvec::SmallVec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::any_ready::{Ready, Watched, any_ready};
use crate::{
    errno::{Errno, SysResult},
    process::{Resource, Thread},
    signal::SigSet,
    syscall::{
        argument::{Fd, UserAddr, UserPtr},
        restart::{self, Restart},
    },
    timer::{Timespec, Timeval},
    vfs::{OpenFile, PollEvents},
};

/// `struct pollfd`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct PollFd {
    fd: i32,
    events: i16,
    revents: i16,
}

/// What is told whether wanted or not.
const ALWAYS: PollEvents = PollEvents::ERR.union(PollEvents::HUP);

/// Which of `files` are ready, at `deadline` (0: now) if none was before.
async fn ready_by(thread: &Thread, files: &[Watched], deadline: u64) -> Result<Ready, Interrupted> {
    let now = files.iter().map(Watched::ready).enumerate();
    let now: Ready = now.filter(|(_, events)| !events.is_empty()).collect();
    if deadline == 0 || !now.is_empty() {
        return Ok(now);
    }
    any_ready(thread, files, deadline).await
}

/// The monotonic time `timeout` ns from now; 0 for none at all, the end of time for no limit.
fn deadline(timeout: Option<u64>) -> u64 {
    match timeout {
        Some(0) => 0,
        Some(nanos) => hal::time::monotonic().saturating_add(nanos),
        None => u64::MAX,
    }
}

/// A poll(2) in progress.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    fds: UserPtr<PollFd>,
    count: usize,
    deadline: u64,
}

/// Carries out a poll; how many descriptors have something to tell.
async fn poll_fds(thread: &Thread, request: Request) -> SysResult<Result<usize, Interrupted>> {
    if request.count as u64 > thread.process.limit(Resource::OpenFiles) {
        return Err(Errno::EINVAL);
    }
    let mut fds = request.fds.read_slice(&thread.memory, request.count)?;
    let mut files: SmallVec<[Watched; 4]> = SmallVec::new();
    let mut entries: SmallVec<[usize; 4]> = SmallVec::new();
    let mut found = 0;
    for (index, entry) in fds.iter_mut().enumerate() {
        entry.revents = 0;
        if entry.fd < 0 {
            continue;
        }
        match thread.files.get(Fd(entry.fd)) {
            Ok(file) => {
                let wanted = PollEvents::from_bits_truncate(u32::from(entry.events as u16));
                files.push(Watched { file, wanted: wanted | ALWAYS });
                entries.push(index);
            }
            Err(_) => {
                entry.revents = PollEvents::NVAL.bits() as i16;
                found += 1;
            }
        }
    }
    let deadline = if found > 0 { 0 } else { request.deadline };
    let ready = match ready_by(thread, &files, deadline).await {
        Ok(ready) => ready,
        Err(interrupted) => return Ok(Err(interrupted)),
    };
    for (index, events) in ready {
        if let Some(entry) = entries.get(index).and_then(|&entry| fds.get_mut(entry)) {
            entry.revents = events.bits() as i16;
            found += 1;
        }
    }
    request.fds.write_slice(&thread.memory, &fds)?;
    Ok(Ok(found))
}

/// Carries out or goes on with a poll(2).
pub(super) async fn wait(thread: &Thread, request: Request) -> SysResult {
    match poll_fds(thread, request).await? {
        Ok(found) => Ok(found),
        Err(_) => Err(restart::later(thread, Restart::Poll(request))),
    }
}

/// poll(2)
pub(crate) async fn poll(
    thread: &Thread,
    fds: UserPtr<PollFd>,
    count: u32,
    timeout: i32,
) -> SysResult {
    let timeout = u64::try_from(timeout).ok().map(|millis| millis * 1_000_000);
    wait(thread, Request { fds, count: count as usize, deadline: deadline(timeout) }).await
}

/// Reads a time-out; none for a null pointer.
pub(super) fn read_timeout(thread: &Thread, timeout: UserPtr<Timespec>) -> SysResult<Option<u64>> {
    match timeout.non_null() {
        Some(timeout) => timeout.read(&thread.memory)?.to_nanos().map(Some),
        None => Ok(None),
    }
}

/// Stores what is left of a time-out, as Linux does for select and ppoll. That it can not be stored is nobody's concern.
fn store_rest(deadline: u64, store: impl FnOnce(u64) -> SysResult<()>) {
    let _ = store(deadline.saturating_sub(hal::time::monotonic()));
}

/// Blocks `mask` for the call, if one is given.
pub(super) fn mask_for_call(thread: &Thread, mask: UserPtr<SigSet>, size: usize) -> SysResult<()> {
    if let Some(mask) = mask.non_null() {
        if size != size_of::<SigSet>() {
            return Err(Errno::EINVAL);
        }
        thread.set_signal_mask_for_call(mask.read(&thread.memory)?);
    }
    Ok(())
}

/// Ends a call with a mask of its own: a handler that is about to run needs that mask, all else does not.
fn unmask<T>(thread: &Thread, result: Result<T, Interrupted>) -> SysResult<T> {
    match result {
        Ok(value) => {
            thread.restore_signal_mask();
            Ok(value)
        }
        Err(Interrupted) => Err(Errno::ERESTARTNOHAND),
    }
}

/// ppoll(2)
pub(crate) async fn ppoll(
    thread: &Thread,
    fds: UserPtr<PollFd>,
    count: u32,
    timeout: UserPtr<Timespec>,
    mask: UserPtr<SigSet>,
    size: usize,
) -> SysResult {
    let limit = read_timeout(thread, timeout)?;
    let deadline = deadline(limit);
    mask_for_call(thread, mask, size)?;
    let found = poll_fds(thread, Request { fds, count: count as usize, deadline })
        .await
        .inspect_err(|_| thread.restore_signal_mask())?;
    if limit.is_some() {
        store_rest(deadline, |rest| timeout.write(&thread.memory, &Timespec::from_nanos(rest)));
    }
    unmask(thread, found)
}

/// The three sets of select(2): pointer, what makes a bit stay set.
struct Sets([(UserAddr, PollEvents); 3]);

impl Sets {
    fn new(read: UserAddr, write: UserAddr, except: UserAddr) -> Self {
        let readable = PollEvents::READABLE | PollEvents::RDBAND;
        let writable = PollEvents::WRITABLE | PollEvents::WRBAND;
        Self([
            (read, readable | ALWAYS),
            (write, writable | PollEvents::ERR),
            (except, PollEvents::PRI),
        ])
    }
}

const WORD_BITS: usize = 64;

/// Carries out a select; how many bits stay set.
async fn select_fds(
    thread: &Thread,
    count: i32,
    sets: &Sets,
    deadline: u64,
) -> SysResult<Result<usize, Interrupted>> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let count = count.min(thread.files.span());
    let words = count.div_ceil(WORD_BITS);
    let mut bits: [Vec<u64>; 3] = Default::default();
    for (bits, (set, ..)) in bits.iter_mut().zip(&sets.0) {
        *bits = match set.is_null() {
            true => vec![0; words],
            false => set.cast::<u64>().read_slice(&thread.memory, words)?,
        };
    }
    let has = |bits: &[u64], fd: usize| bits[fd / WORD_BITS] & 1 << (fd % WORD_BITS) != 0;
    let mut files: SmallVec<[Watched; 4]> = SmallVec::new();
    let mut numbers: SmallVec<[usize; 4]> = SmallVec::new();
    for fd in 0..count {
        let mut wanted = PollEvents::empty();
        for (bits, (_, counts)) in bits.iter().zip(&sets.0) {
            if has(bits, fd) {
                wanted |= *counts;
            }
        }
        if !wanted.is_empty() {
            files.push(Watched { file: thread.files.get(Fd(fd as i32))?, wanted });
            numbers.push(fd);
        }
    }
    let ready = match ready_by(thread, &files, deadline).await {
        Ok(ready) => ready,
        Err(interrupted) => return Ok(Err(interrupted)),
    };
    let mut out = [vec![0; words], vec![0; words], vec![0; words]];
    let mut found = 0;
    for (index, events) in ready {
        let Some(&fd) = numbers.get(index) else { continue };
        for ((out, bits), (_, counts)) in out.iter_mut().zip(&bits).zip(&sets.0) {
            if has(bits, fd) && events.intersects(*counts) {
                out[fd / WORD_BITS] |= 1 << (fd % WORD_BITS);
                found += 1;
            }
        }
    }
    for (out, (set, ..)) in out.iter().zip(&sets.0) {
        if !set.is_null() {
            set.cast::<u64>().write_slice(&thread.memory, out)?;
        }
    }
    Ok(Ok(found))
}

/// select(2)
pub(crate) async fn select(
    thread: &Thread,
    count: i32,
    read: UserAddr,
    write: UserAddr,
    except: UserAddr,
    timeout: UserPtr<Timeval>,
) -> SysResult {
    let limit = match timeout.non_null() {
        Some(timeout) => {
            let Timeval { sec, usec } = timeout.read(&thread.memory)?;
            if sec < 0 || usec < 0 {
                return Err(Errno::EINVAL);
            }
            // Linux carries over what is above a second.
            Some(
                (sec as u64)
                    .saturating_mul(1_000_000_000)
                    .saturating_add((usec as u64).saturating_mul(1000)),
            )
        }
        None => None,
    };
    let deadline = deadline(limit);
    let found = select_fds(thread, count, &Sets::new(read, write, except), deadline).await?;
    if limit.is_some() {
        store_rest(deadline, |rest| timeout.write(&thread.memory, &Timeval::from_nanos(rest)));
    }
    found.map_err(|Interrupted| Errno::ERESTARTNOHAND)
}

/// pselect6(2). The sixth argument points to the mask and its size.
pub(crate) async fn pselect6(
    thread: &Thread,
    count: i32,
    read: UserAddr,
    write: UserAddr,
    except: UserAddr,
    timeout: UserPtr<Timespec>,
    mask: UserPtr<[u64; 2]>,
) -> SysResult {
    let limit = read_timeout(thread, timeout)?;
    let deadline = deadline(limit);
    if let Some(mask) = mask.non_null() {
        let [mask, size] = mask.read(&thread.memory)?;
        mask_for_call(thread, UserPtr::new(mask), size as usize)?;
    }
    let found = select_fds(thread, count, &Sets::new(read, write, except), deadline)
        .await
        .inspect_err(|_| thread.restore_signal_mask())?;
    if limit.is_some() {
        store_rest(deadline, |rest| timeout.write(&thread.memory, &Timespec::from_nanos(rest)));
    }
    unmask(thread, found)
}

/// `O_CLOEXEC` as the calls that make files of events take it.
const CLOEXEC: u32 = raw::O_CLOEXEC;

/// Gives `file` a descriptor; `flags` may have `O_CLOEXEC` and `O_NONBLOCK`.
pub(super) fn open(thread: &Thread, file: Arc<dyn crate::vfs::File>, flags: u32) -> SysResult<Fd> {
    let file = OpenFile::from_file(file, None, raw::O_RDWR | flags & raw::O_NONBLOCK);
    let limit = thread.process.limit(Resource::OpenFiles);
    thread.files.insert(file, flags & CLOEXEC != 0, 0, limit)
}
