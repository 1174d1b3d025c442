//! Entering a guest that is in a stub: the other half of [`UserContext::run`].
//!
//! The idea: the registers travel through the [block](crate::stub::layout::Block), and the worker waits for its turn as it
//! would be busy with a guest of its own. A line of memory that one CPU writes and another reads costs as much as a hundred instructions, so a
//! system call and its answer are one [message](crate::stub::layout::Message) in a line; the other registers stay in the
//! stub's part of the block until somebody [asks for them](UserContext::complete), and the vector state in its thread.

use std::{
    mem, ptr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{
    Exception, Kicker, Trap, UserContext,
    worker::{self, WorkerState},
    xstate,
};
use crate::{
    aspace::{Access, AddressSpace, Fault},
    cpu, stub,
    stub::{
        KICK, Lost, Seat, Stub,
        affinity::{self, Allowed},
        layout::{Block, CAUSE_SYSCALL, CallRegs, Flags, Report},
        turn::{self, Waited},
    },
    sync::futex_word::FutexWord,
    time,
};

/// `si_code` of a SIGSYS that seccomp raised.
const SYS_SECCOMP: i32 = 1;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const TRAP_GP: u64 = 13;
const TRAP_PF: u64 = 14;
const PF_PRESENT: u64 = 1;
const PF_WRITE: u64 = 2;
const PF_INSTRUCTION: u64 = 16;

/// Wall time between two ticks of a worker whose guest is elsewhere, ns: it uses no CPU time that could be counted.
const TICK_NS: u64 = 5_000_000;
/// After so many turns on one CPU another is tried.
const OFTEN_TOGETHER: u32 = 16;
/// After so many turns in which no CPU was to spare, those with one subtracted, the guest's thread is bound to its worker's CPU.
const LOADED: u32 = 32;
/// So many with one free it again, less those without.
const MOST_LOAD: u32 = 64;
/// Of what rdtscp tells on Linux: the number of the CPU.
const CPU_MASK: u32 = 0xfff;
/// For how much CPU time of its process a guest may ignore that it is taken out of its code, ns: one that does has learnt how to block the
/// signal. Not time as such: on a host that is busy enough a guest may get no CPU for long.
const DEAF_CPU_NS: u64 = 3_000_000_000;
/// The same for one that uses none, because it sleeps, in time.
const DEAF_NS: u64 = 10_000_000_000;
/// How long a worker spins for its turn, in cycles: about what waking it would cost.
const SPIN_CYCLES: u64 = 60_000;
/// The least it spins, so that it learns of better times.
const LEAST_SPIN: u64 = 2_000;
/// How often the worker looks for its turn before it looks at the clock.
const LOOKS: u32 = 16;

/// Spinning may be forbidden (`--spin 0`); in cycles.
static MOST_SPIN: AtomicU32 = AtomicU32::new(SPIN_CYCLES as u32);

/// Lets kernel and stubs spin for no longer than so many microseconds before they sleep; 0 is not at all.
pub fn limit_spinning(micros: u32) {
    // About: it is a budget, and clocks differ by a factor of two.
    MOST_SPIN.store(micros.saturating_mul(3000), Ordering::Relaxed);
}

/// Where a context runs, and what is left there.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) seat: Seat,
    /// The newest vector state is in the stub's thread.
    has_vector_state: bool,
    /// How long waiting in vain for the turn is worth it, in cycles.
    spin: u64,
    /// The last turn came while the worker looked for it: the two are on different CPUs.
    met: bool,
    /// The stub looks for its turn for a while before it sleeps.
    stub_looks: bool,
    /// When the last trap was seen, in cycles, if the stub sleeps at once.
    trapped: u64,
    /// The CPU that the guest was left on, if it told.
    cpu: usize,
    /// How often in a row that was the worker's.
    together: u32,
    /// How many more turns found no CPU to spare than found one, of late.
    load: u32,
    /// Which text of the address space its thread has fetched.
    text: u32,
}

