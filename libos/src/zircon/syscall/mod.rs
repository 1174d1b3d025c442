//! Zircon's system calls: from a number and eight registers to a status.
//!
//! The one idea: [`table`] declares every call once, as [`abi`](crate::abi) says, and the handlers live beside it, one module for each
//! family of calls. The vDSO and the C header are made from the same rows, so a call is one row and one function.
//!
//! # To add a call
//!
//! 1. Its row in `table.rs` moves from `absent` to `present`, with its number: `zx_name(argument: Type, ..) kind family::name, Full;`.
//!    The types are those of [`argument`] and [`abi`](crate::zircon::abi); what they are in C follows from them.
//! 2. Its handler in the family's module: `fn name(thread: &Thread, ..) -> Result`, an `async fn` if it can wait (kind `wait`).
//!    In this order: options ([`Error::InvalidArgs`]), the job's policy for what makes an object
//!    ([`Thread::policy`](crate::zircon::Thread::policy)), handles ([`Thread::get`](crate::zircon::Thread::get) checks type and rights),
//!    pointers, and last the verb of kernel-objects, which knows the rest. New handles go out through
//!    [`Thread::give`](crate::zircon::Thread::give). A wait is put into [`Thread::blocked`](crate::zircon::Thread::blocked).
//!    Pointers are read before the call has any effect, for it is done again when a pager had what one points at
//!    ([`Memory`](crate::zircon::Memory)).
//! 3. A structure that is new is declared in [`abi::structs`](crate::zircon::abi::structs), a constant in `abi/constants/plain.rs`.
//! 4. Its lines in the family's program of `tests/guests/zircon`: what it does, and each error that is documented.
//! 5. `UPDATE_DOCS=1 cargo test -p libos coverage` writes `docs/ZIRCON.md` anew.

pub mod argument;
pub mod coverage;
pub mod table;

mod channel;
mod clock;
mod counter;
mod debuglog;
mod dma;
mod event;
mod fifo;
mod futex;
mod handle;
mod interrupt;
mod iob;
mod job;
mod object;
mod pager;
mod performance;
mod port;
mod process;
mod profile;
mod resource;
mod restricted;
mod socket;
mod strace;
mod stream;
mod system;
mod task;
mod thread;
mod timer;
mod vmar;
mod vmo;

use kernel_objects::{Error, Result};

/// The eight argument registers in the ABI's order: rdi, rsi, rdx, r10, r8, r9, r12, r13.
pub type Arguments = [u64; 8];

/// Fails unless a call without options got none.
fn no_options(options: u32) -> Result {
    if options == 0 { Ok(()) } else { Err(Error::InvalidArgs) }
}
