//! What system calls do with paths: open, make, remove, rename, change.
//!
//! The one idea: the checks that Linux makes above the file system (permissions, read-only mounts, sticky directories, trailing slashes)
//! are made here, once; inodes only store.

use std::sync::Arc;

use linux_raw_sys::general as raw;

use super::{
    acl,
    dentry::Dentry,
    inode::{Inode, NewNode, RenameFlags},
    metadata::{AttributeChange, DeviceNumber, FileType, Metadata, StatFs, Timespec},
    mount::{MountFlags, Path},
    notify,
    open_file::OpenFile,
    path::{FinalDots, FsContext, Last, LookupFlags, Walker},
    permission::{self, Access, Capabilities, Credentials},
    writers::Use,
};
use crate::errno::{Errno, SysResult};

/// The place that `path` leads to from `base` (`None`: the working directory).
pub fn resolve(
    ctx: &FsContext,
    base: Option<&Path>,
    path: &[u8],
    flags: LookupFlags,
) -> SysResult<Path> {
    Walker::new(ctx, base, flags).resolve(path)
}

/// `EACCES` unless the caller may access the file at `place` as `want` says.
pub fn check(cred: &Credentials, place: &Path, want: Access) -> SysResult<()> {
    permission::check(cred, &**place.inode(), &place.inode().metadata()?, want)
}

/// What a new entry needs: a directory that can be written and searched, on a mount that can be written.
fn check_dir(cred: &Credentials, dir: &Path) -> SysResult<Metadata> {
    dir.mount().writable()?;
    let metadata = dir.inode().metadata()?;
    permission::check(cred, &**dir.inode(), &metadata, Access::WRITE | Access::EXEC)?;
    Ok(metadata)
}

/// As [`check_dir`], for a new entry; `EOVERFLOW` where the caller is nobody to the file system.
fn check_new(cred: &Credentials, dir: &Path) -> SysResult<Metadata> {
    match dir.mount().superblock().owner().maps(cred.fsuid, cred.fsgid) {
        true => check_dir(cred, dir),
        false => Err(Errno::EOVERFLOW),
    }
}

/// The owner and mode of a new entry of `dir`, with the directory's set-group-id bit and default list taken into account, inode(7) and
/// acl(5). The list itself is [inherited](acl::inherit) once the entry is made.
fn new_node(
    ctx: &FsContext,
    (dir, metadata): (&Path, &Metadata),
    kind: FileType,
    mode: u32,
) -> NewNode<'static> {
    let inherits = metadata.mode & raw::S_ISGID != 0;
    let gid = if inherits { metadata.gid } else { ctx.cred.fsgid };
    let mut mode = match dir.inode().acl(acl::DEFAULT) {
        Some(list) => mode & 0o7000 | list.limited_to(mode).mode(),
        None => mode & 0o7777 & !ctx.umask,
    };
    if inherits && kind.is_dir() {
        mode |= raw::S_ISGID;
    }
    NewNode::new(kind, mode, ctx.cred.fsuid, gid)
}

/// The directory and name of an entry to make; `EEXIST` for one that can not but exist.
fn parent_for_new<'n>(
    walker: &mut Walker<'_>,
    path: &[u8],
    name: &'n mut Last,
    dir: bool,
) -> SysResult<&'n [u8]> {
    *name = walker.resolve_parent(path)?;
    match name {
        Last::Existing(_) => Err(Errno::EEXIST),
        Last::Name(name, slash) => {
            if !walker.at().inode().kind().is_dir() {
                return Err(Errno::ENOTDIR);
            }
            let exists = walker.lookup_last(name)?.is_some();
            match (exists, *slash && !dir) {
                (true, _) => Err(Errno::EEXIST),
                (false, true) => Err(Errno::ENOENT),
                (false, false) => Ok(name),
            }
        }
    }
}

