//! Guest address spaces: the page tables of the emulated machine.
//!
//! An [`AddressSpace`] maps guest addresses to physical memory by runs of pages, and mirrors every
//! run with one host mapping of the memfd, so that guest code which runs in this process reaches
//! its memory at full speed. The kernel never follows a guest address: it looks the page up here
//! and copies through the linear map, and a bad address is a [`Fault`], an ordinary error.

mod access;
mod cache;
mod host;
mod registry;
mod room;
mod table;
mod text;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Weak},
};

use bitflags::bitflags;
use parking_lot::Mutex;

pub use self::{access::ReadStop, registry::GUEST_FLOOR, table::Run};
use self::{cache::RunCache, host::Host, registry::Claims, room::Room, table::Table};
use crate::context::rewrite::Rewriter;
use crate::pmem::{Extent, GUEST_END, PAGE_SIZE, PhysAddr, PhysicalMemory};
pub use crate::stub::Watcher;
use crate::stub::{
    Stub,
    spare::{Picture, Shown, Spares},
};
use crate::sync::Generation;
use crate::sync::{BiasedRwLock, WriteGuard};

const PAGE: u64 = PAGE_SIZE as u64;

bitflags! {
    /// What guest code may do with a page. As on x86, a page that is writable or executable is
    /// readable too.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct Prot: u8 {
        /// Load.
        const READ = 1;
        /// Store.
        const WRITE = 2;
        /// Fetch instructions.
        const EXEC = 4;
    }
}

impl Prot {
    /// Whether a page with this protection allows `access`.
    #[must_use]
    pub fn allows(self, access: Access) -> bool {
        match access {
            Access::Read => !self.is_empty(),
            Access::Write => self.contains(Self::WRITE),
            Access::Execute => self.contains(Self::EXEC),
        }
    }
}

bitflags! {
    /// How a run is mapped.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct MapFlags: u8 {
        /// Enter all pages into the host's page tables at once: cheaper than a host fault each for
        /// memory that is committed, and commits what is not.
        const POPULATE = 1;
        /// Text that [`AddressSpace::patch_text`] may overlay while it is executable and not
        /// writable.
        const PATCHABLE = 2;
        /// The upper layer uses these addresses but has no pages there yet. Set by
        /// [`AddressSpace::reserve`] only.
        const RESERVED = 4;
    }
}

/// A kind of access to memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// A guest address that could not be accessed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("fault at {addr:#x} ({access:?}, {})", if *present { "protection" } else { "not mapped" })]
pub struct Fault {
    /// The first byte that could not be accessed; everything before it was.
    pub addr: u64,
    /// What was tried.
    pub access: Access,
    /// A page is there, and its protection forbids the access.
    pub present: bool,
}

/// Why a change of an address space was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AspaceError {
    /// Another address space, or the kernel's own trampolines, are there.
    #[error("addresses are taken")]
    Taken,
    /// Not wholly addresses that guests can have: from [`GUEST_FLOOR`] to [`GUEST_BOUNDARY`](crate::pmem::GUEST_BOUNDARY), or to
    /// [`GUEST_END`] in a process of their own, less what that has itself.
    #[error("addresses are out of range")]
    OutOfRange,
    /// An address or length is not a page multiple, or a length is zero.
    #[error("not page-aligned")]
    Unaligned,
    /// The host has no memory for the mapping, or allows no more of them.
    #[error("the host refused the mapping")]
    NoMemory,
    /// All windows are in use.
    #[error("too many address spaces")]
    NoWindow,
    /// The host has no process for an isolated space.
    #[error("no host process for the address space")]
    NoStub,
    /// No [patchable](MapFlags::PATCHABLE) text, or no trampoline, is there.
    #[error("not patchable")]
    NotPatchable,
}

#[derive(Debug, Default)]
struct State {
    table: Table,
    /// Text pages replaced by a patched copy, by page address; the space of a fork's child has the same copies until either changes
    /// one.
    overlays: BTreeMap<u64, Arc<Extent>>,
    /// Code of the kernel's between the guest's mappings, by address; not in the table. Shared as the former.
    trampolines: BTreeMap<u64, Arc<Extent>>,
}

