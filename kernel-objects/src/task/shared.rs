//! Processes that share their memory with others, and have some of their own beside it.
//!
//! The one idea: nothing is split. Such processes have the same root VMAR, which lives as long as one of them, and each has a second one
//! that nobody else has: the *restricted* one, where its threads run what they supervise.

use std::sync::{Arc, Weak};

use super::process::Process;
use crate::{
    error::{Error, Result},
    vmar::Vmar,
};

/// What a process has that shares its memory.
#[derive(Default)]
pub(super) struct Shared {
    /// The root VMAR, for the next process to share.
    root: Option<Weak<Vmar>>,
    /// Until the end.
    pub(super) restricted: Option<Arc<Vmar>>,
}

impl Process {
    /// Lets other processes share its root VMAR, and gives it `restricted` for itself (`zx_process_create`, `ZX_PROCESS_SHARED`).
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it has no root VMAR, or a restricted one already.
    pub fn share(&self, restricted: Arc<Vmar>) -> Result {
        let mut inner = self.inner.lock();
        let root = inner.vmar.as_ref().map(Arc::downgrade);
        if root.is_none() || inner.shared.root.is_some() {
            return Err(Error::BadState);
        }
        inner.shared = Shared { root, restricted: Some(restricted) };
        Ok(())
    }

    /// A process of the same job that has the same root VMAR, and `restricted` for itself (`zx_process_create_shared`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if this one does not [share](Self::share); [`Error::BadState`] if what is shared has gone with the last
    /// process that had it, or the job has been killed.
    pub fn create_shared(&self, name: &str, restricted: Arc<Vmar>) -> Result<Arc<Process>> {
        let root = self.inner.lock().shared.root.clone().ok_or(Error::InvalidArgs)?;
        let root = root.upgrade().ok_or(Error::BadState)?;
        let process = Process::create(self.job(), name)?;
        process.set_root_vmar(root)?;
        process.share(restricted)?;
        Ok(process)
    }

    /// The memory that it has for itself, until it ends, if it shares the other.
    pub fn restricted_vmar(&self) -> Option<Arc<Vmar>> {
        self.inner.lock().shared.restricted.clone()
    }
}

#[cfg(test)]
mod tests {
    use hal::{aspace::AddressSpace, pmem::PhysicalMemory};

    use super::*;
    use crate::{object::KernelObject, task::Job};

    fn vmar(memory: &Arc<PhysicalMemory>) -> Arc<Vmar> {
        Vmar::create_root(&AddressSpace::new(memory).unwrap()).unwrap()
    }

    #[test]
    fn processes_share_their_root_and_nothing_else() {
        let memory = PhysicalMemory::new(None).unwrap();
        let job = Job::root();
        let first = Process::create(&job, "first").unwrap();
        assert_eq!(first.share(vmar(&memory)), Err(Error::BadState), "it has nothing to share");
        assert_eq!(first.create_shared("", vmar(&memory)).err(), Some(Error::InvalidArgs));
        first.set_root_vmar(vmar(&memory)).unwrap();
        let own = vmar(&memory);
        assert!(first.restricted_vmar().is_none());
        assert_eq!(first.share(own.clone()), Ok(()));
        assert_eq!(first.share(own.clone()), Err(Error::BadState));
        let second = first.create_shared("second", vmar(&memory)).unwrap();
        assert_eq!((second.name().as_str(), second.job().koid()), ("second", job.koid()));
        let root = |process: &Process| process.root_vmar().map(|vmar| vmar.koid());
        assert_eq!(root(&second), root(&first));
        let restricted = |process: &Process| process.restricted_vmar().map(|vmar| vmar.koid());
        assert_eq!(restricted(&first), Some(own.koid()));
        assert_ne!(restricted(&second), restricted(&first));
    }

    #[test]
    fn what_is_shared_goes_with_the_last_who_had_it() {
        let memory = PhysicalMemory::new(None).unwrap();
        let job = Job::root();
        let first = Process::create(&job, "").unwrap();
        first.set_root_vmar(vmar(&memory)).unwrap();
        first.share(vmar(&memory)).unwrap();
        let second = first.create_shared("", vmar(&memory)).unwrap();
        first.kill();
        assert!(first.restricted_vmar().is_none() && first.root_vmar().is_none());
        let third = first.create_shared("", vmar(&memory)).unwrap();
        assert_eq!(third.root_vmar().map(|vmar| vmar.koid()), second.root_vmar().map(|v| v.koid()));
        third.kill();
        second.kill();
        assert_eq!(first.create_shared("", vmar(&memory)).err(), Some(Error::BadState));
        let process = Process::create(&job, "").unwrap();
        process.set_root_vmar(vmar(&memory)).unwrap();
        process.share(vmar(&memory)).unwrap();
        job.kill();
        assert_eq!(process.create_shared("", vmar(&memory)).err(), Some(Error::BadState));
    }
}
