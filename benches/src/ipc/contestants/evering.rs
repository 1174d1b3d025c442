//! evering: a driver's operations over a region's rings, small bodies in the entry, others lent.
//!
//! A body of a few bytes travels in the entry. For a larger one a task allocates a buffer, writes the
//! request and lends it; the server checks it, writes its response in its place, and the end of the
//! operation gives it back. The arena is bounded so that what is under way stays in the cache: the
//! tasks beyond that await a buffer. Both sides spin a while and then sleep on the region's futex.

use std::{
    os::unix::net::{UnixListener, UnixStream},
    rc::Rc,
    thread,
};

use ::evering::{
    RecvError,
    driver::{LocalDriver, Server, Tagged},
    heap::{Buffer, Heap, SharedBytes, Token},
    peer::{self, Link, Peer, connect},
    region::{Keeper, Options},
    wake::{SharedBell, Waiter},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    super::{Client, Contestant, Latencies, Ready, Result, Setup, executor, payload, usage},
    versions,
};

/// Entries of each ring: more than there are tasks.
const ENTRIES: u32 = 256;

/// Bytes of bodies under way, if two of them are not more than that: as much as a second-level cache has.
const UNDER_WAY: usize = 2 << 20;

/// Bodies up to this size travel in the entry.
const INLINE: usize = payload::SHORT;

/// A request or a response, in whole words.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Message {
    id: u64,
    /// The header, and above it the body's length.
    head: u64,
    /// The body, or the token of the buffer that it is in.
    body: [u64; INLINE / 8],
}

impl Tagged for Message {
    fn id(&self) -> u64 {
        self.id
    }

    fn set_id(&mut self, id: u64) {
        self.id = id;
    }
}

impl Message {
    fn head(header: u32, length: usize) -> u64 {
        u64::from(header) | (length as u64) << 32
    }

    /// A message that holds its body. (Whole words, so that nobody waits for one that was written in pieces.)
    fn small(id: u64, header: u32, length: usize) -> Self {
        Message { id, head: Self::head(header, length), body: payload::words(header, length) }
    }

    /// A message whose body is in a buffer.
    fn large(header: u32, length: usize, token: Token) -> Self {
        let head = Self::head(header, length);
        Message { id: 0, head, body: zerocopy::transmute!(token) }
    }

    fn header(&self) -> u32 {
        self.head as u32
    }

    fn length(&self) -> usize {
        (self.head >> 32) as usize
    }

    /// Whether the body that it holds is the right one, if it holds one.
    fn is_right(&self) -> Option<bool> {
        let length = self.length();
        (length <= INLINE).then(|| self.body == payload::words(self.header(), length))
    }

    fn token(&self) -> Token {
        zerocopy::transmute!(self.body)
    }
}

fn write(header: u32, buffer: &SharedBytes) -> Result<()> {
    for (index, chunk) in payload::chunks(header, buffer.len()).enumerate() {
        buffer.write(index * payload::CHUNK, chunk)?;
    }
    Ok(())
}

fn check(header: u32, buffer: &SharedBytes) -> Result<()> {
    for (index, chunk) in payload::chunks(header, buffer.len()).enumerate() {
        if !buffer.is_equal(index * payload::CHUNK, chunk)? {
            return Err("a body with a wrong byte".into());
        }
    }
    Ok(())
}

type End = Peer<Message, Message>;

fn options(setup: &Setup) -> Options {
    let arena = if setup.size <= INLINE { 0 } else { UNDER_WAY.max(2 * setup.size) };
    let arena = arena.min(setup.concurrency * setup.size.next_power_of_two());
    Options::new().capacity(ENTRIES).arenas(arena as u64, 0).prefault(true)
}

/// The server is another process.
pub(super) struct Processes;