/// Has `create` make an entry at `path`: in which directory, by which name, and what is known of the directory.
fn make<T>(
    ctx: &FsContext,
    base: Option<&Path>,
    path: &[u8],
    dir: bool,
    create: impl FnOnce(&Path, &[u8], &Metadata) -> SysResult<T>,
) -> SysResult<T> {
    let mut walker = Walker::new(ctx, base, LookupFlags::empty());
    let mut last = Last::Existing(FinalDots::Root);
    let name = parent_for_new(&mut walker, path, &mut last, dir)?;
    let metadata = check_new(&ctx.cred, walker.at())?;
    create(walker.at(), name, &metadata)
}

/// Makes the entry `name` of `dir` and tells who watches.
fn add(dir: &Path, name: &[u8], node: &NewNode<'_>) -> SysResult<Arc<Dentry>> {
    let made = dir.dentry().create(name, node)?;
    acl::inherit(&**dir.inode(), &**made.inode(), node.mode)?;
    let flag = if node.kind.is_dir() { raw::IN_ISDIR } else { 0 };
    notify::entry(dir, name, raw::IN_CREATE | flag, 0);
    Ok(made)
}

/// Tells who watches that `victim` is no longer the entry `name` of `dir`; it may have been nobody's but the caller's.
fn tell_removed(dir: &Path, name: &[u8], victim: Arc<Dentry>) {
    if dir.watches().is_idle() {
        return;
    }
    let is_dir = victim.inode().kind().is_dir();
    if !is_dir {
        notify::inode(dir, victim.inode(), raw::IN_ATTRIB);
    }
    lose(dir, victim);
    let flag = if is_dir { raw::IN_ISDIR } else { 0 };
    notify::entry(dir, name, raw::IN_DELETE | flag, 0);
}

/// Lets go of the dentry of a name that was removed from the file system of `place`.
fn lose(place: &Path, victim: Arc<Dentry>) {
    if let Some(farewell) = notify::farewell(place, victim.inode()) {
        victim.keep_farewell(farewell);
    }
}

/// Tells who watches that `moved` is no longer the entry `from_name` of `from` but `to_name` of `to`.
fn tell_moved((from, from_name): (&Path, &[u8]), (to, to_name): (&Path, &[u8]), moved: &Dentry) {
    let cookie = notify::cookie();
    let flag = if moved.inode().kind().is_dir() { raw::IN_ISDIR } else { 0 };
    notify::entry(from, from_name, raw::IN_MOVED_FROM | flag, cookie);
    notify::entry(to, to_name, raw::IN_MOVED_TO | flag, cookie);
}

/// mkdir(2)
pub fn mkdir(ctx: &FsContext, base: Option<&Path>, path: &[u8], mode: u32) -> SysResult<()> {
    make(ctx, base, path, true, |dir, name, metadata| {
        let node = new_node(ctx, (dir, metadata), FileType::Directory, mode & 0o1777);
        add(dir, name, &node).map(drop)
    })
}

