//! A stub's region of the control file, as the kernel has it mapped.

use std::{fs::File, io, ptr::NonNull, sync::Arc};

use memmap2::{MmapOptions, MmapRaw};

use super::layout::{ANSWERS, Answers, Block, CONTROL, FIRST_SLOT, Orders, REGION, SLOT, SLOTS};

/// The region, for as long as anybody needs it.
#[derive(Debug)]
pub(super) struct Region {
    map: MmapRaw,
}

impl Region {
    /// Maps the region that begins at `offset` in the control file.
    pub(super) fn new(control: &Arc<File>, offset: u64) -> io::Result<Arc<Self>> {
        let map = MmapOptions::new()
            .len(REGION as usize)
            .offset(offset)
            .no_reserve_swap()
            .map_raw(&**control)?;
        Ok(Arc::new(Self { map }))
    }

    fn at<T>(&self, offset: u64) -> NonNull<T> {
        assert!(offset + size_of::<T>() as u64 <= REGION, "places are computed by the kernel");
        // SAFETY: inside of the mapping; a mapping is at no null address.
        unsafe { NonNull::new_unchecked(self.map.as_mut_ptr().add(offset as usize).cast()) }
    }

    /// What the leader is told.
    pub(super) fn orders(&self) -> NonNull<Orders> {
        self.at(0)
    }

    /// What the leader says.
    pub(super) fn answers(&self) -> NonNull<Answers> {
        self.at(ANSWERS)
    }

    /// The block of slot `index`.
    pub(super) fn block(&self, index: usize) -> NonNull<Block> {
        assert!(index < SLOTS, "slots are counted by the kernel");
        self.at(FIRST_SLOT + index as u64 * SLOT)
    }

    /// Where the stub sees that block.
    pub(super) fn block_in_stub(index: usize) -> u64 {
        CONTROL + FIRST_SLOT + index as u64 * SLOT
    }
}
