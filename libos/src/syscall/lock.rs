//! flock(2) and the locking commands of fcntl(2).

use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    syscall::argument::{Fd, UserPtr},
    vfs::{
        OpenFile,
        lock::{FileLock, LockKind, LockOwner},
    },
};

/// flock(2)
pub(crate) async fn flock(thread: &Thread, fd: Fd, operation: u32) -> SysResult<()> {
    let file = thread.files.get(fd)?;
    let wait = operation & raw::LOCK_NB == 0;
    let operation = operation & !raw::LOCK_NB;
    let locks = &thread.process.kernel.locks;
    let lock = FileLock {
        owner: LockOwner::of(&file),
        pid: thread.process.pid,
        start: 0,
        last: u64::MAX,
        exclusive: operation == raw::LOCK_EX,
    };
    match operation {
        raw::LOCK_UN => locks.release(&file, LockKind::Whole, lock),
        raw::LOCK_SH | raw::LOCK_EX => acquire(thread, &file, LockKind::Whole, lock, wait).await,
        _ => Err(Errno::EINVAL),
    }
}

/// Takes a lock; `EAGAIN` when another is in its way and it may not wait.
async fn acquire(
    thread: &Thread,
    file: &OpenFile,
    kind: LockKind,
    lock: FileLock,
    wait: bool,
) -> SysResult<()> {
    let locks = &thread.process.kernel.locks;
    loop {
        let mut changed = locks.changed().wait();
        changed.arm();
        if locks.acquire(file, kind, lock)?.is_none() {
            return Ok(());
        }
        if !wait {
            return Err(Errno::EAGAIN);
        }
        thread.interruptible(changed).await?;
    }
}

/// struct flock
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RawFlock {
    kind: i16,
    whence: i16,
    padding: u32,
    start: i64,
    len: i64,
    pid: i32,
    tail: u32,
}

const F_RDLCK: i16 = 0;
const F_WRLCK: i16 = 1;
const F_UNLCK: i16 = 2;

impl RawFlock {
    /// The bytes that it names, with `lseek`'s three places to count from.
    fn range(&self, file: &OpenFile) -> SysResult<(u64, u64)> {
        let base = match self.whence {
            0 => 0,
            1 => i64::try_from(file.position()).map_err(|_| Errno::EOVERFLOW)?,
            2 => i64::try_from(file.metadata()?.size).map_err(|_| Errno::EOVERFLOW)?,
            _ => return Err(Errno::EINVAL),
        };
        let start = base.checked_add(self.start).ok_or(Errno::EOVERFLOW)?;
        let (start, last) = match self.len {
            0 => (start, i64::MAX),
            len if len > 0 => (start, start.checked_add(len - 1).ok_or(Errno::EOVERFLOW)?),
            len => (start.checked_add(len).ok_or(Errno::EINVAL)?, start - 1),
        };
        let start = u64::try_from(start).map_err(|_| Errno::EINVAL)?;
        let last = if last == i64::MAX {
            u64::MAX
        } else {
            u64::try_from(last).map_err(|_| Errno::EINVAL)?
        };
        Ok((start, last))
    }
}

/// Whether `command` is one that [`record`] carries out.
pub(crate) fn is_record_command(command: u32) -> bool {
    matches!(
        command,
        raw::F_GETLK
            | raw::F_SETLK
            | raw::F_SETLKW
            | raw::F_OFD_GETLK
            | raw::F_OFD_SETLK
            | raw::F_OFD_SETLKW
    )
}

/// The locking commands of fcntl(2).
pub(crate) async fn record(
    thread: &Thread,
    file: &OpenFile,
    command: u32,
    argument: u64,
) -> SysResult<u64> {
    if file.is_path_only() {
        return Err(Errno::EBADF);
    }
    let pointer = UserPtr::<RawFlock>::new(argument);
    let mut request = pointer.read(&thread.memory)?;
    let by_file = matches!(command, raw::F_OFD_GETLK | raw::F_OFD_SETLK | raw::F_OFD_SETLKW);
    if by_file && request.pid != 0 {
        return Err(Errno::EINVAL);
    }
    let query = matches!(command, raw::F_GETLK | raw::F_OFD_GETLK);
    if !(F_RDLCK..=F_UNLCK).contains(&request.kind) || (query && request.kind == F_UNLCK) {
        return Err(Errno::EINVAL);
    }
    let (start, last) = request.range(file)?;
    let pid = thread.process.pid;
    let owner = if by_file { LockOwner::of(file) } else { LockOwner::Process(pid) };
    let lock = FileLock { owner, pid, start, last, exclusive: request.kind == F_WRLCK };
    let locks = &thread.process.kernel.locks;
    if query {
        match locks.conflict(file, LockKind::Record, &lock)? {
            None => request.kind = F_UNLCK,
            Some(other) => {
                request.kind = if other.exclusive { F_WRLCK } else { F_RDLCK };
                request.whence = 0;
                request.start = other.start as i64;
                // A lock to the end has the length 0: the difference wraps to it.
                request.len = if other.last == u64::MAX {
                    0
                } else {
                    other.last.wrapping_sub(other.start).wrapping_add(1) as i64
                };
                request.pid = match other.owner {
                    LockOwner::Process(pid) => thread.process.sees(pid),
                    LockOwner::OpenFile(_) => -1,
                };
            }
        }
        return pointer.write(&thread.memory, &request).map(|()| 0);
    }
    match request.kind {
        F_RDLCK if !file.readable() => return Err(Errno::EBADF),
        F_WRLCK if !file.writable() => return Err(Errno::EBADF),
        F_UNLCK => locks.release(file, LockKind::Record, lock)?,
        _ => {
            let wait = matches!(command, raw::F_SETLKW | raw::F_OFD_SETLKW);
            acquire(thread, file, LockKind::Record, lock, wait).await?;
        }
    }
    Ok(0)
}
