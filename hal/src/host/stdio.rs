//! The descriptors this process was started with: standard input, output and error.
//!
//! Whatever they are (terminal, pipe, file, socket), reads and writes never block a CPU, and the open file that is shared
//! with the parent shell is left as it is: `O_NONBLOCK` is a flag of the shared open file, so a terminal or pipe is
//! opened *anew* by way of `/proc/self/fd` and that one made non-blocking; a socket takes the wish with each call; for the
//! rest poll(2) is asked first. A regular file keeps its shared position, as `(cmd1; cmd2) < file` wants.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStringExt, fs::OpenOptionsExt},
    },
    path::Path,
    sync::Arc,
};

use super::{
    FileKind, HostError, HostFile, HostStat, Result,
    error::{check, retry},
};
use crate::{
    console::{Termios, TermiosWhen, WindowSize},
    reactor::{Readiness, Ready, Watch},
};

/// How a stream is kept from blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Its own open file, which is non-blocking.
    Reopened,
    /// A flag of each call.
    Socket,
    /// By asking poll(2) first.
    PollFirst,
    /// A file or directory: it waits for nobody but a disk.
    Plain,
}

/// One of the standard streams.
#[derive(Debug)]
pub struct HostStream {
    fd: OwnedFd,
    kind: FileKind,
    mode: Mode,
    tty: bool,
    /// The same open file once more, where it is a file.
    file: Option<HostFile>,
}

/// Standard input.
pub fn stdin() -> Result<HostStream> {
    HostStream::new(io::stdin().as_fd())
}

/// Standard output.
pub fn stdout() -> Result<HostStream> {
    HostStream::new(io::stdout().as_fd())
}

/// Standard error.
pub fn stderr() -> Result<HostStream> {
    HostStream::new(io::stderr().as_fd())
}

impl HostStream {
    /// A new file to write to, or an old one emptied.
    pub fn create(path: &Path) -> Result<Self> {
        Self::new(File::create(path)?.as_fd())
    }

