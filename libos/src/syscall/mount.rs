//! mount(2) and umount2(2).
//!
//! The one idea: one call with many meanings; its flags decide here which verb of the tree of mounts is wanted.

use std::sync::Arc;

use hal::pmem::PAGE_SIZE;
use linux_raw_sys::general as raw;

use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    syscall::{
        argument::{Flags, UserStr},
        fs::At,
    },
    tty::{DevPts, PtySettings, Terminals},
    vfs::{
        Capabilities, FileSystem, LookupFlags, MountFlags, Path, Superblock,
        mount::Unmount,
        mqueuefs::MqueueFs,
        procfs::{ProcFs, SysFs},
        quota::Limits,
        tmpfs::Tmpfs,
    },
};

/// The longest text of options and names: a page, as Linux copies one.
const TEXT_MAX: usize = 4096;

/// A magic number that old programs put into the upper half of the flags.
const MS_MGC_VAL: u64 = 0xc0ed_0000;
const MS_MGC_MSK: u64 = 0xffff_0000;

/// The flags that are kept with a mount.
const KEPT: u64 = MountFlags::all().bits();

fn text(thread: &Thread, text: UserStr) -> SysResult<Option<Vec<u8>>> {
    if text.is_null() {
        return Ok(None);
    }
    text.string(&thread.memory, TEXT_MAX, Errno::EINVAL).map(Some)
}

/// `EPERM` unless the caller may change its tree of mounts.
fn check_admin(thread: &Thread) -> SysResult<()> {
    let fs = thread.fs.read();
    let allowed = fs.cred.has_in(fs.mounts.owner(), Capabilities::SYS_ADMIN);
    if allowed { Ok(()) } else { Err(Errno::EPERM) }
}

