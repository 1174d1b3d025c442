//! Streams of AF_UNIX.

use std::{
    io,
    os::{fd::OwnedFd, unix::net},
    path::Path,
};

use super::{accept, address, connect, streams};
use crate::{operation::Fd, transfer::transfers};

/// A connection within this machine.
#[derive(Debug)]
pub struct UnixStream {
    fd: Fd,
}

streams!(UnixStream);

impl UnixStream {
    /// A connection to the listener at `path`.
    ///
    /// # Errors
    ///
    /// Those of socket(2) and connect(2).
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let address = address::unix(path.as_ref())?;
        Ok(Self { fd: connect(libc::AF_UNIX, address).await? })
    }

    /// Both ends of a connection.
    ///
    /// # Errors
    ///
    /// Those of socketpair(2).
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = net::UnixStream::pair()?;
        Ok((OwnedFd::from(one).into(), OwnedFd::from(other).into()))
    }
}

/// What connections within this machine come in by.
#[derive(Debug)]
pub struct UnixListener {
    fd: Fd,
}

transfers!(UnixListener, close);

impl UnixListener {
    /// Listens at `path`, where there must be nothing.
    ///
    /// # Errors
    ///
    /// Those of socket(2), bind(2) and listen(2).
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(OwnedFd::from(net::UnixListener::bind(path)?).into())
    }

    /// The next connection. A future that is dropped closes the one that comes just then.
    ///
    /// # Errors
    ///
    /// Those of accept(2).
    pub async fn accept(&self) -> io::Result<UnixStream> {
        Ok(accept(&self.fd).await?.into())
    }
}
