//! Processes by descriptor: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2).
//!
//! The one idea: a descriptor names a process for good, so there is no number that could have come to mean another one.

use std::sync::Arc;

use linux_raw_sys::general as raw;

use super::{remote, signal};
use crate::{
    errno::{Errno, SysResult},
    event::PidFd,
    process::{Process, Thread, install_pidfd, open_pidfd},
    signal::SigInfo,
    syscall::{
        argument::{Fd, Flags, UserPtr},
        fs,
    },
    vfs::procfs,
};

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

/// The descriptor is for one thread.
const PIDFD_THREAD: u32 = raw::O_EXCL;

/// pidfd_open(2)
pub(crate) fn pidfd_open(thread: &Thread, pid: i32, flags: Flags) -> SysResult<Fd> {
    if flags.0 & !(raw::O_NONBLOCK | PIDFD_THREAD) != 0 || pid <= 0 {
        return Err(Errno::EINVAL);
    }
    let pids = thread.process.visible();
    if flags.0 & PIDFD_THREAD != 0 {
        let target = pids.thread(pid).ok_or(Errno::ESRCH)?;
        return install_pidfd(thread, PidFd::of_thread(&target), flags.0);
    }
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
        let info = signal::guest_info(thread, number, info, true)?;
        signal::check_pretence(&info, target.pid == thread.process.pid)?;
        SysResult::Ok(info)
    });
    let info = info.transpose()?;
    let signal = signal::signal_or_check(number)?;
    check_known(&target)?;
    let file = thread.files.get(fd)?;
    let of_thread = file.downcast::<PidFd>().filter(|pidfd| pidfd.is_of_thread());
    match (flags.0, of_thread) {
        (0 | PIDFD_SIGNAL_THREAD, Some(pidfd)) => {
            let receiver = pidfd.thread()?;
            signal::send_to_thread(thread, &receiver, signal, info)
        }
        (PIDFD_SIGNAL_THREAD, None) => {
            let first = target.thread(target.pid).ok_or(Errno::ESRCH)?;
            signal::send_to_thread(thread, &first, signal, info)
        }
        (PIDFD_SIGNAL_PROCESS_GROUP, _) => {
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
    let file = thread.files.get(pidfd)?;
    let pidfd = file.downcast::<PidFd>().ok_or(Errno::EBADF)?;
    check_known(pidfd.process())?;
    remote::may_attach(thread, pidfd.process())?;
    let other = pidfd.thread()?;
    fs::install(thread, other.files.get_any(fd)?, true)
}
