//! io_uring: io_uring_setup(2), io_uring_enter(2), io_uring_register(2).
//!
//! The one idea: checks and copies are here; the rings are in `crate::ring`.

use std::sync::Arc;

use linux_raw_sys::io_uring as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    ring::uring::{PIECE, Params, Uring, register},
    signal::SigSet,
    syscall::{
        argument::{Fd, Flags, UserAddr, UserPtr},
        pace, poll,
    },
    timer::Timespec,
    vfs::OpenFile,
};

/// io_uring_setup(2)
pub(crate) fn io_uring_setup(
    thread: &Thread,
    entries: u32,
    params: UserPtr<Params>,
) -> SysResult<Fd> {
    let mut wanted = params.read(&thread.memory)?;
    let ring = Uring::create(thread, entries, &mut wanted)?;
    params.write(&thread.memory, &wanted)?;
    thread.rings.lock().resize(RINGS, None);
    poll::open(thread, ring, linux_raw_sys::general::O_CLOEXEC)
}

/// The file that a call is about: that of a descriptor, or of a place among the thread's rings. `EBADF`, `EINVAL` beyond those.
fn ring_file(thread: &Thread, fd: Fd, registered: bool) -> SysResult<Arc<OpenFile>> {
    if !registered {
        return thread.files.get(fd);
    }
    let index = usize::try_from(fd.0).ok().filter(|&index| index < RINGS).ok_or(Errno::EINVAL)?;
    let rings = thread.rings.lock();
    // A thread that has never had to do with rings has no places for them.
    rings.get(index).ok_or(Errno::EINVAL)?.clone().ok_or(Errno::EBADF)
}

/// How many rings a thread can name by their places.
const RINGS: usize = 16;

/// `struct io_uring_rsrc_update`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Place {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// Any free place.
const ANY: u32 = u32::MAX;

/// Gives rings places among the thread's, and says where: how many; an error only if it was none.
fn register_rings(thread: &Thread, places: UserPtr<Place>, count: u32) -> SysResult {
    if count == 0 || count as usize > RINGS {
        return Err(Errno::EINVAL);
    }
    let mut rings = thread.rings.lock();
    rings.resize(RINGS, None);
    let mut one = |index: usize| {
        let pointer = places.element(index)?;
        let mut place = pointer.read(&thread.memory)?;
        if place.reserved != 0 {
            return Err(Errno::EINVAL);
        }
        let index = match place.offset {
            ANY => rings.iter().position(Option::is_none).ok_or(Errno::EBUSY)?,
            offset => offset as usize,
        };
        let slot = rings.get_mut(index).ok_or(Errno::EINVAL)?;
        if slot.is_some() {
            return Err(Errno::EBUSY);
        }
        let file = thread.files.get(Fd(place.data as i32))?;
        ring(&file)?;
        place.offset = index as u32;
        pointer.write(&thread.memory, &place)?;
        *slot = Some(file);
        Ok(())
    };
    for index in 0..count as usize {
        if let Err(error) = one(index) {
            return if index > 0 { Ok(index) } else { Err(error) };
        }
    }
    Ok(count as usize)
}

/// Takes places back: how many.
fn unregister_rings(thread: &Thread, places: UserPtr<Place>, count: u32) -> SysResult {
    if count == 0 || count as usize > RINGS {
        return Err(Errno::EINVAL);
    }
    let mut dropped = Vec::new();
    for place in places.read_slice(&thread.memory, count as usize)? {
        if place.reserved != 0 || place.data != 0 || place.offset as usize >= RINGS {
            break;
        }
        if let Some(slot) = thread.rings.lock().get_mut(place.offset as usize) {
            dropped.extend(slot.take());
        }
    }
    Ok(count as usize)
}

/// io_uring_register(2)
pub(crate) fn io_uring_register(
    thread: &Thread,
    fd: Fd,
    command: Flags,
    argument: UserAddr,
    count: u32,
) -> SysResult {
    use raw::io_uring_register_op as op;
    const BY_PLACE: u32 = op::IORING_REGISTER_USE_REGISTERED_RING as u32;
    let (command, by_place) = (command.0 & !BY_PLACE, command.0 & BY_PLACE != 0);
    // Without a ring there are other commands, none of which is here.
    if command >= op::IORING_REGISTER_LAST as u32 || fd.0 == -1 && !by_place {
        return Err(Errno::EINVAL);
    }
    let file = ring_file(thread, fd, by_place)?;
    let ring = ring(&file)?;
    register::check(ring, thread, command)?;
    if command == op::IORING_REGISTER_RING_FDS as u32 {
        return register_rings(thread, argument.cast(), count);
    }
    if command == op::IORING_UNREGISTER_RING_FDS as u32 {
        return unregister_rings(thread, argument.cast(), count);
    }
    register::register(ring, thread, command, argument, count)
}

