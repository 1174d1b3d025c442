//! What the processes of a job may do, and how long their timers may be put off.
//!
//! A policy says for each condition what happens when a process meets it, and whether jobs further
//! down may say something else. A job starts with its parent's policy and can be given another as
//! long as it is empty, so that a policy never changes for something that exists.

use crate::{
    error::{Error, Result},
    object::ObjectType,
};

/// Something that a process tries to do: `ZX_POL_*` (`zircon/syscalls/policy.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum PolicyCondition {
    /// Use an invalid handle.
    BadHandle = 0,
    /// Use a handle to an object of the wrong type.
    WrongObject = 1,
    /// Map memory writable and executable.
    VmarWx = 2,
    /// Stands for each of the conditions that create something, when setting a policy.
    NewAny = 3,
    /// Create a VMO.
    NewVmo = 4,
    /// Create a channel.
    NewChannel = 5,
    /// Create an event.
    NewEvent = 6,
    /// Create an event pair.
    NewEventPair = 7,
    /// Create a port.
    NewPort = 8,
    /// Create a socket.
    NewSocket = 9,
    /// Create a FIFO.
    NewFifo = 10,
    /// Create a timer.
    NewTimer = 11,
    /// Create a process.
    NewProcess = 12,
    /// Create a profile.
    NewProfile = 13,
    /// Create a pager.
    NewPager = 14,
    /// Make a VMO executable without a resource that allows it.
    AmbientMarkVmoExec = 15,
}

impl PolicyCondition {
    pub(super) const ALL: [PolicyCondition; 16] = [
        Self::BadHandle,
        Self::WrongObject,
        Self::VmarWx,
        Self::NewAny,
        Self::NewVmo,
        Self::NewChannel,
        Self::NewEvent,
        Self::NewEventPair,
        Self::NewPort,
        Self::NewSocket,
        Self::NewFifo,
        Self::NewTimer,
        Self::NewProcess,
        Self::NewProfile,
        Self::NewPager,
        Self::AmbientMarkVmoExec,
    ];

    /// The condition with this number.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`].
    pub fn from_raw(raw: u32) -> Result<Self> {
        Self::ALL.get(raw as usize).copied().ok_or(Error::OutOfRange)
    }

    /// The conditions that this one stands for.
    fn expand(self) -> &'static [PolicyCondition] {
        const FIRST_NEW: usize = PolicyCondition::NewVmo as usize;
        const LAST_NEW: usize = PolicyCondition::NewPager as usize;
        static ALL: [PolicyCondition; 16] = PolicyCondition::ALL;
        match self {
            Self::NewAny => &ALL[FIRST_NEW..=LAST_NEW],
            one => &ALL[one as usize..=one as usize],
        }
    }

    /// What a process meets when it creates an object of this type; `None` for those that are made from another object, whose
    /// handle is what allows it.
    pub const fn of_new(object: ObjectType) -> Option<Self> {
        Some(match object {
            ObjectType::Vmo => Self::NewVmo,
            ObjectType::Channel => Self::NewChannel,
            ObjectType::Event => Self::NewEvent,
            ObjectType::EventPair => Self::NewEventPair,
            ObjectType::Port => Self::NewPort,
            ObjectType::Socket => Self::NewSocket,
            ObjectType::Fifo => Self::NewFifo,
            ObjectType::Timer => Self::NewTimer,
            ObjectType::Process => Self::NewProcess,
            ObjectType::Profile => Self::NewProfile,
            ObjectType::Pager => Self::NewPager,
            _ => return None,
        })
    }

    /// What the call fails with if it may not go on.
    pub(super) const fn denial(self) -> Error {
        match self {
            Self::BadHandle => Error::BadHandle,
            Self::WrongObject => Error::WrongType,
            _ => Error::AccessDenied,
        }
    }
}

/// What happens when a process meets a condition: `ZX_POL_ACTION_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum PolicyAction {
    /// It may go on.
    #[default]
    Allow = 0,
    /// The call fails, mostly with [`Error::AccessDenied`].
    Deny = 1,
    /// An exception is raised in the thread; then it may go on.
    AllowException = 2,
    /// An exception is raised in the thread; then the call fails.
    DenyException = 3,
    /// The process is killed.
    Kill = 4,
}

