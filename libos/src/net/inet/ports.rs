//! Who has which port.
//!
//! The one idea: a port is a list of claims, and every question is one about that list: whether another claim may join it (bind(2)), and
//! which of them a packet is for. There is one table for each protocol, which both families share, so that `::` and 0.0.0.0 meet in it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Weak},
};

use super::address::Name;
use crate::errno::{Errno, SysResult};

/// Ports that are given to those who do not care (`net.ipv4.ip_local_port_range`).
pub const EPHEMERAL: (u16, u16) = (32768, 60999);

/// For how long after a connection its port is not for everybody, in ns.
const TIME_WAIT: u64 = 60_000_000_000;
/// How many such ports there may be before it is worth the while to look for the ones that are over.
const WAITS_MAX: usize = 4096;

/// On which terms a port is shared with others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// `SO_REUSEADDR`
    pub reuses_address: bool,
    /// `SO_REUSEPORT`
    pub reuses_port: bool,
    /// Whose it is.
    pub user: u32,
    /// Whether it accepts connections, which nobody does twice.
    pub is_listening: bool,
}

/// Who can have a port.
pub trait Claim {
    /// Its terms, which somebody else who comes is told.
    fn terms(&self) -> Terms;
}

/// The addresses of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// One, or all.
    pub ip: IpAddr,
    /// All addresses, but those of IPv6 only.
    pub only_v6: bool,
}

impl Scope {
    /// Whether it has the address.
    pub fn covers(&self, ip: IpAddr) -> bool {
        match (self.ip, ip) {
            (own, _) if own == ip => true,
            (IpAddr::V6(own), IpAddr::V4(_)) => own.is_unspecified() && !self.only_v6,
            (own, _) => own.is_unspecified() && own.is_ipv4() == ip.is_ipv4(),
        }
    }

    /// Whether there is an address that both have.
    fn meets(&self, other: &Self) -> bool {
        self.covers(other.ip) || other.covers(self.ip)
    }
}

/// What somebody has: a port at some addresses, and from where only if it is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The port.
    pub port: u16,
    /// Where.
    pub scope: Scope,
    /// From where only, if it is connected: then the scope is one address.
    pub peer: Option<Name>,
    /// connect(2) has found the port: others may be connected to somebody else from it.
    pub found: bool,
}

impl Held {
    /// How well a packet fits that came to `to`, if it does and it matters not where from.
    fn fit(&self, to: IpAddr) -> Option<u32> {
        let address = if self.scope.ip.is_unspecified() { 0 } else { 2 };
        // A socket of the packet's own family goes before one of both.
        let family = u32::from(self.scope.ip.is_ipv4() == to.is_ipv4());
        self.scope.covers(to).then_some(address + family)
    }
}

/// One of those who have a port.
struct Holder<E> {
    held: Held,
    end: Weak<E>,
}

impl<E> Holder<E> {
    fn is(&self, end: &E) -> bool {
        std::ptr::eq(self.end.as_ptr(), end)
    }
}

/// Both ends of a connection but for the port here: here, there.
type Tuple = (IpAddr, IpAddr, u16);

/// Those who have one port. Connections are found at once, however many there are.
struct Port<E> {
    open: Vec<Holder<E>>,
    connected: HashMap<Tuple, Vec<Holder<E>>>,
}

impl<E> Default for Port<E> {
    fn default() -> Self {
        Self { open: Vec::new(), connected: HashMap::new() }
    }
}

impl<E> Port<E> {
    fn all(&self) -> impl Iterator<Item = &Holder<E>> {
        self.open.iter().chain(self.connected.values().flatten())
    }

    fn list(&mut self, held: &Held) -> &mut Vec<Holder<E>> {
        match held.peer {
            None => &mut self.open,
            Some(peer) => {
                let tuple = (held.scope.ip, peer.ip, peer.port);
                self.connected.entry(tuple).or_default()
            }
        }
    }

    fn connected(&self, to: IpAddr, from: Name) -> impl Iterator<Item = &Holder<E>> {
        self.connected.get(&(to, from.ip, from.port)).into_iter().flatten()
    }
}

/// A connection that is over.
struct TimeWait {
    ip: IpAddr,
    until: u64,
    reuses_address: bool,
}

/// The ports of a protocol.
pub struct Ports<E> {
    held: HashMap<u16, Port<E>>,
    waits: HashMap<u16, Vec<TimeWait>>,
    /// How many ports may wait before those are looked for that need no more.
    waits_max: usize,
    /// Where the search for a free one begins.
    next: u16,
}

impl<E> Default for Ports<E> {
    fn default() -> Self {
        let (first, last) = EPHEMERAL;
        let next = first + (hal::random::u64() % u64::from(last - first)) as u16;
        Self { held: HashMap::new(), waits: HashMap::new(), waits_max: WAITS_MAX, next }
    }
}

