//! Host signals as hardware traps: SIGSYS is a system call, SIGSEGV and its kin are exceptions, one realtime signal is
//! the interrupt line. The idea: a handler emulates nothing; it copies the interrupted registers into the
//! context and edits the signal frame so that its return lands on the door's way out, with the guest's vector state live.

use std::{
    arch::asm,
    io, ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    Access, BOUNDARY, Exception, Fault, Trap, UserContext,
    entry::{self, KERNEL_FLAGS, Place},
    worker::{self, WorkerState},
};
use crate::stub::turn;

/// `si_code` of a SIGSYS that Syscall User Dispatch raised.
const SYS_USER_DISPATCH: i32 = 2;
/// Linux's x86 trap numbers.
const TRAP_GP: i64 = 13;
const TRAP_PF: i64 = 14;
/// Page-fault error code bits.
const PF_PRESENT: i64 = 1;
const PF_WRITE: i64 = 2;
const PF_INSTRUCTION: i64 = 16;
/// The resume flag of `rflags`.
const RF: u64 = 1 << 16;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
const MEMBARRIER_CMD_PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
const MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

const MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE: libc::c_int = 1 << 5;
const MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE: libc::c_int = 1 << 6;

static MEMBARRIER: AtomicBool = AtomicBool::new(false);

/// The realtime signal that stands for timer ticks and kicks.
pub(super) fn preempt_signal() -> libc::c_int {
    libc::SIGRTMIN() + 6
}

/// Makes all threads of the process pass a full memory barrier.
pub(crate) fn heavy_barrier() {
    if MEMBARRIER.load(Ordering::Relaxed) {
        // SAFETY: registered in `install`.
        unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) };
    }
}

/// Makes all threads of the machine pass a full memory barrier and waits for that; false if the host cannot.
pub(super) fn global_barrier() -> bool {
    // SAFETY: the command has no preconditions and touches no memory.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0 }
}

/// Whether [`heavy_barrier`] is one: from [`install`] on.
pub(crate) fn has_heavy_barrier() -> bool {
    MEMBARRIER.load(Ordering::Relaxed)
}

/// Makes all cores that run this process forget code that they have fetched (membarrier(2), `SYNC_CORE`).
pub(super) fn synchronize_cores() {
    // SAFETY: registered in `install`.
    unsafe {
        libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0)
    };
}

/// Interrupts the thread `tid` of this process.
pub(super) fn send_kick(tid: libc::pid_t) {
    // SAFETY: the handler of this signal is ours and ignores a tick that comes too late.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, preempt_signal()) };
}

/// Installs the process-wide handlers, once.
pub(super) fn install() -> io::Result<()> {
    static DONE: OnceLock<Result<(), (io::ErrorKind, String)>> = OnceLock::new();
    DONE.get_or_init(|| install_once().map_err(|error| (error.kind(), error.to_string())))
        .clone()
        .map_err(|(kind, text)| io::Error::new(kind, text))
}

