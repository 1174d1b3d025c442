//! A raw socket as an open file.
//!
//! The one idea: but for what it sends it is a socket of datagrams, whose names, options and inbox it has.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use kernel_objects::WaitQueue;
use linux_raw_sys::net as raw;
use parking_lot::Mutex;

use super::{
    ICMP, ICMPV6, Listener,
    packet::{ICMP_CHECKSUM, Packet},
};
use crate::{
    errno::{Errno, SysResult},
    net::{
        Address, Caller, Core, Incoming, MessageFlags, Outgoing, Shutdown, Socket, SocketKind,
        Ucred,
        inet::{
            Stack,
            address::{Family, Name, destination, family_of, to_bind},
            options::{IP, IPV6, number, to_bytes},
            route::Device,
            udp::{UdpSocket, send},
        },
    },
    vfs::{Attributes, File, GuestMemory, IoDst, IoSrc, Metadata, PollEvents},
};

/// The level of raw sockets' options (`SOL_RAW`), and the only one there (`ICMP_FILTER`).
const SOL_RAW: u32 = 255;
const ICMP_FILTER: u32 = 1;
/// `ICMP6_FILTER`, at the level of ICMPv6.
const ICMP6_FILTER: u32 = 1;
/// The protocol of packets whose headers programs write (`IPPROTO_RAW`).
const ANY: u32 = 255;
/// The most bytes of a packet.
const LENGTH_MAX: usize = 0xffff;

/// A raw socket.
pub struct RawSocket {
    datagrams: Arc<UdpSocket>,
    listener: Arc<Listener>,
    /// Who sends writes the header: `IP_HDRINCL`.
    writes_header: AtomicBool,
}

impl RawSocket {
    /// One of `stack` and of `protocol`, made by `owner`. `ENOMEM`.
    pub fn new(
        stack: &Arc<Stack>,
        family: Family,
        protocol: u32,
        owner: Ucred,
    ) -> SysResult<Arc<Self>> {
        let datagrams = UdpSocket::new(stack, family, protocol, owner)?;
        let end = datagrams.end();
        end.names.lock().local.port = u16::try_from(protocol).map_err(|_| Errno::EINVAL)?;
        let icmp = family == Family::V6 && protocol == ICMPV6;
        let listener = Arc::new(Listener {
            end: end.clone(),
            unwanted: Mutex::default(),
            checksum_at: Mutex::new(icmp.then_some(ICMP_CHECKSUM as u16)),
        });
        stack.raw.lock().push(Arc::downgrade(&listener));
        let writes_header = AtomicBool::new(protocol == ANY && family == Family::V4);
        Ok(Arc::new(Self { datagrams, listener, writes_header }))
    }

    fn protocol_number(&self) -> u32 {
        self.listener.end.numbers.protocol()
    }

    /// Whom an address means. `EAFNOSUPPORT`; IPv6's port is 0 or the protocol, or `EINVAL`.
    fn whom(&self, address: &[u8]) -> SysResult<Name> {
        let family = self.listener.end.family();
        let vague = family == Family::V4 && family_of(address) == Some(raw::AF_UNSPEC);
        let to = if vague { Name::parse(family, address)? } else { destination(family, address)? };
        if family == Family::V6 {
            if to.port != 0 && u32::from(to.port) != self.protocol_number() {
                return Err(Errno::EINVAL);
            }
            if to.ip.is_ipv4() {
                return Err(Errno::ENETUNREACH);
            }
        }
        Ok(to)
    }

