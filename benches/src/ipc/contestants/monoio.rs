//! monoio with Unix sockets: a connection a task, its io_uring driver on either side.

use std::mem;

use monoio::{
    IoUringDriver, Runtime, RuntimeBuilder,
    buf::{IoBuf, IoBufMut, SliceMut, VecBuf},
    io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt},
    net::{ListenerOpts, UnixListener, UnixStream},
};

use super::{
    super::{Client, Contestant, Ready, Result, Setup, executor},
    frame::{PREFIX, Parted},
    stream::{Executor, Lane, LaneClient, Stream},
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
        "a Unix socket a task, readv and writev, the io_uring driver with 1024 entries on either side"
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
                tasks.push(stream.serve(size));
            }
            executor::all(tasks).await.map(drop)
        })
    }

    fn connect(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        let mut executor = runtime()?;
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

fn runtime() -> Result<Runtime<IoUringDriver>> {
    Ok(RuntimeBuilder::<IoUringDriver>::new().with_entries(ENTRIES).build()?)
}

impl Executor for Runtime<IoUringDriver> {
    fn run<T: 'static, F>(&mut self, tasks: Vec<F>) -> Result<Vec<T>>
    where
        F: Future<Output = Result<T>> + 'static,
    {
        self.block_on(executor::all(tasks))
    }
}

impl Parted {
    /// Both parts, for who needs to own them.
    fn take(&mut self) -> VecBuf {
        vec![mem::take(&mut self.prefix), mem::take(&mut self.body)].into()
    }

    /// Puts them back.
    fn put(&mut self, parts: VecBuf) {
        let mut parts = Vec::from(parts).into_iter();
        self.prefix = parts.next().unwrap_or_default();
        self.body = parts.next().unwrap_or_default();
    }
}

/// The part that goes on after `at` bytes of the message, and from where on.
fn rest(frame: &mut Parted, at: usize) -> (&mut Vec<u8>, usize) {
    match at.checked_sub(PREFIX) {
        Some(at) => (&mut frame.body, at),
        None => (&mut frame.prefix, at),
    }
}

impl Stream for UnixStream {
    type Frame = Parted;

    async fn send(&mut self, frame: &mut Parted) -> Result<()> {
        let (sent, parts) = self.writev(frame.take()).await;
        frame.put(parts);
        let (mut sent, all) = (sent?, PREFIX + frame.size);
        while sent < all {
            let (part, at) = rest(frame, sent);
            sent += part.len() - at;
            let (result, buffer) = self.write_all(mem::take(part).slice(at..)).await;
            *part = buffer.into_inner();
            result?;
        }
        Ok(())
    }

    async fn read(&mut self, frame: &mut Parted, filled: usize) -> Result<usize> {
        if filled == 0 {
            let (count, parts) = self.readv(frame.take()).await;
            frame.put(parts);
            return Ok(count?);
        }
        let (part, at) = rest(frame, filled);
        let (count, buffer) = AsyncReadRent::read(self, mem::take(part).slice_mut(at..)).await;
        *part = SliceMut::into_inner(buffer);
        Ok(count?)
    }
}
