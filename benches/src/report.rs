//! Rows of paired measurements, as a table, a CSV file and a Markdown page.

use std::fmt::{self, Write};

use crate::sides::Peer;

/// A row: one operation, measured in several rounds on both sides.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is measured.
    pub name: String,
    /// What is good enough.
    pub target: Target,
    /// Nanoseconds an operation, natively, by round.
    pub native: Vec<f64>,
    /// Nanoseconds an operation, inside, by round.
    pub inside: Vec<f64>,
}

/// The most that is good enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Of the time inside to the time natively.
    Ratio(f64),
    /// Nanoseconds inside, whatever they are natively.
    Time(f64),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Target::Ratio(ratio) => f.pad(&format!("{ratio:.2}")),
            Target::Time(time) => f.pad(&duration(time)),
        }
    }
}

/// The middle of some figures; NaN of none.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Row {
    /// The median inside over the median natively.
    pub fn ratio(&self) -> f64 {
        median(&self.inside) / median(&self.native)
    }

    /// The highest ratio that meets the target.
    pub fn highest(&self) -> f64 {
        match self.target {
            Target::Ratio(ratio) => ratio,
            Target::Time(time) => time / median(&self.native),
        }
    }

    /// Whether the target is met.
    pub fn passes(&self) -> bool {
        self.ratio() <= self.highest()
    }

    fn verdict(&self) -> &'static str {
        if self.passes() { "pass" } else { "MISS" }
    }
}

/// A duration in the unit that suits it.
pub fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n.is_nan() => "none".into(),
        n if n < 10_000.0 => format!("{n:.0} ns"),
        n if n < 10_000_000.0 => format!("{:.1} us", n / 1e3),
        n => format!("{:.1} ms", n / 1e6),
    }
}

/// The table for a terminal.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<32}{:>12}{:>12}{:>9}{:>9}\n",
        "operation", "native", "inside", "ratio", "target"
    );
    for row in rows {
        let (native, inside) = (duration(median(&row.native)), duration(median(&row.inside)));
        let _ = writeln!(
            text,
            "{:<32}{native:>12}{inside:>12}{:>9.2}{:>9}  {}",
            row.name,
            row.ratio(),
            row.target,
            row.verdict()
        );
    }
    text
}

/// The table for a Markdown page.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| operation | native | inside | ratio | target | |\n|---|---:|---:|---:|---:|---|\n",
    );
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.2} | {} | {} |",
            row.name,
            duration(median(&row.native)),
            duration(median(&row.inside)),
            row.ratio(),
            row.target,
            row.verdict()
        );
    }
    text
}

/// The table of those beside us: their medians of each row, `others` being their figures by row and peer. Nothing when there are none.
pub fn beside(rows: &[Row], peers: &[Peer], others: &[Vec<Vec<f64>>]) -> String {
    if peers.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = peers.iter().map(|peer| peer.name()).collect();
    let mut text = format!("| beside others | inside | {} |\n|---|---:|", names.join(" | "));
    text.push_str(&"---:|".repeat(peers.len()));
    text.push('\n');
    for (row, others) in rows.iter().zip(others) {
        let figures: Vec<String> = others.iter().map(|figures| duration(median(figures))).collect();
        let inside = duration(median(&row.inside));
        let _ = writeln!(text, "| {} | {inside} | {} |", row.name, figures.join(" | "));
    }
    text
}

/// Every single figure, for other tools.
pub fn csv(rows: &[Row]) -> String {
    let mut text = String::from("operation,side,round,nanoseconds\n");
    for row in rows {
        for (side, figures) in [("native", &row.native), ("inside", &row.inside)] {
            for (round, figure) in figures.iter().enumerate() {
                let _ = writeln!(text, "\"{}\",{side},{round},{figure}", row.name);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(native: &[f64], inside: &[f64]) -> Row {
        let target = Target::Ratio(0.5);
        Row { name: "x".into(), target, native: native.to_vec(), inside: inside.to_vec() }
    }

    #[test]
    fn a_target_can_be_a_time() {
        let target = Target::Time(20.0);
        let row = Row { target, ..row(&[14.0], &[15.0]) };
        assert!(row.passes() && markdown(&[row]).contains("| 15 ns | 1.07 | 20 ns | pass |"));
        assert!(!Row { target, ..self::row(&[25.0], &[21.0]) }.passes());
    }

    #[test]
    fn a_ratio_is_of_medians() {
        let row = row(&[100.0, 900.0, 110.0], &[50.0, 10.0, 55.0]);
        assert_eq!(row.ratio(), 50.0 / 110.0);
        assert!(row.passes());
    }

    #[test]
    fn a_row_without_figures_does_not_pass() {
        assert!(!row(&[1.0], &[]).passes());
        assert_eq!(duration(f64::NAN), "none");
    }
}
