//! Who may do what to a file: discretionary access control as Linux does it.
//!
//! The one idea: a caller is a [`Credentials`] value and a file is its owner, group and mode; the answer follows
//! from these alone (path_resolution(7), capabilities(7)), so the root user's bypass is a capability like any other. It counts over a
//! file if the file's owner and group have numbers in the caller's namespace of users.

use bitflags::bitflags;
use smallvec::SmallVec;

use super::acl::{self, Acl};
use super::inode::Inode;
use super::metadata::{FileType, Metadata};
use crate::errno::{Errno, SysResult};
use crate::process::{IdKind, UserNamespace};

bitflags! {
    /// What is asked of a file; the values are those of access(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u32 {
        /// Execute a file or search a directory.
        const EXEC = 1;
        /// Change content.
        const WRITE = 2;
        /// See content.
        const READ = 4;
    }
}

bitflags! {
    /// Those capabilities (capabilities(7)) that the kernel tells apart; bit numbers are Linux's.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Capabilities: u64 {
        /// Change owners of files.
        const CHOWN = 1 << 0;
        /// Bypass read, write and execute checks.
        const DAC_OVERRIDE = 1 << 1;
        /// Bypass read checks, and search checks on directories.
        const DAC_READ_SEARCH = 1 << 2;
        /// Bypass checks that the caller owns a file.
        const FOWNER = 1 << 3;
        /// Keep set-id bits.
        const FSETID = 1 << 4;
        /// Signal any process.
        const KILL = 1 << 5;
        /// Change group ids.
        const SETGID = 1 << 6;
        /// Change user ids.
        const SETUID = 1 << 7;
        /// Take capabilities away for good.
        const SETPCAP = 1 << 8;
        /// Have ports below 1024.
        const NET_BIND_SERVICE = 1 << 10;
        /// Administer the network.
        const NET_ADMIN = 1 << 12;
        /// Make packets by hand.
        const NET_RAW = 1 << 13;
        /// Lock memory beyond the limit.
        const IPC_LOCK = 1 << 14;
        /// Bypass the permissions of System V objects.
        const IPC_OWNER = 1 << 15;
        /// Change the root directory.
        const SYS_CHROOT = 1 << 18;
        /// Trace any process.
        const SYS_PTRACE = 1 << 19;
        /// Administer: mount, sethostname and more.
        const SYS_ADMIN = 1 << 21;
        /// Raise scheduling priority.
        const SYS_NICE = 1 << 23;
        /// Raise limits.
        const SYS_RESOURCE = 1 << 24;
        /// Set the clock.
        const SYS_TIME = 1 << 25;
        /// Hang up terminals.
        const SYS_TTY_CONFIG = 1 << 26;
        /// Make device nodes.
        const MKNOD = 1 << 27;
        /// Say who logged in once that is said.
        const AUDIT_CONTROL = 1 << 30;
        /// Give files capabilities.
        const SETFCAP = 1 << 31;
        /// Read the kernel's log.
        const SYSLOG = 1 << 34;
        /// Make processes as they were before.
        const CHECKPOINT_RESTORE = 1 << 40;
        /// The rest, which nothing asks for.
        const _ = !0;
    }
}

impl Capabilities {
    /// All that Linux 6.x defines (`CAP_LAST_CAP` = 40).
    pub const FULL: Self = Self::from_bits_retain((1 << 41) - 1);
}

/// On whose behalf a file is looked up or changed: the file system ids and the effective capabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// File system user id.
    pub fsuid: u32,
    /// File system group id.
    pub fsgid: u32,
    /// Supplementary groups.
    pub groups: SmallVec<[u32; 16]>,
    /// Effective capabilities, which count in `namespace` and below.
    pub caps: Capabilities,
    /// The namespace of users.
    pub namespace: UserNamespace,
}

impl Credentials {
    /// The root user with every capability.
    pub fn root() -> Self {
        Self { caps: Capabilities::FULL, ..Self::user(0, 0) }
    }

