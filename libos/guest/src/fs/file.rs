//! Open files.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

use super::{Metadata, metadata, path_bytes};
use crate::{
    buffer::{BufResult, Buffer, BufferMut},
    operation::{self, Fd, submission},
    transfer::{self, How, lend, transfers},
};

/// An open file. Reading and writing without an offset is done at the file's position, and is for one task at a time.
#[derive(Debug)]
pub struct File {
    pub(super) fd: Fd,
}

transfers!(File, How::Stream, read);
transfers!(File, How::Stream, write);
transfers!(File, close);

impl File {
    /// Opens a file to be read.
    ///
    /// # Errors
    ///
    /// Those of open(2).
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Opens a file to be written, which is made if it is not there and emptied if it is.
    ///
    /// # Errors
    ///
    /// Those of open(2).
    pub async fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path).await
    }

    /// Reads from `offset` on as much as there is and fits into the buffer, from its beginning: how much; 0 at the end.
    ///
    /// # Errors
    ///
    /// Those of pread(2).
    pub async fn read_at<B: BufferMut>(&self, buffer: B, offset: u64) -> BufResult<usize, B> {
        transfer::read(&self.fd, buffer, How::At(offset)).await
    }

    /// Writes from `offset` on as much of the buffer as is taken: how much.
    ///
    /// # Errors
    ///
    /// Those of pwrite(2).
    pub async fn write_at<B: Buffer>(&self, buffer: B, offset: u64) -> BufResult<usize, B> {
        transfer::write(&self.fd, buffer, 0, How::At(offset)).await
    }

    /// Writes all of the buffer from `offset` on.
    ///
    /// # Errors
    ///
    /// Those of pwrite(2); some of it may have been written.
    pub async fn write_all_at<B: Buffer>(&self, buffer: B, offset: u64) -> BufResult<(), B> {
        transfer::write_all(&self.fd, buffer, How::At(offset)).await
    }

    /// What is known of it.
    ///
    /// # Errors
    ///
    /// Those of statx(2).
    pub async fn metadata(&self) -> io::Result<Metadata> {
        metadata::of_file(&self.fd).await
    }

    /// Waits until it is on its disk.
    ///
    /// # Errors
    ///
    /// Those of fsync(2).
    pub async fn sync_all(&self) -> io::Result<()> {
        transfer::call(&self.fd, libc::SYS_fsync, [self.fd.raw()]).await.map(drop)
    }

    /// Waits until what is in it is on its disk.
    ///
    /// # Errors
    ///
    /// Those of fdatasync(2).
    pub async fn sync_data(&self) -> io::Result<()> {
        transfer::call(&self.fd, libc::SYS_fdatasync, [self.fd.raw()]).await.map(drop)
    }
}

/// How a file is to be opened, as in `std`.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    flags: i32,
    mode: u32,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenOptions {
    /// Neither read nor written.
    pub fn new() -> Self {
        Self { read: false, write: false, append: false, flags: 0, mode: 0o666 }
    }

    /// To be read.
    pub fn read(&mut self, on: bool) -> &mut Self {
        self.read = on;
        self
    }

    /// To be written.
    pub fn write(&mut self, on: bool) -> &mut Self {
        self.write = on;
        self
    }

    /// To be written at its end.
    pub fn append(&mut self, on: bool) -> &mut Self {
        self.append = on;
        self.flag(libc::O_APPEND, on)
    }

    /// Emptied.
    pub fn truncate(&mut self, on: bool) -> &mut Self {
        self.flag(libc::O_TRUNC, on)
    }

    /// Made if it is not there.
    pub fn create(&mut self, on: bool) -> &mut Self {
        self.flag(libc::O_CREAT, on)
    }

    /// Made, and an error if it is there.
    pub fn create_new(&mut self, on: bool) -> &mut Self {
        self.flag(libc::O_CREAT | libc::O_EXCL, on)
    }

    /// The permissions of one that is made, less the umask.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// Flags of open(2) beside those that the other methods set.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.flag(flags & !libc::O_ACCMODE, true)
    }

    fn flag(&mut self, flag: i32, on: bool) -> &mut Self {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
        self
    }

    /// Opens it.
    ///
    /// # Errors
    ///
    /// Those of open(2).
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let access = match (self.read, self.write || self.append) {
            (true, true) => libc::O_RDWR,
            (false, true) => libc::O_WRONLY,
            (true, false) => libc::O_RDONLY,
            (false, false) => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
        let flags = access | self.flags | libc::O_CLOEXEC;
        let path = path_bytes(path.as_ref())?;
        let arguments =
            [libc::AT_FDCWD as u64, path.as_ptr() as u64, flags as u64, self.mode.into()];
        let open = submission(libc::SYS_openat, arguments);
        // SAFETY: the call reads the path, which is lent.
        let fd = unsafe { operation::make_fd(open, lend(None, path)) }.await?;
        Ok(File { fd: fd.into() })
    }
}

fn standard(fd: BorrowedFd<'_>) -> io::Result<File> {
    Ok(fd.try_clone_to_owned()?.into())
}

/// The standard input, a descriptor of its own.
///
/// # Errors
///
/// `EMFILE`, `EBADF`.
pub fn stdin() -> io::Result<File> {
    standard(io::stdin().as_fd())
}

/// The standard output, a descriptor of its own.
///
/// # Errors
///
/// `EMFILE`, `EBADF`.
pub fn stdout() -> io::Result<File> {
    standard(io::stdout().as_fd())
}

/// The standard error, a descriptor of its own.
///
/// # Errors
///
/// `EMFILE`, `EBADF`.
pub fn stderr() -> io::Result<File> {
    standard(io::stderr().as_fd())
}