/// `EINVAL` for a place in another tree than the caller's, which may be somebody else's.
fn check_tree(thread: &Thread, place: &Path) -> SysResult<()> {
    if thread.fs.read().mounts.contains(place) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// The flags of a mount for those of the call: access times as `relatime` has them unless something else is said.
fn mount_flags(flags: u64) -> MountFlags {
    let mut kept = MountFlags::from_bits_truncate(flags & KEPT);
    let other = u64::from(raw::MS_STRICTATIME) | MountFlags::NOATIME.bits();
    kept.set(MountFlags::RELATIME, flags & other == 0);
    kept
}

/// As [`mount_flags`], of a mount that had `old`: access times stay as they are unless something is said.
fn remount_flags(flags: u64, old: MountFlags) -> MountFlags {
    let times = MountFlags::NOATIME | MountFlags::RELATIME;
    match flags & (times.bits() | u64::from(raw::MS_STRICTATIME | raw::MS_NODIRATIME)) {
        0 => (MountFlags::from_bits_truncate(flags & KEPT) - times) | (old & times),
        _ => mount_flags(flags),
    }
}

/// mount(2)
pub(crate) fn mount(
    thread: &Thread,
    source: UserStr,
    target: UserStr,
    kind: UserStr,
    flags: u64,
    data: UserStr,
) -> SysResult<()> {
    let kind = text(thread, kind)?;
    let source_text = text(thread, source)?;
    let data = text(thread, data)?.unwrap_or_default();
    let flags = if flags & MS_MGC_MSK == MS_MGC_VAL { flags & !MS_MGC_MSK } else { flags };
    let mut target = At::cwd(thread, target)?.resolve(thread, LookupFlags::FOLLOW)?;
    check_admin(thread)?;
    // Onto what is on top, where the path is that of the working directory below it.
    target.cross_mounts();
    let has = |bit: u32| flags & u64::from(bit) != 0;
    if has(raw::MS_NOUSER) {
        return Err(Errno::EINVAL);
    }
    let from = || {
        let empty = source_text.as_ref().is_none_or(|text| text.is_empty());
        if empty {
            return Err(Errno::EINVAL);
        }
        At::cwd(thread, source)?.resolve(thread, LookupFlags::FOLLOW)
    };
    check_tree(thread, &target)?;
    if has(raw::MS_REMOUNT) {
        let flags = remount_flags(flags, target.mount().flags());
        if has(raw::MS_BIND) {
            return target.remount(flags);
        }
        let superblock = target.mount().superblock();
        if target.is_mount_root() {
            if !thread.fs.read().cred.has_in(superblock.owner(), Capabilities::SYS_ADMIN) {
                return Err(Errno::EPERM);
            }
            if let Some(tmpfs) = Tmpfs::of(superblock.fs()) {
                tmpfs.set_limits(TmpfsOptions::parse(thread, &data)?.limits)?;
            }
        }
        return target.remount(flags);
    }
    if has(raw::MS_BIND) {
        let from = from()?;
        if !from.is_lone() {
            check_tree(thread, &from)?;
        }
        return target.bind_here(&from, has(raw::MS_REC));
    }
    if has(raw::MS_SHARED | raw::MS_PRIVATE | raw::MS_SLAVE | raw::MS_UNBINDABLE) {
        return propagate(&target, flags);
    }
    if has(raw::MS_MOVE) {
        let from = from()?;
        check_tree(thread, &from)?;
        return target.move_here(&from);
    }
    let fs = make(thread, &kind.ok_or(Errno::EINVAL)?, &data)?;
    let name = source_text.unwrap_or_else(|| b"none".to_vec());
    let name = String::from_utf8_lossy(&name);
    let superblock = Superblock::of(thread.process.user_namespace(), fs);
    target.mount_here(superblock, None, mount_flags(flags), &name).map(drop)
}

/// What happens to the copies of a mount: here each is on its own, and all that can be asked for is that it stays so.
fn propagate(target: &Path, flags: u64) -> SysResult<()> {
    let flags = flags & !u64::from(raw::MS_REC | raw::MS_SILENT);
    if !target.is_mount_root() {
        return Err(Errno::EINVAL);
    }
    // A slave of nobody is private.
    if flags == u64::from(raw::MS_PRIVATE) || flags == u64::from(raw::MS_SLAVE) {
        return Ok(());
    }
    let one = u64::from(raw::MS_SHARED | raw::MS_UNBINDABLE);
    Err(if flags & !one == 0 && flags.is_power_of_two() {
        Errno::EOPNOTSUPP
    } else {
        Errno::EINVAL
    })
}

/// A new file system of the type with the options in `data`. `ENODEV` for a type that is not known, `EINVAL` for an option that is not, `EPERM` for
/// one that shows what belongs to others.
fn make(thread: &Thread, kind: &[u8], data: &[u8]) -> SysResult<Arc<dyn FileSystem>> {
    let kernel = &thread.process.kernel;
    // Whose what it shows is.
    let owner = match kind {
        b"proc" => thread.process.pid_namespace.owner.clone(),
        b"sysfs" => thread.net().owner.clone(),
        b"mqueue" => thread.ipc().owner.clone(),
        _ => thread.process.user_namespace(),
    };
    let known = matches!(kind, b"tmpfs" | b"ramfs" | b"proc" | b"sysfs" | b"devpts" | b"mqueue");
    if known && !thread.fs.read().cred.has_in(&owner, Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let without_options =
        |fs: Arc<dyn FileSystem>| if data.is_empty() { Ok(fs) } else { Err(Errno::EINVAL) };
    match kind {
        b"tmpfs" | b"ramfs" => {
            let name = if kind == b"tmpfs" { "tmpfs" } else { "ramfs" };
            tmpfs(thread, name, data)
        }
        b"proc" => {
            let numbers = &thread.process.pid_namespace;
            without_options(ProcFs::of_namespace(kernel, numbers))
        }
        b"devpts" => {
            let settings = PtySettings::parse(data, &thread.process.user_namespace())?;
            Ok(DevPts::new(&Terminals::instance(kernel, settings)))
        }
        b"sysfs" => {
            let network = Arc::clone(&thread.net().inet);
            without_options(SysFs::new(kernel.cpus.count(), network, None))
        }
        b"mqueue" => {
            let fs = kernel.mqueues.superblock().fs();
            MqueueFs::of(fs).ok_or(Errno::ENODEV)?;
            without_options(Arc::clone(fs))
        }
        _ => Err(Errno::ENODEV),
    }
}

/// The options of a tmpfs(5).
struct TmpfsOptions {
    mode: u32,
    owner: u32,
    group: u32,
    limits: Limits,
}

impl TmpfsOptions {
    /// `EINVAL` for one that is not known, or a value that is none.
    fn parse(thread: &Thread, data: &[u8]) -> SysResult<Self> {
        let kernel = &thread.process.kernel;
        let (owner, group, users) = {
            let cred = &thread.fs.read().cred;
            (cred.fsuid, cred.fsgid, cred.namespace.clone())
        };
        let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
        let mut options = Self { mode: 0o1777, owner, group, limits: Limits::default() };
        let (all, _) = kernel.memory_size();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let number = |radix| u32::from_str_radix(value, radix).map_err(|_| Errno::EINVAL);
            match key {
                "mode" => options.mode = number(8)? & 0o7777,
                "uid" => options.owner = users.kernel_user(number(10)?)?,
                "gid" => options.group = users.kernel_group(number(10)?)?,
                "size" => options.limits.bytes = Some(size(value, all)?),
                "nr_blocks" => {
                    let pages = size(value, 0)?;
                    options.limits.bytes = Some(pages.saturating_mul(PAGE_SIZE as u64));
                }
                "nr_inodes" => options.limits.inodes = Some(size(value, 0)?),
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(options)
    }
}

fn tmpfs(thread: &Thread, name: &'static str, data: &[u8]) -> SysResult<Arc<dyn FileSystem>> {
    let options = TmpfsOptions::parse(thread, data)?;
    let fs = Tmpfs::with_type(&thread.process.kernel.memory, options.mode, name)?;
    let (uid, gid) = (Some(options.owner), Some(options.group));
    fs.root().set_attributes(&crate::vfs::AttributeChange { uid, gid, ..Default::default() })?;
    // ramfs takes them and knows no limits.
    if name == "tmpfs" {
        fs.set_limits(options.limits)?;
    }
    Ok(fs)
}

/// A number with one of Linux's suffixes; a part of `all` if that is a percent sign, and `all` is something.
fn size(value: &str, all: u64) -> SysResult<u64> {
    let digits = value.trim_end_matches(|last: char| !last.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    let factor = match &value[digits.len()..] {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        "t" | "T" => 1 << 40,
        "%" if all != 0 => return Ok((u128::from(all) * u128::from(number) / 100) as u64),
        _ => return Err(Errno::EINVAL),
    };
    Ok(number.saturating_mul(factor))
}

/// pivot_root(2)
pub(crate) fn pivot_root(thread: &Thread, new: UserStr, old: UserStr) -> SysResult<()> {
    check_admin(thread)?;
    let lookup = LookupFlags::FOLLOW | LookupFlags::DIRECTORY;
    let new = At::cwd(thread, new)?.resolve(thread, lookup)?;
    let mut put_old = At::cwd(thread, old)?.resolve(thread, lookup)?;
    put_old.cross_mounts();
    let root = {
        let context = thread.fs.read();
        context.pivot(&new, &put_old)?;
        context.root.clone()
    };
    let kernel = &thread.process.kernel;
    for process in kernel.pids.processes() {
        for thread in process.threads() {
            thread.fs.change(|context| {
                context.follow_pivot(&root, &new);
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// umount2(2)
pub(crate) fn umount2(thread: &Thread, target: UserStr, flags: Flags) -> SysResult<()> {
    let flags = flags.0;
    let known = raw::MNT_FORCE | raw::MNT_DETACH | raw::MNT_EXPIRE | raw::UMOUNT_NOFOLLOW;
    if flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let mut lookup = LookupFlags::empty();
    lookup.set(LookupFlags::FOLLOW, flags & raw::UMOUNT_NOFOLLOW == 0);
    let mut place = At::cwd(thread, target)?.resolve(thread, lookup)?;
    check_admin(thread)?;
    place.cross_mounts();
    check_tree(thread, &place)?;
    if flags & raw::MNT_EXPIRE != 0 {
        let alone = flags & (raw::MNT_FORCE | raw::MNT_DETACH) == 0;
        return Err(if alone { Errno::EOPNOTSUPP } else { Errno::EINVAL });
    }
    let how = if flags & raw::MNT_DETACH != 0 { Unmount::Detach } else { Unmount::IfUnused };
    place.unmount(how)
}
