//! A packet of IP: its header, if that is seen, the checksums, and what an echo request is answered with (RFC 791, 792, 4443).
//!
//! The one idea: a packet is kept as what its header says, and the header's bytes are made when somebody is to read them.

use std::net::{IpAddr, Ipv4Addr};

use super::{ICMP, ICMPV6, octets};
use crate::{
    errno::{Errno, SysResult},
    net::inet::route::{Reach, Routes},
};

/// The bytes of a header of IPv4 without options.
pub const HEADER: usize = 20;
/// How many hops an answer may go on.
const HOPS: u8 = 64;
/// Where an ICMP message has its checksum.
pub const ICMP_CHECKSUM: usize = 2;
/// In the header's word of fragments: this packet is not to be cut.
const DONT_FRAGMENT: u16 = 0x4000;

/// The types of echo requests and of their answers, and the same of ICMPv6.
const ECHO: (u8, u8) = (8, 0);
const ECHO_V6: (u8, u8) = (128, 129);

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// From whom.
    pub from: IpAddr,
    /// To whom.
    pub to: IpAddr,
    /// What its bytes are.
    pub protocol: u8,
    /// On how many hops it may go.
    pub ttl: u8,
    /// Type of service, or traffic class.
    pub tos: u8,
    /// A number that tells it from others.
    pub id: u16,
    /// The word of the header about fragments.
    pub fragment: u16,
    /// What follows the first 20 bytes of a header of IPv4.
    pub options: Vec<u8>,
    /// What the protocol carries.
    pub body: Vec<u8>,
}

impl Packet {
    /// One that a socket sends.
    pub fn new(from: IpAddr, to: IpAddr, protocol: u8, body: Vec<u8>) -> Self {
        let id = (hal::random::u64() as u16).max(1);
        let (fragment, options) = (DONT_FRAGMENT, Vec::new());
        Self { from, to, protocol, ttl: HOPS, tos: 0, id, fragment, options, body }
    }

    /// One of IPv4 with the header that a program has written (`IP_HDRINCL`); what is 0 there is filled in. `EINVAL` for less than a header.
    pub fn with_header(bytes: &[u8], source: IpAddr) -> SysResult<Self> {
        let header = bytes.first_chunk::<HEADER>().ok_or(Errno::EINVAL)?;
        let len = usize::from(header[0] & 15) * 4;
        let options = bytes.get(HEADER..len).ok_or(Errno::EINVAL)?.to_vec();
        let body = bytes.get(len..).ok_or(Errno::EINVAL)?.to_vec();
        let address = |at: usize| Ipv4Addr::from([0, 1, 2, 3].map(|i| header[at + i]));
        let from = Some(address(12)).filter(|ip| !ip.is_unspecified()).map_or(source, IpAddr::V4);
        let mut packet = Self::new(from, address(16).into(), header[9], body);
        (packet.ttl, packet.tos, packet.options) = (header[8], header[1], options);
        packet.fragment = u16::from_be_bytes([header[6], header[7]]);
        match u16::from_be_bytes([header[4], header[5]]) {
            0 => {}
            id => packet.id = id,
        }
        Ok(packet)
    }

