//! `--strace`: a line for each system call, in the manner of strace(1).
//!
//! The one idea: the table knows how to show every argument, so tracing adds nothing to the handlers. A line is written in one piece
//! when the call ends; a call that ends its thread is written when it begins.

use std::{
    fmt::{self, Write},
    sync::Arc,
};

use kernel_objects::Vmar;
use parking_lot::Mutex;

use super::table::Entry;

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

/// A thread whose calls can be shown.
pub trait Traced: Send + Sync {
    /// What a call fails with.
    type Error;

    /// Where its calls are written, if they are.
    fn log(&self) -> Option<&Log>;

    /// What a line says about who it is.
    fn id(&self) -> u64;

    /// Its memory.
    fn memory(&self) -> &Vmar;

    /// The table's line for call `number`.
    fn entry(number: u64) -> Option<&'static Entry>;

    /// Whether call `number` does not come back.
    fn ends_thread(number: u64) -> bool;

    /// Writes how a call ended.
    fn show_result(result: &Result<u64, Self::Error>, out: &mut dyn Write) -> fmt::Result;
}

fn call<T: Traced>(thread: &T, number: u64, arguments: &[u64]) -> String {
    let mut line = format!("[{}] ", thread.id());
    // Writing to a String can not fail.
    let _ = match T::entry(number) {
        Some(entry) => {
            let _ = write!(line, "{}(", entry.name);
            let _ = (entry.show)(arguments, thread.memory(), &mut line);
            write!(line, ")")
        }
        None => write!(line, "syscall_{number}()"),
    };
    line
}

/// A call that has begun. Its line says that it is unfinished if its thread is killed while it waits.
pub(crate) struct Call<T: Traced, const N: usize> {
    thread: Arc<T>,
    number: u64,
    arguments: [u64; N],
    ended: bool,
}

/// A call begins, if there is a log. The line of one that will not come back is written now.
#[cold]
pub(crate) fn enter<T: Traced, const N: usize>(
    thread: &Arc<T>,
    number: u64,
    arguments: &[u64; N],
) -> Option<Call<T, N>> {
    let log = thread.log()?;
    if T::ends_thread(number) {
        log.write(&(call(&**thread, number, arguments) + " = ?\n"));
        return None;
    }
    Some(Call { thread: Arc::clone(thread), number, arguments: *arguments, ended: false })
}

impl<T: Traced, const N: usize> Call<T, N> {
    /// It has ended with `result`.
    pub(crate) fn leave(mut self, result: &Result<u64, T::Error>) {
        self.ended = true;
        self.write(|line| T::show_result(result, line));
    }

    fn write(&self, result: impl FnOnce(&mut String) -> fmt::Result) {
        if let Some(log) = self.thread.log() {
            let mut line = call(&*self.thread, self.number, &self.arguments) + " = ";
            let _ = result(&mut line);
            line.push('\n');
            log.write(&line);
        }
    }
}

impl<T: Traced, const N: usize> Drop for Call<T, N> {
    fn drop(&mut self) {
        if !self.ended {
            self.write(|line| line.write_str("? <unfinished ...>"));
        }
    }
}
