//! Streams: a position in a VMO, to read and write its bytes as those of a file.
//!
//! A [`Stream`] ends where its VMO's *content* ends, not at the last page; what is written beyond makes the content larger
//! and the VMO too, if it is resizable. The bytes between the old end and what is written read as zero. Several streams may
//! have one VMO: each has its own position, and what they append goes behind one another in one piece.
//!
//! What a pager has is waited for with no lock held: the whole transfer is tried again then. A read has moved nothing before it is done,
//! and a write writes the same bytes again to where they are no content yet, or were to be in any case.

use std::{fmt, ops::Range, sync::Arc};

use bitflags::bitflags;
use parking_lot::Mutex;

use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, ObjectType},
    rights::Rights,
    vmo::{RangeOp, Vmo},
};

bitflags! {
    /// What a stream is for: `ZX_STREAM_MODE_*`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct StreamMode: u32 {
        /// It can be read: `ZX_STREAM_MODE_READ`.
        const READ = 1 << 0;
        /// It can be written: `ZX_STREAM_MODE_WRITE`.
        const WRITE = 1 << 1;
        /// What is written goes to the end: `ZX_STREAM_MODE_APPEND`.
        const APPEND = 1 << 2;
    }
}

bitflags! {
    /// How [`Stream::writev`] writes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct StreamWrite: u32 {
        /// To the end, where the position is then set first: `ZX_STREAM_APPEND`.
        const APPEND = 1 << 0;
    }
}

/// What a new position is relative to: `ZX_STREAM_SEEK_ORIGIN_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum SeekOrigin {
    /// The first byte.
    Start = 0,
    /// The present position.
    Current = 1,
    /// The end of the content.
    End = 2,
}

impl SeekOrigin {
    /// The origin with this number.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`].
    pub fn from_raw(raw: u32) -> Result<Self> {
        match raw {
            0 => Ok(Self::Start),
            1 => Ok(Self::Current),
            2 => Ok(Self::End),
            _ => Err(Error::InvalidArgs),
        }
    }
}

/// What a stream is: `zx_info_stream_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamInfo {
    /// What it is for.
    pub mode: StreamMode,
    /// Its position.
    pub seek: u64,
    /// Where it ends.
    pub content_size: u64,
}

/// A VMO to be read and written from a position on (`zx_stream_create`).
///
/// ```
/// use hal::pmem::PhysicalMemory;
/// use kernel_objects::{Rights, Stream, Vmo, VmoOptions};
/// use kernel_objects::stream::{SeekOrigin, StreamMode, StreamWrite};
///
/// let memory = PhysicalMemory::new(None).unwrap();
/// let vmo = Vmo::create(&memory, 0, VmoOptions { resizable: true, ..VmoOptions::default() }).unwrap();
/// let mode = StreamMode::READ | StreamMode::WRITE;
/// let stream = Stream::create(mode, &vmo, Rights::IO, 0).unwrap();
///
/// assert_eq!(stream.writev(StreamWrite::empty(), &[b"hel", b"lo"]), Ok(5));
/// assert_eq!(vmo.content_size(), 5);
/// stream.seek(SeekOrigin::End, -4).unwrap();
/// let mut rest = [0; 8];
/// assert_eq!(stream.readv(&mut [&mut rest]), Ok(4));
/// assert_eq!(&rest[..4], b"ello");
/// ```
pub struct Stream {
    base: KObjectBase,
    vmo: Arc<Vmo>,
    /// Without [`StreamMode::APPEND`], which can change.
    mode: StreamMode,
    /// Held while it reads or writes at its position.
    cursor: Mutex<Cursor>,
}

struct Cursor {
    seek: u64,
    append: bool,
}

/// Why a transfer stopped.
enum Stop {
    /// For good.
    For(Error),
    /// At a page that a pager has: those of this range are needed, and so many bytes come before.
    Lack(Range<u64>, usize),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::For(error)
    }
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::For(error) => error,
            Stop::Lack(..) => Error::ShouldWait,
        }
    }
}

/// Where a write goes.
#[derive(Clone, Copy)]
enum At {
    Offset(u64),
    End,
}

