//! TCP's segments: smoltcp, which makes them, reads them and sends them again.
//!
//! The one idea: smoltcp has one socket for each connection and none that listens. What comes for no connection is looked at before smoltcp sees it: if
//! somebody accepts connections there, a socket is made that waits for this one, and if nobody does smoltcp says so to who asks. What is sent goes to
//! the wire at once, with nothing in between.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use hal::{
    host::wire::{Card, Wire},
    pmem::{Charge, PhysicalMemory},
};
use smoltcp::{
    iface::{Config, Interface, PollResult, SocketHandle, SocketSet},
    phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::{
        Socket as SomeSocket,
        tcp::{Socket, SocketBuffer, State},
    },
    time::{Duration, Instant},
    wire::{HardwareAddress, IpCidr, IpEndpoint},
};

use super::{
    bell::Bell,
    frame::{HEADER, Heard, MTU, write_header},
    plan::Plan,
    traffic::Traffic,
};
use crate::{
    errno::{Errno, SysResult},
    net::inet::{address::Name, tcp::Listener},
};

/// Bytes on their way in one direction of a connection: some segments of the largest size.
const BUFFER: usize = 256 << 10;
/// So many sockets are kept for connections to come.
const SPARE: usize = 16;
/// So many connections may there be at a time.
const FLOWS: usize = 4096;

/// For how long an acknowledgement waits for something to go with.
const ACK_DELAY: Duration = Duration::from_millis(10);

/// The flags of a segment, and where they are.
const FLAGS_AT: usize = 13;
/// Where the window is.
const WINDOW_AT: usize = 14;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A connection, by the names of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flow {
    /// This machine's end.
    pub(super) local: SocketAddr,
    /// The other one's.
    pub(super) peer: SocketAddr,
}

fn socket_address(name: Name) -> SocketAddr {
    SocketAddr::new(name.ip, name.port)
}

impl Flow {
    pub(super) fn new(local: Name, peer: Name) -> Self {
        Self { local: socket_address(local), peer: socket_address(peer) }
    }

    /// That of a segment that has come, and whether it begins a connection.
    pub(super) fn of(heard: &Heard<'_>) -> Option<(Self, bool)> {
        let ports = heard.body().first_chunk::<4>()?;
        let flags = heard.body().get(FLAGS_AT)?;
        let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
        let flow = Self {
            local: SocketAddr::new(heard.to, port(2)),
            peer: SocketAddr::new(heard.from, port(0)),
        };
        let begins = flags & (SYN | RST | ACK) == SYN;
        (flow.local.port() != 0 && flow.peer.port() != 0).then_some((flow, begins))
    }
}

/// What is known of a connection beside smoltcp's socket.
struct Entry {
    handle: SocketHandle,
    /// Rings whenever something has changed.
    bell: Arc<Bell>,
    /// Who will accept it once it has begun, and since when it has not, in ns of the monotonic clock.
    pending: Option<(Listener, u64)>,
    /// The last segment to its other end found nobody there.
    gone: bool,
    _charge: Charge,
}

/// All connections over the wire.
pub(super) struct Segments {
    interface: Interface,
    sockets: SocketSet<'static>,
    flows: HashMap<Flow, Entry>,
    /// Sockets of connections that are over, for the next ones: new buffers take longer than a handshake.
    spare: Vec<Socket<'static>>,
    /// Room for a frame.
    frame: Vec<u8>,
    memory: Arc<PhysicalMemory>,
}

/// Now, as smoltcp has it.
fn now() -> Instant {
    Instant::from_micros(i64::try_from(hal::time::monotonic() / 1000).unwrap_or(i64::MAX))
}

