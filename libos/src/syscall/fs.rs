//! Calls about names: opening, making, removing, renaming and asking about files by their paths.
//!
//! The one idea: every call without "at" is its *at twin with the working directory, so there is one path into the VFS: `At`.

use std::sync::Arc;

use linux_raw_sys::general as raw;

use super::stat::{RawStatFs, Stat, Statx};
use crate::{
    errno::{Errno, SysResult},
    process::{Resource, Thread},
    syscall::{
        argument::{Fd, Flags, Mode, UserAddr, UserPtr, UserStr},
        terminal,
    },
    vfs::{FsContext, LookupFlags, Metadata, OpenFile, Path, ops, tmpfs},
};

/// A path of the guest, and what it is relative to.
pub(crate) struct At {
    base: Option<Path>,
    path: Vec<u8>,
}

impl At {
    /// Copies the path in and looks the directory up. `EFAULT`, `ENAMETOOLONG`, `ENOENT` for an empty path, `EBADF`, `ENOTDIR`.
    pub(crate) fn new(thread: &Thread, dir: Fd, path: UserStr) -> SysResult<Self> {
        Self::with_flags(thread, dir, path, LookupFlags::empty())
    }

    /// As [`At::new`]; with `EMPTY_PATH` among `flags`, an empty path is the file that `dir` names, whatever it is.
    pub(crate) fn with_flags(
        thread: &Thread,
        dir: Fd,
        path: UserStr,
        flags: LookupFlags,
    ) -> SysResult<Self> {
        Self::given(thread, dir, path.path(&thread.memory)?, flags)
    }

    /// As [`with_flags`](Self::with_flags), with a path that was copied in already.
    pub(crate) fn given(
        thread: &Thread,
        dir: Fd,
        path: Vec<u8>,
        flags: LookupFlags,
    ) -> SysResult<Self> {
        if path.is_empty() && !flags.contains(LookupFlags::EMPTY_PATH) {
            return Err(Errno::ENOENT);
        }
        let base = if dir == Fd::CWD || path.first() == Some(&b'/') {
            None
        } else {
            let file = thread.files.get_any(dir)?;
            // Whether it is a directory is found out by the walk.
            Some(match file.path() {
                Some(place) => place.clone(),
                None if path.is_empty() => file.place()?,
                None => return Err(Errno::ENOTDIR),
            })
        };
        Ok(Self { base, path })
    }

    /// As [`At::new`] for the calls without a directory.
    pub(crate) fn cwd(thread: &Thread, path: UserStr) -> SysResult<Self> {
        Self::new(thread, Fd::CWD, path)
    }

    /// The place it leads to.
    pub(crate) fn resolve(&self, thread: &Thread, flags: LookupFlags) -> SysResult<Path> {
        ops::resolve(&thread.fs.read(), self.base.as_ref(), &self.path, flags)
    }

    /// Calls `operation` with the thread's view of the tree, the base and the path.
    pub(crate) fn with<T>(
        &self,
        thread: &Thread,
        operation: impl FnOnce(&FsContext, Option<&Path>, &[u8]) -> SysResult<T>,
    ) -> SysResult<T> {
        operation(&thread.fs.read(), self.base.as_ref(), &self.path)
    }
}

/// The flags of a lookup from an `AT_*` word of which `known` are allowed; `EINVAL` for others.
fn lookup_flags(flags: Flags, known: u32) -> SysResult<LookupFlags> {
    if flags.0 & !(known | raw::AT_NO_AUTOMOUNT) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut lookup = LookupFlags::FOLLOW;
    lookup.set(LookupFlags::FOLLOW, flags.0 & raw::AT_SYMLINK_NOFOLLOW == 0);
    lookup.set(LookupFlags::EMPTY_PATH, flags.0 & raw::AT_EMPTY_PATH != 0);
    Ok(lookup)
}

