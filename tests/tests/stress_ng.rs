//! stress-ng with `--verify`: a stressor that passes natively passes inside, in either placement, or `suites/stress-ng.tsv` says what it needs.
//!
//! A run of a stressor is a second of one worker. A few of them are tested always, `STRESS_NG=all` takes all of the [`CLASSES`] (a quarter of an
//! hour), and `UPDATE_DOCS=1` with that writes docs/STRESS-NG.md. Whatever else it does, none may hang the kernel or take it down.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fmt::{self, Write},
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, ExitCode},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use libtest_mimic::{Failed, Trial};
use regex::Regex;
use tests::{
    Result, compare, host, paths,
    run::{Guest, Outcome},
    trials,
};

/// The classes whose stressors are run.
const CLASSES: [&str; 7] = ["os", "pipe", "vm", "scheduler", "filesystem", "interrupt", "memory"];

/// The stressors of every test run: a second each for what the kernel does itself, beside the small comparisons of `guests/sys`.
const SELECTED: [&str; 16] = [
    "aio",
    "bad-altstack",
    "context",
    "dentry",
    "eventfd",
    "fault",
    "flock",
    "membarrier",
    "mremap",
    "pidfd",
    "pipeherd",
    "remap",
    "sem-sysv",
    "signest",
    "timer",
    "vm-rw",
];

/// Stressors that are run by a user: those that refuse to be root's, and those that could harm the host.
const OF_A_USER: [&str; 11] = [
    "bad-ioctl",
    "cpu-online",
    "dev",
    "exec",
    "memhotplug",
    "pci",
    "procfs",
    "softlockup",
    "spawn",
    "sysfs",
    "watchdog",
];

/// Stressors that stress-ng itself thinks dangerous and wants `--pathological` for. They run inside only and need not pass.
const PATHOLOGICAL: [&str; 6] =
    ["bad-ioctl", "bind-mount", "mlockmany", "oom-pipe", "sysinval", "watchdog"];

/// What a run, natively too, may not do to the host: keep others from the CPUs, restart it, set its clock, load modules, reach devices.
const DROPPED: &str = "-sys_nice,-sys_boot,-sys_time,-sys_module,-sys_rawio";

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Passes,
    /// It does not work here and says why.
    Skipped,
    Fails,
    /// The time limit struck.
    Hangs,
    /// The kernel found a bug of its own.
    Breaks,
    /// It was not run.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passes => "passes",
            Self::Skipped => "skipped",
            Self::Fails => "fails",
            Self::Hangs => "hangs",
            Self::Breaks => "breaks the kernel",
            Self::Unknown => "-",
        })
    }
}

/// How a stressor ended natively, inside, and inside with all guests isolated.
type Row = [Verdict; 3];

/// What the trials have found.
type Table = Arc<Mutex<BTreeMap<String, Row>>>;

