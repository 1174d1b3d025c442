//! Semaphore sets, semget(2) and semop(2).
//!
//! The one idea: several operations happen at once or not at all, so who has to wait leaves them with the set, and whoever changes it
//! carries out those that have become possible, in the order in which they came (Linux's `do_smart_update`).

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::channel::oneshot;
use hal::pmem::{Charge, PhysicalMemory};
use parking_lot::Mutex;

use super::{
    Caller, Object, Permission,
    flags::IPC_NOWAIT,
    now,
    permission::{READ, WRITE},
};
use crate::errno::{Errno, SysResult};

/// The most sets (`SEMMNI`).
pub const SEMMNI: usize = 32000;
/// The most semaphores of a set (`SEMMSL`).
pub const SEMMSL: usize = 32000;
/// The most semaphores of all sets (`SEMMNS`).
pub const SEMMNS: u64 = SEMMNI as u64 * SEMMSL as u64;
/// The most operations of a call (`SEMOPM`).
pub const SEMOPM: usize = 500;
/// The highest value (`SEMVMX`), and the most that may be owed at a process's end (`SEMAEM`).
pub const SEMVMX: i32 = 32767;

/// The flag of an operation that is taken back when the process ends.
pub const SEM_UNDO: u32 = 0x1000;

/// One operation: `struct sembuf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// On which semaphore of the set.
    pub number: u16,
    /// What to add; 0 waits until the value is 0.
    pub change: i16,
    /// `IPC_NOWAIT`, [`SEM_UNDO`].
    pub flags: u32,
}

#[derive(Clone, Copy, Default)]
struct Semaphore {
    value: i32,
    /// Who changed it last.
    pid: i32,
}

/// Operations that wait.
struct Sleeper {
    ticket: u64,
    pid: i32,
    operations: Arc<[Operation]>,
    /// Which of them could not be carried out.
    blocked: usize,
    done: oneshot::Sender<SysResult<()>>,
}

impl Sleeper {
    fn only_waits_for_zero(&self) -> bool {
        self.operations.iter().all(|operation| operation.change == 0)
    }
}

/// What an attempt ends with.
#[derive(Debug, PartialEq, Eq)]
enum Attempt {
    Done,
    /// The operation with this index has to wait.
    Blocked(usize),
}

struct State {
    permission: Permission,
    removed: bool,
    semaphores: Vec<Semaphore>,
    /// What each process's end adds.
    undo: HashMap<i32, Vec<i32>>,
    sleepers: Vec<Sleeper>,
    operated: i64,
    changed: i64,
    charge: Charge,
}

impl State {
    fn check_alive(&self) -> SysResult<()> {
        if self.removed { Err(Errno::EIDRM) } else { Ok(()) }
    }

    /// Carries out all of `operations` for process `pid`, or none. `ERANGE`.
    fn attempt(&mut self, operations: &[Operation], pid: i32) -> SysResult<Attempt> {
        for (index, operation) in operations.iter().enumerate() {
            let outcome = self.apply(operation, pid);
            if outcome != Ok(true) {
                for done in operations[..index].iter().rev() {
                    self.take_back(done, pid);
                }
                return outcome.map(|_| Attempt::Blocked(index));
            }
        }
        for operation in operations {
            if let Some(semaphore) = self.semaphores.get_mut(usize::from(operation.number)) {
                semaphore.pid = pid;
            }
        }
        self.operated = now();
        Ok(Attempt::Done)
    }

    /// Carries one operation out; false, with nothing done, when it has to wait.
    fn apply(&mut self, operation: &Operation, pid: i32) -> SysResult<bool> {
        let number = usize::from(operation.number);
        let semaphore = self.semaphores.get_mut(number).ok_or(Errno::EFBIG)?;
        let change = i32::from(operation.change);
        let value = semaphore.value + change;
        if change == 0 && semaphore.value != 0 || value < 0 {
            return Ok(false);
        }
        if value > SEMVMX {
            return Err(Errno::ERANGE);
        }
        if operation.flags & SEM_UNDO != 0
            && let Some(owed) = self.undo.get_mut(&pid).and_then(|owed| owed.get_mut(number))
        {
            let sum = *owed - change;
            if !(-SEMVMX - 1..=SEMVMX).contains(&sum) {
                return Err(Errno::ERANGE);
            }
            *owed = sum;
        }
        semaphore.value = value;
        Ok(true)
    }

