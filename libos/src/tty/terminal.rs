//! A terminal: a line discipline with somebody at each side, and the processes that it controls.
//!
//! The one idea: all that a terminal is lies under one lock, and whatever is done to it, by a program at one side, by whoever has the other
//! side or by the host, is one `change`: afterwards input moves on as far as there is room, and those are told who can do
//! more than before. Signals go out when the lock is free.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock, Weak},
};

use hal::pmem::Charge;
use kernel_objects::{WaitQueue, wait_queue::Wait};
use parking_lot::Mutex;

use super::{
    discipline::{LineDiscipline, Output, Signals},
    host::HostEnd,
    slave::Slave,
    table::Terminals,
    termios::{Flow, Flush, Termios, WindowSize},
};
use crate::{
    errno::{Errno, SysResult},
    kernel::Kernel,
    signal::Signal,
    vfs::{DeviceNumber, PollEvents},
};

/// So many bytes of output a master has as good as read: they lie in its own line discipline.
pub(super) const DELIVERED: usize = 4095;
/// How many bytes can be on their way from a program to the master. (With Linux it depends on how they are written: 13 to 22 kB.)
const OUTPUT_SIZE: usize = 20480;
/// How many typed bytes wait for room in the line discipline.
const PENDING_SIZE: usize = 16384;

/// What is under the lock.
pub(super) struct State {
    pub(super) line: LineDiscipline,
    /// Typed bytes that the line discipline has no room for.
    pending: VecDeque<u8>,
    pub(super) window: WindowSize,
    /// The session that it controls.
    pub(super) session: Option<i32>,
    /// The process group that it listens to, and that keys send signals to.
    pub(super) foreground: Option<i32>,
    /// Nobody else may open it (`TIOCEXCL`).
    pub(super) exclusive: bool,
    /// A new pty, which is not to be opened yet (`TIOCSPTLCK`).
    pub(super) locked: bool,
    /// Open files of the slave.
    pub(super) opens: usize,
    /// The slave was open, and is not any more.
    pub(super) slave_closed: bool,
    /// The master is closed.
    pub(super) master_closed: bool,
    /// Nothing goes in from the master, for a program said so there (`TCOOFF`).
    pub(super) master_held: bool,
    /// How often it was hung up. Who opened it before then has nothing any more.
    pub(super) hangups: u64,
    /// The terminal of the host behind it, if it is one.
    pub(super) host: Option<HostEnd>,
}

impl State {
    fn feed(&mut self) {
        while !self.pending.is_empty() {
            let (first, second) = self.pending.as_slices();
            let bytes = if first.is_empty() { second } else { first };
            let taken = self.line.receive(bytes);
            if taken == 0 {
                break;
            }
            self.pending.drain(..taken);
        }
    }

    /// Takes bytes that were typed, as many as there is room for; how many.
    pub(super) fn typed(&mut self, bytes: &[u8]) -> usize {
        self.feed();
        let taken = if self.pending.is_empty() { self.line.receive(bytes) } else { 0 };
        let room = PENDING_SIZE - self.pending.len().min(PENDING_SIZE);
        let rest = bytes.get(taken..).unwrap_or_default();
        let rest = rest.get(..room).unwrap_or(rest);
        self.line.look_ahead(rest);
        self.pending.extend(rest);
        taken + rest.len()
    }

    /// Whether more can be typed.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < PENDING_SIZE
    }

    /// Forgets typed bytes that nobody can have read.
    pub(super) fn flush_pending(&mut self) {
        self.pending.clear();
    }

    /// What a change can make more or less of.
    fn levels(&self) -> Levels {
        Levels {
            input: (self.line.held(), self.line.available()),
            pending: self.pending.len(),
            shown: self.line.shown(),
            stopped: self.line.is_stopped(),
            status: self.line.packet_status(),
            closed: (self.slave_closed, self.master_closed, self.hangups),
        }
    }
}

#[derive(PartialEq, Eq)]
struct Levels {
    input: (usize, usize),
    pending: usize,
    shown: usize,
    stopped: bool,
    status: u8,
    closed: (bool, bool, u64),
}

