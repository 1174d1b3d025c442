//! How the clock is kept right: adjtimex(2), clock_adjtime(2).
//!
//! The one idea: the clock is the host's and nobody here can set it or knows who keeps it right, so it is told to be synchronized with nothing,
//! and every change is refused as to a caller without the right to.

use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    syscall::argument::UserPtr,
};

/// struct timex
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Timex {
    modes: u32,
    padding: u32,
    offset: i64,
    frequency: i64,
    max_error: i64,
    estimated_error: i64,
    status: i32,
    padding_2: u32,
    constant: i64,
    precision: i64,
    tolerance: i64,
    seconds: i64,
    fraction: i64,
    tick: i64,
    pulse_frequency: i64,
    jitter: i64,
    shift: i32,
    padding_3: u32,
    stability: i64,
    counts: [i64; 4],
    tai: i32,
    tail: [u32; 11],
}

/// Of `modes`: the call is adjtime(3), and only asks.
const ADJ_ADJTIME: u32 = 0x8000;
const ADJ_OFFSET_SINGLESHOT: u32 = 0x0001;
const ADJ_OFFSET_READONLY: u32 = 0x2000;
/// Of `status`: synchronized with nothing.
const STA_UNSYNC: i32 = 0x0040;
/// The result that goes with it.
const TIME_ERROR: i32 = 5;
/// Microseconds that a clock nobody synchronizes may be wrong by, as far as Linux counts.
const MAX_ERROR: i64 = 16_000_000;
/// Parts per million, with 16 bits behind the point, that the frequency can be changed by.
const TOLERANCE: i64 = 500 << 16;
/// Microseconds between ticks of a clock that nobody has tuned.
const TICK: i64 = 10_000;

/// adjtimex(2): tells; `EPERM` for every change.
pub(crate) fn adjtimex(thread: &Thread, timex: UserPtr<Timex>) -> SysResult<i32> {
    let asked = timex.read(&thread.memory)?.modes;
    if asked & ADJ_ADJTIME != 0 {
        if asked & ADJ_OFFSET_SINGLESHOT == 0 {
            return Err(Errno::EINVAL);
        }
        if asked & ADJ_OFFSET_READONLY == 0 {
            return Err(Errno::EPERM);
        }
    } else if asked != 0 {
        return Err(Errno::EPERM);
    }
    let now = hal::time::realtime();
    let told = Timex {
        modes: asked,
        padding: 0,
        offset: 0,
        frequency: 0,
        max_error: MAX_ERROR,
        estimated_error: MAX_ERROR,
        status: STA_UNSYNC,
        padding_2: 0,
        constant: 2,
        precision: 1,
        tolerance: TOLERANCE,
        seconds: (now / 1_000_000_000) as i64,
        fraction: (now % 1_000_000_000 / 1000) as i64,
        tick: TICK,
        pulse_frequency: 0,
        jitter: 0,
        shift: 0,
        padding_3: 0,
        stability: 0,
        counts: [0; 4],
        tai: 0,
        tail: [0; 11],
    };
    timex.write(&thread.memory, &told)?;
    Ok(TIME_ERROR)
}

/// The clocks that have a number: `CLOCK_SGI_CYCLE`, 10, is gone from Linux.
const GONE: u32 = 10;
/// The lowest bits of a clock that a descriptor stands for; there are none such here.
const CLOCK_MASK: i32 = 7;
const CLOCK_OF_DESCRIPTOR: i32 = 3;

/// clock_adjtime(2): `EOPNOTSUPP` for the clocks that nobody can change.
pub(crate) fn clock_adjtime(thread: &Thread, clock: i32, timex: UserPtr<Timex>) -> SysResult<i32> {
    timex.read(&thread.memory)?;
    match u32::try_from(clock) {
        Ok(raw::CLOCK_REALTIME) => adjtimex(thread, timex),
        Ok(clock) if clock <= raw::CLOCK_TAI && clock != GONE => Err(Errno::EOPNOTSUPP),
        // The CPU clocks of processes and threads.
        Err(_) if clock & CLOCK_MASK != CLOCK_OF_DESCRIPTOR => Err(Errno::EOPNOTSUPP),
        _ => Err(Errno::EINVAL),
    }
}
