//! Restricted mode: entered, left, and where its registers are.

use std::sync::Arc;

use kernel_objects::{Error, Handle, Result, Rights, task::ThreadState};

use super::{argument::Out, no_options, process::check_entry};
use crate::zircon::{
    Thread,
    abi::{ZxHandle, ZxVaddr},
    process::Wish,
    restricted::Return,
};

/// zx_restricted_bind_state
pub(super) fn bind_state(thread: &Thread, options: u32, out: Out<ZxHandle>) -> Result {
    no_options(options)?;
    let vmo = thread.restriction.bind(thread.machine().memory())?;
    thread.give([(Handle::new(vmo), out)]).inspect_err(|_| thread.restriction.unbind())
}

/// zx_restricted_unbind_state
pub(super) fn unbind_state(thread: &Thread, options: u32) -> Result {
    no_options(options)?;
    thread.restriction.unbind();
    Ok(())
}

/// zx_restricted_enter
pub(super) fn enter(thread: &Thread, options: u32, vector: ZxVaddr, context: u64) -> Result {
    no_options(options)?;
    check_entry(thread.process(), vector)?;
    thread.wish(Wish::Restrict(Return { vector: vector.0, context }));
    Ok(())
}

/// zx_restricted_kick
pub(super) fn kick(thread: &Thread, handle: ZxHandle, options: u32) -> Result {
    no_options(options)?;
    let kicked = thread.get::<kernel_objects::Thread>(handle, Rights::MANAGE_THREAD)?;
    let cookie = kicked.cookie().and_then(|cookie| Arc::downcast::<Thread>(cookie).ok());
    let gone = matches!(kicked.info().state, ThreadState::Dying | ThreadState::Dead);
    let known = cookie.filter(|_| !gone).ok_or(Error::BadState)?;
    known.restriction.kick();
    kicked.interrupt();
    Ok(())
}
