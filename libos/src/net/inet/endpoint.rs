//! What all Internet sockets have that others can see: names, a port, options.
//!
//! The one idea: names change together, under one lock, and what is entered in the table of ports is always what the names say.

use std::{net::IpAddr, ops::Deref, sync::Arc};

use parking_lot::Mutex;

use super::{
    Stack,
    address::{Family, Name, to_bind},
    options::Numbers,
    ports::{Claim, Held, Ports, Scope, Terms},
};
use crate::{
    errno::{Errno, SysResult},
    net::{Caller, Options, Ucred, core::Core},
    vfs::Capabilities,
};

/// Ports below this one are not for everybody (`net.ipv4.ip_unprivileged_port_start`).
const UNPRIVILEGED: u16 = 1024;

/// Whether `caller` may give a socket of `stack` this port: `EACCES` for a low one, without the capability.
pub fn check_port(stack: &Stack, caller: &dyn Caller, port: u16) -> SysResult<()> {
    let low = (1..UNPRIVILEGED).contains(&port);
    match low && !stack.allows(caller, Capabilities::NET_BIND_SERVICE) {
        true => Err(Errno::EACCES),
        false => Ok(()),
    }
}

/// How a socket is called, and whom it is connected to.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// What getsockname(2) tells.
    pub local: Name,
    /// What getpeername(2) tells.
    pub peer: Option<Name>,
    /// What it has in the table of ports.
    pub held: Option<Held>,
    /// The address that bind(2) gave it, which it keeps when it is connected no more.
    pub bound_ip: Option<IpAddr>,
    /// Whether bind(2) gave it the port.
    pub bound_port: bool,
}

/// What all Internet sockets have.
pub struct Inet {
    core: Core,
    stack: Arc<Stack>,
    family: Family,
    /// The effective user who made it: whom it shares ports with.
    user: u32,
    pub(super) numbers: Numbers,
    pub(super) names: Mutex<Names>,
}

impl Deref for Inet {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl Inet {
    pub(super) fn new(
        stack: &Arc<Stack>,
        family: Family,
        owner: Ucred,
        options: Options,
        numbers: Numbers,
    ) -> SysResult<Self> {
        let local = Name::unnamed(family);
        let names = Names { local, peer: None, held: None, bound_ip: None, bound_port: false };
        Ok(Self {
            core: Core::new(&stack.memory, &stack.inodes, owner, options)?,
            stack: stack.clone(),
            family,
            user: owner.uid,
            numbers,
            names: Mutex::new(names),
        })
    }

    pub(super) fn stack(&self) -> &Arc<Stack> {
        &self.stack
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    /// On which terms it shares its port, if it has one.
    pub(super) fn terms(&self, is_listening: bool) -> Terms {
        let kept = self.options.kept.lock();
        Terms {
            reuses_address: kept.reuse_address,
            reuses_port: kept.reuse_port,
            user: self.user,
            is_listening,
        }
    }

    pub(super) fn names(&self) -> Names {
        *self.names.lock()
    }

    /// The addresses that `ip` means to this socket.
    pub(super) fn scope(&self, ip: IpAddr) -> Scope {
        Scope { ip, only_v6: self.numbers.only_v6() }
    }

    /// bind(2): what the address means, and whether this socket may have it. `EINVAL`, `EAFNOSUPPORT`, `EADDRNOTAVAIL`, `EACCES`.
    pub(super) fn check_bind(
        &self,
        caller: &dyn Caller,
        address: &[u8],
        stream: bool,
    ) -> SysResult<Name> {
        let name = to_bind(self.family, address)?;
        if self.family == Family::V6 {
            if name.ip.is_ipv4() && self.numbers.only_v6() || name.ip.is_multicast() && stream {
                return Err(Errno::EINVAL);
            }
        } else {
            self.check_local(name.ip)?;
        }
        check_port(&self.stack, caller, name.port)?;
        if self.family == Family::V6 {
            self.check_local(name.ip)?;
        }
        Ok(name)
    }

    /// `EADDRNOTAVAIL` for an address that is not the machine's.
    pub(super) fn check_local(&self, ip: IpAddr) -> SysResult<()> {
        let ours = ip.is_unspecified()
            || self.stack.routes().can_be_bound(ip)
            || self.numbers.binds_freely();
        if ours { Ok(()) } else { Err(Errno::EADDRNOTAVAIL) }
    }

    /// bind(2): gives `end`, which this belongs to, a name.
    pub(super) fn bind<E: Claim>(
        &self,
        ports: &Mutex<Ports<E>>,
        end: &Arc<E>,
        name: Name,
    ) -> SysResult<()> {
        let mut names = self.names.lock();
        if names.held.is_some() {
            return Err(Errno::EINVAL);
        }
        let scope = self.scope(name.ip);
        let port = ports.lock().claim(name.port, scope, end)?;
        names.local = Name { port, ..name };
        names.held = Some(Held { port, scope, peer: None, found: false });
        names.bound_ip = Some(name.ip).filter(|ip| !ip.is_unspecified());
        names.bound_port = name.port != 0;
        Ok(())
    }

    /// Gives `end` a port if it has none. `EAGAIN` when there is none left, as Linux has it.
    pub(super) fn autobind<E: Claim>(
        &self,
        ports: &Mutex<Ports<E>>,
        end: &Arc<E>,
    ) -> SysResult<()> {
        let mut names = self.names.lock();
        if names.held.is_some() {
            return Ok(());
        }
        let scope = self.scope(names.local.ip);
        let port = ports.lock().claim(0, scope, end).map_err(|_| Errno::EAGAIN)?;
        names.local.port = port;
        names.held = Some(Held { port, scope, peer: None, found: false });
        Ok(())
    }

    /// Changes what `end` has in the table to what its names are now.
    pub(super) fn enter<E: Claim>(&self, ports: &mut Ports<E>, names: &mut Names, end: &Arc<E>) {
        if let Some(old) = names.held {
            ports.release(old, end);
        }
        let (scope, port) = (self.scope(names.local.ip), names.local.port);
        let found = names.held.is_some_and(|held| held.found);
        let held = Held { port, scope, peer: names.peer, found };
        ports.hold(held, end);
        names.held = Some(held);
    }

    /// `end` is connected no more: it keeps what bind(2) gave it. A stream still shows its port when it is nobody's any more.
    pub(super) fn unname<E: Claim>(&self, ports: &Mutex<Ports<E>>, end: &Arc<E>) {
        let mut names = self.names.lock();
        names.peer = None;
        let ip = names.bound_ip.unwrap_or(self.family.any());
        let port = if names.bound_port || self.numbers.is_stream() { names.local.port } else { 0 };
        names.local = Name::new(ip, port);
        let mut ports = ports.lock();
        if names.bound_port {
            self.enter(&mut ports, &mut names, end);
        } else if let Some(held) = names.held.take() {
            ports.release(held, end);
        }
    }

    /// `end` is closed, or has no use for its port any more.
    pub(super) fn release<E: Claim>(&self, ports: &Mutex<Ports<E>>, end: &E) {
        if let Some(held) = self.names.lock().held.take() {
            ports.lock().release(held, end);
        }
    }
}
