//! Host directories that are let through: `--bind`.
//!
//! The one idea: the host is the truth and may change at any time, so nothing but page caches is kept: each lookup and each
//! stat asks the host. A file in use is one inode as long as it is in use, by its host identity, which keeps
//! mappings of it coherent with each other and with reads and writes.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use hal::host::{self, HostNode};
use hal::pmem::PhysicalMemory;
use kernel_objects::vmo::Vmo;
use parking_lot::Mutex;

use super::buf::{IoDst, IoSrc, host_errno};
use super::devices;
use super::file::File;
use super::host_content::{self, FilePool, HostContent};
use super::inode::{DirEntry, DirSink, FIRST_COOKIE, FileSystem, Inode, NewNode, RenameFlags};
use super::metadata::{AttributeChange, DeviceNumber, FileType, Metadata, StatFs, Timespec};
use super::pipe::Fifo;
use super::writers::Writers;
use crate::errno::{Errno, SysResult};
use crate::net::unix::Binding;

type HostId = (u64, u64);

struct Shared {
    memory: Arc<PhysicalMemory>,
    pool: Arc<FilePool>,
    read_only: bool,
    known: Mutex<HashMap<HostId, Weak<Node>>>,
    /// Nodes that are or were mapped: a mapping knows the pages only, and what is written to them later is for the host.
    mapped: Mutex<Vec<Arc<Node>>>,
}

impl Shared {
    /// Lets go of nodes that are not mapped any more, which writes them back.
    fn prune(&self) {
        let mut unmapped = Vec::new();
        self.mapped.lock().retain(|node| {
            let mapped = node.content.as_ref().is_some_and(HostContent::is_mapped);
            if !mapped {
                unmapped.push(node.clone());
            }
            mapped
        });
        // Dropped without the lock.
    }
}

/// A tree of host files, or one host file.
pub struct HostFs {
    root: Arc<Node>,
    device: DeviceNumber,
}

impl HostFs {
    /// The tree at `node`.
    pub fn new(
        memory: &Arc<PhysicalMemory>,
        node: Arc<HostNode>,
        read_only: bool,
    ) -> SysResult<Arc<Self>> {
        let shared = Arc::new(Shared {
            memory: memory.clone(),
            pool: Arc::default(),
            read_only,
            known: Mutex::default(),
            mapped: Mutex::default(),
        });
        let metadata = host_content::metadata(&node.stat().map_err(host_errno)?);
        let root = Node::get(&shared, node, &metadata);
        Ok(Arc::new(Self { root, device: metadata.dev }))
    }
}

impl FileSystem for HostFs {
    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn type_name(&self) -> &'static str {
        "hostfs"
    }

    fn device(&self) -> DeviceNumber {
        self.device
    }

    fn has_handles(&self) -> bool {
        true
    }

    fn statfs(&self) -> SysResult<StatFs> {
        self.root.host.statfs().map(|stat| host_content::statfs(&stat)).map_err(host_errno)
    }

    fn sync(&self) -> SysResult<()> {
        let shared = &self.root.shared;
        if shared.read_only {
            return Ok(());
        }
        let mapped = shared.mapped.lock().clone();
        mapped.iter().try_for_each(|node| node.write_back())?;
        self.root.host.sync_fs().map_err(host_errno)
    }
}

struct Node {
    shared: Arc<Shared>,
    me: Weak<Node>,
    id: HostId,
    kind: FileType,
    rdev: DeviceNumber,
    host: Arc<HostNode>,
    content: Option<HostContent>,
    listing: Mutex<Arc<Vec<host::DirEntry>>>,
    /// The directory found here last, so that what is kept to reach its files is there the next time.
    latest: Mutex<Option<Arc<Node>>>,
    fifo: Fifo,
    socket: Binding,
    writers: Writers,
}

impl Node {
    fn get(shared: &Arc<Shared>, host: Arc<HostNode>, metadata: &Metadata) -> Arc<Self> {
        shared.prune();
        let id = (metadata.dev.0, metadata.ino);
        let known = shared.known.lock().get(&id).and_then(Weak::upgrade);
        if let Some(node) = known
            && node.kind == metadata.kind
        {
            return node;
        }
        let writable = !shared.read_only;
        let content = (metadata.kind == FileType::Regular)
            .then(|| HostContent::new(host.clone(), &shared.memory, &shared.pool, writable));
        let node = Arc::new_cyclic(|me| Self {
            shared: shared.clone(),
            me: me.clone(),
            id,
            kind: metadata.kind,
            rdev: metadata.rdev,
            host,
            content,
            listing: Mutex::default(),
            latest: Mutex::default(),
            fifo: Fifo::new(&shared.memory),
            socket: Binding::default(),
            writers: Writers::default(),
        });
        shared.known.lock().insert(id, Arc::downgrade(&node));
        node
    }

