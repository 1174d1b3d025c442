//! Clocks: lines through the time of the machine.
//!
//! A [`Clock`] is a *transformation*: a point and a slope, which turn the time of a reference (the monotonic or the
//! boot clock) into its own, *synthetic* time. Whoever maintains it moves the point or changes the slope in one
//! atomic [`update`](Clock::update); all others read. It starts with the first update that gives it a value and
//! shows its backstop until then, which it never goes below.
//!
//! A clock can promise more: a *monotonic* one never goes back, a *continuous* one does not jump either,
//! so that only its rate can be changed once it runs. An update that would break the promise is refused.

use std::{fmt, sync::Arc};

use bitflags::bitflags;
use hal::{
    pmem::PhysicalMemory,
    time::{boottime, monotonic},
};
use parking_lot::RwLock;

use crate::{
    deadline::Deadline,
    error::{Error, Result},
    object::{KObjectBase, KernelObject, ObjectType},
    rights::Rights,
    signals::Signals,
    vmo::Vmo,
};

mod mapped;

pub use mapped::{MAPPED_SIZE, STATE_SIZE};

/// A clock of the machine: `zx_clock_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum ClockId {
    /// Does not count the time for which the machine was suspended: `ZX_CLOCK_MONOTONIC`.
    #[default]
    Monotonic = 0,
    /// Counts it: `ZX_CLOCK_BOOT`. What is due in such a time happens some time after it.
    Boot = 1,
}

impl ClockId {
    /// The clock with this number.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`].
    pub fn from_raw(raw: u32) -> Result<Self> {
        match raw {
            0 => Ok(Self::Monotonic),
            1 => Ok(Self::Boot),
            _ => Err(Error::InvalidArgs),
        }
    }

    /// The time of this clock, in ns (`zx_clock_get_monotonic`, `zx_clock_get_boot`).
    pub fn now(self) -> u64 {
        match self {
            Self::Monotonic => monotonic(),
            Self::Boot => boottime(),
        }
    }

    /// What the monotonic clock will show when this one shows `time`.
    pub fn to_monotonic(self, time: u64) -> Deadline {
        match self {
            Self::Monotonic => time,
            // In this order, so that time that passes in between makes it late, not early.
            Self::Boot => translate(time, boottime(), monotonic()),
        }
    }
}

/// What the monotonic clock, which shows `monotonic`, will show when one that shows `now` will show `time`.
fn translate(time: u64, now: u64, monotonic: u64) -> Deadline {
    monotonic.saturating_add(time.saturating_sub(now))
}

bitflags! {
    /// What a clock promises: `ZX_CLOCK_OPT_*`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct ClockOptions: u64 {
        /// It never goes back: `ZX_CLOCK_OPT_MONOTONIC`.
        const MONOTONIC = 1 << 0;
        /// It never jumps: `ZX_CLOCK_OPT_CONTINUOUS`.
        const CONTINUOUS = 1 << 1;
        /// It runs from the start and shows what its reference shows: `ZX_CLOCK_OPT_AUTO_START`.
        const AUTO_START = 1 << 2;
        /// Its reference is the boot clock: `ZX_CLOCK_OPT_BOOT`.
        const BOOT = 1 << 3;
        /// Programs can map it: `ZX_CLOCK_OPT_MAPPABLE`.
        const MAPPABLE = 1 << 4;
    }
}

/// By how much the rate of a clock may be changed, in parts per million: `ZX_CLOCK_UPDATE_MAX_RATE_ADJUST`.
pub const MAX_RATE_ADJUST: i32 = 1000;

/// Nobody knows how wrong the clock may be: `ZX_CLOCK_UNKNOWN_ERROR_BOUND`.
pub const UNKNOWN_ERROR_BOUND: u64 = u64::MAX;

const MILLION: u32 = 1_000_000;

