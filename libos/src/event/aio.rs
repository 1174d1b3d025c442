//! Linux's own asynchronous I/O, io_setup(2): where its operations are and where they end.
//!
//! The one idea: a context is a ring of events in pages that the process has mapped, too, so that libraries can take events without a
//! call. What the guest writes there costs it its own events and nothing else: the kernel believes its own end of the ring alone, and
//! of the guest's what remains of it modulo the ring's size. A context belongs to the memory it is mapped in and goes with that.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use hal::{
    aspace::Prot,
    pmem::{PAGE_SIZE, PhysicalMemory},
};
use kernel_objects::{Vmo, VmoOptions, WaitQueue};
use parking_lot::Mutex;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::EventFd;
use crate::{
    errno::{Errno, SysResult},
    memory::{Placement, UserMemory},
    process::Thread,
    ring::{Operation, Operations},
    vfs::{DeviceNumber, OpenFile, PollEvents, mapped_name::MappedName},
};

/// The most operations of all contexts together: /proc/sys/fs/aio-max-nr.
pub const REQUESTS_MAX: u64 = 65536;
/// The most operations whose events could be counted at all.
const REQUESTS_LIMIT: u32 = 0x1000_0000 / size_of::<Event>() as u32;

/// `struct io_event`
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Event {
    /// What the operation was given to be told here.
    pub data: u64,
    /// Where its `struct iocb` is.
    pub operation: u64,
    /// What it ended with: bytes, or an error's negative number.
    pub result: i64,
    /// Always 0.
    pub second: i64,
}

/// What is in front of the events: `struct aio_ring`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Header {
    index: u32,
    slots: u32,
    head: u32,
    tail: u32,
    magic: u32,
    compatible: u32,
    incompatible: u32,
    len: u32,
}

const HEADER: u64 = size_of::<Header>() as u64;
const EVENT: u64 = size_of::<Event>() as u64;
/// Where the header has the slot that is read next.
const HEAD: u64 = 8;
/// Where it has the slot that is written next.
const TAIL: u64 = 12;
const MAGIC: u32 = 0xa10a_10a1;

/// How many operations all contexts may have.
#[derive(Default)]
pub struct Total(AtomicU64);

impl Total {
    /// How many they may have now: /proc/sys/fs/aio-nr.
    pub fn requests(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn take(self: &Arc<Self>, requests: u64) -> SysResult<Share> {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            now.checked_add(requests).filter(|sum| *sum <= REQUESTS_MAX)
        });
        taken.map_err(|_| Errno::EAGAIN)?;
        Ok(Share { total: Arc::clone(self), requests })
    }
}

