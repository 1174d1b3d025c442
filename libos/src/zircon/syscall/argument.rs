//! The arguments of Zircon's calls that are pointers. What a bad one means says [`Memory`](crate::zircon::Memory).
//!
//! The one idea: a pointer's type says what it points at and who writes there, as in C: [`In`] is `const T*`, [`Out`] is `T*`. The rest
//! are [scalars](crate::zircon::abi::scalar).

use std::fmt;

use kernel_objects::Vmar;

use crate::{
    abi::argument::{Argument, UserPtr},
    zircon::abi::CType,
};

macro_rules! pointers {
    ($($(#[doc = $doc:literal])+ $name:ident = $c:literal;)*) => {$(
        $(#[doc = $doc])+
        #[derive(Debug)]
        pub struct $name<T>(pub UserPtr<T>);

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self { *self }
        }

        impl<T> Copy for $name<T> {}

        impl<T> Argument for $name<T> {
            fn from_register(value: u64) -> Self { Self(UserPtr::new(value)) }

            fn show(&self, memory: &Vmar, out: &mut dyn fmt::Write) -> fmt::Result {
                self.0.show(memory, out)
            }
        }

        impl<T: CType> CType for $name<T> {
            fn declare(name: &str) -> String { format!(concat!($c, "{}* {}"), T::declare(""), name) }
        }
    )*};
}

pointers! {
    /// A pointer to what the kernel reads.
    In = "const ";
    /// A pointer to what the kernel writes, or reads and writes.
    Out = "";
}
