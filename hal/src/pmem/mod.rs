//! Physical memory: one sparse memfd, mapped linearly into the kernel once.
//!
//! A physical address is an offset in the memfd. Memory is handed out as [`Extent`]s, which cost
//! nothing until they are touched: the host allocates on touch, and freeing punches the pages out
//! again. The kernel reaches the bytes through the linear map, guests through mappings of their own
//! ([`crate::aspace`]); since guests race with the kernel, bytes are only ever copied in and out
//! here, and no reference to guest memory exists. On the host this memory shows as *shmem*.

mod allocator;
mod charge;
mod stall;

use std::{
    fs::File,
    io,
    ops::Range,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use memmap2::{Advice, MmapOptions, MmapRaw};
use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
    sys::{
        memfd::{MFdFlags, memfd_create},
        resource::{Resource, getrlimit},
    },
    unistd::{Whence, lseek64},
};
use parking_lot::Mutex;

use self::{
    allocator::{Allocator, MAX_CACHED_PAGES},
    charge::Limit,
};
pub use self::{
    charge::{Charge, Reclaim, Shortage},
    stall::StallTimes,
};
use crate::stub::Zygote;

/// Bytes in a page, the unit of allocation and of mapping.
pub const PAGE_SIZE: usize = 4096;

/// The address below which guests live and above which the kernel and its libraries do.
///
/// Syscall User Dispatch lets system calls through from above it only.
pub const GUEST_BOUNDARY: u64 = 0x5000_0000_0000;

/// Where the addresses of a guest end that has a host process for itself: Linux's `TASK_SIZE`, a page below the end of the lower half.
pub const GUEST_END: u64 = 0x7fff_ffff_f000;

const PAGE: u64 = PAGE_SIZE as u64;
/// Virtual sizes tried for the memfd, largest first.
const SIZES: [u64; 6] = [8 << 40, 4 << 40, 1 << 40, 256 << 30, 64 << 30, 16 << 30];
/// Extents of up to so many bytes are kept when they are freed, however few of their pages are
/// committed.
const SMALL: u64 = 1 << 20;
/// Up to so many bytes are asked for page by page whether they are committed: more take longer than a search for the next hole.
const STEPWISE: u64 = 1 << 20;
/// Bytes of freed extents that stay committed for reuse, at most.
const DIRTY_CACHE: u64 = 64 << 20;

/// A physical address: an offset in the memfd.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PhysAddr(pub u64);

