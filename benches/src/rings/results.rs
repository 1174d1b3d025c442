//! What was measured, as tables, a CSV file, and a chart.

use std::{error, fmt::Write, path::Path};

use plotters::prelude::*;

use super::{Against, Figures, Target, Task};
use crate::{ipc::probe::Mode, report::median};

/// The samples of one contestant.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Of each round in which it did not fail.
    pub samples: Vec<Sample>,
}

/// What one contestant did in one round.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Which round it was.
    pub round: usize,
    /// The raw round trip at the time, in nanoseconds.
    pub probe: f64,
    /// What was found.
    pub figures: Figures,
}

/// A task and what it has found so far.
pub struct Results {
    /// What was to be done.
    pub task: Task,
    /// In the task's order.
    pub entries: Vec<Entry>,
}

impl Results {
    /// None yet.
    pub fn new(task: Task) -> Self {
        let entries =
            task.contestants.iter().map(|c| Entry { name: c.name, samples: Vec::new() }).collect();
        Results { task, entries }
    }

    /// The machine's mode in most of the samples: only those count.
    pub fn mode(&self) -> Mode {
        let samples = self.entries.iter().flat_map(|entry| &entry.samples);
        let (fast, all) = samples.fold((0, 0), |(fast, all), sample| {
            (fast + usize::from(Mode::of(sample.probe) == Mode::Fast), all + 1)
        });
        if 2 * fast >= all { Mode::Fast } else { Mode::Slow }
    }

    /// The samples of a contestant in the prevailing mode.
    fn samples(&self, name: &str) -> impl Iterator<Item = &Sample> {
        let mode = self.mode();
        let entries = self.entries.iter().filter(move |entry| entry.name == name);
        entries.flat_map(|entry| &entry.samples).filter(move |s| Mode::of(s.probe) == mode)
    }

    fn figure(&self, name: &str, of: impl Fn(&Sample) -> f64) -> f64 {
        median(&self.samples(name).map(of).collect::<Vec<_>>())
    }

    /// The median time of a contestant, in nanoseconds an operation.
    pub fn time(&self, name: &str) -> f64 {
        self.figure(name, |sample| sample.figures.time)
    }

    /// How near a target came. A ratio is the median of the ratios within a round, whose samples were taken one right after the
    /// other: what the machine does to a whole round cancels out.
    pub fn reached(&self, target: &Target) -> Reached {
        let time = |sample: &Sample| sample.figures.time;
        let mut found: Vec<f64> = match target.against {
            Against::Time => self.samples(target.of).map(time).collect(),
            Against::Contestant(other) => self
                .samples(target.of)
                .filter_map(|ours| {
                    let theirs = self.samples(other).find(|theirs| theirs.round == ours.round)?;
                    Some(time(ours) / time(theirs))
                })
                .collect(),
        };
        found.sort_by(f64::total_cmp);
        let quarter = |of: usize| found.get(found.len() * of / 4).copied().unwrap_or(f64::NAN);
        let median = median(&found);
        Reached { median, middle: [quarter(1), quarter(3)], good: median <= target.limit }
    }
}

/// How near a target came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reached {
    /// The median of the rounds.
    pub median: f64,
    /// Between which figures the middle half of the rounds lies.
    pub middle: [f64; 2],
    /// Whether the median is within the limit.
    pub good: bool,
}

fn nanoseconds(figure: f64) -> String {
    match figure {
        n if n.is_nan() => "none".into(),
        n if n < 100.0 => format!("{n:.2} ns"),
        n if n < 10_000.0 => format!("{n:.0} ns"),
        n => format!("{:.1} us", n / 1e3),
    }
}

/// All tasks, as Markdown, which a terminal shows well enough.
pub fn markdown(all: &[Results]) -> String {
    let mut text = String::new();
    for results in all {
        let mode = results.mode().name();
        let _ = writeln!(text, "## {}\n", results.task.name);
        let _ = writeln!(text, "| | time | CPU time | raw round trip ({mode} mode) | samples |");
        let _ = writeln!(text, "|---|---:|---:|---:|---:|");
        for entry in &results.entries {
            let of = |figure: fn(&Sample) -> f64| nanoseconds(results.figure(entry.name, figure));
            let count = results.samples(entry.name).count();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {count} |",
                entry.name,
                of(|s| s.figures.time),
                of(|s| s.figures.cpu),
                of(|s| s.probe),
            );
        }
        text.push('\n');
        if results.task.targets.is_empty() {
            continue;
        }
        text.push_str("| target | limit | reached | middle half | |\n|---|---:|---:|---:|---|\n");
        for target in &results.task.targets {
            let Reached { median, middle: [low, high], good } = results.reached(target);
            let (what, unit) = match target.against {
                Against::Contestant(other) => (format!("{} / {other}", target.of), ""),
                Against::Time => (target.of.to_owned(), " ns"),
            };
            let verdict = if good { "pass" } else { "MISS" };
            let _ = writeln!(
                text,
                "| {what} | {:.2}{unit} | {median:.2}{unit} | {low:.2}–{high:.2} | {verdict} |",
                target.limit
            );
        }
        text.push('\n');
    }
    text
}

