//! Loom explores who sleeps and who wakes. A lost wake-up is a deadlock, which it reports.

use loom::{sync::Arc, thread};

use super::*;
use crate::{RecvError, channel, models::model, mpsc};

fn bell() -> (Waiter<Arc<Bell>>, Ringer<Arc<Bell>>) {
    let bell = Arc::new(Bell::new());
    (Waiter::with_spin(bell.clone(), Spin::never()), Ringer::new(bell))
}

/// An entry or the end; `None` if there is nothing.
fn news(received: Result<u32, RecvError>) -> Option<Option<u32>> {
    match received {
        Err(RecvError::Empty) => None,
        other => Some(other.ok()),
    }
}

/// Whatever runs first: a receiver that sleeps when it finds nothing gets all, and the end.
#[test]
fn no_wake_up_is_lost_nor_the_close() {
    model(|| {
        let (mut waiter, ringer) = bell();
        let (mut sender, mut receiver) = channel::<u32>(2).expect("a power of two");
        let send = thread::spawn(move || {
            for n in 0..2 {
                assert_eq!(sender.send(n), Ok(()));
                ringer.ring();
            }
            drop(sender);
            drop(ringer);
        });
        let mut next = 0;
        while let Some(Some(n)) = waiter.wait(None, || news(receiver.recv())) {
            assert_eq!(n, next);
            next += 1;
        }
        assert_eq!(next, 2);
        send.join().expect("it does not panic");
    });
}

#[test]
fn no_wake_up_of_two_senders_is_lost() {
    model(|| {
        let (mut waiter, ringer) = bell();
        let ringer = Arc::new(ringer);
        let (sender, mut receiver) = mpsc::channel::<u32>(2).expect("a power of two");
        let threads = [1, 2].map(|n| {
            let (mut sender, ringer) = (sender.clone(), ringer.clone());
            thread::spawn(move || {
                assert_eq!(sender.send(n), Ok(()));
                ringer.ring();
            })
        });
        let mut sum = 0;
        while sum < 3 {
            sum += waiter.wait(None, || receiver.recv().ok()).expect("there is no deadline");
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
        let (mut waiter, ringer) = bell();
        let (mut sender, mut receiver) = channel::<u32>(1).expect("a power of two");
        let receive = thread::spawn(move || {
            let mut next = 0;
            while next < 2 {
                match receiver.recv() {
                    Ok(n) => {
                        assert_eq!(n, next);
                        next += 1;
                        ringer.ring();
                    }
                    Err(_) => thread::yield_now(),
                }
            }
        });
        for n in 0..2 {
            waiter.wait(None, || sender.send(n).ok()).expect("there is no deadline");
        }
        receive.join().expect("it does not panic");
    });
}

/// A sender that sleeps on a full ring learns that nobody will ever make room.
#[test]
fn a_receiver_that_goes_away_wakes_the_sender() {
    model(|| {
        let (mut waiter, ringer) = bell();
        let (mut sender, receiver) = channel::<u32>(1).expect("a power of two");
        assert_eq!(sender.send(0), Ok(()));
        let close = thread::spawn(move || {
            drop(receiver);
            drop(ringer);
        });
        let end = waiter.wait(None, || sender.send(1).err().filter(|error| !error.is_full()));
        assert_eq!(end, Some(crate::SendError::Closed(1)));
        close.join().expect("it does not panic");
    });
}

/// Who was answered finds the news with one look.
#[test]
fn an_answer_brings_the_news_with_it() {
    model(|| {
        let (waiter, ringer) = bell();
        let (mut sender, mut receiver) = channel::<u32>(1).expect("a power of two");
        waiter.bell().arm(How::Futex);
        let send = thread::spawn(move || {
            assert_eq!(sender.send(7), Ok(()));
            ringer.ring();
            (sender, ringer) // their end would be news of its own
        });
        if waiter.bell().disarm() {
            assert_eq!(receiver.recv(), Ok(7));
        }
        send.join().expect("it does not panic");
    });
}