/// mknod(2)
pub fn mknod(
    ctx: &FsContext,
    base: Option<&Path>,
    path: &[u8],
    mode: u32,
    device: u64,
) -> SysResult<()> {
    let kind = match mode & raw::S_IFMT {
        0 | raw::S_IFREG => FileType::Regular,
        raw::S_IFIFO => FileType::Fifo,
        raw::S_IFSOCK => FileType::Socket,
        raw::S_IFCHR => FileType::CharDevice,
        raw::S_IFBLK => FileType::BlockDevice,
        raw::S_IFDIR => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    let is_device = matches!(kind, FileType::CharDevice | FileType::BlockDevice);
    make(ctx, base, path, false, |dir, name, metadata| {
        let mut node = new_node(ctx, (dir, metadata), kind, mode);
        if is_device {
            if !ctx.cred.has(Capabilities::MKNOD) {
                return Err(Errno::EPERM);
            }
            node.rdev = DeviceNumber(device);
        }
        add(dir, name, &node).map(drop)
    })
}

/// bind(2) of a socket: makes an inode for it at `path`, if `may` allows it then. `EADDRINUSE` when there is something.
pub fn make_socket(
    ctx: &FsContext,
    path: &[u8],
    may: impl FnOnce() -> SysResult<()>,
) -> SysResult<Path> {
    let made = make(ctx, None, path, false, |dir, name, metadata| {
        may()?;
        let node = new_node(ctx, (dir, metadata), FileType::Socket, 0o777);
        let made = dir.dentry().create(name, &node)?;
        acl::inherit(&**dir.inode(), &**made.inode(), node.mode)?;
        Ok(Path::new(dir.mount().clone(), made))
    });
    made.map_err(|error| if error == Errno::EEXIST { Errno::EADDRINUSE } else { error })
}

/// The socket's inode that `path` leads to, for somebody to connect to: `ECONNREFUSED` for a file of another type.
pub fn find_socket(ctx: &FsContext, path: &[u8]) -> SysResult<Path> {
    let place = resolve(ctx, None, path, LookupFlags::FOLLOW)?;
    check(&ctx.cred, &place, Access::WRITE)?;
    if place.inode().kind() == FileType::Socket { Ok(place) } else { Err(Errno::ECONNREFUSED) }
}

/// symlink(2)
pub fn symlink(ctx: &FsContext, target: &[u8], base: Option<&Path>, path: &[u8]) -> SysResult<()> {
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    make(ctx, base, path, false, |dir, name, metadata| {
        let mut node = new_node(ctx, (dir, metadata), FileType::Symlink, 0);
        (node.mode, node.target) = (0o777, target);
        add(dir, name, &node).map(drop)
    })
}

/// link(2): `target` is the place of the file that gets another name.
pub fn link(ctx: &FsContext, target: &Path, base: Option<&Path>, path: &[u8]) -> SysResult<()> {
    make(ctx, base, path, false, |dir, name, _| {
        if !Arc::ptr_eq(dir.mount(), target.mount()) {
            return Err(Errno::EXDEV);
        }
        if target.inode().kind().is_dir() {
            return Err(Errno::EPERM);
        }
        dir.dentry().link(name, target.inode())?;
        notify::inode(dir, target.inode(), raw::IN_ATTRIB);
        notify::entry(dir, name, raw::IN_CREATE, 0);
        Ok(())
    })
}

/// The directory and name of an entry to remove.
fn entry<'n>(
    walker: &mut Walker<'_>,
    path: &[u8],
    name: &'n mut Last,
    dots: impl FnOnce(FinalDots) -> Errno,
) -> SysResult<(&'n [u8], bool)> {
    *name = walker.resolve_parent(path)?;
    match name {
        Last::Existing(which) => Err(dots(*which)),
        Last::Name(name, slash) => Ok((name, *slash)),
    }
}

/// Whether the entry `victim` of `dir` may be removed: write permission, and the sticky bit's rule.
fn check_removal(cred: &Credentials, dir: &Path, victim: &Dentry) -> SysResult<()> {
    let metadata = check_dir(cred, dir)?;
    cred.check_sticky(&metadata, &victim.inode().metadata()?)
}

/// unlink(2)
pub fn unlink(ctx: &FsContext, base: Option<&Path>, path: &[u8]) -> SysResult<()> {
    let mut walker = Walker::new(ctx, base, LookupFlags::empty());
    let mut last = Last::Existing(FinalDots::Root);
    let (name, slash) = entry(&mut walker, path, &mut last, |_| Errno::EISDIR)?;
    let victim = walker.lookup_last(name)?.ok_or(Errno::ENOENT)?;
    let is_dir = victim.inode().kind().is_dir();
    if slash && !is_dir {
        return Err(Errno::ENOTDIR);
    }
    check_removal(&ctx.cred, walker.at(), &victim)?;
    if is_dir {
        return Err(Errno::EISDIR);
    }
    if victim.is_mount_point() {
        return Err(Errno::EBUSY);
    }
    walker.at().dentry().unlink(name)?;
    tell_removed(walker.at(), name, victim);
    Ok(())
}