    /// Writes all of `buf`, waiting as long as it takes: for a log of the kernel's own.
    pub fn write_all(&self, mut buf: &[u8]) -> Result<()> {
        while !buf.is_empty() {
            match self.try_write(buf) {
                Ok(len) => buf = buf.get(len..).unwrap_or_default(),
                Err(error) if error.would_block() => {
                    let mut poll =
                        libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
                    // SAFETY: one pollfd. Whatever it returns, the write is tried again.
                    unsafe { libc::poll(&raw mut poll, 1, -1) };
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The stream behind a descriptor, which stays the caller's.
    ///
    /// # Errors
    ///
    /// `EBADF` when there is none: a process may be started without standard streams.
    pub fn new(fd: BorrowedFd<'_>) -> Result<Self> {
        let kind = HostStat::at(fd.as_raw_fd(), c"")?.kind();
        // SAFETY: touches no memory of ours.
        let tty = unsafe { libc::isatty(fd.as_raw_fd()) } == 1;
        let shared = |mode| -> Result<Self> {
            let file = match mode {
                Mode::Plain => Some(HostFile::from(fd.try_clone_to_owned()?)),
                _ => None,
            };
            Ok(Self { fd: fd.try_clone_to_owned()?, kind, mode, tty, file })
        };
        match kind {
            FileKind::Socket => shared(Mode::Socket),
            FileKind::Fifo => {
                Self::reopen(fd, kind, tty).map_or_else(|| shared(Mode::PollFirst), Ok)
            }
            FileKind::CharDevice if tty => {
                Self::reopen(fd, kind, tty).map_or_else(|| shared(Mode::PollFirst), Ok)
            }
            FileKind::CharDevice | FileKind::Unknown => shared(Mode::PollFirst),
            _ => shared(Mode::Plain),
        }
    }

    /// A new open file of the same terminal or pipe; none when the host refuses, as for another user's.
    fn reopen(fd: BorrowedFd<'_>, kind: FileKind, tty: bool) -> Option<Self> {
        // SAFETY: touches no memory.
        let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
        let access = flags & libc::O_ACCMODE;
        let file = OpenOptions::new()
            .read(access != libc::O_WRONLY)
            .write(access != libc::O_RDONLY)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(format!("/proc/self/fd/{}", fd.as_raw_fd()))
            .ok()?;
        Some(Self { fd: file.into(), kind, mode: Mode::Reopened, tty, file: None })
    }

    /// What it is.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// Whether it is a terminal.
    pub fn is_tty(&self) -> bool {
        self.tty
    }

    /// `fstat`.
    pub fn stat(&self) -> Result<HostStat> {
        HostStat::at(self.fd.as_raw_fd(), c"")
    }

    /// Whether it can be read, and whether it can be written, as it was opened.
    pub fn access(&self) -> (bool, bool) {
        // SAFETY: touches no memory.
        let flags = unsafe { libc::fcntl(self.fd.as_raw_fd(), libc::F_GETFL) };
        let access = flags & libc::O_ACCMODE;
        (access != libc::O_WRONLY, access != libc::O_RDONLY)
    }

    /// The path of the file or terminal behind it, as the host's /proc tells.
    pub fn path(&self) -> Result<Vec<u8>> {
        let link = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let target = std::fs::read_link(link)?;
        Ok(target.into_os_string().into_vec())
    }

    /// The regular file or directory behind it, for reads that wait for a disk; they leave the position alone.
    pub fn file(&self) -> Option<&HostFile> {
        self.file.as_ref()
    }

    /// [`HostStream::try_read`] that waits for a disk if it must; not for anything else.
    pub fn read(&self, buf: &mut [u8]) -> Result<usize> {
        match &self.file {
            Some(file) => file.read(buf),
            None => self.try_read(buf),
        }
    }

    /// Reads what there is; 0 at the end; `EAGAIN` when it would have to wait, be it for a disk.
    pub fn try_read(&self, buf: &mut [u8]) -> Result<usize> {
        if let Some(file) = &self.file {
            return file.try_read(buf);
        }
        let fd = self.fd.as_raw_fd();
        let (ptr, len) = (buf.as_mut_ptr().cast(), buf.len());
        if self.mode == Mode::PollFirst && !self.ready().readable {
            return Err(HostError::from_errno(libc::EAGAIN));
        }
        retry(|| {
            check(match self.mode {
                // SAFETY: pointer and length of one exclusively borrowed slice.
                Mode::Socket => unsafe { libc::recv(fd, ptr, len, libc::MSG_DONTWAIT) },
                // SAFETY: as above.
                _ => unsafe { libc::read(fd, ptr, len) },
            })
        })
    }

    /// Writes what there is room for; `EAGAIN` when there is none; `EPIPE` (and no signal) without a reader.
    pub fn try_write(&self, buf: &[u8]) -> Result<usize> {
        let fd = self.fd.as_raw_fd();
        let (ptr, mut len) = (buf.as_ptr().cast(), buf.len());
        if self.mode == Mode::PollFirst {
            if !self.ready().writable {
                return Err(HostError::from_errno(libc::EAGAIN));
            }
            // A writable pipe has room for this much, see pipe(7).
            len = len.min(libc::PIPE_BUF);
        }
        retry(|| {
            check(match self.mode {
                // SAFETY: pointer and length of one borrowed slice.
                Mode::Socket => unsafe {
                    libc::send(fd, ptr, len, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
                },
                // SAFETY: as above.
                _ => unsafe { libc::write(fd, ptr, len) },
            })
        })
    }

    /// Whether it has a position.
    pub fn seekable(&self) -> bool {
        matches!(self.kind, FileKind::Regular | FileKind::BlockDevice)
    }

    /// lseek(2) on the shared position; `whence` is `SEEK_SET`, `SEEK_CUR`, `SEEK_END`, …
    pub fn seek(&self, offset: i64, whence: i32) -> Result<u64> {
        // SAFETY: touches no memory.
        check(unsafe { libc::lseek(self.fd.as_raw_fd(), offset, whence) } as isize)
            .map(|at| at as u64)
    }

    /// ftruncate(2).
    pub fn set_len(&self, len: u64) -> Result<()> {
        let len = i64::try_from(len).map_err(|_| HostError::from_errno(libc::EINVAL))?;
        // SAFETY: touches no memory.
        check(unsafe { libc::ftruncate(self.fd.as_raw_fd(), len) } as isize).map(|_| ())
    }

    /// fsync(2). May block.
    pub fn sync(&self) -> Result<()> {
        // SAFETY: touches no memory.
        check(unsafe { libc::fsync(self.fd.as_raw_fd()) } as isize).map(|_| ())
    }

    /// What it is ready for, without waiting.
    pub fn ready(&self) -> Ready {
        match self.mode {
            Mode::Plain => Ready { readable: true, writable: true, ..Ready::default() },
            _ => Ready::now(self.fd.as_fd()),
        }
    }

    /// Futures of its readiness.
    pub fn readiness(&self) -> Result<Readiness> {
        Ok(Readiness::new(self.fd.try_clone()?)?)
    }

    /// Calls back at every change to more readiness; see [`Watch`].
    pub fn watch(&self, on_ready: impl Fn(Ready) + Send + Sync + 'static) -> Result<Watch> {
        Ok(Watch::new(self.fd.try_clone()?, on_ready)?)
    }

    /// How many bytes could be read now (`FIONREAD`).
    pub fn available(&self) -> Result<usize> {
        let mut count: libc::c_int = 0;
        // SAFETY: FIONREAD writes one int.
        check(unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::FIONREAD, &raw mut count) } as isize)?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// The terminal's settings; `ENOTTY` when it is none.
    pub fn termios(&self) -> Result<Termios> {
        Termios::of(self.fd.as_fd())
    }

    /// Changes the terminal's settings; they are put back when the process ends. May wait for the output to drain
    /// if `when` says so.
    pub fn set_termios(&self, termios: &Termios, when: TermiosWhen) -> Result<()> {
        termios.apply(self.fd.as_fd(), when)
    }

    /// The terminal's size; `ENOTTY` when it is none.
    pub fn window_size(&self) -> Result<WindowSize> {
        WindowSize::of(self.fd.as_fd())
    }

    /// Sets the terminal's size.
    pub fn set_window_size(&self, size: WindowSize) -> Result<()> {
        size.apply(self.fd.as_fd())
    }

    /// tcflush(3): throws away what was not read (`TCIFLUSH`), not written (`TCOFLUSH`), or both (`TCIOFLUSH`).
    pub fn flush(&self, queue: i32) -> Result<()> {
        // SAFETY: touches no memory.
        check(unsafe { libc::tcflush(self.fd.as_raw_fd(), queue) } as isize).map(|_| ())
    }

    /// A handle for several holders.
    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}

impl AsFd for HostStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Seek, Write, pipe},
        os::unix::net::UnixStream,
        time::Duration,
    };

    use super::*;
    use crate::{cpu::block_on, time::timeout};

    fn again<T>(result: Result<T>) -> bool {
        result.is_err_and(HostError::would_block)
    }

    #[test]
    fn a_pipe_does_not_block_and_stays_as_it_was() {
        let (mut reader, mut writer) = pipe().unwrap();
        let (input, output) =
            (HostStream::new(reader.as_fd()).unwrap(), HostStream::new(writer.as_fd()).unwrap());
        assert_eq!(input.mode, Mode::Reopened);
        assert_eq!((input.access(), output.access()), ((true, false), (false, true)));
        let mut buf = [0; 65536];
        assert!(again(input.try_read(&mut buf)));
        let mut written = 0;
        while let Ok(n) = output.try_write(&buf) {
            written += n;
        }
        assert!(written > 0 && again(output.try_write(&buf)));
        assert_eq!(input.available(), Ok(written));
        // The shared open file still blocks.
        // SAFETY: touches no memory.
        let flags = unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_GETFL) };
        assert_eq!(flags & libc::O_NONBLOCK, 0);
        let mut rest = vec![0; written];
        reader.read_exact(&mut rest).unwrap();
        writer.write_all(b"x").unwrap();
        block_on(timeout(Duration::from_secs(10), async {
            input.readiness().unwrap().readable().await.unwrap();
        }))
        .unwrap();
        assert_eq!(input.try_read(&mut buf), Ok(1));
        drop((writer, output));
        assert_eq!(input.try_read(&mut buf), Ok(0));
    }

    #[test]
    fn without_a_reader_a_write_is_epipe() {
        let (reader, writer) = pipe().unwrap();
        let output = HostStream::new(writer.as_fd()).unwrap();
        drop(reader);
        assert_eq!(output.try_write(b"x").unwrap_err().errno(), libc::EPIPE);
        assert!(output.ready().error);
    }

    #[test]
    fn a_socket_does_not_block() {
        let (here, mut there) = UnixStream::pair().unwrap();
        let stream = HostStream::new(here.as_fd()).unwrap();
        assert!(again(stream.try_read(&mut [0])));
        there.write_all(b"y").unwrap();
        assert_eq!(stream.try_read(&mut [0; 9]), Ok(1));
        assert_eq!(stream.try_write(b"z"), Ok(1));
    }

    #[test]
    fn a_file_keeps_its_shared_position() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        file.rewind().unwrap();
        let stream = HostStream::new(file.as_fd()).unwrap();
        let mut buf = [0; 4];
        assert_eq!(stream.try_read(&mut buf), Ok(4));
        assert_eq!(file.stream_position().unwrap(), 4);
        assert_eq!(stream.seek(-1, libc::SEEK_END), Ok(9));
        assert_eq!(stream.try_read(&mut buf), Ok(1));
        assert!(stream.ready().readable && stream.seekable());
        assert_eq!(stream.termios().unwrap_err().errno(), libc::ENOTTY);
    }

    #[test]
    fn null_is_at_its_end_at_once() {
        let null = std::fs::File::options().read(true).write(true).open("/dev/null").unwrap();
        let stream = HostStream::new(null.as_fd()).unwrap();
        assert_eq!(stream.try_read(&mut [0]), Ok(0));
        assert_eq!(stream.try_write(b"gone"), Ok(4));
        block_on(async { stream.readiness().unwrap().readable().await.unwrap() });
    }
}
