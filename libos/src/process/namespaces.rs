//! What a process sees of the machine instead of all of it: namespaces(7).
//!
//! The one idea: a namespace is a value that threads share. The tree of mounts is with the directories that are in it
//! ([`FsContext`](crate::vfs::FsContext)), that of users with the [credentials](crate::vfs::Credentials); names and System V objects are here.
//! Each belongs to the namespace of users that it was made in, and capabilities there count over it. Of process numbers, networks and clocks
//! there is one each, as in a Linux that was configured without their namespaces.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use linux_raw_sys::general as raw;
use parking_lot::RwLock;

use super::UserNamespace;
use crate::{
    ipc::Ipc,
    kernel::{Kernel, Names},
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
    /// Control groups.
    pub cgroup: Cgroup,
}

impl Namespaces {
    /// Those of a kernel's first process.
    pub fn first(names: Names) -> Self {
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
            cgroup: Cgroup { number: Kind::Cgroup.first_number(), owner },
        }
    }

    /// These, with new ones of the kinds in `flags` (`CLONE_NEW*`), which are `owner`'s.
    pub fn renewed(&self, kernel: &Kernel, flags: u64, owner: &UserNamespace) -> Self {
        let mut new = self.clone();
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
        if flags & u64::from(raw::CLONE_NEWCGROUP) != 0 {
            new.cgroup = Cgroup { number: next_number(), owner: owner.clone() };
        }
        new
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
    /// Control groups.
    Cgroup(Cgroup),
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
            Self::Cgroup(_) => Kind::Cgroup,
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
            Self::Cgroup(cgroup) => cgroup.number,
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
            Self::User(users) => users.parent().cloned(),
            Self::Only(_) => Some(UserNamespace::FIRST),
        }
    }
}
