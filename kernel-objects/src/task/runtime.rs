//! How long a thread has run.
//!
//! The clock runs while the thread's body is being polled, so two looks at the cycle counter for each stretch of running
//! are enough (one, where stretches follow each other), and a system call that does not wait costs none. Others may read it at any time.

use std::sync::atomic::{AtomicU64, Ordering};

/// A clock that runs only now and then, in cycles.
#[derive(Debug, Default)]
pub(super) struct Runtime {
    /// What earlier stretches add up to.
    past: AtomicU64,
    /// The cycle counter when this stretch began; 0 when it is not running. Only the thread itself writes.
    since: AtomicU64,
}

impl Runtime {
    /// Lets it run.
    #[inline]
    pub(super) fn start(&self) {
        self.since.store(hal::cpu::begin_stretch().max(1), Ordering::Relaxed);
    }

    /// Stops it.
    #[inline]
    pub(super) fn stop(&self) {
        let since = self.since.load(Ordering::Relaxed);
        if since != 0 {
            let ran = hal::cpu::end_stretch().saturating_sub(since);
            // A reader between these sees too little for a moment, never too much. Nobody else writes, so no atomic addition is needed.
            self.since.store(0, Ordering::Release);
            self.past.store(self.past.load(Ordering::Relaxed).wrapping_add(ran), Ordering::Release);
        }
    }

    /// What it shows.
    pub(super) fn cycles(&self) -> u64 {
        let past = self.past.load(Ordering::Acquire);
        match self.since.load(Ordering::Acquire) {
            0 => self.past.load(Ordering::Acquire),
            since => past.saturating_add(hal::time::cycles().saturating_sub(since)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_still_unless_started() {
        let time = Runtime::default();
        let nanos = || hal::time::cycles_to_nanos(time.cycles());
        assert_eq!(nanos(), 0);
        time.start();
        let begin = hal::time::monotonic();
        while hal::time::monotonic() < begin + 1_000_000 {}
        assert!(nanos() >= 900_000);
        time.stop();
        let stopped = time.cycles();
        assert!(stopped > 0);
        time.stop();
        assert_eq!(time.cycles(), stopped);
    }
}
