//! A few recently used runs, readable without a lock: the kernel's TLB.
//!
//! Each entry is a sequence lock of its own and names the generation of the table that it was read
//! from. An entry of another generation does not count, so a change of the table needs no
//! shoot-down.

use super::{Prot, table::Run};
use crate::{pmem::PhysAddr, sync::Record};

const ENTRIES: usize = 8;

/// The generation, the run's start and end, where it is in physical memory, and its protection.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Entry(Record<5>);

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
        let [of, start, end, pa, prot] = self.entry(va).0.get()?;
        if of != generation || va < start || va >= end {
            return None;
        }
        let prot = Prot::from_bits_truncate(prot as u8);
        Some(Hit { pa: PhysAddr(pa + (va - start)), len: end - va, prot })
    }

    /// Remembers that `run`, of the table of `generation`, holds `va`.
    pub(super) fn put(&self, va: u64, run: &Run, generation: u64) {
        let prot = u64::from(run.prot.bits());
        self.entry(va).0.put([generation, run.range.start, run.range.end, run.pa.0, prot]);
    }
}
