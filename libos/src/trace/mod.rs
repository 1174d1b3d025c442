//! `--trace`: what CPUs and threads did when, as a file for a viewer (Perfetto, or Chrome's).
//!
//! The one idea: who runs only notes what changes, a `record` in the `buffer` of its CPU, and a thread beside the CPUs makes of it
//! slices (`timeline`) and writes them as JSON (`json`). So a traced guest is slowed down by a clock and a store for each change, memory is
//! bounded by the buffers, and what they have no room for is counted and said in the trace.
//!
//! What is not traced pays nothing: the way of a system call asks already whether anybody wants to see it ([strace](crate::abi::strace),
//! ptrace(2)), and the CPUs' loops are compiled once with and once without an [`Observer`].

mod buffer;
mod call;
mod json;
mod operation;
mod record;
mod timeline;
mod writer;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hal::{cpu::Observer, host::HostError};
use parking_lot::Mutex;

use self::{
    buffer::{Buffer, Pressure},
    record::{Event, Record},
    writer::{Bell, Writer},
};
pub(crate) use self::{
    call::{Call, Recorded, watch},
    record::{Abi, Name, Outcome, Who, Why},
};
pub use self::{
    operation::{Operation, depth, submitted},
    record::Door,
    writer::finish_all,
};

/// A trace that is being made; dropped, it is finished.
#[derive(Debug)]
pub struct Trace(Arc<Recorder>);

impl Trace {
    /// Begins a trace of `cpus` CPUs in the host's file at `path`, which is made anew.
    ///
    /// # Errors
    ///
    /// What the host says when it makes no such file.
    pub fn create(path: &Path, cpus: usize) -> Result<Self, HostError> {
        let recorder = Arc::new(Recorder {
            buffers: (0..=cpus).map(|_| Mutex::new(Buffer::new())).collect(),
            bell: Bell::default(),
            writer: Mutex::new(Writer::create(path, cpus)?),
            wake_ups: AtomicU64::new(1),
            operations: AtomicU64::new(1),
        });
        writer::start(&recorder);
        Ok(Self(recorder))
    }

    /// What records for it.
    pub(crate) fn recorder(&self) -> &Arc<Recorder> {
        &self.0
    }

    /// Writes the rest and ends the file; what comes after that is in no trace.
    pub fn finish(&self) {
        self.0.finish();
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Takes the records of everybody.
#[derive(Debug)]
pub struct Recorder {
    /// One for each CPU, and one for all other threads.
    buffers: Box<[Mutex<Buffer>]>,
    bell: Bell,
    writer: Mutex<Writer>,
    /// The next number of a wake-up.
    wake_ups: AtomicU64,
    /// The next number of a ring's operation.
    operations: AtomicU64,
}

impl Recorder {
    /// The task that this CPU has begun is `who`.
    pub(crate) fn runs(&self, who: Who) {
        self.record(Event::Runs(who));
    }

    /// `who` goes on in its own code.
    pub(crate) fn in_guest(&self, who: Who) {
        self.record(Event::Guest(who));
    }

    /// `who` is in the kernel, for `why`.
    pub(crate) fn in_kernel(&self, who: Who, why: Why) {
        self.record(Event::Kernel(who, why));
    }

    /// `who` is called `name` from now on, and so is its process, if `who` is its first thread.
    pub(crate) fn thread_is(&self, who: Who, name: &[u8]) {
        let name = Name::new(name);
        self.keep(Event::ThreadIs(who, name));
        if who.pid == who.tid {
            self.keep(Event::ProcessIs(who.pid, name));
        }
    }

    /// Process `pid` is called `name` from now on.
    pub(crate) fn process_is(&self, pid: u32, name: &[u8]) {
        self.keep(Event::ProcessIs(pid, Name::new(name)));
    }

    /// `who` has ended.
    pub(crate) fn gone(&self, who: Who) {
        self.keep(Event::Gone(who));
    }

    /// Records `event`, if there is room: whether there was.
    fn record(&self, event: Event) -> bool {
        self.push(event, false)
    }

    /// Records `event`, which something else depends on.
    fn keep(&self, event: Event) {
        self.push(event, true);
    }

    fn push(&self, event: Event, important: bool) -> bool {
        let record = Record { time: hal::time::monotonic(), event };
        let others = self.buffers.len().saturating_sub(1);
        let cpu = hal::cpu::current_cpu().unwrap_or(others).min(others);
        let Some(buffer) = self.buffers.get(cpu) else { return false };
        let (taken, pressure) = buffer.lock().push(record, important);
        if pressure > Pressure::None {
            self.bell.ring(pressure);
        }
        taken
    }

    fn next(counter: &AtomicU64) -> u64 {
        counter.fetch_add(1, Ordering::Relaxed)
    }
}

impl Observer for Recorder {
    fn begins_task(&self, _: usize) {
        self.record(Event::TaskBegins);
    }

    fn ends_task(&self, _: usize) {
        self.record(Event::TaskEnds);
    }

    fn sleeps(&self, _: usize) {
        self.record(Event::Sleeps);
    }

    fn wakes(&self, _: usize) {
        self.record(Event::Wakes);
    }
}
