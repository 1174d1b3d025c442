//! Sockets.

mod address;
pub(crate) mod picked;
mod tcp;
mod unix;

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
};

pub use self::{
    picked::{BufferGroup, PickedBuffer},
    tcp::{TcpListener, TcpStream},
    unix::{UnixListener, UnixStream},
};
use crate::{
    operation::{self, Fd, submission},
    transfer::{self, lend},
};

/// A stream socket that is connected to `address`.
async fn connect(domain: i32, address: Vec<u8>) -> io::Result<Fd> {
    // SAFETY: it takes no pointer.
    let fd = unsafe { libc::socket(domain, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor, nobody else's.
    let fd = Fd::from(unsafe { OwnedFd::from_raw_fd(fd) });
    let call = submission(libc::SYS_connect, [fd.raw(), 0, address.len() as u64]);
    // SAFETY: the call reads the address, all of it.
    unsafe { transfer::call_with(Some(&fd), call, 1, address) }.await.0?;
    Ok(fd)
}

/// The next connection of a listener.
async fn accept(listener: &Fd) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC as u64;
    let call = submission(libc::SYS_accept4, [listener.raw(), 0, 0, flags]);
    // SAFETY: the call is told no memory.
    unsafe { operation::make_fd(call, lend(Some(listener), Vec::new())) }.await
}

/// Implements what all streams have.
macro_rules! streams {
    ($type:ty) => {
        $crate::transfer::transfers!($type, $crate::transfer::How::Socket, read);
        $crate::transfer::transfers!($type, $crate::transfer::How::Socket, write);
        $crate::transfer::transfers!($type, close);

        impl $type {
            /// Reads into a buffer of the group that is picked when there is something to read, and not before: so many streams that are
            /// idle have no memory. `None` at the end.
            ///
            /// # Errors
            ///
            /// Those of recv(2).
            pub async fn read_picked(
                &self,
                group: &$crate::net::BufferGroup,
            ) -> std::io::Result<Option<$crate::net::PickedBuffer>> {
                group.read(&self.fd).await
            }

            /// Says that nothing more is read, or written, or neither.
            ///
            /// # Errors
            ///
            /// `ENOTCONN`.
            pub async fn shutdown(&self, how: std::net::Shutdown) -> std::io::Result<()> {
                let how = match how {
                    std::net::Shutdown::Read => libc::SHUT_RD,
                    std::net::Shutdown::Write => libc::SHUT_WR,
                    std::net::Shutdown::Both => libc::SHUT_RDWR,
                };
                let arguments = [self.fd.raw(), how as u64];
                $crate::transfer::call(&self.fd, libc::SYS_shutdown, arguments).await.map(drop)
            }
        }
    };
}
use streams;
