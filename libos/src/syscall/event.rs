//! The calls that make and use files of events: epoll, eventfd, timerfd, signalfd, inotify.
//!
//! The one idea: checks and copies are here; the files are in [`crate::event`].

use std::sync::Arc;

use kernel_objects::{WaitQueue, task::BlockedReason};
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    event::{Epoll, EventFd, Inotify, SignalFd, TimerFd, epoll},
    process::Thread,
    signal::SigSet,
    syscall::{
        argument::{Fd, Flags, UserPtr, UserStr},
        fs::{At, install},
        poll,
    },
    timer::{ClockId, Itimerspec, Timespec, alarm::Setting},
    vfs::{Access, File, LookupFlags, OpenFile, ops},
};

/// eventfd2(2)
pub(crate) fn eventfd2(thread: &Thread, count: u32, flags: Flags) -> SysResult<Fd> {
    if flags.0 & !(raw::EFD_SEMAPHORE | raw::O_CLOEXEC | raw::O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let semaphore = flags.0 & raw::EFD_SEMAPHORE != 0;
    poll::open(thread, Arc::new(EventFd::new(count, semaphore)), flags.0)
}

/// eventfd(2)
pub(crate) fn eventfd(thread: &Thread, count: u32) -> SysResult<Fd> {
    eventfd2(thread, count, Flags(0))
}

/// timerfd_create(2)
pub(crate) fn timerfd_create(thread: &Thread, clock: i32, flags: Flags) -> SysResult<Fd> {
    if flags.0 & !(raw::O_CLOEXEC | raw::O_NONBLOCK) != 0 || !matches!(clock, 0 | 1 | 7..=9) {
        return Err(Errno::EINVAL);
    }
    // The clocks that wake a sleeping machine differ in nothing else.
    let clock = match clock {
        8 => ClockId::Realtime,
        9 => ClockId::Boottime,
        clock => ClockId::from_raw(clock, thread)?,
    };
    poll::open(thread, TimerFd::new(clock), flags.0)
}

const TFD_TIMER_ABSTIME: u32 = 1;
const TFD_TIMER_CANCEL_ON_SET: u32 = 2;

fn itimerspec(setting: Setting) -> Itimerspec {
    Itimerspec {
        interval: Timespec::from_nanos(setting.interval),
        value: Timespec::from_nanos(setting.remaining),
    }
}

/// timerfd_settime(2). The clock is never set, so `TFD_TIMER_CANCEL_ON_SET` never cancels.
pub(crate) fn timerfd_settime(
    thread: &Thread,
    fd: Fd,
    flags: Flags,
    new: UserPtr<Itimerspec>,
    old: UserPtr<Itimerspec>,
) -> SysResult<()> {
    let new = new.read(&thread.memory)?;
    if flags.0 & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let (value, interval) = (new.value.to_nanos()?, new.interval.to_nanos()?);
    let file = thread.files.get(fd)?;
    let timer = file.downcast::<TimerFd>().ok_or(Errno::EINVAL)?;
    let before = timer.set(value, flags.0 & TFD_TIMER_ABSTIME != 0, interval);
    old.write_if_wanted(&thread.memory, &itimerspec(before))
}

/// timerfd_gettime(2)
pub(crate) fn timerfd_gettime(
    thread: &Thread,
    fd: Fd,
    value: UserPtr<Itimerspec>,
) -> SysResult<()> {
    let file = thread.files.get(fd)?;
    let timer = file.downcast::<TimerFd>().ok_or(Errno::EINVAL)?;
    value.write(&thread.memory, &itimerspec(timer.get()))
}

/// signalfd4(2)
pub(crate) fn signalfd4(
    thread: &Thread,
    fd: Fd,
    set: UserPtr<SigSet>,
    size: usize,
    flags: Flags,
) -> SysResult<Fd> {
    if flags.0 & !(raw::O_CLOEXEC | raw::O_NONBLOCK) != 0 || size != size_of::<SigSet>() {
        return Err(Errno::EINVAL);
    }
    let set = set.read(&thread.memory)?;
    if fd.0 == -1 {
        let thread_itself = thread.process.thread(thread.tid).ok_or(Errno::ESRCH)?;
        return poll::open(thread, Arc::new(SignalFd::new(thread_itself, set)), flags.0);
    }
    let file = thread.files.get(fd)?;
    file.downcast::<SignalFd>().ok_or(Errno::EINVAL)?.set(set);
    Ok(fd)
}

/// signalfd(2)
pub(crate) fn signalfd(
    thread: &Thread,
    fd: Fd,
    set: UserPtr<SigSet>,
    size: usize,
) -> SysResult<Fd> {
    signalfd4(thread, fd, set, size, Flags(0))
}

/// inotify_init1(2)
pub(crate) fn inotify_init1(thread: &Thread, flags: Flags) -> SysResult<Fd> {
    if flags.0 & !(raw::O_CLOEXEC | raw::O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let kernel = &thread.process.kernel;
    let user = thread.process.ids.lock().users[1];
    let inotify = Inotify::new(&kernel.memory, &kernel.inotify, user)?;
    let file = OpenFile::from_file(inotify, None, raw::O_RDONLY | flags.0 & raw::O_NONBLOCK);
    install(thread, file, flags.0 & raw::O_CLOEXEC != 0)
}

/// inotify_init(2)
pub(crate) fn inotify_init(thread: &Thread) -> SysResult<Fd> {
    inotify_init1(thread, Flags(0))
}

/// inotify_add_watch(2): the watch's number.
pub(crate) fn inotify_add_watch(
    thread: &Thread,
    fd: Fd,
    path: UserStr,
    mask: Flags,
) -> SysResult<i32> {
    const FLAGS: u32 = raw::IN_ONLYDIR
        | raw::IN_DONT_FOLLOW
        | raw::IN_EXCL_UNLINK
        | raw::IN_MASK_CREATE
        | raw::IN_MASK_ADD
        | raw::IN_ISDIR
        | raw::IN_ONESHOT;
    const TOLD_ANYWAY: u32 = raw::IN_UNMOUNT | raw::IN_Q_OVERFLOW | raw::IN_IGNORED;
    let mask = mask.0;
    if mask & (raw::IN_ALL_EVENTS | FLAGS | TOLD_ANYWAY) == 0 {
        return Err(Errno::EINVAL);
    }
    let file = thread.files.get(fd)?;
    let both = raw::IN_MASK_ADD | raw::IN_MASK_CREATE;
    let inotify = file.downcast::<Inotify>().filter(|_| mask & both != both);
    let inotify = inotify.ok_or(Errno::EINVAL)?;
    let mut lookup = LookupFlags::empty();
    lookup.set(LookupFlags::FOLLOW, mask & raw::IN_DONT_FOLLOW == 0);
    lookup.set(LookupFlags::DIRECTORY, mask & raw::IN_ONLYDIR != 0);
    let place = At::cwd(thread, path)?.resolve(thread, lookup)?;
    let cred = Arc::clone(&thread.fs.read().cred);
    ops::check(&cred, &place, Access::READ)?;
    inotify.add(&place, mask)
}

/// inotify_rm_watch(2)
pub(crate) fn inotify_rm_watch(thread: &Thread, fd: Fd, watch: i32) -> SysResult<()> {
    let file = thread.files.get(fd)?;
    file.downcast::<Inotify>().ok_or(Errno::EINVAL)?.remove(watch)
}

/// epoll_create1(2)
pub(crate) fn epoll_create1(thread: &Thread, flags: Flags) -> SysResult<Fd> {
    if flags.0 & !raw::O_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    poll::open(thread, Epoll::new(), flags.0)
}

/// epoll_create(2)
pub(crate) fn epoll_create(thread: &Thread, size: i32) -> SysResult<Fd> {
    if size <= 0 {
        return Err(Errno::EINVAL);
    }
    epoll_create1(thread, Flags(0))
}

/// `struct epoll_event`, packed on x86-64.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct EpollEvent {
    events: u32,
    data: [u32; 2],
}

impl From<EpollEvent> for epoll::Interest {
    fn from(event: EpollEvent) -> Self {
        let [low, high] = event.data;
        Self { events: event.events, data: u64::from(low) | u64::from(high) << 32 }
    }
}

impl From<epoll::Interest> for EpollEvent {
    fn from(interest: epoll::Interest) -> Self {
        Self { events: interest.events, data: [interest.data as u32, (interest.data >> 32) as u32] }
    }
}

/// epoll_ctl(2)
pub(crate) fn epoll_ctl(
    thread: &Thread,
    set: Fd,
    operation: u32,
    fd: Fd,
    event: UserPtr<EpollEvent>,
) -> SysResult<()> {
    let event = match operation {
        raw::EPOLL_CTL_DEL => None,
        _ => Some(epoll::Interest::from(event.read(&thread.memory)?)),
    };
    let set_file = thread.files.get(set)?;
    let file = thread.files.get(fd)?;
    if file.wait_queue().is_none() {
        return Err(Errno::EPERM);
    }
    let set = set_file.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
    if Arc::ptr_eq(&set_file, &file) {
        return Err(Errno::EINVAL);
    }
    match (operation, event) {
        (raw::EPOLL_CTL_ADD, Some(event)) => set.add(fd.0, &file, event),
        (raw::EPOLL_CTL_MOD, Some(event)) => set.modify(fd.0, &file, event),
        (raw::EPOLL_CTL_DEL, _) => set.remove(fd.0, &file),
        _ => Err(Errno::EINVAL),
    }
}

/// Events above this many are no valid request.
const EVENTS_MAX: usize = i32::MAX as usize / size_of::<EpollEvent>();

async fn wait(
    thread: &Thread,
    fd: Fd,
    events: UserPtr<EpollEvent>,
    max: i32,
    timeout: Option<u64>,
) -> SysResult {
    let max = usize::try_from(max).ok().filter(|max| (1..=EVENTS_MAX).contains(max));
    let max = max.ok_or(Errno::EINVAL)?;
    let file: Arc<OpenFile> = thread.files.get(fd)?;
    let set = file.downcast::<Epoll>().ok_or(Errno::EINVAL)?;
    let collect = || {
        let mut index = 0;
        set.collect(max, |interest| {
            events.element(index)?.write(&thread.memory, &interest.into())?;
            index += 1;
            Ok(())
        })
    };
    let found = collect()?;
    if found > 0 || timeout == Some(0) {
        return Ok(found);
    }
    let deadline = timeout.map_or(u64::MAX, |nanos| hal::time::monotonic().saturating_add(nanos));
    loop {
        let Some(mut ready) = set.wait_queue().map(WaitQueue::wait) else { return Ok(0) };
        ready.arm();
        let found = collect()?;
        if found > 0 {
            return Ok(found);
        }
        let wait = hal::time::timeout_at(deadline, ready);
        match thread.object.interruptible(BlockedReason::Port, wait).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return collect(),
            Err(_) => return Err(Errno::EINTR),
        }
    }
}

