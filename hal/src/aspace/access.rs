//! The kernel's access to guest memory: copies, strings and atomic words.
//!
//! Reads take no lock: they look the page up in the run cache, copy through the linear map, and
//! look whether the table has changed meanwhile. Writes hold the table's read lock, so that a page
//! cannot be given to someone else under them; the lock favours the first thread of the guest (see
//! [`BiasedRwLock`](crate::sync::BiasedRwLock)), which most guests have no more than. An access that crosses runs goes run by run and
//! reports the first byte that it could not reach.

use std::{
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{Access, AddressSpace, Fault, MapFlags, PAGE, State, cache::Hit};
use crate::{
    host::{HostError, HostFile},
    pmem::PhysAddr,
};

/// Why [`AddressSpace::read_file`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStop {
    /// Everything was read.
    Full,
    /// The file ends there, or the host has no more of it in memory: the next read tells which.
    Short,
    /// Guest memory that could not be written.
    Fault(Fault),
    /// The host's error; [`would_block`](HostError::would_block) asks for a read that may wait.
    Host(HostError),
}

impl AddressSpace {
    /// What is at `va`, for a caller that holds the lock.
    #[inline]
    fn locate(&self, state: &State, va: u64, access: Access) -> Result<Hit, Fault> {
        // Stable while the caller holds the lock.
        let generation = self.generation.now();
        let hit = match self.cache.get(va, generation) {
            Some(hit) => hit,
            None => match state.table.find(va) {
                Some(run) if !run.flags.contains(MapFlags::RESERVED) => {
                    self.cache.put(va, &run, generation);
                    Hit { pa: run.translate(va), len: run.range.end - va, prot: run.prot }
                }
                _ => return Err(Fault { addr: va, access, present: false }),
            },
        };
        if hit.prot.allows(access) {
            Ok(hit)
        } else {
            Err(Fault { addr: va, access, present: true })
        }
    }

    /// Calls `each(pa, offset, len)` for the physically contiguous pieces of a range, holding the
    /// lock.
    fn walk(
        &self,
        va: u64,
        len: u64,
        access: Access,
        mut each: impl FnMut(PhysAddr, u64, u64),
    ) -> Result<(), Fault> {
        self.state.with(|state| {
            let mut done = 0;
            while done < len {
                let at = va.checked_add(done).ok_or(Fault { addr: va, access, present: false })?;
                let hit = self.locate(state, at, access)?;
                let piece = hit.len.min(len - done);
                each(hit.pa, done, piece);
                done += piece;
            }
            Ok(())
        })
    }

    /// Calls `store` with the address of a range that is writable as a whole, according to the run cache, holding the lock; false
    /// when it is not or is not known to be.
    #[inline]
    fn with_cached(&self, va: u64, len: u64, store: impl FnOnce(PhysAddr)) -> bool {
        self.state.with(|_| {
            // Stable while the lock is held.
            let generation = self.generation.now();
            match self.cache.get(va, generation) {
                Some(hit) if hit.len >= len && hit.prot.allows(Access::Write) => {
                    store(hit.pa);
                    true
                }
                _ => false,
            }
        })
    }

    /// Copies guest memory to `buf`.
    ///
    /// # Errors
    /// The first byte that cannot be read; the bytes before it have been copied.
    #[inline]
    pub fn read(&self, va: u64, buf: &mut [u8]) -> Result<(), Fault> {
        let generation = self.generation.now();
        if let Some(hit) = self.cache.get(va, generation)
            && hit.len >= buf.len() as u64
            && hit.prot.allows(Access::Read)
        {
            self.memory.read(hit.pa, buf);
            // The bytes count only if the page was still mapped when they were read. An odd
            // generation is never in the cache.
            if self.generation.is_still(generation) {
                return Ok(());
            }
        }
        self.read_slow(va, buf)
    }

