//! Sockets of the host's, for guests that share its network.
//!
//! The one idea: a call here is the host's call of that name on a socket that never waits. Addresses, options and control data are
//! the bytes that a guest has, since it has the host's ABI.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    HostError, Result,
    error::{check, retry},
};
use crate::{
    fault::{Fault, Mask, Op},
    reactor::{Ready, Watch},
};

/// Bytes that the longest address has: `struct sockaddr_storage`.
const ADDRESS_MAX: usize = size_of::<libc::sockaddr_storage>();

/// An Internet socket of the host's, or one that asks about its network. Nothing waits: what would is `EAGAIN`, or `EINPROGRESS`.
#[derive(Debug)]
pub struct HostSocket {
    fd: OwnedFd,
    /// connect(2) has begun, and nobody has asked how it ended.
    connecting: AtomicBool,
    faults: Mask,
}

/// What came with the bytes of a message.
#[derive(Clone, Debug, Default)]
pub struct Arrived {
    /// How many bytes; of a message with `MSG_TRUNC` how many it had.
    pub len: usize,
    /// Whose it is, if that was wanted.
    pub address: Vec<u8>,
    /// Control messages, side by side.
    pub control: Vec<u8>,
    /// `MSG_*`
    pub flags: i32,
}

fn socklen(len: usize) -> Result<libc::socklen_t> {
    len.try_into().map_err(|_| HostError::from_errno(libc::EINVAL))
}

/// Whether the value of an option is what it is, and has no pointer and no descriptor in it, which would be this process's: that leaves out filters,
/// firewalls and zero-copy receiving.
fn is_plain(level: i32, name: i32) -> bool {
    match level {
        libc::SOL_SOCKET => !matches!(
            name,
            libc::SO_ATTACH_FILTER
                | libc::SO_ATTACH_BPF
                | libc::SO_ATTACH_REUSEPORT_CBPF
                | libc::SO_ATTACH_REUSEPORT_EBPF
        ),
        libc::IPPROTO_TCP => matches!(name, 1..=13 | 15..=18 | 23..=26 | 30 | 36 | 37),
        libc::IPPROTO_UDP => matches!(name, 1 | 101..=104),
        libc::IPPROTO_IP => matches!(name, 1..=15 | 18..=25 | 32..=50),
        libc::IPPROTO_IPV6 => matches!(name, 1..=27 | 36 | 37 | 42..=62 | 66 | 67 | 70 | 72..=78),
        libc::SOL_NETLINK => matches!(name, 1..=12),
        _ => false,
    }
}

impl HostSocket {
    /// socket(2)
    pub fn new(family: i32, kind: i32, protocol: i32) -> Result<Self> {
        let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: three numbers.
        Self::own(check(unsafe { libc::socket(family, kind, protocol) } as isize)?)
    }

    fn own(fd: usize) -> Result<Self> {
        let fd = i32::try_from(fd).map_err(|_| HostError::from_errno(libc::EBADF))?;
        // SAFETY: a descriptor that a call has just made, which nobody else knows.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, connecting: AtomicBool::new(false), faults: Mask::of_network() })
    }

    fn fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// bind(2)
    pub fn bind(&self, address: &[u8]) -> Result<()> {
        let len = socklen(address.len())?;
        // SAFETY: pointer and length of one slice, which the host only reads.
        check(unsafe { libc::bind(self.fd(), address.as_ptr().cast(), len) } as isize).map(drop)
    }

    /// listen(2)
    pub fn listen(&self, backlog: i32) -> Result<()> {
        // SAFETY: two numbers.
        check(unsafe { libc::listen(self.fd(), backlog) } as isize).map(drop)
    }

    /// connect(2)
    pub fn connect(&self, address: &[u8]) -> Result<()> {
        // Who asks how it ended begins nothing.
        if !self.connecting.swap(false, Ordering::Relaxed) {
            self.faults.draw(Op::Connect).check()?;
        }
        let len = socklen(address.len())?;
        // SAFETY: pointer and length of one slice, which the host only reads.
        let result = unsafe { libc::connect(self.fd(), address.as_ptr().cast(), len) };
        let begun = check(result as isize).map(drop);
        let in_progress = HostError::from_errno(libc::EINPROGRESS);
        self.connecting.store(begun == Err(in_progress), Ordering::Relaxed);
        begun
    }

