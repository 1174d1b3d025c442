//! Stopping a process and letting it go on, for job control.
//!
//! The one idea: a stopped process is one whose object is suspended, and the token that keeps it so is all there is to know. A
//! SIGCONT that comes while a thread has taken a stopping signal and not yet acted on it wins, as in Linux: the thread says how many
//! there had been when it took the signal.

use std::sync::{
    Arc,
    atomic::{AtomicI32, AtomicU64, Ordering},
};

use kernel_objects::{Process, SuspendToken, WaitQueue};
use parking_lot::Mutex;

use super::number::Signal;

/// Whether a process is stopped.
#[derive(Debug, Default)]
pub struct Stop {
    /// What keeps its threads from running.
    token: Mutex<Option<Arc<SuspendToken>>>,
    /// How often it was let go on. Changed with the lock of `token`.
    continued: AtomicU64,
    /// Notified when it stops.
    stops: WaitQueue,
    /// The signal that stopped it last, until somebody was told; 0 is none.
    stopped_by: AtomicI32,
}

impl Stop {
    /// How often the process was let go on: to be read before a stopping signal is taken.
    pub(super) fn continued(&self) -> u64 {
        self.continued.load(Ordering::SeqCst)
    }

    /// Stops `process` because of `signal`, unless it was let go on since [`continued`](Self::continued) was `seen`.
    pub(super) fn stop(&self, process: &Arc<Process>, signal: Signal, seen: u64) {
        // It fails for a process that is ending, which is as good. Whoever is woken by it may want the lock.
        let token = SuspendToken::create_for_process(process).ok();
        let mut held = self.token.lock();
        if self.continued() == seen && held.is_none() {
            *held = token;
            self.stopped_by.store(signal.raw(), Ordering::SeqCst);
            drop(held);
            self.stops.notify_all();
        }
    }

    /// Waits until a signal stops the process, and says which. Each stop is told once.
    pub async fn next(&self) -> Signal {
        let taken = || Signal::from_raw(self.stopped_by.swap(0, Ordering::SeqCst));
        self.stops.wait_until(taken).await
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        let mut held = self.token.lock();
        self.continued.fetch_add(1, Ordering::SeqCst);
        let token = held.take();
        drop(held);
        drop(token);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        task::{Context, Waker},
    };

    use futures::FutureExt;
    use kernel_objects::{Job, KernelObject, Signals, Thread};

    use super::*;

    #[test]
    fn a_continuation_wins_over_a_stop_that_was_taken_before() {
        let process = Process::create(&Job::root(), "").unwrap();
        let thread = Thread::create(&process, "").unwrap();
        let mut run = process.start(&thread, pending()).unwrap();
        let mut state = || {
            let _ = run.poll_unpin(&mut Context::from_waker(Waker::noop()));
            thread.signals()
        };
        let stop = Stop::default();
        stop.stop(&process, Signal::SIGTSTP, stop.continued());
        assert_eq!(state(), Signals::THREAD_SUSPENDED);
        assert_eq!(stop.next().now_or_never(), Some(Signal::SIGTSTP));
        stop.stop(&process, Signal::SIGTSTP, stop.continued());
        let seen = stop.continued();
        stop.resume();
        assert_eq!(state(), Signals::THREAD_RUNNING);
        stop.stop(&process, Signal::SIGTSTP, seen);
        assert_eq!(state(), Signals::THREAD_RUNNING);
        assert_eq!(stop.next().now_or_never(), None);
    }
}
