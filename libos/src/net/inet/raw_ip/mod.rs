//! Raw sockets (raw(7), ipv6(7)): packets of a protocol with their headers, among them the echo requests of ping(8).
//!
//! Read in this order: [`packet`] (headers, checksums, answers), then [`socket`] (the open file).
//!
//! The one idea: a packet exists from send(2) to the inboxes that it is put into, and on `lo` only raw sockets make any. So they hear each other, the kernel's answers to
//! echo requests, and what comes over a wire; what TCP and UDP bring is no packet here, and those protocols have no raw sockets.

pub mod packet;
pub mod socket;

use std::{
    net::IpAddr,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use self::packet::Packet;
pub use self::socket::RawSocket;
use super::{
    Stack,
    address::{Family, Name},
    route::{ETHERNET_INDEX, LOOPBACK_INDEX, name_on_wire},
    udp::{self, inbox::Datagram},
};
use crate::vfs::IoSrc;

/// The protocols that the kernel answers itself.
pub const ICMP: u32 = 1;
/// The same of IPv6.
pub const ICMPV6: u32 = 58;

/// All raw sockets of a kernel.
pub(super) type Listeners = Mutex<Vec<Weak<Listener>>>;

/// What others can hold of a raw socket.
pub struct Listener {
    end: Arc<udp::End>,
    /// A bit for each type of ICMP message that is *not* wanted: `ICMP_FILTER`, `ICMP6_FILTER`.
    unwanted: Mutex<[u32; 8]>,
    /// Where packets of IPv6 have a checksum: `IPV6_CHECKSUM`.
    checksum_at: Mutex<Option<u16>>,
}

impl Listener {
    /// Whether it is to receive `packet`.
    fn hears(&self, packet: &Packet) -> bool {
        let names = self.end.names();
        let bound = names.local.ip;
        let wanted = match packet.icmp_type() {
            Some(kind) => {
                let word = self.unwanted.lock()[usize::from(kind / 32)];
                word >> (kind % 32) & 1 == 0
            }
            None => true,
        };
        let is = |family| family == self.end.family();
        is(if packet.to.is_ipv4() { Family::V4 } else { Family::V6 })
            && u32::from(packet.protocol) == self.end.numbers.protocol()
            // One that is connected no more has no name to be heard by.
            && names.local.port != 0
            && (bound.is_unspecified() || bound == packet.to)
            && names.peer.is_none_or(|peer| peer.ip == packet.from)
            && wanted
            && (self.checksum_at.lock().is_none() || packet.checksum() == 0)
    }

    /// Leaves `packet` to be read, if there is room.
    fn take(&self, packet: &Packet, device: u32) {
        let bytes = packet.bytes();
        let datagram = Datagram {
            len: bytes.len(),
            from: match device {
                ETHERNET_INDEX => name_on_wire(packet.from, 0),
                _ => Name::new(packet.from, 0),
            },
            to: packet.to,
            ttl: packet.ttl,
            tos: packet.tos,
            time: hal::time::realtime(),
            segment: 0,
            device,
        };
        // Without room it is lost, as packets are.
        let _ = self.end.put(datagram, &mut IoSrc::kernel(&bytes));
    }
}

impl Stack {
    /// Brings a packet of this machine to who wants it, and answers it if it asks for that.
    fn deliver(&self, packet: &Packet) {
        self.bring(packet, LOOPBACK_INDEX);
        if let Some(answer) = packet.answer() {
            self.deliver(&answer);
        }
    }

    /// Takes in a packet from another machine.
    pub(in crate::net) fn hear_packet(&self, packet: &Packet) {
        self.bring(packet, ETHERNET_INDEX);
        self.hear_no_port(packet);
    }

    fn bring(&self, packet: &Packet, device: u32) {
        let receivers: Vec<Arc<Listener>> = {
            let mut all = self.raw.lock();
            all.retain(|listener| listener.strong_count() > 0);
            all.iter().filter_map(Weak::upgrade).filter(|one| one.hears(packet)).collect()
        };
        for receiver in receivers {
            receiver.take(packet, device);
        }
    }
}

/// The bytes of an address.
fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
