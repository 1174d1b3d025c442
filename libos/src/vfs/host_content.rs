//! The bytes of a host file, read when they are needed.
//!
//! The one idea: a file that nobody maps is read straight from the host into guest memory; once it is mapped there is a VMO
//! that fills itself from the host, and then everybody reads that, so mappings and reads see the same bytes. A host
//! descriptor is a cache entry: a pool bounds how many are open, whatever guests hold.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, Weak};

use hal::host::{self, HostFile, HostNode, HostStat};
use hal::pmem::{PhysAddr, PhysicalMemory};
use kernel_objects::vmo::{PageSink, PageSource, Vmo};
use parking_lot::Mutex;

use super::buf::{IoDst, IoSrc, host_errno};
use super::metadata::{DeviceNumber, FileType, Metadata, StatFs, Timespec};
use crate::errno::{Errno, SysResult};

/// How many host descriptors a pool keeps open.
const MAX_OPEN: usize = 256;

const PAGE: u64 = hal::pmem::PAGE_SIZE as u64;

/// Bytes written to the host at once.
const CHUNK: usize = 64 << 10;

/// The host files that are open, oldest first.
#[derive(Default)]
pub struct FilePool(Mutex<VecDeque<Weak<Handle>>>);

impl FilePool {
    /// Remembers that `handle` is open now, and closes the oldest ones beyond the bound.
    fn opened(&self, handle: &Arc<Handle>) {
        let mut pool = self.0.lock();
        pool.push_back(Arc::downgrade(handle));
        while pool.len() > MAX_OPEN {
            let oldest = pool.pop_front().and_then(|old| old.upgrade());
            if let Some(oldest) = oldest
                && !Arc::ptr_eq(&oldest, handle)
            {
                *oldest.file.lock() = None;
            }
        }
    }
}

/// A host file that is opened when it is used.
struct Handle {
    node: Arc<HostNode>,
    access: host::Access,
    file: Mutex<Option<Arc<HostFile>>>,
    pool: Arc<FilePool>,
}

impl Handle {
    fn file(self: &Arc<Self>) -> Result<Arc<HostFile>, host::HostError> {
        let mut slot = self.file.lock();
        if let Some(file) = &*slot {
            return Ok(file.clone());
        }
        let file = Arc::new(self.node.open_file(self.access)?);
        *slot = Some(file.clone());
        drop(slot);
        self.pool.opened(self);
        Ok(file)
    }
}

/// Fills the page cache.
struct Source(Arc<Handle>);

impl PageSource for Source {
    fn fill(&self, offset: u64, len: u64, sink: &mut PageSink<'_>) -> kernel_objects::Result<()> {
        let file = self.0.file().map_err(|_| kernel_objects::Error::Io)?;
        file.read_into_pmem(sink.memory(), sink.pa(), offset, len)
            .map_err(|_| kernel_objects::Error::Io)?;
        Ok(())
    }

    fn try_fill(
        &self,
        offset: u64,
        len: u64,
        sink: &mut PageSink<'_>,
    ) -> kernel_objects::Result<()> {
        let file = self.0.file().map_err(|_| kernel_objects::Error::Io)?;
        match file.try_fill_pmem(sink.memory(), sink.pa(), offset, len) {
            Ok(_) => Ok(()),
            Err(error) if error.would_block() => Err(kernel_objects::Error::ShouldWait),
            Err(_) => Err(kernel_objects::Error::Io),
        }
    }

    fn write_back(
        &self,
        offset: u64,
        memory: &Arc<PhysicalMemory>,
        pa: PhysAddr,
        len: u64,
    ) -> kernel_objects::Result<()> {
        if !self.may_change() {
            return Err(kernel_objects::Error::NotSupported);
        }
        let io = |_| kernel_objects::Error::Io;
        let file = self.0.file().map_err(io)?;
        let len = file.stat().map_err(io)?.size.saturating_sub(offset).min(len);
        file.write_from_pmem(memory, pa, offset, len).map_err(io)
    }

    fn may_change(&self) -> bool {
        !matches!(self.0.access, host::Access::Read)
    }
}

/// The content of a regular host file.
pub struct HostContent {
    handle: Arc<Handle>,
    memory: Arc<PhysicalMemory>,
    vmo: OnceLock<Arc<Vmo>>,
    writable: bool,
}

