//! tokio with Unix sockets: a connection a task, epoll, a current-thread runtime on either side.

use std::io::IoSlice;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    runtime::{Builder, Runtime},
    task::unconstrained,
};

use super::{
    super::{Client, Contestant, Ready, Result, Setup, executor},
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
        runtime()?.block_on(async {
            let listener = UnixListener::bind(setup.socket())?;
            ready.tell();
            let mut tasks = Vec::new();
            for _ in 0..setup.concurrency {
                let (reader, writer) = listener.accept().await?.0.into_split();
                tasks.push(Halves { reader, writer }.serve(size));
            }
            all(tasks).await.map(drop)
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

/// Runs all tasks; the first error ends it. They are more than one of tokio's, and not held back as if they were.
pub(super) async fn all<T>(tasks: Vec<impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    unconstrained(executor::all(tasks)).await
}

impl Executor for Runtime {
    fn run<T: 'static, F>(&mut self, tasks: Vec<F>) -> Result<Vec<T>>
    where
        F: Future<Output = Result<T>> + 'static,
    {
        self.block_on(all(tasks))
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
