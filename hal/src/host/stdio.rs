//! The descriptors this process was started with: standard input, output and error, and what a shell's redirections add.
//!
//! Whatever they are (terminal, pipe, file, socket), reads and writes never block a CPU, and the open file that is shared
//! with the parent shell is left as it is: `O_NONBLOCK` is a flag of the shared open file, so a terminal or pipe is
//! opened *anew* by way of `/proc/self/fd` and that one made non-blocking; a socket takes the wish with each call; for the
//! rest poll(2) is asked first. A regular file keeps its shared position, as `(cmd1; cmd2) < file` wants.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
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
    fault::{Mask, Op},
    reactor::{Readiness, Ready, Watch},
    seed,
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
    /// The status flags of the open file that was inherited.
    flags: i32,
}

/// A descriptor that this process was started with, for a guest to be started with.
#[derive(Debug)]
pub struct Inherited {
    /// Its number.
    pub number: RawFd,
    /// What it names.
    pub stream: HostStream,
    /// The lowest number that names the same open file, as after a shell's `2>&1`, if there is a lower one.
    pub same_as: Option<RawFd>,
}

/// Takes every descriptor that this process was started with and that an exec would keep, by ascending number. To be called
/// once, before descriptors are given out that are not close-on-exec.
///
/// Afterwards they are the caller's alone, so that who waits for the end of a pipe sees it when the guest closes it:
/// /dev/null takes the place of 0 and 1. Standard error is for messages of the kernel, too, and stays.
pub fn inherited() -> Vec<Inherited> {
    let mut taken: Vec<Inherited> = Vec::new();
    for number in kept_by_exec() {
        // SAFETY: the number is that of an open descriptor, which nobody closes before this is over.
        let Ok(stream) = HostStream::new(unsafe { BorrowedFd::borrow_raw(number) }) else {
            continue;
        };
        let same_as = taken.iter().filter(|other| other.same_as.is_none());
        let same_as = same_as.map(|other| other.number).find(|&lower| same_file(lower, number));
        taken.push(Inherited { number, stream, same_as });
    }
    for number in taken.iter().map(|inherited| inherited.number) {
        match number {
            0 | 1 => {
                if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
                    // SAFETY: touches no memory. If it fails the old one stays, which is harmless.
                    unsafe { libc::dup2(null.as_raw_fd(), number) };
                }
            }
            2 => {}
            // SAFETY: open, not close-on-exec, so none that this process has made, and nobody else owns it.
            _ => drop(unsafe { OwnedFd::from_raw_fd(number) }),
        }
    }
    taken
}

/// The descriptors that are open and not close-on-exec; the standard ones if /proc does not tell.
fn kept_by_exec() -> Vec<RawFd> {
    let listed = std::fs::read_dir("/proc/self/fd").map(|entries| {
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).collect()
    });
    let mut numbers: Vec<RawFd> = listed.unwrap_or_else(|_| vec![0, 1, 2]);
    numbers.retain(|&number| {
        // SAFETY: touches no memory; a number that is not open gives -1.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        flags >= 0 && flags & libc::FD_CLOEXEC == 0
    });
    numbers.sort_unstable();
    numbers
}

/// Whether two descriptors name one open file. A host that does not tell (kcmp(2) may be forbidden) is taken to say no.
fn same_file(one: RawFd, other: RawFd) -> bool {
    const KCMP_FILE: libc::c_int = 0;
    let pid = std::process::id();
    // SAFETY: compares two numbers of this process; touches no memory.
    unsafe { libc::syscall(libc::SYS_kcmp, pid, pid, KCMP_FILE, one, other) == 0 }
}

