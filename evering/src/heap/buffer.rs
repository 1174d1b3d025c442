//! Buffers: owned values, one of our own arena or one that the peer gave us; and loans, which are the peer's still.

use core::{fmt, mem::ManuallyDrop, ops::Deref, ptr};

use super::{Heap, Inner, Local, Sharing, bytes::SharedBytes, tickets::Block, token::Token};

/// A piece of shared memory that is ours until it is dropped or given away.
///
/// ```text
///                    alloc                         give                    (in an entry)
///      (owner's heap) ────► Buffer, owner's side ──────► Token ─────────────────────────┐
///          ▲  ▲  ▲             │         ▲  │ lend(&): Token                            │
///          │  │  │ drop        │         │  ▼                                           │ accept
///          │  │  └─────────────┘         │  (in an entry) ─ borrow ─► Loan, peer's side  │
///          │  │                          │ accept                                       ▼
///          │  │  token comes back, drop  └────────────── give ──────────── Buffer, peer's side
///          │  └────────────────────────────────────────────────────────────────┘
///          └── the connection ends: reclaim
/// ```
pub struct Buffer<S: Sharing = Local> {
    bytes: SharedBytes,
    /// From the peer's arena: what it wants back. From ours: the ticket is 0. (An enum of the two would be moved in pieces,
    /// and cost as much as the allocation.)
    token: Token,
    /// Of the block, if it is from our arena. (A whole word, like all parts: see [`AllocError`](super::AllocError).)
    class: u64,
    heap: S::Shared<Inner>,
}

impl<S: Sharing> Buffer<S> {
    #[inline]
    pub(super) fn own(
        bytes: SharedBytes,
        Block { granule, class }: Block,
        heap: S::Shared<Inner>,
    ) -> Self {
        let token = Token { granule, len: 0, ticket: 0, generation: 0 };
        Buffer { bytes, token, class: class.into(), heap }
    }

    pub(super) fn peers(bytes: SharedBytes, token: Token, heap: S::Shared<Inner>) -> Self {
        Buffer { bytes, token, class: 0, heap }
    }

    fn block(&self) -> Block {
        Block { granule: self.token.granule, class: self.class as u8 }
    }

    /// Whether it is from our own arena.
    #[inline]
    pub fn is_own(&self) -> bool {
        !self.token.is_given()
    }

    /// Makes it shorter, if it is longer than `len`. The memory stays its own.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// What the peer [borrows](Heap::borrow) it by. It must be told in another way when to be done with it: by the end
    /// of an operation, which has the buffer as long. `None` if it is the peer's own, or 4 GiB or longer.
    ///
    /// If the buffer is dropped before, the peer reads and writes what has become of the memory.
    pub fn lend(&self) -> Option<Token> {
        let len = u32::try_from(self.bytes.len()).ok()?;
        self.is_own().then_some(Token { len, ..self.token })
    }

    /// Gives it to the peer, which [accepts](Heap::accept) it by the token. If it was the peer's, it goes back.
    ///
    /// A token that is not sent in the end is a buffer that is away until the connection ends, or until it is
    /// [accepted](Heap::accept) on this side.
    ///
    /// # Errors
    ///
    /// The buffer, if as many are away as can be, or it is 4 GiB or longer.
    pub fn give(self) -> Result<Token, Self> {
        let len = self.bytes.len();
        let token = if self.is_own() {
            S::with(&self.heap, |inner| inner.arena.give(self.block(), len))
        } else {
            Some(Token { len: len as u32, ..self.token })
        };
        match token {
            Some(token) => {
                let mut this = ManuallyDrop::new(self);
                // SAFETY: it is not used again, and nothing else of the buffer needs to be dropped.
                unsafe { ptr::drop_in_place(&mut this.heap) };
                Ok(token)
            }
            None => Err(self),
        }
    }
}

impl<S: Sharing> Deref for Buffer<S> {
    type Target = SharedBytes;

    #[inline]
    fn deref(&self) -> &SharedBytes {
        &self.bytes
    }
}

impl<S: Sharing> Drop for Buffer<S> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the arena and the waiters are our own code, and the waker is called and dropped outside.
        let waker = unsafe {
            S::with_unchecked(&self.heap, |inner| {
                if self.is_own() {
                    inner.arena.free(self.block());
                    inner.waiters.next()
                } else {
                    inner.arena.give_back(self.token);
                    None
                }
            })
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<S: Sharing> fmt::Debug for Buffer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("len", &self.len())
            .field("own", &self.is_own())
            .finish_non_exhaustive()
    }
}

/// A buffer of the peer's, to read and to write until it wants it back, as the protocol has it. Dropped, it
/// tells nobody.
pub struct Loan<S: Sharing = Local> {
    bytes: SharedBytes,
    /// Keeps the memory.
    _heap: S::Shared<Inner>,
}

impl<S: Sharing> Loan<S> {
    pub(super) fn new(bytes: SharedBytes, heap: &Heap<S>) -> Self {
        Loan { bytes, _heap: heap.inner.clone() }
    }
}

impl<S: Sharing> Deref for Loan<S> {
    type Target = SharedBytes;

    #[inline]
    fn deref(&self) -> &SharedBytes {
        &self.bytes
    }
}

impl<S: Sharing> fmt::Debug for Loan<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan").field("len", &self.len()).finish_non_exhaustive()
    }
}