    fn send_packet(&self, message: &mut Outgoing<'_, '_>) -> SysResult {
        let end = &self.listener.end;
        let len = message.data.remaining();
        if len > LENGTH_MAX {
            return Err(Errno::EMSGSIZE);
        }
        if message.flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        let to = match message.to {
            Some(address) => self.whom(address)?,
            None => end.names().peer.ok_or(Errno::EDESTADDRREQ)?,
        };
        let wishes = send::Wishes::of(&message.control.ancillary, end.stack().routes())?;
        let route = end.way(to, wishes.device)?;
        let to = route.to;
        let own = end.names().local.ip;
        let source = wishes.source.or(Some(own).filter(|ip| !ip.is_unspecified()));
        let source = source.unwrap_or(route.source);
        if let Some(error) = end.take_error() {
            return Err(error);
        }
        // That it is shut down keeps nobody from sending.
        let mut bytes = vec![0; len];
        send::read_all(message.data, &mut bytes)?;
        let packet = if self.writes_header.load(Ordering::Relaxed) {
            Packet::with_header(&bytes, source)?
        } else {
            let protocol = u8::try_from(self.protocol_number()).map_err(|_| Errno::EINVAL)?;
            let mut packet = Packet::new(source, to, protocol, bytes);
            packet.ttl = end.hops(to, route.reach, wishes.ttl);
            packet.tos = end.service(to, wishes.tos);
            if let Some(at) = *self.listener.checksum_at.lock() {
                packet.set_checksum(at.into())?;
            }
            packet
        };
        if packet.bytes().len() > LENGTH_MAX {
            return Err(Errno::EMSGSIZE);
        }
        match (route.device, end.stack().ethernet()) {
            (Device::Ethernet, Some(_)) if packet.from.is_loopback() => return Err(Errno::EINVAL),
            (Device::Ethernet, Some(ethernet)) => match ethernet.send(&packet) {
                // Linux, too, finds that out too late to say so.
                Ok(()) | Err(Errno::EHOSTUNREACH) => {}
                Err(error) => return Err(error),
            },
            // At a device that is down it is lost.
            _ if !end.stack().routes().loopback_carries() => {}
            _ => end.stack().deliver(&packet),
        }
        Ok(len)
    }

    /// Whether an option says where packets of IPv6 have their checksum, which both levels know.
    fn is_checksum(&self, level: u32, name: u32) -> bool {
        let v6 = self.listener.end.family() == Family::V6;
        v6 && matches!(level, SOL_RAW | IPV6) && name == raw::IPV6_CHECKSUM
    }

    /// Sets that place, a negative one being none. ICMPv6's is where it is, and `EINVAL` at the level of IPv6; so is an odd one.
    fn set_checksum_at(&self, level: u32, value: &[u8]) -> SysResult<()> {
        let at = number(level, value)?;
        if self.protocol_number() == ICMPV6 {
            return if level == IPV6 { Err(Errno::EINVAL) } else { Ok(()) };
        }
        if at > 0 && at & 1 != 0 {
            return Err(Errno::EINVAL);
        }
        *self.listener.checksum_at.lock() = u16::try_from(at).ok();
        Ok(())
    }

    /// How many words of the filter this socket has.
    fn filter_words(&self, level: u32, name: u32) -> Option<usize> {
        let v4 = self.listener.end.family() == Family::V4;
        match (level, name, self.protocol_number()) {
            (SOL_RAW, ICMP_FILTER, ICMP) if v4 => Some(1),
            (ICMPV6, ICMP6_FILTER, ICMPV6) if !v4 => Some(8),
            _ => None,
        }
    }
}

impl File for RawSocket {
    fn read(&self, offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        self.datagrams.read(offset, dst)
    }

    fn write(&self, _offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        self.send_packet(&mut Outgoing::bytes(src))
    }

    fn socket(&self) -> Option<&dyn Socket> {
        Some(self)
    }

    fn metadata(&self) -> Option<SysResult<Metadata>> {
        self.datagrams.metadata()
    }

    fn attributes(&self) -> Option<&Attributes> {
        self.datagrams.attributes()
    }

    fn poll(&self) -> PollEvents {
        self.datagrams.poll()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        self.datagrams.wait_queue()
    }

    fn wait_limit(&self, events: PollEvents) -> Option<u64> {
        self.datagrams.wait_limit(events)
    }

    fn signals_broken_pipe(&self) -> bool {
        false
    }

    fn signals_readiness(&self) -> bool {
        true
    }

    fn ioctl(&self, command: u32, arg: u64, memory: &dyn GuestMemory) -> SysResult {
        self.datagrams.ioctl(command, arg, memory)
    }

    fn link_text(&self) -> Vec<u8> {
        self.datagrams.link_text()
    }
}

impl Socket for RawSocket {
    fn family(&self) -> u16 {
        self.datagrams.family()
    }

