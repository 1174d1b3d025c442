//! syslog(2): the kernel's log.
//!
//! The one idea: what this kernel has to say it says to whoever started it (`--log`), so its log for programs is the line that every Linux
//! begins with, and nothing is ever added.

use std::{
    future::pending,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    syscall::{
        argument::UserAddr,
        system::{RELEASE, VERSION},
    },
    vfs::Capabilities,
};

/// What was done to the log.
#[derive(Default)]
pub struct KernelLog {
    /// Its line was read by `READ`.
    read: AtomicBool,
    /// It was cleared: `READ_ALL` shows nothing.
    cleared: AtomicBool,
}

const CLOSE: i32 = 0;
const OPEN: i32 = 1;
const READ: i32 = 2;
const READ_ALL: i32 = 3;
const READ_CLEAR: i32 = 4;
const CLEAR: i32 = 5;
const CONSOLE_OFF: i32 = 6;
const CONSOLE_ON: i32 = 7;
const SET_CONSOLE_LEVEL: i32 = 8;
const SIZE_UNREAD: i32 = 9;
const SIZE_BUFFER: i32 = 10;

/// Bytes of a Linux kernel's log, as most are configured.
const BUFFER: usize = 1 << 18;

fn line() -> String {
    format!("<5>[    0.000000] Linux version {RELEASE} (libos) {VERSION}\n")
}

/// syslog(2); for the administrator alone, as with `kernel.dmesg_restrict`.
pub(crate) async fn syslog(thread: &Thread, kind: i32, buffer: UserAddr, len: i32) -> SysResult {
    let log = &thread.process.kernel.log;
    let cred = thread.fs.read().cred.clone();
    if !cred.has(Capabilities::SYSLOG) && !cred.has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let text = line();
    match kind {
        CLOSE | OPEN | CONSOLE_OFF | CONSOLE_ON => Ok(0),
        READ | READ_ALL | READ_CLEAR => {
            let len = usize::try_from(len).ok().filter(|_| !buffer.is_null());
            let len = len.ok_or(Errno::EINVAL)?;
            if len == 0 {
                return Ok(0);
            }
            if kind == READ && log.read.load(Ordering::Relaxed) {
                // Nothing will ever come.
                return thread.interruptible(pending()).await.map_err(Errno::from);
            }
            let text = match kind {
                READ => text.get(..len).unwrap_or(&text),
                _ if log.cleared.load(Ordering::Relaxed) || text.len() > len => "",
                _ => text.as_str(),
            };
            thread.memory.write_bytes(buffer.0, text.as_bytes())?;
            match kind {
                READ => log.read.store(true, Ordering::Relaxed),
                READ_CLEAR => log.cleared.store(true, Ordering::Relaxed),
                _ => {}
            }
            Ok(text.len())
        }
        CLEAR => {
            log.cleared.store(true, Ordering::Relaxed);
            Ok(0)
        }
        SET_CONSOLE_LEVEL => {
            // Messages are shown nowhere, so it is all one which would be.
            if (1..=8).contains(&len) { Ok(0) } else { Err(Errno::EINVAL) }
        }
        SIZE_UNREAD => Ok(if log.read.load(Ordering::Relaxed) { 0 } else { text.len() }),
        SIZE_BUFFER => Ok(BUFFER),
        _ => Err(Errno::EINVAL),
    }
}
