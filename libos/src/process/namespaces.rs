//! What a process sees of the machine instead of all of it: namespaces(7).
//!
//! The one idea: a namespace is a value that threads share. The tree of mounts is with the directories that are in it
//! ([`FsContext`](crate::vfs::FsContext)), that of users with the [credentials](crate::vfs::Credentials); names and System V objects are here,
//! networks are [`net`](crate::net)'s, process numbers in a file of their own. Each belongs to the namespace of users that it
//! was made in, and capabilities there count over it. Of clocks there is one, as in a Linux that was configured without their namespaces.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use linux_raw_sys::general as raw;
use parking_lot::RwLock;

use super::{PidNamespace, UserNamespace};
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
    /// Whose it is.
    pub owner: UserNamespace,
    /// The names.
    pub names: RwLock<Names>,
}

/// System V objects.
#[derive(Default)]
pub struct IpcNamespace {
    /// Its number.
    pub number: u64,
    /// Whose it is.
    pub owner: UserNamespace,
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
    /// Whose it is.
    pub owner: UserNamespace,
}

impl NetNamespace {
    /// That of a kernel's first process.
    pub fn first(inet: Arc<inet::Stack>, unix: Arc<unix::Namespace>) -> Arc<Self> {
        let owner = UserNamespace::FIRST;
        Arc::new(Self { number: Kind::Net.first_number(), inet, unix, owner })
    }

    /// A new one of the same kernel, which is `owner`'s.
    pub fn another(&self, owner: &UserNamespace) -> Arc<Self> {
        let (inet, unix) = (self.inet.another(owner), self.unix.another());
        Arc::new(Self { number: next_number(), inet, unix, owner: owner.clone() })
    }
}

/// Control groups: there is one, so all of them show the same.
#[derive(Clone)]
pub struct Cgroup {
    /// Its number.
    pub number: u64,
    /// Whose it is.
    pub owner: UserNamespace,
}

/// The namespaces of a thread but those of mounts and users.
#[derive(Clone)]
pub struct Namespaces {
    /// Names, uname(2).
    pub uts: Arc<Uts>,
    /// System V objects.
    pub ipc: Arc<IpcNamespace>,
    /// The network.
    pub net: Arc<NetNamespace>,
    /// Control groups.
    pub cgroup: Cgroup,
    /// Process numbers: the one that its children will be in.
    pub pid: Arc<PidNamespace>,
}

impl Namespaces {
    /// Those of a kernel's first process.
    pub fn first(names: Names, net: Arc<NetNamespace>) -> Self {
        let owner = UserNamespace::FIRST;
        Self {
            uts: Arc::new(Uts {
                number: Kind::Uts.first_number(),
                owner: owner.clone(),
                names: RwLock::new(names),
            }),
            ipc: Arc::new(IpcNamespace {
                number: Kind::Ipc.first_number(),
                owner: owner.clone(),
                objects: Ipc::default(),
            }),
            net,
            cgroup: Cgroup { number: Kind::Cgroup.first_number(), owner },
            pid: PidNamespace::first(),
        }
    }

    /// These, with new ones of the kinds in `flags` (`CLONE_NEW*`), which are `owner`'s. `ENOSPC` when one would be too deep in others.
    pub fn renewed(&self, kernel: &Kernel, flags: u64, owner: &UserNamespace) -> SysResult<Self> {
        let mut new = self.clone();
        if flags & u64::from(raw::CLONE_NEWPID) != 0 {
            new.pid = self.pid.nested(owner)?;
        }
        if flags & u64::from(raw::CLONE_NEWUTS) != 0 {
            let names = RwLock::new(self.uts.names.read().clone());
            new.uts = Arc::new(Uts { number: next_number(), owner: owner.clone(), names });
        }
        if flags & u64::from(raw::CLONE_NEWIPC) != 0 {
            new.ipc = Arc::new(IpcNamespace {
                number: next_number(),
                owner: owner.clone(),
                objects: Ipc::default(),
            });
            kernel.know_ipc(&new.ipc);
        }
        if flags & u64::from(raw::CLONE_NEWNET) != 0 {
            new.net = self.net.another(owner);
        }
        if flags & u64::from(raw::CLONE_NEWCGROUP) != 0 {
            new.cgroup = Cgroup { number: next_number(), owner: owner.clone() };
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
    /// Control groups.
    Cgroup(Cgroup),
    /// Process numbers.
    Pid(Arc<PidNamespace>),
    /// Users.
    User(UserNamespace),
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
            Self::User(_) => Kind::User,
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
            Self::Cgroup(cgroup) => cgroup.number,
            Self::Pid(numbers) => numbers.number,
            Self::User(users) => users.number(),
            Self::Only(kind) => kind.first_number(),
        }
    }

    /// The namespace of users that it belongs to; the first of those belongs to none.
    pub fn owner(&self) -> Option<UserNamespace> {
        match self {
            Self::Mount(mounts) => Some(mounts.owner().clone()),
            Self::Uts(uts) => Some(uts.owner.clone()),
            Self::Ipc(ipc) => Some(ipc.owner.clone()),
            Self::Cgroup(cgroup) => Some(cgroup.owner.clone()),
            Self::Net(net) => Some(net.owner.clone()),
            Self::Pid(numbers) => Some(numbers.owner.clone()),
            Self::User(users) => users.parent().cloned(),
            Self::Only(_) => Some(UserNamespace::FIRST),
        }
    }
}
