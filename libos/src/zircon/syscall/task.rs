//! Processes and threads: how they end.

use kernel_objects::Result;

use crate::zircon::Thread;

/// zx_process_exit
pub(super) fn process_exit(thread: &Thread, retcode: i64) -> Result {
    thread.object.exit();
    thread.process().exit(retcode);
    Ok(())
}

/// zx_thread_exit
pub(super) fn thread_exit(thread: &Thread) -> Result {
    thread.object.exit();
    Ok(())
}
