//! Waiting for the first of many objects.
//!
//! One [`WaitMany`] registers one watcher on each object, all with the same small waker of its own,
//! behind which the task's waker can change: so a poll from a new task costs the same for two objects
//! as for ten thousand.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use futures::task::AtomicWaker;
use smallvec::SmallVec;

use crate::{
    error::Result,
    object::KernelObject,
    signals::{HandleId, SignalState, Signals, WatchKey},
};

/// The signals of each object of a wait, in the order in which the objects were given.
pub type Pending = SmallVec<[Signals; 8]>;

/// Wakes the task that polled the wait last.
#[derive(Default)]
struct Relay(AtomicWaker);

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake();
    }
}

struct Item<'a> {
    state: &'a SignalState,
    mask: Signals,
    handle: HandleId,
    watch: Option<WatchKey>,
    /// What it ended with, if it was this one.
    outcome: Option<Result<Signals>>,
}

/// A wait for the first of many objects, made by [`wait_many`].
///
/// Ready with every object's signals: for the one that ended the wait as they were then, for the
/// others as they are now. [`Error::Canceled`](crate::Error::Canceled) when a handle waited through was closed. After a
/// deadline, [`pending`](Self::pending) has the same. It deregisters when dropped.
#[must_use = "futures do nothing unless polled"]
pub struct WaitMany<'a> {
    items: Vec<Item<'a>>,
    relay: Option<Arc<Relay>>,
}

/// Waits until one of the objects has one of the signals given with it.
///
/// With no object at all it never ends: that is how Zircon sleeps.
///
/// ```
/// use futures::executor::block_on;
/// use kernel_objects::{Event, KernelObject, Signals, wait_many::wait_many};
///
/// let (a, b) = (Event::create(), Event::create());
/// b.signal(Signals::empty(), Signals::SIGNALED).unwrap();
/// let pending = block_on(wait_many([
///     (&*a as &dyn KernelObject, Signals::SIGNALED),
///     (&*b, Signals::SIGNALED),
/// ]));
/// assert_eq!(pending.unwrap()[..], [Signals::empty(), Signals::SIGNALED]);
/// ```
pub fn wait_many<'a>(
    items: impl IntoIterator<Item = (&'a dyn KernelObject, Signals)>,
) -> WaitMany<'a> {
    wait_many_through(items.into_iter().map(|(object, mask)| (object, mask, 0)))
}

/// As [`wait_many`], each object with the handle whose closing cancels the wait.
pub fn wait_many_through<'a>(
    items: impl IntoIterator<Item = (&'a dyn KernelObject, Signals, HandleId)>,
) -> WaitMany<'a> {
    let item = |(object, mask, handle): (&'a dyn KernelObject, _, _)| Item {
        state: object.base().signal_state(),
        mask,
        handle,
        watch: None,
        outcome: None,
    };
    WaitMany { items: items.into_iter().map(item).collect(), relay: None }
}

impl WaitMany<'_> {
    /// The signals of every object now; with [`Signals::HANDLE_CLOSED`] where the handle was closed.
    pub fn pending(&self) -> Pending {
        let pending = |item: &Item<'_>| match item.outcome {
            Some(Ok(observed)) => observed,
            Some(Err(_)) => item.state.get() | Signals::HANDLE_CLOSED,
            None => item.state.get(),
        };
        self.items.iter().map(pending).collect()
    }

    /// Takes every watcher back, keeping what those that had fired observed.
    fn stop(&mut self) -> Result<()> {
        let mut result = Ok(());
        for item in &mut self.items {
            if let Some(key) = item.watch.take() {
                item.outcome = item.state.unwatch_task(key);
            }
            if let Some(Err(error)) = item.outcome {
                result = Err(error);
            }
        }
        result
    }

    fn start(&mut self, waker: &Waker) -> bool {
        for item in &mut self.items {
            match item.state.watch_task(item.mask, item.handle, waker) {
                Ok(key) => item.watch = Some(key),
                Err(observed) => {
                    item.outcome = Some(Ok(observed));
                    return true;
                }
            }
        }
        false
    }
}

impl Future for WaitMany<'_> {
    type Output = Result<Pending>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Pending>> {
        let this = &mut *self;
        let ended = match &this.relay {
            Some(relay) => {
                relay.0.register(cx.waker());
                // `waker` matters only to a watcher whose outcome is still open: it is the same one.
                let waker = Waker::from(relay.clone());
                this.items.iter_mut().any(|item| {
                    if let (Some(key), None) = (item.watch, item.outcome) {
                        item.outcome = item.state.poll_task(key, &waker);
                        item.watch = item.watch.filter(|_| item.outcome.is_none());
                    }
                    item.outcome.is_some()
                })
            }
            None => {
                let relay = Arc::<Relay>::default();
                relay.0.register(cx.waker());
                let waker = Waker::from(relay.clone());
                this.relay = Some(relay);
                this.start(&waker)
            }
        };
        if !ended {
            return Poll::Pending;
        }
        Poll::Ready(this.stop().map(|()| this.pending()))
    }
}

impl Drop for WaitMany<'_> {
    fn drop(&mut self) {
        for item in &mut self.items {
            if let Some(key) = item.watch.take() {
                item.state.unwatch_task(key);
            }
        }
    }
}

