//! What waits to be read at one end of a socket: bytes, and where datagrams end.

use std::collections::VecDeque;

/// Bytes in order; in datagrams if they were put in as such.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: VecDeque<u8>,
    /// The lengths of the datagrams; none for a stream.
    datagrams: VecDeque<usize>,
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes one read can get.
    pub(super) fn available(&self) -> usize {
        self.datagrams.front().copied().unwrap_or(self.bytes.len())
    }

    pub(super) fn push(&mut self, data: &[u8]) {
        self.bytes.extend(data);
    }

    pub(super) fn push_datagram(&mut self, data: &[u8]) {
        self.datagrams.push_back(data.len());
        self.push(data);
    }

    /// Copies the first bytes, of one datagram at most, and says how many.
    pub(super) fn peek(&self, buffer: &mut [u8]) -> usize {
        let count = self.available().min(buffer.len());
        let (first, second) = self.bytes.as_slices();
        let split = count.min(first.len());
        let (head, tail) = buffer[..count].split_at_mut(split);
        head.copy_from_slice(&first[..split]);
        tail.copy_from_slice(&second[..count - split]);
        count
    }

    /// Drops `count` bytes of a stream, or a datagram of which `count` bytes were read.
    pub(super) fn consume(&mut self, count: usize) {
        let count = self.datagrams.pop_front().unwrap_or(count);
        self.bytes.drain(..count);
        if self.bytes.is_empty() {
            // A buffer that was full once need not stay large.
            *self = Buffer::default();
        }
    }
}
