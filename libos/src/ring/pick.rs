//! Buffers that a guest has lent for the kernel to pick from.
//!
//! The one idea: a buffer is picked when there is something to put in it, not before; so thousands of idle connections need
//! no memory, and a few buffers serve them all.

use std::collections::{HashMap, VecDeque};

/// A buffer of the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lent {
    pub(super) number: u16,
    pub(super) address: u64,
    pub(super) size: u32,
}

/// The groups of a ring.
#[derive(Default)]
pub(super) struct Groups(HashMap<u16, VecDeque<Lent>>);

/// The most buffers of a group.
const MAX: usize = 1 << 16;

impl Groups {
    /// Adds `count` buffers of `size` bytes, one behind the other from `address` on. False when that makes no sense, or is too much.
    pub(super) fn provide(&mut self, group: u16, [address, size, count, first]: [u64; 4]) -> bool {
        let (Ok(size), Ok(first)) = (u32::try_from(size), u16::try_from(first)) else {
            return false;
        };
        let buffers = self.0.entry(group).or_default();
        let room = MAX.saturating_sub(buffers.len()) as u64;
        let end = count.checked_mul(size.into()).and_then(|all| all.checked_add(address));
        if size == 0 || count == 0 || count > room || end.is_none() {
            return false;
        }
        buffers.extend((0..count).map(|index| Lent {
            number: first.wrapping_add(index as u16),
            address: address.wrapping_add(index.wrapping_mul(size.into())),
            size,
        }));
        true
    }

    /// Takes the first one.
    pub(super) fn take(&mut self, group: u16) -> Option<Lent> {
        self.0.get_mut(&group)?.pop_front()
    }

    /// Puts one back that was not used.
    pub(super) fn put_back(&mut self, group: u16, lent: Lent) {
        self.0.entry(group).or_default().push_front(lent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_taken_in_order_and_put_back_in_front() {
        let mut groups = Groups::default();
        assert!(groups.provide(3, [0x1000, 0x100, 2, 7]));
        assert!(groups.provide(3, [0x9000, 0x10, 1, 0]));
        assert_eq!(groups.take(4), None);
        let first = groups.take(3).unwrap();
        assert_eq!(first, Lent { number: 7, address: 0x1000, size: 0x100 });
        groups.put_back(3, first);
        let numbers: Vec<_> = std::iter::from_fn(|| groups.take(3)).collect();
        assert_eq!(numbers.iter().map(|lent| lent.number).collect::<Vec<_>>(), [7, 8, 0]);
        assert_eq!(numbers[1].address, 0x1100);
    }

    #[test]
    fn nonsense_is_refused() {
        let mut groups = Groups::default();
        for wrong in [[0, 0, 1, 0], [0, 1, 0, 0], [0, 1 << 32, 1, 0], [0, 1, 1 << 17, 0]] {
            assert!(!groups.provide(1, wrong), "{wrong:?}");
        }
        assert!(!groups.provide(1, [u64::MAX, 2, 1, 0]));
        assert!(!groups.provide(1, [0, 1, 1, 1 << 16]));
    }
}
