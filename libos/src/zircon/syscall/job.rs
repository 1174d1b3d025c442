//! Jobs and what their processes may do.

use kernel_objects::{
    Error, Handle, Job, Result, Rights,
    task::{
        BasicPolicy, Critical, PolicyAction, PolicyCondition, PolicyMode, PolicyOverride,
        SlackMode, TimerSlack,
    },
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    argument::{In, Out},
    no_options,
};
use crate::{
    abi::argument::UserPtr,
    zircon::{
        Thread,
        abi::{self, Void, ZxHandle, constants::*},
    },
};

/// zx_job_create
pub(super) fn create(
    thread: &Thread,
    parent_job: ZxHandle,
    options: u32,
    out: Out<ZxHandle>,
) -> Result {
    no_options(options)?;
    let parent = thread.get::<Job>(parent_job, Rights::MANAGE_JOB)?;
    thread.give([(Handle::new(Job::create(&parent)?), out)])
}

/// zx_job_set_critical
pub(super) fn set_critical(
    thread: &Thread,
    job: ZxHandle,
    options: u32,
    process: ZxHandle,
) -> Result {
    let critical = Critical::from_options(options)?;
    thread.handles().job_set_critical(job.value(), critical, process.value())
}

/// zx_job_set_policy
pub(super) fn set_policy(
    thread: &Thread,
    handle: ZxHandle,
    options: u32,
    topic: u32,
    policy: In<Void>,
    count: u32,
) -> Result {
    let mode = match options {
        ZX_JOB_POL_RELATIVE => PolicyMode::Relative,
        ZX_JOB_POL_ABSOLUTE => PolicyMode::Absolute,
        _ => return Err(Error::InvalidArgs),
    };
    if count == 0 {
        return Err(Error::InvalidArgs);
    }
    let job = thread.get::<Job>(handle, Rights::SET_POLICY)?;
    let at = policy.0.addr();
    match topic {
        ZX_JOB_POL_BASIC_V1 => {
            let lines: Vec<abi::PolicyBasicV1> = lines(thread, at, count)?;
            let line = |line: &abi::PolicyBasicV1| {
                basic(line.condition, line.policy, ZX_POL_OVERRIDE_DENY)
            };
            job.set_policy(mode, &lines.iter().map(line).collect::<Result<Vec<_>>>()?)
        }
        ZX_JOB_POL_BASIC_V2 => {
            let lines: Vec<abi::PolicyBasicV2> = lines(thread, at, count)?;
            let line = |line: &abi::PolicyBasicV2| basic(line.condition, line.action, line.flags);
            job.set_policy(mode, &lines.iter().map(line).collect::<Result<Vec<_>>>()?)
        }
        ZX_JOB_POL_TIMER_SLACK => {
            if mode != PolicyMode::Relative || count != 1 {
                return Err(Error::InvalidArgs);
            }
            let slack = UserPtr::<abi::PolicyTimerSlack>::new(at).read(thread.vmar())?;
            let amount = u64::try_from(slack.min_slack.0).map_err(|_| Error::InvalidArgs)?;
            job.set_timer_slack(TimerSlack {
                amount,
                mode: SlackMode::from_raw(slack.default_mode)?,
            })
        }
        _ => Err(Error::InvalidArgs),
    }
}

/// The lines of a policy: there are not more than conditions.
fn lines<T: FromBytes + IntoBytes + Immutable>(
    thread: &Thread,
    at: u64,
    count: u32,
) -> Result<Vec<T>> {
    if count > ZX_POL_MAX {
        return Err(Error::OutOfRange);
    }
    UserPtr::new(at).read_slice(thread.vmar(), count as usize)
}

fn basic(condition: u32, action: u32, overridable: u32) -> Result<BasicPolicy> {
    Ok(BasicPolicy {
        condition: PolicyCondition::from_raw(condition)?,
        action: PolicyAction::from_raw(action)?,
        overridable: PolicyOverride::from_raw(overridable)?,
    })
}
