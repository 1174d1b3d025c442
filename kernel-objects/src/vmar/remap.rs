//! Moving and resizing mappings: what Linux's mremap needs.

use std::ops::Range;

use hal::aspace::MapFlags;

use super::{
    MappingFlags, PAGE, Tree, Vmar,
    change::Removed,
    fault::Install,
    page_range, refusal,
    tree::{Entry, State},
};
use crate::{
    error::{Error, Result},
    vmo::{Vmo, VmoOptions},
};

/// Where a resized mapping may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remap {
    /// It stays (flags 0).
    InPlace,
    /// It moves if it must (MREMAP_MAYMOVE).
    MayMove,
    /// It moves to this address, replacing what is there (MREMAP_FIXED).
    To(u64),
}

impl Vmar {
    /// Resizes the mappings of `old_len` bytes at `addr`, which must all be mapped, to `new_len`
    /// bytes; returns where they are now. They keep their pages. Memory that is added continues the
    /// last one.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`]: unaligned, empty, or the new place overlaps with the old one or with a child region. [`Error::NotFound`]:
    /// a page is not mapped (EFAULT). [`Error::NoResources`] or [`Error::NoMemory`]: no room
    /// (ENOMEM). The old mappings are unchanged then, except that [`Remap::To`] may have unmapped
    /// its target.
    pub fn remap(&self, addr: u64, old_len: u64, new_len: u64, how: Remap) -> Result<u64> {
        let old = page_range(addr, old_len)?;
        let new_len = page_range(0, new_len)?.end;
        if old.start < self.range.start || old.end > self.range.end {
            return Err(Error::NotFound);
        }
        let kept = (old.end - old.start).min(new_len);
        let mut state = self.tree.state.lock();
        state.check_alive(self.region)?;
        if !state.covers(&old) {
            return Err(Error::NotFound);
        }
        let mut removed = Vec::new();
        if let Remap::To(to) = how {
            let target = page_range(to, new_len)?;
            removed.push(self.clear_target(&mut state, &old, target)?);
        }
        let result = self.remap_locked(&mut state, &old, kept, new_len, how);
        if result.is_ok() && kept < old.end - old.start {
            // The old place's tail: `remap_locked` has moved or left only what is kept.
            removed.push(self.tree.unmap_locked(&mut state, old.start + kept..old.end)?);
        }
        drop(state);
        for part in removed {
            part.finish();
        }
        result
    }

    /// Moves the pages of `len` bytes at `addr`, which must all be mapped, to `to` or where there is room, and leaves mappings
    /// without them behind (MREMAP_DONTUNMAP): of fresh memory, or of the same VMO where others may have it too.
    /// Returns where they are now.
    ///
    /// # Errors
    /// As [`remap`](Self::remap); [`Error::NotSupported`] for a snapshot, whose pages have no other home. With
    /// [`Error::NoMemory`] the pages may have moved and nothing be left behind.
    pub fn remap_keeping(&self, addr: u64, len: u64, to: Option<u64>) -> Result<u64> {
        let old = page_range(addr, len)?;
        let len = old.end - old.start;
        if old.start < self.range.start || old.end > self.range.end {
            return Err(Error::NotFound);
        }
        let mut state = self.tree.state.lock();
        state.check_alive(self.region)?;
        if !state.covers(&old) {
            return Err(Error::NotFound);
        }
        if state.overlapping(&old).any(|(_, entry)| entry.vmo.copies_on_write()) {
            return Err(Error::NotSupported);
        }
        let mut left = Vec::new();
        for (start, entry) in state.overlapping(&old) {
            let range = start.max(old.start)..entry.end.min(old.end);
            let mut entry = Entry {
                vmo_offset: entry.offset(start, range.start),
                accounted: false,
                sparse: false,
                ..entry.clone()
            };
            if entry.flags.contains(MappingFlags::DISCARD) {
                let size = range.end - range.start;
                entry.vmo = Vmo::create(self.tree.aspace.memory(), size, VmoOptions::default())?;
                entry.vmo_offset = 0;
            }
            left.push((range, entry));
        }
        let mut removed = None;
        let to = match to {
            Some(to) => {
                let target = page_range(to, len)?;
                removed = Some(self.clear_target(&mut state, &old, target)?);
                to
            }
            None => self.room(&mut state, len)?,
        };
        let moved = self.tree.relocate(&mut state, &old, to);
        let mut result = moved.map(|()| to);
        for (range, entry) in left {
            if result.is_ok()
                && let Err(error) = self.tree.map_locked(&mut state, range, entry, Install::Now)
            {
                result = Err(error);
            }
        }
        drop(state);
        if let Some(part) = removed {
            part.finish();
        }
        result
    }

