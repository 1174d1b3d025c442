//! The bytes of a buffer, to be copied in and out.

use alloc::{vec, vec::Vec};
use core::{error::Error, fmt, mem::MaybeUninit, ptr::NonNull, slice};

use crate::Entry;
use crate::copy;

/// How much [`SharedBytes::scan`] copies at a time: half of the smallest first-level cache in use.
const SCAN: usize = 16 << 10;

/// Bytes that a peer can write at any time, whatever it was told.
///
/// So there is no `&[u8]` of them. They are copied, at the speed of `memcpy`, and what has been copied out is what
/// can be checked and believed. (A peer that writes while they are copied makes the copy any mixture.)
pub struct SharedBytes {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: the bytes are accessed by `copy` and `fill` only, which any number of threads may do at once.
unsafe impl Send for SharedBytes {}
// SAFETY: the same.
unsafe impl Sync for SharedBytes {}

/// A range that does not lie within a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfRange;

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the range does not lie within the buffer")
    }
}

impl Error for OutOfRange {}

impl SharedBytes {
    /// The `len` bytes at `at`.
    ///
    /// # Safety
    ///
    /// They must be valid for reads and writes for as long as the value is used, initialised, and nothing in this
    /// process may access them but by such values and by atomic operations.
    pub(crate) unsafe fn new(at: NonNull<u8>, len: usize) -> Self {
        SharedBytes { at, len }
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where they are: for a peer that knows them by their address in this process, as the kernel does.
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        self.at.as_ptr()
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Where the `len` bytes from `offset` on are.
    #[inline]
    fn range(&self, offset: usize, len: usize) -> Result<*mut u8, OutOfRange> {
        if offset <= self.len && len <= self.len - offset {
            // SAFETY: the offset is within the bytes, or at their end.
            Ok(unsafe { self.at.as_ptr().add(offset) })
        } else {
            Err(OutOfRange)
        }
    }

    /// Writes `bytes` from `offset` on.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`]; nothing is written then.
    #[inline]
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), OutOfRange> {
        let to = self.range(offset, bytes.len())?;
        // SAFETY: `range` has found the target valid; the source is a reference's, and so not there.
        unsafe { copy::copy(bytes.as_ptr(), to, bytes.len()) };
        Ok(())
    }

    /// Reads into `bytes` from `offset` on.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`]; nothing is read then.
    #[inline]
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<(), OutOfRange> {
        let from = self.range(offset, bytes.len())?;
        // SAFETY: as in `write`, the other way.
        unsafe { copy::copy(from, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    /// Writes a value's bytes at `offset`, which need not be aligned.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`].
    #[inline]
    pub fn write_value<T: Entry>(&self, offset: usize, value: &T) -> Result<(), OutOfRange> {
        self.write(offset, value.as_bytes())
    }

    /// Reads a value at `offset`, which need not be aligned.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`].
    #[inline]
    pub fn read_value<T: Entry>(&self, offset: usize) -> Result<T, OutOfRange> {
        let mut value = T::new_zeroed();
        self.read(offset, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Writes `byte` to the `len` bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`].
    pub fn fill(&self, offset: usize, len: usize, byte: u8) -> Result<(), OutOfRange> {
        let to = self.range(offset, len)?;
        // SAFETY: `range` has found the target valid.
        unsafe { copy::fill(to, byte, len) };
        Ok(())
    }

    /// Copies `len` bytes of `other`, from its `from` on, to here, from `offset` on.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] if they are not there or do not fit here, or if the two overlap.
    pub fn copy_from(
        &self,
        offset: usize,
        other: &SharedBytes,
        from: usize,
        len: usize,
    ) -> Result<(), OutOfRange> {
        let (source, target) = (other.range(from, len)?, self.range(offset, len)?);
        if source.addr().abs_diff(target.addr()) < len {
            return Err(OutOfRange);
        }
        // SAFETY: both are valid, and do not overlap.
        unsafe { copy::copy(source, target, len) };
        Ok(())
    }

    /// Whether the bytes from `offset` on are `expected`, which saves the copy that [`read`](Self::read) makes. A peer that writes
    /// meanwhile gets either answer.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] if there are not so many.
    #[inline]
    pub fn is_equal(&self, offset: usize, expected: &[u8]) -> Result<bool, OutOfRange> {
        let from = self.range(offset, expected.len())?;
        // SAFETY: `range` has found them valid, and `expected` is as long.
        Ok(unsafe { copy::equal(expected.as_ptr(), from, expected.len()) })
    }

    /// Calls `look` with all bytes from the first to the last, a piece of up to 16 KiB at a time, which is copied
    /// first and is still in the cache: to check or to consume them without memory for them all.
    pub fn scan(&self, mut look: impl FnMut(&[u8])) {
        let mut piece = MaybeUninit::<[u8; SCAN]>::uninit();
        let mut at = 0;
        while at < self.len {
            let len = SCAN.min(self.len - at);
            let to = piece.as_mut_ptr().cast::<u8>();
            // SAFETY: the `len` bytes from `at` on are there, and there is room for them in the piece, of which as
            // many are initialised then.
            let bytes = unsafe {
                copy::copy(self.at.as_ptr().add(at), to, len);
                slice::from_raw_parts(to, len)
            };
            look(bytes);
            at += len;
        }
    }

    /// A copy of them.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        // SAFETY: there are `len` bytes in both.
        unsafe { copy::copy(self.at.as_ptr(), bytes.as_mut_ptr(), self.len) };
        bytes
    }

    /// The bytes in place, for those who trust the peer and save the copy.
    ///
    /// # Safety
    ///
    /// Nobody may write them while the slice is used: not the peer, and nobody in this process.
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: they are valid and initialised, and do not change, says the caller.
        unsafe { slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }

    /// The bytes in place, to be written, for those who trust the peer and save the copy.
    ///
    /// # Safety
    ///
    /// Nobody else may access them while the slice is used: not the peer, and nobody in this process.
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: they are valid and initialised, and nobody else accesses them, says the caller.
        unsafe { slice::from_raw_parts_mut(self.at.as_ptr(), self.len) }
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBytes").field("len", &self.len).finish_non_exhaustive()
    }
}
