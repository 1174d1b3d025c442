//! Making children: snapshots, clones of page caches, slices and references.
//!
//! What Zircon calls the *kind* of a child says how far it is a copy. Anonymous memory is always snapshotted, which costs a
//! reference to its [map of pages](super::page_map): both then copy what they write. The pages of a page cache cannot be kept
//! from changing without reading all of them, so a clone has pages of its own over the cache's, and a clone of a clone is a
//! snapshot of the former over the same cache.

use std::{
    ops::{ControlFlow, Range},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bitflags::bitflags;
use hal::pmem::PhysicalMemory;

use super::{
    Contents, Kind, MAX_SIZE, PAGE, Segments, Vmo, VmoOptions,
    frames::{self, Piece},
    page_map::PageMap,
    pages_of,
};
use crate::{
    error::{Error, Result},
    object::KernelObject,
    rights::Rights,
};

/// Bytes that are copied at once when one is written, if the cache has them and they cannot change there.
const COPY_AROUND: u64 = 32 << 10;

bitflags! {
    /// What kind of child is made: one of the first five and any of the others (`ZX_VMO_CHILD_*`, `zircon/types.h`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct ChildOptions: u32 {
        /// As if all were copied now.
        const SNAPSHOT = 1 << 0;
        /// A page is copied when the child writes it, at the latest: until then what is written to the parent may show. Of
        /// anonymous memory, and where the child's parent has a page of its own, it is as [`SNAPSHOT`](Self::SNAPSHOT).
        const SNAPSHOT_AT_LEAST_ON_WRITE = 1 << 4;
        /// As [`SNAPSHOT`](Self::SNAPSHOT) of the pages that the parent has itself, and as the former of those that a page cache has.
        const SNAPSHOT_MODIFIED = 1 << 7;
        /// A part of the parent.
        const SLICE = 1 << 3;
        /// The parent, its size included.
        const REFERENCE = 1 << 6;
        /// The child can be resized; the parent, by a reference.
        const RESIZABLE = 1 << 2;
        /// The child cannot be written to.
        const NO_WRITE = 1 << 5;
    }
}

impl ChildOptions {
    /// Those that make a copy.
    const COPIES: Self =
        Self::SNAPSHOT.union(Self::SNAPSHOT_AT_LEAST_ON_WRITE).union(Self::SNAPSHOT_MODIFIED);
    const KINDS: Self = Self::COPIES.union(Self::SLICE).union(Self::REFERENCE);

    /// The rights of the handle to the child that is made through a handle with `rights`.
    #[must_use]
    pub fn rights(self, rights: Rights) -> Rights {
        let mut child = rights | Rights::PROPERTY;
        child.set(Rights::RESIZE, self.contains(Self::RESIZABLE));
        if self.contains(Self::NO_WRITE) {
            child.remove(Rights::WRITE);
        } else if self.intersects(Self::COPIES) {
            child.remove(Rights::EXECUTE);
            child.insert(Rights::WRITE);
        }
        child
    }
}

impl Contents {
    /// Fills the pages of `range`, where nothing is, with pages of its own; `fill(offset, piece)` is called for each piece before
    /// it is entered.
    pub(super) fn place_copies(
        &mut self,
        memory: &Arc<PhysicalMemory>,
        range: Range<u64>,
        size: u64,
        mut fill: impl FnMut(u64, &Piece),
    ) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let piece = self.segments.place_copy(memory, &(at..range.end), size)?;
            fill(at, &piece);
            let len = piece.len();
            self.pages.insert(at, piece);
            at += len;
        }
        Ok(())
    }

    /// Enters a copy of a piece, which goes to `shared`. What cannot be copied is entered as it is.
    fn copy_piece(
        &mut self,
        memory: &Arc<PhysicalMemory>,
        (mut at, piece): (u64, Piece),
        size: u64,
        shared: &mut Vec<Piece>,
    ) -> Result<()> {
        let mut rest = Some(piece);
        while let Some(piece) = rest.take() {
            let own = match self.segments.place_copy(memory, &(at..at + piece.len()), size) {
                Ok(own) => own,
                Err(error) => {
                    self.pages.insert(at, piece);
                    return Err(error);
                }
            };
            let len = own.len();
            let (piece, tail) = piece.cut(len);
            rest = tail;
            piece.touched(0..len, |part, touched| {
                // What was never touched is zero in the copy as well.
                if touched {
                    let (to, from) = (own.pa().offset(part.start), piece.pa().offset(part.start));
                    memory.copy(to, from, part.end - part.start);
                }
                Ok::<_, Error>(())
            })?;
            self.pages.insert(at, own);
            shared.push(piece);
            at += len;
        }
        Ok(())
    }
}

