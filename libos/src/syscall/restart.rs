//! Going on with a call that was interrupted, restart_syscall(2).
//!
//! The one idea: a call with a relative time limit that is made again after a stop must not wait as long again, so it leaves here what it was
//! doing with the limit as an absolute time. See signal(7), `ERESTART_RESTARTBLOCK`.

use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    syscall::{argument::UserPtr, futex, poll, time},
    timer::{ClockId, Timespec},
};

/// The number of restart_syscall(2).
pub(crate) const RESTART_SYSCALL: u64 = 219;

/// What an interrupted call was doing.
#[derive(Clone, Default)]
pub(crate) enum Restart {
    /// Nothing that could be gone on with.
    #[default]
    Nothing,
    /// futex(2) `FUTEX_WAIT`.
    Futex(futex::Wait),
    /// nanosleep(2), clock_nanosleep(2): until `clock` shows `until`; where to store what remains.
    Sleep { clock: ClockId, until: u64, remaining: UserPtr<Timespec> },
    /// poll(2).
    Poll(poll::Request),
}

/// restart_syscall(2)
pub(crate) async fn restart_syscall(thread: &Thread) -> SysResult {
    let restart = std::mem::take(&mut *thread.restart.lock());
    match restart {
        Restart::Nothing => Err(Errno::EINTR),
        Restart::Futex(wait) => futex::wait(thread, wait).await.map(|()| 0),
        Restart::Sleep { clock, until, remaining } => {
            time::sleep(thread, clock, until, Some(remaining)).await.map(|()| 0)
        }
        Restart::Poll(request) => poll::wait(thread, request).await,
    }
}

/// Has `thread` go on with `restart` once it is interrupted: the error that the call ends with.
pub(crate) fn later(thread: &Thread, restart: Restart) -> Errno {
    *thread.restart.lock() = restart;
    Errno::ERESTART_RESTARTBLOCK
}
