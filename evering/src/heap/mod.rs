//! Buffers in shared memory: room for bodies that do not fit in an entry.
//!
//! The one idea: each side allocates in an arena of its own and keeps the books about it to itself. The region has the bytes of
//! the buffers and, for each side, a queue of [`Token`]s by which its buffers come back; no free list, no lock and no
//! count is in it. So to allocate and to free takes a few nanoseconds and no cache line of the other side's, there is
//! nothing that a peer could break, and nothing that it could leave locked when it dies.
//!
//! ```text
//!      private, first side          the region                    private, second side
//!      ┌────────────────┐   ┌───────────────────────────┐   ┌────────────────┐
//!      │ free blocks by │   │ first's arena             │   │                │
//!      │ class, runs,   │──►│ ┌────┬──────┬────┬───────┐│   │ Buffer (given) │
//!      │ tickets        │   │ │    │ lent │    │ given ││◄──│ Loan   (lent)  │
//!      │                │   │ └────┴──────┴────┴───────┘│   │                │
//!      │ collect      ◄─┼───┼── queue of returns ◄──────┼───┼─ drop          │
//!      └────────────────┘   │ … and the other way round │   └────────────────┘
//!                           └───────────────────────────┘
//! ```
//!
//! # Lent or given
//!
//! A [`Buffer`] is ours until it is dropped. It goes to the other side in one of two ways, as a [`Token`] in an entry:
//!
//! - **Lent** ([`Buffer::lend`], [`Heap::borrow`]): it stays ours, and goes along with an operation of the
//!   [driver](crate::driver) as what that lends. The peer reads and writes it, and is done with it when it answers. Nothing
//!   has to be sent back for it.
//! - **Given** ([`Buffer::give`], [`Heap::accept`]): it is the peer's. When the peer drops it its token comes back, under the
//!   ticket that we have written down, and [`collect`](Heap::collect) frees it; or the peer gives it back in an entry. When the
//!   connection ends [`reclaim`](Heap::reclaim) frees what is away.
//!
//! What a buffer goes through is [drawn](Buffer) at its type.
//!
//! # Where the body of an answer goes
//!
//! There are four usual ways, each with a weakness:
//!
//! | | weakness |
//! |---|---|
//! | the client allocates it beforehand and sends it along | it has to know how long the answer will be: too much is wasted, too little costs a second round |
//! | the server allocates in the client's heap | the heap's books are shared, so a server can break them, and a dead one leaves them locked; and it decides about the client's memory |
//! | both allocate in one shared heap | the same, both ways; and each allocation moves cache lines between the CPUs |
//! | the server has memory of its own, and the client copies the answer out | another copy of each body, and private memory to hold it |
//!
//! Here the server allocates in its own arena and gives the buffer away: it knows the length, the client copies nothing and
//! keeps the buffer as long as it likes, and nobody shares books. The price is a token of 16 bytes on the way back, which is
//! sent with no system call and read in batches; and that the memory is divided between the sides beforehand. A client that
//! does not give back uses up the server's arena for this connection, and nobody else's.
//!
//! Where the answer is no longer than the request's buffer, the first way has no weakness, and is the fastest: the server
//! answers in what it was lent, which is in its cache.
//!
//! # Sizes, and how large an arena should be
//!
//! Blocks have sizes in steps of a quarter of a power of two, from 64 bytes up to the whole arena. Of each size the block that
//! was freed last is used first: it is in the cache. What is not used grows together again when another size needs it.
//!
//! A full arena is [an error](AllocError::Full), or a [wait](Heap::allocate) in turn: back-pressure. It need not be avoided. An
//! arena that is smaller than the second-level cache keeps all bodies under way in it, and with two hundred requests of 1 MiB
//! that is faster than to have them all in memory at once.
//!
//! # Who may use it
//!
//! A heap is for one thread ([`Local`]), as tasks on one executor are, and then has no lock. With [`Threads`] any thread may
//! allocate, and drop what another one has allocated, under a lock: ten times as much, though little beside a body of some KiB.
//! A third way is a connection for each thread.
//!
//! # Reading what somebody else can write
//!
//! There is no `&[u8]` of a buffer, since the peer can write it meanwhile. [`SharedBytes`] are copied in and out at the speed of
//! `memcpy`, or [scanned](SharedBytes::scan) piece by piece; what was copied is what can be checked.

mod allocate;
mod arena;
mod buffer;
mod bytes;
mod class;
mod runs;
mod tickets;
mod token;

use core::{error::Error, fmt};

pub use self::{
    allocate::Allocate,
    arena::Arena,
    buffer::{Buffer, Loan},
    bytes::{OutOfRange, SharedBytes},
    token::{Token, TokenError},
};
pub(crate) use self::{arena::Place, class::GRANULE};
#[cfg(feature = "std")]
pub use crate::sharing::Threads;
pub use crate::sharing::{Local, Sharing};

use self::tickets::Block;
use crate::waiters::Waiters;

/// One side's heap: allocates in its own arena, and takes what the peer lends and gives.
///
/// Clones are the same heap. The last of them and of its buffers to go lets go of the memory.
pub struct Heap<S: Sharing = Local> {
    inner: S::Shared<Inner>,
}

/// What the handles share.
#[doc(hidden)]
#[derive(Debug)]
pub struct Inner {
    arena: Arena,
    waiters: Waiters,
}

