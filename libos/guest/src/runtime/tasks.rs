//! The tasks of a thread.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use async_task::{Runnable, Task};
use slab::Slab;

use super::{remote::Remote, try_with, with};

/// The tasks that there are, and those that are ready to run.
pub(crate) struct Tasks {
    ready: RefCell<VecDeque<Runnable>>,
    /// One of each task, to end it by.
    all: RefCell<Slab<Waker>>,
    over: Cell<bool>,
    remote: Arc<Remote>,
}

impl Tasks {
    pub(super) fn new(remote: Arc<Remote>) -> Self {
        Self { ready: RefCell::default(), all: RefCell::default(), over: Cell::new(false), remote }
    }

    fn spawn<F: Future + 'static>(&self, future: F) -> Task<F::Output> {
        assert!(!self.over.get(), "the runtime is ending");
        let mut all = self.all.borrow_mut();
        let entry = all.vacant_entry();
        let leave = Leave(entry.key());
        let future = async move {
            let _leave = leave;
            future.await
        };
        let remote = Arc::clone(&self.remote);
        let schedule = move |runnable| {
            if remote.is_here() {
                with(|core| core.tasks.ready.borrow_mut().push_back(runnable));
            } else {
                remote.push(runnable);
            }
        };
        let (runnable, task) = async_task::spawn_local(future, schedule);
        entry.insert(runnable.waker());
        drop(all);
        runnable.schedule();
        task
    }

    /// Runs up to `budget` tasks that are ready; whether there are more.
    pub(super) fn run(&self, budget: usize) -> bool {
        self.remote.take(&mut *self.ready.borrow_mut());
        for _ in 0..budget {
            let next = self.ready.borrow_mut().pop_front();
            let Some(runnable) = next else { return false };
            runnable.run();
        }
        self.is_ready()
    }

    /// Whether there are tasks to run.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.borrow().is_empty() || self.remote.has_news()
    }

    /// Drops all tasks, wherever they wait.
    pub(super) fn clear(&self) {
        self.over.set(true);
        while !self.all.borrow().is_empty() {
            let wakers: Vec<Waker> =
                self.all.borrow().iter().map(|(_, waker)| waker.clone()).collect();
            wakers.into_iter().for_each(Waker::wake);
            self.remote.take(&mut *self.ready.borrow_mut());
            let ready = self.ready.take();
            if ready.is_empty() {
                // Another thread is about to put one on the list.
                std::thread::yield_now();
            }
            // Dropped, a task that is ready drops its future.
            drop(ready);
        }
    }
}

/// Takes a task's waker away, with its future.
struct Leave(usize);

impl Drop for Leave {
    fn drop(&mut self) {
        let waker = try_with(|core| core.tasks.all.borrow_mut().try_remove(self.0));
        drop(waker);
    }
}

/// Has a task run on this thread, beside the one that calls.
///
/// # Panics
///
/// If there is no runtime on this thread.
pub fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    JoinHandle(Some(with(|core| core.tasks.spawn(future))))
}

/// The end of a task: a future of its output. Dropped, it lets the task run.
pub struct JoinHandle<T>(Option<Task<T>>);

impl<T> JoinHandle<T> {
    /// Drops the task's future, where it waits. Its output, if it has ended.
    pub async fn cancel(mut self) -> Option<T> {
        self.0.take()?.cancel().await
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.0.as_ref().is_none_or(Task::is_finished)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match self.0.as_mut() {
            Some(task) => Pin::new(task).poll(context),
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish()
    }
}

/// Lets the other tasks that are ready run first.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
