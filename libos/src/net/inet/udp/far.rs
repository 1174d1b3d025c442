//! Datagrams to other machines and from them.
//!
//! The one idea: a datagram is a packet (RFC 768), so nothing is kept of one that was sent. What nobody is there for is said to its sender by a packet of ICMP, from which he
//! learns what he is told at once on `lo`.

use std::{net::IpAddr, sync::Arc};

use linux_raw_sys::net as raw;

use super::{
    End,
    inbox::Datagram,
    send::{PAYLOAD_MAX, read_all},
};
use crate::{
    errno::{Errno, SysResult},
    net::{
        ethernet::{MTU, plan::Plan},
        inet::{
            Stack,
            address::Name,
            options::{IP, IPV6, UDP},
            raw_ip::{
                ICMP, ICMPV6,
                packet::{ICMP_CHECKSUM, Packet},
            },
            route::{ETHERNET_INDEX, Reach, name_on_wire},
        },
    },
    vfs::IoSrc,
};

/// The bytes of a datagram's header.
const HEADER: usize = 8;
/// The bytes of a header of IPv6.
const HEADER_V6: usize = 40;
/// No such port: type and code of ICMP, and of ICMPv6.
const NO_PORT: ([u8; 2], [u8; 2]) = ([3, 3], [1, 4]);
/// The most bytes of a packet that an answer quotes: so the answer fits wherever packets do (RFC 1812, 4443).
const QUOTED: usize = 548;
/// IPv4's header without options.
const HEADER_V4: usize = 20;

/// The packet of a datagram. `EMSGSIZE`.
fn packet_of(to: Name, datagram: &Datagram, bytes: &[u8]) -> SysResult<Packet> {
    let len = u16::try_from(HEADER + bytes.len()).map_err(|_| Errno::EMSGSIZE)?;
    let mut body = Vec::with_capacity(len.into());
    body.extend(datagram.from.port.to_be_bytes());
    body.extend(to.port.to_be_bytes());
    body.extend(len.to_be_bytes());
    // The wire is memory: there is no checksum.
    body.extend([0, 0]);
    body.extend(bytes);
    let mut packet = Packet::new(datagram.from.ip, to.ip, UDP as u8, body);
    (packet.ttl, packet.tos) = (datagram.ttl, datagram.tos);
    Ok(packet)
}

/// The ports of a datagram, and the bytes in it.
fn parse(body: &[u8]) -> Option<(u16, u16, &[u8])> {
    let header = body.first_chunk::<HEADER>()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    Some((word(0), word(2), body.get(HEADER..usize::from(word(4)))?))
}

impl End {
    /// Sends a datagram, or those that it is to be cut into, by the wire.
    pub(super) fn send_far(
        &self,
        to: Name,
        reach: Reach,
        datagram: Datagram,
        data: &mut IoSrc<'_>,
    ) -> SysResult {
        let ethernet = self.stack().ethernet().ok_or(Errno::ENETUNREACH)?;
        // Lite datagrams are none to others, and who has only an address of `lo` cannot be answered.
        if self.numbers.protocol() != UDP {
            return Err(Errno::ENETUNREACH);
        } else if datagram.from.ip.is_loopback() {
            return Err(Errno::EINVAL);
        }
        let most = if to.ip.is_ipv4() { PAYLOAD_MAX.0 } else { MTU - HEADER_V6 - HEADER };
        if datagram.len > most {
            return Err(Errno::EMSGSIZE);
        }
        let mut bytes = vec![0; datagram.len];
        read_all(data, &mut bytes)?;
        let each = match datagram.segment {
            0 => bytes.len().max(1),
            size => usize::from(size),
        };
        // An empty datagram is one, too.
        let whole = bytes.is_empty().then_some(&bytes[..]);
        for part in bytes.chunks(each).chain(whole) {
            self.stack().counters.datagrams_sent.count();
            match ethernet.send(&packet_of(to, &datagram, part)?) {
                // Linux, too, finds that out too late to say so.
                Ok(()) | Err(Errno::EHOSTUNREACH) => {}
                Err(error) => return Err(error),
            }
        }
        if reach == Reach::Broadcast || reach == Reach::Multicast && self.hears_itself(to.ip) {
            self.stack().bring_to_many(self.ports(), to, datagram, &bytes)?;
        }
        Ok(datagram.len)
    }

    /// Whether this machine gets what this socket sends to a group.
    fn hears_itself(&self, group: IpAddr) -> bool {
        let (level, name) = match group {
            IpAddr::V4(_) => (IP, raw::IP_MULTICAST_LOOP),
            IpAddr::V6(_) => (IPV6, raw::IPV6_MULTICAST_LOOP),
        };
        self.numbers.get(level, name) != Ok(0)
    }
}

