//! Calls that move bytes between a descriptor and a buffer.

use std::io;

use crate::{
    abi::Submission,
    buffer::{BufResult, Buffer, BufferMut, sealed::Lending},
    operation::{self, Fd, Lent, Memory, submission},
};

/// Which call moves the bytes.
#[derive(Clone, Copy)]
pub(crate) enum How {
    /// read(2), write(2).
    Stream,
    /// pread(2), pwrite(2), at the offset.
    At(u64),
    /// recv(2), send(2).
    Socket,
}

fn reading(fd: &Fd, address: u64, len: usize, how: How) -> Submission {
    let (fd, len) = (fd.raw(), len as u64);
    match how {
        How::Stream => submission(libc::SYS_read, [fd, address, len]),
        How::At(offset) => submission(libc::SYS_pread64, [fd, address, len, offset]),
        How::Socket => submission(libc::SYS_recvfrom, [fd, address, len, 0]),
    }
}

fn writing(fd: &Fd, address: u64, len: usize, how: How) -> Submission {
    let (fd, len) = (fd.raw(), len as u64);
    match how {
        How::Stream => submission(libc::SYS_write, [fd, address, len]),
        How::At(offset) => submission(libc::SYS_pwrite64, [fd, address, len, offset]),
        How::Socket => submission(libc::SYS_sendto, [fd, address, len, libc::MSG_NOSIGNAL as u64]),
    }
}

/// Gets a buffer back.
fn back<B: Buffer>(lent: Lent) -> B {
    B::back(Lending(lent.memory)).expect("it is what was lent")
}

/// Reads into a buffer from its beginning.
pub(crate) async fn read<B: BufferMut>(fd: &Fd, mut buffer: B, how: How) -> BufResult<usize, B> {
    let (at, room) = buffer.room();
    let submission = reading(fd, at as u64, room, how);
    let lent = Lent { fd: Some(fd.clone()), memory: buffer.lend().0, ..Lent::default() };
    // SAFETY: the call writes to the buffer's own bytes, which are lent.
    let (result, lent) = unsafe { operation::call(submission, lent) }.await;
    let mut buffer: B = back(lent);
    let result = result.map(|len| {
        let len = (len as usize).min(room);
        // SAFETY: the call says that it has written them.
        unsafe { buffer.fill(len) };
        len
    });
    (result, buffer)
}

/// Writes what is in a buffer from `from` on: how much of it.
pub(crate) async fn write<B: Buffer>(
    fd: &Fd,
    buffer: B,
    from: usize,
    how: How,
) -> BufResult<usize, B> {
    let (at, len) = buffer.bytes();
    let from = from.min(len);
    let submission = writing(fd, at as u64 + from as u64, len - from, how);
    let lent = Lent { fd: Some(fd.clone()), memory: buffer.lend().0, ..Lent::default() };
    // SAFETY: the call reads the buffer's own bytes, which are lent.
    let (result, lent) = unsafe { operation::call(submission, lent) }.await;
    (result.map(|written| written as usize), back(lent))
}

/// Writes all that is in a buffer.
pub(crate) async fn write_all<B: Buffer>(fd: &Fd, mut buffer: B, how: How) -> BufResult<(), B> {
    let (mut done, len) = (0, buffer.bytes().1);
    while done < len {
        let how = match how {
            How::At(offset) => How::At(offset + done as u64),
            other => other,
        };
        let (result, same) = write(fd, buffer, done, how).await;
        buffer = same;
        match result {
            Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buffer),
            Ok(written) => done += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (Err(error), buffer),
        }
    }
    (Ok(()), buffer)
}

/// Makes a call with bytes of its own, the address of whose first is the argument `at`: its result, and the bytes.
///
/// # Safety
///
/// The call uses no memory but these bytes.
pub(crate) async unsafe fn call_with(
    fd: Option<&Fd>,
    mut submission: Submission,
    at: usize,
    mut bytes: Vec<u8>,
) -> BufResult<u64, Vec<u8>> {
    submission.arguments[at] = bytes.as_mut_ptr() as u64;
    let lent = lend(fd, bytes);
    // SAFETY: the bytes are lent, and the rest is the caller's promise.
    let (result, lent) = unsafe { operation::call(submission, lent) }.await;
    (result, back(lent))
}

