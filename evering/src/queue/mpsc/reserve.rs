//! Entries that are written in place, and published together, into a queue of many senders.
//!
//! The one idea: a claim is final, since other senders have claimed what comes after it. So a reservation ends in one of two ways,
//! slot by slot: the slot is stamped as filled, or as given up, and whoever drops a reservation has given it up.
//!
//! ```text
//!      reserve(3)         stage(a)  stage(b)            publish
//!      ┌───┬───┬───┐      ┌───┬───┬───┐                 ┌───┬───┬───┐  a and b are received,
//!      │   │   │   │ ───► │ a │ b │   │ ──────────────► │ a │ b │ ╳ │  ╳ is passed over
//!      └───┴───┴───┘      └───┴───┴───┘                 └───┴───┴───┘
//!                           │            dropped        ┌───┬───┬───┐
//!                           └─────────────────────────► │ ╳ │ ╳ │ ╳ │  all are passed over
//!                                                       └───┴───┴───┘
//! ```

use core::fmt;

use super::Sender;
use crate::{Entry, SendError};

/// Consecutive slots that a sender has claimed, to be filled in place.
///
/// The receiver waits for them as long as this lives, and so does everything that others send behind it: hold it for the time of
/// a few writes. What is given up is news too: the slots are free again when the receiver has passed over them, so
/// [ring](crate::wake::Ringer::ring) for it. One that is forgotten ([`mem::forget`](core::mem::forget)) holds the receiver up until the last sender is gone,
/// and is [`Corrupt`](crate::RecvError::Corrupt) then; one whose process is killed is skipped once that is
/// [known](super::Receiver::senders_died).
pub struct Reservation<'a, T: Entry, K> {
    sender: &'a Sender<T, K>,
    /// The first index.
    first: u32,
    /// How many there are.
    count: u32,
    /// How many of them have an entry.
    staged: u32,
}

impl<T: Entry, K> Sender<T, K> {
    /// Claims room for up to `wanted` entries, side by side, as much as there is; not for none, unless none was wanted.
    ///
    /// ```
    /// use evering::{RecvError, mpsc};
    ///
    /// let (mut sender, mut receiver) = mpsc::channel::<u32>(4).unwrap();
    /// let mut other = sender.clone();
    /// let mut room = sender.reserve(3).unwrap();
    /// room.stage(1).unwrap();
    /// room.stage(2).unwrap();
    /// other.send(9).unwrap();
    /// assert_eq!(receiver.recv(), Err(RecvError::Empty)); // what was claimed first comes first
    /// assert_eq!(room.publish(), 2); // and gives the third up
    /// assert_eq!(receiver.drain().collect::<Vec<_>>(), [1, 2, 9]);
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError`] if there is no room for one.
    pub fn reserve(&mut self, wanted: usize) -> Result<Reservation<'_, T, K>, SendError<()>> {
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let (first, count) = match wanted {
            0 => (0, 0),
            wanted => self.claim(wanted).map_err(|why| why.keep(()))?,
        };
        Ok(Reservation { sender: self, first, count, staged: 0 })
    }
}

impl<T: Entry, K> Reservation<'_, T, K> {
    /// Writes the next entry in place.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] with the entry if all that was reserved is written.
    #[inline]
    pub fn stage(&mut self, entry: T) -> Result<(), SendError<T>> {
        if self.staged == self.count {
            return Err(SendError::Full(entry));
        }
        self.sender.ring.place(self.first.wrapping_add(self.staged)).slot.store(&entry);
        self.staged += 1;
        Ok(())
    }

    /// Lets the receiver see what is staged, and gives up the rest; returns how many entries that was.
    pub fn publish(mut self) -> usize {
        let staged = self.staged;
        for index in (0..staged).map(|n| self.first.wrapping_add(n)) {
            self.sender.ring.place(index).stamp.fill(index);
        }
        self.first = self.first.wrapping_add(staged);
        self.count -= staged;
        self.staged = 0;
        staged as usize
    }

    /// For how many entries there is room, those that are staged included.
    pub fn capacity(&self) -> usize {
        self.count as usize
    }

    /// How many entries are staged.
    pub fn staged(&self) -> usize {
        self.staged as usize
    }
}

impl<T: Entry, K> Drop for Reservation<'_, T, K> {
    fn drop(&mut self) {
        for index in (0..self.count).map(|n| self.first.wrapping_add(n)) {
            self.sender.ring.place(index).stamp.give_up(index);
        }
    }
}

impl<T: Entry, K> fmt::Debug for Reservation<'_, T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("capacity", &self.capacity())
            .field("staged", &self.staged())
            .finish_non_exhaustive()
    }
}
