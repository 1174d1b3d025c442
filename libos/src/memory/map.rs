//! Mapping and unmapping: the verbs behind mmap(2) and its family.

use std::{ops::Range, sync::Arc};

use hal::{
    aspace::{Access, Prot},
    pmem::{GUEST_END, PAGE_SIZE},
};
use kernel_objects::{
    Error, MapArgs, MappingFlags, Placement as Place, Vmo, VmoOptions, vmar::Remap,
};
use linux_raw_sys::general as raw;

use super::UserMemory;
use crate::{
    errno::{Errno, SysResult},
    vfs::{OpenFile, devices, mapped_name::MappedName},
};

const PAGE: u64 = PAGE_SIZE as u64;

/// Where a mapping should go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// Where there is room, at this address if there is (0: no wish).
    Anywhere(u64),
    /// At this address, replacing what is there (`MAP_FIXED`).
    Replace(u64),
    /// At this address; `EEXIST` when something is there (`MAP_FIXED_NOREPLACE`).
    Free(u64),
}

impl From<Placement> for Place {
    fn from(placement: Placement) -> Self {
        match placement {
            Placement::Anywhere(0) => Self::TopDown,
            Placement::Anywhere(hint) => Self::Hint(hint),
            Placement::Replace(addr) => Self::Replace(addr),
            Placement::Free(addr) => Self::Exact(addr),
        }
    }
}

/// What a mapping shows.
pub enum Backing {
    /// Memory of its own that reads as zero.
    Anonymous,
    /// A file from a page-aligned offset on.
    File {
        /// The file; the caller has checked that its access mode allows the mapping.
        file: Arc<OpenFile>,
        /// Where in the file.
        offset: u64,
    },
}

/// A checked mmap(2).
pub struct MapRequest {
    /// Where to.
    pub placement: Placement,
    /// Bytes, a page multiple, not 0.
    pub len: u64,
    /// The accesses that are allowed.
    pub prot: Prot,
    /// Writes go to the file, or to whoever else shares the memory.
    pub shared: bool,
    /// What it shows.
    pub backing: Backing,
    /// Make every page present now.
    pub populate: bool,
    /// Count it against the memory limit.
    pub reserve: bool,
    /// It is locked, mlock(2), whether new mappings are or not.
    pub locked: bool,
}

/// What Linux calls a refusal of the VMAR's.
fn errno(error: Error) -> Errno {
    match error {
        Error::AlreadyExists => Errno::EEXIST,
        Error::AccessDenied => Errno::EACCES,
        Error::InvalidArgs => Errno::EINVAL,
        Error::Io => Errno::EIO,
        _ => Errno::ENOMEM,
    }
}

fn length(range: &Range<u64>) -> u64 {
    range.end - range.start
}

impl UserMemory {
    /// Maps memory and returns its address.
    ///
    /// `ENODEV` for a file that has no pages, `EEXIST` for [`Placement::Free`] over something, `ENOMEM` without room or memory.
    pub fn map(&self, request: &MapRequest) -> SysResult<u64> {
        let MapRequest { placement, len, prot, shared, populate, reserve, locked, .. } = *request;
        // Under a limit every promise is kept, so nobody may go without one (vm.overcommit_memory = 2 does the same).
        let reserve = reserve || self.space.memory().limit().is_some();
        let mut flags = if shared { MappingFlags::empty() } else { MappingFlags::PRIVATE };
        if reserve && !shared {
            flags |= MappingFlags::ACCOUNT;
        }
        flags.set(MappingFlags::LOCKED, locked || self.locks_new().is_some());
        // Mapping /dev/zero is how fresh memory was asked for before MAP_ANONYMOUS.
        let backing = match &request.backing {
            Backing::File { file, .. } if devices::is_zero(file) => &Backing::Anonymous,
            backing => backing,
        };
        let (vmo, vmo_offset, max_perms) = match backing {
            Backing::Anonymous => {
                flags |= if shared { MappingFlags::empty() } else { MappingFlags::DISCARD };
                let options = VmoOptions { resizable: false, charged: shared && reserve };
                let physical = self.space.memory();
                (Vmo::create(physical, len, options).map_err(errno)?, 0, Prot::all())
            }
            Backing::File { file, offset } => {
                let (pages, offset) = file.shown(*offset)?;
                if pages.cookie().is_none()
                    && let Ok(name) = MappedName::of(file)
                {
                    pages.set_cookie(Arc::new(name));
                }
                let mut max = Prot::all();
                if shared {
                    max.set(Prot::WRITE, file.writable());
                    let seals = file.inode().and_then(|inode| inode.seals().ok()).unwrap_or(0);
                    if seals & (raw::F_SEAL_WRITE | raw::F_SEAL_FUTURE_WRITE) != 0 {
                        max.remove(Prot::WRITE);
                        if prot.contains(Prot::WRITE) {
                            return Err(Errno::EPERM);
                        }
                    }
                    (pages, offset, max)
                } else {
                    flags |= MappingFlags::PATCHABLE;
                    (pages.create_private(offset, len, false).map_err(errno)?, 0, max)
                }
            }
        };
        let args = MapArgs {
            placement: placement.into(),
            len,
            align: 0,
            vmo,
            vmo_offset,
            perms: prot,
            max_perms,
            flags,
            populate,
            tag: 0,
        };
        self.vmar.map(args).map_err(errno)
    }

