//! Asynchronous system calls for programs that run in this kernel, and an async runtime made of them that runs everywhere.
//!
//! The one idea: a program shares a ring with its kernel. It writes system calls into it and goes on; what comes back are their
//! results, in whatever order they are finished. So hundreds of calls cost one trap, or none while the kernel looks at the ring by
//! itself, and no call that waits needs a thread.
//!
//! # A runtime
//!
//! On that stands a small async runtime, one for each thread, whose only way to wait is the ring. The same program runs on a Linux that has no such
//! rings: there its calls go through io_uring, or else through epoll and a few threads.
//!
//! ```
//! use std::{io, time::Duration};
//!
//! use libos_guest::{block_on, fs::File, pipe, select, sleep, spawn};
//!
//! fn main() -> io::Result<()> {
//!     block_on(async {
//!         // Both run on this thread, and wait together.
//!         let (reader, writer) = pipe()?;
//!         let size = spawn(async { File::open("/etc/passwd").await?.metadata().await });
//!         writer.write_all("hello").await.0?;
//!
//!         // A buffer goes into a call and comes back with its result.
//!         let (result, buffer) = reader.read(Vec::with_capacity(100)).await;
//!         assert_eq!((result?, &*buffer), (5, &b"hello"[..]));
//!         assert!(size.await?.len() > 0);
//!
//!         // A call that is dropped is cancelled, whatever state it is in.
//!         let late = select! {
//!             _ = reader.read(buffer) => false,
//!             () = sleep(Duration::from_millis(1)) => true,
//!         };
//!         assert!(late);
//!         Ok(())
//!     })?
//! }
//! ```
//!
//! | to have | take |
//! |---|---|
//! | a thread's runtime | [`block_on`], [`Runtime`]; [`Builder`] for its sizes, and for one on each CPU |
//! | tasks | [`spawn`], [`JoinHandle`], [`yield_now`] |
//! | time | [`sleep`], [`timeout`], [`time`] |
//! | the first of several | [`select!`], [`race`] |
//! | files and directories | [`fs`] |
//! | pipes, sockets | [`pipe()`], [`net`] |
//! | buffers | `Vec<u8>` and its like, [`arena`]; [`net::BufferGroup`] for many idle connections |
//! | calls by hand | [`Ring`], [`abi`] |
//!
//! # What happens to a call
//!
//! A task writes a call down, and what the call uses goes into the operation: buffers and the descriptor. Nothing is handed over until all tasks wait
//! (or many have run); then one entry to the kernel hands over all that was written down and waits for the first answer. So a thread with a hundred
//! connections to serve enters the kernel once for all of them that have something to do. With [`Builder::polled`] it need not even enter
//! to hand over.
//!
//! A future can be dropped at any time, as [`timeout`] does it. The kernel is told to cancel the call, and what was lent
//! is kept until it says that the call has ended; a descriptor that was opened after all is closed. But what a dropped *read* had
//! read already is gone, as always: to go on reading later, keep the future and await it later.
//!
//! There are as many places for calls as [`Builder::operations`] says; who comes when all are taken waits in turn. The same goes for room in the
//! [arena].
//!
//! # Who carries out the calls
//!
//! | [`Kind`] | where | how |
//! |---|---|---|
//! | `ring` | in this kernel | the kernel itself |
//! | `io_uring` | Linux 5.11 and later, where it is allowed | what has an opcode goes there, the rest (getdents64) is called at once |
//! | `epoll` | everywhere | tried without blocking, again when epoll(7) says so; a pool of threads for files |
//!
//! The first one that there is, or the one that `LIBOS_GUEST_BACKEND` names.
//!
//! # What it is not
//!
//! There is no work stealing, and futures need not be `Send`: what has to be on several CPUs is divided by the program, with
//! [`Builder::run`]. A task that panics takes its thread's [`block_on`] with it. A process that forks can use its rings in the parent only.

#![cfg_attr(not(feature = "runtime"), no_std)]

pub mod abi;
#[cfg(feature = "runtime")]
mod backend;
#[cfg(feature = "runtime")]
pub mod buffer;
#[cfg(feature = "runtime")]
pub mod fs;
#[cfg(feature = "runtime")]
pub mod net;
#[cfg(feature = "runtime")]
mod operation;
#[cfg(feature = "runtime")]
mod pipe;
#[cfg(feature = "runtime")]
mod ring;
#[cfg(feature = "runtime")]
mod runtime;
#[cfg(feature = "runtime")]
mod select;
#[cfg(feature = "runtime")]
pub mod time;
#[cfg(feature = "runtime")]
mod transfer;

#[cfg(feature = "runtime")]
pub use self::{
    backend::Kind,
    buffer::{ArenaBuffer, BufResult, Buffer, BufferMut, arena},
    pipe::{PipeReader, PipeWriter, pipe},
    ring::{RawRegion, Ring},
    runtime::{Builder, JoinHandle, Runtime, backend_kind, block_on, spawn, yield_now},
    select::{Either, race},
    time::{sleep, sleep_until, timeout},
};
