//! What a process wants done about each signal: `struct sigaction` and the table of 64.
//!
//! The one idea: the table is an object of its own, because threads share it (CLONE_SIGHAND), a fork copies it and an
//! exec resets it. See sigaction(2).

use parking_lot::Mutex;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::number::{DefaultAction, SigSet, Signal};

/// The flags of [`SigAction::flags`].
#[allow(missing_docs, reason = "the names are those of sigaction(2)")]
pub mod flags {
    pub const SA_NOCLDSTOP: u64 = 1;
    pub const SA_NOCLDWAIT: u64 = 2;
    pub const SA_SIGINFO: u64 = 4;
    pub const SA_UNSUPPORTED: u64 = 0x400;
    pub const SA_EXPOSE_TAGBITS: u64 = 0x800;
    pub const SA_RESTORER: u64 = 0x0400_0000;
    pub const SA_ONSTACK: u64 = 0x0800_0000;
    pub const SA_RESTART: u64 = 0x1000_0000;
    pub const SA_NODEFER: u64 = 0x4000_0000;
    pub const SA_RESETHAND: u64 = 0x8000_0000;

    /// What Linux keeps of the flags that it is given: the rest reads back as 0.
    pub const KNOWN: u64 = SA_NOCLDSTOP
        | SA_NOCLDWAIT
        | SA_SIGINFO
        | SA_EXPOSE_TAGBITS
        | SA_RESTORER
        | SA_ONSTACK
        | SA_RESTART
        | SA_NODEFER
        | SA_RESETHAND;
}

/// `SIG_DFL`.
pub const SIG_DFL: u64 = 0;
/// `SIG_IGN`.
pub const SIG_IGN: u64 = 1;

/// `struct sigaction` as the system call has it on x86-64.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SigAction {
    /// The handler's address, [`SIG_DFL`] or [`SIG_IGN`].
    pub handler: u64,
    /// See [`flags`].
    pub flags: u64,
    /// Where the handler returns to: code that calls rt_sigreturn(2).
    pub restorer: u64,
    /// What else is blocked while the handler runs.
    pub mask: SigSet,
}

impl SigAction {
    /// Whether flag bit `flag` is set.
    pub const fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }

    /// Whether a signal that would be handled this way needs not be sent at all.
    pub fn ignores(&self, signal: Signal) -> bool {
        match self.handler {
            SIG_IGN => true,
            SIG_DFL => signal.default_action() == DefaultAction::Ignore,
            _ => false,
        }
    }
}

/// The actions for all signals; shared between threads, and by processes with CLONE_SIGHAND.
#[derive(Debug)]
pub struct SignalActions(Mutex<[SigAction; Signal::COUNT]>);

impl Default for SignalActions {
    fn default() -> Self {
        Self::new()
    }
}

impl SignalActions {
    /// All at their defaults.
    pub fn new() -> Self {
        Self(Mutex::new([SigAction::default(); Signal::COUNT]))
    }

    /// The action for `signal`.
    pub fn get(&self, signal: Signal) -> SigAction {
        self.0.lock()[signal.index()]
    }

    /// Replaces the action for `signal` and returns the one before. The caller checked that it is neither SIGKILL nor SIGSTOP.
    pub fn set(&self, signal: Signal, mut action: SigAction) -> SigAction {
        action.flags &= flags::KNOWN;
        action.mask = action.mask.difference(SigSet::UNBLOCKABLE);
        std::mem::replace(&mut self.0.lock()[signal.index()], action)
    }

    /// Takes the action for a delivery: `SA_RESETHAND` puts the default back.
    pub(super) fn take_for_delivery(&self, signal: Signal) -> SigAction {
        let mut actions = self.0.lock();
        let slot = &mut actions[signal.index()];
        let action = *slot;
        if action.has(flags::SA_RESETHAND) && action.handler > SIG_IGN {
            slot.handler = SIG_DFL;
        }
        action
    }

    /// Puts the default back for one signal (a fault that is blocked or ignored).
    pub(super) fn reset(&self, signal: Signal) {
        self.0.lock()[signal.index()] = SigAction::default();
    }

    /// A copy of its own, for fork(2).
    pub fn duplicate(&self) -> Self {
        Self(Mutex::new(*self.0.lock()))
    }

    /// A copy for execve(2): what had a handler is back at its default, what was ignored stays so.
    pub fn for_exec(&self) -> Self {
        let actions = *self.0.lock();
        Self(Mutex::new(actions.map(|action| match action.handler {
            SIG_IGN => SigAction { handler: SIG_IGN, ..SigAction::default() },
            _ => SigAction::default(),
        })))
    }

    /// The signals that are ignored by choice, and those with a handler, as /proc/PID/status shows them.
    pub fn summary(&self) -> (SigSet, SigSet) {
        let (mut ignored, mut caught) = (SigSet::EMPTY, SigSet::EMPTY);
        let actions = self.0.lock();
        for signal in SigSet::FULL.iter() {
            match actions[signal.index()].handler {
                SIG_DFL => {}
                SIG_IGN => ignored.insert(signal),
                _ => caught.insert(signal),
            }
        }
        (ignored, caught)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exec_keeps_ignored_signals_and_drops_handlers() {
        let actions = SignalActions::new();
        actions.set(Signal::SIGINT, SigAction { handler: SIG_IGN, ..Default::default() });
        actions.set(Signal::SIGHUP, SigAction { handler: 0x1000, ..Default::default() });
        let (ignored, caught) = actions.for_exec().summary();
        assert_eq!((ignored, caught), (SigSet::of(&[Signal::SIGINT]), SigSet::EMPTY));
        assert_eq!(actions.summary().1, SigSet::of(&[Signal::SIGHUP]));
    }

    #[test]
    fn a_mask_never_holds_kill_or_stop_and_unknown_flags_read_back_as_zero() {
        let actions = SignalActions::new();
        let wild = SigAction { handler: 0x1000, flags: !0, restorer: 0, mask: SigSet::FULL };
        actions.set(Signal::SIGHUP, wild);
        let kept = actions.get(Signal::SIGHUP);
        assert!(!kept.mask.contains(Signal::SIGKILL) && !kept.mask.contains(Signal::SIGSTOP));
        assert_eq!(kept.flags & flags::SA_UNSUPPORTED, 0);
    }

    #[test]
    fn a_one_shot_handler_is_gone_after_its_delivery() {
        let actions = SignalActions::new();
        let once = SigAction { handler: 0x1000, flags: flags::SA_RESETHAND, ..Default::default() };
        actions.set(Signal::SIGHUP, once);
        assert_eq!(actions.take_for_delivery(Signal::SIGHUP).handler, 0x1000);
        assert_eq!(actions.get(Signal::SIGHUP).handler, SIG_DFL);
    }
}
