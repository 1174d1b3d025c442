//! VMOs whose pages a pager's service supplies: what the service does to them, and what an access may do by itself.
//!
//! [`Tracking`](super::tracking) has the states of the pages; here they change, together with what is present and mapped.
//! Whoever waits for a page is told after each change that may concern it.

use std::{
    ops::{ControlFlow, Range},
    sync::{Arc, Weak, atomic::Ordering},
};

use rangemap::RangeSet;

use super::{
    Contents, DirtyRange, Kind, PAGE, Vmo,
    frames::{self, Piece},
    pages_of,
};
use crate::{
    error::{Error, Result},
    object::KOID_INVALID,
    pager::{Need, PageRequests},
};

/// Runs of pages that are at least so long, in bytes, are moved when they are supplied; shorter ones are copied.
const MOVED: u64 = 16 * PAGE;

impl Contents {
    /// Whether the pager has to be asked about a page.
    pub(super) fn lacks(&self, offset: u64, need: Need) -> bool {
        let Some(tracking) = &self.tracking else { return false };
        let missing = self.pages.gap_around(offset).is_some() && !tracking.is_zero(offset);
        match need {
            Need::Read => missing,
            Need::Dirty => !missing && !tracking.is_dirty(offset),
        }
    }

    /// What is neither present nor known to be zero in `range`.
    fn missing(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut gaps: RangeSet<u64> = self.pages.gaps(range).into_iter().collect();
        if let Some(tracking) = &self.tracking {
            tracking.zero_parts(range).for_each(|part| gaps.remove(part));
        }
        gaps.into_iter().collect()
    }

    /// The VMO has `new` bytes instead of `old`: what is added is zero, and the pager does not know it.
    pub(super) fn resize_tracking(&mut self, old: u64, new: u64) {
        if let Some(tracking) = &mut self.tracking {
            tracking.set_zero(old..new.max(old));
            tracking.forget(new..old.max(new));
        }
    }
}

impl Vmo {
    /// Where its pages are asked for, if a pager's service supplies them.
    pub(crate) fn requests(&self) -> Option<&Arc<PageRequests>> {
        match &self.owner().0.kind {
            Kind::Source { source, .. } => source.requests(),
            _ => None,
        }
    }

    /// Whether it was created by a pager, or shows pages of such a VMO (`ZX_INFO_VMO_PAGER_BACKED`): accesses may have to wait
    /// for a service.
    #[must_use]
    pub fn is_pager_backed(&self) -> bool {
        match &self.owner().0.kind {
            Kind::Source { source, .. } => source.requests().is_some(),
            Kind::Over { source, .. } => source.requests().is_some(),
            _ => false,
        }
    }

