//! The structures of `<zircon/types.h>` and `<zircon/syscalls/*.h>`, by what they are about.
//!
//! The one idea: `structs!` declares a structure once, with its name in C and the size that it must have.

mod clock;
mod exception;
mod handle;
mod iob;
mod ipc;
mod memory;
mod port;
mod system;
mod task;

pub use self::{
    clock::*, exception::*, handle::*, iob::*, ipc::*, memory::*, port::*, system::*, task::*,
};

/// A structure's name in C and its fields, each declared.
pub struct Declaration {
    /// Without the `_t`.
    pub name: &'static str,
    /// How many bytes it has.
    pub size: usize,
    /// Its fields' declarations.
    pub fields: fn() -> Vec<String>,
}

/// A field's name in C, which knows other keywords.
fn c_name(field: &'static str) -> &'static str {
    field.trim_start_matches("r#")
}

macro_rules! structs {
    ($($(#[doc = $doc:literal])+ $name:ident = $c_name:literal, $size:literal {
        $($(#[doc = $field_doc:literal])+ $field:ident: $ty:ty,)+
    })*) => {
        $(
            $(#[doc = $doc])+
            #[derive(
                Clone, Copy, PartialEq, Eq, Debug, zerocopy::FromBytes, zerocopy::IntoBytes,
                zerocopy::Immutable, zerocopy::KnownLayout,
            )]
            #[repr(C)]
            pub struct $name {
                $($(#[doc = $field_doc])+ pub $field: $ty,)+
            }

            const _: () = assert!(size_of::<$name>() == $size);

            impl CType for $name {
                fn declare(name: &str) -> String { plain(concat!($c_name, "_t"), name) }
            }
        )*

        /// All of these, in an order in which C can read them.
        pub(super) const STRUCTS: &[super::Declaration] = &[$(super::Declaration {
            name: $c_name,
            size: $size,
            fields: || vec![$(<$ty as CType>::declare(super::c_name(stringify!($field)))),+],
        }),*];
    };
}

use structs;

/// All of them, in an order in which C can read them.
pub fn all() -> impl Iterator<Item = &'static Declaration> {
    let parts = [
        handle::STRUCTS,
        ipc::STRUCTS,
        port::STRUCTS,
        iob::STRUCTS,
        clock::STRUCTS,
        memory::STRUCTS,
        task::STRUCTS,
        exception::STRUCTS,
        system::STRUCTS,
    ];
    parts.into_iter().flatten()
}
