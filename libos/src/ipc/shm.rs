//! Shared memory segments, shmget(2).
//!
//! The one idea: a segment is a VMO, and to attach it is to map it. How many attachments there are is how many mappings the VMO has, so
//! that fork, exec, exit and munmap(2) need to know nothing of segments; the VMO of one that was removed is its mappings' alone, and goes
//! with the last of them.

use std::sync::{Arc, Weak};

use hal::pmem::{PAGE_SIZE, PhysicalMemory};
use kernel_objects::{Vmo, VmoOptions};
use parking_lot::Mutex;

use super::{Caller, IPC_PRIVATE, Object, Permission, now};
use crate::{
    errno::{Errno, SysResult},
    vfs::{Capabilities, DeviceNumber, mapped_name::MappedName},
};

/// The most bytes of a segment (`SHMMAX`), and of all in pages (`SHMALL`): more than there can be.
pub const SHMMAX: u64 = u64::MAX - (1 << 24);
/// The most segments.
pub const SHMMNI: usize = 4096;
/// The mode's bit of a segment that goes with its last attachment.
pub const SHM_DEST: u32 = 0o1000;
/// The mode's bit of a segment that is locked into memory.
pub const SHM_LOCKED: u32 = 0o2000;

/// What changes of a segment.
#[derive(Clone, Debug)]
pub struct Status {
    /// Who may use it.
    pub permission: Permission,
    /// When it was attached last, 0 if never.
    pub attached: i64,
    /// When it was detached last, 0 if never.
    pub detached: i64,
    /// When it was made or changed.
    pub changed: i64,
    /// Who attached or detached last.
    pub last_pid: i32,
}

/// A segment of shared memory.
pub struct Segment {
    id: i32,
    /// Its size in bytes, as it was asked for.
    pub size: u64,
    /// Who made it.
    pub creator: i32,
    vmo: Weak<Vmo>,
    status: Mutex<Status>,
    /// What keeps the memory while nobody has it mapped; nothing once it was removed.
    keeper: Mutex<Option<Arc<Vmo>>>,
}

impl Object for Segment {
    const MAX: usize = SHMMNI;

    fn id(&self) -> i32 {
        self.id
    }

    fn with_permission<T>(&self, operation: impl FnOnce(&mut Permission) -> T) -> T {
        operation(&mut self.status.lock().permission)
    }

    fn is_dead(&self) -> bool {
        self.vmo.strong_count() == 0
    }
}

impl Segment {
    /// A segment of zeroes, `size` bytes of which are promised now if it is `charged`. `EINVAL` for no bytes, `ENOMEM`.
    pub fn new(
        memory: &Arc<PhysicalMemory>,
        id: i32,
        permission: Permission,
        size: u64,
        charged: bool,
        caller: &Caller,
    ) -> SysResult<Self> {
        if size == 0 || size > SHMMAX {
            return Err(Errno::EINVAL);
        }
        let pages = size.checked_next_multiple_of(PAGE_SIZE as u64).ok_or(Errno::ENOSPC)?;
        let charged = charged || memory.limit().is_some();
        let options = VmoOptions { resizable: false, charged };
        let vmo = Vmo::create(memory, pages, options).map_err(|_| Errno::ENOMEM)?;
        let path = format!("/SYSV{:08x} (deleted)", permission.key).into_bytes();
        vmo.set_cookie(Arc::new(MappedName { path, device: DeviceNumber(1), ino: id as u64 }));
        let status = Status { permission, attached: 0, detached: 0, changed: now(), last_pid: 0 };
        Ok(Self {
            id,
            size,
            creator: caller.pid,
            vmo: Arc::downgrade(&vmo),
            status: Mutex::new(status),
            keeper: Mutex::new(Some(vmo)),
        })
    }

    /// Its memory; `EIDRM` when it has gone.
    pub fn vmo(&self) -> SysResult<Arc<Vmo>> {
        self.vmo.upgrade().ok_or(Errno::EIDRM)
    }

    /// Bytes of it that are in memory.
    pub fn resident(&self) -> u64 {
        self.vmo.upgrade().map_or(0, |vmo| vmo.info().committed_bytes)
    }

