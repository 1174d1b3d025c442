//! Profiles: how threads are scheduled, and how precious memory is.

use std::sync::Arc;

use kernel_objects::{
    Error, Handle, Job, Profile, Resource, Result, Rights, Vmar, downcast,
    profile::{self, CpuSet, DeadlineParams, ProfileFlags},
    task::PolicyCondition,
};

use super::argument::{In, Out};
use crate::zircon::{
    Thread,
    abi::{ProfileInfo, ZxHandle},
};

impl ProfileInfo {
    /// What it says. A priority is where a deadline's first field would be.
    fn parse(&self) -> Result<profile::ProfileInfo> {
        let [capacity, relative_deadline, period] = self.competition.0;
        Ok(profile::ProfileInfo {
            flags: ProfileFlags::from_bits(self.flags).ok_or(Error::InvalidArgs)?,
            priority: capacity as i32,
            deadline: DeadlineParams { capacity, relative_deadline, period },
            cpu_affinity_mask: CpuSet(self.cpu_affinity_mask.mask),
        })
    }
}

/// zx_profile_create, by the right of a root job or, as newer programs do it, of a resource.
pub(super) fn create(
    thread: &Thread,
    root_job: ZxHandle,
    options: u32,
    profile: In<ProfileInfo>,
    out: Out<ZxHandle>,
) -> Result {
    thread.policy(PolicyCondition::NewProfile)?;
    let (object, rights) =
        thread.handles().get_any_with_rights(root_job.value(), Rights::empty())?;
    let info = || profile.0.read(thread.vmar()).and_then(|profile| profile.parse());
    let profile = match downcast::<Resource>(object.clone()) {
        Ok(resource) => Profile::create_by(&resource, options, &info()?),
        Err(_) => {
            let job = downcast::<Job>(object)?;
            rights.require(Rights::MANAGE_PROCESS)?;
            Profile::create(&job, options, &info()?)
        }
    }?;
    thread.give([(Handle::new(profile), out)])
}

/// zx_object_set_profile. Its options have no meaning.
pub(super) fn apply(thread: &Thread, handle: ZxHandle, profile: ZxHandle, _: u32) -> Result {
    let (object, rights) = thread.handles().get_any_with_rights(handle.value(), Rights::empty())?;
    match downcast::<Vmar>(object.clone()) {
        Ok(vmar) => to_apply(thread, profile)?.apply_to_vmar(&vmar),
        Err(_) => {
            let target = downcast::<kernel_objects::Thread>(object)?;
            rights.require(Rights::MANAGE_THREAD)?;
            to_apply(thread, profile)?.apply(&target)
        }
    }
}

/// The profile, if the handle lets it be applied.
fn to_apply(thread: &Thread, profile: ZxHandle) -> Result<Arc<Profile>> {
    thread.get(profile, Rights::APPLY_PROFILE)
}
