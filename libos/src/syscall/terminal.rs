//! The part of ioctl(2) on a terminal that is about the caller: process groups, sessions, the controlling terminal.
//!
//! The one idea: all guests together are one process group of the host's terminal, so the host says whether that is in the foreground
//! and what is done to it there; the numbers are the guest's own.

use linux_raw_sys::ioctl as requests;

use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    syscall::argument::UserPtr,
    vfs::{OpenFile, stdio::HostStdio},
};

/// What `TIOCGPGRP` tells from the background: a number that no group has.
const ANOTHER_GROUP: i32 = i32::MAX;

/// Carries out `request` if it is one of those that are about the caller and `file` is a terminal; `None` otherwise.
pub(super) fn control(
    thread: &Thread,
    file: &OpenFile,
    request: u32,
    argument: u64,
) -> Option<SysResult> {
    let terminal = file.downcast::<HostStdio>()?.stream();
    if !terminal.is_tty() {
        return None;
    }
    let host = |error: hal::host::HostError| Errno::from_raw(error.errno());
    let process = &thread.process;
    let number = UserPtr::<i32>::new(argument);
    let result = match request {
        requests::TIOCGPGRP => terminal.in_foreground().map_err(host).and_then(|inside| {
            let group = if inside { process.pgid() } else { ANOTHER_GROUP };
            number.write(&thread.memory, &group)
        }),
        requests::TIOCSPGRP => number.read(&thread.memory).and_then(|group| {
            terminal.check_controlling().map_err(host)?;
            if group < 0 {
                return Err(Errno::EINVAL);
            }
            let session = process.kernel.pids.session_of_group(group).ok_or(Errno::ESRCH)?;
            if session != process.sid() {
                return Err(Errno::EPERM);
            }
            terminal.take_foreground().map_err(host)
        }),
        requests::TIOCGSID => terminal
            .check_controlling()
            .map_err(host)
            .and_then(|()| number.write(&thread.memory, &process.sid())),
        // It is the controlling terminal already, or another session's.
        requests::TIOCSCTTY if process.leads_session() => {
            terminal.check_controlling().map_err(|_| Errno::EPERM)
        }
        requests::TIOCSCTTY => Err(Errno::EPERM),
        _ => return None,
    };
    Some(result.map(|()| 0))
}
