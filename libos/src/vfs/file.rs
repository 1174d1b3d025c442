//! What does the I/O of an open file that is no plain file or directory: a pipe, a device, a socket, a queue of events.
//!
//! The one idea: I/O never waits. What cannot go on returns `EAGAIN`, and the system-call layer waits for [`File::wait_queue`] if the
//! descriptor may block; so a read that has data costs no allocation.

use std::any::Any;
use std::sync::Arc;

use kernel_objects::{Vmo, WaitQueue};

use super::attributes::Attributes;
use super::buf::{GuestMemory, IoDst, IoSrc};
use super::metadata::Metadata;
use super::open_file::OpenFile;
use super::readiness::PollEvents;
use super::seek::Seeking;
use crate::errno::{Errno, SysResult};
use crate::net::Socket;
use crate::process::PidNamespace;

/// What does the I/O of an open file that is no plain file or directory.
///
/// Reads and writes never wait: `EAGAIN` says that they would have to, and then [`wait_queue`](Self::wait_queue) must
/// be notified when that changes.
pub trait File: Send + Sync + Any {
    /// Reads. `offset` is the position in the file, meaningful when its position [moves](Seeking::Moves).
    fn read(&self, offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        let _ = (offset, dst);
        Err(Errno::EINVAL)
    }

    /// [`Inode::fetch`](super::inode::Inode::fetch), for files whose reads may find a disk to wait for.
    fn fetch(&self, offset: u64, len: u64) -> SysResult<()> {
        let _ = (offset, len);
        Ok(())
    }

    /// Writes. `offset` as for [`read`](Self::read).
    fn write(&self, offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        let _ = (offset, src);
        Err(Errno::EINVAL)
    }

    /// Whether it can be read at all, and written: if not, even a transfer of nothing is `EINVAL`.
    fn transfers(&self) -> (bool, bool) {
        (true, true)
    }

    /// What its position is to it.
    fn seeking(&self) -> Seeking {
        Seeking::Never
    }

    /// What a seek to `position` from the start ends at.
    fn seek(&self, position: u64) -> SysResult<u64> {
        if self.seeking().has_position() { Ok(position) } else { Ok(0) }
    }

    /// ftruncate(2).
    fn resize(&self, size: u64) -> SysResult<()> {
        let _ = size;
        Err(Errno::EINVAL)
    }

    /// The size that `SEEK_END` counts from.
    fn size(&self) -> SysResult<u64> {
        match self.seeking() {
            Seeking::Idle | Seeking::Nowhere => Ok(0),
            Seeking::Never | Seeking::Moves => Err(Errno::EINVAL),
        }
    }

    /// What stat(2) tells, for files without an inode; `None` leaves it to the inode opened.
    fn metadata(&self) -> Option<SysResult<Metadata>> {
        None
    }

    /// Where files without an inode keep their owner, mode and times, if these can be changed.
    fn attributes(&self) -> Option<&Attributes> {
        None
    }

    /// What could be done now without waiting.
    fn poll(&self) -> PollEvents {
        PollEvents::ALWAYS
    }

    /// Whether a read or write that wants `events` would most likely have to wait: a guess, without a lock, by which
    /// whoever is ready to wait may save a try.
    fn likely_waits(&self, events: PollEvents) -> bool {
        let _ = events;
        false
    }

    /// The queue that is notified, with the [`PollEvents`] that have come, when [`poll`](Self::poll) or the
    /// outcome of a read or write may have changed. `None` for files that are always ready.
    fn wait_queue(&self) -> Option<&WaitQueue> {
        None
    }

    /// Whether it is a terminal: then the caller may be in the background, and reads have their own rules of when they are over.
    fn is_terminal(&self) -> bool {
        false
    }

    /// Whether signals may tell of its readiness (`O_ASYNC`).
    fn signals_readiness(&self) -> bool {
        false
    }

    /// Whether the open itself is still waiting for the other side: a FIFO without a peer. The opener that may
    /// block waits on [`wait_queue`](Self::wait_queue) until it is not.
    fn open_pending(&self) -> bool {
        false
    }

    /// How long a call waits that wants `events`, in ns; `None` for as long as it takes. With a limit a signal ends the call for good.
    fn wait_limit(&self, events: PollEvents) -> Option<u64> {
        let _ = events;
        None
    }

    /// The socket that it is, if it is one.
    fn socket(&self) -> Option<&dyn Socket> {
        None
    }

    /// Whether a writer gets SIGPIPE together with `EPIPE`.
    fn signals_broken_pipe(&self) -> bool {
        true
    }

    /// Whether a blocking write goes on until all bytes are written, as on pipes and stream sockets.
    fn writes_fully(&self) -> bool {
        false
    }

    /// Whether one attempt to write `len` bytes is all that a blocking write of them does.
    fn takes_whole(&self, _len: usize) -> bool {
        !self.writes_fully()
    }

    /// What mmap(2) shows; `ENODEV` for files that cannot be mapped.
    fn vmo(&self) -> SysResult<Arc<Vmo>> {
        Err(Errno::ENODEV)
    }

    /// The pages that mmap(2) shows from `offset` on, and where in them that is: for files that are more than one thing. Fails as
    /// [`vmo`](Self::vmo), or with `EINVAL` for an offset at which nothing begins.
    fn shown(&self, offset: u64) -> SysResult<(Arc<Vmo>, u64)> {
        Ok((self.vmo()?, offset))
    }

    /// An ioctl(2) that is not common to all files. `arg` is the third argument as the guest gave it.
    fn ioctl(&self, command: u32, arg: u64, memory: &dyn GuestMemory) -> SysResult {
        let _ = (command, arg, memory);
        Err(Errno::ENOTTY)
    }

    /// Told when the status flags change (`O_NONBLOCK`, `O_DIRECT`, …); may refuse with `EINVAL`.
    fn set_flags(&self, flags: u32) -> SysResult<()> {
        let _ = flags;
        Ok(())
    }

    /// fsync(2) and fdatasync(2).
    fn sync(&self, data_only: bool) -> SysResult<()> {
        let _ = data_only;
        Err(Errno::EINVAL)
    }

    /// Whether the host stores it, so that [`sync`](Self::sync) waits for a disk.
    fn is_on_host(&self) -> bool {
        false
    }

    /// Whether another thread tells of its readiness: an edge from before somebody waited may be told after.
    fn edges_are_late(&self) -> bool {
        false
    }

    /// What the link in /proc/PID/fd says, for files without a path: `pipe:[…]`.
    fn link_text(&self) -> Vec<u8> {
        b"anon_inode:[file]".to_vec()
    }

    /// Whether opening /proc/PID/fd/N gives this same object again, as for the streams that the host gave us.
    fn is_shared_when_reopened(&self) -> bool {
        false
    }

    /// Opens the same object again with `flags`, as opening /proc/PID/fd/N does; `old` are those of the open file. `ENXIO`
    /// for objects that Linux does not open again.
    fn reopen(&self, flags: u32, old: u32) -> SysResult<Arc<dyn File>> {
        let _ = (flags, old);
        Err(Errno::ENXIO)
    }

    /// Lines after the first ones in /proc/PID/fdinfo, with processes as `_reader` numbers them.
    fn fdinfo(&self, _reader: &PidNamespace) -> String {
        String::new()
    }
}

/// Told when an open file is gone: an epoll set that watches it.
pub trait CloseWatcher: Send + Sync {
    /// `file` has no descriptor any more; it is about to be dropped.
    fn closed(&self, file: &OpenFile);
}
