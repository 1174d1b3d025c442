//! The operations: what each checks and copies when it is submitted, and what it does.
//!
//! The one idea: an operation has up to three parts. [`prepare`] is done for all when they are taken, [`try_now`] ends what need not wait
//! without a task, and [`perform`] is the rest, which may be cut short at any time.

mod cancel;
mod misc;
mod names;
mod net;
mod pick;
pub(super) mod poll;
mod rw;
mod time;

use std::sync::{Arc, Weak};

use linux_raw_sys::io_uring::io_uring_op as raw;

use super::{
    Uring,
    entry::Sqe,
    registered::Resource,
    request::{BUFFER_SELECT, FIXED_FILE, Outcome, Request},
};
use crate::{
    errno::{Errno, SysResult},
    net::Address,
    process::Thread,
    ring::{Operation, operations::Label},
    syscall::{
        argument::Fd,
        fs::How,
        io::Ranges,
        pace,
        socket::message::{Message, MsgHdr},
    },
    vfs::OpenFile,
};

/// The numbers of the operations that are there.
macro_rules! opcodes {
    ($($name:ident = $raw:ident: $traits:expr;)*) => {
        $(const $name: u8 = raw::$raw as u8;)*

        /// What there is to know of an operation beforehand; `None` for one that is not there.
        pub(super) fn traits(opcode: u8) -> Option<Traits> {
            match opcode {
                $($name => Some($traits),)*
                _ => None,
            }
        }

        /// What an operation is called.
        pub(super) fn name(opcode: u8) -> &'static str {
            match opcode {
                $($name => stringify!($name),)*
                _ => "unknown",
            }
        }
    };
}

/// What there is to know of an operation beforehand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traits {
    /// It may be given a buffer of a group.
    pub(super) picks_buffers: bool,
    /// The field `ioprio` has a meaning.
    pub(super) takes_ioprio: bool,
}

const PLAIN: Traits = Traits { picks_buffers: false, takes_ioprio: false };
const PRIORITY: Traits = Traits { takes_ioprio: true, ..PLAIN };
const PICKING: Traits = Traits { picks_buffers: true, takes_ioprio: true };

opcodes! {
    NOP = IORING_OP_NOP: PLAIN;
    READV = IORING_OP_READV: PICKING;
    WRITEV = IORING_OP_WRITEV: PRIORITY;
    FSYNC = IORING_OP_FSYNC: PLAIN;
    READ_FIXED = IORING_OP_READ_FIXED: PRIORITY;
    WRITE_FIXED = IORING_OP_WRITE_FIXED: PRIORITY;
    POLL_ADD = IORING_OP_POLL_ADD: PLAIN;
    POLL_REMOVE = IORING_OP_POLL_REMOVE: PLAIN;
    SYNC_FILE_RANGE = IORING_OP_SYNC_FILE_RANGE: PLAIN;
    SENDMSG = IORING_OP_SENDMSG: PRIORITY;
    RECVMSG = IORING_OP_RECVMSG: PICKING;
    TIMEOUT = IORING_OP_TIMEOUT: PLAIN;
    TIMEOUT_REMOVE = IORING_OP_TIMEOUT_REMOVE: PLAIN;
    ACCEPT = IORING_OP_ACCEPT: PRIORITY;
    ASYNC_CANCEL = IORING_OP_ASYNC_CANCEL: PLAIN;
    LINK_TIMEOUT = IORING_OP_LINK_TIMEOUT: PLAIN;
    CONNECT = IORING_OP_CONNECT: PLAIN;
    FALLOCATE = IORING_OP_FALLOCATE: PLAIN;
    OPENAT = IORING_OP_OPENAT: PLAIN;
    CLOSE = IORING_OP_CLOSE: PLAIN;
    FILES_UPDATE = IORING_OP_FILES_UPDATE: PLAIN;
    STATX = IORING_OP_STATX: PLAIN;
    READ = IORING_OP_READ: PICKING;
    WRITE = IORING_OP_WRITE: PRIORITY;
    FADVISE = IORING_OP_FADVISE: PLAIN;
    MADVISE = IORING_OP_MADVISE: PLAIN;
    SEND = IORING_OP_SEND: PRIORITY;
    RECV = IORING_OP_RECV: PICKING;
    OPENAT2 = IORING_OP_OPENAT2: PLAIN;
    EPOLL_CTL = IORING_OP_EPOLL_CTL: PLAIN;
    SPLICE = IORING_OP_SPLICE: PLAIN;
    PROVIDE_BUFFERS = IORING_OP_PROVIDE_BUFFERS: PLAIN;
    REMOVE_BUFFERS = IORING_OP_REMOVE_BUFFERS: PLAIN;
    TEE = IORING_OP_TEE: PLAIN;
    SHUTDOWN = IORING_OP_SHUTDOWN: PLAIN;
    RENAMEAT = IORING_OP_RENAMEAT: PLAIN;
    UNLINKAT = IORING_OP_UNLINKAT: PLAIN;
    MKDIRAT = IORING_OP_MKDIRAT: PLAIN;
    SYMLINKAT = IORING_OP_SYMLINKAT: PLAIN;
    LINKAT = IORING_OP_LINKAT: PLAIN;
    MSG_RING = IORING_OP_MSG_RING: PLAIN;
    FSETXATTR = IORING_OP_FSETXATTR: PLAIN;
    SETXATTR = IORING_OP_SETXATTR: PLAIN;
    FGETXATTR = IORING_OP_FGETXATTR: PLAIN;
    GETXATTR = IORING_OP_GETXATTR: PLAIN;
    SOCKET = IORING_OP_SOCKET: PLAIN;
    READ_MULTISHOT = IORING_OP_READ_MULTISHOT: PICKING;
    WAITID = IORING_OP_WAITID: PLAIN;
    FUTEX_WAIT = IORING_OP_FUTEX_WAIT: PLAIN;
    FUTEX_WAKE = IORING_OP_FUTEX_WAKE: PLAIN;
    FIXED_FD_INSTALL = IORING_OP_FIXED_FD_INSTALL: PLAIN;
    FTRUNCATE = IORING_OP_FTRUNCATE: PLAIN;
    BIND = IORING_OP_BIND: PLAIN;
    LISTEN = IORING_OP_LISTEN: PLAIN;
}

