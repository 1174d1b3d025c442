//! Operations that are one call or one change: pipes, memory, futexes, children, buffers, other rings.
//!
//! The one idea: each checks that what it does not know is 0, and then is a call that there is already.

use std::sync::{Arc, Weak};

use linux_raw_sys::{general, io_uring as raw};

use super::{names, *};
use crate::{
    futex::key_of,
    ring::uring::{completion::Kind, entry::Cqe, register},
    syscall::{
        argument::{Flags, UserAddr},
        futex,
        splice::{splice_files, tee_files},
    },
};

/// The flags of a futex that are there: of 32 bits, and private or not.
const FUTEX_SIZE: u32 = 3;
const FUTEX_U32: u32 = 2;
const FUTEX_PRIVATE: u32 = 128;

/// Checks these.
pub(super) fn prepare(sqe: &Sqe) -> SysResult<Prepared> {
    let Sqe { opcode, flags, addr, off, len, op_flags, buf_index, file_index, addr3, .. } = *sqe;
    let wrong = match opcode {
        MADVISE => buf_index != 0 || file_index != 0,
        SPLICE => op_flags & !SPLICE_FLAGS != 0,
        TEE => op_flags & !SPLICE_FLAGS != 0 || off != 0 || addr != 0,
        FUTEX_WAIT | FUTEX_WAKE => {
            let kind = sqe.fd as u32;
            len != 0
                || op_flags != 0
                || buf_index != 0
                || file_index != 0
                || kind & !(FUTEX_SIZE | FUTEX_PRIVATE) != 0
                || kind & FUTEX_SIZE != FUTEX_U32
                || off > u64::from(u32::MAX)
                || addr3 > u64::from(u32::MAX)
                || addr3 == 0 && opcode == FUTEX_WAIT
        }
        WAITID => addr != 0 || buf_index != 0 || addr3 != 0 || op_flags != 0,
        PROVIDE_BUFFERS => op_flags != 0 || file_index != 0 || !lends(sqe),
        REMOVE_BUFFERS => {
            let count = sqe.fd;
            op_flags != 0
                || addr != 0
                || len != 0
                || off != 0
                || file_index != 0
                || !(1..=i32::from(u16::MAX)).contains(&count)
        }
        FILES_UPDATE => flags & FIXED_FILE != 0 || op_flags != 0 || file_index != 0 || len == 0,
        MSG_RING => buf_index != 0 || sqe.personality != 0 || op_flags & !MESSAGE_FLAGS != 0,
        FIXED_FD_INSTALL => {
            off != 0
                || addr != 0
                || len != 0
                || buf_index != 0
                || file_index != 0
                || addr3 != 0
                || op_flags & !raw::IORING_FIXED_FD_NO_CLOEXEC != 0
        }
        _ => false,
    };
    if opcode == FIXED_FD_INSTALL && flags & FIXED_FILE == 0 {
        return Err(Errno::EBADF);
    }
    if opcode == PROVIDE_BUFFERS && !(1..=i32::from(u16::MAX)).contains(&sqe.fd) {
        return Err(Errno::E2BIG);
    }
    if wrong { Err(Errno::EINVAL) } else { Ok(Prepared::Nothing) }
}

const SPLICE_FLAGS: u32 = general::SPLICE_F_MOVE
    | general::SPLICE_F_NONBLOCK
    | general::SPLICE_F_MORE
    | general::SPLICE_F_GIFT
    | raw::SPLICE_F_FD_IN_FIXED;

const MESSAGE_FLAGS: u32 = raw::IORING_MSG_RING_CQE_SKIP | raw::IORING_MSG_RING_FLAGS_PASS;

/// Whether the buffers that a submission lends have numbers, and addresses.
fn lends(sqe: &Sqe) -> bool {
    let (count, len) = (sqe.fd.max(0) as u64, u64::from(sqe.len));
    let end = count.checked_mul(len).and_then(|size| sqe.addr.checked_add(size));
    let last = sqe.off.checked_add(count);
    len > 0 && end.is_some() && last.is_some_and(|last| last <= 1 << 16)
}

/// What ends at once.
pub(super) fn now(ring: &Uring, thread: &Thread, sqe: &Sqe) -> Option<SysResult<usize>> {
    Some(match sqe.opcode {
        PROVIDE_BUFFERS => {
            let lent = [sqe.addr, sqe.len.into(), sqe.fd as u64, sqe.off];
            ring.groups.lock().provide(sqe.buf_index, lent).map(|()| 0)
        }
        REMOVE_BUFFERS => ring.groups.lock().remove(sqe.buf_index, sqe.fd as usize),
        FILES_UPDATE => register::update_files(ring, thread, sqe.off, sqe.addr, sqe.len),
        MSG_RING => message(ring, thread, sqe),
        FUTEX_WAKE => wake(thread, sqe),
        FIXED_FD_INSTALL => file(ring, thread, sqe).and_then(|file| {
            let close_on_exec = sqe.op_flags & raw::IORING_FIXED_FD_NO_CLOEXEC == 0;
            names::install(ring, thread, file, 0, close_on_exec)
        }),
        _ => return None,
    })
}

