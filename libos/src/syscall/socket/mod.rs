//! Sockets: making, naming and connecting them; [`message`] moves what they carry, [`option`] is about their options.
//!
//! The one idea: these calls move addresses between the guest and a [`Socket`], and wait where it says so; what an address means
//! is the family's business. A family that is not there is `EAFNOSUPPORT`.

pub mod message;
pub mod option;

use std::sync::Arc;

use linux_raw_sys::{general as raw, net};

use crate::{
    config::Network,
    errno::{Errno, SysResult},
    net::{
        Address, Caller, Shutdown, Socket, SocketKind, Ucred,
        host::HostSocket,
        inet::address::Family,
        netlink::{self, NetlinkSocket},
        unix::UnixSocket,
    },
    process::{FsState, NetNamespace, Resource, Thread},
    syscall::{
        argument::{Fd, Flags, UserAddr, UserPtr},
        io::until_ready,
    },
    vfs::{Capabilities, OpenFile, PollEvents},
};

/// The size of `struct sockaddr_storage`: no address is longer.
pub(crate) const ADDRESS_MAX: usize = 128;

/// The most connections that wait to be accepted (`net.core.somaxconn`).
pub(crate) const BACKLOG_MAX: usize = 4096;

/// The flags in the type of a socket: `SOCK_CLOEXEC`, `SOCK_NONBLOCK`.
pub(crate) const KIND_FLAGS: u32 = raw::O_CLOEXEC | raw::O_NONBLOCK;
/// The rest of the type.
const KIND_MASK: u32 = 0xf;
/// The number of types that Linux knows, and of families.
const KIND_MAX: u32 = 11;
const FAMILY_MAX: i32 = 46;
/// `PF_UNIX`, the only protocol of its family.
const UNIX: i32 = net::AF_UNIX as i32;

impl Caller for Thread {
    fn real(&self) -> Ucred {
        let ids = self.process.ids.lock();
        Ucred { pid: self.process.pid, uid: ids.users[0], gid: ids.groups[0] }
    }

    fn effective(&self) -> Ucred {
        let ids = self.process.ids.lock();
        Ucred { pid: self.process.pid, uid: ids.users[1], gid: ids.groups[1] }
    }

    fn fs(&self) -> &FsState {
        &self.fs
    }

    fn in_flight_limit(&self) -> u64 {
        let cred = &self.fs.read().cred;
        if cred.has(Capabilities::SYS_RESOURCE) || cred.has(Capabilities::SYS_ADMIN) {
            u64::MAX
        } else {
            self.process.limit(Resource::OpenFiles)
        }
    }
}

/// The flags in a type of a socket, and the type without them. `EAFNOSUPPORT` for a family that cannot be.
fn split_kind(family: i32, kind: i32) -> SysResult<(u32, u32)> {
    let flags = kind as u32 & !KIND_MASK;
    if flags & !KIND_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if !(0..FAMILY_MAX).contains(&family) {
        return Err(Errno::EAFNOSUPPORT);
    }
    let kind = kind as u32 & KIND_MASK;
    if kind >= KIND_MAX { Err(Errno::EINVAL) } else { Ok((kind, flags)) }
}

