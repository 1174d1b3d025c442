//! Flamegraphs of a contestant, client and server together, from what perf recorded.

use std::{
    fs::File,
    io::{BufReader, BufWriter},
    path::Path,
    process::{Command, Stdio},
};

use inferno::{
    collapse::{Collapse, perf},
    flamegraph,
};

use super::{Contestant, Result, run, setup::Setup};

/// Milliseconds that are recorded.
const MILLISECONDS: u64 = 1500;

/// Records a sample of `contestant` and draws it to `path`.
///
/// # Errors
///
/// There is no perf, or it may not record here; or the contestant fails.
pub fn write(path: &Path, contestant: &dyn Contestant, setup: &Setup, title: &str) -> Result<()> {
    let data = setup.folder.join("perf.data");
    let status = Command::new("perf")
        // The clock of the CPU: virtual machines often have no other counters.
        .args(["record", "--quiet", "--event=cpu-clock", "--freq=1999", "--call-graph=dwarf,16384"])
        .arg("--output")
        .arg(&data)
        .arg("--")
        .args(run::command(contestant, setup, MILLISECONDS, false)?)
        .stdout(Stdio::null())
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("perf does not start: {error}"))?;
    if !status.success() {
        return Err(format!("perf: {status}").into());
    }
    let script = setup.folder.join("perf.script");
    let status = Command::new("perf")
        .args(["script", "--no-inline", "--input"])
        .arg(&data)
        .stdout(File::create(&script)?)
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("perf script: {status}").into());
    }
    let folded = setup.folder.join("folded");
    perf::Folder::from(perf::Options::default())
        .collapse_file(Some(&script), BufWriter::new(File::create(&folded)?))?;
    let mut options = flamegraph::Options::default();
    options.title = title.into();
    options.hash = true;
    flamegraph::from_reader(
        &mut options,
        BufReader::new(File::open(&folded)?),
        BufWriter::new(File::create(path)?),
    )?;
    Ok(())
}
