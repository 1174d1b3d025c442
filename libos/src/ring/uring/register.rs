//! io_uring_register(2): what a ring is told once.
//!
//! The one idea: each command is a structure of the guest's that is copied, checked and put in one of the ring's tables; what was in a
//! table before is dropped when nothing is locked, for that may tell of it.

use std::sync::{Arc, atomic::Ordering};

use linux_raw_sys::io_uring::{self as raw, io_uring_register_op as command};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use super::{
    Uring,
    buffers::Registration,
    layout::Shared,
    op,
    registered::{MAX_BUFFERS, MAX_FILES, Resource, Taken},
    restrictions::Restriction,
};
use crate::{
    errno::{Errno, SysResult},
    event::EventFd,
    process::{Resource as Limit, Thread},
    syscall::{
        argument::{Fd, UserAddr, UserPtr},
        io::IoVec,
    },
    vfs::{GuestRange, OpenFile},
};

/// `struct io_uring_rsrc_register`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Table {
    count: u32,
    flags: u32,
    reserved: u64,
    data: u64,
    tags: u64,
}

/// `struct io_uring_rsrc_update2`, and of `struct io_uring_rsrc_update` the beginning.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Update {
    offset: u32,
    reserved: u32,
    data: u64,
    tags: u64,
    count: u32,
    reserved_end: u32,
}

/// `struct io_uring_file_index_range`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Range {
    first: u32,
    count: u32,
    reserved: u64,
}

/// `struct io_uring_buf_status`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Status {
    group: u32,
    head: u32,
    reserved: [u32; 8],
}

/// `struct io_uring_probe_op`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Probed {
    opcode: u8,
    reserved: u8,
    flags: u16,
    reserved_end: u32,
}

/// The head of `struct io_uring_probe`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Probe {
    last: u8,
    count: u8,
    reserved: u16,
    reserved_end: [u32; 3],
}

/// A descriptor that stands for a free place, and one for a place that stays as it is.
const NONE: i32 = -1;
const SKIP: i32 = raw::IORING_REGISTER_FILES_SKIP;

/// The size of a buffer that is registered, at most.
const MAX_BUFFER: u64 = 1 << 30;

/// Whether `thread` may give a command, which is below `IORING_REGISTER_LAST`. `EEXIST`, `EACCES`.
pub(crate) fn check(ring: &Uring, thread: &Thread, number: u32) -> SysResult<()> {
    if ring.has(raw::IORING_SETUP_SINGLE_ISSUER) {
        let issuer = ring.issuer.load(Ordering::Acquire);
        if issuer != 0 && issuer != thread.tid {
            return Err(Errno::EEXIST);
        }
    }
    ring.restrictions.lock().check_register(number, ring.is_enabled())
}