impl Segments {
    /// Those of the machine that `plan` is about.
    pub(super) fn new(plan: &Plan, memory: &Arc<PhysicalMemory>) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = hal::random::u64();
        let mut interface = Interface::new(config, &mut Unplugged, now());
        let cidr = |(ip, prefix): (IpAddr, u8)| IpCidr::new(ip.into(), prefix);
        let own = |(ip, prefix)| (IpAddr::V6(ip), prefix);
        interface.update_ip_addrs(|addresses| {
            for address in [(plan.v4.into(), plan.prefix), own(plan.v6()), own(plan.link_local())] {
                // There is room for three.
                let _ = addresses.push(cidr(address));
            }
        });
        Self {
            interface,
            sockets: SocketSet::new(Vec::new()),
            flows: HashMap::new(),
            spare: Vec::new(),
            frame: vec![0; HEADER + MTU],
            memory: memory.clone(),
        }
    }

    /// How many connections there are.
    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether there is a connection of these names.
    pub(super) fn has(&self, flow: &Flow) -> bool {
        self.flows.contains_key(flow)
    }

    /// The cards at the other ends.
    pub(super) fn peers(&self, plan: &Plan) -> Vec<Card> {
        let mut cards: Vec<_> =
            self.flows.keys().filter_map(|flow| plan.card_at(flow.peer.ip())).collect();
        cards.sort();
        cards.dedup();
        cards
    }

    /// Nobody is at the other end of those connections.
    pub(super) fn lose(&mut self, card: Card, plan: &Plan) {
        for (flow, entry) in &mut self.flows {
            if plan.card_at(flow.peer.ip()) == Some(card) {
                entry.gone = true;
                entry.bell.ring();
            }
        }
    }

    fn add(&mut self, flow: Flow, socket: Socket<'static>) -> SysResult<Arc<Bell>> {
        if self.flows.contains_key(&flow) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        if self.flows.len() >= FLOWS {
            return Err(Errno::ENOBUFS);
        }
        let charge = self.memory.charge(2 * BUFFER as u64).map_err(|_| Errno::ENOMEM)?;
        let bell = Arc::<Bell>::default();
        let entry = Entry {
            handle: self.sockets.add(socket),
            bell: Arc::clone(&bell),
            pending: None,
            gone: false,
            _charge: charge,
        };
        self.flows.insert(flow, entry);
        Ok(bell)
    }

    fn new_socket(&mut self) -> Socket<'static> {
        let buffer = || SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = self.spare.pop().unwrap_or_else(|| Socket::new(buffer(), buffer()));
        socket.set_ack_delay(Some(ACK_DELAY));
        // Who sends little at a time is asked for that, and does not want to wait.
        socket.set_nagle_enabled(false);
        socket
    }

    /// Begins a connection. `EADDRNOTAVAIL` when there is one of these names, `ENOBUFS`, `ENOMEM`.
    pub(super) fn connect(&mut self, flow: Flow) -> SysResult<Arc<Bell>> {
        let mut socket = self.new_socket();
        let (peer, local) = (IpEndpoint::from(flow.peer), IpEndpoint::from(flow.local));
        let begun = socket.connect(self.interface.context(), peer, local);
        begun.map_err(|_| Errno::EADDRNOTAVAIL)?;
        self.add(flow, socket)
    }

    /// Takes up a connection that another machine begins with this segment, if it does, for `listener`. The segment is [fed](Self::feed) with that.
    pub(super) fn accept(
        &mut self,
        flow: Flow,
        listener: Listener,
        heard: &Heard<'_>,
        line: &Line<'_>,
    ) -> SysResult<()> {
        let mut socket = self.new_socket();
        socket.listen(IpEndpoint::from(flow.local)).map_err(|_| Errno::EINVAL)?;
        self.add(flow, socket)?;
        self.feed(heard, line);
        match self.flows.get_mut(&flow) {
            Some(entry)
                if self.sockets.get::<Socket<'_>>(entry.handle).state() == State::SynReceived =>
            {
                entry.pending = Some((listener, hal::time::monotonic()));
            }
            // It was not what it seemed to be.
            _ => self.remove(&flow),
        }
        Ok(())
    }

    /// Who is to accept a connection, if it has just begun.
    pub(super) fn begun(&mut self, flow: &Flow) -> Option<(Listener, Arc<Bell>)> {
        let entry = self.flows.get_mut(flow).filter(|entry| entry.pending.is_some())?;
        match self.sockets.get::<Socket<'_>>(entry.handle).state() {
            State::SynReceived => None,
            State::Closed => {
                self.remove(flow);
                None
            }
            _ => entry.pending.take().map(|(listener, _)| (listener, Arc::clone(&entry.bell))),
        }
    }

    /// Forgets connections that have not begun for that long, in ns.
    pub(super) fn expire(&mut self, patience: u64) {
        let now = hal::time::monotonic();
        let old = |entry: &Entry| {
            entry.pending.as_ref().is_some_and(|&(_, since)| now.saturating_sub(since) > patience)
        };
        let over: Vec<_> =
            self.flows.iter().filter(|(_, entry)| old(entry)).map(|(flow, _)| *flow).collect();
        for flow in over {
            self.remove(&flow);
        }
    }

    /// Takes in a segment.
    pub(super) fn feed(&mut self, heard: &Heard<'_>, line: &Line<'_>) {
        let flow = Flow::of(heard).map(|(flow, _)| flow);
        if let Some(entry) = flow.and_then(|flow| self.flows.get_mut(&flow)) {
            entry.gone = false;
        }
        let mut lost = Vec::new();
        let mut port =
            Port { line, heard: Some(heard.bytes), frame: &mut self.frame, lost: &mut lost };
        self.interface.poll_ingress_single(now(), &mut port, &mut self.sockets);
        // Who is answered was there a moment ago, so nobody is lost. One that was reset before it had begun would listen again, to anybody.
        if let Some(flow) = flow {
            self.with(&flow, |socket, _| {
                if socket.state() == State::Listen {
                    socket.close();
                }
            });
        }
    }

    /// Sends what there is to send. When it wants to be called again, in ns of the monotonic clock.
    pub(super) fn send(&mut self, line: &Line<'_>) -> Option<u64> {
        let mut lost = Vec::new();
        let now = now();
        let mut port = Port { line, heard: None, frame: &mut self.frame, lost: &mut lost };
        while self.interface.poll_egress(now, &mut port, &mut self.sockets)
            == PollResult::SocketStateChanged
        {}
        for card in lost {
            self.lose(card, line.plan);
        }
        let at = self.interface.poll_at(now, &self.sockets)?;
        u64::try_from(at.total_micros()).ok()?.checked_mul(1000)
    }

    /// Looks at a connection; the second argument is whether its other end is gone.
    pub(super) fn with<R>(
        &mut self,
        flow: &Flow,
        look: impl FnOnce(&mut Socket<'static>, bool) -> R,
    ) -> Option<R> {
        let entry = self.flows.get(flow)?;
        Some(look(self.sockets.get_mut(entry.handle), entry.gone))
    }

    /// Whether there are connections that have something to say, or to be told that it was heard.
    pub(super) fn owes(&self) -> bool {
        self.flows.values().any(|entry| {
            let state = self.sockets.get::<Socket<'_>>(entry.handle).state();
            let not_begun = matches!(state, State::Listen | State::SynSent | State::SynReceived);
            let all_heard = matches!(state, State::FinWait2 | State::TimeWait | State::Closed);
            !(entry.gone || not_begun || all_heard)
        })
    }

    /// Resets all connections but those of which everything was said.
    pub(super) fn abort_all(&mut self) {
        for entry in self.flows.values() {
            let socket = self.sockets.get_mut::<Socket<'_>>(entry.handle);
            if !matches!(socket.state(), State::FinWait2 | State::TimeWait | State::Closed) {
                socket.abort();
            }
        }
    }

    /// A connection is over. Nothing is sent of it any more.
    pub(super) fn remove(&mut self, flow: &Flow) {
        let Some(entry) = self.flows.remove(flow) else { return };
        if let SomeSocket::Tcp(mut socket) = self.sockets.remove(entry.handle)
            && self.spare.len() < SPARE
        {
            // As one that was never used.
            socket.abort();
            self.spare.push(socket);
        }
    }
}

