//! What a host thread needs to run guests: a state block found through the GS base, an alternate signal stack,
//! Syscall User Dispatch and two timers, one on CPU time and one for deadlines. The idea: `attach` is lazy and per thread, and everything is undone
//! when the thread ends, so that any thread (a worker or a test) may run a context.

use std::{
    cell::{Cell, OnceCell},
    io, ptr,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
};

use parking_lot::Mutex;

use super::{BOUNDARY, UserContext, entry, gate::Place, signals, xstate::ExtendedArea};
use crate::{cpu, seed, sync::futex_word::FutexWord, time};

const PR_SET_SYSCALL_USER_DISPATCH: libc::c_int = 59;
const PR_SYS_DISPATCH_OFF: libc::c_ulong = 0;
const PR_SYS_DISPATCH_ON: libc::c_ulong = 1;
const USER_END: u64 = 0x8000_0000_0000;
const SIGNAL_STACK: usize = 128 << 10;
const GUARD: usize = 4096;
/// CPU time between two preemption ticks of a worker.
const TICK_NS: i64 = 5_000_000;
/// How soon a deadline's signal comes again that found the worker in the kernel.
const AGAIN_NS: i64 = 50_000;
/// How many ticks in a row a guest that makes no calls may have with a [seed](crate::seed), where they are a last resort: a second's.
const SEEDED_TICKS: u32 = 200;
/// The deadline of a worker without one.
const NEVER: u64 = u64::MAX;
const ARCH_SET_GS: libc::c_int = 0x1001;
const ARCH_GET_FS: libc::c_int = 0x1003;
/// `AT_HWCAP2` bit: user mode may use rdfsbase and its kin.
const HWCAP2_FSGSBASE: u64 = 1 << 1;

/// Offset of [`WorkerState::ctx`], which the asm relies on.
pub(super) const CTX_OFFSET: usize = 0;
/// Offset of [`WorkerState::exit_entry`]: trampolines `jmp gs:[EXIT_ENTRY_OFFSET]`.
pub(super) const EXIT_ENTRY_OFFSET: usize = 8;

/// The state of one host thread that runs guests, at the thread's GS base. Asm and signal handlers of the same
/// thread touch it, hence cells; fields that other threads read are atomics.
#[repr(C, align(64))]
pub(super) struct WorkerState {
    /// The context in the guest, or on its way in or out; null while kernel code runs.
    pub(super) ctx: Cell<*mut UserContext>,
    /// Where rewritten sites jump to.
    pub(super) exit_entry: Cell<u64>,
    /// Kernel stack while the guest runs.
    pub(super) kernel_rsp: Cell<u64>,
    /// The thread's own FS base (thread-local storage of libc and Rust).
    pub(super) kernel_fs: Cell<u64>,
    /// Scratch slot of the door: a jump through it loses no register.
    pub(super) target: Cell<u64>,
    /// `mxcsr` of kernel code.
    pub(super) kernel_mxcsr: Cell<u32>,
    /// 1 when FS and GS bases can be set without a host call.
    pub(super) fsgsbase: Cell<u8>,
    /// A tick or a deadline has come, in a guest or in kernel code.
    pub(super) need_resched: AtomicBool,
    /// How many ticks have come since the guest was left last; counted with a seed only.
    ticks: AtomicU32,
    /// When the signal of [`preempt_at`] comes, ns of the host's monotonic clock; its handler resets it.
    deadline: AtomicU64,
    deadline_timer: Cell<libc::timer_t>,
    pub(super) tid: Cell<libc::pid_t>,
    /// Whose extended vector state is in this thread's registers; null when nobody's.
    pub(super) extended_owner: Cell<*const ExtendedArea>,
    /// The address space whose guest this thread may be running, for those who patch its text.
    pub(super) place: Place,
    /// Somebody waits for this thread to leave its guest; taken by the signal handler, or by the thread while a stub has the guest.
    pub(super) must_leave: AtomicBool,
    /// The turn that this thread waits for, while a stub has its guest; its signal handler pokes it.
    pub(super) waits_on: Cell<*const FutexWord>,
}

/// The states of all attached threads, for those who have to find them.
static WORKERS: Mutex<Vec<Listed>> = Mutex::new(Vec::new());

/// The address of a state, which stays valid while it is listed.
struct Listed(*const WorkerState);

// SAFETY: other threads only use the state's atomics and its constant `tid`, under the list's lock.
unsafe impl Send for Listed {}

