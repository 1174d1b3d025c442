//! Sending datagrams.
//!
//! The one idea: what is wrong with a message is found out in Linux's order before anything is copied; then it is copied straight to its receiver.

use std::{net::IpAddr, sync::Arc};

use linux_raw_sys::net as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    End,
    inbox::{Datagram, Failure},
};
use crate::{
    errno::{Errno, SysResult},
    net::{
        Ancillary, MessageFlags, Outgoing, Shutdown,
        inet::{
            address::{Family, Name, family_of},
            options::{IP, IPV6, UDP, UDP_GRO, UDP_SEGMENT},
            route::{Device, Reach, Routes, name_on_wire},
        },
    },
    vfs::{IoSrc, PollEvents},
};

/// The most bytes that a length field of the protocol can name.
pub(super) const LENGTH_MAX: usize = 0xffff;
/// The most bytes of a datagram of IPv4, and of IPv6.
pub(super) const PAYLOAD_MAX: (usize, usize) = (65507, 65527);

/// How many datagrams a message may be cut into.
const SEGMENTS_MAX: usize = 128;

/// `struct in_pktinfo`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct PacketInfo4 {
    pub(super) device: u32,
    pub(super) source: [u8; 4],
    pub(super) to: [u8; 4],
}

/// `struct in6_pktinfo`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct PacketInfo6 {
    pub(super) to: [u8; 16],
    pub(super) device: u32,
}

/// What a message asks for by control messages, or its socket by options.
#[derive(Default)]
pub(in crate::net::inet) struct Wishes {
    pub(in crate::net::inet) device: u32,
    pub(in crate::net::inet) source: Option<IpAddr>,
    pub(in crate::net::inet) ttl: Option<i32>,
    pub(in crate::net::inet) tos: Option<i32>,
    segment: Option<u16>,
}

impl Wishes {
    /// Those of a message. `EINVAL` for what Linux does not know.
    pub(in crate::net::inet) fn of(ancillary: &[Ancillary], routes: &Routes) -> SysResult<Self> {
        let mut wishes = Self::default();
        for Ancillary { level, kind, data } in ancillary {
            let number = data.first_chunk::<4>().map(|bytes| i32::from_ne_bytes(*bytes));
            match (*level, *kind) {
                (IP, raw::IP_PKTINFO) => {
                    let info = PacketInfo4::read_from_bytes(data).map_err(|_| Errno::EINVAL)?;
                    wishes.device = info.device;
                    let source = IpAddr::from(info.source);
                    wishes.source = Some(source).filter(|source| !source.is_unspecified());
                }
                (IP, raw::IP_TTL) => {
                    let ttl = number.filter(|ttl| (1..=255).contains(ttl));
                    wishes.ttl = Some(ttl.ok_or(Errno::EINVAL)?);
                }
                (IP, raw::IP_TOS) => {
                    let tos = number.or(data.first().map(|&byte| i32::from(byte)));
                    let tos = tos.filter(|tos| (0..=255).contains(tos));
                    wishes.tos = Some(tos.ok_or(Errno::EINVAL)?);
                }
                (IPV6, raw::IPV6_PKTINFO) => {
                    let info = PacketInfo6::read_from_prefix(data).map_err(|_| Errno::EINVAL)?.0;
                    wishes.device = info.device;
                    let source = std::net::Ipv6Addr::from(info.to);
                    let source = source.to_ipv4_mapped().map_or(IpAddr::V6(source), IpAddr::V4);
                    wishes.source = Some(source).filter(|source| !source.is_unspecified());
                }
                (IPV6, raw::IPV6_HOPLIMIT) => {
                    let hops = number.filter(|hops| (-1..=255).contains(hops));
                    wishes.ttl = Some(hops.ok_or(Errno::EINVAL)?).filter(|&hops| hops >= 0);
                }
                (IPV6, raw::IPV6_TCLASS) => {
                    let class = number.filter(|class| (-1..=255).contains(class));
                    wishes.tos = Some(class.ok_or(Errno::EINVAL)?).filter(|&class| class >= 0);
                }
                (UDP, UDP_SEGMENT) => {
                    let size: [u8; 2] = data.as_slice().try_into().map_err(|_| Errno::EINVAL)?;
                    wishes.segment = Some(u16::from_ne_bytes(size));
                }
                (IP | IPV6 | UDP, _) => return Err(Errno::EINVAL),
                _ => {}
            }
        }
        if wishes.device != 0 && routes.device_of(wishes.device).is_none() {
            return Err(Errno::ENODEV);
        }
        if wishes.source.is_some_and(|source| !routes.is_local(source)) {
            return Err(Errno::EINVAL);
        }
        Ok(wishes)
    }
}