impl HostContent {
    /// The content of `node`; nothing is opened yet. With `writable`, it is opened for writing too.
    pub fn new(
        node: Arc<HostNode>,
        memory: &Arc<PhysicalMemory>,
        pool: &Arc<FilePool>,
        writable: bool,
    ) -> Self {
        let access = if writable { host::Access::ReadWrite } else { host::Access::Read };
        let handle = Handle { node, access, file: Mutex::new(None), pool: pool.clone() };
        Self { handle: Arc::new(handle), memory: memory.clone(), vmo: OnceLock::new(), writable }
    }

    /// The host file, open.
    pub fn file(&self) -> SysResult<Arc<HostFile>> {
        self.handle.file().map_err(host_errno)
    }

    /// Whether it is mapped or was.
    pub fn is_cached(&self) -> bool {
        self.vmo.get().is_some()
    }

    /// Whether somebody else holds the page cache.
    pub fn is_mapped(&self) -> bool {
        self.vmo.get().is_some_and(|vmo| Arc::strong_count(vmo) > 1)
    }

    /// Reads from `offset` on, not beyond `size`.
    pub fn read_at(&self, offset: u64, size: u64, dst: &mut IoDst<'_>) -> SysResult {
        let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = dst.remaining().min(left);
        if len == 0 {
            return Ok(0);
        }
        match self.vmo.get() {
            Some(vmo) if offset < vmo.size() => {
                let end = offset.saturating_add(len as u64).min(vmo.size());
                let ready = match vmo.try_prepare_range(offset..end) {
                    Ok(ready) => usize::try_from(ready).unwrap_or(usize::MAX),
                    Err(_) => return Err(Errno::EIO),
                };
                let len = dst.limit_to_ready(ready, (end - offset) as usize)?;
                dst.write_from_vmo(vmo, offset, len)
            }
            _ => dst.write_from_host(&*self.file()?, offset, len),
        }
    }

    /// Has the bytes that [`read_at`](Self::read_at) did not find brought in, up to `len` from `offset` on. Waits for a disk.
    pub fn fetch(&self, offset: u64, len: u64) -> SysResult<()> {
        match self.vmo.get() {
            Some(vmo) => {
                let end = offset.saturating_add(len).min(vmo.size());
                let mut at = offset / PAGE * PAGE;
                while at < end {
                    vmo.prepare(at, false).map_err(|_| Errno::EIO)?;
                    at += PAGE;
                }
                Ok(())
            }
            None => self.file()?.warm(offset, len).map_err(host_errno),
        }
    }

    /// The page cache; made with `size` bytes if there is none yet.
    pub fn vmo(&self, size: u64) -> SysResult<Arc<Vmo>> {
        if let Some(vmo) = self.vmo.get() {
            return Ok(vmo.clone());
        }
        self.file()?;
        let source = Arc::new(Source(self.handle.clone()));
        let vmo = Vmo::create_with_source(&self.memory, size, source).map_err(|_| Errno::ENOMEM)?;
        Ok(self.vmo.get_or_init(|| vmo).clone())
    }

    /// Writes at `offset` to the host and to the page cache. How many bytes.
    pub fn write_at(&self, offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        src.cut_to_limit(offset)?;
        let mut at = offset;
        self.write_chunks(src, |file, part| {
            let written = file.pwrite(part, at)?;
            at = at.saturating_add(written as u64);
            Ok((written, at))
        })
        .map(|(done, _)| done)
    }

    /// Writes at the end, as [`write_at`](Self::write_at), wherever others move it; how many bytes and the offset after them.
    pub fn append(&self, size: u64, src: &mut IoSrc<'_>) -> SysResult<(usize, u64)> {
        src.cut_to_limit(size)?;
        self.write_chunks(src, HostFile::append)
    }

