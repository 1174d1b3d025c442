//! What keeps a region's memory.

use alloc::sync::Arc;
use core::{any::Any, fmt};

/// A share in whatever keeps a region's memory: a mapping, an allocation, or what a caller brings. The memory goes away with
/// the last of them.
#[derive(Clone)]
pub struct Keeper(Arc<dyn Any + Send + Sync>);

impl Keeper {
    /// One that drops `memory` in the end.
    pub fn new(memory: impl Any + Send + Sync) -> Self {
        Keeper(Arc::new(memory))
    }
}

#[cfg(feature = "std")]
impl Keeper {
    /// Whether this is the only share, and nobody else can make another one meanwhile.
    pub(super) fn is_alone(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some()
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keeper").field(&Arc::strong_count(&self.0)).finish()
    }
}