    #[cold]
    fn read_slow(&self, va: u64, buf: &mut [u8]) -> Result<(), Fault> {
        let to = buf.as_mut_ptr();
        let len = buf.len() as u64;
        self.walk(va, len, Access::Read, |pa, offset, piece| {
            let from = self.memory.linear(pa, piece);
            // SAFETY: `walk` keeps `offset + piece <= len`, so the target is inside `buf`; the
            // source is in the linear map, which `buf` is not.
            unsafe { ptr::copy_nonoverlapping(from, to.add(offset as usize), piece as usize) }
        })
    }

    /// Copies `buf` to guest memory.
    ///
    /// # Errors
    /// The first byte that cannot be written; the bytes before it have been.
    #[inline]
    pub fn write(&self, va: u64, buf: &[u8]) -> Result<(), Fault> {
        if self.with_cached(va, buf.len() as u64, |pa| self.memory.write(pa, buf)) {
            return Ok(());
        }
        self.write_slow(va, buf)
    }

    #[cold]
    fn write_slow(&self, va: u64, buf: &[u8]) -> Result<(), Fault> {
        self.walk(va, buf.len() as u64, Access::Write, |pa, offset, piece| {
            let to = self.memory.linear(pa, piece);
            // SAFETY: as in `read_slow`, with the roles exchanged.
            unsafe {
                ptr::copy_nonoverlapping(buf.as_ptr().add(offset as usize), to, piece as usize);
            }
        })
    }

