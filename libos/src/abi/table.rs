//! A table of system calls: number, name, typed arguments, kind, handler, coverage; and what is made from it.
//!
//! The one idea: `system_calls!` turns the rows into two functions and a list. `dispatch_now` carries out what can be finished at once,
//! `dispatch` is a future of the rest, `TABLE` is what `--strace` and the coverage page read.
//!
//! The kind says what a handler may do:
//! - `now`: `fn(&Thread, ..)`, finishes at once; costs no future;
//! - `wait`: `async fn(&Thread, ..)`, may wait; polled once in place, and most finish there. Where even that is too much, a first
//!   attempt without a future goes before it in parentheses: `fn(&Thread, ..) -> Option<..>`, `None` when the call has to wait;
//! - `context`: `async fn(&mut Current, ..)`, also reads or changes the caller's registers or replaces its image.
//!
//! `now` and `wait` take any thread of any process, so calls that come from a ring end here as well.

use std::fmt;

use kernel_objects::Vmar;

/// How much of a call is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coverage {
    /// All that is documented.
    Full,
    /// Something is missing; the text says what.
    Partial(&'static str),
    /// The personality's error for a call that it has not; the text says why, if it is not just missing.
    Absent(&'static str),
}

/// One line of a table.
pub struct Entry {
    /// The number in `rax`.
    pub number: u64,
    /// The name in the personality's headers.
    pub name: &'static str,
    /// Writes the arguments, given by their registers, as strace(1) would.
    pub show: fn(&[u64], &Vmar, &mut dyn fmt::Write) -> fmt::Result,
    /// How much of it is there.
    pub coverage: Coverage,
}

/// Declares a personality's calls. The types are what its handlers get and return: its thread, its thread with registers, its error,
/// and the registers that may have arguments; `unknown` is the error for a number without a row, `absent` for a row without handler.
macro_rules! system_calls {
    (
        thread $thread:ty, current $current:ty, arguments $arguments:ty, error $error:ty,
        unknown $unknown:expr, absent $absent:expr;
        present { $($number:literal $name:ident($($argument:ident: $ty:ty),*) $kind:ident $(($first:path))? $handler:path, $coverage:expr;)* }
        absent { $($absent_number:literal $absent_name:ident $(: $why:literal)?)* }
    ) => {
        /// Carries out call `number` and returns what goes in `rax`, or the error: there is one for a number that no handler has. `None`
        /// when the call is one that may wait or that is about the caller's registers, which is left to [`dispatch`].
        pub fn dispatch_now(thread: &$thread, number: u64, arguments: &$arguments) -> Option<Result<u64, $error>> {
            match number {
                $($number => $crate::abi::table::at_once!($kind ($($first)?) thread arguments $handler, $($argument: $ty),*),)*
                $($absent_number => Some(Err($absent)),)*
                _ => Some(Err($unknown)),
            }
        }

        /// Carries out a call that [`dispatch_now`] has left; no others.
        ///
        /// (A block that captures, not an `async fn`, whose arguments would move once more at the first poll; what moves right after it was
        /// written waits for the store buffer.)
        pub fn dispatch<'a>(
            current: &'a mut $current,
            number: u64,
            arguments: &'a $arguments,
        ) -> impl Future<Output = Result<u64, $error>> + 'a {
            async move {
                match number {
                    $($number => $crate::abi::table::in_time!($kind $unknown, current arguments $handler, $($argument: $ty),*),)*
                    _ => Err($unknown),
                }
            }
        }

        /// Carries out a call that [`dispatch_now`] has left and that is not about the registers of whoever makes it, in the name of
        /// `thread`, whose task that is; no others.
        #[allow(dead_code, reason = "not every personality has calls without a trap")]
        pub fn dispatch_for<'a>(
            thread: &'a std::sync::Arc<$thread>,
            number: u64,
            arguments: &'a $arguments,
        ) -> impl Future<Output = Result<u64, $error>> + 'a {
            async move {
                match number {
                    $($number => $crate::abi::table::for_thread!($kind $unknown, thread arguments $handler, $($argument: $ty),*),)*
                    _ => Err($unknown),
                }
            }
        }

        /// Whether a call is about the registers of whoever makes it.
        #[allow(dead_code, reason = "not every personality has calls without a trap")]
        pub fn needs_registers(number: u64) -> bool {
            match number {
                $($number => $crate::abi::table::is_context!($kind),)*
                _ => false,
            }
        }

        /// Every call of the ABI, by ascending number within each part.
        pub static TABLE: &[$crate::abi::table::Entry] = &[
            $($crate::abi::table::Entry {
                number: $number,
                name: stringify!($name),
                show: $crate::abi::table::show!($($argument: $ty),*),
                coverage: $coverage,
            },)*
            $($crate::abi::table::Entry {
                number: $absent_number,
                name: stringify!($absent_name),
                show: $crate::abi::table::show!(),
                coverage: $crate::abi::table::Coverage::Absent(concat!($($why)?)),
            },)*
        ];

        /// The table's line for `number`.
        pub fn entry(number: u64) -> Option<&'static $crate::abi::table::Entry> {
            TABLE.iter().find(|entry| entry.number == number)
        }
    };
}

