//! Changing guest code that the guest must not see changed: overlays of text pages, and
//! trampolines.
//!
//! A system-call site is rewritten in a private copy of its page, which the host maps over the page
//! while the page table still names the original: guest code executes the copy, the kernel's reads
//! see the original. Trampolines are pages of the kernel's own within reach of a jump; the page
//! table does not know them, and mapping over them is refused.

use std::{
    ops::Range,
    ptr,
    sync::{Arc, atomic::Ordering},
};

use super::{
    Access, AddressSpace, AspaceError, Change, Fault, MapFlags, PAGE, Prot, State,
    registry::GUEST_FLOOR, take_overlays,
};
use crate::pmem::{Extent, GUEST_END, PAGE_SIZE, PhysAddr, PhysicalMemory};

/// How far a trampoline may be from the code that jumps to it: less than the 2 GiB that `jmp rel32`
/// reaches.
const REACH: u64 = 1_900 << 20;
/// Where to look first, below or above: far enough to be out of the way of a guest's next mappings.
const AWAY: u64 = 512 << 20;
/// Distance between two places that are tried.
const STEP: u64 = 64 << 10;
/// Pages left free beside what is mapped, when a trampoline has to be near it.
const GUARD: u64 = 1 << 20;

/// Writes code that other threads may be executing: at most eight bytes within an aligned word
/// arrive at once.
fn write_code(memory: &PhysicalMemory, pa: PhysAddr, bytes: &[u8]) {
    let word = PhysAddr(pa.0 & !7);
    let at = (pa.0 - word.0) as usize;
    let mut value = [0; 8];
    memory.read(word, &mut value);
    match value.get_mut(at..at + bytes.len()) {
        Some(part) => {
            part.copy_from_slice(bytes);
            memory.atomic_u64(word).store(u64::from_le_bytes(value), Ordering::SeqCst);
        }
        None => memory.write(pa, bytes),
    }
}

