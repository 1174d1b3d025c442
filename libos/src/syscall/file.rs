//! Calls about an open file that are not plain reads and writes: directories, sizes, syncing.

use std::sync::Arc;

use linux_raw_sys::general as raw;

use super::fs::{At, install};
use crate::{
    errno::{Errno, SysResult},
    process::{Resource, Thread},
    signal,
    syscall::argument::{Fd, Flags, UserAddr, UserPtr, UserStr},
    vfs::{FileType, LookupFlags, OpenFile, ops, pipe},
};

/// Bytes before the name in struct linux_dirent64, and in the older struct linux_dirent.
const DIRENT64_HEADER: usize = 19;
const DIRENT_HEADER: usize = 18;

/// Collects directory entries and copies them out; `entry` appends one in the call's layout to the buffer.
fn read_directory(
    thread: &Thread,
    fd: Fd,
    buffer: UserAddr,
    size: u32,
    mut append: impl FnMut(&mut Vec<u8>, &crate::vfs::DirEntry<'_>, usize),
    header: usize,
) -> SysResult {
    let file = thread.files.get(fd)?;
    let size = size as usize;
    let start = file.position();
    let mut entries = Vec::new();
    let mut too_small = false;
    file.read_dir(&mut |entry| {
        let length = (header + entry.name.len() + 2).next_multiple_of(8);
        if entries.len() + length > size {
            too_small = entries.is_empty();
            return false;
        }
        let end = entries.len() + length;
        append(&mut entries, entry, length);
        entries.resize(end, 0);
        true
    })?;
    if too_small {
        return Err(Errno::EINVAL);
    }
    if let Err(error) = thread.memory.write_bytes(buffer.0, &entries) {
        // What did not arrive is to be read again.
        file.seek(start as i64, crate::vfs::Whence::Start)?;
        return Err(error);
    }
    Ok(entries.len())
}

/// getdents64(2)
pub(crate) fn getdents64(thread: &Thread, fd: Fd, buffer: UserAddr, size: u32) -> SysResult {
    let append = |out: &mut Vec<u8>, entry: &crate::vfs::DirEntry<'_>, length: usize| {
        out.extend_from_slice(&entry.ino.to_ne_bytes());
        out.extend_from_slice(&entry.next.to_ne_bytes());
        out.extend_from_slice(&(length as u16).to_ne_bytes());
        out.push(entry.kind.dirent_type());
        out.extend_from_slice(entry.name);
    };
    read_directory(thread, fd, buffer, size, append, DIRENT64_HEADER)
}

/// getdents(2): the type is in the last byte.
pub(crate) fn getdents(thread: &Thread, fd: Fd, buffer: UserAddr, size: u32) -> SysResult {
    let append = |out: &mut Vec<u8>, entry: &crate::vfs::DirEntry<'_>, length: usize| {
        let start = out.len();
        out.extend_from_slice(&entry.ino.to_ne_bytes());
        out.extend_from_slice(&entry.next.to_ne_bytes());
        out.extend_from_slice(&(length as u16).to_ne_bytes());
        out.extend_from_slice(entry.name);
        out.resize(start + length - 1, 0);
        out.push(entry.kind.dirent_type());
    };
    read_directory(thread, fd, buffer, size, append, DIRENT_HEADER)
}

/// `EFBIG`, and SIGXFSZ, when a file of `old` bytes would grow to `new` and pass the process's limit.
fn check_size(thread: &Thread, old: u64, new: u64) -> SysResult<()> {
    if new > old && new > thread.process.limit(Resource::FileSize) {
        signal::file_too_large(thread);
        return Err(Errno::EFBIG);
    }
    Ok(())
}

/// truncate(2)
pub(crate) fn truncate(thread: &Thread, path: UserStr, size: i64) -> SysResult<()> {
    let size = u64::try_from(size).map_err(|_| Errno::EINVAL)?;
    let place = At::cwd(thread, path)?.resolve(thread, LookupFlags::FOLLOW)?;
    ops::truncate(&thread.fs.read(), &place, size, |old| check_size(thread, old, size))
}

/// ftruncate(2)
pub(crate) fn ftruncate(thread: &Thread, fd: Fd, size: i64) -> SysResult<()> {
    if size < 0 {
        return Err(Errno::EINVAL);
    }
    resize(thread, &*thread.files.get(fd)?, size)
}

/// As [`ftruncate`], of an open file.
pub(crate) fn resize(thread: &Thread, file: &OpenFile, size: i64) -> SysResult<()> {
    let size = u64::try_from(size).map_err(|_| Errno::EINVAL)?;
    let regular = file.inode().filter(|inode| inode.kind() == FileType::Regular);
    if let (true, Some(inode)) = (file.writable(), regular) {
        check_size(thread, inode.size()?, size)?;
        ops::drop_set_ids(&thread.fs.read().cred, inode)?;
    }
    file.truncate(size)
}

/// fallocate(2)
pub(crate) fn fallocate(
    thread: &Thread,
    fd: Fd,
    mode: u32,
    offset: i64,
    len: i64,
) -> SysResult<()> {
    allocate(thread, &*thread.files.get(fd)?, mode, offset, len)
}

