//! What is answered to those who ask about the network (rtnetlink(7)): devices, addresses, routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{asker::Asker, message::Answer};
use crate::{
    errno::{Errno, SysResult},
    net::{
        ethernet::plan::mask_of,
        inet::{
            Stack,
            address::Family,
            interface::{FLAGS_MORE, Interface, QUEUE_LEN, SCOPE_GLOBAL, SCOPE_HOST, SCOPE_LINK},
            loopback::State,
            route::{Device, Reach},
        },
    },
};

// `RTM_*`
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
pub(super) const NEW_ADDRESS: u16 = 20;
pub(super) const DELETE_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
const GET_NEIGHBOUR: u16 = 30;
const NEW_RULE: u16 = 32;
const GET_RULE: u16 = 34;
const NEW_NAMESPACE: u16 = 88;
const GET_NAMESPACE: u16 = 90;

/// The length of `struct ifinfomsg`, and of `struct rtmsg`.
const LINK_LEN: usize = 16;
const ROUTE_LEN: usize = 12;

/// `IFA_F_PERMANENT`
const PERMANENT: u32 = 0x80;
/// How long an address is preferred and valid, and when it was made and changed: for ever, at the beginning.
const FOR_EVER: [u8; 16] = [255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0];
/// `RTPROT_KERNEL`, `RTPROT_BOOT`
const BY_KERNEL: u8 = 2;
const BY_BOOT: u8 = 3;
/// The table of routes to the machine itself.
const TABLE_LOCAL: u8 = 255;
/// The one of all others.
const TABLE_MAIN: u8 = 254;

// `RTN_*`
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;
const BROADCAST: u8 = 3;
const MULTICAST: u8 = 5;

