//! The default root: a host tree that cannot change under a layer in memory that can.
//!
//! The one idea: a node may *begin* as a host file and takes over into memory what is changed of it (attributes, content,
//! entries, extended attributes), each when it is first changed. A changed host file is pinned in a table by its host
//! identity, so that no directory above it needs to know, hard links of it stay one file, and inode and device
//! numbers never change. A directory is its host listing less the names in its changes (new nodes and whiteouts).

mod directory;
mod inode;

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use hal::host::{self, HostFile, HostNode};
use hal::pmem::{Charge, PhysicalMemory};
use parking_lot::{Mutex, RwLock};

use self::directory::{Change, Directory};
use super::attributes::{Attributes, Xattrs};
use super::buf::{IoSrc, host_errno};
use super::content::Content;
use super::host_content::{self, FilePool, HostContent};
use super::inode::{FileSystem, Inode, NewNode};
use super::metadata::{DeviceNumber, FileType, Metadata, StatFs};
use super::pipe::Fifo;
use super::tmpfs::charge_inode;
use super::writers::Writers;
use crate::errno::{Errno, SysResult};
use crate::net::unix::Binding;

/// Cookies of entries in memory begin here; those of host entries are below.
const MEMORY_COOKIES: u64 = 1 << 32;

/// Inode numbers of files that the host does not have begin here.
const MEMORY_INOS: u64 = 1 << 40;

/// For how long host attributes are believed, in nanoseconds: changes on the host show within this time.
const BELIEVED: u64 = 1_000_000_000;

/// Identity of a host file: device and inode number.
type HostId = (u64, u64);

/// What the nodes share.
struct Shared {
    memory: Arc<PhysicalMemory>,
    pool: Arc<FilePool>,
    /// Nodes in use that began as host files.
    known: Mutex<HashMap<HostId, Weak<Node>>>,
    /// Those of them that were changed.
    pinned: Mutex<HashMap<HostId, Arc<Node>>>,
    next_ino: AtomicU64,
}

/// A host tree with a layer of changes in memory.
pub struct Overlay {
    shared: Arc<Shared>,
    lower: Arc<HostNode>,
    root: Arc<Node>,
}

impl Overlay {
    /// The tree of the host directory `lower`, without changes yet.
    pub fn new(memory: &Arc<PhysicalMemory>, lower: Arc<HostNode>) -> SysResult<Arc<Self>> {
        let shared = Arc::new(Shared {
            memory: memory.clone(),
            pool: Arc::default(),
            known: Mutex::default(),
            pinned: Mutex::default(),
            next_ino: AtomicU64::new(MEMORY_INOS),
        });
        let stat = lower.stat().map_err(host_errno)?;
        let root = Node::of_host(&shared, lower.clone(), &stat);
        if !root.kind.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        Ok(Arc::new(Self { shared, lower, root }))
    }
}

impl Overlay {
    /// The host directory at the root.
    pub fn lower(&self) -> &Arc<HostNode> {
        &self.lower
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // Pinned nodes and the table hold each other.
        let pinned = std::mem::take(&mut *self.shared.pinned.lock());
        drop(pinned);
    }
}

impl FileSystem for Overlay {
    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn type_name(&self) -> &'static str {
        "overlay"
    }

    fn device(&self) -> DeviceNumber {
        self.root.device
    }

    fn has_handles(&self) -> bool {
        true
    }

    fn statfs(&self) -> SysResult<StatFs> {
        self.lower.statfs().map(|stat| host_content::statfs(&stat)).map_err(host_errno)
    }
}

/// What the host said of a file, and when.
struct Lower {
    node: Arc<HostNode>,
    id: HostId,
    seen: Mutex<(Metadata, u64)>,
}

