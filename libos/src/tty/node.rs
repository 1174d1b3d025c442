//! A terminal's node in the file tree, between being found and being opened.
//!
//! The one idea: which terminal /dev/tty is, whether an open makes a terminal the caller's, and what a new one is, depends on who opens it, which the file
//! tree does not know. It gives one of these, and the system call makes an open terminal of it (`syscall::terminal`).

use std::sync::Arc;

use super::table::Terminals;
use crate::vfs::{DeviceNumber, File};

/// A node that was found.
pub struct Node {
    /// Its number.
    pub device: DeviceNumber,
    /// The ptys that it is one of; the kernel's first ones if its file system does not say.
    pub terminals: Option<Arc<Terminals>>,
}

impl File for Node {}
