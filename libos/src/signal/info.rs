//! `siginfo_t`: what comes with a signal.
//!
//! The one idea: the struct is kept in the guest's own layout from the moment a signal is sent, so that delivery is a
//! copy; the constructors are the only places that know which union member lies where. See sigaction(2).

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::number::Signal;
use crate::errno::{Errno, SysResult};
use crate::process::Process;

/// The values of `si_code`.
#[allow(missing_docs, reason = "the names are those of sigaction(2)")]
pub mod code {
    pub const SI_USER: i32 = 0;
    pub const SI_KERNEL: i32 = 0x80;
    pub const SI_QUEUE: i32 = -1;
    pub const SI_TIMER: i32 = -2;
    pub const SI_MESGQ: i32 = -3;
    pub const SI_ASYNCIO: i32 = -4;
    pub const SI_SIGIO: i32 = -5;
    pub const SI_TKILL: i32 = -6;
    pub const SI_DETHREAD: i32 = -7;
    pub const SI_ASYNCNL: i32 = -60;

    pub const ILL_ILLOPC: i32 = 1;
    pub const ILL_ILLOPN: i32 = 2;
    pub const ILL_PRVOPC: i32 = 5;

    pub const FPE_INTDIV: i32 = 1;
    pub const FPE_INTOVF: i32 = 2;
    pub const FPE_FLTDIV: i32 = 3;
    pub const FPE_FLTOVF: i32 = 4;
    pub const FPE_FLTUND: i32 = 5;
    pub const FPE_FLTRES: i32 = 6;
    pub const FPE_FLTINV: i32 = 7;
    pub const FPE_FLTUNK: i32 = 14;

    pub const SEGV_MAPERR: i32 = 1;
    pub const SEGV_ACCERR: i32 = 2;
    pub const SEGV_BNDERR: i32 = 3;
    pub const SEGV_PKUERR: i32 = 4;

    pub const BUS_ADRALN: i32 = 1;
    pub const BUS_ADRERR: i32 = 2;
    pub const BUS_OBJERR: i32 = 3;

    pub const TRAP_BRKPT: i32 = 1;
    pub const TRAP_TRACE: i32 = 2;
    pub const TRAP_HWBKPT: i32 = 4;

    pub const CLD_EXITED: i32 = 1;
    pub const CLD_KILLED: i32 = 2;
    pub const CLD_DUMPED: i32 = 3;
    pub const CLD_TRAPPED: i32 = 4;
    pub const CLD_STOPPED: i32 = 5;
    pub const CLD_CONTINUED: i32 = 6;

    pub const SYS_SECCOMP: i32 = 1;
}

/// A `siginfo_t` of x86-64: 128 bytes.
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SigInfo {
    /// `si_signo`.
    pub signo: i32,
    /// `si_errno`, almost always 0.
    pub errno: i32,
    /// `si_code`: who sent it or why, see [`code`].
    pub code: i32,
    padding: i32,
    /// The union, in eight-byte words.
    fields: [u64; 14],
}

/// Words of the union that mean something: Linux keeps no more.
const KNOWN_FIELDS: usize = 4;
/// The highest codes of signals that have codes of their own (`NSIGILL` and the like).
const LAST_CODES: [(i32, i32); 8] =
    [(4, 11), (5, 6), (7, 5), (8, 15), (11, 10), (17, 6), (29, 6), (31, 2)];
/// The highest one of all others, which may be told of readiness (`NSIGPOLL`).
const LAST_CODE: i32 = 6;

/// Two ints beside each other, the first one lower in memory.
const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

impl SigInfo {
    const fn new(signal: Signal, code: i32) -> Self {
        Self { signo: signal.raw(), errno: 0, code, padding: 0, fields: [0; 14] }
    }

    const fn with(mut self, first: u64, second: u64) -> Self {
        self.fields[0] = first;
        self.fields[1] = second;
        self
    }

