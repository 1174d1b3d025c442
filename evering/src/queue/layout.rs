//! Where things are in a ring's memory. The picture is in the [module's documentation](super).

use core::{
    alloc,
    marker::PhantomData,
    mem::{align_of, size_of},
};

use super::{
    ends::Ends,
    error::{AttachError, LayoutError},
    producers::{One, Producers},
    slot::Place,
    tail::TailLine,
};
use crate::sync::{AtomicU32, Ordering};

/// The layout's version: rings of another are refused.
pub const VERSION: u32 = 5;

/// The largest capacity of a ring, in entries: indices are 32 bits, full and empty must differ, and so must the stamps of two laps.
pub const MAX_CAPACITY: usize = 1 << 30;

/// "evRG".
const MAGIC: u32 = u32::from_le_bytes(*b"evRG");

/// Two cache lines, since the hardware fetches them in pairs.
const LINE: usize = 128;

/// What is before the slots.
#[repr(C)]
pub(crate) struct Lines {
    pub(crate) fixed: Fixed,
    pub(crate) tail: TailLine,
    pub(crate) head: Line,
}

/// What does not change while the ring is used, but for the ends, which come and go.
#[repr(C, align(128))]
pub(crate) struct Fixed {
    // Atomic although written once: whoever attaches may share them with a peer that still writes.
    magic: AtomicU32,
    version: AtomicU32,
    entry_size: AtomicU32,
    entry_align: AtomicU32,
    capacity: AtomicU32,
    producers: AtomicU32,
    pub(crate) ends: Ends,
}

/// An index, with nothing else in its cache lines.
#[repr(C, align(128))]
pub(crate) struct Line(pub(crate) AtomicU32);

#[cfg(not(loom))]
const _: () = assert!(size_of::<Lines>() == 3 * LINE);

impl Lines {
    /// Those of a new ring, in its memory's `generation`th use.
    pub(crate) fn new<T, P: Producers>(layout: Layout<T, P>, generation: u32) -> Self {
        Lines {
            fixed: Fixed {
                magic: AtomicU32::new(MAGIC),
                version: AtomicU32::new(VERSION),
                entry_size: AtomicU32::new(size_of::<T>() as u32),
                entry_align: AtomicU32::new(align_of::<T>() as u32),
                capacity: AtomicU32::new(layout.mask + 1),
                producers: AtomicU32::new(P::KIND),
                ends: Ends::new(generation),
            },
            tail: TailLine::new(),
            head: Line(AtomicU32::new(0)),
        }
    }

    /// Checks that a ring of `T`s begins here which has room in `len` bytes. Each field is read once.
    pub(crate) fn check<T, P: Producers>(&self, len: usize) -> Result<Layout<T, P>, AttachError> {
        let read = |field: &AtomicU32| field.load(Ordering::Acquire);
        if read(&self.fixed.magic) != MAGIC {
            return Err(AttachError::Magic);
        }
        match read(&self.fixed.version) {
            VERSION => {}
            other => return Err(AttachError::Version(other)),
        }
        if read(&self.fixed.entry_size) as usize != size_of::<T>()
            || read(&self.fixed.entry_align) as usize != align_of::<T>()
        {
            return Err(AttachError::Entry);
        }
        if read(&self.fixed.producers) != P::KIND {
            return Err(AttachError::Producers);
        }
        let layout = Layout::new(read(&self.fixed.capacity) as usize)?;
        if layout.size() > len {
            return Err(LayoutError::TooSmall.into());
        }
        Ok(layout)
    }
}

/// The memory that a ring of `T`s needs.
///
/// ```
/// let layout = evering::Layout::<u64>::new(512).unwrap();
/// assert_eq!(layout.size(), 384 + 512 * 8);
/// assert_eq!(layout.align(), 128);
/// ```
#[derive(Debug)]
pub struct Layout<T, P = One> {
    /// One less than how many entries fit, which is a power of two.
    mask: u32,
    size: usize,
    _entry: PhantomData<fn() -> (T, P)>,
}

// Not derived: that would ask the same of `T`.
impl<T, P> Clone for Layout<T, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, P> Copy for Layout<T, P> {}

impl<T, P: Producers> Layout<T, P> {
    /// Where the slots begin, in bytes.
    pub(crate) const SLOTS: usize = size_of::<Lines>();

    /// The layout of a ring for `capacity` entries.
    ///
    /// # Errors
    ///
    /// [`LayoutError::Capacity`], [`LayoutError::Entry`], [`LayoutError::TooLarge`].
    pub fn new(capacity: usize) -> Result<Self, LayoutError> {
        if size_of::<T>() == 0 || align_of::<T>() > LINE || u32::try_from(size_of::<T>()).is_err() {
            return Err(LayoutError::Entry);
        }
        if !capacity.is_power_of_two() || capacity > MAX_CAPACITY {
            return Err(LayoutError::Capacity);
        }
        let slots = capacity.checked_mul(size_of::<Place<T, P>>());
        let size = slots.and_then(|slots| slots.checked_add(Self::SLOTS));
        let size = size.filter(|&size| isize::try_from(size).is_ok_and(|s| s <= isize::MAX - 128));
        match size {
            Some(size) => Ok(Layout { mask: capacity as u32 - 1, size, _entry: PhantomData }),
            None => Err(LayoutError::TooLarge),
        }
    }

    /// How many entries fit.
    pub fn capacity(&self) -> usize {
        self.mask as usize + 1
    }

    /// How many bytes of memory it takes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// To what the memory must be aligned, in bytes.
    pub fn align(&self) -> usize {
        align_of::<Lines>()
    }

    pub(crate) fn for_allocation(&self) -> Result<alloc::Layout, LayoutError> {
        alloc::Layout::from_size_align(self.size, self.align()).map_err(|_| LayoutError::TooLarge)
    }

    pub(crate) fn mask(&self) -> u32 {
        self.mask
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn capacities_are_powers_of_two() {
        for bad in [0, 3, 6, MAX_CAPACITY + 1, MAX_CAPACITY * 2, usize::MAX] {
            assert_eq!(Layout::<u8>::new(bad).err(), Some(LayoutError::Capacity), "{bad}");
        }
        for good in [1, 2, 1024, MAX_CAPACITY] {
            assert_eq!(Layout::<u8>::new(good).map(|l| l.capacity()), Ok(good));
        }
    }

    #[test]
    fn entries_have_a_size_and_no_wild_alignment() {
        #[repr(align(256))]
        struct Wide(#[expect(dead_code, reason = "for its size")] u8);
        assert_eq!(Layout::<()>::new(1).err(), Some(LayoutError::Entry));
        assert_eq!(Layout::<Wide>::new(1).err(), Some(LayoutError::Entry));
    }

    #[test]
    fn indices_have_lines_of_their_own() {
        use core::mem::offset_of;
        assert_eq!((offset_of!(Lines, tail), offset_of!(Lines, head)), (128, 256));
        assert_eq!(Layout::<u8>::SLOTS, 384);
    }
}