/// rmdir(2)
pub fn rmdir(ctx: &FsContext, base: Option<&Path>, path: &[u8]) -> SysResult<()> {
    let mut walker = Walker::new(ctx, base, LookupFlags::empty());
    let mut last = Last::Existing(FinalDots::Root);
    let (name, _) = entry(&mut walker, path, &mut last, |dots| match dots {
        FinalDots::Root => Errno::EBUSY,
        FinalDots::Dot => Errno::EINVAL,
        FinalDots::DotDot => Errno::ENOTEMPTY,
    })?;
    let victim = walker.lookup_last(name)?.ok_or(Errno::ENOENT)?;
    check_removal(&ctx.cred, walker.at(), &victim)?;
    if !victim.inode().kind().is_dir() {
        return Err(Errno::ENOTDIR);
    }
    if victim.is_mount_point() {
        return Err(Errno::EBUSY);
    }
    walker.at().dentry().rmdir(name)?;
    tell_removed(walker.at(), name, victim);
    Ok(())
}

/// rename(2) from one base and path to another.
pub fn rename(
    ctx: &FsContext,
    (from_base, from_path): (Option<&Path>, &[u8]),
    (to_base, to_path): (Option<&Path>, &[u8]),
    flags: RenameFlags,
) -> SysResult<()> {
    if flags.contains(RenameFlags::NOREPLACE | RenameFlags::EXCHANGE) {
        return Err(Errno::EINVAL);
    }
    let mut from = Walker::new(ctx, from_base, LookupFlags::empty());
    let mut to = Walker::new(ctx, to_base, LookupFlags::empty());
    let (mut from_last, mut to_last) =
        (Last::Existing(FinalDots::Root), Last::Existing(FinalDots::Root));
    let (from_name, from_slash) = entry(&mut from, from_path, &mut from_last, |_| Errno::EBUSY)?;
    let no_replace = flags.contains(RenameFlags::NOREPLACE);
    let existing = if no_replace { Errno::EEXIST } else { Errno::EBUSY };
    let (to_name, to_slash) = entry(&mut to, to_path, &mut to_last, |_| existing)?;
    let (from_dir, to_dir) = (from.at(), to.at());
    if !Arc::ptr_eq(from_dir.mount(), to_dir.mount()) {
        return Err(Errno::EXDEV);
    }
    let superblock = from_dir.mount().superblock();
    let _renaming = superblock.rename_lock().lock();
    let old = from.lookup_last(from_name)?.ok_or(Errno::ENOENT)?;
    let new = to.lookup_last(to_name)?;
    let exchange = flags.contains(RenameFlags::EXCHANGE);
    match &new {
        Some(_) if no_replace => return Err(Errno::EEXIST),
        None if exchange => return Err(Errno::ENOENT),
        _ => {}
    }
    let is_dir = |dentry: &Arc<Dentry>| dentry.inode().kind().is_dir();
    let new_is_dir = new.as_ref().is_some_and(is_dir);
    if !is_dir(&old) && (from_slash || !exchange && to_slash) || exchange && to_slash && !new_is_dir
    {
        return Err(Errno::ENOTDIR);
    }
    // A directory may not be moved into itself, nor replace one that it is in.
    if to_dir.dentry().is_within(&old) {
        return Err(Errno::EINVAL);
    }
    if let Some(new) = &new
        && from_dir.dentry().is_within(new)
    {
        return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
    }
    if new.as_ref().is_some_and(|new| Arc::ptr_eq(new.inode(), old.inode())) {
        // Two names of one file: nothing happens, rename(2) says.
        return Ok(());
    }
    check_removal(&ctx.cred, from_dir, &old)?;
    match &new {
        Some(new) => check_removal(&ctx.cred, to_dir, new)?,
        None => drop(check_dir(&ctx.cred, to_dir)?),
    }
    if old.is_mount_point() || new.as_ref().is_some_and(|new| new.is_mount_point()) {
        return Err(Errno::EBUSY);
    }
    if new.is_some() && !exchange {
        match (is_dir(&old), new_is_dir) {
            (true, false) => return Err(Errno::ENOTDIR),
            (false, true) => return Err(Errno::EISDIR),
            _ => {}
        }
    }
    let old_dir = from_dir.dentry();
    old_dir.rename((from_name, &old), to_dir.dentry(), (to_name, new.as_ref()), flags)?;
    if from_dir.watches().is_idle() {
        return Ok(());
    }
    let (from, to) = ((from_dir, from_name), (to_dir, to_name));
    tell_moved(from, to, &old);
    match new {
        Some(new) if exchange => {
            notify::inode(from_dir, old.inode(), raw::IN_MOVE_SELF);
            tell_moved(to, from, &new);
            notify::inode(from_dir, new.inode(), raw::IN_MOVE_SELF);
        }
        Some(replaced) => {
            notify::inode(from_dir, replaced.inode(), raw::IN_ATTRIB);
            notify::inode(from_dir, old.inode(), raw::IN_MOVE_SELF);
            lose(from_dir, replaced);
        }
        None => notify::inode(from_dir, old.inode(), raw::IN_MOVE_SELF),
    }
    Ok(())
}

