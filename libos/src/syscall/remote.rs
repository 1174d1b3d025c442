//! Copying between the memories of processes, process_vm_readv(2).

use std::sync::Arc;

use super::{
    io::{IoVec, Ranges, ranges},
    pace,
};
use crate::{
    errno::{Errno, SysResult},
    memory::UserMemory,
    process::{Process, Thread},
    syscall::argument::UserPtr,
    vfs::{Capabilities, GuestMemory, GuestRange, IoDst, IoSrc},
};

/// How much is copied at a time.
const CHUNK: usize = 16 << 10;

/// Whether `thread` may read and write what `other` has, ptrace(2)'s `PTRACE_MODE_ATTACH_REALCREDS`; `EPERM`.
pub(super) fn may_attach(thread: &Thread, other: &Arc<Process>) -> SysResult<()> {
    let own = &thread.process;
    if Arc::ptr_eq(own, other) {
        return Ok(());
    }
    let users = other.user_namespace();
    if thread.fs.read().cred.has_in(&users, Capabilities::SYS_PTRACE) {
        return Ok(());
    }
    // One after the other: two processes may look at each other at a time.
    let (user, group, namespace, permitted) = {
        let ids = own.ids.lock();
        (ids.users[0], ids.groups[0], ids.namespace.clone(), ids.permitted)
    };
    let same = {
        let ids = other.ids.lock();
        ids.users == [user; 3]
            && ids.groups == [group; 3]
            && ids.namespace == namespace
            && permitted.contains(ids.permitted)
    };
    if same && other.attributes.lock().dumpable { Ok(()) } else { Err(Errno::EPERM) }
}

fn memory_of(thread: &Thread, pid: i32) -> SysResult<Arc<UserMemory>> {
    let other = thread.process.visible().process_of(pid).ok_or(Errno::ESRCH)?;
    may_attach(thread, &other)?;
    other.memory().ok_or(Errno::ESRCH)
}

/// Copies as much as both sides hold; short when a later range is bad. No signal ends it early: as on Linux it is over, or the thread is.
async fn copy(
    thread: &Thread,
    from: &dyn GuestMemory,
    source: &[GuestRange],
    to: &dyn GuestMemory,
    target: &[GuestRange],
) -> SysResult {
    let mut from = IoSrc::guest_vectored(from, source);
    let mut to = IoDst::guest_vectored(to, target);
    let mut chunk = vec![0; CHUNK];
    let mut done = 0;
    while from.remaining() > 0 && to.remaining() > 0 {
        if done > 0 {
            pace::give_way(thread).await;
        }
        let wanted = CHUNK.min(from.remaining()).min(to.remaining());
        let moved = from.read(&mut chunk[..wanted]).and_then(|read| to.write(&chunk[..read]));
        match moved {
            Ok(count) if count == wanted => done += count,
            Ok(count) => return Ok(done + count),
            Err(error) if done == 0 => return Err(error),
            Err(_) => return Ok(done),
        }
    }
    Ok(done)
}

/// The caller's ranges and the other process's; `EINVAL` for flags, of which there are none.
fn sides(
    thread: &Thread,
    (local, local_count): (UserPtr<IoVec>, usize),
    (remote, remote_count): (UserPtr<IoVec>, usize),
    flags: u64,
) -> SysResult<(Ranges, Ranges)> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    Ok((ranges(thread, local, local_count)?, ranges(thread, remote, remote_count)?))
}

/// process_vm_readv(2)
pub(crate) async fn process_vm_readv(
    thread: &Thread,
    pid: i32,
    local: UserPtr<IoVec>,
    local_count: usize,
    remote: UserPtr<IoVec>,
    remote_count: usize,
    flags: u64,
) -> SysResult {
    let (local, remote) = sides(thread, (local, local_count), (remote, remote_count), flags)?;
    copy(thread, &*memory_of(thread, pid)?, &remote, &*thread.memory, &local).await
}

/// process_vm_writev(2)
pub(crate) async fn process_vm_writev(
    thread: &Thread,
    pid: i32,
    local: UserPtr<IoVec>,
    local_count: usize,
    remote: UserPtr<IoVec>,
    remote_count: usize,
    flags: u64,
) -> SysResult {
    let (local, remote) = sides(thread, (local, local_count), (remote, remote_count), flags)?;
    copy(thread, &*thread.memory, &local, &*memory_of(thread, pid)?, &remote).await
}
