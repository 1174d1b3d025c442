//! Putting pages into the page table: when something is mapped, when it faults, and when a VMO's
//! pages change.

use std::ops::{ControlFlow, Range};

use hal::{
    aspace::{Access, MapFlags, Prot},
    pmem::PAGE_SIZE,
};
use smallvec::SmallVec;

use super::{
    EAGER, MappingFlags, PAGE, Tree, Vmar, page_range, refusal,
    tree::{Entry, State},
};
use crate::{
    error::{Error, Result},
    profile::MemoryPriority,
    vmo::{Mapper, PageRun, Vmo},
};

/// Present pages of a file that are mapped along with the one that faulted, to each side.
const FAULT_AROUND: u64 = 512 << 10;
/// The same for anonymous memory that is too large to be mapped whole.
const FAULT_AROUND_ANONYMOUS: u64 = 64 << 20;
/// Longest mapping of committed memory whose pages are all entered at once. It saves two thirds if
/// they are all touched and is wasted if few are.
const POPULATE_WARM: u64 = 1 << 20;
/// Pages of private memory that are copied along with the one that is written.
const COPY_AROUND: u64 = 16 << 10;
/// Pages that may be written again, now that nobody else has them, are let be so along with the one that is written, to each side.
const REGAIN_AROUND: u64 = 1 << 20;
/// Faults at one address that find the page gone again before giving up.
const RETRIES: usize = 64;

/// When the pages of a new mapping are put into the page table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Install {
    /// At once, those that are present.
    Now,
    /// At once, and into the host's as well.
    Populated,
    /// When they are touched.
    Later,
}

impl Tree {
    /// Enters a mapping of `range`, where nothing is.
    pub(super) fn map_locked(
        &self,
        state: &mut State,
        range: Range<u64>,
        mut entry: Entry,
        install: Install,
    ) -> Result<()> {
        let len = range.end - range.start;
        entry.end = range.end;
        self.continue_below(state, &range, &mut entry);
        entry.accounted =
            entry.flags.contains(MappingFlags::ACCOUNT) && entry.perms.contains(Prot::WRITE);
        if entry.accounted {
            state.charge(len, 0)?;
        }
        let installed = self.install_new(&mut entry, &range, install);
        match installed {
            Ok(()) => {
                state.insert(range.start, entry);
                Ok(())
            }
            Err(error) => {
                if entry.accounted {
                    state.charge(0, len)?;
                }
                if error != Error::Unavailable {
                    let _ = self.aspace.unmap(range.start, len);
                }
                Err(error)
            }
        }
    }

    /// If fresh anonymous memory follows some that is alike, lets that one's VMO grow instead: a
    /// heap stays one mapping, and one run of pages, however often it is extended.
    fn continue_below(&self, state: &State, range: &Range<u64>, entry: &mut Entry) {
        let Some((start, below)) = range.start.checked_sub(1).and_then(|last| state.find(last))
        else {
            return;
        };
        let end = below.offset(start, range.start);
        let alike = below.flags.contains(MappingFlags::DISCARD)
            && below.flags == entry.flags
            && below.perms == entry.perms
            && below.max_perms == entry.max_perms
            && below.tag == entry.tag
            && below.region == entry.region
            && below.vmo.size() == end;
        let fresh = entry.vmo_offset == 0 && entry.vmo.is_untouched();
        if alike && fresh && below.vmo.grow(end.saturating_add(range.end - range.start)).is_ok() {
            entry.vmo = below.vmo.clone();
            entry.vmo_offset = end;
        }
    }

