//! Where the bytes of a read go and the bytes of a write come from.
//!
//! The one idea: a file copies into an [`IoDst`] or out of an [`IoSrc`] and never learns whether the other
//! side is a buffer of the kernel or ranges of guest memory, so one implementation of a file serves read,
//! readv, pread, sendfile and the rings. A fault in the middle of guest memory ends the transfer short; only
//! a fault at its very first byte is an error (`EFAULT`), as the kernel's iov_iter has it.

use hal::{
    host::{HostError, HostFile},
    pmem::PAGE_SIZE,
};
use kernel_objects::{Error, vmo::Vmo};

use crate::errno::{Errno, SysResult};

/// Guest memory as files see it. Implemented by the process's address space.
///
/// Every method fails with `EFAULT` when any byte of the range cannot be accessed; bytes before the bad one may
/// have been copied by then. Lazy and copy-on-write pages are resolved as by a fault of the guest.
pub trait GuestMemory: Send + Sync {
    /// Copies guest bytes at `va` into `buf`.
    fn read(&self, va: u64, buf: &mut [u8]) -> SysResult<()>;
    /// Copies `buf` to guest memory at `va`.
    fn write(&self, va: u64, buf: &[u8]) -> SysResult<()>;
    /// Zeroes `len` bytes of guest memory at `va`.
    fn fill_zero(&self, va: u64, len: usize) -> SysResult<()>;
    /// Copies `len` bytes of `vmo` from `offset` on to guest memory at `va`. Fails also as the VMO does.
    fn copy_from_vmo(&self, va: u64, vmo: &Vmo, offset: u64, len: usize) -> SysResult<()>;
    /// Reads a host file from `offset` on straight into guest memory at `va`: how many bytes came, and why there were not
    /// more. `Ok` means that the next read tells (none at all: the end), `EAGAIN` that the host would have to wait for a disk.
    fn read_host_file(
        &self,
        va: u64,
        file: &HostFile,
        offset: u64,
        len: usize,
    ) -> (usize, SysResult<()>);
    /// Copies `len` bytes of guest memory at `va` to `vmo` at `offset`. Fails also as the VMO does.
    fn copy_to_vmo(&self, va: u64, vmo: &Vmo, offset: u64, len: usize) -> SysResult<()>;
}

/// How much is read at once from a host file that is not in the host's memory, in bytes.
const BOUNCE: usize = 256 << 10;

/// One range of guest memory: an iovec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestRange {
    /// First address.
    pub va: u64,
    /// Length in bytes.
    pub len: usize,
}

/// The guest's side of a transfer: the range in progress and those after it.
#[derive(Clone)]
struct GuestRanges<'a> {
    memory: &'a dyn GuestMemory,
    head: GuestRange,
    rest: &'a [GuestRange],
}

impl GuestRanges<'_> {
    /// The part of the current range that takes at most `max` bytes; empty ranges are skipped.
    fn chunk(&mut self, max: usize) -> Option<(u64, usize)> {
        while self.head.len == 0 {
            let (head, rest) = self.rest.split_first()?;
            (self.head, self.rest) = (*head, rest);
        }
        Some((self.head.va, self.head.len.min(max)))
    }

    fn advance(&mut self, n: usize) {
        self.head.va = self.head.va.wrapping_add(n as u64);
        self.head.len -= n;
    }

    /// Moves up to `len` bytes by calling `copy(va, done, chunk)` for each contiguous piece.
    ///
    /// After a fault the piece is tried again page by page, so that the caller learns how far it came.
    fn transfer(
        &mut self,
        len: usize,
        mut copy: impl FnMut(&dyn GuestMemory, u64, usize, usize) -> SysResult<()>,
    ) -> SysResult {
        let mut done = 0;
        while done < len {
            let Some((va, chunk)) = self.chunk(len - done) else { break };
            match copy(self.memory, va, done, chunk) {
                Ok(()) => {
                    self.advance(chunk);
                    done += chunk;
                    continue;
                }
                Err(Errno::EFAULT) => {}
                Err(error) => return if done == 0 { Err(error) } else { Ok(done) },
            }
            let mut part = 0;
            while part < chunk {
                let at = va.wrapping_add(part as u64);
                let in_page = PAGE_SIZE - (at as usize & (PAGE_SIZE - 1));
                let piece = in_page.min(chunk - part);
                if copy(self.memory, at, done + part, piece).is_err() {
                    break;
                }
                part += piece;
            }
            self.advance(part);
            done += part;
            return if done == 0 { Err(Errno::EFAULT) } else { Ok(done) };
        }
        Ok(done)
    }
}

