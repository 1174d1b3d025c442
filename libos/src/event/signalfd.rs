//! Signals as a file, signalfd(2).
//!
//! The one idea: a read takes pending signals of a set as rt_sigtimedwait(2) does; that they are blocked, so that nothing else takes them, is the guest's care.

use std::sync::Arc;

use kernel_objects::WaitQueue;
use parking_lot::Mutex;
use zerocopy::{FromZeros, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    process::PidNamespace,
    process::Thread,
    signal::{SigInfo, SigSet, info::code},
    vfs::{File, IoDst, PollEvents, Seeking},
};

/// `struct signalfd_siginfo`
#[derive(FromZeros, IntoBytes, Immutable)]
#[repr(C)]
struct Record {
    signo: u32,
    errno: i32,
    code: i32,
    pid: u32,
    uid: u32,
    fd: i32,
    tid: u32,
    band: u32,
    overrun: u32,
    trapno: u32,
    status: i32,
    int: i32,
    ptr: u64,
    utime: u64,
    stime: u64,
    addr: u64,
    addr_lsb: u16,
    padding: u16,
    syscall: i32,
    call_addr: u64,
    arch: u32,
    rest: [u8; 28],
}

impl Record {
    fn new(info: &SigInfo) -> Self {
        let mut record = Self::new_zeroed();
        record.signo = info.signo as u32;
        record.errno = info.errno;
        record.code = info.code;
        match info.code {
            code::SI_TIMER => {
                record.tid = info.timer_id() as u32;
                record.overrun = info.overrun() as u32;
                record.ptr = info.value();
                record.int = info.value() as i32;
            }
            code::SI_USER | code::SI_TKILL => {
                record.pid = info.pid();
                record.uid = info.uid();
            }
            code if code < 0 => {
                record.pid = info.pid();
                record.uid = info.uid();
                record.ptr = info.value();
                record.int = info.value() as i32;
            }
            _ if info.signal() == Some(crate::signal::Signal::SIGCHLD) => {
                record.pid = info.pid();
                record.uid = info.uid();
                record.status = info.value() as i32;
                (record.utime, record.stime) = info.child_times();
            }
            code::SI_KERNEL => {}
            _ => record.addr = info.address(),
        }
        record
    }
}

/// A signalfd. It shows the signals of the thread that made it and those of its process.
pub struct SignalFd {
    thread: Arc<Thread>,
    set: Mutex<SigSet>,
}

impl SignalFd {
    /// A file for the signals in `set` of `thread` and its process.
    pub fn new(thread: Arc<Thread>, set: SigSet) -> Self {
        let file = Self { thread, set: Mutex::default() };
        file.set(set);
        file
    }

    /// Changes which signals it is for.
    pub fn set(&self, set: SigSet) {
        *self.set.lock() = set.difference(SigSet::UNBLOCKABLE);
        self.thread.process.signals.arrivals.notify_all();
    }
}

impl File for SignalFd {
    fn transfers(&self) -> (bool, bool) {
        (true, false)
    }

    fn read(&self, _: u64, dst: &mut IoDst<'_>) -> SysResult {
        if dst.remaining() < size_of::<Record>() {
            return Err(Errno::EINVAL);
        }
        let set = *self.set.lock();
        let mut done = 0;
        while dst.remaining() >= size_of::<Record>() {
            let Some((_, info)) = self.thread.take_signal(set) else { break };
            done += dst.write(Record::new(&info).as_bytes())?;
        }
        if done == 0 { Err(Errno::EAGAIN) } else { Ok(done) }
    }

    fn poll(&self) -> PollEvents {
        let pending = self.thread.signals.pending().union(self.thread.process.signals.pending());
        match pending.intersection(*self.set.lock()).is_empty() {
            true => PollEvents::empty(),
            false => PollEvents::READABLE,
        }
    }

    fn seeking(&self) -> Seeking {
        Seeking::Idle
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.thread.process.signals.arrivals)
    }

    fn link_text(&self) -> Vec<u8> {
        b"anon_inode:[signalfd]".to_vec()
    }

    fn fdinfo(&self, _: &PidNamespace) -> String {
        format!("sigmask:\t{:016x}\n", self.set.lock().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Signal;

    #[test]
    fn a_record_has_128_bytes_and_the_sender_where_c_has_it() {
        let record = Record::new(&SigInfo::queue(Signal::SIGUSR1, 7, 8, 0x1_0000_0002));
        let bytes = record.as_bytes();
        assert_eq!(bytes.len(), 128);
        assert_eq!(bytes[12..16], 7_u32.to_ne_bytes());
        assert_eq!(bytes[44..48], 2_i32.to_ne_bytes());
        assert_eq!(bytes[48..56], 0x1_0000_0002_u64.to_ne_bytes());
    }
}
