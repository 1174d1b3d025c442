//! The machine and the process as a whole: names, limits, random bytes.

use std::sync::Arc;

use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    kernel::Names,
    process::{Limit, NR_OPEN, Process, Thread},
    syscall::{
        argument::{Flags, UserAddr, UserPtr},
        pace,
    },
    vfs::Capabilities,
};

/// What uname(2) calls the kernel: programs refuse to run on an old one, so this is a release whose calls we are measured against.
pub const RELEASE: &str = "6.1.0-libos";
/// The version line of uname(2).
pub const VERSION: &str = "#1 SMP PREEMPT_DYNAMIC libos";

/// struct new_utsname
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct UtsName([[u8; 65]; 6]);

/// What personality(2) changes about names: the low byte of one for 32-bit programs, and the bit of those that know no 3.0.
const PER_MASK: u32 = 0xff;
const PER_LINUX32: u32 = 8;
const UNAME26: u32 = 0x2_0000;
/// The release for those: 6.1 is 60 and 1 on from 2.6.
const OLD_RELEASE: &str = "2.6.61-libos";

/// uname(2)
pub(crate) fn uname(thread: &Thread, buffer: UserPtr<UtsName>) -> SysResult<()> {
    let persona = thread.attributes.lock().personality;
    let machine = if persona & PER_MASK == PER_LINUX32 { "i686" } else { "x86_64" };
    let release = if persona & UNAME26 != 0 { OLD_RELEASE } else { RELEASE };
    let Names { host, domain } = thread.namespaces.read().uts.names.read().clone();
    let names: [&[u8]; 6] =
        [b"Linux", &host, release.as_bytes(), VERSION.as_bytes(), machine.as_bytes(), &domain];
    let fields = names.map(|name| {
        let mut field = [0; 65];
        let len = name.len().min(NAME_MAX);
        field[..len].copy_from_slice(&name[..len]);
        field
    });
    buffer.write(&thread.memory, &UtsName(fields))
}

/// struct sysinfo
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct SysInfo {
    uptime: u64,
    loads: [u64; 3],
    total_ram: u64,
    free_ram: u64,
    shared_ram: u64,
    buffer_ram: u64,
    total_swap: u64,
    free_swap: u64,
    processes: u16,
    padding: [u8; 6],
    total_high: u64,
    free_high: u64,
    unit: u32,
    tail: [u8; 4],
}

/// sysinfo(2)
pub(crate) fn sysinfo(thread: &Thread, buffer: UserPtr<SysInfo>) -> SysResult<()> {
    let kernel = &thread.process.kernel;
    let (total_ram, free_ram) = kernel.memory_size();
    let info = SysInfo {
        uptime: kernel.uptime() / 1_000_000_000,
        loads: [0; 3],
        total_ram,
        free_ram,
        shared_ram: 0,
        buffer_ram: 0,
        total_swap: 0,
        free_swap: 0,
        processes: u16::try_from(kernel.pids.thread_count()).unwrap_or(u16::MAX),
        padding: [0; 6],
        total_high: 0,
        free_high: 0,
        unit: 1,
        tail: [0; 4],
    };
    buffer.write(&thread.memory, &info)
}

/// The most random bytes of one call before Linux looks for signals; each chunk is copied out by itself.
const RANDOM_CHUNK: usize = 256;
/// How many random bytes are made before others get a turn and signals are looked for.
const RANDOM_PIECE: usize = 64 << 10;

/// getrandom(2)
pub(crate) async fn getrandom(
    thread: &Thread,
    buffer: UserAddr,
    count: usize,
    flags: Flags,
) -> SysResult {
    let known = raw::GRND_NONBLOCK | raw::GRND_RANDOM | raw::GRND_INSECURE;
    let both = raw::GRND_RANDOM | raw::GRND_INSECURE;
    if flags.0 & !known != 0 || flags.0 & both == both {
        return Err(Errno::EINVAL);
    }
    let count = count.min(0x1ff_ffff);
    let mut done = 0;
    let mut chunk = [0; RANDOM_CHUNK];
    while done < count {
        if done > 0 && done.is_multiple_of(RANDOM_PIECE) && pace::give_way(thread).await {
            break;
        }
        let part = &mut chunk[..RANDOM_CHUNK.min(count - done)];
        hal::random::fill(part);
        let at = buffer.offset(done as u64)?.0;
        if let Err(error) = thread.memory.write_bytes(at, part) {
            // What could be written before the first bad page counts.
            let in_page = hal::pmem::PAGE_SIZE - at as usize % hal::pmem::PAGE_SIZE;
            if in_page < part.len() && thread.memory.write_bytes(at, &part[..in_page]).is_ok() {
                done += in_page;
            }
            return if done > 0 { Ok(done) } else { Err(error) };
        }
        done += part.len();
    }
    Ok(done)
}

