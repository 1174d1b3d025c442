//! Who may do what to an object: `struct ipc_perm`.
//!
//! The one idea: as for a file, an owner, a group and nine bits decide; the maker keeps the owner's rights whoever the owner is, and no
//! bit says "execute".

use std::sync::Arc;

use crate::{
    errno::{Errno, SysResult},
    process::{Thread, UserNamespace},
    vfs::{Capabilities, Credentials},
};

/// On whose behalf an object is made, used or changed.
#[derive(Clone)]
pub struct Caller {
    /// The process.
    pub pid: i32,
    /// Its effective user id.
    pub euid: u32,
    /// Its effective group id.
    pub egid: u32,
    /// Its groups and capabilities.
    pub cred: Arc<Credentials>,
    /// The namespace of users that the objects belong to.
    pub owner: UserNamespace,
}

impl Caller {
    /// The process of `thread`.
    pub fn of(thread: &Thread) -> Self {
        let cred = Arc::clone(&thread.fs.read().cred);
        let owner = thread.namespaces.read().ipc.owner.clone();
        let ids = thread.process.ids.lock();
        Self { pid: thread.process.pid, euid: ids.users[1], egid: ids.groups[1], cred, owner }
    }

    /// Whether it has all of `caps` over the objects.
    pub fn has(&self, caps: Capabilities) -> bool {
        self.cred.has_in(&self.owner, caps)
    }
}

/// The bits for reading and for writing or altering, as a mode has them for all three classes.
pub const READ: u32 = 0o444;
/// See [`READ`].
pub const WRITE: u32 = 0o222;

/// Who owns an object, who made it, and what others may do.
#[derive(Clone, Debug)]
pub struct Permission {
    /// The key that it is found by; [`IPC_PRIVATE`](super::IPC_PRIVATE) if by none.
    pub key: i32,
    /// The owner.
    pub uid: u32,
    /// The owner's group.
    pub gid: u32,
    /// The maker.
    pub cuid: u32,
    /// The maker's group.
    pub cgid: u32,
    /// Nine permission bits, and more for some kinds.
    pub mode: u32,
    /// How often the place in the table was used before.
    pub sequence: u16,
}

impl Permission {
    /// That of a new object; the low nine bits of `flags` are its mode.
    pub fn new(key: i32, flags: u32, sequence: u16, caller: &Caller) -> Self {
        let (uid, gid) = (caller.euid, caller.egid);
        Self { key, uid, gid, cuid: uid, cgid: gid, mode: flags & 0o777, sequence }
    }

    /// `EACCES` unless the caller has all the accesses that some class in `want` asks for.
    pub fn check(&self, caller: &Caller, want: u32) -> SysResult<()> {
        let want = (want >> 6 | want >> 3 | want) & 7;
        let granted = if caller.euid == self.cuid || caller.euid == self.uid {
            self.mode >> 6
        } else if caller.cred.in_group(self.cgid) || caller.cred.in_group(self.gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        if want & !granted == 0 || caller.has(Capabilities::IPC_OWNER) {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }

    /// `EPERM` unless the caller is owner, maker or administrator.
    pub fn check_owner(&self, caller: &Caller) -> SysResult<()> {
        let owns = caller.euid == self.cuid || caller.euid == self.uid;
        let allowed = owns || caller.has(Capabilities::SYS_ADMIN);
        if allowed { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Gives it to somebody else, with the low nine bits of `mode` (`IPC_SET`); `EINVAL` for an id that is none.
    pub fn set(&mut self, uid: u32, gid: u32, mode: u32) -> SysResult<()> {
        if uid == u32::MAX || gid == u32::MAX {
            return Err(Errno::EINVAL);
        }
        (self.uid, self.gid) = (uid, gid);
        self.mode = self.mode & !0o777 | mode & 0o777;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::testing::{root, user};

    #[test]
    fn the_first_class_that_fits_decides_and_the_maker_stays_an_owner() {
        let mut permission = Permission::new(1, 0o604, 0, &user(10));
        assert_eq!(permission.check(&user(10), READ | WRITE), Ok(()));
        assert_eq!(permission.check(&user(11), READ), Ok(()));
        assert_eq!(permission.check(&user(11), WRITE), Err(Errno::EACCES));
        assert_eq!(permission.set(11, 12, 0o620), Ok(()));
        for owner in [10, 11] {
            assert_eq!(permission.check(&user(owner), READ | WRITE), Ok(()));
            assert_eq!(permission.check_owner(&user(owner)), Ok(()));
        }
        assert_eq!(permission.check(&user(12), WRITE), Ok(()), "the group");
        assert_eq!(permission.check(&user(12), READ), Err(Errno::EACCES));
        assert_eq!(permission.check_owner(&user(12)), Err(Errno::EPERM));
        assert_eq!(permission.set(u32::MAX, 0, 0), Err(Errno::EINVAL));
        permission.mode = 0;
        assert_eq!(permission.check(&root(1), READ | WRITE), Ok(()), "may pass by");
    }
}
