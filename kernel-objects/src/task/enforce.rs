//! What happens when a thread meets a condition of its job's policy.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use super::{
    exception::{ExceptionReport, PolicyCode},
    interrupt::work,
    policy::{PolicyAction, PolicyCondition},
    retcode,
    thread::Thread,
};
use crate::error::{Error, Result};

impl Thread {
    /// Does what the policy of its job says about `condition`, which a call of the thread's own body has met: the one function that whoever
    /// carries out system calls asks. An exception is raised when the call has ended, by
    /// [`raise_policy_exception`](Self::raise_policy_exception).
    ///
    /// # Errors
    ///
    /// If it is denied, or the process has been killed for it: [`Error::BadHandle`] for a bad handle, [`Error::WrongType`] for an object
    /// of the wrong type, and otherwise [`Error::AccessDenied`].
    pub fn enforce_policy(&self, condition: PolicyCondition) -> Result {
        let denied = Err(condition.denial());
        match self.process().policy().action(condition) {
            PolicyAction::Allow => Ok(()),
            PolicyAction::Deny => denied,
            PolicyAction::AllowException => {
                self.defer_policy_exception(PolicyCode::Condition(condition), 0);
                Ok(())
            }
            PolicyAction::DenyException => {
                self.defer_policy_exception(PolicyCode::Condition(condition), 0);
                denied
            }
            PolicyAction::Kill => {
                self.process().kill_with(retcode::POLICY_KILL);
                denied
            }
        }
    }

    /// Does what the policy says if the result of a call is that a handle was bad or its object of the wrong type, and returns it.
    ///
    /// # Errors
    ///
    /// That of `result`.
    pub fn enforce_on_result<T>(&self, result: Result<T>) -> Result<T> {
        let condition = match result {
            Err(Error::BadHandle) => PolicyCondition::BadHandle,
            Err(Error::WrongType) => PolicyCondition::WrongObject,
            _ => return result,
        };
        // Whether it is allowed or not, it failed.
        let _ = self.enforce_policy(condition);
        result
    }

    /// Has an exception raised when the call that the thread's own body carries out has ended. Of several the last counts.
    pub fn defer_policy_exception(&self, code: PolicyCode, data: u32) {
        self.exceptions.defer(code, data);
        self.work.fetch_or(work::POLICY, SeqCst);
    }

