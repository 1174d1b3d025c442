//! Two heaps against their model, and against tokens that were never given.

use std::{collections::VecDeque, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::{
    peer::{Ends, pair},
    region::Options,
};

const ARENA: usize = 32 << 10;
const AWAY: usize = 8;

fn heaps() -> [Heap; 2] {
    let options = Options::new().capacity(1).arena(ARENA as u64).away(AWAY as u32);
    let (first, second): Ends<u8, u8> = pair(&options).expect("it is possible");
    [Heap::new(first.arena), Heap::new(second.arena)]
}

#[derive(Debug, Clone)]
enum Op {
    Alloc(usize),
    Truncate(usize, usize),
    Drop(usize),
    /// To the peer, which accepts it sooner or later.
    Give(usize),
    Accept,
    /// What the peer has: drops it, or gives it back.
    PeerDrops(usize),
    PeerGives(usize),
    Collect,
}

fn op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![4 => 0usize..300, 3 => 0usize..5000, 1 => 0usize..=ARENA];
    prop_oneof![
        6 => len.prop_map(Op::Alloc),
        1 => (any::<usize>(), 0usize..5000).prop_map(|(i, len)| Op::Truncate(i, len)),
        3 => any::<usize>().prop_map(Op::Drop),
        3 => any::<usize>().prop_map(Op::Give),
        3 => Just(Op::Accept),
        2 => any::<usize>().prop_map(Op::PeerDrops),
        1 => any::<usize>().prop_map(Op::PeerGives),
        1 => Just(Op::Collect),
    ]
}

/// A buffer, and what is written in it.
struct Marked {
    buffer: Buffer,
    mark: u8,
}

impl Marked {
    fn new(buffer: Buffer, mark: u8) -> Self {
        buffer.fill(0, buffer.len(), mark).expect("it fits");
        Marked { buffer, mark }
    }

    /// Whether nobody else has written into it.
    fn is_whole(&self) -> bool {
        let mut whole = true;
        self.buffer.scan(|piece| whole &= piece.iter().all(|&byte| byte == self.mark));
        whole
    }
}

fn pick<T>(from: &mut Vec<T>, index: usize) -> Option<T> {
    if from.is_empty() { None } else { Some(from.swap_remove(index % from.len())) }
}

/// How many bytes the blocks of those buffers take, rounded as the classes are.
fn taken(len: usize) -> usize {
    let granules = class::granules(len).expect("it is short");
    (class::size(class::class(granules)) as usize * GRANULE).min(ARENA)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The model: buffers with a mark each, that nobody else's bytes appear in; and their sizes, which add up.
    #[test]
    fn buffers_are_apart_and_add_up(ops in proptest::collection::vec(op(), 1..300)) {
        let [ours, theirs] = heaps();
        // Ours; on their way to the peer; the peer's, with how long they were when they were allocated.
        let (mut here, mut there) = (Vec::<(Marked, usize)>::new(), Vec::<(Marked, usize)>::new());
        let mut underway = VecDeque::<(Token, u8, usize)>::new();
        // Dropped by the peer, and not collected for sure.
        let mut returning = 0;
        let mut mark = 0u8;
        for op in ops {
            match op {
                Op::Alloc(len) => {
                    let before = ours.usage();
                    match ours.alloc(len) {
                        Ok(buffer) => {
                            prop_assert_eq!((buffer.len(), buffer.is_own()), (len, true));
                            mark = mark.wrapping_add(1);
                            here.push((Marked::new(buffer, mark), len));
                        }
                        Err(error) => {
                            prop_assert_eq!(error, AllocError::Full);
                            prop_assert!(before.free < ARENA, "it would have fitted");
                        }
                    }
                }
                Op::Truncate(index, len) => {
                    if let Some((mut marked, size)) = pick(&mut here, index) {
                        let before = marked.buffer.len();
                        marked.buffer.truncate(len);
                        prop_assert_eq!(marked.buffer.len(), before.min(len));
                        here.push((marked, size));
                    }
                }
                Op::Drop(index) => {
                    if let Some((marked, _)) = pick(&mut here, index) {
                        prop_assert!(marked.is_whole());
                    }
                }
                Op::Give(index) => {
                    if let Some((Marked { buffer, mark }, size)) = pick(&mut here, index) {
                        match buffer.give() {
                            Ok(token) => underway.push_back((token, mark, size)),
                            Err(buffer) => {
                                prop_assert_eq!(ours.usage().away, AWAY);
                                here.push((Marked { buffer, mark }, size));
                            }
                        }
                    }
                }
                Op::Accept => {
                    if let Some((token, mark, size)) = underway.pop_front() {
                        let buffer = theirs.accept(token).expect("it is right");
                        let marked = Marked { buffer, mark };
                        prop_assert!(marked.is_whole() && !marked.buffer.is_own());
                        there.push((marked, size));
                    }
                }
                Op::PeerDrops(index) => {
                    if let Some((marked, size)) = pick(&mut there, index) {
                        prop_assert!(marked.is_whole());
                        returning += taken(size);
                    }
                }
                Op::PeerGives(index) => {
                    if let Some((Marked { buffer, mark }, size)) = pick(&mut there, index) {
                        let token = buffer.give().expect("that is always possible");
                        let buffer = ours.accept(token).expect("it is right");
                        prop_assert!(buffer.is_own());
                        here.push((Marked { buffer, mark }, size));
                    }
                }
                Op::Collect => {
                    ours.collect();
                    returning = 0;
                }
            }
            let sizes = here.iter().chain(&there).map(|(_, size)| *size);
            let live: usize = sizes.chain(underway.iter().map(|(.., size)| *size)).map(taken).sum();
            let usage = ours.usage();
            prop_assert!(usage.free + live <= ARENA && ARENA <= usage.free + live + returning);
            if usage.free + live == ARENA {
                returning = 0;
            }
        }
        prop_assert!(here.iter().chain(&there).all(|(marked, _)| marked.is_whole()));
        drop((here, there));
        // What is underway never arrives.
        ours.reclaim();
        let usage = ours.usage();
        prop_assert_eq!((usage.free, usage.away, usage.strays), (ARENA, 0, 0));
        prop_assert!(ours.alloc(ARENA).is_ok(), "it is in one piece again");
    }

    /// Whatever a token says, it leads into the arenas or to an error, and nothing is lost by it.
    #[test]
    fn any_token_is_a_buffer_or_an_error(
        token in (
            prop_oneof![any::<u32>(), 0u32..1500],
            prop_oneof![any::<u32>(), 0u32..40_000],
            prop_oneof![any::<u32>(), 0u32..4],
            prop_oneof![any::<u32>(), 0u32..3],
        ),
        write in any::<u8>(),
    ) {
        let (granule, len, ticket, generation) = token;
        let token = Token { granule, len, ticket, generation };
        let [ours, theirs] = heaps();
        let away = [100, 3000].map(|len| {
            ours.alloc(len).expect("there is room").give().expect("none is away")
        });
        for heap in [&ours, &theirs] {
            if let Ok(loan) = heap.borrow(token) {
                prop_assert_eq!((loan.len(), token.is_given()), (len as usize, false));
                loan.fill(0, loan.len(), write).expect("it fits");
            }
            if let Ok(buffer) = heap.accept(token) {
                prop_assert!(buffer.len() <= len as usize && token.is_given());
                buffer.fill(0, buffer.len(), write).expect("it fits");
            }
        }
        ours.collect();
        let back = away.into_iter().filter(|&token| ours.accept(token).is_ok()).count();
        prop_assert!(back >= 1, "one token is one buffer at most");
        ours.reclaim();
        theirs.reclaim();
        prop_assert_eq!((ours.usage().free, theirs.usage().free), (ARENA, ARENA));
    }
}

