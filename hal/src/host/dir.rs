//! Names in the host's file tree.
//!
//! A [`HostNode`] is a name in a directory, not an open file: it knows its parent and its name, and the path is put
//! together when the host is called. So a guest that walks a million files holds few host descriptors: the tree's root and
//! the [directories in use lately](KEPT), and a renamed directory takes its children along. The price is that a name which the *host* moves
//! meanwhile is `ENOENT` unless its directory is among those.
//!
//! Paths are walked from the root's descriptor. Unless the root is the host's `/`, a directory's is walked *beneath* it with
//! every symlink refused (`openat2(2)`), so that no guest which can write to the tree gets out of it by swapping a
//! directory for a symlink, and then names in it are asked for; following symlinks is the caller's business.

use std::{
    collections::VecDeque,
    ffi::{CStr, CString, OsStr, c_int},
    fmt,
    mem::offset_of,
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::{Arc, Weak},
};

use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;

use super::{
    Access, FileKind, HostError, HostFile, HostStat, HostStatFs, Result, Timestamp,
    error::{check, retry},
    stamp,
};
use crate::fault::{Mask, Op};

/// The longest path the host takes, in bytes, its NUL included.
const PATH_MAX: usize = libc::PATH_MAX as usize;

/// How many directories of a tree are kept open.
const KEPT: usize = 64;

/// One tree of host files.
#[derive(Debug)]
struct Tree {
    root: Arc<OwnedFd>,
    /// The host's whole tree: nowhere to escape to.
    whole: bool,
    /// The directories that were opened last, oldest first.
    kept: Mutex<VecDeque<Weak<HostNode>>>,
}

/// A name in the host's file tree. Cheap to make.
pub struct HostNode {
    tree: Arc<Tree>,
    /// Where it is; none for the root.
    link: RwLock<Option<Link>>,
    /// A descriptor that only names the directory that it is, while that is kept.
    dir: Mutex<Option<Arc<OwnedFd>>>,
}

#[derive(Clone)]
struct Link {
    parent: Arc<HostNode>,
    name: Box<[u8]>,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name: not empty, without `/` and NUL.
    pub name: Vec<u8>,
    /// Its inode number.
    pub ino: u64,
    /// Its type, where the file system says.
    pub kind: FileKind,
}

type PathBuffer = SmallVec<[u8; 256]>;

fn error<T>(errno: c_int) -> Result<T> {
    Err(HostError::from_errno(errno))
}

/// A name as a directory can hold it.
fn check_name(name: &[u8]) -> Result<()> {
    match name {
        b"" => error(libc::ENOENT),
        b"." | b".." => error(libc::EINVAL),
        _ if name.iter().any(|byte| matches!(byte, 0 | b'/')) => error(libc::EINVAL),
        _ if name.len() > 255 => error(libc::ENAMETOOLONG),
        _ => Ok(()),
    }
}

fn c_name(name: &[u8]) -> Result<CString> {
    check_name(name)?;
    CString::new(name).or(error(libc::EINVAL))
}

impl Tree {
    /// Remembers that `node`'s directory is open now, and closes the oldest ones beyond the bound.
    fn keep(&self, node: &Arc<HostNode>) {
        let mut kept = self.kept.lock();
        kept.push_back(Arc::downgrade(node));
        while kept.len() > KEPT {
            if let Some(oldest) = kept.pop_front().and_then(|oldest| oldest.upgrade()) {
                *oldest.dir.lock() = None;
            }
        }
    }
}

impl HostNode {
    /// The node of a host path, symlinks followed: the root of a tree if it is a directory, else a name in one.
    pub fn open(path: &Path) -> Result<Arc<HostNode>> {
        let path = path.canonicalize()?;
        if path.is_dir() {
            return Self::open_root(&path);
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return error(libc::ENOTDIR);
        };
        Ok(Self::open_root(parent)?.child(name.as_bytes()))
    }

    fn open_root(path: &Path) -> Result<Arc<HostNode>> {
        let whole = path == Path::new("/");
        let path = CString::new(path.as_os_str().as_bytes()).or(error(libc::EINVAL))?;
        let root = open_at(libc::AT_FDCWD, &path, libc::O_PATH | libc::O_DIRECTORY, 0, false)?;
        let tree = Tree { root: Arc::new(root), whole, kept: Mutex::default() };
        Ok(Self::new(Arc::new(tree), None))
    }

