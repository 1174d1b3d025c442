//! The thread that writes the trace.
//!
//! The one idea: it lets records gather for a moment, takes them all, brings them in the order of time and writes what they mean. The file is
//! a readable trace after every write, so it does not matter how the kernel ends; and it sleeps as long as nothing is recorded.

use std::{
    future::poll_fn,
    mem,
    path::Path,
    sync::{
        Arc, Weak,
        atomic::{AtomicU8, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures::task::AtomicWaker;
use hal::{
    cpu,
    host::{HostError, HostStream},
    time,
};
use parking_lot::Mutex;

use super::{
    Recorder,
    buffer::{Buffer, Pressure},
    timeline::Timeline,
};

/// For how long records gather, unless they become many.
const GATHER: Duration = Duration::from_millis(50);
/// How many bytes are written at once.
const CHUNK: usize = 1 << 20;
/// For how long a kernel that panics waits for the writer.
const PATIENCE: Duration = Duration::from_secs(2);

/// All traces that are being made, to be finished in an emergency.
static TRACES: Mutex<Vec<Weak<Recorder>>> = Mutex::new(Vec::new());

/// Finishes all traces: for a process that is about to exit because it can not go on. Whoever writes one just now is waited for, but not for
/// long, as it may be the caller.
pub fn finish_all() {
    for recorder in mem::take(&mut *TRACES.lock()).iter().filter_map(Weak::upgrade) {
        if let Some(mut writer) = recorder.writer.try_lock_for(PATIENCE) {
            writer.finish(&recorder);
        }
    }
}

/// Begins to write what `recorder` takes.
pub(super) fn start(recorder: &Arc<Recorder>) {
    let mut traces = TRACES.lock();
    traces.retain(|trace| trace.strong_count() > 0);
    traces.push(Arc::downgrade(recorder));
    drop(traces);
    let recorder = Arc::clone(recorder);
    let write = move || cpu::block_on(run(&recorder));
    if let Err(error) = cpu::run_beside("trace", write) {
        log::error!("no thread for the trace: {error}");
    }
}

async fn run(recorder: &Recorder) {
    loop {
        recorder.bell.wait(Pressure::Something).await;
        // That nothing more presses is the rule.
        // In virtual time the wait would be a deadline like any other, and move the guests' clocks.
        if !time::is_virtual() {
            let _ = time::timeout(GATHER, recorder.bell.wait(Pressure::Much)).await;
        }
        recorder.bell.reset();
        let mut writer = recorder.writer.lock();
        if writer.file.is_none() {
            return;
        }
        writer.write(recorder);
    }
}

impl Recorder {
    pub(super) fn finish(&self) {
        self.writer.lock().finish(self);
        self.bell.ring(Pressure::Much);
    }
}

/// The file, and what is needed to go on with it.
#[derive(Debug)]
pub(super) struct Writer {
    /// None when the trace is finished.
    file: Option<HostStream>,
    timeline: Timeline,
    /// What the buffers' contents are exchanged for.
    taken: Vec<Buffer>,
    order: Vec<Position>,
    lost: u64,
}

/// Where a record is: when, in which buffer, and its place there.
type Position = (u64, u32, u32);

impl Writer {
    /// A new file for a trace of `cpus` CPUs.
    pub(super) fn create(path: &Path, cpus: usize) -> Result<Self, HostError> {
        Ok(Self {
            file: Some(HostStream::create(path)?),
            timeline: Timeline::new(cpus),
            taken: (0..=cpus).map(|_| Buffer::new()).collect(),
            order: Vec::new(),
            lost: 0,
        })
    }

    /// Writes what was recorded since the last time.
    fn write(&mut self, recorder: &Recorder) {
        self.order.clear();
        for (number, (buffer, taken)) in recorder.buffers.iter().zip(&mut self.taken).enumerate() {
            buffer.lock().exchange(taken);
            let positions = taken.records.iter().zip(0..);
            self.order.extend(positions.map(|(record, at)| (record.time, number as u32, at)));
        }
        // One CPU's records keep their order. What a call brings with it is said when it has ended, so a later round may be about
        // earlier times; viewers sort.
        self.order.sort_unstable();
        let others = self.taken.len().saturating_sub(1);
        let cpu = |number: usize| (number < others).then_some(number);
        let order = mem::take(&mut self.order);
        for &(_, number, at) in &order {
            let taken = self.taken.get(number as usize);
            let Some(record) = taken.and_then(|taken| taken.records.get(at as usize)) else {
                continue;
            };
            self.timeline.add(cpu(number as usize), record);
            self.flush(CHUNK);
        }
        self.order = order;
        for (number, taken) in self.taken.iter().enumerate() {
            if taken.lost.count > 0 {
                self.lost = self.lost.saturating_add(taken.lost.count);
                self.timeline.lost(cpu(number), taken.lost);
            }
            for record in &taken.kept {
                // The CPU's own slices have ended with what was lost.
                self.timeline.add(None, record);
            }
        }
        self.flush(1);
    }

    /// Writes the rest, and the end.
    fn finish(&mut self, recorder: &Recorder) {
        if self.file.is_none() {
            return;
        }
        self.write(recorder);
        self.timeline.end(time::monotonic());
        self.flush(1);
        self.file = None;
        if self.lost > 0 {
            log::warn!("the trace has no room for {} records; it says where", self.lost);
        }
    }

    /// Gives the text to the host if there are at least `least` bytes.
    fn flush(&mut self, least: usize) {
        let text = self.timeline.events.text();
        if text.len() < least {
            return;
        }
        if let Some(Err(error)) = self.file.as_ref().map(|file| file.write_all(text.as_bytes())) {
            log::error!("the trace ends here, it can not be written: {error}");
            self.file = None;
        }
        self.timeline.events.written();
    }
}

/// Tells the writer that there is something to do.
#[derive(Debug, Default)]
pub(super) struct Bell {
    /// How much, a [`Pressure`].
    pressure: AtomicU8,
    waker: AtomicWaker,
}

impl Bell {
    /// There is so much to do.
    pub(super) fn ring(&self, pressure: Pressure) {
        // The records themselves come by the buffers' locks; that the writer looks there once more than needed is no harm.
        if self.pressure.fetch_max(pressure as u8, Ordering::AcqRel) < pressure as u8 {
            self.waker.wake();
        }
    }

    fn reset(&self) {
        self.pressure.store(Pressure::None as u8, Ordering::Release);
    }

    /// Until there is at least so much.
    async fn wait(&self, pressure: Pressure) {
        poll_fn(|context| {
            self.waker.register(context.waker());
            let enough = self.pressure.load(Ordering::Acquire) >= pressure as u8;
            if enough { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
