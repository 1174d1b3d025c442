//! How what a program writes comes to a terminal, at either side.

use crate::{
    errno::{Errno, SysResult},
    vfs::IoSrc,
};

/// Gives `src` to `take` in pieces until one is not taken whole. `EAGAIN` when nothing was taken although there is something.
pub(super) fn write_pieces(
    src: &mut IoSrc<'_>,
    mut take: impl FnMut(&[u8]) -> SysResult<usize>,
) -> SysResult {
    let mut done = 0;
    while src.remaining() > 0 {
        let mut bytes = [0; 2048];
        // From a copy: what is not taken is read once more.
        let count = match src.clone().read(&mut bytes) {
            Ok(count) => count,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        };
        let taken = take(bytes.get(..count).unwrap_or_default())?;
        src.skip(taken);
        done += taken;
        if taken < count {
            break;
        }
    }
    if done == 0 && src.remaining() > 0 { Err(Errno::EAGAIN) } else { Ok(done) }
}
