//! What a tracer is told of a stop's system call and of pending signals.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    process::{
        Thread,
        trace::{Call, Tracee, Why},
    },
    signal::SigInfo,
    syscall::argument::{UserAddr, UserPtr},
};

/// `PTRACE_SYSCALL_INFO_*`
const NONE: u8 = 0;
const ENTRY: u8 = 1;
const EXIT: u8 = 2;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

/// The beginning of `struct ptrace_syscall_info`.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Head {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    instruction_pointer: u64,
    stack_pointer: u64,
}

/// Stores as much of `bytes` as there is room for, and says how many there would be.
fn store(thread: &Thread, bytes: &[u8], size: u64, to: u64) -> SysResult<u64> {
    let fits = bytes.len().min(usize::try_from(size).unwrap_or(usize::MAX));
    thread.memory.write_bytes(to, bytes.get(..fits).unwrap_or(bytes))?;
    Ok(bytes.len() as u64)
}

/// `PTRACE_GET_SYSCALL_INFO`
pub(super) fn of_call(thread: &Thread, tracee: &Tracee, size: u64, to: u64) -> SysResult<u64> {
    let why = tracee.stop()?.why;
    let mut parked = tracee.parked()?;
    let regs = *parked.context.regs();
    let op = match why {
        Why::Call(Call::Entry) => ENTRY,
        Why::Call(Call::Exit) => EXIT,
        _ => NONE,
    };
    let head = Head {
        op,
        pad: [0; 3],
        arch: AUDIT_ARCH_X86_64,
        instruction_pointer: regs.rip,
        stack_pointer: regs.rsp,
    };
    let mut bytes = head.as_bytes().to_vec();
    match op {
        ENTRY => {
            let words = [parked.orig_rax, regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
            bytes.extend_from_slice(words.as_bytes());
        }
        EXIT => {
            bytes.extend_from_slice(&regs.rax.to_le_bytes());
            bytes.push(u8::from((regs.rax as i64) < 0 && (regs.rax as i64) >= -4095));
        }
        _ => {}
    }
    drop(parked);
    store(thread, &bytes, size, to)
}

/// `struct ptrace_peeksiginfo_args`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct PeekSignals {
    offset: u64,
    flags: u32,
    count: i32,
}

/// `PTRACE_PEEKSIGINFO_SHARED`
const SHARED: u32 = 1;

/// `PTRACE_PEEKSIGINFO`
pub(super) fn peek_signals(
    thread: &Thread,
    subject: &Thread,
    addr: u64,
    to: u64,
) -> SysResult<u64> {
    let wish = UserPtr::<PeekSignals>::new(addr).read(&thread.memory)?;
    if wish.flags & !SHARED != 0 || wish.count < 0 {
        return Err(Errno::EINVAL);
    }
    let pending = match wish.flags & SHARED {
        0 => subject.signals.pending_infos(),
        _ => subject.process.signals.pending_infos(),
    };
    let from = usize::try_from(wish.offset).unwrap_or(usize::MAX);
    let wanted = pending.iter().skip(from).take(wish.count as usize);
    let mut at = UserAddr(to);
    let mut done = 0;
    for info in wanted {
        match at.cast::<SigInfo>().write(&thread.memory, info) {
            Ok(()) => done += 1,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
        at = at.offset(size_of::<SigInfo>() as u64)?;
    }
    Ok(done)
}
