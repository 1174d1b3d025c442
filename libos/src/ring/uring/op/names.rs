//! Operations about names, and about files that only have their attributes changed.
//!
//! The one idea: paths are copied when the submission is taken. None of these waits, but for opening a FIFO or what begins as the host's.

use std::sync::{Arc, Weak};

use linux_raw_sys::general as raw;

use super::*;
use crate::{
    ring::uring::registered::Resource,
    syscall::{
        argument::{Flags, Mode, UserPtr, UserStr},
        descriptor,
        file::{advise, allocate, resize, store_range},
        fs::{self, How},
        table,
    },
    vfs::{LookupFlags, RenameFlags},
};

/// Checks what is about names. `EINVAL`; `EBADF` for a registered file, which these do not take.
pub(super) fn prepare(thread: &Thread, sqe: &Sqe) -> SysResult<Prepared> {
    let Sqe { opcode, addr, off, len, op_flags, .. } = *sqe;
    let path = |address: u64| UserStr(address).path(&thread.memory);
    let fixed = sqe.flags & FIXED_FILE != 0;
    if !matches!(opcode, OPENAT | OPENAT2) && sqe.file_index != 0 || sqe.buf_index != 0 {
        return Err(Errno::EINVAL);
    }
    if fixed {
        return Err(Errno::EBADF);
    }
    Ok(match opcode {
        OPENAT => Prepared::Open(path(addr)?, direct(sqe, How::new(op_flags, len))?),
        OPENAT2 => {
            let how = fs::read_how(thread, UserPtr::new(off), len as usize)?;
            Prepared::Open(path(addr)?, direct(sqe, how)?)
        }
        STATX => {
            fs::check_statx(Flags(op_flags), len)?;
            Prepared::Paths(fs::stat_path(thread, UserStr(addr), Flags(op_flags))?, Vec::new())
        }
        RENAMEAT => {
            RenameFlags::from_bits(op_flags).ok_or(Errno::EINVAL)?;
            Prepared::Paths(path(addr)?, path(off)?)
        }
        UNLINKAT => {
            if off != 0 || len != 0 || op_flags & !raw::AT_REMOVEDIR != 0 {
                return Err(Errno::EINVAL);
            }
            Prepared::Paths(path(addr)?, Vec::new())
        }
        MKDIRAT => {
            if off != 0 || op_flags != 0 {
                return Err(Errno::EINVAL);
            }
            Prepared::Paths(path(addr)?, Vec::new())
        }
        SYMLINKAT => {
            if len != 0 || op_flags != 0 {
                return Err(Errno::EINVAL);
            }
            Prepared::Paths(path(addr)?, path(off)?)
        }
        LINKAT => {
            if op_flags & !(raw::AT_SYMLINK_FOLLOW | raw::AT_EMPTY_PATH) != 0 {
                return Err(Errno::EINVAL);
            }
            Prepared::Paths(path(addr)?, path(off)?)
        }
        _ => Prepared::Nothing,
    })
}

/// A registered file has no flag that closes it. `EINVAL`.
fn direct(sqe: &Sqe, how: How) -> SysResult<How> {
    let wrong = sqe.file_index != 0 && how.flags & raw::O_CLOEXEC != 0;
    if wrong { Err(Errno::EINVAL) } else { Ok(how) }
}

/// What is about names and ends at once.
pub(super) fn now(thread: &Thread, request: &Request) -> Option<SysResult<usize>> {
    let Request { sqe, prepared: Prepared::Paths(first, second), .. } = request else {
        return None;
    };
    let (first, second) = (first.clone(), second.clone());
    let (dir, flags) = (Fd(sqe.fd), Flags(sqe.op_flags));
    // The other directory, where there are two.
    let to = Fd(sqe.len as i32);
    let done = match sqe.opcode {
        STATX => fs::statx_given(thread, dir, first, flags, UserPtr::new(sqe.off)),
        RENAMEAT => {
            let flags = RenameFlags::from_bits_truncate(sqe.op_flags);
            fs::rename_given(thread, (dir, first), (to, second), flags)
        }
        UNLINKAT => fs::unlink_given(thread, dir, first, flags),
        MKDIRAT => fs::mkdir_given(thread, dir, first, Mode(sqe.len)),
        SYMLINKAT => fs::symlink_given(thread, &first, dir, second),
        LINKAT => fs::link_given(thread, (dir, first), (to, second), flags),
        _ => return None,
    };
    Some(done.map(|()| 0))
}

/// Opens, and gives the file a descriptor or a place in the ring's table.
pub(super) async fn open(
    ring: &Weak<Uring>,
    operation: &Operation,
    request: &Request,
    until: Option<u64>,
) -> Outcome {
    let Request { sqe, prepared: Prepared::Open(path, how), .. } = request else {
        return Outcome::error(Errno::EINVAL);
    };
    let thread = operation.thread();
    let opened = async {
        let at = fs::At::given(thread, Fd(sqe.fd), path.clone(), LookupFlags::empty())?;
        let file = fs::open_file(thread, at, *how).await?;
        let ring = ring.upgrade().ok_or(Errno::ECANCELED)?;
        let close_on_exec = how.flags & raw::O_CLOEXEC != 0;
        install(&ring, thread, file, sqe.file_index, close_on_exec).map(|place| place as u64)
    };
    operation.until(until, opened).await.map(|place| place as usize).into()
}

