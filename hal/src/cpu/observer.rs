//! Watching the CPUs: who wants to know when one begins a task, ends it, sleeps and wakes.
//!
//! The one idea: a worker's loop is compiled twice, with an observer and without, so that what nobody watches does not even ask.

use std::fmt;

/// Is told what the CPUs of a machine do, each by that CPU's own thread: between `begins_task` and `ends_task` the task runs, between
/// `sleeps` and `wakes` the CPU has nothing to do. The methods must not block: the CPU waits for them.
pub trait Observer: fmt::Debug + Send + Sync {
    /// CPU `cpu` begins to poll a task.
    fn begins_task(&self, cpu: usize);

    /// It has polled it.
    fn ends_task(&self, cpu: usize);

    /// It found nothing to do and goes to sleep.
    fn sleeps(&self, cpu: usize);

    /// It has slept.
    fn wakes(&self, cpu: usize);
}

/// Nobody watches.
#[derive(Debug)]
pub(super) struct Unobserved;

impl Observer for Unobserved {
    #[inline(always)]
    fn begins_task(&self, _: usize) {}

    #[inline(always)]
    fn ends_task(&self, _: usize) {}

    #[inline(always)]
    fn sleeps(&self, _: usize) {}

    #[inline(always)]
    fn wakes(&self, _: usize) {}
}
