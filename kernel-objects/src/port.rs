//! Ports: queues of packets, through which one task waits for everything.
//!
//! A packet comes from a user ([`Port::queue`]) or from an object: [`Port::wait_async`] asks for one
//! when the object has certain signals. Such an operation delivers one packet and is over. Whoever
//! waits on the port gets the packets in the order of their arrival, each packet once; the key in it
//! tells what it is about.
//!
//! What an object sends can always be queued, since there is at most one packet for each operation
//! that was asked for. What users send is bounded: a full port refuses. An operation that is cancelled
//! takes its queued packet with it; the place in the queue stays until it is reached or until such
//! places are the larger part, so that cancelling does not depend on how long the queue is.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    sync::{Arc, Weak},
};

use bitflags::bitflags;
use parking_lot::Mutex;
use slab::Slab;

use crate::{
    deadline::{Deadline, until},
    error::{Error, Result},
    handle::{HandleTable, HandleValue},
    object::{KObjectBase, KernelObject, Koid, ObjectType},
    rights::Rights,
    signals::{HandleId, SignalSink, Signals, WatchKey},
    wait_queue::WaitQueue,
};

/// How many packets of users a port holds unless it is made for more or fewer.
pub const DEFAULT_CAPACITY: usize = 4096;

/// What a port delivers: `zx_port_packet_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// What the sender chose to recognise it by.
    pub key: u64,
    /// A status; 0 in packets that come from objects.
    pub status: i32,
    /// The rest.
    pub payload: Payload,
}

/// What is in a packet beside its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// From [`Port::queue`]: the sender's bytes (`ZX_PKT_TYPE_USER`).
    User([u8; 32]),
    /// From [`Port::wait_async`] (`ZX_PKT_TYPE_SIGNAL_ONE`).
    Signal(SignalPacket),
}

/// What an object sends: `zx_packet_signal_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalPacket {
    /// The signals that were waited for.
    pub trigger: Signals,
    /// All the object's signals when one of those was set.
    pub observed: Signals,
    /// How often; always 1.
    pub count: u64,
    /// When, in ns of the monotonic clock; 0 unless asked for.
    pub timestamp: u64,
}

bitflags! {
    /// How [`Port::wait_async`] waits.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct WaitAsync: u32 {
        /// Record when it happened: `ZX_WAIT_ASYNC_TIMESTAMP`.
        const TIMESTAMP = 1 << 0;
        /// Only a signal that becomes set counts, not one that is set: `ZX_WAIT_ASYNC_EDGE`.
        const EDGE = 1 << 1;
        /// Record when it happened, by the boot clock: `ZX_WAIT_ASYNC_BOOT_TIMESTAMP`.
        const BOOT_TIMESTAMP = 1 << 2;
    }
}

/// A queue of packets (`zx_port_create`).
///
/// ```
/// use std::sync::Arc;
/// use futures::executor::block_on;
/// use kernel_objects::{Event, KernelObject, Signals};
/// use kernel_objects::port::{Payload, Port, WaitAsync};
///
/// let (port, event) = (Port::create(), Event::create());
/// let object: Arc<dyn KernelObject> = event.clone();
/// port.wait_async(&object, 7, Signals::SIGNALED, WaitAsync::empty()).unwrap();
/// event.signal(Signals::empty(), Signals::SIGNALED).unwrap();
///
/// let packet = block_on(port.wait());
/// assert_eq!(packet.key, 7);
/// assert!(matches!(packet.payload, Payload::Signal(s) if s.observed == Signals::SIGNALED));
/// ```
pub struct Port {
    base: KObjectBase,
    /// How many packets of users it holds at most.
    capacity: usize,
    this: Weak<Port>,
    inner: Mutex<Inner>,
    waiters: WaitQueue,
}

#[derive(Default)]
struct Inner {
    queue: VecDeque<Entry>,
    /// How many entries of the queue are users' packets.
    user_packets: usize,
    /// How many entries of the queue belong to operations that are gone.
    stale: usize,
    operations: Slab<Operation>,
    /// The operations by key, then source.
    index: BTreeSet<(u64, Koid, usize)>,
    next_serial: u32,
    closed: bool,
}

enum Entry {
    User(Packet),
    Signal(Token),
}

/// Names an operation; a later one at the same index has another serial number.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Token {
    index: u32,
    serial: u32,
}

impl Token {
    fn encode(self) -> u64 {
        u64::from(self.serial) << 32 | u64::from(self.index)
    }

