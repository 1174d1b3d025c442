//! What of the typed characters is shown.
//!
//! The one idea: echoes wait in a queue of their own until all that arrived together is dealt with, so that a signal among it can call
//! them back, and until there is room for them; what they become is found out only when they are shown, since it depends on
//! the column.

use std::collections::VecDeque;

use linux_raw_sys::general as raw;

use super::{INPUT_SIZE, LineDiscipline, characters::is_control};

/// Something to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Echo {
    /// A byte, as if a program wrote it.
    Byte(u8),
    /// A byte as it is.
    Literal(u8),
    /// A control character: a caret and a letter.
    Control(u8),
    /// Here the line begins, of which the columns of tabs count.
    StartOfLine,
    /// The cursor is a column further left than it seems.
    Back,
    /// Goes back over a tab; so many columns (modulo 8) before it, counted from another tab or from the line's start.
    EraseTab { columns: usize, after_tab: bool },
}

impl Echo {
    /// Bytes that Linux takes to keep it, by which it decides when to show.
    fn size(self) -> usize {
        match self {
            Self::Byte(_) => 1,
            Self::EraseTab { .. } => 3,
            _ => 2,
        }
    }
}

/// So many bytes of echoes are shown at once, although more may come: `ECHO_COMMIT_WATERMARK`, and `ECHO_BLOCK`.
const BLOCK: usize = 256;
/// With so many bytes the oldest are forgotten: `ECHO_DISCARD_WATERMARK`.
const TOO_MANY: usize = INPUT_SIZE - (BLOCK + 32);

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    queue: VecDeque<Echo>,
    /// Bytes of the queue.
    bytes: usize,
    /// How many at its start may be shown, and how many bytes these are.
    committed: usize,
    committed_bytes: usize,
    /// How many may be shown as soon as somebody writes.
    marked: usize,
    /// Erased characters are being shown between `\` and `/` (`ECHOPRT`).
    pub(super) erasing: bool,
}

impl Echoes {
    fn push(&mut self, echo: Echo) {
        if self.bytes + echo.size() > INPUT_SIZE {
            self.pop();
        }
        self.bytes += echo.size();
        self.queue.push_back(echo);
    }

    fn pop(&mut self) {
        if let Some(echo) = self.queue.pop_front() {
            self.bytes -= echo.size();
            if self.committed > 0 {
                self.committed -= 1;
                self.committed_bytes -= echo.size();
            }
            self.marked = self.marked.saturating_sub(1);
        }
    }

    /// What comes first, if it may be shown.
    fn front(&self) -> Option<Echo> {
        self.queue.front().copied().filter(|_| self.committed > 0)
    }

    fn commit(&mut self, count: usize) {
        self.committed = count;
        self.committed_bytes = self.queue.iter().take(count).map(|echo| echo.size()).sum();
    }

    /// Forgets what was not shown.
    pub(super) fn clear(&mut self) {
        *self = Self { erasing: self.erasing, ..Self::default() };
    }
}

impl LineDiscipline {
    /// Shows a byte.
    pub(super) fn echo_byte(&mut self, byte: u8) {
        self.echoes.push(if byte == 0xff { Echo::Literal(byte) } else { Echo::Byte(byte) });
    }

    /// Shows a typed character: control characters as a caret and a letter, if the settings say so.
    pub(super) fn echo_character(&mut self, byte: u8) {
        if self.termios.local(raw::ECHOCTL) && is_control(byte) && byte != b'\t' {
            self.echoes.push(Echo::Control(byte));
        } else {
            self.echo_byte(byte);
        }
    }

    pub(super) fn echo_start_of_line(&mut self) {
        self.echoes.push(Echo::StartOfLine);
    }

    pub(super) fn finish_erasing(&mut self) {
        if std::mem::take(&mut self.echoes.erasing) {
            self.echo_byte(b'/');
        }
    }

    /// Shows that a character is gone from the line: `byte`, and those of `rest` that go with it. `single`: it was erased by itself.
    pub(super) fn echo_erased(&mut self, byte: u8, rest: &[u8], single: bool) {
        if self.termios.local(raw::ECHOPRT) {
            if !std::mem::replace(&mut self.echoes.erasing, true) {
                self.echo_byte(b'\\');
            }
            self.echo_character(byte);
            for &byte in rest {
                self.echo_byte(byte);
                self.echoes.push(Echo::Back);
            }
        } else if single && !self.termios.local(raw::ECHOE) {
            self.echo_character(self.termios.character(raw::VERASE));
        } else if byte == b'\t' {
            let (columns, after_tab) = self.columns_since_tab();
            self.echoes.push(Echo::EraseTab { columns: columns % 8, after_tab });
        } else {
            let caret = self.termios.local(raw::ECHOCTL);
            let columns = match is_control(byte) {
                true if caret => 2,
                true => 0,
                false => 1,
            };
            for _ in 0..columns {
                b"\x08 \x08".iter().for_each(|&byte| self.echo_byte(byte));
            }
        }
    }

    /// What was typed so far may be shown as soon as somebody writes; now, if it is much.
    pub(super) fn commit_echoes(&mut self) {
        let echoes = &mut self.echoes;
        echoes.marked = echoes.queue.len();
        let before = echoes.committed_bytes;
        if echoes.bytes >= BLOCK && echoes.bytes % BLOCK <= before % BLOCK {
            echoes.commit(echoes.queue.len());
            self.show();
        }
    }

    /// Shows all echoes: what has arrived is dealt with.
    pub(super) fn show_all(&mut self) {
        let echoes = self.termios.local(raw::ECHO | raw::ECHONL);
        if echoes && self.echoes.committed < self.echoes.queue.len() {
            self.echoes.commit(self.echoes.queue.len());
            self.show();
        }
    }

    /// Shows the echoes that may be shown.
    pub fn show_committed(&mut self) {
        if self.echoes.marked > 0 {
            self.echoes.commit(self.echoes.marked);
            self.show();
        }
    }

    /// Shows as many of the committed echoes as there is room for.
    fn show(&mut self) {
        while let Some(echo) = self.echoes.front() {
            let room = self.output.room();
            match echo {
                Echo::Byte(byte) if self.termios.output(raw::OPOST) => {
                    if !self.output.process(byte, &self.termios) {
                        break;
                    }
                }
                Echo::Byte(_) | Echo::Literal(_) if room == 0 => break,
                Echo::Byte(byte) => self.output.put(byte),
                Echo::Literal(byte) => {
                    self.output.put(byte);
                    self.output.column += 1;
                }
                Echo::Control(_) if room < 2 => break,
                Echo::Control(byte) => {
                    self.output.put(b'^');
                    self.output.put(byte ^ 0o100);
                    self.output.column += 2;
                }
                Echo::StartOfLine => self.output.start_of_line = self.output.column,
                Echo::Back => self.output.column = self.output.column.saturating_sub(1),
                Echo::EraseTab { columns, after_tab } => {
                    let start = if after_tab { 0 } else { self.output.start_of_line };
                    let back = 8 - (columns + start) % 8;
                    if back > room {
                        break;
                    }
                    (0..back).for_each(|_| self.output.put(b'\x08'));
                    self.output.column = self.output.column.saturating_sub(back);
                }
            }
            self.echoes.pop();
        }
        while self.echoes.committed_bytes >= TOO_MANY {
            self.echoes.pop();
        }
    }
}
