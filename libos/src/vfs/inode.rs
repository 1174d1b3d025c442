//! What a file system implements: one object a file, directory, link or node.
//!
//! The one idea: an [`Inode`] is the truth about one file and knows nothing of names, mounts, positions or
//! permissions; those are the business of dentries, mounts, open files and credentials. Methods that make no
//! sense for a kind of file keep their default, which fails with the error that Linux gives there.

use std::any::Any;
use std::sync::Arc;

use bitflags::bitflags;
use kernel_objects::Vmo;

use super::acl::{self, Acl};
use super::buf::{IoDst, IoSrc};
use super::file::File;
use super::metadata::{AttributeChange, DeviceNumber, FileType, Metadata, StatFs};
use super::mount::Path;
use super::permission::Credentials;
use super::pipe::Fifo;
use super::writers::Writers;
use crate::errno::{Errno, SysResult};
use crate::net::unix::Binding;

/// Longest name of a directory entry, in bytes.
pub const NAME_MAX: usize = 255;

bitflags! {
    /// The flags of renameat2(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RenameFlags: u32 {
        /// Fail with `EEXIST` instead of replacing.
        const NOREPLACE = 1;
        /// Swap the two entries.
        const EXCHANGE = 2;
    }
}

/// What a new node is to be.
#[derive(Clone, Copy, Debug)]
pub struct NewNode<'a> {
    /// Its type.
    pub kind: FileType,
    /// Its permission bits, umask applied.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// For device nodes: the device.
    pub rdev: DeviceNumber,
    /// For symbolic links: the target.
    pub target: &'a [u8],
}

impl NewNode<'_> {
    /// A node that is neither a device nor a link.
    pub const fn new(kind: FileType, mode: u32, uid: u32, gid: u32) -> Self {
        Self { kind, mode, uid, gid, rdev: DeviceNumber(0), target: &[] }
    }
}

/// One entry as reading a directory finds it.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// The name, without slash or NUL.
    pub name: &'a [u8],
    /// Inode number.
    pub ino: u64,
    /// Type of the file.
    pub kind: FileType,
    /// Where reading goes on after this entry (`d_off`).
    pub next: u64,
}

/// What takes the entries of a directory; `false` means that this entry did not fit and ends the reading.
pub type DirSink<'a> = dyn FnMut(&DirEntry<'_>) -> bool + 'a;

/// The first cookie that a directory may give its own entries: 0 and 1 are `.` and `..`.
pub const FIRST_COOKIE: u64 = 2;

/// A mounted or mountable tree of inodes.
pub trait FileSystem: Send + Sync + Any {
    /// The directory at the top.
    fn root(&self) -> Arc<dyn Inode>;
    /// The type's name in /proc/mounts.
    fn type_name(&self) -> &'static str;
    /// What statfs(2) tells.
    fn statfs(&self) -> SysResult<StatFs>;
    /// The device that `st_dev` of its files shows.
    fn device(&self) -> DeviceNumber;
    /// Writes what was changed and is not yet stored to where it is stored (sync(2)).
    fn sync(&self) -> SysResult<()> {
        Ok(())
    }

    /// Whether its devices are its own, and not whatever somebody made a node of.
    fn has_own_devices(&self) -> bool {
        false
    }

    /// Whether its files can be found again by a handle, name_to_handle_at(2).
    fn has_handles(&self) -> bool {
        false
    }

    /// Whether it has one inode that is in no tree.
    fn is_lone(&self) -> bool {
        false
    }

    /// What /proc/PID/mountinfo shows of its root.
    fn root_name(&self) -> Vec<u8> {
        b"/".to_vec()
    }

    /// File-system specific options in /proc/mounts, with a leading comma if there are any.
    fn options(&self) -> String {
        String::new()
    }
}

/// One file of a file system, of any type.
///
/// All methods are called without locks of the caller's that the file system could want, finish without
/// waiting for guests, and may be called from any number of threads at once.
pub trait Inode: Send + Sync + Any {
    /// The type; never changes.
    fn kind(&self) -> FileType;

    /// Everything stat(2) tells.
    fn metadata(&self) -> SysResult<Metadata>;

    /// Stores new attributes and sets `ctime`.
    fn set_attributes(&self, change: &AttributeChange) -> SysResult<()> {
        let _ = change;
        Err(Errno::EPERM)
    }