    /// Notes for the pager that bytes were changed.
    pub(crate) fn note_modified(&self) {
        if self.requests().is_some() {
            self.owner().0.modified.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a page is zero although its pager has not supplied it.
    pub(super) fn is_unsupplied_zero(&self, offset: u64) -> bool {
        self.contents.read().tracking.as_ref().is_some_and(|tracking| tracking.is_zero(offset))
    }

    /// Does `change` again as long as it lacks memory and others' pages can go.
    fn reclaiming(&self, bytes: u64, mut change: impl FnMut() -> Result<()>) -> Result<()> {
        loop {
            match change() {
                Err(Error::NoMemory) if self.memory.reclaim(bytes) => {}
                result => return result,
            }
        }
    }

    fn me(&self) -> Weak<Vmo> {
        match &self.kind {
            Kind::Source { me, .. } => me.clone(),
            _ => Weak::new(),
        }
    }

    /// Makes the page at `offset` present, writable if `write`, if that is possible without the pager.
    pub(super) fn use_supplied(
        &self,
        requests: &PageRequests,
        offset: u64,
        write: bool,
    ) -> Result<()> {
        let page = offset / PAGE * PAGE..offset / PAGE * PAGE + PAGE;
        self.reclaiming(PAGE, || {
            let _changing = self.changing.lock();
            let lacks = |need| self.contents.read().lacks(page.start, need);
            if lacks(Need::Read) || (write && requests.traps_writes() && lacks(Need::Dirty)) {
                return Err(requests.refusal());
            }
            match write {
                true => self.set_dirty(&page),
                false => self.place_zeroes(&page),
            }
        })
    }

    /// Makes the zero pages of `range` present. Under `changing`.
    fn place_zeroes(&self, range: &Range<u64>) -> Result<()> {
        let absent: Vec<Range<u64>> = {
            let contents = self.contents.read();
            let zero = contents.tracking.iter().flat_map(|tracking| tracking.zero_parts(range));
            zero.flat_map(|part| contents.pages.gaps(&part)).collect()
        };
        // A new place is zero.
        self.add_pages(&absent, |_, _| {})
    }

    /// Makes pages present where none is, after `fill(offset, piece)`. Under `changing`.
    fn add_pages(&self, parts: &[Range<u64>], mut fill: impl FnMut(u64, &Piece)) -> Result<()> {
        let me = self.me();
        let size = self.size.load(Ordering::Relaxed);
        for part in parts {
            let mut at = part.start;
            while at < part.end {
                let piece = {
                    let mut contents = self.change();
                    let growing = contents.growing;
                    contents.segments.place(&self.memory, &(at..part.end), size, growing)?
                };
                let len = piece.len();
                self.charge_cached(&me, &(at..at + len))?;
                fill(at, &piece);
                self.change().pages.insert(at, piece);
                at += len;
            }
        }
        Ok(())
    }

    /// Lets the pages of `range`, none of which is missing, be written to. Under `changing`.
    fn set_dirty(&self, range: &Range<u64>) -> Result<()> {
        self.check(range.start, range.end - range.start)?;
        self.place_zeroes(range)?;
        if let Some(tracking) = &mut self.change().tracking {
            tracking.set_dirty(range.clone());
        }
        Ok(())
    }

    /// The pager agrees that the pages of `range` become dirty.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::NotFound`] if one is missing, [`Error::NoMemory`].
    pub(crate) fn mark_dirty(&self, range: &Range<u64>) -> Result<()> {
        self.reclaiming(range.end - range.start, || {
            let _changing = self.changing.lock();
            self.check(range.start, range.end - range.start)?;
            match self.contents.read().missing(range).is_empty() {
                true => {}
                false => return Err(Error::NotFound),
            }
            self.set_dirty(range)
        })?;
        self.answered(Need::Dirty, range);
        Ok(())
    }

    /// Moves pages of `aux`, from `aux_offset` on, to those of `range` that are missing; the others are freed.
    ///
    /// Long runs move as they lie in memory. Of short ones the bytes are copied to the place that the pages have here, so that
    /// neighbours lie side by side and few mappings show many.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]; [`Error::NotSupported`] if `aux` is physical; [`Error::BadState`] if it is not plain memory, has
    /// children or mappings, or pins there, and so cannot lose its pages; [`Error::NoMemory`].
    pub(crate) fn supply(&self, range: &Range<u64>, aux: &Vmo, aux_offset: u64) -> Result<()> {
        let len = range.end - range.start;
        self.check(range.start, len)?;
        let taken = aux.check(aux_offset, len)?;
        if aux.is_physical() {
            return Err(Error::NotSupported);
        }
        if !aux.is_plain()
            || aux.parent_koid != KOID_INVALID
            || aux.children() > 0
            || aux.is_mapped()
            || aux.is_pinned(taken.clone())
            || !Arc::ptr_eq(&aux.memory, &self.memory)
        {
            return Err(Error::BadState);
        }
        self.reclaiming(len, || {
            let _changing = self.changing.lock();
            self.check(range.start, len)?;
            let missing = self.contents.read().missing(range);
            for part in missing {
                self.take_over(&part, aux, aux_offset + (part.start - range.start))?;
            }
            let missing = self.contents.read().missing(range);
            self.add_pages(&missing, |at, piece| {
                aux.copy_touched(aux_offset + (at - range.start), piece);
            })
        })?;
        aux.decommit(taken);
        self.answered(Need::Read, range);
        Ok(())
    }

    /// Takes over long runs of `aux`'s pages, from `from` on, for `part`, of which nothing is present. Under `changing`.
    fn take_over(&self, part: &Range<u64>, aux: &Vmo, from: u64) -> Result<()> {
        let me = self.me();
        for run in aux.long_runs(&(from..from + (part.end - part.start))) {
            let here = |offset: u64| part.start + (offset - from);
            // Before anything is taken that would be lost.
            self.charge_cached(&me, &(here(run.start)..here(run.end)))?;
            let given = aux.give(&run);
            let pieces = given.as_deref().unwrap_or_default().iter();
            let moved: u64 = pieces.map(|(_, piece)| piece.len()).sum();
            self.uncharge_cached(run.end - run.start - moved);
            for (offset, piece) in given? {
                self.change().pages.insert(here(offset), piece);
            }
        }
        Ok(())
    }

    /// The parts of `range` where as many pages lie side by side in memory as are worth a mapping of their own.
    fn long_runs(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut runs = Vec::new();
        self.contents.read().pages.visit::<()>(range, |offset, _, part, _| {
            let len = part.end - part.start;
            if len >= MOVED {
                runs.push(offset..offset + len);
            }
            None
        });
        runs
    }

    /// Takes pages out, for another VMO: (offset, piece).
    ///
    /// # Errors
    /// [`Error::BadState`] if it is not plain memory any more, or pins some of them.
    fn give(&self, run: &Range<u64>) -> Result<Vec<(u64, Piece)>> {
        let _changing = self.changing.lock();
        let given = {
            // Under this lock nobody comes to share or to pin them.
            let mut contents = self.change();
            if !self.is_plain() || contents.pins.overlap(run) {
                return Err(Error::BadState);
            }
            contents.pages.remove(run)
        };
        // Who has mapped them meanwhile loses them.
        self.notify(run.clone());
        Ok(given)
    }

    /// Copies its bytes from `offset` on to a piece that is zero, as far as they were ever touched.
    fn copy_touched(&self, offset: u64, to: &Piece) {
        let _ = self.visit(offset..offset + to.len(), &mut |run, place| {
            let Some((piece, part)) = place else { return ControlFlow::Continue(()) };
            let _ = piece.touched(part.clone(), |here, touched| {
                if touched {
                    let at = run.offset - offset + (here.start - part.start);
                    let (to, from) = (to.pa().offset(at), piece.pa().offset(here.start));
                    self.memory.copy(to, from, here.end - here.start);
                }
                Ok::<_, Error>(())
            });
            ControlFlow::Continue(())
        });
    }

    /// What differs in `range` is being written back from now on, or only what is zero.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub(crate) fn begin_writeback(&self, range: &Range<u64>, only_zero: bool) -> Result<()> {
        let _changing = self.changing.lock();
        self.check(range.start, range.end - range.start)?;
        let protected = match &mut self.change().tracking {
            Some(tracking) => tracking.begin_writeback(range, only_zero),
            None => Vec::new(),
        };
        // Once the mappings are told, every write is noted anew.
        protected.into_iter().for_each(|part| self.notify(part));
        Ok(())
    }

    /// What was being written back in `range` is clean, unless it has been written to since.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub(crate) fn end_writeback(&self, range: &Range<u64>) -> Result<()> {
        self.check(range.start, range.end - range.start)?;
        if let Some(tracking) = &mut self.change().tracking {
            tracking.end_writeback(range);
        }
        Ok(())
    }

