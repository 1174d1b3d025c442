//! One sample: a contestant connected, warmed up and measured, in a client process of its own.

use std::{
    fmt::Write,
    rc::Rc,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use clap::Args;

use super::{
    Client, Contestant, Result,
    latency::Latencies,
    probe,
    server::Server,
    setup::{CPUS, Setup},
    usage,
    usage::Usage,
};

/// The hidden command of the bench binary.
pub const COMMAND: &str = "sample";

/// The least number of rounds that is timed, so that nobody times a loop's ends.
const LEAST_ROUNDS: usize = 20;

/// The least time that warming up takes, and the longest that it goes on while pages are still faulted in.
const WARM_UP: Duration = Duration::from_millis(40);
const WARM_UP_LIMIT: Duration = Duration::from_secs(4);

/// Operations longer than this are timed one by one while the mean is taken: two looks at the clock are
/// less than a hundredth of them. Shorter ones are timed in a run of their own.
const LONG: Duration = Duration::from_micros(5);

/// How a sample is taken.
#[derive(Args, Clone, Debug)]
pub struct How {
    /// Milliseconds to measure for.
    #[arg(long)]
    pub milliseconds: u64,
    /// Measure a second in which nothing is sent.
    #[arg(long)]
    pub idle: bool,
}

/// The names of a sample's figures.
pub const NAMES: [&str; 9] =
    ["mean", "p50", "p99", "cpu", "cold", "operations", "faults", "probe before", "probe after"];

/// What was measured. Times are nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Wall-clock time divided by the number of operations.
    pub mean: f64,
    /// The latency that half of the operations did not exceed.
    pub p50: f64,
    /// The latency that 99 of 100 operations did not exceed.
    pub p99: f64,
    /// CPU time an operation, of both sides. In an idle sample: of a second.
    pub cpu: f64,
    /// The very first round trip after connecting.
    pub cold: f64,
    /// How many operations were timed.
    pub operations: f64,
    /// Page faults while they were, on both sides.
    pub faults: f64,
    /// The raw round trip of a cache line, before and after.
    pub probes: [f64; 2],
}

impl Sample {
    /// The raw round trip of a cache line: the mean of both probes.
    pub fn probe(&self) -> f64 {
        (self.probes[0] + self.probes[1]) / 2.0
    }

    /// All figures, in the order of [`NAMES`].
    pub fn figures(&self) -> [f64; NAMES.len()] {
        let Sample { mean, p50, p99, cpu, cold, operations, faults, probes: [before, after] } =
            *self;
        [mean, p50, p99, cpu, cold, operations, faults, before, after]
    }

    /// The sample with these [figures](Self::figures).
    pub fn from_figures(figures: [f64; NAMES.len()]) -> Self {
        let [mean, p50, p99, cpu, cold, operations, faults, before, after] = figures;
        Sample { mean, p50, p99, cpu, cold, operations, faults, probes: [before, after] }
    }

    /// What the client's process prints.
    pub fn to_lines(self) -> String {
        let mut text = String::new();
        for (name, value) in NAMES.iter().zip(self.figures()) {
            let _ = writeln!(text, "{name}={value}");
        }
        text
    }
}

impl FromStr for Sample {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let mut figures = [0.0; NAMES.len()];
        for (name, figure) in NAMES.iter().zip(&mut figures) {
            *figure = text
                .lines()
                .find_map(|line| line.split_once('=').filter(|(key, _)| key == name))
                .and_then(|(_, value)| value.parse().ok())
                .ok_or_else(|| format!("the client does not say its {name}"))?;
        }
        Ok(Sample::from_figures(figures))
    }
}

/// Takes a sample and prints it.
///
/// # Errors
///
/// What the contestant says.
pub fn main(contestant: &dyn Contestant, setup: &Setup, how: &How) -> Result<()> {
    let before = probe_unless_one_cpu(setup)?;
    usage::pin(setup.client_cpu())?;
    let mut sample = take(contestant, setup, how)?;
    sample.probes = [before, probe_unless_one_cpu(setup)?];
    print!("{}", sample.to_lines());
    Ok(())
}

