//! `--strace`: a line for each system call, in the manner of strace(1).
//!
//! The one idea: the table knows how to show every argument, so tracing adds nothing to the handlers. A line is written in one piece
//! when the call ends; a call that ends its thread is written when it begins.

use std::{
    fmt::{self, Write},
    sync::Arc,
};

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

/// A call that has begun. Its line says that it is unfinished if its thread is killed while it waits.
pub(crate) struct Call {
    thread: Arc<Thread>,
    number: u64,
    arguments: Arguments,
    ended: bool,
}

/// A call begins, if there is a log. The line of one that will not come back is written now.
#[inline]
pub(crate) fn enter(thread: &Arc<Thread>, number: u64, arguments: &Arguments) -> Option<Call> {
    let log = thread.process.kernel.strace.as_ref()?;
    begin(log, thread, number, arguments)
}

#[cold]
fn begin(log: &Log, thread: &Arc<Thread>, number: u64, arguments: &Arguments) -> Option<Call> {
    if WITHOUT_RETURN.contains(&number) {
        log.write(&(call(thread, number, arguments) + " = ?\n"));
        return None;
    }
    Some(Call { thread: Arc::clone(thread), number, arguments: *arguments, ended: false })
}

impl Call {
    /// It has ended with `result`.
    pub(crate) fn leave(mut self, result: &Result<u64, Errno>) {
        self.ended = true;
        match result {
            Ok(value) if (*value as i64) < 0 || *value < 1 << 16 => {
                self.write(format_args!("{}", *value as i64));
            }
            Ok(value) => self.write(format_args!("{value:#x}")),
            Err(error) if error.is_restart() => self.write(format_args!("? {error}")),
            Err(error) => self.write(format_args!("-1 {error}")),
        }
    }

    fn write(&self, result: fmt::Arguments<'_>) {
        if let Some(log) = &self.thread.process.kernel.strace {
            let call = call(&self.thread, self.number, &self.arguments);
            log.write(&format!("{call} = {result}\n"));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            self.write(format_args!("? <unfinished ...>"));
        }
    }
}
