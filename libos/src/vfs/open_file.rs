//! Open files: what a descriptor refers to.
//!
//! The one idea: an [`OpenFile`] is Linux's *open file description*, holding position, status flags and the path it
//! was opened by, and what does its I/O is either an [`Inode`] (files, directories) or a [`File`] (pipes, devices,
//! sockets, event queues).

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use kernel_objects::{Vmo, WaitQueue};
use linux_raw_sys::{general as raw, ioctl};
use parking_lot::Mutex;

use super::buf::{GuestMemory, IoDst, IoSrc};
use super::file::{CloseWatcher, File};
use super::inode::{DirEntry, DirSink, FIRST_COOKIE, Inode};
use super::metadata::{FileType, Metadata, StatFs};
use super::mount::Path;
use super::notify;
use super::readiness::PollEvents;
use super::reopen::Reopen;
use super::seek::Whence;
use super::writers::Use;
use crate::errno::{Errno, SysResult};
use crate::net::Socket;
use crate::signal::async_io::Readiness;

/// The status flags that fcntl(2) `F_SETFL` can change.
pub const SETTABLE_FLAGS: u32 =
    raw::O_APPEND | raw::O_NONBLOCK | raw::FASYNC | raw::O_DIRECT | raw::O_NOATIME;

/// What does an open file's I/O.
enum Object {
    Inode(Arc<dyn Inode>),
    File(Arc<dyn File>),
}

/// What fstatfs(2) calls the file system of pipes and other files without a place.
const PIPEFS_MAGIC: u64 = 0x5049_5045;

/// An open file description (open(2)).
pub struct OpenFile {
    object: Object,
    /// Where it was found; `None` for files that never had a name.
    path: Option<Path>,
    /// The status flags: `O_APPEND`, `O_NONBLOCK` and so on, without the access mode.
    flags: AtomicU32,
    readable: bool,
    writable: bool,
    /// `O_PATH`: a place, not a file.
    path_only: bool,
    seekable: bool,
    /// Whether reads and writes need the position.
    positioned: bool,
    /// Whether it is a terminal.
    terminal: bool,
    position: Mutex<u64>,
    watchers: Mutex<Vec<Weak<dyn CloseWatcher>>>,
    /// It was opened by open(2): who watches the file is told what is done with it.
    announced: AtomicBool,
    /// Whom its readiness is told by signals, once somebody has said so.
    readiness: OnceLock<Box<Readiness>>,
    /// Keeps it from being run while it is written to, or the other way round.
    _exclusive: Option<Use>,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        for watcher in std::mem::take(self.watchers.get_mut()) {
            if let Some(watcher) = watcher.upgrade() {
                watcher.closed(self);
            }
        }
        if let Some(readiness) = self.readiness.get() {
            readiness.unwatch(self);
        }
        self.tell(if self.writable { raw::IN_CLOSE_WRITE } else { raw::IN_CLOSE_NOWRITE });
    }
}

impl OpenFile {
    fn new(object: Object, path: Option<Path>, flags: u32, exclusive: Option<Use>) -> Arc<Self> {
        let path_only = flags & raw::O_PATH != 0;
        let (seekable, positioned) = match &object {
            Object::Inode(_) => (true, true),
            Object::File(file) => (file.seeking().is_allowed(), file.seeking().has_position()),
        };
        let terminal = matches!(&object, Object::File(file) if file.is_terminal());
        let access = flags & raw::O_ACCMODE;
        let flags = if path_only {
            flags & (raw::O_PATH | raw::O_DIRECTORY | raw::O_NOFOLLOW)
        } else {
            flags
        };
        let status = flags
            & !(raw::O_ACCMODE
                | raw::O_CREAT
                | raw::O_EXCL
                | raw::O_NOCTTY
                | raw::O_TRUNC
                | raw::O_CLOEXEC);
        Arc::new(Self {
            object,
            path,
            flags: AtomicU32::new(status),
            readable: !path_only && (access == raw::O_RDONLY || access == raw::O_RDWR),
            writable: !path_only && (access == raw::O_WRONLY || access == raw::O_RDWR),
            path_only,
            seekable,
            positioned,
            terminal,
            position: Mutex::new(0),
            watchers: Mutex::new(Vec::new()),
            announced: AtomicBool::new(false),
            readiness: OnceLock::new(),
            _exclusive: exclusive,
        })
    }