/// Gives an opened file a descriptor.
pub(crate) fn install(thread: &Thread, file: Arc<OpenFile>, close_on_exec: bool) -> SysResult<Fd> {
    thread.files.insert(file, close_on_exec, 0, thread.process.limit(Resource::OpenFiles))
}

/// Opens and installs.
async fn open_at(thread: &Thread, at: At, how: How) -> SysResult<Fd> {
    // Before anything is made or cut: without a number to give, nothing happens.
    thread.files.check_room(thread.process.limit(Resource::OpenFiles))?;
    let file = open_file(thread, at, how).await?;
    install(thread, file, how.flags & raw::O_CLOEXEC != 0)
}

/// How a file is to be opened: what [`read_how`] and [`How::new`] have checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// Those of open(2).
    pub(crate) flags: u32,
    mode: u32,
    lookup: LookupFlags,
}

impl How {
    /// As open(2) has it: what is not known is left out.
    pub(crate) fn new(flags: u32, mode: u32) -> Self {
        Self { flags: flags & OPEN_FLAGS, mode: mode & 0o7777, lookup: LookupFlags::empty() }
    }
}

/// Opens; the file's own open may have to wait for the other end of a FIFO.
pub(crate) async fn open_file(thread: &Thread, at: At, how: How) -> SysResult<Arc<OpenFile>> {
    let How { flags, mode, lookup } = how;
    let file = loop {
        match at.with(thread, |fs, base, path| ops::open(fs, base, path, flags, mode, lookup)) {
            // A file that begins as the host's, and is on its disk.
            Err(Errno::EAGAIN) => {
                let mut lookup = lookup;
                lookup.set(LookupFlags::FOLLOW, flags & raw::O_NOFOLLOW == 0);
                let inode = at.resolve(thread, lookup)?.inode().clone();
                thread.off_cpu(move || inode.take_over()).await?;
            }
            opened => break opened?,
        }
    };
    let file = terminal::complete_open(thread, file, flags)?;
    while let (true, Some(queue)) = (file.open_pending(), file.wait_queue()) {
        let mut changed = queue.wait();
        changed.arm();
        if file.open_pending() {
            thread.interruptible(changed).await?;
        }
    }
    Ok(file)
}

/// The bits that open(2) knows; it ignores others, openat2(2) refuses them.
const OPEN_FLAGS: u32 = raw::O_ACCMODE
    | raw::O_CREAT
    | raw::O_EXCL
    | raw::O_NOCTTY
    | raw::O_TRUNC
    | raw::O_APPEND
    | raw::O_NONBLOCK
    | raw::O_SYNC
    | raw::O_DSYNC
    | raw::FASYNC
    | raw::O_DIRECT
    | raw::O_LARGEFILE
    | raw::O_DIRECTORY
    | raw::O_NOFOLLOW
    | raw::O_NOATIME
    | raw::O_CLOEXEC
    | raw::O_PATH
    | raw::O_TMPFILE;

/// open(2)
pub(crate) async fn open(
    thread: &Thread,
    path: UserStr,
    flags: Flags,
    mode: Mode,
) -> SysResult<Fd> {
    openat(thread, Fd::CWD, path, flags, mode).await
}

/// creat(2)
pub(crate) async fn creat(thread: &Thread, path: UserStr, mode: Mode) -> SysResult<Fd> {
    openat(thread, Fd::CWD, path, Flags(raw::O_CREAT | raw::O_WRONLY | raw::O_TRUNC), mode).await
}

/// openat(2)
pub(crate) async fn openat(
    thread: &Thread,
    dir: Fd,
    path: UserStr,
    flags: Flags,
    mode: Mode,
) -> SysResult<Fd> {
    let at = At::new(thread, dir, path)?;
    open_at(thread, at, How::new(flags.0, mode.0)).await
}

