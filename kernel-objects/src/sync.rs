//! The locks, atomics and timers of objects that tasks of several CPUs meet at.
//!
//! The one idea: such an object takes them from here alone, so that with `--cfg shuttle` those of the model checker stand where
//! the machine's do, and `models` can run whole objects in every order that it comes up with. What is locked for a moment, without
//! another lock inside, need not be from here.

#[cfg(not(shuttle))]
pub(crate) use hal::{
    sync::{BiasedGuard, BiasedMutex, Change, Waiters},
    time::{Sleep, sleep_until},
};
#[cfg(not(shuttle))]
pub(crate) use parking_lot::Mutex;
#[cfg(not(shuttle))]
pub(crate) use std::{sync::atomic, thread_local};

#[cfg(shuttle)]
pub(crate) mod machine_timers;
#[cfg(shuttle)]
mod modelled;

#[cfg(shuttle)]
pub(crate) use self::{
    machine_timers::{Sleep, sleep_until},
    modelled::{BiasedGuard, BiasedMutex, Mutex, Waiters},
};
#[cfg(shuttle)]
pub(crate) use hal::sync::Change;
#[cfg(shuttle)]
pub(crate) use shuttle::{sync::atomic, thread_local};