/// Every sample.
pub fn csv(all: &[Results]) -> String {
    let mut text = String::from("task,contestant,round,raw_round_trip_ns,time_ns,cpu_ns\n");
    for results in all {
        for entry in &results.entries {
            for Sample { round, probe, figures: Figures { time, cpu } } in &entry.samples {
                let (task, name) = (results.task.name, entry.name);
                let _ = writeln!(text, "\"{task}\",\"{name}\",{round},{probe},{time},{cpu}");
            }
        }
    }
    text
}

/// A bar for each contestant of each task, on a logarithmic axis.
///
/// # Errors
///
/// What the drawing library or the file system says.
pub fn chart(path: &Path, all: &[Results]) -> Result<(), Box<dyn error::Error>> {
    let rows: Vec<_> = all
        .iter()
        .flat_map(|results| {
            results
                .entries
                .iter()
                .map(|e| (format!("{}: {}", results.task.name, e.name), results.time(e.name)))
        })
        .collect();
    let area = SVGBackend::new(path, (960, 80 + 24 * rows.len() as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let count = rows.len() as f64;
    let mut chart = ChartBuilder::on(&area)
        .caption("nanoseconds an operation (log scale)", ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(420)
        .build_cartesian_2d((1.0_f64..1e6).log_scale(), 0.0..count)?;
    chart.configure_mesh().disable_y_mesh().disable_y_axis().draw()?;
    let style = ("sans-serif", 13).into_font().color(&BLACK);
    for (index, (name, time)) in rows.iter().enumerate() {
        let y = count - 1.0 - index as f64;
        let ours = name.contains(": evering");
        let colour = if ours { RGBColor(46, 125, 90) } else { RGBColor(150, 155, 165) };
        if !time.is_nan() {
            chart.draw_series([Rectangle::new(
                [(1.0, y + 0.2), (*time, y + 0.8)],
                colour.filled(),
            )])?;
            let label = (time * 1.06, y + 0.75);
            chart.draw_series([Text::new(nanoseconds(*time), label, style.clone())])?;
        }
        let (left, middle) = chart.backend_coord(&(1.0, y + 0.75));
        area.draw_text(name, &style, (left - 412, middle))?;
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &'static str, samples: &[(f64, f64)]) -> Entry {
        let samples = samples.iter().enumerate().map(|(round, &(probe, time))| Sample {
            round,
            probe,
            figures: Figures { time, cpu: time },
        });
        Entry { name, samples: samples.collect() }
    }

    fn results(entries: Vec<Entry>) -> Results {
        let target = Target { of: "a", limit: 0.5, against: Against::Contestant("b") };
        let task = Task { name: "t", contestants: Vec::new(), targets: vec![target] };
        Results { task, entries }
    }

    #[test]
    fn only_samples_of_the_prevailing_mode_count() {
        let results = results(vec![
            entry("a", &[(120.0, 5.0), (130.0, 7.0), (500.0, 100.0)]),
            entry("b", &[(120.0, 20.0), (510.0, 1.0)]),
        ]);
        assert_eq!((results.mode(), results.time("a"), results.time("b")), (Mode::Fast, 7.0, 20.0));
        // The first round is the only one in which both count.
        let reached = results.reached(&results.task.targets[0]);
        assert_eq!(reached, Reached { median: 0.25, middle: [0.25; 2], good: true });
    }

    #[test]
    fn ratios_are_of_samples_of_the_same_round() {
        // The machine is three times as slow from the third round on.
        let results = results(vec![
            entry("a", &[(120.0, 6.0), (120.0, 4.0), (120.0, 18.0), (120.0, 12.0)]),
            entry("b", &[(120.0, 10.0), (120.0, 10.0), (120.0, 30.0), (120.0, 30.0)]),
        ]);
        let reached = results.reached(&results.task.targets[0]);
        assert_eq!(reached, Reached { median: 0.6, middle: [0.4, 0.6], good: false });
    }
}
