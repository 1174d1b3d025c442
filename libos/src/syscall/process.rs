//! Processes: replacing a program, groups and sessions.

use std::sync::Arc;

use linux_raw_sys::general as raw;

use crate::{
    errno::{Errno, SysResult},
    process::{ByDescriptor, Command, Current, Thread},
    syscall::{
        argument::{Fd, Flags, UserPtr, UserStr},
        fs::At,
    },
    vfs::{FileType, LookupFlags},
};

/// Bytes of the longest argument, with its NUL: `MAX_ARG_STRLEN`.
const MAX_STRING: usize = 32 * hal::pmem::PAGE_SIZE;

/// Bytes of all arguments together, as for a stack of the usual size; the loader checks against the real one.
const MAX_TOTAL: usize = 6 << 20;

/// Copies a NULL-terminated vector of strings in. A null vector is an empty one. `E2BIG`.
fn strings(thread: &Thread, vector: UserPtr<u64>) -> SysResult<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    let mut total = 0;
    if vector.is_null() {
        return Ok(strings);
    }
    loop {
        let pointer = vector.element(strings.len())?.read(&thread.memory)?;
        if pointer == 0 {
            return Ok(strings);
        }
        let string = UserStr(pointer).string(&thread.memory, MAX_STRING, Errno::E2BIG)?;
        total += string.len() + 1 + size_of::<u64>();
        if total > MAX_TOTAL {
            return Err(Errno::E2BIG);
        }
        strings.push(string);
    }
}

/// execve(2)
pub(crate) async fn execve(
    current: &mut Current,
    path: UserStr,
    args: UserPtr<u64>,
    env: UserPtr<u64>,
) -> SysResult<()> {
    let thread = Arc::clone(current.thread());
    let path = path.path(&thread.memory)?;
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let args = strings(&thread, args)?;
    let env = strings(&thread, env)?;
    current.execute(Command { path, args, env, found: None }).await
}

/// execveat(2)
pub(crate) async fn execveat(
    current: &mut Current,
    dir: Fd,
    path: UserStr,
    args: UserPtr<u64>,
    env: UserPtr<u64>,
    flags: Flags,
) -> SysResult<()> {
    let thread = Arc::clone(current.thread());
    if flags.0 & !(raw::AT_EMPTY_PATH | raw::AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut lookup = LookupFlags::FOLLOW;
    lookup.set(LookupFlags::FOLLOW, flags.0 & raw::AT_SYMLINK_NOFOLLOW == 0);
    lookup.set(LookupFlags::EMPTY_PATH, flags.0 & raw::AT_EMPTY_PATH != 0);
    let place = At::with_flags(&thread, dir, path, lookup)?.resolve(&thread, lookup)?;
    let name = path.path(&thread.memory)?;
    let by_path = dir == Fd::CWD || name.first() == Some(&b'/');
    if place.inode().kind() == FileType::Symlink {
        return Err(Errno::ELOOP);
    }
    let unnamed = name.is_empty();
    let path = match (by_path, unnamed) {
        (true, _) => name,
        (false, true) => format!("/dev/fd/{}", dir.0).into_bytes(),
        (false, false) => [format!("/dev/fd/{}/", dir.0).as_bytes(), &name].concat(),
    };
    let reachable = by_path || !thread.files.descriptor(dir)?.close_on_exec;
    let args = strings(&thread, args)?;
    let env = strings(&thread, env)?;
    let found = Some(ByDescriptor { place, reachable, unnamed });
    current.execute(Command { path, args, env, found }).await
}

/// setpgid(2). A thread that leads no process is no process: `EINVAL`.
pub(crate) fn setpgid(thread: &Thread, pid: i32, group: i32) -> SysResult<()> {
    let process = &thread.process;
    let pid = if pid == 0 { process.own_pid } else { pid };
    let group = if group == 0 { pid } else { group };
    if group < 0 {
        return Err(Errno::EINVAL);
    }
    let pids = process.visible();
    if pids.process(pid).is_none() && pids.thread(pid).is_some() {
        return Err(Errno::EINVAL);
    }
    let group = pids.meant(group).map_err(|_| Errno::EPERM);
    process.move_to_group(pids.meant(pid)?, group?)
}

/// setsid(2)
pub(crate) fn setsid(thread: &Thread) -> SysResult<i32> {
    thread.process.begin_session()?;
    Ok(thread.process.own_pid)
}
