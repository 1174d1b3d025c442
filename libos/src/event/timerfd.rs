//! A timer as a file, timerfd_create(2).
//!
//! The one idea: how often it has expired follows from the clock whenever somebody asks; the task that sleeps until the next expiry is
//! only there to wake those who wait.

use std::sync::{Arc, Weak};

use hal::cpu::Task;
use kernel_objects::WaitQueue;
use parking_lot::Mutex;

use crate::{
    errno::{Errno, SysResult},
    timer::{ClockId, alarm::Setting},
    vfs::{File, IoDst, PollEvents, Seeking},
};

/// A timerfd.
pub struct TimerFd {
    clock: ClockId,
    state: Mutex<State>,
    queue: WaitQueue,
    itself: Weak<TimerFd>,
}

#[derive(Default)]
struct State {
    /// The next expiry that is not counted yet, on the clock; none when disarmed or done.
    next: Option<u64>,
    interval: u64,
    /// Expiries since the last read.
    ticks: u64,
    /// Dropped, it ends.
    _task: Option<Task<()>>,
}

impl State {
    /// Counts what has expired by `now`.
    fn advance(&mut self, now: u64) {
        let Some(next) = self.next.filter(|next| *next <= now) else { return };
        let more = now.saturating_sub(next).checked_div(self.interval);
        let expired = more.unwrap_or(0).saturating_add(1);
        self.ticks = self.ticks.saturating_add(expired);
        self.next = more.map(|_| next.saturating_add(expired.saturating_mul(self.interval)));
    }

    fn setting(&self, now: u64) -> Setting {
        let remaining = self.next.map_or(0, |next| next.saturating_sub(now).max(1));
        Setting { remaining, interval: self.interval }
    }
}

impl TimerFd {
    /// A disarmed timer of `clock`.
    pub fn new(clock: ClockId) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            clock,
            state: Mutex::default(),
            queue: WaitQueue::new(),
            itself: itself.clone(),
        })
    }

    /// What it shows.
    pub fn get(&self) -> Setting {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.advance(now);
        state.setting(now)
    }

    /// Arms it to expire `first` ns from now, or when the clock shows `first` if `absolute`, and every `interval` ns then; 0 disarms. What it showed.
    pub fn set(&self, first: u64, absolute: bool, interval: u64) -> Setting {
        let now = self.clock.now();
        let next = match first {
            0 => None,
            first if absolute => Some(first),
            first => Some(now.saturating_add(first)),
        };
        let mut state = self.state.lock();
        state.advance(now);
        let before = state.setting(now);
        let task = next.map(|next| {
            hal::cpu::spawn_urgent(wake(self.itself.clone(), self.clock.clone(), next))
        });
        let old = std::mem::replace(&mut *state, State { next, interval, ticks: 0, _task: task });
        drop(state);
        // Not under the lock: its task may be about to take it.
        drop(old);
        before
    }
}

/// Wakes the waiters at each expiry.
async fn wake(timer: Weak<TimerFd>, clock: ClockId, first: u64) {
    let mut next = Some(first);
    while let Some(time) = next {
        clock.sleep_until(time).await;
        let Some(timer) = timer.upgrade() else { return };
        next = {
            let mut state = timer.state.lock();
            state.advance(clock.now());
            state.next
        };
        timer.queue.notify_all_for(PollEvents::READABLE.bits());
        drop(timer);
        if let Some(next) = next {
            clock.pause_before(next).await;
        }
    }
}

impl File for TimerFd {
    fn transfers(&self) -> (bool, bool) {
        (true, false)
    }

    fn read(&self, _: u64, dst: &mut IoDst<'_>) -> SysResult {
        if dst.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        let ticks = {
            let now = self.clock.now();
            let mut state = self.state.lock();
            state.advance(now);
            std::mem::take(&mut state.ticks)
        };
        if ticks == 0 {
            return Err(Errno::EAGAIN);
        }
        dst.write(&ticks.to_ne_bytes())
    }

    fn poll(&self) -> PollEvents {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.advance(now);
        if state.ticks > 0 { PollEvents::READABLE } else { PollEvents::empty() }
    }

    fn seeking(&self) -> Seeking {
        Seeking::Idle
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn link_text(&self) -> Vec<u8> {
        b"anon_inode:[timerfd]".to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_expiries_are_counted_together() {
        let mut state = State { next: Some(100), interval: 10, ..State::default() };
        state.advance(99);
        assert_eq!((state.ticks, state.next), (0, Some(100)));
        state.advance(125);
        assert_eq!((state.ticks, state.next), (3, Some(130)));
        assert_eq!(state.setting(125).remaining, 5);
    }

    #[test]
    fn a_timer_that_expires_once_is_disarmed_then() {
        let mut state = State { next: Some(100), ..State::default() };
        state.advance(u64::MAX);
        assert_eq!((state.ticks, state.next), (1, None));
        assert_eq!(state.setting(0).remaining, 0);
    }
}
