//! Which page ranges of physical memory are free.
//!
//! Two layers: a best-fit allocator over address-ordered free ranges (O(log n), coalescing), and in
//! front of it a bounded cache of small freed extents, kept by exact size with their host pages
//! still committed. A guest that maps and unmaps 64 KiB in a loop therefore recycles the same host
//! pages, and pays neither for a hole punch nor for new page faults.

use std::collections::{BTreeMap, BTreeSet};

/// Largest extent, in pages, that is kept in the cache when freed (16 MiB).
pub(super) const MAX_CACHED_PAGES: u64 = 4096;

/// Extents of up to so many pages have a bin by index; larger ones a map.
const BINS: u64 = 64;

/// A freed extent whose host pages were not given back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dirty {
    /// First page.
    pub(super) base: u64,
    /// All of its pages are known to be committed.
    pub(super) warm: bool,
}

/// Free page ranges, in units of pages.
#[derive(Debug)]
pub(super) struct Allocator {
    by_base: BTreeMap<u64, u64>,
    by_len: BTreeSet<(u64, u64)>,
    /// `bins[n - 1]` holds freed extents of exactly `n` pages.
    bins: Vec<Vec<Dirty>>,
    /// Those of more pages than there are bins.
    large: BTreeMap<u64, Vec<Dirty>>,
    cached: u64,
    cache_limit: u64,
}

impl Allocator {
    /// `pages` free pages from page `first` on; at most `cache_limit` pages are kept dirty.
    pub(super) fn new(first: u64, pages: u64, cache_limit: u64) -> Self {
        let mut this = Self {
            by_base: BTreeMap::new(),
            by_len: BTreeSet::new(),
            bins: vec![Vec::new(); BINS as usize],
            large: BTreeMap::new(),
            cached: 0,
            cache_limit,
        };
        this.insert(first, pages);
        this
    }

    fn bin(&mut self, pages: u64) -> Option<&mut Vec<Dirty>> {
        match pages {
            1..=BINS => self.bins.get_mut(pages as usize - 1),
            _ => self.large.get_mut(&pages),
        }
    }

    fn insert(&mut self, base: u64, pages: u64) {
        if pages > 0 {
            self.by_base.insert(base, pages);
            self.by_len.insert((pages, base));
        }
    }

    fn remove(&mut self, base: u64, pages: u64) {
        self.by_base.remove(&base);
        self.by_len.remove(&(pages, base));
    }

    /// A cached extent of exactly `pages` pages.
    pub(super) fn take_cached(&mut self, pages: u64) -> Option<Dirty> {
        let dirty = self.bin(pages)?.pop()?;
        self.cached -= pages;
        Some(dirty)
    }

    /// Keeps a freed extent dirty; false if it is too large or the cache is full.
    pub(super) fn put_cached(&mut self, base: u64, pages: u64, warm: bool) -> bool {
        if self.cached + pages > self.cache_limit {
            return false;
        }
        if pages > BINS {
            self.large.entry(pages).or_default();
        }
        let Some(bin) = self.bin(pages) else { return false };
        bin.push(Dirty { base, warm });
        self.cached += pages;
        true
    }

    /// Takes every cached extent out: (first page, pages).
    pub(super) fn drain_cached(&mut self) -> Vec<(u64, u64)> {
        let mut all = Vec::new();
        for (index, bin) in self.bins.iter_mut().enumerate() {
            all.extend(bin.drain(..).map(|dirty| (dirty.base, index as u64 + 1)));
        }
        for (pages, bin) in std::mem::take(&mut self.large) {
            all.extend(bin.into_iter().map(|dirty| (dirty.base, pages)));
        }
        self.cached = 0;
        all
    }

    /// The smallest free range that is large enough, cut from its low end.
    pub(super) fn allocate(&mut self, pages: u64) -> Option<u64> {
        self.allocate_aligned(pages, 1)
    }

    /// As [`allocate`](Self::allocate), from a page on whose number is a multiple of `align`, a power of two.
    pub(super) fn allocate_aligned(&mut self, pages: u64, align: u64) -> Option<u64> {
        let fit = |&(len, base): &(u64, u64)| {
            let start = base.checked_next_multiple_of(align)?;
            let end = start.checked_add(pages)?;
            (end <= base + len).then_some((base, len, start))
        };
        let (base, len, start) = self.by_len.range((pages, 0)..).find_map(fit)?;
        self.remove(base, len);
        self.insert(base, start - base);
        self.insert(start + pages, base + len - (start + pages));
        Some(start)
    }

    /// Gives a clean range back.
    pub(super) fn free(&mut self, mut base: u64, mut pages: u64) {
        if let Some((&next, &len)) = self.by_base.range(base..).next()
            && next == base + pages
        {
            self.remove(next, len);
            pages += len;
        }
        if let Some((&prev, &len)) = self.by_base.range(..base).next_back()
            && prev + len == base
        {
            self.remove(prev, len);
            base = prev;
            pages += len;
        }
        self.insert(base, pages);
    }

    /// Pages in the cache.
    pub(super) fn cached(&self) -> u64 {
        self.cached
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn freed_neighbours_coalesce() {
        let mut a = Allocator::new(1, 100, 0);
        let x = a.allocate(10).unwrap();
        let y = a.allocate(10).unwrap();
        let z = a.allocate(80).unwrap();
        assert_eq!(a.allocate(1), None);
        a.free(x, 10);
        a.free(z, 80);
        a.free(y, 10);
        assert_eq!(a.by_base.len(), 1);
        assert_eq!(a.allocate(100), Some(1));
    }

    #[test]
    fn an_aligned_range_is_cut_from_the_middle() {
        let mut a = Allocator::new(1, 100, 0);
        assert_eq!(a.allocate_aligned(4, 16), Some(16));
        assert_eq!(a.allocate_aligned(15, 1), Some(1));
        assert_eq!(a.allocate_aligned(1, 64), Some(64));
        assert_eq!(a.allocate_aligned(38, 64), None);
        for (base, pages) in [(16, 4), (1, 15), (64, 1)] {
            a.free(base, pages);
        }
        assert_eq!(a.allocate(100), Some(1));
    }

    #[test]
    fn the_cache_is_bounded_and_by_exact_size() {
        let mut a = Allocator::new(0, 100, 8);
        assert!(a.put_cached(0, 6, true));
        assert!(!a.put_cached(10, 3, true));
        assert!(a.put_cached(10, 2, true));
        assert!(a.take_cached(3).is_none());
        assert_eq!(a.take_cached(6).unwrap().base, 0);
        assert_eq!(a.drain_cached(), vec![(10, 2)]);
        assert_eq!(a.cached(), 0);
    }

    proptest! {
        #[test]
        fn allocated_ranges_never_overlap(sizes in prop::collection::vec((1u64..20, any::<bool>()), 1..200)) {
            let mut a = Allocator::new(5, 500, 0);
            let mut live: Vec<(u64, u64)> = Vec::new();
            for (pages, drop_one) in sizes {
                if drop_one && !live.is_empty() {
                    let (base, len) = live.remove(pages as usize % live.len());
                    a.free(base, len);
                }
                if let Some(base) = a.allocate(pages) {
                    prop_assert!(base >= 5 && base + pages <= 505);
                    prop_assert!(live.iter().all(|&(b, l)| base + pages <= b || b + l <= base));
                    live.push((base, pages));
                }
            }
            for (base, len) in live {
                a.free(base, len);
            }
            prop_assert_eq!(a.by_base.len(), 1);
            prop_assert_eq!(a.by_len.len(), 1);
        }
    }
}
