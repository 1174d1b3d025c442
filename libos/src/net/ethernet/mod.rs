//! `eth0` (`--ethernet`): a wire that kernels of one user share.
//!
//! Read in this order: [`plan`] (who a machine is there), `frame` (what goes over the wire), `segments` (TCP, which is smoltcp's), `gateway` (connections as
//! guests have them). Datagrams and raw packets are [`inet`](super::inet)'s own: each is one packet, and a packet is all that this module needs to
//! know of them.
//!
//! The one idea: guests' sockets do not know that a wire is there. A connection to another machine is for them one of the kernel's own, a pair of byte
//! queues, whose other end is held by the kernel: a gateway moves bytes between that end and smoltcp's socket, and has either side know of what
//! happens at the other: an end of one half, a reset, a machine that is gone.
//!
//! One task takes in what comes; what goes out is sent by whoever has something to send. The wire is memory, so there are no checksums in TCP and UDP, and as it
//! loses nothing while a receiver makes some progress, smoltcp controls no congestion.

pub mod plan;
pub mod traffic;

mod bell;
mod frame;
mod gateway;
mod segments;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::select;
use hal::{
    cpu::Cpus,
    host::{HostError, local::Folder, wire::Wire},
    pmem::PhysicalMemory,
    time::{monotonic, sleep_until, timeout},
};
use parking_lot::Mutex;

pub use self::frame::MTU;
use self::{
    bell::Bell,
    frame::{HEADER, Heard},
    gateway::Stream,
    plan::{Plan, Segment, card_of_many},
    segments::{Flow, Line, Segments},
    traffic::Traffic,
};
use super::inet::{
    Stack,
    address::Name,
    options::{TCP, UDP},
    raw_ip::packet::Packet,
    route::Reach,
    tcp::TcpSocket,
};
use crate::errno::{Errno, SysResult};

/// So many frames are taken in before other tasks have their turn.
const TURN: usize = 64;
/// How often is looked whether those are there that nothing comes from, in ns.
const LOOK: u64 = 5_000_000_000;
/// For how long a connection may take to come to be that another machine has begun, in ns.
const HANDSHAKE: u64 = 60_000_000_000;
/// How long the others are waited for at the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// A machine's place on a wire.
pub struct Ethernet {
    plan: Plan,
    wire: Wire,
    traffic: Traffic,
    segments: Mutex<Segments>,
    /// Rings when there is something to do for the task that takes in what comes.
    news: Arc<Bell>,
    /// When that task looks by itself, in ns of the monotonic clock.
    looks_at: AtomicU64,
    /// Rings when a connection is over.
    over: Bell,
}

impl Ethernet {
    /// Joins `segment`, which is a folder in `folder`.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE` when the address, or each of the network, is somebody else's; the host's.
    pub fn join(
        folder: &Folder,
        segment: &Segment,
        memory: &Arc<PhysicalMemory>,
    ) -> Result<Arc<Self>, HostError> {
        let wire = Wire::join(folder, &segment.name, segment.plans().map(|plan| plan.card()))?;
        let plan = segment.plans().find(|plan| plan.card() == wire.card());
        // It was one of these.
        let plan = plan.ok_or(HostError::from_errno(Errno::EADDRINUSE.raw()))?;
        Ok(Arc::new(Self {
            plan,
            wire,
            traffic: Traffic::default(),
            segments: Mutex::new(Segments::new(&plan, memory)),
            news: Arc::default(),
            looks_at: AtomicU64::new(u64::MAX),
            over: Bell::default(),
        }))
    }

