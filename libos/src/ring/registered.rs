//! Buffers that a guest has registered with a ring, to name them by number and place.
//!
//! The one idea: a registered buffer was found to be there and writable, page by page, when it was registered; so what names a place in it
//! needs no address that could be wrong, and no page of it is missing when a transfer comes. A submission that names one is made into a
//! plain one before anything else looks at it.

use std::{collections::HashMap, ops::Range};

use hal::pmem::PAGE_SIZE;
use libos_guest::abi::{Submission, flags};
use linux_raw_sys::general as raw;

use crate::errno::{Errno, SysResult};

/// The registered buffers of a ring, by their numbers.
#[derive(Default)]
pub(super) struct Registered(HashMap<u16, Range<u64>>);

/// The most bytes of a buffer, as io_uring has it.
const MAX: u64 = 1 << 30;

/// The calls whose second argument is a buffer and whose third is its length.
const CALLS: [u32; 6] = [
    raw::__NR_read,
    raw::__NR_write,
    raw::__NR_pread64,
    raw::__NR_pwrite64,
    raw::__NR_recvfrom,
    raw::__NR_sendto,
];

/// The `size` bytes at `address` as a buffer: `EINVAL` for too many, `EFAULT` where no memory can be.
pub(super) fn buffer(address: u64, size: u64) -> SysResult<Range<u64>> {
    if size > MAX {
        return Err(Errno::EINVAL);
    }
    let end = address.checked_add(size).ok_or(Errno::EFAULT)?;
    Ok(address..end)
}

/// The whole pages that `buffer` lies in.
pub(super) fn pages(buffer: &Range<u64>) -> Option<Range<u64>> {
    let start = buffer.start - buffer.start % PAGE_SIZE as u64;
    Some(start..buffer.end.checked_next_multiple_of(PAGE_SIZE as u64)?)
}

impl Registered {
    /// Has `number` be `buffer` from now on, or nothing if that is empty.
    pub(super) fn set(&mut self, number: u16, buffer: Range<u64>) {
        if buffer.is_empty() {
            self.0.remove(&number);
        } else {
            self.0.insert(number, buffer);
        }
    }

    /// What `submission` is with an address in place of a place in a buffer. `EINVAL` for a call that has no such argument, `EFAULT`
    /// unless all its bytes are in the buffer.
    pub(super) fn resolve(&self, submission: &Submission) -> SysResult<Submission> {
        if !CALLS.contains(&submission.call) || submission.flags & flags::PICK != 0 {
            return Err(Errno::EINVAL);
        }
        let buffer = self.0.get(&submission.group).ok_or(Errno::EFAULT)?;
        let mut plain = *submission;
        plain.flags &= !flags::FIXED;
        let [_, place, len, ..] = &mut plain.arguments;
        let address = buffer.start.checked_add(*place).ok_or(Errno::EFAULT)?;
        if address.checked_add(*len).is_none_or(|end| end > buffer.end) {
            return Err(Errno::EFAULT);
        }
        *place = address;
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(number: u16, place: u64, len: u64) -> Submission {
        Submission {
            call: raw::__NR_read,
            flags: flags::FIXED | flags::LINK,
            group: number,
            arguments: [9, place, len, 0, 0, 0],
            ..Submission::default()
        }
    }

    fn registered() -> Registered {
        let mut registered = Registered::default();
        registered.set(3, buffer(0x1000, 0x100).unwrap());
        registered
    }

    #[test]
    fn a_place_in_a_buffer_becomes_an_address() {
        let plain = registered().resolve(&read(3, 0x10, 0xf0)).unwrap();
        assert_eq!(plain.arguments, [9, 0x1010, 0xf0, 0, 0, 0]);
        assert_eq!(plain.flags, flags::LINK);
        assert!(registered().resolve(&read(3, 0x100, 0)).is_ok());
    }

    #[test]
    fn what_is_not_within_a_buffer_is_refused() {
        let mut registered = registered();
        for (number, place, len) in
            [(3, 0x11, 0xf0), (3, 0x101, 0), (4, 0, 1), (3, u64::MAX, 1), (3, 1, u64::MAX)]
        {
            assert_eq!(registered.resolve(&read(number, place, len)).err(), Some(Errno::EFAULT));
        }
        registered.set(3, buffer(0x1000, 0).unwrap());
        assert_eq!(registered.resolve(&read(3, 0, 1)).err(), Some(Errno::EFAULT));
    }

    #[test]
    fn calls_without_a_buffer_are_refused() {
        let close = Submission { call: raw::__NR_close, ..read(3, 0, 1) };
        let mut picking = read(3, 0, 1);
        picking.flags |= flags::PICK;
        for wrong in [close, picking] {
            assert_eq!(registered().resolve(&wrong).err(), Some(Errno::EINVAL));
        }
    }

    #[test]
    fn buffers_that_cannot_be_are_refused() {
        assert_eq!(buffer(0x1000, MAX + 1).err(), Some(Errno::EINVAL));
        assert_eq!(buffer(u64::MAX, 2).err(), Some(Errno::EFAULT));
        assert_eq!(pages(&(0x1fff..0x2001)), Some(0x1000..0x3000));
        assert_eq!(pages(&(0x1000..u64::MAX)), None);
    }
}
