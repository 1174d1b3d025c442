//! What kind of character a byte is to the line discipline.
//!
//! The one idea: it is what the table of Linux's `lib/ctype.c` says, which is Latin-1, whatever the user's language.

use linux_raw_sys::general as raw;

use crate::tty::termios::Termios;

/// Whether it moves no cursor of its own.
pub(super) fn is_control(byte: u8) -> bool {
    byte.is_ascii_control()
}

fn is_upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || (0xc0..=0xde).contains(&byte) && byte != 0xd7
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte >= 0xdf && byte != 0xf7
}

/// Whether it is of a word.
pub(super) fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_digit() || is_upper(byte) || is_lower(byte)
}

/// How far capitals are from the other letters.
const CASE: u8 = b'a' - b'A';

pub(super) fn to_lower(byte: u8) -> u8 {
    if is_upper(byte) { byte.wrapping_add(CASE) } else { byte }
}

pub(super) fn to_upper(byte: u8) -> u8 {
    if is_lower(byte) { byte.wrapping_sub(CASE) } else { byte }
}

/// Whether it is a byte of a character of several that is not the first (`IUTF8`).
pub(super) fn continues(byte: u8, termios: &Termios) -> bool {
    termios.input(raw::IUTF8) && byte & 0xc0 == 0x80
}
