//! tokio with Unix sockets: a connection a task, epoll, a current-thread runtime on either side.

use std::{mem, rc::Rc};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    runtime::{Builder, Runtime},
    task::{JoinSet, LocalSet},
};

use super::{
    super::{Client, Contestant, Latencies, Ready, Result, Setup, payload},
    frame::Frame,
    versions,
};

pub(super) struct TokioUds;

impl Contestant for TokioUds {
    fn name(&self) -> &'static str {
        "tokio + UDS"
    }

    fn version(&self) -> String {
        format!("tokio {}", versions::of("tokio"))
    }

    fn how(&self) -> &'static str {
        "a Unix socket a task, epoll, a current-thread runtime on either side"
    }

    fn serve(&self, setup: &Setup, ready: Ready) -> Result<()> {
        let size = setup.size;
        LocalSet::new().block_on(&runtime()?, async {
            let listener = UnixListener::bind(setup.socket())?;
            ready.tell();
            let mut tasks = JoinSet::new();
            for _ in 0..setup.concurrency {
                let (mut stream, _) = listener.accept().await?;
                tasks.spawn_local(async move {
                    let (mut reader, mut writer) = stream.split();
                    serve_stream(&mut reader, &mut writer, size).await
                });
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
                let (reader, writer) = stream.into_split();
                lanes.push(Lane::new(reader, writer, setup.size, task));
            }
            Result::Ok(lanes)
        })?;
        Ok(Box::new(LaneClient { runtime, lanes }))
    }
}

/// A runtime as the documentation has it for programs of one thread.
pub(super) fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Waits for all tasks; the first error ends it.
pub(super) async fn join<T: 'static>(mut tasks: JoinSet<Result<T>>) -> Result<Vec<T>> {
    let mut results = Vec::new();
    while let Some(result) = tasks.join_next().await {
        results.push(result??);
    }
    Ok(results)
}

/// Serves one connection until its client is gone.
pub(super) async fn serve_stream<R, W>(reader: &mut R, writer: &mut W, size: usize) -> Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut frame = Frame::new(size);
    while receive(reader, &mut frame).await? {
        let request = frame.check_request()?;
        frame.write(payload::response(request))?;
        writer.write_all(frame.bytes()).await?;
    }
    Ok(())
}

/// Reads a whole message; false if the stream ends before it.
async fn receive<R: AsyncRead + Unpin>(reader: &mut R, frame: &mut Frame) -> Result<bool> {
    let mut filled = 0;
    loop {
        let count = reader.read(&mut frame.bytes_mut()[filled..]).await?;
        if count == 0 {
            return if filled == 0 { Ok(false) } else { Err("half a message".into()) };
        }
        filled += count;
        if filled >= frame.needed(filled)? {
            return Ok(true);
        }
    }
}

/// A task's connection and buffer.
pub(super) struct Lane<R, W> {
    reader: R,
    writer: W,
    frame: Frame,
    next: u32,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Lane<R, W> {
    pub(super) fn new(reader: R, writer: W, size: usize, task: usize) -> Self {
        Lane { reader, writer, frame: Frame::new(size), next: (task as u32) << 16 }
    }

    async fn run(mut self, rounds: usize, latencies: Rc<Latencies>) -> Result<Self> {
        for _ in 0..rounds {
            let start = latencies.start();
            let request = payload::request(self.next);
            self.next = self.next.wrapping_add(1);
            self.frame.write(request)?;
            self.writer.write_all(self.frame.bytes()).await?;
            if !receive(&mut self.reader, &mut self.frame).await? {
                return Err("the server has closed the connection".into());
            }
            self.frame.check_response(request)?;
            latencies.stop(start);
        }
        Ok(self)
    }
}

/// A client whose tasks have a pair of streams each.
pub(super) struct LaneClient<R, W> {
    pub(super) runtime: Runtime,
    pub(super) lanes: Vec<Lane<R, W>>,
}

impl<R, W> Client for LaneClient<R, W>
where
    R: AsyncRead + Unpin + 'static,
    W: AsyncWrite + Unpin + 'static,
{
    fn run(&mut self, rounds: usize, latencies: &Rc<Latencies>) -> Result<()> {
        let lanes = mem::take(&mut self.lanes);
        self.lanes = LocalSet::new().block_on(&self.runtime, async {
            let mut tasks = JoinSet::new();
            for lane in lanes {
                tasks.spawn_local(lane.run(rounds, latencies.clone()));
            }
            join(tasks).await
        })?;
        Ok(())
    }
}
