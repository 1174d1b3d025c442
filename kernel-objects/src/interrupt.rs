//! Interrupts: what a device, or a program that plays one, raises and a driver waits for.
//!
//! An [`Interrupt`] is triggered, delivered once, and then waits to be acknowledged; what happens meanwhile is remembered
//! as one more trigger with the time of the first. It is delivered to a driver that waits for it, or as a packet to the port
//! that it is bound to, ahead of all other packets. Waiting acknowledges by itself, a port's reader does it by hand.
//!
//! A virtual one is triggered by its users, a physical one by a [line](Line) of the machine, into which it puts a waker of
//! its own; so it needs no task.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Wake, Waker},
};

use futures::Stream;
use hal::{irq::Line, time::monotonic};
use parking_lot::Mutex;

use crate::{
    error::{Error, Result},
    object::{KObjectBase, KernelObject, ObjectType},
    port::Port,
    resource::{Resource, ResourceKind},
    signals::{Calls, Signals},
    wait_queue::WaitQueue,
};

/// How an interrupt is made: `ZX_INTERRUPT_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InterruptOptions(u32);

impl InterruptOptions {
    /// It is triggered by its users: `ZX_INTERRUPT_VIRTUAL`.
    pub const VIRTUAL: InterruptOptions = InterruptOptions(0x10);
    /// A physical one, as its line is set up already: `ZX_INTERRUPT_MODE_DEFAULT`.
    pub const DEFAULT: InterruptOptions = InterruptOptions(0);

    /// The number is one of the old kind that the platform maps: `ZX_INTERRUPT_REMAP_IRQ`.
    const REMAP: u32 = 1;
    const MODE_MASK: u32 = 0xe;
    /// Both edges, the last of them.
    const LAST_MODE: u32 = 5 << 1;

    /// The options with this number.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for unknown flags or modes, and for a virtual one with a mode.
    pub fn from_raw(raw: u32) -> Result<Self> {
        let physical =
            raw & !(Self::REMAP | Self::MODE_MASK) == 0 && raw & Self::MODE_MASK <= Self::LAST_MODE;
        if raw == Self::VIRTUAL.0 || physical { Ok(Self(raw)) } else { Err(Error::InvalidArgs) }
    }
}

/// Something that is triggered and acknowledged (`zx_interrupt_create`).
///
/// ```
/// use futures::executor::block_on;
/// use kernel_objects::{Interrupt, Port};
/// use kernel_objects::port::{Payload, PortOptions};
///
/// let interrupt = Interrupt::create_virtual();
/// interrupt.trigger(1000).unwrap();
/// assert_eq!(block_on(interrupt.wait()), Ok(1000));
///
/// let port = Port::create_with(PortOptions::BIND_TO_INTERRUPT).unwrap();
/// interrupt.bind(&port, 7).unwrap();
/// interrupt.ack().unwrap(); // the one before
/// interrupt.trigger(2000).unwrap();
/// let packet = block_on(port.wait());
/// assert!(packet.key == 7 && matches!(packet.payload, Payload::Interrupt(i) if i.timestamp == 2000));
/// ```
pub struct Interrupt {
    base: KObjectBase,
    /// The line that triggers it; `None` in a virtual one.
    line: Option<Line>,
    /// What the line wakes.
    alarm: Waker,
    state: Mutex<State>,
    waiters: WaitQueue,
}

struct State {
    phase: Phase,
    /// When it was first triggered since it was last delivered.
    triggered: Option<u64>,
    bound: Option<Binding>,
    /// How many wait.
    waiting: usize,
    /// What its maker wants to have as long as it is not destroyed.
    keep: Option<Box<dyn Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A trigger will be delivered.
    Armed,
    /// It has been delivered and not been acknowledged.
    NeedsAck,
    /// Final.
    Destroyed,
}

struct Binding {
    port: Arc<Port>,
    key: u64,
    /// Its packet, read or not, if there was one.
    packet: Option<u64>,
}

impl State {
    /// Delivers a trigger to the port, if there is one and it may be.
    fn deliver(&mut self) -> bool {
        let Some(binding) = self.bound.as_mut().filter(|_| self.phase == Phase::Armed) else {
            return false;
        };
        let Some(timestamp) = self.triggered.take() else { return false };
        binding.packet = binding.port.queue_interrupt(binding.key, timestamp);
        self.phase = Phase::NeedsAck;
        true
    }
}

