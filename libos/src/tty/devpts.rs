//! devpts: the file system of /dev/pts, with a node for each pty's slave.
//!
//! The one idea: it has nothing of its own; what it lists are the ptys that have names at the moment ([`Terminals`]). Each that is mounted has others. See pts(4),
//! Documentation/filesystems/devpts.rst.

use std::{any::Any, sync::Arc};

use super::{
    PtySettings,
    table::{Named, PTMX, Terminals},
};
use crate::{
    errno::{Errno, SysResult},
    vfs::{
        AttributeChange, DeviceNumber, DirEntry, File, FileSystem, FileType, Inode, Metadata,
        NewNode, StatFs, attributes::Attributes, inode::DirSink, inode::FIRST_COOKIE,
        tmpfs::anonymous_device,
    },
};

/// The magic number of statfs(2).
const DEVPTS_MAGIC: u64 = 0x1cd1;
/// The inodes: the root, its ptmx, and slave N at this plus N.
const ROOT_INO: u64 = 1;
const PTMX_INO: u64 = 2;
const SLAVES: u64 = 3;

/// The file system.
pub struct DevPts {
    root: Arc<Root>,
}

impl DevPts {
    /// That of `terminals`.
    pub fn new(terminals: &Arc<Terminals>) -> Arc<Self> {
        let device = anonymous_device();
        let PtySettings { ptmx_mode, owner: (user, group), .. } = *terminals.settings();
        let root = Attributes::new(&NewNode::new(FileType::Directory, 0o755, user, group), 2);
        let node = NewNode::new(FileType::CharDevice, ptmx_mode, user, group);
        let ptmx = Arc::new(Attributes::new(&node, 1));
        let terminals = Arc::clone(terminals);
        Arc::new(Self { root: Arc::new(Root { terminals, device, attributes: root, ptmx }) })
    }
}

impl DevPts {
    /// The ptys that are in it.
    pub fn terminals(&self) -> &Arc<Terminals> {
        &self.root.terminals
    }

    /// Those of `fs`, if it is one like this.
    pub fn terminals_of(fs: &dyn FileSystem) -> Option<Arc<Terminals>> {
        (fs as &dyn Any).downcast_ref::<Self>().map(|fs| Arc::clone(fs.terminals()))
    }
}

impl FileSystem for DevPts {
    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn type_name(&self) -> &'static str {
        "devpts"
    }

    fn statfs(&self) -> SysResult<StatFs> {
        Ok(StatFs { magic: DEVPTS_MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }

    fn device(&self) -> DeviceNumber {
        self.root.device
    }

    fn options(&self) -> String {
        self.root.terminals.settings().to_string()
    }
}

/// What is told of an inode here.
fn metadata(
    dev: DeviceNumber,
    ino: u64,
    kind: FileType,
    rdev: DeviceNumber,
    attributes: &Attributes,
) -> Metadata {
    let mut metadata = Metadata { dev, ino, kind, rdev, block_size: 1024, ..Metadata::anonymous() };
    metadata.size = 0;
    metadata.blocks = 0;
    attributes.fill(&mut metadata);
    metadata.btime = None;
    metadata
}

/// The directory.
struct Root {
    terminals: Arc<Terminals>,
    device: DeviceNumber,
    attributes: Attributes,
    ptmx: Arc<Attributes>,
}

impl Root {
    fn node(&self, ino: u64, rdev: DeviceNumber, attributes: &Arc<Attributes>) -> Arc<dyn Inode> {
        let attributes = Arc::clone(attributes);
        let terminals = Arc::clone(&self.terminals);
        Arc::new(Node { dev: self.device, ino, rdev, attributes, terminals })
    }
}

impl Inode for Root {
    fn kind(&self) -> FileType {
        FileType::Directory
    }

    fn metadata(&self) -> SysResult<Metadata> {
        let none = DeviceNumber(0);
        Ok(metadata(self.device, ROOT_INO, FileType::Directory, none, &self.attributes))
    }

    fn set_attributes(&self, change: &AttributeChange) -> SysResult<()> {
        self.attributes.set(change);
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> SysResult<Arc<dyn Inode>> {
        if name == b"ptmx" {
            return Ok(self.node(PTMX_INO, PTMX, &self.ptmx));
        }
        let number: u32 = std::str::from_utf8(name)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(Errno::ENOENT)?;
        if number.to_string().as_bytes() != name {
            return Err(Errno::ENOENT);
        }
        let Named { device, attributes, .. } = self.terminals.find(number).ok_or(Errno::ENOENT)?;
        Ok(self.node(SLAVES + u64::from(number), device, &attributes))
    }

    fn caches_entries(&self) -> bool {
        false
    }

    fn read_dir(&self, cookie: u64, sink: &mut DirSink<'_>) -> SysResult<()> {
        let ptmx = (PTMX_INO, "ptmx".to_owned());
        let slaves = self.terminals.named();
        let slaves =
            slaves.iter().map(|(number, _)| (SLAVES + u64::from(*number), number.to_string()));
        for (ino, name) in [ptmx].into_iter().chain(slaves) {
            // An inode's number is its place.
            let place = ino - PTMX_INO + FIRST_COOKIE;
            let kind = FileType::CharDevice;
            let entry = DirEntry { name: name.as_bytes(), ino, kind, next: place + 1 };
            if place >= cookie && !sink(&entry) {
                break;
            }
        }
        Ok(())
    }
}

/// A slave, or ptmx.
struct Node {
    dev: DeviceNumber,
    ino: u64,
    rdev: DeviceNumber,
    attributes: Arc<Attributes>,
    terminals: Arc<Terminals>,
}

impl Inode for Node {
    fn kind(&self) -> FileType {
        FileType::CharDevice
    }

    fn metadata(&self) -> SysResult<Metadata> {
        Ok(metadata(self.dev, self.ino, FileType::CharDevice, self.rdev, &self.attributes))
    }

    fn set_attributes(&self, change: &AttributeChange) -> SysResult<()> {
        self.attributes.set(change);
        Ok(())
    }

    fn open(&self, _flags: u32) -> SysResult<Option<Arc<dyn File>>> {
        let instance = Some(Arc::clone(&self.terminals));
        Ok(Some(Arc::new(super::Node { device: self.rdev, instance })))
    }
}
