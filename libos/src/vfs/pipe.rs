//! Pipes and FIFOs (pipe(7), fifo(7)): a ring of bytes between writing and reading ends.
//!
//! The one idea: a [`Pipe`] is one lock around a byte ring and two counts of open ends; a [`PipeEnd`] is an open
//! file on it. A transfer copies between guest memory and the ring under that lock, and the notification that
//! follows is one load when nobody waits. Packets (`O_DIRECT`) are lengths kept beside the same ring. The ring's
//! memory counts against the memory limit.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use hal::pmem::PhysicalMemory;
use hal::sync::BiasedMutex;
use kernel_objects::WaitQueue;
use linux_raw_sys::{general as raw, ioctl};
use parking_lot::Mutex;

use super::attributes::Attributes;
use super::buf::{GuestMemory, IoDst, IoSrc};
use super::file::File;
use super::inode::NewNode;
use super::metadata::{DeviceNumber, FileType, Metadata};
use super::open_file::OpenFile;
use super::readiness::PollEvents;
use super::ring::ByteRing;
use crate::errno::{Errno, SysResult};

/// Writes of at most this many bytes are atomic.
pub const PIPE_BUF: usize = 4096;
/// Capacity of a new pipe, in bytes.
const DEFAULT_CAPACITY: usize = 65536;
/// Largest capacity that fcntl(2) `F_SETPIPE_SZ` gives (/proc/sys/fs/pipe-max-size).
pub const MAX_CAPACITY: usize = 1 << 20;
/// The device of anonymous pipes, as Linux's pipefs has one of its own.
const PIPEFS: DeviceNumber = DeviceNumber::new(0, 14);

static NEXT_INO: AtomicU64 = AtomicU64::new(1);

/// A run of bytes in the ring: one packet, or plain bytes between packets.
struct Run {
    len: usize,
    packet: bool,
}

/// The bytes in flight.
struct Ring {
    bytes: ByteRing,
    capacity: usize,
    /// Empty while there are no packets.
    runs: VecDeque<Run>,
}

impl Ring {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn free(&self) -> usize {
        self.capacity.saturating_sub(self.len())
    }

    /// Appends up to `max` bytes of `src`: of a source that is partly bad, whole pages only. `ENOMEM` without memory for any,
    /// or for all of a write that is to be atomic.
    fn push(&mut self, src: &mut IoSrc<'_>, max: usize) -> SysResult {
        let mut want = src.remaining().min(max);
        if let Err(error) = self.bytes.grow(want) {
            let room = self.bytes.room();
            if room == 0 || want <= PIPE_BUF {
                return Err(error);
            }
            want = want.min(room);
        }
        let done = self.bytes.push(src, want)?;
        if done == want {
            return Ok(done);
        }
        let torn = done % PIPE_BUF;
        self.bytes.unpush(torn);
        if done == torn { Err(Errno::EFAULT) } else { Ok(done - torn) }
    }

    fn push_packet(&mut self, src: &mut IoSrc<'_>) -> SysResult {
        if self.runs.is_empty() && self.len() > 0 {
            self.runs.push_back(Run { len: self.len(), packet: false });
        }
        let len = self.push(src, PIPE_BUF)?;
        self.runs.push_back(Run { len, packet: true });
        Ok(len)
    }

    fn push_plain(&mut self, src: &mut IoSrc<'_>, max: usize) -> SysResult {
        let len = self.push(src, max)?;
        if !self.runs.is_empty() {
            self.runs.push_back(Run { len, packet: false });
        }
        Ok(len)
    }

    /// Removes `n` bytes, whatever packets they are in.
    fn discard(&mut self, mut n: usize) {
        self.bytes.drop_front(n);
        while let Some(run) = self.runs.front_mut() {
            if run.len > n {
                run.len -= n;
                break;
            }
            n -= run.len;
            self.runs.pop_front();
        }
    }