impl Vmo {
    /// Makes a child of `size` bytes, rounded up to pages, that begins `offset` bytes into this VMO (`zx_vmo_create_child`).
    ///
    /// A copy may begin or reach beyond this VMO's end: there it is zero, whatever becomes of this VMO. The child lives on when this
    /// VMO dies, and is then a child of this VMO's parent.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`]: `options` names no kind or several, or unknown options; [`RESIZABLE`](ChildOptions::RESIZABLE) with
    /// `NO_WRITE` or `SLICE`; `offset` is not a page multiple; a reference with an `offset` or `size`. [`Error::OutOfRange`]:
    /// `offset` and `size` are too large, or for a slice beyond the end. [`Error::NotSupported`]: this VMO is discardable; a copy of or reference to something contiguous or physical, a slice of something resizable, a
    /// resizable reference to something that is not, a [`SNAPSHOT`](ChildOptions::SNAPSHOT) of something that shows a page
    /// cache. [`Error::BadState`]: a copy of something that has pinned pages. [`Error::NoMemory`].
    ///
    /// ```
    /// use hal::pmem::PhysicalMemory;
    /// use kernel_objects::{Vmo, VmoOptions, vmo::ChildOptions};
    ///
    /// let memory = PhysicalMemory::new(None).unwrap();
    /// let vmo = Vmo::create(&memory, 8192, VmoOptions::default()).unwrap();
    /// vmo.write(0, b"before").unwrap();
    /// let snapshot = vmo.create_child(ChildOptions::SNAPSHOT, 0, 8192).unwrap();
    /// vmo.write(0, b"after!").unwrap();
    /// let mut bytes = [0; 6];
    /// snapshot.read(0, &mut bytes).unwrap();
    /// assert_eq!(&bytes, b"before");
    /// ```
    pub fn create_child(
        self: &Arc<Self>,
        options: ChildOptions,
        offset: u64,
        size: u64,
    ) -> Result<Arc<Self>> {
        if self.discard.is_some() {
            return Err(Error::NotSupported);
        }
        let kind = options & ChildOptions::KINDS;
        let resizable = options.contains(ChildOptions::RESIZABLE);
        let no_write = options.contains(ChildOptions::NO_WRITE);
        let slice = kind == ChildOptions::SLICE;
        if kind.bits().count_ones() != 1
            || !ChildOptions::all().contains(options)
            || (resizable && (no_write || slice))
            || !offset.is_multiple_of(PAGE)
        {
            return Err(Error::InvalidArgs);
        }
        let vmo_options = VmoOptions { resizable, charged: false };
        if !slice && self.is_contiguous() {
            return Err(Error::NotSupported);
        }
        if kind == ChildOptions::REFERENCE {
            return match (offset, size) {
                (0, 0) => self.create_reference(vmo_options, no_write),
                _ => Err(Error::InvalidArgs),
            };
        }
        let end = offset.checked_add(size).ok_or(Error::OutOfRange)?;
        if slice {
            return self.create_slice_of(offset, size, no_write);
        }
        if end > MAX_SIZE {
            return Err(Error::OutOfRange);
        }
        self.create_copy(kind, offset, size, vmo_options, no_write)
    }

    /// Enters the child into the family.
    fn finish_child(self: &Arc<Self>, mut child: Vmo, no_write: bool, clone: bool) -> Arc<Self> {
        child.writable = !no_write && (clone || self.writable);
        child.parent_koid = self.koid();
        let child = Arc::new(child);
        self.adopt(&child, clone);
        child
    }

    /// The VMO that has the pages.
    pub(super) fn shared_owner(self: &Arc<Self>) -> (Arc<Self>, u64) {
        match &self.kind {
            Kind::Slice { owner, offset } => (owner.clone(), *offset),
            Kind::Reference { owner } => (owner.clone(), 0),
            _ => (self.clone(), 0),
        }
    }

