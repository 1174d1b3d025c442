//! The alternate stack that handlers with `SA_ONSTACK` run on, sigaltstack(2).
//!
//! The one idea: whether a thread *is* on it is never stored; it follows from the stack pointer, as in Linux.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::errno::{Errno, SysResult};

/// The thread runs on it.
pub const SS_ONSTACK: i32 = 1;
/// There is none.
pub const SS_DISABLE: i32 = 2;
/// It is given up while a handler runs on it.
pub const SS_AUTODISARM: i32 = i32::MIN;

/// The smallest that the kernel takes, bytes.
pub const MINSIGSTKSZ: u64 = 2048;

/// `stack_t` of x86-64.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct StackT {
    /// The lowest address.
    pub sp: u64,
    /// `SS_*`.
    pub flags: i32,
    padding: i32,
    /// Bytes.
    pub size: u64,
}

impl StackT {
    /// The struct with these fields.
    pub const fn new(sp: u64, flags: i32, size: u64) -> Self {
        Self { sp, flags, padding: 0, size }
    }
}

/// A thread's alternate stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AltStack {
    /// The lowest address.
    base: u64,
    /// Bytes; 0 means that there is none.
    size: u64,
    /// As they were given.
    flags: i32,
}

impl AltStack {
    /// No alternate stack.
    pub const NONE: Self = Self { base: 0, size: 0, flags: 0 };

    /// Whether there is one.
    pub const fn is_enabled(&self) -> bool {
        self.size != 0
    }

    /// Whether a thread with stack pointer `sp` runs on it. With `SS_AUTODISARM` a thread never counts as on it.
    pub const fn holds(&self, sp: u64) -> bool {
        self.flags & SS_AUTODISARM == 0 && self.contains(sp)
    }

    /// Whether `sp` lies in it; the top end belongs to it, the bottom end does not.
    pub const fn contains(&self, sp: u64) -> bool {
        sp > self.base && sp.wrapping_sub(self.base) <= self.size
    }

    /// Its top.
    pub const fn top(&self) -> u64 {
        self.base.wrapping_add(self.size)
    }

    /// Whether handling a signal on it gives it up.
    pub const fn disarms(&self) -> bool {
        self.flags & SS_AUTODISARM != 0
    }

    /// What sigaltstack(2) shows to a thread with stack pointer `sp`.
    pub const fn show(&self, sp: u64) -> StackT {
        let state = if self.size == 0 {
            SS_DISABLE
        } else if self.holds(sp) {
            SS_ONSTACK
        } else {
            0
        };
        StackT::new(self.base, state | self.flags & SS_AUTODISARM, self.size)
    }

    /// What a signal frame keeps of it.
    pub const fn raw(&self) -> StackT {
        StackT::new(self.base, self.flags, self.size)
    }

    /// What becomes of it when a thread with stack pointer `sp` asks for `new`.
    ///
    /// `EPERM` while it is in use, `EINVAL` for unknown flags, `ENOMEM` when too small.
    pub fn replaced_by(self, new: StackT, sp: u64) -> SysResult<Self> {
        if self.is_enabled() && self.holds(sp) {
            return Err(Errno::EPERM);
        }
        let mode = new.flags & !SS_AUTODISARM;
        if mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0 {
            return Err(Errno::EINVAL);
        }
        if mode == SS_DISABLE {
            return Ok(Self { flags: new.flags, ..Self::NONE });
        }
        let replacement = Self { base: new.sp, size: new.size, flags: new.flags };
        if replacement != self && new.size < MINSIGSTKSZ {
            return Err(Errno::ENOMEM);
        }
        Ok(replacement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_can_not_be_changed_while_in_use() {
        let stack = AltStack::NONE.replaced_by(StackT::new(0x1000, 0, 0x2000), 0).unwrap();
        assert_eq!(stack.show(0x2000).flags, SS_ONSTACK);
        assert_eq!(stack.replaced_by(StackT::default(), 0x3000), Err(Errno::EPERM));
        assert_eq!(stack.replaced_by(StackT::new(0, SS_DISABLE, 0), 0x3001).map(|s| s.size), Ok(0));
        assert!(!stack.contains(0x1000));
    }

    #[test]
    fn unknown_flags_and_small_stacks_are_refused() {
        assert_eq!(AltStack::NONE.replaced_by(StackT::new(0, 4, 8192), 0), Err(Errno::EINVAL));
        assert_eq!(AltStack::NONE.replaced_by(StackT::new(0, 0, 2047), 0), Err(Errno::ENOMEM));
        assert_eq!(AltStack::NONE.show(0).flags, SS_DISABLE);
    }

    #[test]
    fn with_autodisarm_a_thread_on_it_may_replace_it() {
        let stack =
            AltStack::NONE.replaced_by(StackT::new(0x1000, SS_AUTODISARM, 0x2000), 0).unwrap();
        assert!(stack.contains(0x2000) && !stack.holds(0x2000));
        assert!(stack.replaced_by(StackT::new(0x9000, 0, 0x2000), 0x2000).is_ok());
    }
}
