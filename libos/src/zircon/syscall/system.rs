//! What is the system's and no object's: random numbers, and how scarce memory is.

use std::sync::Arc;

use kernel_objects::{Error, Handle, Job, Result, Rights, task::BlockedReason};

use super::argument::{In, Out};
use crate::{
    abi::argument::{GuestBytes, UserPtr},
    zircon::{
        Thread,
        abi::{Void, ZxHandle, constants::*},
        pressure::{Level, Pressure},
    },
};

/// How many bytes are drawn before others get a turn.
const PIECE: usize = 64 << 10;

/// zx_system_get_event
pub(super) fn get_event(
    thread: &Thread,
    root_job: ZxHandle,
    kind: u32,
    event: Out<ZxHandle>,
) -> Result {
    let level = match kind {
        ZX_SYSTEM_EVENT_OUT_OF_MEMORY => Level::OutOfMemory,
        ZX_SYSTEM_EVENT_MEMORY_PRESSURE_CRITICAL => Level::Critical,
        ZX_SYSTEM_EVENT_MEMORY_PRESSURE_WARNING => Level::Warning,
        ZX_SYSTEM_EVENT_MEMORY_PRESSURE_NORMAL => Level::Normal,
        ZX_SYSTEM_EVENT_IMMINENT_OUT_OF_MEMORY => Level::ImminentOutOfMemory,
        _ => return Err(Error::InvalidArgs),
    };
    let job = thread.get::<Job>(root_job, Rights::MANAGE_PROCESS)?;
    if !Arc::ptr_eq(&job, &thread.machine().kernel.job) {
        return Err(Error::AccessDenied);
    }
    // It is not for programs to signal.
    let found = Pressure::event(thread.machine(), level);
    thread.give([(Handle::with_rights(found, Rights::BASIC), event)])
}

/// zx_cprng_add_entropy: the host's generator takes it.
pub(super) async fn cprng_add_entropy(
    thread: &Thread,
    buffer: In<Void>,
    buffer_size: usize,
) -> Result {
    if buffer_size > ZX_CPRNG_ADD_ENTROPY_MAX_LEN {
        return Err(Error::InvalidArgs);
    }
    let bytes = UserPtr::<u8>::new(buffer.0.addr()).read_slice(thread.vmar(), buffer_size)?;
    hal::random::add_entropy(&bytes).map_err(|_| Error::NotSupported)
}

/// zx_cprng_draw. (C has it without a result; one that gives a bad pointer gets no random numbers.)
pub(super) async fn cprng_draw(thread: &Thread, buffer: Out<Void>, buffer_size: usize) -> Result {
    let mut piece = vec![0; buffer_size.min(PIECE)];
    let mut done = 0;
    while done < buffer_size {
        let len = (buffer_size - done).min(PIECE);
        let part = piece.get_mut(..len).unwrap_or_default();
        hal::random::fill(part);
        let at = UserPtr::<u8>::new(buffer.0.addr().saturating_add(done as u64));
        thread.vmar().write_bytes(at.addr(), part)?;
        thread.blocked(BlockedReason::Pager, thread.vmar().deliver()).await?;
        done += len;
        if done < buffer_size {
            hal::cpu::yield_now().await;
        }
    }
    Ok(())
}
