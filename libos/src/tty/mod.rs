//! Terminals: pseudo-terminals, and the terminal of the host at which the user sits.
//!
//! Read in this order: [`termios`] (the settings), [`discipline`] (what stands between keys and lines, a pure state machine). See tty(4), pty(7),
//! termios(3), ioctl_tty(2).

pub mod discipline;
pub mod termios;