    fn decode(token: u64) -> Self {
        Token { index: token as u32, serial: (token >> 32) as u32 }
    }
}

struct Operation {
    serial: u32,
    key: u64,
    source: Koid,
    object: Weak<dyn KernelObject>,
    trigger: Signals,
    options: WaitAsync,
    progress: Progress,
}

enum Progress {
    /// Being registered with the object, by the thread that is in `wait_async`.
    Starting,
    Watching(WatchKey),
    /// Its packet is in the queue.
    Queued {
        observed: Signals,
        timestamp: u64,
    },
}

/// An operation that was removed while it watched its object.
struct Watched(Weak<dyn KernelObject>, WatchKey);

impl Watched {
    fn end(self) {
        if let Some(object) = self.0.upgrade() {
            object.base().signal_state().unwatch(self.1);
        }
    }
}

impl Inner {
    fn operation(&mut self, token: Token) -> Option<&mut Operation> {
        self.operations.get_mut(token.index as usize).filter(|op| op.serial == token.serial)
    }

    fn remove(&mut self, index: usize) -> Option<Operation> {
        let operation = self.operations.try_remove(index)?;
        self.index.remove(&(operation.key, operation.source, index));
        if self.operations.is_empty() && self.operations.capacity() > 64 {
            self.operations = Slab::new();
        }
        Some(operation)
    }

    fn pop(&mut self) -> Option<Packet> {
        loop {
            match self.queue.pop_front()? {
                Entry::User(packet) => {
                    self.user_packets -= 1;
                    return Some(packet);
                }
                Entry::Signal(token) if self.operation(token).is_none() => self.stale -= 1,
                Entry::Signal(token) => {
                    let operation = self.remove(token.index as usize)?;
                    let Progress::Queued { observed, timestamp } = operation.progress else {
                        continue;
                    };
                    let trigger = operation.trigger;
                    let payload =
                        Payload::Signal(SignalPacket { trigger, observed, count: 1, timestamp });
                    return Some(Packet { key: operation.key, status: 0, payload });
                }
            }
        }
    }

    /// Removes the operations at these indices; those that still watch are returned.
    fn cancel(&mut self, indices: impl IntoIterator<Item = usize>) -> Vec<Watched> {
        let mut watched = Vec::new();
        for index in indices {
            let Some(operation) = self.remove(index) else { continue };
            match operation.progress {
                Progress::Starting => {}
                Progress::Watching(key) => watched.push(Watched(operation.object, key)),
                Progress::Queued { .. } => self.stale += 1,
            }
        }
        if self.stale > self.queue.len() / 2 {
            let operations = &self.operations;
            self.queue.retain(|entry| match entry {
                Entry::User(_) => true,
                Entry::Signal(token) => operations
                    .get(token.index as usize)
                    .is_some_and(|operation| operation.serial == token.serial),
            });
            self.stale = 0;
        }
        watched
    }
}

impl Port {
    /// A new, empty port.
    pub fn create() -> Arc<Port> {
        Self::with_capacity(DEFAULT_CAPACITY)
    }

    /// A new, empty port that holds up to `capacity` packets of users.
    pub fn with_capacity(capacity: usize) -> Arc<Port> {
        Arc::new_cyclic(|this| Port {
            base: KObjectBase::new(),
            capacity,
            this: this.clone(),
            inner: Mutex::default(),
            waiters: WaitQueue::new(),
        })
    }

