//! A ring's memory: on the heap, or brought by the user.
//!
//! [`Ring`] is what both ends are made from: proof that there is a ring at some address. It was
//! initialised there or it was checked, and the memory stays for as long as the ring's keeper `K`
//! lives, of which each end holds a clone.

use alloc::{
    alloc::{alloc_zeroed, dealloc, handle_alloc_error},
    sync::Arc,
};
use core::{fmt, ptr::NonNull};

#[cfg(not(loom))]
use super::ends::Closer;
use super::{
    ends::Ends,
    entry::Entry,
    error::{AttachError, LayoutError},
    layout::{Layout, Lines},
    producers::{One, Producers},
    slot::Place,
};
use crate::sync::Ordering;

/// A ring of `T`s in memory that `keeper` keeps.
///
/// To share one between processes, both map the same memory; one makes a ring in it with
/// [`create`](Self::create), the other [attaches](Self::attach) to it; one takes the
/// [sender](Self::sender), the other the [receiver](Self::receiver).
///
/// ```
/// use std::ptr::NonNull;
/// use evering::{Layout, Ring};
///
/// // Any memory will do that is aligned, shared and stays where it is.
/// #[repr(align(128))]
/// struct Memory(std::cell::UnsafeCell<[u8; 512]>);
/// let memory = Box::leak(Box::new(Memory([0; 512].into())));
/// let (at, len) = (NonNull::new(memory.0.get().cast()).unwrap(), 512);
///
/// // SAFETY: the memory is never freed, and nothing but the ring uses it.
/// let here = unsafe { Ring::<u64, ()>::create(at, len, 16, ()) }.unwrap();
/// // SAFETY: the same.
/// let there = unsafe { Ring::<u64, ()>::attach(at, len, ()) }.unwrap();
/// let (mut sender, mut receiver) = (here.sender().unwrap(), there.receiver().unwrap());
/// sender.send(7).unwrap();
/// assert_eq!(receiver.recv(), Ok(7));
/// ```
pub struct Ring<T: Entry, K, P: Producers = One> {
    lines: NonNull<Lines>,
    slots: NonNull<Place<T, P>>,
    layout: Layout<T, P>,
    /// In which use of the memory it was made. Ours: another may be made there.
    generation: u32,
    keeper: K,
}

// SAFETY: what the pointers lead to is shared by atomic operations only, and the keeper, which goes
// where the ring goes, keeps it.
unsafe impl<T: Entry, K: Send, P: Producers> Send for Ring<T, K, P> {}
// SAFETY: a shared ring gives out references to atomics, copies, and shared references to its keeper.
unsafe impl<T: Entry, K: Sync, P: Producers> Sync for Ring<T, K, P> {}

impl<T: Entry, K: Clone, P: Producers> Clone for Ring<T, K, P> {
    fn clone(&self) -> Self {
        Ring {
            lines: self.lines,
            slots: self.slots,
            layout: self.layout,
            generation: self.generation,
            keeper: self.keeper.clone(),
        }
    }
}

/// A ring on the heap, which goes away with the last of those who share it.
pub type HeapRing<T, P = One> = Ring<T, Arc<Allocation<T, P>>, P>;

/// The memory of a [`HeapRing`].
pub struct Allocation<T: Entry, P: Producers = One> {
    at: NonNull<u8>,
    layout: Layout<T, P>,
}

// SAFETY: it only frees the memory, which any thread may do; nothing in it needs to be dropped.
unsafe impl<T: Entry, P: Producers> Send for Allocation<T, P> {}
// SAFETY: nothing can be done with a shared one.
unsafe impl<T: Entry, P: Producers> Sync for Allocation<T, P> {}

impl<T: Entry, P: Producers> Drop for Allocation<T, P> {
    fn drop(&mut self) {
        // Loom's atomics and cells do have something to drop.
        #[cfg(loom)]
        // SAFETY: `HeapRing::new` wrote them all, and nobody has a ring here any more.
        unsafe {
            let slots = self.at.as_ptr().add(Layout::<T, P>::SLOTS).cast::<Place<T, P>>();
            for i in 0..self.layout.capacity() {
                slots.add(i).drop_in_place();
            }
            self.at.cast::<Lines>().drop_in_place();
        }
        if let Ok(layout) = self.layout.for_allocation() {
            // SAFETY: `HeapRing::new` allocated it with this layout.
            unsafe { dealloc(self.at.as_ptr(), layout) }
        }
    }
}

