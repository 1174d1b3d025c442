//! Test binaries whose tests are rows of a table or C programs of a folder, rather than functions.

use std::{fs, path::PathBuf, process::ExitCode};

use libtest_mimic::{Arguments, Trial};

use crate::{Result, paths};

/// The `main` of such a binary: runs what the command line asks for of the `trials`, or says why there are none.
pub fn run(trials: impl FnOnce() -> Result<Vec<Trial>>) -> ExitCode {
    let arguments = Arguments::from_args();
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The C programs of `tests/guests/FOLDER`, by name.
pub fn sources(folder: &str) -> Result<Vec<PathBuf>> {
    let folder = paths::sources().join("guests").join(folder);
    let entries = fs::read_dir(&folder).map_err(|error| error.to_string())?;
    let mut sources: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    sources.sort();
    Ok(sources)
}
