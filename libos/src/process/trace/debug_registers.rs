//! The debug registers of a tracee: watchpoints and breakpoints without a change of its code.
//!
//! The one idea: the machine's are the host's, so a thread whose registers watch something goes from instruction to instruction inside of
//! the kernel, which looks after each whether what is watched has changed; the tracer sees the machine's behaviour at a thousandth
//! of its speed. What cannot be seen that way, a read, is refused when it is asked for.

use crate::{errno::Errno, memory::UserMemory};

/// How many addresses can be watched.
const PLACES: usize = 4;
/// Of DR6: a single step.
const STEP: u64 = 1 << 14;

/// DR0 to DR7.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct DebugRegisters {
    addresses: [u64; PLACES],
    status: u64,
    control: u64,
    /// What was at the addresses when they were last looked at.
    seen: [Option<u64>; PLACES],
}

/// What DR7 says of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Execution,
    /// A write of so many bytes.
    Write(usize),
    Unknown,
}

impl DebugRegisters {
    /// Register `index`; 0 for what is none.
    pub(crate) fn get(&self, index: usize) -> u64 {
        match index {
            0..PLACES => self.addresses[index],
            6 => self.status,
            7 => self.control,
            _ => 0,
        }
    }

    /// Sets register `index`. `EIO` for those that cannot be, and to watch reads; `EINVAL` for an address that is no guest's.
    pub(crate) fn set(&mut self, index: usize, value: u64) -> Result<(), Errno> {
        match index {
            0..PLACES if value < hal::pmem::GUEST_END => self.addresses[index] = value,
            0..PLACES => return Err(Errno::EINVAL),
            6 => self.status = value,
            7 => {
                let bad = |place| self.is_on(value, place) && kind(value, place) == Kind::Unknown;
                if (0..PLACES).any(bad) {
                    return Err(Errno::EIO);
                }
                self.control = value;
            }
            _ => return Err(Errno::EIO),
        }
        self.seen = [None; PLACES];
        Ok(())
    }

    fn is_on(&self, control: u64, place: usize) -> bool {
        control >> (2 * place) & 3 != 0
    }

    /// Whether anything is watched.
    pub(crate) fn are_on(&self) -> bool {
        self.control & 0xff != 0
    }

    fn value(&self, memory: &UserMemory, place: usize) -> Option<u64> {
        let Kind::Write(len) = kind(self.control, place) else { return None };
        let mut bytes = [0; 8];
        memory.read_bytes(self.addresses[place], bytes.get_mut(..len)?).ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    /// Remembers what is at the addresses, before the thread goes on.
    pub(super) fn look(&mut self, memory: &UserMemory) {
        for place in 0..PLACES {
            if self.is_on(self.control, place) {
                self.seen[place] = self.value(memory, place);
            }
        }
    }

    /// After an instruction: whether something that is watched has happened, `rip` being the next instruction. The status says what.
    pub(super) fn has_hit(&mut self, memory: &UserMemory, rip: u64) -> bool {
        let mut hits = 0;
        for place in 0..PLACES {
            if !self.is_on(self.control, place) {
                continue;
            }
            let hit = match kind(self.control, place) {
                Kind::Execution => self.addresses[place] == rip,
                Kind::Write(_) => {
                    let now = self.value(memory, place);
                    std::mem::replace(&mut self.seen[place], now) != now
                }
                Kind::Unknown => false,
            };
            hits |= u64::from(hit) << place;
        }
        self.status |= hits;
        hits != 0
    }

    /// A step that the tracer has asked for has ended.
    pub(super) fn note_step(&mut self) {
        self.status |= STEP;
    }
}

fn kind(control: u64, place: usize) -> Kind {
    let bits = control >> (16 + 4 * place) & 15;
    let len = match bits >> 2 {
        0 => 1,
        1 => 2,
        2 => 8,
        _ => 4,
    };
    match bits & 3 {
        0 => Kind::Execution,
        1 => Kind::Write(len),
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_watched_is_refused() {
        let mut registers = DebugRegisters::default();
        // Four bytes read or written at place 0.
        assert_eq!(registers.set(7, 1 | 0xf << 16), Err(Errno::EIO));
        assert_eq!(registers.set(7, 1 | 0xd << 16), Ok(()));
        assert!(registers.are_on());
        assert_eq!(registers.set(0, hal::pmem::GUEST_END), Err(Errno::EINVAL));
        assert_eq!(registers.set(4, 0), Err(Errno::EIO));
        assert_eq!(registers.get(7), 1 | 0xd << 16);
    }

    #[test]
    fn a_breakpoint_is_hit_where_execution_comes_to_it() {
        let mut registers = DebugRegisters::default();
        registers.set(1, 0x1000).unwrap();
        registers.set(7, 1 << 2).unwrap();
        assert_eq!(kind(1 << 2, 1), Kind::Execution);
        assert_eq!(registers.get(1), 0x1000);
    }
}
