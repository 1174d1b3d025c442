//! Scheduling: policies, priorities, nice values, affinities.
//!
//! The one idea: what a thread wishes is checked and kept as Linux does, with the same permissions, and told to whoever asks; the executor
//! treats all threads alike.

use std::sync::Arc;

use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    process::{Process, Resource, Scheduling, Thread},
    syscall::{
        argument::{Flags, UserAddr, UserPtr},
        stat::RawTimespec,
    },
    vfs::Capabilities,
};

/// The thread `tid`, the caller for 0; `ESRCH`.
fn find(thread: &Thread, tid: i32) -> SysResult<Arc<Thread>> {
    let tid = if tid == 0 { thread.own_tid } else { tid };
    thread.process.visible().thread(tid).ok_or(Errno::ESRCH)
}

/// As [`find`], for the calls that refuse negative numbers.
fn find_by_number(thread: &Thread, tid: i32) -> SysResult<Arc<Thread>> {
    if tid < 0 { Err(Errno::EINVAL) } else { find(thread, tid) }
}

fn privileged(thread: &Thread) -> bool {
    thread.fs.read().cred.has(Capabilities::SYS_NICE)
}

/// Whether the caller may change another user's `target` as its own.
fn privileged_over(thread: &Thread, target: &Thread) -> bool {
    let users = target.process.user_namespace();
    thread.fs.read().cred.has_in(&users, Capabilities::SYS_NICE)
}

/// Whether the caller's effective user is the real or the effective one of `target`.
fn same_owner(thread: &Thread, target: &Thread) -> bool {
    let user = thread.process.ids.lock().users[1];
    let others = target.process.ids.lock().users;
    user == others[0] || user == others[1]
}

/// What an unprivileged process may go down to, by `RLIMIT_NICE`.
fn nice_is_allowed(target: &Thread, nice: i32) -> bool {
    u64::from(nice.abs_diff(20)) <= target.process.limit(Resource::Nice)
}

/// What sched_setscheduler(2) and its kin change; `None` stays.
struct Wish {
    policy: Option<u32>,
    priority: u32,
    nice: Option<i32>,
    reset_on_fork: Option<bool>,
}

/// Checks a wish as Linux's `__sched_setscheduler` does, and keeps it.
fn set(thread: &Thread, target: &Thread, wish: &Wish) -> SysResult<()> {
    let owner = same_owner(thread, target);
    let privileged = privileged(thread);
    let (realtime_limit, nice_limit) = (
        target.process.limit(Resource::RealtimePriority),
        nice_is_allowed(target, target.attributes.lock().scheduling.nice),
    );
    let wanted_nice_allowed = wish.nice.is_none_or(|nice| nice_is_allowed(target, nice));
    let mut attributes = target.attributes.lock();
    let old = attributes.scheduling;
    let policy = wish.policy.unwrap_or(old.policy);
    let reset_on_fork = wish.reset_on_fork.unwrap_or(old.reset_on_fork);
    let realtime = matches!(policy, raw::SCHED_FIFO | raw::SCHED_RR);
    match policy {
        raw::SCHED_NORMAL | raw::SCHED_BATCH | raw::SCHED_IDLE => {}
        raw::SCHED_FIFO | raw::SCHED_RR => {}
        _ => return Err(Errno::EINVAL),
    }
    if wish.priority > 99 || realtime != (wish.priority != 0) {
        return Err(Errno::EINVAL);
    }
    let new = Scheduling {
        policy,
        priority: wish.priority,
        nice: wish.nice.filter(|_| !realtime).unwrap_or(old.nice),
        reset_on_fork,
        affinity: old.affinity,
    };
    let priority_limit = u64::from(wish.priority) > realtime_limit;
    let needs_privilege = !owner
        || !realtime && new.nice < old.nice && !wanted_nice_allowed
        || realtime && policy != old.policy && realtime_limit == 0
        || realtime && wish.priority > old.priority && priority_limit
        || old.policy == raw::SCHED_IDLE && policy != raw::SCHED_IDLE && !nice_limit
        || old.reset_on_fork && !reset_on_fork;
    if needs_privilege && !privileged {
        return Err(Errno::EPERM);
    }
    attributes.scheduling = new;
    target.futex_waiter.set_priority(new.priority);
    Ok(())
}

/// sched_setscheduler(2); `SCHED_DEADLINE` needs sched_setattr(2).
pub(crate) fn sched_setscheduler(
    thread: &Thread,
    tid: i32,
    policy: u32,
    param: UserPtr<i32>,
) -> SysResult<()> {
    if policy > i32::MAX as u32 || param.is_null() || tid < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = param.read(&thread.memory)?;
    let target = find(thread, tid)?;
    let wish = Wish {
        policy: Some(policy & !raw::SCHED_RESET_ON_FORK),
        priority: priority.cast_unsigned(),
        nice: None,
        reset_on_fork: Some(policy & raw::SCHED_RESET_ON_FORK != 0),
    };
    set(thread, &target, &wish)
}

