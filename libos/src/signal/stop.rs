//! Stopping a process and letting it go on, for job control.
//!
//! The one idea: a stopped process is one whose object is suspended, and the tokens that keep it so are all there is to know: one of the
//! process, or, as soon as somebody [traces](crate::process) a thread of it, one of each thread that nobody traces, for the others stop by themselves
//! and their tracers may let them go on. A SIGCONT that comes while a thread has taken a stopping signal and not yet acted on it wins, as in Linux: the thread says how many
//! there had been when it took the signal.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use kernel_objects::{SuspendToken, WaitQueue};
use parking_lot::Mutex;

use super::number::Signal;

/// What there is to tell of a process that has not ended, wait(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// This signal has stopped it.
    Stopped(Signal),
    /// It was stopped and goes on.
    Continued,
}

/// Whether a process is stopped.
#[derive(Debug, Default)]
pub struct Stop {
    held: Mutex<Held>,
    /// How often it was let go on. Changed with the lock of `held`.
    continued: AtomicU64,
    /// Notified when it stops.
    stops: WaitQueue,
}

#[derive(Debug, Default)]
struct Held {
    /// What keeps its threads from running.
    tokens: Vec<Arc<SuspendToken>>,
    /// What has stopped it, as long as it is.
    signal: Option<Signal>,
    /// What happened last, until somebody was told.
    news: Option<News>,
}

impl Stop {
    /// How often the process was let go on: to be read before a stopping signal is taken.
    pub(super) fn continued(&self) -> u64 {
        self.continued.load(Ordering::SeqCst)
    }

    /// Holds what `tokens` suspend because of `signal`, unless the process was let go on since [`continued`](Self::continued) was `seen`.
    /// Whether it was not stopped and is now.
    pub(crate) fn stop(&self, tokens: Vec<Arc<SuspendToken>>, signal: Signal, seen: u64) -> bool {
        let mut held = self.held.lock();
        let stops = self.continued() == seen && held.signal.is_none();
        if stops {
            *held = Held { tokens, signal: Some(signal), news: Some(News::Stopped(signal)) };
            drop(held);
            self.stops.notify_all();
        }
        stops
    }

    /// If the process is stopped, holds what `tokens` suspend instead; says what has stopped it.
    pub(crate) fn hold_instead(
        &self,
        tokens: impl FnOnce() -> Vec<Arc<SuspendToken>>,
    ) -> Option<Signal> {
        self.signal()?;
        // Whoever is woken by it may want the lock.
        let mut tokens = tokens();
        let mut held = self.held.lock();
        let signal = held.signal?;
        std::mem::swap(&mut held.tokens, &mut tokens);
        drop(held);
        drop(tokens);
        Some(signal)
    }

    /// What has stopped the process, if it is.
    pub(crate) fn signal(&self) -> Option<Signal> {
        self.held.lock().signal
    }

    /// Whether the process is stopped, or about to be.
    pub fn is_stopped(&self) -> bool {
        self.held.lock().signal.is_some()
    }

    /// What happened last, if it is `wanted` and nobody was told; that is so again afterwards if it is to be kept.
    pub fn news(&self, wanted: impl FnOnce(&News) -> bool, keep: bool) -> Option<News> {
        let mut held = self.held.lock();
        let news = held.news.filter(wanted)?;
        if !keep {
            held.news = None;
        }
        Some(news)
    }

    /// Waits until a signal stops the process, and says which. Each stop is told once.
    pub async fn next(&self) -> Signal {
        let taken = || match self.news(|news| matches!(news, News::Stopped(_)), false) {
            Some(News::Stopped(signal)) => Some(signal),
            _ => None,
        };
        self.stops.wait_until(taken).await
    }

    /// Lets it go on. Whether it was stopped.
    pub(crate) fn resume(&self) -> bool {
        let mut held = self.held.lock();
        self.continued.fetch_add(1, Ordering::SeqCst);
        let tokens = std::mem::take(&mut held.tokens);
        let stopped = held.signal.take().is_some();
        if stopped {
            held.news = Some(News::Continued);
        }
        drop(held);
        drop(tokens);
        stopped
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        task::{Context, Waker},
    };

    use futures::FutureExt;
    use kernel_objects::{Job, KernelObject, Process, Signals, Thread};

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
        let tokens = || vec![SuspendToken::create_for_process(&process).unwrap()];
        assert!(stop.stop(tokens(), Signal::SIGTSTP, stop.continued()));
        assert_eq!(state(), Signals::THREAD_SUSPENDED);
        assert_eq!(stop.next().now_or_never(), Some(Signal::SIGTSTP));
        assert!(!stop.stop(tokens(), Signal::SIGTSTP, stop.continued()), "it is stopped");
        assert_eq!(stop.hold_instead(tokens), Some(Signal::SIGTSTP));
        assert_eq!(state(), Signals::THREAD_SUSPENDED);
        let seen = stop.continued();
        assert!(stop.resume());
        assert_eq!(state(), Signals::THREAD_RUNNING);
        assert!(!stop.stop(tokens(), Signal::SIGTSTP, seen));
        assert_eq!(stop.hold_instead(tokens), None);
        assert_eq!(state(), Signals::THREAD_RUNNING);
        assert_eq!(stop.next().now_or_never(), None);
        assert!(!stop.resume());
    }

    #[test]
    fn news_is_told_once_unless_it_is_kept() {
        let stop = Stop::default();
        stop.stop(Vec::new(), Signal::SIGSTOP, stop.continued());
        let stopped = Some(News::Stopped(Signal::SIGSTOP));
        assert_eq!(stop.news(|news| *news == News::Continued, false), None);
        assert_eq!(stop.news(|_| true, true), stopped);
        assert_eq!(stop.news(|_| true, false), stopped);
        assert_eq!(stop.news(|_| true, false), None);
        stop.resume();
        assert_eq!(stop.news(|_| true, false), Some(News::Continued));
    }
}
