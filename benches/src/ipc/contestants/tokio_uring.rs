//! tokio-uring with Unix sockets: a connection a task, an io_uring and a current-thread runtime on either side.

use std::{mem, os::unix::net::UnixListener, rc::Rc};

use tokio::task::JoinSet;
use tokio_uring::{Runtime, buf::BoundedBuf, net::UnixStream};

use super::{
    super::{Client, Contestant, Latencies, Ready, Result, Setup, payload},
    frame::Frame,
    tokio_uds::join,
    versions,
};

/// Room for a submission of each of some hundred connections.
const ENTRIES: u32 = 1024;

pub(super) struct TokioUring;

impl Contestant for TokioUring {
    fn name(&self) -> &'static str {
        "tokio-uring + UDS"
    }

    fn version(&self) -> String {
        format!("tokio-uring {}", versions::of("tokio-uring"))
    }

    fn how(&self) -> &'static str {
        "a Unix socket a task, an io_uring of 1024 entries on either side"
    }

    fn serve(&self, setup: &Setup, ready: Ready) -> Result<()> {
        let size = setup.size;
        runtime()?.block_on(async {
            // Its own listener asks for SO_REUSEPORT, which Linux no longer takes on a Unix socket.
            let listener = UnixListener::bind(setup.socket())?;
            ready.tell();
            let mut tasks = JoinSet::new();
            for _ in 0..setup.concurrency {
                let (stream, _) = listener.accept()?;
                tasks.spawn_local(serve_stream(UnixStream::from_std(stream), size));
            }
            join(tasks).await.map(drop)
        })
    }

    fn connect(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        let runtime = runtime()?;
        let lanes = runtime.block_on(async {
            let mut lanes = Vec::new();
            for task in 0..setup.concurrency {
                let stream = UnixStream::connect(setup.socket()).await?;
                let next = (task as u32) << 16;
                lanes.push(Lane { stream, frame: Frame::new(setup.size), next });
            }
            Result::Ok(lanes)
        })?;
        Ok(Box::new(UringClient { runtime, lanes }))
    }
}

fn runtime() -> Result<Runtime> {
    Ok(Runtime::new(tokio_uring::builder().entries(ENTRIES))?)
}

async fn serve_stream(stream: UnixStream, size: usize) -> Result<()> {
    let mut frame = Frame::new(size);
    while receive(&stream, &mut frame).await? {
        let request = frame.check_request()?;
        frame.write(payload::response(request))?;
        send(&stream, &mut frame).await?;
    }
    Ok(())
}

/// Reads a whole message; false if the stream ends before it.
async fn receive(stream: &UnixStream, frame: &mut Frame) -> Result<bool> {
    let mut filled = 0;
    loop {
        let (count, buffer) = stream.read(frame.take().slice(filled..)).await;
        frame.put(buffer.into_inner());
        match count? {
            0 if filled == 0 => return Ok(false),
            0 => return Err("half a message".into()),
            count => filled += count,
        }
        if filled >= frame.needed(filled)? {
            return Ok(true);
        }
    }
}

async fn send(stream: &UnixStream, frame: &mut Frame) -> Result<()> {
    let (sent, buffer) = stream.write_all(frame.take()).await;
    frame.put(buffer);
    Ok(sent?)
}

/// A task's connection and buffer.
struct Lane {
    stream: UnixStream,
    frame: Frame,
    next: u32,
}

impl Lane {
    async fn run(mut self, rounds: usize, latencies: Rc<Latencies>) -> Result<Self> {
        for _ in 0..rounds {
            let start = latencies.start();
            let request = payload::request(self.next);
            self.next = self.next.wrapping_add(1);
            self.frame.write(request)?;
            send(&self.stream, &mut self.frame).await?;
            if !receive(&self.stream, &mut self.frame).await? {
                return Err("the server has closed the connection".into());
            }
            self.frame.check_response(request)?;
            latencies.stop(start);
        }
        Ok(self)
    }
}

struct UringClient {
    runtime: Runtime,
    lanes: Vec<Lane>,
}

impl Client for UringClient {
    fn run(&mut self, rounds: usize, latencies: &Rc<Latencies>) -> Result<()> {
        let lanes = mem::take(&mut self.lanes);
        self.lanes = self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for lane in lanes {
                tasks.spawn_local(lane.run(rounds, latencies.clone()));
            }
            join(tasks).await
        })?;
        Ok(())
    }
}
