//! Unmapping, protecting and discarding.

use std::{ops::Range, sync::Arc};

use hal::aspace::Prot;

use super::{
    EAGER, MappingFlags, Tree, Vmar, page_range, refusal,
    tree::{Entry, State},
};
use crate::{
    error::{Error, Result},
    vmo::Vmo,
};

/// Mappings that have been taken out, to be dropped when no lock is held: pages go back to the host
/// then.
#[must_use]
pub(super) struct Removed(Vec<(u64, Entry)>);

impl Removed {
    /// Gives the pages back.
    pub(super) fn finish(self) {
        for (start, entry) in self.0 {
            // If this is the VMO's last mapping, all of it goes when it is dropped.
            if entry.flags.contains(MappingFlags::DISCARD) && Arc::strong_count(&entry.vmo) > 1 {
                entry.vmo.decommit(entry.vmo_offset..entry.offset(start, entry.end));
            }
        }
    }
}

impl Tree {
    /// Takes everything in `range` out of the page table and of the tree.
    pub(super) fn unmap_locked(&self, state: &mut State, range: Range<u64>) -> Result<Removed> {
        self.aspace.unmap(range.start, range.end - range.start).map_err(refusal)?;
        self.take_locked(state, &range)
    }

    /// Takes everything in `range` out of the tree alone.
    pub(super) fn take_locked(&self, state: &mut State, range: &Range<u64>) -> Result<Removed> {
        let taken = state.take(range);
        let accounted = taken.iter().filter(|(_, entry)| entry.accounted);
        let bytes = accounted.map(|(start, entry)| entry.end - start).sum();
        state.charge(0, bytes)?;
        Ok(Removed(taken))
    }

    /// Makes the page table agree with new permissions of a piece of a mapping.
    fn protect_piece(&self, entry: &Entry, start: u64, piece: &Range<u64>) -> Result<()> {
        let len = piece.end - piece.start;
        let perms = entry.perms;
        if !entry.vmo.traps_writes() || !perms.contains(Prot::WRITE) {
            self.aspace.protect(piece.start, len, perms).map_err(refusal)?;
        } else {
            self.aspace.protect(piece.start, len, perms - Prot::WRITE).map_err(refusal)?;
        }
        if perms.is_empty() || !(entry.sparse || entry.vmo.traps_writes()) {
            return Ok(());
        }
        // Map what was reserved only because nobody could access it, and let own copies be written.
        let end = entry.offset(start, piece.end);
        if entry.vmo.is_plain() && len <= EAGER && end <= entry.vmo.size() {
            let mut whole = true;
            for run in self.aspace.runs_in(piece.clone()) {
                if run.flags.contains(hal::aspace::MapFlags::RESERVED) {
                    whole &= self.install_whole(entry, start, &run.range, false)?;
                }
            }
            if whole {
                return Ok(());
            }
        }
        if entry.vmo.traps_writes() {
            self.install_present(entry, start, piece)?;
        }
        Ok(())
    }
}

impl Vmar {
    /// The range, if it lies in this region.
    pub(super) fn own_range(&self, addr: u64, len: u64) -> Result<Range<u64>> {
        let range = page_range(addr, len)?;
        if range.start < self.range.start || range.end > self.range.end {
            return Err(Error::OutOfRange);
        }
        Ok(range)
    }

    /// Unmaps all that is mapped in a range, splitting mappings at its ends (`zx_vmar_unmap`).
    /// Child regions wholly inside are destroyed.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] if unaligned, empty, or only a part of a child region is covered;
    /// [`Error::OutOfRange`] outside of this region; [`Error::NoMemory`] if the host cannot split
    /// its mappings; [`Error::BadState`] if this region is destroyed.
    pub fn unmap(&self, addr: u64, len: u64) -> Result<()> {
        let range = self.own_range(addr, len)?;
        let mut state = self.tree.state.lock();
        state.check_alive(self.region)?;
        let children = state.children_in(self.region, &range);
        if children.iter().any(|(child, _)| child.start < range.start || child.end > range.end) {
            return Err(Error::InvalidArgs);
        }
        let removed = self.tree.unmap_locked(&mut state, range)?;
        for (_, child) in children {
            state.remove_region(child);
        }
        drop(state);
        removed.finish();
        Ok(())
    }

    /// Whether there are more than `n` mappings in a range.
    #[must_use]
    pub fn has_more_mappings(&self, addr: u64, len: u64, n: usize) -> bool {
        let range = addr..addr.saturating_add(len);
        self.tree.state.lock().overlapping(&range).nth(n).is_some()
    }

