//! Regions that number blobs: each blob that is stored has the next number.
//!
//! At the beginning is one word, the next number in its low half and in its high half where the last blob begins. Behind it, growing
//! up, are words that say of each blob its size (low) and its offset; from the end, growing down, are the blobs. Programs do
//! the same in memory that they map, so every word is changed as a whole, and nothing that is found in one is believed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use hal::pmem::PhysAddr;

use crate::{
    error::{Error, Result},
    vmo::{Pin, Vmo},
};

const WORD: u64 = 8;

/// A region that the kernel gives numbers in.
pub(super) struct Ids {
    vmo: Arc<Vmo>,
    /// Keeps its pages where they are.
    _pin: Pin,
    /// Where its pages are, by their offsets.
    runs: Vec<(u64, PhysAddr)>,
}

fn word(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

impl Ids {
    /// Makes `vmo` a region with no blob.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if it is too large to be described by 32 bits; [`Error::NoMemory`].
    pub(super) fn new(vmo: &Arc<Vmo>) -> Result<Self> {
        let size = u32::try_from(vmo.size()).map_err(|_| Error::InvalidArgs)?;
        let pin = vmo.pin(0, vmo.size())?;
        let mut at = 0;
        let mut place = |(pa, len)| {
            at += len;
            (at - len, pa)
        };
        let runs = pin.runs().into_iter().map(&mut place).collect();
        let ids = Self { vmo: vmo.clone(), _pin: pin, runs };
        ids.word(0)?.store(word(0, size), Ordering::Release);
        Ok(ids)
    }

    /// The word at `offset`, a multiple of its size.
    fn word(&self, offset: u64) -> Result<&AtomicU64> {
        let run = self.runs.iter().rfind(|(start, _)| *start <= offset).ok_or(Error::Internal)?;
        Ok(self.vmo.memory().atomic_u64(run.1.offset(offset - run.0)))
    }

    /// Stores a blob; its number.
    pub(super) fn allocate(&self, blob: &[u8]) -> Result<u32> {
        let header = self.word(0)?;
        let mut found = header.load(Ordering::Relaxed);
        let (id, offset) = loop {
            let (id, blobs) = (found as u32, (found >> 32) as u32);
            let indices = WORD + u64::from(id) * WORD;
            let room = u64::from(blobs).checked_sub(indices);
            let room = room.filter(|_| u64::from(blobs) <= self.vmo.size());
            let room = room.ok_or(Error::IoDataIntegrity)?;
            if room < WORD || room - WORD < blob.len() as u64 {
                return Err(Error::NoMemory);
            }
            // It is smaller than the room, so it has so few bytes and the number is not the last.
            let offset = blobs - blob.len() as u32;
            let order = Ordering::Relaxed;
            match header.compare_exchange_weak(found, word(id + 1, offset), order, order) {
                Ok(_) => break (id, offset),
                Err(now) => found = now,
            }
        };
        self.vmo.write(offset.into(), blob)?;
        // Who finds the index finds the blob.
        let index = self.word(WORD + u64::from(id) * WORD)?;
        let (new, order) = (word(blob.len() as u32, offset), Ordering::Relaxed);
        match index.compare_exchange(0, new, Ordering::Release, order) {
            Ok(_) => Ok(id),
            Err(_) => Err(Error::IoDataIntegrity),
        }
    }
}

#[cfg(test)]
mod tests {
    use hal::pmem::PhysicalMemory;

    use super::*;
    use crate::vmo::{PAGE, VmoOptions};

    fn ids(size: u64) -> Ids {
        let memory = PhysicalMemory::new(None).unwrap();
        Ids::new(&Vmo::create(&memory, size, VmoOptions::default()).unwrap()).unwrap()
    }

    fn get(ids: &Ids, offset: u64) -> u64 {
        ids.word(offset).unwrap().load(Ordering::Relaxed)
    }

    #[test]
    fn blobs_are_numbered_and_found_by_their_numbers() {
        let ids = ids(PAGE);
        assert_eq!(get(&ids, 0), word(0, 4096));
        assert_eq!(ids.allocate(b"first"), Ok(0));
        assert_eq!(ids.allocate(b""), Ok(1));
        assert_eq!(ids.allocate(b"third!"), Ok(2));
        assert_eq!(get(&ids, 0), word(3, 4096 - 11));
        assert_eq!(get(&ids, 8), word(5, 4096 - 5));
        assert_eq!(get(&ids, 16), word(0, 4096 - 5));
        assert_eq!(get(&ids, 24), word(6, 4096 - 11));
        let mut blobs = [0; 11];
        ids.vmo.read(4096 - 11, &mut blobs).unwrap();
        assert_eq!(&blobs, b"third!first");
    }

    #[test]
    fn there_is_room_until_words_and_blobs_meet() {
        let ids = ids(PAGE);
        // 8 for the header; an index and a blob are 8 + 500.
        for id in 0..8 {
            assert_eq!(ids.allocate(&[7; 500]), Ok(id));
        }
        assert_eq!(4096 - 8 - 8 * 508, 24);
        assert_eq!(ids.allocate(&[7; 17]), Err(Error::NoMemory));
        assert_eq!(ids.allocate(&[7; 16]), Ok(8));
        assert_eq!(ids.allocate(b""), Err(Error::NoMemory));
    }

    #[test]
    fn words_that_cannot_be_are_refused() {
        let ids = ids(2 * PAGE);
        let set = |offset, value| ids.word(offset).unwrap().store(value, Ordering::Relaxed);
        for (next, blobs) in [(u32::MAX, 8192), (0, 8193), (0, 7), (1, 15)] {
            set(0, word(next, blobs));
            assert_eq!(ids.allocate(b"1"), Err(Error::IoDataIntegrity), "{next} {blobs}");
        }
        set(0, word(600, 8192));
        set(8 + 600 * 8, 1);
        assert_eq!(ids.allocate(b"1"), Err(Error::IoDataIntegrity), "an index that is taken");
        assert_eq!(ids.allocate(b"1"), Ok(601), "in the second page");
    }

    #[test]
    fn threads_get_numbers_of_their_own() {
        let ids = ids(16 * PAGE);
        let mut all: Vec<u32> = std::thread::scope(|scope| {
            let work = || (0..500).map(|_| ids.allocate(b"12345678").unwrap()).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        all.sort_unstable();
        assert!(all.into_iter().eq(0..2000));
    }

    #[test]
    fn a_region_is_described_by_32_bits_and_stays_where_it_is() {
        let memory = PhysicalMemory::new(None).unwrap();
        let large = Vmo::create(&memory, 1 << 32, VmoOptions::default()).unwrap();
        assert_eq!(Ids::new(&large).map(drop), Err(Error::InvalidArgs));
        assert!(ids(PAGE).vmo.is_pinned(0..PAGE));
    }
}
