//! How a Zircon thread's calls look in what [strace](crate::abi::strace) and a [trace](crate::trace) show.

use std::{
    fmt::{self, Write},
    sync::Arc,
};

use kernel_objects::{Error, KernelObject, Vmar};

use crate::{
    abi::{
        strace::{Log, Traced},
        table::Entry,
    },
    trace::{Abi, Door, Outcome, Recorded, Recorder, Trace, Who},
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

impl Recorded for Thread {
    const ABI: Abi = Abi::Zircon;

    fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.machine().kernel.trace.as_ref().map(Trace::recorder)
    }

    fn who(&self) -> Who {
        let number = |koid| u32::try_from(koid).unwrap_or(u32::MAX);
        Who { pid: number(self.process().koid()), tid: number(self.object.koid()) }
    }

    fn door(&self) -> Door {
        Door::of(self.vmar().aspace())
    }

    fn outcome(result: &Result<u64, Error>) -> Outcome {
        Outcome::Zircon(*result)
    }
}
