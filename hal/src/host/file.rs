//! An open host file.
//!
//! Reads and writes say where, so that nothing depends on a shared file position, and may go straight to or from
//! emulated physical memory. Each that can block on a disk has a
//! `try_` form that does not (`RWF_NOWAIT`): first that, then the blocking one on [`crate::cpu::spawn_blocking`]. Where the
//! file system knows no `RWF_NOWAIT`, cachestat(2) tells what is in memory, and one that lives in memory is just read.

use std::{
    cell::RefCell,
    ffi::{c_int, c_void},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicU8, Ordering},
};

use parking_lot::Mutex;

use super::{
    HostError, HostStat, HostStatFs, Result,
    error::{check, retry},
    stamp,
};
use crate::{
    fault::{Mask, Op},
    pmem::{PAGE_SIZE, PhysAddr, PhysicalMemory},
    seed,
};

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    pub(super) fn flags(self) -> c_int {
        match self {
            Access::Read => libc::O_RDONLY,
            Access::Write => libc::O_WRONLY,
            Access::ReadWrite => libc::O_RDWR,
        }
    }
}

/// The offset that stands for the open file's own position (preadv2(2)).
const AT_POSITION: i64 = -1;

/// cachestat(2), since Linux 6.5.
const SYS_CACHESTAT: libc::c_long = 451;

/// Bytes that are read at once on their way to memory.
const BOUNCE_SIZE: usize = 128 << 10;

