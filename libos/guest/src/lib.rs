//! The guest's side of the asynchronous system calls of this kernel.
//!
//! The one idea: a program shares a ring with its kernel. It writes system calls into it and goes on; what comes back are their
//! results, in whatever order they are finished. So hundreds of calls cost one trap, or none while the kernel looks at the ring by
//! itself, and no call that waits needs a thread.
//!
//! [`abi`] is what the two say to each other, [`Ring`] the bare ring.

#![cfg_attr(not(feature = "runtime"), no_std)]

pub mod abi;
#[cfg(feature = "runtime")]
mod ring;

#[cfg(feature = "runtime")]
pub use self::ring::{RawRegion, Ring};