/// `file_index` that means any free place.
const ANY: u32 = u32::MAX;

/// Gives a file a descriptor, or with a `place` other than 0 that in the ring's table, less 1: what the operation's result is.
pub(super) fn install(
    ring: &Uring,
    thread: &Thread,
    file: Arc<OpenFile>,
    place: u32,
    close_on_exec: bool,
) -> SysResult<usize> {
    if place == 0 {
        return fs::install(thread, file, close_on_exec).map(|fd| fd.0 as usize);
    }
    if file.downcast::<Uring>().is_some() {
        return Err(Errno::EBADF);
    }
    if place == ANY {
        return install_anywhere(ring, file);
    }
    let resource = Resource::new(file, 0, ring.me.clone());
    let old = ring.files.lock().replace(place as usize - 1, Some(resource));
    old.map(|_| 0)
}

/// close(2) of a descriptor, or of a place in the ring's table.
pub(super) fn close(ring: &Uring, thread: &Thread, sqe: &Sqe) -> SysResult<usize> {
    if sqe.file_index == 0 {
        let file = thread.files.get_any(Fd(sqe.fd))?;
        if file.downcast::<Uring>().is_some() {
            return Err(Errno::EBADF);
        }
        return descriptor::close(thread, Fd(sqe.fd)).map(|()| 0);
    }
    let mut files = ring.files.lock();
    let index = sqe.file_index as usize - 1;
    if !files.is_registered() {
        return Err(Errno::ENXIO);
    }
    if index >= files.len()? {
        return Err(Errno::EINVAL);
    }
    let old = files.replace(index, None)?;
    drop(files);
    old.map(|_| 0).ok_or(Errno::EBADF)
}

/// Checks what changes a file's attributes, or says how it will be used.
pub(super) fn prepare_attribute(sqe: &Sqe) -> SysResult<Prepared> {
    let Sqe { opcode, addr, off, len, op_flags, buf_index, file_index, .. } = *sqe;
    let wrong = buf_index != 0
        || file_index != 0
        || match opcode {
            FALLOCATE => op_flags != 0,
            SYNC_FILE_RANGE => addr != 0,
            FTRUNCATE => op_flags != 0 || addr != 0 || len != 0,
            CLOSE => off != 0 || addr != 0 || len != 0 || op_flags != 0,
            _ => false,
        };
    if wrong { Err(Errno::EINVAL) } else { Ok(Prepared::Nothing) }
}

/// What changes a file's attributes, or says how it will be used, and ends at once.
pub(super) fn attribute_now(ring: &Uring, thread: &Thread, sqe: &Sqe) -> SysResult<usize> {
    let file = file(ring, thread, sqe)?;
    let Sqe { addr, off, len, op_flags, .. } = *sqe;
    let done = match sqe.opcode {
        // Its length has a field of 64 bits.
        FALLOCATE => allocate(thread, &file, len, off as i64, addr as i64),
        FADVISE => {
            let len = if addr != 0 { addr as i64 } else { len.into() };
            advise(&file, len, op_flags)
        }
        FTRUNCATE => resize(thread, &file, off as i64),
        _ => Err(Errno::EINVAL),
    };
    done.map(|()| 0)
}

/// sync_file_range(2)
pub(super) async fn sync_range(
    ring: &Weak<Uring>,
    operation: &Operation,
    sqe: &Sqe,
    until: Option<u64>,
) -> Outcome {
    let synced = async {
        let file = file_of(ring, operation, sqe)?;
        let Sqe { off, len, op_flags, .. } = *sqe;
        let thread = operation.thread();
        let stored = store_range(thread, file, off as i64, len.into(), Flags(op_flags));
        stored.await.map(|()| 0)
    };
    operation.until(until, synced).await.map(|_| 0).into()
}

/// Checks what is about extended attributes.
pub(super) fn prepare_xattr(sqe: &Sqe) -> SysResult<Prepared> {
    if sqe.flags & FIXED_FILE != 0 {
        return Err(Errno::EBADF);
    }
    let gets = matches!(sqe.opcode, GETXATTR | FGETXATTR);
    if gets && sqe.op_flags != 0 { Err(Errno::EINVAL) } else { Ok(Prepared::Nothing) }
}

/// What is about extended attributes.
pub(super) fn xattr_now(thread: &Thread, sqe: &Sqe) -> SysResult<usize> {
    let Sqe { fd, off: value, addr: name, len, op_flags, addr3: path, .. } = *sqe;
    let (fd, len, flags) = (i64::from(fd) as u64, u64::from(len), u64::from(op_flags));
    let (number, arguments) = match sqe.opcode {
        GETXATTR => (raw::__NR_getxattr, [path, name, value, len, 0, 0]),
        SETXATTR => (raw::__NR_setxattr, [path, name, value, len, flags, 0]),
        FGETXATTR => (raw::__NR_fgetxattr, [fd, name, value, len, 0, 0]),
        _ => (raw::__NR_fsetxattr, [fd, name, value, len, flags, 0]),
    };
    call_now(thread, number, arguments)
}

/// Makes a system call that ends at once.
pub(super) fn call_now(thread: &Thread, number: u32, arguments: [u64; 6]) -> SysResult<usize> {
    let result = table::dispatch_now(thread, number.into(), &arguments);
    result.unwrap_or(Err(Errno::EINVAL)).map(|value| value as usize)
}
