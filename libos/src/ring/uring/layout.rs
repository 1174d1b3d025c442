//! Where things are in the memory that a ring and its guest share.
//!
//! The one idea: all offsets come from a [`Geometry`], which the kernel has worked out and the guest can only read. What the guest
//! writes is a word or an entry at such an offset, read once and never an address.

use std::sync::{Arc, atomic::Ordering};

use hal::pmem::{PAGE_SIZE, PhysAddr, PhysicalMemory};
use kernel_objects::Vmo;
use linux_raw_sys::io_uring as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::entry::Cqe;
use crate::errno::{Errno, SysResult};

/// The most entries of the queue of submissions; that of completions may have twice as many.
const MAX_ENTRIES: u32 = 1 << 15;

/// The array begins at a multiple of a cache line's bytes.
const LINE: u32 = 64;

/// Words of the rings' header, as Linux 6 has them.
pub(super) mod word {
    pub(in super::super) const SQ_HEAD: u32 = 0x00;
    pub(in super::super) const SQ_TAIL: u32 = 0x04;
    pub(in super::super) const CQ_HEAD: u32 = 0x08;
    pub(in super::super) const CQ_TAIL: u32 = 0x0c;
    pub(super) const SQ_MASK: u32 = 0x10;
    pub(super) const CQ_MASK: u32 = 0x14;
    pub(super) const SQ_ENTRIES: u32 = 0x18;
    pub(super) const CQ_ENTRIES: u32 = 0x1c;
    pub(in super::super) const SQ_DROPPED: u32 = 0x20;
    pub(in super::super) const SQ_FLAGS: u32 = 0x24;
    pub(in super::super) const CQ_FLAGS: u32 = 0x28;
    pub(in super::super) const CQ_OVERFLOW: u32 = 0x2c;
    pub(super) const CQES: u32 = 0x40;
}

/// `struct io_sqring_offsets`
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct SqOffsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    flags: u32,
    dropped: u32,
    array: u32,
    _reserved: u32,
    user_addr: u64,
}

/// `struct io_cqring_offsets`
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct CqOffsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    overflow: u32,
    cqes: u32,
    flags: u32,
    _reserved: u32,
    user_addr: u64,
}

/// `struct io_uring_params`, which the guest fills in and gets back.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Params {
    sq_entries: u32,
    cq_entries: u32,
    pub(super) flags: u32,
    pub(super) sq_thread_cpu: u32,
    pub(super) sq_thread_idle: u32,
    pub(super) features: u32,
    pub(super) wq_fd: i32,
    pub(super) reserved: [u32; 3],
    sq_off: SqOffsets,
    cq_off: CqOffsets,
}

/// The sizes of a ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    /// A power of two.
    pub(super) sq_entries: u32,
    /// A power of two.
    pub(super) cq_entries: u32,
    /// log2 of the bytes of a submission.
    sqe_shift: u32,
    /// log2 of the bytes of a completion.
    cqe_shift: u32,
    /// Whether the guest says by an array which entry is next.
    has_array: bool,
}

impl Geometry {
    /// What `entries` and `params` ask for. `EINVAL`.
    pub(super) fn new(entries: u32, params: &Params) -> SysResult<Self> {
        let clamp = params.flags & raw::IORING_SETUP_CLAMP != 0;
        let bounded = |wanted: u32, most: u32| match wanted {
            0 => Err(Errno::EINVAL),
            wanted if wanted <= most => Ok(wanted.next_power_of_two()),
            _ if clamp => Ok(most),
            _ => Err(Errno::EINVAL),
        };
        let sq_entries = bounded(entries, MAX_ENTRIES)?;
        let cq_entries = match params.flags & raw::IORING_SETUP_CQSIZE {
            0 => sq_entries * 2,
            _ => bounded(params.cq_entries, MAX_ENTRIES * 2)?,
        };
        if cq_entries < sq_entries {
            return Err(Errno::EINVAL);
        }
        Ok(Self {
            sq_entries,
            cq_entries,
            sqe_shift: if params.flags & raw::IORING_SETUP_SQE128 != 0 { 7 } else { 6 },
            cqe_shift: if params.flags & raw::IORING_SETUP_CQE32 != 0 { 5 } else { 4 },
            has_array: params.flags & raw::IORING_SETUP_NO_SQARRAY == 0,
        })
    }

    /// Where the completions end, and what is left free behind them; as Linux has it, who leaves room for a second header if they are large.
    fn end_of_completions(&self) -> u32 {
        let small = word::CQES + size_of::<Cqe>() as u32 * self.cq_entries;
        let end = if self.has_large_completions() { 2 * small } else { small };
        end.next_multiple_of(LINE)
    }

    /// Where the array begins; 0 without one.
    fn array(&self) -> u32 {
        if self.has_array { self.end_of_completions() } else { 0 }
    }

    /// Where the array has the entry at `index` of the queue, if there is an array.
    pub(super) fn array_slot(&self, index: u32) -> Option<u32> {
        self.has_array.then(|| self.array() + 4 * (index & (self.sq_entries - 1)))
    }

    /// Where submission `number` is among the submissions; it is below their count.
    pub(super) fn sqe(&self, number: u32) -> u32 {
        (number & (self.sq_entries - 1)) << self.sqe_shift
    }

    /// Where the completion at `index` of the queue is.
    pub(super) fn cqe(&self, index: u32) -> u32 {
        word::CQES + ((index & (self.cq_entries - 1)) << self.cqe_shift)
    }

    /// Whether completions have 16 bytes more.
    pub(super) fn has_large_completions(&self) -> bool {
        self.cqe_shift == 5
    }

