//! What a process and its debugger tell each other: properties that the kernel only keeps.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::process::Process;
use crate::error::{Error, Result};

/// As the debug address: the loader is to stop once it has set the real one. `ZX_PROCESS_DEBUG_ADDR_BREAK_ON_SET`.
pub const DEBUG_ADDR_BREAK_ON_SET: u64 = 1;

/// Kept for a process.
#[derive(Debug, Default)]
pub(super) struct Properties {
    debug_addr: Mutex<u64>,
    break_on_load: AtomicU64,
    vdso_base: AtomicU64,
}

impl Process {
    /// Where its dynamic loader keeps its list of libraries; 0 if it has not said so (`ZX_PROP_PROCESS_DEBUG_ADDR`).
    pub fn debug_addr(&self) -> u64 {
        *self.properties.debug_addr.lock()
    }

    /// Says where its dynamic loader keeps its list of libraries, once (`ZX_PROP_PROCESS_DEBUG_ADDR`). Before,
    /// [`DEBUG_ADDR_BREAK_ON_SET`] may be set.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for 0, [`Error::AccessDenied`] if it has been said.
    pub fn set_debug_addr(&self, addr: u64) -> Result {
        if addr == 0 {
            return Err(Error::InvalidArgs);
        }
        let mut known = self.properties.debug_addr.lock();
        if *known != 0 && *known != DEBUG_ADDR_BREAK_ON_SET {
            return Err(Error::AccessDenied);
        }
        *known = addr;
        Ok(())
    }

    /// Where its dynamic loader stops whenever it has loaded a library, or not 0 if it is to; 0 if it does not
    /// (`ZX_PROP_PROCESS_BREAK_ON_LOAD`).
    pub fn break_on_load(&self) -> u64 {
        self.properties.break_on_load.load(Relaxed)
    }

    /// Has its dynamic loader stop whenever it has loaded a library, or not with 0 (`ZX_PROP_PROCESS_BREAK_ON_LOAD`).
    pub fn set_break_on_load(&self, addr: u64) {
        self.properties.break_on_load.store(addr, Relaxed);
    }

    /// Where its vDSO is mapped, 0 if it is not (`ZX_PROP_PROCESS_VDSO_BASE_ADDRESS`).
    pub fn vdso_base(&self) -> u64 {
        self.properties.vdso_base.load(Relaxed)
    }

    /// Notes where its vDSO is mapped, for whoever maps it.
    pub fn set_vdso_base(&self, addr: u64) {
        self.properties.vdso_base.store(addr, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::task::Job;

    fn process() -> Arc<Process> {
        Process::create(&Job::root(), "").unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_debug_address_is_said_once() {
        let process = process();
        assert_eq!(process.debug_addr(), 0);
        assert_eq!(process.set_debug_addr(0), Err(Error::InvalidArgs));
        assert_eq!(process.set_debug_addr(DEBUG_ADDR_BREAK_ON_SET), Ok(()));
        assert_eq!(process.debug_addr(), 1);
        assert_eq!(process.set_debug_addr(0x1000), Ok(()));
        assert_eq!(process.set_debug_addr(0x2000), Err(Error::AccessDenied));
        assert_eq!(process.debug_addr(), 0x1000);
    }

    #[test]
    fn the_others_are_kept() {
        let process = process();
        assert_eq!((process.break_on_load(), process.vdso_base()), (0, 0));
        process.set_break_on_load(0x10);
        process.set_vdso_base(0x20);
        assert_eq!((process.break_on_load(), process.vdso_base()), (0x10, 0x20));
        process.set_break_on_load(0);
        assert_eq!(process.break_on_load(), 0);
    }
}
