//! The inode of an open file that no file system has: a pipe, a file of events, a stream of the host.
//!
//! The one idea: such a file can still be asked about, and opened again through /proc/PID/fd, so it needs to look like an inode there.

use std::sync::Arc;

use linux_raw_sys::general as raw;

use super::{
    file::File,
    inode::Inode,
    metadata::{AttributeChange, FileType, Metadata},
};
use crate::errno::{Errno, SysResult};

/// The inode of an open file that has none, found through /proc/PID/fd.
pub(super) struct Reopen {
    /// What does the I/O.
    pub(super) file: Arc<dyn File>,
    /// The flags of the open file.
    pub(super) flags: u32,
}

impl Inode for Reopen {
    fn kind(&self) -> FileType {
        match self.file.metadata() {
            Some(Ok(metadata)) => metadata.kind,
            _ => FileType::Anonymous,
        }
    }

    fn metadata(&self) -> SysResult<Metadata> {
        self.file.metadata().unwrap_or_else(|| Ok(Metadata::anonymous()))
    }

    fn set_attributes(&self, change: &AttributeChange) -> SysResult<()> {
        self.file.attributes().ok_or(Errno::EOPNOTSUPP)?.set(change);
        Ok(())
    }

    fn resize(&self, _size: u64) -> SysResult<()> {
        // Opening with O_TRUNC, as a shell's redirection does; ftruncate(2) goes to the file.
        self.file.resize(0)
    }

    fn open(&self, flags: u32) -> SysResult<Option<Arc<dyn File>>> {
        if !self.file.is_shared_when_reopened() {
            return self.file.reopen(flags, self.flags).map(Some);
        }
        let (new, old) = (flags & raw::O_ACCMODE, self.flags & raw::O_ACCMODE);
        if new == old || old == raw::O_RDWR {
            Ok(Some(self.file.clone()))
        } else {
            Err(Errno::EACCES)
        }
    }
}
