//! Waiting: look for a while, then sleep until the other side rings.
//!
//! The one idea: the busy path makes no system call. A [`Waiter`] spins within a [budget](Spin) first; only
//! then it [arms its bell](Bell) and sleeps, and only an armed bell makes the [`Ringer`] call the host. It sleeps on a
//! futex in the bell's own memory, which threads and processes can share, or as an [`EventWaiter`] on an eventfd.

pub mod bell;
#[cfg(feature = "std")]
mod cpus;
#[cfg(all(feature = "std", not(loom)))]
mod eventfd;
#[cfg(feature = "std")]
mod futex;
#[cfg(feature = "std")]
mod spin;
#[cfg(feature = "std")]
mod waiter;

pub use bell::{Bell, How, SharedBell};
#[cfg(feature = "std")]
pub use cpus::Cpus;
#[cfg(all(feature = "std", not(loom)))]
pub use eventfd::EventFd;
#[cfg(feature = "std")]
pub use spin::Spin;
#[cfg(all(feature = "std", not(loom)))]
pub use waiter::EventWaiter;
#[cfg(feature = "std")]
pub use waiter::{Ringer, Waiter};
