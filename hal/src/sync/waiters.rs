//! Those who wait for something, behind a lock, and their number beside it.
//!
//! **No wake-up is lost**, as with [`Presence`](super::Presence): who wants to wait (1) counts itself in and (2) looks *after that* at what it
//! would wait for; who changes that (a) changes it and (b) looks *after that* whether somebody is counted. What differs is who
//! pays for the order between a store and a later load: where the lock favours the only worker of a machine (see `biased_mutex.rs`), that
//! worker passes the light fence of [`barrier`] and the seldom others the heavy one. Where nobody is favoured both sides pass an ordinary full fence.

#[cfg(not(loom))]
use super::biased_mutex::{BiasedGuard, BiasedMutex, sole_worker};
use super::{
    atomic::{AtomicUsize, Ordering, fence},
    barrier,
    bias::Bias,
};

/// A number of those who wait or are about to.
#[derive(Debug, Default)]
struct Count(AtomicUsize);

impl Count {
    /// Step 1, by `me`, who holds the lock that `bias` belongs to: the number is `count` now.
    #[inline]
    fn enter(&self, bias: &Bias, me: u64, count: usize) {
        self.0.store(count, Ordering::Relaxed);
        if !order_by_preference(bias, me) {
            fence(Ordering::SeqCst);
        }
    }

    /// Step b, after a change of `kind`: whether there is nobody to look for.
    #[inline]
    fn is_zero(&self, bias: &Bias, me: u64, kind: Change) -> bool {
        // Loom takes a sequentially consistent load for an acquiring one.
        if !order_by_preference(bias, me) && (kind == Change::Store || cfg!(loom)) {
            fence(Ordering::SeqCst);
        }
        self.0.load(Ordering::SeqCst) == 0
    }
}

/// How that was changed which others wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Under a lock under which the waiters look at it as well, or by a sequentially consistent operation.
    Ordered,
    /// By any store.
    Store,
}

/// What stands between a store and a later load on either side if somebody is favoured. False if that is one who is another, and has
/// to pass a full fence as well, or if nobody is.
#[inline]
fn order_by_preference(bias: &Bias, me: u64) -> bool {
    if bias.favours(me) {
        barrier::light();
        return true;
    }
    // A preference that ends does so behind a heavy barrier, and what was counted before is seen with its end.
    if bias.is_in_force() {
        barrier::heavy();
    }
    false
}

/// Those who wait, as `T` lists them. It may show too many for a moment, and never too few.
#[cfg(not(loom))]
#[derive(Debug, Default)]
pub struct Waiters<T> {
    count: Count,
    list: BiasedMutex<T>,
}

#[cfg(not(loom))]
impl<T> Waiters<T> {
    /// A list with nobody in it.
    pub fn new(list: T) -> Self {
        Self { count: Count::default(), list: BiasedMutex::new(list) }
    }

    /// Locks the list.
    #[inline]
    pub fn lock(&self) -> BiasedGuard<'_, T> {
        self.list.lock()
    }

    /// Step 1, with the list locked: it has or is about to have `count` in it. A look at what is waited for comes after this.
    #[inline]
    pub fn enter(&self, _locked: &mut BiasedGuard<'_, T>, count: usize) {
        self.count.enter(self.list.bias(), sole_worker(), count);
    }

    /// Says, with the list locked, that there are only `count` any more.
    #[inline]
    pub fn leave(&self, _locked: &mut BiasedGuard<'_, T>, count: usize) {
        // Too many for a moment is harmless, so this may come late.
        self.count.0.store(count, Ordering::Relaxed);
    }

    /// Step b, after a change of `kind`: whether there is nobody to look for.
    #[inline]
    pub fn is_empty_after(&self, kind: Change) -> bool {
        self.count.is_zero(self.list.bias(), sole_worker(), kind)
    }

    /// The number, for a guess.
    pub fn count(&self) -> usize {
        self.count.0.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::{
        sync::{Arc, Mutex, Notify},
        thread,
    };

    use super::*;
    use crate::sync::{atomic::AtomicU32, model};

    /// A list whose lock may favour somebody, and what is waited for.
    struct Meeting {
        bias: Bias,
        lock: Mutex<()>,
        count: Count,
        thing: AtomicU32,
        called: Notify,
    }

    impl Meeting {
        fn new(favoured: Option<u64>) -> Arc<Self> {
            let bias = Bias::new();
            favoured.inspect(|&favoured| bias.favour(favoured));
            Arc::new(Self {
                bias,
                lock: Mutex::new(()),
                count: Count(AtomicUsize::new(0)),
                thing: AtomicU32::new(0),
                called: Notify::new(),
            })
        }

        fn locked(&self, me: u64, act: impl FnOnce()) {
            if self.bias.enter(me) {
                act();
                self.bias.leave();
                return;
            }
            let lock = self.lock.lock().unwrap();
            let readmits = self.bias.exclude(me);
            act();
            if readmits {
                self.bias.readmit();
            }
            drop(lock);
        }

        fn wait(&self, me: u64) {
            self.locked(me, || self.count.enter(&self.bias, me, 1));
            while self.thing.load(Ordering::Relaxed) == 0 {
                self.called.wait();
            }
        }

        fn change(&self, me: u64) {
            self.thing.store(1, Ordering::Relaxed);
            if !self.count.is_zero(&self.bias, me, Change::Store) {
                self.locked(me, || self.called.notify());
            }
        }
    }

    fn meet(favoured: Option<u64>, waiter: u64, changer: u64) {
        model(move || {
            let meeting = Meeting::new(favoured);
            let other = meeting.clone();
            let changing = thread::spawn(move || other.change(changer));
            meeting.wait(waiter);
            changing.join().unwrap();
        });
    }

    #[test]
    fn the_favoured_that_waits_is_woken_by_another() {
        meet(Some(1), 1, 2);
    }

    #[test]
    fn another_that_waits_is_woken_by_the_favoured() {
        meet(Some(1), 2, 1);
    }

    #[test]
    fn where_nobody_is_favoured_no_wake_up_is_lost_either() {
        meet(None, 1, 2);
    }

    #[test]
    fn no_wake_up_is_lost_while_a_preference_ends() {
        model(|| {
            let meeting = Meeting::new(Some(1));
            // One suspension more ends it.
            meeting.locked(2, || ());
            let [ending, changing] = [meeting.clone(), meeting.clone()];
            let ending = thread::spawn(move || ending.locked(2, || ()));
            let changing = thread::spawn(move || changing.change(3));
            meeting.wait(1);
            changing.join().unwrap();
            ending.join().unwrap();
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_tells_how_many_there_are() {
        let waiters = Waiters::new(Vec::new());
        assert!(waiters.is_empty_after(Change::Store));
        let mut list = waiters.lock();
        waiters.enter(&mut list, 1);
        list.push('a');
        assert!(!waiters.is_empty_after(Change::Store));
        list.clear();
        waiters.leave(&mut list, 0);
        drop(list);
        assert!(waiters.is_empty_after(Change::Store));
    }
}
