//! A terminal's settings, and the shapes in which programs give and get them.
//!
//! The one idea: one struct keeps what `struct termios2` has, which is all there is; the two older shapes, `struct termios` without speeds and
//! `struct termio` with half the bits, are views of it. See termios(3), asm-generic/termbits.h.

use hal::console;
pub use hal::console::WindowSize;
use linux_raw_sys::general as raw;

use crate::errno::{Errno, SysResult};

/// How many special characters there are: `NCCS` of the kernel.
pub const CHARACTERS: usize = 19;
/// Bytes of a `struct termio`.
pub const TERMIO_SIZE: usize = 18;
/// Bytes of a `struct termios` as the kernel has it.
pub const TERMIOS_SIZE: usize = 36;
/// Bytes of a `struct termios2`.
pub const TERMIOS2_SIZE: usize = 44;

/// A terminal's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Termios {
    /// What is done to input: `ICRNL` and so on.
    pub iflag: u32,
    /// What is done to output: `OPOST` and so on.
    pub oflag: u32,
    /// About the line: `CSIZE`, the speeds.
    pub cflag: u32,
    /// What is done for the user: `ICANON`, `ECHO`, `ISIG` and so on.
    pub lflag: u32,
    /// The line discipline.
    pub line: u8,
    /// The special characters, `VMIN` and `VTIME`, by their `V…` number.
    pub cc: [u8; CHARACTERS],
    /// Speed of input, bits a second.
    pub ispeed: u32,
    /// Speed of output, bits a second.
    pub ospeed: u32,
}

impl Default for Termios {
    /// What Linux gives a new pty.
    fn default() -> Self {
        Self {
            iflag: raw::ICRNL | raw::IXON,
            oflag: raw::OPOST | raw::ONLCR,
            cflag: raw::B38400 | raw::CS8 | raw::CREAD,
            lflag: raw::ISIG
                | raw::ICANON
                | raw::ECHO
                | raw::ECHOE
                | raw::ECHOK
                | raw::ECHOCTL
                | raw::ECHOKE
                | raw::IEXTEN,
            line: 0,
            // INIT_C_CC: ^C ^\ DEL ^U ^D, VTIME, VMIN, VSWTC, ^Q ^S ^Z, VEOL, ^R ^O ^W ^V, VEOL2.
            cc: [
                0x03, 0x1c, 0x7f, 0x15, 0x04, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0x0f, 0x17, 0x16,
                0, 0, 0,
            ],
            ispeed: 38400,
            ospeed: 38400,
        }
    }
}

/// The speeds by their numbers in `CBAUD`, those with `CBAUDEX` after the others.
const SPEEDS: [u32; 31] = [
    0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400, 57600,
    115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000, 2500000,
    3000000, 3500000, 4000000,
];

/// The speed that `code`, a value of `CBAUD`, stands for; `other` for `BOTHER`.
fn speed(code: u32, other: u32) -> u32 {
    if code == raw::BOTHER {
        return other;
    }
    let index = if code & raw::CBAUDEX != 0 { (code & !raw::CBAUDEX) + 15 } else { code };
    SPEEDS.get(index as usize).copied().unwrap_or(0)
}

impl Termios {
    /// Settings of a terminal of the host.
    pub(crate) fn from_host(host: &console::Termios) -> Self {
        let console::Termios { iflag, oflag, cflag, lflag, line, cc } = *host;
        Self { iflag, oflag, cflag, lflag, line, cc, ispeed: 0, ospeed: 0 }.normalized()
    }

    /// New settings of a pty: what it cannot have is put right, as Linux does, and the speeds follow from the flags.
    pub fn normalized(mut self) -> Self {
        self.cflag = self.cflag & !(raw::CSIZE | raw::PARENB) | raw::CS8 | raw::CREAD;
        self.ospeed = speed(self.cflag & raw::CBAUD, self.ospeed);
        let input = self.cflag >> raw::IBSHIFT & raw::CBAUD;
        self.ispeed = if input == 0 { self.ospeed } else { speed(input, self.ispeed) };
        self
    }

