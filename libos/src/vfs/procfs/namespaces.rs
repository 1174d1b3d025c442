//! /proc/PID/ns: the namespaces that a thread is in, as files that setns(2) takes.
//!
//! The one idea: such a file holds on to its namespace, so that one can be entered that nobody is in any more. It is a file system of its own, nsfs,
//! so a bind mount of it holds on, too.

use std::sync::Arc;

use linux_raw_sys::general as raw;

use super::node::{Directory, What};
use super::process::Subject;
use crate::errno::{Errno, SysResult};
use crate::process::namespaces::Kind;
use crate::process::{Namespace, Thread};
use crate::vfs::buf::GuestMemory;
use crate::vfs::file::File;
use crate::vfs::inode::{FileSystem, Inode};
use crate::vfs::metadata::{DeviceNumber, FileType, Metadata, StatFs};
use crate::vfs::mount::{Mount, MountFlags, Path, Superblock};
use crate::vfs::reopen::Reopen;

/// The magic number of statfs(2).
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// The device of all such files.
const NSFS: DeviceNumber = DeviceNumber::new(0, 4);

/// The links of the directory.
const LINKS: [(&str, Kind); 10] = [
    ("cgroup", Kind::Cgroup),
    ("ipc", Kind::Ipc),
    ("mnt", Kind::Mount),
    ("net", Kind::Net),
    ("pid", Kind::Pid),
    (FOR_CHILDREN, Kind::Pid),
    ("time", Kind::Time),
    ("time_for_children", Kind::Time),
    ("user", Kind::User),
    ("uts", Kind::Uts),
];

/// The namespace of process numbers that its children will be in.
const FOR_CHILDREN: &str = "pid_for_children";

/// The directory.
pub(super) struct NamespaceLinks(pub(super) Subject);

impl Directory for NamespaceLinks {
    fn mode(&self) -> u32 {
        0o511
    }

    fn list(&self) -> SysResult<Vec<(Vec<u8>, FileType)>> {
        Ok(LINKS.iter().map(|(name, _)| (name.as_bytes().to_vec(), FileType::Symlink)).collect())
    }

    fn find(&self, name: &[u8]) -> SysResult<What> {
        let known = LINKS.iter().find(|(known, _)| known.as_bytes() == name);
        let &(name, kind) = known.ok_or(Errno::ENOENT)?;
        let (subject, again) = (self.0.clone(), self.0.clone());
        Ok(What::Jump(
            Arc::new(move || {
                let thread = subject.thread()?;
                Ok(link_text(&namespace(&thread, name, kind)))
            }),
            Arc::new(move || {
                let thread = again.thread()?;
                let fs = Superblock::new(Arc::new(NsFs(namespace(&thread, name, kind))));
                Ok(Path::root_of(&Mount::new_root(fs, MountFlags::empty(), "nsfs")))
            }),
        ))
    }
}

/// The namespace that a thread's link `name` leads to, which is of `kind`.
fn namespace(thread: &Thread, name: &str, kind: Kind) -> Namespace {
    match kind {
        Kind::Pid if name == FOR_CHILDREN => {
            Namespace::Pid(Arc::clone(&thread.namespaces.read().pid))
        }
        Kind::Pid => Namespace::Pid(Arc::clone(&thread.process.pid_namespace)),
        Kind::Mount => Namespace::Mount(Arc::clone(&thread.fs.read_recursive().mounts)),
        Kind::Uts => Namespace::Uts(Arc::clone(&thread.namespaces.read().uts)),
        Kind::Ipc => Namespace::Ipc(Arc::clone(&thread.namespaces.read().ipc)),
        Kind::Net => Namespace::Net(thread.net()),
        Kind::Cgroup => Namespace::Cgroup(thread.namespaces.read().cgroup.clone()),
        Kind::User => Namespace::User(thread.process.user_namespace()),
        kind => Namespace::Only(kind),
    }
}

/// The file system that has the file of one namespace, and nothing else.
struct NsFs(Namespace);

impl FileSystem for NsFs {
    fn root(&self) -> Arc<dyn Inode> {
        let file = Arc::new(NamespaceFile(self.0.clone()));
        Arc::new(Reopen { file, flags: raw::O_RDONLY })
    }

    fn type_name(&self) -> &'static str {
        "nsfs"
    }

    fn is_lone(&self) -> bool {
        true
    }

    fn root_name(&self) -> Vec<u8> {
        link_text(&self.0)
    }

    fn statfs(&self) -> SysResult<StatFs> {
        let magic = NSFS_MAGIC;
        Ok(StatFs { magic, block_size: 4096, name_max: 255, ..StatFs::default() })
    }

    fn device(&self) -> DeviceNumber {
        NSFS
    }
}

/// What its link says.
fn link_text(namespace: &Namespace) -> Vec<u8> {
    format!("{}:[{}]", namespace.kind().word(), namespace.number()).into_bytes()
}

/// An open file of a namespace.
pub struct NamespaceFile(Namespace);

impl NamespaceFile {
    /// One of `namespace`.
    pub fn new(namespace: Namespace) -> Self {
        Self(namespace)
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.0
    }
}

/// Which kind it is: `NS_GET_NSTYPE`, ioctl_ns(2).
const GET_KIND: u32 = 0xb703;

impl File for NamespaceFile {
    fn transfers(&self) -> (bool, bool) {
        (false, false)
    }

    fn metadata(&self) -> Option<SysResult<Metadata>> {
        Some(Ok(Metadata {
            dev: NSFS,
            ino: self.0.number(),
            kind: FileType::Regular,
            mode: 0o444,
            ..Metadata::anonymous()
        }))
    }

    fn ioctl(&self, command: u32, _arg: u64, _memory: &dyn GuestMemory) -> SysResult {
        match command {
            GET_KIND => Ok(self.0.kind().flag() as usize),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn link_text(&self) -> Vec<u8> {
        link_text(&self.0)
    }

    fn reopen(&self, flags: u32, _old: u32) -> SysResult<Arc<dyn File>> {
        match flags & raw::O_ACCMODE {
            raw::O_RDONLY => Ok(Arc::new(Self(self.0.clone()))),
            _ => Err(Errno::EPERM),
        }
    }
}
