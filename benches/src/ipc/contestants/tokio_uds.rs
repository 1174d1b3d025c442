//! tokio with Unix sockets: a connection a task, epoll, a current-thread runtime on either side.

use std::io::IoSlice;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    runtime::{Builder, Runtime},
    task::{JoinSet, LocalSet},
};

use super::{
    super::{Client, Contestant, Ready, Result, Setup},
    frame::{Frame, Joined},
    stream::{Executor, Lane, LaneClient, Stream, advance},
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
        "a Unix socket a task, writev, epoll, a current-thread runtime on either side"
    }

    fn serve(&self, setup: &Setup, ready: Ready) -> Result<()> {
        let size = setup.size;
        LocalSet::new().block_on(&runtime()?, async {
            let listener = UnixListener::bind(setup.socket())?;
            ready.tell();
            let mut tasks = JoinSet::new();
            for _ in 0..setup.concurrency {
                let (reader, writer) = listener.accept().await?.0.into_split();
                tasks.spawn_local(Halves { reader, writer }.serve(size));
            }
            join(tasks).await.map(drop)
        })
    }

    fn connect(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        let executor = runtime()?;
        let lanes = executor.block_on(async {
            let mut lanes = Vec::new();
            for task in 0..setup.concurrency {
                let (reader, writer) = UnixStream::connect(setup.socket()).await?.into_split();
                lanes.push(Lane::new(Halves { reader, writer }, setup.size, task));
            }
            Result::Ok(lanes)
        })?;
        Ok(Box::new(LaneClient { executor, lanes }))
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

impl Executor for Runtime {
    fn run<T: 'static, F>(&mut self, tasks: Vec<F>) -> Result<Vec<T>>
    where
        F: Future<Output = Result<T>> + 'static,
    {
        LocalSet::new().block_on(self, async {
            let mut set = JoinSet::new();
            for task in tasks {
                set.spawn_local(task);
            }
            join(set).await
        })
    }
}

/// What tokio reads from and writes to.
pub(super) struct Halves<R, W> {
    pub(super) reader: R,
    pub(super) writer: W,
}

impl<R, W> Stream for Halves<R, W>
where
    R: AsyncRead + Unpin + 'static,
    W: AsyncWrite + Unpin + 'static,
{
    type Frame = Joined;

    async fn send(&mut self, frame: &mut Joined) -> Result<()> {
        let (prefix, body) = frame.parts();
        let mut parts = [IoSlice::new(prefix), IoSlice::new(body)];
        let mut left = &mut parts[..];
        while !left.is_empty() {
            let written = self.writer.write_vectored(left).await?;
            advance(&mut left, written)?;
        }
        Ok(())
    }

    async fn read(&mut self, frame: &mut Joined, filled: usize) -> Result<usize> {
        Ok(self.reader.read(&mut frame.0[filled..]).await?)
    }
}
