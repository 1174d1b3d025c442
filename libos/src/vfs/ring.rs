//! A ring of bytes in the kernel's memory: what pipes and sockets hold of what was written and not yet read.
//!
//! The one idea: the ring grows to what is really in flight and not to what its owner would allow, and an empty one starts over at
//! its beginning, which stays in the cache. Its memory counts against the memory limit.

use std::sync::Arc;

use hal::pmem::{Charge, PAGE_SIZE, PhysicalMemory};

use super::buf::{IoDst, IoSrc};
use crate::errno::{Errno, SysResult};

/// Bytes in flight, first in first out.
pub struct ByteRing {
    /// Its length is 0 or a power of two, and grows as needed.
    bytes: Vec<u8>,
    /// For these bytes.
    charge: Charge,
    head: usize,
    len: usize,
}

impl ByteRing {
    /// An empty ring, which has no memory yet.
    pub fn new(memory: &Arc<PhysicalMemory>) -> Self {
        Self { bytes: Vec::new(), charge: memory.no_charge(), head: 0, len: 0 }
    }

    /// How many bytes are in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many more bytes fit without [growing](Self::grow).
    pub fn room(&self) -> usize {
        self.bytes.len() - self.len
    }

    /// Makes room for `more` bytes, keeping the content. `ENOMEM`.
    pub fn grow(&mut self, more: usize) -> SysResult<()> {
        if more <= self.room() {
            return Ok(());
        }
        let len = self.len.checked_add(more).and_then(usize::checked_next_power_of_two);
        let size = len.ok_or(Errno::ENOMEM)?.max(PAGE_SIZE);
        self.charge.resize(size as u64).map_err(|_| Errno::ENOMEM)?;
        let mut bytes = vec![0; size];
        let (first, second) = self.filled();
        bytes[..first.len()].copy_from_slice(first);
        bytes[first.len()..first.len() + second.len()].copy_from_slice(second);
        self.bytes = bytes;
        self.head = 0;
        Ok(())
    }

    fn filled(&self) -> (&[u8], &[u8]) {
        let first = self.len.min(self.bytes.len() - self.head);
        (&self.bytes[self.head..self.head + first], &self.bytes[..self.len - first])
    }

    /// Appends up to `max` bytes of `src`, for which there must be room; fewer when the source is partly bad.
    pub fn push(&mut self, src: &mut IoSrc<'_>, max: usize) -> SysResult {
        let want = src.remaining().min(max).min(self.room());
        let mut done = 0;
        while done < want {
            let tail = (self.head + self.len) & (self.bytes.len() - 1);
            let room = (want - done).min(self.bytes.len() - tail);
            match src.read(&mut self.bytes[tail..tail + room]) {
                Ok(n) => {
                    self.len += n;
                    done += n;
                    if n < room {
                        break;
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Takes back the last `n` bytes that were appended.
    pub fn unpush(&mut self, n: usize) {
        self.len = self.len.saturating_sub(n);
    }

    /// Removes up to `max` bytes to `dst`.
    pub fn pop(&mut self, dst: &mut IoDst<'_>, max: usize) -> SysResult {
        let want = dst.remaining().min(max).min(self.len);
        let mut done = 0;
        while done < want {
            let chunk = (want - done).min(self.bytes.len() - self.head);
            match dst.write(&self.bytes[self.head..self.head + chunk]) {
                Ok(0) => break,
                Ok(n) => {
                    self.drop_front(n);
                    done += n;
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// The bytes after the first `from`, as many as lie together, at most `max`.
    pub fn front(&self, from: usize, max: usize) -> &[u8] {
        let (first, second) = self.filled();
        let part = match from.checked_sub(first.len()) {
            None => first.get(from..).unwrap_or_default(),
            Some(from) => second.get(from..).unwrap_or_default(),
        };
        part.get(..max).unwrap_or(part)
    }

    /// Removes the first `n` bytes, unread.
    pub fn drop_front(&mut self, n: usize) {
        let n = n.min(self.len);
        self.len -= n;
        self.head = if self.len == 0 { 0 } else { (self.head + n) & (self.bytes.len() - 1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> (Arc<PhysicalMemory>, ByteRing) {
        let memory = PhysicalMemory::new(None).unwrap();
        let ring = ByteRing::new(&memory);
        (memory, ring)
    }

    fn push(ring: &mut ByteRing, bytes: &[u8]) {
        ring.grow(bytes.len()).unwrap();
        assert_eq!(ring.push(&mut IoSrc::kernel(bytes), usize::MAX), Ok(bytes.len()));
    }

    fn pop(ring: &mut ByteRing, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let n = ring.pop(&mut IoDst::kernel(&mut bytes), len).unwrap();
        bytes.truncate(n);
        bytes
    }

    #[test]
    fn bytes_keep_their_order_around_the_end_and_when_it_grows() {
        let (_memory, mut ring) = ring();
        push(&mut ring, &[1; 4000]);
        assert_eq!(pop(&mut ring, 3999).len(), 3999);
        push(&mut ring, &[2; 3000]);
        assert_eq!((ring.front(0, 9).len(), ring.front(1, 9)), (9, &[2; 9][..]));
        push(&mut ring, &[3; 3000]);
        let all = pop(&mut ring, 9000);
        assert_eq!((all.len(), all[0], all[1], all[3000], all[3001]), (6001, 1, 2, 2, 3));
    }

    #[test]
    fn its_memory_counts() {
        let (memory, mut ring) = ring();
        push(&mut ring, &[1; 5000]);
        assert_eq!(memory.charged(), 8192);
        drop(ring);
        assert_eq!(memory.charged(), 0);
    }

    #[test]
    fn what_was_appended_last_can_be_taken_back() {
        let (_memory, mut ring) = ring();
        push(&mut ring, b"ab");
        push(&mut ring, b"cd");
        ring.unpush(1);
        assert_eq!(pop(&mut ring, 9), b"abc");
    }
}