/// What segments go out by.
pub(super) struct Line<'a> {
    pub(super) wire: &'a Wire,
    pub(super) plan: &'a Plan,
    pub(super) traffic: &'a Traffic,
}

/// The wire as smoltcp sees it, while it looks: packets of IP, each whole.
struct Port<'a> {
    line: &'a Line<'a>,
    heard: Option<&'a [u8]>,
    frame: &'a mut [u8],
    lost: &'a mut Vec<Card>,
}

struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(self.0)
    }
}

struct Sent<'a> {
    line: &'a Line<'a>,
    frame: &'a mut [u8],
    lost: &'a mut Vec<Card>,
}

impl TxToken for Sent<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut spare = Vec::new();
        let frame = match self.frame.get_mut(..HEADER + len) {
            Some(frame) => frame,
            None => {
                spare.resize(HEADER + len, 0);
                &mut spare[..]
            }
        };
        let (header, packet) = frame.split_at_mut(HEADER);
        let result = write(packet);
        let Some((to, start)) = Heard::parse(packet).map(|packet| (packet.to, packet.header))
        else {
            return result;
        };
        promise_less(packet.get_mut(start..).unwrap_or_default());
        let Line { wire, plan, traffic } = self.line;
        if let (Some(card), Some(header)) = (plan.card_at(to), header.first_chunk_mut()) {
            write_header(header, plan.card(), card, to.is_ipv4());
            match wire.send(card, frame) {
                Ok(()) => traffic.sent.count(frame.len()),
                Err(_) => self.lost.push(card),
            }
        }
        result
    }
}

