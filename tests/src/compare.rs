//! A command natively and inside, and a report that says what differs.

use std::{
    ffi::OsString,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Result,
    run::{Guest, Outcome},
    scratch::{Scratch, Tree},
};

/// What must agree between the two runs.
#[derive(Clone, Debug, Default)]
pub enum Stdout {
    /// The same bytes.
    #[default]
    Same,
    /// Both match this pattern: for outputs that carry figures of the run itself.
    Shape(String),
    /// The same lines, in any order.
    SameSet,
}

/// A comparison.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// What runs.
    pub guest: Guest,
    /// How standard outputs compare.
    pub stdout: Stdout,
    /// Whether standard error must be the same, too.
    pub stderr: bool,
    /// Whether the guest may write to its directory: it is bound into the kernel, and what both runs leave there compared.
    pub bind: bool,
    /// How often to look again: for commands that show a state of the host that other processes change meanwhile.
    pub retries: u32,
    /// Where the run inside writes the trace of its calls; without one, only a difference makes a traced run, a repeated one.
    pub trace: Option<PathBuf>,
}

impl Comparison {
    /// Runs inside, then natively, in `scratch`, and says what differs.
    pub fn check(&self, scratch: &Scratch) -> Result<()> {
        let mut result = self.check_once(scratch);
        for _ in 0..self.retries {
            if result.is_ok() {
                break;
            }
            scratch.reset()?;
            result = self.check_once(scratch);
        }
        result
    }

    fn check_once(&self, scratch: &Scratch) -> Result<()> {
        let mut guest = self.guest.clone();
        if self.bind {
            let path = scratch.path().display();
            guest.options.push(OsString::from("--bind"));
            guest.options.push(OsString::from(format!("{path}:{path}")));
        }
        let fixture = scratch.tree()?;
        let options: Vec<_> = self.trace.iter().map(|log| trace_option(log)).collect();
        let inside = guest.inside_with(scratch.path(), &options)?;
        let inside_tree = scratch.tree()?;
        if !self.bind && inside_tree != fixture {
            let report = trees(&fixture, &inside_tree);
            return Err(format!("the run inside changed the host's files:\n{report}"));
        }
        scratch.reset()?;
        let native = guest.native(scratch.path())?;
        let native_tree = scratch.tree()?;

        let mut report = String::new();
        if native.status != inside.status {
            let show = |status: Option<i32>| status.map_or("timed out".into(), |n| n.to_string());
            let (native, inside) = (show(native.status), show(inside.status));
            let _ = writeln!(report, "exit status: native {native}, inside {inside}");
        }
        self.compare_stdout(&native, &inside, &mut report)?;
        if self.stderr && native.stderr != inside.stderr {
            let _ = writeln!(report, "stderr differs (- native, + inside):");
            report += &diff(&native.stderr, &inside.stderr);
        }
        if self.bind && native_tree != inside_tree {
            report += &trees(&native_tree, &inside_tree);
        }
        if report.is_empty() {
            return Ok(());
        }
        if !self.stderr && !inside.stderr.is_empty() {
            let _ = writeln!(report, "stderr inside:\n{}", tail(&inside.stderr, 20));
        }
        match &self.trace {
            Some(log) => {
                let calls = fs::read(log).unwrap_or_default();
                let _ = writeln!(report, "the last calls inside:\n{}", tail(&calls, 40));
            }
            None => {
                scratch.reset()?;
                report += &strace_tail(&guest, scratch);
            }
        }
        Err(format!("{}\n{report}", command_line(&guest)))
    }

    fn compare_stdout(
        &self,
        native: &Outcome,
        inside: &Outcome,
        report: &mut String,
    ) -> Result<()> {
        match &self.stdout {
            Stdout::Same if native.stdout != inside.stdout => {
                let _ = writeln!(report, "stdout differs (- native, + inside):");
                *report += &diff(&native.stdout, &inside.stdout);
            }
            Stdout::SameSet if sorted(&native.stdout) != sorted(&inside.stdout) => {
                let _ = writeln!(report, "stdout, sorted, differs (- native, + inside):");
                *report += &diff(&sorted(&native.stdout), &sorted(&inside.stdout));
            }
            Stdout::Same | Stdout::SameSet => {}
            Stdout::Shape(pattern) => {
                let shape = regex::Regex::new(pattern).map_err(|error| error.to_string())?;
                for (who, run) in [("native", native), ("inside", inside)] {
                    let text = String::from_utf8_lossy(&run.stdout);
                    if !shape.is_match(&text) {
                        let _ = writeln!(report, "stdout {who} does not match {pattern}:\n{text}");
                    }
                }
            }
        }
        Ok(())
    }
}

