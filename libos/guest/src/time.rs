//! Sleeping, and time limits.

use std::{
    error::Error,
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use crate::{
    runtime::{self, Core},
    select::{Either, race},
};

/// Ready when `duration` has passed.
pub fn sleep(duration: Duration) -> Sleep {
    // What is too far away is as good as never.
    let far = Duration::from_secs(1 << 32);
    sleep_until(Instant::now() + duration.min(far))
}

/// Ready at `deadline`.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, number: None }
}

/// A future that is ready at a point in time, made by [`sleep`].
///
/// # Panics
///
/// When it is polled, if there is no runtime on this thread.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    deadline: Instant,
    /// Its timer's.
    number: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.deadline {
            return Poll::Ready(());
        }
        runtime::with(|core| {
            let Core { timers, .. } = &**core;
            match self.number {
                Some(number) => timers.update((self.deadline, number), context.waker()),
                None => {
                    let (_, number) = timers.insert(self.deadline, context.waker().clone());
                    self.number = Some(number);
                }
            }
        });
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            runtime::try_with(|core| core.timers.remove((self.deadline, number)));
        }
    }
}

/// The time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is up")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(error: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, error)
    }
}

/// The output of `future`, which is dropped if it takes longer than `duration`.
///
/// # Errors
///
/// [`Elapsed`].
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    match race(future, sleep(duration)).await {
        Either::Left(output) => Ok(output),
        Either::Right(()) => Err(Elapsed),
    }
}
