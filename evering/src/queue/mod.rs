//! Queues: rings of plain-old-data entries in any memory, with one sender ([`spsc`]) or many ([`mpsc`]).
//!
//! The one idea: the two sides share nothing but the ring's memory. Each keeps its own position to
//! itself, reads the other's as an allegation, and checks it before use.
//!
//! # What it costs
//!
//! Each end keeps its own index to itself and a copy of the other's, which it refreshes only when the
//! copy says that the ring is full, or empty. So a send or a receive touches the entry and stores one
//! index; a batch stores one index for all its entries. The indices have cache lines of their own, and
//! a small entry that is sent alone travels in the index's: one transfer of a line brings both. (Not where the receiver finds many at a
//! time.)
//!
//! # Memory layout
//!
//! [`Layout`] computes it from the entry's type and the capacity. All numbers are in the machine's own
//! byte order; offsets are in bytes.
//!
//! ```text
//!    0 ┌───────────────────────────────────────────────┐
//!      │ magic · version · entry size · entry align    │  fixed when made,
//!      │ capacity · one sender or many                 │  checked when attached to
//!      │ who is there at its ends, and in which use of │  changed when one
//!      │ the memory: generation                        │  comes or goes
//!  128 ├───────────────────────────────────────────────┤
//!      │ tail: entries ever sent, mod 2³² · the last   │  written by the sender
//!      │ entry, if it was sent alone and is small      │
//!  256 ├───────────────────────────────────────────────┤
//!      │ head: entries ever received, mod 2³²          │  written by the receiver
//!  384 ├───────────────────────────────────────────────┤
//!      │ slot 0 │ slot 1 │ …           │ capacity − 1  │  capacity is a power of two
//!      └───────────────────────────────────────────────┘
//!
//!            head                    tail
//!              ↓                       ↓
//!      ┌───┬───┬───┬───┬───┬───┬───┬───┬───┬───┐
//!      │   │   │ a │ b │ c │ d │ e │ f │   │   │   slot = index mod capacity
//!      └───┴───┴───┴───┴───┴───┴───┴───┴───┴───┘   0 ≤ tail − head ≤ capacity
//! ```
//!
//! # Example
//!
//! ```
//! use evering::{RecvError, channel};
//!
//! let (mut sender, mut receiver) = channel::<u64>(8).unwrap();
//! let server = std::thread::spawn(move || {
//!     let mut sum = 0;
//!     loop {
//!         match receiver.recv() {
//!             Ok(n) => sum += n,
//!             Err(RecvError::Empty) => std::thread::yield_now(),
//!             Err(_) => return sum, // the sender is gone
//!         }
//!     }
//! });
//! for n in 1..=100 {
//!     while sender.send(n).is_err() {
//!         std::thread::yield_now(); // full
//!     }
//! }
//! drop(sender);
//! assert_eq!(server.join().unwrap(), 5050);
//! ```

mod ends;
mod entry;
mod error;
mod layout;
mod memory;
pub mod mpsc;
mod pace;
mod producers;
mod run;
mod slip;
mod slot;
pub mod spsc;
mod stamp;
mod tail;

#[cfg(not(loom))]
pub(crate) use ends::{Closer, RECEIVER_GONE, SENDER_DIED, SENDER_GONE};
pub use entry::Entry;
pub use error::{AttachError, LayoutError, RecvError, SendError};
pub use layout::{Layout, MAX_CAPACITY, VERSION};
pub use memory::{Allocation, HeapRing, Ring};
pub use producers::{Many, One, Producers};
