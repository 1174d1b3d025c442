//! Extended attributes, xattr(7): who may read and write them. Inodes only store them.

use linux_raw_sys::general as raw;

use super::{
    metadata::FileType,
    mount::Path,
    notify,
    path::FsContext,
    permission::{Access, Capabilities},
};
use crate::errno::{Errno, SysResult};

/// The permissions of an attribute's name space, xattr(7).
fn check(ctx: &FsContext, place: &Path, name: &[u8], write: bool) -> SysResult<()> {
    let metadata = place.inode().metadata()?;
    if write {
        place.mount().writable()?;
    }
    let missing = if write { Errno::EPERM } else { Errno::ENODATA };
    if name.starts_with(b"trusted.") && !ctx.cred.has(Capabilities::SYS_ADMIN) {
        return Err(missing);
    }
    if name.starts_with(b"user.")
        && !matches!(metadata.kind, FileType::Regular | FileType::Directory)
    {
        return Err(missing);
    }
    let known: [&[u8]; 4] = [b"user.", b"trusted.", b"security.", b"system."];
    if !known.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(Errno::EOPNOTSUPP);
    }
    if known.contains(&name) {
        return Err(Errno::EINVAL);
    }
    let owns = ctx.cred.owns(&metadata);
    if name.starts_with(b"security.") {
        // Labels: to be read by everybody, to be set by the administrator.
        let allowed = !write || ctx.cred.has(Capabilities::SYS_ADMIN);
        return if allowed { Ok(()) } else { Err(Errno::EPERM) };
    }
    let sticky = metadata.kind.is_dir() && metadata.mode & raw::S_ISVTX != 0;
    if write && !owns && (name.starts_with(b"system.") || sticky) {
        return Err(Errno::EPERM);
    }
    ctx.cred.check(&metadata, if write { Access::WRITE } else { Access::READ })
}

/// getxattr(2)
pub fn get(ctx: &FsContext, place: &Path, name: &[u8]) -> SysResult<Vec<u8>> {
    check(ctx, place, name, false)?;
    place.inode().xattr(name)
}

/// setxattr(2)
pub fn set(ctx: &FsContext, place: &Path, name: &[u8], value: &[u8], flags: u32) -> SysResult<()> {
    check(ctx, place, name, true)?;
    place.inode().set_xattr(name, value, flags)?;
    notify::file(place, raw::IN_ATTRIB);
    Ok(())
}

/// removexattr(2)
pub fn remove(ctx: &FsContext, place: &Path, name: &[u8]) -> SysResult<()> {
    check(ctx, place, name, true)?;
    place.inode().remove_xattr(name)?;
    notify::file(place, raw::IN_ATTRIB);
    Ok(())
}

/// listxattr(2): those that the caller may know of.
pub fn list(ctx: &FsContext, place: &Path) -> SysResult<Vec<Vec<u8>>> {
    let all = place.inode().list_xattrs()?;
    let admin = ctx.cred.has(Capabilities::SYS_ADMIN);
    Ok(all.into_iter().filter(|name| admin || !name.starts_with(b"trusted.")).collect())
}