/// A line: `zx_clock_transformation_t`.
///
/// The synthetic time at reference time `r` is
/// `synthetic_offset + (r - reference_offset) * synthetic_ticks / reference_ticks`, rounded down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transformation {
    /// A time of the reference, in ns ...
    pub reference_offset: i64,
    /// ... and what the clock shows then, in ns.
    pub synthetic_offset: i64,
    /// By how much the clock moves ...
    pub synthetic_ticks: u32,
    /// ... while its reference moves by this much.
    pub reference_ticks: u32,
}

impl Transformation {
    /// What the clock shows at a time of the reference.
    pub fn apply(&self, reference: i64) -> i64 {
        let passed = i128::from(reference) - i128::from(self.reference_offset);
        let moved = (passed * i128::from(self.synthetic_ticks))
            .div_euclid(i128::from(self.reference_ticks.max(1)));
        let time = i128::from(self.synthetic_offset) + moved;
        time.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
}

/// What is to change: `zx_clock_update_args_v2_t`; `None` leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockUpdate {
    /// What the clock is to show, in ns.
    pub synthetic: Option<i64>,
    /// When in reference time it is to show that, or to change its rate; now if that is not given.
    pub reference: Option<i64>,
    /// How much faster it is to run than its reference, in parts per million.
    pub rate_adjust: Option<i32>,
    /// How wrong it may be, in ns.
    pub error_bound: Option<u64>,
}

/// All about a clock: `zx_clock_details_v1_t`. Times of the reference are in ns, as its ticks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockDetails {
    /// How it was made.
    pub options: ClockOptions,
    /// What it never goes below.
    pub backstop: i64,
    /// The present transformation. One with `synthetic_ticks` 0 has not been started.
    pub transformation: Transformation,
    /// How wrong it may be, in ns.
    pub error_bound: u64,
    /// When this was looked at.
    pub query: u64,
    /// When its value was last set; 0 for never, here and below.
    pub last_value_update: u64,
    /// When its rate was last set.
    pub last_rate_adjust_update: u64,
    /// When its error bound was last set.
    pub last_error_bound_update: u64,
    /// Another number after each update.
    pub generation: u32,
}

/// A clock that its users maintain (`zx_clock_create`).
///
/// ```
/// use kernel_objects::clock::{Clock, ClockOptions, ClockUpdate};
///
/// let clock = Clock::create(ClockOptions::empty(), 1_000).unwrap();
/// assert_eq!(clock.read(), 1_000); // stopped, at the backstop
///
/// let update = ClockUpdate { synthetic: Some(5_000), ..ClockUpdate::default() };
/// clock.update(&update).unwrap();
/// assert!(clock.read() >= 5_000); // runs
/// ```
pub struct Clock {
    base: KObjectBase,
    options: ClockOptions,
    backstop: i64,
    state: RwLock<State>,
    /// Where it can be read without a handle.
    page: Option<mapped::Page>,
}

struct State {
    transformation: Transformation,
    rate_adjust: i32,
    error_bound: u64,
    last_value_update: u64,
    last_rate_adjust_update: u64,
    last_error_bound_update: u64,
    generation: u32,
}

impl State {
    fn is_started(&self) -> bool {
        self.transformation.synthetic_ticks != 0
    }
}

/// The version of the arguments of an update, which have rules of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

impl Clock {
    /// A new clock, which shows at least `backstop`, a time in ns.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for unknown options or a mappable clock, for a continuous clock that is not monotonic, and for a
    /// backstop that is negative or, if the clock is started at once, later than the time of its reference.
    pub fn create(options: ClockOptions, backstop: i64) -> Result<Arc<Clock>> {
        if options.contains(ClockOptions::MAPPABLE) {
            return Err(Error::InvalidArgs);
        }
        Self::with_page(options, backstop, None)
    }

