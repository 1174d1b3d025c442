//! Clocks and sleeping.
//!
//! The one idea: every clock is a [`ClockId`]; reading one is a call of the host's vDSO.

use hal::time::Clock;
use kernel_objects::task::BlockedReason;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    process::{Thread, Usage},
    syscall::{
        argument::{Flags, UserPtr},
        restart::{self, Restart},
    },
    timer::{ClockId, NANOS, Timespec, Timeval, ticks},
};

/// clock_gettime(2)
pub(crate) fn clock_gettime(thread: &Thread, clock: i32, time: UserPtr<Timespec>) -> SysResult<()> {
    // The two that everybody asks for, without the cost of the general way.
    let now = match clock {
        0 => Timespec::of(Clock::Realtime),
        1 => Timespec::of(Clock::Monotonic),
        clock => Timespec::from_nanos(ClockId::from_raw(clock, thread)?.now()),
    };
    time.write(&thread.memory, &now)
}

/// Nanoseconds between two steps of the clocks called coarse: those of a kernel with 250 ticks a second.
const COARSE: u64 = 4_000_000;

/// clock_getres(2)
pub(crate) fn clock_getres(thread: &Thread, clock: i32, time: UserPtr<Timespec>) -> SysResult<()> {
    ClockId::from_raw(clock, thread)?;
    let resolution = if matches!(clock, 5 | 6) { COARSE } else { 1 };
    time.write_if_wanted(&thread.memory, &Timespec::from_nanos(resolution))
}

/// clock_settime(2): the clocks are the host's; `EPERM`.
pub(crate) fn clock_settime(thread: &Thread, clock: i32, time: UserPtr<Timespec>) -> SysResult<()> {
    time.read(&thread.memory)?.to_nanos()?;
    match clock {
        0 => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

/// gettimeofday(2)
pub(crate) fn gettimeofday(
    thread: &Thread,
    time: UserPtr<Timeval>,
    zone: UserPtr<[i32; 2]>,
) -> SysResult<()> {
    time.write_if_wanted(&thread.memory, &Timeval::from_nanos(hal::time::realtime()))?;
    zone.write_if_wanted(&thread.memory, &[0, 0])
}

/// settimeofday(2): `EPERM`.
pub(crate) fn settimeofday(
    thread: &Thread,
    time: UserPtr<Timeval>,
    zone: UserPtr<[i32; 2]>,
) -> SysResult<()> {
    if let Some(time) = time.non_null() {
        time.read(&thread.memory)?.to_nanos()?;
    }
    if let Some(zone) = zone.non_null() {
        zone.read(&thread.memory)?;
    }
    Err(Errno::EPERM)
}

/// time(2)
pub(crate) fn time(thread: &Thread, time: UserPtr<i64>) -> SysResult<i64> {
    let now = (hal::time::realtime() / NANOS) as i64;
    time.write_if_wanted(&thread.memory, &now)?;
    Ok(now)
}

/// times(2). All CPU time counts as time in user mode.
pub(crate) fn times(thread: &Thread, times: UserPtr<[u64; 4]>) -> SysResult<u64> {
    let process = &thread.process;
    let own = ticks(process.usage().cpu);
    let children = ticks(process.children_usage().cpu);
    times.write_if_wanted(&thread.memory, &[own, 0, children, 0])?;
    Ok(ticks(hal::time::boottime()))
}

/// `struct rusage`; what is not named here stays zero.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Rusage {
    user: Timeval,
    system: Timeval,
    /// KiB.
    max_resident: u64,
    rest: [u64; 13],
}

impl From<Usage> for Rusage {
    fn from(usage: Usage) -> Self {
        Self {
            user: Timeval::from_nanos(usage.cpu),
            max_resident: usage.resident / 1024,
            ..Self::default()
        }
    }
}

const RUSAGE_CHILDREN: i32 = -1;
const RUSAGE_SELF: i32 = 0;
const RUSAGE_THREAD: i32 = 1;

/// getrusage(2). All CPU time counts as time in user mode; the resident size is that of lately.
pub(crate) fn getrusage(thread: &Thread, who: i32, usage: UserPtr<Rusage>) -> SysResult<()> {
    let resident = || thread.memory.resident_lately();
    let value = match who {
        RUSAGE_SELF => Usage { resident: resident(), ..thread.process.usage() },
        RUSAGE_THREAD => Usage { cpu: thread.cpu_time(), resident: resident() },
        RUSAGE_CHILDREN => thread.process.children_usage(),
        _ => return Err(Errno::EINVAL),
    };
    usage.write(&thread.memory, &value.into())
}

/// nanosleep(2)
pub(crate) async fn nanosleep(
    thread: &Thread,
    request: UserPtr<Timespec>,
    remaining: UserPtr<Timespec>,
) -> SysResult<()> {
    let nanos = request.read(&thread.memory)?.to_nanos()?;
    let until = hal::time::monotonic().saturating_add(nanos);
    sleep(thread, ClockId::Monotonic, until, Some(remaining)).await
}

const TIMER_ABSTIME: u32 = 1;
const CLOCK_THREAD_CPUTIME_ID: i32 = 3;

/// clock_nanosleep(2)
pub(crate) async fn clock_nanosleep(
    thread: &Thread,
    clock: i32,
    flags: Flags,
    request: UserPtr<Timespec>,
    remaining: UserPtr<Timespec>,
) -> SysResult<()> {
    // The coarse and the raw clocks can not be slept on, nor a thread's own CPU time.
    if matches!(clock, 4..=6) {
        ClockId::from_raw(clock, thread)?;
        return Err(Errno::EOPNOTSUPP);
    }
    let id = ClockId::from_raw(clock, thread)?;
    if matches!(id, ClockId::ThreadCpu(_)) {
        return Err(if clock == CLOCK_THREAD_CPUTIME_ID {
            Errno::EOPNOTSUPP
        } else {
            Errno::EINVAL
        });
    }
    let nanos = request.read(&thread.memory)?.to_nanos()?;
    if flags.0 & TIMER_ABSTIME != 0 {
        return sleep(thread, id, nanos, None).await;
    }
    let until = id.now().saturating_add(nanos);
    sleep(thread, id, until, Some(remaining)).await
}

/// Sleeps until `clock` shows `until`. A relative sleep, with the place for what `remaining` there is, goes on with the rest after an interruption.
pub(super) async fn sleep(
    thread: &Thread,
    clock: ClockId,
    until: u64,
    remaining: Option<UserPtr<Timespec>>,
) -> SysResult<()> {
    if thread.object.interruptible(BlockedReason::Sleeping, clock.sleep_until(until)).await.is_ok()
    {
        return Ok(());
    }
    let Some(remaining) = remaining else { return Err(Errno::ERESTARTNOHAND) };
    let rest = until.saturating_sub(clock.now());
    if rest == 0 {
        return Ok(());
    }
    remaining.write_if_wanted(&thread.memory, &Timespec::from_nanos(rest))?;
    Err(restart::later(thread, Restart::Sleep { clock, until, remaining }))
}