    /// Whether the addresses for such a mapping are there only if the memory [has a host process for itself](hal::aspace::AddressSpace::isolate).
    pub fn is_too_narrow(&self, placement: Placement, len: u64) -> bool {
        if self.space.is_isolated() || len > GUEST_END {
            return false;
        }
        match placement {
            Placement::Anywhere(_) => self.vmar.find_free(len, PAGE).is_err(),
            Placement::Replace(addr) | Placement::Free(addr) => addr
                .checked_add(len)
                .is_some_and(|end| end <= GUEST_END && self.space.claim(addr..end).is_err()),
        }
    }

    /// Maps all of a VMO that others may have, too, and returns its address. It is writable later only if `prot` says so now.
    ///
    /// `EEXIST` for [`Placement::Free`] over something, `ENOMEM` without room.
    pub fn map_shared(
        &self,
        placement: Placement,
        vmo: Arc<Vmo>,
        len: u64,
        prot: Prot,
    ) -> SysResult<u64> {
        let mut max_perms = Prot::all();
        max_perms.set(Prot::WRITE, prot.contains(Prot::WRITE));
        let mut flags = MappingFlags::empty();
        flags.set(MappingFlags::LOCKED, self.locks_new().is_some());
        let args = MapArgs {
            placement: placement.into(),
            len,
            align: 0,
            vmo,
            vmo_offset: 0,
            perms: prot,
            max_perms,
            flags,
            populate: false,
            tag: 0,
        };
        self.vmar.map(args).map_err(errno)
    }

    /// Where `len` bytes aligned to `align` would go now; `ENOMEM`.
    pub fn find_free(&self, len: u64, align: u64) -> SysResult<u64> {
        self.vmar.find_free(len, align).map_err(errno)
    }

    /// Unmaps what is mapped in `range`. Outside of the guest's own part of the addresses nothing ever is.
    pub fn unmap(&self, range: Range<u64>) -> SysResult<()> {
        let own = self.vmar.range();
        let range = range.start.max(own.start)..range.end.min(own.end);
        if range.is_empty() {
            return Ok(());
        }
        self.vmar.unmap(range.start, length(&range)).map_err(errno)
    }

    /// Shows other pages in a part of shared memory: those from `offset` of the same file on, remap_file_pages(2).
    ///
    /// `EINVAL` unless all of `range` is shared memory of one file with one protection.
    pub fn show_other_pages(&self, range: Range<u64>, offset: u64) -> SysResult<()> {
        let mappings = self.vmar.mappings_in(range.clone());
        let first = mappings.first().ok_or(Errno::EINVAL)?;
        let mut end = range.start;
        for next in &mappings {
            let alike = Arc::ptr_eq(&next.vmo, &first.vmo) && next.perms == first.perms;
            if next.range.start > end || !alike || next.flags.contains(MappingFlags::PRIVATE) {
                return Err(Errno::EINVAL);
            }
            end = next.range.end;
        }
        if end < range.end {
            return Err(Errno::EINVAL);
        }
        let args = MapArgs {
            placement: Place::Replace(range.start),
            len: length(&range),
            align: 0,
            vmo: Arc::clone(&first.vmo),
            vmo_offset: offset,
            perms: first.perms,
            max_perms: first.max_perms,
            flags: first.flags,
            populate: false,
            tag: first.tag,
        };
        self.vmar.map(args).map(drop).map_err(errno)
    }

    /// Changes what the guest may do in `range`; `ENOMEM` when a page of it is not mapped.
    pub fn protect(&self, range: Range<u64>, prot: Prot) -> SysResult<()> {
        self.vmar.protect(range.start, length(&range), prot).map_err(errno)
    }

    /// mremap(2); `EFAULT` when a page of `old` is not mapped.
    pub fn remap(
        &self,
        old: Range<u64>,
        new_len: u64,
        may_move: bool,
        to: Option<u64>,
    ) -> SysResult<u64> {
        let how = match to {
            Some(to) => Remap::To(to),
            None if may_move => Remap::MayMove,
            None => Remap::InPlace,
        };
        self.vmar.remap(old.start, length(&old), new_len, how).map_err(|error| match error {
            Error::NotFound => Errno::EFAULT,
            error => errno(error),
        })
    }

