//! Latencies of single operations, and their percentiles.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

/// Collects the latencies of a client's operations, if they are wanted.
///
/// The client's tasks share it and run on one thread. Not wanted, it costs a branch: two looks at the
/// clock would be a large part of the fastest operations.
#[derive(Debug)]
pub struct Latencies(Option<RefCell<Vec<u64>>>);

impl Latencies {
    /// Nothing is wanted.
    pub fn ignored() -> Self {
        Latencies(None)
    }

    /// Room for `count` operations, touched, so that no page fault is timed.
    pub fn wanted(count: usize) -> Self {
        let mut figures = vec![1; count];
        figures.clear();
        Latencies(Some(RefCell::new(figures)))
    }

    /// The beginning of an operation.
    #[inline]
    pub fn start(&self) -> Option<Instant> {
        self.0.as_ref().map(|_| Instant::now())
    }

    /// The end of the operation that began at `start`.
    #[inline]
    pub fn stop(&self, start: Option<Instant>) {
        if let (Some(figures), Some(start)) = (&self.0, start) {
            figures.borrow_mut().push(start.elapsed().as_nanos() as u64);
        }
    }

    /// The latency that `fraction` of the operations did not exceed; zero if there are none.
    pub fn percentile(&self, fraction: f64) -> Duration {
        let Some(figures) = &self.0 else { return Duration::ZERO };
        let mut figures = figures.borrow_mut();
        if figures.is_empty() {
            return Duration::ZERO;
        }
        let index = ((figures.len() as f64 * fraction) as usize).min(figures.len() - 1);
        Duration::from_nanos(*figures.select_nth_unstable(index).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_recorded() {
        let latencies = Latencies(Some(RefCell::new((0..100).rev().collect())));
        assert_eq!(latencies.percentile(0.5), Duration::from_nanos(50));
        assert_eq!(latencies.percentile(0.99), Duration::from_nanos(99));
        assert_eq!(latencies.percentile(1.0), Duration::from_nanos(99));
        assert_eq!(Latencies::ignored().percentile(0.5), Duration::ZERO);
    }
}
