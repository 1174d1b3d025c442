//! Giving pages of a page cache back when memory is short, and [discardable](super::discard) memory.
//!
//! Pages of a source can be had again, so they are dropped, those that were read first before others, unless a pager has not
//! got what was written to them. A page that may have been
//! written through a mapping is written back before it goes: its mappings are cut first, and whoever wants it again meanwhile
//! waits for `changing`.

use std::{
    ops::Range,
    sync::{Weak, atomic::Ordering},
};

use hal::pmem::Reclaim;

use super::{
    Kind, Vmo,
    frames::{self, Piece},
};
use crate::{
    error::{Error, Result},
    pager::Need,
};

impl Vmo {
    /// Whether its pages must stay, since somebody maps it, or a clone, with high priority.
    fn is_kept(&self) -> bool {
        let (mappers, clones) = {
            let links = self.links.lock();
            (links.mappers.live(), links.clones.live())
        };
        mappers.iter().any(|mapper| mapper.keeps(self)) || clones.iter().any(|c| c.is_kept())
    }

    /// Notes that pages may be written through a mapping from now on.
    pub(super) fn note_writable(&self) {
        let (owner, _) = self.owner();
        if let Kind::Source { source, .. } = &owner.kind
            && source.requests().is_none()
        {
            owner.modified.store(true, Ordering::Relaxed);
        }
    }

    /// Charges `range`, which is about to become present, and lists it as reclaimable.
    pub(super) fn charge_cached(&self, me: &Weak<Vmo>, range: &Range<u64>) -> Result<()> {
        let mut contents = self.change();
        let Some(charge) = &mut contents.cached else { return Ok(()) };
        let bytes = charge.bytes() + (range.end - range.start);
        charge.resize(bytes).map_err(|_| Error::NoMemory)?;
        drop(contents);
        self.memory.note_cached(me.clone(), range.clone());
        Ok(())
    }

    /// `bytes` that were present, if of a source, are not any more.
    pub(super) fn uncharge_cached(&self, bytes: u64) {
        if let Some(charge) = &mut self.change().cached {
            // Becoming smaller cannot fail.
            let _ = charge.resize(charge.bytes().saturating_sub(bytes));
        }
    }
}

impl Reclaim for Vmo {
    fn reclaim(&self, range: &Range<u64>, last_resort: bool) -> bool {
        if let Some(discard) = &self.discard {
            return self.discard_unless_locked(discard);
        }
        let Kind::Source { source, .. } = &self.kind else { return true };
        if self.is_kept() || (!last_resort && self.contents.read().needed.overlaps(range)) {
            return false;
        }
        let Some(_changing) = self.changing.try_lock() else { return false };
        if self.contents.read().pins.overlap(range) {
            return false;
        }
        let mut unsaved = false;
        let taken: Vec<(u64, Piece)> = {
            let mut contents = self.change();
            let parts = match &contents.tracking {
                Some(tracking) => tracking.saved_parts(range),
                None => vec![range.clone()],
            };
            unsaved |= parts.iter().map(|part| part.end - part.start).sum::<u64>()
                < range.end - range.start;
            parts.iter().flat_map(|part| contents.pages.remove(part)).collect()
        };
        self.notify(range.clone());
        let (mut kept, mut freed) = (Vec::new(), Vec::new());
        for (offset, piece) in taken {
            let modified = source.requests().is_none() && self.modified.load(Ordering::Relaxed);
            match modified
                && source.write_back(offset, &self.memory, piece.pa(), piece.len()).is_err()
            {
                true => kept.push((offset, piece)),
                false => freed.push(piece),
            }
        }
        let all_gone = kept.is_empty();
        let mut contents = self.change();
        kept.into_iter().for_each(|(offset, piece)| contents.pages.insert(offset, piece));
        drop(contents);
        if !freed.is_empty() {
            self.losses.fetch_add(1, Ordering::Relaxed);
        }
        self.uncharge_cached(freed.iter().map(Piece::len).sum());
        frames::free(freed);
        if let Some(requests) = source.requests() {
            // Whoever waits to make a clean page dirty has to have it back first.
            requests.answered(Need::Dirty, range);
        }
        all_gone && !unsaved
    }
}
