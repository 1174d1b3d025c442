//! The memory that a thread's pointers point into, some pages of which a pager may have.
//!
//! The one idea: a handler never waits for such a page. What it could not *read* is noted, and the call, which fails for that before it has
//! done anything, is done again when the page is there. What it could not *write* is put off until then: the call has done what it is
//! for, and only the result is to be delivered. So each call has its effect once, and handlers know nothing of pagers.

use std::{
    ops::{Deref, Range},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hal::aspace::{Access, Fault};
use kernel_objects::{Error, Result, Vmar};
use parking_lot::Mutex;

use crate::abi::argument::GuestBytes;

/// Attempts at one address where the page is there each time, and gone again when it is used.
const RETRIES: usize = 64;
const PAGE: u64 = hal::pmem::PAGE_SIZE as u64;

/// The root VMAR of a process, and what a call of one of its threads has left to do there.
pub struct Memory {
    vmar: Arc<Vmar>,
    /// Whether there is anything in `left`: asked after each call.
    waits: AtomicBool,
    left: Mutex<Left>,
}

#[derive(Default)]
struct Left {
    /// What could not be read, or may not be written yet.
    lack: Option<(Range<u64>, Access)>,
    /// What was put off: where it goes.
    writes: Vec<(u64, Vec<u8>)>,
}

impl Deref for Memory {
    type Target = Vmar;

    fn deref(&self) -> &Vmar {
        &self.vmar
    }
}

impl Memory {
    pub(super) fn new(vmar: Arc<Vmar>) -> Self {
        Self { vmar, waits: AtomicBool::new(false), left: Mutex::default() }
    }

    /// Whether a call has left something to [`settle`](Self::settle).
    pub(super) fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Whether the call could not read something and will be done again, for which it must have had no effect.
    pub fn lacks(&self) -> bool {
        self.waits() && self.left.lock().lack.is_some()
    }

    fn leave(&self, note: impl FnOnce(&mut Left)) {
        note(&mut self.left.lock());
        self.waits.store(true, Ordering::Relaxed);
    }

    /// Whether a copy stopped for want of a page that a pager has.
    fn is_lack(&self, fault: Fault) -> bool {
        // It may have come just now.
        matches!(self.vmar.try_fault(fault.addr, fault.access), Ok(()) | Err(Error::ShouldWait))
    }

    /// Fails, and has the call done again, if a page of what is to be written there is lacking.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`], also for what can never be written.
    pub fn require_writable(&self, va: u64, len: u64) -> Result {
        let end = va.checked_add(len).ok_or(Error::InvalidArgs)?;
        for page in (va / PAGE * PAGE..end).step_by(PAGE as usize) {
            match self.vmar.try_fault(page, Access::Write) {
                Ok(()) => {}
                Err(Error::ShouldWait) => {
                    self.leave(|left| left.lack = Some((va..end, Access::Write)));
                    return Err(Error::InvalidArgs);
                }
                Err(_) => return Err(Error::InvalidArgs),
            }
        }
        Ok(())
    }

    /// Ends a call that came to `result`: waits for the pages that it lacked. `None` when it is to be done again.
    pub(super) async fn settle<T>(&self, result: Result<T>) -> Option<Result<T>> {
        self.waits.store(false, Ordering::Relaxed);
        let Left { lack, writes } = std::mem::take(&mut *self.left.lock());
        let mut result = result;
        for (va, bytes) in writes {
            if let Err(error) = self.write_waiting(va, &bytes).await {
                result = result.and(Err(error));
            }
        }
        match (result, lack) {
            (Err(_), Some((range, access))) if self.fetch(&range, access).await.is_ok() => None,
            (result, _) => Some(result),
        }
    }

    /// Delivers what was put off until now.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] if it can not be written.
    pub async fn deliver(&self) -> Result {
        if !self.waits() {
            return Ok(());
        }
        self.settle(Ok(())).await.unwrap_or(Ok(()))
    }

    async fn fetch(&self, range: &Range<u64>, access: Access) -> Result {
        let mut at = range.start;
        while at < range.end {
            self.vmar.fault_async(at, access).await?;
            at = (at / PAGE + 1).saturating_mul(PAGE);
        }
        Ok(())
    }

    async fn write_waiting(&self, va: u64, bytes: &[u8]) -> Result {
        let (mut done, mut retries) = (0, 0);
        loop {
            let at = va.saturating_add(done as u64);
            let Err(fault) = self.vmar.write(at, bytes.get(done..).unwrap_or_default()) else {
                return Ok(());
            };
            let reached = fault.addr.saturating_sub(va) as usize;
            retries = if reached > done { 0 } else { retries + 1 };
            done = reached;
            let resolved = self.vmar.fault_async(fault.addr, fault.access).await;
            if retries > RETRIES || resolved.is_err() {
                return Err(Error::InvalidArgs);
            }
        }
    }
}

impl GuestBytes for Memory {
    type Error = Error;

    fn read_bytes(&self, va: u64, buf: &mut [u8]) -> Result {
        self.vmar.read(va, buf).map_err(|fault| {
            if self.is_lack(fault) {
                let end = va.saturating_add(buf.len() as u64);
                self.leave(|left| left.lack = Some((fault.addr..end, Access::Read)));
            }
            Error::InvalidArgs
        })
    }

    fn write_bytes(&self, va: u64, buf: &[u8]) -> Result {
        let Err(fault) = self.vmar.write(va, buf) else { return Ok(()) };
        let done = fault.addr.saturating_sub(va) as usize;
        match buf.get(done..) {
            Some(rest) if self.is_lack(fault) => {
                self.leave(|left| left.writes.push((fault.addr, rest.to_vec())));
                Ok(())
            }
            _ => Err(Error::InvalidArgs),
        }
    }

    fn no_memory() -> Error {
        Error::NoMemory
    }
}
