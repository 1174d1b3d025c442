//! Discardable VMOs: memory that may be taken away, all of it, while nobody has it locked.
//!
//! Users keep there what they can make again. Whoever uses it locks it, and learns whether it was discarded meanwhile; unlocked,
//! it counts among what is cached, and goes in the order in which it was unlocked when memory is short. It is never discarded
//! before it was unlocked for the first time. Accesses are not kept from memory that is not locked, but once it is discarded
//! they fail until it is locked again.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering},
};

use hal::pmem::{Charge, PhysicalMemory};
use parking_lot::Mutex;

use super::{Kind, Vmo, VmoOptions};
use crate::error::{Error, Result};

/// What is known of a lock: `zx_vmo_lock_state_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockState {
    /// Where what is locked begins.
    pub offset: u64,
    /// How many bytes are locked.
    pub size: u64,
    /// Where what was discarded before begins; 0 if nothing was.
    pub discarded_offset: u64,
    /// How many bytes were discarded; 0 if nothing was.
    pub discarded_size: u64,
}

/// What a discardable VMO has beside others.
pub(super) struct Discard {
    me: Weak<Vmo>,
    /// Its pages are gone, and it has not been locked since. Changed under `state`.
    discarded: AtomicBool,
    state: Mutex<State>,
}

struct State {
    locks: u64,
    /// It is in the list of what can be reclaimed.
    listed: bool,
    /// Of what is cached, while it is unlocked.
    charge: Charge,
}

impl Vmo {
    /// Creates [memory](Self::create) that may be discarded while it is not locked (`ZX_VMO_DISCARDABLE`).
    ///
    /// ```
    /// use hal::pmem::PhysicalMemory;
    /// use kernel_objects::{Error, Vmo, VmoOptions, vmo::RangeOp};
    ///
    /// let memory = PhysicalMemory::new(Some(1 << 20)).unwrap();
    /// let cache = Vmo::create_discardable(&memory, 1 << 19, VmoOptions::default()).unwrap();
    /// cache.lock(0, 1 << 19).unwrap();
    /// cache.write(0, b"what took long to make").unwrap();
    /// cache.op_range(RangeOp::Unlock, 0, 1 << 19).unwrap();
    /// // Somebody needs all that there is.
    /// assert!(memory.reclaim(1 << 20));
    /// assert_eq!(cache.op_range(RangeOp::TryLock, 0, 1 << 19), Err(Error::Unavailable));
    /// assert_eq!(cache.lock(0, 1 << 19).unwrap().discarded_size, 1 << 19);
    /// ```
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_discardable(
        memory: &Arc<PhysicalMemory>,
        size: u64,
        options: VmoOptions,
    ) -> Result<Arc<Self>> {
        let mut vmo = Self::new(memory, size, options, Kind::Anonymous)?;
        let charge = memory.no_cache_charge();
        Ok(Arc::new_cyclic(|me| {
            vmo.discard = Some(Box::new(Discard {
                me: me.clone(),
                discarded: AtomicBool::new(false),
                state: Mutex::new(State { locks: 0, listed: false, charge }),
            }));
            vmo
        }))
    }

    /// Whether it is made to be discarded.
    #[must_use]
    pub fn is_discardable(&self) -> bool {
        self.discard.is_some()
    }

    /// Whether it has been, and not been locked since.
    pub(super) fn is_discarded(&self) -> bool {
        self.discard.as_ref().is_some_and(|discard| discard.discarded.load(Ordering::Acquire))
    }

    fn lockable(&self, offset: u64, len: u64) -> Result<&Discard> {
        let discard = self.discard.as_ref().ok_or(Error::NotSupported)?;
        if offset != 0 || len != self.size() { Err(Error::OutOfRange) } else { Ok(discard) }
    }

    /// Keeps its pages from being discarded until it is [unlocked](Self::unlock) as often, and says what was discarded before:
    /// that is zero (`ZX_VMO_OP_LOCK`). The range is all of the VMO.
    ///
    /// # Errors
    /// [`Error::NotSupported`] if it is not discardable, [`Error::OutOfRange`] for another range.
    pub fn lock(&self, offset: u64, len: u64) -> Result<LockState> {
        let discard = self.lockable(offset, len)?;
        let mut state = discard.state.lock();
        let discarded = discard.discarded.swap(false, Ordering::AcqRel);
        state.hold();
        let discarded_size = if discarded { len } else { 0 };
        Ok(LockState { offset, size: len, discarded_offset: 0, discarded_size })
    }

    /// [`lock`](Self::lock), unless it was discarded (`ZX_VMO_OP_TRY_LOCK`).
    ///
    /// # Errors
    /// As [`lock`](Self::lock); [`Error::Unavailable`] if it was discarded.
    pub fn try_lock(&self, offset: u64, len: u64) -> Result {
        let discard = self.lockable(offset, len)?;
        let mut state = discard.state.lock();
        if discard.discarded.load(Ordering::Acquire) {
            return Err(Error::Unavailable);
        }
        state.hold();
        Ok(())
    }