    /// Undoes an [`apply`](Self::apply).
    fn take_back(&mut self, operation: &Operation, pid: i32) {
        let number = usize::from(operation.number);
        let change = i32::from(operation.change);
        if let Some(semaphore) = self.semaphores.get_mut(number) {
            semaphore.value -= change;
        }
        if operation.flags & SEM_UNDO != 0
            && let Some(owed) = self.undo.get_mut(&pid).and_then(|owed| owed.get_mut(number))
        {
            *owed += change;
        }
    }

    /// Room for what `pid` owes, if one of `operations` is to be taken back. `ENOMEM`.
    fn prepare_undo(&mut self, operations: &[Operation], pid: i32) -> SysResult<()> {
        let wanted = operations.iter().any(|operation| operation.flags & SEM_UNDO != 0);
        if wanted && !self.undo.contains_key(&pid) {
            let count = self.semaphores.len();
            let bytes = self.charge.bytes() + (count * size_of::<i32>()) as u64;
            self.charge.resize(bytes).map_err(|_| Errno::ENOMEM)?;
            self.undo.insert(pid, vec![0; count]);
        }
        Ok(())
    }

    /// Carries out what has become possible, until nothing has.
    fn update(&mut self) {
        loop {
            // Who waits for zero changes nothing, and must not miss it.
            self.finish(true);
            if !self.finish(false) {
                return;
            }
        }
    }

    /// Finishes all sleepers that only wait for zero and need no longer, or the others up to the first that changed something: whether
    /// one did.
    fn finish(&mut self, for_zero: bool) -> bool {
        let mut index = 0;
        while let Some(sleeper) = self.sleepers.get(index) {
            if sleeper.only_waits_for_zero() != for_zero {
                index += 1;
                continue;
            }
            let (operations, pid) = (Arc::clone(&sleeper.operations), sleeper.pid);
            let result = match self.attempt(&operations, pid) {
                Ok(Attempt::Done) => Ok(()),
                Ok(Attempt::Blocked(at)) if may_wait(&operations, at) => {
                    if let Some(sleeper) = self.sleepers.get_mut(index) {
                        sleeper.blocked = at;
                    }
                    index += 1;
                    continue;
                }
                Ok(Attempt::Blocked(_)) => Err(Errno::EAGAIN),
                Err(error) => Err(error),
            };
            // Who gave up meanwhile asks what came of it, or is no more.
            let _ = self.sleepers.remove(index).done.send(result);
            if !for_zero && result.is_ok() {
                return true;
            }
        }
        false
    }

    fn forget_owed(&mut self, number: usize) {
        for owed in self.undo.values_mut() {
            if let Some(owed) = owed.get_mut(number) {
                *owed = 0;
            }
        }
    }
}

/// Whether the operation that has to wait may.
fn may_wait(operations: &[Operation], at: usize) -> bool {
    operations.get(at).is_some_and(|operation| operation.flags & IPC_NOWAIT == 0)
}

static NEXT_TICKET: AtomicU64 = AtomicU64::new(0);

/// What a set tells of itself.
pub struct Status {
    /// Who may use it.
    pub permission: Permission,
    /// How many semaphores it has.
    pub count: usize,
    /// When it was operated on last, 0 if never.
    pub operated: i64,
    /// When it was made or changed.
    pub changed: i64,
}

/// A set of semaphores.
pub struct SemaphoreSet {
    id: i32,
    count: usize,
    state: Mutex<State>,
}

impl Object for SemaphoreSet {
    const MAX: usize = SEMMNI;

    fn id(&self) -> i32 {
        self.id
    }

    fn with_permission<T>(&self, operation: impl FnOnce(&mut Permission) -> T) -> T {
        operation(&mut self.state.lock().permission)
    }
}

/// What is read of one semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// `GETVAL`
    Value,
    /// `GETPID`
    Pid,
    /// `GETNCNT`: how many wait for it to grow.
    Growing,
    /// `GETZCNT`: how many wait for zero.
    Zero,
}

/// Operations that were left with a set, to be awaited.
pub struct Waiting {
    set: Arc<SemaphoreSet>,
    ticket: u64,
    done: oneshot::Receiver<SysResult<()>>,
}

impl Waiting {
    /// Waits until they were carried out or refused, or the set is gone, `EIDRM`.
    pub async fn finished(&mut self) -> SysResult<()> {
        (&mut self.done).await.unwrap_or(Err(Errno::EIDRM))
    }

