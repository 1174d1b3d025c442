//! `cargo bench -p benches --bench syscalls [-- --save] [-- --rounds N] [-- OPERATION]`: what a call costs by each door, in batches.
//!
//! One guest program makes the calls (`benches/guests/syscalls.rs`): natively by instruction, by io_uring and by io_uring with a polling
//! thread; inside by trap from the same process and from one of its own, by this kernel's ring, kicked and polled, and by io_uring. All
//! doors take turns within a round.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt::Write,
    fs,
    process::ExitCode,
    time::{Duration, Instant},
};

use benches::{
    options::{self, Options},
    page,
    report::median,
    syscalls::{self as doors, Door},
};
use indicatif::{ProgressBar, ProgressStyle};
use nix::sys::resource::{UsageWho, getrusage};
use tests::{kernel, run::Guest, scratch::Scratch};

/// How long a sample is measured, ms; a quarter of that goes before it.
const SAMPLE: u32 = 100;
const OPERATIONS: [(&str, &str); 5] = [
    ("nop", "nothing"),
    ("getppid", "getppid"),
    ("read", "a read of 4 KiB of a file in memory"),
    ("pipe", "64 B into a pipe and out of it"),
    ("socket", "64 B sent and received"),
];
const BATCHES: [usize; 5] = [1, 4, 16, 64, 256];
/// Wake-ups of another process on the same CPU that are measured at a time.
const WAKE_UPS: &str = "50000";
/// The pipe of 4 KiB messages between two processes is measured with these batches.
const STREAM: [usize; 2] = [1, 16];

/// What was measured of one operation, batch and door.
#[derive(Default)]
struct Figures {
    mean: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    cpus: Vec<f64>,
}

type All = BTreeMap<(String, usize, Door), Figures>;

fn main() -> ExitCode {
    options::run(3, measure)
}

