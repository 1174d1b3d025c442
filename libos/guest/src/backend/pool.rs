//! Threads for calls that block and cannot be waited for: those of files on disks.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::direct;
use crate::{abi::Submission, runtime::event};

/// The most threads of a pool.
const THREADS: usize = 8;

/// Threads that make calls. They begin when there is something to do.
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    /// Written when there are results.
    event: OwnedFd,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Submission>,
    results: Vec<(u64, i64)>,
    threads: usize,
    idle: usize,
    over: bool,
}

impl Pool {
    /// `event` is written when there are results.
    pub(super) fn new(event: OwnedFd) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), work: Condvar::new(), event }))
    }

    /// Has a call made.
    ///
    /// # Safety
    ///
    /// What the call does to the memory that its arguments lead to must be allowed until there is a result.
    pub(super) unsafe fn begin(&self, job: Submission) -> io::Result<()> {
        let mut state = self.0.lock();
        state.jobs.push_back(job);
        if state.idle < state.jobs.len() && state.threads < THREADS {
            let shared = Arc::clone(&self.0);
            let spawned = thread::Builder::new().name("calls".into()).spawn(move || shared.work());
            match spawned {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    state.jobs.pop_back();
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        drop(state);
        self.0.work.notify_one();
        Ok(())
    }

    /// Takes a call back that nobody has begun: whether it was there.
    pub(super) fn take_back(&self, id: u64) -> bool {
        let mut state = self.0.lock();
        let Some(at) = state.jobs.iter().position(|job| job.id == id) else { return false };
        state.jobs.remove(at);
        true
    }

    /// What has become of the calls, by their numbers.
    pub(super) fn results(&self) -> Vec<(u64, i64)> {
        event::clear(&self.0.event);
        std::mem::take(&mut self.0.lock().results)
    }

    /// Ready to be read when there are results.
    pub(super) fn raw_fd(&self) -> i32 {
        self.0.event.as_raw_fd()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        while !state.over {
            let Some(job) = state.jobs.pop_front() else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            drop(state);
            // SAFETY: whoever has begun it has promised that.
            let result = unsafe { direct::call(&job) };
            state = self.lock();
            state.results.push((job.id, result));
            event::set(&self.event);
        }
    }
}
