//! The page table of an address space: ordered runs of pages.
//!
//! A run maps a range of guest addresses to a contiguous range of physical memory with one
//! protection. Neighbouring runs that continue each other are kept as one, so the table stays as
//! small as the host's own list of mappings.

use std::{collections::BTreeMap, ops::Range};

use super::{MapFlags, Prot};
use crate::pmem::PhysAddr;

/// A run of pages that are mapped alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Guest addresses.
    pub range: Range<u64>,
    /// Where `range.start` is in physical memory; without meaning in a
    /// [reserved](MapFlags::RESERVED) run.
    pub pa: PhysAddr,
    /// What the guest may do.
    pub prot: Prot,
    /// [`MapFlags::PATCHABLE`] and [`MapFlags::RESERVED`], as it was mapped.
    pub flags: MapFlags,
}

impl Run {
    /// The physical address of `va`, which lies in the run.
    pub(crate) fn translate(&self, va: u64) -> PhysAddr {
        PhysAddr(self.pa.0 + (va - self.range.start))
    }

    /// The part of the run that lies in `range`.
    fn clip(&self, range: &Range<u64>) -> Option<Self> {
        let start = self.range.start.max(range.start);
        let end = self.range.end.min(range.end);
        (start < end).then(|| Self { range: start..end, pa: self.at(start), ..*self })
    }

    fn at(&self, va: u64) -> PhysAddr {
        if self.flags.contains(MapFlags::RESERVED) { PhysAddr(0) } else { self.translate(va) }
    }

    fn continues(&self, next: &Self) -> bool {
        self.range.end == next.range.start
            && self.prot == next.prot
            && self.flags == next.flags
            && self.at(self.range.end) == next.pa
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    end: u64,
    pa: PhysAddr,
    prot: Prot,
    flags: MapFlags,
}

/// Runs by address; disjoint and coalesced.
#[derive(Debug, Default)]
pub(super) struct Table {
    runs: BTreeMap<u64, Entry>,
}

fn run(start: u64, entry: &Entry) -> Run {
    Run { range: start..entry.end, pa: entry.pa, prot: entry.prot, flags: entry.flags }
}

impl Table {
    /// The run that holds `va`.
    pub(super) fn find(&self, va: u64) -> Option<Run> {
        let (&start, entry) = self.runs.range(..=va).next_back()?;
        (va < entry.end).then(|| run(start, entry))
    }

    /// How many runs there are.
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    /// The parts of runs inside `range`, in order.
    pub(super) fn overlapping(&self, range: Range<u64>) -> impl Iterator<Item = Run> {
        let first = self.runs.range(..=range.start).next_back().map_or(range.start, |(&s, _)| s);
        let runs = self.runs.range(first..range.end.max(first));
        runs.filter_map(move |(&start, entry)| run(start, entry).clip(&range))
    }

    /// Whether nothing is mapped in `range`.
    pub(super) fn is_free(&self, range: Range<u64>) -> bool {
        self.overlapping(range).next().is_none()
    }

    /// Unmaps `range`, splitting runs at its ends.
    pub(super) fn remove(&mut self, range: Range<u64>) {
        // The common case first: nothing there, or exactly one run.
        if let Some((&start, &entry)) = self.runs.range(..range.start).next_back()
            && entry.end > range.start
        {
            if let Some(low) = run(start, &entry).clip(&(start..range.start)) {
                self.put(low);
            }
            if let Some(high) = run(start, &entry).clip(&(range.end..entry.end)) {
                self.put(high);
            }
        }
        while let Some((&start, &entry)) = self.runs.range(range.clone()).next() {
            self.runs.remove(&start);
            if let Some(high) = run(start, &entry).clip(&(range.end..entry.end)) {
                self.put(high);
            }
        }
    }

    fn put(&mut self, run: Run) {
        let Run { range, pa, prot, flags } = run;
        self.runs.insert(range.start, Entry { end: range.end, pa, prot, flags });
    }