    fn create_reference(
        self: &Arc<Self>,
        options: VmoOptions,
        no_write: bool,
    ) -> Result<Arc<Self>> {
        if let Kind::Slice { .. } = &self.kind {
            // What a reference to a slice spans is the slice.
            return match options.resizable {
                true => Err(Error::NotSupported),
                false => self.create_slice_of(0, self.size(), no_write),
            };
        }
        if options.resizable && !self.options.resizable {
            return Err(Error::NotSupported);
        }
        let (owner, _) = self.shared_owner();
        let mut child = Vmo::new(&self.memory, 0, options, Kind::Reference { owner })?;
        child.content = self.content.clone();
        Ok(self.finish_child(child, no_write, false))
    }

    fn create_slice_of(
        self: &Arc<Self>,
        offset: u64,
        size: u64,
        no_write: bool,
    ) -> Result<Arc<Self>> {
        let (owner, base) = self.shared_owner();
        if owner.options.resizable {
            return Err(Error::NotSupported);
        }
        self.check(offset, size)?;
        let kind = Kind::Slice { owner, offset: base + offset };
        let child = Vmo::new(&self.memory, size, VmoOptions::default(), kind)?;
        Ok(self.finish_child(child, no_write, false))
    }

    fn create_copy(
        self: &Arc<Self>,
        how: ChildOptions,
        offset: u64,
        size: u64,
        options: VmoOptions,
        no_write: bool,
    ) -> Result<Arc<Self>> {
        let (owner, base) = self.shared_owner();
        // What of the owner is seen through this VMO.
        let seen =
            base + self.size().min(offset)..base + self.size().min(offset.saturating_add(size));
        let from = base.saturating_add(offset);
        let behind = match &owner.kind {
            Kind::Source { .. } => Some((owner.clone(), from)),
            Kind::Over { source, offset, .. } => {
                Some((source.clone(), offset.saturating_add(from)))
            }
            _ => None,
        };
        let Some((source, source_offset)) = behind else {
            let mut child = Vmo::new(&self.memory, size, options, Kind::Anonymous)?;
            child.contents.get_mut().pages = owner.share_pages(&seen)?;
            *child.shares.get_mut() = true;
            return Ok(self.finish_child(child, no_write, true));
        };
        if how == ChildOptions::SNAPSHOT {
            return Err(Error::NotSupported);
        }
        let follows = matches!(owner.kind, Kind::Over { follows: true, .. });
        let kind = Kind::Over {
            source: source.clone(),
            offset: source_offset,
            limit: AtomicU64::new(0),
            follows,
        };
        let mut child = Vmo::new(&self.memory, size, options, kind)?;
        // So that the cache is not cut off before its clone hears of it.
        let _changing = source.changing.lock();
        let shown = match &owner.kind {
            Kind::Over { .. } => owner.shown(),
            _ => owner.size(),
        };
        if let Kind::Over { limit, .. } = &mut child.kind {
            *limit.get_mut() = shown.min(seen.end).saturating_sub(from);
        }
        if !std::ptr::eq(&*owner, &*source) {
            child.contents.get_mut().pages = owner.share_pages(&seen)?;
        }
        let child = self.finish_child(child, no_write, true);
        source.links.lock().clones.push(Arc::downgrade(&child));
        Ok(child)
    }

    /// What lies in `seen`, for a snapshot, after having everybody fault who wants to write there.
    fn share_pages(&self, seen: &Range<u64>) -> Result<PageMap> {
        let _changing = self.changing.lock();
        let shared = {
            let mut contents = self.change();
            if contents.pins.overlap(&(0..u64::MAX)) {
                // What a device writes could not be kept out.
                return Err(Error::BadState);
            }
            if seen.is_empty() {
                return Ok(PageMap::default());
            }
            if contents.pages.share(seen).is_empty() && !matches!(self.kind, Kind::Anonymous) {
                // Nothing of its own is seen there, so nobody need learn of anything.
                return Ok(PageMap::default());
            }
            self.shares.store(true, Ordering::Release);
            // Its places have somebody else's pages now.
            contents.segments = Segments::default();
            contents.pages.share(seen)
        };
        self.notify(seen.clone());
        Ok(shared)
    }

