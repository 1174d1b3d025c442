//! Calls that do not block, epoll(7), and threads for the rest: for hosts without io_uring.
//!
//! The one idea: each call is tried at once, in a way in which it does not block. If it would, it waits until its descriptor is ready and is
//! tried again; and if its descriptor is one that is never unready, as a file's is, a thread of the [pool](super::pool) makes it.
//!
//! ```text
//!   begin ─► tried ─► done
//!              │ EAGAIN
//!              ├─► epoll takes the descriptor ─► ready ─► tried again
//!              └─► it does not (EPERM) ────────► a thread ─► done
//! ```

use std::{
    collections::{HashMap, VecDeque},
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    time::Duration,
};

use super::{
    BATCH, Backend, Side,
    direct::{self, is, last_error},
    pool::Pool,
};
use crate::{
    abi::{Completion, Submission, call, flags},
    ring::timespec,
    runtime::event,
};

/// The number under which epoll knows the pool.
const POOL: u64 = u64::MAX;
/// How long to wait before a socket that said `EAGAIN` to connect(2) is asked again: nothing tells when its peer's queue has room.
const AGAIN: Duration = Duration::from_millis(1);
/// As much as a pipe takes at once when it is ready for more.
const PIPE_BUF: u64 = 4096;

pub(super) struct Epoll {
    side: Side,
    epoll: OwnedFd,
    /// What waits for a descriptor, by its number.
    waiting: HashMap<u64, Submission>,
    /// The descriptors that something waits for.
    watched: HashMap<RawFd, Watched>,
    /// What is tried again after a while.
    again: Vec<u64>,
    groups: HashMap<u16, VecDeque<Buffer>>,
    pool: Pool,
}

#[derive(Default)]
struct Watched {
    readers: VecDeque<u64>,
    writers: VecDeque<u64>,
}

/// A buffer to pick.
struct Buffer {
    number: u16,
    address: u64,
    size: u64,
}

/// What trying has come to.
enum Tried {
    Done(i64),
    /// It would block.
    Blocks,
    /// It has to be made by somebody who may block, if epoll does not know about it either.
    Unknown,
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

impl Epoll {
    /// Errors: `EMFILE`, `ENFILE`, `ENOMEM`.
    pub(super) fn new(side: Side) -> io::Result<Self> {
        // SAFETY: it takes no pointer.
        let epoll = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: a fresh descriptor, nobody else's.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let pool = Pool::new(event::create()?);
        let this = Self {
            side,
            epoll,
            waiting: HashMap::new(),
            watched: HashMap::new(),
            again: Vec::new(),
            groups: HashMap::new(),
            pool,
        };
        this.control(libc::EPOLL_CTL_ADD, this.pool.raw_fd(), libc::EPOLLIN as u32, POOL)?;
        Ok(this)
    }

    fn control(&self, what: libc::c_int, fd: RawFd, events: u32, number: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: number };
        // SAFETY: the call reads one event.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), what, fd, &raw mut event) })
            .map(drop)
    }

    /// Begins all that there is.
    fn begin_all(&mut self) {
        let mut batch = [Submission::default(); BATCH];
        loop {
            let count = self.side.take(&mut batch);
            for submission in &batch[..count] {
                self.begin(submission);
            }
            if count < BATCH {
                return;
            }
        }
    }

    fn begin(&mut self, submission: &Submission) {
        let [a, b, c, d, ..] = submission.arguments;
        match submission.call {
            call::NOP => self.side.answer(submission.id, 0),
            call::CANCEL => self.cancel(a),
            call::PROVIDE => {
                let buffers = self.groups.entry(submission.group).or_default();
                buffers.extend((0..c).map(|index| Buffer {
                    number: (d + index) as u16,
                    address: a + b * index,
                    size: b,
                }));
                self.side.answer(submission.id, 0);
            }
            _ => self.attempt(submission, false),
        }
    }

    /// Tries it; `ready` says that its descriptor was.
    fn attempt(&mut self, submission: &Submission, ready: bool) {
        match self.try_once(submission, ready) {
            Tried::Done(result) => self.side.answer(submission.id, result),
            Tried::Blocks | Tried::Unknown if self.wait_for_descriptor(submission) => {}
            Tried::Blocks | Tried::Unknown => {
                // SAFETY: what the call leads to stays until its completion is there.
                if let Err(error) = unsafe { self.pool.begin(*submission) } {
                    let error = error.raw_os_error().unwrap_or(libc::EAGAIN);
                    self.side.answer(submission.id, -i64::from(error));
                }
            }
        }
    }

    fn try_once(&mut self, submission: &Submission, ready: bool) -> Tried {
        if submission.flags & flags::PICK != 0 {
            return self.try_picking(submission, ready);
        }
        try_call(submission, ready)
    }

