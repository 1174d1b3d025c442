//! Two processes that wake each other over two pipes: the guest of the bench `syscalls` for context switches.
//!
//! `pingpong-guest DOOR ROUNDS` starts itself again as the other side and prints ns a wake-up: half of a round trip. Both are on one CPU.

use std::{
    env, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::Command,
    time::Instant,
};

use libos_guest::{
    Ring,
    abi::{Completion, Setup, Submission},
};

/// One side: waits for a byte, and sends one.
trait Side {
    fn wait(&mut self) -> io::Result<()>;
    fn send(&mut self) -> io::Result<()>;
}

fn one(result: isize) -> io::Result<()> {
    if result == 1 { Ok(()) } else { Err(io::Error::other("the other side is gone")) }
}

struct Calls {
    from: i32,
    to: i32,
}

impl Side for Calls {
    fn wait(&mut self) -> io::Result<()> {
        let mut byte = 0_u8;
        // SAFETY: one byte is read into a variable of ours.
        one(unsafe { libc::read(self.from, (&raw mut byte).cast(), 1) })
    }

    fn send(&mut self) -> io::Result<()> {
        let byte = 1_u8;
        // SAFETY: one byte is written from a variable of ours.
        one(unsafe { libc::write(self.to, (&raw const byte).cast(), 1) })
    }
}

/// Sends and waits in one enter.
struct Rings {
    ring: Ring,
    from: i32,
    to: i32,
    bytes: Box<[u8; 2]>,
    /// Calls that are on their way.
    awaited: u32,
    /// It keeps no registers while it waits.
    parks: bool,
}

impl Rings {
    fn stage(&mut self, call: i64, fd: i32, byte: usize) -> io::Result<()> {
        let arguments = [fd as u64, &raw mut self.bytes[byte] as u64, 1, 0, 0, 0];
        let submission =
            Submission { id: byte as u64, call: call as u32, arguments, ..Submission::default() };
        // SAFETY: the byte lives in a box as long as the ring does.
        unsafe { self.ring.stage(submission) }.map_err(io::Error::other)?;
        self.awaited += 1;
        Ok(())
    }
}

impl Side for Rings {
    fn wait(&mut self) -> io::Result<()> {
        self.stage(libc::SYS_read, self.from, 0)?;
        let mut completions = [Completion::default(); 2];
        while self.awaited > 0 {
            if self.parks {
                self.ring.park(self.awaited, None)?;
            } else {
                self.ring.wait(self.awaited, None)?;
            }
            let count = self.ring.reap(&mut completions)?;
            self.awaited -= count as u32;
            for completion in &completions[..count] {
                one(completion.result as isize)?;
            }
        }
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        self.stage(libc::SYS_write, self.to, 1)
    }
}

fn side(door: &str, from: i32, to: i32) -> io::Result<Box<dyn Side>> {
    Ok(match door {
        "call" => Box::new(Calls { from, to }),
        _ => {
            let setup = Setup { submissions: 16, completions: 16, ..Setup::default() };
            Box::new(Rings {
                ring: Ring::open(setup)?,
                from,
                to,
                bytes: Box::new([1; 2]),
                awaited: 0,
                parks: door == "park",
            })
        }
    })
}

fn main() -> io::Result<()> {
    let words: Vec<String> = env::args().collect();
    let [_, door, rounds, fds @ ..] = &words[..] else {
        return Err(io::Error::other("DOOR ROUNDS"));
    };
    let rounds: u32 = rounds.parse().map_err(io::Error::other)?;
    // SAFETY: a zeroed set is a set; the call reads it. A program that is started has it, too.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set);
    }
    if let [from, to] = fds {
        let number = |word: &str| word.parse().map_err(io::Error::other);
        let mut side = side(door, number(from)?, number(to)?)?;
        for _ in 0..rounds {
            side.wait()?;
            side.send()?;
        }
        // The last answer goes out with nothing to wait for.
        return if door == "call" { Ok(()) } else { side.wait().or(Ok(())) };
    }
    let (their_from, to) = io::pipe()?;
    let (from, their_to) = io::pipe()?;
    let theirs: [OwnedFd; 2] = [their_from.into(), their_to.into()];
    let numbers = theirs.each_ref().map(|fd| fd.as_raw_fd());
    let mut command = Command::new(env::current_exe()?);
    command.args([door, &(rounds + rounds / 4).to_string()]);
    command.args(numbers.map(|number| number.to_string()));
    // SAFETY: it calls fcntl(2) and nothing else.
    unsafe {
        command.pre_exec(move || {
            for number in numbers {
                libc::fcntl(number, libc::F_SETFD, 0);
            }
            Ok(())
        })
    };
    let mut child = command.spawn()?;
    drop(theirs);
    let mut side = side(door, from.as_raw_fd(), to.as_raw_fd())?;
    let mut go = |rounds: u32| -> io::Result<()> {
        for _ in 0..rounds {
            side.send()?;
            side.wait()?;
        }
        Ok(())
    };
    go(rounds / 4)?;
    let start = Instant::now();
    go(rounds)?;
    let each = start.elapsed().as_nanos() as f64 / f64::from(rounds) / 2.0;
    println!("{each:.1}");
    drop((from, to));
    child.wait()?;
    Ok(())
}