    /// How many mappings there are of it.
    pub fn attachments(&self) -> usize {
        self.vmo.upgrade().map_or(0, |vmo| vmo.info().mappings)
    }

    /// What changes of it.
    pub fn status(&self) -> Status {
        self.status.lock().clone()
    }

    /// `pid` has attached it.
    pub fn note_attached(&self, pid: i32) {
        let mut status = self.status.lock();
        (status.attached, status.last_pid) = (now(), pid);
    }

    /// `pid` has detached it.
    pub fn note_detached(&self, pid: i32) {
        let mut status = self.status.lock();
        (status.detached, status.last_pid) = (now(), pid);
    }

    /// `IPC_SET`.
    pub fn set(&self, caller: &Caller, uid: u32, gid: u32, mode: u32) -> SysResult<()> {
        let mut status = self.status.lock();
        status.permission.check_owner(caller)?;
        status.permission.set(uid, gid, mode)?;
        status.changed = now();
        Ok(())
    }

    /// `SHM_LOCK` and `SHM_UNLOCK`: memory is never swapped here, so the mode tells all there is of it. The caller may, if the limit allows.
    pub fn lock(&self, caller: &Caller, on: bool, limit: u64) -> SysResult<()> {
        let mut status = self.status.lock();
        if !caller.has(Capabilities::IPC_LOCK) {
            let owns = [status.permission.uid, status.permission.cuid].contains(&caller.euid);
            if !owns || on && limit == 0 {
                return Err(Errno::EPERM);
            }
            if on && self.size > limit {
                return Err(Errno::ENOMEM);
            }
        }
        let mode = status.permission.mode & !SHM_LOCKED;
        status.permission.mode = if on { mode | SHM_LOCKED } else { mode };
        Ok(())
    }

    /// `IPC_RMID`: nobody finds it by its key any more, and it goes with its last attachment.
    pub fn remove(&self, caller: &Caller) -> SysResult<()> {
        let mut status = self.status.lock();
        status.permission.check_owner(caller)?;
        status.permission.key = IPC_PRIVATE;
        status.permission.mode |= SHM_DEST;
        drop(status);
        *self.keeper.lock() = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Isolation,
        ipc::{Table, testing::root},
        memory::{Placement, UserMemory},
    };

    #[test]
    fn a_removed_segment_goes_with_its_last_mapping() {
        let memory = PhysicalMemory::new(None).unwrap();
        let table = Table::<Segment>::default();
        let make = |id, permission| Segment::new(&memory, id, permission, 5000, true, &root(1));
        let id = table.obtain(7, 0o1600, &root(1), |_| Ok(()), make).unwrap();
        let space = UserMemory::new(&memory, Isolation::Never).unwrap();
        let segment = table.get(id).unwrap();
        let (prot, vmo) = (hal::aspace::Prot::READ, segment.vmo().unwrap());
        let at = space.map_shared(Placement::Anywhere(0), vmo, 8192, prot).unwrap();
        assert_eq!(segment.attachments(), 1);
        segment.remove(&root(1)).unwrap();
        assert_eq!(table.get(id).unwrap().status().permission.key, IPC_PRIVATE);
        assert_eq!(table.obtain(7, 0, &root(1), |_| Ok(()), make), Err(Errno::ENOENT));
        space.unmap(at..at + 8192).unwrap();
        assert_eq!(table.get(id).err(), Some(Errno::EINVAL));
    }

    #[test]
    fn a_size_that_is_none_is_refused() {
        let memory = PhysicalMemory::new(Some(1 << 20)).unwrap();
        let make = |size| {
            let permission = Permission::new(0, 0, 0, &root(1));
            Segment::new(&memory, 0, permission, size, false, &root(1)).err()
        };
        assert_eq!((make(0), make(u64::MAX)), (Some(Errno::EINVAL), Some(Errno::EINVAL)));
        assert_eq!((make(2 << 20), make(SHMMAX)), (Some(Errno::ENOMEM), Some(Errno::ENOMEM)));
        assert_eq!(make(1), None);
    }
}
