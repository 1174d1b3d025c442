//! The host's io_uring.
//!
//! The one idea: what has an opcode becomes an entry with the same number as its `user_data`, and the rest is called at once. Nothing is read
//! from the completion queue but in [`wait`](Backend::wait) and [`submit`](Backend::submit), which enter the kernel anyway.

use std::{io, time::Duration};

use io_uring::{
    IoUring, cqueue, opcode, squeue,
    types::{Fd, FsyncFlags, SubmitArgs, Timespec},
};

use super::{BATCH, Backend, Side, direct};
use crate::abi::{Completion, Submission, call, flags};

/// The `user_data` of entries whose end interests nobody.
const NOBODY: u64 = u64::MAX;
/// `IORING_ENTER_GETEVENTS`.
const GETEVENTS: u32 = 1;

pub(super) struct Uring {
    ring: IoUring,
    side: Side,
}

impl Uring {
    /// Errors: of io_uring_setup(2), among them `ENOSYS` and `EPERM` where there is none.
    pub(super) fn new(side: Side, operations: u32) -> io::Result<Self> {
        // Entries are handed over in batches; what is on its way needs places for completions only.
        let entries = operations.min(256);
        let build = |ours: bool| {
            let mut builder = IoUring::builder();
            builder.setup_cqsize(operations * 2).setup_clamp();
            if ours {
                builder.setup_single_issuer().setup_defer_taskrun().setup_submit_all();
            }
            builder.build(entries)
        };
        let ring = build(true).or_else(|_| build(false))?;
        if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self { ring, side })
    }

    /// Begins all that there is.
    fn begin_all(&mut self) -> io::Result<()> {
        let mut batch = [Submission::default(); BATCH];
        loop {
            let count = self.side.take(&mut batch);
            for submission in &batch[..count] {
                match entry(submission) {
                    Some(entry) => self.push(&entry)?,
                    None => {
                        // SAFETY: whoever wrote the submission keeps alive what it leads to until the completion is there.
                        let result = unsafe { direct::call(submission) };
                        self.side.answer(submission.id, result);
                    }
                }
            }
            if count < BATCH {
                return Ok(());
            }
        }
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: what the entry leads to stays until its completion is there, as whoever wrote the submission has promised.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return Ok(());
            }
            self.enter(0, None)?;
        }
    }

    /// Hands over what was pushed, waits until there are completions, if some are `wanted`, and answers them.
    fn enter(&mut self, wanted: usize, timeout: Option<Duration>) -> io::Result<()> {
        let entered = if wanted == 0 {
            let pushed = self.ring.submission().len() as u32;
            // SAFETY: no argument comes along. (`submit` would not have the kernel finish what is ready to be finished.)
            unsafe { self.ring.submitter().enter::<libc::sigset_t>(pushed, 0, GETEVENTS, None) }
        } else {
            let timeout = timeout.map(Timespec::from);
            let arguments = match &timeout {
                Some(timeout) => SubmitArgs::new().timespec(timeout),
                None => SubmitArgs::new(),
            };
            self.ring.submitter().submit_with_args(wanted, &arguments)
        };
        match entered {
            Ok(_) => {}
            Err(error) => match error.raw_os_error() {
                // Not an error, or one that goes away when completions are received.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => {}
                _ => return Err(error),
            },
        }
        for entry in self.ring.completion() {
            if entry.user_data() != NOBODY {
                self.side.answer(entry.user_data(), result(&entry));
            }
        }
        Ok(())
    }
}

impl Backend for Uring {
    fn submit(&mut self) -> io::Result<()> {
        self.begin_all()?;
        self.enter(0, None)
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.begin_all()?;
        let wanted = usize::from(!self.side.has_answers());
        self.enter(wanted, timeout)
    }
}

fn result(entry: &cqueue::Entry) -> i64 {
    let result = i64::from(entry.result());
    match cqueue::buffer_select(entry.flags()) {
        Some(number) if result >= 0 => Completion::pack(number, entry.result() as u32),
        _ => result,
    }
}

/// The entry for a submission, if there is an opcode for it.
fn entry(submission: &Submission) -> Option<squeue::Entry> {
    let [a, b, c, d, e, _] = submission.arguments;
    let fd = Fd(a as i32);
    let picking = submission.flags & flags::PICK != 0;
    let (to, from) = (b as *mut u8, b as *const u8);
    let to = if picking { std::ptr::null_mut() } else { to };
    // The current position, where there is one.
    const HERE: u64 = u64::MAX;
    let entry = match submission.call {
        call::NOP => opcode::Nop::new().build(),
        call::CANCEL => return Some(opcode::AsyncCancel::new(a).build().user_data(NOBODY)),
        call::PROVIDE => {
            let (size, count, first) = (b as i32, c as u16, d as u16);
            opcode::ProvideBuffers::new(a as *mut u8, size, count, submission.group, first).build()
        }
        number => match libc::c_long::from(number) {
            libc::SYS_read => {
                let read = opcode::Read::new(fd, to, c as u32).offset(HERE);
                read.buf_group(submission.group).build()
            }
            libc::SYS_pread64 => {
                let read = opcode::Read::new(fd, to, c as u32).offset(d);
                read.buf_group(submission.group).build()
            }
            libc::SYS_write => opcode::Write::new(fd, from, c as u32).offset(HERE).build(),
            libc::SYS_pwrite64 => opcode::Write::new(fd, from, c as u32).offset(d).build(),
            libc::SYS_recvfrom => {
                let recv = opcode::Recv::new(fd, to, c as u32).flags(d as i32);
                recv.buf_group(submission.group).build()
            }
            libc::SYS_sendto => opcode::Send::new(fd, from, c as u32).flags(d as i32).build(),
            libc::SYS_accept4 => {
                opcode::Accept::new(fd, b as *mut _, c as *mut _).flags(d as i32).build()
            }
            libc::SYS_connect => opcode::Connect::new(fd, b as *const _, c as u32).build(),
            libc::SYS_shutdown => opcode::Shutdown::new(fd, b as i32).build(),
            libc::SYS_openat => {
                let open = opcode::OpenAt::new(fd, b as *const _);
                open.flags(c as i32).mode(d as u32).build()
            }
            libc::SYS_close => opcode::Close::new(fd).build(),
            libc::SYS_statx => {
                let statx = opcode::Statx::new(fd, b as *const _, e as *mut _);
                statx.flags(c as i32).mask(d as u32).build()
            }
            libc::SYS_fsync => opcode::Fsync::new(fd).build(),
            libc::SYS_fdatasync => opcode::Fsync::new(fd).flags(FsyncFlags::DATASYNC).build(),
            _ => return None,
        },
    };
    let entry = if picking { entry.flags(squeue::Flags::BUFFER_SELECT) } else { entry };
    Some(entry.user_data(submission.id))
}
