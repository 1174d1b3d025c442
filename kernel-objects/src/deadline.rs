//! Deadlines: points on the monotonic clock after which an operation gives up or a timer fires.
//!
//! A deadline may come with *slack*: how far it may be moved so that several things happen in one wake-up
//! of the machine. [`Due`] does that. It moves a deadline to one that another timer has already, if
//! there is one within the slack, and nowhere else: what is alone is on time.
//!
//! Waits are futures, so what else ends one is put beside it with `select!`. A token by which somebody cancels is an
//! [`Event`](crate::Event) that is waited for in the other branch:
//!
//! ```
//! use futures::{FutureExt, executor::block_on, select_biased};
//! use kernel_objects::{Error, Event, KernelObject, Signals, deadline::until_with_slack};
//! use kernel_objects::task::{SlackMode, TimerSlack};
//!
//! let (event, cancel) = (Event::create(), Event::create());
//! cancel.signal(Signals::empty(), Signals::SIGNALED).unwrap();
//! let deadline = hal::time::monotonic() + 1_000_000_000;
//! let slack = TimerSlack { amount: 500_000, mode: SlackMode::Late };
//! let ended = block_on(async {
//!     let wait = until_with_slack(deadline, slack, event.wait_one(Signals::SIGNALED)).fuse();
//!     let mut wait = std::pin::pin!(wait);
//!     select_biased! {
//!         result = wait => result,
//!         _ = cancel.wait_one(Signals::SIGNALED) => Err(Error::Canceled),
//!     }
//! });
//! assert_eq!(ended, Err(Error::Canceled));
//! ```

use std::{collections::BTreeMap, future::Future, ops::RangeInclusive, pin::pin};

use futures::poll;
use parking_lot::Mutex;

use crate::{
    error::{Error, Result},
    task::{SlackMode, TimerSlack},
};

/// A time of the monotonic clock in nanoseconds, as [`hal::time::monotonic`] tells it.
pub type Deadline = u64;

/// Never: `ZX_TIME_INFINITE`.
pub const INFINITE: Deadline = u64::MAX;

/// When something may happen that is asked for at `deadline` with that slack.
pub fn window(deadline: Deadline, slack: TimerSlack) -> RangeInclusive<Deadline> {
    let (early, late) = match slack.mode {
        SlackMode::Center => (slack.amount, slack.amount),
        SlackMode::Early => (slack.amount, 0),
        SlackMode::Late => (0, slack.amount),
    };
    deadline.saturating_sub(early)..=deadline.saturating_add(late)
}

/// The times at which something is due, each with how many things are.
static DUE: Mutex<BTreeMap<Deadline, usize>> = Mutex::new(BTreeMap::new());

/// A deadline that others with slack may move theirs to, until it is dropped.
#[derive(Debug)]
pub struct Due {
    at: Deadline,
}

impl Due {
    /// Notes a deadline, moved to the nearest other within its slack, if there is one.
    pub fn new(deadline: Deadline, slack: TimerSlack) -> Due {
        let mut due = DUE.lock();
        let at = if slack.amount == 0 { deadline } else { nearest(&due, deadline, slack) };
        *due.entry(at).or_insert(0) += 1;
        Due { at }
    }

    /// The deadline as it was moved.
    pub fn at(&self) -> Deadline {
        self.at
    }
}

fn nearest(due: &BTreeMap<Deadline, usize>, deadline: Deadline, slack: TimerSlack) -> Deadline {
    let window = window(deadline, slack);
    let before = due.range(*window.start()..=deadline).next_back().map(|(&at, _)| at);
    let after = due.range(deadline..=*window.end()).next().map(|(&at, _)| at);
    before.into_iter().chain(after).min_by_key(|at| at.abs_diff(deadline)).unwrap_or(deadline)
}

impl Drop for Due {
    fn drop(&mut self) {
        let mut due = DUE.lock();
        match due.get_mut(&self.at) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(due.remove(&self.at)),
        }
    }
}

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

