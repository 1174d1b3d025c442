//! Who handles an exception, and the thread that waits for it.
//!
//! What would kill the process goes to the process's debugger first, then to the thread's handler, the process's, once more to the
//! debugger if it said so, and to those of the jobs from the innermost to the root. What only tells something goes to one.

use std::{future::poll_fn, sync::Arc, task::Poll};

use futures::{FutureExt, future::BoxFuture};

use super::{
    Exception, ExceptionChannelType, ExceptionState, ExceptionStrategy,
    binding::Binding,
    report::{ExceptionReport, ExceptionType},
};
use crate::{
    error::{Error, Result},
    task::{
        interrupt::work,
        job::Job,
        retcode,
        thread::{BlockedReason, Thread},
    },
};

/// The thread is in an exception as long as this exists.
struct InException<'a>(&'a Thread);

impl Drop for InException<'_> {
    fn drop(&mut self) {
        self.0.exceptions.set_current(None);
    }
}

impl Thread {
    /// Has an exception handled that would kill the process, for the thread's own body. Meanwhile the thread is seen to be
    /// [blocked](BlockedReason::Exception). Comes back when the thread is to go on. Otherwise it does not: the thread ends where it waits
    /// here, and with it the process if nobody has handled the exception.
    pub async fn raise(self: &Arc<Self>, report: ExceptionReport) {
        let exception = Exception::new(self, report);
        let state = {
            let _blocked = self.block(BlockedReason::Exception);
            let _in_exception = self.enter(&exception);
            self.search(&exception).await
        };
        match state {
            ExceptionState::Handled => {}
            ExceptionState::ThreadExit => self.exit(),
            ExceptionState::TryNext => self.process().kill_with(retcode::EXCEPTION_KILL),
        }
        // A suspension that came meanwhile, or the end.
        self.checkpoint().await;
    }

    fn enter(&self, exception: &Arc<Exception>) -> InException<'_> {
        self.exceptions.set_current(Some(exception.clone()));
        InException(self)
    }

    /// Gives one handler after the other its turn.
    async fn search(&self, exception: &Arc<Exception>) -> ExceptionState {
        use ExceptionChannelType::{Debugger, Job, Process, Thread};
        let process = self.process();
        for (channel, binding) in [
            (Debugger, &process.handlers.debugger),
            (Thread, &self.exceptions.handler),
            (Process, &process.handlers.standard),
        ] {
            let state = self.offer(exception, channel, binding).await;
            if state != ExceptionState::TryNext {
                return state;
            }
        }
        if exception.strategy() == ExceptionStrategy::SecondChance {
            let state = self.offer(exception, Debugger, &process.handlers.debugger).await;
            if state != ExceptionState::TryNext {
                return state;
            }
        }
        let mut job = Some(process.job());
        while let Some(one) = job {
            let state = self.offer(exception, Job, &one.handlers.standard).await;
            if state != ExceptionState::TryNext {
                return state;
            }
            job = one.parent();
        }
        ExceptionState::TryNext
    }

    /// Gives a handler its turn, if there is one, and waits for what it says. A thread that is killed goes no further.
    async fn offer(
        &self,
        exception: &Arc<Exception>,
        channel: ExceptionChannelType,
        binding: &Binding,
    ) -> ExceptionState {
        let mut sent = false;
        poll_fn(|cx| {
            if self.work() & work::KILLED != 0 {
                // The run looks next.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !sent && !exception.send(channel, binding) {
                return Poll::Ready(ExceptionState::TryNext);
            }
            sent = true;
            exception.poll_closed(cx.waker()).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Tells one handler something, and waits until it has seen it.
    async fn tell(
        self: &Arc<Self>,
        report: ExceptionReport,
        channel: ExceptionChannelType,
        binding: &Binding,
    ) {
        let exception = Exception::new(self, report);
        let _blocked = self.block(BlockedReason::Exception);
        let _in_exception = self.enter(&exception);
        self.offer(&exception, channel, binding).await;
    }

    /// The innermost of its jobs that has a debugger.
    fn debugged_job(&self) -> Option<&Arc<Job>> {
        let mut job = Some(self.process().job());
        while let Some(one) = job {
            if one.handlers.debugger.is_bound() {
                break;
            }
            job = one.parent();
        }
        job
    }

    /// Says something to the debugger of its jobs, if there is one, and waits until that has seen it: for the thread's own body
    /// (`zx_thread_raise_exception`).
    pub async fn raise_user(self: &Arc<Self>, code: u32, data: u32) {
        let report = ExceptionReport::synthetic(ExceptionType::User, code, data);
        if let Some(job) = self.debugged_job() {
            self.tell(report, ExceptionChannelType::JobDebugger, &job.handlers.debugger).await;
        }
        self.checkpoint().await;
    }

    /// What is to be waited for before the thread does anything; `None` if there is no debugger. `first`: it is the first of its process.
    pub(in crate::task) fn starting(
        self: &Arc<Self>,
        first: bool,
    ) -> Option<BoxFuture<'static, ()>> {
        let in_job = first && self.debugged_job().is_some();
        if !in_job && !self.process().handlers.debugger.is_bound() {
            return None;
        }
        let thread = self.clone();
        let told = async move {
            if let Some(job) = thread.debugged_job().filter(|_| in_job) {
                let report = ExceptionReport::synthetic(ExceptionType::ProcessStarting, 0, 0);
                thread
                    .tell(report, ExceptionChannelType::JobDebugger, &job.handlers.debugger)
                    .await;
            }
            // Which may have come to debug the process.
            let report = ExceptionReport::synthetic(ExceptionType::ThreadStarting, 0, 0);
            let debugger = &thread.process().handlers.debugger;
            thread.tell(report, ExceptionChannelType::Debugger, debugger).await;
        };
        Some(told.boxed())
    }

    /// What is to be waited for before the thread, whose body has ended, is dead; `None` if there is no debugger.
    pub(in crate::task) fn exiting(self: &Arc<Self>) -> Option<BoxFuture<'static, ()>> {
        if !self.process().handlers.debugger.is_bound() {
            return None;
        }
        let thread = self.clone();
        let told = async move {
            let report = ExceptionReport::synthetic(ExceptionType::ThreadExiting, 0, 0);
            let debugger = &thread.process().handlers.debugger;
            thread.tell(report, ExceptionChannelType::Debugger, debugger).await;
        };
        Some(told.boxed())
    }

    /// Tells the debugger that the thread, which has been killed, is about to be dead.
    pub(in crate::task) fn tell_killed(self: &Arc<Self>) {
        let report = ExceptionReport::synthetic(ExceptionType::ThreadExiting, 0, 0);
        let debugger = &self.process().handlers.debugger;
        if debugger.is_bound() {
            Exception::new(self, report).send(ExceptionChannelType::Debugger, debugger);
        }
    }

    /// What is known of the exception for which a handler has its turn (`ZX_INFO_THREAD_EXCEPTION_REPORT`).
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it does not wait for one.
    pub fn exception_report(&self) -> Result<ExceptionReport> {
        let exception = self.exceptions.current().ok_or(Error::BadState)?;
        match exception.channel_type() {
            ExceptionChannelType::None => Err(Error::BadState),
            _ => Ok(*exception.report()),
        }
    }
}
