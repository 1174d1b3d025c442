//! What the host answers when it refuses.

use std::{fmt, io};

use nix::errno::Errno;

/// A host call's error: the host's `errno`, a small positive number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HostError(i32);

/// A host call's result.
pub type Result<T> = std::result::Result<T, HostError>;

impl HostError {
    /// The error of that number.
    pub const fn from_errno(errno: i32) -> Self {
        Self(errno)
    }

    /// The number, as `errno(3)` lists them: the same for guests, which have the host's ABI.
    pub const fn errno(self) -> i32 {
        self.0
    }

    /// Whether the call would have had to wait (`EAGAIN`).
    pub const fn would_block(self) -> bool {
        self.0 == libc::EAGAIN
    }

    /// The calling thread's last error.
    pub(crate) fn last() -> Self {
        Errno::last().into()
    }
}

impl From<Errno> for HostError {
    fn from(errno: Errno) -> Self {
        Self(errno as i32)
    }
}

impl From<io::Error> for HostError {
    fn from(error: io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<HostError> for io::Error {
    fn from(error: HostError) -> Self {
        io::Error::from_raw_os_error(error.0)
    }
}

impl fmt::Debug for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Errno::from_raw(self.0))
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Errno::from_raw(self.0).desc())
    }
}

impl std::error::Error for HostError {}

/// What a host call that returns a number and -1 for an error has said.
pub(crate) fn check(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| HostError::last())
}

/// Makes the call again while a signal of the host interrupts it.
pub(crate) fn retry<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(HostError(libc::EINTR)) => {}
            result => return result,
        }
    }
}
