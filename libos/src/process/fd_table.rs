//! File descriptors: small integers that name open files.
//!
//! The one idea: the lowest free number is always the next one (POSIX), and a hint to it makes finding it cheap. The table is
//! shared by the threads of a process (`CLONE_FILES`) and copied by fork; the last thread that uses it closes what is open.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use hal::sync::BiasedRwLock;

use crate::{
    errno::{Errno, SysResult},
    syscall::argument::Fd,
    vfs::OpenFile,
};

/// No table is longer than this (`sysctl_nr_open`), whatever the limit: a guest must not make the kernel allocate for its largest number.
pub const NR_OPEN: u64 = 1 << 20;

/// What a descriptor names, with the flag that belongs to the descriptor and not to the open file.
#[derive(Clone)]
pub struct Descriptor {
    /// The open file description.
    pub file: Arc<OpenFile>,
    /// `FD_CLOEXEC`: closed by execve(2).
    pub close_on_exec: bool,
}

#[derive(Default, Clone)]
struct Slots {
    slots: Vec<Option<Descriptor>>,
    /// No slot below this one is free.
    free_hint: usize,
}

impl Slots {
    fn file(&self, fd: Fd) -> SysResult<&Arc<OpenFile>> {
        match usize::try_from(fd.0).ok().and_then(|slot| self.slots.get(slot)) {
            Some(Some(descriptor)) => Ok(&descriptor.file),
            _ => Err(Errno::EBADF),
        }
    }

    fn lowest_free(&self, from: usize) -> usize {
        let start = from.max(self.free_hint);
        (start..self.slots.len())
            .find(|&slot| self.slots[slot].is_none())
            .unwrap_or(start.max(self.slots.len()))
    }

    fn put(&mut self, slot: usize, descriptor: Descriptor) -> Option<Descriptor> {
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        if slot == self.free_hint {
            self.free_hint = slot + 1;
        }
        self.slots[slot].replace(descriptor)
    }

    fn take(&mut self, slot: usize) -> Option<Descriptor> {
        let taken = self.slots.get_mut(slot)?.take()?;
        self.free_hint = self.free_hint.min(slot);
        Some(taken)
    }
}

/// The descriptors of one process, or of several that share them.
///
/// All looks at it are [`BiasedRwLock::with`]: what a file does with the table held may be to look again, as those of /proc do.
#[derive(Default)]
pub struct FdTable {
    slots: BiasedRwLock<Slots>,
    /// How many threads use it.
    users: AtomicUsize,
}

impl FdTable {
    /// An empty table.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Makes looking descriptors up cheaper for the calling thread; see [`BiasedRwLock::favour`].
    pub fn favour(&self) {
        self.slots.favour();
    }

    /// The open file that `fd` names; `EBADF` also for one opened with `O_PATH`, which is good for few calls.
    pub fn get(&self, fd: Fd) -> SysResult<Arc<OpenFile>> {
        let file = self.get_any(fd)?;
        if file.is_path_only() { Err(Errno::EBADF) } else { Ok(file) }
    }

    /// As [`get`](Self::get), for the calls that take a file opened with `O_PATH`, too (open(2) lists them).
    pub fn get_any(&self, fd: Fd) -> SysResult<Arc<OpenFile>> {
        self.slots.with(|slots| slots.file(fd).cloned())
    }

    /// Calls `operation` with the open file that `fd` names, without counting a reference: for what takes no longer than
    /// that would. Nobody changes the table meanwhile. `EBADF`.
    pub fn with<T>(
        &self,
        fd: Fd,
        operation: impl FnOnce(&OpenFile) -> SysResult<T>,
    ) -> SysResult<T> {
        self.slots.with(|slots| operation(slots.file(fd)?))
    }

    /// The descriptor itself; `EBADF`.
    pub fn descriptor(&self, fd: Fd) -> SysResult<Descriptor> {
        let slot = usize::try_from(fd.0).map_err(|_| Errno::EBADF)?;
        self.slots.with(|slots| slots.slots.get(slot).cloned().flatten().ok_or(Errno::EBADF))
    }

    /// Gives `file` the lowest free number that is at least `from` and below `limit` (`RLIMIT_NOFILE`);
    /// `EMFILE` when there is none.
    pub fn insert(
        &self,
        file: Arc<OpenFile>,
        close_on_exec: bool,
        from: usize,
        limit: u64,
    ) -> SysResult<Fd> {
        let mut slots = self.slots.write();
        let slot = slots.lowest_free(from);
        if slot as u64 >= limit.min(NR_OPEN) {
            return Err(Errno::EMFILE);
        }
        slots.put(slot, Descriptor { file, close_on_exec });
        Ok(Fd(slot as i32))
    }

