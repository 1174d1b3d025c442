//! shmget(2), shmat(2), shmdt(2), shmctl(2).

use std::sync::Arc;

use hal::{aspace::Prot, pmem::PAGE_SIZE};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{RawPermission, command::*};
use crate::{
    errno::{Errno, SysResult},
    ipc::{
        Caller, Object,
        permission::{READ, WRITE},
        shm::{SHMMAX, SHMMNI, Segment},
    },
    memory::Placement,
    process::{Resource, Thread, UserNamespace},
    syscall::argument::{Flags, UserAddr, UserPtr},
};

const PAGE: u64 = PAGE_SIZE as u64;

const SHM_HUGETLB: u32 = 0o4000;
const SHM_NORESERVE: u32 = 0o10000;

/// shmget(2)
pub(crate) fn shmget(thread: &Thread, key: i32, size: u64, flags: Flags) -> SysResult<i32> {
    let kernel = &thread.process.kernel;
    let caller = Caller::of(thread);
    let large_enough = |segment: &Segment| {
        if size > segment.size { Err(Errno::EINVAL) } else { Ok(()) }
    };
    let create = |id, permission| {
        if flags.0 & SHM_HUGETLB != 0 {
            // No huge page is ever free here.
            return Err(Errno::ENOMEM);
        }
        let charged = flags.0 & SHM_NORESERVE == 0;
        Segment::new(&kernel.memory, id, permission, size, charged, &caller)
    };
    thread.ipc().objects.shm.obtain(key, flags.0, &caller, large_enough, create)
}

const SHM_RDONLY: u32 = 0o10000;
const SHM_RND: u32 = 0o20000;
const SHM_REMAP: u32 = 0o40000;
const SHM_EXEC: u32 = 0o100000;

/// shmat(2): the address.
pub(crate) fn shmat(thread: &Thread, id: i32, addr: UserAddr, flags: Flags) -> SysResult<u64> {
    let flags = flags.0;
    let remap = flags & SHM_REMAP != 0;
    let mut addr = addr.0;
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    if !addr.is_multiple_of(PAGE) {
        if flags & SHM_RND == 0 {
            return Err(Errno::EINVAL);
        }
        addr &= !(PAGE - 1);
    }
    let placement = match addr {
        0 if remap => return Err(Errno::EINVAL),
        0 => Placement::Anywhere(0),
        addr if remap => Placement::Replace(addr),
        addr => Placement::Free(addr),
    };
    let (mut want, mut prot) = (READ, Prot::READ);
    if flags & SHM_RDONLY == 0 {
        want |= WRITE;
        prot |= Prot::WRITE;
    }
    if flags & SHM_EXEC != 0 {
        want |= 0o111;
        prot |= Prot::EXEC;
    }
    let segment = thread.ipc().objects.shm.get(id)?;
    let caller = Caller::of(thread);
    segment.with_permission(|permission| permission.check(&caller, want))?;
    let vmo = segment.vmo()?;
    let len = vmo.size();
    if addr.checked_add(len).is_none() {
        return Err(Errno::EINVAL);
    }
    super::super::memory::check_space(thread, len)?;
    let mapped = thread.memory.map_shared(placement, vmo, len, prot);
    let at = mapped.map_err(|error| if error == Errno::EEXIST { Errno::EINVAL } else { error })?;
    segment.note_attached(caller.pid);
    Ok(at)
}

/// shmdt(2): `EINVAL` unless a segment's first page was attached at `addr`.
pub(crate) fn shmdt(thread: &Thread, addr: UserAddr) -> SysResult<()> {
    if !addr.0.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let segments = thread.ipc().objects.shm.all();
    let vmar = thread.memory.vmar();
    // What is left of the attachment may begin further on; no segment begins so far on that its end would be nowhere.
    let rest = vmar.mappings_in(addr.0..u64::MAX);
    let begins = |start: u64, offset: u64| start.checked_sub(addr.0) == Some(offset);
    let attached = rest.iter().filter(|mapping| begins(mapping.range.start, mapping.vmo_offset));
    let segment_of =
        |vmo| segments.iter().find(|segment| segment.vmo().is_ok_and(|own| Arc::ptr_eq(&own, vmo)));
    let found = attached.clone().find_map(|mapping| segment_of(&mapping.vmo));
    let segment = found.ok_or(Errno::EINVAL)?;
    let vmo = segment.vmo()?;
    for mapping in attached.filter(|mapping| Arc::ptr_eq(&mapping.vmo, &vmo)) {
        thread.memory.unmap(mapping.range.clone())?;
    }
    segment.note_detached(thread.process.pid);
    Ok(())
}