    /// A read: plain bytes as many as fit, or one packet, of which the rest is lost.
    fn take(&mut self, dst: &mut IoDst<'_>) -> SysResult {
        let Some(run) = self.runs.front_mut() else {
            return self.bytes.pop(dst, usize::MAX);
        };
        let (len, packet) = (run.len, run.packet);
        let done = self.bytes.pop(dst, len)?;
        let rest = if packet {
            self.bytes.drop_front(len - done);
            0
        } else {
            len - done
        };
        match self.runs.front_mut() {
            Some(run) if rest > 0 => run.len = rest,
            _ => {
                self.runs.pop_front();
            }
        }
        Ok(done)
    }
}

struct State {
    ring: Ring,
    readers: usize,
    writers: usize,
    /// How many ends of each kind were ever opened: what an opener of a FIFO waits for.
    readers_ever: u64,
    writers_ever: u64,
}

/// A pipe: what its ends share.
pub struct Pipe {
    state: BiasedMutex<State>,
    /// Whether there was anything to read when the lock was last free: a guess.
    filled: AtomicBool,
    queue: WaitQueue,
}

impl Pipe {
    fn new(memory: &Arc<PhysicalMemory>) -> Arc<Self> {
        let bytes = ByteRing::new(memory);
        let ring = Ring { bytes, capacity: DEFAULT_CAPACITY, runs: VecDeque::new() };
        let state = State { ring, readers: 0, writers: 0, readers_ever: 0, writers_ever: 0 };
        let filled = AtomicBool::new(false);
        Arc::new(Self { state: BiasedMutex::new(state), filled, queue: WaitQueue::new() })
    }

    fn notify(&self, events: PollEvents) {
        self.queue.notify_all_for(events.bits());
    }
}

/// Whether bytes that go to another pipe stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// They go: splice(2).
    Move,
    /// They stay: tee(2).
    Copy,
}

/// What a pipe without a name has of an inode, for fstat and /proc.
struct Anonymous {
    ino: u64,
    attributes: Attributes,
}

/// An open end of a pipe, or both ends at once (`O_RDWR` of a FIFO).
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    /// `O_DIRECT`: each write is a packet.
    packets: AtomicBool,
    /// How often the other side had been opened when this end was.
    peers_seen: u64,
    /// No peer was there when this end was opened, and the opener wants one.
    waits_for_peer: bool,
    anonymous: Option<Arc<Anonymous>>,
}

impl PipeEnd {
    /// Opens an end; `wait` if the opener waits for a peer.
    fn open(pipe: Arc<Pipe>, flags: u32, wait: bool, anonymous: Option<Arc<Anonymous>>) -> Self {
        let access = flags & raw::O_ACCMODE;
        let reads = access == raw::O_RDONLY || access == raw::O_RDWR;
        let writes = access == raw::O_WRONLY || access == raw::O_RDWR;
        let mut state = pipe.state.lock();
        let (peers, peers_seen) = match (reads, writes) {
            (true, false) => (state.writers, state.writers_ever),
            _ => (state.readers, state.readers_ever),
        };
        if reads {
            state.readers += 1;
            state.readers_ever += 1;
        }
        if writes {
            state.writers += 1;
            state.writers_ever += 1;
        }
        drop(state);
        let waits_for_peer = wait && peers == 0 && !(reads && writes);
        let packets = AtomicBool::new(flags & raw::O_DIRECT != 0);
        pipe.notify(PollEvents::all());
        Self { pipe, reads, writes, packets, peers_seen, waits_for_peer, anonymous }
    }

    /// Capacity in bytes: fcntl(2) `F_GETPIPE_SZ`.
    pub fn capacity(&self) -> usize {
        self.pipe.state.lock().ring.capacity
    }

