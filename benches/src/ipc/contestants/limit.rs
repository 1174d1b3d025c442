//! The limit: two threads that share memory, spin, and do nothing but write, check and say that they did.
//!
//! A body of 4 bytes travels with its header in one word. A larger one lies in a buffer, which the server
//! checks and answers in place; how many are under way is bounded so that they fit a cache. No sleeping,
//! no allocation, no lifecycle: what a real contestant needs beyond this is what it costs.

use std::{
    array,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use super::super::{Client, Contestant, Latencies, Ready, Result, Setup, payload, usage};

/// Bytes that may be under way: a part of a second-level cache.
const UNDER_WAY: usize = 512 << 10;

/// Buffers at most.
const SLOTS: usize = 256;

/// Bodies up to this size travel in a word, header first.
const SMALL: usize = 4;

pub(super) struct Limit;

impl Contestant for Limit {
    fn name(&self) -> &'static str {
        "limit (memcpy)"
    }

    fn version(&self) -> String {
        "std".into()
    }

    fn how(&self) -> &'static str {
        "two threads that spin on shared counters, bodies written and checked in place"
    }

    fn has_process(&self) -> bool {
        false
    }

    fn serve(&self, _setup: &Setup, _ready: Ready) -> Result<()> {
        Err("the limit's server is a thread".into())
    }

    fn connect(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        let shared = Arc::new(Shared::new(setup.size));
        let (at_server, setup_of_server) = (shared.clone(), setup.clone());
        let server = thread::spawn(move || {
            let served = usage::pin(setup_of_server.server_cpu())
                .and_then(|()| at_server.serve(setup_of_server.one_cpu));
            at_server.failed.store(served.is_err(), Ordering::Relaxed);
        });
        Ok(Box::new(LimitClient { shared, server: Some(server), setup: setup.clone(), next: 0 }))
    }
}

/// A counter on a cache line of its own, and the line that the prefetcher takes with it.
#[repr(align(128))]
struct Line(AtomicU32);

#[repr(align(64))]
struct Slot {
    /// Header and body of a small message.
    small: AtomicU64,
    /// Header and body of a large one. Never contended: the counters say whose turn it is.
    large: Mutex<(u32, Vec<u8>)>,
}

struct Shared {
    /// Requests written, and responses.
    requests: Line,
    responses: Line,
    slots: Vec<Slot>,
    size: usize,
    stop: AtomicBool,
    failed: AtomicBool,
}

impl Shared {
    fn new(size: usize) -> Self {
        let count = (UNDER_WAY / size).clamp(2, SLOTS);
        let large = if size <= SMALL { 0 } else { size };
        let slot = || Slot { small: AtomicU64::new(0), large: Mutex::new((0, vec![1; large])) };
        Shared {
            requests: Line(AtomicU32::new(0)),
            responses: Line(AtomicU32::new(0)),
            slots: (0..count).map(|_| slot()).collect(),
            size,
            stop: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        }
    }

    fn slot(&self, n: u32) -> &Slot {
        &self.slots[n as usize % self.slots.len()]
    }

    /// Writes a message to the slot of number `n`.
    fn write(&self, n: u32, header: u32) {
        if self.size <= SMALL {
            let mut body = [0; SMALL];
            payload::write(header, &mut body);
            let word = u64::from(header) << 32 | u64::from(u32::from_le_bytes(body));
            self.slot(n).small.store(word, Ordering::Relaxed);
        } else {
            let mut large = lock(&self.slot(n).large);
            large.0 = header;
            payload::write(header, &mut large.1);
        }
    }

    /// Checks the message in the slot of number `n`; returns its header.
    fn check(&self, n: u32) -> Result<u32> {
        let (header, good) = if self.size <= SMALL {
            let word = self.slot(n).small.load(Ordering::Relaxed);
            let header = (word >> 32) as u32;
            (header, payload::check(header, &(word as u32).to_le_bytes()))
        } else {
            let large = lock(&self.slot(n).large);
            (large.0, payload::check(large.0, &large.1))
        };
        if good { Ok(header) } else { Err("a body with a wrong byte".into()) }
    }

    fn serve(&self, one_cpu: bool) -> Result<()> {
        let mut done = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let requests = self.requests.0.load(Ordering::Acquire);
            if requests == done && one_cpu {
                thread::yield_now();
            }
            while done != requests {
                let header = self.check(done)?;
                if !payload::is_request(header) {
                    return Err("not a request".into());
                }
                self.write(done, payload::response(header));
                done = done.wrapping_add(1);
                self.responses.0.store(done, Ordering::Release);
            }
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with a slot")
}

struct LimitClient {
    shared: Arc<Shared>,
    server: Option<thread::JoinHandle<()>>,
    setup: Setup,
    next: u32,
}

impl Client for LimitClient {
    fn run(&mut self, rounds: usize, latencies: &Rc<Latencies>) -> Result<()> {
        let shared = &*self.shared;
        let under_way = self.setup.concurrency.min(shared.slots.len()) as u32;
        let end = self.next.wrapping_add((rounds * self.setup.concurrency) as u32);
        let mut starts: [Option<Instant>; SLOTS] = array::from_fn(|_| None);
        let (mut sent, mut received) = (self.next, self.next);
        while received != end {
            if sent != end && sent.wrapping_sub(received) < under_way {
                starts[sent as usize % SLOTS] = latencies.start();
                shared.write(sent, payload::request(sent));
                sent = sent.wrapping_add(1);
                shared.requests.0.store(sent, Ordering::Release);
                continue;
            }
            let responses = shared.responses.0.load(Ordering::Acquire);
            if responses == received {
                if shared.failed.load(Ordering::Relaxed) {
                    return Err("the server has given up".into());
                }
                if self.setup.one_cpu {
                    thread::yield_now();
                }
            }
            while received != responses {
                if shared.check(received)? != payload::response(payload::request(received)) {
                    return Err("a response to something else".into());
                }
                latencies.stop(starts[received as usize % SLOTS]);
                received = received.wrapping_add(1);
            }
        }
        self.next = end;
        Ok(())
    }
}

impl Drop for LimitClient {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}
