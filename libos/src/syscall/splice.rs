//! Moving bytes between descriptors that never pass through the guest's memory: sendfile(2), copy_file_range(2), splice(2) and
//! its kin.
//!
//! The one idea: between files a buffer of the kernel's is read into and written from; a pipe is its own buffer, from which
//! bytes go only when the other side has taken them, so nothing is lost when that side takes less.

use std::sync::Arc;

use linux_raw_sys::general as raw;

use super::{
    io::{IoVec, ranges, read_to, write_some, write_to},
    pace,
};
use crate::{
    errno::{Errno, SysResult},
    process::{Resource, Thread},
    signal,
    syscall::argument::{Fd, Flags, UserPtr},
    vfs::{
        FileType, IoDst, IoSrc, OpenFile, PollEvents,
        devices::Endless,
        pipe::{PipeEnd, Transfer},
        stdio::HostStdio,
    },
};

/// How much is moved at a time between two files.
const COPY_CHUNK: usize = 64 << 10;

/// The most bytes that one call moves.
const MAX_COPY: usize = 0x7fff_f000;

/// Copies up to `count` bytes from one file to another; offsets that are `None` are the files' own positions. A signal ends it short.
async fn copy(
    thread: &Thread,
    from: &Arc<OpenFile>,
    mut from_offset: Option<&mut u64>,
    to: &OpenFile,
    mut to_offset: Option<&mut u64>,
    count: usize,
) -> SysResult {
    let count = count.min(MAX_COPY);
    let mut chunk = vec![0; COPY_CHUNK.min(count)];
    let mut done = 0;
    while done < count {
        if done > 0 && pace::give_way(thread).await {
            break;
        }
        let wanted = chunk.len().min(count - done);
        let mut into = IoDst::kernel(&mut chunk[..wanted]).without_waiting();
        let read = read_to(thread, from, from_offset.as_deref().copied(), &mut into).await;
        let read = match read {
            Ok(0) => break,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
            Ok(read) => read,
        };
        let mut sent = 0;
        // A write may take less than it is given: a full pipe, a file at its size limit.
        while sent < read {
            let place = write_to(to_offset.as_deref().copied());
            let mut source = IoSrc::kernel(&chunk[sent..read]);
            let written = match write_some(thread, to, place, 0, &mut source).await {
                Ok(written) if written > 0 => written,
                failed => {
                    // What was read and not written is read again by the next call.
                    if from_offset.is_none() {
                        let left = (read - sent) as i64;
                        let _ = from.seek(-left, crate::vfs::Whence::Current);
                    }
                    return if done > 0 { Ok(done) } else { failed };
                }
            };
            sent += written;
            done += written;
            for offset in [&mut from_offset, &mut to_offset].into_iter().flatten() {
                **offset = offset.saturating_add(written as u64);
            }
        }
        if from.socket().is_ok() {
            // What else may come is not waited for.
            break;
        }
    }
    Ok(done)
}

/// sendfile(2)
pub(crate) async fn sendfile(
    thread: &Thread,
    to: Fd,
    from: Fd,
    offset: UserPtr<i64>,
    count: usize,
) -> SysResult {
    let from = thread.files.get(from)?;
    let to = thread.files.get(to)?;
    if !from.readable() || !to.writable() {
        return Err(Errno::EBADF);
    }
    if to.flags() & raw::O_APPEND != 0 {
        return Err(Errno::EINVAL);
    }
    let directory = from.inode().is_some_and(|inode| inode.kind().is_dir());
    if directory || from.downcast() == Some(&Endless::Null) {
        // Nothing there that Linux could splice from.
        return Err(Errno::EINVAL);
    }
    if offset.is_null() && !from.seekable() {
        // Linux goes through a pipe of its own, and one end of a pipe can not feed another.
        return Err(Errno::EINVAL);
    }
    let Some(pointer) = offset.non_null() else {
        return copy(thread, &from, None, &to, None, count).await;
    };
    if !from.seekable() {
        return Err(Errno::ESPIPE);
    }
    let mut at = u64::try_from(pointer.read(&thread.memory)?).map_err(|_| Errno::EINVAL)?;
    let done = copy(thread, &from, Some(&mut at), &to, None, count).await?;
    pointer.write(&thread.memory, &(at as i64))?;
    Ok(done)
}

