//! The file system of message queues: what mq_open(3) looks names up in, and /dev/mqueue shows.
//!
//! The one idea: a queue is a file like others, with an owner, a mode and a name in the one directory there is; what is different is that
//! a new one says how much it holds, and that reading it describes it.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use hal::pmem::PhysicalMemory;
use kernel_objects::WaitQueue;
use parking_lot::Mutex;

use super::attributes::Attributes;
use super::buf::IoDst;
use super::entries::Entries;
use super::file::File;
use super::inode::{DirEntry, DirSink, FIRST_COOKIE, FileSystem, Inode, NewNode};
use super::metadata::{AttributeChange, DeviceNumber, FileType, Metadata, StatFs};
use super::readiness::PollEvents;
use super::seek::Seeking;
use super::tmpfs::{anonymous_device, charge_inode};
use crate::errno::{Errno, SysResult};
use crate::ipc::mqueue::{Capacity, DEFAULT, MessageQueue};

/// The magic number of statfs(2).
const MQUEUE_MAGIC: u64 = 0x1980_0202;
/// The size that stat(2) tells of a queue.
const FILE_SIZE: u64 = 80;
/// The most queues without privilege.
pub const QUEUES_MAX: usize = 256;

/// The message queues of a kernel.
pub struct MqueueFs {
    root: Arc<Directory>,
}

impl MqueueFs {
    /// One without queues.
    pub fn new(memory: &Arc<PhysicalMemory>) -> Arc<Self> {
        let node = NewNode::new(FileType::Directory, 0o1777, 0, 0);
        let root = Arc::new_cyclic(|me| Directory {
            me: me.clone(),
            memory: memory.clone(),
            device: anonymous_device(),
            next_ino: AtomicU64::new(2),
            attributes: Attributes::new(&node, 2),
            queues: Mutex::new(Entries::starting_at(memory, FIRST_COOKIE)),
        });
        Arc::new(Self { root })
    }

    /// Makes a queue. `EEXIST`; `ENOSPC` when there are too many and the caller is not `privileged`; `EMFILE` when those of its owner would
    /// take more than `limit` bytes (`RLIMIT_MSGQUEUE`).
    pub fn create_queue(
        &self,
        name: &[u8],
        node: &NewNode<'_>,
        capacity: Capacity,
        privileged: bool,
        limit: u64,
    ) -> SysResult<()> {
        self.root.create_queue(name, node, capacity, privileged, limit)
    }

    /// The file system behind `fs`, if it is this one.
    pub fn of(fs: &Arc<dyn FileSystem>) -> Option<&Self> {
        (&**fs as &dyn Any).downcast_ref()
    }
}

