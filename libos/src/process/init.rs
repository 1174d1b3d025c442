//! The kernel's own init, process 1 of `--init`.
//!
//! The one idea: it is a process without threads, which the kernel plays. It ignores SIGCHLD, so that orphans are reaped as they end, and what it is sent
//! waits until the kernel takes it ([`supervisor`](crate::supervisor)).

use std::sync::{Arc, atomic::Ordering};

use kernel_objects::KernelObject;

use super::{Birth, Ids, Limits, Process};
use crate::{
    errno::{Errno, SysResult},
    kernel::Kernel,
    signal::{ProcessSignals, SigAction, Signal, action},
};

/// What it is called.
pub(crate) const NAME: &[u8] = b"libos-init";

impl Kernel {
    /// Makes init, before any other process. `EAGAIN` when there is one already.
    pub(crate) fn start_init(
        self: &Arc<Self>,
        ids: Ids,
        limits: Limits,
    ) -> SysResult<Arc<Process>> {
        let numbers = &self.namespaces.pid;
        let pid = self.pids.allocate_as(numbers, 1).map_err(|_| Errno::EAGAIN)?;
        let signals = ProcessSignals::new();
        let ignore = SigAction { handler: action::SIG_IGN, ..SigAction::default() };
        signals.with(|actions| actions.set(Signal::SIGCHLD, ignore));
        let process =
            Process::new(Arc::clone(self), pid, Arc::clone(numbers), signals, ids, limits)?;
        process.object.set_name_bytes(NAME);
        process.init.store(true, Ordering::Relaxed);
        self.pids.register_process(&process, &Birth::FIRST)?;
        Ok(process)
    }
}

impl Process {
    /// Whether it is the kernel's own init: it has no threads and no memory, and nothing ends or stops it.
    pub(crate) fn is_init(&self) -> bool {
        self.init.load(Ordering::Relaxed)
    }

    /// Takes the next signal that was sent to it, which is init.
    pub(crate) async fn next_signal(&self) -> Signal {
        self.signals.arrivals.wait_until(|| self.signals.take_any()).await
    }

    /// Waits until it, which is init, has no children.
    pub(crate) async fn all_gone(&self) {
        let pids = &self.kernel.pids;
        let none = || pids.children(self.pid, None).is_empty().then_some(());
        self.children_changed.wait_until(none).await;
    }
}
