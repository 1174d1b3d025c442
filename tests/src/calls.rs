//! Which system calls the programs of `guests/sys` make, and with which results: read from `--strace` logs of their runs inside.
//!
//! The one idea: **never again in silence.** docs/SYSCALLS.md says which calls the kernel has, `guests/sys/calls.tsv` which results the
//! programs provoke from each, and a log shows what really came. A call of the page without a line, and a result of a line that never came, is
//! a failure; so nobody can add a call, or say that it is there, without a comparison with the host.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
};

use crate::{Result, paths};

/// The result that is no error, as the table and [`Seen`] call it.
pub const SUCCESS: &str = "ok";

/// How many of the calls that the page calls absent must be tried at least.
const ABSENT_TRIED: usize = 12;

/// The first number of this kernel's own calls.
const OWN: u32 = 1024;

/// What was seen of all calls: name → result (an error's name or [`SUCCESS`]) → how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<String, BTreeMap<String, usize>>);

impl Seen {
    /// Counts the calls of a log of `--strace`. A line that is no call's is passed over.
    pub fn add_log(&mut self, log: &str) {
        for (call, result) in log.lines().filter_map(call_and_result) {
            *self.0.entry(call.into()).or_default().entry(result.into()).or_default() += 1;
        }
    }

    /// Adds what another log showed.
    pub fn add(&mut self, other: &Seen) {
        for (call, results) in &other.0 {
            for (result, count) in results {
                *self.0.entry(call.clone()).or_default().entry(result.clone()).or_default() +=
                    count;
            }
        }
    }

    fn results(&self, call: &str) -> BTreeSet<&str> {
        self.0.get(call).into_iter().flatten().map(|(result, _)| result.as_str()).collect()
    }
}

/// `[3] open("f", 0) = -1 ENOENT` is `("open", "ENOENT")`.
fn call_and_result(line: &str) -> Option<(&str, &str)> {
    let (call, _) = line.strip_prefix('[')?.split_once("] ")?.1.split_once('(')?;
    let (_, result) = line.rsplit_once(") = ")?;
    Some(match result.strip_prefix("-1 ").or(result.strip_prefix("? ")) {
        Some(error) => (call, error),
        None => (call, SUCCESS),
    })
}

/// A call of docs/SYSCALLS.md, and whether the kernel has it at all.
fn page() -> Result<Vec<(String, bool)>> {
    let path = paths::workspace().join("docs/SYSCALLS.md");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path:?}: {error}"))?;
    let calls: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let (number, name, status) = (cells.next()?, cells.next()?, cells.next()?);
            // This kernel's own have no counterpart on the host.
            number.parse().ok().filter(|number: &u32| *number < OWN)?;
            Some((name.to_owned(), status != "absent"))
        })
        .collect();
    if calls.is_empty() { Err(format!("{path:?} has no table")) } else { Ok(calls) }
}

/// A line of `guests/sys/calls.tsv`.
struct Wanted {
    results: BTreeSet<String>,
    remark: String,
}

fn wanted() -> Result<BTreeMap<String, Wanted>> {
    let path = paths::sources().join("guests/sys/calls.tsv");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path:?}: {error}"))?;
    let mut calls = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut cells = line.splitn(3, '\t');
        let name = cells.next().unwrap_or_default().to_owned();
        let results = cells.next().unwrap_or_default();
        let remark = cells.next().unwrap_or_default().trim().to_owned();
        let results = results.split_whitespace().map(str::to_owned).collect();
        if calls.insert(name, Wanted { results, remark }).is_some() {
            return Err(format!("{path:?}: twice: {line}"));
        }
    }
    Ok(calls)
}

/// Compares what was seen with what the page and the table say; the error lists every call that is not as it should be.
pub fn check(seen: &Seen) -> Result<()> {
    report(&page()?, &wanted()?, seen)
}

