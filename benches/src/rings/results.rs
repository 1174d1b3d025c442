//! What was measured, as tables, a CSV file, and a chart.

use std::{error, fmt::Write, path::Path};

use plotters::prelude::*;

use super::{Against, Figures, Target, Task};
use crate::{ipc::probe::Mode, report::median};

/// The samples of one contestant.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Each with the raw round trip beside it, in nanoseconds.
    pub samples: Vec<(f64, Figures)>,
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
        let (fast, all) = samples.fold((0, 0), |(fast, all), (probe, _)| {
            (fast + usize::from(Mode::of(*probe) == Mode::Fast), all + 1)
        });
        if 2 * fast >= all { Mode::Fast } else { Mode::Slow }
    }

    fn figure(&self, name: &str, of: impl Fn(&(f64, Figures)) -> f64) -> f64 {
        let mode = self.mode();
        let entry = self.entries.iter().find(|entry| entry.name == name);
        let samples = entry.into_iter().flat_map(|entry| &entry.samples);
        let figures: Vec<f64> =
            samples.filter(|(probe, _)| Mode::of(*probe) == mode).map(of).collect();
        median(&figures)
    }

    /// The median time of a contestant, in nanoseconds an operation.
    pub fn time(&self, name: &str) -> f64 {
        self.figure(name, |(_, figures)| figures.time)
    }

    /// How near a target came, and whether that is near enough.
    pub fn reached(&self, target: &Target) -> (f64, bool) {
        let time = self.time(target.of);
        let found = match target.against {
            Against::Contestant(other) => time / self.time(other),
            Against::Time => time,
        };
        (found, found <= target.limit)
    }
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
            let of = |figure: fn(&(f64, Figures)) -> f64| {
                nanoseconds(results.figure(entry.name, figure))
            };
            let count = entry.samples.iter().filter(|s| Mode::of(s.0) == results.mode()).count();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {count} |",
                entry.name,
                of(|s| s.1.time),
                of(|s| s.1.cpu),
                of(|s| s.0),
            );
        }
        let _ = writeln!(text, "\n| target | limit | reached | |\n|---|---:|---:|---|");
        for target in &results.task.targets {
            let (found, good) = results.reached(target);
            let (what, unit) = match target.against {
                Against::Contestant(other) => (format!("{} / {other}", target.of), ""),
                Against::Time => (target.of.to_owned(), " ns"),
            };
            let verdict = if good { "pass" } else { "MISS" };
            let _ = writeln!(
                text,
                "| {what} | {:.2}{unit} | {found:.2}{unit} | {verdict} |",
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
            for (round, (probe, figures)) in entry.samples.iter().enumerate() {
                let Figures { time, cpu } = figures;
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

    #[test]
    fn only_samples_of_the_prevailing_mode_count() {
        let task = Task {
            name: "t",
            contestants: Vec::new(),
            targets: vec![Target { of: "a", limit: 0.5, against: Against::Contestant("b") }],
        };
        let entry = |name, samples: &[(f64, f64)]| Entry {
            name,
            samples: samples.iter().map(|&(p, time)| (p, Figures { time, cpu: time })).collect(),
        };
        let entries = vec![
            entry("a", &[(120.0, 5.0), (130.0, 7.0), (500.0, 100.0)]),
            entry("b", &[(120.0, 20.0), (510.0, 1.0)]),
        ];
        let results = Results { task, entries };
        assert_eq!((results.mode(), results.time("a"), results.time("b")), (Mode::Fast, 7.0, 20.0));
        assert_eq!(results.reached(&results.task.targets[0]), (0.35, true));
    }
}
