//! How sending, receiving, making and attaching to a ring can fail.

use core::{error::Error, fmt};

/// An entry that was not sent, and why.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendError<T> {
    /// The ring is full: the receiver has to take something first.
    Full(T),
    /// The receiver is gone.
    Closed(T),
    /// The receiver's index is impossible. The queue is of no use any more.
    Corrupt(T),
}

impl<T> SendError<T> {
    /// The entry.
    pub fn into_inner(self) -> T {
        match self {
            SendError::Full(entry) | SendError::Closed(entry) | SendError::Corrupt(entry) => entry,
        }
    }

    /// Whether sending again later may succeed.
    pub fn is_full(&self) -> bool {
        matches!(self, SendError::Full(_))
    }
}

// The entry is left out, so that it need not be printable.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full(_) => "Full(..)",
            SendError::Closed(_) => "Closed(..)",
            SendError::Corrupt(_) => "Corrupt(..)",
        })
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full(_) => "the ring is full",
            SendError::Closed(_) => "the receiver is gone",
            SendError::Corrupt(_) => "the receiver's index is impossible",
        })
    }
}

impl<T> Error for SendError<T> {}

/// Why nothing was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecvError {
    /// The ring is empty: the sender has to send something first.
    Empty,
    /// The ring is empty and the sender is gone.
    Closed,
    /// The sender's index is impossible. The queue is of no use any more.
    Corrupt,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecvError::Empty => "the ring is empty",
            RecvError::Closed => "the ring is empty and the sender is gone",
            RecvError::Corrupt => "the sender's index is impossible",
        })
    }
}

impl Error for RecvError {}

/// A ring that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutError {
    /// The capacity is not a power of two from 1 to [`MAX_CAPACITY`](crate::MAX_CAPACITY).
    Capacity,
    /// The entry is empty, or aligned to more than a cache line.
    Entry,
    /// The ring would be larger than memory can be.
    TooLarge,
    /// The memory given for it is too small.
    TooSmall,
    /// The memory given for it is not aligned to [`Layout::align`](crate::Layout::align).
    Unaligned,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LayoutError::Capacity => "the capacity is not a power of two up to 2^30",
            LayoutError::Entry => "the entry is empty or aligned to more than a cache line",
            LayoutError::TooLarge => "the ring would be too large",
            LayoutError::TooSmall => "the memory is too small for the ring",
            LayoutError::Unaligned => "the memory is not aligned",
        })
    }
}

impl Error for LayoutError {}

/// Memory in which there is no ring of the kind that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachError {
    /// The ring it describes cannot be, or not in this memory.
    Layout(LayoutError),
    /// It does not begin as a ring does.
    Magic,
    /// It was made by another version of this crate.
    Version(u32),
    /// Its entries have another size or alignment.
    Entry,
    /// It is for one sender where many were expected, or the other way round.
    Producers,
    /// Its indices are impossible.
    Corrupt,
    /// The end that was asked for was there, and has gone for good.
    Closed,
}

impl From<LayoutError> for AttachError {
    fn from(error: LayoutError) -> Self {
        AttachError::Layout(error)
    }
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttachError::Layout(error) => error.fmt(f),
            AttachError::Magic => f.write_str("there is no ring in this memory"),
            AttachError::Version(version) => write!(f, "the ring has version {version}"),
            AttachError::Entry => f.write_str("the ring's entries are of another type"),
            AttachError::Producers => f.write_str("the ring is for another number of senders"),
            AttachError::Corrupt => f.write_str("the ring's indices are impossible"),
            AttachError::Closed => f.write_str("that end of the ring has gone"),
        }
    }
}

impl Error for AttachError {}