fn main() -> ExitCode {
    let table = Table::default();
    let code = trials::run(|| all(&table));
    let table = table.lock().unwrap_or_else(PoisonError::into_inner);
    if wants_all() && env::var_os("UPDATE_DOCS").is_some() {
        let page = needs().and_then(|needs| page(&table, &needs));
        let path = paths::workspace().join("docs/STRESS-NG.md");
        if let Err(error) = page.and_then(|page| fs::write(path, page).map_err(text)) {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    code
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

fn wants_all() -> bool {
    env::var("STRESS_NG").is_ok_and(|which| which == "all")
}

fn all(table: &Table) -> Result<Vec<Trial>> {
    let needs = Arc::new(needs()?);
    let names = if wants_all() { stressors()? } else { SELECTED.map(String::from).to_vec() };
    let mut trials = Vec::new();
    for name in names {
        let (table, needs) = (Arc::clone(table), Arc::clone(&needs));
        let (pathological, title) = (PATHOLOGICAL.contains(&name.as_str()), name.clone());
        trials.push(Trial::test(title, move || {
            let row = if pathological { survive(&name) } else { judge(&name, needs.get(&name)) };
            let (row, result) = row?;
            table.lock().unwrap_or_else(PoisonError::into_inner).insert(name, row);
            result.map_err(Failed::from)
        }));
    }
    Ok(trials)
}

/// All stressors of the classes, sorted.
fn stressors() -> Result<Vec<String>> {
    let program = host::locate("stress-ng", "stress-ng")?;
    let mut names = Vec::new();
    for class in CLASSES {
        let list = Command::new(&program).args(["--class", &format!("{class}?")]).output();
        let list = String::from_utf8_lossy(&list.map_err(text)?.stdout).into_owned();
        let (_, list) = list.split_once(':').ok_or(format!("no class {class}: {list}"))?;
        names.extend(list.split_whitespace().map(String::from));
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// What stressors need that is not here: name → the words of `suites/stress-ng.tsv`.
fn needs() -> Result<BTreeMap<String, String>> {
    let path = paths::sources().join("suites/stress-ng.tsv");
    let table = fs::read_to_string(path).map_err(text)?;
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let row = |line: &str| {
        let (name, needs) = line.split_once('\t').ok_or(format!("stress-ng.tsv: {line}"))?;
        Ok((name.to_string(), needs.to_string()))
    };
    lines.map(row).collect()
}

fn word(word: &str) -> OsString {
    OsString::from(word)
}

fn guest(name: &str, directory: &Path) -> Result<Guest> {
    let program = |name, package| Ok::<_, String>(host::locate(name, package)?.into_os_string());
    let mut argv = vec![program("setpriv", "util-linux")?];
    match OF_A_USER.contains(&name) {
        true => argv.extend(["--reuid", "65534", "--regid", "65534", "--clear-groups"].map(word)),
        false => argv.extend(["--bounding-set", DROPPED, "--inh-caps", "-all"].map(word)),
    }
    argv.push(program("stress-ng", "stress-ng")?);
    argv.extend(
        [format!("--{name}").as_str(), "1", "-t", "1", "--verify", "--temp-path"].map(word),
    );
    argv.push(directory.into());
    if PATHOLOGICAL.contains(&name) {
        argv.push(word("--pathological"));
    }
    Ok(Guest { argv, timeout: Some(Duration::from_secs(180)), ..Guest::default() })
}

fn verdict(outcome: &Outcome) -> Result<Verdict> {
    let skips = "skipp|No stress workers|not (implemented|supported)|prematurely|aborted early";
    let skips = Regex::new(skips).map_err(|error| error.to_string())?;
    let said = [&outcome.stdout[..], &outcome.stderr[..]].concat();
    Ok(match outcome.status {
        _ if outcome.kernel_broke() => Verdict::Breaks,
        None => Verdict::Hangs,
        Some(_) if skips.is_match(&String::from_utf8_lossy(&said)) => Verdict::Skipped,
        Some(0) => Verdict::Passes,
        Some(_) => Verdict::Fails,
    })
}

/// A directory that a user may write to, removed when dropped.
fn directory() -> Result<tempfile::TempDir> {
    let directory = tempfile::tempdir().map_err(text)?;
    let all = fs::Permissions::from_mode(0o777);
    fs::set_permissions(directory.path(), all).map_err(text)?;
    Ok(directory)
}

fn inside(name: &str, isolation: &str) -> Result<(Verdict, String)> {
    let directory = directory()?;
    // A stressor may take all the memory that there is: it is not the host's.
    let options = ["--isolation", isolation, "--memory", "8G"];
    let outcome = guest(name, directory.path())?.options(&options).inside(directory.path())?;
    let said = [&outcome.stdout[..], &outcome.stderr[..]].concat();
    Ok((verdict(&outcome)?, compare::tail(&said, 12)))
}

/// Runs a stressor in all ways. The result is an error unless it passes inside where it passes natively, or `needs` says why not.
fn judge(name: &str, needs: Option<&String>) -> Result<(Row, Result<()>)> {
    let scratch = directory()?;
    let native = verdict(&guest(name, scratch.path())?.native(scratch.path())?)?;
    let mut row = [native, Verdict::Unknown, Verdict::Unknown];
    let mut wrong = String::new();
    let acceptable = |verdict| match verdict {
        Verdict::Passes => true,
        Verdict::Breaks => false,
        // A stressor without the call that it is about may wait for ever, and then so does the native one's clock.
        Verdict::Hangs => needs.is_some_and(|needs| needs.contains("waits for ever")),
        _ => native != Verdict::Passes || needs.is_some(),
    };
    for (place, isolation) in row[1..].iter_mut().zip(["auto", "always"]) {
        let (mut verdict, mut said) = inside(name, isolation)?;
        if !acceptable(verdict) && matches!(verdict, Verdict::Fails | Verdict::Skipped) {
            // Others use the machine, too: dirdeep, for one, gives up when the host's free inodes become more while it starts.
            (verdict, said) = inside(name, isolation)?;
        }
        *place = verdict;
        if !acceptable(verdict) {
            let _ =
                writeln!(wrong, "--isolation {isolation}: {verdict}, natively {native}\n{said}");
        }
    }
    // A need that only shows when a stressor gets far enough is said to be there sometimes.
    let always = needs.is_some_and(|needs| !needs.starts_with("sometimes"));
    if always && row == [Verdict::Passes; 3] {
        wrong += "it passes: take its line out of suites/stress-ng.tsv\n";
    }
    Ok((row, if wrong.is_empty() { Ok(()) } else { Err(wrong) }))
}

/// Runs a dangerous stressor inside: all it must do is end.
fn survive(name: &str) -> Result<(Row, Result<()>)> {
    let mut row = [Verdict::Unknown; 3];
    let mut wrong = String::new();
    for (place, isolation) in row[1..].iter_mut().zip(["auto", "always"]) {
        let (verdict, said) = inside(name, isolation)?;
        *place = verdict;
        if matches!(verdict, Verdict::Breaks | Verdict::Hangs) {
            let _ = writeln!(wrong, "--isolation {isolation}: {verdict}\n{said}");
        }
    }
    Ok((row, if wrong.is_empty() { Ok(()) } else { Err(wrong) }))
}

/// docs/STRESS-NG.md.
fn page(table: &BTreeMap<String, Row>, needs: &BTreeMap<String, String>) -> Result<String> {
    let program = host::locate("stress-ng", "stress-ng")?;
    let version = Command::new(program).arg("--version").output().map_err(text)?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let version = version.split(" (").next().unwrap_or_default().replace(", version", "");
    let everywhere: Vec<_> = table
        .iter()
        .filter(|(_, row)| **row == [Verdict::Passes; 3])
        .map(|(name, _)| &**name)
        .collect();
    let mut page = format!(
        "# stress-ng\n\nGenerated by `STRESS_NG=all UPDATE_DOCS=1 cargo test -p tests --test stress_ng` with {version}: a second of each stressor\n\
         of the classes {} with `--verify`, natively, inside, and inside with all guests isolated.\n\n\
         {} of {} pass in all three: {}.\n\n\
         The others. `skipped` is what stress-ng says of a stressor that does not work where it runs; those it thinks dangerous\n\
         (`--pathological`) run inside only, to see the kernel survive them.\n\n\
         | stressor | native | inside | isolated | needs |\n|---|---|---|---|---|\n",
        CLASSES.join(", "),
        everywhere.len(),
        table.len(),
        everywhere.join(", "),
    );
    for (name, [native, auto, always]) in
        table.iter().filter(|(_, row)| **row != [Verdict::Passes; 3])
    {
        let needs = match needs.get(name) {
            Some(needs) => needs.as_str(),
            None if PATHOLOGICAL.contains(&name.as_str()) => "(dangerous)",
            None => "",
        };
        let _ = writeln!(page, "| {name} | {native} | {auto} | {always} | {needs} |");
    }
    Ok(page)
}
