//! Sending without a copy (`MSG_ZEROCOPY`): how a sender learns that its memory is its own again.
//!
//! The one idea: what is sent is copied at once, as Linux does where a packet stays on the machine, and it says so: every call that asked is told to have been
//! a copy. What was not read yet is one range of numbers of calls, for they are done in order.

use std::sync::atomic::{AtomicBool, Ordering};

use linux_raw_sys::net as raw;
use parking_lot::Mutex;
use zerocopy::IntoBytes;

use super::{
    Ancillary,
    inet::options::{IP, IPV6},
    message::ExtendedError,
};

/// `SO_EE_ORIGIN_ZEROCOPY`, `SO_EE_CODE_ZEROCOPY_COPIED`
const ORIGIN: u8 = 5;
const COPIED: u8 = 1;

/// The lengths of the addresses of IPv4 and IPv6 behind an error, which nobody has.
const ADDRESSES: (usize, usize) = (16, 28);

/// The calls of a socket that wanted no copy.
#[derive(Default)]
pub struct Completions {
    /// `SO_ZEROCOPY`
    wanted: AtomicBool,
    /// There is something to read.
    pending: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of the next call.
    next: u32,
    /// The first and the last one that are done and not read.
    done: Option<(u32, u32)>,
}

impl Completions {
    /// `SO_ZEROCOPY`
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Sets `SO_ZEROCOPY`.
    pub fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    /// Whether there is something to read.
    pub fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// A call is done.
    pub fn complete(&self) {
        let mut state = self.state.lock();
        let number = state.next;
        state.next = number.wrapping_add(1);
        state.done = Some((state.done.map_or(number, |(first, _)| first), number));
        self.pending.store(true, Ordering::Release);
    }

    /// What is to be read, as the control message of a socket of IPv6 or of IPv4.
    pub fn take(&self, v6: bool) -> Option<Ancillary> {
        let (first, last) = {
            let mut state = self.state.lock();
            self.pending.store(false, Ordering::Release);
            state.done.take()?
        };
        let told = ExtendedError {
            origin: ORIGIN,
            code: COPIED,
            info: first,
            data: last,
            ..ExtendedError::default()
        };
        let (level, kind, address) = match v6 {
            true => (IPV6, raw::IPV6_RECVERR, ADDRESSES.1),
            false => (IP, raw::IP_RECVERR, ADDRESSES.0),
        };
        let mut data = told.as_bytes().to_vec();
        data.resize(data.len() + address, 0);
        Some(Ancillary { level, kind, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_nobody_asked_about_are_one_range() {
        let completions = Completions::default();
        assert!(completions.take(false).is_none());
        let range = |told: Ancillary| (told.data[8], told.data[12], told.data.len());
        completions.complete();
        assert!(completions.is_pending());
        assert_eq!(range(completions.take(false).unwrap()), (0, 0, 32));
        assert!(!completions.is_pending());
        for _ in 0..3 {
            completions.complete();
        }
        assert_eq!(range(completions.take(true).unwrap()), (1, 3, 44));
    }
}
