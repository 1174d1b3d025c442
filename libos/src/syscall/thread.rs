//! Making threads and processes, and ending them.
//!
//! The one idea: all ways to make one are a `CloneRequest` with other checks before it.

use std::sync::{Arc, atomic::Ordering};

use hal::context::UserContext;
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    memory::UserMemory,
    process::{CLONE_CLEAR_SIGHAND, CLONE_INTO_CGROUP, CloneRequest, Current, ExitStatus, Thread},
    signal::Signal,
    syscall::argument::{UserAddr, UserPtr},
};

/// struct clone_args of clone3(2), all versions up to `CLONE_ARGS_SIZE_VER2`.
#[derive(Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// The signal in the lowest bits of clone(2)'s flags: `CSIGNAL`.
const SIGNAL_MASK: u64 = 0xff;

/// Most PID namespaces that a process can be in.
const MAX_PID_NS_LEVEL: u64 = 32;

/// The highest signal.
const SIGNAL_MAX: u64 = 64;

/// clone(2)
pub(crate) async fn clone(
    current: &mut Current,
    flags: u64,
    stack: u64,
    parent_tid: UserPtr<u32>,
    child_tid: UserPtr<u32>,
    tls: u64,
) -> SysResult<i32> {
    // The register's upper half is not looked at.
    let flags = flags & u64::from(u32::MAX);
    let both = u64::from(raw::CLONE_PIDFD | raw::CLONE_PARENT_SETTID);
    if flags & both == both {
        // They would be stored at one place.
        return Err(Errno::EINVAL);
    }
    let request = CloneRequest {
        flags: flags & !SIGNAL_MASK,
        exit_signal: (flags & SIGNAL_MASK) as u32,
        stack,
        parent_tid,
        child_tid,
        pidfd: UserPtr::new(parent_tid.addr()),
        tls,
        tid: None,
    };
    current.clone_task(&request).await
}

/// A new process that shares what `flags` say.
async fn new_process(current: &mut Current, flags: u32) -> SysResult<i32> {
    let request = CloneRequest {
        flags: flags.into(),
        exit_signal: Signal::SIGCHLD.raw() as u32,
        stack: 0,
        parent_tid: UserPtr::new(0),
        child_tid: UserPtr::new(0),
        pidfd: UserPtr::new(0),
        tls: 0,
        tid: None,
    };
    current.clone_task(&request).await
}

/// fork(2)
pub(crate) async fn fork(current: &mut Current) -> SysResult<i32> {
    new_process(current, 0).await
}

/// vfork(2)
pub(crate) async fn vfork(current: &mut Current) -> SysResult<i32> {
    new_process(current, raw::CLONE_VFORK | raw::CLONE_VM).await
}

/// The size of the first version of `struct clone_args`.
const CLONE_ARGS_SIZE_VER0: usize = 64;

/// clone3(2)
pub(crate) async fn clone3(current: &mut Current, args: UserAddr, size: usize) -> SysResult<i32> {
    if size > hal::pmem::PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    if size < CLONE_ARGS_SIZE_VER0 {
        return Err(Errno::EINVAL);
    }
    let mut given = vec![0_u8; size];
    current.thread().memory.read_bytes(args.0, &mut given)?;
    let known = size.min(size_of::<CloneArgs>());
    if given[known..].iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG);
    }
    let mut args = CloneArgs::default();
    args.as_mut_bytes()[..known].copy_from_slice(&given[..known]);
    let known = u64::from(u32::MAX) | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP;
    let has = |flag: u32| args.flags & u64::from(flag) != 0;
    // The bit of CLONE_NEWTIME is one of those that have a signal in clone(2).
    let old = u64::from(raw::CLONE_DETACHED) | SIGNAL_MASK & !u64::from(raw::CLONE_NEWTIME);
    if args.flags & !known != 0 || args.flags & old != 0 {
        return Err(Errno::EINVAL);
    }
    if args.exit_signal > SIGNAL_MAX
        || args.exit_signal != 0 && has(raw::CLONE_THREAD | raw::CLONE_PARENT)
    {
        return Err(Errno::EINVAL);
    }
    if (args.set_tid_size != 0) != (args.set_tid != 0) || args.set_tid_size > MAX_PID_NS_LEVEL {
        return Err(Errno::EINVAL);
    }
    let mut wanted_tids = vec![0_i32; args.set_tid_size as usize];
    if !wanted_tids.is_empty() {
        current.thread().memory.read_bytes(args.set_tid, wanted_tids.as_mut_bytes())?;
    }
    // There is one PID namespace to have a number in.
    let tid = match wanted_tids[..] {
        [] => None,
        [tid] => Some(tid),
        _ => return Err(Errno::EINVAL),
    };
    if (args.stack == 0) != (args.stack_size == 0) {
        return Err(Errno::EINVAL);
    }
    let stack = args.stack.checked_add(args.stack_size).ok_or(Errno::EINVAL)?;
    let request = CloneRequest {
        flags: args.flags,
        exit_signal: args.exit_signal as u32,
        stack,
        parent_tid: UserPtr::new(args.parent_tid),
        child_tid: UserPtr::new(args.child_tid),
        pidfd: UserPtr::new(args.pidfd),
        tls: args.tls,
        tid,
    };
    current.clone_task(&request).await
}

/// exit(2): ends the calling thread.
pub(crate) fn exit(thread: &Thread, code: i32) -> SysResult<()> {
    thread.exit(code as u8);
    Ok(())
}

/// exit_group(2): ends the process.
pub(crate) fn exit_group(thread: &Thread, code: i32) -> SysResult<()> {
    thread.exit_group(ExitStatus::Exited(code as u8));
    Ok(())
}

/// set_tid_address(2)
pub(crate) fn set_tid_address(thread: &Thread, word: UserAddr) -> SysResult<i32> {
    thread.clear_child_tid.store(word.0, Ordering::Relaxed);
    Ok(thread.own_tid)
}

/// sched_yield(2)
pub(crate) async fn sched_yield(_: &Thread) -> SysResult<()> {
    if hal::cpu::runnable() {
        hal::cpu::yield_now().await;
    }
    Ok(())
}

const ARCH_SET_FS: u32 = 0x1002;
const ARCH_GET_FS: u32 = 0x1003;
const ARCH_GET_GS: u32 = 0x1004;

/// arch_prctl(2).
pub(crate) async fn arch_prctl(current: &mut Current, code: u32, value: u64) -> SysResult<()> {
    let memory = Arc::clone(&current.thread().memory);
    change_bases(&mut current.context, &memory, code, value)
}

/// What arch_prctl(2) does to the registers in `context`; results go to `memory`. The GS base belongs to the kernel in the in-process
/// placement: `EINVAL`.
pub(crate) fn change_bases(
    context: &mut UserContext,
    memory: &UserMemory,
    code: u32,
    value: u64,
) -> SysResult<()> {
    let tell = |base: u64| UserPtr::<u64>::new(value).write(memory, &base);
    match code {
        ARCH_SET_FS if context.set_fs_base(value) => Ok(()),
        ARCH_SET_FS => Err(Errno::EPERM),
        // The guest has none: GS belongs to the kernel.
        ARCH_GET_GS => tell(0),
        ARCH_GET_FS => tell(context.fs_base()),
        _ => Err(Errno::EINVAL),
    }
}
