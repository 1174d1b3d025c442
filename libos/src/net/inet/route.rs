//! Where an address leads: through which device, and from which of the host's own addresses.
//!
//! The one idea: whatever goes out asks [`Routes`] first, so a device more is a case more here and nowhere else. `lo` is the machine itself: what takes
//! it is handed to the receiver without ever being a packet, and that is so for what the machine sends to its other addresses, too. `eth0`, if it is there, is a wire to other
//! kernels ([`ethernet`](crate::net::ethernet)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    errno::{Errno, SysResult},
    net::{
        ethernet::plan::{Plan, is_link_local},
        inet::{
            address::Name,
            loopback::{Loopback, State},
        },
    },
};

/// The number of `lo`.
pub const LOOPBACK_INDEX: u32 = 1;
/// The name of `lo`.
pub const LOOPBACK_NAME: &str = "lo";
/// The largest packet of `lo`.
pub const LOOPBACK_MTU: u32 = 65536;
/// The number of `eth0`.
pub const ETHERNET_INDEX: u32 = 2;
/// The name of `eth0`.
pub const ETHERNET_NAME: &str = "eth0";

/// A network device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// `lo`
    Loopback,
    /// `eth0`
    Ethernet,
}

impl Device {
    /// Its number.
    pub const fn index(self) -> u32 {
        match self {
            Self::Loopback => LOOPBACK_INDEX,
            Self::Ethernet => ETHERNET_INDEX,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loopback => LOOPBACK_NAME,
            Self::Ethernet => ETHERNET_NAME,
        }
    }
}

/// A way to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// By this device.
    pub device: Device,
    /// To this address: an unspecified one means this machine.
    pub to: IpAddr,
    /// From this one, unless the socket has another.
    pub source: IpAddr,
    /// To many at once.
    pub reach: Reach,
}

/// The name of somebody on the wire of `eth0`: an address that counts there only says so.
pub fn name_on_wire(ip: IpAddr, port: u16) -> Name {
    let name = Name::new(ip, port);
    match ip {
        IpAddr::V6(v6) if is_link_local(v6) => Name { scope: ETHERNET_INDEX, ..name },
        _ => name,
    }
}

/// The device that a name says it is about: only with addresses that every wire has that counts.
pub fn device_in(name: &Name) -> u32 {
    match name.ip {
        IpAddr::V6(ip) if is_link_local(ip) || ip.is_multicast() => name.scope,
        _ => 0,
    }
}

/// How many hosts an address means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One.
    Unicast,
    /// All of a network.
    Broadcast,
    /// Who has joined.
    Multicast,
}

/// The broadcast address of the network 127.0.0.0/8.
const LOOPBACK_BROADCAST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);

/// The ways that there are.
#[derive(Debug)]
pub struct Routes {
    loopback: Loopback,
    ethernet: Option<Plan>,
}

impl Default for Routes {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Routes {
    /// Those of `lo`, which is up, and of `eth0` with these addresses.
    pub const fn new(ethernet: Option<Plan>) -> Self {
        Self { loopback: Loopback::new(State::USED), ethernet }
    }

    /// Those of a new namespace: `lo` is there, and down.
    pub const fn without_any() -> Self {
        Self { loopback: Loopback::new(State::NEW), ethernet: None }
    }

    /// The device `lo`.
    pub const fn loopback(&self) -> &Loopback {
        &self.loopback
    }

    fn has(&self, state: State) -> bool {
        self.loopback.state().contains(state)
    }

    /// Whether what takes `lo` gets anywhere: while that is down it is lost, though there may be a way.
    pub fn loopback_carries(&self) -> bool {
        self.has(State::UP)
    }

    /// Whether `lo` has the address of this one's family. That it has all of the network comes with being up for the first time.
    fn has_loopback(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(Ipv4Addr::LOCALHOST) => self.has(State::V4),
            IpAddr::V4(_) => self.has(State::V4 | State::STARTED),
            IpAddr::V6(_) => self.has(State::V6),
        }
    }

