//! The structs of time in the guest's layout.
//!
//! The one idea: the kernel counts nanoseconds in a `u64`; what a guest passes becomes that, checked, in one place, and what it
//! gets back is made from it.

use hal::time::Clock;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::errno::{Errno, SysResult};

/// Nanoseconds in a second.
pub const NANOS: u64 = 1_000_000_000;
/// Clock ticks in a second, `USER_HZ`.
const TICKS: u64 = 100;

/// The clock ticks in `nanos` nanoseconds.
pub const fn ticks(nanos: u64) -> u64 {
    nanos / (NANOS / TICKS)
}

const MICROS: i64 = 1_000_000;

/// `struct timespec`
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Timespec {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds, below 10^9.
    pub nsec: i64,
}

impl Timespec {
    /// The time `nanos` nanoseconds after zero.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self { sec: (nanos / NANOS) as i64, nsec: (nanos % NANOS) as i64 }
    }

    /// What `clock` shows.
    #[inline]
    pub fn of(clock: Clock) -> Self {
        let (sec, nsec) = clock.now_split();
        Self { sec: sec.cast_signed(), nsec: nsec.cast_signed() }
    }

    /// In nanoseconds; what does not fit is for ever. `EINVAL` when negative or not normalized.
    pub fn to_nanos(self) -> SysResult<u64> {
        if self.sec < 0 || self.nsec < 0 || self.nsec >= NANOS as i64 {
            return Err(Errno::EINVAL);
        }
        Ok((self.sec as u64).saturating_mul(NANOS).saturating_add(self.nsec as u64))
    }
}

/// `struct timeval`
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Timeval {
    /// Seconds.
    pub sec: i64,
    /// Microseconds, below 10^6.
    pub usec: i64,
}

impl Timeval {
    /// The time `nanos` nanoseconds after zero, rounded down.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self { sec: (nanos / NANOS) as i64, usec: (nanos % NANOS / 1000) as i64 }
    }

    /// The same, rounded up, as a remaining time is shown.
    pub const fn from_nanos_rounded_up(nanos: u64) -> Self {
        Self::from_nanos(nanos.saturating_add(999))
    }

    /// In nanoseconds; what does not fit is for ever. `EINVAL` when negative or not normalized.
    pub fn to_nanos(self) -> SysResult<u64> {
        if self.sec < 0 || self.usec < 0 || self.usec >= MICROS {
            return Err(Errno::EINVAL);
        }
        Ok((self.sec as u64).saturating_mul(NANOS).saturating_add(self.usec as u64 * 1000))
    }
}

/// `struct itimerspec`
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Itimerspec {
    /// Zero: once.
    pub interval: Timespec,
    /// Zero: disarmed.
    pub value: Timespec,
}

/// `struct itimerval`
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Itimerval {
    /// Zero: once.
    pub interval: Timeval,
    /// Zero: disarmed.
    pub value: Timeval,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_are_not_normalized_are_refused_and_huge_ones_are_for_ever() {
        for (sec, nsec) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
            assert_eq!(Timespec { sec, nsec }.to_nanos(), Err(Errno::EINVAL));
        }
        assert_eq!(Timespec { sec: i64::MAX, nsec: 1 }.to_nanos(), Ok(u64::MAX));
        assert_eq!(Timeval { sec: 1, usec: 2 }.to_nanos(), Ok(1_000_002_000));
        assert_eq!(Timeval { sec: 0, usec: MICROS }.to_nanos(), Err(Errno::EINVAL));
    }

    #[test]
    fn nanoseconds_come_back_as_they_went() {
        let time = Timespec::from_nanos(3_000_000_007);
        assert_eq!((time, time.to_nanos()), (Timespec { sec: 3, nsec: 7 }, Ok(3_000_000_007)));
        assert_eq!(Timeval::from_nanos_rounded_up(1), Timeval { sec: 0, usec: 1 });
    }
}
