//! Reading and writing.
//!
//! The one idea: a transfer waits until the file is ready, whether its descriptor may block or not, for the ring never does; only
//! `RWF_NOWAIT` has it end with `EAGAIN`.

use std::{future::Future, sync::Arc};

use kernel_objects::task::BlockedReason;
use linux_raw_sys::{general as raw, io_uring};

use super::{
    pick::{pick, put_back, settle},
    *,
};
use crate::{
    ring::uring::{buffers::Picked, request::CQE_SKIP},
    syscall::{
        argument::UserPtr,
        file::store,
        io::{self, MAX_TRANSFER, WriteTo, check_reach, ranges},
    },
    vfs::{GuestRange, IoDst, IoSrc, PollEvents},
};

/// The offset that stands for the file's own.
const CURRENT: u64 = u64::MAX;
/// The flags of a transfer.
const FLAGS: u32 =
    raw::RWF_HIPRI | raw::RWF_NOWAIT | raw::RWF_DSYNC | raw::RWF_SYNC | raw::RWF_APPEND;
/// The most bytes that are transferred before others have their turn.
const AT_ONCE: usize = 64 << 10;

/// Checks a transfer, and copies its ranges if it has several.
pub(super) fn prepare(thread: &Thread, sqe: &Sqe) -> SysResult<Prepared> {
    if sqe.op_flags & !FLAGS != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let picks = sqe.flags & BUFFER_SELECT != 0;
    match sqe.opcode {
        READ_MULTISHOT if !picks || sqe.addr != 0 || sqe.len != 0 => Err(Errno::EINVAL),
        READ_MULTISHOT if sqe.flags & CQE_SKIP != 0 => Err(Errno::EINVAL),
        // Its one range says only how long.
        READV if picks && sqe.len != 1 => Err(Errno::EINVAL),
        READV | WRITEV => {
            let vector = UserPtr::new(sqe.addr);
            Ok(Prepared::Ranges(Box::new(ranges(thread, vector, sqe.len as usize)?)))
        }
        _ => Ok(Prepared::Nothing),
    }
}

/// Checks an fsync.
pub(super) fn prepare_fsync(sqe: &Sqe) -> SysResult<Prepared> {
    let known = io_uring::IORING_FSYNC_DATASYNC;
    if sqe.addr != 0 || sqe.buf_index != 0 || sqe.file_index != 0 || sqe.op_flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(Prepared::Nothing)
}

/// Where in the file a transfer begins; `None` is at its position. `EINVAL`.
fn offset(file: &OpenFile, sqe: &Sqe) -> SysResult<Option<u64>> {
    if sqe.off == CURRENT || !file.has_offsets() {
        return Ok(None);
    }
    if i64::try_from(sqe.off).is_err() { Err(Errno::EINVAL) } else { Ok(Some(sqe.off)) }
}

/// What becomes of a transfer of `wanted` bytes: one that was cut short has failed, as far as others are linked to it.
fn outcome(result: SysResult<usize>, wanted: usize) -> Outcome {
    Outcome { failed: result != Ok(wanted), ..Outcome::from(result) }
}

/// A short transfer that need not wait.
pub(super) fn now(ring: &Uring, thread: &Thread, request: &Request) -> Option<Outcome> {
    let sqe = &request.sqe;
    if sqe.flags & BUFFER_SELECT != 0 {
        return None;
    }
    let file = file(ring, thread, sqe).ok()?;
    check_fixed(ring, sqe).ok()?;
    match sqe.opcode {
        READ | READ_FIXED => read_now(&file, thread, request),
        _ => write_now(&file, thread, request),
    }
}

/// Whether what is moved by way of a registered buffer is in it. `EFAULT`.
fn check_fixed(ring: &Uring, sqe: &Sqe) -> SysResult<()> {
    if !matches!(sqe.opcode, READ_FIXED | WRITE_FIXED) {
        return Ok(());
    }
    ring.buffers.lock().check(sqe.buf_index, sqe.addr, sqe.len.into())
}

