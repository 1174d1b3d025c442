//! How a worker sleeps: a futex word that is touched only when somebody sleeps.
//!
//! **No wake-up is lost.** A worker that finds nothing to do (1) marks itself asleep, (2) looks
//! *once more* at its inbox, under the inbox's lock, and (3) only then waits on the word. Whoever has work for it (a)
//! puts the work in the inbox, under the same lock, and (b) looks at the word after. If (a)'s critical
//! section comes before (2)'s, the worker sees the work. If it comes after, the lock orders (1) before (b),
//! so the waker sees the mark, takes it back and wakes the futex; and the futex itself does not sleep when
//! the word has changed between (3)'s decision and the host's check.

use crate::sync::{atomic::Ordering, futex_word::FutexWord};

/// The owner runs, or has been told to. Set by whoever wakes it, and by the owner when it goes on for another reason.
const AWAKE: u32 = 0;
/// The owner sleeps or is about to: set by the owner alone, taken back by anybody.
const ASLEEP: u32 = 1;

/// One sleeper's futex word. Its accesses are relaxed: the order that counts comes from the inbox's lock. Every change is a
/// read-modify-write, so that the changes by the owner and by others are in one order (loom knows it of nothing else).
#[derive(Debug)]
pub(crate) struct Parker {
    state: FutexWord,
}

impl Parker {
    pub(crate) fn new() -> Self {
        Self { state: FutexWord::new(AWAKE) }
    }

    /// Step 1: marks the owner as asleep. It must now check for work before [`Parker::sleep`].
    pub(crate) fn prepare(&self) {
        self.state.word().swap(ASLEEP, Ordering::Relaxed);
    }

    /// Ends what [`Parker::prepare`] began, however it ended; says whether [`Parker::wake`] did.
    pub(crate) fn cancel(&self) -> bool {
        self.state.word().swap(AWAKE, Ordering::Relaxed) == AWAKE
    }

    /// Whether the owner sleeps, or is about to.
    pub(crate) fn is_asleep(&self) -> bool {
        self.state.word().load(Ordering::Relaxed) == ASLEEP
    }

    /// Step 3: sleeps until [`Parker::wake`], or `deadline` (ns of the host's monotonic clock), or for no reason.
    pub(crate) fn sleep(&self, deadline: Option<u64>) {
        self.state.wait(ASLEEP, deadline);
    }

    /// Step b: wakes the owner if it sleeps; says whether it did. Costs one load when it does not.
    pub(crate) fn wake(&self) -> bool {
        if !self.is_asleep() || self.state.word().swap(AWAKE, Ordering::Relaxed) != ASLEEP {
            return false;
        }
        self.state.wake();
        true
    }
}

#[cfg(all(test, loom))]
mod models {
    use std::collections::VecDeque;

    use loom::{
        sync::{Arc, Mutex},
        thread,
    };

    use super::*;
    use crate::sync::{Presence, model};

    /// A machine as far as sleeping goes.
    struct Machine {
        inboxes: [Mutex<VecDeque<u32>>; 2],
        parkers: [Parker; 2],
        idle: Presence,
    }

    impl Machine {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                inboxes: [0, 1].map(|_| Mutex::new(VecDeque::new())),
                parkers: [0, 1].map(|_| Parker::new()),
                idle: Presence::new(),
            })
        }

        fn push(&self, cpu: usize, task: u32) {
            self.inboxes[cpu].lock().unwrap().push_back(task);
        }

        fn pop(&self, cpus: &[usize]) -> Option<u32> {
            cpus.iter().find_map(|&cpu| self.inboxes[cpu].lock().unwrap().pop_front())
        }

        /// The owner of CPU 0 runs until it has seen `count` tasks in the inboxes of `cpus`.
        fn serve(&self, cpus: &[usize], mut count: u32) {
            loop {
                while self.pop(cpus).is_some() {
                    count -= 1;
                }
                if count == 0 {
                    return;
                }
                self.parkers[0].prepare();
                self.idle.enter();
                if cpus.iter().all(|&cpu| self.inboxes[cpu].lock().unwrap().is_empty()) {
                    self.parkers[0].sleep(None);
                }
                self.idle.leave();
                self.parkers[0].cancel();
            }
        }
    }

    #[test]
    fn work_that_comes_while_its_cpu_falls_asleep_wakes_it() {
        model(|| {
            let machine = Machine::new();
            let threads = [1, 2].map(|task| {
                let machine = machine.clone();
                thread::spawn(move || {
                    machine.push(0, task);
                    machine.parkers[0].wake();
                })
            });
            machine.serve(&[0], 2);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn work_that_a_busy_cpu_offers_wakes_an_idle_one() {
        model(|| {
            let machine = Machine::new();
            let busy = machine.clone();
            let offers = thread::spawn(move || {
                for task in [1, 2] {
                    busy.push(1, task);
                    if !busy.idle.is_empty() {
                        let _ = busy.parkers.iter().any(Parker::wake);
                    }
                }
            });
            machine.serve(&[0, 1], 2);
            offers.join().unwrap();
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;
    use crate::time;

    #[test]
    fn sleep_ends_at_its_deadline() {
        let parker = Parker::new();
        let deadline = time::monotonic() + 5_000_000;
        parker.prepare();
        while time::monotonic() < deadline {
            parker.sleep(Some(deadline));
        }
        assert!(parker.is_asleep());
        parker.cancel();
        assert!(!parker.wake());
    }

    #[test]
    fn wake_ends_a_sleep_without_deadline() {
        let parker = Arc::new(Parker::new());
        parker.prepare();
        let other = parker.clone();
        let waker = thread::spawn(move || assert!(other.wake()));
        while parker.is_asleep() {
            parker.sleep(None);
        }
        waker.join().unwrap();
    }
}