impl<E: Claim> Ports<E> {
    fn holders(&self, port: u16) -> impl Iterator<Item = &Holder<E>> {
        self.held.get(&port).into_iter().flat_map(Port::all)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = Arc<E>> {
        self.held.values().flat_map(Port::all).filter_map(|holder| holder.end.upgrade())
    }

    /// Whether `end` may not have `port` at `scope` because of somebody else.
    pub fn conflicts(&self, port: u16, scope: Scope, end: &E) -> bool {
        let own = end.terms();
        let by_holder = self.holders(port).any(|holder| {
            if holder.is(end) || !holder.held.scope.meets(&scope) {
                return false;
            }
            let Some(other) = holder.end.upgrade() else { return false };
            let other = other.terms();
            let both_reuse = own.reuses_address && other.reuses_address && !other.is_listening;
            let both_share = own.reuses_port && other.reuses_port && own.user == other.user;
            !both_reuse && !both_share
        });
        by_holder || self.waits_for(port, scope, own.reuses_address)
    }

    fn waits_for(&self, port: u16, scope: Scope, reuses_address: bool) -> bool {
        let Some(waits) = self.waits.get(&port) else { return false };
        let now = hal::time::monotonic();
        waits.iter().any(|wait| {
            let shared = reuses_address && wait.reuses_address;
            !shared && scope.covers(wait.ip) && now < wait.until
        })
    }

    /// Gives `end` a port: `port`, or a free one for 0. `EADDRINUSE`.
    pub fn claim(&mut self, port: u16, scope: Scope, end: &Arc<E>) -> SysResult<u16> {
        let port = match port {
            0 => self.find_free(scope, end, true).ok_or(Errno::EADDRINUSE)?,
            port if self.conflicts(port, scope, end) => return Err(Errno::EADDRINUSE),
            port => port,
        };
        self.hold(Held { port, scope, peer: None, found: false }, end);
        Ok(port)
    }

    /// Gives `end` a port that it has a right to, as the one that its listener has.
    pub fn hold(&mut self, held: Held, end: &Arc<E>) {
        let holder = Holder { held, end: Arc::downgrade(end) };
        self.held.entry(held.port).or_default().list(&held).push(holder);
    }

    /// Gives `end` a port to connect to `peer` from: a free one, where it does not matter that it waits for the end of another connection, or, when
    /// there is none left, one that others are connected from to somebody else. `EADDRNOTAVAIL`.
    pub fn claim_to_connect(&mut self, scope: Scope, peer: Name, end: &Arc<E>) -> SysResult<Held> {
        let port = self.find_free(scope, end, false).or_else(|| self.find_shared(scope, peer));
        let port = port.ok_or(Errno::EADDRNOTAVAIL)?;
        let held = Held { port, scope, peer: None, found: true };
        self.hold(held, end);
        Ok(held)
    }

    /// A port that is only used for connections to others than `peer`.
    fn find_shared(&mut self, scope: Scope, peer: Name) -> Option<u16> {
        let elsewhere = |holder: &Holder<E>| {
            let other = holder.held.peer.filter(|_| holder.held.found);
            other.is_some_and(|other| (other.ip, other.port) != (peer.ip, peer.port))
        };
        let (first, last) = EPHEMERAL;
        let free = |port: &u16| {
            let meets = |holder: &&Holder<E>| holder.held.scope.meets(&scope);
            self.holders(*port).filter(meets).all(elsewhere)
        };
        let port = (self.next..=last).chain(first..self.next).find(free)?;
        self.next = if port >= last { first } else { port + 1 };
        Some(port)
    }

    /// A port that nobody else has at `scope`, whatever they would let pass. The one that was used longest ago comes first.
    fn find_free(&mut self, scope: Scope, end: &E, rested: bool) -> Option<u16> {
        let (first, last) = EPHEMERAL;
        for _ in first..=last {
            let port = self.next;
            self.next = if port >= last { first } else { port + 1 };
            let free = self.holders(port).all(|holder| !holder.held.scope.meets(&scope));
            if free && !(rested && self.waits_for(port, scope, end.terms().reuses_address)) {
                return Some(port);
            }
        }
        None
    }

    /// `end` has what it `held` no more.
    pub fn release(&mut self, held: Held, end: &E) {
        let Some(port) = self.held.get_mut(&held.port) else { return };
        let list = port.list(&held);
        list.retain(|holder| !holder.is(end));
        if let (Some(peer), true) = (held.peer, list.is_empty()) {
            port.connected.remove(&(held.scope.ip, peer.ip, peer.port));
        }
        if port.open.is_empty() && port.connected.is_empty() {
            self.held.remove(&held.port);
        }
    }

    /// A connection at this address is over: for some time only who reuses addresses has the port.
    pub fn wait(&mut self, local: Name, reuses_address: bool) {
        let now = hal::time::monotonic();
        if self.waits.len() >= self.waits_max {
            self.waits.retain(|_, waits| waits.iter().any(|wait| now < wait.until));
            self.waits_max = WAITS_MAX.max(self.waits.len() * 2);
        }
        let wait = TimeWait { ip: local.ip, until: now.saturating_add(TIME_WAIT), reuses_address };
        let waits = self.waits.entry(local.port).or_default();
        waits.retain(|other| other.ip != local.ip && now < other.until);
        waits.push(wait);
    }

    /// How many connections are over whose ports are not for everybody yet.
    pub fn waiting(&self) -> usize {
        let now = hal::time::monotonic();
        self.waits.values().flatten().filter(|wait| now < wait.until).count()
    }

    /// Whom a packet from `from` to `to` is for: who is connected with `from`, or the one that it fits best and that `may` have it. Among
    /// those who share the port and whom it fits alike one is chosen by where it came from.
    pub fn find(&self, to: Name, from: Name, may: impl Fn(&E) -> bool) -> Option<Arc<E>> {
        let port = self.held.get(&to.port)?;
        let mut connected = port.connected(to.ip, from).filter_map(|holder| holder.end.upgrade());
        if let Some(end) = connected.find(|end| may(end)) {
            return Some(end);
        }
        let mut best: Option<(u32, Arc<E>)> = None;
        let mut alike: Vec<Arc<E>> = Vec::new();
        for holder in &port.open {
            let Some(fit) = holder.held.fit(to.ip) else { continue };
            // The one that came last goes before those who let it have the port too.
            if best.as_ref().is_some_and(|(least, _)| fit < *least) {
                continue;
            }
            let Some(end) = holder.end.upgrade().filter(|end| may(end)) else { continue };
            if best.as_ref().is_none_or(|(least, _)| fit > *least) {
                alike.clear();
            }
            if end.terms().reuses_port {
                alike.push(Arc::clone(&end));
            }
            best = Some((fit, end));
        }
        let (_, end) = best?;
        if alike.len() < 2 || !end.terms().reuses_port {
            return Some(end);
        }
        let chosen = spread(to, from) as usize % alike.len();
        alike.into_iter().nth(chosen)
    }

    /// Everybody whom a packet from `from` to `to` is for, if it is for many.
    pub fn find_all(&self, to: Name, from: Name) -> Vec<Arc<E>> {
        let Some(port) = self.held.get(&to.port) else { return Vec::new() };
        let open = port.open.iter().filter(|holder| holder.held.scope.covers(to.ip));
        let all = port.connected(to.ip, from).chain(open);
        all.filter_map(|holder| holder.end.upgrade()).collect()
    }

    /// Whether somebody is connected from `from` to `to`.
    pub fn is_connected(&self, to: Name, from: Name) -> bool {
        let port = self.held.get(&to.port);
        port.is_some_and(|port| port.connected(to.ip, from).next().is_some())
    }
}

/// A number that is the same for the same connection and evenly spread over all.
fn spread(to: Name, from: Name) -> u32 {
    let mut hash: u32 = 0x811c_9dc5;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    };
    for name in [from, to] {
        add(&super::address::to_v6(name.ip).octets());
        add(&name.port.to_ne_bytes());
    }
    // The low bits of such a sum say little.
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct End(Terms);

