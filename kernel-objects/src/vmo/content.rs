//! Copying a VMO's bytes out and in: to kernel buffers and, without a bounce, to guest memory.

use std::ops::{ControlFlow, Range};

use hal::{
    aspace::{AddressSpace, Fault},
    pmem::PhysAddr,
};

use super::{PageRun, Vmo};
use crate::error::{Error, Result};

/// Why a copy between a VMO and guest memory stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The VMO's side.
    #[error(transparent)]
    Vmo(#[from] Error),
    /// The guest's side; everything before the address has been copied.
    #[error(transparent)]
    Guest(#[from] Fault),
}

impl Vmo {
    /// Calls `each(offset, pa, len)` for consecutive pieces that cover `range`, making pages
    /// present on the way. Pages do not go away during a call.
    pub(super) fn access<E: From<Error>>(
        &self,
        range: Range<u64>,
        write: bool,
        mut each: impl FnMut(u64, PhysAddr, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let (owner, base) = self.owner();
        let mut at = range.start;
        let done = loop {
            if at >= range.end {
                break Ok(());
            }
            let mut result = Ok(());
            let _ = self.for_each_present(at..range.end, &mut |run| {
                if run.offset != at || (write && !run.writable) {
                    return ControlFlow::Break(());
                }
                result = each(run.offset, run.pa, run.len);
                if result.is_err() {
                    return ControlFlow::Break(());
                }
                if write {
                    owner.note_hot(&PageRun { offset: base + run.offset, ..run });
                }
                at += run.len;
                ControlFlow::Continue(())
            });
            if at < range.end && result.is_ok() {
                result = self.prepare(at, write).map_err(E::from);
            }
            if result.is_err() {
                break result;
            }
        };
        if write && range.start < at {
            self.note_modified();
        }
        done
    }

    /// Calls `each(offset, pa, len)` for consecutive pieces that cover `range`, without a place for those that are zero for never
    /// having been touched: reading has the host hold no more than it does. Pages do not go away during a call.
    fn look<E: From<Error>>(
        &self,
        range: Range<u64>,
        mut each: impl FnMut(u64, Option<PhysAddr>, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let (owner, base) = self.owner();
        let mut at = range.start;
        while at < range.end {
            let mut result = Ok(());
            let _ = self.visit(at..range.end, &mut |run, place| {
                if run.offset > at {
                    if !self.is_zero(at) {
                        return ControlFlow::Break(());
                    }
                    result = each(at, None, run.offset - at);
                }
                if result.is_ok() {
                    result = match place {
                        None => each(run.offset, Some(run.pa), run.len),
                        Some((piece, part)) => piece.touched(part.clone(), |here, touched| {
                            let pa = touched.then(|| piece.pa().offset(here.start));
                            let (offset, len) =
                                (run.offset + (here.start - part.start), here.end - here.start);
                            if let Some(pa) = pa {
                                owner.note_hot(&PageRun { offset: base + offset, pa, len, ..run });
                            }
                            each(offset, pa, len)
                        }),
                    };
                }
                if result.is_err() {
                    return ControlFlow::Break(());
                }
                at = run.offset + run.len;
                ControlFlow::Continue(())
            });
            result?;
            if at >= range.end {
                break;
            }
            self.check(at, range.end - at)?;
            if !self.is_zero(at) {
                self.prepare(at, false)?;
                continue;
            }
            each(at, None, range.end - at)?;
            break;
        }
        Ok(())
    }

    /// Copies bytes out (`zx_vmo_read`).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the range passes the end, [`Error::NotSupported`] for a physical VMO, [`Error::BadState`] for one
    /// that is not cached; or as [`prepare`](Self::prepare).
    pub fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        // All of the run that was found last is inside of the VMO.
        let last = offset..offset.wrapping_add(buf.len() as u64);
        if self.is_anonymous() && self.read_hot(&last, |pa| self.memory.read(pa, buf)) {
            return Ok(());
        }
        self.read_anywhere(offset, buf)
    }

    /// As [`read`](Self::read). Apart from it, so that the fast way needs no room for what this does.
    #[cold]
    fn read_anywhere(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check_direct()?;
        let range = self.check(offset, buf.len() as u64)?;
        let (owner, base) = self.owner();
        let place = base + range.start..base + range.end;
        if owner.read_hot(&place, |pa| self.memory.read(pa, buf)) {
            return Ok(());
        }
        self.look(range, |at, pa, len| {
            let from = (at - offset) as usize;
            let part = buf.get_mut(from..from + len as usize).ok_or(Error::Internal)?;
            match pa {
                Some(pa) => self.memory.read(pa, part),
                None => part.fill(0),
            }
            Ok(())
        })
    }

    /// Copies bytes in (`zx_vmo_write`).
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Error::AccessDenied`] if it may not be written to.
    pub fn write(&self, offset: u64, buf: &[u8]) -> Result<()> {
        let last = offset..offset.wrapping_add(buf.len() as u64);
        if self.is_anonymous()
            && self.writable
            && self.write_hot(&last, |pa| self.memory.write(pa, buf))
        {
            return Ok(());
        }
        self.write_anywhere(offset, buf)
    }

    /// As [`write`](Self::write).
    #[cold]
    fn write_anywhere(&self, offset: u64, buf: &[u8]) -> Result<()> {
        self.check_direct()?;
        let range = self.check(offset, buf.len() as u64)?;
        self.check_writable()?;
        let (owner, base) = self.owner();
        let place = base + range.start..base + range.end;
        if owner.write_hot(&place, |pa| self.memory.write(pa, buf)) {
            self.note_modified();
            return Ok(());
        }
        self.access(range, true, |at, pa, len| {
            let from = (at - offset) as usize;
            let part = buf.get(from..from + len as usize).ok_or(Error::Internal)?;
            self.memory.write(pa, part);
            Ok(())
        })
    }

    /// Copies bytes to guest memory without a bounce. `Vmar::copy_from_vmo` resolves the guest's
    /// faults.
    ///
    /// # Errors
    /// As [`read`](Self::read), or the guest's fault.
    pub fn copy_to_guest(
        &self,
        offset: u64,
        space: &AddressSpace,
        va: u64,
        len: u64,
    ) -> Result<(), CopyError> {
        self.check_direct()?;
        let range = self.check(offset, len)?;
        self.look(range, |at, pa, len| {
            let to = va.wrapping_add(at - offset);
            match pa {
                Some(pa) => space.copy_from_pmem(to, pa, len)?,
                None => space.zero(to, len)?,
            }
            Ok(())
        })
    }

    /// Copies bytes from guest memory without a bounce. `Vmar::copy_to_vmo` resolves the guest's
    /// faults.
    ///
    /// # Errors
    /// As [`write`](Self::write), or the guest's fault.
    pub fn copy_from_guest(
        &self,
        offset: u64,
        space: &AddressSpace,
        va: u64,
        len: u64,
    ) -> Result<(), CopyError> {
        self.check_direct()?;
        let range = self.check(offset, len)?;
        self.check_writable()?;
        self.access(range, true, |at, pa, len| {
            Ok(space.copy_to_pmem(va.wrapping_add(at - offset), pa, len)?)
        })
    }
}