impl Contestant for Processes {
    fn name(&self) -> &'static str {
        "evering (processes)"
    }

    fn version(&self) -> String {
        format!("evering {}", versions::of("evering"))
    }

    fn how(&self) -> &'static str {
        "operations of a driver, small bodies in the entry, others in a buffer that is lent and answered in place; spins up to 50 us, then sleeps"
    }

    fn serve(&self, setup: &Setup, ready: Ready) -> Result<()> {
        let listener = UnixListener::bind(setup.socket())?;
        ready.tell();
        let (socket, _) = listener.accept()?;
        serve(connect::accept(&socket, true)?)
    }

    fn connect(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        let socket = UnixStream::connect(setup.socket())?;
        let end = connect::offer(&socket, &options(setup))?;
        Ok(client(end, setup, None))
    }
}

/// The server is another thread.
pub(super) struct Threads;

impl Contestant for Threads {
    fn name(&self) -> &'static str {
        "evering (threads)"
    }

    fn version(&self) -> String {
        Processes.version()
    }

    fn how(&self) -> &'static str {
        "the same between threads, in a region on the heap"
    }

    fn has_process(&self) -> bool {
        false
    }

    fn serve(&self, _setup: &Setup, _ready: Ready) -> Result<()> {
        Err("the server is a thread".into())
    }

    fn connect(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        let (ours, theirs) = peer::pair(&options(setup))?;
        let of_server = setup.clone();
        let server = thread::spawn(move || {
            let served = usage::pin(of_server.server_cpu()).and_then(|()| serve(theirs));
            if let Err(error) = served {
                // The client finds the connection closed.
                eprintln!("{error}");
            }
        });
        Ok(client(ours, setup, Some(ServerThread(Some(server)))))
    }
}

/// Answers requests until the client is gone.
fn serve(end: End) -> Result<()> {
    let Peer { sender, receiver, arena, link } = end;
    let heap = Heap::new(arena);
    let mut waiter = link.waiter();
    let mut server = Server::new(receiver, sender).with_ringer(link.ringer());
    let mut failure = None;
    while failure.is_none() {
        let mut handle = |request| match answer(&heap, request) {
            Ok(response) => Some(response),
            Err(error) => {
                failure = Some(error);
                None
            }
        };
        let served = waiter.wait(None, || match server.serve(&mut handle) {
            Ok(0) => None,
            other => Some(other),
        });
        match served {
            Some(Err(RecvError::Closed)) => return Ok(()),
            Some(Err(error)) => return Err(error.into()),
            _ => {}
        }
    }
    failure.map_or(Ok(()), Err)
}

fn answer(heap: &Heap, request: Message) -> Result<Message> {
    if !payload::is_request(request.header()) {
        return Err("not a request".into());
    }
    let header = payload::response(request.header());
    let length = request.length();
    match request.is_right() {
        Some(true) => return Ok(Message::small(request.id, header, length)),
        Some(false) => return Err("a body with a wrong byte".into()),
        None => {}
    }
    let loan = heap.borrow(request.token())?;
    if loan.len() != length {
        return Err("a body of another length".into());
    }
    check(request.header(), &loan)?;
    write(header, &loan)?;
    Ok(Message { head: Message::head(header, length), ..request })
}

type Operations<L> = LocalDriver<Message, Message, L, Keeper, Keeper>;

/// What a task does: bodies in the entry lend nothing, others a buffer.
trait Exchange: Clone {
    type Lent;

    /// Sends a request and checks its response.
    async fn exchange(&self, driver: &Operations<Self::Lent>, request: u32) -> Result<()>;
}

#[derive(Clone)]
struct Small {
    size: usize,
}

impl Exchange for Small {
    type Lent = ();

    async fn exchange(&self, driver: &Operations<()>, request: u32) -> Result<()> {
        let message = Message::small(0, request, self.size);
        let operation = driver.try_submit(message, ()).map_err(|_| "not sent")?;
        let (response, ()) = operation.await.map_err(|_| "the server is gone")?;
        let whole = response.length() == self.size && response.is_right() == Some(true);
        if whole && response.header() == payload::response(request) {
            Ok(())
        } else {
            Err("a wrong response".into())
        }
    }
}

