//! The options of `SOL_SOCKET` that every family keeps (socket(7)).
//!
//! The one idea: an option is kept where it is looked at. What a transfer asks is an atomic, so that asking costs a load.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// What a new socket may send that is not yet received, in bytes (`net.core.wmem_default`).
const DEFAULT_BUFFER: usize = 212_992;
/// The most that an ordinary process sets (`net.core.wmem_max`), before it is doubled.
const MAX_BUFFER: usize = 212_992;
const MIN_SEND_BUFFER: usize = 4608;
const MIN_RECEIVE_BUFFER: usize = 2304;

/// No limit on waiting.
const FOREVER: u64 = u64::MAX;

/// `struct linger`: whether a close waits, and for how many seconds.
pub type Linger = [i32; 2];

/// Those that have a value and, in the families at hand, no effect.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// `SO_REUSEADDR`
    pub reuse_address: bool,
    /// `SO_KEEPALIVE`
    pub keep_alive: bool,
    /// `SO_BROADCAST`
    pub broadcast: bool,
    /// `SO_DONTROUTE`
    pub dont_route: bool,
    /// `SO_PRIORITY`
    pub priority: i32,
    /// `SO_LINGER`
    pub linger: Linger,
}

/// A socket's options.
pub struct Options {
    send_buffer: AtomicUsize,
    receive_buffer: AtomicUsize,
    /// At least so many bytes of a stream are waited for.
    low_water: AtomicI32,
    /// ns
    receive_timeout: AtomicU64,
    /// ns
    send_timeout: AtomicU64,
    /// Where the next peek begins; negative for the front.
    peek_offset: AtomicI32,
    /// `SO_PASSCRED`: who receives is told of senders.
    pub pass_credentials: AtomicBool,
    /// The rest.
    pub kept: Mutex<Kept>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            send_buffer: AtomicUsize::new(DEFAULT_BUFFER),
            receive_buffer: AtomicUsize::new(DEFAULT_BUFFER),
            low_water: AtomicI32::new(1),
            receive_timeout: AtomicU64::new(FOREVER),
            send_timeout: AtomicU64::new(FOREVER),
            peek_offset: AtomicI32::new(-1),
            pass_credentials: AtomicBool::new(false),
            kept: Mutex::default(),
        }
    }
}

/// What a buffer becomes that is asked to have `bytes`: twice as much, within bounds, as socket(7) has it.
fn buffer(bytes: i32, least: usize) -> usize {
    // A negative number is a large one to Linux.
    let asked = usize::try_from(bytes).unwrap_or(MAX_BUFFER).min(MAX_BUFFER);
    (asked * 2).max(least)
}

/// A time limit of `nanos`, where 0 stands for none.
fn limit(nanos: u64) -> u64 {
    if nanos == 0 { FOREVER } else { nanos }
}

fn told(nanos: u64) -> u64 {
    if nanos == FOREVER { 0 } else { nanos }
}

impl Options {
    /// How many bytes may be on the way to others: `SO_SNDBUF`.
    pub fn send_buffer(&self) -> usize {
        self.send_buffer.load(Ordering::Relaxed)
    }

    /// Sets `SO_SNDBUF`.
    pub fn set_send_buffer(&self, bytes: i32) {
        self.send_buffer.store(buffer(bytes, MIN_SEND_BUFFER), Ordering::Relaxed);
    }

    /// `SO_RCVBUF`
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer.load(Ordering::Relaxed)
    }

    /// Sets `SO_RCVBUF`.
    pub fn set_receive_buffer(&self, bytes: i32) {
        self.receive_buffer.store(buffer(bytes, MIN_RECEIVE_BUFFER), Ordering::Relaxed);
    }

    /// `SO_RCVLOWAT`
    pub fn low_water(&self) -> i32 {
        self.low_water.load(Ordering::Relaxed)
    }

    /// Sets `SO_RCVLOWAT`.
    pub fn set_low_water(&self, bytes: i32) {
        let bytes = match bytes {
            0 => 1,
            ..0 => i32::MAX,
            bytes => bytes,
        };
        self.low_water.store(bytes, Ordering::Relaxed);
    }

    /// How long receiving waits, in ns; `None` for as long as it takes: `SO_RCVTIMEO`.
    pub fn receive_timeout(&self) -> Option<u64> {
        Some(self.receive_timeout.load(Ordering::Relaxed)).filter(|&nanos| nanos != FOREVER)
    }

    /// How long sending and connecting wait: `SO_SNDTIMEO`.
    pub fn send_timeout(&self) -> Option<u64> {
        Some(self.send_timeout.load(Ordering::Relaxed)).filter(|&nanos| nanos != FOREVER)
    }

    /// Both limits as they are told, in ns: receiving, sending.
    pub fn timeouts(&self) -> (u64, u64) {
        let load = |limit: &AtomicU64| told(limit.load(Ordering::Relaxed));
        (load(&self.receive_timeout), load(&self.send_timeout))
    }

    /// Sets `SO_RCVTIMEO`.
    pub fn set_receive_timeout(&self, nanos: u64) {
        self.receive_timeout.store(limit(nanos), Ordering::Relaxed);
    }

    /// Sets `SO_SNDTIMEO`.
    pub fn set_send_timeout(&self, nanos: u64) {
        self.send_timeout.store(limit(nanos), Ordering::Relaxed);
    }

    /// `SO_PEEK_OFF`
    pub fn peek_offset(&self) -> i32 {
        self.peek_offset.load(Ordering::Relaxed)
    }

    /// Sets `SO_PEEK_OFF`.
    pub fn set_peek_offset(&self, offset: i32) {
        self.peek_offset.store(offset, Ordering::Relaxed);
    }

    /// The peek offset follows what was peeked at (`forward`) or taken, if it is used.
    pub fn move_peek_offset(&self, forward: bool, bytes: usize) {
        let offset = self.peek_offset();
        if offset >= 0 {
            let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
            let moved =
                if forward { offset.saturating_add(bytes) } else { (offset - bytes).max(0) };
            self.set_peek_offset(moved);
        }
    }

    /// Whether messages to this socket say who sent them.
    pub fn passes_credentials(&self) -> bool {
        self.pass_credentials.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_doubled_within_bounds() {
        let options = Options::default();
        let set = |bytes| {
            options.set_send_buffer(bytes);
            options.set_receive_buffer(bytes);
            (options.send_buffer(), options.receive_buffer())
        };
        assert_eq!(set(0), (4608, 2304));
        assert_eq!(set(3000), (6000, 6000));
        assert_eq!(set(-1), (425_984, 425_984));
    }

    #[test]
    fn the_peek_offset_moves_only_if_it_is_used() {
        let options = Options::default();
        options.move_peek_offset(true, 5);
        assert_eq!(options.peek_offset(), -1);
        options.set_peek_offset(2);
        options.move_peek_offset(true, 5);
        options.move_peek_offset(false, 100);
        assert_eq!(options.peek_offset(), 0);
    }
}
