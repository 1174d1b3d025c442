//! Message queues, msgget(2) and msgrcv(2).
//!
//! The one idea: a queue is a list of messages with types, bounded by their bytes; a receiver takes the first one of the types that it
//! wants, and who has to wait tries again whenever the queue has changed.

use std::{collections::VecDeque, sync::Arc};

use hal::pmem::{Charge, PhysicalMemory};
use kernel_objects::WaitQueue;
use parking_lot::Mutex;

use super::{
    Caller, Object, Permission, now,
    permission::{READ, WRITE},
};
use crate::{
    errno::{Errno, SysResult},
    vfs::Capabilities,
};

/// The most queues (`MSGMNI`).
pub const MSGMNI: usize = 32000;
/// The most bytes of a message (`MSGMAX`).
pub const MSGMAX: usize = 8192;
/// The bytes that a new queue holds (`MSGMNB`), and the most that it may be set to hold without privilege.
pub const MSGMNB: u64 = 16384;

/// Cut a message short rather than refuse it.
pub const MSG_NOERROR: u32 = 0o10000;
/// Any type but the one that is given.
pub const MSG_EXCEPT: u32 = 0o20000;
/// Leave the message where it is; its place is given instead of its type.
pub const MSG_COPY: u32 = 0o40000;

/// A message.
pub struct Message {
    /// Its type, positive.
    pub kind: i64,
    /// What it says.
    pub bytes: Vec<u8>,
    _charge: Charge,
}

impl Message {
    /// Bytes of the kernel's memory that a message takes besides its text, about.
    const OVERHEAD: u64 = 64;

    /// A message; `ENOMEM`.
    pub fn new(memory: &Arc<PhysicalMemory>, kind: i64, bytes: Vec<u8>) -> SysResult<Self> {
        let charge = memory.charge(Self::OVERHEAD + bytes.len() as u64);
        Ok(Self { kind, bytes, _charge: charge.map_err(|_| Errno::ENOMEM)? })
    }
}

/// Which message a receiver wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The first.
    Any,
    /// The first of this type.
    Kind(i64),
    /// The first of another type.
    Except(i64),
    /// The first of the lowest type that is not above this.
    UpTo(i64),
    /// The one at this place.
    Place(i64),
}

impl Wanted {
    /// What `kind` and `flags` of msgrcv(2) mean.
    pub fn new(kind: i64, flags: u32) -> Self {
        match kind {
            place if flags & MSG_COPY != 0 => Self::Place(place),
            0 => Self::Any,
            kind if kind < 0 => Self::UpTo(kind.checked_neg().unwrap_or(i64::MAX)),
            kind if flags & MSG_EXCEPT != 0 => Self::Except(kind),
            kind => Self::Kind(kind),
        }
    }

    fn find(self, messages: &VecDeque<Message>) -> Option<usize> {
        let mut kinds = messages.iter().map(|message| message.kind);
        match self {
            Self::Any => kinds.position(|_| true),
            Self::Kind(wanted) => kinds.position(|kind| kind == wanted),
            Self::Except(unwanted) => kinds.position(|kind| kind != unwanted),
            Self::UpTo(most) => {
                let low = kinds.enumerate().filter(|&(_, kind)| kind <= most);
                low.min_by_key(|&(_, kind)| kind).map(|(place, _)| place)
            }
            Self::Place(place) => {
                usize::try_from(place).ok().filter(|&place| place < messages.len())
            }
        }
    }
}

/// What a queue tells of itself.
#[derive(Clone)]
pub struct Status {
    /// Who may use it.
    pub permission: Permission,
    /// Bytes in it.
    pub bytes: u64,
    /// Messages in it.
    pub count: u64,
    /// Bytes that it holds.
    pub capacity: u64,
    /// When something was sent last, 0 if never.
    pub sent: i64,
    /// When something was received last, 0 if never.
    pub received: i64,
    /// When it was made or changed.
    pub changed: i64,
    /// Who sent last.
    pub sender: i32,
    /// Who received last.
    pub receiver: i32,
}