fn install_once() -> io::Result<()> {
    check_layout(crate::host::system::first_mappings())?;
    // Decides the question outside of handlers.
    worker::has_fsgsbase();
    // SAFETY: registering has no preconditions.
    let register =
        |command: libc::c_int| unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) } == 0;
    let registered = register(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
        && register(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE);
    if !registered {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the host has no membarrier (Linux 4.16)",
        ));
    }
    MEMBARRIER.store(true, Ordering::Relaxed);
    let ours = [
        libc::SIGSYS,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        preempt_signal(),
    ];
    for signal in ours {
        // SAFETY: an all-zero sigaction is valid; `handler` has the three-argument signature that SA_SIGINFO asks for.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as extern "C" fn(_, _, _) as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaddset(&raw mut action.sa_mask, preempt_signal());
            if libc::sigaction(signal, &raw const action, ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// Checks that nothing of the process lies below the boundary.
fn check_layout(maps: &str) -> io::Result<()> {
    for line in maps.lines() {
        let start = line.split('-').next().and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let executable = line.split(' ').nth(1).is_some_and(|perms| perms.contains('x'));
        if executable && start.is_some_and(|start| start < BOUNDARY) && !line.contains("memfd:") {
            return Err(io::Error::other(format!(
                "the host laid out this process below {BOUNDARY:#x} ({line}); \
                 run it with a finite stack limit (ulimit -s 8192) and as a position-independent executable"
            )));
        }
    }
    Ok(())
}

fn gs_base() -> *const WorkerState {
    let base: u64;
    if worker::has_fsgsbase() {
        // SAFETY: FSGSBASE is enabled; reads a register.
        unsafe { asm!("rdgsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
        base as *const WorkerState
    } else {
        arch_prctl_get(0x1004) as *const WorkerState
    }
}

fn fs_base() -> u64 {
    if worker::has_fsgsbase() {
        let base: u64;
        // SAFETY: FSGSBASE is enabled; reads a register.
        unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
        base
    } else {
        arch_prctl_get(0x1003)
    }
}

fn arch_prctl_get(code: u64) -> u64 {
    let mut base = 0u64;
    // SAFETY: ARCH_GET_FS/GS write one u64. Inline, because libc's wrapper uses errno, which is behind FS.
    unsafe {
        asm!("syscall", inlateout("rax") libc::SYS_arch_prctl => _, in("rdi") code, in("rsi") &raw mut base,
            out("rcx") _, out("r11") _, options(nostack));
    }
    base
}

/// # Safety
///
/// Until it is set back, nothing may use thread-local storage unless `base` is the thread's own.
unsafe fn set_fs_base(base: u64) {
    // SAFETY: by the contract. As in `arch_prctl_get` for the host call.
    unsafe {
        if worker::has_fsgsbase() {
            asm!("wrfsbase {}", in(reg) base, options(nostack, preserves_flags));
        } else {
            asm!("syscall", inlateout("rax") libc::SYS_arch_prctl => _, in("rdi") 0x1002, in("rsi") base,
                out("rcx") _, out("r11") _, options(nostack));
        }
    }
}

/// The one handler. It may run with the guest's FS base: nothing here may touch thread-local storage before that is
/// set right, and on threads that are no workers it touches none at all.
extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, uc: *mut libc::c_void) {
    // The host clears DF and TF for handlers, but not AC.
    // SAFETY: sets the flags to what compiled code expects.
    unsafe { asm!("push {}", "popfq", const KERNEL_FLAGS) };
    let state = gs_base();
    // SAFETY: the host passes a valid frame to an SA_SIGINFO handler, not shared with anything.
    let (info, uc) = unsafe { (&*info, &mut *uc.cast::<libc::ucontext_t>()) };
    if state.is_null() {
        if signal != preempt_signal() {
            kernel_bug(signal, info, uc);
        }
        return;
    }
    let fs = fs_base();
    // SAFETY: a non-zero GS base is this thread's WorkerState (attach set it; guests that change it are out of bounds).
    let state = unsafe { &*state };
    // SAFETY: this is the thread's own base.
    unsafe { set_fs_base(state.kernel_fs.get()) };
    let left = if signal == preempt_signal() {
        interrupt(state, info, uc, fs)
    } else {
        fault(state, signal, info, uc, fs)
    };
    if !left {
        // SAFETY: back to what was interrupted; nothing follows but the return.
        unsafe { set_fs_base(fs) };
    }
}

/// A tick, a deadline or a kick. Returns whether the thread leaves the guest.
fn interrupt(
    state: &WorkerState,
    info: &libc::siginfo_t,
    uc: &mut libc::ucontext_t,
    fs: u64,
) -> bool {
    let tick = info.si_code == libc::SI_TIMER && state.minds_tick();
    let first = tick && state.note_tick(info);
    // SAFETY: non-null only while this thread waits for that turn.
    if let Some(turn) = unsafe { state.waits_on.get().as_ref() } {
        turn::poke(turn);
        return false;
    }
    let left = interrupt_guest(state, tick, uc, fs);
    if first && !left {
        state.come_again(info);
    }
    left
}

/// Takes the thread out of its guest, or turns it round on its way there, if it is in either place and should.
fn interrupt_guest(state: &WorkerState, tick: bool, uc: &mut libc::ucontext_t, fs: u64) -> bool {
    let rip = rip(uc);
    // SAFETY: non-null only while `run` on this thread has lent its context to the door.
    let ctx = unsafe { state.ctx.get().as_mut() };
    let Some(ctx) = ctx else { return false };
    let must_leave = state.must_leave.swap(false, Ordering::Relaxed);
    let kicked = ctx.kicker.is_pending();
    if !tick && !kicked && !must_leave {
        return false;
    }
    let trap = if kicked { Trap::Interrupted } else { Trap::Timer };
    if rip < BOUNDARY {
        ctx.signal_trap = trap;
        leave_guest(state, ctx, uc, fs);
        return true;
    }
    match entry::place(rip) {
        Place::Entering | Place::EnterJump => {
            ctx.signal_trap = trap;
            abandon_entry(state, uc);
            true
        }
        Place::Leaving | Place::Outside => false,
    }
}

/// A synchronous trap. Returns whether the thread leaves the guest.
fn fault(
    state: &WorkerState,
    signal: libc::c_int,
    info: &libc::siginfo_t,
    uc: &mut libc::ucontext_t,
    fs: u64,
) -> bool {
    // SAFETY: as in `interrupt`.
    let Some(ctx) = (unsafe { state.ctx.get().as_mut() }) else {
        kernel_bug(signal, info, uc);
        return false;
    };
    let rip = rip(uc);
    let place = if rip < BOUNDARY { None } else { Some(entry::place(rip)) };
    let trapno = uc.uc_mcontext.gregs[libc::REG_TRAPNO as usize];
    match place {
        None => {}
        // The guest's rip is not canonical.
        Some(Place::EnterJump) if trapno == TRAP_GP => {
            ctx.signal_trap = Trap::Exception(exception(signal, info, uc));
            abandon_entry(state, uc);
            return true;
        }
        // TF was set by the entering iret or is about to be cleared: not the guest's own step.
        Some(Place::Entering | Place::EnterJump | Place::Leaving) if signal == libc::SIGTRAP => {
            return false;
        }
        // The guest jumped to an address of ours that is not there, or to no address at all.
        Some(Place::Outside) if trapno == TRAP_PF && info_addr(info) == rip => {}
        Some(Place::Outside) if trapno == TRAP_GP && rip >= 0x8000_0000_0000 => {}
        Some(_) => {
            kernel_bug(signal, info, uc);
            return false;
        }
    }
    ctx.signal_trap = match (signal, trapno) {
        (libc::SIGSYS, _)
            if info.si_code == SYS_USER_DISPATCH && sys_arch(info) == AUDIT_ARCH_X86_64 =>
        {
            Trap::Syscall
        }
        // A 32-bit call (int 0x80): there is no such gate here.
        (libc::SIGSYS, _) => Trap::Exception(Exception {
            signal: libc::SIGSEGV,
            code: libc::SI_KERNEL,
            addr: 0,
            trapno: TRAP_GP as u64,
            error: 0x402,
        }),
        (_, TRAP_PF) => Trap::PageFault(page_fault(uc)),
        _ => Trap::Exception(exception(signal, info, uc)),
    };
    leave_guest(state, ctx, uc, fs);
    true
}

fn rip(uc: &libc::ucontext_t) -> u64 {
    uc.uc_mcontext.gregs[libc::REG_RIP as usize] as u64
}

fn info_addr(info: &libc::siginfo_t) -> u64 {
    // SAFETY: only called for signals that carry an address.
    unsafe { info.si_addr() as u64 }
}

/// `si_arch` of a SIGSYS.
fn sys_arch(info: &libc::siginfo_t) -> u32 {
    // si_call_addr (8 bytes at 16), si_syscall (4), si_arch (4).
    // SAFETY: a siginfo_t is 128 bytes.
    unsafe { ptr::from_ref(info).cast::<u32>().add(7).read() }
}

fn page_fault(uc: &libc::ucontext_t) -> Fault {
    let error = uc.uc_mcontext.gregs[libc::REG_ERR as usize];
    let access = if error & PF_INSTRUCTION != 0 {
        Access::Execute
    } else if error & PF_WRITE != 0 {
        Access::Write
    } else {
        Access::Read
    };
    Fault {
        addr: uc.uc_mcontext.gregs[libc::REG_CR2 as usize] as u64,
        access,
        present: error & PF_PRESENT != 0,
    }
}

fn exception(signal: libc::c_int, info: &libc::siginfo_t, uc: &libc::ucontext_t) -> Exception {
    Exception {
        signal,
        code: info.si_code,
        addr: info_addr(info),
        trapno: uc.uc_mcontext.gregs[libc::REG_TRAPNO as usize] as u64,
        error: uc.uc_mcontext.gregs[libc::REG_ERR as usize] as u64,
    }
}

/// Moves the interrupted guest's registers into `ctx` and sends the thread to the way out.
fn leave_guest(state: &WorkerState, ctx: &mut UserContext, uc: &mut libc::ucontext_t, fs: u64) {
    let gregs = &mut uc.uc_mcontext.gregs;
    let get = |reg: libc::c_int| gregs[reg as usize] as u64;
    let regs = &mut ctx.regs;
    regs.rax = get(libc::REG_RAX);
    regs.rbx = get(libc::REG_RBX);
    regs.rcx = get(libc::REG_RCX);
    regs.rdx = get(libc::REG_RDX);
    regs.rsi = get(libc::REG_RSI);
    regs.rdi = get(libc::REG_RDI);
    regs.rbp = get(libc::REG_RBP);
    regs.rsp = get(libc::REG_RSP);
    regs.r8 = get(libc::REG_R8);
    regs.r9 = get(libc::REG_R9);
    regs.r10 = get(libc::REG_R10);
    regs.r11 = get(libc::REG_R11);
    regs.r12 = get(libc::REG_R12);
    regs.r13 = get(libc::REG_R13);
    regs.r14 = get(libc::REG_R14);
    regs.r15 = get(libc::REG_R15);
    regs.rip = get(libc::REG_RIP);
    // RF, which the host sets in the frame of a fault, is no part of the guest's flags.
    regs.rflags = get(libc::REG_EFL) & !RF;
    ctx.last_trapno = get(libc::REG_TRAPNO);
    ctx.last_error = get(libc::REG_ERR);
    ctx.last_cr2 = get(libc::REG_CR2);
    ctx.fs_base = fs;
    gregs[libc::REG_R11 as usize] = ptr::from_mut(ctx) as i64;
    gregs[libc::REG_RSP as usize] = state.kernel_rsp.get() as i64;
    gregs[libc::REG_RAX as usize] = i64::from(entry::CAUSE_SIGNAL);
    gregs[libc::REG_RIP as usize] = entry::exit_tail() as i64;
    gregs[libc::REG_EFL as usize] = KERNEL_FLAGS as i64;
}

/// Turns a thread round that is on its way into the guest. The context in memory is whole.
fn abandon_entry(state: &WorkerState, uc: &mut libc::ucontext_t) {
    let gregs = &mut uc.uc_mcontext.gregs;
    gregs[libc::REG_RSP as usize] = state.kernel_rsp.get() as i64;
    gregs[libc::REG_RAX as usize] = i64::from(entry::CAUSE_SIGNAL);
    gregs[libc::REG_RIP as usize] = entry::exit_abort() as i64;
    gregs[libc::REG_EFL as usize] = KERNEL_FLAGS as i64;
}

/// A fault in kernel code: says what and where, and lets the host's default action take its course.
#[cold]
fn kernel_bug(signal: libc::c_int, info: &libc::siginfo_t, uc: &libc::ucontext_t) {
    let mut line = Line::default();
    line.text(b"libos: kernel bug: signal ");
    line.number(signal as u64, 10);
    line.text(b" at rip 0x");
    line.number(rip(uc), 16);
    line.text(b" (program + 0x");
    line.number(rip(uc).wrapping_sub(program_base()), 16);
    line.text(b"), address 0x");
    line.number(info_addr(info), 16);
    line.text(b"\n");
    // SAFETY: writes our own bytes; then restores the default action, so that the fault, which repeats when the handler
    // returns, ends the process. A signal that was sent rather than raised is sent again.
    unsafe {
        libc::write(2, line.bytes.as_ptr().cast(), line.len);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, &raw const action, ptr::null_mut());
        if info.si_code <= 0 || signal == libc::SIGTRAP || signal == libc::SIGSYS {
            libc::raise(signal);
        }
    }
}

/// Where the program is loaded, so that `addr2line` can be given an offset.
fn program_base() -> u64 {
    unsafe extern "C" {
        static __executable_start: u8;
    }
    (&raw const __executable_start) as u64
}

/// A line of text put together without allocation.
struct Line {
    bytes: [u8; 160],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; 160], len: 0 }
    }
}

impl Line {
    fn text(&mut self, text: &[u8]) {
        for &byte in text {
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = byte;
                self.len += 1;
            }
        }
    }

    fn number(&mut self, mut value: u64, base: u64) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b"0123456789abcdef"[(value % base) as usize];
            value /= base;
            if value == 0 {
                break;
            }
        }
        self.text(&digits[at..]);
    }
}