    /// An ordinary user without capabilities.
    pub fn user(uid: u32, gid: u32) -> Self {
        Self {
            fsuid: uid,
            fsgid: gid,
            groups: SmallVec::new(),
            caps: Capabilities::empty(),
            namespace: UserNamespace::FIRST,
        }
    }

    /// Whether the caller is in group `gid`.
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }

    /// Whether the caller holds all of `caps` over the machine as a whole.
    pub fn has(&self, caps: Capabilities) -> bool {
        self.namespace.is_first() && self.caps.contains(caps)
    }

    /// Whether the caller holds all of `caps` over what belongs to `namespace`.
    pub fn has_in(&self, namespace: &UserNamespace, caps: Capabilities) -> bool {
        namespace.grants(self, caps)
    }

    /// Whether the caller holds all of `caps` over itself.
    pub fn has_own(&self, caps: Capabilities) -> bool {
        self.caps.contains(caps)
    }

    /// Whether the caller holds all of `caps` over a file.
    pub fn has_over(&self, meta: &Metadata, caps: Capabilities) -> bool {
        self.caps.contains(caps) && self.namespace.maps(meta.uid, meta.gid)
    }

    /// Whether the caller owns the file or may act as if (`CAP_FOWNER`).
    pub fn owns(&self, meta: &Metadata) -> bool {
        let has_number = || self.namespace.id(IdKind::User, meta.uid).is_some();
        self.fsuid == meta.uid || self.has_own(Capabilities::FOWNER) && has_number()
    }

    /// Whether the caller may leave a file its set-group-id bit when its mode changes.
    pub fn keeps_group_bit(&self, meta: &Metadata) -> bool {
        self.in_group(meta.gid) || self.has_over(meta, Capabilities::FSETID)
    }

    /// Whether every search of a directory is allowed without a look at its mode.
    pub fn searches_all(&self) -> bool {
        self.namespace.is_first()
            && self.caps.intersects(Capabilities::DAC_OVERRIDE | Capabilities::DAC_READ_SEARCH)
    }

    /// Fails with `EACCES` unless the caller may access the file as `want` says, whose access control list is what `acl` gives.
    fn check_with(
        &self,
        meta: &Metadata,
        want: Access,
        acl: impl FnOnce() -> Option<Acl>,
    ) -> SysResult<()> {
        let class = |shift: u32| Access::from_bits_truncate(meta.mode >> shift);
        // Without anything for the group nobody who is named has anything either, and none is looked for.
        let may_name = || !class(3).is_empty();
        let is_granted = if self.fsuid == meta.uid {
            class(6).contains(want)
        } else if let Some(acl) = may_name().then(acl).flatten() {
            acl.grants(self, meta.gid, want)
        } else if self.in_group(meta.gid) {
            class(3).contains(want)
        } else {
            class(0).contains(want)
        };
        if is_granted {
            return Ok(());
        }
        let dir = meta.kind == FileType::Directory;
        if self.has_over(meta, Capabilities::DAC_OVERRIDE)
            && (dir || !want.contains(Access::EXEC) || meta.mode & 0o111 != 0)
        {
            return Ok(());
        }
        let searchable = if dir { Access::READ | Access::EXEC } else { Access::READ };
        if searchable.contains(want) && self.has_over(meta, Capabilities::DAC_READ_SEARCH) {
            return Ok(());
        }
        Err(Errno::EACCES)
    }

    /// Fails with `EPERM` when the sticky bit of `dir` keeps the caller from removing or renaming an entry that
    /// is the file of `entry` (inode(7), `S_ISVTX`).
    pub fn check_sticky(&self, dir: &Metadata, entry: &Metadata) -> SysResult<()> {
        let allowed = dir.mode & 0o1000 == 0
            || self.fsuid == entry.uid
            || self.fsuid == dir.uid
            || self.has_over(entry, Capabilities::FOWNER);
        if allowed { Ok(()) } else { Err(Errno::EPERM) }
    }
}

