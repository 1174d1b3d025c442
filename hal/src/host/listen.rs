//! A port of the host's loopback interface, for tools that look into the kernel from outside: a debugger. Guests' sockets are none
//! of its business.

use std::{
    io::Read,
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
};

use super::{HostError, Result};
use crate::reactor::Readiness;

/// Waits for connections.
pub struct Listener {
    socket: TcpListener,
    readiness: Readiness,
}

/// A connection; dropped, it is closed.
pub struct Connection {
    socket: TcpStream,
    readiness: Readiness,
}

impl Listener {
    /// Listens at `port`; at 0, at one that is free.
    ///
    /// # Errors
    ///
    /// The host's: `EADDRINUSE`, `EACCES`.
    pub fn bind(port: u16) -> Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nonblocking(true)?;
        let readiness = Readiness::new(socket.try_clone()?)?;
        Ok(Self { socket, readiness })
    }

    /// Where it listens.
    pub fn port(&self) -> Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Waits for the next connection.
    pub async fn accept(&self) -> Result<Connection> {
        loop {
            self.readiness.readable().await?;
            match self.socket.accept().map_err(HostError::from) {
                Ok((socket, _)) => {
                    socket.set_nonblocking(true)?;
                    // Each packet waits for an answer.
                    socket.set_nodelay(true)?;
                    let readiness = Readiness::new(socket.try_clone()?)?;
                    return Ok(Connection { socket, readiness });
                }
                Err(error) if error.would_block() => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Connection {
    /// Waits for bytes and reads them; 0 at the end.
    pub async fn read(&self, buf: &mut [u8]) -> Result<usize> {
        loop {
            self.readiness.readable().await?;
            match (&self.socket).read(buf).map_err(HostError::from) {
                Err(error) if error.would_block() => {}
                result => return result,
            }
        }
    }

    /// Writes all of `buf`.
    pub async fn write_all(&self, mut buf: &[u8]) -> Result<()> {
        use std::io::Write;
        while !buf.is_empty() {
            match (&self.socket).write(buf).map_err(HostError::from) {
                Ok(len) => buf = buf.get(len..).unwrap_or_default(),
                Err(error) if error.would_block() => self.readiness.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The reactor may keep its copy of the descriptor a little longer.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::cpu::block_on;

    #[test]
    fn bytes_go_both_ways_until_the_end() {
        let listener = Listener::bind(0).unwrap();
        let port = listener.port().unwrap();
        let other = std::thread::spawn(move || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            stream.write_all(b"ping").unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            all
        });
        let connection = block_on(listener.accept()).unwrap();
        let mut buf = [0; 16];
        let len = block_on(connection.read(&mut buf)).unwrap();
        assert!(b"ping".starts_with(&buf[..len]) && len > 0);
        block_on(connection.write_all(b"pong")).unwrap();
        drop(connection);
        assert_eq!(other.join().unwrap(), b"pong");
    }
}
