//! What can be done with a file of the overlay: from what the host has and what was changed of it to what a caller sees.

use std::sync::Arc;

use hal::host::HostFile;
use kernel_objects::vmo::Vmo;

use super::directory::Change;
use super::{Body, Bytes, MEMORY_COOKIES, Node};
use crate::errno::{Errno, SysResult};
use crate::net::unix::Binding;
use crate::vfs::acl::{self, Acl};
use crate::vfs::buf::{IoDst, IoSrc, host_errno};
use crate::vfs::devices;
use crate::vfs::file::File;
use crate::vfs::host_content;
use crate::vfs::inode::{DirEntry, DirSink, FIRST_COOKIE, Inode, NewNode, RenameFlags};
use crate::vfs::metadata::{AttributeChange, FileType, Metadata};
use crate::vfs::pipe::Fifo;
use crate::vfs::writers::Writers;

impl Inode for Node {
    fn kind(&self) -> FileType {
        self.kind
    }

    fn metadata(&self) -> SysResult<Metadata> {
        let mut metadata = match &self.lower {
            Some(lower) => lower.metadata()?,
            None => Metadata {
                dev: self.device,
                ino: self.ino,
                kind: self.kind,
                mode: 0,
                nlink: 0,
                uid: 0,
                gid: 0,
                rdev: self.rdev,
                size: 0,
                block_size: 4096,
                blocks: 0,
                atime: Default::default(),
                mtime: Default::default(),
                ctime: Default::default(),
                btime: None,
            },
        };
        match &self.body {
            Body::File(bytes) => {
                if let Bytes::Memory(content) = &*bytes.read() {
                    metadata.size = content.size();
                    metadata.blocks = content.blocks();
                }
            }
            Body::Directory(_) if self.lower.is_none() => {
                metadata.size = 4096;
                metadata.blocks = 8;
            }
            Body::Symlink(target) if self.lower.is_none() => {
                metadata.size = target.get().map_or(0, |target| target.len() as u64);
            }
            _ => {}
        }
        if let Some(attributes) = self.attributes.get() {
            attributes.fill(&mut metadata);
        }
        Ok(metadata)
    }

