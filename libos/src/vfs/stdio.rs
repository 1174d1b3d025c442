//! The descriptors that the first program inherits: whatever the host gave this process as its own.
//!
//! The one idea: they stay the host's open files. A guest that reads a pipe or a file on descriptor 0 reads the
//! host's, as a program run without a kernel in between would, and a file keeps the position that it shares with
//! the shell which opened it. Terminals alone are more to a guest than the host's ([`crate::tty`]).

use std::sync::{Arc, OnceLock};

use hal::host::{FileKind, HostError, HostStat, HostStream};
use hal::reactor::{Ready, Watch};
use kernel_objects::WaitQueue;
use linux_raw_sys::{general as raw, ioctl};
use parking_lot::Mutex;

use super::buf::{GuestMemory, IoDst, IoSrc, with_buffer};
use super::file::File;
use super::host_content;
use super::metadata::{FileType, Metadata};
use super::open_file::OpenFile;
use super::readiness::PollEvents;
use super::seek::{Seeking, Whence};
use crate::errno::{Errno, SysResult};

/// One of the host's streams.
pub struct HostStdio {
    /// Shared with those that opened it again by /proc/self/fd or /dev/stdin.
    shared: Arc<Shared>,
}

struct Shared {
    stream: HostStream,
    /// Where the host's position is, for files that have one: so that sequential transfers need no seek.
    position: Mutex<u64>,
    queue: Arc<WaitQueue>,
    /// Set up when somebody waits for the first time.
    watch: OnceLock<Option<Watch>>,
}

impl HostStdio {
    /// The open file of a stream.
    pub fn open(stream: HostStream) -> Arc<OpenFile> {
        let flags = status_flags(&stream);
        let seekable = stream.seekable();
        let position = if seekable { stream.seek(0, CURRENT).unwrap_or(0) } else { 0 };
        let queue = Arc::new(WaitQueue::new());
        let watch = OnceLock::new();
        let shared = Shared { stream, position: Mutex::new(position), queue, watch };
        let stdio = Self { shared: Arc::new(shared) };
        let file = OpenFile::from_file(Arc::new(stdio), None, flags);
        if seekable {
            // Cannot fail: it goes where the position is already.
            let _ = i64::try_from(position).map(|at| file.seek(at, Whence::Start));
        }
        file
    }

    /// Moves the host's position to `offset` unless it is there.
    fn go_to(&self, position: &mut u64, offset: u64) -> SysResult<()> {
        if self.shared.stream.seekable() && *position != offset {
            let to = i64::try_from(offset).map_err(|_| Errno::EINVAL)?;
            *position = self.shared.stream.seek(to, START).map_err(errno)?;
        }
        Ok(())
    }
}

/// The flags with which a guest has a stream. What it reads of `O_APPEND` is what the host does with its file.
pub fn status_flags(stream: &HostStream) -> u32 {
    stream.flags().cast_unsigned() & (raw::O_ACCMODE | raw::O_APPEND | raw::O_NONBLOCK)
}

/// `SEEK_SET`, `SEEK_CUR`, `SEEK_END` as the host wants them.
const START: i32 = raw::SEEK_SET as i32;
const CURRENT: i32 = raw::SEEK_CUR as i32;
const END: i32 = raw::SEEK_END as i32;

fn errno(error: HostError) -> Errno {
    Errno::from_raw(error.errno())
}

fn events(ready: Ready) -> PollEvents {
    let mut events = PollEvents::empty();
    events.set(PollEvents::READABLE, ready.readable);
    events.set(PollEvents::WRITABLE, ready.writable && !ready.error);
    events.set(PollEvents::HUP, ready.hangup);
    events.set(PollEvents::ERR, ready.error);
    events
}

impl File for HostStdio {
    fn read(&self, offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        let mut position = self.shared.position.lock();
        self.go_to(&mut position, offset)?;
        let done = with_buffer(dst.remaining(), |buf| {
            let len = match self.shared.stream.try_read(buf).map_err(errno) {
                // No file has anybody to wait for but a disk.
                Err(Errno::EAGAIN) if self.shared.stream.file().is_some() => {
                    let allowed = dst.limit_to_ready(0, buf.len())?;
                    let buf = buf.get_mut(..allowed).unwrap_or_default();
                    self.shared.stream.read(buf).map_err(errno)?
                }
                read => read?,
            };
            dst.write(buf.get(..len).unwrap_or_default())
        })?;
        *position = position.saturating_add(done as u64);
        Ok(done)
    }

