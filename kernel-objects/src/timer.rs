//! Timers: objects that are signaled at a point in time.
//!
//! A [`Timer`] is armed with a deadline and says `SIGNALED` once that has come, until it is armed again or
//! cancelled. It needs no task and no thread: it puts a waker of its own into the machine's
//! timer queue, and that sets the signal. So a timer works for a wait, for a port and for nobody at all, and costs
//! nothing while it is not armed.
//!
//! With slack a timer may fire together with another one (see [`Due`]), earlier or later by so much at most; the mode, fixed
//! when it is made, says which.

use std::{
    fmt,
    sync::{Arc, Weak},
    task::{Context, Poll, Wake, Waker},
};

use futures::FutureExt;

use crate::{
    clock::ClockId,
    deadline::Due,
    error::{Error, Result},
    object::{KObjectBase, KernelObject, ObjectType},
    signals::{Calls, Signals},
    sync::{Mutex, Sleep, sleep_until},
    task::{SlackMode, TimerSlack},
};

/// What a timer is: `zx_info_timer_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerInfo {
    /// In which direction its deadlines may be moved.
    pub options: SlackMode,
    /// The clock of its deadlines.
    pub clock: ClockId,
    /// When it was asked to fire; 0 if it is not armed.
    pub deadline: u64,
    /// By how much that may be moved, in ns; 0 if it is not armed.
    pub slack: u64,
}

/// Something that is signaled at a point in time (`zx_timer_create`).
///
/// ```
/// use futures::executor::block_on;
/// use kernel_objects::{KernelObject, Signals, Timer, clock::ClockId, task::SlackMode};
///
/// let timer = Timer::create(SlackMode::Late, ClockId::Monotonic);
/// let deadline = ClockId::Monotonic.now() + 1_000_000;
/// timer.set(deadline, 50_000).unwrap();
/// assert_eq!(block_on(timer.wait_one(Signals::SIGNALED)), Ok(Signals::SIGNALED));
/// assert!(ClockId::Monotonic.now() >= deadline);
/// ```
pub struct Timer {
    base: KObjectBase,
    options: SlackMode,
    clock: ClockId,
    /// What the machine's timer queue wakes.
    alarm: Waker,
    /// Orders what is done to the timer and its signal.
    armed: Mutex<Option<Armed>>,
}

struct Armed {
    deadline: u64,
    slack: u64,
    /// Noted as long as it is armed.
    due: Due,
    sleep: Sleep,
}

/// The waker of a timer, which the timer itself has: weak, so that it goes away.
struct Alarm(Weak<Timer>);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if let Some(timer) = self.0.upgrade() {
            timer.look();
        }
    }
}

impl Timer {
    /// A timer that is not armed.
    pub fn create(options: SlackMode, clock: ClockId) -> Arc<Timer> {
        Arc::new_cyclic(|this| Timer {
            base: KObjectBase::new(),
            options,
            clock,
            alarm: Waker::from(Arc::new(Alarm(this.clone()))),
            armed: Mutex::default(),
        })
    }

    /// Has it fire at `deadline`, or up to `slack` ns before or after, and no longer at the time that was set
    /// before; `SIGNALED` is cleared. A deadline that has passed fires at once (`zx_timer_set`).
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if `slack` is negative; nothing changes then.
    pub fn set(&self, deadline: u64, slack: i64) -> Result {
        let slack = u64::try_from(slack).map_err(|_| Error::OutOfRange)?;
        let mut armed = self.armed.lock();
        let signal = self.base.signal_state();
        let old = armed.take();
        let cleared = signal.change(Signals::SIGNALED, Signals::empty());
        let fired = if deadline <= self.clock.now() {
            signal.change(Signals::empty(), Signals::SIGNALED)
        } else {
            let allowed = TimerSlack { amount: slack, mode: self.options };
            let due = Due::new(self.clock.to_monotonic(deadline), allowed);
            let sleep = sleep_until(due.at());
            *armed = Some(Armed { deadline, slack, due, sleep });
            self.poll(&mut armed)
        };
        drop(armed);
        drop(old);
        cleared.run();
        fired.run();
        Ok(())
    }

    /// Has it not fire, and clears `SIGNALED` (`zx_timer_cancel`).
    pub fn cancel(&self) {
        let mut armed = self.armed.lock();
        let old = armed.take();
        let cleared = self.base.signal_state().change(Signals::SIGNALED, Signals::empty());
        drop(armed);
        drop(old);
        cleared.run();
    }

