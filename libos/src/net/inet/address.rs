//! Names of Internet sockets: an address and a port, as the guest has them (ip(7), ipv6(7)) and as the kernel compares them.
//!
//! The one idea: inside, an IPv4 address is one whichever family the socket has. Only here is it written as `::ffff:a.b.c.d` for an IPv6 socket, and
//! taken apart again, so nothing else needs a case for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use linux_raw_sys::net as raw;

use crate::{
    errno::{Errno, SysResult},
    net::Address,
};

/// The length of `struct sockaddr_in`.
const LEN_V4: usize = 16;
/// The length of `struct sockaddr_in6`.
const LEN_V6: usize = 28;
/// As RFC 2133 had it, without a scope.
const LEN_V6_SHORT: usize = 24;

/// The family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `AF_INET`
    V4,
    /// `AF_INET6`
    V6,
}

impl Family {
    /// Its number.
    pub const fn raw(self) -> u16 {
        match self {
            Self::V4 => raw::AF_INET as u16,
            Self::V6 => raw::AF_INET6 as u16,
        }
    }

    /// The address that stands for all of the host's.
    pub const fn any(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }

    /// The shortest address of the family.
    const fn least(self) -> usize {
        match self {
            Self::V4 => LEN_V4,
            Self::V6 => LEN_V6_SHORT,
        }
    }
}

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// Where; never an IPv6 address that stands for one of IPv4.
    pub ip: IpAddr,
    /// 0 for none.
    pub port: u16,
    /// `sin6_flowinfo`, as it came.
    pub flow: u32,
    /// `sin6_scope_id`
    pub scope: u32,
}

impl Name {
    /// Without what only IPv6 has.
    pub const fn new(ip: IpAddr, port: u16) -> Self {
        Self { ip, port, flow: 0, scope: 0 }
    }

    /// No address and no port.
    pub const fn unnamed(family: Family) -> Self {
        Self::new(family.any(), 0)
    }

    /// Takes apart what a guest says, whatever it says the family is. `EINVAL` when it is too short.
    pub fn parse(family: Family, bytes: &[u8]) -> SysResult<Self> {
        if bytes.len() < family.least() {
            return Err(Errno::EINVAL);
        }
        let port = u16::from_be_bytes(part(bytes, 2));
        Ok(match family {
            Family::V4 => Self::new(IpAddr::from(part::<4>(bytes, 4)), port),
            Family::V6 => {
                let ip = Ipv6Addr::from(part::<16>(bytes, 8));
                Self {
                    ip: ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4),
                    port,
                    flow: u32::from_ne_bytes(part(bytes, 4)),
                    scope: u32::from_ne_bytes(part(bytes, 24)),
                }
            }
        })
    }

    /// As a socket of `family` shows it.
    pub fn to_address(self, family: Family) -> Address {
        let mut bytes = Address::new();
        bytes.extend_from_slice(&family.raw().to_ne_bytes());
        bytes.extend_from_slice(&self.port.to_be_bytes());
        match family {
            Family::V4 => {
                if let IpAddr::V4(ip) = self.ip {
                    bytes.extend_from_slice(&ip.octets());
                }
                bytes.resize(LEN_V4, 0);
            }
            Family::V6 => {
                bytes.extend_from_slice(&self.flow.to_ne_bytes());
                bytes.extend_from_slice(&to_v6(self.ip).octets());
                bytes.extend_from_slice(&self.scope.to_ne_bytes());
                bytes.resize(LEN_V6, 0);
            }
        }
        bytes
    }
}

/// An address as IPv6 writes it.
pub fn to_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// The bytes from `at` on, zeros where there are none.
fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut part = [0; N];
    let there = bytes.get(at..).unwrap_or_default();
    let len = there.len().min(N);
    part[..len].copy_from_slice(&there[..len]);
    part
}

/// The family that an address says it has, if it is long enough to say so.
pub fn family_of(bytes: &[u8]) -> Option<u32> {
    Some(u32::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?)))
}

/// Whether an address ends a connection, as connect(2) takes it. `EINVAL` when it says nothing.
pub fn is_unspecified(bytes: &[u8]) -> SysResult<bool> {
    Ok(family_of(bytes).ok_or(Errno::EINVAL)? == raw::AF_UNSPEC)
}

/// Whom to connect to, or to send to. `EINVAL`; `EAFNOSUPPORT` for another family.
pub fn destination(family: Family, bytes: &[u8]) -> SysResult<Name> {
    let name = Name::parse(family, bytes)?;
    if family_of(bytes) != Some(u32::from(family.raw())) {
        return Err(Errno::EAFNOSUPPORT);
    }
    Ok(name)
}

/// What to be bound to. An IPv4 socket takes a family that is not specified for its own, if there is no address either.
pub fn to_bind(family: Family, bytes: &[u8]) -> SysResult<Name> {
    let name = Name::parse(family, bytes)?;
    let said = family_of(bytes).unwrap_or_default();
    let vague = family == Family::V4 && said == raw::AF_UNSPEC && name.ip.is_unspecified();
    if said != u32::from(family.raw()) && !vague {
        return Err(Errno::EAFNOSUPPORT);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_is_one_in_both_families() {
        let name = Name::new(IpAddr::from([127, 0, 0, 1]), 80);
        for family in [Family::V4, Family::V6] {
            let bytes = name.to_address(family);
            assert_eq!(bytes.len(), if family == Family::V4 { 16 } else { 28 });
            assert_eq!(destination(family, &bytes), Ok(name));
        }
    }

    #[test]
    fn lengths_and_families_are_checked() {
        let v4 = Name::new(IpAddr::from([0, 0, 0, 0]), 80).to_address(Family::V4);
        assert_eq!(destination(Family::V4, &v4[..15]), Err(Errno::EINVAL));
        assert_eq!(destination(Family::V6, &v4), Err(Errno::EINVAL));
        let mut vague = v4.clone();
        vague[0] = 0;
        assert_eq!(destination(Family::V4, &vague), Err(Errno::EAFNOSUPPORT));
        assert!(to_bind(Family::V4, &vague).is_ok());
        vague[7] = 1;
        assert_eq!(to_bind(Family::V4, &vague), Err(Errno::EAFNOSUPPORT));
        assert_eq!(is_unspecified(&[0]), Err(Errno::EINVAL));
    }
}
