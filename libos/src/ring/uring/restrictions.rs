//! What a ring may be restricted to before it is enabled: `IORING_REGISTER_RESTRICTIONS`.
//!
//! The one idea: without restrictions all is allowed; with some, only what they name.

use linux_raw_sys::io_uring::{
    io_uring_op, io_uring_register_op, io_uring_register_restriction_op as kind,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::entry::Sqe;
use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    syscall::argument::UserPtr,
};

/// `struct io_uring_restriction`
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct Restriction {
    kind: u16,
    /// The command, the operation or the flags.
    what: u8,
    reserved: u8,
    reserved_end: [u32; 3],
}

/// The most restrictions of a ring.
const MAX: u32 = kind::IORING_RESTRICTION_LAST as u32
    + io_uring_register_op::IORING_REGISTER_LAST as u32
    + io_uring_op::IORING_OP_LAST as u32;

/// The restrictions of a ring.
#[derive(Default)]
pub(super) struct Restrictions {
    registered: bool,
    commands: u64,
    operations: u64,
    flags_allowed: u8,
    flags_required: u8,
}

impl Restrictions {
    /// Adds the first ones. `EBUSY` for more, `EINVAL`, `EFAULT`.
    pub(super) fn register(
        &mut self,
        thread: &Thread,
        wanted: UserPtr<Restriction>,
        count: u32,
    ) -> SysResult<()> {
        if self.registered {
            return Err(Errno::EBUSY);
        }
        if wanted.is_null() || count > MAX {
            return Err(Errno::EINVAL);
        }
        let mut made = Self { registered: true, ..Self::default() };
        for one in wanted.read_slice(&thread.memory, count as usize)? {
            made.add(one)?;
        }
        *self = made;
        Ok(())
    }

    fn add(&mut self, Restriction { kind, what, .. }: Restriction) -> SysResult<()> {
        const COMMAND: u16 = kind::IORING_RESTRICTION_REGISTER_OP as u16;
        const OPERATION: u16 = kind::IORING_RESTRICTION_SQE_OP as u16;
        const ALLOWED: u16 = kind::IORING_RESTRICTION_SQE_FLAGS_ALLOWED as u16;
        const REQUIRED: u16 = kind::IORING_RESTRICTION_SQE_FLAGS_REQUIRED as u16;
        match kind {
            COMMAND if u32::from(what) < io_uring_register_op::IORING_REGISTER_LAST as u32 => {
                self.commands |= 1 << what;
            }
            OPERATION if u32::from(what) < io_uring_op::IORING_OP_LAST as u32 => {
                self.operations |= 1 << what;
            }
            ALLOWED => self.flags_allowed = what,
            REQUIRED => self.flags_required = what,
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// Whether a command may be given: `EACCES`. All may while the ring is not enabled.
    pub(super) fn check_register(&self, number: u32, enabled: bool) -> SysResult<()> {
        let allowed = !self.registered || !enabled || self.commands >> number & 1 != 0;
        if allowed { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Whether a submission may be made, whose operation is one that there is: `EACCES`.
    pub(super) fn check(&self, sqe: &Sqe) -> SysResult<()> {
        if !self.registered {
            return Ok(());
        }
        let operation = self.operations >> (sqe.opcode & 63) & 1 != 0;
        let required = sqe.flags & self.flags_required == self.flags_required;
        let allowed = sqe.flags & !(self.flags_allowed | self.flags_required) == 0;
        if operation && required && allowed { Ok(()) } else { Err(Errno::EACCES) }
    }
}
