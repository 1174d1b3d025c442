//! A place for one entry, which the peer may be writing at the same time if it is up to no good.
//!
//! In a correct exchange a slot is never read and written at once: the indices see to it, and the
//! loom models check that they do, with a cell that reports any overlap. But a peer in another process
//! can write what it likes when it likes. So that this remains defined behaviour, with whatever bytes
//! as its result, the real slot is copied by relaxed atomic words, which compile to plain moves.

#[cfg(not(loom))]
mod imp {
    use core::{
        cell::UnsafeCell,
        mem::{MaybeUninit, align_of, size_of},
        sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed},
    };

    use super::super::entry::Entry;

    #[repr(transparent)]
    pub(crate) struct Slot<T>(UnsafeCell<MaybeUninit<T>>);

    // SAFETY: all access to the contents is by atomic operations.
    unsafe impl<T: Entry> Sync for Slot<T> {}

    /// The largest word that a `T` consists of a whole number of, aligned.
    const fn word<T>() -> usize {
        let mut word = 8;
        while word > align_of::<T>() || !size_of::<T>().is_multiple_of(word) {
            word /= 2;
        }
        word
    }

    impl<T: Entry> Slot<T> {
        /// Where its bytes are.
        #[inline]
        pub(crate) fn bytes(&self) -> *mut u8 {
            self.0.get().cast()
        }
    }

    macro_rules! copy {
        ($($size:literal $word:ty, $atomic:ty;)*) => {
            impl<T: Entry> Slot<T> {
                pub(crate) fn store(&self, entry: &T) {
                    let bytes = entry.as_bytes();
                    match word::<T>() {
                        $($size => for (i, chunk) in bytes.as_chunks::<$size>().0.iter().enumerate() {
                            // SAFETY: the slot is as large as `T`, which consists of such words, and
                            // aligned for them; `i` counts those of `T`. The cell allows writing.
                            let word = unsafe { &*self.0.get().cast::<$atomic>().add(i) };
                            word.store(<$word>::from_ne_bytes(*chunk), Relaxed);
                        })*
                        _ => {}
                    }
                }

                pub(crate) fn load(&self) -> T {
                    let mut entry = T::new_zeroed();
                    let bytes = entry.as_mut_bytes();
                    match word::<T>() {
                        $($size => for (i, chunk) in bytes.as_chunks_mut::<$size>().0.iter_mut().enumerate() {
                            // SAFETY: as in `store`. The memory is initialised: a ring's slots are
                            // zeroed when it is made.
                            let word = unsafe { &*self.0.get().cast::<$atomic>().add(i) };
                            *chunk = word.load(Relaxed).to_ne_bytes();
                        })*
                        _ => {}
                    }
                    entry
                }
            }
        };
    }

    copy! {
        1 u8, AtomicU8;
        2 u16, AtomicU16;
        4 u32, AtomicU32;
        8 u64, AtomicU64;
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn round_trip<T: Entry + PartialEq + core::fmt::Debug>(entry: T) {
            let slot = Slot(UnsafeCell::new(MaybeUninit::new(T::new_zeroed())));
            slot.store(&entry);
            assert_eq!(slot.load(), entry);
        }

        #[test]
        fn entries_of_every_word_size_come_back_whole() {
            assert_eq!((word::<[u8; 3]>(), word::<[u16; 3]>()), (1, 2));
            assert_eq!((word::<[u32; 3]>(), word::<[u64; 3]>(), word::<u128>()), (4, 8, 8));
            round_trip([1u8, 2, 3]);
            round_trip([0x0102u16, 0x0304, 0x0506]);
            round_trip([u32::MAX, 7, 1 << 31]);
            round_trip([u64::MAX, 3, 1 << 63]);
            round_trip(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10u128);
            round_trip(-5i8);
        }
    }
}

#[cfg(loom)]
mod imp {
    use loom::cell::UnsafeCell;

    use super::super::entry::Entry;

    pub(crate) struct Slot<T>(UnsafeCell<T>);

    // SAFETY: loom checks every access and panics at an overlap.
    unsafe impl<T: Entry> Sync for Slot<T> {}

    impl<T: Entry> Slot<T> {
        pub(crate) fn zeroed() -> Self {
            Slot(UnsafeCell::new(T::new_zeroed()))
        }

        pub(crate) fn store(&self, entry: &T) {
            // SAFETY: loom has checked that nobody else has access.
            self.0.with_mut(|slot| unsafe { *slot = *entry });
        }

        pub(crate) fn load(&self) -> T {
            // SAFETY: loom has checked that nobody writes.
            self.0.with(|slot| unsafe { *slot })
        }
    }
}

pub(crate) use imp::Slot;

use super::producers::Producers;
#[cfg(loom)]
use super::{entry::Entry, stamp::Stamp};

/// A slot with what stands beside it.
#[repr(C)]
pub(crate) struct Place<T, P: Producers> {
    pub(crate) stamp: P::Stamp,
    pub(crate) slot: Slot<T>,
}

#[cfg(loom)]
impl<T: Entry, P: Producers> Place<T, P> {
    pub(crate) fn zeroed() -> Self {
        Place { stamp: P::Stamp::zeroed(), slot: Slot::zeroed() }
    }
}
