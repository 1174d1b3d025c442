//! Where the parts of a region are.
//!
//! The one idea: the header has the few numbers that were chosen and no offset. Both sides compute the offsets from them,
//! once, so there is nothing to check but that the sum is the memory's size, and nothing to read again.

use core::{mem::size_of, ops::Range};

use super::{RegionError, header::Header};
use crate::{
    Layout, One, Producers,
    heap::{GRANULE, Token},
};

/// To what arenas are aligned and rounded up, in bytes: a page.
const PAGE: u64 = 4096;

/// What to make a region of.
///
/// ```
/// use evering::region::Options;
///
/// // Queues of 256 entries, and 8 MiB of buffers for the first side alone.
/// let options = Options::new().capacity(256).arenas(8 << 20, 0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Options {
    pub(super) capacities: [u32; 2],
    pub(super) arenas: [u64; 2],
    pub(super) away: u32,
    pub(super) prefault: bool,
    events: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// Queues of 1024 entries, an arena of 4 MiB for each side, 1024 buffers away; not faulted in, and no eventfds.
    pub fn new() -> Self {
        Options {
            capacities: [1024; 2],
            arenas: [4 << 20; 2],
            away: 1024,
            prefault: false,
            events: false,
        }
    }

    /// Queues for so many entries, both ways. A power of two.
    pub fn capacity(self, entries: u32) -> Self {
        self.capacities(entries, entries)
    }

    /// Queues for so many entries that the first side sends, and the second. Powers of two.
    pub fn capacities(self, first: u32, second: u32) -> Self {
        Options { capacities: [first, second], ..self }
    }

    /// An arena of so many bytes for each side; rounded up to pages.
    pub fn arena(self, bytes: u64) -> Self {
        self.arenas(bytes, bytes)
    }

    /// Arenas of so many bytes for the first side and for the second; rounded up to pages. 0 for a side that
    /// has no buffers of its own.
    pub fn arenas(self, first: u64, second: u64) -> Self {
        Options { arenas: [first, second], ..self }
    }

    /// Lets each side have given away up to so many buffers at a time. A power of two.
    pub fn away(self, buffers: u32) -> Self {
        Options { away: buffers, ..self }
    }

    /// Has the host allocate and map all pages at once, so that no fault comes later. Each side chooses for itself.
    pub fn prefault(self, prefault: bool) -> Self {
        Options { prefault, ..self }
    }

    /// Gives each side an eventfd, so that it can sleep in an epoll loop or under an async runtime. Not for peers that
    /// are not trusted: see [`EventFd`](crate::wake::EventFd).
    pub fn events(self, events: bool) -> Self {
        Options { events, ..self }
    }

    #[cfg(feature = "std")]
    pub(crate) fn has_events(&self) -> bool {
        self.events
    }
}

/// One of the two ends of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Who made it.
    First = 0,
    /// Who attached to it.
    Second = 1,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Side {
        match self {
            Side::First => Side::Second,
            Side::Second => Side::First,
        }
    }
}

/// Where everything is in a region, computed and checked.
#[derive(Debug)]
pub(super) struct Geometry {
    pub(super) size: usize,
    /// The queue that each side sends into.
    pub(super) queues: [Range<usize>; 2],
    /// The queue by which each side's buffers come back: the other one sends into it.
    pub(super) returns: [Range<usize>; 2],
    /// In granules.
    pub(super) arenas: [Range<u32>; 2],
    /// The numbers that were chosen.
    pub(super) chosen: Chosen,
}

/// The numbers that the header has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) capacities: [u32; 2],
    pub(super) arenas: [u64; 2],
    pub(super) away: u32,
}

/// Adds up the parts, each aligned.
struct Cursor(u64);

impl Cursor {
    fn part(&mut self, align: u64, size: u64) -> Option<Range<u64>> {
        let start = self.0.checked_next_multiple_of(align)?;
        self.0 = start.checked_add(size)?;
        Some(start..self.0)
    }
}

fn bytes(range: Range<u64>) -> Option<Range<usize>> {
    Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

fn granules(range: Range<u64>) -> Option<Range<u32>> {
    let granule = GRANULE as u64;
    Some(u32::try_from(range.start / granule).ok()?..u32::try_from(range.end / granule).ok()?)
}

impl Geometry {
    /// That of a region in which the first side sends `F` and the second `S`.
    pub(super) fn new<F, S, PF: Producers, PS: Producers>(
        chosen: Chosen,
    ) -> Result<Self, RegionError> {
        let first = Layout::<F, PF>::new(chosen.capacities[0] as usize)?;
        let second = Layout::<S, PS>::new(chosen.capacities[1] as usize)?;
        let returns = Layout::<Token, One>::new(chosen.away as usize)?;
        let queue_sizes = [(first.align(), first.size()), (second.align(), second.size())];
        let return_size = (returns.align(), returns.size());
        Self::lay_out(chosen, queue_sizes, return_size).ok_or(RegionError::Geometry)
    }

    fn lay_out(
        chosen: Chosen,
        queue_sizes: [(usize, usize); 2],
        return_size: (usize, usize),
    ) -> Option<Self> {
        let mut cursor = Cursor(size_of::<Header>() as u64);
        let mut queue = |(align, size)| bytes(cursor.part(align as u64, size as u64)?);
        let queues = [queue(queue_sizes[0])?, queue(queue_sizes[1])?];
        let returns = [queue(return_size)?, queue(return_size)?];
        let mut arena =
            |size: u64| granules(cursor.part(PAGE, size.checked_next_multiple_of(PAGE)?)?);
        let arenas = [arena(chosen.arenas[0])?, arena(chosen.arenas[1])?];
        let size = usize::try_from(cursor.0.checked_next_multiple_of(PAGE)?).ok()?;
        // What a pointer's offset can be.
        isize::try_from(size).ok()?;
        Some(Geometry { size, queues, returns, arenas, chosen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Many;

    fn chosen(arenas: [u64; 2]) -> Chosen {
        Chosen { capacities: [16, 64], arenas, away: 8 }
    }

    #[test]
    fn the_parts_are_side_by_side_and_aligned() {
        let geometry =
            Geometry::new::<u64, [u8; 24], One, One>(chosen([1, 5000])).expect("it is possible");
        let mut end = size_of::<Header>();
        for part in geometry.queues.iter().chain(&geometry.returns) {
            assert!(part.start >= end && part.start.is_multiple_of(128));
            end = part.end;
        }
        assert_eq!(geometry.queues[1].len(), 384 + 64 * 24);
        for (part, pages) in geometry.arenas.iter().zip([1, 2]) {
            let (start, length) = (part.start as usize * GRANULE, part.len() * GRANULE);
            assert!(start >= end && start.is_multiple_of(4096));
            assert_eq!(length, pages * 4096);
            end = start + length;
        }
        assert_eq!(geometry.size, end);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused = |chosen| Geometry::new::<u64, u64, One, Many>(chosen).is_err();
        assert!(!refused(chosen([0, 0])));
        assert!(refused(Chosen { capacities: [3, 4], ..chosen([0, 0]) }));
        assert!(refused(Chosen { away: 0, ..chosen([0, 0]) }));
        for size in [u64::MAX, 1 << 63, 1 << 39] {
            assert!(refused(chosen([size, 0])) && refused(chosen([0, size])), "{size}");
        }
        assert!(refused(Chosen { capacities: [1 << 31; 2], away: 1 << 31, arenas: [1 << 38; 2] }));
    }
}
