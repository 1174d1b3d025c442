//! What a Unix socket has received and nobody has read yet.
//!
//! The one idea: bytes lie one behind the other in a ring, and records beside it say where each message ends and what came with it. A stream has the
//! same records, for what travels beside its bytes and for what its sender is charged, and reads across them. Neither the ring nor the list of records
//! gives up memory that it once needed, so a transfer allocates nothing.

use std::{collections::VecDeque, sync::Arc};

use hal::pmem::PhysicalMemory;

use super::{
    endpoint::Endpoint,
    name,
    rights::{Flight, Rights},
};
use crate::{
    errno::{Errno, SysResult},
    net::{Incoming, MessageFlags, SocketKind, Ucred},
    vfs::{IoDst, IoSrc, ring::ByteRing},
};

/// What one message, or one portion of a stream, brought.
pub struct Record {
    /// Bytes that are not yet read.
    pub len: usize,
    /// What its sender is charged for it until it is read as a whole.
    pub charge: usize,
    /// Who sent it.
    pub credentials: Ucred,
    /// The open files that came with it.
    pub rights: Option<Rights>,
    /// The socket that sent it, where that is not the peer.
    pub sender: Option<Arc<Endpoint>>,
}

/// What Linux takes for a buffer's descriptor and for the end of its data.
const DESCRIPTOR: usize = 256;
const TRAILER: usize = 320;
const SMALLEST: usize = 512;
/// The most bytes of a message that lie in one piece, and of a stream's portion.
const MESSAGE_HEAD: usize = 16384 - TRAILER;
const STREAM_HEAD: usize = 4096 - TRAILER;
const PAGE: usize = 4096;
/// The most bytes of a portion: a head and eight pages.
const PORTION: usize = STREAM_HEAD + (32 << 10);

/// What a sender is charged for `len` bytes: what they cost Linux, so that as much fits in a buffer of a given size as there.
pub fn charge(kind: SocketKind, len: usize) -> usize {
    let head = if kind == SocketKind::Stream { STREAM_HEAD } else { MESSAGE_HEAD };
    let pages = len.saturating_sub(head).next_multiple_of(PAGE).min(len);
    let piece = (len - pages + TRAILER).next_power_of_two().max(SMALLEST);
    piece + pages.next_multiple_of(PAGE) + DESCRIPTOR
}

/// The most bytes that one portion of a stream has for a sender with so large a buffer.
pub fn portion(send_buffer: usize) -> usize {
    (send_buffer / 2 - 64).min(PORTION)
}

/// Messages in the order of their arrival.
pub struct Queue {
    bytes: ByteRing,
    records: VecDeque<Record>,
    /// The sum of the records' charges.
    charged: usize,
    /// How many records have rights.
    with_rights: usize,
}

