//! The need-wakeup flag: who sleeps says so, and who has news looks.
//!
//! The one idea is Dekker's: the sleeper writes the flag and then looks for news, the other writes the
//! news and then looks at the flag, and between its two each has a full fence. So at least one of them
//! sees what the other wrote, and no wake-up is lost; and while nobody sleeps, news cost one fence and
//! one load of a line that nobody writes.
//!
//! ```text
//!        sleeper: arm            sleeper: looks, finds nothing
//!    0 ───────────────► how ─────────────────────────────────► asleep
//!    ▲                   │ │                                     │
//!    │   disarm (news    │ │  answer: swap 0, then wake it       │ answer: the same
//!    ├───────────────────┘ │                                     │
//!    └─────────────────────┴─────────────────────────────────────┘
//! ```
//!
//! The flag is in memory that a peer writes. Nonsense there can wake a sleeper for nothing or leave it
//! asleep, as a peer that never rings can; what it waits for it looks up itself.

use crate::sync::{AtomicU32, Ordering, fence};

/// How a sleeper is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum How {
    /// By a futex wake on the flag itself.
    Futex = 1,
    /// By a write to the eventfd that the sleeper has given to the other side.
    EventFd = 2,
}

/// The flag of one sleeper. Zeroed memory is a bell that nobody listens to.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Bell(AtomicU32);

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}

impl Bell {
    /// A bell that nobody listens to.
    pub fn new() -> Self {
        Bell(AtomicU32::new(0))
    }

    /// Says that the caller is about to sleep. It must look for news after this, and sleep only if there
    /// is none.
    pub fn arm(&self, how: How) {
        // A swap, though a store would do: loom does not know that a store follows the answer before it.
        self.0.swap(how as u32, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Says that the caller is awake. Whether somebody has answered in between.
    pub fn disarm(&self) -> bool {
        self.0.swap(0, Ordering::Acquire) == 0
    }

    /// Whether the sleeper has not been answered yet.
    pub fn is_armed(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// For who has published news: how the sleeper has to be woken, if there is one. Each sleep is
    /// answered once. Call it once for a batch of news.
    #[inline]
    pub fn answer(&self) -> Option<How> {
        fence(Ordering::SeqCst);
        if self.0.load(Ordering::Relaxed) == 0 { None } else { self.take() }
    }

    #[cold]
    fn take(&self) -> Option<How> {
        match self.0.swap(0, Ordering::AcqRel) {
            0 => None,
            2 => Some(How::EventFd),
            // Whatever else it says: to wake a futex in vain is harmless.
            _ => Some(How::Futex),
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::{
        sync::{Arc, Condvar, Mutex},
        thread,
    };

    use super::*;
    use crate::{RecvError, channel, models::model, mpsc};

    /// A futex on the bell's word, as the host has it: a wait that finds another value does not sleep.
    struct Futex {
        bell: Bell,
        lock: Mutex<()>,
        woken: Condvar,
    }

    impl Futex {
        fn new() -> Arc<Self> {
            Arc::new(Futex { bell: Bell::new(), lock: Mutex::new(()), woken: Condvar::new() })
        }

        fn sleep(&self) {
            let mut held = self.lock.lock().expect("no panic");
            while self.bell.is_armed() {
                held = self.woken.wait(held).expect("no panic");
            }
        }

        fn ring(&self) {
            if self.bell.answer().is_some() {
                let _held = self.lock.lock().expect("no panic");
                self.woken.notify_one();
            }
        }
    }

    /// Whatever runs first: a receiver that sleeps when it finds nothing gets all, and the end.
    /// (A lost wake-up is a deadlock, which loom reports.)
    #[test]
    fn no_wake_up_is_lost() {
        model(|| {
            let futex = Futex::new();
            let (mut sender, mut receiver) = channel::<u32>(2).expect("a power of two");
            let at_sender = futex.clone();
            let send = thread::spawn(move || {
                for n in 0..2 {
                    assert_eq!(sender.send(n), Ok(()));
                    at_sender.ring();
                }
                drop(sender);
                at_sender.ring();
            });
            let mut next = 0;
            'all: loop {
                let mut look = || match receiver.recv() {
                    Ok(n) => Some(Some(n)),
                    Err(RecvError::Empty) => None,
                    Err(_) => Some(None),
                };
                let news = look().or_else(|| {
                    futex.bell.arm(How::Futex);
                    let news = look();
                    if news.is_none() {
                        futex.sleep();
                    }
                    futex.bell.disarm();
                    news
                });
                match news {
                    Some(Some(n)) => {
                        assert_eq!(n, next);
                        next += 1;
                    }
                    Some(None) => break 'all,
                    None => {}
                }
            }
            assert_eq!(next, 2);
            send.join().expect("it does not panic");
        });
    }

    #[test]
    fn no_wake_up_of_two_senders_is_lost() {
        model(|| {
            let futex = Futex::new();
            let (sender, mut receiver) = mpsc::channel::<u32>(2).expect("a power of two");
            let threads = [1, 2].map(|n| {
                let (mut sender, futex) = (sender.clone(), futex.clone());
                thread::spawn(move || {
                    assert_eq!(sender.send(n), Ok(()));
                    futex.ring();
                })
            });
            let mut sum = 0;
            while sum < 3 {
                futex.bell.arm(How::Futex);
                match receiver.recv() {
                    Ok(n) => sum += n,
                    Err(_) => futex.sleep(),
                }
                futex.bell.disarm();
            }
            for thread in threads {
                thread.join().expect("it does not panic");
            }
        });
    }

    /// The other direction: a sender that sleeps when the ring is full gets room.
    #[test]
    fn no_room_is_lost() {
        model(|| {
            let futex = Futex::new();
            let (mut sender, mut receiver) = channel::<u32>(1).expect("a power of two");
            let at_receiver = futex.clone();
            let receive = thread::spawn(move || {
                let mut next = 0;
                while next < 2 {
                    match receiver.recv() {
                        Ok(n) => {
                            assert_eq!(n, next);
                            next += 1;
                            at_receiver.ring();
                        }
                        Err(_) => thread::yield_now(),
                    }
                }
            });
            for n in 0..2 {
                while sender.send(n).is_err() {
                    futex.bell.arm(How::Futex);
                    if sender.is_full() {
                        futex.sleep();
                    }
                    futex.bell.disarm();
                }
            }
            receive.join().expect("it does not panic");
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_answered_once() {
        let bell = Bell::new();
        assert_eq!(bell.answer(), None);
        bell.arm(How::EventFd);
        assert!(bell.is_armed());
        assert_eq!((bell.answer(), bell.answer()), (Some(How::EventFd), None));
        assert!(bell.disarm());
        bell.arm(How::Futex);
        assert!(!bell.disarm());
        assert_eq!(bell.answer(), None);
    }

    #[test]
    fn nonsense_in_the_flag_is_a_wake_up() {
        let bell = Bell::new();
        bell.0.store(77, Ordering::Relaxed);
        assert_eq!(bell.answer(), Some(How::Futex));
    }
}
