//! A connection's memory: header, queues, bells and arenas in one piece.
//!
//! The one idea: the header has the few numbers that were chosen, and both sides compute where everything is. They read it
//! once, when they attach, check that it adds up to the memory's size, and keep the result. Nothing in the region is an address,
//! so each side may have it mapped wherever it likes.
//!
//! ```text
//!     0 ┌──────────────────────────────────────────────────┐
//!       │ magic · version · size                           │ written once, and checked
//!       │ arena sizes · queue capacities · buffers away    │ by whoever attaches
//!       │ generation                                       │
//!   128 ├──────────────────────────────────────────────────┤
//!       │ first side: generation and life, pid, CPUs       │ a Life, each its own
//!   256 │             bell                                 │ what it sleeps on
//!   384 │ second side: generation and life, pid, CPUs      │
//!   512 │             bell                                 │
//!   640 ├──────────────────────────────────────────────────┤
//!       │ queue of what the first side sends               │ a ring each, as the
//!       │ queue of what the second side sends              │ module `queue` draws it,
//!       │ queue of the first side's buffers coming back    │ aligned to 128 bytes
//!       │ queue of the second side's buffers coming back   │
//!       ├──────────────────────────────────────────────────┤
//!       │ first side's arena                               │ aligned to 4096 bytes
//!       ├──────────────────────────────────────────────────┤
//!       │ second side's arena                              │
//!       └──────────────────────────────────────────────────┘ size, a multiple of 4096
//! ```
//!
//! Between processes it is a `memfd`, sealed against shrinking and growing before anybody else sees it
//! (`F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL`). Whoever receives one looks for the seals first: a page that a peer could take away
//! would be a SIGBUS. (It can punch holes, which read as zeros.) Between threads it is on the heap, and callers may
//! bring memory of their own.
//!
//! A `memfd`'s pages are allocated when they are touched first, which is a page fault on each side;
//! [`Options::prefault`] has them all there from the beginning. They count as shared memory of the host, which ends a process
//! by a signal if it has no page left for it: another reason to have them there. But whoever made the region chose its
//! size, so fault in only what comes from somebody that may use up your memory.

mod error;
mod geometry;
mod header;
mod keeper;
mod memory;

use core::{fmt, marker::PhantomData, ops::Range, ptr::NonNull};
#[cfg(feature = "std")]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use self::geometry::{Chosen, Geometry};
pub(crate) use self::header::Header;
pub use self::{
    error::RegionError,
    geometry::{Options, Side},
    header::{Life, VERSION},
    keeper::Keeper,
};
use crate::{
    Entry, One, Producers, Ring,
    heap::{Arena, GRANULE, Place, Token},
    peer::{Link, Peer},
};

/// Memory for one connection, in which the first side sends `F` and the second `S`. `PF` and `PS` say whether that
/// side has one sender or [many](crate::Many).
///
/// Whoever makes it takes the [`first`](Self::first) end, whoever attaches to it the [`second`](Self::second).
pub struct Region<F: Entry, S: Entry, PF: Producers = One, PS: Producers = One> {
    base: NonNull<u8>,
    geometry: Geometry,
    /// How often a region was made in this memory, as far as we know. Ours: what the header says others could change.
    generation: u32,
    keeper: Keeper,
    #[cfg(feature = "std")]
    fd: Option<OwnedFd>,
    _kinds: PhantomData<(F, S, PF, PS)>,
}

// SAFETY: what the pointer leads to is accessed through the queues, the header's atomics and the heaps' buffers, all of
// which any thread may use; the keeper goes where the region goes.
unsafe impl<F: Entry, S: Entry, PF: Producers, PS: Producers> Send for Region<F, S, PF, PS> {}
// SAFETY: the same.
unsafe impl<F: Entry, S: Entry, PF: Producers, PS: Producers> Sync for Region<F, S, PF, PS> {}

fn geometry<F, S, PF: Producers, PS: Producers>(
    options: &Options,
) -> Result<Geometry, RegionError> {
    let Options { capacities, arenas, away, .. } = *options;
    Geometry::new::<F, S, PF, PS>(Chosen { capacities, arenas, away })
}