/// io_uring_register(2) of what is about one ring, [checked](check).
pub(crate) fn register(
    ring: &Uring,
    thread: &Thread,
    number: u32,
    argument: UserAddr,
    count: u32,
) -> SysResult<usize> {
    let Some(number) = known(number) else { return Err(Errno::EINVAL) };
    let done = match number {
        command::IORING_REGISTER_BUFFERS => {
            let buffers = read_buffers(ring, thread, argument.0, 0, count)?;
            ring.buffers.lock().register(buffers)
        }
        command::IORING_UNREGISTER_BUFFERS => {
            nothing(argument, count)?;
            let old = ring.buffers.lock().unregister()?;
            drop(old);
            Ok(())
        }
        command::IORING_REGISTER_FILES => {
            let files = read_files(ring, thread, argument.0, 0, count)?;
            add_files(ring, thread, count, files)
        }
        command::IORING_UNREGISTER_FILES => {
            nothing(argument, count)?;
            let old = ring.files.lock().unregister()?;
            drop(old);
            Ok(())
        }
        command::IORING_REGISTER_EVENTFD => set_eventfd(ring, thread, argument, count, false),
        command::IORING_REGISTER_EVENTFD_ASYNC => set_eventfd(ring, thread, argument, count, true),
        command::IORING_UNREGISTER_EVENTFD => {
            nothing(argument, count)?;
            ring.completions.take_eventfd()
        }
        command::IORING_REGISTER_FILES_UPDATE => {
            // It ends behind the address.
            let mut update = Update::new_zeroed();
            let bytes = update.as_mut_bytes().get_mut(..16).unwrap_or_default();
            thread.memory.read_bytes(argument.0, bytes)?;
            if update.reserved != 0 {
                return Err(Errno::EINVAL);
            }
            return change_files(ring, thread, &Update { count, ..update });
        }
        command::IORING_REGISTER_PROBE => probe(thread, argument, count),
        command::IORING_REGISTER_RESTRICTIONS => {
            if ring.is_enabled() {
                return Err(Errno::EBADFD);
            }
            let wanted = argument.cast::<Restriction>();
            ring.restrictions.lock().register(thread, wanted, count)
        }
        command::IORING_REGISTER_ENABLE_RINGS => {
            nothing(argument, count)?;
            ring.enable(thread)
        }
        command::IORING_REGISTER_FILES2 => {
            let table = read_table(thread, argument, count)?;
            let files = if sparse(&table)? {
                empty(table.count, MAX_FILES, Errno::EMFILE)?
            } else {
                read_files(ring, thread, table.data, table.tags, table.count)?
            };
            add_files(ring, thread, table.count, files)
        }
        command::IORING_REGISTER_BUFFERS2 => {
            let table = read_table(thread, argument, count)?;
            let buffers = if sparse(&table)? {
                empty(table.count, MAX_BUFFERS, Errno::EINVAL)?
            } else {
                read_buffers(ring, thread, table.data, table.tags, table.count)?
            };
            ring.buffers.lock().register(buffers)
        }
        command::IORING_REGISTER_FILES_UPDATE2 => {
            return change_files(ring, thread, &read_update(thread, argument, count)?);
        }
        command::IORING_REGISTER_BUFFERS_UPDATE => {
            return change_buffers(ring, thread, &read_update(thread, argument, count)?);
        }
        command::IORING_REGISTER_PBUF_RING => {
            one(argument, count)?;
            let wanted = argument.cast::<Registration>().read(&thread.memory)?;
            let memory = &thread.process.kernel.memory;
            let make = |len| Shared::new(memory, len).map(Arc::new);
            ring.groups.lock().register(&thread.memory, &wanted, make)
        }
        command::IORING_UNREGISTER_PBUF_RING => {
            one(argument, count)?;
            let wanted = argument.cast::<Registration>().read(&thread.memory)?;
            ring.groups.lock().unregister(&wanted)
        }
        command::IORING_REGISTER_PBUF_STATUS => {
            one(argument, count)?;
            let pointer = argument.cast::<Status>();
            let Status { group, reserved, .. } = pointer.read(&thread.memory)?;
            if reserved != [0; 8] {
                return Err(Errno::EINVAL);
            }
            let group = u16::try_from(group).map_err(|_| Errno::ENOENT)?;
            let head = ring.groups.lock().head(group)?;
            let offset = argument.offset(4)?;
            offset.cast::<u32>().write(&thread.memory, &head.into())
        }
        command::IORING_REGISTER_FILE_ALLOC_RANGE => {
            if argument.is_null() || count != 0 {
                return Err(Errno::EINVAL);
            }
            let range = argument.cast::<Range>().read(&thread.memory)?;
            if range.reserved != 0 {
                return Err(Errno::EINVAL);
            }
            ring.files.lock().limit(range.first, range.count)
        }
        command::IORING_REGISTER_IOWQ_MAX_WORKERS => {
            if argument.is_null() || count != 2 {
                return Err(Errno::EINVAL);
            }
            let pointer = argument.cast::<[u32; 2]>();
            let wanted = pointer.read(&thread.memory)?;
            let old = ring.limit_workers(wanted);
            pointer.write(&thread.memory, &old)
        }
        _ => Err(Errno::EINVAL),
    };
    done.map(|()| 0)
}