/// sched_setparam(2)
pub(crate) fn sched_setparam(thread: &Thread, tid: i32, param: UserPtr<i32>) -> SysResult<()> {
    if param.is_null() || tid < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = param.read(&thread.memory)?.cast_unsigned();
    let target = find(thread, tid)?;
    set(thread, &target, &Wish { policy: None, priority, nice: None, reset_on_fork: None })
}

/// sched_getscheduler(2)
pub(crate) fn sched_getscheduler(thread: &Thread, tid: i32) -> SysResult<u32> {
    let target = find_by_number(thread, tid)?;
    let scheduling = target.attributes.lock().scheduling;
    let reset = if scheduling.reset_on_fork { raw::SCHED_RESET_ON_FORK } else { 0 };
    Ok(scheduling.policy | reset)
}

/// sched_getparam(2)
pub(crate) fn sched_getparam(thread: &Thread, tid: i32, param: UserPtr<i32>) -> SysResult<()> {
    if param.is_null() {
        return Err(Errno::EINVAL);
    }
    let target = find_by_number(thread, tid)?;
    let priority = target.attributes.lock().scheduling.priority;
    param.write(&thread.memory, &(priority as i32))
}

/// struct sched_attr, all versions up to `SCHED_ATTR_SIZE_VER1`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    util_min: u32,
    util_max: u32,
}

/// Bytes of the first version of struct sched_attr.
const SCHED_ATTR_SIZE_VER0: u32 = 48;
/// Bytes of the one that this is.
const SCHED_ATTR_SIZE: u32 = size_of::<SchedAttr>() as u32;

const SCHED_FLAG_RESET_ON_FORK: u64 = 0x01;
const SCHED_FLAG_KEEP_POLICY: u64 = 0x08;
const SCHED_FLAG_KEEP_PARAMS: u64 = 0x10;
const SCHED_FLAG_UTIL_CLAMP: u64 = 0x60;
const SCHED_FLAG_ALL: u64 = 0x7f;

/// sched_setattr(2). `SCHED_DEADLINE` is `EBUSY`, as where no bandwidth is left; `EOPNOTSUPP` for utilization clamps.
pub(crate) fn sched_setattr(
    thread: &Thread,
    tid: i32,
    attr: UserAddr,
    flags: Flags,
) -> SysResult<()> {
    if attr.0 == 0 || tid < 0 || flags.0 != 0 {
        return Err(Errno::EINVAL);
    }
    let memory = &thread.memory;
    let size_field = UserPtr::<u32>::new(attr.0);
    let size = match size_field.read(memory)? {
        0 => SCHED_ATTR_SIZE_VER0,
        size => size,
    };
    // The size that would have done is the caller's to see.
    let too_big = || {
        let _ = size_field.write(memory, &SCHED_ATTR_SIZE);
        Errno::E2BIG
    };
    if size < SCHED_ATTR_SIZE_VER0 || size as usize > hal::pmem::PAGE_SIZE {
        return Err(too_big());
    }
    let mut given = vec![0_u8; size as usize];
    memory.read_bytes(attr.0, &mut given)?;
    let known = given.len().min(SCHED_ATTR_SIZE as usize);
    if given[known..].iter().any(|&byte| byte != 0) {
        return Err(too_big());
    }
    let mut wanted = SchedAttr::default();
    wanted.as_mut_bytes()[..known].copy_from_slice(&given[..known]);
    if wanted.policy > i32::MAX as u32 || wanted.flags & !SCHED_FLAG_ALL != 0 {
        return Err(Errno::EINVAL);
    }
    if wanted.flags & SCHED_FLAG_UTIL_CLAMP != 0 {
        return Err(if size < SCHED_ATTR_SIZE { Errno::EINVAL } else { Errno::EOPNOTSUPP });
    }
    let target = find(thread, tid)?;
    let old = target.attributes.lock().scheduling;
    let policy = match wanted.flags & SCHED_FLAG_KEEP_POLICY {
        0 => wanted.policy,
        _ => old.policy,
    };
    let (nice, priority) = match wanted.flags & SCHED_FLAG_KEEP_PARAMS {
        0 => (wanted.nice.clamp(-20, 19), wanted.priority),
        // What the policy that it has knows of; the rest is as given.
        _ if old.is_realtime() => (wanted.nice.clamp(-20, 19), old.priority),
        _ => (old.nice, wanted.priority),
    };
    if policy == raw::SCHED_DEADLINE {
        let SchedAttr { runtime, deadline, period, .. } = wanted;
        let period = if period == 0 { deadline } else { period };
        let sound = (1024..=deadline).contains(&runtime)
            && deadline <= period
            && (deadline | period) >> 63 == 0;
        return Err(match sound && priority == 0 {
            false => Errno::EINVAL,
            true if !privileged(thread) => Errno::EPERM,
            true => Errno::EBUSY,
        });
    }
    let wish = Wish {
        policy: Some(policy),
        priority,
        nice: Some(nice),
        reset_on_fork: Some(wanted.flags & SCHED_FLAG_RESET_ON_FORK != 0),
    };
    set(thread, &target, &wish)
}

