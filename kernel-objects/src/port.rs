//! Ports: queues of packets, through which one task waits for everything.
//!
//! A packet comes from a user ([`Port::queue`]) or from an object: [`Port::wait_async`] asks for one
//! when the object has certain signals. Such an operation delivers one packet and is over. Whoever
//! waits on the port gets the packets in the order of their arrival, each packet once; the key in it
//! tells what it is about.
//!
//! What an object sends can always be queued, since there is at most one packet for each operation
//! that was asked for, or for each task that waits for a page. Interrupts have a queue of their own, which is read first. What users send is bounded: a full port refuses. An operation that is cancelled
//! takes its queued packet with it; the place in the queue stays until it is reached or until such
//! places are the larger part, so that cancelling does not depend on how long the queue is.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use bitflags::bitflags;

mod packet;
mod queue;

pub use self::packet::{
    InterruptPacket, Packet, PageCommand, PageRequestPacket, Payload, SignalPacket,
};
use self::queue::{Entry, Inner, Operation, PageRequest, Progress, Token, Watched};
use crate::{
    deadline::{Deadline, until},
    error::{Error, Result},
    handle::{HandleTable, HandleValue},
    object::{KObjectBase, KernelObject, Koid, ObjectType},
    pager::PageRequests,
    rights::Rights,
    signals::{HandleId, SignalSink, Signals},
    sync::Mutex,
    wait_queue::WaitQueue,
};

/// How many packets of users a port holds unless it is made for more or fewer.
pub const DEFAULT_CAPACITY: usize = 4096;

bitflags! {
    /// How a port is made.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct PortOptions: u32 {
        /// Interrupts can be bound to it: `ZX_PORT_BIND_TO_INTERRUPT`.
        const BIND_TO_INTERRUPT = 1 << 0;
    }
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
    options: PortOptions,
    /// How many packets of users it holds at most.
    capacity: usize,
    this: Weak<Port>,
    inner: Mutex<Inner>,
    waiters: WaitQueue,
}

impl Port {
    /// A new, empty port.
    pub fn create() -> Arc<Port> {
        Self::with_capacity(DEFAULT_CAPACITY)
    }

    /// A new, empty port with options.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for unknown ones.
    pub fn create_with(options: PortOptions) -> Result<Arc<Port>> {
        match PortOptions::all().contains(options) {
            true => Ok(Self::new(options, DEFAULT_CAPACITY)),
            false => Err(Error::InvalidArgs),
        }
    }

    /// A new, empty port that holds up to `capacity` packets of users.
    pub fn with_capacity(capacity: usize) -> Arc<Port> {
        Self::new(PortOptions::empty(), capacity)
    }

    fn new(options: PortOptions, capacity: usize) -> Arc<Port> {
        Arc::new_cyclic(|this| Port {
            base: KObjectBase::new(),
            options,
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
        inner.queue.len() - inner.stale + inner.interrupts.len()
    }

    /// Whether interrupts can be bound to it.
    pub(crate) fn takes_interrupts(&self) -> bool {
        self.options.contains(PortOptions::BIND_TO_INTERRUPT)
    }

    /// Queues the packet of an interrupt; its number, or `None` if nobody can read it any more. The caller tells a reader when
    /// it holds no lock.
    pub(crate) fn queue_interrupt(&self, key: u64, timestamp: u64) -> Option<u64> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return None;
        }
        inner.next_interrupt += 1;
        let number = inner.next_interrupt;
        inner.interrupts.insert(number, (key, InterruptPacket { timestamp }));
        Some(number)
    }

    /// Takes the packet of an interrupt back; false if it has been read.
    pub(crate) fn remove_interrupt(&self, number: u64) -> bool {
        self.inner.lock().interrupts.remove(&number).is_some()
    }

    /// Queues a request for pages; its number, or `None` if nobody can read it any more. The caller tells a reader when it holds
    /// no lock.
    pub(crate) fn queue_page_request(
        &self,
        key: u64,
        packet: PageRequestPacket,
        from: (Weak<PageRequests>, usize),
    ) -> Option<u64> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return None;
        }
        inner.next_page_request += 1;
        let number = inner.next_page_request;
        inner.page_requests.insert(number, PageRequest { key, packet, from });
        inner.queue.push_back(Entry::PageRequest(number));
        Some(number)
    }

    /// Takes a request for pages back, unless it has been read.
    pub(crate) fn remove_page_request(&self, number: u64) {
        let mut inner = self.inner.lock();
        if inner.page_requests.remove(&number).is_some() {
            inner.stale += 1;
            inner.compact();
        }
    }

    /// Wakes one who waits for a packet.
    pub(crate) fn notify_reader(&self) {
        self.waiters.notify_one();
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
    /// [`Error::InvalidArgs`] for unknown options or both kinds of timestamp, [`Error::NotSupported`] for an object that
    /// [cannot be waited for](KernelObject::is_waitable), [`Error::BadHandle`] if the port's last handle is gone, [`Error::NoMemory`] if 2³² operations are under way.
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
        if !object.is_waitable() {
            return Err(Error::NotSupported);
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
        inner.interrupts.clear();
        (inner.user_packets, inner.stale) = (0, 0);
        let unread = std::mem::take(&mut inner.page_requests);
        drop(inner);
        watched.into_iter().for_each(Watched::end);
        for (number, request) in unread {
            let (from, index) = request.from;
            if let Some(from) = from.upgrade() {
                from.refused(index, number);
            }
        }
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
mod tests;
