//! Processes by descriptor: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2).
//!
//! The one idea: a descriptor names a process for good, so there is no number that could have come to mean another one.

use std::sync::Arc;

use linux_raw_sys::general as raw;

use super::{remote, signal};
use crate::{
    errno::{Errno, SysResult},
    event::PidFd,
    process::{Process, Thread, open_pidfd},
    signal::SigInfo,
    syscall::{
        argument::{Fd, Flags, UserPtr},
        fs,
    },
    vfs::procfs,
};

/// The process that `fd` names; `EBADF`.
fn process_of(thread: &Thread, fd: Fd) -> SysResult<Arc<Process>> {
    let file = thread.files.get(fd)?;
    Ok(Arc::clone(file.downcast::<PidFd>().ok_or(Errno::EBADF)?.process()))
}

/// The process that `fd` names to send it a signal: it may be the process's directory in /proc, too, as before there were pidfds.
fn target_of(thread: &Thread, fd: Fd) -> SysResult<Arc<Process>> {
    let file = thread.files.get(fd)?;
    if let Some(pidfd) = file.downcast::<PidFd>() {
        return Ok(Arc::clone(pidfd.process()));
    }
    let directory = file.inode().ok_or(Errno::EBADF)?;
    procfs::process_of(&**directory).ok_or(Errno::EBADF)?.upgrade().ok_or(Errno::ESRCH)
}

/// `ESRCH` once the process was waited for.
fn check_known(process: &Arc<Process>) -> SysResult<()> {
    match process.kernel.pids.process(process.pid) {
        Some(known) if Arc::ptr_eq(&known, process) => Ok(()),
        _ => Err(Errno::ESRCH),
    }
}

/// pidfd_open(2)
pub(crate) fn pidfd_open(thread: &Thread, pid: i32, flags: Flags) -> SysResult<Fd> {
    if flags.0 & !raw::O_NONBLOCK != 0 || pid <= 0 {
        return Err(Errno::EINVAL);
    }
    let pids = &thread.process.kernel.pids;
    match pids.process(pid) {
        Some(process) => open_pidfd(thread, &process, flags.0),
        // A thread that leads no process.
        None if pids.thread(pid).is_some() => Err(Errno::ENOENT),
        None => Err(Errno::ESRCH),
    }
}

const PIDFD_SIGNAL_THREAD: u32 = 1;
const PIDFD_SIGNAL_THREAD_GROUP: u32 = 2;
const PIDFD_SIGNAL_PROCESS_GROUP: u32 = 4;

/// pidfd_send_signal(2)
pub(crate) fn pidfd_send_signal(
    thread: &Thread,
    fd: Fd,
    number: i32,
    info: UserPtr<SigInfo>,
    flags: Flags,
) -> SysResult<()> {
    let scopes = [0, PIDFD_SIGNAL_THREAD, PIDFD_SIGNAL_THREAD_GROUP, PIDFD_SIGNAL_PROCESS_GROUP];
    if !scopes.contains(&flags.0) {
        return Err(Errno::EINVAL);
    }
    let target = target_of(thread, fd)?;
    let info = info.non_null();
    let info = info.map(|info| {
        let itself = target.pid == thread.process.pid;
        signal::guest_info(thread, itself, number, info, true)
    });
    let info = info.transpose()?;
    let signal = signal::signal_or_check(number)?;
    check_known(&target)?;
    match flags.0 {
        PIDFD_SIGNAL_THREAD => {
            let leader = target.thread(target.pid).ok_or(Errno::ESRCH)?;
            signal::send_to_thread(thread, &leader, signal, info)
        }
        PIDFD_SIGNAL_PROCESS_GROUP => {
            let members = thread.process.kernel.pids.group(target.pid);
            signal::send_to_each(thread, members, signal, info)
        }
        _ => signal::send_to_process(thread, &target, signal, info),
    }
}

/// pidfd_getfd(2)
pub(crate) fn pidfd_getfd(thread: &Thread, pidfd: Fd, fd: Fd, flags: Flags) -> SysResult<Fd> {
    if flags.0 != 0 {
        return Err(Errno::EINVAL);
    }
    let target = process_of(thread, pidfd)?;
    check_known(&target)?;
    remote::may_attach(thread, &target)?;
    let other = target.threads().into_iter().next().ok_or(Errno::ESRCH)?;
    fs::install(thread, other.files.get_any(fd)?, true)
}
