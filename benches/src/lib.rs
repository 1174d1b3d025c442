//! What the kernel's figures are measured with: pairs of runs, native and inside, and the table, file and chart of them.
//!
//! The one idea: a figure is a **ratio of two medians from one session**. Native and inside runs alternate, so that a
//! slow minute of the machine slows both.

pub mod chart;
pub mod ipc;
pub mod options;
pub mod page;
pub mod report;
pub mod rings;
pub mod sides;
pub mod syscalls;
