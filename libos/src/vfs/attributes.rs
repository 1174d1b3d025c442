//! What inodes in memory keep besides content: attributes and extended attributes.
//!
//! The one idea: file systems in memory differ in where content comes from, not in how they keep owners and times,
//! so tmpfs, devices and the overlay's changed files share these two types.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hal::pmem::{Charge, PhysicalMemory};
use linux_raw_sys::general as raw;
use parking_lot::Mutex;

use super::inode::NewNode;
use super::metadata::{AttributeChange, DeviceNumber, FileType, Metadata, Timespec};
use crate::errno::{Errno, SysResult};

/// Owner, mode, links and times of an inode.
pub struct Attributes {
    values: Mutex<Values>,
    /// The access time is newer than the change time: by the rule of `relatime` it need not be set again.
    accessed: AtomicBool,
}

#[derive(Clone, Copy)]
struct Values {
    mode: u32,
    uid: u32,
    gid: u32,
    nlink: u64,
    atime: Timespec,
    mtime: Timespec,
    ctime: Timespec,
    btime: Option<Timespec>,
}

impl Attributes {
    /// Those of a new inode with `nlink` links.
    pub fn new(node: &NewNode<'_>, nlink: u64) -> Self {
        let now = Timespec::now();
        Self::from_values(Values {
            mode: node.mode & 0o7777,
            uid: node.uid,
            gid: node.gid,
            nlink,
            atime: now,
            mtime: now,
            ctime: now,
            btime: Some(now),
        })
    }

    /// Those that another file system gave an inode so far.
    pub fn copied(from: &Metadata) -> Self {
        Self::from_values(Values {
            mode: from.mode,
            uid: from.uid,
            gid: from.gid,
            nlink: from.nlink,
            atime: from.atime,
            mtime: from.mtime,
            ctime: from.ctime,
            btime: from.btime,
        })
    }

    fn from_values(values: Values) -> Self {
        Self { values: Mutex::new(values), accessed: AtomicBool::new(false) }
    }

    /// Fills in the fields of `metadata` that are kept here.
    pub fn fill(&self, metadata: &mut Metadata) {
        let values = *self.values.lock();
        metadata.mode = values.mode;
        metadata.uid = values.uid;
        metadata.gid = values.gid;
        metadata.nlink = values.nlink;
        metadata.atime = values.atime;
        metadata.mtime = values.mtime;
        metadata.ctime = values.ctime;
        metadata.btime = values.btime;
    }

    /// What stat(2) tells of a pipe or socket without a name.
    pub fn of_nameless(&self, dev: DeviceNumber, ino: u64, kind: FileType) -> Metadata {
        let mut metadata = Metadata { dev, ino, kind, ..Metadata::anonymous() };
        self.fill(&mut metadata);
        metadata.btime = None;
        metadata
    }

    /// Applies `change`; `ctime` becomes now.
    pub fn set(&self, change: &AttributeChange) {
        let now = Timespec::now();
        let mut values = self.values.lock();
        values.mode = change.mode.unwrap_or(values.mode);
        values.uid = change.uid.unwrap_or(values.uid);
        values.gid = change.gid.unwrap_or(values.gid);
        values.atime = change.atime.unwrap_or(values.atime);
        values.mtime = change.mtime.unwrap_or(values.mtime);
        values.ctime = now;
        self.accessed.store(values.atime > values.mtime, Ordering::Relaxed);
    }

    /// The content was read: the access time follows, as far as `relatime` wants.
    pub fn accessed(&self) {
        if !self.accessed.load(Ordering::Relaxed) {
            self.values.lock().atime = Timespec::now();
            self.accessed.store(true, Ordering::Relaxed);
        }
    }

    /// The content was changed.
    pub fn modified(&self) {
        let now = Timespec::now();
        let mut values = self.values.lock();
        values.mtime = now;
        values.ctime = now;
        self.accessed.store(false, Ordering::Relaxed);
    }

    /// The inode, but not its content, was changed.
    pub fn changed(&self) {
        self.values.lock().ctime = Timespec::now();
    }

    /// Adds `delta` links, and this changes the inode.
    pub fn add_links(&self, delta: i64) {
        let now = Timespec::now();
        let mut values = self.values.lock();
        values.nlink = values.nlink.saturating_add_signed(delta);
        values.ctime = now;
    }

    /// Number of links.
    pub fn links(&self) -> u64 {
        self.values.lock().nlink
    }
}

