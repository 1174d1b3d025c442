//! An operation's future.

use alloc::sync::Arc;
use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use std::time::Instant;

use super::{
    Driver, OperationError, Tagged,
    table::{Dropped, Look, lay_to_rest},
};
use crate::{
    Allocation, MAX_CAPACITY,
    sharing::{Sharing, Threads},
};

/// A request that was sent: ready with its answer and what was lent, or with an [`OperationError`].
///
/// Wakes the task that polled it last. Dropped, it abandons the operation: what it has lent stays with the driver until
/// the peer is done with it.
#[must_use = "dropping it abandons the operation"]
pub struct Operation<
    Q: Tagged,
    A: Tagged,
    L = (),
    S: Sharing = Threads,
    KQ = Arc<Allocation<Q>>,
    KA = Arc<Allocation<A>>,
> {
    driver: Driver<Q, A, L, S, KQ, KA>,
    /// Its number, and whether it is over. (Two words are moved in two registers; with a third field a future that has just been made
    /// would be written in pieces and read back as a whole, for which the processor waits.)
    id: u64,
}

/// Beside the number: the end has been returned. No place is as high as this bit of its half, since rings are not as large.
const OVER: u64 = 1 << 31;
const _: () = assert!(MAX_CAPACITY < OVER as usize);

impl<Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> Operation<Q, A, L, S, KQ, KA> {
    pub(super) fn new(driver: Driver<Q, A, L, S, KQ, KA>, id: u64) -> Self {
        Operation { driver, id }
    }

    /// The number that its request has.
    #[inline]
    pub fn id(&self) -> u64 {
        self.id & !OVER
    }

    #[inline]
    fn is_over(&self) -> bool {
        self.id & OVER != 0
    }

    /// Ends it with [`OperationError::TimedOut`] when it is not answered by `deadline`, as
    /// [`Driver::expire`] finds. In place of the deadline that it had.
    pub fn with_deadline(self, deadline: Instant) -> Self {
        S::with(&self.driver.state, |state| state.table.set_deadline(self.id(), deadline));
        self
    }
}

// Nothing in it is pinned.
impl<Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> Unpin for Operation<Q, A, L, S, KQ, KA> {}

impl<Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> Future for Operation<Q, A, L, S, KQ, KA> {
    type Output = Result<(A, L), OperationError<L>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.is_over() {
            return Poll::Pending; // fused: there is nothing to come
        }
        let (id, state) = (self.id, &self.driver.state);
        loop {
            let (mut look, mut next, mut idle) = (Look::Wait, None, false);
            // The end of an operation is written where it is returned, and not moved about.
            let output = S::with(state, |state| {
                look = state.table.look(id, cx.waker());
                match look {
                    Look::Over => {
                        next = state.waiters.next();
                        idle = state.table.is_idle(1);
                        return state.table.take(id).map_or(Poll::Pending, Poll::Ready);
                    }
                    Look::TimedOut => state.cancel(id),
                    Look::Wait | Look::Register => {}
                }
                Poll::Pending
            });
            if let Some(next) = next {
                next.wake();
            }
            if idle {
                self.driver.rest();
            }
            match look {
                Look::Wait => return output,
                Look::Over => {
                    self.id |= OVER;
                    return output;
                }
                Look::TimedOut => {
                    self.id |= OVER;
                    return Poll::Ready(Err(OperationError::TimedOut));
                }
                Look::Register => {}
            }
            // Cloned and dropped here, since that is foreign code.
            let waker = cx.waker().clone();
            if let Ok(_before) = S::with(state, |state| state.table.register(id, waker)) {
                return Poll::Pending;
            }
        }
    }
}

impl<Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> Operation<Q, A, L, S, KQ, KA> {
    /// Lets it go on with nobody who waits for it: as dropping it, but the peer is not told to
    /// [cancel](Driver::with_cancel) it.
    pub fn detach(mut self) {
        self.abandon(false);
        self.id |= OVER;
    }

    fn abandon(&self, cancel: bool) {
        if self.is_over() {
            return;
        }
        let (mut idle, mut orphan) = (false, None);
        let (dropped, next) = S::with(&self.driver.state, |state| {
            let dropped = state.table.drop_future(self.id);
            let next = match dropped {
                Dropped::Abandoned(_) => {
                    if cancel {
                        state.cancel(self.id);
                    }
                    None
                }
                Dropped::Over(..) => state.waiters.next(),
                Dropped::Unknown => None,
            };
            idle = state.table.is_idle(0);
            orphan = state.orphan;
            (dropped, next)
        });
        // Foreign code, run when nothing is borrowed.
        match dropped {
            Dropped::Abandoned(waker) => drop(waker),
            Dropped::Over(answer, lent) => lay_to_rest(orphan, answer, lent),
            Dropped::Unknown => {}
        }
        if let Some(next) = next {
            next.wake();
        }
        if idle {
            self.driver.rest();
        }
    }
}

impl<Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> Drop for Operation<Q, A, L, S, KQ, KA> {
    fn drop(&mut self) {
        self.abandon(true);
    }
}

impl<Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> fmt::Debug for Operation<Q, A, L, S, KQ, KA> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("id", &self.id()).finish_non_exhaustive()
    }
}
