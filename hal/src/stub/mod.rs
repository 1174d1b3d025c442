//! Stubs: host processes that guest code runs in when it is not to run in the kernel's own.
//!
//! An address space that is placed in a stub has page tables of its own, so that a fork's child can have its parent's addresses, and its guest
//! can reach nothing of the kernel's. A stub is a process that contains a guest and a page of [code](code), one host thread for each guest
//! thread, and nothing else: no libraries, no descriptors but two, and by its [filter] no host calls but those of that code.
//!
//! The one idea: a stub's thread and the kernel's take turns. What the guest wants lies in a [block](layout::Block) of shared
//! memory; the [turn](turn) is a word in it, on which whoever waits spins a little and then sleeps. While the guest has the turn, the virtual CPU
//! that runs it waits, just as it would be busy if the guest ran on it; so preemption, kicks and accounting are those of
//! the in-process placement.
//!
//! ```text
//!  kernel (worker thread)                           stub (host thread)
//!  UserContext::run ── block, turn := guest ──────► load registers, jump
//!       wait: spin, sleep                            guest ...
//!  Trap ◄────────────── block, turn := kernel ───── trap: a rewritten site, SIGSYS, a fault, a kick
//!       handle it                                    wait: spin, sleep
//! ```
//!
//! Changes of the address space are host calls that the stub's *leader* makes: a thread that has no guest, does what is written in
//! memory that the stub cannot write, and is the only one that may make such calls. A guest can jump wherever it wants
//! in the stub's code: its own thread gets no further than to give the turn back. While nothing of the stub runs changes are collected,
//! and made before it next does; else they are made at once.
//!
//! That they have been made cannot be read from memory, which a guest might have written. But the leader sleeps on the number of the orders that
//! it has carried out, where no guest may wait: so [somebody who sleeps there](FutexWord::is_waited_for) is proof.

pub(crate) mod affinity;
mod code;
mod filter;
mod image;
pub(crate) mod layout;
mod region;
pub(crate) mod spare;
pub(crate) mod turn;
mod zygote;

use std::{
    io, mem, ptr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering, fence},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;

pub(crate) use self::zygote::Zygote;
use self::{
    affinity::Allowed,
    layout::{
        AltStack, Block, CODE, COMMANDS, CONTROL, Command, FilterProgram, Flags, Orders, SLOT,
        SLOTS,
    },
    region::Region,
    spare::{Picture, Spares},
    zygote::Lease,
};
use crate::sync::futex_word::FutexWord;

/// The descriptor of physical memory in a stub.
pub(crate) const MEMORY_FD: i32 = 3;
/// The signal that takes a stub's thread out of its guest. No realtime signal: those queue up, and would fill the signal stack.
pub(crate) const KICK: i32 = libc::SIGUSR1;
/// The other signals that stubs handle.
const TRAPS: [i32; 6] =
    [libc::SIGSYS, libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];
/// The flags of clone(2) that make a thread of a stub.
const THREAD: i32 = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM;
/// How often the kernel leaves its CPU to a leader before it sleeps.
const YIELDS: u32 = 50;
/// How long a process that is killed may take to end before it is given up, ns.
const END_NS: u64 = 5_000_000_000;
/// How often the kernel looks whether it has.
const END_AGAIN: Duration = Duration::from_micros(50);
/// How often the kernel looks whether a leader that has answered sleeps, when it does not at once.
const FALL_ASLEEP: Duration = Duration::from_micros(20);
/// How long the kernel relies on what a stub says of its leader before it looks itself, ns.
const LOOK_AGAIN: u64 = 1_000_000;
/// Where in a slot the signal stack begins. It has room for a fault's frame, a kick's on top of that, and one more.
const STACK_BEGIN: u64 = 8 << 10;

/// The stub's process has ended, or cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the host process of a guest is gone")]
pub(crate) struct Lost;

/// A stub's process.
#[derive(Debug)]
pub(crate) struct Stub {
    pid: libc::pid_t,
    region: Arc<Region>,
    lease: Lease,
    dead: AtomicBool,
    /// Who gives the leader orders.
    leader: Mutex<Leader>,
    /// Slots with a thread that no context has, and that thread's id on the host. Whoever holds it may give out another slot.
    free: Mutex<Vec<(usize, libc::pid_t)>>,
    /// How many slots have a thread, or are about to.
    slots: AtomicUsize,
    /// How many slots run guests.
    running: AtomicUsize,
    pending: Mutex<Vec<Command>>,
    has_pending: AtomicBool,
    /// What is mapped there, of an earlier address space.
    left: Mutex<Option<Picture>>,
    /// Who wants to know of its death.
    watchers: Mutex<Watchers>,
}

