//! The shared state of a tree of regions: an ordered map of disjoint mappings, and the regions that
//! own them.
//!
//! Everything here is bookkeeping; the page table is not touched. The search for free addresses
//! from the top remembers where it ended, and how large the holes are that it passed, so that
//! mapping and unmapping in turn costs no walk.

use std::{cmp::Reverse, collections::BTreeMap, ops::Range, sync::Arc};

use hal::{aspace::Prot, pmem::Charge};

use super::{Mapping, MappingFlags, PAGE};
use crate::{
    error::{Error, Result},
    profile::MemoryPriority,
    vmo::Vmo,
};

/// The root region's number.
pub(super) const ROOT: u64 = 0;

/// A mapping; its start is its key.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) end: u64,
    pub(super) vmo: Arc<Vmo>,
    pub(super) vmo_offset: u64,
    pub(super) perms: Prot,
    pub(super) max_perms: Prot,
    pub(super) flags: MappingFlags,
    pub(super) tag: u64,
    /// The region that it belongs to.
    pub(super) region: u64,
    /// Some pages may be reserved in the page table: to be mapped at a fault, or when the
    /// protection changes.
    pub(super) sparse: bool,
    /// Its bytes are charged.
    pub(super) accounted: bool,
}

impl Entry {
    pub(super) fn describe(&self, start: u64) -> Mapping {
        Mapping {
            range: start..self.end,
            vmo: self.vmo.clone(),
            vmo_offset: self.vmo_offset,
            perms: self.perms,
            max_perms: self.max_perms,
            flags: self.flags,
            tag: self.tag,
        }
    }

    /// The VMO's offset for an address of the mapping.
    pub(super) fn offset(&self, start: u64, addr: u64) -> u64 {
        self.vmo_offset.saturating_add(addr.saturating_sub(start))
    }

    /// Whether `next`, which begins at this mapping's end, continues it.
    fn continues(&self, start: u64, next: &Self) -> bool {
        Arc::ptr_eq(&self.vmo, &next.vmo)
            && self.offset(start, self.end) == next.vmo_offset
            && self.perms == next.perms
            && self.max_perms == next.max_perms
            && self.flags == next.flags
            && self.tag == next.tag
            && self.region == next.region
            && self.accounted == next.accounted
    }
}

#[derive(Debug)]
struct Region {
    range: Range<u64>,
    parent: Option<u64>,
    /// Child regions by start: (end, number).
    children: BTreeMap<u64, (u64, u64)>,
    priority: MemoryPriority,
}

#[derive(Debug)]
pub(super) struct State {
    mappings: BTreeMap<u64, Entry>,
    regions: BTreeMap<u64, Region>,
    next_region: u64,
    /// Where the root's free choice goes.
    window: Range<u64>,
    /// The search from the top continues below this; above it, no hole is larger than `hole_above`.
    search_from: u64,
    hole_above: u64,
    mapped: u64,
    /// Faults that had to wait for a page.
    faults: u64,
    /// The kernel's trampolines, as far as a search has met them: (start, end). They never go away.
    blocked: BTreeMap<u64, u64>,
    /// What the mappings count against the memory limit.
    account: Charge,
}

impl State {
    pub(super) fn new(range: Range<u64>, window: Range<u64>, account: Charge) -> Self {
        let priority = MemoryPriority::Default;
        let root = Region { range, parent: None, children: BTreeMap::new(), priority };
        Self {
            mappings: BTreeMap::new(),
            regions: BTreeMap::from([(ROOT, root)]),
            next_region: ROOT + 1,
            search_from: window.end,
            hole_above: 0,
            window,
            mapped: 0,
            faults: 0,
            blocked: BTreeMap::new(),
            account,
        }
    }

    pub(super) fn check_alive(&self, region: u64) -> Result<()> {
        if self.regions.contains_key(&region) { Ok(()) } else { Err(Error::BadState) }
    }

    pub(super) fn add_region(&mut self, parent: u64, range: Range<u64>) -> Result<u64> {
        let number = self.next_region;
        let owner = self.regions.get_mut(&parent).ok_or(Error::BadState)?;
        if range.start < owner.range.start || range.end > owner.range.end {
            return Err(Error::OutOfRange);
        }
        owner.children.insert(range.start, (range.end, number));
        let priority = owner.priority;
        let region = Region { range, parent: Some(parent), children: BTreeMap::new(), priority };
        self.regions.insert(number, region);
        self.next_region += 1;
        Ok(number)
    }

    /// How precious the pages of what a region maps are.
    pub(super) fn priority(&self, region: u64) -> Result<MemoryPriority> {
        self.regions.get(&region).map(|region| region.priority).ok_or(Error::BadState)
    }

    /// Says so, of the region and all in it.
    pub(super) fn set_priority(&mut self, region: u64, priority: MemoryPriority) {
        let mut todo = vec![region];
        while let Some(next) = todo.pop() {
            let Some(region) = self.regions.get_mut(&next) else { continue };
            region.priority = priority;
            todo.extend(region.children.values().map(|&(_, child)| child));
        }
    }

