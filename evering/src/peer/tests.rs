//! Both ends of a connection in one process.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::net::UnixStream,
    thread,
    vec::Vec,
};

use super::{
    connect::{ConnectError, accept, accept_as, accept_role, offer, offer_as, offer_role},
    *,
};
use crate::{
    Many, RecvError,
    heap::{AllocError, Heap, Local, Threads, Token, TokenError},
    region::{Life, Side},
};

fn options() -> Options {
    Options::new().capacity(8).arena(64 << 10).away(4)
}

fn ends() -> Ends<Token, Token> {
    pair(&options()).expect("it is possible")
}

#[test]
fn a_buffer_is_lent_and_used_by_both() {
    let (mut client, mut server) = ends();
    let (ours, theirs) = (Heap::<Local>::new(client.arena), Heap::<Local>::new(server.arena));
    let buffer = ours.alloc(5000).expect("there is room");
    buffer.write(4990, b"a question").expect("it fits");
    let token = buffer.lend().expect("it is ours");
    assert_eq!(client.sender.send(token), Ok(()));
    let loan = theirs.borrow(server.receiver.recv().expect("it was sent")).expect("it is right");
    let mut bytes = [0; 10];
    assert_eq!((loan.len(), loan.read(4990, &mut bytes)), (5000, Ok(())));
    assert_eq!(&bytes, b"a question");
    loan.write(0, b"an answer").expect("it fits");
    drop(loan);
    assert_eq!(buffer.to_vec()[..9], *b"an answer");
    assert_eq!((theirs.usage().free, ours.usage().free < ours.usage().size), (64 << 10, true));
    drop(buffer);
    assert_eq!(ours.usage().free, 64 << 10);
}

#[test]
fn a_buffer_that_was_given_comes_back_when_it_is_dropped() {
    let (client, server) = ends();
    let (ours, theirs) = (Heap::<Local>::new(client.arena), Heap::<Local>::new(server.arena));
    let mut buffer = ours.alloc(100).expect("there is room");
    buffer.truncate(3);
    buffer.write(0, b"abc").expect("it fits");
    let token = buffer.give().expect("none is away");
    assert_eq!(ours.usage().away, 1);
    let buffer = theirs.accept(token).expect("it is right");
    assert_eq!((buffer.to_vec(), buffer.is_own()), (b"abc".to_vec(), false));
    assert_eq!(ours.collect(), 0);
    drop(buffer);
    assert_eq!((ours.collect(), ours.usage().away, ours.usage().free), (1, 0, 64 << 10));
}

#[test]
fn a_buffer_that_was_given_can_be_given_back() {
    let (client, server) = ends();
    let (ours, theirs) = (Heap::<Local>::new(client.arena), Heap::<Local>::new(server.arena));
    let token = ours.alloc(100).expect("there is room").give().expect("none is away");
    let buffer = theirs.accept(token).expect("it is right");
    buffer.write(97, b"end").expect("it fits");
    let token = buffer.give().expect("that is always possible");
    let buffer = ours.accept(token).expect("it is right");
    assert_eq!((buffer.is_own(), &buffer.to_vec()[97..]), (true, &b"end"[..]));
    assert_eq!(ours.accept(token).err(), Some(TokenError::Stray), "it is not away any more");
    drop(buffer);
    let usage = ours.usage();
    assert_eq!((usage.free, usage.away, usage.strays), (64 << 10, 0, 1));
}

#[test]
fn as_many_buffers_are_away_as_may_be_and_come_back_at_the_end() {
    let (client, server) = ends();
    let (ours, theirs) = (Heap::<Local>::new(client.arena), Heap::<Local>::new(server.arena));
    let give = || ours.alloc(9).expect("there is room").give();
    let tokens: Vec<_> = (0..4).map(|_| give().expect("four may be away")).collect();
    let fifth = give().expect_err("but no more");
    drop(theirs.accept(tokens[2]).expect("it is right"));
    assert!(fifth.give().is_ok());
    assert_eq!((ours.reclaim(), ours.usage().free), (4, 64 << 10));
    drop(theirs.accept(tokens[0]).expect("it looks right"));
    assert_eq!((ours.collect(), ours.usage().strays), (0, 1), "too late");
}