    /// What is read of it: a header comes with IPv4 only.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.to.is_ipv4() {
            let len = HEADER + self.options.len();
            // The caller has bounded both.
            let total = u16::try_from(len + self.body.len()).unwrap_or(u16::MAX);
            bytes.extend([0x40 | (len / 4) as u8, self.tos]);
            bytes.extend(total.to_be_bytes());
            bytes.extend(self.id.to_be_bytes());
            bytes.extend(self.fragment.to_be_bytes());
            bytes.extend([self.ttl, self.protocol, 0, 0]);
            bytes.extend(octets(self.from));
            bytes.extend(octets(self.to));
            bytes.extend(&self.options);
            let sum = checksum(&[&bytes]).to_be_bytes();
            bytes[10..12].copy_from_slice(&sum);
        }
        bytes.extend(&self.body);
        bytes
    }

    /// All of it, as it goes over a wire: with its header in either case.
    pub fn wire_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.to.is_ipv6() {
            // The caller has bounded it.
            let len = u16::try_from(self.body.len()).unwrap_or(u16::MAX);
            bytes.extend([0x60 | self.tos >> 4, self.tos << 4, 0, 0]);
            bytes.extend(len.to_be_bytes());
            bytes.extend([self.protocol, self.ttl]);
            bytes.extend(octets(self.from));
            bytes.extend(octets(self.to));
        }
        bytes.extend(self.bytes());
        bytes
    }

    /// The type of the ICMP message that it is, if it is one.
    pub fn icmp_type(&self) -> Option<u8> {
        let protocol = if self.to.is_ipv4() { ICMP } else { ICMPV6 };
        if u32::from(self.protocol) == protocol { self.body.first().copied() } else { None }
    }

    /// What the kernel answers, if it is an echo request that came here whole.
    pub fn answer(&self) -> Option<Self> {
        let (request, answer) = if self.to.is_ipv4() { ECHO } else { ECHO_V6 };
        let asks = self.icmp_type() == Some(request) && self.body.len() >= 8 && self.body[1] == 0;
        if !asks || Routes::default().reach(self.to) != Reach::Unicast || self.checksum() != 0 {
            return None;
        }
        let mut body = self.body.clone();
        body[0] = answer;
        let mut packet = Self::new(self.to, self.from, self.protocol, body);
        (packet.tos, packet.fragment) = (self.tos, 0);
        packet.set_icmp_checksum();
        Some(packet)
    }

    /// Puts the checksum where one of ICMP belongs, if the message is long enough.
    fn set_icmp_checksum(&mut self) {
        // Too short a message is none, and stays as it is.
        let _ = self.set_checksum(ICMP_CHECKSUM);
    }

    /// Puts the checksum at `offset` of the body. `EINVAL` where there is no room for it.
    pub fn set_checksum(&mut self, offset: usize) -> SysResult<()> {
        self.body.get_mut(offset..offset + 2).ok_or(Errno::EINVAL)?.fill(0);
        let sum = self.checksum().to_be_bytes();
        self.body[offset..offset + 2].copy_from_slice(&sum);
        Ok(())
    }

    /// That over the body, and over the addresses too with IPv6: 0 if the one in it is right.
    pub fn checksum(&self) -> u16 {
        if self.to.is_ipv4() {
            return checksum(&[&self.body]);
        }
        let len = u32::try_from(self.body.len()).unwrap_or(u32::MAX).to_be_bytes();
        let (from, to) = (octets(self.from), octets(self.to));
        checksum(&[&from, &to, &len, &[0, 0, 0, self.protocol], &self.body])
    }
}

/// The Internet's checksum over parts of which only the last may have an odd length (RFC 1071).
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(to: &str, kind: u8) -> Packet {
        let to: IpAddr = to.parse().unwrap();
        let protocol = if to.is_ipv4() { ICMP } else { ICMPV6 };
        let mut packet = Packet::new(to, to, protocol as u8, vec![kind, 0, 0, 0, 0, 7, 0, 1, b'x']);
        packet.set_icmp_checksum();
        packet
    }

    #[test]
    fn an_echo_request_is_answered() {
        for (to, kind, answer) in [("127.0.0.1", 8, 0), ("::1", 128, 129)] {
            let answered = request(to, kind).answer().unwrap();
            assert_eq!(answered.icmp_type(), Some(answer));
            assert_eq!((&answered.body[4..], answered.checksum()), (&[0, 7, 0, 1, b'x'][..], 0));
            assert_eq!(answered.answer(), None);
        }
    }

    #[test]
    fn what_is_damaged_or_for_many_is_not_answered() {
        let mut damaged = request("127.0.0.1", 8);
        damaged.body[8] = b'y';
        assert_eq!(damaged.answer(), None);
        assert_eq!(request("127.255.255.255", 8).answer(), None);
        let mut short = request("127.0.0.1", 8);
        short.body.truncate(7);
        assert_eq!(short.answer(), None);
    }

    #[test]
    fn a_header_is_read_back() {
        let packet = request("127.0.0.1", 8);
        let bytes = packet.bytes();
        assert_eq!((bytes[0], bytes.len(), checksum(&[&bytes[..HEADER]])), (0x45, 29, 0));
        assert_eq!(Packet::with_header(&bytes, packet.from), Ok(packet));
        for wrong in [&bytes[..19], &[0x4f; 20]] {
            assert_eq!(Packet::with_header(wrong, bytes_source()), Err(Errno::EINVAL));
        }
    }

    fn bytes_source() -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }
}
