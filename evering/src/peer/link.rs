//! The two sides' signs of life, and the bells by which they wake each other.
//!
//! The one idea: a death is told as a departure would have been. Who learns that the peer's process has ended closes the peer's
//! ends of the queues in its place and rings its own bell, so whoever sleeps wakes up and finds the
//! queue closed, and nothing above needs to know of processes.

use alloc::sync::Arc;
use core::{
    fmt,
    ptr::NonNull,
    sync::atomic::{AtomicBool, Ordering},
};
#[cfg(feature = "std")]
use std::io;

#[cfg(feature = "std")]
use super::{Watch, deaths::Watched};
#[cfg(feature = "std")]
use crate::wake::{Cpus, EventFd, EventWaiter, Ringer, Spin, Waiter};
use crate::{
    queue::{Closer, RECEIVER_GONE, SENDER_DIED, SENDER_GONE},
    region::{Header, Keeper, Life, RegionError, Side},
    wake::SharedBell,
};

/// Says that this end is there, until it is dropped, and knows whether the other one is.
///
/// A peer says itself when it goes. That it was killed the host says, if its process is [watched](Self::set_watch).
pub struct Link {
    signs: Arc<Signs>,
    #[cfg(feature = "std")]
    watched: Option<Watched>,
}

/// What a link has in the region.
pub(super) struct Signs {
    header: NonNull<Header>,
    side: Side,
    /// In which generation of the region it was taken.
    generation: u32,
    /// Of the queue that we send into, and of the one that we receive from.
    closers: [Closer; 2],
    keeper: Keeper,
    /// The peer's process has been seen to be over, and the queues are closed. Ours: what the region says others could
    /// change.
    over: AtomicBool,
    #[cfg(feature = "std")]
    events: Option<Events>,
}

/// The eventfds, where the sides may sleep on some.
#[cfg(feature = "std")]
#[derive(Debug)]
pub(super) struct Events {
    pub(super) own: EventFd,
    pub(super) peers: EventFd,
}

// SAFETY: what the pointers lead to consists of atomics, which any thread may use, and the keeper keeps it.
unsafe impl Send for Signs {}
// SAFETY: the same.
unsafe impl Sync for Signs {}

fn own_pid() -> u32 {
    #[cfg(feature = "std")]
    return std::process::id();
    #[cfg(not(feature = "std"))]
    0
}

impl Signs {
    fn header(&self) -> &Header {
        // SAFETY: the keeper keeps it, and it consists of atomics.
        unsafe { self.header.as_ref() }
    }

    fn bell(&self, side: Side) -> SharedBell<Keeper> {
        // SAFETY: the header has a bell there, initialised and aligned, which the keeper keeps; everything else in it
        // is used by atomic operations too.
        unsafe {
            SharedBell::new(self.header.cast::<u8>().add(Header::bell(side)), self.keeper.clone())
        }
    }

    /// The peer's process is over: does what it would have done if it had gone in peace, and rings our own bell in its
    /// place.
    pub(super) fn peer_is_dead(&self) {
        for (closer, gone) in self.closers.iter().zip([RECEIVER_GONE, SENDER_GONE | SENDER_DIED]) {
            // SAFETY: the keeper keeps the queues.
            unsafe { closer.close(gone) };
        }
        // After that: who sees it finds the queues closed.
        self.over.store(true, Ordering::Release);
        self.header().end(self.side.other(), self.generation, Life::Dead);
        #[cfg(feature = "std")]
        self.ring(self.side, |events| &events.own);
    }

    /// Rings that side's bell once. Needs no descriptor of its own, so that an end is always told.
    #[cfg(feature = "std")]
    fn ring(&self, side: Side, event: impl FnOnce(&Events) -> &EventFd) {
        drop(Ringer::new(self.bell(side)));
        if let Some(events) = &self.events {
            // Perhaps for nothing, which is harmless.
            event(events).signal();
        }
    }

    #[cfg(feature = "std")]
    fn ringer(
        &self,
        side: Side,
        event: impl FnOnce(&Events) -> &EventFd,
    ) -> Ringer<SharedBell<Keeper>> {
        let bell = self.bell(side);
        match self.events.as_ref().and_then(|events| event(events).try_clone().ok()) {
            Some(event) => Ringer::with_event(bell, event),
            None => Ringer::new(bell),
        }
    }
}