impl Placed {
    /// Whether the guest's thread was left on another CPU than the caller's, and may be met there.
    ///
    /// Where all CPUs have work, turns between them cost most: who is woken sleeps on a CPU that the host has put to sleep, and meanwhile the
    /// waker's falls asleep. It is a state that the host's scheduler does not leave by itself, since it wakes each where it was. So the thread
    /// is bound to its worker's CPU then, where a turn is a switch.
    ///
    /// Where a CPU is to spare, turns between CPUs that spin take a third of the time. But the host leaves the two together where it finds them
    /// so, even if another CPU is idle: then the thread is sent there once.
    fn part(&mut self, has_spare: bool) -> bool {
        let bound = self.is_bound();
        self.load = match has_spare {
            true => self.load.saturating_sub(1),
            false => self.load.saturating_add(1).min(MOST_LOAD),
        };
        if (self.load >= LOADED || bound && self.load > 0)
            && let Some(here) = affinity::current_cpu()
        {
            self.seat.allow(Allowed::Only(here));
            self.together = 0;
            return false;
        }
        if bound {
            self.seat.allow(Allowed::All);
        }
        let kept_off = matches!(self.seat.allowed(), Allowed::AllBut(_));
        if self.met && !kept_off {
            self.together = 0;
            return true;
        }
        let here = affinity::current_cpu();
        if here.is_none_or(|cpu| cpu != self.cpu) {
            self.together = 0;
            self.seat.allow(Allowed::All);
            return true;
        }
        if has_spare {
            self.together = self.together.wrapping_add(1);
            if self.together.is_multiple_of(OFTEN_TOGETHER)
                && let Some(here) = here
            {
                self.seat.allow(Allowed::AllBut(here));
            }
        }
        false
    }

    /// Whether the guest's thread is bound to its worker's CPU.
    fn is_bound(&self) -> bool {
        matches!(self.seat.allowed(), Allowed::Only(_))
    }

    /// The guest runs for long without a call: it is better off where the host has most time for it.
    fn unbind(&mut self) {
        if self.is_bound() {
            self.seat.allow(Allowed::All);
            self.load = 0;
        }
    }
}

impl UserContext {
    #[cold]
    #[inline(never)]
    pub(super) fn run_isolated(&mut self, stub: &Arc<Stub>, space: &AddressSpace) -> Trap {
        if !self.partial && !space.has(&(self.regs.rip..self.regs.rip.saturating_add(1))) {
            return self.wild_rip();
        }
        // SAFETY: this thread's own state, valid until the thread ends.
        let state = unsafe { &*worker::current() };
        self.release_worker();
        if self.seat.as_ref().is_none_or(|placed| !Arc::ptr_eq(placed.seat.stub(), stub)) {
            self.complete();
            self.fetch_vector_state();
            self.seat = None;
            let Ok(seat) = stub.take_seat() else { return Trap::Lost };
            let spin = u64::from(MOST_SPIN.load(Ordering::Relaxed));
            let text = space.rewriter.version();
            self.seat = Some(Box::new(Placed {
                seat,
                has_vector_state: false,
                spin,
                met: false,
                stub_looks: false,
                trapped: 0,
                cpu: usize::MAX,
                together: 0,
                load: 0,
                text,
            }));
        }
        let space_id = ptr::from_ref(space).cast_mut().cast();
        space.rewriter.admit(state, space_id);
        if !self.partial {
            self.target = if self.regs.rip == self.exit_rip {
                self.resume
            } else {
                space.rewriter.redirect(space, self.regs.rip)
            };
        }
        self.kicker.enter(state.tid.get());
        let cause = match self.kicker.is_pending() {
            true => None,
            false => Some(self.take_turns(state, space)),
        };
        self.kicker.leave();
        state.place.leave();
        match cause {
            None => {
                self.kicker.take();
                Trap::Interrupted
            }
            Some(Ok(CAUSE_SYSCALL)) => Trap::Syscall,
            Some(Ok(signal)) => self.signalled(signal, space),
            Some(Err(Lost)) => Trap::Lost,
        }
    }

