//! What becomes of a byte that was typed.
//!
//! The one idea: nearly all bytes are only themselves; those that the settings make more are asked about one by one, in Linux's order, as
//! one byte may be several special characters at once.

use linux_raw_sys::general as raw;

use super::{
    Cell, DISABLED, INPUT_SIZE, LineDiscipline,
    characters::{continues, is_control, is_word, to_lower},
};
use crate::signal::Signal;

/// How much one of the erasing characters erases.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Erase {
    Character,
    Word,
    Line,
}

impl LineDiscipline {
    /// Takes bytes that were typed, as many as there is room for; how many. While no line is finished there is always room, for
    /// characters that erase: others are lost then.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            // Of the last byte's place, a line's end is sure.
            let mut room = INPUT_SIZE.saturating_sub(self.input.len());
            if self.termios.input(raw::PARMRK) {
                room = room.div_ceil(3);
            }
            if room <= 1 {
                if !self.termios.local(raw::ICANON) || self.finished > 0 {
                    break;
                }
                if room == 0 {
                    self.input.pop_back();
                }
            }
            let count = rest.len().min(room.saturating_sub(1).max(1));
            self.receive_some(rest.get(..count).unwrap_or(rest));
            taken += count;
        }
        taken
    }

    /// Takes bytes that somebody else has edited and shown already: lines end where they end.
    pub fn adopt(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' && self.termios.local(raw::ICANON) {
                self.finish_line(byte);
            } else {
                self.keep(byte);
            }
        }
    }

    /// Ends a line without a character for its end, as `VEOF` does.
    pub fn adopt_end_of_file(&mut self) {
        self.finish_line(DISABLED);
    }

    /// Reacts to those of `bytes` that stop output or go on with it, although there is no room for any of them. When there is they are seen once
    /// more, all of them, which ends the same.
    pub fn look_ahead(&mut self, bytes: &[u8]) {
        if self.raw {
            return;
        }
        for &byte in bytes {
            self.controls_flow(byte);
        }
    }

    fn receive_some(&mut self, bytes: &[u8]) {
        let external = self.termios.local(raw::EXTPROC);
        let extended = self.termios.local(raw::IEXTEN);
        let (strips, lowers) = (self.termios.input(raw::ISTRIP), self.termios.input(raw::IUCLC));
        if self.raw || external && !strips && !(lowers && extended) {
            bytes.iter().for_each(|&byte| self.keep(byte));
            return;
        }
        for &byte in bytes {
            let byte = if strips { byte & 0x7f } else { byte };
            let byte = if lowers && extended { to_lower(byte) } else { byte };
            if external {
                self.keep(byte);
            } else if std::mem::take(&mut self.literal)
                || !self.special.get(usize::from(byte)).is_some_and(|special| *special)
            {
                self.ordinary(byte);
            } else {
                self.special(byte);
            }
        }
        self.show_all();
    }

    /// Appends a byte to the input.
    fn keep(&mut self, byte: u8) {
        if self.input.len() < INPUT_SIZE {
            self.input.push_back(Cell { byte, ends_line: false });
        }
    }

    /// As [`keep`](Self::keep); the byte that marks an error is doubled, so that it is none.
    fn keep_marked(&mut self, byte: u8) {
        if byte == 0xff && self.termios.input(raw::PARMRK) {
            self.keep(byte);
        }
        self.keep(byte);
    }

    fn finish_line(&mut self, byte: u8) {
        self.keep(byte);
        if let Some(last) = self.input.back_mut() {
            // It is the one just kept: there is always room for it.
            last.ends_line = true;
        }
        self.finished = self.input.len();
    }

    /// Whether the line that is being typed has nothing in it.
    fn line_is_empty(&self) -> bool {
        self.input.len() == self.finished
    }

    /// A byte that is only itself.
    fn ordinary(&mut self, byte: u8) {
        self.start_if_any();
        if self.termios.local(raw::ECHO) {
            self.finish_erasing();
            if self.line_is_empty() {
                self.echo_start_of_line();
            }
            self.echo_character(byte);
            self.commit_echoes();
        }
        self.keep_marked(byte);
    }

    /// Any character goes on with output (`IXANY`).
    fn start_if_any(&mut self) {
        let any = self.termios.input(raw::IXON) && self.termios.input(raw::IXANY);
        if self.output.stopped && !self.output.held && any {
            self.start();
        }
    }

    fn is(&self, byte: u8, which: u32) -> bool {
        byte == self.termios.character(which)
    }

    /// Whether it is a character that stops output or goes on with it, which it then has done.
    fn controls_flow(&mut self, byte: u8) -> bool {
        if !self.termios.input(raw::IXON) || byte == DISABLED {
            return false;
        }
        if self.is(byte, raw::VSTART) {
            self.start();
        } else if self.is(byte, raw::VSTOP) {
            self.stop();
        } else {
            return false;
        }
        true
    }

    /// A byte that may be more.
    fn special(&mut self, byte: u8) {
        if self.controls_flow(byte) {
            return;
        }
        if self.termios.local(raw::ISIG) {
            let signals = [
                (raw::VINTR, Signal::SIGINT),
                (raw::VQUIT, Signal::SIGQUIT),
                (raw::VSUSP, Signal::SIGTSTP),
            ];
            if let Some((_, signal)) = signals.into_iter().find(|&(which, _)| self.is(byte, which))
            {
                return self.interrupt(signal, byte);
            }
        }
        self.start_if_any();
        let byte = match byte {
            b'\r' if self.termios.input(raw::IGNCR) => return,
            b'\r' if self.termios.input(raw::ICRNL) => b'\n',
            b'\n' if self.termios.input(raw::INLCR) => b'\r',
            byte => byte,
        };
        if self.termios.local(raw::ICANON) && self.edits(byte) {
            return;
        }
        if self.termios.local(raw::ECHO) {
            self.finish_erasing();
            if byte == b'\n' {
                self.echo_byte(byte);
            } else {
                if self.line_is_empty() {
                    self.echo_start_of_line();
                }
                self.echo_character(byte);
            }
            self.commit_echoes();
        }
        self.keep_marked(byte);
    }

    /// A character that sends a signal. Unless `NOFLSH` says otherwise, what is on the way in either direction is forgotten.
    fn interrupt(&mut self, signal: Signal, byte: u8) {
        self.signals.push(signal);
        if !self.termios.local(raw::NOFLSH) {
            self.echoes.clear();
            self.flush_output();
            self.flush_input();
        }
        if self.termios.input(raw::IXON) {
            self.start();
        }
        if self.termios.local(raw::ECHO) {
            self.echo_character(byte);
            self.commit_echoes();
        } else {
            self.show_committed();
        }
    }

    /// Whether the character edits or ends the line, which it then has done.
    fn edits(&mut self, byte: u8) -> bool {
        let extended = self.termios.local(raw::IEXTEN);
        let echo = self.termios.local(raw::ECHO);
        let erase = if self.is(byte, raw::VERASE) {
            Some(Erase::Character)
        } else if self.is(byte, raw::VKILL) {
            // What is a word's eraser, too, erases a word.
            let word = self.is(byte, raw::VWERASE);
            Some(if word { Erase::Word } else { Erase::Line })
        } else if extended && self.is(byte, raw::VWERASE) {
            Some(Erase::Word)
        } else {
            None
        };
        if let Some(erase) = erase {
            self.erase(erase);
            self.commit_echoes();
        } else if extended && self.is(byte, raw::VLNEXT) {
            self.literal = true;
            if echo {
                self.finish_erasing();
                if self.termios.local(raw::ECHOCTL) {
                    self.echo_byte(b'^');
                    self.echo_byte(b'\x08');
                    self.commit_echoes();
                }
            }
        } else if extended && echo && self.is(byte, raw::VREPRINT) {
            self.finish_erasing();
            self.echo_character(byte);
            self.echo_byte(b'\n');
            for at in self.finished..self.input.len() {
                self.echo_character(self.byte_at(at));
            }
            self.commit_echoes();
        } else if byte == b'\n' {
            if self.termios.local(raw::ECHO | raw::ECHONL) {
                self.echo_byte(byte);
                self.commit_echoes();
            }
            self.finish_line(byte);
        } else if self.is(byte, raw::VEOF) {
            self.finish_line(DISABLED);
        } else if self.is(byte, raw::VEOL) || extended && self.is(byte, raw::VEOL2) {
            if echo {
                if self.line_is_empty() {
                    self.echo_start_of_line();
                }
                self.echo_character(byte);
                self.commit_echoes();
            }
            if byte == 0xff && self.termios.input(raw::PARMRK) {
                self.keep(byte);
            }
            self.finish_line(byte);
        } else {
            return false;
        }
        true
    }

    fn byte_at(&self, at: usize) -> u8 {
        self.input.get(at).map_or(0, |cell| cell.byte)
    }

    /// Erases the end of the line that is being typed, on the screen as well.
    fn erase(&mut self, what: Erase) {
        if self.line_is_empty() {
            return;
        }
        let echo = self.termios.local(raw::ECHO);
        if what == Erase::Line {
            let local = |bit| self.termios.local(bit);
            let visibly = local(raw::ECHOK) && local(raw::ECHOKE) && local(raw::ECHOE);
            if !echo || !visibly {
                self.input.truncate(self.finished);
                if echo {
                    self.finish_erasing();
                    self.echo_character(self.termios.character(raw::VKILL));
                    if self.termios.local(raw::ECHOK) {
                        self.echo_byte(b'\n');
                    }
                }
                return;
            }
        }
        let mut in_word = false;
        while !self.line_is_empty() {
            // All bytes of a character.
            let mut head = self.input.len();
            let byte = loop {
                head -= 1;
                let byte = self.byte_at(head);
                if !continues(byte, &self.termios) || head == self.finished {
                    break byte;
                }
            };
            if continues(byte, &self.termios) {
                break;
            }
            if what == Erase::Word {
                if is_word(byte) {
                    in_word = true;
                } else if in_word {
                    break;
                }
            }
            let rest: Vec<u8> = self.input.drain(head..).skip(1).map(|cell| cell.byte).collect();
            if echo {
                self.echo_erased(byte, &rest, what == Erase::Character);
            }
            if what == Erase::Character {
                break;
            }
        }
        if self.line_is_empty() && echo {
            self.finish_erasing();
        }
    }

    /// How many columns what stands before the end of the line takes, back to a tab or the start; and whether it was a tab.
    pub(super) fn columns_since_tab(&self) -> (usize, bool) {
        let mut columns = 0;
        for cell in self.input.iter().skip(self.finished).rev() {
            if cell.byte == b'\t' {
                return (columns, true);
            }
            if is_control(cell.byte) {
                columns += if self.termios.local(raw::ECHOCTL) { 2 } else { 0 };
            } else if !continues(cell.byte, &self.termios) {
                columns += 1;
            }
        }
        (columns, false)
    }
}