/// openat2(2)
pub(crate) async fn openat2(
    thread: &Thread,
    dir: Fd,
    path: UserStr,
    how: UserPtr<[u64; 3]>,
    size: usize,
) -> SysResult<Fd> {
    let how = read_how(thread, how, size)?;
    open_at(thread, At::new(thread, dir, path)?, how).await
}

/// Copies a `struct open_how` and checks it. `EINVAL`, `E2BIG`, `EFAULT`; `EAGAIN` for what could wait and may not.
pub(crate) fn read_how(thread: &Thread, how: UserPtr<[u64; 3]>, size: usize) -> SysResult<How> {
    const KNOWN: usize = 24;
    if size < KNOWN {
        return Err(Errno::EINVAL);
    }
    if size > hal::pmem::PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    let [flags, mode, resolve] = how.read(&thread.memory)?;
    let mut rest = vec![0; size - KNOWN];
    thread.memory.read_bytes(how.addr().wrapping_add(KNOWN as u64), &mut rest)?;
    if rest.iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG);
    }
    let creates = flags & u64::from(raw::O_CREAT | (raw::O_TMPFILE & !raw::O_DIRECTORY)) != 0;
    if flags & !u64::from(OPEN_FLAGS) != 0 || mode & !0o7777 != 0 || mode != 0 && !creates {
        return Err(Errno::EINVAL);
    }
    let resolves = [
        (raw::RESOLVE_NO_XDEV, LookupFlags::NO_XDEV),
        (raw::RESOLVE_NO_MAGICLINKS, LookupFlags::NO_MAGICLINKS),
        (raw::RESOLVE_NO_SYMLINKS, LookupFlags::NO_SYMLINKS),
        (raw::RESOLVE_BENEATH, LookupFlags::BENEATH),
        (raw::RESOLVE_IN_ROOT, LookupFlags::IN_ROOT),
    ];
    let mut lookup = LookupFlags::empty();
    let mut left = resolve;
    for (bit, flag) in resolves {
        if resolve & u64::from(bit) != 0 {
            lookup |= flag;
            left &= !u64::from(bit);
        }
    }
    if left == u64::from(raw::RESOLVE_CACHED) {
        return Err(Errno::EAGAIN);
    }
    if left != 0 || lookup.contains(LookupFlags::BENEATH | LookupFlags::IN_ROOT) {
        return Err(Errno::EINVAL);
    }
    Ok(How { flags: flags as u32, mode: mode as u32, lookup })
}

/// The path that a stat is about: Linux takes a null pointer for an empty one since 6.11.
pub(crate) fn stat_path(thread: &Thread, path: UserStr, flags: Flags) -> SysResult<Vec<u8>> {
    let none = path.is_null() && flags.0 & raw::AT_EMPTY_PATH != 0;
    if none { Ok(Vec::new()) } else { path.path(&thread.memory) }
}

fn stat_at(thread: &Thread, dir: Fd, path: UserStr, flags: Flags) -> SysResult<(Metadata, u64)> {
    let lookup = stat_lookup(flags)?;
    stat_given(thread, dir, stat_path(thread, path, flags)?, lookup)
}

fn stat_lookup(flags: Flags) -> SysResult<LookupFlags> {
    lookup_flags(flags, raw::AT_SYMLINK_NOFOLLOW | raw::AT_EMPTY_PATH | raw::AT_STATX_SYNC_TYPE)
}

fn stat_given(
    thread: &Thread,
    dir: Fd,
    path: Vec<u8>,
    lookup: LookupFlags,
) -> SysResult<(Metadata, u64)> {
    // A descriptor may name what has no path.
    if lookup.contains(LookupFlags::EMPTY_PATH) && path.is_empty() && dir != Fd::CWD {
        let file = thread.files.get_any(dir)?;
        let mount = file.path().map_or(0, |path| path.mount().id());
        return Ok((file.metadata()?, mount));
    }
    let place = At::given(thread, dir, path, lookup)?.resolve(thread, lookup)?;
    Ok((place.inode().metadata()?, place.mount().id()))
}