    /// fcntl(2) `F_SETPIPE_SZ`: rounds up to a power of two of pages; the new capacity. `EBUSY` if more bytes are
    /// in the pipe, `EPERM` beyond [`MAX_CAPACITY`] unless `privileged`, `EINVAL` for nonsense.
    pub fn set_capacity(&self, bytes: usize, privileged: bool) -> SysResult {
        if bytes > i32::MAX as usize {
            return Err(Errno::EINVAL);
        }
        let bytes = bytes.max(PIPE_BUF).next_power_of_two();
        if bytes > MAX_CAPACITY && !privileged {
            return Err(Errno::EPERM);
        }
        let mut state = self.pipe.state.lock();
        if bytes < state.ring.len() {
            return Err(Errno::EBUSY);
        }
        state.ring.capacity = bytes;
        drop(state);
        self.pipe.notify(PollEvents::WRITABLE);
        Ok(bytes)
    }

    /// Bytes that could be read now (`FIONREAD`).
    pub fn available(&self) -> usize {
        self.pipe.state.lock().ring.len()
    }

    /// How many bytes fit now; `EAGAIN` when it is full, `EPIPE` without a reader.
    pub fn room(&self) -> SysResult {
        let state = self.pipe.state.lock();
        match state.ring.free() {
            _ if state.readers == 0 => Err(Errno::EPIPE),
            0 => Err(Errno::EAGAIN),
            free => Ok(free),
        }
    }