fn milliseconds(timeout: i32) -> Option<u64> {
    u64::try_from(timeout).ok().map(|millis| millis * 1_000_000)
}

/// epoll_wait(2)
pub(crate) async fn epoll_wait(
    thread: &Thread,
    fd: Fd,
    events: UserPtr<EpollEvent>,
    max: i32,
    timeout: i32,
) -> SysResult {
    wait(thread, fd, events, max, milliseconds(timeout)).await
}

/// Waits with a mask of its own.
async fn wait_masked(
    thread: &Thread,
    fd: Fd,
    events: UserPtr<EpollEvent>,
    max: i32,
    timeout: Option<u64>,
    (mask, size): (UserPtr<SigSet>, usize),
) -> SysResult {
    if let Some(mask) = mask.non_null() {
        if size != size_of::<SigSet>() {
            return Err(Errno::EINVAL);
        }
        thread.set_signal_mask_for_call(mask.read(&thread.memory)?);
    }
    let result = wait(thread, fd, events, max, timeout).await;
    if result != Err(Errno::EINTR) {
        thread.restore_signal_mask();
    }
    result
}

/// epoll_pwait(2)
pub(crate) async fn epoll_pwait(
    thread: &Thread,
    fd: Fd,
    events: UserPtr<EpollEvent>,
    max: i32,
    timeout: i32,
    mask: UserPtr<SigSet>,
    size: usize,
) -> SysResult {
    wait_masked(thread, fd, events, max, milliseconds(timeout), (mask, size)).await
}

/// epoll_pwait2(2)
pub(crate) async fn epoll_pwait2(
    thread: &Thread,
    fd: Fd,
    events: UserPtr<EpollEvent>,
    max: i32,
    timeout: UserPtr<Timespec>,
    mask: UserPtr<SigSet>,
    size: usize,
) -> SysResult {
    let timeout = match timeout.non_null() {
        Some(timeout) => Some(timeout.read(&thread.memory)?.to_nanos()?),
        None => None,
    };
    wait_masked(thread, fd, events, max, timeout, (mask, size)).await
}
