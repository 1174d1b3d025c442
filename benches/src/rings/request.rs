//! A request of four bytes and its response between two processes, one at a time, and the very first of them: what a call costs with
//! operations on top of the rings.
//!
//! The one idea: `ipc` has contestants that do just this. Here a few of them run beside the rings, more often and in turn, since a
//! ratio of two short times needs many rounds.

use std::rc::Rc;

use clap::Parser;

use super::{Against, Contestant, Figures, Result, Target, Task, measure, pin};
use crate::ipc::{
    self, Client, contestants,
    latency::Latencies,
    options::{Options, Role},
    server::{self, Server},
    setup::Setup,
};

const EVERING: &str = "evering (processes)";
const ICEORYX2: &str = "iceoryx2";
const SHMIPC: &str = "shmipc";
const TOKIO: &str = "tokio + UDS";

/// Round trips in a sample, and before it; less of those that sleep in between.
const COUNT: usize = 20_000;
const WARM_UP: usize = 2_000;
const FEW: usize = 200;

/// Bytes of a body.
const SIZE: usize = 4;

/// The tasks.
pub fn tasks() -> [Task; 2] {
    let against = |limit, other| Target { of: EVERING, limit, against: Against::Contestant(other) };
    [
        Task {
            name: "request and response of 4 bytes, one at a time, two processes",
            contestants: vec![
                Contestant { name: EVERING, sample: || warm(EVERING, COUNT) },
                Contestant { name: ICEORYX2, sample: || warm(ICEORYX2, COUNT) },
                Contestant { name: SHMIPC, sample: || warm(SHMIPC, FEW) },
                Contestant { name: TOKIO, sample: || warm(TOKIO, FEW) },
            ],
            targets: vec![against(0.45, ICEORYX2), against(0.02, SHMIPC), against(0.02, TOKIO)],
        },
        Task {
            name: "cold start: connect to a server that is ready, and one round trip of 4 bytes",
            contestants: vec![
                Contestant { name: EVERING, sample: || cold(EVERING) },
                Contestant { name: ICEORYX2, sample: || cold(ICEORYX2) },
                Contestant { name: SHMIPC, sample: || cold(SHMIPC) },
                Contestant { name: TOKIO, sample: || cold(TOKIO) },
            ],
            targets: Vec::new(),
        },
    ]
}

/// The server's process.
///
/// # Errors
///
/// The contestant's.
pub fn serve() -> Result<()> {
    let Some(Role::Serve { contestant, setup }) = Options::parse().role else {
        return Err("this is no command line of a server".into());
    };
    plain(contestants::named(&contestant).and_then(|c| server::main(c, &setup)))
}

/// An error of the suite's as one that may go to other threads.
fn plain<T>(result: ipc::Result<T>) -> Result<T> {
    result.map_err(|error| error.to_string().into())
}

/// Has a server started and `run` called, which measures; adds the server's CPU time, that of `count` operations.
fn with_server(
    name: &str,
    count: usize,
    run: impl FnOnce(&dyn ipc::Contestant, &Setup, &mut Server) -> Result<(Figures, ipc::usage::Usage)>,
) -> Result<Figures> {
    pin(0)?;
    let folder = tempfile::tempdir_in("/dev/shm")?;
    let setup = Setup { size: SIZE, concurrency: 1, one_cpu: false, folder: folder.path().into() };
    let contestant = plain(contestants::named(name))?;
    let mut server = plain(Server::start(contestant, &setup))?;
    let (figures, before) = run(contestant, &setup, &mut server)?;
    let used = plain(server.usage())? - before;
    Ok(Figures { cpu: figures.cpu + used.cpu.as_nanos() as f64 / count as f64, ..figures })
}

fn exchange(client: &mut dyn Client, count: usize) -> Result<()> {
    plain(client.run(count, &Rc::new(Latencies::ignored())))
}

fn warm(name: &str, count: usize) -> Result<Figures> {
    with_server(name, count, |contestant, setup, server| {
        let mut client = plain(contestant.connect(setup))?;
        exchange(&mut *client, WARM_UP.min(count))?;
        let before = plain(server.usage())?;
        let figures = measure(count as u64, || exchange(&mut *client, count))?;
        Ok((figures, before))
    })
}

fn cold(name: &str) -> Result<Figures> {
    with_server(name, 1, |contestant, setup, server| {
        let before = plain(server.usage())?;
        // Taken down after the clock has stopped.
        let mut connected = None;
        let figures = measure(1, || {
            let client = connected.insert(plain(contestant.connect(setup))?);
            exchange(&mut **client, 1)
        })?;
        Ok((figures, before))
    })
}
