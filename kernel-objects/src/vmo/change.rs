//! Changing a VMO as a whole: its size, and giving ranges of pages back.
//!
//! Pages that go away are cut from all mappings before they are freed: until then, a guest could
//! reach memory that is about to be someone else's.

use std::{
    ops::{ControlFlow, Range},
    sync::atomic::Ordering,
};

use hal::pmem::PhysicalMemory;

use super::{
    Contents, Kind, PAGE, Vmo, VmoOptions,
    frames::{self, Piece},
    pages_of, round_up,
};
use crate::{
    error::{Error, Result},
    object::KOID_INVALID,
};

/// What is done to a range of pages by [`Vmo::op_range`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeOp {
    /// Make all pages present.
    Commit,
    /// Give pages back: they read as zero, or as what the source or the parent has, afterwards.
    Decommit,
    /// Write zeroes.
    Zero,
    /// Keep a discardable VMO, if it has not been discarded; [`Vmo::lock`] tells whether it has.
    TryLock,
    /// Let a discardable VMO go.
    Unlock,
    /// Let the processor fetch instructions that were written.
    CacheSync,
    /// Forget what the processor's caches hold, so that others' writes to the memory are seen.
    CacheInvalidate,
    /// Let others see what was written.
    CacheClean,
    /// Both.
    CacheCleanInvalidate,
    /// Nobody needs the pages: they may go first.
    DontNeed,
    /// The pages are needed: make them present, and let them go last.
    AlwaysNeed,
    /// Make the pages present that will be read.
    Prefetch,
}

impl Vmo {
    /// Changes the size to `size` bytes, rounded up to pages; the content size becomes `size`
    /// (`zx_vmo_set_size`). The rest of the last page is zeroed. What is cut off is zero if the VMO grows again, and mappings of
    /// it fault.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it is not resizable, [`Error::OutOfRange`], [`Error::BadState`] if pinned pages would be cut
    /// off, [`Error::NoMemory`] if it is charged and passes the limit, or if there is none to zero the last page; as
    /// [`prepare`](Self::prepare) if that is a pager's.
    pub fn set_size(&self, size: u64) -> Result<()> {
        if !self.options.resizable {
            return Err(Error::Unavailable);
        }
        if let Kind::Reference { owner } = &self.kind {
            return owner.set_size(size);
        }
        let new = round_up(size)?;
        if size < new && size < self.size.load(Ordering::Relaxed) {
            self.zero_edge(size..new)?;
        }
        let _changing = self.changing.lock();
        let old = self.size.load(Ordering::Relaxed);
        let cut: Vec<Piece> = {
            let mut contents = self.change();
            if new < old && contents.pins.overlap(&(new..old)) {
                return Err(Error::BadState);
            }
            if let Some(charge) = &mut contents.charge {
                charge.resize(new).map_err(|_| Error::NoMemory)?;
            }
            self.size.store(new, Ordering::Release);
            self.content.size.store(size, Ordering::Release);
            contents.resize_tracking(old, new);
            if new < old {
                if let Kind::Over { limit, .. } = &self.kind {
                    limit.fetch_min(new, Ordering::AcqRel);
                }
                contents.segments.truncate(new);
                let cut = contents.pages.remove(&(new..u64::MAX)).into_iter();
                cut.map(|(_, piece)| piece).collect()
            } else {
                Vec::new()
            }
        };
        if new < old {
            // Before the pages can become someone else's, nobody may map them.
            self.notify(new..old);
            self.uncharge_cached(cut.iter().map(Piece::len).sum());
            frames::free(cut);
            self.answer_cut(new..old);
        }
        self.note_modified();
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
        if let Kind::Reference { owner } = &self.kind {
            return owner.extend(size);
        }
        let new = round_up(size)?;
        let _changing = self.changing.lock();
        if new <= self.size.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut contents = self.change();
        if let Some(charge) = &mut contents.charge {
            charge.resize(new).map_err(|_| Error::NoMemory)?;
        }
        contents.resize_tracking(self.size.load(Ordering::Relaxed), new);
        self.size.store(new, Ordering::Release);
        drop(contents);
        self.note_modified();
        Ok(())
    }

    /// Makes anonymous memory that only one mapping uses larger, resizable or not.
    ///
    /// # Errors
    /// [`Error::NotSupported`] if it is not anonymous, is resizable or shares pages; else as
    /// [`set_size`](Self::set_size).
    pub(crate) fn grow(&self, size: u64) -> Result<()> {
        if !self.is_plain() || self.options.resizable {
            return Err(Error::NotSupported);
        }
        let new = round_up(size)?;
        let mut contents = self.change();
        if let Some(charge) = &mut contents.charge {
            charge.resize(new).map_err(|_| Error::NoMemory)?;
        }
        contents.growing = true;
        self.size.store(new, Ordering::Release);
        self.content.size.store(size, Ordering::Release);
        Ok(())
    }

