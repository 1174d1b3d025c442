//! What threads agree on without a lock: each protocol is a small type with named states, and at the foot of its file
//! loom tries every order in which threads can meet in it.
//!
//! The one idea: a protocol's file knows atomics, barriers and futexes from here alone, so that with `--cfg loom` the model checker's
//! stand where the machine's do. All else of this crate is left out then; see `lib.rs` for the protocols that live with what they serve.

pub(crate) mod at_work;
pub(crate) mod atomic;
pub(crate) mod barrier;
mod bias;
#[cfg(not(loom))]
mod biased_lock;
#[cfg(not(loom))]
mod biased_mutex;
pub(crate) mod futex_word;
mod mark;
mod presence;
mod seqlock;
mod waiters;

#[cfg(not(loom))]
pub use biased_lock::{Actor, BiasedRwLock, ReadGuard, WriteGuard};
#[cfg(not(loom))]
pub(crate) use biased_mutex::SoleWorker;
#[cfg(not(loom))]
pub use biased_mutex::{BiasedGuard, BiasedMutex};
#[cfg(not(loom))]
pub(crate) use mark::Call;
pub use mark::Mark;
pub use presence::Presence;
pub use seqlock::{Generation, Record};
#[cfg(not(loom))]
pub use waiters::{Change, Waiters};

/// Explores every interleaving with at most three preemptions, which is where bugs of two or three threads show (and what
/// can be done in seconds).
#[cfg(all(test, loom))]
pub(crate) fn model(run: impl Fn() + Sync + Send + 'static) {
    model_within(3, run);
}

/// As [`model`] with so many preemptions, for what would take minutes.
#[cfg(all(test, loom))]
pub(crate) fn model_within(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}
