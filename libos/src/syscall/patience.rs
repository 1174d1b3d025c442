//! Waiting for an object that is no file to change.

use hal::time::timeout_at;
use kernel_objects::{WaitQueue, task::BlockedReason};

use crate::{
    errno::{Errno, SysResult},
    process::Thread,
};

/// When a call waits, how long, and what ends it if a signal does.
pub(crate) struct Patience {
    /// The error of an attempt that is to be made again.
    pub(crate) waits: Errno,
    /// Until when, on the monotonic clock; `None` does not wait at all.
    pub(crate) deadline: Option<u64>,
    /// What a signal ends it with.
    pub(crate) interrupted: Errno,
}

/// Makes `attempt` again whenever `queue` is notified, until it ends otherwise than with the error that waits; `ETIMEDOUT`.
pub(crate) async fn until_changed<T>(
    thread: &Thread,
    queue: &WaitQueue,
    patience: Patience,
    mut attempt: impl FnMut() -> SysResult<T>,
) -> SysResult<T> {
    loop {
        let mut changed = queue.wait();
        // Before the attempt: what changes in between is not missed.
        changed.arm();
        let deadline = match (attempt(), patience.deadline) {
            (Err(error), Some(deadline)) if error == patience.waits => deadline,
            (result, _) => return result,
        };
        let wait = timeout_at(deadline, changed);
        let waited = thread.object.interruptible(BlockedReason::WaitOne, wait).await;
        waited.map_err(|_| patience.interrupted)?.map_err(|_| Errno::ETIMEDOUT)?;
    }
}
