//! Signals that were sent and not yet taken.
//!
//! The one idea: a word says which signals are pending, so that "is there anything" is one test, and a queue beside it
//! keeps what came with them, in order. A standard signal is in the queue at most once; real-time signals queue up, oldest first.

use std::collections::VecDeque;

use crate::errno::{Errno, SysResult};

use super::{
    info::{SigInfo, code},
    number::{SigSet, Signal},
};

/// What is pending for a thread, or for a process as a whole.
#[derive(Debug, Default)]
pub struct PendingSignals {
    set: SigSet,
    queue: VecDeque<SigInfo>,
}

/// What became of a signal that was put into a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queued {
    /// It is pending now.
    Added,
    /// The same one was pending already.
    Merged,
}

impl PendingSignals {
    /// Nothing pending.
    pub const fn new() -> Self {
        Self { set: SigSet::EMPTY, queue: VecDeque::new() }
    }

    /// Which signals are pending.
    pub const fn set(&self) -> SigSet {
        self.set
    }

    /// Adds a signal. `limit` is RLIMIT_SIGPENDING; above it a real-time signal that carries something fails with `EAGAIN`, and
    /// any other becomes pending without its information.
    pub fn push(&mut self, signal: Signal, info: SigInfo, limit: usize) -> SysResult<Queued> {
        if info.code == code::SI_TIMER {
            // A timer has one signal in flight; what expires meanwhile is counted in it.
            let same = |other: &&mut SigInfo| {
                other.code == code::SI_TIMER
                    && other.signo == info.signo
                    && other.timer_id() == info.timer_id()
            };
            if let Some(pending) = self.queue.iter_mut().find(same) {
                pending.add_overrun(info.overrun().saturating_add(1));
                return Ok(Queued::Merged);
            }
        }
        if !signal.is_realtime() && self.set.contains(signal) {
            return Ok(Queued::Merged);
        }
        // A timer's own entry was reserved when the timer was made.
        if self.queue.len() < limit || info.code == code::SI_TIMER || info.is_synchronous() {
            self.queue.push_back(info);
        } else if signal.is_realtime() && info.code != code::SI_USER {
            return Err(Errno::EAGAIN);
        }
        self.set.insert(signal);
        Ok(Queued::Added)
    }

    /// Takes the next signal of those in `wanted`: synchronous first, then the lowest number, oldest first within one number.
    pub fn pop(&mut self, wanted: SigSet) -> Option<(Signal, SigInfo)> {
        let signal = self.set.intersection(wanted).first()?;
        let raw = signal.raw();
        let found = self.queue.iter().position(|info| info.signo == raw);
        let info = found.and_then(|at| self.queue.remove(at));
        if !signal.is_realtime() || !self.queue.iter().any(|info| info.signo == raw) {
            self.set.remove(signal);
        }
        Some((signal, info.unwrap_or(SigInfo::kill(signal, 0, 0))))
    }

    /// Forgets all pending signals that are in `set`.
    pub fn discard(&mut self, set: SigSet) {
        if self.set.intersection(set).is_empty() {
            return;
        }
        self.set = self.set.difference(set);
        self.queue.retain(|info| info.signal().is_some_and(|signal| !set.contains(signal)));
    }

    /// Forgets the signal of a timer that was deleted.
    pub fn discard_timer(&mut self, timer: i32) {
        let of_timer = |info: &SigInfo| info.code == code::SI_TIMER && info.timer_id() == timer;
        let Some(at) = self.queue.iter().position(of_timer) else { return };
        if let Some(info) = self.queue.remove(at)
            && let Some(signal) = info.signal()
            && !self.queue.iter().any(|other| other.signo == info.signo)
        {
            self.set.remove(signal);
        }
    }

    /// What is queued, oldest first.
    pub fn infos(&self) -> Vec<SigInfo> {
        self.queue.iter().copied().collect()
    }

    /// How many are queued.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing is pending.
    pub const fn is_empty(&self) -> bool {
        self.set.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RT: Signal = Signal::SIGRTMIN;

    #[test]
    fn a_standard_signal_is_pending_once_and_keeps_the_first_information() {
        let mut pending = PendingSignals::new();
        let usr1 = |pid| SigInfo::kill(Signal::SIGUSR1, pid, 0);
        assert_eq!(pending.push(Signal::SIGUSR1, usr1(1), 10), Ok(Queued::Added));
        assert_eq!(pending.push(Signal::SIGUSR1, usr1(2), 10), Ok(Queued::Merged));
        assert_eq!(pending.pop(SigSet::FULL), Some((Signal::SIGUSR1, usr1(1))));
        assert_eq!(pending.pop(SigSet::FULL), None);
        assert!(pending.is_empty());
    }

    #[test]
    fn realtime_signals_queue_in_order_and_lower_numbers_go_first() {
        let mut pending = PendingSignals::new();
        let higher = Signal::from_raw(40).unwrap();
        let queued = |signal, value| SigInfo::queue(signal, 1, 0, value);
        pending.push(higher, queued(higher, 9), 10).unwrap();
        pending.push(RT, queued(RT, 1), 10).unwrap();
        pending.push(RT, queued(RT, 2), 10).unwrap();
        let values: Vec<_> =
            std::iter::from_fn(|| pending.pop(SigSet::FULL)).map(|(_, i)| i.value()).collect();
        assert_eq!(values, [1, 2, 9]);
    }

    #[test]
    fn above_the_limit_queued_values_fail_and_plain_ones_lose_their_information() {
        let mut pending = PendingSignals::new();
        assert_eq!(pending.push(RT, SigInfo::queue(RT, 1, 0, 1), 0), Err(Errno::EAGAIN));
        assert_eq!(pending.push(RT, SigInfo::kill(RT, 5, 6), 0), Ok(Queued::Added));
        assert_eq!(pending.pop(SigSet::FULL), Some((RT, SigInfo::kill(RT, 0, 0))));
        assert!(pending.is_empty());
    }

    #[test]
    fn a_timers_expiries_add_up_in_its_one_signal() {
        let mut pending = PendingSignals::new();
        for _ in 0..3 {
            pending.push(RT, SigInfo::timer(RT, 7, 0, 0), 10).unwrap();
        }
        pending.push(RT, SigInfo::timer(RT, 8, 0, 0), 10).unwrap();
        assert_eq!(pending.len(), 2);
        pending.discard_timer(8);
        assert_eq!(pending.pop(SigSet::FULL).map(|(_, info)| info.overrun()), Some(2));
        assert!(pending.is_empty());
    }

    #[test]
    fn discarding_forgets_all_of_a_number() {
        let mut pending = PendingSignals::new();
        pending.push(RT, SigInfo::kill(RT, 1, 0), 10).unwrap();
        pending.push(RT, SigInfo::kill(RT, 2, 0), 10).unwrap();
        pending.discard(SigSet::of(&[RT]));
        assert!(pending.is_empty());
        assert_eq!(pending.len(), 0, "nothing is left in the queue");
    }
}