fn probe_unless_one_cpu(setup: &Setup) -> Result<f64> {
    if setup.one_cpu { Ok(0.0) } else { probe::round_trip(CPUS) }
}

/// A connection under test.
struct Bench<'a> {
    client: Box<dyn Client>,
    server: Option<Server>,
    setup: &'a Setup,
}

fn take(contestant: &dyn Contestant, setup: &Setup, how: &How) -> Result<Sample> {
    let server = contestant.has_process().then(|| Server::start(contestant, setup)).transpose()?;
    let client = contestant.connect(setup)?;
    let mut bench = Bench { client, server, setup };
    let cold =
        bench.time(1, &Rc::new(Latencies::ignored()))?.as_nanos() as f64 / setup.concurrency as f64;
    let operation = bench.warm_up()?;
    let sample = if how.idle { bench.idle()? } else { bench.measure(operation, how)? };
    Ok(Sample { cold, ..sample })
}

impl Bench<'_> {
    fn usage(&mut self) -> Result<Usage> {
        let server = self.server.as_mut().map(Server::usage).transpose()?;
        Ok(Usage::now()? + server.unwrap_or_default())
    }

    fn time(&mut self, rounds: usize, latencies: &Rc<Latencies>) -> Result<Duration> {
        let start = Instant::now();
        self.client.run(rounds, latencies)?;
        Ok(start.elapsed())
    }

    /// Runs until two chunks of work one after the other fault no page. Returns about how long an operation takes.
    fn warm_up(&mut self) -> Result<Duration> {
        let start = Instant::now();
        let ignored = Rc::new(Latencies::ignored());
        let (mut rounds, mut calm) = (1, 0);
        loop {
            let before = self.usage()?;
            let elapsed = self.time(rounds, &ignored)?;
            let faults = (self.usage()? - before).faults;
            let total = start.elapsed();
            calm = if faults == 0 { calm + 1 } else { 0 };
            if total >= WARM_UP && calm >= 2 || total >= WARM_UP_LIMIT {
                return Ok(elapsed / (rounds * self.setup.concurrency) as u32);
            }
            if elapsed < WARM_UP / 4 {
                rounds *= 2;
            }
        }
    }

    fn measure(&mut self, operation: Duration, how: &How) -> Result<Sample> {
        let wanted = Duration::from_millis(how.milliseconds);
        let round = operation.max(Duration::from_nanos(1)) * self.setup.concurrency as u32;
        let rounds =
            |time: Duration| LEAST_ROUNDS.max((time.as_nanos() / round.as_nanos().max(1)) as usize);
        let long = operation >= LONG;
        let (main, single) = (rounds(wanted), rounds(wanted / 2));
        let count = if long { main } else { single } * self.setup.concurrency;
        let (latencies, none) = (Rc::new(Latencies::wanted(count)), Rc::new(Latencies::ignored()));
        let before = self.usage()?;
        let elapsed = self.time(main, if long { &latencies } else { &none })?;
        let used = self.usage()? - before;
        if !long {
            self.time(single, &latencies)?;
        }
        let operations = (main * self.setup.concurrency) as f64;
        Ok(Sample {
            mean: elapsed.as_nanos() as f64 / operations,
            p50: latencies.percentile(0.5).as_nanos() as f64,
            p99: latencies.percentile(0.99).as_nanos() as f64,
            cpu: used.cpu.as_nanos() as f64 / operations,
            operations,
            faults: used.faults as f64,
            ..Sample::default()
        })
    }

    /// A second in which nothing is sent.
    fn idle(&mut self) -> Result<Sample> {
        // Whoever spins for a while before it sleeps may do so first.
        thread::sleep(Duration::from_millis(100));
        let before = self.usage()?;
        thread::sleep(Duration::from_secs(1));
        let used = self.usage()? - before;
        Ok(Sample {
            cpu: used.cpu.as_nanos() as f64,
            faults: used.faults as f64,
            ..Sample::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_survives_the_pipe() {
        let sample = Sample { mean: 1.5, p99: 7.0, probes: [1.0, 2.0], ..Sample::default() };
        assert_eq!(sample.to_lines().parse(), Ok(sample));
        assert!("mean=1".parse::<Sample>().is_err());
    }
}
