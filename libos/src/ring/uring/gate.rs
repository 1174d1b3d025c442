//! Drained submissions, `IOSQE_IO_DRAIN`: they begin when all before them have ended, and what is behind them begins after them.
//!
//! The one idea: whoever has to wait gets a ticket, and tickets are admitted in order; so the gate is two counters and a list of who waits.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
};

use kernel_objects::WaitQueue;
use parking_lot::Mutex;

/// The gate of a ring.
#[derive(Default)]
pub(super) struct Gate {
    /// Whether somebody waits. Written with the state locked.
    closed: AtomicBool,
    state: Mutex<State>,
    admitted: WaitQueue,
}

#[derive(Default)]
struct State {
    /// Submissions that have begun and not ended.
    inside: u64,
    waiting: VecDeque<Waiting>,
    /// The ticket of the first one that waits.
    first: u64,
}

struct Waiting {
    drains: bool,
    len: u64,
}

impl State {
    /// Lets in who may go in.
    fn admit(&mut self) -> bool {
        let (mut drains, before) = (false, self.first);
        while let Some(next) = self.waiting.front() {
            drains |= next.drains;
            if (drains || self.first == before) && self.inside > 0 {
                break;
            }
            self.inside += next.len;
            self.first += 1;
            self.waiting.pop_front();
        }
        self.first != before
    }
}

impl Gate {
    /// Whether nobody waits.
    pub(super) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// `len` linked submissions want to begin. `None` if they may, else the ticket to [wait](Self::wait) with.
    pub(super) fn enter(&self, len: usize, drains: bool) -> Option<u64> {
        let mut state = self.state.lock();
        if state.waiting.is_empty() && !(drains && state.inside > 0) {
            state.inside += len as u64;
            return None;
        }
        state.waiting.push_back(Waiting { drains, len: len as u64 });
        let ticket = state.first + state.waiting.len() as u64 - 1;
        self.closed.store(true, Ordering::Release);
        Some(ticket)
    }

    /// `len` of those that began have ended.
    pub(super) fn leave(&self, len: usize) {
        let mut state = self.state.lock();
        state.inside = state.inside.saturating_sub(len as u64);
        let admitted = state.admit();
        self.closed.store(!state.waiting.is_empty(), Ordering::Release);
        drop(state);
        if admitted {
            self.admitted.notify_all();
        }
    }

    /// Waits until `ticket` is admitted.
    pub(super) async fn wait(&self, ticket: u64) {
        let admitted = || (self.state.lock().first > ticket).then_some(());
        self.admitted.wait_until(admitted).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drained_one_waits_for_all_before_and_those_behind_wait_for_it() {
        let gate = Gate::default();
        assert_eq!(gate.enter(1, true), None);
        assert_eq!(gate.enter(2, false), None);
        let (drained, behind) = (gate.enter(1, true).unwrap(), gate.enter(1, false).unwrap());
        let last = gate.enter(1, false).unwrap();
        let admitted = |ticket| gate.state.lock().first > ticket;
        gate.leave(2);
        assert!(!admitted(drained) && !gate.is_open());
        gate.leave(1);
        assert!(admitted(drained) && !admitted(behind));
        gate.leave(1);
        assert!(admitted(behind) && admitted(last) && gate.is_open());
    }
}
