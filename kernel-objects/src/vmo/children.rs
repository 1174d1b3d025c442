//! Snapshots and slices: VMOs whose pages are another VMO's.
//!
//! A snapshot is `SNAPSHOT_AT_LEAST_ON_WRITE`: it sees the parent's bytes, later changes included,
//! until it writes a page, which it then has for itself. That is what Linux promises of a private
//! file mapping, and it costs the parent nothing.

use std::{
    ops::{ControlFlow, Range},
    sync::{Arc, atomic::Ordering},
};

use super::{Kind, PAGE, Vmo, VmoOptions};
use crate::error::{Error, Result};

/// Bytes that are copied at once when one is written, if the parent has them and they cannot change there.
const COPY_AROUND: u64 = 32 << 10;

impl Vmo {
    fn create_child(
        self: &Arc<Self>,
        offset: u64,
        size: u64,
        options: VmoOptions,
        kind: Kind,
    ) -> Result<Arc<Self>> {
        if !offset.is_multiple_of(PAGE) {
            return Err(Error::InvalidArgs);
        }
        offset.checked_add(size).ok_or(Error::OutOfRange)?;
        let child = Arc::new(Vmo::new(&self.memory, size, options, kind)?);
        self.links.lock().children.push(Arc::downgrade(&child));
        Ok(child)
    }

    /// Creates a copy of `size` bytes from `offset` (a page multiple) on that takes pages for
    /// itself when they are written (`ZX_VMO_CHILD_SNAPSHOT_AT_LEAST_ON_WRITE`). It may reach
    /// beyond the end of this VMO: those pages cannot be accessed.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] if `offset` is not aligned, [`Error::OutOfRange`], [`Error::NotSupported`] if this one is contiguous or
    /// physical, [`Error::NoMemory`] if it is charged and passes the limit.
    pub fn create_snapshot(
        self: &Arc<Self>,
        offset: u64,
        size: u64,
        charged: bool,
    ) -> Result<Arc<Self>> {
        if self.is_contiguous() {
            return Err(Error::NotSupported);
        }
        let options = VmoOptions { resizable: false, charged };
        let kind = Kind::Snapshot { parent: self.clone(), offset };
        self.create_child(offset, size, options, kind)
    }

    /// Creates a VMO whose pages are `size` bytes of this one's from `offset` (a page multiple) on
    /// (`ZX_VMO_CHILD_SLICE`).
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] if `offset` is not aligned, [`Error::OutOfRange`] if it passes the
    /// end.
    pub fn create_slice(self: &Arc<Self>, offset: u64, size: u64) -> Result<Arc<Self>> {
        self.check(offset, size)?;
        let kind = Kind::Slice { parent: self.clone(), offset };
        self.create_child(offset, size, VmoOptions::default(), kind)
    }

    /// Children that are alive.
    #[must_use]
    pub fn children(&self) -> usize {
        self.links.lock().children.live().len()
    }

    /// Takes the pages of `range` for itself, and a few around it that cost little.
    pub(super) fn copy_up(&self, range: Range<u64>) -> Result<()> {
        let Kind::Snapshot { parent, offset: base } = &self.kind else {
            return Err(Error::Internal);
        };
        // Have the parent's pages first, without a lock of ours: this may read a file.
        let must = super::pages_of(&range);
        let mut at = must.start;
        while at < must.end {
            let run = parent.resolve_run(base + at, false, must.end - at)?;
            at = at.saturating_add(run.len);
        }
        // More than that one only where nobody would notice: until it is copied, a page shows what is written to the parent.
        let around = if parent.may_change() { PAGE } else { COPY_AROUND };
        let window = must.start / around * around..must.end.next_multiple_of(around);
        let copied = {
            let _changing = self.changing.lock();
            let mut contents = self.contents.write();
            let size = self.size.load(Ordering::Relaxed);
            let window = window.start..window.end.min(size);
            if window.is_empty() {
                return Err(Error::OutOfRange);
            }
            let mut at = window.start;
            while at < window.end {
                contents.segments.reserve(&self.memory, at, size, false)?;
                at += PAGE;
            }
            let gaps: Vec<Range<u64>> = contents.present.gaps(&window).collect();
            for gap in gaps {
                let mut copied = Vec::new();
                let contents = &mut *contents;
                let _ = super::pages::for_parent(parent, *base, gap, false, &mut |run| {
                    let from = run.offset..run.offset + run.len;
                    for own in contents.segments.runs(from) {
                        let source = run.pa.offset(own.offset - run.offset);
                        self.memory.copy(own.pa, source, own.len);
                        copied.push(own.offset..own.offset + own.len);
                    }
                    ControlFlow::Continue(())
                });
                contents.present.extend(copied);
            }
            window
        };
        // Mappings still show the parent's pages.
        self.notify(copied);
        Ok(())
    }

    /// The parent's pages of `range` (its offsets) have gone.
    pub(super) fn parent_lost(&self, range: Range<u64>) {
        let (Kind::Snapshot { parent, offset } | Kind::Slice { parent, offset }) = &self.kind
        else {
            return;
        };
        let size = self.size.load(Ordering::Acquire);
        let start = range.start.saturating_sub(*offset);
        let end = range.end.saturating_sub(*offset).min(size);
        if start >= end {
            return;
        }
        if self.is_snapshot() && parent.size() <= range.start {
            // The parent was truncated: as on Linux, pages of a private mapping go with it.
            self.decommit(start..end);
        } else {
            self.notify(start..end);
        }
    }
}
