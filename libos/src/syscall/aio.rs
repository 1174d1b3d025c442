//! Linux's own asynchronous I/O: io_setup(2), io_submit(2), io_getevents(2), io_cancel(2), io_destroy(2).
//!
//! The one idea: as on Linux for what goes through the page cache, transfers are made while they are submitted, by the thread that
//! submits them. What waits for a file (`IOCB_CMD_POLL`) goes on by itself. The contexts are in [`event::aio`](crate::event::aio).

use std::sync::Arc;

use kernel_objects::task::BlockedReason;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    argument::{Fd, Flags, UserPtr},
    file::store,
    io::{self, IoVec, MAX_TRANSFER},
    memory::check_space,
    pace, poll, scheduling,
};
use crate::{
    errno::{Errno, SysResult},
    event::{
        EventFd,
        aio::{Context, Event, Request},
    },
    process::Thread,
    timer::Timespec,
    vfs::{GuestRange, OpenFile, PollEvents},
};

/// `struct iocb`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct RawOperation {
    data: u64,
    key: u32,
    transfer_flags: u32,
    code: u16,
    priority: u16,
    fd: i32,
    buffer: u64,
    len: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    counter: i32,
}

/// Where a `struct iocb` has its key.
const KEY: u64 = 8;

const READ: u16 = 0;
const WRITE: u16 = 1;
const SYNC: u16 = 2;
const DATA_SYNC: u16 = 3;
const POLL: u16 = 5;
const READ_VECTOR: u16 = 7;
const WRITE_VECTOR: u16 = 8;

/// `IOCB_FLAG_RESFD`: an eventfd counts the ends.
const COUNTED: u32 = 1;
/// `IOCB_FLAG_IOPRIO`
const PRIORITY: u32 = 2;

fn context(thread: &Thread, at: u64) -> SysResult<Arc<Context>> {
    thread.memory.aio().get(&thread.memory, at)
}

/// io_setup(2)
pub(crate) fn io_setup(thread: &Thread, requests: u32, into: UserPtr<u64>) -> SysResult<()> {
    if into.read(&thread.memory)? != 0 {
        return Err(Errno::EINVAL);
    }
    let kernel = &thread.process.kernel;
    let contexts = thread.memory.aio();
    check_space(thread, 1)?;
    let cpus = kernel.cpus.count();
    let polls = thread.process.operations.create();
    let (memory, total) = (&kernel.memory, &kernel.aio);
    let at = contexts.create(&thread.memory, memory, total, requests, cpus, polls)?;
    into.write(&thread.memory, &at).inspect_err(|_| {
        // Nobody has heard of it.
        let _ = contexts.remove(&thread.memory, at);
    })
}

/// io_destroy(2): waits for what other threads are just submitting, and cancels what waits for files.
pub(crate) async fn io_destroy(thread: &Thread, at: u64) -> SysResult<()> {
    let context = thread.memory.aio().remove(&thread.memory, at)?;
    let idle = context.changed().wait_until(|| context.is_idle().then_some(()));
    thread.object.blocked(BlockedReason::Pager, idle).await;
    Ok(())
}

/// After how many operations others have their turn.
const PACE: usize = 16;

/// io_submit(2): how many were begun; the first one's error if none was.
pub(crate) async fn io_submit(
    thread: &Thread,
    at: u64,
    count: i64,
    list: UserPtr<u64>,
) -> SysResult<usize> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let context = context(thread, at)?;
    for done in 0..count.min(context.slots() as usize) {
        let submitted = match list.element(done).and_then(|entry| entry.read(&thread.memory)) {
            Ok(at) => submit(thread, &context, at).await,
            Err(error) => Err(error),
        };
        if let Err(error) = submitted {
            return if done > 0 { Ok(done) } else { Err(error) };
        }
        if done % PACE == PACE - 1 {
            pace::give_way(thread).await;
        }
    }
    Ok(count.min(context.slots() as usize))
}