    /// Puts what can be into the page table for a new mapping, and reserves the rest.
    fn install_new(&self, entry: &mut Entry, range: &Range<u64>, install: Install) -> Result<()> {
        let len = range.end - range.start;
        let size = entry.vmo.size();
        let populate = install == Install::Populated;
        let whole = install != Install::Later
            && entry.vmo.is_plain()
            && !entry.perms.is_empty()
            && len <= EAGER
            && entry.vmo_offset.checked_add(len).is_some_and(|end| end <= size);
        if whole && let Some(run) = entry.vmo.resolve_plain(entry.vmo_offset, len) {
            // The usual case: one run, one host call.
            let flags = self.flags(entry, populate || (run.warm && len <= POPULATE_WARM));
            if run.len == len {
                self.aspace.map(range.start, run.pa, len, entry.perms, flags).map_err(refusal)?;
                if populate && !run.warm {
                    entry.vmo.set_warm(entry.vmo_offset..entry.vmo_offset + len);
                }
                return Ok(());
            }
        }
        self.aspace.reserve(range.start, len).map_err(refusal)?;
        entry.sparse = true;
        if entry.perms.is_empty() || install == Install::Later {
            return Ok(());
        }
        if whole {
            let installed = self.install_whole(entry, range.start, range, populate)?;
            entry.sparse = !installed;
            if installed {
                return Ok(());
            }
        }
        self.install_present(entry, range.start, range).map(drop)
    }

    fn flags(&self, entry: &Entry, populate: bool) -> MapFlags {
        let mut flags = MapFlags::empty();
        flags.set(MapFlags::POPULATE, populate);
        flags.set(MapFlags::PATCHABLE, entry.flags.contains(MappingFlags::PATCHABLE));
        flags
    }

    /// Maps all of `range` of plain memory; false if it is that no more, and the rest is not mapped.
    pub(super) fn install_whole(
        &self,
        entry: &Entry,
        start: u64,
        range: &Range<u64>,
        populate: bool,
    ) -> Result<bool> {
        let mut at = range.start;
        while at < range.end {
            let offset = entry.offset(start, at);
            let Some(run) = entry.vmo.resolve_plain(offset, range.end - at) else {
                return match entry.vmo.is_plain() {
                    true => Err(Error::NoMemory),
                    false => Ok(false),
                };
            };
            let flags = self.flags(entry, populate);
            self.aspace.map(at, run.pa, run.len, entry.perms, flags).map_err(refusal)?;
            at += run.len;
        }
        Ok(true)
    }

    /// Maps the pages of `range` that are present. Does not block.
    pub(super) fn install_present(
        &self,
        entry: &Entry,
        start: u64,
        range: &Range<u64>,
    ) -> Result<SmallVec<[PageRun; 4]>> {
        let mut runs: SmallVec<[PageRun; 4]> = SmallVec::new();
        let from = entry.offset(start, range.start);
        let to = entry.offset(start, range.end);
        let _ = entry.vmo.for_each_present(from..to, &mut |run| {
            match runs.last_mut() {
                Some(last)
                    if last.offset + last.len == run.offset
                        && last.pa.offset(last.len) == run.pa
                        && last.writable == run.writable =>
                {
                    last.len += run.len;
                }
                _ => runs.push(run),
            }
            ControlFlow::Continue(())
        });
        for run in &runs {
            let va = range.start + (run.offset - from);
            let prot = if run.writable { entry.perms } else { entry.perms - Prot::WRITE };
            // A source's last page may be a part of one only in content, never in place: runs are
            // pages.
            let flags = self.flags(entry, false);
            self.aspace.map(va, run.pa, run.len, prot, flags).map_err(refusal)?;
        }
        Ok(runs)
    }

    /// Resolves a fault, or says why not: [`Error::ShouldWait`] if that must block and `wait` does
    /// not allow it.
    pub(super) fn fault(&self, addr: u64, access: Access, wait: bool) -> Result<()> {
        let page = addr / PAGE * PAGE;
        for _ in 0..RETRIES {
            let mut state = self.state.lock();
            let (start, entry) = state.find(addr).ok_or(Error::NotFound)?;
            if !entry.perms.allows(access) {
                return Err(Error::AccessDenied);
            }
            let offset = entry.offset(start, page);
            if offset >= entry.vmo.size() {
                return Err(Error::OutOfRange);
            }
            let mapped =
                self.aspace.query(addr).filter(|run| !run.flags.contains(MapFlags::RESERVED));
            if mapped.as_ref().is_some_and(|run| run.prot.allows(access)) {
                return Ok(());
            }
            let write = access == Access::Write;
            let present = entry.vmo.present_run(offset, PAGE);
            let private = entry.flags.contains(MappingFlags::PRIVATE);
            if write && private {
                self.lessons.note(page, Access::Write);
            } else if mapped.is_none() {
                self.lessons.note(page, Access::Read);
            }
            if present.is_some_and(|run| run.writable || !write) {
                let window = self.around(entry, start, page, mapped.is_some());
                self.install_present(entry, start, &window)?;
                if write {
                    entry.vmo.note_modified();
                }
                return Ok(());
            }
            let vmo = entry.vmo.clone();
            if vmo.is_anonymous() && present.is_none() {
                // Only its place is missing, which does not block.
                vmo.reserve(offset)?;
                continue;
            }
            let part = entry.vmo_offset..entry.offset(start, entry.end);
            if wait {
                state.note_fault();
            }
            drop(state);
            if write && private && vmo.is_anonymous() {
                // After a fork: a fault costs as much as copying a few pages.
                let around = offset / COPY_AROUND * COPY_AROUND;
                let window = around.max(part.start)..(around + COPY_AROUND).min(part.end);
                vmo.make_own(window.start..window.end.min(vmo.size()))?;
                continue;
            }
            match wait {
                true => vmo.prepare(offset, write)?,
                false => vmo.try_prepare(offset, write)?,
            }
        }
        Err(Error::Unavailable)
    }

