//! Extended attributes, xattr(7): who may read and write them. Inodes only store them.

use linux_raw_sys::general as raw;

use super::{
    acl::{self, Acl},
    metadata::FileType,
    mount::Path,
    notify,
    path::FsContext,
    permission::{self, Access, Capabilities},
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
    let want = if write { Access::WRITE } else { Access::READ };
    permission::check(&ctx.cred, &**place.inode(), &metadata, want)
}

/// Whether the attribute is an access control list.
fn is_acl(name: &[u8]) -> bool {
    name == acl::ACCESS || name == acl::DEFAULT
}

/// Gives a file the access control list that `value` is, or takes that away.
fn set_acl(ctx: &FsContext, place: &Path, name: &[u8], value: Option<&[u8]>) -> SysResult<()> {
    let list = match value {
        Some(value) if !value.is_empty() => Acl::decode(value, &ctx.cred.namespace)?,
        _ => None,
    };
    place.mount().writable()?;
    let metadata = place.inode().metadata()?;
    if !ctx.cred.owns(&metadata) {
        return Err(Errno::EPERM);
    }
    let keeps = ctx.cred.keeps_group_bit(&metadata);
    acl::set(&**place.inode(), &metadata, name, list.as_ref(), keeps)?;
    notify::file(place, raw::IN_ATTRIB);
    Ok(())
}

/// getxattr(2)
pub fn get(ctx: &FsContext, place: &Path, name: &[u8]) -> SysResult<Vec<u8>> {
    if is_acl(name) {
        let inode = &**place.inode();
        let metadata = inode.metadata()?;
        if metadata.kind == FileType::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        let list = match name {
            acl::ACCESS => acl::of_file(inode, &metadata),
            _ => inode.acl(name),
        };
        return match list {
            Some(list) => Ok(list.encode(&ctx.cred.namespace)),
            // As a file system says it that has none at all.
            None => Err(inode.xattr(name).err().unwrap_or(Errno::ENODATA)),
        };
    }
    check(ctx, place, name, false)?;
    place.inode().xattr(name)
}

/// setxattr(2)
pub fn set(ctx: &FsContext, place: &Path, name: &[u8], value: &[u8], flags: u32) -> SysResult<()> {
    if is_acl(name) {
        return set_acl(ctx, place, name, Some(value));
    }
    check(ctx, place, name, true)?;
    place.inode().set_xattr(name, value, flags)?;
    notify::file(place, raw::IN_ATTRIB);
    Ok(())
}

/// removexattr(2)
pub fn remove(ctx: &FsContext, place: &Path, name: &[u8]) -> SysResult<()> {
    if is_acl(name) {
        return set_acl(ctx, place, name, None);
    }
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
