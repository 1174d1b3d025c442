//! tmpfs: a file system in memory.
//!
//! The one idea: a node is [`Attributes`] plus a body, directories hold their nodes, and everything with
//! substance (content, entries, extended attributes) is shared with the overlay's changed files.

use std::any::Any;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use hal::host::HostNode;
use hal::pmem::{Charge, PhysicalMemory};
use kernel_objects::vmo::Vmo;
use parking_lot::Mutex;

use super::attributes::{Attributes, Xattrs};
use super::buf::{IoDst, IoSrc};
use super::content::Content;
use super::devices;
use super::entries::Entries;
use super::file::File;
use super::host_content;
use super::inode::{DirEntry, DirSink, FIRST_COOKIE, FileSystem, Inode, NewNode, RenameFlags};
use super::metadata::{AttributeChange, DeviceNumber, FileType, Metadata, StatFs};
use super::pipe::Fifo;
use super::quota::{InodeShare, Limits, Quota};
use super::writers::Writers;
use crate::errno::{Errno, SysResult};
use crate::kernel::memory_size;
use crate::net::unix::Binding;

/// The magic number of statfs(2).
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Bytes of the kernel's memory that an inode takes, about.
const INODE: u64 = 1024;

/// Counts the kernel's own memory for a new inode against the limit; `ENOSPC`.
pub(super) fn charge_inode(memory: &Arc<PhysicalMemory>, node: &NewNode<'_>) -> SysResult<Charge> {
    memory.charge(INODE + node.target.len() as u64).map_err(|_| Errno::ENOSPC)
}

static NEXT_DEVICE: AtomicU32 = AtomicU32::new(64);

/// A device number for a file system without a device, unlike that of any other in this kernel.
pub(crate) fn anonymous_device() -> DeviceNumber {
    DeviceNumber::new(0, NEXT_DEVICE.fetch_add(1, Ordering::Relaxed))
}

/// What the nodes share.
struct Shared {
    memory: Arc<PhysicalMemory>,
    device: DeviceNumber,
    next_ino: AtomicU64,
    seals_allowed: bool,
    quota: Arc<Quota>,
}

impl Shared {
    fn new(memory: &Arc<PhysicalMemory>, seals_allowed: bool) -> Arc<Self> {
        Arc::new(Self {
            memory: memory.clone(),
            device: anonymous_device(),
            next_ino: AtomicU64::new(1),
            seals_allowed,
            quota: Arc::default(),
        })
    }
}

/// A file system in memory.
pub struct Tmpfs {
    shared: Arc<Shared>,
    root: Arc<Node>,
    type_name: &'static str,
}

impl Tmpfs {
    /// An empty one, whose root directory has permission bits `mode` and belongs to root.
    pub fn new(memory: &Arc<PhysicalMemory>, mode: u32) -> SysResult<Arc<Self>> {
        Self::with_type(memory, mode, "tmpfs")
    }

    /// One that calls itself `type_name` in /proc/mounts.
    pub fn with_type(
        memory: &Arc<PhysicalMemory>,
        mode: u32,
        type_name: &'static str,
    ) -> SysResult<Arc<Self>> {
        Self::like(memory, mode, type_name, None)
    }

    /// The file system behind `fs`, if it is this one.
    pub fn of(fs: &Arc<dyn FileSystem>) -> Option<&Self> {
        (&**fs as &dyn Any).downcast_ref()
    }

    /// Sets how much it may hold; `EINVAL` when it holds more.
    pub fn set_limits(&self, limits: Limits) -> SysResult<()> {
        self.shared.quota.set(limits)
    }

    /// One whose root shows the size, links and times of the host directory `like`, which it covers.
    pub fn like(
        memory: &Arc<PhysicalMemory>,
        mode: u32,
        type_name: &'static str,
        like: Option<Arc<HostNode>>,
    ) -> SysResult<Arc<Self>> {
        let shared = Shared::new(memory, false);
        let root = NewNode::new(FileType::Directory, mode, 0, 0);
        let root = Node::with_mirror(&shared, &root, like)?;
        Ok(Arc::new(Self { shared, root, type_name }))
    }
}

