//! One side's end of a heap: the arena it allocates in, and what came from the other side's.
//!
//! The one idea: everything that decides is private. The region has the bytes of the buffers and two queues of tokens
//! that come back, and nothing in it is read to find out what is free.
//!
//! ```text
//!                    alloc: pop                        carve: best fit
//!      in use ◄───────────────── a class's stack ◄───────────────────── free runs
//!       │  ▲ │     drop: push    (used last, first)   run out: all stacks   ▲
//!       │  │ └──────────────────────────► │ └───────────────────────────────┘
//!  give │  │ accept                       │
//!       ▼  │                              │
//!      away, under a ticket ──────────────┘
//!             the peer's drop: its token comes back; or the connection ends
//! ```

use alloc::vec::Vec;
use core::{fmt, ops::Range, ptr::NonNull};

use super::{
    bytes::SharedBytes,
    class::{self, CLASSES, GRANULE},
    runs::Runs,
    tickets::{Block, Tickets},
    token::{Token, TokenError},
};
use crate::{Receiver, RecvError, Sender, region::Keeper};

/// Up to so many granules are carved at once, for a class whose blocks are smaller.
const CARVE: u32 = 64;

/// Where a side's part of a region is.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The region's beginning.
    pub(crate) base: NonNull<u8>,
    /// Our arena, in granules from there.
    pub(crate) own: Range<u32>,
    /// The peer's.
    pub(crate) peers: Range<u32>,
    /// How many buffers can be away.
    pub(crate) tickets: u32,
}

/// What [`Heap`](super::Heap) is made of: a side's arena, and its ends of the queues of tokens that come back.
pub struct Arena {
    place: Place,
    /// How many granules the blocks of each class have here: the last class that fits has what is there.
    sizes: [u32; CLASSES],
    /// Blocks that are free, by class; the last was used last.
    stacks: [Vec<u32>; CLASSES],
    runs: Runs,
    /// How many granules are in the stacks and the runs.
    free: u32,
    tickets: Tickets,
    /// Our buffers that the peer is done with.
    returns: Receiver<Token, Keeper>,
    /// The peer's buffers that we are done with.
    give_back: Sender<Token, Keeper>,
    strays: u64,
    /// The queue of returns is of no use any more.
    corrupt: bool,
}

// SAFETY: the pointer leads to memory that is accessed as `SharedBytes` only, and which the queues' keepers keep.
unsafe impl Send for Arena {}

impl Arena {
    /// # Safety
    ///
    /// The place must be in memory that the queues' keeper keeps, valid for reads and writes, initialised and aligned to
    /// granules, and nothing in this process may access it but by such arenas' buffers.
    pub(crate) unsafe fn new(
        place: Place,
        returns: Receiver<Token, Keeper>,
        give_back: Sender<Token, Keeper>,
    ) -> Self {
        let length = place.own.end - place.own.start;
        let mut runs = Runs::default();
        if length > 0 {
            runs.free(place.own.start, length);
        }
        let tickets = Tickets::new(place.tickets);
        Arena {
            place,
            sizes: core::array::from_fn(|class| {
                class::size(class as u8).min(u64::from(length)) as u32
            }),
            stacks: [const { Vec::new() }; CLASSES],
            runs,
            free: length,
            tickets,
            returns,
            give_back,
            strays: 0,
            corrupt: false,
        }
    }

    /// How many bytes there are in all.
    pub fn size(&self) -> usize {
        (self.place.own.end - self.place.own.start) as usize * GRANULE
    }

    pub(super) fn free_bytes(&self) -> usize {
        self.free as usize * GRANULE
    }

    pub(super) fn away(&self) -> usize {
        self.tickets.len()
    }

    pub(super) fn strays(&self) -> u64 {
        self.strays
    }

    #[inline]
    fn granules(&self, class: u8) -> u32 {
        self.sizes[usize::from(class)]
    }

    /// The class for buffers of `len` bytes; `None` if there can be none.
    #[inline]
    pub(super) fn class(&self, len: usize) -> Option<u8> {
        let granules = class::granules(len)?;
        if granules > self.place.own.end - self.place.own.start {
            return None;
        }
        Some(class::class(granules))
    }

    #[inline]
    pub(super) fn alloc(&mut self, class: u8) -> Option<Block> {
        let granule = match self.stacks[usize::from(class)].pop() {
            Some(granule) => granule,
            None => self.refill(class)?,
        };
        self.free -= self.granules(class);
        Some(Block { granule, class })
    }

