//! Which pages of a VMO are present, and how they become so.
//!
//! Whoever uses pages asks for the present ones, which does not block, and *prepares* the missing
//! ones before it asks again, which may: a source is asked, or a page copied that others have too.

use std::{
    ops::{ControlFlow, Range},
    sync::{Weak, atomic::Ordering},
};

use super::{
    Contents, Kind, PAGE, PageRun, PageSink, PageSource, Vmo,
    frames::{Frames, Piece},
    segments,
};
use crate::error::{Error, Result};

/// Pages that a source is asked for at once, around the one that is needed.
const READ_AROUND: u64 = 128 << 10;

/// Is called with a run and, unless that is a page cache's, the piece and which part of it the run is.
type Visitor<'a> = dyn FnMut(PageRun, Option<(&Piece, Range<u64>)>) -> ControlFlow<()> + 'a;

impl Vmo {
    /// Calls `each` for the pieces of `range` that are present, in order, until it breaks. Pages do
    /// not go away meanwhile. Does not block.
    pub(crate) fn for_each_present(
        &self,
        range: Range<u64>,
        each: &mut dyn FnMut(PageRun) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.visit(range, &mut |run, _| each(run))
    }

    /// As [`for_each_present`](Self::for_each_present), with the frames that each piece lies in and where it begins there, unless
    /// those are a page cache's.
    pub(super) fn visit(&self, range: Range<u64>, each: &mut Visitor<'_>) -> ControlFlow<()> {
        let range = range.start..range.end.min(self.size());
        if range.is_empty() {
            return ControlFlow::Continue(());
        }
        if let (owner, Some(base)) = (self.owner().0, self.window()) {
            return owner.visit(base + range.start..base + range.end, &mut |run, place| {
                each(PageRun { offset: run.offset - base, ..run }, place)
            });
        }
        let contents = self.contents.read();
        match &self.kind {
            Kind::Over { source, offset, .. } => {
                let shown = self.shown();
                let behind = |gap: Range<u64>, each: &mut Visitor<'_>| {
                    let end = gap.end.min(shown);
                    if gap.start >= end {
                        return ControlFlow::Continue(());
                    }
                    let theirs = offset.saturating_add(gap.start)..offset.saturating_add(end);
                    source.for_each_present(theirs, &mut |run| {
                        let offset = run.offset - offset;
                        each(PageRun { offset, writable: false, ..run }, None)
                    })
                };
                let mut at = range.start;
                contents.own(range.clone(), &mut |run, place| {
                    behind(at..run.offset, each)?;
                    at = run.offset + run.len;
                    each(run, place)
                })?;
                behind(at..range.end, each)
            }
            Kind::Source { .. } => contents.own(range, &mut |run, _| {
                let Some(tracking) = &contents.tracking else { return each(run, None) };
                let mut parts =
                    tracking.writable_parts(run.offset..run.offset + run.len).into_iter();
                parts.try_for_each(|(part, writable)| match run.clip(&part) {
                    Some(run) => each(PageRun { writable, ..run }, None),
                    None => ControlFlow::Continue(()),
                })
            }),
            Kind::Placed(placed) => each(placed.run(range), None),
            _ => contents.own(range, each),
        }
    }

    /// Where the pages of a slice or reference begin in the owner's.
    fn window(&self) -> Option<u64> {
        match &self.kind {
            Kind::Slice { offset, .. } => Some(*offset),
            Kind::Reference { .. } => Some(0),
            _ => None,
        }
    }

    /// How far a clone shows the page cache behind it.
    pub(super) fn shown(&self) -> u64 {
        match &self.kind {
            Kind::Over { follows: true, .. } => self.size(),
            Kind::Over { limit, .. } => limit.load(Ordering::Acquire),
            _ => 0,
        }
    }

    /// Whether a page that is not present, and all behind it up to the next present one, is zero.
    pub(super) fn is_zero(&self, offset: u64) -> bool {
        match &self.kind {
            Kind::Anonymous => !self.is_discarded(),
            Kind::Source { .. } | Kind::Placed(_) => false,
            Kind::Over { .. } => offset >= self.shown(),
            Kind::Slice { owner, offset: base } => owner.is_zero(base + offset),
            Kind::Reference { owner } => owner.is_zero(offset),
        }
    }

    /// The run that begins at `offset`, if that page is present. Does not block.
    #[must_use]
    pub fn present_run(&self, offset: u64, max_len: u64) -> Option<PageRun> {
        let mut first = None;
        let _ = self.for_each_present(offset..offset.saturating_add(max_len), &mut |run| {
            first = (run.offset == offset).then_some(run);
            ControlFlow::Break(())
        });
        first
    }

    /// The first run of `range` that is present, which may begin behind its start. Does not block.
    pub(crate) fn next_present(&self, range: Range<u64>) -> Option<PageRun> {
        let mut first = None;
        let _ = self.for_each_present(range, &mut |run| {
            first = Some(run);
            ControlFlow::Break(())
        });
        first
    }

    /// Whether a page is present that can be read, or written if `write`.
    fn is_present(&self, offset: u64, write: bool) -> bool {
        self.present_run(offset, 1).is_some_and(|run| run.writable || !write)
    }

    /// Whether it has a page itself, shared with others or not.
    fn has(&self, offset: u64) -> bool {
        self.contents.read().pages.gap_around(offset).is_none()
    }

    /// Makes the page at `offset` present, writable if `write`, and perhaps some around it. May
    /// block.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] beyond the end, [`Error::NoMemory`], or what the source says; for the pages of a pager
    /// [`Error::ShouldWait`] if it has to be asked, which [`fetch`](Self::fetch) does, and [`Error::BadState`] if it cannot be.
    pub fn prepare(&self, offset: u64, write: bool) -> Result<()> {
        self.make_present(offset, write, true)
    }

    /// [`prepare`](Self::prepare) if that need not block.
    ///
    /// # Errors
    /// [`Error::ShouldWait`] if it must; else as [`prepare`](Self::prepare).
    pub fn try_prepare(&self, offset: u64, write: bool) -> Result<()> {
        self.make_present(offset, write, false)
    }

    /// Makes the pages of `range` present, a clone's its own, up to the first for which it would
    /// have to block or fail.
    pub(crate) fn try_commit(&self, range: Range<u64>) {
        let write = self.copies_on_write();
        let mut at = range.start;
        while at < range.end {
            match self.present_run(at, range.end - at) {
                Some(run) if run.writable || !write => at = run.offset + run.len,
                _ if self.try_prepare(at, write).is_err() => break,
                _ => {}
            }
        }
    }

    /// How many bytes of `range`, from its start on, are present or could be made so without
    /// blocking.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), for the first page.
    pub fn try_prepare_range(&self, range: Range<u64>) -> Result<u64> {
        let mut at = range.start;
        while at < range.end {
            let reached = match self.present_run(at, range.end - at) {
                Some(run) => Ok(run.offset + run.len),
                None => self.try_prepare(at, false).map(|()| at),
            };
            match reached {
                Ok(reached) => at = reached,
                Err(Error::ShouldWait) => break,
                Err(error) if at == range.start => return Err(error),
                Err(_) => break,
            }
        }
        Ok(at - range.start)
    }

    fn make_present(&self, offset: u64, write: bool, wait: bool) -> Result<()> {
        self.check(offset, 1)?;
        if self.is_present(offset, write) {
            return Ok(());
        }
        let page = offset / PAGE * PAGE..offset / PAGE * PAGE + PAGE;
        match &self.kind {
            Kind::Anonymous | Kind::Over { .. } if self.has(offset) => self.make_own(page),
            Kind::Anonymous => self.reserve(offset),
            // All of them are present.
            Kind::Placed(_) => Err(Error::Internal),
            Kind::Source { source, me } => match source.requests() {
                Some(requests) => self.use_supplied(requests, offset, write),
                None => self.fill(source.as_ref(), me, offset, wait),
            },
            Kind::Slice { owner, offset: base } => owner.make_present(base + offset, write, wait),
            Kind::Reference { owner } => owner.make_present(offset, write, wait),
            Kind::Over { source, offset: base, .. } => {
                if offset >= self.shown() {
                    return self.reserve(offset);
                }
                if !write || !wait {
                    source.make_present(base + offset, false, wait)?;
                }
                if write { self.copy_up(page) } else { Ok(()) }
            }
        }
    }

    /// The longest run from the page of `offset` on, at most `max_len` bytes, after making its
    /// first page present.
    ///
    /// Use it to map: the pages may go away when no VMAR that maps them is told, so a VMAR calls
    /// this under its lock.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn resolve_run(&self, offset: u64, write: bool, max_len: u64) -> Result<PageRun> {
        let start = offset / PAGE * PAGE;
        loop {
            if let Some(run) = self.present_run(start, max_len.max(PAGE))
                && (run.writable || !write)
            {
                return Ok(run);
            }
            self.prepare(start, write)?;
        }
    }

    /// The run from `offset` on, if this is [plain](Self::is_plain) memory, wherever its place is. For a VMAR, under its lock.
    pub(crate) fn resolve_plain(&self, offset: u64, max_len: u64) -> Option<PageRun> {
        if self.reserve(offset).is_err() || !self.is_plain() {
            return None;
        }
        self.present_run(offset, max_len)
    }

    /// Gives `offset`, where nothing is but zeroes, a place in physical memory.
    pub(crate) fn reserve(&self, offset: u64) -> Result<()> {
        let mut contents = self.change();
        // Read again under the lock: it may have been resized.
        let size = self.size.load(Ordering::Relaxed);
        if offset >= size || self.is_discarded() {
            return Err(Error::OutOfRange);
        }
        let Some(mut gap) = contents.pages.gap_around(offset) else { return Ok(()) };
        gap.start = gap.start.max(self.shown());
        let chunk = segments::chunk_around(offset, size, contents.growing, &gap);
        let piece = Frames::whole(segments::allocate(&self.memory, &chunk)?);
        contents.pages.insert(chunk.start, piece);
        Ok(())
    }

    /// Asks the source for missing pages around `offset`, and waits for it if `wait`. When there is too much in caches, others'
    /// pages go first, which is waiting too.
    fn fill(&self, source: &dyn PageSource, me: &Weak<Vmo>, offset: u64, wait: bool) -> Result<()> {
        loop {
            match self.fill_within_limit(source, me, offset, wait) {
                Err(Error::NoMemory) if !wait => return Err(Error::ShouldWait),
                Err(Error::NoMemory) if self.memory.reclaim(READ_AROUND) => {}
                result => return result,
            }
        }
    }

    fn fill_within_limit(
        &self,
        source: &dyn PageSource,
        me: &Weak<Vmo>,
        offset: u64,
        wait: bool,
    ) -> Result<()> {
        let _changing = if wait {
            self.changing.lock()
        } else {
            // Held perhaps by somebody who reads a disk.
            self.changing.try_lock().ok_or(Error::ShouldWait)?
        };
        if self.is_present(offset, false) {
            return Ok(());
        }
        let missing;
        let size = self.size.load(Ordering::Relaxed);
        let piece = {
            let mut contents = self.change();
            let around = offset / READ_AROUND * READ_AROUND;
            let window = around..around.saturating_add(READ_AROUND).min(size);
            let gap = contents.pages.gap_around(offset).ok_or(Error::Internal)?;
            let gap = gap.start.max(window.start)..gap.end.min(window.end);
            if gap.is_empty() {
                return Err(Error::OutOfRange);
            }
            let growing = contents.growing;
            missing = gap.start;
            contents.segments.place(&self.memory, &gap, size, growing)?
        };
        let (pa, len) = (piece.pa(), piece.len());
        self.charge_cached(me, &(missing..missing + len))?;
        // Nobody sees these pages before they are entered, and nobody frees them while
        // `changing` is held.
        let mut sink = PageSink { memory: &self.memory, pa, offset: missing, len };
        let filled = match wait {
            true => source.fill(missing, len, &mut sink),
            false => source.try_fill(missing, len, &mut sink),
        };
        if let Err(error) = filled {
            drop(piece);
            self.uncharge_cached(len);
            return Err(error);
        }
        self.change().pages.insert(missing, piece);
        Ok(())
    }

    /// Notes that every page of `range` has been touched.
    pub(crate) fn set_warm(&self, range: Range<u64>) {
        self.contents.read().pages.visit::<()>(&range, |_, piece, part, _| {
            if part.end - part.start == piece.len() {
                piece.set_warm();
            }
            None
        });
    }

    /// Bytes in `range` that the host holds, or that are present if there is a source,
    /// in order: for mincore.
    #[must_use]
    pub fn committed(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let _ = self.visit(range, &mut |run, place| {
            let mut add = |part: Range<u64>| match ranges.last_mut() {
                Some(last) if last.end == part.start => last.end = part.end,
                _ => ranges.push(part),
            };
            match place {
                None => add(run.offset..run.offset + run.len),
                Some(_) => {
                    for data in self.memory.committed_ranges(run.pa, run.len) {
                        let start = run.offset + (data.start - run.pa.0);
                        add(start..start + (data.end - data.start));
                    }
                }
            }
            ControlFlow::Continue(())
        });
        ranges
    }
}

impl Contents {
    /// The pieces of `range` that are present in this VMO itself.
    fn own(&self, range: Range<u64>, each: &mut Visitor<'_>) -> ControlFlow<()> {
        let stopped = self.pages.visit(&range, |offset, piece, whole, alone| {
            let warm = piece.frames().is_warm();
            let from = whole.start;
            let mut give = |part: Range<u64>, writable| {
                let (pa, len) = (piece.pa().offset(part.start), part.end - part.start);
                let run = PageRun { offset: offset + (part.start - from), pa, len, writable, warm };
                each(run, Some((piece, part))).is_break().then_some(())
            };
            match alone {
                true => piece.sharing(whole, give),
                false => give(whole, false),
            }
        });
        match stopped {
            Some(()) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }
}
