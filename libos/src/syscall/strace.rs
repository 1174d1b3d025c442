//! How a Linux thread's calls look in what [strace](crate::abi::strace) and a [trace](crate::trace) show.

use std::{
    fmt::{self, Write},
    sync::Arc,
};

use kernel_objects::Vmar;

pub use crate::abi::strace::Log;
pub(crate) use crate::abi::strace::enter;
use crate::{
    abi::{strace::Traced, table::Entry},
    errno::Errno,
    process::Thread,
    syscall::table,
    trace::{Abi, Door, Outcome, Recorded, Recorder, Trace, Who},
};

/// exit(2) and exit_group(2).
const WITHOUT_RETURN: [u64; 2] = [60, 231];

impl Traced for Thread {
    type Error = Errno;

    fn log(&self) -> Option<&Log> {
        self.process.kernel.strace.as_ref()
    }

    fn id(&self) -> u64 {
        self.tid.unsigned_abs().into()
    }

    fn memory(&self) -> &Vmar {
        self.memory.vmar()
    }

    fn entry(number: u64) -> Option<&'static Entry> {
        table::entry(number)
    }

    fn ends_thread(number: u64) -> bool {
        WITHOUT_RETURN.contains(&number)
    }

    fn show_result(result: &Result<u64, Errno>, out: &mut dyn Write) -> fmt::Result {
        match result {
            Ok(value) if (*value as i64) < 0 || *value < 1 << 16 => {
                write!(out, "{}", *value as i64)
            }
            Ok(value) => write!(out, "{value:#x}"),
            Err(error) if error.is_restart() => write!(out, "? {error}"),
            Err(error) => write!(out, "-1 {error}"),
        }
    }
}

impl Recorded for Thread {
    const ABI: Abi = Abi::Linux;

    fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.process.kernel.trace.as_ref().map(Trace::recorder)
    }

    fn who(&self) -> Who {
        Who { pid: self.process.pid.unsigned_abs(), tid: self.tid.unsigned_abs() }
    }

    fn door(&self) -> Door {
        Door::of(self.memory.address_space())
    }

    fn outcome(result: &Result<u64, Errno>) -> Outcome {
        Outcome::Linux(*result)
    }
}