/// What was copied of a submission when it was taken.
pub(super) enum Prepared {
    Nothing,
    Ranges(Box<Ranges>),
    Time(time::Time),
    /// A message to be sent.
    Message(Box<Message>),
    /// Where a message goes that is received.
    Header(Box<(MsgHdr, Ranges)>),
    Address(Box<Address>),
    Open(Vec<u8>, How),
    /// One or two.
    Paths(Vec<u8>, Vec<u8>),
}

/// Checks a submission and copies what it points to. `EINVAL`, `EFAULT`, …
pub(super) fn prepare(thread: &Thread, sqe: &Sqe, before: Option<&Request>) -> SysResult<Prepared> {
    match sqe.opcode {
        NOP => {
            if sqe.op_flags == 0 {
                Ok(Prepared::Nothing)
            } else {
                Err(Errno::EINVAL)
            }
        }
        READ | WRITE | READV | WRITEV | READ_FIXED | WRITE_FIXED | READ_MULTISHOT => {
            rw::prepare(thread, sqe)
        }
        FSYNC => rw::prepare_fsync(sqe),
        POLL_ADD | POLL_REMOVE | EPOLL_CTL => poll::prepare(sqe),
        SEND | SENDMSG | RECV | RECVMSG | ACCEPT | CONNECT | SHUTDOWN | SOCKET | BIND | LISTEN => {
            net::prepare(thread, sqe)
        }
        TIMEOUT | TIMEOUT_REMOVE | LINK_TIMEOUT => time::prepare(thread, sqe, before),
        ASYNC_CANCEL => cancel::prepare(sqe),
        OPENAT | OPENAT2 | STATX | RENAMEAT | UNLINKAT | MKDIRAT | SYMLINKAT | LINKAT => {
            names::prepare(thread, sqe)
        }
        CLOSE if sqe.flags & FIXED_FILE != 0 => Err(Errno::EBADF),
        CLOSE if sqe.file_index != 0 && sqe.fd == 0 => {
            names::prepare_attribute(&Sqe { file_index: 0, ..*sqe })
        }
        FALLOCATE | FADVISE | SYNC_FILE_RANGE | FTRUNCATE | CLOSE => names::prepare_attribute(sqe),
        GETXATTR | SETXATTR | FGETXATTR | FSETXATTR => names::prepare_xattr(sqe),
        _ => misc::prepare(sqe),
    }
}

