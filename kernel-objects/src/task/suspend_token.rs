//! Suspend tokens: as long as one exists, its task does not run.
//!
//! A token is made for a thread, or for a process and so for each of its threads, those too that are started while it exists.
//! Several may exist for one task, which runs again when the last has gone. A thread notices its suspension where it
//! waits; wait for `THREAD_SUSPENDED` to know that it has.
//!
//! Closing the last handle to a token, or dropping the last reference, resumes the task. That makes a
//! debugger's death harmless.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{process::Process, thread::Thread};
use crate::{
    error::Result,
    object::{KObjectBase, KernelObject, ObjectType},
};

/// Keeps a task suspended (`zx_task_suspend`).
///
/// ```
/// use kernel_objects::task::{Job, Process, SuspendToken, Thread};
///
/// let process = Process::create(&Job::root(), "p").unwrap();
/// let thread = Thread::create(&process, "t").unwrap();
/// let token = SuspendToken::create(&thread).unwrap();
/// drop(token); // and it may run again
/// ```
#[derive(Debug)]
pub struct SuspendToken {
    base: KObjectBase,
    /// What it keeps from running; `None` once released.
    task: Mutex<Option<Task>>,
}

#[derive(Debug)]
enum Task {
    Thread(Arc<Thread>),
    Process(Arc<Process>),
}

impl SuspendToken {
    /// Suspends a thread, also one that has not been started.
    ///
    /// # Errors
    ///
    /// [`Error::BadState`](crate::Error::BadState) if it has been killed or has ended.
    pub fn create(thread: &Arc<Thread>) -> Result<Arc<SuspendToken>> {
        thread.suspend()?;
        Ok(Self::holding(Task::Thread(thread.clone())))
    }

    /// Suspends a process: each thread that it has or will have, also if it has not been started.
    ///
    /// # Errors
    ///
    /// [`Error::BadState`](crate::Error::BadState) if it is ending or has ended.
    pub fn create_for_process(process: &Arc<Process>) -> Result<Arc<SuspendToken>> {
        process.suspend()?;
        Ok(Self::holding(Task::Process(process.clone())))
    }

    fn holding(task: Task) -> Arc<SuspendToken> {
        Arc::new(SuspendToken { base: KObjectBase::new(), task: Mutex::new(Some(task)) })
    }

    fn release(&self) {
        let task = self.task.lock().take();
        match task {
            Some(Task::Thread(thread)) => thread.resume(),
            Some(Task::Process(process)) => process.resume(),
            None => {}
        }
    }
}

impl KernelObject for SuspendToken {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::SuspendToken
    }

    fn on_zero_handles(&self) {
        self.release();
    }
}

impl Drop for SuspendToken {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        task::{Context, Poll},
    };

    use futures::{FutureExt, task::noop_waker_ref};

    use super::*;
    use crate::{error::Error, handle::Handle, signals::Signals, task::Job};

    fn poll(run: &mut (impl Future<Output = ()> + Unpin)) -> Poll<()> {
        run.poll_unpin(&mut Context::from_waker(noop_waker_ref()))
    }

    #[test]
    fn the_last_handle_resumes_though_a_reference_remains() {
        let process = Process::create(&Job::root(), "").unwrap_or_else(|e| panic!("{e}"));
        let thread = Thread::create(&process, "").unwrap_or_else(|e| panic!("{e}"));
        let token = SuspendToken::create(&thread).unwrap_or_else(|e| panic!("{e}"));
        let run = process.start(&thread, pending());
        let mut run = run.unwrap_or_else(|e| panic!("{e}"));
        assert!(poll(&mut run).is_pending());
        assert_eq!(thread.signals(), Signals::THREAD_SUSPENDED, "suspended before it started");
        drop(Handle::new(token.clone()));
        assert!(poll(&mut run).is_pending());
        assert_eq!(thread.signals(), Signals::THREAD_RUNNING);
        drop(token);
        assert_eq!(thread.signals(), Signals::THREAD_RUNNING);
    }

    #[test]
    fn resuming_wakes_the_task() {
        let process = Process::create(&Job::root(), "").unwrap_or_else(|e| panic!("{e}"));
        let thread = Thread::create(&process, "").unwrap_or_else(|e| panic!("{e}"));
        let token = SuspendToken::create(&thread);
        let run = process.start(&thread, async {}).unwrap_or_else(|e| panic!("{e}"));
        let task = std::thread::spawn(move || futures::executor::block_on(run));
        let noticed = futures::executor::block_on(thread.wait_one(Signals::THREAD_SUSPENDED));
        assert_eq!(noticed, Ok(Signals::THREAD_SUSPENDED));
        drop(token);
        assert!(task.join().is_ok());
    }

    #[test]
    fn a_process_is_suspended_with_all_its_threads() {
        let process = Process::create(&Job::root(), "").unwrap_or_else(|e| panic!("{e}"));
        let before = SuspendToken::create_for_process(&process);
        let first = Thread::create(&process, "").and_then(|t| process.start(&t, pending()));
        let second = Thread::create(&process, "").and_then(|t| t.start(pending()));
        let mut runs = [first, second].map(|run| run.unwrap_or_else(|e| panic!("{e}")));
        assert!(runs.iter_mut().all(|run| poll(run).is_pending()));
        let all = |signal| process.threads().iter().all(|t| t.signals() == signal);
        assert!(all(Signals::THREAD_SUSPENDED), "suspended before it started");
        drop(before);
        assert!(runs.iter_mut().all(|run| poll(run).is_pending()));
        assert!(all(Signals::THREAD_RUNNING));
        let token = SuspendToken::create_for_process(&process);
        assert!(runs.iter_mut().all(|run| poll(run).is_pending()));
        assert!(all(Signals::THREAD_SUSPENDED));
        let late = Thread::create(&process, "").and_then(|t| t.start(pending()));
        let mut late = late.unwrap_or_else(|e| panic!("{e}"));
        assert!(poll(&mut late).is_pending());
        assert!(all(Signals::THREAD_SUSPENDED), "one that is started meanwhile too");
        drop(token);
        assert!(runs.iter_mut().chain([&mut late]).all(|run| poll(run).is_pending()));
        assert!(all(Signals::THREAD_RUNNING));
        process.kill();
        assert_eq!(SuspendToken::create_for_process(&process).err(), Some(Error::BadState));
    }
}
