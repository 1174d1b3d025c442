//! What is the system's and no object's: random numbers.

use kernel_objects::{Result, task::BlockedReason};

use super::argument::Out;
use crate::{
    abi::argument::{GuestBytes, UserPtr},
    zircon::{Thread, abi::Void},
};

/// How many bytes are drawn before others get a turn.
const PIECE: usize = 64 << 10;

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