impl Link {
    /// Takes a side. The closers are those of the queue that it sends into, and of the one that it receives from.
    ///
    /// # Safety
    ///
    /// A region must begin at `base`, which `keeper` keeps, and have the queues.
    pub(crate) unsafe fn enter(
        base: NonNull<u8>,
        side: Side,
        closers: [Closer; 2],
        keeper: Keeper,
    ) -> Result<Self, RegionError> {
        let header = base.cast::<Header>();
        // SAFETY: it is there, says the caller, and consists of atomics.
        let generation = unsafe { header.as_ref() }.enter(side, own_pid())?;
        let signs = Signs {
            header,
            side,
            generation,
            closers,
            keeper,
            over: AtomicBool::new(false),
            #[cfg(feature = "std")]
            events: None,
        };
        Ok(Link {
            signs: Arc::new(signs),
            #[cfg(feature = "std")]
            watched: None,
        })
    }

    /// Which side this is.
    pub fn side(&self) -> Side {
        self.signs.side
    }

    /// What this side sleeps on, and the peer rings.
    pub fn own_bell(&self) -> SharedBell<Keeper> {
        self.signs.bell(self.side())
    }

    /// What the peer sleeps on, to be rung after something was sent, received, or given back.
    pub fn peers_bell(&self) -> SharedBell<Keeper> {
        self.signs.bell(self.side().other())
    }

    /// Whether the peer is there, as far as is known: it has said that it goes, or its process was seen to be
    /// over.
    #[inline]
    pub fn peer(&self) -> Life {
        match self.signs.header().life(self.side().other(), self.signs.generation) {
            Life::Left => Life::Left,
            _ if self.signs.over.load(Ordering::Acquire) => Life::Dead,
            life => life,
        }
    }

    /// Says that the peer is dead, for those who know it by other means than a [watch](Self::set_watch): this end finds the
    /// queues closed, after whatever was sent before, and its bell rings.
    pub fn peer_is_dead(&self) {
        self.signs.peer_is_dead();
    }

    /// The peer's process, as it says itself. For people to read.
    pub fn peers_pid(&self) -> u32 {
        self.signs.header().pid(self.side().other())
    }
}

#[cfg(feature = "std")]
impl Link {
    /// How long the calling thread should spin when it waits: as long as that pays, and not at all if the peer says that it
    /// has the same only CPU. The peer is told where the calling thread may run, for its own next waiter.
    pub fn spin(&self) -> Spin {
        let own = self.tell_cpus();
        Spin::between(own, self.signs.header().cpus(self.side().other()))
    }

    /// Tells the peer where the calling thread may run.
    pub(super) fn tell_cpus(&self) -> Cpus {
        let own = Cpus::of_this_thread();
        self.signs.header().set_cpus(self.side(), own);
        own
    }

    /// A waiter on our own bell, for the calling thread, which [spins](Self::spin) as long as that pays.
    pub fn waiter(&self) -> Waiter<SharedBell<Keeper>> {
        Waiter::with_spin(self.own_bell(), self.spin())
    }

    /// Rings the peer's bell, whichever way it sleeps. It has a descriptor of the peer's eventfd, if the connection has
    /// [such](crate::region::Options::events); made when none is left, it wakes a peer on its futex only.
    pub fn ringer(&self) -> Ringer<SharedBell<Keeper>> {
        self.signs.ringer(self.side().other(), |events| &events.peers)
    }

    /// A waiter on our eventfd, for the calling thread, if the connection has [such](crate::region::Options::events).
    pub fn event_waiter(&self) -> Option<EventWaiter<SharedBell<Keeper>>> {
        let event = self.signs.events.as_ref()?.own.try_clone().ok()?;
        Some(EventWaiter::with_spin(self.own_bell(), event, self.spin()))
    }

    /// Has the peer's process watched: if it is over, this end finds the queues closed, after whatever was sent before, and
    /// its bell rings. [`connect`](super::connect) does this.
    ///
    /// All that are watched by this process have one thread, which sleeps.
    ///
    /// # Errors
    ///
    /// The host's: there are no descriptors or threads left, for example.
    pub fn set_watch(&mut self, watch: Watch) -> io::Result<()> {
        self.watched = Some(Watched::new(watch, self.signs.clone())?);
        Ok(())
    }

    /// The watch on the peer's process.
    pub fn watch(&self) -> Option<&Watch> {
        self.watched.as_ref().map(Watched::watch)
    }

    /// Looks at the watch now: one that was killed just before may not have been noticed yet.
    pub fn look(&self) -> Life {
        if !self.signs.over.load(Ordering::Acquire) && self.watch().is_some_and(Watch::is_over) {
            self.peer_is_dead();
        }
        self.peer()
    }

    /// To be called before anybody else has a share in the signs.
    pub(super) fn set_events(&mut self, events: Events) {
        if let Some(signs) = Arc::get_mut(&mut self.signs) {
            signs.events = Some(events);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.signs.header().end(self.side(), self.signs.generation, Life::Left);
        // That it is gone is news.
        #[cfg(feature = "std")]
        self.signs.ring(self.side().other(), |events| &events.peers);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("side", &self.side())
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}