/// As [`fallocate`], of an open file.
pub(crate) fn allocate(
    thread: &Thread,
    file: &OpenFile,
    mode: u32,
    offset: i64,
    len: i64,
) -> SysResult<()> {
    let (Ok(offset), Ok(len)) = (u64::try_from(offset), u64::try_from(len)) else {
        return Err(Errno::EINVAL);
    };
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    let regular = file.inode().filter(|inode| inode.kind() == FileType::Regular);
    if let (true, Some(inode), 0) = (file.writable(), regular, mode & raw::FALLOC_FL_KEEP_SIZE) {
        check_size(thread, inode.size()?, offset.saturating_add(len))?;
    }
    file.allocate(mode, offset, len)
}

/// Has a file stored, off the CPUs if it is the host that stores it.
pub(crate) async fn store(thread: &Thread, file: Arc<OpenFile>, data_only: bool) -> SysResult<()> {
    if file.is_on_host() {
        thread.off_cpu(move || file.sync(data_only)).await
    } else {
        file.sync(data_only)
    }
}

/// fsync(2)
pub(crate) async fn fsync(thread: &Thread, fd: Fd) -> SysResult<()> {
    store(thread, thread.files.get(fd)?, false).await
}

/// fdatasync(2)
pub(crate) async fn fdatasync(thread: &Thread, fd: Fd) -> SysResult<()> {
    store(thread, thread.files.get(fd)?, true).await
}

/// fadvise64(2): checked, and taken as the hint it is.
pub(crate) fn fadvise64(
    thread: &Thread,
    fd: Fd,
    _offset: i64,
    len: i64,
    advice: u32,
) -> SysResult<()> {
    advise(&*thread.files.get(fd)?, len, advice)
}

/// As [`fadvise64`], of an open file.
pub(crate) fn advise(file: &OpenFile, len: i64, advice: u32) -> SysResult<()> {
    if !file.seekable() && file.special().is_some_and(|special| special.wait_queue().is_some()) {
        return Err(Errno::ESPIPE);
    }
    if len < 0 || advice > raw::POSIX_FADV_NOREUSE {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// readahead(2)
pub(crate) fn readahead(thread: &Thread, fd: Fd, _offset: i64, _count: usize) -> SysResult<()> {
    let file = thread.files.get(fd)?;
    if !file.readable() {
        return Err(Errno::EBADF);
    }
    match file.inode().map(|inode| inode.kind()) {
        Some(FileType::Regular) => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// pipe2(2)
pub(crate) fn pipe2(thread: &Thread, ends: UserPtr<[i32; 2]>, flags: Flags) -> SysResult<()> {
    if flags.0 & !(raw::O_CLOEXEC | raw::O_DIRECT | raw::O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let close_on_exec = flags.0 & raw::O_CLOEXEC != 0;
    let (user, group) = {
        let fs = thread.fs.read();
        (fs.cred.fsuid, fs.cred.fsgid)
    };
    let kept = flags.0 & (raw::O_NONBLOCK | raw::O_DIRECT);
    let memory = thread.memory.address_space().memory();
    let (reader, writer) = pipe::pipe(memory, kept, user, group);
    let read = install(thread, reader, close_on_exec)?;
    let written = install(thread, writer, close_on_exec).and_then(|write| {
        ends.write(&thread.memory, &[read.0, write.0])
            .inspect_err(|_| drop(thread.files.remove(write)))
    });
    written.inspect_err(|_| drop(thread.files.remove(read)))
}

/// pipe(2)
pub(crate) fn pipe(thread: &Thread, ends: UserPtr<[i32; 2]>) -> SysResult<()> {
    pipe2(thread, ends, Flags(0))
}

/// sync_file_range(2): the whole file is synced, which is more than asked for.
pub(crate) async fn sync_file_range(
    thread: &Thread,
    fd: Fd,
    offset: i64,
    len: i64,
    flags: Flags,
) -> SysResult<()> {
    store_range(thread, thread.files.get(fd)?, offset, len, flags).await
}

/// As [`sync_file_range`], of an open file.
pub(crate) async fn store_range(
    thread: &Thread,
    file: Arc<OpenFile>,
    offset: i64,
    len: i64,
    flags: Flags,
) -> SysResult<()> {
    let known = raw::SYNC_FILE_RANGE_WAIT_BEFORE
        | raw::SYNC_FILE_RANGE_WRITE
        | raw::SYNC_FILE_RANGE_WAIT_AFTER;
    if flags.0 & !known != 0 || offset < 0 || len < 0 || offset.checked_add(len).is_none() {
        return Err(Errno::EINVAL);
    }
    let stored = matches!(
        file.inode().map(|inode| inode.kind()),
        Some(FileType::Regular | FileType::Directory | FileType::BlockDevice)
    );
    if !stored {
        return Err(Errno::ESPIPE);
    }
    if flags.0 == 0 { Ok(()) } else { store(thread, file, true).await }
}

/// sync(2): what is in memory is all there is, but for what was written through mappings of the host's files.
pub(crate) async fn sync(thread: &Thread) -> SysResult<()> {
    let mounts = thread.fs.read().mounts.top().tree();
    let stores = move || {
        for mount in mounts {
            // sync(2) tells of no errors.
            let _ = mount.superblock().fs().sync();
        }
    };
    thread.off_cpu(stores).await;
    Ok(())
}

/// syncfs(2)
pub(crate) async fn syncfs(thread: &Thread, fd: Fd) -> SysResult<()> {
    let file = thread.files.get(fd)?;
    let Some(mount) = file.path().map(|path| path.mount().clone()) else { return Ok(()) };
    thread.off_cpu(move || mount.superblock().fs().sync()).await
}
