//! A region's memory: on the heap, or in a sealed `memfd`.
//!
//! The one idea: a page that is not there any more is a SIGBUS, and a peer that could shrink the file could send us one.
//! So the file is sealed before it is passed on, and who receives one looks for the seals before it maps it.

use alloc::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use core::ptr::NonNull;

use super::Keeper;

/// To what a region is aligned: no less than a page, wherever it is.
const ALIGN: usize = 4096;

/// Memory from the allocator, zeroed.
struct Allocation {
    at: NonNull<u8>,
    layout: Layout,
}

// SAFETY: it only frees the memory, which any thread may do.
unsafe impl Send for Allocation {}
// SAFETY: nothing can be done with a shared one.
unsafe impl Sync for Allocation {}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: `on_heap` allocated it with this layout.
        unsafe { dealloc(self.at.as_ptr(), self.layout) };
    }
}

/// `len` zeroed bytes, not 0, and what keeps them; `None` if there cannot be so many.
pub(super) fn on_heap(len: usize) -> Option<(NonNull<u8>, Keeper)> {
    let layout = Layout::from_size_align(len, ALIGN).ok()?;
    // SAFETY: the size is not 0, says the caller.
    let Some(at) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
        handle_alloc_error(layout)
    };
    Some((at, Keeper::new(Allocation { at, layout })))
}

#[cfg(feature = "std")]
pub(super) use host::{create, map};

#[cfg(feature = "std")]
mod host {
    use core::ptr::NonNull;
    use std::{
        fs::File,
        os::fd::{AsFd, BorrowedFd, OwnedFd},
    };

    use memmap2::{MmapOptions, MmapRaw};
    use nix::{
        fcntl::{FcntlArg, SealFlag, fcntl},
        sys::{
            memfd::{MFdFlags, memfd_create},
            stat::fstat,
        },
    };

    use super::super::{Keeper, RegionError};

    /// What a region's file has to have: neither end of it moves, and that is final.
    fn seals() -> SealFlag {
        SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL
    }

    /// A sealed file of `len` zeroed bytes.
    pub(crate) fn create(len: usize) -> Result<OwnedFd, RegionError> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = File::from(memfd_create("evering", flags)?);
        file.set_len(len as u64)?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals()))?;
        Ok(file.into())
    }

    /// Maps the whole file, after a look at its seals: where, how long, and what keeps it.
    pub(crate) fn map(
        fd: BorrowedFd<'_>,
        prefault: bool,
    ) -> Result<(NonNull<u8>, usize, Keeper), RegionError> {
        // A file that has no seals at all, a pipe for instance, is EINVAL.
        let found = fcntl(fd, FcntlArg::F_GET_SEALS).map_err(|_| RegionError::Seals)?;
        if !SealFlag::from_bits_retain(found).contains(seals()) {
            return Err(RegionError::Seals);
        }
        let len = usize::try_from(fstat(fd.as_fd())?.st_size).map_err(|_| RegionError::Size)?;
        if len == 0 {
            return Err(RegionError::Size);
        }
        let mut options = MmapOptions::new();
        options.len(len);
        if prefault {
            options.populate();
        }
        let map: MmapRaw = options.map_raw(&fd)?;
        let Some(at) = NonNull::new(map.as_mut_ptr()) else { return Err(RegionError::Size) };
        Ok((at, len, Keeper::new(map)))
    }
}
