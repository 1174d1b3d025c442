//! The host mappings that mirror a page table: `mmap`, `munmap` and `mprotect` at addresses below
//! the guest boundary, in this process or in a stub.
//!
//! In this process, all three are memory-safe for the kernel for one reason: nothing of Rust's lives below the
//! boundary. Who owns a guest address is the registry's business; here it only matters that a range
//! lies in the guest area.

use std::{ffi::c_void, num::NonZeroUsize, ops::Range, ptr::NonNull};

use nix::sys::mman::{self, ProtFlags};

use super::{AspaceError, Host, Prot, registry::GUEST_FLOOR};
use crate::{
    pmem::{GUEST_BOUNDARY, PhysAddr, PhysicalMemory},
    stub::layout::Command,
};

pub(super) fn host_prot(prot: Prot) -> ProtFlags {
    let mut flags = ProtFlags::PROT_NONE;
    flags.set(ProtFlags::PROT_READ, prot.contains(Prot::READ));
    flags.set(ProtFlags::PROT_WRITE, prot.contains(Prot::WRITE));
    flags.set(ProtFlags::PROT_EXEC, prot.contains(Prot::EXEC));
    flags
}

/// The range as the host's calls want it, if it lies in the guest area.
fn area(range: &Range<u64>) -> Result<(NonNull<c_void>, NonZeroUsize, NonZeroUsize), AspaceError> {
    if range.start < GUEST_FLOOR || range.end > GUEST_BOUNDARY {
        return Err(AspaceError::OutOfRange);
    }
    let start = NonZeroUsize::new(range.start as usize).ok_or(AspaceError::OutOfRange)?;
    let len = range.end.saturating_sub(range.start) as usize;
    let len = NonZeroUsize::new(len).ok_or(AspaceError::Unaligned)?;
    let pointer = std::ptr::without_provenance_mut::<c_void>(start.get());
    Ok((NonNull::new(pointer).ok_or(AspaceError::OutOfRange)?, start, len))
}

impl Host {
    /// Maps physical memory, replacing whatever is there.
    pub(super) fn map(
        &self,
        memory: &PhysicalMemory,
        range: &Range<u64>,
        pa: PhysAddr,
        prot: Prot,
        populate: bool,
    ) -> Result<(), AspaceError> {
        let Self::Isolated(stub) = self else { return map(memory, range, pa, prot, populate) };
        let (_, start, len) = area(range)?;
        let (start, len) = (start.get() as u64, len.get() as u64);
        let prot = host_prot(prot).bits() as u64;
        stub.change(Command::map(start, len, prot, populate, pa.0));
        Ok(())
    }

    /// Unmaps whatever is there.
    pub(super) fn unmap(&self, range: &Range<u64>) -> Result<(), AspaceError> {
        let Self::Isolated(stub) = self else { return unmap(range) };
        let (_, start, len) = area(range)?;
        stub.change(Command::unmap(start.get() as u64, len.get() as u64));
        Ok(())
    }

    /// Changes the protection of a range that is mapped throughout.
    pub(super) fn protect(&self, range: &Range<u64>, prot: Prot) -> Result<(), AspaceError> {
        let Self::Isolated(stub) = self else { return protect(range, prot) };
        let (_, start, len) = area(range)?;
        let prot = host_prot(prot).bits() as u64;
        stub.change(Command::protect(start.get() as u64, len.get() as u64, prot));
        Ok(())
    }
}

/// Maps physical memory, replacing whatever is there.
fn map(
    memory: &PhysicalMemory,
    range: &Range<u64>,
    pa: PhysAddr,
    prot: Prot,
    populate: bool,
) -> Result<(), AspaceError> {
    let (_, start, len) = area(range)?;
    let mut flags = mman::MapFlags::MAP_SHARED | mman::MapFlags::MAP_FIXED;
    flags.set(mman::MapFlags::MAP_POPULATE, populate);
    let offset = pa.0.cast_signed();
    // SAFETY: the range lies below the boundary (`area`), where no Rust object is, so replacing
    // what is mapped there invalidates no reference.
    let mapped = unsafe { mman::mmap(Some(start), len, host_prot(prot), flags, memory, offset) };
    mapped.map(drop).map_err(|_| AspaceError::NoMemory)
}

/// Unmaps whatever is there.
pub(super) fn unmap(range: &Range<u64>) -> Result<(), AspaceError> {
    let (start, _, len) = area(range)?;
    // SAFETY: as in `map`.
    unsafe { mman::munmap(start, len.get()) }.map_err(|_| AspaceError::NoMemory)
}

/// Changes the protection of a range that is mapped throughout.
fn protect(range: &Range<u64>, prot: Prot) -> Result<(), AspaceError> {
    let (start, _, len) = area(range)?;
    // SAFETY: as in `map`: no Rust code relies on access to memory below the boundary.
    unsafe { mman::mprotect(start, len.get(), host_prot(prot)) }.map_err(|_| AspaceError::NoMemory)
}
