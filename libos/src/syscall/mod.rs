//! Linux's system calls: from a number and six registers to a result.
//!
//! The one idea: [`table`] declares every call once, as [`abi`](crate::abi) says, and the handlers live beside it, one module for each
//! family of calls.

pub mod argument;
pub mod attributes;
pub mod coverage;
pub mod strace;
pub mod table;

pub mod adjtimex;
pub mod aio;
mod any_ready;
pub mod descriptor;
pub mod event;
pub mod file;
pub mod fs;
pub mod futex;
pub mod handle;
pub mod identity;
pub mod io;
pub mod kcmp;
pub mod lock;
pub mod locked;
pub mod membarrier;
pub mod memory;
pub mod mount;
pub mod mqueue;
pub mod namespace;
pub(crate) mod pace;
mod patience;
pub mod pidfd;
pub mod poll;
pub mod prctl;
pub mod process;
pub mod ptrace;
pub mod remote;
pub mod restart;
pub mod ring;
pub mod scheduling;
pub mod signal;
pub mod socket;
pub mod splice;
pub mod stat;
pub mod syslog;
pub mod system;
pub mod sysv;
mod terminal;
pub mod thread;
pub mod time;
pub mod timer;
pub mod uring;
pub mod wait;

use crate::abi::IntoReturn;

/// The six argument registers in the ABI's order: rdi, rsi, rdx, r10, r8, r9.
pub type Arguments = [u64; 6];

impl IntoReturn for argument::Fd {
    fn into_return(self) -> u64 {
        self.0 as u64
    }
}
