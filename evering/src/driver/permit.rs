//! Back-pressure: the right to begin an operation, to be waited for.

use alloc::sync::Arc;
use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::{Disconnected, Driver, Operation, SubmitError, Submitted, Tagged};
use crate::{
    Allocation,
    sharing::{Sharing, Threads},
};

/// A place for an operation, given out by [`Driver::permit`]. Dropped unused, it goes to whoever waits next.
pub struct Permit<
    Q: Tagged,
    A: Tagged,
    L = (),
    S: Sharing = Threads,
    KQ = Arc<Allocation<Q>>,
    KA = Arc<Allocation<A>>,
> {
    /// None when it was used.
    driver: Option<Driver<Q, A, L, S, KQ, KA>>,
}

impl<Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> Permit<Q, A, L, S, KQ, KA> {
    /// Sends a request and lends `lent` to the peer until it has answered.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Lost`].
    pub fn submit(mut self, request: Q, lent: L) -> Submitted<Q, A, L, S, KQ, KA> {
        let Some(driver) = self.driver.take() else { return Err(SubmitError::Lost(request, lent)) };
        let result = S::with(&driver.state, |state| {
            state.permits -= 1;
            state.submit(request, lent)
        });
        match result {
            Ok(id) => Ok(Operation::new(driver, id)),
            Err(error) => {
                driver.wake_next();
                Err(error)
            }
        }
    }
}

impl<Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> Drop for Permit<Q, A, L, S, KQ, KA> {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            S::with(&driver.state, |state| state.permits -= 1);
            driver.wake_next();
        }
    }
}

impl<Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> fmt::Debug for Permit<Q, A, L, S, KQ, KA> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// A [`Permit`] as soon as there is a place, made by [`Driver::permit`]. Dropped, it leaves the queue.
#[must_use = "futures do nothing unless polled"]
pub struct Acquire<'a, Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> {
    driver: &'a Driver<Q, A, L, S, KQ, KA>,
    /// Its number in the queue.
    number: Option<u64>,
}

impl<'a, Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> Acquire<'a, Q, A, L, S, KQ, KA> {
    pub(super) fn new(driver: &'a Driver<Q, A, L, S, KQ, KA>) -> Self {
        Acquire { driver, number: None }
    }
}

impl<Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> Future for Acquire<'_, Q, A, L, S, KQ, KA> {
    type Output = Result<Permit<Q, A, L, S, KQ, KA>, Disconnected>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let waker = cx.waker().clone();
        let (poll, unused) = S::with(&this.driver.state, |state| {
            let turn = match this.number {
                Some(number) => state.waiters.is_first(number),
                None => state.waiters.is_empty(),
            };
            if !(state.lost || turn && state.has_place()) {
                let before = match this.number {
                    Some(number) => state.waiters.stay(number, waker),
                    None => {
                        this.number = Some(state.waiters.join(waker));
                        None
                    }
                };
                return (Poll::Pending, [before, None]);
            }
            let left = this.number.take().and_then(|number| state.waiters.leave(number));
            if state.lost {
                return (Poll::Ready(Err(Disconnected)), [Some(waker), left]);
            }
            state.permits += 1;
            let permit = Permit { driver: Some(this.driver.clone()) };
            (Poll::Ready(Ok(permit)), [Some(waker), left])
        });
        // Foreign code, called when nothing is borrowed.
        drop(unused);
        if poll.is_ready() {
            this.driver.wake_next();
        }
        poll
    }
}

impl<Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> Drop for Acquire<'_, Q, A, L, S, KQ, KA> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let left = S::with(&self.driver.state, |state| state.waiters.leave(number));
            drop(left);
            self.driver.wake_next();
        }
    }
}

impl<Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> fmt::Debug for Acquire<'_, Q, A, L, S, KQ, KA> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("number", &self.number).finish_non_exhaustive()
    }
}
