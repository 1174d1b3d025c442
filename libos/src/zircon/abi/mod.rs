//! The types of Zircon's system-call interface, each declared once: its layout in Rust and its declaration in C.
//!
//! The one idea: [`scalar`] and [`structs`] declare types by macros that write both, so that the headers which a guest is compiled with
//! and the bytes that the kernel reads can not differ. Names in C and layouts are those of Fuchsia's `<zircon/types.h>` and
//! `<zircon/syscalls/*.h>`.

pub mod constants;
pub mod scalar;
pub mod structs;

pub use self::{scalar::*, structs::*};

/// A type with a declaration in C.
pub trait CType {
    /// Declares `name` to be of this type, without a semicolon: `uint32_t name`. An empty name gives the bare type.
    fn declare(name: &str) -> String;
}

/// `ty name`, or the bare type.
pub(crate) fn plain(ty: &str, name: &str) -> String {
    match name {
        "" => ty.to_owned(),
        name if ty.ends_with('*') => format!("{ty}{name}"),
        name => format!("{ty} {name}"),
    }
}

macro_rules! c_integers {
    ($($ty:ty = $name:literal)*) => {$(
        impl CType for $ty {
            fn declare(name: &str) -> String { plain($name, name) }
        }
    )*};
}

c_integers!(u8 = "uint8_t" u16 = "uint16_t" u32 = "uint32_t" u64 = "uint64_t" i32 = "int32_t" i64 = "int64_t" usize = "size_t");

impl<T: CType, const N: usize> CType for [T; N] {
    fn declare(name: &str) -> String {
        T::declare(&format!("{name}[{N}]"))
    }
}
