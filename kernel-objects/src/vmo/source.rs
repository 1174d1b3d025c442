//! Where the pages of a file come from: the interface between a page cache and what it caches.
//!
//! There are two kinds of source. One *fills* pages when it is asked to, on the thread that needs them or on one that may
//! block: a host file. The other has somebody else *supply* them, and has [requests](PageSource::requests) that tasks join
//! to wait for that: a [`Pager`](crate::Pager). Whatever uses a VMO need not know which it is.

use std::sync::Arc;

use hal::pmem::{PhysAddr, PhysicalMemory};

use crate::{error::Result, pager::PageRequests};

/// Provides the content of a VMO's pages when they are first needed.
pub trait PageSource: Send + Sync {
    /// Puts the content of `len` bytes from `offset` on (page multiples, inside the VMO) into
    /// `sink`. Bytes that are not put are zero, as those after the end of a file are. May block; no
    /// lock that a guest's other threads need is held.
    ///
    /// Pages that [`Vmo::set_size`](super::Vmo::set_size) cut off are asked for again when the VMO
    /// grows: a truncated file has zeroes there, and so must the source say.
    ///
    /// # Errors
    /// What the reader gets: [`Error::Io`](crate::Error::Io) and the like. The pages stay missing
    /// and are asked for again.
    fn fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> Result<()>;

    /// [`fill`](Self::fill) if that need not block; called on a CPU.
    ///
    /// # Errors
    /// [`Error::ShouldWait`](crate::Error::ShouldWait) if it would have to block; else as
    /// [`fill`](Self::fill).
    fn try_fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> Result<()> {
        let _ = (offset, len, sink);
        Err(crate::Error::ShouldWait)
    }

    /// Stores `len` bytes at `pa`, the pages from `offset` on, which may have been written through a mapping and are about to be
    /// dropped since memory is short. What passes the end of the content is not for storing. May block.
    ///
    /// # Errors
    /// The pages stay then, as they do where this is not supported.
    fn write_back(
        &self,
        offset: u64,
        memory: &Arc<PhysicalMemory>,
        pa: PhysAddr,
        len: u64,
    ) -> Result<()> {
        let _ = (offset, memory, pa, len);
        Err(crate::Error::NotSupported)
    }

    /// Where to ask for pages, if it is not by [`fill`](Self::fill): somebody supplies them later, and keeps track of those
    /// that are written to.
    fn requests(&self) -> Option<&Arc<PageRequests>> {
        None
    }

    /// Whether somebody may write to the VMO. If not, snapshots copy pages before they must, since nobody can tell.
    fn may_change(&self) -> bool {
        true
    }
}

/// The pages that a [`PageSource`] is asked to fill: a contiguous piece of physical memory.
#[derive(Debug)]
pub struct PageSink<'a> {
    pub(super) memory: &'a Arc<PhysicalMemory>,
    pub(super) pa: PhysAddr,
    pub(super) offset: u64,
    pub(super) len: u64,
}

impl PageSink<'_> {
    /// Offset in the VMO of the first byte.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes to fill.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a sink is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Where the first byte goes: for host reads straight into physical memory, of at most
    /// [`len`](Self::len) bytes.
    #[must_use]
    pub fn pa(&self) -> PhysAddr {
        self.pa
    }

    /// The memory that [`pa`](Self::pa) is in.
    #[must_use]
    pub fn memory(&self) -> &Arc<PhysicalMemory> {
        self.memory
    }

    /// Puts bytes at an offset in the VMO; what lies outside of the sink is left out.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        let Some(at) = offset.checked_sub(self.offset).filter(|&at| at < self.len) else { return };
        let room = usize::try_from(self.len - at).unwrap_or(usize::MAX);
        let bytes = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.memory.fill(self.pa.offset(at), bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmo::PAGE;

    #[test]
    fn what_lies_outside_of_the_sink_is_left_out() {
        let memory = PhysicalMemory::new(None).unwrap();
        let extent = memory.allocate(3 * PAGE as usize).unwrap();
        let (before, pa) = (extent.base(), extent.base().offset(PAGE));
        let mut sink = PageSink { memory: &memory, pa, offset: 7 * PAGE, len: PAGE };
        for outside in [0, 6 * PAGE, 7 * PAGE - 1, 8 * PAGE, u64::MAX] {
            sink.write(outside, &[1; 2]);
        }
        assert!(memory.committed_ranges(before, 3 * PAGE).is_empty());
        sink.write(7 * PAGE, &[2; 2]);
        sink.write(8 * PAGE - 1, &[3; 2]);
        let mut bytes = vec![0; 3 * PAGE as usize];
        memory.read(before, &mut bytes);
        let written: Vec<_> = (0..).zip(bytes).filter(|&(_, byte)| byte != 0).collect();
        assert_eq!(written, [(PAGE, 2), (PAGE + 1, 2), (2 * PAGE - 1, 3)]);
    }
}
