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
//!  UserContext::run ── block, turn := guest ──────► run commands, load registers, jump
//!       wait: spin, sleep                            guest ...
//!  Trap ◄────────────── block, turn := kernel ───── trap: a rewritten site, SIGSYS, a fault, a kick
//!       handle it                                    wait: spin, sleep
//! ```
//!
//! Changes of the address space are host calls that the stub makes. While nothing of it runs they are collected, and
//! travel with the message that next lets it run; else a thread that is at rest makes them at once, and if none is, one is
//! kicked so that it is.

mod code;
mod filter;
mod image;
pub(crate) mod layout;
mod region;
pub(crate) mod turn;
mod zygote;

use std::{
    io, mem, ptr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicUsize, Ordering, fence},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;

pub(crate) use self::zygote::Zygote;
use self::{
    layout::{AltStack, Block, CODE, COMMANDS, Command, Flags, SLOT, SLOTS},
    region::Region,
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
/// How often a thread that does not come to rest is kicked again.
const KICK_AGAIN: Duration = Duration::from_micros(50);
/// Where in a slot the signal stack begins. It has room for a fault's frame, a kick's on top of that, and one more.
const STACK_BEGIN: u64 = 8 << 10;

/// The stub's process has ended, or cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the host process of a guest is gone")]
pub(crate) struct Lost;

// What a slot's thread does.
/// There is none.
const ABSENT: u8 = 0;
/// It waits, and nobody has to do with it.
const REST: u8 = 1;
/// A context runs there: set by the worker that enters the guest, which ends it as well.
const GUEST: u8 = 2;
/// It makes host calls for whoever changes the address space, who sets and ends this.
const BORROWED: u8 = 3;

/// A stub's process.
#[derive(Debug)]
pub(crate) struct Stub {
    pid: libc::pid_t,
    region: Arc<Region>,
    index: u64,
    zygote: Weak<Zygote>,
    dead: AtomicBool,
    /// What each slot's thread does.
    states: Box<[AtomicU8; SLOTS]>,
    /// Their host thread ids.
    tids: Box<[AtomicI32; SLOTS]>,
    /// Slots with a thread that no context has. Whoever holds it may give out another slot.
    free: Mutex<Vec<usize>>,
    /// How many slots have a thread, or are about to.
    slots: AtomicUsize,
    /// How many slots run guests.
    running: AtomicUsize,
    /// Somebody waits for a thread to be at rest.
    wanted: AtomicUsize,
    pending: Mutex<Vec<Command>>,
    has_pending: AtomicBool,
    /// Who wants to know of its death.
    watchers: Mutex<Watchers>,
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

/// Bytes of a block that commands may point to.
pub(super) struct Scratch<'a> {
    stub: &'a Stub,
    used: std::cell::Cell<usize>,
}

impl Scratch<'_> {
    /// Stores bytes and says where the stub finds them.
    fn put(&self, bytes: &[u8]) -> u64 {
        let at = self.used.get().next_multiple_of(16);
        self.used.set(at + bytes.len());
        let block = self.stub.region.block(0).as_ptr();
        let offset = mem::offset_of!(Block, scratch) + at;
        assert!(at + bytes.len() <= layout::SCRATCH, "the kernel's own structures fit");
        // SAFETY: inside of the block, which is mapped; nobody reads it before the commands are given.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), block.cast::<u8>().add(offset), bytes.len())
        };
        Region::block_in_stub(0) + offset as u64
    }
}

/// Says what the host lacks for stubs.
fn check_host() -> io::Result<()> {
    if !crate::context::has_xsave() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "the CPU has no XSAVE"));
    }
    Ok(())
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
        (*block).spin = 0;
        (*block).turn.0.word().store(turn::GUEST, Ordering::Release);
    }
}

