//! Who is asking: numbers of processes, threads, sessions, users and groups.
//!
//! The one idea: an unprivileged view of credentials(7): real, effective and saved ids are kept as Linux keeps them, so that
//! a program that drops root sees what it expects. They are kept by the kernel's numbers, and come and go by those of the caller's namespace of users.

use std::sync::Arc;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    syscall::argument::UserPtr,
    vfs::{Capabilities, Credentials, FsContext},
};

/// getpid(2)
pub(crate) fn getpid(thread: &Thread) -> SysResult<i32> {
    Ok(thread.process.own_pid)
}

/// gettid(2)
pub(crate) fn gettid(thread: &Thread) -> SysResult<i32> {
    Ok(thread.own_tid)
}

/// getppid(2)
pub(crate) fn getppid(thread: &Thread) -> SysResult<i32> {
    Ok(thread.process.sees(thread.process.ppid()))
}

/// getpgrp(2)
pub(crate) fn getpgrp(thread: &Thread) -> SysResult<i32> {
    Ok(thread.process.sees(thread.process.pgid()))
}

/// getpgid(2)
pub(crate) fn getpgid(thread: &Thread, pid: i32) -> SysResult<i32> {
    if pid == 0 {
        return getpgrp(thread);
    }
    let process = thread.process.visible().process_of(pid).ok_or(Errno::ESRCH)?;
    Ok(thread.process.sees(process.pgid()))
}

/// getsid(2)
pub(crate) fn getsid(thread: &Thread, pid: i32) -> SysResult<i32> {
    let own = &thread.process;
    let pid = if pid == 0 { own.own_pid } else { pid };
    let process = own.visible().process_of(pid).ok_or(Errno::ESRCH)?;
    Ok(own.sees(process.sid()))
}

fn user(thread: &Thread, which: usize) -> SysResult<u32> {
    let ids = thread.process.ids.lock();
    Ok(ids.namespace.shown_user(ids.users[which]))
}

fn group(thread: &Thread, which: usize) -> SysResult<u32> {
    let ids = thread.process.ids.lock();
    Ok(ids.namespace.shown_group(ids.groups[which]))
}

/// getuid(2)
pub(crate) fn getuid(thread: &Thread) -> SysResult<u32> {
    user(thread, 0)
}

/// geteuid(2)
pub(crate) fn geteuid(thread: &Thread) -> SysResult<u32> {
    user(thread, 1)
}

/// getgid(2)
pub(crate) fn getgid(thread: &Thread) -> SysResult<u32> {
    group(thread, 0)
}

/// getegid(2)
pub(crate) fn getegid(thread: &Thread) -> SysResult<u32> {
    group(thread, 1)
}

fn write_three(thread: &Thread, pointers: [UserPtr<u32>; 3], values: [u32; 3]) -> SysResult<()> {
    pointers
        .iter()
        .zip(&values)
        .try_for_each(|(pointer, value)| pointer.write(&thread.memory, value))
}

/// getresuid(2)
pub(crate) fn getresuid(
    thread: &Thread,
    real: UserPtr<u32>,
    effective: UserPtr<u32>,
    saved: UserPtr<u32>,
) -> SysResult<()> {
    let users = {
        let ids = thread.process.ids.lock();
        ids.users.map(|user| ids.namespace.shown_user(user))
    };
    write_three(thread, [real, effective, saved], users)
}

/// getresgid(2)
pub(crate) fn getresgid(
    thread: &Thread,
    real: UserPtr<u32>,
    effective: UserPtr<u32>,
    saved: UserPtr<u32>,
) -> SysResult<()> {
    let groups = {
        let ids = thread.process.ids.lock();
        ids.groups.map(|group| ids.namespace.shown_group(group))
    };
    write_three(thread, [real, effective, saved], groups)
}

/// getgroups(2)
pub(crate) fn getgroups(thread: &Thread, size: i32, list: UserPtr<u32>) -> SysResult {
    let groups: Vec<u32> = {
        let cred = &thread.fs.read().cred;
        cred.groups.iter().map(|&group| cred.namespace.shown_group(group)).collect()
    };
    match usize::try_from(size) {
        Err(_) => Err(Errno::EINVAL),
        Ok(0) => Ok(groups.len()),
        Ok(size) if size < groups.len() => Err(Errno::EINVAL),
        Ok(_) => list.write_slice(&thread.memory, &groups).map(|()| groups.len()),
    }
}