    fn child(self: &Arc<Self>, name: &[u8]) -> Arc<HostNode> {
        Self::new(self.tree.clone(), Some(Link { parent: self.clone(), name: name.into() }))
    }

    fn new(tree: Arc<Tree>, link: Option<Link>) -> Arc<HostNode> {
        Arc::new(HostNode { tree, link: RwLock::new(link), dir: Mutex::default() })
    }

    /// The path from the root, or `.` for the root, with a NUL.
    fn path(&self) -> Result<PathBuffer> {
        let mut path = PathBuffer::new();
        self.append_path(&mut path)?;
        if path.is_empty() {
            path.push(b'.');
        }
        path.push(0);
        Ok(path)
    }

    fn append_path(&self, path: &mut PathBuffer) -> Result<()> {
        // Backwards, from the leaf up, then turned around: no recursion on a guest's depth.
        let Some(mut link) = self.link.read().clone() else { return Ok(()) };
        loop {
            path.extend(link.name.iter().rev().copied());
            if path.len() >= PATH_MAX {
                return error(libc::ENAMETOOLONG);
            }
            let Some(next) = link.parent.link.read().clone() else { break };
            path.push(b'/');
            link = next;
        }
        path.reverse();
        Ok(())
    }

    fn with_path<R>(&self, call: impl FnOnce(RawFd, &CStr) -> Result<R>) -> Result<R> {
        let path = self.path()?;
        let path = CStr::from_bytes_with_nul(&path).or(error(libc::EINVAL))?;
        call(self.tree.root.as_raw_fd(), path)
    }

    /// Calls the host with a directory and where this file is from there: in the host's whole tree the root and the path, else its own
    /// directory and its name.
    fn at<R>(&self, call: impl FnOnce(RawFd, &CStr) -> Result<R>) -> Result<R> {
        if self.tree.whole {
            return self.with_path(call);
        }
        let (parent, name) = self.place()?;
        call(parent.as_raw_fd(), &name)
    }

    /// Opens without following a symlink at the end.
    fn open_fd(&self, flags: c_int) -> Result<OwnedFd> {
        self.at(|dir, name| open_at(dir, name, flags | libc::O_NOFOLLOW, 0, false))
    }

    /// A descriptor that only names the file.
    fn handle(&self) -> Result<OwnedFd> {
        self.open_fd(libc::O_PATH)
    }

    /// The same of a directory, kept for the next who asks.
    fn dir_handle(self: &Arc<Self>) -> Result<Arc<OwnedFd>> {
        if self.link.read().is_none() {
            return Ok(self.tree.root.clone());
        }
        if let Some(handle) = &*self.dir.lock() {
            return Ok(handle.clone());
        }
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let contain = !self.tree.whole;
        let handle = self.with_path(|root, path| open_at(root, path, flags, 0, contain))?;
        let handle = Arc::new(handle);
        if self.dir.lock().replace(handle.clone()).is_none() {
            self.tree.keep(self);
        }
        Ok(handle)
    }

    /// [`HostNode::dir_handle`], for something new in the directory.
    fn dir_to_change(self: &Arc<Self>) -> Result<Arc<OwnedFd>> {
        let dir = self.dir_handle()?;
        Mask::of_file(dir.as_fd(), true).draw(Op::Create).check()?;
        Ok(dir)
    }

    /// `lstat`.
    pub fn stat(&self) -> Result<HostStat> {
        self.at(HostStat::at)
    }

    /// The file of that name in this directory, and its `lstat`.
    ///
    /// # Errors
    ///
    /// `ENOENT` when there is none; `EINVAL` for `.`, `..` and what is no name.
    pub fn lookup(self: &Arc<Self>, name: &[u8]) -> Result<(Arc<HostNode>, HostStat)> {
        check_name(name)?;
        let child = self.child(name);
        let stat = child.stat()?;
        Ok((child, stat))
    }