    /// Unmaps what is where mappings of `old` are to go.
    fn clear_target(
        &self,
        state: &mut State,
        old: &Range<u64>,
        target: Range<u64>,
    ) -> Result<Removed> {
        let inside = target.start >= self.range.start && target.end <= self.range.end;
        let overlaps = target.start < old.end && old.start < target.end;
        if !inside || overlaps || !state.children_in(self.region, &target).is_empty() {
            return Err(Error::InvalidArgs);
        }
        self.tree.aspace.claim(target.clone()).map_err(refusal)?;
        self.tree.unmap_locked(state, target)
    }

    fn remap_locked(
        &self,
        state: &mut State,
        old: &Range<u64>,
        kept: u64,
        new_len: u64,
        how: Remap,
    ) -> Result<u64> {
        let grows = new_len > kept;
        let source = old.start..old.start + kept;
        let to = match how {
            Remap::To(to) => to,
            _ if !grows => return Ok(old.start),
            _ => {
                let room = old.end..old.start.checked_add(new_len).ok_or(Error::NoResources)?;
                let window = self.tree.aspace.window();
                let limit = match window.contains(&old.start) {
                    true => window.end.min(self.range.end),
                    false => self.range.end,
                };
                let free = room.end <= limit && state.is_free(self.region, &room);
                if free && self.tree.extend(state, old.end, room.clone()).is_ok() {
                    return Ok(old.start);
                }
                if how == Remap::InPlace {
                    return Err(Error::NoMemory);
                }
                self.room(state, new_len)?
            }
        };
        self.tree.relocate(state, &source, to)?;
        if grows && let Err(error) = self.tree.extend(state, to + kept, to + kept..to + new_len) {
            // Put it back: the old place has not been given to anybody meanwhile.
            self.tree.relocate(state, &(to..to + kept), source.start)?;
            return Err(error);
        }
        Ok(to)
    }

    /// Free addresses without the kernel's trampolines among them.
    fn room(&self, state: &mut State, len: u64) -> Result<u64> {
        loop {
            let range = self.find_room(state, len, PAGE)?;
            match self.tree.aspace.trampoline_in(range.clone()) {
                None => return Ok(range.start),
                Some(trampoline) => state.block(trampoline),
            }
        }
    }
}

impl Tree {
    /// Maps what follows the mapping that ends at `end`.
    fn extend(&self, state: &mut State, end: u64, range: Range<u64>) -> Result<()> {
        let (start, last) = state.find(end - 1).ok_or(Error::NotFound)?;
        let len = range.end - range.start;
        let offset = last.offset(start, end);
        let mut entry =
            Entry { vmo_offset: offset, accounted: false, sparse: false, ..last.clone() };
        if entry.flags.contains(MappingFlags::DISCARD) && entry.vmo.is_anonymous() {
            // The VMO grows if the mapping ends where it does; otherwise pages behind may be
            // another mapping's.
            let grown = if offset == entry.vmo.size() {
                entry.vmo.grow(offset.saturating_add(len)).is_ok()
            } else {
                false
            };
            if !grown {
                entry.vmo = Vmo::create(self.aspace.memory(), len, VmoOptions::default())?;
                entry.vmo_offset = 0;
            }
        }
        self.map_locked(state, range, entry, Install::Now)
    }