/// readlink(2); an empty path means the link that the base is.
pub fn read_link(ctx: &FsContext, base: Option<&Path>, path: &[u8]) -> SysResult<Vec<u8>> {
    let place = resolve(ctx, base, path, LookupFlags::EMPTY_PATH)?;
    if place.inode().kind() != FileType::Symlink {
        return Err(if path.is_empty() { Errno::ENOENT } else { Errno::EINVAL });
    }
    place.inode().read_link_as(ctx.pid)
}

/// access(2) with the ids in `ctx`; `mode` is made of `R_OK`, `W_OK` and `X_OK`.
pub fn access(
    ctx: &FsContext,
    base: Option<&Path>,
    path: &[u8],
    mode: u32,
    flags: LookupFlags,
) -> SysResult<()> {
    let place = resolve(ctx, base, path, flags)?;
    let want = Access::from_bits_truncate(mode);
    let metadata = place.inode().metadata()?;
    let on_disk =
        matches!(metadata.kind, FileType::Regular | FileType::Directory | FileType::Symlink);
    if want.contains(Access::WRITE) && on_disk {
        place.mount().writable()?;
    }
    if want.contains(Access::EXEC) && metadata.kind == FileType::Regular {
        place.mount().executable()?;
    }
    permission::check(&ctx.cred, &**place.inode(), &metadata, want)
}

/// Makes `place` the working directory.
pub fn change_dir(ctx: &mut FsContext, place: Path) -> SysResult<()> {
    if !place.inode().kind().is_dir() {
        return Err(Errno::ENOTDIR);
    }
    check(&ctx.cred, &place, Access::EXEC)?;
    ctx.cwd = place;
    Ok(())
}

/// Makes `place` the root directory.
pub fn change_root(ctx: &mut FsContext, place: Path) -> SysResult<()> {
    if !place.inode().kind().is_dir() {
        return Err(Errno::ENOTDIR);
    }
    check(&ctx.cred, &place, Access::EXEC)?;
    if !ctx.cred.has_own(Capabilities::SYS_CHROOT) {
        return Err(Errno::EPERM);
    }
    ctx.root = place;
    Ok(())
}

/// The path of the working directory; `ENOENT` when it was removed.
pub fn working_dir(ctx: &FsContext) -> SysResult<Vec<u8>> {
    if ctx.cwd.dentry().is_unlinked() {
        return Err(Errno::ENOENT);
    }
    Ok(ctx.cwd.to_bytes(&ctx.root))
}

/// statfs(2)
pub fn statfs(place: &Path) -> SysResult<StatFs> {
    let mount = place.mount();
    let mut stat = mount.superblock().fs().statfs()?;
    stat.flags |= mount.flags().bits();
    Ok(stat)
}

