//! The calls about System V objects: shared memory, semaphores, messages.
//!
//! The one idea: the objects are in [`crate::ipc`]; here are the structures of the ABI and what each command copies.

pub mod msg;
pub mod sem;
pub mod shm;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{errno::SysResult, ipc::Permission, process::UserNamespace};

/// Commands of the control calls (`linux/ipc.h`).
mod command {
    pub(super) const IPC_RMID: i32 = 0;
    pub(super) const IPC_SET: i32 = 1;
    pub(super) const IPC_STAT: i32 = 2;
    pub(super) const IPC_INFO: i32 = 3;
}

/// `struct ipc64_perm`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RawPermission {
    key: i32,
    uid: u32,
    gid: u32,
    cuid: u32,
    cgid: u32,
    mode: u32,
    sequence: u16,
    padding: [u16; 3],
    unused: [u64; 2],
}

impl RawPermission {
    /// What somebody in `users` sees of `permission`.
    fn new(permission: &Permission, users: &UserNamespace) -> Self {
        Self {
            key: permission.key,
            uid: users.shown_user(permission.uid),
            gid: users.shown_group(permission.gid),
            cuid: users.shown_user(permission.cuid),
            cgid: users.shown_group(permission.cgid),
            mode: permission.mode,
            sequence: permission.sequence,
            padding: [0; 3],
            unused: [0; 2],
        }
    }

    /// The owner and the group that somebody in `users` wants; `EINVAL` for one that is nobody.
    fn owner(&self, users: &UserNamespace) -> SysResult<(u32, u32)> {
        Ok((users.kernel_user(self.uid)?, users.kernel_group(self.gid)?))
    }
}
