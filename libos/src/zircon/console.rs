//! The serial line: where the debug log and zx_debug_write end, standard output of the host, and where zx_debug_read begins, its
//! standard input.
//!
//! The one idea: what is written to the log is shown by whoever wrote it, in order, before its call returns, so that nothing is lost when
//! the program ends; others wait for their turn as suspended futures.

use std::sync::Arc;

use futures::lock::Mutex;
use hal::console;
use kernel_objects::{
    DebugLog, Error, Result,
    debuglog::{KernelLog, LOG_READABLE},
    resource::ResourceSpace,
};

/// The serial line.
pub(crate) struct Console {
    reader: Arc<DebugLog>,
    /// None when standard input or output is closed.
    line: Option<console::Console>,
    /// Whether what is written arrives; held by who writes.
    output: Mutex<bool>,
    /// Held by who reads.
    input: Mutex<()>,
}

impl Console {
    /// A line that shows `log`.
    pub(crate) fn new(log: &Arc<KernelLog>, resources: &ResourceSpace) -> Result<Self> {
        let reader = DebugLog::create(&resources.root(), log, LOG_READABLE)?;
        let line = console::Console::stdio();
        let line = line.inspect_err(|error| log::warn!("there is no serial line: {error}")).ok();
        let output = Mutex::new(line.is_some());
        Ok(Self { reader, line, output, input: Mutex::default() })
    }

    /// Shows what is new in the log, each record on a line of its own.
    pub(crate) async fn show_log(&self) {
        let mut output = self.output.lock().await;
        while let Ok(entry) = self.reader.read() {
            let mut line = entry.record.data.to_vec();
            if line.last() != Some(&b'\n') {
                line.push(b'\n');
            }
            self.put(&mut output, &line).await;
        }
    }

    /// Writes bytes as they are.
    pub(crate) async fn write(&self, bytes: &[u8]) {
        self.put(&mut *self.output.lock().await, bytes).await;
    }

    /// A line that fails is not tried again: nobody is at its other end.
    async fn put(&self, works: &mut bool, bytes: &[u8]) {
        if *works
            && let Some(line) = &self.line
            && let Err(error) = line.write(bytes).await
        {
            log::warn!("the serial line is broken: {error}");
            *works = false;
        }
    }

    /// Reads at least one byte; none at the end.
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] if there is no line, [`Error::Io`] if it is broken.
    pub(crate) async fn read(&self, bytes: &mut [u8]) -> Result<usize> {
        let _turn = self.input.lock().await;
        let line = self.line.as_ref().ok_or(Error::NotSupported)?;
        line.read(bytes).await.map_err(|_| Error::Io)
    }
}