/// Calls `visit` for every attached thread's state. `visit` may touch the atomics and `tid` only.
pub(super) fn for_each(mut visit: impl FnMut(&WorkerState)) {
    for listed in &*WORKERS.lock() {
        // SAFETY: a state leaves the list, under its lock, before it is freed.
        visit(unsafe { &*listed.0 });
    }
}

thread_local! {
    static STATE: Cell<*const WorkerState> = const { Cell::new(ptr::null()) };
    static ATTACHED: OnceCell<Attached> = const { OnceCell::new() };
}

/// Owns what `attach` set up; dropped at the end of the thread.
struct Attached {
    state: *mut WorkerState,
    stack: *mut libc::c_void,
    /// Its timers. The host's first one is 0, which is a null pointer here.
    tick: Option<libc::timer_t>,
    deadline: Option<libc::timer_t>,
}

/// Whether FS/GS bases are ours to set directly: 0 unknown, 1 no, 2 yes.
static FSGSBASE: AtomicU8 = AtomicU8::new(0);

pub(crate) fn has_fsgsbase() -> bool {
    match FSGSBASE.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: reads the auxiliary vector.
            let yes = unsafe { libc::getauxval(libc::AT_HWCAP2) } & HWCAP2_FSGSBASE != 0
                && std::env::var_os("LIBOS_NO_FSGSBASE").is_none();
            FSGSBASE.store(1 + u8::from(yes), Ordering::Relaxed);
            yes
        }
        n => n == 2,
    }
}

/// The calling thread's state, attaching it first if need be.
#[inline]
pub(super) fn current() -> *const WorkerState {
    let state = STATE.get();
    if state.is_null() { attach_or_panic() } else { state }
}

/// The calling thread's state, or null.
#[inline]
pub(super) fn current_or_null() -> *const WorkerState {
    STATE.get()
}

#[cold]
fn attach_or_panic() -> *const WorkerState {
    match attach() {
        Ok(()) => STATE.get(),
        Err(error) => panic!("cannot run guests on this thread: {error}"),
    }
}

/// Prepares the process for running guests; [`attach`] does it otherwise. Called while the process has a single
/// thread it saves the start-up a wait of ten milliseconds, which the host needs to tell all threads of a barrier.
///
/// # Errors
///
/// As [`attach`].
pub fn prepare() -> io::Result<()> {
    signals::install()
}

/// Makes the calling thread able to run guests. Does nothing when it already is.
///
/// # Errors
///
/// Fails where the host lacks Syscall User Dispatch (Linux 5.11), or when part of the process lies below
/// [`BOUNDARY`], so that its own system calls would be taken for a guest's.
pub fn attach() -> io::Result<()> {
    if !STATE.get().is_null() {
        return Ok(());
    }
    signals::install()?;
    ATTACHED.with(|slot| {
        let attached = Attached::new()?;
        let state = attached.state;
        // A second attach of a thread is ruled out by the check above.
        let _ = slot.set(attached);
        STATE.set(state);
        Ok(())
    })
}

/// Whether a preemption tick has come to this worker. Stays set until [`take_need_resched`].
#[inline]
pub fn need_resched() -> bool {
    let state = STATE.get();
    // SAFETY: a non-null state is this thread's own and lives until the thread ends.
    !state.is_null() && unsafe { (*state).need_resched.load(Ordering::Relaxed) }
}

/// Reads and clears [`need_resched`].
#[inline]
pub fn take_need_resched() -> bool {
    let state = STATE.get();
    if state.is_null() {
        return false;
    }
    // SAFETY: as in need_resched. Only this thread and its signal handler write the flag.
    let flag = unsafe { &(*state).need_resched };
    let set = flag.load(Ordering::Relaxed);
    if set {
        flag.store(false, Ordering::Relaxed);
    }
    set
}

/// Takes the guest off this worker at `deadline` (ns of the monotonic clock) at the latest: its `run` returns
/// [`Trap::Timer`](super::Trap::Timer) and [`need_resched`] says yes. Costs a host call when that is sooner than what was asked
/// for before, a comparison when not. Nothing happens on a thread that runs no guests.
#[inline]
pub fn preempt_at(deadline: u64) {
    let state = STATE.get();
    // SAFETY: as in need_resched.
    let Some(state) = (unsafe { state.as_ref() }) else { return };
    let deadline = time::to_host(deadline);
    if deadline < state.deadline.load(Ordering::Relaxed) {
        state.set_deadline(deadline);
    }
}

/// How many ticks a guest may have before it is taken off for one that waits.
pub(super) fn patience() -> u32 {
    if seed::is_planted() { SEEDED_TICKS } else { 1 }
}

