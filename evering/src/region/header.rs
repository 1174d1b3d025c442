//! What a region begins with.

use core::{
    mem::{offset_of, size_of},
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use super::{
    RegionError,
    geometry::{Chosen, Geometry, Side},
};
#[cfg(feature = "std")]
use crate::wake::Cpus;
use crate::{Producers, wake::Bell};

/// The version of a region's layout: regions of another are refused. (Queues have a [version](crate::VERSION) of their own.)
pub const VERSION: u32 = 2;

const LIFE_BITS: u32 = 2;

/// What a generation can be: it shares a word with a [`Life`].
const GENERATIONS: u32 = u32::MAX >> LIFE_BITS;

/// "evRN".
const MAGIC: u32 = u32::from_le_bytes(*b"evRN");

/// Written once but for the sides; all atomic, as a peer may write at any time.
#[repr(C, align(128))]
pub(crate) struct Header {
    magic: AtomicU32,
    version: AtomicU32,
    size: AtomicU64,
    arenas: [AtomicU64; 2],
    capacities: [AtomicU32; 2],
    away: AtomicU32,
    /// How often a region was made in this memory.
    generation: AtomicU32,
    sides: [SideLines; 2],
}

/// What one side says of itself.
#[repr(C, align(128))]
struct SideLines {
    /// The region's generation, and a [`Life`] in the lowest [`LIFE_BITS`].
    life: AtomicU32,
    /// For people to read.
    pid: AtomicU32,
    /// On which [CPUs](crate::wake::Cpus) it may run, as it says itself; 0 if it has not said.
    cpus: AtomicU64,
    /// What it sleeps on.
    bell: Bell,
}

const _: () = assert!(size_of::<Header>() == 640);

/// Whether a side is there, as far as one can tell.
///
/// ```text
///                attach           drop
///      Vacant ──────────► Here ──────────► Left
///                          │
///                          └─────────────► Dead
///                            written by the other side, which saw the process end
/// ```
///
/// The word in the region has the region's generation beside it. Where a new region is made in the memory of one that somebody
/// still has, after its process was taken for dead perhaps, that one finds another generation, and its peer dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Life {
    /// It has not come yet.
    Vacant = 0,
    /// It is there.
    Here = 1,
    /// It has gone, and said so.
    Left = 2,
    /// Its process ended without a word, or it says nonsense of itself.
    Dead = 3,
}

impl Header {
    /// The generation of a region that is made where this header is.
    pub(super) fn next_generation(&self) -> u32 {
        if self.magic.load(Ordering::Acquire) != MAGIC {
            return 0;
        }
        Self::generation_after(self.generation())
    }

    /// The one that follows.
    pub(super) fn generation_after(generation: u32) -> u32 {
        generation.wrapping_add(1) & GENERATIONS
    }

    /// The region's generation, as the memory says.
    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Relaxed) & GENERATIONS
    }

    /// Begins the region's description; it is valid once [`publish`](Self::publish) is called. The memory was zeroed.
    pub(super) fn write(&self, geometry: &Geometry, generation: u32) {
        let Chosen { capacities, arenas, away } = geometry.chosen;
        self.version.store(VERSION, Ordering::Relaxed);
        self.size.store(geometry.size as u64, Ordering::Relaxed);
        for i in 0..2 {
            self.arenas[i].store(arenas[i], Ordering::Relaxed);
            self.capacities[i].store(capacities[i], Ordering::Relaxed);
            self.sides[i].life.store(word(generation, Life::Vacant), Ordering::Relaxed);
        }
        self.away.store(away, Ordering::Relaxed);
        self.generation.store(generation, Ordering::Relaxed);
    }

    /// Says that the region is complete.
    pub(super) fn publish(&self) {
        self.magic.store(MAGIC, Ordering::Release);
    }

    /// Checks that a region begins here that takes up exactly `len` bytes. Each field is read once.
    pub(super) fn check<F, S, PF: Producers, PS: Producers>(
        &self,
        len: usize,
    ) -> Result<Geometry, RegionError> {
        if self.magic.load(Ordering::Acquire) != MAGIC {
            return Err(RegionError::Magic);
        }
        match self.version.load(Ordering::Relaxed) {
            VERSION => {}
            other => return Err(RegionError::Version(other)),
        }
        let size = self.size.load(Ordering::Relaxed);
        let chosen = Chosen {
            capacities: [0, 1].map(|i: usize| self.capacities[i].load(Ordering::Relaxed)),
            arenas: [0, 1].map(|i: usize| self.arenas[i].load(Ordering::Relaxed)),
            away: self.away.load(Ordering::Relaxed),
        };
        let geometry = Geometry::new::<F, S, PF, PS>(chosen)?;
        if size != geometry.size as u64 {
            return Err(RegionError::Geometry);
        }
        if geometry.size != len {
            return Err(RegionError::Size);
        }
        Ok(geometry)
    }

    /// Takes a side, for good; returns in which generation.
    pub(crate) fn enter(&self, side: Side, pid: u32) -> Result<u32, RegionError> {
        let lines = &self.sides[side as usize];
        let generation = self.generation();
        let (vacant, here) = (word(generation, Life::Vacant), word(generation, Life::Here));
        match lines.life.compare_exchange(vacant, here, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => {
                lines.pid.store(pid, Ordering::Relaxed);
                Ok(generation)
            }
            Err(_) => Err(RegionError::Taken),
        }
    }

    /// Of a side of that generation.
    #[inline]
    pub(crate) fn life(&self, side: Side, generation: u32) -> Life {
        match self.sides[side as usize].life.load(Ordering::Acquire) {
            now if now == word(generation, Life::Vacant) => Life::Vacant,
            now if now == word(generation, Life::Here) => Life::Here,
            now if now == word(generation, Life::Left) => Life::Left,
            _ => Life::Dead,
        }
    }

    /// Says so of a side, if it is of that generation and there.
    pub(crate) fn end(&self, side: Side, generation: u32, life: Life) {
        let (here, end) = (word(generation, Life::Here), word(generation, life));
        // Another one's word is not ours to change.
        let _ = self.sides[side as usize].life.compare_exchange(
            here,
            end,
            Ordering::Release,
            Ordering::Relaxed,
        );
    }

    pub(crate) fn pid(&self, side: Side) -> u32 {
        self.sides[side as usize].pid.load(Ordering::Relaxed)
    }

    #[cfg(feature = "std")]
    pub(crate) fn set_cpus(&self, side: Side, cpus: Cpus) {
        self.sides[side as usize].cpus.store(cpus.to_bits(), Ordering::Relaxed);
    }

    #[cfg(feature = "std")]
    pub(crate) fn cpus(&self, side: Side) -> Cpus {
        Cpus::from_bits(self.sides[side as usize].cpus.load(Ordering::Relaxed))
    }

    /// Where the side's bell is, from the region's beginning.
    pub(crate) const fn bell(side: Side) -> usize {
        let sides = offset_of!(Header, sides) + side as usize * size_of::<SideLines>();
        sides + offset_of!(SideLines, bell)
    }
}

fn word(generation: u32, life: Life) -> u32 {
    generation << LIFE_BITS | life as u32
}
