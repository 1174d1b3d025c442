//! Messages of every size, lent and given, between processes that have the region at different addresses.

use std::num::NonZero;

use evering::{
    RecvError,
    heap::{Buffer, Heap, Loan, SharedBytes, Token},
    peer::connect::{accept, offer},
    region::Options,
};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::Child;

const ARENA: usize = 4 << 20;

/// A buffer, and where its sender has it.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Message {
    token: Token,
    address: u64,
}

/// One from a size of every class, on each side of its borders.
fn sizes() -> impl Iterator<Item = usize> {
    let steps = (0..).flat_map(|power| [4, 5, 6, 7].map(|quarters| quarters << power));
    steps
        .take_while(|&size| size <= ARENA)
        .flat_map(|size| [size - 1, size, size + 1])
        .filter(|&size| (1..=ARENA).contains(&size))
}

fn pattern(seed: usize, at: usize) -> u8 {
    ((at * 31) ^ (at >> 8) ^ seed) as u8
}

fn fill(bytes: &SharedBytes, seed: usize) {
    let body: Vec<u8> = (0..bytes.len()).map(|at| pattern(seed, at)).collect();
    bytes.write(0, &body).expect("it fits");
}

fn check(bytes: &SharedBytes, seed: usize) {
    let mut at = 0;
    bytes.scan(|piece| {
        for &byte in piece {
            assert_eq!(byte, pattern(seed, at), "byte {at} of {}", bytes.len());
            at += 1;
        }
    });
    assert_eq!(at, bytes.len());
}

fn address(bytes: &SharedBytes) -> u64 {
    // SAFETY: nothing is read by way of it.
    unsafe { bytes.as_slice() }.as_ptr() as u64
}

/// What came of a token.
enum Received {
    Lent(Loan),
    Given(Buffer),
}

fn server(socket: std::os::unix::net::UnixStream) {
    // Takes the place where the region would have been otherwise.
    let length = NonZero::new(64 << 20).expect("it is not 0");
    // SAFETY: a new mapping that nobody uses.
    unsafe { mmap_anonymous(None, length, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) }
        .expect("there is room");
    let mut peer = accept::<Message, Message>(&socket, true).expect("it is offered");
    let (heap, mut waiter, ringer) =
        (Heap::new(peer.arena), peer.link.waiter(), peer.link.ringer());
    let mut seed = 0;
    let mut next = || {
        waiter.wait(None, || match peer.receiver.recv() {
            Err(RecvError::Empty) => None,
            other => Some(other),
        })
    };
    while let Some(Ok(Message { token, address: theirs })) = next() {
        let received = if token.is_given() {
            Received::Given(heap.accept(token).expect("it is right"))
        } else {
            Received::Lent(heap.borrow(token).expect("it is right"))
        };
        let bytes: &SharedBytes = match &received {
            Received::Lent(loan) => loan,
            Received::Given(buffer) => buffer,
        };
        assert_ne!(address(bytes), theirs);
        check(bytes, seed);
        // The answer: a buffer of our own, if a given one is away; what was lent, if not.
        let token = match received {
            Received::Given(buffer) => {
                let answer = heap.alloc(buffer.len()).expect("there is room");
                fill(&answer, seed + 1);
                answer.give().expect("one is away")
            }
            Received::Lent(loan) => {
                fill(&loan, seed + 1);
                token
            }
        };
        seed += 2;
        peer.sender.send(Message { token, address: 0 }).expect("there is room");
        ringer.ring();
    }
}

pub(super) fn round_trips() {
    let (child, socket) = Child::new(server);
    let options = Options::new().capacity(4).arena(ARENA as u64).away(4);
    let mut peer = offer::<Message, Message>(&socket, &options).expect("it is accepted");
    let (heap, mut waiter, ringer) =
        (Heap::<evering::heap::Local>::new(peer.arena), peer.link.waiter(), peer.link.ringer());
    let mut seed = 0;
    for size in sizes() {
        for give in [false, true] {
            let buffer = heap.alloc(size).expect("there is room");
            fill(&buffer, seed);
            let address = address(&buffer);
            let (token, kept) = if give {
                (buffer.give().expect("none is away"), None)
            } else {
                (buffer.lend().expect("it is ours"), Some(buffer))
            };
            peer.sender.send(Message { token, address }).expect("there is room");
            ringer.ring();
            let answer = waiter.wait(None, || match peer.receiver.recv() {
                Err(RecvError::Empty) => None,
                other => Some(other),
            });
            let Some(Ok(answer)) = answer else { panic!("the other one is gone: {answer:?}") };
            match kept {
                Some(buffer) => check(&buffer, seed + 1),
                None => check(&heap.accept(answer.token).expect("it is right"), seed + 1),
            }
            seed += 2;
        }
        heap.collect();
        assert_eq!((heap.usage().free, heap.usage().away), (ARENA, 0), "after {size} bytes");
    }
    drop((peer.sender, peer.receiver, peer.link));
    drop(ringer);
    assert!(child.wait(), "the other side has failed");
}
