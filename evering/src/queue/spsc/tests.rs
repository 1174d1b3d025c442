//! A ring against its model, against threads and against a peer up to no good.

use core::{cell::UnsafeCell, ptr::NonNull};
use std::{boxed::Box, collections::VecDeque, sync::Mutex, thread, vec, vec::Vec};

use proptest::prelude::*;

use self::random::Random;
use super::*;

#[path = "../../../tests/common/random.rs"]
mod random;

#[test]
fn entries_come_in_order_across_many_turns_of_the_ring() {
    let (mut sender, mut receiver) = channel::<u64>(4).expect("a power of two");
    for i in 0..1_000 {
        assert_eq!(sender.send(i), Ok(()));
        assert_eq!(sender.send(!i), Ok(()));
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
        assert_eq!(receiver.recv(), Ok(0));
        assert_eq!(sender.send(99), Ok(()));
        assert_eq!(receiver.pending(), Ok(capacity));
    }
}

#[test]
fn a_gone_receiver_hands_the_entry_back() {
    let (mut sender, receiver) = channel(4).expect("a power of two");
    assert!(!sender.is_closed());
    drop(receiver);
    assert!(sender.is_closed());
    assert_eq!(sender.send(1), Err(SendError::Closed(1)));
    assert_eq!(sender.send_batch(&[1]), Err(SendError::Closed(())));
    assert_eq!(sender.stage(1), Err(SendError::Closed(1)));
}

#[test]
fn what_a_gone_sender_sent_is_still_received() {
    let (mut sender, mut receiver) = channel(4).expect("a power of two");
    assert_eq!(receiver.recv(), Err(RecvError::Empty));
    assert_eq!(sender.send_batch(&[1, 2]), Ok(2));
    drop(sender);
    assert!(receiver.is_closed());
    assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Ok(2)));
    assert_eq!(receiver.recv(), Err(RecvError::Closed));
    assert_eq!(receiver.recv_batch(&mut [0; 2]), Err(RecvError::Closed));
    assert_eq!(receiver.drain().map(|_| ()), Err(RecvError::Closed));
}

#[test]
fn batches_send_and_receive_what_fits() {
    let (mut sender, mut receiver) = channel(4).expect("a power of two");
    assert_eq!(sender.send_batch(&[]), Ok(0));
    assert_eq!(sender.send_batch(&[1, 2, 3, 4, 5, 6]), Ok(4));
    let mut out = [0; 3];
    assert_eq!(receiver.recv_batch(&mut []), Ok(0));
    assert_eq!((receiver.recv_batch(&mut out), out), (Ok(3), [1, 2, 3]));
    assert_eq!(sender.send_batch(&[5, 6]), Ok(2));
    assert_eq!((receiver.recv_batch(&mut out), out), (Ok(3), [4, 5, 6]));
}

#[test]
fn what_is_staged_is_seen_when_it_is_published_and_not_otherwise() {
    let (mut sender, mut receiver) = channel(2).expect("a power of two");
    assert_eq!((sender.staged(), sender.publish()), (0, 0));
    assert_eq!((sender.stage(1), sender.stage(2), sender.staged()), (Ok(()), Ok(()), 2));
    assert_eq!(sender.stage(3), Err(SendError::Full(3)));
    sender.unstage();
    assert_eq!((receiver.recv(), sender.staged()), (Err(RecvError::Empty), 0));
    assert_eq!(sender.stage(4), Ok(()));
    assert_eq!(receiver.recv(), Err(RecvError::Empty));
    assert_eq!(sender.send(5), Ok(()), "which publishes what came before it");
    assert_eq!((receiver.recv(), receiver.recv()), (Ok(4), Ok(5)));
    assert_eq!(receiver.recv(), Err(RecvError::Empty));
}

