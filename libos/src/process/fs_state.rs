//! Where a thread is in the tree of names, and who it is there.
//!
//! The one idea: root, working directory and umask may be shared by processes (`CLONE_FS`), but credentials never are. Every call
//! looks at all of them and few change them, so each process has all in one place, and who changes what is shared changes it for all that
//! share it.

use std::{
    mem,
    sync::{Arc, Weak},
};

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{errno::SysResult, vfs::FsContext};

/// Those that share root, working directory and umask.
type Sharers = Mutex<Vec<Weak<FsState>>>;

/// Root, working directory, umask and credentials; threads of one process share all of it, processes what is no credential.
pub struct FsState {
    context: RwLock<FsContext>,
    sharers: Mutex<Option<Arc<Sharers>>>,
}

impl FsState {
    /// One that nobody shares.
    pub fn new(context: FsContext) -> Self {
        Self { context: RwLock::new(context), sharers: Mutex::default() }
    }

    /// Looks at it.
    pub fn read(&self) -> RwLockReadGuard<'_, FsContext> {
        self.context.read()
    }

    /// Looks at it where the caller may be looking already.
    pub fn read_recursive(&self) -> RwLockReadGuard<'_, FsContext> {
        self.context.read_recursive()
    }

    /// Changes the credentials.
    pub fn write(&self) -> RwLockWriteGuard<'_, FsContext> {
        self.context.write()
    }

    /// Changes root, working directory or umask, for all that share them.
    pub fn change<T>(&self, change: impl FnOnce(&mut FsContext) -> SysResult<T>) -> SysResult<T> {
        let sharers = self.sharers.lock().clone();
        let Some(sharers) = sharers else { return change(&mut self.context.write()) };
        // Held, so that all have the same in the end.
        let mut sharers = sharers.lock();
        let (result, changed) = {
            let mut context = self.context.write();
            (change(&mut context), context.clone())
        };
        sharers.retain(|sharer| sharer.strong_count() > 0);
        for other in sharers.iter().filter_map(Weak::upgrade) {
            if !std::ptr::eq(&*other, self) {
                let before = other.context.write().take_places(&changed);
                // What it kept alive goes without the lock.
                drop(before);
            }
        }
        result
    }

    /// Root, working directory and umask for process `pid`, which shares them, and a copy of the credentials.
    pub fn share(self: &Arc<Self>, pid: i32) -> Arc<Self> {
        let first = || Arc::new(Mutex::new(vec![Arc::downgrade(self)]));
        let sharers = self.sharers.lock().get_or_insert_with(first).clone();
        let mut all = sharers.lock();
        let context = FsContext { pid, ..self.context.read().clone() };
        let new = Arc::new(Self {
            context: RwLock::new(context),
            sharers: Mutex::new(Some(Arc::clone(&sharers))),
        });
        all.push(Arc::downgrade(&new));
        new
    }

    /// Shares with nobody any more: nobody uses it.
    pub fn leave(&self) {
        if let Some(sharers) = self.sharers.lock().take() {
            sharers.lock().retain(|sharer| !std::ptr::eq(sharer.as_ptr(), self));
        }
    }

    /// Whether another process shares it.
    pub fn is_shared(&self) -> bool {
        let sharers = self.sharers.lock().clone();
        sharers.is_some_and(|sharers| {
            sharers.lock().iter().filter(|sharer| sharer.strong_count() > 0).count() > 1
        })
    }

    /// What tells whether two share: the same for both if they do.
    pub fn identity(&self) -> usize {
        match &*self.sharers.lock() {
            Some(sharers) => Arc::as_ptr(sharers).addr(),
            None => std::ptr::from_ref(self).addr(),
        }
    }
}

impl FsContext {
    /// Takes over root, working directory, umask and the tree of mounts; what there was before.
    fn take_places(&mut self, from: &Self) -> Self {
        let (pid, cred) = (self.pid, Arc::clone(&self.cred));
        mem::replace(self, Self { pid, cred, ..from.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{Credentials, testing::World};

    #[test]
    fn what_one_changes_all_that_share_it_have_and_credentials_are_nobody_elses() {
        let world = World::new();
        world.mkdir("/d").unwrap();
        let first = Arc::new(FsState::new(world.ctx.clone()));
        let second = first.share(8);
        let third = second.share(9);
        let alone = FsState::new(world.ctx.clone());
        second.write().cred = Arc::new(Credentials::user(5, 5));
        let place = world.place("/d").unwrap();
        second
            .change(|context| {
                context.cwd = place.clone();
                Ok(())
            })
            .unwrap();
        for state in [&first, &second, &third] {
            assert!(state.read().cwd.same(&place));
            assert_eq!(state.identity(), first.identity());
        }
        let pids = [&first, &second, &third].map(|state| state.read().pid);
        assert_eq!(pids, [world.ctx.pid, 8, 9]);
        assert_eq!([&first, &second, &third].map(|state| state.read().cred.fsuid), [0, 5, 0]);
        assert!(!alone.read().cwd.same(&place) && alone.identity() != first.identity());
        drop((first, third));
        assert!(!second.is_shared());
    }
}