/// Fails with `EACCES` unless `cred` may access the file `inode`, which is as `meta` says, as `want` says.
pub fn check(
    cred: &Credentials,
    inode: &dyn Inode,
    meta: &Metadata,
    want: Access,
) -> SysResult<()> {
    cred.check_with(meta, want, || acl::of_file(inode, meta))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::metadata::{DeviceNumber, Timespec};

    fn file(kind: FileType, mode: u32, uid: u32, gid: u32) -> Metadata {
        Metadata {
            dev: DeviceNumber(1),
            ino: 1,
            kind,
            mode,
            nlink: 1,
            uid,
            gid,
            rdev: DeviceNumber(0),
            size: 0,
            block_size: 4096,
            blocks: 0,
            atime: Timespec::default(),
            mtime: Timespec::default(),
            ctime: Timespec::default(),
            btime: None,
        }
    }

    impl Credentials {
        fn check(&self, meta: &Metadata, want: Access) -> SysResult<()> {
            self.check_with(meta, want, || None)
        }
    }

    #[test]
    fn the_first_matching_class_decides() {
        let owner = Credentials::user(10, 20);
        let member =
            Credentials { groups: [20].into_iter().collect(), ..Credentials::user(11, 99) };
        let other = Credentials::user(12, 99);
        let meta = file(FileType::Regular, 0o074, 10, 20);
        assert_eq!(owner.check(&meta, Access::READ), Err(Errno::EACCES));
        assert_eq!(member.check(&meta, Access::all()), Ok(()));
        assert_eq!(other.check(&meta, Access::READ), Ok(()));
        assert_eq!(other.check(&meta, Access::WRITE), Err(Errno::EACCES));
    }

    #[test]
    fn root_may_execute_only_what_somebody_may() {
        let root = Credentials::root();
        let plain = file(FileType::Regular, 0o600, 5, 5);
        assert_eq!(root.check(&plain, Access::READ | Access::WRITE), Ok(()));
        assert_eq!(root.check(&plain, Access::EXEC), Err(Errno::EACCES));
        assert_eq!(root.check(&file(FileType::Directory, 0, 5, 5), Access::all()), Ok(()));
    }

    #[test]
    fn root_of_a_namespace_passes_by_the_modes_of_those_files_whose_owners_it_can_name() {
        let maker = Credentials::user(5, 5);
        let namespace = UserNamespace::new(&maker).unwrap();
        let root = Credentials { caps: Capabilities::FULL, namespace: namespace.clone(), ..maker };
        namespace.write_map(IdKind::User, &root, 0, b"0 5 1").unwrap();
        namespace.write_setgroups(0, b"deny").unwrap();
        namespace.write_map(IdKind::Group, &root, 0, b"0 5 1").unwrap();
        let dir = |uid, gid| file(FileType::Directory, 0, uid, gid);
        assert_eq!(root.check(&dir(5, 5), Access::all()), Ok(()));
        for other in [dir(6, 5), dir(5, 6), dir(0, 0)] {
            assert_eq!(root.check(&other, Access::EXEC), Err(Errno::EACCES));
        }
        assert!(root.has_own(Capabilities::SYS_ADMIN) && !root.has(Capabilities::SYS_ADMIN));
        assert!(!root.searches_all() && !root.owns(&dir(0, 0)));
    }

    #[test]
    fn a_sticky_directory_protects_other_users_entries() {
        let tmp = file(FileType::Directory, 0o1777, 0, 0);
        let entry = file(FileType::Regular, 0o666, 7, 7);
        assert_eq!(Credentials::user(8, 8).check_sticky(&tmp, &entry), Err(Errno::EPERM));
        assert_eq!(Credentials::user(7, 7).check_sticky(&tmp, &entry), Ok(()));
        assert_eq!(Credentials::root().check_sticky(&tmp, &entry), Ok(()));
    }
}
