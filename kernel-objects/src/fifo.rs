//! FIFOs: small elements of one size between two ends.
//!
//! A [`Fifo`] is one of two ends. Elements written to one are read from the other, in order, several at a time, and as many
//! as there is room for: a write or a read that can do only a part does that part. A FIFO holds a page of them at most in
//! each direction. It is meant for the control of a transport in shared memory: the elements say where the data is.
//!
//! `READABLE` is set while there is an element to read, `WRITABLE` while there is room for one at the other end. When an end closes,
//! what it has written can still be read.

use std::{collections::VecDeque, fmt, sync::Arc};

use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, Koid, ObjectType},
    peer::Half,
    signals::Signals,
};

/// How many bytes of elements a FIFO may be made for, in each direction.
pub const MAX_SIZE: usize = 4096;

/// An end of a FIFO (`zx_fifo_create`).
///
/// ```
/// use kernel_objects::{Error, Fifo, KernelObject, Signals};
///
/// let (a, b) = Fifo::create(2, 4).unwrap(); // two elements of four bytes
/// assert_eq!(a.write(4, b"one.two.six."), Ok(2));
/// assert_eq!(a.write(4, b"six."), Err(Error::ShouldWait));
/// assert!(!a.signals().contains(Signals::WRITABLE));
///
/// let mut buffer = [0; 12];
/// assert_eq!(b.read(4, &mut buffer), Ok(2));
/// assert_eq!(&buffer[..8], b"one.two.");
/// ```
pub struct Fifo {
    base: KObjectBase,
    half: Half<Fifo, Elements>,
    /// How many bytes an element has.
    size: usize,
    /// How many bytes the elements that fit have together.
    capacity: usize,
}

/// What was written to an end, element by element.
#[derive(Default)]
struct Elements(VecDeque<u8>);

impl Fifo {
    /// The two ends of a new FIFO, for `count` elements of `size` bytes in each direction.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if one is zero, or if the elements are more than [`MAX_SIZE`] bytes.
    pub fn create(count: usize, size: usize) -> Result<(Arc<Fifo>, Arc<Fifo>)> {
        let capacity = count.checked_mul(size).ok_or(Error::OutOfRange)?;
        if capacity == 0 || capacity > MAX_SIZE {
            return Err(Error::OutOfRange);
        }
        Ok(Half::pair(Signals::WRITABLE, |base, half| Fifo { base, half, size, capacity }))
    }

    /// How many bytes an element has.
    pub fn element_size(&self) -> usize {
        self.size
    }

    /// How many whole elements there are in so many bytes, if they are of this FIFO's size.
    fn elements(&self, size: usize, bytes: usize) -> Result<usize> {
        if size != self.size || bytes < size || !bytes.is_multiple_of(size) {
            return Err(Error::OutOfRange);
        }
        Ok(bytes / size)
    }

    /// Writes as many of the elements as there is room for at the other end, and says how many that were (`zx_fifo_write`).
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if `size` is not that of this FIFO's elements, or `data` is not one or more of them;
    /// [`Error::PeerClosed`] if an end is closed; [`Error::ShouldWait`] if there is no room.
    pub fn write(&self, size: usize, data: &[u8]) -> Result<usize> {
        let count = self.elements(size, data.len())?;
        let mut pair = self.half.lock();
        if pair.closed {
            return Err(Error::PeerClosed);
        }
        let (_, Elements(theirs)) = self.half.both(&mut pair);
        let count = count.min((self.capacity - theirs.len()) / size);
        if count == 0 {
            return Err(Error::ShouldWait);
        }
        let was_empty = theirs.is_empty();
        theirs.extend(&data[..count * size]);
        let full = theirs.len() == self.capacity;
        let full =
            full.then(|| self.base.signal_state().change(Signals::WRITABLE, Signals::empty()));
        let readable =
            was_empty.then(|| self.half.peer_signals().change(Signals::empty(), Signals::READABLE));
        drop(pair);
        full.into_iter().chain(readable).for_each(|signals| signals.run());
        Ok(count)
    }