/// The messages that answer a request, but for what ends them.
pub(super) fn answer(stack: &Stack, asker: &Asker<'_>) -> SysResult<Vec<Vec<u8>>> {
    let devices = stack.interfaces();
    match (asker.request.kind, asker.request.is_dump()) {
        (GET_LINK, true) => Ok(devices.iter().map(|device| asker.link(device)).collect()),
        (GET_LINK, false) => asker.one_link(&devices).map(|link| vec![link]),
        (GET_ADDRESS, true) => Ok(asker.addresses(&devices)),
        (GET_ROUTE, true) => Ok(asker.routes(&devices)),
        (GET_ROUTE, false) => asker.one_route(stack).map(|route| vec![route]),
        (GET_NEIGHBOUR, true) => Ok(Vec::new()),
        (GET_RULE, true) => Ok(asker.rules()),
        (GET_NAMESPACE, false) => asker.namespace_number().map(|number| vec![number]),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// A route, as it is told.
struct Told {
    to: IpAddr,
    prefix: u8,
    /// One of `RTN_*`.
    kind: u8,
    scope: u8,
    table: u8,
    by: u8,
    device: u32,
    source: Option<IpAddr>,
    /// Which of several goes first; only IPv6 has one.
    metric: Option<u32>,
}

impl Told {
    /// One that leads to the machine itself.
    fn local(to: IpAddr, prefix: u8, device: u32, source: IpAddr) -> Self {
        let scope = if to.is_ipv4() { SCOPE_HOST } else { SCOPE_GLOBAL };
        let source = Some(source);
        let (kind, table, by) = (LOCAL, TABLE_LOCAL, BY_KERNEL);
        Self { to, prefix, kind, scope, table, by, device, source, metric: None }
    }

    /// One that leads to a network of a device.
    fn network(to: IpAddr, prefix: u8, device: u32) -> Self {
        let v4 = to.is_ipv4();
        Self {
            scope: if v4 { SCOPE_LINK } else { SCOPE_GLOBAL },
            metric: if v4 { None } else { Some(256) },
            source: None,
            kind: UNICAST,
            table: TABLE_MAIN,
            ..Self::local(to, prefix, device, to)
        }
    }
}

impl Asker<'_> {
    /// The address family that is asked for; 0 for all.
    fn family(&self) -> u16 {
        self.request.payload().first().copied().map_or(0, u16::from)
    }

    fn wants(&self, family: Family) -> bool {
        self.family() == 0 || self.family() == family.raw()
    }

    pub(super) fn link(&self, device: &Interface) -> Vec<u8> {
        // `IF_OPER_*`: down; unknown, as always of a device without a cable; up.
        let state = match (device.is_up(), device.has_cable) {
            (false, _) => 2,
            (true, false) => 0,
            (true, true) => 6,
        };
        let more = if device.is_up() { FLAGS_MORE } else { 0 };
        let queue: &[u8] = if device.was_up { b"noqueue\0" } else { b"noop\0" };
        let word = |number: u32| number.to_ne_bytes();
        let (received, sent) = device.traffic;
        let counts = [received.0, sent.0, received.1, sent.1];
        let mut wide: Vec<u8> = counts.iter().flat_map(|count| count.to_ne_bytes()).collect();
        wide.resize(8 * 25, 0);
        let mut narrow: Vec<u8> = counts.iter().flat_map(|&count| word(count as u32)).collect();
        narrow.resize(4 * 24, 0);
        self.start(NEW_LINK)
            .put(&[0, 0])
            .put(&device.kind.to_ne_bytes())
            .put(&word(device.index))
            .put(&word(device.flags | more))
            .put(&word(0))
            .attribute(3, format!("{}\0", device.name).as_bytes())
            .attribute(13, &word(QUEUE_LEN))
            .attribute(16, &[state])
            // Its mode is the default.
            .attribute(17, &[0])
            .attribute(4, &word(device.mtu))
            .attribute(27, &word(0))
            .attribute(30, &word(0))
            .attribute(31, &word(1))
            .attribute(32, &word(1))
            .attribute(33, &[1])
            .attribute(6, queue)
            .attribute(1, &device.hardware.0)
            .attribute(2, &device.hardware.1)
            .attribute(23, &wide)
            .attribute(7, &narrow)
            .finish()
    }

    /// The device of a number or a name. `ENODEV`
    fn one_link(&self, devices: &[Interface]) -> SysResult<Vec<u8>> {
        let index = self.request.payload().get(4..8).and_then(|bytes| bytes.first_chunk::<4>());
        let index = u32::from_ne_bytes(*index.ok_or(Errno::EINVAL)?);
        let name = self.request.attribute(LINK_LEN, 3);
        let name = name.map(|name| name.strip_suffix(b"\0").unwrap_or(name));
        if index == 0 && name.is_none() {
            return Err(Errno::EINVAL);
        }
        let is_it = |device: &&Interface| match (index, name) {
            (0, name) => name == Some(device.name.as_bytes()),
            (index, _) => index == device.index,
        };
        devices.iter().find(is_it).map(|device| self.link(device)).ok_or(Errno::ENODEV)
    }

    /// Begins what is told of an address.
    fn address(&self, kind: u16, family: Family, prefix: u8, scope: u8, index: u32) -> Answer {
        self.start(kind)
            .put(&[family.raw() as u8, prefix, PERMANENT as u8, scope])
            .put(&index.to_ne_bytes())
    }

    fn address_v4(&self, kind: u16, device: &Interface, (ip, prefix): (Ipv4Addr, u8)) -> Vec<u8> {
        let scope = if device.broadcast.is_some() { SCOPE_GLOBAL } else { SCOPE_HOST };
        let message = self.address(kind, Family::V4, prefix, scope, device.index);
        let message = message.attribute(1, &ip.octets()).attribute(2, &ip.octets());
        let message = match device.broadcast {
            Some(broadcast) => message.attribute(4, &broadcast.octets()),
            None => message,
        };
        let message = message.attribute(3, format!("{}\0", device.name).as_bytes());
        message.attribute(8, &PERMANENT.to_ne_bytes()).attribute(6, &FOR_EVER).finish()
    }

    fn address_v6(&self, kind: u16, index: u32, address: (Ipv6Addr, u8, u8)) -> Vec<u8> {
        let (ip, prefix, scope) = address;
        let message = self.address(kind, Family::V6, prefix, scope, index);
        let message = message.attribute(1, &ip.octets()).attribute(6, &FOR_EVER);
        message.attribute(8, &PERMANENT.to_ne_bytes()).finish()
    }

    /// The address of `lo` in a family, whether it has it or had it.
    pub(super) fn loopback_address(&self, kind: u16, family: Family) -> Vec<u8> {
        let lo = Interface::loopback(State::USED);
        let (v4, v6) = ((Ipv4Addr::LOCALHOST, 8), (Ipv6Addr::LOCALHOST, 128, SCOPE_HOST));
        match family {
            Family::V4 => self.address_v4(kind, &lo, v4),
            Family::V6 => self.address_v6(kind, lo.index, v6),
        }
    }

    fn addresses(&self, devices: &[Interface]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        if self.wants(Family::V4) {
            let v4 = |device: &Interface| Some(self.address_v4(NEW_ADDRESS, device, device.v4?));
            found.extend(devices.iter().filter_map(v4));
        }
        if self.wants(Family::V6) {
            for device in devices {
                let v6 = |&address| self.address_v6(NEW_ADDRESS, device.index, address);
                found.extend(device.v6.iter().map(v6));
            }
        }
        found
    }

    /// By which number the sender's namespace knows another one: by none, as none was given.
    fn namespace_number(&self) -> SysResult<Vec<u8>> {
        /// `NETNSA_NSID`
        const NUMBER: u16 = 1;
        let family = self.request.payload().get(..4).ok_or(Errno::EINVAL)?;
        let said = self.request.attributes(family.len()).next();
        said.ok_or(Errno::EINVAL)?;
        Ok(self.start(NEW_NAMESPACE).put(&[0; 4]).attribute(NUMBER, &[0xff; 4]).finish())
    }

    fn route(&self, told: &Told) -> Vec<u8> {
        let family = if told.to.is_ipv4() { Family::V4 } else { Family::V6 };
        let Told { prefix, table, by, scope, kind, .. } = *told;
        let mut message = self
            .start(NEW_ROUTE)
            .put(&[family.raw() as u8, prefix, 0, 0, table, by, scope, kind, 0, 0, 0, 0])
            .attribute(15, &u32::from(table).to_ne_bytes())
            .attribute(1, &bytes(told.to));
        if family == Family::V6 {
            // Of several with the same metric it is as good as others.
            let metric = told.metric.unwrap_or(0).to_ne_bytes();
            message = message.attribute(6, &metric).attribute(20, &[0]);
        }
        if let Some(source) = told.source {
            message = message.attribute(7, &bytes(source));
        }
        message.attribute(4, &told.device.to_ne_bytes()).finish()
    }

    fn routes(&self, devices: &[Interface]) -> Vec<Vec<u8>> {
        const GROUPS: (IpAddr, u8) = (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4);
        const GROUPS_V6: (IpAddr, u8) = (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8);
        let (mut main, mut local, mut main_v6, mut local_v6) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for device in devices {
            let index = device.index;
            if let Some((ip, prefix)) = device.v4 {
                let (own, mask) = (IpAddr::V4(ip), mask_of(prefix));
                let (network, last) = (IpAddr::V4(ip & mask), IpAddr::V4(ip | !mask));
                match device.broadcast {
                    None if device.was_up => {
                        local.push(Told::local(network, prefix, index, own));
                    }
                    None => {}
                    Some(_) => {
                        let source = Some(own);
                        main.push(Told { source, ..Told::network(network, prefix, index) });
                        main.push(Told { by: BY_BOOT, ..Told::network(GROUPS.0, GROUPS.1, index) });
                    }
                }
                local.push(Told::local(own, 32, index, own));
                let to_all = Told::local(last, 32, index, own);
                if device.is_up() {
                    local.push(Told { kind: BROADCAST, scope: SCOPE_LINK, ..to_all });
                }
            }
            for &(ip, prefix, scope) in &device.v6 {
                let (own, network) = (IpAddr::V6(ip), ip.to_bits() >> 64 << 64);
                if scope != SCOPE_HOST {
                    let network = IpAddr::V6(Ipv6Addr::from_bits(network));
                    main_v6.push(Told::network(network, prefix, index));
                }
                local_v6.push(Told { source: None, ..Told::local(own, 128, index, own) });
            }
            if device.broadcast.is_some() {
                let groups = Told::network(GROUPS_V6.0, GROUPS_V6.1, index);
                local_v6.push(Told { kind: MULTICAST, table: TABLE_LOCAL, ..groups });
            }
        }
        let all = main.iter().chain(&local).chain(&main_v6).chain(&local_v6);
        let wanted =
            all.filter(|told| self.wants(if told.to.is_ipv4() { Family::V4 } else { Family::V6 }));
        wanted.map(|told| self.route(told)).collect()
    }

    /// In which order tables are looked into: the machine's own first, then two that are empty.
    fn rules(&self) -> Vec<Vec<u8>> {
        const MAIN: (u32, u8) = (32766, TABLE_MAIN);
        const DEFAULT: (u32, u8) = (32767, 253);
        const LOOK_INTO: u8 = 1;
        let v4 = [(0, TABLE_LOCAL), MAIN, DEFAULT].map(|rule| (Family::V4, rule));
        let v6 = [(0, TABLE_LOCAL), MAIN].map(|rule| (Family::V6, rule));
        let rules = v4.into_iter().chain(v6).filter(|(family, _)| self.wants(*family));
        let write = |(family, (priority, table)): (Family, (u32, u8))| {
            let answer = self
                .start(NEW_RULE)
                .put(&[family.raw() as u8, 0, 0, 0, table, 0, 0, LOOK_INTO])
                .put(&[0; 4])
                .attribute(15, &u32::from(table).to_ne_bytes())
                .attribute(14, &u32::MAX.to_ne_bytes())
                .attribute(21, &[BY_KERNEL]);
            match priority {
                0 => answer.finish(),
                _ => answer.attribute(6, &priority.to_ne_bytes()).finish(),
            }
        };
        rules.map(write).collect()
    }

    /// The way to one address. `ENETUNREACH`
    fn one_route(&self, stack: &Stack) -> SysResult<Vec<u8>> {
        /// `RTM_F_CLONED`, `RTCF_LOCAL`
        const CLONED: u32 = 0x200;
        const FOR_ITSELF: u32 = 1 << 31;
        let to = self.request.attribute(ROUTE_LEN, 1).unwrap_or_default();
        let to = match (to.first_chunk::<4>(), to.first_chunk::<16>()) {
            (_, Some(v6)) => IpAddr::V6(Ipv6Addr::from(*v6)),
            (Some(v4), None) => IpAddr::V4(Ipv4Addr::from(*v4)),
            _ => return Err(Errno::EINVAL),
        };
        let by = self.request.attribute(ROUTE_LEN, 4).and_then(|bytes| bytes.first_chunk::<4>());
        let way = stack.routes().route(to, by.map_or(0, |bytes| u32::from_ne_bytes(*bytes)))?;
        let device = way.device.index();
        let kind = match (way.device, way.reach) {
            (Device::Loopback, _) => LOCAL,
            (_, Reach::Unicast) => UNICAST,
            (_, Reach::Broadcast) => BROADCAST,
            (_, Reach::Multicast) => MULTICAST,
        };
        if to.is_ipv6() {
            let told = Told::local(way.to, 128, device, way.source);
            return Ok(self.route(&match way.device {
                Device::Loopback => told,
                Device::Ethernet => Told { kind, table: TABLE_MAIN, metric: Some(256), ..told },
            }));
        }
        // What was found for one address is a copy of the route, and is remembered.
        let (to, source) = (bytes(way.to), bytes(way.source));
        let flags = if kind == LOCAL { CLONED | FOR_ITSELF } else { CLONED };
        Ok(self
            .start(NEW_ROUTE)
            .put(&[Family::V4.raw() as u8, 32, 0, 0, TABLE_MAIN, 0, 0, kind])
            .put(&flags.to_ne_bytes())
            .attribute(15, &u32::from(TABLE_MAIN).to_ne_bytes())
            .attribute(1, &to)
            .attribute(4, &device.to_ne_bytes())
            .attribute(7, &source)
            .attribute(25, &self.user.to_ne_bytes())
            .attribute(12, &[0; 32])
            .finish())
    }
}

fn bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
