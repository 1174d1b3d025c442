//! Time-outs.
//!
//! The one idea: a time-out that counts completions is over when so many have come since it began, and those of other time-outs do not count.

use std::sync::{Arc, Weak};

use futures::future::{Either, pending, select};
use hal::time::sleep_until;
use kernel_objects::{task::BlockedReason, wait_queue::Wait};
use linux_raw_sys::io_uring as raw;

use super::{poll::Terms, *};
use crate::{
    ring::uring::{completion::Kind, entry::Cqe},
    syscall::argument::UserPtr,
    timer::{ClockId, Timespec},
    vfs::PollEvents,
};

/// A time that was copied from a submission.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Time {
    nanos: u64,
    absolute: bool,
    clock: Which,
}

#[derive(Clone, Copy, Debug)]
enum Which {
    Monotonic,
    Boottime,
    Realtime,
}

impl Time {
    /// Copies a time. `EINVAL`, `EFAULT`.
    fn read(thread: &Thread, address: u64, flags: u32) -> SysResult<Self> {
        let clock = match flags & raw::IORING_TIMEOUT_CLOCK_MASK {
            0 => Which::Monotonic,
            raw::IORING_TIMEOUT_BOOTTIME => Which::Boottime,
            raw::IORING_TIMEOUT_REALTIME => Which::Realtime,
            _ => return Err(Errno::EINVAL),
        };
        let nanos = UserPtr::<Timespec>::new(address).read(&thread.memory)?.to_nanos()?;
        Ok(Self { nanos, absolute: flags & raw::IORING_TIMEOUT_ABS != 0, clock })
    }

    /// When it is over that begins now, on the monotonic clock.
    pub(in super::super) fn deadline(&self) -> u64 {
        match (self.absolute, self.clock) {
            (false, _) => hal::time::monotonic().saturating_add(self.nanos),
            (true, Which::Monotonic) => self.nanos,
            (true, Which::Boottime) => ClockId::Boottime.to_monotonic(self.nanos),
            (true, Which::Realtime) => ClockId::Realtime.to_monotonic(self.nanos),
        }
    }
}

/// Checks what is about time. `before` is what a submission is linked to.
pub(super) fn prepare(thread: &Thread, sqe: &Sqe, before: Option<&Request>) -> SysResult<Prepared> {
    let Sqe { opcode, addr, off, len, op_flags: flags, buf_index, file_index, .. } = *sqe;
    if opcode == TIMEOUT_REMOVE {
        return prepare_removal(thread, sqe);
    }
    let limits = opcode == LINK_TIMEOUT;
    let both = raw::IORING_TIMEOUT_MULTISHOT | raw::IORING_TIMEOUT_ABS;
    let known = raw::IORING_TIMEOUT_ABS
        | raw::IORING_TIMEOUT_CLOCK_MASK
        | raw::IORING_TIMEOUT_ETIME_SUCCESS
        | raw::IORING_TIMEOUT_MULTISHOT;
    if buf_index != 0 || len != 1 || file_index != 0 || limits && off != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & !known != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let time = Time::read(thread, addr, flags)?;
    if limits && before.is_none_or(Request::is_link_timeout) {
        return Err(Errno::EINVAL);
    }
    Ok(Prepared::Time(time))
}

fn prepare_removal(thread: &Thread, sqe: &Sqe) -> SysResult<Prepared> {
    let Sqe { off, len, op_flags: flags, buf_index, file_index, .. } = *sqe;
    let unfit = sqe.flags & (FIXED_FILE | BUFFER_SELECT) != 0;
    if unfit || buf_index != 0 || len != 0 || file_index != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & raw::IORING_TIMEOUT_UPDATE == 0 {
        return if flags == 0 { Ok(Prepared::Nothing) } else { Err(Errno::EINVAL) };
    }
    let known =
        raw::IORING_TIMEOUT_UPDATE | raw::IORING_TIMEOUT_ABS | raw::IORING_TIMEOUT_CLOCK_MASK;
    if flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    Time::read(thread, off, flags).map(Prepared::Time)
}