/// The versions of capget(2): one half of 32 capabilities, or two; 2 and 3 are the same but for what libraries made of 2.
const CAPABILITY_VERSION_1: u32 = 0x1998_0330;
const CAPABILITY_VERSION_2: u32 = 0x2007_1026;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// The header of capget(2).
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct CapabilityHeader {
    version: u32,
    pid: i32,
}

/// One half of the sets of capget(2).
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// How many halves the sets have in the header's version; an unknown one is told the preferred one, `None`.
fn halves(thread: &Thread, header: UserPtr<CapabilityHeader>) -> SysResult<Option<usize>> {
    let version_field = UserPtr::<u32>::new(header.addr());
    match version_field.read(&thread.memory)? {
        CAPABILITY_VERSION_1 => Ok(Some(1)),
        CAPABILITY_VERSION_2 | CAPABILITY_VERSION_3 => Ok(Some(2)),
        _ => version_field.write(&thread.memory, &CAPABILITY_VERSION_3).map(|()| None),
    }
}

/// capget(2). To ask for the version is no error without `data`.
pub(crate) fn capget(
    thread: &Thread,
    header: UserPtr<CapabilityHeader>,
    data: UserPtr<CapabilityData>,
) -> SysResult<()> {
    let Some(halves) = halves(thread, header)? else {
        return if data.is_null() { Ok(()) } else { Err(Errno::EINVAL) };
    };
    if data.is_null() {
        return Ok(());
    }
    let pid = header.read(&thread.memory)?.pid;
    if pid < 0 {
        return Err(Errno::EINVAL);
    }
    let tid = if pid == 0 { thread.own_tid } else { pid };
    let target = thread.process.visible().thread(tid).ok_or(Errno::ESRCH)?;
    let effective = target.fs.read().cred.caps.bits();
    let (permitted, inheritable) = {
        let ids = target.process.ids.lock();
        (ids.permitted.bits(), ids.inheritable.bits())
    };
    let half = |shift: u32| CapabilityData {
        effective: (effective >> shift) as u32,
        permitted: (permitted >> shift) as u32,
        inheritable: (inheritable >> shift) as u32,
    };
    data.write_slice(&thread.memory, &[half(0), half(32)][..halves])
}

/// capset(2): of the caller alone. `EPERM` for what it has not to give.
pub(crate) fn capset(
    thread: &Thread,
    header: UserPtr<CapabilityHeader>,
    data: UserPtr<CapabilityData>,
) -> SysResult<()> {
    let halves = halves(thread, header)?.ok_or(Errno::EINVAL)?;
    let pid = header.read(&thread.memory)?.pid;
    if pid != 0 && pid != thread.own_tid {
        return Err(Errno::EPERM);
    }
    let data = data.read_slice(&thread.memory, halves)?;
    let set = |of: fn(&CapabilityData) -> u32| {
        let bits = data.iter().rev().fold(0, |bits, half| bits << 32 | u64::from(of(half)));
        Capabilities::from_bits_retain(bits) & Capabilities::FULL
    };
    let (effective, permitted) = (set(|half| half.effective), set(|half| half.permitted));
    let inheritable = set(|half| half.inheritable);
    let bounding = thread.attributes.lock().bounding;
    let mut fs = thread.fs.write();
    let mut ids = thread.process.ids.lock();
    let may_add = fs.cred.has_own(Capabilities::SETPCAP);
    let allowed = (may_add || (ids.inheritable | ids.permitted).contains(inheritable))
        && (ids.inheritable | bounding).contains(inheritable)
        && ids.permitted.contains(permitted)
        && permitted.contains(effective);
    if !allowed {
        return Err(Errno::EPERM);
    }
    ids.set_capabilities(permitted, inheritable);
    credentials(thread, &mut fs).caps = effective;
    Ok(())
}

