//! What a guest and the kernel say to each other: numbers and layouts.
//!
//! The one idea: a ring is a region of evering's, in which the guest is the second side. It sends [`Submission`]s, the kernel sends
//! [`Completion`]s, one for each. A submission has the number and the arguments of a system call as a trap would have them in
//! registers, so there is nothing to learn but how calls are put together: [`flags`] and the [calls](call) that only rings know.
//!
//! ```text
//!  guest                            region                            kernel
//!    │  Submission { id, call, … } ─► queue of the second side ─►  carried out: at once, or as a task of the process
//!    │  Completion { id, result }  ◄─ queue of the first side  ◄─  in the order in which they are finished
//!    │  ring_enter ────────────────────────────────────────────►  "there is something", "wait until there is something"
//! ```
//!
//! A kernel that has rings says so by [`AT_RING`] in the auxiliary vector of every program; everywhere else [`RING_SETUP`] is
//! `ENOSYS`.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The type of the auxiliary vector's entry whose value is [`RING_SETUP`], if the kernel has rings.
pub const AT_RING: u64 = 0x4556;

/// `ring_setup(setup: *mut Setup) -> fd`: makes a ring. The descriptor is to be mapped, `MAP_SHARED` at offset 0, all of
/// [`Setup::region`] bytes, and attached to as the second side of a region of evering's. It is ready to be read (epoll(7)) while there are completions.
///
/// Errors: `EINVAL` for numbers that are not powers of two or beyond [`MAX_ENTRIES`], or unknown flags; `EMFILE`, `ENOMEM`, `EFAULT`.
pub const RING_SETUP: u64 = 1024;

/// `ring_enter(fd, wanted: u32, flags: u32, timeout: *const timespec) -> completions`: has the kernel take the submissions that there
/// are, and waits until there are `wanted` completions, or for no longer than `timeout` if it is not null.
///
/// Returns how many completions there are to receive. The kernel takes no submission for whose completion there would be no
/// room: those that are there must be received first.
///
/// Errors: `EBADF`; `EOPNOTSUPP` if it is no ring; `EPERM` for a process that did not make it; `EIO` for a ring whose indices make no sense, or
/// whose program was replaced, which is over then; `ETIME` when the time is up, `EINTR` at a signal; `EFAULT`, `EINVAL`.
pub const RING_ENTER: u64 = 1025;

/// `ring_park(fd, wanted: u32, timeout: *const timespec) -> completions`: as [`RING_ENTER`] for a program that keeps nothing in registers
/// while all its tasks wait, but its stack pointer. In all others but the thread pointer and `rax` it finds anything, and in `mxcsr` and the x87 control word what a
/// function may expect. So what the kernel keeps of it meanwhile is a place to call.
pub const RING_PARK: u64 = 1026;

/// The most entries of a queue.
pub const MAX_ENTRIES: u32 = 1 << 15;
/// The most bytes of a guest's arena.
pub const MAX_ARENA: u64 = 1 << 30;

/// How a ring is to be: the argument of [`RING_SETUP`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Setup {
    /// [`setup`].
    pub flags: u32,
    /// Entries of the queue of submissions, a power of two.
    pub submissions: u32,
    /// Entries of the queue of completions, a power of two; so many calls can be on their way.
    pub completions: u32,
    /// With [`setup::POLLED`]: µs for which the kernel looks at an idle ring before it sleeps; 0 is its default.
    pub idle: u32,
    /// Bytes of the guest's arena, for buffers.
    pub arena: u64,
    /// Written by the kernel: how many bytes to map.
    pub region: u64,
}

/// The bits of [`Setup::flags`].
pub mod setup {
    /// The kernel looks for submissions by itself, and says in the region's bell when it has stopped: whoever answers that bell calls
    /// [`RING_ENTER`](super::RING_ENTER). With one CPU only, or none to spare, nobody looks, and the bell says so.
    pub const POLLED: u32 = 1;
}