/// Standard input, output and error as they are, to be passed on; none for those that are closed.
pub fn descriptors() -> [Option<BorrowedFd<'static>>; 3] {
    [0, 1, 2].map(|number: RawFd| {
        // SAFETY: touches no memory; a number that is not open gives -1.
        let open = unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0;
        // SAFETY: nobody here closes these three.
        open.then(|| unsafe { BorrowedFd::borrow_raw(number) })
    })
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

/// The controlling terminal of this process; `ENXIO` when it has none.
pub fn terminal() -> Result<HostStream> {
    let flags = libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/tty")?;
    HostStream::new(file.as_fd())
}

impl HostStream {
    /// A new file to write to, or an old one emptied.
    pub fn create(path: &Path) -> Result<Self> {
        Self::new(File::create(path)?.as_fd())
    }

    /// Writes all of `buf`, waiting as long as it takes: for a log of the kernel's own.
    pub fn write_all(&self, mut buf: &[u8]) -> Result<()> {
        while !buf.is_empty() {
            match self.write_some(buf) {
                Ok(len) => buf = buf.get(len..).unwrap_or_default(),
                Err(error) if error.would_block() => self.wait_for_room(),
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
        // SAFETY: touches no memory.
        let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
        let shared = |mode| -> Result<Self> {
            let file = match mode {
                Mode::Plain => Some(HostFile::from(fd.try_clone_to_owned()?)),
                _ => None,
            };
            Ok(Self { fd: fd.try_clone_to_owned()?, kind, mode, tty, file, flags })
        };
        match kind {
            FileKind::Socket => shared(Mode::Socket),
            FileKind::Fifo => {
                Self::reopen(fd, kind, tty, flags).map_or_else(|| shared(Mode::PollFirst), Ok)
            }
            FileKind::CharDevice if tty => {
                Self::reopen(fd, kind, tty, flags).map_or_else(|| shared(Mode::PollFirst), Ok)
            }
            FileKind::CharDevice | FileKind::Unknown => shared(Mode::PollFirst),
            _ => shared(Mode::Plain),
        }
    }

    /// A new open file of the same terminal or pipe; none when the host refuses, as for another user's.
    fn reopen(fd: BorrowedFd<'_>, kind: FileKind, tty: bool, flags: i32) -> Option<Self> {
        let access = flags & libc::O_ACCMODE;
        let file = OpenOptions::new()
            .read(access != libc::O_WRONLY)
            .write(access != libc::O_RDONLY)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(format!("/proc/self/fd/{}", fd.as_raw_fd()))
            .ok()?;
        Some(Self { fd: file.into(), kind, mode: Mode::Reopened, tty, file: None, flags })
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
        let access = self.flags & libc::O_ACCMODE;
        (access != libc::O_WRONLY, access != libc::O_RDONLY)
    }

    /// The flags that it was opened with, or was given since, as open(2) has them.
    pub fn flags(&self) -> i32 {
        self.flags
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
        let len = Mask::of_stdio().draw(Op::Read).cut(buf.len())?;
        let buf = &mut buf[..len];
        if let Some(file) = &self.file {
            return file.try_read(buf);
        }
        let fd = self.fd.as_raw_fd();
        let ptr = buf.as_mut_ptr().cast();
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
        let len = Mask::of_stdio().draw(Op::Write).cut(buf.len())?;
        self.write_some(&buf[..len])
    }

    fn write_some(&self, buf: &[u8]) -> Result<usize> {
        let fd = self.fd.as_raw_fd();
        let (ptr, mut len) = (buf.as_ptr().cast(), buf.len());
        if self.mode == Mode::PollFirst {
            if !self.ready().writable {
                return Err(HostError::from_errno(libc::EAGAIN));
            }
            // A writable pipe has room for this much, see pipe(7).
            len = len.min(libc::PIPE_BUF);
        }
        let written = retry(|| {
            check(match self.mode {
                // SAFETY: pointer and length of one borrowed slice.
                Mode::Socket => unsafe {
                    libc::send(fd, ptr, len, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
                },
                // SAFETY: as above.
                _ => unsafe { libc::write(fd, ptr, len) },
            })
        });
        match written {
            // How long a reader takes must not decide what guests do meanwhile.
            Err(error) if error.would_block() && seed::is_planted() => {
                self.wait_for_room();
                self.write_some(buf)
            }
            written => written,
        }
    }

    /// Waits on this thread until a write may do something.
    fn wait_for_room(&self) {
        let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: one pollfd. Whatever it returns, the write is tried again.
        unsafe { libc::poll(&raw mut poll, 1, -1) };
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
        Ok(usize::try_from(self.number(libc::FIONREAD)?).unwrap_or(0))
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

    /// Whether this process is of the terminal's foreground group. `ENOTTY` when it is not the controlling terminal.
    pub fn in_foreground(&self) -> Result<bool> {
        let group = self.number(libc::TIOCGPGRP)?;
        // SAFETY: touches no memory.
        Ok(group == unsafe { libc::getpgrp() })
    }

    /// `ENOTTY` unless it is the controlling terminal of this process's session.
    pub fn check_controlling(&self) -> Result<()> {
        self.number(libc::TIOCGSID).map(|_| ())
    }

    /// What a request tells that writes one int.
    fn number(&self, request: libc::Ioctl) -> Result<i32> {
        let mut number: libc::c_int = 0;
        // SAFETY: every caller's request writes one int.
        check(unsafe { libc::ioctl(self.fd.as_raw_fd(), request, &raw mut number) } as isize)?;
        Ok(number)
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
