//! Waiting for a file to be ready: once, or each time that it becomes so.
//!
//! The one idea: one that repeats tells of what it finds when it begins, and then of what it finds whenever the file's queue was notified; so nothing
//! is told twice for one change, and changes that come together are told together.

use std::sync::{Arc, Weak};

use futures::future::{Either, pending, select};
use kernel_objects::{WaitQueue, task::BlockedReason};
use linux_raw_sys::{general, io_uring as raw};
use parking_lot::Mutex;

use super::{names::call_now, *};
use crate::{
    ring::uring::{entry::Cqe, request::CQE_SKIP},
    vfs::PollEvents,
};

/// What of an operation can be changed while it waits.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Terms {
    /// What it is known by, and tells.
    pub(in super::super) user_data: u64,
    /// What it waits for.
    pub(super) events: u32,
    /// When its time is up, on the monotonic clock.
    pub(super) deadline: u64,
}

/// An operation that can be changed while it waits.
pub(in super::super) struct Adjustable {
    opcode: u8,
    terms: Mutex<Terms>,
    changed: WaitQueue,
}

impl Adjustable {
    pub(super) fn terms(&self) -> Terms {
        *self.terms.lock()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Terms)) {
        change(&mut self.terms.lock());
        self.changed.notify_all();
    }

    pub(super) fn changed(&self) -> &WaitQueue {
        &self.changed
    }
}

/// Those of a ring.
#[derive(Default)]
pub(in super::super) struct AdjustableSet(Mutex<Vec<Weak<Adjustable>>>);

impl AdjustableSet {
    pub(super) fn add(&self, opcode: u8, terms: Terms) -> Arc<Adjustable> {
        let (terms, changed) = (Mutex::new(terms), WaitQueue::new());
        let added = Arc::new(Adjustable { opcode, terms, changed });
        let mut all = self.0.lock();
        if all.len() == all.capacity() {
            all.retain(|one| one.strong_count() > 0);
        }
        all.push(Arc::downgrade(&added));
        added
    }

    /// Changes the one that is known by `user_data`. `ENOENT`.
    pub(super) fn change(
        &self,
        opcode: u8,
        user_data: u64,
        change: impl FnOnce(&mut Terms),
    ) -> SysResult<()> {
        let all = self.0.lock();
        let mut alive = all.iter().filter_map(Weak::upgrade);
        let wanted =
            |one: &Arc<Adjustable>| one.opcode == opcode && one.terms().user_data == user_data;
        let found = alive.find(wanted);
        drop(alive);
        drop(all);
        found.map(|one| one.change(change)).ok_or(Errno::ENOENT)
    }
}

/// The events of a submission.
fn events(sqe: &Sqe) -> u32 {
    // What epoll(7) knows besides events means nothing here.
    PollEvents::from_bits_truncate(sqe.op_flags).bits()
}

/// Checks what is about waiting for files.
pub(super) fn prepare(sqe: &Sqe) -> SysResult<Prepared> {
    let Sqe { opcode, addr, off, len, op_flags, buf_index, file_index, .. } = *sqe;
    let wrong = match opcode {
        POLL_ADD => {
            let repeats = len & raw::IORING_POLL_ADD_MULTI != 0;
            let silent = repeats && sqe.flags & CQE_SKIP != 0;
            let known = raw::IORING_POLL_ADD_MULTI;
            buf_index != 0 || off != 0 || addr != 0 || len & !known != 0 || silent
        }
        POLL_REMOVE => {
            let events = len & raw::IORING_POLL_UPDATE_EVENTS != 0;
            let user_data = len & raw::IORING_POLL_UPDATE_USER_DATA != 0;
            let known = raw::IORING_POLL_UPDATE_EVENTS
                | raw::IORING_POLL_UPDATE_USER_DATA
                | raw::IORING_POLL_ADD_MULTI;
            buf_index != 0
                || file_index != 0
                || len & !known != 0
                || len == raw::IORING_POLL_ADD_MULTI
                || !user_data && off != 0
                || !events && op_flags != 0
        }
        // epoll_ctl(2)
        _ => buf_index != 0 || file_index != 0,
    };
    if wrong { Err(Errno::EINVAL) } else { Ok(Prepared::Nothing) }
}

