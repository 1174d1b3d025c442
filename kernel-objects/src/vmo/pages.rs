//! Which pages of a VMO are present, and how they become so.
//!
//! Whoever uses pages asks for the present ones, which does not block, and *prepares* the missing
//! ones before it asks again, which may: a source is asked, or a parent's page copied.

use std::{
    ops::{ControlFlow, Range},
    sync::{Weak, atomic::Ordering},
};

use super::{Contents, Kind, PAGE, PageRun, PageSink, PageSource, Vmo};
use crate::error::{Error, Result};

/// Pages that a source is asked for at once, around the one that is needed.
const READ_AROUND: u64 = 128 << 10;

impl Vmo {
    /// Calls `each` for the pieces of `range` that are present, in order, until it breaks. Pages do
    /// not go away meanwhile. Does not block.
    pub(crate) fn for_each_present(
        &self,
        range: Range<u64>,
        each: &mut dyn FnMut(PageRun) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let contents = self.contents.read();
        let range = range.start..range.end.min(self.size());
        if range.is_empty() {
            return ControlFlow::Continue(());
        }
        match &self.kind {
            Kind::Anonymous => contents.segments.runs(range).try_for_each(each),
            Kind::Source { .. } => contents.own(range, each),
            Kind::Placed(placed) => each(placed.run(range)),
            Kind::Slice { parent, offset } => for_parent(parent, *offset, range, true, each),
            Kind::Snapshot { parent, offset } => {
                let mut at = range.start;
                for own in contents.present.overlapping(&range) {
                    if own.start > at {
                        for_parent(parent, *offset, at..own.start, false, each)?;
                    }
                    let piece = own.start.max(range.start)..own.end.min(range.end);
                    at = piece.end;
                    contents.own(piece, each)?;
                }
                if at < range.end {
                    for_parent(parent, *offset, at..range.end, false, each)?;
                }
                ControlFlow::Continue(())
            }
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

    /// Whether a page is present that can be read, or written if `write`.
    fn is_present(&self, offset: u64, write: bool) -> bool {
        self.present_run(offset, 1).is_some_and(|run| run.writable || !write)
    }

    /// Makes the page at `offset` present, writable if `write`, and perhaps some around it. May
    /// block.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] beyond the end, [`Error::NoMemory`], or what the source says.
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

    /// Makes the pages of `range` present, a snapshot's its own, up to the first for which it would
    /// have to block or fail.
    pub(crate) fn try_commit(&self, range: Range<u64>) {
        let write = self.is_snapshot();
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
        match &self.kind {
            Kind::Anonymous => self.reserve(offset),
            // All of them are present.
            Kind::Placed(_) => Err(Error::Internal),
            Kind::Source { source, me } => self.fill(source.as_ref(), me, offset, wait),
            Kind::Slice { parent, offset: base } => parent.make_present(base + offset, write, wait),
            Kind::Snapshot { parent, offset: base } => {
                if !write || !wait {
                    parent.make_present(base + offset, false, wait)?;
                }
                if write {
                    self.copy_up(offset / PAGE * PAGE..offset / PAGE * PAGE + 1)?;
                }
                Ok(())
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

    /// Gives `offset` a place in physical memory.
    fn reserve(&self, offset: u64) -> Result<()> {
        let mut contents = self.contents.write();
        // Read again under the lock: it may have been resized.
        let size = self.size.load(Ordering::Relaxed);
        if offset >= size {
            return Err(Error::OutOfRange);
        }
        let growing = contents.growing;
        contents.segments.reserve(&self.memory, offset, size, growing)
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
        self.reserve(offset)?;
        let missing = {
            let contents = self.contents.read();
            let size = self.size.load(Ordering::Relaxed);
            let around = offset / READ_AROUND * READ_AROUND;
            let window = around..around.saturating_add(READ_AROUND).min(size);
            let Some(run) = contents
                .segments
                .runs(window)
                .find(|run| run.offset <= offset && offset < run.offset + run.len)
            else {
                return Err(Error::OutOfRange);
            };
            let window = run.offset..run.offset + run.len;
            let gap = contents.present.gaps(&window).find(|gap| gap.contains(&offset));
            gap.and_then(|gap| run.clip(&gap)).ok_or(Error::OutOfRange)?
        };
        self.charge_cached(me, &(missing.offset..missing.offset + missing.len))?;
        // Nobody sees these pages before they are marked present, and nobody frees them while
        // `changing` is held.
        let PageRun { offset, pa, len, .. } = missing;
        let mut sink = PageSink { memory: &self.memory, pa, offset, len };
        let filled = match wait {
            true => source.fill(offset, len, &mut sink),
            false => source.try_fill(offset, len, &mut sink),
        };
        if let Err(error) = filled {
            self.memory.decommit(pa, len);
            let _ = self.contents.write().recount_cached();
            return Err(error);
        }
        self.contents.write().present.insert(offset..offset + len);
        Ok(())
    }

    /// Notes that every page of `range` has been touched.
    pub(crate) fn set_warm(&self, range: Range<u64>) {
        self.contents.read().segments.set_warm(&range);
    }

    /// Bytes in `range` that the host holds, or that are present if there is a source or a parent,
    /// in order: for mincore.
    #[must_use]
    pub fn committed(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        let _ = self.for_each_present(range, &mut |run| {
            if self.is_anonymous() {
                for data in self.memory.committed_ranges(run.pa, run.len) {
                    let start = run.offset + (data.start - run.pa.0);
                    ranges.push(start..start + (data.end - data.start));
                }
            } else {
                ranges.push(run.offset..run.offset + run.len);
            }
            ControlFlow::Continue(())
        });
        ranges
    }
}

impl Contents {
    /// The pieces of `range` that are present in this VMO itself.
    fn own(
        &self,
        range: Range<u64>,
        each: &mut dyn FnMut(PageRun) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for own in self.present.overlapping(&range) {
            let piece = own.start.max(range.start)..own.end.min(range.end);
            for run in self.segments.runs(piece) {
                each(run)?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// `for_each_present` of a parent, in the child's offsets.
pub(super) fn for_parent(
    parent: &Vmo,
    offset: u64,
    range: Range<u64>,
    writable: bool,
    each: &mut dyn FnMut(PageRun) -> ControlFlow<()>,
) -> ControlFlow<()> {
    parent.for_each_present(offset + range.start..offset + range.end, &mut |run| {
        each(PageRun { offset: run.offset - offset, writable: run.writable && writable, ..run })
    })
}