impl PolicyAction {
    /// The action with this number.
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`].
    pub fn from_raw(raw: u32) -> Result<Self> {
        use PolicyAction::*;
        let all = [Allow, Deny, AllowException, DenyException, Kill];
        all.get(raw as usize).copied().ok_or(Error::NotSupported)
    }
}

/// Whether jobs further down may say something else: `ZX_POL_OVERRIDE_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum PolicyOverride {
    /// They may.
    #[default]
    Allow = 0,
    /// They may not.
    Deny = 1,
}

impl PolicyOverride {
    /// The flag with this number.
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`].
    pub fn from_raw(raw: u32) -> Result<Self> {
        match raw {
            0 => Ok(Self::Allow),
            1 => Ok(Self::Deny),
            _ => Err(Error::NotSupported),
        }
    }
}

/// One line of a policy: `zx_policy_basic_v2_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasicPolicy {
    /// When a process does this ...
    pub condition: PolicyCondition,
    /// ... that happens.
    pub action: PolicyAction,
    /// Whether a child job can change it.
    pub overridable: PolicyOverride,
}

/// What to do about a condition that may not be changed: `ZX_JOB_POL_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyMode {
    /// Leave it, and change the others.
    Relative,
    /// Fail.
    Absolute,
}

/// In which direction a deadline may be moved: `ZX_TIMER_SLACK_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum SlackMode {
    /// Either.
    #[default]
    Center = 0,
    /// Earlier.
    Early = 1,
    /// Later.
    Late = 2,
}

impl SlackMode {
    /// The mode with this number.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`].
    pub fn from_raw(raw: u32) -> Result<Self> {
        match raw {
            0 => Ok(Self::Center),
            1 => Ok(Self::Early),
            2 => Ok(Self::Late),
            _ => Err(Error::InvalidArgs),
        }
    }
}

/// How far a deadline may be moved so that timers fire together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimerSlack {
    /// In nanoseconds.
    pub amount: u64,
    /// The direction.
    pub mode: SlackMode,
}

/// What the processes of a job may do.
///
/// ```
/// use kernel_objects::task::*;
///
/// let mut policy = JobPolicy::default();
/// let line = |condition, action| BasicPolicy { condition, action, overridable: PolicyOverride::Deny };
/// // Nothing may be created but channels.
/// policy.set(PolicyMode::Absolute, &[
///     line(PolicyCondition::NewAny, PolicyAction::Deny),
///     line(PolicyCondition::NewChannel, PolicyAction::Allow),
/// ]).unwrap();
/// assert_eq!(policy.action(PolicyCondition::NewVmo), PolicyAction::Deny);
/// assert_eq!(policy.action(PolicyCondition::NewChannel), PolicyAction::Allow);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobPolicy {
    lines: [(PolicyAction, PolicyOverride); PolicyCondition::ALL.len()],
    slack: TimerSlack,
}

impl JobPolicy {
    /// What happens when a process meets `condition`.
    pub fn action(&self, condition: PolicyCondition) -> PolicyAction {
        self.lines[condition as usize].0
    }

    /// Whether jobs further down may say something else about `condition`.
    pub fn overridable(&self, condition: PolicyCondition) -> PolicyOverride {
        self.lines[condition as usize].1
    }

    /// How far deadlines may be moved.
    pub fn timer_slack(&self) -> TimerSlack {
        self.slack
    }

    /// Adds lines, all or none. One about [`PolicyCondition::NewAny`] is refined by others about one of
    /// the conditions that it stands for.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] for no line, [`Error::OutOfRange`] for more lines than conditions,
    /// [`Error::AlreadyExists`] in absolute mode if a line may not be changed and says otherwise.
    pub fn set(&mut self, mode: PolicyMode, lines: &[BasicPolicy]) -> Result {
        if lines.is_empty() {
            return Err(Error::InvalidArgs);
        }
        if lines.len() > PolicyCondition::ALL.len() {
            return Err(Error::OutOfRange);
        }
        let mut new = *self;
        let any = |line: &&BasicPolicy| line.condition == PolicyCondition::NewAny;
        // What stands for many first, so that a line about one refines it wherever it is.
        let ordered = lines.iter().filter(any).chain(lines.iter().filter(|line| !any(line)));
        for line in ordered {
            let wanted = (line.action, line.overridable);
            for &condition in line.condition.expand() {
                let existing = self.lines[condition as usize];
                if existing.1 == PolicyOverride::Allow {
                    new.lines[condition as usize] = wanted;
                } else if mode == PolicyMode::Absolute && existing != wanted {
                    return Err(Error::AlreadyExists);
                }
            }
        }
        *self = new;
        Ok(())
    }

