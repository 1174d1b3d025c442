//! The host mappings that mirror a page table: `mmap`, `munmap` and `mprotect` at guest addresses, in this process or in a stub.
//!
//! The one idea: where a guest's code runs is known here and nowhere else, so that it can change: what is mapped in this process is mapped in a
//! stub, and then is no more here. In this process, all three are memory-safe for the kernel for one reason: nothing of Rust's lives below the
//! boundary. Who owns a guest address is the registry's business; here it only matters that a range
//! lies in the guest area.

use std::{
    ffi::c_void,
    num::NonZeroUsize,
    ops::Range,
    ptr::NonNull,
    sync::{Arc, OnceLock},
};

use nix::sys::mman::{self, ProtFlags};

use super::{
    AspaceError, Prot,
    registry::{Claims, GUEST_FLOOR},
};
use crate::{
    pmem::{GUEST_BOUNDARY, GUEST_END, PhysAddr, PhysicalMemory},
    stub::{
        Stub,
        layout::{Command, OWN},
        spare::Picture,
    },
};

pub(super) fn host_prot(prot: Prot) -> ProtFlags {
    let mut flags = ProtFlags::PROT_NONE;
    flags.set(ProtFlags::PROT_READ, prot.contains(Prot::READ));
    flags.set(ProtFlags::PROT_WRITE, prot.contains(Prot::WRITE));
    flags.set(ProtFlags::PROT_EXEC, prot.contains(Prot::EXEC));
    flags
}

/// The range as the host's calls want it, if it lies in the guest area of this process.
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

/// Where the guest's code runs.
#[derive(Debug)]
pub(super) struct Host {
    /// Its part of the addresses that all spaces in this process share, if it was here ever; it keeps them.
    claims: Option<Claims>,
    /// Its host process, if that is not this one.
    stub: OnceLock<Arc<Stub>>,
}

impl Host {
    /// In this process.
    pub(super) fn in_process(claims: Claims) -> Self {
        Self { claims: Some(claims), stub: OnceLock::new() }
    }

    /// In a process of its own.
    pub(super) fn isolated(stub: Arc<Stub>) -> Self {
        Self { claims: None, stub: OnceLock::from(stub) }
    }

    #[inline]
    pub(super) fn stub(&self) -> Option<&Arc<Stub>> {
        self.stub.get()
    }

    /// Moves what is mapped, `picture`, from this process to `stub`.
    pub(super) fn move_to(&self, stub: Arc<Stub>, picture: &Picture) {
        for (range, shown) in picture.iter() {
            let pa = range.start.wrapping_add(shown.distance);
            let len = range.end - range.start;
            stub.change(Command::map(range.start, len, shown.prot, false, pa));
        }
        self.unmap_claims();
        // The space is locked, so nobody else moves it.
        let _ = self.stub.set(stub);
    }

    /// Claimed ranges hold nobody else's mappings; the host takes a whole range in one call.
    pub(super) fn unmap_claims(&self) {
        for range in self.claims.iter().flat_map(Claims::ranges) {
            let _ = unmap(&range);
        }
    }

    /// Where guest addresses end.
    pub(super) fn end(&self) -> u64 {
        if self.stub().is_some() { GUEST_END } else { GUEST_BOUNDARY }
    }

    /// Whether `range` can be the guest's.
    pub(super) fn has(&self, range: &Range<u64>) -> bool {
        let is_stubs = self.stub().is_some() && range.start < OWN.end && OWN.start < range.end;
        range.start >= GUEST_FLOOR && range.end <= self.end() && !is_stubs
    }

    /// Makes `range` the space's own.
    pub(super) fn claim(&self, range: Range<u64>) -> Result<(), AspaceError> {
        match (self.stub(), &self.claims) {
            (None, Some(claims)) => claims.claim(range),
            _ if self.has(&range) => Ok(()),
            _ => Err(AspaceError::OutOfRange),
        }
    }

    /// What is the space's own, highest first.
    pub(super) fn own(&self) -> Vec<Range<u64>> {
        match (self.stub(), &self.claims) {
            (None, Some(claims)) => claims.ranges().into_iter().rev().collect(),
            _ => vec![OWN.end..GUEST_END, GUEST_FLOOR..OWN.start],
        }
    }

    /// Makes another `len` bytes the space's own: where they are.
    pub(super) fn claim_more(&self, len: u64) -> Result<Range<u64>, AspaceError> {
        match (self.stub(), &self.claims) {
            (None, Some(claims)) => claims.claim_more(len),
            // All are.
            _ => Err(AspaceError::Taken),
        }
    }

    /// Maps physical memory, replacing whatever is there.
    pub(super) fn map(
        &self,
        memory: &PhysicalMemory,
        range: &Range<u64>,
        pa: PhysAddr,
        prot: Prot,
        populate: bool,
    ) -> Result<(), AspaceError> {
        let Some(stub) = self.stub() else { return map(memory, range, pa, prot, populate) };
        let (start, len) = self.part(range)?;
        let prot = host_prot(prot).bits() as u64;
        stub.change(Command::map(start, len, prot, populate, pa.0));
        Ok(())
    }

    /// Unmaps whatever is there.
    pub(super) fn unmap(&self, range: &Range<u64>) -> Result<(), AspaceError> {
        let Some(stub) = self.stub() else { return unmap(range) };
        let (start, len) = self.part(range)?;
        stub.change(Command::unmap(start, len));
        Ok(())
    }

    /// Changes the protection of a range that is mapped throughout.
    pub(super) fn protect(&self, range: &Range<u64>, prot: Prot) -> Result<(), AspaceError> {
        let Some(stub) = self.stub() else { return protect(range, prot) };
        let (start, len) = self.part(range)?;
        stub.change(Command::protect(start, len, host_prot(prot).bits() as u64));
        Ok(())
    }

    /// Start and length of a range in the stub.
    fn part(&self, range: &Range<u64>) -> Result<(u64, u64), AspaceError> {
        match range.end.checked_sub(range.start) {
            Some(len) if len > 0 && self.has(range) => Ok((range.start, len)),
            _ => Err(AspaceError::OutOfRange),
        }
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
fn unmap(range: &Range<u64>) -> Result<(), AspaceError> {
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