    /// Who this machine is there.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What has gone over the wire.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    fn line(&self) -> Line<'_> {
        Line { wire: &self.wire, plan: &self.plan, traffic: &self.traffic }
    }

    /// Takes in what comes for the sockets of `stack`, as long as the machine runs.
    pub fn serve(self: &Arc<Self>, stack: &Arc<Stack>, cpus: &Cpus) -> Result<(), HostError> {
        let news = Arc::clone(&self.news);
        let watch = self.wire.watch(move |_| news.ring())?;
        let (ethernet, stack) = (Arc::clone(self), Arc::clone(stack));
        let work = async move {
            let _watch = watch;
            ethernet.take_in(&stack).await;
        };
        cpus.spawn(work).detach();
        Ok(())
    }

    async fn take_in(self: &Arc<Self>, stack: &Arc<Stack>) {
        let mut frame = vec![0; HEADER + MTU];
        let mut looked = monotonic();
        loop {
            let all = (0..TURN).any(|_| match self.wire.receive(&mut frame) {
                Ok(len) => {
                    self.traffic.received.count(len);
                    self.hear(stack, frame.get(..len).unwrap_or_default());
                    false
                }
                // Whatever else is wrong with a socket, there is nothing in it.
                Err(_) => true,
            });
            let now = monotonic();
            if now.saturating_sub(looked) >= LOOK {
                looked = now;
                self.look_for_others();
            }
            let wanted = self.send_segments();
            if !all {
                // A flood is not to be all that a CPU does.
                hal::cpu::yield_now().await;
                continue;
            }
            let busy = self.segments.lock().len() > 0;
            let look = if busy { looked.saturating_add(LOOK) } else { u64::MAX };
            match look.min(wanted) {
                u64::MAX => self.news.rung().await,
                until => drop(select(pin!(self.news.rung()), sleep_until(until)).await),
            }
        }
    }

    /// Whoever waits for somebody who is gone is told.
    fn look_for_others(&self) {
        let peers = {
            let mut segments = self.segments.lock();
            segments.expire(HANDSHAKE);
            segments.peers(&self.plan)
        };
        for card in peers {
            if !self.wire.has(card) {
                self.segments.lock().lose(card, &self.plan);
            }
        }
    }

    /// Sends what smoltcp has to send; when it wants to be asked again.
    fn send_segments(&self) -> u64 {
        let wanted = self.segments.lock().send(&self.line()).unwrap_or(u64::MAX);
        self.looks_at.store(wanted, Ordering::Relaxed);
        wanted
    }

    /// Has smoltcp be asked again at that time, if it is not before then.
    fn look_at(&self, wanted: Option<u64>) {
        if wanted.is_some_and(|wanted| wanted < self.looks_at.load(Ordering::Relaxed)) {
            self.news.ring();
        }
    }

    /// Takes in a frame. Whoever has written it, nothing worse comes of it than what its sender could have said in an honest way.
    fn hear(self: &Arc<Self>, stack: &Arc<Stack>, frame: &[u8]) {
        let Some(heard) = Heard::in_frame(frame, &self.plan) else { return };
        match u32::from(heard.protocol) {
            TCP => self.hear_segment(stack, &heard),
            UDP => {
                if let Some(answer) = stack.hear_datagram(&self.plan, &heard.to_packet()) {
                    // It may be gone.
                    let _ = self.send(&answer);
                }
            }
            _ => {
                let packet = heard.to_packet();
                stack.hear_packet(&packet);
                if self.plan.is_own(packet.to)
                    && let Some(answer) = packet.answer()
                {
                    let _ = self.send(&answer);
                }
            }
        }
    }

    fn hear_segment(self: &Arc<Self>, stack: &Arc<Stack>, heard: &Heard<'_>) {
        let Some((flow, begins)) = Flow::of(heard) else { return };
        if !self.plan.is_own(heard.to) {
            return;
        }
        let names = (flow_name(flow.local), flow_name(flow.peer));
        let listener = if begins { stack.listener(names.0, names.1) } else { None };
        let mut segments = self.segments.lock();
        match listener.filter(|_| !segments.has(&flow)) {
            // Where there is no room it is as if it had been lost: it will be sent again.
            Some(listener) if listener.has_room() => {
                let _ = segments.accept(flow, listener, heard, &self.line());
                return;
            }
            Some(_) => return,
            None => segments.feed(heard, &self.line()),
        }
        let begun = segments.begun(&flow);
        drop(segments);
        // Here and not in a task: connections are accepted in the order in which they began.
        if let Some((listener, bell)) = begun {
            let stream = Stream::new(self, flow, bell);
            if let Ok(inside) = listener.open(names.1, names.0) {
                hal::cpu::spawn(gateway::accept(stream, inside)).detach();
            }
        }
    }

    /// Connects `far`, the other end of a guest's connection, with the machine at `peer`. `EADDRNOTAVAIL`, `ENOBUFS`, `ENOMEM`.
    pub(in crate::net) fn connect(
        self: &Arc<Self>,
        far: Arc<TcpSocket>,
        local: Name,
        peer: Name,
    ) -> SysResult<()> {
        let flow = Flow::new(local, peer);
        let bell = self.segments.lock().connect(flow)?;
        let stream = Stream::new(self, flow, bell);
        hal::cpu::spawn(gateway::connect(stream, far)).detach();
        Ok(())
    }

    /// Sends a packet. `EMSGSIZE` for one that is too large, `EHOSTUNREACH` when nobody is there.
    pub(in crate::net) fn send(&self, packet: &Packet) -> SysResult<()> {
        let one = match self.reach(packet.to) {
            Reach::Unicast => Some(self.plan.card_at(packet.to).ok_or(Errno::EHOSTUNREACH)?),
            _ => None,
        };
        let to = one.unwrap_or_else(|| card_of_many(packet.to));
        let frame = frame::frame_of(packet, self.plan.card(), to).ok_or(Errno::EMSGSIZE)?;
        match one {
            Some(card) => {
                let sent = self.wire.send(card, &frame);
                sent.map_err(|error| Errno::from_raw(error.errno()))?;
            }
            None => self.wire.send_to_all(&frame),
        }
        self.traffic.sent.count(frame.len());
        Ok(())
    }

    fn reach(&self, ip: IpAddr) -> Reach {
        super::inet::route::Routes::new(Some(self.plan)).reach(ip)
    }

    /// Waits, but not for long, until the others have all that guests have sent, and leaves the wire. Who is still connected is reset.
    pub async fn leave(&self) {
        let said = async {
            while self.segments.lock().owes() {
                // It is not told of each acknowledgement.
                let _ = timeout(Duration::from_millis(2), self.over.rung()).await;
            }
        };
        let _ = timeout(FAREWELL, said).await;
        {
            let mut segments = self.segments.lock();
            segments.abort_all();
            segments.send(&self.line());
        }
        self.wire.leave();
    }
}

/// The name of an end of a flow, as sockets have it.
fn flow_name(address: std::net::SocketAddr) -> Name {
    super::inet::route::name_on_wire(address.ip(), address.port())
}