struct State {
    status: Status,
    removed: bool,
    messages: VecDeque<Message>,
}

/// A message queue.
pub struct Queue {
    id: i32,
    state: Mutex<State>,
    changed: WaitQueue,
    _charge: Charge,
}

impl Object for Queue {
    const MAX: usize = MSGMNI;

    fn id(&self) -> i32 {
        self.id
    }

    fn with_permission<T>(&self, operation: impl FnOnce(&mut Permission) -> T) -> T {
        operation(&mut self.state.lock().status.permission)
    }
}

impl Queue {
    /// An empty queue; `ENOMEM`.
    pub fn new(memory: &Arc<PhysicalMemory>, id: i32, permission: Permission) -> SysResult<Self> {
        let charge = memory.charge(size_of::<Self>() as u64).map_err(|_| Errno::ENOMEM)?;
        let status = Status {
            permission,
            bytes: 0,
            count: 0,
            capacity: MSGMNB,
            sent: 0,
            received: 0,
            changed: now(),
            sender: 0,
            receiver: 0,
        };
        let state = State { status, removed: false, messages: VecDeque::new() };
        Ok(Self { id, state: Mutex::new(state), changed: WaitQueue::new(), _charge: charge })
    }

    /// Notified when a try may end otherwise.
    pub fn changed(&self) -> &WaitQueue {
        &self.changed
    }

