//! This host process: what it was started with, and how it ends.

use std::{env, io, os::unix::ffi::OsStringExt};

use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction, signal},
        stat::{self, Mode},
    },
    unistd,
};

/// What the process was started with. All bytes, as the host has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The arguments, the program's name first.
    pub args: Vec<Vec<u8>>,
    /// The environment: `NAME=value`.
    pub vars: Vec<Vec<u8>>,
    /// The working directory; none when it was removed.
    pub cwd: Option<Vec<u8>>,
}

/// What this process was started with.
pub fn environment() -> Environment {
    let var = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        [name.into_vec(), value.into_vec()].join(&b'=')
    };
    Environment {
        args: env::args_os().map(OsStringExt::into_vec).collect(),
        vars: env::vars_os().map(var).collect(),
        cwd: env::current_dir().ok().map(|path| path.into_os_string().into_vec()),
    }
}

/// Who the process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Host process id.
    pub pid: i32,
    /// Host process id of the parent.
    pub ppid: i32,
    /// Real user.
    pub uid: u32,
    /// Effective user.
    pub euid: u32,
    /// Real group.
    pub gid: u32,
    /// Effective group.
    pub egid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// The umask that files are made with.
    pub umask: u32,
}

/// Who this process runs as. A file that another thread makes at the same moment may get the umask 077.
pub fn identity() -> Identity {
    Identity {
        pid: unistd::getpid().as_raw(),
        ppid: unistd::getppid().as_raw(),
        uid: unistd::getuid().as_raw(),
        euid: unistd::geteuid().as_raw(),
        gid: unistd::getgid().as_raw(),
        egid: unistd::getegid().as_raw(),
        groups: unistd::getgroups()
            .map_or_else(|_| Vec::new(), |groups| groups.iter().map(|g| g.as_raw()).collect()),
        umask: umask(),
    }
}

/// The umask. It can only be read by setting it; /proc/self/status has it too, and takes 50 µs to say so.
fn umask() -> u32 {
    let umask = stat::umask(Mode::from_bits_truncate(0o077));
    stat::umask(umask);
    umask.bits()
}

/// A resource limit of the host on this process, (soft, hard), by `RLIMIT_*` number; `u64::MAX` is none.
pub fn limit(resource: u32) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the host writes one `rlimit`; a number it does not know is EINVAL.
    match unsafe { libc::getrlimit(resource as _, &mut limit) } {
        0 => Ok((limit.rlim_cur, limit.rlim_max)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets this process have as many descriptors as it may; gives that number.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// Ends the process with that status, the terminal put back as it was. Does not unwind.
pub fn exit(status: i32) -> ! {
    std::process::exit(status)
}

/// Stops the process as that signal does by default, `SIGTSTP` for one, so that the shell that started it sees it stop; returns
/// when it goes on. At once for a process that no shell could let go on (an orphaned group, see setpgid(2)), and for a signal
/// that does not stop.
pub fn stop_by(number: i32) {
    let Ok(signo) = Signal::try_from(number) else { return };
    let stops = [Signal::SIGSTOP, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];
    if !stops.contains(&signo) {
        return;
    }
    if signo == Signal::SIGSTOP {
        // Nothing but the process's end could be the error.
        let _ = raise(signo);
        return;
    }
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no code of ours.
    let Ok(before) = (unsafe { sigaction(signo, &default) }) else { return };
    // To this thread, so that it has happened when the call returns.
    let _ = raise(signo);
    // SAFETY: what was good before is again.
    let _ = unsafe { sigaction(signo, &before) };
}

/// Ends the process by that signal, as its default action would, so that whoever waits for it sees what became of
/// the guest; without a core dump, which would be of the kernel. Returns when that signal's default is not to end a
/// process, or when there is no such signal.
pub fn raise_default(number: i32) {
    let Ok(signo) = Signal::try_from(number) else { return };
    // SAFETY: PR_SET_DUMPABLE takes a number and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0usize, 0usize, 0usize, 0usize) };
    if !matches!(signo, Signal::SIGKILL | Signal::SIGSTOP) {
        // SAFETY: the default action replaces whatever handler there was; no handler of ours is involved.
        if unsafe { signal(signo, SigHandler::SigDfl) }.is_err() {
            return;
        }
    }
    let mut mask = SigSet::empty();
    mask.add(signo);
    // Errors leave the signal pending or not sent; then we return, as documented.
    let _ = raise(signo);
    let _ = mask.thread_unblock();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_and_identity_are_the_hosts() {
        let environment = environment();
        assert!(!environment.args.is_empty());
        let path = [b"PATH=", env::var_os("PATH").unwrap().as_encoded_bytes()].concat();
        assert!(environment.vars.contains(&path));
        assert_eq!(identity().pid, std::process::id() as i32);
        assert!(identity().umask <= 0o777);
    }

    #[test]
    fn limits_are_read_and_a_wrong_number_is_an_error() {
        assert!(limit(libc::RLIMIT_NOFILE).unwrap().0 > 0);
        assert!(limit(9999).is_err());
        let raised = raise_descriptor_limit().unwrap();
        assert_eq!(limit(libc::RLIMIT_NOFILE).unwrap().0, raised);
    }
}