    /// What is kept of one that a guest has written, for signal `number`. `E2BIG` if it may mean more than is known here.
    pub(crate) fn checked(mut self, number: i32) -> SysResult<Self> {
        self.signo = number;
        let beyond = self.fields.get_mut(KNOWN_FIELDS..).unwrap_or_default();
        let has_more = beyond.iter().any(|&word| word != 0);
        beyond.fill(0);
        if has_more && !self.has_known_layout() { Err(Errno::E2BIG) } else { Ok(self) }
    }

    fn has_known_layout(&self) -> bool {
        let own = LAST_CODES.iter().find(|(number, _)| *number == self.signo);
        match self.code {
            code::SI_KERNEL | code::SI_ASYNCNL => true,
            1.. => self.code <= own.map_or(LAST_CODE, |(_, last)| *last),
            _ => self.code >= code::SI_DETHREAD,
        }
    }

    /// With another `si_uid`, if it has one.
    pub(crate) fn with_user(mut self, change: impl FnOnce(u32) -> u32) -> Self {
        let has_user = match self.code {
            code::SI_TIMER | code::SI_SIGIO => false,
            1.. => self.signo == Signal::SIGCHLD.raw() && self.code <= code::CLD_CONTINUED,
            _ => true,
        };
        if has_user {
            self.fields[0] = pair(self.pid(), change(self.uid()));
        }
        self
    }

    /// Sent by kill(2) of process `pid`, real user `uid`.
    pub const fn kill(signal: Signal, pid: u32, uid: u32) -> Self {
        Self::new(signal, code::SI_USER).with(pair(pid, uid), 0)
    }

    /// Sent by tkill(2) or tgkill(2).
    pub const fn tkill(signal: Signal, pid: u32, uid: u32) -> Self {
        Self::new(signal, code::SI_TKILL).with(pair(pid, uid), 0)
    }

    /// Sent to nobody: what a tracer is told of its tracee `pid` of user `uid`, which has stopped for `code`.
    pub(crate) const fn notice(signal: Signal, code: i32, pid: u32, uid: u32) -> Self {
        Self::new(signal, code).with(pair(pid, uid), 0)
    }

    /// Sent by the kernel with no more to say.
    pub const fn kernel(signal: Signal) -> Self {
        Self::new(signal, code::SI_KERNEL)
    }

    /// Sent by sigqueue(3) with `value`.
    pub const fn queue(signal: Signal, pid: u32, uid: u32, value: u64) -> Self {
        Self::new(signal, code::SI_QUEUE).with(pair(pid, uid), value)
    }

    /// Sent by the queue that process `pid` put a message into, for mq_notify(3) with `value`.
    pub const fn message(signal: Signal, pid: u32, uid: u32, value: u64) -> Self {
        Self::new(signal, code::SI_MESGQ).with(pair(pid, uid), value)
    }

    /// Descriptor `fd` is ready: `code` is `POLL_*`, `band` the bits of poll(2).
    pub const fn ready(signal: Signal, code: i32, band: u32, fd: i32) -> Self {
        Self::new(signal, code).with(band as u64, fd as u32 as u64)
    }

    /// Expiry of POSIX timer `timer`, which carries `value`.
    pub const fn timer(signal: Signal, timer: i32, overrun: i32, value: u64) -> Self {
        Self::new(signal, code::SI_TIMER).with(pair(timer as u32, overrun as u32), value)
    }

    /// Caused by an access or an instruction at `address`.
    pub const fn fault(signal: Signal, code: i32, address: u64) -> Self {
        Self::new(signal, code).with(address, 0)
    }

    /// A child changed state: `code` is `CLD_*`, `status` its exit status or the signal; times in clock ticks.
    pub const fn child(code: i32, pid: u32, uid: u32, status: i32, utime: u64, stime: u64) -> Self {
        let mut info = Self::new(Signal::SIGCHLD, code).with(pair(pid, uid), status as u32 as u64);
        info.fields[2] = utime;
        info.fields[3] = stime;
        info
    }

