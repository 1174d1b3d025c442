//! Stubs that copies of an address space have left, for its next copies.
//!
//! The idea: fork's children mostly have mapped the same, so a stub keeps what it has when its space goes, and the next one's
//! [picture](Picture) of itself is compared with that: what is alike stays, with its page tables.
//!
//! Two things make that safe. While a stub is kept its guest's thread is known to sleep, so nobody uses mappings of memory that may be
//! somebody else's by then. And it is kept for none but copies of the same space, as long as their guests may do the same: a guest may have prepared the
//! thread for whoever comes next, by jumping into the stub's code with a block of its own making.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use rangemap::RangeMap;

use super::{Stub, layout::Command};

/// Stubs that are kept for one space.
const MOST: usize = 4;
/// Stubs that are kept for all.
const MOST_OF_ALL: usize = 64;

/// How many are kept.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// What is mapped where, in the host's terms.
pub(crate) type Picture = RangeMap<u64, Shown>;

/// What a mapping shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shown {
    /// What, added to an address, gives the physical one.
    pub(crate) distance: u64,
    /// `PROT_*`
    pub(crate) prot: u64,
}

/// Stubs that are kept for the copies of one address space.
#[derive(Debug, Default)]
pub(crate) struct Spares(Mutex<Vec<Arc<Stub>>>);

impl Spares {
    /// One of them, if there is one.
    pub(crate) fn take(&self) -> Option<Arc<Stub>> {
        loop {
            let stub = self.0.lock().pop()?;
            KEPT.fetch_sub(1, Ordering::Relaxed);
            if !stub.is_dead() {
                return Some(stub);
            }
        }
    }

    /// Keeps one that is [at rest](Stub::is_at_rest), if there is room.
    pub(super) fn put(&self, stub: &Arc<Stub>) -> bool {
        let mut kept = self.0.lock();
        let has_room = kept.len() < MOST && KEPT.load(Ordering::Relaxed) < MOST_OF_ALL;
        if has_room {
            KEPT.fetch_add(1, Ordering::Relaxed);
            kept.push(stub.clone());
        }
        has_room
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        KEPT.fetch_sub(self.0.get_mut().len(), Ordering::Relaxed);
    }
}

/// What `commands`, made where nothing is mapped, would map.
fn outcome(commands: &[Command]) -> Picture {
    let mut picture = Picture::new();
    for command in commands {
        let [start, len, prot, _, _, pa] = command.args;
        let range = start..start + len;
        if range.is_empty() {
            continue;
        }
        match command.number.cast_signed() {
            libc::SYS_mmap => {
                picture.insert(range, Shown { distance: pa.wrapping_sub(start), prot });
            }
            libc::SYS_munmap => picture.remove(range),
            _ => {
                let parts: Vec<_> =
                    picture.overlapping(&range).map(|(r, s)| (r.clone(), *s)).collect();
                for (part, shown) in parts {
                    let part = part.start.max(range.start)..part.end.min(range.end);
                    picture.insert(part, Shown { prot, ..shown });
                }
            }
        }
    }
    picture
}

/// What does the same as `commands` where nothing is mapped, but where `left` is.
pub(super) fn differences(left: &Picture, commands: &[Command]) -> Vec<Command> {
    let wanted = outcome(commands);
    let mut all = Vec::new();
    for (range, _) in left.iter() {
        for gap in wanted.gaps(range) {
            all.push(Command::unmap(gap.start, gap.end - gap.start));
        }
    }
    let mut map = |start: u64, end: u64, shown: &Shown| {
        let pa = start.wrapping_add(shown.distance);
        all.push(Command::map(start, end - start, shown.prot, false, pa));
    };
    for (range, shown) in wanted.iter() {
        let mut at = range.start;
        for (same, _) in left.overlapping(range).filter(|(_, there)| *there == shown) {
            if at < same.start {
                map(at, same.start, shown);
            }
            at = same.end.min(range.end);
        }
        if at < range.end {
            map(at, range.end, shown);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::MEMORY_FD, *};

    fn mmap(start: u64, len: u64, prot: u64, pa: u64) -> Command {
        Command::new(libc::SYS_mmap, [start, len, prot, 0, 0, pa])
    }

    /// What is mapped when `commands` are made where `picture` is.
    fn after(picture: &Picture, commands: &[Command]) -> Picture {
        let before = picture.iter().map(|(range, shown)| {
            mmap(
                range.start,
                range.end - range.start,
                shown.prot,
                range.start.wrapping_add(shown.distance),
            )
        });
        outcome(&before.chain(commands.iter().copied()).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_there_already_is_left_alone() {
        let commands = [mmap(0x1000, 0x3000, 1, 0x8000), mmap(0x2000, 0x1000, 3, 0x20000)];
        let left = outcome(&commands);
        assert_eq!(differences(&left, &commands), []);
        let other = [mmap(0x1000, 0x3000, 1, 0x8000), mmap(0x2000, 0x1000, 3, 0x30000)];
        let flags = (libc::MAP_SHARED | libc::MAP_FIXED) as u64;
        let args = [0x2000, 0x1000, 3, flags, MEMORY_FD as u64, 0x30000];
        assert_eq!(differences(&left, &other), [Command::new(libc::SYS_mmap, args)]);
    }

    fn commands() -> impl Strategy<Value = Vec<Command>> {
        let command = (0..3_u8, 1..24_u64, 1..8_u64, 0..3_u64, 0..4_u64).prop_map(
            |(kind, page, pages, prot, pa)| {
                let (start, len) = (page << 12, pages << 12);
                match kind {
                    0 => Command::new(libc::SYS_munmap, [start, len, 0, 0, 0, 0]),
                    1 => Command::new(libc::SYS_mprotect, [start, len, prot, 0, 0, 0]),
                    _ => mmap(start, len, prot, (pa << 20) + start),
                }
            },
        );
        prop::collection::vec(command, 0..24)
    }

    proptest! {
        #[test]
        fn the_outcome_is_that_of_a_fresh_space(before in commands(), wanted in commands()) {
            let left = outcome(&before);
            let made = differences(&left, &wanted);
            prop_assert_eq!(after(&left, &made), outcome(&wanted));
        }
    }
}
