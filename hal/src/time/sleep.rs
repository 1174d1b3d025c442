//! Sleeping and deadlines, as futures.
//!
//! A [`Sleep`] is in at most one timer queue, that of the CPU which polled it first, and takes itself out when dropped.

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{Either, select};

use super::{
    monotonic,
    queue::{Key, TimerQueue, fallback},
};

/// The deadline of a sleep that does not end: it is in no queue, and looks at no clock.
const NEVER: u64 = u64::MAX;

/// Waits until the monotonic clock shows `deadline` (ns); done at once when it has. Never early; late by the host's
/// timer precision and what else its CPU has to do.
pub fn sleep_until(deadline: u64) -> Sleep {
    Sleep { deadline, queued: None }
}

/// Waits for `duration` from now. A duration past the clock's range is for ever.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(after(duration))
}

fn after(duration: Duration) -> u64 {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    monotonic().saturating_add(nanos)
}

/// The future of [`sleep_until`]. Dropped, it leaves its queue in O(log n).
#[must_use = "sleeps only when awaited"]
pub struct Sleep {
    deadline: u64,
    queued: Option<(Arc<TimerQueue>, Key)>,
}

impl Sleep {
    /// When it ends, in ns of the monotonic clock.
    pub fn deadline(&self) -> u64 {
        self.deadline
    }

    /// Has it end at another time.
    pub fn reset(&mut self, deadline: u64) {
        self.leave();
        self.deadline = deadline;
    }

    fn leave(&mut self) {
        if let Some((queue, key)) = self.queued.take() {
            queue.remove(key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline == NEVER {
            return Poll::Pending;
        }
        if self.deadline <= monotonic() {
            self.leave();
            return Poll::Ready(());
        }
        if let Some((queue, key)) = &self.queued
            && queue.update(*key, cx.waker())
        {
            return Poll::Pending;
        }
        let deadline = self.deadline;
        let insert =
            |queue: Arc<TimerQueue>| queue.insert(deadline, cx.waker()).map(|key| (queue, key));
        // A CPU that is shutting down takes no timers; the fallback queue is never closed.
        self.queued = insert(TimerQueue::current()).or_else(|_| insert(fallback().clone())).ok();
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline)
            .field("queued", &self.queued.is_some())
            .finish()
    }
}

/// The deadline came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deadline has passed")]
pub struct Elapsed;

/// Polls `future` until it is done or the monotonic clock shows `deadline` (ns), whichever is first; the
/// future wins a draw. On [`Elapsed`] the future has been dropped.
pub async fn timeout_at<F: Future>(deadline: u64, future: F) -> Result<F::Output, Elapsed> {
    match select(pin!(future), sleep_until(deadline)).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(((), _)) => Err(Elapsed),
    }
}

/// [`timeout_at`], `duration` from now.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    timeout_at(after(duration), future).await
}

#[cfg(test)]
mod tests {
    use std::{future, task::Waker};

    use super::*;
    use crate::cpu::{Config, Cpus, block_on};

    const MS: u64 = 1_000_000;

    #[test]
    fn sleep_outside_of_a_cpu_ends_after_its_deadline() {
        let deadline = monotonic() + 10 * MS;
        block_on(sleep_until(deadline));
        let late = monotonic().checked_sub(deadline).expect("woke early");
        assert!(late < 1000 * MS);
    }

    #[test]
    fn sleeps_on_a_cpu_end_in_the_order_of_their_deadlines() {
        let cpus = Cpus::start(Config { cpus: 1, ..Config::default() }).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        // Late enough that all sleep before the first is due, on a busy machine too.
        let now = monotonic() + 300 * MS;
        let tasks = [30, 10, 20, 0].map(|ms| {
            let sender = sender.clone();
            cpus.spawn(async move {
                sleep_until(now + ms * MS).await;
                assert!(monotonic() >= now + ms * MS);
                sender.send(ms).unwrap();
            })
        });
        cpus.block_on(futures::future::join_all(tasks));
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [0, 10, 20, 30]);
    }

    #[test]
    fn dropped_sleeps_leave_nothing_behind() {
        let queue = fallback();
        let before = queue.len();
        let mut context = Context::from_waker(Waker::noop());
        let deadline = monotonic() + 3_600_000 * MS;
        for i in 0..1_000_000 {
            let mut sleep = sleep_until(deadline + i % 1000);
            assert!(Pin::new(&mut sleep).poll(&mut context).is_pending());
        }
        // Other tests sleep in the same queue, but not many.
        assert!(queue.len() <= before + 100);
    }

    #[test]
    fn timeout_drops_what_is_too_late_and_passes_on_what_is_not() {
        let late = block_on(timeout(Duration::from_millis(5), future::pending::<()>()));
        assert_eq!(late, Err(Elapsed));
        assert_eq!(block_on(timeout_at(0, async { 7 })), Ok(7));
    }

    #[test]
    fn a_sleep_survives_the_shutdown_of_the_cpu_that_it_was_queued_on() {
        let cpus = Cpus::start(Config { cpus: 1, ..Config::default() }).unwrap();
        let mut sleep = Box::pin(sleep_until(monotonic() + 50 * MS));
        let (sender, receiver) = std::sync::mpsc::channel();
        cpus.block_on(cpus.spawn(async move {
            let pending = sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(pending.is_pending());
            sender.send(sleep).unwrap();
        }));
        let sleep = receiver.recv().unwrap();
        cpus.shutdown();
        block_on(sleep);
    }

    #[test]
    fn reset_moves_the_deadline() {
        let mut sleep = sleep_until(u64::MAX);
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut sleep).poll(&mut context).is_pending());
        sleep.reset(0);
        assert!(Pin::new(&mut sleep).poll(&mut context).is_ready());
    }
}