    /// As [`create`](Self::create), in a page of `memory` that can be mapped if the options say so.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create), and [`Error::NoMemory`].
    pub fn create_mappable(
        memory: &Arc<PhysicalMemory>,
        options: ClockOptions,
        backstop: i64,
    ) -> Result<Arc<Clock>> {
        let mappable = options.contains(ClockOptions::MAPPABLE);
        let page = mappable.then(|| mapped::Page::new(memory)).transpose()?;
        Self::with_page(options, backstop, page)
    }

    fn with_page(
        options: ClockOptions,
        backstop: i64,
        page: Option<mapped::Page>,
    ) -> Result<Arc<Clock>> {
        let monotonic = options.contains(ClockOptions::MONOTONIC);
        if !ClockOptions::all().contains(options)
            || (options.contains(ClockOptions::CONTINUOUS) && !monotonic)
        {
            return Err(Error::InvalidArgs);
        }
        let started = options.contains(ClockOptions::AUTO_START);
        let now = reference(options).now();
        if backstop < 0 || (started && backstop > signed(now)) {
            return Err(Error::InvalidArgs);
        }
        let (transformation, updated, signals) = if started {
            (line(0, 0, 0), now, Signals::CLOCK_STARTED)
        } else {
            let stopped = Transformation { synthetic_ticks: 0, ..line(0, backstop, 0) };
            (stopped, 0, Signals::empty())
        };
        let clock = Clock {
            base: KObjectBase::with("", signals),
            page,
            options,
            backstop,
            state: RwLock::new(State {
                transformation,
                rate_adjust: 0,
                error_bound: UNKNOWN_ERROR_BOUND,
                last_value_update: updated,
                last_rate_adjust_update: updated,
                last_error_bound_update: 0,
                generation: 0,
            }),
        };
        clock.publish(&clock.state.read());
        Ok(Arc::new(clock))
    }

    /// The page in which it can be read without a handle (`zx_vmar_map_clock`), to be mapped for reading only; `None` if it was not
    /// made for that.
    pub fn mapped(&self) -> Option<&Arc<Vmo>> {
        self.page.as_ref().map(mapped::Page::vmo)
    }

    fn publish(&self, state: &State) {
        if let Some(page) = &self.page {
            page.publish(&self.describe(state));
        }
    }

    /// What it shows, in ns (`zx_clock_read`).
    pub fn read(&self) -> i64 {
        let state = self.state.read();
        // Looked at with the lock held, so that no update lies between the time and what it means.
        state.transformation.apply(signed(reference(self.options).now()))
    }

    /// All about it (`zx_clock_get_details`).
    pub fn details(&self) -> ClockDetails {
        self.describe(&self.state.read())
    }

    fn describe(&self, state: &State) -> ClockDetails {
        ClockDetails {
            options: self.options,
            backstop: self.backstop,
            transformation: state.transformation,
            error_bound: state.error_bound,
            query: reference(self.options).now(),
            last_value_update: state.last_value_update,
            last_rate_adjust_update: state.last_rate_adjust_update,
            last_error_bound_update: state.last_error_bound_update,
            generation: state.generation,
        }
    }

    /// Changes it (`zx_clock_update`), and shows `CLOCK_UPDATED` to those who wait for that. The first change must give it a
    /// value, and starts it.
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it has not been started and gets no value. [`Error::InvalidArgs`]
    ///
    /// - for a rate beyond ±[`MAX_RATE_ADJUST`];
    /// - for a reference time without a value or rate to go with it;
    /// - if it is continuous and has been started, for a value;
    /// - if it is monotonic and has been started, for a value without a reference time, and for a rate with a
    ///   value or a reference time;
    /// - if it is monotonic and would go back;
    /// - if it would be below its backstop.
    pub fn update(&self, update: &ClockUpdate) -> Result {
        self.update_as(Version::V2, update)
    }

    /// As [`update`](Self::update), with the first version of the arguments, which have no reference time and
    /// with which a monotonic clock can be set forward and have its rate changed at once.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update); [`Error::InvalidArgs`] if there is a reference time.
    pub fn update_v1(&self, update: &ClockUpdate) -> Result {
        self.update_as(Version::V1, update)
    }

