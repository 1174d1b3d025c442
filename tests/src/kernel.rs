//! The kernel under test: a `libos` binary, taken from `LIBOS_BIN` or built in release mode, once per test process.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::{Result, paths};

/// The path of the `libos` binary. The first caller builds it; the others wait for that.
pub fn binary() -> Result<&'static Path> {
    static BINARY: OnceLock<Result<PathBuf>> = OnceLock::new();
    match BINARY.get_or_init(find_or_build) {
        Ok(path) => Ok(path),
        Err(error) => Err(error.clone()),
    }
}

fn find_or_build() -> Result<PathBuf> {
    if let Some(given) = env::var_os("LIBOS_BIN") {
        let path = PathBuf::from(given);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!("LIBOS_BIN={} is not a file", path.display()))
        };
    }
    build("--bin", "libos")?;
    Ok(paths::target().join("release/libos"))
}

/// The path of the example `name` of any member of the workspace, built in release mode as the kernel is.
pub fn example(name: &str) -> Result<PathBuf> {
    build("--example", name)?;
    Ok(paths::target().join("release/examples").join(name))
}

/// Builds one target. No package is named: cargo then unites the features of all members, as it does for `cargo run
/// --release`, and finds the kernel built where that has been used.
fn build(kind: &str, name: &str) -> Result<()> {
    eprintln!("building {name} (release) ...");
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", kind, name])
        .arg("--target-dir")
        .arg(paths::target())
        .current_dir(paths::workspace())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("cargo build {kind} {name} failed: {status}"))
    }
}
