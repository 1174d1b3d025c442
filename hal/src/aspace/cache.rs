//! A few recently used runs, readable without a lock: the kernel's TLB.
//!
//! Each entry is a sequence lock of its own and names the generation of the table that it was read
//! from. An entry of another generation does not count, so a change of the table needs no
//! shoot-down.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::{Prot, table::Run};
use crate::pmem::PhysAddr;

const ENTRIES: usize = 8;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Entry {
    /// Odd while a thread fills the entry.
    version: AtomicU32,
    prot: AtomicU32,
    generation: AtomicU64,
    start: AtomicU64,
    end: AtomicU64,
    pa: AtomicU64,
}

/// Recently used runs.
#[derive(Debug, Default)]
pub(super) struct RunCache {
    entries: [Entry; ENTRIES],
}

/// What a lookup found: the bytes from the address on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub(super) pa: PhysAddr,
    /// Bytes to the end of the run.
    pub(super) len: u64,
    pub(super) prot: Prot,
}

impl RunCache {
    /// Entries are chosen by 2 MiB region.
    fn entry(&self, va: u64) -> &Entry {
        &self.entries[(va >> 21) as usize % ENTRIES]
    }

    /// What is at `va` according to the table of `generation`, if it was looked up lately.
    #[inline]
    pub(super) fn get(&self, va: u64, generation: u64) -> Option<Hit> {
        let entry = self.entry(va);
        let version = entry.version.load(Ordering::Acquire);
        let start = entry.start.load(Ordering::Relaxed);
        let end = entry.end.load(Ordering::Relaxed);
        let pa = entry.pa.load(Ordering::Relaxed);
        let prot = entry.prot.load(Ordering::Relaxed);
        let of = entry.generation.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let torn = !version.is_multiple_of(2) || entry.version.load(Ordering::Relaxed) != version;
        if torn || of != generation || va < start || va >= end {
            return None;
        }
        let prot = Prot::from_bits_truncate(prot as u8);
        Some(Hit { pa: PhysAddr(pa + (va - start)), len: end - va, prot })
    }

    /// Remembers that `run`, of the table of `generation`, holds `va`.
    pub(super) fn put(&self, va: u64, run: &Run, generation: u64) {
        let entry = self.entry(va);
        let version = entry.version.load(Ordering::Relaxed);
        let odd = version.wrapping_add(1);
        if !version.is_multiple_of(2)
            || entry
                .version
                .compare_exchange(version, odd, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
        {
            // Somebody else fills it: theirs is as good.
            return;
        }
        fence(Ordering::Release);
        entry.start.store(run.range.start, Ordering::Relaxed);
        entry.end.store(run.range.end, Ordering::Relaxed);
        entry.pa.store(run.pa.0, Ordering::Relaxed);
        entry.prot.store(u32::from(run.prot.bits()), Ordering::Relaxed);
        entry.generation.store(generation, Ordering::Relaxed);
        entry.version.store(odd.wrapping_add(1), Ordering::Release);
    }
}