    /// Bytes of both queues.
    pub(super) fn rings_len(&self) -> u64 {
        let end = self.end_of_completions();
        u64::from(if self.has_array { end + 4 * self.sq_entries } else { end })
    }

    /// Bytes of the submissions.
    pub(super) fn sqes_len(&self) -> u64 {
        u64::from(self.sq_entries << self.sqe_shift)
    }

    /// Tells the guest.
    pub(super) fn describe(&self, params: &mut Params) {
        params.sq_entries = self.sq_entries;
        params.cq_entries = self.cq_entries;
        params.sq_off = SqOffsets {
            head: word::SQ_HEAD,
            tail: word::SQ_TAIL,
            ring_mask: word::SQ_MASK,
            ring_entries: word::SQ_ENTRIES,
            flags: word::SQ_FLAGS,
            dropped: word::SQ_DROPPED,
            array: self.array(),
            ..SqOffsets::default()
        };
        params.cq_off = CqOffsets {
            head: word::CQ_HEAD,
            tail: word::CQ_TAIL,
            ring_mask: word::CQ_MASK,
            ring_entries: word::CQ_ENTRIES,
            overflow: word::CQ_OVERFLOW,
            cqes: word::CQES,
            flags: word::CQ_FLAGS,
            ..CqOffsets::default()
        };
    }

    /// Writes what the header tells the guest.
    pub(super) fn fill_in(&self, rings: &Shared) {
        rings.store(word::SQ_MASK, self.sq_entries - 1);
        rings.store(word::CQ_MASK, self.cq_entries - 1);
        rings.store(word::SQ_ENTRIES, self.sq_entries);
        rings.store(word::CQ_ENTRIES, self.cq_entries);
    }
}

/// Memory in one piece that the guest maps. Offsets are the kernel's own.
pub(super) struct Shared {
    vmo: Arc<Vmo>,
    memory: Arc<PhysicalMemory>,
    base: PhysAddr,
}

impl Shared {
    /// `len` bytes that are 0. `ENOMEM`.
    pub(super) fn new(memory: &Arc<PhysicalMemory>, len: u64) -> SysResult<Self> {
        let len = len.next_multiple_of(PAGE_SIZE as u64);
        let vmo = Vmo::create_contiguous(memory, len, 0).map_err(|_| Errno::ENOMEM)?;
        let base = vmo.extent().ok_or(Errno::ENOMEM)?.base();
        Ok(Self { vmo, memory: Arc::clone(memory), base })
    }

    /// What is mapped.
    pub(super) fn vmo(&self) -> &Arc<Vmo> {
        &self.vmo
    }

    fn at(&self, offset: u32) -> PhysAddr {
        self.base.offset(offset.into())
    }

    /// A word, and with it all that was written before it.
    pub(super) fn load(&self, offset: u32) -> u32 {
        self.memory.atomic_u32(self.at(offset)).load(Ordering::Acquire)
    }

    /// Writes a word, after all that was written before.
    pub(super) fn store(&self, offset: u32, value: u32) {
        self.memory.atomic_u32(self.at(offset)).store(value, Ordering::Release);
    }

    /// Sets bits of a word, in order with all else; what the word was.
    pub(super) fn set(&self, offset: u32, bits: u32) -> u32 {
        self.memory.atomic_u32(self.at(offset)).fetch_or(bits, Ordering::SeqCst)
    }

    /// Clears bits of a word; what the word was.
    pub(super) fn clear(&self, offset: u32, bits: u32) -> u32 {
        self.memory.atomic_u32(self.at(offset)).fetch_and(!bits, Ordering::SeqCst)
    }

    /// Adds to a word.
    pub(super) fn add(&self, offset: u32, value: u32) {
        self.memory.atomic_u32(self.at(offset)).fetch_add(value, Ordering::Relaxed);
    }

    /// Copies bytes out, once.
    pub(super) fn read(&self, offset: u32, into: &mut [u8]) {
        self.memory.read(self.at(offset), into);
    }

    /// Copies bytes in.
    pub(super) fn write(&self, offset: u32, bytes: &[u8]) {
        self.memory.write(self.at(offset), bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(flags: u32, cq_entries: u32) -> Params {
        Params { flags, cq_entries, ..Params::default() }
    }

    #[test]
    fn it_is_laid_out_as_on_linux() {
        let mut told = params(0, 0);
        let geometry = Geometry::new(5, &told).unwrap();
        geometry.describe(&mut told);
        assert_eq!((told.sq_entries, told.cq_entries), (8, 16));
        assert_eq!((told.sq_off.array, told.cq_off.cqes), (0x140, 0x40));
        assert_eq!(size_of::<Params>(), 120);
        assert_eq!(geometry.rings_len(), 0x140 + 4 * 8);
        assert_eq!((geometry.cqe(17), geometry.array_slot(9)), (0x50, Some(0x144)));
    }

    #[test]
    fn sizes_are_bounded_rounded_and_in_proportion() {
        let entries = |entries, flags, cq| {
            Geometry::new(entries, &params(flags, cq)).map(|it| (it.sq_entries, it.cq_entries))
        };
        let (size, clamp) = (raw::IORING_SETUP_CQSIZE, raw::IORING_SETUP_CLAMP);
        assert_eq!(entries(0, clamp, 0), Err(Errno::EINVAL));
        assert_eq!(entries(32769, 0, 0), Err(Errno::EINVAL));
        assert_eq!(entries(u32::MAX, clamp, 0), Ok((32768, 65536)));
        assert_eq!(entries(4, size, 3), Ok((4, 4)));
        assert_eq!(entries(8, size, 4), Err(Errno::EINVAL));
        assert_eq!(entries(8, size, 0), Err(Errno::EINVAL));
        assert_eq!(entries(8, size | clamp, u32::MAX), Ok((8, 65536)));
    }
}