impl State {
    /// What the host has mapped.
    fn picture(&self) -> Picture {
        let mut picture = Picture::new();
        let mut show = |range: Range<u64>, pa: PhysAddr, prot| {
            let distance = pa.0.wrapping_sub(range.start);
            picture.insert(range, Shown { distance, prot: host::host_prot(prot).bits() as u64 });
        };
        for run in self.table.iter().filter(|run| !run.flags.contains(MapFlags::RESERVED)) {
            show(run.range, run.pa, run.prot);
        }
        for (&va, extent) in &self.trampolines {
            show(va..va + extent.len(), extent.base(), Prot::READ | Prot::EXEC);
        }
        for (&page, overlay) in &self.overlays {
            if let Some(run) = self.table.find(page) {
                show(page..page + PAGE, overlay.base(), run.prot);
            }
        }
        picture
    }

    fn trampolines_in(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        if self.trampolines.is_empty() {
            return Vec::new();
        }
        let spans = self.trampolines.range(..range.end);
        let spans = spans.map(|(&start, extent)| start..start + extent.len());
        spans.filter(|span| span.end > range.start).collect()
    }
}

/// A guest address space.
#[derive(Debug)]
pub struct AddressSpace {
    memory: Arc<PhysicalMemory>,
    host: Host,
    window: Range<u64>,
    state: BiasedRwLock<State>,
    /// Even: stable; odd: being changed. Readers that take no lock check it before and after.
    generation: Generation,
    cache: RunCache,
    room: Room,
    /// Which system-call sites have been rewritten.
    pub(crate) rewriter: Rewriter,
    /// Stubs for copies of this space.
    spares: Arc<Spares>,
    /// Those of the space that this one is a copy of, to which its stub goes in the end.
    family: Mutex<Weak<Spares>>,
}

/// The write lock; readers without a lock see that the table is changing.
struct Change<'a> {
    state: WriteGuard<'a, State>,
    generation: &'a Generation,
    room: &'a Room,
}

impl<'a> Change<'a> {
    fn new(space: &'a AddressSpace) -> Self {
        let state = space.state.write();
        space.generation.begin();
        Self { state, generation: &space.generation, room: &space.room }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.room.set_runs(self.state.table.len());
        self.generation.end();
    }
}

impl AddressSpace {
    /// Creates an empty address space in this host process, which claims a [window](Self::window).
    ///
    /// # Errors
    /// [`AspaceError::NoWindow`] if too many spaces exist.
    pub fn new(memory: &Arc<PhysicalMemory>) -> Result<Arc<Self>, AspaceError> {
        let claims = Claims::new()?;
        Ok(Self::with(memory, claims.window(), Host::in_process(claims)))
    }

    /// Creates an empty address space in a host process of its own: no address in it is anybody else's. `window` is where mappings at
    /// free choice should go, where Linux has them if it is not said.
    ///
    /// # Errors
    /// [`AspaceError::NoStub`] when the host has no process for it.
    pub fn new_isolated(
        memory: &Arc<PhysicalMemory>,
        window: Option<Range<u64>>,
    ) -> Result<Arc<Self>, AspaceError> {
        let window = window.unwrap_or_else(registry::own_window);
        Ok(Self::with(memory, window, Host::isolated(Self::new_stub(memory)?)))
    }

    /// Creates an empty address space in a host process of its own for a copy of this one: cheaper than [another](Self::new_isolated), for
    /// it may get the process that an earlier copy has left.
    ///
    /// # Errors
    /// [`AspaceError::NoStub`] when the host has no process for it.
    pub fn new_copy(&self) -> Result<Arc<Self>, AspaceError> {
        let stub = self.spares.take().map_or_else(|| Self::new_stub(&self.memory), Ok)?;
        let copy = Self::with(&self.memory, self.window(), Host::isolated(stub));
        *copy.family.lock() = Arc::downgrade(&self.spares);
        Ok(copy)
    }

    /// Its guests may do other things from now on than those of the space that this is a [copy](Self::new_copy) of: what they may have done to their
    /// host process must not matter to the next copies.
    pub fn leave_family(&self) {
        *self.family.lock() = Weak::new();
    }

