//! libos: a Linux and a Zircon personality over async kernel objects.
//!
//! Read [`process`] first (a thread is an async loop: run, trap, handle), then [`syscall::table`] (what the calls are), then the folder that
//! the call at hand is about: [`memory`], [`vfs`], [`signal`]. [`zircon`] is the other personality; [`abi`] is what they share.
#![forbid(unsafe_code)]

pub mod abi;
pub mod boot;
pub mod cli;
pub mod config;
pub mod control;
pub mod errno;
pub mod event;
pub mod futex;
mod gdb;
pub mod ipc;
pub mod kernel;
pub mod loader;
pub mod memory;
pub mod net;
pub mod process;
pub(crate) mod ring;
pub mod signal;
mod supervisor;
pub mod syscall;
pub mod timer;
pub mod trace;
pub mod tty;
pub mod vfs;
pub mod zircon;