    /// Reads as many elements as there are and `buffer` has room for, and says how many that were (`zx_fifo_read`).
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if `size` is not that of this FIFO's elements, or `buffer` is not for one or more of them;
    /// [`Error::ShouldWait`] if there is none; [`Error::PeerClosed`] if there will never be one.
    pub fn read(&self, size: usize, buffer: &mut [u8]) -> Result<usize> {
        let count = self.elements(size, buffer.len())?;
        let mut pair = self.half.lock();
        let closed = pair.closed;
        let (Elements(mine), _) = self.half.both(&mut pair);
        let count = count.min(mine.len() / size);
        if count == 0 {
            return Err(if closed { Error::PeerClosed } else { Error::ShouldWait });
        }
        let was_full = mine.len() == self.capacity;
        for (to, from) in buffer.iter_mut().zip(mine.drain(..count * size)) {
            *to = from;
        }
        let empty = mine.is_empty();
        let empty =
            empty.then(|| self.base.signal_state().change(Signals::READABLE, Signals::empty()));
        let writable = (was_full && !closed)
            .then(|| self.half.peer_signals().change(Signals::empty(), Signals::WRITABLE));
        drop(pair);
        empty.into_iter().chain(writable).for_each(|signals| signals.run());
        Ok(count)
    }

    /// Nobody uses this end any more.
    fn close(&self) {
        let mut pair = self.half.lock();
        let first = !std::mem::replace(&mut pair.closed, true);
        self.half.both(&mut pair).0.0 = VecDeque::new();
        let signals =
            first.then(|| self.half.peer_signals().change(Signals::WRITABLE, Signals::PEER_CLOSED));
        drop(pair);
        if let Some(signals) = signals {
            signals.run();
        }
    }
}