    fn new_stub(memory: &Arc<PhysicalMemory>) -> Result<Arc<Stub>, AspaceError> {
        let zygote = memory.zygote().map_err(|error| {
            log::warn!("no address space can be isolated: {error}");
            AspaceError::NoStub
        })?;
        zygote.spawn().map_err(|_| AspaceError::NoStub)
    }

    fn with(memory: &Arc<PhysicalMemory>, window: Range<u64>, host: Host) -> Arc<Self> {
        Arc::new(Self {
            memory: memory.clone(),
            window,
            room: Room::new(host.stub().is_none()),
            host,
            state: BiasedRwLock::default(),
            generation: Generation::default(),
            cache: RunCache::default(),
            rewriter: Rewriter::default(),
            spares: Arc::default(),
            family: Mutex::default(),
        })
    }

    /// Whether a guest may have another mapping. The host allows a process so many (`vm.max_map_count`), and some of them must be left for
    /// what faults.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.room.is_ample()
    }

    /// Fails when the host would refuse to split its mappings once more; its process can not say so in time if it is another.
    fn check_room(&self) -> Result<(), AspaceError> {
        if self.is_isolated() && !self.room.is_left() { Err(AspaceError::NoMemory) } else { Ok(()) }
    }

    /// Whether its guests run in a host process of their own.
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        self.stub().is_some()
    }

    /// Has `watcher` told when the host process of an [isolated](Self::is_isolated) space ends before the space does: somebody else has
    /// killed it.
    pub fn watch(&self, watcher: Weak<dyn Watcher>) {
        if let Some(stub) = self.stub() {
            stub.watch(watcher);
        }
    }

    /// The host process that its guests run in, if that is not this one.
    #[inline]
    pub(crate) fn stub(&self) -> Option<&Arc<Stub>> {
        self.host.stub()
    }

    /// Gives the space a host process of its own, with all that is mapped where it is: from then on it has all addresses. No guest code may run in it
    /// meanwhile; contexts whose guests have trapped go on there. Who wants to be told of the process's end must [say so](Self::watch) anew.
    ///
    /// # Errors
    /// [`AspaceError::NoStub`] when the host has no process for it.
    pub fn isolate(&self) -> Result<(), AspaceError> {
        let stub = Self::new_stub(&self.memory)?;
        let change = Change::new(self);
        if self.is_isolated() {
            return Ok(());
        }
        self.host.move_to(stub, &change.state.picture());
        self.room.move_out();
        Ok(())
    }

    /// The memory that is mapped here.
    #[must_use]
    pub fn memory(&self) -> &Arc<PhysicalMemory> {
        &self.memory
    }

    /// The addresses that are this space's own: where mappings at free choice should go.
    #[must_use]
    pub fn window(&self) -> Range<u64> {
        self.window.clone()
    }

    /// All addresses that it has, highest first, the [window](Self::window) among them.
    #[must_use]
    pub fn own(&self) -> Vec<Range<u64>> {
        self.host.own()
    }

    /// Claims `len` bytes more until the space is dropped: where they are.
    ///
    /// # Errors
    /// [`AspaceError::Taken`] when there are not so many in one place.
    pub fn claim_more(&self, len: u64) -> Result<Range<u64>, AspaceError> {
        self.host.claim_more(len)
    }

    /// Whether these are addresses that guests of the space can have.
    #[must_use]
    #[inline]
    pub fn has(&self, range: &Range<u64>) -> bool {
        self.host.has(range)
    }

    /// Claims addresses outside of the window until the space is dropped. [`map`](Self::map) does
    /// so by itself.
    ///
    /// # Errors
    /// [`AspaceError::Taken`] when another space has some of them, [`AspaceError::OutOfRange`]
    /// beyond the guest's area.
    pub fn claim(&self, range: Range<u64>) -> Result<(), AspaceError> {
        self.host.claim(range)
    }

    /// Makes the kernel's copies for the calling [`Actor`](crate::sync::Actor), the guest's only thread so far, cheaper; see
    /// [`BiasedRwLock::favour`].
    pub fn favour(&self) {
        self.state.favour();
    }

    /// Changes on every change of the table, and is odd during one.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.now()
    }

    /// The range, which may be of addresses that the space [has not](Self::has).
    fn check(va: u64, len: u64) -> Result<Range<u64>, AspaceError> {
        let end = va.checked_add(len).ok_or(AspaceError::OutOfRange)?;
        if !va.is_multiple_of(PAGE) || !len.is_multiple_of(PAGE) || len == 0 {
            return Err(AspaceError::Unaligned);
        }
        if va < GUEST_FLOOR || end > GUEST_END {
            return Err(AspaceError::OutOfRange);
        }
        Ok(va..end)
    }

    /// Maps `len` bytes of physical memory from `pa` on at `va`, replacing what is there. The
    /// caller keeps the memory allocated while it is mapped. One host call.
    ///
    /// # Errors
    /// [`AspaceError::Taken`] as [`claim`](Self::claim), and over a trampoline;
    /// [`AspaceError::NoMemory`] when the host refuses: the range is then not mapped at all.
    pub fn map(
        &self,
        va: u64,
        pa: PhysAddr,
        len: u64,
        prot: Prot,
        flags: MapFlags,
    ) -> Result<(), AspaceError> {
        let range = Self::check(va, len)?;
        if !pa.0.is_multiple_of(PAGE) || !self.memory.contains(pa, len) {
            return Err(AspaceError::Unaligned);
        }
        self.claim(range.clone())?;
        let mut change = Change::new(self);
        let state = &mut *change.state;
        if !state.trampolines_in(&range).is_empty() {
            return Err(AspaceError::Taken);
        }
        if !flags.contains(MapFlags::POPULATE) && shows(state, &range, pa, prot, flags) {
            // Only what may be done with the pages is new, if anything: the host keeps its page tables.
            let parts = state.table.overlapping(range).filter(|part| part.prot != prot);
            for span in spans(parts) {
                self.host.protect(&span, prot)?;
                state.table.protect(span, prot);
            }
            return Ok(());
        }
        self.check_room()?;
        state.table.remove(range.clone());
        let overlays = take_overlays(state, &range);
        let mapped =
            self.host.map(&self.memory, &range, pa, prot, flags.contains(MapFlags::POPULATE));
        if mapped.is_err() {
            // The host may have taken the old mapping away, or not: make sure of it.
            let _ = self.host.unmap(&range);
        } else {
            let flags = flags & MapFlags::PATCHABLE;
            state.table.insert(Run { range, pa, prot, flags });
        }
        drop(change);
        drop(overlays);
        mapped
    }

    /// Marks addresses as used by the upper layer, without pages: an access faults as not present,
    /// and no trampoline goes there. Replaces what is mapped there.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn reserve(&self, va: u64, len: u64) -> Result<(), AspaceError> {
        let range = Self::check(va, len)?;
        self.claim(range.clone())?;
        let mut change = Change::new(self);
        let state = &mut *change.state;
        if !state.trampolines_in(&range).is_empty() {
            return Err(AspaceError::Taken);
        }
        let overlays = self.unmap_locked(state, &range)?;
        let run = Run { range, pa: PhysAddr(0), prot: Prot::empty(), flags: MapFlags::RESERVED };
        state.table.insert(run);
        drop(change);
        drop(overlays);
        Ok(())
    }

    /// Unmaps a range; holes in it do not matter.
    ///
    /// # Errors
    /// [`AspaceError::NoMemory`] when the host would have to split a mapping and allows no more: a
    /// part may be unmapped then.
    pub fn unmap(&self, va: u64, len: u64) -> Result<(), AspaceError> {
        let range = Self::check(va, len)?;
        let mut change = Change::new(self);
        let overlays = self.unmap_locked(&mut change.state, &range)?;
        drop(change);
        drop(overlays);
        Ok(())
    }

    fn unmap_locked(
        &self,
        state: &mut State,
        range: &Range<u64>,
    ) -> Result<Vec<Arc<Extent>>, AspaceError> {
        // Only what is in the table: the rest may belong to others. Neighbours go in one host call.
        let spans = spans(state.table.overlapping(range.clone()));
        if splits(&state.table, range) {
            self.check_room()?;
        }
        for span in spans {
            self.host.unmap(&span)?;
            state.table.remove(span);
        }
        state.table.remove(range.clone());
        Ok(take_overlays(state, range))
    }

    /// Changes the protection of all that is mapped in a range; holes and reservations are left as
    /// they are.
    ///
    /// # Errors
    /// [`AspaceError::NoMemory`] when the host would have to split a mapping and allows no more: a
    /// part may have changed then.
    pub fn protect(&self, va: u64, len: u64, prot: Prot) -> Result<(), AspaceError> {
        let range = Self::check(va, len)?;
        let mut change = Change::new(self);
        let state = &mut *change.state;
        let mut overlays = Vec::new();
        if splits(&state.table, &range) {
            self.check_room()?;
        }
        let parts = state.table.overlapping(range);
        for span in spans(parts.filter(|part| part.prot != prot)) {
            if prot.contains(Prot::WRITE) {
                overlays.extend(self.drop_overlays(state, &span)?);
            }
            self.host.protect(&span, prot)?;
            state.table.protect(span, prot);
        }
        drop(change);
        drop(overlays);
        Ok(())
    }

    /// The run that holds `va`, reservations included and trampolines not.
    #[must_use]
    pub fn query(&self, va: u64) -> Option<Run> {
        self.state.read().table.find(va)
    }

    /// All runs, in order.
    #[must_use]
    pub fn runs(&self) -> Vec<Run> {
        self.state.read().table.iter().collect()
    }

    /// The parts of runs inside `range`, in order.
    #[must_use]
    pub fn runs_in(&self, range: Range<u64>) -> Vec<Run> {
        self.state.read().table.overlapping(range).collect()
    }

    /// The first range in `range` where only the kernel's trampolines are, so that no mapping can
    /// go there.
    #[must_use]
    pub fn trampoline_in(&self, range: Range<u64>) -> Option<Range<u64>> {
        self.state.read().trampolines_in(&range).into_iter().next()
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        match self.host.stub() {
            None => self.host.unmap_claims(),
            Some(stub) => {
                let family = self.family.get_mut().upgrade();
                stub.retire(family.as_deref(), || self.state.read().picture());
            }
        }
    }
}

