//! A started thread as a future.
//!
//! Between two polls of the body the run looks at what the thread has to do: whether it has been killed, and drops the body then,
//! or suspended. Then the body is polled once more, so that what it does can end early and it can come to rest at its
//! [checkpoint](Thread::checkpoint), and is left alone until the thread is resumed. So both take effect where the body waits.
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

use super::{interrupt::work, thread::Thread};

/// A started thread: done when the thread has ended. Dropped before that, it ends it.
#[must_use = "the thread runs only when this is polled"]
pub struct Run<F: Future<Output = ()>> {
    thread: Arc<Thread>,
    /// `None` once the thread has ended.
    body: Option<Pin<Box<F>>>,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The body has not been polled yet.
    New,
    /// It is polled whenever the run is.
    Running,
    /// It is left alone, for the thread is suspended.
    Parked,
}

impl<F: Future<Output = ()>> Run<F> {
    pub(super) fn new(thread: Arc<Thread>, body: F) -> Self {
        Run { thread, body: Some(Box::pin(body)), progress: Progress::New }
    }

    /// The thread.
    pub fn thread(&self) -> &Arc<Thread> {
        &self.thread
    }

    fn end(&mut self) {
        if let Some(body) = self.body.take() {
            drop(body); // its destructors may still use the process
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
            Progress::New | Progress::Running => {}
        }
        park
    }
}

impl<F: Future<Output = ()>> Future for Run<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.thread.waker.register(cx.waker());
        let work = this.thread.work();
        if work & work::KILL != 0 {
            this.end();
            return Poll::Ready(());
        }
        let suspended = work & work::SUSPEND != 0;
        match this.progress {
            // It may yet come to rest where it likes.
            Progress::Running => {}
            Progress::New if !suspended => {}
            Progress::New | Progress::Parked => {
                if this.park() {
                    return Poll::Pending;
                }
            }
        }
        let Some(body) = &mut this.body else { return Poll::Ready(()) };
        this.progress = Progress::Running;
        this.thread.scheduled();
        this.thread.runtime.start();
        let poll = body.as_mut().poll(cx);
        this.thread.runtime.stop();
        if poll.is_ready() {
            this.end();
        } else if suspended {
            this.park();
        }
        poll
    }
}

impl<F: Future<Output = ()>> Drop for Run<F> {
    fn drop(&mut self) {
        self.end();
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
