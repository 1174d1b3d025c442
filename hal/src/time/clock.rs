//! The clocks.
//!
//! They are the host's own, read through its vDSO, so a guest sees the same times as the host and
//! timestamps of host files make sense in it; [virtual time](super::virtual_time) is ahead of that, by the same on all of them. The
//! vDSO is called directly: a guest that asks for the time pays for the way there as well, and libc's wrapper is a good part of that.

use std::{mem, ptr, sync::OnceLock};

use libc::{clockid_t, timespec};

use super::virtual_time;

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
    fn id(self) -> clockid_t {
        match self {
            Clock::Realtime => libc::CLOCK_REALTIME,
            Clock::RealtimeCoarse => libc::CLOCK_REALTIME_COARSE,
            Clock::Tai => libc::CLOCK_TAI,
            Clock::Monotonic => libc::CLOCK_MONOTONIC,
            Clock::MonotonicCoarse => libc::CLOCK_MONOTONIC_COARSE,
            Clock::MonotonicRaw => libc::CLOCK_MONOTONIC_RAW,
            Clock::Boottime => libc::CLOCK_BOOTTIME,
            Clock::ProcessCpu => libc::CLOCK_PROCESS_CPUTIME_ID,
            Clock::ThreadCpu => libc::CLOCK_THREAD_CPUTIME_ID,
        }
    }

    /// The time in nanoseconds: since 1970 for the wall clocks, since boot or a start for the others.
    #[inline]
    pub fn now(self) -> u64 {
        let (sec, nsec) = self.now_split();
        sec.saturating_mul(NANOS_PER_SEC).saturating_add(nsec)
    }

    /// The same as seconds and nanoseconds below 10^9, as the host has it: to split and to join them again takes
    /// longer than to look at the clock's registers.
    #[inline]
    pub fn now_split(self) -> (u64, u64) {
        if virtual_time::is_virtual() { self.virtual_now() } else { self.host_now() }
    }

    #[cold]
    fn virtual_now(self) -> (u64, u64) {
        let now = virtual_time::now(self);
        (now / NANOS_PER_SEC, now % NANOS_PER_SEC)
    }

    /// What the host's shows.
    #[inline]
    pub(super) fn host_now(self) -> (u64, u64) {
        let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: it writes a timespec. It knows all of these clocks since Linux 3.10, and fails in no other way.
        unsafe { host_clock()(self.id(), &raw mut time) };
        split(time)
    }

    /// The clock's resolution in nanoseconds.
    pub fn resolution(self) -> u64 {
        let mut time = timespec { tv_sec: 0, tv_nsec: 1 };
        // SAFETY: it writes a timespec.
        unsafe { libc::clock_getres(self.id(), &raw mut time) };
        let (sec, nsec) = split(time);
        sec.saturating_mul(NANOS_PER_SEC).saturating_add(nsec)
    }
}

/// `clock_gettime(2)` as a function.
type ClockGettime = unsafe extern "C" fn(clockid_t, *mut timespec) -> libc::c_int;

/// The vDSO's, which libc would call too; libc's own on a host without one.
#[inline]
fn host_clock() -> ClockGettime {
    static FOUND: OnceLock<ClockGettime> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: the names are C strings. The vDSO is part of every process that has it, so the handle and the
        // function stay valid; the function has had this signature since it exists (`vdso(7)`).
        unsafe {
            let vdso =
                libc::dlopen(c"linux-vdso.so.1".as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD);
            if vdso.is_null() {
                return libc::clock_gettime;
            }
            match libc::dlsym(vdso, c"__vdso_clock_gettime".as_ptr()) {
                symbol if ptr::eq(symbol, ptr::null()) => libc::clock_gettime,
                symbol => mem::transmute::<*mut libc::c_void, ClockGettime>(symbol),
            }
        }
    })
}

fn split(time: timespec) -> (u64, u64) {
    // Before 1970 is 0.
    match u64::try_from(time.tv_sec) {
        Ok(sec) => (sec, time.tv_nsec.cast_unsigned()),
        Err(_) => (0, 0),
    }
}

/// [`Clock::Monotonic`]: what deadlines are in.
#[inline]
pub fn monotonic() -> u64 {
    Clock::Monotonic.now()
}

/// [`Clock::Monotonic`] as the host has it, for what is done with the host: its time-outs, and how long it takes for something.
#[inline]
pub(crate) fn host_monotonic() -> u64 {
    let (sec, nsec) = Clock::Monotonic.host_now();
    sec.saturating_mul(NANOS_PER_SEC).saturating_add(nsec)
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
    use std::sync::atomic::{AtomicU64, Ordering};

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

    /// What libc tells, which is what a program outside sees.
    fn libc_now(clock: Clock) -> u64 {
        let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: it writes a timespec.
        assert_eq!(unsafe { libc::clock_gettime(clock.id(), &raw mut time) }, 0);
        time.tv_sec as u64 * NANOS_PER_SEC + time.tv_nsec as u64
    }

    #[test]
    fn every_clock_shows_what_the_host_shows() {
        for clock in ALL {
            let before = libc_now(clock);
            let (sec, nsec) = clock.now_split();
            assert!(nsec < NANOS_PER_SEC, "{clock:?}");
            let between = sec * NANOS_PER_SEC + nsec;
            assert!((before..=libc_now(clock)).contains(&between), "{clock:?}");
        }
    }

    #[test]
    fn what_one_thread_has_seen_is_past_for_the_next() {
        for clock in [Clock::Monotonic, Clock::Boottime] {
            let latest = AtomicU64::new(0);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..20_000 {
                            let seen = latest.load(Ordering::Acquire);
                            let now = clock.now();
                            assert!(now >= seen, "{clock:?}: {now} after {seen}");
                            latest.fetch_max(now, Ordering::Release);
                        }
                    });
                }
            });
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
