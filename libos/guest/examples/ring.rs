//! A ring by hand: a batch of calls, a call that waits, links, deadlines, cancelling.
//!
//! `libos target/release/examples/ring`

use std::{
    io::{self, Write},
    os::fd::{AsFd, AsRawFd},
    time::{Duration, Instant},
};

use libos_guest::{
    Ring,
    abi::{Completion, Setup, Submission, call, flags},
};

fn submission(id: u64, call: i64, arguments: &[u64]) -> Submission {
    let mut submission = Submission { id, call: call as u32, ..Submission::default() };
    submission.arguments[..arguments.len()].copy_from_slice(arguments);
    submission
}

fn main() -> io::Result<()> {
    let setup = Setup { submissions: 64, completions: 64, ..Setup::default() };
    let mut ring = Ring::open(setup)?;
    let mut completions = [Completion::default(); 64];
    let mut all = |ring: &mut Ring, count: u32| -> io::Result<Vec<(u64, i64)>> {
        ring.wait(count, Some(Duration::from_secs(5)))?;
        let count = ring.reap(&mut completions)?;
        Ok(completions[..count].iter().map(|done| (done.id, done.result)).collect())
    };
    let stage = |ring: &mut Ring, submission| {
        // SAFETY: all buffers live until the end of `main`, and nobody looks at one before what uses it is done.
        unsafe { ring.stage(submission) }.expect("there is room")
    };

    for id in 0..8 {
        stage(&mut ring, submission(id, libc::SYS_getppid, &[]));
    }
    stage(&mut ring, submission(8, call::NOP.into(), &[]));
    println!("a batch: {} results", all(&mut ring, 9)?.len());

    let (reader, mut writer) = io::pipe()?;
    let mut buffer = [0_u8; 16];
    let at = buffer.as_mut_ptr() as u64;
    stage(&mut ring, submission(1, libc::SYS_read, &[reader.as_raw_fd() as u64, at, 16]));
    ring.submit()?;
    println!("nothing to read yet: {:?}", all(&mut ring, 0)?);
    let text = b"hello";
    let from = text.as_ptr() as u64;
    stage(&mut ring, submission(2, libc::SYS_write, &[writer.as_raw_fd() as u64, from, 5]));
    let mut done = all(&mut ring, 2)?;
    done.sort_unstable();
    println!("read and write: {done:?} {:?}", std::str::from_utf8(&buffer[..5]));

    let link = |submission| Submission { flags: flags::LINK, ..submission };
    stage(&mut ring, link(submission(1, call::NOP.into(), &[])));
    stage(&mut ring, link(submission(2, libc::SYS_close, &[99])));
    stage(&mut ring, submission(3, call::NOP.into(), &[]));
    println!("a chain that breaks: {:?}", all(&mut ring, 3)?);

    stage(&mut ring, submission(1, call::DEADLINE.into(), &[1_000_000, 0]));
    stage(&mut ring, submission(2, libc::SYS_read, &[reader.as_raw_fd() as u64, at, 16]));
    println!("too late: {:?}", all(&mut ring, 2)?);

    stage(&mut ring, submission(1, libc::SYS_read, &[reader.as_raw_fd() as u64, at, 16]));
    stage(&mut ring, submission(2, call::CANCEL.into(), &[1]));
    let mut done = all(&mut ring, 2)?;
    done.sort_unstable();
    println!("cancelled: {done:?}");

    stage(&mut ring, submission(1, libc::SYS_read, &[reader.as_raw_fd() as u64, at, 16]));
    ring.submit()?;
    writer.write_all(b"seen")?;
    let end = Instant::now() + Duration::from_secs(5);
    let mut one = [Completion::default()];
    while ring.reap(&mut one)? == 0 && Instant::now() < end {}
    println!("nobody has waited: {} {}", one[0].id, one[0].result);

    stage(&mut ring, submission(2, libc::SYS_read, &[reader.as_raw_fd() as u64, at, 16]));
    ring.submit()?;
    writer.write_all(b"told")?;
    let mut poll = libc::pollfd { fd: ring.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, which the call reads and writes.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 5000) };
    println!("poll: {ready} {} {}", poll.revents, ring.reap(&mut one)?);

    // What it reads from is what the number meant when it was submitted.
    let other = reader.try_clone()?;
    let number = other.as_raw_fd() as u64;
    for id in 1..=2 {
        stage(&mut ring, submission(id, libc::SYS_read, &[number, at + id, 1]));
    }
    ring.submit()?;
    drop(other);
    let (another, _kept) = io::pipe()?;
    let taken = another.as_raw_fd() as u64 == number;
    stage(&mut ring, submission(3, libc::SYS_write, &[writer.as_raw_fd() as u64, from, 2]));
    ring.park(3, Some(Duration::from_secs(5)))?;
    let mut done = all(&mut ring, 3)?;
    done.sort_unstable();
    println!("two readers of a pipe whose number is another's ({taken}): {done:?}");
    let mut both = [buffer[1], buffer[2]];
    both.sort_unstable();
    println!("a byte each: {:?}", std::str::from_utf8(&both));

    stage(&mut ring, submission(1, call::TIMER.into(), &[2_000_000, 0]));
    println!("a timer: {:?}", all(&mut ring, 1)?);

    let mut registered = [0_u8; 64];
    let at = registered.as_mut_ptr() as u64;
    let fixed = |submission| Submission { flags: flags::FIXED, group: 7, ..submission };
    let (input, output) = (reader.as_raw_fd() as u64, writer.as_raw_fd() as u64);
    stage(&mut ring, Submission { group: 7, ..submission(1, call::REGISTER.into(), &[at, 64]) });
    stage(&mut ring, Submission { group: 8, ..submission(2, call::REGISTER.into(), &[4096, 64]) });
    println!("registered, and where nothing is: {:?}", all(&mut ring, 2)?);
    stage(&mut ring, fixed(submission(1, libc::SYS_read, &[input, 60, 4])));
    stage(&mut ring, submission(2, libc::SYS_write, &[output, from, 4]));
    let mut done = all(&mut ring, 2)?;
    done.sort_unstable();
    println!("into it: {done:?} {:?}", std::str::from_utf8(&registered[60..]));
    let mut chain = fixed(submission(1, libc::SYS_write, &[output, 61, 3]));
    chain.flags |= flags::LINK;
    stage(&mut ring, chain);
    stage(&mut ring, fixed(submission(2, libc::SYS_read, &[input, 0, 64])));
    println!("out of it and back: {:?}", all(&mut ring, 2)?);
    println!("what it holds then: {:?}", std::str::from_utf8(&registered[..3]));
    stage(&mut ring, fixed(submission(1, libc::SYS_read, &[input, 61, 4])));
    stage(&mut ring, fixed(submission(2, libc::SYS_close, &[input, 0, 0])));
    stage(&mut ring, Submission { group: 7, ..submission(3, call::REGISTER.into(), &[at, 0]) });
    let mut done = all(&mut ring, 3)?;
    done.sort_unstable();
    println!("beyond it, a call that has none, its end: {done:?}");
    stage(&mut ring, fixed(submission(4, libc::SYS_write, &[output, 0, 1])));
    println!("after that: {:?}", all(&mut ring, 1)?);

    stage(&mut ring, submission(1, libc::SYS_exit, &[0]));
    stage(&mut ring, submission(2, 77_777, &[]));
    println!("refused: {:?}", all(&mut ring, 2)?);
    Ok(())
}
