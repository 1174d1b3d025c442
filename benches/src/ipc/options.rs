//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::{
    sample,
    setup::{SIZES, Setup, parse_size},
};

/// Measures request and response between two processes, by every means.
#[derive(Parser, Clone, Debug)]
#[command(name = "ipc", args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    /// What a process of a sample does; none is the harness.
    pub role: Option<Role>,
    /// Only contestants whose names contain one of these.
    pub contestants: Vec<String>,
    /// The same, as an option.
    #[arg(long = "contestant", value_name = "NAME")]
    pub more: Vec<String>,
    /// Sizes of bodies, comma-separated, as in `4,4K,1M`.
    #[arg(long, value_delimiter = ',', value_parser = parse_size)]
    pub sizes: Vec<usize>,
    /// Rounds in which every contestant has its turn.
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Numbers of tasks at a time, comma-separated.
    #[arg(long, value_delimiter = ',')]
    pub concurrency: Vec<usize>,
    /// Only with everything on one CPU.
    #[arg(long)]
    pub one_cpu: bool,
    /// Only with client and server on a CPU each.
    #[arg(long, conflicts_with = "one_cpu")]
    pub two_cpus: bool,
    /// A minute's worth: three sizes, one round of short samples.
    #[arg(long)]
    pub quick: bool,
    /// Adds what an earlier run measured, from its CSV file: a run in slices.
    #[arg(long, value_name = "FILE")]
    pub load: Vec<PathBuf>,
    /// Measures nothing: only shows what was loaded.
    #[arg(long, requires = "load")]
    pub show: bool,
    /// Updates the page under docs, or the flamegraphs beside it.
    #[arg(long)]
    pub save: bool,
    /// Records the chosen contestants with perf instead of comparing them.
    #[arg(long)]
    pub flamegraph: bool,
    /// Cargo's own.
    #[arg(long, hide = true)]
    pub bench: bool,
}

/// What a process of a sample does.
#[derive(Subcommand, Clone, Debug)]
pub enum Role {
    /// The client: takes one sample.
    #[command(name = sample::COMMAND, hide = true)]
    Sample {
        /// The contestant.
        contestant: String,
        /// What the sample is about.
        #[command(flatten)]
        setup: Setup,
        /// How it is taken.
        #[command(flatten)]
        how: sample::How,
    },
    /// The server.
    #[command(name = super::server::COMMAND, hide = true)]
    Serve {
        /// The contestant.
        contestant: String,
        /// What the sample is about.
        #[command(flatten)]
        setup: Setup,
    },
}

/// The sizes of a quick run, and of a run on one CPU.
const FEW_SIZES: [usize; 3] = [4, 4 << 10, 64 << 10];

impl Options {
    /// Whether the contestant of that name is wanted.
    pub fn wants(&self, name: &str) -> bool {
        let mut filters = self.contestants.iter().chain(&self.more).peekable();
        filters.peek().is_none() || filters.any(|filter| name.contains(filter.as_str()))
    }

    /// The sizes to measure.
    pub fn sizes(&self, one_cpu: bool) -> Vec<usize> {
        if !self.sizes.is_empty() {
            self.sizes.clone()
        } else if self.quick || one_cpu && !self.one_cpu {
            FEW_SIZES.into()
        } else {
            SIZES.into()
        }
    }

    /// The numbers of tasks to measure.
    pub fn concurrency(&self) -> Vec<usize> {
        if self.concurrency.is_empty() { vec![1, 200] } else { self.concurrency.clone() }
    }

    /// How many rounds there are of samples of that many bytes under way.
    pub fn rounds(&self, under_way: usize) -> usize {
        match self.rounds {
            Some(rounds) => rounds,
            None if self.quick => 1,
            // Twenty rounds on each of 200 tasks take the socket contestants some seconds there.
            None if under_way >= 100 << 20 => 3,
            None => 5,
        }
    }

    /// How long a sample measures, in milliseconds.
    pub fn milliseconds(&self) -> u64 {
        if self.quick { 40 } else { 100 }
    }
}