impl<F: Entry, S: Entry, PF: Producers, PS: Producers> Region<F, S, PF, PS> {
    /// A region on the heap, for threads.
    ///
    /// # Errors
    ///
    /// [`RegionError::Layout`], [`RegionError::Geometry`].
    pub fn on_heap(options: &Options) -> Result<Self, RegionError> {
        let geometry = geometry::<F, S, PF, PS>(options)?;
        let (at, keeper) = memory::on_heap(geometry.size).ok_or(RegionError::Geometry)?;
        // SAFETY: the memory is as large as the geometry says, aligned to pages, zeroed, nobody else's, and freed by the
        // keeper.
        unsafe { Self::initialise(at, geometry, 0, keeper) }
    }

    /// A region in a sealed `memfd`, for processes. [`as_fd`](Self::as_fd) is what the other one needs.
    ///
    /// # Errors
    ///
    /// [`RegionError`].
    #[cfg(feature = "std")]
    pub fn create(options: &Options) -> Result<Self, RegionError> {
        let geometry = geometry::<F, S, PF, PS>(options)?;
        let fd = memory::create(geometry.size)?;
        let (at, _, keeper) = memory::map(fd.as_fd(), options.prefault)?;
        // SAFETY: the file has the geometry's size, which cannot change any more, and is zeroed; its mapping is aligned
        // to pages, and nobody else has either. The keeper unmaps it.
        let region = unsafe { Self::initialise(at, geometry, 0, keeper) }?;
        Ok(Region { fd: Some(fd), ..region })
    }

    /// The region that someone else has [created](Self::create). Its seals, its size and its header are checked.
    ///
    /// # Errors
    ///
    /// [`RegionError`].
    #[cfg(feature = "std")]
    pub fn open(fd: OwnedFd, prefault: bool) -> Result<Self, RegionError> {
        let (at, len, keeper) = memory::map(fd.as_fd(), prefault)?;
        // SAFETY: the mapping is aligned to pages, and cannot lose any, as its file is sealed; nothing but regions uses
        // mappings of it in this process. A file's bytes are initialised.
        let region = unsafe { Self::attach_at(at, len, keeper) }?;
        Ok(Region { fd: Some(fd), ..region })
    }

    /// How many bytes a region takes that is made of `options`.
    ///
    /// # Errors
    ///
    /// [`RegionError::Layout`], [`RegionError::Geometry`].
    pub fn size(options: &Options) -> Result<usize, RegionError> {
        Ok(geometry::<F, S, PF, PS>(options)?.size)
    }

    /// Makes a region in the `len` bytes at `at`, for whose life `keeper` cares; `len` must be its
    /// [size](Self::size). The other end must attach after that. If there was a region, another process that still has an end
    /// of it finds its peer [dead](Life).
    ///
    /// # Errors
    ///
    /// [`RegionError::Layout`], [`RegionError::Geometry`], [`RegionError::Size`].
    ///
    /// # Safety
    ///
    /// The memory must be initialised, valid for reads and writes until every clone of `keeper` is gone, and aligned to 4096 bytes.
    /// While it is, nothing in this process may access it but through this region and those attached to it, or by
    /// atomic operations. (What other processes do with it does not matter, as long as they cannot take it away.)
    pub unsafe fn create_at(
        at: NonNull<u8>,
        len: usize,
        options: &Options,
        keeper: Keeper,
    ) -> Result<Self, RegionError> {
        let geometry = geometry::<F, S, PF, PS>(options)?;
        if geometry.size != len {
            return Err(RegionError::Size);
        }
        // SAFETY: there is room for a header, aligned, says the caller; it consists of atomics, to which any bytes are valid.
        let generation = unsafe { at.cast::<Header>().as_ref() }.next_generation();
        // SAFETY: the caller promises that the memory is writable, and that nobody here uses it yet.
        unsafe { at.write_bytes(0, len) };
        // SAFETY: it is large enough and zeroed; the rest the caller promises.
        unsafe { Self::initialise(at, geometry, generation, keeper) }
    }

