//! The bare ring: submissions in, completions out.
//!
//! The one idea: this is evering's two queues and the bell by which the kernel says that it is not looking, put together so that no
//! trap is made without need. Nothing here knows of futures.
//!
//! A submission's arguments may be addresses, of which the kernel makes use until its completion is there. What they lead to has to
//! stay until then, which is why [`Ring::stage`] is unsafe.

use std::{
    arch::asm,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use evering::{
    RecvError, SendError,
    heap::Arena,
    peer::{Link, Peer},
    region::{Keeper, Region},
    spsc::{Receiver, Sender},
    wake::SharedBell,
};
use memmap2::MmapOptions;

use crate::abi::{AT_RING, Completion, RING_ENTER, RING_PARK, RING_SETUP, Setup, Submission};

/// A ring of this process with its kernel.
pub struct Ring {
    sender: Sender<Submission, Keeper>,
    receiver: Receiver<Completion, Keeper>,
    arena: Option<Arena>,
    door: Door,
}

/// Where the kernel is told of a ring's news.
pub(crate) struct Door {
    bell: SharedBell<Keeper>,
    fd: OwnedFd,
    /// Where the ring is, and how large.
    region: (NonNull<u8>, usize),
    _link: Link,
}

/// A ring's parts.
pub(crate) struct Parts {
    pub(crate) sender: Sender<Submission, Keeper>,
    pub(crate) receiver: Receiver<Completion, Keeper>,
    pub(crate) arena: Arena,
}

// SAFETY: the region goes where the ring goes.
unsafe impl Send for Ring {}

fn broken(what: &str) -> io::Error {
    io::Error::other(format!("the ring of system calls is of no use any more: {what}"))
}

impl Ring {
    /// Whether this kernel has rings.
    pub fn is_supported() -> bool {
        // SAFETY: it only looks something up.
        unsafe { libc::getauxval(AT_RING) == RING_SETUP }
    }

    /// Makes a ring as `setup` says.
    ///
    /// # Errors
    ///
    /// `ENOSYS` for a kernel that has none; those of [`RING_SETUP`].
    pub fn open(setup: Setup) -> io::Result<Self> {
        let (Parts { sender, receiver, arena }, door) = Self::open_parts(setup)?;
        Ok(Self { sender, receiver, arena: Some(arena), door })
    }

    pub(crate) fn open_parts(mut setup: Setup) -> io::Result<(Parts, Door)> {
        if !Self::is_supported() {
            return Err(io::Error::from_raw_os_error(libc::ENOSYS));
        }
        // SAFETY: the call reads and writes one `Setup`.
        let fd = unsafe { libc::syscall(RING_SETUP as libc::c_long, &raw mut setup) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor, nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        let len = usize::try_from(setup.region).map_err(io::Error::other)?;
        let map = MmapOptions::new().len(len).map_raw(&fd)?;
        let at = NonNull::new(map.as_mut_ptr()).ok_or_else(|| broken("it is nowhere"))?;
        // SAFETY: the mapping is `len` bytes long, at a page's address, nobody else's in this process, and the keeper has it. The
        // kernel made the region before the call returned, and does not take the memory away.
        let region: Region<Completion, Submission> =
            unsafe { Region::attach_at(at, len, Keeper::new(map)) }.map_err(io::Error::other)?;
        let Peer { sender, receiver, arena, link } = region.second().map_err(io::Error::other)?;
        let door = Door { bell: link.peers_bell(), fd, region: (at, len), _link: link };
        Ok((Parts { sender, receiver, arena }, door))
    }

    /// The arena, for buffers in the ring's own memory; `None` when it was taken before.
    pub fn take_arena(&mut self) -> Option<Arena> {
        self.arena.take()
    }

    /// Writes a submission, for the kernel to see when it is [submitted](Self::submit).
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] until the kernel has taken some; the others when the ring is of no use any more.
    ///
    /// # Safety
    ///
    /// Where the call's arguments are addresses, what the call does to the memory there must be allowed until its completion has been
    /// [received](Self::reap): it is valid, and nobody else uses it meanwhile.
    #[inline]
    pub unsafe fn stage(&mut self, submission: Submission) -> Result<(), SendError<Submission>> {
        self.sender.stage(submission)
    }

    /// Has the kernel take what is staged: at once if it is not looking, soon if it is.
    ///
    /// # Errors
    ///
    /// Those of [`RING_ENTER`].
    #[inline]
    pub fn submit(&mut self) -> io::Result<()> {
        self.sender.publish();
        self.door.submit()
    }

    /// Has the kernel take what is staged, and waits until there are `wanted` completions, or for `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`RING_ENTER`]; `ETIME` and `EINTR` are none if it was to wait.
    #[inline]
    pub fn wait(&mut self, wanted: u32, timeout: Option<Duration>) -> io::Result<()> {
        self.sender.publish();
        self.door.wait(wanted, timeout)
    }

    /// As [`wait`](Self::wait), and keeps no register meanwhile ([`RING_PARK`]): for a loop that has nothing to do until then.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    #[inline]
    pub fn park(&mut self, wanted: u32, timeout: Option<Duration>) -> io::Result<()> {
        self.sender.publish();
        self.door.park(wanted, timeout)
    }

    /// The bare memory, for tests of the kernel.
    pub fn raw_region(&self) -> RawRegion {
        let Door { bell, region: (at, len), .. } = &self.door;
        RawRegion { at: *at, len: *len, _keeper: bell.keeper().clone() }
    }

    /// Receives completions, as many as there are and fit: how many.
    ///
    /// # Errors
    ///
    /// The ring is of no use any more.
    #[inline]
    pub fn reap(&mut self, completions: &mut [Completion]) -> io::Result<usize> {
        let Some((first, rest)) = completions.split_first_mut() else { return Ok(0) };
        match self.receiver.recv() {
            Ok(completion) => *first = completion,
            Err(RecvError::Empty) => return Ok(0),
            Err(error) => return Err(broken(&error.to_string())),
        }
        // The first came beside the index, if it is the only one.
        match self.receiver.recv_batch(rest) {
            Ok(count) => Ok(1 + count),
            // Whatever is wrong, it is so the next time.
            Err(_) => Ok(1),
        }
    }
}

impl Door {
    /// Has the kernel take what is published, if it is not looking by itself.
    #[inline]
    pub(crate) fn submit(&self) -> io::Result<()> {
        if self.bell.answer().is_some() { self.enter(0, None).map(drop) } else { Ok(()) }
    }

    /// Has the kernel take what is published, and waits until there are `wanted` completions, or for `timeout`, or until a signal.
    #[inline]
    pub(crate) fn wait(&self, wanted: u32, timeout: Option<Duration>) -> io::Result<()> {
        or_no_more_time(self.enter(wanted, timeout))
    }

    /// As [`wait`](Self::wait), and keeps no register meanwhile.
    #[inline]
    pub(crate) fn park(&self, wanted: u32, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(timespec);
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let there: i64;
        // SAFETY: as in `enter`; and every register of which the kernel may make something else is declared or, as the compiler keeps
        // these two for itself, put on the stack, whose pointer stays.
        unsafe {
            asm!(
                "push rbx",
                "push rbp",
                "syscall",
                "pop rbp",
                "pop rbx",
                inlateout("rax") RING_PARK => there,
                in("rdi") i64::from(self.fd.as_raw_fd()),
                in("rsi") u64::from(wanted),
                in("rdx") timeout,
                lateout("r12") _,
                lateout("r13") _,
                lateout("r14") _,
                lateout("r15") _,
                clobber_abi("C"),
            );
        }
        let error = |_| io::Error::from_raw_os_error(there.unsigned_abs() as i32);
        or_no_more_time(usize::try_from(there).map_err(error))
    }

    fn enter(&self, wanted: u32, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout = timeout.map(timespec);
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let (call, fd) = (RING_ENTER as libc::c_long, self.fd.as_raw_fd());
        // SAFETY: the call reads one timespec, if there is one. What it has others do is what whoever wrote the submissions has promised.
        let there = unsafe { libc::syscall(call, fd, wanted, 0, timeout) };
        usize::try_from(there).map_err(|_| io::Error::last_os_error())
    }
}

/// To have waited for long enough is no error, nor is a signal.
fn or_no_more_time(result: io::Result<usize>) -> io::Result<()> {
    match result {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR)) => Ok(()),
        result => result.map(drop),
    }
}

/// The span as the kernel has it.
pub(crate) fn timespec(span: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: span.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: span.subsec_nanos().into(),
    }
}

impl AsFd for Ring {
    /// Ready to be read (epoll(7)) while there are completions.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.door.fd.as_fd()
    }
}

/// A ring's memory as a hostile program uses it: for tests of the kernel.
pub struct RawRegion {
    at: NonNull<u8>,
    len: usize,
    _keeper: Keeper,
}

// SAFETY: the keeper keeps the memory, of which every use is atomic.
unsafe impl Send for RawRegion {}
// SAFETY: the same.
unsafe impl Sync for RawRegion {}

impl RawRegion {
    /// How many bytes it has.
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Writes `value` at the multiple of eight bytes before `offset`, or nothing beyond the end.
    pub fn poke(&self, offset: usize, value: u64) {
        let offset = offset & !7;
        if offset + 8 <= self.len {
            // SAFETY: within the region, aligned, and kept. Whoever else uses it does so by atomic operations.
            let word = unsafe { self.at.add(offset).cast::<AtomicU64>().as_ref() };
            word.store(value, Ordering::Relaxed);
        }
    }
}
