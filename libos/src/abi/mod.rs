//! What all personalities have in common: how a system call is declared.
//!
//! The one idea: a personality declares each of its calls once, in a [`table`] of numbers, names, typed [`argument`]s and handlers, and
//! dispatch, `--strace` and the coverage page are made from that declaration, so they can not disagree. What a pointer is, how an
//! integer is taken from its register and how it is shown is the same for Linux and Zircon; each adds the types that only it has.

pub mod argument;
pub mod coverage;
pub mod strace;
pub mod table;

use std::{future::poll_fn, pin::Pin};

/// What a handler may return: something that fits in `rax`.
pub trait IntoReturn {
    /// The register's value.
    fn into_return(self) -> u64;
}

macro_rules! integer_returns {
    ($($ty:ty)*) => {$(
        impl IntoReturn for $ty {
            // Sign extension is what the ABI asks of a negative int.
            fn into_return(self) -> u64 { self as u64 }
        }
    )*};
}

integer_returns!(i32 u32 i64 u64 usize);

impl IntoReturn for () {
    fn into_return(self) -> u64 {
        0
    }
}

/// Flattens a handler's result to what dispatch returns.
pub(crate) fn finish<R: IntoReturn, E>(result: Result<R, E>) -> Result<u64, E> {
    result.map(IntoReturn::into_return)
}

/// Carries out a call that may wait; the guest's vector state is put away when it does. The call is pinned already: it would move otherwise,
/// and is large.
pub(crate) async fn put_away_while_waiting<T>(mut call: Pin<&mut impl Future<Output = T>>) -> T {
    poll_fn(|context| {
        let polled = call.as_mut().poll(context);
        if polled.is_pending() {
            hal::context::release_registers();
        }
        polled
    })
    .await
}
