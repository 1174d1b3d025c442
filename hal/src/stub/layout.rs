//! What a stub's process has in memory besides its guest, and what kernel and stub say to each other there.
//!
//! ```text
//!  CODE      the stub's code, read-only                                       (image.rs, code.rs)
//!  CONTROL   this stub's region of the control file, mapped by the kernel too
//!              Orders: what its leader is told                                read-only in the stub
//!              Answers: what that says
//!              slot 0: Block (8 KiB), vector state within; signal stack
//!              slot 1: ...                                                    one for each thread with a guest
//!  all the rest: the guest
//! ```
//!
//! The guest can write a region as well as its stub can, but for the orders. So the kernel believes nothing that it finds there: it reads each
//! field once, and whatever it reads can only be registers of that guest, or a wrong time to go on.

use std::ops::Range;

use bitflags::bitflags;

use crate::{context::GeneralRegs, sync::futex_word::FutexWord};

/// Where the stub's code is: among the addresses that sanitizers leave to libraries, for they want nearly all others; far enough below the end that the
/// host's own stack, for as long as there is one, is not there.
pub(crate) const CODE: u64 = 0x7e90_0000_0000;
/// Where a stub sees its region of the control file.
pub(crate) const CONTROL: u64 = CODE + (1 << 20);
/// Where in a region the [`Answers`] begin, behind the [`Orders`].
pub(crate) const ANSWERS: u64 = 16 << 10;
/// Where in a region the slots begin.
pub(crate) const FIRST_SLOT: u64 = 32 << 10;
/// Bytes of a slot: the block, and the signal stack behind it.
pub(crate) const SLOT: u64 = 32 << 10;
/// How many threads of a stub may have guests: as many as Linux numbers by default. A region is a gigabyte of addresses then, and of memory what
/// is used of it.
pub(crate) const SLOTS: usize = (1 << 15) - 1;
/// Bytes of a region.
pub(crate) const REGION: u64 = FIRST_SLOT + SLOT * SLOTS as u64;
/// What no guest has.
pub(crate) const OWN: Range<u64> = CODE..CONTROL + REGION;
/// Commands that are given at once.
pub(crate) const COMMANDS: usize = 128;
/// Bytes that commands may point to.
pub(crate) const SCRATCH: usize = 1024;
/// Bytes for the vector state.
pub(crate) const XSTATE: usize = 2880;

/// Steps of the filter for threads with guests.
pub(crate) const STEPS: usize = 64;

/// Why the guest was left: 0 is a system call through a rewritten site, a positive number a host signal.
pub(crate) const CAUSE_SYSCALL: i32 = 0;

bitflags! {
    /// What the stub is to do when it is its turn, in this order.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct Flags: u32 {
        /// Store the vector state in `xstate`.
        const SAVE = 2;
        /// Load it from there.
        const LOAD = 4;
        /// Give the turn back then, and do not enter the guest.
        const STAY = 8;
        /// Forget code that was fetched.
        const SERIALIZE = 16;
        /// Take all registers from `regs`, `fs_base` and `target`; else those of the call are from the message and the others are as they
        /// were left.
        const ALL = 32;
        /// Look a while before it sleeps, when it waits next.
        const SPIN = 64;
        /// Tell the CPU in `cpu`, when it gives the turn back next.
        const TELL_CPU = 128;
    }
}

/// What a stub's leader is told: memory that the stub cannot write.
#[repr(C, align(64))]
pub(crate) struct Orders {
    /// Counts the orders: another number than the last is one to carry out. The leader sleeps on it when it has done all.
    pub(crate) number: Line,
    /// How many commands there are.
    pub(crate) count: u64,
    pub(crate) commands: [Command; COMMANDS],
    /// What commands point to.
    pub(crate) scratch: [u8; SCRATCH],
    /// An empty signal set.
    pub(crate) no_signals: u64,
    /// The process whose end is the stub's.
    pub(crate) parent: u32,
    pub(crate) unused: u32,
    /// The filter for threads with guests: a `sock_fprog`, and its steps.
    pub(crate) filter: FilterProgram,
    pub(crate) steps: [u64; STEPS],
}

/// `struct sock_fprog`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct FilterProgram {
    pub(crate) len: u64,
    /// Where the stub sees the steps.
    pub(crate) steps: u64,
}

/// What a stub's leader says. The guest can write it too, so it is a hint.
#[repr(C, align(64))]
pub(crate) struct Answers {
    /// The kernel's turn when the orders have been carried out.
    pub(crate) turn: Line,
    /// What the last command returned.
    pub(crate) result: u64,
}

/// A host call for the stub to make.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Command {
    /// Its number.
    pub(crate) number: u64,
    /// Its arguments.
    pub(crate) args: [u64; 6],
}

