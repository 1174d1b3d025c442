//! System calls: from a number and six registers to a result.
//!
//! The one idea: [`table`] declares every call once (number, name, typed arguments, handler, coverage), and dispatch, `--strace`
//! and docs/SYSCALLS.md are made from that declaration, so they can not disagree. The handlers live beside it,
//! one module for each family of calls.

pub mod argument;
pub mod attributes;
pub mod coverage;
pub mod strace;
pub mod table;

pub mod descriptor;
pub mod event;
pub mod file;
pub mod fs;
pub mod futex;
pub mod identity;
pub mod io;
pub mod lock;
pub mod memory;
mod pace;
pub mod poll;
pub mod prctl;
pub mod process;
pub mod remote;
pub mod restart;
pub mod scheduling;
pub mod signal;
pub mod socket;
pub mod splice;
pub mod stat;
pub mod system;
mod terminal;
pub mod thread;
pub mod time;
pub mod timer;

use crate::errno::{Errno, SysResult};

/// The six argument registers in the ABI's order: rdi, rsi, rdx, r10, r8, r9.
pub type Arguments = [u64; 6];

/// What a handler may return: something that fits in `rax`.
pub trait IntoReturn {
    /// The register's value.
    fn into_return(self) -> u64;
}

macro_rules! integer_returns {
    ($($ty:ty)*) => {$(
        impl IntoReturn for $ty {
            // Sign extension is what the ABI asks of a negative int.
            fn into_return(self) -> u64 { self as u64 }
        }
    )*};
}

integer_returns!(i32 u32 i64 u64 usize);

impl IntoReturn for () {
    fn into_return(self) -> u64 {
        0
    }
}

impl IntoReturn for argument::Fd {
    fn into_return(self) -> u64 {
        self.0 as u64
    }
}

/// Flattens a handler's result to what dispatch returns.
pub(crate) fn finish<R: IntoReturn>(result: SysResult<R>) -> Result<u64, Errno> {
    result.map(IntoReturn::into_return)
}