#[test]
fn what_was_freed_last_is_used_first() {
    let [heap, _] = heaps();
    let address = |buffer: &Buffer| buffer.lend().expect("it is ours").granule;
    let buffers: Vec<_> = (0..5).map(|_| heap.alloc(1000).expect("there is room")).collect();
    let addresses: Vec<_> = buffers.iter().map(address).collect();
    buffers.into_iter().for_each(drop);
    let again: Vec<_> = (0..5).map(|_| heap.alloc(1000).expect("there is room")).collect();
    assert!(again.iter().map(address).eq(addresses.into_iter().rev()));
}

#[test]
fn a_token_of_zeros_is_refused() {
    for heap in heaps() {
        assert_eq!(heap.borrow(Token::default()).err(), Some(TokenError::Range));
        assert_eq!(heap.accept(Token::default()).err(), Some(TokenError::Kind));
    }
}

#[test]
fn an_arena_of_nothing_has_no_buffers() {
    let options = Options::new().capacity(1).arenas(0, 4096).away(1);
    let (first, second): Ends<u8, u8> = pair(&options).expect("it is possible");
    let [ours, theirs] = [Heap::<Local>::new(first.arena), Heap::<Local>::new(second.arena)];
    assert_eq!(ours.alloc(0).err(), Some(AllocError::TooLarge));
    let token = theirs.alloc(4096).expect("all of it").give().expect("none is away");
    drop(ours.accept(token).expect("it is right"));
    assert_eq!(theirs.collect(), 1);
}

#[test]
fn ranges_that_are_not_in_the_buffer_are_errors() {
    let [heap, _] = heaps();
    let (a, b) = (heap.alloc(100).expect("there is room"), heap.alloc(50).expect("there is room"));
    assert_eq!(a.write(0, &[1; 100]), Ok(()));
    assert_eq!(a.write(1, &[2; 100]), Err(OutOfRange));
    assert_eq!((a.read(101, &mut []), a.read(100, &mut [])), (Err(OutOfRange), Ok(())));
    assert_eq!(a.read(usize::MAX, &mut [0]), Err(OutOfRange));
    assert_eq!((a.fill(90, 11, 0), a.fill(90, 10, 3)), (Err(OutOfRange), Ok(())));
    assert_eq!(
        (b.copy_from(10, &a, 60, 40), b.copy_from(11, &a, 60, 40)),
        (Ok(()), Err(OutOfRange))
    );
    assert_eq!(
        (b.copy_from(0, &a, 61, 40), a.copy_from(0, &a, 10, 20)),
        (Err(OutOfRange), Err(OutOfRange))
    );
    assert_eq!(a.copy_from(0, &a, 50, 50), Ok(()));
    assert_eq!(b.to_vec()[10..], a.to_vec()[10..50]);
    assert_eq!((a.write_value(92, &7u64), a.write_value(93, &7u64)), (Ok(()), Err(OutOfRange)));
    assert_eq!((a.read_value::<u64>(92), a.read_value::<u64>(93)), (Ok(7), Err(OutOfRange)));
}
