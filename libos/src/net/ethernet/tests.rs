//! What other machines can do to this one: whatever they send, it costs at most what it says.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use hal::{
    cpu::{Config, Cpus},
    host::{local::Folder, wire::Wire},
    pmem::PhysicalMemory,
};
use linux_raw_sys::net as raw;
use proptest::{prelude::*, test_runner::TestCaseError};

use super::*;
use crate::{
    config::Network,
    net::{Socket, inet::address::Family, unix::tests::anybody},
};

/// A machine at 10.77.0.1 with a socket of each kind at port 7, and the folder that its wire is in.
struct Machine {
    stack: Arc<Stack>,
    ethernet: Arc<Ethernet>,
    /// Who sends what it hears, 10.77.0.2.
    peer: Wire,
    /// What it has been told last on each connection: which byte is to be sent, and which one is to be acknowledged.
    told: HashMap<(bool, u16), (u32, u32)>,
    _sockets: Vec<Arc<dyn Socket>>,
    _dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open_at(dir.path().join("libos")).unwrap();
        // One for all cases: there is only room for some in the address space.
        static MEMORY: LazyLock<Arc<PhysicalMemory>> =
            LazyLock::new(|| PhysicalMemory::new(None).unwrap());
        let memory = MEMORY.clone();
        let segment = "lab=10.77.0.1".parse().unwrap();
        let ethernet = Ethernet::join(&folder, &segment, &memory).unwrap();
        let peer = Wire::join(&folder, "lab", [other().card()]).unwrap();
        let stack = Stack::new(Network::Loopback, Some(ethernet.clone()), &memory, &Arc::default());
        let socket = |kind| stack.socket(&anybody(), Family::V6, kind, 0).unwrap();
        let sockets = vec![socket(raw::SOCK_STREAM), socket(raw::SOCK_DGRAM)];
        for socket in &sockets {
            let any = Name::new(Family::V6.any(), 1007).to_address(Family::V6);
            socket.bind(&anybody(), &any).unwrap();
        }
        sockets[0].listen(&anybody(), 2).unwrap();
        Self { stack, ethernet, peer, told: HashMap::new(), _sockets: sockets, _dir: dir }
    }

    fn hear(&mut self, frame: &[u8]) {
        self.ethernet.hear(&self.stack, frame);
        self.ethernet.send_segments();
        let mut answer = vec![0; HEADER + MTU];
        while let Ok(len) = self.peer.receive(&mut answer) {
            let Some(heard) = Heard::in_frame(&answer[..len], &other()) else { continue };
            if u32::from(heard.protocol) == TCP {
                let body = heard.body();
                let long = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|i| body[at + i]));
                let port = u16::from_be_bytes([body[2], body[3]]);
                let carried = body.len() - usize::from(body[12] >> 4) * 4;
                let next =
                    long(4).wrapping_add(carried as u32).wrapping_add(u32::from(body[13] & 3 != 0));
                self.told.insert((heard.to.is_ipv4(), port), (long(8), next));
            }
        }
    }

    /// The numbers of a segment that fits what was told.
    fn expected(&self, segment: &Segment) -> (u32, u32) {
        self.told.get(&(segment.v4, segment.source)).copied().unwrap_or((1, 0))
    }

    fn flows(&self) -> usize {
        self.ethernet.segments.lock().len()
    }
}

fn other() -> Plan {
    "10.77.0.2".parse().unwrap()
}

/// Runs a test on a CPU of a machine.
fn on_cpu<T>(test: impl Future<Output = T>) -> T {
    Cpus::start(Config { cpus: 1, ..Config::default() }).unwrap().block_on(test)
}

/// A segment of TCP.
#[derive(Clone, Debug)]
struct Segment {
    v4: bool,
    source: u16,
    port: u16,
    seq: u32,
    ack: u32,
    flags: u8,
    window: u16,
    options: Vec<u8>,
    data: Vec<u8>,
}

impl Segment {
    fn frame(&self, to: &Plan) -> Vec<u8> {
        let from = other();
        let mut options = self.options.clone();
        options.resize(options.len().div_ceil(4) * 4, 0);
        options.truncate(40);
        let mut body = Vec::new();
        body.extend(self.source.to_be_bytes());
        body.extend(self.port.to_be_bytes());
        body.extend(self.seq.to_be_bytes());
        body.extend(self.ack.to_be_bytes());
        body.extend([((20 + options.len()) as u8 / 4) << 4, self.flags]);
        body.extend(self.window.to_be_bytes());
        body.extend([0; 4]);
        body.extend(options);
        body.extend(&self.data);
        let ends = match self.v4 {
            true => (from.v4.into(), to.v4.into()),
            false => (from.v6().0.into(), to.v6().0.into()),
        };
        let packet = Packet::new(ends.0, ends.1, TCP as u8, body);
        frame::frame_of(&packet, from.card(), to.card()).unwrap()
    }
}

const SYN: u8 = 2;
const ACK: u8 = 16;

