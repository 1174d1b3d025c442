//! Making and ending threads.
//!
//! The one idea: a new thread is a copy of its maker's registers with another stack, in a task of its own.

use std::sync::{Arc, atomic::Ordering};

use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    process::{Current, ExitStatus, Thread, ThreadParts},
    syscall::argument::{Flags, UserAddr, UserPtr},
};

/// What every thread of a process shares with the others; Linux insists on these for `CLONE_THREAD`.
const OF_ONE_PROCESS: u64 = (raw::CLONE_VM | raw::CLONE_THREAD | raw::CLONE_SIGHAND) as u64;

/// What clone(2) and clone3(2) are asked for.
struct Request {
    flags: u64,
    /// The stack pointer; 0 keeps the maker's.
    stack: u64,
    parent_tid: UserPtr<u32>,
    child_tid: UserPtr<u32>,
    tls: u64,
}

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

fn has(flags: u64, flag: u32) -> bool {
    flags & u64::from(flag) != 0
}

fn spawn(current: &mut Current, request: &Request) -> SysResult<i32> {
    let flags = request.flags;
    if has(flags, raw::CLONE_THREAD) && !has(flags, raw::CLONE_SIGHAND)
        || has(flags, raw::CLONE_SIGHAND) && !has(flags, raw::CLONE_VM)
    {
        return Err(Errno::EINVAL);
    }
    if flags & OF_ONE_PROCESS != OF_ONE_PROCESS {
        // Another process needs an address space of its own or a suspended parent: neither is there yet.
        return Err(Errno::ENOSYS);
    }
    let thread = Arc::clone(current.thread());
    let kernel = &thread.process.kernel;
    let limit = thread.process.limit(crate::process::Resource::Processes);
    if kernel.pids.thread_count() as u64 >= limit {
        return Err(Errno::EAGAIN);
    }
    let tid = kernel.pids.allocate()?;
    if has(flags, raw::CLONE_PARENT_SETTID)
        && let Err(error) = request.parent_tid.write(&thread.memory, &(tid as u32))
    {
        kernel.pids.release(tid);
        return Err(error);
    }
    if has(flags, raw::CLONE_CHILD_SETTID) {
        // A bad address is the child's problem, and Linux ignores it there.
        let _ = request.child_tid.write(&thread.memory, &(tid as u32));
    }
    let mut context = current.context.duplicate();
    context.regs_mut().rax = 0;
    if request.stack != 0 {
        context.regs_mut().rsp = request.stack;
    }
    if has(flags, raw::CLONE_SETTLS) && !context.set_fs_base(request.tls) {
        kernel.pids.release(tid);
        return Err(Errno::EPERM);
    }
    let parts = ThreadParts {
        process: Arc::clone(&thread.process),
        memory: Arc::clone(&thread.memory),
        files: if has(flags, raw::CLONE_FILES) {
            Arc::clone(&thread.files)
        } else {
            thread.files.duplicate()
        },
        fs: if has(flags, raw::CLONE_FS) {
            Arc::clone(&thread.fs)
        } else {
            Arc::new(parking_lot::RwLock::new(thread.fs.read().clone()))
        },
        signals: thread.signals.for_clone(false),
        attributes: thread.attributes.lock().inherited(),
    };
    let new = Thread::create(tid, parts, &thread.name(), context.kicker())
        .inspect_err(|_| kernel.pids.release(tid))?;
    if has(flags, raw::CLONE_CHILD_CLEARTID) {
        new.clear_child_tid.store(request.child_tid.addr(), Ordering::Relaxed);
    }
    kernel.pids.register_thread(&new);
    kernel.cpus.handle().spawn_spread(Current::start(new, context)?).detach();
    Ok(tid)
}

/// clone(2)
pub(crate) async fn clone(
    current: &mut Current,
    flags: u64,
    stack: u64,
    parent_tid: UserPtr<u32>,
    child_tid: UserPtr<u32>,
    tls: u64,
) -> SysResult<i32> {
    spawn(current, &Request { flags, stack, parent_tid, child_tid, tls })
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
    // CLONE_INTO_CGROUP is the highest flag.
    if args.flags >> 34 != 0 {
        return Err(Errno::EINVAL);
    }
    if args.set_tid_size != 0 || has(args.flags, raw::CLONE_DETACHED) {
        return Err(Errno::EINVAL);
    }
    if (args.stack == 0) != (args.stack_size == 0) {
        return Err(Errno::EINVAL);
    }
    let stack = args.stack.checked_add(args.stack_size).ok_or(Errno::EINVAL)?;
    let request = Request {
        flags: args.flags,
        stack,
        parent_tid: UserPtr::new(args.parent_tid),
        child_tid: UserPtr::new(args.child_tid),
        tls: args.tls,
    };
    spawn(current, &request)
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
    Ok(thread.tid)
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

/// arch_prctl(2). The GS base belongs to the kernel in the in-process placement: `EINVAL`.
pub(crate) async fn arch_prctl(current: &mut Current, code: u32, value: u64) -> SysResult<()> {
    match code {
        ARCH_SET_FS if current.context.set_fs_base(value) => Ok(()),
        ARCH_SET_FS => Err(Errno::EPERM),
        // The guest has none: GS belongs to the kernel.
        ARCH_GET_GS => UserPtr::<u64>::new(value).write(&current.thread().memory, &0),
        ARCH_GET_FS => {
            UserPtr::<u64>::new(value).write(&current.thread().memory, &current.context.fs_base())
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Commands of membarrier(2) that are here: the query and the private expedited pair.
const MEMBARRIER_PRIVATE_EXPEDITED: u32 = 8;
const MEMBARRIER_REGISTER_PRIVATE_EXPEDITED: u32 = 16;

/// membarrier(2): `EPERM` before the process has registered, as on Linux.
pub(crate) fn membarrier(thread: &Thread, command: u32, flags: Flags, _cpu: i32) -> SysResult<u32> {
    let registered = &thread.process.membarrier;
    match (command, flags.0) {
        (0, 0) => Ok(MEMBARRIER_PRIVATE_EXPEDITED | MEMBARRIER_REGISTER_PRIVATE_EXPEDITED),
        (MEMBARRIER_REGISTER_PRIVATE_EXPEDITED, 0) => {
            registered.store(true, Ordering::Relaxed);
            Ok(0)
        }
        (MEMBARRIER_PRIVATE_EXPEDITED, 0) if registered.load(Ordering::Relaxed) => {
            hal::context::barrier_all();
            Ok(0)
        }
        (MEMBARRIER_PRIVATE_EXPEDITED, 0) => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}