    fn set_attributes(&self, change: &AttributeChange) -> SysResult<()> {
        self.attributes()?.set(change);
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> SysResult<Arc<dyn Inode>> {
        Ok(self.entry(name)?)
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        let node = Node::new(&self.shared, self.device, node)?;
        self.put(name, node.clone())?;
        if node.kind.is_dir() {
            self.attributes()?.add_links(1);
        }
        self.attributes()?.modified();
        Ok(node)
    }

    fn create_unnamed(&self, node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        let node = Node::new(&self.shared, self.device, node)?;
        node.attributes()?.add_links(-1);
        Ok(node)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> SysResult<()> {
        let target = Node::from_inode(target)?;
        target.attributes()?;
        target.pin();
        self.put(name, target.clone())?;
        target.attributes()?.add_links(1);
        self.attributes()?.modified();
        Ok(())
    }

    fn unlink(&self, name: &[u8]) -> SysResult<()> {
        let node = self.entry(name)?;
        if node.kind.is_dir() {
            return Err(Errno::EISDIR);
        }
        self.take(name)?;
        self.dropped(&node)
    }

    fn rmdir(&self, name: &[u8]) -> SysResult<()> {
        let node = self.entry(name)?;
        if !node.kind.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        if !node.is_empty()? {
            return Err(Errno::ENOTEMPTY);
        }
        self.take(name)?;
        self.dropped(&node)
    }

    fn rename(
        &self,
        name: &[u8],
        new_dir: &Arc<dyn Inode>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> SysResult<()> {
        let new_dir = Node::from_inode(new_dir)?;
        let node = self.entry(name)?;
        let old = match new_dir.entry(new_name) {
            Ok(old) => Some(old),
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        // The new place must find the same node whatever happens to the host's name.
        node.attributes()?.changed();
        if flags.contains(RenameFlags::EXCHANGE) {
            let old = old.ok_or(Errno::ENOENT)?;
            old.attributes()?.changed();
            new_dir.put(new_name, node.clone())?;
            self.put(name, old.clone())?;
            if node.kind.is_dir() != old.kind.is_dir() {
                let delta = if node.kind.is_dir() { 1 } else { -1 };
                new_dir.attributes()?.add_links(delta);
                self.attributes()?.add_links(-delta);
            }
        } else {
            if let Some(old) = &old
                && !old.is_empty()?
            {
                return Err(Errno::ENOTEMPTY);
            }
            new_dir.put(new_name, node.clone())?;
            if let Err(error) = self.take(name) {
                // There is no memory to hide the host's name with.
                match old {
                    Some(old) => new_dir.put(new_name, old)?,
                    None => new_dir.take(new_name)?,
                }
                return Err(error);
            }
            if let Some(old) = old {
                new_dir.dropped(&old)?;
            }
            if node.kind.is_dir() {
                new_dir.attributes()?.add_links(1);
                self.attributes()?.add_links(-1);
            }
        }
        self.attributes()?.modified();
        new_dir.attributes()?.modified();
        Ok(())
    }

    fn read_dir(&self, cookie: u64, sink: &mut DirSink<'_>) -> SysResult<()> {
        let directory = self.directory()?;
        if cookie < MEMORY_COOKIES
            && let Some(lower) = &self.lower
        {
            if cookie <= FIRST_COOKIE || directory.lock().listing.is_empty() {
                let fresh = lower.node.read_dir().map_err(host_errno)?;
                directory.lock().listing = Arc::new(fresh);
            }
            let listing = directory.lock().listing.clone();
            let first = cookie.saturating_sub(FIRST_COOKIE);
            let first = usize::try_from(first).unwrap_or(usize::MAX);
            for (index, entry) in listing.iter().enumerate().skip(first) {
                if directory.lock().change(&entry.name).is_some() {
                    continue;
                }
                let kind = match host_content::entry_kind(entry.kind) {
                    Some(kind) => kind,
                    None => match self.entry(&entry.name) {
                        Ok(node) => node.kind,
                        Err(_) => continue,
                    },
                };
                let next = FIRST_COOKIE + index as u64 + 1;
                if !sink(&DirEntry { name: &entry.name, ino: entry.ino, kind, next }) {
                    return Ok(());
                }
            }
        }
        let directory = directory.lock();
        let Some(changes) = &directory.changes else { return Ok(()) };
        for (cookie, name, change) in changes.from_cookie(cookie) {
            let Change::Node(node) = change else { continue };
            if !sink(&DirEntry { name, ino: node.ino, kind: node.kind, next: cookie + 1 }) {
                break;
            }
        }
        Ok(())
    }

    fn read_link(&self) -> SysResult<Vec<u8>> {
        let Body::Symlink(target) = &self.body else { return Err(Errno::EINVAL) };
        if let Some(target) = target.get() {
            return Ok(target.to_vec());
        }
        let lower = self.lower.as_ref().ok_or(Errno::EIO)?;
        let text = lower.node.read_link().map_err(host_errno)?;
        Ok(target.get_or_init(|| text.into_boxed_slice()).to_vec())
    }

    fn read_at(&self, offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        match &*self.bytes()?.read() {
            Bytes::Memory(content) => {
                let done = content.read_at(offset, dst)?;
                if let Some(attributes) = self.attributes.get() {
                    attributes.accessed();
                }
                Ok(done)
            }
            Bytes::Host(host) => {
                let size = self.lower.as_ref().ok_or(Errno::EIO)?.metadata()?.size;
                host.read_at(offset, size, dst)
            }
        }
    }

    fn fetch(&self, offset: u64, len: u64) -> SysResult<()> {
        match &*self.bytes()?.read() {
            Bytes::Memory(_) => Ok(()),
            Bytes::Host(host) => host.fetch(offset, len),
        }
    }

    fn write_at(&self, offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        self.change(u64::MAX, |content| content.write_at(offset, src))
    }

    fn append(&self, src: &mut IoSrc<'_>) -> SysResult<(usize, u64)> {
        self.change(u64::MAX, |content| content.append(src))
    }

    fn size(&self) -> SysResult<u64> {
        if let Body::File(bytes) = &self.body
            && let Bytes::Memory(content) = &*bytes.read()
        {
            return Ok(content.size());
        }
        Ok(self.metadata()?.size)
    }

    fn resize(&self, size: u64) -> SysResult<()> {
        self.change(size, |content| content.resize(size))
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> SysResult<()> {
        self.change(u64::MAX, |content| content.allocate(mode, offset, len))
    }

    fn seek_data(&self, offset: u64, hole: bool) -> SysResult<u64> {
        match &*self.bytes()?.read() {
            Bytes::Memory(content) => content.seek_data(offset, hole),
            Bytes::Host(host) => host.file()?.seek_data(offset, hole).map_err(host_errno),
        }
    }

    fn vmo(&self) -> SysResult<Arc<Vmo>> {
        match &self.body {
            Body::File(bytes) => match &*bytes.read() {
                Bytes::Memory(content) => {
                    if let Some(attributes) = self.attributes.get() {
                        attributes.accessed();
                    }
                    content.vmo()
                }
                Bytes::Host(host) => {
                    host.vmo(self.lower.as_ref().ok_or(Errno::EIO)?.metadata()?.size)
                }
            },
            _ => Err(Errno::ENODEV),
        }
    }

    fn open(&self, flags: u32) -> SysResult<Option<Arc<dyn File>>> {
        use linux_raw_sys::general as raw;
        match self.kind {
            FileType::CharDevice => devices::open(self.rdev, flags).map(Some),
            FileType::Regular if flags & raw::O_ACCMODE != raw::O_RDONLY => {
                // A shared mapping of this file may be written without our knowing: its pages must be ours.
                self.take_content(HostFile::try_pread).map(|()| None)
            }
            _ => Ok(None),
        }
    }

    fn take_over(&self) -> SysResult<()> {
        self.take_content(HostFile::pread)
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
        match (self.xattrs.get(), &self.lower) {
            (Some(xattrs), _) => xattrs.get(name),
            (None, Some(lower)) => lower.node.xattr(name).map_err(host_errno),
            (None, None) => Err(Errno::ENODATA),
        }
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> SysResult<()> {
        self.xattrs()?.set(name, value, flags)?;
        self.attributes()?.changed();
        Ok(())
    }

    fn remove_xattr(&self, name: &[u8]) -> SysResult<()> {
        self.xattrs()?.remove(name)?;
        self.attributes()?.changed();
        Ok(())
    }

    fn list_xattrs(&self) -> SysResult<Vec<Vec<u8>>> {
        match (self.xattrs.get(), &self.lower) {
            (Some(xattrs), _) => Ok(xattrs.names()),
            (None, Some(lower)) => match lower.node.xattr_names() {
                Ok(names) => Ok(host_content::split_names(&names)),
                Err(_) => Ok(Vec::new()),
            },
            (None, None) => Ok(Vec::new()),
        }
    }

    fn acl(&self, name: &[u8]) -> Option<Acl> {
        if self.xattrs.get().is_none() {
            let listed = || self.list_xattrs().unwrap_or_default();
            let is_acl = |name: &Vec<u8>| name == acl::ACCESS || name == acl::DEFAULT;
            if !*self.lower_has_acls.get_or_init(|| listed().iter().any(is_acl)) {
                return None;
            }
        }
        acl::stored(self.xattr(name))
    }
}