/// An operation that was begun, and whom its end is told.
struct Begun {
    request: Request,
    event: Event,
    counter: Option<Arc<OpenFile>>,
}

impl Begun {
    fn end(mut self, result: SysResult) {
        self.event.result = match result {
            Ok(count) => count as i64,
            // It will not be made again.
            Err(error) if error.is_restart() => -i64::from(Errno::EINTR.raw()),
            Err(error) => -i64::from(error.raw()),
        };
        self.request.end(&self.event, self.counter.as_deref());
    }
}

async fn submit(thread: &Thread, context: &Arc<Context>, at: u64) -> SysResult<()> {
    let wish = UserPtr::<RawOperation>::new(at).read(&thread.memory)?;
    if wish.reserved != 0 || wish.len > isize::MAX as u64 {
        return Err(Errno::EINVAL);
    }
    let request = context.begin()?;
    let file = thread.files.get(Fd(wish.fd))?;
    let counter = match wish.flags & COUNTED {
        0 => None,
        _ => {
            let counter = thread.files.get(Fd(wish.counter))?;
            counter.downcast::<EventFd>().ok_or(Errno::EINVAL)?;
            Some(counter)
        }
    };
    UserPtr::<u32>::new(at.wrapping_add(KEY)).write(&thread.memory, &0)?;
    let event = Event { data: wish.data, operation: at, ..Event::default() };
    let begun = Begun { request, event, counter };
    match wish.code {
        READ | WRITE | READ_VECTOR | WRITE_VECTOR => transfer(thread, begun, file, &wish).await,
        SYNC | DATA_SYNC => sync(thread, begun, file, &wish).await,
        POLL => wait(thread, context, begun, file, &wish),
        _ => Err(Errno::EINVAL),
    }
}

async fn transfer(
    thread: &Thread,
    begun: Begun,
    file: Arc<OpenFile>,
    wish: &RawOperation,
) -> SysResult<()> {
    let writes = matches!(wish.code, WRITE | WRITE_VECTOR);
    let flags = Flags(wish.transfer_flags);
    if wish.flags & PRIORITY != 0 {
        scheduling::check_io_priority(thread, wish.priority.into())?;
    }
    match writes {
        true => io::check_write_flags(flags)?,
        false => io::check_read_flags(&file, flags)?,
    }
    if !(if writes { file.writable() } else { file.readable() }) {
        return Err(Errno::EBADF);
    }
    file.check_transfers(writes)?;
    if file.special().is_none() && file.inode().is_some_and(|inode| inode.kind().is_dir()) {
        return Err(Errno::EINVAL);
    }
    let ranges = match wish.code {
        READ | WRITE => {
            io::check_reach(wish.buffer, wish.len)?;
            let len = (wish.len as usize).min(MAX_TRANSFER);
            io::Ranges::from_slice(&[GuestRange { va: wish.buffer, len }])
        }
        _ => io::ranges(thread, UserPtr::<IoVec>::new(wish.buffer), wish.len as usize)?,
    };
    // What has no offsets does not look at it.
    let offset = match file.has_offsets() {
        true => Some(u64::try_from(wish.offset).map_err(|_| Errno::EINVAL)?),
        false => None,
    };
    let done = match writes {
        true => io::write_with(thread, file, offset, &ranges, flags).await,
        false => io::read_with(thread, &file, offset, &ranges, flags).await,
    };
    begun.end(done);
    Ok(())
}

async fn sync(
    thread: &Thread,
    begun: Begun,
    file: Arc<OpenFile>,
    wish: &RawOperation,
) -> SysResult<()> {
    if wish.buffer != 0 || wish.offset != 0 || wish.len != 0 || wish.transfer_flags != 0 {
        return Err(Errno::EINVAL);
    }
    match store(thread, file, wish.code == DATA_SYNC).await {
        Err(Errno::EINVAL) => return Err(Errno::EINVAL),
        stored => begun.end(stored.map(|()| 0)),
    }
    Ok(())
}

