//! What a call costs by one door, in batches: the guest of the bench `syscalls`, which runs natively and inside.
//!
//! `syscalls-guest DOOR OPERATION BATCH MILLISECONDS` prints, in ns an operation, the mean, the median and the 99th percentile of batches,
//! and how many operations that were. A call that fails, or does not give what it should, ends it.
//!
//! `syscalls-guest DOOR out BATCH MILLISECONDS | syscalls-guest DOOR in BATCH 0`: messages of 4 KiB between two processes; the second prints the
//! same of them. `syscalls-guest DOOR idle 1 MILLISECONDS` makes a few calls and then waits.

use std::{
    env, fs,
    io::{self, ErrorKind, Write},
    net::Shutdown,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use io_uring::{IoUring, opcode, squeue, types};
use libos_guest::{
    Ring,
    abi::{self, Completion, Setup, Submission, call},
};

/// Bytes of a page read, and of a message.
const PAGE: usize = 4096;
const MESSAGE: usize = 64;

/// The most calls in a batch, each of which may be two submissions.
const MOST: usize = 256;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Nop,
    Getppid,
    Read,
    Pipe,
    Socket,
    /// A message to standard output.
    Out,
    /// A message from standard input.
    In,
}

impl Operation {
    fn of_name(name: &str) -> io::Result<Self> {
        Ok(match name {
            "nop" => Self::Nop,
            "getppid" => Self::Getppid,
            "read" => Self::Read,
            "pipe" => Self::Pipe,
            "socket" => Self::Socket,
            "out" => Self::Out,
            "in" => Self::In,
            "idle" => Self::Nop,
            _ => return Err(io::Error::other("no such operation")),
        })
    }

    /// How many calls one is.
    fn calls(self) -> usize {
        if matches!(self, Self::Pipe | Self::Socket) { 2 } else { 1 }
    }
}

/// What the calls work on: an open file, the two ends of a pipe or of a socket.
struct Subjects {
    page: OwnedFd,
    from: OwnedFd,
    to: OwnedFd,
    buffer: Box<[u8; PAGE]>,
    message: [u8; MESSAGE],
}

impl Subjects {
    fn new(operation: Operation) -> io::Result<Self> {
        let path = ["/dev/shm", "/tmp"].into_iter().find(|path| fs::metadata(path).is_ok());
        let path = format!("{}/syscalls-{}", path.unwrap_or("."), std::process::id());
        fs::File::create(&path)?.write_all(&[0x5a; PAGE])?;
        let page = fs::File::open(&path)?.into();
        fs::remove_file(&path)?;
        let (from, to): (OwnedFd, OwnedFd) = if operation == Operation::Socket {
            let (from, to) = UnixStream::pair()?;
            from.shutdown(Shutdown::Write)?;
            (from.into(), to.into())
        } else {
            let (from, to) = io::pipe()?;
            (from.into(), to.into())
        };
        Ok(Self { page, from, to, buffer: Box::new([0; PAGE]), message: [7; MESSAGE] })
    }
}

/// A way to have calls made.
trait Door {
    /// Makes `batch` operations and waits until all of their calls are done.
    fn make(&mut self, operation: Operation, batch: usize, on: &mut Subjects) -> io::Result<()>;
}

fn check(result: i64, operation: Operation, second: bool) -> io::Result<()> {
    let good = match operation {
        Operation::Nop => result == 0,
        Operation::Getppid => result >= 0,
        Operation::Read | Operation::Out | Operation::In => result == PAGE as i64,
        Operation::Pipe | Operation::Socket => result == MESSAGE as i64,
    };
    match good {
        true => Ok(()),
        false if operation == Operation::In && result == 0 => Err(ErrorKind::UnexpectedEof.into()),
        false => Err(io::Error::other(format!("a call gave {result} (second: {second})"))),
    }
}

/// One call after the other, by instruction.
struct Calls;

fn system_call(number: i64, [a, b, c, d, e, f]: [u64; 6]) -> i64 {
    let result: i64;
    // SAFETY: as the C library's syscall(2), without errno; the callers pass buffers of their own that live.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    result
}