    /// Queues a packet of a user (`zx_port_queue`).
    ///
    /// # Errors
    ///
    /// [`Error::ShouldWait`] if the port is full, [`Error::BadHandle`] if its last handle is gone.
    pub fn queue(&self, key: u64, status: i32, bytes: [u8; 32]) -> Result {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(Error::BadHandle);
        }
        if inner.user_packets >= self.capacity {
            return Err(Error::ShouldWait);
        }
        inner.user_packets += 1;
        inner.queue.push_back(Entry::User(Packet { key, status, payload: Payload::User(bytes) }));
        drop(inner);
        self.waiters.notify_one();
        Ok(())
    }

    /// The next packet, without waiting.
    ///
    /// # Errors
    ///
    /// [`Error::ShouldWait`] if there is none.
    pub fn try_wait(&self) -> Result<Packet> {
        self.inner.lock().pop().ok_or(Error::ShouldWait)
    }

    /// Waits for the next packet.
    pub async fn wait(&self) -> Packet {
        self.waiters.wait_until(|| self.inner.lock().pop()).await
    }

    /// Waits for the next packet until a deadline (`zx_port_wait`).
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`].
    pub async fn wait_until(&self, deadline: Deadline) -> Result<Packet> {
        until(deadline, async { Ok(self.wait().await) }).await
    }

    /// How many packets are queued.
    pub fn len(&self) -> usize {
        let inner = self.inner.lock();
        inner.queue.len() - inner.stale
    }

    /// True if no packet is queued.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks for one packet with `key` as soon as `object` has one of `signals`
    /// (`zx_object_wait_async`).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for unknown options or both kinds of timestamp, [`Error::BadHandle`] if
    /// the port's last handle is gone, [`Error::NoMemory`] if 2³² operations are under way.
    pub fn wait_async(
        &self,
        object: &Arc<dyn KernelObject>,
        key: u64,
        signals: Signals,
        options: WaitAsync,
    ) -> Result {
        let ready = self.start(object, 0, key, signals, options)?;
        self.deliver_now(ready);
        Ok(())
    }

    /// Registers an operation. If the signals are there already its packet is to be delivered, by
    /// [`deliver_now`](Self::deliver_now), when no lock is held.
    fn start(
        &self,
        object: &Arc<dyn KernelObject>,
        handle: HandleId,
        key: u64,
        trigger: Signals,
        options: WaitAsync,
    ) -> Result<Option<(Token, Signals)>> {
        let stamps = WaitAsync::TIMESTAMP | WaitAsync::BOOT_TIMESTAMP;
        if !WaitAsync::all().contains(options) || options.contains(stamps) {
            return Err(Error::InvalidArgs);
        }
        let source = object.koid();
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(Error::BadHandle);
        }
        inner.next_serial = inner.next_serial.wrapping_add(1);
        let serial = inner.next_serial;
        let index = inner.operations.vacant_key();
        let token = Token { index: u32::try_from(index).map_err(|_| Error::NoMemory)?, serial };
        inner.operations.insert(Operation {
            serial,
            key,
            source,
            object: Arc::downgrade(object),
            trigger,
            options,
            progress: Progress::Starting,
        });
        inner.index.insert((key, source, index));
        drop(inner);

        let state = object.base().signal_state();
        let edge = options.contains(WaitAsync::EDGE);
        let watch = match state.watch(trigger, handle, edge, self.sink(), token.encode()) {
            Ok(watch) => watch,
            Err(observed) => return Ok(Some((token, observed))),
        };
        // Meanwhile it may have fired, which is fine, or have been cancelled.
        let cancelled = match self.inner.lock().operation(token) {
            Some(operation) => {
                if let Progress::Starting = operation.progress {
                    operation.progress = Progress::Watching(watch);
                }
                false
            }
            None => true,
        };
        if cancelled {
            state.unwatch(watch);
        }
        Ok(None)
    }

    fn sink(&self) -> Weak<dyn SignalSink> {
        self.this.clone()
    }

    fn deliver_now(&self, ready: Option<(Token, Signals)>) {
        if let Some((token, observed)) = ready {
            self.deliver(token.encode(), observed);
        }
    }

    /// Ends every operation that was asked for with this source and key, and removes its packet
    /// (`zx_port_cancel`).
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is none.
    pub fn cancel(&self, source: Koid, key: u64) -> Result {
        self.cancel_range((key, source, 0), (key, source, usize::MAX))
    }

    /// Ends every operation that was asked for with this key, and removes its packet
    /// (`zx_port_cancel_key`).
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is none.
    pub fn cancel_key(&self, key: u64) -> Result {
        self.cancel_range((key, 0, 0), (key, Koid::MAX, usize::MAX))
    }

    fn cancel_range(&self, from: (u64, Koid, usize), to: (u64, Koid, usize)) -> Result {
        let mut inner = self.inner.lock();
        let indices: Vec<_> = inner.index.range(from..=to).map(|&(_, _, index)| index).collect();
        if indices.is_empty() {
            return Err(Error::NotFound);
        }
        let watched = inner.cancel(indices);
        drop(inner);
        watched.into_iter().for_each(Watched::end);
        Ok(())
    }

    /// Nobody can wait any more: forgets all packets and operations.
    fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        let indices: Vec<_> = inner.operations.iter().map(|(index, _)| index).collect();
        let watched = inner.cancel(indices);
        inner.queue.clear();
        (inner.user_packets, inner.stale) = (0, 0);
        drop(inner);
        watched.into_iter().for_each(Watched::end);
    }
}

impl HandleTable {
    /// As [`Port::wait_async`], through a handle: closing it ends the operation, but not a packet that
    /// is queued already.
    ///
    /// # Errors
    ///
    /// As [`Port::wait_async`]; [`Error::BadHandle`]; [`Error::AccessDenied`] without [`Rights::WAIT`].
    pub fn wait_async(
        &self,
        value: HandleValue,
        port: &Port,
        key: u64,
        signals: Signals,
        options: WaitAsync,
    ) -> Result {
        let ready = self.registering(value, Rights::WAIT, |object, handle| {
            port.start(object, handle, key, signals, options)
        })??;
        port.deliver_now(ready);
        Ok(())
    }
}

impl SignalSink for Port {
    fn deliver(&self, token: u64, observed: Signals) {
        let token = Token::decode(token);
        let mut inner = self.inner.lock();
        let Some(operation) = inner.operation(token) else { return };
        let timestamp = if operation.options.contains(WaitAsync::TIMESTAMP) {
            hal::time::monotonic()
        } else if operation.options.contains(WaitAsync::BOOT_TIMESTAMP) {
            hal::time::boottime()
        } else {
            0
        };
        operation.progress = Progress::Queued { observed, timestamp };
        inner.queue.push_back(Entry::Signal(token));
        drop(inner);
        self.waiters.notify_one();
    }

    fn cancel(&self, token: u64) {
        let token = Token::decode(token);
        let mut inner = self.inner.lock();
        if inner.operation(token).is_some() {
            inner.remove(token.index as usize);
        }
    }
}

impl KernelObject for Port {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Port
    }

    fn on_zero_handles(&self) {
        self.close();
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("base", &self.base)
            .field("packets", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, executor::block_on};

    use super::*;
    use crate::{event::Event, handle::Handle};

    fn user(port: &Port, key: u64) -> Result {
        port.queue(key, 0, [0; 32])
    }

    fn keys(port: &Port) -> Vec<u64> {
        std::iter::from_fn(|| port.try_wait().ok()).map(|packet| packet.key).collect()
    }

    fn object() -> (Arc<Event>, Arc<dyn KernelObject>) {
        let event = Event::create();
        (event.clone(), event)
    }

    const NONE: WaitAsync = WaitAsync::empty();

    #[test]
    fn packets_come_in_order_and_complete() {
        let port = Port::create();
        let bytes = std::array::from_fn(|i| i as u8);
        assert_eq!(port.queue(1, -7, bytes), Ok(()));
        assert_eq!(user(&port, 2), Ok(()));
        assert_eq!(port.len(), 2);
        let packet = Packet { key: 1, status: -7, payload: Payload::User(bytes) };
        assert_eq!(port.wait().now_or_never(), Some(packet));
        assert_eq!(keys(&port), [2]);
        assert_eq!(port.try_wait(), Err(Error::ShouldWait));
    }

    #[test]
    fn a_full_port_refuses_users_but_not_objects() {
        let port = Port::with_capacity(2);
        assert_eq!([1, 2, 3].map(|key| user(&port, key)), [Ok(()), Ok(()), Err(Error::ShouldWait)]);
        let (event, object) = object();
        event.base().signal_state().set(Signals::SIGNALED);
        assert_eq!(port.wait_async(&object, 4, Signals::SIGNALED, NONE), Ok(()));
        assert_eq!(keys(&port), [1, 2, 4]);
        assert_eq!(user(&port, 5), Ok(()));
    }

    #[test]
    fn a_wait_times_out() {
        let port = Port::create();
        assert_eq!(block_on(port.wait_until(0)), Err(Error::TimedOut));
        let soon = hal::time::monotonic() + 2_000_000;
        assert_eq!(block_on(port.wait_until(soon)), Err(Error::TimedOut));
        assert_eq!(user(&port, 1), Ok(()));
        assert!(block_on(port.wait_until(0)).is_ok());
        assert_eq!(port.waiters.entries(), 0);
    }

    #[test]
    fn an_operation_delivers_one_packet() {
        let port = Port::create();
        let (event, object) = object();
        let trigger = Signals::USER_0 | Signals::USER_1;
        assert_eq!(port.wait_async(&object, 9, trigger, NONE), Ok(()));
        let state = event.base().signal_state();
        state.set(Signals::USER_2);
        assert!(port.is_empty());
        state.set(Signals::USER_1);
        state.clear(Signals::USER_1);
        state.set(Signals::USER_0);
        let observed = Signals::USER_1 | Signals::USER_2;
        let payload = Payload::Signal(SignalPacket { trigger, observed, count: 1, timestamp: 0 });
        assert_eq!(port.try_wait(), Ok(Packet { key: 9, status: 0, payload }));
        assert!(port.is_empty());
        assert_eq!(state.watchers(), 0);
        assert_eq!(port.inner.lock().operations.len(), 0);
    }

    #[test]
    fn an_edge_ignores_what_is_set_already() {
        let port = Port::create();
        let (event, object) = object();
        let state = event.base().signal_state();
        state.set(Signals::SIGNALED);
        assert_eq!(port.wait_async(&object, 1, Signals::SIGNALED, WaitAsync::EDGE), Ok(()));
        assert!(port.is_empty());
        state.clear(Signals::SIGNALED);
        state.set(Signals::SIGNALED);
        assert_eq!(keys(&port), [1]);
    }

    #[test]
    fn timestamps_are_made_when_asked_for() {
        let port = Port::create();
        let (event, object) = object();
        event.base().signal_state().set(Signals::SIGNALED);
        for options in [WaitAsync::TIMESTAMP, WaitAsync::BOOT_TIMESTAMP] {
            let before = hal::time::monotonic();
            assert_eq!(port.wait_async(&object, 1, Signals::SIGNALED, options), Ok(()));
            let Ok(Packet { payload: Payload::Signal(packet), .. }) = port.try_wait() else {
                panic!("there should be a packet")
            };
            assert!(packet.timestamp >= before);
        }
    }

    #[test]
    fn bad_options_are_refused() {
        let port = Port::create();
        let (_, object) = object();
        let wait = |options| port.wait_async(&object, 1, Signals::SIGNALED, options);
        assert_eq!(wait(WaitAsync::from_bits_retain(1 << 3)), Err(Error::InvalidArgs));
        let both = WaitAsync::TIMESTAMP | WaitAsync::BOOT_TIMESTAMP;
        assert_eq!(wait(both), Err(Error::InvalidArgs));
        assert_eq!(object.base().signal_state().watchers(), 0);
    }

    #[test]
    fn cancel_ends_operations_and_removes_their_packets() {
        let port = Port::create();
        let ((a, a_object), (_b, b_object)) = (object(), object());
        for key in [1, 1, 2] {
            assert_eq!(port.wait_async(&a_object, key, Signals::USER_0, NONE), Ok(()));
        }
        assert_eq!(port.wait_async(&b_object, 1, Signals::USER_0, NONE), Ok(()));
        assert_eq!(user(&port, 1), Ok(()));
        a.base().signal_state().set(Signals::USER_0);
        assert_eq!(port.len(), 4);
        assert_eq!(port.cancel(a.koid(), 1), Ok(()));
        assert_eq!(port.cancel(a.koid(), 1), Err(Error::NotFound));
        assert_eq!(port.cancel(a.koid(), 3), Err(Error::NotFound));
        assert_eq!(port.len(), 2);
        assert_eq!(port.cancel(b_object.koid(), 1), Ok(()));
        assert_eq!(b_object.base().signal_state().watchers(), 0);
        assert_eq!(keys(&port), [1, 2], "the user's packet and that of key 2");
        assert_eq!(port.inner.lock().stale, 0);
    }

    #[test]
    fn cancel_leaves_the_operations_of_other_sources() {
        let port = Port::create();
        let objects = [(); 3].map(|()| object().1);
        for object in &objects {
            assert_eq!(port.wait_async(object, 1, Signals::USER_0, NONE), Ok(()));
        }
        assert_eq!(port.cancel(objects[1].koid(), 1), Ok(()));
        assert_eq!(objects.map(|o| o.base().signal_state().watchers()), [1, 0, 1]);
    }

    #[test]
    fn cancel_key_ends_operations_of_all_sources() {
        let port = Port::create();
        let (a, b) = (object(), object());
        for (object, key) in [(&a.1, 1), (&b.1, 1), (&b.1, 2)] {
            assert_eq!(port.wait_async(object, key, Signals::USER_0, NONE), Ok(()));
        }
        b.0.base().signal_state().set(Signals::USER_0);
        assert_eq!(port.cancel_key(1), Ok(()));
        assert_eq!(port.cancel_key(1), Err(Error::NotFound));
        assert_eq!(keys(&port), [2]);
        assert_eq!(a.0.base().signal_state().watchers(), 0);
    }

    #[test]
    fn closing_the_handle_ends_the_operation_but_keeps_a_queued_packet() {
        let (port, table) = (Port::create(), HandleTable::new());
        let (event, _) = object();
        let value = table.insert(Handle::new(event.clone())).unwrap_or(HandleValue::INVALID);
        assert_eq!(table.wait_async(value, &port, 1, Signals::USER_0, NONE), Ok(()));
        assert_eq!(table.wait_async(value, &port, 2, Signals::USER_1, NONE), Ok(()));
        event.base().signal_state().set(Signals::USER_0);
        assert_eq!(table.close(value), Ok(()));
        event.base().signal_state().set(Signals::USER_1);
        assert_eq!(keys(&port), [1]);
        let wait = |value| table.wait_async(value, &port, 1, Signals::USER_0, NONE);
        assert_eq!(wait(value), Err(Error::BadHandle));
        let deaf = table.insert(Handle::with_rights(event, Rights::SIGNAL));
        assert_eq!(deaf.and_then(wait), Err(Error::AccessDenied));
    }

    #[test]
    fn the_last_handle_closes_the_port() {
        let port = Port::create();
        let (event, object) = object();
        let handle = Handle::new(port.clone());
        assert_eq!(port.wait_async(&object, 1, Signals::USER_0, NONE), Ok(()));
        assert_eq!(user(&port, 1), Ok(()));
        drop(handle);
        assert_eq!(event.base().signal_state().watchers(), 0);
        assert!(port.is_empty());
        assert_eq!(user(&port, 1), Err(Error::BadHandle));
        assert_eq!(port.wait_async(&object, 1, Signals::USER_0, NONE), Err(Error::BadHandle));
    }

    #[test]
    fn a_dropped_port_leaves_no_watcher() {
        let port = Port::create();
        let (event, object) = object();
        assert_eq!(port.wait_async(&object, 1, Signals::USER_0, NONE), Ok(()));
        drop(port);
        assert_eq!(event.base().signal_state().watchers(), 0);
    }

    #[test]
    fn a_hundred_thousand_packets_are_cancelled_one_by_one() {
        const N: u64 = 100_000;
        let port = Port::create();
        let (event, object) = object();
        event.base().signal_state().set(Signals::USER_0);
        for key in 0..N {
            assert_eq!(port.wait_async(&object, key, Signals::USER_0, NONE), Ok(()));
        }
        assert_eq!(port.len() as u64, N);
        for key in (0..N).step_by(2) {
            assert_eq!(port.cancel(event.koid(), key), Ok(()));
        }
        assert!(keys(&port).into_iter().eq((1..N).step_by(2)));
        assert_eq!(port.inner.lock().operations.capacity(), 0);
    }

    #[test]
    fn threads_that_queue_wait_and_cancel_agree_on_the_packets() {
        const N: u64 = 5_000;
        let port = Port::with_capacity(usize::MAX);
        let received = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for sender in 0..3 {
                let port = &port;
                scope.spawn(move || {
                    (0..N).for_each(|i| assert_eq!(user(port, sender * N + i), Ok(())))
                });
            }
            let (event, object) = object();
            let port_ref = &port;
            scope.spawn(move || {
                for _ in 0..N {
                    assert_eq!(
                        port_ref.wait_async(&object, u64::MAX, Signals::USER_0, NONE),
                        Ok(())
                    );
                    // Whether it had fired or not: nothing of it may arrive.
                    let _ = port_ref.cancel(object.koid(), u64::MAX);
                }
            });
            scope.spawn(move || {
                for _ in 0..N {
                    event.base().signal_state().set(Signals::USER_0);
                    event.base().signal_state().clear(Signals::USER_0);
                }
            });
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut mine = Vec::new();
                    while mine.len() < N as usize {
                        let packet = block_on(port.wait());
                        if packet.key != u64::MAX {
                            mine.push(packet.key);
                        }
                    }
                    received.lock().extend(mine);
                });
            }
        });
        let mut received = received.into_inner();
        received.sort_unstable();
        assert!(received.into_iter().eq(0..3 * N));
        assert!(port.inner.lock().operations.is_empty());
    }
}