impl fmt::Debug for WaitMany<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitMany").field("objects", &self.items.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, executor::block_on, task::noop_waker_ref};

    use super::*;
    use crate::{Error, event::Event};

    fn poll(wait: &mut WaitMany<'_>) -> Poll<Result<Pending>> {
        wait.poll_unpin(&mut Context::from_waker(noop_waker_ref()))
    }

    #[test]
    fn the_first_of_ten_thousand_ends_it_and_none_keeps_a_watcher() {
        let events: Vec<_> = (0..10_000).map(|_| Event::create()).collect();
        let mut wait =
            wait_many(events.iter().map(|e| (&**e as &dyn KernelObject, Signals::SIGNALED)));
        assert!(poll(&mut wait).is_pending());
        assert!(events.iter().all(|e| e.base().signal_state().watchers() == 1));
        let state = events[7_000].base().signal_state();
        state.set(Signals::SIGNALED);
        state.clear(Signals::SIGNALED);
        let Poll::Ready(Ok(pending)) = poll(&mut wait) else { panic!("should have ended") };
        let signaled: Vec<_> = (0..10_000).filter(|&i| !pending[i].is_empty()).collect();
        assert_eq!(signaled, [7_000], "as observed, though it is cleared again");
        assert!(events.iter().all(|e| e.base().signal_state().watchers() == 0));
    }

    #[test]
    fn what_is_set_already_ends_it_at_the_first_poll() {
        let (a, b) = (Event::create(), Event::create());
        b.base().signal_state().set(Signals::USER_1);
        let items = [(&*a as &dyn KernelObject, Signals::USER_0), (&*b, Signals::USER_1)];
        let pending = block_on(wait_many(items));
        assert_eq!(pending.as_deref(), Ok(&[Signals::empty(), Signals::USER_1][..]));
        assert_eq!(a.base().signal_state().watchers(), 0);
    }

    #[test]
    fn what_ends_it_at_once_shows_all_that_is_set() {
        let (a, b) = (Event::create(), Event::create());
        let all = Signals::USER_1 | Signals::USER_2;
        a.base().signal_state().set(Signals::USER_3);
        b.base().signal_state().set(all);
        let items = [(&*a as &dyn KernelObject, Signals::USER_0), (&*b, Signals::USER_1)];
        assert_eq!(block_on(wait_many(items)).as_deref(), Ok(&[Signals::USER_3, all][..]));
    }

    #[test]
    fn dropped_it_leaves_no_watcher() {
        let a = Event::create();
        let mut wait = wait_many([(&*a as &dyn KernelObject, Signals::USER_0); 3]);
        assert!(poll(&mut wait).is_pending());
        assert_eq!(a.base().signal_state().watchers(), 3);
        drop(wait);
        assert_eq!(a.base().signal_state().watchers(), 0);
    }

    #[test]
    fn a_closed_handle_cancels_it_and_shows_in_pending() {
        let (a, b) = (Event::create(), Event::create());
        b.base().signal_state().set(Signals::USER_5);
        let mut wait = wait_many_through([
            (&*a as &dyn KernelObject, Signals::USER_0, 11),
            (&*b, Signals::USER_0, 12),
        ]);
        assert!(poll(&mut wait).is_pending());
        b.base().signal_state().cancel_handle(12);
        assert_eq!(poll(&mut wait), Poll::Ready(Err(Error::Canceled)));
        assert_eq!(
            wait.pending()[..],
            [Signals::empty(), Signals::USER_5 | Signals::HANDLE_CLOSED]
        );
    }

    #[test]
    fn of_nothing_it_never_ends() {
        assert!(poll(&mut wait_many([])).is_pending());
    }

    #[test]
    fn wakes_the_task_that_polled_last() {
        use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, SeqCst);
            }
        }
        let counts = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
        let event = Event::create();
        let mut wait = wait_many([(&*event as &dyn KernelObject, Signals::USER_0)]);
        for count in &counts {
            let waker = Waker::from(count.clone());
            assert!(wait.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        }
        event.base().signal_state().set(Signals::USER_0);
        assert_eq!(counts.map(|c| c.0.load(SeqCst)), [0, 1]);
    }

    #[test]
    fn those_that_fired_show_what_they_saw_and_one_that_is_cancelled_prevails() {
        let events = [(); 3].map(|()| Event::create());
        let [a, b, c] = events.each_ref().map(|event| event.base().signal_state());
        let items = [11, 12, 13];
        let items = events
            .iter()
            .zip(items)
            .map(|(event, handle)| (&**event as &dyn KernelObject, Signals::USER_0, handle));
        let mut wait = wait_many_through(items.clone());
        assert!(poll(&mut wait).is_pending());
        for state in [b, c] {
            state.set(Signals::USER_0);
            state.clear(Signals::USER_0);
        }
        a.set(Signals::USER_1);
        let expected = [Signals::USER_1, Signals::USER_0, Signals::USER_0];
        let Poll::Ready(Ok(pending)) = poll(&mut wait) else { panic!("should have ended") };
        assert_eq!((&pending[..], &wait.pending()[..]), (&expected[..], &expected[..]));

        for (first, canceled) in [(b, 13), (b, 11), (a, 12)] {
            let mut wait = wait_many_through(items.clone());
            assert!(poll(&mut wait).is_pending());
            first.set(Signals::USER_0);
            [a, b, c].into_iter().for_each(|state| state.cancel_handle(canceled));
            assert_eq!(poll(&mut wait), Poll::Ready(Err(Error::Canceled)));
            let closed = wait
                .pending()
                .iter()
                .map(|s| s.contains(Signals::HANDLE_CLOSED))
                .collect::<Vec<_>>();
            assert_eq!(closed, [11, 12, 13].map(|handle| handle == canceled));
            first.clear(Signals::USER_0);
            assert!([a, b, c].iter().all(|state| state.watchers() == 0));
        }
    }
}