/// The commands that are there, by their numbers.
fn known(number: u32) -> Option<command> {
    const KNOWN: [command; 20] = [
        command::IORING_REGISTER_BUFFERS,
        command::IORING_UNREGISTER_BUFFERS,
        command::IORING_REGISTER_FILES,
        command::IORING_UNREGISTER_FILES,
        command::IORING_REGISTER_EVENTFD,
        command::IORING_UNREGISTER_EVENTFD,
        command::IORING_REGISTER_FILES_UPDATE,
        command::IORING_REGISTER_EVENTFD_ASYNC,
        command::IORING_REGISTER_PROBE,
        command::IORING_REGISTER_RESTRICTIONS,
        command::IORING_REGISTER_ENABLE_RINGS,
        command::IORING_REGISTER_FILES2,
        command::IORING_REGISTER_FILES_UPDATE2,
        command::IORING_REGISTER_BUFFERS2,
        command::IORING_REGISTER_BUFFERS_UPDATE,
        command::IORING_REGISTER_IOWQ_MAX_WORKERS,
        command::IORING_REGISTER_PBUF_RING,
        command::IORING_UNREGISTER_PBUF_RING,
        command::IORING_REGISTER_FILE_ALLOC_RANGE,
        command::IORING_REGISTER_PBUF_STATUS,
    ];
    KNOWN.into_iter().find(|&one| one as u32 == number)
}

/// For commands without an argument.
fn nothing(argument: UserAddr, count: u32) -> SysResult<()> {
    if argument.is_null() && count == 0 { Ok(()) } else { Err(Errno::EINVAL) }
}

/// For commands with one structure.
fn one(argument: UserAddr, count: u32) -> SysResult<()> {
    if !argument.is_null() && count == 1 { Ok(()) } else { Err(Errno::EINVAL) }
}

fn read_table(thread: &Thread, argument: UserAddr, size: u32) -> SysResult<Table> {
    if size as usize != size_of::<Table>() {
        return Err(Errno::EINVAL);
    }
    let table = argument.cast::<Table>().read(&thread.memory)?;
    let wrong = table.count == 0
        || table.reserved != 0
        || table.flags & !raw::IORING_RSRC_REGISTER_SPARSE != 0;
    if wrong { Err(Errno::EINVAL) } else { Ok(table) }
}

/// Whether a table begins with free places only, and so has no data.
fn sparse(table: &Table) -> SysResult<bool> {
    let sparse = table.flags & raw::IORING_RSRC_REGISTER_SPARSE != 0;
    if sparse && table.data != 0 { Err(Errno::EINVAL) } else { Ok(sparse) }
}

fn empty<T>(count: u32, most: usize, error: Errno) -> SysResult<Taken<T>> {
    if count as usize > most {
        return Err(error);
    }
    Ok(std::iter::repeat_with(|| None).take(count as usize).collect())
}

fn read_update(thread: &Thread, argument: UserAddr, size: u32) -> SysResult<Update> {
    if size as usize != size_of::<Update>() {
        return Err(Errno::EINVAL);
    }
    let update = argument.cast::<Update>().read(&thread.memory)?;
    let wrong = update.count == 0 || update.reserved != 0 || update.reserved_end != 0;
    if wrong { Err(Errno::EINVAL) } else { Ok(update) }
}

/// The tag of the entry `index`; 0 without tags.
fn read_tag(thread: &Thread, tags: u64, index: usize) -> SysResult<u64> {
    match UserPtr::<u64>::new(tags).non_null() {
        Some(tags) => tags.element(index)?.read(&thread.memory),
        None => Ok(0),
    }
}

// Files.

