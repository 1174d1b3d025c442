//! Sockets of the host's (`--net host`): guests share its network, its ports and its neighbours.
//!
//! The one idea: a socket is the host's, which never waits; its edges, which the reactor sees, notify the wait queue as everywhere else. Names,
//! options and control data pass through as they are, since the ABI is the same. Bytes go through a buffer of ours, for the host may not see guests' addresses.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use hal::{
    host::{
        HostError,
        socket::{Arrived, HostSocket as Host},
    },
    reactor::Watch,
};
use kernel_objects::WaitQueue;
use linux_raw_sys::{ioctl, net as raw};
use parking_lot::Mutex;

use super::{
    Address, Ancillary, Caller, Incoming, MessageFlags, Outgoing, Shutdown, Socket, SocketKind,
    Ucred,
    core::Core,
    inet::{
        Stack,
        endpoint::check_port,
        options::{IP, IPV6},
    },
};
use crate::{
    errno::{Errno, SysResult},
    vfs::{
        Attributes, Capabilities, File, GuestMemory, IoDst, IoSrc, Metadata, PollEvents,
        buf::with_buffer,
    },
};

/// The largest datagram, and one byte more, to be told by the host that it is too large.
const DATAGRAM_MAX: usize = 65_536;
/// The most bytes of an option's value.
const VALUE_MAX: usize = 4096;
/// Room for control messages that are received.
const CONTROL: usize = 1024;
/// `struct cmsghdr`: length, level, type.
const HEADER: usize = 16;
/// To which control messages are aligned.
const ALIGN: usize = 8;

/// `MSG_ZEROCOPY`
const ZEROCOPY: u32 = 1 << 26;

/// Flags of a message that are the kernel's own business: waiting, and who may be told by a signal.
const OURS: u32 = raw::MSG_DONTWAIT
    | raw::MSG_WAITALL
    | raw::MSG_NOSIGNAL
    | raw::MSG_CMSG_CLOEXEC
    | ZEROCOPY
    | MessageFlags::WAITFORONE.bits();

/// A socket of the host's.
pub struct HostSocket {
    core: Arc<Core>,
    stack: Arc<Stack>,
    host: Host,
    family: u16,
    kind: SocketKind,
    /// connect(2) has begun, and whoever waits for it has not been told how it ended.
    connecting: AtomicBool,
    /// Set up when somebody waits for the first time, and anew when it saw the end of a connection, or none yet.
    watch: Mutex<Option<Watch>>,
}

fn errno(error: HostError) -> Errno {
    Errno::from_raw(error.errno())
}

impl HostSocket {
    /// A new one. The host's errors.
    pub fn new(
        stack: &Arc<Stack>,
        caller: &dyn Caller,
        family: u32,
        kind: u32,
        protocol: i32,
    ) -> SysResult<Arc<Self>> {
        let kind_of = match kind {
            raw::SOCK_STREAM => SocketKind::Stream,
            raw::SOCK_DGRAM => SocketKind::Datagram,
            raw::SOCK_RAW => SocketKind::Raw,
            raw::SOCK_SEQPACKET => SocketKind::SeqPacket,
            _ => return Err(Errno::ESOCKTNOSUPPORT),
        };
        // What the host lets this process do is not what each guest may.
        let raw_packets = kind_of == SocketKind::Raw && family != raw::AF_NETLINK;
        if raw_packets && !stack.allows(caller, Capabilities::NET_RAW) {
            return Err(Errno::EPERM);
        }
        let host = Host::new(family.cast_signed(), kind.cast_signed(), protocol).map_err(errno)?;
        Self::of(stack, host, caller.real(), family as u16, kind_of)
    }

    fn of(
        stack: &Arc<Stack>,
        host: Host,
        owner: Ucred,
        family: u16,
        kind: SocketKind,
    ) -> SysResult<Arc<Self>> {
        Ok(Arc::new(Self {
            core: Arc::new(stack.new_core(owner)?),
            stack: stack.clone(),
            host,
            family,
            kind,
            connecting: AtomicBool::new(false),
            watch: Mutex::default(),
        }))
    }