impl Stack {
    /// Takes in a datagram from another machine; what is answered, if anything.
    pub(in crate::net) fn hear_datagram(&self, plan: &Plan, packet: &Packet) -> Option<Packet> {
        let (source, port, bytes) = parse(&packet.body)?;
        let to = name_on_wire(packet.to, port);
        let datagram = Datagram {
            len: bytes.len(),
            from: name_on_wire(packet.from, source),
            to: packet.to,
            ttl: packet.ttl,
            tos: packet.tos,
            time: hal::time::realtime(),
            segment: 0,
            device: ETHERNET_INDEX,
        };
        if !plan.is_own(packet.to) {
            // Who is not there is not told.
            let _ = self.bring_to_many(&self.udp, to, datagram, bytes);
            return None;
        }
        let found = self.udp.lock().find(to, datagram.from, |_| true);
        match found.filter(|receiver| !receiver.is_closed()) {
            Some(receiver) => {
                // It is lost when there is no memory.
                let _ = receiver.take(datagram, &mut IoSrc::kernel(bytes));
                None
            }
            None => {
                self.counters.no_ports.count();
                Some(no_port(packet))
            }
        }
    }

    /// Takes in what another machine says that it has no port for.
    pub(in crate::net) fn hear_no_port(&self, packet: &Packet) {
        let v4 = packet.to.is_ipv4();
        let (protocol, said) = if v4 { (ICMP, NO_PORT.0) } else { (ICMPV6, NO_PORT.1) };
        if u32::from(packet.protocol) != protocol || !packet.body.starts_with(&said) {
            return;
        }
        let Some((to, from, bytes)) = quoted(packet.body.get(HEADER..).unwrap_or_default(), v4)
        else {
            return;
        };
        // The answer is of the machine that was asked, about what this one has asked.
        if (to.ip, from.ip) != (packet.from, packet.to) {
            return;
        }
        let found = self.udp.lock().find(from, to, |_| true);
        if let Some(end) = found {
            end.tell_refused(to, end.names().peer.is_some(), bytes.to_vec());
        }
    }
}

/// The answer to a packet that is for a port that nobody has.
fn no_port(packet: &Packet) -> Packet {
    let v4 = packet.to.is_ipv4();
    let (protocol, said) = if v4 { (ICMP, NO_PORT.0) } else { (ICMPV6, NO_PORT.1) };
    let mut quote = packet.wire_bytes();
    quote.truncate(QUOTED);
    let body = [&said[..], &[0; 6], &quote].concat();
    let mut answer = Packet::new(packet.to, packet.from, protocol as u8, body);
    // There is room for it.
    let _ = answer.set_checksum(ICMP_CHECKSUM);
    answer
}

/// To whom and from whom a datagram was of which this is the beginning, header first, and what was in it.
fn quoted(bytes: &[u8], v4: bool) -> Option<(Name, Name, &[u8])> {
    let address = |at: usize| -> Option<IpAddr> {
        let bytes = bytes.get(at..)?;
        Some(match v4 {
            true => IpAddr::from(*bytes.first_chunk::<4>()?),
            false => IpAddr::from(*bytes.first_chunk::<16>()?),
        })
    };
    let (header, protocol, from, to) = match v4 {
        true => (usize::from(bytes.first()? & 15) * 4, *bytes.get(9)?, address(12)?, address(16)?),
        false => (HEADER_V6, *bytes.get(6)?, address(8)?, address(24)?),
    };
    let body = bytes.get(header.max(HEADER_V4)..)?;
    let ports = body.first_chunk::<HEADER>().filter(|_| u32::from(protocol) == UDP)?;
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    Some((name_on_wire(to, port(2)), name_on_wire(from, port(0)), body.get(HEADER..)?))
}

impl Stack {
    /// Brings a datagram for many to those on this machine who hear it.
    pub(super) fn bring_to_many(
        &self,
        ports: &parking_lot::Mutex<super::Ports<End>>,
        to: Name,
        datagram: Datagram,
        bytes: &[u8],
    ) -> SysResult<()> {
        let group = self.routes().reach(to.ip) == Reach::Multicast;
        let (receivers, joined): (Vec<Arc<End>>, bool) = {
            let ports = ports.lock();
            let joined = !group || ports.all().any(|end| end.has_joined(to.ip, datagram.device));
            (ports.find_all(to, datagram.from), joined)
        };
        let hears =
            |end: &End| !group || end.has_joined(to.ip, datagram.device) || end.hears_all(to.ip);
        for receiver in receivers.iter().filter(|end| joined && !end.is_closed() && hears(end)) {
            receiver.take(datagram, &mut IoSrc::kernel(bytes))?;
        }
        Ok(())
    }
}
