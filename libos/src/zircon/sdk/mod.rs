//! What a C or C++ compiler needs to make a Zircon program: headers, the library to link against, and startup code.
//!
//! The one idea: headers and library are made from what the kernel itself uses, so they are right by construction; only `start.c`, which
//! runs in the program, is text. `libos --zircon-sdk DIR` writes it all into a folder:
//!
//! ```text
//! cc -nostdlib -ffreestanding -fPIE -pie -Wl,--no-dynamic-linker -IDIR/include program.c DIR/lib/start.c -LDIR/lib -lzircon
//! ```

mod header;

use std::path::Path;

use hal::host::{HostNode, HostStream};

use super::vdso;
use crate::errno::{Errno, SysResult};

/// Startup code: relocates the program, takes the bootstrap message apart and calls `main`.
const START: &str = include_str!("start.c");

/// Headers that others of Fuchsia's include, and that are all in `types.h` here.
const FORWARDING: [&str; 12] = [
    "zircon/errors.h",
    "zircon/limits.h",
    "zircon/rights.h",
    "zircon/time.h",
    "zircon/syscalls/clock.h",
    "zircon/syscalls/debug.h",
    "zircon/syscalls/exception.h",
    "zircon/syscalls/log.h",
    "zircon/syscalls/object.h",
    "zircon/syscalls/policy.h",
    "zircon/syscalls/port.h",
    "zircon/syscalls/types.h",
];

/// All files, by their paths in the folder.
pub fn files() -> Vec<(String, Vec<u8>)> {
    // What the library says of the machine is never run: programs get the vDSO of the machine that they run on.
    let machine = vdso::Machine { cpus: 1, ticks_per_second: 1, physmem: 1 };
    let mut files = vec![
        ("include/zircon/types.h".to_owned(), header::types().into_bytes()),
        ("include/zircon/syscalls.h".to_owned(), header::syscalls().into_bytes()),
        ("include/zircon/processargs.h".to_owned(), header::PROCESSARGS.into()),
        ("include/zircon/process.h".to_owned(), header::PROCESS.into()),
        ("lib/libzircon.so".to_owned(), vdso::image(&machine)),
        ("lib/start.c".to_owned(), START.into()),
    ];
    for name in FORWARDING {
        let text = "#pragma once\n\n#include <zircon/types.h>\n";
        files.push((format!("include/{name}"), text.into()));
    }
    files
}

/// Writes all files into `folder`, which must exist; what is there is replaced.
///
/// # Errors
///
/// What the host says.
pub fn write(folder: &Path) -> SysResult<()> {
    let host = |error: hal::host::HostError| Errno::from_raw(error.errno());
    let root = HostNode::open(folder).map_err(host)?;
    for (path, bytes) in files() {
        let mut dir = root.clone();
        let mut parts: Vec<&str> = path.split('/').collect();
        parts.pop();
        for part in parts {
            dir = match dir.make_dir(part.as_bytes(), 0o755) {
                Ok(dir) => dir,
                // It is there already, or the look-up says what is wrong.
                Err(_) => dir.lookup(part.as_bytes()).map_err(host)?.0,
            };
        }
        HostStream::create(&folder.join(path))
            .and_then(|file| file.write_all(&bytes))
            .map_err(host)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write, fs, process::Command};

    use super::*;
    use crate::zircon::abi::{constants, structs};

    /// A C program that says of every structure and every constant what Rust thinks of it.
    fn assertions() -> String {
        let mut text = String::from(
            "#include <zircon/syscalls.h>\n#include <zircon/process.h>\n#include <zircon/processargs.h>\n\
             #include <zircon/errors.h>\n#include <zircon/syscalls/object.h>\n\
             #ifndef __cplusplus\n#define static_assert _Static_assert\n#endif\n",
        );
        for declaration in structs::all() {
            let (name, size) = (declaration.name, declaration.size);
            let _ = writeln!(text, "static_assert(sizeof({name}_t) == {size}, \"{name}\");");
        }
        for constant in constants::list() {
            // C has no literal for the least number.
            if constant.value != i128::from(i64::MIN) {
                let (name, value) = (&constant.name, constant.value);
                let suffix = if value > i128::from(i64::MAX) { "ULL" } else { "LL" };
                let _ = writeln!(text, "static_assert({name} == {value}{suffix}, \"{name}\");");
            }
        }
        text + "static_assert((zx_rights_t)-1 > 0 && (zx_signals_t)-1 > 0, \"unsigned\");\n"
    }

    #[test]
    fn c_and_cxx_agree_with_rust_about_structures_and_constants() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let source = folder.path().join("check.c");
        fs::write(&source, assertions()).unwrap();
        for (compiler, language) in [("gcc", "c"), ("g++", "c++")] {
            let mut command = Command::new(compiler);
            command.args([
                "-Wall",
                "-Wextra",
                "-Werror",
                "-ffreestanding",
                "-fsyntax-only",
                "-x",
                language,
            ]);
            let output = command.arg("-I").arg(folder.path().join("include")).arg(&source).output();
            let output = output.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    #[test]
    fn writing_again_replaces_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let header = folder.path().join("include/zircon/types.h");
        fs::write(&header, "old").unwrap();
        write(folder.path()).unwrap();
        assert!(fs::read_to_string(&header).unwrap().contains("zx_handle_t"));
        assert!(write(Path::new("/nonexistent")).is_err());
    }
}