impl Command {
    /// Maps `len` bytes of physical memory from `pa` on at `start`, with `PROT_*`, replacing what is there.
    pub(crate) fn map(start: u64, len: u64, prot: u64, populate: bool, pa: u64) -> Self {
        let mut flags = libc::MAP_SHARED | libc::MAP_FIXED;
        if populate {
            flags |= libc::MAP_POPULATE;
        }
        Self::new(libc::SYS_mmap, [start, len, prot, flags as u64, super::MEMORY_FD as u64, pa])
    }

    /// Unmaps what is there.
    pub(crate) fn unmap(start: u64, len: u64) -> Self {
        Self::new(libc::SYS_munmap, [start, len, 0, 0, 0, 0])
    }

    /// Changes the protection of what is there to `PROT_*`.
    pub(crate) fn protect(start: u64, len: u64, prot: u64) -> Self {
        Self::new(libc::SYS_mprotect, [start, len, prot, 0, 0, 0])
    }

    pub(crate) fn new(number: i64, args: [u64; 6]) -> Self {
        Self { number: number.cast_unsigned(), args }
    }
}

/// `stack_t` of sigaltstack(2).
#[repr(C)]
pub(crate) struct AltStack {
    pub(crate) sp: u64,
    pub(crate) flags: u64,
    pub(crate) size: u64,
}

/// What one thread of a stub and the kernel share, at the thread's GS base.
#[repr(C, align(64))]
pub(crate) struct Block {
    /// What rewritten call sites expect here as in [a worker's state](crate::context): nothing, and where to jump to.
    pub(crate) unused: u64,
    pub(crate) exit_entry: u64,
    /// Where the stub sees the block.
    pub(crate) own: u64,
    /// The end of the signal stack.
    pub(crate) stack_top: u64,
    pub(crate) altstack: AltStack,
    /// 1 when FS and GS bases can be set without a host call.
    pub(crate) fsgsbase: u32,
    /// Set by the signal handler: a kick found the stub in its own code.
    pub(crate) poke: u32,
    pub(crate) message: Message,
    pub(crate) report: Report,
    /// The registers, but for those of the message when the guest has been left.
    pub(crate) regs: GeneralRegs,
    pub(crate) fs_base: u64,
    /// Where to enter the guest. When it has been left by a system call: where it goes on, as the rewritten site said.
    pub(crate) target: u64,
    /// Which components [`Flags::SAVE`] stores and [`Flags::LOAD`] loads.
    pub(crate) xstate_mask: u32,
    /// Where the guest was left, as rdtscp tells: the CPU in the lower 12 bits. See [`Flags::TELL_CPU`].
    pub(crate) cpu: u32,
    pub(crate) xstate: Xstate,
}

/// The line that goes to and fro between the two CPUs. A system call and its answer are in it as a whole, for each line more would cost as much
/// again.
#[repr(C, align(64))]
pub(crate) struct Message {
    /// Whose turn it is.
    pub(crate) turn: FutexWord,
    /// For the stub, [`Flags`]; for the kernel, [`CAUSE_SYSCALL`] or the number of a signal.
    pub(crate) note: u32,
    /// The registers that a system call has to do with.
    pub(crate) call: CallRegs,
}

/// Of [`GeneralRegs`], those that have a system call's number, arguments and result.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallRegs {
    pub(crate) rax: u64,
    pub(crate) rdi: u64,
    pub(crate) rsi: u64,
    pub(crate) rdx: u64,
    pub(crate) r10: u64,
    pub(crate) r8: u64,
    pub(crate) r9: u64,
}

impl CallRegs {
    /// Those of `regs`.
    pub(crate) fn of(regs: &GeneralRegs) -> Self {
        let GeneralRegs { rax, rdi, rsi, rdx, r10, r8, r9, .. } = *regs;
        Self { rax, rdi, rsi, rdx, r10, r8, r9 }
    }

    /// Makes them those of `regs`.
    pub(crate) fn put(self, regs: &mut GeneralRegs) {
        let Self { rax, rdi, rsi, rdx, r10, r8, r9 } = self;
        *regs = GeneralRegs { rax, rdi, rsi, rdx, r10, r8, r9, ..*regs };
    }
}

/// The signal that the guest was left for.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    /// `si_code` of the signal.
    pub(crate) code: i32,
    pub(crate) unused: u32,
    /// `si_addr` of the signal, and what follows it (a seccomp trap's number and architecture).
    pub(crate) addr: u64,
    pub(crate) call: u64,
    /// `trapno`, `err` and `cr2` of its frame.
    pub(crate) trapno: u64,
    pub(crate) error: u64,
    pub(crate) cr2: u64,
}

/// A line of its own: both sides look at the word all the time.
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) FutexWord);

/// An XSAVE area.
#[repr(C, align(64))]
pub(crate) struct Xstate(pub(crate) [u8; XSTATE]);

const _: () = assert!(size_of::<Message>() == 64);
const _: () = assert!(size_of::<Orders>() <= ANSWERS as usize);
const _: () = assert!(ANSWERS as usize + size_of::<Answers>() <= FIRST_SLOT as usize);
