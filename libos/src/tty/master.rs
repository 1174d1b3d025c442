//! The side of a pty that stands for the user: what /dev/ptmx gives (ptmx(4), ioctl_tty(2)).
//!
//! The one idea: what is written here was typed, what is read was shown. When it is closed, the slave is hung up and its name is gone.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use kernel_objects::WaitQueue;
use linux_raw_sys::general as raw;

use super::{
    table::Terminals,
    terminal::{DELIVERED, Terminal},
    termios::{Flow, Flush},
    transfer::write_pieces,
};
use crate::{
    errno::{Errno, SysResult},
    vfs::{File, IoDst, IoSrc, PollEvents},
};

/// An open master.
pub struct Master {
    terminal: Arc<Terminal>,
    table: Arc<Terminals>,
    /// `TIOCEXCL` was said of this side, where it means nothing.
    exclusive: AtomicBool,
}

impl Master {
    pub(super) fn new(terminal: Arc<Terminal>, table: Arc<Terminals>) -> Self {
        Self { terminal, table, exclusive: AtomicBool::new(false) }
    }

    /// The terminal whose other side it is.
    pub fn terminal(&self) -> &Arc<Terminal> {
        &self.terminal
    }

    /// Its number: N of /dev/pts/N.
    pub fn number(&self) -> u32 {
        super::table::pty_number(self.terminal.device()).unwrap_or(0)
    }

    /// Whether the slave may not be opened.
    pub fn is_locked(&self) -> bool {
        self.terminal.look(|state| state.locked)
    }

    /// `TIOCSPTLCK`
    pub fn set_locked(&self, locked: bool) {
        self.terminal.change(|state| state.locked = locked);
    }

    /// Whether it is in packet mode.
    pub fn in_packet_mode(&self) -> bool {
        self.terminal.look(|state| state.line.in_packet_mode())
    }

    /// `TIOCPKT`: from now on each read begins with a byte that says what it is.
    pub fn set_packet_mode(&self, on: bool) {
        self.terminal.change(|state| state.line.set_packet_mode(on));
    }

    /// `TIOCGEXCL`
    pub fn is_exclusive(&self) -> bool {
        self.exclusive.load(Ordering::Relaxed)
    }

    /// `TIOCEXCL` and `TIOCNXCL`
    pub fn set_exclusive(&self, exclusive: bool) {
        self.exclusive.store(exclusive, Ordering::Relaxed);
    }

    /// Bytes that can be read (`FIONREAD`).
    pub fn available(&self) -> usize {
        self.terminal.look(|state| state.line.shown().min(DELIVERED))
    }

    /// `TCXONC` here: what is typed waits, or a character of this side is typed.
    pub fn flow(&self, flow: Flow) {
        self.terminal.change(|state| match flow {
            Flow::OutputOff => state.master_held = true,
            Flow::OutputOn => state.master_held = false,
            // The settings of this side cannot be changed, so these are the usual ones.
            Flow::InputOff => drop(state.typed(&[0x13])),
            Flow::InputOn => drop(state.typed(&[0x11])),
        });
        self.terminal.master_queue().notify_all_for(PollEvents::WRITABLE.bits());
    }

    /// `TCFLSH` here.
    pub fn flush(&self, flush: Flush) {
        self.terminal.change(|state| {
            if flush.input {
                drop(state.line.output().take(usize::MAX));
            }
            if flush.output {
                state.flush_pending();
            }
        });
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.table.forget(self.terminal.device());
        self.terminal.change(|state| state.master_closed = true);
        self.terminal.hang_up();
    }
}

impl File for Master {
    fn read(&self, _offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        let max = dst.remaining();
        if max == 0 {
            return Ok(0);
        }
        let bytes = self.terminal.change(|state| {
            let packets = state.line.in_packet_mode();
            if state.line.packet_status() != 0 {
                return Ok(vec![state.line.take_packet_status()]);
            }
            if state.line.shown() == 0 {
                return Err(if state.slave_closed { Errno::EIO } else { Errno::EAGAIN });
            }
            let mut bytes = Vec::new();
            if packets {
                bytes.push(raw::TIOCPKT_DATA as u8);
            }
            bytes.extend(state.line.output().take(max.min(DELIVERED) - bytes.len()));
            Ok(bytes)
        })?;
        dst.write(&bytes)
    }

    fn write(&self, _offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        write_pieces(src, |typed| {
            let held = |state: &super::terminal::State| state.master_held;
            Ok(self.terminal.change(|state| if held(state) { 0 } else { state.typed(typed) }))
        })
    }

    fn is_terminal(&self) -> bool {
        true
    }

    fn poll(&self) -> PollEvents {
        self.terminal.look(|state| {
            let mut events = PollEvents::empty();
            events.set(PollEvents::READABLE, state.line.shown() > 0);
            if state.line.packet_status() != 0 {
                events |= PollEvents::READABLE | PollEvents::PRI;
            }
            events.set(PollEvents::WRITABLE, state.has_room() && !state.master_held);
            events.set(PollEvents::HUP, state.slave_closed);
            events
        })
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.terminal.master_queue())
    }

    fn writes_fully(&self) -> bool {
        true
    }
}