    /// The addresses to map along with a page: those around it that are not mapped yet.
    fn around(&self, entry: &Entry, start: u64, page: u64, mapped: bool) -> Range<u64> {
        let mut window = page..page + PAGE;
        if mapped {
            if entry.flags.contains(MappingFlags::PRIVATE) {
                window.start = page.saturating_sub(REGAIN_AROUND).max(start);
                window.end = page.saturating_add(REGAIN_AROUND).min(entry.end);
            }
            return window;
        }
        if let Some(run) = self.aspace.query(page) {
            let most = match entry.vmo.is_anonymous() {
                true => FAULT_AROUND_ANONYMOUS,
                false => FAULT_AROUND,
            };
            window.start = run.range.start.max(page.saturating_sub(most)).max(start);
            window.end = run.range.end.min(page.saturating_add(most)).min(entry.end);
        }
        window
    }
}

impl Mapper for Tree {
    fn may_write(&self, vmo: &Vmo) -> bool {
        let state = self.state.lock();
        let mut mappings = state.all();
        mappings.any(|(_, entry)| {
            entry.vmo.offset_in(vmo).is_some() && entry.max_perms.contains(Prot::WRITE)
        })
    }

    fn count(&self, vmo: &Vmo) -> usize {
        self.state.lock().all().filter(|(_, entry)| std::ptr::eq(&*entry.vmo, vmo)).count()
    }

    fn maps(&self, vmo: &Vmo) -> bool {
        self.state.lock().all().any(|(_, entry)| entry.vmo.offset_in(vmo).is_some())
    }

    fn keeps(&self, vmo: &Vmo) -> bool {
        let state = self.state.lock();
        let precious = |region| state.priority(region) == Ok(MemoryPriority::High);
        let mut mappings = state.all();
        mappings.any(|(_, entry)| entry.vmo.offset_in(vmo).is_some() && precious(entry.region))
    }

    fn invalidate(&self, vmo: &Vmo, range: Range<u64>) {
        let mut state = self.state.lock();
        let hits: Vec<(u64, Entry, Range<u64>)> = state
            .all()
            .filter_map(|(start, entry)| {
                // Where in the owner's pages the mapping begins and ends.
                let base = entry.vmo.offset_in(vmo)?;
                let first = base.saturating_add(entry.vmo_offset);
                let from = first.max(range.start);
                let to = base.saturating_add(entry.offset(start, entry.end)).min(range.end);
                let va = |offset: u64| start + (offset - first);
                (from < to).then(|| (start, entry.clone(), va(from)..va(to)))
            })
            .collect();
        for (start, entry, part) in hits {
            // Pages that have only moved (a copy was made) are mapped in their new place at once,
            // and what has gone is cut. If the host refuses, cutting all is what is left.
            let runs = match entry.perms.is_empty() {
                true => SmallVec::new(),
                false => self.install_present(&entry, start, &part).unwrap_or_default(),
            };
            let mut at = part.start;
            let base = entry.offset(start, part.start);
            for run in &runs {
                let va = part.start + (run.offset - base);
                self.cut(at..va);
                at = va + run.len;
            }
            self.cut(at..part.end);
            state.update(&part, |entry| entry.sparse = true);
        }
    }
}

