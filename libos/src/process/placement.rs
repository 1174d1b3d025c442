//! Where the code of a process runs: in the kernel's own host process, or in one for itself.
//!
//! The one idea: a program begins where calls are fast, and leaves when it wants addresses that are not to be had there. It notices nothing: the
//! address space keeps what is mapped in it, at the same addresses.

use std::sync::{Arc, Weak};

use hal::aspace::Watcher;

use super::{ExitStatus, Process, Thread};
use crate::{config::Isolation, memory::UserMemory};

/// A flag of personality(2).
const ADDR_NO_RANDOMIZE: u32 = 0x004_0000;

impl Thread {
    /// Where the program is to run that the thread executes next. One that asks for Linux's own layout (`ADDR_NO_RANDOMIZE`, personality(2)) gets a process
    /// for itself, where everything has its usual place.
    pub(super) fn isolation_of_program(&self) -> Isolation {
        match self.process.kernel.isolation {
            Isolation::Auto if self.attributes.lock().personality & ADDR_NO_RANDOMIZE != 0 => {
                Isolation::Always
            }
            isolation => isolation,
        }
    }

    /// Gives the memory of the calling thread a host process for itself. False if that cannot be: others run there, or it is not allowed.
    pub(crate) fn isolate(&self) -> bool {
        // Whoever else has the memory may be running in it now.
        let alone = Arc::strong_count(&self.memory) == 1;
        if !alone || self.process.kernel.isolation != Isolation::Auto {
            return false;
        }
        let moved = self.memory.address_space().isolate();
        let moved = moved.inspect_err(|error| log::warn!("a process stays where it is: {error}"));
        self.process.watch_host(&self.memory);
        moved.is_ok()
    }
}

impl Process {
    /// Ends with the host process of `memory`, if that has one for itself.
    pub(super) fn watch_host(self: &Arc<Self>, memory: &UserMemory) {
        let watcher: Weak<dyn Watcher> = Arc::downgrade(self) as Weak<_>;
        memory.address_space().watch(watcher);
    }
}

impl Watcher for Process {
    /// Whoever has killed the host process that it runs in has killed it.
    fn lost(&self) {
        self.begin_exit(ExitStatus::KILLED);
    }
}