/// What the thread sees of a file: owner and group by their numbers in its namespace of users.
fn shown(thread: &Thread, metadata: Metadata) -> Metadata {
    let users = thread.process.user_namespace();
    let (uid, gid) = (users.shown_user(metadata.uid), users.shown_group(metadata.gid));
    Metadata { uid, gid, ..metadata }
}

/// stat(2)
pub(crate) fn stat(thread: &Thread, path: UserStr, into: UserPtr<Stat>) -> SysResult<()> {
    newfstatat(thread, Fd::CWD, path, into, Flags(0))
}

/// lstat(2)
pub(crate) fn lstat(thread: &Thread, path: UserStr, into: UserPtr<Stat>) -> SysResult<()> {
    newfstatat(thread, Fd::CWD, path, into, Flags(raw::AT_SYMLINK_NOFOLLOW))
}

/// fstat(2)
pub(crate) fn fstat(thread: &Thread, fd: Fd, into: UserPtr<Stat>) -> SysResult<()> {
    let metadata = thread.files.with(fd, OpenFile::metadata)?;
    into.write(&thread.memory, &Stat::from(&shown(thread, metadata)))
}

/// newfstatat(2)
pub(crate) fn newfstatat(
    thread: &Thread,
    dir: Fd,
    path: UserStr,
    into: UserPtr<Stat>,
    flags: Flags,
) -> SysResult<()> {
    let (metadata, _) = stat_at(thread, dir, path, flags)?;
    into.write(&thread.memory, &Stat::from(&shown(thread, metadata)))
}

/// statx(2)
pub(crate) fn statx(
    thread: &Thread,
    dir: Fd,
    path: UserStr,
    flags: Flags,
    mask: u32,
    into: UserPtr<Statx>,
) -> SysResult<()> {
    check_statx(flags, mask)?;
    statx_given(thread, dir, stat_path(thread, path, flags)?, flags, into)
}

/// `EINVAL` for a statx(2) that makes no sense.
pub(crate) fn check_statx(flags: Flags, mask: u32) -> SysResult<()> {
    let sync = flags.0 & raw::AT_STATX_SYNC_TYPE;
    if mask & raw::STATX__RESERVED != 0 || sync == raw::AT_STATX_SYNC_TYPE {
        return Err(Errno::EINVAL);
    }
    stat_lookup(flags).map(drop)
}

/// As [`statx`], checked and with its [path](stat_path) copied.
pub(crate) fn statx_given(
    thread: &Thread,
    dir: Fd,
    path: Vec<u8>,
    flags: Flags,
    into: UserPtr<Statx>,
) -> SysResult<()> {
    let (metadata, mount) = stat_given(thread, dir, path, stat_lookup(flags)?)?;
    into.write(&thread.memory, &Statx::new(&shown(thread, metadata), mount))
}

/// statfs(2)
pub(crate) fn statfs(thread: &Thread, path: UserStr, into: UserPtr<RawStatFs>) -> SysResult<()> {
    let place = At::cwd(thread, path)?.resolve(thread, LookupFlags::FOLLOW)?;
    into.write(&thread.memory, &RawStatFs::from(&ops::statfs(&place)?))
}

/// fstatfs(2)
pub(crate) fn fstatfs(thread: &Thread, fd: Fd, into: UserPtr<RawStatFs>) -> SysResult<()> {
    let file = thread.files.get_any(fd)?;
    let stat = file.statfs()?;
    into.write(&thread.memory, &RawStatFs::from(&stat))
}

/// access(2)
pub(crate) fn access(thread: &Thread, path: UserStr, mode: u32) -> SysResult<()> {
    faccessat2(thread, Fd::CWD, path, mode, Flags(0))
}

/// faccessat(2)
pub(crate) fn faccessat(thread: &Thread, dir: Fd, path: UserStr, mode: u32) -> SysResult<()> {
    faccessat2(thread, dir, path, mode, Flags(0))
}

