//! Rings in shared memory: requests, answers and their buffers, between threads and between processes.
//!
//! Two peers share a piece of memory and nothing else. In it are two queues of small entries, one each way, and room for
//! bodies. While both are busy neither calls the kernel; who has nothing to do sleeps until the other rings. No pointer is
//! stored in the memory, and neither side needs to trust the other: whatever a peer does or writes, and
//! whenever it dies, costs an error, never undefined behaviour, a hang or a leak.
//!
//! ```text
//!        requester's process                                        responder's process
//!      ┌──────────────────────┐      one region of memory         ┌──────────────────────┐
//!      │  tasks (futures)     │    ┌──────────────────────┐       │                      │
//!      │    │ submit    ▲     │    │ header, bells        │       │                      │
//!      │    ▼           │     │    │                      │       │                      │
//!      │  Driver: operations ─┼──► │ queue of requests ───┼─────► │ Server: a handler    │
//!      │    ▲                 │    │                      │       │    │                 │
//!      │    └─────────────────┼────┼─ queue of answers  ◄─┼───────┼────┘                 │
//!      │                      │    │                      │       │                      │
//!      │  Heap: its arena ────┼──► │ arena │ arena      ◄─┼───────┼─ Heap: its arena     │
//!      └──────────────────────┘    └──────────────────────┘       └──────────────────────┘
//! ```
//!
//! # How to read this
//!
//! Each module stands on those before it, and can be used without those after it.
//!
//! 1. [`queue`]: rings of plain-old-data entries, with one sender or many. Needs no operating system.
//! 2. [`wake`]: how to wait for news without burning a CPU and without asking the kernel for nothing.
//! 3. [`region`]: all that a connection needs, in one piece of memory that cannot shrink.
//! 4. [`heap`]: buffers in it, lent to the peer or given away.
//! 5. [`peer`]: the two ends of a connection, how they find each other, and how one learns that the other is dead.
//! 6. [`driver`]: operations as futures, which may be dropped at any time.
//!
//! Pictures of how things lie in memory: a ring in [`queue`], a region in [`region`], who knows what of it in [`heap`], and a buffer's
//! token at [`Token`](heap::Token). Pictures of what states things go through: a sender in [`spsc`], a slot in [`mpsc`], a sleeper's flag in
//! [`wake::bell`], a spinner's budget at [`Spin`](wake::Spin), a buffer at [`Buffer`](heap::Buffer), the two sides' way to each other in
//! [`peer::connect`], to their end and to another beginning in [`peer`], and an operation in [`driver`].
//!
//! The programs in `examples` are short, and each is run by `cargo run --release -p evering --example` and its name:
//!
//! | | |
//! |---|---|
//! | `threads` | a hundred tasks of one thread ask another thread, small messages, no buffers |
//! | `two_processes` | text is lent, a report given back, and then the server dies |
//! | `equals` | both sides ask and answer over the same two queues |
//!
//! # Which parts to take
//!
//! | to have | take |
//! |---|---|
//! | a queue between two threads | [`channel`], or [`mpsc::channel`] for many senders |
//! | the same, in memory of your own | [`Ring`] |
//! | to write entries in place and publish them together | [`Sender::stage`], or [`mpsc::Sender::reserve`] |
//! | requests and answers between threads | [`peer::pair`], [`driver`] |
//! | the same between processes | [`peer::connect`], [`driver`] |
//! | bodies larger than an entry | [`heap`] |
//! | to go on with another process after a death | [`Region::renew`](region::Region::renew) |
//! | a thread that sleeps when it is idle | [`wake::Waiter`] |
//! | an event loop or an async runtime that does | [`wake::EventWaiter`], [`region::Options::events`] |
//! | no standard library | [`queue`], and [`region::Region::create_at`] in memory that you map |
//!
//! # An example
//!
//! ```
//! use evering::{
//!     driver::{LocalDriver, Server, Tagged},
//!     heap::{Heap, Local, Token},
//!     peer,
//!     region::{Keeper, Options},
//! };
//! use zerocopy::{FromBytes, Immutable, IntoBytes};
//!
//! #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
//! #[repr(C)]
//! struct Message { id: u64, token: Token }
//!
//! impl Tagged for Message {
//!     fn id(&self) -> u64 { self.id }
//!     fn set_id(&mut self, id: u64) { self.id = id }
//! }
//!
//! let (here, there) = peer::pair::<Message, Message>(&Options::new()).unwrap();
//!
//! // The server makes upper case of what it is lent, in place.
//! let thread = std::thread::spawn(move || {
//!     let heap = Heap::<Local>::new(there.arena);
//!     let mut waiter = there.link.waiter();
//!     let mut server = Server::new(there.receiver, there.sender).with_ringer(there.link.ringer());
//!     let mut handle = |request: Message| {
//!         let loan = heap.borrow(request.token).ok()?; // checked
//!         loan.write(0, &loan.to_vec().to_ascii_uppercase()).ok()?;
//!         Some(request)
//!     };
//!     // Until the client is gone.
//!     while let Some(Ok(_)) = waiter.wait(None, || {
//!         Some(server.serve(&mut handle)).filter(|served| *served != Ok(0))
//!     }) {}
//! });
//!
//! let heap = Heap::<Local>::new(here.arena);
//! let mut waiter = here.link.waiter();
//! let driver = LocalDriver::<_, _, _, Keeper, Keeper>::local(here.sender, here.receiver, 64)
//!     .with_ringer(here.link.ringer());
//! let answer = driver.block_on(&mut waiter, async {
//!     let buffer = heap.allocate(5).await.unwrap(); // waits for room
//!     buffer.write(0, b"hello").unwrap();
//!     let token = buffer.lend().unwrap();
//!     let (_, buffer) = driver.submit(Message { id: 0, token }, buffer).await.unwrap().await.unwrap();
//!     buffer.to_vec()
//! });
//! assert_eq!(answer, b"HELLO");
//! drop(driver);
//! thread.join().unwrap();
//! ```
//!
//! # What a peer can do to us
//!
//! It can write any byte of the region at any time. Everything of it that decides anything is read once, checked against what
//! was computed from the header when the region was attached to, and kept privately:
//!
//! | it writes | we |
//! |---|---|
//! | the header | have read it once, and checked that its parts make up the file's size |
//! | a queue's index | find it impossible, and the queue [corrupt](RecvError::Corrupt), or believe it: then entries hold anything |
//! | an entry | take it for plain data, of which every value is one |
//! | an operation's number | find nobody under it: numbers have [generations](driver) |
//! | a token of a buffer | check that it leads into an arena, or find the [ticket](heap) |
//! | a buffer, while we read it | have copied some mixture of bytes, and check the copy |
//! | a bell | are woken for nothing, or not at all, as by a peer that never rings: set deadlines |
//! | on which CPUs it may run | spin in vain for a while, or sleep where spinning would have paid |
//! | that it is dead, or is not | believe it about itself; the [host](peer) says the same of its process |
//!
//! It cannot take the memory away, as the file is [sealed](region), and its death is [noticed](peer) wherever we sleep. What it
//! can do is nothing: time limits are the caller's business, and [operations have deadlines](driver::Operation).

#![no_std]

extern crate alloc;
#[cfg(any(test, loom, feature = "std"))]
extern crate std;

#[cfg(not(loom))]
mod copy;
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
