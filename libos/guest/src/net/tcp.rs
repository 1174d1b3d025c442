//! TCP.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
};

use super::{accept, address, connect, streams};
use crate::{operation::Fd, transfer::transfers};

/// A connection over TCP.
#[derive(Debug)]
pub struct TcpStream {
    fd: Fd,
}

streams!(TcpStream);

impl TcpStream {
    /// A connection to `address`.
    ///
    /// # Errors
    ///
    /// Those of socket(2) and connect(2).
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let (family, bytes) = address::internet(address);
        Ok(Self { fd: connect(family, bytes).await? })
    }

    /// Has small writes sent at once, or gathered for a while.
    ///
    /// # Errors
    ///
    /// Those of setsockopt(2).
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.std()?.set_nodelay(on)
    }

    /// Whom it is connected to.
    ///
    /// # Errors
    ///
    /// Those of getpeername(2).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.std()?.peer_addr()
    }

    fn std(&self) -> io::Result<std::net::TcpStream> {
        Ok(self.fd.owned().try_clone()?.into())
    }
}

/// What connections over TCP come in by.
#[derive(Debug)]
pub struct TcpListener {
    fd: Fd,
}

transfers!(TcpListener, close);

impl TcpListener {
    /// Listens at `address`.
    ///
    /// # Errors
    ///
    /// Those of socket(2), bind(2) and listen(2).
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        Ok(std::os::fd::OwnedFd::from(listener).into())
    }

    /// The next connection. A future that is dropped closes the one that comes just then.
    ///
    /// # Errors
    ///
    /// Those of accept(2).
    pub async fn accept(&self) -> io::Result<TcpStream> {
        Ok(accept(&self.fd).await?.into())
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let listener: std::net::TcpListener = self.fd.owned().try_clone()?.into();
        listener.local_addr()
    }
}
