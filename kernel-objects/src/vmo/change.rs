//! Changing a VMO as a whole: its size, and giving ranges of pages back.
//!
//! Pages that go away are cut from all mappings before they are freed: until then, a guest could
//! reach memory that is about to be someone else's.

use std::{
    ops::{ControlFlow, Range},
    sync::atomic::Ordering,
};

use super::{Kind, PAGE, Vmo, VmoOptions, pages_of, round_up};
use crate::error::{Error, Result};

/// What is done to a range of pages by [`Vmo::op_range`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeOp {
    /// Make all pages present.
    Commit,
    /// Give pages back: they read as zero, or as what the source or the parent has, afterwards.
    Decommit,
    /// Write zeroes.
    Zero,
}

impl Vmo {
    /// Changes the size to `size` bytes, rounded up to pages; the content size becomes `size`
    /// (`zx_vmo_set_size`). What is cut off reads as zero if the VMO grows again, and mappings of
    /// it fault.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it is not resizable, [`Error::OutOfRange`], [`Error::BadState`] if pinned pages would be cut
    /// off, [`Error::NoMemory`] if it is charged and passes the limit.
    pub fn set_size(&self, size: u64) -> Result<()> {
        if !self.options.resizable {
            return Err(Error::Unavailable);
        }
        let new = round_up(size)?;
        let _changing = self.changing.lock();
        let old = self.size.load(Ordering::Relaxed);
        let old_content = self.content_size.load(Ordering::Relaxed);
        let cut = {
            let mut contents = self.contents.write();
            if new < old && contents.pins.overlap(&(new..old)) {
                return Err(Error::BadState);
            }
            if let Some(charge) = &mut contents.charge {
                charge.resize(new).map_err(|_| Error::NoMemory)?;
            }
            self.size.store(new, Ordering::Release);
            self.content_size.store(size, Ordering::Release);
            if new < old {
                contents.present.remove(new..old);
                let _ = contents.recount_cached();
                contents.segments.set_cold(&(new..old));
                contents.segments.split_off(new)
            } else {
                Default::default()
            }
        };
        if new < old {
            // Before the pages can become someone else's, nobody may map them.
            self.notify(new..old);
            let contents = self.contents.read();
            for run in contents.segments.runs(new..old) {
                self.memory.decommit(run.pa, run.len);
            }
        }
        drop(cut);
        if size < old_content && !size.is_multiple_of(PAGE) {
            self.zero_present(size..new.min(old));
        }
        Ok(())
    }

    /// Makes it `size` bytes large, rounded up to pages, if it is smaller; the content size stays.
    ///
    /// # Errors
    /// As [`set_size`](Self::set_size).
    pub(crate) fn extend(&self, size: u64) -> Result<()> {
        if !self.options.resizable {
            return Err(Error::Unavailable);
        }
        let new = round_up(size)?;
        let _changing = self.changing.lock();
        if new <= self.size.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut contents = self.contents.write();
        if let Some(charge) = &mut contents.charge {
            charge.resize(new).map_err(|_| Error::NoMemory)?;
        }
        self.size.store(new, Ordering::Release);
        Ok(())
    }

    /// Makes anonymous memory that only one mapping uses larger, resizable or not.
    ///
    /// # Errors
    /// [`Error::NotSupported`] if it is not anonymous or is resizable; else as
    /// [`set_size`](Self::set_size).
    pub(crate) fn grow(&self, size: u64) -> Result<()> {
        if !self.is_anonymous() || self.options.resizable {
            return Err(Error::NotSupported);
        }
        let new = round_up(size)?;
        let mut contents = self.contents.write();
        if let Some(charge) = &mut contents.charge {
            charge.resize(new).map_err(|_| Error::NoMemory)?;
        }
        contents.growing = true;
        self.size.store(new, Ordering::Release);
        self.content_size.store(size, Ordering::Release);
        Ok(())
    }

    /// Whether it is anonymous memory of fixed size, not charged, that nobody has used yet.
    pub(crate) fn is_untouched(&self) -> bool {
        let plain = self.is_anonymous() && self.options == VmoOptions::default();
        plain && self.contents.read().segments.is_empty()
    }

    /// Sets the content size alone; at most [`size`](Self::size).
    ///
    /// # Errors
    /// [`Error::OutOfRange`].
    pub fn set_content_size(&self, size: u64) -> Result<()> {
        if size > self.size() {
            return Err(Error::OutOfRange);
        }
        self.content_size.store(size, Ordering::Release);
        Ok(())
    }

    /// Zeroes what is present and writable.
    fn zero_present(&self, range: Range<u64>) {
        let _ = self.for_each_present(range, &mut |run| {
            if run.writable {
                self.memory.zero(run.pa, run.len);
            }
            ControlFlow::Continue(())
        });
    }

    /// Does `op` to a range (`zx_vmo_op_range`).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the range passes the end, [`Error::BadState`] if a page to decommit is pinned,
    /// [`Error::NotSupported`] for a physical VMO, and for pages of a contiguous one to decommit; else as
    /// [`prepare`](Self::prepare).
    pub fn op_range(&self, op: RangeOp, offset: u64, len: u64) -> Result<()> {
        let range = self.check(offset, len)?;
        if self.is_physical() || (op == RangeOp::Decommit && self.is_contiguous()) {
            return Err(Error::NotSupported);
        }
        match op {
            RangeOp::Commit => self.access(pages_of(&range), self.is_snapshot(), |_, _, _| Ok(())),
            RangeOp::Decommit if self.is_pinned(range.clone()) => Err(Error::BadState),
            RangeOp::Decommit => {
                self.decommit(range);
                Ok(())
            }
            RangeOp::Zero => self.zero(range),
        }
    }

    pub(super) fn is_snapshot(&self) -> bool {
        matches!(self.kind, Kind::Snapshot { .. })
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        let inner = range.start.next_multiple_of(PAGE)..range.end / PAGE * PAGE;
        if !self.is_anonymous() || inner.is_empty() || inner.end - inner.start < 64 * PAGE {
            return self.access(range, true, |_, pa, len| {
                self.memory.zero(pa, len);
                Ok(())
            });
        }
        self.decommit(inner.clone());
        self.zero_present(range.start..inner.start);
        self.zero_present(inner.end..range.end);
        Ok(())
    }

    /// Gives the pages wholly inside `range` back. They read as zero, or as the source or the
    /// parent has them, afterwards. Pinned ones stay; those of anonymous memory are zeroed.
    pub fn decommit(&self, range: Range<u64>) {
        let range = range.start.next_multiple_of(PAGE)..range.end / PAGE * PAGE;
        if range.is_empty() {
            return;
        }
        if let Kind::Slice { parent, offset } = &self.kind {
            return parent.decommit(offset + range.start..offset + range.end);
        }
        let _changing = self.changing.lock();
        let parts = self.contents.read().pins.unpinned(&range);
        if !self.is_anonymous() {
            let mut contents = self.contents.write();
            parts.iter().for_each(|part| contents.present.remove(part.clone()));
            let _ = contents.recount_cached();
            drop(contents);
            parts.iter().for_each(|part| self.notify(part.clone()));
        }
        let contents = self.contents.read();
        contents.segments.set_cold(&range);
        for run in parts.into_iter().flat_map(|part| contents.segments.runs(part)) {
            self.memory.decommit(run.pa, run.len);
        }
        if self.is_anonymous() {
            let pinned = contents.pins.pinned(&range);
            for run in pinned.into_iter().flat_map(|part| contents.segments.runs(part)) {
                self.memory.zero(run.pa, run.len);
            }
        }
    }
}