    /// Forgets a region, which is not the root, and its children.
    pub(super) fn remove_region(&mut self, number: u64) {
        let Some(region) = self.regions.remove(&number) else { return };
        for &(_, child) in region.children.values() {
            self.remove_region(child);
        }
        if let Some(parent) = region.parent.and_then(|parent| self.regions.get_mut(&parent)) {
            parent.children.remove(&region.range.start);
        }
    }

    /// The child regions of `region` that overlap `range`.
    pub(super) fn children_in(&self, region: u64, range: &Range<u64>) -> Vec<(Range<u64>, u64)> {
        let Some(region) = self.regions.get(&region) else { return Vec::new() };
        let below = region.children.range(..range.end);
        below
            .filter(|(_, (end, _))| *end > range.start)
            .map(|(&start, &(end, number))| (start..end, number))
            .collect()
    }

    pub(super) fn overlaps_child(&self, region: u64, range: &Range<u64>) -> bool {
        !self.children_in(region, range).is_empty()
    }

    /// The mapping that holds `addr`.
    pub(super) fn find(&self, addr: u64) -> Option<(u64, &Entry)> {
        let (&start, entry) = self.mappings.range(..=addr).next_back()?;
        (addr < entry.end).then_some((start, entry))
    }

    /// The mappings that overlap `range`, whole.
    pub(super) fn overlapping(&self, range: &Range<u64>) -> impl Iterator<Item = (u64, &Entry)> {
        let first = self.find(range.start).map_or(range.start, |(start, _)| start);
        self.mappings.range(first..range.end.max(first)).map(|(&start, entry)| (start, entry))
    }

    pub(super) fn is_free(&self, region: u64, range: &Range<u64>) -> bool {
        self.overlapping(range).next().is_none() && !self.overlaps_child(region, range)
    }

    /// Whether every page of `range` is mapped.
    pub(super) fn covers(&self, range: &Range<u64>) -> bool {
        self.covered_from(range) == range.end
    }

    /// How far every page of `range` is mapped, from its start on.
    pub(super) fn covered_from(&self, range: &Range<u64>) -> u64 {
        let mut at = range.start;
        for (start, entry) in self.overlapping(range) {
            if start > at {
                break;
            }
            at = entry.end;
        }
        at.min(range.end)
    }