impl Levels {
    /// What the slave's side and the master's are to be told.
    fn told(&self, after: &Self) -> (PollEvents, PollEvents) {
        if self.closed != after.closed {
            return (PollEvents::all(), PollEvents::all());
        }
        let (mut slave, mut master) = (PollEvents::empty(), PollEvents::empty());
        slave.set(PollEvents::READABLE, self.input != after.input);
        let goes_on = self.stopped && !after.stopped;
        slave.set(PollEvents::WRITABLE, after.shown < self.shown || goes_on);
        master.set(PollEvents::READABLE, after.shown > self.shown);
        if self.status != after.status {
            master |= PollEvents::READABLE | PollEvents::PRI;
        }
        let less = self.pending + self.input.0 > after.pending + after.input.0;
        master.set(PollEvents::WRITABLE, less);
        (slave, master)
    }
}

/// The kernel whose processes a terminal controls; set once there is one.
pub(super) type KernelSlot = Arc<OnceLock<Weak<Kernel>>>;

/// A terminal.
pub struct Terminal {
    device: DeviceNumber,
    state: Mutex<State>,
    slave: WaitQueue,
    master: WaitQueue,
    kernel: KernelSlot,
    /// For a pty, whose number this has.
    table: Weak<Terminals>,
    /// For the bytes that are on their way.
    _charge: Option<Charge>,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(table) = self.table.upgrade() {
            table.release(self.device);
        }
    }
}

impl Terminal {
    /// A pty, not to be opened yet. `charge` is for the bytes that are on their way.
    pub(super) fn pty(
        device: DeviceNumber,
        kernel: &KernelSlot,
        table: Weak<Terminals>,
        charge: Charge,
    ) -> Arc<Self> {
        let output = Output::of_pty(OUTPUT_SIZE, DELIVERED);
        let line = LineDiscipline::new(Termios::default(), output);
        Arc::new(Self::new(device, line, None, kernel, table, Some(charge)))
    }

    /// The terminal of the host behind `host`.
    pub(super) fn of_host(
        device: DeviceNumber,
        termios: Termios,
        host: HostEnd,
        kernel: &KernelSlot,
    ) -> Self {
        let line = LineDiscipline::new(termios, Output::of_host(OUTPUT_SIZE));
        Self::new(device, line, Some(host), kernel, Weak::new(), None)
    }

    fn new(
        device: DeviceNumber,
        line: LineDiscipline,
        host: Option<HostEnd>,
        kernel: &KernelSlot,
        table: Weak<Terminals>,
        charge: Option<Charge>,
    ) -> Self {
        let state = State {
            line,
            pending: VecDeque::new(),
            window: WindowSize::default(),
            session: None,
            foreground: None,
            exclusive: false,
            locked: host.is_none(),
            opens: 0,
            slave_closed: false,
            master_closed: false,
            master_held: false,
            hangups: 0,
            host,
        };
        Self {
            device,
            state: Mutex::new(state),
            slave: WaitQueue::new(),
            master: WaitQueue::new(),
            kernel: Arc::clone(kernel),
            table,
            _charge: charge,
        }
    }

    /// Its device number.
    pub fn device(&self) -> DeviceNumber {
        self.device
    }

    /// Told of what may be read from and written to the slave.
    pub(super) fn slave_queue(&self) -> &WaitQueue {
        &self.slave
    }

    /// Waits until the slave is told of `events`.
    pub(crate) fn wait_for(&self, events: PollEvents) -> Wait<&WaitQueue> {
        self.slave.wait_for(events.bits())
    }

    /// Told of what may be read from and written to the master.
    pub(super) fn master_queue(&self) -> &WaitQueue {
        &self.master
    }

