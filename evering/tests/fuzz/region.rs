//! A region in which anything is written, before it is attached to and between any two steps of its users.

use std::{
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use arbitrary::{Arbitrary, Result, Unstructured};
use evering::{
    Many, One,
    heap::{Heap, Local, Token},
    peer::Peer,
    region::{Keeper, Options, Region},
};
use zerocopy::{FromBytes, IntoBytes};

use super::fuzz;

/// Two senders on one side, one on the other; an entry is a token.
type Shared = Region<Token, Token, Many, One>;

const ARENA: u64 = 8 << 10;

/// What header and queues take, in words: most of what decides anything is there.
const FRONT: u32 = 1000;

#[repr(C, align(4096))]
struct Page([AtomicU32; 1024]);

/// The region's memory, mapped by the attacker too, so to speak.
struct Memory(Arc<[Page]>);

impl Memory {
    fn new() -> Self {
        let options = options();
        let size = Shared::size(&options).expect("it is possible");
        let page = || Page([const { AtomicU32::new(0) }; 1024]);
        let memory = Memory((0..size / 4096).map(|_| page()).collect());
        let (at, len, keeper) = memory.parts();
        // SAFETY: the memory is zeroed, aligned, and kept by the keeper; it is used by regions and by atomic operations.
        unsafe { Shared::create_at(at, len, &options, keeper) }.expect("it is possible");
        memory
    }

    fn parts(&self) -> (NonNull<u8>, usize, Keeper) {
        let at = NonNull::from(&self.0[..]).cast();
        (at, size_of_val(&self.0[..]), Keeper::new(self.0.clone()))
    }

    fn attach(&self) -> Option<Shared> {
        let (at, len, keeper) = self.parts();
        // SAFETY: as in `new`, which has returned.
        unsafe { Shared::attach_at(at, len, keeper) }.ok()
    }
}

fn options() -> Options {
    Options::new().capacity(8).arena(ARENA).away(4)
}

/// One word that an attacker writes.
#[derive(Arbitrary, Debug)]
struct Damage {
    front: bool,
    at: u32,
    value: Value,
}

#[derive(Arbitrary, Debug)]
enum Value {
    Any(u32),
    Small(u8),
    Bit(u8),
    Add(i8),
}

impl Damage {
    fn apply(&self, memory: &Memory) {
        let words = memory.0.len() as u32 * 1024;
        let at = (self.at % if self.front { FRONT } else { words }) as usize;
        let word = &memory.0[at / 1024].0[at % 1024];
        let before = word.load(Ordering::Relaxed);
        let after = match self.value {
            Value::Any(value) => value,
            Value::Small(value) => value.into(),
            Value::Bit(bit) => before ^ 1 << (bit % 32),
            Value::Add(count) => before.wrapping_add_signed(count.into()),
        };
        word.store(after, Ordering::Relaxed);
    }
}

#[derive(Arbitrary, Debug)]
enum Step {
    Damage(Damage),
    /// Allocates, writes, and lends or gives away, perhaps to a queue.
    Allocate {
        second: bool,
        len: u16,
        give: bool,
        send: bool,
    },
    /// Sends any token at all.
    Forge {
        second: bool,
        words: [u32; 4],
    },
    /// Sends several, from a clone perhaps.
    Batch {
        second: bool,
        count: u8,
    },
    /// Reserves slots and fills some.
    Reserve {
        count: u8,
        staged: u8,
        publish: bool,
    },
    Stage {
        publish: bool,
    },
    /// Receives, one or all, and does with the tokens what they say.
    Receive {
        second: bool,
        all: bool,
    },
    Forget,
    Collect {
        second: bool,
    },
    Reclaim {
        second: bool,
    },
    Look {
        second: bool,
    },
    Died,
}

#[test]
fn steps_in_a_region_that_anybody_writes_into_end_in_errors_only() {
    fuzz(|bytes| {
        let memory = Memory::new();
        let Some(region) = memory.attach() else { panic!("nothing is damaged yet") };
        use_it(&region, &memory, bytes)
    });
}

#[test]
fn a_damaged_region_is_refused_or_as_good_as_any() {
    fuzz(|bytes| {
        let memory = Memory::new();
        for _ in 0..bytes.int_in_range(1..=4)? {
            let damage =
                Damage { front: true, at: bytes.int_in_range(0..=300)?, value: bytes.arbitrary()? };
            damage.apply(&memory);
        }
        match memory.attach() {
            Some(region) => use_it(&region, &memory, bytes),
            None => Ok(()),
        }
    });
}

fn use_it(region: &Shared, memory: &Memory, bytes: &mut Unstructured<'_>) -> Result<()> {
    let (Ok(first), Ok(second)) = (region.first(), region.second()) else { return Ok(()) };
    let Peer { sender: mut out, receiver: mut back, arena, link: near } = first;
    let Peer { sender: mut answer, receiver: mut into, arena: other, link: far } = second;
    let heaps = [Heap::<Local>::new(arena), Heap::<Local>::new(other)];
    let mut clone = out.clone();
    let mut buffers = Vec::new();
    let mut room = [Token::default(); 5];
    // Whether the bytes run out or not, what is asserted at the end holds.
    let mut steps = || -> Result<()> {
        while !bytes.is_empty() {
            match bytes.arbitrary()? {
                Step::Damage(damage) => damage.apply(memory),
                Step::Allocate { second, len, give, send } => {
                    let Ok(buffer) = heaps[usize::from(second)].alloc(len.into()) else { continue };
                    let _ = buffer.fill(0, len.into(), 7);
                    let token = if give {
                        buffer.give().map_err(|buffer| buffers.push(buffer)).ok()
                    } else {
                        let token = buffer.lend();
                        buffers.push(buffer);
                        token
                    };
                    let Some(token) = token.filter(|_| send) else { continue };
                    let _ = if second { answer.send(token) } else { out.send(token) };
                }
                Step::Forge { second, words } => {
                    let token = Token::read_from_bytes(words.as_bytes()).expect("it is as long");
                    let _ = if second { answer.send(token) } else { clone.send(token) };
                }
                Step::Batch { second, count } => {
                    let tokens = &room[..usize::from(count % 6)];
                    let _ =
                        if second { answer.send_batch(tokens) } else { clone.send_batch(tokens) };
                }
                Step::Reserve { count, staged, publish } => {
                    let Ok(mut slots) = out.reserve(count.into()) else { continue };
                    for _ in 0..staged {
                        let _ = slots.stage(Token::default());
                    }
                    if publish {
                        slots.publish();
                    }
                }
                Step::Stage { publish } => {
                    let _ = answer.stage(Token::default());
                    if publish {
                        answer.publish();
                    } else {
                        answer.unstage();
                    }
                }
                Step::Receive { second, all } => {
                    let heap = &heaps[usize::from(second)];
                    let tokens: Vec<Token> = match (second, all) {
                        (true, true) => into.drain().collect(),
                        (true, false) => into.recv().into_iter().collect(),
                        (false, true) => {
                            let count = back.recv_batch(&mut room).unwrap_or(0);
                            room[..count].to_vec()
                        }
                        (false, false) => back.recv().into_iter().collect(),
                    };
                    for token in tokens {
                        if let Ok(buffer) = heap.accept(token) {
                            let _ = buffer.to_vec();
                            buffers.push(buffer);
                        } else if let Ok(loan) = heap.borrow(token) {
                            loan.scan(|piece| assert!(!piece.is_empty()));
                        }
                    }
                }
                Step::Forget => drop(buffers.pop()),
                Step::Collect { second } => drop(heaps[usize::from(second)].collect()),
                Step::Reclaim { second } => drop(heaps[usize::from(second)].reclaim()),
                Step::Look { second } => {
                    let _ = if second {
                        (far.peer(), far.peers_pid())
                    } else {
                        (near.peer(), near.peers_pid())
                    };
                    let _ = (into.is_ready(), into.is_closed(), out.is_closed(), back.pending());
                }
                Step::Died => {
                    into.senders_died();
                    near.peer_is_dead();
                }
            }
        }
        Ok(())
    };
    let end = steps();
    drop(buffers);
    for heap in &heaps {
        heap.reclaim();
        let usage = heap.usage();
        assert_eq!((usage.free, usage.away), (usage.size, 0), "all buffers are back");
    }
    end
}
