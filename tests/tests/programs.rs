//! Debian's own programs, unmodified: one test for each row of the corpus that the current part covers.

use std::{ffi::OsString, process::ExitCode};

use libtest_mimic::{Failed, Trial};
use tests::{
    CURRENT_PART, Result,
    compare::{self},
    host,
    run::Guest,
    scratch::Scratch,
    tables::{self, CommandRow, ScriptRow},
    trials,
};

fn main() -> ExitCode {
    trials::run(all)
}

fn all() -> Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for row in tables::commands()?.into_iter().filter(|row| row.part <= CURRENT_PART) {
        trials.push(Trial::test(row.name.clone(), move || command(&row).map_err(Failed::from)));
    }
    for row in tables::scripts()?.into_iter().filter(|row| row.part <= CURRENT_PART) {
        let name = format!("script-{}", row.name);
        trials.push(Trial::test(name, move || script(&row).map_err(Failed::from)));
    }
    Ok(trials)
}

fn command(row: &CommandRow) -> Result<()> {
    row.comparison()?.check(&Scratch::with_inputs()?)
}

/// Scripts with a race of their own, which may fail natively as well. Each has so many tries on either side.
///
/// `bash-jobs-wait`: bash may still list a job that ended while it waited for any of them: 3 of 640 runs natively with 16 at a time on two CPUs.
const RACY: [&str; 1] = ["bash-jobs-wait"];
const TRIES: usize = 3;

/// Runs a script natively, inside, and inside with all guests isolated; each run must leave what the row says.
fn script(row: &ScriptRow) -> Result<()> {
    let shell = host::locate("sh", "dash")?;
    let guest = Guest {
        argv: vec![shell.into_os_string(), OsString::from(row.path())],
        ..Guest::default()
    };
    let tries = if RACY.contains(&&*row.name) { TRIES } else { 1 };
    again(tries, || {
        let native = guest.native(Scratch::empty()?.path())?;
        row.judge(&native.stdout, native.status).map_err(|error| format!("natively: {error}"))
    })?;
    for mode in ["auto", "always"] {
        let guest = guest.clone().options(&["--isolation", mode]);
        again(tries, || {
            let scratch = Scratch::empty()?;
            let inside = guest.inside(scratch.path())?;
            row.judge(&inside.stdout, inside.status).map_err(|error| {
                let said = String::from_utf8_lossy(&inside.stderr);
                let tail = compare::strace_tail(&guest, &scratch);
                format!("--isolation {mode}: {error}\nstandard error:\n{said}\n{tail}")
            })
        })?;
    }
    Ok(())
}

/// Tries up to `tries` times; the last error.
fn again(tries: usize, run: impl Fn() -> Result<()>) -> Result<()> {
    (1..tries).find_map(|_| run().ok()).map_or_else(run, Ok)
}
