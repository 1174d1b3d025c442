//! Doors for system calls that are not made by a trap.
//!
//! The one idea: a door is a place where calls are written down and results come back; behind it stands the same
//! [table](crate::syscall::table) as behind a trap. What a call cannot finish at once becomes one of the process's
//! [operations], or, if it is a plain read, one of its [reads], which have no task. [`Evering`] is the door of this
//! kernel's own guests ([`libos_guest::abi`]), [`uring`] that of programs for Linux's io_uring.

mod evering;
pub(crate) mod operations;
mod pick;
mod reads;
mod registered;
pub(crate) mod uring;

pub(crate) use self::{
    evering::Evering,
    operations::{Operation, OperationSets, Operations},
};