const SHM_LOCK: i32 = 11;
const SHM_UNLOCK: i32 = 12;
const SHM_STAT: i32 = 13;
const SHM_INFO: i32 = 14;
const SHM_STAT_ANY: i32 = 15;

/// `struct shmid64_ds`
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RawSegment {
    permission: RawPermission,
    size: u64,
    attached: i64,
    detached: i64,
    changed: i64,
    creator: i32,
    last_pid: i32,
    attachments: u64,
    unused: [u64; 2],
}

/// `struct shminfo64`
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RawLimits {
    max: u64,
    min: u64,
    segments: u64,
    segments_of_a_process: u64,
    pages: u64,
    unused: [u64; 4],
}

/// `struct shm_info`
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct RawUse {
    segments: u64,
    pages: u64,
    resident: u64,
    swapped: u64,
    swap: [u64; 2],
}

fn status(thread: &Thread, segment: &Segment, users: &UserNamespace) -> RawSegment {
    let status = segment.status();
    RawSegment {
        permission: RawPermission::new(&status.permission, users),
        size: segment.size,
        attached: status.attached,
        detached: status.detached,
        changed: status.changed,
        creator: thread.process.sees(segment.creator),
        last_pid: thread.process.sees(status.last_pid),
        attachments: segment.attachments() as u64,
        unused: [0; 2],
    }
}

/// shmctl(2)
pub(crate) fn shmctl(thread: &Thread, id: i32, command: i32, buffer: UserAddr) -> SysResult<i32> {
    let ipc = thread.ipc();
    let table = &ipc.objects.shm;
    let caller = Caller::of(thread);
    if id < 0 || command < 0 {
        return Err(Errno::EINVAL);
    }
    match command {
        IPC_INFO => {
            let limits = RawLimits {
                max: SHMMAX,
                min: 1,
                segments: SHMMNI as u64,
                segments_of_a_process: SHMMNI as u64,
                pages: SHMMAX,
                unused: [0; 4],
            };
            buffer.cast().write(&thread.memory, &limits)?;
            Ok(table.highest())
        }
        SHM_INFO => {
            let all = table.all();
            let pages = |bytes: u64| bytes.div_ceil(PAGE);
            let used = RawUse {
                segments: all.len() as u64,
                pages: all.iter().map(|segment| pages(segment.size)).sum(),
                resident: all.iter().map(|segment| pages(segment.resident())).sum(),
                swapped: 0,
                swap: [0; 2],
            };
            buffer.cast().write(&thread.memory, &used)?;
            Ok(table.highest())
        }
        IPC_STAT | SHM_STAT | SHM_STAT_ANY => {
            let segment = if command == IPC_STAT { table.get(id)? } else { table.at(id)? };
            if command != SHM_STAT_ANY {
                segment.with_permission(|permission| permission.check(&caller, READ))?;
            }
            let raw = status(thread, &segment, &caller.cred.namespace);
            buffer.cast().write(&thread.memory, &raw)?;
            Ok(if command == IPC_STAT { 0 } else { segment.id() })
        }
        IPC_SET => {
            let new = UserPtr::<RawSegment>::new(buffer.0).read(&thread.memory)?.permission;
            let (uid, gid) = new.owner(&caller.cred.namespace)?;
            table.get(id)?.set(&caller, uid, gid, new.mode).map(|()| 0)
        }
        IPC_RMID => table.get(id)?.remove(&caller).map(|()| 0),
        SHM_LOCK | SHM_UNLOCK => {
            let limit = thread.process.limit(Resource::LockedMemory);
            table.get(id)?.lock(&caller, command == SHM_LOCK, limit).map(|()| 0)
        }
        _ => Err(Errno::EINVAL),
    }
}
