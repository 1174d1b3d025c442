//! How long to look for news before going to sleep.
//!
//! The one idea: spinning pays only if the news come sooner than a sleeper could be woken, and the
//! recent past is the best guess. News within the budget raise it to the bound; none halve it, down to
//! a few looks. Now and then the whole bound is tried all the same: two sides that fell asleep once, and would
//! each find news soon if both were awake, would never learn of it. A trial that is in vain puts the next one off for twice as many waits.
//!
//! ```text
//!                                   news within the budget
//!              ┌─────────────────────────────────────────────────────────────┐
//!              ▼                                                             │
//!        ┌───────────┐ none  ┌───────────┐ none       ┌───────────┐   every 16th, 32nd … 1024th wait:
//!        │  bound    │ ────► │ bound / 2 │ ──► … ───► │ 1 µs      │ ───► bound once, to see
//!        └───────────┘       └───────────┘            └───────────┘
//! ```
//!
//! Where nobody could bring news meanwhile there is no spin at all: on a host with one CPU, and between two sides that
//! [have the same only CPU](Spin::between), which a [`Link`](crate::peer::Link) finds out.

use std::time::{Duration, Instant};

use super::Cpus;

/// Looks that are made between two looks at the clock, the last of them after a pause.
const LOOKS_A_ROUND: u32 = 64;

/// What it costs to wake a sleeper on another CPU, about: to spin longer than that is never worth it.
const WAKE_UP: Duration = Duration::from_micros(50);

/// The least budget that is tried.
const LEAST: Duration = Duration::from_micros(1);

/// After so many waits that find nothing at once the bound is tried, so that better times are noticed; after at most so many
/// where that was in vain.
const SOON: u32 = 16;
const LATE: u32 = 1024;

/// A spin controller, one for each place that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spin {
    budget: Duration,
    most: Duration,
    /// How many waits with less than the bound there are to be before the next trial.
    rest: u32,
    /// How many there are to be after it.
    patience: u32,
}

impl Default for Spin {
    fn default() -> Self {
        Self::adaptive()
    }
}

impl Spin {
    /// Spins as long as it has paid recently, at most as long as a wake-up takes; not at all on a host with
    /// one CPU. On which CPUs the calling thread may run does not matter: the other side's may be others.
    pub fn adaptive() -> Self {
        // SAFETY: it asks for a number.
        let cpus = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
        if cpus == 1 { Self::never() } else { Self::up_to(WAKE_UP) }
    }

    /// [`adaptive`](Self::adaptive), but for two sides that may run on these: not at all if they have one CPU for both.
    pub fn between(own: Cpus, peers: Cpus) -> Self {
        if own.are_one(peers) { Self::never() } else { Self::adaptive() }
    }

    /// Spins as long as it has paid recently, at most `most`.
    pub fn up_to(most: Duration) -> Self {
        Spin { budget: most, most, rest: SOON, patience: SOON }
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
            self.rest = self.rest.saturating_sub(1);
            if self.rest == 0 {
                budget = self.most;
                self.patience = (2 * self.patience).min(LATE);
                self.rest = self.patience;
            }
        }
        // News often come within the first round, which needs no clock.
        let mut start = None;
        loop {
            for _ in 1..LOOKS_A_ROUND {
                if let Some(news) = look() {
                    (self.budget, self.rest, self.patience) = (self.most, SOON, SOON);
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
        let longest = (0..SOON).map(|_| {
            let start = Instant::now();
            assert_eq!(spin.until(|| None::<()>), None);
            start.elapsed()
        });
        assert!(longest.max().is_some_and(|longest| longest >= most));
        assert_eq!(spin.budget, LEAST, "it was in vain");
        assert!(spin.rest > SOON, "so it is not tried again as soon");
    }

    #[test]
    fn trials_in_vain_become_rare_and_news_bring_them_back() {
        let mut spin = Spin::up_to(Duration::from_micros(2));
        let mut trials = 0;
        for _ in 0..10 * LATE {
            let before = spin.patience;
            assert_eq!(spin.until(|| None::<()>), None);
            trials += u32::from(spin.patience != before || spin.rest == spin.patience);
        }
        assert!((10..20).contains(&trials), "{trials}");
        assert_eq!(spin.patience, LATE);
        let mut looks = 0..3;
        assert_eq!(spin.until(|| looks.next().filter(|&look| look == 2)), Some(2));
        assert_eq!(spin, Spin::up_to(Duration::from_micros(2)), "as if it were new");
    }

    #[test]
    fn who_shares_the_only_cpu_does_not_spin() {
        let [zero, one] = [1, 2].map(Cpus::from_bits);
        assert_eq!(Spin::between(zero, zero), Spin::never());
        assert_eq!(Spin::between(zero, one), Spin::adaptive());
        assert_eq!(Spin::between(zero, Cpus::UNKNOWN), Spin::adaptive());
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