impl FileSystem for MqueueFs {
    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn type_name(&self) -> &'static str {
        "mqueue"
    }

    fn device(&self) -> DeviceNumber {
        self.root.device
    }

    fn statfs(&self) -> SysResult<StatFs> {
        Ok(StatFs { magic: MQUEUE_MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }
}

struct Directory {
    me: Weak<Directory>,
    memory: Arc<PhysicalMemory>,
    device: DeviceNumber,
    next_ino: AtomicU64,
    attributes: Attributes,
    queues: Mutex<Entries<Arc<QueueNode>>>,
}

impl Directory {
    fn create_queue(
        &self,
        name: &[u8],
        node: &NewNode<'_>,
        capacity: Capacity,
        privileged: bool,
        limit: u64,
    ) -> SysResult<()> {
        let mut queues = self.queues.lock();
        if queues.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        if queues.len() >= QUEUES_MAX && !privileged {
            return Err(Errno::ENOSPC);
        }
        let own = queues.from_cookie(0).filter(|(_, _, queue)| queue.owner == node.uid);
        let used: u64 = own.map(|(_, _, queue)| queue.queue.capacity().charged()).sum();
        if used.saturating_add(capacity.charged()) > limit {
            return Err(Errno::EMFILE);
        }
        let queue = QueueNode {
            directory: self.me.clone(),
            ino: self.next_ino.fetch_add(1, Ordering::Relaxed),
            owner: node.uid,
            attributes: Attributes::new(node, 1),
            queue: Arc::new(MessageQueue::new(&self.memory, capacity)?),
            _charge: charge_inode(&self.memory, node)?,
        };
        queues.insert(name, Arc::new(queue))?;
        self.attributes.modified();
        Ok(())
    }

    fn metadata_of(
        &self,
        ino: u64,
        kind: FileType,
        size: u64,
        attributes: &Attributes,
    ) -> Metadata {
        let mut metadata = Metadata {
            dev: self.device,
            ino,
            kind,
            mode: 0,
            nlink: 0,
            uid: 0,
            gid: 0,
            rdev: DeviceNumber(0),
            size,
            block_size: 4096,
            blocks: 0,
            atime: Default::default(),
            mtime: Default::default(),
            ctime: Default::default(),
            btime: None,
        };
        attributes.fill(&mut metadata);
        metadata
    }
}

impl Inode for Directory {
    fn kind(&self) -> FileType {
        FileType::Directory
    }

    fn metadata(&self) -> SysResult<Metadata> {
        let size = self.queues.lock().len() as u64 * 20;
        Ok(self.metadata_of(1, FileType::Directory, size, &self.attributes))
    }

    fn set_attributes(&self, change: &AttributeChange) -> SysResult<()> {
        self.attributes.set(change);
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> SysResult<Arc<dyn Inode>> {
        match self.queues.lock().get(name) {
            Some(queue) => Ok(queue.clone()),
            None => Err(Errno::ENOENT),
        }
    }

    fn caches_entries(&self) -> bool {
        // Those made by mq_open(2) come without the dentries knowing.
        false
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        if node.kind != FileType::Regular {
            return Err(Errno::EPERM);
        }
        self.create_queue(name, node, DEFAULT, false, u64::MAX)?;
        self.lookup(name)
    }

    fn unlink(&self, name: &[u8]) -> SysResult<()> {
        let queue = self.queues.lock().remove(name).ok_or(Errno::ENOENT)?;
        queue.attributes.add_links(-1);
        self.attributes.modified();
        Ok(())
    }

    fn read_dir(&self, cookie: u64, sink: &mut DirSink<'_>) -> SysResult<()> {
        for (cookie, name, queue) in self.queues.lock().from_cookie(cookie) {
            let entry =
                DirEntry { name, ino: queue.ino, kind: FileType::Regular, next: cookie + 1 };
            if !sink(&entry) {
                break;
            }
        }
        Ok(())
    }
}

struct QueueNode {
    directory: Weak<Directory>,
    ino: u64,
    /// Who made it, against whose limit it counts.
    owner: u32,
    attributes: Attributes,
    queue: Arc<MessageQueue>,
    _charge: hal::pmem::Charge,
}

impl Inode for QueueNode {
    fn kind(&self) -> FileType {
        FileType::Regular
    }

    fn metadata(&self) -> SysResult<Metadata> {
        let directory = self.directory.upgrade().ok_or(Errno::ENOENT)?;
        Ok(directory.metadata_of(self.ino, FileType::Regular, FILE_SIZE, &self.attributes))
    }

    fn set_attributes(&self, change: &AttributeChange) -> SysResult<()> {
        self.attributes.set(change);
        Ok(())
    }

    fn resize(&self, _size: u64) -> SysResult<()> {
        Ok(())
    }

    fn open(&self, _flags: u32) -> SysResult<Option<Arc<dyn File>>> {
        Ok(Some(Arc::new(QueueFile(self.queue.clone()))))
    }
}

/// An open message queue.
pub struct QueueFile(Arc<MessageQueue>);

impl QueueFile {
    /// The queue.
    pub fn queue(&self) -> &Arc<MessageQueue> {
        &self.0
    }
}

impl File for QueueFile {
    fn read(&self, offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        let text = self.0.describe();
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        dst.write(&text.as_bytes()[offset..])
    }

    fn transfers(&self) -> (bool, bool) {
        (true, false)
    }

    fn poll(&self) -> PollEvents {
        self.0.poll()
    }

    fn seeking(&self) -> Seeking {
        Seeking::Moves
    }

    fn size(&self) -> SysResult<u64> {
        Ok(FILE_SIZE)
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.0.changed())
    }
}