/// The calls of one operation: number and arguments.
fn calls(operation: Operation, on: &mut Subjects) -> [(i64, [u64; 6]); 2] {
    let descriptor = |fd: &OwnedFd| fd.as_raw_fd() as u64;
    let (into, out) = (on.buffer.as_mut_ptr() as u64, on.message.as_ptr() as u64);
    let size = MESSAGE as u64;
    let none = (0, [0; 6]);
    match operation {
        Operation::Nop => [none, none],
        Operation::Getppid => [(libc::SYS_getppid, [0; 6]), none],
        Operation::Read => {
            [(libc::SYS_pread64, [descriptor(&on.page), into, PAGE as u64, 0, 0, 0]), none]
        }
        Operation::Out => [(libc::SYS_write, [1, into, PAGE as u64, 0, 0, 0]), none],
        Operation::In => [(libc::SYS_read, [0, into, PAGE as u64, 0, 0, 0]), none],
        Operation::Pipe => [
            (libc::SYS_write, [descriptor(&on.to), out, size, 0, 0, 0]),
            (libc::SYS_read, [descriptor(&on.from), into, size, 0, 0, 0]),
        ],
        Operation::Socket => [
            (libc::SYS_sendto, [descriptor(&on.to), out, size, 0, 0, 0]),
            (libc::SYS_recvfrom, [descriptor(&on.from), into, size, 0, 0, 0]),
        ],
    }
}

impl Door for Calls {
    fn make(&mut self, operation: Operation, batch: usize, on: &mut Subjects) -> io::Result<()> {
        let calls = calls(operation, on);
        for _ in 0..batch {
            for (index, (number, arguments)) in calls.iter().take(operation.calls()).enumerate() {
                check(system_call(*number, *arguments), operation, index > 0)?;
            }
        }
        Ok(())
    }
}

/// Linux's io_uring.
struct Uring(IoUring);

impl Uring {
    fn new(polled: bool) -> io::Result<Self> {
        let mut builder = IoUring::builder();
        if polled {
            // Beside this thread, which is on CPU 0.
            builder.setup_sqpoll(2000).setup_sqpoll_cpu(1);
        } else {
            builder.setup_single_issuer().setup_coop_taskrun();
        }
        Ok(Self(builder.build(2 * MOST as u32)?))
    }
}

impl Door for Uring {
    fn make(&mut self, operation: Operation, batch: usize, on: &mut Subjects) -> io::Result<()> {
        let fd = |fd: &OwnedFd| types::Fd(fd.as_raw_fd() as RawFd);
        let (into, out) = (on.buffer.as_mut_ptr(), on.message.as_ptr());
        let size = MESSAGE as u32;
        let entries: [squeue::Entry; 2] = match operation {
            Operation::Nop => [opcode::Nop::new().build(), opcode::Nop::new().build()],
            Operation::Getppid => return Err(io::Error::other("io_uring has no getppid")),
            Operation::Read => [
                opcode::Read::new(fd(&on.page), into, PAGE as u32).build(),
                opcode::Nop::new().build(),
            ],
            Operation::Out => [
                opcode::Write::new(types::Fd(1), into, PAGE as u32).build(),
                opcode::Nop::new().build(),
            ],
            Operation::In => [
                opcode::Read::new(types::Fd(0), into, PAGE as u32).build(),
                opcode::Nop::new().build(),
            ],
            Operation::Pipe => [
                opcode::Write::new(fd(&on.to), out, size).build(),
                opcode::Read::new(fd(&on.from), into, size).build().user_data(1),
            ],
            Operation::Socket => [
                opcode::Send::new(fd(&on.to), out, size).build(),
                opcode::Recv::new(fd(&on.from), into, size).build().user_data(1),
            ],
        };
        let total = batch * operation.calls();
        let mut queue = self.0.submission();
        for _ in 0..batch {
            for entry in entries.iter().take(operation.calls()) {
                // SAFETY: the buffers live in `on` until all completions are here.
                unsafe { queue.push(entry) }.map_err(io::Error::other)?;
            }
        }
        drop(queue);
        let mut done = 0;
        while done < total {
            if self.0.params().is_setup_sqpoll() {
                // It wakes the poller if that sleeps, and waits for nobody.
                self.0.submit()?;
            } else {
                self.0.submit_and_wait(total - done)?;
            }
            for completion in self.0.completion() {
                check(completion.result().into(), operation, completion.user_data() > 0)?;
                done += 1;
            }
        }
        Ok(())
    }
}

/// The ring of the kernel under test.
struct Evering {
    ring: Ring,
    polled: bool,
    completions: Box<[Completion; 2 * MOST]>,
}