/// What a Unix socket of a type carries.
fn unix_kind(kind: u32, protocol: i32) -> SysResult<SocketKind> {
    if protocol != 0 && protocol != UNIX {
        return Err(Errno::EPROTONOSUPPORT);
    }
    match kind {
        net::SOCK_STREAM => Ok(SocketKind::Stream),
        net::SOCK_DGRAM | net::SOCK_RAW => Ok(SocketKind::Datagram),
        net::SOCK_SEQPACKET => Ok(SocketKind::SeqPacket),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

pub(crate) fn open(socket: Arc<dyn Socket>, flags: u32) -> Arc<OpenFile> {
    OpenFile::from_file(socket, None, raw::O_RDWR | flags & raw::O_NONBLOCK)
}

/// Gives a socket a descriptor; `flags` may have `O_CLOEXEC` and `O_NONBLOCK`.
pub(crate) fn insert(thread: &Thread, socket: Arc<dyn Socket>, flags: u32) -> SysResult<Fd> {
    let limit = thread.process.limit(Resource::OpenFiles);
    thread.files.insert(open(socket, flags), flags & raw::O_CLOEXEC != 0, 0, limit)
}

/// socket(2)
pub(crate) fn socket(thread: &Thread, family: i32, kind: i32, protocol: i32) -> SysResult<Fd> {
    let (socket, flags) = create(thread, family, kind, protocol)?;
    insert(thread, socket, flags)
}

/// As [`socket`], without a descriptor: the socket, and the flags that its type had.
pub(crate) fn create(
    thread: &Thread,
    family: i32,
    kind: i32,
    protocol: i32,
) -> SysResult<(Arc<dyn Socket>, u32)> {
    let (kind, flags) = split_kind(family, kind)?;
    let NetNamespace { inet, unix, .. } = &*thread.net();
    let socket: Arc<dyn Socket> = match family as u32 {
        net::AF_UNIX => UnixSocket::new(unix, unix_kind(kind, protocol)?, thread.real())?,
        net::AF_INET => inet.socket(thread, Family::V4, kind, protocol)?,
        net::AF_INET6 => inet.socket(thread, Family::V6, kind, protocol)?,
        net::AF_NETLINK if inet.network() == Network::Host && protocol == netlink::ROUTE => {
            HostSocket::new(inet, thread, net::AF_NETLINK, kind, protocol)?
        }
        net::AF_NETLINK => NetlinkSocket::new(inet, unix, thread, kind, protocol)?,
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    Ok((socket, flags))
}

/// socketpair(2)
pub(crate) fn socketpair(
    thread: &Thread,
    family: i32,
    kind: i32,
    protocol: i32,
    into: UserPtr<[i32; 2]>,
) -> SysResult<()> {
    let (kind, flags) = split_kind(family, kind)?;
    if family != UNIX {
        // Who has no pairs of a family finds out only when there is one.
        create(thread, family, kind as i32, protocol)?;
        return Err(Errno::EOPNOTSUPP);
    }
    let kind = unix_kind(kind, protocol)?;
    let (one, other) = UnixSocket::pair(&thread.net().unix, kind, thread)?;
    let one = insert(thread, one, flags)?;
    let other = insert(thread, other, flags).inspect_err(|_| drop(thread.files.remove(one)))?;
    let written = into.write(&thread.memory, &[one.0, other.0]);
    written.inspect_err(|_| {
        drop(thread.files.remove(one));
        drop(thread.files.remove(other));
    })
}

/// Copies an address in. `EINVAL` for a length that none has.
pub(crate) fn read_address(thread: &Thread, from: UserAddr, len: i32) -> SysResult<Address> {
    let len = usize::try_from(len).ok().filter(|&len| len <= ADDRESS_MAX).ok_or(Errno::EINVAL)?;
    let mut address = Address::from_elem(0, len);
    if len > 0 {
        thread.memory.read_bytes(from.0, &mut address)?;
    }
    Ok(address)
}

/// Copies an address out to a buffer of `*len` bytes, as much as it holds, and stores its whole length there.
pub(crate) fn write_address(
    thread: &Thread,
    address: &[u8],
    into: UserAddr,
    len: UserPtr<i32>,
) -> SysResult<()> {
    let room = usize::try_from(len.read(&thread.memory)?).map_err(|_| Errno::EINVAL)?;
    let written = address.get(..room).unwrap_or(address);
    if !written.is_empty() {
        thread.memory.write_bytes(into.0, written)?;
    }
    len.write(&thread.memory, &(address.len() as i32))
}

/// bind(2)
pub(crate) fn bind(thread: &Thread, fd: Fd, address: UserAddr, len: i32) -> SysResult<()> {
    let file = thread.files.get(fd)?;
    let socket = file.socket()?;
    let address = read_address(thread, address, len)?;
    socket.bind(thread, &address)
}

/// listen(2)
pub(crate) fn listen(thread: &Thread, fd: Fd, backlog: i32) -> SysResult<()> {
    let file = thread.files.get(fd)?;
    listen_on(thread, file.socket()?, backlog)
}

/// As [`listen`], on a socket.
pub(crate) fn listen_on(thread: &Thread, socket: &dyn Socket, backlog: i32) -> SysResult<()> {
    // A negative number is a large one to Linux.
    let backlog = usize::try_from(backlog).unwrap_or(BACKLOG_MAX).min(BACKLOG_MAX);
    socket.listen(thread, backlog)
}

/// connect(2)
pub(crate) async fn connect(thread: &Thread, fd: Fd, address: UserAddr, len: i32) -> SysResult<()> {
    let file = thread.files.get(fd)?;
    let address = read_address(thread, address, len)?;
    let socket = file.socket()?;
    let may_wait = !file.nonblocking();
    until_ready(thread, &file, PollEvents::OUT, || socket.connect(thread, &address, may_wait)).await
}

/// accept(2)
pub(crate) async fn accept(
    thread: &Thread,
    fd: Fd,
    address: UserAddr,
    len: UserPtr<i32>,
) -> SysResult<Fd> {
    accept4(thread, fd, address, len, Flags(0)).await
}

/// accept4(2)
pub(crate) async fn accept4(
    thread: &Thread,
    fd: Fd,
    address: UserAddr,
    len: UserPtr<i32>,
    flags: Flags,
) -> SysResult<Fd> {
    let file = thread.files.get(fd)?;
    if flags.0 & !KIND_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let socket = file.socket()?;
    // A connection that finds no number is not to be lost.
    thread.files.check_room(thread.process.limit(Resource::OpenFiles))?;
    let accepted = until_ready(thread, &file, PollEvents::IN, || socket.accept()).await?;
    if !address.is_null() {
        // Without a peer's address it is closed, as in Linux.
        write_address(thread, &accepted.accepted_address()?, address, len)?;
    }
    insert(thread, accepted, flags.0)
}

/// getsockname(2)
pub(crate) fn getsockname(
    thread: &Thread,
    fd: Fd,
    address: UserAddr,
    len: UserPtr<i32>,
) -> SysResult<()> {
    let file = thread.files.get(fd)?;
    write_address(thread, &file.socket()?.local_address()?, address, len)
}

/// getpeername(2)
pub(crate) fn getpeername(
    thread: &Thread,
    fd: Fd,
    address: UserAddr,
    len: UserPtr<i32>,
) -> SysResult<()> {
    let file = thread.files.get(fd)?;
    write_address(thread, &file.socket()?.peer_address()?, address, len)
}

/// shutdown(2)
pub(crate) fn shutdown(thread: &Thread, fd: Fd, how: i32) -> SysResult<()> {
    let file = thread.files.get(fd)?;
    let socket = file.socket()?;
    socket.shut_down(Shutdown::from_raw(how)?)
}