/// faccessat2(2): with the real ids, unless `AT_EACCESS`.
pub(crate) fn faccessat2(
    thread: &Thread,
    dir: Fd,
    path: UserStr,
    mode: u32,
    flags: Flags,
) -> SysResult<()> {
    let lookup = lookup_flags(
        Flags(flags.0 & !raw::AT_EACCESS),
        raw::AT_SYMLINK_NOFOLLOW | raw::AT_EMPTY_PATH,
    )?;
    if mode & !7 != 0 {
        return Err(Errno::EINVAL);
    }
    let at = At::with_flags(thread, dir, path, lookup)?;
    let mut fs = thread.fs.read().clone();
    if flags.0 & raw::AT_EACCESS == 0 {
        let ids = thread.process.ids.lock();
        let cred = Arc::make_mut(&mut fs.cred);
        (cred.fsuid, cred.fsgid) = (ids.users[0], ids.groups[0]);
        let is_root = Some(cred.fsuid) == ids.namespace.root();
        cred.caps = if is_root { ids.permitted } else { crate::vfs::Capabilities::empty() };
    }
    ops::access(&fs, at.base.as_ref(), &at.path, mode, lookup)
}

/// memfd_create(2)
pub(crate) fn memfd_create(thread: &Thread, name: UserStr, flags: Flags) -> SysResult<Fd> {
    /// Longest name: `NAME_MAX` less `memfd:`.
    const MAX_NAME: usize = 249;
    let known = raw::MFD_CLOEXEC | raw::MFD_ALLOW_SEALING | raw::MFD_NOEXEC_SEAL | raw::MFD_EXEC;
    if flags.0 & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let name = name.string(&thread.memory, MAX_NAME + 1, Errno::EINVAL)?;
    let (root, cred) = {
        let fs = thread.fs.read();
        (fs.root.clone(), fs.cred.clone())
    };
    let no_exec = flags.0 & raw::MFD_NOEXEC_SEAL != 0;
    let sealable = no_exec || flags.0 & raw::MFD_ALLOW_SEALING != 0;
    let memory = &thread.process.kernel.memory;
    let inode = tmpfs::unnamed_file(memory, cred.fsuid, cred.fsgid, sealable)?;
    if no_exec {
        inode.set_mode(0o666)?;
    }
    let dentry = root.dentry().unnamed(inode, &[b"memfd:", &name[..]].concat());
    let file = OpenFile::from_path(Path::new(root.mount().clone(), dentry), raw::O_RDWR);
    install(thread, file, flags.0 & raw::MFD_CLOEXEC != 0)
}

/// mkdir(2)
pub(crate) fn mkdir(thread: &Thread, path: UserStr, mode: Mode) -> SysResult<()> {
    mkdirat(thread, Fd::CWD, path, mode)
}

/// mkdirat(2)
pub(crate) fn mkdirat(thread: &Thread, dir: Fd, path: UserStr, mode: Mode) -> SysResult<()> {
    mkdir_given(thread, dir, path.path(&thread.memory)?, mode)
}

/// As [`mkdirat`], with its path copied.
pub(crate) fn mkdir_given(thread: &Thread, dir: Fd, path: Vec<u8>, mode: Mode) -> SysResult<()> {
    let at = At::given(thread, dir, path, LookupFlags::empty())?;
    at.with(thread, |fs, base, path| ops::mkdir(fs, base, path, mode.0))
}

/// mknod(2)
pub(crate) fn mknod(thread: &Thread, path: UserStr, mode: Mode, device: u64) -> SysResult<()> {
    mknodat(thread, Fd::CWD, path, mode, device)
}

/// mknodat(2)
pub(crate) fn mknodat(
    thread: &Thread,
    dir: Fd,
    path: UserStr,
    mode: Mode,
    device: u64,
) -> SysResult<()> {
    At::new(thread, dir, path)?
        .with(thread, |fs, base, path| ops::mknod(fs, base, path, mode.0, device))
}

