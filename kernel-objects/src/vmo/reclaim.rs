//! Giving pages of a page cache back when memory is short.
//!
//! Pages of a source can be had again, so they are dropped, those that were read first before others. A page that may have been
//! written through a mapping is written back before it goes: its mappings are cut first, and whoever wants it again meanwhile
//! waits for `changing`.

use std::{
    ops::Range,
    sync::{Weak, atomic::Ordering},
};

use hal::pmem::Reclaim;

use super::{Contents, Kind, PageRun, Vmo};
use crate::error::{Error, Result};

impl Contents {
    /// Charges what is present now. It fails only if that is more than before.
    pub(super) fn recount_cached(&mut self) -> Result<()> {
        let present = self.present.iter().fold(0, |sum, range| sum + (range.end - range.start));
        match &mut self.cached {
            Some(charge) => charge.resize(present).map_err(|_| Error::NoMemory),
            None => Ok(()),
        }
    }
}

impl Vmo {
    /// Whether its pages must stay, since somebody maps it, or a child, with high priority.
    fn is_kept(&self) -> bool {
        let (mappers, children) = {
            let links = self.links.lock();
            (links.mappers.live(), links.children.live())
        };
        mappers.iter().any(|mapper| mapper.keeps(self)) || children.iter().any(|c| c.is_kept())
    }

    /// Notes that pages may be written through a mapping from now on.
    pub(super) fn note_writable(&self) {
        match &self.kind {
            Kind::Source { .. } => self.dirty.store(true, Ordering::Relaxed),
            Kind::Slice { parent, .. } => parent.note_writable(),
            Kind::Anonymous | Kind::Snapshot { .. } | Kind::Placed(_) => {}
        }
    }

    /// Charges `range`, which is about to become present, and lists it as reclaimable.
    pub(super) fn charge_cached(&self, me: &Weak<Vmo>, range: &Range<u64>) -> Result<()> {
        let mut contents = self.contents.write();
        let Some(charge) = &mut contents.cached else { return Ok(()) };
        let bytes = charge.bytes() + (range.end - range.start);
        charge.resize(bytes).map_err(|_| Error::NoMemory)?;
        drop(contents);
        self.memory.note_cached(me.clone(), range.clone());
        Ok(())
    }
}

impl Reclaim for Vmo {
    fn reclaim(&self, range: &Range<u64>) -> bool {
        let Kind::Source { source, .. } = &self.kind else { return true };
        if self.is_kept() {
            return false;
        }
        let Some(_changing) = self.changing.try_lock() else { return false };
        let taken: Vec<PageRun> = {
            let mut contents = self.contents.write();
            if contents.pins.overlap(range) {
                return false;
            }
            let parts = contents.present.overlapping(range);
            let parts = parts.map(|own| own.start.max(range.start)..own.end.min(range.end));
            let taken = parts.flat_map(|part| contents.segments.runs(part)).collect();
            contents.present.remove(range.clone());
            taken
        };
        self.notify(range.clone());
        let mut kept = Vec::new();
        for run in taken {
            let dirty = self.dirty.load(Ordering::Relaxed);
            if dirty && source.write_back(run.offset, &self.memory, run.pa, run.len).is_err() {
                kept.push(run.offset..run.offset + run.len);
                continue;
            }
            self.memory.decommit(run.pa, run.len);
        }
        let mut contents = self.contents.write();
        let all_gone = kept.is_empty();
        contents.present.extend(kept);
        contents.segments.set_cold(range);
        // Fewer are present than before.
        let _ = contents.recount_cached();
        all_gone
    }
}
