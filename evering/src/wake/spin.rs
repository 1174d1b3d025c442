//! How long to look for news before going to sleep.
//!
//! The one idea: spinning pays only if the news come sooner than a sleeper could be woken, and the
//! recent past is the best guess. News within the budget raise it to the bound; none halve it, down to
//! a few looks. Now and then the whole bound is tried all the same: two sides that fell asleep once, and would
//! each find news soon if both were awake, would never learn of it. With one CPU to run on there is nobody who could bring news meanwhile: no spin at all.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Looks that are made between two looks at the clock, the last of them after a pause.
const LOOKS_A_ROUND: u32 = 64;

/// What it costs to wake a sleeper on another CPU, about: to spin longer than that is never worth it.
const WAKE_UP: Duration = Duration::from_micros(50);

/// The least budget that is tried.
const LEAST: Duration = Duration::from_micros(1);

/// Every so many waits that find nothing at once the bound is tried, so that better times are noticed.
const TRIAL: u32 = 16;

/// A spin controller, one for each place that waits.
#[derive(Debug, Clone)]
pub struct Spin {
    budget: Duration,
    most: Duration,
    /// How many waits there were with less than the bound.
    waits: u32,
}

impl Default for Spin {
    fn default() -> Self {
        Self::adaptive()
    }
}

impl Spin {
    /// Spins as long as it has paid recently, at most as long as a wake-up takes; not at all when this
    /// thread may run on one CPU only.
    pub fn adaptive() -> Self {
        match thread::available_parallelism() {
            Ok(cpus) if cpus.get() > 1 => Self::up_to(WAKE_UP),
            _ => Self::never(),
        }
    }

    /// Spins as long as it has paid recently, at most `most`.
    pub fn up_to(most: Duration) -> Self {
        Spin { budget: most, most, waits: 0 }
    }

    /// Goes to sleep at once.
    pub fn never() -> Self {
        Self::up_to(Duration::ZERO)
    }

    /// Never goes to sleep: for measurements on CPUs of their own.
    pub fn always() -> Self {
        Self::up_to(Duration::MAX)
    }

    /// Calls `look` until it finds something or the budget is used up. It is called once at least.
    #[inline]
    pub fn until<T>(&mut self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        look().or_else(|| self.spin(look))
    }

    fn spin<T>(&mut self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        if self.most.is_zero() {
            return None;
        }
        let mut budget = self.budget;
        if budget < self.most {
            self.waits = self.waits.wrapping_add(1);
            if self.waits.is_multiple_of(TRIAL) {
                budget = self.most;
            }
        }
        // News often come within the first round, which needs no clock.
        let mut start = None;
        loop {
            for _ in 1..LOOKS_A_ROUND {
                if let Some(news) = look() {
                    self.budget = self.most;
                    return Some(news);
                }
            }
            // Leaves the core to its other hyperthread for a moment.
            std::hint::spin_loop();
            let now = Instant::now();
            if now.duration_since(*start.get_or_insert(now)) >= budget {
                self.budget = (self.budget / 2).max(LEAST).min(self.most);
                return None;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_tried_now_and_then() {
        let most = Duration::from_millis(2);
        let mut spin = Spin::up_to(most);
        while spin.budget > LEAST {
            assert_eq!(spin.until(|| None::<()>), None);
        }
        let longest = (0..TRIAL).map(|_| {
            let start = Instant::now();
            assert_eq!(spin.until(|| None::<()>), None);
            start.elapsed()
        });
        assert!(longest.max().is_some_and(|longest| longest >= most));
        assert_eq!(spin.budget, LEAST, "it was in vain");
    }

    #[test]
    fn it_looks_once_even_with_no_budget() {
        assert_eq!(Spin::never().until(|| Some(1)), Some(1));
        let mut looks = 0;
        let nothing: Option<()> = Spin::never().until(|| {
            looks += 1;
            None
        });
        assert_eq!((nothing, looks), (None, 1));
    }

    #[test]
    fn the_budget_shrinks_in_vain_and_recovers_with_news() {
        let mut spin = Spin::up_to(Duration::from_micros(100));
        for _ in 0..20 {
            assert_eq!(spin.until(|| None::<()>), None);
        }
        assert_eq!(spin.budget, LEAST);
        let mut looks = 0;
        spin.until(|| {
            looks += 1;
            (looks == 3).then_some(())
        });
        assert_eq!(spin.budget, spin.most);
    }
}