#[test]
fn nonsense_in_a_token_is_an_error() {
    let (client, server) = ends();
    let (ours, theirs) = (Heap::<Local>::new(client.arena), Heap::<Local>::new(server.arena));
    let buffer = ours.alloc(64 << 10).expect("all of it");
    let good = buffer.lend().expect("it is ours");
    let lent = |token: Token| theirs.borrow(token).err();
    assert_eq!(lent(good), None);
    assert_eq!(lent(Token { len: good.len + 1, ..good }), Some(TokenError::Range));
    assert_eq!(lent(Token { len: u32::MAX, ..good }), Some(TokenError::Range));
    for granule in [0, good.granule - 1, good.granule + 1, u32::MAX] {
        assert_eq!(lent(Token { granule, ..good }), Some(TokenError::Range));
    }
    assert_eq!(ours.borrow(good).err(), Some(TokenError::Range), "ours is not the peer's");
    assert_eq!(theirs.accept(good).err(), Some(TokenError::Kind));
    let given = Token { ticket: 1, ..good };
    assert_eq!(theirs.borrow(given).err(), Some(TokenError::Kind));
    assert_eq!(ours.accept(given).err(), Some(TokenError::Stray));
}

#[test]
fn a_side_is_taken_once_and_says_when_it_goes() {
    let region = Region::<u64, u64>::on_heap(&options()).expect("it is possible");
    let first = region.first().expect("it is free");
    assert!(matches!(region.first(), Err(RegionError::Taken)));
    assert_eq!((first.link.side(), first.link.peer()), (Side::First, Life::Vacant));
    let mut second = region.second().expect("it is free");
    assert_eq!((first.link.peer(), first.link.peers_pid()), (Life::Here, std::process::id()));
    drop(first);
    assert_eq!((second.link.peer(), second.receiver.recv()), (Life::Left, Err(RecvError::Closed)));
    assert!(matches!(region.first(), Err(RegionError::Taken)));
}

#[test]
fn whoever_sleeps_is_woken_when_the_other_goes() {
    let (client, mut server) = ends();
    let mut waiter = server.link.waiter();
    let wait = thread::spawn(move || {
        waiter.wait(None, || match server.receiver.recv() {
            Err(RecvError::Empty) => None,
            other => Some(other),
        })
    });
    thread::sleep(std::time::Duration::from_millis(20));
    drop(client);
    assert_eq!(wait.join().expect("it does not panic"), Some(Err(RecvError::Closed)));
}

#[test]
fn buffers_of_a_heap_for_threads_can_be_dropped_by_any() {
    let (client, server) = ends();
    let (ours, theirs) = (Heap::<Threads>::new(client.arena), Heap::<Threads>::new(server.arena));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for round in 0..200usize {
                    let buffer = ours.alloc(1 + round * 7).expect("there is room");
                    buffer.fill(0, buffer.len(), round as u8).expect("it fits");
                    let Ok(token) = buffer.give() else { continue };
                    let buffer = theirs.accept(token).expect("it is right");
                    scope.spawn(move || {
                        assert!(buffer.to_vec().iter().all(|&byte| byte == round as u8));
                    });
                }
            });
        }
    });
    ours.collect();
    let usage = ours.usage();
    assert_eq!((usage.free, usage.away, usage.strays), (64 << 10, 0, 0));
}

#[test]
fn who_waits_for_room_gets_it_in_turn() {
    use core::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };
    let (client, _server) = ends();
    let heap = Heap::<Local>::new(client.arena);
    let mut cx = Context::from_waker(Waker::noop());
    let all = heap.alloc(64 << 10).expect("it is empty");
    assert_eq!(heap.alloc(1).err(), Some(AllocError::Full));
    assert_eq!(heap.alloc((64 << 10) + 1).err(), Some(AllocError::TooLarge));
    let (mut large, mut small) = (pin!(heap.allocate(40 << 10)), pin!(heap.allocate(1)));
    assert!(large.as_mut().poll(&mut cx).is_pending() && small.as_mut().poll(&mut cx).is_pending());
    drop(all);
    assert!(small.as_mut().poll(&mut cx).is_pending(), "the other one was first");
    let Poll::Ready(Ok(large)) = large.as_mut().poll(&mut cx) else { panic!("there is room") };
    let Poll::Ready(Ok(_)) = small.as_mut().poll(&mut cx) else { panic!("it is its turn") };
    drop(large);
}

