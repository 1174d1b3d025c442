//! What the registers of a system call mean: typed arguments.
//!
//! The one idea: having an argument of one of these types proves only that the guest *alleges* such a thing.
//! A [`UserPtr`] may point anywhere; what uses it finds out and fails, with the error that its personality has for that
//! ([`GuestBytes::Error`]).

use std::{fmt, marker::PhantomData, sync::Arc};

use kernel_objects::Vmar;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A value that travels in one register.
pub trait Argument: Copy {
    /// What the register's value alleges.
    fn from_register(value: u64) -> Self;

    /// Writes it as strace(1) would; may look at the guest's memory, which may have changed since.
    fn show(&self, memory: &Vmar, out: &mut dyn fmt::Write) -> fmt::Result;
}

/// Memory of a guest that a pointer is a pointer into.
pub trait GuestBytes {
    /// What a personality says of a bad pointer.
    type Error;

    /// Copies guest bytes at `va` into `buf`.
    fn read_bytes(&self, va: u64, buf: &mut [u8]) -> Result<(), Self::Error>;

    /// Copies `buf` to the guest at `va`.
    fn write_bytes(&self, va: u64, buf: &[u8]) -> Result<(), Self::Error>;

    /// The error for more than there is memory for.
    fn no_memory() -> Self::Error;
}

impl<M: GuestBytes + ?Sized> GuestBytes for Arc<M> {
    type Error = M::Error;

    fn read_bytes(&self, va: u64, buf: &mut [u8]) -> Result<(), M::Error> {
        (**self).read_bytes(va, buf)
    }

    fn write_bytes(&self, va: u64, buf: &[u8]) -> Result<(), M::Error> {
        (**self).write_bytes(va, buf)
    }

    fn no_memory() -> M::Error {
        M::no_memory()
    }
}

macro_rules! integer_arguments {
    ($($ty:ty)*) => {$(
        impl Argument for $ty {
            // The ABI defines the truncation: a 32-bit argument is the register's low half.
            fn from_register(value: u64) -> Self { value as $ty }

            fn show(&self, _: &Vmar, out: &mut dyn fmt::Write) -> fmt::Result {
                write!(out, "{self}")
            }
        }
    )*};
}

integer_arguments!(i32 u32 i64 u64 usize);

/// A word of flags, shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flags(pub u32);

impl Argument for Flags {
    fn from_register(value: u64) -> Self {
        Self(value as u32)
    }

    fn show(&self, _: &Vmar, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{:#x}", self.0)
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
}

impl Argument for UserAddr {
    fn from_register(value: u64) -> Self {
        Self(value)
    }

    fn show(&self, _: &Vmar, out: &mut dyn fmt::Write) -> fmt::Result {
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

    /// The same address with another type.
    pub const fn cast<U>(self) -> UserPtr<U> {
        UserPtr::new(self.addr)
    }

    /// `Some` unless null.
    pub const fn non_null(self) -> Option<Self> {
        if self.is_null() { None } else { Some(self) }
    }
}

impl<T: FromBytes + IntoBytes + Immutable> UserPtr<T> {
    /// Copies the value in. Fails when any of its bytes can not be read.
    pub fn read<M: GuestBytes + ?Sized>(self, memory: &M) -> Result<T, M::Error> {
        let mut value = T::new_zeroed();
        memory.read_bytes(self.addr, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Copies `value` out. Fails when any of its bytes can not be written.
    pub fn write<M: GuestBytes + ?Sized>(self, memory: &M, value: &T) -> Result<(), M::Error> {
        memory.write_bytes(self.addr, value.as_bytes())
    }

    /// Copies `value` out unless the pointer is null.
    pub fn write_if_wanted<M: GuestBytes + ?Sized>(
        self,
        memory: &M,
        value: &T,
    ) -> Result<(), M::Error> {
        if self.is_null() { Ok(()) } else { self.write(memory, value) }
    }

    /// Copies `count` consecutive values in; the caller has bounded `count`.
    pub fn read_slice<M: GuestBytes + ?Sized>(
        self,
        memory: &M,
        count: usize,
    ) -> Result<Vec<T>, M::Error> {
        let mut values = T::new_vec_zeroed(count).map_err(|_| M::no_memory())?;
        memory.read_bytes(self.addr, values.as_mut_bytes())?;
        Ok(values)
    }

    /// Copies all of `values` out.
    pub fn write_slice<M: GuestBytes + ?Sized>(
        self,
        memory: &M,
        values: &[T],
    ) -> Result<(), M::Error> {
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

    fn show(&self, memory: &Vmar, out: &mut dyn fmt::Write) -> fmt::Result {
        UserAddr(self.addr).show(memory, out)
    }
}