    impl Claim for End {
        fn terms(&self) -> Terms {
            self.0
        }
    }

    fn scope(ip: &str) -> Scope {
        Scope { ip: ip.parse().unwrap(), only_v6: false }
    }

    fn name(ip: &str, port: u16) -> Name {
        Name::new(ip.parse().unwrap(), port)
    }

    #[test]
    fn a_port_is_taken_where_addresses_meet() {
        let mut ports = Ports::default();
        let (a, b) = (Arc::new(End::default()), Arc::new(End::default()));
        ports.claim(80, scope("127.0.0.1"), &a).unwrap();
        assert_eq!(ports.claim(80, scope("127.0.0.1"), &b), Err(Errno::EADDRINUSE));
        assert_eq!(ports.claim(80, scope("0.0.0.0"), &b), Err(Errno::EADDRINUSE));
        assert_eq!(ports.claim(80, scope("::"), &b), Err(Errno::EADDRINUSE));
        assert_eq!(ports.claim(80, Scope { only_v6: true, ..scope("::") }, &b), Ok(80));
        ports.release(
            Held {
                port: 80,
                scope: Scope { only_v6: true, ..scope("::") },
                peer: None,
                found: false,
            },
            &b,
        );
        assert_eq!(ports.claim(80, scope("127.0.0.2"), &b), Ok(80));
        assert_eq!(ports.claim(80, scope("::1"), &b), Ok(80));
        let free = ports.claim(0, scope("0.0.0.0"), &b).unwrap();
        assert!((EPHEMERAL.0..=EPHEMERAL.1).contains(&free));
    }