    /// Gives up: what they ended with if they had, or else nothing was done.
    pub fn withdraw(mut self) -> Option<SysResult<()>> {
        let mut state = self.set.state.lock();
        let before = state.sleepers.len();
        state.sleepers.retain(|sleeper| sleeper.ticket != self.ticket);
        let was_asleep = state.sleepers.len() < before;
        drop(state);
        if was_asleep {
            None
        } else {
            Some(self.done.try_recv().ok().flatten().unwrap_or(Err(Errno::EIDRM)))
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // A thread that is killed leaves nothing behind.
        self.set.state.lock().sleepers.retain(|sleeper| sleeper.ticket != self.ticket);
    }
}

impl SemaphoreSet {
    /// A set of `count` semaphores with the value 0. `EINVAL` for none, `ENOMEM`.
    pub fn new(
        memory: &Arc<PhysicalMemory>,
        id: i32,
        permission: Permission,
        count: usize,
    ) -> SysResult<Self> {
        if count == 0 || count > SEMMSL {
            return Err(Errno::EINVAL);
        }
        let bytes = size_of::<Self>() + count * size_of::<Semaphore>();
        let charge = memory.charge(bytes as u64).map_err(|_| Errno::ENOMEM)?;
        let state = State {
            permission,
            removed: false,
            semaphores: vec![Semaphore::default(); count],
            undo: HashMap::new(),
            sleepers: Vec::new(),
            operated: 0,
            changed: now(),
            charge,
        };
        Ok(Self { id, count, state: Mutex::new(state) })
    }

    /// How many semaphores it has.
    pub fn count(&self) -> usize {
        self.count
    }

    /// semop(2): carries `operations` out, or leaves them with the set until they can be.
    ///
    /// `EFBIG` for a semaphore that is not there, `EACCES`, `EIDRM`, `ERANGE`, `ENOMEM`; `EAGAIN` when it would wait and may not.
    pub fn operate(
        self: &Arc<Self>,
        caller: &Caller,
        operations: &[Operation],
    ) -> SysResult<Option<Waiting>> {
        if operations.iter().any(|operation| usize::from(operation.number) >= self.count) {
            return Err(Errno::EFBIG);
        }
        let alters = operations.iter().any(|operation| operation.change != 0);
        let mut state = self.state.lock();
        state.permission.check(caller, if alters { WRITE } else { READ })?;
        state.check_alive()?;
        state.prepare_undo(operations, caller.pid)?;
        let blocked = match state.attempt(operations, caller.pid)? {
            Attempt::Done => {
                if alters {
                    state.update();
                }
                return Ok(None);
            }
            Attempt::Blocked(at) if may_wait(operations, at) => at,
            Attempt::Blocked(_) => return Err(Errno::EAGAIN),
        };
        let (done, finished) = oneshot::channel();
        let ticket = NEXT_TICKET.fetch_add(1, Ordering::Relaxed);
        let operations = operations.into();
        state.sleepers.push(Sleeper { ticket, pid: caller.pid, operations, blocked, done });
        Ok(Some(Waiting { set: Arc::clone(self), ticket, done: finished }))
    }

    /// What one semaphore is; `EACCES`, `EINVAL` for one that is not there, `EIDRM`.
    pub fn query(&self, caller: &Caller, number: i32, query: Query) -> SysResult<i32> {
        let state = self.state.lock();
        state.permission.check(caller, READ)?;
        state.check_alive()?;
        let number = usize::try_from(number).map_err(|_| Errno::EINVAL)?;
        let semaphore = state.semaphores.get(number).ok_or(Errno::EINVAL)?;
        let waiting = |zero: bool| {
            let blocked =
                state.sleepers.iter().filter_map(|sleeper| sleeper.operations.get(sleeper.blocked));
            let here = blocked.filter(|operation| usize::from(operation.number) == number);
            here.filter(|operation| (operation.change == 0) == zero).count() as i32
        };
        Ok(match query {
            Query::Value => semaphore.value,
            Query::Pid => semaphore.pid,
            Query::Growing => waiting(false),
            Query::Zero => waiting(true),
        })
    }

    /// All values (`GETALL`).
    pub fn values(&self, caller: &Caller) -> SysResult<Vec<u16>> {
        let state = self.state.lock();
        state.permission.check(caller, READ)?;
        state.check_alive()?;
        Ok(state.semaphores.iter().map(|semaphore| semaphore.value as u16).collect())
    }

