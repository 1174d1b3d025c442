//! A seed, by which a run repeats: [`plant`].
//!
//! The one idea: whatever comes from outside of the kernel by chance is replaced by what follows from one number. Random bytes come from a
//! generator; clocks begin at a fixed moment and advance by steps, one for each trip of a guest into the kernel and each turn of a task, and
//! to the next deadline when nothing has anything to do; of the tasks that are ready the generator chooses the next, and after each trip
//! whether the guest goes on or gives way, so that races are found; host calls that may block are made in place. All this needs a
//! machine with one CPU.
//!
//! What is left is the host: what its files hold, and when input comes; and a guest that computes for a second without a call while others
//! wait is taken off its CPU at that point, wherever it is.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

use crate::time::{self, TooLate};

/// Whether there is one.
static PLANTED: AtomicBool = AtomicBool::new(false);
/// The seed, and the generator of random bytes.
static SOURCE: Mutex<Option<(u64, ChaCha8Rng)>> = Mutex::new(None);

/// What a generator is for: each use has its own, so that one more number drawn for one changes nothing for the others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use {
    /// [`crate::random`].
    Bytes = 1,
    /// Who runs next.
    Schedule = 2,
    /// Which faults come.
    Faults = 3,
}

/// Has what this process starts from now on repeat what it did with the same seed: its machines, which have one CPU each and run one after the
/// other. The clocks begin anew. To be called before the first CPUs are started, and for further machines again.
///
/// # Errors
///
/// [`TooLate`].
pub fn plant(seed: u64) -> Result<(), TooLate> {
    time::make_stepping()?;
    *SOURCE.lock() = Some((seed, generator(seed, Use::Bytes)));
    PLANTED.store(true, Ordering::SeqCst);
    Ok(())
}

/// Whether a seed has been planted.
#[inline]
pub fn is_planted() -> bool {
    PLANTED.load(Ordering::Relaxed)
}

/// The seed, if one has been planted.
pub fn planted() -> Option<u64> {
    SOURCE.lock().as_ref().map(|(seed, _)| *seed)
}

/// Numbers that follow from a seed.
pub(crate) fn generator(seed: u64, of: Use) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(of as u64);
    generator
}

/// Fills `bytes` from the seed, if there is one.
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    if !is_planted() {
        return false;
    }
    match &mut *SOURCE.lock() {
        Some((_, generator)) => generator.fill_bytes(bytes),
        None => return false,
    }
    true
}

/// Chances that follow from a seed.
#[derive(Debug)]
pub(crate) struct Chances(ChaCha8Rng);

impl Chances {
    /// Those of the planted seed.
    pub(crate) fn planted() -> Option<Self> {
        planted().map(|seed| Self(generator(seed, Use::Schedule)))
    }

    /// Those of faults.
    pub(crate) fn of_faults(seed: u64) -> Self {
        Self(generator(seed, Use::Faults))
    }

    /// Yes with a chance from 0 to 1.
    pub(crate) fn happens(&mut self, chance: f64) -> bool {
        // 53 bits, all that such a number has: below 1, so a chance of 1 always comes and one of 0 never.
        ((self.0.next_u64() >> 11) as f64) < chance * (1_u64 << 53) as f64
    }

    /// A number below `count`, each as likely as the others; 0 for 0 and 1, for which nothing is drawn.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        if count < 2 {
            return 0;
        }
        // The bias of 2^-64 * count is nothing to us.
        ((u128::from(self.0.next_u64()) * count as u128) >> 64) as usize
    }

    /// Yes once in `times` times.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_another_gives_others() {
        let numbers = |seed, of| {
            let mut chances = Chances(generator(seed, of));
            [(); 20].map(|()| chances.below(1000))
        };
        assert_eq!(numbers(1, Use::Schedule), numbers(1, Use::Schedule));
        assert_ne!(numbers(1, Use::Schedule), numbers(2, Use::Schedule));
        assert_ne!(numbers(1, Use::Schedule), numbers(1, Use::Bytes));
    }

    #[test]
    fn chances_are_within_bounds_and_reach_all_of_them() {
        let mut chances = Chances(generator(7, Use::Schedule));
        let drawn: std::collections::BTreeSet<_> = (0..1000).map(|_| chances.below(5)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!((chances.below(0), chances.below(1)), (0, 0));
    }
}
