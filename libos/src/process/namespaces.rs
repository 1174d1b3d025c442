//! What a process sees of the machine instead of all of it: namespaces(7).
//!
//! The one idea: a namespace is a value that threads share. The tree of mounts is with the directories that are in it
//! ([`FsContext`](crate::vfs::FsContext)); names and System V objects are here, and around the networks of [`net`](crate::net) their numbers. Those of
//! process numbers are in [`pid_namespace`](super::pid_namespace). Of users and clocks there is one each, as in a Linux that was configured
//! without their namespaces.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use linux_raw_sys::general as raw;
use parking_lot::RwLock;

use super::PidNamespace;
use crate::{
    errno::SysResult,
    ipc::Ipc,
    kernel::{Kernel, Names},
    net::{inet, unix},
    vfs::mount_namespace::MountNamespace,
};

/// The number of the next one; the first ones have those that Linux's have.
static NEXT: AtomicU64 = AtomicU64::new(0xf000_0000);

/// A number for a new namespace: the inode number of its file in /proc.
pub fn next_number() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Whose name and domain uname(2) tells.
pub struct Uts {
    /// Its number.
    pub number: u64,
    /// The names.
    pub names: RwLock<Names>,
}

/// System V objects.
#[derive(Default)]
pub struct IpcNamespace {
    /// Its number.
    pub number: u64,
    /// The objects.
    pub objects: Ipc,
}

/// A network: devices, sockets, abstract names.
pub struct NetNamespace {
    /// Its number.
    pub number: u64,
    /// Its devices, and the Internet sockets in it.
    pub inet: Arc<inet::Stack>,
    /// The Unix sockets in it.
    pub unix: Arc<unix::Namespace>,
}

impl NetNamespace {
    /// That of a kernel's first process.
    pub fn first(inet: Arc<inet::Stack>, unix: Arc<unix::Namespace>) -> Arc<Self> {
        Arc::new(Self { number: Kind::Net.first_number(), inet, unix })
    }

    /// A new one of the same kernel.
    pub fn another(&self) -> Arc<Self> {
        let (inet, unix) = (self.inet.another(), self.unix.another());
        Arc::new(Self { number: next_number(), inet, unix })
    }
}

/// The namespaces of a thread but that of mounts.
#[derive(Clone)]
pub struct Namespaces {
    /// Names, uname(2).
    pub uts: Arc<Uts>,
    /// System V objects.
    pub ipc: Arc<IpcNamespace>,
    /// The network.
    pub net: Arc<NetNamespace>,
    /// The number of the namespace of control groups: there is one group, so all of them show the same.
    pub cgroup: u64,
    /// Process numbers: the one that its children will be in.
    pub pid: Arc<PidNamespace>,
}

impl Namespaces {
    /// Those of a kernel's first process.
    pub fn first(names: Names, net: Arc<NetNamespace>) -> Self {
        Self {
            uts: Arc::new(Uts { number: Kind::Uts.first_number(), names: RwLock::new(names) }),
            ipc: Arc::new(IpcNamespace {
                number: Kind::Ipc.first_number(),
                objects: Ipc::default(),
            }),
            net,
            cgroup: Kind::Cgroup.first_number(),
            pid: PidNamespace::first(),
        }
    }

    /// These, with new ones of the kinds in `flags` (`CLONE_NEW*`). `ENOSPC` when one would be too deep in others.
    pub fn renewed(&self, kernel: &Kernel, flags: u64) -> SysResult<Self> {
        let mut new = self.clone();
        if flags & u64::from(raw::CLONE_NEWPID) != 0 {
            new.pid = self.pid.nested()?;
        }
        if flags & u64::from(raw::CLONE_NEWUTS) != 0 {
            let names = RwLock::new(self.uts.names.read().clone());
            new.uts = Arc::new(Uts { number: next_number(), names });
        }
        if flags & u64::from(raw::CLONE_NEWIPC) != 0 {
            let ipc = IpcNamespace { number: next_number(), objects: Ipc::default() };
            new.ipc = Arc::new(ipc);
            kernel.know_ipc(&new.ipc);
        }
        if flags & u64::from(raw::CLONE_NEWNET) != 0 {
            new.net = self.net.another();
        }
        if flags & u64::from(raw::CLONE_NEWCGROUP) != 0 {
            new.cgroup = next_number();
        }
        Ok(new)
    }
}

/// The kinds of namespaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Control groups.
    Cgroup,
    /// System V objects.
    Ipc,
    /// Mounts.
    Mount,
    /// Networks.
    Net,
    /// Process numbers.
    Pid,
    /// Clocks.
    Time,
    /// Users.
    User,
    /// Names.
    Uts,
}

impl Kind {
    /// The flag that makes a new one: `CLONE_NEW*`.
    pub const fn flag(self) -> u32 {
        match self {
            Self::Cgroup => raw::CLONE_NEWCGROUP,
            Self::Ipc => raw::CLONE_NEWIPC,
            Self::Mount => raw::CLONE_NEWNS,
            Self::Net => raw::CLONE_NEWNET,
            Self::Pid => raw::CLONE_NEWPID,
            Self::Time => raw::CLONE_NEWTIME,
            Self::User => raw::CLONE_NEWUSER,
            Self::Uts => raw::CLONE_NEWUTS,
        }
    }

    /// What its link in /proc says in front of the number.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Ipc => "ipc",
            Self::Mount => "mnt",
            Self::Net => "net",
            Self::Pid => "pid",
            Self::Time => "time",
            Self::User => "user",
            Self::Uts => "uts",
        }
    }

    /// The number of the first one: Linux has these fixed.
    pub const fn first_number(self) -> u64 {
        match self {
            Self::Mount => 0xefff_fff8,
            Self::Net => 0xefff_fff9,
            Self::Time => 0xefff_fffa,
            Self::Cgroup => 0xefff_fffb,
            Self::Pid => 0xefff_fffc,
            Self::User => 0xefff_fffd,
            Self::Uts => 0xefff_fffe,
            Self::Ipc => 0xefff_ffff,
        }
    }
}

/// A namespace that setns(2) can enter.
#[derive(Clone)]
pub enum Namespace {
    /// Mounts.
    Mount(Arc<MountNamespace>),
    /// Names.
    Uts(Arc<Uts>),
    /// System V objects.
    Ipc(Arc<IpcNamespace>),
    /// Networks.
    Net(Arc<NetNamespace>),
    /// Control groups: all show the same.
    Cgroup(u64),
    /// Process numbers.
    Pid(Arc<PidNamespace>),
    /// The only one of its kind.
    Only(Kind),
}

impl Namespace {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Mount(_) => Kind::Mount,
            Self::Uts(_) => Kind::Uts,
            Self::Ipc(_) => Kind::Ipc,
            Self::Net(_) => Kind::Net,
            Self::Cgroup(_) => Kind::Cgroup,
            Self::Pid(_) => Kind::Pid,
            Self::Only(kind) => *kind,
        }
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        match self {
            Self::Mount(mounts) => mounts.number(),
            Self::Uts(uts) => uts.number,
            Self::Ipc(ipc) => ipc.number,
            Self::Net(net) => net.number,
            Self::Cgroup(number) => *number,
            Self::Pid(numbers) => numbers.number,
            Self::Only(kind) => kind.first_number(),
        }
    }
}