    /// Whether there is a table of IPv4: since there was a first address.
    pub fn has_table(&self) -> bool {
        self.has(State::ROUTED)
    }

    /// Whether bind(2) can give an address: one of the machine's, or one of many. Without any routes Linux takes all of IPv4 for that.
    pub fn can_be_bound(&self, ip: IpAddr) -> bool {
        let unrouted = ip.is_ipv4() && !self.has_table();
        unrouted || self.is_local(ip) || self.reach(ip) != Reach::Unicast
    }

    /// The addresses of `eth0`, if that is there.
    pub const fn ethernet(&self) -> Option<&Plan> {
        self.ethernet.as_ref()
    }

    /// The device of a name.
    pub fn device(&self, name: &[u8]) -> Option<Device> {
        match name {
            name if name == LOOPBACK_NAME.as_bytes() => Some(Device::Loopback),
            name if name == ETHERNET_NAME.as_bytes() => self.ethernet.map(|_| Device::Ethernet),
            _ => None,
        }
    }

    /// The device of a number.
    pub fn device_of(&self, index: u32) -> Option<Device> {
        match index {
            LOOPBACK_INDEX => Some(Device::Loopback),
            ETHERNET_INDEX => self.ethernet.map(|_| Device::Ethernet),
            _ => None,
        }
    }

    /// The device that has `ip`, one address that bind(2) could give.
    pub fn device_with(&self, ip: IpAddr) -> Option<Device> {
        match self.ethernet {
            _ if ip.is_loopback() && self.has_loopback(ip) => Some(Device::Loopback),
            Some(plan) if plan.is_own(ip) => Some(Device::Ethernet),
            _ => None,
        }
    }

    /// How many hosts an address means.
    pub fn reach(&self, ip: IpAddr) -> Reach {
        let network = self.ethernet.map(|plan| plan.broadcast());
        match ip {
            _ if ip.is_multicast() => Reach::Multicast,
            IpAddr::V4(ip) if ip.is_broadcast() || ip == LOOPBACK_BROADCAST => Reach::Broadcast,
            IpAddr::V4(ip) if Some(ip) == network => Reach::Broadcast,
            _ => Reach::Unicast,
        }
    }

    /// Whether packets to an address are for this machine alone.
    pub fn is_local(&self, ip: IpAddr) -> bool {
        let own = self.ethernet.is_some_and(|plan| plan.is_own(ip));
        let loopback = ip.is_loopback() && self.has_loopback(ip);
        own || loopback && self.reach(ip) == Reach::Unicast
    }