/// The command as one would type it.
pub fn command_line(guest: &Guest) -> String {
    let words = guest.options.iter().chain(&guest.argv);
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    format!("libos {}", words.join(" "))
}

/// The option that has `libos` write its trace to `log`.
pub fn trace_option(log: &Path) -> OsString {
    let mut option = OsString::from("--strace=");
    option.push(log);
    option
}

/// The last lines of `--strace` of a repeated run.
pub fn strace_tail(guest: &Guest, scratch: &Scratch) -> String {
    let Ok(log) = tempfile::NamedTempFile::new() else { return String::new() };
    let mut guest = guest.clone();
    guest.timeout = Some(guest.timeout.unwrap_or_default().min(Duration::from_secs(20)));
    if guest.timeout == Some(Duration::ZERO) {
        guest.timeout = Some(Duration::from_secs(20));
    }
    match guest.inside_with(scratch.path(), &[trace_option(log.path())]) {
        Ok(again) => {
            let calls = fs::read(log.path()).unwrap_or_default();
            let status = again.status.map_or("timed out".into(), |n| n.to_string());
            format!("repeated with --strace (status {status}), its tail:\n{}", tail(&calls, 40))
        }
        Err(error) => format!("no strace: {error}\n"),
    }
}

fn sorted(bytes: &[u8]) -> Vec<u8> {
    let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines.join(&b'\n')
}

/// The last `count` lines of a text.
pub fn tail(bytes: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<_> = text.lines().collect();
    let first = lines.len().saturating_sub(count);
    lines[first..].iter().fold(String::new(), |text, line| text + "    " + line + "\n")
}

fn trees(native: &Tree, inside: &Tree) -> String {
    let list = |tree: &Tree| -> String {
        tree.iter().map(|(path, what)| format!("{} {what}\n", path.display())).collect()
    };
    let mut report = String::from("files left differ (- native, + inside):\n");
    report += &diff(list(native).as_bytes(), list(inside).as_bytes());
    report
}

/// The differing lines of two texts with a line of context before each group, at most 60 lines.
///
/// Lines are matched greedily within a window, which is enough for outputs that mostly agree.
pub fn diff(native: &[u8], inside: &[u8]) -> String {
    const WINDOW: usize = 50;
    let split = |bytes: &[u8]| -> Vec<String> {
        String::from_utf8_lossy(bytes).split_inclusive('\n').map(shorten).collect()
    };
    let (native, inside) = (split(native), split(inside));
    let (mut i, mut j) = (0, 0);
    let mut report = Vec::new();
    let mut last_same: Option<&String> = None;
    while i < native.len() || j < inside.len() {
        match (native.get(i), inside.get(j)) {
            (Some(left), Some(right)) if left == right => {
                last_same = Some(left);
                (i, j) = (i + 1, j + 1);
                continue;
            }
            _ => {}
        }
        if let Some(line) = last_same.take() {
            report.push(format!("      {line}"));
        }
        // The nearest place where both agree again.
        let ahead = (0..=2 * WINDOW).find_map(|sum| {
            (0..=sum.min(WINDOW)).map(|di| (di, sum - di)).find(|(di, dj)| {
                matches!((native.get(i + di), inside.get(j + dj)), (Some(l), Some(r)) if l == r)
            })
        });
        let (di, dj) = ahead.unwrap_or((native.len() - i, inside.len() - j));
        report.extend(native[i..i + di].iter().map(|line| format!("    - {line}")));
        report.extend(inside[j..j + dj].iter().map(|line| format!("    + {line}")));
        (i, j) = (i + di, j + dj);
    }
    let total = report.len();
    report.truncate(60);
    if total > 60 {
        report.push(format!("    ... {} more lines\n", total - 60));
    }
    report.into_iter().map(|line| line.trim_end_matches('\n').to_string() + "\n").collect()
}

fn shorten(line: &str) -> String {
    match line.char_indices().nth(200) {
        Some((cut, _)) => format!("{}...\n", &line[..cut]),
        None => line.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_no_diff() {
        assert_eq!(diff(b"a\nb\n", b"a\nb\n"), "");
    }

    #[test]
    fn a_diff_shows_what_each_side_has_alone() {
        let report = diff(b"a\nb\nc\nd\n", b"a\nx\nc\nd\ne\n");
        assert_eq!(report, "      a\n    - b\n    + x\n      d\n    + e\n");
    }
}
