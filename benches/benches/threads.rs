//! `cargo bench -p benches --bench threads [-- --save] [-- --rounds N]`: what a guest thread that is blocked in read(2) costs in memory
//! and in time, against a thread of the host's.
//!
//! One guest program (`tests/guests/readers.c`) has so many threads; what a thread costs is the difference between many of them
//! and few, in what its host processes have in memory and in what memory the host has available.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use benches::{
    options::{self, Options},
    page,
    report::median,
};
use tests::{
    guests::{self, Build},
    kernel, paths,
};

/// How many threads are many, and how many are few.
const MANY: usize = 10_000;
const FEW: usize = 10;

/// Where the threads are, and with which options.
const PLACES: [(&str, Option<&[&str]>); 3] = [
    ("host", None),
    ("inside, in-process", Some(&["--cpus", "2", "--isolation", "never"])),
    ("inside, isolated", Some(&["--cpus", "2", "--isolation", "always"])),
];

/// What a thread costs.
#[derive(Clone, Copy)]
struct Cost {
    /// Bytes that processes of the host have in memory.
    resident: f64,
    /// Bytes that the host has no more, with what its kernel keeps for itself.
    host: f64,
    /// From its making to when it is joined, ns.
    time: f64,
}

/// What a run was seen to use.
struct Seen {
    resident: f64,
    host: f64,
    time: f64,
}

fn main() -> ExitCode {
    options::run(3, measure)
}

fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    let source = paths::sources().join("guests/readers.c");
    let guest = guests::build_source(&source, Build::C, &["-O2"])?;
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); PLACES.len()];
    for round in 1..=options.rounds {
        for ((name, options_of), costs) in PLACES.iter().zip(&mut costs) {
            eprintln!("round {round} of {}, {name} ...", options.rounds);
            let [few, many] = [run(&guest, *options_of, FEW)?, run(&guest, *options_of, MANY)?];
            let each = |few: f64, many: f64| (many - few) / (MANY - FEW) as f64;
            costs.push(Cost {
                resident: each(few.resident, many.resident),
                host: each(few.host, many.host),
                time: each(few.time, many.time),
            });
        }
    }
    let text = markdown(&costs);
    print!("{text}");
    let folder = page::folder()?;
    fs::write(folder.join("threads.csv"), csv(&costs))?;
    println!("wrote {}", folder.join("threads.csv").display());
    if options.save {
        let how = format!(
            "{} rounds, all places in turn, medians; {MANY} threads with the smallest stacks, less what {FEW} take.",
            options.rounds
        );
        page::save("threads", "Threads that are blocked in read(2)", &how, &text, &[])?;
    }
    Ok(())
}

/// Has `count` threads wait somewhere, and looks at what they use.
fn run(guest: &Path, options: Option<&[&str]>, count: usize) -> Result<Seen, Box<dyn Error>> {
    let mut command = match options {
        None => Command::new(guest),
        Some(options) => {
            let mut command = Command::new(kernel::binary()?);
            command.args(options).arg(guest);
            command
        }
    };
    // What the run before has given back is back after a while.
    thread::sleep(Duration::from_millis(500));
    let (before, start) = (available()?, Instant::now());
    let command = command.arg(count.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut said = BufReader::new(child.stdout.take().ok_or("no output")?);
    let mut line = String::new();
    said.read_line(&mut line)?;
    let mut time = start.elapsed();
    if line.trim() != format!("blocked {count}") {
        child.kill()?;
        return Err(format!("the guest said {line:?} in place of being blocked").into());
    }
    let (resident, host) = (resident(&child)?, before - available()?);
    let start = Instant::now();
    drop(child.stdin.take());
    line.clear();
    said.read_to_string(&mut line)?;
    time += start.elapsed();
    let status = child.wait()?;
    if !status.success() || !line.starts_with("sum ") {
        return Err(format!("the guest said {line:?} and ended with {status}").into());
    }
    Ok(Seen { resident, host, time: time.as_nanos() as f64 })
}

/// A line of a file of /proc that has kilobytes, in bytes.
fn line_of(file: &str, name: &str) -> Result<f64, Box<dyn Error>> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kilobytes: f64 =
        line.and_then(|line| line.split_whitespace().next()).ok_or("no such line")?.parse()?;
    Ok(kilobytes * 1024.0)
}

fn available() -> Result<f64, Box<dyn Error>> {
    line_of("/proc/meminfo", "MemAvailable")
}

/// What `child` and its own children have in memory; what they share counts once.
fn resident(child: &Child) -> Result<f64, Box<dyn Error>> {
    let mut sum = 0.0;
    let mut left = vec![child.id()];
    while let Some(pid) = left.pop() {
        sum += line_of(&format!("/proc/{pid}/smaps_rollup"), "Pss")?;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let children = fs::read_to_string(task?.path().join("children"))?;
            left.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    Ok(sum)
}

fn middle(costs: &[Cost], of: fn(&Cost) -> f64) -> f64 {
    median(&costs.iter().map(of).collect::<Vec<_>>())
}

fn markdown(costs: &[Vec<Cost>]) -> String {
    let mut text = String::from(
        "| a thread | KiB in processes of the host | KiB of the host's memory | µs to make, wake and join |\n|---|---:|---:|---:|\n",
    );
    for ((name, _), costs) in PLACES.iter().zip(costs) {
        let (resident, host) =
            (middle(costs, |cost| cost.resident), middle(costs, |cost| cost.host));
        let time = middle(costs, |cost| cost.time) / 1e3;
        let _ = writeln!(
            text,
            "| {name} | {:.1} | {:.1} | {time:.1} |",
            resident / 1024.0,
            host / 1024.0
        );
    }
    text
}

fn csv(costs: &[Vec<Cost>]) -> String {
    let mut text = String::from("place,round,resident_bytes,host_bytes,nanoseconds\n");
    for ((name, _), costs) in PLACES.iter().zip(costs) {
        for (round, Cost { resident, host, time }) in costs.iter().enumerate() {
            let _ = writeln!(text, "\"{name}\",{round},{resident:.0},{host:.0},{time:.0}");
        }
    }
    text
}