/// What the kernel knows of a stub's leader.
#[derive(Debug, Default)]
struct Leader {
    /// The number of the last orders.
    number: u32,
    /// The CPU of the host that it is bound to.
    cpu: Option<usize>,
}

/// Is told that the host process of an address space has ended: nothing can run there any more.
pub trait Watcher: Send + Sync {
    /// Called once, on a thread of the hardware's.
    fn lost(&self);
}

#[derive(Default)]
struct Watchers(Vec<Weak<dyn Watcher>>);

impl std::fmt::Debug for Watchers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watchers").field(&self.0.len()).finish()
    }
}

/// Bytes of the orders that commands may point to.
pub(super) struct Scratch<'a> {
    stub: &'a Stub,
    used: std::cell::Cell<usize>,
}

impl Scratch<'_> {
    /// Stores bytes and says where the stub finds them.
    fn put(&self, bytes: &[u8]) -> u64 {
        let at = self.used.get().next_multiple_of(16);
        self.used.set(at + bytes.len());
        let orders = self.stub.region.orders().as_ptr();
        let offset = mem::offset_of!(Orders, scratch) + at;
        assert!(at + bytes.len() <= layout::SCRATCH, "the kernel's own structures fit");
        // SAFETY: inside of the orders, which are mapped; nobody reads it before the commands are given.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), orders.cast::<u8>().add(offset), bytes.len())
        };
        CONTROL + offset as u64
    }
}

/// Says what the host lacks for stubs.
fn check_host() -> io::Result<()> {
    if !crate::context::has_xsave() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "the CPU has no XSAVE"));
    }
    Ok(())
}

/// Fills the orders of a region whose leader does not exist yet: that begins by answering.
fn prepare(region: &Region) {
    let filter = filter::of_guests(code::bytes().len() as u64);
    let (orders, answers) = (region.orders().as_ptr(), region.answers().as_ptr());
    // SAFETY: both are mapped and nobody uses them yet; all of their fields are plain numbers.
    unsafe {
        for (to, step) in (*orders).steps.iter_mut().zip(&filter) {
            *to = filter::packed(step);
        }
        let steps = CONTROL + mem::offset_of!(Orders, steps) as u64;
        (*orders).filter = FilterProgram { len: filter.len() as u64, steps };
        (*orders).no_signals = 0;
        (*orders).parent = std::process::id();
        (*orders).number.0.word().store(0, Ordering::Release);
        (*answers).turn.0.word().store(turn::GUEST, Ordering::Release);
    }
}

/// Fills the block of a slot whose thread does not exist yet: that begins by giving the turn to the kernel.
fn prepare_slot(region: &Region, index: usize) {
    let own = Region::block_in_stub(index);
    let block = region.block(index).as_ptr();
    // SAFETY: the block is mapped and nobody uses it yet; all of its fields are plain numbers.
    unsafe {
        (*block).exit_entry = CODE + code::exit();
        (*block).own = own;
        (*block).stack_top = own + SLOT;
        (*block).altstack = AltStack { sp: own + STACK_BEGIN, flags: 0, size: SLOT - STACK_BEGIN };
        (*block).fsgsbase = u32::from(crate::context::has_fsgsbase());
        (*block).xstate_mask = crate::context::xstate_mask();
        (*block).poke = 0;
        (*block).message.note = 0;
        (*block).message.turn.word().store(turn::GUEST, Ordering::Release);
    }
}

impl Stub {
    fn new(pid: libc::pid_t, region: Arc<Region>, lease: Lease) -> Self {
        Self {
            pid,
            region,
            lease,
            dead: AtomicBool::new(false),
            leader: Mutex::default(),
            free: Mutex::default(),
            slots: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            pending: Mutex::default(),
            has_pending: AtomicBool::new(false),
            left: Mutex::default(),
            watchers: Mutex::default(),
        }
    }