impl<T: Entry, P: Producers> fmt::Debug for Allocation<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allocation").field("size", &self.layout.size()).finish_non_exhaustive()
    }
}

impl<T: Entry, P: Producers> HeapRing<T, P> {
    /// An empty ring on the heap.
    ///
    /// # Errors
    ///
    /// [`LayoutError::Capacity`], [`LayoutError::Entry`], [`LayoutError::TooLarge`].
    pub fn new(capacity: usize) -> Result<Self, LayoutError> {
        let layout = Layout::<T, P>::new(capacity)?;
        let allocation = layout.for_allocation()?;
        // SAFETY: its size is not zero, for it has the lines.
        let at = unsafe { alloc_zeroed(allocation) };
        let Some(at) = NonNull::new(at) else { handle_alloc_error(allocation) };
        let keeper = Arc::new(Allocation { at, layout });
        // SAFETY: the memory is as large and aligned as the layout says, all zero, nobody else's, and
        // freed by the keeper.
        Ok(unsafe { Self::initialise(at, layout, 0, keeper) })
    }
}

impl<T: Entry, K, P: Producers> Ring<T, K, P> {
    /// Makes an empty ring in the `len` bytes at `at`, for whose life `keeper` cares. The other end
    /// must attach after that.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] if there can be no such ring, or not in this memory.
    ///
    /// # Safety
    ///
    /// The memory must be valid for reads and writes until every clone of `keeper` is gone. While it
    /// is, nothing in this process may access it but through this ring and those attached to it, or by
    /// atomic operations. (What other processes do with it does not matter.)
    pub unsafe fn create(
        at: NonNull<u8>,
        len: usize,
        capacity: usize,
        keeper: K,
    ) -> Result<Self, LayoutError> {
        // SAFETY: the same.
        unsafe { Self::create_again(at, len, capacity, 0, keeper) }
    }

    /// [`create`](Self::create), in the memory's `generation`th use: who still has an end of the ring before finds
    /// that one closed, and cannot close this.
    ///
    /// # Safety
    ///
    /// As [`create`](Self::create).
    pub(crate) unsafe fn create_again(
        at: NonNull<u8>,
        len: usize,
        capacity: usize,
        generation: u32,
        keeper: K,
    ) -> Result<Self, LayoutError> {
        let layout = Layout::<T, P>::new(capacity)?;
        if layout.size() > len {
            return Err(LayoutError::TooSmall);
        }
        if !at.cast::<Lines>().is_aligned() {
            return Err(LayoutError::Unaligned);
        }
        // SAFETY: the layout's size is at most `len`; the caller promises that the memory is writable.
        unsafe {
            at.add(Layout::<T, P>::SLOTS).write_bytes(0, layout.size() - Layout::<T, P>::SLOTS)
        };
        // SAFETY: it is large enough and aligned, its slots are zero; the rest the caller promises.
        Ok(unsafe { Self::initialise(at, layout, generation, keeper) })
    }

    /// # Safety
    ///
    /// As [`create`](Self::create); and the memory must be large enough, aligned, and its slots zero.
    unsafe fn initialise(
        at: NonNull<u8>,
        layout: Layout<T, P>,
        generation: u32,
        keeper: K,
    ) -> Self {
        // SAFETY: there is room for the lines and the slots, says the caller.
        let ring = unsafe { Self::at(at, layout, generation, keeper) };
        // SAFETY: there is room for them, aligned; nobody has a reference to what is overwritten.
        unsafe { ring.lines.write(Lines::new(layout, generation)) };
        #[cfg(loom)]
        for i in 0..layout.capacity() {
            // SAFETY: the layout has that many slots.
            unsafe { ring.slots.add(i).write(Place::zeroed()) };
        }
        ring
    }

    /// # Safety
    ///
    /// There must be `layout.size()` bytes at `at`.
    unsafe fn at(at: NonNull<u8>, layout: Layout<T, P>, generation: u32, keeper: K) -> Self {
        // SAFETY: the slots begin there, by the layout.
        let slots = unsafe { at.add(Layout::<T, P>::SLOTS).cast() };
        Ring { lines: at.cast(), slots, layout, generation, keeper }
    }

