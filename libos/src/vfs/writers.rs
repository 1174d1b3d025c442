//! Who may write to a file that runs, and run one that is written to: nobody (`ETXTBSY`).
//!
//! The one idea: one number per inode, above zero how often it is open for writing, below how often it is run; each side is refused
//! while the other is there. (`i_writecount` of Linux.)

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use super::inode::Inode;
use crate::errno::{Errno, SysResult};

/// The number, of an inode.
#[derive(Debug, Default)]
pub struct Writers(AtomicI32);

impl Writers {
    /// Adds `step` unless the other side is there.
    fn enter(&self, step: i32) -> SysResult<()> {
        let add = |now: i32| if now * step >= 0 { now.checked_add(step) } else { None };
        self.0.try_update(Ordering::AcqRel, Ordering::Relaxed, add).map_err(|_| Errno::ETXTBSY)?;
        Ok(())
    }
}

/// A use of an inode that the other kind of use excludes; it ends when this is dropped.
pub struct Use {
    inode: Arc<dyn Inode>,
    step: i32,
}

impl Use {
    fn new(inode: &Arc<dyn Inode>, step: i32) -> SysResult<Option<Self>> {
        let Some(writers) = inode.writers() else { return Ok(None) };
        writers.enter(step)?;
        Ok(Some(Self { inode: Arc::clone(inode), step }))
    }

    /// Writing to it; `None` for what can not be run. `ETXTBSY`.
    pub fn write(inode: &Arc<dyn Inode>) -> SysResult<Option<Self>> {
        Self::new(inode, 1)
    }

    /// Running it. `ETXTBSY`.
    pub fn run(inode: &Arc<dyn Inode>) -> SysResult<Option<Self>> {
        Self::new(inode, -1)
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        if let Some(writers) = self.inode.writers() {
            writers.0.fetch_sub(self.step, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_side_keeps_the_other_out_until_its_last_has_left() {
        let writers = Writers::default();
        assert_eq!((writers.enter(1), writers.enter(1)), (Ok(()), Ok(())));
        assert_eq!(writers.enter(-1), Err(Errno::ETXTBSY));
        writers.0.fetch_sub(2, Ordering::Relaxed);
        assert_eq!((writers.enter(-1), writers.enter(1)), (Ok(()), Err(Errno::ETXTBSY)));
    }
}
