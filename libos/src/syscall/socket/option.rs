//! The options of sockets: getsockopt(2), setsockopt(2).
//!
//! The one idea: what is not known is `ENOPROTOOPT`, so an option that is taken is one that has its effect, or none in Linux either for such a socket.

use std::sync::atomic::Ordering;

use linux_raw_sys::net as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    net::{
        Socket, SocketKind,
        inet::{
            is_inet,
            route::{Device, Routes},
        },
        options::{Linger, Timestamps, stamping},
    },
    process::Thread,
    syscall::argument::{Fd, UserAddr, UserPtr},
    timer::Timeval,
    vfs::Capabilities,
};

/// The most that `SO_PRIORITY` is for an ordinary process.
const PRIORITY_MAX: i32 = 6;
/// The longest time that `SO_LINGER` keeps, in seconds.
const LINGER_MAX: i32 = i32::MAX;

/// The most bytes of a value that any option looks at.
const VALUE_MAX: usize = 4096;
/// The room that the name of a device has: `IFNAMSIZ`.
const DEVICE_NAME: usize = 16;

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

/// Whether an option is the family's business.
fn is_familys(socket: &dyn Socket, level: u32, name: u32) -> bool {
    let limits =
        [raw::SO_RCVTIMEO_OLD, raw::SO_RCVTIMEO_NEW, raw::SO_SNDTIMEO_OLD, raw::SO_SNDTIMEO_NEW];
    level != raw::SOL_SOCKET || socket.has_hosts_options() && !limits.contains(&name)
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
    if is_familys(socket, level, name) {
        let len = (len as usize).min(VALUE_MAX);
        let value = value.cast::<u8>().read_slice(&thread.memory, len)?;
        return socket.set_option(thread, level, name, &value);
    }
    if let Some(done) = set_inet(thread, socket, name, value, len) {
        return done;
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

/// Sets an option that only Internet sockets have, if it is one.
fn set_inet(
    thread: &Thread,
    socket: &dyn Socket,
    name: u32,
    value: UserAddr,
    len: i32,
) -> Option<SysResult<()>> {
    if name == raw::SO_BINDTODEVICE {
        return Some(bind_to_device(thread, socket, value, len));
    }
    let number: i32 = match read(thread, value, len) {
        Ok(number) => number,
        Err(error) => return Some(Err(error)),
    };
    let has = |caps| thread.fs.read().cred.has(caps);
    let options = socket.options();
    Some(match name {
        raw::SO_SNDBUFFORCE | raw::SO_RCVBUFFORCE if !has(Capabilities::NET_ADMIN) => {
            Err(Errno::EPERM)
        }
        raw::SO_SNDBUFFORCE => {
            options.force_send_buffer(number);
            Ok(())
        }
        raw::SO_RCVBUFFORCE => {
            options.force_receive_buffer(number);
            Ok(())
        }
        raw::SO_REUSEPORT if number != 0 && !is_inet(socket) => Err(Errno::EOPNOTSUPP),
        raw::SO_PASSCRED if is_inet(socket) => Err(Errno::EOPNOTSUPP),
        raw::SO_REUSEPORT => {
            options.kept.lock().reuse_port = number != 0;
            Ok(())
        }
        raw::SO_MARK if !has(Capabilities::NET_ADMIN) && !has(Capabilities::NET_RAW) => {
            Err(Errno::EPERM)
        }
        raw::SO_MARK => {
            options.kept.lock().mark = number;
            Ok(())
        }
        raw::SO_BUSY_POLL if number < 0 => Err(Errno::EINVAL),
        raw::SO_BUSY_POLL => {
            options.kept.lock().busy_poll = number;
            Ok(())
        }
        raw::SO_TYPE | raw::SO_PROTOCOL | raw::SO_DOMAIN | raw::SO_ERROR => Err(Errno::ENOPROTOOPT),
        raw::SO_TIMESTAMP_OLD | raw::SO_TIMESTAMP_NEW if is_inet(socket) => {
            options.set_timestamps(if number != 0 { Timestamps::Micros } else { Timestamps::None });
            Ok(())
        }
        raw::SO_TIMESTAMPNS_OLD | raw::SO_TIMESTAMPNS_NEW if is_inet(socket) => {
            options.set_timestamps(if number != 0 { Timestamps::Nanos } else { Timestamps::None });
            Ok(())
        }
        raw::SO_TIMESTAMPING_OLD | raw::SO_TIMESTAMPING_NEW if is_inet(socket) => {
            let bits = number as u32;
            if bits & !(stamping::ALL | stamping::SENT) != 0 {
                return Some(Err(Errno::EINVAL));
            }
            // When something is sent is not told to anybody.
            if bits & stamping::SENT != 0 {
                return Some(Err(Errno::EOPNOTSUPP));
            }
            options.stamping.store(bits, Ordering::Relaxed);
            Ok(())
        }
        raw::SO_ZEROCOPY if !is_inet(socket) => Err(Errno::EOPNOTSUPP),
        raw::SO_ZEROCOPY if !(0..=1).contains(&number) => Err(Errno::EINVAL),
        raw::SO_ZEROCOPY => {
            socket.core().completions.want(number != 0);
            Ok(())
        }
        raw::SO_RCVLOWAT if is_inet(socket) && socket.kind() == SocketKind::Stream => {
            // More than there is room for would be waited for in vain.
            let most = i32::try_from(options.receive_buffer() / 2).unwrap_or(i32::MAX);
            options.set_low_water(if number < 0 { most } else { number.min(most) });
            Ok(())
        }
        raw::SO_OOBINLINE if is_inet(socket) => {
            options.urgent_inline.store(number != 0, Ordering::Relaxed);
            Ok(())
        }
        _ => return None,
    })
}

fn routes(thread: &Thread) -> &Routes {
    thread.process.kernel.inet.routes()
}

/// `SO_BINDTODEVICE`: by name; none for no device. `ENODEV`.
fn bind_to_device(
    thread: &Thread,
    socket: &dyn Socket,
    value: UserAddr,
    len: i32,
) -> SysResult<()> {
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?.min(DEVICE_NAME - 1);
    let name = value.cast::<u8>().read_slice(&thread.memory, len)?;
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    let device = match name {
        b"" => 0,
        name => routes(thread).device(name).ok_or(Errno::ENODEV)?.index(),
    };
    socket.options().kept.lock().device = device;
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
    let room = usize::try_from(len.read(&thread.memory)?).map_err(|_| Errno::EINVAL)?;
    let write = |bytes: &[u8]| {
        let bytes = bytes.get(..room).unwrap_or(bytes);
        if !bytes.is_empty() {
            thread.memory.write_bytes(value.0, bytes)?;
        }
        len.write(&thread.memory, &(bytes.len() as i32))
    };
    if is_familys(socket, level, name) {
        return write(&socket.option(level, name, room)?);
    }
    let options = socket.options();
    match name {
        raw::SO_RCVTIMEO_OLD | raw::SO_RCVTIMEO_NEW => {
            write(Timeval::from_nanos(options.timeouts().0).as_bytes())
        }
        raw::SO_SNDTIMEO_OLD | raw::SO_SNDTIMEO_NEW => {
            write(Timeval::from_nanos(options.timeouts().1).as_bytes())
        }
        raw::SO_LINGER => write(options.kept.lock().linger.as_bytes()),
        raw::SO_COOKIE => match room {
            ..8 => Err(Errno::EINVAL),
            _ => write(&socket.cookie().to_ne_bytes()),
        },
        raw::SO_BINDTODEVICE if is_inet(socket) => match options.kept.lock().device {
            0 => write(&[]),
            _ if room < DEVICE_NAME => Err(Errno::EINVAL),
            device => {
                let device = routes(thread).device_of(device).unwrap_or(Device::Loopback);
                write(&[device.name().as_bytes(), b"\0"].concat())
            }
        },
        raw::SO_PEERCRED => {
            let users = thread.process.user_namespace();
            write(socket.peer_credentials().shown_in(&users).as_bytes())
        }
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
        raw::SO_PROTOCOL => socket.protocol(),
        raw::SO_ERROR => socket.take_error().map_or(0, Errno::raw),
        raw::SO_ACCEPTCONN => i32::from(socket.is_listening()),
        raw::SO_SNDBUF => options.send_buffer() as i32,
        raw::SO_RCVBUF => options.receive_buffer() as i32,
        raw::SO_RCVLOWAT => options.low_water(),
        raw::SO_SNDLOWAT => 1,
        raw::SO_PASSCRED if is_inet(socket) => return Err(Errno::EOPNOTSUPP),
        raw::SO_PASSCRED => i32::from(options.passes_credentials()),
        raw::SO_PEEK_OFF => options.peek_offset(),
        raw::SO_REUSEADDR => i32::from(options.kept.lock().reuse_address),
        raw::SO_KEEPALIVE => i32::from(options.kept.lock().keep_alive),
        raw::SO_BROADCAST => i32::from(options.kept.lock().broadcast),
        raw::SO_DONTROUTE => i32::from(options.kept.lock().dont_route),
        raw::SO_PRIORITY => options.kept.lock().priority,
        raw::SO_REUSEPORT => i32::from(options.kept.lock().reuse_port),
        raw::SO_MARK => options.kept.lock().mark,
        raw::SO_BUSY_POLL => options.kept.lock().busy_poll,
        raw::SO_INCOMING_CPU => -1,
        raw::SO_TIMESTAMPING_OLD | raw::SO_TIMESTAMPING_NEW => {
            options.stamping.load(Ordering::Relaxed) as i32
        }
        raw::SO_ZEROCOPY => i32::from(socket.core().completions.is_wanted()),
        raw::SO_OOBINLINE => i32::from(options.urgent_inline.load(Ordering::Relaxed)),
        raw::SO_TIMESTAMP_OLD | raw::SO_TIMESTAMP_NEW => {
            i32::from(options.timestamps() == Timestamps::Micros)
        }
        raw::SO_TIMESTAMPNS_OLD | raw::SO_TIMESTAMPNS_NEW => {
            i32::from(options.timestamps() == Timestamps::Nanos)
        }
        _ => return Err(Errno::ENOPROTOOPT),
    })
}
