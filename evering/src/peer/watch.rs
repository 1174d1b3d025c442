//! A process that is watched: its end makes a descriptor readable.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A `pidfd` of the peer's process. It becomes readable when the process has ended, however that was; so it can be
/// polled beside an eventfd, or watched by an async runtime.
#[derive(Debug)]
pub struct Watch(OwnedFd);

impl Watch {
    /// Watches the process that has this number now.
    ///
    /// # Errors
    ///
    /// The host's: [`ESRCH`](nix::errno::Errno::ESRCH) as an [`io::Error`] if there is none.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the call takes two numbers and touches no memory.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is a new descriptor, closed on exec, which nobody else has.
        Ok(Watch(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }

    /// Whether the process has ended.
    pub fn is_over(&self) -> bool {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