    /// What it is (`ZX_INFO_TIMER`).
    pub fn info(&self) -> TimerInfo {
        let armed = self.armed.lock();
        let (deadline, slack) =
            armed.as_ref().map_or((0, 0), |armed| (armed.deadline, armed.slack));
        TimerInfo { options: self.options, clock: self.clock, deadline, slack }
    }

    /// Fires it if its time has come; else the alarm is in a timer queue afterwards.
    fn poll(&self, armed: &mut Option<Armed>) -> Calls {
        let mut context = Context::from_waker(&self.alarm);
        match armed.as_mut().map(|armed| armed.sleep.poll_unpin(&mut context)) {
            Some(Poll::Ready(())) => {
                *armed = None;
                self.base.signal_state().change(Signals::empty(), Signals::SIGNALED)
            }
            Some(Poll::Pending) | None => Calls::default(),
        }
    }

    fn look(&self) {
        let mut armed = self.armed.lock();
        let fired = self.poll(&mut armed);
        drop(armed);
        fired.run();
    }
}

impl KernelObject for Timer {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Timer
    }

    fn on_zero_handles(&self) {
        self.cancel();
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let armed = self.armed.lock();
        f.debug_struct("Timer")
            .field("base", &self.base)
            .field("due", &armed.as_ref().map(|armed| armed.due.at()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use hal::time::monotonic;

    use super::*;
    use crate::{
        deadline::{Deadline, until},
        handle::Handle,
    };

    const MS: u64 = 1_000_000;
    const HOUR: u64 = 3_600_000 * MS;

    fn timer() -> Arc<Timer> {
        Timer::create(SlackMode::Center, ClockId::Monotonic)
    }

    fn is_set(timer: &Timer) -> bool {
        timer.signals().contains(Signals::SIGNALED)
    }

    fn due(timer: &Timer) -> Deadline {
        timer.armed.lock().as_ref().unwrap().due.at()
    }

    #[test]
    fn it_fires_when_the_deadline_has_come_and_not_before() {
        for clock in [ClockId::Monotonic, ClockId::Boot] {
            let timer = Timer::create(SlackMode::Center, clock);
            let deadline = clock.now() + 5 * MS;
            assert_eq!(timer.set(deadline, 0), Ok(()));
            assert!(!is_set(&timer));
            let info = TimerInfo { options: SlackMode::Center, clock, deadline, slack: 0 };
            assert_eq!(timer.info(), info);
            assert_eq!(block_on(timer.wait_one(Signals::SIGNALED)), Ok(Signals::SIGNALED));
            assert!(clock.now() >= deadline);
            assert_eq!(timer.info().deadline, 0, "it is not armed any more");
        }
    }

    #[test]
    fn a_deadline_that_has_passed_fires_at_once() {
        let timer = timer();
        for deadline in [0, monotonic()] {
            timer.cancel();
            assert_eq!(timer.set(deadline, 0), Ok(()));
            assert!(is_set(&timer));
            assert_eq!(timer.info().deadline, 0);
        }
    }

    #[test]
    fn setting_it_again_replaces_the_deadline_and_clears_the_signal() {
        let timer = timer();
        assert_eq!(timer.set(monotonic() + 5 * MS, 0), Ok(()));
        assert_eq!(timer.set(monotonic() + HOUR, 7), Ok(()));
        let wait = until(monotonic() + 30 * MS, timer.wait_one(Signals::SIGNALED));
        assert_eq!(block_on(wait), Err(Error::TimedOut), "the first deadline counts no more");
        assert_eq!(timer.info().slack, 7);

        assert_eq!(timer.set(monotonic() + 5 * MS, 0), Ok(()), "to an earlier time");
        assert!(block_on(timer.wait_one(Signals::SIGNALED)).is_ok());
        assert_eq!(timer.set(monotonic() + HOUR, 0), Ok(()));
        assert!(!is_set(&timer));
    }

    #[test]
    fn a_wait_sees_a_timer_that_is_set_twice_to_the_past() {
        let timer = timer();
        let mut wait = timer.wait_one(Signals::SIGNALED);
        assert!((&mut wait).now_or_never().is_none());
        assert_eq!(timer.set(0, 0), Ok(()));
        assert_eq!(timer.set(monotonic() + HOUR, 0), Ok(()));
        assert_eq!(wait.now_or_never(), Some(Ok(Signals::SIGNALED)));
    }

    #[test]
    fn cancelled_it_does_not_fire_and_its_signal_is_cleared() {
        let timer = timer();
        assert_eq!(timer.set(monotonic() + 5 * MS, 0), Ok(()));
        timer.cancel();
        assert_eq!(timer.info().deadline, 0);
        let wait = until(monotonic() + 30 * MS, timer.wait_one(Signals::SIGNALED));
        assert_eq!(block_on(wait), Err(Error::TimedOut));
        assert_eq!(timer.set(0, 0), Ok(()));
        timer.cancel();
        assert!(!is_set(&timer));
    }

    #[test]
    fn the_last_handle_disarms_it() {
        let timer = timer();
        let handle = Handle::new(timer.clone());
        assert_eq!(timer.set(monotonic() + HOUR, 0), Ok(()));
        drop(handle);
        assert_eq!(timer.info().deadline, 0);
    }

    #[test]
    fn bad_arguments_are_refused() {
        let timer = timer();
        assert_eq!(timer.set(monotonic() + HOUR, 1), Ok(()));
        let before = timer.info();
        assert_eq!(timer.set(0, -1), Err(Error::OutOfRange));
        assert_eq!((timer.info(), is_set(&timer)), (before, false));
        assert_eq!(timer.signal(Signals::empty(), Signals::SIGNALED), Err(Error::InvalidArgs));
        assert_eq!(timer.signal(Signals::empty(), Signals::USER_0), Ok(()));
        assert_eq!([0, 1].map(ClockId::from_raw), [Ok(ClockId::Monotonic), Ok(ClockId::Boot)]);
        assert_eq!(ClockId::from_raw(2), Err(Error::InvalidArgs));
    }

    #[test]
    fn slack_moves_a_timer_to_another_in_the_direction_of_its_mode() {
        let base = monotonic() + 777 * HOUR;
        let (before, after) = (timer(), timer());
        assert_eq!(before.set(base - 20, 0), Ok(()));
        assert_eq!(after.set(base + 10, 0), Ok(()));
        for (mode, expected) in [
            (SlackMode::Early, base - 20),
            (SlackMode::Late, base + 10),
            (SlackMode::Center, base + 10),
        ] {
            let timer = Timer::create(mode, ClockId::Monotonic);
            assert_eq!(timer.set(base, 20), Ok(()));
            assert_eq!(due(&timer), expected, "{mode:?}");
            assert_eq!(timer.info().deadline, base, "what was asked for");
            assert_eq!(timer.set(base, 9), Ok(()));
            assert_eq!(due(&timer), base, "{mode:?}, no other is so near");
        }
        drop(before);
        let early = Timer::create(SlackMode::Early, ClockId::Monotonic);
        assert_eq!(early.set(base, 20), Ok(()));
        assert_eq!(due(&early), base, "a dropped timer attracts none");
    }

    #[test]
    fn a_timer_with_slack_fires_together_with_the_one_it_moved_to() {
        let first = timer();
        let early = Timer::create(SlackMode::Early, ClockId::Monotonic);
        let (start, minute) = (monotonic(), 60_000 * MS);
        assert_eq!(first.set(start + 10 * MS, 0), Ok(()));
        assert_eq!(early.set(start + minute, minute as i64), Ok(()));
        assert_eq!(block_on(early.wait_one(Signals::SIGNALED)), Ok(Signals::SIGNALED));
        assert!((start + 10 * MS..start + minute).contains(&monotonic()));
    }

    #[test]
    fn eight_threads_that_set_and_cancel_leave_the_last_word_to_the_last_call() {
        let timer = timer();
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                let timer = &timer;
                scope.spawn(move || {
                    for i in 0..2000 {
                        match (i + thread) % 4 {
                            0 => timer.cancel(),
                            1 => assert_eq!(timer.set(0, 0), Ok(())),
                            2 => assert_eq!(timer.set(monotonic() + 10_000, 0), Ok(())),
                            _ => {
                                let end = monotonic() + 20_000;
                                let _ = block_on(until(end, timer.wait_one(Signals::SIGNALED)));
                            }
                        }
                    }
                });
            }
        });
        timer.cancel();
        let quiet = until(monotonic() + 5 * MS, timer.wait_one(Signals::SIGNALED));
        assert_eq!(block_on(quiet), Err(Error::TimedOut), "no alarm comes late");
        assert_eq!(timer.set(monotonic() + MS, 0), Ok(()));
        assert!(block_on(timer.wait_one(Signals::SIGNALED)).is_ok());
        assert_eq!(timer.base().signal_state().watchers(), 0);
    }
}