    /// Changes what the guest may do in a range (`zx_vmar_protect`).
    ///
    /// # Errors
    /// [`Error::InvalidArgs`], [`Error::OutOfRange`]: as [`unmap`](Self::unmap).
    /// [`Error::NotFound`] if a page is not mapped and [`Error::AccessDenied`] if a mapping may
    /// never be allowed that: nothing has changed then. [`Error::NoMemory`].
    pub fn protect(&self, addr: u64, len: u64, perms: Prot) -> Result<()> {
        let range = self.own_range(addr, len)?;
        let mut state = self.tree.state.lock();
        state.check_alive(self.region)?;
        if !state.covers(&range) {
            return Err(Error::NotFound);
        }
        let mut charge = 0;
        let mut pieces = Vec::new();
        for (start, entry) in state.overlapping(&range) {
            if !entry.max_perms.contains(perms) {
                return Err(Error::AccessDenied);
            }
            let piece = start.max(range.start)..entry.end.min(range.end);
            if becomes_accounted(entry, perms) {
                charge += piece.end - piece.start;
            }
            if entry.perms != perms {
                pieces.push((start, piece, Entry { perms, ..entry.clone() }));
            }
        }
        state.charge(charge, 0)?;
        for (start, piece, entry) in &pieces {
            let done = self.tree.protect_piece(entry, *start, piece);
            if let Err(error) = done {
                state.charge(0, charge)?;
                return Err(error);
            }
        }
        if !pieces.is_empty() {
            state.update(&range, |entry| {
                entry.accounted |= becomes_accounted(entry, perms);
                entry.perms = perms;
            });
        }
        Ok(())
    }

    /// Throws content away (MADV_DONTNEED): anonymous memory reads as zero afterwards, a private
    /// file mapping as the file. Shared file mappings keep theirs.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`], [`Error::OutOfRange`] as [`unmap`](Self::unmap); [`Error::NotFound`]
    /// if a page is not mapped (the rest is discarded); [`Error::BadState`] if this region is destroyed.
    pub fn discard(&self, addr: u64, len: u64) -> Result<()> {
        let range = self.own_range(addr, len)?;
        let mut parts: Vec<(Arc<Vmo>, Range<u64>)> = Vec::new();
        let whole = {
            let state = self.tree.state.lock();
            state.check_alive(self.region)?;
            for (start, entry) in state.overlapping(&range) {
                if entry.vmo.is_anonymous() || entry.vmo.copies_on_write() {
                    let piece = start.max(range.start)..entry.end.min(range.end);
                    let part = entry.offset(start, piece.start)..entry.offset(start, piece.end);
                    parts.push((entry.vmo.clone(), part));
                }
            }
            state.covers(&range)
        };
        for (vmo, part) in parts {
            vmo.decommit(part);
        }
        if whole { Ok(()) } else { Err(Error::NotFound) }
    }

    /// Marks mappings as [locked](MappingFlags::LOCKED), or as not, from the start of a range to the first page that is not mapped.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`], [`Error::OutOfRange`] as [`unmap`](Self::unmap); [`Error::NotFound`] if there is such a page;
    /// [`Error::BadState`] if this region is destroyed.
    pub fn set_locked(&self, addr: u64, len: u64, locked: bool) -> Result<()> {
        let range = self.own_range(addr, len)?;
        let mut state = self.tree.state.lock();
        state.check_alive(self.region)?;
        let end = state.covered_from(&range);
        state.update(&(range.start..end), |entry| entry.flags.set(MappingFlags::LOCKED, locked));
        if end == range.end { Ok(()) } else { Err(Error::NotFound) }
    }

    /// How many bytes of a range are [locked](MappingFlags::LOCKED).
    #[must_use]
    pub fn locked_bytes(&self, range: &Range<u64>) -> u64 {
        let state = self.tree.state.lock();
        let locked =
            state.overlapping(range).filter(|(_, e)| e.flags.contains(MappingFlags::LOCKED));
        let within = |(start, entry): (u64, &Entry)| {
            entry.end.min(range.end).saturating_sub(start.max(range.start))
        };
        locked.map(within).sum()
    }

    /// Replaces the tag of all mappings in a range.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`], [`Error::OutOfRange`] as [`unmap`](Self::unmap); [`Error::BadState`] if this region is destroyed.
    pub fn set_tag(&self, addr: u64, len: u64, tag: u64) -> Result<()> {
        let range = self.own_range(addr, len)?;
        let mut state = self.tree.state.lock();
        state.check_alive(self.region)?;
        state.update(&range, |entry| entry.tag = tag);
        Ok(())
    }
}

/// Whether a mapping has to be charged when it gets `perms`.
fn becomes_accounted(entry: &Entry, perms: Prot) -> bool {
    entry.flags.contains(MappingFlags::ACCOUNT) && !entry.accounted && perms.contains(Prot::WRITE)
}