/// truncate(2)
pub fn truncate(
    ctx: &FsContext,
    place: &Path,
    size: u64,
    check_size: impl FnOnce(u64) -> SysResult<()>,
) -> SysResult<()> {
    match place.inode().kind() {
        FileType::Regular => {}
        FileType::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::EINVAL),
    }
    place.mount().writable()?;
    check(&ctx.cred, place, Access::WRITE)?;
    let _writing = Use::write(place.inode())?;
    check_size(place.inode().size()?)?;
    drop_set_ids(&ctx.cred, place.inode())?;
    place.inode().resize(size)?;
    notify::file(place, raw::IN_MODIFY);
    Ok(())
}

/// The mode of a file that somebody changed who must not gain its owner's powers by that: inode(7).
fn without_set_ids(mode: u32) -> u32 {
    let group = if mode & raw::S_IXGRP != 0 { raw::S_ISGID } else { 0 };
    mode & !(raw::S_ISUID | group)
}

/// Takes the set-id bits from a file whose content the caller changes, unless the caller may keep them.
pub fn drop_set_ids(cred: &Credentials, inode: &Arc<dyn Inode>) -> SysResult<()> {
    if inode.kind() != FileType::Regular || cred.has(Capabilities::FSETID) {
        return Ok(());
    }
    let metadata = inode.metadata()?;
    let mode = without_set_ids(metadata.mode);
    if mode == metadata.mode || cred.has_over(&metadata, Capabilities::FSETID) {
        return Ok(());
    }
    inode.set_mode(mode)
}

/// chmod(2)
pub fn change_mode(ctx: &FsContext, place: &Path, mode: u32) -> SysResult<()> {
    place.mount().writable()?;
    let inode = place.inode();
    let metadata = inode.metadata()?;
    if metadata.kind == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    if !ctx.cred.owns(&metadata) {
        return Err(Errno::EPERM);
    }
    let mode = if ctx.cred.keeps_group_bit(&metadata) { mode } else { mode & !raw::S_ISGID };
    inode.set_mode(mode)?;
    notify::file(place, raw::IN_ATTRIB);
    Ok(())
}

/// chown(2); ids that are `None` stay.
pub fn change_owner(
    ctx: &FsContext,
    place: &Path,
    uid: Option<u32>,
    gid: Option<u32>,
) -> SysResult<()> {
    place.mount().writable()?;
    let inode = place.inode();
    let metadata = inode.metadata()?;
    if (uid.is_some() || gid.is_some()) && !ctx.cred.has_over(&metadata, Capabilities::CHOWN) {
        let user_changes = uid.is_some_and(|uid| uid != metadata.uid);
        let group_allowed = gid.is_none_or(|gid| gid == metadata.gid || ctx.cred.in_group(gid));
        if user_changes || metadata.uid != ctx.cred.fsuid || !group_allowed {
            return Err(Errno::EPERM);
        }
    }
    // Who changes hands must not keep powers: inode(7).
    let old = metadata.mode;
    let mode = if metadata.kind.is_dir() { old } else { without_set_ids(old) };
    let mode = (mode != old).then_some(mode);
    inode.set_attributes(&AttributeChange { mode, uid, gid, ..Default::default() })?;
    if mode.is_some() || uid.is_some() || gid.is_some() {
        notify::file(place, raw::IN_ATTRIB);
    }
    Ok(())
}

/// utimensat(2); times that are `None` stay. With `only_now` a writer may do it who is not the owner.
pub fn change_times(
    ctx: &FsContext,
    place: &Path,
    atime: Option<Timespec>,
    mtime: Option<Timespec>,
    only_now: bool,
) -> SysResult<()> {
    place.mount().writable()?;
    let inode = place.inode();
    let metadata = inode.metadata()?;
    if !ctx.cred.owns(&metadata) {
        if !only_now {
            return Err(Errno::EPERM);
        }
        permission::check(&ctx.cred, &**inode, &metadata, Access::WRITE)?;
    }
    inode.set_attributes(&AttributeChange { atime, mtime, ..Default::default() })?;
    match (atime, mtime) {
        (Some(_), Some(_)) => notify::file(place, raw::IN_ATTRIB),
        // What looks like a read or a write is told as one.
        (Some(_), None) => notify::file(place, raw::IN_ACCESS),
        (None, Some(_)) => notify::file(place, raw::IN_MODIFY),
        (None, None) => {}
    }
    Ok(())
}