    /// All entries of this directory but `.` and `..`, in the host's order. May block.
    pub fn read_dir(&self) -> Result<Vec<DirEntry>> {
        let dir = self.open_fd(libc::O_RDONLY | libc::O_DIRECTORY)?;
        let mut entries = Vec::new();
        let mut buffer = vec![0u8; 32 << 10];
        loop {
            // SAFETY: the host writes at most the length at the pointer.
            let n = check(unsafe {
                libc::syscall(
                    libc::SYS_getdents64,
                    dir.as_raw_fd(),
                    buffer.as_mut_ptr(),
                    buffer.len(),
                )
            } as isize)?;
            if n == 0 {
                return Ok(entries);
            }
            parse_entries(buffer.get(..n).unwrap_or_default(), &mut entries);
        }
    }

    /// The target of this symlink; `EINVAL` when it is none.
    pub fn read_link(&self) -> Result<Vec<u8>> {
        self.at(|dir, path| {
            let mut target = vec![0u8; PATH_MAX];
            // SAFETY: the path is a C string; the host writes at most the length at the pointer.
            let n = check(unsafe {
                libc::readlinkat(dir, path.as_ptr(), target.as_mut_ptr().cast(), target.len())
            })?;
            target.truncate(n);
            Ok(target)
        })
    }

    /// Opens the file for reading or writing; `ELOOP` for a symlink. Never waits for the other end of a FIFO and
    /// never makes a terminal the controlling one.
    pub fn open_file(&self, access: Access) -> Result<HostFile> {
        let flags = access.flags() | libc::O_NONBLOCK | libc::O_NOCTTY;
        self.open_fd(flags).map(|fd| HostFile::named(fd, access))
    }

    /// Makes a new regular file of that name and opens it; `EEXIST` when there is one.
    pub fn create_file(
        self: &Arc<Self>,
        name: &[u8],
        mode: u32,
    ) -> Result<(Arc<HostNode>, HostFile)> {
        let name = c_name(name)?;
        let dir = self.dir_to_change()?;
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        let fd = open_at(dir.as_raw_fd(), &name, flags, mode & 0o7777, false)?;
        set_mode(&fd, mode)?;
        let child = self.child(name.as_bytes());
        stamp::made(&child);
        stamp::modified(dir.as_raw_fd());
        Ok((child, HostFile::named(fd, Access::ReadWrite)))
    }