    /// Writes chunk by chunk by `write`, which says how many bytes it wrote and the offset after them; so does this.
    fn write_chunks(
        &self,
        src: &mut IoSrc<'_>,
        mut write: impl FnMut(&HostFile, &[u8]) -> host::Result<(usize, u64)>,
    ) -> SysResult<(usize, u64)> {
        let file = self.file()?;
        let (mut done, mut end) = (0, 0);
        let mut chunk = vec![0; src.remaining().min(CHUNK)];
        while src.remaining() > 0 {
            let part = match src.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => &chunk[..n],
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            };
            let written = match write(&file, part) {
                Ok((written, after)) => {
                    end = after;
                    written
                }
                Err(error) if done == 0 => return Err(host_errno(error)),
                Err(_) => break,
            };
            self.update_cache(end.saturating_sub(written as u64), &part[..written])?;
            done += written;
            if written < part.len() {
                break;
            }
        }
        Ok((done, end))
    }

    fn update_cache(&self, offset: u64, bytes: &[u8]) -> SysResult<()> {
        let Some(vmo) = self.vmo.get() else { return Ok(()) };
        let end = offset.saturating_add(bytes.len() as u64);
        if end > vmo.size() {
            vmo.set_size(end).map_err(|_| Errno::EIO)?;
        }
        vmo.write(offset, bytes).map_err(|_| Errno::EIO)
    }

    /// Makes the host file `size` bytes long.
    pub fn resize(&self, size: u64) -> SysResult<()> {
        self.file()?.set_len(size).map_err(host_errno)?;
        match self.vmo.get() {
            Some(vmo) => vmo.set_size(size).map_err(|_| Errno::EIO),
            None => Ok(()),
        }
    }

    /// Writes back what was changed through mappings, as far as `size`, and makes the host store it.
    pub fn sync(&self, size: u64, data_only: bool) -> SysResult<()> {
        if !self.writable {
            return Ok(());
        }
        self.write_back(size)?;
        self.file()?.sync(data_only).map_err(host_errno)
    }

    /// Writes every page in the cache to the host, as far as `size`: which of them were changed, nobody keeps.
    pub fn write_back(&self, size: u64) -> SysResult<()> {
        let Some(vmo) = self.vmo.get() else { return Ok(()) };
        let file = self.file()?;
        let mut at = 0;
        let end = vmo.size().min(size);
        while at < end {
            let Some(run) = vmo.present_run(at, end - at) else {
                at += PAGE;
                continue;
            };
            let len = run.len.min(end - at);
            file.write_from_pmem(&self.memory, run.pa, at, len).map_err(host_errno)?;
            at += len;
        }
        Ok(())
    }
}

impl Drop for HostContent {
    fn drop(&mut self) {
        if self.writable
            && self.vmo.get().is_some()
            && let Ok(file) = self.file()
            && let Ok(stat) = file.stat()
        {
            // Nobody is left to tell of an error.
            let _ = self.write_back(stat.size);
        }
    }
}

/// What the host says of a file, in our terms.
pub fn metadata(stat: &HostStat) -> Metadata {
    let time = |at: host::Timestamp| Timespec { sec: at.sec, nsec: at.nsec };
    Metadata {
        dev: DeviceNumber::new(stat.dev.0, stat.dev.1),
        ino: stat.ino,
        kind: FileType::from_mode(stat.mode).unwrap_or(FileType::Regular),
        mode: stat.mode & 0o7777,
        nlink: u64::from(stat.nlink),
        uid: stat.uid,
        gid: stat.gid,
        rdev: DeviceNumber::new(stat.rdev.0, stat.rdev.1),
        size: stat.size,
        block_size: stat.blksize,
        blocks: stat.blocks,
        atime: time(stat.atime),
        mtime: time(stat.mtime),
        ctime: time(stat.ctime),
        btime: stat.btime.map(time),
    }
}

/// The type of a directory entry as the host gives it, `None` where it does not say.
pub fn entry_kind(kind: host::FileKind) -> Option<FileType> {
    Some(match kind {
        host::FileKind::Regular => FileType::Regular,
        host::FileKind::Directory => FileType::Directory,
        host::FileKind::Symlink => FileType::Symlink,
        host::FileKind::Fifo => FileType::Fifo,
        host::FileKind::Socket => FileType::Socket,
        host::FileKind::CharDevice => FileType::CharDevice,
        host::FileKind::BlockDevice => FileType::BlockDevice,
        host::FileKind::Unknown => return None,
    })
}

/// What the host says of a file system, in our terms.
pub fn statfs(stat: &host::HostStatFs) -> StatFs {
    StatFs {
        magic: stat.magic,
        block_size: stat.block_size,
        blocks: stat.blocks,
        blocks_free: stat.blocks_free,
        blocks_available: stat.blocks_available,
        files: stat.files,
        files_free: stat.files_free,
        fsid: 0,
        name_max: stat.name_max,
        flags: 0,
    }
}

/// The names in a list of strings that each end in a NUL.
pub fn split_names(list: &[u8]) -> Vec<Vec<u8>> {
    let names = list.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    names.map(<[u8]>::to_vec).collect()
}

/// Puts into `metadata` what a listing shows of a host directory that another file system covers.
pub fn lend(stat: &host::HostStat, metadata: &mut Metadata) {
    let host = self::metadata(stat);
    metadata.mode = host.mode;
    metadata.nlink = host.nlink;
    metadata.uid = host.uid;
    metadata.gid = host.gid;
    metadata.size = host.size;
    metadata.blocks = host.blocks;
    metadata.atime = host.atime;
    metadata.mtime = host.mtime;
    metadata.ctime = host.ctime;
    metadata.btime = host.btime;
}