/// A thread's credentials, to be changed.
fn credentials<'a>(thread: &Thread, fs: &'a mut FsContext) -> &'a mut Credentials {
    thread.memory.leave_family();
    Arc::make_mut(&mut fs.cred)
}

/// "Leave it as it is" in the setres*id calls.
const UNCHANGED: u32 = u32::MAX;

/// Which of real, effective and saved id to set.
type Three = [Option<u32>; 3];

/// The kernel's id for one that the guest names, by `kernel_id`; `None` for "as it is".
fn wanted(id: u32, kernel_id: impl Fn(u32) -> SysResult<u32>) -> SysResult<Option<u32>> {
    if id == UNCHANGED { Ok(None) } else { kernel_id(id).map(Some) }
}

/// The kernel's user for one that the guest names.
fn named_user(thread: &Thread, uid: u32) -> SysResult<u32> {
    if uid == UNCHANGED {
        Err(Errno::EINVAL)
    } else {
        thread.process.user_namespace().kernel_user(uid)
    }
}

/// The kernel's group for one that the guest names.
fn named_group(thread: &Thread, gid: u32) -> SysResult<u32> {
    if gid == UNCHANGED {
        Err(Errno::EINVAL)
    } else {
        thread.process.user_namespace().kernel_group(gid)
    }
}

/// Sets the three ids to what is `Some`, if each is one of the present three or the thread is privileged.
fn set_three(current: [u32; 3], new: Three, privileged: bool) -> SysResult<[u32; 3]> {
    if !privileged && new.iter().flatten().any(|id| !current.contains(id)) {
        return Err(Errno::EPERM);
    }
    Ok(std::array::from_fn(|index| new[index].unwrap_or(current[index])))
}

fn set_users(
    thread: &Thread,
    pick: impl FnOnce([u32; 3], bool) -> SysResult<Three>,
) -> SysResult<()> {
    let mut fs = thread.fs.write();
    let mut ids = thread.process.ids.lock();
    let privileged = fs.cred.has_own(Capabilities::SETUID);
    let new = pick(ids.users, privileged)?;
    let users = set_three(ids.users, new, privileged)?;
    let before = (ids.users[1], fs.cred.fsuid);
    ids.set_users(users, credentials(thread, &mut fs));
    if before != (ids.users[1], fs.cred.fsuid) {
        // What it knows of the user that it was is not the new one's to see.
        thread.process.attributes.lock().dumpable = false;
    }
    Ok(())
}

fn set_groups(
    thread: &Thread,
    pick: impl FnOnce([u32; 3], bool) -> SysResult<Three>,
) -> SysResult<()> {
    let mut fs = thread.fs.write();
    let mut ids = thread.process.ids.lock();
    let privileged = fs.cred.has_own(Capabilities::SETGID);
    let new = pick(ids.groups, privileged)?;
    let groups = set_three(ids.groups, new, privileged)?;
    let before = (ids.groups[1], fs.cred.fsgid);
    ids.set_groups(groups, credentials(thread, &mut fs));
    if before != (ids.groups[1], fs.cred.fsgid) {
        thread.process.attributes.lock().dumpable = false;
    }
    Ok(())
}

/// setuid(2)
pub(crate) fn setuid(thread: &Thread, uid: u32) -> SysResult<()> {
    let uid = named_user(thread, uid)?;
    set_users(thread, |[real, _effective, saved], privileged| match privileged {
        true => Ok([Some(uid); 3]),
        false if uid == real || uid == saved => Ok([None, Some(uid), None]),
        false => Err(Errno::EPERM),
    })
}

/// setgid(2)
pub(crate) fn setgid(thread: &Thread, gid: u32) -> SysResult<()> {
    let gid = named_group(thread, gid)?;
    set_groups(thread, |[real, _effective, saved], privileged| match privileged {
        true => Ok([Some(gid); 3]),
        false if gid == real || gid == saved => Ok([None, Some(gid), None]),
        false => Err(Errno::EPERM),
    })
}

/// What setreuid(2) and setregid(2) make of the saved id: what is the effective one now, when the real one was given or the
/// effective one became other than the real one.
fn set_two(
    real: Option<u32>,
    effective: Option<u32>,
    [current_real, current_effective, _]: [u32; 3],
) -> Three {
    let saved = match (real, effective) {
        (Some(_), effective) => Some(effective.unwrap_or(current_effective)),
        (None, Some(id)) if id != current_real => Some(id),
        _ => None,
    };
    [real, effective, saved]
}