/// The guest of this worker has been left for a reason of its own: ticks are counted anew.
pub fn forget_ticks() {
    let state = STATE.get();
    // SAFETY: as in need_resched.
    if let Some(state) = unsafe { state.as_ref() } {
        state.ticks.store(0, Ordering::Relaxed);
    }
}

impl WorkerState {
    #[cold]
    fn set_deadline(&self, deadline: u64) {
        // Before it can come.
        self.deadline.store(deadline, Ordering::Relaxed);
        // A zero time would disarm the timer.
        let deadline = i64::try_from(deadline).unwrap_or(i64::MAX).max(1);
        self.arm(libc::TIMER_ABSTIME, deadline);
    }

    fn arm(&self, flags: libc::c_int, nanos: i64) {
        let it_value =
            libc::timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 };
        let once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = libc::itimerspec { it_interval: once, it_value };
        // SAFETY: the timer is this thread's own and lives as long as the state is its; the call may be made in a handler.
        // It cannot fail for a valid time; if it did, the next tick would come instead.
        unsafe {
            libc::timer_settime(self.deadline_timer.get(), flags, &raw const spec, ptr::null_mut());
        }
    }

    /// Whether a signal of one of the timers is to take the guest off the CPU; for its handler.
    pub(super) fn minds_tick(&self) -> bool {
        if !seed::is_planted() {
            return true;
        }
        let ticks = self.ticks.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        ticks >= SEEDED_TICKS && !self.ctx.get().is_null() && cpu::is_wanted()
    }

    /// Notes a signal of one of the timers; for its handler. True if it is the first one since [`take_need_resched`].
    pub(super) fn note_tick(&self, info: &libc::siginfo_t) -> bool {
        if is_deadline(info) {
            self.deadline.store(NEVER, Ordering::Relaxed);
        }
        !self.need_resched.swap(true, Ordering::Relaxed)
    }

    /// Has the deadline's signal `info`, which found the worker in the kernel, come once more: a guest may be about to be
    /// entered, past all looks at the flag. For ticks it does not matter.
    pub(super) fn come_again(&self, info: &libc::siginfo_t) {
        if is_deadline(info) {
            self.arm(0, AGAIN_NS);
        }
    }
}

/// Whether a timer's signal is that of the deadline, not a tick.
fn is_deadline(info: &libc::siginfo_t) -> bool {
    // SAFETY: only called for signals of timers, which carry the value that `new_timer` gave them.
    !unsafe { info.si_value() }.sival_ptr.is_null()
}

/// Saves the extended state in this thread's registers to its owner, if it has one.
pub(super) fn save_live(state: &WorkerState) {
    let owner = state.extended_owner.replace(ptr::null());
    // SAFETY: a non-null owner is a live area: only this thread makes it owner and frees it (a context that is dropped
    // elsewhere leaks its area). Its context is not running, since this thread is here.
    unsafe {
        if let Some(area) = owner.as_ref()
            && ptr::eq(area.live_on.load(Ordering::Relaxed), state)
        {
            area.save();
            area.live_on.store(ptr::null_mut(), Ordering::Relaxed);
        }
    }
}