    /// Whether it is anonymous memory of fixed size, not charged, that nobody has used yet.
    pub(crate) fn is_untouched(&self) -> bool {
        let plain = self.is_plain() && self.options == VmoOptions::default();
        plain && self.contents.read().pages.is_empty()
    }

    /// Sets the content size alone, at most [`size`](Self::size), and zeroes what lies behind (`ZX_PROP_VMO_CONTENT_SIZE`).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if it is more, [`Error::NotSupported`] of a contiguous or physical VMO, [`Error::NoMemory`] if there is
    /// none to zero a page that others have too.
    pub fn set_content_size(&self, size: u64) -> Result<()> {
        if self.is_contiguous() {
            return Err(Error::NotSupported);
        }
        let _appending = self.content.appending.lock();
        let end = self.size();
        if size > end {
            return Err(Error::OutOfRange);
        }
        self.zero(size..end)?;
        self.content.size.store(size, Ordering::Release);
        Ok(())
    }

    /// Notes that a stream has written up to `size`.
    pub(crate) fn note_content(&self, size: u64) {
        self.content.size.fetch_max(size, Ordering::AcqRel);
    }

    /// Does `op` to a range (`zx_vmo_op_range`).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the range passes the end, [`Error::AccessDenied`] if the VMO may not be written to. To decommit:
    /// [`Error::InvalidArgs`] if the range is not of whole pages, [`Error::BadState`] if one is pinned, [`Error::NotSupported`] if
    /// pages are not this VMO's alone, or a slice's parent's (it is a copy or has one), or are a page cache's or a contiguous
    /// VMO's. [`Error::NotSupported`] for a physical VMO. [`Error::OutOfRange`] if the VMO was discarded. For a cache:
    /// [`Error::InvalidArgs`] if `len` is 0. To lock and unlock, as [`try_lock`](Self::try_lock) and [`unlock`](Self::unlock). Else as
    /// [`prepare`](Self::prepare).
    pub fn op_range(&self, op: RangeOp, offset: u64, len: u64) -> Result<()> {
        let range = self.check(offset, len)?;
        match op {
            RangeOp::TryLock => return self.try_lock(offset, len),
            RangeOp::Unlock => return self.unlock(offset, len),
            RangeOp::DontNeed => return self.dont_need(pages_of(&range)),
            RangeOp::AlwaysNeed => return self.always_need(pages_of(&range)),
            RangeOp::Prefetch => return self.prefetch(pages_of(&range)),
            op if op.is_cache_op() => return self.cache_op(op, &range),
            _ => {}
        }
        self.check_writable()?;
        if self.is_discarded() {
            return Err(Error::OutOfRange);
        }
        if self.is_physical() {
            return Err(Error::NotSupported);
        }
        match op {
            RangeOp::Commit => self.commit(pages_of(&range)),
            RangeOp::Decommit => {
                let (owner, _) = self.owner();
                if !offset.is_multiple_of(PAGE) || !len.is_multiple_of(PAGE) {
                    return Err(Error::InvalidArgs);
                }
                let copy = owner.parent_koid != KOID_INVALID || owner.has_clones();
                if copy || !owner.is_anonymous() {
                    return Err(Error::NotSupported);
                }
                if self.is_pinned(range.clone()) {
                    return Err(Error::BadState);
                }
                self.decommit(range);
                Ok(())
            }
            _ => self.zero(range),
        }
    }