    /// Finds the ring that someone else made in the `len` bytes at `at`.
    ///
    /// # Errors
    ///
    /// [`AttachError`] if there is none, or one of another kind.
    ///
    /// # Safety
    ///
    /// As [`create`](Self::create), but for `create` itself: whoever called it must have returned from
    /// it if that was in this process. The memory must be initialised; what it holds does not matter.
    pub unsafe fn attach(at: NonNull<u8>, len: usize, keeper: K) -> Result<Self, AttachError> {
        if len < Layout::<T, P>::SLOTS {
            return Err(LayoutError::TooSmall.into());
        }
        let lines = at.cast::<Lines>();
        if !lines.is_aligned() {
            return Err(LayoutError::Unaligned.into());
        }
        // SAFETY: there is room for the lines, aligned; they consist of atomics, to which any bytes are
        // valid and which others may write.
        let lines = unsafe { lines.as_ref() };
        let layout = lines.check(len)?;
        // SAFETY: `check` has found that the layout has room in `len`.
        Ok(unsafe { Self::at(at, layout, lines.fixed.ends.generation(), keeper) })
    }

    pub(crate) fn lines(&self) -> &Lines {
        // SAFETY: by the constructors' contracts they are there while the keeper lives, which is in
        // `self`; they consist of atomics.
        unsafe { self.lines.as_ref() }
    }

    /// Which of its ends are gone.
    #[inline]
    pub(crate) fn gone(&self, order: Ordering) -> u64 {
        self.ends().gone(self.generation, order)
    }

    /// Says that its ends are `gone`.
    pub(crate) fn close(&self, gone: u64) {
        self.ends().close(self.generation, gone);
    }

    /// For who has to close one of its ends in place of its owner.
    #[cfg(not(loom))]
    pub(crate) fn closer(&self) -> Closer {
        Closer::new(self.ends(), self.generation)
    }

    /// Who is there at its ends.
    pub(super) fn ends(&self) -> &Ends {
        &self.lines().fixed.ends
    }

    /// In which use of the memory it was made.
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// Which slot is for the entry number `index`.
    #[inline]
    pub(super) fn slot(&self, index: u32) -> usize {
        (index & self.layout.mask()) as usize
    }

    /// The slot for the entry number `index`, whatever that is.
    #[inline]
    pub(crate) fn place(&self, index: u32) -> &Place<T, P> {
        let slot = self.slot(index);
        // SAFETY: the masked index is less than the capacity, which was checked against the memory and
        // is kept in `self`, out of the peer's reach. The rest as in `lines`.
        unsafe { self.slots.add(slot).as_ref() }
    }

    /// Asks for the slot for the entry number `index` as one that is going to be written.
    #[inline]
    pub(crate) fn claim(&self, index: u32) {
        let place: *const Place<T, P> = self.place(index);
        #[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
        // SAFETY: a hint; it changes nothing that the language knows of.
        unsafe {
            core::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags))
        };
        #[cfg(not(all(target_arch = "x86_64", not(loom), not(miri))))]
        let _ = place;
    }

    /// What keeps the memory.
    pub fn keeper(&self) -> &K {
        &self.keeper
    }

    /// How many entries fit.
    pub fn capacity(&self) -> usize {
        self.layout.capacity()
    }

    /// Where the ring's two indices are: head, then tail.
    ///
    /// # Errors
    ///
    /// [`AttachError::Corrupt`] if they cannot be.
    pub(crate) fn indices(&self) -> Result<(u32, u32), AttachError> {
        let tail = self.lines().tail.index.load(Ordering::Acquire);
        let head = self.lines().head.0.load(Ordering::Acquire);
        // The other end may have gone on between the two loads, but not past what is possible.
        if tail.wrapping_sub(head) as usize > self.capacity() {
            return Err(AttachError::Corrupt);
        }
        Ok((head, tail))
    }
}

impl<T: Entry, K, P: Producers> Ring<T, K, P> {
    /// The sending end, which goes on where one before it left off. Of [`One`] there should be one at a time: two would
    /// overwrite each other's entries, which is useless but harmless. Of [`Many`](super::Many) there may be others, its clones
    /// among them.
    ///
    /// # Errors
    ///
    /// [`AttachError::Corrupt`] if the ring's indices are impossible, [`AttachError::Closed`] if there were senders and the
    /// last of them was dropped.
    pub fn sender(self) -> Result<P::Sender<T, K>, AttachError> {
        P::sender(self)
    }

    /// The receiving end, which goes on where one before it left off. There should be one at a time.
    ///
    /// # Errors
    ///
    /// [`AttachError::Corrupt`] if the ring's indices are impossible, [`AttachError::Closed`] if the
    /// receiver before was dropped.
    pub fn receiver(self) -> Result<P::Receiver<T, K>, AttachError> {
        P::receiver(self)
    }
}

impl<T: Entry, K, P: Producers> fmt::Debug for Ring<T, K, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}
