//! Watching files and directories, inotify(7).
//!
//! The one idea: an instance is a bounded list of events as read(2) gives them; who changes a file adds to it
//! ([`crate::vfs::notify`]), and an event that is the same as the last one adds nothing.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Weak},
};

use hal::pmem::{Charge, PhysicalMemory};
use kernel_objects::WaitQueue;
use linux_raw_sys::{general as raw, ioctl};
use parking_lot::Mutex;

use crate::{
    errno::{Errno, SysResult},
    process::PidNamespace,
    vfs::{
        File, GuestMemory, IoDst, Path, PollEvents, Seeking,
        notify::{self, EventMask, InodeKey, Watcher, Watches},
    },
};

/// The most events of an instance: /proc/sys/fs/inotify/max_queued_events.
pub const QUEUED_EVENTS_MAX: usize = 16384;
/// The most instances of a user.
pub const USER_INSTANCES_MAX: usize = 128;
/// The most watches of an instance; Linux counts those of a user.
pub const USER_WATCHES_MAX: usize = 65536;

/// Bytes of `struct inotify_event` without the name.
const HEADER: usize = 16;
/// Bytes of the kernel's memory that a watch takes, about.
const WATCH: u64 = 256;

/// How many instances each user has.
#[derive(Default)]
pub struct Instances(Mutex<HashMap<u32, usize>>);

/// An instance that counts for its user.
struct Counted {
    instances: Arc<Instances>,
    user: u32,
}

impl Instances {
    fn count(self: &Arc<Self>, user: u32) -> SysResult<Counted> {
        let mut counts = self.0.lock();
        let count = counts.entry(user).or_default();
        if *count >= USER_INSTANCES_MAX {
            return Err(Errno::EMFILE);
        }
        *count += 1;
        Ok(Counted { instances: Arc::clone(self), user })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.instances.0.lock();
        if let Some(count) = counts.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.user);
            }
        }
    }
}

#[derive(PartialEq, Eq)]
struct Event {
    watch: i32,
    mask: EventMask,
    cookie: u32,
    name: Box<[u8]>,
}

impl Event {
    /// Bytes of the name with the zeroes behind it.
    fn name_len(&self) -> usize {
        if self.name.is_empty() { 0 } else { (self.name.len() + 1).next_multiple_of(HEADER) }
    }

    fn len(&self) -> usize {
        HEADER + self.name_len()
    }

    fn write(&self, dst: &mut IoDst<'_>) -> SysResult {
        let mut bytes = Vec::with_capacity(self.len());
        bytes.extend_from_slice(&self.watch.to_ne_bytes());
        bytes.extend_from_slice(&self.mask.to_ne_bytes());
        bytes.extend_from_slice(&self.cookie.to_ne_bytes());
        bytes.extend_from_slice(&(self.name_len() as u32).to_ne_bytes());
        bytes.extend_from_slice(&self.name);
        bytes.resize(self.len(), 0);
        dst.write(&bytes)
    }

    /// Whether another like it says nothing new.
    fn repeats(&self, other: &Self) -> bool {
        self.mask & raw::IN_IGNORED == 0
            && (self.watch, self.mask, &self.name) == (other.watch, other.mask, &other.name)
    }
}

/// What an instance watches.
struct Watched {
    watches: Arc<Watches>,
    key: InodeKey,
    mask: EventMask,
}

struct State {
    events: VecDeque<Event>,
    bytes: usize,
    watched: BTreeMap<i32, Watched>,
    last_number: i32,
    charge: Charge,
}

impl State {
    fn charged(&self) -> u64 {
        (self.bytes + self.events.len() * size_of::<Event>()) as u64
            + self.watched.len() as u64 * WATCH
    }

    fn push(&mut self, event: Event) {
        if self.events.back().is_some_and(|last| last.repeats(&event)) {
            return;
        }
        let more = self.charged() + (event.len() + size_of::<Event>()) as u64;
        let full = self.events.len() >= QUEUED_EVENTS_MAX || self.charge.resize(more).is_err();
        let event = if full {
            let lost =
                Event { watch: -1, mask: raw::IN_Q_OVERFLOW, cookie: 0, name: Box::default() };
            if self.events.back() == Some(&lost) {
                return;
            }
            lost
        } else {
            event
        };
        self.bytes += event.len();
        self.events.push_back(event);
    }

