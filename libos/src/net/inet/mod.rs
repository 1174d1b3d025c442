//! Internet sockets (ip(7), ipv6(7), tcp(7), udp(7)): between processes of one kernel, and of kernels on one wire.
//!
//! Read in this order: [`address`] (what a socket is called), [`route`] (where an address leads), [`loopback`] (whether `lo` is up), [`ports`] (who has which port), [`endpoint`] (what
//! others hold of a socket), [`options`], then [`tcp`], [`udp`] and [`raw_ip`] (what sockets do).
//!
//! The one idea: what goes to the machine itself is never a packet. A connection over `lo` is a pair of byte queues between its two ends,
//! as a pair of Unix sockets is, and a datagram is put into its receiver's queue; so all that is left of the protocols is what a program can see of them: names, states,
//! errors. What goes elsewhere begins at [`route::Device`], and is [`ethernet`](super::ethernet)'s.

pub mod address;
mod counters;
pub mod diag;
pub mod endpoint;
pub mod interface;
pub mod loopback;
pub mod options;
pub mod ports;
pub mod raw_ip;
pub mod route;
pub mod tcp;
pub mod udp;

mod tables;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hal::pmem::PhysicalMemory;
use linux_raw_sys::net as raw;
use parking_lot::Mutex;

use self::{
    address::Family,
    counters::Counters,
    ports::Ports,
    raw_ip::{ICMP, ICMPV6, Listeners, RawSocket},
    route::Routes,
    tcp::TcpSocket,
    udp::UdpSocket,
};
use super::{
    Caller, Options, Socket, Ucred,
    core::{Core, InodeNumbers},
    ethernet::Ethernet,
    host::HostSocket,
    netlink,
};
use crate::{
    config::Network,
    errno::{Errno, SysResult},
    process::UserNamespace,
    vfs::{Capabilities, GuestMemory},
};

/// The largest number of a protocol, and one.
const PROTOCOLS: i32 = 263;

/// Whether a socket's family has what only those have that other machines could be reached by.
pub fn is_inet(socket: &dyn Socket) -> bool {
    matches!(u32::from(socket.family()), raw::AF_INET | raw::AF_INET6)
}

/// The Internet sockets of one network namespace, and the network that they are in.
pub struct Stack {
    memory: Arc<PhysicalMemory>,
    inodes: Arc<InodeNumbers>,
    network: Network,
    /// The namespace of users whose capabilities count here.
    owner: UserNamespace,
    routes: Routes,
    ethernet: Option<Arc<Ethernet>>,
    pub(super) netlink: netlink::Ports,
    tcp: Mutex<Ports<tcp::End>>,
    udp: Mutex<Ports<udp::End>>,
    udp_lite: Mutex<Ports<udp::End>>,
    raw: Listeners,
    counters: Counters,
}

impl Stack {
    /// One without sockets, whose queues are in `memory`; with `eth0`, if that is given.
    pub fn new(
        network: Network,
        ethernet: Option<Arc<Ethernet>>,
        memory: &Arc<PhysicalMemory>,
        inodes: &Arc<InodeNumbers>,
    ) -> Arc<Self> {
        let routes = Routes::new(ethernet.as_ref().map(|ethernet| *ethernet.plan()));
        Self::with_routes(network, UserNamespace::FIRST, routes, ethernet, memory, inodes)
    }

    fn with_routes(
        network: Network,
        owner: UserNamespace,
        routes: Routes,
        ethernet: Option<Arc<Ethernet>>,
        memory: &Arc<PhysicalMemory>,
        inodes: &Arc<InodeNumbers>,
    ) -> Arc<Self> {
        Arc::new(Self {
            memory: memory.clone(),
            inodes: inodes.clone(),
            network,
            owner,
            routes,
            ethernet,
            netlink: Mutex::default(),
            tcp: Mutex::default(),
            udp: Mutex::default(),
            udp_lite: Mutex::default(),
            raw: Mutex::default(),
            counters: Counters::default(),
        })
    }