impl Inner {
    #[inline]
    fn alloc(&mut self, len: usize) -> Result<Block, AllocError> {
        let class = self.arena.class(len).ok_or(AllocError::TooLarge)?;
        self.arena.alloc(class).ok_or(AllocError::Full)
    }
}

/// Why there is no buffer.
///
/// (Which of them is a whole word: what is written in pieces and moved as a whole, as the buffer beside it in a `Result` would be,
/// the processor waits for.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum AllocError {
    /// There is no room now; there is when buffers are dropped and come back.
    Full,
    /// It is longer than the arena.
    TooLarge,
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AllocError::Full => "the arena is full",
            AllocError::TooLarge => "the buffer is longer than the arena",
        })
    }
}

impl Error for AllocError {}

/// What a heap's arena is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// How large it is, in bytes.
    pub size: usize,
    /// How many bytes are free, though perhaps not side by side.
    pub free: usize,
    /// How many buffers the peer has.
    pub away: usize,
    /// How often the peer gave back what it did not have.
    pub strays: u64,
}

impl<S: Sharing> Heap<S> {
    /// The heap of a connection's end. `S` says who may use it.
    pub fn new(arena: Arena) -> Self {
        Heap { inner: S::share(Inner { arena, waiters: Waiters::default() }) }
    }

    /// A buffer of `len` bytes, with whatever bytes were there before: the block that was freed last of those that
    /// are as large.
    ///
    /// # Errors
    ///
    /// [`AllocError`].
    #[inline]
    pub fn alloc(&self, len: usize) -> Result<Buffer<S>, AllocError> {
        let mut waited = false;
        // SAFETY: the arena is our own code.
        let found = unsafe {
            S::with_unchecked(&self.inner, |inner| {
                waited = !inner.waiters.is_empty();
                let block = inner.alloc(len)?;
                Ok((block, inner.arena.bytes(block, len)))
            })
        };
        if waited {
            // More may have come back than was needed.
            self.wake_next();
        }
        let (block, bytes) = found?;
        Ok(Buffer::own(bytes, block, self.inner.clone()))
    }

    /// [`alloc`](Self::alloc), which finds nothing if somebody waits.
    #[inline]
    fn alloc_unless_awaited(&self, len: usize) -> Result<Buffer<S>, AllocError> {
        // SAFETY: the arena and the waiters are our own code.
        let (block, bytes) = unsafe {
            S::with_unchecked(&self.inner, |inner| {
                if !inner.waiters.is_empty() {
                    return Err(AllocError::Full);
                }
                let block = inner.alloc(len)?;
                Ok((block, inner.arena.bytes(block, len)))
            })
        }?;
        Ok(Buffer::own(bytes, block, self.inner.clone()))
    }

    /// A buffer of `len` bytes as soon as there is room for it: back-pressure. Those who wait are served in turn.
    ///
    /// Buffers that are dropped on this side wake it. For those that the peer drops someone has to
    /// [look](Self::collect) when the peer rings.
    pub fn allocate(&self, len: usize) -> Allocate<'_, S> {
        Allocate::new(self, len)
    }

    /// The buffer that the peer has lent.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub fn borrow(&self, token: Token) -> Result<Loan<S>, TokenError> {
        if token.is_given() {
            return Err(TokenError::Kind);
        }
        let bytes = S::with(&self.inner, |inner| inner.arena.peers_bytes(token))?;
        Ok(Loan::new(bytes, self))
    }

    /// The buffer that the peer has given: one of its own, which goes back when it is dropped, or one of ours that comes
    /// back.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub fn accept(&self, token: Token) -> Result<Buffer<S>, TokenError> {
        if !token.is_given() {
            return Err(TokenError::Kind);
        }
        S::with(&self.inner, |inner| {
            if inner.arena.is_own(token) {
                let block = inner.arena.take_back(token)?;
                let bytes = inner.arena.bytes(block, inner.arena.clip(block, token.len()));
                Ok(Buffer::own(bytes, block, self.inner.clone()))
            } else {
                let bytes = inner.arena.peers_bytes(token)?;
                Ok(Buffer::peers(bytes, token, self.inner.clone()))
            }
        })
    }

    /// Takes back the buffers that the peer is done with, and wakes who waits for room. Returns how many.
    ///
    /// To allocate does it too, when it finds nothing in its class.
    pub fn collect(&self) -> usize {
        let count = S::with(&self.inner, |inner| inner.arena.collect());
        if count > 0 {
            self.wake_next();
        }
        count
    }

    /// Takes back all buffers that the peer has, and wakes who waits for room. Returns how many.
    ///
    /// To be called when the peer is dead or gone. A peer that is there after all reads and writes what has become of
    /// the memory.
    pub fn reclaim(&self) -> usize {
        let count = S::with(&self.inner, |inner| inner.arena.reclaim());
        self.wake_next();
        count
    }

    /// What the arena is used for.
    pub fn usage(&self) -> Usage {
        S::with(&self.inner, |Inner { arena, .. }| Usage {
            size: arena.size(),
            free: arena.free_bytes(),
            away: arena.away(),
            strays: arena.strays(),
        })
    }

    #[cold]
    fn wake_next(&self) {
        let waker = S::with(&self.inner, |inner| inner.waiters.next());
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<S: Sharing> Clone for Heap<S> {
    fn clone(&self) -> Self {
        Heap { inner: self.inner.clone() }
    }
}

impl<S: Sharing> fmt::Debug for Heap<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