    /// Adds a run where nothing is mapped.
    pub(super) fn insert(&mut self, mut new: Run) {
        if let Some((&start, entry)) = self.runs.range(..new.range.start).next_back() {
            let below = run(start, entry);
            if below.continues(&new) {
                new = Run { range: start..new.range.end, ..below };
            }
        }
        if let Some(entry) = self.runs.get(&new.range.end) {
            let above = run(new.range.end, entry);
            if new.continues(&above) {
                self.runs.remove(&above.range.start);
                new.range.end = above.range.end;
            }
        }
        self.put(new);
    }

    /// Changes the protection in `range`, wherever something is mapped.
    pub(super) fn protect(&mut self, range: Range<u64>, prot: Prot) {
        let parts: Vec<Run> = self.overlapping(range).filter(|part| part.prot != prot).collect();
        for part in parts {
            self.remove(part.range.clone());
            self.insert(Run { prot, ..part });
        }
    }

    /// All runs, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Run> {
        self.runs.iter().map(|(&start, entry)| run(start, entry))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(table: &mut Table, start: u64, end: u64, pa: u64, prot: Prot) {
        let flags = MapFlags::empty();
        table.remove(start..end);
        table.insert(Run { range: start..end, pa: PhysAddr(pa), prot, flags });
    }

    #[test]
    fn continued_runs_become_one() {
        let mut table = Table::default();
        map(&mut table, 10, 20, 110, Prot::READ);
        map(&mut table, 30, 40, 130, Prot::READ);
        map(&mut table, 20, 30, 120, Prot::READ);
        assert_eq!(table.iter().count(), 1);
        assert_eq!(table.find(39).unwrap().translate(39), PhysAddr(139));
        table.protect(15..25, Prot::WRITE);
        assert_eq!(table.iter().count(), 3);
        table.protect(12..26, Prot::READ);
        assert_eq!(table.iter().count(), 1);
        map(&mut table, 40, 50, 130, Prot::READ);
        assert_eq!(table.iter().count(), 2);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Map(u64, u64, u64, bool),
        Unmap(u64, u64),
        Protect(u64, u64, bool),
    }

    fn op() -> impl Strategy<Value = Op> {
        let at = 0u64..40;
        let len = 1u64..12;
        prop_oneof![
            (at.clone(), len.clone(), 0u64..3, any::<bool>()).prop_map(|(a, l, p, w)| Op::Map(
                a,
                l,
                p * 100 + a,
                w
            )),
            (at.clone(), len.clone()).prop_map(|(a, l)| Op::Unmap(a, l)),
            (at, len, any::<bool>()).prop_map(|(a, l, w)| Op::Protect(a, l, w)),
        ]
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_a_list_of_pages(ops in prop::collection::vec(op(), 1..60)) {
            let mut table = Table::default();
            let mut model = [None::<(u64, Prot)>; 64];
            let prot = |w| if w { Prot::WRITE } else { Prot::READ };
            for op in ops {
                match op {
                    Op::Map(a, l, pa, w) => {
                        map(&mut table, a, a + l, pa, prot(w));
                        for i in a..a + l { model[i as usize] = Some((pa + i - a, prot(w))); }
                    }
                    Op::Unmap(a, l) => {
                        table.remove(a..a + l);
                        for i in a..a + l { model[i as usize] = None; }
                    }
                    Op::Protect(a, l, w) => {
                        table.protect(a..a + l, prot(w));
                        for (_, p) in model[a as usize..(a + l) as usize].iter_mut().flatten() {
                            *p = prot(w);
                        }
                    }
                }
                for (va, page) in (0u64..).zip(&model) {
                    let got = table.find(va).map(|run| (run.translate(va).0, run.prot));
                    prop_assert_eq!(got, *page);
                }
                let runs: Vec<Run> = table.iter().collect();
                for pair in runs.windows(2) {
                    prop_assert!(pair[0].range.end <= pair[1].range.start);
                    prop_assert!(!pair[0].continues(&pair[1]));
                }
            }
        }
    }
}
