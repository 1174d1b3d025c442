//! Which processes a terminal controls: credentials(7), setsid(2), tcsetpgrp(3), ioctl_tty(2).
//!
//! The one idea: a terminal has a session and one of its groups, which is in the foreground; each process remembers its controlling terminal
//! itself, as it may have given it up while the rest of its session has it. What a background process does to the
//! terminal is answered by a signal to its whole group, and made again when the group goes on.

use std::sync::Arc;

use linux_raw_sys::general as raw;

use super::{terminal::Terminal, termios::Termios};
use crate::{
    errno::{Errno, SysResult},
    process::{Process, Thread},
    signal::{SigInfo, Signal},
};

/// What a process has of its controlling terminal.
#[derive(Default)]
pub struct Controlling {
    /// The terminal.
    pub terminal: Option<Arc<Terminal>>,
    /// The group that was in the foreground when the leader of the session lost its terminal: it is told when the leader ends.
    lost_foreground: Option<i32>,
}

impl Process {
    /// Its controlling terminal.
    pub fn terminal(&self) -> Option<Arc<Terminal>> {
        self.controlling.lock().terminal.clone()
    }

    /// Whether `terminal` is its controlling terminal.
    pub fn is_controlled_by(&self, terminal: &Arc<Terminal>) -> bool {
        self.controlling.lock().terminal.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, terminal))
    }

    /// It begins with the controlling terminal of its maker.
    pub(crate) fn inherit_terminal(&self, maker: &Self) {
        let inherited = maker.terminal();
        self.controlling.lock().terminal = inherited;
    }

    /// A first process begins with `terminal`, in the foreground.
    pub(crate) fn begin_with_terminal(&self, terminal: Arc<Terminal>) {
        terminal.control(self);
    }

    /// It has none any more, and what it knew of one is forgotten: setsid(2).
    pub(crate) fn forget_terminal(&self) {
        *self.controlling.lock() = Controlling::default();
    }

    /// `TIOCNOTTY`: gives up the controlling terminal, for the whole session if the caller leads it.
    pub fn give_up_terminal(&self) {
        if self.leads_session() {
            self.disassociate(false);
        }
        self.controlling.lock().terminal = None;
    }

    /// What the end of a session's leader is to its terminal and its session.
    pub(crate) fn end_with_terminal(&self) {
        if self.leads_session() {
            self.disassociate(true);
        }
        self.controlling.lock().terminal = None;
    }

    fn disassociate(&self, ends: bool) {
        let pids = &self.kernel.pids;
        let (terminal, lost) = {
            let mut controlling = self.controlling.lock();
            (controlling.terminal.clone(), controlling.lost_foreground.take())
        };
        match &terminal {
            Some(terminal) if ends => {
                if let Some(group) = terminal.foreground() {
                    pids.signal_group(group, Signal::SIGHUP);
                }
            }
            Some(terminal) => {
                let user = self.ids.lock().users[0];
                for member in terminal.foreground().map_or_else(Vec::new, |group| pids.group(group))
                {
                    for signal in [Signal::SIGHUP, Signal::SIGCONT] {
                        // A standard signal needs no room in the queue.
                        let info =
                            SigInfo::kill(signal, self.pid.unsigned_abs(), user).seen_by(&member);
                        let _ = member.send_signal(signal, info);
                    }
                }
            }
            None => {
                if let Some(group) = lost.filter(|_| ends) {
                    pids.signal_group(group, Signal::SIGHUP);
                    pids.signal_group(group, Signal::SIGCONT);
                }
            }
        }
        if let Some(terminal) = terminal {
            terminal.change(|state| (state.session, state.foreground) = (None, None));
            release_session(self, &terminal);
        }
    }
}

/// All members of the session of `process` have no controlling terminal any more.
fn release_session(process: &Process, terminal: &Arc<Terminal>) {
    for member in process.kernel.pids.session(process.sid()) {
        if member.is_controlled_by(terminal) {
            member.controlling.lock().terminal = None;
        }
    }
}

impl Terminal {
    /// Becomes the controlling terminal of the session that `leader` leads, with its group in the foreground.
    fn control(self: &Arc<Self>, leader: &Process) {
        let (session, group) = (leader.sid(), leader.pgid());
        self.change(|state| (state.session, state.foreground) = (Some(session), Some(group)));
        leader.controlling.lock().terminal = Some(Arc::clone(self));
    }

