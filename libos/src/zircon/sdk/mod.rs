//! What a C or C++ compiler needs to make a Zircon program: headers, the library to link against, and startup code.
//!
//! The one idea: headers and library are made from what the kernel itself uses, so they are right by construction; only [`START`], which
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
