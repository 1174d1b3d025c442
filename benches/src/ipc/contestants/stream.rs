//! What all contestants have in common that send frames over a stream of bytes, a connection a task.
//!
//! The one idea: they differ in how bytes are read and written, and in what runs the tasks. A [`Stream`] says the one and an
//! [`Executor`] the other; who asks and who answers is written once, here.

use std::{
    io::{self, IoSlice, Read, Write},
    mem,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use super::{
    super::{Client, Latencies, Result, payload},
    frame::{Frame, Joined},
};

/// A connection of one task.
pub(super) trait Stream: Sized + 'static {
    /// How a message lies in memory.
    type Frame: Frame;

    /// Writes a whole message, header and body gathered.
    async fn send(&mut self, frame: &mut Self::Frame) -> Result<()>;

    /// Reads more of a message, of which `filled` bytes are here: how many, 0 at the stream's end.
    async fn read(&mut self, frame: &mut Self::Frame, filled: usize) -> Result<usize>;

    /// Reads a whole message; false if the stream ends before it.
    async fn receive(&mut self, frame: &mut Self::Frame) -> Result<bool> {
        let mut filled = 0;
        loop {
            match self.read(frame, filled).await? {
                0 if filled == 0 => return Ok(false),
                0 => return Err("half a message".into()),
                count => filled += count,
            }
            if filled >= frame.needed(filled)? {
                return Ok(true);
            }
        }
    }

    /// Serves the connection until its client is gone.
    async fn serve(mut self, size: usize) -> Result<()> {
        let mut frame = Self::Frame::new(size);
        while self.receive(&mut frame).await? {
            let request = frame.check_request()?;
            frame.write(payload::response(request))?;
            self.send(&mut frame).await?;
        }
        Ok(())
    }
}

/// What runs tasks.
pub(super) trait Executor {
    /// Runs all to their ends; the first error ends it.
    fn run<T: 'static, F>(&mut self, tasks: Vec<F>) -> Result<Vec<T>>
    where
        F: Future<Output = Result<T>> + 'static;
}

/// A task's connection and buffer.
pub(super) struct Lane<S: Stream> {
    stream: S,
    frame: S::Frame,
    next: u32,
}

impl<S: Stream> Lane<S> {
    /// That of the `task`th task, with bodies of `size` bytes.
    pub(super) fn new(stream: S, size: usize, task: usize) -> Self {
        Lane { stream, frame: S::Frame::new(size), next: (task as u32) << 16 }
    }

    async fn run(mut self, rounds: usize, latencies: Rc<Latencies>) -> Result<Self> {
        for _ in 0..rounds {
            let start = latencies.start();
            let request = payload::request(self.next);
            self.next = self.next.wrapping_add(1);
            self.frame.write(request)?;
            self.stream.send(&mut self.frame).await?;
            if !self.stream.receive(&mut self.frame).await? {
                return Err("the server has closed the connection".into());
            }
            self.frame.check_response(request)?;
            latencies.stop(start);
        }
        Ok(self)
    }
}

/// A client with a lane a task.
pub(super) struct LaneClient<E, S: Stream> {
    pub(super) executor: E,
    pub(super) lanes: Vec<Lane<S>>,
}

impl<E: Executor, S: Stream> Client for LaneClient<E, S> {
    fn run(&mut self, rounds: usize, latencies: &Rc<Latencies>) -> Result<()> {
        let lanes = mem::take(&mut self.lanes);
        let tasks = lanes.into_iter().map(|lane| lane.run(rounds, latencies.clone())).collect();
        self.lanes = self.executor.run(tasks)?;
        Ok(())
    }
}

/// The thread itself, for streams whose calls block.
pub(super) struct Blocking;

impl Executor for Blocking {
    fn run<T: 'static, F>(&mut self, tasks: Vec<F>) -> Result<Vec<T>>
    where
        F: Future<Output = Result<T>> + 'static,
    {
        let mut context = Context::from_waker(Waker::noop());
        tasks
            .into_iter()
            .map(|task| match pin!(task).poll(&mut context) {
                Poll::Ready(result) => result,
                Poll::Pending => Err("a call that blocks was pending".into()),
            })
            .collect()
    }
}

/// Two ends whose calls block.
pub(super) struct BlockingStream<R, W> {
    pub(super) reader: R,
    pub(super) writer: W,
}

impl<R: Read + 'static, W: Write + 'static> Stream for BlockingStream<R, W> {
    type Frame = Joined;

    async fn send(&mut self, frame: &mut Joined) -> Result<()> {
        let (prefix, body) = frame.parts();
        let mut parts = [IoSlice::new(prefix), IoSlice::new(body)];
        let mut left = &mut parts[..];
        while !left.is_empty() {
            let written = self.writer.write_vectored(left)?;
            advance(&mut left, written)?;
        }
        Ok(())
    }

    async fn read(&mut self, frame: &mut Joined, filled: usize) -> Result<usize> {
        Ok(self.reader.read(&mut frame.0[filled..])?)
    }
}

/// Takes away what was written of `left`.
pub(super) fn advance(left: &mut &mut [IoSlice<'_>], written: usize) -> io::Result<()> {
    if written == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    IoSlice::advance_slices(left, written);
    Ok(())
}
