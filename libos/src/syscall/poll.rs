//! Waiting for several files: poll, ppoll, select, pselect.
//!
//! The one idea: all four become a list of files with the events that are wanted. It is looked at once for nothing; only when nothing is
//! ready are places in the files' wait queues taken, and then looked at again.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use kernel_objects::{
    WaitQueue,
    task::{BlockedReason, Interrupted},
    wait_queue::Wait,
};
use linux_raw_sys::general as raw;
use smallvec::SmallVec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

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

/// A file, and what is wanted of it.
struct Watched {
    file: Arc<OpenFile>,
    wanted: PollEvents,
}

impl Watched {
    fn ready(&self) -> PollEvents {
        self.file.poll() & (self.wanted | ALWAYS)
    }
}

/// Waits until one of `files` is ready or `deadline` has passed on the monotonic clock (0: do not wait).
async fn any_ready(thread: &Thread, files: &[Watched], deadline: u64) -> Result<(), Interrupted> {
    let ready = || files.iter().any(|watched| !watched.ready().is_empty());
    if deadline == 0 {
        return Ok(());
    }
    loop {
        let mut waits: SmallVec<[Wait<&WaitQueue>; 4]> = files
            .iter()
            .filter_map(|watched| watched.file.wait_queue().map(WaitQueue::wait))
            .collect();
        waits.iter_mut().for_each(Wait::arm);
        if ready() {
            break;
        }
        let any = poll_fn(|context| {
            let polled = waits.iter_mut().any(|wait| Pin::new(wait).poll(context).is_ready());
            if polled { Poll::Ready(()) } else { Poll::Pending }
        });
        let waited = thread
            .object
            .interruptible(BlockedReason::WaitMany, hal::time::timeout_at(deadline, any))
            .await;
        if ready() {
            break;
        }
        match waited {
            Ok(Ok(())) => {}
            Ok(Err(_)) => break,
            Err(interrupted) => return Err(interrupted),
        }
    }
    Ok(())
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
    let mut bad = false;
    for entry in &mut fds {
        entry.revents = 0;
        if entry.fd < 0 {
            continue;
        }
        match thread.files.get(Fd(entry.fd)) {
            Ok(file) => {
                let wanted = PollEvents::from_bits_truncate(u32::from(entry.events as u16));
                files.push(Watched { file, wanted });
            }
            Err(_) => {
                entry.revents = PollEvents::NVAL.bits() as i16;
                bad = true;
            }
        }
    }
    let ready = files.iter().any(|watched| !watched.ready().is_empty());
    if !bad
        && !ready
        && let Err(interrupted) = any_ready(thread, &files, request.deadline).await
    {
        return Ok(Err(interrupted));
    }
    let mut found = 0;
    let mut next = files.iter();
    for entry in &mut fds {
        if entry.fd >= 0 && entry.revents == 0 {
            entry.revents = next.next().map_or(0, |watched| watched.ready().bits() as i16);
        }
        found += usize::from(entry.revents != 0);
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

/// The three sets of select(2): pointer, what is wanted, what makes a bit stay set.
struct Sets([(UserAddr, PollEvents, PollEvents); 3]);

impl Sets {
    fn new(read: UserAddr, write: UserAddr, except: UserAddr) -> Self {
        let readable = PollEvents::READABLE | PollEvents::RDBAND;
        let writable = PollEvents::WRITABLE | PollEvents::WRBAND;
        Self([
            (read, readable, readable | ALWAYS),
            (write, writable, writable | PollEvents::ERR),
            (except, PollEvents::PRI, PollEvents::PRI),
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
        for (bits, (_, events, _)) in bits.iter().zip(&sets.0) {
            if has(bits, fd) {
                wanted |= *events;
            }
        }
        if !wanted.is_empty() {
            files.push(Watched { file: thread.files.get(Fd(fd as i32))?, wanted });
            numbers.push(fd);
        }
    }
    /// What is told of a file, restricted to what was asked.
    fn answers(watched: &Watched, asked: PollEvents, counts: PollEvents) -> bool {
        watched.wanted.intersects(asked) && watched.file.poll().intersects(counts)
    }
    let pass = |out: &mut [Vec<u64>; 3]| {
        let mut found = 0;
        for (watched, &fd) in files.iter().zip(&numbers) {
            for ((out, bits), (_, asked, counts)) in out.iter_mut().zip(&bits).zip(&sets.0) {
                if has(bits, fd) && answers(watched, *asked, *counts) {
                    out[fd / WORD_BITS] |= 1 << (fd % WORD_BITS);
                    found += 1;
                }
            }
        }
        found
    };
    let empty = || [vec![0; words], vec![0; words], vec![0; words]];
    let mut out = empty();
    let mut found = pass(&mut out);
    while found == 0 && deadline != 0 {
        if let Err(interrupted) = any_ready(thread, &files, deadline).await {
            return Ok(Err(interrupted));
        }
        out = empty();
        found = pass(&mut out);
        if hal::time::monotonic() >= deadline {
            break;
        }
        if found == 0 {
            // Ready in a way that select does not tell, such as a hang-up of what is only written to.
            hal::cpu::yield_now().await;
            if thread.object.work() != 0 {
                return Ok(Err(Interrupted));
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