    /// The same information under another signal, as clone(2)'s exit signal needs.
    pub const fn with_signal(mut self, signal: Signal) -> Self {
        self.signo = signal.raw();
        self
    }

    /// The same, as `process` is told of a sender whom the kernel calls `pid`.
    pub(crate) fn seen_by(mut self, process: &Process) -> Self {
        self.fields[0] = pair(process.sees(self.pid().cast_signed()).cast_unsigned(), self.uid());
        self
    }

    /// The same, sent by nobody whom the receiver has a name for.
    pub(crate) const fn without_sender(mut self) -> Self {
        self.fields[0] = pair(0, self.uid());
        self
    }

    /// The signal, if the number is one (a guest may have written the struct).
    pub const fn signal(&self) -> Option<Signal> {
        Signal::from_raw(self.signo)
    }

    /// `si_addr` of a fault.
    pub const fn address(&self) -> u64 {
        self.fields[0]
    }

    /// `si_pid` of what a process sent.
    pub const fn pid(&self) -> u32 {
        self.fields[0] as u32
    }

    /// `si_uid` of what a process sent.
    pub const fn uid(&self) -> u32 {
        (self.fields[0] >> 32) as u32
    }

    /// `si_value` of sigqueue(3) and timers; the low half is `si_status` of a child.
    pub const fn value(&self) -> u64 {
        self.fields[1]
    }

    /// `si_timerid`; only for [`code::SI_TIMER`].
    pub const fn timer_id(&self) -> i32 {
        self.fields[0] as u32 as i32
    }

    /// `si_overrun`; only for [`code::SI_TIMER`].
    pub const fn overrun(&self) -> i32 {
        (self.fields[0] >> 32) as i32
    }

    /// `si_utime` and `si_stime` of a child, clock ticks.
    pub const fn child_times(&self) -> (u64, u64) {
        (self.fields[2], self.fields[3])
    }

    /// Counts `more` further expiries of a timer whose signal is still pending.
    pub(super) const fn add_overrun(&mut self, more: i32) {
        let overrun = self.overrun().saturating_add(more);
        self.fields[0] = pair(self.fields[0] as u32, overrun as u32);
    }

    /// Whether the kernel made it for what the thread itself did.
    pub const fn is_synchronous(&self) -> bool {
        self.code > code::SI_USER
    }
}

impl fmt::Debug for SigInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.signal() {
            Some(signal) => write!(f, "{signal}")?,
            None => write!(f, "signal {}", self.signo)?,
        }
        write!(f, " {{ code: {}, {:#x}, {:#x} }}", self.code, self.fields[0], self.fields[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_c_union_has_them() {
        let bytes = |info: SigInfo| info.as_bytes().to_vec();
        let queued = bytes(SigInfo::queue(Signal::SIGRTMIN, 7, 1000, 0x1122));
        assert_eq!(queued.len(), 128);
        assert_eq!(queued[0..4], 32i32.to_le_bytes());
        assert_eq!(queued[8..12], (-1i32).to_le_bytes());
        assert_eq!(queued[16..20], 7u32.to_le_bytes());
        assert_eq!(queued[20..24], 1000u32.to_le_bytes());
        assert_eq!(queued[24..32], 0x1122u64.to_le_bytes());
        let child = bytes(SigInfo::child(code::CLD_EXITED, 9, 0, 3, 4, 5));
        assert_eq!(child[24..28], 3i32.to_le_bytes());
        assert_eq!(child[32..40], 4u64.to_le_bytes());
        assert_eq!(child[40..48], 5u64.to_le_bytes());
    }

    #[test]
    fn overruns_add_up_beside_the_timer_id() {
        let mut info = SigInfo::timer(Signal::SIGALRM, 3, 0, 9);
        info.add_overrun(2);
        info.add_overrun(i32::MAX);
        assert_eq!((info.timer_id(), info.overrun(), info.value()), (3, i32::MAX, 9));
    }
}
