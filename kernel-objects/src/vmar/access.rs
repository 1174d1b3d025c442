//! How the kernel copies guest memory: through the page table, resolving faults on the way as real
//! ones are.

use hal::{
    aspace::{Access, Fault, ReadStop},
    host::HostFile,
};

use super::Vmar;
use crate::vmo::{CopyError, Vmo};

/// Attempts at one address before a fault that seems to be resolved is reported.
const RETRIES: usize = 64;

/// Why an attempt stopped: perhaps at a fault.
trait Stopped {
    fn fault(&self) -> Option<Fault>;
}

impl Stopped for Fault {
    fn fault(&self) -> Option<Fault> {
        Some(*self)
    }
}

impl Stopped for CopyError {
    fn fault(&self) -> Option<Fault> {
        match self {
            Self::Guest(fault) => Some(*fault),
            Self::Vmo(_) => None,
        }
    }
}

impl Vmar {
    /// Does `attempt`, told how many bytes are done, until it succeeds. Its faults are resolved;
    /// one that cannot be is EFAULT.
    #[inline]
    fn with_faults<T, E: Stopped>(
        &self,
        va: u64,
        mut attempt: impl FnMut(u64) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut done = 0;
        let mut retries = 0;
        loop {
            let error = match attempt(done) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let Some(fault) = error.fault() else { return Err(error) };
            let reached = fault.addr.wrapping_sub(va);
            // Another thread may unmap what was just resolved, but not for ever.
            retries = if reached > done { 0 } else { retries + 1 };
            if retries > RETRIES || self.fault(fault.addr, fault.access).is_err() {
                return Err(error);
            }
            done = reached;
        }
    }

    /// Copies guest memory to `buf`.
    ///
    /// # Errors
    /// The first byte that cannot be read, after all was done to make it readable; what comes
    /// before it has been copied. So for all of these.
    #[inline]
    pub fn read(&self, va: u64, buf: &mut [u8]) -> Result<(), Fault> {
        self.with_faults(va, |done| {
            let rest = buf.get_mut(done as usize..).unwrap_or_default();
            self.tree.aspace.read(va.wrapping_add(done), rest)
        })
    }

