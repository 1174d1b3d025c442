//! tokio-uring with Unix sockets: a connection a task, an io_uring and a current-thread runtime on either side.

use std::{mem, os::unix::net::UnixListener};

use tokio_uring::{Runtime, buf::BoundedBuf, net::UnixStream};

use super::{
    super::{Client, Contestant, Ready, Result, Setup},
    frame::{Joined, PREFIX},
    stream::{Executor, Lane, LaneClient, Stream},
    tokio_uds::all,
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
        "a Unix socket a task, writev, an io_uring of 1024 entries on either side"
    }

    fn serve(&self, setup: &Setup, ready: Ready) -> Result<()> {
        let size = setup.size;
        runtime()?.block_on(async {
            // Its own listener asks for SO_REUSEPORT, which Linux no longer takes on a Unix socket.
            let listener = UnixListener::bind(setup.socket())?;
            ready.tell();
            let mut tasks = Vec::new();
            for _ in 0..setup.concurrency {
                let (stream, _) = listener.accept()?;
                tasks.push(UnixStream::from_std(stream).serve(size));
            }
            all(tasks).await.map(drop)
        })
    }

    fn connect(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        let executor = runtime()?;
        let lanes = executor.block_on(async {
            let mut lanes = Vec::new();
            for task in 0..setup.concurrency {
                lanes.push(Lane::new(UnixStream::connect(setup.socket()).await?, setup.size, task));
            }
            Result::Ok(lanes)
        })?;
        Ok(Box::new(LaneClient { executor, lanes }))
    }
}

fn runtime() -> Result<Runtime> {
    Ok(Runtime::new(tokio_uring::builder().entries(ENTRIES))?)
}

impl Executor for Runtime {
    fn run<T: 'static, F>(&mut self, tasks: Vec<F>) -> Result<Vec<T>>
    where
        F: Future<Output = Result<T>> + 'static,
    {
        self.block_on(all(tasks))
    }
}

impl Stream for UnixStream {
    type Frame = Joined;

    async fn send(&mut self, frame: &mut Joined) -> Result<()> {
        let mut body = mem::take(&mut frame.0);
        let (all, prefix) = (body.len(), body.split_to(PREFIX));
        let (sent, parts) = self.writev(vec![prefix, body]).await;
        for part in parts {
            frame.0.unsplit(part);
        }
        let sent = sent?;
        if sent < all {
            let whole = mem::take(&mut frame.0);
            let (rest, whole) = self.write_all(whole.slice(sent..)).await;
            frame.0 = whole.into_inner();
            rest?;
        }
        Ok(())
    }

    async fn read(&mut self, frame: &mut Joined, filled: usize) -> Result<usize> {
        let whole = mem::take(&mut frame.0);
        let all = whole.len();
        let (count, whole) = UnixStream::read(self, whole.slice(filled..all)).await;
        frame.0 = whole.into_inner();
        Ok(count?)
    }
}
