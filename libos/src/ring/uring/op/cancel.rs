//! Cancelling operations.
//!
//! The one idea: what is to be cancelled is found by its label, and told; it then ends by itself, with `ECANCELED` or with what it
//! has done already.

use std::{cell::Cell, sync::Arc};

use linux_raw_sys::io_uring as raw;

use super::*;
use crate::ring::uring::request::is_hidden;

/// Checks a cancellation.
pub(super) fn prepare(sqe: &Sqe) -> SysResult<Prepared> {
    let flags = sqe.op_flags;
    let any = flags & raw::IORING_ASYNC_CANCEL_ANY != 0;
    let chosen = flags & (raw::IORING_ASYNC_CANCEL_FD | raw::IORING_ASYNC_CANCEL_OP) != 0;
    if sqe.off != 0 || sqe.file_index != 0 || flags & !FLAGS != 0 || any && chosen {
        return Err(Errno::EINVAL);
    }
    Ok(Prepared::Nothing)
}

const FLAGS: u32 = raw::IORING_ASYNC_CANCEL_ALL
    | raw::IORING_ASYNC_CANCEL_FD
    | raw::IORING_ASYNC_CANCEL_ANY
    | raw::IORING_ASYNC_CANCEL_FD_FIXED
    | raw::IORING_ASYNC_CANCEL_USERDATA
    | raw::IORING_ASYNC_CANCEL_OP;

/// Cancels: 0, or how many of all that were meant. `ENOENT`; `EBADF` for a file that is none.
pub(super) fn now(ring: &Uring, thread: &Thread, sqe: &Sqe) -> SysResult<usize> {
    let has = |flag: u32| sqe.op_flags & flag != 0;
    let any = has(raw::IORING_ASYNC_CANCEL_ANY);
    let (by_file, by_kind) = (has(raw::IORING_ASYNC_CANCEL_FD), has(raw::IORING_ASYNC_CANCEL_OP));
    let by_id = has(raw::IORING_ASYNC_CANCEL_USERDATA) || !any && !by_file && !by_kind;
    let about = match by_file {
        false => None,
        true => {
            let fixed = has(raw::IORING_ASYNC_CANCEL_FD_FIXED) || sqe.flags & FIXED_FILE != 0;
            let flags = if fixed { FIXED_FILE } else { 0 };
            let file = file(ring, thread, &Sqe { flags, ..*sqe })?;
            Some(Arc::as_ptr(&file).addr())
        }
    };
    let all = any || has(raw::IORING_ASYNC_CANCEL_ALL);
    let counted = Cell::new(false);
    let count = ring.operations.cancel_where(all, |label| {
        let meant = !is_hidden(label)
            && label.kind != ASYNC_CANCEL
            && about.is_none_or(|file| label.file == file)
            && (!by_kind || u32::from(label.kind) == sqe.len)
            && (!by_id || label.id == sqe.addr);
        counted.set(meant && matches!(label.kind, FUTEX_WAIT | WAITID));
        meant
    });
    match (all, count) {
        (true, count) => Ok(count),
        (false, 0) => Err(Errno::ENOENT),
        // Of these Linux says how many, even if one was meant.
        (false, count) if counted.get() => Ok(count),
        (false, _) => Ok(0),
    }
}