    /// Finds the region that someone else made in the `len` bytes at `at`.
    ///
    /// # Errors
    ///
    /// [`RegionError`].
    ///
    /// # Safety
    ///
    /// As [`create_at`](Self::create_at), but for `create_at` itself: whoever called it must have returned from it if
    /// that was in this process. What the memory holds does not matter.
    pub unsafe fn attach_at(
        at: NonNull<u8>,
        len: usize,
        keeper: Keeper,
    ) -> Result<Self, RegionError> {
        if len < size_of::<Header>() {
            return Err(RegionError::Size);
        }
        // SAFETY: there is room for a header, aligned; it consists of atomics, to which any bytes are valid and which
        // others may write.
        let header = unsafe { at.cast::<Header>().as_ref() };
        Ok(Region {
            base: at,
            geometry: header.check::<F, S, PF, PS>(len)?,
            generation: header.generation(),
            keeper,
            #[cfg(feature = "std")]
            fd: None,
            _kinds: PhantomData,
        })
    }

    /// # Safety
    ///
    /// As [`create_at`](Self::create_at); and the memory must have the geometry's size and be zeroed.
    unsafe fn initialise(
        base: NonNull<u8>,
        geometry: Geometry,
        generation: u32,
        keeper: Keeper,
    ) -> Result<Self, RegionError> {
        let region = Region {
            base,
            geometry,
            generation,
            keeper,
            #[cfg(feature = "std")]
            fd: None,
            _kinds: PhantomData,
        };
        // SAFETY: the memory is as the caller promises.
        unsafe { region.lay_out() }?;
        Ok(region)
    }

    /// Writes the header and makes the queues.
    ///
    /// # Safety
    ///
    /// The memory must be zeroed, and nobody in this process may use it yet.
    unsafe fn lay_out(&self) -> Result<(), RegionError> {
        // SAFETY: there is room for a header, aligned; it consists of atomics, to which zeros are valid.
        let header = unsafe { self.base.cast::<Header>().as_ref() };
        header.write(&self.geometry, self.generation);
        let Geometry { queues, returns, chosen, .. } = &self.geometry;
        // SAFETY: for all four: the geometry has found room for the ring there, aligned; the keeper keeps it, and nobody
        // uses it yet.
        unsafe {
            let at = |offset| self.base.add(offset);
            let [first, second] = chosen.capacities.map(|capacity| capacity as usize);
            let (generation, away) = (self.generation, chosen.away as usize);
            let [forth, back] = queues;
            Ring::<F, _, PF>::create_again(at(forth.start), forth.len(), first, generation, ())?;
            Ring::<S, _, PS>::create_again(at(back.start), back.len(), second, generation, ())?;
            for part in returns {
                let (at, len) = (at(part.start), part.len());
                Ring::<Token, _>::create_again(at, len, away, generation, ())?;
            }
        }
        header.publish();
        Ok(())
    }

    /// Makes the region anew in its file, for another connection: after the peer has died, for instance, without a new file, new
    /// mappings and new page faults. Both ends can be taken again then, and the file be
    /// [offered](crate::peer::connect::offer_region) to another process.
    ///
    /// Everything of the connection before has to be gone from this process, so nothing here can see another one's bytes. A peer
    /// that was taken for dead and is not has the memory still. It finds *its* peer [dead](Life) and its queues closed, as the generation
    /// is another one, and cannot close the new ones. What it was about to write just then it writes all the same, as any hostile
    /// peer can: an error at worst. Who cannot have that makes a new region.
    ///
    /// ```
    /// use evering::region::{Options, Region, RegionError};
    ///
    /// let mut region = Region::<u32, u32>::create(&Options::new()).unwrap();
    /// let (first, second) = (region.first().unwrap(), region.second().unwrap());
    /// assert!(matches!(region.renew(), Err(RegionError::Taken)));
    /// drop((first, second));
    /// region.renew().unwrap();
    /// assert!(region.first().is_ok() && region.second().is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// [`RegionError::Taken`] while this process still has an end, a heap or a buffer of it, [`RegionError::NoFile`] if it
    /// was not [created](Self::create) or [opened](Self::open) in a file.
    #[cfg(feature = "std")]
    pub fn renew(&mut self) -> Result<(), RegionError> {
        /// How often to look again: the thread that notices deaths may be about to let go of its share.
        const LOOKS: u32 = 1000;
        if self.fd.is_none() {
            return Err(RegionError::NoFile);
        }
        let mut looks = 0..LOOKS;
        while !self.keeper.is_alone() {
            looks.next().ok_or(RegionError::Taken)?;
            std::thread::yield_now();
        }
        self.generation = Header::generation_after(self.generation);
        // SAFETY: this is our own mapping of the file, of that size, and the only share of its keeper is in `self`, which is
        // borrowed mutably: nobody else in this process has a pointer into it.
        unsafe { self.base.write_bytes(0, self.geometry.size) };
        // SAFETY: it has just been zeroed; the rest is the same.
        unsafe { self.lay_out() }
    }

