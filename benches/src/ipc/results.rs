//! What was measured: samples by cell and contestant, and the medians of them.

use std::{collections::BTreeMap, fmt};

use super::{
    contestants,
    probe::Mode,
    sample::Sample,
    setup::{SIZES, human},
};
use crate::report::median;

/// What is compared with one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Whether client and server share a CPU.
    pub one_cpu: bool,
    /// Tasks at a time.
    pub concurrency: usize,
    /// Bytes of a body.
    pub size: usize,
}

impl Cell {
    /// Bytes of bodies under way.
    pub fn under_way(&self) -> usize {
        self.size * self.concurrency
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpus = if self.one_cpu { ", one CPU" } else { "" };
        write!(f, "{} x {}{cpus}", human(self.size), self.concurrency)
    }
}

/// A contestant's samples in a cell, and why there are no more.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The samples, by round.
    pub samples: Vec<Sample>,
    /// What went wrong.
    pub failure: Option<String>,
}

/// All that was measured.
#[derive(Clone, Debug, Default)]
pub struct Results {
    entries: BTreeMap<(Cell, &'static str), Entry>,
    idle: BTreeMap<&'static str, Entry>,
}

impl Results {
    /// The cells of which there is something, those of a group together.
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells: Vec<Cell> = self.entries.keys().map(|(cell, _)| *cell).collect();
        cells.dedup();
        cells
    }

    /// The contestants of which there is something, in the order of tables.
    pub fn contestants(&self) -> Vec<&'static str> {
        let names = contestants::ALL.iter().map(|contestant| contestant.name());
        let known = |name: &&'static str| {
            self.idle.contains_key(name) || self.entries.keys().any(|(_, other)| other == name)
        };
        names.filter(known).collect()
    }

    /// The groups of cells that differ in size only.
    pub fn groups(&self) -> Vec<(bool, usize)> {
        let mut groups: Vec<_> =
            self.cells().iter().map(|cell| (cell.one_cpu, cell.concurrency)).collect();
        groups.dedup();
        groups
    }

    /// The sizes of a group.
    pub fn sizes(&self, (one_cpu, concurrency): (bool, usize)) -> Vec<usize> {
        let of_group = |cell: &&Cell| (cell.one_cpu, cell.concurrency) == (one_cpu, concurrency);
        self.cells().iter().filter(of_group).map(|cell| cell.size).collect()
    }

    /// Adds a round's sample.
    pub fn add(&mut self, cell: Cell, contestant: &'static str, sample: Result<Sample, String>) {
        let entry = self.entries.entry((cell, contestant)).or_default();
        match sample {
            Ok(sample) => entry.samples.push(sample),
            Err(failure) => entry.failure = Some(failure),
        }
    }

    /// Adds what a second of idleness cost.
    pub fn add_idle(&mut self, contestant: &'static str, sample: Result<Sample, String>) {
        let entry = self.idle.entry(contestant).or_default();
        match sample {
            Ok(sample) => entry.samples.push(sample),
            Err(failure) => entry.failure = Some(failure),
        }
    }

    /// CPU nanoseconds in a second of idleness.
    pub fn idle(&self, contestant: &str) -> Option<f64> {
        self.idle.get(contestant)?.samples.first().map(|sample| sample.cpu)
    }

    /// The samples of a cell.
    pub fn entry(&self, cell: Cell, contestant: &str) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|((at, name), _)| *at == cell && *name == contestant)
            .map(|(_, entry)| entry)
    }

    /// Why a contestant has no figures in a cell, or not all.
    pub fn failure(&self, cell: Cell, contestant: &str) -> Option<&str> {
        self.entry(cell, contestant)?.failure.as_deref()
    }

    /// All failures.
    pub fn failures(&self) -> impl Iterator<Item = (Cell, &'static str, &str)> {
        self.entries.iter().filter_map(|((cell, contestant), entry)| {
            Some((*cell, *contestant, entry.failure.as_deref()?))
        })
    }

    /// The mode that most samples of a cell were taken in; none with one CPU, where no line travels.
    pub fn mode(&self, cell: Cell) -> Option<Mode> {
        if cell.one_cpu {
            return None;
        }
        let samples = || {
            self.contestants()
                .into_iter()
                .filter_map(|contestant| self.entry(cell, contestant))
                .flat_map(|entry| &entry.samples)
        };
        let slow = samples().filter(|sample| Mode::of(sample.probe()) == Mode::Slow).count();
        Some(if slow * 2 > samples().count() { Mode::Slow } else { Mode::Fast })
    }

    /// The medians of a contestant's samples in the cell's mode. If it has none in that mode, those of
    /// the others, and `false`.
    pub fn medians(&self, cell: Cell, contestant: &str) -> Option<(Sample, bool)> {
        let entry = self.entry(cell, contestant)?;
        let mode = self.mode(cell);
        let in_mode: Vec<_> = entry
            .samples
            .iter()
            .filter(|sample| mode.is_none_or(|mode| Mode::of(sample.probe()) == mode))
            .copied()
            .collect();
        if in_mode.is_empty() {
            Some((medians(&entry.samples)?, false))
        } else {
            Some((medians(&in_mode)?, true))
        }
    }

    /// A contestant's median time per operation.
    pub fn mean(&self, cell: Cell, contestant: &str) -> Option<f64> {
        self.medians(cell, contestant).map(|(sample, _)| sample.mean)
    }

    /// Whether every size was measured.
    pub fn has_all_sizes(&self, group: (bool, usize)) -> bool {
        self.sizes(group) == SIZES
    }
}

fn medians(samples: &[Sample]) -> Option<Sample> {
    let of = |field: fn(&Sample) -> f64| median(&samples.iter().map(field).collect::<Vec<_>>());
    (!samples.is_empty()).then(|| Sample {
        mean: of(|sample| sample.mean),
        p50: of(|sample| sample.p50),
        p99: of(|sample| sample.p99),
        cpu: of(|sample| sample.cpu),
        cold: of(|sample| sample.cold),
        operations: of(|sample| sample.operations),
        faults: of(|sample| sample.faults),
        probes: [of(|sample| sample.probes[0]), of(|sample| sample.probes[1])],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELL: Cell = Cell { one_cpu: false, concurrency: 1, size: 4 };

    fn sample(mean: f64, probe: f64) -> Result<Sample, String> {
        Ok(Sample { mean, probes: [probe; 2], ..Sample::default() })
    }

    #[test]
    fn medians_are_of_one_mode() {
        let mut results = Results::default();
        for (mean, probe) in [(1.0, 110.0), (2.0, 120.0), (900.0, 500.0), (3.0, 130.0)] {
            results.add(CELL, "shmipc", sample(mean, probe));
        }
        results.add(CELL, "iceoryx2", sample(70.0, 600.0));
        assert_eq!(results.mode(CELL), Some(Mode::Fast));
        assert_eq!(results.mean(CELL, "shmipc"), Some(2.0));
        let (b, in_mode) = results.medians(CELL, "iceoryx2").expect("it has a sample");
        assert_eq!((b.mean, in_mode), (70.0, false));
        assert_eq!(results.mean(CELL, "pipe pair"), None);
    }

    #[test]
    fn failures_are_kept() {
        let mut results = Results::default();
        results.add(CELL, "shmipc", Err("it panicked".into()));
        assert_eq!(results.failure(CELL, "shmipc"), Some("it panicked"));
        assert_eq!(results.failures().count(), 1);
        assert_eq!(results.mean(CELL, "shmipc"), None);
    }
}
