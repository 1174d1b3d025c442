//! VMARs: what is mapped where.

use hal::aspace::Prot;
use kernel_objects::{
    Error, Handle, MapArgs, MappingFlags, Placement, Result, Rights, Vmar, Vmo,
    task::PolicyCondition,
};

use super::{argument::Out, no_options};
use crate::zircon::{
    Thread,
    abi::{ZxHandle, ZxVaddr, ZxVmOption, constants::*},
};

bitflags::bitflags! {
    /// `ZX_VM_*` without the alignment.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct VmOptions: u32 {
        const PERM_READ = ZX_VM_PERM_READ;
        const PERM_WRITE = ZX_VM_PERM_WRITE;
        const PERM_EXECUTE = ZX_VM_PERM_EXECUTE;
        const COMPACT = ZX_VM_COMPACT;
        const SPECIFIC = ZX_VM_SPECIFIC;
        const SPECIFIC_OVERWRITE = ZX_VM_SPECIFIC_OVERWRITE;
        const CAN_MAP_SPECIFIC = ZX_VM_CAN_MAP_SPECIFIC;
        const CAN_MAP_READ = ZX_VM_CAN_MAP_READ;
        const CAN_MAP_WRITE = ZX_VM_CAN_MAP_WRITE;
        const CAN_MAP_EXECUTE = ZX_VM_CAN_MAP_EXECUTE;
        const MAP_RANGE = ZX_VM_MAP_RANGE;
        const REQUIRE_NON_RESIZABLE = ZX_VM_REQUIRE_NON_RESIZABLE;
        const ALLOW_FAULTS = ZX_VM_ALLOW_FAULTS;
        const OFFSET_IS_UPPER_LIMIT = ZX_VM_OFFSET_IS_UPPER_LIMIT;
        const PERM_READ_IF_XOM_UNSUPPORTED = ZX_VM_PERM_READ_IF_XOM_UNSUPPORTED;

        const PERMS = Self::PERM_READ.bits() | Self::PERM_WRITE.bits() | Self::PERM_EXECUTE.bits();
        const PLACES = Self::SPECIFIC.bits() | Self::SPECIFIC_OVERWRITE.bits()
            | Self::OFFSET_IS_UPPER_LIMIT.bits();
        const ALLOCATE = Self::PLACES.bits() | Self::COMPACT.bits() | Self::CAN_MAP_SPECIFIC.bits()
            | Self::CAN_MAP_READ.bits() | Self::CAN_MAP_WRITE.bits() | Self::CAN_MAP_EXECUTE.bits();
        const MAP = Self::PLACES.bits() | Self::PERMS.bits() | Self::MAP_RANGE.bits()
            | Self::REQUIRE_NON_RESIZABLE.bits() | Self::ALLOW_FAULTS.bits()
            | Self::PERM_READ_IF_XOM_UNSUPPORTED.bits();
    }
}

impl VmOptions {
    /// The options that are among `allowed`, and the alignment in bytes, 0 for none.
    fn parse(raw: ZxVmOption, allowed: Self) -> Result<(Self, u64)> {
        let options =
            Self::from_bits(raw.0 & ((1 << ZX_VM_ALIGN_BASE) - 1)).ok_or(Error::InvalidArgs)?;
        let align = raw.0 >> ZX_VM_ALIGN_BASE;
        if !allowed.contains(options) || (align != 0 && !(10..=32).contains(&align)) {
            return Err(Error::InvalidArgs);
        }
        Ok((options, if align == 0 { 0 } else { 1 << align }))
    }

    /// What may be done with the memory, of which reading is part where anything is.
    fn prot(self) -> Result<Prot> {
        let mut prot = Prot::empty();
        prot.set(Prot::READ, self.contains(Self::PERM_READ));
        prot.set(Prot::WRITE, self.contains(Self::PERM_WRITE));
        prot.set(Prot::EXEC, self.contains(Self::PERM_EXECUTE));
        if self.contains(Self::PERM_READ_IF_XOM_UNSUPPORTED) && self.contains(Self::PERM_EXECUTE) {
            prot |= Prot::READ;
        }
        // There is no memory that can be written or executed and not read.
        if !prot.is_empty() && !prot.contains(Prot::READ) {
            return Err(Error::InvalidArgs);
        }
        Ok(prot)
    }

    fn place(self, vmar: &Vmar, offset: u64) -> Result<Placement> {
        let base = vmar.range().start;
        let at = base.checked_add(offset).ok_or(Error::InvalidArgs)?;
        match self & Self::PLACES {
            none if none.is_empty() && offset != 0 => Err(Error::InvalidArgs),
            none if none.is_empty() => Ok(Placement::TopDown),
            Self::OFFSET_IS_UPPER_LIMIT => Ok(Placement::Between(base, at)),
            Self::SPECIFIC => Ok(Placement::Exact(at)),
            both if both.contains(Self::OFFSET_IS_UPPER_LIMIT) => Err(Error::InvalidArgs),
            _ => Ok(Placement::Replace(at)),
        }
    }
}

/// The rights that a handle must have for memory to be mapped so.
fn rights_for(prot: Prot) -> Rights {
    let mut rights = Rights::empty();
    rights.set(Rights::READ, prot.contains(Prot::READ));
    rights.set(Rights::WRITE, prot.contains(Prot::WRITE));
    rights.set(Rights::EXECUTE, prot.contains(Prot::EXEC));
    rights
}

