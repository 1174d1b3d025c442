//! Frames: physical pages that several VMOs may show at once.
//!
//! The one idea: who shows pages holds a [`Piece`] of the extent that they are in, and the extent counts, page by page, how many
//! pieces there are. A page in one piece alone belongs to whoever holds it, to write in place; a page in none goes back to the
//! host. Before anything is shared nothing is counted: an extent that is one piece from its first page to its last, however that
//! piece was cut up since, needs no list.

use std::{
    mem,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use hal::pmem::{Extent, PhysAddr};
use parking_lot::Mutex;
use rangemap::RangeMap;

use super::PAGE;

/// Bits in a word of [`Frames::touched`].
const WORD: u64 = 64;

/// How many pieces the pages of an extent are in, by offset in the extent; pages that are not listed are in none. No list: every
/// page in one.
type Uses = Option<RangeMap<u64, u32>>;

/// An extent, and who uses its pages.
#[derive(Debug)]
pub(super) struct Frames {
    extent: Extent,
    /// `uses` is a list; once set it stays.
    counted: AtomicBool,
    uses: Mutex<Uses>,
    /// A bit for each page that the host is known to hold; the others may be held as well.
    touched: OnceLock<Box<[AtomicU64]>>,
}

impl Frames {
    /// Pages that are all in the piece returned.
    pub(super) fn whole(extent: Extent) -> Piece {
        let len = extent.len();
        Piece { frames: Arc::new(Self::new(extent, None)), start: 0, len }
    }

    /// Pages to [take](Self::take) one by one.
    pub(super) fn unused(extent: Extent) -> Arc<Self> {
        Arc::new(Self::new(extent, Some(RangeMap::new())))
    }

    fn new(extent: Extent, uses: Uses) -> Self {
        let counted = AtomicBool::new(uses.is_some());
        Self { extent, counted, uses: Mutex::new(uses), touched: OnceLock::new() }
    }

    pub(super) fn len(&self) -> u64 {
        self.extent.len()
    }

    /// All pages are known to be held by the host.
    pub(super) fn is_warm(&self) -> bool {
        self.extent.is_warm()
    }

    /// A piece of the first pages of `range`, as many as are in none yet; `None` if the first is in one.
    pub(super) fn take(self: &Arc<Self>, range: Range<u64>) -> Option<Piece> {
        let mut uses = self.uses.lock();
        let counts = self.counts(&mut uses);
        let end = counts.overlapping(&range).next().map_or(range.end, |(used, _)| used.start);
        if end <= range.start {
            return None;
        }
        counts.insert(range.start..end, 1);
        drop(uses);
        Some(Piece { frames: self.clone(), start: range.start, len: end - range.start })
    }

    fn counts<'a>(&self, uses: &'a mut Uses) -> &'a mut RangeMap<u64, u32> {
        uses.get_or_insert_with(|| RangeMap::from_iter([(0..self.len(), 1)]))
    }

    /// Counts a piece more.
    fn add(&self, range: &Range<u64>) {
        let mut uses = self.uses.lock();
        self.counted.store(true, Ordering::Release);
        let counts = self.counts(&mut uses);
        for (part, count) in parts(counts, range) {
            counts.insert(part, count.saturating_add(1));
        }
    }

    /// Counts a piece less; returns which pages are in none now.
    fn remove(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut freed = Vec::new();
        let mut uses = self.uses.lock();
        self.counted.store(true, Ordering::Release);
        let counts = self.counts(&mut uses);
        for (part, count) in parts(counts, range) {
            if count > 1 {
                counts.insert(part, count - 1);
            } else {
                counts.remove(part.clone());
                freed.push(part);
            }
        }
        freed
    }

    /// Gives pages back to the host; they read as zero then.
    fn decommit(&self, range: &Range<u64>) {
        self.extent.set_cold();
        self.extent.memory().decommit(self.pa(range.start), range.end - range.start);
        if let Some(words) = self.touched.get() {
            for page in range.start / PAGE..range.end / PAGE {
                if let Some(word) = words.get((page / WORD) as usize) {
                    word.fetch_and(!(1 << (page % WORD)), Ordering::Relaxed);
                }
            }
        }
    }

    fn pa(&self, start: u64) -> PhysAddr {
        self.extent.base().offset(start)
    }
}

