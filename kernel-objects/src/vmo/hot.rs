//! The run of a VMO that was used last, found without a search and read without a lock.
//!
//! The one idea: for a few bytes, finding the pages costs as much as copying them. So the last run is kept beside the
//! contents, with a generation that is odd while the contents are changed. Whoever copies bytes out of the run looks at the
//! generation before and after; if it is another one, the bytes do not count. To copy *into* frames that are not the VMO's any
//! more would be too late to notice, so writers take the lock, but need not search.

use std::ops::{Deref, DerefMut, Range};

use hal::{
    pmem::PhysAddr,
    sync::{Generation, Record},
};
use parking_lot::RwLockWriteGuard;

use super::{Contents, PageRun, Vmo};

/// The generation, and a run.
#[derive(Debug, Default)]
pub(super) struct Hot {
    generation: Generation,
    /// The generation in which it was found, its first offset, its end, where it is, and 1 if it may be written.
    run: Record<5>,
}

impl Hot {
    /// Where `range` is and whether it may be written, if the run of this generation has it and it is not empty.
    #[inline]
    fn find(&self, range: &Range<u64>, generation: u64) -> Option<(PhysAddr, bool)> {
        let [of, start, end, pa, writable] = self.run.get()?;
        let counts = of == generation && generation.is_multiple_of(2);
        let inside = start <= range.start && range.start < range.end && range.end <= end;
        (counts && inside).then(|| (PhysAddr(pa).offset(range.start - start), writable != 0))
    }
}

/// The contents, to be changed.
pub(super) struct Change<'a> {
    contents: RwLockWriteGuard<'a, Contents>,
    hot: &'a Hot,
}

impl Deref for Change<'_> {
    type Target = Contents;

    fn deref(&self) -> &Contents {
        &self.contents
    }
}

impl DerefMut for Change<'_> {
    fn deref_mut(&mut self) -> &mut Contents {
        &mut self.contents
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        // Still under the lock.
        self.hot.generation.end();
    }
}

impl Vmo {
    /// The contents, to be changed: nobody reads them meanwhile.
    pub(super) fn change(&self) -> Change<'_> {
        let contents = self.contents.write();
        self.hot.generation.begin();
        Change { contents, hot: &self.hot }
    }

    /// Notes that pages were given back where they are, for the one caller at a time that holds `changing` and keeps others from
    /// [changing](Self::change) the contents.
    pub(super) fn forget_hot(&self) {
        self.hot.generation.begin();
        self.hot.generation.end();
    }

    /// Copies `range` out by `copy(pa)` if it lies in the run that was found last; false if it does not, or not any more: what
    /// was copied is of no use then.
    #[inline]
    pub(super) fn read_hot(&self, range: &Range<u64>, copy: impl FnOnce(PhysAddr)) -> bool {
        let generation = self.hot.generation.now();
        let Some((pa, _)) = self.hot.find(range, generation) else { return false };
        copy(pa);
        self.hot.generation.is_still(generation)
    }

    /// Copies `range` in by `copy(pa)` if it lies in the run that was found last and may be written.
    #[inline]
    pub(super) fn write_hot(&self, range: &Range<u64>, copy: impl FnOnce(PhysAddr)) -> bool {
        // Nothing is changed meanwhile.
        let _contents = self.contents.read();
        match self.hot.find(range, self.hot.generation.now()) {
            Some((pa, true)) => {
                copy(pa);
                true
            }
            _ => false,
        }
    }

    /// Remembers a run of pages that the host holds, for a caller that holds the lock.
    pub(super) fn note_hot(&self, run: &PageRun) {
        let generation = self.hot.generation.now();
        let end = run.offset + run.len;
        self.hot.run.put([generation, run.offset, end, run.pa.0, run.writable.into()]);
    }
}