/// Has a segment promise a little less room than smoltcp would.
///
/// A window is told in units of some bytes, rounded down, so its end is a few bytes nearer after some bytes were received than it was before. smoltcp
/// holds to the nearer one and cuts off what goes beyond it, which whoever has sent it finds out a second later (RFC 7323, 2.4 has the receiver
/// keep its promises). With one unit less the end that is told is never beyond one that counts.
fn promise_less(segment: &mut [u8]) {
    // In a segment that begins a connection it is told in bytes.
    let begins = segment.get(FLAGS_AT).is_none_or(|flags| flags & SYN != 0);
    if let Some(window) = segment.get_mut(WINDOW_AT..).and_then(|rest| rest.first_chunk_mut())
        && !begins
    {
        *window = u16::from_be_bytes(*window).saturating_sub(1).to_be_bytes();
    }
}

fn capabilities() -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ip;
    capabilities.max_transmission_unit = MTU;
    // The wire is memory.
    capabilities.checksum = ChecksumCapabilities::ignored();
    capabilities
}

impl Device for Port<'_> {
    type RxToken<'b>
        = Received<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Sent<'b>
    where
        Self: 'b;

    fn receive(&mut self, now: Instant) -> Option<(Received<'_>, Sent<'_>)> {
        let heard = self.heard.take()?;
        self.transmit(now).map(|sent| (Received(heard), sent))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Sent<'_>> {
        Some(Sent { line: self.line, frame: self.frame, lost: self.lost })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities()
    }
}

/// What an interface is made with, before there is anything to send.
struct Unplugged;

impl Device for Unplugged {
    type RxToken<'b> = Received<'b>;
    type TxToken<'b> = Sent<'b>;

    fn receive(&mut self, _now: Instant) -> Option<(Received<'_>, Sent<'_>)> {
        None
    }

    fn transmit(&mut self, _now: Instant) -> Option<Sent<'_>> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities()
    }
}
