//! Deadlines: points on the monotonic clock after which an operation gives up.

use std::future::Future;

use crate::error::{Error, Result};

/// A time of the monotonic clock in nanoseconds, as [`hal::time::monotonic`] tells it.
pub type Deadline = u64;

/// Never: `ZX_TIME_INFINITE`.
pub const INFINITE: Deadline = u64::MAX;

/// Runs `operation` until it ends or the deadline passes. One that can end at once does, even if the
/// deadline has passed before: a wait with deadline 0 is a look.
///
/// # Errors
///
/// The operation's, or [`Error::TimedOut`]; the operation has been dropped then, unless it was lent.
pub async fn until<T>(deadline: Deadline, operation: impl Future<Output = Result<T>>) -> Result<T> {
    if deadline == INFINITE {
        return operation.await;
    }
    hal::time::timeout_at(deadline, operation).await.unwrap_or(Err(Error::TimedOut))
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::{Event, KernelObject, Signals};

    #[test]
    fn a_passed_deadline_still_lets_a_ready_operation_end() {
        let event = Event::create();
        let look = || block_on(until(0, event.wait_one(Signals::SIGNALED)));
        assert_eq!(look(), Err(Error::TimedOut));
        event.base().signal_state().set(Signals::SIGNALED);
        assert_eq!(look(), Ok(Signals::SIGNALED));
        assert_eq!(event.base().signal_state().watchers(), 0);
    }

    #[test]
    fn a_deadline_in_the_future_is_waited_for() {
        let start = hal::time::monotonic();
        let event = Event::create();
        let wait = until(start + 5_000_000, event.wait_one(Signals::SIGNALED));
        assert_eq!(block_on(wait), Err(Error::TimedOut));
        assert!(hal::time::monotonic() >= start + 5_000_000);
    }
}