impl FileSystem for Tmpfs {
    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn device(&self) -> DeviceNumber {
        self.shared.device
    }

    fn has_handles(&self) -> bool {
        true
    }

    fn statfs(&self) -> SysResult<StatFs> {
        let mut stat = statfs(&self.shared.memory, TMPFS_MAGIC);
        if let Some((most, used)) = self.shared.quota.bytes() {
            stat.blocks = most / 4096;
            stat.blocks_free = most.saturating_sub(used) / 4096;
            stat.blocks_available = stat.blocks_free;
        }
        if let Some((most, used)) = self.shared.quota.inodes() {
            stat.files = most;
            stat.files_free = most.saturating_sub(used);
        }
        Ok(stat)
    }

    fn options(&self) -> String {
        let quota = &self.shared.quota;
        let mut text = String::new();
        if let Some((most, _)) = quota.bytes() {
            text += &format!(",size={}k", most / 1024);
        }
        if let Some((most, _)) = quota.inodes() {
            text += &format!(",nr_inodes={most}");
        }
        text
    }
}

/// What statfs(2) tells of a file system that lives in `memory`.
pub(super) fn statfs(memory: &PhysicalMemory, magic: u64) -> StatFs {
    let total = memory_size(memory).0 / 4096;
    let free = total.saturating_sub(memory.charged() / 4096);
    StatFs {
        magic,
        block_size: 4096,
        blocks: total,
        blocks_free: free,
        blocks_available: free,
        files: total,
        files_free: free,
        fsid: 0,
        name_max: 255,
        flags: 0,
    }
}

/// A regular file that no directory has: memfd_create(2). Its mode is 0777 less the mask, which is none there.
pub fn unnamed_file(
    memory: &Arc<PhysicalMemory>,
    uid: u32,
    gid: u32,
    seals_allowed: bool,
) -> SysResult<Arc<dyn Inode>> {
    let shared = Shared::new(memory, seals_allowed);
    let node = Node::new(&shared, &NewNode::new(FileType::Regular, 0o777, uid, gid))?;
    node.attributes.add_links(-1);
    Ok(node)
}

enum Body {
    File(Content),
    Directory(Mutex<Entries<Arc<Node>>>),
    Symlink(Box<[u8]>),
    Fifo(Fifo),
    Socket(Binding),
    /// A device.
    Node,
}

/// A file of any type.
struct Node {
    shared: Arc<Shared>,
    me: Weak<Node>,
    ino: u64,
    kind: FileType,
    rdev: DeviceNumber,
    attributes: Attributes,
    xattrs: Xattrs,
    seals: AtomicU32,
    writers: Writers,
    /// The host directory whose attributes show instead of this one's.
    mirror: Option<Arc<HostNode>>,
    body: Body,
    _charge: Charge,
    _share: InodeShare,
    /// What its names count for, but the first.
    names: Mutex<Vec<InodeShare>>,
}

impl Node {
    fn new(shared: &Arc<Shared>, node: &NewNode<'_>) -> SysResult<Arc<Self>> {
        Self::with_mirror(shared, node, None)
    }

    fn with_mirror(
        shared: &Arc<Shared>,
        node: &NewNode<'_>,
        mirror: Option<Arc<HostNode>>,
    ) -> SysResult<Arc<Self>> {
        let body = match node.kind {
            FileType::Regular => {
                Body::File(Content::within(&shared.memory, Some(shared.quota.clone()))?)
            }
            FileType::Directory => {
                Body::Directory(Mutex::new(Entries::starting_at(&shared.memory, FIRST_COOKIE)))
            }
            FileType::Symlink => Body::Symlink(node.target.into()),
            FileType::Fifo => Body::Fifo(Fifo::new(&shared.memory)),
            FileType::Socket => Body::Socket(Binding::default()),
            _ => Body::Node,
        };
        let links = if node.kind.is_dir() { 2 } else { 1 };
        let charge = charge_inode(&shared.memory, node)?;
        let share = shared.quota.inode()?;
        Ok(Arc::new_cyclic(|me| Self {
            shared: shared.clone(),
            me: me.clone(),
            ino: shared.next_ino.fetch_add(1, Ordering::Relaxed),
            kind: node.kind,
            rdev: node.rdev,
            attributes: Attributes::new(node, links),
            xattrs: Xattrs::new(&shared.memory),
            seals: AtomicU32::new(if shared.seals_allowed { 0 } else { SEAL_SEAL }),
            writers: Writers::default(),
            mirror,
            body,
            _charge: charge,
            _share: share,
            names: Mutex::default(),
        }))
    }