    fn scratch(&self) -> Scratch<'_> {
        Scratch { stub: self, used: std::cell::Cell::new(0) }
    }

    /// Whether the process has ended.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Has all who wait for the process learn that it has ended, as `status` says.
    fn note_death(&self, status: i32) {
        self.dead.store(true, Ordering::SeqCst);
        // Without the lock of `free`: whoever holds it may be waiting for a turn of this process.
        let slots = (0..self.slots.load(Ordering::SeqCst)).map(|slot| self.turn(slot));
        for word in slots.chain([self.answered()]) {
            word.word().fetch_or(turn::KERNEL, Ordering::SeqCst);
            word.wake_shared();
        }
        let watchers = mem::take(&mut self.watchers.lock().0);
        for watcher in watchers.iter().filter_map(Weak::upgrade) {
            log::warn!("host process {} of a guest has ended, status {status:#x}", self.pid);
            watcher.lost();
        }
    }

    /// Has `watcher` told of the process's death, if it still exists then.
    pub(crate) fn watch(&self, watcher: Weak<dyn Watcher>) {
        let mut watchers = self.watchers.lock();
        if !self.is_dead() {
            watchers.0.retain(|known| known.strong_count() > 0);
            watchers.0.push(watcher);
            return;
        }
        drop(watchers);
        if let Some(watcher) = watcher.upgrade() {
            watcher.lost();
        }
    }

    /// Ends the process.
    pub(crate) fn kill(&self) {
        if !self.is_dead() && self.pid > 0 {
            // SAFETY: plain kill; the process is not reaped before its keeper has noted its death, so the number is its own, but for the
            // moment between the two, when numbers are not given out again yet.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
        }
    }

    /// How much CPU time the process has used, ns; 0 once it has ended.
    pub(crate) fn cpu_time(&self) -> u64 {
        let mut clock = 0;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: both calls write what they are given, and nothing else.
        let failed = unsafe {
            libc::clock_getcpuclockid(self.pid, &raw mut clock) != 0
                || libc::clock_gettime(clock, &raw mut time) != 0
        };
        if failed {
            return 0;
        }
        time.tv_sec.unsigned_abs() * crate::time::NANOS_PER_SEC + time.tv_nsec.unsigned_abs()
    }

    /// The block of a slot.
    pub(crate) fn block(&self, slot: usize) -> *mut Block {
        self.region.block(slot).as_ptr()
    }

    /// Whose turn a slot is.
    pub(crate) fn turn(&self, slot: usize) -> &FutexWord {
        // SAFETY: the block is mapped as long as `self` lives, and the word is atomic.
        unsafe { &(*self.block(slot)).message.turn }
    }

    /// Takes a slot with a thread for a context.
    pub(crate) fn take_seat(self: &Arc<Self>) -> Result<Seat, Lost> {
        let mut free = self.free.lock();
        let (slot, tid) = match free.pop() {
            Some(place) => place,
            None => {
                let slot = self.slots.load(Ordering::Relaxed);
                if slot >= SLOTS {
                    return Err(Lost);
                }
                (slot, self.add_thread(slot)?)
            }
        };
        Ok(Seat { stub: self.clone(), slot, tid, allowed: Allowed::All })
    }

    /// Makes a thread for a slot: its number.
    fn add_thread(&self, slot: usize) -> Result<libc::pid_t, Lost> {
        prepare_slot(&self.region, slot);
        self.slots.store(slot + 1, Ordering::SeqCst);
        let own = Region::block_in_stub(slot);
        let clone = Command::new(libc::SYS_clone, [THREAD as u64, 0, 0, 0, 0, own]);
        let tid = self.execute(&[clone])?;
        let tid = i32::try_from(tid).map_err(|_| Lost)?;
        // Not where its maker is bound to.
        affinity::allow(tid, Allowed::All);
        self.await_turn(slot)?;
        Ok(tid)
    }

    /// The word by which the leader says that it has done what it was told.
    fn answered(&self) -> &FutexWord {
        // SAFETY: the answers are mapped as long as `self` lives, and the word is atomic.
        unsafe { &(*self.region.answers().as_ptr()).turn.0 }
    }

    /// The number of the orders, on which the leader sleeps.
    fn number(&self) -> &FutexWord {
        // SAFETY: as above.
        unsafe { &(*self.region.orders().as_ptr()).number.0 }
    }

    /// Has the leader make `commands` in order, now; what the last one returned, which the process may have forged if it has had a guest.
    /// A failure of other calls than clone(2) ends the process, for nobody would know what it has.
    ///
    /// # Errors
    /// [`Lost`].
    pub(crate) fn execute(&self, commands: &[Command]) -> Result<u64, Lost> {
        let mut leader = self.leader.lock();
        for chunk in commands.chunks(COMMANDS) {
            self.order(&mut leader, chunk);
            self.await_leader()?;
        }
        // SAFETY: the answers are mapped.
        Ok(unsafe { ptr::read_volatile(&raw const (*self.region.answers().as_ptr()).result) })
    }

    /// Gives the leader, who has nothing to do, up to [`COMMANDS`] commands.
    fn order(&self, leader: &mut Leader, commands: &[Command]) {
        let commands = &commands[..commands.len().min(COMMANDS)];
        let orders = self.region.orders().as_ptr();
        // SAFETY: the orders are mapped, the leader does not look before the number changes, and the list has room.
        unsafe {
            let list = (&raw mut (*orders).commands).cast::<Command>();
            ptr::copy_nonoverlapping(commands.as_ptr(), list, commands.len());
            ptr::write_volatile(&raw mut (*orders).count, commands.len() as u64);
        }
        self.fetch_leader(leader);
        self.answered().word().store(turn::GUEST, Ordering::Relaxed);
        leader.number = leader.number.wrapping_add(1);
        self.number().word().store(leader.number, Ordering::SeqCst);
        self.number().wake_shared();
    }

    /// Has the leader run on the caller's CPU, which it gets as soon as the caller yields it: to wake a thread on another costs several
    /// times what there is to do.
    fn fetch_leader(&self, leader: &mut Leader) {
        let here = affinity::current_cpu();
        if leader.cpu != here {
            leader.cpu = here;
            affinity::allow(self.pid, here.map_or(Allowed::All, Allowed::Only));
        }
    }

    /// Waits until the leader has done what it was told.
    fn await_leader(&self) -> Result<(), Lost> {
        let mut yields = 0;
        loop {
            if self.is_dead() {
                return Err(Lost);
            }
            if turn::is_kernels(self.answered()) && self.number().is_waited_for() {
                return Ok(());
            }
            if yields < YIELDS {
                yields += 1;
                thread::yield_now();
            } else if turn::is_kernels(self.answered()) {
                // It is about to fall asleep, if others let it: to yield for ever may be a turn for those every time.
                thread::sleep(FALL_ASLEEP);
            } else {
                turn::sleep(self.answered(), Some(crate::time::host_monotonic() + LOOK_AGAIN));
            }
        }
    }

    /// Waits until it is the kernel's turn.
    fn await_turn(&self, slot: usize) -> Result<(), Lost> {
        let word = self.turn(slot);
        if self.is_dead() {
            return Err(Lost);
        }
        for _ in 0..SPIN {
            if turn::is_kernels(word) {
                break;
            }
            std::hint::spin_loop();
        }
        while turn::sleep(word, None) != turn::Waited::Turn {}
        if self.is_dead() { Err(Lost) } else { Ok(()) }
    }

    /// Changes the address space: at once if anything of it runs, else before it does. Nothing is left to be done when the process has
    /// ended.
    pub(crate) fn change(&self, command: Command) {
        if self.is_dead() {
            return;
        }
        let mut pending = self.pending.lock();
        pending.push(command);
        self.has_pending.store(true, Ordering::SeqCst);
        // Pairs with that in `begin`: either it sees what is pending or we see it run.
        fence(Ordering::SeqCst);
        if self.running.load(Ordering::Relaxed) == 0 {
            return;
        }
        let commands = mem::take(&mut *pending);
        // Under the lock: what comes later is done later.
        // If it fails, the process is at its end, and its guest will learn of it.
        let _ = self.execute(&commands);
        self.has_pending.store(false, Ordering::Release);
    }

    /// The process is not needed by this address space any more, of whose mappings `picture` tells: it is kept for another, or ends. When
    /// this returns, nothing of it runs.
    pub(crate) fn retire(
        self: &Arc<Self>,
        heir: Option<&Spares>,
        picture: impl FnOnce() -> Picture,
    ) {
        // From now on its death is nobody's concern.
        self.watchers.lock().0.clear();
        let at_rest = (0..self.slots.load(Ordering::Acquire)).all(|slot| self.is_at_rest(slot));
        if at_rest
            && !self.is_dead()
            && self.slots.load(Ordering::Acquire) == 1
            && self.running.load(Ordering::Acquire) == 0
            && !self.has_pending.load(Ordering::Acquire)
            && let Some(spares) = heir
        {
            *self.left.lock() = Some(picture());
            self.has_pending.store(true, Ordering::Release);
            if spares.put(self) {
                return;
            }
        }
        self.kill();
        let deadline = crate::time::host_monotonic() + END_NS;
        while !at_rest && !self.is_dead() && crate::time::host_monotonic() < deadline {
            thread::sleep(END_AGAIN);
        }
    }

    /// Whether a slot's thread sleeps, and so goes on sleeping until it has the turn. What its block says of that is what the guest wants it
    /// to say.
    fn is_at_rest(&self, slot: usize) -> bool {
        for _ in 0..YIELDS {
            if self.turn(slot).is_waited_for() {
                return true;
            }
            thread::yield_now();
        }
        false
    }
}