    /// Whether any of these bits of `c_iflag` is set.
    pub fn input(&self, bits: u32) -> bool {
        self.iflag & bits != 0
    }

    /// Whether any of these bits of `c_oflag` is set.
    pub fn output(&self, bits: u32) -> bool {
        self.oflag & bits != 0
    }

    /// Whether any of these bits of `c_lflag` is set.
    pub fn local(&self, bits: u32) -> bool {
        self.lflag & bits != 0
    }

    /// The special character with number `which`: `VINTR` and so on; 0 stands for none.
    pub fn character(&self, which: u32) -> u8 {
        self.cc.get(which as usize).copied().unwrap_or(0)
    }

    /// Whether lines are edited here, rather than by a program at the other side (`EXTPROC`).
    pub fn is_canonical(&self) -> bool {
        self.local(raw::ICANON) && !self.local(raw::EXTPROC)
    }

    /// As a `struct termios2`.
    pub fn to_bytes(self) -> [u8; TERMIOS2_SIZE] {
        let mut bytes = [0; TERMIOS2_SIZE];
        let words = [self.iflag, self.oflag, self.cflag, self.lflag];
        let speeds = [self.ispeed, self.ospeed].into_iter().flat_map(u32::to_ne_bytes);
        let fields = words.into_iter().flat_map(u32::to_ne_bytes);
        let all = fields.chain([self.line]).chain(self.cc).chain(speeds);
        bytes.iter_mut().zip(all).for_each(|(to, from)| *to = from);
        bytes
    }

    /// With the fields of a `struct termios2`, or of a `struct termios` if there are no more bytes.
    pub fn with_bytes(mut self, bytes: &[u8]) -> Self {
        let words: Vec<u32> = bytes
            .chunks_exact(4)
            .filter_map(|word| Some(u32::from_ne_bytes(word.try_into().ok()?)))
            .collect();
        let fields = [&mut self.iflag, &mut self.oflag, &mut self.cflag, &mut self.lflag];
        fields.into_iter().zip(&words).for_each(|(field, word)| *field = *word);
        self.line = bytes.get(16).copied().unwrap_or(self.line);
        self.cc.iter_mut().zip(bytes.iter().skip(17)).for_each(|(to, from)| *to = *from);
        let speeds = [&mut self.ispeed, &mut self.ospeed];
        speeds.into_iter().zip(words.iter().skip(9)).for_each(|(field, word)| *field = *word);
        self
    }

    /// As a `struct termio`.
    pub fn to_old_bytes(self) -> [u8; TERMIO_SIZE] {
        let mut bytes = [0; TERMIO_SIZE];
        let halves = [self.iflag, self.oflag, self.cflag, self.lflag].map(|word| word as u16);
        let all = halves.into_iter().flat_map(u16::to_ne_bytes).chain([self.line]);
        let all = all.chain(self.cc.into_iter().take(8));
        bytes.iter_mut().zip(all).for_each(|(to, from)| *to = from);
        bytes
    }

    /// With the fields of a `struct termio`.
    pub fn with_old_bytes(mut self, bytes: &[u8; TERMIO_SIZE]) -> Self {
        let fields = [&mut self.iflag, &mut self.oflag, &mut self.cflag, &mut self.lflag];
        for (field, half) in fields.into_iter().zip(bytes.as_chunks::<2>().0) {
            *field = *field & 0xffff_0000 | u32::from(u16::from_ne_bytes(*half));
        }
        self.line = bytes[8];
        self.cc.iter_mut().zip(bytes.iter().skip(9).take(8)).for_each(|(to, from)| *to = *from);
        self
    }
}

