//! POSIX message queues, mq_overview(7): what one holds and who is told.
//!
//! The one idea: messages by priority and then by age, so many and so long as was said when the queue was made. The names and the
//! files of queues are a file system's ([`crate::vfs::mqueuefs`]).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Weak},
};

use hal::pmem::{Charge, PhysicalMemory};
use kernel_objects::WaitQueue;
use parking_lot::Mutex;

use crate::{
    errno::{Errno, SysResult},
    process::Process,
    signal::{SigInfo, Signal},
    vfs::PollEvents,
};

/// Priorities are below this (`MQ_PRIO_MAX`).
pub const MQ_PRIO_MAX: u32 = 32768;

/// How many messages a queue holds, and how long they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Messages.
    pub messages: u64,
    /// Bytes of each.
    pub bytes: u64,
}

/// What nobody has to ask for, which is also the most without privilege: /proc/sys/fs/mqueue.
pub const DEFAULT: Capacity = Capacity { messages: 10, bytes: 8192 };
/// The most with privilege (`HARD_MSGMAX`, `HARD_MSGSIZEMAX`).
const HARD: Capacity = Capacity { messages: 65536, bytes: 16 << 20 };

impl Capacity {
    /// `EINVAL` for nothing, or for more than there may be.
    pub fn check(self, privileged: bool) -> SysResult<()> {
        let most = if privileged { HARD } else { DEFAULT };
        let fits = |value: u64, most: u64| (1..=most).contains(&value);
        if fits(self.messages, most.messages) && fits(self.bytes, most.bytes) {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// The bytes that count against `RLIMIT_MSGQUEUE`: with what Linux keeps of each message and priority.
    pub fn charged(self) -> u64 {
        const MESSAGE: u64 = 48;
        const PRIORITY: u64 = 48;
        let priorities = self.messages.min(u64::from(MQ_PRIO_MAX));
        self.messages * (MESSAGE + self.bytes) + priorities * PRIORITY
    }
}

/// How a process wants to be told of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Not at all: it only keeps others from asking.
    None,
    /// By a signal with a value; no signal for the number 0.
    Signal(Option<Signal>, u64),
}

struct Request {
    process: Weak<Process>,
    notice: Notice,
}

struct State {
    messages: BTreeMap<u32, VecDeque<Vec<u8>>>,
    count: u64,
    bytes: u64,
    /// How many threads wait for a message.
    receivers: usize,
    request: Option<Request>,
}

/// A message queue.
pub struct MessageQueue {
    capacity: Capacity,
    state: Mutex<State>,
    changed: WaitQueue,
    _charge: Charge,
}

impl MessageQueue {
    /// An empty queue, all of whose messages are promised; `ENOMEM`.
    pub fn new(memory: &Arc<PhysicalMemory>, capacity: Capacity) -> SysResult<Self> {
        let charge = memory.charge(capacity.charged()).map_err(|_| Errno::ENOMEM)?;
        let state =
            State { messages: BTreeMap::new(), count: 0, bytes: 0, receivers: 0, request: None };
        Ok(Self { capacity, state: Mutex::new(state), changed: WaitQueue::new(), _charge: charge })
    }

    /// What it holds.
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// How many messages are in it.
    pub fn count(&self) -> u64 {
        self.state.lock().count
    }

    /// Notified when a try may end otherwise.
    pub fn changed(&self) -> &WaitQueue {
        &self.changed
    }

    /// Puts a message, which is left empty, behind those of its priority; `EAGAIN` when the queue is full. Who asked is told of the first
    /// one, unless somebody waits for it; `sender` is the process and its real user.
    pub fn send(&self, message: &mut Vec<u8>, priority: u32, sender: (u32, u32)) -> SysResult<()> {
        let mut state = self.state.lock();
        if state.count >= self.capacity.messages {
            return Err(Errno::EAGAIN);
        }
        state.count += 1;
        state.bytes += message.len() as u64;
        let message = std::mem::take(message);
        state.messages.entry(priority).or_default().push_back(message);
        let told =
            if state.count == 1 && state.receivers == 0 { state.request.take() } else { None };
        drop(state);
        self.changed.notify_all_for(PollEvents::READABLE.bits());
        if let Some(Request { process, notice: Notice::Signal(Some(signal), value) }) = told
            && let Some(process) = process.upgrade()
        {
            let (pid, user) = sender;
            let info = SigInfo::message(signal, pid, user, value);
            // Should its queue of signals be full, it is not told, as on Linux.
            let _ = process.send_signal(signal, info.seen_by(&process));
        }
        Ok(())
    }

    /// Takes the oldest message of the highest priority; `EAGAIN` when there is none.
    pub fn receive(&self) -> SysResult<(Vec<u8>, u32)> {
        let mut state = self.state.lock();
        let mut highest = state.messages.last_entry().ok_or(Errno::EAGAIN)?;
        let priority = *highest.key();
        let message = highest.get_mut().pop_front().ok_or(Errno::EAGAIN)?;
        if highest.get().is_empty() {
            highest.remove();
        }
        state.count -= 1;
        state.bytes -= message.len() as u64;
        drop(state);
        self.changed.notify_all_for(PollEvents::WRITABLE.bits());
        Ok((message, priority))
    }

