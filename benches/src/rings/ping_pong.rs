//! One entry to the other CPU and one back, both sides spinning: what a call costs at least.

use std::{
    env, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use evering::{
    peer::connect::{accept, offer},
    region::Options,
};
use nix::sys::resource::{UsageWho, getrusage};

use super::{Against, Contestant, Figures, Result, Target, Task, measure, pin};

/// Round trips in a sample, and before it.
const COUNT: u64 = 40_000;
const WARM_UP: u64 = 4_000;
/// The rings' capacity.
const CAPACITY: usize = 64;

/// The hidden command of the bench binary: the other process.
pub const ECHO: &str = "echo";

/// The task.
pub fn task() -> Task {
    Task {
        name: "ping-pong of 8 bytes, both spinning",
        contestants: vec![
            Contestant { name: "two words", sample: words },
            Contestant { name: "evering, two processes", sample: processes },
            Contestant { name: "evering, two threads", sample: threads },
            Contestant { name: "rtrb", sample: rtrb },
        ],
        targets: vec![Target {
            of: "evering, two processes",
            limit: 1.15,
            against: Against::Contestant("two words"),
        }],
    }
}

/// `there` answers what comes with the same, `here` sends and waits for it; nobody pauses in between.
fn threads_with(mut here: impl FnMut(u64), mut there: impl FnMut(u64) + Send) -> Result<Figures> {
    thread::scope(|scope| {
        let echo = scope.spawn(move || -> Result<()> {
            pin(1)?;
            (1..=WARM_UP + COUNT).for_each(&mut there);
            Ok(())
        });
        pin(0)?;
        (1..=WARM_UP).for_each(&mut here);
        measure(COUNT, || {
            (WARM_UP + 1..=WARM_UP + COUNT).for_each(&mut here);
            echo.join().map_err(|_| "the echo panicked")?
        })
    })
}

#[repr(align(128))]
struct Line(AtomicU64);

fn words() -> Result<Figures> {
    let (ping, pong) = (Line(AtomicU64::new(0)), Line(AtomicU64::new(0)));
    threads_with(
        |n| {
            ping.0.store(n, Ordering::Release);
            while pong.0.load(Ordering::Acquire) != n {}
        },
        |n| {
            while ping.0.load(Ordering::Acquire) != n {}
            pong.0.store(n, Ordering::Release);
        },
    )
}

fn threads() -> Result<Figures> {
    let (mut to, mut from_here) = evering::channel::<u64>(CAPACITY)?;
    let (mut back, mut from_there) = evering::channel::<u64>(CAPACITY)?;
    threads_with(
        |n| {
            assert_eq!(to.send(n), Ok(()));
            while from_there.recv() != Ok(n) {}
        },
        move |n| {
            while from_here.recv() != Ok(n) {}
            assert_eq!(back.send(n), Ok(()));
        },
    )
}

fn rtrb() -> Result<Figures> {
    let (mut to, mut from_here) = ::rtrb::RingBuffer::<u64>::new(CAPACITY);
    let (mut back, mut from_there) = ::rtrb::RingBuffer::<u64>::new(CAPACITY);
    threads_with(
        |n| {
            assert_eq!(to.push(n), Ok(()));
            while from_there.pop() != Ok(n) {}
        },
        move |n| {
            while from_here.pop() != Ok(n) {}
            assert_eq!(back.push(n), Ok(()));
        },
    )
}

fn processes() -> Result<Figures> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut child = Command::new(env::current_exe()?)
        .arg(ECHO)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()?;
    let mut peer = offer::<u64, u64>(&ours, &Options::new().capacity(CAPACITY as u32))?;
    pin(0)?;
    let mut exchange = |n| {
        assert_eq!(peer.sender.send(n), Ok(()));
        while peer.receiver.recv() != Ok(n) {}
    };
    (1..=WARM_UP).for_each(&mut exchange);
    let children = || -> Result<f64> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        let micros = [usage.user_time(), usage.system_time()]
            .map(|time| time.tv_sec() as f64 * 1e6 + time.tv_usec() as f64);
        Ok(micros.iter().sum::<f64>() * 1e3)
    };
    let before = children()?;
    let mut figures = measure(COUNT, || {
        (WARM_UP + 1..=WARM_UP + COUNT).for_each(&mut exchange);
        Ok(())
    })?;
    drop(peer);
    if !child.wait()?.success() {
        return Err("the echo failed".into());
    }
    // What the child used for its start is in it; spread over all its round trips that is little.
    figures.cpu += (children()? - before) / (WARM_UP + COUNT) as f64;
    Ok(figures)
}

/// The other process: answers what comes over the connection that standard input offers.
///
/// # Errors
///
/// The connection's.
pub fn echo() -> Result<()> {
    pin(1)?;
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut peer = accept::<u64, u64>(&socket, true)?;
    for n in 1..=WARM_UP + COUNT {
        while peer.receiver.recv() != Ok(n) {
            if peer.receiver.is_closed() {
                return Err("the other side is gone".into());
            }
        }
        peer.sender.send(n).map_err(|error| error.to_string())?;
    }
    Ok(())
}
