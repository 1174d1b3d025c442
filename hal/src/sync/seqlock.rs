//! Reading what may be changing: the reader looks twice at a version and believes what it read in between only if that is the same.
//!
//! The one idea: readers write nothing, so any number of them cost each other nothing. Two pieces: a [`Generation`] guards what one writer at a time
//! (it has a lock for that) changes elsewhere, and a [`Record`] is a few words with a version of their own that anybody may try to write.

use super::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// A count of changes: even while all is at rest, odd while somebody changes something.
#[derive(Debug)]
pub struct Generation(AtomicU64);

impl Default for Generation {
    fn default() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Generation {
    /// The writer, before its first change: at rest → changing. Writers exclude each other.
    pub fn begin(&self) {
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(now.wrapping_add(1), Ordering::Relaxed);
        // The odd value must be visible before any change is.
        fence(Ordering::Release);
    }

    /// The writer, after its last change: changing → at rest.
    pub fn end(&self) {
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(now.wrapping_add(1), Ordering::Release);
    }

    /// The reader, before it reads.
    #[inline]
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// The reader, after it has read: whether nothing changed since [`now`](Self::now) said `then`, an even number.
    #[inline]
    pub fn is_still(&self, then: u64) -> bool {
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed) == then
    }
}

/// `N` words that belong together. A record that somebody is writing reads as nothing, so this is for caches.
#[derive(Debug)]
pub struct Record<const N: usize> {
    /// Odd while somebody writes the words. Made odd by whoever finds it even; made even by the same.
    version: AtomicU32,
    words: [AtomicU64; N],
}

impl<const N: usize> Default for Record<N> {
    fn default() -> Self {
        Self { version: AtomicU32::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl<const N: usize> Record<N> {
    /// The words as one [`put`](Self::put) left them.
    #[inline]
    pub fn get(&self) -> Option<[u64; N]> {
        let version = self.version.load(Ordering::Acquire);
        let words = std::array::from_fn(|i| self.words[i].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let whole = version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version;
        whole.then_some(words)
    }

    /// Replaces the words, unless somebody else is doing so: theirs are as good.
    pub fn put(&self, words: [u64; N]) {
        let version = self.version.load(Ordering::Relaxed);
        let odd = version.wrapping_add(1);
        if !version.is_multiple_of(2)
            || self
                .version
                .compare_exchange(version, odd, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        fence(Ordering::Release);
        for (word, value) in self.words.iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
        self.version.store(odd.wrapping_add(1), Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::{sync::Arc, thread};

    use super::*;
    use crate::sync::model;

    #[test]
    fn a_record_is_read_whole_or_not_at_all() {
        model(|| {
            let record = Arc::new(Record::<2>::default());
            let threads = [1, 2].map(|value| {
                let record = record.clone();
                thread::spawn(move || record.put([value, value]))
            });
            for _ in 0..2 {
                if let Some([a, b]) = record.get() {
                    assert_eq!(a, b);
                }
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            let last = record.get();
            assert!(matches!(last, Some([1, 1] | [2, 2])), "{last:?}");
        });
    }

    /// A page is unmapped and its frame given to somebody else, while a reader goes by what the table said before.
    #[test]
    fn a_frame_is_not_read_after_it_was_given_away() {
        const OURS: u64 = 1;
        const THEIRS: u64 = 2;
        model(|| {
            struct Memory {
                generation: Generation,
                frame: AtomicU64,
            }
            let memory =
                Arc::new(Memory { generation: Generation::default(), frame: AtomicU64::new(OURS) });
            let other = memory.clone();
            let unmaps = thread::spawn(move || {
                other.generation.begin();
                other.frame.store(THEIRS, Ordering::Relaxed);
                other.generation.end();
            });
            let then = memory.generation.now();
            let read = memory.frame.load(Ordering::Relaxed);
            // The table of generation 0 has the page; later ones have not.
            if then == 0 && memory.generation.is_still(then) {
                assert_eq!(read, OURS);
            }
            // And once the change is over, what it did is seen.
            if memory.generation.now() == 2 {
                assert_eq!(memory.frame.load(Ordering::Relaxed), THEIRS);
            }
            unmaps.join().unwrap();
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_odd_during_a_change_and_another_after_it() {
        let generation = Generation::default();
        let before = generation.now();
        assert!(generation.is_still(before));
        generation.begin();
        assert!(!generation.now().is_multiple_of(2) && !generation.is_still(before));
        generation.end();
        assert!(generation.now().is_multiple_of(2) && !generation.is_still(before));
    }

    #[test]
    fn a_record_gives_what_was_put_last() {
        let record = Record::<3>::default();
        assert_eq!(record.get(), Some([0; 3]));
        record.put([1, 2, 3]);
        record.put([4, 5, 6]);
        assert_eq!(record.get(), Some([4, 5, 6]));
    }
}
