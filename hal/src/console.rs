//! The console: the host terminal as the machine's serial line.
//!
//! Whoever changes the terminal's settings does it here, and here they are put back on *every* way out: the first change
//! keeps the old settings and hooks the process's end (`atexit`, and the signals that would end it), and the [`RawMode`]
//! guard puts them back on drop, so on a panic too. A SIGKILL is the only exit that leaves a raw terminal behind.
//! zCore's `serial_read` and `serial_write` are [`Console::read`] and [`Console::write`].

use std::{
    ffi::c_int,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    sync::{
        Once, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    host::{HostError, HostStream, Result, check, stdio},
    raw_call::syscall4,
    reactor::Readiness,
};

/// A terminal's settings as the kernel's `TCGETS` has them (not the C library's): what a guest sees, byte for byte.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Termios {
    /// Input modes.
    pub iflag: u32,
    /// Output modes.
    pub oflag: u32,
    /// Control modes.
    pub cflag: u32,
    /// Local modes.
    pub lflag: u32,
    /// Line discipline.
    pub line: u8,
    /// Special characters.
    pub cc: [u8; 19],
}

/// When changed settings take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermiosWhen {
    /// Now (`TCSETS`).
    Now,
    /// When what was written is out (`TCSETSW`).
    Drain,
    /// As `Drain`, and what was not read is thrown away (`TCSETSF`).
    Flush,
}

impl TermiosWhen {
    fn request(self) -> libc::Ioctl {
        match self {
            TermiosWhen::Now => libc::TCSETS,
            TermiosWhen::Drain => libc::TCSETSW,
            TermiosWhen::Flush => libc::TCSETSF,
        }
    }
}

impl Termios {
    /// The settings of a terminal; `ENOTTY` when it is none.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> Result<Self> {
        let mut termios = Termios::default();
        // SAFETY: TCGETS writes one `struct termios` of the kernel's, which this is.
        let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TCGETS, &raw mut termios) };
        check(result as isize)?;
        Ok(termios)
    }

    /// Gives a terminal these settings, and sees to it that its first ones come back.
    pub(crate) fn apply(&self, fd: BorrowedFd<'_>, when: TermiosWhen) -> Result<()> {
        let old = Termios::of(fd)?;
        arm(fd, old)?;
        // SAFETY: TCSETS* read one `struct termios`.
        let result = unsafe { libc::ioctl(fd.as_raw_fd(), when.request(), self as *const Self) };
        check(result as isize)?;
        Ok(())
    }

    /// These settings without line editing, echo, signal characters and translation, as cfmakeraw(3) has them.
    pub fn raw(mut self) -> Self {
        self.iflag &= !(libc::IGNBRK
            | libc::BRKINT
            | libc::PARMRK
            | libc::ISTRIP
            | libc::INLCR
            | libc::IGNCR
            | libc::ICRNL
            | libc::IXON);
        self.oflag &= !libc::OPOST;
        self.lflag &= !(libc::ECHO | libc::ECHONL | libc::ICANON | libc::ISIG | libc::IEXTEN);
        self.cflag = self.cflag & !(libc::CSIZE | libc::PARENB) | libc::CS8;
        self.cc[libc::VMIN] = 1;
        self.cc[libc::VTIME] = 0;
        self
    }
}

/// A terminal's size, as `TIOCGWINSZ` has it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
    /// Width in pixels; 0 when not known.
    pub x_pixels: u16,
    /// Height in pixels; 0 when not known.
    pub y_pixels: u16,
}

impl WindowSize {
    pub(crate) fn of(fd: BorrowedFd<'_>) -> Result<Self> {
        let mut size = WindowSize::default();
        // SAFETY: TIOCGWINSZ writes one `struct winsize`, which this is.
        check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) } as isize)?;
        Ok(size)
    }

    pub(crate) fn apply(self, fd: BorrowedFd<'_>) -> Result<()> {
        // SAFETY: TIOCSWINSZ reads one `struct winsize`.
        check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSWINSZ, &raw const self) } as isize)?;
        Ok(())
    }
}

/// A terminal and the settings to put back.
struct Saved {
    terminal: OwnedFd,
    /// Which one it is, by its device number.
    device: u64,
    termios: Termios,
}

/// Each set once, at the first change of that terminal; read by signal handlers. There may be as many as there are standard streams.
static SAVED: [OnceLock<Saved>; 3] = [const { OnceLock::new() }; 3];
/// Whether the settings may differ from those saved.
static CHANGED: AtomicBool = AtomicBool::new(false);

/// The signals that end a process unless it does something about them, and that somebody may send to this one.
/// (Those of faults are the trap machinery's, which calls [`restore`].)
const ENDING: [c_int; 11] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGABRT,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGVTALRM,
    libc::SIGXCPU,
    libc::SIGXFSZ,
];

