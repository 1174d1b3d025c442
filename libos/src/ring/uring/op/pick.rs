//! Picking buffers for what is read.
//!
//! The one idea: nobody has a buffer while he waits. One is picked to see whether there is one, and goes back while the file has nothing.

use std::sync::Weak;

use kernel_objects::task::BlockedReason;

use super::*;
use crate::{ring::uring::buffers::Picked, vfs::PollEvents};

/// Picks a buffer of the submission's group once there is something to read. `ENOBUFS` if there is none, whether there is something to
/// read or not; `EAGAIN` if that may not be waited for.
pub(super) async fn pick(
    ring: &Weak<Uring>,
    thread: &Thread,
    file: &OpenFile,
    sqe: &Sqe,
    may_wait: bool,
) -> SysResult<Picked> {
    let events = PollEvents::IN | PollEvents::RDHUP | PollEvents::ERR | PollEvents::HUP;
    loop {
        let picked = {
            let ring = ring.upgrade().ok_or(Errno::ECANCELED)?;
            let picked = ring.groups.lock().pick(&thread.memory, sqe.buf_index);
            picked?
        };
        let Some(queue) = file.wait_queue() else { return Ok(picked) };
        let mut ready = queue.wait_for(events.bits());
        ready.arm();
        if file.poll().intersects(events) {
            return Ok(picked);
        }
        put_back(ring, picked);
        if !may_wait {
            return Err(Errno::EAGAIN);
        }
        thread.object.interruptible(BlockedReason::WaitOne, ready).await?;
    }
}

/// Puts a buffer back.
pub(super) fn put_back(ring: &Weak<Uring>, picked: Picked) {
    if let Some(ring) = ring.upgrade() {
        ring.groups.lock().put_back(picked);
    }
}

/// Tells with an outcome which buffer was used, or puts it back.
pub(super) fn settle(ring: &Weak<Uring>, picked: Option<Picked>, outcome: &mut Outcome) {
    match picked {
        Some(picked) if outcome.res >= 0 => outcome.flags |= picked.flags(),
        Some(picked) => put_back(ring, picked),
        None => {}
    }
}