impl End {
    /// Sends a datagram of which nothing more comes.
    pub(super) fn send_whole(self: &Arc<Self>, message: &mut Outgoing<'_, '_>) -> SysResult {
        let len = message.data.remaining();
        if len > LENGTH_MAX {
            return Err(Errno::EMSGSIZE);
        }
        if message.flags.contains(MessageFlags::OOB) {
            return Err(Errno::EOPNOTSUPP);
        }
        self.autobind()?;
        let to = match message.to {
            Some(address) => self.receiver(address)?,
            None => None,
        };
        let connected = to.is_none();
        let to = match to {
            Some(to) if to.port == 0 => return Err(Errno::EINVAL),
            Some(to) => to,
            None => self.names().peer.ok_or(Errno::EDESTADDRREQ)?,
        };
        let wishes = match message.control.ancillary.is_empty() {
            true => Wishes::default(),
            false => Wishes::of(&message.control.ancillary, self.stack().routes())?,
        };
        let route = self.way(to, wishes.device)?;
        let to = Name { ip: route.to, ..to };
        let most = if to.ip.is_ipv4() { PAYLOAD_MAX.0 } else { PAYLOAD_MAX.1 };
        if len > most {
            return Err(Errno::EMSGSIZE);
        }
        let segment = self.segment(len, wishes.segment)?;
        if let Some(error) = self.take_error() {
            return Err(error);
        }
        if self.shut().contains(Shutdown::SEND) {
            return Err(Errno::EPIPE);
        }
        let local = self.names().local;
        let own = Some(local.ip)
            .filter(|ip| !ip.is_unspecified())
            .filter(|ip| self.stack().routes().reach(*ip) == Reach::Unicast)
            .filter(|ip| ip.is_ipv4() == to.ip.is_ipv4());
        let source = wishes.source.or(own).unwrap_or(route.source);
        let datagram = Datagram {
            len,
            from: name_on_wire(source, local.port),
            to: to.ip,
            ttl: self.hops(to.ip, route.reach, wishes.ttl),
            tos: self.service(to.ip, wishes.tos),
            time: hal::time::realtime(),
            segment,
            device: route.device.index(),
        };
        if route.device == Device::Ethernet {
            self.send_far(to, route.reach, datagram, message.data)
        } else if !self.stack().routes().loopback_carries() {
            // It is lost, as a packet is at a device that is down.
            read_all(message.data, &mut vec![0; len])?;
            Ok(len)
        } else if route.reach == Reach::Unicast {
            self.send_to_one(to, connected, datagram, message.data)
        } else {
            self.send_to_many(to, datagram, message.data)
        }
    }

    /// Whom the address of a message means; an IPv6 socket may leave it open.
    fn receiver(&self, address: &[u8]) -> SysResult<Option<Name>> {
        let said = family_of(address).ok_or(Errno::EINVAL)?;
        match (self.family(), said) {
            (Family::V6, raw::AF_UNSPEC) => Ok(None),
            (Family::V6, said) if said != raw::AF_INET && said != raw::AF_INET6 => {
                Err(Errno::EINVAL)
            }
            // It may mean the socket's own family, as in 1990.
            (Family::V4, raw::AF_UNSPEC) => Name::parse(Family::V4, address).map(Some),
            _ => self.whom(address).map(Some),
        }
    }

    /// The size of the datagrams that a message of `len` bytes is cut into, 0 if it is not. `EINVAL` for too many.
    fn segment(&self, len: usize, wish: Option<u16>) -> SysResult<u16> {
        let set = || self.numbers.get(UDP, UDP_SEGMENT).map_or(0, |size| size as u16);
        let size = wish.unwrap_or_else(set);
        match usize::from(size) {
            0 => Ok(0),
            each if len <= each => Ok(0),
            each if len > each * SEGMENTS_MAX => Err(Errno::EINVAL),
            _ => Ok(size),
        }
    }

    /// On how many hops a datagram goes.
    pub(in crate::net::inet) fn hops(&self, to: IpAddr, reach: Reach, wish: Option<i32>) -> u8 {
        let many = reach == Reach::Multicast;
        let (level, name) = match (to, many) {
            (IpAddr::V4(_), true) => (IP, raw::IP_MULTICAST_TTL),
            (IpAddr::V4(_), false) => (IP, raw::IP_TTL),
            (IpAddr::V6(_), true) => (IPV6, raw::IPV6_MULTICAST_HOPS),
            (IpAddr::V6(_), false) => (IPV6, raw::IPV6_UNICAST_HOPS),
        };
        let hops = wish.or(self.numbers.get(level, name).ok()).unwrap_or(64);
        u8::try_from(hops).unwrap_or(u8::MAX)
    }