    #[cold]
    fn refill(&mut self, class: u8) -> Option<u32> {
        self.collect();
        let stack = usize::from(class);
        if let Some(granule) = self.stacks[stack].pop() {
            return Some(granule);
        }
        let size = self.granules(class);
        if self.free < size {
            return None;
        }
        if size < CARVE
            && let Some(start) = self.runs.take(CARVE / size * size)
        {
            // The first is on top, and returned.
            let blocks = (0..CARVE / size).map(|i| start + i * size);
            self.stacks[stack].extend(blocks.rev());
            return self.stacks[stack].pop();
        }
        self.runs.take(size).or_else(|| {
            self.unstack();
            self.runs.take(size)
        })
    }

    /// Makes runs of all that is in the stacks.
    fn unstack(&mut self) {
        for class in 0..CLASSES as u8 {
            let size = self.granules(class);
            for granule in self.stacks[usize::from(class)].drain(..) {
                self.runs.free(granule, size);
            }
        }
    }

    #[inline]
    pub(super) fn free(&mut self, block: Block) {
        self.free += self.granules(block.class);
        self.stacks[usize::from(block.class)].push(block.granule);
    }

    pub(super) fn give(&mut self, block: Block, len: usize) -> Option<Token> {
        let len = u32::try_from(len).ok()?;
        match self.tickets.give(block, len) {
            None => {
                self.collect();
                self.tickets.give(block, len)
            }
            given => given,
        }
    }

    /// Takes back what the peer is done with; returns how many buffers.
    pub(super) fn collect(&mut self) -> usize {
        let mut count = 0;
        // As many as fit in the queue at most, however fast the peer goes on.
        for _ in 0..self.returns.capacity() {
            match self.returns.recv() {
                Ok(token) => match self.tickets.take(token) {
                    Some(block) => {
                        self.free(block);
                        count += 1;
                    }
                    None => self.strays += 1,
                },
                Err(error) => {
                    self.corrupt |= error == RecvError::Corrupt;
                    break;
                }
            }
        }
        count
    }

    /// Takes back whatever the peer has; returns how many buffers.
    pub(super) fn reclaim(&mut self) -> usize {
        let mut count = self.collect();
        let away: Vec<_> = self.tickets.take_all().collect();
        for block in away {
            self.free(block);
            count += 1;
        }
        count
    }

    /// One of our own buffers that comes back in an entry.
    pub(super) fn take_back(&mut self, token: Token) -> Result<Block, TokenError> {
        self.tickets.take(token).ok_or_else(|| {
            self.strays += 1;
            TokenError::Stray
        })
    }

    /// Tells the peer that we are done with its buffer.
    pub(super) fn give_back(&mut self, token: Token) {
        // There is room for as many as an honest peer gives. Another one loses it.
        let _ = self.give_back.send(token);
    }

    pub(super) fn is_own(&self, token: Token) -> bool {
        self.place.own.contains(&token.granule)
    }

    /// The bytes of a block of ours.
    #[inline]
    pub(super) fn bytes(&self, block: Block, len: usize) -> SharedBytes {
        debug_assert!(len <= self.granules(block.class) as usize * GRANULE);
        // SAFETY: blocks lie within our arena and are as long as their class says, which was chosen for `len`.
        unsafe { self.at(block.granule, len) }
    }

    /// `len`, or as much of it as the block has.
    pub(super) fn clip(&self, block: Block, len: usize) -> usize {
        len.min(self.granules(block.class) as usize * GRANULE)
    }

    /// The bytes in the peer's arena that the token tells of.
    pub(super) fn peers_bytes(&self, token: Token) -> Result<SharedBytes, TokenError> {
        let (start, end) = token.range();
        let arena = &self.place.peers;
        let bytes = |granules: u32| u64::from(granules) * GRANULE as u64;
        if start < bytes(arena.start) || end > bytes(arena.end) {
            return Err(TokenError::Range);
        }
        // SAFETY: it was just checked that they lie within the peer's arena.
        Ok(unsafe { self.at(token.granule, token.len()) })
    }

    /// # Safety
    ///
    /// There must be `len` bytes in an arena from that granule on.
    #[inline]
    unsafe fn at(&self, granule: u32, len: usize) -> SharedBytes {
        // SAFETY: within the region, says the caller, and the arenas are as `new` was promised they are. Who gets the
        // bytes keeps this arena, and so the queues' keepers.
        unsafe { SharedBytes::new(self.place.base.add(granule as usize * GRANULE), len) }
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("size", &self.size())
            .field("free", &self.free_bytes())
            .field("away", &self.away())
            .finish_non_exhaustive()
    }
}