/// The counted parts of `range`.
fn parts(counts: &RangeMap<u64, u32>, range: &Range<u64>) -> Vec<(Range<u64>, u32)> {
    let overlapping = counts.overlapping(range);
    overlapping.map(|(part, &count)| (clip(part, range), count)).collect()
}

fn clip(part: &Range<u64>, range: &Range<u64>) -> Range<u64> {
    part.start.max(range.start)..part.end.min(range.end)
}

/// Consecutive pages of an extent that somebody shows. A clone of it shares them; when the last piece with a page goes, so
/// does the page.
#[derive(Debug)]
pub(super) struct Piece {
    frames: Arc<Frames>,
    /// Offset in the extent.
    start: u64,
    /// Zero only in one that has been given back.
    len: u64,
}

impl Piece {
    /// Bytes, a page multiple.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Where it is.
    pub(super) fn pa(&self) -> PhysAddr {
        self.frames.pa(self.start)
    }

    /// The extent that it is in, by its address, and where there.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.frames.pa(0).0, self.start)
    }

    pub(super) fn frames(&self) -> &Arc<Frames> {
        &self.frames
    }

    fn range(&self) -> Range<u64> {
        self.start..self.start + self.len
    }

    /// Its first `len` bytes, a page multiple smaller than it is, and the rest.
    pub(super) fn split(mut self, len: u64) -> (Self, Self) {
        let frames = self.frames.clone();
        let rest = Self { frames, start: self.start + len, len: self.len - len };
        self.len = len;
        (self, rest)
    }

    /// At most its first `len` bytes, and the rest if there is one.
    pub(super) fn cut(self, len: u64) -> (Self, Option<Self>) {
        if len >= self.len {
            return (self, None);
        }
        let (first, rest) = self.split(len);
        (first, Some(rest))
    }

    /// Whether `next` begins where this one ends.
    pub(super) fn continues_in(&self, next: &Self) -> bool {
        Arc::ptr_eq(&self.frames, &next.frames) && self.start + self.len == next.start
    }

    /// It and `next`, which begins where this one ends, as one.
    pub(super) fn append(mut self, mut next: Self) -> Self {
        self.len += mem::take(&mut next.len);
        self
    }

    /// Calls `each(part, alone)` for the consecutive parts of `range` (offsets in the piece) that are, or are not, in this piece
    /// alone, until it says to stop.
    pub(super) fn sharing<B>(
        &self,
        range: Range<u64>,
        mut each: impl FnMut(Range<u64>, bool) -> Option<B>,
    ) -> Option<B> {
        if !self.frames.counted.load(Ordering::Acquire) {
            return each(range, true);
        }
        let here = self.start + range.start..self.start + range.end;
        let mut merged: Vec<(Range<u64>, bool)> = Vec::new();
        if let Some(counts) = &*self.frames.uses.lock() {
            for (part, &count) in counts.overlapping(&here) {
                let part = clip(part, &here);
                match merged.last_mut() {
                    Some((last, alone)) if *alone == (count == 1) => last.end = part.end,
                    _ => merged.push((part, count == 1)),
                }
            }
        }
        let own = |part: Range<u64>| part.start - self.start..part.end - self.start;
        merged.into_iter().find_map(|(part, alone)| each(own(part), alone))
    }

    /// Whether all its pages are in no other piece.
    pub(super) fn is_alone(&self) -> bool {
        self.sharing(0..self.len, |_, alone| (!alone).then_some(())).is_none()
    }

    /// Calls `each(part, touched)` for the consecutive parts of `range` (offsets in the piece) that the host holds, or does not:
    /// those are zero, and reading them would have it hold them.
    pub(super) fn touched<E>(
        &self,
        range: Range<u64>,
        mut each: impl FnMut(Range<u64>, bool) -> Result<(), E>,
    ) -> Result<(), E> {
        let frames = &*self.frames;
        if frames.is_warm() {
            return each(range, true);
        }
        let words = frames.touched.get_or_init(|| {
            let words = (frames.len() / PAGE).div_ceil(WORD);
            (0..words).map(|_| AtomicU64::new(0)).collect()
        });
        let is_known = |page: u64| {
            let word = words.get((page / WORD) as usize);
            word.is_some_and(|word| word.load(Ordering::Relaxed) >> (page % WORD) & 1 != 0)
        };
        let own = |at: u64| at - self.start;
        let end = self.start + range.end;
        let mut at = self.start + range.start;
        while at < end {
            let known = is_known(at / PAGE);
            let mut to = (at / PAGE + 1) * PAGE;
            while to < end && is_known(to / PAGE) == known {
                to += PAGE;
            }
            let to = to.min(end);
            if known {
                each(own(at)..own(to), true)?;
                at = to;
                continue;
            }
            let base = frames.pa(0).0;
            let (from, upto) = (at / PAGE * PAGE, to.next_multiple_of(PAGE));
            for held in frames.extent.memory().committed_ranges(frames.pa(from), upto - from) {
                let held = held.start - base..held.end - base;
                for page in held.start / PAGE..held.end / PAGE {
                    if let Some(word) = words.get((page / WORD) as usize) {
                        word.fetch_or(1 << (page % WORD), Ordering::Relaxed);
                    }
                }
                let held = held.start.max(at)..held.end.min(to);
                if at < held.start {
                    each(own(at)..own(held.start), false)?;
                }
                if held.start < held.end {
                    each(own(held.start)..own(held.end), true)?;
                    at = held.end;
                }
            }
            if at < to {
                each(own(at)..own(to), false)?;
                at = to;
            }
        }
        Ok(())
    }

    /// Gives the pages of `range` (offsets in the piece, which is alone with them) back to the host, and keeps their place.
    pub(super) fn decommit(&self, range: Range<u64>) {
        self.frames.decommit(&(self.start + range.start..self.start + range.end));
    }

    /// Has the host hold the pages of `range` (offsets in the piece).
    pub(super) fn commit(&self, range: Range<u64>) -> Result<(), hal::pmem::OutOfMemory> {
        let (extent, len) = (&self.frames.extent, range.end - range.start);
        if extent.is_warm() {
            return Ok(());
        }
        extent.memory().commit(self.pa().offset(range.start), len)?;
        if len == extent.len() {
            extent.set_warm();
        }
        Ok(())
    }

    /// Notes that all pages have been touched.
    pub(super) fn set_warm(&self) {
        if self.len == self.frames.len() {
            self.frames.extent.set_warm();
        }
    }
}

