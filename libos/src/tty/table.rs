//! The terminals of a kernel, by their device numbers.
//!
//! The one idea: which terminal a node in the file tree is depends on its number alone, but for /dev/tty, which is the caller's, and /dev/ptmx,
//! which is a new one each time (Documentation/admin-guide/devices.txt).

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use hal::{host::HostStream, pmem::PhysicalMemory};
use parking_lot::Mutex;

use super::{
    master::Master,
    slave::Slave,
    terminal::{KernelSlot, Terminal},
};
use crate::{
    errno::{Errno, SysResult},
    kernel::Kernel,
    signal::Signal,
    vfs::{DeviceNumber, FileType, NewNode, PollEvents, attributes::Attributes},
};

/// /dev/tty: the controlling terminal.
pub const TTY: DeviceNumber = DeviceNumber::new(5, 0);
/// /dev/console: the terminal at which this process was started.
pub const CONSOLE: DeviceNumber = DeviceNumber::new(5, 1);
/// /dev/ptmx: a new pty's master.
pub const PTMX: DeviceNumber = DeviceNumber::new(5, 2);
/// The major number of slaves.
const PTS_MAJOR: u32 = 136;
/// How many ptys there can be: the default of /proc/sys/kernel/pty/max.
const PTY_MAX: u32 = 4096;
/// Bytes that a pty can have on their way, and those of its own.
const PTY: u64 = 64 << 10;

/// What the nodes of ptys are like: the options of devpts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PtyOptions {
    /// Whose slaves are; of who makes them, unless it is said.
    pub user: Option<u32>,
    /// Their group; that of who makes them, unless it is said.
    pub group: Option<u32>,
    /// Their mode.
    pub mode: u32,
    /// The mode of the file system's ptmx.
    pub ptmx_mode: u32,
}

impl PtyOptions {
    /// As systemd and containers mount /dev/pts: slaves belong to the group `tty`.
    pub const FIRST: Self = Self { user: None, group: Some(5), mode: 0o620, ptmx_mode: 0 };
}

impl Default for PtyOptions {
    fn default() -> Self {
        Self { user: None, group: None, mode: 0o600, ptmx_mode: 0 }
    }
}

/// Whether a terminal of this kernel has the number, if any has.
pub(crate) fn is_terminal(device: DeviceNumber) -> bool {
    matches!(device, TTY | CONSOLE | PTMX) || device.major() == PTS_MAJOR
}

/// N of the slave /dev/pts/N.
pub(super) fn pty_number(device: DeviceNumber) -> Option<u32> {
    (device.major() == PTS_MAJOR).then_some(device.minor())
}

/// A pty whose slave has a name.
#[derive(Clone)]
pub(super) struct Named {
    pub(super) device: DeviceNumber,
    pub(super) attributes: Arc<Attributes>,
    terminal: Weak<Terminal>,
}

/// The terminals of a kernel, or the ptys of another instance of devpts.
pub struct Terminals {
    kernel: KernelSlot,
    options: PtyOptions,
    memory: Arc<PhysicalMemory>,
    /// By number; without its name once the master is closed, as long as somebody has the slave.
    ptys: Mutex<BTreeMap<u32, Option<Named>>>,
    /// Those of the host that this process was started with; the first is the console.
    hosts: Mutex<Vec<Arc<Terminal>>>,
}

impl Terminals {
    /// None yet.
    pub fn new(memory: &Arc<PhysicalMemory>, options: PtyOptions) -> Arc<Self> {
        Arc::new(Self {
            kernel: KernelSlot::default(),
            options,
            memory: Arc::clone(memory),
            ptys: Mutex::default(),
            hosts: Mutex::default(),
        })
    }

    /// Makes them control the processes of `kernel`; the first call counts.
    pub fn attach(&self, kernel: &Arc<Kernel>) {
        let _ = self.kernel.set(Arc::downgrade(kernel));
    }

    /// What the nodes of ptys are like.
    pub(super) fn options(&self) -> &PtyOptions {
        &self.options
    }

    /// A new pty for a user and a group: its master. `ENOSPC` when there are too many, `ENOMEM`.
    pub fn open_pty(self: &Arc<Self>, user: u32, group: u32) -> SysResult<Arc<Master>> {
        let charge = self.memory.charge(PTY).map_err(|_| Errno::ENOMEM)?;
        let mut ptys = self.ptys.lock();
        let number = (0..PTY_MAX).find(|number| !ptys.contains_key(number)).ok_or(Errno::ENOSPC)?;
        let device = DeviceNumber::new(PTS_MAJOR, number);
        let terminal = Terminal::pty(device, &self.kernel, Arc::downgrade(self), charge);
        let options = &self.options;
        let (user, group) = (options.user.unwrap_or(user), options.group.unwrap_or(group));
        let node = NewNode::new(FileType::CharDevice, options.mode, user, group);
        let attributes = Arc::new(Attributes::new(&node, 1));
        let named = Named { device, attributes, terminal: Arc::downgrade(&terminal) };
        ptys.insert(number, Some(named));
        drop(ptys);
        Ok(Arc::new(Master::new(terminal, Arc::clone(self))))
    }

