//! Fences that one thread pays for and the others get: membarrier(2).
//!
//! The one idea: the fence is the host's own. Its quick one reaches the threads of one host process, which is where the guest's run when it is not
//! isolated; all else has the slow one, which reaches every thread of the machine.

use std::sync::atomic::Ordering;

use crate::{
    errno::{Errno, SysResult},
    process::Thread,
    syscall::argument::Flags,
};

const QUERY: u32 = 0;
const GLOBAL: u32 = 1;
const GLOBAL_EXPEDITED: u32 = 2;
const REGISTER_GLOBAL_EXPEDITED: u32 = 4;
const PRIVATE_EXPEDITED: u32 = 8;
const REGISTER_PRIVATE_EXPEDITED: u32 = 16;

/// membarrier(2): `EPERM` before the process has registered for the private command, as on Linux.
pub(crate) async fn membarrier(
    thread: &Thread,
    command: u32,
    flags: Flags,
    _cpu: i32,
) -> SysResult<u32> {
    let registered = &thread.process.membarrier;
    if flags.0 != 0 {
        return Err(Errno::EINVAL);
    }
    match command {
        QUERY => {
            let global = GLOBAL | GLOBAL_EXPEDITED | REGISTER_GLOBAL_EXPEDITED;
            return Ok(global | PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED);
        }
        // The slow fence asks nobody whether it wants one.
        REGISTER_GLOBAL_EXPEDITED => {}
        REGISTER_PRIVATE_EXPEDITED => registered.store(true, Ordering::Relaxed),
        PRIVATE_EXPEDITED if !registered.load(Ordering::Relaxed) => return Err(Errno::EPERM),
        PRIVATE_EXPEDITED if !thread.memory.address_space().is_isolated() => {
            hal::context::barrier_all();
        }
        GLOBAL | GLOBAL_EXPEDITED | PRIVATE_EXPEDITED => {
            if !thread.off_cpu(hal::context::barrier_everywhere).await {
                return Err(Errno::EINVAL);
            }
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}
