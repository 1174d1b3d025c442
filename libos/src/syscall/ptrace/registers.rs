//! A tracee's registers in Linux's layouts: `struct user_regs_struct`, `struct user`, the sets of elf.h.

use hal::context::{GeneralRegs, UserContext};
use linux_raw_sys::ptrace as raw;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::request;
use crate::{
    errno::{Errno, SysResult},
    process::{
        Thread,
        trace::{Parked, Tracee},
    },
    signal::{LEGACY_XSTATE, MAGIC2_SIZE, SOFTWARE_WORDS},
    syscall::{argument::UserPtr, io::IoVec},
};

/// The selectors that every 64-bit program has.
const USER_CODE: u64 = 0x33;
const USER_DATA: u64 = 0x2b;

/// `struct user_regs_struct`
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct UserRegs {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    rbp: u64,
    rbx: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rax: u64,
    rcx: u64,
    rdx: u64,
    rsi: u64,
    rdi: u64,
    orig_rax: u64,
    rip: u64,
    cs: u64,
    eflags: u64,
    rsp: u64,
    ss: u64,
    fs_base: u64,
    gs_base: u64,
    ds: u64,
    es: u64,
    fs: u64,
    gs: u64,
}

/// Flags that a tracer may change: carry, parity, adjust, zero, sign, trap, direction, overflow, nested task, resume, alignment check.
const USER_FLAGS: u64 = 0x5_4dd5;

impl UserRegs {
    pub(crate) fn of(parked: &mut Parked) -> Self {
        let fs_base = parked.context.fs_base();
        let regs = parked.context.regs();
        Self {
            r15: regs.r15,
            r14: regs.r14,
            r13: regs.r13,
            r12: regs.r12,
            rbp: regs.rbp,
            rbx: regs.rbx,
            r11: regs.r11,
            r10: regs.r10,
            r9: regs.r9,
            r8: regs.r8,
            rax: regs.rax,
            rcx: regs.rcx,
            rdx: regs.rdx,
            rsi: regs.rsi,
            rdi: regs.rdi,
            orig_rax: parked.orig_rax,
            rip: regs.rip,
            cs: USER_CODE,
            eflags: regs.rflags,
            rsp: regs.rsp,
            ss: USER_DATA,
            fs_base,
            gs_base: 0,
            ds: 0,
            es: 0,
            fs: 0,
            gs: 0,
        }
    }

    /// As the structure lies in memory.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    /// Makes them the registers of `parked`. `EIO` for selectors and bases that no program may have.
    fn set(&self, parked: &mut Parked) -> SysResult<()> {
        let selectors = [self.ds, self.es, self.fs, self.gs];
        if self.cs & 3 != 3 || self.ss & 3 != 3 || self.gs_base != 0 {
            return Err(Errno::EIO);
        }
        if selectors.iter().any(|selector| *selector != 0 && selector & 3 != 3) {
            return Err(Errno::EIO);
        }
        if !parked.context.set_fs_base(self.fs_base) {
            return Err(Errno::EIO);
        }
        let regs = parked.context.regs_mut();
        *regs = GeneralRegs {
            rax: self.rax,
            rbx: self.rbx,
            rcx: self.rcx,
            rdx: self.rdx,
            rsi: self.rsi,
            rdi: self.rdi,
            rbp: self.rbp,
            rsp: self.rsp,
            r8: self.r8,
            r9: self.r9,
            r10: self.r10,
            r11: self.r11,
            r12: self.r12,
            r13: self.r13,
            r14: self.r14,
            r15: self.r15,
            rip: self.rip,
            rflags: regs.rflags & !USER_FLAGS | self.eflags & USER_FLAGS,
        };
        parked.orig_rax = self.orig_rax;
        Ok(())
    }
}

/// Bytes of the kernel's `struct user`, where the debug registers are in it, and how many there are.
const USER_SIZE: u64 = 928;
const DEBUG_AT: u64 = 848;
const DEBUG_REGISTERS: u64 = 8;

/// Where a word of `struct user` is.
enum Place {
    Register(usize),
    Debug(usize),
    Other,
}

