//! Resources.

use kernel_objects::{Handle, Resource, Result, Rights, resource::ResourceOptions};

use super::argument::{In, Out};
use crate::zircon::{
    Thread,
    abi::{CChar, ZxHandle},
};

/// zx_resource_create
#[allow(clippy::too_many_arguments, reason = "the call has so many")]
pub(super) fn create(
    thread: &Thread,
    parent_rsrc: ZxHandle,
    options: u32,
    base: u64,
    size: usize,
    name: In<CChar>,
    name_size: usize,
    resource_out: Out<ZxHandle>,
) -> Result {
    let parent = thread.get::<Resource>(parent_rsrc, Rights::WRITE)?;
    let name = thread.read_name(name, name_size)?;
    let options = ResourceOptions::from_raw(options)?;
    let name = String::from_utf8_lossy(&name);
    let resource = Resource::create(&parent, options, base, size as u64, &name)?;
    thread.give([(Handle::new(resource), resource_out)])
}