/// What becomes of a request that need not wait.
pub(super) fn try_now(ring: &Uring, thread: &Thread, request: &Request) -> Option<Outcome> {
    let sqe = &request.sqe;
    match sqe.opcode {
        NOP => Some(Outcome::done(0)),
        READ | READ_FIXED | WRITE | WRITE_FIXED => rw::now(ring, thread, request),
        POLL_REMOVE | EPOLL_CTL => Some(poll::now(ring, thread, sqe).into()),
        SHUTDOWN | SOCKET | BIND | LISTEN => Some(net::now(ring, thread, request).into()),
        TIMEOUT_REMOVE => Some(time::remove(ring, request).into()),
        ASYNC_CANCEL => Some(cancel::now(ring, thread, sqe).into()),
        STATX | RENAMEAT | UNLINKAT | MKDIRAT | SYMLINKAT | LINKAT => {
            names::now(thread, request).map(Outcome::from)
        }
        CLOSE => Some(names::close(ring, thread, sqe).into()),
        FALLOCATE | FADVISE | FTRUNCATE => Some(names::attribute_now(ring, thread, sqe).into()),
        GETXATTR | SETXATTR | FGETXATTR | FSETXATTR => Some(names::xattr_now(thread, sqe).into()),
        _ => misc::now(ring, thread, sqe).map(Outcome::from),
    }
}

/// Does what a request wants, for no longer than `until` on the monotonic clock.
pub(super) async fn perform(
    ring: &Weak<Uring>,
    operation: &Operation,
    request: &Request,
    until: Option<u64>,
) -> Outcome {
    if let Some(outcome) =
        ring.upgrade().and_then(|ring| try_now(&ring, operation.thread(), request))
    {
        return outcome;
    }
    match request.sqe.opcode {
        READ | READV | READ_FIXED | WRITE | WRITEV | WRITE_FIXED | FSYNC | READ_MULTISHOT => {
            rw::perform(ring, operation, request, until).await
        }
        POLL_ADD => poll::perform(ring, operation, request, until).await,
        SEND | SENDMSG => net::send(ring, operation, request, until).await,
        RECV | RECVMSG => net::receive(ring, operation, request, until).await,
        ACCEPT => net::accept(ring, operation, request, until).await,
        CONNECT => net::connect(ring, operation, request, until).await,
        TIMEOUT => time::perform(ring, operation, request, until).await,
        OPENAT | OPENAT2 => names::open(ring, operation, request, until).await,
        SYNC_FILE_RANGE => names::sync_range(ring, operation, &request.sqe, until).await,
        SPLICE | TEE | MADVISE | WAITID | FUTEX_WAIT => {
            misc::perform(ring, operation, request, until).await
        }
        _ => Outcome::error(Errno::EINVAL),
    }
}

/// Gives a file any free place in a ring's table: which.
pub(super) fn install_anywhere(ring: &Uring, file: Arc<OpenFile>) -> SysResult<usize> {
    let mut files = ring.files.lock();
    let place = files.free()?;
    let resource = Resource::new(file, 0, ring.me.clone());
    let old = files.replace(place, Some(resource));
    drop(files);
    old.map(|_| place)
}

/// The file that a submission names. `EBADF`.
fn file(ring: &Uring, thread: &Thread, sqe: &Sqe) -> SysResult<Arc<OpenFile>> {
    if sqe.flags & FIXED_FILE == 0 {
        return thread.files.get(Fd(sqe.fd));
    }
    let index = usize::try_from(sqe.fd).map_err(|_| Errno::EBADF)?;
    let registered = ring.files.lock().get(index).ok_or(Errno::EBADF)?;
    Ok(Arc::clone(registered.get()))
}

/// The same for an operation, which is from now on known to be about that file.
fn file_of(ring: &Weak<Uring>, operation: &Operation, sqe: &Sqe) -> SysResult<Arc<OpenFile>> {
    let ring = ring.upgrade().ok_or(Errno::ECANCELED)?;
    let file = file(&ring, operation.thread(), sqe)?;
    operation.concerns(Arc::as_ptr(&file).addr());
    Ok(file)
}

/// Tells of one outcome of several, and gives others their turn. What the operation ends with, if it goes on no more: there was no room to tell it, or
/// it has been cancelled meanwhile, for it may never have to wait.
async fn told(
    ring: &Weak<Uring>,
    operation: &Operation,
    request: &Request,
    outcome: Outcome,
) -> Option<Outcome> {
    let mut completion = outcome.completion(request);
    completion.flags |= linux_raw_sys::io_uring::IORING_CQE_F_MORE;
    if !ring.upgrade().is_some_and(|ring| ring.completions.post_if_room(completion)) {
        return Some(outcome);
    }
    pace::give_way(operation.thread()).await;
    operation.is_canceled().then(|| Outcome::error(Errno::ECANCELED))
}