    fn update_as(&self, version: Version, update: &ClockUpdate) -> Result {
        let ClockUpdate { synthetic, reference: at, rate_adjust, error_bound } = *update;
        let rate_range = -MAX_RATE_ADJUST..=MAX_RATE_ADJUST;
        if rate_adjust.is_some_and(|rate| !rate_range.contains(&rate)) {
            return Err(Error::InvalidArgs);
        }
        let lonely = synthetic.is_none() && rate_adjust.is_none();
        if at.is_some() && (lonely || version == Version::V1) {
            return Err(Error::InvalidArgs);
        }

        let mut state = self.state.write();
        let started = state.is_started();
        if !started && synthetic.is_none() {
            return Err(Error::BadState);
        }
        if started && self.options.contains(ClockOptions::CONTINUOUS) && synthetic.is_some() {
            return Err(Error::InvalidArgs);
        }
        let monotonic = self.options.contains(ClockOptions::MONOTONIC);
        if version == Version::V2 && started && monotonic {
            let moved = synthetic.is_some() || at.is_some();
            if (synthetic.is_some() && at.is_none()) || (moved && rate_adjust.is_some()) {
                return Err(Error::InvalidArgs);
            }
        }

        let now = reference(self.options).now();
        // A rate that is the same already, from now on, would only round the time once more.
        let same_rate = at.is_none() && rate_adjust == Some(state.rate_adjust);
        if synthetic.is_some() || (rate_adjust.is_some() && !same_rate) {
            let old = state.transformation;
            let at = at.unwrap_or(signed(now));
            let shows = synthetic.unwrap_or_else(|| old.apply(at));
            let new = line(at, shows, rate_adjust.unwrap_or(state.rate_adjust));
            let (before, after) = (old.apply(signed(now)), new.apply(signed(now)));
            if (monotonic && after < before) || after < self.backstop {
                return Err(Error::InvalidArgs);
            }
            state.transformation = new;
        }
        if synthetic.is_some() {
            state.last_value_update = now;
        }
        if rate_adjust.is_some() || !started {
            state.last_rate_adjust_update = now;
            state.rate_adjust = rate_adjust.unwrap_or(0);
        }
        if let Some(bound) = error_bound {
            state.last_error_bound_update = now;
            state.error_bound = bound;
        }
        state.generation = state.generation.wrapping_add(1);
        self.publish(&state);
        drop(state);
        self.base.signal_state().set_and_strobe(Signals::CLOCK_STARTED, Signals::CLOCK_UPDATED);
        Ok(())
    }
}

/// The clock that one with these options refers to.
fn reference(options: ClockOptions) -> ClockId {
    match options.contains(ClockOptions::BOOT) {
        true => ClockId::Boot,
        false => ClockId::Monotonic,
    }
}

/// The line through a point with a slope that is so many parts per million above 1.
fn line(reference_offset: i64, synthetic_offset: i64, rate_adjust: i32) -> Transformation {
    let (synthetic_ticks, reference_ticks) = match rate_adjust {
        0 => (1, 1),
        ppm => (MILLION.saturating_add_signed(ppm), MILLION),
    };
    Transformation { reference_offset, synthetic_offset, synthetic_ticks, reference_ticks }
}