/// sched_getattr(2)
pub(crate) fn sched_getattr(
    thread: &Thread,
    tid: i32,
    into: UserAddr,
    size: u32,
    flags: Flags,
) -> SysResult<()> {
    let sizes = SCHED_ATTR_SIZE_VER0..=hal::pmem::PAGE_SIZE as u32;
    if into.0 == 0 || !sizes.contains(&size) || flags.0 != 0 {
        return Err(Errno::EINVAL);
    }
    let target = find_by_number(thread, tid)?;
    let scheduling = target.attributes.lock().scheduling;
    let size = size.min(SCHED_ATTR_SIZE);
    let attr = SchedAttr {
        size,
        policy: scheduling.policy,
        flags: u64::from(scheduling.reset_on_fork) * SCHED_FLAG_RESET_ON_FORK,
        nice: if scheduling.is_realtime() { 0 } else { scheduling.nice },
        priority: scheduling.priority,
        // No clamp: all of the CPU.
        util_max: 1024,
        ..SchedAttr::default()
    };
    thread.memory.write_bytes(into.0, &attr.as_bytes()[..size as usize])
}

/// sched_get_priority_max(2) and sched_get_priority_min(2)
fn priority_bound(policy: u32, realtime: i32) -> SysResult<i32> {
    match policy {
        raw::SCHED_FIFO | raw::SCHED_RR => Ok(realtime),
        raw::SCHED_NORMAL | raw::SCHED_BATCH | raw::SCHED_IDLE | raw::SCHED_DEADLINE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// sched_get_priority_max(2)
pub(crate) fn sched_get_priority_max(_: &Thread, policy: u32) -> SysResult<i32> {
    priority_bound(policy, 99)
}

/// sched_get_priority_min(2)
pub(crate) fn sched_get_priority_min(_: &Thread, policy: u32) -> SysResult<i32> {
    priority_bound(policy, 1)
}

/// Nanoseconds of a `SCHED_RR` turn on Linux.
const ROUND_ROBIN: u64 = 100_000_000;
/// Nanoseconds of any other turn: that of the preemption timer.
const TURN: u64 = 10_000_000;

/// sched_rr_get_interval(2)
pub(crate) fn sched_rr_get_interval(
    thread: &Thread,
    tid: i32,
    interval: UserPtr<RawTimespec>,
) -> SysResult<()> {
    let target = find_by_number(thread, tid)?;
    let nsec = match target.attributes.lock().scheduling.policy {
        // It goes on until it gives way.
        raw::SCHED_FIFO => 0,
        raw::SCHED_RR => ROUND_ROBIN,
        _ => TURN,
    };
    interval.write(&thread.memory, &RawTimespec { sec: 0, nsec: nsec as i64 })
}

/// Bytes of the affinity mask that the kernel knows: that of 64 CPUs.
const AFFINITY_BYTES: usize = 8;

/// sched_getaffinity(2)
pub(crate) fn sched_getaffinity(
    thread: &Thread,
    tid: i32,
    size: usize,
    mask: UserAddr,
) -> SysResult {
    if size < AFFINITY_BYTES || !size.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let affinity = find(thread, tid)?.attributes.lock().scheduling.affinity;
    thread.memory.write_bytes(mask.0, &affinity.to_le_bytes())?;
    Ok(AFFINITY_BYTES)
}

/// sched_setaffinity(2): kept and told; `EINVAL` when it names no CPU that there is.
pub(crate) fn sched_setaffinity(
    thread: &Thread,
    tid: i32,
    size: usize,
    mask: UserAddr,
) -> SysResult<()> {
    let mut bytes = [0; AFFINITY_BYTES];
    let known = size.min(AFFINITY_BYTES);
    thread.memory.read_bytes(mask.0, &mut bytes[..known])?;
    let target = find(thread, tid)?;
    if !same_owner(thread, &target) && !privileged_over(thread, &target) {
        return Err(Errno::EPERM);
    }
    let affinity = u64::from_le_bytes(bytes) & thread.process.kernel.online_cpus();
    if affinity == 0 {
        return Err(Errno::EINVAL);
    }
    target.attributes.lock().scheduling.affinity = affinity;
    Ok(())
}

/// getcpu(2)
pub(crate) fn getcpu(thread: &Thread, cpu: UserPtr<u32>, node: UserPtr<u32>) -> SysResult<()> {
    cpu.write_if_wanted(&thread.memory, &(hal::cpu::current_cpu().unwrap_or(0) as u32))?;
    node.write_if_wanted(&thread.memory, &0)
}

/// The threads that `which` and `who` of getpriority(2) mean; `ESRCH` when there is none.
fn prioritized(thread: &Thread, which: u32, who: i32) -> SysResult<Vec<Arc<Thread>>> {
    let own = &thread.process;
    let of_processes = |chosen: &dyn Fn(&Process) -> bool| {
        let processes = own.visible().processes();
        let chosen = processes.iter().filter(|process| chosen(process));
        chosen.flat_map(|process| process.threads()).collect()
    };
    let threads: Vec<_> = match which {
        raw::PRIO_PROCESS => vec![find(thread, who)?],
        raw::PRIO_PGRP => {
            let group = if who == 0 { own.pgid() } else { own.visible().meant(who)? };
            of_processes(&|process| process.pgid() == group)
        }
        raw::PRIO_USER => {
            let user = match who {
                0 => Some(own.ids.lock().users[0]),
                who => own.user_namespace().kernel_user(who.cast_unsigned()).ok(),
            };
            of_processes(&|process| Some(process.ids.lock().users[0]) == user)
        }
        _ => return Err(Errno::EINVAL),
    };
    if threads.is_empty() { Err(Errno::ESRCH) } else { Ok(threads) }
}

/// What ioprio_get(2) and ioprio_set(2) ask about, as getpriority(2) calls it: one less.
fn transferring(thread: &Thread, which: i32, who: i32) -> SysResult<Vec<Arc<Thread>>> {
    let which = which.checked_sub(1).and_then(|which| u32::try_from(which).ok());
    prioritized(thread, which.ok_or(Errno::EINVAL)?, who)
}

/// ioprio_get(2): the most urgent one.
pub(crate) fn ioprio_get(thread: &Thread, which: i32, who: i32) -> SysResult<i32> {
    let threads = transferring(thread, which, who)?;
    let most = threads.iter().map(|target| target.attributes.lock().io_priority()).min();
    Ok(most.unwrap_or(0).into())
}

/// Whether `thread` may have transfers of `priority`: `EINVAL` for what is none, `EPERM` for one that is too high.
pub(super) fn check_io_priority(thread: &Thread, priority: u32) -> SysResult<()> {
    const NONE: u32 = 0;
    const REALTIME: u32 = 1;
    /// Behind best effort and idle.
    const UNKNOWN: u32 = 4;
    let administers = thread.fs.read().cred.has(Capabilities::SYS_ADMIN);
    match (priority >> 13 & 7, priority & 7) {
        (REALTIME, _) if !privileged(thread) && !administers => Err(Errno::EPERM),
        (NONE, 1..) | (UNKNOWN.., _) => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

/// ioprio_set(2): kept and told.
pub(crate) fn ioprio_set(thread: &Thread, which: i32, who: i32, priority: u32) -> SysResult<()> {
    check_io_priority(thread, priority)?;
    for target in transferring(thread, which, who)? {
        let users = thread.process.ids.lock().users;
        let owner = target.process.ids.lock().users[0];
        if owner != users[0] && owner != users[1] && !privileged(thread) {
            return Err(Errno::EPERM);
        }
        target.attributes.lock().set_io_priority(priority as u16);
    }
    Ok(())
}

/// getpriority(2): 20 less the lowest nice value.
pub(crate) fn getpriority(thread: &Thread, which: u32, who: i32) -> SysResult<i32> {
    let threads = prioritized(thread, which, who)?;
    let nice = threads.iter().map(|target| target.attributes.lock().scheduling.nice);
    Ok(20 - nice.min().unwrap_or(0))
}

/// setpriority(2): kept and told.
pub(crate) fn setpriority(thread: &Thread, which: u32, who: i32, nice: i32) -> SysResult<()> {
    let nice = nice.clamp(-20, 19);
    let privileged = privileged(thread);
    let mut result = Ok(());
    for target in prioritized(thread, which, who)? {
        let allowed = nice_is_allowed(&target, nice);
        let owner = same_owner(thread, &target) || privileged_over(thread, &target);
        let mut attributes = target.attributes.lock();
        if !owner {
            result = Err(Errno::EPERM);
        } else if !privileged && nice < attributes.scheduling.nice && !allowed {
            result = Err(Errno::EACCES);
        } else {
            attributes.scheduling.nice = nice;
        }
    }
    result
}
