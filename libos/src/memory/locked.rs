//! Which memory is locked, mlock(2).
//!
//! The one idea: nothing is ever swapped here, so a page that is locked needs no care. What is kept is which mappings are, and whether new
//! ones will be: it is counted against `RLIMIT_MEMLOCK`, shown by /proc and asked by msync(2).

use std::{
    ops::Range,
    sync::atomic::{AtomicU8, Ordering},
};

use super::UserMemory;
use crate::errno::{Errno, SysResult};

/// When the pages of locked memory are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// At once.
    Now,
    /// When they are first used (`MLOCK_ONFAULT`).
    OnFault,
}

/// Whether new mappings are locked, and how: `MCL_FUTURE`.
#[derive(Debug, Default)]
pub(super) struct LocksNew(AtomicU8);

impl UserMemory {
    /// How new mappings are locked; `None` if they are not.
    pub fn locks_new(&self) -> Option<Presence> {
        match self.locks_new.0.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Presence::Now),
            _ => Some(Presence::OnFault),
        }
    }

    /// Has new mappings locked or not.
    pub fn set_locks_new(&self, how: Option<Presence>) {
        let how = how.map_or(0, |presence| 1 + u8::from(presence == Presence::OnFault));
        self.locks_new.0.store(how, Ordering::Relaxed);
    }

    /// Locks or unlocks what is mapped in `range`; `ENOMEM` when a page is not, and nothing behind it changes.
    pub fn set_locked(&self, range: Range<u64>, locked: bool) -> SysResult<()> {
        let changed = self.vmar.set_locked(range.start, range.end - range.start, locked);
        changed.map_err(|_| Errno::ENOMEM)
    }

    /// Locks or unlocks all that is mapped.
    pub fn set_all_locked(&self, locked: bool) {
        for mapping in self.vmar.mappings() {
            // It may have gone meanwhile.
            let _ = self.set_locked(mapping.range, locked);
        }
    }

    /// How many bytes are locked.
    pub fn locked_bytes(&self) -> u64 {
        self.vmar.locked_bytes(&self.vmar.range())
    }
}
