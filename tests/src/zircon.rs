//! Zircon programs: the headers and the library that `libos --zircon-sdk` writes, and C programs that are built with them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::SystemTime,
};

use crate::{
    Result,
    guests::{self, Build},
    kernel, paths, scratch,
};

/// The folder with headers and library, written by the kernel under test. The first caller has it written.
pub fn sdk() -> Result<&'static Path> {
    static SDK: OnceLock<Result<PathBuf>> = OnceLock::new();
    match SDK.get_or_init(write_sdk) {
        Ok(path) => Ok(path),
        Err(error) => Err(error.clone()),
    }
}

fn write_sdk() -> Result<PathBuf> {
    let binary = kernel::binary()?;
    let text = |error: std::io::Error| error.to_string();
    let metadata = fs::metadata(binary).map_err(text)?;
    let built = metadata.modified().map_err(text)?.duration_since(SystemTime::UNIX_EPOCH);
    let label = format!("{binary:?} {} {built:?}", metadata.len());
    let folder = paths::target().join("guests");
    let sdk = folder.join(format!("zircon-sdk-{:016x}", scratch::fnv(label.as_bytes())));
    if sdk.is_dir() {
        return Ok(sdk);
    }
    fs::create_dir_all(&folder).map_err(text)?;
    // Written beside its place and then moved there: another test process may want it at this moment.
    let unfinished =
        tempfile::Builder::new().prefix("building-").tempdir_in(&folder).map_err(text)?;
    let mut command = Command::new(binary);
    command.arg("--zircon-sdk").arg(unfinished.path()).stdin(Stdio::null());
    let output = command.output().map_err(text)?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    match fs::rename(unfinished.path(), &sdk) {
        Err(error) if !sdk.is_dir() => Err(error.to_string()),
        _ => Ok(sdk),
    }
}

/// Builds a C program for Zircon.
pub fn build(source: &Path) -> Result<PathBuf> {
    let sdk = sdk()?;
    let include = format!("-I{}", sdk.join("include").display());
    let start = sdk.join("lib/start.c").display().to_string();
    let library = format!("-L{}", sdk.join("lib").display());
    guests::build_source(source, Build::Freestanding, &[&include, &start, &library, "-lzircon"])
}
