//! The line discipline `N_TTY`: what stands between the keys that a user types and the lines that a program reads.
//!
//! The one idea: it is a state machine without a clock, a lock or anybody who waits. Bytes that were typed go in by
//! [`receive`](LineDiscipline::receive), bytes that a program writes by [`write`](LineDiscipline::write); what is to be shown collects in its
//! [`Output`], what can be read in its queue, signals in a list, and who drives it (the two ends of a pty, a terminal of the host) moves
//! them on. The rules are Linux's, case by case, also where they are odd: termios(3) says what they are for, and the tests at
//! `tests/guests/sys/tty*.c` compare them with the host's.
//!
//! - `input`: what becomes of a byte that was typed
//! - `echo`: what of that is shown, and the erasing of what was shown
//! - `output`: what becomes of a byte that is written

mod characters;
mod echo;
mod input;
mod output;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use linux_raw_sys::general as raw;
use smallvec::SmallVec;

use self::echo::Echoes;
pub use self::output::Output;
use super::termios::{Flow, Termios};
use crate::signal::Signal;

/// How many bytes of input are kept: `N_TTY_BUF_SIZE`. A line has one less, and its end.
pub const INPUT_SIZE: usize = 4096;

/// The special character that is not there: `_POSIX_VDISABLE`.
const DISABLED: u8 = 0;

/// A byte of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    byte: u8,
    /// A line ends with it. If it is [`DISABLED`] then, it is an end of file, and nobody reads it.
    ends_line: bool,
}

/// Signals for the foreground group, in the order in which they were typed.
pub type Signals = SmallVec<[Signal; 2]>;

/// A line discipline with all its state.
#[derive(Debug)]
pub struct LineDiscipline {
    termios: Termios,
    /// The characters that are more than themselves, by the settings.
    special: [bool; 256],
    /// Nothing at all is done to input.
    raw: bool,
    input: VecDeque<Cell>,
    /// How many bytes of the input are of finished lines, where lines are edited.
    finished: usize,
    /// The next character is not special (`VLNEXT`).
    literal: bool,
    echoes: Echoes,
    output: Output,
    signals: Signals,
    /// What the other side of a pty is to be told in packet mode; `None` outside of it.
    status: Option<u8>,
}

impl LineDiscipline {
    /// One with these settings, whose output goes to `output`.
    pub fn new(termios: Termios, output: Output) -> Self {
        let mut new = Self {
            termios,
            special: [false; 256],
            raw: false,
            input: VecDeque::new(),
            finished: 0,
            literal: false,
            echoes: Echoes::default(),
            output,
            signals: Signals::new(),
            status: None,
        };
        new.find_special();
        new
    }

    /// Its settings.
    pub fn termios(&self) -> &Termios {
        &self.termios
    }

    /// Changes the settings. Where lines begin or cease to be edited, what was typed and not read is a line, or just bytes, from now on.
    pub fn set_termios(&mut self, new: Termios) {
        let old = std::mem::replace(&mut self.termios, new);
        self.tell_of_settings(&old);
        if (old.lflag ^ new.lflag) & (raw::ICANON | raw::EXTPROC) != 0 {
            self.input.iter_mut().for_each(|cell| cell.ends_line = false);
            self.finished = 0;
            if new.local(raw::ICANON)
                && let Some(last) = self.input.back_mut()
            {
                last.ends_line = true;
                self.finished = self.input.len();
            }
            self.echoes.erasing = false;
            self.literal = false;
        }
        self.find_special();
        if old.input(raw::IXON) && !new.input(raw::IXON) {
            self.start();
        }
    }

    /// Notes for packet mode what changed in the settings: whether the other side may stop output with ^S and ^Q itself.
    fn tell_of_settings(&mut self, old: &Termios) {
        let flow = |termios: &Termios| {
            termios.input(raw::IXON)
                && termios.character(raw::VSTOP) == 0x13
                && termios.character(raw::VSTART) == 0x11
        };
        let (before, now) = (flow(old), flow(&self.termios));
        let Some(status) = &mut self.status else { return };
        if before != now {
            *status &= !((raw::TIOCPKT_DOSTOP | raw::TIOCPKT_NOSTOP) as u8);
            *status |= if now { raw::TIOCPKT_DOSTOP } else { raw::TIOCPKT_NOSTOP } as u8;
        }
        if (old.lflag | self.termios.lflag) & raw::EXTPROC != 0 {
            *status |= raw::TIOCPKT_IOCTL as u8;
        }
    }