/// How often the kernel looks for the end of a command before it sleeps.
const SPIN: u32 = 2000;

impl Drop for Stub {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A context's place in a stub: a thread of its own there.
#[derive(Debug)]
pub(crate) struct Seat {
    stub: Arc<Stub>,
    slot: usize,
    /// Its thread.
    tid: libc::pid_t,
    allowed: Allowed,
}

impl Seat {
    /// The stub it is in.
    pub(crate) fn stub(&self) -> &Arc<Stub> {
        &self.stub
    }

    /// The block of its thread.
    pub(crate) fn block(&self) -> *mut Block {
        self.stub.block(self.slot)
    }

    /// Its turn.
    pub(crate) fn turn(&self) -> &FutexWord {
        self.stub.turn(self.slot)
    }

    /// Where its thread may run.
    pub(crate) fn allowed(&self) -> Allowed {
        self.allowed
    }

    /// Has its thread run elsewhere from now on.
    pub(crate) fn allow(&mut self, allowed: Allowed) {
        // The number of a thread that has ended may be somebody else's.
        if self.allowed != allowed && !self.stub.is_dead() {
            self.allowed = allowed;
            affinity::allow(self.tid, allowed);
        }
    }

    /// Whether its thread could run if the host had a CPU for it; not if it sleeps.
    pub(crate) fn waits_for_cpu(&self) -> bool {
        let stat = std::fs::read(format!("/proc/{}/task/{}/stat", self.stub.pid, self.tid));
        // The state comes behind the name, which is in parentheses and may have some.
        stat.is_ok_and(|stat| {
            let name_end = stat.iter().rposition(|&byte| byte == b')');
            name_end.is_some_and(|end| stat.get(end + 2) == Some(&b'R'))
        })
    }

