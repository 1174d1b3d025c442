//! Programs of the host: where a command is, and which Debian package brings it if it is not there.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::Result;

/// The search path of every run, native and inside. Debian's own folders only: a version manager's shims would be
/// shell scripts, which is not what a test means by `python3`.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The absolute path of `program`. `packages` is what the table says brings it, for the error's sake.
pub fn locate(program: &str, packages: &str) -> Result<PathBuf> {
    if program.contains('/') {
        let path = PathBuf::from(program);
        return if path.exists() { Ok(path) } else { Err(missing(program, packages)) };
    }
    search(program, PATH).ok_or_else(|| missing(program, packages))
}

/// A tool that builds guests (`rustc`, `go`): on the path of the tests' own user, then on [`PATH`].
pub fn tool(program: &str, packages: &str) -> Result<PathBuf> {
    let own = env::var("PATH").unwrap_or_default();
    search(program, &own)
        .or_else(|| search(program, PATH))
        .ok_or_else(|| missing(program, packages))
}

fn search(program: &str, path: &str) -> Option<PathBuf> {
    path.split(':').map(|dir| Path::new(dir).join(program)).find(|file| file.is_file())
}

fn missing(program: &str, packages: &str) -> String {
    let packages = packages.replace(',', " ");
    format!("`{program}` is not on this machine: apt-get install {packages}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package() {
        let error = locate("no-such-program", "nosuch,other").unwrap_err();
        assert!(error.contains("apt-get install nosuch other"), "{error}");
    }

    #[test]
    fn a_program_is_found_in_debians_folders() {
        assert!(locate("true", "coreutils").unwrap().is_absolute());
    }
}
