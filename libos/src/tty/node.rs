//! A terminal's node in the file tree, between being found and being opened.
//!
//! The one idea: which terminal /dev/tty is, whether an open makes a terminal the caller's, and what a new one is, depends on who opens it, which the file
//! tree does not know. It gives one of these, and the system call makes an open terminal of it (`syscall::terminal`).

use crate::vfs::{DeviceNumber, File};

/// A node that was found.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Its number.
    pub device: DeviceNumber,
}

impl File for Node {}
