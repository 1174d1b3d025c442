//! Time: the clocks of the system, and sleeping.

use kernel_objects::{Error, Result, deadline::until, task::BlockedReason};

use crate::zircon::{Thread, abi::ZxTime};

/// zx_clock_get_monotonic
pub(super) fn get_monotonic(_: &Thread) -> Result<i64> {
    Ok(ZxTime::from_nanos(hal::time::monotonic()).0)
}

/// zx_clock_get_boot
pub(super) fn get_boot(_: &Thread) -> Result<i64> {
    Ok(ZxTime::from_nanos(hal::time::boottime()).0)
}

/// zx_nanosleep
pub(super) async fn nanosleep(thread: &Thread, deadline: ZxTime) -> Result {
    if deadline.0 <= 0 {
        hal::cpu::yield_now().await;
        return Ok(());
    }
    let sleep = until(deadline.deadline(), std::future::pending());
    match thread.blocked(BlockedReason::Sleeping, sleep).await {
        Err(Error::TimedOut) => Ok(()),
        other => other,
    }
}
