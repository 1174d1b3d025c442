//! Buffers that the kernel picks from, by groups: lent by submissions, or by a ring in the guest's memory.
//!
//! The one idea: a buffer is picked when there is something to put in it. One that was not used goes back to where it was taken from, unless
//! somebody has taken the next one meanwhile from a ring.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
};

use linux_raw_sys::io_uring as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::layout::Shared;
use crate::{
    errno::{Errno, SysResult},
    memory::UserMemory,
    vfs::GuestRange,
};

/// The most buffers that a group lends by submissions.
const MAX_LENT: usize = 1 << 16;
/// The most entries of a group's ring.
const MAX_RING: u32 = 1 << 15;

/// `struct io_uring_buf`
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Slot {
    address: u64,
    len: u32,
    number: u16,
    /// Of the first entry: the tail.
    tail: u16,
}

const SLOT: u64 = size_of::<Slot>() as u64;
/// Where the tail is in a ring's memory.
const TAIL: u64 = 14;

/// `IOU_PBUF_RING_MMAP`: the memory of the ring is the kernel's, and the guest maps it.
const MAPPED: u16 = raw::io_uring_register_pbuf_ring_flags::IOU_PBUF_RING_MMAP as u16;

/// `struct io_uring_buf_reg`
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct Registration {
    address: u64,
    entries: u32,
    group: u16,
    flags: u16,
    reserved: [u64; 3],
}

/// A buffer that was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picked {
    pub(super) group: u16,
    pub(super) number: u16,
    pub(super) address: u64,
    pub(super) len: u32,
    /// Of a ring: where it was.
    index: u16,
}

impl Picked {
    /// Its bytes, at most `most` unless that is 0.
    pub(super) fn range(&self, most: u32) -> GuestRange {
        let len = if most == 0 { self.len } else { self.len.min(most) };
        GuestRange { va: self.address, len: len as usize }
    }

    /// What a completion says of it.
    pub(super) fn flags(&self) -> u32 {
        raw::IORING_CQE_F_BUFFER | u32::from(self.number) << raw::IORING_CQE_BUFFER_SHIFT
    }
}

/// Where a ring of buffers is.
enum Place {
    /// In the guest's memory, at this address.
    Guest(u64),
    /// In memory that the guest maps.
    Shared(Arc<Shared>),
}

enum Group {
    Lent(VecDeque<Picked>),
    Ring {
        place: Place,
        /// A power of two.
        entries: u32,
        head: u16,
    },
}

/// The groups of a ring.
#[derive(Default)]
pub(super) struct Groups(HashMap<u16, Group>);

impl Group {
    fn pick(&mut self, memory: &UserMemory, group: u16) -> SysResult<Picked> {
        let (place, entries, head) = match self {
            Self::Lent(buffers) => return buffers.pop_front().ok_or(Errno::ENOBUFS),
            Self::Ring { place, entries, head } => (place, *entries, head),
        };
        let index = u64::from(u32::from(*head) & (entries - 1));
        let mut slot = Slot::default();
        let tail = match place {
            Place::Guest(address) => {
                let word = address.wrapping_add(TAIL - 2);
                let word = memory.with_faults(|space| space.load_u32(word))?;
                let at = address.wrapping_add(index * SLOT);
                memory.read_bytes(at, slot.as_mut_bytes())?;
                (word >> 16) as u16
            }
            Place::Shared(shared) => {
                let word = shared.load(TAIL as u32 - 2);
                shared.read((index * SLOT) as u32, slot.as_mut_bytes());
                (word >> 16) as u16
            }
        };
        if tail == *head {
            return Err(Errno::ENOBUFS);
        }
        let Slot { address, len, number, .. } = slot;
        let picked = Picked { group, number, address, len, index: *head };
        *head = head.wrapping_add(1);
        Ok(picked)
    }
}

impl Groups {
    /// Lends `count` buffers of `len` bytes, one behind the other from `address` on, numbered from `first` on. `EINVAL` for a group that
    /// has a ring, `ENOMEM` for too many.
    pub(super) fn provide(
        &mut self,
        group: u16,
        [address, len, count, first]: [u64; 4],
    ) -> SysResult<()> {
        let lent = self.0.entry(group).or_insert_with(|| Group::Lent(VecDeque::new()));
        let Group::Lent(lent) = lent else { return Err(Errno::EINVAL) };
        if lent.len() as u64 + count > MAX_LENT as u64 {
            return Err(Errno::ENOMEM);
        }
        lent.extend((0..count).map(|index| Picked {
            group,
            number: first.wrapping_add(index) as u16,
            address: address.wrapping_add(index.wrapping_mul(len)),
            len: len as u32,
            index: 0,
        }));
        Ok(())
    }