    fn new_watch(&self) -> Option<Watch> {
        // The reactor may keep the watch a little longer than the socket is there.
        let core = Arc::downgrade(&self.core);
        let notify = move |_| {
            // What the edge was about the waiter finds out by a look.
            if let Some(core) = core.upgrade() {
                core.notify(PollEvents::all());
            }
        };
        let watch = self.host.watch(notify);
        watch.inspect_err(|error| log::warn!("a socket cannot be watched: {error}")).ok()
    }

    /// Its state has changed by a call of the guest's, and with it what can come of it.
    fn watch_anew(&self) {
        let mut watch = self.watch.lock();
        if watch.is_some() {
            *watch = self.new_watch();
        }
    }

    /// An option of `SOL_SOCKET` that is a number, 0 if the host does not tell.
    fn number(&self, name: u32) -> i32 {
        let value = self.host.option(raw::SOL_SOCKET, name, size_of::<i32>()).unwrap_or_default();
        value.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes))
    }

    fn is_stream(&self) -> bool {
        self.kind == SocketKind::Stream
    }

    /// Only questions go to the host's network itself: it is not the guests' to change.
    fn check_request(&self, bytes: &[u8]) -> SysResult<()> {
        if u32::from(self.family) != raw::AF_NETLINK {
            return Ok(());
        }
        let mut rest = bytes;
        while let Some((header, _)) = rest.split_first_chunk::<16>() {
            let [a, b, c, d, low, high, ..] = *header;
            // Of every four types the third asks.
            if u16::from_ne_bytes([low, high]) % 4 != 2 {
                return Err(Errno::EPERM);
            }
            let len = u32::from_ne_bytes([a, b, c, d]) as usize;
            rest = rest.get(len.next_multiple_of(4).max(16)..).unwrap_or_default();
        }
        Ok(())
    }
}

