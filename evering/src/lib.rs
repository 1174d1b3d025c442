//! Rings in shared memory: queues of plain-old-data entries between threads and between processes.
//!
//! A queue here has one receiver, and one sender ([`spsc`]) or many ([`mpsc`]). It lives in memory of its own on the heap, or in any
//! memory that its users bring: a mapped `memfd`, for instance, that a peer process maps as well. The
//! two ends share nothing but that memory, no pointer is stored in it, and neither end needs to trust
//! the other: an index that a peer wrote is compared with what is possible before it is used, and
//! what an entry holds is plain data of any value. A hostile peer can cost an error, never undefined
//! behaviour.
//!
//! On top, the [`driver`] makes operations of requests and their answers: futures that may be dropped
//! at any time. It needs the standard library (feature `std`, on by default); the queues do not.
//!
//! # What it costs
//!
//! Each end keeps its own index to itself and a copy of the other's, which it refreshes only when the
//! copy says that the ring is full, or empty. So a send or a receive touches the entry and stores one
//! index; a batch stores one index for all its entries. The indices have cache lines of their own.
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
//!      │ flags: sender gone, receiver gone             │  written once by each end
//!  128 ├───────────────────────────────────────────────┤
//!      │ tail: entries ever sent, mod 2³²              │  written by the sender
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

#![no_std]

extern crate alloc;
#[cfg(any(test, loom, feature = "std"))]
extern crate std;

#[cfg(all(feature = "std", not(loom)))]
pub mod driver;
#[cfg(not(loom))]
pub mod heap;
#[cfg(all(test, loom))]
mod models;
#[cfg(not(loom))]
pub mod peer;
pub mod queue;
#[cfg(not(loom))]
pub mod region;
#[cfg(not(loom))]
pub mod sharing;
mod sync;
#[cfg(not(loom))]
mod waiters;
pub mod wake;

pub use queue::{
    Allocation, AttachError, Entry, HeapRing, Layout, LayoutError, MAX_CAPACITY, Many, One,
    Producers, RecvError, Ring, SendError, VERSION, mpsc,
    spsc::{self, Drain, Receiver, Sender, channel},
};
