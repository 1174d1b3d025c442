//! How many work, so that who stops last knows that nothing goes on.
//!
//! **Nobody is overlooked.** Who sleeps counts itself out after its last look at its work; who wakes it counts it in *before* it can have
//! noticed, and is counted itself meanwhile; who wakes for another reason counts itself in before it is seen awake. So the count is not zero as
//! long as there is work. The count and how often somebody has
//! [begun](AtWork::begin) are one word, so who has seen it zero can tell later whether anybody has worked since.

use super::atomic::{AtomicU64, Ordering};

/// One more at work, in the lower half, and once more begun, in the upper one.
const ONE_MORE: u64 = (1 << 32) + 1;

/// The number of those at work. All is in the one order of sequentially consistent operations: it is done when somebody sleeps or wakes.
#[derive(Debug)]
pub(crate) struct AtWork(AtomicU64);

/// Nobody was at work at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rest(u64);

impl AtWork {
    /// Nobody.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Nobody.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts one in.
    #[inline]
    pub(crate) fn begin(&self) {
        self.0.fetch_add(ONE_MORE, Ordering::SeqCst);
    }

    /// Counts one out; whether that was the last.
    #[inline]
    pub(crate) fn end(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) as u32 == 1
    }

    /// Whether nobody is at work.
    pub(crate) fn rest(&self) -> Option<Rest> {
        let seen = self.0.load(Ordering::SeqCst);
        (seen as u32 == 0).then_some(Rest(seen))
    }

    /// Whether nobody has been since.
    pub(crate) fn still_rests(&self, since: Rest) -> bool {
        self.0.load(Ordering::SeqCst) == since.0
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::{
        sync::{Arc, Mutex},
        thread,
    };

    use super::*;
    use crate::{park::Parker, sync::model};

    /// A CPU with its work.
    struct Cpu {
        at_work: AtWork,
        parker: Parker,
        inbox: Mutex<u32>,
        /// How many others do something.
        busy: Mutex<u32>,
    }

    impl Cpu {
        fn stop(&self) {
            if self.at_work.end() {
                let (left, busy) = (*self.inbox.lock().unwrap(), *self.busy.lock().unwrap());
                assert_eq!((left, busy), (0, 0), "somebody is overlooked");
            }
        }

        /// As `Worker::wake`.
        fn give(&self) {
            *self.inbox.lock().unwrap() += 1;
            if self.parker.is_asleep() {
                self.at_work.begin();
                if !self.parker.wake() {
                    self.at_work.end();
                }
            }
        }

        /// As `Local::park`, until it has done `count` pieces of work.
        fn serve(&self, mut count: u32) {
            while count > 0 {
                count -= std::mem::take(&mut *self.inbox.lock().unwrap());
                self.parker.prepare();
                if *self.inbox.lock().unwrap() == 0 && count > 0 {
                    self.stop();
                    self.parker.sleep(None);
                    self.at_work.begin();
                }
                if self.parker.cancel() {
                    self.at_work.end();
                }
            }
            self.stop();
        }
    }

    #[test]
    fn who_stops_last_leaves_no_work() {
        model(|| {
            let cpu = Arc::new(Cpu {
                at_work: AtWork::new(),
                parker: Parker::new(),
                inbox: Mutex::new(0),
                busy: Mutex::new(2),
            });
            cpu.at_work.begin();
            let givers = [(); 2].map(|()| {
                cpu.at_work.begin();
                let cpu = cpu.clone();
                thread::spawn(move || {
                    cpu.give();
                    *cpu.busy.lock().unwrap() -= 1;
                    cpu.stop();
                })
            });
            cpu.serve(2);
            givers.into_iter().for_each(|giver| giver.join().unwrap());
            assert!(cpu.at_work.rest().is_some());
        });
    }

    #[test]
    fn rest_is_over_once_somebody_has_worked() {
        model(|| {
            let at_work = Arc::new(AtWork::new());
            let rest = at_work.rest().unwrap();
            let other = at_work.clone();
            let works = thread::spawn(move || {
                other.begin();
                other.end();
            });
            let still = at_work.still_rests(rest);
            works.join().unwrap();
            assert!(!at_work.still_rests(rest) && (still || at_work.rest().is_some()));
        });
    }
}