/// The file to be registered that `fd` names; none for [`NONE`]. `EBADF`, also for a ring, which would keep itself.
fn registrable(thread: &Thread, fd: i32) -> SysResult<Option<Arc<OpenFile>>> {
    if fd == NONE {
        return Ok(None);
    }
    let file = thread.files.get(Fd(fd))?;
    if file.downcast::<Uring>().is_some() { Err(Errno::EBADF) } else { Ok(Some(file)) }
}

fn read_files(
    ring: &Uring,
    thread: &Thread,
    data: u64,
    tags: u64,
    count: u32,
) -> SysResult<Taken<Arc<OpenFile>>> {
    if ring.files.lock().is_registered() {
        return Err(Errno::EBUSY);
    }
    if count == 0 {
        return Err(Errno::EINVAL);
    }
    let limit = thread.process.limit(Limit::OpenFiles);
    if count as usize > MAX_FILES || u64::from(count) > limit {
        return Err(Errno::EMFILE);
    }
    let fds = UserPtr::<i32>::new(data);
    let read = |index: usize| {
        let tag = read_tag(thread, tags, index)?;
        let file = registrable(thread, fds.element(index)?.read(&thread.memory)?)?;
        if file.is_none() && tag != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(file.map(|file| Resource::new(file, tag, ring.me.clone())))
    };
    (0..count as usize).map(read).collect()
}

fn add_files(
    ring: &Uring,
    thread: &Thread,
    count: u32,
    files: Taken<Arc<OpenFile>>,
) -> SysResult<()> {
    if u64::from(count) > thread.process.limit(Limit::OpenFiles) {
        return Err(Errno::EMFILE);
    }
    ring.files.lock().register(files)
}

/// Where an update ends, less where it begins. `ENXIO` without a table, `EINVAL` beyond it.
fn check_range(len: SysResult<usize>, update: &Update) -> SysResult<()> {
    let end = update.offset.checked_add(update.count).ok_or(Errno::EOVERFLOW)?;
    if end as usize > len? { Err(Errno::EINVAL) } else { Ok(()) }
}

/// How many of `count` were done: an error only if it was none.
fn progress(count: u32, mut one: impl FnMut(usize) -> SysResult<()>) -> SysResult<usize> {
    for index in 0..count as usize {
        if let Err(error) = one(index) {
            return if index > 0 { Ok(index) } else { Err(error) };
        }
    }
    Ok(count as usize)
}

fn change_files(ring: &Uring, thread: &Thread, update: &Update) -> SysResult<usize> {
    check_range(ring.files.lock().len(), update)?;
    let fds = UserPtr::<i32>::new(update.data);
    progress(update.count, |index| {
        let tag = read_tag(thread, update.tags, index)?;
        let fd = fds.element(index)?.read(&thread.memory)?;
        if (fd == NONE || fd == SKIP) && tag != 0 {
            return Err(Errno::EINVAL);
        }
        if fd == SKIP {
            return Ok(());
        }
        let file = registrable(thread, fd)?;
        let with = file.map(|file| Resource::new(file, tag, ring.me.clone()));
        let old = ring.files.lock().replace(update.offset as usize + index, with);
        old.map(drop)
    })
}

/// The operation of that name: changes registered files, or finds places for them and tells which.
pub(super) fn update_files(
    ring: &Uring,
    thread: &Thread,
    offset: u64,
    data: u64,
    count: u32,
) -> SysResult<usize> {
    if offset as u32 != u32::MAX {
        let update = Update { offset: offset as u32, data, count, ..Update::new_zeroed() };
        return change_files(ring, thread, &update);
    }
    ring.files.lock().len()?;
    let fds = UserPtr::<i32>::new(data);
    progress(count, |index| {
        let pointer = fds.element(index)?;
        let fd = pointer.read(&thread.memory)?;
        let file = registrable(thread, fd)?.ok_or(Errno::EBADF)?;
        let place = op::install_anywhere(ring, file)?;
        pointer.write(&thread.memory, &(place as i32))
    })
}

// Buffers.