/// `EIO` for what is no word of `struct user`.
fn place(addr: u64) -> SysResult<Place> {
    if !addr.is_multiple_of(8) || addr >= USER_SIZE {
        return Err(Errno::EIO);
    }
    let debug = addr.checked_sub(DEBUG_AT).filter(|at| *at < 8 * DEBUG_REGISTERS);
    Ok(match debug {
        Some(at) => Place::Debug(at as usize / 8),
        None if addr < size_of::<UserRegs>() as u64 => Place::Register(addr as usize),
        None => Place::Other,
    })
}

/// `PTRACE_PEEKUSER`
pub(super) fn peek(parked: &mut Parked, addr: u64) -> SysResult<u64> {
    Ok(match place(addr)? {
        Place::Register(at) => {
            let regs = UserRegs::of(parked);
            let word = regs.as_bytes().get(at..).and_then(|rest| rest.first_chunk());
            word.map_or(0, |word| u64::from_le_bytes(*word))
        }
        Place::Debug(index) => parked.debug.get(index),
        Place::Other => 0,
    })
}

/// `PTRACE_POKEUSER`
pub(super) fn poke(parked: &mut Parked, addr: u64, value: u64) -> SysResult<()> {
    match place(addr)? {
        Place::Register(at) => {
            let mut regs = UserRegs::of(parked);
            let bytes = regs.as_mut_bytes().get_mut(at..at + 8).ok_or(Errno::EIO)?;
            bytes.copy_from_slice(&value.to_le_bytes());
            regs.set(parked)
        }
        Place::Debug(index) => parked.debug.set(index, value),
        Place::Other => Err(Errno::EIO),
    }
}

/// Bytes of the words of software's own in the vector state.
const SOFTWARE_LEN: usize = LEGACY_XSTATE - SOFTWARE_WORDS;
/// Where the components are said there in a signal frame.
const FRAME_COMPONENTS_AT: usize = SOFTWARE_WORDS + 8;

/// The vector state as `NT_X86_XSTATE` has it.
pub(crate) fn xstate(context: &mut UserContext) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(UserContext::xsave_size());
    context.save_xstate(&mut bytes);
    bytes.truncate(bytes.len().saturating_sub(MAGIC2_SIZE));
    let components = bytes.get(FRAME_COMPONENTS_AT..).and_then(|rest| rest.first_chunk::<8>());
    let components = components.copied().unwrap_or_default();
    if let Some(words) = bytes.get_mut(SOFTWARE_WORDS..SOFTWARE_WORDS + SOFTWARE_LEN) {
        words.fill(0);
        words[..8].copy_from_slice(&components);
    }
    bytes
}

fn set_xstate(context: &mut UserContext, bytes: &[u8]) -> SysResult<()> {
    context.restore_xstate(bytes).map_err(|_| Errno::EINVAL)
}

/// The legacy part, as `NT_PRFPREG` has it.
fn fp(context: &mut UserContext) -> Vec<u8> {
    let mut bytes = xstate(context);
    bytes.truncate(LEGACY_XSTATE);
    if let Some(words) = bytes.get_mut(SOFTWARE_WORDS..SOFTWARE_WORDS + SOFTWARE_LEN) {
        words.fill(0);
    }
    bytes
}

/// Replaces as much of the legacy part as `bytes` are.
pub(crate) fn set_fp(context: &mut UserContext, bytes: &[u8]) -> SysResult<()> {
    let mut whole = xstate(context);
    let len = bytes.len().min(SOFTWARE_WORDS);
    if let Some(part) = whole.get_mut(..len) {
        part.copy_from_slice(&bytes[..len]);
    }
    // x87 and SSE are not in their initial state any more.
    if let Some(present) = whole.get_mut(LEGACY_XSTATE) {
        *present |= 3;
    }
    set_xstate(context, &whole)
}

/// Replaces as much of the general registers as `bytes` are.
pub(crate) fn set_general(parked: &mut Parked, bytes: &[u8]) -> SysResult<()> {
    let mut regs = UserRegs::of(parked);
    let len = bytes.len().min(size_of::<UserRegs>());
    regs.as_mut_bytes()[..len].copy_from_slice(&bytes[..len]);
    regs.set(parked)
}

