//! What a ring tells: an operation is submitted, it completes, and how many there are.
//!
//! The one idea: for those who tell it is nothing when there is no trace: they keep an `Option` that is `None`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{
    Recorder,
    record::{Door, Event, Outcome, RingOperation},
};
use crate::{errno::Errno, process::Process};

/// An operation of a ring that has not ended. Dropped, it was cancelled.
#[derive(Debug)]
#[must_use = "dropped, it is said to be cancelled"]
pub struct Operation {
    recorder: Arc<Recorder>,
    operation: RingOperation,
    /// It has been told of.
    ended: AtomicBool,
}

/// An operation was taken from a ring of `process`, which `name` says what it is called; `None` if nobody records that.
pub fn submitted(
    process: &Process,
    door: Door,
    name: impl FnOnce() -> &'static str,
) -> Option<Operation> {
    let recorder = process.kernel.trace.as_ref()?.recorder();
    let name = name();
    let id = Recorder::next(&recorder.operations);
    let operation = RingOperation { pid: process.pid.unsigned_abs(), door, id, name };
    recorder.record(Event::Submitted(operation)).then(|| Operation {
        recorder: Arc::clone(recorder),
        operation,
        ended: AtomicBool::new(false),
    })
}

/// Ring `ring` of `process` has so many operations that have not ended, and so many completions that the guest has not reaped.
pub fn depth(process: &Process, door: Door, ring: u32, operations: usize, completions: usize) {
    if let Some(trace) = &process.kernel.trace {
        let pid = process.pid.unsigned_abs();
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let (operations, completions) = (small(operations), small(completions));
        trace.recorder().record(Event::Depth { pid, door, ring, operations, completions });
    }
}

impl Operation {
    /// It has completed with `result`.
    pub fn completed(self, result: Result<u64, Errno>) {
        self.completes(result);
    }

    /// The same, for who cannot give it up.
    pub fn completes(&self, result: Result<u64, Errno>) {
        self.end(Outcome::Linux(result));
    }

    fn end(&self, outcome: Outcome) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            self.recorder.keep(Event::Completed(self.operation, outcome));
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.end(Outcome::Dropped);
    }
}
