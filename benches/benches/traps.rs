//! `cargo bench -p benches --bench traps [-- --save] [-- --rounds N] [-- NAME]`: what system calls and whole programs cost
//! inside, against the same program natively.
//!
//! One guest program measures each row (`benches/guests/traps.c`); it runs natively and inside in turn, several rounds.

use std::{
    error::Error,
    fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use benches::{
    chart,
    options::{self, Options},
    page,
    report::{self, Row, Target},
};
use tests::{
    guests::{self, Build},
    kernel, paths,
    run::{Guest, Outcome},
    scratch::Scratch,
};

/// Rows that the guest program measures itself, with the ratio to reach.
const CALLS: [(&str, f64); 14] = [
    ("getppid", 0.4),
    ("clock_gettime", 0.4),
    ("sched_yield", 0.4),
    ("read /dev/zero 1 B", 0.6),
    ("write /dev/null 1 B", 0.6),
    ("fstat", 0.6),
    ("lseek", 0.6),
    ("pread 4 KiB", 1.0),
    ("pwrite 4 KiB", 1.0),
    ("futex wake, no waiter", 1.0),
    ("open + close", 1.0),
    ("stat, three deep", 1.0),
    ("mmap + touch + munmap 64 KiB", 1.5),
    ("signal to a handler and back", 1.0),
];

/// Rows of two threads, which run on one CPU on either side.
const PAIRS: [(&str, f64); 7] = [
    ("pipe ping-pong", 0.2),
    ("Unix stream ping-pong", 0.3),
    ("Unix stream 1 B one way", 1.0),
    ("Unix stream 4 KiB one way", 1.0),
    ("Unix stream 64 KiB one way", 1.0),
    ("futex ping-pong", 0.2),
    ("sleep 1 ms beside a busy thread", 1.2),
];

/// Whole programs, timed from their start to their end.
const PROGRAMS: [(&str, f64); 3] =
    [("sha256sum of 256 MiB", 1.05), ("python3 loop", 1.05), ("/bin/true", 8.0)];

fn main() -> ExitCode {
    options::run(5, measure)
}

fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    kernel::binary()?;
    let source = paths::workspace().join("benches/guests/traps.c");
    let guest = guests::build_source(&source, Build::C, &["-O2"])?;
    let scratch = Scratch::empty()?;
    let mut rows: Vec<Row> = CALLS
        .iter()
        .chain(&PAIRS)
        .chain(&PROGRAMS)
        .filter(|(name, _)| options.wants(name))
        .map(|(name, target)| Row {
            name: (*name).into(),
            target: Target::Ratio(*target),
            native: Vec::new(),
            inside: Vec::new(),
        })
        .collect();
    let blob = rows.iter().any(|row| row.name.starts_with("sha256sum"));
    if blob {
        eprintln!("writing a file of 256 MiB ...");
        fs::write(scratch.path().join("blob"), vec![0x5a; 256 << 20])?;
    }
    for round in 1..=options.rounds {
        for inside in [false, true] {
            let side = if inside { "inside" } else { "native" };
            eprintln!("round {round} of {}, {side} ...", options.rounds);
            one_round(&guest, &scratch, inside, &mut rows)?;
        }
    }
    print!("{}", report::table(&rows));
    let missed = rows.iter().filter(|row| !row.passes()).count();
    println!("{} of {} targets met, {} rounds", rows.len() - missed, rows.len(), options.rounds);
    write_files(options, &rows)
}

/// Runs each row once, on one side.
fn one_round(
    guest: &Path,
    scratch: &Scratch,
    inside: bool,
    rows: &mut [Row],
) -> Result<(), Box<dyn Error>> {
    let directory = if inside { "/tmp" } else { "/dev/shm" };
    for (group, libos_options) in [(&CALLS[..], &[][..]), (&PAIRS[..], &["--cpus", "1"][..])] {
        // A process a row: what one row leaves behind does not slow the next.
        for row in rows.iter_mut().filter(|row| group.iter().any(|(name, _)| *name == row.name)) {
            let command = Guest::new(guest, &[directory, &row.name]).options(libos_options);
            let outcome = run(&command, scratch, inside)?;
            let figure = String::from_utf8_lossy(&outcome.stdout)
                .trim()
                .rsplit('\t')
                .next()
                .and_then(|figure| figure.parse().ok());
            match figure {
                Some(figure) if outcome.status == Some(0) => keep(row, inside, figure),
                _ => complain(&row.name, &outcome),
            }
        }
    }
    for row in rows.iter_mut().filter(|row| PROGRAMS.iter().any(|(name, _)| *name == row.name)) {
        let (command, times) = match row.name.as_str() {
            "/bin/true" => (Guest::new("/bin/true", &[]), 20),
            "python3 loop" => {
                let script = "x = 0\nfor i in range(10000000): x += i & 3";
                (Guest::new("/usr/bin/python3", &["-c", script]), 1)
            }
            _ => (Guest::new("/usr/bin/sha256sum", &["blob"]), 1),
        };
        for _ in 0..times {
            let start = Instant::now();
            let outcome = run(&command, scratch, inside)?;
            let elapsed = start.elapsed();
            if outcome.status == Some(0) {
                keep(row, inside, elapsed.as_nanos() as f64);
            } else {
                complain(&row.name, &outcome);
            }
        }
    }
    Ok(())
}

fn run(command: &Guest, scratch: &Scratch, inside: bool) -> Result<Outcome, Box<dyn Error>> {
    let mut command = command.clone();
    command.timeout = Some(Duration::from_secs(120));
    Ok(if inside { command.inside(scratch.path())? } else { command.native(scratch.path())? })
}

fn keep(row: &mut Row, inside: bool, figure: f64) {
    if inside { row.inside.push(figure) } else { row.native.push(figure) }
}

fn complain(name: &str, outcome: &Outcome) {
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    eprintln!("{name}: status {:?}: {}", outcome.status, stderr.trim());
}

fn write_files(options: &Options, rows: &[Row]) -> Result<(), Box<dyn Error>> {
    let folder = page::folder()?;
    fs::write(folder.join("traps.csv"), report::csv(rows))?;
    chart::write(&folder.join("traps.svg"), rows)?;
    println!("wrote {}", folder.join("traps.{csv,svg}").display());
    if options.save {
        let how = format!(
            "{} rounds, native and inside in turn, medians of rounds (a system call's round: its best batch of 15).",
            options.rounds
        );
        let body = format!("![ratios](traps.svg)\n\n{}", report::markdown(rows));
        page::save("traps", "System calls and programs", &how, &body, &["traps.svg"])?;
    }
    Ok(())
}
