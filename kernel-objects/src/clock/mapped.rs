//! Clocks in memory: a page that programs map, to read a clock without a handle to it.
//!
//! The page has what a [`Clock`](super::Clock) keeps under its lock, written anew at each change. The number that it begins with is odd
//! while that happens, and has become another when it is done: who finds the same even number before and after reading has read what
//! belongs together.

use std::sync::Arc;

use hal::pmem::{PAGE_SIZE, PhysicalMemory};

use super::{ClockDetails, ClockOptions, Transformation, reference};
use crate::{
    error::{Error, Result},
    object::KernelObject,
    vmo::{Vmo, VmoOptions},
};

/// How many bytes of it there are to map: `ZX_INFO_CLOCK_MAPPED_SIZE`.
pub const MAPPED_SIZE: u64 = PAGE_SIZE as u64;

const WORDS: usize = 11;

/// How many bytes at the beginning of the page a reader needs.
pub const STATE_SIZE: usize = WORDS * 8;

/// The page of a clock.
pub(super) struct Page(Arc<Vmo>);

impl Page {
    pub(super) fn new(memory: &Arc<PhysicalMemory>) -> Result<Self> {
        let vmo = Vmo::create(memory, MAPPED_SIZE, VmoOptions::default())?;
        vmo.set_name("kernel-clock");
        Ok(Self(vmo))
    }

    pub(super) fn vmo(&self) -> &Arc<Vmo> {
        &self.0
    }

    /// Shows `details`, but for when they were asked for. For one writer at a time.
    pub(super) fn publish(&self, details: &ClockDetails) {
        let mut first = [0; 8];
        // Each copy takes a lock of the VMO's, so that none is done before the one that comes first. The memory is there: nothing fails.
        let _ = self.0.read(0, &mut first);
        let number = u64::from_ne_bytes(first);
        let _ = self.0.write(0, &number.wrapping_add(1).to_ne_bytes());
        let words = encode(details).map(u64::to_ne_bytes);
        let _ = self.0.write(8, words.as_flattened().get(8..).unwrap_or_default());
        let _ = self.0.write(0, &number.wrapping_add(2).to_ne_bytes());
    }
}

/// Everything but the number that changes.
fn encode(details: &ClockDetails) -> [u64; WORDS] {
    let line = details.transformation;
    [
        0,
        details.options.bits(),
        details.backstop.cast_unsigned(),
        line.reference_offset.cast_unsigned(),
        line.synthetic_offset.cast_unsigned(),
        u64::from(line.synthetic_ticks) << 32 | u64::from(line.reference_ticks),
        details.error_bound,
        details.last_value_update,
        details.last_rate_adjust_update,
        details.last_error_bound_update,
        details.generation.into(),
    ]
}

impl ClockDetails {
    /// What a page with these first bytes shows now, if the number that it begins with was `before` until they were read and `after`
    /// once they had been. (The bytes have it, too, but a copy need not begin with its first byte.) They are believed: whoever may
    /// write there may have it show anything.
    ///
    /// # Errors
    ///
    /// [`Error::ShouldWait`] if it is being changed.
    pub fn of_mapped(before: u64, bytes: &[u8; STATE_SIZE], after: u64) -> Result<Self> {
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        let [_, options, backstop, at, shows, rate, error_bound, value, adjust, bound, n] = words;
        if !before.is_multiple_of(2) || before != after {
            return Err(Error::ShouldWait);
        }
        let options = ClockOptions::from_bits_truncate(options);
        Ok(Self {
            options,
            backstop: backstop.cast_signed(),
            transformation: Transformation {
                reference_offset: at.cast_signed(),
                synthetic_offset: shows.cast_signed(),
                synthetic_ticks: (rate >> 32) as u32,
                reference_ticks: rate as u32,
            },
            error_bound,
            query: reference(options).now(),
            last_value_update: value,
            last_rate_adjust_update: adjust,
            last_error_bound_update: bound,
            generation: n as u32,
        })
    }

