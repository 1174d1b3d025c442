//! Guest programs that the tests bring as source: compiled once and kept under `target/guests`.
//!
//! The name of a compiled guest carries a digest of everything that went into it, so a changed source is a new file and
//! nothing is ever stale.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Result, host, paths, scratch};

/// How a guest is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// C, dynamic, position-independent, glibc.
    C,
    /// C, static, position-dependent, glibc.
    Static,
    /// C, static, position-independent, glibc.
    StaticPie,
    /// C, dynamic, position-dependent, glibc.
    NoPie,
    /// C, dynamic, musl.
    Musl,
    /// C, static, musl.
    MuslStatic,
    /// Go.
    Go,
    /// Rust.
    Rust,
    /// Without libc, for other kernels than Linux.
    Freestanding,
}

impl Build {
    /// The build that a table calls `name`.
    pub fn from_name(name: &str) -> Result<Self> {
        Ok(match name {
            "c" => Self::C,
            "static" => Self::Static,
            "static-pie" => Self::StaticPie,
            "no-pie" => Self::NoPie,
            "musl" => Self::Musl,
            "musl-static" => Self::MuslStatic,
            "go" => Self::Go,
            "rust" => Self::Rust,
            _ => return Err(format!("no such build: {name}")),
        })
    }

    fn compiler(self) -> (&'static str, &'static str) {
        match self {
            Self::C | Self::Static | Self::StaticPie | Self::NoPie => ("gcc", "gcc,libc6-dev"),
            Self::Freestanding => ("gcc", "gcc"),
            Self::Musl | Self::MuslStatic => ("musl-gcc", "musl-tools"),
            Self::Go => ("go", "golang-go"),
            Self::Rust => ("rustc", "rustc"),
        }
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::C => &["-O1", "-g", "-pthread", "-fPIE", "-pie"],
            Self::Static => &["-O1", "-g", "-pthread", "-fno-pie", "-no-pie", "-static"],
            Self::StaticPie => &["-O1", "-g", "-pthread", "-fPIE", "-static-pie"],
            Self::NoPie => &["-O1", "-g", "-pthread", "-fno-pie", "-no-pie"],
            Self::Musl => &["-O1", "-pthread"],
            Self::MuslStatic => &["-O1", "-pthread", "-static"],
            Self::Go => &["build"],
            Self::Rust => &["-O", "--edition", "2021"],
            Self::Freestanding => &[
                "-O1",
                "-Wall",
                "-Werror",
                "-nostdlib",
                "-ffreestanding",
                "-fPIE",
                "-pie",
                "-Wl,--no-dynamic-linker",
            ],
        }
    }
}

/// Builds `tests/guests/NAME` with some more flags and returns the program's path.
pub fn build(name: &str, how: Build, more: &[&str]) -> Result<PathBuf> {
    build_source(&paths::sources().join("guests").join(name), how, more)
}

/// Builds any source file, as [`build`].
pub fn build_source(source: &Path, how: Build, more: &[&str]) -> Result<PathBuf> {
    let (compiler, packages) = how.compiler();
    let compiler = host::tool(compiler, packages)?;
    let folder = paths::target().join("guests");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;

    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let mut digest = read(source)?;
    digest.extend(format!("{how:?} {more:?} {:?} {}", how.flags(), compiler.display()).bytes());
    for header in headers(source)? {
        digest.extend(read(&header)?);
    }
    let stem = source.file_stem().unwrap_or_default().to_string_lossy();
    let label = format!("{how:?}").to_lowercase();
    let program = folder.join(format!("{stem}-{label}-{:016x}", scratch::fnv(&digest)));
    if program.is_file() {
        return Ok(program);
    }

    // Built beside its place and then moved there: another test may want the same guest at this moment.
    let unfinished = tempfile::Builder::new()
        .prefix("building-")
        .tempdir_in(&folder)
        .map_err(|error| error.to_string())?;
    let output = unfinished.path().join(&*stem);
    let mut command = Command::new(&compiler);
    command.args(how.flags()).stdin(Stdio::null());
    if how == Build::Go {
        command.env("GO111MODULE", "off").env("GOCACHE", folder.join("go-cache"));
        command.arg("-o").arg(&output).args(more).arg(source);
    } else {
        command.arg("-o").arg(&output).arg(source).args(more);
    }
    let built = command.output().map_err(|error| format!("{}: {error}", compiler.display()))?;
    if !built.status.success() {
        let errors = String::from_utf8_lossy(&built.stderr);
        return Err(format!("{command:?} failed:\n{errors}"));
    }
    fs::rename(&output, &program).map_err(|error| error.to_string())?;
    Ok(program)
}

/// The headers beside a C source: any of them may be included.
fn headers(source: &Path) -> Result<Vec<PathBuf>> {
    let folder = source.parent().unwrap_or(Path::new("."));
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    let mut headers: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "h"))
        .collect();
    headers.sort();
    Ok(headers)
}

/// gcc's own compiler proper, a large program that is not on the search path.
pub fn cc1() -> Result<PathBuf> {
    let gcc = host::locate("gcc", "gcc")?;
    let answer = Command::new(gcc)
        .arg("-print-prog-name=cc1")
        .output()
        .map_err(|error| error.to_string())?;
    let path = PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim());
    if path.is_absolute() { Ok(path) } else { Err("gcc has no cc1: apt-get install gcc".into()) }
}
