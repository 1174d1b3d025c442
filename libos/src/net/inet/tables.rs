//! The files of /proc/net that tell about Internet sockets and the network (proc(5)), in Linux's columns.

use std::{fmt::Write, net::IpAddr, sync::Arc};

use super::{
    Stack,
    address::{Family, Name},
    diag::{CLOSE, ESTABLISHED},
    endpoint::Inet,
    interface::{SCOPE_HOST, SCOPE_LINK},
    tcp,
};
use crate::net::ethernet::plan::mask_of;

/// The widths that lines of IPv4 are filled up to.
const TCP_WIDTH: usize = 149;
const UDP_WIDTH: usize = 127;

const TCP_HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const UDP_HEAD: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
const TCP6_HEAD: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const UDP6_HEAD: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";

/// An address as these files have it: words of the machine, in hexadecimal.
fn write_name(name: Name, family: Family) -> String {
    let bytes = match family {
        Family::V4 => match name.ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(_) => vec![0; 4],
        },
        Family::V6 => super::address::to_v6(name.ip).octets().to_vec(),
    };
    let mut text = String::new();
    for word in bytes.as_chunks::<4>().0 {
        let _ = write!(text, "{:08X}", u32::from_ne_bytes(*word));
    }
    let _ = write!(text, ":{:04X}", name.port);
    text
}

/// What a line has of a socket of either protocol.
fn line(inet: &Inet, state: u8, queues: (usize, usize), ino: u64) -> String {
    let names = inet.names();
    let family = inet.family();
    let peer = names.peer.unwrap_or(Name::unnamed(family));
    let listens = state == tcp::State::Listen as u8;
    let peer = if listens { Name::unnamed(family) } else { peer };
    format!(
        "{} {} {state:02X} {:08X}:{:08X} 00:00000000 00000000 {:5} {:8} {}",
        write_name(names.local, family),
        write_name(peer, family),
        queues.0,
        queues.1,
        inet.owner().uid,
        0,
        ino,
    )
}

fn finish(text: &mut String, line: &str, family: Family, width: usize) {
    let _ = match family {
        Family::V4 => writeln!(text, "{line:<width$}"),
        Family::V6 => writeln!(text, "{line}"),
    };
}

impl Stack {
    /// /proc/net/tcp, /proc/net/tcp6
    pub fn tcp_table(&self, family: Family) -> String {
        let mut text = match family {
            Family::V4 => format!("{TCP_HEAD:<TCP_WIDTH$}\n"),
            Family::V6 => TCP6_HEAD.to_owned(),
        };
        for (number, end) in self.shown_tcp(family).iter().enumerate() {
            let queues = end.fill().map_or_else(|| end.queues(), |(pending, _)| (0, pending));
            // What is still to be accepted is nobody's file.
            let ino = if end.is_unaccepted() { 0 } else { end.ino() };
            let line = line(end, end.state() as u8, queues, ino);
            let line = format!("{number:4}: {line} 1 {:016x} 100 0 0 10 0", 0);
            finish(&mut text, &line, family, TCP_WIDTH);
        }
        text
    }

    /// /proc/net/udp, /proc/net/udp6, /proc/net/udplite, …
    pub fn udp_table(&self, family: Family, protocol: u32) -> String {
        let mut text = match family {
            Family::V4 => format!("{UDP_HEAD:<UDP_WIDTH$}\n"),
            Family::V6 => UDP6_HEAD.to_owned(),
        };
        for end in self.shown_udp(family, protocol) {
            let connected = end.names().peer.is_some();
            let state = if connected { ESTABLISHED } else { CLOSE };
            let line = line(&end, state, (0, end.charged()), end.ino());
            let line = format!("{:5}: {line} 2 {:016x} 0", end.names().local.port, 0);
            finish(&mut text, &line, family, UDP_WIDTH);
        }
        text
    }

    /// /proc/net/raw and its kin: a head without lines.
    pub fn raw_table(&self, family: Family) -> String {
        match family {
            Family::V4 => format!("{TCP_HEAD} ref pointer drops\n"),
            Family::V6 => UDP6_HEAD.to_owned(),
        }
    }

    /// /proc/net/dev. What goes over `lo` is not counted, as it is no packets.
    pub fn device_table(&self) -> String {
        let mut text = String::from(
            "Inter-|   Receive                                                |  Transmit\n \
             face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n",
        );
        for device in self.interfaces() {
            let (received, sent) = device.traffic;
            let _ = writeln!(
                text,
                "{:>6}: {:7} {:7} {:4} {:4} {:4} {:5} {:10} {:9} {:8} {:7} {:4} {:4} {:4} {:5} {:7} {:10}",
                device.name,
                received.1,
                received.0,
                0,
                0,
                0,
                0,
                0,
                0,
                sent.1,
                sent.0,
                0,
                0,
                0,
                0,
                0,
                0
            );
        }
        text
    }

    /// /proc/net/route, empty where there never was a route: the main table, in which there is the network of `eth0`, and groups are reached by that.
    pub fn route_table(&self) -> String {
        let head =
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
        let mut text = String::new();
        if self.routes().has_table() {
            let _ = writeln!(text, "{head:<127}");
        }
        for device in self.interfaces().iter().filter(|device| device.broadcast.is_some()) {
            let Some((ip, prefix)) = device.v4 else { continue };
            let (address, mask) = (ip.to_bits(), mask_of(prefix).to_bits());
            for (to, mask) in [(address & mask, mask), (0xe000_0000, 0xf000_0000)] {
                let line = format!(
                    "{}\t{:08X}\t00000000\t0001\t0\t0\t0\t{:08X}\t0\t0\t0",
                    device.name,
                    to.swap_bytes(),
                    mask.swap_bytes(),
                );
                let _ = writeln!(text, "{line:<127}");
            }
        }
        text
    }

    /// /proc/net/if_inet6
    pub fn address_table(&self) -> String {
        let mut text = String::new();
        for device in self.interfaces() {
            for (ip, prefix, scope) in &device.v6 {
                for byte in ip.octets() {
                    let _ = write!(text, "{byte:02x}");
                }
                // As this file has it: on the machine, on the wire, everywhere.
                let scope = match *scope {
                    SCOPE_HOST => 0x10,
                    SCOPE_LINK => 0x20,
                    _ => 0,
                };
                let (index, name) = (device.index, device.name);
                let _ = writeln!(text, " {index:02x} {prefix:02x} {scope:02x} 80 {name:>8}");
            }
        }
        text
    }

    /// /proc/net/sockstat, /proc/net/sockstat6
    pub fn socket_table(&self, family: Family) -> String {
        let count = |ends: &[Arc<tcp::End>], family| {
            ends.iter().filter(|end| end.family() == family).count()
        };
        let tcp: Vec<_> = self.tcp.lock().all().collect();
        let udp = self.udp.lock().all().filter(|end| end.family() == family).count();
        let lite = self.udp_lite.lock().all().filter(|end| end.family() == family).count();
        let used = count(&tcp, family);
        match family {
            Family::V4 => format!(
                "sockets: used {}\nTCP: inuse {used} orphan 0 tw {} alloc {} mem 0\nUDP: inuse {udp} mem 0\nUDPLITE: inuse {lite}\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n",
                tcp.len() + udp,
                self.tcp.lock().waiting(),
                tcp.len(),
            ),
            Family::V6 => format!(
                "TCP6: inuse {used}\nUDP6: inuse {udp}\nUDPLITE6: inuse {lite}\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n"
            ),
        }
    }
}
