//! A ring by hand: a batch of calls, a call that waits, links, deadlines, cancelling.
//!
//! `libos target/release/examples/ring`

use std::{io, os::fd::AsRawFd, time::Duration};

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

    let (reader, writer) = io::pipe()?;
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

    stage(&mut ring, submission(1, call::TIMER.into(), &[2_000_000, 0]));
    println!("a timer: {:?}", all(&mut ring, 1)?);

    stage(&mut ring, submission(1, libc::SYS_exit, &[0]));
    stage(&mut ring, submission(2, 77_777, &[]));
    println!("refused: {:?}", all(&mut ring, 2)?);
    Ok(())
}
