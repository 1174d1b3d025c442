//! What travels in an entry in place of a buffer.

use core::{error::Error, fmt};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::class::GRANULE;

/// A buffer as plain data: where it is in the region, how long, and whether it has been given away.
///
/// It is an allegation. Who receives one makes a buffer of it with [`Heap::borrow`](super::Heap::borrow) or
/// [`Heap::accept`](super::Heap::accept), which check it. Zeroed, it leads nowhere and is
/// refused: what stands where there is no buffer.
///
/// ```text
///      0         4         8        12        16
///      ├─────────┼─────────┼─────────┼─────────┤
///      │ granule │ length  │ ticket  │ genera- │     ticket 0: lent
///      │ of 64 B │ bytes   │         │ tion    │     else: given, and comes back under that number
///      └─────────┴─────────┴─────────┴─────────┘
/// ```
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Token {
    pub(crate) granule: u32,
    pub(crate) len: u32,
    pub(crate) ticket: u32,
    pub(crate) generation: u32,
}

impl Token {
    /// How many bytes it says there are.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it says that there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it says that the buffer was given and not lent.
    pub fn is_given(&self) -> bool {
        self.ticket != 0
    }

    /// The bytes from the region's beginning at which it begins and ends.
    pub(crate) fn range(&self) -> (u64, u64) {
        let start = u64::from(self.granule) * GRANULE as u64;
        (start, start + u64::from(self.len))
    }
}

/// A token that means nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// It leads out of the arenas.
    Range,
    /// It is of the other kind: lent where a given one was expected, or the other way round.
    Kind,
    /// It says that one of our own buffers comes back which is not away.
    Stray,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenError::Range => "the buffer is not in the peer's arena",
            TokenError::Kind => "the buffer was lent instead of given, or given instead of lent",
            TokenError::Stray => "the buffer that comes back is not away",
        })
    }
}

impl Error for TokenError {}