/// futex(2) `FUTEX_WAKE_BITSET`
fn wake(thread: &Thread, sqe: &Sqe) -> SysResult<usize> {
    let shared = sqe.fd as u32 & FUTEX_PRIVATE == 0;
    let key = key_of(&thread.memory, sqe.addr, shared)?;
    let mask = sqe.addr3 as u32;
    if mask == 0 {
        return Err(Errno::EINVAL);
    }
    let count = usize::try_from(sqe.off as i32).unwrap_or(0);
    match count {
        0 => Ok(0),
        count => Ok(thread.process.kernel.futexes.wake(key, count, mask)),
    }
}

/// Tells another ring something, or gives it a registered file.
fn message(ring: &Uring, thread: &Thread, sqe: &Sqe) -> SysResult<usize> {
    let file = file(ring, thread, sqe)?;
    let target = file.downcast::<Uring>().ok_or(Errno::EBADFD)?;
    if !target.is_enabled() {
        return Err(Errno::EBADFD);
    }
    let (passes, silent) = (
        sqe.op_flags & raw::IORING_MSG_RING_FLAGS_PASS != 0,
        sqe.op_flags & raw::IORING_MSG_RING_CQE_SKIP != 0,
    );
    let res = match sqe.addr {
        0 if silent || sqe.addr3 != 0 || !passes && sqe.file_index != 0 => {
            return Err(Errno::EINVAL);
        }
        0 => sqe.len as i32,
        1 if std::ptr::eq(target, ring) || sqe.len != 0 => return Err(Errno::EINVAL),
        1 => {
            let sent = ring.files.lock().get(sqe.addr3 as usize).ok_or(Errno::EBADF)?;
            if sqe.file_index == 0 {
                return Err(Errno::EINVAL);
            }
            names::install(target, thread, Arc::clone(sent.get()), sqe.file_index, false)? as i32
        }
        _ => return Err(Errno::EINVAL),
    };
    let flags = if passes && sqe.addr == 0 { sqe.file_index } else { 0 };
    if !silent {
        target.completions.post(&[Cqe { user_data: sqe.off, res, flags }], Kind::Late);
    }
    Ok(if sqe.addr == 1 { res as usize } else { 0 })
}

/// What waits.
pub(super) async fn perform(
    ring: &Weak<Uring>,
    operation: &Operation,
    request: &Request,
    until: Option<u64>,
) -> Outcome {
    let sqe = &request.sqe;
    let thread = operation.thread();
    let done = match sqe.opcode {
        SPLICE | TEE => operation.until(until, splice(ring, operation, sqe)).await,
        MADVISE => {
            let len = if sqe.off != 0 { sqe.off } else { sqe.len.into() };
            let arguments = [sqe.addr, len, sqe.op_flags.into(), 0, 0, 0];
            operation.call(general::__NR_madvise.into(), &arguments, until).await
        }
        WAITID => {
            let (kind, id, options) = (sqe.len, i64::from(sqe.fd) as u64, sqe.file_index);
            let arguments = [kind.into(), id, sqe.off, options.into(), 0, 0];
            operation.call(general::__NR_waitid.into(), &arguments, until).await
        }
        _ => {
            let (word, value, mask) = (UserAddr(sqe.addr), sqe.off as u32, sqe.addr3 as u32);
            let shared = sqe.fd as u32 & FUTEX_PRIVATE == 0;
            let wait = futex::Wait::new(word, value, mask, shared);
            let waited = async { futex::wait(thread, wait).await.map(|()| 0) };
            operation.until(until, waited).await
        }
    };
    let wanted = sqe.len as u64;
    let short = matches!(sqe.opcode, SPLICE | TEE) && done != Ok(wanted);
    let outcome = Outcome::from(done.map(|done| done as usize));
    Outcome { failed: outcome.failed || short, ..outcome }
}

/// splice(2) and tee(2)
async fn splice(ring: &Weak<Uring>, operation: &Operation, sqe: &Sqe) -> SysResult<u64> {
    let fixed = sqe.op_flags & raw::SPLICE_F_FD_IN_FIXED != 0;
    let source =
        Sqe { fd: sqe.file_index as i32, flags: if fixed { FIXED_FILE } else { 0 }, ..*sqe };
    let (from, to) = (file_of(ring, operation, &source)?, file_of(ring, operation, sqe)?);
    let (thread, count) = (operation.thread(), sqe.len as usize);
    let flags = Flags(sqe.op_flags & !raw::SPLICE_F_FD_IN_FIXED);
    let moved = if sqe.opcode == TEE {
        tee_files(thread, &from, &to, count, flags).await
    } else {
        // All ones is no offset.
        let offset = |at: u64| Some(at as i64).filter(|&at| at != -1);
        let (mut from_at, mut to_at) = (offset(sqe.addr), offset(sqe.off));
        splice_files(thread, &from, &mut from_at, &to, &mut to_at, count, flags).await
    };
    moved.map(|moved| moved as u64)
}