    /// Stores a new mode and sets `ctime`.
    fn set_mode(&self, mode: u32) -> SysResult<()> {
        self.set_attributes(&AttributeChange { mode: Some(mode), ..AttributeChange::default() })
    }

    // Directories.

    /// The inode that `name` leads to; `ENOENT` if there is none. `name` is never `.` or `..`.
    fn lookup(&self, name: &[u8]) -> SysResult<Arc<dyn Inode>> {
        let _ = name;
        Err(Errno::ENOTDIR)
    }

    /// Whether the dentry cache may remember what [`lookup`](Self::lookup) said, both found and not found:
    /// true when entries change only through this kernel.
    fn caches_entries(&self) -> bool {
        true
    }

    /// Makes a new entry and its inode. Fails with `EEXIST` if there is one of that name.
    fn create(&self, name: &[u8], node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        let _ = name;
        Err(if node.kind == FileType::Regular { Errno::EACCES } else { Errno::EPERM })
    }

    /// Makes a regular file without a name in this directory's file system (`O_TMPFILE`).
    fn create_unnamed(&self, node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        let _ = node;
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes another entry for `target`, an inode of the same file system and no directory.
    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> SysResult<()> {
        let _ = (name, target);
        Err(Errno::EPERM)
    }

    /// Removes the entry of a file that is no directory (`EISDIR` if it is one).
    fn unlink(&self, name: &[u8]) -> SysResult<()> {
        let _ = name;
        Err(Errno::EPERM)
    }

    /// Removes the entry of an empty directory (`ENOTEMPTY`, `ENOTDIR`).
    fn rmdir(&self, name: &[u8]) -> SysResult<()> {
        let _ = name;
        Err(Errno::EPERM)
    }

    /// Moves the entry `name` to `new_name` in `new_dir`, an inode of the same file system, replacing what
    /// is there if the types allow (rename(2)). The caller has excluded cycles.
    fn rename(
        &self,
        name: &[u8],
        new_dir: &Arc<dyn Inode>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> SysResult<()> {
        let _ = (name, new_dir, new_name, flags);
        Err(Errno::EPERM)
    }

    /// Gives the entries from `cookie` (at least [`FIRST_COOKIE`]) on to `sink`, without `.` and `..`, until
    /// it refuses one. Cookies stay valid while entries come and go.
    fn read_dir(&self, cookie: u64, sink: &mut DirSink<'_>) -> SysResult<()> {
        let _ = (cookie, sink);
        Err(Errno::ENOTDIR)
    }

    // Links.

    /// The target of a symbolic link.
    fn read_link(&self) -> SysResult<Vec<u8>> {
        Err(Errno::EINVAL)
    }

    /// [`read_link`](Self::read_link) as process `pid` sees it: /proc/self.
    fn read_link_as(&self, pid: i32) -> SysResult<Vec<u8>> {
        let _ = pid;
        self.read_link()
    }

    /// Where a link of /proc leads to, if it is one that jumps to an object whatever its target's text says.
    fn follow(&self) -> Option<SysResult<Path>> {
        None
    }

    // Content.

    /// Reads from `offset` on; 0 at or after the end. `EAGAIN`, or fewer bytes with [`IoDst::is_cold`], when a disk must be
    /// read first and `dst` does not wait: [`fetch`](Self::fetch) does that.
    fn read_at(&self, offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        let _ = (offset, dst);
        Err(if self.kind().is_dir() { Errno::EISDIR } else { Errno::EINVAL })
    }

    /// Brings what [`read_at`](Self::read_at) would have to wait for into memory, up to `len` bytes from `offset` on. Waits.
    fn fetch(&self, offset: u64, len: u64) -> SysResult<()> {
        let _ = (offset, len);
        Ok(())
    }

    /// Writes at `offset`, growing the file as needed.
    fn write_at(&self, offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        let _ = (offset, src);
        Err(if self.kind().is_dir() { Errno::EISDIR } else { Errno::EINVAL })
    }

    /// Writes at the end, atomically with other appends; how many bytes and the offset after them.
    fn append(&self, src: &mut IoSrc<'_>) -> SysResult<(usize, u64)> {
        let offset = self.metadata()?.size;
        let done = self.write_at(offset, src)?;
        Ok((done, offset.saturating_add(done as u64)))
    }

    /// The size in bytes.
    fn size(&self) -> SysResult<u64> {
        Ok(self.metadata()?.size)
    }

    /// Cuts or extends the content to `size` bytes.
    fn resize(&self, size: u64) -> SysResult<()> {
        let _ = size;
        Err(if self.kind().is_dir() { Errno::EISDIR } else { Errno::EINVAL })
    }

    /// fallocate(2) with its `mode` bits.
    fn allocate(&self, mode: u32, offset: u64, len: u64) -> SysResult<()> {
        let _ = (mode, offset, len);
        Err(Errno::EOPNOTSUPP)
    }

    /// The first offset at or after `offset` that holds data, or with `hole` that holds none; `ENXIO` at
    /// or beyond the end (`SEEK_DATA`, `SEEK_HOLE`). The end counts as a hole.
    fn seek_data(&self, offset: u64, hole: bool) -> SysResult<u64> {
        let size = self.size()?;
        if offset >= size { Err(Errno::ENXIO) } else { Ok(if hole { size } else { offset }) }
    }

    /// The seals of fcntl(2) `F_GET_SEALS`; `EINVAL` where there are none.
    fn seals(&self) -> SysResult<u32> {
        Err(Errno::EINVAL)
    }

    /// Adds seals; `EPERM` when sealed against that.
    fn add_seals(&self, seals: u32) -> SysResult<()> {
        let _ = seals;
        Err(Errno::EINVAL)
    }

    /// Writes what is cached to the file's storage.
    fn sync(&self, data_only: bool) -> SysResult<()> {
        let _ = data_only;
        Ok(())
    }

    /// Whether the host stores it, so that [`sync`](Self::sync) waits for a disk.
    fn is_on_host(&self) -> bool {
        false
    }

    /// The page cache, for mmap(2); `ENODEV` for files that cannot be mapped.
    fn vmo(&self) -> SysResult<Arc<Vmo>> {
        Err(Errno::ENODEV)
    }

    // Opening.

    /// The object that does the I/O of an open file on this inode, for those whose content is not simply
    /// [`read_at`](Self::read_at) and [`write_at`](Self::write_at): files made when they are opened.
    /// `flags` are those of open(2). `EAGAIN` when a disk must be read first: [`take_over`](Self::take_over) does that.
    fn open(&self, flags: u32) -> SysResult<Option<Arc<dyn File>>> {
        let _ = flags;
        Ok(None)
    }

    /// As [`open`](Self::open), where it may matter who opens.
    fn open_as(&self, flags: u32, cred: &Arc<Credentials>) -> SysResult<Option<Arc<dyn File>>> {
        let _ = cred;
        self.open(flags)
    }

    /// Does what an [`open`](Self::open) for writing would have to wait for. Waits.
    fn take_over(&self) -> SysResult<()> {
        Ok(())
    }

    /// Who writes to it or runs it, if it is a regular file that can be run.
    fn writers(&self) -> Option<&Writers> {
        None
    }

    /// The rendezvous of a FIFO's ends; `Some` for every inode of that kind.
    fn fifo(&self) -> Option<&Fifo> {
        None
    }

    /// Where the socket is found that is bound to it; `Some` for every inode of that kind.
    fn socket(&self) -> Option<&Binding> {
        None
    }

    // Extended attributes (xattr(7)).

    /// The value of attribute `name`; `ENODATA` if there is none.
    fn xattr(&self, name: &[u8]) -> SysResult<Vec<u8>> {
        let _ = name;
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets attribute `name`. `flags` are those of setxattr(2).
    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> SysResult<()> {
        let _ = (name, value, flags);
        Err(Errno::EOPNOTSUPP)
    }

    /// Removes attribute `name`; `ENODATA` if there is none.
    fn remove_xattr(&self, name: &[u8]) -> SysResult<()> {
        let _ = name;
        Err(Errno::EOPNOTSUPP)
    }

    /// The names of all attributes.
    fn list_xattrs(&self) -> SysResult<Vec<Vec<u8>>> {
        Ok(Vec::new())
    }

    /// The access control list that the attribute `name` is, if there is one.
    fn acl(&self, name: &[u8]) -> Option<Acl> {
        acl::stored(self.xattr(name))
    }
}
