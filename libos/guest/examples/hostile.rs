//! A guest that does with its rings what it likes: `hostile SEED SECONDS`.
//!
//! Rings of any size are filled with submissions of any kind; indices, flags and entries are overwritten with anything, by this thread and by
//! another one while the kernel reads them. Errors are fine. The kernel may not fall over, and no call may fail to return.
//!
//! A submission that was written over may be a call that ends its own process. So each second of it is a process of its own, which may die; the
//! one that starts them counts.

#[path = "common/random.rs"]
mod random;

use std::{
    env,
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsRawFd, FromRawFd},
        unix::process::CommandExt,
    },
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use libos_guest::{
    Ring,
    abi::{Completion, Setup, Submission, call, flags},
};
use random::Random;

/// A number of the kind that goes wrong.
fn odd(random: &mut Random) -> u64 {
    match random.below(6) {
        0 => 0,
        1 => u64::MAX,
        2 => random.below(64),
        3 => 1 << random.below(64),
        4 => (1 << random.below(64)) - 1,
        _ => random.next(),
    }
}

/// Calls that can do no harm to this program itself, whatever their arguments are but for the buffer.
const CALLS: [i64; 15] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_pread64,
    libc::SYS_poll,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_dup,
    libc::SYS_getcwd,
    libc::SYS_futex,
    libc::SYS_epoll_wait,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_accept4,
    libc::SYS_splice,
    libc::SYS_nanosleep,
];

fn submission(random: &mut Random, fds: &[i32], buffer: u64) -> Submission {
    let mut arguments = [0; 6];
    arguments.fill_with(|| odd(random));
    let call = match random.below(3) {
        0 => call::NOP.wrapping_add(random.below(7) as u32),
        _ => {
            // Into the buffer or to where nothing is, never into the program itself.
            arguments[0] = fds[random.below(fds.len() as u64) as usize] as u64;
            arguments[1] = if random.below(4) == 0 { random.below(4096) } else { buffer };
            arguments[2] = random.below(4097);
            arguments[3] = random.below(2);
            // Addresses to some: where this program is not.
            arguments[4] %= 4096;
            arguments[5] |= 1 << 63;
            CALLS[random.below(CALLS.len() as u64) as usize] as u32
        }
    };
    if call == call::PROVIDE || call == call::REGISTER {
        arguments[0] = buffer;
        arguments[1] = random.below(512);
        arguments[2] = random.below(9);
    }
    Submission {
        id: random.below(128),
        call,
        flags: match random.below(8) {
            0 => random.next() as u16,
            _ => random.below(u64::from(flags::ALL) + 1) as u16,
        },
        group: random.below(3) as u16,
        arguments,
    }
}

/// Starts processes that scribble for a second each, and adds up what those say that lived to say it.
fn main() -> io::Result<()> {
    let numbers: Vec<u64> = env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let (seed, seconds) = match numbers[..] {
        [seed] => return scribble(seed),
        [seed, seconds] => (seed, seconds),
        _ => return Err(io::Error::other("SEED SECONDS")),
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut sums, mut died) = ([0; 3], 0);
    for seed in seed.. {
        if Instant::now() >= end {
            break;
        }
        // Signals to its process group stay among such processes.
        let mut child = Command::new(env::current_exe()?);
        child.arg(seed.to_string()).stdin(Stdio::null()).process_group(0);
        let outcome = child.output()?;
        // It may also have closed its own output, or have seen an error of a kind that it does not expect.
        died += u32::from(!outcome.status.success());
        let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
        let counts = text.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let [rings, calls, broken] = sums;
    println!("{rings} rings, {calls} calls, {broken} broken, {died} processes died");
    if rings == 0 { Err(io::Error::other("no process lived")) } else { Ok(()) }
}

/// One of those processes.
fn scribble(seed: u64) -> io::Result<()> {
    // A submission that was written over may set an alarm.
    // SAFETY: it only has a signal ignored.
    unsafe { libc::signal(libc::SIGALRM, libc::SIG_IGN) };
    // It may close what the output is usually known by.
    // SAFETY: a descriptor of its own, with a number that no random one is likely to be.
    let mut output = unsafe { File::from_raw_fd(libc::fcntl(1, libc::F_DUPFD_CLOEXEC, 701)) };
    // Seeds that follow each other are to begin far apart.
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let end = Instant::now() + Duration::from_secs(1);
    let (reader, writer) = io::pipe()?;
    let (left, right) = std::os::unix::net::UnixStream::pair()?;
    let fds = [reader.as_raw_fd(), writer.as_raw_fd(), left.as_raw_fd(), right.as_raw_fd(), 99];
    let buffer: &'static mut [u8; 8192] = Box::leak(Box::new([0; 8192]));
    let address = buffer.as_mut_ptr() as u64;
    let (mut rings, mut calls, mut broken) = (0_u64, 0_u64, 0_u64);
    while Instant::now() < end {
        let setup = Setup {
            flags: random.below(2) as u32,
            submissions: 1 << random.below(10),
            completions: 1 << random.below(10),
            idle: random.below(100) as u32,
            arena: random.below(3) << 12,
            region: odd(&mut random),
        };
        let Ok(mut ring) = Ring::open(setup) else { continue };
        rings += 1;
        let stop = AtomicBool::new(false);
        let region = ring.raw_region();
        let (seed, scribbles) = (random.next() | 1, random.below(2) == 0);
        std::thread::scope(|scope| -> io::Result<()> {
            if scribbles {
                let (stop, region) = (&stop, &region);
                scope.spawn(move || {
                    let mut random = Random(seed);
                    while !stop.load(Ordering::Relaxed) {
                        let offset = match random.below(2) {
                            // The header, the bells and the indices.
                            0 => random.below(2048.min(region.len() as u64)),
                            _ => random.below(region.len() as u64),
                        };
                        region.poke(offset as usize, odd(&mut random));
                        if random.below(64) == 0 {
                            std::thread::yield_now();
                        }
                    }
                });
            }
            for _ in 0..random.below(64) {
                for _ in 0..random.below(80) {
                    let submission = submission(&mut random, &fds, address);
                    // SAFETY: the buffer is leaked and nobody reads it; what else the calls are told leads nowhere.
                    if unsafe { ring.stage(submission) }.is_err() {
                        break;
                    }
                    calls += 1;
                }
                if random.below(4) == 0 {
                    region.poke(
                        random.below(4096.min(region.len() as u64)) as usize,
                        odd(&mut random),
                    );
                }
                let entered = match random.below(2) {
                    0 => ring.submit(),
                    _ => ring.wait(random.below(40) as u32, Some(Duration::from_micros(200))),
                };
                let mut completions = [Completion::default(); 64];
                if entered.is_err() || ring.reap(&mut completions).is_err() {
                    broken += 1;
                    break;
                }
            }
            stop.store(true, Ordering::Relaxed);
            Ok(())
        })?;
    }
    writeln!(output, "{rings} {calls} {broken}")
}