    /// Has `watcher` told when the file is gone.
    pub fn watch_close(&self, watcher: Weak<dyn CloseWatcher>) {
        self.watchers.lock().push(watcher);
    }

    /// Ends [`watch_close`](Self::watch_close).
    pub fn unwatch_close(&self, watcher: &Weak<dyn CloseWatcher>) {
        self.watchers.lock().retain(|other| !other.ptr_eq(watcher));
    }

    /// Whom its readiness is told by signals.
    pub fn readiness(&self) -> &Readiness {
        self.readiness.get_or_init(Box::default)
    }

    /// Tells who watches the file that it was opened, and from now on what is done with it.
    pub fn announce(&self) {
        self.announced.store(true, Ordering::Relaxed);
        self.tell(raw::IN_OPEN);
    }

    /// Tells who watches the file that `event` has happened.
    pub(super) fn tell(&self, event: notify::EventMask) {
        if self.announced.load(Ordering::Relaxed)
            && let Some(path) = &self.path
        {
            notify::file(path, event);
        }
    }

    /// Tells of a transfer that moved something.
    fn transferred(&self, done: SysResult, event: notify::EventMask) -> SysResult {
        if matches!(done, Ok(1..)) {
            self.tell(event);
        }
        done
    }

    /// An open file whose content is its inode's. `flags` are those of open(2).
    pub fn from_path(path: Path, flags: u32) -> Arc<Self> {
        let inode = path.inode().clone();
        Self::new(Object::Inode(inode), Some(path), flags, None)
    }

    /// As [`from_path`](Self::from_path), for a file that is opened for writing if `flags` say so: `ETXTBSY` while it runs.
    pub fn from_path_for_use(path: Path, flags: u32) -> SysResult<Arc<Self>> {
        let inode = path.inode().clone();
        let writes = flags & raw::O_ACCMODE != raw::O_RDONLY && flags & raw::O_PATH == 0;
        let exclusive = if writes { Use::write(&inode)? } else { None };
        Ok(Self::new(Object::Inode(inode), Some(path), flags, exclusive))
    }

    /// A program to be run: `ETXTBSY` while it is open for writing. Nobody opens it for that until this is gone.
    pub fn for_running(path: Path) -> SysResult<Arc<Self>> {
        let inode = path.inode().clone();
        let exclusive = Use::run(&inode)?;
        Ok(Self::new(Object::Inode(inode), Some(path), raw::O_RDONLY, exclusive))
    }

    /// An open file of an inode that no path leads to: a memfd.
    pub fn from_inode(inode: Arc<dyn Inode>, flags: u32) -> Arc<Self> {
        Self::new(Object::Inode(inode), None, flags, None)
    }

    /// An open file whose I/O `file` does, found at `path` if it has one.
    pub fn from_file(file: Arc<dyn File>, path: Option<Path>, flags: u32) -> Arc<Self> {
        Self::new(Object::File(file), path, flags, None)
    }

