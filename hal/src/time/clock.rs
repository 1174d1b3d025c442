//! The clocks.
//!
//! They are the host's own, read through its vDSO, so a guest sees the same times as the host and
//! timestamps of host files make sense in it.

use nix::{
    sys::time::TimeSpec,
    time::{ClockId, clock_getres, clock_gettime},
};

/// How many nanoseconds a second has.
pub const NANOS_PER_SEC: u64 = 1_000_000_000;

/// A clock; see `clock_gettime(2)` for what each measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// Wall time since 1970-01-01 00:00 UTC; can be set, so it can jump.
    Realtime,
    /// `Realtime` as of the host's last tick: cheaper, some milliseconds late.
    RealtimeCoarse,
    /// International Atomic Time since 1970: `Realtime` without leap seconds.
    Tai,
    /// Time since some point, without jumps and without the time the host was suspended.
    Monotonic,
    /// `Monotonic` as of the host's last tick.
    MonotonicCoarse,
    /// `Monotonic` without NTP's corrections of its rate.
    MonotonicRaw,
    /// `Monotonic` with the time the host was suspended.
    Boottime,
    /// CPU time of the whole host process, i.e. of the kernel and all its in-process guests.
    ProcessCpu,
    /// CPU time of the calling thread, i.e. of one virtual CPU.
    ThreadCpu,
}

impl Clock {
    fn id(self) -> ClockId {
        match self {
            Clock::Realtime => ClockId::CLOCK_REALTIME,
            Clock::RealtimeCoarse => ClockId::CLOCK_REALTIME_COARSE,
            Clock::Tai => ClockId::CLOCK_TAI,
            Clock::Monotonic => ClockId::CLOCK_MONOTONIC,
            Clock::MonotonicCoarse => ClockId::CLOCK_MONOTONIC_COARSE,
            Clock::MonotonicRaw => ClockId::CLOCK_MONOTONIC_RAW,
            Clock::Boottime => ClockId::CLOCK_BOOTTIME,
            Clock::ProcessCpu => ClockId::CLOCK_PROCESS_CPUTIME_ID,
            Clock::ThreadCpu => ClockId::CLOCK_THREAD_CPUTIME_ID,
        }
    }

    /// The time in nanoseconds: since 1970 for the wall clocks, since boot or a start for the others.
    #[inline]
    pub fn now(self) -> u64 {
        // The host knows all of these since Linux 3.10.
        clock_gettime(self.id()).map_or(0, nanos)
    }

    /// The clock's resolution in nanoseconds.
    pub fn resolution(self) -> u64 {
        clock_getres(self.id()).map_or(1, nanos)
    }
}

fn nanos(time: TimeSpec) -> u64 {
    // Before 1970 is 0.
    let (sec, nsec) = (u64::try_from(time.tv_sec()).unwrap_or(0), time.tv_nsec() as u64);
    sec.saturating_mul(NANOS_PER_SEC).saturating_add(nsec)
}

/// [`Clock::Monotonic`]: what deadlines are in.
#[inline]
pub fn monotonic() -> u64 {
    Clock::Monotonic.now()
}

/// [`Clock::Boottime`].
#[inline]
pub fn boottime() -> u64 {
    Clock::Boottime.now()
}

/// [`Clock::Realtime`]: nanoseconds since 1970.
#[inline]
pub fn realtime() -> u64 {
    Clock::Realtime.now()
}

/// [`Clock::ThreadCpu`].
#[inline]
pub fn thread_cpu() -> u64 {
    Clock::ThreadCpu.now()
}

/// [`Clock::ProcessCpu`].
#[inline]
pub fn process_cpu() -> u64 {
    Clock::ProcessCpu.now()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Clock; 9] = [
        Clock::Realtime,
        Clock::RealtimeCoarse,
        Clock::Tai,
        Clock::Monotonic,
        Clock::MonotonicCoarse,
        Clock::MonotonicRaw,
        Clock::Boottime,
        Clock::ProcessCpu,
        Clock::ThreadCpu,
    ];

    #[test]
    fn every_clock_is_known_to_the_host_and_does_not_run_backwards() {
        for clock in ALL {
            let (first, second) = (clock.now(), clock.now());
            assert!(first > 0 && second >= first, "{clock:?}");
            assert!((1..=NANOS_PER_SEC / 10).contains(&clock.resolution()), "{clock:?}");
        }
    }

    #[test]
    fn thread_time_does_not_run_while_the_thread_sleeps() {
        let (cpu, wall) = (thread_cpu(), monotonic());
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(monotonic() - wall >= 20_000_000);
        assert!(thread_cpu() - cpu < 15_000_000);
    }
}