/// rmdir(2)
pub(crate) fn rmdir(thread: &Thread, path: UserStr) -> SysResult<()> {
    unlinkat(thread, Fd::CWD, path, Flags(raw::AT_REMOVEDIR))
}

/// unlink(2)
pub(crate) fn unlink(thread: &Thread, path: UserStr) -> SysResult<()> {
    unlinkat(thread, Fd::CWD, path, Flags(0))
}

/// unlinkat(2)
pub(crate) fn unlinkat(thread: &Thread, dir: Fd, path: UserStr, flags: Flags) -> SysResult<()> {
    if flags.0 & !raw::AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    unlink_given(thread, dir, path.path(&thread.memory)?, flags)
}

/// As [`unlinkat`], checked and with its path copied.
pub(crate) fn unlink_given(thread: &Thread, dir: Fd, path: Vec<u8>, flags: Flags) -> SysResult<()> {
    let at = At::given(thread, dir, path, LookupFlags::empty())?;
    at.with(thread, |fs, base, path| match flags.0 {
        0 => ops::unlink(fs, base, path),
        _ => ops::rmdir(fs, base, path),
    })
}

/// rename(2)
pub(crate) fn rename(thread: &Thread, from: UserStr, to: UserStr) -> SysResult<()> {
    renameat2(thread, Fd::CWD, from, Fd::CWD, to, Flags(0))
}

/// renameat(2)
pub(crate) fn renameat(
    thread: &Thread,
    from_dir: Fd,
    from: UserStr,
    to_dir: Fd,
    to: UserStr,
) -> SysResult<()> {
    renameat2(thread, from_dir, from, to_dir, to, Flags(0))
}

/// renameat2(2); `RENAME_WHITEOUT` is for overlay file systems and refused.
pub(crate) fn renameat2(
    thread: &Thread,
    from_dir: Fd,
    from: UserStr,
    to_dir: Fd,
    to: UserStr,
    flags: Flags,
) -> SysResult<()> {
    let flags = crate::vfs::RenameFlags::from_bits(flags.0).ok_or(Errno::EINVAL)?;
    let path = |path: UserStr| path.path(&thread.memory);
    rename_given(thread, (from_dir, path(from)?), (to_dir, path(to)?), flags)
}

/// As [`renameat2`], with its paths copied.
pub(crate) fn rename_given(
    thread: &Thread,
    (from_dir, from): (Fd, Vec<u8>),
    (to_dir, to): (Fd, Vec<u8>),
    flags: crate::vfs::RenameFlags,
) -> SysResult<()> {
    let from = At::given(thread, from_dir, from, LookupFlags::empty())?;
    let to = At::given(thread, to_dir, to, LookupFlags::empty())?;
    let fs = thread.fs.read();
    ops::rename(&fs, (from.base.as_ref(), &from.path), (to.base.as_ref(), &to.path), flags)
}

/// link(2)
pub(crate) fn link(thread: &Thread, from: UserStr, to: UserStr) -> SysResult<()> {
    linkat(thread, Fd::CWD, from, Fd::CWD, to, Flags(0))
}

