//! Loom explores what two threads can do to each other: `RUSTFLAGS="--cfg loom" cargo test -p evering --lib --release`.

use loom::thread;
use std::vec::Vec;

use super::*;
use crate::models::{model, receive_all};

#[test]
fn entries_arrive_whole_and_in_order_while_slots_are_reused() {
    model(|| {
        let (mut sender, mut receiver) = channel::<u32>(2).expect("a power of two");
        let send = thread::spawn(move || {
            for i in 0..3 {
                while sender.send(i).is_err() {
                    thread::yield_now();
                }
            }
        });
        assert_eq!(receive_all(|| receiver.recv()), [0, 1, 2]);
        send.join().expect("it does not panic");
    });
}

#[test]
fn a_batch_arrives_at_once_or_not_yet() {
    model(|| {
        let (mut sender, mut receiver) = channel::<u32>(4).expect("a power of two");
        let send = thread::spawn(move || {
            assert_eq!(sender.send_batch(&[1, 2]), Ok(2));
            assert!(sender.stage(3).is_ok() && sender.stage(4).is_ok());
            assert_eq!(sender.publish(), 2);
        });
        let mut all = Vec::new();
        while all.len() < 4 {
            match receiver.drain() {
                Ok(drain) => all.extend(drain),
                Err(_) => thread::yield_now(),
            }
            assert_eq!(all.len() % 2, 0);
        }
        assert_eq!(all, [1, 2, 3, 4]);
        send.join().expect("it does not panic");
    });
}

#[test]
fn closing_hides_nothing_that_was_sent() {
    model(|| {
        let (mut sender, mut receiver) = channel::<u32>(2).expect("a power of two");
        let send = thread::spawn(move || {
            assert_eq!(sender.send(1), Ok(()));
            assert_eq!(sender.send(2), Ok(()));
        });
        assert_eq!(receive_all(|| receiver.recv()), [1, 2]);
        send.join().expect("it does not panic");
    });
}

#[test]
fn a_sender_learns_that_the_receiver_is_gone() {
    model(|| {
        let (mut sender, mut receiver) = channel::<u32>(1).expect("a power of two");
        let receive = thread::spawn(move || {
            let _ = receiver.recv();
        });
        while !matches!(sender.send(1), Err(SendError::Closed(1))) {
            thread::yield_now();
        }
        receive.join().expect("it does not panic");
    });
}

#[test]
fn slots_received_in_a_batch_are_reused_only_after_it() {
    model(|| {
        let (mut sender, mut receiver) = channel::<u32>(2).expect("a power of two");
        let send = thread::spawn(move || {
            let mut next = 0;
            while next < 4 {
                match sender.send_batch(&[next, next + 1][..(4 - next).min(2) as usize]) {
                    Ok(sent) => next += sent as u32,
                    Err(_) => thread::yield_now(),
                }
            }
        });
        let (mut next, mut out) = (0, [0; 2]);
        while next < 4 {
            match receiver.recv_batch(&mut out) {
                Ok(n) => out[..n].iter().for_each(|&entry| {
                    assert_eq!(entry, next);
                    next += 1;
                }),
                Err(_) => thread::yield_now(),
            }
        }
        send.join().expect("it does not panic");
    });
}

/// Entries that are small enough come with the index, if they come alone.
#[test]
fn entries_come_with_the_index_or_from_their_slots() {
    model(|| {
        let (mut sender, mut receiver) = channel::<[u64; 2]>(2).expect("a power of two");
        let send = thread::spawn(move || {
            for n in 0..3 {
                while sender.send([n, n]).is_err() {
                    thread::yield_now();
                }
            }
        });
        for n in 0..3 {
            loop {
                match receiver.recv() {
                    Ok(entry) => break assert_eq!(entry, [n, n]),
                    Err(_) => thread::yield_now(),
                }
            }
        }
        send.join().expect("it does not panic");
    });
}
