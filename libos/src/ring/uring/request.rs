//! A submission that was taken: checked, with all that it points to copied, and what becomes of it.
//!
//! The one idea: when [`Request::prepare`] has returned, the guest may reuse its entry and what that points to, but for buffers and
//! what the kernel is to write (`IORING_FEAT_SUBMIT_STABLE`).

use linux_raw_sys::io_uring::{self as raw, io_uring_sqe_flags_bit as bit};

use super::{
    Cqe, Uring,
    completion::Kind,
    entry::Sqe,
    op::{self, Prepared},
};
use crate::{
    errno::{Errno, SysResult},
    process::{Process, Thread},
    ring::operations::Label,
    trace,
};

/// `IOSQE_FIXED_FILE`
pub(super) const FIXED_FILE: u8 = 1 << bit::IOSQE_FIXED_FILE_BIT as u8;
/// `IOSQE_IO_DRAIN`
pub(super) const DRAIN: u8 = 1 << bit::IOSQE_IO_DRAIN_BIT as u8;
/// `IOSQE_IO_LINK`
const LINK: u8 = 1 << bit::IOSQE_IO_LINK_BIT as u8;
/// `IOSQE_IO_HARDLINK`
const HARDLINK: u8 = 1 << bit::IOSQE_IO_HARDLINK_BIT as u8;
/// `IOSQE_ASYNC`
const ASYNC: u8 = 1 << bit::IOSQE_ASYNC_BIT as u8;
/// `IOSQE_BUFFER_SELECT`
pub(super) const BUFFER_SELECT: u8 = 1 << bit::IOSQE_BUFFER_SELECT_BIT as u8;
/// `IOSQE_CQE_SKIP_SUCCESS`
pub(super) const CQE_SKIP: u8 = 1 << bit::IOSQE_CQE_SKIP_SUCCESS_BIT as u8;

/// All of them.
const FLAGS: u8 = FIXED_FILE | DRAIN | LINK | HARDLINK | ASYNC | BUFFER_SELECT | CQE_SKIP;

/// The kind of an operation that is not to be found: it has not begun.
const HIDDEN: u8 = u8::MAX;

/// The label of such an operation.
pub(super) fn hidden() -> Label {
    Label { kind: HIDDEN, ..Label::default() }
}

/// Whether an operation is not to be found.
pub(super) fn is_hidden(label: &Label) -> bool {
    label.kind == HIDDEN
}

/// A submission that was taken.
pub(super) struct Request {
    pub(super) sqe: Sqe,
    pub(super) prepared: Prepared,
    /// Why it is not to be carried out.
    pub(super) refused: Option<Errno>,
    /// Its record in the trace.
    record: Option<trace::Operation>,
}

impl Request {
    /// One of `sqe`, not yet [prepared](Self::prepare).
    pub(super) fn new(sqe: Sqe) -> Self {
        Self { sqe, prepared: Prepared::Nothing, refused: None, record: None }
    }

    /// Has the trace tell of it.
    #[cold]
    pub(super) fn record(&mut self, process: &Process) {
        let name = || op::name(self.sqe.opcode);
        self.record = trace::submitted(process, trace::Door::IoUring, name);
    }

    /// It has ended.
    pub(super) fn ends(&self, outcome: &Outcome) {
        if let Some(record) = &self.record {
            let result = u64::try_from(outcome.res);
            record.completes(result.map_err(|_| Errno::from_raw(-outcome.res)));
        }
    }

    /// Checks it and copies what it points to. `before` is what it is linked to.
    pub(super) fn prepare(
        &mut self,
        ring: &Uring,
        thread: &Thread,
        before: Option<&Self>,
    ) -> SysResult<()> {
        let Sqe { opcode, flags, ioprio, personality, .. } = self.sqe;
        let Some(traits) = op::traits(opcode) else { return Err(Errno::EINVAL) };
        if flags & !FLAGS != 0 {
            return Err(Errno::EINVAL);
        }
        if ring.has(raw::IORING_SETUP_R_DISABLED) {
            // Only such a ring can have been restricted.
            ring.restrictions.lock().check(&self.sqe)?;
        }
        if flags & BUFFER_SELECT != 0 && !traits.picks_buffers {
            return Err(Errno::EOPNOTSUPP);
        }
        if ioprio != 0 && !traits.takes_ioprio || personality != 0 {
            return Err(Errno::EINVAL);
        }
        self.prepared = op::prepare(thread, &self.sqe, before)?;
        Ok(())
    }

    /// Whether the next one is linked to it.
    pub(super) fn is_linked(&self) -> bool {
        self.sqe.flags & (LINK | HARDLINK) != 0
    }

    /// Whether the next one follows however it ends.
    pub(super) fn is_hard_linked(&self) -> bool {
        self.sqe.flags & HARDLINK != 0
    }

    /// Whether it limits the time of what it is linked to.
    pub(super) fn is_link_timeout(&self) -> bool {
        u32::from(self.sqe.opcode) == raw::io_uring_op::IORING_OP_LINK_TIMEOUT as u32
    }

    /// When the time that it limits is up, on the monotonic clock.
    pub(super) fn deadline(&self) -> Option<u64> {
        match self.prepared {
            Prepared::Time(time) => Some(time.deadline()),
            _ => None,
        }
    }

    /// What its operation is known by, until it is about a file.
    pub(super) fn label(&self) -> Label {
        Label { id: self.sqe.user_data, kind: self.sqe.opcode, file: 0 }
    }
}

/// What became of a request.
#[derive(Clone, Copy)]
pub(super) struct Outcome {
    pub(super) res: i32,
    pub(super) flags: u32,
    /// What is linked to it is not to be done.
    pub(super) failed: bool,
    pub(super) kind: Kind,
    /// What its completion has instead of the submission's.
    pub(super) user_data: Option<u64>,
}

impl Outcome {
    /// It did what it was to do.
    pub(super) fn done(res: i32) -> Self {
        Self { res, flags: 0, failed: false, kind: Kind::Late, user_data: None }
    }

    pub(super) fn error(error: Errno) -> Self {
        Self { failed: true, ..Self::done(-error.raw()) }
    }

    /// Whether there is a completion.
    pub(super) fn is_told(&self, request: &Request) -> bool {
        self.failed || request.sqe.flags & CQE_SKIP == 0
    }

    pub(super) fn completion(&self, request: &Request) -> Cqe {
        let user_data = self.user_data.unwrap_or(request.sqe.user_data);
        Cqe { user_data, res: self.res, flags: self.flags }
    }
}

impl From<SysResult<usize>> for Outcome {
    fn from(result: SysResult<usize>) -> Self {
        match result {
            // No transfer is larger, and no descriptor.
            Ok(value) => Self::done(value as i32),
            Err(error) => Self::error(error),
        }
    }
}