    /// What the pager has to write back in the pages of `range`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub(crate) fn dirty_ranges(&self, range: &Range<u64>) -> Result<Vec<DirtyRange>> {
        self.check(range.start, range.end - range.start)?;
        let contents = self.contents.read();
        Ok(contents.tracking.iter().flat_map(|t| t.dirty_ranges(&pages_of(range))).collect())
    }

    /// Whether it was modified since this was last called with `reset`.
    pub(crate) fn was_modified(&self, reset: bool) -> bool {
        match reset {
            true => self.modified.swap(false, Ordering::Relaxed),
            false => self.modified.load(Ordering::Relaxed),
        }
    }

    /// Zeroes whole pages without asking anybody, since a pager need not keep zeroes.
    pub(super) fn zero_supplied(&self, range: &Range<u64>) -> Result<()> {
        let _changing = self.changing.lock();
        self.check(range.start, range.end - range.start)?;
        // Pinned ones keep their place, and a device may write to them unseen: they are dirty.
        let (pinned, parts) = {
            let contents = self.contents.read();
            (contents.pins.pinned(range), contents.pins.unpinned(range))
        };
        for part in pinned {
            self.set_dirty(&part)?;
            self.contents.read().pages.visit::<()>(&part, |_, piece, part, _| {
                self.memory.zero(piece.pa().offset(part.start), part.end - part.start);
                None
            });
        }
        let removed: Vec<Piece> = {
            let mut contents = self.change();
            if let Some(tracking) = &mut contents.tracking {
                parts.iter().for_each(|part| tracking.set_zero(part.clone()));
            }
            let removed = parts.iter().flat_map(|part| contents.pages.remove(part));
            removed.map(|(_, piece)| piece).collect()
        };
        parts.into_iter().for_each(|part| self.notify(part));
        self.uncharge_cached(removed.iter().map(Piece::len).sum());
        frames::free(removed);
        self.note_modified();
        self.answered(Need::Read, range);
        Ok(())
    }

    /// Whoever waits for pages that are cut off finds out.
    pub(super) fn answer_cut(&self, range: Range<u64>) {
        self.answered(Need::Read, &range);
        self.answered(Need::Dirty, &range);
    }

    fn answered(&self, need: Need, range: &Range<u64>) {
        if let Some(requests) = self.requests() {
            requests.answered(need, range);
        }
    }
}
