//! A ring that the kernel looks at by itself, `IORING_SETUP_SQPOLL`.
//!
//! The one idea: the poller is one of the process's operations, so it ends as those do. It looks as long as there is something and for a
//! while more, says by a flag that it sleeps, and looks once more before it does. With one CPU it never looks in vain.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use kernel_objects::{WaitQueue, wait_queue::Wait};
use linux_raw_sys::io_uring as raw;

use super::{Uring, layout::word, request};
use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    ring::Operation,
};

/// How long it looks unless it is told otherwise: as on Linux.
const IDLE: Duration = Duration::from_secs(1);

/// What wakes the poller, and what it tells.
#[derive(Default)]
pub(super) struct Poller {
    rung: Arc<WaitQueue>,
    /// Notified when submissions were taken.
    pub(super) taken: WaitQueue,
}

impl Poller {
    /// Has it look.
    pub(super) fn ring(&self) {
        self.rung.notify_all();
    }
}

impl Uring {
    /// Has an operation look for submissions, in the name of `thread`; `idle` is in ms, 0 for [`IDLE`].
    pub(super) fn poll_on(&self, thread: &Thread, idle: u32) -> SysResult<()> {
        let idle = match (thread.process.kernel.cpus.count(), idle) {
            (1, _) => Duration::ZERO,
            (_, 0) => IDLE,
            (_, milliseconds) => Duration::from_millis(milliseconds.into()),
        };
        let (ring, idle) = (self.me.clone(), idle.as_nanos() as u64);
        self.operations.begin_apart(request::hidden(), thread, |operation| async move {
            look(&ring, &operation, idle).await;
        })
    }

    /// Waits until there is room for a submission, if the ring has a poller, which makes it. `EINTR`.
    pub(crate) async fn wait_for_room(&self, thread: &Thread) -> SysResult<()> {
        let Some(poller) = &self.poller else { return Ok(()) };
        let room = poller.taken.wait_until(|| {
            let intake = self.intake.lock();
            (intake.pending() < self.geometry.sq_entries).then_some(())
        });
        thread.interruptible(room).await.map_err(|_| Errno::EINTR)
    }
}

async fn look(ring: &Weak<Uring>, operation: &Operation, idle: u64) {
    let mut since = hal::time::monotonic();
    loop {
        let Some(alive) = ring.upgrade() else { return };
        let Some(poller) = &alive.poller else { return };
        let enabled = alive.is_enabled();
        if enabled && alive.take_submissions(operation.thread(), u32::MAX).count > 0 {
            poller.taken.notify_all();
            since = hal::time::monotonic();
        } else if !enabled || hal::time::monotonic().saturating_sub(since) >= idle {
            let mut rung = Wait::new(Arc::clone(&poller.rung), u32::MAX);
            rung.arm();
            alive.rings.set(word::SQ_FLAGS, raw::IORING_SQ_NEED_WAKEUP);
            // What was submitted before the flag was seen is seen here.
            let nothing = alive.intake.lock().pending() == 0;
            let sleeps = if enabled { nothing } else { !alive.is_enabled() };
            if sleeps {
                drop(alive);
                rung.await;
            }
            let Some(alive) = ring.upgrade() else { return };
            alive.rings.clear(word::SQ_FLAGS, raw::IORING_SQ_NEED_WAKEUP);
            since = hal::time::monotonic();
            continue;
        }
        drop(alive);
        if operation.is_over() {
            return;
        }
        std::hint::spin_loop();
        if hal::cpu::need_resched() || hal::cpu::runnable() {
            hal::cpu::yield_now().await;
        }
    }
}