#[test]
fn a_drain_that_stops_half_way_leaves_the_rest() {
    let (mut sender, mut receiver) = channel(4).expect("a power of two");
    assert_eq!(sender.send_batch(&[1, 2, 3]), Ok(3));
    let mut drain = receiver.drain().expect("there are entries");
    assert_eq!((drain.len(), drain.next()), (3, Some(1)));
    drop(drain);
    assert_eq!(receiver.drain().expect("there are entries").collect::<Vec<_>>(), [2, 3]);
    assert_eq!(sender.send_batch(&[0; 5]), Ok(4), "all slots are free again");
}

#[test]
fn indices_wrap_around() {
    let ring = HeapRing::<u32>::new(4).expect("a power of two");
    let start = u32::MAX - 2;
    ring.lines().tail.index.store(start, Ordering::Relaxed);
    ring.lines().head.0.store(start, Ordering::Relaxed);
    let (sender, receiver) = (ring.clone().sender(), ring.receiver());
    let (mut sender, mut receiver) = (sender.expect("valid"), receiver.expect("valid"));
    for i in 0..10 {
        assert_eq!((sender.send(i), sender.send(i)), (Ok(()), Ok(())));
        assert_eq!(sender.len(), 2);
        assert_eq!((receiver.recv(), receiver.recv()), (Ok(i), Ok(i)));
        assert_eq!(sender.send_batch(&[1, 2, 3, 4, 5]), Ok(4));
        assert_eq!(receiver.drain().expect("there are entries").len(), 4);
        assert_eq!(receiver.recv_batch(&mut [0; 4]), Ok(4));
    }
}

/// Memory that both ends map, so to speak.
#[repr(align(128))]
struct Memory(UnsafeCell<[u8; 512]>);

// SAFETY: for the tests: it is used through rings.
unsafe impl Sync for Memory {}

fn memory() -> (&'static Memory, NonNull<u8>) {
    // So that who looks for leaks finds others.
    static KEPT: Mutex<Vec<&'static Memory>> = Mutex::new(Vec::new());
    let memory = Box::leak(Box::new(Memory(UnsafeCell::new([0; 512]))));
    KEPT.lock().expect("no panic").push(memory);
    let at = NonNull::new(memory.0.get().cast()).expect("not null");
    (memory, at)
}

fn attach<T: Entry>(at: NonNull<u8>, len: usize) -> Result<Ring<T, ()>, AttachError> {
    // SAFETY: the memory is leaked, and used through rings.
    unsafe { Ring::attach(at, len, ()) }
}

fn create<T: Entry>(at: NonNull<u8>, capacity: usize) -> Result<Ring<T, ()>, LayoutError> {
    // SAFETY: as in `attach`.
    unsafe { Ring::create(at, 512, capacity, ()) }
}

#[test]
fn a_ring_is_found_by_who_knows_what_it_is() {
    let (_, at) = memory();
    assert_eq!(attach::<u64>(at, 512).err(), Some(AttachError::Magic));
    assert_eq!(create::<u64>(at, 32).err(), Some(LayoutError::TooSmall));
    // SAFETY: there is a byte more.
    let odd = unsafe { at.add(1) };
    assert_eq!(create::<u64>(odd, 4).err(), Some(LayoutError::Unaligned));
    let ring = create::<u64>(at, 16).expect("there is room");
    assert_eq!(attach::<u64>(odd, 511).err(), Some(LayoutError::Unaligned.into()));
    assert_eq!(attach::<u64>(at, 100).err(), Some(LayoutError::TooSmall.into()));
    assert_eq!(attach::<u64>(at, 500).err(), Some(LayoutError::TooSmall.into()));
    assert_eq!(attach::<u32>(at, 512).err(), Some(AttachError::Entry));
    assert_eq!(attach::<[u32; 2]>(at, 512).err(), Some(AttachError::Entry), "another alignment");
    let mut sender = ring.sender().expect("valid");
    let mut receiver = attach::<u64>(at, 512).and_then(|ring| ring.receiver()).expect("valid");
    assert_eq!((sender.send(5), receiver.recv()), (Ok(()), Ok(5)));
}

