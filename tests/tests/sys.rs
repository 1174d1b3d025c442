//! System calls, family by family: each C program of `tests/guests/sys` prints results and errno, natively and inside.
//!
//! Comment lines at the head of a program steer it: `// build: static`, `// flags: -lrt`, `// options: --cpus 1`,
//! `// bind`, `// timeout: 30`, `// part: 2`, `// inside: STATUS` (no native run: only the exit status inside counts).

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use libtest_mimic::{Arguments, Failed, Trial};
use tests::{
    CURRENT_PART, Result,
    compare::{self, Comparison},
    guests::{self, Build},
    paths,
    run::Guest,
    scratch::Scratch,
    words,
};

/// What the head of a program says.
struct Program {
    source: PathBuf,
    name: String,
    build: Build,
    flags: Vec<String>,
    options: Vec<String>,
    bind: bool,
    timeout: u64,
    part: u32,
    inside_only: Option<i32>,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn trials() -> Result<Vec<Trial>> {
    let folder = paths::sources().join("guests/sys");
    let entries = fs::read_dir(&folder).map_err(|error| error.to_string())?;
    let mut sources: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    sources.sort();
    let mut trials = Vec::new();
    for source in sources {
        let program = read(source)?;
        if program.part <= CURRENT_PART {
            let name = program.name.clone();
            trials.push(Trial::test(name, move || run(&program).map_err(Failed::from)));
        }
    }
    Ok(trials)
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
        bind: false,
        timeout: 60,
        part: 1,
        inside_only: None,
    };
    for line in text.lines().map_while(|line| line.strip_prefix("//")) {
        let (key, value) = line.trim().split_once(':').unwrap_or((line.trim(), ""));
        let value = value.trim();
        let number = || value.parse().map_err(|_| format!("{}: {line}", program.name));
        match key {
            "build" => program.build = Build::from_name(value)?,
            "flags" => program.flags = words::split(value),
            "options" => program.options = words::split(value),
            "bind" => program.bind = true,
            "timeout" => program.timeout = number()?,
            "part" => program.part = number()? as u32,
            "inside" => program.inside_only = Some(number()? as i32),
            _ => {}
        }
    }
    Ok(program)
}

fn run(program: &Program) -> Result<()> {
    let flags: Vec<&str> = program.flags.iter().map(String::as_str).collect();
    let path = guests::build_source(&program.source, program.build, &flags)?;
    let options: Vec<&str> = program.options.iter().map(String::as_str).collect();
    let mut guest = Guest::new(path, &[]).options(&options);
    guest.timeout = Some(Duration::from_secs(program.timeout));
    let scratch = Scratch::empty()?;
    let Some(status) = program.inside_only else {
        return Comparison { guest, stderr: true, bind: program.bind, ..Comparison::default() }
            .check(&scratch);
    };
    let inside = guest.inside(scratch.path())?;
    if inside.status == Some(status) {
        return Ok(());
    }
    let (out, err) = (compare::tail(&inside.stdout, 20), compare::tail(&inside.stderr, 20));
    let trace = compare::strace_tail(&guest, &scratch);
    Err(format!("status {:?}, wanted {status}\n{out}{err}{trace}", inside.status))
}
