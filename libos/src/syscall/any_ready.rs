//! Waiting until one of many files is ready.
//!
//! The one idea: a wake-up says which files it can be about. Their waits are taken in groups, each with a waker that notes the group's number, and
//! who is woken looks at the groups that were noted and at nothing else. So a wake costs the same among a hundred thousand files as among a
//! hundred. A few files are one group, which needs no waker of its own.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use futures::task::AtomicWaker;
use hal::sync::Mark;
use kernel_objects::{
    WaitQueue,
    task::{BlockedReason, Interrupted},
    wait_queue::Wait,
};
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::{
    process::Thread,
    vfs::{OpenFile, PollEvents},
};

/// How many files a noted group makes a look at.
const GROUP: usize = 64;

/// A file, and what is waited for.
pub(super) struct Watched {
    /// The file.
    pub(super) file: Arc<OpenFile>,
    /// Any of these ends the wait.
    pub(super) wanted: PollEvents,
}

impl Watched {
    /// What there is of what is wanted.
    pub(super) fn ready(&self) -> PollEvents {
        self.file.poll() & self.wanted
    }
}

/// Places in a list of files, and what those had when they were looked at.
pub(super) type Ready = SmallVec<[(usize, PollEvents); 4]>;

/// Groups that were notified since somebody last looked.
#[derive(Default)]
struct Notes {
    groups: Mutex<Vec<usize>>,
    task: AtomicWaker,
}

/// The waker of a group.
struct Note {
    group: usize,
    /// Whether it is among the notes. Cleared before the group is looked at.
    noted: Mark,
    notes: Arc<Notes>,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.noted.set() {
            self.notes.groups.lock().push(self.group);
            self.notes.task.wake();
        }
    }
}

/// Places in the wait queues of many files.
struct Waits<'a> {
    files: &'a [Watched],
    waits: SmallVec<[Option<Wait<&'a WaitQueue>>; 4]>,
    /// One for each group, if there are several.
    wakers: Vec<(Arc<Note>, Waker)>,
    notes: Option<Arc<Notes>>,
    ready: Ready,
}

impl<'a> Waits<'a> {
    fn new(files: &'a [Watched]) -> Self {
        let waits = files.iter().map(|_| None).collect();
        let (mut wakers, mut notes) = (Vec::new(), None);
        if files.len() > GROUP {
            let all = Arc::new(Notes::default());
            for group in 0..files.len().div_ceil(GROUP) {
                let note = Note { group, noted: Mark::new(), notes: Arc::clone(&all) };
                let note = Arc::new(note);
                // What was never looked at is noted.
                note.wake_by_ref();
                wakers.push((Arc::clone(&note), Waker::from(note)));
            }
            notes = Some(all);
        }
        Self { files, waits, wakers, notes, ready: Ready::new() }
    }

    /// Looks at what was notified; what is ready of it, if anything is.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ready> {
        match self.notes.clone() {
            None => self.look(0, context),
            Some(notes) => {
                notes.task.register(context.waker());
                let noted = std::mem::take(&mut *notes.groups.lock());
                for group in noted {
                    let Some((note, waker)) = self.wakers.get(group) else { continue };
                    note.noted.clear();
                    let waker = waker.clone();
                    self.look(group * GROUP, &mut Context::from_waker(&waker));
                }
            }
        }
        match self.ready.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(std::mem::take(&mut self.ready)),
        }
    }

    /// Looks at those files of the group from number `first` on that were notified, or never looked at.
    fn look(&mut self, first: usize, context: &mut Context<'_>) {
        let group = self.files.iter().zip(&mut self.waits).enumerate().skip(first).take(GROUP);
        for (index, (watched, slot)) in group {
            if slot.as_mut().is_some_and(|wait| Pin::new(wait).poll(context).is_pending()) {
                continue;
            }
            let Some(queue) = watched.file.wait_queue() else { continue };
            // It waits again before it looks: what comes in between is not missed.
            let wait = slot.insert(queue.wait_for(watched.wanted.bits()));
            let _ = Pin::new(wait).poll(context);
            let ready = watched.ready();
            if !ready.is_empty() {
                self.ready.push((index, ready));
            }
        }
    }
}

/// Waits until one of `files` is ready; which are, as far as is known. None are when `deadline` has passed on the monotonic clock.
pub(super) async fn any_ready(
    thread: &Thread,
    files: &[Watched],
    deadline: u64,
) -> Result<Ready, Interrupted> {
    let mut waits = Waits::new(files);
    let any = poll_fn(|context| waits.poll(context));
    let waited = hal::time::timeout_at(deadline, any);
    let waited = thread.object.interruptible(BlockedReason::WaitMany, waited).await?;
    Ok(waited.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::EventFd,
        vfs::{IoDst, IoSrc},
    };

    fn files(count: usize) -> Vec<Watched> {
        let file = || OpenFile::from_file(Arc::new(EventFd::new(0, false)), None, 2);
        (0..count).map(|_| Watched { file: file(), wanted: PollEvents::IN }).collect()
    }

    fn add_one(watched: &Watched) {
        watched.file.write(&mut IoSrc::kernel(&1_u64.to_ne_bytes())).unwrap();
    }

    fn ready_is(index: usize) -> Poll<Ready> {
        Poll::Ready(Ready::from_slice(&[(index, PollEvents::IN)]))
    }

    fn take(watched: &Watched) {
        watched.file.read(&mut IoDst::kernel(&mut [0; 8])).unwrap();
    }

    #[test]
    fn whoever_becomes_ready_is_found_among_few_and_many() {
        for count in [1, GROUP, GROUP + 1, 1000] {
            let files = files(count);
            for index in [0, count / 2, count - 1] {
                let mut waits = Waits::new(&files);
                let context = &mut Context::from_waker(Waker::noop());
                assert!(waits.poll(context).is_pending());
                add_one(&files[index]);
                assert_eq!(waits.poll(context), ready_is(index));
                take(&files[index]);
                assert!(waits.poll(context).is_pending(), "what was ready is so no more");
            }
        }
    }

    #[test]
    fn a_wake_looks_at_the_groups_that_it_is_about() {
        let files = files(10 * GROUP);
        let mut waits = Waits::new(&files);
        let context = &mut Context::from_waker(Waker::noop());
        assert!(waits.poll(context).is_pending());
        let notes = waits.notes.clone().unwrap();
        assert!(notes.groups.lock().is_empty());
        for _ in 0..3 {
            add_one(&files[3 * GROUP + 5]);
        }
        add_one(&files[7 * GROUP]);
        assert_eq!(*notes.groups.lock(), [3, 7]);
        take(&files[7 * GROUP]);
        assert_eq!(waits.poll(context), ready_is(3 * GROUP + 5));
    }

    #[test]
    fn what_is_not_wanted_wakes_nobody() {
        let mut files = files(2 * GROUP);
        files[0].wanted = PollEvents::OUT;
        let full = u64::MAX - 1;
        files[0].file.write(&mut IoSrc::kernel(&full.to_ne_bytes())).unwrap();
        let mut waits = Waits::new(&files);
        let context = &mut Context::from_waker(Waker::noop());
        assert!(waits.poll(context).is_pending());
        take(&files[0]);
        let out = Ready::from_slice(&[(0, PollEvents::OUT)]);
        assert_eq!(waits.poll(context), Poll::Ready(out));
    }
}
