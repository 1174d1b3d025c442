//! Signals that tell that a file is ready: `O_ASYNC`, and what fcntl(2) calls a file's owner.
//!
//! The one idea: the file's queue calls an observer, which sends the owner what it was promised. Whom and what is kept with the open file,
//! and may be changed while it is watched.

use std::sync::{Arc, OnceLock, Weak};

use kernel_objects::wait_queue::{Observer, ObserverKey};
use linux_raw_sys::general as raw;
use parking_lot::Mutex;

use super::{SigInfo, Signal};
use crate::{
    errno::{Errno, SysResult},
    kernel::Kernel,
    process::{Process, Thread},
    vfs::{OpenFile, PollEvents},
};

/// Who is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// Nobody.
    #[default]
    Nobody,
    /// A thread.
    Thread(i32),
    /// A process.
    Process(i32),
    /// A process group.
    Group(i32),
}

/// What is sent, and to whom.
#[derive(Clone, Copy, Default)]
struct Promise {
    owner: Owner,
    /// The real and the effective user who named the owner, on whose behalf it is told.
    users: [u32; 2],
    /// `F_SETSIG`; `None` is SIGIO without details.
    signal: Option<Signal>,
    /// By which descriptor it is watched.
    fd: i32,
}

/// What is kept with an open file whose owner is to be told.
#[derive(Default)]
pub struct Readiness {
    promise: Mutex<Promise>,
    watching: Mutex<Option<ObserverKey>>,
    /// The owner is told of urgent data.
    urgent: OnceLock<()>,
}

impl Readiness {
    /// The owner.
    pub fn owner(&self) -> Owner {
        self.promise.lock().owner
    }

    /// The signal that is sent; `None` is SIGIO without details.
    pub fn signal(&self) -> Option<Signal> {
        self.promise.lock().signal
    }

    /// Changes the signal.
    pub fn set_signal(&self, signal: Option<Signal>) {
        self.promise.lock().signal = signal;
    }

    /// Ends what [`watch`] began.
    pub fn unwatch(&self, file: &OpenFile) {
        if let (Some(key), Some(queue)) = (self.watching.lock().take(), file.wait_queue()) {
            queue.unregister(key);
        }
    }
}

/// From now on the owner of `file`, which has descriptor `fd`, is told when it becomes ready, or no more. `ENOTTY` for a file that tells nobody.
pub fn watch(kernel: &Arc<Kernel>, file: &Arc<OpenFile>, fd: i32, on: bool) -> SysResult<()> {
    let queue = file
        .wait_queue()
        .filter(|_| file.special().is_some_and(|special| special.signals_readiness()));
    let queue = queue.ok_or(Errno::ENOTTY)?;
    let readiness = file.readiness();
    if !on {
        readiness.unwatch(file);
        return Ok(());
    }
    readiness.promise.lock().fd = fd;
    let mut watching = readiness.watching.lock();
    if watching.is_none() {
        let observer = Teller { kernel: Arc::downgrade(kernel), file: Arc::downgrade(file) };
        let events = PollEvents::READABLE | PollEvents::WRITABLE;
        *watching = Some(queue.register(events.bits(), Arc::new(observer)));
    }
    Ok(())
}

/// Changes the owner of `file` on behalf of `thread`. That of a socket is told of urgent data, whether it is told of anything else or not.
pub fn set_owner(thread: &Thread, file: &Arc<OpenFile>, owner: Owner) {
    let readiness = file.readiness();
    let users = thread.process.ids.lock().users;
    {
        let mut promise = readiness.promise.lock();
        (promise.owner, promise.users) = (owner, [users[0], users[1]]);
    }
    if let (Ok(_), Some(queue)) = (file.socket(), file.wait_queue())
        && readiness.urgent.set(()).is_ok()
    {
        let kernel = Arc::downgrade(&thread.process.kernel);
        let observer = UrgentTeller { kernel, file: Arc::downgrade(file) };
        let events = PollEvents::PRI | PollEvents::HUP;
        queue.register(events.bits(), Arc::new(observer));
    }
}

/// Tells of urgent data. It is with the socket's queue as long as there is the socket.
struct UrgentTeller {
    kernel: Weak<Kernel>,
    file: Weak<OpenFile>,
}

impl Observer for UrgentTeller {
    fn notify(&self, events: u32) -> bool {
        // When all has changed, a hang-up has too, and nothing urgent is new.
        let urgent = PollEvents::from_bits_truncate(events) == PollEvents::PRI;
        if urgent && let (Some(kernel), Some(file)) = (self.kernel.upgrade(), self.file.upgrade()) {
            let promise = *file.readiness().promise.lock();
            promise.tell(&kernel, Signal::SIGURG, SigInfo::kernel(Signal::SIGURG));
        }
        false
    }
}

struct Teller {
    kernel: Weak<Kernel>,
    file: Weak<OpenFile>,
}