    /// The way to `to`, through the device of number `device` if that is not 0. `ENETUNREACH`; `EADDRNOTAVAIL` for one of IPv6 where the
    /// machine has none of its own.
    pub fn route(&self, to: IpAddr, device: u32) -> SysResult<Route> {
        let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
        let own = if to.is_ipv4() { v4 } else { v6 };
        let to = if to.is_unspecified() { own } else { to };
        let reach = self.reach(to);
        let by = |device, source| Ok(Route { device, to, source, reach });
        // By itself `lo` is the way to none but this machine, to many if somebody says so.
        let to_itself = to.is_loopback() || device == LOOPBACK_INDEX && reach != Reach::Unicast;
        if to_itself && self.has_loopback(to) {
            return by(Device::Loopback, own);
        }
        let Some(plan) = self.ethernet.filter(|_| !to_itself) else {
            let homeless = to.is_ipv6() && self.ethernet.is_none() && !self.has(State::V6);
            return Err(if homeless { Errno::EADDRNOTAVAIL } else { Errno::ENETUNREACH });
        };
        if plan.is_own(to) {
            return by(Device::Loopback, to);
        }
        let told = device == ETHERNET_INDEX;
        // Every wire has such addresses: somebody has to say which one is meant.
        let vague = matches!(to, IpAddr::V6(to) if is_link_local(to)) && !told;
        match plan.source_to(to).filter(|_| !vague && (device == 0 || told)) {
            Some(source) => by(Device::Ethernet, source),
            None => Err(Errno::ENETUNREACH),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machine_itself_can_be_reached() {
        let to = |text: &str, device| Routes::default().route(text.parse().unwrap(), device);
        assert_eq!(to("0.0.0.0", 0).unwrap().to, IpAddr::from([127, 0, 0, 1]));
        assert_eq!(to("127.9.9.9", 0).unwrap().source, IpAddr::from([127, 0, 0, 1]));
        assert_eq!(to("127.255.255.255", 0).unwrap().reach, Reach::Broadcast);
        assert_eq!(to("::", 0).unwrap().to, IpAddr::V6(Ipv6Addr::LOCALHOST));
        for unreachable in ["192.0.2.1", "224.0.0.1", "2001:db8::1", "ff02::1", "10.77.0.2"] {
            assert_eq!(to(unreachable, 0), Err(Errno::ENETUNREACH));
        }
        assert_eq!(to("224.0.0.1", LOOPBACK_INDEX).unwrap().reach, Reach::Multicast);
    }

    #[test]
    fn a_new_namespace_has_no_way_until_its_device_is_up() {
        let routes = Routes::without_any();
        let to = |text: &str| routes.route(text.parse().unwrap(), 0).map(|way| way.device);
        let bound = |text: &str| routes.can_be_bound(text.parse().unwrap());
        for (v4, v6) in [("127.0.0.1", "::1"), ("0.0.0.0", "::"), ("192.0.2.1", "2001:db8::1")] {
            assert_eq!((to(v4), to(v6)), (Err(Errno::ENETUNREACH), Err(Errno::EADDRNOTAVAIL)));
        }
        assert!(bound("127.0.0.1") && bound("192.0.2.1") && !bound("::1"));
        routes.loopback().set_up(true);
        assert_eq!((to("127.0.0.1"), to("::")), (Ok(Device::Loopback), Ok(Device::Loopback)));
        assert!(bound("::1") && !bound("192.0.2.1") && routes.loopback_carries());
        routes.loopback().set_up(false);
        assert_eq!((to("127.0.0.1"), to("::1")), (Ok(Device::Loopback), Err(Errno::EADDRNOTAVAIL)));
        assert!(bound("127.0.0.1") && !bound("::1") && !routes.loopback_carries());
    }

    #[test]
    fn a_wire_leads_to_its_network_and_to_groups() {
        let routes = Routes::new(Some("10.77.0.1/24".parse().unwrap()));
        let to = |text: &str, device| routes.route(text.parse().unwrap(), device);
        let way =
            |text, device| to(text, device).map(|it| (it.device, it.source.to_string(), it.reach));
        let wire = |source: &str, reach| Ok((Device::Ethernet, source.to_owned(), reach));
        assert_eq!(way("10.77.0.2", 0), wire("10.77.0.1", Reach::Unicast));
        assert_eq!(way("10.77.0.255", 0), wire("10.77.0.1", Reach::Broadcast));
        assert_eq!(way("239.1.1.1", 0), wire("10.77.0.1", Reach::Multicast));
        assert_eq!(way("fd77::10.77.0.2", 0), wire("fd77::a4d:1", Reach::Unicast));
        assert_eq!(way("fe80::1", ETHERNET_INDEX), wire("fe80::42:aff:fe4d:1", Reach::Unicast));
        for own in ["10.77.0.1", "fd77::10.77.0.1", "fe80::42:aff:fe4d:1"] {
            let way = to(own, 0).unwrap();
            assert_eq!((way.device, way.source), (Device::Loopback, own.parse().unwrap()));
            assert!(routes.is_local(way.to));
        }
        for (unreachable, device) in
            [("fe80::1", 0), ("10.78.0.1", 0), ("10.77.0.2", 1), ("8.8.8.8", 2)]
        {
            assert_eq!(to(unreachable, device), Err(Errno::ENETUNREACH), "{unreachable}");
        }
        assert_eq!(to("239.1.1.1", LOOPBACK_INDEX).unwrap().device, Device::Loopback);
    }
}