    fn find_special(&mut self) {
        let termios = &self.termios;
        let mut special = [false; 256];
        let mut mark = |condition: bool, byte: u8| {
            if condition && let Some(entry) = special.get_mut(usize::from(byte)) {
                *entry = true;
            }
        };
        let canonical = termios.local(raw::ICANON);
        let extended = canonical && termios.local(raw::IEXTEN);
        mark(termios.input(raw::IGNCR | raw::ICRNL), b'\r');
        mark(canonical || termios.input(raw::INLCR), b'\n');
        for which in [raw::VERASE, raw::VKILL, raw::VEOF, raw::VEOL] {
            mark(canonical, termios.character(which));
        }
        for which in [raw::VWERASE, raw::VLNEXT, raw::VEOL2] {
            mark(extended, termios.character(which));
        }
        mark(extended && termios.local(raw::ECHO), termios.character(raw::VREPRINT));
        for which in [raw::VSTART, raw::VSTOP] {
            mark(termios.input(raw::IXON), termios.character(which));
        }
        for which in [raw::VINTR, raw::VQUIT, raw::VSUSP] {
            mark(termios.local(raw::ISIG), termios.character(which));
        }
        special[usize::from(DISABLED)] = false;
        self.special = special;
        let changes = raw::ISTRIP
            | raw::IUCLC
            | raw::IGNCR
            | raw::ICRNL
            | raw::INLCR
            | raw::IXON
            | raw::PARMRK;
        self.raw = !termios.input(changes) && !termios.local(raw::ICANON | raw::ISIG | raw::ECHO);
    }

    /// What is to be shown.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// How many bytes are to be shown.
    pub fn shown(&self) -> usize {
        self.output.len()
    }

    /// How many bytes a program can write now, if each becomes one.
    pub fn write_room(&self) -> usize {
        self.output.room()
    }

    /// Takes the signals that were typed.
    pub fn take_signals(&mut self) -> Signals {
        std::mem::take(&mut self.signals)
    }

    /// Begins packet mode, or ends it.
    pub fn set_packet_mode(&mut self, on: bool) {
        match (on, self.status) {
            (true, None) => self.status = Some(0),
            (false, _) => self.status = None,
            (true, Some(_)) => {}
        }
    }

    /// What happened since packet mode was asked last: `TIOCPKT_…` bits; 0 for nothing, or without packet mode.
    pub fn packet_status(&self) -> u8 {
        self.status.unwrap_or(0)
    }

    /// As [`packet_status`](Self::packet_status), which begins anew.
    pub fn take_packet_status(&mut self) -> u8 {
        self.status.as_mut().map_or(0, std::mem::take)
    }

    /// Whether packet mode is on.
    pub fn in_packet_mode(&self) -> bool {
        self.status.is_some()
    }

    fn note(&mut self, bits: u32) {
        if let Some(status) = &mut self.status {
            *status |= bits as u8;
        }
    }

    /// `TCXONC`, as far as it is about the program's own output: off and on.
    pub fn flow(&mut self, flow: Flow) {
        match flow {
            Flow::OutputOff if !self.output.held => {
                self.stop();
                self.output.held = true;
            }
            Flow::OutputOn if self.output.held => {
                self.output.held = false;
                self.start();
            }
            Flow::OutputOff | Flow::OutputOn => {}
            Flow::InputOff => self.send(self.termios.character(raw::VSTOP)),
            Flow::InputOn => self.send(self.termios.character(raw::VSTART)),
        }
    }

