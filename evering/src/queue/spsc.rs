//! One sender, one receiver.
//!
//! Each index is written by one end. The sender's state, with `t` and `h` its own tail and its copy of
//! the head:
//!
//! ```text
//!             t − h < capacity: write slot t, t += 1, publish t   (Release)
//!           ┌──────┐
//!           ▼      │
//!        ┌────────────┐   t − h = capacity    ┌─────────────┐
//!        │    room    │ ────────────────────► │ read head   │  (Acquire)
//!        │            │ ◄──────────────────── │ again       │
//!        └────────────┘   it has moved        └─────────────┘
//!                                               │         │ t − head > capacity
//!                                    not moved  ▼         ▼
//!                                             Full     Corrupt
//! ```
//!
//! The receiver's is its mirror image. The sender's Release of the tail makes an entry visible before
//! its number; the receiver's Release of the head makes it done with a slot before the slot is free.

use alloc::sync::Arc;
use core::fmt;

use super::{
    ends::{Ends, RECEIVER_GONE, SENDER_GONE, STREAMS},
    entry::Entry,
    error::{AttachError, LayoutError, RecvError, SendError},
    memory::{Allocation, HeapRing, Ring},
    pace::Pace,
    slip::Slip,
    tail::TailLine,
};
use crate::sync::Ordering;

/// Both ends of a new ring on the heap.
///
/// # Errors
///
/// [`LayoutError`], for a capacity that is not a power of two for example.
pub fn channel<T: Entry>(capacity: usize) -> Result<(Sender<T>, Receiver<T>), LayoutError> {
    let ring = HeapRing::new(capacity)?;
    let sender = Sender::at(ring.clone(), 0, 0);
    Ok((sender, Receiver { ring, head: 0, tail: 0, slip: Slip::default(), pace: Pace::default() }))
}

/// The end that sends. When it is dropped the receiver finds the queue closed, once it is empty.
pub struct Sender<T: Entry, K = Arc<Allocation<T>>> {
    ring: Ring<T, K>,
    /// How many entries were ever published. Ours: what is in the memory is never read back.
    tail: u32,
    /// How many are written behind them.
    staged: u32,
    /// Before which number entries can be sent without further ado: to the end of a line of slots, or of the room. The tail if
    /// something is staged.
    until: u32,
    /// The ring's generation, [in its place](Ends::in_place).
    generation: u64,
    /// How many the receiver had taken when we last looked.
    head: u32,
}

/// How many bytes ahead of what it writes a sender asks for a line: as far as it writes while the line is on its way.
const AHEAD: usize = 768;

/// Why there is no room.
pub(crate) enum NoRoom {
    Full,
    Closed,
    Corrupt,
}

impl NoRoom {
    fn keep<T>(self, entry: T) -> SendError<T> {
        match self {
            NoRoom::Full => SendError::Full(entry),
            NoRoom::Closed => SendError::Closed(entry),
            NoRoom::Corrupt => SendError::Corrupt(entry),
        }
    }
}

impl<T: Entry, K> Sender<T, K> {
    pub(crate) fn new(ring: Ring<T, K>) -> Result<Self, AttachError> {
        let (head, tail) = ring.indices()?;
        if ring.gone(Ordering::Acquire) & SENDER_GONE != 0 {
            return Err(AttachError::Closed);
        }
        Ok(Self::at(ring, head, tail))
    }

    fn at(ring: Ring<T, K>, head: u32, tail: u32) -> Self {
        let generation = Ends::in_place(ring.generation());
        Sender { ring, tail, staged: 0, until: tail, generation, head }
    }

    /// For how many more entries there is room; looks at the receiver's index only if it is for fewer than
    /// `wanted` by our copy. Never `Ok(0)`.
    #[inline]
    fn room(&mut self, wanted: u32) -> Result<u32, NoRoom> {
        if self.ring.gone(Ordering::Relaxed) & RECEIVER_GONE != 0 {
            return Err(NoRoom::Closed);
        }
        let capacity = self.ring.capacity() as u32;
        let mut free = capacity - self.next().wrapping_sub(self.head);
        if free < wanted {
            free = capacity - self.look()?;
        }
        if free == 0 { Err(NoRoom::Full) } else { Ok(free) }
    }