    fn pop(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.bytes -= event.len();
            let charged = self.charged();
            // Becoming smaller cannot fail.
            let _ = self.charge.resize(charged);
        }
    }
}

/// An inotify instance.
pub struct Inotify {
    state: Mutex<State>,
    queue: WaitQueue,
    this: Weak<Inotify>,
    _counted: Counted,
}

impl Inotify {
    /// One that watches nothing; `EMFILE` when `user` has too many.
    pub fn new(
        memory: &Arc<PhysicalMemory>,
        instances: &Arc<Instances>,
        user: u32,
    ) -> SysResult<Arc<Self>> {
        let counted = instances.count(user)?;
        let state = State {
            events: VecDeque::new(),
            bytes: 0,
            watched: BTreeMap::new(),
            last_number: 0,
            charge: memory.no_charge(),
        };
        Ok(Arc::new_cyclic(|this| Self {
            state: Mutex::new(state),
            queue: WaitQueue::new(),
            this: this.clone(),
            _counted: counted,
        }))
    }

    fn watcher(&self) -> Weak<dyn Watcher> {
        self.this.clone()
    }

    /// Watches the file at `place` for what is in `mask`, with the flags of inotify_add_watch(2): the watch's number. `EEXIST`; `ENOSPC`.
    pub fn add(&self, place: &Path, mask: EventMask) -> SysResult<i32> {
        let key = notify::key_of(place.inode()).ok_or(Errno::ENOENT)?;
        let kept = mask & (notify::ALL_EVENTS | raw::IN_ONESHOT | raw::IN_EXCL_UNLINK);
        let watches = place.watches();
        let mut state = self.state.lock();
        let exists = state
            .watched
            .iter_mut()
            .find(|(_, watched)| watched.key == key && Arc::ptr_eq(&watched.watches, watches));
        if let Some((&number, watched)) = exists {
            if mask & raw::IN_MASK_CREATE != 0 {
                return Err(Errno::EEXIST);
            }
            let adds = mask & raw::IN_MASK_ADD != 0;
            watched.mask = if adds { watched.mask | kept } else { kept };
            let new = watched.mask;
            drop(state);
            watches.change(key, &self.watcher(), |_| new);
            return Ok(number);
        }
        if state.watched.len() >= USER_WATCHES_MAX {
            return Err(Errno::ENOSPC);
        }
        let charged = state.charged() + WATCH;
        state.charge.resize(charged).map_err(|_| Errno::ENOMEM)?;
        let number = state.last_number.checked_add(1).ok_or(Errno::ENOSPC)?;
        state.last_number = number;
        let watched = Watched { watches: Arc::clone(watches), key, mask: kept };
        state.watched.insert(number, watched);
        drop(state);
        watches.add(key, self.watcher(), number, kept);
        Ok(number)
    }

    /// Ends watch `number`; `EINVAL`.
    pub fn remove(&self, number: i32) -> SysResult<()> {
        let found = self
            .state
            .lock()
            .watched
            .get(&number)
            .map(|watched| (Arc::clone(&watched.watches), watched.key));
        let (watches, key) = found.ok_or(Errno::EINVAL)?;
        if watches.remove(key, &self.watcher()) {
            self.ended(number);
        }
        Ok(())
    }
}

impl Watcher for Inotify {
    fn happened(&self, watch: i32, mask: EventMask, cookie: u32, name: &[u8]) {
        self.state.lock().push(Event { watch, mask, cookie, name: name.into() });
        self.queue.notify_all_for(PollEvents::READABLE.bits());
    }

    fn ended(&self, watch: i32) {
        let mut state = self.state.lock();
        if state.watched.remove(&watch).is_some() {
            state.push(Event { watch, mask: raw::IN_IGNORED, cookie: 0, name: Box::default() });
            drop(state);
            self.queue.notify_all_for(PollEvents::READABLE.bits());
        }
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        let watcher = self.watcher();
        for watched in self.state.get_mut().watched.values() {
            watched.watches.remove(watched.key, &watcher);
        }
    }
}