fn ring(file: &OpenFile) -> SysResult<&Uring> {
    file.downcast::<Uring>().ok_or(Errno::EOPNOTSUPP)
}

/// The flags of io_uring_enter(2) that are there.
const ENTER: u32 = raw::IORING_ENTER_GETEVENTS
    | raw::IORING_ENTER_SQ_WAKEUP
    | raw::IORING_ENTER_SQ_WAIT
    | raw::IORING_ENTER_EXT_ARG
    | raw::IORING_ENTER_REGISTERED_RING
    | raw::IORING_ENTER_ABS_TIMER;

/// `struct io_uring_getevents_arg`
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Extended {
    mask: u64,
    mask_size: u32,
    min_wait_usec: u32,
    timeout: u64,
}

/// io_uring_enter(2) that does not wait.
pub(crate) fn io_uring_enter_at_once(
    thread: &Thread,
    fd: Fd,
    count: u32,
    _wanted: u32,
    flags: Flags,
    _argument: UserAddr,
    _size: usize,
) -> Option<SysResult> {
    if flags.0 != 0 || count > PIECE {
        return None;
    }
    let enter = |file: Arc<OpenFile>| Ok(ring(&file)?.enter(thread, count, 0)?.count as usize);
    Some(thread.files.get(fd).and_then(enter))
}

/// io_uring_enter(2)
pub(crate) async fn io_uring_enter(
    thread: &Thread,
    fd: Fd,
    count: u32,
    wanted: u32,
    flags: Flags,
    argument: UserAddr,
    size: usize,
) -> SysResult {
    let flags = flags.0;
    if flags & !ENTER != 0 {
        return Err(Errno::EINVAL);
    }
    let file = ring_file(thread, fd, flags & raw::IORING_ENTER_REGISTERED_RING != 0)?;
    let ring = ring(&file)?;
    let mut taken = 0;
    loop {
        let some = ring.enter(thread, count - taken, flags)?;
        taken += some.count;
        if some.ended {
            break;
        }
        pace::give_way(thread).await;
    }
    let taken = taken as usize;
    if flags & raw::IORING_ENTER_SQ_WAIT != 0 {
        ring.wait_for_room(thread).await?;
    }
    if flags & raw::IORING_ENTER_GETEVENTS == 0 || taken < count as usize {
        return Ok(taken);
    }
    match wait(thread, ring, wanted, flags, argument, size).await {
        Err(error) if taken == 0 => Err(error),
        _ => Ok(taken),
    }
}

/// Waits as io_uring_enter(2) was told to.
async fn wait(
    thread: &Thread,
    ring: &Uring,
    wanted: u32,
    flags: u32,
    argument: UserAddr,
    size: usize,
) -> SysResult<()> {
    let extended = match flags & raw::IORING_ENTER_EXT_ARG {
        0 => Extended { mask: argument.0, mask_size: size as u32, ..Extended::default() },
        _ if size != size_of::<Extended>() => return Err(Errno::EINVAL),
        _ => argument.cast::<Extended>().read(&thread.memory)?,
    };
    if extended.min_wait_usec != 0 {
        // Without IORING_FEAT_MIN_TIMEOUT it is padding.
        return Err(Errno::EINVAL);
    }
    let until = match UserPtr::<Timespec>::new(extended.timeout).non_null() {
        None => None,
        Some(timeout) => {
            let nanoseconds = timeout.read(&thread.memory)?.to_nanos()?;
            let absolute = flags & raw::IORING_ENTER_ABS_TIMER != 0;
            let from = if absolute { 0 } else { hal::time::monotonic() };
            Some(from.saturating_add(nanoseconds))
        }
    };
    if extended.mask == 0 {
        return ring.wait(thread, wanted, until).await;
    }
    if extended.mask_size as usize != size_of::<SigSet>() {
        return Err(Errno::EINVAL);
    }
    let mask = UserPtr::<SigSet>::new(extended.mask).read(&thread.memory)?;
    thread.set_signal_mask_for_call(mask);
    let waited = ring.wait(thread, wanted, until).await;
    if waited != Err(Errno::EINTR) {
        // Else a handler is about to run, which needs the mask.
        thread.restore_signal_mask();
    }
    waited
}