    /// Copies `buf` to guest memory.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    pub fn write(&self, va: u64, buf: &[u8]) -> Result<(), Fault> {
        self.with_faults(va, |done| {
            let rest = buf.get(done as usize..).unwrap_or_default();
            self.tree.aspace.write(va.wrapping_add(done), rest)
        })
    }

    /// Writes zeroes to guest memory.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn zero(&self, va: u64, len: u64) -> Result<(), Fault> {
        self.with_faults(va, |done| {
            self.tree.aspace.zero(va.wrapping_add(done), len.saturating_sub(done))
        })
    }

    /// Copies a string, see [`AddressSpace::read_cstr`](hal::aspace::AddressSpace::read_cstr).
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_cstr(&self, va: u64, max: usize) -> Result<Vec<u8>, Fault> {
        self.with_faults(va, |_| self.tree.aspace.read_cstr(va, max))
    }

    /// Atomically loads an aligned word.
    ///
    /// # Errors
    /// As [`read`](Self::read), and if it is not aligned; so for all atomic accesses.
    #[inline]
    pub fn load_u32(&self, va: u64) -> Result<u32, Fault> {
        aligned(va, Access::Read)?;
        self.with_faults(va, |_| self.tree.aspace.load_u32(va))
    }

    /// Atomically stores an aligned word.
    ///
    /// # Errors
    /// As [`load_u32`](Self::load_u32).
    pub fn store_u32(&self, va: u64, value: u32) -> Result<(), Fault> {
        aligned(va, Access::Write)?;
        self.with_faults(va, |_| self.tree.aspace.store_u32(va, value))
    }

    /// Atomically replaces a word if it is `current`: `Ok(Ok(old))` if it was, `Ok(Err(actual))` if
    /// not.
    ///
    /// # Errors
    /// As [`load_u32`](Self::load_u32).
    pub fn compare_exchange_u32(
        &self,
        va: u64,
        current: u32,
        new: u32,
    ) -> Result<Result<u32, u32>, Fault> {
        aligned(va, Access::Write)?;
        self.with_faults(va, |_| self.tree.aspace.compare_exchange_u32(va, current, new))
    }

    /// Atomically replaces a word by `update` of it; returns the old value.
    ///
    /// # Errors
    /// As [`load_u32`](Self::load_u32).
    pub fn fetch_update_u32(
        &self,
        va: u64,
        mut update: impl FnMut(u32) -> u32,
    ) -> Result<u32, Fault> {
        aligned(va, Access::Write)?;
        self.with_faults(va, |_| self.tree.aspace.fetch_update_u32(va, &mut update))
    }

    /// Reads a host file from `offset` on straight into guest memory, without waiting for a disk.
    /// Returns how many bytes came, and why there were not more.
    pub fn read_file(&self, va: u64, len: u64, file: &HostFile, offset: u64) -> (u64, ReadStop) {
        let mut done = 0;
        let mut retries = 0;
        loop {
            let at = va.wrapping_add(done);
            let from = offset.saturating_add(done);
            let (some, stop) = self.tree.aspace.read_file(at, len - done, file, from);
            done += some;
            let ReadStop::Fault(fault) = stop else { return (done, stop) };
            retries = if some > 0 { 0 } else { retries + 1 };
            if retries > RETRIES || self.fault(fault.addr, fault.access).is_err() {
                return (done, stop);
            }
        }
    }

    /// Copies bytes of a VMO to guest memory.
    ///
    /// # Errors
    /// As [`read`](Self::read), or the VMO's.
    pub fn copy_from_vmo(
        &self,
        va: u64,
        vmo: &Vmo,
        offset: u64,
        len: u64,
    ) -> Result<(), CopyError> {
        self.with_faults(va, |done| {
            vmo.copy_to_guest(
                offset.saturating_add(done),
                &self.tree.aspace,
                va.wrapping_add(done),
                len.saturating_sub(done),
            )
        })
    }

    /// Copies guest memory to bytes of a VMO.
    ///
    /// # Errors
    /// As [`read`](Self::read), or the VMO's.
    pub fn copy_to_vmo(&self, va: u64, vmo: &Vmo, offset: u64, len: u64) -> Result<(), CopyError> {
        self.with_faults(va, |done| {
            vmo.copy_from_guest(
                offset.saturating_add(done),
                &self.tree.aspace,
                va.wrapping_add(done),
                len.saturating_sub(done),
            )
        })
    }
}

fn aligned(va: u64, access: Access) -> Result<(), Fault> {
    if va.is_multiple_of(4) { Ok(()) } else { Err(Fault { addr: va, access, present: true }) }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write, os::fd::OwnedFd, sync::Arc};

    use hal::{
        aspace::AddressSpace,
        pmem::{PAGE_SIZE, PhysicalMemory},
    };
    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;
    use crate::{MapArgs, VmoOptions, vmo::ChildOptions};

    const PAGE: u64 = PAGE_SIZE as u64;

    #[test]
    fn a_host_file_is_read_through_faults_and_no_further_than_was_asked() {
        let memory = PhysicalMemory::new(None).unwrap();
        let vmar = Vmar::create_root(&AddressSpace::new(&memory).unwrap()).unwrap();
        let vmo = Vmo::create(&memory, 64 * PAGE, VmoOptions::default()).unwrap();
        vmo.write(0, &[9; 64 * PAGE_SIZE]).unwrap();
        // Its pages are copied a few at a time when they are written.
        let copy: Arc<Vmo> = vmo.create_child(ChildOptions::SNAPSHOT, 0, 64 * PAGE).unwrap();
        let va = vmar.map(MapArgs::new(copy, 64 * PAGE)).unwrap();
        let mut file = File::from(memfd_create("file", MFdFlags::MFD_CLOEXEC).unwrap());
        file.write_all(&[7; 64 * PAGE_SIZE]).unwrap();
        let len = 20 * PAGE + 5;
        let (done, stop) = vmar.read_file(va, len, &HostFile::from(OwnedFd::from(file)), 0);
        if matches!(stop, ReadStop::Host(error) if error.would_block()) {
            // Of this file the host never reads without waiting.
            return;
        }
        assert_eq!((done, stop), (len, ReadStop::Full));
        let mut bytes = vec![0; 64 * PAGE_SIZE];
        vmar.read(va, &mut bytes).unwrap();
        let (read, kept) = bytes.split_at(len as usize);
        assert!(read.iter().all(|&byte| byte == 7) && kept.iter().all(|&byte| byte == 9));
    }
}
