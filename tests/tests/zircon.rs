//! The Zircon personality, family by family: each C program of `tests/guests/zircon` checks what Zircon documents and prints what it checked.
//!
//! There is no oracle on the host, so each program knows what is right. Comment lines at its head steer it: `// status: 42` is the exit
//! status that it must end with, 0 if there is none; `// stdin: text` is what it can read; `// options: --memory 64M` are options of the
//! kernel's. Each runs in the kernel's host process and in one of its own. What the programs print is compared with `errors.tsv`, too:
//! every error that is documented must have been checked by one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, LazyLock, Mutex, OnceLock},
};

use libtest_mimic::{Failed, Trial};
use tests::{
    Result, compare, paths,
    run::{Guest, Outcome},
    scratch::Scratch,
    trials, zircon,
};

/// Where a program runs: an option of the kernel's.
type Place = &'static str;

const IN_PROCESS: Place = "--isolation=auto";
const ISOLATED: Place = "--isolation=always";

fn main() -> ExitCode {
    trials::run(all)
}

fn all() -> Result<Vec<Trial>> {
    let trial = |source: &PathBuf, place| {
        let (name, source) = (source.file_stem().unwrap_or_default(), source.clone());
        let suffix = if place == ISOLATED { "_isolated" } else { "" };
        let name = format!("{}{suffix}", name.to_string_lossy());
        Trial::test(name, move || check(&source, place).map_err(Failed::from))
    };
    let sources = trials::sources("zircon")?;
    let places = [IN_PROCESS, ISOLATED].into_iter();
    let mut trials: Vec<_> =
        places.flat_map(|place| sources.iter().map(move |source| trial(source, place))).collect();
    trials.push(Trial::test("every_documented_error", || errors().map_err(Failed::from)));
    Ok(trials)
}

/// What the comment lines at the head of a program say of `what`.
fn steer<'a>(text: &'a str, what: &str) -> Option<&'a str> {
    let mut head = text.lines().map_while(|line| line.strip_prefix("//"));
    head.find_map(|line| line.trim().strip_prefix(what)?.strip_prefix(':')).map(str::trim)
}

/// How a program ended, which is run once in each place.
fn run(source: &Path, place: Place) -> Result<Arc<Outcome>> {
    type Once = Arc<OnceLock<Result<Arc<Outcome>>>>;
    type Outcomes = BTreeMap<(PathBuf, Place), Once>;
    static OUTCOMES: LazyLock<Mutex<Outcomes>> = LazyLock::new(Mutex::default);
    let mut outcomes = OUTCOMES.lock().map_err(|error| error.to_string())?;
    let once = outcomes.entry((source.into(), place)).or_default().clone();
    drop(outcomes);
    let outcome = once.get_or_init(|| {
        let text = fs::read_to_string(source).map_err(|error| error.to_string())?;
        let program = zircon::build(source)?;
        let options = steer(&text, "options").unwrap_or_default();
        let options = ["--zircon", place].into_iter().chain(options.split_whitespace());
        let options: Vec<_> = options.collect();
        let mut guest = Guest::new(program, &["one", "two words"]).options(&options);
        guest.stdin = steer(&text, "stdin").map(|line| line.as_bytes().to_vec());
        guest.inside(Scratch::empty()?.path()).map(Arc::new)
    });
    outcome.clone()
}

fn check(source: &Path, place: Place) -> Result<()> {
    let text = fs::read_to_string(source).map_err(|error| error.to_string())?;
    let status = steer(&text, "status").map_or(Ok(0), str::parse::<i32>).map_err(|_| "status")?;
    let outcome = run(source, place)?;
    if outcome.status == Some(status) && !outcome.stdout.is_empty() {
        return Ok(());
    }
    let (out, err) = (compare::tail(&outcome.stdout, 40), compare::tail(&outcome.stderr, 20));
    Err(format!("status {:?}, wanted {status}\n{out}{err}", outcome.status))
}

/// Checks that each error in `errors.tsv` was checked, and that each call is there which the coverage page has.
fn errors() -> Result<()> {
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| error.to_string());
    let mut checked = BTreeSet::new();
    for source in trials::sources("zircon")? {
        let outcome = run(&source, IN_PROCESS)?;
        checked.extend(String::from_utf8_lossy(&outcome.stdout).lines().filter_map(status));
    }
    let (mut problems, mut calls) = (String::new(), BTreeSet::new());
    let table = read(&paths::sources().join("guests/zircon/errors.tsv"))?;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.split('\t');
        let call = columns.next().unwrap_or_default();
        calls.insert(call);
        for error in columns.next().unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
            let pair = |error: &str| (call.to_owned(), error.to_owned());
            match error.strip_prefix('-') {
                Some(error) if checked.contains(&pair(error)) => {
                    problems += &format!("{call}: {error} can be produced\n");
                }
                None if !checked.contains(&pair(error)) => {
                    problems += &format!("{call}: nobody checks {error}\n");
                }
                _ => {}
            }
        }
    }
    let page = read(&paths::sources().join("../docs/ZIRCON.md"))?;
    for row in page.lines().filter(|row| row.starts_with('|') && !row.contains("| absent")) {
        let call = row.split('|').map(str::trim).find(|cell| cell.starts_with("zx_"));
        if let Some(call) = call.filter(|call| !calls.contains(call)) {
            problems += &format!("{call}: its errors are not listed\n");
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The call and the error of a line that says of a call what came of it, as it should have.
fn status(line: &str) -> Option<(String, String)> {
    let (call, _) = line.split_once('(').filter(|(call, _)| call.starts_with("zx_"))?;
    let (_, error) = line.rsplit_once(" = ZX_ERR_")?;
    let plain = error.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    plain.then(|| (call.to_owned(), error.to_owned()))
}