    /// Gives up to `max` bytes to `sink`, which says how many it took of those it is shown: these have left the pipe then. It is
    /// told first how many it took before. `EAGAIN` when there are none, 0 when there will be none.
    pub fn drain(&self, max: usize, mut sink: impl FnMut(usize, &[u8]) -> SysResult) -> SysResult {
        let mut state = self.pipe.state.lock();
        if state.ring.len() == 0 {
            return if state.writers == 0 { Ok(0) } else { Err(Errno::EAGAIN) };
        }
        let mut done = 0;
        while done < max && state.ring.len() > 0 {
            match sink(done, state.ring.bytes.front(0, max - done)) {
                Ok(0) => break,
                Ok(n) => {
                    state.ring.discard(n);
                    done += n;
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        drop(state);
        self.pipe.notify(PollEvents::WRITABLE);
        Ok(done)
    }

    /// Moves or copies up to `max` bytes to another pipe, as many as there are and fit. `EAGAIN` when that is none, 0 when there
    /// will be none, `EPIPE` when nobody reads the other.
    pub fn transfer(&self, to: &PipeEnd, max: usize, how: Transfer) -> SysResult {
        if self.same_pipe(to) {
            return Err(Errno::EINVAL);
        }
        // In the order of their addresses, for somebody may go the other way.
        let (mut source, mut target);
        if Arc::as_ptr(&self.pipe) < Arc::as_ptr(&to.pipe) {
            source = self.pipe.state.lock();
            target = to.pipe.state.lock();
        } else {
            target = to.pipe.state.lock();
            source = self.pipe.state.lock();
        }
        if source.ring.len() == 0 {
            return if source.writers == 0 { Ok(0) } else { Err(Errno::EAGAIN) };
        }
        if target.readers == 0 {
            return Err(Errno::EPIPE);
        }
        let want = max.min(source.ring.len()).min(target.ring.free());
        if want == 0 {
            return Err(Errno::EAGAIN);
        }
        let mut done = 0;
        while done < want {
            let mut bytes = IoSrc::kernel(source.ring.bytes.front(done, want - done));
            done += target.ring.push_plain(&mut bytes, usize::MAX)?;
        }
        if how == Transfer::Move {
            source.ring.discard(done);
        }
        drop((source, target));
        if how == Transfer::Move {
            self.pipe.notify(PollEvents::WRITABLE);
        }
        to.pipe.notify(PollEvents::READABLE);
        Ok(done)
    }

    /// Whether both are ends of one pipe.
    pub fn same_pipe(&self, other: &PipeEnd) -> bool {
        Arc::ptr_eq(&self.pipe, &other.pipe)
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        state.readers -= usize::from(self.reads);
        state.writers -= usize::from(self.writes);
        drop(state);
        self.pipe.notify(PollEvents::all());
    }
}

impl File for PipeEnd {
    fn read(&self, _offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        if dst.remaining() == 0 {
            return Ok(0);
        }
        let mut state = self.pipe.state.lock();
        if state.ring.len() == 0 && state.ring.runs.is_empty() {
            return if state.writers == 0 { Ok(0) } else { Err(Errno::EAGAIN) };
        }
        let done = state.ring.take(dst)?;
        self.pipe.filled.store(state.ring.len() > 0, Ordering::Relaxed);
        drop(state);
        self.pipe.notify(PollEvents::WRITABLE);
        Ok(done)
    }

    fn write(&self, _offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        let mut state = self.pipe.state.lock();
        if state.readers == 0 {
            return Err(Errno::EPIPE);
        }
        let want = src.remaining();
        if want == 0 {
            return Ok(0);
        }
        let ring = &mut state.ring;
        let free = ring.free();
        if free < want.min(PIPE_BUF) && (want <= PIPE_BUF || free == 0) {
            return Err(Errno::EAGAIN);
        }
        let done = if self.packets.load(Ordering::Relaxed) {
            let mut done = 0;
            while src.remaining() > 0 && ring.free() >= src.remaining().min(PIPE_BUF) {
                match ring.push_packet(src) {
                    Ok(n) => done += n,
                    Err(error) if done == 0 => return Err(error),
                    Err(_) => break,
                }
            }
            if done == 0 {
                return Err(Errno::EAGAIN);
            }
            done
        } else {
            ring.push_plain(src, free)?
        };
        self.pipe.filled.store(true, Ordering::Relaxed);
        drop(state);
        self.pipe.notify(PollEvents::READABLE);
        Ok(done)
    }

    fn metadata(&self) -> Option<SysResult<Metadata>> {
        let Anonymous { ino, attributes } = &**self.anonymous.as_ref()?;
        Some(Ok(attributes.of_nameless(PIPEFS, *ino, FileType::Fifo)))
    }

    fn attributes(&self) -> Option<&Attributes> {
        self.anonymous.as_ref().map(|id| &id.attributes)
    }

    fn poll(&self) -> PollEvents {
        let state = self.pipe.state.lock();
        let mut events = PollEvents::empty();
        if self.reads {
            if state.ring.len() > 0 {
                events |= PollEvents::READABLE;
            }
            if state.writers == 0 && (state.writers_ever != self.peers_seen || self.writes) {
                events |= PollEvents::HUP;
            }
        }
        if self.writes {
            if state.ring.free() >= PIPE_BUF {
                events |= PollEvents::WRITABLE;
            }
            if state.readers == 0 {
                events |= PollEvents::ERR;
            }
        }
        events
    }

    fn likely_waits(&self, events: PollEvents) -> bool {
        events == PollEvents::IN && !self.pipe.filled.load(Ordering::Relaxed)
    }

    fn signals_readiness(&self) -> bool {
        true
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pipe.queue)
    }

    fn open_pending(&self) -> bool {
        if !self.waits_for_peer {
            return false;
        }
        let state = self.pipe.state.lock();
        let ever = if self.reads { state.writers_ever } else { state.readers_ever };
        ever == self.peers_seen
    }

    fn writes_fully(&self) -> bool {
        true
    }

    fn takes_whole(&self, len: usize) -> bool {
        len <= PIPE_BUF
    }

    fn ioctl(&self, command: u32, arg: u64, memory: &dyn GuestMemory) -> SysResult {
        if command != ioctl::FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let available = i32::try_from(self.available()).unwrap_or(i32::MAX);
        memory.write(arg, &available.to_ne_bytes())?;
        Ok(0)
    }

    fn set_flags(&self, flags: u32) -> SysResult<()> {
        self.packets.store(flags & raw::O_DIRECT != 0, Ordering::Relaxed);
        Ok(())
    }

    fn reopen(&self, flags: u32, _old: u32) -> SysResult<Arc<dyn File>> {
        Ok(Arc::new(PipeEnd::open(self.pipe.clone(), flags, false, self.anonymous.clone())))
    }

    fn link_text(&self) -> Vec<u8> {
        format!("pipe:[{}]", self.anonymous.as_ref().map_or(0, |id| id.ino)).into_bytes()
    }
}

/// The reading and the writing end of a new pipe (pipe2(2)) in `memory`; `flags` of `O_NONBLOCK` and `O_DIRECT`, and the
/// caller's file system ids for fstat.
pub fn pipe(
    memory: &Arc<PhysicalMemory>,
    flags: u32,
    uid: u32,
    gid: u32,
) -> (Arc<OpenFile>, Arc<OpenFile>) {
    let pipe = Pipe::new(memory);
    let ino = NEXT_INO.fetch_add(1, Ordering::Relaxed);
    let attributes = Attributes::new(&NewNode::new(FileType::Fifo, 0o600, uid, gid), 1);
    let id = Some(Arc::new(Anonymous { ino, attributes }));
    let (read, write) = (flags | raw::O_RDONLY, flags | raw::O_WRONLY);
    let reader = PipeEnd::open(pipe.clone(), read, false, id.clone());
    let writer = PipeEnd::open(pipe, write, false, id);
    (
        OpenFile::from_file(Arc::new(reader), None, read),
        OpenFile::from_file(Arc::new(writer), None, write),
    )
}

/// What a FIFO's inode keeps: the pipe while anyone has it open.
pub struct Fifo {
    memory: Arc<PhysicalMemory>,
    pipe: Mutex<Weak<Pipe>>,
}

impl Fifo {
    /// One that nobody has open.
    pub fn new(memory: &Arc<PhysicalMemory>) -> Self {
        Self { memory: memory.clone(), pipe: Mutex::default() }
    }

    /// Opens an end as fifo(7) says: the result may be [pending](File::open_pending) until a peer comes, and
    /// writing without a reader and with `O_NONBLOCK` is `ENXIO`.
    pub fn open(&self, flags: u32) -> SysResult<Arc<PipeEnd>> {
        let mut slot = self.pipe.lock();
        let pipe = slot.upgrade().unwrap_or_else(|| Pipe::new(&self.memory));
        let nonblocking = flags & raw::O_NONBLOCK != 0;
        let write_only = flags & raw::O_ACCMODE == raw::O_WRONLY;
        if nonblocking && write_only && pipe.state.lock().readers == 0 {
            return Err(Errno::ENXIO);
        }
        *slot = Arc::downgrade(&pipe);
        Ok(Arc::new(PipeEnd::open(pipe, flags, !nonblocking, None)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_pipe(flags: u32, uid: u32, gid: u32) -> (Arc<OpenFile>, Arc<OpenFile>) {
        pipe(&PhysicalMemory::new(None).unwrap(), flags, uid, gid)
    }

    #[test]
    fn an_empty_pipe_guesses_that_a_read_waits() {
        let (reader, writer) = new_pipe(0, 0, 0);
        assert!(reader.likely_waits(PollEvents::IN));
        write(&writer, b"ab").unwrap();
        assert!(!reader.likely_waits(PollEvents::IN));
        read(&reader, 1).unwrap();
        assert!(!reader.likely_waits(PollEvents::IN));
        read(&reader, 1).unwrap();
        assert!(reader.likely_waits(PollEvents::IN) && !writer.likely_waits(PollEvents::OUT));
    }

    fn write(file: &OpenFile, data: &[u8]) -> SysResult {
        file.write(&mut IoSrc::kernel(data))
    }

    fn read(file: &OpenFile, len: usize) -> SysResult<Vec<u8>> {
        let mut buf = vec![0; len];
        let n = file.read(&mut IoDst::kernel(&mut buf))?;
        buf.truncate(n);
        Ok(buf)
    }

    #[test]
    fn bytes_come_out_in_order_and_then_the_end() {
        let (reader, writer) = new_pipe(0, 0, 0);
        assert_eq!(read(&reader, 1), Err(Errno::EAGAIN));
        assert_eq!(write(&writer, b"hello "), Ok(6));
        assert_eq!(write(&writer, b"world"), Ok(5));
        assert_eq!(read(&reader, 8).unwrap(), b"hello wo");
        drop(writer);
        assert_eq!(reader.poll(), PollEvents::READABLE | PollEvents::HUP);
        assert_eq!(read(&reader, 8).unwrap(), b"rld");
        assert_eq!(read(&reader, 8).unwrap(), b"");
    }

    #[test]
    fn nobody_reading_is_epipe() {
        let (reader, writer) = new_pipe(0, 0, 0);
        drop(reader);
        assert_eq!(write(&writer, b"x"), Err(Errno::EPIPE));
        assert!(writer.poll().contains(PollEvents::ERR));
        assert_eq!(read(&writer, 1), Err(Errno::EBADF));
    }

    #[test]
    fn small_writes_are_all_or_nothing_and_large_ones_fill_up() {
        let (reader, writer) = new_pipe(0, 0, 0);
        assert_eq!(write(&writer, &vec![1; 70_000]), Ok(65_536));
        assert_eq!(write(&writer, b"x"), Err(Errno::EAGAIN));
        assert!(!writer.poll().contains(PollEvents::OUT));
        assert_eq!(read(&reader, 100).unwrap().len(), 100);
        assert_eq!(write(&writer, &[2; 101]), Err(Errno::EAGAIN));
        assert_eq!(write(&writer, &[2; 100]), Ok(100));
        assert_eq!(read(&reader, 70_000).unwrap().len(), 65_536);
    }

    #[test]
    fn bytes_go_to_another_pipe_and_stay_if_they_are_copied() {
        let (reader, writer) = new_pipe(0, 0, 0);
        let (other_reader, other_writer) = new_pipe(0, 0, 0);
        let (from, to): (&PipeEnd, &PipeEnd) =
            (reader.downcast().unwrap(), other_writer.downcast().unwrap());
        assert_eq!(from.transfer(to, 9, Transfer::Move), Err(Errno::EAGAIN));
        write(&writer, b"hello").unwrap();
        assert_eq!(from.transfer(to, 2, Transfer::Copy), Ok(2));
        assert_eq!(from.transfer(to, 9, Transfer::Move), Ok(5));
        assert_eq!(read(&reader, 9), Err(Errno::EAGAIN));
        assert_eq!(read(&other_reader, 9).unwrap(), b"hehello");
        // A ring that has turned, into one that is nearly full.
        write(&writer, &[1; 60_000]).unwrap();
        read(&reader, 60_000).unwrap();
        write(&writer, &[2; 10_000]).unwrap();
        write(&other_writer, &[3; 60_000]).unwrap();
        assert_eq!(from.transfer(to, 9_000, Transfer::Move), Ok(5_536));
        assert_eq!(from.transfer(to, 9_000, Transfer::Move), Err(Errno::EAGAIN));
        assert_eq!(read(&reader, 9_000).unwrap(), [2; 4_464]);
        drop((other_reader, writer));
        assert_eq!(from.transfer(to, 9, Transfer::Move), Ok(0));
    }

    #[test]
    fn a_sink_takes_what_it_wants_and_the_rest_stays() {
        let (reader, writer) = new_pipe(raw::O_DIRECT, 0, 0);
        let end: &PipeEnd = reader.downcast().unwrap();
        write(&writer, b"abc").unwrap();
        write(&writer, b"def").unwrap();
        let mut calls = 0;
        let some = end.drain(9, |_, bytes| {
            calls += 1;
            if calls == 1 { Ok(bytes.len().min(4)) } else { Err(Errno::EFBIG) }
        });
        assert_eq!(some, Ok(4));
        assert_eq!(end.drain(9, |_, _| Err(Errno::EFBIG)), Err(Errno::EFBIG));
        assert_eq!(read(&reader, 9).unwrap(), b"ef");
    }

    #[test]
    fn packets_keep_their_borders() {
        let (reader, writer) = new_pipe(raw::O_DIRECT, 0, 0);
        write(&writer, b"abcdef").unwrap();
        write(&writer, b"gh").unwrap();
        assert_eq!(read(&reader, 3).unwrap(), b"abc");
        assert_eq!(read(&reader, 30).unwrap(), b"gh");
        assert_eq!(read(&reader, 30), Err(Errno::EAGAIN));
    }

    #[test]
    fn the_capacity_can_change_but_not_below_the_content() {
        let (reader, writer) = new_pipe(0, 0, 0);
        let end = writer.downcast::<PipeEnd>().unwrap();
        assert_eq!(end.set_capacity(5000, false), Ok(8192));
        assert_eq!(write(&writer, &[0; 10_000]), Ok(8192));
        assert_eq!(end.set_capacity(1, false), Err(Errno::EBUSY));
        assert_eq!(end.set_capacity(MAX_CAPACITY + 1, false), Err(Errno::EPERM));
        assert_eq!(end.set_capacity(1 << 17, false), Ok(1 << 17));
        assert_eq!(read(&reader, 10_000).unwrap().len(), 8192);
    }

    #[test]
    fn a_full_memory_lets_a_pipe_keep_what_it_has() {
        let memory = PhysicalMemory::new(Some(3 * PIPE_BUF as u64)).unwrap();
        let (reader, writer) = pipe(&memory, 0, 0, 0);
        assert_eq!(write(&writer, &[1; 100]), Ok(100));
        let (_other_reader, other) = pipe(&memory, 0, 0, 0);
        assert_eq!(write(&other, &[2; 3 * PIPE_BUF]), Err(Errno::ENOMEM));
        assert_eq!(write(&other, &[2; PIPE_BUF]), Ok(PIPE_BUF));
        assert_eq!(write(&other, &[2; PIPE_BUF + 1]), Err(Errno::ENOMEM));
        assert_eq!(write(&writer, &[1; 3 * PIPE_BUF]), Ok(PIPE_BUF - 100));
        assert_eq!(read(&reader, 2 * PIPE_BUF).unwrap(), [1; PIPE_BUF]);
        drop((reader, writer, other, _other_reader));
        assert_eq!(memory.charged(), 0);
    }

    #[test]
    fn a_fifo_waits_for_its_other_end() {
        let fifo = Fifo::new(&PhysicalMemory::new(None).unwrap());
        assert_eq!(
            fifo.open(raw::O_WRONLY | raw::O_NONBLOCK).err(),
            Some(Errno::ENXIO),
            "a writer that may not wait needs a reader"
        );
        let reader = fifo.open(raw::O_RDONLY).unwrap();
        assert!(reader.open_pending());
        let writer = fifo.open(raw::O_WRONLY).unwrap();
        assert!(!reader.open_pending() && !writer.open_pending());
        drop(writer);
        assert!(!reader.open_pending(), "it has come and gone");
        assert_eq!(reader.poll(), PollEvents::HUP);
    }

    #[test]
    fn a_reader_of_a_fifo_that_no_writer_ever_opened_sees_no_hangup() {
        let fifo = Fifo::new(&PhysicalMemory::new(None).unwrap());
        let reader = fifo.open(raw::O_RDONLY | raw::O_NONBLOCK).unwrap();
        assert_eq!(reader.poll(), PollEvents::empty());
        let mut buf = [0; 4];
        assert_eq!(reader.read(0, &mut IoDst::kernel(&mut buf)), Ok(0));
    }
}