impl Queue {
    /// An empty one.
    pub fn new(memory: &Arc<PhysicalMemory>) -> Self {
        let bytes = ByteRing::new(memory);
        Self { bytes, records: VecDeque::new(), charged: 0, with_rights: 0 }
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes the first message has.
    pub fn first(&self) -> usize {
        self.records.front().map_or(0, |record| record.len)
    }

    /// What all senders are charged.
    pub fn charged(&self) -> usize {
        self.charged
    }

    /// Whether open files are in it.
    pub fn has_rights(&self) -> bool {
        self.with_rights > 0
    }

    /// The open files that are in it.
    pub fn rights(&self) -> impl Iterator<Item = &Rights> {
        self.records.iter().filter_map(|record| record.rights.as_ref())
    }

    /// Appends `len` bytes of `data`, which a [record](Self::commit) makes a message. `EFAULT`, `ENOMEM`: then nothing is appended.
    pub fn fill(&mut self, data: &mut IoSrc<'_>, len: usize) -> SysResult<()> {
        self.bytes.grow(len)?;
        let done = self.bytes.push(data, len)?;
        if done < len {
            self.bytes.unpush(done);
            return Err(Errno::EFAULT);
        }
        Ok(())
    }

    /// What was appended last is a message.
    pub fn commit(&mut self, record: Record) {
        self.charged += record.charge;
        self.with_rights += usize::from(record.rights.is_some());
        self.records.push_back(record);
    }

    /// Takes everything out, unread.
    pub fn clear(&mut self) -> VecDeque<Record> {
        self.bytes.drop_front(self.bytes.len());
        self.charged = 0;
        self.with_rights = 0;
        std::mem::take(&mut self.records)
    }

    /// Takes all rights out; the messages stay.
    pub fn take_rights(&mut self) -> Vec<Rights> {
        self.with_rights = 0;
        self.records.iter_mut().filter_map(|record| record.rights.take()).collect()
    }

    /// Removes the first record, of which nothing is left.
    fn pop(&mut self) -> Option<Record> {
        let record = self.records.pop_front()?;
        self.charged = self.charged.saturating_sub(record.charge);
        self.with_rights -= usize::from(record.rights.is_some());
        Some(record)
    }

    /// Copies `len` bytes, the first of which is `from` bytes from the front, all or `EFAULT`.
    fn copy(&self, from: usize, len: usize, into: &mut IoDst<'_>) -> SysResult<()> {
        let mut done = 0;
        while done < len {
            match into.write(self.bytes.front(from + done, len - done))? {
                0 => return Err(Errno::EFAULT),
                n => done += n,
            }
        }
        Ok(())
    }

    /// Reads a stream, which must not be empty: bytes of one record after the other, until there is no more room or what follows has other control
    /// data. With `strict` no two senders are mixed. A peek begins `skip` bytes from the front. `flight` is locked if there are rights.
    pub fn read_stream(
        &mut self,
        into: &mut Incoming<'_, '_>,
        strict: bool,
        mut skip: usize,
        mut flight: Option<&mut Flight>,
    ) -> SysResult {
        let peek = into.flags.contains(MessageFlags::PEEK);
        let (mut done, mut index, mut before) = (0, 0, 0);
        while let Some(record) = self.records.get(index) {
            if peek && skip >= record.len {
                skip -= record.len;
                before += record.len;
                index += 1;
                continue;
            }
            let skipped = if peek { std::mem::take(&mut skip) } else { 0 };
            let (len, from) = (record.len, record.credentials);
            if strict && *into.control.credentials.get_or_insert(from) != from {
                into.complete = true;
                break;
            }
            let chunk = (len - skipped).min(into.data.remaining());
            if let Err(error) = self.copy(before + skipped, chunk, into.data) {
                return if done == 0 { Err(error) } else { Ok(done) };
            }
            done += chunk;
            if peek {
                if let Some(rights) = &self.records[index].rights {
                    into.control.files = rights.files().to_vec();
                    into.complete = true;
                    break;
                }
                before += len;
                index += 1;
            } else {
                self.bytes.drop_front(chunk);
                let record = &mut self.records[index];
                record.len -= chunk;
                let left = record.len;
                if let Some(rights) = record.rights.take() {
                    self.with_rights -= 1;
                    into.control.files =
                        flight.take().map_or_else(Vec::new, |flight| rights.receive(flight));
                    into.complete = true;
                }
                if left > 0 {
                    break;
                }
                self.pop();
                if into.complete {
                    break;
                }
            }
            if into.data.remaining() == 0 {
                break;
            }
        }
        Ok(done)
    }

    /// Reads one message: as many bytes as there is room for, and the rest is lost. A peek begins `skip` bytes from the front and takes
    /// the message that byte is in. The length or why it could not be stored, and the record with the message's whole length if it was taken out; `EAGAIN` when there is none.
    pub fn read_message(
        &mut self,
        into: &mut Incoming<'_, '_>,
        mut skip: usize,
        flight: Option<&mut Flight>,
    ) -> SysResult<(SysResult, Option<(Record, usize)>)> {
        let peek = into.flags.contains(MessageFlags::PEEK);
        let (mut index, mut before) = (0, 0);
        while peek && skip > 0 {
            match self.records.get(index) {
                Some(record) if skip >= record.len => {
                    skip -= record.len;
                    before += record.len;
                    index += 1;
                }
                _ => break,
            }
        }
        let record = self.records.get(index).ok_or(Errno::EAGAIN)?;
        let skip = if peek { skip.min(record.len) } else { 0 };
        let (left, from) = (record.len - skip, record.credentials);
        let chunk = left.min(into.data.remaining());
        if chunk < left {
            into.result |= MessageFlags::TRUNC;
        }
        if into.wants_address
            && let Some(name) = record.sender.as_ref().and_then(|sender| sender.name())
        {
            into.address = Some(name::address(Some(name)));
        }
        let copied = self.copy(before + skip, chunk, into.data);
        into.control.credentials = Some(from);
        let len = if into.flags.contains(MessageFlags::TRUNC) { left } else { chunk };
        if peek {
            if let Some(rights) = &self.records[index].rights {
                into.control.files = rights.files().to_vec();
            }
            return Ok((copied.map(|()| len), None));
        }
        let mut record = self.pop().ok_or(Errno::EAGAIN)?;
        let whole = std::mem::take(&mut record.len);
        self.bytes.drop_front(whole);
        if let (Some(rights), Some(flight)) = (record.rights.take(), flight) {
            into.control.files = rights.receive(flight);
        }
        // A message that could not be stored is lost, as in Linux.
        Ok((copied.map(|()| len), Some((record, whole))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(len: usize, pid: i32) -> Record {
        let credentials = Ucred { pid, uid: 0, gid: 0 };
        Record { len, charge: 100, credentials, rights: None, sender: None }
    }

    fn queue(messages: &[(&[u8], i32)]) -> (Arc<PhysicalMemory>, Queue) {
        let memory = PhysicalMemory::new(None).unwrap();
        let mut queue = Queue::new(&memory);
        for (bytes, pid) in messages {
            let len = bytes.len();
            queue.fill(&mut IoSrc::kernel(bytes), len).unwrap();
            queue.commit(record(len, *pid));
        }
        (memory, queue)
    }

    fn read(queue: &mut Queue, len: usize, flags: MessageFlags, strict: bool) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let mut data = IoDst::kernel(&mut bytes);
        let mut into = Incoming { flags, ..Incoming::bytes(&mut data) };
        let n = queue.read_stream(&mut into, strict, 0, None).unwrap();
        bytes.truncate(n);
        bytes
    }

    #[test]
    fn a_sender_is_charged_what_linux_charges() {
        let of =
            |kind, lens: &[usize]| lens.iter().map(|&len| charge(kind, len)).collect::<Vec<_>>();
        let stream = of(SocketKind::Stream, &[1, 384, 1000, 4096, 8000, 17000, 32768]);
        assert_eq!(stream, [768, 1280, 2304, 4864, 8960, 17664, 33536]);
        let messages = of(SocketKind::Datagram, &[1, 384, 4096, 16000, 17000, 65536]);
        assert_eq!(messages, [768, 1280, 8448, 16640, 20736, 69888]);
    }

    #[test]
    fn a_stream_is_read_across_records_unless_their_senders_differ() {
        let (_memory, mut queue) = queue(&[(b"ab", 1), (b"cd", 1), (b"ef", 2)]);
        assert_eq!(read(&mut queue, 9, MessageFlags::PEEK, false), b"abcdef");
        assert_eq!(read(&mut queue, 3, MessageFlags::empty(), true), b"abc");
        assert_eq!((queue.charged(), queue.bytes()), (200, 3));
        assert_eq!(read(&mut queue, 9, MessageFlags::empty(), true), b"d");
        assert_eq!(read(&mut queue, 9, MessageFlags::empty(), true), b"ef");
        assert!(queue.is_empty() && queue.charged() == 0);
    }

    #[test]
    fn the_rest_of_a_message_is_lost_and_its_length_can_be_asked_for() {
        let (_memory, mut queue) = queue(&[(b"abcd", 1), (b"", 1), (b"ef", 1)]);
        let mut take = |len, flags| {
            let mut bytes = vec![0; len];
            let mut data = IoDst::kernel(&mut bytes);
            let mut into = Incoming { flags, ..Incoming::bytes(&mut data) };
            let (n, _) = queue.read_message(&mut into, 0, None).unwrap();
            (n.unwrap(), into.result.contains(MessageFlags::TRUNC))
        };
        assert_eq!(take(3, MessageFlags::PEEK | MessageFlags::TRUNC), (4, true));
        assert_eq!(take(3, MessageFlags::empty()), (3, true));
        assert_eq!(take(3, MessageFlags::empty()), (0, false));
        assert_eq!(take(3, MessageFlags::empty()), (2, false));
        assert!(queue.is_empty() && queue.bytes() == 0);
    }
}
