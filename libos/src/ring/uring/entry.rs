//! What is in the queues: a submission as the guest has it, and a completion.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct io_uring_sqe`: most fields mean something else to each operation. The names are those of their commonest meanings.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct Sqe {
    pub(super) opcode: u8,
    pub(super) flags: u8,
    pub(super) ioprio: u16,
    pub(super) fd: i32,
    /// Also `addr2`.
    pub(super) off: u64,
    /// Also `splice_off_in`.
    pub(super) addr: u64,
    pub(super) len: u32,
    /// `rw_flags`, `fsync_flags`, `msg_flags`, …
    pub(super) op_flags: u32,
    pub(super) user_data: u64,
    /// Also `buf_group`.
    pub(super) buf_index: u16,
    pub(super) personality: u16,
    /// Also `splice_fd_in`, `addr_len`.
    pub(super) file_index: u32,
    pub(super) addr3: u64,
    pub(super) pad: u64,
}

/// `struct io_uring_cqe`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct Cqe {
    pub(super) user_data: u64,
    pub(super) res: i32,
    pub(super) flags: u32,
}