/// Threads, but by way of a socket, a `memfd` and two mappings.
#[test]
fn a_connection_is_made_over_a_socket() {
    let (here, there) = UnixStream::pair().expect("descriptors are left");
    let server = thread::spawn(move || {
        let mut peer = accept::<u32, u64>(&there, true).expect("it was offered");
        while let Err(RecvError::Empty) = peer.receiver.recv().map(|n| {
            assert_eq!(peer.sender.send(u64::from(n) * 10), Ok(()));
        }) {
            thread::yield_now();
        }
        assert!(peer.link.watch().is_some_and(|watch| !watch.is_over()));
    });
    let mut peer = offer::<u32, u64>(&here, &options()).expect("it is accepted");
    assert_eq!(peer.sender.send(7), Ok(()));
    let answer = loop {
        match peer.receiver.recv() {
            Err(RecvError::Empty) => thread::yield_now(),
            other => break other,
        }
    };
    assert_eq!(answer, Ok(70));
    server.join().expect("it does not panic");
    assert_eq!(peer.link.peer(), Life::Left);
}

#[test]
fn whoever_talks_of_something_else_is_no_peer() {
    let (here, mut there) = UnixStream::pair().expect("descriptors are left");
    there.write_all(b"GET / HTT").expect("it is connected");
    assert!(matches!(accept::<u32, u64>(&here, false), Err(ConnectError::Hello)));
    there.write_all(b"evhl\x01\0\0\0\0").expect("it is connected");
    assert!(matches!(accept::<u32, u64>(&here, false), Err(ConnectError::Hello)), "no file");
    let mut told = [0; 9];
    there.read_exact(&mut told).expect("it was told");
    assert_eq!(told, *b"evhl\x01\0\0\0\x01");
    drop(there);
    assert!(matches!(accept::<u32, u64>(&here, false), Err(ConnectError::Closed)));

    let (here, there) = UnixStream::pair().expect("descriptors are left");
    let other = thread::spawn(move || accept::<u32, u32>(&there, false).map(drop));
    let refused = offer::<u32, u64>(&here, &options());
    assert!(matches!(refused, Err(ConnectError::Refused)));
    let error = other.join().expect("it does not panic");
    assert!(matches!(error, Err(ConnectError::Region(_))), "{error:?}");
}

#[test]
fn a_file_that_could_shrink_or_is_none_is_refused() {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let open = |file: std::os::fd::OwnedFd| Region::<u64, u64>::open(file, false).err();
    let region = Region::<u64, u64>::create(&options()).expect("it is possible");
    let good = region.as_fd().expect("it is in a file");
    let again = || good.try_clone_to_owned().expect("descriptors are left");
    assert!(open(again()).is_none());
    assert!(File::from(again()).set_len(4096).is_err(), "it cannot shrink");

    let copy = |flags| File::from(memfd_create("copy", flags).expect("descriptors are left"));
    let mut unsealed = copy(MFdFlags::MFD_ALLOW_SEALING);
    std::io::copy(&mut File::from(again()), &mut unsealed).expect("there is room");
    assert!(matches!(open(unsealed.into()), Some(RegionError::Seals)));
    let (pipe, _other) = std::io::pipe().expect("descriptors are left");
    assert!(matches!(open(pipe.into()), Some(RegionError::Seals)));
    let null = File::open("/dev/null").expect("it is there");
    assert!(matches!(open(null.into()), Some(RegionError::Seals)));
}

#[test]
fn roles_are_taken_at_run_time() {
    for (role, asks) in [(Role::Requester, true), (Role::Responder, false)] {
        let (here, there) = UnixStream::pair().expect("descriptors are left");
        let other = thread::spawn(move || accept_role::<u32, u64>(&there, false));
        let ours = offer_role::<u32, u64>(&here, &options(), role).expect("it is accepted");
        let theirs = other.join().expect("it does not panic").expect("it was offered");
        assert_eq!((ours.role(), theirs.role()), (role, role.other()));
        let (mut requester, mut responder) = match (ours, theirs) {
            (End::Requester(requester), End::Responder(responder)) if asks => {
                (requester, responder)
            }
            (End::Responder(responder), End::Requester(requester)) => (requester, responder),
            ends => panic!("they agree: {ends:?}"),
        };
        assert_eq!((requester.sender.send(3), responder.receiver.recv()), (Ok(()), Ok(3)));
        assert_eq!((responder.sender.send(4), requester.receiver.recv()), (Ok(()), Ok(4)));
    }
    let (here, there) = UnixStream::pair().expect("descriptors are left");
    let other = thread::spawn(move || accept_role::<u32, u64>(&there, false).map(drop));
    assert!(matches!(offer::<u32, u64>(&here, &options()), Err(ConnectError::Refused)));
    assert!(matches!(other.join().expect("it does not panic"), Err(ConnectError::Hello)));
}

