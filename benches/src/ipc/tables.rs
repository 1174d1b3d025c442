//! The results as text: Markdown tables, aligned so that they can be read in a terminal as well.

use std::fmt::Write;

use super::{
    contestants,
    results::{Cell, Results},
    setup::{SIZES, human},
    targets,
};
use crate::report::duration;

/// The sizes of which more than the mean is shown.
const DETAILED: [usize; 5] = [4, 4 << 10, 64 << 10, 1 << 20, 4 << 20];

/// A Markdown table. The first column is text, the others figures.
fn grid(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        })
        .map(|width| width.unwrap_or(0).max(2))
        .collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (column, width) in widths.iter().enumerate() {
            let cell = row.get(column).map_or("", String::as_str);
            let _ = match column {
                0 => write!(text, "| {cell:<width$} "),
                _ => write!(text, "| {cell:>width$} "),
            };
        }
        text.push_str("|\n");
        if index == 0 {
            for (column, width) in widths.iter().enumerate() {
                let dashes = "-".repeat(width + 1);
                let _ = match column {
                    0 => write!(text, "|{dashes}-"),
                    _ => write!(text, "|{dashes}:"),
                };
            }
            text.push_str("|\n");
        }
    }
    text
}

/// Everything worth reading, as the sections of a page.
pub fn page(results: &Results) -> String {
    let mut text = String::new();
    for group in results.groups() {
        let (one_cpu, concurrency) = group;
        let cpus = if one_cpu { "all on one CPU" } else { "a CPU each" };
        let tasks = if concurrency == 1 { "task" } else { "tasks" };
        let _ = writeln!(text, "## Time an operation: {concurrency} {tasks}, {cpus}\n");
        text.push_str(&means(results, group));
        let _ = writeln!(text, "\n### More of some sizes: {concurrency} {tasks}, {cpus}\n");
        text.push_str(&details(results, group));
        text.push('\n');
    }
    let _ = writeln!(text, "## Idle: CPU used in a second in which nothing is sent\n");
    text.push_str(&idle(results));
    let _ = writeln!(text, "\n## Targets\n");
    text.push_str(&verdicts(results));
    let mut failures = results.failures().peekable();
    if failures.peek().is_some() {
        let _ = writeln!(text, "\n## Failures\n");
        for (cell, contestant, failure) in failures {
            let _ = writeln!(text, "- {contestant}, {cell}: {failure}");
        }
    }
    let _ = writeln!(text, "\n## Contestants\n");
    text.push_str(&versions(results));
    text
}

fn means(results: &Results, group: (bool, usize)) -> String {
    let cells: Vec<Cell> = results
        .sizes(group)
        .into_iter()
        .map(|size| Cell { one_cpu: group.0, concurrency: group.1, size })
        .collect();
    let mut rows = vec![vec![String::new()]];
    rows[0].extend(cells.iter().map(|cell| human(cell.size)));
    for contestant in results.contestants() {
        let mut row = vec![contestant.to_string()];
        row.extend(cells.iter().map(|cell| match results.medians(*cell, contestant) {
            Some((sample, true)) => duration(sample.mean),
            // No sample in the mode of the others.
            Some((sample, false)) => format!("{} *", duration(sample.mean)),
            None => "failed".into(),
        }));
        rows.push(row);
    }
    if !group.0 {
        let mut row = vec!["raw round trip of a line".to_string()];
        row.extend(cells.iter().map(|cell| {
            let probes = results
                .contestants()
                .into_iter()
                .filter_map(|contestant| results.medians(*cell, contestant))
                .filter(|(_, in_mode)| *in_mode)
                .map(|(sample, _)| sample.probe());
            duration(crate::report::median(&probes.collect::<Vec<_>>()))
        }));
        rows.push(row);
    }
    grid(&rows)
}

fn details(results: &Results, group: (bool, usize)) -> String {
    let titles = [
        "size",
        "contestant",
        "mean",
        "p50",
        "p99",
        "CPU, both",
        "cold",
        "faults",
        "samples",
        "raw",
    ];
    let mut rows = vec![titles.map(String::from).to_vec()];
    for size in results.sizes(group).into_iter().filter(|size| DETAILED.contains(size)) {
        let cell = Cell { one_cpu: group.0, concurrency: group.1, size };
        for contestant in results.contestants() {
            let Some((sample, _)) = results.medians(cell, contestant) else { continue };
            let count = results.entry(cell, contestant).map_or(0, |entry| entry.samples.len());
            let raw = if group.0 { "-".into() } else { duration(sample.probe()) };
            rows.push(vec![
                human(size),
                contestant.into(),
                duration(sample.mean),
                duration(sample.p50),
                duration(sample.p99),
                duration(sample.cpu),
                duration(sample.cold),
                format!("{:.0}", sample.faults),
                count.to_string(),
                raw,
            ]);
        }
    }
    grid(&rows)
}

fn idle(results: &Results) -> String {
    let mut rows = vec![vec!["contestant".to_string(), "CPU time".to_string()]];
    for contestant in results.contestants() {
        rows.push(vec![
            contestant.to_string(),
            results.idle(contestant).map_or("failed".into(), duration),
        ]);
    }
    grid(&rows)
}

fn verdicts(results: &Results) -> String {
    let titles = ["of evering (processes)", "against", "ratio", "target", ""];
    let mut rows = vec![titles.map(String::from).to_vec()];
    for verdict in targets::verdicts(results) {
        rows.push(vec![
            verdict.what.clone(),
            verdict.rival.clone(),
            verdict.ratio.map_or("-".into(), |ratio| format!("{ratio:.4}")),
            format!("{}", verdict.limit),
            verdict.word().into(),
        ]);
    }
    grid(&rows)
}

fn versions(results: &Results) -> String {
    let mut text = String::new();
    for contestant in contestants::ALL {
        if results.contestants().contains(&contestant.name()) {
            let (name, version, how) = (contestant.name(), contestant.version(), contestant.how());
            let _ = writeln!(text, "- {name} ({version}): {how}.");
        }
    }
    text
}

/// The slices of the sizes that the charts show, by the name of the chart.
pub const SLICES: [(&str, std::ops::Range<usize>); 4] = [
    ("all", 0..SIZES.len()),
    ("first-5", 0..5),
    ("middle-5", 4..9),
    ("last-5", SIZES.len() - 5..SIZES.len()),
];

#[cfg(test)]
mod tests {
    use super::{super::sample::Sample, *};

    #[test]
    fn a_grid_is_markdown_and_aligned() {
        let rows = [vec!["a".to_string(), "figure".into()], vec!["long name".into(), "1".into()]];
        let lines = grid(&rows);
        let expected = "| a         | figure |\n|-----------|-------:|\n| long name |      1 |\n";
        assert_eq!(lines, expected);
    }

    #[test]
    fn failures_are_in_the_page() {
        let cell = Cell { one_cpu: false, concurrency: 1, size: 4 };
        let mut results = Results::default();
        results.add(cell, "shmipc", Ok(Sample { mean: 5.0, ..Sample::default() }));
        results.add(cell, "shmipc", Err("it hangs".into()));
        assert!(page(&results).contains("- shmipc, 4 B x 1: it hangs"));
    }
}
