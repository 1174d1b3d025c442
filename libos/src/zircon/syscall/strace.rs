//! How a Zircon thread's calls look in a [trace](crate::abi::strace).

use std::fmt::{self, Write};

use kernel_objects::{Error, KernelObject, Vmar};

use crate::{
    abi::{
        strace::{Log, Traced},
        table::Entry,
    },
    zircon::{Thread, syscall::table},
};

impl Traced for Thread {
    type Error = Error;

    fn log(&self) -> Option<&Log> {
        self.machine().kernel.strace.as_ref()
    }

    fn id(&self) -> u64 {
        self.object.koid()
    }

    fn memory(&self) -> &Vmar {
        self.vmar()
    }

    fn entry(number: u64) -> Option<&'static Entry> {
        table::entry(number)
    }

    fn ends_thread(number: u64) -> bool {
        table::entry(number).is_some_and(|entry| entry.name.ends_with("_exit"))
    }

    fn show_result(result: &Result<u64, Error>, out: &mut dyn Write) -> fmt::Result {
        match result {
            Ok(0) => out.write_str("ZX_OK"),
            Ok(value) => write!(out, "{value}"),
            Err(error) => out.write_str(error.name()),
        }
    }
}
