//! Waiters asleep in every way, on their own thread and under tokio.

use std::{os::fd::AsFd, sync::Arc, thread, time::Duration};

use tokio::io::unix::AsyncFd;

use super::*;
use crate::{RecvError, channel};

const SOON: Duration = Duration::from_millis(20);

fn cpu_time() -> Duration {
    // SAFETY: a timespec is written to this frame.
    let now = unsafe {
        let mut now: libc::timespec = std::mem::zeroed();
        assert_eq!(libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now), 0);
        now
    };
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[test]
fn an_idle_waiter_uses_no_cpu_and_ends_at_its_deadline() {
    let bell = Arc::new(Bell::new());
    let mut on_futex = Waiter::new(bell.clone());
    let mut on_event = EventWaiter::new(bell, EventFd::new().expect("descriptors are left"));
    for wait in [&mut |deadline| on_futex.wait(Some(deadline), || None::<()>), &mut |deadline| {
        on_event.wait(Some(deadline), || None::<()>)
    }] as [&mut dyn FnMut(Instant) -> Option<()>; 2]
    {
        let (start, used) = (Instant::now(), cpu_time());
        assert_eq!(wait(start + 10 * SOON), None);
        assert!(start.elapsed() >= 10 * SOON);
        assert!(cpu_time() - used < SOON);
    }
}

#[test]
fn a_deadline_in_the_past_is_a_look() {
    let mut waiter = Waiter::new(Arc::new(Bell::new()));
    assert_eq!(waiter.wait(Some(Instant::now()), || None::<()>), None);
    assert_eq!(waiter.wait(Some(Instant::now()), || Some(1)), Some(1));
    assert!(!waiter.bell().is_armed());
}

/// Everything arrives although both sides sleep whenever they can.
fn echo(
    mut wait: impl FnMut(
        &mut dyn FnMut() -> Option<Result<u64, RecvError>>,
    ) -> Option<Result<u64, RecvError>>
    + Send
    + 'static,
    ringer: Ringer<Arc<Bell>>,
) {
    const N: u64 = 2_000;
    let (mut sender, mut receiver) = channel::<u64>(4).expect("a power of two");
    let receive = thread::spawn(move || {
        let mut next = 0;
        loop {
            let news = wait(&mut || match receiver.recv() {
                Err(RecvError::Empty) => None,
                other => Some(other),
            });
            match news {
                Some(Ok(n)) => assert_eq!(n, next),
                end => break (end, next),
            }
            next += 1;
        }
    });
    for n in 0..N {
        while sender.send(n).is_err() {
            thread::yield_now();
        }
        ringer.ring();
        if n % 100 == 0 {
            thread::sleep(Duration::from_micros(100));
        }
    }
    thread::sleep(SOON);
    drop(sender);
    drop(ringer);
    let received = receive.join().expect("it does not panic");
    assert_eq!(received, (Some(Err(RecvError::Closed)), N));
}

#[test]
fn threads_sleep_on_the_futex() {
    for spin in [Spin::never(), Spin::adaptive()] {
        let bell = Arc::new(Bell::new());
        let mut waiter = Waiter::with_spin(bell.clone(), spin);
        echo(move |look| waiter.wait(None, look), Ringer::new(bell));
    }
}

#[test]
fn threads_sleep_on_the_eventfd() {
    for spin in [Spin::never(), Spin::adaptive()] {
        let (bell, event) = (Arc::new(Bell::new()), EventFd::new().expect("descriptors are left"));
        let ringer = Ringer::with_event(bell.clone(), event.try_clone().expect("the same"));
        let mut waiter = EventWaiter::with_spin(bell, event, spin);
        echo(move |look| waiter.wait(None, look), ringer);
    }
}

#[test]
fn tasks_of_tokio_sleep_on_the_eventfd() {
    let (bell, event) = (Arc::new(Bell::new()), EventFd::new().expect("descriptors are left"));
    let ringer = Ringer::with_event(bell.clone(), event.try_clone().expect("the same"));
    let mut waiter = EventWaiter::with_spin(bell, event, Spin::never());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.expect("there is a reactor");
    let fd = waiter.as_fd().try_clone_to_owned().expect("descriptors are left");
    // SAFETY: the descriptor stays open and the same while it is registered.
    let readable = runtime.block_on(async { unsafe { AsyncFd::register(fd) } });
    let readable = readable.expect("it can be watched");
    let wait = move |look: &mut dyn FnMut() -> Option<_>| {
        let poll = |cx: &mut Context<'_>| {
            readable.poll_read_ready(cx).map(|guard| guard.expect("a reactor").clear_ready())
        };
        Some(runtime.block_on(waiter.wait_with(look, poll)))
    };
    echo(wait, ringer);
}

#[test]
fn an_eventfd_that_was_promised_is_checked() {
    let event = EventFd::new().expect("descriptors are left");
    let fd = event.as_fd().try_clone_to_owned().expect("descriptors are left");
    assert!(EventFd::from_peer(fd).is_ok());
    let file = std::fs::File::open("/dev/null").expect("it is there");
    assert!(EventFd::from_peer(file.into()).is_err());
}

#[test]
fn one_who_sleeps_on_an_eventfd_that_nobody_has_is_woken_by_nobody() {
    let bell = Arc::new(Bell::new());
    bell.arm(How::EventFd);
    Ringer::new(bell.clone()).ring();
    assert!(!bell.is_armed(), "but it was answered");
}

/// What two processes do, as far as the host's futex can tell: the same page at two addresses.
#[test]
fn a_bell_rings_at_another_address() {
    use core::ptr::NonNull;
    let memory = std::fs::File::from(
        nix::sys::memfd::memfd_create("bell", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)
            .expect("descriptors are left"),
    );
    memory.set_len(4096).expect("there is memory");
    let map = || {
        let length = core::num::NonZero::new(4096).expect("it is not 0");
        let both = nix::sys::mman::ProtFlags::PROT_READ | nix::sys::mman::ProtFlags::PROT_WRITE;
        let shared = nix::sys::mman::MapFlags::MAP_SHARED;
        // SAFETY: a new mapping, at an address that the host chooses.
        let at = unsafe { nix::sys::mman::mmap(None, length, both, shared, &memory, 0) };
        let at: NonNull<u8> = at.expect("there is room").cast();
        // SAFETY: the mapping is zeroed, stays for good, and is used as a bell only.
        unsafe { super::super::SharedBell::new(at, ()) }
    };
    let (here, there) = (map(), map());
    assert_ne!(&raw const *here, &raw const *there);
    let mut waiter = Waiter::with_spin(here, Spin::never());
    let news = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let look = news.clone();
    let wait = thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(20);
        waiter.wait(Some(deadline), || {
            look.load(std::sync::atomic::Ordering::Acquire).then(Instant::now)
        })
    });
    thread::sleep(SOON);
    let (rung, ringer) = (Instant::now(), Ringer::new(there));
    news.store(true, std::sync::atomic::Ordering::Release);
    ringer.ring();
    let woken = wait.join().expect("it does not panic").expect("it was woken");
    assert!(woken - rung < Duration::from_secs(10));
}