impl Stub {
    fn new(pid: libc::pid_t, region: Arc<Region>, index: u64, zygote: Weak<Zygote>) -> Self {
        let stub = Self {
            pid,
            region,
            index,
            zygote,
            dead: AtomicBool::new(false),
            states: Box::new([const { AtomicU8::new(ABSENT) }; SLOTS]),
            tids: Box::new([const { AtomicI32::new(0) }; SLOTS]),
            free: Mutex::new(vec![0]),
            slots: AtomicUsize::new(1),
            running: AtomicUsize::new(0),
            wanted: AtomicUsize::new(0),
            pending: Mutex::default(),
            has_pending: AtomicBool::new(false),
            watchers: Mutex::default(),
        };
        stub.states[0].store(REST, Ordering::Relaxed);
        stub.tids[0].store(pid, Ordering::Relaxed);
        stub
    }

    fn scratch(&self) -> Scratch<'_> {
        Scratch { stub: self, used: std::cell::Cell::new(0) }
    }

    /// Whether the process has ended.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Has all who wait for the process learn that it has ended.
    fn note_death(&self) {
        self.dead.store(true, Ordering::SeqCst);
        // Without the lock of `free`: whoever holds it may be waiting for a turn of this process.
        for slot in 0..self.slots.load(Ordering::SeqCst) {
            let word = self.turn(slot);
            word.word().fetch_or(turn::KERNEL, Ordering::SeqCst);
            word.wake_shared();
        }
        let watchers = mem::take(&mut self.watchers.lock().0);
        for watcher in watchers.iter().filter_map(Weak::upgrade) {
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

    /// The block of a slot.
    pub(crate) fn block(&self, slot: usize) -> *mut Block {
        self.region.block(slot).as_ptr()
    }

    /// Whose turn a slot is.
    pub(crate) fn turn(&self, slot: usize) -> &FutexWord {
        // SAFETY: the block is mapped as long as `self` lives, and the word is atomic.
        unsafe { &(*self.block(slot)).turn.0 }
    }

    /// Interrupts the guest in a slot.
    pub(crate) fn kick(&self, slot: usize) {
        let tid = self.tids[slot].load(Ordering::Relaxed);
        // SAFETY: plain tgkill, of a thread of the stub.
        unsafe { libc::syscall(libc::SYS_tgkill, self.pid, tid, KICK) };
    }

    /// Takes a slot with a thread for a context.
    pub(crate) fn take_seat(self: &Arc<Self>) -> Result<Seat, Lost> {
        let mut free = self.free.lock();
        let slot = match free.pop() {
            Some(slot) => slot,
            None => {
                let slot = self.slots.load(Ordering::Relaxed);
                if slot >= SLOTS {
                    return Err(Lost);
                }
                self.add_thread(slot)?;
                slot
            }
        };
        Ok(Seat { stub: self.clone(), slot })
    }

    fn add_thread(&self, slot: usize) -> Result<(), Lost> {
        prepare_slot(&self.region, slot);
        self.slots.store(slot + 1, Ordering::SeqCst);
        let own = Region::block_in_stub(slot);
        let clone = Command::new(libc::SYS_clone, [THREAD as u64, 0, 0, 0, 0, own]);
        let tid = self.execute(&[clone])?;
        self.tids[slot].store(i32::try_from(tid).map_err(|_| Lost)?, Ordering::Relaxed);
        self.await_turn(slot)?;
        self.states[slot].store(REST, Ordering::Release);
        Ok(())
    }

    /// Has the stub make `commands` in order, now; what the last one returned. A failure ends the process, for nobody knows what it has.
    ///
    /// # Errors
    /// [`Lost`].
    pub(crate) fn execute(&self, commands: &[Command]) -> Result<u64, Lost> {
        let slot = self.borrow_slot()?;
        let done = self.execute_on(slot, commands);
        self.states[slot].store(REST, Ordering::Release);
        done
    }

    /// A slot whose thread is at rest, for the caller alone.
    fn borrow_slot(&self) -> Result<usize, Lost> {
        let mut wanted = None;
        loop {
            for (slot, state) in self.states.iter().enumerate() {
                match state.load(Ordering::Relaxed) {
                    ABSENT => break,
                    REST => {
                        let taken = state.compare_exchange(
                            REST,
                            BORROWED,
                            Ordering::Acquire,
                            Ordering::Relaxed,
                        );
                        if taken.is_ok() {
                            return Ok(slot);
                        }
                    }
                    _ => {}
                }
            }
            if self.is_dead() {
                return Err(Lost);
            }
            if wanted.is_some() {
                thread::sleep(KICK_AGAIN);
            }
            wanted.get_or_insert_with(|| Wanted::new(&self.wanted));
            if let Some(slot) =
                self.states.iter().position(|state| state.load(Ordering::Relaxed) == GUEST)
            {
                self.kick(slot);
            }
        }
    }

    /// As [`execute`](Self::execute), by the thread of a slot that is the caller's.
    pub(crate) fn execute_on(&self, slot: usize, commands: &[Command]) -> Result<u64, Lost> {
        let block = self.block(slot);
        let mut result = 0;
        for chunk in commands.chunks(COMMANDS) {
            self.put_commands(slot, chunk);
            self.run_stub(slot, Flags::COMMANDS | Flags::STAY)?;
            // SAFETY: the block is mapped; what the guest may have put there is only a number.
            let (left, last) = unsafe {
                (
                    ptr::read_volatile(&raw const (*block).count),
                    ptr::read_volatile(&raw const (*block).result),
                )
            };
            if left != 0 {
                log::debug!(
                    "a host call of a stub failed: {} of {}, {:?}",
                    left,
                    chunk.len(),
                    io::Error::from_raw_os_error(-(last as i32))
                );
                self.kill();
                return Err(Lost);
            }
            result = last;
        }
        Ok(result)
    }

    /// Lets the thread of a slot do what `flags` say, and waits until it has.
    pub(crate) fn run_stub(&self, slot: usize, flags: Flags) -> Result<(), Lost> {
        self.start_stub(slot, flags);
        self.await_turn(slot)
    }

    /// Lets the thread of a slot do what `flags` say.
    fn start_stub(&self, slot: usize, flags: Flags) {
        // SAFETY: the block is mapped; it is the kernel's turn.
        unsafe { ptr::write_volatile(&raw mut (*self.block(slot)).flags, flags.bits()) };
        turn::give(self.turn(slot));
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

    /// Puts up to [`COMMANDS`] commands into a block.
    pub(crate) fn put_commands(&self, slot: usize, commands: &[Command]) {
        let block = self.block(slot);
        let commands = &commands[..commands.len().min(COMMANDS)];
        // SAFETY: the block is mapped, it is the kernel's turn, and the list has room.
        unsafe {
            ptr::copy_nonoverlapping(
                commands.as_ptr(),
                (&raw mut (*block).commands).cast::<Command>(),
                commands.len(),
            );
            ptr::write_volatile(&raw mut (*block).count, commands.len() as u64);
        }
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

    /// The process is not needed any more: it is kept for another, or ends.
    pub(crate) fn retire(self: &Arc<Self>) {
        // From now on its death is nobody's concern.
        self.watchers.lock().0.clear();
        match self.zygote.upgrade() {
            Some(zygote) if !self.is_dead() => zygote.retire(self.clone()),
            _ => self.kill(),
        }
    }

    /// Begins to empty the address space; false if the process cannot be used again.
    fn clean(&self) -> bool {
        let reusable = self.slots.load(Ordering::Acquire) == 1
            && self.states[0]
                .compare_exchange(REST, BORROWED, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if !reusable {
            return false;
        }
        self.pending.lock().clear();
        self.has_pending.store(false, Ordering::Relaxed);
        let unmap = Command::new(libc::SYS_munmap, [0, crate::pmem::GUEST_BOUNDARY, 0, 0, 0, 0]);
        self.put_commands(0, &[unmap]);
        // SAFETY: the block is mapped; it is the kernel's turn.
        unsafe { ptr::write_volatile(&raw mut (*self.block(0)).spin, 0) };
        self.start_stub(0, Flags::COMMANDS | Flags::STAY);
        // If it was noted before that, nobody will give the turn back.
        !self.is_dead()
    }

    /// Waits until the address space is empty; false if the process cannot be used again.
    fn is_clean(&self) -> bool {
        if self.await_turn(0).is_err() {
            return false;
        }
        // SAFETY: the block is mapped.
        let left = unsafe { ptr::read_volatile(&raw const (*self.block(0)).count) };
        if left != 0 {
            return false;
        }
        self.states[0].store(REST, Ordering::Release);
        true
    }
}

/// How often the kernel looks for the end of a command before it sleeps.
const SPIN: u32 = 2000;

impl Drop for Stub {
    fn drop(&mut self) {
        self.kill();
        if let Some(zygote) = self.zygote.upgrade() {
            zygote.release_region(self.index);
        }
    }
}

/// While it lives, threads that leave a guest stay at rest for a moment.
struct Wanted<'a>(&'a AtomicUsize);

impl<'a> Wanted<'a> {
    fn new(wanted: &'a AtomicUsize) -> Self {
        wanted.fetch_add(1, Ordering::SeqCst);
        Self(wanted)
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A context's place in a stub: a thread of its own there.
#[derive(Debug)]
pub(crate) struct Seat {
    stub: Arc<Stub>,
    slot: usize,
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

    /// Interrupts the guest.
    pub(crate) fn kick(&self) {
        self.stub.kick(self.slot);
    }

    /// The caller is about to enter the guest: what is pending for its address space is done, up to what goes along with the message, for
    /// which the result says whether there is any.
    pub(crate) fn begin(&self) -> Result<bool, Lost> {
        let state = &self.stub.states[self.slot];
        while self.stub.wanted.load(Ordering::Relaxed) > 0
            || state.compare_exchange(REST, GUEST, Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            if self.stub.is_dead() {
                return Err(Lost);
            }
            thread::yield_now();
        }
        self.stub.running.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !self.stub.has_pending.load(Ordering::Acquire) {
            return Ok(false);
        }
        // Who has the lock may wait for this very thread to be at rest.
        let Some(mut pending) = self.stub.pending.try_lock() else {
            self.end();
            thread::yield_now();
            return self.begin();
        };
        let commands = mem::take(&mut *pending);
        // With other threads, one of them might make a later change before this one has made those that go along.
        let alone = self.stub.slots.load(Ordering::SeqCst) == 1;
        let along = if alone { commands.len().min(COMMANDS) } else { 0 };
        let (now, along) = commands.split_at(commands.len() - along);
        if !now.is_empty()
            && let Err(lost) = self.stub.execute_on(self.slot, now)
        {
            drop(pending);
            self.end();
            return Err(lost);
        }
        self.stub.put_commands(self.slot, along);
        // Not before what cannot go along is done: until then nobody else may enter.
        self.stub.has_pending.store(false, Ordering::Release);
        Ok(!along.is_empty())
    }

    /// The guest has been left.
    pub(crate) fn end(&self) {
        self.stub.running.fetch_sub(1, Ordering::Release);
        self.stub.states[self.slot].store(REST, Ordering::Release);
    }

    /// Has the stub's thread, which is at rest, do something.
    pub(crate) fn run_stub(&self, flags: Flags) -> Result<(), Lost> {
        let state = &self.stub.states[self.slot];
        while state.compare_exchange(REST, BORROWED, Ordering::Acquire, Ordering::Relaxed).is_err()
        {
            if self.stub.is_dead() {
                return Err(Lost);
            }
            thread::yield_now();
        }
        let done = self.stub.run_stub(self.slot, flags);
        state.store(REST, Ordering::Release);
        done
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.stub.free.lock().push(self.slot);
    }
}