/// Longest value of an extended attribute, in bytes (`XATTR_SIZE_MAX`).
pub const XATTR_SIZE_MAX: usize = 65536;

/// Extended attributes, in the order in which they were set. They count against the memory limit.
pub struct Xattrs(Mutex<XattrList>);

struct XattrList {
    list: Vec<(Vec<u8>, Vec<u8>)>,
    charge: Charge,
}

impl XattrList {
    /// Charges for what is listed and `more` bytes; `ENOSPC`.
    fn recharge(&mut self, more: usize) -> SysResult<()> {
        let used: usize = self.list.iter().map(|(key, value)| key.len() + value.len()).sum();
        if more > 0 && used + more > 2 * XATTR_SIZE_MAX {
            return Err(Errno::ENOSPC);
        }
        self.charge.resize((used + more) as u64).map_err(|_| Errno::ENOSPC)
    }
}

impl Xattrs {
    /// None.
    pub fn new(memory: &Arc<PhysicalMemory>) -> Self {
        Self(Mutex::new(XattrList { list: Vec::new(), charge: memory.no_charge() }))
    }

    /// The value of `name`; `ENODATA`.
    pub fn get(&self, name: &[u8]) -> SysResult<Vec<u8>> {
        let state = self.0.lock();
        let found = state.list.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).ok_or(Errno::ENODATA)
    }

    /// Sets `name`; with `XATTR_CREATE` it must not exist (`EEXIST`), with `XATTR_REPLACE` it must (`ENODATA`).
    pub fn set(&self, name: &[u8], value: &[u8], flags: u32) -> SysResult<()> {
        let mut state = self.0.lock();
        let known = state.list.iter().position(|(key, _)| key == name);
        match known {
            Some(_) if flags & raw::XATTR_CREATE != 0 => return Err(Errno::EEXIST),
            None if flags & raw::XATTR_REPLACE != 0 => return Err(Errno::ENODATA),
            _ => {}
        }
        state.recharge(name.len() + value.len())?;
        match known.and_then(|index| state.list.get_mut(index)) {
            Some((_, old)) => *old = value.to_vec(),
            None => state.list.push((name.to_vec(), value.to_vec())),
        }
        // Not more than was charged already.
        state.recharge(0)
    }

    /// Removes `name`; `ENODATA`.
    pub fn remove(&self, name: &[u8]) -> SysResult<()> {
        let mut state = self.0.lock();
        let index = state.list.iter().position(|(key, _)| key == name).ok_or(Errno::ENODATA)?;
        state.list.remove(index);
        state.recharge(0)
    }

    /// All names.
    pub fn names(&self) -> Vec<Vec<u8>> {
        self.0.lock().list.iter().map(|(key, _)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::metadata::FileType;

    #[test]
    fn an_access_is_noted_once_after_each_change() {
        let attributes = Attributes::new(&NewNode::new(FileType::Regular, 0o644, 0, 0), 1);
        let start = attributes.values.lock().atime;
        attributes.accessed();
        let first = attributes.values.lock().atime;
        assert!(first >= start);
        attributes.values.lock().atime = Timespec::default();
        attributes.accessed();
        assert_eq!(attributes.values.lock().atime, Timespec::default());
        attributes.modified();
        attributes.accessed();
        assert!(attributes.values.lock().atime >= first);
    }

    #[test]
    fn xattr_flags_are_obeyed() {
        let memory = PhysicalMemory::new(Some(20)).unwrap();
        let xattrs = Xattrs::new(&memory);
        assert_eq!(xattrs.set(b"user.a", b"1", raw::XATTR_REPLACE), Err(Errno::ENODATA));
        assert_eq!(xattrs.set(b"user.a", b"1", raw::XATTR_CREATE), Ok(()));
        assert_eq!(xattrs.set(b"user.a", b"2", raw::XATTR_CREATE), Err(Errno::EEXIST));
        assert_eq!(xattrs.set(b"user.a", b"3", 0), Ok(()));
        assert_eq!(xattrs.set(b"user.b", &[0; 9], 0), Err(Errno::ENOSPC));
        assert_eq!(xattrs.get(b"user.a"), Ok(b"3".to_vec()));
        assert_eq!(memory.charged(), 7);
        assert_eq!(xattrs.remove(b"user.a"), Ok(()));
        assert_eq!(xattrs.get(b"user.a"), Err(Errno::ENODATA));
        assert!(xattrs.names().is_empty() && memory.charged() == 0);
    }
}
