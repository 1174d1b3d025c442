//! Counters: an integer whose sign can be waited for.
//!
//! A [`Counter`] holds a signed number of 64 bits, which its users add to, read and write. Exactly one of two signals says of
//! what sign it is: `COUNTER_POSITIVE`, or `COUNTER_NON_POSITIVE`. So it counts what is under way, and one waits for the last to
//! end; or it is a fence that carries the time at which it was passed.
//!
//! The number changes together with its signals, under one lock: whoever is woken by a signal finds a number of that sign, unless it
//! has changed since. What does not fit is refused, and nothing changes. `SIGNALED` is the users' own, as that of an event is.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, ObjectType},
    signals::Signals,
};

/// A number that can be waited for (`zx_counter_create`).
///
/// ```
/// use futures::executor::block_on;
/// use kernel_objects::{Counter, KernelObject, Signals};
///
/// let under_way = Counter::create();
/// under_way.add(1).unwrap();
/// let worker = std::thread::spawn({
///     let under_way = under_way.clone();
///     move || under_way.add(-1)
/// });
/// block_on(under_way.wait_one(Signals::COUNTER_NON_POSITIVE)).unwrap();
/// assert_eq!(under_way.read(), 0);
/// worker.join().unwrap().unwrap();
/// ```
#[derive(Debug)]
pub struct Counter {
    base: KObjectBase,
    value: Mutex<i64>,
}

/// The signal that says of what sign a value is, and the one that says the opposite.
fn signals_of(value: i64) -> (Signals, Signals) {
    let (positive, other) = (Signals::COUNTER_POSITIVE, Signals::COUNTER_NON_POSITIVE);
    if value > 0 { (positive, other) } else { (other, positive) }
}

impl Counter {
    /// A new counter, at zero.
    pub fn create() -> Arc<Counter> {
        let base = KObjectBase::with("", signals_of(0).0);
        Arc::new(Counter { base, value: Mutex::default() })
    }

    /// Adds `amount`, which may be negative (`zx_counter_add`). Needs the rights to read and to write.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if the sum is no number of 64 bits; the counter is as before then.
    pub fn add(&self, amount: i64) -> Result {
        self.update(|value| value.checked_add(amount).ok_or(Error::OutOfRange))
    }

    /// The value (`zx_counter_read`).
    pub fn read(&self) -> i64 {
        *self.value.lock()
    }

    /// Sets the value (`zx_counter_write`).
    pub fn write(&self, value: i64) {
        // The closure has no error.
        let _ = self.update(|_| Ok(value));
    }

    fn update(&self, new: impl FnOnce(i64) -> Result<i64>) -> Result {
        let mut value = self.value.lock();
        let before = *value;
        *value = new(before)?;
        let (set, clear) = signals_of(*value);
        let changed = signals_of(before).0 != set;
        let calls = changed.then(|| self.base.signal_state().change(clear, set));
        drop(value);
        if let Some(calls) = calls {
            calls.run();
        }
        Ok(())
    }
}

impl KernelObject for Counter {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Counter
    }

    fn user_signals(&self) -> Signals {
        Signals::USER_ALL | Signals::SIGNALED
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    const POSITIVE: Signals = Signals::COUNTER_POSITIVE;
    const NON_POSITIVE: Signals = Signals::COUNTER_NON_POSITIVE;

    #[test]
    fn exactly_one_signal_tells_the_sign() {
        let counter = Counter::create();
        assert_eq!((POSITIVE.bits(), NON_POSITIVE.bits()), (1 << 5, 1 << 4));
        assert_eq!((counter.read(), counter.signals()), (0, NON_POSITIVE));
        for (amount, value, signals) in
            [(1, 1, POSITIVE), (4, 5, POSITIVE), (-5, 0, NON_POSITIVE), (-2, -2, NON_POSITIVE)]
        {
            assert_eq!(counter.add(amount), Ok(()));
            assert_eq!((counter.read(), counter.signals()), (value, signals));
        }
        for (value, signals) in [(7, POSITIVE), (i64::MIN, NON_POSITIVE), (i64::MAX, POSITIVE)] {
            counter.write(value);
            assert_eq!((counter.read(), counter.signals()), (value, signals));
        }
    }

    #[test]
    fn a_sum_out_of_range_changes_nothing() {
        let counter = Counter::create();
        for (value, amount, signals) in
            [(i64::MAX, 1, POSITIVE), (i64::MIN, -1, NON_POSITIVE), (-2, i64::MIN, NON_POSITIVE)]
        {
            counter.write(value);
            assert_eq!(counter.add(amount), Err(Error::OutOfRange));
            assert_eq!((counter.read(), counter.signals()), (value, signals));
        }
        counter.write(i64::MAX);
        assert_eq!((counter.add(i64::MIN), counter.read()), (Ok(()), -1));
    }

    #[test]
    fn users_signal_it_as_an_event_but_cannot_fake_the_sign() {
        let counter = Counter::create();
        assert_eq!(counter.signal(Signals::empty(), Signals::SIGNALED | Signals::USER_1), Ok(()));
        assert_eq!(counter.add(1), Ok(()));
        assert_eq!(counter.signals(), POSITIVE | Signals::SIGNALED | Signals::USER_1);
        assert_eq!(counter.signal(POSITIVE, Signals::empty()), Err(Error::InvalidArgs));
        assert_eq!(counter.signal(Signals::empty(), NON_POSITIVE), Err(Error::InvalidArgs));
        assert_eq!(counter.object_type(), ObjectType::Counter);
    }

    #[test]
    fn eight_threads_count_right_and_the_last_is_waited_for() {
        const ROUNDS: usize = 5_000;
        let counter = Counter::create();
        counter.write(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        assert_eq!((counter.add(3), counter.add(-3)), (Ok(()), Ok(())));
                    }
                    assert_eq!(counter.add(-1), Ok(()));
                });
                scope.spawn(|| assert!(block_on(counter.wait_one(NON_POSITIVE)).is_ok()));
            }
        });
        assert_eq!((counter.read(), counter.signals()), (0, NON_POSITIVE));
        assert_eq!(counter.base.signal_state().watchers(), 0);
    }
}
