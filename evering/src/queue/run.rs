//! Entries side by side, copied together.
//!
//! The one idea: what bounds a ring that is used in batches is how many loads and stores the processor can have under way while a line
//! comes from the other side. Copied entry by entry, as the language wants relaxed atomics to be, a batch takes a load and a store
//! for each; copied as bytes it takes one for every sixteen.

use super::{entry::Entry, memory::Ring, producers::One};

impl<T: Entry, K> Ring<T, K, One> {
    /// Splits a run from the entry number `index` on where the ring's memory ends: how many of `len` come before that. `len` is at most
    /// the capacity.
    #[cfg(not(loom))]
    fn before_the_end(&self, index: u32, len: usize) -> usize {
        len.min(self.capacity() - self.slot(index))
    }

    /// Writes the entries from number `index` on, at most a ring full, of which the caller has the right to write all.
    #[cfg(not(loom))]
    #[inline]
    pub(super) fn write_run(&self, index: u32, entries: &[T]) {
        assert!(entries.len() <= self.capacity());
        let (first, rest) = entries.split_at(self.before_the_end(index, entries.len()));
        for (index, part) in [(index, first), (index.wrapping_add(first.len() as u32), rest)] {
            let to = self.place(index).slot.bytes();
            // SAFETY: the slots from there on, as many as the part has entries, are all before the end of the ring's memory:
            // the first part was made so, and the second begins where the memory does. A slot is as large as a `T` and nothing
            // is between two. Others access them by such copies or by atomics, if a peer does not keep to its turn.
            unsafe { crate::copy::copy(part.as_ptr().cast(), to, size_of_val(part)) };
        }
    }

    /// Reads the entries from number `index` on, at most a ring full.
    #[cfg(not(loom))]
    #[inline]
    pub(super) fn read_run(&self, index: u32, entries: &mut [T]) {
        assert!(entries.len() <= self.capacity());
        let (first, rest) = entries.split_at_mut(self.before_the_end(index, entries.len()));
        let second = index.wrapping_add(first.len() as u32);
        for (index, part) in [(index, first), (second, rest)] {
            let from = self.place(index).slot.bytes();
            // SAFETY: as in `write_run`; any bytes are a `T`.
            unsafe { crate::copy::copy(from, part.as_mut_ptr().cast(), size_of_val(part)) };
        }
    }

    #[cfg(loom)]
    pub(super) fn write_run(&self, index: u32, entries: &[T]) {
        for (i, entry) in (0..).zip(entries) {
            self.place(index.wrapping_add(i)).slot.store(entry);
        }
    }

    #[cfg(loom)]
    pub(super) fn read_run(&self, index: u32, entries: &mut [T]) {
        for (i, entry) in (0..).zip(entries) {
            *entry = self.place(index.wrapping_add(i)).slot.load();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::queue::HeapRing;

    fn round_trip<T: Entry + PartialEq + core::fmt::Debug>(entries: [T; 7]) {
        let ring = HeapRing::<T>::new(8).unwrap();
        for index in (0..9).chain(u32::MAX - 9..=u32::MAX) {
            for len in 0..=7 {
                ring.write_run(index, &entries[..len]);
                let mut back = [T::new_zeroed(); 7];
                ring.read_run(index, &mut back[..len]);
                assert_eq!(back[..len], entries[..len], "{len} from {index} on");
                for (i, entry) in (0..).zip(&entries[..len]) {
                    assert_eq!(ring.place(index.wrapping_add(i)).slot.load(), *entry);
                }
            }
        }
    }

    #[test]
    fn runs_of_all_lengths_come_back_from_everywhere() {
        round_trip([1_u8, 2, 3, 4, 5, 6, 7]);
        round_trip([u64::MAX, 1, 2, 3, 4, 5, 6]);
        round_trip([[1_u32, 2, 3], [4; 3], [5; 3], [6; 3], [7; 3], [8; 3], [9; 3]]);
    }
}