    /// Lets the guest run until it traps, and takes the registers that a call has to do with. Says why it was left.
    fn take_turns(&mut self, state: &WorkerState, space: &AddressSpace) -> Result<i32, Lost> {
        let Some(placed) = &mut self.seat else { return Err(Lost) };
        let block = placed.seat.block();
        let mut flags = Flags::empty();
        if !placed.has_vector_state {
            let mut frame = Vec::with_capacity(xstate::frame_size());
            // Taken only in `drop`.
            let area = self.extended.as_deref().ok_or(Lost)?;
            area.write_frame(&self.xmm, self.mxcsr, &mut frame);
            // SAFETY: the block is mapped, it is the kernel's turn, and a frame fits (`xstate::AREA`).
            unsafe {
                let to = (&raw mut (*block).xstate).cast::<u8>();
                ptr::copy_nonoverlapping(frame.as_ptr(), to, frame.len().min(stub::layout::XSTATE));
            }
            flags |= Flags::LOAD;
            placed.has_vector_state = true;
        }
        let text = space.rewriter.version();
        if placed.text != text {
            placed.text = text;
            flags |= Flags::SERIALIZE;
        }
        placed.seat.begin()?;
        let has_spare = cpu::has_spare() || cpu::leaves_host_cpus();
        let apart = placed.part(has_spare);
        // Two that take turns on one CPU only keep each other from it.
        let most = match apart && has_spare {
            true => u64::from(MOST_SPIN.load(Ordering::Relaxed)),
            false => 0,
        };
        // A guest whose call took long is not answered soon the next time either.
        if !placed.stub_looks {
            placed.stub_looks = time::host_cycles().wrapping_sub(placed.trapped) < most;
        }
        flags.set(Flags::SPIN, placed.stub_looks && most > 0);
        flags.set(Flags::TELL_CPU, !placed.met);
        flags.set(Flags::ALL, !self.partial);
        // SAFETY: the block is mapped and it is the kernel's turn.
        unsafe {
            if !self.partial {
                ptr::write_volatile(&raw mut (*block).regs, self.regs);
                ptr::write_volatile(&raw mut (*block).fs_base, self.fs_base);
                ptr::write_volatile(&raw mut (*block).target, self.target);
                ptr::write_volatile(&raw mut (*block).message.call, CallRegs::of(&self.regs));
            } else {
                ptr::write_volatile(&raw mut (*block).message.call.rax, self.regs.rax);
            }
            ptr::write_volatile(&raw mut (*block).message.note, flags.bits());
        }
        // From now on the newest are there.
        self.partial = true;
        wait_for_guest(placed, &self.kicker, state, most);
        if !placed.stub_looks {
            placed.trapped = time::host_cycles();
        }
        let dead = placed.seat.stub().is_dead();
        placed.seat.end();
        if dead {
            return Err(Lost);
        }
        // SAFETY: the block is mapped; what the guest may write meanwhile are plain numbers, each of which is read once.
        let (call, note) = unsafe {
            placed.cpu = match flags.contains(Flags::TELL_CPU) {
                true => (ptr::read_volatile(&raw const (*block).cpu) & CPU_MASK) as usize,
                false => usize::MAX,
            };
            let message = &raw const (*block).message;
            (
                ptr::read_volatile(&raw const (*message).call),
                ptr::read_volatile(&raw const (*message).note),
            )
        };
        call.put(&mut self.regs);
        Ok(note.cast_signed())
    }

    /// Takes the registers that a call has nothing to do with from the stub, if they are there.
    #[inline]
    pub(super) fn complete(&mut self) {
        if self.partial {
            self.take_rest();
        }
    }

    #[cold]
    fn take_rest(&mut self) {
        self.partial = false;
        let Some(placed) = &self.seat else { return };
        let block: *const Block = placed.seat.block();
        let call = CallRegs::of(&self.regs);
        // SAFETY: the block is mapped; what the guest may write meanwhile are plain numbers, each of which is read once.
        unsafe {
            self.regs = ptr::read_volatile(&raw const (*block).regs);
            self.fs_base = ptr::read_volatile(&raw const (*block).fs_base);
            self.resume = ptr::read_volatile(&raw const (*block).target);
        }
        call.put(&mut self.regs);
        self.exit_rip = self.regs.rip;
    }

    /// What signal `cause` means, by which the guest was left.
    fn signalled(&mut self, cause: i32, space: &AddressSpace) -> Trap {
        self.complete();
        self.exit_rip = 0;
        self.resume = 0;
        if cause == KICK {
            // The registers are the guest's, or as they were when it was about to go on.
            self.regs.rip = space.rewriter.original(space, self.regs.rip);
            return if self.kicker.take() { Trap::Interrupted } else { Trap::Timer };
        }
        let Some(placed) = &self.seat else { return Trap::Lost };
        // SAFETY: the block is mapped; what the guest may write meanwhile are plain numbers, each of which is read once.
        let report = unsafe { ptr::read_volatile(&raw const (*placed.seat.block()).report) };
        let Report { code, addr, call, trapno, error, cr2, .. } = report;
        (self.last_trapno, self.last_error, self.last_cr2) = (trapno, error, cr2);
        let trap = match (cause, trapno) {
            (libc::SIGSYS, _)
                if code == SYS_SECCOMP && (call >> 32) as u32 == AUDIT_ARCH_X86_64 =>
            {
                self.regs.rcx = self.regs.rip;
                self.regs.r11 = self.regs.rflags;
                space.rewriter.trapped(space, self.regs.rip, self.regs.rax);
                Trap::Syscall
            }
            // A 32-bit call (int 0x80): there is no such gate here.
            (libc::SIGSYS, _) => Trap::Exception(Exception {
                signal: libc::SIGSEGV,
                code: libc::SI_KERNEL,
                addr: 0,
                trapno: TRAP_GP,
                error: 0x402,
            }),
            (libc::SIGSEGV | libc::SIGBUS, TRAP_PF) => Trap::PageFault(self.page_fault()),
            (
                libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL | libc::SIGTRAP,
                trapno,
            ) => Trap::Exception(Exception { signal: cause, code, addr, trapno, error }),
            // It has written what only the stub writes.
            _ => {
                if let Some(stub) = space.stub() {
                    stub.kill();
                }
                return Trap::Lost;
            }
        };
        self.regs.rip = space.rewriter.original(space, self.regs.rip);
        trap
    }

