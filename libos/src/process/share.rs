//! What a thread shares with others until it wants its own: unshare(2).
//!
//! The one idea: a thread's descriptors and directories are looked at with every call and exchanged hardly ever, so what came instead of
//! them hangs behind them in a list: looking costs one load more than a plain `Arc`, and nothing is locked or counted.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use crate::errno::{Errno, SysResult};

/// How often one thread may exchange what it shares: what it had remains with it, which must not be used to fill the kernel's memory.
const EXCHANGES: usize = 256;

/// An `Arc` that its owner may exchange for another one. What it can is no method, since it stands for what it shares.
pub struct Share<T> {
    value: Arc<T>,
    instead: OnceLock<Box<Self>>,
}

impl<T> Share<T> {
    /// Shares `value`.
    pub fn new(value: Arc<T>) -> Self {
        Self { value, instead: OnceLock::new() }
    }

    fn last(&self) -> &Self {
        let mut last = self;
        while let Some(next) = last.instead.get() {
            last = next;
        }
        last
    }

    /// What is shared now.
    pub fn get(share: &Self) -> &Arc<T> {
        &share.last().value
    }

    /// Has `value` instead from now on; `ENOSPC` when that was done too often. To be called by the thread itself.
    pub fn replace(share: &Self, value: Arc<T>) -> SysResult<()> {
        let mut exchanges = 0;
        let mut last = share;
        while let Some(next) = last.instead.get() {
            last = next;
            exchanges += 1;
        }
        if exchanges >= EXCHANGES {
            return Err(Errno::ENOSPC);
        }
        last.instead.set(Box::new(Self::new(value))).map_err(|_| Errno::EAGAIN)
    }
}

impl<T> Deref for Share<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.last().value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_counts_and_there_is_an_end_to_it() {
        let share = Share::new(Arc::new(0));
        for number in 1..=EXCHANGES {
            assert_eq!(Share::replace(&share, Arc::new(number)), Ok(()));
            assert_eq!((*share, **Share::get(&share)), (number, number));
        }
        assert_eq!(Share::replace(&share, Arc::new(0)), Err(Errno::ENOSPC));
        assert_eq!(*share, EXCHANGES);
    }
}