    /// Puts `message` at the end, which leaves `None` there. `EAGAIN` when the queue is full, `EACCES`, `EIDRM`.
    pub fn send(&self, caller: &Caller, message: &mut Option<Message>) -> SysResult<()> {
        let mut state = self.state.lock();
        state.status.permission.check(caller, WRITE)?;
        if state.removed {
            return Err(Errno::EIDRM);
        }
        let len = message.as_ref().map_or(0, |message| message.bytes.len() as u64);
        let status = &mut state.status;
        if status.bytes + len > status.capacity || status.count + 1 > status.capacity {
            return Err(Errno::EAGAIN);
        }
        status.bytes += len;
        status.count += 1;
        (status.sent, status.sender) = (now(), caller.pid);
        state.messages.extend(message.take());
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Calls `operation` with the message that is `wanted`, after taking it out unless it is wanted by its place. `ENOMSG` when there is
    /// none; `E2BIG` when it has more than `room` bytes, and nothing happens then unless `flags` allow cutting it.
    ///
    /// `EACCES`, `EIDRM`; `EINVAL` for one to be copied that is too long.
    pub fn receive<T>(
        &self,
        caller: &Caller,
        wanted: Wanted,
        room: usize,
        flags: u32,
        operation: impl FnOnce(&Message) -> T,
    ) -> SysResult<T> {
        let mut state = self.state.lock();
        state.status.permission.check(caller, READ)?;
        if state.removed {
            return Err(Errno::EIDRM);
        }
        let place = wanted.find(&state.messages).ok_or(Errno::ENOMSG)?;
        let len = state.messages.get(place).map_or(0, |message| message.bytes.len());
        let copies = matches!(wanted, Wanted::Place(_));
        if len > room && flags & MSG_NOERROR == 0 {
            return Err(Errno::E2BIG);
        }
        if copies {
            if len > room {
                return Err(Errno::EINVAL);
            }
            return state.messages.get(place).map(operation).ok_or(Errno::ENOMSG);
        }
        let message = state.messages.remove(place).ok_or(Errno::ENOMSG)?;
        let status = &mut state.status;
        status.bytes -= len as u64;
        status.count -= 1;
        (status.received, status.receiver) = (now(), caller.pid);
        drop(state);
        self.changed.notify_all();
        Ok(operation(&message))
    }

    /// What it tells of itself.
    pub fn status(&self) -> Status {
        self.state.lock().status.clone()
    }

    /// `IPC_SET`, with how many bytes it holds: `EPERM` for more than usual without privilege.
    pub fn set(
        &self,
        caller: &Caller,
        uid: u32,
        gid: u32,
        mode: u32,
        capacity: u64,
    ) -> SysResult<()> {
        let mut state = self.state.lock();
        let status = &mut state.status;
        status.permission.check_owner(caller)?;
        if capacity > MSGMNB && !caller.cred.has(Capabilities::SYS_RESOURCE) {
            return Err(Errno::EPERM);
        }
        status.permission.set(uid, gid, mode)?;
        (status.capacity, status.changed) = (capacity, now());
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// `IPC_RMID`: who waits gets `EIDRM`. The caller takes it out of its table.
    pub fn remove(&self, caller: &Caller) -> SysResult<()> {
        let mut state = self.state.lock();
        state.status.permission.check_owner(caller)?;
        state.removed = true;
        state.messages.clear();
        drop(state);
        self.changed.notify_all();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::testing::{root, user};

    struct World(Arc<PhysicalMemory>, Queue);

    fn world() -> World {
        let memory = PhysicalMemory::new(None).unwrap();
        let queue = Queue::new(&memory, 0, Permission::new(0, 0o600, 0, &root(1))).unwrap();
        World(memory, queue)
    }

    impl World {
        fn send(&self, kind: i64, bytes: &[u8]) -> SysResult<()> {
            self.1.send(&root(2), &mut Some(Message::new(&self.0, kind, bytes.to_vec())?))
        }

        fn receive(&self, kind: i64, room: usize, flags: u32) -> SysResult<(i64, usize)> {
            let wanted = Wanted::new(kind, flags);
            self.1.receive(&root(3), wanted, room, flags, |message| {
                (message.kind, message.bytes.len())
            })
        }
    }

    #[test]
    fn a_receiver_takes_the_first_of_what_it_wants() {
        let world = world();
        for kind in [5, 3, 4, 3, 9] {
            world.send(kind, &[0; 10][..kind as usize]).unwrap();
        }
        assert_eq!(world.receive(7, 10, 0), Err(Errno::ENOMSG));
        assert_eq!(world.receive(4, 10, 0), Ok((4, 4)));
        assert_eq!(world.receive(-4, 10, 0), Ok((3, 3)));
        assert_eq!(world.receive(5, 10, MSG_EXCEPT), Ok((3, 3)));
        assert_eq!(world.receive(1, 10, MSG_COPY), Ok((9, 9)));
        assert_eq!(world.receive(2, 10, MSG_COPY), Err(Errno::ENOMSG));
        assert_eq!(world.receive(0, 10, 0), Ok((5, 5)));
        assert_eq!(world.receive(i64::MIN, 4, 0), Err(Errno::E2BIG));
        assert_eq!(world.receive(i64::MIN, 4, MSG_NOERROR), Ok((9, 9)));
        assert_eq!((world.1.status().bytes, world.1.status().count), (0, 0));
        assert_eq!((world.1.status().sender, world.1.status().receiver), (2, 3));
    }

    #[test]
    fn a_queue_holds_so_many_bytes_and_messages() {
        let world = world();
        world.1.set(&root(1), 0, 0, 0o600, 10).unwrap();
        assert_eq!(world.send(1, &[0; 11]), Err(Errno::EAGAIN));
        for _ in 0..10 {
            world.send(1, b"").unwrap();
        }
        assert_eq!(world.send(1, b""), Err(Errno::EAGAIN));
        let more = |caller| world.1.set(&caller, 7, 7, 0o600, MSGMNB + 1);
        assert_eq!(
            (more(user(7)), more(root(1)), more(user(7))),
            (Err(Errno::EPERM), Ok(()), Err(Errno::EPERM))
        );
        assert_eq!(world.1.set(&user(7), 7, 7, 0o600, MSGMNB), Ok(()));
        let charged = world.0.charged();
        world.1.remove(&user(7)).unwrap();
        assert!(world.0.charged() < charged);
        assert_eq!(world.send(1, b""), Err(Errno::EIDRM));
    }
}
