//! How fast the processors are said to be.
//!
//! The one idea: whoever governs power tells the scheduler how fast each processor is in comparison with the fastest. Here the host
//! governs, and tells nobody; so what programs say is kept, told to who asks, and has no effect.

use kernel_objects::{Error, Result};
use parking_lot::Mutex;

/// Speeds in units of 2^-32 of the fastest, one for each processor.
pub(crate) struct Performance(Mutex<Vec<u64>>);

/// What each has from the start.
pub(crate) const FULL: u64 = 1 << 32;

impl Performance {
    pub(crate) fn new(cpus: usize) -> Self {
        Self(Mutex::new(vec![FULL; cpus]))
    }

    /// That of each.
    pub(crate) fn get(&self) -> Vec<u64> {
        self.0.lock().clone()
    }

    /// Sets those of some processors, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if none is named, or one that is not there, or one is to stand still; [`Error::InvalidArgs`] if they
    /// are not in order. Nothing changes then.
    pub(crate) fn set(&self, speeds: &[(u32, u64)]) -> Result {
        if speeds.is_empty() {
            return Err(Error::OutOfRange);
        }
        if !speeds.is_sorted_by(|(one, _), (next, _)| one < next) {
            return Err(Error::InvalidArgs);
        }
        let mut now = self.0.lock();
        let mut new = now.clone();
        for &(cpu, speed) in speeds {
            let place = new.get_mut(cpu as usize).filter(|_| speed != 0);
            *place.ok_or(Error::OutOfRange)? = speed;
        }
        *now = new;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_set_for_those_that_are_named_or_for_none() {
        let performance = Performance::new(3);
        assert_eq!(performance.set(&[(0, 5), (2, 6)]), Ok(()));
        assert_eq!(performance.get(), [5, FULL, 6]);
        for (speeds, error) in [
            (&[][..], Error::OutOfRange),
            (&[(1, 1), (0, 1)], Error::InvalidArgs),
            (&[(1, 1), (1, 1)], Error::InvalidArgs),
            (&[(0, 1), (3, 1)], Error::OutOfRange),
            (&[(0, 1), (1, 0)], Error::OutOfRange),
        ] {
            assert_eq!(performance.set(speeds), Err(error));
        }
        assert_eq!(performance.get(), [5, FULL, 6]);
    }
}