/// A buffer to be registered; none for no address. `EFAULT`.
fn buffer(thread: &Thread, vector: IoVec) -> SysResult<Option<GuestRange>> {
    let (base, len) = vector.parts();
    if base == 0 && len == 0 {
        return Ok(None);
    }
    if base == 0 || len == 0 || len > MAX_BUFFER {
        return Err(Errno::EFAULT);
    }
    let page = hal::pmem::PAGE_SIZE as u64;
    let end = base.checked_add(len).and_then(|end| end.checked_next_multiple_of(page));
    let end = end.ok_or(Errno::EOVERFLOW)?;
    let mapped = thread.memory.check_mapped(&(base & !(page - 1)..end));
    mapped.map_err(|_| Errno::EFAULT)?;
    Ok(Some(GuestRange { va: base, len: len as usize }))
}

fn read_buffers(
    ring: &Uring,
    thread: &Thread,
    data: u64,
    tags: u64,
    count: u32,
) -> SysResult<Taken<GuestRange>> {
    if ring.buffers.lock().is_registered() {
        return Err(Errno::EBUSY);
    }
    if count == 0 || count as usize > MAX_BUFFERS {
        return Err(Errno::EINVAL);
    }
    (0..count as usize).map(|index| read_buffer(ring, thread, data, tags, index)).collect()
}

fn read_buffer(
    ring: &Uring,
    thread: &Thread,
    data: u64,
    tags: u64,
    index: usize,
) -> SysResult<Option<Arc<Resource<GuestRange>>>> {
    let vector = UserPtr::<IoVec>::new(data).element(index)?.read(&thread.memory)?;
    let tag = read_tag(thread, tags, index)?;
    let buffer = buffer(thread, vector)?;
    if buffer.is_none() && tag != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(buffer.map(|buffer| Resource::new(buffer, tag, ring.me.clone())))
}

fn change_buffers(ring: &Uring, thread: &Thread, update: &Update) -> SysResult<usize> {
    check_range(ring.buffers.lock().len(), update)?;
    progress(update.count, |index| {
        let with = read_buffer(ring, thread, update.data, update.tags, index)?;
        let old = ring.buffers.lock().replace(update.offset as usize + index, with);
        old.map(drop)
    })
}

// The rest.

fn set_eventfd(
    ring: &Uring,
    thread: &Thread,
    argument: UserAddr,
    count: u32,
    only_late: bool,
) -> SysResult<()> {
    if count != 1 {
        return Err(Errno::EINVAL);
    }
    let fd = argument.cast::<i32>().read(&thread.memory)?;
    let file = thread.files.get(Fd(fd))?;
    if file.downcast::<EventFd>().is_none() {
        return Err(Errno::EINVAL);
    }
    ring.completions.set_eventfd(file, only_late)
}

fn probe(thread: &Thread, argument: UserAddr, count: u32) -> SysResult<()> {
    if argument.is_null() || count > 256 {
        return Err(Errno::EINVAL);
    }
    let count = count.min(raw::io_uring_op::IORING_OP_LAST as u32) as usize;
    let size = size_of::<Probe>() + count * size_of::<Probed>();
    let mut bytes = vec![0; size];
    thread.memory.read_bytes(argument.0, &mut bytes)?;
    if bytes.iter().any(|&byte| byte != 0) {
        return Err(Errno::EINVAL);
    }
    let last = raw::io_uring_op::IORING_OP_LAST as u8 - 1;
    let head = Probe { last, count: count as u8, reserved: 0, reserved_end: [0; 3] };
    let mut answer = head.as_bytes().to_vec();
    for opcode in 0..count as u8 {
        let flags =
            if op::traits(opcode).is_some() { raw::IO_URING_OP_SUPPORTED as u16 } else { 0 };
        let probed = Probed { opcode, reserved: 0, flags, reserved_end: 0 };
        answer.extend_from_slice(probed.as_bytes());
    }
    thread.memory.write_bytes(argument.0, &answer)
}