/// A short read that needs no disk, of what has something to read.
fn read_now(file: &OpenFile, thread: &Thread, request: &Request) -> Option<Outcome> {
    let Sqe { addr, len, op_flags, .. } = request.sqe;
    let len = len as usize;
    if len > AT_ONCE || op_flags != 0 || check_reach(addr, len as u64).is_err() {
        return None;
    }
    let mut into = IoDst::guest(&*thread.memory, addr, len);
    let read = match offset(file, &request.sqe).ok()? {
        Some(offset) => file.read_at(offset, &mut into),
        // What has a position must not be read twice.
        None if file.is_simple() => file.read(&mut into),
        None => return None,
    };
    let ended = !into.is_cold() && read != Err(Errno::EAGAIN);
    ended.then(|| outcome(read, len))
}

/// A short write to what takes all of it.
fn write_now(file: &OpenFile, thread: &Thread, request: &Request) -> Option<Outcome> {
    let Sqe { addr, len, op_flags, .. } = request.sqe;
    let len = len as usize;
    if len > AT_ONCE || op_flags != 0 || !file.is_simple() || !file.takes_whole(len) {
        return None;
    }
    let written = file.write(&mut IoSrc::guest(&*thread.memory, addr, len));
    // What has to wait, and what comes with a signal.
    let ended = !matches!(written, Err(Errno::EAGAIN | Errno::EPIPE));
    ended.then(|| outcome(written, len))
}

/// Makes a transfer, or has a file stored.
pub(super) async fn perform(
    ring: &Weak<Uring>,
    operation: &Operation,
    request: &Request,
    until: Option<u64>,
) -> Outcome {
    let Request { sqe, prepared, .. } = request;
    let file = match file_of(ring, operation, sqe) {
        Ok(file) => file,
        Err(error) => return Outcome::error(error),
    };
    let thread = &**operation.thread();
    if sqe.opcode == FSYNC {
        let data_only = sqe.op_flags & io_uring::IORING_FSYNC_DATASYNC != 0;
        let stored = async { store(thread, file, data_only).await.map(|()| 0) };
        return operation.until(until, stored).await.map(|_| 0).into();
    }
    if let Err(error) =
        ring.upgrade().ok_or(Errno::ECANCELED).and_then(|ring| check_fixed(&ring, sqe))
    {
        return Outcome::error(error);
    }
    if sqe.flags & BUFFER_SELECT != 0 {
        return read_picking(ring, operation, request, &file, until).await;
    }
    let single = [GuestRange { va: sqe.addr, len: (sqe.len as usize).min(MAX_TRANSFER) }];
    let ranges: &[GuestRange] = match prepared {
        Prepared::Ranges(ranges) => ranges,
        _ => &single,
    };
    let wanted = ranges.iter().map(|range| range.len).sum();
    let transfer = async {
        let moved = match sqe.opcode {
            READ | READV | READ_FIXED => read(thread, &file, sqe, ranges).await,
            _ => write(thread, &file, sqe, ranges).await,
        };
        moved.map(|moved| moved as u64)
    };
    let moved = operation.until(until, transfer).await;
    outcome(moved.map(|moved| moved as usize), wanted)
}

/// Reads into buffers that are picked: once, or until it fails.
async fn read_picking(
    ring: &Weak<Uring>,
    operation: &Operation,
    request: &Request,
    file: &Arc<OpenFile>,
    until: Option<u64>,
) -> Outcome {
    let repeats = request.sqe.opcode == READ_MULTISHOT;
    if repeats && file.wait_queue().is_none() {
        // What is always ready would go on for ever.
        return Outcome::error(Errno::EBADFD);
    }
    let most = match &request.prepared {
        Prepared::Ranges(ranges) => ranges.first().map_or(0, |range| range.len as u32),
        _ => request.sqe.len,
    };
    loop {
        let mut picked = None;
        let read = read_once(ring, operation, request, file, most, &mut picked);
        let read = operation.until(until, read).await.map(|read| read as usize);
        let wanted = picked.map_or(0, |picked: Picked| picked.range(most).len);
        let mut outcome = if repeats { Outcome::from(read) } else { outcome(read, wanted) };
        settle(ring, picked, &mut outcome);
        if !repeats || outcome.res <= 0 {
            return outcome;
        }
        if let Some(last) = told(ring, operation, request, outcome).await {
            return last;
        }
    }
}

