//! Virtual CPUs: worker threads that run the kernel's tasks.
//!
//! A virtual CPU is a `std::thread` with a run queue of its own; everything that runs on it is a
//! future made into a task by `async-task` (one allocation each). A guest thread is one such task:
//! it enters the guest, handles the trap, and enters again; blocked, it is a suspended future and
//! its CPU runs another. The one idea: *what happens on one CPU stays on that CPU's thread*: a wake
//! from the same worker is a push to a thread-local queue, without an atomic instruction or a
//! system call, so handing over between two tasks costs tens of nanoseconds. A wake from elsewhere
//! goes through the CPU's inbox and unparks the worker when it sleeps; an idle CPU sleeps in a futex
//! until the next timer.
//!
//! Order of service on one CPU: tasks that a timer woke first, as long as they take no more than their
//! share; then the task woken last by the running one (hand-over, at most a bounded number in a row);
//! then first come, first served. The inbox and the timers are looked at in between, so neither can be
//! starved by tasks that wake each other, and a guest is taken off its CPU when a timer is due.
//!
//! Tasks stay on the CPU they were spawned on. With [`Config::stealing`] a CPU without work takes
//! from the others tasks that are not pinned by [`spawn_on`], and a task that is woken while its CPU sleeps may be held for a moment where
//! it was woken, and run there.

mod blocking;
mod habits;
mod machines;
mod observer;
mod park;
mod task;
mod worker;

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;

use crate::irq::HostSignals;

pub(crate) use blocking::run_detached as run_on_pool;
pub use blocking::{Blocking, run_beside, spawn_blocking};
pub(crate) use machines::{earliest_deadline, wake_sleepers};
pub use observer::Observer;
pub use task::Task;
use worker::Machine;
pub use worker::{
    begin_stretch, current_cpu, end_stretch, has_spare, need_resched, next_deadline, queued_until,
    request_resched, runnable,
};
pub(crate) use worker::{busy, current_timers, is_wanted, leaves_host_cpus};

/// The most virtual CPUs a machine may have, as Linux's `CONFIG_NR_CPUS` bounds real ones.
pub const MAX_CPUS: usize = 1024;

/// How a machine's CPUs are set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many virtual CPUs; at least 1, at most [`MAX_CPUS`].
    pub cpus: usize,
    /// Whether an idle CPU takes tasks from a busy one.
    pub stealing: bool,
    /// Bytes of stack of each worker. Futures of unoptimised builds are large; untouched stack
    /// costs only address space.
    pub stack_size: usize,
    /// Called on each worker's thread before its first task, e.g. to attach it to the machinery
    /// that enters guests.
    pub on_start: fn(),
    /// Who is told what the CPUs do.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cpus: crate::host::system::online_cpus(),
            stealing: false,
            stack_size: 16 << 20,
            on_start: || {},
            observer: None,
        }
    }
}

/// The CPUs of one machine. Dropping it shuts them down.
#[derive(Debug)]
pub struct Cpus {
    handle: Handle,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Cpus {
    /// Starts `config.cpus` workers, named `cpu0`, `cpu1`, …
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a number of CPUs out of range, and what the host says when it gives no
    /// more threads; then none is left running.
    pub fn start(config: Config) -> io::Result<Cpus> {
        crate::time::start_cycles();
        if config.cpus == 0 || config.cpus > MAX_CPUS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the number of CPUs must be 1 to {MAX_CPUS}"),
            ));
        }
        let machine = Arc::new(Machine::new(config.cpus, config.stealing));
        machines::note(&machine);
        let cpus =
            Cpus { handle: Handle { machine: machine.clone() }, threads: Mutex::new(Vec::new()) };
        for cpu in 0..config.cpus {
            let machine = machine.clone();
            let on_start = config.on_start;
            let observer = config.observer.clone();
            // From before it runs until after its last task.
            crate::time::begin_work();
            let thread = thread::Builder::new()
                .name(format!("cpu{cpu}"))
                .stack_size(config.stack_size)
                .spawn(move || {
                    on_start();
                    worker::run(machine, cpu, observer);
                })
                .inspect_err(|_| crate::time::end_work())?; // on failure `cpus` is dropped, which ends those that have started
            cpus.threads.lock().push(thread);
        }
        Ok(cpus)
    }

    /// A handle to spawn by, which does not keep the workers running.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// How many CPUs there are.
    pub fn count(&self) -> usize {
        self.handle.count()
    }

    /// See [`Handle::spawn`].
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(future)
    }

    /// See [`Handle::spawn_measured`].
    pub fn spawn_measured<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn_measured(future)
    }

    /// See [`Handle::spawn_urgent`].
    pub fn spawn_urgent<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn_urgent(future)
    }

    /// See [`Handle::spawn_on`].
    pub fn spawn_on<F>(&self, cpu: usize, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn_on(cpu, future)
    }

    /// Polls `future` on the calling thread until it is done, parking the thread in between.
    ///
    /// Meanwhile the free functions of this module ([`spawn`] and its kin) mean this machine.
    /// Call it from outside only: on a worker it would block a CPU.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let _entered = worker::enter(&self.handle.machine);
        block_on(future)
    }

    /// [`Cpus::block_on`], calling `on_signal` on the same thread for each of the host's `signals` meanwhile.
    pub fn block_on_with_signals<F: Future>(
        &self,
        future: F,
        signals: &HostSignals,
        on_signal: impl FnMut(i32),
    ) -> F::Output {
        let _entered = worker::enter(&self.handle.machine);
        signals.block_on(future, on_signal)
    }

    /// Ends the workers: each finishes the poll it is in, drops the tasks that are queued and
    /// returns; then they are joined. Tasks that wait for something else are dropped when they
    /// are woken or when whatever holds their wakers goes. Idempotent.
    ///
    /// Called on a worker (a task that owns the machine), it leaves that one to end by itself.
    pub fn shutdown(&self) {
        self.handle.machine.close();
        let threads = std::mem::take(&mut *self.threads.lock());
        let me = thread::current().id();
        for thread in threads {
            if thread.thread().id() != me && thread.join().is_err() {
                log::error!("a CPU worker panicked");
            }
        }
    }
}

