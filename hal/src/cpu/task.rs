//! A task: a future that a CPU runs, and the handle by which its result is awaited.
//!
//! The allocation is `async-task`'s; what a wake-up needs to know (which CPU is the task's home)
//! lies in it as metadata, so that the schedule function captures nothing and `async-task` can skip
//! the reference counting that a capturing one would need.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use async_task::{Builder, ScheduleInfo, WithInfo};

use super::worker::{self, Machine};
use crate::time;

/// Where a task lives.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) machine: Arc<Machine>,
    /// The CPU that runs it. Written by the worker that is about to run it only.
    cpu: AtomicUsize,
    /// Whether it must stay there.
    pub(super) pinned: bool,
    /// Of a task whose waits for its CPU are measured: when it was queued, in cycles; 0 while it is not.
    queued: Option<AtomicU64>,
}

impl Home {
    pub(super) fn cpu(&self) -> usize {
        // Relaxed: any CPU that the task ever lived on is a correct place to queue it.
        self.cpu.load(Ordering::Relaxed)
    }

    pub(super) fn move_to(&self, cpu: usize) {
        self.cpu.store(cpu, Ordering::Relaxed);
    }

    /// It is about to be queued.
    #[inline]
    pub(super) fn note_queued(&self) {
        if let Some(queued) = &self.queued {
            // Relaxed: the queue hands the task over, and this with it.
            queued.store(time::cycles(), Ordering::Relaxed);
        }
    }

    /// When it was queued, in cycles, for who is about to run it; 0 if that is not measured.
    #[inline]
    pub(super) fn queued_since(&self) -> u64 {
        self.queued.as_ref().map_or(0, |queued| queued.swap(0, Ordering::Relaxed))
    }
}

/// A task that is ready to be polled.
pub(super) type Runnable = async_task::Runnable<Home>;

/// A spawned future's handle: a future of its result.
///
/// **Dropping it cancels the task**: its future is dropped at its next turn, or at once when it is
/// not queued. [`Task::detach`] lets it run on unobserved. A panic of the task is carried to
/// whoever awaits the handle; that of a detached task ends that task only.
#[must_use = "dropping a task cancels it: await it, or detach() it"]
pub struct Task<T>(async_task::Task<T, Home>);

impl<T> Task<T> {
    /// Lets the task run on without its handle.
    pub fn detach(self) {
        self.0.detach();
    }

    /// Cancels the task and waits until its future is dropped; gives its result if it was done
    /// before.
    pub async fn cancel(self) -> Option<T> {
        self.0.cancel().await
    }

    /// Whether the result is there (or the task was cancelled).
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("cpu", &self.0.metadata().cpu()).finish_non_exhaustive()
    }
}

/// # Panics
///
/// Awaiting panics when the task panicked, or when its machine was shut down before it was done.
impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(cx)
    }
}

pub(super) fn spawn<F>(
    machine: &Arc<Machine>,
    cpu: usize,
    pinned: bool,
    future: F,
) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    start(new(machine, cpu, pinned, false, future))
}

pub(super) fn spawn_measured<F>(machine: &Arc<Machine>, cpu: usize, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    start(new(machine, cpu, false, true, future))
}

fn start<T>((runnable, task): (Runnable, Task<T>)) -> Task<T> {
    worker::start_task(runnable);
    task
}

/// As [`spawn`] on the calling CPU, and the first poll is made here and now.
pub(super) fn spawn_here<F>(machine: &Arc<Machine>, cpu: usize, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (runnable, task) = new(machine, cpu, false, false, future);
    runnable.run();
    task
}

pub(super) fn spawn_urgent<F>(machine: &Arc<Machine>, cpu: usize, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (runnable, task) = new(machine, cpu, false, false, future);
    worker::start_urgent(runnable);
    task
}

fn new<F>(
    machine: &Arc<Machine>,
    cpu: usize,
    pinned: bool,
    measured: bool,
    future: F,
) -> (Runnable, Task<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let queued = measured.then(AtomicU64::default);
    let home = Home { machine: machine.clone(), cpu: AtomicUsize::new(cpu), pinned, queued };
    let (runnable, task) =
        Builder::new().metadata(home).propagate_panic(true).spawn(move |_| future, WithInfo(wake));
    (runnable, Task(task))
}

fn wake(runnable: Runnable, info: ScheduleInfo) {
    worker::schedule(runnable, info.woken_while_running);
}