impl Observer for Teller {
    fn notify(&self, events: u32) -> bool {
        if let (Some(kernel), Some(file)) = (self.kernel.upgrade(), self.file.upgrade()) {
            let ready = file.poll() & PollEvents::from_bits_truncate(events);
            let promise = *file.readiness().promise.lock();
            if !ready.is_empty() {
                promise.keep(&kernel, ready);
            }
        }
        false
    }
}

impl Promise {
    fn keep(&self, kernel: &Kernel, ready: PollEvents) {
        let (signal, info) = self.message(ready);
        self.tell(kernel, signal, info);
    }

    /// Sends a signal to the owner.
    fn tell(&self, kernel: &Kernel, signal: Signal, info: SigInfo) {
        // Should a queue of signals be full, Linux sends a plain SIGIO; that has room always.
        let send = |process: &Process, target: Option<&Thread>| {
            if !self.may_tell(process) {
                return;
            }
            let _ = match target {
                Some(thread) => thread.send_signal(signal, info),
                None => process.send_signal(signal, info),
            };
        };
        match self.owner {
            Owner::Nobody => {}
            Owner::Thread(tid) => {
                if let Some(thread) = kernel.pids.thread(tid) {
                    send(&thread.process, Some(&thread));
                }
            }
            Owner::Process(pid) => {
                if let Some(process) = kernel.pids.process(pid) {
                    send(&process, None);
                }
            }
            Owner::Group(group) => kernel.pids.group(group).iter().for_each(|one| send(one, None)),
        }
    }

    /// Whether whoever named the owner might send it a signal.
    fn may_tell(&self, process: &Process) -> bool {
        let theirs = process.ids.lock().users;
        let [real, effective] = self.users;
        effective == 0
            || [real, effective].iter().any(|&user| user == theirs[0] || user == theirs[2])
    }

    fn message(&self, ready: PollEvents) -> (Signal, SigInfo) {
        const POLL_IN: i32 = 1;
        const POLL_OUT: i32 = 2;
        let Some(signal) = self.signal else {
            return (Signal::SIGIO, SigInfo::kernel(Signal::SIGIO));
        };
        let (code, band) = if ready.intersects(PollEvents::READABLE) {
            (POLL_IN, PollEvents::READABLE)
        } else {
            (POLL_OUT, PollEvents::WRITABLE | PollEvents::WRBAND)
        };
        (signal, SigInfo::ready(signal, code, band.bits(), self.fd))
    }
}

/// The owner that `F_SETOWN` names by one number, negative for a group; `EINVAL`, `ESRCH`.
pub fn owner_from_number(process: &Process, number: i32) -> SysResult<Owner> {
    match number {
        0 => Ok(Owner::Nobody),
        i32::MIN => Err(Errno::EINVAL),
        group if group < 0 => existing(process, KIND_GROUP, -group),
        pid => existing(process, KIND_PROCESS, pid),
    }
}

/// The owner of a `struct f_owner_ex`; `EINVAL`, `ESRCH`.
pub fn owner_from_pair(process: &Process, [kind, number]: [i32; 2]) -> SysResult<Owner> {
    match kind {
        KIND_THREAD | KIND_PROCESS | KIND_GROUP if number == 0 => Ok(Owner::Nobody),
        KIND_THREAD | KIND_PROCESS | KIND_GROUP => existing(process, kind, number),
        _ => Err(Errno::EINVAL),
    }
}

const KIND_THREAD: i32 = raw::F_OWNER_TID as i32;
const KIND_PROCESS: i32 = raw::F_OWNER_PID as i32;
const KIND_GROUP: i32 = raw::F_OWNER_PGRP as i32;

impl Owner {
    /// What `F_GETOWN` tells `process`.
    pub fn number(self, process: &Process) -> i32 {
        match self {
            Self::Nobody => 0,
            Self::Thread(number) | Self::Process(number) => process.sees(number),
            Self::Group(group) => -process.sees(group),
        }
    }

    /// What `F_GETOWN_EX` tells `process`.
    pub fn pair(self, process: &Process) -> [i32; 2] {
        match self {
            Self::Nobody => [KIND_THREAD, 0],
            Self::Thread(tid) => [KIND_THREAD, process.sees(tid)],
            Self::Process(pid) => [KIND_PROCESS, process.sees(pid)],
            Self::Group(group) => [KIND_GROUP, process.sees(group)],
        }
    }
}

/// Who is a `kind` that `process` calls `number`; `ESRCH`.
fn existing(process: &Process, kind: i32, number: i32) -> SysResult<Owner> {
    let pids = &process.kernel.pids;
    let number = process.visible().meant(number)?;
    let (owner, exists) = match kind {
        KIND_THREAD => (Owner::Thread(number), pids.thread(number).is_some()),
        KIND_GROUP => (Owner::Group(number), !pids.group(number).is_empty()),
        _ => (Owner::Process(number), pids.process(number).is_some()),
    };
    if exists { Ok(owner) } else { Err(Errno::ESRCH) }
}
