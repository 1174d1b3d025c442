//! The host: what the emulated machine has instead of disks, firmware and a power switch.
//!
//! Nothing above `hal` makes a host call; what it needs of the host's files, terminal descriptors,
//! environment and facts is here. The one idea: calls are thin and say what the host says, as a
//! [`HostError`] with the host's `errno`, which is also the number that a guest would have got.

mod dir;
mod error;
mod file;
pub mod listen;
pub mod local;
pub mod process;
pub mod socket;
mod stamp;
mod stat;
pub mod stdio;
pub mod system;
pub mod wire;
mod xattr;

pub use dir::{DirEntry, HostNode};
pub(crate) use error::check;
pub use error::{HostError, Result};
pub use file::{Access, HostFile};
pub use stat::{FileKind, HostStat, HostStatFs, Timestamp};
pub use stdio::HostStream;