/// As [`until`], with a deadline that may be moved by `slack`, which the job's policy gives
/// ([`JobPolicy::timer_slack`](crate::task::JobPolicy::timer_slack)).
///
/// # Errors
///
/// As [`until`].
pub async fn until_with_slack<T>(
    deadline: Deadline,
    slack: TimerSlack,
    operation: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut operation = pin!(operation);
    if slack.amount == 0 || deadline == INFINITE {
        return until(deadline, operation).await;
    }
    // What need not wait need not be moved either.
    if let std::task::Poll::Ready(result) = poll!(&mut operation) {
        return result;
    }
    let due = Due::new(deadline, slack);
    until(due.at(), operation).await
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, executor::block_on};

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
    /// Times that no other test comes near.
    fn far(n: u64) -> Deadline {
        const HOUR: u64 = 3_600_000_000_000;
        hal::time::monotonic() + (1000 + 10 * n) * HOUR
    }

    fn slack(amount: u64, mode: SlackMode) -> TimerSlack {
        TimerSlack { amount, mode }
    }

    #[test]
    fn slack_allows_what_its_mode_says() {
        assert_eq!(window(100, slack(30, SlackMode::Center)), 70..=130);
        assert_eq!(window(100, slack(30, SlackMode::Early)), 70..=100);
        assert_eq!(window(100, slack(30, SlackMode::Late)), 100..=130);
        assert_eq!(window(10, slack(30, SlackMode::Center)), 0..=40);
        assert_eq!(window(u64::MAX - 1, slack(30, SlackMode::Late)), u64::MAX - 1..=u64::MAX);
    }

    #[test]
    fn a_deadline_moves_to_another_within_its_slack_and_nowhere_else() {
        let base = far(0);
        let none = TimerSlack::default();
        let (_early, _late) = (Due::new(base - 100, none), Due::new(base + 50, none));
        for (amount, mode, expected) in [
            (100, SlackMode::Early, base - 100),
            (99, SlackMode::Early, base),
            (50, SlackMode::Late, base + 50),
            (49, SlackMode::Late, base),
            (100, SlackMode::Center, base + 50), // the nearer one
            (49, SlackMode::Center, base),
            (0, SlackMode::Center, base),
        ] {
            assert_eq!(Due::new(base, slack(amount, mode)).at(), expected, "{amount} {mode:?}");
        }
    }

    #[test]
    fn of_several_within_its_slack_a_deadline_moves_to_the_nearest() {
        let (base, none) = (far(5), TimerSlack::default());
        let _others = [base - 300, base - 200, base + 250, base + 350].map(|at| Due::new(at, none));
        for (mode, expected) in [
            (SlackMode::Early, base - 200),
            (SlackMode::Late, base + 250),
            (SlackMode::Center, base - 200),
        ] {
            assert_eq!(Due::new(base, slack(400, mode)).at(), expected, "{mode:?}");
        }
    }

    #[test]
    fn what_is_no_longer_due_attracts_nothing() {
        let base = far(1);
        let (a, b) = (Due::new(base, TimerSlack::default()), Due::new(base, TimerSlack::default()));
        let moved = || Due::new(base + 10, slack(10, SlackMode::Early)).at();
        drop(a);
        assert_eq!(moved(), base, "one is left");
        drop(b);
        assert_eq!(moved(), base + 10);
        assert!(DUE.lock().range(base..=base + 10).next().is_none());
    }

    #[test]
    fn a_wait_with_slack_ends_with_a_timer_nearby() {
        let start = hal::time::monotonic();
        let _timer = Due::new(start + 5_000_000, TimerSlack::default());
        let wait = |deadline| {
            let event = Event::create();
            let wait = event.wait_one(Signals::SIGNALED);
            block_on(until_with_slack(deadline, slack(60_000_000_000, SlackMode::Early), wait))
        };
        assert_eq!(wait(start + 60_000_000_000), Err(Error::TimedOut));
        let waited = hal::time::monotonic() - start;
        assert!((5_000_000..50_000_000_000).contains(&waited));
    }

    #[test]
    fn a_wait_with_slack_that_is_over_at_once_is_due_at_no_time() {
        let base = far(2);
        let ready = async { Ok(DUE.lock().contains_key(&base)) };
        assert_eq!(block_on(until_with_slack(base, slack(5, SlackMode::Late), ready)), Ok(false));
    }

    /// Whichever comes first ends the wait, and nothing of the others stays.
    #[test]
    fn a_wait_a_deadline_with_slack_and_a_cancel_token_compose() {
        const MS: u64 = 1_000_000;
        let (event, token) = (Event::create(), Event::create());
        let run = |deadline: Deadline, first: Option<&Event>| {
            let wait = event.wait_one(Signals::SIGNALED);
            let wait = until_with_slack(deadline, slack(MS, SlackMode::Late), wait).fuse();
            let ended = std::thread::scope(|scope| {
                let signal =
                    || first.map(|event| event.signal(Signals::empty(), Signals::SIGNALED));
                scope.spawn(move || {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    signal()
                });
                block_on(async {
                    let mut wait = pin!(wait);
                    futures::select_biased! {
                        result = wait => result,
                        _ = token.wait_one(Signals::SIGNALED) => Err(Error::Canceled),
                    }
                })
            });
            for event in [&event, &token] {
                assert_eq!(event.base().signal_state().watchers(), 0);
                event.base().signal_state().clear(Signals::SIGNALED);
            }
            // Other tests' timers may be due then too: they end soon, what leaks stays.
            let end = hal::time::monotonic() + 10_000 * MS;
            while DUE.lock().range(deadline..=deadline + MS).next().is_some() {
                assert!(hal::time::monotonic() < end, "due for ever");
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            ended
        };
        assert_eq!(run(far(3), Some(&event)), Ok(Signals::SIGNALED));
        assert_eq!(run(far(4), Some(&token)), Err(Error::Canceled));
        let soon = hal::time::monotonic() + 5 * MS;
        assert_eq!(run(soon, None), Err(Error::TimedOut));
        assert!(hal::time::monotonic() >= soon);
    }
}