impl Evering {
    fn new(polled: bool) -> io::Result<Self> {
        let entries = 2 * MOST as u32;
        let flags = if polled { abi::setup::POLLED } else { 0 };
        let setup = Setup { flags, submissions: entries, completions: entries, ..Setup::default() };
        let completions = Box::new([Completion::default(); 2 * MOST]);
        Ok(Self { ring: Ring::open(setup)?, polled, completions })
    }
}

impl Door for Evering {
    fn make(&mut self, operation: Operation, batch: usize, on: &mut Subjects) -> io::Result<()> {
        let calls = calls(operation, on);
        let total = batch * operation.calls();
        for _ in 0..batch {
            for (index, (number, arguments)) in calls.iter().take(operation.calls()).enumerate() {
                let call = if operation == Operation::Nop { call::NOP } else { *number as u32 };
                let submission = Submission {
                    id: index as u64,
                    call,
                    arguments: *arguments,
                    ..Submission::default()
                };
                // SAFETY: the buffers live in `on` until all completions are here.
                unsafe { self.ring.stage(submission) }.map_err(io::Error::other)?;
            }
        }
        let mut done = 0;
        while done < total {
            if self.polled {
                self.ring.submit()?;
            } else {
                self.ring.wait((total - done) as u32, None)?;
            }
            let count = self.ring.reap(&mut *self.completions)?;
            for completion in &self.completions[..count] {
                check(completion.result, operation, completion.id > 0)?;
            }
            done += count;
        }
        Ok(())
    }
}

fn pin() {
    // SAFETY: a zeroed set is a set; the call reads it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set);
    }
}

fn main() -> io::Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [door, operation, batch, milliseconds] = &words[..] else {
        return Err(io::Error::other("DOOR OPERATION BATCH MILLISECONDS"));
    };
    let idle = operation == "idle";
    let operation = Operation::of_name(operation)?;
    let batch: usize = batch.parse().map_err(io::Error::other)?;
    let time = Duration::from_millis(milliseconds.parse().map_err(io::Error::other)?);
    let batch = batch.clamp(1, MOST);
    if !matches!(operation, Operation::Out | Operation::In) {
        pin();
    }
    let mut door: Box<dyn Door> = match door.as_str() {
        "call" => Box::new(Calls),
        "uring" => Box::new(Uring::new(false)?),
        "sqpoll" => Box::new(Uring::new(true)?),
        "evering" => Box::new(Evering::new(false)?),
        "polled" => Box::new(Evering::new(true)?),
        _ => return Err(io::Error::other("no such door")),
    };
    let mut on = Subjects::new(operation)?;
    if idle {
        door.make(operation, batch, &mut on)?;
        std::thread::sleep(time);
        return Ok(());
    }
    if operation == Operation::In {
        return stream(&mut *door, batch, &mut on);
    }
    let warm_up = Instant::now();
    while warm_up.elapsed() < time / 4 {
        door.make(operation, batch, &mut on)?;
    }
    // So many batches between two looks at the clock that the look does not count.
    let apart = (64 / batch).max(1);
    let mut samples = Vec::new();
    let start = Instant::now();
    let mut now = start;
    while now - start < time {
        for _ in 0..apart {
            door.make(operation, batch, &mut on)?;
        }
        let then = std::mem::replace(&mut now, Instant::now());
        samples.push((now - then).as_nanos() as f64 / (apart * batch) as f64);
    }
    if operation != Operation::Out {
        report(samples, now - start, apart * batch);
    }
    Ok(())
}

/// Reads until the other process has written all.
fn stream(door: &mut dyn Door, batch: usize, on: &mut Subjects) -> io::Result<()> {
    // The first ones are warm-up.
    for _ in 0..(1000 / batch).max(1) {
        door.make(Operation::In, batch, on)?;
    }
    let mut samples = Vec::new();
    let start = Instant::now();
    let mut now = start;
    loop {
        match door.make(Operation::In, batch, on) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
        let then = std::mem::replace(&mut now, Instant::now());
        samples.push((now - then).as_nanos() as f64 / batch as f64);
    }
    report(samples, now - start, batch);
    Ok(())
}

/// Prints the figures of samples, each of which is of so many operations.
fn report(mut samples: Vec<f64>, time: Duration, each: usize) {
    let total = samples.len() * each;
    let mean = time.as_nanos() as f64 / total as f64;
    samples.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize];
    println!("{mean:.2} {:.2} {:.2} {total}", at(0.5), at(0.99));
}
