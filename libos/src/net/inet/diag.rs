//! What there is to tell about each Internet socket to who asks about all of them.
//!
//! The one idea: everything is read off once, as values, so that who writes it down holds no lock and no socket.

use std::sync::Arc;

use linux_raw_sys::net as raw;

use super::{
    Stack,
    address::{Family, Name},
    endpoint::Inet,
    options::{IP, IPV6, UDPLITE},
    tcp, udp,
};

/// States of sockets of any kind, with TCP's numbers: connected.
pub const ESTABLISHED: u8 = 1;
/// Not connected.
pub const CLOSE: u8 = 7;
/// Accepts connections.
pub const LISTEN: u8 = 10;

/// What is told about a socket.
pub struct Told {
    /// The family of its addresses.
    pub family: Family,
    /// One of [`tcp::State`].
    pub state: u8,
    /// What it is called.
    pub local: Name,
    /// Whom it is connected to.
    pub peer: Name,
    /// Whether bind(2) gave it its port.
    pub bound_port: bool,
    /// `SO_BINDTODEVICE`
    pub device: u32,
    /// What is to be sent and what is to be received; of a socket that listens how many connections may wait, and do.
    pub queues: (usize, usize),
    /// `SO_SNDBUF`, `SO_RCVBUF`
    pub buffers: (usize, usize),
    /// Who made it.
    pub uid: u32,
    /// Its number.
    pub ino: u64,
    /// The halves that are shut down.
    pub shut: u8,
    /// `IP_TOS`
    pub tos: u8,
    /// `IPV6_TCLASS`
    pub traffic_class: u8,
    /// `IPV6_V6ONLY`
    pub only_v6: bool,
    /// `SO_MARK`
    pub mark: i32,
    /// `struct tcp_info`
    pub info: Option<Vec<u8>>,
    /// The congestion control.
    pub congestion: Option<&'static [u8]>,
}

impl Told {
    /// About one of which nothing is known.
    pub fn unnamed(family: Family) -> Self {
        let nobody = Name::unnamed(family);
        Self {
            family,
            state: CLOSE,
            local: nobody,
            peer: nobody,
            bound_port: false,
            device: 0,
            queues: (0, 0),
            buffers: (0, 0),
            uid: 0,
            ino: 0,
            shut: 0,
            tos: 0,
            traffic_class: 0,
            only_v6: false,
            mark: 0,
            info: None,
            congestion: None,
        }
    }

    fn of(inet: &Inet) -> Self {
        let (family, names) = (inet.family(), inet.names());
        let byte = |level, name| inet.numbers.get(level, name).map_or(0, |value| value as u8);
        let (device, mark) = {
            let kept = inet.options.kept.lock();
            (kept.device, kept.mark)
        };
        Self {
            local: names.local,
            peer: names.peer.unwrap_or(Name::unnamed(family)),
            bound_port: names.bound_port,
            device,
            buffers: (inet.options.send_buffer(), inet.options.receive_buffer()),
            uid: inet.owner().uid,
            ino: inet.ino(),
            shut: inet.shut().bits(),
            tos: byte(IP, raw::IP_TOS),
            traffic_class: byte(IPV6, raw::IPV6_TCLASS),
            only_v6: inet.numbers.only_v6(),
            mark,
            ..Self::unnamed(family)
        }
    }
}

impl Stack {
    /// The TCP sockets that there is something to tell of: those that listen first.
    pub(super) fn shown_tcp(&self, family: Family) -> Vec<Arc<tcp::End>> {
        let mut ends: Vec<Arc<tcp::End>> = self.tcp.lock().all().collect();
        ends.retain(|end| end.family() == family && end.is_shown());
        ends.sort_by_key(|end| (end.state() != tcp::State::Listen, end.ino()));
        ends
    }

    /// The sockets of UDP or UDP-Lite that have a name.
    pub(super) fn shown_udp(&self, family: Family, protocol: u32) -> Vec<Arc<udp::End>> {
        let ports = if protocol == UDPLITE { &self.udp_lite } else { &self.udp };
        let mut ends: Vec<_> = ports.lock().all().collect();
        ends.retain(|end| end.family() == family);
        ends.sort_by_key(|end| end.ino());
        ends
    }

    /// About each TCP socket.
    pub fn tell_tcp(&self, family: Family) -> Vec<Told> {
        let tell = |end: Arc<tcp::End>| {
            let state = end.state();
            let listens = state == tcp::State::Listen;
            let told = Told::of(&end);
            Told {
                state: state as u8,
                peer: if listens { Name::unnamed(family) } else { told.peer },
                queues: end
                    .fill()
                    .map_or_else(|| end.queues(), |(pending, limit)| (limit, pending)),
                // What is still to be accepted is nobody's file.
                ino: if end.is_unaccepted() { 0 } else { told.ino },
                info: Some(end.info_bytes()),
                congestion: Some(tcp::CONGESTION),
                ..told
            }
        };
        self.shown_tcp(family).into_iter().map(tell).collect()
    }

    /// About each socket of UDP or UDP-Lite.
    pub fn tell_udp(&self, family: Family, protocol: u32) -> Vec<Told> {
        let tell = |end: Arc<udp::End>| {
            let connected = end.names().peer.is_some();
            let state = if connected { ESTABLISHED } else { CLOSE };
            Told { state, queues: (0, end.charged()), ..Told::of(&end) }
        };
        self.shown_udp(family, protocol).into_iter().map(tell).collect()
    }
}
