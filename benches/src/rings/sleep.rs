//! One entry to a thread that sleeps and one back to us, asleep meanwhile: what waking up costs, across CPUs and on one.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use evering::wake::{Bell, EventFd, EventWaiter, Ringer, Spin, Waiter};
use rustix::thread::futex;

use super::{Against, Contestant, Figures, Result, Target, Task, measure, pin};

const COUNT: u64 = 1_000;
const WARM_UP: u64 = 100;

/// The tasks.
pub fn tasks() -> [Task; 2] {
    [
        task(
            "ping-pong asleep, across CPUs",
            [
                evering::<1>,
                evering_event::<1>,
                bare_futex::<1>,
                eventfd::<1>,
                pipe::<1>,
                socket::<1>,
            ],
        ),
        task(
            "ping-pong asleep, on one CPU",
            [
                evering::<0>,
                evering_event::<0>,
                bare_futex::<0>,
                eventfd::<0>,
                pipe::<0>,
                socket::<0>,
            ],
        ),
    ]
}

fn task(name: &'static str, samples: [fn() -> Result<Figures>; 6]) -> Task {
    let names = [
        "evering, futex",
        "evering, eventfd",
        "bare futex",
        "eventfd pair",
        "pipe pair",
        "Unix socket",
    ];
    let contestants =
        names.into_iter().zip(samples).map(|(name, sample)| Contestant { name, sample }).collect();
    let targets =
        [("bare futex", 1.1), ("eventfd pair", 1.0), ("pipe pair", 1.0), ("Unix socket", 1.0)];
    let targets = targets
        .map(|(other, limit)| Target {
            of: "evering, futex",
            limit,
            against: Against::Contestant(other),
        })
        .into();
    Task { name, contestants, targets }
}

/// `here` on the first CPU sends and waits, `echo` on CPU `there` waits and sends.
fn exchange(
    there: usize,
    mut here: impl FnMut(u64) -> Result<()>,
    mut echo: impl FnMut(u64) -> Result<()> + Send,
) -> Result<Figures> {
    thread::scope(|scope| {
        let other = scope.spawn(move || -> Result<()> {
            pin(there)?;
            (1..=WARM_UP + COUNT).try_for_each(&mut echo)
        });
        pin(0)?;
        (1..=WARM_UP).try_for_each(&mut here)?;
        measure(COUNT, || {
            (WARM_UP + 1..=WARM_UP + COUNT).try_for_each(&mut here)?;
            other.join().map_err(|_| "the echo panicked")?
        })
    })
}

fn evering<const THERE: usize>() -> Result<Figures> {
    let bells = [(); 2].map(|()| Arc::new(Bell::new()));
    let [mut wait_here, mut wait_there] =
        bells.each_ref().map(|bell| Waiter::with_spin(bell.clone(), Spin::never()));
    let [to_here, to_there] = bells.map(Ringer::new);
    let (mut to, mut from_here) = ::evering::channel::<u64>(64)?;
    let (mut back, mut from_there) = ::evering::channel::<u64>(64)?;
    exchange(
        THERE,
        |n| {
            to.send(n)?;
            to_there.ring();
            let came = wait_here.wait(None, || from_there.recv().ok());
            if came == Some(n) { Ok(()) } else { Err("another entry came".into()) }
        },
        move |_| {
            let Some(n) = wait_there.wait(None, || from_here.recv().ok()) else { return Ok(()) };
            back.send(n)?;
            to_here.ring();
            Ok(())
        },
    )
}

fn evering_event<const THERE: usize>() -> Result<Figures> {
    let bells = [(); 2].map(|()| Arc::new(Bell::new()));
    let events = [EventFd::new()?, EventFd::new()?];
    let to_here = Ringer::with_event(bells[0].clone(), events[0].try_clone()?);
    let to_there = Ringer::with_event(bells[1].clone(), events[1].try_clone()?);
    let [event_here, event_there] = events;
    let [bell_here, bell_there] = bells;
    let mut wait_here = EventWaiter::with_spin(bell_here, event_here, Spin::never());
    let mut wait_there = EventWaiter::with_spin(bell_there, event_there, Spin::never());
    let (mut to, mut from_here) = ::evering::channel::<u64>(64)?;
    let (mut back, mut from_there) = ::evering::channel::<u64>(64)?;
    exchange(
        THERE,
        |n| {
            to.send(n)?;
            to_there.ring();
            let came = wait_here.wait(None, || from_there.recv().ok());
            if came == Some(n) { Ok(()) } else { Err("another entry came".into()) }
        },
        move |_| {
            let Some(n) = wait_there.wait(None, || from_here.recv().ok()) else { return Ok(()) };
            back.send(n)?;
            to_here.ring();
            Ok(())
        },
    )
}

/// Sets the word and wakes who sleeps on it; sleeps until the word has the value.
struct Word(AtomicU32);

impl Word {
    fn set(&self, value: u32) -> Result<()> {
        self.0.store(value, Ordering::Release);
        futex::wake(&self.0, futex::Flags::empty(), 1)?;
        Ok(())
    }

    fn wait(&self, value: u32) {
        loop {
            let found = self.0.load(Ordering::Acquire);
            if found == value {
                return;
            }
            // Whatever it says means: look again.
            let _ = futex::wait(&self.0, futex::Flags::empty(), found, None);
        }
    }
}

fn bare_futex<const THERE: usize>() -> Result<Figures> {
    let words = [const { Word(AtomicU32::new(0)) }; 2];
    exchange(
        THERE,
        |n| {
            words[0].set(n as u32)?;
            words[1].wait(n as u32);
            Ok(())
        },
        |n| {
            words[0].wait(n as u32);
            words[1].set(n as u32)
        },
    )
}

/// Eight bytes each way over whatever can be read and written.
fn stream<R: Read + Send, W: Write + Send>(
    there: usize,
    [mut to, mut back]: [W; 2],
    [mut from_here, mut from_there]: [R; 2],
) -> Result<Figures> {
    exchange(
        there,
        move |n| {
            let mut bytes = n.to_ne_bytes();
            to.write_all(&bytes)?;
            from_there.read_exact(&mut bytes)?;
            Ok(())
        },
        move |_| {
            let mut bytes = [0; 8];
            from_here.read_exact(&mut bytes)?;
            back.write_all(&bytes)?;
            Ok(())
        },
    )
}

fn eventfd<const THERE: usize>() -> Result<Figures> {
    use std::{fs::File, os::fd::OwnedFd};

    use nix::sys::eventfd::{EfdFlags, EventFd};

    let new = || -> Result<[File; 2]> {
        let event = OwnedFd::from(EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC)?);
        Ok([event.try_clone()?.into(), event.into()])
    };
    let ([to, from_here], [back, from_there]) = (new()?, new()?);
    stream(THERE, [to, back], [from_here, from_there])
}

fn pipe<const THERE: usize>() -> Result<Figures> {
    let ((from_here, to), (from_there, back)) = (std::io::pipe()?, std::io::pipe()?);
    stream(THERE, [to, back], [from_here, from_there])
}

fn socket<const THERE: usize>() -> Result<Figures> {
    let (here, there) = UnixStream::pair()?;
    let (from_there, from_here) = (here.try_clone()?, there.try_clone()?);
    stream(THERE, [here, there], [from_here, from_there])
}
