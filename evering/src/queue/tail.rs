//! The line of the sender's index, with the last entry in it.
//!
//! The one idea: who waits for an entry looks at the index, and then has to fetch the entry from another line, which takes as long
//! again. So an entry that is published alone, and is small, is also written beside the index, where it arrives
//! with it. The receiver takes it from there if it finds that just one entry is new; the slot holds it too, for whoever
//! comes later. Where the receiver finds many entries at a time, and [says so](super::pace), that is left out.
//!
//! The sender may be writing the next entry there meanwhile. As in a seqlock, it says so first (`begun`), and the receiver looks
//! at that last. The words are atomics of their own; what a peer writes into them is data, like all entries.

use core::mem::size_of;

use super::Entry;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

/// How many words beside the index fit into its cache line.
const WORDS: usize = 7;

/// Makes of an index one that it is not until 2³¹ entries later.
const LONG_AGO: u32 = 1 << 31;

#[repr(C, align(128))]
pub(crate) struct TailLine {
    /// How many entries were ever sent, mod 2³².
    pub(crate) index: AtomicU32,
    /// What `index` is going to be when the words hold what comes last.
    begun: AtomicU32,
    words: [AtomicU64; WORDS],
}

impl TailLine {
    pub(crate) fn new() -> Self {
        TailLine {
            index: AtomicU32::new(0),
            begun: AtomicU32::new(0),
            words: core::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Whether entries of this type are written here. (Not those that a few instructions do not copy.)
    pub(crate) const fn takes<T>() -> bool {
        size_of::<T>() <= 8 * WORDS && size_of::<T>().is_multiple_of(8)
    }

    /// Publishes what comes before `index`, in the slots alone.
    #[inline]
    pub(crate) fn publish(&self, index: u32) {
        self.index.store(index, Ordering::Release);
    }

    /// Publishes the entry before `index`, which is the only new one.
    #[inline]
    pub(crate) fn publish_beside<T: Entry>(&self, index: u32, entry: T) {
        self.begun.store(index, Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, bytes) in self.words.iter().zip(entry.as_bytes().as_chunks().0) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        self.index.store(index, Ordering::Release);
    }

    /// The entry before `index`, which the caller has found here as the index, if it is here and whole.
    #[inline]
    pub(crate) fn take_beside<T: Entry>(&self, index: u32) -> Option<T> {
        let mut entry = T::new_zeroed();
        for (word, bytes) in self.words.iter().zip(entry.as_mut_bytes().as_chunks_mut().0) {
            *bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        fence(Ordering::Acquire);
        (self.begun.load(Ordering::Relaxed) == index).then_some(entry)
    }

    /// Forgets the entry that is here, unless it is the one before `index`, the sender's: to be called every 2³⁰ entries at least, or it
    /// would be taken for another one that has its number, 2³² later.
    #[inline]
    pub(crate) fn forget(&self, index: u32) {
        let begun = self.begun.load(Ordering::Relaxed);
        if begun != index && begun != index ^ LONG_AGO {
            self.begun.store(index ^ LONG_AGO, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_here_until_it_is_forgotten() {
        let line = TailLine::new();
        line.publish_beside(6, 7_u64);
        line.forget(6);
        assert_eq!((line.take_beside(5), line.take_beside(6)), (None::<u64>, Some(7_u64)));
        line.publish(8);
        assert_eq!((line.take_beside(8), line.take_beside(6)), (None::<u64>, Some(7_u64)));
        line.forget(8);
        assert_eq!((line.take_beside(8), line.take_beside(6)), (None::<u64>, None::<u64>));
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::{sync::Arc, thread};

    use super::*;
    use crate::models::model;

    /// An entry of two words comes whole, and is the one that the index says, or does not come.
    #[test]
    fn an_entry_is_taken_whole_or_not_at_all() {
        model(|| {
            let line = Arc::new(TailLine::new());
            let writes = line.clone();
            let write = thread::spawn(move || {
                for n in 1..=2_u64 {
                    writes.publish_beside(n as u32, [n, n]);
                }
            });
            for _ in 0..2 {
                let index = line.index.load(Ordering::Acquire);
                if index > 0
                    && let Some(entry) = line.take_beside::<[u64; 2]>(index)
                {
                    assert_eq!(entry, [u64::from(index); 2]);
                }
            }
            write.join().expect("it does not panic");
        });
    }

    /// One that is published in its slot alone is not taken for the one before, which is forgotten meanwhile.
    #[test]
    fn what_is_here_is_not_taken_for_what_is_not() {
        model(|| {
            let line = Arc::new(TailLine::new());
            let writes = line.clone();
            let write = thread::spawn(move || {
                writes.publish_beside(1, 1_u64);
                writes.publish(2);
                writes.forget(2);
                writes.publish_beside(3, 3_u64);
            });
            for _ in 0..2 {
                let index = line.index.load(Ordering::Acquire);
                let entry = line.take_beside::<u64>(index).filter(|_| index > 0);
                assert!(entry.is_none_or(|entry| entry == u64::from(index) && index != 2));
            }
            write.join().expect("it does not panic");
        });
    }
}