    /// Opens a slave or the console; see [`Terminal::open`]. `EIO` for a pty that is not there, `ENXIO` for other numbers.
    pub fn open(&self, device: DeviceNumber, privileged: bool) -> SysResult<Arc<Slave>> {
        let terminal = match device {
            CONSOLE => self.console().ok_or(Errno::ENXIO)?,
            _ => {
                let number = pty_number(device).ok_or(Errno::ENXIO)?;
                let ptys = self.ptys.lock();
                let named = ptys.get(&number).and_then(Option::as_ref);
                named.and_then(|named| named.terminal.upgrade()).ok_or(Errno::EIO)?
            }
        };
        terminal.open(privileged)
    }

    /// The ptys that have names, by number.
    pub(super) fn named(&self) -> Vec<(u32, Named)> {
        let ptys = self.ptys.lock();
        ptys.iter().filter_map(|(number, named)| Some((*number, named.clone()?))).collect()
    }

    /// The pty with the number, if it has a name.
    pub(super) fn find(&self, number: u32) -> Option<Named> {
        self.ptys.lock().get(&number).cloned().flatten()
    }

    /// The master was closed: the slave has no name any more.
    pub(super) fn forget(&self, device: DeviceNumber) {
        let number = pty_number(device);
        if let Some(named) = number.and_then(|number| self.ptys.lock().insert(number, None)) {
            drop(named);
        }
    }

    /// The number may be had by another pty.
    pub(super) fn release(&self, device: DeviceNumber) {
        if let Some(number) = pty_number(device) {
            self.ptys.lock().remove(&number);
        }
    }

    /// The terminal at which this process was started.
    pub fn console(&self) -> Option<Arc<Terminal>> {
        self.hosts.lock().first().cloned()
    }

    /// Opens the terminal of the host behind `stream`: the same for each stream of the same terminal. Gives back what is none.
    pub fn adopt(&self, stream: HostStream) -> Result<Arc<Slave>, HostStream> {
        let (Ok(settings), Ok(stat)) = (stream.termios(), stream.stat()) else {
            return Err(stream);
        };
        let host_device = DeviceNumber::new(stat.rdev.0, stat.rdev.1);
        let mut hosts = self.hosts.lock();
        let known = hosts.iter().find(|known| known.host_device() == Some(host_device)).cloned();
        let terminal = match known {
            Some(known) => known,
            None => {
                let device = if hosts.is_empty() { CONSOLE } else { host_device };
                let new = Terminal::adopt(stream, &settings, host_device, device, &self.kernel);
                hosts.push(Arc::clone(&new));
                new
            }
        };
        drop(hosts);
        Ok(terminal.open_unlocked())
    }

    /// What the first process begins with: the console, if that is the controlling terminal of this process on the host.
    pub(crate) fn controlling(&self) -> Option<Arc<Terminal>> {
        self.console().filter(|console| console.controls_this_process())
    }

    /// A signal of the host that is about its terminal: passed on to the foreground group. False if it is not for that.
    pub fn host_signal(&self, signal: Signal) -> bool {
        let Some(console) = self.console().filter(|console| console.foreground().is_some()) else {
            return false;
        };
        let from_keys = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP].contains(&signal);
        // Of a raw terminal no key is a signal, so somebody means this process.
        if signal != Signal::SIGWINCH && (!from_keys || console.is_raw()) {
            return false;
        }
        console.signal_foreground(signal);
        true
    }

    /// Before this process stops: gives the host's terminals back.
    pub fn give_back(&self) {
        self.hosts.lock().iter().for_each(|terminal| terminal.give_back());
    }

    /// Waits until the host's terminals show all that was written.
    pub async fn drained(&self) {
        let hosts = self.hosts.lock().clone();
        for terminal in hosts {
            loop {
                let mut changed = terminal.wait_for(PollEvents::WRITABLE);
                changed.arm();
                if terminal.is_drained() {
                    break;
                }
                changed.await;
            }
        }
    }

    /// After this process stopped, or got to the foreground: takes the host's terminals again, as far as it had them.
    pub fn take_again(&self) {
        let hosts = self.hosts.lock().clone();
        hosts.iter().for_each(Terminal::take_again);
    }
}
