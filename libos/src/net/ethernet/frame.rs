//! Frames: an Ethernet header, and a packet of IP behind it (RFC 894, 791, 8200).
//!
//! The one idea: whatever a frame says was written by somebody else. Reading one gives nothing that was not there, and nothing at all of what no machine
//! here would have sent: parts of packets, lengths that do not fit, senders who cannot be answered.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hal::host::wire::Card;

use super::plan::Plan;
use crate::net::inet::raw_ip::packet::Packet;

/// The bytes of an Ethernet header.
pub(super) const HEADER: usize = 14;
/// The most bytes of a packet on the wire: so all datagrams of IPv4 are packets.
pub const MTU: usize = 65535;

/// What an Ethernet header says of what follows.
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];

/// The least bytes of a header of IPv4, and those of IPv6.
const HEADER_V4: usize = 20;
const HEADER_V6: usize = 40;
/// In IPv4's word of fragments: more follow, or some came before.
const FRAGMENT: u16 = 0x3fff;

/// A packet that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard<'a> {
    /// All of it.
    pub(super) bytes: &'a [u8],
    /// How many bytes of it are its header.
    pub(super) header: usize,
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) protocol: u8,
    pub(super) ttl: u8,
    /// Type of service, or traffic class.
    pub(super) tos: u8,
}

impl<'a> Heard<'a> {
    /// The packet in a frame for the machine that `plan` is about, or for all, if there is one that can be answered.
    pub(super) fn in_frame(frame: &'a [u8], plan: &Plan) -> Option<Self> {
        let to: [u8; 6] = *frame.first_chunk()?;
        let for_many = to[0] & 1 != 0;
        let kind: [u8; 2] = *frame.get(12..)?.first_chunk()?;
        let heard = Self::parse(frame.get(HEADER..)?)?;
        let fits = match heard.to {
            IpAddr::V4(_) => kind == IPV4,
            IpAddr::V6(_) => kind == IPV6,
        };
        // Who says that he is this machine is not; who is of another network is nobody's neighbour.
        let neighbour = !plan.is_own(heard.from) && plan.card_at(heard.from).is_some();
        let ours = for_many || Card(to) == plan.card() && plan.is_own(heard.to);
        (fits && neighbour && ours).then_some(heard)
    }

    /// A whole packet, without what follows it.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => {
                let fixed = bytes.first_chunk::<HEADER_V4>()?;
                let word = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
                let address = |at: usize| Ipv4Addr::from([0, 1, 2, 3].map(|i| fixed[at + i]));
                let header = usize::from(fixed[0] & 15) * 4;
                let bytes = bytes.get(..usize::from(word(2)))?;
                let whole = word(6) & FRAGMENT == 0;
                (whole && (HEADER_V4..=bytes.len()).contains(&header)).then_some(Self {
                    bytes,
                    header,
                    from: address(12).into(),
                    to: address(16).into(),
                    protocol: fixed[9],
                    ttl: fixed[8],
                    tos: fixed[1],
                })
            }
            6 => {
                let fixed = bytes.first_chunk::<HEADER_V6>()?;
                let address =
                    |at: usize| Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(|i| fixed[at + i]));
                let len = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
                Some(Self {
                    bytes: bytes.get(..HEADER_V6 + len)?,
                    header: HEADER_V6,
                    from: address(8).into(),
                    to: address(24).into(),
                    protocol: fixed[6],
                    ttl: fixed[7],
                    tos: fixed[0] << 4 | fixed[1] >> 4,
                })
            }
            _ => None,
        }
    }

    /// What its protocol carries.
    pub(super) fn body(&self) -> &'a [u8] {
        self.bytes.get(self.header..).unwrap_or_default()
    }

    /// The same as raw sockets have it.
    pub(super) fn to_packet(self) -> Packet {
        let word = |at: usize| match self.bytes.get(at..).and_then(|bytes| bytes.first_chunk()) {
            Some(bytes) => u16::from_be_bytes(*bytes),
            None => 0,
        };
        let is_v4 = self.to.is_ipv4();
        Packet {
            from: self.from,
            to: self.to,
            protocol: self.protocol,
            ttl: self.ttl,
            tos: self.tos,
            id: if is_v4 { word(4) } else { 0 },
            fragment: if is_v4 { word(6) } else { 0 },
            options: match is_v4 {
                true => self.bytes.get(HEADER_V4..self.header).unwrap_or_default().to_vec(),
                false => Vec::new(),
            },
            body: self.body().to_vec(),
        }
    }
}

