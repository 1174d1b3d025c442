//! Signals by the numbers that gdb's protocol gives them on all systems.

use gdbstub::common::Signal as GdbSignal;

use crate::signal::Signal;

/// Linux's numbers and gdb's where they differ, below the real-time signals.
const DIFFERENT: [(i32, u8); 17] = [
    (7, 10),
    (10, 30),
    (12, 31),
    (16, 143),
    (17, 20),
    (18, 19),
    (19, 17),
    (20, 18),
    (21, 21),
    (22, 22),
    (23, 16),
    (24, 24),
    (25, 25),
    (26, 26),
    (27, 27),
    (30, 32),
    (31, 12),
];

/// gdb's numbers of the signals 33 to 63; 32 and 64 are elsewhere.
const REALTIME: u8 = 45;
const REALTIME_32: u8 = 77;
const REALTIME_64: u8 = 78;

/// gdb's number of `signal`.
pub(super) fn to_gdb(signal: Signal) -> GdbSignal {
    let raw = signal.raw();
    let number = match raw {
        28 => 28,
        29 => 23,
        32 => REALTIME_32,
        33..=63 => REALTIME + (raw - 33) as u8,
        64 => REALTIME_64,
        raw => DIFFERENT.iter().find(|(linux, _)| *linux == raw).map_or(raw as u8, |(_, gdb)| *gdb),
    };
    GdbSignal(number)
}

/// The signal that gdb means, if there is one.
pub(super) fn from_gdb(signal: GdbSignal) -> Option<Signal> {
    (1..=64).filter_map(Signal::from_raw).find(|linux| to_gdb(*linux) == signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_both_ways() {
        for raw in 1..=64 {
            let signal = Signal::from_raw(raw).unwrap();
            assert_eq!(from_gdb(to_gdb(signal)), Some(signal), "{signal}");
        }
        assert_eq!(to_gdb(Signal::SIGUSR1), GdbSignal::SIGUSR1);
        assert_eq!(to_gdb(Signal::SIGCHLD), GdbSignal::SIGCHLD);
        assert_eq!(to_gdb(Signal::SIGSEGV), GdbSignal::SIGSEGV);
        assert_eq!(from_gdb(GdbSignal::SIGSTOP), Some(Signal::SIGSTOP));
    }
}
