//! How much has gone over the wire, as /proc/net/dev tells it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Frames of one direction.
#[derive(Default)]
pub struct Count {
    frames: AtomicU64,
    bytes: AtomicU64,
}

impl Count {
    pub(super) fn count(&self, bytes: usize) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How many frames, and how many bytes in them.
    pub fn get(&self) -> (u64, u64) {
        (self.frames.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// What has gone in both directions.
#[derive(Default)]
pub struct Traffic {
    /// From other machines.
    pub received: Count,
    /// To them.
    pub sent: Count,
}
