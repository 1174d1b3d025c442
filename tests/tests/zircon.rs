//! The Zircon personality, family by family: each C program of `tests/guests/zircon` checks what Zircon documents and prints what it checked.
//!
//! There is no oracle on the host, so each program knows what is right. Comment lines at its head steer it: `// status: 42` is the exit
//! status that it must end with, 0 if there is none.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use libtest_mimic::{Failed, Trial};
use tests::{Result, compare, run::Guest, scratch::Scratch, trials, zircon};

fn main() -> ExitCode {
    trials::run(all)
}

fn all() -> Result<Vec<Trial>> {
    let trial = |source: PathBuf| {
        let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(name, move || run(&source).map_err(Failed::from))
    };
    Ok(trials::sources("zircon")?.into_iter().map(trial).collect())
}

fn run(source: &Path) -> Result<()> {
    let text = fs::read_to_string(source).map_err(|error| error.to_string())?;
    let head = text.lines().map_while(|line| line.strip_prefix("//"));
    let status = head.filter_map(|line| line.trim().strip_prefix("status:")).next();
    let status: i32 = status.map_or(Ok(0), |number| number.trim().parse()).map_err(|_| "status")?;
    let program = zircon::build(source)?;
    let guest = Guest::new(program, &["one", "two words"]).options(&["--zircon"]);
    let outcome = guest.inside(Scratch::empty()?.path())?;
    if outcome.status == Some(status) && !outcome.stdout.is_empty() {
        return Ok(());
    }
    let (out, err) = (compare::tail(&outcome.stdout, 40), compare::tail(&outcome.stderr, 20));
    Err(format!("status {:?}, wanted {status}\n{out}{err}", outcome.status))
}
