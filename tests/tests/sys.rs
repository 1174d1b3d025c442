//! System calls, family by family: each C program of `tests/guests/sys` prints results and errno, natively and inside.
//!
//! Comment lines at the head of a program steer it: `// build: static`, `// flags: -lrt`, `// options: --cpus 1`,
//! `// bind`, `// timeout: 30`, `// part: 2`, `// inside: STATUS` (no native run: only the exit status inside counts),
//! `// again: --net host` (compared once more with these options), `// retry: TIMES` (the host itself takes its time), `// uncounted` (its calls prove nothing of their results), `// session` (it leads one, without a terminal).
//!
//! Every run inside is traced, and the last trial, `every_call`, sees from the traces whether each system call of the kernel was made and
//! ended as `guests/sys/calls.tsv` says; it runs what the filter left out.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use libtest_mimic::{Failed, Trial};
use tests::{
    CURRENT_PART, Result,
    calls::{self, Seen},
    compare::{self, Comparison},
    guests::{self, Build},
    run::Guest,
    scratch::Scratch,
    trials, words,
};

/// What the head of a program says.
struct Program {
    source: PathBuf,
    name: String,
    build: Build,
    flags: Vec<String>,
    options: Vec<String>,
    again: Vec<String>,
    bind: bool,
    timeout: u64,
    part: u32,
    inside_only: Option<i32>,
    counted: bool,
    session: bool,
    retries: u32,
    /// What a run inside showed, once there was one.
    seen: Mutex<Option<Seen>>,
}

fn main() -> ExitCode {
    trials::run(all)
}

fn all() -> Result<Vec<Trial>> {
    let mut programs = Vec::new();
    for source in trials::sources("sys")? {
        let program = read(source)?;
        if program.part <= CURRENT_PART {
            programs.push(Arc::new(program));
        }
    }
    let trial = |program: &Arc<Program>| {
        let program = Arc::clone(program);
        Trial::test(program.name.clone(), move || run(&program).map_err(Failed::from))
    };
    let mut trials: Vec<_> = programs.iter().map(trial).collect();
    trials.push(Trial::test("every_call", move || every_call(&programs).map_err(Failed::from)));
    Ok(trials)
}

/// Whether each call of the kernel was made, succeeded and failed. Programs that are running are waited for; those that the
/// filter left out run now, inside only.
fn every_call(programs: &[Arc<Program>]) -> Result<()> {
    let mut all = Seen::default();
    for program in programs.iter().filter(|program| program.counted) {
        let mut seen = program.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_none() {
            let log = trace_file()?;
            let scratch = Scratch::empty()?;
            let option = compare::trace_option(log.path());
            program.guest()?.inside_with(scratch.path(), &[option])?;
            *seen = Some(read_trace(log.path())?);
        }
        all.add(seen.as_ref().unwrap_or(&Seen::default()));
    }
    calls::check(&all)
}

fn trace_file() -> Result<tempfile::NamedTempFile> {
    tempfile::NamedTempFile::new().map_err(|error| error.to_string())
}

fn read_trace(log: &Path) -> Result<Seen> {
    let bytes = fs::read(log).map_err(|error| error.to_string())?;
    let mut seen = Seen::default();
    seen.add_log(&String::from_utf8_lossy(&bytes));
    Ok(seen)
}

fn read(source: PathBuf) -> Result<Program> {
    let text = fs::read_to_string(&source).map_err(|error| error.to_string())?;
    let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut program = Program {
        source,
        name,
        build: Build::C,
        flags: Vec::new(),
        options: Vec::new(),
        again: Vec::new(),
        bind: false,
        timeout: 60,
        part: 1,
        inside_only: None,
        counted: true,
        session: false,
        retries: 0,
        seen: Mutex::new(None),
    };
    for line in text.lines().map_while(|line| line.strip_prefix("//")) {
        let (key, value) = line.trim().split_once(':').unwrap_or((line.trim(), ""));
        let value = value.trim();
        let number = || value.parse().map_err(|_| format!("{}: {line}", program.name));
        match key {
            "build" => program.build = Build::from_name(value)?,
            "flags" => program.flags = words::split(value),
            "options" => program.options = words::split(value),
            "again" => program.again = words::split(value),
            "uncounted" => program.counted = false,
            "session" => program.session = true,
            "bind" => program.bind = true,
            "retry" => program.retries = number()? as u32,
            "timeout" => program.timeout = number()?,
            "part" => program.part = number()? as u32,
            "inside" => program.inside_only = Some(number()? as i32),
            _ => {}
        }
    }
    Ok(program)
}

impl Program {
    /// The compiled program as a guest.
    fn guest(&self) -> Result<Guest> {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let path = guests::build_source(&self.source, self.build, &flags)?;
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let mut guest = Guest::new(path, &[]).options(&options);
        guest.timeout = Some(Duration::from_secs(self.timeout));
        guest.session = self.session;
        Ok(guest)
    }
}

fn run(program: &Program) -> Result<()> {
    let mut seen = program.seen.lock().unwrap_or_else(PoisonError::into_inner);
    let log = trace_file()?;
    let guest = program.guest()?;
    let scratch = Scratch::empty()?;
    let result = match program.inside_only {
        Some(status) => inside_only(&guest, &scratch, status, log.path()),
        None => {
            let trace = Some(log.path().to_owned());
            let (bind, retries) = (program.bind, program.retries);
            Comparison { guest, stderr: true, bind, trace, retries, ..Comparison::default() }
                .check(&scratch)
        }
    };
    *seen = Some(read_trace(log.path())?);
    result?;
    if program.again.is_empty() {
        return Ok(());
    }
    let again: Vec<&str> = program.again.iter().map(String::as_str).collect();
    let guest = program.guest()?.options(&again);
    let retries = program.retries;
    Comparison { guest, stderr: true, retries, ..Comparison::default() }.check(&Scratch::empty()?)
}

/// A run inside that must end with `status`.
fn inside_only(guest: &Guest, scratch: &Scratch, status: i32, log: &Path) -> Result<()> {
    let inside = guest.inside_with(scratch.path(), &[compare::trace_option(log)])?;
    if inside.status == Some(status) {
        return Ok(());
    }
    let (out, err) = (compare::tail(&inside.stdout, 20), compare::tail(&inside.stderr, 20));
    let calls = fs::read(log).map_err(|error| error.to_string())?;
    let trace = compare::tail(&calls, 40);
    Err(format!("status {:?}, wanted {status}\n{out}{err}its last calls:\n{trace}", inside.status))
}
