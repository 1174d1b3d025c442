//! A queue of many senders against its model, against threads, and after a sender's death.

use std::{collections::VecDeque, thread, vec::Vec};

use proptest::prelude::*;

use super::*;

#[test]
fn entries_come_in_order_across_many_turns_of_the_ring() {
    let (mut a, mut receiver) = channel::<u64>(4).expect("a power of two");
    let mut b = a.clone();
    for i in 0..1_000 {
        assert_eq!((a.send(i), b.send(!i)), (Ok(()), Ok(())));
        assert_eq!((receiver.recv(), receiver.recv()), (Ok(i), Ok(!i)));
    }
    assert_eq!(receiver.recv(), Err(RecvError::Empty));
}

#[test]
fn a_full_ring_hands_the_entry_back() {
    for capacity in [1, 2, 8] {
        let (mut sender, mut receiver) = channel(capacity).expect("a power of two");
        for i in 0..capacity {
            assert_eq!(sender.send(i), Ok(()));
        }
        assert_eq!(sender.send(99), Err(SendError::Full(99)));
        assert_eq!(sender.send_batch(&[99]), Err(SendError::Full(())));
        assert_eq!((receiver.recv(), sender.send(99)), (Ok(0), Ok(())));
    }
}

#[test]
fn a_gone_receiver_hands_the_entry_back() {
    let (mut sender, receiver) = channel(4).expect("a power of two");
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.send(1), Err(SendError::Closed(1)));
    assert_eq!(sender.send_batch(&[1]), Err(SendError::Closed(())));
}

#[test]
fn it_is_closed_when_the_last_sender_is_gone_and_all_is_received() {
    let (mut a, mut receiver) = channel(4).expect("a power of two");
    let b = a.clone();
    assert_eq!(a.send_batch(&[1, 2]), Ok(2));
    drop(a);
    assert!(!receiver.is_closed());
    drop(b);
    assert!(receiver.is_closed());
    assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Ok(2)));
    assert_eq!(receiver.recv(), Err(RecvError::Closed));
    assert_eq!(receiver.recv_batch(&mut [0; 2]), Err(RecvError::Closed));
}

#[test]
fn batches_send_and_receive_what_fits() {
    let (mut sender, mut receiver) = channel(4).expect("a power of two");
    assert_eq!(sender.send_batch(&[]), Ok(0));
    assert_eq!(sender.send_batch(&[1, 2, 3, 4, 5, 6]), Ok(4));
    let mut out = [0; 3];
    assert_eq!(receiver.recv_batch(&mut []), Ok(0));
    assert_eq!((receiver.recv_batch(&mut out), out), (Ok(3), [1, 2, 3]));
    assert_eq!(sender.send_batch(&[5, 6, 7, 8]), Ok(3));
    let mut drain = receiver.drain();
    assert_eq!((drain.next(), drain.next()), (Some(4), Some(5)));
    drop(drain);
    assert_eq!(receiver.drain().collect::<Vec<_>>(), [6, 7]);
    assert_eq!(sender.send_batch(&[0; 5]), Ok(4), "all slots are free again");
}

#[test]
fn indices_wrap_around() {
    let ring = HeapRing::<u32, Many>::new(4).expect("a power of two");
    let start = u32::MAX - 2;
    ring.lines().tail.index.store(start, Ordering::Relaxed);
    ring.lines().head.0.store(start, Ordering::Relaxed);
    let (sender, receiver) = (ring.clone().sender(), ring.receiver());
    let (mut sender, mut receiver) = (sender.expect("valid"), receiver.expect("valid"));
    for i in 0..10 {
        assert_eq!((sender.send(i), sender.send(i)), (Ok(()), Ok(())));
        assert_eq!((receiver.recv(), receiver.recv()), (Ok(i), Ok(i)));
        assert_eq!(sender.send_batch(&[1, 2, 3, 4, 5]), Ok(4));
        assert_eq!(receiver.drain().count(), 4);
    }
}