impl Clone for Piece {
    fn clone(&self) -> Self {
        self.frames.add(&self.range());
        Self { frames: self.frames.clone(), ..*self }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // The last one who knows the extent: it goes as a whole.
        if self.len == 0 || Arc::strong_count(&self.frames) == 1 {
            return;
        }
        for freed in self.frames.remove(&self.range()) {
            self.frames.decommit(&freed);
        }
    }
}

/// Drops many pieces, with as few calls of the host as that takes.
pub(super) fn free(mut pieces: Vec<Piece>) {
    pieces.sort_unstable_by_key(|piece| (Arc::as_ptr(&piece.frames).addr(), piece.start));
    for of_one in pieces.chunk_by_mut(|a, b| Arc::ptr_eq(&a.frames, &b.frames)) {
        let Some(frames) = of_one.first().map(|piece| piece.frames.clone()) else { continue };
        // Besides that clone nobody else knows the extent: it goes as a whole.
        let alone = Arc::strong_count(&frames) == of_one.len() + 1;
        let mut freed: Vec<Range<u64>> = Vec::new();
        for piece in of_one {
            let range = piece.range();
            piece.len = 0;
            if alone {
                continue;
            }
            for part in frames.remove(&range) {
                match freed.last_mut() {
                    Some(last) if last.end == part.start => last.end = part.end,
                    _ => freed.push(part),
                }
            }
        }
        freed.iter().for_each(|part| frames.decommit(part));
    }
}

