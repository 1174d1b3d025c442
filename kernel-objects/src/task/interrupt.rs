//! What a thread has to look at before it goes to user mode, and waits that end for it.
//!
//! One word says it all: a body looks at [`Thread::work`] before it enters user mode, which is one load, and only if that is
//! not zero finds out what it is. Whoever sets a bit makes the thread look: a wait that is
//! [interruptible](Thread::interruptible) ends, a body in user mode is brought back by the thread's [`Kick`]. (Zircon calls the
//! bits thread signals and the end of a wait `ZX_ERR_INTERNAL_INTR_*`.)

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::{Poll, Waker},
};

use super::thread::{BlockedReason, Thread};

/// The bits of [`Thread::work`].
pub mod work {
    /// The thread is to end. Set by anybody, never cleared.
    pub const KILL: u32 = 1;
    /// The thread is suspended. Set and cleared under its lock, with the count of suspensions.
    pub const SUSPEND: u32 = 2;
    /// The personality has something for it: a Linux signal may be deliverable. Set by anybody, cleared by the thread itself.
    pub const SIGNAL: u32 = 4;
    /// Somebody else told it to end, so it waits for nobody any more. Set by anybody and with [`KILL`], never cleared.
    pub const KILLED: u32 = 8;
    /// It has met a condition of its job's policy that raises an exception. Set and cleared by the thread itself.
    pub const POLICY: u32 = 16;
}

/// Brings a thread out of user mode soon, from any other thread.
pub trait Kick: Send + Sync {
    /// Has the thread trap, now or when it next enters user mode.
    fn kick(&self);
}

impl Kick for hal::context::Kicker {
    fn kick(&self) {
        hal::context::Kicker::kick(self);
    }
}

/// A wait ended since the thread has [`work`](Thread::work) to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted;

impl Thread {
    /// The [`work`] bits that are set.
    #[inline]
    pub fn work(&self) -> u32 {
        self.work.load(Ordering::Acquire)
    }

    /// Whether it has been told to end. A body that goes round a loop looks here before it enters user
    /// mode again.
    #[inline]
    pub fn is_dying(&self) -> bool {
        self.work() & work::KILL != 0
    }

    /// Sets [`work::SIGNAL`] and has the thread look at it soon: an interruptible wait ends, user mode is left.
    pub fn interrupt(&self) {
        if self.work.fetch_or(work::SIGNAL, Ordering::SeqCst) & work::SIGNAL == 0 {
            self.prod(self.kick());
        }
    }

    /// Sets [`work::SIGNAL`] for the thread's own body, which looks at it before it goes to user mode: a kick
    /// would cost a barrier on all CPUs.
    pub fn interrupt_self(&self) {
        self.work.fetch_or(work::SIGNAL, Ordering::SeqCst);
    }

    /// Clears [`work::SIGNAL`]; the thread's body then looks at what it stood for.
    pub fn take_interrupt(&self) {
        self.work.fetch_and(!work::SIGNAL, Ordering::SeqCst);
    }

    /// Has the run and the body look at what there is to do; `kick` is the thread's.
    pub(super) fn prod(&self, kick: Option<Arc<dyn Kick>>) {
        self.wake();
        if let Some(kick) = kick {
            kick.kick();
        }
    }

