//! shmipc: a stream a task in one session, whose buffers are in shared memory.

use std::{mem, os::unix::net::SocketAddr, rc::Rc, time::Duration};

use ::shmipc::{
    Error, Listener,
    buffer::BufferReader,
    config::{Config, SizePercentPair},
    consts::MemMapType,
    session::{SessionManager, SessionManagerConfig},
    stream::Stream,
    transport::{DefaultUnixConnect, DefaultUnixListen},
};
use tokio::runtime::Runtime;

use super::{
    super::{Client, Contestant, Latencies, Ready, Result, Setup, payload},
    tokio_uds::{all, runtime},
    versions,
};

/// Bytes before the body: the body's length and the header.
const PREFIX: usize = 8;

/// What its own benchmark adds to a slice's size.
const SLACK: usize = 256;

/// Its buffers go round, so that every byte of the memory is touched in turn: little memory stays in the cache.
const LEAST_MEMORY: usize = 4 << 20;

pub(super) struct Shmipc;

impl Contestant for Shmipc {
    fn name(&self) -> &'static str {
        "shmipc"
    }

    fn version(&self) -> String {
        format!("shmipc {}", versions::of("shmipc"))
    }

    fn how(&self) -> &'static str {
        "a stream a task, memfd, V4 with eventfd (its documentation's choice for small messages), slices that a message fits in"
    }

    fn serve(&self, setup: &Setup, ready: Ready) -> Result<()> {
        runtime()?.block_on(async {
            let mut listener =
                Listener::new(DefaultUnixListen, address(setup)?, config(setup)?).await?;
            ready.tell();
            let mut tasks = Vec::new();
            for _ in 0..setup.concurrency {
                tasks.push(serve_stream(listener.accept().await?));
            }
            all(tasks).await.map(drop)
        })
    }

    fn connect(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        let runtime = runtime()?;
        let lanes = runtime.block_on(async {
            let config =
                SessionManagerConfig::new().with_config(config(setup)?).with_session_num(1);
            let manager = SessionManager::new(config, DefaultUnixConnect, address(setup)?).await?;
            let mut lanes = Vec::new();
            for task in 0..setup.concurrency {
                let next = (task as u32) << 16;
                lanes.push(Lane { stream: manager.get_stream()?, size: setup.size, next });
            }
            Result::Ok((manager, lanes))
        })?;
        let (manager, lanes) = lanes;
        Ok(Box::new(ShmipcClient { runtime, lanes, _manager: manager }))
    }
}

fn address(setup: &Setup) -> Result<SocketAddr> {
    Ok(SocketAddr::from_pathname(setup.socket())?)
}

fn config(setup: &Setup) -> Result<Config> {
    let slice = setup.size + PREFIX + SLACK;
    // Each task may have a request and a response under way, and the next one begun; and some to spare.
    let memory = (slice * (setup.concurrency + 1) * 3).max(LEAST_MEMORY);
    let mut config = Config {
        queue_cap: 65536,
        connection_write_timeout: Duration::from_secs(1),
        share_memory_buffer_cap: u32::try_from(memory)?,
        share_memory_path_prefix: setup.folder.join("memory").display().to_string(),
        queue_path: setup.folder.join("queue").display().to_string(),
        buffer_slice_sizes: vec![SizePercentPair { size: u32::try_from(slice)?, percent: 100 }],
        mem_map_type: MemMapType::MemMapTypeMemFd,
        ..Config::default()
    }
    .with_v4_eventfd();
    config.verify()?;
    Ok(config)
}

async fn serve_stream(mut stream: Stream) -> Result<()> {
    loop {
        let (request, size) = match receive(&mut stream).await {
            Ok(message) => message,
            Err(Error::StreamClosed | Error::EndOfStream) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if !payload::is_request(request) {
            return Err("not a request".into());
        }
        stream.recv_buf().release_previous_read();
        send(&mut stream, payload::response(request), size).await?;
    }
}

/// Receives a message and checks its body; returns its header and size. A wrong header is made of a wrong body.
async fn receive(stream: &mut Stream) -> std::result::Result<(u32, usize), Error> {
    let prefix = stream.read_exact_bytes(PREFIX).await?;
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| prefix[at + byte]));
    let (size, header) = (word(0) as usize, word(4));
    drop(prefix);
    let body = stream.read_exact_bytes(size).await?;
    Ok((if payload::check(header, &body) { header } else { 0 }, size))
}

async fn send(stream: &mut Stream, header: u32, size: usize) -> Result<()> {
    let mut prefix = [0; PREFIX];
    prefix[..4].copy_from_slice(&u32::try_from(size)?.to_le_bytes());
    prefix[4..].copy_from_slice(&header.to_le_bytes());
    write_all(stream, &prefix)?;
    for chunk in payload::chunks(header, size) {
        write_all(stream, chunk)?;
    }
    loop {
        match stream.flush(false).await {
            Err(Error::QueueFull) => tokio::time::sleep(Duration::from_micros(1)).await,
            result => return Ok(result?),
        }
    }
}

fn write_all(stream: &mut Stream, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let count = stream.write_bytes(bytes)?;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// A task's stream.
struct Lane {
    stream: Stream,
    size: usize,
    next: u32,
}

impl Lane {
    async fn run(mut self, rounds: usize, latencies: Rc<Latencies>) -> Result<Self> {
        for _ in 0..rounds {
            let start = latencies.start();
            let request = payload::request(self.next);
            self.next = self.next.wrapping_add(1);
            send(&mut self.stream, request, self.size).await?;
            if receive(&mut self.stream).await? != (payload::response(request), self.size) {
                return Err("a wrong response".into());
            }
            self.stream.release_read_and_reuse();
            latencies.stop(start);
        }
        Ok(self)
    }
}

struct ShmipcClient {
    runtime: Runtime,
    lanes: Vec<Lane>,
    _manager: SessionManager<DefaultUnixConnect>,
}

impl Client for ShmipcClient {
    fn run(&mut self, rounds: usize, latencies: &Rc<Latencies>) -> Result<()> {
        let lanes = mem::take(&mut self.lanes);
        let tasks = lanes.into_iter().map(|lane| lane.run(rounds, latencies.clone())).collect();
        self.lanes = self.runtime.block_on(all(tasks))?;
        Ok(())
    }
}
