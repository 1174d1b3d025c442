//! What a machine on a segment is called: `--ethernet`, and the addresses that follow from it.
//!
//! The one idea: one number says it all. The IPv4 address of a machine is in that of its card and in those of IPv6, so who has claimed the card has
//! claimed them all, and whoever knows an address knows where to send a frame, and asks nobody (there is no ARP).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use hal::host::wire::Card;

use crate::control::is_name;

/// The most letters of a segment's name. It is a part of a socket's path, for which there are 107.
const NAME_MAX: usize = 32;
/// The network of those who name none.
const NETWORK: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 77, 0, 0), 24);
/// How a card's address begins that has the IPv4 address in it: given by software, as docker gives it.
const CARD: [u8; 2] = [0x02, 0x42];
/// The prefix of IPv6: fd77::/64.
const PREFIX_V6: (u128, u8) = (0xfd77 << 112, 64);
/// The one of addresses that count on this wire only: fe80::/10.
const LINK_LOCAL: (u128, u8) = (0xfe80 << 112, 64);

/// `--ethernet SEGMENT[=ADDR[/PREFIX]]`: a segment to join, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its name.
    pub name: String,
    /// The address in it; the lowest free one of 10.77.0.0/24 if there is none.
    pub address: Option<Plan>,
}

impl FromStr for Segment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = match text.split_once('=') {
            None => (text, None),
            Some((name, address)) => (name, Some(address.parse()?)),
        };
        if !is_name(name) || name.len() > NAME_MAX {
            return Err(format!("expected a name of at most {NAME_MAX} letters, digits and _.-"));
        }
        Ok(Self { name: name.to_owned(), address })
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            None => f.write_str(&self.name),
            Some(plan) => write!(f, "{}={}/{}", self.name, plan.v4, plan.prefix),
        }
    }
}

impl Segment {
    /// Whom the machine may be, in the order in which that is tried.
    pub fn plans(&self) -> impl Iterator<Item = Plan> {
        let (network, prefix) = NETWORK;
        let free = (1..255).map(move |host| Plan { v4: with_host(network, host), prefix });
        self.address.into_iter().chain(free.take(if self.address.is_some() { 0 } else { 254 }))
    }
}

fn with_host(network: Ipv4Addr, host: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(network.to_bits() | host)
}

/// The addresses of a machine on a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The one that the others follow from.
    pub v4: Ipv4Addr,
    /// How many of its bits its network has in common.
    pub prefix: u8,
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected an address such as 10.77.0.5 or 192.168.7.1/16".to_owned();
        let (v4, prefix) = match text.split_once('/') {
            None => (text, "24"),
            Some(parts) => parts,
        };
        let plan = Self {
            v4: v4.parse().map_err(|_| expected())?,
            prefix: prefix
                .parse()
                .ok()
                .filter(|bits| (8..=30).contains(bits))
                .ok_or_else(|| "expected a network's prefix of 8 to 30 bits".to_owned())?,
        };
        let host = plan.v4.to_bits() & !plan.mask().to_bits();
        let usable = !plan.v4.is_loopback()
            && !plan.v4.is_multicast()
            && !plan.v4.is_link_local()
            && plan.v4.octets()[0] != 0
            && plan.v4.octets()[0] < 240;
        match usable && host != 0 && plan.v4 != plan.broadcast() {
            true => Ok(plan),
            false => Err(format!("{v4} is not an address that a machine can have")),
        }
    }
}

impl Plan {
    /// The mask of the network.
    pub fn mask(&self) -> Ipv4Addr {
        mask_of(self.prefix)
    }

    /// The network itself.
    pub fn network(&self) -> Ipv4Addr {
        self.v4 & self.mask()
    }

    /// All machines of the network.
    pub fn broadcast(&self) -> Ipv4Addr {
        self.v4 | !self.mask()
    }

    /// Its address in fd77::/64, which can be written as fd77::10.77.0.1.
    pub fn v6(&self) -> (Ipv6Addr, u8) {
        let bits = PREFIX_V6.0 | u128::from(self.v4.to_bits());
        (Ipv6Addr::from_bits(bits), PREFIX_V6.1)
    }

