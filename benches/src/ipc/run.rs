//! The harness: every cell, every round, every contestant in turn.

use std::{
    env,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    Contestant, Result, contestants,
    options::Options,
    results::{Cell, Results},
    sample,
    sample::Sample,
    setup::Setup,
};

/// A client that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(90);

/// The connection that is left idle for a second.
const IDLE: Cell = Cell { one_cpu: false, concurrency: 1, size: 4 };

/// Measures what the options want, and adds it to the results.
///
/// # Errors
///
/// There is nothing to measure, or the host's. What a contestant meets is in the results.
pub fn all(options: &Options, results: &mut Results) -> Result<()> {
    let chosen: Vec<_> = contestants::ALL
        .into_iter()
        .filter(|contestant| options.wants(contestant.name()))
        .collect();
    if chosen.is_empty() {
        return Err("no contestant has such a name".into());
    }
    let cells = cells(options);
    let samples: usize = cells.iter().map(|cell| options.rounds(cell.under_way())).sum();
    // In slices of a run idleness belongs to one of them.
    let idlers = if cells.contains(&IDLE) { &chosen[..] } else { &[] };
    let bar = ProgressBar::new((samples * chosen.len() + idlers.len()) as u64);
    bar.set_style(ProgressStyle::with_template("{elapsed_precise} {bar:30} {pos}/{len} {msg}")?);
    for cell in cells {
        for round in 1..=options.rounds(cell.under_way()) {
            for contestant in &chosen {
                bar.set_message(format!("{cell}, round {round}, {}", contestant.name()));
                if results.failure(cell, contestant.name()).is_none() {
                    let sample = one(*contestant, cell, options, false);
                    results.add(cell, contestant.name(), sample.map_err(|e| e.to_string()));
                }
                bar.inc(1);
            }
        }
    }
    for contestant in idlers {
        bar.set_message(format!("a second of idleness, {}", contestant.name()));
        let sample = one(*contestant, IDLE, options, true);
        results.add_idle(contestant.name(), sample.map_err(|e| e.to_string()));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

fn cells(options: &Options) -> Vec<Cell> {
    let mut cells = Vec::new();
    for one_cpu in [false, true] {
        if if one_cpu { options.two_cpus } else { options.one_cpu } {
            continue;
        }
        for concurrency in options.concurrency() {
            for size in options.sizes(one_cpu) {
                cells.push(Cell { one_cpu, concurrency, size });
            }
        }
    }
    cells
}

/// The command line of a client that takes one sample.
pub(super) fn command(
    contestant: &dyn Contestant,
    setup: &Setup,
    milliseconds: u64,
    idle: bool,
) -> Result<Vec<String>> {
    let program = env::current_exe()?.display().to_string();
    let mut words = vec![program, sample::COMMAND.into(), contestant.name().into()];
    words.extend(setup.words());
    words.push(format!("--milliseconds={milliseconds}"));
    if idle {
        words.push("--idle".into());
    }
    Ok(words)
}

fn one(contestant: &dyn Contestant, cell: Cell, options: &Options, idle: bool) -> Result<Sample> {
    let folder = tempfile::tempdir_in("/dev/shm")?;
    let setup = Setup {
        size: cell.size,
        concurrency: cell.concurrency,
        one_cpu: cell.one_cpu,
        folder: folder.path().into(),
    };
    let words = command(contestant, &setup, options.milliseconds(), idle)?;
    let child = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = Pid::from_raw(child.id().cast_signed());
    let (sender, receiver) = mpsc::channel();
    let waiter = thread::spawn(move || sender.send(child.wait_with_output()));
    let output = receiver.recv_timeout(LIMIT);
    if output.is_err() {
        kill(pid, Signal::SIGKILL)?;
    }
    waiter.join().map_err(|_| "the waiting thread panicked")?.ok();
    let Ok(output) = output else { return Err("it hangs".into()) };
    let output = output?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let line = text.lines().rev().find(|line| is_telling(line)).unwrap_or("no message");
        return Err(format!("{line} ({})", output.status).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).parse()?)
}

/// Whether a line of an error output says what happened.
fn is_telling(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with("note:")
}
