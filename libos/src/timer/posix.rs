//! POSIX timers, timer_create(2).
//!
//! The one idea: a table of [`Alarm`]s by number, with the overrun count of the last signal that was taken beside each.

use std::sync::Arc;

use slab::Slab;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Alarm, alarm::Notice, clock::ClockId};
use crate::{
    errno::{Errno, SysResult},
    process::{Process, Thread},
    signal::{SigInfo, Signal},
};

/// How many timers a process may have.
const LIMIT: usize = 32_768;

const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD: i32 = 2;
const SIGEV_THREAD_ID: i32 = 4;

/// `struct sigevent`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct SigEvent {
    /// `sigev_value`
    pub value: u64,
    /// `sigev_signo`
    pub signo: i32,
    /// `sigev_notify`
    pub notify: i32,
    /// `sigev_notify_thread_id`
    pub tid: i32,
    padding: [i32; 11],
}

struct Timer {
    alarm: Arc<Alarm>,
    clock: i32,
    overrun: i32,
}

/// The POSIX timers of one process.
#[derive(Default)]
pub struct PosixTimers(Slab<Timer>);

impl PosixTimers {
    /// Makes a timer; `EINVAL` for a bad event or clock, `EAGAIN` when there are too many.
    pub fn create(
        &mut self,
        process: &Arc<Process>,
        caller: &Thread,
        clock: i32,
        event: Option<SigEvent>,
    ) -> SysResult<i32> {
        ClockId::from_raw(clock, caller)?;
        if self.0.len() >= LIMIT {
            return Err(Errno::EAGAIN);
        }
        let slot = self.0.vacant_entry();
        let id = i32::try_from(slot.key()).map_err(|_| Errno::EAGAIN)?;
        let signal = |number| Signal::from_raw(number).ok_or(Errno::EINVAL);
        let notice = match event {
            None => {
                let value = id as u32 as u64;
                Notice::Timer { signal: Signal::SIGALRM, id, value, thread: None }
            }
            Some(SigEvent { notify: SIGEV_NONE, .. }) => Notice::None,
            Some(SigEvent { notify: SIGEV_SIGNAL | SIGEV_THREAD, signo, value, .. }) => {
                Notice::Timer { signal: signal(signo)?, id, value, thread: None }
            }
            Some(SigEvent { notify: SIGEV_THREAD_ID, signo, value, tid, .. }) => {
                let thread = process.thread_called(tid).ok_or(Errno::EINVAL)?;
                let thread = Some(Arc::downgrade(&thread));
                Notice::Timer { signal: signal(signo)?, id, value, thread }
            }
            Some(_) => return Err(Errno::EINVAL),
        };
        let alarm = Alarm::new(Arc::downgrade(process), notice);
        slot.insert(Timer { alarm, clock, overrun: 0 });
        Ok(id)
    }

    fn get(&self, id: i32) -> SysResult<&Timer> {
        usize::try_from(id).ok().and_then(|id| self.0.get(id)).ok_or(Errno::EINVAL)
    }

    /// The timer and its clock's id; `EINVAL`.
    pub fn alarm(&self, id: i32) -> SysResult<(Arc<Alarm>, i32)> {
        self.get(id).map(|timer| (Arc::clone(&timer.alarm), timer.clock))
    }

    /// How often it expired between its last signal's sending and its taking; `EINVAL`.
    pub fn overrun(&self, id: i32) -> SysResult<i32> {
        self.get(id).map(|timer| timer.overrun)
    }

    /// Removes a timer, which the caller drops without locks; `EINVAL`.
    pub fn delete(&mut self, id: i32) -> SysResult<Arc<Alarm>> {
        let key = usize::try_from(id).map_err(|_| Errno::EINVAL)?;
        self.0.try_remove(key).map(|timer| timer.alarm).ok_or(Errno::EINVAL)
    }

    /// Remembers the overrun count of a timer's signal that is being taken.
    pub fn signal_taken(&mut self, info: &SigInfo) {
        let key = usize::try_from(info.timer_id());
        if let Some(timer) = key.ok().and_then(|key| self.0.get_mut(key)) {
            timer.overrun = info.overrun();
        }
    }

    /// Removes all.
    pub fn clear(&mut self) -> Vec<Arc<Alarm>> {
        self.0.drain().map(|timer| timer.alarm).collect()
    }
}