    /// Raises the exception for which [`work::POLICY`] stands, as [`raise`](Self::raise) does.
    pub async fn raise_policy_exception(self: &Arc<Self>) {
        self.work.fetch_and(!work::POLICY, SeqCst);
        if let Some((code, data)) = self.exceptions.take_deferred() {
            self.raise(ExceptionReport::policy(code, data)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::{super::run::tests::poll, *};
    use crate::{
        handle::Handle,
        object::ObjectType,
        task::{
            BasicPolicy, ExceptionState, ExceptionType, HandlerKind, Job, PolicyMode,
            PolicyOverride, Process, create_exception_channel,
            exception::tests::{exception, next},
        },
    };

    use PolicyCondition::*;

    /// A thread in a job with these lines as its policy.
    fn under(lines: &[(PolicyCondition, PolicyAction)]) -> Arc<Thread> {
        let line = |&(condition, action)| BasicPolicy {
            condition,
            action,
            overridable: PolicyOverride::Deny,
        };
        let lines: Vec<_> = lines.iter().map(line).collect();
        let job = Job::root();
        let made = job
            .set_policy(PolicyMode::Absolute, &lines)
            .and_then(|()| Thread::create(&Process::create(&job, "")?, ""));
        made.unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn what_is_denied_fails_and_other_things_go_on() {
        let thread = under(&[(NewVmo, PolicyAction::Deny), (VmarWx, PolicyAction::Deny)]);
        assert_eq!(thread.enforce_policy(NewEvent), Ok(()));
        assert_eq!(thread.enforce_policy(NewVmo), Err(Error::AccessDenied));
        assert_eq!(thread.enforce_policy(VmarWx), Err(Error::AccessDenied));
        assert_eq!(thread.work(), 0);
        assert!(!thread.process().is_ending());
    }

    #[test]
    fn every_condition_is_enforced_by_its_own_line_only() {
        for condition in PolicyCondition::ALL {
            let thread = under(&[(condition, PolicyAction::Deny)]);
            for asked in PolicyCondition::ALL {
                let expected = match (condition, asked) {
                    (BadHandle, BadHandle) => Err(Error::BadHandle),
                    (WrongObject, WrongObject) => Err(Error::WrongType),
                    // It stands for the others and is met by nobody.
                    (_, NewAny) => Ok(()),
                    (NewAny, asked)
                        if asked as u32 > NewAny as u32 && asked != AmbientMarkVmoExec =>
                    {
                        Err(Error::AccessDenied)
                    }
                    (condition, asked) if condition == asked => Err(Error::AccessDenied),
                    _ => Ok(()),
                };
                assert_eq!(thread.enforce_policy(asked), expected, "{condition:?}: {asked:?}");
            }
        }
    }

    #[test]
    fn a_policy_can_kill_the_process() {
        let thread = under(&[(BadHandle, PolicyAction::Kill)]);
        assert_eq!(thread.enforce_policy(BadHandle), Err(Error::BadHandle));
        assert_eq!(thread.process().info().return_code, retcode::POLICY_KILL);
        assert!(thread.process().info().exited);
    }

    #[test]
    fn failed_lookups_are_what_conditions_of_handles_are_about() {
        let thread = under(&[
            (BadHandle, PolicyAction::AllowException),
            (WrongObject, PolicyAction::DenyException),
        ]);
        assert_eq!(thread.enforce_on_result(Ok(5)), Ok(5));
        assert_eq!(thread.enforce_on_result::<()>(Err(Error::NotFound)), Err(Error::NotFound));
        assert_eq!(thread.work(), 0);
        for error in [Error::BadHandle, Error::WrongType] {
            assert_eq!(thread.enforce_on_result::<()>(Err(error)), Err(error));
            assert_eq!(thread.work(), work::POLICY);
            thread.work.store(0, SeqCst);
        }
    }

    #[test]
    fn objects_made_of_others_have_no_condition() {
        assert_eq!(PolicyCondition::of_new(ObjectType::Channel), Some(NewChannel));
        assert_eq!(PolicyCondition::of_new(ObjectType::Pager), Some(NewPager));
        assert_eq!(PolicyCondition::of_new(ObjectType::Thread), None);
        assert_eq!(PolicyCondition::of_new(ObjectType::Job), None);
    }

    #[test]
    fn an_exception_is_raised_behind_the_call_that_met_the_condition() {
        for (action, result) in [
            (PolicyAction::AllowException, Ok(())),
            (PolicyAction::DenyException, Err(Error::AccessDenied)),
        ] {
            let thread = under(&[(NewPort, action)]);
            let handle = Handle::new(thread.process().clone());
            let handler = create_exception_channel(&handle, HandlerKind::Standard);
            let handler = handler.unwrap_or_else(|error| panic!("{error}"));
            let body = {
                let thread = thread.clone();
                async move {
                    assert_eq!(thread.enforce_policy(NewPort), result);
                    assert_eq!(thread.work(), work::POLICY);
                    let wait = thread.interruptible(super::super::BlockedReason::Port, async {
                        futures::pending!()
                    });
                    assert_eq!(wait.await, Ok(()), "the call itself is not interrupted");
                    thread.raise_policy_exception().await;
                    assert_eq!(thread.work(), 0);
                }
            };
            let mut run = thread.process().start(&thread, body).unwrap_or_else(|e| panic!("{e}"));
            assert!(poll(&mut run).is_pending());
            assert!(next(&handler).is_none());
            assert!(poll(&mut run).is_pending());
            let message = next(&handler).unwrap_or_else(|| panic!("no exception"));
            let report = *exception(&message).report();
            assert_eq!(report.exception, ExceptionType::PolicyError);
            assert_eq!((report.synth_code, report.synth_data), (NewPort as u32, 0));
            exception(&message).set_state(ExceptionState::Handled);
            drop(message);
            assert!(run.now_or_never().is_some());
            assert_eq!(thread.process().info().return_code, 0, "it went on");
        }
    }

    #[test]
    fn one_that_nobody_handles_kills() {
        let thread = under(&[(NewPort, PolicyAction::Deny)]);
        let body = {
            let thread = thread.clone();
            async move {
                thread.defer_policy_exception(PolicyCode::BadSyscall, 777);
                thread.raise_policy_exception().await;
                unreachable!("nobody handles it")
            }
        };
        let run = thread.process().start(&thread, body).unwrap_or_else(|e| panic!("{e}"));
        futures::executor::block_on(run);
        assert_eq!(thread.process().info().return_code, retcode::EXCEPTION_KILL);
    }
}