#[test]
fn many_threads_send_into_one_connection() {
    let (here, there) = UnixStream::pair().expect("descriptors are left");
    let server = thread::spawn(move || {
        let mut peer = accept_as::<u64, u64, Many, One>(&there, false).expect("it was offered");
        let (mut waiter, mut sum) = (peer.link.waiter(), 0);
        while let Some(Ok(n)) = waiter.wait(None, || match peer.receiver.recv() {
            Err(RecvError::Empty) => None,
            other => Some(other),
        }) {
            sum += n;
        }
        sum
    });
    let peer = offer_as::<u64, u64, Many, One>(&here, &options()).expect("it is accepted");
    thread::scope(|scope| {
        for n in 1..=3 {
            let (mut sender, ringer) = (peer.sender.clone(), peer.link.ringer());
            scope.spawn(move || {
                for _ in 0..1000 {
                    while sender.send(n).is_err() {
                        thread::yield_now();
                    }
                    ringer.ring();
                }
            });
        }
    });
    drop(peer);
    assert_eq!(server.join().ok(), Some(6000));
    let (here, there) = UnixStream::pair().expect("descriptors are left");
    let other = thread::spawn(move || accept::<u64, u64>(&there, false).map(drop));
    let refused = offer_as::<u64, u64, Many, One>(&here, &options());
    assert!(matches!(refused, Err(ConnectError::Refused)), "one is not many");
    assert!(other.join().expect("it does not panic").is_err());
}

#[test]
fn sides_sleep_on_the_eventfds_that_came_with_the_region() {
    let (here, there) = UnixStream::pair().expect("descriptors are left");
    let server = thread::spawn(move || {
        let mut peer = accept::<u64, u64>(&there, false).expect("it was offered");
        let mut waiter = peer.link.event_waiter().expect("it came with the region");
        let n = waiter.wait(None, || peer.receiver.recv().ok());
        assert_eq!(n, Some(5));
        let end =
            waiter.wait(None, || peer.receiver.recv().err().filter(|&e| e != RecvError::Empty));
        assert_eq!(end, Some(RecvError::Closed));
    });
    let mut peer = offer::<u64, u64>(&here, &options().events(true)).expect("it is accepted");
    thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(peer.sender.send(5), Ok(()));
    peer.link.ringer().ring();
    thread::sleep(std::time::Duration::from_millis(20));
    drop(peer);
    server.join().expect("it does not panic");
}

#[test]
fn a_peer_that_is_declared_dead_has_sent_what_it_has_sent() {
    let (mut ours, mut theirs) = pair::<u64, u64>(&options()).expect("it is possible");
    assert_eq!(theirs.sender.send(1), Ok(()));
    ours.link.peer_is_dead();
    assert_eq!((ours.link.peer(), ours.receiver.recv()), (Life::Dead, Ok(1)));
    assert_eq!(ours.receiver.recv(), Err(RecvError::Closed));
    assert!(ours.sender.send(2).is_err_and(|error| !error.is_full()));
}

#[test]
fn ends_that_share_their_only_cpu_do_not_spin() {
    use crate::wake::{Cpus, Spin};
    use nix::{
        sched::{CpuSet, sched_getaffinity, sched_setaffinity},
        unistd::Pid,
    };
    let may_run = sched_getaffinity(Pid::from_raw(0)).expect("it is a thread");
    let cpus: Vec<_> =
        (0..CpuSet::count()).filter(|&cpu| may_run.is_set(cpu) == Ok(true)).collect();
    let spin_of = |link: &super::Link, cpu: usize| {
        let mut set = CpuSet::new();
        set.set(cpu).expect("it is one of ours");
        thread::scope(|scope| {
            let pinned = scope.spawn(|| {
                sched_setaffinity(Pid::from_raw(0), &set).expect("it is one of ours");
                link.spin()
            });
            pinned.join().expect("it does not panic")
        })
    };
    let (ours, theirs) = pair::<u64, u64>(&options()).expect("it is possible");
    for (here, there) in [(0, 0), (0, cpus.len() - 1)] {
        let _ = spin_of(&theirs.link, cpus[there]);
        let spin = spin_of(&ours.link, cpus[here]);
        let expected = if here == there { Spin::never() } else { Spin::adaptive() };
        assert_eq!(spin, expected, "on {} and {}", cpus[here], cpus[there]);
    }
    assert_ne!(Cpus::of_this_thread(), Cpus::UNKNOWN);
}
