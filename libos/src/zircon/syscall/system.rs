//! What is the system's and no object's: random numbers, how scarce memory is, and the switch.

use std::sync::Arc;

use kernel_objects::{
    Error, Handle, Job, Resource, Result, Rights,
    resource::{ResourceKind, SystemBase},
    task::{BlockedReason, PolicyCondition},
};

use super::argument::{In, Out};
use crate::{
    abi::argument::{GuestBytes, UserPtr},
    zircon::{
        Thread,
        abi::{Void, ZxDuration, ZxHandle, constants::*},
        pressure::{Level, Pressure},
        stall::{self, MAX_WINDOW, Stall},
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

/// zx_system_watch_memory_stall
pub(super) fn watch_memory_stall(
    thread: &Thread,
    resource: ZxHandle,
    kind: u32,
    threshold: ZxDuration,
    window: ZxDuration,
    event: Out<ZxHandle>,
) -> Result {
    let resource = thread.get::<Resource>(resource, Rights::empty())?;
    resource.validate(ResourceKind::System, SystemBase::Stall as u64, 1)?;
    let stall = match kind {
        ZX_SYSTEM_MEMORY_STALL_SOME => Stall::Some,
        ZX_SYSTEM_MEMORY_STALL_FULL => Stall::Full,
        _ => return Err(Error::InvalidArgs),
    };
    let (threshold, window) = (threshold.0, window.0);
    if threshold <= 0 || threshold > window || window.unsigned_abs() > MAX_WINDOW {
        return Err(Error::InvalidArgs);
    }
    thread.policy(PolicyCondition::NewEvent)?;
    let machine = thread.machine();
    let found = stall::watch(machine, stall, threshold.unsigned_abs(), window.unsigned_abs());
    // It is not for programs to signal.
    thread.give([(Handle::with_rights(found, Rights::BASIC), event)])
}

/// zx_system_powerctl
pub(super) fn powerctl(thread: &Thread, resource: ZxHandle, cmd: u32, _arg: In<Void>) -> Result {
    thread.get::<Resource>(resource, Rights::empty())?.validate_system(SystemBase::Power)?;
    match cmd {
        ZX_SYSTEM_POWERCTL_SHUTDOWN => {
            thread.machine().shut_down();
            Ok(())
        }
        ZX_SYSTEM_POWERCTL_ENABLE_ALL_CPUS
        | ZX_SYSTEM_POWERCTL_DISABLE_ALL_CPUS_BUT_PRIMARY
        | ZX_SYSTEM_POWERCTL_ACPI_TRANSITION_S_STATE
        | ZX_SYSTEM_POWERCTL_X86_SET_PKG_PL1
        | ZX_SYSTEM_POWERCTL_REBOOT
        | ZX_SYSTEM_POWERCTL_REBOOT_BOOTLOADER
        | ZX_SYSTEM_POWERCTL_REBOOT_RECOVERY => Err(Error::NotSupported),
        // The kernel never asks for one.
        ZX_SYSTEM_POWERCTL_ACK_KERNEL_INITIATED_REBOOT => Err(Error::BadState),
        _ => Err(Error::InvalidArgs),
    }
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