    fn fetch(&self, offset: u64, len: u64) -> SysResult<()> {
        self.shared.stream.file().map_or(Ok(()), |file| file.warm(offset, len)).map_err(errno)
    }

    fn write(&self, offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        let mut position = self.shared.position.lock();
        self.go_to(&mut position, offset)?;
        let done = with_buffer(src.remaining(), |buf| {
            // The host may take less than we have, and then the rest is still the guest's.
            let len = src.clone().read(buf)?;
            self.shared.stream.try_write(buf.get(..len).unwrap_or_default()).map_err(errno)
        })?;
        src.skip(done);
        *position = position.saturating_add(done as u64);
        Ok(done)
    }

    fn reopen(&self, flags: u32, old: u32) -> SysResult<Arc<dyn File>> {
        // The host's own descriptor does the I/O, so no more can be had than it allows.
        let (new, old) = (flags & raw::O_ACCMODE, old & raw::O_ACCMODE);
        if new != old && old != raw::O_RDWR {
            return Err(Errno::EACCES);
        }
        Ok(Arc::new(Self { shared: Arc::clone(&self.shared) }))
    }

    fn seeking(&self) -> Seeking {
        if self.shared.stream.seekable() { Seeking::Moves } else { Seeking::Never }
    }

    fn seek(&self, position: u64) -> SysResult<u64> {
        // At once, not at the next transfer: a shell reads ahead, goes back to the end of the line and leaves the rest to others.
        self.go_to(&mut self.shared.position.lock(), position)?;
        Ok(position)
    }

    fn size(&self) -> SysResult<u64> {
        let mut position = self.shared.position.lock();
        let size = self.shared.stream.seek(0, END).map_err(errno)?;
        *position = size;
        Ok(size)
    }

    fn metadata(&self) -> Option<SysResult<Metadata>> {
        Some(metadata_of(&self.shared.stream))
    }

    fn poll(&self) -> PollEvents {
        events(self.shared.stream.ready())
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        // The host does not poll files: nobody would ever be told, and what is cold is fetched.
        let watch = self.shared.watch.get_or_init(|| {
            let queue = Arc::clone(&self.shared.queue);
            let notify = move |ready| {
                queue.notify_all_for(events(ready).bits());
            };
            self.shared.stream.watch(notify).ok().filter(Watch::is_polled)
        });
        watch.is_some().then_some(&*self.shared.queue)
    }

    fn writes_fully(&self) -> bool {
        true
    }

    fn ioctl(&self, command: u32, arg: u64, memory: &dyn GuestMemory) -> SysResult {
        match command {
            ioctl::FIONREAD => {
                let count = self.shared.stream.available().map_err(errno)?;
                let count = i32::try_from(count).unwrap_or(i32::MAX);
                memory.write(arg, &count.to_ne_bytes())?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn sync(&self, _data_only: bool) -> SysResult<()> {
        self.shared.stream.sync().map_err(errno)
    }

    fn edges_are_late(&self) -> bool {
        true
    }

    fn is_on_host(&self) -> bool {
        true
    }

    fn is_shared_when_reopened(&self) -> bool {
        true
    }

    fn resize(&self, size: u64) -> SysResult<()> {
        self.shared.stream.set_len(size).map_err(errno)
    }

    fn link_text(&self) -> Vec<u8> {
        let ino = self.shared.stream.stat().map_or(0, |stat| stat.ino);
        match self.shared.stream.kind() {
            FileKind::Fifo => format!("pipe:[{ino}]").into_bytes(),
            FileKind::Socket => format!("socket:[{ino}]").into_bytes(),
            _ => self.shared.stream.path().unwrap_or_else(|_| b"anon_inode:[file]".to_vec()),
        }
    }
}

fn metadata(stat: &HostStat) -> Metadata {
    // What the host gives no type, a file of events, is no regular file.
    let kind = FileType::from_mode(stat.mode).unwrap_or(FileType::CharDevice);
    Metadata { kind, ..host_content::metadata(stat) }
}

/// What the host tells of a stream.
pub(crate) fn metadata_of(stream: &HostStream) -> SysResult<Metadata> {
    stream.stat().map(|stat| metadata(&stat)).map_err(errno)
}
