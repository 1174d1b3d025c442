//! Many senders, one receiver.
//!
//! The one idea: a sender claims indices by moving the shared tail, fills their slots in its own time,
//! and stamps each; the receiver looks at the stamp of the slot that is next and at nothing else. It
//! never writes a slot, and it publishes its head once for all that it took: so a slot's lines move
//! once from the sender to the receiver, where a queue whose receiver stamps the slots too (Vyukov's)
//! moves them twice.
//!
//! ```text
//!              head            first claimed, not filled      tail
//!                ↓                       ↓                      ↓
//!      ┌───┬───┬───┬───┬───┬───┬───┬───┬───┬───┬───┬───┬───┬───┬───┐
//!      │   │   │ a │ b │ c │ d │ e │ f │ … │ h │ i │ … │ k │ l │   │
//!      └───┴───┴───┴───┴───┴───┴───┴───┴───┴───┴───┴───┴───┴───┴───┘
//!                └── received next ──┘     └ filled out of order ┘
//!
//!      a slot, for index i of lap n:
//!
//!                    claimed (tail moves past i)         stamp = i + 1 (Release)
//!      stamp of lap n−1 ─────────────────► stamp of lap n−1 ─────────────────► filled
//!            free, since head has passed it      being written                    │
//!              ▲                                                                  │
//!              └────────────────── head moves past i (Release) ◄──────────────────┘
//! ```
//!
//! What one sender sends arrives in the order in which it sent it. A batch has consecutive indices.
//!
//! A sender can also [reserve](Sender::reserve) slots, write them in place and publish them together. What it has claimed by that
//! cannot be handed back, since others have claimed what comes after it: those that it does not fill are stamped as given up
//! instead, and the receiver passes over them.
//!
//! A sender that stops between its claim and its stamp holds the receiver up: if it was preempted, for
//! as long; if its process died, for ever. So whoever learns that the senders' process is dead says so
//! by [`Receiver::senders_died`] (a [`Link`](crate::peer::Link) does), and the slots that were claimed and never filled are skipped.
//! (That is for all senders at once: a live one must not find its claim given away.)

pub use self::reserve::Reservation;

use alloc::sync::Arc;
use core::fmt;

use super::{
    ends::{RECEIVER_GONE, SENDER_DIED, SENDER_GONE},
    entry::Entry,
    error::{AttachError, LayoutError, RecvError, SendError},
    memory::{Allocation, HeapRing, Ring},
    producers::Many,
    slot::Place,
};
use crate::sync::Ordering;

/// A new ring on the heap: its first sender, to be cloned, and its receiver.
///
/// ```
/// use evering::{RecvError, mpsc};
///
/// let (sender, mut receiver) = mpsc::channel::<u64>(8).unwrap();
/// std::thread::scope(|scope| {
///     for n in [1, 10] {
///         let mut sender = sender.clone();
///         scope.spawn(move || {
///             for _ in 0..100 {
///                 while sender.send(n).is_err() {
///                     std::thread::yield_now(); // full
///                 }
///             }
///         });
///     }
///     drop(sender);
///     let mut sum = 0;
///     loop {
///         match receiver.recv() {
///             Ok(n) => sum += n,
///             Err(RecvError::Empty) => std::thread::yield_now(),
///             Err(_) => break, // all senders are gone
///         }
///     }
///     assert_eq!(sum, 1_100);
/// });
/// ```
///
/// # Errors
///
/// [`LayoutError`], for a capacity that is not a power of two for example.
pub fn channel<T: Entry>(capacity: usize) -> Result<(Sender<T>, Receiver<T>), LayoutError> {
    let ring = HeapRing::new(capacity)?;
    let sender = Sender::beside_others(ring.clone(), 0, 0);
    Ok((sender, Receiver { ring, head: 0, released: 0 }))
}

/// One of the ends that send. When the last is dropped the receiver finds the queue closed, once it is
/// empty.
pub struct Sender<T: Entry, K = Arc<Allocation<T, Many>>> {
    ring: Ring<T, K, Many>,
    /// How many entries the receiver had taken when we last looked.
    head: u32,
    /// How many had been claimed when we last claimed. A claim that begins with this guess asks for the tail's line once, to write it,
    /// where one that looks first has it come twice.
    tail: u32,
}

/// How often a claim may be lost to other senders before the tail counts as nonsense. Each loss is
/// another one's success, so only a peer that writes the tail without sending makes it this many.
const MOST_LOST_CLAIMS: u32 = 1 << 24;

/// How long a sender pauses that has lost a claim, in the processor's pauses. Measured with four senders on two CPUs.
const PAUSES: u32 = if cfg!(loom) { 0 } else { 4 };

/// How often that is doubled.
const MOST_DOUBLINGS: u32 = 3;

/// How many bytes of slots ahead are asked for: the next claim waits until the slot that was filled before it is the sender's own.
const AHEAD: usize = 128;

/// Leaves the tail to whoever has its line, for longer each time: a sender that goes on alone sends many entries while two that take
/// turns have the line change hands at each.
#[inline]
fn back_off(lost: u32) {
    for _ in 0..PAUSES << lost.min(MOST_DOUBLINGS) {
        core::hint::spin_loop();
    }
}