    #[test]
    fn who_reuses_shares_but_not_with_a_listener() {
        let mut ports = Ports::default();
        let reuses = |listens| {
            Arc::new(End(Terms { reuses_address: true, is_listening: listens, ..Terms::default() }))
        };
        let (a, b, c) = (reuses(false), reuses(true), reuses(false));
        ports.claim(80, scope("0.0.0.0"), &a).unwrap();
        ports.claim(80, scope("0.0.0.0"), &b).unwrap();
        assert_eq!(ports.claim(80, scope("0.0.0.0"), &c), Err(Errno::EADDRINUSE));
        let shares =
            || Arc::new(End(Terms { reuses_port: true, is_listening: true, ..Terms::default() }));
        let (d, e) = (shares(), shares());
        ports.claim(81, scope("0.0.0.0"), &d).unwrap();
        ports.claim(81, scope("0.0.0.0"), &e).unwrap();
        let to = name("127.0.0.1", 81);
        let chosen = |port| ports.find(to, name("127.0.0.1", port), |_| true).unwrap();
        assert!((1..50).any(|port| Arc::ptr_eq(&chosen(port), &d)));
        assert!((1..50).any(|port| Arc::ptr_eq(&chosen(port), &e)));
    }

    #[test]
    fn a_port_waits_after_its_connection() {
        let mut ports = Ports::default();
        let (plain, reuses) = (
            Arc::new(End::default()),
            Arc::new(End(Terms { reuses_address: true, ..Terms::default() })),
        );
        ports.wait(name("127.0.0.1", 80), true);
        assert_eq!(ports.claim(80, scope("0.0.0.0"), &plain), Err(Errno::EADDRINUSE));
        assert_eq!(ports.claim(80, scope("127.0.0.2"), &plain), Ok(80));
        assert_eq!(ports.claim(80, scope("::1"), &reuses), Ok(80));
    }

    #[test]
    fn when_there_is_no_port_left_those_of_connections_to_others_do() {
        let mut ports = Ports::default();
        let here = scope("127.0.0.1");
        let mut connect = |to: u16| {
            let (end, peer) = (Arc::new(End::default()), name("127.0.0.1", to));
            let held = ports.claim_to_connect(here, peer, &end)?;
            ports.release(held, &end);
            ports.hold(Held { peer: Some(peer), ..held }, &end);
            Ok((end, held.port))
        };
        let all = usize::from(EPHEMERAL.1 - EPHEMERAL.0) + 1;
        let first: Vec<_> = (0..all).map(|_| connect(80).unwrap()).collect();
        assert_eq!(connect(80).err(), Some(Errno::EADDRNOTAVAIL));
        let (other, port) = connect(81).unwrap();
        assert!(first.iter().any(|(_, taken)| *taken == port));
        let found = ports.find(name("127.0.0.1", port), name("127.0.0.1", 81), |_| true).unwrap();
        assert!(Arc::ptr_eq(&found, &other));
        let who = Arc::new(End::default());
        assert_eq!(ports.claim(0, here, &who), Err(Errno::EADDRINUSE));
    }

    #[test]
    fn a_packet_goes_to_whom_it_fits_best() {
        let mut ports = Ports::default();
        let ends: Vec<_> = (0..4)
            .map(|_| Arc::new(End(Terms { reuses_address: true, ..Terms::default() })))
            .collect();
        let peers = [None, None, None, Some(name("127.0.0.1", 7))];
        for (index, ip) in ["::", "0.0.0.0", "127.0.0.1", "127.0.0.1"].into_iter().enumerate() {
            let held = Held { port: 9, scope: scope(ip), peer: peers[index], found: false };
            ports.hold(held, &ends[index]);
        }
        let found = |to: &str, from| {
            let end = ports.find(name(to, 9), name("127.0.0.1", from), |_| true).unwrap();
            ends.iter().position(|other| Arc::ptr_eq(other, &end)).unwrap()
        };
        assert_eq!(found("127.0.0.1", 7), 3);
        assert_eq!(found("127.0.0.1", 8), 2);
        assert_eq!(found("127.0.0.2", 7), 1);
        assert_eq!(found("::1", 7), 0);
        assert!(ports.is_connected(name("127.0.0.1", 9), name("127.0.0.1", 7)));
        assert!(!ports.is_connected(name("127.0.0.1", 9), name("127.0.0.1", 8)));
    }
}