    /// Creates what Linux calls a private mapping of `size` bytes from `offset` (a page multiple) on: a clone that, where it has
    /// no pages of its own, ends where this VMO ends at any time.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] if `offset` is not aligned, [`Error::OutOfRange`], [`Error::NotSupported`] if this one is contiguous,
    /// physical or discardable, [`Error::NoMemory`] if it is charged and passes the limit.
    pub fn create_private(
        self: &Arc<Self>,
        offset: u64,
        size: u64,
        charged: bool,
    ) -> Result<Arc<Self>> {
        if !offset.is_multiple_of(PAGE) {
            return Err(Error::InvalidArgs);
        }
        if self.is_contiguous() || self.discard.is_some() {
            return Err(Error::NotSupported);
        }
        offset.checked_add(size).ok_or(Error::OutOfRange)?;
        let options = VmoOptions { resizable: false, charged };
        let (source, base) = self.shared_owner();
        let offset = base.checked_add(offset).ok_or(Error::OutOfRange)?;
        let limit = AtomicU64::new(0);
        let kind = Kind::Over { source: source.clone(), offset, limit, follows: true };
        let child = self.finish_child(Vmo::new(&self.memory, size, options, kind)?, false, true);
        source.links.lock().clones.push(Arc::downgrade(&child));
        Ok(child)
    }

    /// Has the pages of `range` for itself alone, those that are present.
    pub(crate) fn make_own(&self, range: Range<u64>) -> Result<()> {
        let _changing = self.changing.lock();
        let mut shared = Vec::new();
        let done = {
            let mut contents = self.change();
            let size = self.size.load(Ordering::Relaxed);
            let pieces = contents.pages.remove(&range);
            let mut done = Ok(());
            for (at, piece) in pieces {
                if done.is_err() || piece.is_alone() {
                    contents.pages.insert(at, piece);
                } else {
                    done = contents.copy_piece(&self.memory, (at, piece), size, &mut shared);
                }
            }
            done
        };
        // Mappings still show the others' pages, which must not change before.
        self.notify(range);
        frames::free(shared);
        done
    }

    /// Takes the cache's pages of `range` for itself, and a few around it that cost little.
    pub(super) fn copy_up(&self, range: Range<u64>) -> Result<()> {
        let Kind::Over { source, offset: base, .. } = &self.kind else {
            return Err(Error::Internal);
        };
        // Have the cache's pages first, without a lock of ours: this may read a file.
        let must = pages_of(&range);
        let mut at = must.start;
        while at < must.end {
            let run = source.resolve_run(base.saturating_add(at), false, must.end - at)?;
            at = at.saturating_add(run.len);
        }
        // More than that one only where nobody would notice: until it is copied, a page shows what is written to the cache.
        let around = if source.may_change() { PAGE } else { COPY_AROUND };
        let window = must.start / around * around..must.end.next_multiple_of(around);
        let copied = {
            let _changing = self.changing.lock();
            let mut contents = self.change();
            let size = self.size.load(Ordering::Relaxed);
            let window = window.start..window.end.min(size).min(self.shown());
            if window.is_empty() {
                return Err(Error::OutOfRange);
            }
            for gap in contents.pages.gaps(&window) {
                let contents = &mut *contents;
                let theirs = base.saturating_add(gap.start)..base.saturating_add(gap.end);
                let mut result = Ok(());
                let _ = source.for_each_present(theirs, &mut |run| {
                    let at = run.offset - base;
                    result =
                        contents.place_copies(&self.memory, at..at + run.len, size, |to, own| {
                            self.memory.copy(own.pa(), run.pa.offset(to - at), own.len())
                        });
                    match result {
                        Ok(()) => ControlFlow::Continue(()),
                        Err(_) => ControlFlow::Break(()),
                    }
                });
                result?;
            }
            window
        };
        // Mappings still show the cache's pages.
        self.notify(copied);
        Ok(())
    }

    /// The page cache's pages of `range` (its offsets) have gone.
    pub(super) fn source_lost(&self, range: &Range<u64>) {
        let Kind::Over { source, offset, limit, follows } = &self.kind else { return };
        let size = self.size.load(Ordering::Acquire);
        let start = range.start.saturating_sub(*offset);
        let end = range.end.saturating_sub(*offset).min(size);
        let truncated = source.size() <= range.start;
        if truncated {
            limit.fetch_min(start, Ordering::AcqRel);
        }
        if start >= end {
            return;
        }
        if truncated && *follows {
            // As on Linux, pages of a private mapping go with the file's.
            self.decommit(start..end);
        } else {
            self.notify(start..end);
        }
    }
}