fn arch_prctl(code: libc::c_int, arg: u64) -> io::Result<()> {
    // SAFETY: callers pass a base to set, or the address of a u64 to be filled.
    match unsafe { libc::syscall(libc::SYS_arch_prctl, code, arg) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Attached {
    fn new() -> io::Result<Self> {
        let mut kernel_fs = 0u64;
        arch_prctl(ARCH_GET_FS, (&raw mut kernel_fs) as u64)?;
        // SAFETY: no arguments.
        let tid = unsafe { libc::gettid() };
        let state = Box::into_raw(Box::new(WorkerState {
            ctx: Cell::new(ptr::null_mut()),
            exit_entry: Cell::new(entry::exit_entry()),
            kernel_rsp: Cell::new(0),
            kernel_fs: Cell::new(kernel_fs),
            target: Cell::new(0),
            kernel_mxcsr: Cell::new(entry::KERNEL_MXCSR),
            fsgsbase: Cell::new(u8::from(has_fsgsbase())),
            tid: Cell::new(tid),
            extended_owner: Cell::new(ptr::null()),
            need_resched: AtomicBool::new(false),
            ticks: AtomicU32::new(0),
            deadline: AtomicU64::new(NEVER),
            deadline_timer: Cell::new(ptr::null_mut()),
            place: Place::new(),
            must_leave: AtomicBool::new(false),
            waits_on: Cell::new(ptr::null()),
        }));
        WORKERS.lock().push(Listed(state));
        let mut this = Self { state, stack: libc::MAP_FAILED, tick: None, deadline: None };
        this.set_signal_stack()?;
        arch_prctl(ARCH_SET_GS, state as u64)?;
        let deadline = *this.deadline.insert(new_timer(libc::CLOCK_MONOTONIC, tid, true)?);
        // SAFETY: just made, and freed by `drop`.
        unsafe { &*state }.deadline_timer.set(deadline);
        this.set_tick(tid)?;
        // SAFETY: plain prctl; the allowed range holds all of our own code (checked by signals::install).
        let on = unsafe {
            libc::prctl(
                PR_SET_SYSCALL_USER_DISPATCH,
                PR_SYS_DISPATCH_ON,
                BOUNDARY,
                USER_END - BOUNDARY,
                ptr::null::<u8>(),
            )
        };
        if on != 0 {
            let error = io::Error::last_os_error();
            return Err(io::Error::new(
                error.kind(),
                format!("the host has no Syscall User Dispatch ({error})"),
            ));
        }
        Ok(this)
    }

    fn set_signal_stack(&mut self) -> io::Result<()> {
        // SAFETY: a fresh anonymous mapping.
        self.stack = unsafe {
            libc::mmap(
                ptr::null_mut(),
                SIGNAL_STACK + GUARD,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if self.stack == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the first page of our own mapping becomes the guard.
        unsafe { libc::mprotect(self.stack, GUARD, libc::PROT_NONE) };
        let stack = libc::stack_t {
            ss_sp: self.stack.wrapping_byte_add(GUARD),
            ss_flags: 0,
            ss_size: SIGNAL_STACK,
        };
        // SAFETY: the stack stays mapped until Drop has disabled it.
        match unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// A periodic timer on the thread's own CPU time: an idle worker takes no ticks.
    fn set_tick(&mut self, tid: libc::pid_t) -> io::Result<()> {
        let timer = *self.tick.insert(new_timer(libc::CLOCK_THREAD_CPUTIME_ID, tid, false)?);
        let tick = libc::timespec { tv_sec: 0, tv_nsec: TICK_NS };
        let spec = libc::itimerspec { it_interval: tick, it_value: tick };
        // SAFETY: the timer was just made.
        match unsafe { libc::timer_settime(timer, 0, &raw const spec, ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// A timer that sends the preemption signal to thread `tid`, so that [`is_deadline`] tells which it is.
fn new_timer(
    clock: libc::clockid_t,
    tid: libc::pid_t,
    deadline: bool,
) -> io::Result<libc::timer_t> {
    // SAFETY: an all-zero sigevent is valid.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_THREAD_ID;
    event.sigev_signo = signals::preempt_signal();
    event.sigev_notify_thread_id = tid;
    event.sigev_value = libc::sigval { sival_ptr: ptr::without_provenance_mut(deadline.into()) };
    let mut timer = ptr::null_mut();
    // SAFETY: event and timer are valid for the call.
    match unsafe { libc::timer_create(clock, &raw mut event, &raw mut timer) } {
        0 => Ok(timer),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // `try_with` cannot fail here for a const-initialised cell without a destructor.
        let _ = STATE.try_with(|state| state.set(ptr::null()));
        // SAFETY: still this thread's own.
        save_live(unsafe { &*self.state });
        WORKERS.lock().retain(|listed| !ptr::eq(listed.0, self.state));
        // SAFETY: undoes what `new` did, on the same thread (thread-local destructor), in an order in which a tick
        // or a fault that still comes finds either a valid state or a zero GS base.
        unsafe {
            libc::prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
            for timer in [self.tick, self.deadline].into_iter().flatten() {
                libc::timer_delete(timer);
            }
            let _ = arch_prctl(ARCH_SET_GS, 0);
            if self.stack != libc::MAP_FAILED {
                let off = libc::stack_t {
                    ss_sp: ptr::null_mut(),
                    ss_flags: libc::SS_DISABLE,
                    ss_size: 0,
                };
                libc::sigaltstack(&raw const off, ptr::null_mut());
                libc::munmap(self.stack, SIGNAL_STACK + GUARD);
            }
            drop(Box::from_raw(self.state));
        }
    }
}

const _: () = assert!(std::mem::offset_of!(WorkerState, ctx) == CTX_OFFSET);
const _: () = assert!(std::mem::offset_of!(WorkerState, exit_entry) == EXIT_ENTRY_OFFSET);
