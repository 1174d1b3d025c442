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
    /// A physical one that is triggered as long as its line is high: `ZX_INTERRUPT_MODE_LEVEL_HIGH`.
    pub const LEVEL_HIGH: InterruptOptions = InterruptOptions(4 << 1);

    /// The number is one of the old kind that the platform maps: `ZX_INTERRUPT_REMAP_IRQ`.
    const REMAP: u32 = 1;
    const MODE_MASK: u32 = 0xe;
    /// Level, low.
    const LEVEL_LOW: u32 = 3 << 1;
    /// Both edges, the last of them.
    const LAST_MODE: u32 = 5 << 1;
    /// `ZX_INTERRUPT_WAKE_VECTOR`: it wakes a suspended system. This one is never suspended.
    const WAKE_VECTOR: u32 = 0x20;
    /// `ZX_INTERRUPT_TIMESTAMP_MONO`: its times are of the monotonic clock, as all are here.
    const TIMESTAMP_MONO: u32 = 0x40;

    /// The options with this number.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for unknown flags or modes, and for a virtual one with a mode.
    pub fn from_raw(raw: u32) -> Result<Self> {
        let rest = raw & !(Self::WAKE_VECTOR | Self::TIMESTAMP_MONO);
        let physical = rest & !(Self::REMAP | Self::MODE_MASK) == 0
            && rest & Self::MODE_MASK <= Self::LAST_MODE;
        if rest == Self::VIRTUAL.0 || physical { Ok(Self(raw)) } else { Err(Error::InvalidArgs) }
    }

    /// The number of these options.
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Whether it is triggered by its users.
    pub const fn is_virtual(self) -> bool {
        self.0 & Self::VIRTUAL.0 != 0
    }

    /// Whether it is triggered as long as its line is asserted, rather than when it comes to be.
    pub const fn is_level(self) -> bool {
        let mode = self.0 & Self::MODE_MASK;
        mode == Self::LEVEL_LOW || mode == Self::LEVEL_HIGH.0
    }
}

/// What an interrupt is: `zx_info_interrupt_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterruptInfo {
    /// How it was made.
    pub options: InterruptOptions,
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
    options: InterruptOptions,
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
    /// What was delivered has been acknowledged. If the level is what counts, and is given, what came meanwhile is nothing, but
    /// the level triggers it again.
    fn rearm(&mut self, asserted: Option<bool>) {
        self.phase = Phase::Armed;
        if let Some(asserted) = asserted {
            self.triggered = asserted.then(monotonic);
        }
    }

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
    fn new(options: InterruptOptions, line: Option<Line>) -> Arc<Interrupt> {
        let signals = match line {
            None => Signals::VIRTUAL_INTERRUPT_UNTRIGGERED,
            Some(_) => Signals::empty(),
        };
        Arc::new_cyclic(|this| Interrupt {
            base: KObjectBase::with("", signals),
            options,
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
        Self::new(InterruptOptions::VIRTUAL, None)
    }

    /// One that `line` triggers, the machine's interrupt `number`, to which `resource` gives the right. With an edge each
    /// [`Line::raise`] is a trigger; with a level it is triggered again when it is acknowledged and the line
    /// [is asserted](Line::is_asserted). Which edge or level that is, is the line's own matter.
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
        if options.is_virtual() {
            return Err(Error::InvalidArgs);
        }
        match resource.validate(ResourceKind::Irq, number.into(), 1) {
            Err(Error::OutOfRange) => return Err(Error::AccessDenied),
            result => result?,
        }
        let interrupt = Self::new(options, Some(line));
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
        let interrupt = Self::new(InterruptOptions::DEFAULT, Some(line));
        interrupt.state.lock().keep = Some(keep);
        interrupt.look();
        interrupt
    }

    /// What it is (`ZX_INFO_INTERRUPT`).
    pub fn info(&self) -> InterruptInfo {
        InterruptInfo { options: self.options }
    }

    /// Whether its line is asserted, if the level is what counts.
    fn level(&self) -> Option<bool> {
        self.line.as_ref().filter(|_| self.options.is_level()).map(Line::is_asserted)
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
            state.rearm(self.level());
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
            state.rearm(self.level());
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
mod tests;