    /// Its type of service, or traffic class.
    pub(in crate::net::inet) fn service(&self, to: IpAddr, wish: Option<i32>) -> u8 {
        let (level, name) = if to.is_ipv4() { (IP, raw::IP_TOS) } else { (IPV6, raw::IPV6_TCLASS) };
        let service = wish.or(self.numbers.get(level, name).ok()).unwrap_or(0);
        u8::try_from(service).unwrap_or(0)
    }

    fn send_to_one(
        &self,
        to: Name,
        connected: bool,
        datagram: Datagram,
        data: &mut IoSrc<'_>,
    ) -> SysResult {
        let found = self.ports().lock().find(to, datagram.from, |_| true);
        let Some(receiver) = found.filter(|receiver| !receiver.is_closed()) else {
            return self.refused(to, connected, datagram, data);
        };
        receiver.take(datagram, data)?;
        Ok(datagram.len)
    }

    /// A message comes in: one datagram, or several that are one only to who wants that.
    pub(super) fn take(&self, message: Datagram, data: &mut IoSrc<'_>) -> SysResult<()> {
        if message.segment == 0 || self.numbers.is_set(UDP, UDP_GRO) {
            return self.take_one(message, data);
        }
        let mut left = message.len;
        while left > 0 {
            let len = left.min(usize::from(message.segment));
            self.take_one(Datagram { len, segment: 0, ..message }, data)?;
            left -= len;
        }
        Ok(())
    }

    fn take_one(&self, datagram: Datagram, data: &mut IoSrc<'_>) -> SysResult<()> {
        let there = self.put(datagram, data)?;
        let counters = &self.stack().counters;
        if there {
            counters.datagrams.count()
        } else {
            counters.overruns.count()
        }
        Ok(())
    }

    /// Leaves a datagram to be read; false if there is no room.
    pub(in crate::net::inet) fn put(
        &self,
        datagram: Datagram,
        data: &mut IoSrc<'_>,
    ) -> SysResult<bool> {
        let limit = self.options.receive_buffer();
        let there = self.inbox.lock().push(datagram, data, limit)?;
        if there {
            self.notify(PollEvents::READABLE);
        }
        Ok(there)
    }

    /// Nobody is there: who is connected, or has asked to be told, is told.
    fn refused(
        &self,
        to: Name,
        connected: bool,
        datagram: Datagram,
        data: &mut IoSrc<'_>,
    ) -> SysResult {
        let mut bytes = vec![0; datagram.len];
        read_all(data, &mut bytes)?;
        self.stack().counters.no_ports.count();
        self.tell_refused(to, connected, bytes);
        Ok(datagram.len)
    }

    /// Nobody was there for `bytes`, sent to `to` as that of a socket that is `connected`.
    pub(super) fn tell_refused(&self, to: Name, connected: bool, bytes: Vec<u8>) {
        let (level, name) =
            if to.ip.is_ipv4() { (IP, raw::IP_RECVERR) } else { (IPV6, raw::IPV6_RECVERR) };
        let keeps = self.numbers.is_set(level, name);
        // The answer finds its way by the port, and to who is connected with that port only.
        let told = match self.names().peer {
            Some(peer) => (peer.ip, peer.port) == (to.ip, to.port),
            None => keeps && !connected,
        };
        if told {
            if keeps {
                let mut inbox = self.inbox.lock();
                if inbox.charged() <= self.options.receive_buffer() && inbox.failures.len() < 64 {
                    inbox.failures.push_back(Failure { to, by: to.ip, bytes });
                }
            }
            self.set_error(Errno::ECONNREFUSED);
            self.notify(PollEvents::ERR);
        }
    }

    fn send_to_many(&self, to: Name, datagram: Datagram, data: &mut IoSrc<'_>) -> SysResult {
        let mut bytes = vec![0; datagram.len];
        read_all(data, &mut bytes)?;
        self.stack().bring_to_many(self.ports(), to, datagram, &bytes)?;
        Ok(datagram.len)
    }
}

/// Reads the whole of a message. `EFAULT`.
pub(in crate::net::inet) fn read_all(data: &mut IoSrc<'_>, bytes: &mut [u8]) -> SysResult<()> {
    let mut done = 0;
    while done < bytes.len() {
        match data.read(&mut bytes[done..])? {
            0 => return Err(Errno::EFAULT),
            n => done += n,
        }
    }
    Ok(())
}