    /// What opening it without `O_NOCTTY` does: it controls the session of a leader that has no terminal yet, if it controls none.
    pub fn opened_by(self: &Arc<Self>, process: &Process, readable: bool) {
        let free = self.session().is_none() && process.terminal().is_none();
        if process.leads_session() && free && readable {
            self.control(process);
        }
    }

    /// `TIOCSCTTY`: controls the session that `process` leads. With `steal` it is taken from another one; who may not read it (`readable`) has
    /// no use for it. `EPERM`.
    pub fn set_controlling(
        self: &Arc<Self>,
        process: &Process,
        steal: bool,
        readable: bool,
    ) -> SysResult<()> {
        let session = self.session();
        if process.leads_session() && session == Some(process.sid()) {
            return Ok(());
        }
        if !process.leads_session() || process.terminal().is_some() {
            return Err(Errno::EPERM);
        }
        if session.is_some() && !steal || !readable {
            return Err(Errno::EPERM);
        }
        if let Some(session) = session {
            for member in process.kernel.pids.session(session) {
                if member.is_controlled_by(self) {
                    member.controlling.lock().terminal = None;
                }
            }
        }
        self.control(process);
        Ok(())
    }

    /// tcsetpgrp(3): puts `group` in the foreground. `ENOTTY` unless it is the caller's controlling terminal, `ESRCH`, `EPERM` for a group of
    /// another session.
    pub fn set_foreground(self: &Arc<Self>, process: &Process, group: i32) -> SysResult<()> {
        if !process.is_controlled_by(self) || self.session() != Some(process.sid()) {
            return Err(Errno::ENOTTY);
        }
        let session = process.kernel.pids.session_of_group(group).ok_or(Errno::ESRCH)?;
        if session != process.sid() {
            return Err(Errno::EPERM);
        }
        self.change(|state| state.foreground = Some(group));
        Ok(())
    }

    /// Hangs up, as when the line is cut: whoever has it open has nothing any more, and the leader of the session that it controlled is told.
    pub fn hang_up(self: &Arc<Self>) {
        let (session, foreground) = self.change(|state| {
            state.hangups += 1;
            state.flush_pending();
            state.line.flush_input();
            if state.host.is_none() {
                state.line.set_termios(Termios::default());
            }
            state.line.take_packet_status();
            (state.session.take(), state.foreground.take())
        });
        let (Some(session), Some(kernel)) = (session, self.kernel()) else { return };
        for member in kernel.pids.session(session) {
            if member.is_controlled_by(self) {
                member.controlling.lock().terminal = None;
            }
            if member.leads_session() {
                member.controlling.lock().lost_foreground = foreground;
                for signal in [Signal::SIGHUP, Signal::SIGCONT] {
                    // A standard signal needs no room in the queue.
                    let _ = member.send_signal(signal, SigInfo::kernel(signal));
                }
            }
        }
    }
}

/// Whether the caller may do to its controlling terminal what is for the foreground: `signal` is SIGTTIN for reading and SIGTTOU for the rest.
///
/// A background group gets the signal and the call is to be made again (`ERESTARTSYS`). `EIO` when that would never be: when nobody could let
/// the group go on, or when a reader ignores the signal; a writer who does so may go on.
pub(crate) fn check(thread: &Thread, terminal: &Arc<Terminal>, signal: Signal) -> SysResult<()> {
    let process = &thread.process;
    if !process.is_controlled_by(terminal) {
        return Ok(());
    }
    let group = process.pgid();
    if terminal.foreground().is_none_or(|foreground| foreground == group) {
        return Ok(());
    }
    let blocked = thread.signals.mask().contains(signal);
    let ignored = process.signals.with(|actions| actions.get(signal).handler)
        == crate::signal::action::SIG_IGN;
    if blocked || ignored {
        return if signal == Signal::SIGTTIN { Err(Errno::EIO) } else { Ok(()) };
    }
    let pids = &process.kernel.pids;
    if pids.group_is_orphaned(group) {
        return Err(Errno::EIO);
    }
    pids.signal_group(group, signal);
    Err(Errno::ERESTARTSYS)
}

/// Whether the caller may write: always, unless the settings say that the background may not (`TOSTOP`).
pub(crate) fn check_write(thread: &Thread, terminal: &Arc<Terminal>) -> SysResult<()> {
    if terminal.look(|state| state.line.termios().local(raw::TOSTOP)) {
        check(thread, terminal, Signal::SIGTTOU)
    } else {
        Ok(())
    }
}
