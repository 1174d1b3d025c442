//! The memory of a fork's child.

use std::sync::{Arc, atomic::AtomicBool};

use parking_lot::{Mutex, RwLock};

use super::UserMemory;
use crate::{
    config::Isolation,
    errno::{Errno, SysResult},
    event::aio::Contexts,
    signal::restorer::Restorer,
};

impl UserMemory {
    /// A copy of all of it, at the same addresses, and so isolated; `ENOSYS` when nothing may be, `ENOMEM`.
    pub fn fork(&self, isolation: Isolation) -> SysResult<Arc<Self>> {
        if isolation == Isolation::Never {
            return Err(Errno::ENOSYS);
        }
        let space = self.space.new_copy().map_err(|_| Errno::ENOMEM)?;
        let vmar = self.vmar.fork(&space).map_err(|_| Errno::ENOMEM)?;
        Ok(Arc::new(Self {
            vmar,
            space,
            heap: Mutex::new(self.heap.lock().clone()),
            image: RwLock::new(self.image()),
            resident: Mutex::default(),
            program: Mutex::new(self.program.lock().clone()),
            restorer: Restorer::default(),
            locks_new: super::locked::LocksNew::default(),
            clashed: AtomicBool::new(false),
            // What is under way is the parent's.
            aio: Contexts::default(),
        }))
    }
}
