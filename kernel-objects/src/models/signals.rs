//! A signal that is set while somebody begins to wait, waits elsewhere, or gives up.

use super::*;
use crate::{Event, KernelObject, Signals, signals::SignalState};

const A: Signals = Signals::USER_0;
const B: Signals = Signals::USER_1;

#[test]
fn a_wait_that_begins_while_its_signal_is_set_ends() {
    model(|| {
        let event = Event::create();
        race!(
            || assert!(block_on(event.wait_one(A)).is_ok_and(|seen| seen.contains(A))),
            || assert!(block_on(event.wait_one(A | B)).is_ok()),
            || event.base().signal_state().set(A),
            || event.base().signal_state().set(B),
        );
        assert_eq!(event.base().signal_state().watchers(), 0);
    });
}

#[test]
fn of_two_changes_at_once_neither_is_lost() {
    model(|| {
        let state = SignalState::new(Signals::USER_2);
        race!(|| state.update(Signals::USER_2, A), || state.update(Signals::USER_3, B), || state
            .update(A, Signals::empty()),);
        assert_eq!(state.get() - A, B);
    });
}

/// Set and cleared again at once: still seen by those who waited before.
#[test]
fn a_strobe_ends_every_wait_that_had_begun() {
    model(|| {
        let event = Event::create();
        let mut waits = [event.wait_one(A), event.wait_one(A)];
        waits.iter_mut().for_each(|wait| assert!(poll_once(wait).is_pending()));
        let [first, second] = waits;
        race!(
            || assert!(block_on(first).is_ok_and(|seen| seen.contains(A))),
            || assert!(block_on(second).is_ok_and(|seen| seen.contains(A))),
            || {
                event.base().signal_state().set(A);
                event.base().signal_state().clear(A);
            },
        );
        assert_eq!(event.base().signal_state().watchers(), 0);
    });
}

#[test]
fn a_wait_that_moves_to_another_task_wakes_that_one() {
    model(|| {
        let event = Event::create();
        let before = Arc::new(Count::default());
        let waker = Waker::from(before.clone());
        let mut wait = event.wait_one(A);
        assert!(Pin::new(&mut wait).poll(&mut Context::from_waker(&waker)).is_pending());
        race!(
            // It blocks for ever if the wake-up goes to the task before.
            || assert_eq!(block_on(wait), Ok(A)),
            || event.base().signal_state().set(A),
        );
        assert!(before.0.load(SeqCst) <= 1);
    });
}

#[test]
fn a_wait_that_is_given_up_leaves_nothing_and_takes_nothing_from_others() {
    model(|| {
        let event = Event::create();
        race!(
            || {
                let mut wait = event.wait_one(A);
                let _ = poll_once(&mut wait);
                drop(wait);
                // In the place of the one before, but for another signal.
                let mut wait = event.wait_one(B);
                assert!(poll_once(&mut wait).is_pending());
                assert!(poll_once(&mut wait).is_pending());
            },
            || assert_eq!(block_on(event.wait_one(A)), Ok(A)),
            || event.base().signal_state().set(A),
        );
        assert_eq!(event.base().signal_state().watchers(), 0);
    });
}