    /// Undoes one [`lock`](Self::lock). When none is left, it can be discarded (`ZX_VMO_OP_UNLOCK`). May block, while others' memory is reclaimed.
    ///
    /// # Errors
    /// As [`lock`](Self::lock); [`Error::BadState`] if it is not locked.
    pub fn unlock(&self, offset: u64, len: u64) -> Result {
        let discard = self.lockable(offset, len)?;
        let mut state = discard.state.lock();
        state.locks = state.locks.checked_sub(1).ok_or(Error::BadState)?;
        if state.locks > 0 {
            return Ok(());
        }
        let fits = state.charge.resize(len).is_ok();
        if !std::mem::replace(&mut state.listed, true) {
            self.memory.note_cached(discard.me.clone(), 0..len);
        }
        drop(state);
        if !fits {
            self.make_room(discard, len);
        }
        Ok(())
    }

    /// After it was unlocked when there was too much in caches: what was unlocked before goes first, and then this.
    fn make_room(&self, discard: &Discard, len: u64) {
        self.memory.reclaim(len);
        let mut state = discard.state.lock();
        let unlocked = state.locks == 0 && !discard.discarded.load(Ordering::Acquire);
        let fits = !unlocked || state.charge.resize(len).is_ok();
        drop(state);
        if !fits {
            self.discard_unless_locked(discard);
        }
    }

    /// Takes all pages away; false if somebody has it locked, or a device uses it.
    pub(super) fn discard_unless_locked(&self, discard: &Discard) -> bool {
        let mut state = discard.state.lock();
        let size = self.size();
        if state.locks > 0 || (size > 0 && self.is_pinned(0..size)) {
            return false;
        }
        discard.discarded.store(true, Ordering::Release);
        self.decommit(0..size);
        self.losses.fetch_add(1, Ordering::Relaxed);
        state.listed = false;
        // Becoming smaller cannot fail.
        let _ = state.charge.resize(0);
        true
    }
}

