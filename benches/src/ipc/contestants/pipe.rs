//! Pipes: a pair a task, named so that both processes can open them. One task alone uses blocking reads and
//! writes, which are the fastest there; many use tokio, which is how one thread serves many pipes.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::PathBuf,
    rc::Rc,
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use tokio::{
    net::unix::pipe,
    task::{JoinSet, LocalSet},
};

use super::{
    super::{Client, Contestant, Latencies, Ready, Result, Setup, payload},
    frame::Frame,
    tokio_uds::{Lane, LaneClient, join, runtime, serve_stream},
    versions,
};

pub(super) struct Pipe;

/// The paths of a task's pipes: of requests, and of responses.
fn paths(setup: &Setup, task: usize) -> [PathBuf; 2] {
    ["requests", "responses"].map(|name| setup.folder.join(format!("{name}-{task}")))
}

impl Contestant for Pipe {
    fn name(&self) -> &'static str {
        "pipe pair"
    }

    fn version(&self) -> String {
        format!("the host's; tokio {} for many", versions::of("tokio"))
    }

    fn how(&self) -> &'static str {
        "a pair of pipes a task; blocking for one task, tokio and epoll for many"
    }

    fn serve(&self, setup: &Setup, ready: Ready) -> Result<()> {
        for task in 0..setup.concurrency {
            for path in paths(setup, task) {
                mkfifo(&path, Mode::S_IRWXU)?;
            }
        }
        if setup.concurrency == 1 {
            // Opening waits for the other end.
            ready.tell();
            let [requests, responses] = paths(setup, 0);
            return serve_blocking(
                File::open(requests)?,
                OpenOptions::new().write(true).open(responses)?,
                setup.size,
            );
        }
        let size = setup.size;
        LocalSet::new().block_on(&runtime()?, async {
            let mut tasks = JoinSet::new();
            for task in 0..setup.concurrency {
                let [requests, responses] = paths(setup, task);
                let mut reader = pipe::OpenOptions::new().open_receiver(requests)?;
                // Both ways, for there is no reader yet.
                let mut writer =
                    pipe::OpenOptions::new().read_write(true).open_sender(responses)?;
                tasks.spawn_local(async move {
                    // Without a writer the pipe is at its end: wait for the client.
                    reader.readable().await?;
                    serve_stream(&mut reader, &mut writer, size).await
                });
            }
            ready.tell();
            join(tasks).await.map(drop)
        })
    }

    fn connect(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        if setup.concurrency == 1 {
            let [requests, responses] = paths(setup, 0);
            let writer = OpenOptions::new().write(true).open(requests)?;
            let reader = File::open(responses)?;
            let frame = Frame::new(setup.size);
            return Ok(Box::new(Blocking { reader, writer, frame, next: 0 }));
        }
        let runtime = runtime()?;
        let lanes = runtime.block_on(async {
            let mut lanes = Vec::new();
            for task in 0..setup.concurrency {
                let [requests, responses] = paths(setup, task);
                let writer = pipe::OpenOptions::new().open_sender(requests)?;
                let reader = pipe::OpenOptions::new().open_receiver(responses)?;
                lanes.push(Lane::new(reader, writer, setup.size, task));
            }
            Result::Ok(lanes)
        })?;
        Ok(Box::new(LaneClient { runtime, lanes }))
    }
}

fn serve_blocking(mut reader: File, mut writer: File, size: usize) -> Result<()> {
    let mut frame = Frame::new(size);
    while receive(&mut reader, &mut frame)? {
        let request = frame.check_request()?;
        frame.write(payload::response(request))?;
        writer.write_all(frame.bytes())?;
    }
    Ok(())
}

/// Reads a whole message; false if the stream ends before it.
fn receive(reader: &mut File, frame: &mut Frame) -> Result<bool> {
    let mut filled = 0;
    loop {
        let count = reader.read(&mut frame.bytes_mut()[filled..])?;
        if count == 0 {
            return if filled == 0 { Ok(false) } else { Err("half a message".into()) };
        }
        filled += count;
        if filled >= frame.needed(filled)? {
            return Ok(true);
        }
    }
}

/// A client of one task.
struct Blocking {
    reader: File,
    writer: File,
    frame: Frame,
    next: u32,
}

impl Client for Blocking {
    fn run(&mut self, rounds: usize, latencies: &Rc<Latencies>) -> Result<()> {
        for _ in 0..rounds {
            let start = latencies.start();
            let request = payload::request(self.next);
            self.next = self.next.wrapping_add(1);
            self.frame.write(request)?;
            self.writer.write_all(self.frame.bytes())?;
            if !receive(&mut self.reader, &mut self.frame)? {
                return Err("the server has closed the pipe".into());
            }
            self.frame.check_response(request)?;
            latencies.stop(start);
        }
        Ok(())
    }
}