    /// `EACCES` unless the caller may alter it.
    pub fn check_alterable(&self, caller: &Caller) -> SysResult<()> {
        self.state.lock().permission.check(caller, WRITE)
    }

    /// Sets all values (`SETALL`); nobody owes anything then. `ERANGE`.
    pub fn set_values(&self, caller: &Caller, values: &[u16]) -> SysResult<()> {
        let mut state = self.state.lock();
        state.permission.check(caller, WRITE)?;
        if values.iter().any(|&value| i32::from(value) > SEMVMX) {
            return Err(Errno::ERANGE);
        }
        state.check_alive()?;
        for (number, &value) in values.iter().enumerate() {
            state.set_value(number, i32::from(value), caller.pid);
        }
        state.changed = now();
        state.update();
        Ok(())
    }

    /// Sets one value (`SETVAL`); nobody owes it anything then. `EINVAL` for one that is not there.
    pub fn set_value(&self, caller: &Caller, number: i32, value: i32) -> SysResult<()> {
        let mut state = self.state.lock();
        let number = usize::try_from(number).ok().filter(|&number| number < self.count);
        let number = number.ok_or(Errno::EINVAL)?;
        state.permission.check(caller, WRITE)?;
        state.check_alive()?;
        state.set_value(number, value, caller.pid);
        state.changed = now();
        state.update();
        Ok(())
    }

    /// What it tells of itself.
    pub fn status(&self) -> Status {
        let state = self.state.lock();
        Status {
            permission: state.permission.clone(),
            count: self.count,
            operated: state.operated,
            changed: state.changed,
        }
    }

    /// `IPC_SET`.
    pub fn set(&self, caller: &Caller, uid: u32, gid: u32, mode: u32) -> SysResult<()> {
        let mut state = self.state.lock();
        state.permission.check_owner(caller)?;
        state.permission.set(uid, gid, mode)?;
        state.changed = now();
        Ok(())
    }

    /// `IPC_RMID`: who waits gets `EIDRM`. The caller takes it out of its table.
    pub fn remove(&self, caller: &Caller) -> SysResult<()> {
        let mut state = self.state.lock();
        state.permission.check_owner(caller)?;
        state.removed = true;
        for sleeper in std::mem::take(&mut state.sleepers) {
            let _ = sleeper.done.send(Err(Errno::EIDRM));
        }
        Ok(())
    }

