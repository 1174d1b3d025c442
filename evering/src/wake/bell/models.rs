//! Loom explores a server that is kicked, polls, or both: the door of system calls. Who sends looks at the bell; whoever serves takes under a lock and
//! leaves only with the bell up, so nothing that was sent is left when all have gone.

use loom::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::*;
use crate::{Receiver, Sender, channel, models::model};

/// What those share who serve.
struct Door {
    requests: Mutex<(Receiver<u32>, u32)>,
    bell: Bell,
    /// Somebody polls.
    polled: AtomicBool,
}

impl Door {
    fn new(polled: bool) -> (Sender<u32>, Arc<Self>) {
        let (sender, receiver) = channel::<u32>(2).expect("a power of two");
        let bell = Bell::new();
        if !polled {
            bell.arm(How::Futex);
        }
        let door =
            Self { requests: Mutex::new((receiver, 0)), bell, polled: AtomicBool::new(polled) };
        (sender, Arc::new(door))
    }

    fn take(&self) -> bool {
        let (receiver, taken) = &mut *self.requests.lock().unwrap();
        let before = *taken;
        while receiver.recv().is_ok() {
            *taken += 1;
        }
        *taken > before
    }

    /// Whoever calls takes what there is, and sees to it that the bell is up, unless there is a poller.
    fn kick(&self) {
        while !self.polled.load(Ordering::Acquire) {
            let is_armed = self.bell.is_armed();
            self.take();
            if is_armed {
                return;
            }
            self.bell.arm(How::Futex);
            if self.requests.lock().unwrap().0.pending() == Ok(0) {
                return;
            }
        }
    }

    /// Takes what there is until there is nothing, and leaves with the bell up.
    fn poll(&self) {
        loop {
            if self.take() {
                continue;
            }
            self.polled.store(false, Ordering::Release);
            self.bell.arm(How::Futex);
            let missed = self.requests.lock().unwrap().0.pending() != Ok(0);
            if !missed || self.polled.swap(true, Ordering::AcqRel) {
                return;
            }
            self.bell.disarm();
        }
    }

    /// Sends two and calls whoever does not look.
    fn send(&self, sender: &mut Sender<u32>) {
        for n in 0..2 {
            assert_eq!(sender.send(n), Ok(()));
            if self.bell.answer().is_some() {
                self.kick();
            }
        }
    }

    fn taken(&self) -> u32 {
        self.requests.lock().unwrap().1
    }
}

#[test]
fn who_kicks_beside_the_sender_leaves_nothing() {
    model(|| {
        let (mut sender, door) = Door::new(false);
        let other = door.clone();
        let kicks = thread::spawn(move || {
            other.kick();
            other.kick();
        });
        door.send(&mut sender);
        kicks.join().expect("it does not panic");
        assert_eq!(door.taken(), 2);
    });
}

#[test]
fn a_poller_that_leaves_leaves_nothing() {
    model(|| {
        let (mut sender, door) = Door::new(true);
        let poller = door.clone();
        let polls = thread::spawn(move || poller.poll());
        door.send(&mut sender);
        polls.join().expect("it does not panic");
        assert_eq!(door.taken(), 2);
    });
}

#[test]
fn a_poller_and_a_kick_leave_nothing() {
    model(|| {
        let (mut sender, door) = Door::new(true);
        let (poller, other) = (door.clone(), door.clone());
        let threads = [thread::spawn(move || poller.poll()), thread::spawn(move || other.kick())];
        door.send(&mut sender);
        threads.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
        assert_eq!(door.taken(), 2);
    });
}
