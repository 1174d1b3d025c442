//! The heap that brk(2) moves the end of.

use super::UserMemory;
use crate::memory::{Backing, MapRequest, Placement, Presence};
use hal::{aspace::Prot, pmem::PAGE_SIZE};

/// Where the heap is: from its start to the break, the pages of which are mapped.
#[derive(Clone, Debug, Default)]
pub(super) struct Heap {
    start: u64,
    end: u64,
}

impl Heap {
    /// An empty heap at `start`.
    pub(super) fn start_at(&mut self, start: u64) {
        *self = Self { start, end: start };
    }
}

fn page_up(addr: u64) -> Option<u64> {
    addr.checked_next_multiple_of(PAGE_SIZE as u64)
}

impl UserMemory {
    /// Moves the break to `wanted` and returns where it is then: where it was, when `wanted` is below the start, more than
    /// `limit` bytes above it, or taken.
    pub fn set_break(&self, wanted: u64, limit: u64) -> u64 {
        let mut heap = self.heap.lock();
        let in_reach = wanted >= heap.start && wanted - heap.start <= limit;
        let (Some(mapped), Some(new), true) = (page_up(heap.end), page_up(wanted), in_reach) else {
            return heap.end;
        };
        let done = if new > mapped {
            let request = MapRequest {
                placement: Placement::Free(mapped),
                len: new - mapped,
                prot: Prot::READ | Prot::WRITE,
                shared: false,
                backing: Backing::Anonymous,
                populate: self.locks_new() == Some(Presence::Now),
                reserve: true,
                locked: false,
            };
            self.map(&request).is_ok()
        } else {
            new == mapped || self.unmap(new..mapped).is_ok()
        };
        if done {
            heap.end = wanted;
        }
        heap.end
    }

    /// From the start of the heap to the break.
    pub fn heap(&self) -> std::ops::Range<u64> {
        let heap = self.heap.lock();
        heap.start..heap.end
    }
}