/// Why nothing was claimed.
enum NoClaim {
    Full,
    Closed,
    Corrupt,
}

impl NoClaim {
    fn keep<T>(self, entry: T) -> SendError<T> {
        match self {
            NoClaim::Full => SendError::Full(entry),
            NoClaim::Closed => SendError::Closed(entry),
            NoClaim::Corrupt => SendError::Corrupt(entry),
        }
    }
}

impl<T: Entry, K> Sender<T, K> {
    pub(crate) fn new(ring: Ring<T, K, Many>) -> Result<Self, AttachError> {
        let (head, tail) = ring.indices()?;
        if ring.gone(Ordering::Acquire) & SENDER_GONE != 0 {
            return Err(AttachError::Closed);
        }
        Ok(Self::beside_others(ring, head, tail))
    }

    fn beside_others(ring: Ring<T, K, Many>, head: u32, tail: u32) -> Self {
        ring.ends().enter(ring.generation());
        Sender { ring, head, tail }
    }

    /// How many entries a line has.
    const LINE: u32 = {
        let size = size_of::<Place<T, Many>>();
        if size < 64 { 64 / size as u32 } else { 1 }
    };

    /// Asks for slots ahead of number `index`, if another line begins with it.
    #[inline]
    fn claim_ahead(&self, index: u32) {
        let ahead = const { (AHEAD / size_of::<Place<T, Many>>()) as u32 };
        if ahead > 0 && index.is_multiple_of(Self::LINE) {
            self.ring.claim(index.wrapping_add(ahead));
        }
    }

    /// Claims up to `wanted` consecutive indices, at least one: the first, and how many.
    #[inline]
    fn claim(&mut self, wanted: u32) -> Result<(u32, u32), NoClaim> {
        let lines = self.ring.lines();
        if self.ring.gone(Ordering::Relaxed) & RECEIVER_GONE != 0 {
            return Err(NoClaim::Closed);
        }
        let capacity = self.ring.capacity() as u32;
        let mut tail = self.tail;
        for lost in 0..MOST_LOST_CLAIMS {
            // Ours may be older than the tail by more than a lap, and then it is looked up again.
            let mut free = capacity.saturating_sub(tail.wrapping_sub(self.head));
            if free < wanted {
                self.head = lines.head.0.load(Ordering::Acquire);
                free = match capacity.checked_sub(tail.wrapping_sub(self.head)) {
                    Some(free) => free,
                    None => {
                        // The head has passed a tail that we read long ago; or it is nonsense.
                        let now = lines.tail.index.load(Ordering::Relaxed);
                        if now == tail {
                            return Err(NoClaim::Corrupt);
                        }
                        tail = now;
                        continue;
                    }
                };
                if free == 0 {
                    return Err(NoClaim::Full);
                }
            }
            let count = free.min(wanted);
            let next = tail.wrapping_add(count);
            // Nothing is published by the tail, and what the slots held was read before the head that we
            // have acquired moved past them.
            match lines.tail.index.compare_exchange_weak(
                tail,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    self.tail = next;
                    self.claim_ahead(tail);
                    return Ok((tail, count));
                }
                Err(now) => {
                    back_off(lost);
                    tail = now;
                }
            }
        }
        Err(NoClaim::Corrupt)
    }

    #[inline]
    fn fill(&self, index: u32, entry: T) {
        let place = self.ring.place(index);
        place.slot.store(&entry);
        place.stamp.fill(index);
    }

    /// Sends an entry.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the entry in it.
    #[inline]
    pub fn send(&mut self, entry: T) -> Result<(), SendError<T>> {
        match self.claim(1) {
            Ok((index, _)) => {
                self.fill(index, entry);
                Ok(())
            }
            Err(why) => Err(why.keep(entry)),
        }
    }

    /// Sends the first of `entries`, as many as there is room for, side by side. Returns how many; not
    /// 0, unless there was none to send.
    ///
    /// # Errors
    ///
    /// [`SendError`] if not one could be sent.
    pub fn send_batch(&mut self, entries: &[T]) -> Result<usize, SendError<()>> {
        if entries.is_empty() {
            return Ok(0);
        }
        let wanted = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let (first, count) = self.claim(wanted).map_err(|why| why.keep(()))?;
        let indices = (0..count).map(|i| first.wrapping_add(i));
        indices.zip(entries).for_each(|(index, &entry)| self.fill(index, entry));
        Ok(count as usize)
    }

    /// How many entries fit in the ring.
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        self.ring.gone(Ordering::Relaxed) & RECEIVER_GONE != 0
    }
}

impl<T: Entry, K: Clone> Clone for Sender<T, K> {
    fn clone(&self) -> Self {
        Self::beside_others(self.ring.clone(), self.head, self.tail)
    }
}

impl<T: Entry, K> Drop for Sender<T, K> {
    fn drop(&mut self) {
        self.ring.ends().leave(self.ring.generation());
    }
}

