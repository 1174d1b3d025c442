//! The queue of submissions.
//!
//! The one idea: entries are copied before anybody looks at them, and the guest's tail only says how many there are, never more than
//! there is room for.

use std::sync::Arc;

use zerocopy::IntoBytes;

use super::{
    entry::Sqe,
    layout::{Geometry, Shared, word},
};

/// The kernel's end of the queue.
pub(super) struct Submissions {
    rings: Arc<Shared>,
    sqes: Arc<Shared>,
    geometry: Geometry,
    head: u32,
}

impl Submissions {
    pub(super) fn new(rings: Arc<Shared>, sqes: Arc<Shared>, geometry: Geometry) -> Self {
        Self { rings, sqes, geometry, head: 0 }
    }

    /// How many there are to take.
    pub(super) fn pending(&self) -> u32 {
        let tail = self.rings.load(word::SQ_TAIL);
        tail.wrapping_sub(self.head).min(self.geometry.sq_entries)
    }

    /// Takes the next one, which has to be [there](Self::pending). `None` when the array names none: it is dropped, and counted.
    pub(super) fn take(&mut self) -> Option<Sqe> {
        let index = self.head;
        self.head = index.wrapping_add(1);
        let number = match self.geometry.array_slot(index) {
            Some(slot) => self.rings.load(slot),
            None => index & (self.geometry.sq_entries - 1),
        };
        if number >= self.geometry.sq_entries {
            self.rings.add(word::SQ_DROPPED, 1);
            return None;
        }
        let mut sqe = Sqe::default();
        self.sqes.read(self.geometry.sqe(number), sqe.as_mut_bytes());
        Some(sqe)
    }

    /// Tells the guest which ones were taken.
    pub(super) fn publish(&self) {
        self.rings.store(word::SQ_HEAD, self.head);
    }
}