impl KernelObject for Clock {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Clock
    }

    fn default_rights(&self) -> Rights {
        let mut rights = Rights::default_for(ObjectType::Clock);
        rights.set(Rights::MAP, self.page.is_some());
        rights
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("base", &self.base)
            .field("transformation", &self.state.read().transformation)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const S: i64 = 1_000_000_000;
    const YEAR: i64 = 365 * 86_400 * S;
    const MONOTONIC: ClockOptions = ClockOptions::MONOTONIC;
    const CONTINUOUS: ClockOptions = MONOTONIC.union(ClockOptions::CONTINUOUS);

    fn clock(options: ClockOptions) -> Arc<Clock> {
        Clock::create(options, 0).unwrap()
    }

    fn started(options: ClockOptions) -> Arc<Clock> {
        let clock = clock(options);
        assert_eq!(clock.update(&set(100 * S)), Ok(()));
        clock
    }

    fn set(value: i64) -> ClockUpdate {
        ClockUpdate { synthetic: Some(value), ..ClockUpdate::default() }
    }

    fn rate(ppm: i32) -> ClockUpdate {
        ClockUpdate { rate_adjust: Some(ppm), ..ClockUpdate::default() }
    }

    fn at(reference: i64, update: ClockUpdate) -> ClockUpdate {
        ClockUpdate { reference: Some(reference), ..update }
    }

    fn now() -> i64 {
        signed(monotonic())
    }

    #[test]
    fn bad_options_and_backstops_are_refused() {
        let create = |options, backstop| Clock::create(options, backstop).map(|_| ());
        let unknown = ClockOptions::from_bits_retain(1 << 40);
        assert_eq!(create(unknown, 0), Err(Error::InvalidArgs));
        assert_eq!(create(ClockOptions::CONTINUOUS, 0), Err(Error::InvalidArgs));
        assert_eq!(create(CONTINUOUS, 0), Ok(()));
        assert_eq!(create(MONOTONIC, -1), Err(Error::InvalidArgs));
        assert_eq!(create(MONOTONIC, i64::MAX), Ok(()));
        assert_eq!(create(ClockOptions::AUTO_START, now() + YEAR), Err(Error::InvalidArgs));
        assert_eq!(create(ClockOptions::AUTO_START, now()), Ok(()));
        assert_eq!(
            [0, 1, 2].map(ClockId::from_raw),
            [Ok(ClockId::Monotonic), Ok(ClockId::Boot), Err(Error::InvalidArgs)]
        );
    }

    #[test]
    fn it_shows_its_backstop_until_it_is_started() {
        let clock = Clock::create(ClockOptions::empty(), 5500).unwrap();
        assert_eq!((clock.read(), clock.signals()), (5500, Signals::empty()));
        assert_eq!(clock.update(&rate(1)), Err(Error::BadState));
        let bound = ClockUpdate { error_bound: Some(1), ..ClockUpdate::default() };
        assert_eq!(clock.update(&bound), Err(Error::BadState));
        assert_eq!(clock.details().transformation.synthetic_ticks, 0);
        assert_eq!(clock.update(&set(5499)), Err(Error::InvalidArgs), "below the backstop");
        assert_eq!(clock.signals(), Signals::empty());
        assert_eq!(clock.update(&set(6000)), Ok(()));
        assert_eq!(clock.signals(), Signals::CLOCK_STARTED);
        let first = clock.read();
        assert!((6000..YEAR).contains(&first));
        while clock.read() == first {} // it runs
        assert_eq!(clock.update(&set(5499)), Err(Error::InvalidArgs));
    }

    #[test]
    fn started_at_once_it_shows_what_its_reference_shows() {
        for (option, id) in
            [(ClockOptions::empty(), ClockId::Monotonic), (ClockOptions::BOOT, ClockId::Boot)]
        {
            let clock = clock(option | ClockOptions::AUTO_START);
            assert_eq!(clock.signals(), Signals::CLOCK_STARTED);
            let (before, shows, after) = (id.now(), clock.read(), id.now());
            assert!((before..=after).contains(&(shows as u64)));
            assert_eq!(clock.details().transformation, line(0, 0, 0));
        }
    }

    #[test]
    fn an_update_is_shown_to_those_who_wait_and_leaves_no_signal() {
        let clock = clock(ClockOptions::empty());
        let mut wait = clock.wait_one(Signals::CLOCK_UPDATED);
        assert!((&mut wait).now_or_never().is_none());
        assert_eq!(clock.update(&set(1)), Ok(()));
        let both = Signals::CLOCK_STARTED | Signals::CLOCK_UPDATED;
        assert_eq!(wait.now_or_never(), Some(Ok(both)));
        assert_eq!(clock.signals(), Signals::CLOCK_STARTED);
        let mut wait = clock.wait_one(Signals::CLOCK_UPDATED);
        assert!((&mut wait).now_or_never().is_none());
        assert_eq!(clock.update(&rate(5000)), Err(Error::InvalidArgs));
        assert!((&mut wait).now_or_never().is_none(), "a refused update is none");
        assert_eq!(clock.update(&rate(7)), Ok(()));
        assert_eq!(wait.now_or_never(), Some(Ok(both)));
    }

    #[test]
    fn a_plain_clock_goes_wherever_it_is_set() {
        let clock = started(ClockOptions::empty());
        assert_eq!(clock.update(&set(YEAR)), Ok(()));
        assert!(clock.read() >= YEAR);
        let both = ClockUpdate { rate_adjust: Some(-500), ..set(S) };
        assert_eq!(clock.update(&both), Ok(()));
        assert!(clock.read() < YEAR);
        let line = clock.details().transformation;
        assert_eq!((line.synthetic_ticks, line.reference_ticks), (999_500, 1_000_000));
        assert_eq!(line.synthetic_offset, S);
    }

    #[test]
    fn a_value_goes_with_the_reference_time_that_is_given() {
        let clock = started(ClockOptions::empty());
        let r = now() - 10 * S;
        assert_eq!(clock.update(&at(r, set(S))), Ok(()));
        assert_eq!(clock.details().transformation, line(r, S, 0));
        assert!(clock.read() >= 11 * S);
        // One in the past: the clock is where it would be if it had been so since.
        assert_eq!(clock.update(&at(r, rate(1000))), Ok(()));
        assert_eq!(clock.details().transformation, line(r, S, 1000));
        assert!(clock.read() >= 11 * S + S / 100);
        // A time at which it would be below the backstop now.
        assert_eq!(clock.update(&at(now() + YEAR, set(S))), Err(Error::InvalidArgs));
        // A reference time needs a value or a rate.
        let lonely = ClockUpdate { error_bound: Some(1), ..ClockUpdate::default() };
        assert_eq!(clock.update(&at(r, lonely)), Err(Error::InvalidArgs));
        assert_eq!(clock.update_v1(&at(r, set(S))), Err(Error::InvalidArgs));
    }

    #[test]
    fn a_monotonic_clock_is_never_set_back() {
        let clock = started(MONOTONIC);
        assert_eq!(clock.update(&set(YEAR)), Err(Error::InvalidArgs), "needs a reference time");
        assert_eq!(clock.update(&at(now(), set(YEAR))), Ok(()));
        assert_eq!(clock.update(&at(now(), set(YEAR - S))), Err(Error::InvalidArgs));
        assert!(clock.read() >= YEAR);
        let both = ClockUpdate { rate_adjust: Some(3), ..at(now(), set(2 * YEAR)) };
        assert_eq!(clock.update(&both), Err(Error::InvalidArgs), "not both at once");
        assert_eq!(clock.update(&at(now(), rate(3))), Err(Error::InvalidArgs));
        assert_eq!(clock.update(&rate(3)), Ok(()));
        // By the rules of the first version, on the other hand:
        let both = ClockUpdate { reference: None, ..both };
        assert_eq!(clock.update_v1(&both), Ok(()));
        assert_eq!(clock.update_v1(&set(YEAR)), Err(Error::InvalidArgs));
    }

    #[test]
    fn a_continuous_clock_changes_its_rate_and_nothing_else() {
        let clock = started(CONTINUOUS);
        for update in [set(YEAR), at(now(), set(YEAR)), at(now(), rate(1))] {
            assert_eq!(clock.update(&update), Err(Error::InvalidArgs));
        }
        assert_eq!(clock.update_v1(&set(YEAR)), Err(Error::InvalidArgs));
        let before = clock.details().transformation;
        assert_eq!(clock.update(&rate(1000)), Ok(()));
        let after = clock.details().transformation;
        assert_eq!(before.apply(after.reference_offset), after.synthetic_offset, "no jump");
        assert_eq!((after.synthetic_ticks, after.reference_ticks), (1_001_000, 1_000_000));
        assert_eq!(clock.update(&rate(1000)), Ok(()));
        assert_eq!(clock.details().transformation, after, "the same rate changes nothing");
    }

    #[test]
    fn rates_are_bounded() {
        let clock = started(ClockOptions::empty());
        for (ppm, result) in [(1000, Ok(())), (-1000, Ok(())), (1001, Err(Error::InvalidArgs))] {
            assert_eq!(clock.update(&rate(ppm)), result);
        }
        for ppm in [-1001, i32::MIN, i32::MAX] {
            assert_eq!(clock.update(&rate(ppm)), Err(Error::InvalidArgs));
        }
    }

    #[test]
    fn details_tell_what_was_last_changed_and_when() {
        let clock = clock(MONOTONIC);
        let new = clock.details();
        assert_eq!((new.options, new.backstop, new.error_bound), (MONOTONIC, 0, u64::MAX));
        assert_eq!((new.last_value_update, new.last_rate_adjust_update), (0, 0));
        let before = monotonic();
        assert_eq!(clock.update(&set(S)), Ok(()));
        let set = clock.details();
        assert!(set.last_value_update >= before && set.query >= set.last_value_update);
        assert_eq!(set.last_rate_adjust_update, set.last_value_update);
        assert_eq!(set.last_error_bound_update, 0);
        assert_ne!(set.generation, new.generation);
        let update = ClockUpdate { error_bound: Some(400), ..rate(5) };
        assert_eq!(clock.update(&update), Ok(()));
        let adjusted = clock.details();
        assert_eq!(adjusted.last_value_update, set.last_value_update);
        assert!(adjusted.last_rate_adjust_update > set.last_rate_adjust_update);
        assert_eq!(adjusted.last_error_bound_update, adjusted.last_rate_adjust_update);
        assert_eq!(adjusted.error_bound, 400);
    }

    #[test]
    fn transformations_do_not_overflow() {
        let clock = started(ClockOptions::empty());
        assert_eq!(clock.update(&at(i64::MIN, set(i64::MAX))), Ok(()));
        assert_eq!(clock.read(), i64::MAX);
        assert_eq!(clock.update(&at(i64::MAX, set(0))), Err(Error::InvalidArgs));
        let line = line(10, 0, -1000);
        assert_eq!((line.apply(9), line.apply(11), line.apply(1_000_010)), (-1, 0, 999_000));
    }

    #[test]
    fn a_monotonic_clock_is_so_for_eight_threads_at_once() {
        let clock = started(MONOTONIC);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let clock = &clock;
                scope.spawn(move || {
                    let mut last = 0;
                    for i in 0..20_000 {
                        if thread == 0 {
                            let _ = clock.update(&at(now(), set(clock.read() + i % 3)));
                            assert_eq!(clock.update(&rate(i as i32 % 2001 - 1000)), Ok(()));
                        }
                        let shows = clock.read();
                        assert!(shows >= last);
                        last = shows;
                    }
                });
            }
        });
    }

    #[test]
    fn what_an_update_says_nothing_of_stays_and_what_is_refused_changes_nothing() {
        let clock = clock(ClockOptions::empty());
        let all = ClockUpdate { rate_adjust: Some(-20), error_bound: Some(9), ..set(S) };
        assert_eq!(clock.update(&all), Ok(()));
        let first = clock.details();
        let ticks = |details: &ClockDetails| {
            (details.transformation.synthetic_ticks, details.transformation.reference_ticks)
        };
        assert_eq!(ticks(&first), (999_980, 1_000_000), "the first update may give a rate");
        assert_eq!(first.last_error_bound_update, first.last_value_update);

        assert_eq!(clock.update(&set(2 * S)), Ok(()));
        let second = clock.details();
        assert_eq!(
            (second.transformation.synthetic_offset, ticks(&second)),
            (2 * S, ticks(&first))
        );
        assert_eq!(second.last_rate_adjust_update, first.last_rate_adjust_update);
        assert_eq!(second.last_error_bound_update, first.last_error_bound_update);
        assert!(second.error_bound == 9 && second.last_value_update > first.last_value_update);

        let bound = ClockUpdate { error_bound: Some(3), ..ClockUpdate::default() };
        assert_eq!(clock.update(&bound), Ok(()));
        let third = clock.details();
        assert_eq!(third.transformation, second.transformation);
        assert_eq!(third.last_value_update, second.last_value_update);
        assert_eq!(third.last_rate_adjust_update, second.last_rate_adjust_update);
        assert!(third.error_bound == 3 && third.last_error_bound_update > 0);
        assert_eq!(clock.update(&rate(-20)), Ok(()));
        assert_eq!(clock.details().transformation, third.transformation, "its rate already");

        let before = clock.details();
        for refused in [rate(1001), set(-1), at(now(), bound)] {
            let refused = ClockUpdate { error_bound: Some(1), ..refused };
            assert_eq!(clock.update(&refused), Err(Error::InvalidArgs));
            assert_eq!(ClockDetails { query: before.query, ..clock.details() }, before);
        }
        let mut numbers = [first, second, third, before].map(|details| details.generation);
        numbers.sort_unstable();
        assert!(numbers.array_windows().all(|[a, b]| a < b), "{numbers:?}");
    }

    #[test]
    fn what_a_promise_forbids_is_allowed_until_the_clock_is_started() {
        let both = ClockUpdate { rate_adjust: Some(1), ..set(S) };
        for options in [MONOTONIC, CONTINUOUS] {
            assert_eq!(clock(options).update(&both), Ok(()));
            assert_eq!(clock(options).update(&at(now(), both)), Ok(()));
            assert_eq!(clock(options).update_v1(&both), Ok(()));
        }
        let (before, clock) = (monotonic(), clock(CONTINUOUS | ClockOptions::AUTO_START));
        let details = clock.details();
        assert!((before..=monotonic()).contains(&details.last_value_update));
        assert_eq!(details.last_rate_adjust_update, details.last_value_update);
        assert_eq!((details.last_error_bound_update, details.error_bound), (0, u64::MAX));
        assert_eq!(clock.update(&set(YEAR)), Err(Error::InvalidArgs), "it runs already");
        assert_eq!(clock.update(&rate(1)), Ok(()));
        let backstop = Clock::create(ClockOptions::AUTO_START, 5).map(|it| it.details().backstop);
        assert_eq!(backstop, Ok(5));
    }

    #[test]
    fn times_of_the_boot_clock_come_after_as_much_monotonic_time() {
        const HOUR: u64 = 3600 * S as u64;
        assert_eq!(reference(ClockOptions::BOOT | ClockOptions::AUTO_START), ClockId::Boot);
        assert_eq!(reference(ClockOptions::all() - ClockOptions::BOOT), ClockId::Monotonic);
        assert_eq!(ClockId::Monotonic.to_monotonic(7), 7);
        let before = monotonic();
        let due = ClockId::Boot.to_monotonic(boottime() + HOUR);
        assert!((before + HOUR / 2..=monotonic() + HOUR).contains(&due));
        let past = ClockId::Boot.to_monotonic(0);
        assert!((before..=monotonic()).contains(&past), "at once");
        // As on a machine that was suspended for 900 ns.
        assert_eq!(translate(1500, 1000, 100), 600);
        assert_eq!(translate(999, 1000, 100), 100);
        assert_eq!(translate(u64::MAX, 1000, u64::MAX - 9), u64::MAX);
    }
}