thread_local! {
    /// Reading straight into memory that is not committed would fault in every page: by way of this it costs half.
    static BOUNCE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How to read without waiting for a disk: each is tried until it turns out not to work, and then the next.
mod patience {
    /// `RWF_NOWAIT`.
    pub(super) const NOWAIT: u8 = 0;
    /// The file is in memory, as on a tmpfs: nothing ever waits.
    pub(super) const MEMORY: u8 = 1;
    /// cachestat(2) says what is in memory.
    pub(super) const CACHESTAT: u8 = 2;
    /// Nobody can tell.
    pub(super) const UNKNOWN: u8 = 3;
}

/// File systems that are memory (statfs(2)): tmpfs and ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// An open host file. Closed on drop.
#[derive(Debug)]
pub struct HostFile {
    fd: OwnedFd,
    /// One of [`patience`].
    patience: AtomicU8,
    /// Held while the position is used.
    appending: Mutex<()>,
    /// The faults that come of it.
    faults: Mask,
}

impl From<OwnedFd> for HostFile {
    fn from(fd: OwnedFd) -> Self {
        Self {
            fd,
            patience: AtomicU8::new(patience::NOWAIT),
            appending: Mutex::new(()),
            faults: Mask::default(),
        }
    }
}

impl AsFd for HostFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl HostFile {
    /// A file that was opened by its name, which decides about its faults.
    pub(super) fn named(fd: OwnedFd, access: Access) -> Self {
        let faults = Mask::of_file(fd.as_fd(), access != Access::Read);
        Self { faults, ..Self::from(fd) }
    }

    /// `fstat`.
    pub fn stat(&self) -> Result<HostStat> {
        HostStat::at(self.fd.as_raw_fd(), c"")
    }

    /// `fstatfs`.
    pub fn statfs(&self) -> Result<HostStatFs> {
        HostStatFs::of(self.fd.as_raw_fd())
    }

    /// Reads up to `buf.len()` bytes at `offset`; 0 at the end of the file. May block.
    pub fn pread(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        // SAFETY: the slice is exclusively borrowed.
        unsafe { self.read_raw(buf.as_mut_ptr(), buf.len(), offset_of(offset)?, 0) }
    }

    /// [`HostFile::pread`] of what the host has in memory; `EAGAIN` when it would have to wait, also when it cannot
    /// tell.
    pub fn try_pread(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        // SAFETY: the slice is exclusively borrowed.
        unsafe { self.try_read_raw(buf.as_mut_ptr(), buf.len(), offset_of(offset)?) }
    }

    /// [`HostFile::try_pread`] at the position that the open file shares with others, which moves on.
    pub(super) fn try_read(&self, buf: &mut [u8]) -> Result<usize> {
        // SAFETY: the slice is exclusively borrowed.
        unsafe { self.try_read_raw(buf.as_mut_ptr(), buf.len(), AT_POSITION) }
    }

    /// Reads at the shared position. May block.
    pub(super) fn read(&self, buf: &mut [u8]) -> Result<usize> {
        // SAFETY: the slice is exclusively borrowed.
        unsafe { self.read_raw(buf.as_mut_ptr(), buf.len(), AT_POSITION, 0) }
    }

    /// Fills `len` bytes of physical memory from `offset` on, until the end of the file; says how many. May block.
    ///
    /// # Panics
    ///
    /// When the range is not within the memory.
    pub fn read_into_pmem(
        &self,
        memory: &PhysicalMemory,
        pa: PhysAddr,
        offset: u64,
        len: u64,
    ) -> Result<u64> {
        self.fill(memory, pa, offset, len, Self::pread)
    }

    /// [`HostFile::read_into_pmem`] if the host has all of it in memory; else `EAGAIN`, and some of it may have been read.
    ///
    /// # Panics
    ///
    /// When the range is not within the memory.
    pub fn try_fill_pmem(
        &self,
        memory: &PhysicalMemory,
        pa: PhysAddr,
        offset: u64,
        len: u64,
    ) -> Result<u64> {
        self.fill(memory, pa, offset, len, Self::try_pread)
    }

    fn fill(
        &self,
        memory: &PhysicalMemory,
        pa: PhysAddr,
        offset: u64,
        len: u64,
        read: impl Fn(&Self, &mut [u8], u64) -> Result<usize>,
    ) -> Result<u64> {
        BOUNCE.with_borrow_mut(|bounce| {
            let mut done = 0;
            while done < len {
                let at = offset.checked_add(done).ok_or(HostError::from_errno(libc::EINVAL))?;
                let want = (len - done).min(BOUNCE_SIZE as u64) as usize;
                if bounce.len() < want {
                    bounce.resize(want, 0);
                }
                match read(self, &mut bounce[..want], at)? {
                    0 => break,
                    n => {
                        memory.fill(pa.offset(done), &bounce[..n]);
                        done += n as u64;
                    }
                }
            }
            Ok(done)
        })
    }

    /// Has the host read up to `len` bytes from `offset` on into its memory, so that a `try_` form finds them. Blocks.
    pub fn warm(&self, offset: u64, len: u64) -> Result<()> {
        BOUNCE.with_borrow_mut(|bounce| {
            bounce.resize(bounce.len().max(BOUNCE_SIZE), 0);
            let mut done = 0;
            while done < len {
                let want = (len - done).min(BOUNCE_SIZE as u64) as usize;
                match self.pread(&mut bounce[..want], offset.saturating_add(done))? {
                    0 => break,
                    n => done += n as u64,
                }
            }
            Ok(())
        })
    }

    /// [`HostFile::read_into_pmem`] of what the host has in memory: one read, which may be short; `EAGAIN` when
    /// it would have to wait for the first byte, also when it cannot tell.
    ///
    /// # Panics
    ///
    /// When the range is not within the memory.
    pub fn try_read_into_pmem(
        &self,
        memory: &PhysicalMemory,
        pa: PhysAddr,
        offset: u64,
        len: u64,
    ) -> Result<u64> {
        let base = memory.linear(pa, len);
        // SAFETY: as in `read_into_pmem`.
        unsafe { self.try_read_raw(base, len as usize, offset_of(offset)?) }.map(|n| n as u64)
    }

    /// How many bytes a guest that wants to read `len` is to get at most: less, or an error, if a [fault](crate::fault) comes of it. To be asked
    /// once for a read of a guest's, in however many pieces it is made.
    #[inline]
    pub fn limit_read(&self, len: usize) -> Result<usize> {
        self.faults.draw(Op::Read).cut(len)
    }

    /// Writes up to `buf.len()` bytes at `offset`. May block.
    pub fn pwrite(&self, buf: &[u8], offset: u64) -> Result<usize> {
        let len = self.faults.draw(Op::Write).cut(buf.len())?;
        // SAFETY: the slice is borrowed, and not shorter.
        unsafe { self.write_raw(buf.as_ptr(), len, offset_of(offset)?, 0) }
    }

    /// Writes up to `buf.len()` bytes at the end of the file, wherever that is by then; how many, and the offset after
    /// them. May block.
    pub fn append(&self, buf: &[u8]) -> Result<(usize, u64)> {
        let len = self.faults.draw(Op::Write).cut(buf.len())?;
        let _appending = self.appending.lock();
        // SAFETY: the slice is borrowed, and not shorter.
        let done = unsafe { self.write_raw(buf.as_ptr(), len, AT_POSITION, libc::RWF_APPEND) }?;
        // SAFETY: touches no memory. The write has left the position behind itself.
        let end = unsafe { libc::lseek(self.fd.as_raw_fd(), 0, libc::SEEK_CUR) };
        Ok((done, check(end as isize)? as u64))
    }

    /// Writes `len` bytes of physical memory at `offset`, all of them unless it fails. May block.
    ///
    /// # Panics
    ///
    /// When the range is not within the memory.
    pub fn write_from_pmem(
        &self,
        memory: &PhysicalMemory,
        pa: PhysAddr,
        offset: u64,
        len: u64,
    ) -> Result<()> {
        let base = memory.linear(pa, len);
        let mut done = 0;
        while done < len {
            let at = offset.checked_add(done).ok_or(HostError::from_errno(libc::EINVAL))?;
            let at = offset_of(at)?;
            // SAFETY: as in `read_into_pmem`.
            let written =
                unsafe { self.write_raw(base.add(done as usize), (len - done) as usize, at, 0) };
            match written? {
                0 => return Err(HostError::from_errno(libc::EIO)),
                n => done += n as u64,
            }
        }
        Ok(())
    }

    /// Makes the file `len` bytes long.
    pub fn set_len(&self, len: u64) -> Result<()> {
        let len = offset_of(len)?;
        // SAFETY: touches no memory.
        retry(|| check(unsafe { libc::ftruncate(self.fd.as_raw_fd(), len) } as isize))?;
        stamp::modified(self.fd.as_raw_fd());
        Ok(())
    }

    /// `fallocate(2)` with `mode`.
    pub fn allocate(&self, mode: i32, offset: u64, len: u64) -> Result<()> {
        let (offset, len) = (offset_of(offset)?, offset_of(len)?);
        self.faults.draw(Op::Write).check()?;
        // SAFETY: touches no memory.
        let call = || unsafe { libc::fallocate(self.fd.as_raw_fd(), mode, offset, len) };
        retry(|| check(call() as isize))?;
        stamp::modified(self.fd.as_raw_fd());
        Ok(())
    }

    /// `fsync`, or `fdatasync` with `data_only`. Blocks.
    pub fn sync(&self, data_only: bool) -> Result<()> {
        self.faults.draw(Op::Sync).check()?;
        let fd = self.fd.as_raw_fd();
        // SAFETY: touch no memory.
        let call = || unsafe { if data_only { libc::fdatasync(fd) } else { libc::fsync(fd) } };
        retry(|| check(call() as isize))?;
        Ok(())
    }

    /// Where data (`SEEK_DATA`) or, with `hole`, a hole (`SEEK_HOLE`) begins at or after `offset`; `ENXIO` past the end.
    pub fn seek_data(&self, offset: u64, hole: bool) -> Result<u64> {
        let whence = if hole { libc::SEEK_HOLE } else { libc::SEEK_DATA };
        // SAFETY: touches no memory; nothing depends on the file position.
        let at = unsafe { libc::lseek(self.fd.as_raw_fd(), offset_of(offset)?, whence) };
        check(at as isize).map(|at| at as u64)
    }

    /// Tells the host that the range will be read soon, so that [`HostFile::try_pread`] finds it.
    pub fn will_need(&self, offset: u64, len: u64) {
        if let (Ok(offset), Ok(len)) = (offset_of(offset), offset_of(len)) {
            // SAFETY: touches no memory. An advice: its error changes nothing.
            unsafe {
                libc::posix_fadvise(self.fd.as_raw_fd(), offset, len, libc::POSIX_FADV_WILLNEED)
            };
        }
    }

    /// Reads at `offset`, or at the position for [`AT_POSITION`].
    ///
    /// # Safety
    ///
    /// `len` bytes at `base` may be written by the host.
    unsafe fn read_raw(
        &self,
        base: *mut u8,
        len: usize,
        offset: i64,
        flags: c_int,
    ) -> Result<usize> {
        let iov = libc::iovec { iov_base: base.cast::<c_void>(), iov_len: len };
        // SAFETY: one iovec, whose range the caller vouches for.
        let call = || unsafe { libc::preadv2(self.fd.as_raw_fd(), &iov, 1, offset, flags) };
        retry(|| check(call()))
    }

    /// # Safety
    ///
    /// As for `read_raw`.
    unsafe fn try_read_raw(&self, base: *mut u8, len: usize, offset: i64) -> Result<usize> {
        if seed::is_planted() {
            // What the host has in memory is up to chance.
            // SAFETY: the caller's.
            return unsafe { self.read_raw(base, len, offset, 0) };
        }
        let mut patience = self.patience.load(Ordering::Relaxed);
        if patience == patience::NOWAIT {
            // SAFETY: the caller's.
            match unsafe { self.read_raw(base, len, offset, libc::RWF_NOWAIT) } {
                Err(error) if lacks(error) => {
                    let magic = self.statfs().map_or(0, |statfs| statfs.magic);
                    let memory = IN_MEMORY.contains(&magic);
                    patience = if memory { patience::MEMORY } else { patience::CACHESTAT };
                    self.patience.store(patience, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        if patience == patience::CACHESTAT && !self.is_cached(offset, len)
            || patience == patience::UNKNOWN
        {
            return Err(HostError::from_errno(libc::EAGAIN));
        }
        // SAFETY: the caller's.
        unsafe { self.read_raw(base, len, offset, 0) }
    }

    /// Whether cachestat(2) finds all pages of the range, as far as the file goes, in the host's memory.
    fn is_cached(&self, offset: i64, len: usize) -> bool {
        let offset = match u64::try_from(offset) {
            Ok(offset) => offset,
            // SAFETY: touches no memory, and leaves the position where it is.
            Err(_) => unsafe { libc::lseek(self.fd.as_raw_fd(), 0, libc::SEEK_CUR) as u64 },
        };
        let size = self.stat().map_or(0, |stat| stat.size);
        let end = offset.saturating_add(len as u64).min(size);
        if offset >= end {
            return true;
        }
        let range = [offset, end - offset];
        // Pages cached, dirty, in writeback, evicted, recently evicted.
        let mut counts = [0_u64; 5];
        // SAFETY: cachestat reads two and writes five words, which are ours.
        let result = unsafe {
            libc::syscall(
                SYS_CACHESTAT,
                self.fd.as_raw_fd(),
                range.as_ptr(),
                counts.as_mut_ptr(),
                0_u32,
            )
        };
        if result != 0 {
            self.patience.store(patience::UNKNOWN, Ordering::Relaxed);
            return false;
        }
        let page = PAGE_SIZE as u64;
        counts[0] >= end.div_ceil(page) - offset / page
    }

    /// # Safety
    ///
    /// `len` bytes at `base` may be read by the host.
    unsafe fn write_raw(
        &self,
        base: *const u8,
        len: usize,
        offset: i64,
        flags: c_int,
    ) -> Result<usize> {
        let iov = libc::iovec { iov_base: base.cast_mut().cast::<c_void>(), iov_len: len };
        // SAFETY: one iovec, whose range the caller vouches for; the host only reads it.
        let call = || unsafe { libc::pwritev2(self.fd.as_raw_fd(), &iov, 1, offset, flags) };
        let written = retry(|| check(call()))?;
        stamp::modified(self.fd.as_raw_fd());
        Ok(written)
    }
}

/// Whether a file system that does not know `RWF_NOWAIT` says this.
fn lacks(error: HostError) -> bool {
    matches!(error.errno(), libc::EOPNOTSUPP | libc::EINVAL | libc::ENOSYS)
}

/// An offset as the host takes it; `EINVAL` past the largest.
fn offset_of(offset: u64) -> Result<i64> {
    i64::try_from(offset).map_err(|_| HostError::from_errno(libc::EINVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> HostFile {
        HostFile::from(OwnedFd::from(tempfile::tempfile().unwrap()))
    }

    #[test]
    fn what_is_written_is_read() {
        let file = file();
        assert_eq!(file.pwrite(b"hello world", 3), Ok(11));
        assert_eq!(file.append(b"!"), Ok((1, 15)));
        let mut buf = [0xff; 32];
        assert_eq!(file.pread(&mut buf, 0), Ok(15));
        assert_eq!(&buf[..15], b"\0\0\0hello world!");
        assert_eq!(file.pread(&mut buf, 15), Ok(0));
        file.set_len(5).unwrap();
        assert_eq!(file.stat().unwrap().size, 5);
        file.sync(true).unwrap();
    }

    #[test]
    fn physical_memory_is_filled_and_written_back() {
        let memory = PhysicalMemory::new(None).unwrap();
        let extent = memory.allocate(2 * PAGE_SIZE).unwrap();
        let file = file();
        file.pwrite(&[7; 5000], 0).unwrap();
        assert_eq!(file.read_into_pmem(&memory, extent.base(), 0, 8192), Ok(5000));
        let mut bytes = [0xff; 8192];
        memory.read(extent.base(), &mut bytes);
        assert!(bytes[..5000].iter().all(|&b| b == 7) && bytes[5000..].iter().all(|&b| b == 0));
        memory.write(extent.base(), b"first");
        assert_eq!(file.write_from_pmem(&memory, extent.base(), 10_000, 8192), Ok(()));
        let mut first = [0; 5];
        file.pread(&mut first, 10_000).unwrap();
        assert_eq!(&first, b"first");
    }

    #[test]
    fn a_try_reads_what_is_cached_or_says_that_it_would_block() {
        let file = file();
        file.pwrite(&[1; 100], 0).unwrap();
        let mut buf = [0; 100];
        match file.try_pread(&mut buf, 0) {
            Ok(n) => assert!(n > 0 && buf[0] == 1),
            Err(error) => assert!(error.would_block(), "{error}"),
        }
    }

    #[test]
    fn what_was_dropped_from_memory_is_not_waited_for_until_it_is_warm() {
        // Where the host cannot drop it (a tmpfs), it is never cold and both reads find it.
        let mut named = tempfile::NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        std::io::Write::write_all(&mut named, &[5; 64 << 10]).unwrap();
        named.as_file().sync_all().unwrap();
        // SAFETY: touches no memory.
        unsafe { libc::posix_fadvise(named.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        let file = HostFile::from(OwnedFd::from(named.reopen().unwrap()));
        let mut buf = [0; 4096];
        if let Err(error) = file.try_pread(&mut buf, 32 << 10) {
            assert!(error.would_block(), "{error}");
        }
        file.warm(0, 64 << 10).unwrap();
        assert_eq!(file.try_pread(&mut buf, 32 << 10), Ok(4096));
        assert_eq!(buf, [5; 4096]);
        assert_eq!(file.try_pread(&mut buf, 64 << 10), Ok(0));
    }

    #[test]
    fn a_file_system_in_memory_never_says_that_it_would_block() {
        let Ok(named) = tempfile::NamedTempFile::new_in("/dev/shm") else { return };
        let file = HostFile::from(OwnedFd::from(named.reopen().unwrap()));
        file.pwrite(&[3; 100], 0).unwrap();
        let mut buf = [0; 100];
        assert_eq!(file.try_pread(&mut buf, 0), Ok(100));
        assert_eq!(file.try_pread(&mut buf, 50), Ok(50));
        file.patience.store(patience::CACHESTAT, Ordering::Relaxed);
        assert!(
            file.is_cached(0, 100) || file.patience.load(Ordering::Relaxed) == patience::UNKNOWN
        );
    }

    #[test]
    fn offsets_past_the_largest_are_refused() {
        let error = file().pread(&mut [0], u64::MAX).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
        assert!(file().set_len(u64::MAX).is_err());
    }

    #[test]
    fn holes_are_found() {
        let file = file();
        file.pwrite(&[1; 4096], 1 << 20).unwrap();
        assert_eq!(file.seek_data(0, true), Ok(0));
        assert_eq!(file.seek_data(0, false), Ok(1 << 20));
        assert_eq!(file.seek_data(2 << 20, false).unwrap_err().errno(), libc::ENXIO);
    }
}