    /// The ring in a part of the region.
    fn ring<T: Entry, P: Producers>(
        &self,
        part: &Range<usize>,
        capacity: u32,
    ) -> Result<Ring<T, Keeper, P>, RegionError> {
        // SAFETY: the part lies within the region, which is as its constructors were promised, and the keeper keeps it.
        let ring =
            unsafe { Ring::attach(self.base.add(part.start), part.len(), self.keeper.clone()) }?;
        // It was read a second time, by the ring.
        if ring.capacity() != capacity as usize {
            return Err(RegionError::Geometry);
        }
        Ok(ring)
    }

    /// The end of whoever made the region.
    ///
    /// # Errors
    ///
    /// [`RegionError::Taken`] if it has been taken, [`RegionError::Queue`] if a peer has destroyed its queues.
    pub fn first(&self) -> Result<Peer<F, S, PF, PS>, RegionError> {
        let [forth, back] = &self.geometry.queues;
        self.end(Side::First, forth, back)
    }

    /// The end of whoever attached to the region.
    ///
    /// # Errors
    ///
    /// As [`first`](Self::first).
    pub fn second(&self) -> Result<Peer<S, F, PS, PF>, RegionError> {
        let [forth, back] = &self.geometry.queues;
        self.end(Side::Second, back, forth)
    }

    fn end<Out: Entry, In: Entry, PO: Producers, PI: Producers>(
        &self,
        side: Side,
        out: &Range<usize>,
        into: &Range<usize>,
    ) -> Result<Peer<Out, In, PO, PI>, RegionError> {
        let Geometry { returns, arenas, chosen, .. } = &self.geometry;
        let (own, peers) = (side as usize, side.other() as usize);
        let sender = self.ring::<Out, PO>(out, chosen.capacities[own])?;
        let receiver = self.ring::<In, PI>(into, chosen.capacities[peers])?;
        let come_back = self.ring::<Token, One>(&returns[own], chosen.away)?;
        let give_back = self.ring::<Token, One>(&returns[peers], chosen.away)?;
        let closers = [sender.closer(), receiver.closer()];
        // SAFETY: the region begins with a header and has the queues, and the keeper keeps it.
        let link = unsafe { Link::enter(self.base, side, closers, self.keeper.clone()) }?;
        let place = Place {
            base: self.base,
            own: arenas[own].clone(),
            peers: arenas[peers].clone(),
            tickets: chosen.away,
        };
        debug_assert!(self.base.addr().get().is_multiple_of(GRANULE));
        // SAFETY: the geometry has found room for the arenas, aligned to pages as the region is, and nothing but the
        // heaps' buffers uses them. The queues have the keeper.
        let arena = unsafe { Arena::new(place, come_back.receiver()?, give_back.sender()?) };
        Ok(Peer { sender: sender.sender()?, receiver: receiver.receiver()?, arena, link })
    }

    /// The file, if it is in one: pass it to the other process, which [opens](Self::open) it.
    #[cfg(feature = "std")]
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }
}

impl<F: Entry, S: Entry, PF: Producers, PS: Producers> fmt::Debug for Region<F, S, PF, PS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("size", &self.geometry.size).finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "std"))]
mod tests;