/// Whether `range` begins or ends inside a run.
fn splits(table: &Table, range: &Range<u64>) -> bool {
    let inside = |va| table.find(va).is_some_and(|run| run.range.start < va);
    inside(range.start) || inside(range.end)
}

/// Joins neighbouring runs into the ranges that they cover; reservations, which have no host
/// mapping, are left out.
fn spans(runs: impl Iterator<Item = Run>) -> Vec<Range<u64>> {
    let mut spans: Vec<Range<u64>> = Vec::new();
    for run in runs {
        if run.flags.contains(MapFlags::RESERVED) {
            continue;
        }
        match spans.last_mut() {
            Some(last) if last.end == run.range.start => last.end = run.range.end,
            _ => spans.push(run.range),
        }
    }
    spans
}

/// Whether all of `range` is mapped to the physical memory from `pa` on already, with no patches that must not stay.
fn shows(state: &State, range: &Range<u64>, pa: PhysAddr, prot: Prot, flags: MapFlags) -> bool {
    let patched = state.overlays.range(range.clone()).next().is_some();
    let mut at = range.start;
    for run in state.table.overlapping(range.clone()) {
        let same = run.range.start == at
            && run.pa == pa.offset(at - range.start)
            && run.flags == flags & MapFlags::PATCHABLE
            && (run.prot == prot || !patched);
        if !same {
            return false;
        }
        at = run.range.end;
    }
    at == range.end
}

fn take_overlays(state: &mut State, range: &Range<u64>) -> Vec<Arc<Extent>> {
    if state.overlays.is_empty() {
        return Vec::new();
    }
    let pages: Vec<u64> = state.overlays.range(range.clone()).map(|(&page, _)| page).collect();
    pages.iter().filter_map(|page| state.overlays.remove(page)).collect()
}

#[cfg(test)]
mod tests;
