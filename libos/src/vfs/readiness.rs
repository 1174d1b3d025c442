//! What a file is ready for.
//!
//! The one idea: the bits are the ABI's own, so poll(2), epoll(7) and the wait queues of files speak of the same.

use bitflags::bitflags;

bitflags! {
    /// Readiness; the values of `POLLIN` and its kin, which are also those of `EPOLLIN` (poll(2), epoll_ctl(2)).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct PollEvents: u32 {
        /// There is something to read.
        const IN = 0x001;
        /// There is an exceptional condition.
        const PRI = 0x002;
        /// Writing is possible.
        const OUT = 0x004;
        /// An error is pending, or the reading end of a pipe is closed.
        const ERR = 0x008;
        /// The other side hung up.
        const HUP = 0x010;
        /// Not an open descriptor.
        const NVAL = 0x020;
        /// Equivalent to `IN`.
        const RDNORM = 0x040;
        /// Priority data may be read.
        const RDBAND = 0x080;
        /// Equivalent to `OUT`.
        const WRNORM = 0x100;
        /// Priority data may be written.
        const WRBAND = 0x200;
        /// The peer shut down its writing half.
        const RDHUP = 0x2000;
    }
}

impl PollEvents {
    /// What an ordinary file always is.
    pub const ALWAYS: Self = Self::IN.union(Self::OUT).union(Self::RDNORM).union(Self::WRNORM);
    /// Reading would not wait.
    pub const READABLE: Self = Self::IN.union(Self::RDNORM);
    /// Writing would not wait.
    pub const WRITABLE: Self = Self::OUT.union(Self::WRNORM);
}
