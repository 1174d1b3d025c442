//! Reading, writing and seeking: the calls that move bytes through a descriptor.
//!
//! The one idea: a file is tried first and waited for only when it says `EAGAIN`, so a transfer that need not wait
//! costs no future and no registration. (Some of those that wait are no `async fn`: see [`dispatch`](super::table::dispatch).)

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
};

use futures::FutureExt;
use hal::pmem::GUEST_END;
use kernel_objects::task::{BlockedReason, Interrupted};
use linux_raw_sys::general as raw;
use smallvec::SmallVec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    net::{Incoming, Outgoing},
    process::{Resource, Thread},
    syscall::{
        argument::{Fd, Flags, UserAddr, UserPtr},
        file::store,
        pace::{self, PIECE},
        socket::message::{receive, send},
        terminal,
    },
    vfs::{GuestRange, IoDst, IoSrc, OpenFile, PollEvents, Whence, ops},
};

/// The most bytes that one call moves: `MAX_RW_COUNT`.
pub(crate) const MAX_TRANSFER: usize = 0x7fff_f000;

/// The most ranges of a vectored call: `UIO_MAXIOV`.
pub(crate) const MAX_RANGES: usize = 1024;

/// An iovec as the guest has it.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct IoVec {
    pub(super) base: u64,
    pub(super) len: u64,
}

impl IoVec {
    /// Its address and its length.
    pub(crate) const fn parts(self) -> (u64, u64) {
        (self.base, self.len)
    }
}

/// The ranges of a vectored call.
pub(crate) type Ranges = SmallVec<[GuestRange; 8]>;

/// `EFAULT` for a buffer that no process could have, whatever the file would do with it.
pub(crate) fn check_reach(buffer: u64, count: u64) -> SysResult<()> {
    let end = buffer.checked_add(count);
    if end.is_some_and(|end| end <= GUEST_END) { Ok(()) } else { Err(Errno::EFAULT) }
}

/// Reads `count` iovecs. `EINVAL` for too many or a total over `isize`.
pub(crate) fn ranges(thread: &Thread, vector: UserPtr<IoVec>, count: usize) -> SysResult<Ranges> {
    if count > MAX_RANGES {
        return Err(Errno::EINVAL);
    }
    let mut left = MAX_TRANSFER;
    let mut ranges = Ranges::new();
    for index in 0..count {
        let IoVec { base, len } = vector.element(index)?.read(&thread.memory)?;
        if len > isize::MAX as u64 {
            return Err(Errno::EINVAL);
        }
        check_reach(base, len)?;
        let len = (len as usize).min(left);
        left -= len;
        ranges.push(GuestRange { va: base, len });
    }
    Ok(ranges)
}

/// Tries, and while the file says `EAGAIN` and the call may wait, waits until it is ready for `events` and tries again.
///
/// What is ready wins over a signal. A file that [guesses](OpenFile::likely_waits) that it will not be is waited for at
/// once, which saves the try without being registered.
#[expect(clippy::manual_async_fn, reason = "see `dispatch`")]
pub(crate) fn until_ready_if<T>(
    may_wait: bool,
    thread: &Thread,
    file: &OpenFile,
    events: PollEvents,
    mut attempt: impl FnMut() -> SysResult<T>,
) -> impl Future<Output = SysResult<T>> {
    async move {
        if !may_wait || !file.likely_waits(events) {
            match attempt() {
                Err(Errno::EAGAIN) if may_wait => {}
                result => return result,
            }
        }
        let queue = file.wait_queue().ok_or(Errno::EAGAIN)?;
        let wait = || queue.wait_for((events | PollEvents::ERR | PollEvents::HUP).bits());
        let mut ready = wait();
        let limit = file.wait_limit(events);
        let mut timeout =
            limit.map(|nanos| hal::time::sleep_until(hal::time::monotonic().saturating_add(nanos)));
        let _blocked = thread.object.block(BlockedReason::WaitOne);
        poll_fn(|context| {
            loop {
                // Registered before the try: what becomes ready in between is not missed.
                let registered = ready.poll_unpin(context).is_pending();
                match attempt() {
                    // It was ready, but somebody else was faster.
                    Err(Errno::EAGAIN) if !registered => ready = wait(),
                    Err(Errno::EAGAIN) if thread.object.work() != 0 => {
                        // Made again it would wait for as long again.
                        let error = if limit.is_some() { Errno::EINTR } else { Interrupted.into() };
                        return Poll::Ready(Err(error));
                    }
                    Err(Errno::EAGAIN) => match &mut timeout {
                        Some(timeout) => {
                            return timeout.poll_unpin(context).map(|()| Err(Errno::EAGAIN));
                        }
                        None => return Poll::Pending,
                    },
                    result => return Poll::Ready(result),
                }
            }
        })
        .await
    }
}