#[test]
fn an_end_that_died_without_a_word_is_replaced_where_it_was() {
    let (_, at) = memory();
    let mut sender = create::<u64>(at, 4).expect("there is room").sender().expect("valid");
    assert_eq!(sender.send_batch(&[1, 2, 3]), Ok(3));
    core::mem::forget(sender);
    let ring = || attach::<u64>(at, 512);
    let mut sender = ring().and_then(|ring| ring.sender()).expect("valid");
    let mut receiver = ring().and_then(|ring| ring.receiver()).expect("valid");
    assert_eq!(sender.send_batch(&[4, 5]), Ok(1));
    assert_eq!(receiver.drain().expect("there are entries").collect::<Vec<_>>(), [1, 2, 3, 4]);
    drop(sender);
    assert_eq!(ring().and_then(|ring| ring.sender()).err(), Some(AttachError::Closed));
}

#[test]
fn impossible_indices_are_errors() {
    let (_, at) = memory();
    let ring = create::<u64>(at, 4).expect("there is room");
    let peer = attach::<u64>(at, 512).expect("there is one");
    let mut sender = ring.sender().expect("valid");
    let mut receiver = attach::<u64>(at, 512).and_then(|ring| ring.receiver()).expect("valid");
    assert_eq!(sender.send_batch(&[1, 2, 3, 4]), Ok(4));
    for bad in [5, u32::MAX - 1, 1 << 31] {
        peer.lines().head.0.store(bad, Ordering::Relaxed);
        assert_eq!(sender.send(9), Err(SendError::Corrupt(9)));
    }
    for bad in [5, u32::MAX, 1 << 31] {
        peer.lines().tail.index.store(bad, Ordering::Relaxed);
        assert_eq!(receiver.recv(), Err(RecvError::Corrupt));
        assert_eq!(receiver.pending(), Err(RecvError::Corrupt));
        assert_eq!(receiver.drain().map(|_| ()), Err(RecvError::Corrupt));
    }
    peer.lines().head.0.store(1, Ordering::Relaxed);
    assert_eq!(
        attach::<u64>(at, 512).and_then(|ring| ring.receiver()).err(),
        Some(AttachError::Corrupt)
    );
    assert_eq!(
        attach::<u64>(at, 512).and_then(|ring| ring.sender()).err(),
        Some(AttachError::Corrupt)
    );
}