/// Takes the arguments from their registers in order.
macro_rules! take {
    ($arguments:ident, $($argument:ident: $ty:ty),*) => {
        #[allow(unused_mut, unused_variables, reason = "calls without arguments")]
        let mut registers = $arguments.iter();
        $(let $argument = <$ty as $crate::abi::argument::Argument>::from_register(registers.next().copied().unwrap_or(0));)*
    };
}

/// Calls a handler of the kind `now`, or the first attempt of a call that may wait.
macro_rules! at_once {
    (wait ($first:path) $thread:ident $arguments:ident $handler:path, $($argument:ident: $ty:ty),*) => {{
        $crate::abi::table::take!($arguments, $($argument: $ty),*);
        $first($thread, $($argument),*).map($crate::abi::finish)
    }};
    (now () $thread:ident $arguments:ident $handler:path, $($argument:ident: $ty:ty),*) => {{
        $crate::abi::table::take!($arguments, $($argument: $ty),*);
        Some($crate::abi::finish($handler($thread, $($argument),*)))
    }};
    ($kind:ident () $($rest:tt)*) => { None };
}

/// Calls a handler of the other kinds, the way its kind wants.
macro_rules! in_time {
    (now $unknown:expr, $($rest:tt)*) => { Err($unknown) };
    (wait $unknown:expr, $current:ident $arguments:ident $handler:path, $($argument:ident: $ty:ty),*) => {{
        $crate::abi::table::take!($arguments, $($argument: $ty),*);
        $crate::abi::finish($handler($current.thread(), $($argument),*).await)
    }};
    (context $unknown:expr, $current:ident $arguments:ident $handler:path, $($argument:ident: $ty:ty),*) => {{
        $crate::abi::table::take!($arguments, $($argument: $ty),*);
        $crate::abi::finish($handler($current, $($argument),*).await)
    }};
}

/// Calls a handler that may wait with no more than a thread.
macro_rules! for_thread {
    (wait $unknown:expr, $thread:ident $arguments:ident $handler:path, $($argument:ident: $ty:ty),*) => {{
        $crate::abi::table::take!($arguments, $($argument: $ty),*);
        $crate::abi::finish($handler($thread, $($argument),*).await)
    }};
    ($kind:ident $unknown:expr, $($rest:tt)*) => { Err($unknown) };
}

macro_rules! is_context {
    (context) => {
        true
    };
    ($kind:ident) => {
        false
    };
}

/// A function that shows arguments of these types, separated by commas.
macro_rules! show {
    ($($argument:ident: $ty:ty),*) => {
        |arguments, memory, out| {
            #[allow(unused_mut, unused_variables, reason = "calls without arguments")]
            let (mut registers, mut separator) = (arguments.iter(), "");
            $({
                out.write_str(separator)?;
                separator = ", ";
                let register = registers.next().copied().unwrap_or(0);
                let argument = <$ty as $crate::abi::argument::Argument>::from_register(register);
                $crate::abi::argument::Argument::show(&argument, memory, out)?;
                let _ = stringify!($argument);
            })*
            let _ = (separator, memory, out);
            Ok(())
        }
    };
}

pub(crate) use {at_once, for_thread, in_time, is_context, show, system_calls, take};

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Fails if a number or a name is in `table` twice.
    pub(crate) fn assert_unique(table: &[Entry]) {
        let numbers: HashSet<_> = table.iter().map(|entry| entry.number).collect();
        let names: HashSet<_> = table.iter().map(|entry| entry.name).collect();
        assert_eq!((numbers.len(), names.len()), (table.len(), table.len()));
    }
}