    /// Makes a directory.
    pub fn make_dir(self: &Arc<Self>, name: &[u8], mode: u32) -> Result<Arc<HostNode>> {
        let name = c_name(name)?;
        let dir = self.dir_to_change()?;
        // SAFETY: the name is a C string.
        check(unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode & 0o7777) } as isize)?;
        let child = self.child(name.as_bytes());
        child.set_mode(mode)?;
        stamp::made(&child);
        stamp::modified(dir.as_raw_fd());
        Ok(child)
    }

    /// Makes a symlink.
    pub fn make_symlink(self: &Arc<Self>, name: &[u8], target: &[u8]) -> Result<Arc<HostNode>> {
        let name = c_name(name)?;
        let target = CString::new(target).or(error(libc::EINVAL))?;
        let dir = self.dir_to_change()?;
        // SAFETY: both are C strings.
        check(unsafe { libc::symlinkat(target.as_ptr(), dir.as_raw_fd(), name.as_ptr()) } as isize)?;
        let child = self.child(name.as_bytes());
        stamp::made(&child);
        stamp::modified(dir.as_raw_fd());
        Ok(child)
    }

    /// Makes a FIFO, a socket's name or (with the host's leave) a device, as `mode` says.
    pub fn make_node(
        self: &Arc<Self>,
        name: &[u8],
        mode: u32,
        (major, minor): (u32, u32),
    ) -> Result<Arc<HostNode>> {
        let name = c_name(name)?;
        let dir = self.dir_to_change()?;
        let device = libc::makedev(major, minor);
        // SAFETY: the name is a C string.
        check(unsafe { libc::mknodat(dir.as_raw_fd(), name.as_ptr(), mode, device) } as isize)?;
        let child = self.child(name.as_bytes());
        child.set_mode(mode)?;
        stamp::made(&child);
        stamp::modified(dir.as_raw_fd());
        Ok(child)
    }

    /// Gives this file another name, in `dir` of the same tree.
    pub fn link_to(&self, dir: &Arc<HostNode>, name: &[u8]) -> Result<Arc<HostNode>> {
        let (from, old) = self.place()?;
        let new = c_name(name)?;
        let to = dir.dir_to_change()?;
        // SAFETY: the names are C strings.
        check(unsafe {
            libc::linkat(from.as_raw_fd(), old.as_ptr(), to.as_raw_fd(), new.as_ptr(), 0)
        } as isize)?;
        stamp::modified(to.as_raw_fd());
        Ok(dir.child(name))
    }

    /// Moves this file to that name in `dir` of the same tree, in place of what has it, or of nothing with
    /// `no_replace`. The node and those below it stay valid.
    pub fn rename_to(&self, dir: &Arc<HostNode>, name: &[u8], no_replace: bool) -> Result<()> {
        let (from, old) = self.place()?;
        let new = c_name(name)?;
        let to = dir.dir_to_change()?;
        let flags = if no_replace { libc::RENAME_NOREPLACE } else { 0 };
        // SAFETY: the names are C strings.
        check(unsafe {
            libc::renameat2(from.as_raw_fd(), old.as_ptr(), to.as_raw_fd(), new.as_ptr(), flags)
        } as isize)?;
        *self.link.write() = Some(Link { parent: dir.clone(), name: name.into() });
        stamp::modified(from.as_raw_fd());
        stamp::modified(to.as_raw_fd());
        Ok(())
    }

    /// Removes this name: of a directory, which must be empty, if `dir`, else of anything but a directory.
    pub fn remove(&self, dir: bool) -> Result<()> {
        let (parent, name) = self.place()?;
        let flags = if dir { libc::AT_REMOVEDIR } else { 0 };
        // SAFETY: the name is a C string.
        check(unsafe { libc::unlinkat(parent.as_raw_fd(), name.as_ptr(), flags) } as isize)?;
        stamp::modified(parent.as_raw_fd());
        Ok(())
    }

    /// `chmod`, without following a symlink.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        set_mode(&self.handle()?, mode)
    }

    /// `lchown`; `None` leaves as is.
    pub fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let (uid, gid) = (uid.unwrap_or(u32::MAX), gid.unwrap_or(u32::MAX));
        let handle = self.handle()?;
        // SAFETY: an empty C string: the handle itself.
        check(unsafe {
            libc::fchownat(handle.as_raw_fd(), c"".as_ptr(), uid, gid, libc::AT_EMPTY_PATH)
        } as isize)?;
        Ok(())
    }

    /// `utimensat` without following a symlink; `None` leaves as is.
    pub fn set_times(&self, atime: Option<Timestamp>, mtime: Option<Timestamp>) -> Result<()> {
        let times = [atime, mtime].map(|time| match time {
            Some(time) => {
                libc::timespec { tv_sec: time.sec, tv_nsec: i64::from(time.nsec.min(999_999_999)) }
            }
            None => libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT },
        });
        let (parent, name) = self.place()?;
        // SAFETY: the name is a C string, and two timespecs are what is read.
        check(unsafe {
            libc::utimensat(
                parent.as_raw_fd(),
                name.as_ptr(),
                times.as_ptr(),
                libc::AT_SYMLINK_NOFOLLOW,
            )
        } as isize)?;
        Ok(())
    }

    /// `statfs` of the file system it is on.
    pub fn statfs(&self) -> Result<HostStatFs> {
        HostStatFs::of(self.handle()?.as_raw_fd())
    }

    /// Has the host store this directory's entries: `fsync`. Blocks.
    pub fn sync_dir(&self) -> Result<()> {
        let dir = self.open_fd(libc::O_RDONLY | libc::O_DIRECTORY)?;
        Mask::of_file(dir.as_fd(), true).draw(Op::Sync).check()?;
        // SAFETY: touches no memory.
        retry(|| check(unsafe { libc::fsync(dir.as_raw_fd()) } as isize)).map(drop)
    }

    /// Has the host store all of the file system that this file is on: `syncfs`. Blocks.
    pub fn sync_fs(&self) -> Result<()> {
        let fd = self.open_fd(libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY)?;
        // SAFETY: touches no memory.
        check(unsafe { libc::syncfs(fd.as_raw_fd()) } as isize).map(drop)
    }

    /// Whether this process may read (4), write (2), execute (1) it, or all that `mode` has; by its effective ids.
    pub fn check_access(&self, mode: u32) -> Result<()> {
        let handle = self.handle()?;
        let flags = libc::AT_EACCESS | libc::AT_EMPTY_PATH;
        // SAFETY: an empty C string: the handle itself.
        check(unsafe {
            libc::syscall(libc::SYS_faccessat2, handle.as_raw_fd(), c"".as_ptr(), mode & 7, flags)
        } as isize)?;
        Ok(())
    }

    /// The host path, as far as the host still calls it so; for messages.
    pub fn host_path(&self) -> Result<Vec<u8>> {
        let handle = self.handle()?;
        let path = std::fs::read_link(format!("/proc/self/fd/{}", handle.as_raw_fd()))?;
        Ok(path.into_os_string().into_encoded_bytes())
    }

    /// The path of a handle to this file, for calls that take nothing else.
    pub(super) fn with_proc_path<R>(&self, call: impl FnOnce(&CStr) -> Result<R>) -> Result<R> {
        let handle = self.handle()?;
        call(&proc_path(&handle))
    }

    /// A handle to the parent, and the name in it; the root is `.` in itself.
    fn place(&self) -> Result<(Arc<OwnedFd>, CString)> {
        match self.link.read().clone() {
            Some(link) => Ok((link.parent.dir_handle()?, c_name(&link.name)?)),
            None => Ok((self.tree.root.clone(), c".".into())),
        }
    }
}

