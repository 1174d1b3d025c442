//! What a directory of an overlay keeps: the entries that are not the host's.
//!
//! The one idea: the host's listing stays as it is, and beside it is what was made, replaced or removed.

use std::sync::Arc;

use hal::{host, pmem::PhysicalMemory};

use super::{MEMORY_COOKIES, Node};
use crate::vfs::entries::Entries;

/// A directory's entry that is not the host's.
pub(super) enum Change {
    Node(Arc<Node>),
    /// The host has an entry of that name, and it is gone.
    Whiteout,
}

type Changes = Entries<Change>;

#[derive(Default)]
pub(super) struct Directory {
    /// The host's entries as last read from the beginning.
    pub(super) listing: Arc<Vec<host::DirEntry>>,
    pub(super) changes: Option<Changes>,
}

impl Directory {
    pub(super) fn changes(&mut self, memory: &Arc<PhysicalMemory>) -> &mut Changes {
        self.changes.get_or_insert_with(|| Changes::starting_at(memory, MEMORY_COOKIES))
    }

    pub(super) fn change(&self, name: &[u8]) -> Option<&Change> {
        self.changes.as_ref()?.get(name)
    }
}
