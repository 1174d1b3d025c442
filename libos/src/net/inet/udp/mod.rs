//! UDP and UDP-Lite (udp(7), udplite(7)): datagrams from anybody to anybody.
//!
//! Read in this order: [`inbox`] (what a socket has received), `send`, `receive`, `far` (other machines), [`multicast`] (who has joined what) and [`socket`] (the open
//! file).
//!
//! The one idea: a datagram is put where it will be read, in one copy, by whoever sends it. Where nobody is, the sender is told at once what
//! an ICMP message would have told it; where there is no room, it is lost, as datagrams are.

pub mod inbox;
pub mod multicast;
pub mod socket;

mod cork;
mod far;
mod receive;
pub(super) mod send;

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hal::sync::BiasedMutex;
use linux_raw_sys::net as raw;
use parking_lot::Mutex;

pub use self::socket::UdpSocket;
use self::{cork::Corked, inbox::Inbox, multicast::Groups};
use super::{
    Stack,
    address::{Family, Name, destination, family_of, is_unspecified},
    endpoint::Inet,
    options::{Numbers, UDPLITE},
    ports::{Claim, Ports, Terms},
    route::{Reach, Route, device_in, name_on_wire},
};
use crate::{
    errno::{Errno, SysResult},
    net::{Options, Ucred},
};

/// What others can hold of a UDP socket.
pub struct End {
    inet: Inet,
    inbox: BiasedMutex<Inbox>,
    groups: Mutex<Groups>,
    corked: Mutex<Option<Corked>>,
    closed: AtomicBool,
}

impl Deref for End {
    type Target = Inet;

    fn deref(&self) -> &Inet {
        &self.inet
    }
}

impl Claim for End {
    fn terms(&self) -> Terms {
        self.inet.terms(false)
    }
}

impl End {
    fn new(
        stack: &Arc<Stack>,
        family: Family,
        protocol: u32,
        owner: Ucred,
    ) -> SysResult<Arc<Self>> {
        let numbers = Numbers::new(family, protocol);
        let inet = Inet::new(stack, family, owner, Options::default(), numbers)?;
        Ok(Arc::new(Self {
            inet,
            inbox: BiasedMutex::new(Inbox::new(&stack.memory)),
            groups: Mutex::default(),
            corked: Mutex::default(),
            closed: AtomicBool::new(false),
        }))
    }

    /// The ports of its protocol.
    fn ports(&self) -> &Mutex<Ports<Self>> {
        match self.numbers.protocol() {
            UDPLITE => &self.stack().udp_lite,
            _ => &self.stack().udp,
        }
    }

    /// What lies in it, as Linux counts it.
    pub(super) fn charged(&self) -> usize {
        self.inbox.lock().charged()
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Gives it a port if it has none.
    fn autobind(self: &Arc<Self>) -> SysResult<()> {
        self.inet.autobind(self.ports(), self)
    }

    /// Whom an address of a call means, if it means somebody: an IPv6 socket takes those of IPv4 too.
    fn whom(&self, address: &[u8]) -> SysResult<Name> {
        let said = family_of(address).ok_or(Errno::EINVAL)?;
        let family = match self.family() {
            Family::V6 if said == raw::AF_INET => Family::V4,
            family => family,
        };
        destination(family, address)
    }

    /// The way to an address. `ENETUNREACH`; `EACCES` for all of a network, unless the socket may.
    pub(super) fn way(&self, to: Name, device: u32) -> SysResult<Route> {
        let own = self.names().local.ip;
        if self.family() == Family::V6 && to.ip.is_ipv4() && self.numbers.only_v6() {
            return Err(Errno::ENETUNREACH);
        }
        if own.is_ipv4() != to.ip.is_ipv4() && !own.is_unspecified() {
            return Err(Errno::ENETUNREACH);
        }
        let device = match device {
            0 => self.groups.lock().device(to, own, self.stack().routes()),
            device => device,
        };
        let device = match device {
            0 => self.options.kept.lock().device,
            device => device,
        };
        let device = if device == 0 { device_in(&to) } else { device };
        let route = self.stack().routes().route(to.ip, device)?;
        if route.reach == Reach::Broadcast && !self.options.kept.lock().broadcast {
            return Err(Errno::EACCES);
        }
        Ok(route)
    }

    /// connect(2): from now on it receives from there only, and sends there unless told otherwise.
    fn connect(self: &Arc<Self>, address: &[u8]) -> SysResult<()> {
        if is_unspecified(address)? {
            self.unname(self.ports(), self);
            return Ok(());
        }
        let to = self.whom(address)?;
        self.autobind()?;
        let route = self.way(to, 0)?;
        let mut names = self.names.lock();
        if names.local.ip.is_unspecified() {
            names.local.ip = route.source;
            names.local.scope = device_in(&name_on_wire(route.source, 0));
        }
        names.peer = Some(Name { ip: route.to, ..to });
        self.enter(&mut self.ports().lock(), &mut names, self);
        Ok(())
    }
}
