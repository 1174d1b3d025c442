//! The bytes of a file that lives in memory: a VMO that is also what mmap(2) maps.
//!
//! The one idea: reads and writes copy between guest memory and the VMO's pages and nothing else happens as long as the
//! pages written were written before. Which pages are not holes is kept beside the VMO as a prefix plus a set, so a
//! file written from its beginning costs one comparison. What is not a hole counts against the memory limit; of a file
//! that was mapped everything does, since a mapping fills holes without our knowing.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hal::pmem::PhysicalMemory;
use kernel_objects::vmo::{RangeOp, Vmo, VmoOptions};
use linux_raw_sys::general as raw;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::buf::{IoDst, IoSrc};
use super::quota::{Quota, Space};
use crate::errno::{Errno, SysResult};

const PAGE: u64 = hal::pmem::PAGE_SIZE as u64;

/// Largest size of a file, in bytes (`MAX_LFS_FILESIZE` rounded to what a VMO takes).
pub const MAX_FILE_SIZE: u64 = 1 << 62;

/// Which pages hold data, as byte ranges of whole pages.
#[derive(Default)]
struct Written {
    /// Everything below.
    prefix: u64,
    /// Ordered, disjoint ranges above the prefix.
    rest: Vec<Range<u64>>,
}

impl Written {
    fn bytes(&self) -> u64 {
        self.rest.iter().fold(self.prefix, |sum, range| sum + (range.end - range.start))
    }

    /// The parts of `range` that are holes.
    fn holes(&self, range: &Range<u64>) -> SmallVec<[Range<u64>; 2]> {
        let mut holes = SmallVec::new();
        let mut at = range.start.max(self.prefix);
        for own in &self.rest {
            if own.start >= range.end {
                break;
            }
            if own.start > at {
                holes.push(at..own.start);
            }
            at = at.max(own.end);
        }
        if at < range.end {
            holes.push(at..range.end);
        }
        holes
    }

    fn add(&mut self, range: Range<u64>) {
        if range.start <= self.prefix {
            self.prefix = self.prefix.max(range.end);
        } else {
            let from = self.rest.partition_point(|own| own.end < range.start);
            let to = self.rest.partition_point(|own| own.start <= range.end);
            let mut merged = range;
            if let (Some(first), Some(last)) =
                (self.rest.get(from), self.rest.get(to.wrapping_sub(1)))
                && from < to
            {
                merged = merged.start.min(first.start)..merged.end.max(last.end);
            }
            self.rest.splice(from..to, [merged]);
        }
        while let Some(first) = self.rest.first()
            && first.start <= self.prefix
        {
            self.prefix = self.prefix.max(first.end);
            self.rest.remove(0);
        }
    }

    fn remove(&mut self, range: Range<u64>) {
        let mut all = std::mem::take(&mut self.rest);
        if self.prefix > 0 {
            all.insert(0, 0..self.prefix);
        }
        self.prefix = 0;
        for own in all {
            for piece in [own.start..own.end.min(range.start), own.start.max(range.end)..own.end] {
                if piece.start < piece.end {
                    self.add(piece);
                }
            }
        }
    }
}

/// The content of a regular file in memory.
pub struct Content {
    vmo: Arc<Vmo>,
    size: AtomicU64,
    /// Held by whatever changes the content through system calls, so that writes are atomic among themselves.
    state: Mutex<State>,
    /// There is no hole below: what `state` knows, for readers.
    solid: AtomicU64,
    /// The VMO has been handed out: pages may be written without our knowing. Set under the lock.
    mapped: AtomicBool,
}

struct State {
    written: Written,
    charge: Space,
}

impl Content {
    /// No bytes.
    pub fn new(memory: &Arc<PhysicalMemory>) -> SysResult<Self> {
        Self::within(memory, None)
    }