/// What a context has of the total.
struct Share {
    total: Arc<Total>,
    requests: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.total.0.fetch_sub(self.requests, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct State {
    /// The slot that is written next.
    tail: u32,
    /// Operations that have not ended.
    under_way: u32,
}

/// A context of io_setup(2).
pub struct Context {
    ring: Arc<Vmo>,
    slots: u32,
    state: Mutex<State>,
    /// Those that wait for a file, by where their `struct iocb` is.
    polls: Arc<Operations>,
    dead: AtomicBool,
    /// Notified when an operation has ended, and when the context has.
    changed: WaitQueue,
    _share: Share,
}

impl Context {
    /// The most operations that it takes at a time.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// Notified when an operation has ended, and when the context has.
    pub fn changed(&self) -> &WaitQueue {
        &self.changed
    }

    /// Whether it was destroyed.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Whether no operation is under way.
    pub fn is_idle(&self) -> bool {
        self.state.lock().under_way == 0
    }

    fn word(&self, at: u64) -> u32 {
        let mut bytes = [0; 4];
        // It fails when there is no memory, which the first page has.
        let _ = self.ring.read(at, &mut bytes);
        u32::from_ne_bytes(bytes)
    }

    fn set_word(&self, at: u64, value: u32) {
        let _ = self.ring.write(at, &value.to_ne_bytes());
    }

    /// The slot that is read next, whatever the guest wrote there.
    fn head(&self) -> u32 {
        self.word(HEAD) % self.slots
    }

    fn waiting(&self, state: &State) -> u32 {
        (state.tail + self.slots - self.head()) % self.slots
    }

    /// Begins an operation; `EAGAIN` when there is no room for its event.
    pub fn begin(self: &Arc<Self>) -> SysResult<Request> {
        let mut state = self.state.lock();
        if self.is_dead() {
            return Err(Errno::EINVAL);
        }
        if state.under_way + self.waiting(&state) >= self.slots - 1 {
            return Err(Errno::EAGAIN);
        }
        state.under_way += 1;
        Ok(Request { context: Arc::clone(self), over: false })
    }

    fn complete(&self, event: Option<&Event>) {
        let mut state = self.state.lock();
        state.under_way -= 1;
        if let Some(event) = event {
            let at = HEADER + u64::from(state.tail) * EVENT;
            // Without memory for the ring the event is lost, as with what else the guest does to it.
            let _ = self.ring.write(at, event.as_bytes());
            state.tail = (state.tail + 1) % self.slots;
            self.set_word(TAIL, state.tail);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Gives up to `max` events to `sink`; how many it took. What it refuses stays.
    pub fn collect(
        &self,
        max: usize,
        mut sink: impl FnMut(&Event) -> SysResult<()>,
    ) -> SysResult<usize> {
        let state = self.state.lock();
        let mut head = self.head();
        let mut done = 0;
        while done < max && head != state.tail {
            let mut event = Event::default();
            let at = HEADER + u64::from(head) * EVENT;
            self.ring.read(at, event.as_mut_bytes()).map_err(|_| Errno::ENOMEM)?;
            sink(&event)?;
            head = (head + 1) % self.slots;
            done += 1;
        }
        if done > 0 {
            self.set_word(HEAD, head);
        }
        Ok(done)
    }

    /// Waits for `events` of `file` and ends `request`, which is told as `event`, with those that have come. `EINVAL` for a file that
    /// never tells of them.
    pub fn poll(
        &self,
        thread: &Thread,
        request: Request,
        file: Arc<OpenFile>,
        events: PollEvents,
        mut event: Event,
        tell: Option<Arc<OpenFile>>,
    ) -> SysResult<()> {
        let ready = move |file: &OpenFile| file.poll() & events;
        let at_once = ready(&file);
        if !at_once.is_empty() {
            event.result = at_once.bits().into();
            request.end(&event, tell.as_deref());
            return Ok(());
        }
        if file.wait_queue().is_none() {
            return Err(Errno::EINVAL);
        }
        // Who had to wait is told as who was woken on Linux: of the other name of what came, too.
        let mut told = events;
        told.set(PollEvents::RDNORM, events.intersects(PollEvents::READABLE));
        told.set(PollEvents::WRNORM, events.intersects(PollEvents::WRITABLE));
        let wait = move |operation: Operation| async move {
            let come = async {
                loop {
                    let mut changed = file.wait_queue().ok_or(Errno::EINVAL)?.wait();
                    changed.arm();
                    if !ready(&file).is_empty() {
                        return Ok::<u64, Errno>((file.poll() & told).bits().into());
                    }
                    operation.thread().interruptible(changed).await?;
                }
            };
            // One that was cancelled ends with nothing.
            let come = operation.until(None, come).await.unwrap_or(0);
            drop(operation);
            event.result = come as i64;
            request.end(&event, tell.as_deref());
        };
        self.polls.begin(event.operation, thread, wait)
    }

    /// Cancels the operation at `operation` if it is one that waits for a file: its event comes soon. `EINVAL` for others.
    pub fn cancel(&self, operation: u64) -> SysResult<()> {
        self.polls.cancel(operation).map_err(|_| Errno::EINVAL)
    }

    /// Takes no more operations, and cancels those that wait.
    fn kill(&self) {
        {
            // With the state locked, so that nothing begins after it.
            let _state = self.state.lock();
            self.dead.store(true, Ordering::Release);
        }
        self.polls.end_soon();
        self.changed.notify_all();
    }
}

/// An operation that has not ended. Dropped, it ends without an event.
pub struct Request {
    context: Arc<Context>,
    over: bool,
}

impl Request {
    /// Ends it with `event`, and counts that in the eventfd `tell`.
    pub fn end(mut self, event: &Event, tell: Option<&OpenFile>) {
        self.over = true;
        self.context.complete(Some(event));
        if let Some(counter) = tell.and_then(|file| file.downcast::<EventFd>()) {
            counter.signal();
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.over {
            self.context.complete(None);
        }
    }
}

/// The contexts of a process's memory.
#[derive(Default)]
pub struct Contexts(Mutex<Vec<Arc<Context>>>);

impl Contexts {
    /// Makes a context for `requests` operations and maps its ring; where. `EINVAL` for a number that can not be, `EAGAIN` for one that is
    /// too high, `ENOMEM`.
    pub(crate) fn create(
        &self,
        memory: &UserMemory,
        physical: &Arc<PhysicalMemory>,
        total: &Arc<Total>,
        requests: u32,
        cpus: usize,
        polls: Arc<Operations>,
    ) -> SysResult<u64> {
        if requests == 0 || requests > REQUESTS_LIMIT {
            return Err(Errno::EINVAL);
        }
        let share = total.take(requests.into())?;
        // Linux gives each CPU some for itself; libraries see how many there are.
        let wanted = u64::from(requests).max(cpus as u64 * 4) * 2 + 2;
        let len = (HEADER + wanted * EVENT).next_multiple_of(PAGE_SIZE as u64);
        let slots = ((len - HEADER) / EVENT) as u32;
        let options = VmoOptions { resizable: false, charged: true };
        let ring = Vmo::create(physical, len, options).map_err(|_| Errno::ENOMEM)?;
        let header = Header {
            index: 0,
            slots,
            head: 0,
            tail: 0,
            magic: MAGIC,
            compatible: 1,
            incompatible: 0,
            len: HEADER as u32,
        };
        ring.write(0, header.as_bytes()).map_err(|_| Errno::ENOMEM)?;
        let path = b"/[aio] (deleted)".to_vec();
        ring.set_cookie(Arc::new(MappedName { path, device: DeviceNumber(1), ino: 0 }));
        let context = Arc::new(Context {
            ring: Arc::clone(&ring),
            slots,
            state: Mutex::default(),
            polls,
            dead: AtomicBool::new(false),
            changed: WaitQueue::new(),
            _share: share,
        });
        let at = memory.map_shared(Placement::Anywhere(0), ring, len, Prot::READ | Prot::WRITE)?;
        self.0.lock().push(context);
        Ok(at)
    }

    /// The context whose ring is mapped at `at`; `EINVAL`.
    pub fn get(&self, memory: &UserMemory, at: u64) -> SysResult<Arc<Context>> {
        let contexts = self.0.lock();
        if contexts.is_empty() {
            return Err(Errno::EINVAL);
        }
        let mapping = memory.vmar().find(at).ok_or(Errno::EINVAL)?;
        let begins = mapping.range.start == at && mapping.vmo_offset == 0;
        let mut all = contexts.iter().filter(|_| begins);
        all.find(|context| Arc::ptr_eq(&context.ring, &mapping.vmo)).cloned().ok_or(Errno::EINVAL)
    }

    /// Takes the context whose ring is mapped at `at` away, and its ring; what is under way may not have ended yet. `EINVAL`.
    pub fn remove(&self, memory: &UserMemory, at: u64) -> SysResult<Arc<Context>> {
        let context = self.get(memory, at)?;
        self.0.lock().retain(|other| !Arc::ptr_eq(other, &context));
        context.kill();
        memory.unmap(at..at + context.ring.size())?;
        Ok(context)
    }
}

impl Drop for Contexts {
    fn drop(&mut self) {
        for context in self.0.get_mut() {
            context.kill();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(slots: u32) -> Arc<Context> {
        let physical = PhysicalMemory::new(None).unwrap();
        let options = VmoOptions { resizable: false, charged: false };
        let total = Arc::new(Total::default());
        Arc::new(Context {
            ring: Vmo::create(&physical, 4096, options).unwrap(),
            slots,
            state: Mutex::default(),
            polls: Arc::default(),
            dead: AtomicBool::new(false),
            changed: WaitQueue::new(),
            _share: total.take(1).unwrap(),
        })
    }

    fn results(context: &Context) -> Vec<i64> {
        let mut all = Vec::new();
        context
            .collect(100, |event| {
                all.push(event.result);
                Ok(())
            })
            .unwrap();
        all
    }

    #[test]
    fn events_come_in_order_and_no_more_begin_than_there_is_room_for() {
        let context = context(4);
        for round in 0..5 {
            let operations: Vec<_> = (0..3).map(|_| context.begin().unwrap()).collect();
            assert!(context.begin().is_err());
            for (number, operation) in (round..).zip(operations) {
                operation.end(&Event { result: number, ..Event::default() }, None);
            }
            assert!(context.begin().is_err());
            assert_eq!(results(&context), [round, round + 1, round + 2]);
        }
    }

    #[test]
    fn a_dropped_operation_leaves_no_event_and_its_room() {
        let context = context(4);
        drop(context.begin().unwrap());
        assert!(context.is_idle());
        assert!(results(&context).is_empty());
    }

    #[test]
    fn whatever_the_guest_writes_into_the_ring_is_a_slot() {
        let context = context(4);
        context.begin().unwrap().end(&Event::default(), None);
        for head in [u32::MAX, 4, 5, 1 << 31] {
            context.set_word(HEAD, head);
            assert!(results(&context).len() < 4);
        }
    }

    #[test]
    fn all_contexts_have_so_many_operations_together() {
        let total = Arc::new(Total::default());
        let most = total.take(REQUESTS_MAX).unwrap();
        assert_eq!(total.take(1).err(), Some(Errno::EAGAIN));
        drop(most);
        assert!(total.take(1).is_ok());
        assert_eq!(total.requests(), 0);
    }
}
