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

/// A ring that has come so far.
fn channel_at(capacity: usize, index: u32) -> (Sender<u32>, Receiver<u32>) {
    let ring = HeapRing::<u32, Many>::new(capacity).expect("a power of two");
    ring.lines().tail.index.store(index, Ordering::Relaxed);
    ring.lines().head.0.store(index, Ordering::Relaxed);
    for before in (1..=capacity as u32).map(|n| index.wrapping_sub(n)) {
        ring.place(before).stamp.fill(before);
    }
    (ring.clone().sender().expect("valid"), ring.receiver().expect("valid"))
}

#[test]
fn indices_wrap_around() {
    let (mut sender, mut receiver) = channel_at(4, u32::MAX - 2);
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
fn a_reservation_holds_back_what_comes_behind_it() {
    let (mut a, mut receiver) = channel::<u32>(4).expect("a power of two");
    let mut b = a.clone();
    assert_eq!(a.reserve(0).map(|room| room.capacity()), Ok(0));
    let mut room = a.reserve(9).expect("there is room");
    assert_eq!((room.capacity(), b.send(9)), (4, Err(SendError::Full(9))));
    assert_eq!((room.stage(1), room.stage(2), room.staged()), (Ok(()), Ok(()), 2));
    assert_eq!((receiver.recv(), receiver.is_ready()), (Err(RecvError::Empty), false));
    assert_eq!((room.stage(3), room.stage(4)), (Ok(()), Ok(())));
    assert_eq!(room.stage(5), Err(SendError::Full(5)));
    assert_eq!(room.publish(), 4);
    assert_eq!(receiver.drain().collect::<Vec<_>>(), [1, 2, 3, 4]);
    drop(receiver);
    assert_eq!(a.reserve(1).map(drop), Err(SendError::Closed(())));
}

#[test]
fn what_is_given_up_is_passed_over_and_free_again() {
    let (mut sender, mut receiver) = channel::<u32>(4).expect("a power of two");
    for _ in 0..3 {
        drop(sender.reserve(4).expect("there is room"));
        assert!(sender.reserve(1).is_err(), "not before the receiver has passed over it");
        assert_eq!((receiver.is_ready(), receiver.recv()), (true, Err(RecvError::Empty)));
        assert!(!receiver.is_ready());
        drop(sender.reserve(2).expect("there is room"));
        assert_eq!(sender.send_batch(&[1, 2, 3]), Ok(2));
        assert!(receiver.is_ready());
        assert_eq!(receiver.drain().collect::<Vec<_>>(), [1, 2]);
    }
    let mut room = sender.reserve(3).expect("there is room");
    assert_eq!(room.stage(7), Ok(()));
    assert_eq!(room.publish(), 1);
    drop(sender);
    let mut out = [0; 4];
    assert_eq!((receiver.recv_batch(&mut out), out[0]), (Ok(1), 7));
    assert_eq!(receiver.recv_batch(&mut out), Err(RecvError::Closed));
}

#[test]
fn a_forgotten_reservation_ends_with_the_last_sender() {
    let (mut sender, mut receiver) = channel::<u32>(4).expect("a power of two");
    core::mem::forget(sender.reserve(1).expect("there is room"));
    assert_eq!((sender.send(1), receiver.recv()), (Ok(()), Err(RecvError::Empty)));
    drop(sender);
    assert_eq!(receiver.recv(), Err(RecvError::Corrupt));
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
    ring.close(SENDER_GONE);
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
    /// The model: entries, and `None` for a slot that was given up.
    #[test]
    fn it_is_a_queue(
        capacity in 0u32..5,
        start in prop_oneof![Just(0u32), (u32::MAX - 40)..=u32::MAX],
        ops in proptest::collection::vec((0usize..5, 0usize..9), 1..200),
    ) {
        let (mut a, mut receiver) = channel_at(1 << capacity, start);
        let mut b = a.clone();
        let mut model = VecDeque::new();
        for (n, (op, count)) in (0u32..).zip(ops) {
            let entries: Vec<_> = (0..count as u32).map(|i| n << 8 | i).collect();
            match op {
                2 => {
                    let mut out = [0; 9];
                    let got = receiver.recv_batch(&mut out[..count]).unwrap_or(0);
                    let wanted: usize = model.iter().flatten().count().min(count);
                    let mut expected = Vec::new();
                    while expected.len() < wanted || (got < count && !model.is_empty()) {
                        expected.extend(model.pop_front().expect("there are so many"));
                    }
                    prop_assert_eq!(&out[..got], &expected[..]);
                }
                // Half of what is reserved is published, the rest given up.
                3 | 4 => {
                    let sender = if op == 3 { &mut a } else { &mut b };
                    let room = (1 << capacity) - model.len();
                    match sender.reserve(count) {
                        Ok(mut reservation) => {
                            prop_assert_eq!(reservation.capacity(), room.min(count));
                            let staged = entries.iter().take(room.min(count) / 2);
                            for &entry in staged.clone() {
                                prop_assert_eq!(reservation.stage(entry), Ok(()));
                            }
                            model.extend(staged.map(|&entry| Some(entry)));
                            let given_up = room.min(count) - reservation.publish();
                            model.extend((0..given_up).map(|_| None));
                        }
                        Err(error) => {
                            prop_assert_eq!((error, room), (SendError::Full(()), 0));
                        }
                    }
                }
                op => {
                    let sender = if op == 0 { &mut a } else { &mut b };
                    let room = (1 << capacity) - model.len();
                    let sent = sender.send_batch(&entries).unwrap_or(0);
                    prop_assert_eq!(sent, room.min(count));
                    model.extend(entries[..sent].iter().map(|&entry| Some(entry)));
                }
            }
        }
    }
}
