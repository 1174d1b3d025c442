//! How operations fail to begin, and to end well.

use core::{error::Error, fmt};

/// A request that was not sent, what was to be lent with it, and why.
pub enum SubmitError<Q, L> {
    /// There are as many operations as there may be.
    Busy(Q, L),
    /// The peer is gone, or talks nonsense.
    Lost(Q, L),
}

// Both are left out, so that they need not be printable.
impl<Q, L> fmt::Debug for SubmitError<Q, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SubmitError::Busy(..) => "Busy(..)",
            SubmitError::Lost(..) => "Lost(..)",
        })
    }
}

impl<Q, L> fmt::Display for SubmitError<Q, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SubmitError::Busy(..) => "too many operations",
            SubmitError::Lost(..) => "the peer is gone",
        })
    }
}

impl<Q, L> Error for SubmitError<Q, L> {}

/// Why an operation ended without an answer.
///
/// (Which of them is a whole word, or the answer beside it in a `Result` would be written in pieces and moved as a whole, for which the
/// processor waits.)
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum OperationError<L> {
    /// The peer went away before it answered. What was lent to it comes back.
    Lost(L),
    /// The deadline came first. What was lent stays with the driver until the peer has answered, or is gone.
    TimedOut,
}

impl<L> fmt::Debug for OperationError<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OperationError::Lost(_) => "Lost(..)",
            OperationError::TimedOut => "TimedOut",
        })
    }
}

impl<L> fmt::Display for OperationError<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OperationError::Lost(_) => "the peer went away before it answered",
            OperationError::TimedOut => "the peer did not answer in time",
        })
    }
}

impl<L> Error for OperationError<L> {}

/// The peer is gone, or talks nonsense: there will be no more operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnected;

impl fmt::Display for Disconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer is gone")
    }
}

impl Error for Disconnected {}