impl State {
    fn hold(&mut self) {
        self.locks = self.locks.saturating_add(1);
        let _ = self.charge.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use hal::aspace::{Access, AddressSpace};

    use super::{super::PAGE, *};
    use crate::{
        vmar::{MapArgs, Vmar},
        vmo::{ChildOptions, RangeOp},
    };

    const SIZE: u64 = 8 * PAGE;

    fn memory() -> Arc<PhysicalMemory> {
        PhysicalMemory::new(Some(1 << 20)).unwrap()
    }

    fn discardable(memory: &Arc<PhysicalMemory>) -> Arc<Vmo> {
        Vmo::create_discardable(memory, SIZE, VmoOptions::default()).unwrap()
    }

    fn unlock(vmo: &Vmo) -> Result {
        vmo.op_range(RangeOp::Unlock, 0, vmo.size())
    }

    fn try_lock(vmo: &Vmo) -> Result {
        vmo.op_range(RangeOp::TryLock, 0, vmo.size())
    }

    fn is_discarded(vmo: &Vmo) -> bool {
        vmo.read(0, &mut [0]) == Err(Error::OutOfRange)
    }

    #[test]
    fn unlocked_memory_goes_in_the_order_in_which_it_was_unlocked() {
        let memory = memory();
        let vmos: Vec<_> = (0..4).map(|_| discardable(&memory)).collect();
        for vmo in &vmos {
            vmo.lock(0, SIZE).unwrap();
            vmo.write(0, &[1; SIZE as usize]).unwrap();
        }
        assert_eq!(memory.cached_content(), 0);
        for n in [2, 0, 1] {
            unlock(&vmos[n]).unwrap();
        }
        assert_eq!(memory.cached_content(), 3 * SIZE);
        assert!(memory.reclaim((1 << 20) - SIZE));
        let gone = || vmos.iter().map(|vmo| is_discarded(vmo)).collect::<Vec<_>>();
        assert_eq!((gone(), memory.cached_content()), (vec![true, false, true, false], SIZE));
        assert!(vmos[2].committed(0..SIZE).is_empty());
        // The one that is locked stays whatever is asked for.
        assert!(memory.reclaim(1 << 20));
        assert_eq!((gone(), memory.cached_content()), (vec![true, true, true, false], 0));
    }

    #[test]
    fn locking_tells_what_was_discarded_and_locks_add_up() {
        let memory = memory();
        let vmo = discardable(&memory);
        // Before it was ever unlocked it stays.
        vmo.write(0, &[1]).unwrap();
        assert!(memory.reclaim(1 << 20) && !is_discarded(&vmo));
        let kept = LockState { offset: 0, size: SIZE, discarded_offset: 0, discarded_size: 0 };
        assert_eq!((vmo.lock(0, SIZE), try_lock(&vmo)), (Ok(kept), Ok(())));
        unlock(&vmo).unwrap();
        assert!(memory.reclaim(1 << 20) && !is_discarded(&vmo));
        unlock(&vmo).unwrap();
        // Locked and unlocked in time, nothing is lost.
        assert_eq!((try_lock(&vmo), unlock(&vmo)), (Ok(()), Ok(())));
        assert!(memory.reclaim(1 << 20) && is_discarded(&vmo));
        assert_eq!(vmo.write(0, &[1]), Err(Error::OutOfRange));
        assert_eq!(vmo.op_range(RangeOp::Commit, 0, PAGE), Err(Error::OutOfRange));
        assert_eq!(vmo.op_range(RangeOp::Zero, 0, SIZE), Err(Error::OutOfRange));
        assert_eq!(try_lock(&vmo), Err(Error::Unavailable));
        assert_eq!(vmo.lock(0, SIZE), Ok(LockState { discarded_size: SIZE, ..kept }));
        assert_eq!(vmo.lock(0, SIZE), Ok(kept));
        let mut byte = [9];
        assert_eq!((vmo.read(0, &mut byte), byte), (Ok(()), [0]));
        assert_eq!((unlock(&vmo), unlock(&vmo)), (Ok(()), Ok(())));
        assert_eq!(unlock(&vmo), Err(Error::BadState));
    }

    #[test]
    fn locks_and_children_are_refused_as_documented() {
        let memory = memory();
        let vmo = discardable(&memory);
        let plain = Vmo::create(&memory, SIZE, VmoOptions::default()).unwrap();
        assert_eq!(plain.lock(0, SIZE), Err(Error::NotSupported));
        assert_eq!(try_lock(&plain), Err(Error::NotSupported));
        assert_eq!(unlock(&plain), Err(Error::NotSupported));
        assert!(vmo.is_discardable() && !plain.is_discardable());
        for (offset, len) in [(0, PAGE), (PAGE, SIZE - PAGE), (0, SIZE + PAGE)] {
            assert_eq!(vmo.lock(offset, len), Err(Error::OutOfRange));
            assert_eq!(vmo.op_range(RangeOp::TryLock, offset, len), Err(Error::OutOfRange));
            assert_eq!(vmo.op_range(RangeOp::Unlock, offset, len), Err(Error::OutOfRange));
        }
        for kind in [ChildOptions::SNAPSHOT, ChildOptions::SLICE] {
            assert_eq!(vmo.create_child(kind, 0, PAGE).err(), Some(Error::NotSupported));
        }
        assert_eq!(vmo.create_private(0, PAGE, false).err(), Some(Error::NotSupported));
    }

    #[test]
    fn mappings_fault_once_it_is_discarded_and_show_it_again_when_locked() {
        let memory = memory();
        let vmo = discardable(&memory);
        let vmar = Vmar::create_root(&AddressSpace::new(&memory).unwrap()).unwrap();
        let va = vmar.map(MapArgs::new(vmo.clone(), SIZE)).unwrap();
        vmo.lock(0, SIZE).unwrap();
        vmar.write(va, &[5; SIZE as usize]).unwrap();
        unlock(&vmo).unwrap();
        let pin = vmo.pin(0, PAGE).unwrap();
        assert!(!memory.reclaim(1 << 20) && !is_discarded(&vmo));
        drop(pin);
        assert!(memory.reclaim(1 << 20));
        assert!(vmar.aspace().read(va + PAGE, &mut [0]).is_err());
        assert_eq!(vmar.fault(va + PAGE, Access::Read), Err(Error::OutOfRange));
        assert_eq!(vmar.fault(va + PAGE, Access::Write), Err(Error::OutOfRange));
        vmo.lock(0, SIZE).unwrap();
        let mut byte = [9];
        assert_eq!((vmar.read(va + PAGE, &mut byte), byte), (Ok(()), [0]));
        vmar.write(va, &[6]).unwrap();
        vmo.read(0, &mut byte).unwrap();
        assert_eq!(byte, [6]);
    }

    #[test]
    fn what_is_unlocked_when_caches_are_full_makes_room_or_goes_itself() {
        let memory = memory();
        let (first, second) = (discardable(&memory), discardable(&memory));
        let large = Vmo::create_discardable(&memory, 2 << 20, VmoOptions::default()).unwrap();
        for vmo in [&first, &second, &large] {
            vmo.lock(0, vmo.size()).unwrap();
        }
        unlock(&first).unwrap();
        // It cannot fit at all.
        unlock(&large).unwrap();
        assert!(is_discarded(&large) && is_discarded(&first));
        unlock(&second).unwrap();
        assert!(!is_discarded(&second));
        assert_eq!(memory.cached_content(), SIZE);
        drop((first, second, large));
        assert_eq!((memory.cached_content(), memory.allocated()), (0, 0));
    }
}
