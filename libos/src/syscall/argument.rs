//! What the six registers of a system call mean: typed arguments.
//!
//! The one idea: having an argument of one of these types proves only that the guest *alleges* such a thing.
//! An [`Fd`] may not be open and a [`UserPtr`] may point anywhere; what uses them finds out and fails.

use std::{fmt, marker::PhantomData};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    errno::{Errno, SysResult},
    memory::UserMemory,
};

/// A value that travels in one register.
pub trait Argument: Copy {
    /// What the register's value alleges.
    fn from_register(value: u64) -> Self;

    /// Writes it as strace(1) would; may look at the guest's memory, which may have changed since.
    fn show(&self, memory: &UserMemory, out: &mut dyn fmt::Write) -> fmt::Result;
}

macro_rules! integer_arguments {
    ($($ty:ty)*) => {$(
        impl Argument for $ty {
            // The ABI defines the truncation: a 32-bit argument is the register's low half.
            fn from_register(value: u64) -> Self { value as $ty }

            fn show(&self, _: &UserMemory, out: &mut dyn fmt::Write) -> fmt::Result {
                write!(out, "{self}")
            }
        }
    )*};
}

integer_arguments!(i32 u32 i64 u64 usize);

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

    fn show(&self, _: &UserMemory, out: &mut dyn fmt::Write) -> fmt::Result {
        if *self == Self::CWD { out.write_str("AT_FDCWD") } else { write!(out, "{}", self.0) }
    }
}

/// A word of flags, shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flags(pub u32);

impl Argument for Flags {
    fn from_register(value: u64) -> Self {
        Self(value as u32)
    }

    fn show(&self, _: &UserMemory, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{:#x}", self.0)
    }
}

/// File mode bits, shown in octal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mode(pub u32);

impl Argument for Mode {
    fn from_register(value: u64) -> Self {
        Self(value as u32)
    }

    fn show(&self, _: &UserMemory, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "0{:o}", self.0)
    }
}

/// An alleged address of untyped bytes in the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UserAddr(pub u64);

impl UserAddr {
    /// Whether it is the null pointer, which many calls take for "not wanted".
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The same address with a type.
    pub const fn cast<T>(self) -> UserPtr<T> {
        UserPtr { addr: self.0, kind: PhantomData }
    }

    /// The address `bytes` further on, or `EFAULT` when there is none.
    pub fn offset(self, bytes: u64) -> SysResult<Self> {
        self.0.checked_add(bytes).map(Self).ok_or(Errno::EFAULT)
    }
}

impl Argument for UserAddr {
    fn from_register(value: u64) -> Self {
        Self(value)
    }

    fn show(&self, _: &UserMemory, out: &mut dyn fmt::Write) -> fmt::Result {
        if self.is_null() { out.write_str("NULL") } else { write!(out, "{:#x}", self.0) }
    }
}

/// An alleged address of a `T`, or of the first of several, in the guest.
pub struct UserPtr<T> {
    addr: u64,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for UserPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for UserPtr<T> {}

impl<T> UserPtr<T> {
    /// The pointer to `addr`.
    pub const fn new(addr: u64) -> Self {
        Self { addr, kind: PhantomData }
    }

    /// Whether it is null.
    pub const fn is_null(self) -> bool {
        self.addr == 0
    }

    /// The address without its type.
    pub const fn addr(self) -> u64 {
        self.addr
    }

    /// `Some` unless null.
    pub const fn non_null(self) -> Option<Self> {
        if self.is_null() { None } else { Some(self) }
    }

    /// The pointer to the element `index` elements on.
    pub fn element(self, index: usize) -> SysResult<Self> {
        (index as u64)
            .checked_mul(size_of::<T>() as u64)
            .and_then(|bytes| self.addr.checked_add(bytes))
            .map(Self::new)
            .ok_or(Errno::EFAULT)
    }
}

impl<T: FromBytes + IntoBytes + Immutable> UserPtr<T> {
    /// Copies the value in. `EFAULT` when any of its bytes can not be read.
    pub fn read(self, memory: &UserMemory) -> SysResult<T> {
        let mut value = T::new_zeroed();
        memory.read_bytes(self.addr, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Copies `value` out. `EFAULT` when any of its bytes can not be written.
    pub fn write(self, memory: &UserMemory, value: &T) -> SysResult<()> {
        memory.write_bytes(self.addr, value.as_bytes())
    }

    /// Copies `value` out unless the pointer is null.
    pub fn write_if_wanted(self, memory: &UserMemory, value: &T) -> SysResult<()> {
        if self.is_null() { Ok(()) } else { self.write(memory, value) }
    }

    /// Copies `count` consecutive values in; the caller has bounded `count`.
    pub fn read_slice(self, memory: &UserMemory, count: usize) -> SysResult<Vec<T>> {
        let mut values = T::new_vec_zeroed(count).map_err(|_| Errno::ENOMEM)?;
        memory.read_bytes(self.addr, values.as_mut_bytes())?;
        Ok(values)
    }

    /// Copies all of `values` out.
    pub fn write_slice(self, memory: &UserMemory, values: &[T]) -> SysResult<()> {
        memory.write_bytes(self.addr, values.as_bytes())
    }
}

impl<T> fmt::Debug for UserPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.addr)
    }
}

impl<T> Argument for UserPtr<T> {
    fn from_register(value: u64) -> Self {
        Self::new(value)
    }

    fn show(&self, memory: &UserMemory, out: &mut dyn fmt::Write) -> fmt::Result {
        UserAddr(self.addr).show(memory, out)
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

    fn show(&self, memory: &UserMemory, out: &mut dyn fmt::Write) -> fmt::Result {
        match memory.read_string(self.0, UserStr::PATH_MAX) {
            Ok(Some(bytes)) => write!(out, "\"{}\"", bytes.escape_ascii()),
            _ => UserAddr(self.0).show(memory, out),
        }
    }
}