#[test]
fn what_dead_senders_began_is_skipped_and_what_they_sent_is_not() {
    let (mut a, mut receiver) = channel::<u32>(8).expect("a power of two");
    let mut b = a.clone();
    assert_eq!(a.send(1), Ok(()));
    assert!(matches!(a.claim(2), Ok((1, 2))), "and dies");
    assert_eq!(b.send(2), Ok(()));
    assert!(matches!(b.claim(1), Ok((4, 1))), "and dies");
    // They say nothing any more.
    let dead = (a, b);
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(receiver.recv(), Err(RecvError::Empty), "it may still come");
    receiver.senders_died();
    assert_eq!(receiver.recv(), Ok(2));
    assert_eq!(receiver.recv(), Err(RecvError::Closed));
    assert_eq!(receiver.recv(), Err(RecvError::Closed));
    drop(dead);
}

#[test]
fn impossible_indices_are_errors() {
    let ring = HeapRing::<u64, Many>::new(4).expect("a power of two");
    let mut sender = ring.clone().sender().expect("valid");
    let mut receiver = ring.clone().receiver().expect("valid");
    assert_eq!(sender.send_batch(&[1, 2, 3, 4]), Ok(4));
    for bad in [5, u32::MAX - 1, 1 << 31] {
        ring.lines().head.0.store(bad, Ordering::Relaxed);
        assert_eq!(sender.send(9), Err(SendError::Corrupt(9)));
    }
    assert!(receiver.recv_batch(&mut [0; 4]).is_ok());
    ring.lines().fixed.flags.store(SENDER_GONE, Ordering::Relaxed);
    for bad in [9, u32::MAX, 1 << 31] {
        ring.lines().tail.index.store(bad, Ordering::Relaxed);
        assert_eq!(receiver.recv(), Err(RecvError::Corrupt));
    }
    ring.lines().tail.index.store(6, Ordering::Relaxed);
    assert_eq!(receiver.recv(), Err(RecvError::Corrupt), "claimed by nobody");
}

#[test]
fn a_ring_for_many_is_not_taken_for_one() {
    let ring = HeapRing::<u64, Many>::new(4).expect("a power of two");
    let refused = ring.lines().check::<u64, super::super::One>(4096);
    assert_eq!(refused.err(), Some(AttachError::Producers));
}

#[test]
fn threads_send_everything_once_and_each_in_its_order() {
    const N: u64 = 50_000;
    const SENDERS: u64 = 4;
    let (sender, mut receiver) = channel::<u64>(64).expect("a power of two");
    for id in 0..SENDERS {
        let mut sender = sender.clone();
        thread::spawn(move || {
            let mut next = 0;
            while next < N {
                let upto = (next + next % 5 + 1).min(N);
                let entries: Vec<_> = (next..upto).map(|n| id << 32 | n).collect();
                match sender.send_batch(&entries) {
                    Ok(sent) => next += sent as u64,
                    Err(_) => thread::yield_now(),
                }
            }
        });
    }
    drop(sender);
    let mut next = [0; SENDERS as usize];
    let mut out = [0; 17];
    loop {
        match receiver.recv_batch(&mut out) {
            Ok(count) => out[..count].iter().for_each(|&entry| {
                let of = &mut next[(entry >> 32) as usize];
                assert_eq!(entry & 0xffff_ffff, *of);
                *of += 1;
            }),
            Err(RecvError::Empty) => thread::yield_now(),
            Err(error) => {
                assert_eq!(error, RecvError::Closed);
                break;
            }
        }
    }
    assert_eq!(next, [N; SENDERS as usize]);
}

proptest! {
    #[test]
    fn it_is_a_queue(
        capacity in 0u32..5,
        ops in proptest::collection::vec((0usize..3, 0usize..9), 1..200),
    ) {
        let (mut a, mut receiver) = channel::<u32>(1 << capacity).expect("a power of two");
        let mut b = a.clone();
        let mut model = VecDeque::new();
        for (n, (op, count)) in (0u32..).zip(ops) {
            let entries: Vec<_> = (0..count as u32).map(|i| n << 8 | i).collect();
            match op {
                2 => {
                    let mut out = [0; 9];
                    let got = receiver.recv_batch(&mut out[..count]).unwrap_or(0);
                    let expected: Vec<_> = model.drain(..count.min(model.len())).collect();
                    prop_assert_eq!(&out[..got], &expected[..]);
                }
                op => {
                    let sender = if op == 0 { &mut a } else { &mut b };
                    let room = (1 << capacity) - model.len();
                    let sent = sender.send_batch(&entries).unwrap_or(0);
                    prop_assert_eq!(sent, room.min(count));
                    model.extend(&entries[..sent]);
                }
            }
        }
    }
}