    /// As [`try_call`], into a buffer of ours.
    fn try_picking(&mut self, submission: &Submission, ready: bool) -> Tried {
        let Some(buffer) = self.groups.get_mut(&submission.group).and_then(VecDeque::pop_front)
        else {
            return Tried::Done(-i64::from(libc::ENOBUFS));
        };
        let mut filled = *submission;
        filled.arguments[1] = buffer.address;
        filled.arguments[2] = buffer.size.min(submission.arguments[2]);
        match try_call(&filled, ready) {
            Tried::Done(len) if len >= 0 => {
                Tried::Done(Completion::pack(buffer.number, len as u32))
            }
            other => {
                self.groups.entry(submission.group).or_default().push_front(buffer);
                other
            }
        }
    }

    /// Has it wait until its descriptor is ready, if that can be.
    fn wait_for_descriptor(&mut self, submission: &Submission) -> bool {
        let Some(writes) = direction(submission) else { return false };
        let (id, fd) = (submission.id, submission.arguments[0] as RawFd);
        let watched = self.watched.entry(fd).or_default();
        if writes { &mut watched.writers } else { &mut watched.readers }.push_back(id);
        if self.watch(fd).is_err() {
            let watched = self.watched.entry(fd).or_default();
            if writes { &mut watched.writers } else { &mut watched.readers }.pop_back();
            if watched.readers.is_empty() && watched.writers.is_empty() {
                self.watched.remove(&fd);
            }
            return false;
        }
        if is(submission, libc::SYS_connect) {
            self.again.push(id);
        }
        self.waiting.insert(id, *submission);
        true
    }

    /// Has epoll tell once when a descriptor is ready for what waits for it.
    fn watch(&self, fd: RawFd) -> io::Result<()> {
        let Some(watched) = self.watched.get(&fd) else { return Ok(()) };
        let mut events = libc::EPOLLONESHOT as u32;
        if !watched.readers.is_empty() {
            events |= (libc::EPOLLIN | libc::EPOLLRDHUP) as u32;
        }
        if !watched.writers.is_empty() {
            events |= libc::EPOLLOUT as u32;
        }
        // One that was watched before is still known, unless it was closed in between.
        match self.control(libc::EPOLL_CTL_MOD, fd, events, fd as u64) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                self.control(libc::EPOLL_CTL_ADD, fd, events, fd as u64)
            }
            result => result,
        }
    }

    /// Ends what waits early; what is being done goes on.
    fn cancel(&mut self, id: u64) {
        if let Some(submission) = self.waiting.remove(&id) {
            let fd = submission.arguments[0] as RawFd;
            if let Some(watched) = self.watched.get_mut(&fd) {
                watched.readers.retain(|&other| other != id);
                watched.writers.retain(|&other| other != id);
                if watched.readers.is_empty() && watched.writers.is_empty() {
                    self.watched.remove(&fd);
                }
            }
        } else if !self.pool.take_back(id) {
            return;
        }
        self.side.answer(id, -i64::from(libc::ECANCELED));
    }

    /// A descriptor is ready: tries what waits for it, one after the other, as long as that goes well.
    fn ready(&mut self, fd: RawFd, events: u32) {
        let wrong = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
        let mut ids = VecDeque::new();
        if let Some(watched) = self.watched.remove(&fd) {
            let Watched { readers, writers } = watched;
            let (mut now, mut later) = (VecDeque::new(), Watched::default());
            if events & (libc::EPOLLIN as u32 | libc::EPOLLRDHUP as u32 | wrong) != 0 {
                now.extend(readers);
            } else {
                later.readers = readers;
            }
            if events & (libc::EPOLLOUT as u32 | wrong) != 0 {
                now.extend(writers);
            } else {
                later.writers = writers;
            }
            if !later.readers.is_empty() || !later.writers.is_empty() {
                self.watched.insert(fd, later);
                // What it is watched for already it can be watched for again.
                let _ = self.watch(fd);
            }
            ids = now;
        }
        for id in ids {
            if let Some(submission) = self.waiting.remove(&id) {
                self.attempt(&submission, true);
            }
        }
    }

    /// Tries what nothing will tell of.
    fn try_again(&mut self) {
        for id in std::mem::take(&mut self.again) {
            if let Some(submission) = self.waiting.get(&id).copied() {
                self.ready(submission.arguments[0] as RawFd, libc::EPOLLOUT as u32);
            }
        }
    }

    fn wait_for_events(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = if self.again.is_empty() {
            timeout
        } else {
            Some(timeout.map_or(AGAIN, |timeout| timeout.min(AGAIN)))
        };
        let timeout = timeout.map(timespec);
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        let (epoll, room) = (self.epoll.as_raw_fd(), events.len());
        // SAFETY: as many events are written as there is room for; one timespec is read, if there is one; there is no mask.
        let count = unsafe {
            libc::syscall(libc::SYS_epoll_pwait2, epoll, events.as_mut_ptr(), room, timeout, 0, 0)
        };
        let count = match usize::try_from(count) {
            Ok(count) => count,
            Err(_) if last_error() == i64::from(libc::EINTR) => 0,
            Err(_) => return Err(io::Error::last_os_error()),
        };
        for event in &events[..count] {
            if event.u64 == POOL {
                for (id, result) in self.pool.results() {
                    self.side.answer(id, result);
                }
            } else {
                self.ready(event.u64 as RawFd, event.events);
            }
        }
        self.try_again();
        Ok(())
    }
}