    /// mremap(2) with `MREMAP_DONTUNMAP`; `EFAULT` when a page of `old` is not mapped, `EINVAL` for private mappings of files.
    pub fn remap_keeping(&self, old: Range<u64>, to: Option<u64>) -> SysResult<u64> {
        let moved = self.vmar.remap_keeping(old.start, length(&old), to);
        moved.map_err(|error| match error {
            Error::NotFound => Errno::EFAULT,
            Error::NotSupported => Errno::EINVAL,
            error => errno(error),
        })
    }

    /// mremap(2) of no bytes: another mapping of what is shared at `addr`. `EFAULT` when nothing is, `EINVAL` when it is private.
    /// `ENOMEM` when it may be nowhere else.
    pub fn duplicate(
        &self,
        addr: u64,
        len: u64,
        may_move: bool,
        to: Option<u64>,
    ) -> SysResult<u64> {
        let mapping = self.vmar.find(addr).ok_or(Errno::EFAULT)?;
        if mapping.flags.contains(MappingFlags::PRIVATE) {
            return Err(Errno::EINVAL);
        }
        if !may_move {
            return Err(Errno::ENOMEM);
        }
        let args = MapArgs {
            placement: to.map_or(Place::TopDown, Place::Replace),
            len,
            align: 0,
            vmo: mapping.vmo,
            vmo_offset: mapping.vmo_offset + (addr - mapping.range.start),
            perms: mapping.perms,
            max_perms: mapping.max_perms,
            flags: mapping.flags,
            populate: false,
            tag: mapping.tag,
        };
        self.vmar.map(args).map_err(errno)
    }

    /// Throws the content of private memory away, as `MADV_DONTNEED` does; `ENOMEM` when a page of it is not mapped.
    pub fn discard(&self, range: Range<u64>) -> SysResult<()> {
        for mapping in self.vmar.mappings_in(range.clone()) {
            if mapping.flags.contains(MappingFlags::PRIVATE) {
                let start = mapping.range.start.max(range.start);
                let end = mapping.range.end.min(range.end);
                // The mapping may have gone meanwhile, and its content with it.
                let _ = self.vmar.discard(start, end - start);
            }
        }
        self.check_mapped(&range)
    }

    /// Makes the pages of `range` present for reading or writing; `ENOMEM` when one is not mapped, `EINVAL` when it forbids the
    /// access, `EFAULT` when it can not be had. May wait for a disk.
    pub fn populate(&self, range: Range<u64>, write: bool) -> SysResult<()> {
        let access = if write { Access::Write } else { Access::Read };
        self.vmar.populate(range.start, length(&range), access).map_err(|error| match error {
            Error::NotFound | Error::NoMemory => Errno::ENOMEM,
            Error::AccessDenied => Errno::EINVAL,
            _ => Errno::EFAULT,
        })
    }

    /// Whether a disk may be waited for when pages of `range` are made present: some of them are a file's.
    pub fn shows_files(&self, range: Range<u64>) -> bool {
        self.vmar.mappings_in(range).iter().any(|mapping| !mapping.vmo.is_anonymous())
    }

    /// `ENOMEM` unless every page of `range` is mapped.
    pub fn check_mapped(&self, range: &Range<u64>) -> SysResult<()> {
        if self.vmar.is_mapped(range.clone()) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Writes shared file mappings in `range` back, to forget them if `invalidate`; `ENOMEM` when a page is not mapped, `EBUSY` when one is
    /// locked and is to be forgotten.
    ///
    /// A shared mapping is the page cache itself, so there is nothing to write: the file already has it.
    pub fn sync(&self, range: Range<u64>, invalidate: bool) -> SysResult<()> {
        if invalidate && self.vmar.locked_bytes(&range) > 0 {
            return Err(Errno::EBUSY);
        }
        self.check_mapped(&range)
    }

    /// A byte for each page of `range`: 1 when it is in memory; `ENOMEM` when one is not mapped.
    pub fn residency(&self, range: Range<u64>) -> SysResult<Vec<u8>> {
        self.check_mapped(&range)?;
        let mut residency = vec![0; (length(&range) / PAGE) as usize];
        for mapping in self.vmar.mappings_in(range.clone()) {
            let start = mapping.range.start.max(range.start);
            let end = mapping.range.end.min(range.end);
            let offset = mapping.vmo_offset + (start - mapping.range.start);
            for part in mapping.vmo.committed(offset..offset + (end - start)) {
                let first = (part.start - offset + start - range.start) / PAGE;
                let last = (part.end - offset + start - range.start).div_ceil(PAGE);
                if let Some(pages) = residency.get_mut(first as usize..last as usize) {
                    pages.fill(1);
                }
            }
        }
        Ok(residency)
    }
}
