//! What becomes of a byte that is written.
//!
//! The one idea: output is a queue with a limit, and the column of the cursor goes with it, which tabs and echoes need. A terminal of the host
//! does its output processing itself, so for one only the column is kept.

use std::collections::VecDeque;

use linux_raw_sys::general as raw;

use super::{
    LineDiscipline,
    characters::{continues, is_control, to_upper},
};
use crate::tty::termios::Termios;

/// What is on its way to the screen.
#[derive(Debug)]
pub struct Output {
    queue: VecDeque<u8>,
    capacity: usize,
    /// So many bytes at its start the other side has as good as read: they are not called back.
    delivered: usize,
    /// Bytes are to stay what they are: somebody behind does what `OPOST` wants.
    as_written: bool,
    /// Nothing goes in: ^S was typed, or a program said so.
    pub(super) stopped: bool,
    /// A program said so (`TCOOFF`), and only a program goes on.
    pub(super) held: bool,
    pub(super) column: usize,
    /// The column in which the line begins that is being typed.
    pub(super) start_of_line: usize,
}

impl Output {
    fn new(capacity: usize, delivered: usize, as_written: bool) -> Self {
        Self {
            queue: VecDeque::new(),
            capacity,
            delivered,
            as_written,
            stopped: false,
            held: false,
            column: 0,
            start_of_line: 0,
        }
    }

    /// That of a pty, with room for `capacity` bytes, of which the first `delivered` are not called back.
    pub fn of_pty(capacity: usize, delivered: usize) -> Self {
        Self::new(capacity, delivered, false)
    }

    /// That of a terminal which does output processing itself.
    pub fn of_host(capacity: usize) -> Self {
        Self::new(capacity, 0, true)
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many bytes fit.
    pub fn room(&self) -> usize {
        if self.stopped { 0 } else { self.capacity.saturating_sub(self.queue.len()) }
    }

    /// The bytes at its start that lie together.
    pub fn front(&self) -> &[u8] {
        let (first, second) = self.queue.as_slices();
        if first.is_empty() { second } else { first }
    }

    /// Forgets `count` bytes at its start.
    pub fn discard(&mut self, count: usize) {
        self.queue.drain(..count.min(self.queue.len()));
    }

    /// Takes up to `max` bytes.
    pub fn take(&mut self, max: usize) -> Vec<u8> {
        self.queue.drain(..max.min(self.queue.len())).collect()
    }

    /// Forgets what the other side does not have yet.
    pub(super) fn flush(&mut self) {
        self.queue.truncate(self.delivered);
    }

    pub(super) fn put(&mut self, byte: u8) {
        self.queue.push_back(byte);
    }

    /// Puts one byte in by the rules of `OPOST`; false, and nothing done, without room for what it becomes.
    pub(super) fn process(&mut self, byte: u8, termios: &Termios) -> bool {
        let room = self.room();
        if room == 0 {
            return false;
        }
        let mut shown = byte;
        match byte {
            b'\n' => {
                if termios.output(raw::ONLRET) {
                    self.column = 0;
                }
                if termios.output(raw::ONLCR) {
                    if room < 2 {
                        return false;
                    }
                    self.column = 0;
                    if !self.as_written {
                        self.put(b'\r');
                    }
                }
                self.start_of_line = self.column;
            }
            b'\r' => {
                if termios.output(raw::ONOCR) && self.column == 0 {
                    if self.as_written {
                        self.put(byte);
                    }
                    return true;
                }
                let newline = termios.output(raw::OCRNL);
                if newline {
                    shown = b'\n';
                }
                if !newline || termios.output(raw::ONLRET) {
                    (self.column, self.start_of_line) = (0, 0);
                }
            }
            b'\t' => {
                let spaces = 8 - self.column % 8;
                if termios.oflag & raw::TABDLY == raw::XTABS {
                    if room < spaces {
                        return false;
                    }
                    self.column += spaces;
                    if !self.as_written {
                        (0..spaces).for_each(|_| self.put(b' '));
                        return true;
                    }
                } else {
                    self.column += spaces;
                }
            }
            b'\x08' => self.column = self.column.saturating_sub(1),
            byte if !is_control(byte) => {
                if termios.output(raw::OLCUC) {
                    shown = to_upper(byte);
                }
                if !continues(shown, termios) {
                    self.column += 1;
                }
            }
            _ => {}
        }
        self.put(if self.as_written { byte } else { shown });
        true
    }
}

impl LineDiscipline {
    /// Takes bytes that a program writes, as many as there is room for; how many. Echoes that wait go first.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        self.show_committed();
        if !self.termios.output(raw::OPOST) {
            let count = bytes.len().min(self.output.room());
            self.output.queue.extend(bytes.iter().take(count));
            return count;
        }
        let refused = bytes.iter().position(|&byte| !self.output.process(byte, &self.termios));
        refused.unwrap_or(bytes.len())
    }
}