/// Keeps the settings, if they are the terminal's first, and hooks the process's ends. `ENFILE` when there are too many terminals.
fn arm(fd: BorrowedFd<'_>, termios: Termios) -> Result<()> {
    static HOOKED: Once = Once::new();
    let device = nix::sys::stat::fstat(fd)?.st_rdev;
    let mut kept = false;
    for slot in &SAVED {
        if slot.get().is_none() {
            // Who else is as fast keeps the same, or another terminal's.
            let _ = slot.set(Saved { terminal: fd.try_clone_to_owned()?, device, termios });
        }
        kept = slot.get().is_some_and(|saved| saved.device == device);
        if kept {
            break;
        }
    }
    if !kept {
        return Err(HostError::from_errno(libc::ENFILE));
    }
    HOOKED.call_once(|| {
        // SAFETY: `restore_at_exit` may run at any time. A refusal leaves the other ways.
        unsafe { libc::atexit(restore_at_exit) };
        for signal in ENDING {
            hook(signal);
        }
    });
    CHANGED.store(true, Ordering::SeqCst);
    Ok(())
}

extern "C" fn restore_at_exit() {
    restore();
}

/// Puts our handler in place of a signal's default, not of another handler or of "ignored".
fn hook(signal: c_int) {
    // SAFETY: all zeroes is a sigaction; the host reads and writes one each; the handler has the signature of one without
    // SA_SIGINFO, and restricts itself to what any thread may do at any point (see there).
    unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(signal, std::ptr::null(), &raw mut old) != 0
            || old.sa_sigaction != libc::SIG_DFL
        {
            return;
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = end_by_signal as extern "C" fn(c_int) as usize;
        action.sa_flags = libc::SA_RESETHAND | libc::SA_NODEFER | libc::SA_ONSTACK;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}

/// Puts the terminal back and lets the signal do what it would have done.
///
/// It may interrupt a guest, whose FS base is then live: no thread-local variable may be touched, `errno` neither, hence raw calls.
extern "C" fn end_by_signal(signal: c_int) {
    restore();
    // SA_RESETHAND has brought the default action back, and SA_NODEFER lets it act at once.
    // SAFETY: these calls touch no memory.
    unsafe {
        let pid = syscall4(libc::SYS_getpid, 0, 0, 0, 0);
        let tid = syscall4(libc::SYS_gettid, 0, 0, 0, 0);
        syscall4(libc::SYS_tgkill, pid as usize, tid as usize, signal as usize, 0);
    }
}

/// Puts the first settings of all terminals back if they were changed. Async-signal-safe, touches no thread-local variable, idempotent.
pub fn restore() {
    if !CHANGED.swap(false, Ordering::SeqCst) {
        return;
    }
    // A background process that changes the terminal is stopped by SIGTTOU, unless it blocks that.
    let block: u64 = 1 << (libc::SIGTTOU - 1);
    let mut old: u64 = 0;
    // SAFETY: rt_sigprocmask reads and writes one 8-byte mask each, TCSETS reads one `struct termios`; all live.
    unsafe {
        let mask = |how: c_int, new: *const u64, old: *mut u64| {
            syscall4(libc::SYS_rt_sigprocmask, how as usize, new as usize, old as usize, 8);
        };
        mask(libc::SIG_BLOCK, &raw const block, &raw mut old);
        for saved in SAVED.iter().filter_map(OnceLock::get) {
            let (fd, termios) = (saved.terminal.as_raw_fd(), &raw const saved.termios);
            syscall4(libc::SYS_ioctl, fd as usize, libc::TCSETS as usize, termios as usize, 0);
        }
        mask(libc::SIG_SETMASK, &raw const old, std::ptr::null_mut());
    }
}

/// The terminal is raw while this lives.
#[derive(Debug)]
#[must_use = "dropping it ends raw mode"]
pub struct RawMode(());

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Standard input and output as the machine's console.
#[derive(Debug)]
pub struct Console {
    input: HostStream,
    output: HostStream,
    readable: Readiness,
    writable: Readiness,
}

impl Console {
    /// The console of standard input and output, which need not be a terminal.
    ///
    /// # Errors
    ///
    /// `EBADF` when one of them is closed.
    pub fn stdio() -> Result<Self> {
        Self::new(stdio::stdin()?, stdio::stdout()?)
    }

    /// The console of two streams.
    pub fn new(input: HostStream, output: HostStream) -> Result<Self> {
        let (readable, writable) = (input.readiness()?, output.readiness()?);
        Ok(Self { input, output, readable, writable })
    }

    /// Whether input comes from a terminal.
    pub fn is_tty(&self) -> bool {
        self.input.is_tty()
    }

    /// The size of the terminal that output goes to; `ENOTTY` when it is none.
    pub fn size(&self) -> Result<WindowSize> {
        self.output.window_size()
    }

    /// Makes the terminal raw for as long as the result lives; `ENOTTY` when it is none.
    pub fn raw_mode(&self) -> Result<RawMode> {
        let raw = self.input.termios()?.raw();
        self.input.set_termios(&raw, TermiosWhen::Drain)?;
        Ok(RawMode(()))
    }

    /// Reads at least one byte, or 0 at the end. Can be dropped at any time without losing input.
    pub async fn read(&self, buf: &mut [u8]) -> Result<usize> {
        loop {
            match self.input.try_read(buf) {
                Err(error) if error.would_block() => self.readable.readable().await?,
                result => return result,
            }
        }
    }

    /// Writes all of `buf`. Dropped, it has written a part.
    pub async fn write(&self, mut buf: &[u8]) -> Result<()> {
        while !buf.is_empty() {
            match self.output.try_write(buf) {
                Ok(0) => return Err(HostError::from_errno(libc::EIO)),
                Ok(n) => buf = buf.get(n..).unwrap_or_default(),
                Err(error) if error.would_block() => self.writable.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The input side.
    pub fn input(&self) -> &HostStream {
        &self.input
    }

    /// The output side.
    pub fn output(&self) -> &HostStream {
        &self.output
    }
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::c_void,
        io::{Read, Write, pipe},
        os::fd::{AsFd, FromRawFd},
        process,
    };

    use super::*;
    use crate::cpu::block_on;

    /// A pseudo-terminal: the side that a user would be at, and the terminal.
    fn pty() -> (std::fs::File, std::fs::File) {
        let (mut main, mut terminal) = (0, 0);
        let null = std::ptr::null_mut::<c_void>();
        // SAFETY: two ints are written; the rest is null.
        let result = unsafe {
            libc::openpty(&raw mut main, &raw mut terminal, null.cast(), null.cast(), null.cast())
        };
        assert_eq!(result, 0);
        // SAFETY: two fresh descriptors.
        unsafe { (std::fs::File::from_raw_fd(main), std::fs::File::from_raw_fd(terminal)) }
    }

    #[test]
    fn input_and_output_go_through_pipes_of_any_fill() {
        let (reader, mut user_out) = pipe().unwrap();
        let (mut user_in, writer) = pipe().unwrap();
        let console = Console::new(
            HostStream::new(reader.as_fd()).unwrap(),
            HostStream::new(writer.as_fd()).unwrap(),
        )
        .unwrap();
        assert!(!console.is_tty());
        user_out.write_all(b"typed").unwrap();
        let mut buf = [0; 16];
        assert_eq!(block_on(console.read(&mut buf)), Ok(5));
        let user = std::thread::spawn(move || {
            let mut all = Vec::new();
            user_in.read_to_end(&mut all).unwrap();
            all.len()
        });
        block_on(console.write(&vec![b'x'; 1 << 20])).unwrap();
        drop((console, writer));
        assert_eq!(user.join().unwrap(), 1 << 20);
        drop(user_out);
    }

    // One test, since there is one terminal to restore in a process; the last parts happen in forked children.
    #[test]
    fn raw_mode_ends_with_its_guard_with_exit_and_with_a_signal() {
        // Whoever runs us in the background may ignore it, and then it ends nobody.
        // SAFETY: nobody here has a handler of it yet.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
        let (mut user, terminal) = pty();
        let before = Termios::of(terminal.as_fd()).unwrap();
        let console = Console::new(
            HostStream::new(terminal.as_fd()).unwrap(),
            HostStream::new(terminal.as_fd()).unwrap(),
        )
        .unwrap();
        assert!(console.is_tty());
        let size = WindowSize { rows: 33, columns: 99, ..WindowSize::default() };
        console.output().set_window_size(size).unwrap();
        assert_eq!(console.size(), Ok(size));

        let guard = console.raw_mode().unwrap();
        assert_eq!(Termios::of(terminal.as_fd()).unwrap(), before.raw());
        user.write_all(b"\x03").unwrap();
        let mut byte = [0; 4];
        assert_eq!(block_on(console.read(&mut byte)), Ok(1));
        assert_eq!(byte[0], 3);
        drop(guard);
        assert_eq!(Termios::of(terminal.as_fd()).unwrap(), before);

        for signal in [0, libc::SIGTERM, libc::SIGINT] {
            // SAFETY: the child only makes host calls and ends.
            let child = unsafe { libc::fork() };
            if child == 0 {
                std::mem::forget(console.raw_mode());
                if signal == 0 {
                    // What the exit of a whole process runs, without the test harness's own.
                    restore_at_exit();
                } else {
                    // SAFETY: as above.
                    unsafe { libc::raise(signal) };
                }
                // SAFETY: as above.
                unsafe { libc::_exit(0) };
            }
            let mut status = 0;
            // SAFETY: one int is written.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            let ended_by = if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { 0 };
            assert_eq!(ended_by, signal, "in {}", process::id());
            assert_eq!(Termios::of(terminal.as_fd()).unwrap(), before);
        }
    }
}
