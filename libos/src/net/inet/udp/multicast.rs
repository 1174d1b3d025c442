//! Multicast: which groups a socket has joined, and through which device it sends to groups.
//!
//! The one idea: a group is joined at a device; what is sent to it there reaches who has joined, and, as in Linux, whoever else has the port while somebody of
//! this machine has. A wire carries what is sent to groups to all machines, so none has to say what it wants to hear.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use linux_raw_sys::net as raw;

use super::End;
use crate::{
    errno::{Errno, SysResult},
    net::inet::{
        address::{Family, Name, destination, family_of},
        options::{IP, IPV6, number, to_bytes},
        route::{Device, LOOPBACK_INDEX, Reach, Routes},
    },
};

/// The most groups of a socket (`net.ipv4.igmp_max_memberships`).
const GROUPS_MAX: usize = 20;

/// The groups of a socket.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Each with its device's number.
    joined: Vec<(IpAddr, u32)>,
    /// `IP_MULTICAST_IF`: a device and its address.
    v4: (u32, Option<Ipv4Addr>),
    /// `IPV6_MULTICAST_IF`
    v6: u32,
}

impl Groups {
    /// The device that a socket with the address `own` sends to `to` by; 0 leaves it to the routes.
    pub(super) fn device(&self, to: Name, own: IpAddr, routes: &Routes) -> u32 {
        match (to.ip, routes.reach(to.ip)) {
            (_, Reach::Unicast) => 0,
            (IpAddr::V4(_), _) if self.v4.0 != 0 => self.v4.0,
            (IpAddr::V6(_), _) if self.v6 != 0 => self.v6,
            _ if own.is_loopback() => LOOPBACK_INDEX,
            _ => 0,
        }
    }

    fn join(&mut self, group: (IpAddr, u32)) -> SysResult<()> {
        if self.joined.contains(&group) {
            return Err(Errno::EADDRINUSE);
        }
        if self.joined.len() >= GROUPS_MAX {
            return Err(Errno::ENOBUFS);
        }
        self.joined.push(group);
        Ok(())
    }

    fn leave(&mut self, group: (IpAddr, u32)) -> SysResult<()> {
        let at = self.joined.iter().position(|&joined| joined == group);
        self.joined.remove(at.ok_or(Errno::EADDRNOTAVAIL)?);
        Ok(())
    }
}

/// What is asked to be joined or left: a group, and the device's number or, 0 for it, its address.
struct Request {
    group: IpAddr,
    device: u32,
    address: Ipv4Addr,
}

impl Request {
    /// `struct ip_mreq`, `struct ip_mreqn`
    fn of_v4(value: &[u8]) -> SysResult<Self> {
        let group = Ipv4Addr::from(*value.first_chunk::<4>().ok_or(Errno::EINVAL)?);
        let address = value.get(4..8).and_then(|bytes| bytes.first_chunk::<4>());
        let address = Ipv4Addr::from(*address.ok_or(Errno::EINVAL)?);
        let device = match value.get(8..12).and_then(|bytes| bytes.first_chunk::<4>()) {
            Some(bytes) => u32::from_ne_bytes(*bytes),
            None => 0,
        };
        Ok(Self { group: IpAddr::V4(group), device, address })
    }

    /// `struct ipv6_mreq`
    fn of_v6(value: &[u8]) -> SysResult<Self> {
        let group = Ipv6Addr::from(*value.first_chunk::<16>().ok_or(Errno::EINVAL)?);
        let device = value.get(16..20).and_then(|bytes| bytes.first_chunk::<4>());
        let device = u32::from_ne_bytes(*device.ok_or(Errno::EINVAL)?);
        Ok(Self { group: IpAddr::V6(group), device, address: Ipv4Addr::UNSPECIFIED })
    }

    /// `struct group_req`
    fn of_any(family: Family, value: &[u8]) -> SysResult<Self> {
        let device = u32::from_ne_bytes(*value.first_chunk::<4>().ok_or(Errno::EINVAL)?);
        let address = value.get(8..136).ok_or(Errno::EINVAL)?;
        if family_of(address) != Some(u32::from(family.raw())) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let group = destination(family, address)?.ip;
        Ok(Self { group, device, address: Ipv4Addr::UNSPECIFIED })
    }

    /// The device that is meant: the one that is said, or has the address, or that groups are reached by. `ENODEV`; `EINVAL` for what is no group.
    fn device(&self, routes: &Routes) -> SysResult<Device> {
        if !self.group.is_multicast() {
            return Err(Errno::EINVAL);
        }
        let found = match (self.device, self.address) {
            (0, Ipv4Addr::UNSPECIFIED) => routes.route(self.group, 0).ok().map(|way| way.device),
            (0, address) => routes.device_with(address.into()),
            (device, _) => routes.device_of(device),
        };
        found.ok_or(Errno::ENODEV)
    }
}