/// A terminal's size as a `struct winsize`.
pub fn window_bytes(size: WindowSize) -> [u8; 8] {
    let fields = [size.rows, size.columns, size.x_pixels, size.y_pixels];
    let [[a, b], [c, d], [e, f], [g, h]] = fields.map(u16::to_ne_bytes);
    [a, b, c, d, e, f, g, h]
}

/// The size that a `struct winsize` says.
pub fn window_from([a, b, c, d, e, f, g, h]: [u8; 8]) -> WindowSize {
    let [rows, columns, x_pixels, y_pixels] =
        [[a, b], [c, d], [e, f], [g, h]].map(u16::from_ne_bytes);
    WindowSize { rows, columns, x_pixels, y_pixels }
}

/// What `TCXONC` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Suspend output.
    OutputOff,
    /// Go on with output.
    OutputOn,
    /// Send the character that has the other side suspend.
    InputOff,
    /// Send the character that has the other side go on.
    InputOn,
}

impl Flow {
    /// The argument of `TCXONC`; `EINVAL`.
    pub fn from_raw(raw: u64) -> SysResult<Self> {
        Ok(match u32::try_from(raw) {
            Ok(raw::TCOOFF) => Self::OutputOff,
            Ok(raw::TCOON) => Self::OutputOn,
            Ok(raw::TCIOFF) => Self::InputOff,
            Ok(raw::TCION) => Self::InputOn,
            _ => return Err(Errno::EINVAL),
        })
    }
}

/// What `TCFLSH` throws away: what was not read, what was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// What was not read.
    pub input: bool,
    /// What was not written.
    pub output: bool,
}

impl Flush {
    /// The argument of `TCFLSH`; `EINVAL`.
    pub fn from_raw(raw: u64) -> SysResult<Self> {
        Ok(match u32::try_from(raw) {
            Ok(raw::TCIFLUSH) => Self { input: true, output: false },
            Ok(raw::TCOFLUSH) => Self { input: false, output: true },
            Ok(raw::TCIOFLUSH) => Self { input: true, output: true },
            _ => return Err(Errno::EINVAL),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_the_trip_to_a_guest_in_each_shape() {
        let mut one =
            Termios { lflag: 0x8000_0002, line: 5, ispeed: 7, ospeed: 9, ..Termios::default() };
        one.cc = std::array::from_fn(|at| at as u8 + 1);
        let blank = Termios {
            iflag: 0,
            oflag: 0,
            cflag: 0,
            lflag: 0,
            line: 0,
            cc: [0; 19],
            ispeed: 0,
            ospeed: 0,
        };
        assert_eq!(blank.with_bytes(&one.to_bytes()), one);
        let old = blank.with_bytes(&one.to_bytes()[..TERMIOS_SIZE]);
        assert_eq!(old, Termios { ispeed: 0, ospeed: 0, ..one });
        let high = Termios { lflag: 0x1234_0000, cc: [9; 19], ..blank };
        let older = high.with_old_bytes(&one.to_old_bytes());
        assert_eq!((older.lflag, older.cc[7], older.cc[8], older.line), (0x1234_0002, 8, 9, 5));
        let size = WindowSize { rows: 24, columns: 80, x_pixels: 1, y_pixels: 0x0203 };
        assert_eq!(window_from(window_bytes(size)), size);
    }

    #[test]
    fn speeds_follow_from_the_flags() {
        let with = |cflag| Termios { cflag, ..Termios::default() }.normalized();
        assert_eq!(with(raw::B9600).ospeed, 9600);
        assert_eq!((with(raw::B115200).ospeed, with(raw::B115200).ispeed), (115200, 115200));
        assert_eq!(with(raw::B115200 | raw::B9600 << raw::IBSHIFT).ispeed, 9600);
        let other = Termios { cflag: raw::BOTHER, ospeed: 12345, ..Termios::default() };
        assert_eq!((other.normalized().ospeed, other.normalized().ispeed), (12345, 12345));
        assert_eq!(with(raw::CS5 | raw::PARENB).cflag, raw::CS8 | raw::CREAD);
    }
}
