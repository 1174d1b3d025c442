//! A small world for tests of the file system: a tree, a view of it, and short verbs.

use std::sync::Arc;

use hal::pmem::PhysicalMemory;
use linux_raw_sys::general as raw;

use super::buf::{IoDst, IoSrc};
use super::inode::{FileSystem, RenameFlags};
use super::metadata::Metadata;
use super::mount::{Mount, MountFlags, Path, Superblock};
use super::mount_namespace::MountNamespace;
use super::open_file::OpenFile;
use super::ops;
use super::path::{FsContext, LookupFlags};
use super::permission::Credentials;
use super::tmpfs::Tmpfs;
use crate::errno::SysResult;

/// A tree with the root user's view of it.
pub(crate) struct World {
    pub(super) memory: Arc<PhysicalMemory>,
    pub(crate) ctx: FsContext,
}

impl World {
    /// An empty tmpfs.
    pub(crate) fn new() -> Self {
        let memory = PhysicalMemory::new(None).unwrap();
        let fs = Tmpfs::new(&memory, 0o755).unwrap();
        Self::of(memory, fs)
    }

    pub(super) fn of(memory: Arc<PhysicalMemory>, fs: Arc<dyn FileSystem>) -> Self {
        let mount = Mount::new_root(Superblock::new(fs), MountFlags::empty(), "test");
        let root = Path::root_of(&mount);
        let cred = Arc::new(Credentials::root());
        let mounts = MountNamespace::new(1, mount);
        let ctx = FsContext { root: root.clone(), cwd: root, umask: 0o022, mounts, cred, pid: 7 };
        Self { memory, ctx }
    }

    pub(crate) fn place(&self, path: &str) -> SysResult<Path> {
        ops::resolve(&self.ctx, None, path.as_bytes(), LookupFlags::FOLLOW)
    }

    pub(super) fn stat(&self, path: &str) -> SysResult<Metadata> {
        ops::resolve(&self.ctx, None, path.as_bytes(), LookupFlags::empty())?.inode().metadata()
    }

    pub(super) fn open(&self, path: &str, flags: u32) -> SysResult<Arc<OpenFile>> {
        ops::open(&self.ctx, None, path.as_bytes(), flags, 0o666, LookupFlags::empty())
    }

    pub(super) fn read(&self, path: &str) -> SysResult<Vec<u8>> {
        let file = self.open(path, raw::O_RDONLY)?;
        let mut buf = vec![0; 100_000];
        let n = file.read(&mut IoDst::kernel(&mut buf))?;
        buf.truncate(n);
        Ok(buf)
    }

    /// Writes to a file opened with `flags` and `O_WRONLY`.
    pub(super) fn write(&self, path: &str, flags: u32, data: &[u8]) -> SysResult {
        self.open(path, raw::O_WRONLY | flags)?.write(&mut IoSrc::kernel(data))
    }

    pub(super) fn create(&self, path: &str, data: &[u8]) {
        assert_eq!(self.write(path, raw::O_CREAT | raw::O_EXCL, data), Ok(data.len()));
    }

    pub(crate) fn mkdir(&self, path: &str) -> SysResult<()> {
        ops::mkdir(&self.ctx, None, path.as_bytes(), 0o777)
    }

    pub(super) fn symlink(&self, target: &str, path: &str) {
        ops::symlink(&self.ctx, target.as_bytes(), None, path.as_bytes()).unwrap();
    }

    pub(super) fn unlink(&self, path: &str) -> SysResult<()> {
        ops::unlink(&self.ctx, None, path.as_bytes())
    }

    pub(super) fn rmdir(&self, path: &str) -> SysResult<()> {
        ops::rmdir(&self.ctx, None, path.as_bytes())
    }

    pub(super) fn rename(&self, from: &str, to: &str, flags: RenameFlags) -> SysResult<()> {
        ops::rename(&self.ctx, (None, from.as_bytes()), (None, to.as_bytes()), flags)
    }

    /// The sorted names in a directory, without the dots.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let dir = self.open(path, raw::O_RDONLY | raw::O_DIRECTORY).unwrap();
        let mut names = Vec::new();
        dir.read_dir(&mut |entry| {
            names.push(String::from_utf8_lossy(entry.name).into_owned());
            true
        })
        .unwrap();
        names.retain(|name| name != "." && name != "..");
        names.sort();
        names
    }
}