    /// Where the file was found.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_ref()
    }

    /// The place that a link to this descriptor in /proc leads to: for a file that never had a name, one that only
    /// opening it again and asking for its attributes can use.
    pub fn place(&self) -> SysResult<Path> {
        match (&self.path, &self.object) {
            (Some(path), _) => Ok(path.clone()),
            (None, Object::Inode(inode)) => Ok(Path::detached(inode.clone())),
            (None, Object::File(file)) => {
                Ok(Path::detached(Arc::new(Reopen { file: file.clone(), flags: self.flags() })))
            }
        }
    }

    /// The inode, where there is one.
    pub fn inode(&self) -> Option<&Arc<dyn Inode>> {
        match &self.object {
            Object::Inode(inode) => Some(inode),
            Object::File(_) => self.path.as_ref().map(Path::inode),
        }
    }

    /// The special object that does the I/O, if it is one of type `T`.
    pub fn downcast<T: File>(&self) -> Option<&T> {
        match &self.object {
            Object::File(file) => (&**file as &dyn Any).downcast_ref(),
            Object::Inode(_) => None,
        }
    }

    /// The special object that does the I/O.
    pub fn special(&self) -> Option<&Arc<dyn File>> {
        match &self.object {
            Object::File(file) => Some(file),
            Object::Inode(_) => None,
        }
    }

    /// Whether it was opened for reading.
    pub fn readable(&self) -> bool {
        self.readable
    }

    /// Whether it was opened for writing.
    pub fn writable(&self) -> bool {
        self.writable
    }

    /// Whether it was opened with `O_PATH`: then nearly every call on it is `EBADF`.
    pub fn is_path_only(&self) -> bool {
        self.path_only
    }

    /// Whether it has a position.
    pub fn seekable(&self) -> bool {
        self.seekable
    }

    /// Whether what is read or written depends on the position.
    pub fn positioned(&self) -> bool {
        self.positioned
    }

    /// Whether it is a terminal, or the master of one.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether one attempt says all about a transfer that has not to wait: neither a position nor a caller in the background is to be thought of.
    pub fn is_simple(&self) -> bool {
        !self.positioned && !self.terminal
    }

    /// Whether it can be read and written at an offset.
    pub fn has_offsets(&self) -> bool {
        match &self.object {
            Object::Inode(_) => true,
            Object::File(file) => file.seeking().has_offsets(),
        }
    }

    /// Whether there is something in it to read, or to write: `EINVAL` if not, as in a set of epoll(7).
    pub fn check_transfers(&self, write: bool) -> SysResult<()> {
        let (reads, writes) = match &self.object {
            Object::Inode(_) => (true, true),
            Object::File(file) => file.transfers(),
        };
        if if write { writes } else { reads } { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Whether a call on it may wait.
    pub fn nonblocking(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & raw::O_NONBLOCK != 0
    }

    /// What fcntl(2) `F_GETFL` tells: status flags and access mode.
    pub fn flags(&self) -> u32 {
        let access = match (self.readable, self.writable) {
            (true, true) => raw::O_RDWR,
            (false, true) => raw::O_WRONLY,
            _ => raw::O_RDONLY,
        };
        self.flags.load(Ordering::Relaxed) | access
    }

    /// fcntl(2) `F_SETFL`: replaces those flags that can be changed.
    pub fn set_flags(&self, flags: u32) -> SysResult<()> {
        if self.path_only {
            return Err(Errno::EBADF);
        }
        if let Object::File(file) = &self.object {
            file.set_flags(flags)?;
        }
        let old = self.flags.load(Ordering::Relaxed);
        self.flags.store((old & !SETTABLE_FLAGS) | (flags & SETTABLE_FLAGS), Ordering::Relaxed);
        Ok(())
    }

    /// read(2) and readv(2): from the position, which moves on. `EAGAIN` if it would wait, for a disk too: then
    /// [`fetch`](Self::fetch) helps.
    pub fn read(&self, dst: &mut IoDst<'_>) -> SysResult {
        if !self.readable {
            return Err(Errno::EBADF);
        }
        let done = self.read_here(dst);
        self.transferred(done, raw::IN_ACCESS)
    }

    fn read_here(&self, dst: &mut IoDst<'_>) -> SysResult {
        match &self.object {
            Object::File(file) if !self.positioned => file.read(0, dst),
            object => {
                let mut position = self.position.lock();
                let done = match object {
                    Object::File(file) => file.read(*position, dst)?,
                    Object::Inode(inode) => inode.read_at(*position, dst)?,
                };
                *position = position.saturating_add(done as u64);
                Ok(done)
            }
        }
    }

    /// Brings up to `len` bytes from `offset` on into memory, which a read found [cold](IoDst::is_cold). Waits for a disk.
    pub fn fetch(&self, offset: u64, len: u64) -> SysResult<()> {
        match &self.object {
            Object::Inode(inode) => inode.fetch(offset, len),
            Object::File(file) => file.fetch(offset, len),
        }
    }

    /// write(2) and writev(2): at the position, which moves on, or at the end with `O_APPEND`.
    pub fn write(&self, src: &mut IoSrc<'_>) -> SysResult {
        if !self.writable {
            return Err(Errno::EBADF);
        }
        let done = self.write_here(src);
        self.transferred(done, raw::IN_MODIFY)
    }

    fn write_here(&self, src: &mut IoSrc<'_>) -> SysResult {
        match &self.object {
            Object::File(file) if !self.positioned => file.write(0, src),
            Object::File(file) => {
                let mut position = self.position.lock();
                let done = file.write(*position, src)?;
                *position = position.saturating_add(done as u64);
                Ok(done)
            }
            Object::Inode(inode) => {
                let mut position = self.position.lock();
                if self.flags.load(Ordering::Relaxed) & raw::O_APPEND != 0 {
                    let (done, end) = inode.append(src)?;
                    *position = end;
                    return Ok(done);
                }
                let done = inode.write_at(*position, src)?;
                *position = position.saturating_add(done as u64);
                Ok(done)
            }
        }
    }

    /// pread(2) and preadv(2). `ESPIPE` without a position.
    pub fn read_at(&self, offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        if !self.has_offsets() {
            return Err(Errno::ESPIPE);
        }
        if !self.readable {
            return Err(Errno::EBADF);
        }
        let done = match &self.object {
            Object::Inode(inode) => inode.read_at(offset, dst),
            Object::File(file) => file.read(offset, dst),
        };
        self.transferred(done, raw::IN_ACCESS)
    }

    /// pwrite(2) and pwritev(2). As on Linux, `O_APPEND` wins over `offset`.
    pub fn write_at(&self, offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        if !self.has_offsets() {
            return Err(Errno::ESPIPE);
        }
        if !self.writable {
            return Err(Errno::EBADF);
        }
        let done = match &self.object {
            Object::Inode(inode) if self.flags.load(Ordering::Relaxed) & raw::O_APPEND != 0 => {
                inode.append(src).map(|(done, _)| done)
            }
            Object::Inode(inode) => inode.write_at(offset, src),
            Object::File(file) => file.write(offset, src),
        };
        self.transferred(done, raw::IN_MODIFY)
    }

    /// pwritev2(2) with `RWF_APPEND`: at the end, whatever the position is; it moves behind what was written if `moves`.
    pub fn append(&self, src: &mut IoSrc<'_>, moves: bool) -> SysResult {
        if !self.writable {
            return Err(Errno::EBADF);
        }
        let done = match &self.object {
            Object::Inode(inode) if moves => {
                let mut position = self.position.lock();
                let (done, end) = inode.append(src)?;
                *position = end;
                Ok(done)
            }
            Object::Inode(inode) => inode.append(src).map(|(done, _)| done),
            // What has no position has one end.
            Object::File(_) if moves => self.write_here(src),
            Object::File(file) if self.seekable => file.write(file.size()?, src),
            Object::File(_) => Err(Errno::ESPIPE),
        };
        self.transferred(done, raw::IN_MODIFY)
    }

    /// lseek(2): the new position.
    pub fn seek(&self, offset: i64, whence: Whence) -> SysResult<u64> {
        if self.path_only {
            return Err(Errno::EBADF);
        }
        if !self.seekable {
            return Err(Errno::ESPIPE);
        }
        if let (Object::File(file), false) = (&self.object, self.positioned) {
            // Wherever it is to go, it stays where it is.
            return file.seek(0);
        }
        let mut position = self.position.lock();
        let base = match (whence, &self.object) {
            (Whence::Start, _) => 0,
            (Whence::Current, _) => *position,
            (Whence::End, Object::Inode(inode)) if inode.kind().is_dir() => 0,
            (Whence::End, Object::Inode(inode)) => inode.size()?,
            (Whence::End, Object::File(file)) => file.size()?,
            (Whence::Data | Whence::Hole, Object::Inode(inode)) => {
                let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
                *position = inode.seek_data(offset, whence == Whence::Hole)?;
                return Ok(*position);
            }
            (Whence::Data | Whence::Hole, Object::File(_)) => return Err(Errno::EINVAL),
        };
        let target = base.checked_add_signed(offset).filter(|&at| at <= i64::MAX as u64);
        let target = target.ok_or(Errno::EINVAL)?;
        *position = match &self.object {
            Object::File(file) => file.seek(target)?,
            Object::Inode(_) => target,
        };
        Ok(*position)
    }

    /// The position; 0 where there is none.
    pub fn position(&self) -> u64 {
        *self.position.lock()
    }

    /// fstat(2).
    pub fn metadata(&self) -> SysResult<Metadata> {
        if let Object::File(file) = &self.object
            && let Some(metadata) = file.metadata()
        {
            return metadata;
        }
        self.inode().map_or_else(|| Ok(Metadata::anonymous()), |inode| inode.metadata())
    }

    /// ftruncate(2). `EINVAL` if not open for writing or not a regular file.
    pub fn truncate(&self, size: u64) -> SysResult<()> {
        if self.path_only {
            return Err(Errno::EBADF);
        }
        match &self.object {
            Object::Inode(inode) if self.writable && inode.kind() == FileType::Regular => {
                inode.resize(size)?;
            }
            Object::File(file) if self.writable => file.resize(size)?,
            _ => return Err(Errno::EINVAL),
        }
        self.tell(raw::IN_MODIFY);
        Ok(())
    }

    /// fsync(2) and fdatasync(2).
    pub fn sync(&self, data_only: bool) -> SysResult<()> {
        if self.path_only {
            return Err(Errno::EBADF);
        }
        match &self.object {
            Object::Inode(inode) => inode.sync(data_only),
            Object::File(file) => file.sync(data_only),
        }
    }

    /// Whether [`sync`](Self::sync) waits for a disk.
    pub fn is_on_host(&self) -> bool {
        match &self.object {
            Object::Inode(inode) => inode.is_on_host(),
            Object::File(file) => file.is_on_host(),
        }
    }

    /// [`File::edges_are_late`]
    pub fn edges_are_late(&self) -> bool {
        matches!(&self.object, Object::File(file) if file.edges_are_late())
    }

    /// fallocate(2).
    pub fn allocate(&self, mode: u32, offset: u64, len: u64) -> SysResult<()> {
        if !self.writable {
            return Err(Errno::EBADF);
        }
        match &self.object {
            Object::Inode(inode) if inode.kind() == FileType::Regular => {
                inode.allocate(mode, offset, len)?;
            }
            Object::Inode(_) => return Err(Errno::ENODEV),
            Object::File(_) if self.seekable => return Err(Errno::ENODEV),
            Object::File(_) => return Err(Errno::ESPIPE),
        }
        self.tell(raw::IN_MODIFY);
        Ok(())
    }

    /// What poll(2) sees now.
    pub fn poll(&self) -> PollEvents {
        match &self.object {
            Object::Inode(_) => PollEvents::ALWAYS,
            Object::File(file) => file.poll(),
        }
    }

    /// The pages that mmap(2) shows from `offset` on, and where in them that is; `ENODEV` for files that cannot be mapped.
    pub fn shown(&self, offset: u64) -> SysResult<(Arc<Vmo>, u64)> {
        match &self.object {
            Object::Inode(inode) => Ok((inode.vmo()?, offset)),
            Object::File(file) => file.shown(offset),
        }
    }

    /// fstatfs(2). Files without a place are as on a pseudo file system.
    pub fn statfs(&self) -> SysResult<StatFs> {
        match &self.path {
            Some(path) => super::ops::statfs(path),
            None => Ok(StatFs {
                magic: PIPEFS_MAGIC,
                block_size: 4096,
                name_max: 255,
                ..StatFs::default()
            }),
        }
    }

    /// The queue notified when [`poll`](Self::poll) may have changed; `None` if it never does.
    pub fn wait_queue(&self) -> Option<&WaitQueue> {
        match &self.object {
            Object::Inode(_) => None,
            Object::File(file) => file.wait_queue(),
        }
    }

    /// Whether a call that wants `events` would most likely have to wait; see [`File::likely_waits`].
    pub fn likely_waits(&self, events: PollEvents) -> bool {
        self.special().is_some_and(|file| file.likely_waits(events))
    }

    /// How long a call waits that wants `events`; see [`File::wait_limit`].
    pub fn wait_limit(&self, events: PollEvents) -> Option<u64> {
        self.special().and_then(|file| file.wait_limit(events))
    }

    /// The socket that it is. `ENOTSOCK`.
    pub fn socket(&self) -> SysResult<&dyn Socket> {
        self.special().and_then(|file| file.socket()).ok_or(Errno::ENOTSOCK)
    }

    /// Whether a writer gets SIGPIPE together with `EPIPE`.
    pub fn signals_broken_pipe(&self) -> bool {
        self.special().is_none_or(|file| file.signals_broken_pipe())
    }

    /// Whether the opener still has to wait for the other side; see [`File::open_pending`].
    pub fn open_pending(&self) -> bool {
        self.special().is_some_and(|file| file.open_pending())
    }

    /// Whether a blocking write goes on until all bytes are written.
    pub fn writes_fully(&self) -> bool {
        self.special().is_some_and(|file| file.writes_fully())
    }

    /// Whether one attempt to write `len` bytes is all that a blocking write of them does.
    pub fn takes_whole(&self, len: usize) -> bool {
        self.special().is_none_or(|file| file.takes_whole(len))
    }

    /// What the link in /proc/PID/fd says, with paths as seen from `root`.
    pub fn link_text(&self, root: &Path) -> Vec<u8> {
        match (&self.path, &self.object) {
            (Some(path), _) => path.to_bytes(root),
            (None, Object::File(file)) => file.link_text(),
            (None, Object::Inode(_)) => b"/memfd: (deleted)".to_vec(),
        }
    }

    /// An ioctl(2) that is not about the descriptor (`FIOCLEX`, `FIONBIO` are the system-call layer's).
    pub fn ioctl(&self, command: u32, arg: u64, memory: &dyn GuestMemory) -> SysResult {
        if self.path_only {
            return Err(Errno::EBADF);
        }
        match &self.object {
            Object::File(file) => file.ioctl(command, arg, memory),
            Object::Inode(inode)
                if command == ioctl::FIONREAD && inode.kind() == FileType::Regular =>
            {
                let left = inode.size()?.saturating_sub(self.position());
                let left = i32::try_from(left).unwrap_or(i32::MAX);
                memory.write(arg, &left.to_ne_bytes())?;
                Ok(0)
            }
            // No file system here shares blocks between files.
            Object::Inode(inode)
                if matches!(command, ioctl::FICLONE | ioctl::FICLONERANGE)
                    && inode.kind() == FileType::Regular =>
            {
                Err(Errno::EOPNOTSUPP)
            }
            Object::Inode(_) => Err(Errno::ENOTTY),
        }
    }

    /// Gives directory entries from the position on to `sink`, `.` and `..` first (getdents64(2)).
    ///
    /// The position ends after the last entry that `sink` took. `ENOTDIR` for other files.
    pub fn read_dir(&self, sink: &mut DirSink<'_>) -> SysResult<()> {
        let (Object::Inode(inode), Some(path)) = (&self.object, &self.path) else {
            return Err(Errno::ENOTDIR);
        };
        if !inode.kind().is_dir() {
            return Err(Errno::ENOTDIR);
        }
        if path.dentry().is_unlinked() {
            return Err(Errno::ENOENT);
        }
        let mut position = self.position.lock();
        if *position == 0 {
            let ino = inode.metadata()?.ino;
            let dot = DirEntry { name: b".", ino, kind: FileType::Directory, next: 1 };
            if !sink(&dot) {
                return Ok(());
            }
            *position = 1;
        }
        if *position == 1 {
            let ino = path.parent().inode().metadata()?.ino;
            let next = FIRST_COOKIE;
            let dots = DirEntry { name: b"..", ino, kind: FileType::Directory, next };
            if !sink(&dots) {
                return Ok(());
            }
            *position = FIRST_COOKIE;
        }
        let mut reached = *position;
        let result = inode.read_dir(reached, &mut |entry| {
            let taken = sink(entry);
            if taken {
                reached = entry.next;
            }
            taken
        });
        *position = reached;
        drop(position);
        result?;
        self.tell(raw::IN_ACCESS);
        Ok(())
    }
}