    fn writable(&self) -> SysResult<()> {
        if self.shared.read_only { Err(Errno::EROFS) } else { Ok(()) }
    }

    fn child(&self, host: Arc<HostNode>) -> SysResult<Arc<Node>> {
        let metadata = host_content::metadata(&host.stat().map_err(host_errno)?);
        Ok(Node::get(&self.shared, host, &metadata))
    }

    /// Hands the host what was written through mappings.
    fn write_back(&self) -> SysResult<()> {
        match &self.content {
            Some(content) => content.write_back(self.size()?),
            None => Ok(()),
        }
    }

    fn content(&self) -> SysResult<&HostContent> {
        match &self.content {
            Some(content) => Ok(content),
            None if self.kind.is_dir() => Err(Errno::EISDIR),
            None => Err(Errno::EINVAL),
        }
    }
}

impl Inode for Node {
    fn kind(&self) -> FileType {
        self.kind
    }

    fn metadata(&self) -> SysResult<Metadata> {
        // An open file may have lost its name; its descriptor still tells.
        match self.host.stat() {
            Ok(stat) if (host_content::metadata(&stat).dev.0, stat.ino) == self.id => {
                Ok(host_content::metadata(&stat))
            }
            result => match &self.content {
                Some(content) => {
                    content.file()?.stat().map(|s| host_content::metadata(&s)).map_err(host_errno)
                }
                None => result.map(|s| host_content::metadata(&s)).map_err(host_errno),
            },
        }
    }

