//! Debian's own programs, unmodified: one test for each row of the corpus that the current part covers.

use std::{ffi::OsString, process::ExitCode, sync::RwLock, time::Duration};

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

/// Held by what runs beside others, and as a writer by what is to run alone.
static TURN: RwLock<()> = RwLock::new(());

fn command(row: &CommandRow) -> Result<()> {
    let _beside = TURN.read();
    row.comparison()?.check(&Scratch::with_inputs()?)
}

/// Scripts with a race of their own, which may fail natively as well. Each runs alone, and has so many tries on either side.
///
/// `bash-jobs-wait`: bash may still list a job that ended while it waited for any of them: 3 of 640 runs natively with 16 at a time on two CPUs.
/// `node-timers-childproc`: a child must have been started and awaited before a timer of 50 ms is due, which is set before.
const RACY: [&str; 2] = ["bash-jobs-wait", "node-timers-childproc"];
const TRIES: usize = 3;

/// How long a script may take beside another one that uses all CPUs: compiling takes 20 seconds alone.
const LONGEST: Duration = Duration::from_secs(240);

/// Runs a script natively, inside, and inside with all guests isolated; each run must leave what the row says.
fn script(row: &ScriptRow) -> Result<()> {
    let shell = host::locate("sh", "dash")?;
    let guest = Guest {
        argv: vec![shell.into_os_string(), OsString::from(row.path())],
        timeout: Some(LONGEST),
        ..Guest::default()
    };
    let races = RACY.contains(&&*row.name);
    let _turn = if races { (Some(TURN.write()), None) } else { (None, Some(TURN.read())) };
    let tries = if races { TRIES } else { 1 };
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