    /// Writes zeroes to guest memory.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn zero(&self, va: u64, len: u64) -> Result<(), Fault> {
        if self.with_cached(va, len, |pa| self.memory.zero(pa, len)) {
            return Ok(());
        }
        self.walk(va, len, Access::Write, |pa, _, piece| self.memory.zero(pa, piece))
    }

    /// The bytes from `va` up to a NUL, which is left out, at most `max` of them: a result of `max`
    /// bytes means that there was no NUL among them.
    ///
    /// # Errors
    /// The first byte that cannot be read, if no NUL comes before it.
    pub fn read_cstr(&self, va: u64, max: usize) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        let mut chunk = [0u8; 256];
        let mut at = va;
        while bytes.len() < max {
            // Never past the end of a page, where the string may stop being readable.
            let to_page_end = (PAGE - at % PAGE) as usize;
            let len = chunk.len().min(to_page_end).min(max - bytes.len());
            let Some(part) = chunk.get_mut(..len) else { break };
            self.read(at, part)?;
            if let Some(nul) = part.iter().position(|&byte| byte == 0) {
                bytes.extend(part.iter().take(nul));
                return Ok(bytes);
            }
            bytes.extend_from_slice(part);
            at = at.checked_add(len as u64).ok_or(Fault {
                addr: at,
                access: Access::Read,
                present: false,
            })?;
        }
        Ok(bytes)
    }

    /// Copies physical memory to guest memory, without a bounce.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn copy_from_pmem(&self, va: u64, pa: PhysAddr, len: u64) -> Result<(), Fault> {
        self.walk(va, len, Access::Write, |to, offset, piece| {
            self.memory.copy(to, pa.offset(offset), piece);
        })
    }

    /// Copies guest memory to physical memory, without a bounce.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn copy_to_pmem(&self, va: u64, pa: PhysAddr, len: u64) -> Result<(), Fault> {
        self.walk(va, len, Access::Read, |from, offset, piece| {
            self.memory.copy(pa.offset(offset), from, piece);
        })
    }

    /// Reads a host file from `offset` on straight into guest memory, as far as the host has it in
    /// memory: the page table is locked meanwhile, so it does not wait for a disk. Returns how many
    /// bytes came, and why there were not more.
    pub fn read_file(&self, va: u64, len: u64, file: &HostFile, offset: u64) -> (u64, ReadStop) {
        let access = Access::Write;
        let state = self.state.read();
        let mut done = 0;
        while done < len {
            let Some(at) = va.checked_add(done) else {
                return (done, ReadStop::Fault(Fault { addr: va, access, present: false }));
            };
            let hit = match self.locate(&state, at, access) {
                Ok(hit) => hit,
                Err(fault) => return (done, ReadStop::Fault(fault)),
            };
            let piece = hit.len.min(len - done);
            let from = offset.saturating_add(done);
            match file.try_read_into_pmem(&self.memory, hit.pa, from, piece) {
                Ok(some) => {
                    done += some;
                    if some < piece {
                        return (done, ReadStop::Short);
                    }
                }
                Err(error) => return (done, ReadStop::Host(error)),
            }
        }
        (done, ReadStop::Full)
    }

    /// The physical pieces behind a guest range, for host input and output without a bounce:
    /// (address, bytes) in order. They stay valid only as long as the caller knows that the range
    /// stays mapped.
    ///
    /// # Errors
    /// The first byte that does not allow `access`.
    pub fn pieces(&self, va: u64, len: u64, access: Access) -> Result<Vec<(PhysAddr, u64)>, Fault> {
        let mut pieces = Vec::new();
        self.walk(va, len, access, |pa, _, piece| pieces.push((pa, piece)))?;
        Ok(pieces)
    }

    /// Calls `operate` on the aligned word at `va`, holding the lock.
    fn with_word<T>(
        &self,
        va: u64,
        access: Access,
        operate: impl FnOnce(&AtomicU32) -> T,
    ) -> Result<T, Fault> {
        if !va.is_multiple_of(4) {
            return Err(Fault { addr: va, access, present: true });
        }
        // An aligned word does not cross a page, so neither a run.
        self.state.with(|state| {
            let hit = self.locate(state, va, access)?;
            Ok(operate(self.memory.atomic_u32(hit.pa)))
        })
    }

    /// Atomically loads the word at `va`.
    ///
    /// # Errors
    /// If it cannot be read or is not aligned to its size; so for all atomic accesses.
    #[inline]
    pub fn load_u32(&self, va: u64) -> Result<u32, Fault> {
        let generation = self.generation.now();
        if va.is_multiple_of(4)
            && let Some(hit) = self.cache.get(va, generation)
            && hit.prot.allows(Access::Read)
        {
            let value = self.memory.atomic_u32(hit.pa).load(Ordering::SeqCst);
            if self.generation.is_still(generation) {
                return Ok(value);
            }
        }
        self.with_word(va, Access::Read, |word| word.load(Ordering::SeqCst))
    }

    /// Atomically stores a word.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn store_u32(&self, va: u64, value: u32) -> Result<(), Fault> {
        self.with_word(va, Access::Write, |word| word.store(value, Ordering::SeqCst))
    }

    /// Atomically replaces the word if it is `current`: `Ok(Ok(old))` if it was, `Ok(Err(actual))`
    /// if not.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn compare_exchange_u32(
        &self,
        va: u64,
        current: u32,
        new: u32,
    ) -> Result<Result<u32, u32>, Fault> {
        self.with_word(va, Access::Write, |word| {
            word.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
        })
    }

    /// Atomically replaces the word by `update` of it; returns the old value.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn fetch_update_u32(
        &self,
        va: u64,
        mut update: impl FnMut(u32) -> u32,
    ) -> Result<u32, Fault> {
        self.with_word(va, Access::Write, |word| {
            let mut old = word.load(Ordering::SeqCst);
            loop {
                let new = update(old);
                match word.compare_exchange_weak(old, new, Ordering::SeqCst, Ordering::SeqCst) {
                    Ok(_) => return old,
                    Err(actual) => old = actual,
                }
            }
        })
    }

    /// Where the byte at `va` is in physical memory, if it can be read: the key of a shared futex.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn translate(&self, va: u64, access: Access) -> Result<PhysAddr, Fault> {
        self.state.with(|state| self.locate(state, va, access).map(|hit| hit.pa))
    }
}
