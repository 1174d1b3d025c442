//! Rings that guests map: a region of evering's in physical memory.
//!
//! The one idea: the kernel's end of a region works in the linear map, the guest's wherever it has mapped the same frames. So a ring
//! needs no mapping of its own, and the frames stay as long as one of the two has it.

use std::{ptr::NonNull, sync::Arc};

use evering::{
    Entry,
    region::{Keeper, Options, Region, RegionError},
};

use crate::pmem::Extent;

/// Makes a region of `options` at the beginning of `extent`, which has to be as long as the region's
/// [size](Region::size) rounded up to pages. The kernel is the first side.
///
/// # Errors
///
/// [`RegionError`]: the options make no region, or one of another size.
pub fn region<F: Entry, S: Entry>(
    extent: Arc<Extent>,
    options: &Options,
) -> Result<Region<F, S>, RegionError> {
    let (base, size) = (extent.base(), Region::<F, S>::size(options)?);
    if size as u64 != extent.len() {
        return Err(RegionError::Size);
    }
    let at = NonNull::new(extent.memory().linear(base, extent.len())).ok_or(RegionError::Size)?;
    // SAFETY: the linear map has the extent's bytes there, at a page's address, and the keeper keeps both. Memory's bytes are
    // always initialised. What else of this process may touch them are guests, by other mappings, and copies between them and
    // the kernel, which arrive torn as those that a peer writes meanwhile: for the region all these are its peer's.
    unsafe { Region::create_at(at, size, options, Keeper::new(extent)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pmem::{PAGE_SIZE, PhysicalMemory};

    #[test]
    fn a_region_lies_in_its_extent_and_keeps_it() {
        let memory = PhysicalMemory::new(None).unwrap();
        let options = Options::new().capacity(16).arenas(0, 8192).away(16);
        let size = Region::<u64, u64>::size(&options).unwrap();
        let short = Arc::new(memory.allocate(PAGE_SIZE).unwrap());
        assert!(matches!(region::<u64, u64>(short, &options), Err(RegionError::Size)));
        let extent = Arc::new(memory.allocate(size).unwrap());
        let base = extent.base();
        let region = region::<u64, u64>(extent, &options).unwrap();
        let (mut kernel, mut guest) = (region.first().unwrap(), region.second().unwrap());
        guest.sender.send(7).unwrap();
        assert_eq!(kernel.receiver.recv(), Ok(7));
        // Its header is there.
        assert_ne!(memory.atomic_u64(base).load(std::sync::atomic::Ordering::Relaxed), 0);
        let allocated = memory.allocated();
        drop(region);
        assert_eq!(memory.allocated(), allocated);
        drop((kernel, guest));
        assert_eq!(memory.allocated(), 0);
    }
}