/// What an operation with a descriptor and bytes uses.
pub(crate) fn lend(fd: Option<&Fd>, bytes: Vec<u8>) -> Lent {
    Lent { fd: fd.cloned(), memory: Memory::Bytes(bytes), ..Lent::default() }
}

/// Makes a call that uses no memory.
pub(crate) async fn call<const N: usize>(
    fd: &Fd,
    number: libc::c_long,
    arguments: [u64; N],
) -> io::Result<u64> {
    let lent = Lent { fd: Some(fd.clone()), ..Lent::default() };
    // SAFETY: the calls that this is used for lead to no memory.
    unsafe { operation::call(submission(number, arguments), lent) }.await.0
}

/// Closes a descriptor; errors that only closing shows come out.
pub(crate) async fn close(fd: Fd) -> io::Result<()> {
    use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
    // What an operation still uses is closed when that is over.
    let Ok(fd) = fd.into_owned() else { return Ok(()) };
    let raw = fd.into_raw_fd();
    let driver = crate::runtime::driver();
    match driver.try_submit(submission(libc::SYS_close, [raw as u64]), Lent::default()) {
        Ok(operation) => {
            let closed = Closing(Some(operation));
            closed.wait().await
        }
        Err(_) => {
            // SAFETY: nobody has closed it.
            drop(unsafe { OwnedFd::from_raw_fd(raw) });
            Ok(())
        }
    }
}

/// A close(2) that goes on when nobody waits for it any more.
struct Closing(Option<operation::Operation>);

impl Closing {
    async fn wait(mut self) -> io::Result<()> {
        let Some(operation) = self.0.as_mut() else { return Ok(()) };
        let result = operation.await;
        self.0 = None;
        let (completion, _) = result.map_err(|_| operation::broken())?;
        operation::decode(completion).map(drop)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(operation) = self.0.take() {
            operation.detach();
        }
    }
}

/// Implements reading and writing in order.
macro_rules! transfers {
    ($type:ty, $how:expr, read) => {
        impl $type {
            /// Reads as much as there is and fits into the buffer, from its beginning: how much; 0 at the end.
            ///
            /// # Errors
            ///
            /// Those of read(2).
            pub async fn read<B: $crate::BufferMut>(
                &self,
                buffer: B,
            ) -> $crate::BufResult<usize, B> {
                $crate::transfer::read(&self.fd, buffer, $how).await
            }
        }
    };
    ($type:ty, $how:expr, write) => {
        impl $type {
            /// Writes as much of the buffer as is taken: how much.
            ///
            /// # Errors
            ///
            /// Those of write(2).
            pub async fn write<B: $crate::Buffer>(&self, buffer: B) -> $crate::BufResult<usize, B> {
                $crate::transfer::write(&self.fd, buffer, 0, $how).await
            }

            /// Writes all of the buffer.
            ///
            /// # Errors
            ///
            /// Those of write(2); some of it may have been written.
            pub async fn write_all<B: $crate::Buffer>(
                &self,
                buffer: B,
            ) -> $crate::BufResult<(), B> {
                $crate::transfer::write_all(&self.fd, buffer, $how).await
            }
        }
    };
    ($type:ty, close) => {
        impl $type {
            /// Closes it, as dropping it does, too, and says what came of that.
            ///
            /// # Errors
            ///
            /// Those of close(2): `EIO`, `ENOSPC`, `EDQUOT` for what was written before.
            pub async fn close(self) -> std::io::Result<()> {
                $crate::transfer::close(self.fd).await
            }
        }

        impl From<std::os::fd::OwnedFd> for $type {
            fn from(fd: std::os::fd::OwnedFd) -> Self {
                Self { fd: fd.into() }
            }
        }

        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                std::os::fd::AsFd::as_fd(self.fd.owned())
            }
        }
    };
}
pub(crate) use transfers;
