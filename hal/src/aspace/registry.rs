//! Who owns which part of the guests' address area.
//!
//! All in-process address spaces share the host process's addresses below [`GUEST_BOUNDARY`], so
//! each must claim what it uses: a *window* of its own for addresses of free choice, and fixed
//! ranges (a non-PIE image at 0x400000) first come, first served. Claims are released together when
//! the space is dropped.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::AspaceError;
use crate::pmem::{GUEST_BOUNDARY, GUEST_END};

/// Lowest guest address: the pages below are never mapped, so that a NULL dereference faults.
pub const GUEST_FLOOR: u64 = 0x1_0000;

/// Windows lie from here up to [`GUEST_BOUNDARY`]; programs that want fixed addresses, their images or heaps, want lower ones.
const FIRST_WINDOW: u64 = 0x2000_0000_0000;
/// Bytes in a window: 96 of them fit.
const WINDOW_SIZE: u64 = 512 << 30;
/// Below, nothing is claimed but what somebody wants right there.
const FOR_FIXED: u64 = 0x200_0000_0000;
/// Claims are made in units of this where nobody else is near, so that a guest cannot fill the
/// registry page by page.
const COARSE: u64 = 1 << 30;

/// Owner of what the host process itself has below the boundary.
const HOST: u64 = 0;

#[derive(Debug, Default)]
struct Registry {
    /// Disjoint claims by start: (end, owner).
    claims: BTreeMap<u64, (u64, u64)>,
}

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(|| {
    let mut registry = Registry::default();
    for range in host_mappings() {
        registry.insert(range, HOST);
    }
    Mutex::new(registry)
});

static NEXT_OWNER: AtomicU64 = AtomicU64::new(HOST + 1);

/// What is mapped below the boundary at start: normally nothing.
fn host_mappings() -> Vec<Range<u64>> {
    crate::host::system::first_mappings()
        .lines()
        .filter_map(|line| {
            let (start, end) = line.split_whitespace().next()?.split_once('-')?;
            let start = u64::from_str_radix(start, 16).ok()?;
            let end = u64::from_str_radix(end, 16).ok()?;
            (start < GUEST_BOUNDARY).then_some(start..end)
        })
        .collect()
}

impl Registry {
    /// The claims that overlap `range`, as (range, owner).
    fn overlapping(&self, range: &Range<u64>) -> impl Iterator<Item = (Range<u64>, u64)> {
        let first = self.claims.range(..=range.start).next_back().map_or(range.start, |(&s, _)| s);
        let from = range.start;
        self.claims
            .range(first..range.end)
            .map(|(&start, &(end, owner))| (start..end, owner))
            .filter(move |(claim, _)| claim.end > from)
    }

    fn is_free(&self, range: &Range<u64>) -> bool {
        self.overlapping(range).next().is_none()
    }

    /// Adds a claim, merged with `owner`'s adjacent and overlapping ones.
    fn insert(&mut self, mut range: Range<u64>, owner: u64) {
        let wide = range.start.saturating_sub(1)..range.end.saturating_add(1);
        let near: Vec<_> =
            self.overlapping(&wide).filter(|&(_, o)| o == owner).map(|(r, _)| r).collect();
        for claim in near {
            self.claims.remove(&claim.start);
            range.start = range.start.min(claim.start);
            range.end = range.end.max(claim.end);
        }
        self.claims.insert(range.start, (range.end, owner));
    }
}

/// Where mappings at free choice go in a space that shares no addresses: where Linux has them.
pub(super) fn own_window() -> Range<u64> {
    GUEST_END - WINDOW_SIZE..GUEST_END
}

/// The claims of one address space.
#[derive(Debug)]
pub(super) struct Claims {
    owner: u64,
    window: Range<u64>,
}

