//! A thread that waits for its operations and for nothing else.

use alloc::sync::Arc;
use core::{
    future::Future,
    ops::Deref,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
};
use std::{task::Wake, time::Instant};

use super::{Driver, Tagged};
use crate::{
    RecvError,
    sharing::Sharing,
    wake::{Bell, Ringer, Waiter},
};

/// Wakes the thread that polls, wherever it is.
struct Signal<B: Deref<Target = Bell>> {
    woken: AtomicBool,
    /// Rings the bell on which the thread sleeps: our own.
    ringer: Ringer<B>,
}

impl<B: Deref<Target = Bell> + Send + Sync> Wake for Signal<B> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::Release) {
            self.ringer.ring();
        }
    }
}

impl<Q: Tagged, A: Tagged, L, S: Sharing, KQ, KA> Driver<Q, A, L, S, KQ, KA> {
    /// Polls `future` until it is ready, with turns in between; without anything to do the thread spins and sleeps as
    /// `waiter` says, whose bell the peer has to ring.
    ///
    /// A peer that goes away ends the operations, and so, presumably, the future. One that dies without a word does so too if its
    /// process is [watched](crate::peer::Link::set_watch), as that of a connection over a socket is; else somebody has to call
    /// [`lose`](Self::lose), and to ring the bell.
    pub fn block_on<F, B>(&self, waiter: &mut Waiter<B>, future: F) -> F::Output
    where
        F: Future,
        B: Deref<Target = Bell> + Clone + Send + Sync + 'static,
    {
        let ringer = Ringer::new(waiter.bell().clone());
        let signal = Arc::new(Signal { woken: AtomicBool::new(true), ringer });
        let waker = Waker::from(signal.clone());
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            if signal.woken.swap(false, Ordering::Acquire)
                && let Poll::Ready(output) = future.as_mut().poll(&mut context)
            {
                self.flush();
                return output;
            }
            let mut over = false;
            let woken = waiter.wait(self.next_deadline(), || {
                // A peer that is gone brings no more news, but wakers may.
                over = over || self.turn().is_err();
                signal.woken.load(Ordering::Relaxed).then_some(())
            });
            if woken.is_none() {
                self.expire(Instant::now());
            }
        }
    }

    /// Takes answers to their operations, and waits until there are some: spins and sleeps as `waiter` says, until
    /// `deadline` at most, and ends operations whose own deadline passes. Returns how many answers there were.
    ///
    /// # Errors
    ///
    /// As [`turn`](Self::turn).
    pub fn wait<B>(
        &self,
        waiter: &mut Waiter<B>,
        deadline: Option<Instant>,
    ) -> Result<usize, RecvError>
    where
        B: Deref<Target = Bell>,
    {
        let first = [deadline, self.next_deadline()].into_iter().flatten().min();
        let news = waiter.wait(first, || match self.turn() {
            Ok(0) => None,
            other => Some(other),
        });
        news.unwrap_or_else(|| {
            self.expire(Instant::now());
            Ok(0)
        })
    }
}