impl File for Inotify {
    fn read(&self, _: u64, dst: &mut IoDst<'_>) -> SysResult {
        let mut state = self.state.lock();
        if state.events.is_empty() {
            return Err(Errno::EAGAIN);
        }
        let mut done = 0;
        while let Some(event) = state.events.front() {
            if event.len() > dst.remaining() {
                break;
            }
            match event.write(dst) {
                Ok(written) => done += written,
                Err(error) if done == 0 => {
                    // Taken even when the buffer turns out to be bad, as in Linux.
                    state.pop();
                    return Err(error);
                }
                Err(_) => break,
            }
            state.pop();
        }
        if done == 0 { Err(Errno::EINVAL) } else { Ok(done) }
    }

    fn transfers(&self) -> (bool, bool) {
        (true, false)
    }

    fn poll(&self) -> PollEvents {
        let some = !self.state.lock().events.is_empty();
        if some { PollEvents::READABLE } else { PollEvents::empty() }
    }

    fn seeking(&self) -> Seeking {
        Seeking::Idle
    }

    fn signals_readiness(&self) -> bool {
        true
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn ioctl(&self, command: u32, arg: u64, memory: &dyn GuestMemory) -> SysResult {
        if command != ioctl::FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let bytes = i32::try_from(self.state.lock().bytes).unwrap_or(i32::MAX);
        memory.write(arg, &bytes.to_ne_bytes()).map(|()| 0)
    }

    fn link_text(&self) -> Vec<u8> {
        b"anon_inode:inotify".to_vec()
    }

    fn fdinfo(&self, _: &PidNamespace) -> String {
        let state = self.state.lock();
        let line = |(number, watched): (&i32, &Watched)| {
            let (device, ino) = watched.key;
            format!(
                "inotify wd:{number:x} ino:{ino:x} sdev:{device:x} mask:{:x} ignored_mask:0\n",
                watched.mask
            )
        };
        state.watched.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(memory: Option<u64>) -> Arc<Inotify> {
        let memory = PhysicalMemory::new(memory).unwrap();
        Inotify::new(&memory, &Arc::default(), 0).unwrap()
    }

    fn read(inotify: &Inotify, room: usize) -> SysResult<Vec<(i32, u32, usize)>> {
        let mut bytes = vec![0; room];
        let done = inotify.read(0, &mut IoDst::kernel(&mut bytes))?;
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        let (mut at, mut events) = (0, Vec::new());
        while at < done {
            let len = word(at + 12) as usize;
            events.push((word(at) as i32, word(at + 4), len));
            at += HEADER + len;
        }
        Ok(events)
    }

    #[test]
    fn events_come_in_order_and_what_repeats_the_last_one_does_not() {
        let inotify = instance(None);
        assert_eq!(read(&inotify, 100), Err(Errno::EAGAIN));
        for name in [&b"a"[..], b"a", b"sixteen_letters.", b"a"] {
            inotify.happened(1, raw::IN_CREATE, 0, name);
        }
        assert_eq!(read(&inotify, 31), Err(Errno::EINVAL));
        assert_eq!(read(&inotify, 33), Ok(vec![(1, raw::IN_CREATE, 16)]));
        let rest = vec![(1, raw::IN_CREATE, 32), (1, raw::IN_CREATE, 16)];
        assert_eq!(read(&inotify, 1000), Ok(rest));
        assert_eq!(inotify.poll(), PollEvents::empty());
    }

    #[test]
    fn what_is_too_much_is_lost_and_that_is_told_once() {
        for (memory, least) in [(None, QUEUED_EVENTS_MAX), (Some(100_000), 100)] {
            let inotify = instance(memory);
            for cookie in 0..20_000 {
                inotify.happened(cookie as i32, raw::IN_MOVED_TO, cookie, b"name");
            }
            let events = read(&inotify, 1 << 20).unwrap();
            assert!(events.len() > least && events.len() <= QUEUED_EVENTS_MAX + 1);
            assert_eq!(events.last(), Some(&(-1, raw::IN_Q_OVERFLOW, 0)));
        }
    }

    #[test]
    fn a_user_has_so_many_instances() {
        let memory = PhysicalMemory::new(None).unwrap();
        let instances = Arc::default();
        let make = |user| Inotify::new(&memory, &instances, user);
        let all: Vec<_> = (0..USER_INSTANCES_MAX).map(|_| make(5).unwrap()).collect();
        assert_eq!((make(5).err(), make(6).err()), (Some(Errno::EMFILE), None));
        drop(all);
        assert!(make(5).is_ok());
    }
}