impl KernelObject for Fifo {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Fifo
    }

    fn related_koid(&self) -> Koid {
        self.half.peer_koid()
    }

    fn peer(&self) -> Result<Arc<dyn KernelObject>> {
        self.half.open_peer()
    }

    fn on_zero_handles(&self) {
        self.close();
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Fifo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fifo")
            .field("base", &self.base)
            .field("peer", &self.half.peer_koid())
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::handle::Handle;

    fn fifo(count: usize, size: usize) -> (Arc<Fifo>, Arc<Fifo>) {
        match Fifo::create(count, size) {
            Ok(ends) => ends,
            Err(error) => panic!("{count} of {size}: {error}"),
        }
    }

    fn read<const N: usize>(fifo: &Fifo, size: usize) -> Result<Vec<u8>> {
        let mut buffer = [0; N];
        fifo.read(size, &mut buffer).map(|count| buffer[..count * size].to_vec())
    }

    #[test]
    fn a_fifo_is_for_a_page_of_elements_at_most() {
        for (count, size) in [(1, 4096), (4096, 1), (3, 5), (64, 64)] {
            let (a, _b) = fifo(count, size);
            assert_eq!(a.element_size(), size);
        }
        for (count, size) in [(0, 8), (8, 0), (4097, 1), (1, 4097), (2, 2049), (usize::MAX, 2)] {
            assert_eq!(Fifo::create(count, size).err(), Some(Error::OutOfRange));
        }
    }

    #[test]
    fn elements_arrive_in_order_and_each_direction_has_its_own() {
        let (a, b) = fifo(4, 2);
        assert_eq!(a.write(2, b"aabb"), Ok(2));
        assert_eq!(b.write(2, b"xx"), Ok(1));
        assert_eq!(a.write(2, b"cc"), Ok(1));
        assert_eq!(read::<2>(&b, 2), Ok(b"aa".to_vec()));
        assert_eq!(read::<8>(&b, 2), Ok(b"bbcc".to_vec()), "a part of what was asked for");
        assert_eq!(read::<8>(&a, 2), Ok(b"xx".to_vec()));
        assert_eq!(read::<2>(&b, 2), Err(Error::ShouldWait));
    }

    #[test]
    fn a_write_takes_as_many_elements_as_there_is_room_for() {
        let (a, b) = fifo(3, 2);
        assert_eq!(a.write(2, b"aabb"), Ok(2));
        assert_eq!(a.write(2, b"ccdd"), Ok(1));
        assert_eq!(a.write(2, b"dd"), Err(Error::ShouldWait));
        assert_eq!(read::<2>(&b, 2), Ok(b"aa".to_vec()));
        assert_eq!(a.write(2, b"ddee"), Ok(1));
        assert_eq!(read::<6>(&b, 2), Ok(b"bbccdd".to_vec()));
    }

    #[test]
    fn the_size_must_be_the_fifos_and_something_must_be_asked_for() {
        let (a, _b) = fifo(4, 2);
        let mut buffer = [0; 8];
        for (size, bytes) in [(1, 2), (4, 8), (2, 0), (2, 3), (0, 0)] {
            assert_eq!(a.write(size, &buffer[..bytes]), Err(Error::OutOfRange));
            assert_eq!(a.read(size, &mut buffer[..bytes]), Err(Error::OutOfRange));
        }
        assert_eq!(a.signals(), Signals::WRITABLE);
    }

    #[test]
    fn signals_tell_of_elements_and_of_room() {
        let (a, b) = fifo(2, 1);
        let signals = || (a.signals(), b.signals());
        let (r, w) = (Signals::READABLE, Signals::WRITABLE);
        assert_eq!(signals(), (w, w));
        assert_eq!(a.write(1, b"1"), Ok(1));
        assert_eq!(signals(), (w, r | w));
        assert_eq!(a.write(1, b"2"), Ok(1));
        assert_eq!(signals(), (Signals::empty(), r | w));
        assert!(read::<1>(&b, 1).is_ok());
        assert_eq!(signals(), (w, r | w));
        assert!(read::<1>(&b, 1).is_ok());
        assert_eq!(signals(), (w, w));
        assert_eq!(a.signal(Signals::empty(), r), Err(Error::InvalidArgs));
        assert_eq!(a.signal_peer(Signals::empty(), Signals::USER_0), Ok(()));
        assert_eq!(b.signals(), w | Signals::USER_0);
    }

    #[test]
    fn a_closed_peer_leaves_its_elements() {
        let (a, b) = fifo(2, 1);
        assert_eq!(a.related_koid(), b.koid());
        assert_eq!(a.write(1, b"12"), Ok(2));
        assert_eq!(b.write(1, b"x"), Ok(1));
        drop(Handle::new(a.clone()));
        let left = Signals::PEER_CLOSED | Signals::READABLE;
        assert_eq!(b.signals(), left);
        assert_eq!(b.write(1, b"x"), Err(Error::PeerClosed));
        assert_eq!(read::<1>(&b, 1), Ok(b"1".to_vec()));
        assert_eq!((a.signals(), b.signals()), (Signals::READABLE, left), "no room is told of");
        assert_eq!(read::<1>(&b, 1), Ok(b"2".to_vec()));
        assert_eq!(read::<1>(&b, 1), Err(Error::PeerClosed));
        assert_eq!(b.signals(), Signals::PEER_CLOSED);
        assert_eq!(read::<1>(&a, 1), Err(Error::PeerClosed), "what was sent to it is gone");
        assert_eq!(b.signal_peer(Signals::empty(), Signals::USER_0), Err(Error::PeerClosed));
        drop(a);
        assert_eq!(b.write(1, b"x"), Err(Error::PeerClosed), "also when no reference is left");
    }

    #[test]
    fn eight_threads_lose_no_element() {
        const EACH: usize = 5_000;
        let (a, b) = fifo(16, 8);
        let sum = std::sync::atomic::AtomicU64::new(0);
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        std::thread::scope(|scope| {
            let write = |from: usize| {
                for i in from..from + EACH {
                    while a.write(8, &(i as u64).to_ne_bytes()) == Err(Error::ShouldWait) {
                        assert!(block_on(a.wait_one(Signals::WRITABLE)).is_ok());
                    }
                }
            };
            let writers: Vec<_> = (0..4).map(|n| scope.spawn(move || write(n * EACH))).collect();
            for _ in 0..4 {
                scope.spawn(|| {
                    loop {
                        match read::<24>(&b, 8) {
                            Ok(bytes) => bytes.chunks_exact(8).for_each(|element| {
                                let element = element.try_into().unwrap_or_default();
                                sum.fetch_add(u64::from_ne_bytes(element), relaxed);
                            }),
                            Err(Error::PeerClosed) => break,
                            Err(_) => {
                                let wanted = Signals::READABLE | Signals::PEER_CLOSED;
                                assert!(block_on(b.wait_one(wanted)).is_ok());
                            }
                        }
                    }
                });
            }
            writers.into_iter().for_each(|writer| assert!(writer.join().is_ok()));
            drop(Handle::new(a.clone()));
        });
        let n = (4 * EACH) as u64;
        assert_eq!(sum.load(relaxed), n * (n - 1) / 2);
        assert_eq!(a.base.signal_state().watchers() + b.base.signal_state().watchers(), 0);
    }
}
