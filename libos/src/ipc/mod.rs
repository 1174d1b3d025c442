//! Interprocess communication without files: System V's shared memory, semaphore sets and message queues, sysvipc(7), and what POSIX
//! message queues hold, [`mqueue`].
//!
//! The one idea: an object of System V is found by a number in the kernel's table of its kind, lives until somebody removes it, and says who may use it
//! by a [`Permission`] as a file does; the three kinds differ in what they hold.

pub mod mqueue;
pub mod msg;
pub mod permission;
pub mod sem;
pub mod shm;
pub mod table;

pub use self::{
    permission::{Caller, Permission},
    table::{Object, Table},
};

/// The flags of the get calls, and of those that send and receive (`sys/ipc.h`).
pub mod flags {
    /// Make the object if there is none with the key.
    pub const IPC_CREAT: u32 = 0o1000;
    /// With that: fail if there is one.
    pub const IPC_EXCL: u32 = 0o2000;
    /// Fail rather than wait.
    pub const IPC_NOWAIT: u32 = 0o4000;
}

/// The key that no object is found by.
pub const IPC_PRIVATE: i32 = 0;

/// All of a kernel's objects.
#[derive(Default)]
pub struct Ipc {
    /// Shared memory.
    pub shm: Table<shm::Segment>,
    /// Semaphore sets.
    pub sem: Table<sem::SemaphoreSet>,
    /// Message queues.
    pub msg: Table<msg::Queue>,
}

/// Seconds since the epoch, as the objects tell their times.
fn now() -> i64 {
    (hal::time::realtime() / 1_000_000_000) as i64
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::Arc;

    use super::Caller;
    use crate::{process::UserNamespace, vfs::Credentials};

    /// The root user's process `pid`.
    pub(crate) fn root(pid: i32) -> Caller {
        let owner = UserNamespace::FIRST;
        Caller { pid, euid: 0, egid: 0, cred: Arc::new(Credentials::root()), owner }
    }

    /// A process of user `uid`, in the group of the same number.
    pub(crate) fn user(uid: u32) -> Caller {
        let (cred, owner) = (Arc::new(Credentials::user(uid, uid)), UserNamespace::FIRST);
        Caller { pid: 9, euid: uid, egid: uid, cred, owner }
    }
}
