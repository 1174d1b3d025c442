//! The options of `SOL_SOCKET` that every family keeps (socket(7)).
//!
//! The one idea: an option is kept where it is looked at. What a transfer asks is an atomic, so that asking costs a load.

use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

use parking_lot::Mutex;

/// What a new socket may send that is not yet received, in bytes (`net.core.wmem_default`).
pub const DEFAULT_BUFFER: usize = 212_992;
/// The most that an ordinary process sets (`net.core.wmem_max`), before it is doubled.
pub const MAX_BUFFER: usize = 212_992;
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
    /// `SO_REUSEPORT`
    pub reuse_port: bool,
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
    /// `SO_MARK`
    pub mark: i32,
    /// `SO_BUSY_POLL`
    pub busy_poll: i32,
    /// `SO_BINDTODEVICE`: the number of a device, 0 for none.
    pub device: u32,
}

/// Whether messages say when they came, and how exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamps {
    /// They do not.
    None = 0,
    /// `SO_TIMESTAMP`
    Micros = 1,
    /// `SO_TIMESTAMPNS`
    Nanos = 2,
}

/// `SOF_TIMESTAMPING_*`
pub mod stamping {
    /// What comes is stamped by the kernel.
    pub const RECEIVED: u32 = 1 << 3;
    /// Stamps of the kernel are told.
    pub const TOLD: u32 = 1 << 4;
    /// All that there are.
    pub const ALL: u32 = (1 << 18) - 1;
    /// What goes out is stamped by the device, by the kernel, when it is queued, when it is acknowledged, when it is done.
    pub const SENT: u32 = 1 | 1 << 1 | 1 << 8 | 1 << 9 | 1 << 18;
}

/// A socket's options.
pub struct Options {
    send_buffer: AtomicUsize,
    /// Somebody has said how large that is.
    send_buffer_set: AtomicBool,
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
    /// `SO_OOBINLINE`: bytes out of band are received among the others.
    pub urgent_inline: AtomicBool,
    timestamps: AtomicU8,
    /// `SO_TIMESTAMPING`: bits of [`stamping`].
    pub stamping: AtomicU32,
    /// The rest.
    pub kept: Mutex<Kept>,
}

impl Default for Options {
    fn default() -> Self {
        Self::sized(DEFAULT_BUFFER, DEFAULT_BUFFER)
    }
}

impl Options {
    /// Those of a socket whose buffers have these sizes at first.
    pub fn sized(send: usize, receive: usize) -> Self {
        Self {
            send_buffer: AtomicUsize::new(send),
            send_buffer_set: AtomicBool::new(false),
            receive_buffer: AtomicUsize::new(receive),
            low_water: AtomicI32::new(1),
            receive_timeout: AtomicU64::new(FOREVER),
            send_timeout: AtomicU64::new(FOREVER),
            peek_offset: AtomicI32::new(-1),
            pass_credentials: AtomicBool::new(false),
            urgent_inline: AtomicBool::new(false),
            timestamps: AtomicU8::new(0),
            stamping: AtomicU32::new(0),
            kept: Mutex::default(),
        }
    }

    /// The same as now, for a socket that is accepted.
    pub fn copy(&self) -> Self {
        let number = |number: &AtomicU64| AtomicU64::new(number.load(Ordering::Relaxed));
        Self {
            send_buffer: AtomicUsize::new(self.send_buffer()),
            send_buffer_set: AtomicBool::new(self.send_buffer_set.load(Ordering::Relaxed)),
            receive_buffer: AtomicUsize::new(self.receive_buffer()),
            low_water: AtomicI32::new(self.low_water()),
            receive_timeout: number(&self.receive_timeout),
            send_timeout: number(&self.send_timeout),
            peek_offset: AtomicI32::new(-1),
            pass_credentials: AtomicBool::new(self.passes_credentials()),
            urgent_inline: AtomicBool::new(self.urgent_inline.load(Ordering::Relaxed)),
            timestamps: AtomicU8::new(self.timestamps.load(Ordering::Relaxed)),
            stamping: AtomicU32::new(self.stamping.load(Ordering::Relaxed)),
            kept: Mutex::new(self.kept.lock().clone()),
        }
    }
}

/// What a buffer becomes that is asked to have `bytes`: twice as much, within bounds, as socket(7) has it.
fn buffer(bytes: i32, least: usize) -> usize {
    // A negative number is a large one to Linux.
    let asked = usize::try_from(bytes).unwrap_or(MAX_BUFFER).min(MAX_BUFFER);
    (asked * 2).max(least)
}

/// The same for who is not limited.
fn forced(bytes: i32, least: usize) -> usize {
    (usize::try_from(bytes).unwrap_or(0).min(i32::MAX as usize / 2) * 2).max(least)
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
        self.send_buffer_set.store(true, Ordering::Relaxed);
    }

    /// Sets `SO_SNDBUF` for who has the right to: not limited.
    pub fn force_send_buffer(&self, bytes: i32) {
        self.send_buffer.store(forced(bytes, MIN_SEND_BUFFER), Ordering::Relaxed);
        self.send_buffer_set.store(true, Ordering::Relaxed);
    }

    /// It may send so much from now on, unless somebody has said how much.
    pub fn grow_send_buffer(&self, bytes: usize) {
        if !self.send_buffer_set.load(Ordering::Relaxed) {
            self.send_buffer.store(bytes, Ordering::Relaxed);
        }
    }

    /// `SO_RCVBUF`
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer.load(Ordering::Relaxed)
    }

    /// Sets `SO_RCVBUF`.
    pub fn set_receive_buffer(&self, bytes: i32) {
        self.receive_buffer.store(buffer(bytes, MIN_RECEIVE_BUFFER), Ordering::Relaxed);
    }

    /// Sets `SO_RCVBUF` for who has the right to: not limited.
    pub fn force_receive_buffer(&self, bytes: i32) {
        self.receive_buffer.store(forced(bytes, MIN_RECEIVE_BUFFER), Ordering::Relaxed);
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

    /// Whether messages say when they came.
    pub fn timestamps(&self) -> Timestamps {
        match self.timestamps.load(Ordering::Relaxed) {
            0 => Timestamps::None,
            1 => Timestamps::Micros,
            _ => Timestamps::Nanos,
        }
    }

    /// Sets `SO_TIMESTAMP` and `SO_TIMESTAMPNS`, of which there is one at a time.
    pub fn set_timestamps(&self, timestamps: Timestamps) {
        self.timestamps.store(timestamps as u8, Ordering::Relaxed);
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