impl Backend for Epoll {
    fn submit(&mut self) -> io::Result<()> {
        self.begin_all();
        self.wait_for_events(Some(Duration::ZERO))
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.begin_all();
        let timeout = if self.side.has_answers() { Some(Duration::ZERO) } else { timeout };
        self.wait_for_events(timeout)
    }
}

/// Whether it waits until its descriptor can be written to; `None` for what waits for no descriptor.
fn direction(submission: &Submission) -> Option<bool> {
    match submission.call.into() {
        libc::SYS_read | libc::SYS_recvfrom | libc::SYS_accept4 => Some(false),
        libc::SYS_write | libc::SYS_sendto | libc::SYS_connect => Some(true),
        _ => None,
    }
}

/// Makes a call unless it would block.
fn try_call(submission: &Submission, ready: bool) -> Tried {
    let mut changed = *submission;
    let [a, b, c, d, ..] = submission.arguments;
    let (fd, iov) = (a as RawFd, libc::iovec { iov_base: b as *mut _, iov_len: c as usize });
    let [read, pread, write, pwrite] =
        [libc::SYS_read, libc::SYS_pread64, libc::SYS_write, libc::SYS_pwrite64]
            .map(|number| is(submission, number));
    let result = if read || pread || write || pwrite {
        let at = if pread || pwrite { d as libc::off_t } else { -1 };
        let how = libc::RWF_NOWAIT;
        let result = if read || pread {
            // SAFETY: what the submission leads to may be written to until its completion is there.
            unsafe { libc::preadv2(fd, &raw const iov, 1, at, how) }
        } else {
            // SAFETY: what the submission leads to may be read until its completion is there.
            unsafe { libc::pwritev2(fd, &raw const iov, 1, at, how) }
        };
        if result < 0
            && matches!(last_error() as i32, libc::EOPNOTSUPP | libc::ENOSYS | libc::ESPIPE)
        {
            if !ready {
                return Tried::Unknown;
            }
            if write {
                changed.arguments[2] = c.min(PIPE_BUF);
            }
            // It is ready, and blocks no longer than somebody else is faster.
            // SAFETY: as above.
            return Tried::Done(unsafe { direct::call(&changed) });
        }
        if result < 0 { -last_error() } else { result as i64 }
    } else if is(submission, libc::SYS_recvfrom) || is(submission, libc::SYS_sendto) {
        changed.arguments[3] |= libc::MSG_DONTWAIT as u64;
        // SAFETY: as above.
        unsafe { direct::call(&changed) }
    } else if is(submission, libc::SYS_accept4) {
        set_nonblocking(fd, true);
        // SAFETY: as above.
        unsafe { direct::call(submission) }
    } else if is(submission, libc::SYS_connect) {
        return try_connect(submission, ready);
    } else if may_block(submission) {
        return Tried::Unknown;
    } else {
        // SAFETY: as above.
        unsafe { direct::call(submission) }
    };
    if result == -i64::from(libc::EAGAIN) { Tried::Blocks } else { Tried::Done(result) }
}

/// Whether a call has to do with a disk.
fn may_block(submission: &Submission) -> bool {
    [libc::SYS_openat, libc::SYS_statx, libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_getdents64]
        .iter()
        .any(|&number| is(submission, number))
}

fn try_connect(submission: &Submission, ready: bool) -> Tried {
    let fd = submission.arguments[0] as RawFd;
    set_nonblocking(fd, true);
    // SAFETY: what the submission leads to stays until its completion is there.
    let mut result = unsafe { direct::call(submission) };
    if ready && result == -i64::from(libc::EISCONN) {
        result = 0;
    }
    match (-result) as i32 {
        libc::EAGAIN | libc::EINPROGRESS | libc::EALREADY => Tried::Blocks,
        _ => {
            set_nonblocking(fd, false);
            Tried::Done(result)
        }
    }
}

/// Has calls on the descriptor say `EAGAIN`, or not.
fn set_nonblocking(fd: RawFd, on: bool) {
    // SAFETY: it takes no pointer.
    let before = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    let after = if on { before | libc::O_NONBLOCK } else { before & !libc::O_NONBLOCK };
    if before >= 0 && before != after {
        // SAFETY: the same.
        unsafe { libc::fcntl(fd, libc::F_SETFL, after) };
    }
}