    fn kind(&self) -> SocketKind {
        SocketKind::Raw
    }

    fn protocol(&self) -> i32 {
        self.datagrams.protocol()
    }

    fn network(&self) -> Option<&Stack> {
        Some(self.listener.end.stack())
    }

    fn core(&self) -> &Core {
        self.datagrams.core()
    }

    /// The port means nothing.
    fn bind(&self, _caller: &dyn Caller, address: &[u8]) -> SysResult<()> {
        let end = &self.listener.end;
        let name = to_bind(end.family(), address)?;
        end.check_local(name.ip)?;
        let mut names = end.names.lock();
        names.local.ip = name.ip;
        names.bound_ip = Some(name.ip).filter(|ip| !ip.is_unspecified());
        Ok(())
    }

    fn connect(&self, _caller: &dyn Caller, address: &[u8], _may_wait: bool) -> SysResult<()> {
        let end = &self.listener.end;
        if family_of(address) == Some(raw::AF_UNSPEC) {
            let mut names = end.names.lock();
            let ip = names.bound_ip.unwrap_or(end.family().any());
            (names.peer, names.local) = (None, Name::new(ip, 0));
            return Ok(());
        }
        let to = self.whom(address)?;
        let route = end.way(to, 0)?;
        let mut names = end.names.lock();
        if names.local.ip.is_unspecified() {
            names.local.ip = route.source;
        }
        names.peer = Some(Name { ip: route.to, ..to });
        Ok(())
    }

    fn local_address(&self) -> SysResult<Address> {
        self.datagrams.local_address()
    }

    fn peer_address(&self) -> SysResult<Address> {
        self.datagrams.peer_address()
    }

    fn send(&self, _caller: &dyn Caller, message: &mut Outgoing<'_, '_>) -> SysResult {
        self.send_packet(message)
    }

    fn receive(&self, into: &mut Incoming<'_, '_>) -> SysResult {
        self.datagrams.receive(into)
    }

    fn shut_down(&self, how: Shutdown) -> SysResult<()> {
        self.datagrams.shut_down(how)
    }

    fn set_option(
        &self,
        caller: &dyn Caller,
        level: u32,
        name: u32,
        value: &[u8],
    ) -> SysResult<()> {
        if let Some(words) = self.filter_words(level, name) {
            let mut unwanted = self.listener.unwanted.lock();
            for (word, bytes) in unwanted.iter_mut().zip(value.chunks(4)).take(words) {
                let mut whole = word.to_ne_bytes();
                whole[..bytes.len()].copy_from_slice(bytes);
                *word = u32::from_ne_bytes(whole);
            }
            return Ok(());
        }
        match (level, name) {
            _ if self.is_checksum(level, name) => self.set_checksum_at(level, value),
            (SOL_RAW, ICMP_FILTER) => Err(Errno::EOPNOTSUPP),
            (SOL_RAW, _) => Err(Errno::ENOPROTOOPT),
            (IP, raw::IP_HDRINCL) if self.listener.end.family() == Family::V4 => {
                self.writes_header.store(number(level, value)? != 0, Ordering::Relaxed);
                Ok(())
            }
            _ => self.datagrams.set_option(caller, level, name, value),
        }
    }

    fn option(&self, level: u32, name: u32, room: usize) -> SysResult<Vec<u8>> {
        if let Some(words) = self.filter_words(level, name) {
            let unwanted = self.listener.unwanted.lock();
            return Ok(unwanted.iter().take(words).flat_map(|word| word.to_ne_bytes()).collect());
        }
        match (level, name) {
            _ if self.is_checksum(level, name) => {
                let at = self.listener.checksum_at.lock().map_or(-1, i32::from);
                Ok(to_bytes(level, at, room))
            }
            (SOL_RAW, ICMP_FILTER) => Err(Errno::EOPNOTSUPP),
            (SOL_RAW, _) => Err(Errno::ENOPROTOOPT),
            (IP, raw::IP_HDRINCL) if self.listener.end.family() == Family::V4 => {
                let on = self.writes_header.load(Ordering::Relaxed);
                Ok(to_bytes(level, i32::from(on), room))
            }
            _ => self.datagrams.option(level, name, room),
        }
    }
}