fn syn(source: u16) -> Segment {
    let (options, data) = (vec![2, 4, 0xff, 0xd7, 3, 3, 7], Vec::new());
    Segment {
        v4: true,
        source,
        port: 1007,
        seq: 1,
        ack: 0,
        flags: SYN,
        window: 8192,
        options,
        data,
    }
}

fn any_segment() -> impl Strategy<Value = (Segment, i32, i32)> {
    let options = prop_oneof![
        Just(Vec::new()),
        Just(vec![2, 4, 0xff, 0xd7, 3, 3, 14]),
        prop::collection::vec(any::<u8>(), 0..40)
    ];
    let near =
        || prop_oneof![4 => Just(0), 2 => -3..3_i32, 1 => -70_000..70_000_i32, 1 => any::<i32>()];
    let flags = prop_oneof![
        Just(SYN),
        Just(ACK),
        Just(ACK | 1),
        Just(ACK | 8),
        Just(4),
        Just(SYN | ACK),
        any::<u8>()
    ];
    let window = prop_oneof![Just(0), Just(8192), Just(u16::MAX), any::<u16>()];
    let data = prop_oneof![Just(0), 1..9_usize, 1000..60_000_usize];
    let port = prop_oneof![9 => Just(1007_u16), 1 => any::<u16>()];
    (any::<bool>(), 1..4_u16, port, flags, window, options, data, near(), near()).prop_map(
        |(v4, source, port, flags, window, options, data, seq, ack)| {
            let data = vec![7; data];
            (Segment { v4, source, port, seq: 0, ack: 0, flags, window, options, data }, seq, ack)
        },
    )
}

#[test]
fn who_begins_and_says_no_more_has_a_bounded_number_of_connections() {
    on_cpu(async {
        let mut machine = Machine::new();
        for source in 1..6000 {
            let frame = syn(source).frame(machine.ethernet.plan());
            machine.hear(&frame);
        }
        // There is a socket for each, until there are too many.
        assert!((1000..=4096).contains(&machine.flows()), "{}", machine.flows());
        for source in 1..6000 {
            let reset = Segment { seq: 2, flags: 4, ..syn(source) };
            let frame = reset.frame(machine.ethernet.plan());
            machine.hear(&frame);
        }
        for _ in 0..100 {
            hal::cpu::yield_now().await;
        }
        assert_eq!(machine.flows(), 0);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn frames_of_any_kind_do_no_harm(
        frames in prop::collection::vec(
            (any_segment(), prop::collection::vec((0..80_usize, any::<u8>()), 0..3), 0..90_usize),
            1..30,
        ),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        on_cpu(async {
            let mut machine = Machine::new();
            machine.hear(&noise);
            for ((segment, _, _), changes, len) in frames {
                let mut frame = segment.frame(machine.ethernet.plan());
                for (at, byte) in changes {
                    if let Some(changed) = frame.get_mut(at) {
                        *changed = byte;
                    }
                }
                if len > 60 {
                    machine.hear(&frame);
                } else {
                    machine.hear(frame.get(..len).unwrap_or_default());
                }
                hal::cpu::yield_now().await;
            }
            Ok::<(), TestCaseError>(())
        })?;
    }

    /// Segments whose numbers nearly fit, in any order: what a peer with ill intent sends on a connection.
    #[test]
    fn segments_in_any_order_do_no_harm(
        segments in prop::collection::vec((any_segment(), any::<bool>()), 1..60)
    ) {
        on_cpu(async {
            let mut machine = Machine::new();
            for ((mut segment, seq, ack), waits) in segments {
                let numbers = machine.expected(&segment);
                segment.seq = numbers.0.wrapping_add_signed(seq);
                segment.ack = numbers.1.wrapping_add_signed(ack);
                let frame = segment.frame(machine.ethernet.plan());
                machine.hear(&frame);
                if waits {
                    hal::cpu::yield_now().await;
                }
            }
            Ok::<(), TestCaseError>(())
        })?;
    }

    #[test]
    fn datagrams_and_messages_of_any_kind_do_no_harm(
        protocol in prop_oneof![Just(17_u8), Just(1), Just(58), any::<u8>()],
        v4 in any::<bool>(),
        port in prop_oneof![Just(1007_u16), any::<u16>()],
        start in prop::collection::vec(any::<u8>(), 0..8),
        mut body in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        on_cpu(async {
            let mut machine = Machine::new();
            let from = other();
            let here = *machine.ethernet.plan();
            if let Some(at) = body.get_mut(2..4) {
                at.copy_from_slice(&port.to_be_bytes());
            }
            let body = [start, body].concat();
            let ends: (IpAddr, IpAddr) = match v4 {
                true => (from.v4.into(), here.v4.into()),
                false => (from.v6().0.into(), here.v6().0.into()),
            };
            let packet = Packet::new(ends.0, ends.1, protocol, body);
            machine.hear(&frame::frame_of(&packet, from.card(), here.card()).unwrap());
            Ok::<(), TestCaseError>(())
        })?;
    }
}