/// open(2). `flags` are its flags, `resolve` the additional rules of openat2(2).
pub fn open(
    ctx: &FsContext,
    base: Option<&Path>,
    path: &[u8],
    flags: u32,
    mode: u32,
    resolve: LookupFlags,
) -> SysResult<Arc<OpenFile>> {
    let mut lookup = resolve;
    lookup.set(LookupFlags::FOLLOW, flags & raw::O_NOFOLLOW == 0);
    let directory = flags & raw::O_DIRECTORY != 0;
    lookup.set(LookupFlags::DIRECTORY, directory);
    if flags & raw::O_PATH != 0 {
        let place = Walker::new(ctx, base, lookup).resolve(path)?;
        return Ok(OpenFile::from_path(place, flags));
    }
    let unnamed = raw::O_TMPFILE & !raw::O_DIRECTORY;
    if flags & unnamed != 0 {
        if !directory || flags & raw::O_ACCMODE == raw::O_RDONLY {
            return Err(Errno::EINVAL);
        }
        return open_unnamed(ctx, Walker::new(ctx, base, lookup).resolve(path)?, flags, mode);
    }
    if flags & raw::O_CREAT == 0 {
        let place = Walker::new(ctx, base, lookup).resolve(path)?;
        return open_place(ctx, place, flags, false);
    }
    if directory {
        return Err(Errno::EINVAL);
    }
    create(ctx, Walker::new(ctx, base, lookup), path, flags, mode)
}

/// open(2) of what is at a place that was found in another way than by a path.
pub fn open_found(ctx: &FsContext, place: Path, flags: u32) -> SysResult<Arc<OpenFile>> {
    if flags & raw::O_PATH != 0 {
        return Ok(OpenFile::from_path(place, flags));
    }
    if flags & raw::O_DIRECTORY != 0 && !place.inode().kind().is_dir() {
        return Err(Errno::ENOTDIR);
    }
    open_place(ctx, place, flags, false)
}

/// open(2) with `O_CREAT`: the last component is made if it does not exist; a link there is followed unless `O_EXCL` or `O_NOFOLLOW`.
fn create(
    ctx: &FsContext,
    mut walker: Walker<'_>,
    path: &[u8],
    flags: u32,
    mode: u32,
) -> SysResult<Arc<OpenFile>> {
    let exclusive = flags & raw::O_EXCL != 0;
    let mut last = walker.resolve_parent(path)?;
    loop {
        let (name, slash) = match last {
            Last::Existing(_) if exclusive => return Err(Errno::EEXIST),
            Last::Existing(_) => return Err(Errno::EISDIR),
            Last::Name(name, slash) => (name, slash),
        };
        if slash {
            return Err(Errno::EISDIR);
        }
        if !walker.at().inode().kind().is_dir() {
            return Err(Errno::ENOTDIR);
        }
        let Some(child) = walker.lookup_last(&name)? else {
            let dir = walker.at();
            let metadata = check_new(&ctx.cred, dir)?;
            let node = new_node(ctx, (dir, &metadata), FileType::Regular, mode);
            match add(dir, &name, &node) {
                Ok(child) => {
                    let place = Path::new(dir.mount().clone(), child);
                    return open_place(ctx, place, flags, true);
                }
                // Somebody else made it first.
                Err(Errno::EEXIST) if !exclusive => {
                    last = Last::Name(name, false);
                    continue;
                }
                Err(error) => return Err(error),
            }
        };
        if exclusive {
            return Err(Errno::EEXIST);
        }
        if child.inode().kind() == FileType::Symlink {
            if flags & raw::O_NOFOLLOW != 0 {
                return Err(Errno::ELOOP);
            }
            match walker.follow_to_parent(&child)? {
                Some(next) => {
                    last = next;
                    continue;
                }
                None => return open_place(ctx, walker.into_place(), flags, false),
            }
        }
        walker.step_to(child)?;
        let place = walker.into_place();
        if place.inode().kind().is_dir() {
            return Err(Errno::EISDIR);
        }
        return open_place(ctx, place, flags, false);
    }
}

