//! Calls about sockets, while there are none: no address family is supported, and no descriptor is a socket.
//!
//! The one idea: "this is no socket" is a true and often wanted answer (a shell asks it of its standard input), which
//! "no such call" is not.

use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    syscall::argument::Fd,
};

/// socket(2) and socketpair(2): `EAFNOSUPPORT`, whatever the family.
pub(crate) fn socket(_thread: &Thread, _family: i32, _kind: i32, _protocol: i32) -> SysResult<()> {
    Err(Errno::EAFNOSUPPORT)
}

/// Every call on a socket: `EBADF`, `ENOTSOCK`.
pub(crate) fn not_a_socket(thread: &Thread, fd: Fd) -> SysResult<()> {
    thread.files.get(fd)?;
    Err(Errno::ENOTSOCK)
}