impl Lower {
    fn metadata(&self) -> SysResult<Metadata> {
        let now = hal::time::monotonic();
        let mut seen = self.seen.lock();
        if now.saturating_sub(seen.1) > BELIEVED {
            let fresh = host_content::metadata(&self.node.stat().map_err(host_errno)?);
            // Another file may have taken the name; this node stays what it was.
            if (fresh.dev.0, fresh.ino) == self.id {
                seen.0 = fresh;
            }
            seen.1 = now;
        }
        Ok(seen.0)
    }
}

enum Bytes {
    Host(HostContent),
    Memory(Content),
}

enum Body {
    File(RwLock<Bytes>),
    Directory(Mutex<Directory>),
    Symlink(OnceLock<Box<[u8]>>),
    Fifo(Fifo),
    Socket(Binding),
    Node,
}

/// A file of any type.
struct Node {
    shared: Arc<Shared>,
    me: Weak<Node>,
    device: DeviceNumber,
    ino: u64,
    kind: FileType,
    rdev: DeviceNumber,
    /// The host file that it began as.
    lower: Option<Lower>,
    /// Set when the attributes differ from the host's.
    attributes: OnceLock<Attributes>,
    xattrs: OnceLock<Xattrs>,
    /// Whether the host file has access control lists: looked up once, since all who are not its owner ask.
    lower_has_acls: OnceLock<bool>,
    writers: Writers,
    body: Body,
    _charge: Charge,
}

impl Node {
    /// The node of a host file, the same one as long as it is in use.
    fn of_host(shared: &Arc<Shared>, node: Arc<HostNode>, stat: &host::HostStat) -> Arc<Self> {
        let metadata = host_content::metadata(stat);
        let id = (metadata.dev.0, metadata.ino);
        // Not under the lock: dropping a node takes it.
        let old = shared.known.lock().get(&id).and_then(Weak::upgrade);
        if let Some(old) = old
            && old.kind == metadata.kind
        {
            return old;
        }
        let body = match metadata.kind {
            FileType::Regular => Body::File(RwLock::new(Bytes::Host(HostContent::new(
                node.clone(),
                &shared.memory,
                &shared.pool,
                false,
            )))),
            FileType::Directory => Body::Directory(Mutex::default()),
            FileType::Symlink => Body::Symlink(OnceLock::new()),
            FileType::Fifo => Body::Fifo(Fifo::new(&shared.memory)),
            FileType::Socket => Body::Socket(Binding::default()),
            _ => Body::Node,
        };
        let seen = Mutex::new((metadata, hal::time::monotonic()));
        let new = Arc::new_cyclic(|me| Self {
            shared: shared.clone(),
            me: me.clone(),
            device: metadata.dev,
            ino: metadata.ino,
            kind: metadata.kind,
            rdev: metadata.rdev,
            lower: Some(Lower { node, id, seen }),
            attributes: OnceLock::new(),
            xattrs: OnceLock::new(),
            lower_has_acls: OnceLock::new(),
            writers: Writers::default(),
            body,
            // As many as the host has files, at most.
            _charge: shared.memory.no_charge(),
        });
        shared.known.lock().insert(id, Arc::downgrade(&new));
        new
    }

    /// A node that the host does not have, on the device of its directory.
    fn new(shared: &Arc<Shared>, device: DeviceNumber, node: &NewNode<'_>) -> SysResult<Arc<Self>> {
        let body = match node.kind {
            FileType::Regular => {
                Body::File(RwLock::new(Bytes::Memory(Content::new(&shared.memory)?)))
            }
            FileType::Directory => Body::Directory(Mutex::default()),
            FileType::Symlink => Body::Symlink(OnceLock::from(Box::from(node.target))),
            FileType::Fifo => Body::Fifo(Fifo::new(&shared.memory)),
            FileType::Socket => Body::Socket(Binding::default()),
            _ => Body::Node,
        };
        let links = if node.kind.is_dir() { 2 } else { 1 };
        let charge = charge_inode(&shared.memory, node)?;
        Ok(Arc::new_cyclic(|me| Self {
            shared: shared.clone(),
            me: me.clone(),
            device,
            ino: shared.next_ino.fetch_add(1, Ordering::Relaxed),
            kind: node.kind,
            rdev: node.rdev,
            lower: None,
            attributes: OnceLock::from(Attributes::new(node, links)),
            xattrs: OnceLock::from(Xattrs::new(&shared.memory)),
            lower_has_acls: OnceLock::new(),
            writers: Writers::default(),
            body,
            _charge: charge,
        }))
    }