impl Stream {
    /// A stream with the bytes of `vmo`, to which the caller's handle has `rights`, that starts at `seek`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for an unknown mode; [`Error::AccessDenied`] without [`Rights::READ`] to read or
    /// without [`Rights::WRITE`] to write.
    pub fn create(
        mode: StreamMode,
        vmo: &Arc<Vmo>,
        rights: Rights,
        seek: u64,
    ) -> Result<Arc<Stream>> {
        if !StreamMode::all().contains(mode) {
            return Err(Error::InvalidArgs);
        }
        rights.require(rights_for(mode))?;
        Ok(Arc::new(Stream {
            base: KObjectBase::new(),
            vmo: vmo.clone(),
            mode: mode - StreamMode::APPEND,
            cursor: Mutex::new(Cursor { seek, append: mode.contains(StreamMode::APPEND) }),
        }))
    }

    /// The VMO that has its bytes.
    pub fn vmo(&self) -> &Arc<Vmo> {
        &self.vmo
    }

    fn require(&self, mode: StreamMode) -> Result {
        if self.mode.intersects(mode) { Ok(()) } else { Err(Error::AccessDenied) }
    }

    /// Reads from its position on, into one buffer after the other, and moves it; returns how many bytes, fewer than there is
    /// room for at the end (`zx_stream_readv`).
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if it is not for reading; [`Error::ShouldWait`] if a pager has one of the pages; those of
    /// [`Vmo::read`] if no byte could be read.
    pub fn readv(&self, buffers: &mut [&mut [u8]]) -> Result<usize> {
        Ok(self.try_readv(None, buffers, usize::MAX)?)
    }

    /// As [`readv`](Self::readv), from `offset` on; the position stays (`zx_stream_readv_at`).
    ///
    /// # Errors
    ///
    /// As [`readv`](Self::readv).
    pub fn readv_at(&self, offset: u64, buffers: &mut [&mut [u8]]) -> Result<usize> {
        Ok(self.try_readv(Some(offset), buffers, usize::MAX)?)
    }

    /// [`readv_at`](Self::readv_at), or [`readv`](Self::readv) without an `offset`, which waits for pages as a future.
    ///
    /// # Errors
    ///
    /// As [`readv`](Self::readv) and [`Vmo::fetch`].
    pub async fn readv_async(
        &self,
        offset: Option<u64>,
        buffers: &mut [&mut [u8]],
    ) -> Result<usize> {
        let mut limit = usize::MAX;
        loop {
            match self.try_readv(offset, buffers, limit) {
                Ok(read) => return Ok(read),
                Err(stop) => limit = self.wait(stop, false, limit).await?,
            }
        }
    }

    /// Waits for what a transfer lacks; returns how many bytes the next attempt may be of: those before a page that never comes.
    async fn wait(&self, stop: Stop, write: bool, limit: usize) -> Result<usize> {
        match stop {
            Stop::For(error) => Err(error),
            Stop::Lack(range, done) => match self.vmo.fetch(range, write).await {
                Ok(_) => Ok(limit),
                Err(error) if done == 0 => Err(error),
                Err(_) => Ok(done),
            },
        }
    }

    fn try_readv(
        &self,
        offset: Option<u64>,
        buffers: &mut [&mut [u8]],
        limit: usize,
    ) -> Result<usize, Stop> {
        self.require(StreamMode::READ)?;
        if let Some(offset) = offset {
            return self.read_at(offset, buffers, limit);
        }
        let mut cursor = self.cursor.lock();
        let read = self.read_at(cursor.seek, buffers, limit)?;
        cursor.seek = cursor.seek.saturating_add(read as u64);
        Ok(read)
    }

