//! Virtual memory address regions: which parts of an address space show which VMO.
//!
//! A root [`Vmar`] covers a guest's whole address space and may be cut into child regions. All
//! regions of a tree share one ordered map of mappings and one lock. The page table
//! ([`AddressSpace`]) follows: anonymous memory is mapped whole at once, so its faults are the
//! host's; pages that have to be read or copied first are *reserved* there and mapped, by runs,
//! when they fault.

mod access;
mod change;
mod fault;
mod fork;
mod maps;
mod op_range;
mod remap;
mod tree;

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Weak},
};

use bitflags::bitflags;
use hal::{
    aspace::{AddressSpace, AspaceError, GUEST_FLOOR, Prot},
    pmem::{GUEST_END, PAGE_SIZE},
};
use parking_lot::Mutex;

use self::{
    fault::Install,
    tree::{Entry, State},
};
pub use self::{maps::MapNode, op_range::VmarOp, remap::Remap};
use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, ObjectType},
    profile::MemoryPriority,
    vmo::{Mapper, Vmo},
};

const PAGE: u64 = PAGE_SIZE as u64;
/// Longest anonymous mapping that is mapped whole at once.
const EAGER: u64 = 1 << 30;
/// Longest private writable mapping of a file that is copied at once, if nobody writes the file.
const EAGER_COPY: u64 = 1 << 20;

bitflags! {
    /// Properties of a mapping; they split and move with it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct MappingFlags: u32 {
        /// The VMO is this mapping's alone: pages that leave it are given back, and it may grow.
        const DISCARD = 1 << 0;
        /// Counts against the memory limit while it is writable, or since it was.
        const ACCOUNT = 1 << 1;
        /// Text whose system-call sites may be rewritten.
        const PATCHABLE = 1 << 2;
        /// Linux's MAP_PRIVATE; for the layer above.
        const PRIVATE = 1 << 3;
        /// Linux's mlock(2); for the layer above. A [fork](Vmar::fork)'s mappings do not have it.
        const LOCKED = 1 << 4;
    }
}

/// Where a mapping goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// Highest free addresses, as Linux's mmap.
    TopDown,
    /// Lowest free addresses.
    BottomUp,
    /// Highest free addresses between these two, in the window or not (MAP_32BIT).
    Between(u64, u64),
    /// There if it is free, otherwise as [`TopDown`](Self::TopDown).
    Hint(u64),
    /// There, and only if it is free (MAP_FIXED_NOREPLACE, `ZX_VM_SPECIFIC`).
    Exact(u64),
    /// There, instead of what is there (MAP_FIXED, `ZX_VM_SPECIFIC_OVERWRITE`).
    Replace(u64),
}

/// What is to be mapped, and how.
#[derive(Clone, Debug)]
pub struct MapArgs {
    /// Where.
    pub placement: Placement,
    /// Bytes; rounded up to pages.
    pub len: u64,
    /// Alignment of a free choice, a power of two; 0 and 1 mean pages.
    pub align: u64,
    /// What. It may be shorter than the mapping; accesses beyond its end are [`Error::OutOfRange`]
    /// faults.
    pub vmo: Arc<Vmo>,
    /// Offset of the first byte, a page multiple.
    pub vmo_offset: u64,
    /// What the guest may do.
    pub perms: Prot,
    /// What [`Vmar::protect`] may allow later.
    pub max_perms: Prot,
    /// Properties.
    pub flags: MappingFlags,
    /// Make all pages present now (MAP_POPULATE).
    pub populate: bool,
    /// The layer above's own; mappings with different tags are not merged.
    pub tag: u64,
}

impl MapArgs {
    /// `len` bytes of `vmo` from its beginning, readable and writable, anywhere.
    #[must_use]
    pub fn new(vmo: Arc<Vmo>, len: u64) -> Self {
        Self {
            placement: Placement::TopDown,
            len,
            align: 0,
            vmo,
            vmo_offset: 0,
            perms: Prot::READ | Prot::WRITE,
            max_perms: Prot::all(),
            flags: MappingFlags::empty(),
            populate: false,
            tag: 0,
        }
    }
}

