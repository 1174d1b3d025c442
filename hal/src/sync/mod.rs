//! What threads agree on without a lock: each protocol is a small type with named states, and at the foot of its file
//! loom tries every order in which threads can meet in it.
//!
//! The one idea: a protocol's file knows atomics, barriers and futexes from here alone, so that with `--cfg loom` the model checker's
//! stand where the machine's do. All else of this crate is left out then; see `lib.rs` for the protocols that live with what they serve.

pub(crate) mod atomic;
pub(crate) mod barrier;
mod bias;
#[cfg(not(loom))]
mod biased_lock;

#[cfg(not(loom))]
pub use biased_lock::{Actor, BiasedRwLock, ReadGuard, WriteGuard};

/// Explores every interleaving with at most three preemptions, which is where bugs of two or three threads show (and what
/// can be done in seconds).
#[cfg(all(test, loom))]
pub(crate) fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}