async fn read_once(
    ring: &Weak<Uring>,
    operation: &Operation,
    request: &Request,
    file: &Arc<OpenFile>,
    most: u32,
    picked: &mut Option<Picked>,
) -> SysResult<u64> {
    let (thread, sqe) = (&**operation.thread(), &request.sqe);
    let may_wait = sqe.op_flags & raw::RWF_NOWAIT == 0;
    loop {
        let buffer = pick(ring, thread, file, sqe, may_wait).await?;
        *picked = Some(buffer);
        let range = buffer.range(most);
        check_reach(range.va, range.len as u64)?;
        let mut into = IoDst::guest(&*thread.memory, range.va, range.len);
        let read = match offset(file, sqe)? {
            // These wait for a disk only.
            offset if file.wait_queue().is_none() => {
                io::read_to(thread, file, offset, &mut into).await
            }
            _ => file.read(&mut into),
        };
        match read {
            Err(Errno::EAGAIN) if may_wait => {
                put_back(ring, buffer);
                *picked = None;
            }
            read => return read.map(|read| read as u64),
        }
    }
}

/// Calls `transfer` until it does not say `EAGAIN`, waiting in between until `file` is ready for `events`.
pub(super) async fn when_ready<T, F: Future<Output = SysResult<T>>>(
    thread: &Thread,
    file: &OpenFile,
    events: PollEvents,
    mut transfer: impl FnMut() -> F,
) -> SysResult<T> {
    let events = events | PollEvents::ERR | PollEvents::HUP;
    loop {
        match transfer().await {
            Err(Errno::EAGAIN) => {}
            result => return result,
        }
        let mut ready = file.wait_queue().ok_or(Errno::EAGAIN)?.wait_for(events.bits());
        ready.arm();
        if (file.poll() & events).is_empty() {
            thread.object.interruptible(BlockedReason::WaitOne, ready).await?;
        }
    }
}

async fn read(
    thread: &Thread,
    file: &Arc<OpenFile>,
    sqe: &Sqe,
    ranges: &[GuestRange],
) -> SysResult<usize> {
    let offset = offset(file, sqe)?;
    if ranges.iter().any(|range| check_reach(range.va, range.len as u64).is_err()) {
        return Err(Errno::EFAULT);
    }
    if sqe.op_flags & raw::RWF_NOWAIT != 0 {
        let mut into = IoDst::guest_vectored(&*thread.memory, ranges);
        return match offset {
            Some(offset) => file.read_at(offset, &mut into),
            None => file.read(&mut into),
        };
    }
    when_ready(thread, file, PollEvents::IN, || async {
        let mut into = IoDst::guest_vectored(&*thread.memory, ranges);
        io::read_to(thread, file, offset, &mut into).await
    })
    .await
}

async fn write(
    thread: &Thread,
    file: &Arc<OpenFile>,
    sqe: &Sqe,
    ranges: &[GuestRange],
) -> SysResult<usize> {
    let to = match (sqe.op_flags & raw::RWF_APPEND, offset(file, sqe)?) {
        (0, None) => WriteTo::Position,
        (0, Some(offset)) => WriteTo::Offset(offset),
        (_, offset) => WriteTo::End { moves: offset.is_none() },
    };
    let transfer = || async {
        let mut from = IoSrc::guest_vectored(&*thread.memory, ranges);
        io::write_all(thread, file, to, &mut from).await
    };
    let done = match sqe.op_flags & raw::RWF_NOWAIT {
        0 => when_ready(thread, file, PollEvents::OUT, transfer).await?,
        _ => {
            let mut from = IoSrc::guest_vectored(&*thread.memory, ranges);
            match to {
                WriteTo::Position => file.write(&mut from),
                WriteTo::Offset(offset) => file.write_at(offset, &mut from),
                WriteTo::End { moves } => file.append(&mut from, moves),
            }?
        }
    };
    io::settle(thread, file, done, sqe.op_flags).await
}
