//! The two sides' signs of life, and the bells by which they wake each other.

use core::{fmt, ptr::NonNull};

#[cfg(feature = "std")]
use super::Watch;
#[cfg(feature = "std")]
use crate::wake::{Ringer, Waiter};
use crate::{
    region::{Header, Keeper, Life, RegionError, Side},
    wake::SharedBell,
};

/// Says that this end is there, until it is dropped, and knows whether the other one is.
///
/// A peer says itself when it goes; if it is killed, its [`Watch`] knows.
pub struct Link {
    header: NonNull<Header>,
    side: Side,
    keeper: Keeper,
    #[cfg(feature = "std")]
    watch: Option<Watch>,
}

// SAFETY: the header consists of atomics, which any thread may use, and the keeper keeps it.
unsafe impl Send for Link {}
// SAFETY: the same.
unsafe impl Sync for Link {}

fn own_pid() -> u32 {
    #[cfg(feature = "std")]
    return std::process::id();
    #[cfg(not(feature = "std"))]
    0
}

impl Link {
    /// Takes a side.
    ///
    /// # Safety
    ///
    /// A region must begin at `base`, which `keeper` keeps.
    pub(crate) unsafe fn enter(
        base: NonNull<u8>,
        side: Side,
        keeper: Keeper,
    ) -> Result<Self, RegionError> {
        let header = base.cast::<Header>();
        // SAFETY: it is there, says the caller, and consists of atomics.
        unsafe { header.as_ref() }.enter(side, own_pid())?;
        Ok(Link {
            header,
            side,
            keeper,
            #[cfg(feature = "std")]
            watch: None,
        })
    }

    fn header(&self) -> &Header {
        // SAFETY: the keeper keeps it, and it consists of atomics.
        unsafe { self.header.as_ref() }
    }

    /// Which side this is.
    pub fn side(&self) -> Side {
        self.side
    }

    fn bell(&self, side: Side) -> SharedBell<Keeper> {
        // SAFETY: the header has a bell there, initialised and aligned, which the keeper keeps; everything else in it
        // is used by atomic operations too.
        unsafe {
            SharedBell::new(self.header.cast::<u8>().add(Header::bell(side)), self.keeper.clone())
        }
    }

    /// What this side sleeps on, and the peer rings.
    pub fn own_bell(&self) -> SharedBell<Keeper> {
        self.bell(self.side)
    }

    /// What the peer sleeps on, to be rung after something was sent, received, or given back.
    pub fn peers_bell(&self) -> SharedBell<Keeper> {
        self.bell(self.side.other())
    }

    /// A waiter on our own bell, which spins as long as that pays.
    #[cfg(feature = "std")]
    pub fn waiter(&self) -> Waiter<SharedBell<Keeper>> {
        Waiter::new(self.own_bell())
    }

    /// Rings the peer's bell.
    #[cfg(feature = "std")]
    pub fn ringer(&self) -> Ringer<SharedBell<Keeper>> {
        Ringer::new(self.peers_bell())
    }

    /// Whether the peer is there, as it says itself, or as has been seen before. A load.
    #[inline]
    pub fn peer_says(&self) -> Life {
        self.header().life(self.side.other())
    }

    /// The peer's process, as it says itself. For people to read.
    pub fn peers_pid(&self) -> u32 {
        self.header().pid(self.side.other())
    }

    /// Whether the peer is there, as it says itself and as the host says of its process. A call to the host, if the
    /// peer says that it is there.
    #[cfg(feature = "std")]
    pub fn peer(&self) -> Life {
        let life = self.peer_says();
        let over = matches!(life, Life::Left | Life::Dead);
        if !over && self.watch.as_ref().is_some_and(Watch::is_over) {
            self.header().set_life(self.side.other(), Life::Dead);
            return Life::Dead;
        }
        life
    }

    /// Has the peer's process watched. [`connect`](super::connect) does it.
    #[cfg(feature = "std")]
    pub fn set_watch(&mut self, watch: Watch) {
        self.watch = Some(watch);
    }

    /// The watch on the peer's process: readable when that has ended.
    #[cfg(feature = "std")]
    pub fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.header().set_life(self.side, Life::Left);
        // That it is gone is news.
        #[cfg(feature = "std")]
        drop(self.ringer());
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("side", &self.side)
            .field("peer", &self.peer_says())
            .finish_non_exhaustive()
    }
}