impl Claims {
    /// Claims the lowest free window.
    pub(super) fn new() -> Result<Self, AspaceError> {
        let owner = NEXT_OWNER.fetch_add(1, Ordering::Relaxed);
        let mut registry = REGISTRY.lock();
        let mut start = FIRST_WINDOW;
        while start + WINDOW_SIZE <= GUEST_BOUNDARY {
            let window = start..start + WINDOW_SIZE;
            if registry.is_free(&window) {
                registry.claims.insert(window.start, (window.end, owner));
                return Ok(Self { owner, window });
            }
            start += WINDOW_SIZE;
        }
        Err(AspaceError::NoWindow)
    }

    pub(super) fn window(&self) -> Range<u64> {
        self.window.clone()
    }

    /// Claims `range`, parts that are claimed already included.
    pub(super) fn claim(&self, range: Range<u64>) -> Result<(), AspaceError> {
        if range.start < GUEST_FLOOR || range.end > GUEST_BOUNDARY || range.is_empty() {
            return Err(AspaceError::OutOfRange);
        }
        if self.window.start <= range.start && range.end <= self.window.end {
            return Ok(());
        }
        let mut registry = REGISTRY.lock();
        let mut mine = false;
        for (claim, owner) in registry.overlapping(&range) {
            if owner != self.owner {
                return Err(AspaceError::Taken);
            }
            mine |= claim.start <= range.start && range.end <= claim.end;
        }
        if mine {
            return Ok(());
        }
        let coarse = (range.start / COARSE * COARSE).max(GUEST_FLOOR)
            ..range.end.next_multiple_of(COARSE).min(GUEST_BOUNDARY);
        let alone = registry.overlapping(&coarse).all(|(_, owner)| owner == self.owner);
        registry.insert(if alone { coarse } else { range }, self.owner);
        Ok(())
    }

    /// Claims `len` bytes, a page multiple, that nobody has: the highest ones, for windows are given from below.
    pub(super) fn claim_more(&self, len: u64) -> Result<Range<u64>, AspaceError> {
        let len = len.checked_next_multiple_of(COARSE).ok_or(AspaceError::OutOfRange)?;
        let mut registry = REGISTRY.lock();
        let mut end = GUEST_BOUNDARY;
        loop {
            let start = end.checked_sub(len).filter(|&start| start >= FOR_FIXED);
            let range = start.ok_or(AspaceError::Taken)?..end;
            let lowest = registry.overlapping(&range).next();
            match lowest {
                None => {
                    registry.insert(range.clone(), self.owner);
                    return Ok(range);
                }
                Some((claim, _)) => end = claim.start / COARSE * COARSE,
            }
        }
    }

    /// Everything claimed, window included.
    pub(super) fn ranges(&self) -> Vec<Range<u64>> {
        let registry = REGISTRY.lock();
        let mine = registry.claims.iter().filter(|(_, claim)| claim.1 == self.owner);
        mine.map(|(&start, &(end, _))| start..end).collect()
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        REGISTRY.lock().claims.retain(|_, claim| claim.1 != self.owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_disjoint_and_recycled() {
        let many: Vec<_> = (0..64).map(|_| Claims::new().unwrap()).collect();
        for pair in many.windows(2) {
            assert_ne!(pair[0].window().start, pair[1].window().start);
        }
        drop(many);
        for _ in 0..1000 {
            Claims::new().unwrap();
        }
    }

    #[test]
    fn a_fixed_range_has_one_owner_at_a_time() {
        let (a, b) = (Claims::new().unwrap(), Claims::new().unwrap());
        let range = 0x5_0000_0000..0x5_0000_3000;
        a.claim(range.clone()).unwrap();
        a.claim(range.clone()).unwrap();
        assert_eq!(b.claim(range.clone()), Err(AspaceError::Taken));
        assert_eq!(b.claim(a.window()), Err(AspaceError::Taken));
        drop(a);
        b.claim(range).unwrap();
        assert_eq!(b.claim(0..0x1000), Err(AspaceError::OutOfRange));
        assert_eq!(b.claim(GUEST_BOUNDARY - 1..GUEST_BOUNDARY + 1), Err(AspaceError::OutOfRange));
    }
}