fn report(page: &[(String, bool)], wanted: &BTreeMap<String, Wanted>, seen: &Seen) -> Result<()> {
    let mut problems = String::new();
    let mut absent_tried = 0;
    for (call, present) in page {
        let results = seen.results(call);
        let problem = match (present, wanted.get(call)) {
            (false, None) => {
                absent_tried += usize::from(!results.is_empty());
                let others: Vec<_> =
                    results.into_iter().filter(|result| *result != "ENOSYS").collect();
                (!others.is_empty()).then(|| format!("is absent, but ended with {others:?}"))
            }
            (false, Some(_)) => Some("is absent, but calls.tsv has a line for it".into()),
            (true, None) => Some("has no line in calls.tsv".into()),
            (true, Some(_)) if results.is_empty() => Some("was never made".into()),
            (true, Some(wanted)) => wanted.problem(&results),
        };
        if let Some(problem) = problem {
            let _ = writeln!(problems, "{call}: {problem}");
        }
    }
    for call in wanted.keys().filter(|call| !page.iter().any(|(name, _)| name == *call)) {
        let _ = writeln!(problems, "{call}: calls.tsv has it, docs/SYSCALLS.md has not");
    }
    if absent_tried < ABSENT_TRIED {
        let _ = writeln!(problems, "only {absent_tried} absent calls were tried");
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

impl Wanted {
    fn problem(&self, seen: &BTreeSet<&str>) -> Option<String> {
        let missing: Vec<_> =
            self.results.iter().filter(|result| !seen.contains(result.as_str())).collect();
        let succeeds = self.results.contains(SUCCESS);
        let fails = self.results.len() > usize::from(succeeds);
        let failures: Vec<_> = seen.iter().filter(|result| **result != SUCCESS).collect();
        if !missing.is_empty() {
            Some(format!("never ended with {missing:?}, only with {seen:?}"))
        } else if !(succeeds && fails) && self.remark.is_empty() {
            Some("calls.tsv does not say why it never succeeds, or never fails".into())
        } else if !succeeds && seen.contains(SUCCESS) {
            Some("succeeded, which calls.tsv denies".into())
        } else if !fails && !failures.is_empty() {
            Some(format!("failed with {failures:?}, which calls.tsv denies"))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(log: &str) -> Seen {
        let mut seen = Seen::default();
        seen.add_log(log);
        seen
    }

    fn table(rows: &[(&str, &str, &str)]) -> BTreeMap<String, Wanted> {
        rows.iter()
            .map(|(name, results, remark)| {
                let results = results.split_whitespace().map(str::to_owned).collect();
                (name.to_string(), Wanted { results, remark: remark.to_string() })
            })
            .collect()
    }

    /// The problems that `log` makes of a page with `read`, `getpid` and absent calls that were tried.
    fn problems(log: &str, rows: &[(&str, &str, &str)]) -> String {
        let names = (0..ABSENT_TRIED).map(|n| format!("none{n}"));
        let tried: String =
            names.clone().map(|name| format!("[1] {name}() = -1 ENOSYS\n")).collect();
        let mut page: Vec<_> = names.map(|name| (name, false)).collect();
        page.extend([("read".into(), true), ("getpid".into(), true)]);
        report(&page, &table(rows), &seen(&(tried + log))).err().unwrap_or_default()
    }

    const ROWS: [(&str, &str, &str); 2] =
        [("read", "ok EBADF", ""), ("getpid", "ok", "never fails")];
    const LOG: &str =
        "[1] getpid() = 1\n[1] read(0, 0x10, 1) = 1\n[2] read(9, NULL, 0) = -1 EBADF\n";

    #[test]
    fn lines_of_a_log_are_taken_apart() {
        let log = seen(
            "[1] open(\"a) = 3 \", 0x0, 00) = -1 ENOENT\n[1] pause() = ? ERESTARTNOHAND\nother\n[1] exit(0) = ?\n",
        );
        assert_eq!(log.results("open"), BTreeSet::from(["ENOENT"]));
        assert_eq!(log.results("pause"), BTreeSet::from(["ERESTARTNOHAND"]));
        assert_eq!(log.results("exit"), BTreeSet::from([SUCCESS]));
    }

    #[test]
    fn all_is_well_when_every_wanted_result_was_seen() {
        assert_eq!(problems(LOG, &ROWS), "");
    }

    #[test]
    fn a_call_that_nobody_made_and_a_result_that_never_came_are_told() {
        assert!(problems("[1] getpid() = 1", &ROWS).contains("read: was never made"));
        let log = LOG.replace("EBADF", "EFAULT");
        assert!(problems(&log, &ROWS).contains("read: never ended with [\"EBADF\"]"));
    }

    #[test]
    fn a_call_without_a_line_and_an_exception_without_a_reason_are_told() {
        assert!(problems(LOG, &ROWS[..1]).contains("getpid: has no line"));
        let rows = [ROWS[0], ("getpid", "ok", "")];
        assert!(problems(LOG, &rows).contains("getpid: calls.tsv does not say why"));
    }

    #[test]
    fn an_exception_that_no_longer_holds_is_told() {
        let log = format!("{LOG}[1] getpid() = -1 EPERM\n");
        assert!(problems(&log, &ROWS).contains("getpid: failed with"));
        let rows = [("read", "EBADF", "never"), ROWS[1]];
        assert!(problems(LOG, &rows).contains("read: succeeded"));
    }

    #[test]
    fn an_absent_call_that_does_something_is_told() {
        let log = format!("{LOG}[1] none0() = 0\n");
        assert!(problems(&log, &ROWS).contains("none0: is absent, but ended with [\"ok\"]"));
    }
}