/// What ends at once.
pub(super) fn now(ring: &Uring, thread: &Thread, sqe: &Sqe) -> SysResult<usize> {
    if sqe.opcode == EPOLL_CTL {
        let (set, fd) = (i64::from(sqe.fd) as u64, sqe.off);
        let arguments = [set, sqe.len.into(), fd, sqe.addr, 0, 0];
        return call_now(thread, general::__NR_epoll_ctl, arguments);
    }
    let (events_too, data_too) = (
        sqe.len & raw::IORING_POLL_UPDATE_EVENTS != 0,
        sqe.len & raw::IORING_POLL_UPDATE_USER_DATA != 0,
    );
    if !events_too && !data_too {
        let wanted = |label: &Label| label.kind == POLL_ADD && label.id == sqe.addr;
        let removed = ring.operations.cancel_where(false, wanted);
        return if removed > 0 { Ok(0) } else { Err(Errno::ENOENT) };
    }
    let change = |terms: &mut Terms| {
        if events_too {
            terms.events = events(sqe);
        }
        if data_too {
            terms.user_data = sqe.off;
        }
    };
    ring.adjustable.change(POLL_ADD, sqe.addr, change).map(|()| 0)
}

/// Waits for a file.
pub(super) async fn perform(
    ring: &Weak<Uring>,
    operation: &Operation,
    request: &Request,
    until: Option<u64>,
) -> Outcome {
    let sqe = &request.sqe;
    let file = match file_of(ring, operation, sqe) {
        Ok(file) => file,
        Err(error) => return Outcome::error(error),
    };
    let terms = Terms { user_data: sqe.user_data, events: events(sqe), deadline: 0 };
    let Some(own) = ring.upgrade().map(|ring| ring.adjustable.add(POLL_ADD, terms)) else {
        return Outcome::error(Errno::ECANCELED);
    };
    let repeats = sqe.len & raw::IORING_POLL_ADD_MULTI != 0;
    let watched = watch(ring, operation, &file, &own, repeats);
    let outcome = Outcome::from(operation.until(until, watched).await.map(|mask| mask as usize));
    Outcome { user_data: Some(own.terms().user_data), ..outcome }
}

async fn watch(
    ring: &Weak<Uring>,
    operation: &Operation,
    file: &OpenFile,
    own: &Adjustable,
    repeats: bool,
) -> SysResult<u64> {
    let mut known_by = own.terms().user_data;
    loop {
        let mut changed = own.changed().wait();
        changed.arm();
        let Terms { user_data, events, .. } = own.terms();
        if std::mem::replace(&mut known_by, user_data) != user_data {
            operation.rename(user_data);
        }
        let wanted = PollEvents::from_bits_truncate(events) | PollEvents::ERR | PollEvents::HUP;
        let mut ready = file.wait_queue().map(|queue| queue.wait_for(wanted.bits()));
        if let Some(ready) = &mut ready {
            ready.arm();
        }
        let mask = file.poll() & wanted;
        if !mask.is_empty() {
            let cqe = Cqe { user_data, res: mask.bits() as i32, flags: raw::IORING_CQE_F_MORE };
            let ring = ring.upgrade().ok_or(Errno::ECANCELED)?;
            if !repeats || !ring.completions.post_if_room(cqe) {
                return Ok(mask.bits().into());
            }
        }
        let ready = match ready {
            Some(ready) => Either::Left(ready),
            None => Either::Right(pending()),
        };
        let either = select(changed, ready);
        operation.thread().object.interruptible(BlockedReason::WaitOne, either).await?;
    }
}
