//! Pipes: a pair a task, named so that both processes can open them. One task alone uses blocking reads and
//! writes, which are the fastest there; many use tokio, which is how one thread serves many pipes.

use std::{
    fs::{File, OpenOptions},
    path::PathBuf,
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use tokio::net::unix::pipe;

use super::{
    super::{Client, Contestant, Ready, Result, Setup},
    stream::{Blocking, BlockingStream, Executor, Lane, LaneClient, Stream},
    tokio_uds::{Halves, all, runtime},
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
            let reader = File::open(requests)?;
            let writer = OpenOptions::new().write(true).open(responses)?;
            let stream = BlockingStream { reader, writer };
            return Blocking.run(vec![stream.serve(setup.size)]).map(drop);
        }
        let size = setup.size;
        runtime()?.block_on(async {
            let mut tasks = Vec::new();
            for task in 0..setup.concurrency {
                let [requests, responses] = paths(setup, task);
                let reader = pipe::OpenOptions::new().open_receiver(requests)?;
                // Both ways, for there is no reader yet.
                let writer = pipe::OpenOptions::new().read_write(true).open_sender(responses)?;
                tasks.push(async move {
                    // Without a writer the pipe is at its end: wait for the client.
                    reader.readable().await?;
                    Halves { reader, writer }.serve(size).await
                });
            }
            ready.tell();
            all(tasks).await.map(drop)
        })
    }

    fn connect(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        if setup.concurrency == 1 {
            let [requests, responses] = paths(setup, 0);
            let writer = OpenOptions::new().write(true).open(requests)?;
            let reader = File::open(responses)?;
            let lanes = vec![Lane::new(BlockingStream { reader, writer }, setup.size, 0)];
            return Ok(Box::new(LaneClient { executor: Blocking, lanes }));
        }
        let executor = runtime()?;
        let lanes = executor.block_on(async {
            let mut lanes = Vec::new();
            for task in 0..setup.concurrency {
                let [requests, responses] = paths(setup, task);
                let writer = pipe::OpenOptions::new().open_sender(requests)?;
                let reader = pipe::OpenOptions::new().open_receiver(responses)?;
                lanes.push(Lane::new(Halves { reader, writer }, setup.size, task));
            }
            Result::Ok(lanes)
        })?;
        Ok(Box::new(LaneClient { executor, lanes }))
    }
}
