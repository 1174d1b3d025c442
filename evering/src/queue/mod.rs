//! Queues: rings of plain-old-data entries in any memory, with one sender ([`spsc`]) or many ([`mpsc`]).
//!
//! The one idea: the two sides share nothing but the ring's memory. Each keeps its own position to
//! itself, reads the other's as an allegation, and checks it before use.

mod entry;
mod error;
mod layout;
mod memory;
pub mod mpsc;
mod producers;
mod slot;
pub mod spsc;
mod stamp;

pub use entry::Entry;
pub use error::{AttachError, LayoutError, RecvError, SendError};
pub use layout::{Layout, MAX_CAPACITY, VERSION};
#[cfg(not(loom))]
pub(crate) use layout::{RECEIVER_GONE, SENDER_GONE};
pub use memory::{Allocation, HeapRing, Ring};
pub use producers::{Many, One, Producers};