    /// accept(2)
    pub fn accept(&self) -> Result<Self> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let accept = || {
            // SAFETY: the host stores no address.
            let fd = unsafe { libc::accept4(self.fd(), ptr::null_mut(), ptr::null_mut(), flags) };
            check(fd as isize)
        };
        Self::own(retry(accept)?)
    }

    /// getsockname(2)
    pub fn local_address(&self) -> Result<Vec<u8>> {
        self.address(libc::getsockname)
    }

    /// getpeername(2)
    pub fn peer_address(&self) -> Result<Vec<u8>> {
        self.address(libc::getpeername)
    }

    fn address(
        &self,
        ask: unsafe extern "C" fn(i32, *mut libc::sockaddr, *mut libc::socklen_t) -> i32,
    ) -> Result<Vec<u8>> {
        let mut address = vec![0; ADDRESS_MAX];
        let mut len = socklen(ADDRESS_MAX)?;
        let into = address.as_mut_ptr().cast();
        // SAFETY: both calls store at most `len` bytes, and how many there are.
        check(unsafe { ask(self.fd(), into, &raw mut len) } as isize)?;
        address.truncate(len as usize);
        Ok(address)
    }

    /// shutdown(2)
    pub fn shut_down(&self, how: i32) -> Result<()> {
        // SAFETY: two numbers.
        check(unsafe { libc::shutdown(self.fd(), how) } as isize).map(drop)
    }

    /// setsockopt(2)
    pub fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<()> {
        let len = socklen(value.len())?;
        let (level, name) = (level.cast_signed(), name.cast_signed());
        if !is_plain(level, name) {
            return Err(HostError::from_errno(libc::ENOPROTOOPT));
        }
        let value = value.as_ptr().cast();
        // SAFETY: pointer and length of one slice, in which there are no further pointers.
        check(unsafe { libc::setsockopt(self.fd(), level, name, value, len) } as isize).map(drop)
    }

    /// getsockopt(2), of at most `room` bytes.
    pub fn option(&self, level: u32, name: u32, room: usize) -> Result<Vec<u8>> {
        let mut value = vec![0; room];
        let mut len = socklen(room)?;
        let (level, name) = (level.cast_signed(), name.cast_signed());
        if !is_plain(level, name) {
            return Err(HostError::from_errno(libc::ENOPROTOOPT));
        }
        let into = value.as_mut_ptr().cast();
        // SAFETY: the host stores at most `len` bytes, and how many there are.
        check(unsafe { libc::getsockopt(self.fd(), level, name, into, &raw mut len) } as isize)?;
        value.truncate(len as usize);
        Ok(value)
    }

    /// sendmsg(2); how many bytes. `EPIPE` comes without a signal.
    pub fn send(
        &self,
        bytes: &[u8],
        to: Option<&[u8]>,
        control: &[u8],
        flags: u32,
    ) -> Result<usize> {
        let len = self.transfer(Op::Write, bytes.len())?;
        let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: len };
        // SAFETY: all zeros are a message with nothing in it.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        if let Some(to) = to {
            message.msg_name = to.as_ptr().cast_mut().cast();
            message.msg_namelen = socklen(to.len())?;
        }
        if !control.is_empty() {
            message.msg_control = control.as_ptr().cast_mut().cast();
            message.msg_controllen = control.len();
        }
        let flags = flags.cast_signed() | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: every pointer is to a borrowed slice of the length beside it, which the host only reads.
        retry(|| check(unsafe { libc::sendmsg(self.fd(), &raw const message, flags) }))
    }

    /// recvmsg(2) into `buf`, with room for `control` bytes beside it, and whose it is if that is `wanted`.
    pub fn receive(
        &self,
        buf: &mut [u8],
        wanted: bool,
        control: usize,
        flags: u32,
    ) -> Result<Arrived> {
        let len = self.transfer(Op::Read, buf.len())?;
        let mut part = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: len };
        let room = if wanted { ADDRESS_MAX } else { 0 };
        let (mut address, mut control) = (vec![0_u8; room], vec![0_u8; control]);
        // SAFETY: all zeros are a message with nothing in it.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        if wanted {
            message.msg_name = address.as_mut_ptr().cast();
            message.msg_namelen = socklen(room)?;
        }
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = control.len();
        let flags = flags.cast_signed() | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: every pointer is to an exclusively borrowed buffer of the length beside it. Sockets of these families carry no
        // descriptors.
        let len = retry(|| check(unsafe { libc::recvmsg(self.fd(), &raw mut message, flags) }))?;
        address.truncate(message.msg_namelen as usize);
        control.truncate(message.msg_controllen);
        Ok(Arrived { len, address, control, flags: message.msg_flags })
    }

    /// How many of `len` bytes are to be transferred, where faults may come.
    fn transfer(&self, op: Op, len: usize) -> Result<usize> {
        match self.faults.draw(op) {
            Fault::None => Ok(len),
            // A message is whole, and has no connection.
            Fault::Short | Fault::Reset if !self.is_stream() => Ok(len),
            Fault::Reset => {
                self.reset();
                Err(HostError::from_errno(libc::ECONNRESET))
            }
            fault => fault.cut(len),
        }
    }

    fn is_stream(&self) -> bool {
        let (level, name) = (libc::SOL_SOCKET as u32, libc::SO_TYPE as u32);
        self.option(level, name, size_of::<i32>())
            .is_ok_and(|kind| kind == libc::SOCK_STREAM.to_ne_bytes())
    }

    /// Has the connection be reset: the other side is told so.
    fn reset(&self) {
        // SAFETY: all zeroes is an address of no family: connected to that, a socket is connected no more, and what was there is reset.
        unsafe {
            let nobody: libc::sockaddr = std::mem::zeroed();
            libc::connect(self.fd(), &raw const nobody, size_of_val(&nobody) as libc::socklen_t);
        }
    }

    /// Bytes that could be received, or that are still to be sent: `FIONREAD`, `SIOCOUTQ`, `SIOCATMARK`.
    pub fn number(&self, command: u32) -> Result<i32> {
        let mut number = 0_i32;
        // SAFETY: these commands store an int; the callers ask by no others.
        check(unsafe { libc::ioctl(self.fd(), command.into(), &raw mut number) } as isize)?;
        Ok(number)
    }

    /// What poll(2) says now, in its own bits.
    pub fn poll(&self) -> u32 {
        let events = libc::POLLIN | libc::POLLOUT | libc::POLLPRI | libc::POLLRDHUP;
        let events =
            events | libc::POLLRDNORM | libc::POLLWRNORM | libc::POLLRDBAND | libc::POLLWRBAND;
        let mut poll = libc::pollfd { fd: self.fd(), events, revents: 0 };
        // SAFETY: one pollfd, and a timeout of 0.
        if unsafe { libc::poll(&raw mut poll, 1, 0) } < 0 {
            return 0;
        }
        u32::from(poll.revents.cast_unsigned())
    }

    /// Calls back when it becomes ready for more than before, until the watch is dropped.
    pub fn watch(&self, on_ready: impl Fn(Ready) + Send + Sync + 'static) -> io::Result<Watch> {
        Watch::new(self.fd.try_clone()?, on_ready)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    fn address(port: u16) -> Vec<u8> {
        let family = (libc::AF_INET as u16).to_ne_bytes();
        [&family[..], &port.to_be_bytes(), &[127, 0, 0, 1], &[0; 8]].concat()
    }

    #[test]
    fn a_connection_takes_time_and_carries_bytes_both_ways() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = address(listener.local_addr().unwrap().port());
        let socket = HostSocket::new(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
        let begun = socket.connect(&to);
        assert!(begun.is_ok() || begun.unwrap_err().errno() == libc::EINPROGRESS);
        let (mut other, _) = listener.accept().unwrap();
        while socket.poll() & libc::POLLOUT as u32 == 0 {}
        assert_eq!(socket.peer_address().unwrap(), to);
        assert_eq!(socket.receive(&mut [0; 4], false, 0, 0).unwrap_err().errno(), libc::EAGAIN);
        assert_eq!(socket.send(b"ping", None, &[], 0).unwrap(), 4);
        let mut buf = [0; 4];
        other.read_exact(&mut buf).unwrap();
        other.write_all(b"pong!").unwrap();
        while socket.poll() & libc::POLLIN as u32 == 0 {}
        assert_eq!(socket.number(libc::FIONREAD as u32).unwrap(), 5);
        assert_eq!(socket.receive(&mut buf, false, 0, 0).unwrap().len, 4);
        assert_eq!((&buf, socket.shut_down(libc::SHUT_WR)), (b"pong", Ok(())));
        assert_eq!(socket.send(b"x", None, &[], 0).unwrap_err().errno(), libc::EPIPE);
    }

    #[test]
    fn a_datagram_says_whose_it_is_and_what_did_not_fit() {
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let from = address(other.local_addr().unwrap().port());
        let socket = HostSocket::new(libc::AF_INET, libc::SOCK_DGRAM, 0).unwrap();
        socket
            .set_option(libc::SOL_SOCKET as u32, libc::SO_RCVBUF as u32, &4096_i32.to_ne_bytes())
            .unwrap();
        socket.bind(&address(0)).unwrap();
        socket.send(b"hello", Some(&from), &[], 0).unwrap();
        let (len, to) = other.recv_from(&mut [0; 9]).unwrap();
        assert_eq!((len, socket.local_address().unwrap()), (5, address(to.port())));
        other.send_to(b"answer", to).unwrap();
        let mut buf = [0; 3];
        let arrived = socket.receive(&mut buf, true, 64, libc::MSG_TRUNC as u32).unwrap();
        assert_eq!((arrived.len, &buf, arrived.address), (6, b"ans", from));
        assert_ne!(arrived.flags & libc::MSG_TRUNC, 0);
        assert_eq!(
            socket.option(libc::SOL_SOCKET as u32, libc::SO_TYPE as u32, 4).unwrap(),
            2_i32.to_ne_bytes()
        );
    }
}