/// Wakes an interrupt when its line is raised.
struct Alarm(Weak<Interrupt>);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if let Some(interrupt) = self.0.upgrade() {
            interrupt.look();
        }
    }
}

/// Counts one who waits.
struct Waiting<'a>(&'a Interrupt);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state.lock().waiting -= 1;
    }
}

impl Interrupt {
    fn new(line: Option<Line>, signals: Signals) -> Arc<Interrupt> {
        Arc::new_cyclic(|this| Interrupt {
            base: KObjectBase::with("", signals),
            line,
            alarm: Waker::from(Arc::new(Alarm(this.clone()))),
            state: Mutex::new(State {
                phase: Phase::Armed,
                triggered: None,
                bound: None,
                waiting: 0,
                keep: None,
            }),
            waiters: WaitQueue::new(),
        })
    }

    /// One that its users trigger.
    pub fn create_virtual() -> Arc<Interrupt> {
        Self::new(None, Signals::VIRTUAL_INTERRUPT_UNTRIGGERED)
    }

    /// One that `line` triggers, the machine's interrupt `number`, to which `resource` gives the right. How the line notices
    /// its device is the line's own matter.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for options of a virtual one; [`Error::WrongType`] if the resource is not one of
    /// interrupts, [`Error::AccessDenied`] if it has not that number.
    pub fn create_physical(
        resource: &Resource,
        number: u32,
        options: InterruptOptions,
        line: Line,
    ) -> Result<Arc<Interrupt>> {
        if options == InterruptOptions::VIRTUAL {
            return Err(Error::InvalidArgs);
        }
        match resource.validate(ResourceKind::Irq, number.into(), 1) {
            Err(Error::OutOfRange) => return Err(Error::AccessDenied),
            result => result?,
        }
        let interrupt = Self::new(Some(line), Signals::empty());
        interrupt.look();
        Ok(interrupt)
    }

    /// Takes what the line has, and has it wake the interrupt for the next.
    fn look(&self) {
        let Some(line) = &self.line else { return };
        let mut context = Context::from_waker(&self.alarm);
        while let Poll::Ready(Some(_)) = Pin::new(&mut line.clone()).poll_next(&mut context) {
            if self.note(monotonic()).is_err() {
                break;
            }
        }
    }

    /// One that `line` triggers; `keep` is dropped when it is destroyed.
    pub(crate) fn from_line(line: Line, keep: Box<dyn Send + Sync>) -> Arc<Interrupt> {
        let interrupt = Self::new(Some(line), Signals::empty());
        interrupt.state.lock().keep = Some(keep);
        interrupt.look();
        interrupt
    }

    /// Whether it has been destroyed.
    pub(crate) fn is_destroyed(&self) -> bool {
        self.state.lock().phase == Phase::Destroyed
    }

    /// Triggers a virtual one, at a time that the caller says (`zx_interrupt_trigger`).
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it is not virtual, [`Error::Canceled`] if it has been destroyed.
    pub fn trigger(&self, timestamp: u64) -> Result {
        if self.line.is_some() { Err(Error::BadState) } else { self.note(timestamp) }
    }

    fn note(&self, timestamp: u64) -> Result {
        let mut state = self.state.lock();
        if state.phase == Phase::Destroyed {
            return Err(Error::Canceled);
        }
        state.triggered.get_or_insert(timestamp);
        let to_port = state.deliver();
        let calls = self.show(false);
        let port = state.bound.as_ref().filter(|_| to_port).map(|binding| binding.port.clone());
        drop(state);
        calls.run();
        match port {
            Some(port) => port.notify_reader(),
            None => drop(self.waiters.notify_one()),
        }
        Ok(())
    }

    /// Shows whether it is triggered, in a virtual one.
    fn show(&self, untriggered: bool) -> Calls {
        let signal = Signals::VIRTUAL_INTERRUPT_UNTRIGGERED;
        let state = self.base.signal_state();
        match untriggered {
            _ if self.line.is_some() => Calls::default(),
            true => state.change(Signals::empty(), signal),
            false => state.change(signal, Signals::empty()),
        }
    }

    /// Acknowledges what was delivered before, and waits for the next trigger; gives its time (`zx_interrupt_wait`).
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it is bound to a port; [`Error::Canceled`] if it is destroyed, or has been.
    pub async fn wait(&self) -> Result<u64> {
        let _waiting = self.begin_wait()?;
        self.waiters.wait_until(|| self.take()).await
    }

