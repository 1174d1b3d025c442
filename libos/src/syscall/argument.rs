//! What the six registers of a Linux system call mean: the types that only Linux has, beside those of
//! [`abi::argument`](crate::abi::argument).

use std::fmt;

use kernel_objects::Vmar;

pub use crate::abi::argument::{Argument, Flags, GuestBytes, UserAddr, UserPtr};
use crate::{
    errno::{Errno, SysResult},
    memory::UserMemory,
};

impl GuestBytes for UserMemory {
    type Error = Errno;

    fn read_bytes(&self, va: u64, buf: &mut [u8]) -> SysResult<()> {
        UserMemory::read_bytes(self, va, buf)
    }

    fn write_bytes(&self, va: u64, buf: &[u8]) -> SysResult<()> {
        UserMemory::write_bytes(self, va, buf)
    }

    fn no_memory() -> Errno {
        Errno::ENOMEM
    }
}

impl UserAddr {
    /// The address `bytes` further on, or `EFAULT` when there is none.
    pub fn offset(self, bytes: u64) -> SysResult<Self> {
        self.0.checked_add(bytes).map(Self).ok_or(Errno::EFAULT)
    }
}

impl<T> UserPtr<T> {
    /// The pointer to the element `index` elements on.
    pub fn element(self, index: usize) -> SysResult<Self> {
        (index as u64)
            .checked_mul(size_of::<T>() as u64)
            .and_then(|bytes| self.addr().checked_add(bytes))
            .map(Self::new)
            .ok_or(Errno::EFAULT)
    }
}

/// An alleged file descriptor, or `AT_FDCWD`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fd(pub i32);

impl Fd {
    /// "Relative to the working directory" in the *at calls.
    pub const CWD: Self = Self(linux_raw_sys::general::AT_FDCWD);
}

impl Argument for Fd {
    fn from_register(value: u64) -> Self {
        Self(value as i32)
    }

    fn show(&self, _: &Vmar, out: &mut dyn fmt::Write) -> fmt::Result {
        if *self == Self::CWD { out.write_str("AT_FDCWD") } else { write!(out, "{}", self.0) }
    }
}

/// File mode bits, shown in octal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mode(pub u32);

impl Argument for Mode {
    fn from_register(value: u64) -> Self {
        Self(value as u32)
    }

    fn show(&self, _: &Vmar, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "0{:o}", self.0)
    }
}

/// An alleged address of a NUL-terminated string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UserStr(pub u64);

impl UserStr {
    /// The longest path the kernel takes, with its NUL: `PATH_MAX`.
    pub const PATH_MAX: usize = 4096;

    /// Copies a path in. `EFAULT`; `ENAMETOOLONG` when there is no NUL within `PATH_MAX` bytes.
    pub fn path(self, memory: &UserMemory) -> SysResult<Vec<u8>> {
        self.string(memory, Self::PATH_MAX, Errno::ENAMETOOLONG)
    }

    /// Copies a string in that has its NUL within `max` bytes, or fails with `too_long`.
    pub fn string(self, memory: &UserMemory, max: usize, too_long: Errno) -> SysResult<Vec<u8>> {
        memory.read_string(self.0, max)?.ok_or(too_long)
    }

    /// Whether it is the null pointer.
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }
}

impl Argument for UserStr {
    fn from_register(value: u64) -> Self {
        Self(value)
    }

    fn show(&self, memory: &Vmar, out: &mut dyn fmt::Write) -> fmt::Result {
        match memory.read_cstr(self.0, UserStr::PATH_MAX) {
            Ok(bytes) if bytes.len() < UserStr::PATH_MAX => {
                write!(out, "\"{}\"", bytes.escape_ascii())
            }
            _ => UserAddr(self.0).show(memory, out),
        }
    }
}