    /// Its address that counts on this wire only, made of the card's (RFC 4291, appendix A).
    pub fn link_local(&self) -> (Ipv6Addr, u8) {
        let [a, b, c, d, e, g] = self.card().0;
        let id = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, g]);
        (Ipv6Addr::from_bits(LINK_LOCAL.0 | u128::from(id)), LINK_LOCAL.1)
    }

    /// Its card.
    pub fn card(&self) -> Card {
        card_of(self.v4)
    }

    /// Whether an address is this machine's own here.
    pub fn is_own(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => ip == self.v4,
            IpAddr::V6(ip) => ip == self.v6().0 || ip == self.link_local().0,
        }
    }

    /// Which of its addresses it speaks with to `to`, if that can be reached here.
    pub fn source_to(&self, to: IpAddr) -> Option<IpAddr> {
        match to {
            IpAddr::V4(to) => {
                let there =
                    to.is_broadcast() || to.is_multicast() || to & self.mask() == self.network();
                there.then_some(self.v4.into())
            }
            IpAddr::V6(to) if is_link_local(to) => Some(self.link_local().0.into()),
            IpAddr::V6(to) if to.is_multicast() => {
                // Groups of the wire are spoken to with an address of the wire.
                let narrow = to.octets()[1] & 15 <= 2;
                let (ip, _) = if narrow { self.link_local() } else { self.v6() };
                Some(ip.into())
            }
            IpAddr::V6(to) => {
                (to.to_bits() >> 64 == PREFIX_V6.0 >> 64).then_some(self.v6().0.into())
            }
        }
    }

    /// The card of the machine that has an address here, if one can have it.
    pub fn card_at(&self, ip: IpAddr) -> Option<Card> {
        match ip {
            IpAddr::V4(ip) => (ip & self.mask() == self.network()).then(|| card_of(ip)),
            IpAddr::V6(ip) if is_link_local(ip) => {
                let [a, b, c, f, g, d, e, h] = (ip.to_bits() as u64).to_be_bytes();
                (f == 0xff && g == 0xfe).then_some(Card([a ^ 2, b, c, d, e, h]))
            }
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                let known = bits >> 32 == PREFIX_V6.0 >> 32;
                known.then(|| card_of(Ipv4Addr::from_bits(bits as u32)))
            }
        }
    }
}

/// Whether an address counts on one wire only.
pub fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

/// The mask of a network whose addresses have so many bits in common.
pub fn mask_of(prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::MAX << (32 - u32::from(prefix.clamp(1, 32))))
}

fn card_of(v4: Ipv4Addr) -> Card {
    let [a, b, c, d] = v4.octets();
    Card([CARD[0], CARD[1], a, b, c, d])
}

/// The address of all cards that hear a group, or of all cards (RFC 1112, 2464).
pub fn card_of_many(ip: IpAddr) -> Card {
    match ip {
        IpAddr::V4(ip) if ip.is_multicast() => {
            let [_, b, c, d] = ip.octets();
            Card([0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V4(_) => Card([0xff; 6]),
        IpAddr::V6(ip) => {
            let [.., a, b, c, d] = ip.octets();
            Card([0x33, 0x33, a, b, c, d])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_names_a_segment_and_maybe_an_address() {
        let parse = |text: &str| text.parse::<Segment>().map(|segment| segment.to_string());
        assert_eq!(parse("lab").unwrap(), "lab");
        assert_eq!(parse("lab=10.1.2.3").unwrap(), "lab=10.1.2.3/24");
        assert_eq!(parse("a.b=192.168.0.1/16").unwrap(), "a.b=192.168.0.1/16");
        for wrong in [
            "",
            "a/b",
            "lab=",
            "lab=10.0.0.0/24",
            "lab=10.0.0.255",
            "lab=127.0.0.1",
            "lab=224.0.0.1",
            "lab=0.0.0.1",
            "lab=255.255.255.255/8",
            "lab=10.0.0.1/31",
            "lab=10.0.0.1/0",
            "lab=10.0.0.1/",
            "lab=::1",
            "=10.0.0.1",
            "a-name-that-is-much-longer-than-most",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_tried_in_order_and_only_the_given_one_if_there_is_one() {
        let segment: Segment = "lab".parse().unwrap();
        let all: Vec<_> = segment.plans().map(|plan| plan.v4).collect();
        assert_eq!(
            (all.len(), all[0], all[253]),
            (254, [10, 77, 0, 1].into(), [10, 77, 0, 254].into())
        );
        let segment: Segment = "lab=10.1.1.1".parse().unwrap();
        assert_eq!(segment.plans().count(), 1);
    }

    #[test]
    fn all_addresses_of_a_machine_lead_to_its_card() {
        let plan: Plan = "10.77.0.1/24".parse().unwrap();
        assert_eq!(plan.v6().0, "fd77::10.77.0.1".parse::<Ipv6Addr>().unwrap());
        assert_eq!(plan.link_local().0, "fe80::42:aff:fe4d:1".parse::<Ipv6Addr>().unwrap());
        assert_eq!(plan.card().to_string(), "02-42-0a-4d-00-01");
        let other: Plan = "10.77.0.9/24".parse().unwrap();
        for ip in [other.v4.into(), other.v6().0.into(), IpAddr::V6(other.link_local().0)] {
            assert_eq!(plan.card_at(ip), Some(other.card()));
            assert!(other.is_own(ip) && !plan.is_own(ip) && plan.source_to(ip).is_some());
        }
        for elsewhere in ["10.78.0.1", "192.0.2.1", "2001:db8::1", "fd78::1"] {
            let ip = elsewhere.parse().unwrap();
            assert_eq!((plan.card_at(ip), plan.source_to(ip)), (None, None));
        }
        assert_eq!(plan.broadcast(), Ipv4Addr::new(10, 77, 0, 255));
    }
}
