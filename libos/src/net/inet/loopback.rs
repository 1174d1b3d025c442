//! The state of `lo`: whether it is up, and which addresses it has (rtnetlink(7), netdevice(7)).
//!
//! The one idea: it is a few bits, so whoever looks for a way reads one word, and a change is from one value of it to another, from which follows
//! what there is to tell. The addresses are 127.0.0.1/8 and ::1/128: the device gets them when it comes up, and that of IPv6 goes when it goes down.

use std::sync::atomic::{AtomicU8, Ordering};

use bitflags::bitflags;

use super::address::Family;
use crate::errno::{Errno, SysResult};

bitflags! {
    /// What there is to know about `lo`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct State: u8 {
        /// It is up.
        const UP = 1;
        /// It has 127.0.0.1/8.
        const V4 = 2;
        /// It has ::1/128.
        const V6 = 4;
        /// It was up at least once.
        const STARTED = 8;
        /// An address of IPv4 was there at least once: before that Linux has no table of routes, and takes every address for one that could be bound to.
        const ROUTED = 16;
    }
}

impl State {
    /// That of a device in use.
    pub const USED: Self = Self::all();
    /// That of a new device.
    pub const NEW: Self = Self::empty();

    const fn address(family: Family) -> Self {
        match family {
            Family::V4 => Self::V4,
            Family::V6 => Self::V6,
        }
    }
}

/// A change: what it was before, and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Before.
    pub from: State,
    /// After.
    pub to: State,
}

impl Change {
    /// That it stays in that state.
    pub const fn none(state: State) -> Self {
        Self { from: state, to: state }
    }
}

/// The device.
#[derive(Debug)]
pub struct Loopback(AtomicU8);

impl Loopback {
    /// One in that state.
    pub const fn new(state: State) -> Self {
        Self(AtomicU8::new(state.bits()))
    }

    /// Its state.
    pub fn state(&self) -> State {
        State::from_bits_truncate(self.0.load(Ordering::Relaxed))
    }

    /// Changes it to what `next` makes of it.
    fn change(&self, next: impl Fn(State) -> State) -> Change {
        let relaxed = Ordering::Relaxed;
        let mut from = self.state();
        loop {
            let to = next(from);
            match self.0.compare_exchange(from.bits(), to.bits(), relaxed, relaxed) {
                Ok(_) => return Change { from, to },
                Err(found) => from = State::from_bits_truncate(found),
            }
        }
    }

    /// Brings it up or takes it down.
    pub fn set_up(&self, up: bool) -> Change {
        let next = |state: State| match (state.contains(State::UP), up) {
            (false, true) => State::USED,
            (true, false) => state - State::UP - State::V6,
            _ => state,
        };
        self.change(next)
    }

    /// Gives it the address of a family. `EEXIST`
    pub fn add_address(&self, family: Family) -> SysResult<Change> {
        let address = State::address(family);
        let routed = if family == Family::V4 { State::ROUTED } else { State::empty() };
        let change = self.change(|state| state | address | routed);
        if change.from.contains(address) { Err(Errno::EEXIST) } else { Ok(change) }
    }

    /// Takes the address of a family away. `EADDRNOTAVAIL`
    pub fn remove_address(&self, family: Family) -> SysResult<Change> {
        let address = State::address(family);
        let change = self.change(|state| state - address);
        if change.from.contains(address) { Ok(change) } else { Err(Errno::EADDRNOTAVAIL) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gets_addresses_when_it_comes_up_and_keeps_one_when_it_goes_down() {
        let lo = Loopback::new(State::NEW);
        let change = lo.set_up(true);
        assert_eq!((change.from, change.to), (State::NEW, State::USED));
        assert_eq!(lo.set_up(true), Change { from: State::USED, to: State::USED });
        let down = lo.set_up(false).to;
        assert!(down.contains(State::V4) && !down.intersects(State::UP | State::V6));
        assert_eq!(lo.set_up(false).from, down);
    }

    #[test]
    fn an_address_is_there_once() {
        let lo = Loopback::new(State::NEW);
        let change = lo.add_address(Family::V4).unwrap();
        assert_eq!(change.to, State::V4 | State::ROUTED);
        assert_eq!(lo.add_address(Family::V4), Err(Errno::EEXIST));
        assert_eq!(lo.remove_address(Family::V6), Err(Errno::EADDRNOTAVAIL));
        assert_eq!(lo.remove_address(Family::V4).unwrap().to, State::ROUTED);
    }
}
