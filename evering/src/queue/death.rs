//! Closing a queue in place of an end that died without a word.
//!
//! The one idea: whoever knows of the death has it from the host, and so after all that the dead one did. If it then closes the
//! queue as that one would have, the other end finds everything that was sent, and the close after it.

use crate::sync::{AtomicU32, Ordering};

/// Sets `gone` in a ring's flags.
pub(crate) fn close(flags: &AtomicU32, gone: u32) {
    flags.fetch_or(gone, Ordering::Release);
}

#[cfg(all(test, loom))]
mod models {
    use loom::thread;

    use super::{super::layout::SENDER_GONE, *};
    use crate::{
        HeapRing,
        models::{model, receive_all},
    };

    /// A thread's end that is joined is what a process's end is that the host tells of.
    #[test]
    fn a_death_that_another_one_tells_hides_nothing_that_was_sent() {
        model(|| {
            let ring = HeapRing::<u32>::new(2).expect("a power of two");
            let mut receiver = ring.clone().receiver().expect("valid");
            let mut sender = ring.clone().sender().expect("valid");
            let live = thread::spawn(move || {
                assert_eq!(sender.send(1), Ok(()));
                // Not dropped before all is over.
                sender
            });
            let tell = thread::spawn(move || {
                let sender = live.join().expect("it does not panic");
                close(&ring.lines().fixed.flags, SENDER_GONE);
                sender
            });
            assert_eq!(receive_all(|| receiver.recv()), [1]);
            drop(tell.join().expect("it does not panic"));
        });
    }
}
