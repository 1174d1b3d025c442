//! What the loom models have in common.

use loom::thread;
use std::vec::Vec;

use crate::RecvError;

/// Explores every interleaving with at most three preemptions, which is where bugs of two threads
/// show (and what can be done in seconds).
pub(crate) fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// All that `recv` gives until the senders are gone.
pub(crate) fn receive_all(mut recv: impl FnMut() -> Result<u32, RecvError>) -> Vec<u32> {
    let mut all = Vec::new();
    loop {
        match recv() {
            Ok(entry) => all.push(entry),
            Err(RecvError::Empty) => thread::yield_now(),
            Err(error) => {
                assert_eq!(error, RecvError::Closed);
                return all;
            }
        }
    }
}