    fn begin_wait(&self) -> Result<Waiting<'_>> {
        let mut state = self.state.lock();
        if state.phase == Phase::Destroyed {
            return Err(Error::Canceled);
        }
        if state.bound.is_some() {
            return Err(Error::BadState);
        }
        let mut calls = Calls::default();
        if state.phase == Phase::NeedsAck {
            state.phase = Phase::Armed;
            if state.triggered.is_none() {
                calls = self.show(true);
            }
        }
        state.waiting += 1;
        drop(state);
        calls.run();
        Ok(Waiting(self))
    }

    fn take(&self) -> Option<Result<u64>> {
        let mut state = self.state.lock();
        if state.phase == Phase::Destroyed {
            return Some(Err(Error::Canceled));
        }
        // Whoever waits has acknowledged what came before, also if another was faster.
        let timestamp = state.triggered.take()?;
        state.phase = Phase::NeedsAck;
        Some(Ok(timestamp))
    }

    /// Acknowledges what was delivered to the port; what was triggered since is delivered now (`zx_interrupt_ack`).
    ///
    /// # Errors
    ///
    /// [`Error::BadState`] if it is not bound to a port, [`Error::Canceled`] if it has been destroyed.
    pub fn ack(&self) -> Result {
        let mut state = self.state.lock();
        if state.phase == Phase::Destroyed {
            return Err(Error::Canceled);
        }
        let port = match &state.bound {
            Some(binding) => binding.port.clone(),
            None => return Err(Error::BadState),
        };
        let mut calls = Calls::default();
        let mut delivered = false;
        if state.phase == Phase::NeedsAck {
            state.phase = Phase::Armed;
            delivered = state.deliver();
            if !delivered {
                calls = self.show(true);
            }
        }
        drop(state);
        calls.run();
        if delivered {
            port.notify_reader();
        }
        Ok(())
    }

    /// Has triggers go to `port` with `key`, one that is there already at once (`zx_interrupt_bind`).
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`] if the port was not made for interrupts, [`Error::Canceled`] if this has been destroyed,
    /// [`Error::BadState`] if someone waits for it, [`Error::AlreadyBound`].
    pub fn bind(&self, port: &Arc<Port>, key: u64) -> Result {
        if !port.takes_interrupts() {
            return Err(Error::WrongType);
        }
        let mut state = self.state.lock();
        if state.phase == Phase::Destroyed {
            return Err(Error::Canceled);
        }
        if state.waiting > 0 {
            return Err(Error::BadState);
        }
        if state.bound.is_some() {
            return Err(Error::AlreadyBound);
        }
        state.bound = Some(Binding { port: port.clone(), key, packet: None });
        let delivered = state.deliver();
        drop(state);
        if delivered {
            port.notify_reader();
        }
        Ok(())
    }

    /// Undoes [`bind`](Self::bind); a packet that has not been read is gone (`zx_interrupt_bind` with
    /// `ZX_INTERRUPT_UNBIND`).
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if it is not bound to that port, [`Error::Canceled`] if it has been destroyed.
    pub fn unbind(&self, port: &Arc<Port>) -> Result {
        let mut state = self.state.lock();
        if state.phase == Phase::Destroyed {
            return Err(Error::Canceled);
        }
        let binding = state.bound.take_if(|binding| Arc::ptr_eq(&binding.port, port));
        let binding = binding.ok_or(Error::NotFound)?;
        binding.remove_packet();
        Ok(())
    }

    /// Ends it: those who wait are cancelled and it is unbound from its port (`zx_interrupt_destroy`).
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if its packet was read and not acknowledged; it is destroyed all the same.
    pub fn destroy(&self) -> Result {
        let mut state = self.state.lock();
        let before = std::mem::replace(&mut state.phase, Phase::Destroyed);
        state.triggered = None;
        let binding = state.bound.take();
        let removed = binding.as_ref().is_some_and(Binding::remove_packet);
        let keep = state.keep.take();
        drop(state);
        drop(keep);
        self.waiters.notify_all();
        match before {
            Phase::NeedsAck if binding.is_some() && !removed => Err(Error::NotFound),
            _ => Ok(()),
        }
    }
}

impl Binding {
    /// True if the packet had not been read.
    fn remove_packet(&self) -> bool {
        self.packet.is_some_and(|packet| self.port.remove_interrupt(packet))
    }
}

impl KernelObject for Interrupt {
    fn base(&self) -> &KObjectBase {
        &self.base
    }

    fn object_type(&self) -> ObjectType {
        ObjectType::Interrupt
    }

    fn on_zero_handles(&self) {
        // Nobody is left who could be told that a packet was read.
        let _ = self.destroy();
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Interrupt")
            .field("base", &self.base)
            .field("line", &self.line)
            .field("phase", &state.phase)
            .field("triggered", &state.triggered)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use futures::{FutureExt, executor::block_on};

    use super::*;
    use crate::{
        handle::Handle,
        port::{InterruptPacket, Packet, Payload, PortOptions},
        resource::{ResourceOptions, ResourceSpace},
    };

    const UNTRIGGERED: Signals = Signals::VIRTUAL_INTERRUPT_UNTRIGGERED;

    fn port() -> Arc<Port> {
        Port::create_with(PortOptions::BIND_TO_INTERRUPT).unwrap()
    }

    fn packet(key: u64, timestamp: u64) -> Result<Packet> {
        let payload = Payload::Interrupt(InterruptPacket { timestamp });
        Ok(Packet { key, status: 0, payload })
    }

    fn look(interrupt: &Interrupt) -> Option<Result<u64>> {
        interrupt.wait().now_or_never()
    }

    #[test]
    fn options_are_checked() {
        for good in [0x10, 0, 1, 2, 4, 6, 8, 10, 11] {
            assert!(InterruptOptions::from_raw(good).is_ok(), "{good}");
        }
        for bad in [0x11, 0x12, 12, 14, 0x20, u32::MAX] {
            assert_eq!(InterruptOptions::from_raw(bad), Err(Error::InvalidArgs), "{bad}");
        }
    }

    #[test]
    fn a_wait_takes_a_trigger_and_the_time_of_the_first_of_several() {
        let interrupt = Interrupt::create_virtual();
        assert_eq!(look(&interrupt), None);
        for time in [5, 6, 7] {
            assert_eq!(interrupt.trigger(time), Ok(()));
        }
        assert_eq!(look(&interrupt), Some(Ok(5)));
        assert_eq!(look(&interrupt), None, "they were one");
        assert_eq!(interrupt.trigger(0), Ok(()));
        assert_eq!(look(&interrupt), Some(Ok(0)));
        assert_eq!(interrupt.trigger(9), Ok(()), "before it was acknowledged");
        assert_eq!(look(&interrupt), Some(Ok(9)));
    }

    #[test]
    fn a_trigger_wakes_who_waits() {
        let interrupt = Interrupt::create_virtual();
        let waiter = std::thread::spawn({
            let interrupt = interrupt.clone();
            move || block_on(interrupt.wait())
        });
        while interrupt.state.lock().waiting == 0 {
            std::thread::yield_now();
        }
        assert_eq!(interrupt.trigger(3), Ok(()));
        assert_eq!(waiter.join().unwrap(), Ok(3));
        assert_eq!(interrupt.state.lock().waiting, 0);
    }

    #[test]
    fn the_signal_tells_that_a_virtual_one_is_not_triggered() {
        let interrupt = Interrupt::create_virtual();
        assert_eq!(interrupt.signals(), UNTRIGGERED);
        assert_eq!(interrupt.trigger(1), Ok(()));
        assert_eq!(interrupt.signals(), Signals::empty());
        assert_eq!(look(&interrupt), Some(Ok(1)));
        assert_eq!(interrupt.signals(), Signals::empty(), "not acknowledged");
        assert_eq!(look(&interrupt), None);
        assert_eq!(interrupt.signals(), UNTRIGGERED, "a wait acknowledges");
        let port = port();
        assert_eq!(interrupt.bind(&port, 1), Ok(()));
        assert_eq!(interrupt.trigger(2), Ok(()));
        assert_eq!(interrupt.trigger(3), Ok(()));
        assert_eq!(interrupt.ack(), Ok(()));
        assert_eq!(interrupt.signals(), Signals::empty(), "triggered again");
        assert_eq!(interrupt.ack(), Ok(()));
        assert_eq!(interrupt.signals(), UNTRIGGERED);
    }

    #[test]
    fn a_bound_one_delivers_a_packet_for_each_acknowledgement() {
        let (interrupt, port) = (Interrupt::create_virtual(), port());
        assert_eq!(interrupt.ack(), Err(Error::BadState), "not bound");
        assert_eq!(interrupt.bind(&port, 7), Ok(()));
        assert_eq!(look(&interrupt), Some(Err(Error::BadState)));
        assert_eq!(interrupt.trigger(10), Ok(()));
        assert_eq!(interrupt.trigger(11), Ok(()));
        assert_eq!(interrupt.trigger(12), Ok(()));
        assert_eq!(port.len(), 1);
        assert_eq!(port.try_wait(), packet(7, 10));
        assert_eq!(port.try_wait(), Err(Error::ShouldWait));
        assert_eq!(interrupt.ack(), Ok(()));
        assert_eq!(port.try_wait(), packet(7, 11));
        assert_eq!(interrupt.ack(), Ok(()));
        assert!(port.is_empty());
        assert_eq!(interrupt.ack(), Ok(()), "twice is no error");
    }

    #[test]
    fn packets_of_interrupts_come_first() {
        let (a, b, port) = (Interrupt::create_virtual(), Interrupt::create_virtual(), port());
        assert_eq!(port.queue(1, 0, [0; 32]), Ok(()));
        assert_eq!((a.bind(&port, 2), b.bind(&port, 3)), (Ok(()), Ok(())));
        assert_eq!((b.trigger(0), a.trigger(1)), (Ok(()), Ok(())));
        let keys: Vec<_> = std::iter::from_fn(|| port.try_wait().ok()).map(|p| p.key).collect();
        assert_eq!(keys, [3, 2, 1]);
    }

    #[test]
    fn binding_is_refused_where_it_would_be_ambiguous() {
        let (interrupt, here, there) = (Interrupt::create_virtual(), port(), port());
        assert_eq!(interrupt.bind(&Port::create(), 1), Err(Error::WrongType));
        let mut wait = Box::pin(interrupt.wait());
        assert!((&mut wait).now_or_never().is_none());
        assert_eq!(interrupt.bind(&here, 1), Err(Error::BadState), "someone waits");
        drop(wait);
        assert_eq!(interrupt.unbind(&here), Err(Error::NotFound));
        assert_eq!(interrupt.bind(&here, 1), Ok(()));
        assert_eq!(interrupt.bind(&here, 1), Err(Error::AlreadyBound));
        assert_eq!(interrupt.bind(&there, 1), Err(Error::AlreadyBound));
        assert_eq!(interrupt.unbind(&there), Err(Error::NotFound));
        assert_eq!(interrupt.unbind(&here), Ok(()));
        assert_eq!(interrupt.unbind(&here), Err(Error::NotFound));
    }

    #[test]
    fn one_that_is_triggered_delivers_when_it_is_bound() {
        let (interrupt, port) = (Interrupt::create_virtual(), port());
        assert_eq!(interrupt.trigger(4), Ok(()));
        assert_eq!(interrupt.bind(&port, 1), Ok(()));
        assert_eq!(port.try_wait(), packet(1, 4));
        assert_eq!(interrupt.trigger(5), Ok(()));
        assert!(port.is_empty(), "it needs to be acknowledged");
    }

    #[test]
    fn unbinding_removes_the_packet() {
        let (interrupt, port) = (Interrupt::create_virtual(), port());
        assert_eq!(interrupt.bind(&port, 1), Ok(()));
        assert_eq!(interrupt.trigger(4), Ok(()));
        assert_eq!(interrupt.unbind(&port), Ok(()));
        assert!(port.is_empty());
        assert_eq!(interrupt.trigger(5), Ok(()));
        assert!(port.is_empty());
        assert_eq!(look(&interrupt), Some(Ok(5)));
    }

    #[test]
    fn a_destroyed_one_cancels_everything() {
        let interrupt = Interrupt::create_virtual();
        let mut wait = Box::pin(interrupt.wait());
        assert!((&mut wait).now_or_never().is_none());
        assert_eq!(interrupt.destroy(), Ok(()));
        assert_eq!(wait.now_or_never(), Some(Err(Error::Canceled)));
        assert_eq!(look(&interrupt), Some(Err(Error::Canceled)));
        assert_eq!(interrupt.trigger(1), Err(Error::Canceled));
        assert_eq!(interrupt.ack(), Err(Error::Canceled));
        assert_eq!(interrupt.bind(&port(), 1), Err(Error::Canceled));
        assert_eq!(interrupt.unbind(&port()), Err(Error::Canceled));
        assert_eq!(interrupt.destroy(), Ok(()));
    }

    #[test]
    fn destroying_tells_whether_a_packet_was_read_and_not_acknowledged() {
        let make = || {
            let (interrupt, port) = (Interrupt::create_virtual(), port());
            assert_eq!(interrupt.bind(&port, 1), Ok(()));
            (interrupt, port)
        };
        let (interrupt, _port) = make();
        assert_eq!(interrupt.destroy(), Ok(()), "not triggered");

        let (interrupt, port) = make();
        assert_eq!(interrupt.trigger(1), Ok(()));
        assert_eq!(interrupt.destroy(), Ok(()), "not read");
        assert!(port.is_empty());

        let (interrupt, port) = make();
        assert_eq!(interrupt.trigger(1), Ok(()));
        assert!(port.try_wait().is_ok());
        assert_eq!(interrupt.destroy(), Err(Error::NotFound));
        assert_eq!(interrupt.trigger(1), Err(Error::Canceled));

        let (interrupt, port) = make();
        assert_eq!(interrupt.trigger(1), Ok(()));
        assert!(port.try_wait().is_ok());
        assert_eq!(interrupt.ack(), Ok(()));
        assert_eq!(interrupt.destroy(), Ok(()), "acknowledged");
    }

    #[test]
    fn the_last_handle_destroys_it_and_a_closed_port_takes_nothing() {
        let (interrupt, port) = (Interrupt::create_virtual(), port());
        let (handle, port_handle) = (Handle::new(interrupt.clone()), Handle::new(port.clone()));
        assert_eq!(interrupt.bind(&port, 1), Ok(()));
        drop(port_handle);
        assert_eq!(interrupt.trigger(1), Ok(()));
        assert!(port.is_empty());
        drop(handle);
        assert_eq!(interrupt.trigger(1), Err(Error::Canceled));
    }

    #[test]
    fn a_line_triggers_a_physical_one() {
        let space = ResourceSpace::new();
        let options = ResourceOptions::shared(ResourceKind::Irq);
        let irq = Resource::create(&space.root(), options, 32, 4, "irq").unwrap();
        let line = Line::new("device");
        let create = |resource: &Resource, number, options| {
            Interrupt::create_physical(resource, number, options, line.clone())
        };
        let error = |number, options| create(&irq, number, options).err();
        assert_eq!(error(36, InterruptOptions::DEFAULT), Some(Error::AccessDenied));
        assert_eq!(error(33, InterruptOptions::VIRTUAL), Some(Error::InvalidArgs));
        let mmio = space.ranged_root(ResourceKind::Mmio, "").unwrap();
        let wrong = create(&mmio, 33, InterruptOptions::DEFAULT);
        assert_eq!(wrong.err(), Some(Error::WrongType));

        line.raise();
        let interrupt = create(&irq, 33, InterruptOptions::DEFAULT).unwrap();
        assert_eq!(interrupt.trigger(1), Err(Error::BadState));
        assert!(matches!(look(&interrupt), Some(Ok(_))), "what was raised before");
        assert_eq!(look(&interrupt), None);
        let before = monotonic();
        line.raise();
        line.raise();
        assert!(matches!(look(&interrupt), Some(Ok(time)) if time >= before));
        assert_eq!(look(&interrupt), None);
        let port = port();
        assert_eq!(interrupt.bind(&port, 5), Ok(()));
        line.raise();
        assert_eq!(port.try_wait().map(|packet| packet.key), Ok(5));
        drop(interrupt);
        line.raise();
        assert!(port.is_empty());
    }

    #[test]
    fn eight_threads_that_trigger_read_and_acknowledge_lose_no_last_trigger() {
        const ROUNDS: u64 = 3000;
        let (interrupt, port) = (Interrupt::create_virtual(), port());
        assert_eq!(interrupt.bind(&port, 1), Ok(()));
        let (read, done) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for time in 1..=ROUNDS {
                        assert_eq!(interrupt.trigger(time), Ok(()));
                    }
                    done.fetch_add(1, SeqCst);
                });
            }
            for _ in 0..4 {
                scope.spawn(|| {
                    while done.load(SeqCst) < 4 || !port.is_empty() {
                        if port.try_wait().is_ok() {
                            read.fetch_add(1, SeqCst);
                            assert_eq!(interrupt.ack(), Ok(()));
                        }
                    }
                });
            }
        });
        assert!((1..=4 * ROUNDS).contains(&read.into_inner()));
        let state = interrupt.state.lock();
        assert_eq!((state.phase, state.triggered), (Phase::Armed, None));
    }
}
