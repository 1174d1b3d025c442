//! The pages of figures under `docs/benchmarks`: one a bench, written whole by `--save`, with the machine it ran on.

use std::{error::Error, fs, io, path::PathBuf};

use tests::paths;

/// Where a bench leaves its CSV files and charts, made if need be.
///
/// # Errors
///
/// The file system's.
pub fn folder() -> io::Result<PathBuf> {
    let folder = paths::target().join("bench");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The CPUs and the kernel, in a line.
///
/// # Errors
///
/// The file system's.
pub fn machine() -> io::Result<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    // Not those that the calling thread may run on: benches pin themselves.
    let cpus = cpuinfo.lines().filter(|line| line.starts_with("processor\t")).count();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name\t: "));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!("{cpus} CPUs ({}), Linux {}.", model.unwrap_or("unknown"), kernel.trim()))
}

/// Writes `docs/benchmarks/NAME.md`: a title, how it was made and on what, and `body`; and copies `charts`, names of files in
/// [`folder`], beside it.
///
/// # Errors
///
/// The file system's.
pub fn save(
    name: &str,
    title: &str,
    how: &str,
    body: &str,
    charts: &[&str],
) -> Result<(), Box<dyn Error>> {
    let docs = paths::workspace().join("docs/benchmarks");
    fs::create_dir_all(&docs)?;
    let page = format!(
        "# {title}\n\nMade by `cargo bench -p benches --bench {name} -- --save`: {how}\n{}\n\n{body}",
        machine()?
    );
    fs::write(docs.join(name).with_extension("md"), page)?;
    for chart in charts {
        fs::copy(folder()?.join(chart), docs.join(chart))?;
    }
    println!("wrote docs/benchmarks/{name}.md");
    Ok(())
}
