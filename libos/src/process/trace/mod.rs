//! Tracing: one thread stops, looks at and changes another; for ptrace(2) and for debuggers from outside.
//!
//! The one idea: a tracee stops itself. Where something happens that its tracer wants to know, its own loop leaves its registers in the
//! record that both share, a [`Tracee`], tells the tracer and waits to be resumed: a suspended future, as any other thread that
//! waits. So nobody touches the registers of a thread that runs, and one that nobody traces asks in places alone that are rare.
//!
//! ```text
//!  tracee                     record                     tracer
//!  something happens
//!  leaves its registers ────► stop, registers ─────────► SIGCHLD, wait4(2)
//!  waits                      ◄───────────────────────── reads, changes
//!  takes them back      ◄──── resumption ◄────────────── PTRACE_CONT, …
//! ```
//!
//! Who traces whom is in the table of processes, under its lock: a tracer that ends, a tracee that ends or executes a program, and
//! whoever waits see the same. What a tracee is stopped for is in its record.

mod debug_registers;
mod record;
mod stops;
mod tracer;

pub(crate) use self::{
    debug_registers::DebugRegisters,
    record::{Call, Event, Mode, Options, Parked, Resume, Stop, Tracee, Tracer, Why},
    stops::{Entry, Steps},
    tracer::TextHold,
};
