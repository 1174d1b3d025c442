//! monoio with Unix sockets: a connection a task, its io_uring driver on either side.

use std::{mem, rc::Rc};

use monoio::{
    IoUringDriver, Runtime, RuntimeBuilder,
    buf::IoBufMut,
    io::{AsyncReadRent, AsyncWriteRentExt},
    net::{ListenerOpts, UnixListener, UnixStream},
};

use super::{
    super::{Client, Contestant, Latencies, Ready, Result, Setup, payload},
    frame::Frame,
    versions,
};

/// Room for a submission of each of some hundred connections.
const ENTRIES: u32 = 1024;

pub(super) struct Monoio;

impl Contestant for Monoio {
    fn name(&self) -> &'static str {
        "monoio + UDS"
    }

    fn version(&self) -> String {
        format!("monoio {}", versions::of("monoio"))
    }

    fn how(&self) -> &'static str {
        "a Unix socket a task, the io_uring driver with 1024 entries on either side"
    }

    fn serve(&self, setup: &Setup, ready: Ready) -> Result<()> {
        let size = setup.size;
        runtime()?.block_on(async {
            let options = ListenerOpts::default().reuse_port(false);
            let listener = UnixListener::bind_with_config(setup.socket(), &options)?;
            ready.tell();
            let mut tasks = Vec::new();
            for _ in 0..setup.concurrency {
                let (stream, _) = listener.accept().await?;
                tasks.push(monoio::spawn(serve_stream(stream, size)));
            }
            for task in tasks {
                task.await?;
            }
            Ok(())
        })
    }

    fn connect(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        let mut runtime = runtime()?;
        let lanes = runtime.block_on(async {
            let mut lanes = Vec::new();
            for task in 0..setup.concurrency {
                let stream = UnixStream::connect(setup.socket()).await?;
                let next = (task as u32) << 16;
                lanes.push(Lane { stream, frame: Frame::new(setup.size), next });
            }
            Result::Ok(lanes)
        })?;
        Ok(Box::new(MonoioClient { runtime, lanes }))
    }
}

fn runtime() -> Result<Runtime<IoUringDriver>> {
    Ok(RuntimeBuilder::<IoUringDriver>::new().with_entries(ENTRIES).build()?)
}

async fn serve_stream(mut stream: UnixStream, size: usize) -> Result<()> {
    let mut frame = Frame::new(size);
    while receive(&mut stream, &mut frame).await? {
        let request = frame.check_request()?;
        frame.write(payload::response(request))?;
        send(&mut stream, &mut frame).await?;
    }
    Ok(())
}

/// Reads a whole message; false if the stream ends before it.
async fn receive(stream: &mut UnixStream, frame: &mut Frame) -> Result<bool> {
    let mut filled = 0;
    loop {
        let (count, buffer) = stream.read(frame.take().slice_mut(filled..)).await;
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

async fn send(stream: &mut UnixStream, frame: &mut Frame) -> Result<()> {
    let (sent, buffer) = stream.write_all(frame.take()).await;
    frame.put(buffer);
    sent?;
    Ok(())
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
            send(&mut self.stream, &mut self.frame).await?;
            if !receive(&mut self.stream, &mut self.frame).await? {
                return Err("the server has closed the connection".into());
            }
            self.frame.check_response(request)?;
            latencies.stop(start);
        }
        Ok(self)
    }
}

struct MonoioClient {
    runtime: Runtime<IoUringDriver>,
    lanes: Vec<Lane>,
}

impl Client for MonoioClient {
    fn run(&mut self, rounds: usize, latencies: &Rc<Latencies>) -> Result<()> {
        let lanes = mem::take(&mut self.lanes);
        self.lanes = self.runtime.block_on(async {
            let tasks: Vec<_> = lanes
                .into_iter()
                .map(|lane| monoio::spawn(lane.run(rounds, latencies.clone())))
                .collect();
            let mut lanes = Vec::new();
            for task in tasks {
                lanes.push(task.await?);
            }
            Result::Ok(lanes)
        })?;
        Ok(())
    }
}