    /// All mappings, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.mappings.iter().map(|(&start, entry)| (start, entry))
    }

    /// Every region's number, that of the region it is in, and its addresses.
    pub(super) fn regions(&self) -> impl Iterator<Item = (u64, Option<u64>, Range<u64>)> {
        let region =
            |(&number, region): (&u64, &Region)| (number, region.parent, region.range.clone());
        self.regions.iter().map(region)
    }

    pub(super) fn note_fault(&mut self) {
        self.faults += 1;
    }

    pub(super) fn faults(&self) -> u64 {
        self.faults
    }

    /// Keeps free choice away from `range`.
    pub(super) fn block(&mut self, range: Range<u64>) {
        self.blocked.insert(range.start, range.end);
    }

    pub(super) fn mapped_bytes(&self) -> u64 {
        self.mapped
    }

    /// Charges `new` bytes more and `old` bytes less.
    pub(super) fn charge(&mut self, new: u64, old: u64) -> Result<()> {
        let bytes = self.account.bytes().saturating_add(new).saturating_sub(old);
        self.account.resize(bytes).map_err(|_| Error::NoMemory)
    }

    /// Adds a mapping where nothing is, joined with its neighbours if they continue each other.
    pub(super) fn insert(&mut self, mut start: u64, mut entry: Entry) {
        self.mapped += entry.end - start;
        if let Some((&below, previous)) = self.mappings.range(..start).next_back()
            && previous.end == start
            && previous.continues(below, &entry)
        {
            entry = Entry {
                end: entry.end,
                sparse: previous.sparse || entry.sparse,
                ..previous.clone()
            };
            start = below;
        }
        if let Some(next) = self.mappings.get(&entry.end)
            && entry.continues(start, next)
        {
            let next_start = entry.end;
            (entry.end, entry.sparse) = (next.end, entry.sparse || next.sparse);
            self.mappings.remove(&next_start);
        }
        self.mappings.insert(start, entry);
    }

    /// Makes `addr` a boundary between mappings.
    pub(super) fn split(&mut self, addr: u64) {
        let Some((&start, entry)) = self.mappings.range_mut(..addr).next_back() else { return };
        if entry.end <= addr {
            return;
        }
        let mut high = entry.clone();
        high.vmo_offset = entry.offset(start, addr);
        entry.end = addr;
        self.mappings.insert(addr, high);
    }

    /// Takes out all mappings in `range`, split at its ends.
    pub(super) fn take(&mut self, range: &Range<u64>) -> Vec<(u64, Entry)> {
        self.split(range.start);
        self.split(range.end);
        let mut taken = Vec::new();
        while let Some((&start, _)) = self.mappings.range(range.clone()).next() {
            if let Some(entry) = self.mappings.remove(&start) {
                self.mapped -= entry.end - start;
                taken.push((start, entry));
            }
        }
        self.freed(range);
        taken
    }

    /// Notes that `range` may be free now, for the next search.
    fn freed(&mut self, range: &Range<u64>) {
        if range.end > self.search_from {
            let next = self.mappings.range(range.end..).next().map(|(&start, _)| start);
            let top = next.unwrap_or(self.window.end).min(self.window.end);
            self.search_from = self.search_from.max(top);
        }
    }

    /// Changes mappings in `range`, split at its ends, and joins what continues each other again.
    pub(super) fn update(&mut self, range: &Range<u64>, mut change: impl FnMut(&mut Entry)) {
        self.split(range.start);
        self.split(range.end);
        for (_, entry) in self.mappings.range_mut(range.clone()) {
            change(entry);
        }
        // Only at boundaries inside the range or at its ends can something have become alike.
        let mut starts: Vec<u64> =
            self.mappings.range(range.clone()).map(|(&start, _)| start).collect();
        starts.push(range.end);
        for start in starts {
            let Some((&below, previous)) = self.mappings.range(..start).next_back() else {
                continue;
            };
            let Some(entry) = self.mappings.get(&start) else { continue };
            if previous.end == start && previous.continues(below, entry) {
                let (end, sparse) = (entry.end, entry.sparse);
                self.mappings.remove(&start);
                if let Some(previous) = self.mappings.get_mut(&below) {
                    previous.end = end;
                    previous.sparse |= sparse;
                }
            }
        }
    }

    /// Where a free choice in `region` may go.
    fn choice(&self, region: u64) -> Result<Range<u64>> {
        if region == ROOT {
            return Ok(self.window.clone());
        }
        self.regions.get(&region).map(|region| region.range.clone()).ok_or(Error::BadState)
    }

    /// What occupies addresses below `addr` in `region`: the highest mapping or child that begins
    /// there. Mappings in a child do not count beside it, since they begin and end where it does, or inside.
    fn obstacle_below(&self, region: u64, addr: u64) -> Option<Range<u64>> {
        let mapping = self.mappings.range(..addr).next_back();
        let mapping = mapping.map(|(&start, entry)| start..entry.end);
        let children = self.regions.get(&region).map(|region| &region.children);
        let child = children.and_then(|children| children.range(..addr).next_back());
        let child = child.map(|(&start, &(end, _))| start..end);
        let blocked = self.blocked.range(..addr).next_back().map(|(&start, &end)| start..end);
        let all = [mapping, child, blocked].into_iter().flatten();
        all.max_by_key(|range| (range.end, Reverse(range.start)))
    }

    /// The highest free range of `len` bytes.
    pub(super) fn find_high(&mut self, region: u64, len: u64, align: u64) -> Result<Range<u64>> {
        let choice = self.choice(region)?;
        if region != ROOT || align != PAGE {
            return self.search(region, len, align, choice.start, choice.end).0;
        }
        let (top, passed) = if len > self.hole_above {
            (choice.end.min(self.search_from), self.hole_above)
        } else {
            (choice.end, 0)
        };
        let (found, largest) = self.search(region, len, align, choice.start, top);
        if let Ok(range) = &found {
            (self.search_from, self.hole_above) = (range.end, passed.max(largest));
        }
        found
    }

    /// The highest free range of `len` bytes in `choice`.
    pub(super) fn find_between(
        &self,
        region: u64,
        len: u64,
        align: u64,
        choice: &Range<u64>,
    ) -> Result<Range<u64>> {
        self.check_alive(region)?;
        self.search(region, len, align, choice.start, choice.end).0
    }

    /// Searches from `top` down to `bottom`; tells also how large the largest hole is that was
    /// passed.
    fn search(
        &self,
        region: u64,
        len: u64,
        align: u64,
        bottom: u64,
        mut top: u64,
    ) -> (Result<Range<u64>>, u64) {
        let mut passed = 0;
        loop {
            let obstacle = self.obstacle_below(region, top);
            let low = obstacle.as_ref().map_or(0, |range| range.end).max(bottom);
            if let Some(start) = top.checked_sub(len).map(|start| start & !(align - 1))
                && start >= low
            {
                return (Ok(start..start + len), passed);
            }
            passed = passed.max(top.saturating_sub(low));
            match obstacle {
                Some(range) if range.start > bottom => top = range.start.min(top),
                _ => return (Err(Error::NoResources), passed),
            }
        }
    }

    /// The lowest free range of `len` bytes.
    pub(super) fn find_low(&self, region: u64, len: u64, align: u64) -> Result<Range<u64>> {
        let choice = self.choice(region)?;
        let mut start = choice.start.next_multiple_of(align);
        loop {
            let end = start.checked_add(len).filter(|&end| end <= choice.end);
            let range = start..end.ok_or(Error::NoResources)?;
            match self.obstacle_below(region, range.end).filter(|range| range.end > start) {
                None => return Ok(range),
                Some(obstacle) => {
                    start =
                        obstacle.end.checked_next_multiple_of(align).ok_or(Error::NoResources)?;
                }
            }
        }
    }
}