    fn set_attributes(&self, change: &AttributeChange) -> SysResult<()> {
        self.writable()?;
        let time = |at: Timespec| host::Timestamp { sec: at.sec, nsec: at.nsec };
        if change.uid.is_some() || change.gid.is_some() {
            self.host.set_owner(change.uid, change.gid).map_err(host_errno)?;
        }
        if let Some(mode) = change.mode {
            self.host.set_mode(mode).map_err(host_errno)?;
        }
        if change.atime.is_some() || change.mtime.is_some() {
            self.host
                .set_times(change.atime.map(time), change.mtime.map(time))
                .map_err(host_errno)?;
        }
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> SysResult<Arc<dyn Inode>> {
        if !self.kind.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        let (host, stat) = self.host.lookup(name).map_err(host_errno)?;
        let node = Node::get(&self.shared, host, &host_content::metadata(&stat));
        if node.kind.is_dir() {
            let before = self.latest.lock().replace(node.clone());
            drop(before);
        }
        Ok(node)
    }

    fn caches_entries(&self) -> bool {
        false
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        self.writable()?;
        let dir = &self.host;
        let host = match node.kind {
            FileType::Regular => dir.create_file(name, node.mode).map(|(host, _)| host),
            FileType::Directory => dir.make_dir(name, node.mode),
            FileType::Symlink => dir.make_symlink(name, node.target),
            kind => {
                let rdev = (node.rdev.major(), node.rdev.minor());
                dir.make_node(name, kind.mode_bits() | node.mode, rdev)
            }
        };
        let host = host.map_err(host_errno)?;
        // Best effort: an ordinary user on the host cannot give files away.
        let _ = host.set_owner(Some(node.uid), Some(node.gid));
        Ok(self.child(host)?)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> SysResult<()> {
        self.writable()?;
        let target: &dyn Any = &**target;
        let target = target.downcast_ref::<Node>().ok_or(Errno::EXDEV)?;
        target.host.link_to(&self.host, name).map_err(host_errno)?;
        Ok(())
    }

    fn unlink(&self, name: &[u8]) -> SysResult<()> {
        self.writable()?;
        let (host, stat) = self.host.lookup(name).map_err(host_errno)?;
        // Whoever has it in use goes on with its descriptor.
        let node = Node::get(&self.shared, host, &host_content::metadata(&stat));
        if let Some(content) = &node.content
            && Arc::strong_count(&node) > 1
        {
            content.file()?;
        }
        node.host.remove(false).map_err(host_errno)
    }

    fn rmdir(&self, name: &[u8]) -> SysResult<()> {
        self.writable()?;
        let (host, _) = self.host.lookup(name).map_err(host_errno)?;
        host.remove(true).map_err(host_errno)
    }

    fn rename(
        &self,
        name: &[u8],
        new_dir: &Arc<dyn Inode>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> SysResult<()> {
        self.writable()?;
        if flags.contains(RenameFlags::EXCHANGE) {
            return Err(Errno::EINVAL);
        }
        let new_dir: &dyn Any = &**new_dir;
        let new_dir = new_dir.downcast_ref::<Node>().ok_or(Errno::EXDEV)?;
        let (host, stat) = self.host.lookup(name).map_err(host_errno)?;
        let node = Node::get(&self.shared, host, &host_content::metadata(&stat));
        let no_replace = flags.contains(RenameFlags::NOREPLACE);
        node.host.rename_to(&new_dir.host, new_name, no_replace).map_err(host_errno)
    }

    fn read_dir(&self, cookie: u64, sink: &mut DirSink<'_>) -> SysResult<()> {
        if cookie <= FIRST_COOKIE || self.listing.lock().is_empty() {
            let fresh = self.host.read_dir().map_err(host_errno)?;
            *self.listing.lock() = Arc::new(fresh);
        }
        let listing = self.listing.lock().clone();
        let first = usize::try_from(cookie.saturating_sub(FIRST_COOKIE)).unwrap_or(usize::MAX);
        for (index, entry) in listing.iter().enumerate().skip(first) {
            let kind = match host_content::entry_kind(entry.kind) {
                Some(kind) => kind,
                None => match self.lookup(&entry.name) {
                    Ok(inode) => inode.kind(),
                    Err(_) => continue,
                },
            };
            let next = FIRST_COOKIE + index as u64 + 1;
            if !sink(&DirEntry { name: &entry.name, ino: entry.ino, kind, next }) {
                break;
            }
        }
        Ok(())
    }

    fn read_link(&self) -> SysResult<Vec<u8>> {
        self.host.read_link().map_err(host_errno)
    }

    fn read_at(&self, offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        let content = self.content()?;
        let size = if content.is_cached() { self.size()? } else { u64::MAX };
        content.read_at(offset, size, dst)
    }

    fn fetch(&self, offset: u64, len: u64) -> SysResult<()> {
        self.content()?.fetch(offset, len)
    }

    fn write_at(&self, offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        self.writable()?;
        self.content()?.write_at(offset, src)
    }

    fn append(&self, src: &mut IoSrc<'_>) -> SysResult<(usize, u64)> {
        self.writable()?;
        self.content()?.append(self.size()?, src)
    }

    fn resize(&self, size: u64) -> SysResult<()> {
        self.writable()?;
        self.content()?.resize(size)
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> SysResult<()> {
        self.writable()?;
        let content = self.content()?;
        if content.is_cached() && mode != 0 {
            // The page cache would not notice.
            return Err(Errno::EOPNOTSUPP);
        }
        let mode = i32::try_from(mode).map_err(|_| Errno::EOPNOTSUPP)?;
        content.file()?.allocate(mode, offset, len).map_err(host_errno)
    }

    fn seek_data(&self, offset: u64, hole: bool) -> SysResult<u64> {
        self.content()?.file()?.seek_data(offset, hole).map_err(host_errno)
    }

    fn vmo(&self) -> SysResult<Arc<Vmo>> {
        match &self.content {
            Some(content) => {
                let vmo = content.vmo(self.size()?)?;
                if let Some(me) = self.me.upgrade() {
                    let mut mapped = self.shared.mapped.lock();
                    if !mapped.iter().any(|node| Arc::ptr_eq(node, &me)) {
                        mapped.push(me);
                    }
                }
                Ok(vmo)
            }
            None => Err(Errno::ENODEV),
        }
    }

    fn sync(&self, data_only: bool) -> SysResult<()> {
        match &self.content {
            Some(content) => content.sync(self.size()?, data_only),
            None if self.kind.is_dir() && !self.shared.read_only => {
                self.host.sync_dir().map_err(host_errno)
            }
            None => Ok(()),
        }
    }

    fn is_on_host(&self) -> bool {
        !self.shared.read_only
    }

    fn open(&self, flags: u32) -> SysResult<Option<Arc<dyn File>>> {
        match (self.kind, &self.content) {
            (FileType::CharDevice, _) => devices::open(self.rdev, flags).map(Some),
            (_, Some(content)) => {
                // Now, for the host's own errors.
                content.file()?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn writers(&self) -> Option<&Writers> {
        (self.kind == FileType::Regular).then_some(&self.writers)
    }

    fn fifo(&self) -> Option<&Fifo> {
        (self.kind == FileType::Fifo).then_some(&self.fifo)
    }

    fn socket(&self) -> Option<&Binding> {
        (self.kind == FileType::Socket).then_some(&self.socket)
    }

    fn xattr(&self, name: &[u8]) -> SysResult<Vec<u8>> {
        self.host.xattr(name).map_err(host_errno)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> SysResult<()> {
        self.writable()?;
        let flags = i32::try_from(flags).map_err(|_| Errno::EINVAL)?;
        self.host.set_xattr(name, value, flags).map_err(host_errno)
    }

    fn remove_xattr(&self, name: &[u8]) -> SysResult<()> {
        self.writable()?;
        self.host.remove_xattr(name).map_err(host_errno)
    }

    fn list_xattrs(&self) -> SysResult<Vec<Vec<u8>>> {
        let names = self.host.xattr_names().map_err(host_errno)?;
        Ok(host_content::split_names(&names))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let mut known = self.shared.known.lock();
        if known.get(&self.id).is_some_and(|node| node.strong_count() == 0) {
            known.remove(&self.id);
        }
        drop(known);
        // In a loop, since letting each drop the next would recurse, and a guest decides how deep the tree is.
        let mut latest = self.latest.get_mut().take();
        while let Some(mut node) = latest.and_then(Arc::into_inner) {
            latest = node.latest.get_mut().take();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::vfs::testing::World;
    use linux_raw_sys::general as raw;

    fn world(read_only: bool) -> (tempfile::TempDir, World) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), b"host").unwrap();
        let memory = PhysicalMemory::new(None).unwrap();
        let host = HostNode::open(dir.path()).unwrap();
        let fs = HostFs::new(&memory, host, read_only).unwrap();
        (dir, World::of(memory, fs))
    }

    #[test]
    fn changes_go_both_ways() {
        let (dir, world) = world(false);
        world.create("/new", b"from inside");
        assert_eq!(fs::read(dir.path().join("new")).unwrap(), b"from inside");
        fs::write(dir.path().join("file"), b"changed outside").unwrap();
        assert_eq!(world.read("/file").unwrap(), b"changed outside");
        assert_eq!(world.stat("/file").unwrap().size, 15);
        world.mkdir("/d").unwrap();
        world.rename("/new", "/d/moved", RenameFlags::empty()).unwrap();
        assert!(dir.path().join("d/moved").exists());
        fs::remove_file(dir.path().join("d/moved")).unwrap();
        assert!(world.names("/d").is_empty());
        world.rmdir("/d").unwrap();
        assert_eq!(world.names("/"), ["file"]);
        assert_eq!(world.write("/file", raw::O_APPEND, b"!"), Ok(1));
        assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"changed outside!");
    }

    #[test]
    fn directories_that_the_host_moves_are_found_where_they_are() {
        let (dir, world) = world(false);
        for name in ["a", "b"] {
            world.mkdir(&format!("/{name}")).unwrap();
            world.create(&format!("/{name}/file"), name.as_bytes());
        }
        let held = world.open("/a/file", raw::O_RDONLY).unwrap();
        fs::rename(dir.path().join("a"), dir.path().join("c")).unwrap();
        assert_eq!(world.read("/a/file"), Err(Errno::ENOENT));
        fs::rename(dir.path().join("b"), dir.path().join("a")).unwrap();
        assert_eq!(world.read("/a/file").unwrap(), b"b");
        assert_eq!(world.read("/c/file").unwrap(), b"a");
        fs::remove_dir_all(dir.path().join("c")).unwrap();
        fs::create_dir(dir.path().join("c")).unwrap();
        world.create("/c/file", b"new");
        assert_eq!(fs::read(dir.path().join("c/file")).unwrap(), b"new");
        assert_eq!(held.metadata().unwrap().nlink, 0);
    }

    #[test]
    fn a_read_only_tree_refuses() {
        let (dir, world) = world(true);
        assert_eq!(world.write("/file", raw::O_TRUNC, b"x"), Err(Errno::EROFS));
        assert_eq!(world.unlink("/file"), Err(Errno::EROFS));
        assert_eq!(world.read("/file").unwrap(), b"host");
        assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"host");
    }

    #[test]
    fn mappings_and_calls_see_the_same_bytes() {
        let (dir, world) = world(false);
        let vmo = world.place("/file").unwrap().inode().vmo().unwrap();
        assert_eq!(world.write("/file", 0, b"HO"), Ok(2));
        let mut bytes = [0; 4];
        vmo.read(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"HOst");
        vmo.write(3, b"T").unwrap();
        assert_eq!(world.read("/file").unwrap(), b"HOsT");
        world.place("/file").unwrap().inode().sync(false).unwrap();
        assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"HOsT");
    }

    #[test]
    fn an_open_file_outlives_its_name() {
        let (_dir, world) = world(false);
        let file = world.open("/file", raw::O_RDWR).unwrap();
        world.unlink("/file").unwrap();
        let mut buf = [0; 4];
        assert_eq!(file.read(&mut IoDst::kernel(&mut buf)), Ok(4));
        assert_eq!(file.metadata().unwrap().nlink, 0);
    }
}