    /// Looks at the state and changes nothing.
    pub(super) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock())
    }

    /// Changes the state, and lets what follows from that happen.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let before = state.levels();
        let result = change(&mut state);
        state.feed();
        state.show_on_host();
        let after = state.levels();
        let signals = state.line.take_signals();
        let foreground = state.foreground;
        let (slave, master) = before.told(&after);
        drop(state);
        self.signal(foreground, &signals);
        if !slave.is_empty() {
            self.slave.notify_all_for(slave.bits());
        }
        if !master.is_empty() {
            self.master.notify_all_for(master.bits());
        }
        result
    }

    fn signal(&self, group: Option<i32>, signals: &Signals) {
        if let Some(group) = group
            && !signals.is_empty()
            && let Some(kernel) = self.kernel()
        {
            signals.iter().for_each(|&signal| kernel.pids.signal_group(group, signal));
        }
    }

    /// The kernel whose processes it controls, while there is one.
    pub(super) fn kernel(&self) -> Option<Arc<Kernel>> {
        self.kernel.get().and_then(Weak::upgrade)
    }

    /// Sends `signal` to the foreground group, if there is one.
    pub fn signal_foreground(&self, signal: Signal) {
        self.signal(self.foreground(), &Signals::from_slice(&[signal]));
    }

    /// Opens the slave. `EIO` while it is locked or when the master is closed, `EBUSY` when it is to have no others (`TIOCEXCL`) and
    /// the caller is not `privileged`.
    pub fn open(self: &Arc<Self>, privileged: bool) -> SysResult<Arc<Slave>> {
        let hangups = self.change(|state| {
            if state.master_closed || state.locked {
                return Err(Errno::EIO);
            }
            if state.exclusive && !privileged {
                return Err(Errno::EBUSY);
            }
            state.opens += 1;
            state.slave_closed = false;
            Ok(state.hangups)
        })?;
        Ok(Arc::new(Slave::new(Arc::clone(self), hangups)))
    }

    /// Opens the slave, whoever has it.
    pub(super) fn open_unlocked(self: &Arc<Self>) -> Arc<Slave> {
        let hangups = self.change(|state| {
            state.opens += 1;
            state.hangups
        });
        Arc::new(Slave::new(Arc::clone(self), hangups))
    }

    /// The group that it listens to.
    pub fn foreground(&self) -> Option<i32> {
        self.look(|state| state.foreground)
    }

    /// The session that it controls.
    pub fn session(&self) -> Option<i32> {
        self.look(|state| state.session)
    }

    /// Its settings.
    pub fn termios(&self) -> Termios {
        self.look(|state| *state.line.termios())
    }

    /// Changes the settings; with `flush`, what was typed and not read is forgotten.
    pub fn set_termios(&self, termios: Termios, flush: bool) {
        self.change(|state| {
            // What was typed so far was typed under the old settings.
            state.take_over();
            if flush {
                state.line.flush_input();
            }
            state.line.set_termios(termios.normalized());
            state.pass_settings_on();
        });
    }

    /// Its size.
    pub fn window_size(&self) -> WindowSize {
        self.look(|state| state.host_window_size().unwrap_or(state.window))
    }

    /// Changes the size, and tells the foreground group if it is another.
    pub fn set_window_size(&self, size: WindowSize) {
        let changed = self.change(|state| {
            if state.set_host_window_size(size) {
                // The host tells when it has changed.
                return false;
            }
            std::mem::replace(&mut state.window, size) != size
        });
        if changed {
            self.signal_foreground(Signal::SIGWINCH);
        }
    }

    /// `TCXONC` at the slave.
    pub fn flow(&self, flow: Flow) {
        self.change(|state| state.line.flow(flow));
    }

    /// `TCFLSH` at the slave.
    pub fn flush(&self, flush: Flush) {
        self.change(|state| {
            if flush.input {
                state.flush_pending();
                state.line.flush_input();
            }
            if flush.output {
                state.line.flush_output();
            }
        });
    }

    /// Types a byte for the user (`TIOCSTI`).
    pub fn type_byte(&self, byte: u8) {
        self.change(|state| state.line.receive(&[byte]));
    }

    /// Whether nobody else may open it.
    pub fn is_exclusive(&self) -> bool {
        self.look(|state| state.exclusive)
    }

    /// `TIOCEXCL` and `TIOCNXCL`.
    pub fn set_exclusive(&self, exclusive: bool) {
        self.change(|state| state.exclusive = exclusive);
    }

    /// Whether the master of the pty is closed.
    pub fn is_abandoned(&self) -> bool {
        self.look(|state| state.master_closed)
    }

    /// Whether all that was written is on its way.
    pub fn is_drained(&self) -> bool {
        self.look(|state| state.host.is_none() || state.line.shown() == 0)
    }
}
