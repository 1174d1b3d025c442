//! A system call on its way.
//!
//! The one idea: what a call uses goes along with it and comes back with its result. The [driver] has it meanwhile, so the future can be
//! dropped at any time: the kernel is told to cancel the call, and only when it says that the call is over is what was lent dropped, and
//! what the call has made after all, a descriptor or a picked buffer, is put where it belongs.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    rc::Rc,
    sync::Arc,
};

use evering::{
    driver::{self, LocalDriver, OperationError, SubmitError, Tagged},
    region::Keeper,
};

use crate::{
    abi::{Completion, Submission, call},
    buffer::ArenaBuffer,
    net::picked::Group,
    runtime,
};

/// The driver of a thread's operations.
pub(crate) type Driver = LocalDriver<Submission, Completion, Lent, Keeper, Keeper>;
pub(crate) type Operation =
    driver::Operation<Submission, Completion, Lent, evering::sharing::Local, Keeper, Keeper>;

impl Tagged for Submission {
    fn id(&self) -> u64 {
        self.id
    }
    fn set_id(&mut self, id: u64) {
        self.id = id;
    }
}

impl Tagged for Completion {
    fn id(&self) -> u64 {
        self.id
    }
    fn set_id(&mut self, id: u64) {
        self.id = id;
    }
}

/// A descriptor. It is closed when no operation uses it any more.
#[derive(Debug, Clone)]
pub(crate) struct Fd(Rc<OwnedFd>);

impl Fd {
    pub(crate) fn raw(&self) -> u64 {
        self.0.as_raw_fd() as u64
    }

    /// The descriptor, unless an operation uses it.
    pub(crate) fn into_owned(self) -> Result<OwnedFd, Self> {
        Rc::try_unwrap(self.0).map_err(Self)
    }

    pub(crate) fn owned(&self) -> &OwnedFd {
        &self.0
    }
}

impl From<OwnedFd> for Fd {
    fn from(fd: OwnedFd) -> Self {
        Self(Rc::new(fd))
    }
}

/// What an operation uses.
#[derive(Default)]
pub(crate) struct Lent {
    #[expect(dead_code, reason = "it is open as long as this is there")]
    pub(crate) fd: Option<Fd>,
    pub(crate) memory: Memory,
    pub(crate) makes: Makes,
}

/// Memory that a call reads or writes. It stays where it is when this is moved.
#[derive(Default)]
pub(crate) enum Memory {
    #[default]
    Nothing,
    Bytes(Vec<u8>),
    Text(String),
    Static(&'static [u8]),
    Shared(Arc<[u8]>),
    Arena(ArenaBuffer),
}

/// What a call makes that must not be lost.
#[derive(Default)]
pub(crate) enum Makes {
    #[default]
    Nothing,
    /// Its result is a new descriptor.
    Descriptor,
    /// It picks a buffer of the group.
    Picked(Rc<Group>),
}

/// Nobody waits for the call any more, and it has ended.
pub(crate) fn orphan(completion: Completion, lent: Lent) {
    match lent.makes {
        Makes::Nothing => {}
        Makes::Descriptor => {
            if let Some(fd) = descriptor(completion.result) {
                drop(fd);
            }
        }
        Makes::Picked(group) => {
            if let Some((number, _)) = completion.picked() {
                group.give_back(number);
            }
        }
    }
}

fn descriptor(result: i64) -> Option<OwnedFd> {
    let fd = i32::try_from(result).ok().filter(|&fd| fd >= 0)?;
    // SAFETY: the call has made it, and has told us alone.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The submission that cancels another. No operation has its number.
pub(crate) fn cancel(id: u64) -> Submission {
    let arguments = [id, 0, 0, 0, 0, 0];
    Submission { id: u64::MAX, call: call::CANCEL, arguments, ..Submission::default() }
}

/// A call of Linux.
pub(crate) fn submission<const N: usize>(number: libc::c_long, arguments: [u64; N]) -> Submission {
    let mut submission = Submission { call: number as u32, ..Submission::default() };
    submission.arguments[..N].copy_from_slice(&arguments);
    submission
}

pub(crate) fn decode(completion: Completion) -> io::Result<u64> {
    u64::try_from(completion.result)
        .map_err(|_| io::Error::from_raw_os_error(-completion.result as i32))
}

pub(crate) fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the ring of system calls is of no use any more")
}

/// Begins a call, as soon as there is a place for it.
///
/// # Safety
///
/// All memory that the arguments lead to must be in `lent`, allow what the call does to it, and stay where it is when `lent` is moved; and
/// nothing may lead to it but `lent` as long as the call can write it.
pub(crate) async unsafe fn begin(
    submission: Submission,
    lent: Lent,
) -> Result<Operation, (io::Error, Lent)> {
    let driver = runtime::driver();
    driver.submit(submission, lent).await.map_err(|error| match error {
        SubmitError::Busy(_, lent) | SubmitError::Lost(_, lent) => (broken(), lent),
    })
}

/// Makes a call: its result, and what was lent.
///
/// # Safety
///
/// That of [`begin`].
pub(crate) async unsafe fn call(submission: Submission, lent: Lent) -> (io::Result<u64>, Lent) {
    // SAFETY: the caller's promise.
    match unsafe { begin(submission, lent) }.await {
        Ok(operation) => end(operation).await.map_or_else(
            |lent| (Err(broken()), lent),
            |(completion, lent)| (decode(completion), lent),
        ),
        Err((error, lent)) => (Err(error), lent),
    }
}

/// Waits for the end of an operation. What was lent, if there will be none.
pub(crate) async fn end(operation: Operation) -> Result<(Completion, Lent), Lent> {
    match operation.await {
        Ok(end) => Ok(end),
        Err(OperationError::Lost(lent)) => Err(lent),
        Err(OperationError::TimedOut) => unreachable!("the driver knows no deadlines"),
    }
}

/// Makes a call whose result is a new descriptor.
///
/// # Safety
///
/// That of [`begin`].
pub(crate) async unsafe fn make_fd(submission: Submission, lent: Lent) -> io::Result<OwnedFd> {
    let lent = Lent { makes: Makes::Descriptor, ..lent };
    // SAFETY: the caller's promise.
    let (result, _) = unsafe { call(submission, lent) }.await;
    descriptor(result? as i64).ok_or_else(broken)
}