impl PhysAddr {
    /// The address `bytes` further on.
    #[must_use]
    #[inline]
    pub fn offset(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

/// The memory limit, or the address range of physical memory, is used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("out of physical memory")]
pub struct OutOfMemory;

/// All memory that guests and kernel objects can have.
#[derive(Debug)]
pub struct PhysicalMemory {
    file: File,
    linear: MmapRaw,
    allocator: Mutex<Allocator>,
    allocated: AtomicU64,
    limit: Limit,
    /// Where the host processes come from that map this memory.
    zygote: OnceLock<Result<Arc<Zygote>, String>>,
}

impl PhysicalMemory {
    /// Creates an empty memory; `limit` is the number of bytes that may be [charged](Self::charge).
    ///
    /// # Errors
    /// What the host says when it refuses the memfd or every size of linear map above
    /// [`GUEST_BOUNDARY`].
    pub fn new(limit: Option<u64>) -> io::Result<Arc<Self>> {
        let file = File::from(memfd_create("libos-memory", MFdFlags::MFD_CLOEXEC)?);
        let mut last = io::Error::from(io::ErrorKind::OutOfMemory);
        // Beyond this, making the file larger is not an error but a deadly signal.
        let (largest, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
        for size in SIZES.into_iter().filter(|&size| size <= largest) {
            match Self::map_linear(&file, size) {
                Ok(linear) => {
                    let cache = limit.map_or(DIRTY_CACHE, |limit| DIRTY_CACHE.min(limit / 8));
                    return Ok(Arc::new(Self {
                        file,
                        linear,
                        // Page 0 stays unused, so that physical address 0 is never valid.
                        allocator: Mutex::new(Allocator::new(1, size / PAGE - 1, cache / PAGE)),
                        allocated: AtomicU64::new(0),
                        limit: Limit::new(limit),
                        zygote: OnceLock::new(),
                    }));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Where the host processes come from that map this memory; the first call starts it.
    pub(crate) fn zygote(&self) -> Result<&Arc<Zygote>, &str> {
        let start = || Zygote::start(self.file.as_fd()).map_err(|error| error.to_string());
        self.zygote.get_or_init(start).as_ref().map_err(String::as_str)
    }

    fn map_linear(file: &File, size: u64) -> io::Result<MmapRaw> {
        file.set_len(size)?;
        let len = usize::try_from(size).map_err(io::Error::other)?;
        let linear = MmapOptions::new().len(len).no_reserve_swap().map_raw(file)?;
        // A core dump of the kernel without its guests is large enough.
        linear.advise(Advice::DontDump)?;
        if (linear.as_ptr() as u64) < GUEST_BOUNDARY {
            return Err(io::Error::other("the host placed the linear map among the guests"));
        }
        Ok(linear)
    }

    /// Allocates `len` bytes (a non-zero page multiple) of contiguous memory that reads as zero.
    ///
    /// Nothing is committed yet, unless the extent [is warm](Extent::is_warm).
    ///
    /// # Errors
    /// [`OutOfMemory`] if no range is long enough or `len` is not a page multiple.
    pub fn allocate(self: &Arc<Self>, len: usize) -> Result<Extent, OutOfMemory> {
        let bytes = len as u64;
        if bytes == 0 || !bytes.is_multiple_of(PAGE) {
            return Err(OutOfMemory);
        }
        let pages = bytes / PAGE;
        let mut allocator = self.allocator.lock();
        let cached = allocator.take_cached(pages);
        let (base, dirty) = match cached {
            Some(dirty) => (dirty.base, Some(dirty.warm)),
            None => match allocator.allocate(pages) {
                Some(base) => (base, None),
                None => {
                    self.trim_locked(&mut allocator);
                    (allocator.allocate(pages).ok_or(OutOfMemory)?, None)
                }
            },
        };
        drop(allocator);
        let base = PhysAddr(base * PAGE);
        let warm = match dirty {
            Some(warm) => self.scrub(base, bytes, warm),
            None => false,
        };
        self.allocated.fetch_add(bytes, Ordering::Relaxed);
        Ok(Extent { memory: self.clone(), base, len: bytes, warm: AtomicBool::new(warm) })
    }

    /// As [`allocate`](Self::allocate), at a multiple of `align` bytes, a power of two.
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate); or `align` is no power of two.
    pub fn allocate_aligned(
        self: &Arc<Self>,
        len: usize,
        align: u64,
    ) -> Result<Extent, OutOfMemory> {
        if align <= PAGE {
            return self.allocate(len);
        }
        let bytes = len as u64;
        if bytes == 0 || !bytes.is_multiple_of(PAGE) || !align.is_power_of_two() {
            return Err(OutOfMemory);
        }
        let base = self.allocator.lock().allocate_aligned(bytes / PAGE, align / PAGE);
        let base = PhysAddr(base.ok_or(OutOfMemory)? * PAGE);
        self.allocated.fetch_add(bytes, Ordering::Relaxed);
        Ok(Extent { memory: self.clone(), base, len: bytes, warm: AtomicBool::new(false) })
    }

    /// Zeroes a recycled extent; returns whether all of its pages are committed.
    fn scrub(&self, base: PhysAddr, len: u64, warm: bool) -> bool {
        if warm {
            self.zero(base, len);
            return true;
        }
        // Zeroing a page that was never touched would commit it: ask the host which ones exist.
        let mut committed = 0;
        self.for_each_committed(base, len, |data| {
            self.zero(PhysAddr(data.start), data.end - data.start);
            committed += data.end - data.start;
        });
        committed == len
    }

    fn release(&self, base: PhysAddr, len: u64, warm: bool) {
        self.allocated.fetch_sub(len, Ordering::Relaxed);
        let (page, pages) = (base.0 / PAGE, len / PAGE);
        if self.is_worth_keeping(base, len, warm)
            && self.allocator.lock().put_cached(page, pages, warm)
        {
            return;
        }
        self.decommit(base, len);
        self.allocator.lock().free(page, pages);
    }

    /// Whether a freed extent should stay committed: small ones always, larger ones if little of
    /// them is not.
    fn is_worth_keeping(&self, base: PhysAddr, len: u64, warm: bool) -> bool {
        if warm || len <= SMALL {
            return len / PAGE <= MAX_CACHED_PAGES;
        }
        if len / PAGE > MAX_CACHED_PAGES {
            return false;
        }
        let mut committed = 0;
        self.for_each_committed(base, len, |data| committed += data.end - data.start);
        committed > len / 4 * 3
    }

    fn trim_locked(&self, allocator: &mut Allocator) {
        for (base, pages) in allocator.drain_cached() {
            self.decommit(PhysAddr(base * PAGE), pages * PAGE);
            allocator.free(base, pages);
        }
    }

    /// Gives the host pages of freed extents that were kept for reuse back to the host.
    pub fn trim(&self) {
        self.trim_locked(&mut self.allocator.lock());
    }

    /// Bytes in live extents, committed or not.
    #[must_use]
    pub fn allocated(&self) -> u64 {
        self.allocated.load(Ordering::Relaxed)
    }

    /// Bytes that the host holds for this memory, freed extents kept for reuse included.
    #[must_use]
    pub fn committed(&self) -> u64 {
        nix::sys::stat::fstat(&self.file).map_or(0, |stat| stat.st_blocks.cast_unsigned() * 512)
    }

    /// Bytes of freed extents that stay committed for reuse ([`trim`](Self::trim) releases them).
    #[must_use]
    pub fn cached(&self) -> u64 {
        self.allocator.lock().cached() * PAGE
    }

    /// The parts of `len` bytes from `pa` on that are committed, in order.
    #[must_use]
    pub fn committed_ranges(&self, pa: PhysAddr, len: u64) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        self.for_each_committed(pa, len, |data| ranges.push(data));
        ranges
    }

    fn for_each_committed(&self, pa: PhysAddr, len: u64, mut each: impl FnMut(Range<u64>)) {
        let end = pa.0.saturating_add(len).min(self.size());
        let mut at = pa.0;
        while at < end {
            let Ok(data) = lseek64(&self.file, at.cast_signed(), Whence::SeekData) else { break };
            let data = data.cast_unsigned();
            if data >= end {
                break;
            }
            let hole = match end - data {
                ..=STEPWISE => self.step_to_hole(data, end),
                _ => lseek64(&self.file, data.cast_signed(), Whence::SeekHole)
                    .map_or(end, |hole| hole.cast_unsigned().min(end)),
            };
            each(data..hole);
            at = hole.max(data + 1);
        }
    }

    /// Where the data that `data` is in ends, `end` if that is first. The host goes through all pages that follow one another in search of a hole, however
    /// many are asked for, so this asks for each by itself.
    fn step_to_hole(&self, data: u64, end: u64) -> u64 {
        let mut at = (data / PAGE + 1) * PAGE;
        while at < end
            && lseek64(&self.file, at.cast_signed(), Whence::SeekData) == Ok(at.cast_signed())
        {
            at += PAGE;
        }
        at.min(end)
    }

    /// Gives the pages wholly inside the range back to the host; they read as zero afterwards.
    pub fn decommit(&self, pa: PhysAddr, len: u64) {
        let start = pa.0.next_multiple_of(PAGE);
        let end = pa.0.saturating_add(len) / PAGE * PAGE;
        if start >= end {
            return;
        }
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        loop {
            match fallocate(&self.file, flags, start.cast_signed(), (end - start).cast_signed()) {
                Ok(()) => return,
                Err(Errno::EINTR) => {}
                // Zeroes are promised, so write them if the host cannot punch.
                Err(_) => return self.zero(PhysAddr(start), end - start),
            }
        }
    }

    /// Has the host hold every page of the range, zero where it held none. (To allocate them in the file alone would not do: the
    /// host takes such pages for holes until they are touched.)
    ///
    /// # Errors
    /// [`OutOfMemory`] when the host has no memory left for them.
    pub fn commit(&self, pa: PhysAddr, len: u64) -> Result<(), OutOfMemory> {
        let _ = self.linear(pa, len);
        let advice = Advice::PopulateRead;
        loop {
            match self.linear.advise_range(advice, pa.0 as usize, len as usize) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(OutOfMemory),
            }
        }
    }

    /// The linear-map address of a range.
    ///
    /// The bytes there are shared with running guests: copy them with raw pointers, and never make
    /// a reference to them.
    ///
    /// # Panics
    /// If the range is not inside physical memory, which is a bug of the caller.
    #[inline]
    pub(crate) fn linear(&self, pa: PhysAddr, len: u64) -> *mut u8 {
        let size = self.linear.len() as u64;
        assert!(len <= size && pa.0 <= size - len, "physical range outside of memory");
        self.linear.as_mut_ptr().wrapping_add(pa.0 as usize)
    }

    /// Copies memory to `buf`.
    ///
    /// # Panics
    /// This and the other accessors: if the range is not inside physical memory.
    #[inline]
    pub fn read(&self, pa: PhysAddr, buf: &mut [u8]) {
        let from = self.linear(pa, buf.len() as u64);
        // SAFETY: `from` is valid for reads of `buf.len()` bytes (`linear` checked), and `buf`, a
        // Rust object, is not in the linear map. Bytes that a guest changes meanwhile arrive torn,
        // which any byte value allows.
        unsafe { ptr::copy_nonoverlapping(from, buf.as_mut_ptr(), buf.len()) }
    }

    /// Copies `buf` to memory.
    #[inline]
    pub fn write(&self, pa: PhysAddr, buf: &[u8]) {
        let to = self.linear(pa, buf.len() as u64);
        // SAFETY: as in `read`, with the roles exchanged; no Rust reference to this memory exists.
        unsafe { ptr::copy_nonoverlapping(buf.as_ptr(), to, buf.len()) }
    }

    /// Copies `buf` to memory that is most likely not committed yet. It costs half of what
    /// [`write`](Self::write) does then, which would fault every page in.
    pub fn fill(&self, pa: PhysAddr, buf: &[u8]) {
        let _ = self.linear(pa, buf.len() as u64);
        let mut done = 0;
        while let Some(rest) = buf.get(done..).filter(|rest| !rest.is_empty()) {
            match nix::sys::uio::pwrite(&self.file, rest, pa.offset(done as u64).0.cast_signed()) {
                Ok(0) | Err(_) => return self.write(pa.offset(done as u64), rest),
                Ok(some) => done += some,
            }
        }
    }

    /// Copies within memory; the ranges may overlap.
    pub fn copy(&self, dst: PhysAddr, src: PhysAddr, len: u64) {
        let (to, from) = (self.linear(dst, len), self.linear(src, len));
        // SAFETY: both ranges are inside the linear map (`linear` checked), no Rust reference to
        // them exists, and `ptr::copy` allows overlap.
        unsafe { ptr::copy(from, to, len as usize) }
    }

    /// Writes zeroes.
    #[inline]
    pub fn zero(&self, pa: PhysAddr, len: u64) {
        let to = self.linear(pa, len);
        // SAFETY: the range is inside the linear map (`linear` checked) and no Rust reference to it
        // exists.
        unsafe { ptr::write_bytes(to, 0, len as usize) }
    }

    /// The aligned 32-bit word at `pa`, for atomic operations that guests see.
    ///
    /// # Panics
    /// If `pa` is not a multiple of four, or outside of memory.
    #[must_use]
    pub fn atomic_u32(&self, pa: PhysAddr) -> &AtomicU32 {
        assert!(pa.0.is_multiple_of(4), "unaligned word");
        let word = self.linear(pa, 4).cast::<u32>();
        // SAFETY: in bounds and aligned (the linear map is page-aligned); mapped as long as `self`;
        // accessed atomically by all Rust code that uses references, and by guests as machine
        // words.
        unsafe { AtomicU32::from_ptr(word) }
    }

    /// The aligned 64-bit word at `pa`, for atomic operations that guests see.
    ///
    /// # Panics
    /// If `pa` is not a multiple of eight, or outside of memory.
    #[must_use]
    pub fn atomic_u64(&self, pa: PhysAddr) -> &AtomicU64 {
        assert!(pa.0.is_multiple_of(8), "unaligned word");
        let word = self.linear(pa, 8).cast::<u64>();
        // SAFETY: as in `atomic_u32`.
        unsafe { AtomicU64::from_ptr(word) }
    }

    /// Bytes of physical address space.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.linear.len() as u64
    }

    /// Whether the memory can be mapped at all `len` bytes from `pa` on.
    pub(crate) fn contains(&self, pa: PhysAddr, len: u64) -> bool {
        pa.0.checked_add(len).is_some_and(|end| end <= self.size())
    }
}

impl AsFd for PhysicalMemory {
    /// The memfd, for mapping ranges of it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for PhysicalMemory {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.file.as_raw_fd()
    }
}

/// An owned, contiguous range of physical memory; dropping it frees it.
#[derive(Debug)]
pub struct Extent {
    memory: Arc<PhysicalMemory>,
    base: PhysAddr,
    len: u64,
    warm: AtomicBool,
}

impl Extent {
    /// First address.
    #[must_use]
    pub fn base(&self) -> PhysAddr {
        self.base
    }

    /// Length in bytes, a non-zero page multiple.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an extent is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The memory that it is a part of.
    #[must_use]
    pub fn memory(&self) -> &Arc<PhysicalMemory> {
        &self.memory
    }

    /// All pages are known to be committed, so that mapping them with
    /// [`MapFlags::POPULATE`](crate::aspace::MapFlags) is cheap.
    #[must_use]
    pub fn is_warm(&self) -> bool {
        self.warm.load(Ordering::Relaxed)
    }

    /// States that every page has been touched.
    pub fn set_warm(&self) {
        self.warm.store(true, Ordering::Relaxed);
    }

    /// States that pages may have been [decommitted](PhysicalMemory::decommit).
    pub fn set_cold(&self) {
        self.warm.store(false, Ordering::Relaxed);
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        self.memory.release(self.base, self.len, self.is_warm());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn byte(memory: &PhysicalMemory, pa: PhysAddr) -> u8 {
        let mut buf = [0];
        memory.read(pa, &mut buf);
        buf[0]
    }

    #[test]
    fn memory_reads_as_zero_until_written() {
        let memory = PhysicalMemory::new(None).unwrap();
        let extent = memory.allocate(3 * PAGE_SIZE).unwrap();
        assert_eq!(byte(&memory, extent.base()), 0);
        memory.write(extent.base().offset(4090), b"across pages");
        let mut buf = [0; 12];
        memory.read(extent.base().offset(4090), &mut buf);
        assert_eq!(&buf, b"across pages");
        memory.copy(extent.base().offset(4092), extent.base().offset(4090), 12);
        memory.read(extent.base().offset(4092), &mut buf);
        assert_eq!(&buf, b"across pages");
    }

    #[test]
    fn an_aligned_extent_is_zero_too() {
        let memory = PhysicalMemory::new(None).unwrap();
        let extent = memory.allocate_aligned(3 * PAGE_SIZE, 1 << 20).unwrap();
        assert!(extent.base().0.is_multiple_of(1 << 20));
        memory.write(extent.base(), &[7; 3 * PAGE_SIZE]);
        let base = extent.base();
        drop(extent);
        let again = memory.allocate_aligned(3 * PAGE_SIZE, 1 << 20).unwrap();
        assert_eq!(byte(&memory, again.base()), 0, "{base:?}");
        assert!(memory.allocate_aligned(1, 1 << 20).is_err());
        assert!(memory.allocate_aligned(PAGE_SIZE, 3 << 20).is_err());
        assert!(memory.allocate_aligned(PAGE_SIZE, 1 << 63).is_err());
    }

    #[test]
    fn a_recycled_extent_is_zero_and_remembers_what_is_committed() {
        let memory = PhysicalMemory::new(None).unwrap();
        let extent = memory.allocate(16 * PAGE_SIZE).unwrap();
        let base = extent.base();
        memory.write(base.offset(5 * PAGE), &[7; 10]);
        drop(extent);
        let extent = memory.allocate(16 * PAGE_SIZE).unwrap();
        assert_eq!(extent.base(), base);
        assert!(!extent.is_warm());
        let only = base.0 + 5 * PAGE..base.0 + 6 * PAGE;
        assert_eq!(memory.committed_ranges(base, 16 * PAGE), vec![only]);
        assert_eq!(byte(&memory, base.offset(5 * PAGE)), 0);
        for page in 0..16 {
            memory.write(base.offset(page * PAGE), &[1]);
        }
        drop(extent);
        let extent = memory.allocate(16 * PAGE_SIZE).unwrap();
        assert!(extent.is_warm());
        assert_eq!(byte(&memory, base), 0);
    }

    #[test]
    fn large_extents_and_trim_give_pages_back() {
        let memory = PhysicalMemory::new(None).unwrap();
        let large = memory.allocate(8 << 20).unwrap();
        memory.fill(large.base().offset(1 << 20), &[1; 8192]);
        assert_eq!(byte(&memory, large.base().offset((1 << 20) + 8191)), 1);
        assert_eq!(memory.committed(), 8192);
        assert_eq!(memory.allocated(), 8 << 20);
        drop(large);
        assert_eq!(memory.committed(), 0);
        let small = memory.allocate(PAGE_SIZE).unwrap();
        memory.write(small.base(), &[1]);
        drop(small);
        assert_eq!((memory.committed(), memory.cached(), memory.allocated()), (PAGE, PAGE, 0));
        memory.trim();
        assert_eq!((memory.committed(), memory.cached()), (0, 0));
    }

    #[test]
    fn committed_memory_is_held_and_keeps_its_bytes() {
        let memory = PhysicalMemory::new(None).unwrap();
        let extent = memory.allocate(4 * PAGE_SIZE).unwrap();
        memory.write(extent.base().offset(PAGE), &[9; 10]);
        memory.commit(extent.base(), 3 * PAGE).unwrap();
        assert_eq!(memory.committed(), 3 * PAGE);
        assert_eq!(
            (byte(&memory, extent.base()), byte(&memory, extent.base().offset(PAGE))),
            (0, 9)
        );
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let memory = PhysicalMemory::new(None).unwrap();
        assert_eq!(memory.allocate(0).unwrap_err(), OutOfMemory);
        assert_eq!(memory.allocate(100).unwrap_err(), OutOfMemory);
        assert_eq!(memory.allocate(usize::MAX & !0xfff).unwrap_err(), OutOfMemory);
    }

    #[test]
    fn decommitted_pages_read_as_zero() {
        let memory = PhysicalMemory::new(None).unwrap();
        let extent = memory.allocate(4 * PAGE_SIZE).unwrap();
        memory.write(extent.base(), &[9; 4 * PAGE_SIZE]);
        memory.decommit(extent.base().offset(PAGE), 2 * PAGE);
        assert_eq!(byte(&memory, extent.base().offset(PAGE)), 0);
        assert_eq!(byte(&memory, extent.base().offset(3 * PAGE)), 9);
    }
}