impl<T: Entry, K> fmt::Debug for Sender<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// The end that receives. When it is dropped the senders find the queue closed.
pub struct Receiver<T: Entry, K = Arc<Allocation<T, Many>>> {
    ring: Ring<T, K, Many>,
    /// How many entries were ever taken. Ours: what is in the memory is never read back.
    head: u32,
    /// How much of that the senders know of.
    released: u32,
}

impl<T: Entry, K> Receiver<T, K> {
    pub(crate) fn new(ring: Ring<T, K, Many>) -> Result<Self, AttachError> {
        let (head, _) = ring.indices()?;
        if ring.gone(Ordering::Acquire) & RECEIVER_GONE != 0 {
            return Err(AttachError::Closed);
        }
        Ok(Receiver { ring, head, released: head })
    }

    /// Takes the next entry if it is there, and leaves its slot to be released.
    #[inline]
    fn take(&mut self) -> Option<T> {
        let place = self.ring.place(self.head);
        if !place.stamp.is_filled(self.head) && !self.pass_given_up() {
            return None;
        }
        let entry = self.ring.place(self.head).slot.load();
        self.head = self.head.wrapping_add(1);
        Some(entry)
    }

    /// Passes over what was given up; whether there is an entry behind it.
    #[cold]
    fn pass_given_up(&mut self) -> bool {
        // Not further than a lap: a peer could write the stamps as we go.
        for _ in 0..self.ring.capacity() {
            let stamp = &self.ring.place(self.head).stamp;
            if !stamp.is_given_up(self.head) {
                return stamp.is_filled(self.head);
            }
            self.head = self.head.wrapping_add(1);
        }
        false
    }

    #[inline]
    fn release(&mut self) {
        if self.released != self.head {
            self.released = self.head;
            self.ring.lines().head.0.store(self.head, Ordering::Release);
        }
    }

    /// Why there is nothing; or an entry after all.
    #[cold]
    fn nothing(&mut self) -> Result<T, RecvError> {
        // What was given up has been passed over.
        self.release();
        let lines = self.ring.lines();
        let flags = self.ring.gone(Ordering::Acquire);
        if flags & SENDER_GONE == 0 {
            return Err(RecvError::Empty);
        }
        // Acquire, and after the flag: all claims of the senders that are gone are in it.
        let tail = lines.tail.index.load(Ordering::Acquire);
        let claimed = tail.wrapping_sub(self.head);
        if claimed as usize > self.ring.capacity() {
            return Err(RecvError::Corrupt);
        }
        for _ in 0..claimed {
            if let Some(entry) = self.take() {
                return Ok(entry);
            }
            // What was given up reaches to the end.
            if self.head == tail {
                break;
            }
            if flags & SENDER_DIED == 0 {
                // Those that are gone have filled or given up what they claimed; so the tail is not theirs.
                return Err(RecvError::Corrupt);
            }
            self.head = self.head.wrapping_add(1);
        }
        self.release();
        Err(RecvError::Closed)
    }

    /// Receives an entry.
    ///
    /// # Errors
    ///
    /// [`RecvError`]: [`Closed`](RecvError::Closed) only after everything that was sent.
    #[inline]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        let entry = match self.take() {
            Some(entry) => entry,
            None => self.nothing()?,
        };
        self.release();
        Ok(entry)
    }

    /// Receives into the beginning of `entries`, as many as there are and fit, and frees their slots
    /// together. Returns how many; not 0, unless there was no place for any.
    ///
    /// # Errors
    ///
    /// [`RecvError`] if there is not one.
    pub fn recv_batch(&mut self, entries: &mut [T]) -> Result<usize, RecvError> {
        let mut count = 0;
        for place in entries.iter_mut() {
            match self.take() {
                Some(entry) => *place = entry,
                None if count == 0 => *place = self.nothing()?,
                None => break,
            }
            count += 1;
        }
        self.release();
        Ok(count)
    }

    /// Receives what is there, one by one, at most a ring full; the slots are freed together when the
    /// iterator is dropped.
    pub fn drain(&mut self) -> Drain<'_, T, K> {
        Drain { left: self.ring.capacity(), receiver: self }
    }

    /// Says that no sender lives any more, for one cannot have said so itself. What was sent is still
    /// received; what was begun is skipped.
    pub fn senders_died(&mut self) {
        self.ring.close(SENDER_GONE | SENDER_DIED);
    }

    /// How many entries fit in the ring.
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// Whether there is something to do: an entry to receive, or slots to [pass over](Reservation).
    pub fn is_ready(&self) -> bool {
        let stamp = &self.ring.place(self.head).stamp;
        stamp.is_filled(self.head) || stamp.is_given_up(self.head)
    }

    /// Whether all senders are gone. There may still be something to receive.
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

/// What is there to receive, made by [`Receiver::drain`].
#[derive(Debug)]
pub struct Drain<'a, T: Entry, K> {
    receiver: &'a mut Receiver<T, K>,
    /// How many it may still give: the senders must get their slots back at some time.
    left: usize,
}

impl<T: Entry, K> Iterator for Drain<'_, T, K> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        self.receiver.take()
    }
}

impl<T: Entry, K> Drop for Drain<'_, T, K> {
    fn drop(&mut self) {
        self.receiver.release();
    }
}

mod reserve;

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