    /// That of a new namespace of the same kernel, which is `owner`'s: `lo` alone, which is down. Without a network there is none here either.
    pub fn another(&self, owner: &UserNamespace) -> Arc<Self> {
        let network = match self.network {
            Network::None => Network::None,
            Network::Host | Network::Loopback => Network::Loopback,
        };
        let (owner, routes) = (owner.clone(), Routes::without_any());
        Self::with_routes(network, owner, routes, None, &self.memory, &self.inodes)
    }

    /// Which network it is.
    pub fn network(&self) -> Network {
        self.network
    }

    /// Whether `caller` has all of `caps` over this network.
    pub fn allows(&self, caller: &dyn Caller, caps: Capabilities) -> bool {
        caller.has_in(&self.owner, caps)
    }

    /// Where addresses lead.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The wire to other machines, if there is one.
    pub fn ethernet(&self) -> Option<&Arc<Ethernet>> {
        self.ethernet.as_ref()
    }

    /// What a socket of this network has, made by `owner`. `ENOMEM`.
    pub(super) fn new_core(&self, owner: Ucred) -> SysResult<Core> {
        Core::new(&self.memory, &self.inodes, owner, Options::default())
    }

    /// An ioctl(2) of any socket: one about devices, or `ENOTTY`.
    pub fn control(
        &self,
        caller: &dyn Caller,
        command: u32,
        arg: u64,
        memory: &dyn GuestMemory,
    ) -> SysResult {
        interface::control(self, caller, command, arg, memory).unwrap_or(Err(Errno::ENOTTY))
    }

    /// A new socket of a type (`SOCK_*`) and a protocol. `EAFNOSUPPORT` without a network; `EINVAL`, `EPROTONOSUPPORT`, `ESOCKTNOSUPPORT`, `EPERM`.
    pub fn socket(
        self: &Arc<Self>,
        caller: &dyn Caller,
        family: Family,
        kind: u32,
        protocol: i32,
    ) -> SysResult<Arc<dyn Socket>> {
        match self.network {
            Network::None => return Err(Errno::EAFNOSUPPORT),
            Network::Host => {
                return Ok(HostSocket::new(self, caller, family.raw().into(), kind, protocol)?);
            }
            Network::Loopback => {}
        }
        let protocol = u32::try_from(protocol).map_err(|_| Errno::EINVAL)?;
        if protocol >= PROTOCOLS as u32 {
            return Err(Errno::EINVAL);
        }
        match (kind, protocol) {
            (raw::SOCK_STREAM, 0 | options::TCP) => {
                Ok(TcpSocket::new(self, family, caller.real())?)
            }
            (raw::SOCK_DGRAM, 0 | options::UDP | options::UDPLITE) => {
                let protocol = if protocol == 0 { options::UDP } else { protocol };
                Ok(UdpSocket::new(self, family, protocol, caller.real())?)
            }
            // No group is in `net.ipv4.ping_group_range`.
            (raw::SOCK_DGRAM, ICMP) if family == Family::V4 => Err(Errno::EACCES),
            (raw::SOCK_DGRAM, ICMPV6) if family == Family::V6 => Err(Errno::EACCES),
            (raw::SOCK_RAW, 1..) if !self.allows(caller, Capabilities::NET_RAW) => {
                Err(Errno::EPERM)
            }
            // Their packets are none here, so there would be nothing to hear.
            (raw::SOCK_RAW, options::TCP | options::UDP | options::UDPLITE) => {
                Err(Errno::EPROTONOSUPPORT)
            }
            (raw::SOCK_RAW, 1..) => Ok(RawSocket::new(self, family, protocol, caller.real())?),
            (raw::SOCK_STREAM | raw::SOCK_DGRAM | raw::SOCK_RAW, _) => Err(Errno::EPROTONOSUPPORT),
            _ => Err(Errno::ESOCKTNOSUPPORT),
        }
    }
}
