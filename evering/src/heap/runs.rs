//! Free memory that is in no class: runs of granules, which grow together when their neighbours become free.
//!
//! The one idea: this is the slow path, used when a class's stack is empty, so two ordered maps will do: by address to
//! find the neighbours, by length to find the run that fits best.

use alloc::collections::{BTreeMap, BTreeSet};

/// The free runs of an arena.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// Start and length of each.
    by_start: BTreeMap<u32, u32>,
    /// Length and start.
    by_length: BTreeSet<(u32, u32)>,
}

impl Runs {
    fn insert(&mut self, start: u32, length: u32) {
        self.by_start.insert(start, length);
        self.by_length.insert((length, start));
    }

    fn remove(&mut self, start: u32, length: u32) {
        self.by_start.remove(&start);
        self.by_length.remove(&(length, start));
    }

    /// Adds a run that was in none.
    pub(crate) fn free(&mut self, mut start: u32, mut length: u32) {
        if let Some((&before, &its)) = self.by_start.range(..start).next_back()
            && before + its == start
        {
            self.remove(before, its);
            start = before;
            length += its;
        }
        if let Some(&its) = self.by_start.get(&(start + length)) {
            self.remove(start + length, its);
            length += its;
        }
        self.insert(start, length);
    }

    /// Takes `length` granules from the beginning of the shortest run that has them, the first of several; returns
    /// where they are.
    pub(crate) fn take(&mut self, length: u32) -> Option<u32> {
        let &(its, start) = self.by_length.range((length, 0)..).next()?;
        self.remove(start, its);
        if its > length {
            self.insert(start + length, its - length);
        }
        Some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_grow_together_in_any_order() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut runs = Runs::default();
            order.into_iter().for_each(|i| runs.free(100 + i * 10, 10));
            assert_eq!((runs.by_start.len(), runs.by_length.len()), (1, 1));
            assert_eq!((runs.take(30), runs.take(1)), (Some(100), None));
        }
    }

    #[test]
    fn the_run_that_fits_best_is_taken() {
        let mut runs = Runs::default();
        for (start, length) in [(0, 50), (100, 10), (200, 20), (300, 10)] {
            runs.free(start, length);
        }
        assert_eq!(
            (runs.take(10), runs.take(10), runs.take(15)),
            (Some(100), Some(300), Some(200))
        );
        assert_eq!((runs.take(51), runs.take(50), runs.take(5)), (None, Some(0), Some(215)));
        assert_eq!(runs.take(1), None);
    }
}
