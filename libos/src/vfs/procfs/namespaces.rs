//! /proc/PID/ns: the namespaces that a thread is in, as files that setns(2) takes.
//!
//! The one idea: such a file holds on to its namespace, so that one can be entered that nobody is in any more.

use std::sync::Arc;

use linux_raw_sys::general as raw;

use super::node::{Directory, What};
use super::process::Subject;
use crate::errno::{Errno, SysResult};
use crate::process::namespaces::Kind;
use crate::process::{Namespace, Thread};
use crate::vfs::buf::GuestMemory;
use crate::vfs::file::File;
use crate::vfs::metadata::{FileType, Metadata};
use crate::vfs::mount::Path;
use crate::vfs::reopen::Reopen;

/// The links of the directory.
const LINKS: [(&str, Kind); 10] = [
    ("cgroup", Kind::Cgroup),
    ("ipc", Kind::Ipc),
    ("mnt", Kind::Mount),
    ("net", Kind::Net),
    ("pid", Kind::Pid),
    ("pid_for_children", Kind::Pid),
    ("time", Kind::Time),
    ("time_for_children", Kind::Time),
    ("user", Kind::User),
    ("uts", Kind::Uts),
];

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
        let &(_, kind) = known.ok_or(Errno::ENOENT)?;
        let (subject, again) = (self.0.clone(), self.0.clone());
        Ok(What::Jump(
            Arc::new(move || {
                let thread = subject.thread()?;
                let number = namespace(&thread, kind).number();
                Ok(format!("{}:[{number}]", kind.word()).into_bytes())
            }),
            Arc::new(move || {
                let thread = again.thread()?;
                let file = Arc::new(NamespaceFile(namespace(&thread, kind)));
                Ok(Path::detached(Arc::new(Reopen { file, flags: raw::O_RDONLY })))
            }),
        ))
    }
}

/// The namespace of one kind that a thread is in.
fn namespace(thread: &Thread, kind: Kind) -> Namespace {
    match kind {
        Kind::Mount => Namespace::Mount(Arc::clone(&thread.fs.read_recursive().mounts)),
        Kind::Uts => Namespace::Uts(Arc::clone(&thread.namespaces.read().uts)),
        Kind::Ipc => Namespace::Ipc(Arc::clone(&thread.namespaces.read().ipc)),
        Kind::Cgroup => Namespace::Cgroup(thread.namespaces.read().cgroup.clone()),
        Kind::User => Namespace::User(thread.process.user_namespace()),
        kind => Namespace::Only(kind),
    }
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
        format!("{}:[{}]", self.0.kind().word(), self.0.number()).into_bytes()
    }

    fn reopen(&self, flags: u32, _old: u32) -> SysResult<Arc<dyn File>> {
        match flags & raw::O_ACCMODE {
            raw::O_RDONLY => Ok(Arc::new(Self(self.0.clone()))),
            _ => Err(Errno::EPERM),
        }
    }
}