    /// Process `pid` has ended: what it owes is added, as far as a value can take it.
    pub fn exited(&self, pid: i32) {
        let mut state = self.state.lock();
        let Some(owed) = state.undo.remove(&pid) else { return };
        let bytes = state.charge.bytes().saturating_sub((owed.len() * size_of::<i32>()) as u64);
        // Becoming smaller cannot fail.
        let _ = state.charge.resize(bytes);
        for (semaphore, owed) in state.semaphores.iter_mut().zip(owed) {
            if owed != 0 {
                semaphore.value = (semaphore.value + owed).clamp(0, SEMVMX);
                semaphore.pid = pid;
            }
        }
        state.operated = now();
        state.update();
    }
}

impl State {
    fn set_value(&mut self, number: usize, value: i32, pid: i32) {
        if let Some(semaphore) = self.semaphores.get_mut(number) {
            *semaphore = Semaphore { value, pid };
        }
        self.forget_owed(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::testing::{root, user};

    fn set(count: usize) -> Arc<SemaphoreSet> {
        let memory = PhysicalMemory::new(None).unwrap();
        let permission = Permission::new(0, 0o600, 0, &root(1));
        Arc::new(SemaphoreSet::new(&memory, 0, permission, count).unwrap())
    }

    fn operation(number: u16, change: i16, flags: u32) -> Operation {
        Operation { number, change, flags }
    }

    fn values(set: &SemaphoreSet) -> Vec<u16> {
        set.values(&root(1)).unwrap()
    }

    fn operate(set: &Arc<SemaphoreSet>, pid: i32, operations: &[Operation]) -> Option<Waiting> {
        set.operate(&root(pid), operations).unwrap()
    }

    #[test]
    fn all_operations_happen_or_none() {
        let set = set(2);
        let refused = set.operate(&root(1), &[operation(0, 3, 0), operation(1, -1, IPC_NOWAIT)]);
        assert_eq!(refused.err(), Some(Errno::EAGAIN));
        assert_eq!(values(&set), [0, 0]);
        let too_much = [operation(0, i16::MAX, 0), operation(0, 1, 0)];
        assert_eq!(set.operate(&root(1), &too_much).err(), Some(Errno::ERANGE));
        assert_eq!(values(&set), [0, 0]);
        assert!(operate(&set, 1, &[operation(0, 3, 0), operation(0, -2, 0)]).is_none());
        assert_eq!(values(&set), [1, 0]);
        assert_eq!(set.operate(&root(1), &[operation(2, 1, 0)]).err(), Some(Errno::EFBIG));
        assert_eq!(set.operate(&user(1), &[operation(0, 1, 0)]).err(), Some(Errno::EACCES));
    }

    #[test]
    fn who_waits_is_served_in_order_as_soon_as_it_can_be() {
        let set = set(2);
        let first = operate(&set, 2, &[operation(0, -2, 0)]).unwrap();
        let second = operate(&set, 3, &[operation(0, -1, 0), operation(1, 1, 0)]).unwrap();
        let zero = operate(&set, 4, &[operation(1, -1, 0), operation(0, 0, 0)]).unwrap();
        let query = |number, query| set.query(&root(1), number, query);
        assert_eq!((query(0, Query::Growing), query(1, Query::Growing)), (Ok(2), Ok(1)));
        assert!(operate(&set, 1, &[operation(0, 1, 0)]).is_none());
        assert_eq!(values(&set), [0, 0], "the second took it, and the third what that gave");
        assert_eq!((second.withdraw(), zero.withdraw()), (Some(Ok(())), Some(Ok(()))));
        assert_eq!((query(1, Query::Pid), query(0, Query::Growing)), (Ok(4), Ok(1)));
        assert_eq!(first.withdraw(), None);
        assert_eq!(query(0, Query::Growing), Ok(0));
    }

    #[test]
    fn who_waits_for_zero_sees_it_before_the_next_takes_it_away() {
        let set = set(1);
        set.set_value(&root(1), 0, 1).unwrap();
        let zero = operate(&set, 2, &[operation(0, 0, 0)]).unwrap();
        let more = operate(&set, 3, &[operation(0, 0, 0), operation(0, 5, 0)]).unwrap();
        assert_eq!(set.query(&root(1), 0, Query::Zero), Ok(2));
        assert!(operate(&set, 1, &[operation(0, -1, 0)]).is_none());
        assert_eq!((zero.withdraw(), more.withdraw()), (Some(Ok(())), Some(Ok(()))));
        assert_eq!(values(&set), [5]);
    }

    #[test]
    fn the_end_of_a_process_takes_back_what_it_did() {
        let set = set(2);
        let changes = [operation(0, 7, 0), operation(0, -3, SEM_UNDO), operation(1, 2, SEM_UNDO)];
        assert!(operate(&set, 5, &changes).is_none());
        assert_eq!(values(&set), [4, 2]);
        assert!(operate(&set, 1, &[operation(1, -1, 0)]).is_none());
        let waits = operate(&set, 6, &[operation(0, -7, SEM_UNDO)]).unwrap();
        set.exited(5);
        assert_eq!(waits.withdraw(), Some(Ok(())));
        assert_eq!(values(&set), [0, 0], "no lower than 0");
        set.set_value(&root(1), 0, 9).unwrap();
        set.exited(6);
        assert_eq!(values(&set), [9, 0], "what was set is owed nothing");
    }

    #[test]
    fn what_is_owed_has_a_limit() {
        let set = set(1);
        let all = i16::MAX;
        assert!(operate(&set, 1, &[operation(0, all, SEM_UNDO)]).is_none());
        assert!(operate(&set, 1, &[operation(0, -all, 0)]).is_none());
        assert!(operate(&set, 1, &[operation(0, 1, SEM_UNDO)]).is_none());
        let more = set.operate(&root(1), &[operation(0, 1, SEM_UNDO)]);
        assert_eq!(more.err(), Some(Errno::ERANGE));
        assert_eq!(values(&set), [1]);
    }

    #[test]
    fn a_removed_set_wakes_who_waits() {
        let set = set(1);
        let mut waits = operate(&set, 2, &[operation(0, -1, 0)]).unwrap();
        assert_eq!(set.remove(&user(7)), Err(Errno::EPERM));
        set.remove(&root(1)).unwrap();
        assert_eq!(hal::cpu::block_on(waits.finished()), Err(Errno::EIDRM));
        assert_eq!(set.values(&root(1)).err(), Some(Errno::EIDRM));
    }
}
