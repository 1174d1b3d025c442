//! Waiting: look for a while, then sleep until the other side rings.
//!
//! The one idea: the busy path makes no system call. Who waits spins within a [budget](Spin) first; only
//! then it [arms its bell](Bell) and sleeps, and only an armed bell makes the other side call the host.

pub mod bell;
#[cfg(all(feature = "std", not(loom)))]
mod spin;

pub use bell::{Bell, How};
#[cfg(all(feature = "std", not(loom)))]
pub use spin::Spin;