    /// Makes pages present, and a copy's its own.
    fn commit(&self, range: Range<u64>) -> Result<()> {
        let (owner, _) = self.owner();
        let own = !matches!(owner.kind, Kind::Source { .. });
        self.access(range.clone(), own, |_, _, _| Ok::<_, Error>(()))?;
        let mut result = Ok(());
        let _ = self.visit(range, &mut |_, place| {
            if let Some((piece, part)) = place {
                result = piece.commit(part).map_err(|_| Error::NoMemory);
            }
            match result {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        result
    }

    fn zero(&self, range: Range<u64>) -> Result<()> {
        if let (owner, base) = self.owner()
            && !std::ptr::eq(owner, self)
        {
            return owner.zero(base + range.start..base + range.end);
        }
        let supplied = self.requests().is_some();
        if !supplied && matches!(self.kind, Kind::Source { .. } | Kind::Placed(_)) {
            return self.write_zeroes(range);
        }
        let inner = range.start.next_multiple_of(PAGE)..range.end / PAGE * PAGE;
        if inner.is_empty() {
            // A part of a page, or of two.
            let middle = inner.start.min(range.end);
            self.zero_edge(range.start..middle)?;
            return self.zero_edge(middle..range.end);
        }
        self.zero_edge(range.start..inner.start)?;
        self.zero_edge(inner.end..range.end)?;
        if supplied {
            return self.zero_supplied(&inner);
        }
        let shown = self.shown().clamp(inner.start, inner.end);
        self.decommit(shown..inner.end);
        if shown == inner.start {
            return Ok(());
        }
        // Pages of its own that were never touched, in front of the page cache's.
        let covered = inner.start..shown;
        let _changing = self.changing.lock();
        let (mut removed, mut placed) = (Vec::new(), Ok(()));
        {
            let mut contents = self.change();
            let size = self.size.load(Ordering::Relaxed);
            for part in contents.zero_pinned(&self.memory, &covered) {
                removed.extend(contents.pages.remove(&part).into_iter().map(|(_, piece)| piece));
                let part = part.start..part.end.min(size);
                placed = placed.and(contents.place_copies(&self.memory, part, size, |_, _| {}));
            }
        }
        self.notify(covered);
        frames::free(removed);
        placed
    }

    /// Zeroes a part of a page, if it is not zero for being nowhere; a page cache's if it is present, unless it is a pager's.
    fn zero_edge(&self, range: Range<u64>) -> Result<()> {
        if range.is_empty() || self.is_unsupplied_zero(range.start) {
            return Ok(());
        }
        let (mut present, mut touched) = (false, true);
        let _ = self.visit(range.start..range.start + 1, &mut |_, place| {
            present = true;
            if let Some((piece, part)) = place {
                let _ = piece.touched(part, |_, held| {
                    touched = held;
                    Ok::<_, Error>(())
                });
            }
            ControlFlow::Break(())
        });
        let filled = matches!(self.kind, Kind::Source { .. }) && self.requests().is_none();
        let nowhere = filled || self.is_zero(range.start);
        if (present && !touched) || (!present && nowhere) {
            return Ok(());
        }
        self.write_zeroes(range)
    }

    fn write_zeroes(&self, range: Range<u64>) -> Result<()> {
        self.access(range, true, |_, pa, len| {
            self.memory.zero(pa, len);
            Ok(())
        })
    }

    /// Gives the pages wholly inside `range` back. They read as zero, or as the page cache has them, afterwards. Pinned
    /// ones stay, and are zeroed where there is no page cache. A pager's all stay, since it decides.
    pub fn decommit(&self, range: Range<u64>) {
        let range = range.start.next_multiple_of(PAGE)..range.end / PAGE * PAGE;
        if range.is_empty() {
            return;
        }
        if let (owner, base) = self.owner()
            && !std::ptr::eq(owner, self)
        {
            return owner.decommit(base + range.start..base + range.end);
        }
        if self.requests().is_some() {
            return;
        }
        let _changing = self.changing.lock();
        if self.is_plain() {
            // They keep their places: mappings show zeroes at once.
            let contents = self.contents.read();
            for part in contents.zero_pinned(&self.memory, &range) {
                contents.pages.visit::<()>(&part, |_, piece, part, _| {
                    piece.decommit(part);
                    None
                });
            }
            self.forget_hot();
            return;
        }
        let removed: Vec<Piece> = {
            let mut contents = self.change();
            let parts = match self.is_anonymous() {
                true => contents.zero_pinned(&self.memory, &range),
                false => contents.pins.unpinned(&range),
            };
            let removed = parts.iter().flat_map(|part| contents.pages.remove(part));
            removed.map(|(_, piece)| piece).collect()
        };
        self.notify(range);
        self.uncharge_cached(removed.iter().map(Piece::len).sum());
        frames::free(removed);
    }
}

impl Contents {
    /// Writes zeroes to the pinned pages of `range`; returns where the others are.
    fn zero_pinned(&self, memory: &PhysicalMemory, range: &Range<u64>) -> Vec<Range<u64>> {
        for pinned in self.pins.pinned(range) {
            self.pages.visit::<()>(&pinned, |_, piece, part, _| {
                memory.zero(piece.pa().offset(part.start), part.end - part.start);
                None
            });
        }
        self.pins.unpinned(range)
    }
}