fn total(head: usize, rest: &[GuestRange]) -> usize {
    rest.iter().fold(head, |sum, range| sum.saturating_add(range.len))
}

/// The destination of a read: as many bytes as its ranges hold.
///
/// One of guest memory is filled on a CPU, which waits for nothing: where a disk would have to be read first, the transfer ends
/// and the destination [is cold](Self::is_cold). One of a kernel's buffer waits, unless [told not to](Self::without_waiting).
pub struct IoDst<'a> {
    target: Dst<'a>,
    remaining: usize,
    /// For how many more bytes a disk may be waited for.
    patience: usize,
    cold: bool,
}

enum Dst<'a> {
    Kernel(&'a mut [u8]),
    Guest(GuestRanges<'a>),
}

impl<'a> IoDst<'a> {
    /// A buffer of the kernel.
    pub fn kernel(buf: &'a mut [u8]) -> Self {
        let remaining = buf.len();
        Self { target: Dst::Kernel(buf), remaining, patience: usize::MAX, cold: false }
    }

    fn of_guest(ranges: GuestRanges<'a>, remaining: usize) -> Self {
        Self { target: Dst::Guest(ranges), remaining, patience: 0, cold: false }
    }

    /// The same, filled on a CPU.
    pub fn without_waiting(self) -> Self {
        Self { patience: 0, ..self }
    }

    /// Whether a transfer ended because a disk would have to be read.
    pub fn is_cold(&self) -> bool {
        self.cold
    }

    /// What was missing has been fetched: up to `len` bytes may be waited for, if they have gone again.
    pub fn warmed(&mut self, len: usize) {
        self.cold = false;
        self.patience = len;
    }

    /// How many of `len` bytes can be transferred when `ready` of them need no disk: all if waiting is allowed, `EAGAIN` if none.
    pub fn limit_to_ready(&mut self, ready: usize, len: usize) -> SysResult {
        if ready >= len {
            return Ok(len);
        }
        let allowed = ready.max(self.patience.min(len));
        self.patience = self.patience.saturating_sub(allowed);
        self.cold = allowed < len;
        if allowed == 0 { Err(Errno::EAGAIN) } else { Ok(allowed) }
    }

    /// One guest range.
    pub fn guest(memory: &'a dyn GuestMemory, va: u64, len: usize) -> Self {
        Self::of_guest(GuestRanges { memory, head: GuestRange { va, len }, rest: &[] }, len)
    }

    /// The guest ranges of an iovec array, in order.
    pub fn guest_vectored(memory: &'a dyn GuestMemory, ranges: &'a [GuestRange]) -> Self {
        let remaining = total(0, ranges);
        Self::of_guest(GuestRanges { memory, head: GuestRange::default(), rest: ranges }, remaining)
    }

    /// Bytes that still fit.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// Lets at most `len` more bytes in.
    pub fn truncate(&mut self, len: usize) {
        self.remaining = self.remaining.min(len);
    }

    /// Lets `operation` move at most `len` bytes; what was held back can be moved after it.
    pub fn with_limit<T>(&mut self, len: usize, operation: impl FnOnce(&mut Self) -> T) -> T {
        let held_back = self.remaining.saturating_sub(len);
        self.remaining -= held_back;
        let result = operation(self);
        self.remaining += held_back;
        result
    }

    /// Appends `data` as far as it fits; how many bytes that were. Fails with `EFAULT` if not even the first
    /// byte could be written.
    pub fn write(&mut self, data: &[u8]) -> SysResult {
        let len = data.len().min(self.remaining);
        let done = match &mut self.target {
            Dst::Kernel(buf) => {
                let (now, later) = std::mem::take(buf).split_at_mut(len);
                now.copy_from_slice(&data[..len]);
                *buf = later;
                len
            }
            Dst::Guest(ranges) => ranges.transfer(len, |memory, va, done, chunk| {
                memory.write(va, &data[done..done + chunk])
            })?,
        };
        self.remaining -= done;
        Ok(done)
    }

    /// Appends up to `len` zero bytes; how many fitted.
    pub fn write_zeros(&mut self, len: usize) -> SysResult {
        let len = len.min(self.remaining);
        let done = match &mut self.target {
            Dst::Kernel(buf) => {
                let (now, later) = std::mem::take(buf).split_at_mut(len);
                now.fill(0);
                *buf = later;
                len
            }
            Dst::Guest(ranges) => {
                ranges.transfer(len, |memory, va, _, chunk| memory.fill_zero(va, chunk))?
            }
        };
        self.remaining -= done;
        Ok(done)
    }

    /// Appends up to `len` bytes of `vmo` from `offset` on; how many fitted. Fails also as the VMO does.
    pub fn write_from_vmo(&mut self, vmo: &Vmo, offset: u64, len: usize) -> SysResult {
        let len = len.min(self.remaining);
        let done = match &mut self.target {
            Dst::Kernel(buf) => {
                let (now, later) = std::mem::take(buf).split_at_mut(len);
                let result = vmo.read(offset, now).map_err(vmo_errno);
                *buf = later;
                result?;
                len
            }
            Dst::Guest(ranges) => ranges.transfer(len, |guest, va, done, chunk| {
                guest.copy_from_vmo(va, vmo, offset.wrapping_add(done as u64), chunk)
            })?,
        };
        self.remaining -= done;
        Ok(done)
    }

    /// Appends up to `len` bytes of the host file `file` from `offset` on, as far as it goes; how many. Ends where the host's
    /// disk would have to be waited for, unless that is allowed; `EAGAIN` if that is at once.
    pub fn write_from_host(&mut self, file: &HostFile, offset: u64, len: usize) -> SysResult {
        let len = file.limit_read(len.min(self.remaining)).map_err(host_errno)?;
        let mut done = 0;
        while done < len {
            let from = offset.saturating_add(done as u64);
            let (some, result) = match &mut self.target {
                Dst::Kernel(buf) => {
                    let got = file.try_pread(&mut buf[..len - done], from);
                    if let Ok(n) = got {
                        *buf = &mut std::mem::take(buf)[n..];
                    }
                    (got.unwrap_or(0), got.map(drop).map_err(host_errno))
                }
                Dst::Guest(ranges) => {
                    let Some((va, chunk)) = ranges.chunk(len - done) else { break };
                    let outcome = ranges.memory.read_host_file(va, file, from, chunk);
                    ranges.advance(outcome.0);
                    outcome
                }
            };
            done += some;
            self.remaining -= some;
            let stopped = match result {
                Ok(()) if some == 0 => break,
                Ok(()) => continue,
                Err(Errno::EAGAIN) => {
                    let from = offset.saturating_add(done as u64);
                    self.wait_for_host(file, from, len - done)
                }
                Err(error) => Err(error),
            };
            match stopped {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Appends bytes that the host does not have in memory, as many as may be waited for: `EAGAIN` if none.
    fn wait_for_host(&mut self, file: &HostFile, offset: u64, len: usize) -> SysResult {
        let len = len.min(self.patience).min(BOUNCE);
        if len == 0 {
            self.cold = true;
            return Err(Errno::EAGAIN);
        }
        let mut bounce = vec![0; len];
        let got = file.pread(&mut bounce, offset).map_err(host_errno)?;
        self.patience -= got;
        self.write(&bounce[..got])
    }
}

/// The number of a host's error, which is also the guest's.
pub(super) fn host_errno(error: HostError) -> Errno {
    Errno::from_raw(error.errno())
}

/// What a failing VMO is to a system call on the file that it holds.
fn vmo_errno(error: Error) -> Errno {
    match error {
        Error::NoMemory => Errno::ENOMEM,
        _ => Errno::EIO,
    }
}

/// The source of a write: the bytes of its ranges, in order. A clone takes the same bytes once more: for
/// whoever must look at bytes before it knows how many it can take.
#[derive(Clone)]
pub struct IoSrc<'a> {
    source: Src<'a>,
    remaining: usize,
    /// Bytes that the file may grow to (`RLIMIT_FSIZE`).
    size_limit: u64,
    over_limit: bool,
}

#[derive(Clone)]
enum Src<'a> {
    Kernel(&'a [u8]),
    Guest(GuestRanges<'a>),
}

impl<'a> IoSrc<'a> {
    /// A buffer of the kernel.
    pub fn kernel(buf: &'a [u8]) -> Self {
        Self::new(Src::Kernel(buf), buf.len())
    }

    fn new(source: Src<'a>, remaining: usize) -> Self {
        Self { source, remaining, size_limit: u64::MAX, over_limit: false }
    }

    /// One guest range.
    pub fn guest(memory: &'a dyn GuestMemory, va: u64, len: usize) -> Self {
        let ranges = GuestRanges { memory, head: GuestRange { va, len }, rest: &[] };
        Self::new(Src::Guest(ranges), len)
    }

    /// The guest ranges of an iovec array, in order.
    pub fn guest_vectored(memory: &'a dyn GuestMemory, ranges: &'a [GuestRange]) -> Self {
        let remaining = total(0, ranges);
        let ranges = GuestRanges { memory, head: GuestRange::default(), rest: ranges };
        Self::new(Src::Guest(ranges), remaining)
    }

    /// Lets no file grow beyond `limit` bytes by being written from here.
    pub fn limit_file_size(&mut self, limit: u64) {
        self.size_limit = limit;
    }

    /// For files before they write at `offset`: leaves what passes the size limit; `EFBIG` if that is all.
    pub fn cut_to_limit(&mut self, offset: u64) -> SysResult<()> {
        let left = self.size_limit.saturating_sub(offset);
        if left == 0 && self.remaining > 0 {
            self.over_limit = true;
            return Err(Errno::EFBIG);
        }
        self.remaining = self.remaining.min(usize::try_from(left).unwrap_or(usize::MAX));
        Ok(())
    }

    /// Whether the size limit refused a write: the writer is sent SIGXFSZ then.
    pub fn is_over_limit(&self) -> bool {
        self.over_limit
    }

    /// Bytes not yet taken.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// Lets at most `len` more bytes out.
    pub fn truncate(&mut self, len: usize) {
        self.remaining = self.remaining.min(len);
    }

    /// Lets `operation` move at most `len` bytes; what was held back can be moved after it.
    pub fn with_limit<T>(&mut self, len: usize, operation: impl FnOnce(&mut Self) -> T) -> T {
        let held_back = self.remaining.saturating_sub(len);
        self.remaining -= held_back;
        let result = operation(self);
        self.remaining += held_back;
        result
    }

    /// Takes bytes until `buf` is full or none are left; how many that were. Fails with `EFAULT` if not even
    /// the first byte could be read.
    pub fn read(&mut self, buf: &mut [u8]) -> SysResult {
        let len = buf.len().min(self.remaining);
        let done = match &mut self.source {
            Src::Kernel(data) => {
                let (now, later) = data.split_at(len);
                buf[..len].copy_from_slice(now);
                *data = later;
                len
            }
            Src::Guest(ranges) => ranges.transfer(len, |memory, va, done, chunk| {
                memory.read(va, &mut buf[done..done + chunk])
            })?,
        };
        self.remaining -= done;
        Ok(done)
    }

    /// Takes up to `len` bytes into `vmo` at `offset`; how many that were. Fails also as the VMO does.
    pub fn read_to_vmo(&mut self, vmo: &Vmo, offset: u64, len: usize) -> SysResult {
        let len = len.min(self.remaining);
        let done = match &mut self.source {
            Src::Kernel(data) => {
                let (now, later) = data.split_at(len);
                vmo.write(offset, now).map_err(vmo_errno)?;
                *data = later;
                len
            }
            Src::Guest(ranges) => ranges.transfer(len, |guest, va, done, chunk| {
                guest.copy_to_vmo(va, vmo, offset.wrapping_add(done as u64), chunk)
            })?,
        };
        self.remaining -= done;
        Ok(done)
    }

    /// Takes up to `len` bytes and drops them unread; how many that were. Never faults, as /dev/null does not.
    pub fn skip(&mut self, len: usize) -> usize {
        let len = len.min(self.remaining);
        match &mut self.source {
            Src::Kernel(data) => *data = &data[len..],
            Src::Guest(ranges) => {
                let mut left = len;
                while left > 0 {
                    let Some((_, chunk)) = ranges.chunk(left) else { break };
                    ranges.advance(chunk);
                    left -= chunk;
                }
            }
        }
        self.remaining -= len;
        len
    }
}

/// The most bytes that are moved at once by way of [`with_buffer`].
const CHUNK: usize = 128 << 10;
/// Up to this many bytes its buffer is on the stack.
const SMALL: usize = 4096;

/// Calls `with` with a buffer of `len` bytes, at most [`CHUNK`].
pub(crate) fn with_buffer<T>(len: usize, with: impl FnOnce(&mut [u8]) -> T) -> T {
    if len <= SMALL {
        let mut buf = [0; SMALL];
        with(buf.get_mut(..len).unwrap_or_default())
    } else {
        with(&mut vec![0; len.min(CHUNK)])
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// Guest memory of a few pages from address 0x1000; anything else faults.
    struct Pages(Mutex<Vec<u8>>);

    impl Pages {
        fn new(pages: usize) -> Self {
            Self(Mutex::new(vec![0xee; pages * PAGE_SIZE]))
        }

        fn range(&self, va: u64, len: usize) -> SysResult<std::ops::Range<usize>> {
            let start = va.checked_sub(0x1000).ok_or(Errno::EFAULT)? as usize;
            let end = start.checked_add(len).ok_or(Errno::EFAULT)?;
            if end > self.0.lock().len() { Err(Errno::EFAULT) } else { Ok(start..end) }
        }
    }

    impl GuestMemory for Pages {
        fn read(&self, va: u64, buf: &mut [u8]) -> SysResult<()> {
            buf.copy_from_slice(&self.0.lock()[self.range(va, buf.len())?]);
            Ok(())
        }
        fn write(&self, va: u64, buf: &[u8]) -> SysResult<()> {
            let range = self.range(va, buf.len())?;
            self.0.lock()[range].copy_from_slice(buf);
            Ok(())
        }
        fn fill_zero(&self, va: u64, len: usize) -> SysResult<()> {
            let range = self.range(va, len)?;
            self.0.lock()[range].fill(0);
            Ok(())
        }
        fn copy_from_vmo(&self, _: u64, _: &Vmo, _: u64, _: usize) -> SysResult<()> {
            Err(Errno::EFAULT)
        }
        fn read_host_file(&self, _: u64, _: &HostFile, _: u64, _: usize) -> (usize, SysResult<()>) {
            (0, Err(Errno::EAGAIN))
        }
        fn copy_to_vmo(&self, _: u64, _: &Vmo, _: u64, _: usize) -> SysResult<()> {
            Err(Errno::EFAULT)
        }
    }

    #[test]
    fn a_destination_fills_its_ranges_in_order() {
        let guest = Pages::new(1);
        let ranges = [
            GuestRange { va: 0x1000, len: 2 },
            GuestRange { va: 0, len: 0 },
            GuestRange { va: 0x1010, len: 3 },
        ];
        let mut dst = IoDst::guest_vectored(&guest, &ranges);
        assert_eq!(dst.remaining(), 5);
        assert_eq!(dst.write(b"abcdefgh"), Ok(5));
        assert_eq!(dst.remaining(), 0);
        assert_eq!(&guest.0.lock()[..3], b"ab\xee");
        assert_eq!(&guest.0.lock()[0x10..0x14], b"cde\xee");
    }

    #[test]
    fn a_fault_in_the_middle_ends_a_transfer_short() {
        let guest = Pages::new(2);
        let mut dst = IoDst::guest(&guest, 0x1000 + PAGE_SIZE as u64, 3 * PAGE_SIZE);
        assert_eq!(dst.write(&[7; 3 * PAGE_SIZE]), Ok(PAGE_SIZE));
        assert_eq!(dst.write(&[7]), Err(Errno::EFAULT));
        let mut src = IoSrc::guest(&guest, 0x10, 8);
        assert_eq!(src.read(&mut [0; 8]), Err(Errno::EFAULT));
    }

    #[test]
    fn a_source_gives_its_bytes_once() {
        let mut src = IoSrc::kernel(b"hello world");
        let mut buf = [0; 5];
        assert_eq!(src.read(&mut buf), Ok(5));
        assert_eq!(&buf, b"hello");
        assert_eq!(src.skip(1), 1);
        assert_eq!(src.read(&mut buf), Ok(5));
        assert_eq!(&buf, b"world");
        assert_eq!(src.read(&mut buf), Ok(0));
    }

    #[test]
    fn a_limit_holds_for_one_operation_only() {
        let mut src = IoSrc::kernel(b"hello");
        let mut buf = [0; 8];
        assert_eq!(src.with_limit(2, |src| src.read(&mut buf)), Ok(2));
        assert_eq!((src.remaining(), src.read(&mut buf)), (3, Ok(3)));
        assert_eq!(&buf[..3], b"llo");
        let mut dst = IoDst::kernel(&mut buf);
        assert_eq!(dst.with_limit(3, |dst| dst.write(b"abcdef")), Ok(3));
        assert_eq!(dst.with_limit(9, |dst| dst.write(b"def")), Ok(3));
        assert_eq!(dst.remaining(), 2);
        assert_eq!(&buf[..6], b"abcdef");
    }

    #[test]
    fn a_size_limit_cuts_a_write_and_then_refuses_it() {
        let mut src = IoSrc::kernel(b"hello");
        src.limit_file_size(12);
        assert_eq!(src.cut_to_limit(10), Ok(()));
        assert_eq!((src.skip(5), src.is_over_limit()), (2, false));
        let mut src = IoSrc::kernel(b"hello");
        src.limit_file_size(12);
        assert_eq!(src.cut_to_limit(12), Err(Errno::EFBIG));
        assert!(src.is_over_limit());
    }

    #[test]
    fn a_truncated_source_ends_early_and_bad_ranges_may_be_skipped() {
        let guest = Pages::new(1);
        let mut src = IoSrc::guest(&guest, 0xdead_0000, 100);
        src.truncate(10);
        assert_eq!(src.skip(100), 10);
        assert_eq!(src.remaining(), 0);
    }
}