/// [`until_ready_if`] the descriptor may wait.
pub(crate) fn until_ready<T>(
    thread: &Thread,
    file: &OpenFile,
    events: PollEvents,
    attempt: impl FnMut() -> SysResult<T>,
) -> impl Future<Output = SysResult<T>> {
    until_ready_if(!file.nonblocking(), thread, file, events, attempt)
}

/// The most bytes that are fetched from a disk at a time.
const FETCH: usize = 1 << 20;

/// Reads what `into` has room for, in pieces, from `offset` or the position on. What needs a disk is fetched off the CPUs.
#[expect(clippy::manual_async_fn, reason = "see `dispatch`")]
pub(crate) fn read_to(
    thread: &Thread,
    file: &Arc<OpenFile>,
    offset: Option<u64>,
    into: &mut IoDst<'_>,
) -> impl Future<Output = SysResult<usize>> {
    async move {
        if file.is_terminal() {
            return terminal::read(thread, file, into).await;
        }
        if let Ok(socket) = file.socket()
            && socket.options().low_water() > 1
        {
            return receive(thread, file, socket, &mut Incoming::bytes(into)).await;
        }
        let mut done = 0;
        loop {
            let mut attempt = || {
                into.with_limit(PIECE, |into| match offset {
                    Some(offset) => file.read_at(offset.saturating_add(done as u64), into),
                    None => file.read(into),
                })
            };
            // Nothing is waited for once there is something to return.
            let read = match done {
                0 => until_ready(thread, file, PollEvents::IN, attempt).await,
                _ => attempt(),
            };
            // A short piece is the end.
            let may_be_more = read == Ok(PIECE) && into.remaining() > 0;
            // What was read before counts more than why it ended.
            let read = match read {
                Ok(read) => Ok(done + read),
                Err(_) if done > 0 => Ok(done),
                Err(error) => Err(error),
            };
            if !into.is_cold() {
                if may_be_more {
                    pace::give_way(thread).await;
                    done = read.unwrap_or(0);
                    continue;
                }
                return read;
            }
            done = read.unwrap_or(0);
            let from = match offset {
                Some(offset) => offset.saturating_add(done as u64),
                None => file.position(),
            };
            match fetch(thread, file, from, into.remaining().min(FETCH)).await {
                Ok(fetched) => into.warmed(fetched),
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cold]
async fn fetch(thread: &Thread, file: &Arc<OpenFile>, offset: u64, len: usize) -> SysResult {
    let file = Arc::clone(file);
    thread.off_cpu(move || file.fetch(offset, len as u64)).await?;
    Ok(len)
}

/// The most bytes that a transfer moves with the descriptor table held, which saves counting a reference to the file.
const AT_ONCE: usize = 4096;

/// Makes a short transfer by one attempt. `None`, with nothing done, leaves it to those below: it has to wait, or the attempt says so.
pub(crate) fn at_once(
    thread: &Thread,
    fd: Fd,
    count: usize,
    attempt: impl FnOnce(&OpenFile) -> Option<SysResult>,
) -> Option<SysResult> {
    if count > AT_ONCE {
        return None;
    }
    let attempt = |file: &OpenFile| match attempt(file) {
        Some(Err(Errno::EAGAIN)) if !file.nonblocking() => Ok(None),
        result => result.transpose(),
    };
    thread.files.with(fd, attempt).transpose()
}

/// read(2) from what has no position, such as a pipe: that it ends for a disk in the middle of a transfer is out of the question.
pub(crate) fn read_at_once(
    thread: &Thread,
    fd: Fd,
    buffer: UserAddr,
    count: usize,
) -> Option<SysResult> {
    at_once(thread, fd, count, |file| {
        let into = &mut IoDst::guest(&*thread.memory, buffer.0, count);
        let waits = !file.nonblocking() && file.likely_waits(PollEvents::IN);
        let reachable = check_reach(buffer.0, count as u64).is_ok();
        (file.is_simple() && !waits && reachable).then(|| file.read(into))
    })
}

/// write(2) to what has no position and takes all or nothing, in one piece.
pub(crate) fn write_at_once(
    thread: &Thread,
    fd: Fd,
    buffer: UserAddr,
    count: usize,
) -> Option<SysResult> {
    at_once(thread, fd, count, |file| {
        let from = &mut IoSrc::guest(&*thread.memory, buffer.0, count);
        let written = (file.is_simple() && file.takes_whole(count)).then(|| file.write(from));
        // That comes with a signal.
        written.filter(|written| *written != Err(Errno::EPIPE))
    })
}

/// pread64(2) of what needs no disk.
pub(crate) fn pread64_at_once(
    thread: &Thread,
    fd: Fd,
    buffer: UserAddr,
    count: usize,
    offset: i64,
) -> Option<SysResult> {
    let offset = u64::try_from(offset).ok()?;
    at_once(thread, fd, count, |file| {
        let mut into = IoDst::guest(&*thread.memory, buffer.0, count);
        let read = file.read_at(offset, &mut into);
        (!into.is_cold()).then_some(read)
    })
}

/// Whether a vectored transfer moves nothing: then Linux only asks whether the file has something to read or write at all.
fn is_nothing(ranges: &[GuestRange]) -> bool {
    ranges.iter().all(|range| range.len == 0)
}

async fn read_vector(
    thread: &Thread,
    file: &Arc<OpenFile>,
    offset: Option<u64>,
    ranges: &[GuestRange],
) -> SysResult<usize> {
    if is_nothing(ranges) && file.readable() && (offset.is_none() || file.has_offsets()) {
        return file.check_transfers(false).map(|()| 0);
    }
    read_ranges(thread, file, offset, ranges).await
}

async fn write_vector(
    thread: &Thread,
    file: &OpenFile,
    to: WriteTo,
    ranges: &[GuestRange],
) -> SysResult<usize> {
    let placed = file.has_offsets() || !matches!(to, WriteTo::Offset(_));
    if is_nothing(ranges) && file.writable() && placed {
        return file.check_transfers(true).map(|()| 0);
    }
    write_ranges(thread, file, to, ranges).await
}

async fn read_ranges(
    thread: &Thread,
    file: &Arc<OpenFile>,
    offset: Option<u64>,
    ranges: &[GuestRange],
) -> SysResult<usize> {
    let mut into = IoDst::guest_vectored(&*thread.memory, ranges);
    read_to(thread, file, offset, &mut into).await
}

/// Where a write goes.
#[derive(Clone, Copy)]
pub(crate) enum WriteTo {
    /// To the position, which moves on.
    Position,
    /// To an offset.
    Offset(u64),
    /// To the end (`RWF_APPEND`), and the position behind it if `moves`.
    End {
        /// Whether the position follows.
        moves: bool,
    },
}

async fn write_ranges(
    thread: &Thread,
    file: &OpenFile,
    to: WriteTo,
    ranges: &[GuestRange],
) -> SysResult<usize> {
    let mut from = IoSrc::guest_vectored(&*thread.memory, ranges);
    write_all(thread, file, to, &mut from).await
}

/// Writes one piece, after `done` bytes of the same call, waiting for readiness; what refuses tells the thread by a signal too,
/// where Linux does.
pub(crate) async fn write_some(
    thread: &Thread,
    file: &OpenFile,
    to: WriteTo,
    done: usize,
    from: &mut IoSrc<'_>,
) -> SysResult<usize> {
    if let (WriteTo::Position, Ok(socket)) = (to, file.socket()) {
        return send(thread, file, socket, &mut Outgoing::bytes(from)).await;
    }
    if file.special().is_none() {
        if done == 0 && from.remaining() > 0 {
            drop_set_ids(thread, file)?;
        }
        from.limit_file_size(thread.process.limit(Resource::FileSize));
    }
    if file.is_terminal() {
        terminal::check_write(thread, file)?;
    }
    let written = until_ready(thread, file, PollEvents::OUT, || {
        from.with_limit(PIECE, |from| match to {
            WriteTo::Position => file.write(from),
            WriteTo::Offset(offset) => file.write_at(offset.saturating_add(done as u64), from),
            WriteTo::End { moves } => file.append(from, moves),
        })
    })
    .await;
    match written {
        Err(Errno::EPIPE) => crate::signal::broken_pipe(thread),
        // A write that reaches the limit is only short.
        Err(Errno::EFBIG) if done == 0 && from.is_over_limit() => {
            crate::signal::file_too_large(thread);
        }
        _ => {}
    }
    written
}

/// What a write to a file of a file system does besides: it takes the set-id bits, which the new content is not to be trusted with.
fn drop_set_ids(thread: &Thread, file: &OpenFile) -> SysResult<()> {
    match file.inode() {
        Some(inode) if file.writable() => ops::drop_set_ids(&thread.fs.read().cred, inode),
        _ => Ok(()),
    }
}

/// Writes what `from` holds, in pieces. A blocking write to a pipe goes on until all is written, as pipe(7) has it.
pub(crate) async fn write_all(
    thread: &Thread,
    file: &OpenFile,
    to: WriteTo,
    from: &mut IoSrc<'_>,
) -> SysResult<usize> {
    let mut done = 0;
    loop {
        match write_some(thread, file, to, done, from).await {
            Ok(count) => {
                done += count;
                let stream =
                    matches!(to, WriteTo::Position) && file.writes_fully() && !file.nonblocking();
                let goes_on = stream || count == PIECE;
                if count == 0 || from.remaining() == 0 || !goes_on {
                    return Ok(done);
                }
                pace::give_way(thread).await;
            }
            // What was written before counts more than why it ended.
            Err(error) => return if done > 0 { Ok(done) } else { Err(error) },
        }
    }
}

/// The offset of a positioned call; `EINVAL` when negative.
fn position(offset: i64) -> SysResult<Option<u64>> {
    u64::try_from(offset).map(Some).map_err(|_| Errno::EINVAL)
}

/// As [`position`], with [`CURRENT`] meaning the file's own.
fn position_or_current(offset: i64) -> SysResult<Option<u64>> {
    if offset == CURRENT { Ok(None) } else { position(offset) }
}

/// Where a write with such an offset goes.
pub(crate) fn write_to(offset: Option<u64>) -> WriteTo {
    offset.map_or(WriteTo::Position, WriteTo::Offset)
}

/// read(2)
#[expect(clippy::manual_async_fn, reason = "see `dispatch`")]
pub(crate) fn read(
    thread: &Thread,
    fd: Fd,
    buffer: UserAddr,
    count: usize,
) -> impl Future<Output = SysResult> {
    async move {
        let file = thread.files.get(fd)?;
        if file.readable() {
            check_reach(buffer.0, count as u64)?;
        }
        let count = count.min(MAX_TRANSFER);
        read_to(thread, &file, None, &mut IoDst::guest(&*thread.memory, buffer.0, count)).await
    }
}

/// write(2)
pub(crate) async fn write(thread: &Thread, fd: Fd, buffer: UserAddr, count: usize) -> SysResult {
    let file = thread.files.get(fd)?;
    let mut from = IoSrc::guest(&*thread.memory, buffer.0, count.min(MAX_TRANSFER));
    let done = write_all(thread, &file, WriteTo::Position, &mut from).await?;
    settle(thread, &file, done, 0).await
}

/// Ends a write of `done` bytes: with `O_DSYNC` or `O_SYNC` of the file or such `RWF_` flags not before they are stored.
pub(crate) async fn settle(
    thread: &Thread,
    file: &Arc<OpenFile>,
    done: usize,
    flags: u32,
) -> SysResult<usize> {
    let opened = file.flags();
    let dsync = opened & raw::O_DSYNC != 0 || flags & (raw::RWF_DSYNC | raw::RWF_SYNC) != 0;
    if dsync && done > 0 {
        let sync = opened & raw::O_SYNC == raw::O_SYNC || flags & raw::RWF_SYNC != 0;
        store(thread, Arc::clone(file), !sync).await?;
    }
    Ok(done)
}

/// pread64(2)
pub(crate) async fn pread64(
    thread: &Thread,
    fd: Fd,
    buffer: UserAddr,
    count: usize,
    offset: i64,
) -> SysResult {
    let offset = position(offset)?;
    let range = GuestRange { va: buffer.0, len: count.min(MAX_TRANSFER) };
    read_ranges(thread, &thread.files.get(fd)?, offset, &[range]).await
}

/// pwrite64(2)
pub(crate) async fn pwrite64(
    thread: &Thread,
    fd: Fd,
    buffer: UserAddr,
    count: usize,
    offset: i64,
) -> SysResult {
    let to = write_to(position(offset)?);
    let range = GuestRange { va: buffer.0, len: count.min(MAX_TRANSFER) };
    let file = thread.files.get(fd)?;
    let done = write_ranges(thread, &file, to, &[range]).await?;
    settle(thread, &file, done, 0).await
}

/// readv(2)
pub(crate) async fn readv(
    thread: &Thread,
    fd: Fd,
    vector: UserPtr<IoVec>,
    count: usize,
) -> SysResult {
    preadv2(thread, fd, vector, count, CURRENT, 0, Flags(0)).await
}

/// writev(2)
pub(crate) async fn writev(
    thread: &Thread,
    fd: Fd,
    vector: UserPtr<IoVec>,
    count: usize,
) -> SysResult {
    pwritev2(thread, fd, vector, count, CURRENT, 0, Flags(0)).await
}

/// preadv(2); the high half of the offset is of no use to 64-bit callers.
pub(crate) async fn preadv(
    thread: &Thread,
    fd: Fd,
    vector: UserPtr<IoVec>,
    count: usize,
    offset: i64,
) -> SysResult {
    position(offset)?;
    preadv2(thread, fd, vector, count, offset, 0, Flags(0)).await
}

/// pwritev(2)
pub(crate) async fn pwritev(
    thread: &Thread,
    fd: Fd,
    vector: UserPtr<IoVec>,
    count: usize,
    offset: i64,
) -> SysResult {
    position(offset)?;
    pwritev2(thread, fd, vector, count, offset, 0, Flags(0)).await
}

/// The offset of preadv2(2) that stands for the file's own.
const CURRENT: i64 = -1;

/// The flags of preadv2(2): a hint, not to wait, and what is about writing.
const READ_FLAGS: u32 =
    raw::RWF_HIPRI | raw::RWF_NOWAIT | raw::RWF_DSYNC | raw::RWF_SYNC | raw::RWF_APPEND;
/// The flags of pwritev2(2).
const WRITE_FLAGS: u32 = raw::RWF_HIPRI | raw::RWF_DSYNC | raw::RWF_SYNC | raw::RWF_APPEND;

/// preadv2(2); `RWF_NOWAIT` is taken for files that never wait.
pub(crate) async fn preadv2(
    thread: &Thread,
    fd: Fd,
    vector: UserPtr<IoVec>,
    count: usize,
    offset: i64,
    _high: u64,
    flags: Flags,
) -> SysResult {
    let offset = position_or_current(offset)?;
    let file = thread.files.get(fd)?;
    check_read_flags(&file, flags)?;
    let ranges = ranges(thread, vector, count)?;
    read_with(thread, &file, offset, &ranges, flags).await
}

/// `EOPNOTSUPP` for flags that preadv2(2) does not know, or not for such a file.
pub(super) fn check_read_flags(file: &OpenFile, flags: Flags) -> SysResult<()> {
    let waits = flags.0 & raw::RWF_NOWAIT != 0 && file.wait_queue().is_some();
    if flags.0 & !READ_FLAGS != 0 || waits { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
}

/// `EOPNOTSUPP` for flags that pwritev2(2) does not know.
pub(super) fn check_write_flags(flags: Flags) -> SysResult<()> {
    if flags.0 & !WRITE_FLAGS != 0 { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
}

/// preadv2(2) with its arguments copied in and checked.
pub(super) async fn read_with(
    thread: &Thread,
    file: &Arc<OpenFile>,
    offset: Option<u64>,
    ranges: &[GuestRange],
    flags: Flags,
) -> SysResult {
    if flags.0 & raw::RWF_NOWAIT == 0 {
        return read_vector(thread, file, offset, ranges).await;
    }
    let mut into = IoDst::guest_vectored(&*thread.memory, ranges);
    match offset {
        Some(offset) => file.read_at(offset, &mut into),
        None => file.read(&mut into),
    }
}

/// pwritev2(2)
pub(crate) async fn pwritev2(
    thread: &Thread,
    fd: Fd,
    vector: UserPtr<IoVec>,
    count: usize,
    offset: i64,
    _high: u64,
    flags: Flags,
) -> SysResult {
    let offset = position_or_current(offset)?;
    let file = thread.files.get(fd)?;
    check_write_flags(flags)?;
    write_with(thread, file, offset, &ranges(thread, vector, count)?, flags).await
}

/// pwritev2(2) with its arguments copied in and checked.
pub(super) async fn write_with(
    thread: &Thread,
    file: Arc<OpenFile>,
    offset: Option<u64>,
    ranges: &[GuestRange],
    flags: Flags,
) -> SysResult {
    let to = match flags.0 & raw::RWF_APPEND {
        0 => write_to(offset),
        _ => WriteTo::End { moves: offset.is_none() },
    };
    let done = write_vector(thread, &file, to, ranges).await?;
    settle(thread, &file, done, flags.0).await
}

/// lseek(2)
pub(crate) fn lseek(thread: &Thread, fd: Fd, offset: i64, whence: u32) -> SysResult<u64> {
    thread.files.with(fd, |file| match file.is_path_only() {
        true => Err(Errno::EBADF),
        false => file.seek(offset, Whence::from_raw(whence)?),
    })
}