/// A system call to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Submission {
    /// What its completion is known by. The kernel does not look at it, but to find what to cancel.
    pub id: u64,
    /// The number of a system call of Linux, or one of [`call`].
    pub call: u32,
    /// [`flags`].
    pub flags: u16,
    /// With [`flags::PICK`]: the group of buffers to pick one from.
    pub group: u16,
    /// As in the registers rdi, rsi, rdx, r10, r8, r9.
    pub arguments: [u64; 6],
}

/// The bits of [`Submission::flags`].
pub mod flags {
    /// The next submission begins when this one has succeeded; if it has not, the next one is not made and completes with
    /// `ECANCELED`, as does what is linked to that.
    pub const LINK: u16 = 1;
    /// With [`LINK`]: the next one begins however this one ended.
    pub const ANYWAY: u16 = 2;
    /// The kernel picks a buffer of [`group`](super::Submission::group) in place of the call's second argument, and its size bounds the
    /// third; see [`Completion::picked`](super::Completion::picked). `ENOBUFS` when there is none.
    pub const PICK: u16 = 4;
    /// The call's second argument is no address but a place in the registered buffer with the number in
    /// [`group`](super::Submission::group), counted in bytes, and its third argument how many bytes from there on. For read(2), write(2), pread(2),
    /// pwrite(2), recvfrom(2) and sendto(2); `EINVAL` for others and with [`PICK`]; `EFAULT` unless all the bytes are in that buffer.
    pub const FIXED: u16 = 8;

    /// All of them.
    pub const ALL: u16 = LINK | ANYWAY | PICK | FIXED;
}

/// Calls that only rings have; their numbers are beyond those of all system calls.
pub mod call {
    /// Does nothing.
    pub const NOP: u32 = 1 << 31;
    /// `(id)`: cancels the submission `id` that is on its way. It completes with `ECANCELED`, or as it would have if it was about to
    /// end. This one: 0, or `ENOENT` if there is none.
    pub const CANCEL: u32 = NOP + 1;
    /// `(nanoseconds, absolute)`: the next submission, with all that is linked to it, gets so much time, or has until then on the monotonic
    /// clock; what is not done by then completes with `ETIME`. This one completes at once.
    pub const DEADLINE: u32 = NOP + 2;
    /// `(nanoseconds, absolute)`: completes with 0 when so much time has passed, or at that time of the monotonic clock.
    pub const TIMER: u32 = NOP + 3;
    /// `(address, size, count, first)`, to the group in [`group`](super::Submission::group): lends the kernel `count` buffers of `size`
    /// bytes each, one behind the other, numbered from `first` on, to [pick](super::flags::PICK) from. Each is picked once.
    pub const PROVIDE: u32 = NOP + 4;
    /// `(address, size)`, with a number in [`group`](super::Submission::group): registers `size` bytes as the ring's buffer of that number, in
    /// place of what it was before, to be used with [`FIXED`](super::flags::FIXED). Its pages are made present, so that no transfer finds
    /// one missing; where it is unmapped later, that costs the transfer an `EFAULT`. It counts from its completion on, or for what is linked to it.
    /// No bytes end what the number meant, but not for calls that are on their way.
    ///
    /// `EFAULT` unless all of it can be written to, `EINVAL` for more than 1 GiB, `ENOMEM`.
    pub const REGISTER: u32 = NOP + 5;
}

/// The outcome of a submission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Completion {
    /// The submission's.
    pub id: u64,
    /// What the call returned: a negative number is an error's.
    pub result: i64,
}

impl Completion {
    /// The result of a call with a buffer that the kernel has picked: its number, and how much the call returned.
    pub fn pack(buffer: u16, len: u32) -> i64 {
        i64::from(buffer) << 32 | i64::from(len)
    }

    /// The number of the buffer that was picked for a submission with [`flags::PICK`], and what the call returned. None was picked
    /// for one that has failed.
    pub fn picked(&self) -> Option<(u16, u32)> {
        let result = u64::try_from(self.result).ok()?;
        Some(((result >> 32) as u16, result as u32))
    }
}
