//! The memory of a fork's child.

use std::sync::Arc;

use hal::aspace::AddressSpace;
use parking_lot::{Mutex, RwLock};

use super::UserMemory;
use crate::{
    errno::{Errno, SysResult},
    signal::restorer::Restorer,
};

impl UserMemory {
    /// A copy of all of it, at the same addresses, and so isolated; `ENOMEM`.
    pub fn fork(&self) -> SysResult<Arc<Self>> {
        let window = Some(self.space.window());
        let space = AddressSpace::new_isolated(self.space.memory(), window);
        let space = space.map_err(|_| Errno::ENOMEM)?;
        let vmar = self.vmar.fork(&space).map_err(|_| Errno::ENOMEM)?;
        Ok(Arc::new(Self {
            vmar,
            space,
            heap: Mutex::new(self.heap.lock().clone()),
            image: RwLock::new(self.image()),
            program: Mutex::new(self.program.lock().clone()),
            restorer: Restorer::default(),
        }))
    }
}