    /// How many entries were sent or staged and not received, as the receiver's index says.
    #[inline]
    fn look(&mut self) -> Result<u32, NoRoom> {
        let lines = self.ring.lines();
        // Once a lap at least, whose entries are 2³⁰ at most.
        lines.tail.forget(self.tail);
        let head = lines.head.0.load(Ordering::Acquire);
        let there = self.next().wrapping_sub(head);
        if there > self.ring.capacity() as u32 {
            return Err(NoRoom::Corrupt);
        }
        self.head = head;
        Ok(there)
    }

    /// The number of the next entry to be written.
    #[inline]
    fn next(&self) -> u32 {
        self.tail.wrapping_add(self.staged)
    }

    /// Looks for room behind the tail, where nothing is staged.
    fn begin_line(&mut self) -> Result<(), NoRoom> {
        let free = self.room(1)?;
        self.until = self.tail.wrapping_add(free.min(Self::LINE - self.tail % Self::LINE));
        self.claim_ahead(free);
        Ok(())
    }

    /// How many entries a line of slots has, as far as it is full of whole ones.
    const LINE: u32 = if size_of::<T>() < 64 { 64 / size_of::<T>() as u32 } else { 1 };

    /// Asks for a line some way ahead when one is begun, so that writing does not wait for the way from the receiver,
    /// which read them a lap ago. Not where the receiver may still be reading.
    #[inline]
    fn claim_ahead(&self, free: u32) {
        let (next, ahead) = (self.next(), const { (AHEAD / size_of::<T>()) as u32 });
        if ahead > 0 && free >= 2 * ahead && next.is_multiple_of(Self::LINE) {
            self.ring.claim(next.wrapping_add(ahead));
        }
    }

    /// Sends an entry, after those that are [staged](Self::stage).
    ///
    /// # Errors
    ///
    /// [`SendError`], with the entry in it.
    #[inline]
    pub fn send(&mut self, entry: T) -> Result<(), SendError<T>> {
        let flags = self.ring.ends().flags(self.generation);
        if self.tail == self.until || flags & !STREAMS != 0 {
            return self.send_behind(entry);
        }
        self.send_one(entry, flags == STREAMS);
        Ok(())
    }

    /// Writes and publishes an entry for which there is room.
    #[inline]
    fn send_one(&mut self, entry: T, streams: bool) {
        self.ring.place(self.tail).slot.store(&entry);
        self.tail = self.tail.wrapping_add(1);
        let line = &self.ring.lines().tail;
        if streams || !TailLine::takes::<T>() {
            line.publish(self.tail);
        } else {
            line.publish_beside(self.tail, entry);
        }
    }

    /// Sends an entry where something else is to be done first.
    #[inline(never)]
    fn send_behind(&mut self, entry: T) -> Result<(), SendError<T>> {
        if self.staged > 0 {
            self.stage(entry)?;
            self.publish();
            return Ok(());
        }
        if let Err(why) = self.begin_line() {
            return Err(why.keep(entry));
        }
        self.send_one(entry, self.streams());
        Ok(())
    }

    /// Whether the receiver finds many entries at a time.
    #[inline]
    fn streams(&self) -> bool {
        self.ring.gone(Ordering::Relaxed) & STREAMS != 0
    }

    /// Sends the first of `entries`, as many as there is room for, and publishes them at once. Returns
    /// how many; not 0, unless there was none to send.
    ///
    /// # Errors
    ///
    /// [`SendError`] if not one could be sent.
    pub fn send_batch(&mut self, entries: &[T]) -> Result<usize, SendError<()>> {
        if entries.is_empty() {
            return Ok(0);
        }
        let wanted = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let room = self.room(wanted).map_err(|why| why.keep(()))?;
        let count = room.min(wanted);
        let entries = entries.get(..count as usize).unwrap_or(entries);
        self.ring.write_run(self.next(), entries);
        self.staged += count;
        self.publish();
        Ok(count as usize)
    }

