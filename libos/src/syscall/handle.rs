//! File handles: name_to_handle_at(2), open_by_handle_at(2).

use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    argument::{Fd, Flags, UserPtr, UserStr},
    fs::{At, install},
};
use crate::{
    errno::{Errno, SysResult},
    process::{Resource, Thread},
    vfs::{Capabilities, LookupFlags, Path, handle::Handle, ops},
};

/// The head of `struct file_handle`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct RawHandle {
    len: u32,
    kind: i32,
}

/// What follows it: a [`Handle`].
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RawBody {
    ino: [u32; 2],
    generation: u32,
}

const HEAD: u64 = size_of::<RawHandle>() as u64;
const BODY: u32 = size_of::<RawBody>() as u32;
/// The longest handle: `MAX_HANDLE_SZ`.
const LONGEST: u32 = 128;
/// An inode number and a generation, as Linux calls what a file in memory has.
const KIND: i32 = 1;

const AT_HANDLE_FID: u32 = 0x200;
const AT_HANDLE_MNT_ID_UNIQUE: u32 = 1;

fn body(handle: UserPtr<RawHandle>) -> UserPtr<RawBody> {
    UserPtr::new(handle.addr().wrapping_add(HEAD))
}

/// name_to_handle_at(2)
pub(crate) fn name_to_handle_at(
    thread: &Thread,
    dir: Fd,
    path: UserStr,
    handle: UserPtr<RawHandle>,
    mount: UserPtr<i32>,
    flags: Flags,
) -> SysResult<()> {
    let known =
        raw::AT_SYMLINK_FOLLOW | raw::AT_EMPTY_PATH | AT_HANDLE_FID | AT_HANDLE_MNT_ID_UNIQUE;
    if flags.0 & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let mut lookup = LookupFlags::empty();
    lookup.set(LookupFlags::FOLLOW, flags.0 & raw::AT_SYMLINK_FOLLOW != 0);
    lookup.set(LookupFlags::EMPTY_PATH, flags.0 & raw::AT_EMPTY_PATH != 0);
    let place = At::with_flags(thread, dir, path, lookup)?.resolve(thread, lookup)?;
    let superblock = place.mount().superblock();
    if !superblock.fs().has_handles() {
        return Err(Errno::EOPNOTSUPP);
    }
    let head = handle.read(&thread.memory)?;
    if head.len > LONGEST {
        return Err(Errno::EINVAL);
    }
    let id = place.mount().id();
    let fits = head.len >= BODY;
    if fits {
        let Handle { ino, generation } = superblock.handles().of(place.dentry())?;
        let raw = RawBody { ino: [ino as u32, (ino >> 32) as u32], generation };
        body(handle).write(&thread.memory, &raw)?;
    }
    // Told in any case, for the next try.
    match flags.0 & AT_HANDLE_MNT_ID_UNIQUE {
        0 => mount.write(&thread.memory, &(id as i32))?,
        _ => mount.cast::<u64>().write(&thread.memory, &id)?,
    }
    handle.write(&thread.memory, &RawHandle { len: BODY, kind: KIND })?;
    if fits { Ok(()) } else { Err(Errno::EOVERFLOW) }
}

/// open_by_handle_at(2): `fd` is any file of the file system that the handle's file is in.
pub(crate) fn open_by_handle_at(
    thread: &Thread,
    fd: Fd,
    handle: UserPtr<RawHandle>,
    flags: Flags,
) -> SysResult<Fd> {
    let context = thread.fs.read().clone();
    if !context.cred.has(Capabilities::DAC_READ_SEARCH) {
        return Err(Errno::EPERM);
    }
    let head = handle.read(&thread.memory)?;
    if head.len == 0 || head.len > LONGEST {
        return Err(Errno::EINVAL);
    }
    let mount = match fd {
        Fd::CWD => context.cwd.mount().clone(),
        fd => {
            let file = thread.files.get_any(fd)?;
            file.path().ok_or(Errno::ESTALE)?.mount().clone()
        }
    };
    if head.len < BODY || head.kind != KIND {
        return Err(Errno::ESTALE);
    }
    let raw = body(handle).read(&thread.memory)?;
    let [low, high] = raw.ino;
    let ino = u64::from(low) | u64::from(high) << 32;
    let handle = Handle { ino, generation: raw.generation };
    let dentry = mount.superblock().handles().find(handle)?;
    thread.files.check_room(thread.process.limit(Resource::OpenFiles))?;
    let file = ops::open_found(&context, Path::new(mount, dentry), flags.0)?;
    install(thread, file, flags.0 & raw::O_CLOEXEC != 0)
}
