//! Request and response between two processes, by every means worth comparing: `cargo bench -p benches --bench ipc`.
//!
//! The one idea: **everybody does the same work.** A request is a header of 4 bytes and a body; the server
//! checks every byte and writes a header and a body of its own, of the same size; the client checks every
//! byte of those. Whoever can do that in place does it in place; whoever has to copy, copies. Buffers are
//! reused by all. What differs is what is compared: the way of the bytes and of the news.
//!
//! ```text
//!   harness ── for each cell (CPUs, concurrency, size), for each round, for each contestant in turn:
//!      │
//!      └─ client process (CPU 0)                     server process (CPU 1, or 0 as well)
//!            raw round trip of a cache line, before
//!            connect ───────────────────────────────► ready
//!            first round trip: the cold start
//!            warm up until a chunk of work faults no page
//!            rounds on each of `concurrency` tasks ◄─► check, answer
//!            raw round trip of a cache line, after
//!      ◄──── mean, p50, p99, CPU time and page faults of both
//! ```
//!
//! A sample has processes of its own, so a contestant that panics or hangs costs its sample, never the
//! run. Figures are medians over rounds of the same [mode](probe::Mode) of the machine.

pub mod charts;
pub mod contestants;
pub mod csv;
pub mod executor;
pub mod flamegraph;
pub mod latency;
pub mod options;
pub mod payload;
pub mod probe;
pub mod results;
pub mod run;
pub mod sample;
pub mod server;
pub mod setup;
pub mod tables;
pub mod targets;
pub mod usage;

use std::{error::Error, rc::Rc};

use latency::Latencies;
use server::Ready;
use setup::Setup;

/// What goes wrong in a sample.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A means of communication.
pub trait Contestant: Sync {
    /// What it is called in tables and on the command line.
    fn name(&self) -> &'static str;

    /// The version of what it is made of.
    fn version(&self) -> String;

    /// How it is used, and why that is its fastest way, in one sentence.
    fn how(&self) -> &'static str;

    /// Whether the server is a process of its own; if not, `connect` starts a thread for it.
    fn has_process(&self) -> bool {
        true
    }

    /// Serves in a process of its own until that is killed. Says when clients may connect.
    ///
    /// # Errors
    ///
    /// Whatever it meets, a request with a wrong byte above all.
    fn serve(&self, setup: &Setup, ready: Ready) -> Result<()>;

    /// Connects to a server that is ready.
    ///
    /// # Errors
    ///
    /// Whatever it meets.
    fn connect(&self, setup: &Setup) -> Result<Box<dyn Client>>;
}

/// A connected client.
pub trait Client {
    /// Runs as many tasks as the setup's concurrency says, each of which sends a request and awaits its
    /// response `rounds` times.
    ///
    /// # Errors
    ///
    /// Whatever it meets, a response with a wrong byte above all.
    fn run(&mut self, rounds: usize, latencies: &Rc<Latencies>) -> Result<()>;
}
