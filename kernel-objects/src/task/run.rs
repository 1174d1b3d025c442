//! A started thread as a future.
//!
//! Between two polls of the body the run looks at what the thread has to do: whether it has been killed, and drops the body then,
//! or suspended. Then the body is polled once more, so that what it does can end early and it can come to rest at its
//! [checkpoint](Thread::checkpoint), and is left alone until the thread is resumed. So both take effect where the body waits.
//!
//! Debuggers are told that a thread starts and that it exits before and after its body, and are waited for. Who has none pays for it with a
//! look at whether there is one, at either end.
//!
//! The body's destructors are the thread's clean-up: they run when it ends in any way, even when the
//! run itself is dropped by an executor that shuts down.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::BoxFuture;

use super::{interrupt::work, thread::Thread};

/// A started thread: done when the thread has ended. Dropped before that, it ends it.
#[must_use = "the thread runs only when this is polled"]
pub struct Run<F: Future<Output = ()>> {
    thread: Arc<Thread>,
    /// `None` once it has ended.
    body: Option<Pin<Box<F>>>,
    progress: Progress,
    /// A debugger is being told that the thread starts or, without a body, that it exits.
    told: Option<BoxFuture<'static, ()>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nobody has been told of the thread yet, or of the process whose first it may be.
    New { first: bool },
    /// The body has not been polled yet.
    Told,
    /// It is polled whenever the run is.
    Running,
    /// It is left alone, for the thread is suspended.
    Parked,
    /// The thread is dead.
    Ended,
}

impl<F: Future<Output = ()>> Run<F> {
    pub(super) fn new(thread: Arc<Thread>, body: F, first: bool) -> Self {
        Run { thread, body: Some(Box::pin(body)), progress: Progress::New { first }, told: None }
    }

    /// The thread.
    pub fn thread(&self) -> &Arc<Thread> {
        &self.thread
    }

    /// The body has ended, or is to end here: from now on there is none.
    #[cold]
    fn leave(&mut self) {
        self.thread.exit();
        self.body = None; // its destructors may still use the process
        if self.thread.work() & work::KILLED != 0 {
            self.thread.tell_killed();
        } else {
            self.told = self.thread.exiting();
        }
    }

    fn finish(&mut self) {
        if self.progress != Progress::Ended {
            self.progress = Progress::Ended;
            self.thread.finish();
        }
    }

    /// Whether the body is to be left alone now.
    #[cold]
    fn park(&mut self) -> bool {
        let park = self.thread.settle_suspension();
        match self.progress {
            _ if park => self.progress = Progress::Parked,
            Progress::Parked => self.progress = Progress::Running,
            Progress::New { .. } | Progress::Told | Progress::Running | Progress::Ended => {}
        }
        park
    }
}

impl<F: Future<Output = ()>> Future for Run<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.thread.waker.register(cx.waker());
        loop {
            let work = this.thread.work();
            if let Some(told) = &mut this.told {
                // A kill does not wait for a debugger.
                if work & work::KILLED == 0 && told.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                this.told = None;
            }
            if this.body.is_some() && work & work::KILL != 0 {
                this.leave();
                continue;
            }
            if this.body.is_none() {
                this.finish();
                return Poll::Ready(());
            }
            let suspended = work & work::SUSPEND != 0;
            match this.progress {
                // It may yet come to rest where it likes.
                Progress::Running | Progress::Ended => {}
                Progress::New { first } => {
                    this.progress = Progress::Told;
                    this.told = this.thread.starting(first);
                    continue;
                }
                Progress::Told if !suspended => {}
                Progress::Told | Progress::Parked => {
                    if this.park() {
                        return Poll::Pending;
                    }
                }
            }
            this.progress = Progress::Running;
            this.thread.scheduled();
            this.thread.runtime.start();
            let ended = this.body.as_mut().is_none_or(|body| body.as_mut().poll(cx).is_ready());
            this.thread.runtime.stop();
            if ended {
                this.leave();
                continue;
            }
            // In an exception it is not suspended before that has been handled.
            if suspended && !this.thread.is_in_exception() {
                this.park();
            }
            return Poll::Pending;
        }
    }
}

impl<F: Future<Output = ()>> Drop for Run<F> {
    fn drop(&mut self) {
        if self.body.take().is_some() {
            self.thread.tell_killed();
        }
        self.told = None;
        self.finish();
    }
}

impl<F: Future<Output = ()>> fmt::Debug for Run<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Run").field(&self.thread).finish()
    }
}

