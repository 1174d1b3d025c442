//! Terminals: pseudo-terminals, and the terminal of the host at which the user sits.
//!
//! Read in this order: [`termios`] (the settings), [`discipline`] (what stands between keys and lines, a pure state machine), [`terminal`] (a line
//! discipline with somebody at each side), its sides [`slave`], [`master`] and `host`, then [`job_control`] (whom it controls) and [`table`] (which there
//! are). What a call has to know of its caller is asked in `syscall::terminal`. See tty(4), pty(7), termios(3), ioctl_tty(2).

pub mod devpts;
pub mod discipline;
mod host;
pub mod job_control;
pub mod master;
pub mod node;
pub mod slave;
pub mod table;
pub mod terminal;
pub mod termios;
#[cfg(test)]
mod tests;
mod transfer;

pub use self::{
    devpts::DevPts,
    job_control::Controlling,
    master::Master,
    node::Node,
    slave::Slave,
    table::{PtyOptions, Terminals},
    terminal::Terminal,
};