    fn read_at(&self, offset: u64, buffers: &mut [&mut [u8]], limit: usize) -> Result<usize, Stop> {
        let mut done = 0;
        for buffer in buffers {
            let at = offset.saturating_add(done as u64);
            // The size as well: a VMO that shrinks, or whose parent does, loses content.
            let end = self.vmo.content_size().min(self.vmo.size());
            let there = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            let len = buffer.len().min(there).min(limit - done);
            if len == 0 {
                continue;
            }
            let Some(part) = buffer.get_mut(..len) else { break };
            match self.vmo.read(at, part) {
                Ok(()) => done += len,
                Err(Error::ShouldWait) => return Err(self.lack(at..at + len as u64, false, done)),
                Err(error) if done == 0 => return Err(error.into()),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// A copy to or from `range` needs a pager, after `done` bytes before that: from which page on.
    fn lack(&self, range: Range<u64>, write: bool, done: usize) -> Stop {
        let ready = self.vmo.ready(&range, write).unwrap_or(0);
        Stop::Lack(range.start + ready..range.end, done + ready as usize)
    }

    /// Writes from its position on, from one buffer after the other, and moves it; returns how many bytes, fewer than asked for
    /// if the VMO cannot have more (`zx_stream_writev`). In append mode, or with that option, the position is moved to the
    /// end first, in one step with the write.
    ///
    /// # Errors
    ///
    /// [`Error::AccessDenied`] if it is not for writing; [`Error::InvalidArgs`] for unknown options; [`Error::ShouldWait`] if a
    /// pager has one of the pages, and some bytes may have been written then. If no byte could be written: [`Error::NoSpace`] if the VMO cannot be made larger, [`Error::FileBig`] if no VMO could be so large; those
    /// of [`Vmo::write`].
    pub fn writev(&self, options: StreamWrite, buffers: &[&[u8]]) -> Result<usize> {
        Ok(self.try_writev(options, buffers, usize::MAX)?)
    }

    /// [`writev`](Self::writev), which waits for pages as a future.
    ///
    /// # Errors
    ///
    /// As [`writev`](Self::writev) and [`Vmo::fetch`].
    pub async fn writev_async(&self, options: StreamWrite, buffers: &[&[u8]]) -> Result<usize> {
        let mut limit = usize::MAX;
        loop {
            match self.try_writev(options, buffers, limit) {
                Ok(written) => return Ok(written),
                Err(stop) => limit = self.wait(stop, true, limit).await?,
            }
        }
    }

    fn try_writev(
        &self,
        options: StreamWrite,
        buffers: &[&[u8]],
        limit: usize,
    ) -> Result<usize, Stop> {
        self.require(StreamMode::WRITE)?;
        if !StreamWrite::all().contains(options) {
            return Err(Error::InvalidArgs.into());
        }
        let mut cursor = self.cursor.lock();
        let append = cursor.append || options.contains(StreamWrite::APPEND);
        let at = if append { At::End } else { At::Offset(cursor.seek) };
        let (start, written) = self.write_at(at, buffers, limit)?;
        cursor.seek = start.saturating_add(written as u64);
        Ok(written)
    }

    /// As [`writev`](Self::writev), from `offset` on whatever the mode; the position stays (`zx_stream_writev_at`).
    ///
    /// # Errors
    ///
    /// As [`writev`](Self::writev).
    pub fn writev_at(&self, offset: u64, buffers: &[&[u8]]) -> Result<usize> {
        Ok(self.try_writev_at(offset, buffers, usize::MAX)?)
    }

    /// [`writev_at`](Self::writev_at), which waits for pages as a future.
    ///
    /// # Errors
    ///
    /// As [`writev_at`](Self::writev_at) and [`Vmo::fetch`].
    pub async fn writev_at_async(&self, offset: u64, buffers: &[&[u8]]) -> Result<usize> {
        let mut limit = usize::MAX;
        loop {
            match self.try_writev_at(offset, buffers, limit) {
                Ok(written) => return Ok(written),
                Err(stop) => limit = self.wait(stop, true, limit).await?,
            }
        }
    }

    fn try_writev_at(&self, offset: u64, buffers: &[&[u8]], limit: usize) -> Result<usize, Stop> {
        self.require(StreamMode::WRITE)?;
        self.write_at(At::Offset(offset), buffers, limit).map(|(_, written)| written)
    }

    /// Where it wrote, and how much, at most `limit` bytes.
    fn write_at(&self, at: At, buffers: &[&[u8]], limit: usize) -> Result<(u64, usize), Stop> {
        let total =
            buffers.iter().fold(0u64, |sum, buffer| sum.saturating_add(buffer.len() as u64));
        let total = total.min(limit as u64);
        let within = |offset: u64| {
            offset.checked_add(total).is_some_and(|end| end <= self.vmo.content_size())
        };
        match at {
            At::Offset(offset) if within(offset) => {
                return self.copy(offset, total, buffers).map(|written| (offset, written));
            }
            _ => {}
        }
        // Nobody else moves the end meanwhile, except by setting it.
        let _appending = self.vmo.content().appending.lock();
        let content = self.vmo.content_size();
        let offset = match at {
            At::Offset(offset) => offset,
            At::End => content,
        };
        if total == 0 {
            return Ok((offset, 0));
        }
        let end = self.make_room(offset, total)?;
        if offset > content {
            match self.vmo.op_range(RangeOp::Zero, content, offset - content) {
                Err(Error::ShouldWait) => return Err(self.lack_to_zero(content..offset)),
                zeroed => zeroed?,
            }
        }
        let written = self.copy(offset, end - offset, buffers)?;
        let reached = offset.saturating_add(written as u64);
        // Last, so that nobody reads what has not been written yet.
        self.vmo.note_content(reached);
        Ok((offset, written))
    }

    /// Zeroing `range` needs a pager for the pages that it has parts of, at its ends.
    fn lack_to_zero(&self, range: Range<u64>) -> Stop {
        let ready = self.vmo.ready(&(range.start..range.start + 1), true);
        let at = if matches!(ready, Ok(1)) { range.end - 1 } else { range.start };
        Stop::Lack(at..at + 1, 0)
    }

    /// Makes the VMO large enough for `len` bytes at `offset`; returns up to where it is, which is beyond `offset`.
    fn make_room(&self, offset: u64, len: u64) -> Result<u64> {
        let end = offset.saturating_add(len);
        if end <= self.vmo.size() {
            return Ok(end);
        }
        let refused = match self.vmo.extend(end) {
            Ok(()) => return Ok(end),
            Err(Error::OutOfRange) => Error::FileBig,
            Err(_) => Error::NoSpace,
        };
        // As much as there is room for.
        let size = self.vmo.size();
        if size > offset { Ok(size) } else { Err(refused) }
    }

    /// Copies up to `limit` bytes to `offset`; how many.
    fn copy(&self, offset: u64, limit: u64, buffers: &[&[u8]]) -> Result<usize, Stop> {
        let mut limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut done = 0;
        for buffer in buffers {
            let Some(part) = buffer.get(..buffer.len().min(limit)) else { break };
            let at = offset.saturating_add(done as u64);
            match self.vmo.write(at, part) {
                Ok(()) => done += part.len(),
                Err(Error::ShouldWait) => {
                    return Err(self.lack(at..at.saturating_add(part.len() as u64), true, done));
                }
                Err(error) if done == 0 => return Err(error.into()),
                Err(_) => break,
            }
            limit -= part.len();
        }
        Ok(done)
    }

    /// Moves its position, also beyond the end; returns it (`zx_stream_seek`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if that would be negative or larger than a `u64`; [`Error::AccessDenied`] if it is neither
    /// for reading nor for writing.
    pub fn seek(&self, origin: SeekOrigin, offset: i64) -> Result<u64> {
        self.require(StreamMode::READ | StreamMode::WRITE)?;
        let mut cursor = self.cursor.lock();
        let base = match origin {
            SeekOrigin::Start => 0,
            SeekOrigin::Current => cursor.seek,
            SeekOrigin::End => self.vmo.content_size(),
        };
        cursor.seek = base.checked_add_signed(offset).ok_or(Error::InvalidArgs)?;
        Ok(cursor.seek)
    }

    /// What it is (`ZX_INFO_STREAM`).
    pub fn info(&self) -> StreamInfo {
        let cursor = self.cursor.lock();
        let append = if cursor.append { StreamMode::APPEND } else { StreamMode::empty() };
        StreamInfo {
            mode: self.mode | append,
            seek: cursor.seek,
            content_size: self.vmo.content_size(),
        }
    }

    /// Whether what is written goes to the end (`ZX_PROP_STREAM_MODE_APPEND`).
    pub fn appends(&self) -> bool {
        self.cursor.lock().append
    }

    /// Has what is written go to the end, or no longer (`ZX_PROP_STREAM_MODE_APPEND`).
    pub fn set_append(&self, append: bool) {
        self.cursor.lock().append = append;
    }
}

/// The rights to a VMO that a stream of it takes, and those to the stream that it gives.
fn rights_for(mode: StreamMode) -> Rights {
    let right = |needed, right| if mode.contains(needed) { right } else { Rights::empty() };
    right(StreamMode::READ, Rights::READ) | right(StreamMode::WRITE, Rights::WRITE)
}

impl KernelObject for Stream {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Stream
    }

    fn default_rights(&self) -> Rights {
        Rights::default_for(ObjectType::Stream) | rights_for(self.mode)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("base", &self.base).field("info", &self.info()).finish()
    }
}

#[cfg(test)]
mod tests {
    use hal::pmem::{PAGE_SIZE, PhysicalMemory};

    use super::*;
    use crate::vmo::VmoOptions;

    const PAGE: u64 = PAGE_SIZE as u64;
    const BOTH: StreamMode = StreamMode::READ.union(StreamMode::WRITE);
    const PLAIN: StreamWrite = StreamWrite::empty();

    fn vmo(size: u64, resizable: bool) -> Arc<Vmo> {
        let memory = PhysicalMemory::new(None).unwrap();
        Vmo::create(&memory, size, VmoOptions { resizable, charged: false }).unwrap()
    }

    fn stream(vmo: &Arc<Vmo>) -> Arc<Stream> {
        Stream::create(BOTH, vmo, Rights::IO, 0).unwrap()
    }

    fn content(vmo: &Vmo) -> Vec<u8> {
        let mut bytes = vec![0; vmo.content_size() as usize];
        vmo.read(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_mode_is_limited_by_the_rights_and_limits_what_can_be_done() {
        let vmo = vmo(10, true);
        let create = |mode, rights| Stream::create(mode, &vmo, rights, 0);
        let error = |mode, rights| create(mode, rights).err();
        assert_eq!(error(StreamMode::from_bits_retain(8), Rights::IO), Some(Error::InvalidArgs));
        assert_eq!(error(StreamMode::READ, Rights::WRITE), Some(Error::AccessDenied));
        assert_eq!(error(StreamMode::WRITE, Rights::READ), Some(Error::AccessDenied));
        let reader = create(StreamMode::READ, Rights::READ).unwrap();
        let writer = create(StreamMode::WRITE, Rights::WRITE).unwrap();
        assert_eq!(reader.default_rights() & Rights::IO, Rights::READ);
        assert_eq!(writer.default_rights() & Rights::IO, Rights::WRITE);
        assert_eq!(reader.readv(&mut [&mut [0; 4]]), Ok(4));
        assert_eq!(reader.writev(PLAIN, &[b"x"]), Err(Error::AccessDenied));
        assert_eq!(reader.writev_at(0, &[b"x"]), Err(Error::AccessDenied));
        assert_eq!(writer.writev(PLAIN, &[b"x"]), Ok(1));
        assert_eq!(writer.readv(&mut [&mut [0; 4]]), Err(Error::AccessDenied));
        assert_eq!(writer.readv_at(0, &mut [&mut [0; 4]]), Err(Error::AccessDenied));
        let neither = create(StreamMode::empty(), Rights::empty()).unwrap();
        assert_eq!(neither.seek(SeekOrigin::Start, 0), Err(Error::AccessDenied));
        let unknown = StreamWrite::from_bits_retain(2);
        assert_eq!(writer.writev(unknown, &[b"x"]), Err(Error::InvalidArgs));
    }

    #[test]
    fn reads_fill_one_buffer_after_the_other_up_to_the_content() {
        let vmo = vmo(10, true);
        vmo.write(0, b"0123456789junk").unwrap();
        let stream = Stream::create(StreamMode::READ, &vmo, Rights::READ, 2).unwrap();
        let (mut a, mut b, mut c) = ([0; 3], [0; 0], [0; 9]);
        assert_eq!(stream.readv(&mut [&mut a, &mut b, &mut c]), Ok(8));
        assert_eq!((&a, &c[..5], c[5]), (b"234", &b"56789"[..], 0));
        assert_eq!(stream.info().seek, 10);
        assert_eq!(stream.readv(&mut [&mut c]), Ok(0), "at the end");
        assert_eq!(stream.readv_at(4, &mut [&mut a]), Ok(3));
        assert_eq!((&a, stream.info().seek), (b"456", 10));
        for beyond in [11, u64::MAX] {
            assert_eq!(stream.readv_at(beyond, &mut [&mut a, &mut c]), Ok(0));
        }
        assert_eq!(stream.readv(&mut []), Ok(0));
        vmo.set_size(0).unwrap();
        assert_eq!(stream.readv_at(0, &mut [&mut a]), Ok(0));
    }

    #[test]
    fn writes_move_the_position_and_make_content_and_vmo_larger() {
        let vmo = vmo(0, true);
        let stream = stream(&vmo);
        assert_eq!(stream.writev(PLAIN, &[b"ab", b"", b"cd"]), Ok(4));
        assert_eq!(stream.writev(PLAIN, &[b"ef"]), Ok(2));
        assert_eq!((content(&vmo), vmo.size()), (b"abcdef".to_vec(), PAGE));
        assert_eq!(stream.writev_at(1, &[b"X"]), Ok(1));
        assert_eq!(stream.info(), StreamInfo { mode: BOTH, seek: 6, content_size: 6 });
        assert_eq!(content(&vmo), b"aXcdef");
        assert_eq!(stream.writev_at(PAGE - 1, &[b"YZ"]), Ok(2));
        assert_eq!((vmo.content_size(), vmo.size()), (PAGE + 1, 2 * PAGE));
    }

    #[test]
    fn what_lies_between_the_old_end_and_a_write_reads_as_zero() {
        let vmo = vmo(2 * PAGE, true);
        vmo.write(0, &[7; 2 * PAGE_SIZE]).unwrap();
        vmo.set_content_size(3).unwrap();
        let stream = stream(&vmo);
        assert_eq!(stream.writev_at(PAGE + 5, &[b"x"]), Ok(1));
        let mut expected = vec![0; PAGE_SIZE + 6];
        expected[..3].fill(7);
        expected[PAGE_SIZE + 5] = b'x';
        assert_eq!(content(&vmo), expected);
        assert_eq!(stream.writev_at(PAGE * 9, &[]), Ok(0), "no byte makes nothing larger");
        assert_eq!(vmo.content_size(), PAGE + 6);
    }

    #[test]
    fn appended_bytes_go_to_the_end_wherever_the_position_is() {
        let vmo = vmo(0, true);
        let stream = stream(&vmo);
        assert_eq!(stream.writev(PLAIN, &[b"abc"]), Ok(3));
        assert_eq!(stream.seek(SeekOrigin::Start, 1), Ok(1));
        assert_eq!(stream.writev(StreamWrite::APPEND, &[b"d"]), Ok(1));
        assert_eq!((content(&vmo), stream.info().seek), (b"abcd".to_vec(), 4));

        let append = Stream::create(BOTH | StreamMode::APPEND, &vmo, Rights::IO, 0).unwrap();
        assert!(append.appends() && append.info().mode.contains(StreamMode::APPEND));
        assert_eq!(append.readv(&mut [&mut [0; 2]]), Ok(2), "reads are at the position");
        assert_eq!(append.writev(PLAIN, &[b"e"]), Ok(1));
        assert_eq!(append.writev_at(0, &[b"A"]), Ok(1), "not at the end");
        append.set_append(false);
        assert!(!append.appends() && append.info().mode == BOTH, "not as it was made");
        assert_eq!(append.seek(SeekOrigin::Start, 1), Ok(1));
        assert_eq!(append.writev(PLAIN, &[b"B"]), Ok(1));
        assert_eq!(content(&vmo), b"ABcde");
    }

    #[test]
    fn a_vmo_of_fixed_size_takes_what_there_is_room_for() {
        let vmo = vmo(4, false);
        let stream = stream(&vmo);
        assert_eq!(stream.seek(SeekOrigin::Start, PAGE as i64 - 2), Ok(PAGE - 2));
        assert_eq!(stream.writev(PLAIN, &[b"a", b"bcd", b"e"]), Ok(2));
        assert_eq!((vmo.content_size(), stream.info().seek), (PAGE, PAGE));
        assert_eq!(stream.writev(PLAIN, &[b"x"]), Err(Error::NoSpace));
        assert_eq!(stream.writev(StreamWrite::APPEND, &[b"x"]), Err(Error::NoSpace));
        assert_eq!(stream.info().seek, PAGE);
    }

    #[test]
    fn a_stream_ends_where_no_vmo_reaches_and_where_memory_does() {
        let stream = stream(&vmo(0, true));
        for offset in [u64::MAX, 1 << 62] {
            assert_eq!(stream.writev_at(offset, &[b"x"]), Err(Error::FileBig));
        }
        let memory = PhysicalMemory::new(Some(8 * PAGE)).unwrap();
        let options = VmoOptions { resizable: true, charged: true };
        let vmo = Vmo::create(&memory, 0, options).unwrap();
        let stream = Stream::create(BOTH, &vmo, Rights::IO, 0).unwrap();
        assert_eq!(stream.writev_at(1000 * PAGE, &[b"x"]), Err(Error::NoSpace));
        assert_eq!(vmo.content_size(), 0);
    }

    #[test]
    fn positions_are_relative_to_the_start_the_present_one_and_the_end() {
        let stream = stream(&vmo(100, false));
        assert_eq!(stream.seek(SeekOrigin::Start, 10), Ok(10));
        assert_eq!(stream.seek(SeekOrigin::Current, -3), Ok(7));
        assert_eq!(stream.seek(SeekOrigin::End, 5), Ok(105), "beyond the end");
        assert_eq!(stream.seek(SeekOrigin::End, -100), Ok(0));
        let bad = Err(Error::InvalidArgs);
        assert_eq!(stream.seek(SeekOrigin::Start, -1), bad);
        assert_eq!(stream.seek(SeekOrigin::Current, -1), bad);
        assert_eq!(stream.seek(SeekOrigin::End, -101), bad);
        assert_eq!(stream.seek(SeekOrigin::End, i64::MIN), bad);
        assert_eq!(stream.info().seek, 0, "what fails moves nothing");
        assert_eq!(stream.seek(SeekOrigin::Start, i64::MAX), Ok(i64::MAX as u64));
        assert_eq!(stream.seek(SeekOrigin::Current, i64::MAX), Ok(u64::MAX - 1));
        assert_eq!(stream.seek(SeekOrigin::Current, 2), bad);
        let origins = [SeekOrigin::Start, SeekOrigin::Current, SeekOrigin::End];
        assert_eq!([0, 1, 2].map(SeekOrigin::from_raw), origins.map(Ok));
        assert_eq!(SeekOrigin::from_raw(3), Err(Error::InvalidArgs));
    }

    #[test]
    fn eight_threads_append_in_whole_pieces() {
        const ROUNDS: usize = 300;
        let vmo = vmo(0, true);
        std::thread::scope(|scope| {
            for thread in 0..8u8 {
                let stream = stream(&vmo);
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        let piece = [thread + 1; 37];
                        let (a, b) = piece.split_at(11);
                        assert_eq!(stream.writev(StreamWrite::APPEND, &[a, b]), Ok(37));
                    }
                });
            }
        });
        let bytes = content(&vmo);
        let mut counts = [0; 8];
        for piece in bytes.chunks(37) {
            assert!(piece.len() == 37 && piece.iter().all(|&byte| byte == piece[0]));
            counts[piece[0] as usize - 1] += 1;
        }
        assert_eq!(counts, [ROUNDS; 8]);
    }
}