/// A peer that writes random bytes over the whole ring while both ends are used.
#[test]
fn a_hostile_peer_causes_errors_only() {
    let (memory, at) = memory();
    let mut sender = create::<[u8; 5]>(at, 16).expect("there is room").sender().expect("valid");
    let mut receiver = attach::<[u8; 5]>(at, 512).and_then(|ring| ring.receiver()).expect("valid");
    let stop = core::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(0x9e37_79b9_7f4a_7c15);
            while !stop.load(core::sync::atomic::Ordering::Relaxed) {
                let word = random.below(64) as usize;
                let words = memory.0.get().cast::<core::sync::atomic::AtomicU64>();
                // SAFETY: there are 64 words, and rings are used by atomic operations.
                unsafe { &*words.add(word) }.store(random.next(), Ordering::Relaxed);
            }
        });
        let mut out = [[0; 5]; 40];
        for _ in 0..200_000 {
            let _ = sender.send([1; 5]);
            let _ = sender.send_batch(&[[2; 5]; 40]);
            let _ = receiver.recv();
            let _ = receiver.recv_batch(&mut out);
            let _ = receiver.drain().map(Iterator::count);
            let _ =
                attach::<[u8; 5]>(at, 512).and_then(|ring| ring.receiver()).map(core::mem::forget);
        }
        stop.store(true, core::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn threads_exchange_everything_in_order_however_it_is_sent() {
    const N: u64 = 200_000;
    let (mut sender, mut receiver) = channel::<u64>(64).expect("a power of two");
    let receive = thread::spawn(move || {
        let (mut next, mut turn) = (0, 0);
        let mut out = [0; 17];
        loop {
            turn += 1;
            let got = match turn % 3 {
                0 => receiver.recv().map(|entry| vec![entry]),
                1 => receiver.recv_batch(&mut out).map(|n| out[..n].to_vec()),
                _ => receiver.drain().map(Iterator::collect),
            };
            match got {
                Ok(entries) => entries.into_iter().for_each(|entry| {
                    assert_eq!(entry, next);
                    next += 1;
                }),
                Err(RecvError::Empty) => thread::yield_now(),
                Err(error) => {
                    assert_eq!(error, RecvError::Closed);
                    return next;
                }
            }
        }
    });
    let mut next = 0;
    while next < N {
        let upto = (next + next % 23 + 1).min(N);
        let entries: Vec<_> = (next..upto).collect();
        match sender.send_batch(&entries) {
            Ok(sent) => next += sent as u64,
            Err(_) => thread::yield_now(),
        }
    }
    drop(sender);
    assert_eq!(receive.join().ok(), Some(N));
}

#[derive(Debug, Clone)]
enum Op {
    Send(u16),
    SendBatch(Vec<u16>),
    Stage(Vec<u16>, bool),
    Recv,
    RecvBatch(usize),
    Drain(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let entries = || proptest::collection::vec(any::<u16>(), 0..12);
    prop_oneof![
        any::<u16>().prop_map(Op::Send),
        entries().prop_map(Op::SendBatch),
        (entries(), any::<bool>()).prop_map(|(entries, publish)| Op::Stage(entries, publish)),
        Just(Op::Recv),
        (0usize..12).prop_map(Op::RecvBatch),
        (0usize..12).prop_map(Op::Drain),
    ]
}

proptest! {
    /// The model: a `VecDeque` that is never longer than the capacity.
    #[test]
    fn behaves_as_a_bounded_deque(
        shift in 0u32..5,
        start in prop_oneof![Just(0u32), (u32::MAX - 40)..=u32::MAX],
        ops in proptest::collection::vec(op(), 1..200),
    ) {
        let capacity = 1usize << shift;
        let ring = HeapRing::<u16>::new(capacity).expect("a power of two");
        ring.lines().tail.index.store(start, Ordering::Relaxed);
        ring.lines().head.0.store(start, Ordering::Relaxed);
        let mut sender = ring.clone().sender().expect("valid");
        let mut receiver = ring.receiver().expect("valid");
        let mut model = VecDeque::new();
        for op in ops {
            let room = capacity - model.len();
            match op {
                Op::Send(entry) if room > 0 => {
                    prop_assert_eq!(sender.send(entry), Ok(()));
                    model.push_back(entry);
                }
                Op::Send(entry) => prop_assert_eq!(sender.send(entry), Err(SendError::Full(entry))),
                Op::SendBatch(entries) => {
                    let fit = entries.len().min(room);
                    let expected =
                        if fit == 0 && !entries.is_empty() { Err(SendError::Full(())) } else { Ok(fit) };
                    prop_assert_eq!(sender.send_batch(&entries), expected);
                    model.extend(&entries[..fit]);
                }
                Op::Stage(entries, publish) => {
                    let fit = entries.len().min(room);
                    for (i, &entry) in entries.iter().enumerate() {
                        prop_assert_eq!(sender.stage(entry).is_ok(), i < fit);
                    }
                    prop_assert_eq!(sender.staged(), fit);
                    if publish {
                        prop_assert_eq!(sender.publish(), fit);
                        model.extend(&entries[..fit]);
                    } else {
                        sender.unstage();
                    }
                }
                Op::Recv => prop_assert_eq!(receiver.recv().ok(), model.pop_front()),
                Op::RecvBatch(n) => {
                    let mut out = vec![0; n];
                    let got = receiver.recv_batch(&mut out).unwrap_or(0);
                    prop_assert_eq!(got, n.min(model.len()));
                    prop_assert!(out[..got].iter().copied().eq(model.drain(..got)));
                }
                Op::Drain(n) => {
                    let got: Vec<_> = receiver.drain().map(|d| d.take(n).collect()).unwrap_or_default();
                    prop_assert_eq!(got.len(), n.min(model.len()));
                    prop_assert!(got.iter().copied().eq(model.drain(..got.len())));
                }
            }
            prop_assert_eq!(receiver.pending(), Ok(model.len()));
        }
    }
}