    /// No bytes, of a file system with limits.
    pub fn within(memory: &Arc<PhysicalMemory>, quota: Option<Arc<Quota>>) -> SysResult<Self> {
        let options = VmoOptions { resizable: true, charged: false };
        let vmo = Vmo::create(memory, 0, options).map_err(|_| Errno::ENOMEM)?;
        Ok(Self {
            vmo,
            size: AtomicU64::new(0),
            state: Mutex::new(State {
                written: Written::default(),
                charge: Space::new(memory, quota),
            }),
            solid: AtomicU64::new(0),
            mapped: AtomicBool::new(false),
        })
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Space taken, in units of 512 bytes.
    pub fn blocks(&self) -> u64 {
        let bytes = if self.mapped.load(Ordering::Relaxed) {
            let committed = self.vmo.committed(0..self.vmo.size());
            committed.iter().map(|range| range.end - range.start).sum()
        } else {
            self.state.lock().written.bytes()
        };
        bytes / 512
    }

    /// The pages, for mappings; `ENOMEM` if they could not all be had. (On Linux, a mapping that finds no memory for a page of
    /// a full file system is a SIGBUS.)
    pub fn vmo(&self) -> SysResult<Arc<Vmo>> {
        let mut state = self.state.lock();
        if !self.mapped.load(Ordering::Relaxed) {
            state.charge.resize(self.vmo.size()).map_err(|_| Errno::ENOMEM)?;
            self.solid.store(u64::MAX, Ordering::Release);
            self.mapped.store(true, Ordering::Relaxed);
        }
        Ok(self.vmo.clone())
    }

    /// Whether somebody maps it so that it is or may become writable.
    pub fn is_mapped_for_writing(&self) -> bool {
        self.vmo.is_mapped_for_writing()
    }

    /// Reads from `offset` on.
    pub fn read_at(&self, offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        let left = self.size().saturating_sub(offset);
        let len = dst.remaining().min(usize::try_from(left).unwrap_or(usize::MAX));
        if len == 0 {
            return Ok(0);
        }
        let end = offset + len as u64;
        if end <= self.solid.load(Ordering::Acquire) {
            return dst.write_from_vmo(&self.vmo, offset, len);
        }
        self.read_with_holes(offset..end, dst)
    }

    /// Reads without touching the pages of holes, which would be there then and count for nothing.
    #[cold]
    fn read_with_holes(&self, range: Range<u64>, dst: &mut IoDst<'_>) -> SysResult {
        let pages = range.start / PAGE * PAGE..range.end.next_multiple_of(PAGE);
        let holes = self.state.lock().written.holes(&pages);
        let mut at = range.start;
        let mut done = 0;
        let no_hole = range.end..range.end;
        for hole in holes.into_iter().chain([no_hole]) {
            for (end, is_hole) in [(hole.start, false), (hole.end.min(range.end), true)] {
                let Some(len) = end.checked_sub(at).filter(|&len| len > 0) else { continue };
                let moved = match is_hole {
                    true => dst.write_zeros(len as usize),
                    false => dst.write_from_vmo(&self.vmo, at, len as usize),
                };
                match moved {
                    Ok(some) => {
                        done += some;
                        at += some as u64;
                        if (some as u64) < len {
                            return Ok(done);
                        }
                    }
                    Err(error) if done == 0 => return Err(error),
                    Err(_) => return Ok(done),
                }
            }
        }
        Ok(done)
    }

    /// Writes at `offset`, growing as needed.
    pub fn write_at(&self, offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        self.write_locked(&mut self.state.lock(), offset, src)
    }

    /// Writes at the end; how many bytes and the new end.
    pub fn append(&self, src: &mut IoSrc<'_>) -> SysResult<(usize, u64)> {
        let mut state = self.state.lock();
        let offset = self.size();
        let done = self.write_locked(&mut state, offset, src)?;
        Ok((done, offset + done as u64))
    }

    fn write_locked(&self, state: &mut State, offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        let len = src.remaining();
        if len == 0 {
            return Ok(0);
        }
        if offset >= MAX_FILE_SIZE {
            return Err(Errno::EFBIG);
        }
        src.cut_to_limit(offset)?;
        let len = src.remaining();
        let end = offset.saturating_add(len as u64).min(MAX_FILE_SIZE);
        let end = self.cut_to_quota(state, offset..end)?;
        src.truncate((end - offset) as usize);
        self.grow(state, end)?;
        self.reserve(state, offset..end)?;
        let done = src.read_to_vmo(&self.vmo, offset, (end - offset) as usize)?;
        self.size.fetch_max(offset + done as u64, Ordering::AcqRel);
        Ok(done)
    }

    /// How far of `range` can be written with what the file system has room for; `ENOSPC` if nothing can.
    fn cut_to_quota(&self, state: &State, range: Range<u64>) -> SysResult<u64> {
        let mut left = state.charge.left();
        if left == u64::MAX || self.mapped.load(Ordering::Relaxed) {
            return Ok(range.end);
        }
        let pages = range.start / PAGE * PAGE..range.end.next_multiple_of(PAGE);
        for hole in state.written.holes(&pages) {
            let len = hole.end - hole.start;
            if len > left {
                let end = (hole.start + left / PAGE * PAGE).min(range.end);
                return if end > range.start { Ok(end) } else { Err(Errno::ENOSPC) };
            }
            left -= len;
        }
        Ok(range.end)
    }

    /// Makes the VMO `end` bytes long if it is shorter; `ENOSPC`.
    fn grow(&self, state: &mut State, end: u64) -> SysResult<()> {
        if end <= self.vmo.size() {
            return Ok(());
        }
        if self.mapped.load(Ordering::Relaxed) {
            state.charge.resize(end.next_multiple_of(PAGE)).map_err(|_| Errno::ENOSPC)?;
        }
        self.vmo.set_size(end).map_err(|_| Errno::ENOSPC)
    }

    /// Notes that the pages of `range` hold data and charges the new ones; `ENOSPC` if there is no memory.
    fn reserve(&self, state: &mut State, range: Range<u64>) -> SysResult<()> {
        let State { written, charge } = state;
        let pages = range.start / PAGE * PAGE..range.end.next_multiple_of(PAGE);
        if pages.end <= written.prefix {
            return Ok(());
        }
        let holes = written.holes(&pages);
        let new: u64 = holes.iter().map(|hole| hole.end - hole.start).sum();
        if new == 0 {
            return Ok(());
        }
        let mapped = self.mapped.load(Ordering::Relaxed);
        if !mapped {
            charge.resize(written.bytes() + new).map_err(|_| Errno::ENOSPC)?;
        }
        for hole in holes {
            written.add(hole);
        }
        if !mapped {
            self.solid.store(written.prefix, Ordering::Release);
        }
        Ok(())
    }

    /// Gives the pages wholly inside `range` back and zeroes the rest of it.
    fn free(&self, state: &mut State, range: Range<u64>) {
        let range = range.start..range.end.min(self.vmo.size());
        if range.start >= range.end {
            return;
        }
        // A range inside the VMO can be zeroed; what fails is only finding memory for a page not present.
        let _ = self.vmo.op_range(RangeOp::Zero, range.start, range.end - range.start);
        let pages = range.start.next_multiple_of(PAGE)..range.end / PAGE * PAGE;
        if pages.start < pages.end {
            self.forget(state, pages.clone());
            self.vmo.decommit(pages);
        }
    }

    /// Notes that `pages` are a hole. Before they are freed, so that nobody reads them for data any more.
    fn forget(&self, state: &mut State, pages: Range<u64>) {
        let State { written, charge } = state;
        written.remove(pages);
        if !self.mapped.load(Ordering::Relaxed) {
            self.solid.store(written.prefix, Ordering::Release);
            // Becoming smaller cannot fail.
            let _ = charge.resize(written.bytes());
        }
    }

    /// Cuts or extends to `size` bytes.
    pub fn resize(&self, size: u64) -> SysResult<()> {
        if size > MAX_FILE_SIZE {
            return Err(Errno::EFBIG);
        }
        let mut state = self.state.lock();
        self.grow(&mut state, size)?;
        if size < self.size() {
            self.forget(&mut state, size.next_multiple_of(PAGE)..u64::MAX);
        }
        self.vmo.set_size(size).map_err(|_| Errno::ENOMEM)?;
        if self.mapped.load(Ordering::Relaxed) {
            // Smaller, or what `grow` has charged.
            let _ = state.charge.resize(self.vmo.size());
        }
        self.size.store(size, Ordering::Release);
        Ok(())
    }

    /// fallocate(2): reserves space, punches holes, zeroes ranges; `EOPNOTSUPP` for other modes.
    pub fn allocate(&self, mode: u32, offset: u64, len: u64) -> SysResult<()> {
        let end =
            offset.checked_add(len).filter(|&end| end <= MAX_FILE_SIZE).ok_or(Errno::EFBIG)?;
        let keep = mode & raw::FALLOC_FL_KEEP_SIZE != 0;
        let mut state = self.state.lock();
        match mode & !raw::FALLOC_FL_KEEP_SIZE {
            raw::FALLOC_FL_PUNCH_HOLE if keep => {
                self.free(&mut state, offset..end);
                return Ok(());
            }
            raw::FALLOC_FL_ZERO_RANGE => self.free(&mut state, offset..end),
            0 => {}
            _ => return Err(Errno::EOPNOTSUPP),
        }
        if !keep {
            self.grow(&mut state, end)?;
        }
        self.reserve(&mut state, offset..end.min(self.vmo.size()).max(offset))?;
        if !keep {
            self.size.fetch_max(end, Ordering::AcqRel);
        }
        Ok(())
    }

    /// The next data, or hole, from `offset` on; `ENXIO` at or beyond the end.
    pub fn seek_data(&self, offset: u64, hole: bool) -> SysResult<u64> {
        let size = self.size();
        if offset >= size {
            return Err(Errno::ENXIO);
        }
        let State { written, .. } = &mut *self.state.lock();
        if self.mapped.load(Ordering::Relaxed) {
            for range in self.vmo.committed(0..self.vmo.size()) {
                written.add(range);
            }
        }
        let here = written.holes(&(offset..size)).first().cloned();
        Ok(match (hole, here) {
            (true, Some(first)) => first.start,
            (true, None) => size,
            (false, Some(first)) if first.start == offset => {
                if first.end >= size {
                    return Err(Errno::ENXIO);
                }
                first.end
            }
            (false, _) => offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content::new(&PhysicalMemory::new(None).unwrap()).unwrap()
    }

    fn read(content: &Content, offset: u64, len: usize) -> Vec<u8> {
        let mut buf = vec![0xee; len];
        let n = content.read_at(offset, &mut IoDst::kernel(&mut buf)).unwrap();
        buf.truncate(n);
        buf
    }

    #[test]
    fn holes_read_as_zero_and_take_no_space() {
        let file = content();
        assert_eq!(file.write_at(3 * PAGE + 1, &mut IoSrc::kernel(b"xyz")), Ok(3));
        assert_eq!(file.size(), 3 * PAGE + 4);
        assert_eq!(file.blocks(), 8);
        assert_eq!(read(&file, 3 * PAGE, 10), b"\0xyz");
        assert_eq!(read(&file, 10, 4), [0; 4]);
        assert_eq!(file.seek_data(0, false), Ok(3 * PAGE));
        assert_eq!(file.seek_data(0, true), Ok(0));
        assert_eq!(file.seek_data(3 * PAGE, true), Ok(3 * PAGE + 4));
        assert_eq!(file.seek_data(4 * PAGE, false), Err(Errno::ENXIO));
    }

    #[test]
    fn a_cut_file_grows_again_with_zeros() {
        let file = content();
        file.write_at(0, &mut IoSrc::kernel(&[7; 10_000])).unwrap();
        assert_eq!(file.blocks(), 24);
        file.resize(5000).unwrap();
        assert_eq!(file.blocks(), 16);
        file.resize(10_000).unwrap();
        let bytes = read(&file, 4999, 3);
        assert_eq!(bytes, [7, 0, 0]);
        assert_eq!(read(&file, 10_000, 5), b"");
    }

    #[test]
    fn appends_and_punched_holes() {
        let file = content();
        file.append(&mut IoSrc::kernel(&[1; 3 * PAGE as usize])).unwrap();
        assert_eq!(file.append(&mut IoSrc::kernel(b"end")), Ok((3, 3 * PAGE + 3)));
        let mode = raw::FALLOC_FL_PUNCH_HOLE | raw::FALLOC_FL_KEEP_SIZE;
        file.allocate(mode, PAGE - 1, PAGE + 1).unwrap();
        assert_eq!(read(&file, PAGE - 2, 4), [1, 0, 0, 0]);
        assert_eq!(read(&file, 2 * PAGE - 1, 2), [0, 1]);
        assert_eq!(file.blocks(), 24);
        assert_eq!(file.seek_data(0, true), Ok(PAGE));
        assert_eq!(file.seek_data(PAGE, false), Ok(2 * PAGE));
        file.allocate(0, 0, 10 * PAGE).unwrap();
        assert_eq!((file.size(), file.blocks()), (10 * PAGE, 80));
    }

    #[test]
    fn the_memory_limit_is_enospc_and_freed_memory_can_be_used_again() {
        let memory = PhysicalMemory::new(Some(8 * PAGE)).unwrap();
        let file = Content::new(&memory).unwrap();
        let data = vec![1; 9 * PAGE as usize];
        assert_eq!(file.write_at(0, &mut IoSrc::kernel(&data)), Err(Errno::ENOSPC));
        assert_eq!(file.write_at(0, &mut IoSrc::kernel(&data[..8 * PAGE as usize])), Ok(32768));
        file.resize(0).unwrap();
        assert_eq!(memory.charged(), 0);
        file.write_at(1 << 40, &mut IoSrc::kernel(b"x")).unwrap();
        drop(file);
        assert_eq!(memory.charged(), 0);
    }

    #[test]
    fn reading_a_hole_takes_no_memory() {
        let memory = PhysicalMemory::new(Some(64 * PAGE)).unwrap();
        let file = Content::new(&memory).unwrap();
        file.resize(1 << 30).unwrap();
        file.write_at(3 * PAGE + 5, &mut IoSrc::kernel(b"data")).unwrap();
        file.write_at(9 * PAGE, &mut IoSrc::kernel(&[1; PAGE as usize])).unwrap();
        let committed = memory.committed();
        let bytes = read(&file, 10, 1 << 20);
        assert_eq!(bytes.len(), 1 << 20);
        assert_eq!(&bytes[3 * PAGE as usize - 6..][..6], b"\0data\0");
        assert_eq!(bytes.iter().filter(|&&byte| byte != 0).count(), 4 + PAGE as usize);
        assert_eq!(memory.committed(), committed);
    }

    #[test]
    fn a_mapped_file_counts_as_a_whole() {
        let memory = PhysicalMemory::new(Some(16 * PAGE)).unwrap();
        let file = Content::new(&memory).unwrap();
        file.resize(20 * PAGE).unwrap();
        assert_eq!(file.vmo().err(), Some(Errno::ENOMEM));
        file.resize(10 * PAGE).unwrap();
        assert_eq!(memory.charged(), 0);
        file.vmo().unwrap();
        assert_eq!(memory.charged(), 10 * PAGE);
        assert_eq!(file.resize(17 * PAGE), Err(Errno::ENOSPC));
        assert_eq!(file.write_at(16 * PAGE, &mut IoSrc::kernel(b"x")), Err(Errno::ENOSPC));
        file.write_at(12 * PAGE, &mut IoSrc::kernel(b"x")).unwrap();
        assert_eq!(memory.charged(), 13 * PAGE);
        file.resize(PAGE + 1).unwrap();
        assert_eq!(memory.charged(), 2 * PAGE);
        assert_eq!(read(&file, 0, 9), [0; 9]);
    }

    #[test]
    fn written_ranges_merge() {
        let mut written = Written::default();
        written.add(8..12);
        written.add(16..20);
        written.add(12..16);
        assert_eq!(written.rest, vec![std::ops::Range { start: 8, end: 20 }]);
        written.add(0..8);
        assert_eq!((written.prefix, written.rest.len()), (20, 0));
        written.remove(4..8);
        assert_eq!(written.prefix, 4);
        assert_eq!(written.rest, vec![std::ops::Range { start: 8, end: 20 }]);
        assert_eq!(written.bytes(), 16);
    }
}