/// `O_TMPFILE`: a file without a name in the directory `dir`.
fn open_unnamed(ctx: &FsContext, dir: Path, flags: u32, mode: u32) -> SysResult<Arc<OpenFile>> {
    let metadata = check_new(&ctx.cred, &dir)?;
    let node = new_node(ctx, (&dir, &metadata), FileType::Regular, mode);
    let inode = dir.inode().create_unnamed(&node)?;
    acl::inherit(&**dir.inode(), &*inode, node.mode)?;
    let name = format!("#{}", inode.metadata()?.ino);
    let dentry = dir.dentry().unnamed(inode, name.as_bytes());
    OpenFile::from_path_for_use(Path::new(dir.mount().clone(), dentry), flags)
}

/// Opens what is at `place` and tells who watches. What was just made is opened whatever its mode says.
fn open_place(ctx: &FsContext, place: Path, flags: u32, made: bool) -> SysResult<Arc<OpenFile>> {
    let cuts = !made && flags & raw::O_TRUNC != 0 && place.inode().kind() == FileType::Regular;
    let file = open_quietly(ctx, place, flags, made)?;
    file.announce();
    if cuts {
        file.tell(raw::IN_MODIFY);
    }
    Ok(file)
}

/// Whether device nodes there open: not in what somebody mounted who may make none, who could mount what has some.
fn shows_devices(place: &Path) -> bool {
    let superblock = place.mount().superblock();
    !place.mount().flags().contains(MountFlags::NODEV)
        && (superblock.owner().is_first() || superblock.fs().has_own_devices())
}

fn open_quietly(ctx: &FsContext, place: Path, flags: u32, made: bool) -> SysResult<Arc<OpenFile>> {
    let inode = place.inode().clone();
    let kind = inode.kind();
    let truncate = flags & raw::O_TRUNC != 0;
    let write = flags & raw::O_ACCMODE != raw::O_RDONLY || truncate;
    match kind {
        FileType::Symlink => return Err(Errno::ELOOP),
        FileType::Socket => return Err(Errno::ENXIO),
        FileType::Directory if write => return Err(Errno::EISDIR),
        FileType::CharDevice | FileType::BlockDevice if !shows_devices(&place) => {
            return Err(Errno::EACCES);
        }
        _ => {}
    }
    let on_disk = matches!(kind, FileType::Regular | FileType::Directory);
    if write && on_disk {
        place.mount().writable()?;
    }
    if !made {
        let want = match flags & raw::O_ACCMODE {
            raw::O_RDONLY => Access::READ,
            raw::O_WRONLY => Access::WRITE,
            _ => Access::READ | Access::WRITE,
        };
        let want = if truncate { want | Access::WRITE } else { want };
        let metadata = inode.metadata()?;
        permission::check(&ctx.cred, &*inode, &metadata, want)?;
        if flags & raw::O_NOATIME != 0 && !ctx.cred.owns(&metadata) {
            return Err(Errno::EPERM);
        }
        if truncate && kind == FileType::Regular {
            let _writing = Use::write(&inode)?;
            drop_set_ids(&ctx.cred, &inode)?;
            inode.resize(0)?;
        }
    }
    if let Some(fifo) = inode.fifo() {
        let end = fifo.open(flags)?;
        return Ok(OpenFile::from_file(end, Some(place), flags));
    }
    match inode.open_as(flags, &ctx.cred)? {
        Some(file) => Ok(OpenFile::from_file(file, Some(place), flags)),
        None if on_disk => OpenFile::from_path_for_use(place, flags),
        // A device node without a driver.
        None => Err(Errno::ENXIO),
    }
}