#[derive(Clone)]
struct Large {
    size: usize,
    heap: Heap,
}

impl Exchange for Large {
    type Lent = Buffer;

    async fn exchange(&self, driver: &Operations<Buffer>, request: u32) -> Result<()> {
        let buffer = self.heap.allocate(self.size).await?;
        write(request, &buffer)?;
        let token = buffer.lend().ok_or("a buffer that cannot be lent")?;
        let message = Message::large(request, self.size, token);
        let operation = driver.try_submit(message, buffer).map_err(|_| "not sent")?;
        let (response, buffer) = operation.await.map_err(|_| "the server is gone")?;
        let header = payload::response(request);
        if response.header() != header {
            return Err("a response to something else".into());
        }
        check(header, &buffer)
    }
}

/// A task.
struct Lane<E: Exchange> {
    driver: Operations<E::Lent>,
    how: E,
    next: u32,
}

impl<E: Exchange> Lane<E> {
    async fn run(mut self, rounds: usize, latencies: Rc<Latencies>) -> Result<Self> {
        for _ in 0..rounds {
            let start = latencies.start();
            let request = payload::request(self.next);
            self.next = self.next.wrapping_add(1);
            self.how.exchange(&self.driver, request).await?;
            latencies.stop(start);
        }
        Ok(self)
    }
}

/// A client that has connected.
fn client(end: End, setup: &Setup, server: Option<ServerThread>) -> Box<dyn Client> {
    let Peer { sender, receiver, arena, link } = end;
    let (size, heap) = (setup.size, Heap::new(arena));
    let limit = ENTRIES as usize;
    if size <= INLINE {
        let driver = Operations::local(sender, receiver, limit).with_ringer(link.ringer());
        Box::new(EveringClient::new(driver.batching(), Small { size }, link, setup, server))
    } else {
        // A request that took long to write is not held back for the next.
        let driver = Operations::local(sender, receiver, limit).with_ringer(link.ringer());
        Box::new(EveringClient::new(driver, Large { size, heap }, link, setup, server))
    }
}

// Dropped from the first field to the last: the server's thread ends when the connection is closed.
struct EveringClient<E: Exchange> {
    lanes: Vec<Lane<E>>,
    driver: Operations<E::Lent>,
    waiter: Waiter<SharedBell<Keeper>>,
    _link: Link,
    _server: Option<ServerThread>,
}

impl<E: Exchange> EveringClient<E> {
    fn new(
        driver: Operations<E::Lent>,
        how: E,
        link: Link,
        setup: &Setup,
        server: Option<ServerThread>,
    ) -> Self {
        let lane = |task: usize| Lane {
            driver: driver.clone(),
            how: how.clone(),
            next: (task as u32) << 16,
        };
        EveringClient {
            lanes: (0..setup.concurrency).map(lane).collect(),
            waiter: link.waiter(),
            driver,
            _link: link,
            _server: server,
        }
    }
}

impl<E: Exchange> Client for EveringClient<E> {
    fn run(&mut self, rounds: usize, latencies: &Rc<Latencies>) -> Result<()> {
        let lanes = std::mem::take(&mut self.lanes);
        let lanes = lanes.into_iter().map(|lane| lane.run(rounds, latencies.clone()));
        self.lanes = executor::run(lanes, || match self.driver.wait(&mut self.waiter, None) {
            Err(RecvError::Corrupt) => Err("the server talks nonsense".into()),
            // If it is gone, the operations know it.
            _ => Ok(()),
        })?;
        Ok(())
    }
}

/// A server that is awaited when it is dropped.
struct ServerThread(Option<thread::JoinHandle<()>>);

impl Drop for ServerThread {
    fn drop(&mut self) {
        if let Some(server) = self.0.take() {
            let _ = server.join();
        }
    }
}
