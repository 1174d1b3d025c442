//! The serial line: where the debug log and zx_debug_write end, standard output of the host.
//!
//! The one idea: what is written to the log is shown by whoever wrote it, in order, before its call returns, so that nothing is lost when
//! the program ends; others wait for their turn as suspended futures.

use std::sync::Arc;

use futures::lock::Mutex;
use hal::console;
use kernel_objects::{
    DebugLog, Result,
    debuglog::{KernelLog, LOG_READABLE},
    resource::ResourceSpace,
};

/// The serial line.
pub(crate) struct Console {
    reader: Arc<DebugLog>,
    /// None when standard input and output are closed.
    output: Mutex<Option<console::Console>>,
}

impl Console {
    /// A line that shows `log`.
    pub(crate) fn new(log: &Arc<KernelLog>, resources: &ResourceSpace) -> Result<Self> {
        let reader = DebugLog::create(&resources.root(), log, LOG_READABLE)?;
        let output = console::Console::stdio();
        let output = output.inspect_err(|error| log::warn!("there is no serial line: {error}"));
        Ok(Self { reader, output: Mutex::new(output.ok()) })
    }

    /// Shows what is new in the log, each record on a line of its own.
    pub(crate) async fn show_log(&self) {
        let mut output = self.output.lock().await;
        while let Ok(entry) = self.reader.read() {
            let mut line = entry.record.data.to_vec();
            if line.last() != Some(&b'\n') {
                line.push(b'\n');
            }
            put(&mut output, &line).await;
        }
    }

    /// Writes bytes as they are.
    pub(crate) async fn write(&self, bytes: &[u8]) {
        put(&mut *self.output.lock().await, bytes).await;
    }
}

/// A line that fails is not tried again: nobody is at its other end.
async fn put(output: &mut Option<console::Console>, bytes: &[u8]) {
    if let Some(line) = output
        && let Err(error) = line.write(bytes).await
    {
        log::warn!("the serial line is broken: {error}");
        *output = None;
    }
}