#[cfg(test)]
pub(in crate::task) mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use futures::{FutureExt, executor::block_on, task::noop_waker_ref};

    use super::*;
    use crate::{
        error::Error,
        event::Event,
        object::KernelObject,
        signals::Signals,
        task::{Job, Process, SuspendToken, ThreadState},
    };

    pub(in crate::task) fn started<F: Future<Output = ()>>(
        body: impl FnOnce(Arc<Thread>) -> F,
    ) -> Run<F> {
        let made = Process::create(&Job::root(), "test").and_then(|process| {
            let thread = Thread::create(&process, "main")?;
            let body = body(thread.clone());
            process.start(&thread, body)
        });
        made.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(in crate::task) fn poll<F: Future<Output = ()>>(run: &mut Run<F>) -> Poll<()> {
        run.poll_unpin(&mut Context::from_waker(noop_waker_ref()))
    }

    #[test]
    fn killed_it_drops_its_body_where_it_waits() {
        let event = Event::create();
        let waited = event.clone();
        let mut run = started(|_| async move {
            let _ = waited.wait_one(Signals::SIGNALED).await;
            unreachable!("nobody signals")
        });
        assert!(poll(&mut run).is_pending());
        assert_eq!(event.base().signal_state().watchers(), 1);
        let thread = run.thread().clone();
        thread.kill();
        assert_eq!(thread.info().state, ThreadState::Dying);
        assert!(poll(&mut run).is_ready());
        assert_eq!(event.base().signal_state().watchers(), 0);
        assert_eq!(thread.info().state, ThreadState::Dead);
        thread.kill();
    }

    #[test]
    fn a_run_that_is_dropped_ends_the_thread_and_the_process() {
        let run = started(|_| pending());
        let thread = run.thread().clone();
        drop(run);
        assert_eq!(thread.info().state, ThreadState::Dead);
        assert!(thread.process().info().exited);
    }

    #[test]
    fn suspended_its_body_is_left_alone_until_the_last_token_goes() {
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = polls.clone();
        let mut run = started(|_| {
            std::future::poll_fn(move |_| {
                counted.fetch_add(1, SeqCst);
                Poll::<()>::Pending
            })
        });
        assert!(poll(&mut run).is_pending());
        let thread = run.thread().clone();
        let suspend = || SuspendToken::create(&thread).unwrap_or_else(|error| panic!("{error}"));
        let (a, b) = (suspend(), suspend());
        assert_eq!(thread.info().state, ThreadState::Running, "it has not noticed yet");
        assert!(poll(&mut run).is_pending());
        assert_eq!(polls.load(SeqCst), 2, "it may end early what it does");
        assert_eq!(thread.signals(), Signals::THREAD_SUSPENDED);
        assert_eq!(thread.info().state, ThreadState::Suspended);
        drop(a);
        assert!(poll(&mut run).is_pending());
        assert_eq!(polls.load(SeqCst), 2);
        drop(b);
        assert!(poll(&mut run).is_pending());
        assert_eq!(polls.load(SeqCst), 3);
        assert_eq!(thread.signals(), Signals::THREAD_RUNNING);
    }

    #[test]
    fn a_suspended_thread_can_be_killed() {
        let mut run = started(|_| pending());
        let thread = run.thread().clone();
        let _token = SuspendToken::create(&thread);
        assert!(poll(&mut run).is_pending());
        thread.kill();
        assert!(poll(&mut run).is_ready());
        assert_eq!(SuspendToken::create(&thread).err(), Some(Error::BadState));
    }

    #[test]
    fn threads_killed_while_they_start_and_end_are_all_reaped() {
        for _ in 0..200 {
            let run = started(|_| pending());
            let thread = run.thread().clone();
            let process = thread.process().clone();
            let more: Vec<_> = (0..3)
                .filter_map(|_| Thread::create(&process, "").and_then(|t| t.start(pending())).ok())
                .collect();
            std::thread::scope(|scope| {
                scope.spawn(|| process.exit(1));
                scope.spawn(|| thread.kill());
                for run in more {
                    scope.spawn(|| block_on(run));
                }
                scope.spawn(|| block_on(run));
            });
            assert!(process.info().exited);
            assert!(process.threads().is_empty());
        }
    }

    #[test]
    fn one_that_is_suspended_before_it_runs_does_nothing() {
        let mut run = started(|_| async { unreachable!("it is killed before it is resumed") });
        let thread = run.thread().clone();
        let _token = SuspendToken::create(&thread);
        assert!(poll(&mut run).is_pending());
        assert_eq!(thread.signals(), Signals::THREAD_SUSPENDED);
        thread.kill();
        assert!(poll(&mut run).is_ready());
    }
}