    /// Wakes the task that runs it, as the wakers that its body is polled with do: for those who keep the thread and
    /// would else keep a waker of it.
    #[inline]
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Has `waker` woken from now on by those who wake the thread: for a thread that is never started, in whose name a task carries out
    /// calls. The caller looks afterwards at what it could have been woken for.
    pub fn woken_by(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Waits unless there is work to do; what is ready wins. Meanwhile the thread is seen to be blocked `on` that.
    ///
    /// For the thread's own body.
    ///
    /// # Errors
    ///
    /// [`Interrupted`] if there is work to do.
    pub async fn interruptible<T>(
        &self,
        on: BlockedReason,
        operation: impl Future<Output = T>,
    ) -> Result<T, Interrupted> {
        let mut operation = pin!(operation);
        let mut blocked = None;
        poll_fn(|cx| {
            if let Poll::Ready(output) = operation.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            // A policy's exception is of the thread's own making and comes when the call has ended.
            if self.work() & !work::POLICY != 0 {
                return Poll::Ready(Err(Interrupted));
            }
            blocked.get_or_insert_with(|| self.block(on));
            Poll::Pending
        })
        .await
    }

    /// A point at which a body that does not wait can be suspended or killed. A body that goes to user mode does so behind it.
    pub async fn checkpoint(&self) {
        poll_fn(|cx| {
            let work = self.work();
            if work & (work::KILL | work::SUSPEND) == 0 {
                return Poll::Ready(());
            }
            if work & work::KILL != 0 {
                // The run looks next. (It knows of a suspension, or will be woken for it.)
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use futures::executor::block_on;

    use super::{
        super::{
            SuspendToken, ThreadState,
            run::tests::{poll, started},
        },
        *,
    };
    use crate::{KernelObject, Signals};

    struct Kicks(AtomicUsize);

    impl Kick for Kicks {
        fn kick(&self) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn a_kill_wakes_the_task_and_kicks_the_guest() {
        let kicks = Arc::new(Kicks(AtomicUsize::new(0)));
        let run = started(|_| pending());
        let thread = run.thread().clone();
        thread.set_kick(Some(kicks.clone()));
        let task = std::thread::spawn(move || block_on(run));
        thread.kill();
        assert!(task.join().is_ok());
        assert_eq!(kicks.0.load(SeqCst), 1);
        assert_eq!(Arc::strong_count(&kicks), 1, "a dead thread keeps no kick");
    }

    #[test]
    fn the_first_suspension_kicks_the_guest_each_time_and_so_does_a_kill_after() {
        let kicks = Arc::new(Kicks(AtomicUsize::new(0)));
        let mut run = started(|_| pending());
        let thread = run.thread().clone();
        thread.set_kick(Some(kicks.clone()));
        assert!(poll(&mut run).is_pending());
        for time in 1..3 {
            let tokens = [(); 2].map(|()| SuspendToken::create(&thread));
            assert!(tokens.iter().all(Result::is_ok));
            assert_eq!(kicks.0.load(SeqCst), time, "the second finds it suspended");
        }
        thread.kill();
        assert_eq!(kicks.0.load(SeqCst), 3);
    }

    #[test]
    fn a_body_that_computes_stops_at_its_checkpoint() {
        let rounds = Arc::new(AtomicUsize::new(0));
        let counted = rounds.clone();
        let mut run = started(|thread| async move {
            loop {
                if counted.fetch_add(1, SeqCst) == 10 {
                    thread.kill();
                }
                thread.checkpoint().await;
            }
        });
        assert!(poll(&mut run).is_pending());
        assert!(poll(&mut run).is_ready());
        assert_eq!(rounds.load(SeqCst), 11);
    }

    #[test]
    fn an_interruptible_wait_ends_for_a_signal_and_a_suspension_but_what_is_ready_wins() {
        let mut run = started(|thread| async move {
            let wait = || thread.interruptible(BlockedReason::Port, pending::<()>());
            assert_eq!(wait().await, Err(Interrupted));
            assert_eq!(thread.work(), work::SIGNAL);
            assert_eq!(wait().await, Err(Interrupted), "as long as nobody has looked");
            let ready = thread.interruptible(BlockedReason::Port, std::future::ready(5));
            assert_eq!(ready.await, Ok(5));
            thread.take_interrupt();
            assert_eq!(wait().await, Err(Interrupted));
            assert_eq!(thread.work(), work::SUSPEND);
            thread.checkpoint().await;
            assert_eq!(thread.work(), 0);
            thread.interrupt_self();
            assert_eq!(wait().await, Err(Interrupted));
        });
        let thread = run.thread().clone();
        let port = ThreadState::Blocked(BlockedReason::Port);
        assert!(poll(&mut run).is_pending());
        assert_eq!(thread.info().state, port);
        thread.interrupt();
        assert!(poll(&mut run).is_pending());
        assert_eq!(thread.info().state, port);
        let token = SuspendToken::create(&thread);
        assert!(poll(&mut run).is_pending());
        assert_eq!(
            (thread.info().state, thread.signals()),
            (ThreadState::Suspended, Signals::THREAD_SUSPENDED)
        );
        drop(token);
        assert!(poll(&mut run).is_ready());
    }

    #[test]
    fn a_body_that_exits_ends_where_it_waits_next() {
        let mut run = started(|thread| async move {
            thread.exit();
            assert!(thread.is_dying());
            thread.checkpoint().await;
            unreachable!("it has exited")
        });
        assert!(poll(&mut run).is_pending());
        assert!(poll(&mut run).is_ready());
    }
}
