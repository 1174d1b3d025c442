//! What a region begins with.

use core::{
    mem::{offset_of, size_of},
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use super::{
    RegionError,
    geometry::{Chosen, Geometry, Side},
};
use crate::{Producers, wake::Bell};

/// The version of a region's layout: regions of another are refused. (Queues have a [version](crate::VERSION) of their own.)
pub const VERSION: u32 = 1;

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
    sides: [SideLines; 2],
}

/// What one side says of itself.
#[repr(C, align(128))]
struct SideLines {
    /// A [`Life`].
    life: AtomicU32,
    /// For people to read.
    pid: AtomicU32,
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
    /// Begins the region's description; it is valid once [`publish`](Self::publish) is called. The memory was zeroed.
    pub(super) fn write(&self, geometry: &Geometry) {
        let Chosen { capacities, arenas, away } = geometry.chosen;
        self.version.store(VERSION, Ordering::Relaxed);
        self.size.store(geometry.size as u64, Ordering::Relaxed);
        for i in 0..2 {
            self.arenas[i].store(arenas[i], Ordering::Relaxed);
            self.capacities[i].store(capacities[i], Ordering::Relaxed);
        }
        self.away.store(away, Ordering::Relaxed);
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

    /// Takes a side, for good.
    pub(crate) fn enter(&self, side: Side, pid: u32) -> Result<(), RegionError> {
        let lines = &self.sides[side as usize];
        let (vacant, here) = (Life::Vacant as u32, Life::Here as u32);
        match lines.life.compare_exchange(vacant, here, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => {
                lines.pid.store(pid, Ordering::Relaxed);
                Ok(())
            }
            Err(_) => Err(RegionError::Taken),
        }
    }

    pub(crate) fn life(&self, side: Side) -> Life {
        match self.sides[side as usize].life.load(Ordering::Acquire) {
            0 => Life::Vacant,
            1 => Life::Here,
            2 => Life::Left,
            _ => Life::Dead,
        }
    }

    pub(crate) fn set_life(&self, side: Side, life: Life) {
        self.sides[side as usize].life.store(life as u32, Ordering::Release);
    }

    pub(crate) fn pid(&self, side: Side) -> u32 {
        self.sides[side as usize].pid.load(Ordering::Relaxed)
    }

    /// Where the side's bell is, from the region's beginning.
    pub(crate) const fn bell(side: Side) -> usize {
        let sides = offset_of!(Header, sides) + side as usize * size_of::<SideLines>();
        sides + offset_of!(SideLines, bell)
    }
}