#[cfg(test)]
mod tests {
    use hal::pmem::PhysicalMemory;

    use super::*;

    const LEN: u64 = 8 * PAGE;

    /// Without a cache of freed pages, so that what is held is what is used.
    fn memory() -> Arc<PhysicalMemory> {
        PhysicalMemory::new(Some(PAGE)).unwrap()
    }

    fn whole(memory: &Arc<PhysicalMemory>) -> Piece {
        let piece = Frames::whole(memory.allocate(LEN as usize).unwrap());
        memory.write(piece.pa(), &[7; LEN as usize]);
        piece
    }

    fn alone(piece: &Piece) -> Vec<(u64, bool)> {
        let mut parts = Vec::new();
        piece.sharing::<()>(0..piece.len(), |part, alone| {
            parts.push(((part.end - part.start) / PAGE, alone));
            None
        });
        parts
    }

    #[test]
    fn a_page_goes_with_the_last_piece_that_has_it() {
        let memory = memory();
        let (low, high) = whole(&memory).split(3 * PAGE);
        let copy = high.clone();
        assert_eq!((alone(&low), alone(&high)), (vec![(3, true)], vec![(5, false)]));
        let (first, rest) = high.split(PAGE);
        drop(first);
        assert_eq!(alone(&copy), [(1, true), (4, false)]);
        assert_eq!(memory.committed(), LEN);
        drop(copy);
        assert_eq!(memory.committed(), LEN - PAGE);
        assert!(rest.is_alone());
        drop(low);
        assert_eq!(memory.committed(), 4 * PAGE);
        drop(rest);
        assert_eq!((memory.committed(), memory.allocated()), (0, 0));
    }

    #[test]
    fn unused_pages_are_taken_once() {
        let memory = memory();
        let frames = Frames::unused(memory.allocate(LEN as usize).unwrap());
        let middle = frames.take(2 * PAGE..4 * PAGE).unwrap();
        assert!(frames.take(3 * PAGE..5 * PAGE).is_none());
        assert_eq!(frames.take(0..LEN).unwrap().len(), 2 * PAGE);
        drop(middle);
        assert_eq!(frames.take(0..LEN).unwrap().len(), LEN);
    }

    #[test]
    fn many_pieces_are_freed_as_one() {
        let memory = memory();
        let (first, rest) = whole(&memory).split(PAGE);
        let (second, rest) = rest.split(PAGE);
        let copy = rest.clone();
        free(vec![rest, second, first]);
        assert_eq!(memory.committed(), 6 * PAGE);
        free(vec![copy]);
        assert_eq!((memory.committed(), memory.allocated()), (0, 0));
    }

    #[test]
    fn what_was_never_touched_is_told_apart_from_what_was() {
        let memory = memory();
        let piece = Frames::whole(memory.allocate(LEN as usize).unwrap());
        memory.write(piece.pa().offset(3 * PAGE), &[1]);
        let parts = |piece: &Piece, range: Range<u64>| {
            let mut parts = Vec::new();
            let _ = piece.touched(range, |part, touched| {
                parts.push((part.start, part.end, touched));
                Ok::<_, ()>(())
            });
            parts
        };
        for _ in 0..2 {
            let expected =
                [(10, 3 * PAGE, false), (3 * PAGE, 4 * PAGE, true), (4 * PAGE, LEN - 5, false)];
            assert_eq!(parts(&piece, 10..LEN - 5), expected);
        }
        assert_eq!(parts(&piece, 3 * PAGE + 1..3 * PAGE + 2), [(3 * PAGE + 1, 3 * PAGE + 2, true)]);
        piece.decommit(0..LEN);
        assert_eq!(parts(&piece, 0..LEN), [(0, LEN, false)]);
        assert_eq!(memory.committed(), 0);
        piece.commit(0..LEN).unwrap();
        assert_eq!((memory.committed(), parts(&piece, 0..LEN)), (LEN, vec![(0, LEN, true)]));
    }
}