    /// `EMFILE` when no number below `limit` is free. Another thread may still take the last one.
    pub fn check_room(&self, limit: u64) -> SysResult<()> {
        let slot = self.slots.read().lowest_free(0);
        if slot as u64 >= limit { Err(Errno::EMFILE) } else { Ok(()) }
    }

    /// Makes `fd` name `file`, and returns what it named before; `EBADF` for a number that can not be one.
    pub fn replace(
        &self,
        fd: Fd,
        descriptor: Descriptor,
        limit: u64,
    ) -> SysResult<Option<Descriptor>> {
        let slot = usize::try_from(fd.0).map_err(|_| Errno::EBADF)?;
        if slot as u64 >= limit.min(NR_OPEN) {
            return Err(Errno::EBADF);
        }
        Ok(self.slots.write().put(slot, descriptor))
    }

    /// Frees `fd` and returns what it named; `EBADF`. The caller drops it outside the table's lock.
    pub fn remove(&self, fd: Fd) -> SysResult<Descriptor> {
        let slot = usize::try_from(fd.0).map_err(|_| Errno::EBADF)?;
        self.slots.write().take(slot).ok_or(Errno::EBADF)
    }

    /// Frees every descriptor in `first..=last` and returns what they named.
    pub fn remove_range(&self, first: u32, last: u32) -> Vec<Descriptor> {
        let mut slots = self.slots.write();
        let end = slots.slots.len().min((last as usize).saturating_add(1));
        (first as usize..end).filter_map(|slot| slots.take(slot)).collect()
    }

    /// Sets or clears the close-on-exec flag; `EBADF`.
    pub fn set_close_on_exec(&self, fd: Fd, value: bool) -> SysResult<()> {
        let slot = usize::try_from(fd.0).map_err(|_| Errno::EBADF)?;
        match self.slots.write().slots.get_mut(slot) {
            Some(Some(descriptor)) => {
                descriptor.close_on_exec = value;
                Ok(())
            }
            _ => Err(Errno::EBADF),
        }
    }

    /// Marks every descriptor in `first..=last` close-on-exec.
    pub fn set_close_on_exec_range(&self, first: u32, last: u32) {
        let mut slots = self.slots.write();
        let end = slots.slots.len().min((last as usize).saturating_add(1));
        for slot in first as usize..end {
            if let Some(descriptor) = &mut slots.slots[slot] {
                descriptor.close_on_exec = true;
            }
        }
    }

    /// Frees those that execve(2) closes and returns what they named.
    pub fn remove_close_on_exec(&self) -> Vec<Descriptor> {
        let mut slots = self.slots.write();
        let closing: Vec<usize> = slots
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.as_ref().is_some_and(|descriptor| descriptor.close_on_exec))
            .map(|(slot, _)| slot)
            .collect();
        closing.into_iter().filter_map(|slot| slots.take(slot)).collect()
    }

    /// A table with the same descriptors, as fork makes one.
    pub fn duplicate(&self) -> Arc<Self> {
        Arc::new(Self {
            slots: BiasedRwLock::new(self.slots.with(Slots::clone)),
            ..Self::default()
        })
    }

    /// One more thread uses it.
    pub(super) fn attach(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    /// A thread uses it no more. The last one frees all descriptors, whoever else may still look at the table.
    pub(super) fn detach(&self) {
        if self.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            let slots = std::mem::take(&mut *self.slots.write());
            drop(slots);
        }
    }

    /// Whether more than one thread uses it.
    pub(crate) fn is_shared(&self) -> bool {
        self.users.load(Ordering::Acquire) > 1
    }

    /// How many numbers the table has room for, which is as far as select(2) looks. Grows as Linux's does
    /// (`alloc_fdtable`): 64 at first, then 128 times a power of two.
    pub fn span(&self) -> usize {
        const FIRST: usize = 64;
        const STEP: usize = 128;
        match self.slots.with(|slots| slots.slots.len()) {
            ..=FIRST => FIRST,
            used => ((used - 1) / STEP + 1).next_power_of_two() * STEP,
        }
    }

    /// The numbers in use, ascending.
    pub fn numbers(&self) -> Vec<Fd> {
        self.slots.with(|slots| {
            let used = slots.slots.iter().enumerate().filter(|(_, slot)| slot.is_some());
            used.map(|(slot, _)| Fd(slot as i32)).collect()
        })
    }
}
