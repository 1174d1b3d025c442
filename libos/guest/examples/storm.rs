//! Processes that go away with calls on their way: `storm SEED CALLS`.
//!
//! Each child makes a ring, has calls of every kind begin that wait, and ends at some moment in one of five ways: it exits, is
//! killed, executes another program, lets go of its ring, or writes nonsense over it. What it leaves must be nothing: whoever waits at the
//! other end of its pipes finds them closed, its locks are free, and the memory of the machine is as it was.

#[path = "common/random.rs"]
mod random;

use std::{
    convert::Infallible,
    env, fs,
    io::{self, Read},
    os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd},
    process,
};

use libos_guest::{
    Ring,
    abi::{Setup, Submission, call, flags},
};
use random::Random;

/// How many calls a child has on their way.
const EACH: u32 = 48;

/// What the calls wait for, which nobody does.
struct Subjects {
    reader: OwnedFd,
    full: OwnedFd,
    listener: OwnedFd,
    event: OwnedFd,
    epoll: OwnedFd,
    locked: OwnedFd,
    word: u32,
    buffer: [u8; 4096],
    iovec: [u64; 2],
    pollfd: [u32; 2],
}

fn own(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that a call has just returned.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl Subjects {
    fn new(reader: OwnedFd, full: OwnedFd, path: &str) -> io::Result<Box<Self>> {
        let listener = std::os::unix::net::UnixListener::bind(path)?;
        fs::remove_file(path)?;
        let locked = fs::File::open("/etc/passwd")?;
        // SAFETY: these make descriptors and read nothing.
        let (event, epoll) = unsafe { (libc::eventfd(0, 0), libc::epoll_create1(0)) };
        let mut all = Box::new(Self {
            reader,
            full,
            listener: listener.into(),
            event: own(event)?,
            epoll: own(epoll)?,
            locked: locked.into(),
            word: 7,
            buffer: [0; 4096],
            iovec: [0; 2],
            pollfd: [0; 2],
        });
        all.iovec = [all.buffer.as_ptr() as u64, 4096];
        all.pollfd = [all.reader.as_raw_fd() as u32, libc::POLLIN as u32];
        Ok(all)
    }

    /// A call that waits.
    fn call(&self, random: &mut Random) -> Submission {
        let fd = |fd: &OwnedFd| fd.as_raw_fd() as u64;
        let buffer = self.buffer.as_ptr() as u64;
        let long = 1 << 40;
        let (number, arguments): (u32, &[u64]) = match random.below(14) {
            0 => (libc::SYS_read as u32, &[fd(&self.reader), buffer, 64]),
            1 => (libc::SYS_write as u32, &[fd(&self.full), buffer, 4096]),
            2 => (libc::SYS_readv as u32, &[fd(&self.reader), self.iovec.as_ptr() as u64, 1]),
            3 => (libc::SYS_accept4 as u32, &[fd(&self.listener), 0, 0, 0]),
            4 => (libc::SYS_read as u32, &[fd(&self.event), buffer, 8]),
            5 => (libc::SYS_epoll_wait as u32, &[fd(&self.epoll), buffer, 1, u32::MAX as u64]),
            6 => (libc::SYS_poll as u32, &[self.pollfd.as_ptr() as u64, 1, u32::MAX as u64]),
            7 => (libc::SYS_futex as u32, &[&raw const self.word as u64, 128, 7, 0]),
            8 => (call::TIMER, &[long, 0]),
            9 => (libc::SYS_splice as u32, &[fd(&self.reader), 0, fd(&self.full), 0, 4096, 0]),
            10 => (libc::SYS_wait4 as u32, &[u64::MAX, 0, 0, 0]),
            11 => (libc::SYS_flock as u32, &[fd(&self.locked), libc::LOCK_EX as u64]),
            12 => (call::DEADLINE, &[long, 0]),
            _ => (libc::SYS_pread64 as u32, &[fd(&self.locked), buffer, 4096, 0]),
        };
        let mut submission =
            Submission { id: random.below(64), call: number, ..Submission::default() };
        submission.arguments[..arguments.len()].copy_from_slice(arguments);
        if random.below(4) == 0 {
            submission.flags = flags::LINK;
        }
        if number == libc::SYS_read as u32 {
            match random.below(6) {
                0 | 1 => submission.flags |= flags::PICK,
                // A place in the registered buffer, which is all of it.
                2 => {
                    (submission.flags, submission.arguments[1]) =
                        (submission.flags | flags::FIXED, 0)
                }
                _ => {}
            }
        }
        submission
    }
}

fn child(mut random: Random, reader: OwnedFd, full: OwnedFd) -> io::Result<Infallible> {
    let path = format!("/tmp/storm-{}", process::id());
    let subjects = Subjects::new(reader, full, &path)?;
    let polled = random.below(2) as u32;
    let setup = Setup { flags: polled, submissions: 64, completions: 64, ..Setup::default() };
    let mut ring = Ring::open(setup)?;
    let buffer = Submission {
        call: call::REGISTER,
        arguments: [subjects.buffer.as_ptr() as u64, subjects.buffer.len() as u64, 0, 0, 0, 0],
        ..Submission::default()
    };
    // SAFETY: the buffer lives as long as the process.
    let _ = unsafe { ring.stage(buffer) };
    let when = random.below(u64::from(EACH));
    for index in 0..u64::from(EACH) {
        // SAFETY: what the calls use lives as long as the process.
        let _ = unsafe { ring.stage(subjects.call(&mut random)) };
        if index == when || random.below(8) == 0 {
            ring.submit()?;
        }
        if random.below(16) == 0 {
            let cancel = Submission {
                call: call::CANCEL,
                arguments: [random.below(64), 0, 0, 0, 0, 0],
                ..Submission::default()
            };
            // SAFETY: it has no addresses.
            let _ = unsafe { ring.stage(cancel) };
        }
    }
    ring.submit()?;
    match random.below(5) {
        0 => process::exit(0),
        1 => loop {
            // The parent kills it.
            std::thread::park();
        },
        2 => {
            // SAFETY: the argument is a list of one string that ends.
            unsafe {
                let name = c"/bin/true".as_ptr();
                libc::execv(name, [name, std::ptr::null()].as_ptr());
            }
            process::exit(1)
        }
        3 => {
            drop(ring);
            process::exit(0)
        }
        _ => {
            let region = ring.raw_region();
            for offset in (0..region.len()).step_by(8) {
                region.poke(offset, random.next());
            }
            let _ = ring.submit();
            let _ = ring.wait(1, Some(std::time::Duration::from_millis(1)));
            process::exit(0)
        }
    }
}

/// Bytes of the kernel's memory that are in use: what is free is the host's business, too.
fn used() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Cached:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.map(|kib| kib << 10).ok_or_else(|| io::Error::other("no Cached"))
}

