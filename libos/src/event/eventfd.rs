//! A counter as a file, eventfd(2).
//!
//! The one idea: one number under a lock; a read takes all of it or, as a semaphore, one, and a write adds.

use kernel_objects::WaitQueue;
use parking_lot::Mutex;

use crate::{
    errno::{Errno, SysResult},
    process::PidNamespace,
    vfs::{File, IoDst, IoSrc, PollEvents, Seeking},
};

/// The most that the counter holds.
const MAX: u64 = u64::MAX - 1;

/// An eventfd.
pub struct EventFd {
    count: Mutex<u64>,
    semaphore: bool,
    queue: WaitQueue,
}

impl EventFd {
    /// A counter that begins at `count`; a read takes one if it is a `semaphore`, all if not.
    pub fn new(count: u32, semaphore: bool) -> Self {
        Self { count: Mutex::new(u64::from(count)), semaphore, queue: WaitQueue::new() }
    }

    /// Counts one more, unless it can not.
    pub fn signal(&self) {
        let mut count = self.count.lock();
        *count = count.saturating_add(1).min(MAX);
        drop(count);
        self.queue.notify_all_for(PollEvents::READABLE.bits());
    }
}

impl File for EventFd {
    fn read(&self, _: u64, dst: &mut IoDst<'_>) -> SysResult {
        if dst.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        let mut count = self.count.lock();
        if *count == 0 {
            return Err(Errno::EAGAIN);
        }
        let taken = if self.semaphore { 1 } else { *count };
        *count -= taken;
        drop(count);
        self.queue.notify_all_for(PollEvents::WRITABLE.bits());
        // Taken even when the buffer turns out to be bad, as in Linux.
        dst.write(&taken.to_ne_bytes())
    }

    fn write(&self, _: u64, src: &mut IoSrc<'_>) -> SysResult {
        if src.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; 8];
        // From a copy: what has to wait is read once more.
        let done = src.clone().read(&mut bytes)?;
        if done < bytes.len() {
            return Err(Errno::EFAULT);
        }
        let value = u64::from_ne_bytes(bytes);
        if value == u64::MAX {
            return Err(Errno::EINVAL);
        }
        let mut count = self.count.lock();
        *count = count.checked_add(value).filter(|sum| *sum <= MAX).ok_or(Errno::EAGAIN)?;
        src.skip(done);
        let readable = *count > 0;
        drop(count);
        if readable {
            self.queue.notify_all_for(PollEvents::READABLE.bits());
        }
        Ok(done)
    }

    fn poll(&self) -> PollEvents {
        let count = *self.count.lock();
        let mut events = PollEvents::empty();
        events.set(PollEvents::READABLE, count > 0);
        events.set(PollEvents::WRITABLE, count < MAX);
        events
    }

    fn seeking(&self) -> Seeking {
        Seeking::Idle
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn link_text(&self) -> Vec<u8> {
        b"anon_inode:[eventfd]".to_vec()
    }

    fn fdinfo(&self, _: &PidNamespace) -> String {
        format!("eventfd-count: {:16x}\n", *self.count.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &EventFd) -> SysResult<u64> {
        let mut bytes = [0; 8];
        file.read(0, &mut IoDst::kernel(&mut bytes))?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn write(file: &EventFd, value: u64) -> SysResult {
        file.write(0, &mut IoSrc::kernel(&value.to_ne_bytes()))
    }

    #[test]
    fn a_read_takes_everything_or_one_of_a_semaphore() {
        let (plain, semaphore) = (EventFd::new(3, false), EventFd::new(2, true));
        assert_eq!((read(&plain), read(&plain)), (Ok(3), Err(Errno::EAGAIN)));
        assert_eq!((read(&semaphore), read(&semaphore)), (Ok(1), Ok(1)));
        assert_eq!(read(&semaphore), Err(Errno::EAGAIN));
    }

    #[test]
    fn a_write_that_does_not_fit_would_wait_and_the_largest_number_is_invalid() {
        let file = EventFd::new(1, false);
        assert_eq!(write(&file, MAX), Err(Errno::EAGAIN));
        assert_eq!(write(&file, MAX - 1), Ok(8));
        assert_eq!(file.poll(), PollEvents::READABLE);
        assert_eq!(write(&file, u64::MAX), Err(Errno::EINVAL));
    }
}