fn wait(
    thread: &Thread,
    context: &Context,
    begun: Begun,
    file: Arc<OpenFile>,
    wish: &RawOperation,
) -> SysResult<()> {
    let events = u16::try_from(wish.buffer).map_err(|_| Errno::EINVAL)?;
    if wish.offset != 0 || wish.len != 0 || wish.transfer_flags != 0 {
        return Err(Errno::EINVAL);
    }
    let always = PollEvents::ERR | PollEvents::HUP;
    let events = PollEvents::from_bits_truncate(events.into()) | always;
    let Begun { request, event, counter } = begun;
    context.poll(thread, request, file, events, event, counter)
}

/// io_cancel(2): `EINPROGRESS` for one that is cancelled, as its event comes like any other's.
pub(crate) fn io_cancel(
    thread: &Thread,
    at: u64,
    operation: UserPtr<RawOperation>,
    _event: UserPtr<Event>,
) -> SysResult<()> {
    let key = UserPtr::<u32>::new(operation.addr().wrapping_add(KEY)).read(&thread.memory)?;
    if key != 0 {
        return Err(Errno::EINVAL);
    }
    context(thread, at)?.cancel(operation.addr())?;
    Err(Errno::EINPROGRESS)
}

/// Waits for `min` events and stores up to `max`; how many. `interrupted` is what a signal ends it with before the first one.
async fn get_events(
    thread: &Thread,
    at: u64,
    (min, max): (i64, i64),
    events: UserPtr<Event>,
    timeout: UserPtr<Timespec>,
    interrupted: Errno,
) -> SysResult {
    // As Linux takes it: what is no time has passed already.
    let limit = match timeout.non_null() {
        None => None,
        Some(timeout) => {
            let timeout = timeout.read(&thread.memory)?;
            let nanos = timeout.sec.saturating_mul(1_000_000_000).saturating_add(timeout.nsec);
            Some(u64::try_from(nanos).unwrap_or(0))
        }
    };
    let deadline = limit.map_or(u64::MAX, |nanos| hal::time::monotonic().saturating_add(nanos));
    let context = context(thread, at)?;
    if min < 0 || max < min {
        return Err(Errno::EINVAL);
    }
    let (min, max) = (min as usize, max as usize);
    let mut done = 0;
    loop {
        let mut changed = context.changed().wait();
        changed.arm();
        let collected = context.collect(max - done, |event| {
            events.element(done)?.write(&thread.memory, event)?;
            done += 1;
            Ok(())
        });
        match collected {
            Err(error) if done == 0 => return Err(error),
            Err(_) => return Ok(done),
            Ok(_) if done >= min || limit == Some(0) => return Ok(done),
            Ok(_) if context.is_dead() => return Err(Errno::EINVAL),
            Ok(_) => {}
        }
        let wait = hal::time::timeout_at(deadline, changed);
        match thread.object.interruptible(BlockedReason::Port, wait).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ok(done),
            Err(_) if done > 0 => return Ok(done),
            Err(_) => return Err(interrupted),
        }
    }
}

/// io_getevents(2)
pub(crate) async fn io_getevents(
    thread: &Thread,
    at: u64,
    min: i64,
    max: i64,
    events: UserPtr<Event>,
    timeout: UserPtr<Timespec>,
) -> SysResult {
    get_events(thread, at, (min, max), events, timeout, Errno::EINTR).await
}

/// io_pgetevents(2)
pub(crate) async fn io_pgetevents(
    thread: &Thread,
    at: u64,
    min: i64,
    max: i64,
    events: UserPtr<Event>,
    timeout: UserPtr<Timespec>,
    mask: UserPtr<[u64; 2]>,
) -> SysResult {
    if let Some(mask) = mask.non_null() {
        let [mask, size] = mask.read(&thread.memory)?;
        poll::mask_for_call(thread, UserPtr::new(mask), size as usize)?;
    }
    let done = get_events(thread, at, (min, max), events, timeout, Errno::ERESTARTNOHAND).await;
    if done != Err(Errno::ERESTARTNOHAND) {
        thread.restore_signal_mask();
    }
    done
}