/// A mapping, as it was when it was asked for.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Addresses.
    pub range: Range<u64>,
    /// What is mapped.
    pub vmo: Arc<Vmo>,
    /// Offset of the first byte in the VMO.
    pub vmo_offset: u64,
    /// What the guest may do.
    pub perms: Prot,
    /// What it may be allowed.
    pub max_perms: Prot,
    /// Properties.
    pub flags: MappingFlags,
    /// The layer above's own.
    pub tag: u64,
}

/// Everything that the regions of one address space share.
struct Tree {
    // Declared, and so dropped, before the state with its VMOs: no host mapping may outlive their
    // pages.
    aspace: Arc<AddressSpace>,
    state: Mutex<State>,
    this: Weak<Tree>,
    lessons: fork::Lessons,
}

impl Drop for Tree {
    fn drop(&mut self) {
        // The pages go away with the VMOs, after this. If the address space goes too, it does so
        // before them, and faster.
        if Arc::strong_count(&self.aspace) == 1 {
            return;
        }
        let _ = self.aspace.unmap(GUEST_FLOOR, GUEST_END - GUEST_FLOOR);
    }
}

/// A virtual memory address region.
pub struct Vmar {
    base: KObjectBase,
    tree: Arc<Tree>,
    region: u64,
    range: Range<u64>,
    /// Mappings and children may be put where one says.
    specific: bool,
}

impl fmt::Debug for Vmar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vmar").field("koid", &self.koid()).field("range", &self.range).finish()
    }
}

impl KernelObject for Vmar {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Vmar
    }
}

/// What the page table's refusal means to a guest.
fn refusal(error: AspaceError) -> Error {
    match error {
        AspaceError::Taken => Error::Unavailable,
        AspaceError::OutOfRange => Error::OutOfRange,
        AspaceError::Unaligned | AspaceError::NotPatchable => Error::InvalidArgs,
        AspaceError::NoMemory | AspaceError::NoWindow | AspaceError::NoStub => Error::NoMemory,
    }
}

/// `len` bytes from `addr` on, which must be aligned, rounded up to pages.
fn page_range(addr: u64, len: u64) -> Result<Range<u64>> {
    let len = len.checked_next_multiple_of(PAGE).filter(|&len| len > 0);
    let end = len.and_then(|len| addr.checked_add(len)).ok_or(Error::InvalidArgs)?;
    if addr.is_multiple_of(PAGE) { Ok(addr..end) } else { Err(Error::InvalidArgs) }
}

/// An alignment in bytes, where anything up to that of pages means that of pages.
fn checked_align(align: u64) -> Result<u64> {
    match align.max(PAGE) {
        align if align.is_power_of_two() => Ok(align),
        _ => Err(Error::InvalidArgs),
    }
}

