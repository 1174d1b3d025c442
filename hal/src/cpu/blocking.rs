//! Host calls that block, off the CPUs.
//!
//! A cold file read or a name lookup would stop a whole virtual CPU. [`spawn_blocking`] runs it on
//! one of a few pool threads instead and gives a future of the result. Threads are made when all are
//! busy, up to a bound, and go when idle for a while; they are one pool for the whole process.

use std::{
    any::Any,
    collections::VecDeque,
    fmt,
    future::Future,
    io,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use futures::channel::oneshot;
use parking_lot::{Condvar, Mutex};

/// The most threads of the pool.
const MAX_THREADS: usize = 16;
/// How long an idle one stays.
const IDLE: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Pool {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { jobs: VecDeque::new(), threads: 0, idle: 0 });
static WORK: Condvar = Condvar::new();

/// Runs `job` on a thread where blocking is fine; the future gives its result, or resumes its panic.
/// Dropped, the result is discarded, but a job that has been handed over still runs.
pub fn spawn_blocking<T, F>(job: F) -> Blocking<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let run = move || {
        // A receiver that is gone wants no result.
        let _ = sender.send(panic::catch_unwind(AssertUnwindSafe(job)));
    };
    if is_in_place() {
        run();
    } else {
        run_detached(run);
    }
    Blocking(receiver)
}

/// Whether the caller is a CPU that runs by a [seed](crate::seed): when another thread is done is up to chance.
fn is_in_place() -> bool {
    crate::seed::is_planted() && super::current_cpu().is_some()
}

/// The future of [`spawn_blocking`].
pub struct Blocking<T>(oneshot::Receiver<Result<T, Box<dyn Any + Send>>>);

impl<T> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blocking")
    }
}

impl<T> Future for Blocking<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(cx).map(|result| match result {
            Ok(Ok(value)) => value,
            Ok(Err(panic)) => panic::resume_unwind(panic),
            // Jobs are never dropped unrun, and a run sends.
            Err(oneshot::Canceled) => unreachable!("a pool job vanished"),
        })
    }
}

/// Runs `job` on the pool; nobody waits for it. On the calling thread if the host gives no thread at all.
pub(crate) fn run_detached(job: impl FnOnce() + Send + 'static) {
    if is_in_place() {
        // Not now: the caller may hold locks.
        return super::spawn(async { job() }).detach();
    }
    crate::time::begin_work();
    let mut pool = POOL.lock();
    pool.jobs.push_back(Box::new(job));
    if pool.idle >= pool.jobs.len() {
        WORK.notify_one();
        return;
    }
    if pool.threads == MAX_THREADS {
        return;
    }
    let name = format!("blocking{}", pool.threads);
    pool.threads += 1;
    drop(pool);
    // libc clears the new thread's memory with registers that may be a guest's.
    crate::context::release_registers();
    if let Err(error) = thread::Builder::new().name(name).spawn(serve) {
        log::warn!("no thread for blocking work: {error}");
        let mut pool = POOL.lock();
        pool.threads -= 1;
        if pool.threads > 0 {
            return;
        }
        while let Some(job) = pool.jobs.pop_front() {
            drop(pool);
            run(job);
            pool = POOL.lock();
        }
    }
}

fn run(job: Job) {
    if panic::catch_unwind(AssertUnwindSafe(job)).is_err() {
        log::error!("a detached blocking job panicked");
    }
    crate::time::end_work();
}

/// Runs `job`, which lasts as long as the machine does, on a thread of its own; nobody waits for it. It is no work in the sense of
/// [virtual time](crate::time::make_virtual).
///
/// # Errors
///
/// The host's, when it gives no thread.
pub fn run_beside(name: &str, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // libc clears the new thread's memory with registers that may be a guest's.
    crate::context::release_registers();
    thread::Builder::new().name(name.to_owned()).spawn(job).map(drop)
}

fn serve() {
    let mut pool = POOL.lock();
    loop {
        while let Some(job) = pool.jobs.pop_front() {
            drop(pool);
            run(job);
            pool = POOL.lock();
        }
        pool.idle += 1;
        let timed_out = WORK.wait_for(&mut pool, IDLE).timed_out();
        pool.idle -= 1;
        if timed_out && pool.jobs.is_empty() {
            pool.threads -= 1;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        sync::{Arc, Barrier},
    };

    use futures::future::join_all;

    use super::*;
    use crate::cpu::block_on;

    #[test]
    fn result_comes_from_another_thread() {
        let here = thread::current().id();
        assert_ne!(block_on(spawn_blocking(|| thread::current().id())), here);
    }

    #[test]
    fn pool_grows_when_all_threads_are_busy_and_stays_bounded() {
        let barrier = Arc::new(Barrier::new(4));
        let meet = (0..4).map(|_| {
            let barrier = barrier.clone();
            spawn_blocking(move || {
                barrier.wait();
            })
        });
        block_on(join_all(meet.collect::<Vec<_>>()));
        let threads = (0..1000).map(|_| spawn_blocking(|| thread::current().id()));
        let threads: HashSet<_> =
            block_on(join_all(threads.collect::<Vec<_>>())).into_iter().collect();
        assert!(threads.len() <= MAX_THREADS);
    }

    #[test]
    fn panic_reaches_the_awaiter() {
        let job = spawn_blocking(|| panic!("from the pool"));
        assert!(panic::catch_unwind(AssertUnwindSafe(|| block_on(job))).is_err());
        assert_eq!(block_on(spawn_blocking(|| 1)), 1);
    }
}
