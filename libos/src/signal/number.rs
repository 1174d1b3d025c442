//! Signal numbers and sets of them.
//!
//! The one idea: a [`Signal`] is proved to be within 1..=64, so that it can index and shift without checks; a set is the
//! ABI's one word, bit `n - 1` for signal `n`. See signal(7).

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A signal number between 1 and 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// What a signal without a handler does (signal(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefaultAction {
    /// The process dies.
    Terminate,
    /// The process dies and its status says that it dumped core.
    Core,
    /// Nothing.
    Ignore,
    /// All threads of the process stop.
    Stop,
    /// A stopped process goes on.
    Continue,
}

macro_rules! signals {
    ($($name:ident = $number:literal)*) => {
        #[allow(missing_docs, reason = "the names are those of signal(7)")]
        impl Signal {
            $(pub const $name: Self = Self($number);)*
        }

        const STANDARD_NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

signals! {
    SIGHUP = 1 SIGINT = 2 SIGQUIT = 3 SIGILL = 4 SIGTRAP = 5 SIGABRT = 6 SIGBUS = 7 SIGFPE = 8
    SIGKILL = 9 SIGUSR1 = 10 SIGSEGV = 11 SIGUSR2 = 12 SIGPIPE = 13 SIGALRM = 14 SIGTERM = 15
    SIGSTKFLT = 16 SIGCHLD = 17 SIGCONT = 18 SIGSTOP = 19 SIGTSTP = 20 SIGTTIN = 21 SIGTTOU = 22
    SIGURG = 23 SIGXCPU = 24 SIGXFSZ = 25 SIGVTALRM = 26 SIGPROF = 27 SIGWINCH = 28 SIGIO = 29
    SIGPWR = 30 SIGSYS = 31
}

impl Signal {
    /// How many signals there are.
    pub const COUNT: usize = 64;
    /// The first real-time signal as the kernel counts (glibc keeps the first two to itself).
    pub const SIGRTMIN: Self = Self(32);

    /// The signal numbered `raw`, if there is one.
    pub const fn from_raw(raw: i32) -> Option<Self> {
        if raw >= 1 && raw <= Self::COUNT as i32 { Some(Self(raw as u8)) } else { None }
    }

    /// The number, 1 to 64.
    pub const fn raw(self) -> i32 {
        self.0 as i32
    }

    /// Its place in a table of all signals, 0 to 63.
    pub const fn index(self) -> usize {
        (self.0 - 1) as usize
    }

    /// Whether several of the same number queue up instead of becoming one.
    pub const fn is_realtime(self) -> bool {
        self.0 >= Self::SIGRTMIN.0
    }

    /// What happens when nothing handles it.
    pub const fn default_action(self) -> DefaultAction {
        match self {
            Self::SIGCHLD | Self::SIGURG | Self::SIGWINCH => DefaultAction::Ignore,
            Self::SIGCONT => DefaultAction::Continue,
            Self::SIGSTOP | Self::SIGTSTP | Self::SIGTTIN | Self::SIGTTOU => DefaultAction::Stop,
            Self::SIGQUIT
            | Self::SIGILL
            | Self::SIGTRAP
            | Self::SIGABRT
            | Self::SIGBUS
            | Self::SIGFPE
            | Self::SIGSEGV
            | Self::SIGXCPU
            | Self::SIGXFSZ
            | Self::SIGSYS => DefaultAction::Core,
            _ => DefaultAction::Terminate,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match STANDARD_NAMES.get(self.index()) {
            Some(name) => f.write_str(name),
            None if *self == Self::SIGRTMIN => f.write_str("SIGRTMIN"),
            None => write!(f, "SIGRT_{}", self.0 - Self::SIGRTMIN.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set of signals, laid out as the kernel's `sigset_t` (8 bytes).
#[derive(
    Clone, Copy, PartialEq, Eq, Default, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct SigSet(pub u64);

impl SigSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// All signals.
    pub const FULL: Self = Self(!0);
    /// What no mask can hold back.
    pub const UNBLOCKABLE: Self = Self::of(&[Signal::SIGKILL, Signal::SIGSTOP]);
    /// Signals that an instruction of the thread itself causes; they are taken before all others.
    pub const SYNCHRONOUS: Self = Self::of(&[
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGILL,
        Signal::SIGTRAP,
        Signal::SIGFPE,
        Signal::SIGSYS,
    ]);
    /// Signals that stop a process by default.
    pub const STOP: Self =
        Self::of(&[Signal::SIGSTOP, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU]);

    /// The set of the listed signals.
    pub const fn of(signals: &[Signal]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < signals.len() {
            bits |= 1 << signals[at].index();
            at += 1;
        }
        Self(bits)
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `signal` is in it.
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & (1 << signal.index()) != 0
    }

    /// Puts `signal` in.
    pub const fn insert(&mut self, signal: Signal) {
        self.0 |= 1 << signal.index();
    }

    /// Takes `signal` out.
    pub const fn remove(&mut self, signal: Signal) {
        self.0 &= !(1 << signal.index());
    }

    /// What is in either.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in `other`.
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// All that is not in it.
    pub const fn complement(self) -> Self {
        Self(!self.0)
    }

    /// The signal to take first: a synchronous one, else the lowest number.
    pub const fn first(self) -> Option<Signal> {
        let synchronous = self.intersection(Self::SYNCHRONOUS);
        let candidates = if synchronous.is_empty() { self } else { synchronous };
        if candidates.is_empty() {
            None
        } else {
            Some(Signal(candidates.0.trailing_zeros() as u8 + 1))
        }
    }

    /// The signals in it, by number.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        (1..=Signal::COUNT as u8).map(Signal).filter(move |signal| self.contains(*signal))
    }
}

impl fmt::Debug for SigSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_1_to_64_are_no_signals() {
        for raw in [0, -1, 65, i32::MIN, i32::MAX] {
            assert_eq!(Signal::from_raw(raw), None);
        }
        assert_eq!(Signal::from_raw(1), Some(Signal::SIGHUP));
        assert_eq!(Signal::from_raw(64).map(Signal::index), Some(63));
    }

    #[test]
    fn names_follow_the_numbers() {
        assert_eq!(Signal::SIGSYS.to_string(), "SIGSYS");
        assert_eq!(Signal::SIGSEGV.to_string(), "SIGSEGV");
        assert_eq!(Signal(34).to_string(), "SIGRT_2");
    }

    #[test]
    fn a_synchronous_signal_comes_before_a_lower_number() {
        let set = SigSet::of(&[Signal::SIGHUP, Signal::SIGSEGV]);
        assert_eq!(set.first(), Some(Signal::SIGSEGV));
        assert_eq!(SigSet::of(&[Signal::SIGUSR2, Signal::SIGUSR1]).first(), Some(Signal::SIGUSR1));
        assert_eq!(SigSet::EMPTY.first(), None);
        assert_eq!(SigSet(1 << 63).first(), Signal::from_raw(64));
    }
}