    /// What the clock showed when this was looked at.
    pub fn shows(&self) -> i64 {
        self.transformation.apply(i64::try_from(self.query).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;

    fn read<const N: usize>(clock: &Clock) -> [u8; N] {
        let mut bytes = [0; N];
        clock.mapped().unwrap().read(0, &mut bytes).unwrap();
        bytes
    }

    fn number(clock: &Clock) -> u64 {
        u64::from_ne_bytes(read(clock))
    }

    fn mapped(clock: &Clock) -> Result<ClockDetails> {
        let (before, bytes) = (number(clock), read(clock));
        ClockDetails::of_mapped(before, &bytes, number(clock))
    }

    #[test]
    fn a_mapped_clock_shows_what_the_clock_shows() {
        let memory = PhysicalMemory::new(None).unwrap();
        let clock = Clock::create_mappable(&memory, ClockOptions::MAPPABLE, 1000).unwrap();
        assert_eq!(mapped(&clock).unwrap().shows(), 1000, "stopped");
        let update = ClockUpdate {
            synthetic: Some(5000),
            error_bound: Some(7),
            rate_adjust: Some(100),
            ..ClockUpdate::default()
        };
        clock.update(&update).unwrap();
        let details = mapped(&clock).unwrap();
        assert_eq!(
            ClockDetails { query: 0, ..details },
            ClockDetails { query: 0, ..clock.details() }
        );
        let (before, shows) = (clock.read(), mapped(&clock).unwrap().shows());
        assert!((before..=clock.read()).contains(&shows));
        assert!(clock.default_rights().contains(crate::Rights::MAP));
    }

    #[test]
    fn what_is_being_written_is_not_believed() {
        let memory = PhysicalMemory::new(None).unwrap();
        let clock = Clock::create_mappable(&memory, ClockOptions::MAPPABLE, 0).unwrap();
        let (bytes, n) = (read(&clock), number(&clock));
        assert!(ClockDetails::of_mapped(n, &bytes, n).is_ok());
        assert_eq!(ClockDetails::of_mapped(n, &bytes, n + 2).err(), Some(Error::ShouldWait));
        assert_eq!(ClockDetails::of_mapped(n + 1, &bytes, n + 1).err(), Some(Error::ShouldWait));
    }

    #[test]
    fn readers_see_updates_whole() {
        let memory = PhysicalMemory::new(None).unwrap();
        let clock = Clock::create_mappable(&memory, ClockOptions::MAPPABLE, 0).unwrap();
        clock.update(&ClockUpdate { synthetic: Some(0), ..ClockUpdate::default() }).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for bound in 1..2000u64 {
                    let (synthetic, error_bound) = (Some(bound as i64), Some(bound));
                    let update = ClockUpdate { synthetic, error_bound, ..ClockUpdate::default() };
                    clock.update(&update).unwrap();
                }
            });
            for _ in 0..20_000 {
                if let Ok(details) = mapped(&clock)
                    && details.error_bound != UNKNOWN_ERROR_BOUND
                {
                    let set = details.transformation.synthetic_offset;
                    assert_eq!(details.error_bound as i64, set);
                }
            }
        });
    }

    #[test]
    fn a_clock_is_mappable_only_if_it_was_made_so() {
        let memory = PhysicalMemory::new(None).unwrap();
        let create = |options| Clock::create_mappable(&memory, options, 0).unwrap();
        assert!(create(ClockOptions::MAPPABLE).mapped().is_some());
        assert!(create(ClockOptions::MONOTONIC).mapped().is_none(), "there is memory for it");
        assert!(Clock::create(ClockOptions::empty(), 0).unwrap().mapped().is_none());
        assert_eq!(Clock::create(ClockOptions::MAPPABLE, 0).err(), Some(Error::InvalidArgs));
    }

    #[test]
    fn each_field_has_a_place_of_its_own_and_each_update_another_even_number() {
        let memory = PhysicalMemory::new(None).unwrap();
        let options = ClockOptions::MAPPABLE | ClockOptions::BOOT | ClockOptions::MONOTONIC;
        let clock = Clock::create_mappable(&memory, options, 1000).unwrap();
        let nothing = ClockUpdate::default();
        for update in [
            ClockUpdate { synthetic: Some(5000), ..nothing },
            ClockUpdate { error_bound: Some(7), ..nothing },
            ClockUpdate { rate_adjust: Some(-100), ..nothing },
        ] {
            let before = number(&clock);
            assert_eq!(clock.update(&update), Ok(()));
            assert_eq!((before % 2, number(&clock)), (0, before + 2));
        }
        let (shown, details) = (mapped(&clock).unwrap(), clock.details());
        assert!(details.last_value_update < details.last_error_bound_update);
        assert!(details.last_error_bound_update < details.last_rate_adjust_update);
        assert_eq!(ClockDetails { query: 0, ..shown }, ClockDetails { query: 0, ..details });
        assert!(clock.update(&ClockUpdate { rate_adjust: Some(1001), ..nothing }).is_err());
        assert_eq!(mapped(&clock).map(|it| it.generation), Ok(details.generation));
        let plain = Clock::create_mappable(&memory, ClockOptions::empty(), 0).unwrap();
        assert!(plain.mapped().is_none() && !plain.default_rights().contains(crate::Rights::MAP));
    }
}
