//! The rings alone, without operations and bodies: `cargo bench -p benches --bench rings`.
//!
//! The one idea: what a ring costs is how often a cache line has to cross from one CPU to another, or a thread has to be woken. So
//! each task has the bare thing beside it (two words, a futex) and the queues that people use otherwise, one sample of each
//! in turn, many rounds; and beside each sample stands the raw round trip of a line at that time, for the machine changes.

pub mod many;
pub mod one_way;
pub mod ping_pong;
pub mod request;
pub mod results;
pub mod sleep;

use std::{error::Error, hint};

/// What goes wrong in a sample.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What one sample found, in nanoseconds an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// On the clock.
    pub time: f64,
    /// Of CPU time, all threads and processes together.
    pub cpu: f64,
}

/// One way to do a task.
pub struct Contestant {
    /// Its name.
    pub name: &'static str,
    /// Takes a sample.
    pub sample: fn() -> Result<Figures>,
}

/// What [`Task::targets`] compare with.
pub enum Against {
    /// Another contestant's time.
    Contestant(&'static str),
    /// Nanoseconds.
    Time,
}

/// What evering is to reach.
pub struct Target {
    /// Which of its ways.
    pub of: &'static str,
    /// The highest ratio, or time.
    pub limit: f64,
    /// To what.
    pub against: Against,
}

/// Something to do, and all who do it.
pub struct Task {
    /// What an operation is.
    pub name: &'static str,
    /// In the order in which they take their turns.
    pub contestants: Vec<Contestant>,
    /// What is to be reached.
    pub targets: Vec<Target>,
}

/// All tasks.
pub fn tasks() -> Vec<Task> {
    let mut tasks = vec![ping_pong::task(), one_way::task(), many::task()];
    tasks.extend(sleep::tasks());
    tasks.extend(request::tasks());
    tasks
}

/// Calls `attempt` until it gives something, as everybody here does who spins.
#[inline]
fn spin<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        hint::spin_loop();
    }
}

/// Measures `run`, which does `count` operations and waits for all who help.
fn measure(count: u64, run: impl FnOnce() -> Result<()>) -> Result<Figures> {
    use std::time::Instant;

    use crate::ipc::usage::Usage;

    let usage = || Usage::now().map_err(|error| error.to_string());
    let (before, start) = (usage()?, Instant::now());
    run()?;
    let (time, cpu) = (start.elapsed(), usage()? - before);
    Ok(Figures {
        time: time.as_nanos() as f64 / count as f64,
        cpu: cpu.cpu.as_nanos() as f64 / count as f64,
    })
}

/// Pins the calling thread.
fn pin(cpu: usize) -> Result<()> {
    Ok(crate::ipc::usage::pin(cpu).map_err(|error| error.to_string())?)
}
