//! A debugger's view of a guest from outside: the remote protocol of gdb(1) at a port of the host, `--gdb PORT`.
//!
//! The one idea: the debugger is a tracer as a guest with ptrace(2) is one, with another way to be told. Its target is one process, stopped
//! before its first instruction; all threads stop and go on together, as gdb's all-stop mode wants it. A breakpoint is a byte in
//! the guest's text, as ptrace(2) would poke it. The protocol is the crate `gdbstub`'s.

mod files;
mod registers;
mod server;
mod signals;
mod target;

pub(crate) use self::server::Debugger;
