//! Words of a tracee's memory.

use std::sync::Arc;

use crate::{
    errno::{Errno, SysResult},
    memory::UserMemory,
};

/// The word at `addr`, aligned or not, readable or not; `EIO`.
pub(super) fn peek(memory: &UserMemory, addr: u64) -> SysResult<u64> {
    let mut word = [0; 8];
    match memory.read_by_force(addr, &mut word) {
        8 => Ok(u64::from_le_bytes(word)),
        _ => Err(Errno::EIO),
    }
}

/// Writes the word at `addr`, writable or not; `EIO`.
pub(super) fn poke(memory: &Arc<UserMemory>, addr: u64, word: u64) -> SysResult<()> {
    match memory.write_by_force(addr, &word.to_le_bytes()) {
        8 => Ok(()),
        _ => Err(Errno::EIO),
    }
}