const NT_PRSTATUS: u64 = 1;
const NT_PRFPREG: u64 = 2;
const NT_X86_XSTATE: u64 = 0x202;

/// The bytes of set `kind`; `EINVAL` when there is none.
fn read_set(parked: &mut Parked, kind: u64) -> SysResult<Vec<u8>> {
    match kind {
        NT_PRSTATUS => Ok(UserRegs::of(parked).bytes()),
        NT_PRFPREG => Ok(fp(&mut parked.context)),
        NT_X86_XSTATE => Ok(xstate(&mut parked.context)),
        _ => Err(Errno::EINVAL),
    }
}

fn write_set(parked: &mut Parked, kind: u64, bytes: &[u8]) -> SysResult<()> {
    match kind {
        NT_PRSTATUS => set_general(parked, bytes),
        NT_PRFPREG => set_fp(&mut parked.context, bytes),
        // Only as a whole.
        NT_X86_XSTATE if bytes.len() < UserContext::xsave_size() - MAGIC2_SIZE => {
            Err(Errno::EFAULT)
        }
        NT_X86_XSTATE => set_xstate(&mut parked.context, bytes),
        _ => Err(Errno::EINVAL),
    }
}

/// What the words of a set are long.
fn unit(kind: u64) -> u64 {
    if kind == NT_PRFPREG { 4 } else { 8 }
}

/// The requests that read or write many registers at once.
pub(super) fn sets(
    thread: &Thread,
    tracee: &Tracee,
    request: u32,
    addr: u64,
    data: u64,
) -> SysResult<()> {
    let memory = &thread.memory;
    match request {
        request::GETREGS => {
            let regs = UserRegs::of(&mut *tracee.parked()?);
            memory.write_bytes(data, regs.as_bytes())
        }
        request::SETREGS => {
            let mut regs = UserRegs::new_zeroed();
            memory.read_bytes(data, regs.as_mut_bytes())?;
            regs.set(&mut *tracee.parked()?)
        }
        request::GETFPREGS => {
            let bytes = fp(&mut tracee.parked()?.context);
            memory.write_bytes(data, &bytes)
        }
        request::SETFPREGS => {
            let mut bytes = [0; LEGACY_XSTATE];
            memory.read_bytes(data, &mut bytes)?;
            set_fp(&mut tracee.parked()?.context, &bytes)
        }
        _ => {
            let vector = UserPtr::<IoVec>::new(data);
            let IoVec { base, len } = vector.read(memory)?;
            let mut all = read_set(&mut *tracee.parked()?, addr)?;
            if !len.is_multiple_of(unit(addr)) {
                return Err(Errno::EINVAL);
            }
            let len = (len as usize).min(all.len());
            if request == raw::PTRACE_GETREGSET {
                all.truncate(len);
                memory.write_bytes(base, &all)?;
            } else {
                let mut given = vec![0; len];
                memory.read_bytes(base, &mut given)?;
                write_set(&mut *tracee.parked()?, addr, &given)?;
            }
            vector.write(memory, &IoVec { base, len: len as u64 })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn the_layout_is_that_of_linux() {
        assert_eq!(size_of::<UserRegs>(), 27 * 8);
        assert_eq!(offset_of!(UserRegs, orig_rax), 15 * 8);
        assert_eq!(offset_of!(UserRegs, fs_base), 21 * 8);
        assert!(matches!(place(DEBUG_AT + 56), Ok(Place::Debug(7))));
        assert!(place(4).is_err() && place(USER_SIZE).is_err());
    }

    #[test]
    fn the_vector_state_says_its_components_where_debuggers_look() {
        let mut context = UserContext::new();
        let bytes = xstate(&mut context);
        assert!(bytes.len() >= LEGACY_XSTATE + 64);
        assert_eq!(bytes[SOFTWARE_WORDS] & 3, 3);
        assert_eq!(fp(&mut context).len(), LEGACY_XSTATE);
    }
}
