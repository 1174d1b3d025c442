//! The side of a terminal that programs have: what a descriptor of /dev/pts/N or of the console refers to.
//!
//! The one idea: an open file remembers how often the terminal had been hung up when it was opened; after one more it reads an end of file and writes
//! `EIO`, whatever becomes of the terminal (tty_ioctl(4), `TIOCVHANGUP`). Whether the caller may read and write at all
//! ([`job_control`](super::job_control)) is asked before, by the system call, for it is about processes.

use std::sync::Arc;

use kernel_objects::WaitQueue;
use linux_raw_sys::general::{VMIN, VTIME};

use super::{
    terminal::{State, Terminal},
    transfer::write_pieces,
};
use crate::{
    errno::{Errno, SysResult},
    vfs::{File, IoDst, IoSrc, Metadata, PollEvents},
};

/// Bytes that Linux moves at once. A read that needs more (`VMIN`) gets so many, and is over.
pub const CHUNK: usize = 64;

/// What a try to read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// So many bytes were read; 0 is the end.
    Done(usize),
    /// There are only so many, which have been left where they are.
    Waits(usize),
}

/// An open slave.
pub struct Slave {
    terminal: Arc<Terminal>,
    /// How often it had been hung up.
    hangups: u64,
}

impl Slave {
    pub(super) fn new(terminal: Arc<Terminal>, hangups: u64) -> Self {
        Self { terminal, hangups }
    }

    /// The terminal.
    pub fn terminal(&self) -> &Arc<Terminal> {
        &self.terminal
    }

    fn lives(&self, state: &State) -> bool {
        state.hangups == self.hangups
    }

    /// Whether it was hung up: every request is `EIO` then.
    pub fn is_hung_up(&self) -> bool {
        self.terminal.look(|state| !self.lives(state))
    }

    /// Bytes that can be read (`FIONREAD`).
    pub fn available(&self) -> usize {
        self.terminal.change(|state| {
            state.take_over();
            state.line.available()
        })
    }

    /// How many bytes a read that may wait has to have at least, and how many tenths of a second it waits (for the first byte if it needs none, else
    /// for another one).
    pub fn patience(&self) -> (usize, u8) {
        self.terminal.look(|state| {
            let termios = state.line.termios();
            if termios.is_canonical() {
                return (1, 0);
            }
            (usize::from(termios.character(VMIN)), termios.character(VTIME))
        })
    }

    /// Reads if there are `least` bytes, or a line where lines are edited.
    pub fn try_read(&self, least: usize, dst: &mut IoDst<'_>) -> SysResult<Attempt> {
        let max = dst.remaining();
        if max == 0 {
            return Ok(Attempt::Done(0));
        }
        let bytes = self.terminal.change(|state| {
            if !self.lives(state) {
                return Ok(Vec::new());
            }
            state.take_over();
            let termios = state.line.termios();
            let demanding = usize::from(termios.character(VMIN)) > CHUNK;
            let max = if demanding && !termios.is_canonical() { max.min(CHUNK) } else { max };
            if !state.line.is_readable(least.min(max).min(CHUNK)) {
                return Err(state.line.available());
            }
            Ok(state.line.read(max.min(super::discipline::INPUT_SIZE)))
        });
        match bytes {
            Ok(bytes) => {
                self.terminal.pump();
                dst.write(&bytes).map(Attempt::Done)
            }
            Err(available) => Ok(Attempt::Waits(available)),
        }
    }
}

impl Drop for Slave {
    fn drop(&mut self) {
        self.terminal.change(|state| {
            state.opens -= 1;
            state.slave_closed = state.opens == 0;
        });
    }
}

impl File for Slave {
    fn read(&self, _offset: u64, dst: &mut IoDst<'_>) -> SysResult {
        match self.try_read(1, dst)? {
            Attempt::Done(count) => Ok(count),
            // Nothing is needed, and nothing waited for.
            Attempt::Waits(_) if self.patience() == (0, 0) => Ok(0),
            Attempt::Waits(_) => Err(Errno::EAGAIN),
        }
    }

    fn write(&self, _offset: u64, src: &mut IoSrc<'_>) -> SysResult {
        write_pieces(src, |bytes| {
            self.terminal.change(|state| {
                if !self.lives(state) {
                    return Err(Errno::EIO);
                }
                Ok(state.line.write(bytes))
            })
        })
    }

    fn is_terminal(&self) -> bool {
        true
    }

    fn metadata(&self) -> Option<SysResult<Metadata>> {
        self.terminal.look(|state| state.host_metadata())
    }

    fn poll(&self) -> PollEvents {
        self.terminal.change(|state| {
            if !self.lives(state) {
                return PollEvents::ALWAYS | PollEvents::ERR | PollEvents::HUP;
            }
            state.take_over();
            let least = state.line.poll_minimum();
            let mut events = PollEvents::empty();
            events.set(PollEvents::READABLE, state.line.is_readable(least));
            events.set(PollEvents::WRITABLE, state.line.write_room() > 0);
            events
        })
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.terminal.slave_queue())
    }

    fn writes_fully(&self) -> bool {
        true
    }

    fn reopen(&self, _flags: u32, _old: u32) -> SysResult<Arc<dyn File>> {
        // That of a terminal without a name; what has one is opened by it.
        let slave = self.terminal.open(true)?;
        Ok(slave)
    }

    fn link_text(&self) -> Vec<u8> {
        self.terminal.look(|state| state.host_path())
    }
}
