//! `--strace`: a line for each system call, in the manner of strace(1).
//!
//! The one idea: the table knows how to show every argument, so tracing adds nothing to the handlers. A line is written in one piece
//! when the call ends; a call that ends its thread is written when it begins.

use std::fmt::Write;

use parking_lot::Mutex;

use super::{Arguments, table};
use crate::{errno::Errno, process::Thread};

type Sink = Box<dyn FnMut(&[u8]) + Send>;

/// Where the lines go.
pub struct Log {
    sink: Mutex<Sink>,
}

impl Log {
    /// A log whose lines, each with its newline, are given to `sink`.
    pub fn new(sink: impl FnMut(&[u8]) + Send + 'static) -> Self {
        Self { sink: Mutex::new(Box::new(sink)) }
    }

    fn write(&self, line: &str) {
        (self.sink.lock())(line.as_bytes());
    }
}

/// Calls that do not come back.
const WITHOUT_RETURN: [u64; 2] = [60, 231];

fn call(thread: &Thread, number: u64, arguments: &Arguments) -> String {
    let mut line = format!("[{}] ", thread.tid);
    // Writing to a String can not fail.
    let _ = match table::entry(number) {
        Some(entry) => {
            let _ = write!(line, "{}(", entry.name);
            let _ = (entry.show)(arguments, &thread.memory, &mut line);
            write!(line, ")")
        }
        None => write!(line, "syscall_{number}()"),
    };
    line
}

/// Writes the line of a call that will not come back.
pub(crate) fn enter(thread: &Thread, number: u64, arguments: &Arguments) {
    if let (Some(log), true) = (&thread.process.kernel.strace, WITHOUT_RETURN.contains(&number)) {
        log.write(&(call(thread, number, arguments) + " = ?\n"));
    }
}

/// Writes the line of a call that has ended.
pub(crate) fn leave(
    thread: &Thread,
    number: u64,
    arguments: &Arguments,
    result: &Result<u64, Errno>,
) {
    let Some(log) = &thread.process.kernel.strace else { return };
    if WITHOUT_RETURN.contains(&number) {
        return;
    }
    let mut line = call(thread, number, arguments);
    let _ = match result {
        Ok(value) if (*value as i64) < 0 || *value < 1 << 16 => {
            writeln!(line, " = {}", *value as i64)
        }
        Ok(value) => writeln!(line, " = {value:#x}"),
        Err(error) if error.is_restart() => writeln!(line, " = ? {error}"),
        Err(error) => writeln!(line, " = -1 {error}"),
    };
    log.write(&line);
}