impl Drop for Cpus {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// What spawns tasks on a machine's CPUs; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    machine: Arc<Machine>,
}

impl Handle {
    /// The machine whose worker this thread is, or whose [`Cpus::block_on`] runs on it.
    pub fn current() -> Option<Handle> {
        worker::current_machine().map(|machine| Handle { machine })
    }

    /// How many CPUs there are.
    pub fn count(&self) -> usize {
        self.machine.count()
    }

    /// Makes `future` a task of the current CPU, or, outside of this machine's workers, of each in
    /// turn.
    ///
    /// After a shutdown the task never runs and its future is dropped.
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let cpu = self.machine.here().unwrap_or_else(|| self.machine.next_cpu());
        task::spawn(&self.machine, cpu, false, future)
    }

    /// As [`spawn`](Self::spawn), and the first poll is made here and now, as a part of the running task's turn.
    pub fn spawn_here<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let cpu = self.machine.here().unwrap_or_else(|| self.machine.next_cpu());
        task::spawn_here(&self.machine, cpu, future)
    }

    /// As [`spawn`](Self::spawn), for a task that is to know how long it waits for its CPU: [`queued_until`]. Each of its wakes costs a
    /// look at the cycle counter.
    pub fn spawn_measured<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let cpu = self.machine.here().unwrap_or_else(|| self.machine.next_cpu());
        task::spawn_measured(&self.machine, cpu, future)
    }

    /// As [`spawn`](Self::spawn), for short work that is not to wait for the running task's turn to end, such as setting a
    /// timer: it runs before what is queued, once the running task looks at [`need_resched`].
    pub fn spawn_urgent<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let cpu = self.machine.here().unwrap_or_else(|| self.machine.next_cpu());
        task::spawn_urgent(&self.machine, cpu, future)
    }

    /// Makes `future` a task of an idle CPU if there is one, else of each in turn: for new guest
    /// threads, which are meant to run beside the one that made them.
    pub fn spawn_spread<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        task::spawn(&self.machine, self.machine.spread_cpu(), false, future)
    }

    /// Makes `future` a task of CPU `cpu` (modulo the number of CPUs) that never moves.
    pub fn spawn_on<F>(&self, cpu: usize, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        task::spawn(&self.machine, cpu % self.machine.count(), true, future)
    }
}

/// [`Handle::spawn`] on the current machine. zCore's `thread_spawn`.
///
/// # Panics
///
/// When the thread belongs to no machine, see [`Handle::current`].
#[track_caller]
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    current().spawn(future)
}

/// [`Handle::spawn_here`] on the current machine.
///
/// # Panics
///
/// When the thread belongs to no machine, see [`Handle::current`].
#[track_caller]
pub fn spawn_here<F>(future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    current().spawn_here(future)
}

/// [`Handle::spawn_urgent`] on the current machine.
///
/// # Panics
///
/// When the thread belongs to no machine, see [`Handle::current`].
#[track_caller]
pub fn spawn_urgent<F>(future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    current().spawn_urgent(future)
}

/// [`Handle::spawn_spread`] on the current machine.
///
/// # Panics
///
/// When the thread belongs to no machine, see [`Handle::current`].
#[track_caller]
pub fn spawn_spread<F>(future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    current().spawn_spread(future)
}

/// [`Handle::spawn_on`] on the current machine.
///
/// # Panics
///
/// When the thread belongs to no machine, see [`Handle::current`].
#[track_caller]
pub fn spawn_on<F>(cpu: usize, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    current().spawn_on(cpu, future)
}

#[track_caller]
fn current() -> Handle {
    Handle::current().expect("not on a virtual CPU and not in Cpus::block_on")
}

/// Wakes a thread that parked in [`block_on`].
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls `future` on the calling thread until it is done, parking the thread in between. Needs no
/// machine: timers and host descriptors work here too.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        // A wake before `park` leaves a token, so `park` then returns at once.
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// Lets the other ready tasks of this CPU run, and what the inbox and the timers have; then goes
/// on. Linux's `sched_yield` is this.
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "yields only when awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        worker::note_yield();
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