    /// Sends a character past whatever has stopped the output.
    fn send(&mut self, byte: u8) {
        if byte != DISABLED {
            let stopped = std::mem::replace(&mut self.output.stopped, false);
            self.output.put(byte);
            self.output.stopped = stopped;
        }
    }

    fn stop(&mut self) {
        if !self.output.stopped {
            self.output.stopped = true;
            self.note_flow(raw::TIOCPKT_STOP, raw::TIOCPKT_START);
        }
    }

    /// Goes on with output, unless a program has stopped it, and shows what was held back.
    fn start(&mut self) {
        if self.output.stopped && !self.output.held {
            self.output.stopped = false;
            self.note_flow(raw::TIOCPKT_START, raw::TIOCPKT_STOP);
        }
        self.show_committed();
    }

    fn note_flow(&mut self, now: u32, before: u32) {
        if let Some(status) = &mut self.status {
            *status = *status & !(before as u8) | now as u8;
        }
    }

    /// Whether output is stopped, by ^S or `TCOOFF`.
    pub fn is_stopped(&self) -> bool {
        self.output.stopped
    }

    /// Forgets what was typed and not read.
    pub fn flush_input(&mut self) {
        self.forget_input();
        self.note(raw::TIOCPKT_FLUSHREAD);
    }

    fn forget_input(&mut self) {
        self.input.clear();
        self.finished = 0;
        self.echoes.erasing = false;
    }

    /// Forgets what was written and the other side does not have yet.
    pub fn flush_output(&mut self) {
        self.output.flush();
        self.note(raw::TIOCPKT_FLUSHWRITE);
    }

    /// How many bytes of input there are (`FIONREAD`): of finished lines, where lines are edited.
    pub fn available(&self) -> usize {
        if !self.termios.is_canonical() {
            return self.input.len();
        }
        let ends = |cell: &&Cell| cell.ends_line && cell.byte == DISABLED;
        self.finished - self.input.iter().take(self.finished).filter(ends).count()
    }

    /// How many bytes of input are kept, of lines finished or not.
    pub fn held(&self) -> usize {
        self.input.len()
    }

    /// Whether a read that wants `least` bytes has them: a line, where lines are edited.
    pub fn is_readable(&self, least: usize) -> bool {
        if self.termios.is_canonical() {
            self.finished > 0
        } else {
            self.input.len() >= least.max(1)
        }
    }

    /// How many bytes there have to be for poll(2) to call it readable.
    pub fn poll_minimum(&self) -> usize {
        match (self.termios.character(raw::VTIME), self.termios.character(raw::VMIN)) {
            (0, minimum) => usize::from(minimum).max(1),
            _ => 1,
        }
    }

    /// Takes up to `max` bytes: at most a line, where lines are edited; none if it is the end of file that comes next, or
    /// nothing was there.
    pub fn read(&mut self, max: usize) -> Vec<u8> {
        if self.termios.is_canonical() { self.read_line(max) } else { self.read_bytes(max) }
    }

    fn read_line(&mut self, max: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        if max == 0 {
            return bytes;
        }
        while bytes.len() < max
            && let Some(cell) = self.take_finished()
        {
            if !cell.ends_line || cell.byte != DISABLED {
                bytes.push(cell.byte);
            }
            if cell.ends_line {
                return bytes;
            }
        }
        // A line that was ended by an end of file ends with its last byte.
        if self.finished > 0
            && self.input.front() == Some(&Cell { byte: DISABLED, ends_line: true })
        {
            self.take_finished();
        }
        bytes
    }

    fn take_finished(&mut self) -> Option<Cell> {
        self.finished = self.finished.checked_sub(1)?;
        self.input.pop_front()
    }

    fn read_bytes(&mut self, max: usize) -> Vec<u8> {
        let count = max.min(self.input.len());
        let bytes: Vec<u8> = self.input.drain(..count).map(|cell| cell.byte).collect();
        self.finished = self.finished.saturating_sub(count);
        let end_of_file = self.termios.local(raw::ICANON)
            && bytes == [self.termios.character(raw::VEOF)]
            && self.input.is_empty();
        if end_of_file { Vec::new() } else { bytes }
    }
}
