//! An eventfd(2) with which threads wake each other.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
};

/// A new one. Errors: those of eventfd(2).
pub(crate) fn create() -> io::Result<OwnedFd> {
    // SAFETY: it takes no pointer.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor, nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes it ready to be read.
pub(crate) fn set(fd: &impl AsFd) {
    let one = 1_u64;
    // SAFETY: eight bytes are read from `one`. It fails, or blocks, at nearly 2^64 only.
    unsafe { libc::write(fd.as_fd().as_raw_fd(), (&raw const one).cast(), 8) };
}

/// Makes it not ready any more. It must be ready.
pub(crate) fn clear(fd: &impl AsFd) {
    let mut count = 0_u64;
    // SAFETY: eight bytes are written to `count`.
    unsafe { libc::read(fd.as_fd().as_raw_fd(), (&raw mut count).cast(), 8) };
}
