//! Changing what is known of a file besides its content: mode, owner, times, extended attributes.

use linux_raw_sys::general as raw;

use super::{fs::At, stat::RawTimespec};
use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    syscall::argument::{Fd, Flags, Mode, UserAddr, UserPtr, UserStr},
    vfs::{LookupFlags, Path, Timespec, ops, xattr},
};

/// The place of an open file; `EBADF`.
fn place_of(thread: &Thread, fd: Fd) -> SysResult<Path> {
    thread.files.get(fd)?.place()
}

fn place(thread: &Thread, dir: Fd, path: UserStr, flags: u32) -> SysResult<Path> {
    if flags & !(raw::AT_SYMLINK_NOFOLLOW | raw::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut lookup = LookupFlags::FOLLOW;
    lookup.set(LookupFlags::FOLLOW, flags & raw::AT_SYMLINK_NOFOLLOW == 0);
    lookup.set(LookupFlags::EMPTY_PATH, flags & raw::AT_EMPTY_PATH != 0);
    At::with_flags(thread, dir, path, lookup)?.resolve(thread, lookup)
}

/// chmod(2)
pub(crate) fn chmod(thread: &Thread, path: UserStr, mode: Mode) -> SysResult<()> {
    fchmodat2(thread, Fd::CWD, path, mode, Flags(0))
}

/// fchmod(2)
pub(crate) fn fchmod(thread: &Thread, fd: Fd, mode: Mode) -> SysResult<()> {
    let place = place_of(thread, fd)?;
    ops::change_mode(&thread.fs.read(), &place, mode.0 & 0o7777)
}

/// fchmodat(2)
pub(crate) fn fchmodat(thread: &Thread, dir: Fd, path: UserStr, mode: Mode) -> SysResult<()> {
    fchmodat2(thread, dir, path, mode, Flags(0))
}

/// fchmodat2(2)
pub(crate) fn fchmodat2(
    thread: &Thread,
    dir: Fd,
    path: UserStr,
    mode: Mode,
    flags: Flags,
) -> SysResult<()> {
    let place = place(thread, dir, path, flags.0)?;
    ops::change_mode(&thread.fs.read(), &place, mode.0 & 0o7777)
}

/// The kernel's user and group for those that the guest names, `None` for "as it is"; `EINVAL` for one that is nobody.
fn owner(thread: &Thread, user: u32, group: u32) -> SysResult<(Option<u32>, Option<u32>)> {
    let users = thread.process.user_namespace();
    let wanted = |id: u32| (id != u32::MAX).then_some(id);
    let user = wanted(user).map(|user| users.kernel_user(user)).transpose()?;
    let group = wanted(group).map(|group| users.kernel_group(group)).transpose()?;
    Ok((user, group))
}

/// chown(2)
pub(crate) fn chown(thread: &Thread, path: UserStr, user: u32, group: u32) -> SysResult<()> {
    fchownat(thread, Fd::CWD, path, user, group, Flags(0))
}

/// lchown(2)
pub(crate) fn lchown(thread: &Thread, path: UserStr, user: u32, group: u32) -> SysResult<()> {
    fchownat(thread, Fd::CWD, path, user, group, Flags(raw::AT_SYMLINK_NOFOLLOW))
}

/// fchown(2)
pub(crate) fn fchown(thread: &Thread, fd: Fd, user: u32, group: u32) -> SysResult<()> {
    let place = place_of(thread, fd)?;
    let (user, group) = owner(thread, user, group)?;
    ops::change_owner(&thread.fs.read(), &place, user, group)
}

/// fchownat(2)
pub(crate) fn fchownat(
    thread: &Thread,
    dir: Fd,
    path: UserStr,
    user: u32,
    group: u32,
    flags: Flags,
) -> SysResult<()> {
    let place = place(thread, dir, path, flags.0)?;
    let (user, group) = owner(thread, user, group)?;
    ops::change_owner(&thread.fs.read(), &place, user, group)
}

/// One of the two times of utimensat(2): `None` is `UTIME_OMIT`. The flag says that it was `UTIME_NOW`.
fn time(raw: RawTimespec, now: Timespec) -> SysResult<(Option<Timespec>, bool)> {
    match raw.nsec {
        nsec if nsec == i64::from(raw::UTIME_NOW) => Ok((Some(now), true)),
        nsec if nsec == i64::from(raw::UTIME_OMIT) => Ok((None, false)),
        nsec @ 0..=999_999_999 => Ok((Some(Timespec { sec: raw.sec, nsec: nsec as u32 }), false)),
        _ => Err(Errno::EINVAL),
    }
}

fn set_times(thread: &Thread, place: &Path, times: Option<[RawTimespec; 2]>) -> SysResult<()> {
    let now = Timespec::now();
    let (access, modification, only_now) = match times {
        None => (Some(now), Some(now), true),
        Some([access, modification]) => {
            let (access, access_now) = time(access, now)?;
            let (modification, modification_now) = time(modification, now)?;
            (access, modification, access_now && modification_now)
        }
    };
    if access.is_none() && modification.is_none() {
        return Ok(());
    }
    ops::change_times(&thread.fs.read(), place, access, modification, only_now)
}

/// utimensat(2): a null path means the open file itself.
pub(crate) fn utimensat(
    thread: &Thread,
    dir: Fd,
    path: UserStr,
    times: UserPtr<[RawTimespec; 2]>,
    flags: Flags,
) -> SysResult<()> {
    let times = times.non_null().map(|pointer| pointer.read(&thread.memory)).transpose()?;
    let place = if path.is_null() && dir != Fd::CWD {
        if flags.0 != 0 {
            return Err(Errno::EINVAL);
        }
        place_of(thread, dir)?
    } else {
        place(thread, dir, path, flags.0)?
    };
    set_times(thread, &place, times)
}

/// The times of utimes(2), in microseconds.
fn from_micros(times: [[i64; 2]; 2]) -> SysResult<[RawTimespec; 2]> {
    let mut out = [RawTimespec::default(); 2];
    for (out, [sec, micros]) in out.iter_mut().zip(times) {
        if !(0..1_000_000).contains(&micros) {
            return Err(Errno::EINVAL);
        }
        *out = RawTimespec { sec, nsec: micros * 1000 };
    }
    Ok(out)
}

/// utimes(2)
pub(crate) fn utimes(
    thread: &Thread,
    path: UserStr,
    times: UserPtr<[[i64; 2]; 2]>,
) -> SysResult<()> {
    futimesat(thread, Fd::CWD, path, times)
}

/// futimesat(2)
pub(crate) fn futimesat(
    thread: &Thread,
    dir: Fd,
    path: UserStr,
    times: UserPtr<[[i64; 2]; 2]>,
) -> SysResult<()> {
    let times = times.non_null().map(|pointer| pointer.read(&thread.memory)).transpose()?;
    let times = times.map(from_micros).transpose()?;
    let itself = path.is_null() && dir != Fd::CWD;
    let place = if itself { place_of(thread, dir)? } else { place(thread, dir, path, 0)? };
    set_times(thread, &place, times)
}

/// utime(2)
pub(crate) fn utime(thread: &Thread, path: UserStr, times: UserPtr<[i64; 2]>) -> SysResult<()> {
    let times = times.non_null().map(|pointer| pointer.read(&thread.memory)).transpose()?;
    let times = times.map(|times| times.map(|sec| RawTimespec { sec, nsec: 0 }));
    let place = place(thread, Fd::CWD, path, 0)?;
    set_times(thread, &place, times)
}

/// Bytes of an attribute's name and of its value or a list of names, xattr(7).
const NAME_MAX: usize = 255;
const VALUE_MAX: usize = 65_536;

fn attribute_name(thread: &Thread, name: UserStr) -> SysResult<Vec<u8>> {
    let name = name.string(&thread.memory, NAME_MAX + 1, Errno::ERANGE)?;
    if name.is_empty() { Err(Errno::ERANGE) } else { Ok(name) }
}

/// Copies `bytes` out if there is room; without any, tells how much is needed.
fn give(thread: &Thread, bytes: &[u8], into: UserAddr, size: usize) -> SysResult {
    if size != 0 {
        if bytes.len() > size {
            return Err(Errno::ERANGE);
        }
        thread.memory.write_bytes(into.0, bytes)?;
    }
    Ok(bytes.len())
}

fn get(thread: &Thread, place: &Path, name: UserStr, into: UserAddr, size: usize) -> SysResult {
    let name = attribute_name(thread, name)?;
    let value = xattr::get(&thread.fs.read(), place, &name)?;
    give(thread, &value, into, size)
}

fn list(thread: &Thread, place: &Path, into: UserAddr, size: usize) -> SysResult {
    let names = xattr::list(&thread.fs.read(), place)?;
    let mut bytes = names.join(&0);
    if !names.is_empty() {
        bytes.push(0);
    }
    give(thread, &bytes, into, size)
}

fn set(
    thread: &Thread,
    place: &Path,
    name: UserStr,
    value: UserAddr,
    size: usize,
    flags: Flags,
) -> SysResult<()> {
    if flags.0 & !(raw::XATTR_CREATE | raw::XATTR_REPLACE) != 0 {
        return Err(Errno::EINVAL);
    }
    let name = attribute_name(thread, name)?;
    if size > VALUE_MAX {
        return Err(Errno::E2BIG);
    }
    let mut bytes = vec![0; size];
    thread.memory.read_bytes(value.0, &mut bytes)?;
    xattr::set(&thread.fs.read(), place, &name, &bytes, flags.0)
}

fn remove(thread: &Thread, place: &Path, name: UserStr) -> SysResult<()> {
    let name = attribute_name(thread, name)?;
    xattr::remove(&thread.fs.read(), place, &name)
}

/// Defines the path, no-follow and descriptor variants of a call on extended attributes.
macro_rules! three_ways {
    ($verb:ident -> $ret:ty: $by_path:ident $by_link:ident $by_fd:ident ($($name:ident: $ty:ty),*)) => {
        #[doc = concat!(stringify!($by_path), "(2)")]
        pub(crate) fn $by_path(thread: &Thread, path: UserStr, $($name: $ty),*) -> SysResult<$ret> {
            $verb(thread, &place(thread, Fd::CWD, path, 0)?, $($name),*)
        }

        #[doc = concat!(stringify!($by_link), "(2)")]
        pub(crate) fn $by_link(thread: &Thread, path: UserStr, $($name: $ty),*) -> SysResult<$ret> {
            $verb(thread, &place(thread, Fd::CWD, path, raw::AT_SYMLINK_NOFOLLOW)?, $($name),*)
        }

        #[doc = concat!(stringify!($by_fd), "(2)")]
        pub(crate) fn $by_fd(thread: &Thread, fd: Fd, $($name: $ty),*) -> SysResult<$ret> {
            $verb(thread, &place_of(thread, fd)?, $($name),*)
        }
    };
}

three_ways!(get -> usize: getxattr lgetxattr fgetxattr (name: UserStr, into: UserAddr, size: usize));
three_ways!(list -> usize: listxattr llistxattr flistxattr (into: UserAddr, size: usize));
three_ways!(set -> (): setxattr lsetxattr fsetxattr (name: UserStr, value: UserAddr, size: usize, flags: Flags));
three_ways!(remove -> (): removexattr lremovexattr fremovexattr (name: UserStr));
