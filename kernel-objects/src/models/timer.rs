//! A timer that is set or cancelled while its time comes.

use super::*;
use crate::{
    Handle, KernelObject, Signals, Timer,
    clock::ClockId,
    sync::machine_timers::{pass, queued},
    task::SlackMode,
};

/// Times that the host's clock is far from.
const SOON: u64 = u64::MAX / 4;
const LATER: u64 = u64::MAX / 3;

fn timer() -> Arc<Timer> {
    Timer::create(SlackMode::Center, ClockId::Monotonic)
}

fn is_set(timer: &Timer) -> bool {
    timer.signals().contains(Signals::SIGNALED)
}

#[test]
fn one_who_waits_while_it_is_set_and_fires_is_woken() {
    model(|| {
        let timer = timer();
        race!(
            || assert_eq!(block_on(timer.wait_one(Signals::SIGNALED)), Ok(Signals::SIGNALED)),
            || assert_eq!(timer.set(SOON, 0), Ok(())),
            || pass(SOON),
        );
        assert_eq!((timer.info().deadline, queued()), (0, 0));
    });
}

#[test]
fn cancelled_while_it_fires_it_stays_silent_after() {
    model(|| {
        let timer = timer();
        assert_eq!(timer.set(SOON, 0), Ok(()));
        race!(
            || {
                timer.cancel();
                assert!(!is_set(&timer));
            },
            || pass(SOON),
        );
        assert!(!is_set(&timer));
        assert_eq!((timer.info().deadline, queued()), (0, 0));
    });
}

#[test]
fn set_again_while_it_fires_it_fires_at_the_new_time_only() {
    model(|| {
        let timer = timer();
        assert_eq!(timer.set(SOON, 0), Ok(()));
        race!(
            || {
                assert_eq!(timer.set(LATER, 0), Ok(()));
                assert!(!is_set(&timer));
            },
            || pass(SOON),
        );
        assert!(!is_set(&timer));
        assert_eq!((timer.info().deadline, queued()), (LATER, 1));
        pass(LATER);
        assert!(is_set(&timer));
        assert_eq!(queued(), 0);
    });
}

#[test]
fn of_two_times_that_are_set_at_once_one_counts() {
    model(|| {
        let timer = timer();
        race!(|| assert_eq!(timer.set(SOON, 0), Ok(())), || assert_eq!(
            timer.set(LATER, 0),
            Ok(())
        ),);
        assert_eq!(queued(), 1);
        pass(SOON);
        assert_eq!(is_set(&timer), timer.info().deadline == 0);
        pass(LATER);
        assert!(is_set(&timer));
    });
}

#[test]
fn it_goes_away_while_it_fires() {
    model(|| {
        let timer = timer();
        let handle = Handle::new(timer.clone());
        assert_eq!(timer.set(SOON, 0), Ok(()));
        race!(|| drop((handle, timer)), || pass(SOON));
        assert_eq!(queued(), 0);
    });
}