/// copy_file_range(2)
pub(crate) async fn copy_file_range(
    thread: &Thread,
    from: Fd,
    from_offset: UserPtr<i64>,
    to: Fd,
    to_offset: UserPtr<i64>,
    count: usize,
    flags: Flags,
) -> SysResult {
    let (from, to) = (thread.files.get(from)?, thread.files.get(to)?);
    // An inode knows without asking the host; an inherited file has none.
    let kind = |file: &OpenFile| match file.inode() {
        Some(inode) => Some(inode.kind()),
        None => file.metadata().ok().map(|metadata| metadata.kind),
    };
    for kind in [kind(&from), kind(&to)] {
        match kind {
            Some(FileType::Regular) => {}
            Some(FileType::Directory) => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
    }
    if !from.readable() || !to.writable() || to.flags() & raw::O_APPEND != 0 {
        return Err(Errno::EBADF);
    }
    if flags.0 != 0 {
        return Err(Errno::EINVAL);
    }
    let offset = |pointer: UserPtr<i64>| -> SysResult<Option<u64>> {
        let Some(pointer) = pointer.non_null() else { return Ok(None) };
        let offset = pointer.read(&thread.memory)?;
        if (offset as u64).checked_add(count as u64).is_none() {
            return Err(Errno::EOVERFLOW);
        }
        u64::try_from(offset).map(Some).map_err(|_| Errno::EINVAL)
    };
    let (mut source, mut target) = (offset(from_offset)?, offset(to_offset)?);
    let same = match (from.inode(), to.inode()) {
        (Some(one), Some(other)) => std::sync::Arc::ptr_eq(one, other),
        _ => false,
    };
    let (start, end) =
        (source.unwrap_or_else(|| from.position()), target.unwrap_or_else(|| to.position()));
    if same && start < end.saturating_add(count as u64) && end < start.saturating_add(count as u64)
    {
        return Err(Errno::EINVAL);
    }
    // The size limit cuts the request, and is no error before it is reached.
    let limit = thread.process.limit(Resource::FileSize);
    if end >= limit {
        signal::file_too_large(thread);
        return Err(Errno::EFBIG);
    }
    let count = count.min(usize::try_from(limit - end).unwrap_or(usize::MAX));
    let done = copy(thread, &from, source.as_mut(), &to, target.as_mut(), count).await?;
    for (pointer, offset) in [(from_offset, source), (to_offset, target)] {
        if let Some(offset) = offset {
            pointer.write(&thread.memory, &(offset as i64))?;
        }
    }
    Ok(done)
}

/// The flags of splice(2): all but `NONBLOCK` are hints.
const SPLICE_FLAGS: u32 =
    raw::SPLICE_F_MOVE | raw::SPLICE_F_NONBLOCK | raw::SPLICE_F_MORE | raw::SPLICE_F_GIFT;

/// Tries to move bytes from `from` to `to`, and while that is `EAGAIN` and may wait, waits for whichever side is not ready.
async fn until_moved(
    thread: &Thread,
    from: Option<&OpenFile>,
    to: Option<&OpenFile>,
    flags: u32,
    mut attempt: impl FnMut() -> SysResult,
) -> SysResult {
    loop {
        // An empty pipe keeps the bytes from coming, else it is a full one that does not take them.
        let empty = from.filter(|from| !from.poll().intersects(PollEvents::IN | PollEvents::HUP));
        let (file, events) = match (empty, to) {
            (Some(from), _) => (from, PollEvents::IN),
            (None, Some(to)) => (to, PollEvents::OUT),
            (None, None) => return attempt(),
        };
        let Some(queue) = file.wait_queue() else { return attempt() };
        let events = events | PollEvents::ERR | PollEvents::HUP;
        let mut ready = queue.wait_for(events.bits());
        ready.arm();
        let moved = match attempt() {
            Err(Errno::EAGAIN) if flags & raw::SPLICE_F_NONBLOCK == 0 => {
                thread.interruptible(ready).await?;
                continue;
            }
            moved => moved,
        };
        if moved == Err(Errno::EPIPE) && to.is_none_or(OpenFile::signals_broken_pipe) {
            signal::broken_pipe(thread);
        }
        return moved;
    }
}

/// `flags`, with `NONBLOCK` if one of the files is.
fn flags_of(flags: Flags, files: [&OpenFile; 2]) -> u32 {
    let nonblocking = files.iter().any(|file| file.nonblocking());
    flags.0 | if nonblocking { raw::SPLICE_F_NONBLOCK } else { 0 }
}

/// Whether splice(2) moves bytes to and from the file: what has a place and bytes of its own, sockets, and the standard streams.
fn can_splice(file: &OpenFile) -> bool {
    let kind = file.inode().map(|inode| inode.kind());
    matches!(kind, Some(FileType::Regular | FileType::CharDevice))
        || file.downcast::<HostStdio>().is_some()
        || file.socket().is_ok()
}

/// splice(2)
pub(crate) async fn splice(
    thread: &Thread,
    from: Fd,
    from_offset: UserPtr<i64>,
    to: Fd,
    to_offset: UserPtr<i64>,
    count: usize,
    flags: Flags,
) -> SysResult {
    if count == 0 {
        return Ok(0);
    }
    if flags.0 & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let (from, to) = (thread.files.get(from)?, thread.files.get(to)?);
    let of_pipe = |file: &OpenFile, offset: UserPtr<i64>| {
        file.downcast::<PipeEnd>().is_some() && !offset.is_null()
    };
    if of_pipe(&from, from_offset) || of_pipe(&to, to_offset) {
        return Err(Errno::ESPIPE);
    }
    let offset = |pointer: UserPtr<i64>| {
        pointer.non_null().map(|pointer| pointer.read(&thread.memory)).transpose()
    };
    let (mut from_at, mut to_at) = (offset(from_offset)?, offset(to_offset)?);
    let done = splice_files(thread, &from, &mut from_at, &to, &mut to_at, count, flags).await?;
    for (pointer, at) in [(from_offset, from_at), (to_offset, to_at)] {
        if let Some(at) = at {
            pointer.write(&thread.memory, &at)?;
        }
    }
    Ok(done)
}

/// As [`splice`], of open files and with offsets, which are then where the bytes end.
pub(crate) async fn splice_files(
    thread: &Thread,
    from: &Arc<OpenFile>,
    from_at: &mut Option<i64>,
    to: &OpenFile,
    to_at: &mut Option<i64>,
    count: usize,
    flags: Flags,
) -> SysResult {
    if count == 0 {
        return Ok(0);
    }
    if flags.0 & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let (source, target) = (from.downcast::<PipeEnd>(), to.downcast::<PipeEnd>());
    if source.is_some() && from_at.is_some() || target.is_some() && to_at.is_some() {
        return Err(Errno::ESPIPE);
    }
    if !from.readable() || !to.writable() {
        return Err(Errno::EBADF);
    }
    let count = count.min(MAX_COPY);
    match (source, target) {
        (Some(source), Some(target)) => {
            if source.same_pipe(target) {
                return Err(Errno::EINVAL);
            }
            let flags = flags_of(flags, [from, to]);
            let attempt = || source.transfer(target, count, Transfer::Move);
            until_moved(thread, Some(from), Some(to), flags, attempt).await
        }
        (Some(source), None) => {
            let at = target_offset(to, *to_at)?;
            let flags = flags_of(flags, [from, from]);
            let done = drain(thread, from, source, to, at, count, flags).await?;
            *to_at = at.map(|at| at.saturating_add(done as u64) as i64);
            Ok(done)
        }
        (None, Some(target)) => {
            let mut at = source_offset(from, *from_at)?;
            let flags = flags_of(flags, [to, to]);
            let room = until_moved(thread, None, Some(to), flags, || target.room()).await?;
            let would_wait = from.socket().is_ok() && !from.poll().contains(PollEvents::IN);
            if would_wait && flags & raw::SPLICE_F_NONBLOCK != 0 {
                return Err(Errno::EAGAIN);
            }
            let done = copy(thread, from, at.as_mut(), to, None, count.min(room)).await?;
            *from_at = at.map(|at| at as i64);
            Ok(done)
        }
        (None, None) => Err(Errno::EINVAL),
    }
}

/// Where a splice from `file` begins, if not at its position.
fn source_offset(file: &OpenFile, offset: Option<i64>) -> SysResult<Option<u64>> {
    if offset.is_some() && !file.seekable() {
        return Err(Errno::EINVAL);
    }
    let offset = offset.map(u64::try_from).transpose().map_err(|_| Errno::EINVAL)?;
    if can_splice(file) { Ok(offset) } else { Err(Errno::EINVAL) }
}

/// Where a splice to `file` begins, if not at its position.
fn target_offset(file: &OpenFile, offset: Option<i64>) -> SysResult<Option<u64>> {
    if file.flags() & raw::O_APPEND != 0 {
        return Err(Errno::EINVAL);
    }
    source_offset(file, offset)
}

/// Moves what is in a pipe to a file, after waiting for there to be something.
async fn drain(
    thread: &Thread,
    from: &OpenFile,
    pipe: &PipeEnd,
    to: &OpenFile,
    at: Option<u64>,
    count: usize,
    flags: u32,
) -> SysResult {
    let limit = thread.process.limit(Resource::FileSize);
    let mut too_large = false;
    let moved = until_moved(thread, Some(from), Some(to), flags, || {
        pipe.drain(count, |done, bytes| {
            let mut bytes = IoSrc::kernel(bytes);
            if to.special().is_none() {
                bytes.limit_file_size(limit);
            }
            let written = match at {
                Some(at) => to.write_at(at.saturating_add(done as u64), &mut bytes),
                None => to.write(&mut bytes),
            };
            too_large |= bytes.is_over_limit();
            written
        })
    })
    .await;
    if moved == Err(Errno::EFBIG) && too_large {
        signal::file_too_large(thread);
    }
    moved
}

/// tee(2)
pub(crate) async fn tee(
    thread: &Thread,
    from: Fd,
    to: Fd,
    count: usize,
    flags: Flags,
) -> SysResult {
    if flags.0 & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if count == 0 {
        return Ok(0);
    }
    tee_files(thread, &*thread.files.get(from)?, &*thread.files.get(to)?, count, flags).await
}

/// As [`tee`], of open files.
pub(crate) async fn tee_files(
    thread: &Thread,
    from: &OpenFile,
    to: &OpenFile,
    count: usize,
    flags: Flags,
) -> SysResult {
    if flags.0 & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if count == 0 {
        return Ok(0);
    }
    if !from.readable() || !to.writable() {
        return Err(Errno::EBADF);
    }
    let (Some(source), Some(target)) = (from.downcast::<PipeEnd>(), to.downcast::<PipeEnd>())
    else {
        return Err(Errno::EINVAL);
    };
    if source.same_pipe(target) {
        return Err(Errno::EINVAL);
    }
    let flags = flags_of(flags, [from, to]);
    let attempt = || source.transfer(target, count, Transfer::Copy);
    until_moved(thread, Some(from), Some(to), flags, attempt).await
}

/// vmsplice(2): the bytes are copied, as the manual page allows; a pipe that is read from gives them to the guest's memory.
pub(crate) async fn vmsplice(
    thread: &Thread,
    fd: Fd,
    vector: UserPtr<IoVec>,
    count: usize,
    flags: Flags,
) -> SysResult {
    if flags.0 & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let file = thread.files.get(fd)?;
    if !file.readable() && !file.writable() {
        return Err(Errno::EBADF);
    }
    let ranges = ranges(thread, vector, count)?;
    if ranges.iter().all(|range| range.len == 0) {
        return Ok(0);
    }
    if file.downcast::<PipeEnd>().is_none() {
        return Err(Errno::EBADF);
    }
    if file.writable() {
        let mut from = IoSrc::guest_vectored(&*thread.memory, &ranges);
        until_moved(thread, None, Some(&file), flags.0, || file.write(&mut from)).await
    } else {
        let mut into = IoDst::guest_vectored(&*thread.memory, &ranges);
        until_moved(thread, Some(&file), None, flags.0, || file.read(&mut into)).await
    }
}