    /// Writes an entry in place, for the receiver to see when it is [published](Self::publish).
    ///
    /// ```
    /// let (mut sender, mut receiver) = evering::channel::<u32>(4).unwrap();
    /// sender.stage(1).unwrap();
    /// sender.stage(2).unwrap();
    /// assert!(receiver.recv().is_err()); // not yet
    /// assert_eq!(sender.publish(), 2);
    /// assert_eq!(receiver.drain().unwrap().collect::<Vec<_>>(), [1, 2]);
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError`], with the entry in it; those before it can still be published.
    #[inline]
    pub fn stage(&mut self, entry: T) -> Result<(), SendError<T>> {
        self.stage_from(&entry).map_err(|why| why.keep(entry))
    }

    /// [`stage`](Self::stage) of an entry where it lies: one that has just been written piece by piece is not copied as a whole first,
    /// for which the processor would wait.
    #[inline]
    pub(crate) fn stage_from(&mut self, entry: &T) -> Result<(), NoRoom> {
        let free = self.room(1)?;
        self.ring.place(self.next()).slot.store(entry);
        self.claim_ahead(free);
        self.staged += 1;
        // The next to be sent comes behind it.
        self.until = self.tail;
        Ok(())
    }

    /// Lets the receiver see what is staged; returns how many entries that was.
    #[inline]
    pub fn publish(&mut self) -> usize {
        let (count, first) = (core::mem::take(&mut self.staged), self.tail);
        if count == 0 {
            return 0;
        }
        self.tail = first.wrapping_add(count);
        self.until = self.tail;
        let line = &self.ring.lines().tail;
        if count == 1 && TailLine::takes::<T>() && !self.streams() {
            line.publish_beside(self.tail, self.ring.place(first).slot.load());
        } else {
            line.publish(self.tail);
        }
        count as usize
    }

    /// How many entries are staged.
    #[inline]
    pub fn staged(&self) -> usize {
        self.staged as usize
    }

    /// Forgets what is staged.
    pub fn unstage(&mut self) {
        self.staged = 0;
        self.until = self.tail;
    }

    /// How many entries fit in the ring.
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// How many entries were sent or staged and, as far as we know, not received. The receiver may have taken
    /// more of them.
    pub fn len(&self) -> usize {
        self.next().wrapping_sub(self.head) as usize
    }

    /// As [`len`](Self::len), with a look at the receiver's index.
    ///
    /// # Errors
    ///
    /// [`RecvError::Corrupt`] if that is impossible.
    pub fn unreceived(&mut self) -> Result<usize, RecvError> {
        self.look().map(|there| there as usize).map_err(|_| RecvError::Corrupt)
    }

    /// Whether all that was sent is known to have been received.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room, as a look at the receiver's index shows. A closed or corrupt queue is
    /// not full: to send is the way to learn of that.
    pub fn is_full(&mut self) -> bool {
        matches!(self.room(1), Err(NoRoom::Full))
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        self.ring.gone(Ordering::Relaxed) & RECEIVER_GONE != 0
    }
}

impl<T: Entry, K> Drop for Sender<T, K> {
    fn drop(&mut self) {
        self.ring.close(SENDER_GONE);
    }
}

impl<T: Entry, K> fmt::Debug for Sender<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("capacity", &self.capacity())
            .field("tail", &self.tail)
            .finish_non_exhaustive()
    }
}

/// The end that receives. When it is dropped the sender finds the queue closed.
pub struct Receiver<T: Entry, K = Arc<Allocation<T>>> {
    ring: Ring<T, K>,
    /// How many entries were ever taken. Ours: what is in the memory is never read back.
    head: u32,
    /// How many there were to take when we last looked.
    tail: u32,
    slip: Slip,
    pace: Pace,
}

impl<T: Entry, K> Receiver<T, K> {
    pub(crate) fn new(ring: Ring<T, K>) -> Result<Self, AttachError> {
        let (head, tail) = ring.indices()?;
        if ring.gone(Ordering::Acquire) & RECEIVER_GONE != 0 {
            return Err(AttachError::Closed);
        }
        Ok(Receiver { ring, head, tail, slip: Slip::default(), pace: Pace::default() })
    }

    fn look(&mut self) -> Result<u32, RecvError> {
        let tail = self.ring.lines().tail.index.load(Ordering::Acquire);
        let there = tail.wrapping_sub(self.head);
        if there as usize > self.ring.capacity() {
            return Err(RecvError::Corrupt);
        }
        self.tail = tail;
        Ok(there)
    }

    /// How many entries there are; looks at the sender's index only if our copy has fewer than `wanted`.
    /// Never `Ok(0)`.
    #[inline]
    fn available(&mut self, wanted: u32) -> Result<u32, RecvError> {
        let mut there = self.tail.wrapping_sub(self.head);
        if there < wanted {
            self.slip.pause();
            there = self.look()?;
            if there > 0 {
                self.slip.found(there);
                if let Some(streams) = self.pace.found(there) {
                    self.ring.ends().set_streams(self.ring.generation(), streams);
                }
            }
        }
        if there == 0 { self.nothing() } else { Ok(there) }
    }

    #[cold]
    fn nothing(&mut self) -> Result<u32, RecvError> {
        if self.ring.gone(Ordering::Acquire) & SENDER_GONE == 0 {
            return Err(RecvError::Empty);
        }
        // It may have sent something between our look at the tail and its end.
        match self.look()? {
            0 => Err(RecvError::Closed),
            there => Ok(there),
        }
    }

    /// The only entry that there is, if it is beside the index, whose line has come already.
    #[inline]
    fn take_alone(&self) -> Option<T> {
        let alone = self.tail.wrapping_sub(self.head) == 1 && TailLine::takes::<T>();
        if alone { self.ring.lines().tail.take_beside(self.tail) } else { None }
    }

    #[inline]
    fn release(&mut self, head: u32) {
        self.head = head;
        self.ring.lines().head.0.store(head, Ordering::Release);
    }

    /// Receives an entry.
    ///
    /// # Errors
    ///
    /// [`RecvError`]: [`Closed`](RecvError::Closed) only after everything that was sent.
    #[inline]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        if self.tail == self.head {
            self.available(1)?;
            if let Some(entry) = self.take_alone() {
                self.release(self.tail);
                return Ok(entry);
            }
        }
        let entry = self.ring.place(self.head).slot.load();
        self.release(self.head.wrapping_add(1));
        Ok(entry)
    }

    /// Receives into the beginning of `entries`, as many as there are and fit, and frees their slots at
    /// once. Returns how many; not 0, unless there was no place for any.
    ///
    /// # Errors
    ///
    /// [`RecvError`] if there is not one.
    pub fn recv_batch(&mut self, entries: &mut [T]) -> Result<usize, RecvError> {
        if entries.is_empty() {
            return Ok(0);
        }
        let wanted = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let count = self.available(wanted)?.min(wanted);
        let entries = entries.get_mut(..count as usize).unwrap_or_default();
        match (self.take_alone(), &mut *entries) {
            (Some(entry), [place]) => *place = entry,
            _ => self.ring.read_run(self.head, entries),
        }
        self.release(self.head.wrapping_add(count));
        Ok(count as usize)
    }

    /// Receives what there is now, one by one; the slots are freed together when the iterator is
    /// dropped, those of entries that it has not given out excepted.
    ///
    /// # Errors
    ///
    /// [`RecvError`] if there is nothing.
    pub fn drain(&mut self) -> Result<Drain<'_, T, K>, RecvError> {
        self.available(u32::MAX)?;
        Ok(Drain { next: self.head, receiver: self })
    }

    /// How many entries fit in the ring.
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// How many entries there are to receive.
    ///
    /// # Errors
    ///
    /// [`RecvError::Corrupt`].
    pub fn pending(&mut self) -> Result<usize, RecvError> {
        self.look().map(|there| there as usize)
    }

    /// Whether the sender is gone. There may still be something to receive.
    pub fn is_closed(&self) -> bool {
        self.ring.gone(Ordering::Acquire) & SENDER_GONE != 0
    }
}

impl<T: Entry, K> Drop for Receiver<T, K> {
    fn drop(&mut self) {
        self.ring.close(RECEIVER_GONE);
    }
}

impl<T: Entry, K> fmt::Debug for Receiver<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("capacity", &self.capacity())
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

/// What was there to receive when [`Receiver::drain`] was called.
#[derive(Debug)]
pub struct Drain<'a, T: Entry, K> {
    receiver: &'a mut Receiver<T, K>,
    /// The number of the next entry.
    next: u32,
}

impl<T: Entry, K> Iterator for Drain<'_, T, K> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        if self.next == self.receiver.tail {
            return None;
        }
        let alone = if self.next == self.receiver.head { self.receiver.take_alone() } else { None };
        let entry = alone.unwrap_or_else(|| self.receiver.ring.place(self.next).slot.load());
        self.next = self.next.wrapping_add(1);
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.receiver.tail.wrapping_sub(self.next) as usize;
        (left, Some(left))
    }
}

impl<T: Entry, K> ExactSizeIterator for Drain<'_, T, K> {}

impl<T: Entry, K> Drop for Drain<'_, T, K> {
    fn drop(&mut self) {
        if self.next != self.receiver.head {
            self.receiver.release(self.next);
        }
    }
}

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