impl Vmar {
    /// Creates the root region of an address space, which must have no other.
    ///
    /// It covers every guest address, of which the space may have less. Free choice is in its [window](AddressSpace::window), and what finds no room
    /// there is put elsewhere.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn create_root(aspace: &Arc<AddressSpace>) -> Result<Arc<Self>> {
        Self::create_root_with(aspace, fork::Lessons::default())
    }

    fn create_root_with(aspace: &Arc<AddressSpace>, lessons: fork::Lessons) -> Result<Arc<Self>> {
        let range = GUEST_FLOOR..GUEST_END;
        let account = aspace.memory().no_charge();
        let state = State::new(range.clone(), aspace.window(), account);
        let tree = Arc::new_cyclic(|this| Tree {
            aspace: aspace.clone(),
            state: Mutex::new(state),
            this: this.clone(),
            lessons,
        });
        let (base, region) = (KObjectBase::new(), tree::ROOT);
        Ok(Arc::new(Self { base, tree, region, range, specific: true }))
    }

    /// The page table that it fills.
    #[must_use]
    pub fn aspace(&self) -> &Arc<AddressSpace> {
        &self.tree.aspace
    }

    /// Its addresses (`ZX_INFO_VMAR`).
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Creates a child region of `len` bytes. Placed by choice, it is as close to its neighbours as can be.
    ///
    /// # Errors
    /// As [`allocate_with`](Self::allocate_with).
    pub fn allocate(&self, placement: Placement, len: u64) -> Result<Arc<Self>> {
        self.allocate_with(placement, len, PAGE, true)
    }

    /// Creates a child region of `len` bytes, aligned to `align`, a power of two; in which one may say where things go if
    /// `specific` (`zx_vmar_allocate`, `ZX_VM_CAN_MAP_SPECIFIC`).
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] if unaligned or empty, [`Error::AlreadyExists`] if the addresses are
    /// in use, [`Error::NoResources`] if there is no free place, [`Error::AccessDenied`] if one says where it is to be and may not,
    /// [`Error::BadState`] if this region is destroyed.
    pub fn allocate_with(
        &self,
        placement: Placement,
        len: u64,
        align: u64,
        specific: bool,
    ) -> Result<Arc<Self>> {
        let len = page_range(0, len)?.end;
        let align = checked_align(align)?;
        self.check_placement(placement, align)?;
        let mut state = self.tree.state.lock();
        let range = match placement {
            Placement::Exact(addr) | Placement::Replace(addr) => page_range(addr, len)?,
            Placement::Hint(addr) if state.is_free(self.region, &page_range(addr, len)?) => {
                addr..addr + len
            }
            Placement::BottomUp => state.find_low(self.region, len, align)?,
            Placement::Between(low, high) => {
                state.find_between(self.region, len, align, &self.part_between(low, high))?
            }
            _ => self.find_room(&mut state, len, align)?,
        };
        if !state.is_free(self.region, &range) {
            return Err(Error::AlreadyExists);
        }
        let region = state.add_region(self.region, range.clone())?;
        drop(state);
        let tree = self.tree.clone();
        Ok(Arc::new(Self { base: KObjectBase::new(), tree, region, range, specific }))
    }

    /// Fails if one may not say where things go, and does, or says another place than `align` allows.
    fn check_placement(&self, placement: Placement, align: u64) -> Result {
        let addr = match placement {
            Placement::TopDown | Placement::BottomUp | Placement::Hint(_) => return Ok(()),
            Placement::Between(..) => 0,
            Placement::Exact(addr) | Placement::Replace(addr) => addr,
        };
        match self.specific {
            false => Err(Error::AccessDenied),
            true if !addr.is_multiple_of(align) => Err(Error::InvalidArgs),
            true => Ok(()),
        }
    }

    /// Unmaps everything in the region and makes it and its children useless (`zx_vmar_destroy`).
    ///
    /// # Errors
    /// [`Error::NotSupported`] if it is the root, which is there as long as its process. [`Error::BadState`] if it is destroyed already,
    /// [`Error::NoMemory`].
    pub fn destroy(&self) -> Result<()> {
        if self.region == tree::ROOT {
            return Err(Error::NotSupported);
        }
        let mut state = self.tree.state.lock();
        state.check_alive(self.region)?;
        let removed = self.tree.unmap_locked(&mut state, self.range.clone())?;
        state.remove_region(self.region);
        drop(state);
        removed.finish();
        Ok(())
    }

    /// How precious the pages of what it maps are.
    ///
    /// # Errors
    /// [`Error::BadState`] if it is destroyed.
    pub fn memory_priority(&self) -> Result<MemoryPriority> {
        self.tree.state.lock().priority(self.region)
    }

    /// Says so, of the region and all in it; see [`Profile::apply_to_vmar`](crate::Profile::apply_to_vmar).
    ///
    /// # Errors
    /// [`Error::BadState`] if it is destroyed.
    pub(crate) fn set_memory_priority(&self, priority: MemoryPriority) -> Result {
        let mut state = self.tree.state.lock();
        state.check_alive(self.region)?;
        state.set_priority(self.region, priority);
        Ok(())
    }

    /// Maps a VMO; returns the address (`zx_vmar_map`).
    ///
    /// # Errors
    /// - [`Error::InvalidArgs`]: unaligned, empty, or `perms` beyond `max_perms`.
    /// - [`Error::AccessDenied`]: to be written to, and the VMO [may not](Vmo::is_writable); to be put somewhere, and the region
    ///   [does not allow that](Self::allocate_with).
    /// - [`Error::OutOfRange`]: a fixed address outside of this region.
    /// - [`Error::AlreadyExists`]: [`Placement::Exact`], and something is there.
    /// - [`Error::Unavailable`]: a fixed address that another guest or the kernel has.
    /// - [`Error::NoResources`]: no free place.
    /// - [`Error::NoMemory`]: the limit, or the host's.
    /// - [`Error::BadState`]: the region is destroyed.
    pub fn map(&self, mut args: MapArgs) -> Result<u64> {
        let len = page_range(args.vmo_offset, args.len)?.end - args.vmo_offset;
        if !args.vmo.is_writable() {
            if args.perms.contains(Prot::WRITE) {
                return Err(Error::AccessDenied);
            }
            args.max_perms.remove(Prot::WRITE);
        }
        if !args.max_perms.contains(args.perms) {
            return Err(Error::InvalidArgs);
        }
        let writable_copy = args.vmo.copies_on_write()
            && args.perms.contains(Prot::WRITE)
            && !args.vmo.may_change();
        if (writable_copy && len <= EAGER_COPY) || (args.populate && !args.vmo.is_anonymous()) {
            // Before the lock is taken, since it may read a file, if not a disk. What is missing
            // then comes at the fault, if it is ever touched.
            let end = args.vmo.size().min(args.vmo_offset + len);
            args.vmo.try_commit(args.vmo_offset.min(end)..end);
        }
        let install = if args.populate { Install::Populated } else { Install::Now };
        let (placement, align) = (args.placement, checked_align(args.align)?);
        self.check_placement(placement, align)?;
        let mapper: Weak<dyn Mapper> = self.tree.this.clone();
        args.vmo.add_mapper(mapper, args.max_perms.contains(Prot::WRITE));
        let entry = Entry {
            end: 0,
            vmo: args.vmo,
            vmo_offset: args.vmo_offset,
            perms: args.perms,
            max_perms: args.max_perms,
            flags: args.flags,
            tag: args.tag,
            region: self.region,
            sparse: false,
            accounted: false,
        };
        if !self.tree.aspace.has_room() {
            return Err(Error::NoMemory);
        }
        let mut state = self.tree.state.lock();
        state.check_alive(self.region)?;
        match placement {
            Placement::Exact(addr) => {
                let range = self.fixed(addr, len)?;
                if !state.is_free(self.region, &range) {
                    return Err(Error::AlreadyExists);
                }
                self.tree.map_locked(&mut state, range, entry, install).map(|()| addr)
            }
            Placement::Replace(addr) => {
                let range = self.fixed(addr, len)?;
                if state.overlaps_child(self.region, &range) {
                    return Err(Error::InvalidArgs);
                }
                if state.is_free(self.region, &range) {
                    return self.tree.map_locked(&mut state, range, entry, install).map(|()| addr);
                }
                self.tree.aspace.claim(range.clone()).map_err(refusal)?;
                if self.tree.aspace.trampoline_in(range.clone()).is_some() {
                    return Err(Error::Unavailable);
                }
                // The page table replaces what is there by itself.
                let removed = self.tree.take_locked(&mut state, &range)?;
                let mapped = self.tree.map_locked(&mut state, range, entry, install);
                if mapped.is_err() {
                    // Nothing was replaced, perhaps, and what was there is about to lose its pages.
                    self.tree.aspace.unmap(addr, len).map_err(refusal)?;
                }
                drop(state);
                removed.finish();
                mapped.map(|()| addr)
            }
            Placement::Hint(addr) => {
                if let Ok(range) = self.fixed(addr / PAGE * PAGE, len)
                    && state.is_free(self.region, &range)
                    && self.tree.aspace.claim(range.clone()).is_ok()
                {
                    let start = range.start;
                    match self.tree.map_locked(&mut state, range, entry.clone(), install) {
                        Ok(()) => return Ok(start),
                        Err(Error::Unavailable) => {}
                        Err(error) => return Err(error),
                    }
                }
                self.map_anywhere(&mut state, len, align, entry, install)
            }
            Placement::TopDown => self.map_anywhere(&mut state, len, align, entry, install),
            Placement::Between(low, high) => {
                let choice = self.part_between(low, high);
                let range = state.find_between(self.region, len, align, &choice)?;
                let start = range.start;
                match self.tree.map_locked(&mut state, range, entry, install) {
                    // Another guest's: looking further would find more of them.
                    Err(Error::Unavailable) => Err(Error::NoResources),
                    mapped => mapped.map(|()| start),
                }
            }
            Placement::BottomUp => {
                let range = state.find_low(self.region, len, align)?;
                let start = range.start;
                self.tree.map_locked(&mut state, range, entry, install).map(|()| start)
            }
        }
    }

    fn part_between(&self, low: u64, high: u64) -> Range<u64> {
        low.max(self.range.start)..high.min(self.range.end)
    }

    fn fixed(&self, addr: u64, len: u64) -> Result<Range<u64>> {
        let range = page_range(addr, len)?;
        let inside = self.range.start <= range.start && range.end <= self.range.end;
        if inside { Ok(range) } else { Err(Error::OutOfRange) }
    }

    fn map_anywhere(
        &self,
        state: &mut State,
        len: u64,
        align: u64,
        entry: Entry,
        install: Install,
    ) -> Result<u64> {
        loop {
            let range = self.find_room(state, len, align)?;
            let start = range.start;
            match self.tree.map_locked(state, range.clone(), entry.clone(), install) {
                Ok(()) => return Ok(start),
                Err(Error::Unavailable) => {
                    // The kernel's trampolines, which no region knew.
                    let trampoline = self.tree.aspace.trampoline_in(range);
                    state.block(trampoline.ok_or(Error::Unavailable)?);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Where a mapping of `len` bytes aligned to `align` would go with [`Placement::TopDown`] now.
    ///
    /// # Errors
    /// [`Error::NoResources`]: no free place. [`Error::BadState`]: the region is destroyed.
    pub fn find_free(&self, len: u64, align: u64) -> Result<u64> {
        let len = page_range(0, len)?.end;
        let mut state = self.tree.state.lock();
        state.check_alive(self.region)?;
        self.find_room(&mut state, len, align.max(PAGE)).map(|range| range.start)
    }

    /// The highest free range of `len` bytes: in the window if there is one, else wherever the space has addresses or can have more.
    fn find_room(&self, state: &mut State, len: u64, align: u64) -> Result<Range<u64>> {
        match state.find_high(self.region, len, align) {
            Err(Error::NoResources) if self.region == tree::ROOT => {}
            found => return found,
        }
        let aspace = &self.tree.aspace;
        for own in aspace.own() {
            if let Ok(range) = state.find_between(self.region, len, align, &own) {
                return Ok(range);
            }
        }
        let aligned = len.checked_add(align - PAGE).ok_or(Error::NoResources)?;
        let more = aspace.claim_more(aligned).map_err(|_| Error::NoResources)?;
        state.find_between(self.region, len, align, &more)
    }

    /// The mapping that holds `addr`.
    #[must_use]
    pub fn find(&self, addr: u64) -> Option<Mapping> {
        let state = self.tree.state.lock();
        state.find(addr).map(|(start, entry)| entry.describe(start))
    }

    /// All mappings in the region, in order.
    #[must_use]
    pub fn mappings(&self) -> Vec<Mapping> {
        self.mappings_in(self.range.clone())
    }

    /// The mappings that overlap `range`, whole, in order.
    #[must_use]
    pub fn mappings_in(&self, range: Range<u64>) -> Vec<Mapping> {
        let state = self.tree.state.lock();
        state.overlapping(&range).map(|(start, entry)| entry.describe(start)).collect()
    }

    /// Whether no page of `range` is mapped or belongs to a child region.
    #[must_use]
    pub fn is_free(&self, range: Range<u64>) -> bool {
        self.tree.state.lock().is_free(self.region, &range)
    }

    /// Whether every page of `range` is mapped.
    #[must_use]
    pub fn is_mapped(&self, range: Range<u64>) -> bool {
        self.tree.state.lock().covers(&range)
    }

    /// Bytes mapped in the whole address space.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        self.tree.state.lock().mapped_bytes()
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