    /// Keeps the node, which was changed, for as long as the file system.
    fn pin(&self) {
        if let (Some(lower), Some(me)) = (&self.lower, self.me.upgrade()) {
            self.shared.pinned.lock().entry(lower.id).or_insert(me);
        }
    }

    /// The attributes, taken over from the host if they are not yet.
    fn attributes(&self) -> SysResult<&Attributes> {
        if let Some(attributes) = self.attributes.get() {
            return Ok(attributes);
        }
        let lower = self.lower.as_ref().ok_or(Errno::EIO)?;
        let metadata = lower.metadata()?;
        self.pin();
        Ok(self.attributes.get_or_init(|| Attributes::copied(&metadata)))
    }

    fn xattrs(&self) -> SysResult<&Xattrs> {
        if let Some(xattrs) = self.xattrs.get() {
            return Ok(xattrs);
        }
        let xattrs = Xattrs::new(&self.shared.memory);
        for name in self.list_xattrs()? {
            let value = self.xattr(&name)?;
            xattrs.set(&name, &value, 0)?;
        }
        self.pin();
        Ok(self.xattrs.get_or_init(|| xattrs))
    }

    fn directory(&self) -> SysResult<&Mutex<Directory>> {
        match &self.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn bytes(&self) -> SysResult<&RwLock<Bytes>> {
        match &self.body {
            Body::File(bytes) => Ok(bytes),
            Body::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Takes the first `keep` bytes of the host's content over into memory, if that has not been done, and lets `change` have
    /// the content.
    fn change<T>(&self, keep: u64, change: impl FnOnce(&Content) -> SysResult<T>) -> SysResult<T> {
        let bytes = self.bytes()?;
        if let Bytes::Memory(content) = &*bytes.read() {
            let result = change(content)?;
            self.attributes()?.modified();
            return Ok(result);
        }
        let attributes = self.attributes()?;
        {
            let mut bytes = bytes.write();
            if let Bytes::Host(host) = &*bytes {
                let copy = self.copy(host, keep, HostFile::pread)?;
                *bytes = Bytes::Memory(copy);
            }
        }
        match &*bytes.read() {
            Bytes::Memory(content) => {
                let result = change(content)?;
                attributes.modified();
                Ok(result)
            }
            Bytes::Host(_) => Err(Errno::EIO),
        }
    }

    fn copy(&self, host: &HostContent, keep: u64, read: ReadHost) -> SysResult<Content> {
        let content = Content::new(&self.shared.memory)?;
        let size = self.lower.as_ref().ok_or(Errno::EIO)?.metadata()?.size;
        let end = size.min(keep);
        if end == 0 {
            return Ok(content);
        }
        let file = host.file()?;
        let mut buffer = vec![0; 256 << 10];
        let mut at = 0;
        while at < end {
            let want = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            let got = read(&file, &mut buffer[..want], at).map_err(host_errno)?;
            if got == 0 {
                break;
            }
            let wrote = content.write_at(at, &mut IoSrc::kernel(&buffer[..got]))?;
            at += wrote as u64;
        }
        Ok(content)
    }

    fn from_inode(inode: &Arc<dyn Inode>) -> SysResult<Arc<Node>> {
        let any: &dyn Any = &**inode;
        any.downcast_ref::<Node>().and_then(|node| node.me.upgrade()).ok_or(Errno::EXDEV)
    }

    /// The node of entry `name`.
    fn entry(&self, name: &[u8]) -> SysResult<Arc<Node>> {
        match self.directory()?.lock().change(name) {
            Some(Change::Node(node)) => return Ok(node.clone()),
            Some(Change::Whiteout) => return Err(Errno::ENOENT),
            None => {}
        }
        let lower = self.lower.as_ref().ok_or(Errno::ENOENT)?;
        let (node, stat) = lower.node.lookup(name).map_err(host_errno)?;
        Ok(Node::of_host(&self.shared, node, &stat))
    }

    /// Whether the host has an entry of that name here.
    fn host_has(&self, name: &[u8]) -> bool {
        self.lower.as_ref().is_some_and(|lower| lower.node.lookup(name).is_ok())
    }

    fn put(&self, name: &[u8], node: Arc<Node>) -> SysResult<()> {
        self.attributes()?;
        let mut directory = self.directory()?.lock();
        directory.changes(&self.shared.memory).insert(name, Change::Node(node)).map(drop)
    }

    fn take(&self, name: &[u8]) -> SysResult<()> {
        self.attributes()?;
        let hidden = self.host_has(name);
        let mut directory = self.directory()?.lock();
        let changes = directory.changes(&self.shared.memory);
        if hidden {
            changes.insert(name, Change::Whiteout)?;
        } else {
            changes.remove(name);
        }
        Ok(())
    }

    /// `node` has lost its entry in this directory.
    fn dropped(&self, node: &Node) -> SysResult<()> {
        let attributes = node.attributes()?;
        if node.kind.is_dir() {
            attributes.add_links(-2);
            self.attributes()?.add_links(-1);
        } else {
            attributes.add_links(-1);
        }
        if attributes.links() == 0
            && let Some(lower) = &node.lower
        {
            self.shared.pinned.lock().remove(&lower.id);
        }
        self.attributes()?.modified();
        Ok(())
    }

    fn is_empty(&self) -> SysResult<bool> {
        let Body::Directory(directory) = &self.body else { return Ok(true) };
        let listing = match &self.lower {
            Some(lower) => lower.node.read_dir().map_err(host_errno)?,
            None => Vec::new(),
        };
        let directory = directory.lock();
        if listing.iter().any(|entry| directory.change(&entry.name).is_none()) {
            return Ok(false);
        }
        let Some(changes) = &directory.changes else { return Ok(true) };
        Ok(!changes.from_cookie(0).any(|(_, _, change)| matches!(change, Change::Node(_))))
    }
}

/// How the host's bytes are read on their way to memory: waiting for its disk or not.
type ReadHost = fn(&HostFile, &mut [u8], u64) -> host::Result<usize>;

impl Node {
    /// Takes the content over into memory unchanged, if that has not been done.
    fn take_content(&self, read: ReadHost) -> SysResult<()> {
        let bytes = self.bytes()?;
        let copy = match &*bytes.read() {
            Bytes::Memory(_) => return Ok(()),
            // Readers go on meanwhile.
            Bytes::Host(host) => self.copy(host, u64::MAX, read)?,
        };
        self.attributes()?;
        let mut bytes = bytes.write();
        if let Bytes::Host(_) = &*bytes {
            *bytes = Bytes::Memory(copy);
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(lower) = &self.lower {
            let mut known = self.shared.known.lock();
            // A new node of the same host file may be there already.
            if known.get(&lower.id).is_some_and(|node| node.strong_count() == 0) {
                known.remove(&lower.id);
            }
        }
        // Without recursion: a guest decides how deep the tree is.
        let mut todo = Vec::new();
        take_nodes(&mut self.body, &mut todo);
        while let Some(node) = todo.pop() {
            if let Some(mut node) = Arc::into_inner(node) {
                take_nodes(&mut node.body, &mut todo);
            }
        }
    }
}

fn take_nodes(body: &mut Body, todo: &mut Vec<Arc<Node>>) {
    if let Body::Directory(directory) = body
        && let Some(mut changes) = directory.get_mut().changes.take()
    {
        todo.extend(changes.drain().filter_map(|change| match change {
            Change::Node(node) => Some(node),
            Change::Whiteout => None,
        }));
    }
}

#[cfg(test)]
mod tests;
