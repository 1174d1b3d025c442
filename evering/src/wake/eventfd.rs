//! An eventfd as the place where a waiter sleeps, for those whose thread sleeps somewhere already: in an epoll loop, or
//! under an async runtime's reactor.

use std::{
    format, fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Instant,
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        eventfd::{EfdFlags, EventFd as Host},
        time::TimeSpec,
    },
};

/// A counter that is readable when it is not zero: both sides have it, the waiter to sleep on and the ringer to write to.
///
/// The two share more than the counter: a peer can fill it up and switch the descriptor's `O_NONBLOCK` off, and so make
/// [`signal`](Self::signal) block. Where the peer is not trusted, sleep on the futex.
#[derive(Debug)]
pub struct EventFd(Host);

impl EventFd {
    /// A new one.
    ///
    /// # Errors
    ///
    /// The host's: no descriptors are left, for example.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(EventFd(Host::from_value_and_flags(0, flags)?))
    }

    /// One that came from another process, over a Unix socket or inherited.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if it is something else than an eventfd, and the host's.
    pub fn from_peer(fd: OwnedFd) -> io::Result<Self> {
        let name = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        if name.as_os_str() != "anon_inode:[eventfd]" {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // SAFETY: it is owned, and an eventfd.
        Ok(EventFd(unsafe { Host::from_owned_fd(fd) }))
    }

    /// Another descriptor of the same counter.
    ///
    /// # Errors
    ///
    /// The host's: no descriptors are left, for example.
    pub fn try_clone(&self) -> io::Result<Self> {
        let fd = self.as_fd().try_clone_to_owned()?;
        // SAFETY: it is owned, and an eventfd.
        Ok(EventFd(unsafe { Host::from_owned_fd(fd) }))
    }

    /// Makes it readable.
    pub fn signal(&self) {
        // EAGAIN: the counter is full, so it is readable.
        let _ = self.0.write(1);
    }

    /// Makes it not readable.
    pub fn clear(&self) {
        // EAGAIN: it was not.
        let _ = self.0.read();
    }

    /// Sleeps until it is readable, or `deadline`, or for no reason.
    pub fn wait(&self, deadline: Option<Instant>) {
        let timeout = deadline.map(|deadline| {
            TimeSpec::from_duration(deadline.saturating_duration_since(Instant::now()))
        });
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        // EINTR is no reason.
        let _ = ppoll(&mut fds, timeout, None);
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