impl Tree {
    fn cut(&self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        if self.aspace.reserve(range.start, range.end - range.start).is_err() {
            // The host has no room to split its mapping. Without access the pages cannot leak.
            let _ = self.aspace.protect(range.start, range.end - range.start, Prot::empty());
        }
    }
}

impl Vmar {
    /// Resolves a fault of the guest's at `addr`: reads or copies the page and maps it, with what
    /// is present around it. May block on the VMO's source.
    ///
    /// # Errors
    /// - [`Error::NotFound`]: nothing is mapped there (SIGSEGV, SEGV_MAPERR).
    /// - [`Error::AccessDenied`]: the mapping forbids the access (SIGSEGV, SEGV_ACCERR).
    /// - [`Error::OutOfRange`]: beyond the VMO's end (SIGBUS, BUS_ADRERR).
    /// - [`Error::NoMemory`], or what the source says (SIGBUS).
    pub fn fault(&self, addr: u64, access: Access) -> Result<()> {
        self.tree.fault(addr, access, true)
    }

    /// [`fault`](Self::fault) if that need not block: what a CPU tries first.
    ///
    /// # Errors
    /// [`Error::ShouldWait`] if it must, which [`fault`](Self::fault) does then, off the CPUs; else
    /// as [`fault`](Self::fault).
    pub fn try_fault(&self, addr: u64, access: Access) -> Result<()> {
        self.tree.fault(addr, access, false)
    }

    /// [`fault`](Self::fault), which waits for the page as a future: of a pager's service, or of a thread that may block.
    ///
    /// # Errors
    /// As [`fault`](Self::fault), and what [`Vmo::fetch`] says.
    pub async fn fault_async(&self, addr: u64, access: Access) -> Result<()> {
        loop {
            match self.try_fault(addr, access) {
                Err(Error::ShouldWait) => {}
                result => return result,
            }
            let mapping = self.find(addr).ok_or(Error::NotFound)?;
            let start = mapping.vmo_offset + (addr - mapping.range.start);
            self.tree.state.lock().note_fault();
            mapping.vmo.fetch(start..start.saturating_add(1), access == Access::Write).await?;
        }
    }

    /// Makes all pages of a range present and maps them, writable ones for writing: mlock,
    /// MADV_POPULATE_READ and MADV_POPULATE_WRITE. May block.
    ///
    /// # Errors
    /// [`Error::NotFound`] if a page is not mapped; else as [`fault`](Self::fault). What comes
    /// before has been done.
    pub fn populate(&self, addr: u64, len: u64, access: Access) -> Result<()> {
        let range = page_range(addr, len)?;
        let mut at = range.start;
        while at < range.end {
            let mapping = self.find(at).ok_or(Error::NotFound)?;
            if !mapping.perms.allows(access) {
                return Err(Error::AccessDenied);
            }
            let end = mapping.range.end.min(range.end);
            if mapping.vmo.is_plain() {
                // The host has the pages; it is enough to touch them.
                for page in (at..end).step_by(PAGE_SIZE) {
                    let touched = match access {
                        Access::Write => self.fetch_update_u32(page, |word| word).map(drop),
                        _ => self.load_u32(page).map(drop),
                    };
                    touched.map_err(|_| Error::NoMemory)?;
                }
            } else {
                for page in (at..end).step_by(PAGE_SIZE) {
                    self.fault(page, access)?;
                }
            }
            at = end;
        }
        Ok(())
    }

    /// The parts of a range whose pages are in memory, in order (mincore).
    #[must_use]
    pub fn resident(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut resident = Vec::new();
        for mapping in self.mappings_in(range.clone()) {
            let start = mapping.range.start.max(range.start);
            let end = mapping.range.end.min(range.end);
            let offset = |va: u64| mapping.vmo_offset.saturating_add(va - mapping.range.start);
            for part in mapping.vmo.committed(offset(start)..offset(end)) {
                let va = |offset: u64| mapping.range.start + (offset - mapping.vmo_offset);
                resident.push(va(part.start)..va(part.end));
            }
        }
        resident
    }

    /// Faults that had to read or copy a page, in the whole address space.
    #[must_use]
    pub fn major_faults(&self) -> u64 {
        self.tree.state.lock().faults()
    }
}