/// Control messages, one after the other, as they lie in memory.
fn lay_out(messages: &[Ancillary]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Ancillary { level, kind, data } in messages {
        bytes.extend_from_slice(&(HEADER + data.len()).to_ne_bytes());
        bytes.extend_from_slice(&level.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
    }
    bytes
}

/// Takes them apart.
fn take_apart(mut bytes: &[u8]) -> Vec<Ancillary> {
    let mut messages = Vec::new();
    while let Some((header, _)) = bytes.split_first_chunk::<HEADER>() {
        let [len @ .., l0, l1, l2, l3, k0, k1, k2, k3] = *header;
        let len = usize::from_ne_bytes(len);
        let Some(data) = bytes.get(HEADER..len) else { break };
        messages.push(Ancillary {
            level: u32::from_ne_bytes([l0, l1, l2, l3]),
            kind: u32::from_ne_bytes([k0, k1, k2, k3]),
            data: data.to_vec(),
        });
        bytes = bytes.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
    }
    messages
}

impl File for HostSocket {
    fn read(&self, _offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        if dst.remaining() == 0 {
            return Ok(0);
        }
        self.receive(&mut Incoming::bytes(dst))
    }

    fn write(&self, _offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        self.pass(&mut Outgoing::bytes(src))
    }

    fn edges_are_late(&self) -> bool {
        true
    }

    fn socket(&self) -> Option<&dyn Socket> {
        Some(self)
    }

    fn metadata(&self) -> Option<SysResult<Metadata>> {
        Some(Ok(self.core.metadata()))
    }

    fn attributes(&self) -> Option<&Attributes> {
        Some(self.core.attributes())
    }

    fn poll(&self) -> PollEvents {
        PollEvents::from_bits_truncate(self.host.poll())
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        let mut watch = self.watch.lock();
        if watch.as_ref().is_none_or(Watch::is_over) {
            *watch = self.new_watch();
        }
        Some(&self.core.queue)
    }

    fn wait_limit(&self, events: PollEvents) -> Option<u64> {
        self.core.wait_limit(events)
    }

    fn takes_whole(&self, _len: usize) -> bool {
        // The host takes as much as it has room for.
        !self.is_stream()
    }

    fn signals_broken_pipe(&self) -> bool {
        self.is_stream()
    }

    fn signals_readiness(&self) -> bool {
        true
    }

    fn ioctl(&self, command: u32, arg: u64, memory: &dyn GuestMemory) -> SysResult {
        match command {
            ioctl::FIONREAD | ioctl::TIOCOUTQ | ioctl::SIOCATMARK => {
                let number = self.host.number(command).map_err(errno)?;
                memory.write(arg, &number.to_ne_bytes())?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn link_text(&self) -> Vec<u8> {
        self.core.link_text()
    }
}

impl HostSocket {
    fn pass(&self, message: &mut Outgoing<'_, '_>) -> SysResult {
        if !message.control.files.is_empty() {
            return Err(Errno::EINVAL);
        }
        let control = lay_out(&message.control.ancillary);
        let len = message.data.remaining();
        if len > DATAGRAM_MAX && !self.is_stream() {
            return Err(Errno::EMSGSIZE);
        }
        let done = with_buffer(len, |buf| {
            // The host may take less than we have, and then the rest is still the guest's.
            let len = message.data.clone().read(buf)?;
            let bytes = buf.get(..len).unwrap_or_default();
            self.check_request(bytes)?;
            let flags = message.flags.bits() & !OURS;
            self.host.send(bytes, message.to, &control, flags).map_err(errno)
        })?;
        message.data.skip(done);
        Ok(done)
    }
}

impl Socket for HostSocket {
    fn family(&self) -> u16 {
        self.family
    }

    fn kind(&self) -> SocketKind {
        self.kind
    }

    fn protocol(&self) -> i32 {
        self.number(raw::SO_PROTOCOL)
    }

    fn network(&self) -> Option<&Stack> {
        Some(&self.stack)
    }

    fn core(&self) -> &Core {
        &self.core
    }

    fn bind(&self, caller: &dyn Caller, address: &[u8]) -> SysResult<()> {
        // Of both families the port is behind the family's number.
        if u32::from(self.family) != raw::AF_NETLINK
            && let Some(port) = address.get(2..4).and_then(|port| port.first_chunk::<2>())
        {
            check_port(&self.stack, caller, u16::from_be_bytes(*port))?;
        }
        self.host.bind(address).map_err(errno)
    }

    fn listen(&self, _caller: &dyn Caller, backlog: usize) -> SysResult<()> {
        self.host.listen(i32::try_from(backlog).unwrap_or(i32::MAX)).map_err(errno)?;
        self.watch_anew();
        Ok(())
    }

    fn connect(&self, _caller: &dyn Caller, address: &[u8], may_wait: bool) -> SysResult<()> {
        let waited = may_wait && self.connecting.load(Ordering::Relaxed);
        if waited && !self.poll().intersects(PollEvents::OUT | PollEvents::ERR | PollEvents::HUP) {
            return Err(Errno::EAGAIN);
        }
        let done = self.host.connect(address).map_err(errno);
        if waited {
            self.connecting.store(false, Ordering::Relaxed);
            return done;
        }
        self.watch_anew();
        match done {
            Err(Errno::EINPROGRESS | Errno::EALREADY) if may_wait => {
                self.connecting.store(true, Ordering::Relaxed);
                Err(Errno::EAGAIN)
            }
            done => done,
        }
    }

    fn accept(&self) -> SysResult<Arc<dyn Socket>> {
        let host = self.host.accept().map_err(errno)?;
        let owner = self.core.owner();
        Ok(Self::of(&self.stack, host, owner, self.family, self.kind)?)
    }

    fn local_address(&self) -> SysResult<Address> {
        Ok(Address::from_vec(self.host.local_address().map_err(errno)?))
    }

    fn peer_address(&self) -> SysResult<Address> {
        Ok(Address::from_vec(self.host.peer_address().map_err(errno)?))
    }

    fn send(&self, _caller: &dyn Caller, message: &mut Outgoing<'_, '_>) -> SysResult {
        self.pass(message)
    }

    fn receive(&self, into: &mut Incoming<'_, '_>) -> SysResult {
        let flags = into.flags.bits() & !OURS;
        let room = into.data.remaining();
        let control = if self.is_stream() { 0 } else { CONTROL };
        let arrived = with_buffer(room, |buf| {
            let arrived =
                match self.host.receive(buf, into.wants_address, control, flags).map_err(errno) {
                    // Only who waits is told of the end of a socket without connections, and here nobody waits.
                    Err(Errno::EAGAIN)
                        if self.core.shut().contains(Shutdown::RECEIVE) && !into.nonblocking =>
                    {
                        return Ok(Arrived::default());
                    }
                    arrived => arrived?,
                };
            let bytes = buf.get(..arrived.len).unwrap_or(buf);
            // A stream's bytes that are only counted have no place here.
            if !self.is_stream() || flags & raw::MSG_TRUNC == 0 {
                into.data.write(bytes)?;
            }
            SysResult::Ok(arrived)
        })?;
        into.result |= MessageFlags::from_bits_retain(arrived.flags.cast_unsigned() & !OURS);
        if into.wants_address {
            into.address = Some(Address::from_vec(arrived.address));
        }
        into.control.ancillary.extend(take_apart(&arrived.control));
        Ok(arrived.len)
    }

    fn shut_down(&self, how: Shutdown) -> SysResult<()> {
        // SHUT_RD is 0, SHUT_WR 1, SHUT_RDWR 2.
        let done = self.host.shut_down(i32::from(how.bits()) - 1).map_err(errno);
        if !matches!(done, Err(Errno::ENOTCONN)) || self.kind == SocketKind::Datagram {
            self.core.set_shut(how);
        }
        self.core.notify(PollEvents::all());
        done
    }

    fn take_error(&self) -> Option<Errno> {
        Some(self.number(raw::SO_ERROR)).filter(|&error| error != 0).map(Errno::from_raw)
    }

    fn is_listening(&self) -> bool {
        self.number(raw::SO_ACCEPTCONN) != 0
    }

    fn has_hosts_options(&self) -> bool {
        true
    }

    fn set_option(
        &self,
        caller: &dyn Caller,
        level: u32,
        name: u32,
        value: &[u8],
    ) -> SysResult<()> {
        let forces = [raw::SO_MARK, raw::SO_SNDBUFFORCE, raw::SO_RCVBUFFORCE, raw::SO_DEBUG];
        let privileged = match level {
            raw::SOL_SOCKET => forces.contains(&name),
            IP => name == raw::IP_TRANSPARENT,
            IPV6 => name == raw::IPV6_TRANSPARENT,
            _ => false,
        };
        if privileged && !self.stack.allows(caller, Capabilities::NET_ADMIN) {
            return Err(Errno::EPERM);
        }
        self.host.set_option(level, name, value).map_err(errno)
    }

    fn option(&self, level: u32, name: u32, room: usize) -> SysResult<Vec<u8>> {
        self.host.option(level, name, room.min(VALUE_MAX)).map_err(errno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_messages_come_back_as_they_were_laid_out() {
        let messages = [(0, 8, vec![1, 2, 3, 4, 5]), (41, 50, vec![]), (1, 2, vec![9; 20])]
            .map(|(level, kind, data)| Ancillary { level, kind, data });
        let bytes = lay_out(&messages);
        assert_eq!(bytes.len(), 24 + 16 + 40);
        let back: Vec<_> =
            take_apart(&bytes).into_iter().map(|m| (m.level, m.kind, m.data)).collect();
        let there: Vec<_> = messages.into_iter().map(|m| (m.level, m.kind, m.data)).collect();
        assert_eq!(back, there);
        assert!(take_apart(&[0xff; 20]).is_empty(), "nonsense is nothing");
        assert!(take_apart(&[0; 16]).is_empty());
    }
}
