//! Loom explores what senders and the receiver can do to each other.

use core::mem;
use std::vec::Vec;

use loom::thread;

use super::*;
use crate::models::{model, receive_all};

#[test]
fn two_senders_entries_arrive_whole_once_and_in_each_ones_order() {
    model(|| {
        let (mut one, mut receiver) = channel::<u32>(4).expect("a power of two");
        let mut other = one.clone();
        let send = thread::spawn(move || {
            assert_eq!((one.send(10), one.send(11)), (Ok(()), Ok(())));
        });
        assert_eq!(other.send(20), Ok(()));
        let first = receiver.recv();
        assert_eq!(other.send(21), Ok(()));
        drop(other);
        let mut all: Vec<_> = first.into_iter().collect();
        all.extend(receive_all(|| receiver.recv()));
        for base in [10, 20] {
            let of_one: Vec<_> = all.iter().copied().filter(|n| n / 10 == base / 10).collect();
            assert_eq!(of_one, [base, base + 1]);
        }
        assert_eq!(all.len(), 4);
        send.join().expect("it does not panic");
    });
}

#[test]
fn slots_are_reused_only_after_they_were_released() {
    model(|| {
        let (mut sender, mut receiver) = channel::<u32>(1).expect("a power of two");
        let send = thread::spawn(move || {
            for n in 0..3 {
                while sender.send(n).is_err() {
                    thread::yield_now();
                }
            }
        });
        assert_eq!(receive_all(|| receiver.recv()), [0, 1, 2]);
        send.join().expect("it does not panic");
    });
}

#[test]
fn batches_of_two_senders_do_not_mix() {
    model(|| {
        let (mut sender, mut receiver) = channel::<u32>(4).expect("a power of two");
        let mut other = sender.clone();
        let send = thread::spawn(move || assert_eq!(other.send_batch(&[1, 2]), Ok(2)));
        assert_eq!(sender.send_batch(&[11, 12]), Ok(2));
        drop(sender);
        let all = receive_all(|| receiver.recv());
        assert!(all == [1, 2, 11, 12] || all == [11, 12, 1, 2], "{all:?}");
        send.join().expect("it does not panic");
    });
}

#[test]
fn what_is_reserved_comes_whole_or_is_passed_over() {
    model(|| {
        let (mut sender, mut receiver) = channel::<u32>(4).expect("a power of two");
        let mut other = sender.clone();
        let send = thread::spawn(move || {
            let mut room = other.reserve(2).expect("there is room");
            assert_eq!((room.capacity(), room.stage(1)), (2, Ok(())));
            assert_eq!(room.publish(), 1);
        });
        drop(sender.reserve(1).expect("there is room"));
        assert_eq!(sender.send(11), Ok(()));
        drop(sender);
        let all = receive_all(|| receiver.recv());
        assert!(all == [1, 11] || all == [11, 1], "{all:?}");
        send.join().expect("it does not panic");
    });
}

/// Slots that were given up are free again only when the receiver has passed over them, for whichever sender.
#[test]
fn slots_that_were_given_up_are_reused() {
    model(|| {
        let (mut sender, mut receiver) = channel::<u32>(1).expect("a power of two");
        let mut other = sender.clone();
        let send = thread::spawn(move || other.send(7).is_ok());
        let give_up = thread::spawn(move || {
            if let Ok(mut room) = sender.reserve(1) {
                assert_eq!(room.stage(5), Ok(()));
            }
        });
        let all = receive_all(|| receiver.recv());
        assert_eq!(all == [7], send.join().expect("it does not panic"));
        give_up.join().expect("it does not panic");
    });
}

#[test]
fn the_last_of_two_senders_closes() {
    model(|| {
        let (mut sender, mut receiver) = channel::<u32>(2).expect("a power of two");
        let other = sender.clone();
        let send = thread::spawn(move || assert_eq!(sender.send(1), Ok(())));
        drop(other);
        assert_eq!(receive_all(|| receiver.recv()), [1]);
        send.join().expect("it does not panic");
    });
}

/// Threads that are joined are what a process is that the host says is over: one had begun what it never finished.
#[test]
fn what_dead_senders_had_begun_is_skipped_and_what_they_sent_is_not() {
    model(|| {
        let (mut sender, mut receiver) = channel::<u32>(4).expect("a power of two");
        let (mut other, ring) = (sender.clone(), receiver.ring.clone());
        let begin = thread::spawn(move || {
            let mut room = sender.reserve(1).expect("there is room");
            assert_eq!(room.stage(9), Ok(()));
            mem::forget(room);
            // Not dropped before all is over.
            sender
        });
        let tell = thread::spawn(move || {
            assert_eq!(other.send(1), Ok(()));
            let sender = begin.join().expect("it does not panic");
            ring.close(SENDER_GONE | SENDER_DIED);
            (sender, other)
        });
        assert_eq!(receive_all(|| receiver.recv()), [1]);
        drop(tell.join().expect("it does not panic"));
    });
}
