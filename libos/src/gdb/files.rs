//! Files of the guest's tree, for a debugger that wants the program's symbols and those of its libraries.

use std::sync::Arc;

use gdbstub::target::ext::host_io::{
    HostIo, HostIoClose, HostIoCloseOps, HostIoErrno, HostIoError, HostIoFstat, HostIoFstatOps,
    HostIoOpen, HostIoOpenFlags, HostIoOpenMode, HostIoOpenOps, HostIoPread, HostIoPreadOps,
    HostIoReadlink, HostIoReadlinkOps, HostIoResult, HostIoStat,
};
use linux_raw_sys::general as raw;

use super::target::Target;
use crate::{
    errno::Errno,
    vfs::{IoDst, LookupFlags, OpenFile, ops},
};

/// The file `fd` means nothing.
const BAD: HostIoError<Errno> = HostIoError::Errno(HostIoErrno::EBADF);

fn failed(errno: Errno) -> HostIoError<Errno> {
    HostIoError::Errno(match errno {
        Errno::EPERM => HostIoErrno::EPERM,
        Errno::ENOENT => HostIoErrno::ENOENT,
        Errno::EACCES => HostIoErrno::EACCES,
        Errno::ENOTDIR => HostIoErrno::ENOTDIR,
        Errno::EISDIR => HostIoErrno::EISDIR,
        Errno::EINVAL => HostIoErrno::EINVAL,
        Errno::EIO => HostIoErrno::EIO,
        Errno::ENAMETOOLONG => HostIoErrno::ENAMETOOLONG,
        _ => HostIoErrno::EUNKNOWN,
    })
}

impl Target {
    fn file(&self, fd: u32) -> Option<&Arc<OpenFile>> {
        self.files.get(fd as usize)?.as_ref()
    }
}

impl HostIo for Target {
    fn support_open(&mut self) -> Option<HostIoOpenOps<'_, Self>> {
        Some(self)
    }

    fn support_close(&mut self) -> Option<HostIoCloseOps<'_, Self>> {
        Some(self)
    }

    fn support_pread(&mut self) -> Option<HostIoPreadOps<'_, Self>> {
        Some(self)
    }

    fn support_fstat(&mut self) -> Option<HostIoFstatOps<'_, Self>> {
        Some(self)
    }

    fn support_readlink(&mut self) -> Option<HostIoReadlinkOps<'_, Self>> {
        Some(self)
    }
}

impl HostIoOpen for Target {
    fn open(
        &mut self,
        filename: &[u8],
        flags: HostIoOpenFlags,
        _mode: HostIoOpenMode,
    ) -> HostIoResult<u32, Self> {
        // To be read only: what a debugger writes goes into memory.
        if flags.intersects(HostIoOpenFlags::O_WRONLY | HostIoOpenFlags::O_RDWR) {
            return Err(HostIoError::Errno(HostIoErrno::EROFS));
        }
        let fs = self.fs();
        let file = ops::open(&fs, None, filename, raw::O_RDONLY, 0, LookupFlags::FOLLOW);
        let file = file.map_err(failed)?;
        let free = self.files.iter().position(Option::is_none).unwrap_or(self.files.len());
        match self.files.get_mut(free) {
            Some(slot) => *slot = Some(file),
            None => self.files.push(Some(file)),
        }
        Ok(free as u32)
    }
}

impl HostIoClose for Target {
    fn close(&mut self, fd: u32) -> HostIoResult<(), Self> {
        let slot = self.files.get_mut(fd as usize).ok_or(BAD)?;
        slot.take().map(drop).ok_or(BAD)
    }
}

impl HostIoPread for Target {
    fn pread(
        &mut self,
        fd: u32,
        count: usize,
        offset: u64,
        buf: &mut [u8],
    ) -> HostIoResult<usize, Self> {
        let file = self.file(fd).ok_or(BAD)?;
        let len = count.min(buf.len());
        let buf = buf.get_mut(..len).unwrap_or_default();
        OpenFile::read_at(file, offset, &mut IoDst::kernel(buf)).map_err(failed)
    }
}

impl HostIoFstat for Target {
    fn fstat(&mut self, fd: u32) -> HostIoResult<HostIoStat, Self> {
        let metadata = self.file(fd).ok_or(BAD)?.metadata().map_err(failed)?;
        let kind = match metadata.kind.is_dir() {
            true => HostIoOpenMode::S_IFDIR,
            false => HostIoOpenMode::S_IFREG,
        };
        let mode = HostIoOpenMode::from_bits_truncate(metadata.mode & 0o777);
        Ok(HostIoStat {
            st_dev: 0,
            st_ino: metadata.ino as u32,
            st_mode: kind | mode,
            st_nlink: 1,
            st_uid: metadata.uid,
            st_gid: metadata.gid,
            st_rdev: 0,
            st_size: metadata.size,
            st_blksize: u64::from(metadata.block_size),
            st_blocks: metadata.blocks,
            st_atime: 0,
            st_mtime: 0,
            st_ctime: 0,
        })
    }
}

impl HostIoReadlink for Target {
    fn readlink(&mut self, filename: &[u8], buf: &mut [u8]) -> HostIoResult<usize, Self> {
        let fs = self.fs();
        let place = ops::resolve(&fs, None, filename, LookupFlags::empty()).map_err(failed)?;
        let text = place.inode().read_link().map_err(failed)?;
        let len = text.len().min(buf.len());
        buf[..len].copy_from_slice(&text[..len]);
        Ok(len)
    }
}