/// Writes the header of a frame with a packet to `to`.
pub(super) fn write_header(header: &mut [u8; HEADER], from: Card, to: Card, is_v4: bool) {
    header[..6].copy_from_slice(&to.0);
    header[6..12].copy_from_slice(&from.0);
    header[12..].copy_from_slice(if is_v4 { &IPV4 } else { &IPV6 });
}

/// The frame of a packet, if it is not too large for one.
pub(super) fn frame_of(packet: &Packet, from: Card, to: Card) -> Option<Vec<u8>> {
    let mut header = [0; HEADER];
    write_header(&mut header, from, to, packet.to.is_ipv4());
    let mut frame = header.to_vec();
    frame.extend(packet.wire_bytes());
    (frame.len() <= HEADER + MTU).then_some(frame)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(text: &str) -> Plan {
        text.parse().unwrap()
    }

    fn packet(from: &str, to: &str) -> Packet {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        let mut packet = Packet::new(from, to, 17, vec![1, 2, 3, 4, 5]);
        packet.tos = 0xa5;
        if packet.to.is_ipv6() {
            (packet.id, packet.fragment) = (0, 0);
        }
        packet
    }

    fn frame(packet: &Packet, to: &Plan) -> Vec<u8> {
        frame_of(packet, plan("10.77.0.2").card(), to.card()).unwrap()
    }

    #[test]
    fn a_packet_is_read_as_it_was_written() {
        let here = plan("10.77.0.1");
        for (from, to) in [("10.77.0.2", "10.77.0.1"), ("fd77::10.77.0.2", "fd77::10.77.0.1")] {
            let packet = packet(from, to);
            let mut frame = frame(&packet, &here);
            // Short frames are filled up.
            frame.extend([0; 30]);
            let heard = Heard::in_frame(&frame, &here).unwrap();
            assert_eq!((heard.body(), heard.to_packet()), (&packet.body[..], packet.clone()));
        }
    }

    #[test]
    fn what_no_neighbour_would_send_is_not_heard() {
        let here = plan("10.77.0.1");
        for (from, to) in [
            ("10.77.0.1", "10.77.0.1"),
            ("127.0.0.1", "10.77.0.1"),
            ("0.0.0.0", "10.77.0.1"),
            ("224.0.0.1", "10.77.0.1"),
            ("192.0.2.1", "10.77.0.1"),
            ("10.77.0.2", "127.0.0.1"),
            ("10.77.0.2", "10.77.0.3"),
            ("::1", "fd77::10.77.0.1"),
            ("::", "fd77::10.77.0.1"),
        ] {
            assert_eq!(
                Heard::in_frame(&frame(&packet(from, to), &here), &here),
                None,
                "{from} {to}"
            );
        }
        let good = frame(&packet("10.77.0.2", "10.77.0.1"), &here);
        for (at, byte) in [(5, 9), (13, 6), (14, 0x44), (14, 0x55), (16, 0xff), (20, 0x20), (21, 1)]
        {
            let mut wrong = good.clone();
            wrong[at] = byte;
            assert_eq!(Heard::in_frame(&wrong, &here), None, "{at}");
        }
        let cut = (0..good.len()).filter(|&len| Heard::in_frame(&good[..len], &here).is_some());
        assert_eq!(cut.count(), 0);
    }

    #[test]
    fn a_packet_that_is_too_large_is_none() {
        let (here, mut packet) = (plan("10.77.0.1"), packet("10.77.0.2", "10.77.0.1"));
        packet.body = vec![0; MTU - 20];
        assert!(frame_of(&packet, here.card(), here.card()).is_some());
        packet.body.push(0);
        assert!(frame_of(&packet, here.card(), here.card()).is_none());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(heard) = Heard::parse(&bytes) {
                prop_assert!(heard.header + heard.body().len() <= bytes.len());
                let _ = heard.to_packet().bytes();
            }
        }
    }
}