    /// Interrupts the guest.
    pub(crate) fn kick(&self) {
        // SAFETY: plain tgkill, of a thread of the stub.
        unsafe { libc::syscall(libc::SYS_tgkill, self.stub.pid, self.tid, KICK) };
    }

    /// The caller is about to enter the guest: what is pending for its address space is done.
    pub(crate) fn begin(&self) -> Result<(), Lost> {
        // Both in one order with the fence in `change`.
        self.stub.running.fetch_add(1, Ordering::SeqCst);
        if !self.stub.has_pending.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut pending = self.stub.pending.lock();
        let mut commands = mem::take(&mut *pending);
        if let Some(left) = self.stub.left.lock().take() {
            commands = spare::differences(&left, &commands);
        }
        // Under the lock: nobody else may enter before they are done.
        let done = if commands.is_empty() { Ok(0) } else { self.stub.execute(&commands) };
        self.stub.has_pending.store(false, Ordering::Release);
        drop(pending);
        done.map(drop).inspect_err(|_| self.end())
    }

    /// The guest has been left.
    pub(crate) fn end(&self) {
        self.stub.running.fetch_sub(1, Ordering::Release);
    }

    /// Has the stub's thread, which is at rest, do something.
    pub(crate) fn run_stub(&self, flags: Flags) -> Result<(), Lost> {
        // SAFETY: the block is mapped; it is the kernel's turn.
        unsafe { ptr::write_volatile(&raw mut (*self.block()).message.note, flags.bits()) };
        turn::give(self.turn());
        self.stub.await_turn(self.slot)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.allow(Allowed::All);
        self.stub.free.lock().push((self.slot, self.tid));
    }
}