fn main() -> io::Result<()> {
    let numbers: Vec<u64> = env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [seed, calls] = numbers[..] else { return Err(io::Error::other("SEED CALLS")) };
    let mut random = Random(seed | 1);
    let mut before = 0;
    let rounds = calls.div_ceil(EACH.into());
    for round in 0..rounds {
        let (reader, writer) = io::pipe()?;
        let (mut out, full) = io::pipe()?;
        // Full but for a little, so that one write begins and does not end.
        // SAFETY: it sets a number.
        unsafe { libc::fcntl(full.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) };
        let seed = random.next();
        // SAFETY: there is one thread.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            drop((writer, out));
            let reader = own(reader.into_raw_fd())?;
            let full = own(full.into_raw_fd())?;
            let Err(error) = child(Random(seed | 1), reader, full);
            eprintln!("{error}");
            process::exit(2);
        }
        drop((reader, full));
        // At the other end of its pipe is nobody when it has gone, whatever was on its way.
        if random.below(2) == 0 {
            std::thread::sleep(std::time::Duration::from_micros(random.below(3000)));
        }
        // SAFETY: plain calls; the status is written to a variable of ours.
        let status = unsafe {
            libc::kill(pid, libc::SIGKILL);
            let mut status = 0;
            libc::waitpid(pid, &raw mut status, 0);
            status
        };
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) > 1 {
            return Err(io::Error::other(format!("a child ended with {status:#x}")));
        }
        let mut rest = Vec::new();
        out.read_to_end(&mut rest)?;
        let broken = io::Write::write(&mut &writer, b"x").map_err(|error| error.kind());
        if broken != Err(io::ErrorKind::BrokenPipe) {
            return Err(io::Error::other(format!("somebody still reads: {broken:?}")));
        }
        if round == rounds / 2 {
            before = used()?;
        }
    }
    let lost = used()?.saturating_sub(before);
    if lost > 4 << 20 {
        return Err(io::Error::other(format!("{lost} bytes are gone")));
    }
    println!("{} calls of {rounds} processes: nothing is left", rounds * u64::from(EACH));
    Ok(())
}