/// Seconds of CPU that children have used.
fn used() -> Result<f64, Box<dyn Error>> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    kernel::binary()?;
    kernel::example("pingpong-guest")?;
    let guest = kernel::example("syscalls-guest")?;
    let guest = guest.to_str().ok_or("the guest's path is not text")?;
    let scratch = Scratch::empty()?;
    let mut samples: Vec<(&str, usize, Door)> = Vec::new();
    for (operation, _) in OPERATIONS.iter().filter(|(name, _)| options.wants(name)) {
        for batch in BATCHES {
            let doors = Door::ALL.into_iter().filter(|door| door.has(operation));
            samples.extend(doors.map(|door| (*operation, batch, door)));
        }
    }
    if options.wants("stream") {
        for batch in STREAM {
            let doors = Door::ALL.into_iter().filter(|door| door.has("stream"));
            samples.extend(doors.map(|door| ("stream", batch, door)));
        }
    }
    if options.wants("wake-up") {
        samples.extend(
            [Door::Call, Door::Trap, Door::Kicked, Door::Parked].map(|door| ("wake-up", 1, door)),
        );
    }
    let mut all = All::new();
    let bar = ProgressBar::new((options.rounds * samples.len()) as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {eta} {msg}")?);
    let mut complaints = Vec::new();
    for _ in 0..options.rounds {
        for &(operation, batch, door) in &samples {
            bar.set_message(format!("{operation} x {batch}, {}", door.name()));
            match sample(guest, &scratch, operation, batch, door) {
                Ok([mean, p50, p99, cpus]) => {
                    let figures = all.entry((operation.into(), batch, door)).or_default();
                    figures.mean.push(mean);
                    figures.p50.push(p50);
                    figures.p99.push(p99);
                    figures.cpus.push(cpus);
                }
                Err(error) => {
                    complaints.push(format!("{operation} x {batch}, {}: {error}", door.name()))
                }
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    complaints.dedup();
    complaints.iter().for_each(|complaint| eprintln!("{complaint}"));
    let idle = if options.wants("idle") { Some(idle(guest, &scratch)?) } else { None };
    let text = markdown(&all, idle);
    print!("{text}");
    write_files(options, &all, &text)
}

/// Mean, median and 99th percentile in ns, and CPUs used.
fn sample(
    guest: &str,
    scratch: &Scratch,
    operation: &str,
    batch: usize,
    door: Door,
) -> Result<[f64; 4], Box<dyn Error>> {
    let (batch, time) = (batch.to_string(), SAMPLE.to_string());
    let way = door.way();
    let command = if operation == "wake-up" {
        Guest::new(guest.replace("syscalls-guest", "pingpong-guest"), &[way, WAKE_UPS])
    } else if operation == "stream" {
        let pair = format!("{guest} {way} out {batch} {time} | {guest} {way} in {batch} 0");
        Guest::new("/bin/sh", &["-c", &pair])
    } else {
        Guest::new(guest, &[way, operation, &batch, &time])
    };
    let (before, start) = (used()?, Instant::now());
    let outcome = run(command, scratch, door)?;
    let cpus = (used()? - before) / start.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&outcome);
    let figures: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match figures[..] {
        [mean, p50, p99, _] => Ok([mean, p50, p99, cpus]),
        [mean] => Ok([mean, mean, mean, cpus]),
        _ => Err(format!("it printed {text:?}").into()),
    }
}

fn run(mut command: Guest, scratch: &Scratch, door: Door) -> Result<Vec<u8>, Box<dyn Error>> {
    command.timeout = Some(Duration::from_secs(60));
    let outcome = match door.options() {
        None => command.native(scratch.path())?,
        Some(options) => command.options(options).inside(scratch.path())?,
    };
    if outcome.status != Some(0) {
        return Err(String::from_utf8_lossy(&outcome.stderr).trim().into());
    }
    Ok(outcome.stdout)
}

/// How much of a CPU a guest takes for two seconds that has a polled ring and does nothing, beyond what its start takes.
fn idle(guest: &str, scratch: &Scratch) -> Result<f64, Box<dyn Error>> {
    let mut seconds = [0.0; 2];
    for (index, time) in ["0", "2000"].into_iter().enumerate() {
        let before = used()?;
        run(Guest::new(guest, &["polled", "idle", "1", time]), scratch, Door::Polled)?;
        seconds[index] = used()? - before;
    }
    Ok(((seconds[1] - seconds[0]) / 2.0).max(0.0))
}

fn middle(all: &All, operation: &str, batch: usize, door: Door) -> f64 {
    all.get(&(operation.into(), batch, door)).map_or(f64::NAN, |figures| median(&figures.p50))
}

fn mean(all: &All, operation: &str, batch: usize, door: Door) -> f64 {
    all.get(&(operation.into(), batch, door)).map_or(f64::NAN, |figures| median(&figures.mean))
}

/// The targets: what, the figure, the most that is good enough.
fn targets(all: &All, idle: Option<f64>) -> Vec<(&'static str, f64, f64)> {
    let at = |operation, batch, door| middle(all, operation, batch, door);
    let nop = at("nop", 64, Door::Polled);
    let read = at("read", 64, Door::Polled);
    let stream = |door| mean(all, "stream", 16, door);
    let mut targets = vec![
        ("nop, polled x 64 / host's getppid", nop / at("getppid", 64, Door::Call), 0.10),
        ("nop, polled x 64 / host's io_uring", nop / at("nop", 64, Door::Uring), 0.50),
        (
            "nop, kicked x 1 / host's io_uring",
            at("nop", 1, Door::Kicked) / at("nop", 1, Door::Uring),
            0.50,
        ),
        ("read, polled x 64 / host's io_uring", read / at("read", 64, Door::Uring), 1.0 / 1.5),
        ("read, polled x 64 / host's pread", read / at("read", 64, Door::Call), 1.0 / 1.5),
        (
            "4 KiB messages between processes, by trap / host's",
            stream(Door::Trap) / stream(Door::Call),
            0.50,
        ),
    ];
    // A wake-up as it is measured has a read and a write in it; without them the switch is left.
    let woken = |door| mean(all, "wake-up", 1, door);
    let switch = |door: Door, calls| woken(door) - mean(all, "pipe", 1, calls);
    let host = (woken(Door::Call), switch(Door::Call, Door::Call));
    for (with, without, door, calls) in [
        (
            "a process is woken, by trap / host's",
            "the same less its calls, by trap / host's",
            Door::Trap,
            Door::Trap,
        ),
        (
            "a process is woken, by its ring / host's",
            "the same less its calls, by its ring / host's",
            Door::Kicked,
            Door::Kicked,
        ),
        (
            "a coroutine is woken / host's",
            "the same less its calls / host's",
            Door::Parked,
            Door::Kicked,
        ),
    ] {
        targets.push((with, woken(door) / host.0, 0.10));
        targets.push((without, switch(door, calls) / host.1, 0.10));
    }
    if let Some(idle) = idle {
        targets.push(("a polled ring that is idle, CPUs", idle, 0.01));
    }
    targets.retain(|(_, figure, _)| !figure.is_nan());
    targets
}

fn markdown(all: &All, idle: Option<f64>) -> String {
    let mut text = String::new();
    for (name, what) in OPERATIONS.into_iter().chain([
        ("stream", "messages of 4 KiB from one process to another"),
        ("wake-up", "another process on the same CPU is woken by a pipe"),
    ]) {
        let batches: Vec<usize> = BATCHES
            .into_iter()
            .filter(|&batch| Door::ALL.iter().any(|&door| !middle(all, name, batch, door).is_nan()))
            .collect();
        if batches.is_empty() {
            continue;
        }
        let _ = write!(
            text,
            "## {name}: {what}\n\nMedian and, in parentheses, 99th percentile of batches, ns an operation; CPUs used.\n\n| door |"
        );
        for batch in &batches {
            let _ = write!(text, " x {batch} |");
        }
        let _ = write!(text, " CPUs |\n|---|{}\n", "---:|".repeat(batches.len() + 1));
        for door in Door::ALL {
            let row: Vec<&Figures> =
                batches.iter().filter_map(|&batch| all.get(&(name.into(), batch, door))).collect();
            if row.len() < batches.len() {
                continue;
            }
            let _ = write!(text, "| {} |", door.name());
            for figures in &row {
                let _ =
                    write!(text, " {:.0} ({:.0}) |", median(&figures.p50), median(&figures.p99));
            }
            let cpus: Vec<f64> = row.iter().map(|figures| median(&figures.cpus)).collect();
            let _ = writeln!(text, " {:.1} |", median(&cpus));
        }
        text.push('\n');
    }
    let _ = write!(text, "## Targets\n\n| | ratio | target | |\n|---|---:|---:|---|\n");
    for (what, figure, target) in targets(all, idle) {
        let verdict = if figure <= target { "pass" } else { "MISS" };
        let _ = writeln!(text, "| {what} | {figure:.3} | {target:.2} | {verdict} |");
    }
    text
}

fn write_files(options: &Options, all: &All, text: &str) -> Result<(), Box<dyn Error>> {
    let folder = page::folder()?;
    let mut csv = String::from("operation,batch,door,round,mean,p50,p99,cpus\n");
    for ((operation, batch, door), figures) in all {
        for round in 0..figures.mean.len() {
            let _ = writeln!(
                csv,
                "{operation},{batch},{},{round},{},{},{},{:.2}",
                door.name(),
                figures.mean[round],
                figures.p50[round],
                figures.p99[round],
                figures.cpus[round]
            );
        }
    }
    fs::write(folder.join("syscalls.csv"), csv)?;
    let mut charts = Vec::new();
    for (operation, what) in OPERATIONS {
        let lines: Vec<(Door, Vec<(usize, f64)>)> = Door::ALL
            .into_iter()
            .map(|door| {
                let points = BATCHES.map(|batch| (batch, middle(all, operation, batch, door)));
                (door, points.into_iter().filter(|(_, figure)| !figure.is_nan()).collect())
            })
            .filter(|(_, points): &(Door, Vec<_>)| !points.is_empty())
            .collect();
        if !lines.is_empty() {
            let name = format!("syscalls-{operation}.svg");
            doors::chart(&folder.join(&name), what, &lines)?;
            charts.push(name);
        }
    }
    println!("wrote {}", folder.join("syscalls*.{csv,svg}").display());
    if options.save {
        let how = format!(
            "{} rounds, all doors in turn, medians of rounds; a sample is {SAMPLE} ms.",
            options.rounds
        );
        let pictures: String =
            charts.iter().map(|chart| format!("![{chart}]({chart})\n")).collect();
        let names: Vec<&str> = charts.iter().map(String::as_str).collect();
        page::save(
            "syscalls",
            "System calls by their doors",
            &how,
            &format!("{pictures}\n{text}"),
            &names,
        )?;
    }
    Ok(())
}