/// setreuid(2)
pub(crate) fn setreuid(thread: &Thread, real: u32, effective: u32) -> SysResult<()> {
    let named = |id| named_user(thread, id);
    let (real, effective) = (wanted(real, named)?, wanted(effective, named)?);
    set_users(thread, |current, privileged| {
        let [current_real, current_effective, _] = current;
        let kept = [current_real, current_effective];
        if !privileged && real.is_some_and(|id| !kept.contains(&id)) {
            return Err(Errno::EPERM);
        }
        Ok(set_two(real, effective, current))
    })
}

/// setregid(2)
pub(crate) fn setregid(thread: &Thread, real: u32, effective: u32) -> SysResult<()> {
    let named = |id| named_group(thread, id);
    let (real, effective) = (wanted(real, named)?, wanted(effective, named)?);
    set_groups(thread, |current, privileged| {
        let [current_real, current_effective, _] = current;
        let kept = [current_real, current_effective];
        if !privileged && real.is_some_and(|id| !kept.contains(&id)) {
            return Err(Errno::EPERM);
        }
        Ok(set_two(real, effective, current))
    })
}

/// setresuid(2)
pub(crate) fn setresuid(thread: &Thread, real: u32, effective: u32, saved: u32) -> SysResult<()> {
    let named = |id| named_user(thread, id);
    let new = [wanted(real, named)?, wanted(effective, named)?, wanted(saved, named)?];
    set_users(thread, |_, _| Ok(new))
}

/// setresgid(2)
pub(crate) fn setresgid(thread: &Thread, real: u32, effective: u32, saved: u32) -> SysResult<()> {
    let named = |id| named_group(thread, id);
    let new = [wanted(real, named)?, wanted(effective, named)?, wanted(saved, named)?];
    set_groups(thread, |_, _| Ok(new))
}

/// setfsuid(2): the id before, whether or not it was changed.
pub(crate) fn setfsuid(thread: &Thread, uid: u32) -> SysResult<u32> {
    let new = named_user(thread, uid);
    let mut fs = thread.fs.write();
    let before = fs.cred.fsuid;
    let own = thread.process.ids.lock().users;
    let allowed =
        |uid| fs.cred.has_own(Capabilities::SETUID) || own.contains(&uid) || before == uid;
    if let Ok(uid) = new
        && allowed(uid)
    {
        credentials(thread, &mut fs).fsuid = uid;
    }
    Ok(fs.cred.namespace.shown_user(before))
}

/// setfsgid(2): the id before, whether or not it was changed.
pub(crate) fn setfsgid(thread: &Thread, gid: u32) -> SysResult<u32> {
    let new = named_group(thread, gid);
    let mut fs = thread.fs.write();
    let before = fs.cred.fsgid;
    let own = thread.process.ids.lock().groups;
    let allowed =
        |gid| fs.cred.has_own(Capabilities::SETGID) || own.contains(&gid) || before == gid;
    if let Ok(gid) = new
        && allowed(gid)
    {
        credentials(thread, &mut fs).fsgid = gid;
    }
    Ok(fs.cred.namespace.shown_group(before))
}

/// The most supplementary groups: `NGROUPS_MAX`.
const MAX_GROUPS: usize = 65_536;

/// setgroups(2)
pub(crate) fn setgroups(thread: &Thread, size: usize, list: UserPtr<u32>) -> SysResult<()> {
    let users = thread.process.user_namespace();
    if !thread.fs.read().cred.has_own(Capabilities::SETGID) || !users.may_set_groups() {
        return Err(Errno::EPERM);
    }
    if size > MAX_GROUPS {
        return Err(Errno::EINVAL);
    }
    let mut groups = list.read_slice(&thread.memory, size)?;
    for group in &mut groups {
        *group = named_group(thread, *group)?;
    }
    // Linux keeps them sorted, and shows them so.
    groups.sort_unstable();
    credentials(thread, &mut thread.fs.write()).groups = groups.into();
    Ok(())
}