    /// Until the result is dropped, a thread waits for a message.
    pub fn waiting(&self) -> Receiver<'_> {
        self.state.lock().receivers += 1;
        Receiver(self)
    }

    /// Has `process` told of the next message that comes into the empty queue; `EBUSY` when somebody is already.
    pub fn notify(&self, process: &Arc<Process>, notice: Notice) -> SysResult<()> {
        let mut state = self.state.lock();
        if asker(&state.request).is_some() {
            return Err(Errno::EBUSY);
        }
        state.request = Some(Request { process: Arc::downgrade(process), notice });
        Ok(())
    }

    /// `process` is not to be told any more.
    pub fn forget(&self, process: &Process) {
        let mut state = self.state.lock();
        if asker(&state.request).is_some_and(|asker| std::ptr::eq(&*asker, process)) {
            state.request = None;
        }
    }

    /// What could be done now.
    pub fn poll(&self) -> PollEvents {
        let count = self.count();
        let mut events = PollEvents::empty();
        events.set(PollEvents::READABLE, count > 0);
        events.set(PollEvents::WRITABLE, count < self.capacity.messages);
        events
    }

    /// What reading its file gives.
    pub fn describe(&self) -> String {
        const THREAD_OR_NONE: i32 = 1;
        let state = self.state.lock();
        let (pid, how, signal) = match (asker(&state.request), &state.request) {
            (Some(process), Some(Request { notice: Notice::Signal(signal, _), .. })) => {
                (process.pid, 0, signal.map_or(0, Signal::raw))
            }
            (Some(process), _) => (process.pid, THREAD_OR_NONE, 0),
            (None, _) => (0, 0, 0),
        };
        format!("QSIZE:{:<10} NOTIFY:{how:<5} SIGNO:{signal:<5} NOTIFY_PID:{pid:<6}\n", state.bytes)
    }
}

/// Who asked and has not ended.
fn asker(request: &Option<Request>) -> Option<Arc<Process>> {
    let process = request.as_ref()?.process.upgrade()?;
    process.exit_status().is_none().then_some(process)
}

/// A thread that waits for a message.
pub struct Receiver<'a>(&'a MessageQueue);

impl Drop for Receiver<'_> {
    fn drop(&mut self) {
        self.0.state.lock().receivers -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(messages: u64, bytes: u64) -> MessageQueue {
        let memory = PhysicalMemory::new(None).unwrap();
        MessageQueue::new(&memory, Capacity { messages, bytes }).unwrap()
    }

    fn send(queue: &MessageQueue, text: &[u8], priority: u32) -> SysResult<()> {
        queue.send(&mut text.to_vec(), priority, (1, 0))
    }

    #[test]
    fn the_oldest_of_the_highest_priority_comes_first() {
        let queue = queue(4, 8);
        for (text, priority) in [(&b"a"[..], 1), (b"b", 9), (b"c", 9), (b"d", 0)] {
            send(&queue, text, priority).unwrap();
        }
        assert_eq!(send(&queue, b"e", 3), Err(Errno::EAGAIN));
        assert_eq!((queue.poll(), queue.count()), (PollEvents::READABLE, 4));
        assert!(queue.describe().starts_with("QSIZE:4          NOTIFY:0 "));
        let taken: Vec<_> = (0..4).map(|_| queue.receive().unwrap()).collect();
        let texts: Vec<_> = taken.iter().map(|(text, priority)| (&text[..], *priority)).collect();
        assert_eq!(texts, [(&b"b"[..], 9), (b"c", 9), (b"a", 1), (b"d", 0)]);
        assert_eq!(
            (queue.receive().err(), queue.poll()),
            (Some(Errno::EAGAIN), PollEvents::WRITABLE)
        );
    }

    #[test]
    fn a_capacity_is_more_than_nothing_and_has_limits() {
        let check = |messages, bytes, privileged| Capacity { messages, bytes }.check(privileged);
        assert_eq!((check(10, 8192, false), check(65536, 16 << 20, true)), (Ok(()), Ok(())));
        let bad = [
            (0, 1, true),
            (1, 0, true),
            (11, 1, false),
            (1, 8193, false),
            (65537, 1, true),
            (u64::MAX, 1, true),
            (1, u64::MAX, true),
        ];
        for (messages, bytes, privileged) in bad {
            assert_eq!(check(messages, bytes, privileged), Err(Errno::EINVAL));
        }
        let memory = PhysicalMemory::new(Some(1 << 20)).unwrap();
        assert_eq!(MessageQueue::new(&memory, HARD).err(), Some(Errno::ENOMEM));
    }
}
