//! The raw cost of a cache line's way from one CPU to another and back, as a yardstick beside every sample.
//!
//! Virtual machines move: on some hosts the same two CPUs need 110 ns for a round trip in one minute and
//! 500 ns in the next. A figure means something only beside what the machine could do at the time.

use std::{
    error::Error,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::usage;

/// Round trips that are timed together; the best of several such batches is the figure.
const BATCH: u32 = 2_000;
const BATCHES: u32 = 5;

/// Below this many nanoseconds the machine is in its fast mode.
const FAST: f64 = 350.0;

/// How fast cache lines travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// A round trip of one to two hundred nanoseconds.
    Fast,
    /// One of about half a microsecond.
    Slow,
}

impl Mode {
    /// The mode in which a round trip takes `nanoseconds`.
    pub fn of(nanoseconds: f64) -> Self {
        if nanoseconds < FAST { Mode::Fast } else { Mode::Slow }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Fast => "fast",
            Mode::Slow => "slow",
        }
    }
}

/// A word on a cache line of its own, and the line that the prefetcher takes with it.
#[repr(align(128))]
struct Line(AtomicU32);

/// The nanoseconds of a round trip between two CPUs: one line there, another back.
///
/// # Errors
///
/// The host's, if there are no such CPUs.
pub fn round_trip([here, there]: [usize; 2]) -> Result<f64, Box<dyn Error>> {
    usage::pin(here)?;
    let (ping, pong) = (Line(AtomicU32::new(0)), Line(AtomicU32::new(0)));
    let count = BATCH * BATCHES;
    thread::scope(|scope| {
        let echo = scope.spawn(|| {
            let pinned = usage::pin(there).map_err(|error| error.to_string());
            for n in 1..=count {
                while ping.0.load(Ordering::Acquire) != n {}
                pong.0.store(n, Ordering::Release);
            }
            pinned
        });
        let mut best = Duration::MAX;
        for batch in 0..BATCHES {
            let start = Instant::now();
            for n in 1..=BATCH {
                let n = batch * BATCH + n;
                ping.0.store(n, Ordering::Release);
                while pong.0.load(Ordering::Acquire) != n {}
            }
            best = best.min(start.elapsed());
        }
        echo.join().map_err(|_| "the echo panicked")??;
        Ok(best.as_nanos() as f64 / f64::from(BATCH))
    })
}