    fn entries(&self) -> SysResult<&Mutex<Entries<Arc<Node>>>> {
        match &self.body {
            Body::Directory(entries) => Ok(entries),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn content(&self) -> SysResult<&Content> {
        match &self.body {
            Body::File(content) => Ok(content),
            Body::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    fn from_inode(inode: &Arc<dyn Inode>) -> SysResult<Arc<Node>> {
        let any: &dyn Any = &**inode;
        any.downcast_ref::<Node>().and_then(|node| node.me.upgrade()).ok_or(Errno::EXDEV)
    }

    fn is_empty(&self) -> bool {
        match &self.body {
            Body::Directory(entries) => entries.lock().is_empty(),
            _ => true,
        }
    }

    /// `node` lost its entry in this directory.
    fn dropped(&self, node: &Node) {
        if node.kind.is_dir() {
            node.attributes.add_links(-2);
            self.attributes.add_links(-1);
        } else {
            node.names.lock().pop();
            node.attributes.add_links(-1);
        }
        self.attributes.modified();
    }

    fn sealed(&self, seals: u32) -> SysResult<()> {
        if self.seals.load(Ordering::Relaxed) & seals != 0 { Err(Errno::EPERM) } else { Ok(()) }
    }

    fn check_grow(&self, content: &Content, end: u64) -> SysResult<()> {
        if end > content.size() { self.sealed(SEAL_GROW) } else { Ok(()) }
    }
}

const SEAL_SEAL: u32 = linux_raw_sys::general::F_SEAL_SEAL;
const SEAL_SHRINK: u32 = linux_raw_sys::general::F_SEAL_SHRINK;
const SEAL_GROW: u32 = linux_raw_sys::general::F_SEAL_GROW;
const SEAL_WRITE: u32 =
    linux_raw_sys::general::F_SEAL_WRITE | linux_raw_sys::general::F_SEAL_FUTURE_WRITE;

impl Inode for Node {
    fn kind(&self) -> FileType {
        self.kind
    }

    fn metadata(&self) -> SysResult<Metadata> {
        let (size, blocks) = match &self.body {
            Body::File(content) => (content.size(), content.blocks()),
            Body::Directory(entries) => ((entries.lock().len() as u64 + 2) * 20, 0),
            Body::Symlink(target) => (target.len() as u64, 0),
            Body::Fifo(_) | Body::Socket(_) | Body::Node => (0, 0),
        };
        let mut metadata = Metadata {
            dev: self.shared.device,
            ino: self.ino,
            kind: self.kind,
            mode: 0,
            nlink: 0,
            uid: 0,
            gid: 0,
            rdev: self.rdev,
            size,
            block_size: 4096,
            blocks,
            atime: Default::default(),
            mtime: Default::default(),
            ctime: Default::default(),
            btime: None,
        };
        self.attributes.fill(&mut metadata);
        if let Some(mirror) = &self.mirror
            && let Ok(stat) = mirror.stat()
        {
            host_content::lend(&stat, &mut metadata);
        }
        Ok(metadata)
    }

    fn set_attributes(&self, change: &AttributeChange) -> SysResult<()> {
        self.attributes.set(change);
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> SysResult<Arc<dyn Inode>> {
        match self.entries()?.lock().get(name) {
            Some(node) => Ok(node.clone()),
            None => Err(Errno::ENOENT),
        }
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        let mut entries = self.entries()?.lock();
        if entries.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        let node = Node::new(&self.shared, node)?;
        entries.insert(name, node.clone())?;
        if node.kind.is_dir() {
            self.attributes.add_links(1);
        }
        self.attributes.modified();
        Ok(node)
    }

    fn create_unnamed(&self, node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        let node = Node::new(&self.shared, node)?;
        node.attributes.add_links(-1);
        Ok(node)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> SysResult<()> {
        let target = Node::from_inode(target)?;
        let mut entries = self.entries()?.lock();
        if entries.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        // Each further name counts, for it takes memory as an inode does.
        let share = (target.attributes.links() > 0).then(|| self.shared.quota.inode());
        let share = share.transpose()?;
        entries.insert(name, target.clone())?;
        target.names.lock().extend(share);
        target.attributes.add_links(1);
        self.attributes.modified();
        Ok(())
    }

    fn unlink(&self, name: &[u8]) -> SysResult<()> {
        let mut entries = self.entries()?.lock();
        let node = entries.get(name).ok_or(Errno::ENOENT)?;
        if node.kind.is_dir() {
            return Err(Errno::EISDIR);
        }
        if let Some(node) = entries.remove(name) {
            self.dropped(&node);
        }
        Ok(())
    }

    fn rmdir(&self, name: &[u8]) -> SysResult<()> {
        let mut entries = self.entries()?.lock();
        let node = entries.get(name).ok_or(Errno::ENOENT)?;
        if !node.kind.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        if !node.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        if let Some(node) = entries.remove(name) {
            self.dropped(&node);
        }
        Ok(())
    }

    fn rename(
        &self,
        name: &[u8],
        new_dir: &Arc<dyn Inode>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> SysResult<()> {
        let new_dir = Node::from_inode(new_dir)?;
        // The dentry cache keeps other changes of the two directories out, so they need not be locked at once.
        let node = self.entries()?.lock().get(name).cloned().ok_or(Errno::ENOENT)?;
        let old = new_dir.entries()?.lock().get(new_name).cloned();
        if flags.contains(RenameFlags::EXCHANGE) {
            let old = old.ok_or(Errno::ENOENT)?;
            new_dir.entries()?.lock().insert(new_name, node.clone())?;
            self.entries()?.lock().insert(name, old.clone())?;
            if node.kind.is_dir() != old.kind.is_dir() {
                let delta = if node.kind.is_dir() { 1 } else { -1 };
                new_dir.attributes.add_links(delta);
                self.attributes.add_links(-delta);
            }
            old.attributes.changed();
        } else {
            if old.as_ref().is_some_and(|old| !old.is_empty()) {
                return Err(Errno::ENOTEMPTY);
            }
            new_dir.entries()?.lock().insert(new_name, node.clone())?;
            if let Some(old) = old {
                new_dir.dropped(&old);
            }
            self.entries()?.lock().remove(name);
            if node.kind.is_dir() {
                new_dir.attributes.add_links(1);
                self.attributes.add_links(-1);
            }
        }
        node.attributes.changed();
        self.attributes.modified();
        new_dir.attributes.modified();
        Ok(())
    }

    fn read_dir(&self, cookie: u64, sink: &mut DirSink<'_>) -> SysResult<()> {
        self.attributes.accessed();
        for (cookie, name, node) in self.entries()?.lock().from_cookie(cookie) {
            if !sink(&DirEntry { name, ino: node.ino, kind: node.kind, next: cookie + 1 }) {
                break;
            }
        }
        Ok(())
    }

    fn read_link(&self) -> SysResult<Vec<u8>> {
        match &self.body {
            Body::Symlink(target) => {
                self.attributes.accessed();
                Ok(target.to_vec())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn read_at(&self, offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        let done = self.content()?.read_at(offset, dst)?;
        self.attributes.accessed();
        Ok(done)
    }

    fn write_at(&self, offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        let content = self.content()?;
        self.sealed(SEAL_WRITE)?;
        self.check_grow(content, offset.saturating_add(src.remaining() as u64))?;
        let done = content.write_at(offset, src)?;
        self.attributes.modified();
        Ok(done)
    }

    fn append(&self, src: &mut IoSrc<'_>) -> SysResult<(usize, u64)> {
        self.sealed(SEAL_WRITE | SEAL_GROW)?;
        let result = self.content()?.append(src)?;
        self.attributes.modified();
        Ok(result)
    }

    fn size(&self) -> SysResult<u64> {
        match &self.body {
            Body::File(content) => Ok(content.size()),
            _ => Ok(self.metadata()?.size),
        }
    }

    fn resize(&self, size: u64) -> SysResult<()> {
        let content = self.content()?;
        self.check_grow(content, size)?;
        if size < content.size() {
            self.sealed(SEAL_SHRINK)?;
        }
        content.resize(size)?;
        self.attributes.modified();
        Ok(())
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> SysResult<()> {
        let content = self.content()?;
        self.sealed(if mode == 0 { 0 } else { SEAL_WRITE })?;
        self.check_grow(content, offset.saturating_add(len))?;
        content.allocate(mode, offset, len)?;
        self.attributes.modified();
        Ok(())
    }

    fn seek_data(&self, offset: u64, hole: bool) -> SysResult<u64> {
        self.content()?.seek_data(offset, hole)
    }

    fn vmo(&self) -> SysResult<Arc<Vmo>> {
        match &self.body {
            Body::File(content) => {
                self.attributes.accessed();
                content.vmo()
            }
            _ => Err(Errno::ENODEV),
        }
    }

    fn seals(&self) -> SysResult<u32> {
        self.content().map_err(|_| Errno::EINVAL)?;
        Ok(self.seals.load(Ordering::Relaxed))
    }

    fn add_seals(&self, seals: u32) -> SysResult<()> {
        self.content().map_err(|_| Errno::EINVAL)?;
        self.sealed(SEAL_SEAL)?;
        let wants_no_writes = seals & linux_raw_sys::general::F_SEAL_WRITE != 0;
        if wants_no_writes && self.content()?.is_mapped_for_writing() {
            return Err(Errno::EBUSY);
        }
        self.seals.fetch_or(seals, Ordering::Relaxed);
        Ok(())
    }

    fn open(&self, flags: u32) -> SysResult<Option<Arc<dyn File>>> {
        match self.kind {
            FileType::CharDevice => devices::open(self.rdev, flags).map(Some),
            _ => Ok(None),
        }
    }

    fn writers(&self) -> Option<&Writers> {
        (self.kind == FileType::Regular).then_some(&self.writers)
    }

    fn fifo(&self) -> Option<&Fifo> {
        match &self.body {
            Body::Fifo(fifo) => Some(fifo),
            _ => None,
        }
    }

    fn socket(&self) -> Option<&Binding> {
        match &self.body {
            Body::Socket(binding) => Some(binding),
            _ => None,
        }
    }

    fn xattr(&self, name: &[u8]) -> SysResult<Vec<u8>> {
        self.xattrs.get(name)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> SysResult<()> {
        self.xattrs.set(name, value, flags)?;
        self.attributes.changed();
        Ok(())
    }

    fn remove_xattr(&self, name: &[u8]) -> SysResult<()> {
        self.xattrs.remove(name)?;
        self.attributes.changed();
        Ok(())
    }

    fn list_xattrs(&self) -> SysResult<Vec<Vec<u8>>> {
        Ok(self.xattrs.names())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Without recursion: a guest decides how deep the tree is.
        let mut todo: Vec<Arc<Node>> = Vec::new();
        if let Body::Directory(entries) = &mut self.body {
            todo.extend(entries.get_mut().drain());
        }
        while let Some(node) = todo.pop() {
            if let Some(mut node) = Arc::into_inner(node)
                && let Body::Directory(entries) = &mut node.body
            {
                todo.extend(entries.get_mut().drain());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::testing::World;
    use linux_raw_sys::general as raw;

    #[test]
    fn links_are_counted() {
        let world = World::new();
        world.create("/f", b"1");
        let place = world.place("/f").unwrap();
        crate::vfs::ops::link(&world.ctx, &place, None, b"/g").unwrap();
        assert_eq!(world.stat("/g").unwrap().nlink, 2);
        let open = world.open("/g", raw::O_RDONLY).unwrap();
        world.unlink("/f").unwrap();
        world.unlink("/g").unwrap();
        assert_eq!(open.metadata().unwrap().nlink, 0);
        let mut buf = [0; 2];
        assert_eq!(
            open.read(&mut IoDst::kernel(&mut buf)),
            Ok(1),
            "open files outlive their names"
        );
        world.mkdir("/d").unwrap();
        world.mkdir("/d/e").unwrap();
        assert_eq!(world.stat("/d").unwrap().nlink, 3);
        assert_eq!(world.stat("/").unwrap().nlink, 3);
        world.rmdir("/d/e").unwrap();
        assert_eq!(world.stat("/d").unwrap().nlink, 2);
    }

    #[test]
    fn renames_replace_exchange_and_refuse() {
        let world = World::new();
        let plain = RenameFlags::empty();
        world.create("/a", b"A");
        world.create("/b", b"B");
        assert_eq!(world.rename("/a", "/b", RenameFlags::NOREPLACE), Err(Errno::EEXIST));
        world.rename("/a", "/b", RenameFlags::EXCHANGE).unwrap();
        assert_eq!(
            (world.read("/a").unwrap(), world.read("/b").unwrap()),
            (b"B".to_vec(), b"A".to_vec())
        );
        world.rename("/a", "/b", plain).unwrap();
        assert_eq!(world.names("/"), ["b"]);
        assert_eq!(world.read("/b").unwrap(), b"B");
        world.mkdir("/d").unwrap();
        world.mkdir("/d/e").unwrap();
        assert_eq!(world.rename("/d", "/d/e/f", plain), Err(Errno::EINVAL));
        assert_eq!(world.rename("/b", "/d", plain), Err(Errno::EISDIR));
        assert_eq!(world.rename("/d", "/b", plain), Err(Errno::ENOTDIR));
        world.mkdir("/x").unwrap();
        assert_eq!(world.rename("/x", "/d", plain), Err(Errno::ENOTEMPTY));
        world.rename("/d/e", "/x", plain).unwrap();
        assert_eq!((world.stat("/d").unwrap().nlink, world.stat("/").unwrap().nlink), (2, 4));
    }

    #[test]
    fn an_unnamed_file_can_be_written_and_read() {
        let world = World::new();
        let flags = raw::O_TMPFILE | raw::O_RDWR;
        let file = world.open("/", flags).unwrap();
        assert_eq!(file.write_at(0, &mut IoSrc::kernel(b"abc")), Ok(3));
        assert_eq!(file.metadata().unwrap().nlink, 0);
        assert!(world.names("/").is_empty());
    }

    #[test]
    fn seals_hold() {
        let memory = PhysicalMemory::new(None).unwrap();
        let file = unnamed_file(&memory, 0, 0, true).unwrap();
        file.write_at(0, &mut IoSrc::kernel(b"12345678")).unwrap();
        file.add_seals(SEAL_GROW | SEAL_SHRINK).unwrap();
        assert_eq!(file.write_at(6, &mut IoSrc::kernel(b"xyz")), Err(Errno::EPERM));
        assert_eq!(file.write_at(5, &mut IoSrc::kernel(b"xyz")), Ok(3));
        assert_eq!(file.resize(4), Err(Errno::EPERM));
        file.add_seals(SEAL_SEAL).unwrap();
        assert_eq!(file.add_seals(SEAL_WRITE), Err(Errno::EPERM));
    }

    #[test]
    fn a_tree_as_deep_as_a_guest_likes_is_dropped_without_recursion() {
        let mut world = World::new();
        let memory = world.memory.clone();
        for _ in 0..50_000 {
            world.mkdir("d").unwrap();
            world.ctx.cwd = world.place("d").unwrap();
        }
        world.create("f", &[1; 5000]);
        drop(world);
        assert_eq!(memory.charged(), 0);
    }
}