    /// Moves the mappings of `source` to `to`, where nothing is.
    fn relocate(&self, state: &mut State, source: &Range<u64>, to: u64) -> Result<()> {
        let len = source.end - source.start;
        let target = to..to.checked_add(len).ok_or(Error::OutOfRange)?;
        self.aspace.reserve(to, len).map_err(refusal)?;
        for run in self.aspace.runs_in(source.clone()) {
            if run.flags.contains(MapFlags::RESERVED) {
                continue;
            }
            let at = to + (run.range.start - source.start);
            let bytes = run.range.end - run.range.start;
            if let Err(error) = self.aspace.map(at, run.pa, bytes, run.prot, run.flags) {
                let _ = self.aspace.unmap(target.start, len);
                return Err(refusal(error));
            }
        }
        if let Err(error) = self.aspace.unmap(source.start, len) {
            let _ = self.aspace.unmap(target.start, len);
            return Err(refusal(error));
        }
        for (start, mut entry) in state.take(source) {
            entry.end = to + (entry.end - source.start);
            state.insert(to + (start - source.start), entry);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hal::{aspace::AddressSpace, pmem::PhysicalMemory};

    use super::{
        super::{MapArgs, Placement},
        *,
    };
    use crate::vmo::ChildOptions;

    fn root() -> (Arc<PhysicalMemory>, Arc<Vmar>) {
        let memory = PhysicalMemory::new(None).unwrap();
        let space = AddressSpace::new(&memory).unwrap();
        (memory, Vmar::create_root(&space).unwrap())
    }

    fn anonymous(vmar: &Vmar, pages: u64) -> u64 {
        let vmo = Vmo::create(vmar.aspace().memory(), pages * PAGE, VmoOptions::default()).unwrap();
        let flags = MappingFlags::DISCARD;
        let addr = vmar.map(MapArgs { flags, ..MapArgs::new(vmo, pages * PAGE) }).unwrap();
        for page in 0..pages {
            vmar.write(addr + page * PAGE, &[page as u8 + 1]).unwrap();
        }
        addr
    }

    fn byte(vmar: &Vmar, addr: u64) -> u8 {
        let mut buf = [0xee];
        vmar.read(addr, &mut buf).unwrap();
        buf[0]
    }

    #[test]
    fn growing_moves_when_it_must_and_keeps_pages() {
        let (memory, vmar) = root();
        let addr = anonymous(&vmar, 4);
        // The window's top is right behind.
        assert_eq!(vmar.remap(addr, 4 * PAGE, 8 * PAGE, Remap::InPlace), Err(Error::NoMemory));
        let new = vmar.remap(addr, 4 * PAGE, 8 * PAGE, Remap::MayMove).unwrap();
        assert_ne!(new, addr);
        assert_eq!(byte(&vmar, new + 3 * PAGE), 4);
        assert_eq!(byte(&vmar, new + 7 * PAGE), 0);
        assert!(vmar.read(addr, &mut [0]).is_err() || (new..new + 8 * PAGE).contains(&addr));
        assert_eq!(vmar.mappings().len(), 1);
        assert_eq!(vmar.find(new).map(|mapping| mapping.vmo.size()), Some(8 * PAGE));
        assert_eq!(vmar.remap(new, 8 * PAGE, 2 * PAGE, Remap::InPlace), Ok(new));
        assert!(vmar.read(new + 2 * PAGE, &mut [0]).is_err());
        assert_eq!(vmar.remap(new, 2 * PAGE, 3 * PAGE, Remap::InPlace), Ok(new));
        // Page 2 was given back.
        assert_eq!((byte(&vmar, new + PAGE), byte(&vmar, new + 2 * PAGE)), (2, 0));
        drop(vmar);
        assert_eq!(memory.allocated(), 0);
    }

    #[test]
    fn a_fixed_target_is_replaced() {
        let (_memory, vmar) = root();
        let (a, b) = (anonymous(&vmar, 4), anonymous(&vmar, 4));
        assert_eq!(vmar.remap(a, 4 * PAGE, 4 * PAGE, Remap::To(a + PAGE)), Err(Error::InvalidArgs));
        assert_eq!(vmar.remap(a, 2 * PAGE, 2 * PAGE, Remap::To(b + PAGE)), Ok(b + PAGE));
        let bytes: Vec<u8> = (0..4).map(|page| byte(&vmar, b + page * PAGE)).collect();
        assert_eq!(bytes, [1, 1, 2, 4]);
        assert!(vmar.read(a, &mut [0]).is_err());
        assert_eq!(byte(&vmar, a + 2 * PAGE), 3);
        assert_eq!(vmar.remap(a, 4 * PAGE, PAGE, Remap::MayMove), Err(Error::NotFound));
    }

    #[test]
    fn a_child_region_is_no_target() {
        let (_memory, vmar) = root();
        let addr = anonymous(&vmar, 2);
        let child = vmar.allocate(Placement::TopDown, 4 * PAGE).unwrap();
        let inner = child.map(MapArgs {
            placement: Placement::Exact(child.range().start),
            ..MapArgs::new(
                Vmo::create(vmar.aspace().memory(), PAGE, VmoOptions::default()).unwrap(),
                PAGE,
            )
        });
        let inner = inner.unwrap();
        for to in [child.range().start, child.range().end - PAGE, child.range().start - PAGE] {
            let refused = Err(Error::InvalidArgs);
            assert_eq!(vmar.remap(addr, 2 * PAGE, 2 * PAGE, Remap::To(to)), refused, "{to:#x}");
            assert_eq!(vmar.remap_keeping(addr, 2 * PAGE, Some(to)), refused, "{to:#x}");
        }
        assert_eq!((byte(&vmar, addr), byte(&vmar, inner)), (1, 0));
    }

    #[test]
    fn pages_move_and_leave_fresh_memory_behind() {
        let (memory, vmar) = root();
        let addr = anonymous(&vmar, 4);
        let new = vmar.remap_keeping(addr + PAGE, 2 * PAGE, None).unwrap();
        let bytes: Vec<u8> = (0..4).map(|page| byte(&vmar, addr + page * PAGE)).collect();
        assert_eq!(bytes, [1, 0, 0, 4]);
        assert_eq!((byte(&vmar, new), byte(&vmar, new + PAGE)), (2, 3));
        let inside = Some(addr + PAGE);
        assert_eq!(vmar.remap_keeping(addr, 4 * PAGE, inside), Err(Error::InvalidArgs));
        assert_eq!(vmar.remap_keeping(new, 2 * PAGE, Some(addr)), Ok(addr));
        assert_eq!((byte(&vmar, addr), byte(&vmar, new)), (2, 0));
        drop(vmar);
        assert_eq!(memory.allocated(), 0);
    }

    #[test]
    fn what_is_left_behind_is_charged_or_is_not_there() {
        let memory = PhysicalMemory::new(Some(5 * PAGE)).unwrap();
        let vmar = Vmar::create_root(&AddressSpace::new(&memory).unwrap()).unwrap();
        let vmo = Vmo::create(&memory, 3 * PAGE, VmoOptions::default()).unwrap();
        let flags = MappingFlags::ACCOUNT | MappingFlags::DISCARD;
        let addr = vmar.map(MapArgs { flags, ..MapArgs::new(vmo, 3 * PAGE) }).unwrap();
        assert_eq!(vmar.remap_keeping(addr, 3 * PAGE, None), Err(Error::NoMemory));
        let left = vmar.mappings();
        assert_eq!((left.len(), memory.charged()), (1, 3 * PAGE));
        let at = left[0].range.start;
        assert_eq!(vmar.remap(at, 3 * PAGE, 2 * PAGE, Remap::InPlace), Ok(at));
        assert!(vmar.remap_keeping(at, 2 * PAGE, None).is_ok());
        assert_eq!((vmar.mappings().len(), memory.charged()), (2, 4 * PAGE));
    }

    #[test]
    fn pages_that_were_mapped_are_mapped_where_they_went() {
        let (_memory, vmar) = root();
        let addr = anonymous(&vmar, 4);
        let new = vmar.remap(addr + PAGE, 2 * PAGE, 4 * PAGE, Remap::MayMove).unwrap();
        let mut bytes = [0; 2];
        for (page, byte) in bytes.iter_mut().enumerate() {
            let at = new + page as u64 * PAGE;
            vmar.aspace().read(at, std::slice::from_mut(byte)).unwrap();
        }
        assert_eq!(bytes, [2, 3]);
        assert!(vmar.aspace().query(addr + PAGE).is_none());
    }

    #[test]
    fn a_part_grows_without_touching_pages_of_another_part() {
        let (_memory, vmar) = root();
        let addr = anonymous(&vmar, 4);
        vmar.unmap(addr + PAGE, PAGE).unwrap();
        let new = vmar.remap(addr, PAGE, 4 * PAGE, Remap::MayMove).unwrap();
        let bytes: Vec<u8> = (0..4).map(|page| byte(&vmar, new + page * PAGE)).collect();
        assert_eq!(bytes, [1, 0, 0, 0]);
        vmar.write(new + 2 * PAGE, &[9]).unwrap();
        assert_eq!(byte(&vmar, addr + 2 * PAGE), 3);
    }

    #[test]
    fn pages_are_not_moved_from_holes_from_elsewhere_or_from_snapshots() {
        let (_memory, vmar) = root();
        let child = vmar.allocate(Placement::TopDown, 16 * PAGE).unwrap();
        let addr = anonymous(&vmar, 4);
        assert_eq!(child.remap_keeping(addr, PAGE, None), Err(Error::NotFound));
        vmar.unmap(addr + 2 * PAGE, PAGE).unwrap();
        assert_eq!(vmar.remap_keeping(addr, 3 * PAGE, None), Err(Error::NotFound));
        let vmo = Vmo::create(vmar.aspace().memory(), PAGE, VmoOptions::default()).unwrap();
        vmo.write(0, &[7]).unwrap();
        let snapshot = vmo.create_child(ChildOptions::SNAPSHOT, 0, PAGE).unwrap();
        let shown = vmar.map(MapArgs::new(snapshot, PAGE)).unwrap();
        assert_eq!(vmar.remap_keeping(shown, PAGE, None), Err(Error::NotSupported));
        assert_eq!((byte(&vmar, addr), byte(&vmar, shown)), (1, 7), "nothing has changed");
    }
}