impl End {
    /// Whether it has joined a group at that device.
    pub(super) fn has_joined(&self, group: IpAddr, device: u32) -> bool {
        self.groups.lock().joined.contains(&(group, device))
    }

    /// Whether it hears of groups that only others have joined.
    pub(super) fn hears_all(&self, group: IpAddr) -> bool {
        match group {
            IpAddr::V4(_) => self.numbers.get(IP, raw::IP_MULTICAST_ALL) == Ok(1),
            IpAddr::V6(_) => self.numbers.get(IPV6, raw::IPV6_MULTICAST_ALL) == Ok(1),
        }
    }

    /// Sets an option about groups, if it is one.
    pub(super) fn set_group_option(
        &self,
        level: u32,
        name: u32,
        value: &[u8],
    ) -> Option<SysResult<()>> {
        let v6 = level == IPV6 && self.family() == Family::V6;
        let request = match (level, name) {
            (IP, raw::IP_ADD_MEMBERSHIP | raw::IP_DROP_MEMBERSHIP) => Request::of_v4(value),
            (IP, raw::MCAST_JOIN_GROUP | raw::MCAST_LEAVE_GROUP) => {
                Request::of_any(Family::V4, value)
            }
            (IP, raw::IP_MULTICAST_IF) => return Some(self.set_device_v4(value)),
            (IPV6, raw::IPV6_ADD_MEMBERSHIP | raw::IPV6_DROP_MEMBERSHIP) if v6 => {
                Request::of_v6(value)
            }
            (IPV6, raw::MCAST_JOIN_GROUP | raw::MCAST_LEAVE_GROUP) if v6 => {
                Request::of_any(Family::V6, value)
            }
            (IPV6, raw::IPV6_MULTICAST_IF) if v6 => return Some(self.set_device_v6(value)),
            _ => return None,
        };
        Some(request.and_then(|request| {
            let leaves = matches!(
                (level, name),
                (IP, raw::IP_DROP_MEMBERSHIP | raw::MCAST_LEAVE_GROUP)
                    | (IPV6, raw::IPV6_DROP_MEMBERSHIP | raw::MCAST_LEAVE_GROUP)
            );
            let mut groups = self.groups.lock();
            let vague = request.device == 0 && request.address.is_unspecified();
            let known = groups.joined.iter().find(|joined| joined.0 == request.group).copied();
            // Who leaves need not say where.
            if let Some(joined) = known.filter(|_| leaves && vague) {
                return groups.leave(joined);
            }
            let group = (request.group, request.device(self.stack().routes())?.index());
            if leaves { groups.leave(group) } else { groups.join(group) }
        }))
    }

    fn set_device_v4(&self, value: &[u8]) -> SysResult<()> {
        let (device, address) = match value.len() {
            ..4 => return Err(Errno::EINVAL),
            4..8 => (0, Ipv4Addr::from(*value.first_chunk::<4>().ok_or(Errno::EINVAL)?)),
            _ => {
                let request = Request::of_v4(value)?;
                (request.device, request.address)
            }
        };
        let routes = self.stack().routes();
        let device = match (device, address) {
            (0, Ipv4Addr::UNSPECIFIED) => (0, None),
            (0, address) => {
                let found = routes.device_with(address.into());
                // Of `lo` only the address that it has by name.
                let found =
                    found.filter(|_| !address.is_loopback() || address == Ipv4Addr::LOCALHOST);
                (found.ok_or(Errno::EADDRNOTAVAIL)?.index(), Some(address))
            }
            (device, address) => {
                let found = routes.device_of(device).ok_or(Errno::EADDRNOTAVAIL)?;
                (found.index(), Some(address))
            }
        };
        self.groups.lock().v4 = device;
        Ok(())
    }

    fn set_device_v6(&self, value: &[u8]) -> SysResult<()> {
        let device = match number(IPV6, value)? {
            0 => 0,
            device => {
                let device = u32::try_from(device).map_err(|_| Errno::ENODEV)?;
                self.stack().routes().device_of(device).ok_or(Errno::ENODEV)?.index()
            }
        };
        self.groups.lock().v6 = device;
        Ok(())
    }

    /// The value of such an option.
    pub(super) fn group_option(&self, level: u32, name: u32, room: usize) -> Option<Vec<u8>> {
        let groups = self.groups.lock();
        match (level, name) {
            (IP, raw::IP_MULTICAST_IF) => {
                Some(groups.v4.1.unwrap_or(Ipv4Addr::UNSPECIFIED).octets().to_vec())
            }
            (IPV6, raw::IPV6_MULTICAST_IF) if self.family() == Family::V6 => {
                Some(to_bytes(IPV6, groups.v6 as i32, room))
            }
            _ => None,
        }
    }
}