/// Removes a time-out, or changes when it is over.
pub(super) fn remove(ring: &Uring, request: &Request) -> SysResult<usize> {
    let target = request.sqe.addr;
    if let Prepared::Time(time) = &request.prepared {
        let deadline = time.deadline();
        let change = |terms: &mut Terms| terms.deadline = deadline;
        return ring.adjustable.change(TIMEOUT, target, change).map(|()| 0);
    }
    let wanted = |label: &Label| label.kind == TIMEOUT && label.id == target;
    let removed = ring.operations.cancel_where(false, wanted);
    if removed > 0 { Ok(0) } else { Err(Errno::ENOENT) }
}

/// Waits for a time, or for completions.
pub(super) async fn perform(
    ring: &Weak<Uring>,
    operation: &Operation,
    request: &Request,
    until: Option<u64>,
) -> Outcome {
    let Request { sqe, prepared: Prepared::Time(time), .. } = request else {
        return Outcome::error(Errno::EINVAL);
    };
    let waited = operation.until(until, wait(ring, operation, sqe, time)).await;
    match waited {
        Ok(_) => Outcome { kind: Kind::Timeout, ..Outcome::done(0) },
        Err(Errno::ETIME) if !operation.is_late() => {
            let failed = sqe.op_flags & raw::IORING_TIMEOUT_ETIME_SUCCESS == 0;
            Outcome { kind: Kind::Timeout, failed, ..Outcome::error(Errno::ETIME) }
        }
        Err(error) => Outcome::error(error),
    }
}

async fn wait(ring: &Weak<Uring>, operation: &Operation, sqe: &Sqe, time: &Time) -> SysResult<u64> {
    let repeats = sqe.op_flags & raw::IORING_TIMEOUT_MULTISHOT != 0;
    let terms = Terms { user_data: sqe.user_data, events: 0, deadline: time.deadline() };
    let (own, target) = {
        let ring = ring.upgrade().ok_or(Errno::ECANCELED)?;
        let counts = !repeats && sqe.off != 0;
        let target = counts.then(|| ring.completions.counted().wrapping_add(sqe.off as u32));
        (ring.adjustable.add(TIMEOUT, terms), target)
    };
    let mut left = sqe.off;
    loop {
        let mut changed = own.changed().wait();
        changed.arm();
        let deadline = own.terms().deadline;
        if hal::time::monotonic() >= deadline {
            let last = !repeats || left == 1;
            left = left.saturating_sub(1);
            let cqe = Cqe {
                user_data: sqe.user_data,
                res: -Errno::ETIME.raw(),
                flags: raw::IORING_CQE_F_MORE,
            };
            let ring = ring.upgrade().ok_or(Errno::ECANCELED)?;
            if last || !ring.completions.post_timeout_if_room(cqe) {
                return Err(Errno::ETIME);
            }
            own.change(|terms| terms.deadline = time.deadline());
            continue;
        }
        let counted = match target {
            None => Either::Left(pending()),
            Some(target) => Either::Right(reach(ring, target)),
        };
        let counted = std::pin::pin!(counted);
        let over = select(select(changed, sleep_until(deadline)), counted);
        let waited = operation.thread().object.interruptible(BlockedReason::Sleeping, over);
        if let Either::Right(_) = waited.await? {
            return Ok(0);
        }
    }
}

/// Waits until so many completions have been counted.
async fn reach(ring: &Weak<Uring>, target: u32) {
    loop {
        let Some(ring) = ring.upgrade() else { return };
        let completions = &ring.completions;
        let mut more = Wait::new(Arc::clone(&completions.queue), PollEvents::READABLE.bits());
        more.arm();
        if completions.counted().wrapping_sub(target) as i32 >= 0 {
            return;
        }
        drop(ring);
        more.await;
    }
}