/// What may be done with memory that is mapped through handles with these rights.
fn prot_for(rights: Rights) -> Prot {
    let mut prot = Prot::empty();
    prot.set(Prot::READ, rights.contains(Rights::READ));
    prot.set(Prot::WRITE, rights.contains(Rights::WRITE));
    prot.set(Prot::EXEC, rights.contains(Rights::EXECUTE));
    prot
}

fn check_wx(thread: &Thread, prot: Prot) -> Result {
    match prot.contains(Prot::WRITE | Prot::EXEC) {
        true => thread.policy(PolicyCondition::VmarWx),
        false => Ok(()),
    }
}

/// zx_vmar_allocate
pub(super) fn allocate(
    thread: &Thread,
    parent_vmar: ZxHandle,
    options: ZxVmOption,
    offset: usize,
    size: usize,
    child_vmar: Out<ZxHandle>,
    child_addr: Out<ZxVaddr>,
) -> Result {
    let (options, _) = VmOptions::parse(options, VmOptions::ALLOCATE)?;
    let mut needed = Rights::empty();
    needed.set(Rights::READ, options.contains(VmOptions::CAN_MAP_READ));
    needed.set(Rights::WRITE, options.contains(VmOptions::CAN_MAP_WRITE));
    needed.set(Rights::EXECUTE, options.contains(VmOptions::CAN_MAP_EXECUTE));
    let parent = thread.get::<Vmar>(parent_vmar, needed)?;
    if options.contains(VmOptions::SPECIFIC_OVERWRITE) {
        return Err(Error::InvalidArgs);
    }
    let child = parent.allocate(options.place(&parent, offset as u64)?, size as u64)?;
    let base = child.range().start;
    let rights = Rights::default_for(kernel_objects::ObjectType::Vmar) | needed;
    child_addr.0.write(thread.vmar(), &ZxVaddr(base))?;
    thread.give([(Handle::with_rights(child, rights), child_vmar)])
}

/// zx_vmar_map
#[allow(clippy::too_many_arguments, reason = "the call has so many")]
pub(super) fn map(
    thread: &Thread,
    handle: ZxHandle,
    options: ZxVmOption,
    vmar_offset: usize,
    vmo: ZxHandle,
    vmo_offset: u64,
    len: usize,
    mapped_addr: Out<ZxVaddr>,
) -> Result {
    let (options, align) = VmOptions::parse(options, VmOptions::MAP)?;
    let prot = options.prot()?;
    let (vmar, vmar_rights) = thread.get_with_rights::<Vmar>(handle, Rights::empty())?;
    let (vmo, vmo_rights) = thread.get_with_rights::<Vmo>(vmo, Rights::MAP)?;
    let rights = vmar_rights & vmo_rights;
    rights.require(rights_for(prot))?;
    check_wx(thread, prot)?;
    if options.contains(VmOptions::SPECIFIC_OVERWRITE | VmOptions::MAP_RANGE) {
        return Err(Error::InvalidArgs);
    }
    let len = len as u64;
    let end = vmo_offset.checked_add(len).ok_or(Error::OutOfRange)?;
    if !options.contains(VmOptions::ALLOW_FAULTS) && !vmo.options().resizable && end > vmo.size() {
        return Err(Error::BufferTooSmall);
    }
    if options.contains(VmOptions::REQUIRE_NON_RESIZABLE) && vmo.options().resizable {
        return Err(Error::NotSupported);
    }
    let addr = vmar.map(MapArgs {
        placement: options.place(&vmar, vmar_offset as u64)?,
        len,
        align,
        vmo,
        vmo_offset,
        perms: prot,
        max_perms: prot_for(rights) | prot,
        flags: MappingFlags::empty(),
        populate: options.contains(VmOptions::MAP_RANGE),
        tag: 0,
    })?;
    mapped_addr.0.write(thread.vmar(), &ZxVaddr(addr)).inspect_err(|_| {
        // Nobody knows of the mapping, but another thread may have found it.
        let _ = vmar.unmap(addr, len);
    })
}

/// zx_vmar_unmap
pub(super) fn unmap(thread: &Thread, handle: ZxHandle, addr: ZxVaddr, len: usize) -> Result {
    thread.get::<Vmar>(handle, Rights::empty())?.unmap(addr.0, len as u64)
}

/// zx_vmar_protect
pub(super) fn protect(
    thread: &Thread,
    handle: ZxHandle,
    options: ZxVmOption,
    addr: ZxVaddr,
    len: usize,
) -> Result {
    let allowed = VmOptions::PERMS | VmOptions::PERM_READ_IF_XOM_UNSUPPORTED;
    let (options, align) = VmOptions::parse(options, allowed)?;
    no_options(align as u32)?;
    let prot = options.prot()?;
    let vmar = thread.get::<Vmar>(handle, rights_for(prot))?;
    check_wx(thread, prot)?;
    vmar.protect(addr.0, len as u64, prot)
}

/// zx_vmar_destroy
pub(super) fn destroy(thread: &Thread, handle: ZxHandle) -> Result {
    thread.get::<Vmar>(handle, Rights::empty())?.destroy()
}
