//! Reading from and writing to a terminal.
//!
//! The one idea: when a read from a terminal is over depends on more than whether there is something: on `VMIN` and `VTIME`, in four ways
//! (termios(3)), so it is waited for here.

use std::sync::Arc;

use kernel_objects::task::BlockedReason;

use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    signal::Signal,
    syscall::io::until_ready,
    tty::{
        Slave, job_control,
        slave::{Attempt, CHUNK},
    },
    vfs::{IoDst, OpenFile, PollEvents},
};

/// Nanoseconds of a unit of `VTIME`.
const TENTH: u64 = 100_000_000;

/// Whether the caller may write to `file`, a terminal, now.
pub(crate) fn check_write(thread: &Thread, file: &OpenFile) -> SysResult<()> {
    match file.downcast::<Slave>() {
        Some(slave) if file.writable() && !slave.is_hung_up() => {
            job_control::check_write(thread, slave.terminal())
        }
        _ => Ok(()),
    }
}

/// Reads from `file`, a terminal or the master of one.
pub(crate) async fn read(
    thread: &Thread,
    file: &Arc<OpenFile>,
    into: &mut IoDst<'_>,
) -> SysResult<usize> {
    let Some(slave) = file.downcast::<Slave>() else {
        return until_ready(thread, file, PollEvents::IN, || file.read(into)).await;
    };
    if !file.readable() {
        return Err(Errno::EBADF);
    }
    if !slave.is_hung_up() {
        job_control::check(thread, slave.terminal(), Signal::SIGTTIN)?;
    }
    let (minimum, tenths) = slave.patience();
    if file.nonblocking() || (minimum, tenths) == (0, 0) {
        return file.read(into);
    }
    wait(thread, slave, minimum, u64::from(tenths) * TENTH, into).await
}

/// Waits until there are `minimum` bytes, until none has come for `patience` ns after one that had (0: for ever), or, if none is needed,
/// for that long at all; and reads what there is.
async fn wait(
    thread: &Thread,
    slave: &Slave,
    minimum: usize,
    patience: u64,
    into: &mut IoDst<'_>,
) -> SysResult<usize> {
    let enough = minimum.min(CHUNK).min(into.remaining()).max(1);
    let in_time = || hal::time::monotonic().saturating_add(patience);
    let mut deadline = if minimum == 0 { in_time() } else { u64::MAX };
    let (mut seen, mut waited) = (0, false);
    loop {
        let mut changed = slave.terminal().wait_for(PollEvents::READABLE);
        // Registered before the try: what comes in between is not missed.
        changed.arm();
        match slave.try_read(enough, into)? {
            // Who reads when the other side is closed is told so; who reads after that finds an end.
            Attempt::Done(0) if waited && slave.terminal().is_abandoned() => {
                return Err(Errno::EIO);
            }
            Attempt::Done(count) => return Ok(count),
            Attempt::Waits(available) => {
                if available > seen && minimum > 0 && patience > 0 {
                    deadline = in_time();
                }
                seen = available;
            }
        }
        waited = true;
        let limited = hal::time::timeout_at(deadline, changed);
        let over = match thread.object.interruptible(BlockedReason::WaitOne, limited).await {
            Ok(Ok(())) => continue,
            Ok(Err(_)) => Ok(0),
            Err(interrupted) => Err(interrupted.into()),
        };
        // What there is counts more than why there is no more.
        return match slave.try_read(1, into)? {
            Attempt::Done(count) => Ok(count),
            Attempt::Waits(_) => over,
        };
    }
}