/// linkat(2)
pub(crate) fn linkat(
    thread: &Thread,
    from_dir: Fd,
    from: UserStr,
    to_dir: Fd,
    to: UserStr,
    flags: Flags,
) -> SysResult<()> {
    if flags.0 & !(raw::AT_SYMLINK_FOLLOW | raw::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let path = |path: UserStr| path.path(&thread.memory);
    link_given(thread, (from_dir, path(from)?), (to_dir, path(to)?), flags)
}

/// As [`linkat`], checked and with its paths copied.
pub(crate) fn link_given(
    thread: &Thread,
    (from_dir, from): (Fd, Vec<u8>),
    (to_dir, to): (Fd, Vec<u8>),
    flags: Flags,
) -> SysResult<()> {
    let mut lookup = LookupFlags::empty();
    lookup.set(LookupFlags::FOLLOW, flags.0 & raw::AT_SYMLINK_FOLLOW != 0);
    lookup.set(LookupFlags::EMPTY_PATH, flags.0 & raw::AT_EMPTY_PATH != 0);
    let target = At::given(thread, from_dir, from, lookup)?.resolve(thread, lookup)?;
    let at = At::given(thread, to_dir, to, LookupFlags::empty())?;
    at.with(thread, |fs, base, path| ops::link(fs, &target, base, path))
}

/// symlink(2)
pub(crate) fn symlink(thread: &Thread, target: UserStr, path: UserStr) -> SysResult<()> {
    symlinkat(thread, target, Fd::CWD, path)
}

/// symlinkat(2)
pub(crate) fn symlinkat(thread: &Thread, target: UserStr, dir: Fd, path: UserStr) -> SysResult<()> {
    let target = target.path(&thread.memory)?;
    symlink_given(thread, &target, dir, path.path(&thread.memory)?)
}

/// As [`symlinkat`], with its paths copied.
pub(crate) fn symlink_given(
    thread: &Thread,
    target: &[u8],
    dir: Fd,
    path: Vec<u8>,
) -> SysResult<()> {
    let at = At::given(thread, dir, path, LookupFlags::empty())?;
    at.with(thread, |fs, base, path| ops::symlink(fs, target, base, path))
}

/// readlink(2)
pub(crate) fn readlink(thread: &Thread, path: UserStr, buffer: UserAddr, size: i32) -> SysResult {
    readlinkat(thread, Fd::CWD, path, buffer, size)
}

/// readlinkat(2)
pub(crate) fn readlinkat(
    thread: &Thread,
    dir: Fd,
    path: UserStr,
    buffer: UserAddr,
    size: i32,
) -> SysResult {
    let size = usize::try_from(size).ok().filter(|&size| size > 0).ok_or(Errno::EINVAL)?;
    let at = At::with_flags(thread, dir, path, LookupFlags::EMPTY_PATH)?;
    let target = at.with(thread, ops::read_link)?;
    let part = &target[..target.len().min(size)];
    thread.memory.write_bytes(buffer.0, part)?;
    Ok(part.len())
}

/// chdir(2)
pub(crate) fn chdir(thread: &Thread, path: UserStr) -> SysResult<()> {
    let place =
        At::cwd(thread, path)?.resolve(thread, LookupFlags::FOLLOW | LookupFlags::DIRECTORY)?;
    thread.fs.change(|fs| ops::change_dir(fs, place))
}

/// fchdir(2)
pub(crate) fn fchdir(thread: &Thread, fd: Fd) -> SysResult<()> {
    let file = thread.files.get_any(fd)?;
    let place = file.path().ok_or(Errno::ENOTDIR)?.clone();
    thread.fs.change(|fs| ops::change_dir(fs, place))
}

/// chroot(2)
pub(crate) fn chroot(thread: &Thread, path: UserStr) -> SysResult<()> {
    let place =
        At::cwd(thread, path)?.resolve(thread, LookupFlags::FOLLOW | LookupFlags::DIRECTORY)?;
    thread.fs.change(|fs| ops::change_root(fs, place))
}

/// getcwd(2): with its NUL.
pub(crate) fn getcwd(thread: &Thread, buffer: UserAddr, size: usize) -> SysResult {
    let mut path = {
        let fs = thread.fs.read();
        ops::working_dir(&fs)?
    };
    path.push(0);
    if path.len() > size {
        return Err(Errno::ERANGE);
    }
    thread.memory.write_bytes(buffer.0, &path)?;
    Ok(path.len())
}

/// umask(2)
pub(crate) fn umask(thread: &Thread, mask: Mode) -> SysResult<u32> {
    thread.fs.change(|fs| Ok(std::mem::replace(&mut fs.umask, mask.0 & 0o777)))
}