    fn page_fault(&self) -> Fault {
        let error = self.last_error;
        let access = if error & PF_INSTRUCTION != 0 {
            Access::Execute
        } else if error & PF_WRITE != 0 {
            Access::Write
        } else {
            Access::Read
        };
        Fault { addr: self.last_cr2, access, present: error & PF_PRESENT != 0 }
    }

    /// Takes the vector state out of the stub's thread, if it is there.
    pub(super) fn fetch_vector_state(&mut self) {
        let Some(placed) = &mut self.seat else { return };
        if !mem::take(&mut placed.has_vector_state) {
            return;
        }
        let mut frame = vec![0_u8; xstate::frame_size()];
        if placed.seat.run_stub(Flags::SAVE | Flags::STAY).is_ok() {
            let block = placed.seat.block();
            let len = frame.len().min(stub::layout::XSTATE);
            // SAFETY: the block is mapped; what the guest may write there meanwhile is checked as a frame of its own would be.
            unsafe {
                let from = (&raw const (*block).xstate).cast::<u8>();
                ptr::copy_nonoverlapping(from, frame.as_mut_ptr(), len);
            }
        }
        let area = self.extended.as_deref().map(|area| area.read_frame(&frame));
        match area {
            Some(Ok((xmm, mxcsr))) => (self.xmm, self.mxcsr) = (xmm, mxcsr),
            // The guest has spoilt it.
            _ => (self.xmm, self.mxcsr) = ([0; 16], super::entry::KERNEL_MXCSR),
        }
    }
}

/// Gives the turn to the guest and waits for it to come back, taking the guest out of its code when there is a reason.
fn wait_for_guest(placed: &mut Placed, kicker: &Kicker, state: &WorkerState, most: u64) {
    let word = placed.seat.turn();
    state.waits_on.set(word);
    let slept = turn::give(word);
    if placed.seat.stub().is_dead() {
        state.waits_on.set(ptr::null());
        return;
    }
    // It looked in vain.
    placed.stub_looks &= !slept;
    // What came before the signal handler knew of the turn.
    if state.must_leave.load(Ordering::Relaxed) || kicker.is_pending() {
        turn::poke(word);
    }
    // That the guest's thread had to be woken says nothing of how long the guest takes.
    let budget = if slept { most } else { most.min(placed.spin) };
    let mut waited = look_often(word, budget);
    placed.met = waited == Some(Waited::Turn);
    if budget > 0 && !slept {
        placed.spin = match waited {
            Some(_) => (placed.spin * 2).clamp(LEAST_SPIN, SPIN_CYCLES),
            None => (placed.spin / 2).max(LEAST_SPIN),
        };
    }
    let mut kicked = None;
    let mut ticks = 0_u32;
    loop {
        let tick = || turn::sleep(placed.seat.turn(), Some(time::host_monotonic() + TICK_NS));
        match waited.take().unwrap_or_else(tick) {
            Waited::Turn => break,
            waited => {
                let ticked = waited == Waited::TimedOut;
                if ticked {
                    placed.unbind();
                }
                ticks = ticks.saturating_add(ticked.into());
                let late = ticked && ticks >= worker::patience() && cpu::is_wanted();
                if late {
                    state.need_resched.store(true, Ordering::Relaxed);
                }
                if late
                    || worker::need_resched()
                    || state.must_leave.swap(false, Ordering::Relaxed)
                    || kicker.is_pending()
                {
                    let seat = &placed.seat;
                    seat.kick();
                    let (now, used) = (time::host_monotonic(), seat.stub().cpu_time());
                    let (since, used_then) = *kicked.get_or_insert((now, used));
                    if used.saturating_sub(used_then) > DEAF_CPU_NS
                        || now - since > DEAF_NS && !seat.waits_for_cpu()
                    {
                        log::warn!("a guest ignores that its turn is over: its process is ended");
                        seat.stub().kill();
                    }
                }
            }
        }
    }
    state.waits_on.set(ptr::null());
}

/// Looks for the turn for `budget` cycles.
fn look_often(word: &FutexWord, budget: u64) -> Option<Waited> {
    if budget == 0 {
        return None;
    }
    let mut begun = None;
    loop {
        for _ in 0..LOOKS {
            if let Some(waited) = turn::look(word) {
                return Some(waited);
            }
            std::hint::spin_loop();
        }
        let now = time::host_cycles();
        if now.wrapping_sub(*begun.get_or_insert(now)) > budget {
            return None;
        }
    }
}