    /// Takes up to `count` lent buffers away; how many. `ENOENT` without such a group, `EINVAL` for one that has a ring.
    pub(super) fn remove(&mut self, group: u16, count: usize) -> SysResult<usize> {
        let Group::Lent(lent) = self.0.get_mut(&group).ok_or(Errno::ENOENT)? else {
            return Err(Errno::EINVAL);
        };
        let count = count.min(lent.len());
        lent.drain(..count);
        Ok(count)
    }

    /// Gives a group a ring. `EINVAL`, `EEXIST`, `EFAULT`, and what `make` says if the memory is to be the kernel's.
    pub(super) fn register(
        &mut self,
        memory: &UserMemory,
        wanted: &Registration,
        make: impl FnOnce(u64) -> SysResult<Arc<Shared>>,
    ) -> SysResult<()> {
        let Registration { address, entries, group, flags, reserved } = *wanted;
        let good = entries.is_power_of_two() && entries <= MAX_RING;
        if reserved != [0; 3] || flags & !MAPPED != 0 || !good {
            return Err(Errno::EINVAL);
        }
        match self.0.get(&group) {
            None => {}
            Some(Group::Lent(lent)) if lent.is_empty() => {}
            Some(_) => return Err(Errno::EEXIST),
        }
        let place = if flags & MAPPED != 0 {
            if address != 0 {
                return Err(Errno::EINVAL);
            }
            Place::Shared(make(u64::from(entries) * SLOT)?)
        } else {
            if !address.is_multiple_of(hal::pmem::PAGE_SIZE as u64) {
                return Err(Errno::EINVAL);
            }
            if address == 0 {
                return Err(Errno::EFAULT);
            }
            memory.read_bytes(address, &mut [0; SLOT as usize])?;
            Place::Guest(address)
        };
        self.0.insert(group, Group::Ring { place, entries, head: 0 });
        Ok(())
    }

    /// Takes a group's ring away. `ENOENT`, `EINVAL` for a group without one.
    pub(super) fn unregister(&mut self, wanted: &Registration) -> SysResult<()> {
        if wanted.reserved != [0; 3] || wanted.flags != 0 {
            return Err(Errno::EINVAL);
        }
        match self.0.entry(wanted.group) {
            Entry::Vacant(_) => Err(Errno::ENOENT),
            Entry::Occupied(group) if matches!(group.get(), Group::Lent(_)) => Err(Errno::EINVAL),
            Entry::Occupied(group) => {
                group.remove();
                Ok(())
            }
        }
    }

    /// How far a group's ring has been used. `ENOENT`, `EINVAL` for a group without one.
    pub(super) fn head(&self, group: u16) -> SysResult<u16> {
        match self.0.get(&group).ok_or(Errno::ENOENT)? {
            Group::Ring { head, .. } => Ok(*head),
            Group::Lent(_) => Err(Errno::EINVAL),
        }
    }

    /// The memory of a group's ring, if the kernel made it.
    pub(super) fn shared(&self, group: u16) -> Option<&Arc<Shared>> {
        match self.0.get(&group)? {
            Group::Ring { place: Place::Shared(shared), .. } => Some(shared),
            _ => None,
        }
    }

    /// Picks a buffer. `ENOBUFS`; `EFAULT` for a ring whose memory is gone.
    pub(super) fn pick(&mut self, memory: &UserMemory, group: u16) -> SysResult<Picked> {
        self.0.get_mut(&group).ok_or(Errno::ENOBUFS)?.pick(memory, group)
    }

    /// Puts one back that was not used.
    pub(super) fn put_back(&mut self, picked: Picked) {
        match self.0.get_mut(&picked.group) {
            Some(Group::Lent(lent)) => lent.push_front(picked),
            Some(Group::Ring { head, .. }) if *head == picked.index.wrapping_add(1) => {
                *head = picked.index;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lent_buffers_are_numbered_and_counted() {
        let mut groups = Groups::default();
        groups.provide(3, [0x1000, 0x100, 2, 7]).unwrap();
        assert_eq!(groups.provide(3, [0, 1, 1 << 16, 0]), Err(Errno::ENOMEM));
        assert_eq!(groups.head(3), Err(Errno::EINVAL));
        assert_eq!((groups.remove(4, 1), groups.remove(3, 9)), (Err(Errno::ENOENT), Ok(2)));
    }
}