impl AddressSpace {
    /// Replaces bytes of text for execution only. Up to eight bytes within an aligned word change
    /// at once, for threads that execute them. Mapping, unmapping or making the page writable
    /// brings the original back.
    ///
    /// # Errors
    /// [`AspaceError::NotPatchable`] unless all of it is executable, not writable and
    /// [`MapFlags::PATCHABLE`]; [`AspaceError::NoMemory`].
    pub fn patch_text(&self, va: u64, bytes: &[u8]) -> Result<(), AspaceError> {
        let end = va.checked_add(bytes.len() as u64).ok_or(AspaceError::OutOfRange)?;
        let mut change = Change::new(self);
        let state = &mut *change.state;
        // Check everything first: half a patch would be worse than none.
        let mut page = va / PAGE * PAGE;
        while page < end {
            self.make_overlay(state, page)?;
            page += PAGE;
        }
        let mut at = va;
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = rest.len().min((PAGE - at % PAGE) as usize);
            let (piece, tail) = rest.split_at(len);
            let overlay =
                state.overlays.get(&(at / PAGE * PAGE)).ok_or(AspaceError::NotPatchable)?;
            write_code(&self.memory, overlay.base().offset(at % PAGE), piece);
            at += len as u64;
            rest = tail;
        }
        Ok(())
    }

    fn make_overlay(&self, state: &mut State, page: u64) -> Result<(), AspaceError> {
        let run = state.table.find(page).ok_or(AspaceError::NotPatchable)?;
        if !run.flags.contains(MapFlags::PATCHABLE)
            || !run.prot.contains(Prot::EXEC)
            || run.prot.contains(Prot::WRITE)
        {
            return Err(AspaceError::NotPatchable);
        }
        if state.overlays.get(&page).is_some_and(|overlay| Arc::strong_count(overlay) == 1) {
            return Ok(());
        }
        let copy = self.memory.allocate(PAGE_SIZE).map_err(|_| AspaceError::NoMemory)?;
        let from = state.overlays.get(&page).map(|shared| shared.base());
        self.memory.copy(copy.base(), from.unwrap_or(run.translate(page)), PAGE);
        self.host.map(&self.memory, &(page..page + PAGE), copy.base(), run.prot, true)?;
        state.overlays.insert(page, Arc::new(copy));
        Ok(())
    }

    /// Maps the originals of all overlaid pages in `range` again; returns the copies, to be freed
    /// after the change.
    pub(super) fn drop_overlays(
        &self,
        state: &mut State,
        range: &Range<u64>,
    ) -> Result<Vec<Arc<Extent>>, AspaceError> {
        if state.overlays.is_empty() {
            return Ok(Vec::new());
        }
        let pages: Vec<u64> = state.overlays.range(range.clone()).map(|(&page, _)| page).collect();
        for page in pages {
            if let Some(run) = state.table.find(page) {
                let pa = run.translate(page);
                self.host.map(&self.memory, &(page..page + PAGE), pa, run.prot, false)?;
            }
        }
        Ok(take_overlays(state, range))
    }

    /// Copies text as the guest executes it, patches included. Trampolines can be read too.
    ///
    /// # Errors
    /// The first byte that is not mapped readable.
    pub fn read_text(&self, va: u64, buf: &mut [u8]) -> Result<(), Fault> {
        let fault = |addr| Fault { addr, access: Access::Execute, present: false };
        let state = self.state.read();
        let mut at = va;
        let mut rest = buf;
        while !rest.is_empty() {
            let page = at / PAGE * PAGE;
            let len = rest.len().min((PAGE - at % PAGE) as usize);
            let (piece, tail) = rest.split_at_mut(len);
            let pa = if let Some(overlay) = state.overlays.get(&page) {
                overlay.base().offset(at - page)
            } else if let Some(run) = state.table.find(at) {
                if run.prot.is_empty() {
                    return Err(Fault { present: true, ..fault(at) });
                }
                run.translate(at)
            } else {
                let near = state.trampolines.range(..=at).next_back();
                let inside = near.filter(|(start, extent)| at - **start < extent.len());
                let (start, extent) = inside.ok_or(fault(at))?;
                extent.base().offset(at - start)
            };
            self.memory.read(pa, piece);
            at = at.checked_add(len as u64).ok_or(fault(at))?;
            rest = tail;
        }
        Ok(())
    }

    /// Lets the system-call site at `va` be rewritten although it calls rt_sigreturn(2): unwinders find what they need to know of
    /// it elsewhere than in its bytes.
    pub fn allow_sigreturn_rewrite(&self, va: u64) {
        self.rewriter.allow_sigreturn(va);
    }

    /// Takes back all patches and makes no more, before [`release_text`](Self::release_text) was called as often as this: what executes is
    /// what the page table names. For debuggers, which step through text and write breakpoints into it.
    pub fn hold_text(&self) {
        self.rewriter.hold(self);
    }

    /// Ends what [`hold_text`](Self::hold_text) began.
    pub fn release_text(&self) {
        self.rewriter.release();
    }

    /// Maps the originals of all patched pages again.
    ///
    /// # Errors
    /// [`AspaceError::NoMemory`].
    pub(crate) fn unpatch_text(&self) -> Result<(), AspaceError> {
        let mut change = Change::new(self);
        let dropped = self.drop_overlays(&mut change.state, &(0..GUEST_END))?;
        drop(change);
        drop(dropped);
        Ok(())
    }

    /// Whether the page of `va` executes a patched copy.
    #[must_use]
    pub fn is_patched(&self, va: u64) -> bool {
        self.state.read().overlays.contains_key(&(va / PAGE * PAGE))
    }

    /// Maps `len` bytes (a page multiple) of executable memory within ±1.9 GiB of `near`, filled
    /// with `int3`, that the guest does not see: its contents come from
    /// [`write_trampoline`](Self::write_trampoline). It stays until the space is dropped.
    ///
    /// # Errors
    /// [`AspaceError::Taken`] if there is no place, [`AspaceError::NoMemory`].
    pub fn map_trampoline(&self, near: u64, len: u64) -> Result<u64, AspaceError> {
        if len == 0 || !len.is_multiple_of(PAGE) || len > REACH {
            return Err(AspaceError::Unaligned);
        }
        let extent = self.memory.allocate(len as usize).map_err(|_| AspaceError::NoMemory)?;
        let to = self.memory.linear(extent.base(), len);
        // SAFETY: the range is inside the linear map (`linear` checked) and no Rust reference to it
        // exists.
        unsafe { ptr::write_bytes(to, 0xcc, len as usize) };
        let mut change = Change::new(self);
        let state = &mut *change.state;
        let va = self.place(state, near, len).ok_or(AspaceError::Taken)?;
        let prot = Prot::READ | Prot::EXEC;
        self.host.map(&self.memory, &(va..va + len), extent.base(), prot, true)?;
        state.trampolines.insert(va, Arc::new(extent));
        Ok(va)
    }

    /// A free place for a trampoline, by preference well below `near`, then close below, then well
    /// above.
    fn place(&self, state: &State, near: u64, len: u64) -> Option<u64> {
        let low = near.saturating_sub(REACH).max(GUEST_FLOOR);
        let high = near.saturating_add(REACH - len).min(self.host.end() - len);
        self.search_down(state, near.saturating_sub(AWAY), low, len)
            .or_else(|| self.search_down(state, near, low, len))
            .or_else(|| self.search_up(state, near.saturating_add(AWAY), high, len))
            .or_else(|| self.search_up(state, near, high, len))
    }

    fn search_down(&self, state: &State, from: u64, low: u64, len: u64) -> Option<u64> {
        let mut end = from / STEP * STEP;
        while end >= low.checked_add(len)? {
            let range = end - len..end;
            match self.obstacle(state, &range) {
                None => return Some(range.start),
                Some(obstacle) => {
                    end = obstacle.start.saturating_sub(GUARD).min(end - STEP) / STEP * STEP;
                }
            }
        }
        None
    }

    fn search_up(&self, state: &State, from: u64, high: u64, len: u64) -> Option<u64> {
        let mut start = from.next_multiple_of(STEP).max(GUEST_FLOOR);
        while start <= high {
            let range = start..start + len;
            match self.obstacle(state, &range) {
                None => return Some(start),
                Some(obstacle) => {
                    let next = obstacle.end.checked_add(GUARD)?;
                    start = next.next_multiple_of(STEP).max(start + STEP);
                }
            }
        }
        None
    }

    /// Something that keeps a trampoline from `range` or from too near to it; `None` means free,
    /// and claimed.
    fn obstacle(&self, state: &State, range: &Range<u64>) -> Option<Range<u64>> {
        if let Some(span) = state.trampolines_in(range).into_iter().next() {
            // Trampolines may be neighbours of each other.
            return Some(span.start + GUARD..span.end.saturating_sub(GUARD));
        }
        let wide = range.start.saturating_sub(GUARD)..range.end.saturating_add(GUARD);
        if !state.table.is_free(wide.clone()) {
            let first = state.table.overlapping(wide.clone()).next()?;
            // The whole run, not the part of it that is near.
            return state.table.find(first.range.start).map(|run| run.range);
        }
        self.claim(range.clone()).is_err().then(|| range.clone())
    }

    /// Writes code into a trampoline; up to eight bytes within an aligned word change at once.
    ///
    /// # Errors
    /// [`AspaceError::NotPatchable`] unless all of it lies in one trampoline.
    pub fn write_trampoline(&self, va: u64, bytes: &[u8]) -> Result<(), AspaceError> {
        let mut state = self.state.write();
        let (&start, extent) =
            state.trampolines.range_mut(..=va).next_back().ok_or(AspaceError::NotPatchable)?;
        let offset = va - start;
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > extent.len()) {
            return Err(AspaceError::NotPatchable);
        }
        if Arc::strong_count(extent) > 1 {
            // Another space has it as well: this one goes on with a copy.
            let len = extent.len();
            let copy = self.memory.allocate(len as usize).map_err(|_| AspaceError::NoMemory)?;
            self.memory.copy(copy.base(), extent.base(), len);
            let prot = Prot::READ | Prot::EXEC;
            self.host.map(&self.memory, &(start..start + len), copy.base(), prot, true)?;
            *extent = Arc::new(copy);
        }
        write_code(&self.memory, extent.base().offset(offset), bytes);
        Ok(())
    }

    /// Has the patches and trampolines of `parent`, for a space that is a copy of it and in which nothing has run yet.
    ///
    /// # Errors
    /// [`AspaceError::NoStub`].
    pub fn inherit_patches(&self, parent: &Self) -> Result<(), AspaceError> {
        parent.rewriter.learn(parent);
        self.rewriter.inherit(&parent.rewriter);
        let theirs = parent.state.read();
        let mut change = Change::new(self);
        let state = &mut *change.state;
        let prot = Prot::READ | Prot::EXEC;
        for (&va, extent) in &theirs.trampolines {
            self.host.map(&self.memory, &(va..va + extent.len()), extent.base(), prot, false)?;
            state.trampolines.insert(va, extent.clone());
        }
        for (&page, overlay) in &theirs.overlays {
            if let Some(run) = state.table.find(page)
                && run.flags.contains(MapFlags::PATCHABLE)
            {
                let range = page..page + PAGE;
                self.host.map(&self.memory, &range, overlay.base(), run.prot, false)?;
                state.overlays.insert(page, overlay.clone());
            }
        }
        Ok(())
    }

    /// Whether `va` lies in a trampoline.
    #[must_use]
    pub fn is_trampoline(&self, va: u64) -> bool {
        let state = self.state.read();
        let near = state.trampolines.range(..=va).next_back();
        near.is_some_and(|(start, extent)| va - start < extent.len())
    }
}
