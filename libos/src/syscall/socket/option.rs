//! The options of sockets: getsockopt(2), setsockopt(2).
//!
//! The one idea: what is not known is `ENOPROTOOPT`, so an option that is taken is one that has its effect, or none in Linux either for such a socket.

use std::sync::atomic::Ordering;

use linux_raw_sys::net as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    net::{Socket, options::Linger},
    process::Thread,
    syscall::argument::{Fd, UserAddr, UserPtr},
    timer::Timeval,
    vfs::Capabilities,
};

/// The most that `SO_PRIORITY` is for an ordinary process.
const PRIORITY_MAX: i32 = 6;
/// The longest time that `SO_LINGER` keeps, in seconds.
const LINGER_MAX: i32 = i32::MAX;

/// Reads an option's value; `EINVAL` when it is too short.
fn read<T: FromBytes + IntoBytes + Immutable>(
    thread: &Thread,
    value: UserAddr,
    len: i32,
) -> SysResult<T> {
    if (len as usize) < size_of::<T>() {
        return Err(Errno::EINVAL);
    }
    value.cast::<T>().read(&thread.memory)
}

/// setsockopt(2)
pub(crate) fn setsockopt(
    thread: &Thread,
    fd: Fd,
    level: u32,
    name: u32,
    value: UserAddr,
    len: i32,
) -> SysResult<()> {
    let file = thread.files.get(fd)?;
    let socket = file.socket()?;
    if len < 0 {
        return Err(Errno::EINVAL);
    }
    if level != raw::SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    let options = socket.options();
    // Whatever the option is, Linux reads an int first.
    let number: i32 = read(thread, value, len)?;
    let on = number != 0;
    match name {
        raw::SO_SNDBUF => options.set_send_buffer(number),
        raw::SO_RCVBUF => options.set_receive_buffer(number),
        raw::SO_RCVLOWAT => options.set_low_water(number),
        raw::SO_RCVTIMEO_OLD | raw::SO_RCVTIMEO_NEW => {
            options.set_receive_timeout(timeout(read(thread, value, len)?)?);
        }
        raw::SO_SNDTIMEO_OLD | raw::SO_SNDTIMEO_NEW => {
            options.set_send_timeout(timeout(read(thread, value, len)?)?);
        }
        raw::SO_PASSCRED => options.pass_credentials.store(on, Ordering::Relaxed),
        raw::SO_PEEK_OFF => options.set_peek_offset(number),
        raw::SO_REUSEADDR => options.kept.lock().reuse_address = on,
        raw::SO_KEEPALIVE => options.kept.lock().keep_alive = on,
        raw::SO_BROADCAST => options.kept.lock().broadcast = on,
        raw::SO_DONTROUTE => options.kept.lock().dont_route = on,
        raw::SO_LINGER => {
            let [linger, seconds]: Linger = read(thread, value, len)?;
            let mut kept = options.kept.lock();
            kept.linger = match linger {
                0 => [0, kept.linger[1]],
                _ => [1, seconds.clamp(0, LINGER_MAX)],
            };
        }
        raw::SO_PRIORITY => {
            let admin = thread.fs.read().cred.has(Capabilities::SYS_ADMIN);
            if !(0..=PRIORITY_MAX).contains(&number) && !admin {
                return Err(Errno::EPERM);
            }
            options.kept.lock().priority = number;
        }
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

/// A time limit; one that is negative lets nothing wait.
fn timeout(limit: Timeval) -> SysResult<u64> {
    if !(0..1_000_000).contains(&limit.usec) {
        return Err(Errno::EDOM);
    }
    if limit.sec < 0 { Ok(1) } else { limit.to_nanos() }
}

/// getsockopt(2)
pub(crate) fn getsockopt(
    thread: &Thread,
    fd: Fd,
    level: u32,
    name: u32,
    value: UserAddr,
    len: UserPtr<i32>,
) -> SysResult<()> {
    let file = thread.files.get(fd)?;
    let socket = file.socket()?;
    if level != raw::SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    let room = usize::try_from(len.read(&thread.memory)?).map_err(|_| Errno::EINVAL)?;
    let write = |bytes: &[u8]| {
        let bytes = bytes.get(..room).unwrap_or(bytes);
        if !bytes.is_empty() {
            thread.memory.write_bytes(value.0, bytes)?;
        }
        len.write(&thread.memory, &(bytes.len() as i32))
    };
    let options = socket.options();
    match name {
        raw::SO_RCVTIMEO_OLD | raw::SO_RCVTIMEO_NEW => {
            write(Timeval::from_nanos(options.timeouts().0).as_bytes())
        }
        raw::SO_SNDTIMEO_OLD | raw::SO_SNDTIMEO_NEW => {
            write(Timeval::from_nanos(options.timeouts().1).as_bytes())
        }
        raw::SO_LINGER => write(options.kept.lock().linger.as_bytes()),
        raw::SO_PEERCRED => write(socket.peer_credentials().as_bytes()),
        raw::SO_PEERNAME => {
            let peer = socket.peer_address()?;
            if room > peer.len() { Err(Errno::EINVAL) } else { write(&peer) }
        }
        _ => write(&number(socket, name)?.to_ne_bytes()),
    }
}

/// The value of an option that is a number.
fn number(socket: &dyn Socket, name: u32) -> SysResult<i32> {
    let options = socket.options();
    Ok(match name {
        raw::SO_TYPE => socket.kind() as i32,
        raw::SO_DOMAIN => i32::from(socket.family()),
        raw::SO_PROTOCOL => 0,
        raw::SO_ERROR => socket.take_error().map_or(0, Errno::raw),
        raw::SO_ACCEPTCONN => i32::from(socket.is_listening()),
        raw::SO_SNDBUF => options.send_buffer() as i32,
        raw::SO_RCVBUF => options.receive_buffer() as i32,
        raw::SO_RCVLOWAT => options.low_water(),
        raw::SO_SNDLOWAT => 1,
        raw::SO_PASSCRED => i32::from(options.passes_credentials()),
        raw::SO_PEEK_OFF => options.peek_offset(),
        raw::SO_REUSEADDR => i32::from(options.kept.lock().reuse_address),
        raw::SO_KEEPALIVE => i32::from(options.kept.lock().keep_alive),
        raw::SO_BROADCAST => i32::from(options.kept.lock().broadcast),
        raw::SO_DONTROUTE => i32::from(options.kept.lock().dont_route),
        raw::SO_PRIORITY => options.kept.lock().priority,
        _ => return Err(Errno::ENOPROTOOPT),
    })
}