impl fmt::Debug for HostNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut path = PathBuffer::new();
        // A path too long is shown as far as it came.
        let _ = self.append_path(&mut path);
        write!(f, "HostNode({:?})", OsStr::from_bytes(&path))
    }
}

impl Drop for HostNode {
    /// Without the recursion that a deep tree would make of it.
    fn drop(&mut self) {
        let mut link = self.link.get_mut().take();
        while let Some(Link { parent, .. }) = link {
            link = Arc::into_inner(parent).and_then(|mut parent| parent.link.get_mut().take());
        }
    }
}

fn proc_path(fd: &OwnedFd) -> CString {
    CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap_or_default()
}

/// `fchmod` of any descriptor, one that only names a file too, past the umask.
fn set_mode(fd: &OwnedFd, mode: u32) -> Result<()> {
    // SAFETY: the path is a C string.
    check(unsafe { libc::chmod(proc_path(fd).as_ptr(), mode & 0o7777) } as isize)?;
    Ok(())
}

fn open_at(dir: RawFd, path: &CStr, flags: c_int, mode: u32, contain: bool) -> Result<OwnedFd> {
    let flags = flags | libc::O_CLOEXEC;
    let open = || {
        if !contain {
            // SAFETY: the path is a C string.
            return check(unsafe { libc::openat(dir, path.as_ptr(), flags, mode) } as isize);
        }
        // SAFETY: all zeroes is an `open_how`.
        let mut how: libc::open_how = unsafe { std::mem::zeroed() };
        how.flags = flags as u64;
        how.mode = u64::from(mode);
        how.resolve =
            libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
        // SAFETY: the path is a C string, `how` lives, and its size is the one given.
        check(unsafe {
            libc::syscall(libc::SYS_openat2, dir, path.as_ptr(), &raw const how, size_of_val(&how))
        } as isize)
    };
    // A walk beneath a root that races a rename is EAGAIN: as good as interrupted.
    let fd = loop {
        match retry(open) {
            Err(error) if contain && error.would_block() => {}
            result => break result?,
        }
    };
    // SAFETY: a fresh descriptor, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Takes `linux_dirent64` records apart.
fn parse_entries(mut records: &[u8], entries: &mut Vec<DirEntry>) {
    const INO: usize = offset_of!(libc::dirent64, d_ino);
    const RECLEN: usize = offset_of!(libc::dirent64, d_reclen);
    const TYPE: usize = offset_of!(libc::dirent64, d_type);
    const NAME: usize = offset_of!(libc::dirent64, d_name);
    while let (Some(&ino), Some(&reclen), Some(&kind)) = (
        records.get(INO..).and_then(|b| b.first_chunk::<8>()),
        records.get(RECLEN..).and_then(|b| b.first_chunk::<2>()),
        records.get(TYPE),
    ) {
        let len = usize::from(u16::from_ne_bytes(reclen));
        let Some((record, rest)) = records.split_at_checked(len).filter(|_| len > NAME) else {
            return;
        };
        records = rest;
        let name = record[NAME..].split(|&byte| byte == 0).next().unwrap_or_default();
        if !matches!(name, b"" | b"." | b"..") {
            entries.push(DirEntry {
                name: name.to_vec(),
                ino: u64::from_ne_bytes(ino),
                kind: FileKind::from_dirent(kind),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn errno<T: fmt::Debug>(result: Result<T>) -> i32 {
        result.unwrap_err().errno()
    }

    fn tree() -> (tempfile::TempDir, Arc<HostNode>) {
        let dir = tempfile::tempdir().unwrap();
        let root = HostNode::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn the_whole_tree_looks_as_std_says() {
        let root = HostNode::open(Path::new("/")).unwrap();
        let mut names: Vec<_> = root.read_dir().unwrap().into_iter().map(|e| e.name).collect();
        names.sort();
        let mut expected: Vec<_> = fs::read_dir("/")
            .unwrap()
            .map(|e| e.unwrap().file_name().into_encoded_bytes())
            .collect();
        expected.sort();
        assert_eq!(names, expected);
        let (etc, stat) = root.lookup(b"etc").unwrap();
        assert_eq!(stat.kind(), FileKind::Directory);
        let (passwd, stat) = etc.lookup(b"passwd").unwrap();
        let mut bytes = vec![0; stat.size as usize];
        passwd.open_file(Access::Read).unwrap().pread(&mut bytes, 0).unwrap();
        assert_eq!(bytes, fs::read("/etc/passwd").unwrap());
        assert_eq!(passwd.host_path().unwrap(), b"/etc/passwd");
    }

    #[test]
    fn names_that_are_none_are_refused() {
        let (_dir, root) = tree();
        for (name, expected) in [
            (&b""[..], libc::ENOENT),
            (b".", libc::EINVAL),
            (b"..", libc::EINVAL),
            (b"a/b", libc::EINVAL),
            (b"a\0b", libc::EINVAL),
            (&[b'x'; 256], libc::ENAMETOOLONG),
            (b"absent", libc::ENOENT),
        ] {
            assert_eq!(errno(root.lookup(name)), expected);
        }
    }

    #[test]
    fn files_are_made_changed_moved_and_removed() {
        let (dir, root) = tree();
        let sub = root.make_dir(b"sub", 0o750).unwrap();
        assert_eq!(sub.stat().unwrap().mode & 0o7777, 0o750);
        let (node, file) = sub.create_file(b"file", 0o666).unwrap();
        assert_eq!(errno(sub.create_file(b"file", 0o666).map(|_| ())), libc::EEXIST);
        file.pwrite(b"data", 0).unwrap();
        assert_eq!(node.stat().unwrap().mode & 0o7777, 0o666);
        node.set_mode(0o4711).unwrap();
        assert_eq!(node.stat().unwrap().mode & 0o7777, 0o4711);
        node.set_times(None, Some(Timestamp { sec: -5, nsec: 7 })).unwrap();
        assert_eq!(node.stat().unwrap().mtime, Timestamp { sec: -5, nsec: 7 });
        node.check_access(4).unwrap();
        let link = node.link_to(&root, b"link").unwrap();
        assert_eq!(link.stat().unwrap().nlink, 2);
        link.remove(false).unwrap();
        assert_eq!(errno(root.remove(true)), libc::EINVAL);

        let other = root.make_dir(b"other", 0o755).unwrap();
        sub.rename_to(&other, b"moved", false).unwrap();
        assert_eq!(fs::read(dir.path().join("other/moved/file")).unwrap(), b"data");
        assert_eq!(node.stat().unwrap().size, 4);
        assert_eq!(errno(other.rename_to(&root, b"other", true)), libc::EEXIST);
        assert_eq!(errno(sub.remove(true)), libc::ENOTEMPTY);
        node.remove(false).unwrap();
        sub.remove(true).unwrap();
        assert_eq!(errno(sub.stat()), libc::ENOENT);
        assert!(other.statfs().unwrap().block_size > 0);
    }

    #[test]
    fn symlinks_are_read_and_not_followed() {
        let (_dir, root) = tree();
        let link = root.make_symlink(b"link", b"/etc/passwd").unwrap();
        assert_eq!(link.stat().unwrap().kind(), FileKind::Symlink);
        assert_eq!(link.read_link().unwrap(), b"/etc/passwd");
        assert_eq!(errno(link.open_file(Access::Read).map(|_| ())), libc::ELOOP);
        assert!(link.set_mode(0o777).is_err());
        let (file, _) = root.create_file(b"file", 0o600).unwrap();
        assert_eq!(errno(file.read_link()), libc::EINVAL);
        assert_eq!(errno(file.read_dir()), libc::ENOTDIR);
        let root = HostNode::open(Path::new("/")).unwrap();
        assert_eq!(errno(root.lookup(b"etc").unwrap().0.read_link()), libc::EINVAL);
    }

    #[test]
    fn a_directory_swapped_for_a_symlink_leads_nowhere() {
        let (dir, root) = tree();
        let sub = root.make_dir(b"sub", 0o755).unwrap();
        sub.remove(true).unwrap();
        symlink("/etc", dir.path().join("sub")).unwrap();
        assert_eq!(errno(sub.lookup(b"passwd")), libc::ENOTDIR);
        assert!(sub.create_file(b"evil", 0o600).is_err());

        let sub = root.make_dir(b"kept", 0o755).unwrap();
        let below = sub.make_dir(b"below", 0o755).unwrap();
        assert_eq!(errno(below.lookup(b"passwd")), libc::ENOENT);
        fs::rename(dir.path().join("kept"), dir.path().join("moved")).unwrap();
        symlink("/", dir.path().join("kept")).unwrap();
        assert_eq!(errno(sub.lookup(b"etc")), libc::ENOENT);
        let (file, _) = below.create_file(b"file", 0o600).unwrap();
        assert!(dir.path().join("moved/below/file").exists(), "{file:?}");
    }

    #[test]
    fn few_directories_are_kept_open_and_all_can_be_used() {
        let (_dir, root) = tree();
        let name = |number: usize| format!("dir{number}").into_bytes();
        let dirs: Vec<_> =
            (0..3 * KEPT).map(|number| root.make_dir(&name(number), 0o755).unwrap()).collect();
        for _ in 0..2 {
            for dir in &dirs {
                let (file, _) = dir.create_file(b"file", 0o600).unwrap();
                file.remove(false).unwrap();
            }
            let kept = dirs.iter().filter(|dir| dir.dir.lock().is_some()).count();
            assert!((1..=KEPT).contains(&kept), "{kept}");
        }
        assert!(root.tree.kept.lock().len() <= KEPT);
    }

    #[test]
    fn a_root_may_be_a_file_and_a_fifo_does_not_block() {
        let (dir, root) = tree();
        fs::write(dir.path().join("file"), "x").unwrap();
        let file = HostNode::open(&dir.path().join("file")).unwrap();
        assert_eq!(file.stat().unwrap().size, 1);
        let fifo = root.make_node(b"fifo", libc::S_IFIFO | 0o600, (0, 0)).unwrap();
        assert_eq!(fifo.stat().unwrap().kind(), FileKind::Fifo);
        fifo.open_file(Access::Read).unwrap();
        assert_eq!(errno(fifo.open_file(Access::Write).map(|_| ())), libc::ENXIO);
        let entries = root.read_dir().unwrap();
        assert!(entries.iter().any(|e| e.name == b"fifo" && e.kind == FileKind::Fifo));
    }

    #[test]
    fn a_tree_too_deep_for_a_path_is_an_error() {
        let (_dir, root) = tree();
        let mut deep = root;
        for _ in 0..100_000 {
            deep = deep.child(b"d");
        }
        assert_eq!(errno(deep.stat()), libc::ENAMETOOLONG);
        drop(deep);
    }

    #[test]
    fn a_large_directory_is_read_in_full() {
        let (dir, root) = tree();
        for i in 0..3000 {
            fs::write(dir.path().join(format!("a-file-with-a-long-name-{i}")), "").unwrap();
        }
        assert_eq!(root.read_dir().unwrap().len(), 3000);
    }
}
