//! A timer that sends signals.
//!
//! The one idea: armed, it owns a task which sleeps until the next expiry; dropping the task disarms it. The task keeps neither the
//! timer nor the process alive.

use std::sync::{Arc, Weak};

use hal::cpu::Task;
use parking_lot::Mutex;

use super::ClockId;
use crate::{
    process::{Process, Thread},
    signal::{SigInfo, Signal},
};

/// What an expiry does.
#[derive(Clone)]
pub enum Notice {
    /// Nothing; the timer is only looked at.
    None,
    /// The kernel's own signal to the process: setitimer(2).
    Kernel(Signal),
    /// A POSIX timer's signal, to the process or one of its threads.
    Timer {
        /// The signal.
        signal: Signal,
        /// The timer's number.
        id: i32,
        /// What comes with it.
        value: u64,
        /// The thread; none for the process.
        thread: Option<Weak<Thread>>,
    },
}

impl Notice {
    /// Tells `process` of an expiry and `missed` more.
    fn give(&self, process: &Process, missed: u64) {
        // A full queue loses the signal, as in Linux; timers have their place reserved anyway.
        let _ = match self {
            Self::None => Ok(()),
            Self::Kernel(signal) => process.send_signal(*signal, SigInfo::kernel(*signal)),
            Self::Timer { signal, id, value, thread } => {
                let missed = i32::try_from(missed).unwrap_or(i32::MAX);
                let info = SigInfo::timer(*signal, *id, missed, *value);
                match thread {
                    None => process.send_signal(*signal, info),
                    Some(thread) => match thread.upgrade() {
                        Some(thread) => thread.send_signal(*signal, info),
                        None => Ok(()),
                    },
                }
            }
        };
    }
}

/// A timer.
pub struct Alarm {
    process: Weak<Process>,
    notice: Notice,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The clock that it was armed with, and the next expiry on it; none when disarmed.
    next: Option<(ClockId, u64)>,
    /// From one expiry to the next, ns; 0 for once.
    interval: u64,
    task: Option<Task<()>>,
}

/// What a timer shows: time to the next expiry (0: disarmed) and interval, ns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Setting {
    /// Time to the next expiry; 0 when disarmed.
    pub remaining: u64,
    /// From one expiry to the next; 0 for once.
    pub interval: u64,
}

impl Alarm {
    /// A disarmed timer of `process`.
    pub fn new(process: Weak<Process>, notice: Notice) -> Arc<Self> {
        Arc::new(Self { process, notice, state: Mutex::default() })
    }

    /// What it shows now.
    pub fn get(&self) -> Setting {
        self.state.lock().setting()
    }

    /// Disarms it, or arms it to expire when `clock` shows `first` and then every `interval` ns (0: once). What it showed before.
    pub fn set(self: &Arc<Self>, first: Option<(ClockId, u64)>, interval: u64) -> Setting {
        let mut state = self.state.lock();
        let before = state.setting();
        let kernel = self.process.upgrade().map(|process| Arc::clone(&process.kernel));
        let task = match (&first, kernel) {
            (Some((clock, first)), Some(kernel)) => {
                let run = run(Arc::downgrade(self), clock.clone(), *first);
                // A guest that goes on without a call must not keep it from setting its timer.
                Some(kernel.cpus.spawn_urgent(run))
            }
            _ => None,
        };
        state.next = first;
        state.interval = interval;
        let old = std::mem::replace(&mut state.task, task);
        drop(state);
        // Not under the lock: its task may be about to take it.
        drop(old);
        before
    }

    /// Gives notice of the expiry at `time` and of those missed since; the time of the next one, if there is one.
    fn expire(&self, clock: &ClockId, time: u64) -> Option<u64> {
        let process = self.process.upgrade()?;
        let (missed, next) = {
            let mut state = self.state.lock();
            // Set anew meanwhile: then this task is about to be dropped.
            if state.next.as_ref().map(|(_, next)| *next) != Some(time) {
                return None;
            }
            let interval = state.interval;
            let missed = clock.now().saturating_sub(time).checked_div(interval).unwrap_or(0);
            let next = (interval != 0)
                .then(|| time.saturating_add(missed.saturating_add(1).saturating_mul(interval)));
            state.next = next.map(|next| (clock.clone(), next));
            (missed, next)
        };
        self.notice.give(&process, missed);
        next
    }
}

impl State {
    fn setting(&self) -> Setting {
        match &self.next {
            // An expiry that is due but not yet noticed is a nanosecond away.
            Some((clock, next)) => Setting {
                remaining: next.saturating_sub(clock.now()).max(1),
                interval: self.interval,
            },
            None => Setting { remaining: 0, interval: self.interval },
        }
    }
}

async fn run(alarm: Weak<Alarm>, clock: ClockId, first: u64) {
    let mut next = Some(first);
    while let Some(time) = next {
        clock.sleep_until(time).await;
        next = match alarm.upgrade() {
            Some(alarm) => alarm.expire(&clock, time),
            None => None,
        };
        if let Some(next) = next {
            clock.pause_before(next).await;
        }
    }
}