/// struct rlimit64
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct RawLimit {
    soft: u64,
    hard: u64,
}

fn change_limit(thread: &Thread, process: &Process, resource: u32, new: RawLimit) -> SysResult<()> {
    let privileged = thread.fs.read().cred.has(Capabilities::SYS_RESOURCE);
    let limit = Limit { soft: new.soft, hard: new.hard };
    if resource == raw::RLIMIT_NOFILE && limit.soft <= limit.hard && limit.hard > NR_OPEN {
        return Err(Errno::EPERM);
    }
    process.limits.write().set(resource, limit, privileged)
}

/// getrlimit(2)
pub(crate) fn getrlimit(thread: &Thread, resource: u32, into: UserPtr<RawLimit>) -> SysResult<()> {
    let limit = thread.process.limits.read().by_number(resource)?;
    into.write(&thread.memory, &RawLimit { soft: limit.soft, hard: limit.hard })
}

/// setrlimit(2)
pub(crate) fn setrlimit(thread: &Thread, resource: u32, from: UserPtr<RawLimit>) -> SysResult<()> {
    let new = from.read(&thread.memory)?;
    change_limit(thread, &thread.process, resource, new)
}

/// prlimit64(2): of another process if it is all the caller's, or the caller may change any.
pub(crate) fn prlimit64(
    thread: &Thread,
    pid: i32,
    resource: u32,
    new: UserPtr<RawLimit>,
    old: UserPtr<RawLimit>,
) -> SysResult<()> {
    let new = new.non_null().map(|pointer| pointer.read(&thread.memory)).transpose()?;
    let process = match pid {
        0 => Arc::clone(&thread.process),
        pid => Arc::clone(&thread.process.visible().thread(pid).ok_or(Errno::ESRCH)?.process),
    };
    if !Arc::ptr_eq(&process, &thread.process) {
        let caller = thread.process.ids.lock().clone();
        let target = process.ids.lock().clone();
        let same = target.users == [caller.users[0]; 3] && target.groups == [caller.groups[0]; 3];
        let privileged = || {
            let cred = Arc::clone(&thread.fs.read().cred);
            cred.has_in(&target.namespace, Capabilities::SYS_RESOURCE)
        };
        if !same && !privileged() {
            return Err(Errno::EPERM);
        }
    }
    let before = process.limits.read().by_number(resource)?;
    if let Some(new) = new {
        change_limit(thread, &process, resource, new)?;
    }
    old.write_if_wanted(&thread.memory, &RawLimit { soft: before.soft, hard: before.hard })
}

/// The longest name of a machine or a domain (`__NEW_UTS_LEN`).
const NAME_MAX: usize = 64;

/// A new name for the machine or its domain: `EPERM`, `EINVAL`, `EFAULT`.
fn new_name(thread: &Thread, name: UserAddr, len: i32) -> SysResult<Vec<u8>> {
    let uts = Arc::clone(&thread.namespaces.read().uts);
    if !thread.fs.read().cred.has_in(&uts.owner, Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let len = usize::try_from(len).ok().filter(|&len| len <= NAME_MAX).ok_or(Errno::EINVAL)?;
    let mut name = name.cast::<u8>().read_slice(&thread.memory, len)?;
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(len);
    name.truncate(end);
    Ok(name)
}

/// sethostname(2)
pub(crate) fn sethostname(thread: &Thread, name: UserAddr, len: i32) -> SysResult<()> {
    let name = new_name(thread, name, len)?;
    thread.namespaces.read().uts.names.write().host = name;
    Ok(())
}

/// setdomainname(2)
pub(crate) fn setdomainname(thread: &Thread, name: UserAddr, len: i32) -> SysResult<()> {
    let name = new_name(thread, name, len)?;
    thread.namespaces.read().uts.names.write().domain = name;
    Ok(())
}