    /// Lets deadlines be moved by at least this much, and at least by as much as before.
    pub fn set_timer_slack(&mut self, slack: TimerSlack) {
        let amount = slack.amount.max(self.slack.amount);
        self.slack = TimerSlack { amount, mode: slack.mode };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(
        condition: PolicyCondition,
        action: PolicyAction,
        overridable: PolicyOverride,
    ) -> BasicPolicy {
        BasicPolicy { condition, action, overridable }
    }

    #[test]
    fn a_new_policy_allows_everything() {
        let policy = JobPolicy::default();
        for condition in PolicyCondition::ALL {
            assert_eq!(policy.action(condition), PolicyAction::Allow);
            assert_eq!(policy.overridable(condition), PolicyOverride::Allow);
        }
    }

    #[test]
    fn numbers_are_zircons_and_others_are_refused() {
        assert_eq!(PolicyCondition::from_raw(12), Ok(PolicyCondition::NewProcess));
        assert_eq!(PolicyCondition::from_raw(15), Ok(PolicyCondition::AmbientMarkVmoExec));
        assert_eq!(PolicyCondition::from_raw(16), Err(Error::OutOfRange));
        use PolicyAction::*;
        let actions = [Allow, Deny, AllowException, DenyException, Kill];
        assert_eq!([0, 1, 2, 3, 4].map(PolicyAction::from_raw), actions.map(Ok));
        assert_eq!(PolicyAction::from_raw(5), Err(Error::NotSupported));
        assert_eq!(PolicyOverride::from_raw(0), Ok(PolicyOverride::Allow));
        assert_eq!(PolicyOverride::from_raw(1), Ok(PolicyOverride::Deny));
        assert_eq!(PolicyOverride::from_raw(2), Err(Error::NotSupported));
        assert_eq!(SlackMode::from_raw(0), Ok(SlackMode::Center));
        assert_eq!(SlackMode::from_raw(1), Ok(SlackMode::Early));
        assert_eq!(SlackMode::from_raw(2), Ok(SlackMode::Late));
        assert_eq!(SlackMode::from_raw(3), Err(Error::InvalidArgs));
        for (raw, condition) in PolicyCondition::ALL.into_iter().enumerate() {
            assert_eq!(condition as usize, raw);
        }
    }

    #[test]
    fn new_any_stands_for_all_that_create_and_is_refined_in_any_order() {
        let any = line(PolicyCondition::NewAny, PolicyAction::Deny, PolicyOverride::Deny);
        let port = line(PolicyCondition::NewPort, PolicyAction::Allow, PolicyOverride::Allow);
        for lines in [[any, port], [port, any]] {
            let mut policy = JobPolicy::default();
            assert_eq!(policy.set(PolicyMode::Absolute, &lines), Ok(()));
            assert_eq!(policy.action(PolicyCondition::NewPort), PolicyAction::Allow);
            assert_eq!(policy.action(PolicyCondition::NewVmo), PolicyAction::Deny);
            assert_eq!(policy.action(PolicyCondition::NewPager), PolicyAction::Deny);
            assert_eq!(policy.action(PolicyCondition::VmarWx), PolicyAction::Allow);
            assert_eq!(policy.action(PolicyCondition::AmbientMarkVmoExec), PolicyAction::Allow);
        }
    }

    #[test]
    fn what_may_not_be_overridden_is_kept_or_fails() {
        let mut policy = JobPolicy::default();
        let fixed = line(PolicyCondition::NewVmo, PolicyAction::Kill, PolicyOverride::Deny);
        assert_eq!(policy.set(PolicyMode::Relative, &[fixed]), Ok(()));
        let other = line(PolicyCondition::NewVmo, PolicyAction::Allow, PolicyOverride::Deny);
        let port = line(PolicyCondition::NewPort, PolicyAction::Deny, PolicyOverride::Deny);
        let before = policy;
        assert_eq!(policy.set(PolicyMode::Absolute, &[port, other]), Err(Error::AlreadyExists));
        assert_eq!(policy, before, "all or none");
        assert_eq!(policy.set(PolicyMode::Absolute, &[fixed]), Ok(()), "it says the same");
        assert_eq!(policy.set(PolicyMode::Relative, &[port, other]), Ok(()));
        assert_eq!(policy.action(PolicyCondition::NewVmo), PolicyAction::Kill);
        assert_eq!(policy.action(PolicyCondition::NewPort), PolicyAction::Deny);
    }

    #[test]
    fn no_line_and_too_many_are_refused() {
        let mut policy = JobPolicy::default();
        assert_eq!(policy.set(PolicyMode::Relative, &[]), Err(Error::InvalidArgs));
        let one = line(PolicyCondition::NewVmo, PolicyAction::Deny, PolicyOverride::Allow);
        assert_eq!(policy.set(PolicyMode::Relative, &[one; 17]), Err(Error::OutOfRange));
    }

    #[test]
    fn slack_only_grows_and_its_mode_is_free() {
        let mut policy = JobPolicy::default();
        policy.set_timer_slack(TimerSlack { amount: 50, mode: SlackMode::Late });
        policy.set_timer_slack(TimerSlack { amount: 20, mode: SlackMode::Early });
        assert_eq!(policy.timer_slack(), TimerSlack { amount: 50, mode: SlackMode::Early });
    }
}
